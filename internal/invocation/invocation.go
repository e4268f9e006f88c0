// Package invocation makes one event for each invocation as a whole:
// kinetel.invocation. With it a consumer can check that it has all events of the
// invocation.
package invocation

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/order"
)

// Tracker tracks invocations from their platform.start to their platform.report,
// which comes after the extension has released them. It is safe for concurrent use;
// its zero value is ready to use.
type Tracker struct {
	durations ledger.Durations

	selected func(request string) ledger.Selected // nil: everything is shipped

	mu     sync.Mutex // guards all below
	init   initialization
	open   map[string]*invocation // by request
	first  *invocation            // of the process; nil: none has begun
	begun  int                    // how many have begun so far
	recent [16]release
	next   int
	// announced are the last invocations that INVOKE announced, as a ring. The
	// platform.start of a short invocation that is not held may arrive after the next
	// INVOKE. Managed Instances send no INVOKE.
	announced     [4]announcement
	nextAnnounced int
	all           int64
	held          int64
}

// announcement is an INVOKE, with the ARN by which it calls the function.
type announcement struct{ request, arn string }

// maxOpen is how many invocations are tracked at most. On demand there is one, and
// one or two whose report is yet to come; on Managed Instances there may be as many
// as the environment runs at once.
const maxOpen = 4096

// invocation is an invocation that has begun and is not yet reported.
type invocation struct {
	request string
	trace   string          // X-Ray's id; empty: none
	order   int             // its number among all that have begun, from 1
	start   string          // the time of its platform.start, as Lambda wrote it
	begun   time.Time       // the same time
	tracing json.RawMessage // from its platform.start
	tenant  string          // from its platform.start; empty: none
	arn     string          // by which the function was invoked; empty: not known
	span    *event.Span     // nil: there are no spans
	done    *event.Platform // its platform.runtimeDone; nil: its runtime is not done

	events      int64  // how many sequence numbers its events have
	bytes       int64  // of the events' records
	first, last uint64 // sequence numbers
}

// SetSelected sets what reports the selection of an invocation's events. Reported and
// Ended call it. Call SetSelected before any other method.
func (t *Tracker) SetSelected(f func(request string) ledger.Selected) { t.selected = f }

// Invoked records the ARN by which an invocation calls the function, from INVOKE.
func (t *Tracker) Invoked(request, arn string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.announced[t.nextAnnounced] = announcement{request, arn}
	t.nextAnnounced = (t.nextAnnounced + 1) % len(t.announced)
	if in := t.open[request]; in != nil {
		in.arn = arn
	}
}

// Started records that an invocation has begun, from its platform.start.
func (t *Tracker) Started(ev *event.Event) {
	if ev.RequestID == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	in := t.open[ev.RequestID]
	if in == nil {
		if len(t.open) == maxOpen {
			delete(t.open, t.byAge()[0].request) // its report never came
		}
		if t.open == nil {
			t.open = map[string]*invocation{}
		}
		t.begun++
		in = &invocation{request: ev.RequestID, order: t.begun}
		t.open[in.request] = in
		if t.begun == 1 {
			t.first = in
		}
	}
	in.start, in.begun, in.trace = string(ev.Time), ev.At(), ev.TraceID
	in.tracing, in.tenant, in.span = ev.Platform().Tracing, ev.Platform().TenantID, ev.OTLP.Span
	for i := range t.announced { // the last one counts: Lambda retries a request under its id
		if a := t.announced[(t.nextAnnounced+i)%len(t.announced)]; a.request == in.request {
			in.arn = a.arn
		}
	}
}

// byAge returns the open invocations, the oldest first. mu is held.
func (t *Tracker) byAge() []*invocation {
	all := slices.Collect(maps.Values(t.open))
	order.By(all, func(a, b *invocation) int { return cmp.Compare(a.order, b.order) })
	return all
}

// RuntimeDone records an invocation's platform.runtimeDone.
func (t *Tracker) RuntimeDone(ev *event.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if in := t.open[ev.RequestID]; in != nil {
		in.done = ev.Platform()
	}
}

// Counted records that events of a request have the sequence numbers from first to last.
// records is the size of their records.
func (t *Tracker) Counted(request string, records int64, first, last uint64) {
	if request == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	in := t.open[request]
	if in == nil {
		return
	}
	if in.events == 0 || first <= in.last { // after a restore the numbers begin again at 1
		in.first, in.events, in.bytes = first, 0, 0
	}
	in.events += int64(last + 1 - first)
	in.bytes += records
	in.last = last
}

// Ended removes all invocations that have begun and were not reported. It returns
// their summaries, the oldest first.
func (t *Tracker) Ended() (summaries []Summary) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, in := range t.byAge() {
		last := in.done
		if last == nil {
			last = &event.Platform{}
		}
		summaries = append(summaries, t.summary(&body{requestID: in.request, unreported: true}, last, in))
	}
	t.open = nil
	return summaries
}

// Summary is a kinetel.invocation.
type Summary struct {
	Request string
	Trace   string // X-Ray's id; empty: not known
	Span    *event.Span
	Body    []byte // JSON
}

// release is how an invocation was released.
type release struct {
	request string
	held    time.Duration
	why     flush.Reason
}

// Released records that an invocation was released, how long it was held after its
// runtime was done, and why.
func (t *Tracker) Released(request string, held time.Duration, why flush.Reason) {
	held = max(held, 0) // the wall clock may be set back during a hold
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

// Held returns how many invocations were released and held so far, and for how long.
func (t *Tracker) Held() ledger.Held {
	ms := t.durations.Quantiles()
	t.mu.Lock()
	defer t.mu.Unlock()
	return ledger.Held{Invocations: t.all, Held: t.held, Ms: ms}
}

// Period returns how long the invocations since its last call were held
// (Durations.Period).
func (t *Tracker) Period() []time.Duration { return t.durations.Period() }

// released returns how one of the last invocations was released; false: it is not
// known. mu is held.
func (t *Tracker) released(request string) (release, bool) {
	for i := range t.recent { // the newest first: Lambda retries a request under its id
		r := t.recent[(t.next-1-i+2*len(t.recent))%len(t.recent)]
		if r.request == request {
			return r, true
		}
	}
	return release{}, false
}

// body is the body of a kinetel.invocation, and of a kinetel.init.
type body struct {
	requestID           string
	phase               string // of an init
	arn                 string
	tenantID            string
	status              string
	errorType           string
	metrics             event.Metrics
	coldStart           *bool  // whether it waited for an init or a restore
	initType            string // of its environment
	start               string
	tracing             []byte
	extensionOverheadMs json.Number // how long extensions ran after the runtime was done
	in                  *invocation // nil: nothing is known of its events
	released            *release    // nil: not known
	unreported          bool
	selected            ledger.Selected
}

// json returns the body as JSON.
func (b *body) json() []byte {
	o := jsontext.Object{OmitEmpty: true}
	o.String("requestId", b.requestID)
	o.String("phase", b.phase)
	o.String("invokedArn", b.arn)
	o.String("tenantId", b.tenantID)
	o.String("status", b.status)
	o.String("errorType", b.errorType)
	o.Raw("metrics", b.metrics.JSON())
	if b.coldStart != nil {
		o.Raw("coldStart", strconv.AppendBool(nil, *b.coldStart))
	}
	o.String("initType", b.initType)
	o.String("start", b.start)
	o.Raw("tracing", b.tracing)
	o.Raw("extensionOverheadMs", []byte(b.extensionOverheadMs))
	if in := b.in; in != nil {
		// How many of the sequence numbers from firstSeq to lastSeq belong to its
		// events, and the size of their records as Lambda sent them. They may be 0.
		o.Raw("events", strconv.AppendInt(nil, in.events, 10))
		o.Raw("bytes", strconv.AppendInt(nil, in.bytes, 10))
		o.Uint("firstSeq", in.first)
		o.Uint("lastSeq", in.last)
	}
	if r := b.released; r != nil {
		o.Raw("heldMs", strconv.AppendFloat(nil, ledger.Milliseconds(r.held), 'f', -1, 64))
		o.String("hold", string(r.why)) // why it was held or not
	}
	o.Bool("unreported", b.unreported)
	b.selected.Write(&o)
	return o.JSON()
}

// Cold reports whether the invocation that a platform event is about waited for an init
// or a restore, as far as that is known.
func (t *Tracker) Cold(ev *event.Event) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.init.awaited(t.open[ev.RequestID], ev.Platform().Metrics.AfterInit())
}

// Reported returns the kinetel.invocation that a platform.report completes. ok is
// false if its record does not name a request.
func (t *Tracker) Reported(ev *event.Event) (s Summary, ok bool) {
	report := ev.Platform()
	request := report.RequestID
	if request == "" {
		return Summary{}, false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	in := t.open[request]
	delete(t.open, request)
	begun := in
	if begun == nil && t.first != nil && t.first.request == request {
		begun = t.first // its report was sent again
	}
	cold := t.init.awaited(begun, report.Metrics.AfterInit())
	return t.summary(&body{requestID: request, coldStart: &cold}, report, in), true
}

// summary completes a body with the last platform event of the invocation, and with
// what else is known of it. in is nil if it began in an earlier process: nothing is
// known then. mu is held.
func (t *Tracker) summary(b *body, last *event.Platform, in *invocation) Summary {
	b.tenantID, b.status, b.errorType, b.metrics = last.TenantID, last.Status, last.ErrorType, last.Metrics
	b.extensionOverheadMs, b.initType, b.in = last.ExtensionOverheadMs, t.init.kind, in
	s := Summary{Request: b.requestID}
	if t.selected != nil {
		b.selected = t.selected(b.requestID)
	}
	if in != nil {
		s.Trace, s.Span = in.trace, in.span
		b.start, b.tracing, b.arn = in.start, in.tracing, in.arn
		if b.tenantID == "" {
			b.tenantID = in.tenant
		}
	}
	if r, ok := t.released(b.requestID); ok {
		b.released = &r
	}
	s.Body = b.json()
	return s
}
