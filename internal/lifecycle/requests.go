package lifecycle

import (
	"sync"
	"time"

	"kinetel/internal/event"
)

// requests follows invocations through their platform events. It is written by
// the goroutine that takes telemetry in and read by the loop.
type requests struct {
	mu       sync.Mutex // guards all below
	seen     []sighting // not yet published: the body is not yet acknowledged
	done     ring       // requests whose runtime is done
	reported ring       // requests whose platform.report has come
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
	if _, ok := r.find(s.request); ok {
		return // sent again
	}
	r.entries[r.next] = s
	r.next = (r.next + 1) % len(r.entries)
}

func (r *ring) find(request string) (time.Time, bool) {
	for _, s := range r.entries {
		if s.request == request {
			return s.at, true
		}
	}
	return time.Time{}, false
}

func newRequests() *requests { return &requests{changed: make(chan struct{})} }

// observe notes an event; publish lets the loop see it.
func (r *requests) observe(ev *event.Event) {
	var kind string
	switch string(ev.Type) { // compared only: this runs for every line
	case event.TypePlatformRuntimeDone:
		kind = event.TypePlatformRuntimeDone
	case event.TypePlatformReport:
		kind = event.TypePlatformReport
	default:
		return
	}
	request := event.RequestID(ev.Record)
	if request == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, sighting{kind, request, ev.At()})
}

// publish makes what was observed visible, and wakes who waits. It reports
// whether a runtime was among it that is done.
func (r *requests) publish() (runtimeDone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.seen {
		if s.kind == event.TypePlatformReport {
			r.reported.add(s)
		} else {
			r.done.add(s)
			runtimeDone = true
		}
	}
	r.seen = r.seen[:0]
	close(r.changed)
	r.changed = make(chan struct{})
	return runtimeDone
}

// runtimeDone returns when the request's runtime was done, if it is; otherwise
// changed is closed when there may be news.
func (r *requests) runtimeDone(request string) (at time.Time, ok bool, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok = r.done.find(request)
	return at, ok, r.changed
}

// hasReport reports whether the request's platform.report has come; changed is
// closed when there may be news.
func (r *requests) hasReport(request string) (ok bool, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok = r.reported.find(request)
	return ok, r.changed
}
