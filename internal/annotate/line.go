package annotate

import (
	"bytes"

	"kinetel/internal/event"
	"kinetel/internal/scan"
)

const (
	// maxHead is how much of a text is looked at: what says a severity stands
	// before the message.
	maxHead = 256
	// maxFields bounds what may stand between a time and the severity: a
	// process, a thread, a logger.
	maxFields = 8
)

// line is what a line says of itself.
type line struct {
	severity event.Severity
	ids      [8][]byte // that may be its invocation's, the surest first
	hint     bool      // ids are worth something where they are known only
}

// read reads a record of a function or an extension.
func (a *Annotator) read(record []byte) (l line) {
	if len(record) == 0 {
		return l
	}
	switch record[0] {
	case '{':
		l.readObject(record[:min(len(record), maxObject)])
	case '"':
		a.readString(&l, record[1:max(1, len(record)-1)])
	}
	return l
}

// readString reads what stands between the quotes of a JSON string.
func (a *Annotator) readString(l *line, text []byte) {
	if i := scan.Space(text, 0); i < len(text) && text[i] == '{' {
		// A function that prints JSON, where Lambda's log format is text.
		object := text[i:min(len(text), i+maxObject)]
		if bytes.IndexByte(object, '\\') >= 0 {
			a.text = appendUnescaped(a.text[:0], object, maxObject)
			object = a.text
		}
		if l.readObject(object) || len(text)-i > maxObject {
			return
		}
		*l = line{} // it only began like one
	}
	head := text[:min(len(text), maxHead)]
	if bytes.IndexByte(head, '\\') >= 0 {
		head = appendUnescaped(a.head[:0], text, maxHead)
		if bytes.IndexByte(head, 0x1b) >= 0 {
			head = withoutColours(head)
		}
	}
	l.readText(head)
}

// appendUnescaped appends the text of a JSON string up to a length. Characters
// beyond ASCII that are escaped become question marks: nothing that is looked for
// has any.
func appendUnescaped(dst, text []byte, most int) []byte {
	for len(dst) < most && len(text) > 0 {
		n := bytes.IndexByte(text, '\\')
		if n < 0 {
			n = len(text)
		}
		n = min(n, most-len(dst))
		dst = append(dst, text[:n]...)
		if text = text[n:]; len(dst) == most || len(text) < 2 {
			return dst
		}
		c := text[1]
		switch c {
		case 'n':
			c = '\n'
		case 't':
			c = '\t'
		case 'r':
			c = '\r'
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'u':
			if len(text) < 6 {
				return dst
			}
			c = '?'
			if text[2] == '0' && text[3] == '0' && text[4] >= '0' && text[4] <= '7' {
				c = (text[4]-'0')<<4 | nibble(text[5])
			}
			text = text[4:]
		}
		dst = append(dst, c)
		text = text[2:]
	}
	return dst
}

// nibble returns the value of a hexadecimal digit.
func nibble(c byte) byte {
	if isDigit(c) {
		return c - '0'
	}
	return (c - 'a' + 10) & 15 // of capitals, too: they are 32 apart
}

// withoutColours takes a terminal's colours out, in place (ECMA-48, control
// sequences).
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

// readText reads the beginning of a text.
func (l *line) readText(head []byte) {
	text := head
	for len(text) > 0 && (text[0] <= ' ') {
		text = text[1:]
	}
	if len(text) == 0 {
		return
	}
	switch c := text[0]; {
	case isDigit(c):
		l.readTime(text)
	case c == '[':
		l.readBracket(text)
	case isCapital(c):
		l.readCapitals(text)
	}
	if l.severity == event.SeverityUnknown {
		l.severity = logfmt(head)
	}
}

// readTime reads a text that begins with a time. Node and .NET have (AWS
// documentation, Lambda's log formats)
//
//	2026-11-22T20:15:00.123Z	8476a536-e9f4-11e8-9739-2dfe598c3fcd	INFO	text
//
// and other loggers have fields of many kinds before the severity.
func (l *line) readTime(text []byte) {
	n := pastTime(text)
	if n == 0 {
		return
	}
	tabs := n < len(text) && text[n] == '\t'
	if n < len(text) && (text[n] == ']' || text[n] == ':') {
		n++
	}
	dash := false // before the field
	for range maxFields {
		i := n
		for i < len(text) && (text[i] == ' ' || text[i] == '\t') {
			i++
		}
		field := text[i:pastField(text, i)]
		if len(field) == 0 || i == n && i > 0 && text[i-1] != ']' && text[i-1] != ':' {
			return // nothing stands between it and the time
		}
		n = i + len(field)
		rest := text[n:]
		if l.severity = headed(field, rest); l.severity != event.SeverityUnknown {
			return
		}
		switch {
		case tabs && len(rest) > 0 && rest[0] == '\t':
			tabs = false // one of that kind
			l.ids[0] = field
		case isUUID(field):
			tabs = false
			l.ids[0], l.hint = field, true // a pattern of log4j's, or any other
		case dash && bytes.HasPrefix(rest, []byte(" - ")), // Python's: - name -
			aside(field):
			tabs = false
		default:
			return
		}
		dash = string(field) == "-"
	}
}

// pastField returns the index just after the field that begins at text[i]: up to
// white space, or in brackets.
func pastField(text []byte, i int) int {
	if i < len(text) && text[i] == '[' {
		if n := bytes.IndexAny(text[i:], "]\n"); n > 0 && text[i+n] == ']' {
			i += n + 1
			if i < len(text) && text[i] == ':' {
				i++
			}
			return i
		}
	}
	for i < len(text) && text[i] > ' ' {
		i++
	}
	return i
}

// headed reads a field that may be a severity, and what follows it.
func headed(field, rest []byte) event.Severity {
	word := field
	marked := len(rest) > 0 && rest[0] == '\t'
	if word[0] == '[' {
		word = word[1:]
	}
	n := letters(word)
	if n == 0 {
		return event.SeverityUnknown
	}
	switch after := word[n:]; {
	case len(after) == 0:
	case after[0] == ':' || after[0] == ']' || after[0] == '|':
		marked = true
	default:
		return event.SeverityUnknown
	}
	if word = word[:n]; marked && string(word) == "fail" {
		return event.Error // .NET's
	}
	if !marked && !isCapital(word[0]) {
		return event.SeverityUnknown
	}
	return printed(word)
}

// aside reports whether a field may stand before a severity: a thread in
// brackets, a process, a zone, a mark, or a request that there is none of.
func aside(field []byte) bool {
	if field[0] == '[' {
		return true
	}
	if string(field) == "undefined" || string(field) == "UTC" {
		return true
	}
	for _, c := range field {
		if isLetter(c) || c >= 0x80 {
			return false
		}
	}
	return true
}

// readBracket reads a text that begins with a bracket. Python has (AWS
// documentation, Lambda's log formats)
//
//	[INFO]	2026-11-22T20:15:00.123Z	8476a536-e9f4-11e8-9739-2dfe598c3fcd	text
//
// and others a time in the brackets, or a thread.
func (l *line) readBracket(text []byte) {
	n := bytes.IndexAny(text, "]\n")
	if n < 2 || text[n] != ']' {
		return
	}
	if isDigit(text[1]) && pastTime(text[1:]) > 0 {
		l.readTime(text[1:])
		return
	}
	in, rest := text[1:n], text[n+1:]
	l.severity = printed(in)
	if len(rest) > 1 && rest[0] == '\t' {
		if at := pastTime(rest[1:]); at > 0 && bytes.HasPrefix(rest[1+at:], []byte{'\t'}) {
			id, _, ok := bytes.Cut(rest[2+at:], []byte{'\t'})
			if ok {
				l.ids[0] = id
			}
		}
		return
	}
	if l.severity == event.SeverityUnknown && len(rest) > 1 && rest[0] == ' ' { // SLF4J's: [main] INFO
		if n := letters(rest[1:]); len(rest) > 1+n && (rest[1+n] == ' ' || rest[1+n] == ':') {
			l.severity = first(rest[1 : 1+n])
		}
	}
}

// readCapitals reads a text that begins with a capital.
func (l *line) readCapitals(text []byte) {
	n := letters(text)
	word, rest := text[:n], text[n:]
	if n == 1 && l.readLetter(word[0], rest) {
		return
	}
	switch {
	case len(rest) == 0, rest[0] <= ' ', len(rest) > 1 && rest[0] == '[' && isDigit(rest[1]): // logrus has INFO[0000]
		l.severity = first(word)
		if bytes.HasPrefix(rest, []byte{'\t'}) {
			l.severity = printed(word)
		}
	case rest[0] == ':' || rest[0] == '|':
		l.severity = printed(word)
	}
}

// readLetter reads a text that begins with a severity's first letter, as Ruby's
// and Kubernetes' loggers have it:
//
//	E, [2026-11-22T20:15:00.123456 #8] ERROR -- : text
//	E1122 20:15:00.123456       8 main.go:17] text
func (l *line) readLetter(letter byte, rest []byte) bool {
	ruby := len(rest) > 3 && rest[0] == ',' && rest[1] == ' ' && rest[2] == '[' && isDigit(rest[3])
	klog := len(rest) > 5 && isDigit(rest[0]) && isDigit(rest[1]) && isDigit(rest[2]) && isDigit(rest[3]) && rest[4] == ' ' && isClock(rest[5:])
	if !ruby && !klog {
		return false
	}
	switch letter {
	case 'D':
		l.severity = event.Debug
	case 'I':
		l.severity = event.Info
	case 'W':
		l.severity = event.Warn
	case 'E':
		l.severity = event.Error
	case 'F':
		l.severity = event.Fatal
	}
	return true
}

// pastTime returns the index just after the time that a text begins with: a
// date and a time of the day, or the latter alone; 0 where there is none.
func pastTime(text []byte) int {
	i := 0
	if len(text) > 11 && (text[4] == '-' || text[4] == '/') && text[7] == text[4] && (text[10] == 'T' || text[10] == ' ') {
		for _, at := range [...]int{0, 1, 2, 3, 5, 6, 8, 9} {
			if !isDigit(text[at]) {
				return 0
			}
		}
		i = 11
	}
	if !isClock(text[i:]) {
		return 0
	}
	i += len("20:15:00")
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
	}
	return i
}

// isClock reports whether a text begins with a time of the day.
func isClock(text []byte) bool {
	return len(text) >= len("20:15:00") && isDigit(text[0]) && isDigit(text[1]) && text[2] == ':' && isDigit(text[3]) && isDigit(text[4]) && text[5] == ':' && isDigit(text[6]) && isDigit(text[7])
}

// logfmt returns the severity that a text of names and values says.
func logfmt(text []byte) event.Severity {
	for i := 0; ; i++ {
		n := bytes.IndexByte(text[i:], '=')
		if n < 0 {
			return event.SeverityUnknown
		}
		i += n
		name := text[:i]
		switch {
		case bytes.HasSuffix(name, []byte("log.level")):
			name = name[:i-len("log.level")]
		case bytes.HasSuffix(name, []byte("level")):
			name = name[:i-len("level")]
		case bytes.HasSuffix(name, []byte("lvl")):
			name = name[:i-len("lvl")]
		case bytes.HasSuffix(name, []byte("severity")):
			name = name[:i-len("severity")]
		default:
			continue
		}
		if len(name) > 0 && name[len(name)-1] > ' ' || quoted(name) {
			continue
		}
		value := text[i+1:]
		end := byte(' ')
		if len(value) > 0 && value[0] == '"' {
			value, end = value[1:], '"'
		}
		n = letters(value)
		if n == len(value) && (end == '"' || len(text) >= maxHead) {
			continue // cut
		}
		if n == len(value) || value[n] == end || end == ' ' && value[n] <= ' ' {
			if said := severity(value[:n]); said != event.SeverityUnknown {
				return said
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
