// Package queue stores packed records until Kinesis has them: in memory, which is
// bounded, and beyond that in a store on disk. If both are full, it drops the
// oldest log lines first, and platform events last.
package queue

import (
	"errors"
	"slices"
	"sync"
	"time"

	"kinetel/internal/ledger"
	"kinetel/internal/pack"
	"kinetel/internal/spool"
)

// overhead is the bytes of memory that a waiting record takes besides its data:
// the record itself, its entry and the allocator's rounding.
const overhead = 256

const (
	// maxReads is how often the queue tries to read a record from the store
	// before it drops the record. The delay after each attempt is five times the
	// one before, from retryDelay to 25 s.
	maxReads   = 5
	retryDelay = 200 * time.Millisecond
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
	entries []entry    // oldest first
	bytes   int64      // of the records in memory
	// retryAll: the next batches try all records that could not be read, at once.
	retryAll bool
	// overLimit: memory is above its bound until a batch is acknowledged.
	overLimit bool
	next      int64     // position of the next record
	waiters   []*waiter // wait for records to leave
}

// entry is a waiting record: in memory, in the store, or in both. A record in
// flight belongs to the consumer; the queue does not read it.
type entry struct {
	record    *pack.Record // nil: only in the store
	ref       *spool.Ref   // nil: only in memory
	position  int64        // in the order of all records ever pushed
	events    int
	droppable int       // of the events
	size      int       // as Kinesis counts it
	memory    int64     // its share of the queue's bytes
	reads     int       // failed reads
	retry     time.Time // after a failed read: not before this time
	inFlight  bool      // in a batch that Ack was not called for
}

// setRecord sets the record that an entry has in memory; nil: none.
func (q *Queue) setRecord(e *entry, r *pack.Record) {
	q.bytes -= e.memory
	e.record, e.memory = r, 0
	if r != nil {
		e.events, e.droppable, e.size = r.Events, r.Droppable, r.Size()
		e.memory = int64(e.size) + overhead
		q.bytes += e.memory
	}
}

type waiter struct {
	until int64 // released when every record before this position has left
	done  chan struct{}
}

// New returns a Queue.
func New(opt Options) *Queue { return &Queue{opt: opt} }

// Push adds a record, and makes room for it if necessary. A single record always
// has room in memory.
func (q *Queue) Push(r *pack.Record) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := entry{position: q.next}
	q.next++
	q.setRecord(&e, r)
	q.entries = append(q.entries, e)
	if q.opt.Always {
		q.save(len(q.entries) - 1)
	}
	// Without a store, a record that reports losses makes no room for itself, or
	// each report would cause a loss to report. The next record makes that room.
	if q.opt.Store != nil || len(r.Losses) == 0 {
		q.fit()
	}
	q.release()
}

// Restore adds records that an earlier process stored, before all others.
func (q *Queue) Restore(refs []*spool.Ref) {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := q.next
	if len(q.entries) > 0 {
		first = q.entries[0].position
	}
	older := make([]entry, len(refs), len(refs)+len(q.entries))
	for i, ref := range refs {
		older[i] = entry{
			ref: ref, position: first - int64(len(refs)-i),
			events: ref.Events, droppable: ref.Droppable, size: ref.DataSize,
		}
	}
	q.entries = append(older, q.entries...)
}

// RetryIn returns the delay until a record that could not be read may be read
// again; ok is false if there is none.
func (q *Queue) RetryIn() (delay time.Duration, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := range q.entries {
		if e := &q.entries[i]; e.record == nil && !e.retry.IsZero() {
			if until := time.Until(e.retry); !ok || until < delay {
				delay, ok = until, true
			}
		}
	}
	return delay, ok
}

// Places of a record, for oldest.

func inMemory(e *entry) bool     { return e.record != nil }
func onlyInMemory(e *entry) bool { return e.record != nil && e.ref == nil }
func inStore(e *entry) bool      { return e.ref != nil }

// oldest returns the oldest entry before the index to that is in a place and not
// in flight; with droppable, only one that has droppable events.
func (q *Queue) oldest(to int, in func(*entry) bool, droppable bool) (int, bool) {
	for i := range to {
		if e := &q.entries[i]; !e.inFlight && in(e) && (!droppable || e.droppable > 0) {
			return i, true
		}
	}
	return -1, false
}

// fit brings memory below its bound. It moves records into the store, oldest
// first, and drops events if the store does not take them.
func (q *Queue) fit() {
	stored := q.opt.Store != nil // until the store takes no record any more
	for q.bytes > q.opt.Max {
		newest := len(q.entries) - 1 // always has room
		i, ok := q.oldest(newest, inMemory, false)
		if !ok {
			return
		}
		if stored && q.entries[i].ref == nil {
			err := q.append(i)
			if errors.Is(err, spool.ErrFull) {
				if !q.makeRoom(true) && !q.dropLogs(newest, ledger.SpoolFull) && !q.makeRoom(false) {
					stored = false
				}
				continue
			}
			stored = err == nil
		}
		if e := &q.entries[i]; e.ref != nil {
			q.setRecord(e, nil)
			continue
		}
		// Other records may be in memory and in the store.
		if i, ok := q.oldest(newest, func(e *entry) bool { return inMemory(e) && inStore(e) }, false); ok {
			q.setRecord(&q.entries[i], nil)
			continue
		}
		if q.dropLogs(newest, ledger.BufferFull) {
			continue
		}
		// Log lines in flight leave with the response, or can be dropped then.
		// Platform events wait for that.
		if q.overLimit = q.linesInFlight() && q.bytes <= q.opt.Max+credit; q.overLimit {
			return
		}
		if !q.drop(newest, false, ledger.BufferFull) {
			return
		}
	}
}

// credit is the bytes that platform events may use beyond the bound while a
// request is in flight: the events of some hundred invocations.
const credit = 256 << 10

// linesInFlight reports whether droppable events are in flight.
func (q *Queue) linesInFlight() bool {
	return slices.ContainsFunc(q.entries, func(e entry) bool { return e.inFlight && e.droppable > 0 })
}

// dropLogs drops the oldest droppable events that are only in memory, and those
// of the newest record if there are no others. It reports whether there were any.
func (q *Queue) dropLogs(newest int, reason ledger.Reason) bool {
	return q.drop(newest, true, reason) || q.drop(newest+1, true, reason)
}

// append puts the record at i into the store.
func (q *Queue) append(i int) error {
	ref, err := q.opt.Store.Append(q.entries[i].record)
	if err == nil {
		q.entries[i].ref = ref
	}
	return err
}

// drop drops something that is only in memory, of the entries before the index
// to: with droppable, the oldest droppable events; otherwise those of the oldest
// record, or all of it if it has none. It reports whether there was anything.
func (q *Queue) drop(to int, droppable bool, reason ledger.Reason) bool {
	i, ok := q.oldest(to, onlyInMemory, droppable)
	if ok {
		q.dropEvents(i, reason)
	}
	return ok
}

// dropEvents drops the droppable events of the record at i, which is in memory,
// or all of the record if it has none. It reports whether anything remains.
func (q *Queue) dropEvents(i int, reason ledger.Reason) bool {
	e := &q.entries[i]
	r := e.record
	if e.droppable == 0 {
		r.Drop(reason)
		r = nil
	} else {
		r = q.opt.LogDropper.DropLogs(r, reason)
	}
	q.setRecord(e, r)
	if r == nil {
		q.entries = slices.Delete(q.entries, i, i+1)
	}
	return r != nil
}

// save puts the record at i into the store, and drops others if the store is full.
// It reports whether the store takes records; the record itself may have been
// dropped.
func (q *Queue) save(i int) bool {
	position := q.entries[i].position
	for {
		err := q.append(i)
		if err == nil || !errors.Is(err, spool.ErrFull) {
			return err == nil
		}
		if !q.makeRoom(true) {
			// The store has no log lines. Drop this record's before platform events.
			if q.entries[i].droppable > 0 {
				if !q.dropEvents(i, ledger.SpoolFull) {
					return true
				}
				continue
			}
			if !q.makeRoom(false) {
				return false
			}
		}
		// There may be fewer or more entries before this one now.
		i = q.index(position)
	}
}

// index returns the index of the entry with a position; -1: it has left.
func (q *Queue) index(position int64) int {
	for i := range q.entries {
		if q.entries[i].position == position {
			return i
		}
	}
	return -1
}

// makeRoom makes room in the store. With droppable, it drops the droppable events
// in the segment of the oldest ones. Otherwise it takes the segment of the oldest
// record, and drops the droppable events of each record, or all of a record that
// has none. It reports whether there was anything.
func (q *Queue) makeRoom(droppable bool) bool {
	i, ok := q.oldest(len(q.entries), inStore, droppable)
	if !ok {
		return false
	}
	victim := q.entries[i].ref
	q.opt.Store.Seal(victim)
	var unstored []int64 // positions
	for i := 0; i < len(q.entries); i++ {
		e := &q.entries[i]
		if e.ref == nil || !q.opt.Store.SameSegment(e.ref, victim) {
			continue
		}
		ref, kept := e.ref, true
		if !e.inFlight { // else it is in memory, and may still be acknowledged
			if kept = q.load(e, true); !kept {
				q.entries = slices.Delete(q.entries, i, i+1)
			} else if !droppable || e.droppable > 0 {
				kept = q.dropEvents(i, ledger.SpoolFull)
			}
		}
		if !kept {
			q.opt.Store.Done(ref)
			i-- // the entry is gone
			continue
		}
		// Append before Done if there is room, or a kill in between loses the record.
		q.entries[i].ref = nil
		if q.append(i) != nil {
			unstored = append(unstored, q.entries[i].position)
		} else {
			q.unload(i)
		}
		q.opt.Store.Done(ref)
	}
	// As a rule, the remaining events take less room than before.
	for _, position := range unstored {
		i := q.index(position)
		if i < 0 || q.append(i) != nil {
			break // it stays in memory
		}
		q.unload(i)
	}
	return true
}

// unload removes the record at i, which is in the store, from memory: it was only
// there so that its events could be dropped.
func (q *Queue) unload(i int) {
	if !q.opt.Always && !q.entries[i].inFlight {
		q.setRecord(&q.entries[i], nil)
	}
}

// Batch returns the oldest records that are in no other batch, at most records of
// them and at most bytes in size, but at least one if there is any. They stay in
// the queue, and cannot be dropped, until Ack is called with the batch. A record
// that cannot be read now does not delay those after it.
func (q *Queue) Batch(records, bytes int) []*pack.Record {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer func() { // also after a panic
		q.removeDropped()
		q.release()
	}()
	var batch []*pack.Record
	var positions []int64
	total, failures, now, i := 0, 0, time.Now(), 0
	for ; i < len(q.entries) && len(batch) < records; i++ {
		e := &q.entries[i]
		if e.inFlight || e.record == nil && (failures == maxFailures || now.Before(e.retry) && !q.retryAll) {
			continue
		}
		if len(batch) > 0 && total+e.size > bytes {
			break
		}
		if !q.load(e, false) {
			if e.ref == nil {
				continue // it was dropped
			}
			if failures++; failures == maxFailures {
				q.retryLater(now.Add(retryDelay))
			}
			continue
		}
		total += e.size
		batch, positions = append(batch, e.record), append(positions, e.position)
	}
	if i == len(q.entries) {
		q.retryAll = false
	}
	// From here on no store can panic: the caller gets the batch.
	for i := 0; len(positions) > 0; i++ {
		if e := &q.entries[i]; e.position == positions[0] {
			e.inFlight, positions = true, positions[1:]
		}
	}
	return batch
}

// retryLater delays reading the records that are only in the store.
func (q *Queue) retryLater(before time.Time) {
	for i := range q.entries {
		if e := &q.entries[i]; e.record == nil && e.retry.Before(before) {
			e.retry = before
		}
	}
}

// removeDropped removes the entries whose records were dropped.
func (q *Queue) removeDropped() {
	q.entries = slices.DeleteFunc(q.entries, func(e entry) bool { return e.record == nil && e.ref == nil })
}

// load reads an entry's record into memory, and reports whether it is there. If
// no retry can help, or this is the last attempt, it drops the record: the ref is
// nil then.
func (q *Queue) load(e *entry, last bool) bool {
	if e.record != nil {
		return true
	}
	r, err := q.opt.Store.Read(e.ref)
	if err == nil {
		q.setRecord(e, r)
		e.reads, e.retry = 0, time.Time{}
		return true
	}
	if now := time.Now(); !now.Before(e.retry) { // else this is an early attempt, which does not count
		e.reads++
		delay := retryDelay
		for range e.reads - 1 {
			delay *= 5
		}
		e.retry = now.Add(delay)
	}
	if e.reads >= maxReads || last || errors.Is(err, spool.ErrCorrupt) {
		q.dropUnreadable(e)
	}
	return false
}

// dropUnreadable drops the record of an entry that cannot be read.
func (q *Queue) dropUnreadable(e *entry) {
	e.ref.Record().Drop(ledger.SpoolCorrupt)
	q.opt.Store.Done(e.ref)
	e.ref = nil
}

// Check stores again the records that another process deleted from the store, if
// they are in memory or can be read. It drops the others.
func (q *Queue) Check() {
	if q.opt.Store == nil {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.opt.Store.Check() {
		return
	}
	for i := range q.entries {
		e := &q.entries[i]
		if e.ref == nil || !q.opt.Store.Gone(e.ref) {
			continue
		}
		inMemory := e.record != nil
		if !q.load(e, true) {
			continue
		}
		ref := e.ref
		e.ref = nil
		if q.opt.Always || !inMemory {
			_ = q.append(i) // or it stays in memory
		}
		q.opt.Store.Done(ref)
		if !inMemory && e.ref != nil {
			q.setRecord(e, nil)
		}
	}
	q.removeDropped()
	q.fit()
	if q.opt.Always {
		q.saveAll()
	}
	q.release()
}

// Ack applies the results of a request to its batch: the records for which remove
// returns true leave the queue, the others stay in their place. remove gets the
// index in the batch. It may change the record's partition key, at no other time.
func (q *Queue) Ack(batch []*pack.Record, remove func(i int) bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	kept := q.entries[:0]
	var done []*spool.Ref
	var sent []*pack.Record // without a copy in the store
	acked := 0              // of the batch, which is in the queue's order
	for _, e := range q.entries {
		if acked < len(batch) && e.inFlight && e.record == batch[acked] {
			acked++
			if remove(acked - 1) {
				if e.ref != nil {
					done = append(done, e.ref)
				} else if q.opt.Store != nil {
					sent = append(sent, e.record)
				}
				q.setRecord(&e, nil)
				continue
			}
			e.inFlight = false
			q.setRecord(&e, e.record) // its partition key may be another one
		}
		kept = append(kept, e)
	}
	clear(q.entries[len(kept):]) // for the garbage collector
	q.entries = kept
	// The queue is consistent by now, even if the store panics.
	for _, ref := range done {
		q.opt.Store.Done(ref)
	}
	for _, r := range sent {
		q.opt.Store.Sent(r)
	}
	if q.overLimit {
		q.overLimit = false
		q.fit()
	}
	if q.opt.Always {
		q.saveAll()
	}
	q.release()
}

// saveAll puts the records that are only in memory into the store, until the store
// takes no more.
func (q *Queue) saveAll() {
	for {
		// From the front each time: making room may put records back into memory.
		i, ok := q.oldest(len(q.entries), onlyInMemory, false)
		if !ok || !q.save(i) {
			return
		}
	}
}

// Spill puts all records that are only in memory into the store, for the next
// process, and drops those that the store does not take. It must not be called
// while a batch is in flight.
func (q *Queue) Spill() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.opt.Store != nil {
		q.saveAll()
	}
	q.entries = slices.DeleteFunc(q.entries, func(e entry) bool {
		if e.ref != nil {
			return false
		}
		r := e.record
		q.setRecord(&e, nil)
		r.Drop(ledger.Shutdown)
		return true
	})
	q.release()
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

// release closes the channels of the waiters whose records have left.
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
// now has left it. A caller that stops waiting before that must call forget.
func (q *Queue) Left() (drained <-chan struct{}, forget func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w := &waiter{until: q.next, done: make(chan struct{})}
	q.retryAll = true
	q.waiters = append(q.waiters, w)
	q.release()
	return w.done, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.waiters = slices.DeleteFunc(q.waiters, func(other *waiter) bool { return other == w })
	}
}

// Waiting counts the records in the queue.
type Waiting struct {
	Records int
	Events  int
	Bytes   int64 // of memory
	Size    int64 // as Kinesis counts it
	Spooled Spooled
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
	for i := range q.entries {
		e := &q.entries[i]
		w.Events += e.events
		w.Size += int64(e.size)
		if e.ref != nil {
			w.Spooled.Records++
			w.Spooled.Events += e.events
		}
	}
	return w
}
