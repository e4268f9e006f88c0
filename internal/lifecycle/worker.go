package lifecycle

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"kinetel/internal/flush"
	"kinetel/internal/guard"
)

// hand does what the loop and the clock ask of the pipeline, in a goroutine of
// its own: no lock, disk or fault there may keep the loop from calling next.
type worker struct {
	pipeline Pipeline
	interval time.Duration
	snapshot bool // the process comes from one, by the first invocation
	log      *slog.Logger

	thaws    chan struct{} // one slot
	age      atomic.Int64  // of what is to be cut at a thaw, in ns
	cuts     chan struct{} // one slot: of cuts that are asked for at once
	lazyCuts chan struct{} // one slot: of those that may be left out
	flushes  chan flushing
	stopping chan struct{}
	stopped  chan struct{}
	restored atomic.Bool   // an invocation has begun
	turns    atomic.Uint64 // odd: something is being done; what was done is half of it
	gaveUp   uint64        // turns when a flush was last given up; the loop's
}

// flushing is a Flush that somebody waits for.
type flushing struct {
	ctx  context.Context
	done chan<- error // has room
}

func newWorker(pipeline Pipeline, interval time.Duration, snapshot bool, log *slog.Logger) *worker {
	return &worker{
		pipeline: pipeline, interval: interval, snapshot: snapshot, log: log,
		thaws: make(chan struct{}, 1), cuts: make(chan struct{}, 1), lazyCuts: make(chan struct{}, 1), flushes: make(chan flushing),
		stopping: make(chan struct{}), stopped: make(chan struct{}),
	}
}

func (h *worker) start() { go h.run() }

// stop ends the goroutine, and waits for what it is doing until ctx ends.
func (h *worker) stop(ctx context.Context) {
	close(h.stopping)
	select {
	case <-h.stopped:
	case <-ctx.Done():
	}
}

// beforeRestore reports whether the process may be in a snapshot that is yet to
// be taken.
func (h *worker) beforeRestore() bool { return h.snapshot && !h.restored.Load() }

// thawed has the pipeline told that an invocation has begun, and what is as old
// as age sent.
func (h *worker) thawed(age time.Duration) {
	h.age.Store(int64(age))
	signal(h.thaws)
}

// cut has the open record sent.
func (h *worker) cut() { signal(h.cuts) }

// cutLazily has it sent once in flush.Soon at most.
func (h *worker) cutLazily() { signal(h.lazyCuts) }

func signal(slot chan<- struct{}) {
	select {
	case slot <- struct{}{}:
	default: // it is signalled already
	}
}

var errFault = errors.New("a fault in Kinetel")

// flush has everything sent, and waits for it until ctx ends.
func (h *worker) flush(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case h.flushes <- flushing{ctx, done}:
	case <-ctx.Done(): // something else takes too long
		h.gaveUp = h.turns.Load()
		return context.Cause(ctx)
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		h.gaveUp = h.turns.Load()
		return context.Cause(ctx)
	}
}

// stuck reports whether what was being done when a flush was given up still is:
// nobody should wait for it again. It is asked by who calls flush.
func (h *worker) stuck() bool { return h.gaveUp%2 == 1 && h.gaveUp == h.turns.Load() }

func (h *worker) run() {
	defer close(h.stopped)
	// It goes on however long an invocation takes, and stands still while the
	// environment is frozen.
	ticker := time.NewTicker(h.interval)
	defer ticker.Stop()
	var last time.Time // lazy cut
	for {
		var do func()
		select {
		case <-h.stopping:
			return
		case <-h.thaws:
			do = h.thaw
		case f := <-h.flushes:
			do = func() { h.flushNow(f) }
		case <-h.lazyCuts:
			// By the wall clock, which goes on while the environment is frozen.
			now := time.Now().Round(0)
			if now.Sub(last).Abs() < flush.Soon {
				continue
			}
			last = now
			do = h.cutNow
		case <-h.cuts:
			do = h.cutNow
		case <-ticker.C:
			do = h.cutNow
		}
		h.turns.Add(1)
		do()
		h.turns.Add(1)
	}
}

func (h *worker) cutNow() { guard.Run(h.log, "cut", h.pipeline.Seal) }

func (h *worker) flushNow(f flushing) {
	select {
	case <-h.thaws: // it was asked for after the thaw
		h.thaw()
	default:
	}
	err := errFault
	guard.Run(h.log, "flush", func() { err = h.pipeline.Flush(f.ctx) })
	f.done <- err
}

// thaw does what has to be done when an invocation begins.
func (h *worker) thaw() {
	if h.beforeRestore() {
		h.restored.Store(true)
		guard.Run(h.log, "begin a restored environment", h.pipeline.Restored)
	}
	guard.Run(h.log, "begin an invocation", h.pipeline.Thawed)
	guard.Run(h.log, "cut what is old", func() { h.pipeline.SealIfOlder(time.Duration(h.age.Load())) })
}
