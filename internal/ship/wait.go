package ship

import (
	"context"
	"errors"
	"time"

	"github.com/kinetel/kinetel/internal/wallclock"
)

// ErrUnavailable means that Kinesis does not accept records, or not fast enough,
// so that the environment should not be held for it.
var ErrUnavailable = errors.New("the records have to wait")

// caller is a call of Flush or Drain that waits for the records.
type caller struct {
	deadline time.Time // zero: it has none
	draining bool      // it is a Drain
	end      context.CancelCauseFunc
}

// Flush sends the records that wait, and returns when all of them are in Kinesis
// or dropped. It returns ErrUnavailable as soon as the breaker opens, and the cause
// of ctx's end if ctx ends first. In both cases the shipper keeps trying to send
// the records.
func (s *Shipper) Flush(ctx context.Context) error { return s.wait(ctx, false) }

// Drain is Flush for the end of the environment: it goes on until ctx ends, or
// until Kinesis refuses one more attempt with an error that an operator has to fix.
func (s *Shipper) Drain(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	s.Ending(deadline)
	return s.wait(ctx, true)
}

// Ending announces that the environment ends at the deadline: from now on no
// record waits for the answer to a request that carries other records. A zero
// deadline means that the end is not known.
func (s *Shipper) Ending(deadline time.Time) {
	s.mu.Lock()
	if !s.isEnding() {
		close(s.ending)
		// There is no time to find out that a connection is dead.
		s.reconnect = s.reconnect || wallclock.Since(s.lastAttempt) > StaleAfter
	}
	s.deadline = deadline
	s.mu.Unlock()
	s.Wake()
}

// isEnding reports whether Ending was called.
func (s *Shipper) isEnding() bool {
	select {
	case <-s.ending:
		return true
	default:
		return false
	}
}

// wait waits until the queue no longer has the records that it has now, ctx ends,
// or a failure ends the wait.
func (s *Shipper) wait(ctx context.Context, draining bool) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	deadline, _ := ctx.Deadline()
	s.mu.Lock()
	if !draining && s.Unavailable() {
		s.mu.Unlock()
		return ErrUnavailable
	}
	began, records := time.Now(), s.stats.Records
	c := &caller{deadline, draining, end}
	if draining || s.caller == nil || !s.caller.draining { // a flush that was late must not replace the drain
		s.caller = c
	}
	// Signal with the lock: otherwise a refusal could come in between and clear the
	// signal. And before the wake: the woken worker clears the signal when it begins
	// its next attempt.
	signal(s.urgent)
	s.mu.Unlock()
	drained, forget := s.queue.Drained()
	defer forget()
	s.cancelStale(WaitGrace)
	s.Wake()
	var err error
	select {
	case <-drained:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.caller == c {
		s.caller = nil
	}
	if err != nil && !draining && !errors.Is(err, ErrUnavailable) && s.stats.Records == records {
		s.holds.Unproductive(time.Now(), time.Since(began))
		s.updateUnavailable()
	}
	return err
}

// timeLeft returns how long a caller will still wait for the records; 0: none
// waits. The caller holds mu.
func (s *Shipper) timeLeft() time.Duration {
	var deadline time.Time
	switch {
	case s.isEnding():
		deadline = s.deadline
	case s.caller != nil:
		deadline = s.caller.deadline
	}
	return max(time.Until(deadline), 0)
}
