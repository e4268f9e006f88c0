// Package ship sends the queue's records to Kinesis: one request at a time, or
// several while the environment ends. It sends only failed records again.
package ship

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"kinetel/internal/breaker"
	"kinetel/internal/guard"
	"kinetel/internal/kinesis"
	"kinetel/internal/ledger"
	"kinetel/internal/pack"
	"kinetel/internal/queue"
	"kinetel/internal/wallclock"
)

const (
	// staleAfter is the age, by the wall clock, from which a request in flight
	// is stale when the environment is thawed or shut down, or when a caller
	// begins to wait. A stale request is cancelled after staleGrace, or after
	// waitGrace if a caller waits.
	staleAfter = 2 * time.Second
	staleGrace = 200 * time.Millisecond
	waitGrace  = 50 * time.Millisecond
	// kickDelay bounds the rest of a pause when a caller begins to wait.
	kickDelay = 100 * time.Millisecond
	// inFlightDelay bounds the pause after a refusal while another request is in
	// flight.
	inFlightDelay = 500 * time.Millisecond
	// minAnswer is shorter than the time that any answer takes.
	minAnswer = 20 * time.Millisecond
	// faultDelay is the wait after a panic, so that a panic at every attempt
	// costs next to nothing.
	faultDelay = time.Second
	// maxConcurrent is how many requests may be in flight while the environment
	// ends, because then no request may wait for the answer to another.
	// maxInFlight is how many bytes they may carry together: their bodies are in
	// memory besides the buffer.
	maxConcurrent = kinesis.MaxConnections
	maxInFlight   = 2 * breaker.MaxBytes
	// logPartlyAfter is how many attempts in a row leave records behind before
	// an outage is logged: a shard that throttles for a while is normal.
	logPartlyAfter = 20
)

// ErrUnavailable means that Kinesis does not take records, or not fast enough,
// so that the environment should not be held for it.
var ErrUnavailable = errors.New("the records have to wait")

// Putter sends records to Kinesis; *kinesis.Client is one.
type Putter interface {
	// PutRecords returns a result for each record, or a *kinesis.Error.
	PutRecords(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error)
	// CloseIdle closes idle connections, which may be dead.
	CloseIdle()
	// InvalidateCredentials makes the next request read new credentials.
	InvalidateCredentials()
}

// Shipper sends a queue's records. Run does the work. Flush and Drain must be
// called by one goroutine; the other methods are safe for concurrent use, but see
// Last.
type Shipper struct {
	queue  *queue.Queue
	putter Putter
	lost   func() int64 // events lost since the start
	log    *slog.Logger

	wake chan struct{} // one slot: there may be something to send
	kick chan struct{} // one slot: a caller waits, so shorten the pause
	turn chan struct{} // one slot, full while a worker chooses the next batch

	mu       sync.Mutex // guards all below, up to stats
	deadline time.Time  // of the caller that waits for the records; zero: none waits, or it has no deadline
	breaker  breaker.Breaker
	opened   chan struct{} // closed, and replaced, when the breaker opens
	refusal  chan struct{} // closed, and replaced, at each refusal that an operator has to fix
	holds    breaker.Holds
	attempts map[*attempt]bool // in flight
	inFlight int64             // bytes of the batches that are not acknowledged
	last     time.Time         // when the last attempt ended
	failedAt time.Time         // when an attempt last failed as a whole
	resume   time.Time         // no attempt begins earlier
	fresh    bool              // the next attempt must use a new connection
	renew    bool              // and new credentials
	ending   chan struct{}     // closed when the environment ends
	end      time.Time         // when it ends; zero: it does not, or has no deadline

	lastError    error // of the last attempt that failed; nil: a later one succeeded
	outageLogged bool  // the log has an outage whose end it does not have yet
	lostAt       int64 // events lost when the outage was logged
	proven       bool  // Kinesis has accepted a request as a whole

	// The loop reads these before each invocation, and must not wait for a lock.
	unavailable  atomic.Bool
	needsAnother atomic.Bool  // see NeedsAnother
	behind       atomic.Int64 // Unix time in ns of the first attempt for the records that wait; 0: none

	stats stats
}

// attempt is a request in flight.
type attempt struct {
	began  time.Time
	cancel context.CancelCauseFunc
}

// New returns a Shipper of the queue's records. lost returns how many events
// were lost since the start, for the log.
func New(q *queue.Queue, putter Putter, lost func() int64, log *slog.Logger) *Shipper {
	return &Shipper{
		queue: q, putter: putter, lost: lost, log: log, breaker: breaker.New(jitter),
		wake: make(chan struct{}, 1), kick: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		opened: make(chan struct{}), refusal: make(chan struct{}), ending: make(chan struct{}),
		attempts: map[*attempt]bool{},
	}
}

// Wake starts sending the records that wait, and returns at once.
func (s *Shipper) Wake() { signal(s.wake) }

// Behind returns for how long, by the wall clock, attempts have not got a single
// record through; 0 if no attempt was made since the last success.
func (s *Shipper) Behind() time.Duration {
	since := s.behind.Load()
	if since == 0 {
		return 0
	}
	return age(time.Unix(0, since))
}

func signal(slot chan<- struct{}) {
	select {
	case slot <- struct{}{}:
	default: // signalled already
	}
}

// Thawed is Wake after the environment may have been frozen: a request that has
// been in flight for long is cancelled and sent again.
func (s *Shipper) Thawed() {
	s.cancelStale(staleGrace)
	s.Wake()
}

// Restored is Wake after the process was restored from a snapshot: its
// connections are dead, and its credentials may have expired.
func (s *Shipper) Restored() {
	s.mu.Lock()
	s.fresh, s.renew = true, true
	s.mu.Unlock()
	s.Wake()
}

// cancelStale cancels stale requests, unless their answers come within grace.
func (s *Shipper) cancelStale(grace time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a := range s.attempts {
		if age(a.began) >= staleAfter {
			time.AfterFunc(grace, func() { a.cancel(errStale) })
		}
	}
}

// errStale is the cause of cancelling a request that has been in flight for long.
var errStale = errors.New("no answer for long, perhaps because the environment was frozen")

// age returns how long ago t was by the wall clock, which goes on while the
// environment is frozen.
func age(t time.Time) time.Duration { return wallclock.Since(t) }

// Unavailable reports whether Kinesis does not take records, or not fast enough,
// so that the environment should not be held for it.
func (s *Shipper) Unavailable() bool { return s.unavailable.Load() }

// NeedsAnother reports whether Kinesis refused the only record that waits as
// invalid, and has accepted nothing yet: a second record would show whether the
// reason is in the record or in what all requests have in common.
func (s *Shipper) NeedsAnother() bool { return s.needsAnother.Load() }

// updateUnavailable sets what Unavailable returns. The caller holds mu.
func (s *Shipper) updateUnavailable() {
	s.unavailable.Store(!s.breaker.Closed() || s.holds.Exhausted())
}

// Flush sends the records that wait, and returns when all of them are in Kinesis
// or dropped. It returns ErrUnavailable as soon as the breaker opens, and the cause
// of ctx's end if ctx ends first. In both cases the shipper keeps trying to send
// the records.
func (s *Shipper) Flush(ctx context.Context) error {
	if s.Unavailable() {
		return ErrUnavailable
	}
	s.mu.Lock()
	opened := s.opened
	s.mu.Unlock()
	records, began := s.stats.records.Load(), time.Now()
	err := s.wait(ctx, opened)
	if ctx.Err() != nil && err != nil && s.stats.records.Load() == records {
		s.mu.Lock()
		s.holds.Unproductive(time.Now(), time.Since(began))
		s.updateUnavailable()
		s.mu.Unlock()
	}
	return err
}

// Ending announces that the environment ends at the deadline: from now on no
// record waits for the answer to a request that carries other records. A zero
// deadline means that the end is not known.
func (s *Shipper) Ending(deadline time.Time) {
	s.mu.Lock()
	if !s.isEnding() {
		close(s.ending)
		// There is no time to find out that a connection is dead.
		s.fresh = s.fresh || age(s.last) > staleAfter
	}
	s.end = deadline
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

// Drain is Flush for the end of the environment: it goes on until ctx ends, or
// until Kinesis refuses one more attempt with an error that an operator has to fix.
func (s *Shipper) Drain(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	s.Ending(deadline)
	s.mu.Lock()
	refusal := s.refusal
	s.mu.Unlock()
	return s.wait(ctx, refusal)
}

// wait waits until the queue no longer has the records that it has now, ctx ends,
// or unavailable is closed.
func (s *Shipper) wait(ctx context.Context, unavailable <-chan struct{}) error {
	deadline, _ := ctx.Deadline()
	empty, forget := s.queue.Left()
	defer forget()
	s.mu.Lock()
	s.deadline = deadline
	// Kick with the lock: otherwise a refusal could come in between and clear the
	// kick. And kick before the wake: the woken worker clears the kick when it
	// begins its next attempt.
	signal(s.kick)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.deadline = time.Time{}
		s.mu.Unlock()
	}()
	s.cancelStale(waitGrace)
	signal(s.wake)
	select {
	case <-empty:
		return nil
	case <-unavailable:
		return ErrUnavailable
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// PermanentError returns the error with which Kinesis refuses records until an
// operator fixes it; nil if no such error is known.
func (s *Shipper) PermanentError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastError == nil || !s.breaker.Refused() {
		return nil
	}
	return s.lastError
}

// LastError returns why records wait, as far as it is known.
func (s *Shipper) LastError() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastError == nil {
		return "there was no time for more"
	}
	return s.lastError.Error()
}

// unanswered records that the last request was cancelled because there was no
// time to wait for its answer.
func (s *Shipper) unanswered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastError == nil {
		s.lastError = fmt.Errorf("a request got no answer within %s", s.stats.latency.Last().Round(time.Millisecond))
	}
}

// Run sends records until ctx ends. It survives panics.
func (s *Shipper) Run(ctx context.Context) {
	var workers sync.WaitGroup
	defer workers.Wait()
	workers.Go(func() {
		select {
		case <-ctx.Done():
		case <-s.ending:
			for range maxConcurrent - 1 {
				workers.Go(func() { s.work(ctx) })
			}
		}
	})
	s.work(ctx)
}

// work sends records, one request at a time, until ctx ends.
func (s *Shipper) work(ctx context.Context) {
	var batch []*pack.Record // in flight
	for !guard.Run(s.log, "ship", func() { s.run(ctx, &batch) }) {
		s.unavailable.Store(true) // until a request succeeds
		guard.Run(s.log, "keep what was in flight", func() { s.ack(batch, func(int) bool { return false }) })
		batch = nil
		select {
		case <-ctx.Done():
			return
		case <-time.After(faultDelay):
		}
		s.Wake()
	}
}

func (s *Shipper) run(ctx context.Context, batch *[]*pack.Record) {
	retry := time.NewTimer(time.Hour) // for records that could not be read
	retry.Stop()
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-retry.C:
		}
		for ctx.Err() == nil {
			*batch = s.next(ctx)
			if len(*batch) == 0 {
				if delay, ok := s.queue.RetryIn(); ok {
					retry.Reset(delay)
				}
				break
			}
			s.behind.CompareAndSwap(0, time.Now().UnixNano())
			s.send(ctx, *batch)
			*batch = nil
		}
	}
}

// next returns the next batch as soon as it may be sent. The batch is empty if no
// record waits, if a request in flight must be answered first, and when ctx has
// ended.
func (s *Shipper) next(ctx context.Context) []*pack.Record {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	defer func() { <-s.turn }()
	s.pause(ctx)
	if ctx.Err() != nil {
		return nil
	}
	// This attempt serves a caller that kicked before it.
	select {
	case <-s.kick:
	default:
	}
	if s.tooLate() {
		<-ctx.Done()
		return nil
	}
	records, bytes := s.limits()
	if bytes <= 0 {
		return nil // the next answer makes room
	}
	batch := s.batch(records, bytes)
	if len(batch) > 0 && s.isEnding() {
		s.Wake() // another worker may send the rest
	}
	return batch
}

// batch takes a batch of records from the queue. The caller must ack it.
func (s *Shipper) batch(records, bytes int) []*pack.Record {
	batch := s.queue.Batch(records, bytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight += size(batch)
	return batch
}

// ack ends a batch. done is as for queue.Ack.
func (s *Shipper) ack(batch []*pack.Record, done func(i int) bool) {
	bytes := size(batch) // first, because done may change a record's key
	s.queue.Ack(batch, done)
	s.mu.Lock()
	s.inFlight -= bytes
	s.mu.Unlock()
}

// size returns the bytes of the records, as Kinesis counts them.
func size(batch []*pack.Record) (n int64) {
	for _, r := range batch {
		n += int64(r.Size())
	}
	return n
}

// limits returns how many records and bytes the next request may carry.
func (s *Shipper) limits() (records, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isEnding() { // there may be no later request
		return kinesis.MaxRecords, int(min(breaker.MaxBytes, maxInFlight-s.inFlight))
	}
	return s.breaker.Limits()
}

// tooLate reports whether the environment ends before the next answer could come.
// Kinesis may have stored the records of a request that the end cuts off, and the
// next process of the environment would send them again.
func (s *Shipper) tooLate() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	failures, _ := s.breaker.Failures()
	return s.isEnding() && failures > 0 && !s.end.IsZero() && time.Until(s.end) < 2*s.stats.latency.Last()+minAnswer
}

// pause waits until the next attempt may begin. New records do not shorten the
// pause. A caller that begins to wait for them shortens it once.
func (s *Shipper) pause(ctx context.Context) {
	s.mu.Lock()
	resume := s.resume
	s.mu.Unlock()
	delay := time.Until(resume)
	if delay <= 0 {
		return
	}
	var another <-chan struct{}
	if s.needsAnother.Load() {
		another = s.wake // there may be a record to probe with
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-s.kick:
		s.shortenPause(ctx, timer)
	case <-another:
		s.shortenPause(ctx, timer)
	}
}

// shortenPause waits for the rest of a pause, but at most kickDelay. It leaves some
// time between two attempts: the first may have stored its records.
func (s *Shipper) shortenPause(ctx context.Context, timer *time.Timer) {
	soon := time.Now().Add(kickDelay/2 + jitter(kickDelay/2))
	s.mu.Lock()
	if soon.Before(s.resume) {
		s.resume = soon
	}
	timer.Reset(time.Until(s.resume))
	s.mu.Unlock()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// pauseFor lets no attempt begin within delay. The caller holds mu.
func (s *Shipper) pauseFor(delay time.Duration) {
	if resume := time.Now().Add(delay); resume.After(s.resume) {
		s.resume = resume
	}
}

// Last sends records in one request, ahead of those that wait, and returns those
// that Kinesis did not take. It must not be called while Run runs.
func (s *Shipper) Last(ctx context.Context, records []*pack.Record) (failed []*pack.Record) {
	results, err := s.put(ctx, records)
	if err != nil {
		return records
	}
	for i, r := range results {
		if r.OK() {
			s.count(records[i])
		} else {
			failed = append(failed, records[i])
		}
	}
	return failed
}

// send makes one attempt for a batch and acks it. It acks failed records last, when
// it knows how long the next attempt must wait: from then on another worker may
// send them.
func (s *Shipper) send(ctx context.Context, batch []*pack.Record) {
	began := time.Now()
	results, err := s.put(ctx, batch)
	switch {
	case err == nil:
		s.answered(batch, began, results)
	case kinesis.ClassOf(err) == kinesis.Invalid:
		s.bisect(ctx, batch, began, err)
	default:
		s.unsent(ctx, began, err, len(batch))
		s.ack(batch, func(int) bool { return false })
	}
}

// unsent records an attempt that did not succeed.
func (s *Shipper) unsent(ctx context.Context, began time.Time, err error, records int) {
	if ctx.Err() != nil { // the shipper cancelled it itself
		s.unanswered()
	} else {
		s.failed(began, err, records)
	}
}

// put makes one request, and at once a second one if the first failed for a reason
// that a retry removes: a connection that died while the environment was frozen,
// or credentials that can be fetched again.
func (s *Shipper) put(ctx context.Context, batch []*pack.Record) ([]kinesis.Result, error) {
	s.mu.Lock()
	fresh, renew := s.fresh || s.thawed(), s.renew
	s.fresh, s.renew = false, false
	s.mu.Unlock()
	if fresh {
		s.putter.CloseIdle()
	}
	if renew {
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
	s.stats.retried.Add(int64(len(batch)))
	return s.try(ctx, batch)
}

const (
	// maxIdle is how long a connection may be idle before it is not used again:
	// a device on the path drops it silently (a NAT gateway after 350 s, AWS
	// documentation; Kinesis itself earlier).
	maxIdle = 50 * time.Second
	// maxJump is how much the wall clock and the monotonic clock may differ
	// without a thaw.
	maxJump = time.Second
)

// thawed reports whether the environment seems to have been frozen since the
// last attempt, or its clock was set. The caller holds mu.
func (s *Shipper) thawed() bool {
	if s.last.IsZero() {
		return false
	}
	wall, monotonic := age(s.last), time.Since(s.last)
	return wall > maxIdle || (wall-monotonic).Abs() > maxJump
}

// try makes one request.
func (s *Shipper) try(ctx context.Context, batch []*pack.Record) ([]kinesis.Result, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, breaker.AttemptTimeout)
	defer cancel()
	ctx, broken := context.WithCancelCause(ctx)
	defer broken(nil)
	this := &attempt{began: began, cancel: broken}
	s.mu.Lock()
	s.attempts[this] = true
	s.mu.Unlock()
	s.stats.requests.Add(1)

	results, err := s.putRecords(ctx, batch)

	s.mu.Lock()
	delete(s.attempts, this)
	s.last = time.Now()
	s.proven = s.proven || err == nil
	s.mu.Unlock()
	s.stats.latency.Note(time.Since(began))
	if err == nil {
		return results, nil
	}
	if e := (*kinesis.Error)(nil); errors.As(err, &e) && e.Unknown() {
		s.stats.unknown.Add(1)
	}
	if cause := context.Cause(ctx); errors.Is(cause, errStale) {
		err = &kinesis.Error{Class: kinesis.Transient, Err: errStale}
	}
	return nil, err
}

// errFault stands for a panic, which the guard has logged.
var errFault = errors.New("a fault in Kinetel")

// putRecords calls the Putter and returns a panic as an error: the records of that
// request are kept and sent again, as after any other failure.
func (s *Shipper) putRecords(ctx context.Context, batch []*pack.Record) (results []kinesis.Result, err error) {
	if !guard.Run(s.log, "send records", func() { results, err = s.putter.PutRecords(ctx, batch) }) {
		return nil, &kinesis.Error{Class: kinesis.Transient, Err: errFault}
	}
	return results, err
}

// answered counts and acks the records that Kinesis has stored.
func (s *Shipper) answered(batch []*pack.Record, began time.Time, results []kinesis.Result) {
	var failed int
	var example kinesis.Result
	var sent int64 // bytes
	for i, r := range results {
		if r.OK() {
			s.count(batch[i])
			sent += int64(batch[i].Size())
			continue
		}
		failed++
		example = r
	}
	switch failed {
	case 0:
	case len(batch):
		s.failed(began, throttling(example), failed)
	default:
		s.partly(failed, len(batch), sent, example)
	}
	s.ack(batch, func(i int) bool {
		if !results[i].OK() {
			throttled(batch[i])
		}
		return results[i].OK()
	})
	if failed == 0 {
		s.succeeded(sent)
	}
}

// throttled records that Kinesis did not take a record. Every NewKeyAfter times the
// record gets another partition key, unless it is bound to its key: its shard may
// be too hot for long, and readers order events by their sequence numbers.
func throttled(r *pack.Record) {
	if r.Throttled++; r.Throttled%breaker.NewKeyAfter == 0 && !r.Bound() {
		r.PartitionKey = rand.Text()
	}
}

// throttling returns a record's failure as the error of a request.
func throttling(r kinesis.Result) error {
	return &kinesis.Error{Class: kinesis.Throttled, Status: 200, Code: r.ErrorCode, Message: r.ErrorMessage}
}

// partly records an attempt that got some records through, of sent bytes.
func (s *Shipper) partly(failed, of int, sent int64, example kinesis.Result) {
	s.stats.retried.Add(int64(failed))
	remaining := s.queue.Waiting().Size - sent // the batch is not acked yet
	s.mu.Lock()
	s.lastError = throttling(example)
	s.behind.Store(0)
	s.breaker.Partly(time.Now(), remaining)
	s.updateUnavailable()
	failures, _ := s.breaker.Failures()
	s.pauseFor(s.breaker.Delay(s.timeLeft()))
	logged := s.outageLogged
	s.mu.Unlock()
	if !logged && failures >= logPartlyAfter {
		s.logOutage(throttling(example)) // a shard that stays too hot
	}
	s.log.Debug("some records were not taken and are sent again", "failed", failed, "of", of,
		"code", example.ErrorCode, "message", example.ErrorMessage)
}

// timeLeft returns how long a caller will still wait for the records; 0: none
// waits. The caller holds mu.
func (s *Shipper) timeLeft() time.Duration {
	deadline := s.deadline
	if s.isEnding() {
		deadline = s.end
	}
	return max(time.Until(deadline), 0)
}

// count counts a record that Kinesis has stored.
func (s *Shipper) count(r *pack.Record) {
	s.stats.records.Add(1)
	s.stats.events.Add(int64(r.Events))
	s.stats.bytes.Add(int64(r.Size()))
}

// bisect finds the records that Kinesis refuses as invalid, drops them, and sends
// the others.
func (s *Shipper) bisect(ctx context.Context, batch []*pack.Record, began time.Time, err error) {
	b := bisection{s: s, batch: batch, done: make([]bool, len(batch)), throttled: make([]bool, len(batch)), refused: make([]error, len(batch))}
	b.search(ctx, 0, len(batch), err)
	if b.stop == nil && !s.isProven() {
		b.stop = s.probe(ctx, err)
	}
	// If Kinesis has accepted nothing yet, the reason is not in the records but
	// in what all requests have in common. Then the records are kept.
	if s.isProven() {
		for i, err := range b.refused {
			if err != nil {
				b.done[i] = true
				s.reject(batch[i], err)
			}
		}
	}
	var done int64 // bytes
	for i, r := range batch {
		if b.done[i] {
			done += int64(r.Size())
		}
	}
	switch {
	case b.stop != nil:
		s.unsent(ctx, began, b.stop, len(batch))
	case b.failed > 0:
		s.partly(b.failed, len(batch), done, b.example)
	}
	s.ack(batch, func(i int) bool {
		if b.throttled[i] {
			throttled(batch[i])
		}
		return b.done[i]
	})
	if b.stop == nil && b.failed == 0 {
		s.succeeded(done)
	}
}

// isProven reports whether Kinesis has accepted a request as a whole.
func (s *Shipper) isProven() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proven
}

// probe sends some of the records behind a batch, each alone, until a request is
// accepted. Kinesis refused all of the batch with err and has accepted nothing yet,
// so the reason may be in its records or in what all requests have in common. probe
// returns nil if a request was accepted, and otherwise the error for the batch.
func (s *Shipper) probe(ctx context.Context, err error) error {
	rest := s.batch(kinesis.MaxRecords, breaker.MaxBytes)
	s.needsAnother.Store(len(rest) == 0)
	if len(rest) == 0 {
		return kinesis.AsDenied(err)
	}
	accepted := -1
	defer func() { s.ack(rest, func(i int) bool { return i == accepted }) }()
	tried := map[int]bool{}
	for _, i := range []int{0, len(rest) / 2, len(rest) - 1} {
		if tried[i] {
			continue
		}
		tried[i] = true
		results, failure := s.try(ctx, rest[i:i+1])
		switch {
		case failure == nil:
			if results[0].OK() {
				s.count(rest[i])
				accepted = i
			}
			return nil
		case kinesis.ClassOf(failure) != kinesis.Invalid:
			return failure
		}
	}
	return kinesis.AsDenied(err)
}

// bisection is the search for refused records in a batch.
type bisection struct {
	s         *Shipper
	batch     []*pack.Record
	done      []bool  // records that Kinesis has stored, or that are dropped
	throttled []bool  // records that it did not take this time
	refused   []error // errors of the records that it refuses even alone
	stop      error   // the error that ended the search
	failed    int     // records to send again; example is the result of one of them
	example   kinesis.Result
}

// search sends the two halves of the records [from, to), which Kinesis refused with
// err.
func (b *bisection) search(ctx context.Context, from, to int, err error) {
	if to-from == 1 {
		b.refused[from] = err
		return
	}
	middle := (from + to) / 2
	for _, half := range [][2]int{{from, middle}, {middle, to}} {
		if b.stop != nil {
			return
		}
		results, err := b.s.try(ctx, b.batch[half[0]:half[1]])
		switch {
		case err == nil:
			for i, r := range results {
				if !r.OK() {
					b.failed++
					b.example = r
					b.throttled[half[0]+i] = true
					continue
				}
				b.done[half[0]+i] = true
				b.s.count(b.batch[half[0]+i])
			}
		case kinesis.ClassOf(err) == kinesis.Invalid:
			b.search(ctx, half[0], half[1], err)
		default:
			b.stop = err
		}
	}
}

// reject drops a record that Kinesis will never accept.
func (s *Shipper) reject(r *pack.Record, err error) {
	s.stats.rejected.Add(int64(r.Events))
	s.log.Error("Kinesis refuses a record for good; its events were given up",
		"events", r.Events, "first_seq", r.First, "last_seq", r.Last, "bytes", r.Size(), "error", err.Error())
	r.Drop(ledger.Rejected)
}

// failed records an attempt that began at began and failed as a whole. It logs an
// outage once.
func (s *Shipper) failed(began time.Time, err error, records int) {
	s.stats.retried.Add(int64(records))
	class := kinesis.ClassOf(err)
	refused := class == kinesis.Denied || class == kinesis.Credentials
	now := time.Now()
	s.mu.Lock()
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
	if opened {
		close(s.opened)
		s.opened = make(chan struct{})
	}
	delay := s.breaker.Delay(s.timeLeft())
	switch {
	case refused && len(s.attempts) > 0:
		// The requests in flight may succeed: the answer after them decides.
		delay = min(delay, inFlightDelay)
	case refused:
		close(s.refusal)
		s.refusal = make(chan struct{})
		select {
		case <-s.kick: // the refusal answers the caller that kicked
		default:
		}
	}
	s.pauseFor(delay)
	logged := s.outageLogged
	s.mu.Unlock()
	if opened && !logged || worse {
		s.logOutage(err)
	}
}

// logOutage logs that Kinesis does not take all records.
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
	s.log.Error("Kinesis does not take telemetry; it waits and is tried again, and no invocation is held for it", attrs...)
}

// succeeded records an attempt that succeeded, of sent bytes. The next one may have
// to wait, so that a backlog is not sent as a burst.
func (s *Shipper) succeeded(sent int64) {
	s.behind.Store(0)
	s.needsAnother.Store(false)
	remaining, lost := s.queue.Waiting().Size, s.lost()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastError = nil
	s.holds.Answered(time.Now(), s.stats.latency.Last())
	failures, since := s.breaker.Failures()
	over := s.breaker.Succeeded(sent, remaining)
	s.updateUnavailable()
	if over && s.outageLogged {
		s.outageLogged = false
		s.log.Warn("Kinesis takes telemetry again", "failed_for", age(since).Round(time.Millisecond).String(),
			"attempts", failures, "lost_events", lost-s.lostAt)
	}
	if s.timeLeft() == 0 { // no pause if a caller waits
		s.pauseFor(s.breaker.Pace(sent))
	}
}
