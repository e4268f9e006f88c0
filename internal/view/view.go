// Package view is the page of kinetel view: it keeps the latest events of a stream or of
// files in memory, and serves them to a browser on this machine.
//
//	events -> View.Add -> store (bounded, oldest dropped) -> changes, pages, search -> Server
//	              \---> audit.Auditor (all events)        -> Health ---------------/
//
// Everything that changes gets a revision. A browser asks for what changed after the last
// revision that it knows, so no client has a queue here, and one that was away continues.
package view

import (
	"sync"
	"time"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/internal/tail"
	"github.com/kinetel/kinetel/record"
)

// DefaultBytes is how much memory the events of a View may take, about.
const DefaultBytes = 256 << 20

const joinerBytes = 32 << 20

// Options are what a View shows.
type Options struct {
	Source string // what is read, for the page
	Bytes  int64  // of events in memory; 0: DefaultBytes
	// Live means that events arrive as they are made. What is younger than Settle may be
	// on its way, so its numbers are not judged, as kinetel audit does with a stream.
	Live   bool
	Settle time.Duration
}

// View has the latest events. Its methods may be called from any goroutine.
type View struct {
	options Options

	mu      sync.Mutex // guards what follows
	store   store
	seen    tail.Seen
	joiner  record.Joiner
	auditor *audit.Auditor
	stopped error // why the auditor gets no more events
	rate    rate
	newest  time.Time // of all events
	state   string
	failure string
	health  Health
	healthy time.Time // when health has to be made anew
}

// The states of a source.
const (
	stateReading = "reading" // or waiting for more
	stateEnded   = "ended"
	stateFailed  = "failed"
)

// New returns a View without events.
func New(o Options) *View {
	if o.Bytes == 0 {
		o.Bytes = DefaultBytes
	}
	return &View{options: o, store: newStore(o.Bytes), joiner: record.Joiner{MaxBytes: joinerBytes}, auditor: audit.New(audit.Options{}), state: stateReading}
}

// JudgeFrom says that a stream is read from a time: numbers before it are not judged. Call it
// before the first event.
func (v *View) JudgeFrom(t time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.auditor = audit.New(audit.Options{From: t})
}

// Add adds an event that arrived in Kinesis at a time, which is zero if it is not known.
func (v *View) Add(e record.Event, arrival time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.stopped == nil {
		v.stopped = v.auditor.Add(e)
	}
	v.rate.add(time.Now())
	if e.Time.After(v.newest) && millis(e.Time) != 0 && !(v.options.Live && e.Time.After(time.Now().Add(liveSlack))) {
		v.newest = e.Time
	}
	if !v.seen.Add(&e) {
		return
	}
	if e.Parts == 0 {
		v.store.add(e, arrival)
		return
	}
	for _, joined := range v.joiner.Add(e) {
		v.store.add(joined, arrival)
	}
}

// AddUnreadable adds data that is not a record of Kinetel's. err says why.
func (v *View) AddUnreadable(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.auditor.AddUnreadable(err)
}

// End says that no more events come, because of an error unless it is nil. Parts of events
// that are not complete are shown as they are.
func (v *View) End(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, part := range v.joiner.Flush() {
		v.store.add(part, time.Time{})
	}
	v.state, v.healthy = stateEnded, time.Time{}
	if err != nil {
		v.state, v.failure = stateFailed, err.Error()
	}
}

// Events returns how many events are or were in memory.
func (v *View) Events() uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.store.added
}
