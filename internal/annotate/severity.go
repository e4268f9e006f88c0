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
	case "trace", "verbose", "finest", "trce", "trc", "silly", "vrb":
		return event.Trace
	case "debug", "finer", "fine", "config", "dbug", "dbg":
		return event.Debug
	case "info", "information", "informational", "notice", "inf":
		return event.Info
	case "warn", "warning", "wrn":
		return event.Warn
	case "error", "err", "severe", "fail":
		return event.Error
	case "fatal", "critical", "crit", "panic", "dpanic", "alert", "emerg", "emergency", "ftl":
		return event.Fatal
	}
	return event.SeverityUnknown
}

// printed reads a word that stands where text has its severity: in one case, and
// none that is a word for other things as well.
func printed(word []byte) event.Severity {
	var buf [maxWord]byte
	text := lower(word, &buf)
	if len(text) == 0 || !oneCase(word) {
		return event.SeverityUnknown
	}
	switch string(text) {
	case "fine", "config", "information", "fail", "silly":
		return event.SeverityUnknown
	}
	return severity(text)
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

// letters returns how many letters text begins with.
func letters(text []byte) (n int) {
	for n < len(text) && isLetter(text[n]) {
		n++
	}
	return n
}
