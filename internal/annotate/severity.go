package annotate

import "kinetel/internal/event"

// maxWord is as long as a word for a severity is: informational.
const maxWord = 13

// lower returns a word in lower case; empty, of what is too long for one.
func lower(word []byte, buf *[maxWord]byte) []byte {
	if len(word) > maxWord {
		return nil
	}
	for i, c := range word {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	return buf[:len(word)]
}

// severity reads a logger's word for a severity, in any case: those of syslog,
// Java, Python, .NET, Node, Ruby, PHP and Go, short forms of console writers
// among them. What is between two of the six goes to the one below it, and what
// is above error, to fatal, as Lambda's own mapping of Python's critical has it.
func severity(word []byte) event.Severity {
	var buf [maxWord]byte
	switch string(lower(word, &buf)) {
	case "trace", "verbose", "finest", "trce", "trc", "trac", "silly", "vrb", "verb":
		return event.Trace
	case "debug", "finer", "fine", "config", "dbug", "dbg", "debu", "http":
		return event.Debug
	case "info", "information", "informational", "notice", "inf", "log", "success":
		return event.Info
	case "warn", "warning", "wrn":
		return event.Warn
	case "error", "err", "severe", "fail", "erro", "eror":
		return event.Error
	case "fatal", "critical", "crit", "panic", "dpanic", "alert", "emerg", "emergency", "ftl", "fata", "fatl", "pani", "pnc":
		return event.Fatal
	}
	return event.SeverityUnknown
}

// level reads a logger's word with what may follow it: the distance from it that Go's
// slog has, as in ERROR+4, or the step that OpenTelemetry has, as in INFO2.
func level(word []byte) event.Severity {
	n := letters(word)
	s, rest := severity(word[:n]), word[n:]
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

// ofSyslog returns what a severity of syslog is (RFC 5424): 0 is an emergency.
func ofSyslog(n int) event.Severity {
	return [...]event.Severity{event.Fatal, event.Fatal, event.Fatal, event.Error, event.Warn, event.Info, event.Info, event.Debug}[n&7]
}

// printed reads a word that stands where text has its severity: in one case, and
// none that is a word for other things as well.
func printed(word []byte) event.Severity {
	if len(word) == 0 || !oneCase(word) {
		return event.SeverityUnknown
	}
	return unambiguous(word)
}

// unambiguous reads a word in any case that is none for other things as well.
func unambiguous(word []byte) event.Severity {
	var buf [maxWord]byte
	switch string(lower(word, &buf)) {
	case "fine", "config", "information", "fail", "silly", "http", "log":
		return event.SeverityUnknown
	}
	return severity(word)
}

// first reads the first word of a text, with nothing before it that says that a
// logger wrote it.
func first(word []byte) event.Severity {
	switch string(word) {
	case "TRACE", "DEBUG", "INFO", "WARN", "WARNING", "ERROR", "FATAL":
		return severity(word)
	}
	return event.SeverityUnknown
}

// oneCase reports whether a word is written in capitals, or in small letters.
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

// letters returns how many letters text begins with. Inlined, it and others that are
// called in many places would add 8 kB to the binary.
//
//go:noinline
func letters(text []byte) (n int) {
	for n < len(text) && isLetter(text[n]) {
		n++
	}
	return n
}
