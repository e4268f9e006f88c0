// Package ship drains the queue into Kinesis: one goroutine, one request at a
// time, only failed records again.
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
	// minAnswer is less than any answer takes.
	minAnswer = 20 * time.Millisecond
	// faultDelay is waited after a panic, so that one that comes again each time
	// costs next to nothing.
	faultDelay = time.Second
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
	Renew()
}

// Shipper drains a queue. Run does the work; Flush and Drain are called by one
// goroutine, the other methods from anywhere.
type Shipper struct {
	queue  *queue.Queue
	putter Putter
	lost   func() int64 // events, ever
	log    *slog.Logger

	wake chan struct{} // one slot: there may be something to send
	kick chan struct{} // one slot: somebody waits for it, so be quick

	mu       sync.Mutex      // guards all below, up to stats
	deadline time.Time       // of who waits for the records; zero: nobody, or no matter when
	breaker  breaker.Breaker // written by Run only
	opened   chan struct{}   // closed, and replaced, when the breaker opens
	refusal  chan struct{}   // closed, and replaced, by each refusal for good
	holds    breaker.Holds
	attempt  *attempt  // in flight
	last     time.Time // when the last one ended
	fresh    bool      // the next one is to use a new connection
	renew    bool      // and new credentials
	ending   bool      // Drain was called
	trouble  error     // of the last attempt that failed; nil: none did since

	// What the loop asks before each invocation, which must not wait for a lock.
	unavailable atomic.Bool
	behind      atomic.Int64 // Unix time in ns of the first attempt for what waits; 0: none

	stats stats

	// Owned by Run.
	told   bool  // that Kinesis does not take everything
	lostAt int64 // events lost when that was told
	proven bool  // Kinesis has taken a request as a whole
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
		wake: make(chan struct{}, 1), kick: make(chan struct{}, 1),
		opened: make(chan struct{}), refusal: make(chan struct{}),
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

// hurry breaks a stale request off, unless its answer comes within grace.
func (s *Shipper) hurry(grace time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.attempt
	if a == nil || age(a.began) < staleAfter {
		return
	}
	time.AfterFunc(grace, func() { a.cancel(errStale) })
}

// errStale is why a request is broken off that has been in flight for long.
var errStale = errors.New("no answer for long, perhaps because the environment was frozen")

// age is how long ago t was by the wall clock, which goes on in a frozen
// environment.
func age(t time.Time) time.Duration { return time.Now().Round(0).Sub(t.Round(0)) }

// Unavailable reports whether Kinesis does not take records, or not fast
// enough, so that nobody should be held for it.
func (s *Shipper) Unavailable() bool { return s.unavailable.Load() }

// assess has Unavailable know what has changed. Called with mu.
func (s *Shipper) assess() {
	s.unavailable.Store(!s.breaker.Closed() || s.holds.Hopeless())
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
		s.holds.Vain(time.Now(), time.Since(began))
		s.assess()
		s.mu.Unlock()
	}
	return err
}

// Drain is Flush for the end of the environment: it goes on until ctx ends, or
// until one more attempt was refused for good.
func (s *Shipper) Drain(ctx context.Context) error {
	s.mu.Lock()
	refusal := s.refusal
	// There is no time for a connection that is dead and does not say so.
	s.fresh = s.fresh || age(s.last) > staleAfter
	s.ending = true
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
func (s *Shipper) Refusal() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble == nil || !s.breaker.Refused() {
		return nil
	}
	return s.trouble
}

// Trouble says why records wait, as far as it is known.
func (s *Shipper) Trouble() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble == nil {
		return "there was no time for more"
	}
	return s.trouble.Error()
}

// unanswered notes that the last request was broken off because there was no
// time to wait for its answer.
func (s *Shipper) unanswered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble == nil {
		s.trouble = fmt.Errorf("a request got no answer within %s", s.stats.latency.Last().Round(time.Millisecond))
	}
}

// Run sends records until ctx ends, whatever happens.
func (s *Shipper) Run(ctx context.Context) {
	for !guard.Run(s.log, "ship", func() { s.run(ctx) }) {
		s.unavailable.Store(true) // until something goes through
		guard.Run(s.log, "keep what was in flight", func() { s.queue.Settle(func(int) bool { return false }) })
		select {
		case <-ctx.Done():
			return
		case <-time.After(faultDelay):
		}
		s.Wake()
	}
}

func (s *Shipper) run(ctx context.Context) {
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
			// Who kicked before this attempt is served by it.
			select {
			case <-s.kick:
			default:
			}
			if s.tooLate() {
				<-ctx.Done()
				return
			}
			batch := s.queue.Batch(s.limits())
			if len(batch) == 0 {
				if delay, ok := s.queue.RetryIn(); ok {
					retry.Reset(delay)
				}
				break
			}
			s.behind.CompareAndSwap(0, time.Now().UnixNano())
			if delay := s.send(ctx, batch); delay > 0 {
				s.pause(ctx, delay)
			}
		}
	}
}

// limits returns how many records and bytes the next request may carry.
func (s *Shipper) limits() (records, bytes int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending { // there is no later
		return kinesis.MaxRecords, breaker.MaxBytes
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
	return s.ending && failures > 0 && !s.deadline.IsZero() && time.Until(s.deadline) < 2*s.stats.latency.Last()+minAnswer
}

// pause waits before the next attempt. New records do not shorten it. Somebody
// who begins to wait for them does, once.
func (s *Shipper) pause(ctx context.Context, delay time.Duration) {
	end := time.Now().Add(delay)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-s.kick:
		timer.Reset(min(time.Until(end), jitter(kickDelay)))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
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

// send makes one attempt for a batch and settles it. It returns how long to
// wait before the next one.
func (s *Shipper) send(ctx context.Context, batch []*pack.Record) time.Duration {
	results, err := s.put(ctx, batch)
	if err != nil && kinesis.ClassOf(err) == kinesis.Invalid {
		return s.bisect(ctx, batch, err)
	}
	if err != nil {
		s.queue.Settle(func(int) bool { return false })
		if ctx.Err() != nil { // we broke it off ourselves
			s.unanswered()
			return 0
		}
		return s.failed(err, len(batch))
	}
	return s.settle(batch, results)
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
		s.putter.Renew()
	}
	results, err := s.try(ctx, batch)
	switch e := (*kinesis.Error)(nil); {
	case ctx.Err() != nil || !errors.As(err, &e):
		return results, err
	case e.Reused, errors.Is(err, errStale):
		s.putter.CloseIdle()
	case e.Class == kinesis.Credentials:
		s.putter.Renew()
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
	s.mu.Lock()
	s.attempt = &attempt{began: began, cancel: broken}
	s.mu.Unlock()
	s.stats.requests.Add(1)

	results, err := s.putRecords(ctx, batch)

	s.mu.Lock()
	s.attempt, s.last = nil, time.Now()
	s.mu.Unlock()
	s.stats.latency.Note(time.Since(began))
	if err == nil {
		s.proven = true
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

// settle lets the records go that Kinesis has.
func (s *Shipper) settle(batch []*pack.Record, results []kinesis.Result) time.Duration {
	var failed int
	var example kinesis.Result
	for i, r := range results {
		if r.OK() {
			s.count(batch[i])
			continue
		}
		failed++
		example = r
	}
	s.queue.Settle(func(i int) bool {
		if !results[i].OK() {
			throttled(batch[i])
		}
		return results[i].OK()
	})
	switch failed {
	case 0:
		return s.succeeded(batch)
	case len(batch):
		return s.failed(throttling(example), failed)
	}
	return s.partly(failed, len(batch), example)
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

// partly notes an attempt that went through for some records.
func (s *Shipper) partly(failed, of int, example kinesis.Result) time.Duration {
	s.stats.retried.Add(int64(failed))
	left := s.queue.Waiting().Size
	s.mu.Lock()
	s.trouble = throttling(example)
	s.behind.Store(0)
	s.breaker.Partly(time.Now(), left)
	s.assess()
	failures, _ := s.breaker.Failures()
	delay := s.breaker.Delay(s.timeLeft())
	s.mu.Unlock()
	if !s.told && failures >= tellPartlyAfter {
		s.tell(throttling(example)) // a shard that is too hot for good
	}
	s.log.Debug("some records were not taken and are sent again", "failed", failed, "of", of,
		"code", example.ErrorCode, "message", example.ErrorMessage)
	return delay
}

// timeLeft is how long somebody waits for the records; 0: nobody does. Called
// with mu.
func (s *Shipper) timeLeft() time.Duration { return max(time.Until(s.deadline), 0) }

func (s *Shipper) count(r *pack.Record) {
	s.stats.records.Add(1)
	s.stats.events.Add(int64(r.Events))
	s.stats.bytes.Add(int64(r.Size()))
}

// bisect finds the records that Kinesis refuses for what they are, gives those
// up, and gets the others through.
func (s *Shipper) bisect(ctx context.Context, batch []*pack.Record, err error) time.Duration {
	b := bisection{s: s, batch: batch, gone: make([]bool, len(batch)), throttled: make([]bool, len(batch)), refused: make([]error, len(batch))}
	b.search(ctx, 0, len(batch), err)
	// Where nothing was ever taken, it is not the records that are wrong but
	// what all requests have in common, and they are worth keeping.
	unproven := !s.proven
	for i, err := range b.refused {
		if err != nil && !unproven {
			b.gone[i] = true
			s.reject(batch[i], err)
		}
	}
	s.queue.Settle(func(i int) bool {
		if b.throttled[i] {
			throttled(batch[i])
		}
		return b.gone[i]
	})
	switch {
	case b.stop != nil:
	case unproven:
		b.stop = kinesis.AsDenied(err)
	case b.failed > 0:
		return s.partly(b.failed, len(batch), b.example)
	default:
		return s.succeeded(batch)
	}
	if ctx.Err() != nil {
		s.unanswered()
		return 0
	}
	return s.failed(b.stop, len(batch))
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
	r.GiveUp(ledger.Rejected)
}

// failed notes an attempt that failed as a whole, and tells of it once.
func (s *Shipper) failed(err error, records int) time.Duration {
	s.stats.retried.Add(int64(records))
	class := kinesis.ClassOf(err)
	refused := class == kinesis.Denied || class == kinesis.Credentials
	now := time.Now()
	s.mu.Lock()
	s.trouble = err
	// Something that somebody has to mend is news even where Kinesis was only
	// slow before.
	worse := refused && s.breaker.Open() && !s.breaker.Refused()
	opened := s.breaker.Failed(now, s.stats.latency.Last(), class)
	s.assess()
	if opened {
		close(s.opened)
		s.opened = make(chan struct{})
	}
	if refused {
		close(s.refusal)
		s.refusal = make(chan struct{})
		select {
		case <-s.kick: // who kicked has the answer
		default:
		}
	}
	delay := s.breaker.Delay(s.timeLeft())
	s.mu.Unlock()
	if opened && !s.told || worse {
		s.tell(err)
	}
	return delay
}

// tell tells that Kinesis does not take everything.
func (s *Shipper) tell(err error) {
	if !s.told {
		s.lostAt = s.lost()
	}
	s.told = true
	waiting := s.queue.Waiting()
	attrs := []any{
		"error", err.Error(), "class", kinesis.ClassOf(err).String(),
		"waiting_records", waiting.Records, "waiting_events", waiting.Events, "waiting_bytes", waiting.Size,
	}
	if mend := kinesis.Mend(err); mend != "" {
		attrs = append(attrs, "mend", mend)
	}
	s.log.Error("Kinesis does not take telemetry; it waits and is tried again, and no invocation is held for it", attrs...)
}

// succeeded notes an attempt that went through. It returns how long to wait
// before the next one, so that a backlog is not a burst.
func (s *Shipper) succeeded(batch []*pack.Record) time.Duration {
	var gone int64
	for _, r := range batch {
		gone += int64(r.Size())
	}
	var left int64
	if !s.breaker.Closed() { // which nobody else changes
		left = s.queue.Waiting().Size
	}
	s.behind.Store(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble = nil
	s.holds.Answered(time.Now(), s.stats.latency.Last())
	failures, since := s.breaker.Failures()
	over := s.breaker.Succeeded(gone, left)
	s.assess()
	if over && s.told {
		s.told = false
		s.log.Warn("Kinesis takes telemetry again", "failed_for", age(since).Round(time.Millisecond).String(),
			"attempts", failures, "lost_events", s.lost()-s.lostAt)
	}
	if s.timeLeft() > 0 {
		return 0 // who has only so much time is not made to wait
	}
	return s.breaker.Pace(gone)
}
