package view

import (
	"bytes"
	"unicode/utf8"

	"github.com/kinetel/kinetel/internal/jsontext"
)

// maxText is how many bytes of a body a page has; a client asks for the rest.
const maxText = 4 << 10

// Line is an event, as a list of events has it.
type Line struct {
	Number   uint64  `json:"number"`
	Seq      uint64  `json:"seq,omitempty"`
	TimeMs   float64 `json:"timeMs,omitempty"`
	Type     string  `json:"type"`
	Severity string  `json:"severity,omitempty"`
	Part     int     `json:"part,omitempty"`
	Parts    int     `json:"parts,omitempty"`
	Text     string  `json:"text"`           // of a body that is a string, or the JSON of another
	JSON     bool    `json:"json,omitempty"` // Text is JSON
	Bytes    int     `json:"bytes"`          // of all of the text
	Cut      bool    `json:"cut,omitempty"`  // Text is the beginning only
}

// Page is a part of the events of an invocation or of an environment.
type Page struct {
	Invocation  *Invocation `json:"invocation,omitempty"`
	Environment Environment `json:"environment"`
	Lines       []Line      `json:"lines"`
	More        bool        `json:"more"` // there are more events after these
}

// Page returns up to so many events of an invocation or an environment, after the event with
// a number. ok is false if there is no such invocation or environment.
func (v *View) Page(number, after uint64, most int) (p Page, ok bool) {
	events, p, ok := v.page(number, after, most)
	p.Lines = make([]Line, 0, len(events))
	for _, e := range events {
		p.Lines = append(p.Lines, e.line(maxText))
	}
	return p, ok
}

// page returns the events of a Page. They do not change, so they need no lock.
func (v *View) page(number, after uint64, most int) (events []*event, p Page, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	g := v.store.byNumber[number]
	if g == nil {
		return nil, p, false
	}
	p.Environment = g.environment.Environment
	if g.invocation != nil {
		inv := g.invocation.Invocation
		p.Invocation = &inv
	}
	all := g.events.after(after)
	p.More = len(all) > most
	return append(events, all[:min(len(all), most)]...), p, true
}

// eventWith returns the event with a number, or nil.
func (v *View) eventWith(number uint64) *event {
	v.mu.Lock()
	defer v.mu.Unlock()
	if found := v.store.events.after(number - 1); number > 0 && len(found) > 0 && found[0].number == number {
		return found[0]
	}
	return nil
}

// bodyText returns the text of a body that is a string, or the JSON of another one.
func bodyText(dst, body []byte) (text []byte, isJSON bool) {
	if text, ok := jsontext.AppendUnquote(dst, body); ok {
		return text, false
	}
	return body, true
}

// line returns the event with up to so many bytes of its text.
func (e *event) line(most int) Line {
	text, isJSON := bodyText(nil, e.Body)
	l := Line{
		Number: e.number, Seq: e.Seq, TimeMs: millis(e.Time), Type: e.Type, Severity: e.Severity,
		Part: e.Part, Parts: e.Parts, JSON: isJSON, Bytes: len(text), Cut: len(text) > most,
	}
	if l.Cut {
		for most > 0 && !utf8.RuneStart(text[most]) {
			most--
		}
		text = text[:most]
	}
	l.Text = string(bytes.ToValidUTF8(text, []byte(jsontext.Replacement)))
	return l
}
