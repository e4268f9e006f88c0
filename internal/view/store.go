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
	number uint64 // of the view's events, from 1
	group  *group
}

// eventBytes is about what an event takes beside its body.
const eventBytes = 512

func (e *event) size() int64 {
	n := eventBytes + len(e.Body)
	for name, value := range e.Extra {
		n += len(name) + len(value)
	}
	return int64(n)
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
	resource    map[string]string
	invocations map[string]*invocation // by request id
	report      record.Report          // the latest
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
	e := &event{Event: of, number: s.added, group: g}
	e.keep(env)
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
func (e *event) keep(env *environment) {
	e.Resource = env.resource
	e.Schema, e.Type = "kinetel/1", strings.Clone(e.Type)
	e.TimeText, e.TraceID, e.Severity = strings.Clone(e.TimeText), strings.Clone(e.TraceID), strings.Clone(e.Severity)
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
	env := s.environments[of.InstanceID()]
	if env == nil {
		env = &environment{id: strings.Clone(of.InstanceID()), invocations: map[string]*invocation{}}
		env.group.environment = env
		env.node.environment = env
		s.environments[env.id] = env
		s.numbers++
		env.Number, env.ID = s.numbers, env.id
		s.byNumber[env.Number] = &env.group
	}
	if env.resource == nil || !maps.Equal(env.resource, of.Resource) {
		env.resource = make(map[string]string, len(of.Resource))
		for name, value := range of.Resource {
			env.resource[strings.Clone(name)] = strings.Clone(value)
		}
		env.Function = cmp.Or(env.resource["faas.name"], env.resource["service.name"], env.Function)
		env.Version = cmp.Or(env.resource["faas.version"], env.Version)
	}
	return env
}

// invocation returns an invocation of an environment.
func (s *store) invocation(env *environment, id string) *invocation {
	inv := env.invocations[id]
	if inv == nil {
		inv = &invocation{}
		inv.RequestID, inv.Environment = strings.Clone(id), env.Number
		inv.group.environment, inv.group.invocation = env, inv
		inv.node.invocation = inv
		env.invocations[inv.RequestID] = inv
		s.numbers++
		inv.Number = s.numbers
		s.byNumber[inv.Number] = &inv.group
	}
	return inv
}

// dropOldest drops the oldest event, and its invocation and environment with their last one.
func (s *store) dropOldest() {
	e := s.events.list()[0]
	s.events.drop()
	s.bytes -= e.size()
	s.dropped++
	g := e.group
	g.events.drop() // its oldest is the oldest of all
	g.dropped++
	env := g.environment
	switch inv := g.invocation; {
	case inv != nil && len(g.events.list()) == 0:
		delete(env.invocations, inv.RequestID)
		delete(s.byNumber, inv.Number)
		s.changes.remove(&inv.node, inv.Number)
		s.droppedWhole++
	case inv != nil:
		inv.Dropped = g.dropped
		s.changes.touch(&inv.node)
	}
	if len(env.invocations) == 0 && len(env.group.events.list()) == 0 {
		delete(s.environments, env.id)
		delete(s.byNumber, env.Number)
		s.changes.remove(&env.node, env.Number)
	}
}
