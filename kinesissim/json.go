package kinesissim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/kinetel/kinetel/internal/jsontext"
)

// This file reads a request without encoding/json, for three reasons: encoding/json
// matches field names in any case, and Kinesis does not; an error's text depends on
// the kind of the value; and here ten megabytes of base64 are read once, at the speed
// of bytes.IndexByte.
//
// The functions expect text that valid accepts.

// valid reports whether b is one JSON value. encoding/json needs three times as long.
func valid(b []byte) bool {
	end, err := jsontext.SkipValue(b, jsontext.SkipSpace(b, 0))
	return err == nil && jsontext.SkipSpace(b, end) == len(b)
}

// value is one JSON value, without space around it.
type value []byte

// endOfString returns the index after the string that starts at b[i].
func endOfString(b []byte, i int) int {
	for i++; ; {
		i += bytes.IndexByte(b[i:], '"')
		slashes := 0
		for b[i-1-slashes] == '\\' {
			slashes++
		}
		i++
		if slashes%2 == 0 {
			return i
		}
	}
}

// endOfValue returns the index after the value that starts at b[i].
func endOfValue(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			i = endOfString(b, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i // the end of the object or array that contains a number or a word
			}
			depth--
			if depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return i
}

// fields calls f for each member of an object, in order.
func (v value) fields(f func(name string, v value) error) error {
	if v[0] != '{' {
		return v.cannotBe("a Structure")
	}
	for i := jsontext.SkipSpace(v, 1); v[i] != '}'; {
		end := endOfString(v, i)
		name, err := v[i:end].text()
		if err != nil {
			return err
		}
		i = jsontext.SkipSpace(v, jsontext.SkipSpace(v, end)+1) // over the colon
		end = endOfValue(v, i)
		member := v[i:end]
		if !member.null() { // null is the same as absent
			if err := f(name, member); err != nil {
				return err
			}
		}
		if i = jsontext.SkipSpace(v, end); v[i] == ',' {
			i = jsontext.SkipSpace(v, i+1)
		}
	}
	return nil
}

// elements calls f for each element of an array, in order.
func (v value) elements(f func(v value) error) error {
	if v[0] != '[' {
		return v.cannotBe("a List")
	}
	for i := jsontext.SkipSpace(v, 1); v[i] != ']'; {
		end := endOfValue(v, i)
		if err := f(v[i:end]); err != nil {
			return err
		}
		if i = jsontext.SkipSpace(v, end); v[i] == ',' {
			i = jsontext.SkipSpace(v, i+1)
		}
	}
	return nil
}

func (v value) null() bool { return v[0] == 'n' }

func (v value) cannotBe(what string) *apiError {
	switch v[0] {
	case '{':
		return serialization("Start of structure or map found where not expected.")
	case '[':
		return serialization("Start of list found where not expected.")
	case '"':
		return serialization("STRING_VALUE can not be converted to %s", what)
	case 't':
		return serialization("TRUE_VALUE can not be converted to %s", what)
	case 'f':
		return serialization("FALSE_VALUE can not be converted to %s", what)
	case 'n':
		return serialization("NULL_VALUE can not be converted to %s", what)
	default:
		return serialization("NUMBER_VALUE can not be converted to %s", what)
	}
}

// raw returns a string's bytes without escapes.
func (v value) raw(what string) ([]byte, error) {
	if v[0] != '"' {
		return nil, v.cannotBe(what)
	}
	inner := v[1 : len(v)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner, nil
	}
	var s string
	if err := json.Unmarshal(v, &s); err != nil {
		return nil, serialization("%s", err.Error())
	}
	return []byte(s), nil
}

func (v value) text() (string, error) {
	b, err := v.raw("a String")
	if err != nil {
		return "", err
	}
	if !utf8.Valid(v) { // not b: undoing escapes hides what is invalid
		return "", serialization("Invalid UTF-8 in a string")
	}
	return string(b), nil
}

// texts returns the strings of an array.
func (v value) texts() (all []string, err error) {
	err = v.elements(func(v value) error {
		s, err := v.text()
		all = append(all, s)
		return err
	})
	return all, err
}

// into stores a string that may be absent.
func (v value) into(p **string) error {
	s, err := v.text()
	if err == nil {
		*p = &s
	}
	return err
}

func (v value) integer(p **int64) error {
	if c := v[0]; c != '-' && (c < '0' || c > '9') {
		return v.cannotBe("an Integer")
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || math.Abs(f) > math.MaxInt32 {
		// Kinesis reads 32 bits; a larger number is over every limit it has.
		f = math.Copysign(math.MaxInt32, f)
	}
	n := int64(f)
	*p = &n
	return nil
}

func (v value) flag(p *bool) error {
	if v[0] != 't' && v[0] != 'f' {
		return v.cannotBe("a Boolean")
	}
	*p = v[0] == 't'
	return nil
}

// moment reads a timestamp: seconds since 1970, with a fraction.
func (v value) moment(p **time.Time) error {
	if c := v[0]; c != '-' && (c < '0' || c > '9') {
		return v.cannotBe("milliseconds since epoch")
	}
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || math.Abs(f) > 1e12 {
		return serialization("%s is not a timestamp", shorten(string(v)))
	}
	t := time.UnixMilli(int64(math.Round(f * 1000)))
	*p = &t
	return nil
}

// blob decodes base64: the standard alphabet, padded, without line breaks.
func (v value) blob() ([]byte, error) {
	b, err := v.raw("a Blob")
	if err != nil {
		return nil, err
	}
	if len(b)%4 != 0 {
		return nil, serialization("Base64 encoded length is expected a multiple of 4 bytes but found: %d", len(b))
	}
	data := make([]byte, base64.StdEncoding.DecodedLen(len(b)))
	n, err := base64.StdEncoding.Strict().Decode(data, b)
	if err != nil {
		return nil, serialization("Invalid Base64: %s", err.Error())
	}
	if n < len(b)/4*3-2 { // encoding/base64 skips line breaks, Kinesis does not
		return nil, serialization("Invalid Base64 character: a line break")
	}
	return data[:n], nil
}
