// Package invocation tells of each invocation as a whole, in one event that a
// consumer can count on: kinetel.invocation.
package invocation

import (
	"encoding/json"
	"errors"
	"sync"
	"time"

	"kinetel/internal/flush"
	"kinetel/internal/ledger"
)

// Tracker follows invocations from when the extension lets them go to their
// platform.report, which comes after that. It is safe for concurrent use; its
// zero value knows of none.
type Tracker struct {
	durations ledger.Durations

	mu     sync.Mutex // guards all below
	recent [16]release
	next   int
	all    int64
	held   int64
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

// find returns what became of one of the last invocations.
func (t *Tracker) find(request string) (release, bool) {
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
	Status    string `json:"status"`
	ErrorType string `json:"errorType,omitempty"`
	Metrics   struct {
		DurationMs        json.Number `json:"durationMs,omitempty"`
		BilledDurationMs  json.Number `json:"billedDurationMs,omitempty"`
		InitDurationMs    json.Number `json:"initDurationMs,omitempty"`
		RestoreDurationMs json.Number `json:"restoreDurationMs,omitempty"`
		MemorySizeMB      json.Number `json:"memorySizeMB,omitempty"`
		MaxMemoryUsedMB   json.Number `json:"maxMemoryUsedMB,omitempty"`
	} `json:"metrics"`
}

// body is the body of a kinetel.invocation.
type body struct {
	report
	ColdStart bool         `json:"coldStart"` // it waited for an init or a restore
	HeldMs    *float64     `json:"heldMs,omitempty"`
	Hold      flush.Reason `json:"hold,omitempty"` // why it was held, or not
}

// Reported returns the body of the kinetel.invocation that a platform.report
// completes; nothing where its record does not name a request.
func (t *Tracker) Reported(record []byte) (told []byte, ok bool) {
	var b body
	// A member of an odd type leaves the others.
	odd := (*json.UnmarshalTypeError)(nil)
	if err := json.Unmarshal(record, &b.report); err != nil && !errors.As(err, &odd) || b.RequestID == "" {
		return nil, false
	}
	b.ColdStart = b.Metrics.InitDurationMs != "" || b.Metrics.RestoreDurationMs != ""
	// Of an invocation that an earlier process let go nothing is known.
	if r, ok := t.find(b.RequestID); ok {
		ms := ledger.Milliseconds(r.held)
		b.HeldMs, b.Hold = &ms, r.why
	}
	told, err := json.Marshal(b)
	return told, err == nil
}
