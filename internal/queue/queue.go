// Package queue holds packed records until Kinesis has them. Its memory is
// bounded: when it is full, the oldest records that are not on their way are
// given up.
package queue

import (
	"slices"
	"sync"

	"kinetel/internal/pack"
)

// overhead is what a waiting record takes in memory besides its data: the
// record itself, its entry and the allocator's rounding.
const overhead = 256

// Queue is a bounded queue of records, safe for concurrent use. It has one
// consumer: Batch and Settle are called from one goroutine, in turn.
type Queue struct {
	max     int64
	dropped func(*pack.Record) // called without mu

	mu       sync.Mutex // guards all below
	entries  []entry    // oldest first
	inFlight int        // entries at the front that the consumer has
	bytes    int64
	next     uint64    // position of the next record
	waiters  []*waiter // for records to leave
}

type entry struct {
	record   *pack.Record
	position uint64 // counts records ever pushed
}

type waiter struct {
	until uint64 // released when no record before this position is left
	done  chan struct{}
}

// New returns a Queue that holds at most max bytes. What it gives up is handed
// to dropped.
func New(max int64, dropped func(*pack.Record)) *Queue {
	return &Queue{max: max, dropped: dropped}
}

// Push adds a record. Where there is no room the oldest ones are given up; a
// record alone always has room.
func (q *Queue) Push(r *pack.Record) {
	q.mu.Lock()
	var gone []*pack.Record
	// A record that tells of losses makes no room for itself, or each telling
	// would be a loss to tell. The next record makes it up.
	for len(r.Losses) == 0 && q.bytes+size(r) > q.max && len(q.entries) > q.inFlight {
		oldest := q.entries[q.inFlight].record
		q.entries = slices.Delete(q.entries, q.inFlight, q.inFlight+1)
		q.bytes -= size(oldest)
		gone = append(gone, oldest)
	}
	q.entries = append(q.entries, entry{r, q.next})
	q.next++
	q.bytes += size(r)
	q.release()
	q.mu.Unlock()

	for _, r := range gone {
		q.dropped(r)
	}
}

func size(r *pack.Record) int64 { return int64(r.Size()) + overhead }

// Batch returns the oldest records, at most records of them and at most bytes
// in size, but at least one if there is any. They stay in the queue, and cannot
// be given up, until Settle is called.
func (q *Queue) Batch(records, bytes int) []*pack.Record {
	q.mu.Lock()
	defer q.mu.Unlock()
	var batch []*pack.Record
	total := 0
	for _, e := range q.entries {
		total += e.record.Size()
		if len(batch) > 0 && (len(batch) == records || total > bytes) {
			break
		}
		batch = append(batch, e.record)
	}
	q.inFlight = len(batch)
	return batch
}

// Settle ends the batch: records for which gone says so leave the queue, the
// others stay in their place. gone is asked by their index in the batch.
func (q *Queue) Settle(gone func(i int) bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	kept := q.entries[:0]
	for i, e := range q.entries {
		if i < q.inFlight && gone(i) {
			q.bytes -= size(e.record)
			continue
		}
		kept = append(kept, e)
	}
	clear(q.entries[len(kept):]) // lets go of the records
	q.entries = kept
	q.inFlight = 0
	q.release()
}

// release lets those go who wait for records that have left.
func (q *Queue) release() {
	oldest := q.next
	if len(q.entries) > 0 {
		oldest = q.entries[0].position
	}
	q.waiters = slices.DeleteFunc(q.waiters, func(w *waiter) bool {
		if oldest < w.until {
			return false
		}
		close(w.done)
		return true
	})
}

// Left returns a channel that is closed when every record that is in the queue
// now has left it. Whoever stops waiting before that calls forget.
func (q *Queue) Left() (left <-chan struct{}, forget func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := &waiter{until: q.next, done: make(chan struct{})}
	q.waiters = append(q.waiters, w)
	q.release()
	return w.done, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.waiters = slices.DeleteFunc(q.waiters, func(other *waiter) bool { return other == w })
	}
}

// Waiting returns how many records, events and bytes wait.
func (q *Queue) Waiting() (records, events int, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.entries {
		events += e.record.Events
	}
	return len(q.entries), events, q.bytes
}
