package main

import (
	"container/heap"
	"time"
)

// clock is the simulation's time: what is to happen, in order. Times are counted from
// the beginning of a run.
type clock struct {
	now  time.Duration
	next moments
	made int
}

// moment is something that happens at its time, unless it is called off.
type moment struct {
	at     time.Duration
	number int // of two at the same time the one that was planned first happens first
	happen func()
}

func (m *moment) cancel() { m.happen = nil }

// at plans something.
func (c *clock) at(at time.Duration, happen func()) *moment {
	c.made++
	m := &moment{max(at, c.now), c.made, happen}
	heap.Push(&c.next, m)
	return m
}

// run lets everything happen.
func (c *clock) run() {
	for len(c.next) > 0 {
		m := heap.Pop(&c.next).(*moment)
		c.now = m.at
		if m.happen != nil {
			m.happen()
		}
	}
}

type moments []*moment

func (m moments) Len() int { return len(m) }

func (m moments) Less(i, j int) bool {
	if m[i].at != m[j].at {
		return m[i].at < m[j].at
	}
	return m[i].number < m[j].number
}

func (m moments) Swap(i, j int) { m[i], m[j] = m[j], m[i] }

func (m *moments) Push(x any) { *m = append(*m, x.(*moment)) }

func (m *moments) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}
