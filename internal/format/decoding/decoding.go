// Package decoding has the decoded event, the limits and the JSON functions that the
// decoders of all formats share. Only package record uses them; the extension does not
// decode.
package decoding

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// The reasons why a payload is not one that Kinetel wrote.
var (
	ErrShape  = errors.New("not of the shape that Kinetel writes")
	ErrAbsent = errors.New("without what Kinetel always writes")
)

// ErrLimit means that the data exceeds the limits of an Output.
var ErrLimit = errors.New("more than the limits of the decoder allow")

// Event has the fields of record.Event, which explains them. It is a type of its own
// because record imports the decoders. The compiler checks that both are the same.
type Event struct {
	Schema    string                     `json:"schema"`
	Seq       uint64                     `json:"seq"`
	Time      time.Time                  `json:"-"` // see SetTime
	TimeText  string                     `json:"time"`
	Type      string                     `json:"type"`
	Severity  string                     `json:"severity,omitempty"`
	RequestID string                     `json:"requestId,omitempty"`
	TraceID   string                     `json:"traceId,omitempty"`
	Part      int                        `json:"part,omitempty"`
	Parts     int                        `json:"parts,omitempty"`
	Body      json.RawMessage            `json:"body"`
	Extra     map[string]json.RawMessage `json:"extra,omitempty"`
	Resource  map[string]string          `json:"resource"`
}

// SetTime sets Time to the time that TimeText has.
func (e *Event) SetTime() {
	e.Time = (&event.Event{Time: []byte(e.TimeText)}).At().UTC()
}

// SetOriginal sets the body to the original JSON text, or in a part to a piece of it.
func (e *Event) SetOriginal(text []byte) error {
	if e.Parts > 0 {
		e.Body = jsontext.AppendQuote(nil, text)
		return nil
	}
	if !IsValue(text) {
		return ErrShape
	}
	e.Body = text
	return nil
}

// Output takes the events of a record, within limits.
type Output struct {
	MaxEvents  int
	MaxMembers int               // of all extras and resources
	Add        func(Event) error // adds an event to the result

	Events  int // that were added
	members int
}

// Emit adds an event.
func (o *Output) Emit(e Event) error {
	if o.Events == o.MaxEvents {
		return fmt.Errorf("%w: more than %d events", ErrLimit, o.MaxEvents)
	}
	o.Events++
	e.SetTime()
	return o.Add(e)
}

// Reset begins to count anew.
func (o *Output) Reset() { o.Events, o.members = 0, 0 }

// CountMembers counts the members of an object, if the text is one, before they are
// decoded and take memory. The text is well-formed JSON.
func (o *Output) CountMembers(object []byte) error {
	m := jsontext.Members(object)
	for m.Next() {
		if err := o.CountMember(); err != nil {
			return err
		}
	}
	if m.Err != nil && len(object) > 0 && object[0] == '{' {
		return ErrShape // nested deeper than jsontext reads: encoding/json would read what is not counted
	}
	return nil
}

// CountMember counts a member of an extra or a resource.
func (o *Output) CountMember() error {
	if o.members >= o.MaxMembers {
		return fmt.Errorf("%w: more than %d members of extras and resources", ErrLimit, o.MaxMembers)
	}
	o.members++
	return nil
}

// IsValue reports whether text is one JSON value, without white space around it. It
// need not be UTF-8.
func IsValue(text []byte) bool {
	end, err := jsontext.SkipValue(text, 0)
	return err == nil && end == len(text)
}

// String reads a JSON string that is UTF-8.
func String(value []byte) (string, error) {
	text, ok := jsontext.AppendUnquote(nil, value)
	if !ok || !utf8.Valid(text) {
		return "", ErrShape
	}
	return string(text), nil
}

// Base64 reads a JSON string that is base64.
func Base64(value []byte) ([]byte, error) {
	text, ok := jsontext.AppendUnquote(nil, value)
	if !ok {
		return nil, ErrShape
	}
	b, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return nil, ErrShape
	}
	return b, nil
}

// Fields returns the values of an object's members with the names; nil: the object has no
// such member. If a name occurs twice, the last one counts.
func Fields(object []byte, names ...string) ([][]byte, error) {
	values := make([][]byte, len(names))
	m := jsontext.Members(object)
	for m.Next() {
		for i, name := range names {
			if name == string(m.Name) {
				values[i] = m.Value
			}
		}
	}
	if m.Err != nil {
		return nil, ErrShape
	}
	return values, nil
}

// Members calls each with every member of an object; name is the text between its
// quotes.
func Members(text []byte, each func(name, value []byte) error) error {
	m := jsontext.Members(text)
	return all(&m, func() error { return each(m.Name, m.Value) })
}

// Elements calls each with every element of an array.
func Elements(text []byte, each func(element []byte) error) error {
	e := jsontext.Elements(text)
	return all(&e, func() error { return each(e.Value) })
}

func all(it *jsontext.Iterator, each func() error) error {
	for it.Next() {
		if err := each(); err != nil {
			return err
		}
	}
	if it.Err != nil {
		return ErrShape
	}
	return nil
}
