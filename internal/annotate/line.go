package annotate

import (
	"bytes"
	"strings"

	"kinetel/internal/event"
)

const (
	// maxHead is how many bytes of a text are read: the severity stands before
	// the message.
	maxHead = 256
	// maxFields bounds what may stand between a time and the severity: a
	// process, a thread, a logger.
	maxFields = 8
)

// line is what is parsed from a line.
type line struct {
	severity event.Severity
	ids      [8]candidate // possible ids of its invocation, the most certain first
	n        int          // number of ids
}

// candidate is a text that may be a request's id. It is one if an invocation with
// this id was announced; ids of other things are common.
type candidate struct {
	id   []byte
	rank uint8 // the lowest counts first
}

// candidate adds a candidate. If there are too many, it omits the least certain
// ones.
//
//go:noinline
func (l *line) candidate(rank uint8, id []byte) {
	if len(id) == 0 || len(id) > maxRequest {
		return
	}
	i := l.n
	for i > 0 && l.ids[i-1].rank > rank {
		i--
	}
	if i == len(l.ids) {
		return
	}
	l.n = min(l.n+1, len(l.ids))
	copy(l.ids[i+1:l.n], l.ids[i:])
	l.ids[i] = candidate{id, rank}
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
	message, console := l.readText(beginning(text, &a.head), false)
	if message = bytes.TrimLeft(message, " \t\r\n"); len(message) == 0 {
		return
	}
	prefix := l.severity
	l.severity = event.SeverityUnknown
	// The first brace is part of the message: Lambda's prefix has none.
	if (message[0] != '{' || !a.readJSON(l, text[max(0, bytes.IndexByte(text, '{')):], 0)) && console {
		l.readText(message, true)
	}
	if l.severity == event.SeverityUnknown {
		l.severity = prefix
	}
}

// beginning returns the beginning of a text of a JSON string, without escapes and
// colours.
func beginning(text []byte, buf *[maxHead]byte) []byte {
	head := text[:min(len(text), maxHead)]
	if bytes.IndexByte(head, '\\') >= 0 {
		head = appendUnescaped(buf[:0], text, maxHead)
		if bytes.IndexByte(head, 0x1b) >= 0 {
			head = withoutColours(head)
		}
	}
	return head
}

// appendUnescaped appends the text of a JSON string up to a length. Escaped
// characters beyond ASCII become question marks: nothing that is searched for
// contains such characters.
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
	return (c - 'a' + 10) & 15 // also for capitals, which are 32 below
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

// readText parses the beginning of a text. behind says that it follows a prefix of
// Lambda's. readText returns the message after such a prefix, and whether the prefix
// has the level of the called method of the console: then a level in the message is
// the logger's.
func (l *line) readText(head []byte, behind bool) (message []byte, console bool) {
	text := head
	for len(text) > 0 && text[0] <= ' ' {
		text = text[1:]
	}
	if len(text) == 0 {
		return nil, false
	}
	switch c := text[0]; {
	case isDigit(c):
		message = l.readTime(text, false)
		console = message != nil
		l.readSecondLine(text)
	case c == '[':
		message = l.readBracket(text)
	case c == '<':
		l.readPriority(text)
	case c == '{' && behind:
		l.severity = inspected(text)
	case isCapital(c):
		l.readCapitals(text)
	case isLetter(c):
		l.readSmall(text)
	}
	if l.severity == event.SeverityUnknown && (!behind || isPair(text)) {
		l.severity = logfmt(head)
	}
	if text[0] != '{' { // otherwise it is truncated JSON
		l.readIDs(text)
	}
	return message, console
}

// readIDs finds ids with their names in a text: requestId="…" of Rust's spans,
// RequestId: …, aws_request_id=….
func (l *line) readIDs(text []byte) {
	for from := 0; ; {
		at := bytes.IndexByte(text[from:], 'q') // rare
		if at < 0 {
			return
		}
		at += from
		from = at + 1
		if !bytes.HasPrefix(text[from:], []byte("uest")) {
			continue
		}
		begin, end := at, from
		for begin > 0 && isName(text[begin-1]) {
			begin--
		}
		for end < len(text) && isName(text[end]) {
			end++
		}
		if idRank(text[begin:end]) == 0 {
			continue
		}
		rest := bytes.TrimLeft(text[end:], "\"'")
		if len(rest) == 0 || rest[0] != '=' && rest[0] != ':' {
			continue
		}
		rest = bytes.TrimLeft(rest[1:], " \"'")
		end = 0
		for end < len(rest) && (isName(rest[end]) || isDigit(rest[end]) || rest[end] == '-') {
			end++
		}
		l.candidate(rankText, rest[:end])
	}
}

// isName reports whether a character is part of a name.
func isName(c byte) bool { return isLetter(c) || c == '_' }

// isPair reports whether a text begins as name=value does.
func isPair(text []byte) bool {
	n := 0
	for n < len(text) && (isLetter(text[n]) || isDigit(text[n]) || text[n] == '_' || text[n] == '.' || text[n] == '-' || text[n] == '@') {
		n++
	}
	return n > 0 && n < len(text) && text[n] == '='
}

// readTime parses a text that begins with a time. Node and .NET write (AWS
// documentation, Lambda's log formats)
//
//	2026-11-22T20:15:00.123Z	8476a536-e9f4-11e8-9739-2dfe598c3fcd	INFO	text
//
// and other loggers write fields of many kinds before the severity. In Lambda's
// format readTime returns the text after the level.
func (l *line) readTime(text []byte, bracket bool) (message []byte) {
	n := pastTime(text)
	if n == 0 {
		return nil
	}
	tabs := n < len(text) && text[n] == '\t'
	lambda := tabs && n+1 < len(text) && text[n+1] == '\t' // without a request id: outside of a request
	if n < len(text) && (text[n] == ']' || text[n] == ':') {
		n++
	}
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
		if l.severity = headed(field, rest); l.severity != event.SeverityUnknown {
			if lambda && len(rest) > 0 && rest[0] == '\t' {
				return rest[1:]
			}
			if rest = bytes.TrimLeft(rest, " "); l.n > 0 && len(rest) > 0 && rest[0] == '{' {
				return rest // separated by spaces, as a pattern may have them
			}
			return nil
		}
		if l.severity = ofSwift(field, rest); l.severity != event.SeverityUnknown && text[10] == 'T' {
			return nil
		}
		if l.severity = event.SeverityUnknown; len(field) == 1 && bytes.HasPrefix(rest, []byte(" [")) { // Ruby's semantic_logger: E [8:main]
			if l.severity = ofLetter(field[0]); l.severity != event.SeverityUnknown {
				return nil
			}
		}
		if bracket {
			if l.severity = inChannel(field); l.severity != event.SeverityUnknown {
				return nil
			}
			if string(field) == "PHP" {
				l.severity = ofPHP(text[i:])
				return nil
			}
		}
		lambda = false
		switch {
		case tabs && len(rest) > 0 && rest[0] == '\t':
			tabs = false // there is only one such field
			lambda = true
			l.candidate(rankPrefix, field)
		case isUUID(field):
			tabs = false
			l.candidate(rankPrefix, field) // of a log4j pattern or another format
		case bracket && field[len(field)-1] == ']', // of the time: a zone
			dash && bytes.HasPrefix(rest, []byte(" - ")), // Python's: - name -
			skippable(field):
			tabs = false
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
		if n := bytes.IndexAny(text[i:], "]\n"); n > 0 && text[i+n] == ']' {
			i += n + 1
			if i < len(text) && text[i] == ':' {
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

// headed returns the severity that a field is, if what follows it allows for that.
func headed(field, rest []byte) event.Severity {
	word := field
	marked := len(rest) > 0 && rest[0] == '\t'
	enclosed := false
	if word[0] == '[' {
		word = bytes.TrimLeft(word[1:], " ")
	}
	n := letters(word)
	if n == 0 {
		return event.SeverityUnknown
	}
	if stroke := bytes.TrimLeft(rest, " "); len(stroke) > 0 && stroke[0] == '|' {
		enclosed = true
	}
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
	case marked && string(word) == "fail":
		return event.Error // .NET's
	case enclosed:
		return enclosedIn(word)
	case !marked && !isCapital(word[0]):
		return event.SeverityUnknown
	}
	return printed(word)
}

// ofSwift returns the severity in Swift's log format, which after the time is
// level label: text.
func ofSwift(word, rest []byte) event.Severity {
	if isCapital(word[0]) || letters(word) != len(word) || len(rest) < 2 || rest[0] != ' ' {
		return event.SeverityUnknown
	}
	n := 1 + pastWord(rest[1:])
	if rest[n-1] != ':' && !bytes.HasPrefix(rest[n:], []byte(" :")) {
		return event.SeverityUnknown
	}
	return printed(word)
}

// enclosedIn returns the severity for a word in brackets or between vertical bars.
// There .NET's loggers write it with a capital.
func enclosedIn(word []byte) event.Severity {
	if string(word) == "Information" {
		return event.Info
	}
	return unambiguous(word)
}

// inChannel returns the severity in a field of Monolog and Laravel, such as
// channel.LEVEL:.
func inChannel(field []byte) event.Severity {
	dot := bytes.LastIndexByte(field, '.')
	if len(field) == 0 || field[len(field)-1] != ':' || dot < 0 || !isCapital(field[dot+1]) {
		return event.SeverityUnknown
	}
	return printed(field[dot+1 : len(field)-1])
}

// ofPHP returns the severity of a message that PHP itself logs.
func ofPHP(text []byte) event.Severity {
	text = bytes.TrimPrefix(text, []byte("PHP "))
	what, _, _ := bytes.Cut(text, []byte{':'})
	switch string(what) {
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

// readBracket parses a text that begins with a bracket. Python writes (AWS
// documentation, Lambda's log formats)
//
//	[INFO]	2026-11-22T20:15:00.123Z	8476a536-e9f4-11e8-9739-2dfe598c3fcd	text
//
// and others write a time or a thread in the brackets. readBracket returns the text
// after Lambda's prefix.
func (l *line) readBracket(text []byte) (message []byte) {
	n := bytes.IndexAny(text, "]\n")
	if n < 2 || text[n] != ']' {
		return nil
	}
	if pastTime(text[1:]) > 0 {
		l.readTime(text[1:], true)
		return nil
	}
	in, rest := text[1:n], text[n+1:]
	if len(in) > 2 && in[1] == ' ' && isDigit(in[2]) && isCapital(in[0]) { // Tornado's [E 261122 20:15:00 web:17]
		l.severity = ofLetter(in[0])
		return nil
	}
	in = bytes.TrimSpace(in)
	l.severity = printed(in)
	switch string(in) { // .NET's, in Lambda's logger
	case "Trace", "Debug", "Information", "Warning", "Error", "Critical":
		l.severity = severity(in)
	}
	if len(rest) > 1 && rest[0] == '\t' {
		if at := pastTime(rest[1:]); at > 0 && bytes.HasPrefix(rest[1+at:], []byte{'\t'}) {
			id, message, ok := bytes.Cut(rest[2+at:], []byte{'\t'})
			if ok {
				l.candidate(rankPrefix, id)
				return message
			}
		}
		return nil
	}
	for range maxFields { // a name, a process, a thread, each in brackets
		spaced := len(rest) > 0 && rest[0] == ' '
		if spaced {
			rest = rest[1:]
		}
		switch {
		case l.severity != event.SeverityUnknown || len(rest) < 2:
			return nil
		case isDigit(rest[0]):
			l.readNest(rest)
			return nil
		case rest[0] != '[':
			n := letters(rest)
			switch {
			case !spaced || n == 0 || n == len(rest):
			case rest[n] == ':' && !isCapital(rest[0]): // winston's: [orders] error:
				l.readSmall(rest)
			case rest[n] == ' ' || rest[n] == ':': // SLF4J's: [main] INFO
				l.severity = first(rest[:n])
				fallthrough
			case rest[n] == '\t': // nest-winston's: [Nest] Error and a time
				if l.severity == event.SeverityUnknown && pastTime(bytes.TrimLeft(rest[n:], " \t")) > 0 {
					l.severity = unambiguous(rest[:n])
				}
			}
			return nil
		}
		if n = bytes.IndexAny(rest, "]\n"); n < 0 || rest[n] != ']' {
			return nil
		}
		l.severity = printed(bytes.TrimSpace(rest[1:n]))
		rest = rest[n+1:]
	}
	return nil
}

// readNest parses NestJS's format after its name: a process, a local time and a
// level:
//
//	[Nest] 8  - 11/22/2026, 8:15:00 PM   ERROR [Orders] text
func (l *line) readNest(text []byte) {
	for len(text) > 0 && (isDigit(text[0]) || text[0] == ' ') {
		text = text[1:]
	}
	if len(text) < 2 || text[0] != '-' || text[1] != ' ' {
		return
	}
	text = bytes.TrimLeft(text[1:], " ")
	text = bytes.TrimLeft(text[pastTime(text):], " ")
	if word := text[:letters(text)]; string(word) == "LOG" {
		l.severity = event.Info
	} else {
		l.severity = printed(word)
	}
}

// inspected returns the level of an object that Node's console printed:
// { level: 'error', message: 'text' }.
func inspected(text []byte) event.Severity {
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
				return level(word)
			}
			if value, ok := bytes.CutPrefix(value, []byte(": ")); ok {
				o := object{level: value[:digits(value)]}
				return o.severity()
			}
		}
	}
	return event.SeverityUnknown
}

// readPriority parses a text that begins with a syslog priority (RFC 5424). .NET's
// console writes it for systemd, too.
func (l *line) readPriority(text []byte) {
	if n := bytes.IndexByte(text[:min(len(text), 5)], '>'); n > 1 {
		if p := number(text[1:n]); p >= 0 && p < 24*8 {
			l.severity = ofSyslog(p)
		}
	}
}

// readCapitals parses a text that begins with a capital letter.
func (l *line) readCapitals(text []byte) {
	n := letters(text)
	word, rest := text[:n], text[n:]
	if n == 1 && l.readLetter(word[0], rest) {
		return
	}
	switch {
	case len(rest) > 1 && rest[0] == '[' && isDigit(rest[1]): // logrus has INFO[0000]
		if n == 4 {
			l.severity = printed(word)
		} else {
			l.severity = first(word)
		}
	case len(rest) == 0, rest[0] <= ' ':
		l.severity = first(word)
		if bytes.HasPrefix(rest, []byte{'\t'}) || pastTime(bytes.TrimLeft(rest, " -")) > 0 {
			l.severity = printed(word)
		}
	case rest[0] == ':' || rest[0] == '|':
		l.severity = printed(word)
	}
	if php, ok := bytes.CutPrefix(rest, []byte(": PHP message: ")); ok { // PHP-FPM's
		if s := ofPHP(php); s != event.SeverityUnknown {
			l.severity = s
		}
		return
	}
	if l.severity != event.SeverityUnknown {
		return
	}
	switch string(word) {
	case "PHP", "Fatal":
		l.severity = ofPHP(text)
		return
	}
	if isDateWord(text) {
		l.readTime(text, false)
		l.readSecondLine(text)
		return
	}
	l.readName(text)
}

// readSecondLine parses the format of java.util.logging: the level is on a second
// line, after the line with the time and the method.
func (l *line) readSecondLine(text []byte) {
	if l.severity != event.SeverityUnknown || pastTime(text) == 0 {
		return
	}
	_, second, _ := bytes.Cut(text, []byte{'\n'})
	n := letters(second)
	if n == 0 || n == len(second) || second[n] != ':' || !oneCase(second[:n]) || !isCapital(second[0]) {
		return
	}
	l.severity = severity(second[:n])
}

// readSmall parses a text that begins with a lower-case letter: the console formats
// of .NET and winston, and Python's with a name first.
func (l *line) readSmall(text []byte) {
	n := letters(text)
	if rest := text[n:]; len(rest) > 0 && rest[0] == ':' && (len(rest) == 1 || rest[1] <= ' ') {
		switch string(text[:n]) {
		case "trace", "debug", "verbose", "info", "warn", "warning", "error", "fatal", "panic", "trce", "dbug", "crit":
			l.severity = severity(text[:n])
		case "fail": // in .NET a category follows: fail: Orders[0]
			category, _, _ := bytes.Cut(bytes.TrimLeft(rest[1:], " "), []byte{'\n'})
			category = category[:pastWord(category)]
			if i := bytes.IndexByte(category, '['); i > 0 && i+1 < len(category) && isDigit(category[i+1]) && category[len(category)-1] == ']' {
				l.severity = event.Error
			}
		}
		return
	}
	l.readName(text)
}

// readName parses a text that begins with a logger's name and has no time: Python's
// name - LEVEL - text, name | LEVEL | text, and Monolog's channel.LEVEL: text.
func (l *line) readName(text []byte) {
	name := pastWord(text)
	if l.severity = inChannel(text[:name]); l.severity != event.SeverityUnknown || len(text) < name+3 {
		return
	}
	mark, rest := text[name:name+3], text[name+3:]
	if string(mark) != " - " && string(mark) != " | " {
		return
	}
	if n := letters(rest); n > 0 && isCapital(rest[0]) && bytes.HasPrefix(bytes.TrimLeft(rest[n:], " "), mark[1:]) {
		l.severity = printed(rest[:n])
	}
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

// readLetter parses a text that begins with a severity's first letter, as Ruby's
// and Kubernetes' loggers write it:
//
//	E, [2026-11-22T20:15:00.123456 #8] ERROR -- : text
//	E1122 20:15:00.123456       8 main.go:17] text
//
// Lambda's own logger for Ruby writes the request id after the level.
func (l *line) readLetter(letter byte, rest []byte) bool {
	ruby := len(rest) > 3 && rest[0] == ',' && rest[1] == ' ' && rest[2] == '[' && isDigit(rest[3])
	n := digits(rest) // of the date, in newer ones with the year
	klog := (n == 4 || n == 8) && len(rest) > n && rest[n] == ' ' && clock(rest[n+1:]) == len("20:15:00")
	if !ruby && !klog {
		return false
	}
	l.severity = ofLetter(letter)
	if ruby {
		_, rest, _ = bytes.Cut(rest, []byte{']'})
		rest = bytes.TrimLeft(rest, " ")
		rest = bytes.TrimLeft(rest[letters(rest):], " ")
		l.candidate(rankPrefix, rest[:pastWord(rest)])
	}
	return true
}

// ofLetter returns the severity that begins with a letter.
//
//go:noinline
func ofLetter(letter byte) event.Severity {
	switch letter {
	case 'D':
		return event.Debug
	case 'I':
		return event.Info
	case 'W':
		return event.Warn
	case 'E':
		return event.Error
	case 'F', 'C':
		return event.Fatal
	}
	return event.SeverityUnknown
}

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
	n := 0
	if len(text) > 0 && (text[0] == ' ' || text[0] == '?') { // appendUnescaped made an escaped one a question mark
		n = 1
	} else if bytes.HasPrefix(text, []byte("\u202f")) {
		n = 3
	}
	if len(text) < n+2 || text[n] != 'A' && text[n] != 'P' || text[n+1] != 'M' || len(text) > n+2 && isLetter(text[n+2]) {
		return 0
	}
	return n + 2
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

// logfmt returns the severity in a text of name=value pairs.
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
			if s := level(value[:n]); s != event.SeverityUnknown {
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
