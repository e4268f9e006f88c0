package lifecycle

import (
	"context"
	"time"

	"kinetel/internal/config"
	"kinetel/internal/guard"
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
	// closeTime is the time limit for bodies that are on their way, and for
	// anything else that should take no time.
	closeTime = 100 * time.Millisecond
)

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
	step := func(what string, within time.Duration, f func(context.Context)) {
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		guard.Run(l.log, what, func() { f(ctx) })
	}
	step("stop at the shutdown", closeTime, l.worker.stop)
	step("begin the end", closeTime, func(context.Context) { l.pipeline.Ending(deadline.Add(-exitMargin)) })
	// What has been collected is sent while the last telemetry comes.
	step("thaw at the shutdown", closeTime, func(context.Context) { l.pipeline.Thawed() })
	step("cut at the shutdown", closeTime, func(context.Context) { l.pipeline.Seal() })
	step("await the last telemetry", min(finalTelemetryTime, time.Until(deadline)/4), l.awaitFinalTelemetry)
	step("stop taking telemetry in", closeTime, l.pipeline.CloseIntake)
	guard.Run(l.log, "finish", func() { l.pipeline.Finish(ctx) })
}

// awaitFinalTelemetry waits until the last invocation's platform.report has come,
// which Lambda sends only after the extension has called next, and then until no
// body has come for quiet (or managedQuiet). It returns early if ctx ends.
func (l *Loop) awaitFinalTelemetry(ctx context.Context) {
	quiet := quiet
	if l.kind == config.ManagedInstances {
		quiet = managedQuiet
	}
	var since time.Time
	if len(l.invocations) > 0 {
		since = l.invocations[len(l.invocations)-1].Arrived
	}
	for {
		reported, changed := l.requests.hasReport(l.last, since)
		var idle <-chan time.Time
		if reported || l.last == "" { // empty: there was no invocation
			timer := time.NewTimer(quiet)
			defer timer.Stop()
			idle = timer.C
		}
		select {
		case <-changed:
		case <-idle:
			return
		case <-ctx.Done():
			return
		}
	}
}
