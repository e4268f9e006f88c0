// Package invocation tells of each invocation as a whole, in one event by which a
// consumer knows that it has all of it: kinetel.invocation.
package invocation

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"kinetel/internal/event"
	"kinetel/internal/flush"
	"kinetel/internal/ledger"
	"kinetel/internal/order"
)

// Tracker follows invocations from their platform.start to their
// platform.report, which comes after the extension has let them go. It is safe
// for concurrent use; its zero value knows of none.
type Tracker struct {
	durations ledger.Durations

	mu     sync.Mutex // guards all below
	init   initialization
	open   map[string]*invocation // by request
	first  *invocation            // of the process; nil: none has begun
	begun  int                    // how many there ever were
	recent [16]release
	next   int
	all    int64
	held   int64
}

// maxOpen bounds the invocations that are followed. On demand there is one, and
// one or two whose report is yet to come; on Managed Instances there may be as
// many as the environment runs at once.
const maxOpen = 4096

// invocation is one that has begun and is not reported.
type invocation struct {
	request string
	trace   string          // X-Ray's id; empty: none
	order   int             // among all that have begun
	start   string          // when, as Lambda wrote it
	begun   time.Time       // the same
	tracing json.RawMessage // of its platform.start
	tenant  string          // the same; empty: none
	done    []byte          // the record of its platform.runtimeDone

	events      int64 // that were numbered as its own
	bytes       int64 // of their records
	first, last uint64
}

// Started notes that an invocation has begun, from its platform.start.
func (t *Tracker) Started(request string, ev *event.Event) {
	if request == "" {
		return
	}
	var record struct {
		Tracing  json.RawMessage `json:"tracing"`
		TenantID string          `json:"tenantId"`
	}
	_ = json.Unmarshal(ev.Record, &record) // what cannot be read has none
	t.mu.Lock()
	defer t.mu.Unlock()
	in := t.open[request]
	if in == nil {
		if len(t.open) == maxOpen {
			delete(t.open, t.byAge()[0].request) // its report never came
		}
		if t.open == nil {
			t.open = map[string]*invocation{}
		}
		t.begun++
		in = &invocation{request: request, order: t.begun}
		t.open[request] = in
		if t.begun == 1 {
			t.first = in
		}
	}
	in.start, in.trace, in.tracing, in.tenant = string(ev.Time), ev.TraceID, record.Tracing, record.TenantID
	in.begun = ev.At()
}

// byAge returns the open invocations, the oldest first. mu is held.
func (t *Tracker) byAge() []*invocation {
	all := slices.Collect(maps.Values(t.open))
	order.By(all, func(a, b *invocation) int { return cmp.Compare(a.order, b.order) })
	return all
}

// RuntimeDone notes the record of an invocation's platform.runtimeDone.
func (t *Tracker) RuntimeDone(request string, record []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if in := t.open[request]; in != nil {
		in.done = bytes.Clone(record)
	}
}

// Counted notes that an event of an invocation has got the numbers from first to
// last, and how large its record is.
func (t *Tracker) Counted(request string, first, last uint64, size int) {
	if request == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	in := t.open[request]
	if in == nil {
		return
	}
	if in.events == 0 || first <= in.last { // a restore began the numbers anew
		in.first, in.events, in.bytes = first, 0, 0
	}
	in.events += int64(last + 1 - first)
	in.bytes += int64(size)
	in.last = last
}

// Ended forgets all invocations that have begun and were not reported, and
// returns what there is to tell of them, the oldest first.
func (t *Tracker) Ended() (told []Summary) {
	t.mu.Lock()
	open := t.byAge()
	t.open = nil
	t.mu.Unlock()
	for _, in := range open {
		var b body
		_ = json.Unmarshal(in.done, &b.report) // nothing, where its runtime was not done
		b.RequestID, b.Unreported = in.request, true
		told = append(told, t.summary(&b, in))
	}
	return told
}

// Told is the body of a kinetel.invocation.
type Summary struct {
	Request string
	Trace   string // X-Ray's id; empty: not known
	Body    []byte // JSON
}

// release is what became of an invocation.
type release struct {
	request string
	held    time.Duration
	why     flush.Reason
}

// Released notes that an invocation was let go, how long it was held after its
// runtime was done, and why.
func (t *Tracker) Released(request string, held time.Duration, why flush.Reason) {
	t.durations.Note(held)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all++
	if why.Hold() {
		t.held++
	}
	t.recent[t.next] = release{request, held, why}
	t.next = (t.next + 1) % len(t.recent)
}

// Held returns how long invocations were held so far.
func (t *Tracker) Held() ledger.Held {
	ms := t.durations.Quantiles()
	t.mu.Lock()
	defer t.mu.Unlock()
	return ledger.Held{Invocations: t.all, Held: t.held, Ms: ms}
}

// Period returns how many invocations there were since it was called last, and
// how long they were held.
func (t *Tracker) Period() (invocations int, held ledger.Quantiles) { return t.durations.Period() }

// released returns what became of one of the last invocations.
func (t *Tracker) released(request string) (release, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.recent { // the newest first: Lambda tries a request again under its id
		r := t.recent[(t.next-1-i+2*len(t.recent))%len(t.recent)]
		if r.request == request {
			return r, true
		}
	}
	return release{}, false
}

// report is what of a platform.report's record is told again (AWS
// documentation, Telemetry API event schema reference). Numbers stay as they
// are written.
type report struct {
	RequestID string `json:"requestId"`
	TenantID  string `json:"tenantId,omitempty"`
	Status    string `json:"status,omitempty"`
	ErrorType string `json:"errorType,omitempty"`
	Metrics   struct {
		DurationMs              json.Number `json:"durationMs,omitempty"`
		BilledDurationMs        json.Number `json:"billedDurationMs,omitempty"`
		InitDurationMs          json.Number `json:"initDurationMs,omitempty"`
		RestoreDurationMs       json.Number `json:"restoreDurationMs,omitempty"`
		BilledRestoreDurationMs json.Number `json:"billedRestoreDurationMs,omitempty"`
		MemorySizeMB            json.Number `json:"memorySizeMB,omitempty"`
		MaxMemoryUsedMB         json.Number `json:"maxMemoryUsedMB,omitempty"`
	} `json:"metrics"`
	Spans []span `json:"spans,omitempty"` // read only
}

// span is a part of an invocation. Of these only one is emitted, as a number.
type span struct {
	Name       string      `json:"name"`
	DurationMs json.Number `json:"durationMs"`
}

const extensionOverhead = "extensionOverhead"

// body is the body of a kinetel.invocation.
type body struct {
	report
	ColdStart *bool           `json:"coldStart,omitempty"` // it waited for an init or a restore
	InitType  string          `json:"initType,omitempty"`  // of its environment
	Start     string          `json:"start,omitempty"`
	Tracing   json.RawMessage `json:"tracing,omitempty"`
	// ExtensionOverheadMs is how long extensions took after the runtime was done.
	ExtensionOverheadMs json.Number `json:"extensionOverheadMs,omitempty"`
	// Events is how many sequence numbers its events took, of those from FirstSeq
	// to LastSeq; Bytes are those of their records as Lambda sent them.
	Events     *int64       `json:"events,omitempty"`
	Bytes      *int64       `json:"bytes,omitempty"`
	FirstSeq   uint64       `json:"firstSeq,omitempty"`
	LastSeq    uint64       `json:"lastSeq,omitempty"`
	HeldMs     *float64     `json:"heldMs,omitempty"`
	Hold       flush.Reason `json:"hold,omitempty"` // why it was held, or not
	Unreported bool         `json:"unreported,omitempty"`
}

// Reported returns the kinetel.invocation that a platform.report completes;
// nothing where its record does not name a request.
func (t *Tracker) Reported(record []byte) (told Summary, ok bool) {
	var b body
	// A member of an odd type leaves the others.
	odd := (*json.UnmarshalTypeError)(nil)
	if err := json.Unmarshal(record, &b.report); err != nil && !errors.As(err, &odd) || b.RequestID == "" {
		return Summary{}, false
	}
	t.mu.Lock()
	in := t.open[b.RequestID]
	delete(t.open, b.RequestID)
	m := &b.Metrics
	began := in
	if began == nil && t.first != nil && t.first.request == b.RequestID {
		began = t.first // its report was sent again
	}
	cold := t.init.awaited(began, m.InitDurationMs != "" || m.RestoreDurationMs != "" || m.BilledRestoreDurationMs != "")
	t.mu.Unlock()
	b.ColdStart = &cold
	return t.summary(&b, in), true
}

// tell completes a body with what is known of the invocation, nil being nothing:
// it began in an earlier process.
func (t *Tracker) summary(b *body, in *invocation) Summary {
	trace := ""
	if in != nil {
		trace = in.trace
		b.Start, b.Tracing = in.start, in.tracing
		if b.TenantID == "" {
			b.TenantID = in.tenant
		}
		b.Events, b.Bytes, b.FirstSeq, b.LastSeq = &in.events, &in.bytes, in.first, in.last
	}
	for _, s := range b.Spans {
		if s.Name == extensionOverhead {
			b.ExtensionOverheadMs = s.DurationMs
		}
	}
	b.Spans = nil
	t.mu.Lock()
	b.InitType = t.init.kind
	t.mu.Unlock()
	if r, ok := t.released(b.RequestID); ok {
		ms := ledger.Milliseconds(r.held)
		b.HeldMs, b.Hold = &ms, r.why
	}
	text, _ := json.Marshal(b) // texts and numbers that were JSON before
	return Summary{b.RequestID, trace, text}
}
