package annotate

import (
	"bytes"
	"strings"
)

// pastTime returns the index just after the time that a text begins with: a date
// and a time of day, or only a time of day; 0 if there is none.
func pastTime(text []byte) int {
	i := pastDate(text)
	n := clock(text[i:])
	if n == 0 {
		return 0
	}
	i += n
	if i+1 < len(text) && (text[i] == '.' || text[i] == ',') && isDigit(text[i+1]) {
		for i++; i < len(text) && isDigit(text[i]); {
			i++
		}
	}
	switch {
	case i < len(text) && text[i] == 'Z':
		i++
	case i+2 < len(text) && (text[i] == '+' || text[i] == '-') && isDigit(text[i+1]) && isDigit(text[i+2]):
		for i++; i < len(text) && (isDigit(text[i]) || text[i] == ':'); {
			i++
		}
	default:
		if n := pastNoon(text[i:]); n > 0 {
			i += n
		}
	}
	return i
}

// pastNoon returns the length of AM or PM with the space before it, which may be a
// narrow one beyond ASCII.
func pastNoon(text []byte) int {
	rest := bytes.TrimPrefix(bytes.TrimPrefix(text, []byte{' '}), []byte("\u202f"))
	if len(rest) < 2 || rest[0] != 'A' && rest[0] != 'P' || rest[1] != 'M' || len(rest) > 2 && isLetter(rest[2]) {
		return 0
	}
	return len(text) - len(rest) + len("AM")
}

// pastDate returns the index of the time of day after the date that a text begins
// with; 0 if it begins with none.
func pastDate(text []byte) int {
	if len(text) > 11 && (text[4] == '-' || text[4] == '/') && text[7] == text[4] && (text[10] == 'T' || text[10] == ' ') {
		for _, at := range [...]int{0, 1, 2, 3, 5, 6, 8, 9} {
			if !isDigit(text[at]) {
				return 0
			}
		}
		return 11
	}
	if clock(text) > 0 {
		return 0
	}
	// 22/Nov/2026:20:15:00, 11/22/2026, 8:15:00 PM, Sun Nov 22 20:15:00
	for i := 0; i < min(len(text), 32); {
		switch c := text[i]; {
		case i > 0 && !isDigit(text[i-1]) && clock(text[i:]) > 0:
			return i
		case isDigit(c), strings.IndexByte("-/.,: T", c) >= 0:
			i++
		case isDateWord(text[i:]):
			i += 3
		default:
			return 0
		}
	}
	return 0
}

// isDateWord reports whether a text begins with the short name of a month or a day.
func isDateWord(text []byte) bool {
	const words = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec Mon Tue Wed Thu Fri Sat Sun"
	return len(text) >= 3 && isCapital(text[0]) && strings.Contains(words, string(text[:3]))
}

// clock returns the length of the time of day that a text begins with: 20:15:00,
// 8:15:00 or 8:15PM; 0 if it begins with none.
func clock(text []byte) int {
	n := digits(text[:min(len(text), 3)])
	if n == 0 || n > 2 || len(text) < n+len(":15PM") || text[n] != ':' || !isDigit(text[n+1]) || !isDigit(text[n+2]) {
		return 0
	}
	n += 3
	if noon := pastNoon(text[n:]); noon == len("PM") {
		return n + noon
	}
	if len(text) < n+3 || text[n] != ':' || !isDigit(text[n+1]) || !isDigit(text[n+2]) {
		return 0
	}
	return n + 3
}

// digits returns how many digits a text begins with.
//
//go:noinline
func digits(text []byte) (n int) {
	for n < len(text) && isDigit(text[n]) {
		n++
	}
	return n
}
