// Package decode reads lines of kinetel/1, and writes events as such lines.
package decode

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/decoding"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// line is an event as a line has it. Its extra and resource stand for those of the
// Event.
type line struct {
	decoding.Event
	BodyBase64 []byte          `json:"bodyBase64,omitempty"`
	Extra      json.RawMessage `json:"extra,omitempty"`
	Resource   json.RawMessage `json:"resource"`
}

// Decoder reads one line after the other.
type Decoder struct {
	Output *decoding.Output

	line line // the latest

	// The last resource, as text and decoded.
	resourceText []byte
	resource     map[string]string
}

// Line reads a line.
func (d *Decoder) Line(text []byte) error {
	if err := d.unmarshal(text); err != nil {
		return err
	}
	if d.line.Schema != format.Schema {
		return fmt.Errorf("schema %q is not %s", d.line.Schema, format.Schema)
	}
	e, err := d.event()
	if err != nil {
		return err
	}
	return d.Output.Emit(e)
}

func (d *Decoder) unmarshal(text []byte) error {
	if d.fast(&d.line, text) {
		return nil
	}
	d.line = line{}
	return json.Unmarshal(text, &d.line)
}

// event returns the event of a line, with its original body.
func (d *Decoder) event() (decoding.Event, error) {
	l, e := &d.line, d.line.Event
	if l.BodyBase64 != nil {
		if err := e.SetOriginal(l.BodyBase64); err != nil {
			return e, fmt.Errorf("bodyBase64: %w", err)
		}
	}
	if err := d.object(l.Extra, &e.Extra); err != nil {
		return e, err
	}
	if len(l.Resource) > 0 && (d.resourceText == nil || !bytes.Equal(l.Resource, d.resourceText)) {
		d.resource = nil // do not change the map of other events
		if err := d.object(l.Resource, &d.resource); err != nil {
			return e, err
		}
		d.resourceText = l.Resource
	}
	if len(l.Resource) > 0 {
		e.Resource = d.resource
	}
	return e, nil
}

// object decodes an object within the limits.
func (d *Decoder) object(text json.RawMessage, to any) error {
	if len(text) == 0 {
		return nil
	}
	if err := d.Output.CountMembers(text); err != nil {
		return err
	}
	return json.Unmarshal(text, to)
}

// Unmarshal returns the event of one line that need not have a schema.
func Unmarshal(text []byte) (decoding.Event, error) {
	d := Decoder{Output: &decoding.Output{MaxMembers: len(text)}}
	if err := d.unmarshal(text); err != nil {
		return decoding.Event{}, err
	}
	e, err := d.event()
	e.SetTime()
	return e, err
}

// Marshal returns an event as a line without its line feed, in valid UTF-8. If the body
// is not valid, the line has bodyBase64.
func Marshal(e decoding.Event) ([]byte, error) {
	if text, ok := fastMarshal(&e); ok {
		return text, nil
	}
	return slowMarshal(e)
}

func slowMarshal(e decoding.Event) ([]byte, error) {
	l := line{Event: e}
	if e.TimeText == "" && !e.Time.IsZero() {
		text, err := e.Time.UTC().MarshalText()
		if err != nil {
			return nil, err
		}
		l.TimeText = string(text)
	}
	original := []byte(e.Body)
	if piece, ok := jsontext.AppendUnquote(nil, e.Body); ok && e.Parts > 0 {
		original = piece
	}
	if !jsontext.ValidUnicode(original) {
		l.BodyBase64 = original
		l.Body = jsontext.AppendValidUnicode(nil, original)
		if e.Parts > 0 {
			l.Body = jsontext.AppendQuote(nil, l.Body)
		}
	}
	var err error
	if len(e.Extra) > 0 {
		if l.Extra, err = marshal(e.Extra); err != nil {
			return nil, err
		}
	}
	if l.Resource, err = marshal(e.Resource); err != nil {
		return nil, err
	}
	text, err := marshal(l)
	return jsontext.AppendValidUnicode(nil, text), err
}

// marshal returns the JSON of v. It does not escape < and the like: the caller's
// encoder decides whether to escape them.
func marshal(v any) ([]byte, error) {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(text.Bytes(), []byte{'\n'}), err
}
