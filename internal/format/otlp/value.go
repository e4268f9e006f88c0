package otlp

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/kinetel/kinetel/internal/jsontext"
)

const (
	// maxLevels is how deep a body's objects and arrays may be nested to be
	// written as values. Each takes up to four levels of JSON and three of
	// protocol buffers, in addition to the eight around a body. Readers may reject
	// more than 64 levels of JSON (.NET's System.Text.Json) or 100 of protocol
	// buffers.
	maxLevels = 12
	// bodyRoom is how many bytes a body written as values may take in addition to
	// twice its JSON text. Objects as small as those of platform events fit.
	bodyRoom = 512
)

// appendBody appends a body as AnyValue, which ends at end. If the body cannot be
// restored from that, the attribute kinetel.body follows. The value is the body's JSON
// text if both together would take more than twice the body's text and bodyRoom, if
// the body is nested too deep, or if it has a number that a float64 cannot hold.
func appendBody(dst, body []byte) (all []byte, end int, text bool) {
	from := len(dst)
	w := anyWriter{dst: dst, most: from + 2*len(body) + bodyRoom}
	w.value(body, 0, maxLevels)
	dst, end = w.dst, len(w.dst)
	if w.inexact && !w.failed {
		dst = appendJSON(dst, "kinetel.body", body)
	}
	if !w.failed && len(dst) <= w.most {
		return dst, end, false
	}
	dst = appendJSONText(dst[:from], body)
	return dst, len(dst), true
}

// anyWriter writes a JSON value as AnyValue, in one pass over the text.
type anyWriter struct {
	dst     []byte
	most    int  // the longest dst that is allowed
	inexact bool // the value cannot be restored from what was written
	failed  bool // the value must not be written as AnyValue
}

// value writes the value that begins at b[i], and returns the index just after it. b
// holds well-formed JSON. If it fails, dst is incomplete.
func (w *anyWriter) value(b []byte, i, levels int) int {
	if i >= len(b) || len(w.dst) > w.most {
		w.failed = true
		return len(b)
	}
	switch b[i] {
	case '"':
		end := stringEnd(b, i)
		var exact bool
		w.dst, exact = appendString(w.dst, b[i+1:end-1])
		w.inexact = w.inexact || !exact
		return end
	case '{', '[':
		return w.values(b, i, levels-1)
	case 't':
		w.dst = append(w.dst, `{"boolValue":true}`...)
		return i + len("true")
	case 'f':
		w.dst = append(w.dst, `{"boolValue":false}`...)
		return i + len("false")
	case 'n':
		w.dst = append(w.dst, `{}`...)
		return i + len("null")
	}
	return w.number(b, i)
}

// values writes an object or array.
func (w *anyWriter) values(b []byte, i, levels int) int {
	if levels < 0 {
		w.failed = true
		return len(b)
	}
	closing := b[i] + 2 // '}' is '{'+2, and ']' is '['+2
	if closing == '}' {
		w.dst = append(w.dst, `{"kvlistValue":{"values":[`...)
	} else {
		w.dst = append(w.dst, `{"arrayValue":{"values":[`...)
	}
	i = w.space(b, i+1)
	for i < len(b) && b[i] != closing {
		if b[i] == ',' {
			w.dst = append(w.dst, ',')
			i = w.space(b, i+1)
		}
		if closing == '}' {
			end := stringEnd(b, i)
			w.dst = append(w.dst, `{"key":`...)
			w.key(b[i+1 : end-1])
			w.dst = append(w.dst, `,"value":`...)
			i = w.space(b, w.space(b, end)+1)
		}
		i = w.value(b, i, levels)
		if w.failed {
			return len(b)
		}
		if closing == '}' {
			w.dst = append(w.dst, '}')
		}
		i = w.space(b, i)
	}
	w.dst = append(w.dst, `]}}`...)
	return i + 1
}

// space skips white space, which AnyValue cannot represent.
func (w *anyWriter) space(b []byte, i int) int {
	end := jsontext.SkipSpace(b, i)
	w.inexact = w.inexact || end != i
	return end
}

// key writes a name; raw is the text between its quotes.
func (w *anyWriter) key(raw []byte) {
	before := len(w.dst) + 1
	w.dst = jsontext.AppendValidUnicode(append(w.dst, '"'), raw)
	w.inexact = w.inexact || !bytes.Equal(w.dst[before:], raw)
	w.dst = append(w.dst, '"')
}

// number writes the number that begins at b[i], with the same digits.
func (w *anyWriter) number(b []byte, i int) int {
	end := i
	for end < len(b) && (b[end] >= '0' && b[end] <= '9' || bytes.IndexByte([]byte("+-.eE"), b[end]) >= 0) {
		end++
	}
	digits := b[i:end]
	if !bytes.ContainsAny(digits, ".eE") && string(digits) != "-0" {
		if _, err := strconv.ParseInt(string(digits), 10, 64); err == nil {
			w.dst = append(w.dst, `{"intValue":"`...)
			w.dst = append(w.dst, digits...)
			w.dst = append(w.dst, `"}`...)
			return end
		}
	}
	if len(digits) > 300 || bytes.ContainsAny(digits, "eE") { // the largest double has 309 digits
		if f, err := strconv.ParseFloat(string(digits), 64); err != nil || math.IsInf(f, 0) {
			w.failed = true
			return len(b)
		}
	}
	w.dst = append(w.dst, `{"doubleValue":`...)
	w.dst = append(w.dst, digits...)
	w.dst = append(w.dst, '}')
	return end
}

// stringEnd is jsontext.SkipString for well-formed JSON, which need not be checked.
func stringEnd(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// appendString appends a string as AnyValue; raw is the text between its quotes. It
// reports whether the string can be restored: from a stringValue by its text, from a
// bytesValue by jsontext.AppendQuote.
func appendString(dst, raw []byte) (all []byte, exact bool) {
	if jsontext.ValidUnicode(raw) {
		dst = append(dst, `{"stringValue":"`...)
		return append(append(dst, raw...), `"}`...), true
	}
	if text := jsontext.AppendUnescape(nil, raw, -1); !utf8.Valid(text) {
		quoted := jsontext.AppendQuote(nil, text)
		return appendBytes(dst, text), bytes.Equal(quoted[1:len(quoted)-1], raw)
	}
	dst = append(dst, `{"stringValue":"`...) // the string has a lone surrogate
	return append(jsontext.AppendValidUnicode(dst, raw), `"}`...), false
}

func appendBytes(dst, b []byte) []byte {
	dst = append(dst, `{"bytesValue":"`...)
	dst = base64.StdEncoding.AppendEncode(dst, b)
	return append(dst, `"}`...)
}

// appendJSONText appends JSON text as an AnyValue with a string. It takes at most
// twice the bytes of the text: every character of JSON text that must be escaped has
// an escape of two characters.
func appendJSONText(dst, text []byte) []byte {
	if !utf8.Valid(text) {
		return appendBytes(dst, text)
	}
	dst = append(dst, `{"stringValue":"`...)
	for _, c := range text {
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\t':
			dst = append(dst, '\\', 't')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, `"}`...)
}
