// Package decode reads payloads of OTLP/JSON that Kinetel wrote.
package decode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/decoding"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// maxLevels is one more than the depth to which Kinetel nests values in OTLP.
const maxLevels = 13

// Decode reads payloads, each one line of text. The events of a payload share the map
// of its resource.
//
// It scans the text and builds no tree. So the strings and numbers of a body are those
// of the text, byte for byte, and data that is not an event of Kinetel takes no memory.
func Decode(text []byte, out *decoding.Output) error {
	if len(text) == 0 || text[len(text)-1] != '\n' {
		return errors.New("the last payload does not end")
	}
	for line := range bytes.Lines(text) {
		if err := decodePayload(line[:len(line)-1], out); err != nil {
			return fmt.Errorf("event %d of OTLP: %w", out.Events+1, err)
		}
	}
	return nil
}

func decodePayload(payload []byte, out *decoding.Output) error {
	if !decoding.IsValue(payload) {
		return decoding.ErrShape
	}
	before := out.Events
	err := decoding.Members(payload, func(name, value []byte) error {
		scopes, list := "scopeLogs", "logRecords"
		switch string(name) {
		case "resourceLogs":
		case "resourceSpans":
			scopes, list = "scopeSpans", "spans"
		default:
			return decoding.ErrShape
		}
		return decoding.Elements(value, func(entry []byte) error { return decodeEntry(entry, scopes, list, out) })
	})
	if err == nil && out.Events == before {
		err = decoding.ErrAbsent
	}
	return err
}

// decodeEntry reads the events of a ResourceLogs or ResourceSpans.
func decodeEntry(entry []byte, scopes, list string, out *decoding.Output) error {
	of, err := decoding.Fields(entry, "resource", scopes)
	if err != nil {
		return err
	}
	n := 0
	return decoding.Elements(of[1], func(one []byte) error {
		if n++; n > 1 {
			return decoding.ErrShape // Kinetel writes one; each further one would decode the resource again
		}
		in, err := decoding.Fields(one, "scope", list)
		if err != nil {
			return err
		}
		resource, err := resourceOf(of[0], in[0], out)
		if err != nil {
			return err
		}
		return decoding.Elements(in[1], func(element []byte) error {
			e, err := decodeElement(element, list == "spans", out)
			if err != nil {
				return err
			}
			e.Resource = resource
			return out.Emit(e)
		})
	})
}

// resourceOf returns the resource of the lines that were encoded: the first
// attributes of the resource, as many as an attribute of the scope says.
func resourceOf(resource, scope []byte, out *decoding.Output) (map[string]string, error) {
	if resource == nil || string(jsontext.Member(scope, "name")) != `"kinetel"` {
		return nil, decoding.ErrAbsent
	}
	count := -1
	err := attributes(jsontext.Member(scope, "attributes"), func(key string, value []byte) (err error) {
		if key == "kinetel.resource.members" {
			count, err = smallNumber(value)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if count < 0 {
		return nil, decoding.ErrAbsent
	}
	of := map[string]string{}
	err = attributes(jsontext.Member(resource, "attributes"), func(key string, value []byte) (err error) {
		if count > 0 {
			count--
			if err = out.CountMember(); err == nil {
				of[key], err = text(value)
			}
		}
		return err
	})
	if err == nil && count > 0 {
		err = decoding.ErrAbsent
	}
	return of, err
}

// body is how an element has the body of its event.
type body struct {
	values   []byte // AnyValue
	isText   bool   // values holds JSON text
	whole    []byte // JSON text; nil: values has all of it
	original []byte // the original of a body with replacements; nil: it has none
}

// decodeElement reads a log record or a span.
func decodeElement(element []byte, span bool, out *decoding.Output) (e decoding.Event, err error) {
	e = decoding.Event{Schema: format.Schema, Body: json.RawMessage("null")}
	var b body
	var nanos string
	var number []byte
	err = decoding.Members(element, func(name, value []byte) (err error) {
		switch string(name) {
		case "attributes":
			return attributes(value, func(key string, value []byte) error { return setAttribute(&e, &b, key, value, out) })
		case "timeUnixNano":
			nanos, err = decoding.String(value)
		case "severityNumber":
			number = value
		case "body":
			b.values = value
		}
		return err
	})
	if err != nil {
		return e, err
	}
	if e.Seq == 0 || e.Type == "" || e.TimeText == "" && nanos == "" {
		return e, decoding.ErrAbsent
	}
	if n, err := strconv.Atoi(string(number)); err == nil && e.Severity == "" {
		e.Severity = event.SeverityOf(n).String()
	}
	if e.TimeText == "" {
		n, err := strconv.ParseUint(nanos, 10, 64)
		if err != nil {
			return e, decoding.ErrShape
		}
		e.TimeText = time.Unix(int64(n/1e9), int64(n%1e9)).UTC().Format(event.TimeFormat)
	}
	switch {
	case b.original != nil:
		err = e.SetOriginal(b.original)
	case b.whole != nil:
		e.Body = b.whole
	case span || b.values == nil:
		return e, decoding.ErrAbsent
	case b.isText:
		e.Body, err = jsonText(b.values)
	default:
		e.Body, err = appendJSON(nil, b.values, maxLevels)
	}
	return e, err
}

// setAttribute sets the field of an event that an attribute holds.
func setAttribute(e *decoding.Event, b *body, key string, value []byte, out *decoding.Output) (err error) {
	switch key {
	case "kinetel.seq":
		var seq int64
		seq, err = number(value, math.MaxInt64)
		e.Seq = uint64(seq)
	case "kinetel.type":
		e.Type, err = text(value)
	case "faas.invocation_id":
		e.RequestID, err = text(value)
	case "kinetel.xray.trace_id":
		e.TraceID, err = text(value)
	case "kinetel.severity":
		e.Severity, err = text(value)
	case "kinetel.part":
		e.Part, err = smallNumber(value)
	case "kinetel.parts":
		e.Parts, err = smallNumber(value)
	case "kinetel.time":
		e.TimeText, err = text(value)
	case "kinetel.extra":
		var extra []byte
		if extra, err = jsonText(value); err == nil {
			err = out.CountMembers(extra)
		}
		if err == nil {
			err = json.Unmarshal(extra, &e.Extra)
		}
	case "kinetel.body":
		b.whole, err = jsonText(value)
	case "kinetel.body.bytes":
		b.original, err = textBytes(value)
	case "kinetel.body.json":
		b.isText = string(value) == `{"boolValue":true}`
	}
	return err
}

// appendJSON appends the JSON text from which an AnyValue was made.
func appendJSON(dst, value []byte, levels int) ([]byte, error) {
	name, of, err := only(value)
	if err != nil || levels == 0 {
		return dst, decoding.ErrShape
	}
	switch name {
	case "":
		return append(dst, "null"...), nil
	case "bytesValue":
		text, err := decoding.Base64(of)
		return jsontext.AppendQuote(dst, text), err
	case "kvlistValue":
		return appendValues(dst, of, '{', levels)
	case "arrayValue":
		return appendValues(dst, of, '[', levels)
	case "intValue":
		if _, err := integer(of); err == nil {
			return append(dst, jsontext.Unquoted(of)...), nil
		}
	case "stringValue":
		if of[0] == '"' {
			return append(dst, of...), nil
		}
	case "doubleValue":
		if of[0] == '-' || of[0] >= '0' && of[0] <= '9' {
			return append(dst, of...), nil
		}
	case "boolValue":
		if string(of) == "true" || string(of) == "false" {
			return append(dst, of...), nil
		}
	}
	return dst, decoding.ErrShape
}

// appendValues appends the values of a list between braces or brackets.
func appendValues(dst, list []byte, opening byte, levels int) ([]byte, error) {
	dst = append(dst, opening)
	from := len(dst)
	err := decoding.Members(list, func(name, value []byte) error {
		if string(name) != "values" {
			return decoding.ErrShape
		}
		return decoding.Elements(value, func(value []byte) (err error) {
			if len(dst) > from {
				dst = append(dst, ',')
			}
			if opening == '{' {
				var key []byte
				if key, value, err = pairOf(value); err != nil {
					return err
				}
				dst = append(append(dst, key...), ':')
			}
			dst, err = appendJSON(dst, value, levels-1)
			return err
		})
	})
	return append(dst, opening+2), err // '}' is '{'+2, and ']' is '['+2
}

// pairOf returns the key of a KeyValue, with its quotes, and its value.
func pairOf(pair []byte) (key, value []byte, err error) {
	err = decoding.Members(pair, func(name, v []byte) error {
		switch string(name) {
		case "key":
			key = v
		case "value":
			value = v
		default:
			return decoding.ErrShape
		}
		return nil
	})
	if err == nil && (len(key) == 0 || key[0] != '"' || value == nil) {
		err = decoding.ErrShape
	}
	return key, value, err
}

// attributes calls each with every attribute of a list. Without a list, there are none.
func attributes(list []byte, each func(key string, value []byte) error) error {
	if list == nil {
		return nil
	}
	return decoding.Elements(list, func(pair []byte) error {
		quoted, value, err := pairOf(pair)
		if err != nil {
			return err
		}
		key, err := decoding.String(quoted)
		if err != nil {
			return err
		}
		return each(key, value)
	})
}

// only returns the name and value of an AnyValue's only member, or no name if it is
// empty.
func only(value []byte) (name string, of []byte, err error) {
	n := 0
	err = decoding.Members(value, func(member, v []byte) error {
		n++
		name, of = string(member), v
		return nil
	})
	if err == nil && n > 1 {
		err = decoding.ErrShape
	}
	return name, of, err
}

// number reads an AnyValue that is an integer from 0 to most.
func number(value []byte, most int64) (int64, error) {
	name, of, err := only(value)
	if err != nil || name != "intValue" {
		return 0, decoding.ErrShape
	}
	n, err := integer(of)
	if err != nil || n < 0 || n > most {
		return 0, decoding.ErrShape
	}
	return n, nil
}

// smallNumber reads an AnyValue that is an integer of 31 bits.
func smallNumber(value []byte) (int, error) {
	n, err := number(value, math.MaxInt32)
	return int(n), err
}

// integer reads an integer between quotes, as the JSON of protocol buffers has
// integers of 64 bits.
func integer(value []byte) (int64, error) {
	digits := jsontext.Unquoted(value)
	// strconv accepts a plus and leading zeros; JSON does not.
	n, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil || !decoding.IsValue(digits) {
		return 0, decoding.ErrShape
	}
	return n, nil
}

// text reads an AnyValue that is text. Bytes that are not UTF-8 become U+FFFD, as in
// lines that are decoded.
func text(value []byte) (string, error) {
	b, err := textBytes(value)
	if err != nil || utf8.Valid(b) {
		return string(b), err
	}
	return string([]rune(string(b))), nil
}

func textBytes(value []byte) ([]byte, error) {
	name, of, err := only(value)
	if err != nil {
		return nil, err
	}
	switch name {
	case "stringValue":
		if b, ok := jsontext.AppendUnquote(nil, of); ok {
			return b, nil
		}
	case "bytesValue":
		return decoding.Base64(of)
	}
	return nil, decoding.ErrShape
}

// jsonText reads an AnyValue that holds JSON text.
func jsonText(value []byte) (json.RawMessage, error) {
	b, err := textBytes(value)
	if err == nil && !decoding.IsValue(b) {
		err = decoding.ErrShape
	}
	return b, err
}
