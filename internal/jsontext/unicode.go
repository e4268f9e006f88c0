package jsontext

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Replacement is U+FFFD, the replacement character.
const Replacement = "\uFFFD"

// ValidUnicode reports whether every reader accepts the characters of JSON text:
// whether it is UTF-8 and has no escape of a lone surrogate (\ud800). RFC 8259 allows
// such an escape; DuckDB and others reject it, because it encodes no character.
func ValidUnicode(text []byte) bool {
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
		n, ok := FirstChar(text[i:])
		if !ok {
			return false
		}
		text = text[i+n:]
	}
}

// AppendValidUnicode appends JSON text with U+FFFD for each byte that is not UTF-8,
// and for each escape of a lone surrogate. Valid text is copied as it is.
func AppendValidUnicode(dst, text []byte) []byte {
	if ValidUnicode(text) {
		return append(dst, text...)
	}
	for len(text) > 0 {
		n, ok := FirstChar(text)
		if ok {
			dst = append(dst, text[:n]...)
		} else {
			dst = append(dst, Replacement...)
		}
		text = text[n:]
	}
	return dst
}

// FirstChar returns how many bytes the first character of JSON text takes, escapes
// included: a pair of surrogates has 12. If ok is false, AppendValidUnicode replaces
// these bytes.
func FirstChar(text []byte) (n int, ok bool) {
	if c := text[0]; c < utf8.RuneSelf {
		if c != '\\' {
			return 1, true
		}
		r, n := Unescape(text)
		switch {
		case n > 0:
			return n, !utf16.IsSurrogate(r)
		case len(text) >= 2 && text[1] < utf8.RuneSelf: // no escape of JSON
			return 2, true
		}
		return 1, true
	}
	r, n := utf8.DecodeRune(text)
	return n, r != utf8.RuneError || n > 1
}
