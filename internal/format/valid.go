package format

import (
	"bytes"
	"encoding/base64"
	"unicode/utf8"

	"kinetel/internal/jsontext"
)

// replacement is U+FFFD, the replacement character.
const replacement = "\uFFFD"

// Valid reports whether every reader accepts the JSON text: whether it is UTF-8 and
// has no escape of a lone surrogate (\ud800). RFC 8259 allows such an escape; DuckDB
// and others reject it, because it encodes no character.
func Valid(text []byte) bool {
	if !utf8.Valid(text) {
		return false
	}
	if !bytes.Contains(text, []byte(`\u`)) {
		return true
	}
	for {
		i := bytes.IndexByte(text, '\\')
		if i < 0 {
			return true
		}
		n, ok := Unit(text[i:])
		if !ok {
			return false
		}
		text = text[i+n:]
	}
}

// AppendValid appends JSON text with U+FFFD for each byte that is not UTF-8, and
// for each escape of a lone surrogate. Valid text is copied as it is.
func AppendValid(dst, text []byte) []byte {
	if Valid(text) {
		return append(dst, text...)
	}
	for len(text) > 0 {
		n, ok := Unit(text)
		if ok {
			dst = append(dst, text[:n]...)
		} else {
			dst = append(dst, replacement...)
		}
		text = text[n:]
	}
	return dst
}

// Unit returns how many bytes the first character of JSON text takes, escapes
// included: a pair of surrogates has 12. If ok is false, AppendValid replaces these
// bytes.
func Unit(text []byte) (n int, ok bool) {
	switch c := text[0]; {
	case c == '\\' && len(text) >= 6 && text[1] == 'u' && isHex4(text[2:]):
		_, n = escapedRune(text[2:])
		return 2 + max(n, 4), n > 0
	case c == '\\' && len(text) >= 2 && text[1] < utf8.RuneSelf:
		return 2, true
	case c < utf8.RuneSelf:
		return 1, true
	}
	r, n := utf8.DecodeRune(text)
	return n, r != utf8.RuneError || n > 1
}

func isHex4(b []byte) bool {
	for _, c := range b[:4] {
		if hexDigit(c) > 15 {
			return false
		}
	}
	return true
}

// ReplacedSize returns how many bytes AppendLine writes for a record that is not
// Valid: for its text with replacements, and for its original. It returns 0 for a Valid
// record.
func ReplacedSize(record []byte) (size int) {
	if Valid(record) {
		return 0
	}
	for rest := record; len(rest) > 0; {
		n, ok := Unit(rest)
		if ok {
			size += n
		} else {
			size += len(replacement)
		}
		rest = rest[n:]
	}
	return size + base64.StdEncoding.EncodedLen(len(record))
}

// appendBodyMembers appends the member body and, if the body is not Valid, the member
// bodyBase64. The body of a part is a string with a piece of JSON text.
func appendBodyMembers(dst, record []byte, part Part) []byte {
	dst = append(dst, `,"body":`...)
	original := record
	if part.Parts > 0 {
		original = part.Body
	}
	valid := original
	replaced := !Valid(original)
	if replaced {
		valid = AppendValid(nil, original)
	}
	if part.Parts > 0 {
		dst = jsontext.AppendQuote(dst, valid)
	} else {
		dst = AppendOneLine(dst, valid)
	}
	if replaced {
		dst = append(dst, `,"bodyBase64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, original)
		dst = append(dst, '"')
	}
	return dst
}
