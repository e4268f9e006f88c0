package annotate_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/annotate"
	"github.com/kinetel/kinetel/internal/event"
)

// drawnEvent is an event of a drawn environment, at its time.
type drawnEvent struct {
	item
	n     int  // the invocation
	begin bool // of an invocation
}

// drawn is a set of invocations and their events.
type drawn struct {
	ids    []string       // a letter each; two attempts of a request have the same
	bodies [][]drawnEvent // INVOKEs come before the events of their body
}

// environment draws an environment: invocations one after another, of which some
// events are lost, lines at any time, and the body of each event. Platform events
// stay in their order from body to body, since one writer writes them; inside a body
// there is no order, and lines may come some bodies later.
func environment() *rapid.Generator[drawn] {
	return rapid.Custom(func(t *rapid.T) (d drawn) {
		var all []drawnEvent
		now, invoked := 0, 0
		marks := []int{0}
		var tried []string
		for n := range rapid.IntRange(0, 12).Draw(t, "invocations") {
			id := string(rune('A' + n))
			now += rapid.IntRange(1, 40).Draw(t, "gap")
			if len(tried) > 0 && rapid.IntRange(0, 9).Draw(t, "is another try") == 0 {
				now += 60_000
				id = rapid.SampledFrom(tried).Draw(t, "id")
			}
			lost := func(what string) bool { return rapid.IntRange(0, 7).Draw(t, what+" is lost") == 0 }
			again := slices.Contains(tried, id)
			d.ids = append(d.ids, id)
			marks = append(marks, now)
			// A start is lost only for the first attempt of a request, and such a
			// request is not tried again: its end could belong to another attempt.
			if again || !lost("start") {
				all = append(all, drawnEvent{start(now, id), n, true})
				tried = append(tried, id)
			}
			if rapid.Bool().Draw(t, "INVOKE is received") {
				invoked = max(invoked+1, now+rapid.IntRange(-10, 30).Draw(t, "how much later"))
				all = append(all, drawnEvent{invoke(invoked, id), n, false})
				marks = append(marks, invoked)
			}
			now += rapid.IntRange(0, 30).Draw(t, "duration")
			marks = append(marks, now)
			if !lost("runtimeDone") {
				all = append(all, drawnEvent{done(now, id), n, false})
			}
			if !lost("report") {
				all = append(all, drawnEvent{report(now+rapid.IntRange(0, 3).Draw(t, "reported later"), id), n, false})
			}
			if !again && rapid.IntRange(0, 9).Draw(t, "another process") == 0 {
				now += 2
				all = append(all, drawnEvent{initStart(now, "init"), -1, false})
				marks = append(marks, now)
			}
		}
		for range rapid.IntRange(0, 40).Draw(t, "lines") {
			ms := rapid.SampledFrom(marks).Draw(t, "near") + rapid.IntRange(-30, 30).Draw(t, "from there")
			all = append(all, drawnEvent{text(ms, ""), -1, false})
		}
		slices.SortStableFunc(all, func(a, b drawnEvent) int { return a.at - b.at })

		d.bodies = make([][]drawnEvent, 60)
		body, last := 0, 0
		for _, one := range all {
			if body < 40 && rapid.IntRange(0, 3).Draw(t, "next body") == 0 {
				body++
			}
			in := body
			switch one.kind {
			case event.TypeFunction:
				in += rapid.SampledFrom([]int{0, 0, 0, 1, 2, 5, 15}).Draw(t, "bodies later")
			case "INVOKE":
			default:
				in = max(last, in+rapid.SampledFrom([]int{0, 0, 0, 1, 3}).Draw(t, "bodies later"))
				last = in
			}
			d.bodies[in] = append(d.bodies[in], one)
		}
		for i, body := range d.bodies {
			body = rapid.Permutation(body).Draw(t, "order")
			slices.SortStableFunc(body, func(a, b drawnEvent) int { // INVOKEs are received in order, before the rest
				if a.kind == "INVOKE" && b.kind == "INVOKE" {
					return a.at - b.at
				}
				return btoi(b.kind == "INVOKE") - btoi(a.kind == "INVOKE")
			})
			d.bodies[i] = body
		}
		return d
	})
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// model is a literal implementation of the rules for an environment so far.
type model struct {
	ids      []string
	starts   map[int]int  // platform.start of the invocations
	invoked  map[int]int  // INVOKEs, before their starts
	done     map[int]int  // runtimeDone
	over     map[int]int  // the report
	restarts map[int]int  // a new process that began after the invocation
	passed   map[int]bool // the starts that Annotate has seen
	current  map[int]bool // the starts of this body
}

func (m *model) learn(one drawnEvent) {
	switch one.kind {
	case event.TypePlatformStart:
		m.starts[one.n], m.current[one.n] = one.at, true
		delete(m.restarts, one.n) // it began before the invocation
	case event.TypePlatformRuntimeDone:
		m.done[one.n] = one.at
	case event.TypePlatformReport:
		m.over[one.n] = one.at
	case event.TypePlatformInitStart:
		for n, from := range m.starts {
			if from < one.at {
				m.replace(n, one.at)
			}
		}
		for n, from := range m.invoked {
			if from < one.at {
				m.replace(n, one.at)
			}
		}
	}
}

func (m *model) replace(n, at int) {
	if restart, ok := m.restarts[n]; !ok || at < restart {
		m.restarts[n] = at
	}
}

// lasts returns the last millisecond of an invocation, as far as its own events
// say.
func (m *model) lasts(n int) int {
	if done, ok := m.done[n]; ok {
		return done + 5
	}
	last := math.MaxInt
	if over, ok := m.over[n]; ok {
		last = over
	}
	if restart, ok := m.restarts[n]; ok {
		last = min(last, restart)
	}
	return last
}

// reaches reports whether an invocation was still open at a time, if no start
// came in between.
func (m *model) reaches(n, at int) bool {
	if _, ok := m.done[n]; !ok {
		for other, invoked := range m.invoked { // the next INVOKE shows that it has ended
			if _, ok := m.starts[other]; !ok && invoked > m.starts[n] && invoked <= at {
				return false
			}
		}
	}
	return at <= m.lasts(n)
}

// latest returns the invocation that began last of those that a test is true of.
func latest(from map[int]int, test func(n, at int) bool) int {
	best := -1
	for n, at := range from {
		if test(n, at) && (best < 0 || at > from[best]) {
			best = n
		}
	}
	return best
}

func (m *model) owner(at int) string {
	is := latest(m.starts, func(_, from int) bool { return from <= at })
	if is >= 0 && m.starts[is] == at && m.current[is] && !m.passed[is] {
		before := latest(m.starts, func(_, from int) bool { return from < at })
		if before >= 0 && m.reaches(before, at) {
			return m.ids[before]
		}
		return m.ids[is]
	}
	if is >= 0 && m.reaches(is, at) {
		return m.ids[is]
	}
	invoked := latest(m.invoked, func(n, from int) bool { _, begun := m.starts[n]; return !begun && from-25 <= at })
	if invoked >= 0 && (is < 0 || m.invoked[invoked] > m.starts[is]) && at <= m.lasts(invoked) {
		return m.ids[invoked]
	}
	return ""
}

func TestLinesBelongToTheInvocationThatTheModelExpects(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := environment().Draw(t, "environment")
		m := model{d.ids, map[int]int{}, map[int]int{}, map[int]int{}, map[int]int{}, map[int]int{}, map[int]bool{}, nil}
		a := annotate.New("")
		traced := map[string]bool{"": true} // the requests with a known trace
		for n, body := range d.bodies {
			m.current = map[int]bool{}
			for _, one := range body {
				traced[one.id] = traced[one.id] || one.begin || one.kind == "INVOKE"
				if one.kind == "INVOKE" {
					a.Invoked(uuid(one.id), header(one.id), at(one.at))
					if _, begun := m.starts[one.n]; !begun {
						m.invoked[one.n] = one.at
					}
				}
			}
			for _, one := range body {
				if one.kind != "INVOKE" && one.kind != event.TypeFunction {
					a.Learn(one.event())
				}
			}
			// The model looks at them in their true order.
			sorted := slices.Clone(body)
			slices.SortStableFunc(sorted, func(a, b drawnEvent) int { return 2*(a.at-b.at) + btoi(b.begin) - btoi(a.begin) })
			for _, one := range sorted {
				m.learn(one)
			}
			for _, one := range body {
				if one.kind == "INVOKE" {
					continue
				}
				ev := one.event()
				a.Annotate(ev)
				want := one.id
				if one.kind == event.TypeFunction {
					want = m.owner(one.at)
				}
				if one.begin {
					m.passed[one.n] = true
				}
				wantTrace := trace(want)
				if !traced[want] {
					wantTrace = ""
				}
				if ev.RequestID != uuid(want) || ev.TraceID != wantTrace {
					t.Fatalf("body %d: %s at %d ms is %q's, with trace %q; want those of %q\n%s", n, one.kind, one.at, ev.RequestID, ev.TraceID, want, d)
				}
			}
		}
	})
}

func (d drawn) String() string {
	var b strings.Builder
	for n, body := range d.bodies {
		for _, one := range body {
			fmt.Fprintf(&b, "body %d: %s %d %s\n", n, one.kind, one.at, one.id)
		}
	}
	return b.String()
}
