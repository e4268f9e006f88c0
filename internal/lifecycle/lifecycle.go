// Package lifecycle keeps Lambda's loop going, and decides when telemetry is
// sent and how long an invocation is held for it.
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
)

const (
	// deadlineMargin is the end of an invocation's time that is never held:
	// an extension that overruns makes the invocation fail.
	deadlineMargin = 100 * time.Millisecond
	// exitMargin is the end of the shutdown's time that is kept for exiting:
	// Lambda kills what is alive at the deadline.
	exitMargin = 100 * time.Millisecond
	// signalTime is how long a shutdown by signal may take. It is Lambda's
	// own limit for one.
	signalTime = 2 * time.Second
	// lastWords is the most that a shutdown waits for the last telemetry, and
	// quiet is how long no body may have come for it to be the last: longer
	// than Lambda buffers (telemetry.Subscribe asks for 25 ms).
	lastWords = 300 * time.Millisecond
	quiet     = 40 * time.Millisecond
	// closeTime is how long bodies that are on their way are waited for.
	closeTime = 100 * time.Millisecond
	// next is tried again after an error that is none of Lambda's answers.
	nextTries = 5
	nextDelay = 50 * time.Millisecond // doubles
)

// API is Lambda's Extensions API; *extensionapi.Client is one.
type API interface {
	Next(ctx context.Context) (extensionapi.Event, error)
}

// Pipeline is what the loop tells when to work.
type Pipeline interface {
	// Thawed says that the environment may have been frozen until now.
	Thawed()
	// Cut closes the open record and has it sent, in the background.
	Cut()
	// CutIfOlder does so if it was begun that long ago, and has what is closed
	// sent in any case.
	CutIfOlder(age time.Duration)
	// Unavailable reports whether nobody should be held for what is to be sent.
	Unavailable() bool
	// Flush is Cut, and waits until all is sent, until ctx ends, or until it
	// turns out to be unavailable.
	Flush(ctx context.Context) error
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
	flush    config.Flush
	interval time.Duration
	maxHold  time.Duration
	log      *slog.Logger

	requests *requests
	last     string // the request of the last INVOKE; owned by Run
}

// New returns a Loop with the policy that cfg names.
func New(api API, pipeline Pipeline, cfg config.Config, log *slog.Logger) *Loop {
	return &Loop{
		api:      api,
		pipeline: pipeline,
		flush:    cfg.Flush,
		interval: cfg.FlushInterval,
		maxHold:  cfg.MaxHold,
		log:      log,
		requests: newRequests(),
	}
}

// Observe shows the loop an event that the pipeline has taken.
func (l *Loop) Observe(ev *event.Event) { l.requests.observe(ev) }

// Acknowledged tells the loop that the events it was shown since the last call
// are taken in, and Lambda knows.
func (l *Loop) Acknowledged() {
	if l.requests.publish() && l.flush == config.FlushEnd && l.maxHold == 0 {
		// Nobody is held, and so nobody else sees to it.
		l.pipeline.Cut()
	}
}

// Run follows Lambda's events. It returns nil after SHUTDOWN, or after stop
// ended, with all telemetry sent that could be; and an error when Lambda's loop
// cannot be kept going.
func (l *Loop) Run(stop context.Context) error {
	ticking, stopTicking := context.WithCancel(context.Background())
	ticked := make(chan struct{})
	go func() {
		defer close(ticked)
		l.tick(ticking)
	}()
	defer func() { <-ticked }()
	defer stopTicking()

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
			l.invoke(stop, ev)
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
	l.last = ev.RequestID
	l.pipeline.Thawed()
	// The ticker stands still while the environment is frozen.
	l.pipeline.CutIfOlder(l.interval)
	if l.flush != config.FlushEnd || l.maxHold == 0 || l.pipeline.Unavailable() {
		return
	}

	began := time.Now()
	ctx, cancel := context.WithDeadline(stop, ev.Deadline().Add(-deadlineMargin))
	defer cancel()
	done, ok := l.awaitRuntimeDone(ctx, ev.RequestID)
	if !ok {
		return // the function is about to time out, or we are to stop
	}
	// The hold counts from when the runtime was done, not from when we heard.
	now := time.Now()
	if done.Before(began) || done.After(now) {
		done = now
	}
	ctx, cancel = context.WithDeadline(ctx, done.Add(l.maxHold))
	defer cancel()
	err := l.pipeline.Flush(ctx)
	l.log.Debug("invocation over", "request_id", ev.RequestID, "held", time.Since(done).String(), "flushed", err == nil)
}

// awaitRuntimeDone waits for the platform.runtimeDone of this very request.
func (l *Loop) awaitRuntimeDone(ctx context.Context, request string) (time.Time, bool) {
	for {
		at, ok, changed := l.requests.runtimeDone(request)
		if ok {
			return at, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return time.Time{}, false
		}
	}
}

// shutdown sends everything before the deadline, as far as it can be.
func (l *Loop) shutdown(reason string, deadline time.Time) {
	l.log.Debug("shutting down", "reason", reason, "time_left", time.Until(deadline).String())
	ctx, cancel := context.WithDeadline(context.Background(), deadline.Add(-exitMargin))
	defer cancel()

	// What is there can be on its way while the last words come.
	l.pipeline.Thawed()
	l.pipeline.Cut()
	l.awaitLastWords(ctx, deadline)
	closing, cancelClosing := context.WithTimeout(ctx, closeTime)
	defer cancelClosing()
	l.pipeline.CloseIntake(closing)
	l.pipeline.Finish(ctx)
}

// awaitLastWords waits until the last invocation's platform.report has come,
// which Lambda sends only after the extension has called next, and nothing else
// has come for a while.
func (l *Loop) awaitLastWords(ctx context.Context, deadline time.Time) {
	ctx, cancel := context.WithTimeout(ctx, min(lastWords, time.Until(deadline)/4))
	defer cancel()
	for {
		reported, changed := l.requests.hasReport(l.last)
		var still <-chan time.Time
		if reported || l.last == "" { // or there was none
			timer := time.NewTimer(quiet)
			defer timer.Stop()
			still = timer.C
		}
		select {
		case <-changed:
		case <-still:
			return
		case <-ctx.Done():
			return
		}
	}
}

// tick has telemetry sent at the interval, however long an invocation takes.
func (l *Loop) tick(ctx context.Context) {
	ticker := time.NewTicker(l.interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			l.pipeline.Cut()
		}
	}
}
