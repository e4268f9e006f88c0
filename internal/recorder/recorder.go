// Package recorder records the events that a local Lambda emits, for an audit, and the
// lines that the extension itself logs.
package recorder

import (
	"bytes"
	"slices"
	"strings"
	"sync"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/selflog"
	"github.com/kinetel/kinetel/lambdasim"
)

// Recorder watches one sandbox. OnEvent, OnDelivered, OnDropped and Write are for
// lambdasim.Config's OnEvent, OnDelivered, OnDropped and Stderr. It is safe for
// concurrent use.
type Recorder struct {
	extension string
	types     []string

	mu           sync.Mutex // guards all below
	emitted      []audit.Emitted
	numbers      []uint64        // of the events in emitted
	acknowledged map[uint64]bool // events that the extension has acknowledged, by number
	dropped      map[uint64]bool // events that Lambda's relay has dropped, by number
	failed       int             // POSTs that were not acknowledged, and were repeated
	log          bytes.Buffer
}

// New returns a Recorder of the events that the named extension should ship: those of
// the given types of telemetry (platform, function, extension).
func New(extension string, types ...string) *Recorder {
	return &Recorder{extension: extension, types: types, acknowledged: map[uint64]bool{}, dropped: map[uint64]bool{}}
}

// OnEvent records an event that the extension should ship.
func (r *Recorder) OnEvent(e lambdasim.Event) {
	stream, _, _ := strings.Cut(e.Type, ".")
	if !slices.Contains(r.types, stream) || slices.Contains(e.DroppedFor, r.extension) || e.Only != "" && e.Only != r.extension {
		return
	}
	if e.Type == event.TypeExtension && selflog.Own(e.Record) {
		return // the extension receives its own log, and does not ship it
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emitted = append(r.emitted, audit.Emitted{Time: e.Time.UTC().Format(event.TimeFormat), Type: e.Type, Record: string(e.Record)})
	r.numbers = append(r.numbers, e.Number)
}

// OnDelivered records the events that the extension has acknowledged.
func (r *Recorder) OnDelivered(d lambdasim.Delivery) {
	if d.Extension != r.extension {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, number := range d.Events {
		r.acknowledged[number] = true
	}
	r.failed += d.FailedPosts
}

// OnDropped records the events that Lambda's relay has dropped. The extension never
// received them.
func (r *Recorder) OnDropped(d lambdasim.Delivery) {
	if d.Extension != r.extension {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, number := range d.Events {
		r.dropped[number] = true
	}
}

// Write receives the output of the processes and keeps the lines of Kinetel's own
// log.
func (r *Recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range bytes.Lines(b) {
		if bytes.Contains(line, []byte(`"logger":"kinetel"`)) {
			r.log.Write(line)
		}
	}
	return len(b), nil
}

// Emitted returns the events that were emitted so far, without those that Lambda's
// relay has dropped.
func (r *Recorder) Emitted() []audit.Emitted {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events(func(number uint64) bool { return !r.dropped[number] })
}

// Dropped returns the events that Lambda's relay has dropped.
func (r *Recorder) Dropped() []audit.Emitted {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events(func(number uint64) bool { return r.dropped[number] })
}

// Acknowledged returns the events that were emitted so far: those that the extension
// has acknowledged, and the others, without those that Lambda's relay has dropped.
// It works only if OnDelivered is called.
func (r *Recorder) Acknowledged() (acknowledged, others []audit.Emitted) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events(func(number uint64) bool { return r.acknowledged[number] }),
		r.events(func(number uint64) bool { return !r.acknowledged[number] && !r.dropped[number] })
}

// events returns the events that were emitted so far and match. The caller holds mu.
func (r *Recorder) events(match func(number uint64) bool) (events []audit.Emitted) {
	for i, e := range r.emitted {
		if match(r.numbers[i]) {
			events = append(events, e)
		}
	}
	return events
}

// FailedPosts returns how many POSTs were repeated because the extension did not
// acknowledge them. Their events may arrive twice.
func (r *Recorder) FailedPosts() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// Log returns the extension's own log so far.
func (r *Recorder) Log() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}
