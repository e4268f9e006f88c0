package view

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"strings"
	"time"

	"github.com/kinetel/kinetel/record"
)

// event is an event in memory. It does not change.
type event struct {
	record.Event
	number   uint64 // of the view's events, from 1
	group    *group
	resource *resource
}

// What things take beside their texts, about. TestMemoryIsBounded measures it.
const (
	eventBytes       = 512
	invocationBytes  = 1536
	environmentBytes = 2560
	entryBytes       = 128 // an entry of a map
	maxName          = 256 // bytes of an id, a type and the like; the rest is cut
)

func (e *event) size() int64 {
	n := eventBytes + len(e.Body) + len(e.Type) + len(e.TimeText) + len(e.TraceID) + len(e.Severity)
	for name, value := range e.Extra {
		n += entryBytes + len(name) + len(value)
	}
	return int64(n)
}

// name copies a name, so that the record from which it was read does not stay in memory.
func name(s string) string { return strings.Clone(s[:min(len(s), maxName)]) }

// resource is what events of an environment have in common. It may change.
type resource struct {
	values map[string]string
	size   int64
	uses   int // events that have it, and the environment if it is the latest
}

// group is what events belong to: an invocation, or an environment without one.
type group struct {
	environment *environment
	invocation  *invocation // nil: the environment's own events
	events      queue
	dropped     uint64
}

// invocation is an invocation with its events.
type invocation struct {
	Invocation
	hasOwn bool // its kinetel.invocation has arrived
	group  group
	node   node
}

// environment is an execution environment, and its events that belong to no invocation.
type environment struct {
	Environment
	id          string
	group       group
	node        node
	resource    *resource              // the latest
	invocations map[string]*invocation // by request id
	report      latestReport
}

// store has the latest events, up to a number of bytes.
type store struct {
	most, bytes  int64
	events       queue
	added        uint64 // events; the number of the last one
	dropped      uint64 // of these
	droppedWhole uint64 // invocations of which no event is left
	numbers      uint64 // of invocations and environments
	environments map[string]*environment
	byNumber     map[uint64]*group
	changes      changes
}

func newStore(most int64) store {
	return store{most: most, environments: map[string]*environment{}, byNumber: map[uint64]*group{}}
}

// add adds an event, and drops the oldest ones if there is no room.
func (s *store) add(of record.Event, arrival time.Time) {
	env := s.environment(&of)
	g := &env.group
	if of.RequestID != "" {
		g = &s.invocation(env, of.RequestID).group
	}
	s.added++
	e := &event{Event: of, number: s.added, group: g, resource: env.resource}
	e.resource.uses++
	e.keep()
	s.bytes += e.size()
	s.events.push(e)
	g.events.push(e)
	env.update(e)
	s.changes.touch(&env.node)
	if g.invocation != nil {
		g.invocation.update(e, arrival)
		s.changes.touch(&g.invocation.node)
	}
	for s.bytes > s.most && len(s.events.list()) > 1 {
		s.dropOldest()
	}
}

// keep copies what the event shares with the record from which it was read, so that the
// record does not stay in memory.
func (e *event) keep() {
	e.Resource = e.resource.values
	e.Schema, e.Type = "kinetel/1", name(e.Type)
	e.TimeText, e.TraceID, e.Severity = name(e.TimeText), name(e.TraceID), name(e.Severity)
	e.RequestID = ""
	if inv := e.group.invocation; inv != nil {
		e.RequestID = inv.RequestID
	}
	e.Body = bytes.Clone(e.Body)
	if e.Extra != nil {
		extra := make(map[string]json.RawMessage, len(e.Extra))
		for name, value := range e.Extra {
			extra[strings.Clone(name)] = bytes.Clone(value)
		}
		e.Extra = extra
	}
}

// environment returns the environment of an event.
func (s *store) environment(of *record.Event) *environment {
	id := name(of.InstanceID())
	env := s.environments[id]
	if env == nil {
		env = &environment{id: id, invocations: map[string]*invocation{}}
		env.group.environment = env
		env.node.environment = env
		s.environments[env.id] = env
		s.numbers++
		env.Number, env.ID = s.numbers, env.id
		s.byNumber[env.Number] = &env.group
		s.bytes += environmentBytes
	}
	if env.resource == nil || !maps.Equal(env.resource.values, of.Resource) {
		s.release(env.resource)
		env.resource = s.newResource(of.Resource)
		values := env.resource.values
		env.Function = name(cmp.Or(values["faas.name"], values["service.name"], env.Function))
		env.Version = name(cmp.Or(values["faas.version"], env.Version))
	}
	return env
}

func (s *store) newResource(of map[string]string) *resource {
	r := &resource{values: make(map[string]string, len(of)), uses: 1}
	for name, value := range of {
		r.values[strings.Clone(name)] = strings.Clone(value)
		r.size += int64(entryBytes + len(name) + len(value))
	}
	s.bytes += r.size
	return r
}

// release notes that a resource has one use less.
func (s *store) release(r *resource) {
	if r == nil {
		return
	}
	if r.uses--; r.uses == 0 {
		s.bytes -= r.size
	}
}

// invocation returns an invocation of an environment.
func (s *store) invocation(env *environment, id string) *invocation {
	id = name(id)
	inv := env.invocations[id]
	if inv == nil {
		inv = &invocation{}
		inv.RequestID, inv.Environment = id, env.Number
		inv.group.environment, inv.group.invocation = env, inv
		inv.node.invocation = inv
		env.invocations[inv.RequestID] = inv
		s.numbers++
		inv.Number = s.numbers
		s.byNumber[inv.Number] = &inv.group
		s.bytes += invocationBytes
	}
	return inv
}

// dropOldest drops the oldest event, and its invocation and environment with their last one.
func (s *store) dropOldest() {
	e := s.events.list()[0]
	s.events.drop()
	s.bytes -= e.size()
	s.release(e.resource)
	s.dropped++
	g := e.group
	g.events.drop() // its oldest is the oldest of all
	g.dropped++
	env := g.environment
	switch inv := g.invocation; {
	case inv != nil && len(g.events.list()) == 0:
		delete(env.invocations, inv.RequestID)
		delete(s.byNumber, inv.Number)
		s.bytes -= invocationBytes
		s.changes.remove(&inv.node, inv.Number)
		s.droppedWhole++
	case inv != nil:
		inv.Dropped = g.dropped
		s.changes.touch(&inv.node)
	}
	if len(env.invocations) == 0 && len(env.group.events.list()) == 0 {
		delete(s.environments, env.id)
		delete(s.byNumber, env.Number)
		s.bytes -= environmentBytes
		s.release(env.resource)
		s.changes.remove(&env.node, env.Number)
	}
}
