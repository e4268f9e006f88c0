// Package queue holds packed records until Kinesis has them: in memory, which
// is bounded, and beyond that in a store on disk. Where both are full it gives
// up the oldest lines first, and platform events last.
package queue

import (
	"errors"
	"slices"
	"sync"

	"kinetel/internal/ledger"
	"kinetel/internal/pack"
	"kinetel/internal/spool"
)

// overhead is what a waiting record takes in memory besides its data: the
// record itself, its entry and the allocator's rounding.
const overhead = 256

// maxReads is how often a record is tried to be read from the store before it
// is given up.
const maxReads = 5

// Store keeps records outside of memory; *spool.Spool is one.
type Store interface {
	// Append keeps a record; spool.ErrFull means that there is no room.
	Append(r *pack.Record) (*spool.Ref, error)
	// Read returns a record; spool.ErrCorrupt means that it is lost.
	Read(ref *spool.Ref) (*pack.Record, error)
	// Done forgets a record.
	Done(ref *spool.Ref)
	// Together reports whether room is made only when both are forgotten.
	Together(a, b *spool.Ref) bool
	// Seal keeps further records away from where ref is.
	Seal(ref *spool.Ref)
}

// Stripper takes the ordinary events out of a record; *pack.Stripper is one.
type Stripper interface {
	// Strip gives those events up and returns the rest, nil where there is none.
	Strip(r *pack.Record, reason ledger.Reason) *pack.Record
}

// Options are what a Queue needs to know; all but Store and Always are required.
type Options struct {
	Max      int64 // bytes of memory
	Store    Store // nil: memory is all there is
	Always   bool  // each record is in the store before Push returns
	Stripper Stripper
}

// Queue is a bounded queue of records, safe for concurrent use. It has one
// consumer: Batch and Settle are called from one goroutine, in turn.
type Queue struct {
	opt Options

	mu       sync.Mutex // guards all below
	entries  []entry    // oldest first
	inFlight int        // entries at the front that the consumer has
	bytes    int64      // of those in memory
	next     int64      // position of the next record
	waiters  []*waiter  // for records to leave
}

// entry is a record that waits: in memory, in the store, or in both.
type entry struct {
	record   *pack.Record // nil: only in the store
	ref      *spool.Ref   // nil: only in memory
	position int64        // counts records ever pushed
	reads    int          // that failed
}

// ordinary is how many of the record's events go before others.
func (e *entry) ordinary() int {
	if e.record != nil {
		return e.record.Ordinary
	}
	return e.ref.Ordinary
}

func (e *entry) events() int {
	if e.record != nil {
		return e.record.Events
	}
	return e.ref.Events
}

// size is what Kinesis counts of the record.
func (e *entry) size() int {
	if e.record != nil {
		return e.record.Size()
	}
	return e.ref.DataSize
}

type waiter struct {
	until int64 // released when no record before this position is left
	done  chan struct{}
}

// New returns a Queue.
func New(opt Options) *Queue { return &Queue{opt: opt} }

// memory is what a record takes.
func memory(r *pack.Record) int64 { return int64(r.Size()) + overhead }

// Push adds a record, and makes room for it where there is none. A record alone
// always has room.
func (q *Queue) Push(r *pack.Record) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := entry{record: r, position: q.next}
	q.next++
	if q.opt.Always {
		e.ref = q.save(r)
	}
	q.entries = append(q.entries, e)
	q.bytes += memory(r)
	// Without a store, a record that tells of losses makes no room for itself,
	// or each telling would be a loss to tell. The next record makes it up.
	if q.opt.Store != nil || len(r.Losses) == 0 {
		q.fit()
	}
	q.release()
}

// Restore adds what an earlier process left in the store, before all others. It
// must not be called between Batch and Settle.
func (q *Queue) Restore(refs []*spool.Ref) {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := q.next
	if len(q.entries) > 0 {
		first = q.entries[0].position
	}
	older := make([]entry, len(refs), len(refs)+len(q.entries))
	for i, ref := range refs {
		older[i] = entry{ref: ref, position: first - int64(len(refs)-i)}
	}
	q.entries = append(older, q.entries...)
}

// fit brings what is in memory below its bound: into the store, oldest first,
// or where that does not take it by giving events up.
func (q *Queue) fit() {
	stored := q.opt.Store != nil // until it takes nothing any more
	for i := q.inFlight; q.bytes > q.opt.Max && i < len(q.entries)-1; i++ {
		if e := q.entries[i]; e.record != nil && e.ref == nil && stored {
			i, stored = q.store(i)
		}
		if e := &q.entries[i]; e.record != nil && e.ref != nil {
			q.bytes -= memory(e.record)
			e.record = nil
		}
	}
	for q.bytes > q.opt.Max && q.giveUpOne() {
	}
}

// store saves the entry at i, and returns where it is afterwards: others may
// have had to go.
func (q *Queue) store(i int) (at int, ok bool) {
	position := q.entries[i].position
	ref := q.save(q.entries[i].record)
	for i = min(i, len(q.entries)-1); q.entries[i].position != position; i-- {
	}
	q.entries[i].ref = ref
	return i, ref != nil
}

// giveUpOne gives up the oldest ordinary events that are only in memory, or
// where there are none the oldest record. It reports whether there was any.
func (q *Queue) giveUpOne() bool {
	candidate := func(i int) bool { return q.entries[i].record != nil && q.entries[i].ref == nil }
	i, ok := q.oldest(q.inFlight, len(q.entries)-1, candidate)
	if !ok {
		return false
	}
	r := q.entries[i].record
	q.bytes -= memory(r)
	if q.entries[i].record = q.strip(r, ledger.BufferFull); q.entries[i].record == nil {
		q.entries = slices.Delete(q.entries, i, i+1)
	} else {
		q.bytes += memory(q.entries[i].record)
	}
	return true
}

// oldest returns the first candidate with ordinary events in a range of entries,
// or where there is none the first candidate.
func (q *Queue) oldest(from, to int, candidate func(i int) bool) (int, bool) {
	first := -1
	for i := from; i < to; i++ {
		if !candidate(i) {
			continue
		}
		if q.entries[i].ordinary() > 0 {
			return i, true
		}
		if first < 0 {
			first = i
		}
	}
	return first, first >= 0
}

// strip gives a record's ordinary events up, and all of it where it has none.
func (q *Queue) strip(r *pack.Record, reason ledger.Reason) *pack.Record {
	if r.Ordinary == 0 {
		r.GiveUp(reason)
		return nil
	}
	return q.opt.Stripper.Strip(r, reason)
}

// save puts a record into the store, where it may have others given up. It
// returns nil where the store does not take it.
func (q *Queue) save(r *pack.Record) *spool.Ref {
	for {
		ref, err := q.opt.Store.Append(r)
		if err == nil {
			return ref
		}
		if !errors.Is(err, spool.ErrFull) || !q.makeRoom() {
			return nil
		}
	}
}

// makeRoom gives up what lies together with the oldest ordinary events in the
// store. It reports whether there was anything.
func (q *Queue) makeRoom() bool {
	i, ok := q.oldest(q.inFlight, len(q.entries), func(i int) bool { return q.entries[i].ref != nil })
	if !ok {
		return false
	}
	victim := q.entries[i].ref
	q.opt.Store.Seal(victim)
	only := q.entries[i].ordinary() == 0 // then the others have none either
	kept := q.entries[:0]
	for _, e := range q.entries {
		if e.ref == nil || !q.opt.Store.Together(e.ref, victim) {
			kept = append(kept, e)
			continue
		}
		// What is in memory, on its way or not, is given up by fit, if at all.
		if e.record == nil {
			if e.record = q.rest(e.ref, only); e.record != nil {
				q.bytes += memory(e.record)
			}
		}
		q.opt.Store.Done(e.ref)
		if e.ref = nil; e.record != nil {
			kept = append(kept, e)
		}
	}
	clear(q.entries[len(kept):])
	q.entries = kept
	if q.opt.Always {
		q.saveAgain()
	}
	return true
}

// saveAgain puts what makeRoom has left in memory only into the store, as far
// as there is room.
func (q *Queue) saveAgain() {
	for i := range q.entries {
		if e := &q.entries[i]; e.ref == nil {
			ref, err := q.opt.Store.Append(e.record)
			if err != nil {
				return
			}
			e.ref = ref
		}
	}
}

// rest returns what is left of a record in the store when its ordinary events
// are given up, or with only all of it.
func (q *Queue) rest(ref *spool.Ref, only bool) *pack.Record {
	if only || ref.Ordinary >= ref.Events {
		ref.Record().GiveUp(ledger.SpoolFull)
		return nil
	}
	r, err := q.opt.Store.Read(ref)
	if err != nil {
		ref.Record().GiveUp(ledger.SpoolCorrupt)
		return nil
	}
	if r.Ordinary == 0 {
		return r
	}
	return q.strip(r, ledger.SpoolFull)
}

// Batch returns the oldest records, at most records of them and at most bytes
// in size, but at least one if there is any. They stay in the queue, and cannot
// be given up, until Settle is called.
func (q *Queue) Batch(records, bytes int) []*pack.Record {
	q.mu.Lock()
	defer q.mu.Unlock()
	var batch []*pack.Record
	total := 0
	for len(batch) < len(q.entries) && len(batch) < records {
		i := len(batch)
		e := &q.entries[i]
		if total += e.size(); i > 0 && total > bytes {
			break
		}
		if e.record == nil && !q.load(e) {
			if e.reads < maxReads {
				break // it is tried again with the next batch
			}
			total -= e.size()
			q.entries = slices.Delete(q.entries, i, i+1)
			continue
		}
		batch = append(batch, e.record)
	}
	q.inFlight = len(batch)
	q.release() // what could not be read has left
	return batch
}

// load reads an entry's record from the store. Where that is hopeless, it is
// given up.
func (q *Queue) load(e *entry) bool {
	r, err := q.opt.Store.Read(e.ref)
	if err == nil {
		e.record = r
		q.bytes += memory(r)
		return true
	}
	if e.reads++; errors.Is(err, spool.ErrCorrupt) {
		e.reads = maxReads
	}
	if e.reads >= maxReads {
		e.ref.Record().GiveUp(ledger.SpoolCorrupt)
		q.opt.Store.Done(e.ref)
	}
	return false
}

// Settle ends the batch: records for which gone says so leave the queue, the
// others stay in their place. gone is asked by their index in the batch.
func (q *Queue) Settle(gone func(i int) bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	kept := q.entries[:0]
	for i, e := range q.entries {
		if i < q.inFlight && gone(i) {
			q.bytes -= memory(e.record)
			if e.ref != nil {
				q.opt.Store.Done(e.ref)
			}
			continue
		}
		kept = append(kept, e)
	}
	clear(q.entries[len(kept):]) // lets go of the records
	q.entries = kept
	q.inFlight = 0
	q.release()
}

// Spill puts all that is only in memory into the store, for the next process,
// and gives up what that does not take. It must not be called between Batch and
// Settle.
func (q *Queue) Spill() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i := 0; i < len(q.entries) && q.opt.Store != nil; i++ {
		if q.entries[i].ref == nil {
			i, _ = q.store(i)
		}
	}
	q.entries = slices.DeleteFunc(q.entries, func(e entry) bool {
		if e.ref == nil {
			q.bytes -= memory(e.record)
			e.record.GiveUp(ledger.Shutdown)
		}
		return e.ref == nil
	})
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
		w.Events += e.events()
		w.Size += int64(e.size())
		if e.ref != nil {
			w.Spooled.Records++
			w.Spooled.Events += e.events()
		}
	}
	return w
}
