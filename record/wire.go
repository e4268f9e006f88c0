package record

import (
	"bytes"
	"encoding/json"
	"fmt"

	"kinetel/internal/format"
	"kinetel/internal/jsontext"
)

// wire is an Event as encoded in a line.
type wire struct {
	Schema     string          `json:"schema"`
	Seq        uint64          `json:"seq"`
	Time       string          `json:"time"`
	Type       string          `json:"type"`
	Severity   string          `json:"severity,omitempty"`
	RequestID  string          `json:"requestId,omitempty"`
	TraceID    string          `json:"traceId,omitempty"`
	Part       int             `json:"part,omitempty"`
	Parts      int             `json:"parts,omitempty"`
	Body       json.RawMessage `json:"body"`
	BodyBase64 []byte          `json:"bodyBase64,omitempty"`
	Extra      json.RawMessage `json:"extra,omitempty"`
	Resource   json.RawMessage `json:"resource"`
}

// MarshalJSON encodes an event as a line, in valid UTF-8. If the body is not valid, the
// line has bodyBase64.
func (e Event) MarshalJSON() ([]byte, error) {
	w := wire{
		Schema: e.Schema, Seq: e.Seq, Time: e.Time, Type: e.Type, Severity: e.Severity, RequestID: e.RequestID, TraceID: e.TraceID,
		Part: e.Part, Parts: e.Parts, Body: e.Body,
	}
	original := []byte(e.Body)
	if piece, ok := appendUnquoted(nil, e.Body); ok && e.Parts > 0 {
		original = piece
	}
	if !format.Valid(original) {
		w.BodyBase64 = original
		w.Body = format.AppendValid(nil, original)
		if e.Parts > 0 {
			w.Body = jsontext.AppendQuote(nil, w.Body)
		}
	}
	var err error
	if len(e.Extra) > 0 {
		if w.Extra, err = marshal(e.Extra); err != nil {
			return nil, err
		}
	}
	if w.Resource, err = marshal(e.Resource); err != nil {
		return nil, err
	}
	text, err := marshal(w)
	return format.AppendValid(nil, text), err
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

// UnmarshalJSON decodes the output of MarshalJSON, and lines.
func (e *Event) UnmarshalJSON(text []byte) error {
	var w wire
	if err := json.Unmarshal(text, &w); err != nil {
		return err
	}
	read, err := w.event(&decoding{Decoder: Decoder{MaxEvents: len(text)}})
	if err == nil {
		*e = read
	}
	return err
}

// event returns the event of a line, with its original body.
func (w *wire) event(d *decoding) (Event, error) {
	e := Event{
		Schema: w.Schema, Seq: w.Seq, Time: w.Time, Type: w.Type, Severity: w.Severity, RequestID: w.RequestID, TraceID: w.TraceID,
		Part: w.Part, Parts: w.Parts, Body: w.Body,
	}
	if w.BodyBase64 != nil {
		if err := e.setOriginal(w.BodyBase64); err != nil {
			return e, fmt.Errorf("bodyBase64: %w", err)
		}
	}
	if len(w.Extra) > 0 {
		if err := d.count(w.Extra); err != nil {
			return e, err
		}
		if err := json.Unmarshal(w.Extra, &e.Extra); err != nil {
			return e, err
		}
	}
	if len(w.Resource) > 0 {
		if d.resourceText == nil || !bytes.Equal(w.Resource, d.resourceText) {
			if err := d.count(w.Resource); err != nil {
				return e, err
			}
			d.resource = nil // do not change the map of other events
			if err := json.Unmarshal(w.Resource, &d.resource); err != nil {
				return e, err
			}
			d.resourceText = w.Resource
		}
		e.Resource = d.resource
	}
	return e, nil
}

// setOriginal sets the body to the original JSON text, or in a part to a piece of it.
func (e *Event) setOriginal(text []byte) error {
	if e.Parts > 0 {
		e.Body = jsontext.AppendQuote(nil, text)
		return nil
	}
	if end, err := jsontext.SkipValue(text, 0); err != nil || end != len(text) {
		return errShape
	}
	e.Body = text
	return nil
}
