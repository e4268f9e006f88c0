package lifecycle

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"kinetel/internal/event"
)

// requests follows invocations through their platform events. It is written by
// the goroutine that takes telemetry in and read by the loop.
type requests struct {
	// awaited is the request of which no line has arrived since the loop began to
	// wait for its events; nil: there is none.
	awaited atomic.Pointer[string]

	mu       sync.Mutex // guards all below
	seen     []sighting // not yet published: the body is not yet acknowledged
	any      ring       // requests of which any event has arrived
	done     ring       // requests whose runtime is done
	reported ring       // requests whose platform.report has come
	bodies   int        // that have come
	changed  chan struct{}
}

// sighting is an event that says something about a request.
type sighting struct {
	kind    string
	request string
	at      time.Time
}

// ring remembers the last few requests. A platform.runtimeDone may come before
// the loop has heard of its invocation, because they come by different
// connections; more than one back is never asked for.
type ring struct {
	entries [16]sighting
	next    int
}

func (r *ring) add(s sighting) {
	if at, ok := r.find(s.request); ok && at.Equal(s.at) {
		return // sent again
	}
	r.entries[r.next] = s
	r.next = (r.next + 1) % len(r.entries)
}

// find returns the newest.
func (r *ring) find(request string) (time.Time, bool) {
	for i := range r.entries {
		s := r.entries[(r.next-1-i+2*len(r.entries))%len(r.entries)]
		if s.request == request {
			return s.at, true
		}
	}
	return time.Time{}, false
}

// clocks is by how much an invocation's runtime may seem to be done before the
// invocation was heard of. Lambda tries an asynchronous one that has failed again
// under its id, a minute later at the soonest (AWS documentation, error handling
// for asynchronous invocation).
const clocks = time.Second

func newRequests() *requests { return &requests{changed: make(chan struct{})} }

// await has lines of the request count as its events from now on; empty: of none.
func (r *requests) await(request string) {
	if request == "" {
		r.awaited.Store(nil)
		return
	}
	r.awaited.Store(&request)
}

// observe notes an event; publish lets the loop see it.
func (r *requests) observe(ev *event.Event) {
	var kind, request string
	switch string(ev.Type) { // compared only: this runs for every line
	case event.TypePlatformStart:
		kind = event.TypePlatformStart
	case event.TypePlatformRuntimeDone:
		kind = event.TypePlatformRuntimeDone
	case event.TypePlatformReport:
		kind = event.TypePlatformReport
	default:
		// A line counts if it names the request. One that belongs to it by its
		// time only may be of anything that runs in the background.
		awaited := r.awaited.Load()
		if awaited == nil || ev.RequestID != *awaited || !bytes.Contains(ev.Record, []byte(*awaited)) {
			return
		}
		r.awaited.CompareAndSwap(awaited, nil) // one is enough
		request = *awaited
	}
	if kind != "" {
		request = event.RequestID(ev.Record)
	}
	if request == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, sighting{kind, request, ev.At()})
}

// publish makes what was observed visible, and wakes who waits. It reports
// whether a runtime was among it that is done, and whether a report was.
func (r *requests) publish() (runtimeDone, reported bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies++
	for _, s := range r.seen {
		r.any.add(s)
		switch s.kind {
		case event.TypePlatformReport:
			r.reported.add(s)
			reported = true
		case event.TypePlatformRuntimeDone:
			r.done.add(s)
			runtimeDone = true
		}
	}
	r.seen = r.seen[:0]
	close(r.changed)
	r.changed = make(chan struct{})
	return runtimeDone, reported
}

// runtimeDone returns when the runtime of the request that arrived then was done,
// if it is; otherwise changed is closed when there may be news.
func (r *requests) runtimeDone(request string, arrived time.Time) (at time.Time, ok bool, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok = r.done.find(request)
	if at.Before(arrived.Add(-clocks)) {
		return time.Time{}, false, r.changed // an earlier attempt at it
	}
	return at, ok, r.changed
}

// hasReport reports whether the platform.report of the request that arrived then
// has come; changed is closed when there may be news.
func (r *requests) hasReport(request string, arrived time.Time) (ok bool, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.reported.find(request)
	return ok && !at.Before(arrived.Add(-clocks)), r.changed
}

// hasEvent reports whether any event of the request that arrived then has come.
func (r *requests) hasEvent(request string, arrived time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.any.find(request)
	return ok && !at.Before(arrived.Add(-clocks))
}

// heard returns how many bodies have come; changed is closed when there is one
// more.
func (r *requests) received() (bodies int, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bodies, r.changed
}
