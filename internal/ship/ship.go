// Package ship sends the queue's records to Kinesis: one request at a time, several
// while the environment ends, and only failed records again.
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
)

const (
	// staleAfter is how old a request in flight is, by the wall clock, to be
	// suspect when the environment is thawed or shut down, or somebody begins to
	// wait. staleGrace is what it has left then, and waitGrace where somebody
	// waits.
	staleAfter = 2 * time.Second
	staleGrace = 200 * time.Millisecond
	waitGrace  = 50 * time.Millisecond
	// kickDelay bounds what is left of a pause when somebody begins to wait.
	kickDelay = 100 * time.Millisecond
	// inFlightDelay bounds the pause after a refusal while another request is in
	// flight.
	inFlightDelay = 500 * time.Millisecond
	// minAnswer is less than any answer takes.
	minAnswer = 20 * time.Millisecond
	// faultDelay is waited after a panic, so that one that comes again each time
	// costs next to nothing.
	faultDelay = time.Second
	// maxConcurrent is how many requests may be in flight while the environment
	// ends, when none may wait for the answer to another, and maxInFlight how many
	// bytes they may carry together: their bodies are in memory beside the buffer.
	maxConcurrent = kinesis.MaxConnections
	maxInFlight   = 2 * breaker.MaxBytes
	// tellPartlyAfter is how many attempts in a row leave records behind before
	// it is told: a throttled shard is no news for a while.
	tellPartlyAfter = 20
)

// ErrUnavailable means that Kinesis does not take records, or not fast enough,
// so that nobody should be held for it.
var ErrUnavailable = errors.New("the records have to wait")

// Putter sends records to Kinesis; *kinesis.Client is one.
type Putter interface {
	// PutRecords returns a result for each record, or a *kinesis.Error.
	PutRecords(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error)
	// CloseIdle drops connections that may be dead.
	CloseIdle()
	// Renew has the credentials read anew with the next request.
	InvalidateCredentials()
}

// Shipper sends a queue's records. Run does the work; Flush and Drain are called by
// one goroutine, the other methods from anywhere.
type Shipper struct {
	queue  *queue.Queue
	putter Putter
	lost   func() int64 // events, ever
	log    *slog.Logger

	wake chan struct{} // one slot: there may be something to send
	kick chan struct{} // one slot: somebody waits for it, so be quick
	turn chan struct{} // one slot: held while the next batch is chosen

	mu       sync.Mutex // guards all below, up to stats
	deadline time.Time  // of who waits for the records; zero: nobody, or no matter when
	breaker  breaker.Breaker
	opened   chan struct{} // closed, and replaced, when the breaker opens
	refusal  chan struct{} // closed, and replaced, by each refusal for good
	holds    breaker.Holds
	attempts map[*attempt]bool // in flight
	inFlight int64             // bytes of the batches that are not settled
	last     time.Time         // when the last attempt ended
	failedAt time.Time         // when the last one failed as a whole
	resume   time.Time         // no attempt begins before
	fresh    bool              // the next one is to use a new connection
	renew    bool              // and new credentials
	ending   chan struct{}     // closed when the environment ends
	end      time.Time         // when it ends; zero: it does not, or no matter when
	lastError  error             // of the last attempt that failed; nil: none did since
	outageLogged     bool              // that Kinesis does not take everything
	lostAt   int64             // events lost when that was told
	proven   bool              // Kinesis has taken a request as a whole

	// What the loop asks before each invocation, which must not wait for a lock.
	unavailable atomic.Bool
	alone       atomic.Bool  // see NeedsAnother
	behind      atomic.Int64 // Unix time in ns of the first attempt for what waits; 0: none

	stats stats
}

// attempt is a request in flight.
type attempt struct {
	began  time.Time
	cancel context.CancelCauseFunc
}

// New returns a Shipper of the queue's records. lost returns how many events
// were ever lost, for the log.
func New(q *queue.Queue, putter Putter, lost func() int64, log *slog.Logger) *Shipper {
	return &Shipper{
		queue: q, putter: putter, lost: lost, log: log, breaker: breaker.New(jitter),
		wake: make(chan struct{}, 1), kick: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		opened: make(chan struct{}), refusal: make(chan struct{}), ending: make(chan struct{}),
		attempts: map[*attempt]bool{},
	}
}

// Wake has what waits sent, without waiting for it.
func (s *Shipper) Wake() { signal(s.wake) }

// Behind returns how long attempts have been made without a record that went
// through, by the wall clock; 0 where nothing waits.
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
	default: // it is signalled already
	}
}

// Thawed is Wake after the environment may have been frozen: a request that has
// been in flight for long is broken off and made again.
func (s *Shipper) Thawed() {
	s.hurry(staleGrace)
	s.Wake()
}

// Restored is Wake after the process has been brought up from a snapshot: no
// connection is what it seems.
func (s *Shipper) Restored() {
	s.mu.Lock()
	s.fresh, s.renew = true, true
	s.mu.Unlock()
	s.Wake()
}

// hurry breaks stale requests off, unless their answers come within grace.
func (s *Shipper) hurry(grace time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a := range s.attempts {
		if age(a.began) >= staleAfter {
			time.AfterFunc(grace, func() { a.cancel(errStale) })
		}
	}
}

// errStale is why a request is broken off that has been in flight for long.
var errStale = errors.New("no answer for long, perhaps because the environment was frozen")

// age is how long ago t was by the wall clock, which goes on in a frozen
// environment.
func age(t time.Time) time.Duration { return time.Now().Round(0).Sub(t.Round(0)) }

// Unavailable reports whether Kinesis does not take records, or not fast
// enough, so that nobody should be held for it.
func (s *Shipper) Unavailable() bool { return s.unavailable.Load() }

// NeedsAnother reports whether the only record that waits was refused for what it
// is, and nothing was accepted yet: a second record would show whether the reason
// is in the record or in what all requests have in common.
func (s *Shipper) NeedsAnother() bool { return s.alone.Load() }

// assess has Unavailable know what has changed. Called with mu.
func (s *Shipper) assess() {
	s.unavailable.Store(!s.breaker.Closed() || s.holds.Exhausted())
}

// Flush has what waits sent, and returns when all of it is in Kinesis or given
// up. It returns ErrUnavailable as soon as there is no hope, and ctx's error
// when that ends first; then the records go on waiting and being sent.
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
		s.assess()
		s.mu.Unlock()
	}
	return err
}

// Ending says that the environment ends at the deadline: from now on no record
// waits for the answer to a request that carries others. A zero deadline means that
// it is not known.
func (s *Shipper) Ending(deadline time.Time) {
	s.mu.Lock()
	if !s.isEnding() {
		close(s.ending)
		// There is no time for a connection that is dead and does not say so.
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
// until one more attempt was refused for good.
func (s *Shipper) Drain(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	s.Ending(deadline)
	s.mu.Lock()
	refusal := s.refusal
	s.mu.Unlock()
	return s.wait(ctx, refusal)
}

// wait waits until what is in the queue has left it, ctx ends or hopeless is
// closed.
func (s *Shipper) wait(ctx context.Context, hopeless <-chan struct{}) error {
	deadline, _ := ctx.Deadline()
	left, forget := s.queue.Left()
	defer forget()
	s.mu.Lock()
	s.deadline = deadline
	// With the lock, so that no refusal comes in between and takes it as answered;
	// and first, because who is woken takes it as served by the next attempt.
	signal(s.kick)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.deadline = time.Time{}
		s.mu.Unlock()
	}()
	s.hurry(waitGrace)
	signal(s.wake)
	select {
	case <-left:
		return nil
	case <-hopeless:
		return ErrUnavailable
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Refusal returns why Kinesis refuses what it is sent until somebody mends it;
// nil where it does not, as far as it is known.
func (s *Shipper) PermanentError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastError == nil || !s.breaker.Refused() {
		return nil
	}
	return s.lastError
}

// Trouble says why records wait, as far as it is known.
func (s *Shipper) LastError() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastError == nil {
		return "there was no time for more"
	}
	return s.lastError.Error()
}

// unanswered notes that the last request was broken off because there was no
// time to wait for its answer.
func (s *Shipper) unanswered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastError == nil {
		s.lastError = fmt.Errorf("a request got no answer within %s", s.stats.latency.Last().Round(time.Millisecond))
	}
}

// Run sends records until ctx ends, whatever happens.
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
		s.unavailable.Store(true) // until something goes through
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

// next returns the next batch, as soon as it may be sent. It is empty if nothing
// waits, if what is in flight has to be answered first, and after ctx.
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
	// Who kicked before this attempt is served by it.
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
		return nil // the next request that is answered makes room
	}
	batch := s.batch(records, bytes)
	if len(batch) > 0 && s.isEnding() {
		s.Wake() // another worker may send the rest
	}
	return batch
}

// batch takes records from the queue, which settle ends.
func (s *Shipper) batch(records, bytes int) []*pack.Record {
	batch := s.queue.Batch(records, bytes)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight += size(batch)
	return batch
}

// settle ends a batch; gone is as for the queue.
func (s *Shipper) ack(batch []*pack.Record, gone func(i int) bool) {
	bytes := size(batch) // a record may get another key
	s.queue.Ack(batch, gone)
	s.mu.Lock()
	s.inFlight -= bytes
	s.mu.Unlock()
}

// size is what records take, as Kinesis counts it.
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
	if s.isEnding() { // there is no later
		return kinesis.MaxRecords, int(min(breaker.MaxBytes, maxInFlight-s.inFlight))
	}
	return s.breaker.Limits()
}

// tooLate reports whether the end comes sooner than the next answer would: a
// request that is cut off may have landed, and the next process of the
// environment would send its records again.
func (s *Shipper) tooLate() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	failures, _ := s.breaker.Failures()
	return s.isEnding() && failures > 0 && !s.end.IsZero() && time.Until(s.end) < 2*s.stats.latency.Last()+minAnswer
}

// pause waits until the next attempt may begin. New records do not shorten it.
// Somebody who begins to wait for them does, once.
func (s *Shipper) pause(ctx context.Context) {
	s.mu.Lock()
	resume := s.resume
	s.mu.Unlock()
	delay := time.Until(resume)
	if delay <= 0 {
		return
	}
	var another <-chan struct{}
	if s.alone.Load() {
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

// cut ends a pause soon. It leaves a while between two attempts: the first may
// have stored its records.
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

// pauseFor lets no attempt begin for a while. Called with mu.
func (s *Shipper) pauseFor(delay time.Duration) {
	if resume := time.Now().Add(delay); resume.After(s.resume) {
		s.resume = resume
	}
}

// Last sends records in one request, past those that wait, and returns those
// that Kinesis does not have. It must not be called while Run runs.
func (s *Shipper) Last(ctx context.Context, records []*pack.Record) (left []*pack.Record) {
	results, err := s.put(ctx, records)
	if err != nil {
		return records
	}
	for i, r := range results {
		if r.OK() {
			s.count(records[i])
		} else {
			left = append(left, records[i])
		}
	}
	return left
}

// send makes one attempt for a batch and settles it. What failed is settled last,
// when it is known how long the next attempt has to wait: another worker may send
// it then.
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

// unsent notes an attempt that did not go through.
func (s *Shipper) unsent(ctx context.Context, began time.Time, err error, records int) {
	if ctx.Err() != nil { // we broke it off ourselves
		s.unanswered()
	} else {
		s.failed(began, err, records)
	}
}

// put makes one request, and a second one where the first can be said to have
// failed for a reason that is gone at once: a connection that died while the
// environment was frozen, or credentials that can be renewed.
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
	// maxIdle is how long a connection is unused that is not used any more:
	// something between forgets it, without a word (a NAT gateway after
	// 350 s, AWS documentation; Kinesis itself earlier).
	maxIdle = 50 * time.Second
	// maxJump is by how much the clocks may differ that is no thaw.
	maxJump = time.Second
)

// thawed reports whether the environment seems to have been frozen since the
// last attempt, or its clock was set. Called with mu.
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

// errFault is a panic, which the log has told of.
var errFault = errors.New("a fault in Kinetel")

// putRecords is the Putter's, without its panics: the records of one that fails
// that way are kept and tried again as after any other failure.
func (s *Shipper) putRecords(ctx context.Context, batch []*pack.Record) (results []kinesis.Result, err error) {
	if !guard.Run(s.log, "send records", func() { results, err = s.putter.PutRecords(ctx, batch) }) {
		return nil, &kinesis.Error{Class: kinesis.Transient, Err: errFault}
	}
	return results, err
}

// answered lets the records go that Kinesis has.
func (s *Shipper) answered(batch []*pack.Record, began time.Time, results []kinesis.Result) {
	var failed int
	var example kinesis.Result
	var gone int64
	for i, r := range results {
		if r.OK() {
			s.count(batch[i])
			gone += int64(batch[i].Size())
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
		s.partly(failed, len(batch), gone, example)
	}
	s.ack(batch, func(i int) bool {
		if !results[i].OK() {
			throttled(batch[i])
		}
		return results[i].OK()
	})
	if failed == 0 {
		s.succeeded(gone)
	}
}

// throttled notes that Kinesis did not take a record. One that stays behind
// again and again goes on under another key, where it can: its shard may be too
// hot for long, and readers know the order by the sequence numbers.
func throttled(r *pack.Record) {
	if r.Throttled++; r.Throttled%breaker.NewKeyAfter == 0 && !r.Bound() {
		r.PartitionKey = rand.Text()
	}
}

// throttling is a record's failure as that of a request.
func throttling(r kinesis.Result) error {
	return &kinesis.Error{Class: kinesis.Throttled, Status: 200, Code: r.ErrorCode, Message: r.ErrorMessage}
}

// partly notes an attempt that went through for some records, of gone bytes.
func (s *Shipper) partly(failed, of int, gone int64, example kinesis.Result) {
	s.stats.retried.Add(int64(failed))
	left := s.queue.Waiting().Size - gone // which is settled only then
	s.mu.Lock()
	s.lastError = throttling(example)
	s.behind.Store(0)
	s.breaker.Partly(time.Now(), left)
	s.assess()
	failures, _ := s.breaker.Failures()
	s.pauseFor(s.breaker.Delay(s.timeLeft()))
	told := s.outageLogged
	s.mu.Unlock()
	if !told && failures >= tellPartlyAfter {
		s.logOutage(throttling(example)) // a shard that is too hot for good
	}
	s.log.Debug("some records were not taken and are sent again", "failed", failed, "of", of,
		"code", example.ErrorCode, "message", example.ErrorMessage)
}

// timeLeft is how long somebody waits for the records; 0: nobody does. Called
// with mu.
func (s *Shipper) timeLeft() time.Duration {
	deadline := s.deadline
	if s.isEnding() {
		deadline = s.end
	}
	return max(time.Until(deadline), 0)
}

func (s *Shipper) count(r *pack.Record) {
	s.stats.records.Add(1)
	s.stats.events.Add(int64(r.Events))
	s.stats.bytes.Add(int64(r.Size()))
}

// bisect finds the records that Kinesis refuses for what they are, gives those
// up, and gets the others through.
func (s *Shipper) bisect(ctx context.Context, batch []*pack.Record, began time.Time, err error) {
	b := bisection{s: s, batch: batch, gone: make([]bool, len(batch)), throttled: make([]bool, len(batch)), refused: make([]error, len(batch))}
	b.search(ctx, 0, len(batch), err)
	if b.stop == nil && !s.isProven() {
		b.stop = s.probe(ctx, err)
	}
	// Where nothing was ever taken, it is not the records that are wrong but
	// what all requests have in common, and they are worth keeping.
	if s.isProven() {
		for i, err := range b.refused {
			if err != nil {
				b.gone[i] = true
				s.reject(batch[i], err)
			}
		}
	}
	var gone int64
	for i, r := range batch {
		if b.gone[i] {
			gone += int64(r.Size())
		}
	}
	switch {
	case b.stop != nil:
		s.unsent(ctx, began, b.stop, len(batch))
	case b.failed > 0:
		s.partly(b.failed, len(batch), gone, b.example)
	}
	s.ack(batch, func(i int) bool {
		if b.throttled[i] {
			throttled(batch[i])
		}
		return b.gone[i]
	})
	if b.stop == nil && b.failed == 0 {
		s.succeeded(gone)
	}
}

// isProven reports whether Kinesis has taken a request as a whole.
func (s *Shipper) isProven() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proven
}

// probe sends some of the records behind a batch, each alone, until one is accepted:
// all of the batch was refused with err, and nothing was accepted yet, so that the
// reason may be in its records or in what all requests have in common. It returns
// nil if one was accepted, and what to do about the batch otherwise.
func (s *Shipper) probe(ctx context.Context, err error) error {
	rest := s.batch(kinesis.MaxRecords, breaker.MaxBytes)
	s.alone.Store(len(rest) == 0)
	if len(rest) == 0 {
		return kinesis.AsDenied(err)
	}
	taken := -1
	defer func() { s.ack(rest, func(i int) bool { return i == taken }) }()
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
				taken = i
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
	gone      []bool  // records that Kinesis has
	throttled []bool  // records that it did not take this time
	refused   []error // of records that it refuses alone
	stop      error   // that ended the search
	failed    int     // records to be sent again, of which example is one
	example   kinesis.Result
}

// search sends the halves of a run that was refused with err.
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
				b.gone[half[0]+i] = true
				b.s.count(b.batch[half[0]+i])
			}
		case kinesis.ClassOf(err) == kinesis.Invalid:
			b.search(ctx, half[0], half[1], err)
		default:
			b.stop = err
		}
	}
}

// reject gives a record up that Kinesis will never take.
func (s *Shipper) reject(r *pack.Record, err error) {
	s.stats.rejected.Add(int64(r.Events))
	s.log.Error("Kinesis refuses a record for good; its events were given up",
		"events", r.Events, "first_seq", r.First, "last_seq", r.Last, "bytes", r.Size(), "error", err.Error())
	r.Drop(ledger.Rejected)
}

// failed notes an attempt that began then and failed as a whole, and logs it once.
func (s *Shipper) failed(began time.Time, err error, records int) {
	s.stats.retried.Add(int64(records))
	class := kinesis.ClassOf(err)
	refused := class == kinesis.Denied || class == kinesis.Credentials
	now := time.Now()
	s.mu.Lock()
	s.lastError = err
	// Something that somebody has to mend is news even where Kinesis was only
	// slow before.
	worse := refused && s.breaker.Open() && !s.breaker.Refused()
	var opened bool
	// Requests that were in flight together and fail together are one failure.
	if refused || !began.Before(s.failedAt) {
		opened = s.breaker.Failed(now, now.Sub(began), class)
	}
	s.failedAt = now
	s.assess()
	if opened {
		close(s.opened)
		s.opened = make(chan struct{})
	}
	delay := s.breaker.Delay(s.timeLeft())
	switch {
	case refused && len(s.attempts) > 0:
		// What is in flight may get through: the answer after it counts.
		delay = min(delay, inFlightDelay)
	case refused:
		close(s.refusal)
		s.refusal = make(chan struct{})
		select {
		case <-s.kick: // who kicked has the answer
		default:
		}
	}
	s.pauseFor(delay)
	told := s.outageLogged
	s.mu.Unlock()
	if opened && !told || worse {
		s.logOutage(err)
	}
}

// tell tells that Kinesis does not take everything.
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
	if mend := kinesis.Fix(err); mend != "" {
		attrs = append(attrs, "mend", mend)
	}
	s.log.Error("Kinesis does not take telemetry; it waits and is tried again, and no invocation is held for it", attrs...)
}

// succeeded notes an attempt that went through, of gone bytes. The next one may have
// to wait, so that a backlog is not a burst.
func (s *Shipper) succeeded(gone int64) {
	s.behind.Store(0)
	s.alone.Store(false)
	left, lost := s.queue.Waiting().Size, s.lost()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastError = nil
	s.holds.Answered(time.Now(), s.stats.latency.Last())
	failures, since := s.breaker.Failures()
	over := s.breaker.Succeeded(gone, left)
	s.assess()
	if over && s.outageLogged {
		s.outageLogged = false
		s.log.Warn("Kinesis takes telemetry again", "failed_for", age(since).Round(time.Millisecond).String(),
			"attempts", failures, "lost_events", lost-s.lostAt)
	}
	if s.timeLeft() == 0 { // who has only so much time is not made to wait
		s.pauseFor(s.breaker.Pace(gone))
	}
}
