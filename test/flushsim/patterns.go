package main

import (
	"math/rand/v2"
	"time"
)

// call is the request for an invocation: how long after the one before,
// and what it takes.
type call struct{ gap, takes time.Duration }

// pattern is how a function is called.
type pattern struct {
	name         string
	count        int // calls
	environments int // at most; a call waits while all are busy
	provisioned  bool
	follows      bool // a call's gap begins with the response to the one before, not with its call
	calls        func(*rand.Rand) func() call
}

// steady calls in even gaps.
func steady(gap, takes time.Duration) func(*rand.Rand) func() call {
	return func(*rand.Rand) func() call {
		return func() call { return call{gap, takes} }
	}
}

// poisson calls by chance.
func poisson(mean, takes time.Duration) func(*rand.Rand) func() call {
	return func(r *rand.Rand) func() call {
		return func() call {
			return call{time.Duration(r.ExpFloat64() * float64(mean)).Round(time.Microsecond), takes}
		}
	}
}

// bursts calls so often in even gaps, and then not for a while.
func bursts(of int, gap, idle, takes time.Duration) func(*rand.Rand) func() call {
	return func(*rand.Rand) func() call {
		n := 0
		return func() call {
			n++
			if n%of == 1 {
				return call{idle, takes}
			}
			return call{gap, takes}
		}
	}
}

const ms = time.Millisecond

// patterns are those of docs/evidence/flush.md.
func patterns() []pattern {
	return []pattern{
		{name: "back to back: 20 ms, pauses of 10 ms", count: 6000, environments: 1, follows: true, calls: steady(10*ms, 20*ms)},
		{name: "steady: 10/s, 20 ms", count: 6000, environments: 1, calls: steady(100*ms, 20*ms)},
		{name: "steady: 2/s, 2 ms", count: 10000, environments: 1, calls: steady(500*ms, 2*ms)},
		{name: "long: 5 s, pauses of 10 ms", count: 1000, environments: 1, follows: true, calls: steady(10*ms, 5*time.Second)},
		{name: "a pool of 10: 8/s by chance, 200 ms", count: 8000, environments: 10, provisioned: true, calls: poisson(125*ms, 200*ms)},
		{name: "people: 2/s by chance, 50 ms", count: 3000, environments: 1, calls: poisson(500*ms, 50*ms)},
		{name: "people: one in 3 s by chance, 50 ms", count: 3000, environments: 1, calls: poisson(3*time.Second, 50*ms)},
		{name: "bursts: 30 of 20 ms, then 5 min idle", count: 3000, environments: 1, calls: bursts(30, 50*ms, 5*time.Minute, 20*ms)},
		{name: "cron: every minute, 200 ms", count: 1000, environments: 1, calls: steady(time.Minute, 200*ms)},
		{name: "cron: every hour, 200 ms", count: 500, environments: 1, calls: steady(time.Hour, 200*ms)},
	}
}
