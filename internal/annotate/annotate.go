// Package annotate determines which invocation events belong to, and how severe
// lines are. Lambda provides neither for what a function prints: a line has a time
// and its text, and comes before, after or between the platform events that say
// when an invocation ran (AWS documentation, Telemetry API reference).
//
// A line that names a known invocation belongs to it. An invocation is known if
// INVOKE or a platform event has announced it. Any other id, such as that of a web
// request, is ignored. Any other line belongs to the invocation that was open at its
// time, whenever it arrives. On Managed Instances many invocations are open at once,
// and such a line belongs to none.
package annotate

import (
	"bytes"
	"sync"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
)

// Annotator knows the last invocations of an environment. Its zero value is for an
// environment that runs one invocation at a time. Learn and Annotate must be called
// by one goroutine at a time; Invoked may be called by any goroutine.
type Annotator struct {
	managed bool     // many invocations at once: the time does not identify one
	keys    []string // further members that contain the request id, as dotted paths

	// Buffers of Annotate, for text without the escapes of JSON: the beginning of
	// a text; the beginning of a message inside JSON; texts that are JSON, and
	// messages inside them that are JSON again.
	head, message head
	nested        [maxNested + 1][]byte

	texts map[string]string // of severities; nil: ev.OTLP is not set
	spans bool              // ev.OTLP.Span is set

	mu          sync.Mutex // guards all below
	invocations timeline
}

// New returns an Annotator for an environment of the given kind. Request ids are
// also read from the members that requestIDKeys name, such as ctx.requestId.
func New(kind config.Initialization, requestIDKeys ...string) *Annotator {
	return &Annotator{managed: kind == config.ManagedInstances, keys: requestIDKeys}
}

// Learn reads a platform event of the body that is being ingested. Call it for all
// events of a body before you call Annotate for any of them. Then the order inside a
// body does not matter.
func (a *Annotator) Learn(ev *event.Event) {
	switch string(ev.Type) {
	case event.TypePlatformStart, event.TypePlatformRuntimeDone, event.TypePlatformReport,
		event.TypePlatformInitStart, event.TypePlatformRestoreStart:
	default:
		return
	}
	parsed, at := ev.Platform(), ev.At().UnixMilli()
	a.mu.Lock()
	defer a.mu.Unlock()
	t := &a.invocations
	t.learning()
	switch string(ev.Type) {
	case event.TypePlatformInitStart, event.TypePlatformRestoreStart:
		t.restarted(at, parsed.Phase == "invoke")
		return
	}
	if !isRequest(parsed.RequestID) {
		return
	}
	r := t.request(parsed.RequestID, root(parsed.Trace), string(ev.Type) == event.TypePlatformStart, at, a.bound())
	if a.spans && string(ev.Type) == event.TypePlatformStart {
		r.span = spanOf(ev)
	}
	if a.managed {
		switch string(ev.Type) {
		case event.TypePlatformStart:
			r.openUntil = at + longest
		case event.TypePlatformReport:
			r.openUntil = 0
		}
		return
	}
	switch string(ev.Type) {
	case event.TypePlatformStart:
		t.started(r, at)
	case event.TypePlatformRuntimeDone:
		t.ended(r, end{at: at})
	case event.TypePlatformReport:
		t.ended(r, end{at: at, reported: true})
	}
}

// Invoked records an INVOKE event of the Extensions API, which may come before
// platform.start. trace is the X-Ray header's value, or empty.
func (a *Annotator) Invoked(requestID, trace string, at time.Time) {
	if !isRequest(requestID) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	r := a.invocations.request(requestID, root(trace), true, at.UnixMilli(), a.bound())
	if !a.managed {
		a.invocations.invoked(r, at.UnixMilli())
	}
}

// bound returns how many requests are remembered.
func (a *Annotator) bound() int {
	if a.managed {
		return maxManaged
	}
	return maxRequests
}

// Annotate sets ev.RequestID, ev.TraceID, ev.Severity and ev.OTLP. It does not change
// Kinetel's own events, and events of unknown streams.
func (a *Annotator) Annotate(ev *event.Event) {
	switch {
	case string(ev.Type) == event.TypeFunction:
		a.annotateLine(ev)
	case string(ev.Type) == event.TypeExtension:
		// Extensions run before an invocation begins and after it has ended. So
		// the invocation of their lines is uncertain.
		var parsed line
		a.read(&parsed, ev.Record)
		a.setSeverity(ev, &parsed.found)
	case bytes.HasPrefix(ev.Type, []byte("platform.")):
		a.annotatePlatform(ev)
	}
}

func (a *Annotator) annotatePlatform(ev *event.Event) {
	parsed := ev.Platform()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.invocations.annotating()
	if isRequest(parsed.RequestID) {
		ev.RequestID = parsed.RequestID
	}
	known := a.invocations.known[ev.RequestID]
	if known != nil {
		ev.TraceID, ev.OTLP.Span = known.trace, known.span
	}
	if trace := root(parsed.Trace); trace != "" {
		ev.TraceID = trace
	}
	if known != nil && string(ev.Type) == event.TypePlatformStart {
		a.invocations.passed(known.id, ev.At().UnixMilli())
	}
}

func (a *Annotator) annotateLine(ev *event.Event) {
	var parsed line
	a.read(&parsed, ev.Record)
	a.setSeverity(ev, &parsed.found)
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.invocationOf(&parsed, ev); r != nil {
		ev.RequestID, ev.TraceID, ev.OTLP.Span = r.id, r.trace, r.span
	}
}

// invocationOf returns the invocation that a line belongs to, or nil if it is not
// known. a.mu is held.
func (a *Annotator) invocationOf(parsed *line, ev *event.Event) *request {
	for _, c := range parsed.ids[:parsed.n] {
		if r := a.invocations.known[string(c.id)]; r != nil {
			return r
		}
	}
	return a.invocations.at(ev.At().UnixMilli()) // nil on Managed Instances: Learn stores no times there
}
