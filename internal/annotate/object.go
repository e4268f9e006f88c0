package annotate

import (
	"bytes"
	"unicode/utf8"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// maxObject bounds how much of a JSON object is read. Loggers write their own
// members first; what a function adds may be megabytes.
const maxObject = 64 << 10

func isHex(text []byte) bool {
	for _, c := range text {
		if c-'0' > 9 && c|0x20-'a' > 5 {
			return false
		}
	}
	return true
}

// maxNested is how many levels of JSON texts inside JSON are read.
const maxNested = 2

// object is what is parsed from the members of a line's JSON object.
type object struct {
	best    found  // of the member with the lowest rank
	rank    int    // that rank; ranks: there is none
	level   []byte // the value of level: the meaning of a number depends on the logger
	message []byte // the value of message
	status  found
	has     uint64 // the members that are present, one bit each
}

// note notes the severity in a member. Of two members of one rank the last one counts.
func (o *object) note(rank int, f found) {
	if f.severity != event.SeverityUnknown && rank <= o.rank {
		o.best, o.rank = f, rank
	}
}

// foreign is the set of members that Lambda's own JSON format does not have.
const foreign = 1<<(isUnknown+1) - 1 - 1<<byLevel - 1<<isMessage - 1<<isID - 1<<isLambdas - 1<<isStamp - 1<<isLogger

// all reports whether both of two members are present.
func (o *object) all(one, two int) bool {
	both := uint64(1)<<one | 1<<two
	return o.has&both == both
}

// readObject parses the members of a JSON object that a logger wrote. It reports
// whether the text is one whole object and nothing else.
func (a *Annotator) readObject(l *line, text []byte, depth int) (whole bool) {
	o := object{rank: ranks}
	m := jsontext.Members(text)
	for m.Next() {
		for _, key := range a.keys {
			l.readPath(key, m.Name, m.Value)
		}
		l.readMember(&o, m.Name, m.Value)
	}
	l.found = o.severity()
	if a.readMessage(l, &o, depth); l.severity == event.SeverityUnknown {
		switch {
		case o.all(isCompact, isTemplate):
			l.found = found{severity: event.Info}
		case o.has&(1<<isMessage|1<<isMsg) != 0: // otherwise it is the status of something else
			l.found = o.status
		}
	}
	return m.Err == nil && jsontext.SkipSpace(text, m.End) == len(text)
}

// readMember parses a member of the outermost object.
func (l *line) readMember(o *object, name, value []byte) {
	what := kindOf(name)
	o.has |= 1 << what
	switch what {
	case isMessage:
		o.message = value
	case isStatus:
		o.status = statusOf(value)
	case isID, isUnknown:
		if rank := idRank(name); rank > 0 {
			l.candidate(rank, jsontext.Unquoted(value))
		}
	case isNested:
		l.readInner(value, "")
	case isRecord:
		l.readInner(jsontext.Member(value, "extra"), "")
		what, value = byNested, jsontext.Member(jsontext.Member(value, "level"), "name")
	case isLog:
		what, value = byNested, jsontext.Member(value, "level")
	case isMeta:
		what, value = byNested, jsontext.Member(value, "logLevelName")
	case byLevel:
		o.level = value
	}
	if what >= ranks {
		return
	}
	f := levelOf(value)
	if f.severity == event.SeverityUnknown {
		if n := number(value); n >= 0 && what != byLevel {
			f = found{text: value}
			f.severity = f.scaled(what, n)
		}
	}
	o.note(what, f)
}

// scaled returns the severity for a number in the scale of a member.
func (f *found) scaled(of, n int) event.Severity {
	switch {
	case of == byOTel && n >= 1 && n <= 24: // OpenTelemetry, logs data model
		f.number, f.text = uint8(n), nil
		return event.Severity((n + 3) / 4)
	case of == byPython && n >= 10 && n <= 50 && n%10 == 0:
		return event.Severity(n/10 + 1)
	case of == byAzure && n == 0:
		return event.Trace
	case of == byAzure && n <= 4:
		return event.Severity(n + 2)
	case of == bySeverity && n >= 100 && n <= 800 && n%100 == 0: // Google's LogSeverity
		if n <= 200 {
			n += 100
		}
		return event.Severity(min(n/100, 6))
	}
	return event.SeverityUnknown
}

// severity returns the severity that an object's members contain.
func (o *object) severity() found {
	if n := number(o.level); n >= 0 {
		f := found{text: o.level}
		switch {
		case n <= 7 && o.has>>isShort&1 == 1:
			f.severity = f.ofSyslog(n)
		case n >= 10 && n <= 60 && n%10 == 0, // bunyan's and pino's
			n > 10 && n < 100 && o.all(isTime, isMsg): // and custom levels
			f.severity = event.Severity(min(n/10, 6))
		case n >= 100 && n <= 600 && n%100 == 0, n == 250, n == 550: // Monolog's
			f.severity = event.Severity(min(n/100+1, 6))
		}
		o.note(byNumber, f)
	}
	if o.has>>isLogger&1 == 1 { // in Lambda's JSON format, only Python's has it
		o.best.scale = topScale
	}
	return o.best
}

// readMessage parses the message of Lambda's own JSON format. There level is the
// level of the called method of the console, and the logger's own level is in the
// message. With Python's logger both are the same, and only a message that is JSON
// may contain another level.
func (a *Annotator) readMessage(l *line, o *object, depth int) {
	if o.has&foreign != 0 || len(o.message) == 0 || depth == maxNested || o.has>>isStamp&1 == 0 && l.n == 0 {
		return
	}
	outer := l.found
	text := o.message
	switch {
	case text[0] == '{':
		a.readObject(l, text, depth+1)
	case text[0] != '"':
		return
	default:
		text = text[1 : len(text)-1]
		if a.readJSON(l, text, depth+1) {
			break
		}
		if o.has>>isLogger&1 == 1 || len(o.level) < 2 || !isCapital(o.level[1]) {
			return
		}
		l.found = found{}
		l.readText(beginning(text, &a.message, maxHead), true)
	}
	if l.severity == event.SeverityUnknown {
		l.found = outer
	}
}

// readJSON parses a JSON string that contains a JSON object, with or without white
// space before it. If there is none, it returns false and does not change l.
func (a *Annotator) readJSON(l *line, text []byte, depth int) bool {
	i := jsontext.SkipSpace(text, 0)
	for i+1 < len(text) && text[i] == '\\' && (text[i+1] == 'n' || text[i+1] == 'r' || text[i+1] == 't') {
		i = jsontext.SkipSpace(text, i+2)
	}
	if i == len(text) || text[i] != '{' {
		return false
	}
	object := text[i:min(len(text), i+maxObject)]
	if bytes.IndexByte(object, '\\') >= 0 {
		object = jsontext.AppendUnescape(a.nested[depth][:0], object, -1)
		a.nested[depth] = object
	}
	before := *l
	if a.readObject(l, object, depth) || len(text)-i > maxObject {
		return true
	}
	*l = before // it only began like an object
	return false
}

// readPath parses the member that a dotted path names, such as ctx.requestId, if it
// is this member or inside it. A name may itself contain dots.
func (l *line) readPath(path string, name, value []byte) {
	switch rest, ok := cutName(path, name); {
	case !ok:
	case rest == "":
		l.candidate(rankKey, jsontext.Unquoted(value))
	default:
		l.readInner(value, rest)
	}
}

// cutName returns the rest of a path after a name.
func cutName(path string, name []byte) (rest string, ok bool) {
	n := len(name)
	switch {
	case len(path) < n || path[:n] != string(name):
		return "", false
	case len(path) == n:
		return "", true
	}
	return path[n+1:], path[n] == '.' && len(path) > n+1
}

// readInner parses the ids in an object inside a line's object, or in each object of
// an array: those that a path names, or, if it is empty, those of the names of ids.
func (l *line) readInner(value []byte, path string) {
	for m := jsontext.Members(value); m.Next(); {
		if path != "" {
			l.readPath(path, m.Name, m.Value)
		} else if idRank(m.Name) > 0 {
			l.candidate(rankNested, jsontext.Unquoted(m.Value))
		}
	}
	for e := jsontext.Elements(value); e.Next(); {
		if e.Value[0] == '{' {
			l.readInner(e.Value, path)
		}
	}
}

// levelOf returns the severity for a logger's level: a word, perhaps in terminal
// colours.
func levelOf(value []byte) (f found) {
	word := jsontext.Unquoted(value)
	if bytes.IndexByte(word, '\\') < 0 {
		f.severity = f.level(bytes.TrimSpace(word))
		return f
	}
	var buf [64 + utf8.UTFMax]byte
	plain := bytes.TrimSpace(withoutColours(jsontext.AppendUnescape(buf[:0], word, 64)))
	f.severity = level(plain)
	if i := bytes.Index(value, plain); i >= 0 {
		f.text = value[i : i+len(plain)] // not in buf, which ends with this function
	}
	return f
}

// statusOf returns the severity in a member that may be a level, or the result of
// something.
func statusOf(value []byte) (f found) {
	if len(value) > 5 && value[1]|0x20 == 's' && value[2]|0x20 == 'u' { // success
		return f
	}
	f.severity = f.unambiguous(jsontext.Unquoted(value))
	return f
}

// number parses a whole number of up to three digits; it returns -1 for other values.
//
//go:noinline
func number(value []byte) (n int) {
	if len(value) == 0 || len(value) > 3 {
		return -1
	}
	for _, c := range value {
		if !isDigit(c) {
			return -1
		}
		n = 10*n + int(c-'0')
	}
	return n
}
