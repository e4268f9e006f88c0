// Package lifecycle keeps Lambda's loop going: it has telemetry sent at the
// right times, and holds an invocation where package flush says so.
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
)

const (
	// deadlineMargin is the end of an invocation's time that is never held:
	// an extension that overruns makes the invocation fail.
	deadlineMargin = 100 * time.Millisecond
	// An invocation is let go unless an event of its own arrives within
	// KINETEL_MAX_HOLD, but no less than minFirstEvent and no more than
	// maxFirstEvent: Lambda sends platform.start within milliseconds, and without
	// telemetry the hold would last until the deadline.
	minFirstEvent = 100 * time.Millisecond
	maxFirstEvent = time.Second
	// maxStalls bounds the backoff of holds whose platform.runtimeDone did not
	// arrive in time: after 2^maxStalls other invocations one is held again.
	maxStalls = 3 // 8 of the flush.Remember invocations that are known
	// next is tried again after an error that is none of Lambda's answers.
	nextTries = 5
	nextDelay = 50 * time.Millisecond // doubles
)

// API is Lambda's Extensions API; *extensionapi.Client is one.
type API interface {
	Next(ctx context.Context) (extensionapi.Event, error)
}

// Pipeline is what the loop tells when to work. Invoked, Unavailable, Behind and
// Released return at once; everything else may take its time, and the loop does
// not wait for it beyond the bounds that it has.
type Pipeline interface {
	// Invoked says that an invocation has begun, and which trace it is part of.
	Invoked(request, trace string, at time.Time)
	// Thawed says that the environment may have been frozen until now.
	Thawed()
	// Restored says that the environment was brought up from a snapshot, by
	// now. Only the first call means something.
	Restored()
	// Ending says that the environment ends, and until when records can be sent:
	// from now on none waits for the answer to a request that carries others.
	Ending(deadline time.Time)
	// Cut closes the open record and has it sent, in the background.
	Seal()
	// CutIfOlder does so if it was begun that long ago, and has what is closed
	// sent in any case.
	SealIfOlder(age time.Duration)
	// Unavailable reports whether nobody should be held for what is to be sent.
	Unavailable() bool
	// Behind returns how long records have been waiting without one that went
	// through.
	Behind() time.Duration
	// Flush is Cut, and waits until all is sent, until ctx ends, or until it
	// turns out to be unavailable.
	Flush(ctx context.Context) error
	// Refusal returns what somebody has to mend before anything can be sent, or
	// nil.
	PermanentError() error
	// Released says that an invocation is let go, how long it was held after
	// its runtime was done, and why.
	Released(request string, held time.Duration, why flush.Reason)
	// CloseIntake stops taking telemetry in. What was acknowledged is packed
	// afterwards.
	CloseIntake(ctx context.Context)
	// Finish sends everything for the last time, or puts it where it outlives
	// the process, before ctx ends, which has a deadline.
	Finish(ctx context.Context)
}

// Loop follows Lambda's events until SHUTDOWN.
type Loop struct {
	api      API
	pipeline Pipeline
	policy   flush.Policy
	kind     config.Initialization
	strict   bool
	log      *slog.Logger

	requests *requests
	worker     *worker

	// Owned by Run.
	last   string    // the request of the last INVOKE
	invocations []invocation   // the last invocations, the oldest first
	busy   time.Time // since when no gap between two of them was late
	stalls int       // holds in a row whose platform.runtimeDone did not arrive
	stall  time.Time // when the invocation of the last of them arrived
}

// visit is an invocation.
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

// Observe shows the loop an event that the pipeline has taken.
func (l *Loop) Observe(ev *event.Event) { l.requests.observe(ev) }

// Acknowledged tells the loop that the events it was shown since the last call
// are taken in, and Lambda knows.
func (l *Loop) Acknowledged() {
	done, reported := l.requests.publish()
	if l.worker.beforeRestore() {
		l.worker.cut() // what waits when the snapshot is taken is sent by all that come of it
		return
	}
	over := done && l.policy.MaxHold < config.MinHold
	if l.kind == config.ManagedInstances { // where no runtime is told to be done
		over = reported
	}
	if !over {
		return
	}
	// Nobody is held, and so nobody else sees to it.
	switch l.policy.Mode {
	case config.FlushEnd:
		l.worker.cut()
	case config.FlushAdaptive:
		l.worker.cutLazily()
	case config.FlushInterval:
	}
}

// Run follows Lambda's events. It returns nil after SHUTDOWN, or after stop
// ended, with all telemetry sent that could be; a *Refused where the init is to
// fail, before any call of next; and an error when Lambda's loop cannot be kept
// going.
func (l *Loop) Run(stop context.Context) error {
	l.worker.start()
	var refused error
	guard.Run(l.log, "send what the init told", func() { refused = l.prime(stop) })
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
			guard.Run(l.log, "follow an invocation", func() { l.invoke(stop, ev) })
		default:
			l.log.Warn("Lambda sent an event of an unknown type; it is ignored", "type", ev.Type)
		}
	}
}

// Idle keeps Lambda's loop going and does nothing else, for when there is
// nothing to do or nothing that can be done. It returns as Run does.
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

// next waits for Lambda's next event. A broken connection is tried again; what
// Lambda refuses is not.
func next(ctx context.Context, api API) (extensionapi.Event, error) {
	delay := nextDelay
	for try := 1; ; try++ {
		ev, err := api.Next(ctx)
		if refusal := (*extensionapi.Error)(nil); err == nil || try == nextTries || errors.As(err, &refusal) {
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
// loop calls next, which lets the environment go.
func (l *Loop) invoke(stop context.Context, ev extensionapi.Event) {
	// Round strips the monotonic reading, which may stand still while the
	// environment is frozen.
	arrived := time.Now().Round(0)
	l.last = ev.RequestID
	guard.Run(l.log, "note an invocation", func() { l.pipeline.Invoked(ev.RequestID, string(ev.Trace), arrived) })
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
	l.invocations[len(l.invocations)-1].Freed = time.Now().Round(0)
	l.pipeline.Released(ev.RequestID, held, why)
}

// situation is what there is to decide on.
func (l *Loop) situation(ev extensionapi.Event) flush.Situation {
	visits := make([]flush.Invocation, len(l.invocations))
	for i := range l.invocations {
		v := &l.invocations[i]
		if v.Done.IsZero() {
			v.Done, _, _ = l.requests.runtimeDone(v.request, v.Arrived)
		}
		visits[i] = v.Invocation
	}
	arrived := visits[len(visits)-1].Arrived
	if gap, ok := flush.LastGap(visits); !ok || gap > l.policy.Soon() {
		l.busy = arrived
	}
	return flush.Situation{
		Invocations:      visits,
		Left:        time.Until(ev.Deadline()) - deadlineMargin,
		Unavailable: l.worker.stuck() || l.pipeline.Unavailable(),
		TelemetryStalled:        l.telemetryStalled(),
		Behind:      l.pipeline.Behind(),
		Busy:        arrived.Sub(l.busy),
	}
}

// telemetryStalled reports whether no invocation should be held because
// platform.runtimeDone would not arrive in time. After a hold in which it did not,
// it must arrive for a later invocation, or for that one if its runtime ended after
// the hold; after further such holds in a row for 2, 4 and 8 of them. Events of
// earlier requests and events that are sent again do not count: they may come late
// for ever.
func (l *Loop) telemetryStalled() bool {
	if l.stalls == 0 {
		return false
	}
	arrived := 0
	for _, v := range l.invocations {
		later := v.Arrived.After(l.stall) || v.Arrived.Equal(l.stall) && !v.Done.Before(v.Freed)
		if later && !v.Done.IsZero() {
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
		// The function is about to time out, or a signal came; or telemetry does
		// not arrive, and no other invocation must wait for it.
		l.stalls, l.stall = l.stalls+1, arrived
		return 0
	}
	l.stalls = 0
	// The hold counts from when the runtime was done, not from when we heard.
	switch now := time.Now().Round(0); {
	case done.Before(arrived): // to Lambda's millisecond
		done = arrived
	case done.After(now):
		done = now
	}
	ctx, cancel = context.WithDeadline(ctx, done.Add(l.policy.MaxHold))
	defer cancel()
	err := l.worker.flush(ctx)
	held := time.Now().Round(0).Sub(done)
	l.log.Debug("invocation over", "request_id", ev.RequestID, "held", held.String(), "flushed", err == nil)
	return held
}

// awaitRuntimeDone waits for the platform.runtimeDone of this very request until
// ctx ends, or until no event of this request has arrived in time. Events of other
// requests say nothing about this one: the platform.report of the previous one
// regularly arrives now.
func (l *Loop) awaitRuntimeDone(ctx context.Context, request string, arrived time.Time) (time.Time, bool) {
	l.requests.await(request)
	defer l.requests.await("")
	firstEvent := time.NewTimer(min(max(l.policy.MaxHold, minFirstEvent), maxFirstEvent))
	defer firstEvent.Stop()
	for {
		at, ok, changed := l.requests.runtimeDone(request, arrived)
		if ok {
			return at, true
		}
		select {
		case <-changed:
		case <-firstEvent.C:
			if !l.requests.hasEvent(request, arrived) {
				return time.Time{}, false
			}
		case <-ctx.Done():
			return time.Time{}, false
		}
	}
}
