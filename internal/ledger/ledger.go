// Package ledger keeps account of what was given up after it was numbered, so
// that it can be told in the stream itself.
package ledger

import (
	"slices"
	"strconv"
	"sync"
)

// Reason says why events were given up.
type Reason string

// The reasons that a kinetel.loss event can give.
const (
	BufferFull Reason = "buffer-full" // newer events needed the memory
	Oversize   Reason = "oversize"    // larger than a Kinesis record can be
	Rejected   Reason = "rejected"    // Kinesis refuses this record for good
	Shutdown   Reason = "shutdown"    // the environment ended before they were sent
)

// Loss is a run of events that were given up, First to Last by sequence number.
type Loss struct {
	First, Last uint64
	Count       int   // of events
	Bytes       int64 // of their lines, before compression
	Reason      Reason
}

// AppendJSON appends the loss as the body of a kinetel.loss event.
func (l Loss) AppendJSON(dst []byte) []byte {
	dst = append(dst, `{"firstSeq":`...)
	dst = strconv.AppendUint(dst, l.First, 10)
	dst = append(dst, `,"lastSeq":`...)
	dst = strconv.AppendUint(dst, l.Last, 10)
	dst = append(dst, `,"count":`...)
	dst = strconv.AppendInt(dst, int64(l.Count), 10)
	dst = append(dst, `,"bytes":`...)
	dst = strconv.AppendInt(dst, l.Bytes, 10)
	dst = append(dst, `,"reason":"`...)
	dst = append(dst, l.Reason...)
	return append(dst, `"}`...)
}

// Ledger collects losses until they are told. It is safe for concurrent use.
type Ledger struct {
	mu     sync.Mutex
	untold []Loss // by First, runs that touch put together
	total  int64  // events ever lost; a loss that has to be told again counts once
}

// Lost notes a new loss.
func (l *Ledger) Lost(loss Loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total += int64(loss.Count)
	l.note(loss)
}

// Retell notes losses whose telling was itself lost.
func (l *Ledger) Retell(losses []Loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, loss := range losses {
		l.note(loss)
	}
}

// note keeps untold in order, and puts runs together that touch: an outage
// gives up one record after the other, and one line can tell of them all.
func (l *Ledger) note(loss Loss) {
	i, _ := slices.BinarySearchFunc(l.untold, loss, func(a, b Loss) int {
		switch {
		case a.First < b.First:
			return -1
		case a.First > b.First:
			return 1
		}
		return 0
	})
	l.untold = slices.Insert(l.untold, i, loss)
	for _, j := range []int{i, i - 1} { // with the next one, with the one before
		if j < 0 || j+1 >= len(l.untold) {
			continue
		}
		if a, b := l.untold[j], l.untold[j+1]; a.Reason == b.Reason && a.Last+1 == b.First {
			l.untold[j] = Loss{First: a.First, Last: b.Last, Count: a.Count + b.Count, Bytes: a.Bytes + b.Bytes, Reason: a.Reason}
			l.untold = slices.Delete(l.untold, j+1, j+2)
		}
	}
}

// Take returns the losses that are to be told, in order, and forgets them.
func (l *Ledger) Take() []Loss {
	l.mu.Lock()
	defer l.mu.Unlock()
	losses := l.untold
	l.untold = nil
	return losses
}

// Total returns how many events were ever lost.
func (l *Ledger) Total() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.total
}
