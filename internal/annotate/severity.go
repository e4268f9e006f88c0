package annotate

import (
	"strings"

	"github.com/kinetel/kinetel/internal/event"
)

// maxWord is the length of the longest word for a severity: informational.
const maxWord = 13

// lookUp returns the severity for a logger's word, in any case, and whether the word also
// has another meaning. It knows the words of syslog, Java, Python, .NET, Node, Ruby, PHP
// and Go, and short forms of console writers. A level between two of the six becomes the
// lower one. A level above error becomes fatal, as in Lambda's own mapping of Python's
// critical.
func lookUp(word []byte) (s event.Severity, ambiguous bool) {
	if len(word) > maxWord {
		return event.SeverityUnknown, false
	}
	var lower [maxWord]byte
	for i, c := range word {
		if isCapital(c) {
			c += 'a' - 'A'
		}
		lower[i] = c
	}
	switch string(lower[:len(word)]) {
	case "trace", "verbose", "finest", "trce", "trc", "trac", "vrb", "verb":
		return event.Trace, false
	case "silly":
		return event.Trace, true
	case "debug", "finer", "dbug", "dbg", "debu":
		return event.Debug, false
	case "fine", "config", "http":
		return event.Debug, true
	case "info", "informational", "notice", "inf", "success":
		return event.Info, false
	case "information", "log":
		return event.Info, true
	case "warn", "warning", "wrn":
		return event.Warn, false
	case "error", "err", "severe", "erro", "eror":
		return event.Error, false
	case "fail":
		return event.Error, true
	case "fatal", "critical", "crit", "panic", "dpanic", "alert", "emerg", "emergency", "ftl", "fata", "fatl", "pani", "pnc":
		return event.Fatal, false
	}
	return event.SeverityUnknown, false
}

// severityOf returns the severity for a word in any case.
func (f *found) severityOf(word []byte) event.Severity {
	f.text = word
	s, _ := lookUp(word)
	return s
}

// level returns the severity for a logger's word with a suffix: the offset of Go's
// slog, as in ERROR+4, or the step of OpenTelemetry, as in INFO2.
func level(word []byte) event.Severity {
	n := letters(word)
	s, _ := lookUp(word[:n])
	rest := word[n:]
	if s == event.SeverityUnknown || len(rest) == 0 {
		return s
	}
	if len(rest) == 1 && rest[0] >= '1' && rest[0] <= '5' {
		return s
	}
	by := number(rest[1:])
	if by < 0 || s < event.Debug || s > event.Error {
		return event.SeverityUnknown
	}
	if rest[0] == '-' {
		by = -by - 3 // round down
	} else if rest[0] != '+' {
		return event.SeverityUnknown
	}
	return event.Severity(min(max(int(s)+by/4, int(event.Trace)), int(event.Fatal)))
}

// level is level, and notes the word.
func (f *found) level(word []byte) event.Severity {
	f.text = word
	return level(word)
}

// ofSyslog returns the severity for one of syslog's (RFC 5424): 0 is an emergency.
func (f *found) ofSyslog(n int) event.Severity {
	f.scale = syslogScale + uint8(n&7)
	return [...]event.Severity{event.Fatal, event.Fatal, event.Fatal, event.Error, event.Warn, event.Info, event.Info, event.Debug}[n&7]
}

// printed returns the severity for a word at the place of the severity in a text. The
// word must be all in upper case or all in lower case, and must have no other
// meaning.
func (f *found) printed(word []byte) event.Severity {
	if len(word) == 0 || !oneCase(word) {
		return event.SeverityUnknown
	}
	return f.unambiguous(word)
}

// unambiguous returns the severity for a word in any case that has no other meaning.
func (f *found) unambiguous(word []byte) event.Severity {
	f.text = word
	s, ambiguous := lookUp(word)
	if ambiguous {
		return event.SeverityUnknown
	}
	return s
}

// firstWord returns the severity for the first word of a text. Nothing before it shows
// that a logger wrote it.
func (f *found) firstWord(word []byte) event.Severity {
	switch string(word) {
	case "TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL":
		return f.severityOf(word)
	}
	return event.SeverityUnknown
}

// ofInitial returns the severity that begins with a letter, which is the first of text.
//
//go:noinline
func (f *found) ofInitial(text []byte) event.Severity {
	const initials = "DIWEF" // of Debug to Fatal
	if f.text = text[:1]; text[0] == 'C' {
		return event.Fatal
	}
	if i := strings.IndexByte(initials, text[0]); i >= 0 {
		return event.Debug + event.Severity(i)
	}
	return event.SeverityUnknown
}

// oneCase reports whether a word is all in upper case or all in lower case.
func oneCase(word []byte) bool {
	capitals := isCapital(word[0])
	for _, c := range word {
		if isCapital(c) != capitals {
			return false
		}
	}
	return true
}

func isCapital(c byte) bool { return c >= 'A' && c <= 'Z' }

func isLetter(c byte) bool { return isCapital(c) || c >= 'a' && c <= 'z' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// letters returns how many letters text begins with. If it and others that are called
// in many places were inlined, the binary would be 8 kB larger.
//
//go:noinline
func letters(text []byte) (n int) {
	for n < len(text) && isLetter(text[n]) {
		n++
	}
	return n
}

// pastWord returns the length of the word that a text begins with.
//
//go:noinline
func pastWord(text []byte) (n int) {
	for n < len(text) && text[n] > ' ' {
		n++
	}
	return n
}
