package ship

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/kinetel/kinetel/internal/breaker"
	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/wallclock"
)

const (
	// urgentDelay bounds the rest of a pause when a caller begins to wait.
	urgentDelay = 100 * time.Millisecond
	// inFlightDelay bounds the pause after a refusal while another request is in
	// flight.
	inFlightDelay = 500 * time.Millisecond
	// logPartlyAfter is how many attempts in a row leave records behind before
	// an outage is logged: a shard that throttles for a while is normal.
	logPartlyAfter = 20
)

// newKey records that Kinesis did not accept a record, and returns another partition
// key for it, because its shard is full; empty: it keeps its key. A record that is
// bound to its key always keeps it.
func (s *Shipper) newKey(r *pack.Record) (key string) {
	if r.Throttled++; s.colocated && r.Throttled%breaker.NewKeyAfter != 0 || r.Bound() {
		return ""
	}
	return rand.Text()
}

// throttling returns a record's failure as the error of a request.
func throttling(r kinesis.Result) error {
	return &kinesis.Error{Class: kinesis.Throttled, Status: 200, Code: r.ErrorCode, Message: r.ErrorMessage}
}

// partly records an attempt that succeeded for some records.
func (s *Shipper) partly(d *delivery) {
	err := throttling(d.example)
	remaining := s.queue.Waiting().Size - d.done // the batch is not acked yet
	s.mu.Lock()
	s.stats.Retried += int64(d.failed)
	s.lastError = err
	s.behind.Store(0)
	s.breaker.Partly(time.Now(), remaining)
	s.updateUnavailable()
	failures, _ := s.breaker.Failures()
	s.pauseFor(s.breaker.Delay(s.timeLeft()))
	logged := s.outageLogged
	s.mu.Unlock()
	if !logged && failures >= logPartlyAfter {
		s.logOutage(err) // a shard that stays too hot
	}
	s.log.Debug("Kinesis did not accept some records; they are sent again", "failed", d.failed, "of", len(d.batch),
		"code", d.example.ErrorCode, "message", d.example.ErrorMessage)
}

// failed records an attempt that began at began and failed as a whole. It logs an
// outage once.
func (s *Shipper) failed(began time.Time, err error, records int) {
	class := kinesis.ClassOf(err)
	refused := class == kinesis.Denied || class == kinesis.Credentials
	now := time.Now()
	s.mu.Lock()
	s.stats.Retried += int64(records)
	s.lastError = err
	// Log an error that an operator has to fix even if an outage for another
	// reason is logged already.
	worse := refused && s.breaker.Open() && !s.breaker.Refused()
	var opened bool
	// Requests that were in flight together and fail together count as one failure.
	if refused || !began.Before(s.failedAt) {
		opened = s.breaker.Failed(now, now.Sub(began), class)
	}
	s.failedAt = now
	s.updateUnavailable()
	delay := s.breaker.Delay(s.timeLeft())
	final := refused && len(s.attempts) == 0
	switch {
	case final:
		select {
		case <-s.urgent: // the refusal answers the caller that waits
		default:
		}
	case refused:
		// The requests in flight may succeed: the answer after them decides.
		delay = min(delay, inFlightDelay)
	}
	if c := s.caller; c != nil && (opened && !c.draining || final && c.draining) {
		c.end(ErrUnavailable)
	}
	s.pauseFor(delay)
	logged := s.outageLogged
	s.mu.Unlock()
	if opened && !logged || worse {
		s.logOutage(err)
	}
}

// logOutage logs that Kinesis does not accept all records.
func (s *Shipper) logOutage(err error) {
	lost := s.lost()
	s.mu.Lock()
	if !s.outageLogged {
		s.outageLogged, s.lostAt = true, lost
	}
	s.mu.Unlock()
	waiting := s.queue.Waiting()
	attrs := []any{
		"error", err.Error(), "class", kinesis.ClassOf(err).String(),
		"waiting_records", waiting.Records, "waiting_events", waiting.Events, "waiting_bytes", waiting.Size,
	}
	if fix := kinesis.Fix(err); fix != "" {
		attrs = append(attrs, "fix", fix)
	}
	s.log.Error("Kinesis does not accept telemetry; records wait and are sent again, and no invocation is held for them", attrs...)
}

// succeeded records an attempt that succeeded. The next one may have to wait, so that
// a backlog is not sent as a burst.
func (s *Shipper) succeeded(d *delivery) {
	s.behind.Store(0)
	s.needsAnother.Store(false)
	remaining, lost := s.queue.Waiting().Size-d.done, s.lost()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastError = nil
	s.holds.Answered(time.Now(), s.latency.Last())
	failures, since := s.breaker.Failures()
	closed := s.breaker.Succeeded(d.done, remaining)
	s.updateUnavailable()
	if closed && s.outageLogged {
		s.outageLogged = false
		s.log.Warn("Kinesis accepts telemetry again", "failed_for", wallclock.Since(since).Round(time.Millisecond).String(),
			"attempts", failures, "lost_events", lost-s.lostAt)
	}
	if s.timeLeft() == 0 { // no pause if a caller waits
		s.pauseFor(s.breaker.Pace(d.done))
	}
}

// pauseFor lets no attempt begin within delay. The caller holds mu.
func (s *Shipper) pauseFor(delay time.Duration) {
	if until := time.Now().Add(delay); until.After(s.pausedUntil) {
		s.pausedUntil = until
	}
}

// pause waits until the next attempt may begin. New records do not shorten the
// pause. A caller that begins to wait for them shortens it once.
func (s *Shipper) pause(ctx context.Context) {
	s.mu.Lock()
	delay := time.Until(s.pausedUntil)
	s.mu.Unlock()
	if delay <= 0 {
		return
	}
	urgent := s.urgent
	var another chan struct{}
	if s.needsAnother.Load() {
		another = s.wake // there may be a record to probe with
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			return
		case <-urgent:
		case <-another:
		}
		urgent, another = nil, nil
		timer.Reset(s.shortenPause())
	}
}

// shortenPause shortens the rest of a pause to at most urgentDelay, and returns it.
// It leaves some time between two attempts: the first may have stored its records.
func (s *Shipper) shortenPause() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if soon := time.Now().Add(urgentDelay/2 + Jitter(urgentDelay/2)); soon.Before(s.pausedUntil) {
		s.pausedUntil = soon
	}
	return time.Until(s.pausedUntil)
}

// Jitter returns a random duration below most, which must be positive. It reads
// the kernel's random source: a generator in the process would be part of a
// SnapStart snapshot, and all environments restored from it would wait alike.
func Jitter(most time.Duration) time.Duration {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never returns an error: it ends the process instead (crypto/rand)
	return time.Duration(binary.NativeEndian.Uint64(b[:]) % uint64(most))
}
