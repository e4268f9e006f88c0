// Package queue holds packed records until Kinesis has them: in memory, which
// is bounded, and beyond that in a store on disk. Where both are full it gives
// up the oldest lines first, and platform events last.
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

// overhead is what a waiting record takes in memory besides its data: the
// record itself, its entry and the allocator's rounding.
const overhead = 256

const (
	// maxReads is how often a record is tried to be read from the store before
	// it is given up. After each attempt it is left alone for five times as long,
	// from retryDelay to 25 s.
	maxReads   = 5
	retryDelay = 200 * time.Millisecond
	// maxFailures is how many records in a row cannot be read before none of
	// those that are only in the store is tried.
	maxFailures = 8
)

// Store keeps records outside of memory; *spool.Spool is one.
type Store interface {
	// Append keeps a record; spool.ErrFull means that there is no room.
	Append(r *pack.Record) (*spool.Ref, error)
	// Read returns a record; spool.ErrCorrupt means that it is lost.
	Read(ref *spool.Ref) (*pack.Record, error)
	// Check reports whether nothing that is kept was deleted since the last call.
	Check() bool
	// Gone reports whether that happened to a record.
	Gone(ref *spool.Ref) bool
	// Done forgets a record.
	Done(ref *spool.Ref)
	// Sent says that a record that is not kept has left the queue.
	Sent(r *pack.Record)
	// Together reports whether room is made only when both are forgotten.
	SameSegment(a, b *spool.Ref) bool
	// Seal keeps further records away from where ref is.
	Seal(ref *spool.Ref)
}

// Stripper takes the ordinary events out of a record; *pack.Stripper is one.
type LogDropper interface {
	// Strip gives those events up and returns the rest, nil where there is none.
	DropLogs(r *pack.Record, reason ledger.Reason) *pack.Record
}

// Options are what a Queue needs to know; all but Store and Always are required.
type Options struct {
	Max      int64 // bytes of memory
	Store    Store // nil: memory is all there is
	Always   bool  // each record is in the store before Push returns
	LogDropper LogDropper
}

// Queue is a bounded queue of records, safe for concurrent use. Several batches
// may be in flight.
type Queue struct {
	opt Options

	mu      sync.Mutex // guards all below
	entries []entry    // oldest first
	bytes   int64      // of those in memory
	// retryAll: the next batches try all that could not be read, at once.
	retryAll bool
	// overdrawn: more is in memory than there should be, until a batch ends.
	overdrawn bool
	next      int64     // position of the next record
	waiters   []*waiter // for records to leave
}

// entry is a record that waits: in memory, in the store, or in both. A record in
// flight is the consumer's; the queue does not look into it.
type entry struct {
	record   *pack.Record // nil: only in the store
	ref      *spool.Ref   // nil: only in memory
	position int64        // counts records ever pushed
	events   int
	droppable int       // of these
	size     int       // as Kinesis counts it
	memory   int64     // that is counted for it
	reads    int       // that failed
	retry    time.Time // not to be read before, because it could not be
	inFlight bool      // in a batch that has not been settled
}

// hold puts a record, or none, into an entry's memory.
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
	until int64 // released when no record before this position is left
	done  chan struct{}
}

// New returns a Queue.
func New(opt Options) *Queue { return &Queue{opt: opt} }

// Push adds a record, and makes room for it where there is none. A record alone
// always has room in memory.
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
	// Without a store, a record that tells of losses makes no room for itself,
	// or each telling would be a loss to tell. The next record makes it up.
	if q.opt.Store != nil || len(r.Losses) == 0 {
		q.fit()
	}
	q.release()
}

// Restore adds what an earlier process left in the store, before all others.
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

// RetryIn returns when a record can be in the next batch that could not be read
// for the last one; ok is false where there is none.
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

// Where records are, for the choice of what goes.

func inMemory(e *entry) bool     { return e.record != nil }
func onlyInMemory(e *entry) bool { return e.record != nil && e.ref == nil }
func inStore(e *entry) bool      { return e.ref != nil }

// oldest returns the oldest entry of those before to that are in a place and not
// in flight; with ordinary, only those that have ordinary events.
func (q *Queue) oldest(to int, in func(*entry) bool, ordinary bool) (int, bool) {
	for i := range to {
		if e := &q.entries[i]; !e.inFlight && in(e) && (!ordinary || e.droppable > 0) {
			return i, true
		}
	}
	return -1, false
}

// fit brings what is in memory below its bound: into the store, oldest first;
// and where that does not take it, by giving events up.
func (q *Queue) fit() {
	stored := q.opt.Store != nil // until it takes nothing any more
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
		// Some may be in the store all the same.
		if i, ok := q.oldest(newest, func(e *entry) bool { return inMemory(e) && inStore(e) }, false); ok {
			q.setRecord(&q.entries[i], nil)
			continue
		}
		if q.dropLogs(newest, ledger.BufferFull) {
			continue
		}
		// Lines that are on their way are gone with the answer, or can be given
		// up then: platform events wait for that.
		if q.overdrawn = q.linesInFlight() && q.bytes <= q.opt.Max+credit; q.overdrawn {
			return
		}
		if !q.drop(newest, false, ledger.BufferFull) {
			return
		}
	}
}

// credit is what platform events may take beyond the bound while a request is
// under way: what some hundred invocations say.
const credit = 256 << 10

// linesInFlight reports whether ordinary events are in flight.
func (q *Queue) linesInFlight() bool {
	return slices.ContainsFunc(q.entries, func(e entry) bool { return e.inFlight && e.droppable > 0 })
}

// giveUpLines gives up the oldest ordinary events that are only in memory, and
// the newest record's where there are no others. It reports whether there were
// any.
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

// giveUp gives up what is only in memory, of the entries before to: the oldest
// ordinary events, or else the oldest record. It reports whether there was any.
func (q *Queue) drop(to int, ordinary bool, reason ledger.Reason) bool {
	i, ok := q.oldest(to, onlyInMemory, ordinary)
	if ok {
		q.dropEvents(i, reason)
	}
	return ok
}

// strip gives up the ordinary events of the record at i, which is in memory, and
// all of it where it has none. It reports whether something is left.
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

// save puts the record at i into the store, for which others may have to go. It
// reports whether the store takes records; the record itself may have been given
// up.
func (q *Queue) save(i int) bool {
	position := q.entries[i].position
	for {
		err := q.append(i)
		if err == nil || !errors.Is(err, spool.ErrFull) {
			return err == nil
		}
		if !q.makeRoom(true) {
			// The store has no lines. This record's go before platform events.
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
		// Entries before this one may be gone, or new there.
		i = q.index(position)
	}
}

// index returns where the entry of a position is; -1: it has left.
func (q *Queue) index(position int64) int {
	for i := range q.entries {
		if q.entries[i].position == position {
			return i
		}
	}
	return -1
}

// makeRoom gives up what lies together with the oldest ordinary events in the
// store, or without ordinary with the oldest record. It reports whether there
// was anything.
func (q *Queue) makeRoom(ordinary bool) bool {
	i, ok := q.oldest(len(q.entries), inStore, ordinary)
	if !ok {
		return false
	}
	victim := q.entries[i].ref
	q.opt.Store.Seal(victim)
	var rests []int64 // positions
	for i := 0; i < len(q.entries); i++ {
		e := &q.entries[i]
		if e.ref == nil || !q.opt.Store.SameSegment(e.ref, victim) {
			continue
		}
		ref, kept := e.ref, true
		if !e.inFlight { // else it is in memory, and may yet arrive
			if kept = q.load(e, true); !kept {
				q.entries = slices.Delete(q.entries, i, i+1)
			} else if !ordinary || e.droppable > 0 {
				kept = q.dropEvents(i, ledger.SpoolFull)
			}
		}
		if !kept {
			q.opt.Store.Done(ref)
			i-- // the entry is gone
			continue
		}
		// In this order where there is room, or a kill in between would lose it.
		q.entries[i].ref = nil
		if q.append(i) != nil {
			rests = append(rests, q.entries[i].position)
		} else {
			q.unload(i)
		}
		q.opt.Store.Done(ref)
	}
	// What is left of them takes less than it did, as a rule.
	for _, position := range rests {
		i := q.index(position)
		if i < 0 || q.append(i) != nil {
			break // it stays in memory
		}
		q.unload(i)
	}
	return true
}

// unload takes the record at i, which is in the store, out of memory: it was only
// there to be stripped.
func (q *Queue) unload(i int) {
	if !q.opt.Always && !q.entries[i].inFlight {
		q.setRecord(&q.entries[i], nil)
	}
}

// Batch returns the oldest records that are in no other batch, at most records of
// them and at most bytes in size, but at least one if there is any. They stay in
// the queue, and cannot be given up, until Settle is called with the batch. A record
// that cannot be read now does not delay those behind it.
func (q *Queue) Batch(records, bytes int) []*pack.Record {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer func() { // also after a panic
		q.removeGivenUp()
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
				continue // it was given up
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
	// Now that no store can panic any more: the caller gets the batch.
	for i := 0; len(positions) > 0; i++ {
		if e := &q.entries[i]; e.position == positions[0] {
			e.inFlight, positions = true, positions[1:]
		}
	}
	return batch
}

// retryLater has what is only in the store not read before.
func (q *Queue) retryLater(before time.Time) {
	for i := range q.entries {
		if e := &q.entries[i]; e.record == nil && e.retry.Before(before) {
			e.retry = before
		}
	}
}

// removeGivenUp removes the entries whose records were given up.
func (q *Queue) removeGivenUp() {
	q.entries = slices.DeleteFunc(q.entries, func(e entry) bool { return e.record == nil && e.ref == nil })
}

// load has an entry's record in memory, or reports that it cannot be read. If no
// retry can help, or this is the last one, the record is given up: its ref is nil
// then.
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
	if now := time.Now(); !now.Before(e.retry) { // else it is tried early, which does not count
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

// dropUnreadable gives an entry up that cannot be read.
func (q *Queue) dropUnreadable(e *entry) {
	e.ref.Record().Drop(ledger.SpoolCorrupt)
	q.opt.Store.Done(e.ref)
	e.ref = nil
}

// Check stores again what somebody else deleted from the store, as far as it is
// in memory or can be read. The rest is given up.
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
	q.removeGivenUp()
	q.fit()
	if q.opt.Always {
		q.saveAll()
	}
	q.release()
}

// Settle ends a batch: records for which gone says so leave the queue, the
// others stay in their place. gone is asked by their index in the batch; it may
// change the record's partition key then, and only then.
func (q *Queue) Ack(batch []*pack.Record, gone func(i int) bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	kept := q.entries[:0]
	var done []*spool.Ref
	var sent []*pack.Record // that are not in the store
	settled := 0            // of the batch, which is in the queue's order
	for _, e := range q.entries {
		if settled < len(batch) && e.inFlight && e.record == batch[settled] {
			settled++
			if gone(settled - 1) {
				if e.ref != nil {
					done = append(done, e.ref)
				} else if q.opt.Store != nil {
					sent = append(sent, e.record)
				}
				q.setRecord(&e, nil)
				continue
			}
			e.inFlight = false
			q.setRecord(&e, e.record) // it may have got another key
		}
		kept = append(kept, e)
	}
	clear(q.entries[len(kept):]) // lets go of the records
	q.entries = kept
	// The queue is in order by now, whatever the store does.
	for _, ref := range done {
		q.opt.Store.Done(ref)
	}
	for _, r := range sent {
		q.opt.Store.Sent(r)
	}
	if q.overdrawn {
		q.overdrawn = false
		q.fit()
	}
	if q.opt.Always {
		q.saveAll()
	}
	q.release()
}

// saveAll puts what is only in memory into the store, as far as that takes it.
func (q *Queue) saveAll() {
	for {
		// From the front each time: what makes room leaves others behind.
		i, ok := q.oldest(len(q.entries), onlyInMemory, false)
		if !ok || !q.save(i) {
			return
		}
	}
}

// Spill puts all that is only in memory into the store, for the next process,
// and gives up what that does not take. It must not be called while a batch is in
// flight.
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
	q.retryAll = true
	q.waiters = append(q.waiters, w)
	q.release()
	return w.done, func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		q.waiters = slices.DeleteFunc(q.waiters, func(other *waiter) bool { return other == w })
	}
}

// Waiting counts what waits.
type Waiting struct {
	Records int
	Events  int
	Bytes   int64 // of memory
	Size    int64 // as Kinesis counts it
	Spooled Spooled
}

// Spooled counts what of it is in the store.
type Spooled struct {
	Records int
	Events  int
}

// Waiting returns how much waits.
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
