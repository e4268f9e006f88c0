// Package ship drains the queue into Kinesis: one goroutine, one request at a
// time, only failed records again.
package ship

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"kinetel/internal/kinesis"
	"kinetel/internal/ledger"
	"kinetel/internal/pack"
	"kinetel/internal/queue"
)

const (
	// maxBytes bounds a request below Kinesis' own limit: a shard takes
	// 1 MiB a second, so more would only be throttled, and its body is held
	// in memory beside the buffer.
	maxBytes = 2 << 20
	// attemptTimeout bounds one request. A 128 MB function at work has a
	// fraction of a core for its TLS handshake.
	attemptTimeout = 10 * time.Second
	// baseDelay and maxDelay bound the waits between attempts: a random
	// share (full jitter) of a time that doubles.
	baseDelay = 50 * time.Millisecond
	maxDelay  = 5 * time.Second
	// kickDelay bounds what is left of a pause when somebody begins to wait.
	kickDelay = 100 * time.Millisecond
	// probeDelay is the wait after a refusal that somebody has to mend, such
	// as a missing permission.
	probeDelay = 30 * time.Second
	// tellAfter is how many attempts in a row fail before it is told, after
	// some 400 ms: a throttled request or two are no news.
	tellAfter = 5
	// tellPartlyAfter is the same where some records go through.
	tellPartlyAfter = 20
)

// ErrRefused means that Kinesis refuses every record for a reason that waiting
// does not mend, so that nobody should be held for it.
var ErrRefused = errors.New("the records are refused for now")

// Putter sends records to Kinesis; *kinesis.Client is one.
type Putter interface {
	// PutRecords returns a result for each record, or a *kinesis.Error.
	PutRecords(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error)
	// CloseIdle drops connections that may be dead.
	CloseIdle()
}

// Shipper drains a queue. Run does the work; Flush and Drain are called by one
// goroutine, the other methods from anywhere.
type Shipper struct {
	queue  *queue.Queue
	putter Putter
	ledger *ledger.Ledger
	log    *slog.Logger

	wake chan struct{} // one slot: there may be something to send
	kick chan struct{} // one slot: somebody waits for it, so be quick

	mu       sync.Mutex    // guards all three below
	deadline time.Time     // of who waits for the records; zero: nobody, or no matter when
	refused  bool          // the last attempt met a refusal for good
	hopeless chan struct{} // closed, and replaced, by each such refusal

	stats stats

	// Owned by Run.
	failures int       // attempts in a row that failed
	since    time.Time // when the first of them did
	told     bool      // that Kinesis does not take everything
	worst    bool      // and that it refuses it for good
	proven   bool      // Kinesis has taken a request as a whole
}

type stats struct {
	requests, records, events, bytes, retried, rejected atomic.Int64
}

// Stats are counts since the start.
type Stats struct {
	Requests int64 // PutRecords requests sent
	Records  int64 // that Kinesis has
	Events   int64 // in those records
	Bytes    int64 // of those records
	Retried  int64 // records that had to be sent again
	Rejected int64 // events of records that Kinesis refuses for good
}

// New returns a Shipper of the queue's records.
func New(q *queue.Queue, putter Putter, l *ledger.Ledger, log *slog.Logger) *Shipper {
	return &Shipper{queue: q, putter: putter, ledger: l, log: log, wake: make(chan struct{}, 1), kick: make(chan struct{}, 1), hopeless: make(chan struct{})}
}

// Stats returns the counts.
func (s *Shipper) Stats() Stats {
	return Stats{
		Requests: s.stats.requests.Load(),
		Records:  s.stats.records.Load(),
		Events:   s.stats.events.Load(),
		Bytes:    s.stats.bytes.Load(),
		Retried:  s.stats.retried.Load(),
		Rejected: s.stats.rejected.Load(),
	}
}

// Wake has what waits sent, without waiting for it.
func (s *Shipper) Wake() { signal(s.wake) }

func signal(slot chan<- struct{}) {
	select {
	case slot <- struct{}{}:
	default: // it is signalled already
	}
}

// Flush has what waits sent, and returns when all of it is in Kinesis or given
// up. It returns ErrRefused as soon as there is no hope, and ctx's error when
// that ends first; then the records go on waiting and being sent.
func (s *Shipper) Flush(ctx context.Context) error {
	s.mu.Lock()
	refused := s.refused
	s.mu.Unlock()
	if refused {
		return ErrRefused
	}
	return s.Drain(ctx)
}

// Drain is Flush for the end of the environment: it makes one more attempt
// even where the last one was refused for good.
func (s *Shipper) Drain(ctx context.Context) error {
	deadline, _ := ctx.Deadline()
	left, forget := s.queue.Left()
	defer forget()
	s.mu.Lock()
	s.deadline = deadline
	hopeless := s.hopeless
	// With the lock, so that no refusal comes in between and takes it as answered;
	// and first, because who is woken takes it as served by the next attempt.
	signal(s.kick)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.deadline = time.Time{}
		s.mu.Unlock()
	}()
	signal(s.wake)
	select {
	case <-left:
		return nil
	case <-hopeless:
		return ErrRefused
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Run sends records until ctx ends.
func (s *Shipper) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		for ctx.Err() == nil {
			// Who kicked before this attempt is served by it.
			select {
			case <-s.kick:
			default:
			}
			batch := s.queue.Batch(kinesis.MaxRecords, maxBytes)
			if len(batch) == 0 {
				break
			}
			if !s.send(ctx, batch) {
				s.pause(ctx)
			}
		}
	}
}

// pause waits before the next attempt. New records do not shorten it. Somebody
// who begins to wait for them does, once.
func (s *Shipper) pause(ctx context.Context) {
	delay := s.delay()
	end := time.Now().Add(delay)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-s.kick:
		timer.Reset(min(time.Until(end), rand.N(kickDelay)))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
	}
}

// delay returns how long the next pause is to be.
func (s *Shipper) delay() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused {
		// Spread, because all environments of a function meet the same
		// refusal.
		return probeDelay/2 + rand.N(probeDelay/2)
	}
	delay := backoff(s.failures)
	if left := time.Until(s.deadline); left > 0 {
		// Who has only so much time needs several attempts in it, the more
		// often the less is left.
		delay = min(delay, rand.N(left/4+time.Millisecond))
	}
	return delay
}

// backoff returns a random share of a time that doubles with each failure.
func backoff(failures int) time.Duration {
	most := maxDelay
	if shift := failures - 1; shift < 7 { // 50 ms doubled 7 times is over 5 s
		most = baseDelay << max(shift, 0)
	}
	return rand.N(most) + time.Millisecond
}

// send makes one attempt for a batch and settles it. It reports whether the
// next batch can follow at once.
func (s *Shipper) send(ctx context.Context, batch []*pack.Record) bool {
	results, err := s.put(ctx, batch)
	if err != nil && kinesis.ClassOf(err) == kinesis.Invalid {
		return s.bisect(ctx, batch, err)
	}
	if err != nil {
		s.queue.Settle(func(int) bool { return false })
		if ctx.Err() == nil { // else we broke it off ourselves
			s.failed(err, len(batch))
		}
		return false
	}
	return s.settle(batch, results)
}

// put makes one request, and a second one where the first can be said to have
// failed for a reason that is gone at once: a connection that died while the
// environment was frozen, or credentials that can be renewed.
func (s *Shipper) put(ctx context.Context, batch []*pack.Record) ([]kinesis.Result, error) {
	results, err := s.attempt(ctx, batch)
	switch e := (*kinesis.Error)(nil); {
	case ctx.Err() != nil || !errors.As(err, &e):
		return results, err
	case e.Reused:
		s.putter.CloseIdle()
	case e.Class == kinesis.Credentials:
		// Every attempt reads them anew.
	default:
		return results, err
	}
	return s.attempt(ctx, batch)
}

func (s *Shipper) attempt(ctx context.Context, batch []*pack.Record) ([]kinesis.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	s.stats.requests.Add(1)
	results, err := s.putter.PutRecords(ctx, batch)
	s.proven = s.proven || err == nil
	return results, err
}

// settle lets the records go that Kinesis has.
func (s *Shipper) settle(batch []*pack.Record, results []kinesis.Result) bool {
	var failed int
	var example kinesis.Result
	for i, r := range results {
		if !r.OK() {
			failed++
			example = r
			continue
		}
		s.count(batch[i])
	}
	s.queue.Settle(func(i int) bool { return results[i].OK() })
	if failed == 0 {
		s.recovered()
		return true
	}
	if failed == len(batch) {
		s.failed(throttled(example), failed)
		return false
	}
	s.partly(failed, len(batch), example)
	return false
}

// throttled is a record's failure as that of a request.
func throttled(r kinesis.Result) error {
	return &kinesis.Error{Class: kinesis.Throttled, Status: 200, Code: r.ErrorCode, Message: r.ErrorMessage}
}

// partly notes an attempt that went through for some records.
func (s *Shipper) partly(failed, of int, example kinesis.Result) {
	s.mu.Lock()
	s.refused = false
	s.mu.Unlock()
	if s.failures++; s.since.IsZero() {
		s.since = time.Now()
	}
	s.stats.retried.Add(int64(failed))
	if !s.told && s.failures >= tellPartlyAfter {
		s.tell(throttled(example)) // a shard that is too hot for good
	}
	s.log.Debug("some records were not taken and are sent again", "failed", failed, "of", of,
		"code", example.ErrorCode, "message", example.ErrorMessage)
}

func (s *Shipper) count(r *pack.Record) {
	s.stats.records.Add(1)
	s.stats.events.Add(int64(r.Events))
	s.stats.bytes.Add(int64(r.Size()))
}

// bisect finds the records that Kinesis refuses for what they are, gives those
// up, and gets the others through.
func (s *Shipper) bisect(ctx context.Context, batch []*pack.Record, err error) bool {
	b := bisection{s: s, batch: batch, gone: make([]bool, len(batch)), refused: make([]error, len(batch))}
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
	s.queue.Settle(func(i int) bool { return b.gone[i] })
	switch {
	case b.stop != nil:
	case unproven:
		b.stop = kinesis.AsDenied(err)
	case b.failed > 0:
		s.partly(b.failed, len(batch), b.example)
		return false
	default:
		s.recovered()
		return true
	}
	if ctx.Err() == nil {
		s.failed(b.stop, len(batch))
	}
	return false
}

// bisection is the search for refused records in a batch.
type bisection struct {
	s       *Shipper
	batch   []*pack.Record
	gone    []bool  // records that Kinesis has
	refused []error // of records that it refuses alone
	stop    error   // that ended the search
	failed  int     // records to be sent again, of which example is one
	example kinesis.Result
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
		results, err := b.s.attempt(ctx, b.batch[half[0]:half[1]])
		switch {
		case err == nil:
			for i, r := range results {
				if !r.OK() {
					b.failed++
					b.example = r
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
	s.ledger.Lost(r.Loss(ledger.Rejected))
	s.ledger.Retell(r.Losses)
}

// failed notes an attempt that failed as a whole, and tells of it once.
func (s *Shipper) failed(err error, records int) {
	s.stats.retried.Add(int64(records))
	if s.failures++; s.since.IsZero() {
		s.since = time.Now()
	}
	class := kinesis.ClassOf(err)
	refused := class == kinesis.Denied || class == kinesis.Credentials
	s.mu.Lock()
	s.refused = refused
	if refused {
		close(s.hopeless)
		s.hopeless = make(chan struct{})
		select {
		case <-s.kick: // who kicked has the answer
		default:
		}
	}
	s.mu.Unlock()

	if refused && !s.worst || !s.told && s.failures >= tellAfter {
		s.worst = refused
		s.tell(err)
	}
}

// tell tells that Kinesis does not take everything.
func (s *Shipper) tell(err error) {
	s.told = true
	waiting, events, bytes := s.queue.Waiting()
	attrs := []any{
		"error", err.Error(), "class", kinesis.ClassOf(err).String(),
		"waiting_records", waiting, "waiting_events", events, "waiting_bytes", bytes,
	}
	if mend := kinesis.Mend(err); mend != "" {
		attrs = append(attrs, "mend", mend)
	}
	s.log.Error("Kinesis does not take telemetry; it waits in memory and is tried again", attrs...)
}

// recovered notes that an attempt went through.
func (s *Shipper) recovered() {
	s.mu.Lock()
	s.refused = false
	s.mu.Unlock()
	if s.told {
		s.log.Warn("Kinesis takes telemetry again", "failed_for", time.Since(s.since).Round(time.Millisecond).String(),
			"attempts", s.failures, "lost_events", s.ledger.Total())
	}
	s.failures, s.told, s.worst, s.since = 0, false, false, time.Time{}
}
