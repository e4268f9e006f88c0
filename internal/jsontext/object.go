package jsontext

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Object writes a JSON object, member by member. The zero value is an empty object.
// encoding/json writes the same with reflection, which takes 152 kB of the extension's
// binary (docs/adr/0015-no-encoding-json.md).
type Object struct {
	// OmitEmpty leaves out the members that follow if they are "", 0, false or without
	// elements.
	OmitEmpty bool

	text []byte // without the last brace
}

// JSON returns the object. It is complete as soon as all that was begun has ended.
func (o *Object) JSON() []byte {
	o.open()
	return append(o.text, '}')
}

func (o *Object) open() {
	if o.text == nil {
		o.text = append(make([]byte, 0, 512), '{')
	}
}

// name begins a member.
func (o *Object) name(name string) {
	o.open()
	if o.text[len(o.text)-1] != '{' {
		o.text = append(o.text, ',')
	}
	o.text = append(appendText(o.text, name), ':')
}

// Begin begins a member that is an object: what follows are its members, until End.
func (o *Object) Begin(name string) {
	o.name(name)
	o.text = append(o.text, '{')
}

// End ends what Begin has begun.
func (o *Object) End() { o.text = append(o.text, '}') }

// Raw adds a member whose value is JSON already. No text is an empty value.
func (o *Object) Raw(name string, value []byte) {
	if len(value) == 0 {
		if o.OmitEmpty {
			return
		}
		value = []byte("null")
	}
	o.name(name)
	o.text = append(o.text, value...)
}

// String adds a text, with U+FFFD for each byte that is not UTF-8.
func (o *Object) String(name, value string) {
	if value != "" || !o.OmitEmpty {
		o.name(name)
		o.text = appendText(o.text, value)
	}
}

// Int adds an integer.
func (o *Object) Int(name string, value int64) {
	if value != 0 || !o.OmitEmpty {
		o.name(name)
		o.text = strconv.AppendInt(o.text, value, 10)
	}
}

// Uint adds a number that is at least 0.
func (o *Object) Uint(name string, value uint64) {
	if value != 0 || !o.OmitEmpty {
		o.name(name)
		o.text = strconv.AppendUint(o.text, value, 10)
	}
}

// Float adds a number that is finite.
func (o *Object) Float(name string, value float64) {
	if value != 0 || !o.OmitEmpty {
		o.name(name)
		o.text = strconv.AppendFloat(o.text, value, 'f', -1, 64)
	}
}

// Bool adds true or false.
func (o *Object) Bool(name string, value bool) {
	if value || !o.OmitEmpty {
		o.name(name)
		o.text = strconv.AppendBool(o.text, value)
	}
}

// Strings adds an array of texts.
func (o *Object) Strings(name string, values []string) {
	elements := make([][]byte, len(values))
	for i, value := range values {
		elements[i] = appendText(nil, value)
	}
	o.Array(name, elements)
}

// Array adds an array whose elements are JSON already.
func (o *Object) Array(name string, elements [][]byte) {
	if len(elements) > 0 || !o.OmitEmpty {
		o.Raw(name, Array(elements))
	}
}

// Array returns an array whose elements are JSON already.
func Array(elements [][]byte) []byte {
	return append(append([]byte{'['}, bytes.Join(elements, []byte{','})...), ']')
}

// appendText appends a text as encoding/json's Encoder does without EscapeHTML: valid
// UTF-8, and without the characters that some programs take for the end of a line.
func appendText(dst []byte, text string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range text { // U+FFFD for each byte that is not UTF-8
		short := strings.IndexRune("\"\\\b\f\n\r\t", r)
		switch {
		case r == utf8.RuneError:
			dst = append(dst, Replacement...)
		case short >= 0:
			dst = append(dst, '\\', `"\bfnrt`[short])
		case r < ' ', r == 0x2028, r == 0x2029:
			dst = append(dst, '\\', 'u', hex[r>>12], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
