package main

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/flush"
)

// exact are assumptions under which times can be counted by hand: a request
// takes 12 ms, or 27 ms where it needs a connection.
func exact() assumptions {
	a := usual()
	a.spread = 0
	return a
}

// listed is a pattern of these calls, in one environment.
func listed(calls ...call) pattern {
	return pattern{count: len(calls), environments: 1, calls: func(*rand.Rand) func() call {
		next := calls
		return func() call {
			c := next[0]
			next = next[1:]
			return c
		}
	}}
}

func wantDurations(t *testing.T, what string, got []time.Duration, want ...time.Duration) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// ago returns the staleness of events that were made at these times and arrived
// together.
func ago(arrived time.Duration, made ...time.Duration) (stale []time.Duration) {
	for _, at := range made {
		stale = append(stale, arrived-at)
	}
	return stale
}

// evenly is when a function that began then writes its lines.
func evenly(from, takes time.Duration) (made []time.Duration) {
	for i := range lines {
		made = append(made, from+takes*time.Duration(i+1)/(lines+1))
	}
	return made
}

func TestAHoldLastsForLambdasBufferAndOneRequest(t *testing.T) {
	r := simulate(exact(), flush.ModeEnd, listed(call{0, 110 * ms}), 1)
	wantDurations(t, "held", r.held, 25*ms+12*ms+15*ms)
	wantDurations(t, "stale", r.stale, ago(162*ms, slices.Concat([]time.Duration{0}, evenly(0, 110*ms), []time.Duration{110 * ms})...)...)
	if r.puts != 2 { // the report goes with the shutdown
		t.Errorf("%d requests", r.puts)
	}
}

// A freeze of more than a second costs the connection, and so do 50 s without a
// request.
func TestAFreezeCostsAConnection(t *testing.T) {
	calls := listed(call{0, 110 * ms}, call{500 * ms, 110 * ms}, call{1300 * ms, 110 * ms}, call{300 * ms, 110 * ms}, call{time.Second, 60 * time.Second}, call{time.Minute, 20 * ms})
	a := exact()
	a.timeout, a.policy.Interval = time.Hour, time.Hour
	r := simulate(a, flush.ModeEnd, calls, 1)
	wantDurations(t, "held", r.held, 52*ms, 37*ms, 52*ms, 37*ms, 52*ms, 37*ms)
}

// What is made in the last 25 ms before a freeze comes after the thaw, and then
// it is too late for what is sent because it is old.
func TestWhatIsNotSentWaitsForTheNextInvocation(t *testing.T) {
	r := simulate(exact(), flush.ModeInterval, listed(call{0, 110 * ms}, call{20 * time.Second, 110 * ms}), 1)
	const end = 20*time.Second + 110*ms + 10*time.Minute + 40*ms
	all := evenly(0, 110*ms)
	want := ago(20*time.Second+27*ms, append([]time.Duration{0}, all[:8]...)...)
	// The rest of the first, and the second, go with the shutdown: at once the
	// one that had come before the freeze and with it.
	again := evenly(20*time.Second, 110*ms)
	rest := slices.Concat([]time.Duration{all[8], all[9], 110 * ms}, []time.Duration{20 * time.Second}, again[:8])
	want = append(want, ago(end-40*ms+27*ms, rest...)...)
	want = append(want, ago(end+27*ms, again[8], again[9], 20*time.Second+110*ms)...)
	wantDurations(t, "stale", r.stale, want...)
	wantDurations(t, "held", r.held, 0, 0)
}

// A request goes on where it was when a freeze was short. After a long one its
// answer is lost, and it is made again 200 ms of work later; or, if it is
// assumed so, the answer is there.
func TestAFreezeDuringARequest(t *testing.T) {
	first := []call{{0, 60 * ms}, {11 * time.Second, 20 * ms}}
	for _, tt := range []struct {
		name    string
		then    []call
		kept    bool
		arrived time.Duration
		puts    int
	}{
		{"short", []call{{100 * ms, 20 * ms}, {100 * ms, 20 * ms}}, false, 11107 * ms, 3},
		{"long", []call{{3 * time.Second, 400 * ms}}, false, 14*time.Second + 200*ms + 27*ms, 4},
		{"long, and the work is done before 200 ms are over", []call{{3 * time.Second, 150 * ms}, {3 * time.Second, 150 * ms}}, false, 17*time.Second + 50*ms + 27*ms, 4},
		{"long, the answer kept", []call{{3 * time.Second, 400 * ms}}, true, 14 * time.Second, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := exact()
			a.kept = tt.kept
			r := simulate(a, flush.ModeInterval, listed(slices.Concat(first, tt.then)...), 1)
			if r.stale[0] != tt.arrived {
				t.Errorf("the first event arrives at %s, want %s", r.stale[0], tt.arrived)
			}
			if r.puts != tt.puts {
				t.Errorf("%d requests, want %d", r.puts, tt.puts)
			}
		})
	}
}

func TestTheTickerStopsWhileFrozen(t *testing.T) {
	// 9 s of work in 11 s: no tick, and nothing is old when the second begins.
	r := simulate(exact(), flush.ModeInterval, listed(call{0, 6 * time.Second}, call{8 * time.Second, 3 * time.Second}), 1)
	if r.stale[0] < 10*time.Minute {
		t.Errorf("the first event arrives at %s, before the shutdown", r.stale[0])
	}
	// 12 s of work in 14 s.
	r = simulate(exact(), flush.ModeInterval, listed(call{0, 6 * time.Second}, call{8 * time.Second, 6 * time.Second}), 1)
	if r.stale[0] != 12*time.Second+27*ms {
		t.Errorf("the first event arrives at %s, after 10 s of work", r.stale[0])
	}
	r = simulate(exact(), flush.ModeInterval, listed(call{0, 12 * time.Second}), 1)
	if r.stale[0] != 10*time.Second+27*ms {
		t.Errorf("in a long invocation the first event arrives at %s", r.stale[0])
	}
}

// What fills a record is sent when it does.
func TestAFullRecordIsSent(t *testing.T) {
	// 13 events of each call, of which 3 or 4 come with the next one.
	r := simulate(exact(), flush.ModeInterval, pattern{count: 50, environments: 1, calls: steady(110*ms, 100*ms)}, 1)
	if first, most := r.stale[0], 50*110*ms; first < 37*110*ms || first > most {
		t.Errorf("the first of %d events arrives at %s", r.made, first)
	}
}

func TestNoInvocationIsHeldForLongerThanMaxHold(t *testing.T) {
	a := usual()
	a.put, a.spread = 400*ms, 0.8
	for _, mode := range modes {
		r := simulate(a, mode, listed(slices.Repeat([]call{{time.Minute, 50 * ms}}, 500)...), 1)
		if most := slices.Max(r.held); most > 500*ms {
			t.Errorf("%s: held for %s", mode, most)
		} else if mode != flush.ModeInterval && most != 500*ms {
			t.Errorf("%s: held for %s at most: the limit was not met", mode, most)
		}
	}
}

// After two unproductive holds no invocation is held.
func TestAfterTwoUnproductiveHoldsNoInvocationIsHeld(t *testing.T) {
	a := exact()
	a.put = 2 * time.Second
	for _, mode := range []flush.Mode{flush.ModeAdaptive, flush.ModeEnd} {
		r := simulate(a, mode, listed(slices.Repeat([]call{{time.Minute, 110 * ms}}, 20)...), 1)
		wantDurations(t, string(mode), r.held, append([]time.Duration{500 * ms, 500 * ms}, make([]time.Duration, 18)...)...)
		if r.why[flush.Unavailable] != 18 {
			t.Errorf("%s: %v", mode, r.why)
		}
	}
}

// Where such a Kinesis takes records at all, it is tried anew each minute.
func TestASlowKinesisIsTriedAgain(t *testing.T) {
	a := exact()
	a.put = 2 * time.Second
	r := simulate(a, flush.ModeEnd, listed(slices.Repeat([]call{{6 * time.Second, 5 * time.Second}}, 50)...), 1) // 5 min
	n := 0
	for _, held := range r.held {
		if held > 0 {
			n++
		}
	}
	if n < 6 || n > 10 {
		t.Errorf("%d invocations are held in 5 min", n)
	}
}

func TestWithoutHoldNoInvocationIsHeld(t *testing.T) {
	t.Parallel()
	a := usual()
	a.policy.MaxHold = 0
	for _, p := range patterns() {
		for _, mode := range modes {
			if r := simulate(a, mode, short(p), 1); slices.Max(r.held) > 0 {
				t.Errorf("%s, %s: held for %s", p.name, mode, slices.Max(r.held))
			}
		}
	}
}

// If no invocation may be held, end sends in the background after each invocation,
// and adaptive once a second.
func TestWithoutHoldTheBackgroundIsUsed(t *testing.T) {
	a := exact()
	a.policy.MaxHold = flush.MinHold - 1
	p := pattern{count: 2000, environments: 1, calls: steady(100*ms, 60*ms)}
	for _, tt := range []struct {
		mode        flush.Mode
		stale       time.Duration // p50, at most
		least, most float64       // requests for 1,000 invocations
	}{
		{flush.ModeEnd, 150 * ms, 950, 1050},
		{flush.ModeAdaptive, 800 * ms, 90, 120},
		{flush.ModeInterval, 3 * time.Second, 20, 40},
	} {
		f := simulate(a, tt.mode, p, 1).figures()
		if f.puts < tt.least || f.puts > tt.most || f.staleP50 > tt.stale || f.share > 0 {
			t.Errorf("%s: staleness of %s, %.0f requests for 1,000 invocations, of which %.2f were held", tt.mode, f.staleP50, f.puts, f.share)
		}
	}
}

// short is the beginning of a pattern.
func short(p pattern) pattern {
	p.count = min(p.count, 300)
	return p
}

// Whatever happens, every event arrives, and once; and only those are held that
// the policy holds.
func TestEverythingArrives(t *testing.T) {
	t.Parallel()
	for _, p := range patterns() {
		t.Run(p.name, func(t *testing.T) {
			for _, mode := range modes {
				for _, slow := range []time.Duration{1, 30} {
					for _, kept := range []bool{false, true} {
						a := usual()
						a.put, a.kept = a.put*slow, kept
						r := simulate(a, mode, short(p), 7)
						calls := short(p).count
						if want := calls * (lines + 3); r.made != want || r.came != want || len(r.stale) != want-calls {
							t.Errorf("%s, requests of %s, answers kept %t: %d events, %d arrived, of %d the staleness is known; want %d",
								mode, a.put, kept, r.made, r.came, len(r.stale), want)
						}
						if slices.Min(r.stale) <= buffered || len(r.held) != calls {
							t.Errorf("%s: staleness of %s, %d invocations", mode, slices.Min(r.stale), len(r.held))
						}
						for i, held := range r.held {
							if held < 0 || held > a.policy.MaxHold {
								t.Fatalf("%s: invocation %d was held for %s", mode, i, held)
							}
						}
					}
				}
			}
		})
	}
}

func TestTheSameSeedGivesTheSame(t *testing.T) {
	t.Parallel()
	for _, p := range patterns() {
		one, again := simulate(usual(), flush.ModeAdaptive, short(p), 3), simulate(usual(), flush.ModeAdaptive, short(p), 3)
		if !slices.Equal(one.held, again.held) || !slices.Equal(one.stale, again.stale) || one.puts != again.puts || !maps.Equal(one.why, again.why) {
			t.Errorf("%s: not the same twice", p.name)
		}
		other := simulate(usual(), flush.ModeAdaptive, short(p), 4)
		if slices.Equal(one.stale, other.stale) {
			t.Errorf("%s: another seed gives the same", p.name)
		}
	}
}

// Of a pool's environments that are free the one is called that was used last.
func TestAPoolReturnsTheConnectionThatWasUsedLast(t *testing.T) {
	// Two calls at once, and then one after the other: the second environment,
	// which was free last, gets them, and the first is left with what it has.
	p := listed(call{0, 100 * ms}, call{1, 200 * ms}, call{time.Minute, 100 * ms}, call{time.Minute, 100 * ms})
	p.environments, p.provisioned = 2, true
	r := simulate(exact(), flush.ModeInterval, p, 1)
	slices.Sort(r.stale)
	most := r.stale[len(r.stale)-1]
	if want := 2*time.Minute + 10*time.Minute; most < want || most > want+time.Second {
		t.Errorf("the most stale event is %s old; the first environment should have waited %s for its SHUTDOWN", most, want)
	}
	p.provisioned = false
	// Then it ends two minutes before the second one, of which the most stale
	// events are those of the call before the last.
	if r := simulate(exact(), flush.ModeInterval, p, 1); slices.Max(r.stale) > 11*time.Minute+time.Second {
		t.Errorf("the most stale event is %s old, though an idle environment ends after 10 min", slices.Max(r.stale))
	}
}
