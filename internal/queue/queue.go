// Package queue stores packed records until Kinesis has them: in memory, which is
// bounded, and beyond that in a store on disk. If both are full, it drops the
// oldest log lines first, and platform events last.
package queue

import (
	"slices"
	"sync"
	"time"

	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/spool"
)

// Overhead is the bytes of memory that a waiting record takes besides its data:
// the record itself, its entry and the allocator's rounding.
const Overhead = 256

// LogDropper takes the droppable events out of a record; *pack.LogDropper is one.
type LogDropper interface {
	// DropLogs drops those events and returns the rest, or nil if there is none.
	DropLogs(r *pack.Record, reason ledger.Reason) *pack.Record
}

// Options configure a Queue; all but Store and Always are required.
type Options struct {
	Max        int64 // bytes of memory
	Store      Store // nil: records are in memory only
	Always     bool  // each record is in the store before Push returns
	LogDropper LogDropper
}

// Queue is a bounded queue of records, safe for concurrent use. Several batches
// may be in flight.
type Queue struct {
	opt Options

	mu      sync.Mutex // guards all below
	entries []*entry   // oldest first
	bytes   int64      // of the records in memory
	// retryAll: the next batches try all records that could not be read, at once.
	retryAll bool
	// removed: there may be entries that have left the queue.
	removed bool
	// overLimit: memory is above its bound until a batch is acknowledged.
	overLimit bool
	next      int64     // position of the next record
	waiters   []*waiter // wait for records to leave
}

// entry is a waiting record: in memory, in the store, or in both. In neither place,
// it has left the queue. A record in flight belongs to the consumer; the queue does
// not read it.
type entry struct {
	record    *pack.Record // nil: not in memory
	ref       *spool.Ref   // nil: not in the store
	position  int64        // in the order of all records ever pushed
	events    int
	droppable int           // of the events
	size      int           // as Kinesis counts it
	memory    int64         // its share of the queue's bytes
	retry     time.Time     // after a failed read: not before this time
	delay     time.Duration // the last one after a failed read
	inFlight  bool          // in a batch that Ack was not called for
}

func (e *entry) hasLeft() bool { return e.record == nil && e.ref == nil }

// setRecord sets the record that an entry has in memory; nil: none.
func (q *Queue) setRecord(e *entry, r *pack.Record) {
	q.bytes -= e.memory
	e.record, e.memory = r, 0
	if r == nil {
		q.removed = true
	} else {
		e.events, e.droppable, e.size = r.Events, r.Droppable, r.Size()
		e.memory = int64(e.size) + Overhead
		q.bytes += e.memory
	}
}

// New returns a Queue.
func New(opt Options) *Queue { return &Queue{opt: opt} }

// unlock ends a method in which records may have left the queue.
func (q *Queue) unlock() {
	q.sweep()
	q.release()
	q.mu.Unlock()
}

// sweep removes the entries that have left the queue.
func (q *Queue) sweep() {
	if q.removed {
		q.removed = false
		q.entries = slices.DeleteFunc(q.entries, (*entry).hasLeft)
	}
}

// Push adds a record, and makes room for it if necessary. A single record always
// has room in memory.
func (q *Queue) Push(r *pack.Record) {
	q.mu.Lock()
	defer q.unlock()
	e := &entry{position: q.next}
	q.next++
	q.setRecord(e, r)
	q.entries = append(q.entries, e)
	if q.opt.Always {
		q.save(e)
	}
	// Without a store, a record that reports losses makes no room for itself, or
	// each report would cause a loss to report. The next record makes that room.
	if q.opt.Store != nil || len(r.Losses) == 0 {
		q.fit()
	}
}

// Restore adds records that an earlier process stored, before all others.
func (q *Queue) Restore(refs []*spool.Ref) {
	q.mu.Lock()
	defer q.mu.Unlock()
	position := q.oldestPosition() - int64(len(refs))
	older := make([]*entry, len(refs), len(refs)+len(q.entries))
	for i, ref := range refs {
		older[i] = &entry{ref: ref, position: position + int64(i), events: ref.Events, droppable: ref.Droppable, size: ref.DataSize}
	}
	q.entries = append(older, q.entries...)
}

// Batch returns the oldest records that are in no other batch, at most records of
// them and at most bytes in size, but at least one if there is any. They stay in
// the queue, and cannot be dropped, until Ack is called with the batch. A record
// that cannot be read now does not delay those after it.
func (q *Queue) Batch(records, bytes int) []*pack.Record {
	q.mu.Lock()
	defer q.unlock()
	var batch []*pack.Record
	var taken []*entry
	total, failures, now, i := 0, 0, time.Now(), 0
	for ; i < len(q.entries) && len(batch) < records; i++ {
		e := q.entries[i]
		if e.inFlight || e.record == nil && (failures == maxFailures || now.Before(e.retry) && !q.retryAll) {
			continue
		}
		if len(batch) > 0 && total+e.size > bytes {
			break
		}
		if q.load(e, false) {
			total += e.size
			batch, taken = append(batch, e.record), append(taken, e)
		} else if e.ref != nil { // it was not dropped
			if failures++; failures == maxFailures {
				q.retryLater(now.Add(retryDelay))
			}
		}
	}
	if i == len(q.entries) {
		q.retryAll = false
	}
	// From here on no store can panic: the caller gets the batch.
	for _, e := range taken {
		e.inFlight = true
	}
	return batch
}

// Outcome is what a request did for a record of a batch.
type Outcome struct {
	Done         bool   // Kinesis has the record, or it was dropped: it leaves the queue
	PartitionKey string // for the next attempt; empty: the same one
}

// Ack ends a batch, whose records have these outcomes. Those that are not done stay
// in their place.
func (q *Queue) Ack(batch []*pack.Record, outcomes []Outcome) {
	q.mu.Lock()
	defer q.unlock()
	var stored []*spool.Ref
	var unstored []*pack.Record
	acked := 0 // of the batch, which is in the queue's order
	for _, e := range q.entries {
		if acked == len(batch) || !e.inFlight || e.record != batch[acked] {
			continue
		}
		outcome := outcomes[acked]
		acked++
		e.inFlight = false
		switch {
		case !outcome.Done:
			if outcome.PartitionKey != "" {
				e.record.PartitionKey = outcome.PartitionKey
				q.setRecord(e, e.record) // it has another size
			}
			continue
		case e.ref != nil:
			stored = append(stored, e.ref)
		case q.opt.Store != nil:
			unstored = append(unstored, e.record)
		}
		q.setRecord(e, nil)
		e.ref = nil
	}
	// The queue is consistent by now, even if the store panics.
	for _, ref := range stored {
		q.opt.Store.Done(ref)
	}
	for _, r := range unstored {
		q.opt.Store.Sent(r)
	}
	if q.overLimit {
		q.overLimit = false
		q.fit()
	}
	if q.opt.Always {
		q.saveAll()
	}
}

// Waiting counts the records in the queue.
type Waiting struct {
	Records  int
	Events   int
	Bytes    int64 // of memory
	Size     int64 // as Kinesis counts it
	InFlight int64 // of the size, in batches
	Spooled  Spooled
}

// Spooled counts those of them that are in the store.
type Spooled struct {
	Records int
	Events  int
}

// Waiting returns how much is in the queue.
func (q *Queue) Waiting() (w Waiting) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w.Records, w.Bytes = len(q.entries), q.bytes
	for _, e := range q.entries {
		w.Events += e.events
		w.Size += int64(e.size)
		if e.inFlight {
			w.InFlight += int64(e.size)
		}
		if e.ref != nil {
			w.Spooled.Records++
			w.Spooled.Events += e.events
		}
	}
	return w
}
