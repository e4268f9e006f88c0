package format

import (
	"bytes"
	"encoding/base64"
	"math"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"kinetel/internal/jsontext"
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

// anyWriter writes a JSON value as AnyValue.
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
	switch c := b[i]; c {
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
	default:
		return w.number(b, i)
	}
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
	if Valid(raw) {
		w.dst = append(w.dst, '"')
		w.dst = append(w.dst, raw...)
		w.dst = append(w.dst, '"')
		return
	}
	w.inexact = true
	w.dst = appendValidString(w.dst, raw)
}

// number writes the number that begins at b[i], with the same digits.
func (w *anyWriter) number(b []byte, i int) int {
	from, whole := i, true
	for ; i < len(b); i++ {
		if c := b[i]; c == '.' || c == 'e' || c == 'E' || c == '+' {
			whole = false
		} else if c != '-' && (c < '0' || c > '9') {
			break
		}
	}
	digits := b[from:i]
	if whole && isInt64(digits) {
		w.dst = append(w.dst, `{"intValue":"`...)
		w.dst = append(w.dst, digits...)
		w.dst = append(w.dst, `"}`...)
		return i
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
	return i
}

// isInt64 reports whether an integer fits into 64 bits. It returns false for -0.
func isInt64(digits []byte) bool {
	last := "9223372036854775807"
	if len(digits) > 0 && digits[0] == '-' {
		if digits, last = digits[1:], "9223372036854775808"; string(digits) == "0" {
			return false
		}
	}
	return len(digits) < len(last) || len(digits) == len(last) && string(digits) <= last
}

// stringEnd returns the index just after the string whose opening quote is b[i].
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
	if Valid(raw) {
		dst = append(dst, `{"stringValue":"`...)
		dst = append(dst, raw...)
		return append(dst, `"}`...), true
	}
	text := appendUnescaped(nil, raw)
	if utf8.Valid(text) { // the string has a lone surrogate
		dst = append(dst, `{"stringValue":`...)
		return append(appendValidString(dst, raw), '}'), false
	}
	quoted := jsontext.AppendQuote(nil, text)
	return appendBytes(dst, text), bytes.Equal(quoted[1:len(quoted)-1], raw)
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

// appendValidString appends a string with U+FFFD for each byte that is not UTF-8, and
// for each lone surrogate; raw is the text between its quotes. Only such bytes make the
// string longer.
func appendValidString(dst, raw []byte) []byte {
	if Valid(raw) {
		dst = append(dst, '"')
		dst = append(dst, raw...)
		return append(dst, '"')
	}
	dst = append(dst, '"')
	for _, r := range string(appendUnescaped(nil, raw)) {
		if i := bytes.IndexByte([]byte("\b\f\n\r\t\"\\"), byte(r)); i >= 0 && r < utf8.RuneSelf {
			dst = append(dst, '\\', `bfnrt"\`[i])
		} else if r < ' ' {
			dst = append(dst, `\u00`...)
			dst = append(dst, '0'+byte(r>>4), "0123456789abcdef"[r&15])
		} else {
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

// escapedRune reads the text after \u: four hexadecimal digits, and for a surrogate
// \u and four more. It returns the character and how many bytes it takes; 0 for a
// lone surrogate.
func escapedRune(b []byte) (r rune, n int) {
	r = hex4(b)
	if !utf16.IsSurrogate(r) {
		return r, 4
	}
	if len(b) >= 10 && b[4] == '\\' && b[5] == 'u' && isHex4(b[6:]) {
		if r = utf16.DecodeRune(r, hex4(b[6:])); r != utf8.RuneError {
			return r, 10
		}
	}
	return utf8.RuneError, 0
}

// hex4 reads four hexadecimal digits.
func hex4(b []byte) (r rune) {
	for _, c := range b[:4] {
		r = r<<4 | rune(hexDigit(c))
	}
	return r
}

// hexDigit returns the value of a hexadecimal digit, and 16 for any other character.
func hexDigit(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 16
}

// appendUnescaped appends the unescaped text of a string; raw is the text between its
// quotes. A lone surrogate becomes U+FFFD.
func appendUnescaped(dst, raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			dst = append(dst, raw[i])
			continue
		}
		i++
		switch c := raw[i]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r, n := escapedRune(raw[i+1:])
			dst = utf8.AppendRune(dst, r)
			i += max(n, 4)
		default: // a quote, backslash or slash
			dst = append(dst, c)
		}
	}
	return dst
}
