package lifecycle

import (
	"context"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/guard"
)

const (
	// exitMargin is the end of the shutdown's time that is reserved for the exit:
	// Lambda kills processes that run at the deadline.
	exitMargin = 100 * time.Millisecond
	// signalTime is how long a shutdown after a signal may take. It is Lambda's
	// own limit for a shutdown.
	signalTime = 2 * time.Second
	// finalTelemetryTime is the longest wait for the last telemetry.
	finalTelemetryTime = 300 * time.Millisecond
	// quiet is how long no body may come before the last one counts as received. It
	// is longer than Lambda buffers (telemetry.Subscribe asks for 25 ms).
	quiet = 40 * time.Millisecond
	// managedQuiet replaces quiet on Managed Instances, where Lambda buffers for
	// 100 ms.
	managedQuiet = 140 * time.Millisecond
	// closeTime is the time limit for what should take no time.
	closeTime = 100 * time.Millisecond
)

// Finisher is what a shutdown calls.
type Finisher interface {
	// Ending sends what has been collected, in the background. The environment ends
	// at the deadline: from now on no record waits for the answer to a request that
	// carries others.
	Ending(deadline time.Time)
	// Finish stops ingesting telemetry and sends everything for the last time, or
	// stores what is not sent where it outlives the process. It returns before ctx
	// ends; ctx has a deadline.
	Finish(ctx context.Context)
}

// shutdown sends as much as it can before the deadline. It returns in time to exit,
// even if the pipeline hangs.
func (l *Loop) shutdown(reason string, deadline time.Time) {
	l.log.Debug("shutting down", "reason", reason, "time_left", time.Until(deadline).String())
	ctx, cancel := context.WithDeadline(context.Background(), deadline.Add(-exitMargin))
	defer cancel()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		l.finish(ctx, deadline)
	}()
	late := time.NewTimer(max(time.Until(deadline)-exitMargin, 0) + exitMargin/2)
	defer late.Stop()
	select {
	case <-finished:
	case <-late.C:
		l.log.Error("the shutdown takes too long; the process ends without it, and what was not sent is lost, unless it is on disk")
	}
}

// finish runs the steps of a shutdown. Each step runs even if the ones before it
// failed.
func (l *Loop) finish(ctx context.Context, deadline time.Time) {
	stopping, cancel := context.WithTimeout(ctx, closeTime)
	defer cancel()
	guard.Run(l.log, "stop the worker", func() { l.worker.stop(stopping) })
	guard.Run(l.log, "send at the shutdown", func() { l.pipeline.Ending(deadline.Add(-exitMargin)) })
	waiting, cancel := context.WithTimeout(ctx, min(finalTelemetryTime, time.Until(deadline)/4))
	defer cancel()
	guard.Run(l.log, "wait for the last telemetry", func() { l.awaitFinalTelemetry(waiting) })
	guard.Run(l.log, "finish", func() { l.pipeline.Finish(ctx) })
}

// awaitFinalTelemetry waits until the last invocation's platform.report has come,
// which Lambda sends only after the extension has called next, and then until no
// body has come for quiet (or managedQuiet). It returns early if ctx ends.
func (l *Loop) awaitFinalTelemetry(ctx context.Context) {
	if n := len(l.invocations); n > 0 {
		last := l.invocations[n-1]
		l.requests.wait(ctx, func() bool {
			_, reported := l.requests.find(&l.requests.reported, last.request, last.Arrived)
			return reported || last.request == ""
		})
	}
	if l.kind == config.ManagedInstances {
		l.requests.waitForQuiet(ctx, managedQuiet)
	} else {
		l.requests.waitForQuiet(ctx, quiet)
	}
}
