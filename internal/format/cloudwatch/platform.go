package cloudwatch

import (
	"bytes"
	"strconv"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// Pattern is the line that CloudWatch Logs has for a platform event in Lambda's text
// format:
//
//	START RequestId: <id> Version: <version>
//	END RequestId: <id>
//	REPORT RequestId: <id>⇥Duration: 1.85 ms⇥Billed Duration: 2 ms⇥…
//	INIT_START Runtime Version: <version>⇥Runtime Version ARN: <ARN>
//	INIT_REPORT Init Duration: 1882.55 ms⇥Phase: init⇥Status: error⇥Error Type: <type>
//	RESTORE_START …, RESTORE_REPORT …
//	EXTENSION⇥Name: <name>⇥State: Ready⇥Events: [INVOKE, SHUTDOWN]
//	TELEMETRY⇥Name: <name>⇥State: Subscribed⇥Types: [Platform, Function]
//
// (AWS documentation, the log pages of the runtimes, and Lambda's execution
// environment; EXTENSION and TELEMETRY as seen in published logs).
type Pattern struct {
	Message Message
	Type    string // of the event
	Start   string
	Fields  []Field
}

// Field is a field of a line: a member of the event's record.
type Field struct {
	Label    string // in the line
	Member   string // of the record, or of the record's object metrics, for numbers
	Kind     Kind
	Required bool // without it, the event has no line
}

// Kind is the kind of a field's value.
type Kind uint8

// The kinds of values.
const (
	Text    Kind = iota
	Names        // a list of strings
	Streams      // the same; in the line, each begins with a capital letter
	Ms           // a number of milliseconds
	Decimal      // the same; in the line, with two digits after the decimal point
	MB           // a number of megabytes
)

// IsNumber reports whether the member is a number.
func (k Kind) IsNumber() bool { return k >= Ms }

// Patterns returns the lines of all events that have one.
func Patterns() []Pattern { return patterns }

var patterns = []Pattern{
	{Start, event.TypePlatformStart, "START ", []Field{request, {"Version", "version", Text, false}}},
	{End, event.TypePlatformRuntimeDone, "END ", []Field{request}},
	{Report, event.TypePlatformReport, "REPORT ", []Field{
		request,
		{"Duration", "durationMs", Decimal, true},
		{"Billed Duration", "billedDurationMs", Ms, false},
		{"Memory Size", "memorySizeMB", MB, false},
		{"Max Memory Used", "maxMemoryUsedMB", MB, false},
		{"Init Duration", "initDurationMs", Decimal, false},
		{"Restore Duration", "restoreDurationMs", Decimal, false},
		{"Billed Restore Duration", "billedRestoreDurationMs", Ms, false},
		status, errorType,
	}},
	{InitStart, event.TypePlatformInitStart, "INIT_START ", runtime},
	// REPORT has the duration of a successful init.
	{InitReport, event.TypePlatformInitReport, "INIT_REPORT ", []Field{
		{"Init Duration", "durationMs", Decimal, true}, {"Phase", "phase", Text, false}, {"Status", "status", Text, true}, errorType,
	}},
	{RestoreStart, event.TypePlatformRestoreStart, "RESTORE_START ", runtime},
	{RestoreReport, event.TypePlatformRestoreReport, "RESTORE_REPORT ", []Field{{"Restore Duration", "durationMs", Decimal, true}, status, errorType}},
	{Extension, event.TypePlatformExtension, "EXTENSION\t", []Field{name, state, {"Events", "events", Names, true}, status, errorType}},
	{Subscription, event.TypePlatformSubscription, "TELEMETRY\t", []Field{name, state, {"Types", "types", Streams, true}}},
}

// Fields of several lines.
var (
	request   = Field{"RequestId", "requestId", Text, true}
	name      = Field{"Name", "name", Text, true}
	state     = Field{"State", "state", Text, true}
	status    = Field{"Status", "status", Text, false}
	errorType = Field{"Error Type", "errorType", Text, false}
	runtime   = []Field{{"Runtime Version", "runtimeVersion", Text, true}, {"Runtime Version ARN", "runtimeVersionArn", Text, false}}
)

// line returns the line of a platform event. It reports whether the event's record has
// all fields that the line must have.
func (p *Pattern) line(body []byte) (line []byte, ok bool) {
	values, ok := p.read(body)
	if !ok {
		return nil, false
	}
	line = append(line, p.Start...)
	for i := range p.Fields {
		f, value := &p.Fields[i], values[i]
		if value == nil {
			continue
		}
		switch {
		case i == 0:
		case p.Message == Start:
			line = append(line, ' ')
		default:
			line = append(line, '\t')
		}
		line = append(append(line, f.Label...), ": "...)
		line = f.append(line, value)
	}
	if p.Message != Report {
		return append(line, '\n'), true
	}
	// Lambda has changed over the years what follows the last field of a report; after
	// a success, when there are no Status and no Error Type, it is a tab.
	if values[len(values)-2] == nil {
		line = append(line, '\t')
	}
	return appendTrace(append(line, '\n'), body), true
}

// read returns the values of the fields, in the order of Fields; nil: the record does
// not have it. It reports whether the required ones are present.
func (p *Pattern) read(body []byte) (values [][]byte, ok bool) {
	values = make([][]byte, len(p.Fields))
	for m := jsontext.Members(body); m.Next(); {
		if string(m.Name) != "metrics" {
			p.set(values, &m, false)
			continue
		}
		for number := jsontext.Members(m.Value); number.Next(); {
			p.set(values, &number, true)
		}
	}
	for i := range p.Fields {
		f, value := &p.Fields[i], values[i]
		switch {
		case f.Kind == Names || f.Kind == Streams:
			value, ok = namesOf(value, f.Kind)
			if !ok {
				return nil, false
			}
		case f.Label == "Status" && string(value) == "success":
			value = nil // no line has it
		case p.Message == Report && f.Label == "Error Type" && values[i-1] == nil:
			value = nil
		}
		if values[i] = value; f.Required && value == nil {
			return nil, false
		}
	}
	return values, true
}

// set sets the value of the field that has a member of the record or its metrics.
func (p *Pattern) set(values [][]byte, m *jsontext.Iterator, isMetric bool) {
	for i := range p.Fields {
		f := &p.Fields[i]
		switch {
		case f.Member != string(m.Name) || f.Kind.IsNumber() != isMetric:
		case f.Kind == Names || f.Kind == Streams:
			values[i] = m.Value
		case f.Kind != Text:
			if c := m.Value[0]; c == '-' || c >= '0' && c <= '9' {
				values[i] = m.Value
			}
		default:
			values[i] = textOf(m.Value)
			if f.Label == "RequestId" && bytes.IndexByte(values[i], ' ') >= 0 {
				values[i] = nil // in the line, a space ends the id
			}
		}
	}
}

// append appends the field's value as the line has it.
func (f *Field) append(line, value []byte) []byte {
	unit := ""
	switch f.Kind {
	case Decimal:
		if ms, err := strconv.ParseFloat(string(value), 64); err == nil {
			value = strconv.AppendFloat(nil, ms, 'f', 2, 64)
		}
		unit = " ms"
	case Ms:
		unit = " ms"
	case MB:
		unit = " MB"
	case Text, Names, Streams:
	}
	return append(append(line, value...), unit...)
}

// appendTrace appends the line about the trace that follows a REPORT line, if the
// report has a trace.
func appendTrace(dst, body []byte) []byte {
	var header, segment []byte
	for m := jsontext.Members(body); m.Next(); {
		if string(m.Name) != "tracing" {
			continue
		}
		for t := jsontext.Members(m.Value); t.Next(); {
			switch string(t.Name) {
			case "value":
				header = textOf(t.Value)
			case "spanId":
				segment = textOf(t.Value)
			}
		}
	}
	root, _, sampled := format.TraceHeader(header)
	if len(root) == 0 {
		return dst
	}
	dst = append(append(dst, "XRAY TraceId: "...), root...)
	if segment != nil {
		dst = append(append(dst, "\tSegmentId: "...), segment...)
	}
	switch string(sampled) {
	case "0":
		dst = append(dst, "\tSampled: false"...)
	case "1":
		dst = append(dst, "\tSampled: true"...)
	}
	return append(dst, "\t\n"...)
}

// textOf returns the text of a JSON string if a field of a line can contain it. It
// returns nil for anything else, and for an empty string.
func textOf(value []byte) []byte {
	text, _ := jsontext.AppendUnquote(nil, value)
	if bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
		return nil
	}
	return text
}

// namesOf returns the strings of a JSON array in brackets and separated by commas;
// without strings, only brackets. It reports whether a reader can separate the names
// again.
func namesOf(array []byte, kind Kind) (list []byte, ok bool) {
	if array == nil || string(array) == "null" {
		return []byte("[]"), true
	}
	list = append(list, '[')
	names := jsontext.Elements(array)
	for names.Next() {
		name := textOf(names.Value)
		if name == nil || bytes.ContainsFunc(name, func(r rune) bool { return !isNameRune(r) }) {
			return nil, false
		}
		if kind == Streams {
			if name[0] < 'a' || name[0] > 'z' {
				return nil, false
			}
			name[0] -= 'a' - 'A'
		}
		if len(list) > 1 {
			list = append(list, ", "...)
		}
		list = append(list, name...)
	}
	return append(list, ']'), names.Err == nil
}

// isNameRune reports whether the names of events and streams can contain a character.
func isNameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '.'
}
