package jsontext

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// Unquoted returns the text between the quotes of a JSON string, with its escapes, or
// nil for any other value.
func Unquoted(value []byte) []byte {
	if len(value) < 2 || value[0] != '"' {
		return nil
	}
	return value[1 : len(value)-1]
}

// Text returns the text that a JSON string encodes, with U+FFFD for what is not Unicode;
// empty for any other value.
func Text(value []byte) string {
	quoted := Unquoted(value)
	if utf8.Valid(quoted) && bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted)
	}
	return string(AppendUnescape(nil, AppendValidUnicode(nil, quoted), -1))
}

// AppendUnquote appends the text that a JSON string encodes. It is the inverse of
// AppendQuote: bytes that are not UTF-8 stay unchanged. An escape of a lone surrogate
// becomes U+FFFD. ok is false if value is anything but a JSON string.
func AppendUnquote(dst, value []byte) (all []byte, ok bool) {
	if len(value) == 0 || value[0] != '"' {
		return dst, false
	}
	if end, err := SkipString(value, 0); err != nil || end != len(value) {
		return dst, false
	}
	return AppendUnescape(dst, value[1:len(value)-1], -1), true
}

// AppendUnescape is AppendUnquote for the text between the quotes of a string. It
// stops when dst is most bytes long, unless most is negative. An escape that is invalid
// or cut stays as it is.
func AppendUnescape(dst, text []byte, most int) []byte {
	if most < 0 {
		most = len(dst) + len(text) // no escape is shorter than its character
	}
	for len(text) > 0 && len(dst) < most {
		n := bytes.IndexByte(text, '\\')
		if n < 0 {
			n = len(text)
		}
		n = min(n, most-len(dst))
		dst = append(dst, text[:n]...)
		if text = text[n:]; len(text) == 0 || len(dst) == most {
			break
		}
		if len(text) > 1 {
			if c := plainEscape(text[1]); c != 0 { // most escapes
				dst, text = append(dst, c), text[2:]
				continue
			}
		}
		r, n := Unescape(text)
		if n == 0 {
			r, n = '\\', 1
		}
		dst = utf8.AppendRune(dst, r) // writes U+FFFD for a surrogate
		text = text[n:]
	}
	return dst[:min(len(dst), most)]
}

// Unescape decodes the escape that text begins with, such as \n, \u00e9 or two \u of a
// pair of surrogates, and returns its length; 0 if the escape is invalid or cut. For
// a lone surrogate, r is the surrogate.
func Unescape(text []byte) (r rune, n int) {
	if len(text) < 2 {
		return 0, 0
	}
	if c := plainEscape(text[1]); c != 0 {
		return rune(c), 2
	}
	if text[1] == 'u' {
		r = hex4(text[2:])
		if r < 0 {
			return 0, 0
		}
		if utf16.IsSurrogate(r) && len(text) >= 12 && text[6] == '\\' && text[7] == 'u' {
			if pair := utf16.DecodeRune(r, hex4(text[8:])); pair != utf8.RuneError {
				return pair, 12
			}
		}
		return r, 6
	}
	return 0, 0
}

// plainEscape returns the character of an escape without a number, by what follows the
// backslash; 0 if there is no such escape.
func plainEscape(c byte) byte {
	switch c {
	case '"', '\\', '/':
		return c
	case 'b':
		return '\b'
	case 'f':
		return '\f'
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	}
	return 0
}

// hex4 returns the value of the four hexadecimal digits that text begins with, or -1
// if there are fewer.
func hex4(text []byte) (r rune) {
	if len(text) < 4 {
		return -1
	}
	for _, c := range text[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case isHex(c):
			c = c&7 + 9 // 'a' and 'A' end in the bits 001
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}
