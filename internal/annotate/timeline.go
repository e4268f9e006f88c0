package annotate

import (
	"math"
	"slices"

	"github.com/kinetel/kinetel/internal/event"
)

const (
	// grace is how long after platform.runtimeDone, in milliseconds, a line still
	// belongs to the invocation. What a function prints goes through a pipe and
	// gets its time when it is read, but the runtime reports its end on another
	// path.
	grace = 5
	// ahead is how long before the extension receives INVOKE, in milliseconds, an
	// invocation may have begun: Lambda sends the event to the function and to
	// extensions at the same time, and either may receive it first.
	ahead = 25
	// inTheSameInvoke is how long after its platform.start, in milliseconds, the
	// init inside an invocation begins at most, if the environment was reset
	// before.
	inTheSameInvoke = 1000
	// retryDelay is the minimum time, in milliseconds, between two attempts of a
	// request: Lambda waits for a minute before the second (AWS documentation,
	// asynchronous invocation). Events of a request within this time belong to
	// the same attempt, in any order.
	retryDelay = 10_000

	// remembered is how many invocations are searched for that of a line. Lambda
	// sends what it has within a second or so, and soon repeats a body that
	// failed.
	remembered = 64
	// maxRequests is how many requests are known by id. maxManaged is the same on
	// Managed Instances, where hundreds may be open at once.
	maxRequests = 4 * remembered
	maxManaged  = 4096
	// maxEnds is how many ends of one request are remembered: its attempts are few.
	maxEnds = 16
	// longest is how long an invocation of Managed Instances may last, in
	// milliseconds: 90 minutes and a margin. An open invocation is not removed,
	// however many begin meanwhile.
	longest = 100 * 60_000

	never = math.MaxInt64
)

// request is a request with a known id. Its lines share the strings.
type request struct {
	id, trace string // trace is empty if there is none
	span      *event.Span
	ends      *[]end // of its attempts, which share it
	openUntil int64  // on Managed Instances: until then it waits for its platform.report
}

// invocation is an attempt of a request that has begun. Times are in milliseconds
// since 1970; a time that is not known is never.
type invocation struct {
	*request
	from     int64
	done     int64 // time of its platform.runtimeDone
	reported int64 // time of its platform.report, which ends it if there is no runtimeDone
	replaced int64 // start of a new process, which ends it if there is no runtimeDone
	body     int   // number of the body with its platform.start
	passed   bool  // Annotate has seen its platform.start
}

// last returns its last millisecond.
func (in *invocation) last() int64 {
	if in.done != never {
		return in.done + grace
	}
	return min(in.reported, in.replaced)
}

// end is the end of an invocation.
type end struct {
	at       int64
	reported bool // from platform.report, else from platform.runtimeDone
}

// timeline is what is known of invocations, in the order in which it was learned.
type timeline struct {
	known map[string]*request // by id; its last attempt
	named []*request          // the same requests, as a ring
	next  int                 // index of the oldest in named

	begun   []invocation // from platform.start; within one body sorted by time
	pending []invocation // from INVOKE, whose platform.start is still to come

	body      int  // counts bodies
	annotated bool // an event of this body was annotated: the next Learn begins a body

	restarts []process // processes that began, according to this body
}

// process is a new or restored process of the environment.
type process struct {
	before int64 // invocations that began before this time have ended
	at     int64
}

// learning begins a body, if it has not begun.
func (t *timeline) learning() {
	if t.annotated {
		t.annotated = false
		t.body++
		t.restarts = t.restarts[:0]
	}
}

// annotating ends the learning of a body.
func (t *timeline) annotating() { t.annotated = true }

// request returns the request with an id, and adds it if it is new. It stores the
// trace. If there are too many requests, it removes the oldest that is not open at
// this time. If begins is true, a new attempt begins, and the trace is that of the
// attempt.
func (t *timeline) request(id, trace string, begins bool, at int64, bound int) *request {
	r := t.known[id]
	switch {
	case r == nil:
		r = &request{id: id, trace: trace, ends: new([]end)}
		if t.known == nil {
			t.known = map[string]*request{}
		}
		if len(t.named) < bound {
			t.named = append(t.named, r)
		} else {
			// If all are open, the loop ends at the oldest.
			for range bound {
				if t.named[t.next].openUntil <= at {
					break
				}
				t.next = (t.next + 1) % bound
			}
			delete(t.known, t.named[t.next].id)
			t.named[t.next] = r
			t.next = (t.next + 1) % bound
		}
		t.known[r.id] = r
	case trace == "":
	case r.trace == "":
		r.trace = trace
	case begins && r.trace != trace:
		other := r // keeps its own trace
		r = &request{id: r.id, trace: trace, ends: r.ends}
		t.known[r.id] = r
		for i := range t.named {
			if t.named[i] == other {
				t.named[i] = r
			}
		}
	}
	return r
}

// started records a platform.start.
func (t *timeline) started(r *request, from int64) {
	for _, other := range t.begun {
		if other.from == from && other.ends == r.ends {
			return // Lambda sent a body twice
		}
	}
	t.pending = slices.DeleteFunc(t.pending, func(in invocation) bool {
		return in.ends == r.ends && in.from < from+retryDelay && in.from > from-retryDelay
	})
	in := invocation{request: r, from: from, replaced: never, body: t.body}
	for _, p := range t.restarts {
		if from < p.before {
			in.replaced = min(in.replaced, p.at)
		}
	}
	i := len(t.begun)
	for i > 0 && t.begun[i-1].body == t.body && t.begun[i-1].from > from {
		i--
	}
	t.begun = bounded(slices.Insert(t.begun, i, in), remembered)
	t.matchEnds(r)
}

// ended records how an attempt of a request ended.
func (t *timeline) ended(r *request, how end) {
	if !slices.Contains(*r.ends, how) {
		*r.ends = bounded(append(*r.ends, how), maxEnds)
		t.matchEnds(r)
	}
}

// matchEnds assigns each end of a request to an attempt: to the last one that had
// begun. The clock may have gone backwards a little.
func (t *timeline) matchEnds(r *request) {
	for _, all := range [][]invocation{t.begun, t.pending} {
		for i := range all {
			if all[i].ends == r.ends {
				all[i].done, all[i].reported = never, never
			}
		}
	}
	for _, e := range *r.ends {
		var its *invocation
		at := e.at
		for n, all := range [][]invocation{t.begun, t.pending} {
			for i := range all {
				if in := &all[i]; in.ends == r.ends && in.from < e.at+retryDelay && (its == nil || in.from > its.from) {
					its, at = in, e.at
					if n == 0 { // not for INVOKE, which may arrive after the end
						at = max(at, in.from)
					}
				}
			}
		}
		switch {
		case its == nil: // its start is still to come
		case e.reported:
			its.reported = min(its.reported, at)
		default:
			its.done = min(its.done, at)
		}
	}
}

// invoked records an INVOKE.
func (t *timeline) invoked(r *request, at int64) {
	for _, in := range t.begun {
		if in.ends == r.ends && in.from > at-retryDelay {
			return // platform.start came first
		}
	}
	t.pending = bounded(append(t.pending, invocation{request: r, from: at, replaced: never}), remembered)
	t.matchEnds(r)
}

// restarted records a new process, or a restored one: it ends the invocations that
// were open before. If the environment was reset, the init runs inside the next
// invocation, which has begun just before.
func (t *timeline) restarted(at int64, inInvocation bool) {
	before := at
	if inInvocation {
		before -= inTheSameInvoke
	}
	if len(t.restarts) < remembered {
		t.restarts = append(t.restarts, process{before, at})
	}
	for _, all := range [][]invocation{t.begun, t.pending} {
		for i := range all {
			if all[i].from < before {
				all[i].replaced = min(all[i].replaced, at)
			}
		}
	}
}

// passed records that Annotate has seen a platform.start.
func (t *timeline) passed(id string, from int64) {
	for i := len(t.begun) - 1; i >= 0; i-- {
		if in := &t.begun[i]; in.from == from && in.id == id {
			in.passed = true
			return
		}
	}
}

// at returns the request of the invocation that was open at a time, or nil if there
// was none. An invocation ends when another begins. If the clock has gone backwards
// and several were open at a time, at returns the newest.
func (t *timeline) at(at int64) *request {
	invoked := int64(math.MinInt64) // the last INVOKE before this time without a platform.start
	for i := range t.pending {
		if from := t.pending[i].from; from <= at {
			invoked = max(invoked, from)
		}
	}
	var begins *request // it begins in this millisecond, and Annotate has not seen its start
	floor := int64(math.MinInt64)
	for i := len(t.begun) - 1; i >= 0; i-- {
		in := &t.begun[i]
		if in.from > at || in.from <= floor {
			continue
		}
		if in.from == at && !in.passed {
			begins = in.request
			continue
		}
		if at <= in.last() && (in.done != never || invoked <= in.from) {
			return in.request
		}
		floor = in.from
	}
	if begins != nil {
		return begins
	}
	for i := len(t.pending) - 1; i >= 0; i-- {
		in := &t.pending[i]
		if at < in.from-ahead {
			continue
		}
		if in.from > floor && at <= in.last() {
			return in.request
		}
		break
	}
	return nil
}

// bounded removes the older half if there are twice as many as are kept: that costs
// less than to remove one each time.
func bounded[T any](all []T, kept int) []T {
	if len(all) < 2*kept {
		return all
	}
	n := copy(all, all[len(all)-kept:])
	clear(all[n:])
	return all[:n]
}
