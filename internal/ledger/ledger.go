// Package ledger keeps account of what became of events, so that the stream
// itself can tell: losses as kinetel.loss, totals as kinetel.report.
package ledger

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"sync"
)

// Reason says why events were given up.
type Reason string

// The reasons that a kinetel.loss event can give.
const (
	BufferFull   Reason = "buffer-full"   // newer events needed the memory
	SpoolFull    Reason = "spool-full"    // newer events needed the spool's bytes
	SpoolCorrupt Reason = "spool-corrupt" // what was on disk cannot be read back
	Oversize     Reason = "oversize"      // larger than even parts can carry
	Rejected     Reason = "rejected"      // Kinesis refuses this record for good
	Shutdown     Reason = "shutdown"      // the environment ended before they were sent
)

// Known reports whether the reason is one of these.
func (r Reason) Known() bool {
	switch r {
	case BufferFull, SpoolFull, SpoolCorrupt, Oversize, Rejected, Shutdown:
		return true
	}
	return false
}

// Loss is a number of events that were given up, out of those from First to
// Last by sequence number. Where Count is less than the range has numbers, the
// others were not lost, or are told of elsewhere.
type Loss struct {
	First  uint64 `json:"firstSeq"`
	Last   uint64 `json:"lastSeq"`
	Count  int    `json:"count"` // of events
	Bytes  int64  `json:"bytes"` // of their lines, before compression
	Reason Reason `json:"reason"`
	// Number counts the losses that a Ledger has handed to keep. On the last
	// of those that Take returns it says which of them these are: all up to it.
	Number uint64 `json:"-"`
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
	dst = append(dst, `,"reason":`...)
	reason, _ := json.Marshal(string(l.Reason)) // any text can be written
	dst = append(dst, reason...)
	return append(dst, '}')
}

// maxUntold bounds the losses that wait to be told: an outage that leaves
// platform events between the lines it costs would make one an invocation.
const maxPending = 512

// Account adds up the losses of all environments that a process ships for. It
// is safe for concurrent use.
type Account struct {
	mu   sync.Mutex
	lost map[Reason]int64 // events
}

func (a *Account) add(loss Loss) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lost == nil {
		a.lost = map[Reason]int64{}
	}
	a.lost[loss.Reason] += int64(loss.Count)
}

// Lost returns how many events were lost, by reason. A loss that has to be told
// again counts once.
func (a *Account) Lost() map[Reason]int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return maps.Clone(a.lost)
}

// Total returns how many events were lost.
func (a *Account) Total() (total int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range a.lost {
		total += n
	}
	return total
}

// Ledger collects the losses of one environment until they are told. It is
// safe for concurrent use.
type Ledger struct {
	account *Account
	keep    func(Loss) // nil, or makes an untold loss outlive the process; called with mu

	mu     sync.Mutex
	pending []Loss // by First, runs that touch put together
	kept   uint64 // losses that were handed to keep
}

// New returns a Ledger that adds its losses to account. keep, where it is not
// nil, is called with each loss that has to be told, before anybody can take
// it; it must not call the Ledger.
func New(account *Account, keep func(Loss)) *Ledger {
	return &Ledger{account: account, keep: keep}
}

// Lost notes a new loss.
func (l *Ledger) Lost(loss Loss) {
	l.account.add(loss)
	l.Requeue([]Loss{loss})
}

// Restore notes losses that an earlier process of the environment could not tell,
// and has kept.
func (l *Ledger) Restore(losses []Loss) {
	for _, loss := range losses {
		l.account.add(loss)
		l.mu.Lock()
		l.note(loss)
		l.mu.Unlock()
	}
}

// Retell notes losses whose telling was itself lost.
func (l *Ledger) Requeue(losses []Loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, loss := range losses {
		if l.keep != nil {
			l.kept++
			loss.Number = l.kept
			l.keep(loss)
		}
		loss.Number = 0
		l.note(loss)
	}
}

// note keeps untold in order, and puts runs together that touch: an outage
// gives up one record after the other, and one line can tell of them all.
func (l *Ledger) note(loss Loss) {
	i, _ := slices.BinarySearchFunc(l.pending, loss, func(a, b Loss) int { return cmp.Compare(a.First, b.First) })
	l.pending = slices.Insert(l.pending, i, loss)
	for _, j := range []int{i, i - 1} { // with the next one, with the one before
		if j < 0 || j+1 >= len(l.pending) {
			continue
		}
		if a, b := l.pending[j], l.pending[j+1]; a.Reason == b.Reason && a.Last+1 == b.First {
			l.pending[j] = joined(a, b)
			l.pending = slices.Delete(l.pending, j+1, j+2)
		}
	}
	if len(l.pending) > maxPending {
		l.condense()
	}
}

// condense makes half as many of the losses: of each reason, every other one
// goes into the one before it. What lies between the two stays out of the count.
func (l *Ledger) condense() {
	kept := l.pending[:0]
	alone := map[Reason]int{} // index of the last one, where it has not been doubled
	for _, loss := range l.pending {
		if i, ok := alone[loss.Reason]; ok {
			kept[i] = joined(kept[i], loss)
			delete(alone, loss.Reason)
			continue
		}
		alone[loss.Reason] = len(kept)
		kept = append(kept, loss)
	}
	l.pending = kept
}

// joined is two losses as one; b begins later than a.
func joined(a, b Loss) Loss {
	last := max(a.Last, b.Last)
	// What a file has lost is an estimate, which may have others within it.
	count := int(min(uint64(a.Count)+uint64(b.Count), last-a.First+1))
	return Loss{First: a.First, Last: last, Count: count, Bytes: a.Bytes + b.Bytes, Reason: a.Reason}
}

// Take returns the losses that are to be told, in order, and forgets them.
func (l *Ledger) TakePending() []Loss {
	l.mu.Lock()
	defer l.mu.Unlock()
	losses := l.pending
	l.pending = nil
	if len(losses) > 0 {
		losses[len(losses)-1].Number = l.kept
	}
	return losses
}
