// Package flush decides, for each invocation, whether it is held until its
// telemetry is in Kinesis. It has no clock and no state: a decision depends only
// on the arguments, so tables and simulations can test it (docs/evidence/flush.md
// shows the results).
package flush

import (
	"iter"
	"time"
)

// Mode is when telemetry is sent.
type Mode string

const (
	// ModeAdaptive holds invocations of a function that is rarely called, as ModeEnd
	// does. It does not hold those of a busy function, as ModeInterval.
	ModeAdaptive Mode = "adaptive"
	// ModeEnd holds each invocation, after its runtime is done, until its telemetry is
	// in Kinesis, at most KINETEL_MAX_HOLD.
	ModeEnd Mode = "end"
	// ModeInterval never holds and sends in the background.
	ModeInterval Mode = "interval"
)

// MinHold is the shortest KINETEL_MAX_HOLD that works: Lambda itself takes up to
// 25 ms to report that a runtime is done, and no hold can end before that.
const MinHold = 30 * time.Millisecond

const (
	// Soon is the longest gap between two invocations that counts as none. What
	// is not sent when an invocation ends is sent in the next one, and is then no
	// older than it would be in a log agent that buffers.
	Soon = time.Second
	// forget is the weight of the last gap in the estimate. Earlier gaps soon
	// count little: 0.65 to the power of 6 is 0.08.
	forget = 0.35
	// mostLate is the chance of a late gap above which an invocation is held. One
	// late gap is enough to exceed it; it takes three to six gaps that are not
	// late to fall below it again.
	mostLate = 0.1
	// overdueAfter is how many intervals telemetry may wait for a successful
	// request in the background. Invocations that are shorter than a request leave
	// it no time, and then one of them is held.
	overdueAfter = 2
)

// Remember is how many invocations the estimate needs. Earlier ones together weigh
// 0.65 to the power of 15, which is 0.0016. They change the decision in 26 of 32,768
// patterns of gaps; each of these has two late gaps or more, and without the
// earlier ones the invocation is held.
const Remember = 16

// Invocation is an invocation as the extension sees it. Times are of the wall
// clock, which goes on while the environment is frozen.
type Invocation struct {
	Arrived time.Time // when Lambda sent its INVOKE
	Done    time.Time // when its runtime was done; zero: not known yet
	Freed   time.Time // when the extension called next, even if something else ended later
}

// Late estimates the chance that the environment is idle for longer than soon
// after an invocation. It uses the last invocations, the oldest first. Without any
// gap the estimate is 1: the environment counts as idle.
func Late(invocations []Invocation, soon time.Duration) float64 {
	late := 1.0
	for gap := range gaps(invocations) {
		var observed float64
		if gap > soon {
			observed = 1
		}
		late += forget * (observed - late)
	}
	return late
}

// LastGap returns how long the environment was idle before the last of the
// invocations; ok is false if there is only one, or none.
func LastGap(invocations []Invocation) (last time.Duration, ok bool) {
	for gap := range gaps(invocations) {
		last, ok = gap, true
	}
	return last, ok
}

// gaps yields how long the environment was idle between one invocation and the
// next.
func gaps(invocations []Invocation) iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		var took time.Duration // the last known duration, for an invocation whose end is not known yet
		for i := range len(invocations) - 1 {
			in := invocations[i]
			done := in.Done
			if done.IsZero() {
				done = in.Arrived.Add(took)
			} else {
				took = max(done.Sub(in.Arrived), 0) // a clock may be set back
			}
			// The environment was busy until the runtime and the extension were done.
			if in.Freed.After(done) {
				done = in.Freed
			}
			if !yield(invocations[i+1].Arrived.Sub(done)) {
				return
			}
		}
	}
}

// Reason is why an invocation is held or not. kinetel.invocation contains it.
type Reason string

// The reasons to hold.
const (
	End     Reason = "end"     // KINETEL_FLUSH=end: every invocation is held
	Rare    Reason = "rare"    // the next invocation is not expected soon
	Overdue Reason = "overdue" // what should have been sent in the background was not
)

// The reasons not to hold.
const (
	Interval         Reason = "interval"     // KINETEL_FLUSH=interval: no invocation is held
	Busy             Reason = "busy"         // the next invocation is expected soon
	NoHold           Reason = "no-hold"      // KINETEL_MAX_HOLD is too short for a hold
	NoTime           Reason = "no-time"      // the invocation's deadline is too near
	Unavailable      Reason = "unavailable"  // Kinesis does not accept records
	TelemetryStalled Reason = "no-telemetry" // Lambda does not send platform.runtimeDone in time
)

// Hold reports whether the invocation is held.
func (r Reason) Hold() bool { return r == End || r == Rare || r == Overdue }

// Policy is what the user chose.
type Policy struct {
	Mode     Mode
	Interval time.Duration
	MaxHold  time.Duration
}

// Situation is all that a decision depends on, besides the policy.
type Situation struct {
	// Invocations are the last invocations, this one included, the oldest first.
	Invocations []Invocation
	// Left is how much time of the invocation may be used for a hold.
	Left time.Duration
	// Unavailable: Kinesis does not accept records, or not in time.
	Unavailable bool
	// TelemetryStalled: platform.runtimeDone did not come in time for an invocation
	// that was held for it, nor for enough of those after it.
	TelemetryStalled bool
	// Behind is how long records have been waiting while Kinesis accepted none.
	Behind time.Duration
	// Busy is for how long no gap between invocations has been late.
	Busy time.Duration
}

// Decide decides at the beginning of an invocation whether it is held. An
// invocation that is not held is released at once.
func (p Policy) Decide(s Situation) Reason {
	switch {
	case p.Mode == ModeInterval:
		return Interval
	case p.MaxHold < MinHold:
		return NoHold
	case s.Unavailable:
		return Unavailable
	case s.TelemetryStalled:
		return TelemetryStalled
	case s.Left <= 0:
		return NoTime
	case p.Mode == ModeEnd:
		return End
	case Late(s.Invocations, p.Soon()) > mostLate:
		return Rare
	case s.Behind > overdueAfter*p.Interval:
		return Overdue
	}
	return Busy
}

// Age returns how old unsent telemetry may be when an invocation begins. In the
// first interval of a burst, which follows a late gap, it is less than the
// interval: the burst may be over by then, and its telemetry would wait for the
// next one.
func (p Policy) Age(s Situation) time.Duration {
	if p.Mode == ModeAdaptive && s.Busy < p.Interval {
		return p.Soon()
	}
	return p.Interval
}

// Soon returns the longest gap that counts as none. It is the interval if that is
// shorter: a user that sets a short interval gets telemetry that soon.
func (p Policy) Soon() time.Duration { return min(Soon, p.Interval) }
