package queue

import (
	"errors"
	"time"

	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/spool"
)

const (
	// retryDelay is the delay after the first failed read of a record. Each delay is
	// five times the one before. After maxRetryDelay the record is dropped.
	retryDelay    = 200 * time.Millisecond
	maxRetryDelay = 25 * time.Second
	// maxFailures is how many reads fail in one Batch before it tries no further
	// record that is only in the store.
	maxFailures = 8
)

// Store stores records outside of memory; *spool.Spool is one.
type Store interface {
	// Append stores a record; spool.ErrFull means that there is no room.
	Append(r *pack.Record) (*spool.Ref, error)
	// Read returns a record; spool.ErrCorrupt means that it is lost.
	Read(ref *spool.Ref) (*pack.Record, error)
	// Check returns false if a stored record was deleted since the last call.
	Check() bool
	// Gone reports whether a record was deleted.
	Gone(ref *spool.Ref) bool
	// Done removes a record.
	Done(ref *spool.Ref)
	// Sent notes that a record that is not stored has left the queue.
	Sent(r *pack.Record)
	// SameSegment reports whether only removing both records makes room.
	SameSegment(a, b *spool.Ref) bool
	// Seal has the next records stored in another segment than ref's.
	Seal(ref *spool.Ref)
}

// append puts a record into the store.
func (q *Queue) append(e *entry) error {
	ref, err := q.opt.Store.Append(e.record)
	if err == nil {
		e.ref = ref
	}
	return err
}

// move puts a record into the store and, unless it must stay there, out of memory.
// It reports whether the store took the record.
func (q *Queue) move(e *entry) bool {
	if q.append(e) != nil {
		return false
	}
	if !q.opt.Always && !e.inFlight {
		q.setRecord(e, nil)
	}
	return true
}

// save puts a record into the store, and drops others if the store is full. It
// reports whether the store takes records; the record itself may have been dropped.
func (q *Queue) save(e *entry) bool {
	for !e.hasLeft() {
		err := q.append(e)
		if !errors.Is(err, spool.ErrFull) {
			return err == nil
		}
		switch {
		case q.makeRoom(true):
		case e.droppable > 0: // the store has no log lines: drop these before platform events
			q.drop(e, ledger.SpoolFull)
		case !q.makeRoom(false):
			return false
		}
	}
	return true
}

// saveAll puts the records that are only in memory into the store, until the store
// takes no more.
func (q *Queue) saveAll() {
	for {
		// From the front each time: making room may put records back into memory.
		e := oldest(q.entries, onlyInMemory, false)
		if e == nil || !q.save(e) {
			return
		}
	}
}

// load reads an entry's record into memory, and reports whether it is there. If
// no retry can help, or this is the last attempt, it drops the record.
func (q *Queue) load(e *entry, last bool) bool {
	if e.record != nil {
		return true
	}
	r, err := q.opt.Store.Read(e.ref)
	if err == nil {
		q.setRecord(e, r)
		e.retry, e.delay = time.Time{}, 0
		return true
	}
	if now := time.Now(); !now.Before(e.retry) { // else this is an early attempt, which does not count
		e.delay = max(5*e.delay, retryDelay)
		e.retry = now.Add(e.delay)
	}
	if e.delay > maxRetryDelay || last || errors.Is(err, spool.ErrCorrupt) {
		e.ref.Record().Drop(ledger.SpoolCorrupt)
		q.opt.Store.Done(e.ref)
		e.ref, q.removed = nil, true
	}
	return false
}

// retryLater delays reading the records that are only in the store.
func (q *Queue) retryLater(before time.Time) {
	for _, e := range q.entries {
		if e.record == nil && e.retry.Before(before) {
			e.retry = before
		}
	}
}

// RetryIn returns the delay until a record that could not be read may be read
// again; ok is false if there is none.
func (q *Queue) RetryIn() (delay time.Duration, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.entries {
		if until := time.Until(e.retry); e.record == nil && !e.retry.IsZero() && (!ok || until < delay) {
			delay, ok = until, true
		}
	}
	return delay, ok
}

// Check stores again the records that another process deleted from the store, if
// they are in memory or can be read. It drops the others.
func (q *Queue) Check() {
	if q.opt.Store == nil {
		return
	}
	q.mu.Lock()
	defer q.unlock()
	if q.opt.Store.Check() {
		return
	}
	for _, e := range q.entries {
		if e.ref == nil || !q.opt.Store.Gone(e.ref) {
			continue
		}
		ref, stored := e.ref, e.record == nil
		if !q.load(e, true) {
			continue
		}
		e.ref = nil
		// What cannot be stored stays in memory.
		if (q.opt.Always || stored) && q.append(e) == nil && stored {
			q.setRecord(e, nil)
		}
		q.opt.Store.Done(ref)
	}
	q.fit()
	if q.opt.Always {
		q.saveAll()
	}
}

// Spill puts all records that are only in memory into the store, for the next
// process, and drops those that the store does not take. It must not be called
// while a batch is in flight.
func (q *Queue) Spill() {
	q.mu.Lock()
	defer q.unlock()
	if q.opt.Store != nil {
		q.saveAll()
	}
	for _, e := range q.entries {
		if r := e.record; onlyInMemory(e) {
			q.setRecord(e, nil)
			r.Drop(ledger.Shutdown)
		}
	}
}

// Stored returns the records that are in the store.
func (q *Queue) Stored() (refs []*spool.Ref) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.entries {
		if e.ref != nil {
			refs = append(refs, e.ref)
		}
	}
	return refs
}
