package jsontext

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// Replacement is U+FFFD, the replacement character.
const Replacement = "\uFFFD"

// ValidUnicode reports whether every reader accepts the characters of JSON text:
// whether it is UTF-8 and has no escape of a lone surrogate (\ud800). RFC 8259 allows
// such an escape; DuckDB and others reject it, because it encodes no character.
func ValidUnicode(text []byte) bool {
	text = text[pastASCII(text):]
	if len(text) == 0 {
		return true
	}
	if !utf8.Valid(text) {
		return false
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

// pastASCII returns the index of the first character of JSON text that is not ASCII, or is
// an escape with a number. It returns len(text) if there is none, as in most text.
func pastASCII(text []byte) int {
	for i := 0; ; {
		for i+16 <= len(text) {
			w := text[i : i+16]
			first, second := notPlain(binary.LittleEndian.Uint64(w)), notPlain(binary.LittleEndian.Uint64(w[8:]))
			if first|second == 0 {
				i += 16
				continue
			}
			if first == 0 {
				first, i = second, i+8
			}
			i += bits.TrailingZeros64(first) / 8
			break
		}
		switch {
		case i >= len(text):
			return len(text)
		case text[i] >= utf8.RuneSelf:
			return i
		case text[i] != '\\':
			i++
		case i+1 == len(text) || text[i+1] == 'u' || text[i+1] >= utf8.RuneSelf:
			return i
		default:
			i += 2
		}
	}
}

// notPlain returns a word whose lowest bit is in the first byte of w that is a backslash or
// not ASCII; 0 if there is none. See special.
func notPlain(w uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	return (w | ((w ^ '\\'*ones) - ones)) & highs
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
