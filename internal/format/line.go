// Package format encodes events: as lines of kinetel/1, and the lines in the other
// formats of Kinetel.
package format

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"kinetel/internal/event"
	"kinetel/internal/jsontext"
)

// Schema is the name and version of the format of lines.
const Schema = "kinetel/1"

// Part says which part of an event a line holds. The zero value means the whole event.
type Part struct {
	Part, Parts int // from 1
	Body        []byte
}

// start comes before a line's sequence number.
const start = `{"schema":"` + Schema + `","seq":`

// AppendLine appends an event, or a part of one, as one line of kinetel/1. The body
// of a part is a string with a piece of the JSON text of the event's record. The line
// is always Valid. If the body is not, bodyBase64 has the original.
func AppendLine(dst []byte, seq uint64, ev *event.Event, part Part, resource []byte) []byte {
	dst = append(dst, start...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, `,"time":"`...)
	if len(ev.Time) > 0 {
		dst = append(dst, ev.Time...)
	} else {
		dst = ev.Received.UTC().AppendFormat(dst, event.TimeFormat)
	}
	dst = append(dst, `","type":"`...)
	dst = AppendValid(dst, ev.Type)
	dst = append(dst, '"')
	if severity := ev.Severity.String(); severity != "" {
		dst = append(dst, `,"severity":"`...)
		dst = append(dst, severity...)
		dst = append(dst, '"')
	}
	if ev.RequestID != "" {
		dst = append(dst, `,"requestId":`...)
		dst = appendID(dst, ev.RequestID)
	}
	if ev.TraceID != "" {
		dst = append(dst, `,"traceId":`...)
		dst = appendID(dst, ev.TraceID)
	}
	if part.Parts > 0 {
		dst = append(dst, `,"part":`...)
		dst = strconv.AppendInt(dst, int64(part.Part), 10)
		dst = append(dst, `,"parts":`...)
		dst = strconv.AppendInt(dst, int64(part.Parts), 10)
	}
	dst = appendBodyMembers(dst, ev.Record, part)
	if len(ev.Extra) > 0 && part.Part <= 1 {
		extra := ev.Extra
		if !Valid(extra) {
			extra = AppendValid(nil, extra)
		}
		dst = append(dst, `,"extra":{`...)
		dst = AppendOneLine(dst, extra)
		dst = append(dst, '}')
	}
	dst = append(dst, `,"resource":`...)
	dst = append(dst, resource...)
	return append(dst, '}', '\n')
}

// appendID appends an id as a JSON string.
func appendID(dst []byte, id string) []byte {
	if !utf8.ValidString(id) {
		id = strings.ToValidUTF8(id, replacement)
	}
	return jsontext.AppendQuote(dst, id)
}

// AppendOneLine appends JSON text without the line feeds between its tokens. Strings
// cannot contain line feeds. It changes nothing else. It appends null for empty text.
func AppendOneLine(dst, json []byte) []byte {
	if len(json) == 0 {
		return append(dst, "null"...)
	}
	for {
		i := bytes.IndexByte(json, '\n')
		if i < 0 {
			return append(dst, json...)
		}
		dst = append(dst, json[:i]...)
		json = json[i+1:]
	}
}

// Line is a parsed line of kinetel/1. Its byte slices point into the line.
type Line struct {
	Text []byte // all of it, with its line feed
	Seq  uint64
	Time []byte // RFC 3339, between the quotes
	Type []byte // between the quotes, with its escapes
	// Severity is the name of an event.Severity; empty: none.
	Severity []byte
	// RequestID and TraceID are the text between the quotes, with any escapes; ids
	// of Lambda have none. Empty: none.
	RequestID, TraceID []byte
	Part, Parts        int    // 0: the line holds the whole event
	Body               []byte // JSON
	BodyBase64         []byte // of the original body; empty: Body is the original
	Extra              []byte // JSON, an object; empty: none
	Resource           []byte // JSON, an object
}

// ReadLine parses a line. It reports whether the line looks like one that AppendLine
// wrote.
func ReadLine(text []byte) (l Line, ok bool) {
	l.Text = text
	rest, ok := bytes.CutPrefix(text, []byte(start))
	if !ok {
		return l, false
	}
	digits := 0
	for digits < len(rest) && rest[digits] >= '0' && rest[digits] <= '9' {
		l.Seq = 10*l.Seq + uint64(rest[digits]-'0')
		digits++
	}
	if digits == 0 {
		return l, false
	}
	for i := digits; i < len(rest); {
		if rest[i] == '}' {
			return l, len(l.Time) > 0 && len(l.Type) > 0 && len(l.Body) > 0 && len(l.Resource) > 0
		}
		if rest[i] != ',' {
			return l, false
		}
		value, err := jsontext.SkipName(rest, i+1)
		if err != nil || rest[value-2] != '"' {
			return l, false // AppendLine writes no white space
		}
		name := rest[i+2 : value-2]
		if i, err = jsontext.SkipValue(rest, value); err != nil {
			return l, false
		}
		raw := rest[value:i]
		switch string(name) {
		case "time":
			l.Time = unquoted(raw)
		case "type":
			l.Type = unquoted(raw)
		case "severity":
			l.Severity = unquoted(raw)
		case "requestId":
			l.RequestID = unquoted(raw)
		case "traceId":
			l.TraceID = unquoted(raw)
		case "part":
			l.Part, err = strconv.Atoi(string(raw))
		case "parts":
			l.Parts, err = strconv.Atoi(string(raw))
		case "body":
			l.Body = raw
		case "bodyBase64":
			l.BodyBase64 = unquoted(raw)
		case "extra":
			l.Extra = raw
		case "resource":
			l.Resource = raw
		}
		if err != nil {
			return l, false
		}
	}
	return l, false
}

// TypeOf returns the type of a line that AppendLine wrote. It searches for the name
// of the member, which nothing before it can contain.
func TypeOf(line []byte) []byte {
	_, after, _ := bytes.Cut(line, []byte(`","type":"`))
	kind, _, _ := bytes.Cut(after, []byte{'"'})
	return kind
}

// unquoted returns the text between the quotes of a JSON string, or nil for any
// other value.
func unquoted(raw []byte) []byte {
	if len(raw) < 2 || raw[0] != '"' {
		return nil
	}
	return raw[1 : len(raw)-1]
}
