// Package jsontext scans JSON text without copies: it finds where a value ends, iterates
// over members, and quotes and unquotes strings. It also writes objects. A library's
// tokenizer costs several times as much for each byte (docs/adr/0003-own-scanner.md), and
// this package scans every byte that a function logs.
//
// It follows RFC 8259 with one exception: it accepts any bytes above 0x7f inside a
// string, valid UTF-8 or not, because a function may print anything and its text
// must not change.
package jsontext

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/bits"
)

var (
	// ErrCut means that the text ended inside a value.
	ErrCut = errors.New("the text ends inside a JSON value")
	// ErrBad means that the text is not a JSON value, whatever follows it.
	ErrBad = errors.New("not a JSON value")
)

// MaxDepth is how deep objects and arrays may be nested. A line adds one level, and
// readers that use Java's Jackson, such as Spark, refuse more than 1,000.
const MaxDepth = 960

// SkipSpace returns the index of the first byte from i that is not white space.
func SkipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// SkipValue returns the index just after the JSON value that begins at b[i].
func SkipValue(b []byte, i int) (end int, err error) {
	var inObject [MaxDepth / 64]uint64 // one bit per level: object or array
	depth := 0

	for {
		// A value must begin here.
		if i >= len(b) {
			return i, ErrCut
		}
		switch c := b[i]; {
		case c == '"':
			i, err = SkipString(b, i)
		case c == '{' || c == '[':
			if depth == MaxDepth {
				return i, ErrBad
			}
			i = SkipSpace(b, i+1)
			if i >= len(b) {
				return i, ErrCut
			}
			if b[i] == c+2 { // '}' is '{'+2, and ']' is '['+2
				i++
				break
			}
			if c == '{' {
				inObject[depth/64] |= 1 << (depth % 64)
				if _, i, err = skipName(b, i, true); err != nil {
					return i, err
				}
			} else {
				inObject[depth/64] &^= 1 << (depth % 64)
			}
			depth++
			continue
		case c == '-' || c >= '0' && c <= '9':
			i, err = skipNumber(b, i)
		case c == 't':
			i, err = skipWord(b, i, "true")
		case c == 'f':
			i, err = skipWord(b, i, "false")
		case c == 'n':
			i, err = skipWord(b, i, "null")
		default:
			err = ErrBad
		}
		if err != nil {
			return i, err
		}

		// A value has ended. Close the objects and arrays that end after it.
		for {
			if depth == 0 {
				return i, nil
			}
			object := inObject[(depth-1)/64]>>((depth-1)%64)&1 == 1
			i = SkipSpace(b, i)
			if i >= len(b) {
				return i, ErrCut
			}
			if b[i] == ',' {
				i = SkipSpace(b, i+1)
				if object {
					if _, i, err = skipName(b, i, true); err != nil {
						return i, err
					}
				}
				break
			}
			if object && b[i] != '}' || !object && b[i] != ']' {
				return i, ErrBad
			}
			i++
			depth--
		}
	}
}

// skipName skips the member's name that begins at b[i] and its colon. It returns the
// text between the quotes, which it checks only if check is true, and the index of the
// member's value.
func skipName(b []byte, i int, check bool) (name []byte, value int, err error) {
	if i >= len(b) {
		return nil, i, ErrCut
	}
	if b[i] != '"' {
		return nil, i, ErrBad
	}
	end, err := skipString(b, i, check)
	if err != nil {
		return nil, end, err
	}
	name = b[i+1 : end-1]
	if i = SkipSpace(b, end); i >= len(b) {
		return nil, i, ErrCut
	}
	if b[i] != ':' {
		return nil, i, ErrBad
	}
	return name, SkipSpace(b, i+1), nil
}

// skipString is SkipString if check is true. Otherwise it only searches for the end,
// which is faster.
func skipString(b []byte, i int, check bool) (int, error) {
	if check {
		return SkipString(b, i)
	}
	for i++; ; {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return len(b), ErrCut
		}
		quote := i + n
		first := quote // of the backslashes before the quote
		for first > i && b[first-1] == '\\' {
			first--
		}
		i = quote + 1
		if (quote-first)%2 == 0 {
			return i, nil
		}
	}
}

// SkipString returns the index just after the string whose opening quote is
// b[i].
func SkipString(b []byte, i int) (int, error) {
	for i++; ; {
		i = pastPlain(b, i)
		if i >= len(b) {
			return i, ErrCut
		}
		switch b[i] {
		case '"':
			return i + 1, nil
		case '\\':
			var err error
			if i, err = skipEscape(b, i); err != nil {
				return i, err
			}
		default:
			return i, ErrBad
		}
	}
}

// pastPlain returns the index of the first byte from i that does not stand for itself in
// a string: a quote, a backslash or a control character. It returns len(b) if there is
// none. It looks at many bytes at once: every byte of telemetry comes by here.
func pastPlain(b []byte, i int) int {
	for ; i+16 <= len(b); i += 16 {
		w := b[i : i+16]
		first, second := special(binary.LittleEndian.Uint64(w)), special(binary.LittleEndian.Uint64(w[8:]))
		if first != 0 {
			return i + bits.TrailingZeros64(first)/8
		}
		if second != 0 {
			return i + 8 + bits.TrailingZeros64(second)/8
		}
	}
	for i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' ' {
		i++
	}
	return i
}

// special returns a word whose lowest bit is in the first byte of w that is a quote, a
// backslash or a control character; 0 if there is none.
func special(w uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	// A byte below 0x80 borrows from its highest bit if it is 0 (the first two) or less
	// than a space. Bytes above the first one may be wrong: the borrow goes on.
	return ((w ^ '"'*ones) - ones | ((w ^ '\\'*ones) - ones) | (w - ' '*ones)) &^ w & highs
}

// skipEscape returns the index just after the escape that begins at b[i].
func skipEscape(b []byte, i int) (int, error) {
	i++
	if i >= len(b) {
		return i, ErrCut
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1, nil
	case 'u':
		for range 4 {
			if i++; i >= len(b) {
				return i, ErrCut
			}
			if !isHex(b[i]) {
				return i, ErrBad
			}
		}
		return i + 1, nil
	}
	return i, ErrBad
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// skipNumber returns the index just after the number that begins at b[i].
func skipNumber(b []byte, i int) (int, error) {
	if b[i] == '-' {
		i++
	}
	first := i
	i, err := skipDigits(b, i)
	if err != nil {
		return i, err
	}
	if b[first] == '0' && i > first+1 {
		return first + 1, ErrBad
	}
	if i < len(b) && b[i] == '.' {
		if i, err = skipDigits(b, i+1); err != nil {
			return i, err
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if i, err = skipDigits(b, i); err != nil {
			return i, err
		}
	}
	return i, nil
}

// skipDigits skips one or more digits.
func skipDigits(b []byte, i int) (int, error) {
	if i >= len(b) {
		return i, ErrCut
	}
	if b[i] < '0' || b[i] > '9' {
		return i, ErrBad
	}
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i, nil
}

func skipWord(b []byte, i int, word string) (int, error) {
	for j := range len(word) {
		if i+j >= len(b) {
			return i + j, ErrCut
		}
		if b[i+j] != word[j] {
			return i + j, ErrBad
		}
	}
	return i + len(word), nil
}
