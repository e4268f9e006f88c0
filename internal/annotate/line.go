package annotate

import (
	"bytes"
	"unicode/utf8"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// maxHead is how many bytes of a text are read: the severity stands before the
// message.
const maxHead = 256

// head is a buffer for the beginning of a text. What AppendUnescape writes last may be
// longer than maxHead allows.
type head [maxHead + utf8.UTFMax]byte

// line is what is parsed from a line.
type line struct {
	found
	ids [8]candidate // possible ids of its invocation, the most certain first
	n   int          // number of ids
}

// read parses a record of a function or an extension.
func (a *Annotator) read(l *line, record []byte) {
	if len(record) == 0 {
		return
	}
	switch record[0] {
	case '{':
		a.readObject(l, record[:min(len(record), maxObject)], 0)
	case '"':
		a.readString(l, record[1:max(1, len(record)-1)])
	}
}

// readString parses the text between the quotes of a JSON string.
func (a *Annotator) readString(l *line, text []byte) {
	if a.readJSON(l, text, 0) {
		return // the function prints JSON, and Lambda's log format is text
	}
	var message []byte
	console := true
	n := l.readNodePrefix(text)
	if n > 0 {
		message = beginning(text[n:], &a.head, maxHead-(n-3)) // its three tabs are escapes
	} else {
		message, console = l.readText(beginning(text, &a.head, maxHead), false)
	}
	if message = bytes.TrimLeft(message, " \t\r\n"); len(message) == 0 {
		return
	}
	if n > 0 && message[0] == '{' {
		l.readIDs(message) // it may be truncated JSON
	}
	prefix := l.found
	l.found = found{}
	// The first brace is part of the message: Lambda's prefix has none.
	if (message[0] != '{' || !a.readJSON(l, text[max(0, bytes.IndexByte(text, '{')):], 0)) && console {
		l.readText(message, true)
	}
	if l.severity == event.SeverityUnknown {
		l.found = prefix
	}
}

// readNodePrefix parses the prefix of Lambda's log format as Node.js writes it, which most
// lines of many functions have:
//
//	2026-11-22T20:15:00.123Z\t8476a536-e9f4-11e8-9739-2dfe598c3fcd\tINFO\ttext
//
// It does what readText does with it, and returns its length; 0 if text has another one.
func (l *line) readNodePrefix(text []byte) int {
	const id, level = len(event.TimeFormat) + len(`\t`), len(event.TimeFormat) + len(`\t`) + 36 + len(`\t`)
	if len(text) < level+len(`INFO\t`) || text[id-1] != 't' || text[level-1] != 't' || text[id-2] != '\\' || text[level-2] != '\\' {
		return 0
	}
	n := level + 4
	if text[n] != '\\' { // four or five letters
		n++
	}
	if n+1 >= len(text) || text[n] != '\\' || text[n+1] != 't' {
		return 0
	}
	word := text[level:n]
	switch string(word) {
	case "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL":
	default:
		return 0
	}
	if _, ok := event.LambdaTime(text[:id-2]); !ok || !isUUID(text[id:level-2]) {
		return 0
	}
	l.severity, l.scale = l.printed(word), topScale
	l.candidate(rankPrefix, text[id:level-2])
	return n + len(`\t`)
}

// beginning returns the beginning of a text of a JSON string, at most most bytes, without
// escapes and colours.
func beginning(text []byte, buf *head, most int) []byte {
	begin := text[:min(len(text), most)]
	if bytes.IndexByte(begin, '\\') >= 0 {
		begin = jsontext.AppendUnescape(buf[:0], text, most)
		if bytes.IndexByte(begin, 0x1b) >= 0 {
			begin = withoutColours(begin)
		}
	}
	return begin
}

// withoutColours removes terminal colours in place (ECMA-48, control sequences).
func withoutColours(text []byte) []byte {
	kept := text[:0]
	for i := 0; i < len(text); i++ {
		if text[i] != 0x1b || i+1 == len(text) || text[i+1] != '[' {
			kept = append(kept, text[i])
			continue
		}
		for i += 2; i < len(text) && (text[i] < '@' || text[i] > '~'); {
			i++
		}
	}
	return kept
}
