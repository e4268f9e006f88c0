// Package recorder watches a local Lambda: it notes what was emitted, for an
// audit, and what the extension itself logged.
package recorder

import (
	"bytes"
	"slices"
	"strings"
	"sync"

	"kinetel/internal/audit"
	"kinetel/internal/event"
	"kinetel/lambdasim"
)

// Recorder watches one sandbox. OnEvent, OnDelivered, OnDropped and Write are for
// lambdasim.Config's OnEvent, OnDelivered, OnDropped and Stderr. It is safe for concurrent
// use.
type Recorder struct {
	extension string
	types     []string

	mu      sync.Mutex // guards all below
	emitted []audit.Emitted
	numbers []uint64        // of the events in emitted
	taken   map[uint64]bool // events that the extension has acknowledged, by number
	dropped map[uint64]bool // events that Lambda's relay has dropped, by number
	failed  int             // POSTs that were not acknowledged, and made again
	log     bytes.Buffer
}

// New returns a Witness of what the named extension should receive: events of
// the given types of telemetry (platform, function, extension).
func New(extension string, types ...string) *Recorder {
	return &Recorder{extension: extension, types: types, taken: map[uint64]bool{}, dropped: map[uint64]bool{}}
}

// OnEvent notes an event that the extension is to receive.
func (w *Recorder) OnEvent(e lambdasim.Event) {
	stream, _, _ := strings.Cut(e.Type, ".")
	if !slices.Contains(w.types, stream) || slices.Contains(e.DroppedFor, w.extension) || e.Only != "" && e.Only != w.extension {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.emitted = append(w.emitted, audit.Emitted{Time: e.Time.UTC().Format(event.TimeFormat), Type: e.Type, Record: string(e.Record)})
	w.numbers = append(w.numbers, e.Number)
}

// OnDelivered notes what the extension has acknowledged.
func (w *Recorder) OnDelivered(d lambdasim.Delivery) {
	if d.Extension != w.extension {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, number := range d.Events {
		w.taken[number] = true
	}
	w.failed += d.FailedPosts
}

// OnDropped notes what Lambda's relay has dropped, so that the extension never had
// it.
func (w *Recorder) OnDropped(d lambdasim.Delivery) {
	if d.Extension != w.extension {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, number := range d.Events {
		w.dropped[number] = true
	}
}

// Write takes what the processes write, and keeps the lines of Kinetel's own log.
func (w *Recorder) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for line := range bytes.Lines(b) {
		if bytes.Contains(line, []byte(`"logger":"kinetel"`)) {
			w.log.Write(line)
		}
	}
	return len(b), nil
}

// Emitted returns what was emitted so far, but for what Lambda's relay has dropped.
func (w *Recorder) Emitted() (events []audit.Emitted) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, e := range w.emitted {
		if !w.dropped[w.numbers[i]] {
			events = append(events, e)
		}
	}
	return events
}

// Dropped returns what Lambda's relay has dropped.
func (w *Recorder) Dropped() (events []audit.Emitted) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, e := range w.emitted {
		if w.dropped[w.numbers[i]] {
			events = append(events, e)
		}
	}
	return events
}

// Acknowledged returns what was emitted so far and the extension has
// acknowledged, and what it has not. It is for recorders whose OnDelivered is
// called.
func (w *Recorder) Acknowledged() (taken, others []audit.Emitted) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, e := range w.emitted {
		switch {
		case w.taken[w.numbers[i]]:
			taken = append(taken, e)
		case !w.dropped[w.numbers[i]]:
			others = append(others, e)
		}
	}
	return taken, others
}

// FailedPosts returns how many POSTs were made again because the extension did
// not acknowledge them: of these events there may be two.
func (w *Recorder) FailedPosts() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failed
}

// Log returns the extension's own log so far.
func (w *Recorder) Log() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}
