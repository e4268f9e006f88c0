package lifecycle

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinetel/kinetel/internal/event"
)

// requests tracks invocations by their platform events. The goroutine that ingests
// telemetry writes it; the loop reads it.
type requests struct {
	// awaited is the request whose first line the loop waits for; nil: there is
	// none, or a line has arrived.
	awaited atomic.Pointer[string]

	mu       sync.Mutex // guards all below
	pending  []pending  // not yet published: the body is not yet acknowledged
	any      ring       // requests of which any event has arrived
	done     ring       // requests whose runtime is done
	reported ring       // requests whose platform.report has come
	bodies   int        // how many have come
	changed  chan struct{}
}

// observation is an event of a request.
type observation struct {
	request string
	at      time.Time
}

// pending is an observation of a body that is not yet acknowledged.
type pending struct {
	observation
	ring *ring // beside any; nil: none
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
	var ring *ring
	request := ""
	switch string(ev.Type) { // compared only: this runs for every line
	case event.TypePlatformStart:
		request = ev.Platform().RequestID
	case event.TypePlatformRuntimeDone:
		request, ring = ev.Platform().RequestID, &r.done
	case event.TypePlatformReport:
		request, ring = ev.Platform().RequestID, &r.reported
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
	if request == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pending = append(r.pending, pending{observation{request, ev.At()}, ring})
}

// publish makes the observed events visible, and wakes the waiting goroutines. It
// reports whether a platform.runtimeDone was among them, and whether a
// platform.report was.
func (r *requests) publish() (runtimeDone, reported bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies++
	for _, s := range r.pending {
		r.any.add(s.observation)
		if s.ring != nil {
			s.ring.add(s.observation)
		}
		runtimeDone = runtimeDone || s.ring == &r.done
		reported = reported || s.ring == &r.reported
	}
	r.pending = r.pending[:0]
	close(r.changed)
	r.changed = make(chan struct{})
	return runtimeDone, reported
}

// find returns the time of the last of these events, for the request that arrived at
// the given time.
func (r *requests) find(events *ring, request string, arrived time.Time) (at time.Time, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok = events.find(request)
	if at.Before(arrived.Add(-clockSkew)) {
		return time.Time{}, false // of an earlier attempt
	}
	return at, ok
}

// received returns how many bodies have come; next is closed when another one comes.
func (r *requests) received() (bodies int, next <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bodies, r.changed
}

// wait waits until done returns true, and calls it for each body. It returns what done
// returns when ctx ends: a body may come at the same moment.
func (r *requests) wait(ctx context.Context, done func() bool) bool {
	for {
		_, next := r.received()
		if done() {
			return true
		}
		select {
		case <-next:
		case <-ctx.Done():
			return done()
		}
	}
}

// waitForQuiet waits until no body has come for a time, or until ctx ends.
func (r *requests) waitForQuiet(ctx context.Context, quiet time.Duration) {
	timer := time.NewTimer(quiet)
	defer timer.Stop()
	for {
		_, next := r.received()
		select {
		case <-next:
			timer.Reset(quiet)
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
