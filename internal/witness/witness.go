// Package witness watches a local Lambda: it notes what was emitted, for an
// audit, and what the extension itself logged.
package witness

import (
	"bytes"
	"slices"
	"strings"
	"sync"

	"kinetel/internal/audit"
	"kinetel/internal/event"
	"kinetel/lambdasim"
)

// Witness watches one sandbox. OnEvent and Write are for lambdasim.Config's
// OnEvent and Stderr. It is safe for concurrent use.
type Witness struct {
	extension string
	types     []string

	mu      sync.Mutex // guards all below
	emitted []audit.Emitted
	log     bytes.Buffer
}

// New returns a Witness of what the named extension should receive: events of
// the given types of telemetry (platform, function, extension).
func New(extension string, types ...string) *Witness {
	return &Witness{extension: extension, types: types}
}

// OnEvent notes an event that the extension is to receive.
func (w *Witness) OnEvent(e lambdasim.Event) {
	stream, _, _ := strings.Cut(e.Type, ".")
	if !slices.Contains(w.types, stream) || slices.Contains(e.DroppedFor, w.extension) || e.Only != "" && e.Only != w.extension {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.emitted = append(w.emitted, audit.Emitted{Time: e.Time.UTC().Format(event.TimeFormat), Type: e.Type, Record: string(e.Record)})
}

// Write takes what the processes write, and keeps the lines of Kinetel's own log.
func (w *Witness) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for line := range bytes.Lines(b) {
		if bytes.Contains(line, []byte(`"logger":"kinetel"`)) {
			w.log.Write(line)
		}
	}
	return len(b), nil
}

// Emitted returns what was emitted so far.
func (w *Witness) Emitted() []audit.Emitted {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.emitted)
}

// Log returns the extension's own log so far.
func (w *Witness) Log() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.String()
}
