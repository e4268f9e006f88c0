package ship

import (
	"context"
	"errors"
	"time"

	"github.com/kinetel/kinetel/internal/breaker"
	"github.com/kinetel/kinetel/internal/guard"
	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/wallclock"
)

const (
	// StaleAfter is the age, by the wall clock, from which a request in flight
	// is stale when the environment is thawed or shut down, or when a caller
	// begins to wait. A stale request is cancelled after StaleGrace, or after
	// WaitGrace if a caller waits.
	StaleAfter = 2 * time.Second
	StaleGrace = 200 * time.Millisecond
	WaitGrace  = 50 * time.Millisecond
	// MaxIdle is how long a connection may be idle before it is not used again:
	// a device on the path drops it silently (a NAT gateway after 350 s, AWS
	// documentation; Kinesis itself earlier).
	MaxIdle = 50 * time.Second
	// MaxJump is how much the wall clock and the monotonic clock may differ
	// without a thaw.
	MaxJump = time.Second
)

var (
	// errStale is the cause of cancelling a request that has been in flight for long.
	errStale = errors.New("no answer for long, perhaps because the environment was frozen")
	// errFault stands for a panic, which the guard has logged.
	errFault = errors.New("a fault in Kinetel")
)

// attempt is a request in flight.
type attempt struct {
	began  time.Time
	cancel context.CancelCauseFunc
}

// cancelStale cancels stale requests, unless their answers come within grace.
func (s *Shipper) cancelStale(grace time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a := range s.attempts {
		if wallclock.Since(a.began) >= StaleAfter {
			time.AfterFunc(grace, func() { a.cancel(errStale) })
		}
	}
}

// put makes one request, and at once a second one if the first failed for a reason
// that a retry removes: a connection that died while the environment was frozen,
// or credentials that can be fetched again.
func (s *Shipper) put(ctx context.Context, batch []*pack.Record) ([]kinesis.Result, error) {
	s.mu.Lock()
	reconnect, invalidate := s.reconnect || s.wasFrozen(), s.invalidate
	s.reconnect, s.invalidate = false, false
	s.mu.Unlock()
	if reconnect {
		s.putter.CloseIdle()
	}
	if invalidate {
		s.putter.InvalidateCredentials()
	}
	results, err := s.try(ctx, batch)
	switch e := (*kinesis.Error)(nil); {
	case ctx.Err() != nil || !errors.As(err, &e):
		return results, err
	case e.Reused, errors.Is(err, errStale):
		s.putter.CloseIdle()
	case e.Class == kinesis.Credentials:
		s.putter.InvalidateCredentials()
	default:
		return results, err
	}
	s.mu.Lock()
	s.stats.Retried += int64(len(batch))
	s.mu.Unlock()
	return s.try(ctx, batch)
}

// wasFrozen reports whether the environment seems to have been frozen since the
// last attempt, or its clock was set. The caller holds mu.
func (s *Shipper) wasFrozen() bool {
	if s.lastAttempt.IsZero() {
		return false
	}
	wall, monotonic := wallclock.Since(s.lastAttempt), time.Since(s.lastAttempt)
	return wall > MaxIdle || (wall-monotonic).Abs() > MaxJump
}

// try makes one request.
func (s *Shipper) try(ctx context.Context, batch []*pack.Record) ([]kinesis.Result, error) {
	ctx, stop := context.WithTimeout(ctx, breaker.AttemptTimeout)
	defer stop()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	this := &attempt{time.Now(), cancel}
	s.mu.Lock()
	s.attempts[this] = true
	s.stats.Requests++
	s.mu.Unlock()

	results, err := s.putRecords(ctx, batch)

	s.latency.Note(time.Since(this.began))
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.attempts, this)
	s.lastAttempt = time.Now()
	if err == nil {
		s.proven.Store(true)
		return results, nil
	}
	if e := (*kinesis.Error)(nil); errors.As(err, &e) && e.Unknown() {
		s.stats.Unknown++
	}
	if errors.Is(context.Cause(ctx), errStale) {
		err = &kinesis.Error{Class: kinesis.Transient, Err: errStale}
	}
	return nil, err
}

// putRecords calls the Putter and returns a panic as an error: the records of that
// request are kept and sent again, as after any other failure.
func (s *Shipper) putRecords(ctx context.Context, batch []*pack.Record) (results []kinesis.Result, err error) {
	if !guard.Run(s.log, "send records", func() { results, err = s.putter.PutRecords(ctx, batch) }) {
		return nil, &kinesis.Error{Class: kinesis.Transient, Err: errFault}
	}
	return results, err
}
