// Package flush decides, for each invocation, whether it is held until its
// telemetry is in Kinesis. It has neither a clock nor a memory: what it decides
// follows from what it is told, so that tables and simulations can ask it
// anything (docs/flush.md shows what comes of it).
package flush

import (
	"iter"
	"time"

	"kinetel/internal/config"
)

const (
	// Soon is the longest gap between two invocations that counts as none:
	// what is not sent when an invocation ends is sent in the next one, and is
	// no older than it would be for waiting in a log agent.
	Soon = time.Second
	// forget is the weight of the last gap in the estimate. Of what was a few
	// gaps ago little is left: 0.65 to the power of 6 is 0.08.
	forget = 0.35
	// mostLate is the chance of being late from which on an invocation is
	// held. One late gap is enough to get there; it takes three to six that
	// are not to come back.
	mostLate = 0.1
	// overdueAfter is how many intervals telemetry may wait for a request to go
	// through in the background. Invocations that are shorter than a request
	// leave it no time, and then one of them is held.
	overdueAfter = 2
)

// Remember is how many invocations the estimate needs to know. What was before
// weighs 0.65 to the power of 15, which is 0.0016: it decides in 26 of 32,768
// patterns of gaps, of which each has two late gaps or more, and who does not
// know it holds.
const Remember = 16

// Visit is an invocation, as the extension sees it. Times are of the wall clock,
// which goes on while the environment is frozen.
type Invocation struct {
	Arrived time.Time // when Lambda told of it
	Done    time.Time // when its runtime was done; zero: not known yet
	Freed   time.Time // when the extension had called next, the last part of the invocation or not
}

// Late estimates the chance that the environment is idle for longer than soon
// after an invocation, from the last ones, the oldest first. Nothing known is
// 1: who has not been busy is not.
func Late(visits []Invocation, soon time.Duration) float64 {
	late := 1.0
	for gap := range gaps(visits) {
		var came float64
		if gap > soon {
			came = 1
		}
		late += forget * (came - late)
	}
	return late
}

// LastGap returns how long the environment was idle before the last of the
// visits; false: there is none before it.
func LastGap(visits []Invocation) (last time.Duration, ok bool) {
	for gap := range gaps(visits) {
		last, ok = gap, true
	}
	return last, ok
}

// gaps gives how long the environment was idle between one visit and the next.
func gaps(visits []Invocation) iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		var took time.Duration // what an invocation's runtime took, for one of which it is not known yet
		for i := range len(visits) - 1 {
			v := visits[i]
			done := v.Done
			if done.IsZero() {
				done = v.Arrived.Add(took)
			} else {
				took = max(done.Sub(v.Arrived), 0) // a clock may be set back
			}
			// The environment was busy until both were done.
			if !yield(visits[i+1].Arrived.Sub(latest(done, v.Freed))) {
				return
			}
		}
	}
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Reason says why an invocation is held or not. It is told in kinetel.invocation.
type Reason string

// The reasons to hold.
const (
	End     Reason = "end"     // KINETEL_FLUSH=end: each one is
	Rare    Reason = "rare"    // the next invocation is not expected soon
	Overdue Reason = "overdue" // what was to be sent in the background was not
)

// The reasons not to hold.
const (
	Interval    Reason = "interval"    // KINETEL_FLUSH=interval: none is
	Busy        Reason = "busy"        // the next invocation is expected soon
	NoHold      Reason = "no-hold"     // KINETEL_MAX_HOLD is too short to hold for
	NoTime      Reason = "no-time"     // the invocation's deadline is too near
	Unavailable Reason = "unavailable" // Kinesis does not take records
	TelemetryStalled        Reason = "deaf"        // Lambda does not tell when a runtime is done
)

// Hold reports whether the invocation is held.
func (r Reason) Hold() bool { return r == End || r == Rare || r == Overdue }

// Policy is what the user chose.
type Policy struct {
	Mode     config.Flush
	Interval time.Duration
	MaxHold  time.Duration
}

// Situation is all that a decision depends on, beside the policy.
type Situation struct {
	// Visits are the last invocations, this one included.
	Invocations []Invocation
	// Left is the time that may be used of the invocation's.
	Left time.Duration
	// Unavailable: Kinesis does not take records, or not in time.
	Unavailable bool
	// Deaf: platform.runtimeDone did not come for an invocation that was held
	// for it, nor for enough of those after it.
	TelemetryStalled bool
	// Behind is how long records have been waiting without a request that went
	// through.
	Behind time.Duration
	// Busy is for how long no gap between invocations has been late.
	Busy time.Duration
}

// Decide decides whether an invocation is held, when it begins. One that is not
// is let go at once.
func (p Policy) Decide(s Situation) Reason {
	switch {
	case p.Mode == config.FlushInterval:
		return Interval
	case p.MaxHold < config.MinHold:
		return NoHold
	case s.Unavailable:
		return Unavailable
	case s.TelemetryStalled:
		return TelemetryStalled
	case s.Left <= 0:
		return NoTime
	case p.Mode == config.FlushEnd:
		return End
	case Late(s.Invocations, p.Soon()) > mostLate:
		return Rare
	case s.Behind > overdueAfter*p.Interval:
		return Overdue
	}
	return Busy
}

// Age returns how old what is not sent yet may be when an invocation begins. In
// the first interval after a late gap it is not the interval: a burst may be over
// by then, and what it has said would wait for the next one.
func (p Policy) Age(s Situation) time.Duration {
	if p.Mode == config.FlushAdaptive && s.Busy < p.Interval {
		return p.Soon()
	}
	return p.Interval
}

// Soon is the gap that counts as none: who asks for telemetry sooner than that
// gets it.
func (p Policy) Soon() time.Duration { return min(Soon, p.Interval) }
