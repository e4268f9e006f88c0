package main

import (
	"math/rand/v2"
	"time"

	"github.com/kinetel/kinetel/internal/flush"
)

// assumptions are the parameters of a simulation.
type assumptions struct {
	policy flush.Policy // its mode is that of the run

	put     time.Duration // what a request takes, the median
	spread  float64       // the standard deviation of its logarithm
	connect time.Duration // what a new connection adds to it
	kept    bool          // the answer to a request that was frozen for long lies in the socket; otherwise it is lost
	idle    time.Duration // after that long Lambda ends an environment
	timeout time.Duration // the function's
}

func usual() assumptions {
	return assumptions{
		policy:  flush.Policy{Interval: 10 * time.Second, MaxHold: 500 * time.Millisecond},
		put:     12 * time.Millisecond,
		spread:  0.35,
		connect: 15 * time.Millisecond,
		idle:    10 * time.Minute,
		timeout: 30 * time.Second,
	}
}

// simulation is a function's environments and its callers.
type simulation struct {
	clock
	assumptions
	pattern pattern
	seed    uint64
	result  *result

	environments []*environment // all there ever were
	queue        []call         // for which no environment is free
	next         func() call
	left         int // calls
}

// simulate runs a pattern in a mode. The same seed gives the same calls in
// every mode.
func simulate(a assumptions, mode flush.Mode, p pattern, seed uint64) *result {
	a.policy.Mode = mode
	w := &simulation{assumptions: a, pattern: p, seed: seed, result: &result{}, left: p.count}
	w.next = p.calls(rand.New(rand.NewPCG(seed, 0)))
	w.plan()
	w.run()
	return w.result
}

// plan plans the next call.
func (w *simulation) plan() {
	if w.left == 0 {
		if w.pattern.provisioned {
			for _, e := range w.environments {
				w.at(w.now+w.idle, e.shutDown)
			}
		}
		return
	}
	w.left--
	c := w.next()
	w.at(w.now+c.gap, func() {
		w.queue = append(w.queue, c)
		if !w.pattern.follows {
			w.plan()
		}
		w.serve()
	})
}

// responded is a function's response leaving.
func (w *simulation) responded() {
	if w.pattern.follows {
		w.plan()
	}
}

// serve gives the waiting calls an environment. Of those that are free it is the
// one that was used last, as Lambda tends to.
func (w *simulation) serve() {
	for len(w.queue) > 0 {
		var free *environment
		alive := 0
		for _, e := range w.environments {
			if e.ended {
				continue
			}
			alive++
			if e.running == nil && (free == nil || e.froze > free.froze) {
				free = e
			}
		}
		if free == nil && alive == w.pattern.environments {
			return
		}
		if free == nil {
			free = w.startEnvironment()
		}
		c := w.queue[0]
		w.queue = w.queue[1:]
		free.invoke(c.takes)
	}
}

func (w *simulation) startEnvironment() *environment {
	e := &environment{simulation: w, thawed: w.now, random: rand.New(rand.NewPCG(w.seed, 1+uint64(len(w.environments))))}
	e.after(e.policy.Interval, e.tick)
	w.environments = append(w.environments, e)
	return e
}
