// Package ship sends the queue's records to Kinesis: one request at a time, or
// several if more than a whole request waits, and while the environment ends. It sends
// only failed records again.
package ship

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinetel/kinetel/internal/breaker"
	"github.com/kinetel/kinetel/internal/guard"
	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/logging"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/queue"
)

const (
	// faultDelay is the wait after a panic, so that a panic at every attempt
	// costs next to nothing.
	faultDelay = time.Second
	// maxConcurrent is how many requests may be in flight: while the environment ends,
	// because then no request may wait for the answer to another, and in a backlog.
	// maxInFlight is how many bytes they may carry together: their bodies are in
	// memory besides the buffer.
	maxConcurrent = kinesis.MaxConnections
	maxInFlight   = 2 * breaker.MaxBytes
	// A burst is over when nothing was sent for burstPause, and at least burstBytes
	// since the last one.
	burstBytes = 4 << 20
	burstPause = 500 * time.Millisecond
	// minAnswer is shorter than the time that any answer takes.
	minAnswer = 20 * time.Millisecond
)

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
	queue      *queue.Queue
	putter     Putter
	afterBurst func()       // nil: nothing
	colocated  bool         // readers rely on the shard of a record, so change its key late
	lost       func() int64 // events lost since the start
	log        logging.Logger

	wake     chan struct{} // one slot: there may be something to send
	urgent   chan struct{} // one slot: a caller waits, so shorten the pause
	choosing chan struct{} // one slot, full while a worker chooses the next batch
	ending   chan struct{} // closed when the environment ends
	crowd    chan struct{} // closed when more than one request may be in flight for the first time
	latency  ledger.Durations

	mu          sync.Mutex // guards all below, up to proven
	breaker     breaker.Breaker
	holds       breaker.Holds
	caller      *caller           // waits for the records; nil: none does
	attempts    map[*attempt]bool // in flight
	sending     int               // records in batches
	crowded     bool              // crowd is closed
	burst       int64             // bytes that were sent since a burst was over
	lastAttempt time.Time         // when it ended
	failedAt    time.Time         // when an attempt last failed as a whole
	pausedUntil time.Time         // no attempt begins earlier
	reconnect   bool              // the next attempt must use a new connection
	invalidate  bool              // and new credentials
	deadline    time.Time         // when the environment ends; zero: it does not, or has no deadline

	lastError    error // of the last attempt that failed; nil: a later one succeeded
	outageLogged bool  // the log has an outage whose end it does not have yet
	lostAt       int64 // events lost when the outage was logged
	stats        Stats // without Latency

	proven atomic.Bool // Kinesis has accepted a request as a whole
	// The loop reads these before each invocation, and must not wait for a lock.
	unavailable  atomic.Bool
	needsAnother atomic.Bool  // see NeedsAnother
	behind       atomic.Int64 // Unix time in ns of the first attempt for the records that wait; 0: none
}

// New returns a Shipper of the queue's records. colocated means that readers rely on
// finding the records of one partition key in one shard. lost returns how many events
// were lost since the start, for the log.
func New(q *queue.Queue, putter Putter, colocated bool, lost func() int64, log logging.Logger) *Shipper {
	return &Shipper{
		queue: q, putter: putter, colocated: colocated, lost: lost, log: log, breaker: breaker.New(Jitter), attempts: map[*attempt]bool{},
		wake: make(chan struct{}, 1), urgent: make(chan struct{}, 1), choosing: make(chan struct{}, 1), ending: make(chan struct{}), crowd: make(chan struct{}),
	}
}

// Wake starts sending the records that wait, and returns at once.
func (s *Shipper) Wake() { signal(s.wake) }

func signal(slot chan<- struct{}) {
	select {
	case slot <- struct{}{}:
	default: // signalled already
	}
}

// Thawed is Wake after the environment may have been frozen: a request that has
// been in flight for long is cancelled and sent again.
func (s *Shipper) Thawed() {
	s.cancelStale(StaleGrace)
	s.Wake()
}

// Restored is Wake after the process was restored from a snapshot: its
// connections are dead, and its credentials may have expired.
func (s *Shipper) Restored() {
	s.mu.Lock()
	s.reconnect, s.invalidate = true, true
	s.mu.Unlock()
	s.Wake()
}

// Run sends records until ctx ends. It survives panics.
func (s *Shipper) Run(ctx context.Context) {
	var workers sync.WaitGroup
	defer workers.Wait()
	workers.Go(func() {
		select {
		case <-ctx.Done():
			return
		case <-s.ending:
		case <-s.crowd:
		}
		for range maxConcurrent - 1 {
			workers.Go(func() { s.work(ctx) })
		}
	})
	s.work(ctx)
}

// work sends records, one request at a time, until ctx ends.
func (s *Shipper) work(ctx context.Context) {
	for !guard.Run(s.log, "ship", func() { s.run(ctx) }) {
		s.unavailable.Store(true) // until a request succeeds
		select {
		case <-ctx.Done():
			return
		case <-time.After(faultDelay):
		}
		s.Wake()
	}
}

func (s *Shipper) run(ctx context.Context) {
	var retry <-chan time.Time // for records that could not be read
	var pause <-chan time.Time // ends a burst
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-retry:
		case <-pause:
			pause = nil
			if s.inBurst(true) && s.queue.Waiting().Records == 0 {
				s.afterBurst()
			}
			continue
		}
		for ctx.Err() == nil {
			batch := s.next(ctx)
			if len(batch) == 0 {
				if delay, ok := s.queue.RetryIn(); ok {
					retry = time.After(delay)
				}
				break
			}
			s.behind.CompareAndSwap(0, time.Now().UnixNano())
			s.send(ctx, batch)
		}
		if s.afterBurst != nil && s.inBurst(false) {
			pause = time.After(burstPause)
		}
	}
}

// AfterBurst makes Run call f after much was sent and then nothing, when memory can be given
// back. Call it before Run.
func (s *Shipper) AfterBurst(f func()) { s.afterBurst = f }

// inBurst reports whether much was sent since a burst was last over. If over is true, this
// one is.
func (s *Shipper) inBurst(over bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	much := s.burst >= burstBytes
	if over {
		s.burst = 0
	}
	return much
}

// next returns the next batch as soon as it may be sent. The batch is empty if no
// record waits, if a request in flight must be answered first, and when ctx has
// ended.
func (s *Shipper) next(ctx context.Context) []*pack.Record {
	select {
	case s.choosing <- struct{}{}:
	case <-ctx.Done():
		return nil
	}
	defer func() { <-s.choosing }()
	for {
		s.pause(ctx)
		if ctx.Err() != nil {
			return nil
		}
		// This attempt serves a caller that began to wait before it.
		select {
		case <-s.urgent:
		default:
		}
		if s.tooLate() {
			<-ctx.Done()
			return nil
		}
		batch, more, ok := s.take()
		if !ok {
			continue
		}
		if more {
			s.Wake() // another worker may send the rest
		}
		return batch
	}
}

// take takes the next batch from the queue. more means that another worker may take one at
// once. ok is false, and nothing is taken, if the attempt of another worker has failed in the
// meantime and began a pause. An attempt begins its pause before it acks its batch, so both
// are seen or neither is.
func (s *Shipper) take() (batch []*pack.Record, more, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Now().Before(s.pausedUntil) {
		return nil, false, false
	}
	waiting := s.queue.Waiting()
	ending := s.isEnding()
	records, bytes := s.breaker.Limits()
	if ending { // there may be no later request
		records, bytes = kinesis.MaxRecords, breaker.MaxBytes
	}
	if bytes = min(bytes, int(maxInFlight-waiting.InFlight)); bytes <= 0 || !ending && s.sending > 0 && !s.backlog(waiting) {
		return nil, false, true // the next answer makes room
	}
	batch = s.queue.Batch(records, bytes)
	s.sending += len(batch)
	more = len(batch) > 0 && (ending || s.backlog(s.queue.Waiting()))
	if more && !s.crowded {
		s.crowded = true
		close(s.crowd)
	}
	return batch, more, true
}

// backlog reports whether more than a whole request waits for a Kinesis that accepts all
// it gets: the answer to one request would be a long time for the others. The caller holds
// mu.
func (s *Shipper) backlog(w queue.Waiting) bool {
	failures, _ := s.breaker.Failures()
	return s.proven.Load() && s.breaker.Closed() && failures == 0 && (w.Size-w.InFlight >= breaker.MaxBytes || w.Records-s.sending >= kinesis.MaxRecords)
}

// tooLate reports whether the environment ends before the next answer could come.
// Kinesis may have stored the records of a request that the end cuts off, and the
// next process of the environment would send them again.
func (s *Shipper) tooLate() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	failures, _ := s.breaker.Failures()
	return s.isEnding() && failures > 0 && !s.deadline.IsZero() && time.Until(s.deadline) < 2*s.latency.Last()+minAnswer
}

// Last sends records in one request, ahead of those that wait, and returns those
// that Kinesis did not accept. It must not be called while Run runs.
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
