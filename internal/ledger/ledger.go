// Package ledger counts lost events until kinetel.loss events report them, and all
// events for the totals of kinetel.report.
package ledger

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/kinetel/kinetel/internal/jsontext"
)

// Reason is why events were dropped.
type Reason string

// The reasons that a kinetel.loss event can give.
const (
	BufferFull   Reason = "buffer-full"   // newer events needed the memory
	SpoolFull    Reason = "spool-full"    // newer events needed the space on disk
	SpoolCorrupt Reason = "spool-corrupt" // the data on disk is corrupt
	Oversize     Reason = "oversize"      // larger than even parts can carry
	Rejected     Reason = "rejected"      // Kinesis always rejects this record
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

// Loss counts events that were dropped, of those with sequence numbers from First to
// Last. If Count is less than the length of the range, the other events were not
// lost, or another Loss reports them.
type Loss struct {
	First  uint64 `json:"firstSeq"`
	Last   uint64 `json:"lastSeq"`
	Count  int    `json:"count"` // of events
	Bytes  int64  `json:"bytes"` // of their lines, before compression
	Reason Reason `json:"reason"`
	// Number counts the losses that a Ledger has passed to persist. The last loss
	// that TakePending returns has the number up to which it returns them.
	Number uint64 `json:"-"`
}

// AppendJSON appends the loss as the body of a kinetel.loss event.
func (l Loss) AppendJSON(dst []byte) []byte {
	var o jsontext.Object
	o.Uint("firstSeq", l.First)
	o.Uint("lastSeq", l.Last)
	o.Int("count", int64(l.Count))
	o.Int("bytes", l.Bytes)
	o.String("reason", string(l.Reason))
	return append(dst, o.JSON()...)
}

// Append appends a loss to losses, which are sorted by First. If it continues the
// last one, the two become one: in an outage one record after the other is dropped,
// and one line can report them all.
func Append(losses []Loss, loss Loss) []Loss {
	if n := len(losses) - 1; n >= 0 && loss.continues(losses[n]) {
		losses[n] = joined(losses[n], loss)
		return losses
	}
	return append(losses, loss)
}

// continues reports whether l begins where other ends, for the same reason.
func (l Loss) continues(other Loss) bool {
	return l.Reason == other.Reason && l.First == other.Last+1
}

// joined returns two losses as one. b begins later than a.
func joined(a, b Loss) Loss {
	last := max(a.Last, b.Last)
	// The loss of a corrupt file is an estimate, and its range can include other losses.
	count := int(min(uint64(a.Count)+uint64(b.Count), last-a.First+1))
	return Loss{First: a.First, Last: last, Count: count, Bytes: a.Bytes + b.Bytes, Reason: a.Reason}
}

// maxPending bounds the losses that are not reported yet. Without it, an outage in
// which log lines are dropped and the platform events between them are kept would
// add one loss per invocation.
const maxPending = 512

// Account adds up the losses of all environments whose events a process ships. It
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

// Lost returns how many events were lost, by reason. A loss that has to be reported
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

// Ledger collects the losses of one environment until they are reported. It is
// safe for concurrent use.
type Ledger struct {
	account *Account
	persist func(Loss) // nil, or stores a pending loss on disk; called with mu

	mu        sync.Mutex
	pending   []Loss // sorted by First; adjacent ranges are joined
	persisted uint64 // losses that were passed to persist
}

// New returns a Ledger that adds its losses to account. If persist is not nil, the
// Ledger calls it with each pending loss before TakePending can return the loss.
// persist must not call the Ledger.
func New(account *Account, persist func(Loss)) *Ledger {
	return &Ledger{account: account, persist: persist}
}

// Lost adds a new loss.
func (l *Ledger) Lost(loss Loss) {
	l.account.add(loss)
	l.Requeue([]Loss{loss})
}

// Requeue makes losses pending again whose kinetel.loss events were lost.
func (l *Ledger) Requeue(losses []Loss) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, loss := range losses {
		if l.persist != nil {
			l.persisted++
			loss.Number = l.persisted
			l.persist(loss)
		}
		loss.Number = 0
		l.add(loss)
	}
}

// add inserts a loss into pending, which stays sorted and joined.
func (l *Ledger) add(loss Loss) {
	i, _ := slices.BinarySearchFunc(l.pending, loss, func(a, b Loss) int { return cmp.Compare(a.First, b.First) })
	l.pending = slices.Insert(l.pending, i, loss)
	for _, j := range []int{i, i - 1} { // join it with the next loss, and with the previous one
		if j >= 0 && j+1 < len(l.pending) && l.pending[j+1].continues(l.pending[j]) {
			l.pending[j] = joined(l.pending[j], l.pending[j+1])
			l.pending = slices.Delete(l.pending, j+1, j+2)
		}
	}
	if len(l.pending) > maxPending {
		l.condense()
	}
}

// condense halves the number of pending losses: of each reason, it joins every
// second one with the one before it. The count leaves out the events between the
// two.
func (l *Ledger) condense() {
	kept := l.pending[:0]
	unpaired := map[Reason]int{} // index in kept of the last loss that is not joined yet
	for _, loss := range l.pending {
		if i, ok := unpaired[loss.Reason]; ok {
			kept[i] = joined(kept[i], loss)
			delete(unpaired, loss.Reason)
			continue
		}
		unpaired[loss.Reason] = len(kept)
		kept = append(kept, loss)
	}
	l.pending = kept
}

// TakePending returns the pending losses in order and removes them.
func (l *Ledger) TakePending() []Loss {
	l.mu.Lock()
	defer l.mu.Unlock()
	losses := l.pending
	l.pending = nil
	if len(losses) > 0 {
		losses[len(losses)-1].Number = l.persisted
	}
	return losses
}
