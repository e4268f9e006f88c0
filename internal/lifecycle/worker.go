package lifecycle

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/guard"
	"github.com/kinetel/kinetel/internal/logging"
	"github.com/kinetel/kinetel/internal/wallclock"
)

// Sender is what the worker calls. The methods may block.
type Sender interface {
	// Restored reports that the environment has been restored from a snapshot.
	// Only the first call has an effect.
	Restored()
	// Thawed reports that the environment may have been frozen until now. It has
	// closed records sent in the background, and the open one if it is as old as age,
	// or is needed to find out why the only record before it was rejected.
	Thawed(age time.Duration)
	// Seal closes the open record and has it sent, in the background.
	Seal()
	// Flush does what Seal does, and waits until everything is sent, until ctx
	// ends, or until Kinesis turns out to be unavailable.
	Flush(ctx context.Context) error
}

// worker calls the pipeline for the loop and the ticker, in a goroutine of its own:
// no lock, disk or fault in the pipeline may keep the loop from calling next.
type worker struct {
	pipeline Sender
	interval time.Duration
	jitter   func(time.Duration) time.Duration // see New
	snapshot bool                              // from the first invocation on, the process comes from a snapshot
	log      logging.Logger

	ticker *time.Ticker  // owned by run
	next   time.Duration // the interval after the current one; owned by run

	thaws     chan struct{} // one slot
	age       atomic.Int64  // the least age of an open record that a thaw seals, in ns
	seals     chan struct{} // one slot: requests to seal at once
	lazySeals chan struct{} // one slot: requests to seal that may be skipped
	flushes   chan func()
	stopping  chan struct{}
	stopped   chan struct{}
	restored  atomic.Bool            // an invocation has begun
	running   atomic.Pointer[func()] // the task that runs; nil: none
	timedOut  *func()                // the one that ran when flush last stopped waiting; owned by the loop
}

func newWorker(pipeline Sender, interval time.Duration, jitter func(time.Duration) time.Duration, snapshot bool, log logging.Logger) *worker {
	return &worker{
		pipeline: pipeline, interval: interval, jitter: jitter, snapshot: snapshot, log: log,
		thaws: make(chan struct{}, 1), seals: make(chan struct{}, 1), lazySeals: make(chan struct{}, 1), flushes: make(chan func()),
		stopping: make(chan struct{}), stopped: make(chan struct{}),
	}
}

func (w *worker) start() { go w.run() }

// stop ends the goroutine, and waits for its running task until ctx ends.
func (w *worker) stop(ctx context.Context) {
	close(w.stopping)
	select {
	case <-w.stopped:
	case <-ctx.Done():
	}
}

// beforeRestore reports whether a snapshot of the process may still be taken.
func (w *worker) beforeRestore() bool { return w.snapshot && !w.restored.Load() }

// thawed reports to the pipeline that an invocation has begun, and has an open
// record sent that is as old as age.
func (w *worker) thawed(age time.Duration) {
	w.age.Store(int64(age))
	signal(w.thaws)
}

// seal has the open record sent.
func (w *worker) seal() { signal(w.seals) }

// sealLazily has the open record sent, at most once in flush.Soon.
func (w *worker) sealLazily() { signal(w.lazySeals) }

func signal(slot chan<- struct{}) {
	select {
	case slot <- struct{}{}:
	default: // already signalled
	}
}

var errFault = errors.New("a fault in Kinetel")

// flush has everything sent, and waits for that until ctx ends.
func (w *worker) flush(ctx context.Context) error {
	done := make(chan error, 1)
	flushes := w.flushes
	for {
		select {
		case flushes <- func() { done <- w.flushNow(ctx) }:
			flushes = nil // it has begun
		case err := <-done:
			return err
		case <-ctx.Done(): // the flush or another task takes too long
			w.timedOut = w.running.Load()
			return context.Cause(ctx)
		}
	}
}

// stuck reports whether the task that ran when flush stopped waiting still runs: no
// invocation should wait for it again. The goroutine that calls flush calls it.
func (w *worker) stuck() bool { return w.timedOut != nil && w.timedOut == w.running.Load() }

func (w *worker) run() {
	defer close(w.stopped)
	// The ticker runs however long an invocation takes, and stands still while the
	// environment is frozen.
	w.ticker = time.NewTicker(w.interval)
	defer w.ticker.Stop()
	w.spread()
	var last time.Time // when a lazy seal was last done
	for {
		var do func()
		select {
		case <-w.stopping:
			return
		case <-w.thaws:
			do = w.thaw
		case do = <-w.flushes:
		case <-w.lazySeals:
			// Use the wall clock, which goes on while the environment is frozen.
			now := wallclock.Now()
			if now.Sub(last).Abs() < flush.Soon {
				continue
			}
			last = now
			do = w.sealNow
		case <-w.seals:
			do = w.sealNow
		case <-w.ticker.C:
			w.ticker.Reset(w.next)
			w.next = w.interval
			do = w.sealNow
		}
		w.running.Store(&do)
		do()
		w.running.Store(nil)
	}
}

// spread begins a first interval, and makes it and the next one shorter by chance:
// otherwise environments that began together would send together for good. The first
// one has at least half of its length, because an init should not pay for a request.
func (w *worker) spread() {
	w.ticker.Reset(w.interval - w.jitter(w.interval/2))
	w.next = w.interval - w.jitter(w.interval)
}

func (w *worker) sealNow() { guard.Run(w.log, "seal", w.pipeline.Seal) }

func (w *worker) flushNow(ctx context.Context) error {
	select {
	case <-w.thaws: // the thaw was before the flush
		w.thaw()
	default:
	}
	err := errFault
	guard.Run(w.log, "flush", func() { err = w.pipeline.Flush(ctx) })
	return err
}

// thaw does the pipeline's work at the beginning of an invocation.
func (w *worker) thaw() {
	if w.beforeRestore() {
		w.restored.Store(true)
		w.spread() // all environments of the snapshot have the same intervals
		guard.Run(w.log, "begin a restored environment", w.pipeline.Restored)
	}
	guard.Run(w.log, "begin an invocation", func() { w.pipeline.Thawed(time.Duration(w.age.Load())) })
}
