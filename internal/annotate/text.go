package annotate

import (
	"bytes"

	"github.com/kinetel/kinetel/internal/event"
)

// readText parses the beginning of a text. prefixed means that the text follows a prefix
// of Lambda's. readText returns the message after such a prefix, and whether the prefix
// has the level of the called method of the console: then a level in the message is
// the logger's.
func (l *line) readText(head []byte, prefixed bool) (message []byte, console bool) {
	text := head
	for len(text) > 0 && text[0] <= ' ' {
		text = text[1:]
	}
	if len(text) == 0 {
		return nil, false
	}
	switch c := text[0]; {
	case isDigit(c):
		message = l.readTime(text)
		console = message != nil
	case c == '[':
		message = l.readBracket(text)
	case c == '<':
		l.severity = l.ofPriority(text)
	case c == '{' && prefixed:
		l.severity = l.ofNodeObject(text)
	case isCapital(c):
		l.severity = l.readUpperCase(text)
	case isLetter(c):
		l.severity = l.ofLowerCase(text)
	}
	if l.severity == event.SeverityUnknown && (!prefixed || isPair(text)) {
		l.severity = l.logfmt(head)
	}
	if text[0] != '{' { // otherwise it is truncated JSON
		l.readIDs(text)
	}
	return message, console
}

// ofPriority returns the severity of a syslog priority, such as <11> (RFC 5424). .NET's
// console writes it for systemd, too.
func (f *found) ofPriority(text []byte) event.Severity {
	if n := bytes.IndexByte(text[:min(len(text), 5)], '>'); n > 1 {
		if p := number(text[1:n]); p >= 0 && p < 24*8 {
			return f.ofSyslog(p)
		}
	}
	return event.SeverityUnknown
}

// readUpperCase returns the severity of a text that begins with a capital letter.
func (l *line) readUpperCase(text []byte) (s event.Severity) {
	n := letters(text)
	word, rest := text[:n], text[n:]
	if n == 1 && l.readInitial(rest) {
		return l.ofInitial(word)
	}
	logrus := len(rest) > 1 && rest[0] == '[' && isDigit(rest[1]) // INFO[0000]
	switch {
	case logrus && n == 4, len(rest) > 0 && (rest[0] == ':' || rest[0] == '|' || rest[0] == '\t'):
		s = l.printed(word)
	case logrus, len(rest) == 0, rest[0] <= ' ':
		if s = l.firstWord(word); pastTime(bytes.TrimLeft(rest, " -")) > 0 {
			s = l.printed(word)
		}
	}
	if message, ok := bytes.CutPrefix(rest, []byte(": PHP message: ")); ok { // PHP-FPM's
		if php := l.ofPHP(message); php != event.SeverityUnknown {
			s = php
		}
		return s
	}
	switch {
	case s != event.SeverityUnknown:
		return s
	case string(word) == "PHP" || string(word) == "Fatal":
		return l.ofPHP(text)
	case isDateWord(text):
		l.readTime(text)
		return l.severity
	}
	return l.afterName(text)
}

// readInitial reports whether a text begins with the first letter of a severity as
// Ruby's and Kubernetes' loggers write it; rest follows the letter:
//
//	E, [2026-11-22T20:15:00.123456 #8] ERROR -- : text
//	E1122 20:15:00.123456       8 main.go:17] text
//
// Lambda's own logger for Ruby writes the request id after the level.
func (l *line) readInitial(rest []byte) bool {
	if len(rest) > 3 && rest[0] == ',' && rest[1] == ' ' && rest[2] == '[' && isDigit(rest[3]) {
		_, rest, _ = bytes.Cut(rest, []byte{']'})
		rest = bytes.TrimLeft(rest, " ")
		rest = bytes.TrimLeft(rest[letters(rest):], " ")
		l.candidate(rankPrefix, rest[:pastWord(rest)])
		return true
	}
	n := digits(rest) // of the date, in newer ones with the year
	return (n == 4 || n == 8) && len(rest) > n && rest[n] == ' ' && clock(rest[n+1:]) == len("20:15:00")
}

// ofPHP returns the severity of a message that PHP itself logs.
func (f *found) ofPHP(text []byte) event.Severity {
	what, _, _ := bytes.Cut(bytes.TrimPrefix(text, []byte("PHP ")), []byte{':'})
	switch f.text = what; string(what) {
	case "Fatal error":
		return event.Fatal
	case "Parse error", "Recoverable fatal error":
		return event.Error
	case "Warning":
		return event.Warn
	case "Notice", "Deprecated":
		return event.Info
	}
	return event.SeverityUnknown
}

// ofLowerCase returns the severity of a text that begins with a lower-case letter: the
// console formats of .NET and winston, and Python's with a name first.
func (f *found) ofLowerCase(text []byte) event.Severity {
	n := letters(text)
	rest, ok := bytes.CutPrefix(text[n:], []byte{':'})
	if !ok || len(rest) > 0 && rest[0] > ' ' {
		return f.afterName(text)
	}
	switch string(text[:n]) {
	case "trace", "debug", "verbose", "info", "warn", "warning", "error", "fatal", "panic", "trce", "dbug", "crit":
		f.scale = topScale
		return f.severityOf(text[:n])
	case "fail": // in .NET a category follows: fail: Orders[0]
		category := bytes.TrimLeft(rest, " ")
		category = category[:pastWord(category)]
		if i := bytes.IndexByte(category, '['); i > 0 && category[len(category)-1] == ']' && isDigit(category[i+1]) {
			return f.severityOf(text[:n])
		}
	}
	return event.SeverityUnknown
}

// afterName returns the severity of a text that begins with a logger's name and has no
// time: Python's name - LEVEL - text, name | LEVEL | text, and Monolog's
// channel.LEVEL: text.
func (f *found) afterName(text []byte) event.Severity {
	name := pastWord(text)
	if s := f.inChannel(text[:name]); s != event.SeverityUnknown || len(text) < name+3 {
		return s
	}
	mark, rest := text[name:name+3], text[name+3:]
	if n := letters(rest); (string(mark) == " - " || string(mark) == " | ") && n > 0 && isCapital(rest[0]) && bytes.HasPrefix(bytes.TrimLeft(rest[n:], " "), mark[1:]) {
		return f.printed(rest[:n])
	}
	return event.SeverityUnknown
}

// inChannel returns the severity in a word of Monolog and Laravel, such as
// channel.LEVEL:.
func (f *found) inChannel(word []byte) event.Severity {
	dot := bytes.LastIndexByte(word, '.')
	if len(word) == 0 || word[len(word)-1] != ':' || dot < 0 || !isCapital(word[dot+1]) {
		return event.SeverityUnknown
	}
	return f.printed(word[dot+1 : len(word)-1])
}

// bracketed returns the text in the brackets that a text begins with, and what follows
// them. They must close on the same line.
func bracketed(text []byte) (in, rest []byte, ok bool) {
	n := bytes.IndexAny(text, "]\n")
	if n < 0 || text[n] != ']' {
		return nil, nil, false
	}
	return text[1:n], text[n+1:], true
}

// readBracket parses a text that begins with a bracket. Python writes (AWS
// documentation, Lambda's log formats)
//
//	[INFO]	2026-11-22T20:15:00.123Z	8476a536-e9f4-11e8-9739-2dfe598c3fcd	text
//
// and others write a time or a thread in the brackets. readBracket returns the text
// after Lambda's prefix.
func (l *line) readBracket(text []byte) (message []byte) {
	in, rest, ok := bracketed(text)
	switch {
	case !ok || len(in) == 0:
		return nil
	case pastTime(text[1:]) > 0:
		l.readFields(text[1:], true)
		return nil
	case len(in) > 2 && in[1] == ' ' && isDigit(in[2]) && isCapital(in[0]): // Tornado's [E 261122 20:15:00 web:17]
		l.severity = l.ofInitial(in)
		return nil
	}
	in = bytes.TrimSpace(in)
	l.severity = l.printed(in)
	switch string(in) { // .NET's, in Lambda's logger
	case "Trace", "Debug", "Information", "Warning", "Error", "Critical":
		l.severity = l.severityOf(in)
	}
	if len(rest) > 1 && rest[0] == '\t' {
		if n := 1 + pastTime(rest[1:]); n > 1 && n < len(rest) && rest[n] == '\t' {
			l.scale = topScale
			if id, message, ok := bytes.Cut(rest[n+1:], []byte{'\t'}); ok {
				l.candidate(rankPrefix, id)
				return message
			}
		}
		return nil
	}
	for range maxFields { // a name, a process, a thread, each in brackets
		after, spaced := bytes.CutPrefix(rest, []byte{' '})
		if l.severity != event.SeverityUnknown || len(after) < 2 {
			break
		}
		if after[0] != '[' {
			l.severity = l.afterBrackets(after, spaced)
			break
		}
		if in, rest, ok = bracketed(after); !ok {
			break
		}
		l.severity = l.printed(bytes.TrimSpace(in))
	}
	return nil
}

// afterBrackets returns the severity in a text after a name or a thread in brackets.
func (f *found) afterBrackets(text []byte, spaced bool) (s event.Severity) {
	n := letters(text)
	switch {
	case isDigit(text[0]):
		return f.ofNestJS(text)
	case !spaced || n == 0 || n == len(text):
		return event.SeverityUnknown
	case text[n] == ':' && !isCapital(text[0]): // winston's: [orders] error:
		return f.ofLowerCase(text)
	case text[n] == ':' || text[n] == ' ': // SLF4J's: [main] INFO
		s = f.firstWord(text[:n])
	}
	if s == event.SeverityUnknown && (text[n] == ':' || text[n] <= ' ') && pastTime(bytes.TrimLeft(text[n:], " \t")) > 0 { // nest-winston's: [Nest] Error and a time
		return f.unambiguous(text[:n])
	}
	return s
}

// ofNestJS returns the severity in NestJS's format after its name: a process, a local
// time and a level:
//
//	[Nest] 8  - 11/22/2026, 8:15:00 PM   ERROR [Orders] text
func (f *found) ofNestJS(text []byte) event.Severity {
	text, ok := bytes.CutPrefix(bytes.TrimLeft(text, " 0123456789"), []byte("- "))
	if !ok {
		return event.SeverityUnknown
	}
	text = bytes.TrimLeft(text, " ")
	text = bytes.TrimLeft(text[pastTime(text):], " ")
	word := text[:letters(text)]
	if string(word) == "LOG" {
		return f.severityOf(word)
	}
	return f.printed(word)
}
