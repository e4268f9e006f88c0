package pipeline

import (
	"bytes"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/redact"
	"github.com/kinetel/kinetel/internal/resource"
	"github.com/kinetel/kinetel/internal/selection"
	"github.com/kinetel/kinetel/internal/spool"
)

// source is an environment whose telemetry comes from Lambda. Pipeline.ingesting guards
// it.
type source struct {
	p         *Pipeline
	packer    *pack.Packer
	resource  *resource.Resource
	selection *selection.Selector // nil: every event is shipped as it is
	described bool                // its kinetel.environment was emitted
	received  ledger.Count
	pending   bool  // the last received event is not yet added or left out
	ownLog    int64 // of the received events, lines of Kinetel's own log
}

// receive counts an event from Lambda.
func (s *source) receive(ev *event.Event) {
	s.pending = true
	s.received.Events++
	s.received.Bytes += int64(len(ev.Record))
}

// news returns how many events came that are worth a report.
func (s *source) news() int64 { return s.received.Events - s.ownLog }

// add adds an event, unless the configuration leaves it out.
func (s *source) add(ev *event.Event) {
	if s.selection == nil {
		s.Add(ev)
	} else {
		s.selection.Add(ev)
	}
	s.pending = false
}

// selection.Sink documents these.

func (s *source) Add(ev *event.Event) {
	first, last := s.packer.Add(ev)
	s.p.invocations.Counted(ev.RequestID, int64(len(ev.Record)), first, last)
}

func (s *source) AddOwn(kind string, body []byte, about *event.Event) {
	s.packer.AddOwn(ownEvent(kind, body, about))
}

func (s *source) AddLines(request string, records int64, lines []byte, details []format.Details, before func(first uint64)) {
	first, last := s.packer.AddLines(lines, details, before)
	s.p.invocations.Counted(request, records, first, last)
}

// selected returns what was selected of an invocation. ingesting is held.
func (p *Pipeline) selected(request string) (selected ledger.Selected) {
	if s := p.current.selection; s != nil { // no invocation runs in a snapshot
		selected = s.Selected(request)
	}
	return selected
}

// leftOut counts the events that were left out.
func (s *source) leftOut() (n ledger.LeftOut) {
	if s.selection != nil {
		n = s.selection.LeftOut()
	}
	n.OwnLog = s.ownLog
	return n
}

// commit stores what was added since its last call, if the configuration asks for that.
// fragment is text that is not an event yet.
func (s *source) commit(fragment []byte) {
	s.selection.Commit()
	switch {
	case s.p.cfg.Redaction.Unusable:
		fragment = nil
	case s.p.redactor != nil:
		fragment = bytes.Clone(s.p.redactor.Unparsed(fragment))
	}
	if s.packer.Commit(fragment) {
		s.selection.Committed()
	}
}

// redactAttributes returns the user's attributes, redacted.
func redactAttributes(r *redact.Redactor, attributes []config.Attribute) []config.Attribute {
	object := []byte{'{'}
	for i, a := range attributes {
		if i > 0 {
			object = append(object, ',')
		}
		object = append(jsontext.AppendQuote(object, a.Name), ':')
		object = jsontext.AppendQuote(object, a.Value)
	}
	redacted := make([]config.Attribute, 0, len(attributes))
	for m := jsontext.Members(r.Record(append(object, '}'))); m.Next(); { // an object, for the keys
		redacted = append(redacted, config.Attribute{
			Name: string(jsontext.AppendUnescape(nil, m.Name, -1)), Value: string(jsontext.AppendUnescape(nil, jsontext.Unquoted(m.Value), -1)),
		})
	}
	return redacted
}

// describe adds the kinetel.environment with what lines do not contain, once.
func (s *source) describe(at *event.Event) {
	if !s.described {
		s.described = true
		s.packer.AddOwn(&event.Event{Time: at.Time, Received: at.Received, Type: []byte(event.TypeEnvironment), Record: s.p.redactor.Platform(s.resource.JSON())})
	}
}

// The bounds of undecided lines are parts of the user's.

func (p *Pipeline) maxUndecided() int64 {
	if p.cfg.Selection.Waits() {
		return p.cfg.BufferBytes / 4
	}
	return 0
}

func (p *Pipeline) maxJournal() int64 {
	if p.cfg.Selection.Waits() {
		return min(p.cfg.SpoolBytes/8, spool.MaxLiveUndecided)
	}
	return 0
}
