package report

import (
	"encoding/json"
	"strings"

	"github.com/kinetel/kinetel/lambdasim"
)

// telemetry counts the events of an environment by type: those that were emitted, and
// those that each extension accepted.
type telemetry struct {
	generations []*generation
	types       []string       // the types seen
	index       map[string]int // of a type in types
	byNumber    []uint16       // the type of each event, in the order of their numbers
}

// generation is from one Init to the next: a reset leads to another one.
type generation struct {
	emitted    counts // events for all extensions
	extensions map[string]*subscriber
}

// subscriber is what one extension gets.
type subscriber struct {
	categories []string // platform, function, extension; empty: it has not subscribed
	only       counts   // events for it alone
	accepted   counts
}

// counts has a number for each index of a type.
type counts map[int]int

// event counts an event that was emitted.
func (t *telemetry) event(e lambdasim.Event) {
	if e.Type == "platform.initStart" || len(t.generations) == 0 {
		t.generations = append(t.generations, &generation{emitted: counts{}, extensions: map[string]*subscriber{}})
	}
	index, known := t.index[e.Type]
	if !known {
		if t.index == nil {
			t.index = map[string]int{}
		}
		index = len(t.types)
		t.index[e.Type] = index
		t.types = append(t.types, e.Type)
	}
	t.byNumber = append(t.byNumber, uint16(index)) // there are few types
	g := t.generations[len(t.generations)-1]
	if e.Only != "" {
		g.subscriber(e.Only).only[index]++
		return
	}
	g.emitted[index]++
	if e.Type == "platform.telemetrySubscription" {
		var s struct {
			Name  string
			State string
			Types []string
		}
		if json.Unmarshal(e.Record, &s) == nil && s.State == "Subscribed" {
			g.subscriber(s.Name).categories = s.Types
		}
	}
}

// delivered counts what an extension has accepted.
func (t *telemetry) delivered(d lambdasim.Delivery) {
	if d.Generation < 1 || d.Generation > len(t.generations) {
		return
	}
	accepted := t.generations[d.Generation-1].subscriber(d.Extension).accepted
	for _, number := range d.Events {
		if number >= 1 && number <= uint64(len(t.byNumber)) {
			accepted[int(t.byNumber[number-1])]++
		}
	}
}

func (g *generation) subscriber(name string) *subscriber {
	s := g.extensions[name]
	if s == nil {
		s = &subscriber{only: counts{}, accepted: counts{}}
		g.extensions[name] = s
	}
	return s
}

// summarize adds what each extension accepted and missed.
func (t *telemetry) summarize(extension func(name string) *Extension) {
	for _, g := range t.generations {
		for name, s := range g.extensions {
			e := extension(name)
			e.Subscribed = e.Subscribed || len(s.categories) > 0
			for index, kind := range t.types {
				expected := s.only[index]
				if subscribes(s.categories, kind) {
					expected += g.emitted[index]
				}
				e.AcceptedEvents += s.accepted[index]
				if missed := expected - s.accepted[index]; missed > 0 {
					e.Missed[kind] += missed
				}
			}
		}
	}
}

// subscribes reports whether the categories of a subscription have a type of event.
func subscribes(categories []string, kind string) bool {
	for _, category := range categories {
		if kind == category || strings.HasPrefix(kind, category+".") {
			return true
		}
	}
	return false
}
