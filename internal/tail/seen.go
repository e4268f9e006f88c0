package tail

import (
	"container/list"

	"github.com/kinetel/kinetel/internal/seqrange"
	"github.com/kinetel/kinetel/record"
)

// What is remembered of environments. Those that were silent for longest are forgotten
// first: their duplicates would be printed.
const (
	maxInstances = 20_000
	maxRanges    = 200_000 // of all
	maxID        = 256     // bytes of an id
)

// seen remembers the keys of events. The zero value is empty.
type seen struct {
	byID   map[string]*list.Element // of *instance
	order  list.List                // the most recent first
	last   *instance                // of the previous event
	ranges int                      // of all instances
}

// instance is an execution environment.
type instance struct {
	id   string
	seqs seqrange.Set
	arch string // host.arch; empty: not known
}

// hasKey reports whether the environment and the number say which event it is.
func hasKey(e *record.Event) bool {
	id := e.InstanceID()
	return e.Seq > 0 && id != "" && len(id) <= maxID
}

// of returns the environment of an event; without a key, one that is not remembered.
func (s *seen) of(e *record.Event) *instance {
	if !hasKey(e) {
		return &instance{}
	}
	id := e.InstanceID()
	if s.last != nil && s.last.id == id {
		return s.last
	}
	element := s.byID[id]
	if element == nil {
		if s.byID == nil {
			s.byID = map[string]*list.Element{}
		}
		element = s.order.PushFront(&instance{id: id})
		s.byID[id] = element
	}
	s.order.MoveToFront(element)
	s.last = element.Value.(*instance)
	s.forget()
	return s.last
}

// forget forgets the oldest environments if there are too many.
func (s *seen) forget() {
	for len(s.byID) > 1 && (len(s.byID) > maxInstances || s.ranges > maxRanges) {
		oldest := s.order.Remove(s.order.Back()).(*instance)
		delete(s.byID, oldest.id)
		s.ranges -= len(oldest.seqs)
	}
}

// add reports whether the event is new.
func (s *seen) add(e *record.Event) bool {
	if !hasKey(e) {
		return true
	}
	in, r := s.of(e), seqrange.Range{First: e.Seq, Last: e.Seq}
	if in.seqs.Contains(r) {
		return false
	}
	s.ranges -= len(in.seqs)
	in.seqs = in.seqs.Insert(r)
	s.ranges += len(in.seqs)
	s.forget()
	return true
}

// learn remembers the architecture of an environment.
func (s *seen) learn(e *record.Event) {
	if e.Type != record.TypeEnvironment {
		return
	}
	if env, err := e.Environment(); err == nil {
		s.of(e).arch = env.Attributes.HostArch
	}
}

// Seen remembers which events came, as Tail does. The zero value is empty.
type Seen struct{ seen seen }

// Add reports whether the event is new.
func (s *Seen) Add(e *record.Event) bool { return s.seen.add(e) }
