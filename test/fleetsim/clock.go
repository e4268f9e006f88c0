package main

import "time"

// clock is the simulation's time: whose turn it is next. Each environment has one
// moment at a time, so that a heap of them is all there is. Times are counted from
// the beginning of a run.
type clock struct{ moments []moment }

type moment struct {
	at time.Duration
	of int32 // of two at the same time the first sandbox comes first
}

func (m moment) before(other moment) bool {
	return m.at < other.at || m.at == other.at && m.of < other.of
}

// plan plans an environment's moment.
func (c *clock) plan(m moment) {
	c.moments = append(c.moments, m)
	i := len(c.moments) - 1
	for i > 0 {
		up := (i - 1) / 4
		if !m.before(c.moments[up]) {
			break
		}
		c.moments[i] = c.moments[up]
		i = up
	}
	c.moments[i] = m
}

// again plans the moment of the environment whose turn it is.
func (c *clock) again(m moment) {
	i, n := 0, len(c.moments)
	for {
		first := 4*i + 1
		if first >= n {
			break
		}
		least := first
		for j := first + 1; j < min(first+4, n); j++ {
			if c.moments[j].before(c.moments[least]) {
				least = j
			}
		}
		if !c.moments[least].before(m) {
			break
		}
		c.moments[i] = c.moments[least]
		i = least
	}
	c.moments[i] = m
}

// next is whose turn it is.
func (c *clock) next() moment { return c.moments[0] }
