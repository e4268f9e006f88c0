package annotate

import (
	"math"
	"slices"
)

const (
	// grace is how long after platform.runtimeDone a line, in milliseconds, is
	// still the invocation's: what a function prints goes through a pipe, and
	// gets its time where it is read, while the runtime tells that it is done
	// by another way.
	grace = 5
	// ahead is how long before INVOKE is heard, in milliseconds, an invocation
	// may have begun: function and extensions are told at once, and who is read
	// first is chance.
	ahead = 25
	// inTheSameInvoke is how much later than its platform.start the init of an
	// invocation begins at most, where the environment was reset before.
	inTheSameInvoke = 1000
	// again is how much later, in milliseconds, another try of a request comes at
	// least: Lambda waits for a minute before the second (AWS documentation,
	// asynchronous invocation). What is told of a request sooner is of the same
	// try, whatever the order.
	again = 10_000

	// remembered is how many invocations a line is looked for among. Lambda
	// sends what it has within a second or so, and a body that fails again
	// soon.
	remembered = 64
	// maxRequests is how many requests are known by name, and maxManaged where
	// hundreds may be open at once.
	maxRequests = 4 * remembered
	maxManaged  = 4096
	// longest is how long an invocation of Managed Instances may last, in
	// milliseconds: 90 minutes, and some more. One that is open is not
	// forgotten, however many begin meanwhile.
	longest = 100 * 60_000

	never = math.MaxInt64
)

// request is one that was named. Lines of it share its texts.
type request struct {
	id, trace string // trace is empty where there is none
	openUntil int64  // on Managed Instances: its platform.report is awaited until then
}

// invocation is one that has begun at a time. Times are in milliseconds since
// 1970, and never where they are not known.
type invocation struct {
	*request
	from     int64
	done     int64 // its platform.runtimeDone
	reported int64 // its platform.report, which ends it where the runtime was never done
	replaced int64 // a new process: the same
	body     int   // that told of it
	passed   bool  // the stream has come to its platform.start
}

// last returns its last millisecond.
func (in *invocation) last() int64 {
	if in.done != never {
		return in.done + grace
	}
	return min(in.reported, in.replaced)
}

// end is that of an invocation.
type end struct {
	id       string
	at       int64
	reported bool // by platform.report, else by platform.runtimeDone
}

// timeline is what is known of invocations, in the order in which they were told.
type timeline struct {
	known map[string]*request // by id; its last try
	named []*request          // the same, a ring
	next  int                 // in named, the oldest

	begun []invocation // by platform.start; by time where one body told
	told  []invocation // by INVOKE, whose platform.start is still to come
	ends  []end

	body      int  // counts bodies
	annotated bool // of this body something was annotated: the next is another

	anew []process // that this body told of
}

// process is one that has begun.
type process struct {
	before int64 // what began before it is over
	at     int64
}

// learning begins a body, where it has not begun.
func (t *timeline) learning() {
	if t.annotated {
		t.annotated = false
		t.body++
		t.anew = t.anew[:0]
	}
}

// annotating ends the learning of a body.
func (t *timeline) annotating() { t.annotated = true }

// name returns a request, and remembers it and its trace. If there are too many,
// the oldest is forgotten that is not open at this time. Where a try of it begins,
// the trace is that one's.
func (t *timeline) name(id, trace []byte, begins bool, at int64, bound int) *request {
	r := t.known[string(id)]
	switch {
	case r == nil:
		r = &request{id: string(id), trace: string(trace)}
		if t.known == nil {
			t.known = map[string]*request{}
		}
		if len(t.named) < bound {
			t.named = append(t.named, r)
		} else {
			// Bounded: if all are open, it is the oldest.
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
	case len(trace) == 0:
	case r.trace == "":
		r.trace = string(trace)
	case begins && r.trace != string(trace):
		other := r // keeps its own
		r = &request{id: r.id, trace: string(trace)}
		t.known[r.id] = r
		for i := range t.named {
			if t.named[i] == other {
				t.named[i] = r
			}
		}
	}
	return r
}

// started notes a platform.start.
func (t *timeline) started(r *request, from int64) {
	for _, other := range t.begun {
		if other.id == r.id && other.from == from {
			return // Lambda sent a body twice
		}
	}
	t.told = slices.DeleteFunc(t.told, func(in invocation) bool {
		return in.id == r.id && in.from < from+again && in.from > from-again
	})
	in := invocation{request: r, from: from, replaced: never, body: t.body}
	for _, p := range t.anew {
		if from < p.before {
			in.replaced = min(in.replaced, p.at)
		}
	}
	i := len(t.begun)
	for i > 0 && t.begun[i-1].body == t.body && t.begun[i-1].from > from {
		i--
	}
	t.begun = bounded(slices.Insert(t.begun, i, in), remembered)
	t.settle(r.id)
}

// ended notes how an invocation ended.
func (t *timeline) ended(how end) {
	if !slices.Contains(t.ends, how) {
		t.ends = bounded(append(t.ends, how), 2*remembered)
		t.settle(how.id)
	}
}

// settle finds out which end is that of which try of a request: of the last one
// that had begun, where the clock may have gone backwards a little.
func (t *timeline) settle(id string) {
	for _, all := range [][]invocation{t.begun, t.told} {
		for i := range all {
			if all[i].id == id {
				all[i].done, all[i].reported = never, never
			}
		}
	}
	for _, e := range t.ends {
		if e.id != id {
			continue
		}
		var its *invocation
		at := e.at
		for n, all := range [][]invocation{t.begun, t.told} {
			for i := range all {
				if in := &all[i]; in.id == id && in.from < e.at+again && (its == nil || in.from > its.from) {
					its, at = in, e.at
					if n == 0 { // INVOKE may well be heard when all is over
						at = max(at, in.from)
					}
				}
			}
		}
		switch {
		case its == nil: // its begin is still to come
		case e.reported:
			its.reported = min(its.reported, at)
		default:
			its.done = min(its.done, at)
		}
	}
}

// invoked notes an INVOKE.
func (t *timeline) invoked(r *request, at int64) {
	for _, in := range t.begun {
		if in.id == r.id && in.from > at-again {
			return // platform.start was faster
		}
	}
	t.told = bounded(append(t.told, invocation{request: r, from: at, replaced: never}), remembered)
	t.settle(r.id)
}

// begunAnew notes a new process, or a restored one: what was open before is not
// any more. The init of an environment that was reset runs inside the next
// invocation, which has begun just before.
func (t *timeline) begunAnew(at int64, inInvocation bool) {
	before := at
	if inInvocation {
		before -= inTheSameInvoke
	}
	if len(t.anew) < remembered {
		t.anew = append(t.anew, process{before, at})
	}
	for _, all := range [][]invocation{t.begun, t.told} {
		for i := range all {
			if all[i].from < before {
				all[i].replaced = min(all[i].replaced, at)
			}
		}
	}
}

// passed notes that the stream has come to a platform.start.
func (t *timeline) passed(id string, from int64) {
	for i := len(t.begun) - 1; i >= 0; i-- {
		if in := &t.begun[i]; in.id == id && in.from == from {
			in.passed = true
			return
		}
	}
}

// at returns the request of the invocation that was open at a time; nil means
// none. None goes on when another has begun; where the clock has gone backwards,
// so that several were open at a time, it is the newest.
func (t *timeline) at(at int64) *request {
	invoked := int64(math.MinInt64) // the last INVOKE before, whose invocation has not begun
	for i := range t.told {
		if from := t.told[i].from; from <= at {
			invoked = max(invoked, from)
		}
	}
	var begins *request // in that very millisecond, and further on in the stream
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
	for i := len(t.told) - 1; i >= 0; i-- {
		in := &t.told[i]
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

// bounded forgets the older ones where there are twice as many as are kept: half
// of them at once costs less than one each time.
func bounded[T any](all []T, kept int) []T {
	if len(all) < 2*kept {
		return all
	}
	n := copy(all, all[len(all)-kept:])
	clear(all[n:])
	return all[:n]
}
