package lifecycle

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"kinetel/internal/event"
)

// requests tracks invocations by their platform events. The goroutine that ingests
// telemetry writes it; the loop reads it.
type requests struct {
	// awaited is the request whose first line the loop waits for; nil: there is
	// none, or a line has arrived.
	awaited atomic.Pointer[string]

	mu       sync.Mutex    // guards all below
	pending  []observation // not yet published: the body is not yet acknowledged
	any      ring          // requests of which any event has arrived
	done     ring          // requests whose runtime is done
	reported ring          // requests whose platform.report has come
	bodies   int           // how many have come
	changed  chan struct{}
}

// observation is an event of a request.
type observation struct {
	kind    string
	request string
	at      time.Time
}

// ring stores the last few requests. A platform.runtimeDone may come before the
// loop has received the INVOKE, because they come by different connections. The
// loop needs no more than the request before the current one.
type ring struct {
	entries [16]observation
	next    int
}

func (r *ring) add(s observation) {
	if at, ok := r.find(s.request); ok && at.Equal(s.at) {
		return // sent again
	}
	r.entries[r.next] = s
	r.next = (r.next + 1) % len(r.entries)
}

// find returns the time of the newest event of a request.
func (r *ring) find(request string) (time.Time, bool) {
	for i := range r.entries {
		s := r.entries[(r.next-1-i+2*len(r.entries))%len(r.entries)]
		if s.request == request {
			return s.at, true
		}
	}
	return time.Time{}, false
}

// clockSkew is by how much an invocation's runtime may seem to be done before the
// INVOKE arrived. Older events are of an earlier attempt: Lambda retries a failed
// asynchronous invocation under its id, a minute later at the soonest (AWS
// documentation, error handling for asynchronous invocation).
const clockSkew = time.Second

func newRequests() *requests { return &requests{changed: make(chan struct{})} }

// await makes lines of the request count as its events from now on; empty: lines of
// no request count.
func (r *requests) await(request string) {
	if request == "" {
		r.awaited.Store(nil)
		return
	}
	r.awaited.Store(&request)
}

// observe records an event; publish makes it visible to the loop.
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
		// A line counts if it names the request. A line that belongs to it only by
		// its time may come from anything that runs in the background.
		awaited := r.awaited.Load()
		if awaited == nil || ev.RequestID != *awaited || !bytes.Contains(ev.Record, []byte(*awaited)) {
			return
		}
		r.awaited.CompareAndSwap(awaited, nil) // one is enough
		request = *awaited
	}
	if kind != "" {
		request = ev.Platform().RequestID
	}
	if request == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = append(r.pending, observation{kind, request, ev.At()})
}

// publish makes the observed events visible, and wakes the waiting goroutines. It
// reports whether a platform.runtimeDone was among them, and whether a
// platform.report was.
func (r *requests) publish() (runtimeDone, reported bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies++
	for _, s := range r.pending {
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
	r.pending = r.pending[:0]
	close(r.changed)
	r.changed = make(chan struct{})
	return runtimeDone, reported
}

// runtimeDone returns when the runtime was done, for the request that arrived at
// the given time. If it is not done yet, changed is closed at the next change.
func (r *requests) runtimeDone(request string, arrived time.Time) (at time.Time, ok bool, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok = r.done.find(request)
	if at.Before(arrived.Add(-clockSkew)) {
		return time.Time{}, false, r.changed // an earlier attempt at it
	}
	return at, ok, r.changed
}

// hasReport reports whether the platform.report has come, for the request that
// arrived at the given time; changed is closed at the next change.
func (r *requests) hasReport(request string, arrived time.Time) (ok bool, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.reported.find(request)
	return ok && !at.Before(arrived.Add(-clockSkew)), r.changed
}

// hasEvent reports whether any event has come, for the request that arrived at the
// given time.
func (r *requests) hasEvent(request string, arrived time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.any.find(request)
	return ok && !at.Before(arrived.Add(-clockSkew))
}

// received returns how many bodies have come; changed is closed when the next one
// comes.
func (r *requests) received() (bodies int, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bodies, r.changed
}
