package lifecycle

import (
	"context"
	"time"

	"github.com/kinetel/kinetel/internal/config"
)

const (
	// firstTelemetryTime is how long prime waits for the first telemetry, which
	// comes with the subscription.
	firstTelemetryTime = time.Second
	// initQuiet is how long no telemetry may come before the runtime's init counts
	// as over. Its real end cannot be known: Lambda sends it after all extensions
	// have called next (seen in the aws-lambda-runtime-interface-emulator).
	initQuiet = 200 * time.Millisecond
	// initTelemetryTime is the longest wait for initQuiet.
	initTelemetryTime = 5 * time.Second
	// primeTime is the time limit of prime's flush.
	primeTime = 5 * time.Second
)

// Refused is why the init is to fail: nothing can be sent until the user fixes
// Err, and KINETEL_STRICT is set.
type Refused struct{ Err error }

func (r *Refused) Error() string { return "nothing can be sent: " + r.Err.Error() }

func (r *Refused) Unwrap() error { return r.Err }

// primes reports whether the init's telemetry has to be sent before the first next. With
// SnapStart every environment of the snapshot would send it again. With KINETEL_STRICT a
// deployment has to fail at once if nothing can be sent.
func (l *Loop) primes() bool { return l.kind == config.SnapStart || l.strict }

// prime has the init's telemetry sent.
func (l *Loop) prime(stop context.Context) error {
	snapshot := l.kind == config.SnapStart
	ctx, cancel := context.WithTimeout(stop, firstTelemetryTime)
	defer cancel()
	l.requests.wait(ctx, func() bool {
		bodies, _ := l.requests.received()
		return bodies > 0
	})
	if snapshot {
		ctx, cancel = context.WithTimeout(stop, initTelemetryTime)
		defer cancel()
		l.requests.waitForQuiet(ctx, initQuiet)
	}
	ctx, cancel = context.WithTimeout(stop, primeTime)
	defer cancel()
	err := l.worker.flush(ctx)
	if permanent := l.pipeline.PermanentError(); l.strict && permanent != nil {
		return &Refused{permanent}
	}
	l.log.Debug("the init's telemetry was sent", "sent", err == nil)
	return nil
}
