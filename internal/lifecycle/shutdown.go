package lifecycle

import (
	"context"
	"time"

	"kinetel/internal/config"
	"kinetel/internal/guard"
)

const (
	// exitMargin is the end of the shutdown's time that is kept for exiting:
	// Lambda kills what is alive at the deadline.
	exitMargin = 100 * time.Millisecond
	// signalTime is how long a shutdown by signal may take. It is Lambda's
	// own limit for one.
	signalTime = 2 * time.Second
	// lastWords is the most that a shutdown waits for the last telemetry, and
	// quiet is how long no body may have come for it to be the last: longer
	// than Lambda buffers (telemetry.Subscribe asks for 25 ms).
	finalTelemetryTime = 300 * time.Millisecond
	quiet     = 40 * time.Millisecond
	// managedQuiet is that for Managed Instances, where Lambda buffers for 100 ms.
	managedQuiet = 140 * time.Millisecond
	// closeTime is how long bodies that are on their way are waited for, and
	// anything else that should take no time.
	closeTime = 100 * time.Millisecond
)

// shutdown sends everything before the deadline, as far as it can be. It returns
// in time to exit, even where the pipeline does not.
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

// finish takes the steps of a shutdown, each whatever became of the ones before.
func (l *Loop) finish(ctx context.Context, deadline time.Time) {
	step := func(what string, within time.Duration, f func(context.Context)) {
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		guard.Run(l.log, what, func() { f(ctx) })
	}
	step("stop at the shutdown", closeTime, l.worker.stop)
	step("begin the end", closeTime, func(context.Context) { l.pipeline.Ending(deadline.Add(-exitMargin)) })
	// What is there can be on its way while the last words come.
	step("thaw at the shutdown", closeTime, func(context.Context) { l.pipeline.Thawed() })
	step("cut at the shutdown", closeTime, func(context.Context) { l.pipeline.Seal() })
	step("await the last telemetry", min(finalTelemetryTime, time.Until(deadline)/4), l.awaitFinalTelemetry)
	step("stop taking telemetry in", closeTime, l.pipeline.CloseIntake)
	guard.Run(l.log, "finish", func() { l.pipeline.Finish(ctx) })
}

// awaitLastWords waits until the last invocation's platform.report has come,
// which Lambda sends only after the extension has called next, and nothing else
// has come for a while, or until ctx ends.
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
