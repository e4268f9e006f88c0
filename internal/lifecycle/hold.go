package lifecycle

import (
	"context"
	"time"

	"github.com/kinetel/kinetel/internal/extensionapi"
	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/guard"
	"github.com/kinetel/kinetel/internal/wallclock"
)

const (
	// deadlineMargin is the end of an invocation's time that is never used for a
	// hold: an extension that overruns makes the invocation fail.
	deadlineMargin = 100 * time.Millisecond
	// minFirstEvent and maxFirstEvent limit how long a hold waits for the first
	// event of its invocation; in between the limit is KINETEL_MAX_HOLD. Without
	// an event the invocation is then released: Lambda sends platform.start within
	// milliseconds, and without telemetry the hold would last until the deadline.
	minFirstEvent = 100 * time.Millisecond
	maxFirstEvent = time.Second
	// maxStalls bounds the backoff after holds whose platform.runtimeDone did not
	// arrive in time: after 2^maxStalls other invocations one is held again.
	maxStalls = 3 // 8 of the flush.Remember invocations that are known
)

// invoke holds an invocation as long as the policy decides. When it returns, the
// loop calls next, which releases the environment.
func (l *Loop) invoke(stop context.Context, ev extensionapi.Event) {
	arrived := wallclock.Now()
	guard.Run(l.log, "record an invocation", func() { l.pipeline.Invoked(ev.RequestID, ev.FunctionARN, string(ev.Trace), arrived) })
	if len(l.invocations) == flush.Remember {
		l.invocations = append(l.invocations[:0], l.invocations[1:]...)
	}
	l.invocations = append(l.invocations, invocation{ev.RequestID, flush.Invocation{Arrived: arrived}})

	why, age := flush.Unavailable, l.policy.Interval
	guard.Run(l.log, "decide whether to hold", func() {
		s := l.situation(ev)
		why, age = l.policy.Decide(s), l.policy.Age(s)
	})
	l.worker.thawed(age)
	var held time.Duration
	if why.Hold() {
		held = l.hold(stop, ev, arrived)
	}
	l.invocations[len(l.invocations)-1].Freed = wallclock.Now()
	l.pipeline.Released(ev.RequestID, held, why)
}

// situation returns what the policy decides on.
func (l *Loop) situation(ev extensionapi.Event) flush.Situation {
	invocations := make([]flush.Invocation, len(l.invocations))
	for i := range l.invocations {
		in := &l.invocations[i]
		if in.Done.IsZero() {
			in.Done, _ = l.requests.find(&l.requests.done, in.request, in.Arrived)
		}
		invocations[i] = in.Invocation
	}
	arrived := invocations[len(invocations)-1].Arrived
	if gap, ok := flush.LastGap(invocations); !ok || gap > l.policy.Soon() {
		l.busy = arrived
	}
	return flush.Situation{
		Invocations:      invocations,
		Left:             time.Until(ev.Deadline()) - deadlineMargin,
		Unavailable:      l.worker.stuck() || l.pipeline.Unavailable(),
		TelemetryStalled: l.telemetryStalled(),
		Behind:           l.pipeline.Behind(),
		Busy:             arrived.Sub(l.busy),
	}
}

// telemetryStalled reports whether no invocation should be held because
// platform.runtimeDone would not arrive in time. After a hold in which it did not
// arrive, it must arrive for one later invocation, or for the held one if its
// runtime ended after the hold. After further such holds in a row, it must arrive
// for 2, 4 and 8 of them. Events of earlier requests and events that are sent again
// do not count: they may come late for ever.
func (l *Loop) telemetryStalled() bool {
	if l.stalls == 0 {
		return false
	}
	arrived := 0
	for _, in := range l.invocations {
		later := in.Arrived.After(l.stall) || in.Arrived.Equal(l.stall) && !in.Done.Before(in.Freed)
		if later && !in.Done.IsZero() {
			arrived++
		}
	}
	return arrived < 1<<min(l.stalls-1, maxStalls)
}

// hold waits until the request's runtime is done and its telemetry is sent. It
// returns how long that took after the runtime was done.
func (l *Loop) hold(stop context.Context, ev extensionapi.Event, arrived time.Time) time.Duration {
	ctx, cancel := context.WithDeadline(stop, ev.Deadline().Add(-deadlineMargin))
	defer cancel()
	done, ok := l.awaitRuntimeDone(ctx, ev.RequestID, arrived)
	if !ok {
		// The function is about to time out, a signal came, or telemetry does not
		// arrive, and no other invocation may wait for it.
		l.stalls, l.stall = l.stalls+1, arrived
		return 0
	}
	l.stalls = 0
	// The hold counts from when the runtime was done, not from when the event came.
	switch now := wallclock.Now(); {
	case done.Before(arrived): // Lambda's times are in milliseconds
		done = arrived
	case done.After(now):
		done = now
	}
	ctx, cancel = context.WithDeadline(ctx, done.Add(l.policy.MaxHold))
	defer cancel()
	err := l.worker.flush(ctx)
	held := wallclock.Since(done)
	l.log.Debug("invocation over", "request_id", ev.RequestID, "held", held.String(), "flushed", err == nil)
	return held
}

// awaitRuntimeDone waits for the platform.runtimeDone of this request until ctx
// ends, or until no event of this request has arrived in time. Events of other
// requests do not count: the platform.report of the previous one regularly arrives
// now.
func (l *Loop) awaitRuntimeDone(ctx context.Context, request string, arrived time.Time) (time.Time, bool) {
	l.requests.await(request)
	defer l.requests.await("")
	first, cancel := context.WithTimeout(ctx, min(max(l.policy.MaxHold, minFirstEvent), maxFirstEvent))
	defer cancel()
	var at time.Time
	done := func() (ok bool) {
		at, ok = l.requests.find(&l.requests.done, request, arrived)
		return ok
	}
	begun := l.requests.wait(first, func() bool {
		_, seen := l.requests.find(&l.requests.any, request, arrived)
		return seen || done()
	})
	ok := begun && l.requests.wait(ctx, done)
	return at, ok
}
