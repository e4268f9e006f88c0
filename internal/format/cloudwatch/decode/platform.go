package decode

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/kinetel/kinetel/internal/format/cloudwatch"
	"github.com/kinetel/kinetel/internal/format/decoding"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// tracing is the trace of a report, with the names of Lambda's records.
type tracing struct {
	SpanID string `json:"spanId,omitempty"`
	Type   string `json:"type"`
	Value  string `json:"value"`
}

// setPlatformLine sets the fields from the line of a platform event. The body has the members
// that the line has.
func setPlatformLine(e *decoding.Event, kind cloudwatch.Message, line string) (err error) {
	patterns := cloudwatch.Patterns()
	i := slices.IndexFunc(patterns, func(p cloudwatch.Pattern) bool { return p.Message == kind })
	if i < 0 {
		return decoding.ErrShape
	}
	p := patterns[i]
	e.Type = p.Type
	rest, ok := strings.CutPrefix(line, p.Start)
	if !ok {
		return decoding.ErrShape
	}
	if kind == cloudwatch.Start {
		rest = strings.Replace(rest, " Version: ", "\tVersion: ", 1)
	}
	values := make([][]byte, len(p.Fields)) // JSON
	var trace tracing
	for field := range strings.FieldsFuncSeq(rest, func(r rune) bool { return r == '\t' || r == '\n' }) {
		label, value, ok := strings.Cut(field, ": ")
		i := slices.IndexFunc(p.Fields, func(f cloudwatch.Field) bool { return f.Label == label })
		switch {
		case !ok:
		case i >= 0:
			values[i], ok = valueOf(p.Fields[i].Kind, value)
		default:
			ok = kind == cloudwatch.Report && trace.set(label, value)
		}
		if !ok {
			return decoding.ErrShape
		}
	}
	e.Body, err = bodyOf(p.Fields, values, &trace)
	return err
}

// valueOf returns the JSON of a field's value. Empty text has none.
func valueOf(kind cloudwatch.Kind, text string) (value []byte, ok bool) {
	switch {
	case kind == cloudwatch.Names || kind == cloudwatch.Streams:
		return listOf(strings.Trim(text, "[]"), kind), true
	case kind.IsNumber():
		number, _, ok := strings.Cut(text, " ")
		isNumber := number != "" && (number[0] == '-' || number[0] >= '0' && number[0] <= '9')
		return []byte(number), ok && isNumber && json.Valid([]byte(number))
	case text == "":
		return nil, true
	}
	value, err := json.Marshal(text)
	return value, err == nil
}

// listOf returns names that are separated by commas as a JSON array.
func listOf(text string, kind cloudwatch.Kind) []byte {
	if text == "" {
		return nil
	}
	names := append(make([]byte, 0, 2*len(text)), '[')
	for name := range strings.SplitSeq(text, ", ") {
		if len(names) > 1 {
			names = append(names, ',')
		}
		first := len(names) + 1
		names = jsontext.AppendQuote(names, name)
		if c := names[first]; kind == cloudwatch.Streams && c >= 'A' && c <= 'Z' {
			names[first] += 'a' - 'A'
		}
	}
	return append(names, ']')
}

// set sets a field of the line about the trace. It reports whether there is such a
// field, and it may follow those before.
func (t *tracing) set(label, value string) bool {
	switch {
	case label == "XRAY TraceId":
		*t = tracing{Type: "X-Amzn-Trace-Id", Value: "Root=" + value}
	case t.Type == "":
		return false
	case label == "SegmentId":
		t.SpanID = value
	case label == "Sampled" && !strings.Contains(t.Value, ";") && value == "true":
		t.Value += ";Sampled=1"
	case label == "Sampled" && !strings.Contains(t.Value, ";") && value == "false":
		t.Value += ";Sampled=0"
	default:
		return false
	}
	return true
}

// bodyOf returns the body with the values of the fields.
func bodyOf(fields []cloudwatch.Field, values [][]byte, trace *tracing) ([]byte, error) {
	var members, metrics []string
	for i, value := range values {
		switch {
		case value == nil:
		case fields[i].Kind.IsNumber():
			metrics = append(metrics, `"`+fields[i].Member+`":`+string(value))
		default:
			members = append(members, `"`+fields[i].Member+`":`+string(value))
		}
	}
	if metrics != nil {
		members = append(members, `"metrics":{`+strings.Join(metrics, ",")+`}`)
	}
	if trace.Type != "" {
		text, err := json.Marshal(trace)
		if err != nil {
			return nil, err
		}
		members = append(members, `"tracing":`+string(text))
	}
	return json.RawMessage("{" + strings.Join(members, ",") + "}"), nil
}
