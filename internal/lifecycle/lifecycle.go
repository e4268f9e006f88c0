// Package lifecycle runs the extension's event loop: it calls next, decides when
// telemetry is sent, and holds an invocation if package flush decides so.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/extensionapi"
	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/guard"
	"github.com/kinetel/kinetel/internal/logging"
)

const (
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
	Finisher
}

// Invocations is what the loop itself calls. The methods return at once.
type Invocations interface {
	// Invoked reports that an invocation has begun, by which ARN, and which trace it is
	// part of.
	Invoked(request, arn, trace string, at time.Time)
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
	log      logging.Logger

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

// New returns a Loop with the policy that cfg names. jitter returns a random duration
// below its argument, which is positive.
func New(api API, pipeline Pipeline, cfg config.Config, jitter func(time.Duration) time.Duration, log logging.Logger) *Loop {
	l := &Loop{
		api:      api,
		pipeline: pipeline,
		policy:   flush.Policy{Mode: cfg.Flush, Interval: cfg.FlushInterval, MaxHold: cfg.MaxHold},
		kind:     cfg.Lambda.Initialization,
		strict:   cfg.Strict,
		log:      log,
		requests: newRequests(),
	}
	l.worker = newWorker(pipeline, cfg.FlushInterval, jitter, l.kind == config.SnapStart, log)
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
