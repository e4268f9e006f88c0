package tail

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// appendEscaped appends text for a terminal: what is not printable is escaped as in Go, so
// that text from a stream cannot change the terminal, or look like another line. A tab
// becomes a space.
func appendEscaped(dst, text []byte) []byte {
	from := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= ' ' && c < 0x7f {
			i++
			continue
		}
		n := 1
		if c >= utf8.RuneSelf {
			var r rune
			if r, n = utf8.DecodeRune(text[i:]); n > 1 && strconv.IsPrint(r) {
				i += n
				continue
			}
		}
		dst = append(dst, text[from:i]...)
		if c == '\t' {
			dst = append(dst, ' ')
		} else {
			quoted := strconv.AppendQuote(nil, string(text[i:i+n]))
			dst = append(dst, quoted[1:len(quoted)-1]...)
		}
		i += n
		from = i
	}
	return append(dst, text[from:]...)
}

func escaped(text string) string { return string(appendEscaped(nil, []byte(text))) }

// quoted returns text between quotes, without characters that change a terminal.
func quoted(text string) string { return strconv.Quote(text) }

// appendSafeJSON appends lines of JSON with escapes for the characters that JSON allows
// and that change a terminal. They can be in strings only.
func appendSafeJSON(dst, lines []byte) []byte {
	from := 0
	for i := 0; i < len(lines); {
		c := lines[i]
		if c < 0x7f {
			i++
			continue
		}
		r, n := utf8.DecodeRune(lines[i:])
		if n > 1 && strconv.IsPrint(r) || r > 0xffff {
			i += n
			continue
		}
		dst = append(dst, lines[from:i]...)
		dst = fmt.Appendf(dst, `\u%04x`, r)
		i += n
		from = i
	}
	return append(dst, lines[from:]...)
}

// appendEscapedColor is appendEscaped for text that may have colours (ESC [ … m) and line
// feeds.
func appendEscapedColor(dst, text []byte) []byte {
	from := 0
	for i := 0; i < len(text); {
		n := 1
		switch {
		case text[i] == '\n' || text[i] == '\t':
		case text[i] == 0x1b:
			n = colorLen(text[i:])
		default:
			n = 0
		}
		if n > 0 {
			dst = appendEscaped(dst, text[from:i])
			dst = append(dst, text[i:i+n]...)
			i += n
			from = i
		} else {
			i++
		}
	}
	return appendEscaped(dst, text[from:])
}

// colorLen returns how long the sequence is that sets a colour at the beginning of text,
// or 0.
func colorLen(text []byte) int {
	if len(text) < 2 || text[1] != '[' {
		return 0
	}
	for i, c := range text[2:] {
		switch {
		case c == 'm':
			return i + 3
		case (c < '0' || c > '9') && c != ';':
			return 0
		}
	}
	return 0
}
