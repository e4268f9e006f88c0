package queue

import (
	"errors"

	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/spool"
)

// credit is the bytes that platform events may use beyond the bound while a
// request is in flight: the events of some hundred invocations.
const credit = 256 << 10

// Places of a record, for oldest.

func inMemory(e *entry) bool     { return e.record != nil }
func onlyInMemory(e *entry) bool { return e.record != nil && e.ref == nil }
func inStore(e *entry) bool      { return e.ref != nil }
func inBoth(e *entry) bool       { return e.record != nil && e.ref != nil }

// oldest returns the oldest of the entries that is in a place and not in flight, or
// nil if there is none. With droppable, it is one that has droppable events.
func oldest(entries []*entry, in func(*entry) bool, droppable bool) *entry {
	for _, e := range entries {
		if !e.inFlight && in(e) && (!droppable || e.droppable > 0) {
			return e
		}
	}
	return nil
}

// fit brings memory below its bound. It moves records into the store, oldest
// first, and drops events if the store does not take them.
func (q *Queue) fit() {
	stored := q.opt.Store != nil // until the store takes no record any more
	for q.bytes > q.opt.Max {
		q.sweep()
		others := q.entries[:len(q.entries)-1] // the newest record always has room
		e := oldest(others, inMemory, false)
		if e == nil {
			return
		}
		if stored && e.ref == nil {
			err := q.append(e)
			if errors.Is(err, spool.ErrFull) {
				stored = q.makeRoom(true) || q.drop(oldest(q.entries, onlyInMemory, true), ledger.SpoolFull) || q.makeRoom(false)
				continue
			}
			stored = err == nil
		}
		if e.ref == nil {
			e = oldest(others, inBoth, false)
		}
		if e != nil {
			q.setRecord(e, nil)
			continue
		}
		if q.drop(oldest(q.entries, onlyInMemory, true), ledger.BufferFull) {
			continue
		}
		// Log lines in flight leave with the response, or can be dropped then.
		// Platform events wait for that.
		if q.overLimit = q.linesInFlight() && q.bytes <= q.opt.Max+credit; q.overLimit {
			return
		}
		if !q.drop(oldest(others, onlyInMemory, false), ledger.BufferFull) {
			return
		}
	}
}

// linesInFlight reports whether droppable events are in flight.
func (q *Queue) linesInFlight() bool {
	for _, e := range q.entries {
		if e.inFlight && e.droppable > 0 {
			return true
		}
	}
	return false
}

// drop drops the droppable events of a record that is in memory, or all of the
// record if it has none. It reports whether there is a record.
func (q *Queue) drop(e *entry, reason ledger.Reason) bool {
	if e == nil {
		return false
	}
	r := e.record
	if e.droppable > 0 {
		r = q.opt.LogDropper.DropLogs(r, reason)
	} else {
		r.Drop(reason)
		r = nil
	}
	q.setRecord(e, r)
	return true
}

// makeRoom makes room in the store. With droppable, it drops the droppable events
// in the segment of the oldest ones. Otherwise it takes the segment of the oldest
// record, and drops the droppable events of each record, or all of a record that
// has none. It reports whether there was anything.
func (q *Queue) makeRoom(droppable bool) bool {
	first := oldest(q.entries, inStore, droppable)
	if first == nil {
		return false
	}
	victim := first.ref
	q.opt.Store.Seal(victim)
	var unstored []*entry
	for _, e := range q.entries {
		if e.ref == nil || !q.opt.Store.SameSegment(e.ref, victim) {
			continue
		}
		ref := e.ref
		// A record in flight is in memory, and may still be acknowledged.
		if !e.inFlight && q.load(e, true) && (!droppable || e.droppable > 0) {
			q.drop(e, ledger.SpoolFull)
		}
		e.ref = nil
		// Append before Done if there is room, or a kill in between loses the record.
		if !e.hasLeft() && !q.move(e) {
			unstored = append(unstored, e)
		}
		q.opt.Store.Done(ref)
	}
	// As a rule, the remaining events take less room than before.
	for _, e := range unstored {
		if !q.move(e) {
			break // it stays in memory
		}
	}
	return true
}
