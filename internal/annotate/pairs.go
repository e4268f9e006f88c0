package annotate

import (
	"bytes"

	"github.com/kinetel/kinetel/internal/event"
)

// isPair reports whether a text begins as name=value does.
func isPair(text []byte) bool {
	n := 0
	for n < len(text) && (isLetter(text[n]) || isDigit(text[n]) || text[n] == '_' || text[n] == '.' || text[n] == '-' || text[n] == '@') {
		n++
	}
	return n > 0 && n < len(text) && text[n] == '='
}

// logfmt returns the severity in a text of name=value pairs.
func (f *found) logfmt(text []byte) event.Severity {
	for i := 0; ; i++ {
		n := bytes.IndexByte(text[i:], '=')
		if n < 0 {
			return event.SeverityUnknown
		}
		i += n
		name := i
		for name > 0 && (isName(text[name-1]) || text[name-1] == '.') {
			name--
		}
		switch string(text[name:i]) {
		case "level", "lvl", "severity", "log.level":
		default:
			continue
		}
		if name > 0 && text[name-1] > ' ' || quoted(text[:name]) {
			continue
		}
		value := text[i+1:]
		end := byte(' ')
		if len(value) > 0 && (value[0] == '"' || value[0] == '\'') { // structlog uses both
			end = value[0]
			value = value[1:]
		}
		n = letters(value)
		if n == len(value) && (end != ' ' || len(text) >= maxHead) {
			continue // truncated
		}
		for end == ' ' && n < len(value) && (value[n] == '+' || value[n] == '-' || isDigit(value[n])) {
			n++ // slog: ERROR+4
		}
		if n == len(value) || value[n] == end || end == ' ' && value[n] <= ' ' {
			if s := f.level(value[:n]); s != event.SeverityUnknown {
				return s
			}
		}
	}
}

// quoted reports whether a quote is open at the end of a text.
func quoted(text []byte) (open bool) {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			open = !open
		}
	}
	return open
}

// ofNodeObject returns the level of an object that Node's console printed:
// { level: 'error', message: 'text' }.
func (f *found) ofNodeObject(text []byte) event.Severity {
	begins := false // a member of the outermost object
	for i, depth := 0, 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '{' || c == '[':
			depth++
			begins = depth == 1
		case c == '}' || c == ']':
			depth--
		case c == ',':
			begins = depth == 1
		case c == '\'' || c == '"' || c == '`':
			for i++; i < len(text) && text[i] != c; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			begins = false
		case begins && isLetter(c):
			begins = false
			n := i + letters(text[i:])
			name, value := text[i:n], text[n:]
			i = n - 1
			if string(name) != "level" && string(name) != "severity" && string(name) != "severityText" {
				continue
			}
			if value, ok := bytes.CutPrefix(value, []byte(": '")); ok {
				word, _, _ := bytes.Cut(value, []byte{'\''})
				return f.level(word)
			}
			if value, ok := bytes.CutPrefix(value, []byte(": ")); ok {
				o := object{rank: ranks, level: value[:digits(value)]}
				*f = o.severity()
				return f.severity
			}
		}
	}
	return event.SeverityUnknown
}
