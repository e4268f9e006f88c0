package annotate

import (
	"bytes"

	"github.com/kinetel/kinetel/internal/event"
)

// maxFields bounds what may stand between a time and the severity: a process, a
// thread, a logger.
const maxFields = 8

// readTime parses a text that may begin with a time, and returns the message after
// Lambda's prefix. In the format of java.util.logging the level is on a second line,
// after the line with the time and the method.
func (l *line) readTime(text []byte) (message []byte) {
	if message = l.readFields(text, false); l.severity != event.SeverityUnknown || pastTime(text) == 0 {
		return message
	}
	_, second, _ := bytes.Cut(text, []byte{'\n'})
	if n := letters(second); n > 0 && n < len(second) && second[n] == ':' && isCapital(second[0]) && oneCase(second[:n]) {
		l.severity = l.severityOf(second[:n])
	}
	return message
}

// readFields parses a text that begins with a time, or that has one in brackets. Node
// and .NET write (AWS documentation, Lambda's log formats)
//
//	2026-11-22T20:15:00.123Z	8476a536-e9f4-11e8-9739-2dfe598c3fcd	INFO	text
//
// and other loggers write fields of many kinds before the severity. In Lambda's
// format readFields returns the text after the level.
func (l *line) readFields(text []byte, bracket bool) (message []byte) {
	n := pastTime(text)
	if n == 0 {
		return nil
	}
	tabs := n < len(text) && text[n] == '\t'
	lambda := tabs && n+1 < len(text) && text[n+1] == '\t' // without a request id: outside of a request
	if n < len(text) && (text[n] == ']' || text[n] == ':') {
		n++
	}
	iso := len(text) > 10 && text[10] == 'T'
	dash := false // before the field
	for range maxFields {
		i := n
		for i < len(text) && (text[i] == ' ' || text[i] == '\t' || text[i] == '|') {
			i++
		}
		field := text[i:pastField(text, i)]
		if len(field) == 0 || i == n && i > 0 && text[i-1] != ']' && text[i-1] != ':' {
			return nil // there is no separator between the time and the field
		}
		n = i + len(field)
		rest := text[n:]
		uuid := isUUID(field)
		if !uuid {
			l.severity = l.severityInField(field, rest, iso, bracket)
		}
		if l.severity != event.SeverityUnknown {
			if lambda && len(rest) > 0 && rest[0] == '\t' {
				l.scale = topScale
				return rest[1:]
			}
			if rest = bytes.TrimLeft(rest, " "); l.n > 0 && len(rest) > 0 && rest[0] == '{' {
				return rest // separated by spaces, as a pattern may have them
			}
			return nil
		}
		lambda = tabs && len(rest) > 0 && rest[0] == '\t' // there is only one such field
		tabs = false
		switch {
		case lambda, uuid: // the latter of a log4j pattern or another format
			l.candidate(rankPrefix, field)
		case bracket && field[len(field)-1] == ']', // of the time: a zone
			dash && bytes.HasPrefix(rest, []byte(" - ")), // Python's: - name -
			skippable(field):
		default:
			return nil
		}
		dash = string(field) == "-"
	}
	return nil
}

// pastField returns the index just after the field that begins at text[i]: it ends
// at white space or a vertical bar, or is in brackets.
func pastField(text []byte, i int) int {
	if i < len(text) && text[i] == '[' {
		if in, rest, ok := bracketed(text[i:]); ok {
			i += len(in) + len("[]")
			if bytes.HasPrefix(rest, []byte{':'}) {
				i++
			}
			return i
		}
	}
	for i < len(text) && text[i] > ' ' && text[i] != '|' {
		i++
	}
	return i
}

// severityInField returns the severity in a field after a time, if the text after the
// field allows for that. iso means that the time has the form of ISO 8601, and bracket
// that it is in brackets.
func (f *found) severityInField(field, rest []byte, iso, bracket bool) event.Severity {
	if s := f.ofField(field, rest); s != event.SeverityUnknown {
		return s
	}
	if iso && isSwift(field, rest) {
		return f.printed(field)
	}
	if len(field) == 1 && bytes.HasPrefix(rest, []byte(" [")) { // Ruby's semantic_logger: E [8:main]
		return f.ofInitial(field)
	}
	if bracket && string(field) == "PHP" {
		return f.ofPHP(bytes.TrimLeft(rest, " "))
	}
	if bracket {
		return f.inChannel(field)
	}
	return event.SeverityUnknown
}

// ofField returns the severity that a field is.
func (f *found) ofField(field, rest []byte) event.Severity {
	word := field
	marked := len(rest) > 0 && rest[0] == '\t'
	if word[0] == '[' {
		word = bytes.TrimLeft(word[1:], " ")
	}
	n := letters(word)
	if n == 0 {
		return event.SeverityUnknown
	}
	enclosed := bytes.HasPrefix(bytes.TrimLeft(rest, " "), []byte{'|'})
	switch after := word[n:]; {
	case len(after) == 0:
	case after[0] == ']':
		enclosed = true
	case after[0] == ':' || after[0] == '>':
		marked = true
	case after[0] == '/' && after[len(after)-1] == ']': // Celery's ERROR/MainProcess]
		marked = true
	case after[0] == ' ' && len(bytes.Trim(after, " ]:")) == 0: // structlog's [error    ]
		enclosed = true
	default:
		return event.SeverityUnknown
	}
	switch word = word[:n]; {
	case marked && string(word) == "fail", enclosed && string(word) == "Information":
		return f.severityOf(word) // .NET's
	case enclosed:
		return f.unambiguous(word)
	case !marked && !isCapital(word[0]):
		return event.SeverityUnknown
	}
	return f.printed(word)
}

// isSwift reports whether a field and what follows have Swift's log format, which
// after the time is level label: text.
func isSwift(field, rest []byte) bool {
	if isCapital(field[0]) || letters(field) != len(field) || len(rest) < 2 || rest[0] != ' ' {
		return false
	}
	n := 1 + pastWord(rest[1:])
	return rest[n-1] == ':' || bytes.HasPrefix(rest[n:], []byte(" :"))
}

// skippable reports whether a field may precede a severity: a thread in brackets, a
// process, a zone, a mark, a source line, or undefined in place of a request id.
func skippable(field []byte) bool {
	last := field[len(field)-1]
	if field[0] == '[' || field[0] == '{' && last == '}' || field[0] == '(' && last == ')' {
		return true
	}
	switch string(field) {
	case "undefined", "UTC", "main":
		return true
	}
	if i := bytes.Index(field, []byte(".go:")); i > 0 && last == ':' { // Go's main.go:17:
		return true
	}
	for _, c := range field {
		if isLetter(c) || c >= 0x80 {
			return false
		}
	}
	return true
}
