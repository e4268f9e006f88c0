// Package lifecycle runs the extension's event loop: it has telemetry sent at the
// right times, and holds an invocation if package flush decides so.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"kinetel/internal/config"
	"kinetel/internal/event"
	"kinetel/internal/extensionapi"
	"kinetel/internal/flush"
	"kinetel/internal/guard"
	"kinetel/internal/wallclock"
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
	// nextTries is how often next is called if there is no answer from Lambda.
	nextTries = 5
	nextDelay = 50 * time.Millisecond // doubles
)

// API is Lambda's Extensions API; *extensionapi.Client is one.
type API interface {
	Next(ctx context.Context) (extensionapi.Event, error)
}

// Pipeline collects and sends the telemetry.
type Pipeline interface {
	Invocations
	Sender
	Ender
}

// Invocations is what the loop itself calls. The methods return at once.
type Invocations interface {
	// Invoked reports that an invocation has begun, and which trace it is part of.
	Invoked(request, trace string, at time.Time)
	// Unavailable reports whether no invocation should be held, because records
	// cannot be sent.
	Unavailable() bool
	// Behind returns how long records have been waiting while Kinesis accepted none.
	Behind() time.Duration
	// PermanentError returns the error that the user has to fix before anything
	// can be sent, or nil.
	PermanentError() error
	// Released reports that an invocation is released, how long it was held after
	// its runtime was done, and why.
	Released(request string, held time.Duration, why flush.Reason)
}

// Loop handles Lambda's events until SHUTDOWN.
type Loop struct {
	api      API
	pipeline Pipeline
	policy   flush.Policy
	kind     config.Initialization
	strict   bool
	log      *slog.Logger

	requests *requests
	worker   *worker

	// Owned by Run.
	invocations []invocation // the last flush.Remember ones, the oldest first
	busy        time.Time    // since when no gap between two invocations was late
	stalls      int          // holds in a row whose platform.runtimeDone did not arrive
	stall       time.Time    // when the invocation of the last such hold arrived
}

// invocation is an invocation with its request.
type invocation struct {
	request string
	flush.Invocation
}

// New returns a Loop with the policy that cfg names.
func New(api API, pipeline Pipeline, cfg config.Config, log *slog.Logger) *Loop {
	l := &Loop{
		api:      api,
		pipeline: pipeline,
		policy:   flush.Policy{Mode: cfg.Flush, Interval: cfg.FlushInterval, MaxHold: cfg.MaxHold},
		kind:     cfg.Lambda.Initialization,
		strict:   cfg.Strict,
		log:      log,
		requests: newRequests(),
	}
	l.worker = newWorker(pipeline, cfg.FlushInterval, l.kind == config.SnapStart, log)
	return l
}

// Observe records an event that the pipeline has ingested.
func (l *Loop) Observe(ev *event.Event) { l.requests.observe(ev) }

// Acknowledged makes the events that were observed since the last call visible
// to the loop: they are ingested, and Lambda has its answer.
func (l *Loop) Acknowledged() {
	done, reported := l.requests.publish()
	if l.worker.beforeRestore() {
		l.worker.seal() // every environment of the snapshot would send what waits when it is taken
		return
	}
	over := done && l.policy.MaxHold < flush.MinHold
	if l.kind == config.ManagedInstances { // which have no platform.runtimeDone
		over = reported
	}
	if !over {
		return
	}
	// No invocation is held, so no hold flushes the telemetry.
	switch l.policy.Mode {
	case flush.ModeEnd:
		l.worker.seal()
	case flush.ModeAdaptive:
		l.worker.sealLazily()
	case flush.ModeInterval:
	}
}

// Run handles Lambda's events. Its result is one of:
//   - nil after SHUTDOWN, or after stop ended, when all telemetry is sent that
//     can be;
//   - a *Refused if the init is to fail, before any call of next;
//   - another error if the calls of next fail.
func (l *Loop) Run(stop context.Context) error {
	l.worker.start()
	var refused error
	guard.Run(l.log, "send the telemetry of the init", func() { refused = l.prime(stop) })
	if refused != nil {
		ctx, cancel := context.WithTimeout(context.Background(), closeTime)
		defer cancel()
		l.worker.stop(ctx)
		return refused
	}
	for {
		ev, err := next(stop, l.api)
		switch {
		case stop.Err() != nil:
			l.shutdown("signal", time.Now().Add(signalTime))
			return nil
		case err != nil:
			l.shutdown("lost Lambda", time.Now().Add(signalTime))
			return fmt.Errorf("keep Lambda's loop going: %w", err)
		case ev.Type == extensionapi.Shutdown:
			l.shutdown(ev.ShutdownReason, ev.Deadline())
			return nil
		case ev.Type == extensionapi.Invoke:
			guard.Run(l.log, "handle an invocation", func() { l.invoke(stop, ev) })
		default:
			l.log.Warn("Lambda sent an event of an unknown type; it is ignored", "type", ev.Type)
		}
	}
}

// Idle calls next and does nothing else. It is for an extension that has nothing
// to do, or cannot do it. It returns as Run does.
func Idle(stop context.Context, api API) error {
	for {
		ev, err := next(stop, api)
		switch {
		case stop.Err() != nil || err == nil && ev.Type == extensionapi.Shutdown:
			return nil
		case err != nil:
			return fmt.Errorf("keep Lambda's loop going: %w", err)
		}
	}
}

// next waits for Lambda's next event. It tries again after a broken connection,
// but not after an error that Lambda answered.
func next(ctx context.Context, api API) (extensionapi.Event, error) {
	delay := nextDelay
	for try := 1; ; try++ {
		ev, err := api.Next(ctx)
		if answered := (*extensionapi.Error)(nil); err == nil || try == nextTries || errors.As(err, &answered) {
			return ev, err
		}
		select {
		case <-ctx.Done():
			return ev, err
		case <-time.After(delay):
		}
		delay *= 2
	}
}

// invoke holds an invocation as long as the policy says. When it returns, the
// loop calls next, which releases the environment.
func (l *Loop) invoke(stop context.Context, ev extensionapi.Event) {
	arrived := wallclock.Now()
	guard.Run(l.log, "record an invocation", func() { l.pipeline.Invoked(ev.RequestID, string(ev.Trace), arrived) })
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
