package lifecycle

import (
	"context"
	"time"

	"kinetel/internal/config"
)

const (
	// firstWords is how long the first telemetry is waited for, which comes with
	// the subscription.
	firstTelemetryTime = time.Second
	// initQuiet is how long nothing may have come for the runtime's init to have
	// said what it had to, and initWords the most that is waited for that. When it
	// is really over cannot be known: Lambda tells that after all extensions have
	// called next (as the aws-lambda-runtime-interface-emulator does it).
	initQuiet = 200 * time.Millisecond
	initTelemetryTime = 5 * time.Second
	// primeTime bounds the sending.
	primeTime = 5 * time.Second
)

// Refused is why the init is to fail: nothing can be sent until somebody mends
// something, and KINETEL_STRICT is set.
type Refused struct{ Err error }

func (r *Refused) Error() string { return "nothing can be sent: " + r.Err.Error() }

func (r *Refused) Unwrap() error { return r.Err }

// prime has what the init told sent before the first next, where that cannot
// wait: with SnapStart every environment that comes of the snapshot would send
// it again, and with KINETEL_STRICT a deployment is to hear at once that nothing
// can be sent.
func (l *Loop) prime(stop context.Context) error {
	snapshot := l.kind == config.SnapStart
	if !snapshot && !l.strict {
		return nil
	}
	l.awaitFirstTelemetry(stop)
	if snapshot {
		l.awaitQuiet(stop)
	}
	ctx, cancel := context.WithTimeout(stop, primeTime)
	defer cancel()
	err := l.worker.flush(ctx)
	if refusal := l.pipeline.PermanentError(); l.strict && refusal != nil {
		return &Refused{refusal}
	}
	l.log.Debug("the init's telemetry was sent", "sent", err == nil)
	return nil
}

// awaitFirstWords waits for any telemetry.
func (l *Loop) awaitFirstTelemetry(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, firstTelemetryTime)
	defer cancel()
	for {
		bodies, changed := l.requests.received()
		if bodies > 0 {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// awaitQuiet waits until no telemetry has come for a while.
func (l *Loop) awaitQuiet(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, initTelemetryTime)
	defer cancel()
	quiet := time.NewTimer(initQuiet)
	defer quiet.Stop()
	for {
		_, changed := l.requests.received()
		select {
		case <-changed:
			quiet.Reset(initQuiet)
		case <-quiet.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
