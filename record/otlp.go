package record

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"kinetel/internal/event"
	"kinetel/internal/jsontext"
)

// maxLevels is one more than the depth to which Kinetel nests values in OTLP.
const maxLevels = 13

// timeFormat is the format of a time that OTLP has in nanoseconds.
const timeFormat = event.TimeFormat

// otlp reads payloads of OTLP/JSON that Kinetel wrote, each one line of text. The
// events of a payload share the map of its resource.
//
// It scans the text and builds no tree. So the strings and numbers of a body are those
// of the text, byte for byte, and data that is not an event of Kinetel takes no memory.
func (d *decoding) otlp(text []byte) error {
	if len(text) == 0 || text[len(text)-1] != '\n' {
		return errors.New("the last payload does not end")
	}
	for line := range bytes.Lines(text) {
		if err := d.payload(line[:len(line)-1]); err != nil {
			return fmt.Errorf("event %d of OTLP: %w", len(d.events)+1, err)
		}
	}
	return nil
}

var (
	errShape  = errors.New("not of the shape that Kinetel writes")
	errAbsent = errors.New("without what Kinetel always writes")
)

// payload reads the events of a payload.
func (d *decoding) payload(payload []byte) error {
	if end, err := jsontext.SkipValue(payload, 0); err != nil || end != len(payload) {
		return errShape
	}
	before := len(d.events)
	err := members(payload, func(name, value []byte) error {
		var scopes, list string
		switch string(name) {
		case "resourceLogs":
			scopes, list = "scopeLogs", "logRecords"
		case "resourceSpans":
			scopes, list = "scopeSpans", "spans"
		default:
			return errShape
		}
		return items(value, func(entry []byte) error { return d.scopes(entry, scopes, list) })
	})
	if err == nil && len(d.events) == before {
		err = errAbsent
	}
	return err
}

// scopes reads the events of a ResourceLogs or ResourceSpans.
func (d *decoding) scopes(entry []byte, scopes, list string) error {
	var resource, all []byte
	err := members(entry, func(name, value []byte) error {
		switch string(name) {
		case "resource":
			resource = value
		case scopes:
			all = value
		}
		return nil
	})
	if err != nil {
		return err
	}
	if resource == nil || all == nil {
		return errAbsent
	}
	n := 0
	return items(all, func(one []byte) error {
		if n++; n > 1 {
			return errShape // Kinetel writes one; each further one would decode the resource again
		}
		var scope, elements []byte
		err := members(one, func(name, value []byte) error {
			switch string(name) {
			case "scope":
				scope = value
			case list:
				elements = value
			}
			return nil
		})
		if err != nil {
			return err
		}
		if scope == nil || elements == nil {
			return errAbsent
		}
		of, err := d.resourceOf(resource, scope)
		if err != nil {
			return err
		}
		return items(elements, func(element []byte) error {
			e, err := d.element(element, list == "spans")
			if err != nil {
				return err
			}
			e.Resource = of
			return d.append(e)
		})
	})
}

// resourceOf returns the resource of the lines that were encoded: the first
// attributes of the resource, as many as an attribute of the scope says.
func (d *decoding) resourceOf(resource, scope []byte) (map[string]string, error) {
	count, ours := -1, false
	err := members(scope, func(name, value []byte) error {
		switch string(name) {
		case "name":
			ours = string(value) == `"kinetel"`
		case "attributes":
			return attributes(value, func(key string, value []byte) error {
				if key != "kinetel.resource.members" {
					return nil
				}
				n, err := number(value)
				if err == nil && n > uint64(len(resource)) {
					err = errShape
				}
				count = int(n)
				return err
			})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if !ours || count < 0 {
		return nil, errAbsent
	}
	of := map[string]string{}
	err = members(resource, func(name, value []byte) error {
		if string(name) != "attributes" {
			return nil
		}
		return attributes(value, func(key string, value []byte) (err error) {
			if count > 0 {
				count--
				if err = d.countOne(); err == nil {
					of[key], err = text(value)
				}
			}
			return err
		})
	})
	if err == nil && count > 0 {
		err = errAbsent
	}
	return of, err
}

// element reads a log record or a span.
func (d *decoding) element(element []byte, span bool) (e Event, err error) {
	e = Event{Schema: Schema, Body: json.RawMessage("null")}
	var nanos string
	var whole, values []byte // the body as JSON text, and as AnyValue
	var original []byte      // the original of a body with replacements
	asText := false          // values holds JSON text
	err = members(element, func(name, value []byte) (err error) {
		switch string(name) {
		case "attributes":
			return attributes(value, func(key string, value []byte) (err error) {
				switch key {
				case "kinetel.seq":
					e.Seq, err = number(value)
				case "kinetel.type":
					e.Type, err = text(value)
				case "faas.invocation_id":
					e.RequestID, err = text(value)
				case "aws.xray.trace_id":
					e.TraceID, err = text(value)
				case "kinetel.part":
					e.Part, err = smallNumber(value)
				case "kinetel.parts":
					e.Parts, err = smallNumber(value)
				case "kinetel.time":
					e.Time, err = text(value)
				case "kinetel.extra":
					var extra []byte
					if extra, err = jsonText(value); err == nil {
						err = d.count(extra)
					}
					if err == nil {
						err = json.Unmarshal(extra, &e.Extra)
					}
				case "kinetel.body":
					whole, err = jsonText(value)
				case "kinetel.body.bytes":
					original, err = textBytes(value)
				case "kinetel.body.json":
					asText = string(value) == `{"boolValue":true}`
				}
				return err
			})
		case "timeUnixNano":
			nanos, err = plainString(value)
		case "severityText":
			e.Severity, err = plainString(value)
		case "body":
			values = value
		}
		return err
	})
	if err != nil {
		return e, err
	}
	if e.Seq == 0 || e.Type == "" || e.Time == "" && nanos == "" {
		return e, errAbsent
	}
	if e.Time == "" && nanos != "" {
		n, err := strconv.ParseUint(nanos, 10, 64)
		if err != nil {
			return e, errShape
		}
		e.Time = time.Unix(int64(n/1e9), int64(n%1e9)).UTC().Format(timeFormat)
	}
	switch {
	case original != nil:
		err = e.setOriginal(original)
	case whole != nil:
		e.Body = whole
	case span || values == nil:
		return e, errAbsent
	case asText:
		e.Body, err = jsonText(values)
	default:
		e.Body, err = appendJSON(nil, values, maxLevels)
	}
	return e, err
}

// appendJSON appends the JSON text from which an AnyValue was made.
func appendJSON(dst, value []byte, levels int) ([]byte, error) {
	if levels == 0 {
		return dst, errShape
	}
	n := 0
	err := members(value, func(name, value []byte) (err error) {
		if n++; n > 1 {
			return errShape
		}
		switch string(name) {
		case "stringValue":
			if value[0] != '"' {
				return errShape
			}
			dst = append(dst, value...)
		case "bytesValue":
			var text []byte
			if text, err = decoded(value); err == nil {
				dst = jsontext.AppendQuote(dst, text)
			}
		case "intValue":
			if _, err = integer(value); err == nil {
				dst = append(dst, value[1:len(value)-1]...)
			}
		case "doubleValue":
			if value[0] != '-' && (value[0] < '0' || value[0] > '9') {
				return errShape
			}
			dst = append(dst, value...)
		case "boolValue":
			if string(value) != "true" && string(value) != "false" {
				return errShape
			}
			dst = append(dst, value...)
		case "kvlistValue":
			dst, err = appendValues(dst, value, '{', levels, func(dst, pair []byte) ([]byte, error) {
				key, value, err := pairOf(pair)
				if err != nil {
					return dst, err
				}
				dst = append(append(dst, key...), ':')
				return appendJSON(dst, value, levels-1)
			})
		case "arrayValue":
			dst, err = appendValues(dst, value, '[', levels, func(dst, value []byte) ([]byte, error) {
				return appendJSON(dst, value, levels-1)
			})
		default:
			return errShape
		}
		return err
	})
	if err == nil && n == 0 {
		dst = append(dst, "null"...)
	}
	return dst, err
}

// appendValues appends the values of a list between braces or brackets.
func appendValues(dst, list []byte, opening byte, levels int, one func(dst, value []byte) ([]byte, error)) ([]byte, error) {
	dst = append(dst, opening)
	n := 0
	err := members(list, func(name, value []byte) error {
		if string(name) != "values" {
			return errShape
		}
		return items(value, func(value []byte) (err error) {
			if n++; n > 1 {
				dst = append(dst, ',')
			}
			dst, err = one(dst, value)
			return err
		})
	})
	return append(dst, opening+2), err // '}' is '{'+2, and ']' is '['+2
}

// pairOf returns the key of a KeyValue, with its quotes, and its value.
func pairOf(pair []byte) (key, value []byte, err error) {
	err = members(pair, func(name, v []byte) error {
		switch string(name) {
		case "key":
			key = v
		case "value":
			value = v
		default:
			return errShape
		}
		return nil
	})
	if err == nil && (len(key) == 0 || key[0] != '"' || value == nil) {
		err = errShape
	}
	return key, value, err
}

// attributes calls each with every attribute of a list.
func attributes(list []byte, each func(key string, value []byte) error) error {
	return items(list, func(pair []byte) error {
		quoted, value, err := pairOf(pair)
		if err != nil {
			return err
		}
		key, err := plainString(quoted)
		if err != nil {
			return err
		}
		return each(key, value)
	})
}

// only returns the name and value of an AnyValue's only member.
func only(value []byte) (name string, of []byte, err error) {
	n := 0
	err = members(value, func(member, v []byte) error {
		n++
		name, of = string(member), v
		return nil
	})
	if err == nil && n != 1 {
		err = errShape
	}
	return name, of, err
}

// number reads an AnyValue that is an integer, 0 or greater.
func number(value []byte) (uint64, error) {
	name, of, err := only(value)
	if err != nil || name != "intValue" {
		return 0, errShape
	}
	n, err := integer(of)
	if err != nil || n < 0 {
		return 0, errShape
	}
	return uint64(n), nil
}

func smallNumber(value []byte) (int, error) {
	n, err := number(value)
	if err == nil && n > 1<<31-1 {
		err = errShape
	}
	return int(n), err
}

// integer reads an integer between quotes, as the JSON of protocol buffers has
// integers of 64 bits.
func integer(quoted []byte) (int64, error) {
	if len(quoted) < 3 || quoted[0] != '"' {
		return 0, errShape
	}
	digits := quoted[1 : len(quoted)-1]
	// strconv accepts a plus and leading zeros; JSON does not.
	if end, err := jsontext.SkipValue(digits, 0); err != nil || end != len(digits) {
		return 0, errShape
	}
	n, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		return 0, errShape
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
		if b, ok := appendUnquoted(nil, of); ok {
			return b, nil
		}
	case "bytesValue":
		return decoded(of)
	}
	return nil, errShape
}

// jsonText reads an AnyValue that holds JSON text.
func jsonText(value []byte) (json.RawMessage, error) {
	b, err := textBytes(value)
	if err != nil {
		return nil, err
	}
	if end, err := jsontext.SkipValue(b, 0); err != nil || end != len(b) {
		return nil, errShape
	}
	return b, nil
}

// decoded reads base64 between quotes.
func decoded(quoted []byte) ([]byte, error) {
	text, ok := appendUnquoted(nil, quoted)
	if !ok {
		return nil, errShape
	}
	b, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return nil, errShape
	}
	return b, nil
}

// plainString reads a JSON string that is UTF-8.
func plainString(quoted []byte) (string, error) {
	b, ok := appendUnquoted(nil, quoted)
	if !ok || !utf8.Valid(b) {
		return "", errShape
	}
	return string(b), nil
}

// members calls each with every member of an object; name is the text between its
// quotes. The text is well-formed JSON.
func members(text []byte, each func(name, value []byte) error) error {
	if text[0] != '{' {
		return errShape
	}
	i := jsontext.SkipSpace(text, 1)
	for text[i] != '}' {
		if text[i] == ',' {
			i = jsontext.SkipSpace(text, i+1)
		}
		name, err := jsontext.SkipString(text, i)
		if err != nil {
			return errShape
		}
		value, err := jsontext.SkipName(text, i)
		if err != nil {
			return errShape
		}
		end, err := jsontext.SkipValue(text, value)
		if err != nil {
			return errShape
		}
		if err := each(text[i+1:name-1], text[value:end]); err != nil {
			return err
		}
		i = jsontext.SkipSpace(text, end)
	}
	return nil
}

// items calls each with every item of an array. The text is well-formed JSON.
func items(text []byte, each func(item []byte) error) error {
	if text[0] != '[' {
		return errShape
	}
	i := jsontext.SkipSpace(text, 1)
	for text[i] != ']' {
		if text[i] == ',' {
			i = jsontext.SkipSpace(text, i+1)
		}
		end, err := jsontext.SkipValue(text, i)
		if err != nil {
			return errShape
		}
		if err := each(text[i:end]); err != nil {
			return err
		}
		i = jsontext.SkipSpace(text, end)
	}
	return nil
}
