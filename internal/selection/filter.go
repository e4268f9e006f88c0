package selection

import (
	"bytes"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/ledger"
)

// exclusion returns the first filter that excludes a line.
func (s *Selector) exclusion(ev *event.Event) (x ledger.Exclusion, out bool) {
	c := s.cfg
	switch {
	case s.opt.Withhold:
		return ledger.Redaction, true
	case string(ev.Type) != event.TypeFunction:
		return 0, false
	case ev.Severity != event.SeverityUnknown && ev.Severity < c.Level:
		return ledger.Level, true
	case c.Exclude == nil && c.Include == nil:
		return 0, false
	}
	text := s.message(ev.Record, 0)
	switch {
	case s.exclude.Match(text):
		return ledger.Exclude, true
	case c.Include != nil && !s.include.Match(text):
		return ledger.Include, true
	}
	return 0, false
}

// message returns the text that patterns are matched against: the message of an object,
// or of an object in a string; otherwise the text of a string, or any other value as it
// is. The result is valid until the next call.
func (s *Selector) message(value []byte, depth int) []byte {
	text := value
	switch {
	case len(value) == 0:
		return nil
	case value[0] == '"':
		text = jsontext.Unquoted(value)
		if bytes.IndexByte(text, '\\') >= 0 {
			text = jsontext.AppendUnescape(s.texts[depth][:0], text, -1)
			s.texts[depth] = text
		}
	}
	if start := jsontext.SkipSpace(text, 0); depth+1 < len(s.texts) && start < len(text) && text[start] == '{' {
		if message := messageMember(text[start:]); message != nil {
			return s.message(message, depth+1)
		}
	}
	return text
}

// messageMember returns the member of a logger's object that has the message; nil: there is
// none.
func messageMember(object []byte) (message []byte) {
	for m := jsontext.Members(object); m.Next(); {
		switch string(m.Name) {
		case "message", "msg", "@m", "@mt", "Message":
			return m.Value
		}
	}
	return nil
}
