package annotate

import (
	"bytes"

	"kinetel/internal/event"
	"kinetel/internal/scan"
)

const (
	// maxObject bounds how much of a JSON object is looked at. Loggers write
	// their own members first; what a function adds may be megabytes.
	maxObject = 64 << 10
	// maxRequest is as long as a request's id may be; Lambda's have 36
	// characters.
	maxRequest = 128
)

// members goes through the members of a JSON object.
type members struct {
	b     []byte
	i     int
	begun bool
	whole bool // it has ended as an object does
}

// next returns a member's name, without quotes and as it is written, and its
// value. It is not ok where there is no more: at the end, or where the text ends
// or is no JSON.
func (m *members) next() (name, value []byte, ok bool) {
	i := scan.Space(m.b, m.i)
	if i >= len(m.b) {
		return nil, nil, false
	}
	switch c := m.b[i]; {
	case !m.begun && c == '{':
		m.begun = true
		if i = scan.Space(m.b, i+1); i < len(m.b) && m.b[i] == '}' {
			m.i, m.whole = i+1, true
			return nil, nil, false
		}
	case m.begun && c == ',':
		i = scan.Space(m.b, i+1)
	case m.begun && c == '}' && !m.whole:
		m.i, m.whole = i+1, true
		return nil, nil, false
	default:
		return nil, nil, false
	}
	end, ok := pastString(m.b, i)
	if !ok {
		return nil, nil, false
	}
	name = m.b[i+1 : end-1]
	if i = scan.Space(m.b, end); i >= len(m.b) || m.b[i] != ':' {
		return nil, nil, false
	}
	if i = scan.Space(m.b, i+1); i >= len(m.b) {
		return nil, nil, false
	}
	if m.b[i] == '"' {
		m.i, ok = pastString(m.b, i)
	} else {
		var err error
		m.i, err = scan.Value(m.b, i)
		ok = err == nil
	}
	if !ok {
		return nil, nil, false
	}
	return name, m.b[i:m.i], true
}

// pastString returns the index just after the string that begins at b[i]. It is
// faster than scan.String, and does not ask what is in it.
func pastString(b []byte, i int) (end int, ok bool) {
	if i >= len(b) || b[i] != '"' {
		return i, false
	}
	for i++; ; {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return len(b), false
		}
		quote := i + n
		first := quote
		for first > i && b[first-1] == '\\' {
			first--
		}
		i = quote + 1
		if (quote-first)%2 == 0 {
			return i, true
		}
	}
}

// platform is what a platform event says of invocations.
type platform struct {
	request      []byte // empty: it names none
	trace        []byte // X-Ray's id
	inInvocation bool   // an init that runs inside an invocation
}

// readPlatform reads a platform event's record (AWS documentation, Telemetry API
// event schema reference).
func readPlatform(record []byte) (p platform) {
	for m := (members{b: record[:min(len(record), maxObject)]}); ; {
		name, value, ok := m.next()
		if !ok {
			return p
		}
		switch string(name) {
		case "requestId":
			if p.request = stringOf(value); !isRequest(p.request) {
				p.request = nil
			}
		case "phase":
			p.inInvocation = string(value) == `"invoke"`
		case "tracing":
			p.trace = root(stringOf(member(value, "value")))
		}
	}
}

// stringOf returns the text of a JSON string; nothing of any other value.
func stringOf(value []byte) []byte {
	if len(value) < 2 || value[0] != '"' {
		return nil
	}
	text := value[1 : len(value)-1]
	if bytes.IndexByte(text, '\\') >= 0 {
		text = appendUnescaped(nil, text, len(text))
	}
	return text
}

// isRequest reports whether text may stand for a request in a line, where nobody
// quotes it again.
func isRequest(id []byte) bool {
	for _, c := range id {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return len(id) > 0 && len(id) <= maxRequest
}

// root returns the id of the trace that an X-Ray header's value names:
// Root=1-5759e988-bd862e3fe1be46a994272793;Parent=…;Sampled=1 (AWS documentation,
// X-Ray concepts, tracing header).
func root(header []byte) []byte {
	for len(header) > 0 {
		var field []byte
		field, header, _ = bytes.Cut(header, []byte{';'})
		if id, ok := bytes.CutPrefix(bytes.TrimSpace(field), []byte("Root=")); ok {
			if len(id) == len("1-5759e988-bd862e3fe1be46a994272793") && id[0] == '1' && id[1] == '-' && isHex(id[2:10]) && id[10] == '-' && isHex(id[11:]) {
				return id
			}
			return nil
		}
	}
	return nil
}

func isHex(text []byte) bool {
	for _, c := range text {
		if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}

// isUUID reports whether text has the shape of Lambda's request ids.
func isUUID(text []byte) bool {
	return len(text) == 36 && text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-' &&
		isHex(text[:8]) && isHex(text[9:13]) && isHex(text[14:18]) && isHex(text[19:23]) && isHex(text[24:])
}

// maxNested is how many JSON texts within JSON are looked at, one inside another.
const maxNested = 2

// object is what is found among the members of a line's JSON object.
type object struct {
	levels [ranks]event.Severity

	level    []byte // the value of level: a number has one meaning for each logger
	message  []byte // the value of message
	status   event.Severity
	clef     bool // Serilog's compact format, which omits the level of information
	time     bool // members of pino and bunyan
	msg      bool
	short    bool // GELF's short_message
	stamp    bool // timestamp
	logger   bool
	foreign  bool // a member that Lambda's own JSON format does not have
	leveled  bool // level is a word in capitals
	template bool
}

// The members that hold a severity, the first that counts first. What a logger
// calls its own level comes before numbers, and both before names that other
// things have as well.
const (
	byLevel = iota
	bySeverity
	byLogLevel // log.level, of ECS
	byLevelName
	byLvl
	byCapitalLevel
	bySeverityText
	byOther
	byNested // log.level in two objects; loguru's record.level.name
	byNumber // level, as a number
	bySeverityNumber
	ranks
)

// readObject reads the members of a JSON object that loggers write. It returns
// whether the text is an object and nothing else, as far as it goes.
func (a *Annotator) readObject(l *line, text []byte, depth int) (whole bool) {
	var o object
	m := members{b: text}
	for {
		name, value, ok := m.next()
		if !ok {
			break
		}
		a.readMember(l, &o, name, value)
	}
	l.severity = o.severity()
	if a.readMessage(l, &o, depth); l.severity == event.SeverityUnknown {
		switch {
		case o.clef && o.template:
			l.severity = event.Info
		case o.message != nil || o.msg:
			l.severity = o.status
		}
	}
	return m.whole && scan.Space(text, m.i) == len(text)
}

// readMember reads a member of the outermost object.
func (a *Annotator) readMember(l *line, o *object, name, value []byte) {
	for _, key := range a.keys {
		l.readPath(key, name, value)
	}
	switch string(name) {
	// What Lambda's own JSON format has, and no more, is Lambda's.
	case "timestamp":
		o.stamp = true
		return
	case "message":
		o.message = value
		return
	case "level":
		o.level = value
		o.levels[byLevel] = severityOf(value)
		o.leveled = len(value) > 1 && isCapital(value[1])
		return
	case "requestId", "AWSRequestId":
		l.candidate(idRank(name), idOf(value))
		return
	case "logger", "loggerName":
		o.logger = true
		return
	case "traceId", "tenantId", "executionArn", "errorType", "errorMessage", "stackTrace", "location":
		return

	case "severity":
		o.levels[bySeverity] = severityOf(value)
		if n := number(value); n >= 100 && n <= 800 && n%100 == 0 { // Google's LogSeverity
			o.levels[bySeverityNumber] = [...]event.Severity{event.Debug, event.Info, event.Info, event.Warn, event.Error, event.Fatal, event.Fatal, event.Fatal}[n/100-1]
		}
	case "log.level":
		o.levels[byLogLevel] = severityOf(value)
	case "levelname", "level_name", "levelName":
		o.levels[byLevelName] = severityOf(value)
	case "lvl":
		o.levels[byLvl] = severityOf(value)
	case "Level":
		o.levels[byCapitalLevel] = severityOf(value)
	case "severity_text", "SeverityText", "severityText":
		if s := severityOf(value); s != event.SeverityUnknown {
			o.levels[bySeverityText] = s
		}
	case "@level", "@l", "LogLevel", "logLevel", "log_level", "loglevel", "_logLevel", "L", "Severity", "severityLevel", "priorityName":
		s := severityOf(value)
		if n := number(value); string(name) == "severityLevel" && n >= 0 && n <= 4 { // Azure's SeverityLevel
			s = [...]event.Severity{event.Trace, event.Info, event.Warn, event.Error, event.Fatal}[n]
		}
		if s != event.SeverityUnknown {
			o.levels[byOther] = s
		}
		o.clef = o.clef && string(name) != "@l"
	case "severityNumber", "SeverityNumber", "severity_number": // OpenTelemetry's
		if n := number(value); n >= 1 && n <= 24 {
			o.levels[bySeverityNumber] = event.Severity((n + 3) / 4)
		}
	case "levelno", "level_number": // Python's
		if n := number(value); n >= 10 && n <= 50 && n%10 == 0 {
			o.levels[bySeverityNumber] = event.Severity(n/10 + 1)
		}
	case "status": // Datadog's, but others have one, too
		o.status = statusOf(value)
	case "log":
		o.levels[byNested] = severityOf(member(value, "level"))
	case "_meta": // tslog's
		o.levels[byNested] = severityOf(member(value, "logLevelName"))
	case "record": // loguru's
		if s := severityOf(member(member(value, "level"), "name")); s != event.SeverityUnknown {
			o.levels[byNested] = s
		}
		l.readNested(member(value, "extra"))

	case "@t":
		o.clef = o.levels[byOther] == event.SeverityUnknown
	case "@m", "@mt":
		o.template = true
	case "time":
		o.time = true
	case "msg":
		o.msg = true
	case "short_message":
		o.short = true

	case "span", "spans", "context", "ctx", "lambda_context", "lambdaContext", "lambda", "extra", "fields", "mdc", "contextMap", "Properties", "State", "Scopes", "labels", "attributes", "faas", "aws":
		l.readNested(value)
	default:
		if rank := idRank(name); rank > 0 {
			l.candidate(rank, idOf(value))
		}
	}
	o.foreign = true
}

// severity returns the severity that an object's members say.
func (o *object) severity() event.Severity {
	if n := number(o.level); n >= 0 {
		switch {
		case n <= 7 && o.short:
			o.levels[byNumber] = ofSyslog(n)
		case n >= 10 && n <= 60 && n%10 == 0, // bunyan's and pino's
			n > 10 && n < 100 && o.time && o.msg: // and one that was added to them
			o.levels[byNumber] = event.Severity(min(n/10, 6))
		case n == 100: // Monolog's
			o.levels[byNumber] = event.Debug
		case n == 200, n == 250:
			o.levels[byNumber] = event.Info
		case n == 300:
			o.levels[byNumber] = event.Warn
		case n == 400:
			o.levels[byNumber] = event.Error
		case n == 500, n == 550, n == 600:
			o.levels[byNumber] = event.Fatal
		}
	}
	for _, severity := range o.levels {
		if severity != event.SeverityUnknown {
			return severity
		}
	}
	return event.SeverityUnknown
}

// readMessage reads the message of Lambda's own JSON format. There level is that of
// the console's method that was called, and the logger's own level is what the
// message says. Of Python's logger it is the same level, and only JSON may say
// another.
func (a *Annotator) readMessage(l *line, o *object, depth int) {
	if o.foreign || len(o.message) == 0 || depth == maxNested || !o.stamp && l.n == 0 {
		return
	}
	outer := l.severity
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
		if o.logger || !o.leveled {
			return
		}
		l.severity = event.SeverityUnknown
		l.readText(beginning(text, &a.message), true)
	}
	if l.severity == event.SeverityUnknown {
		l.severity = outer
	}
}

// readJSON reads a JSON string that holds a JSON object, and may have white space
// before it. It returns false, and l is what it was, if there is none.
func (a *Annotator) readJSON(l *line, text []byte, depth int) bool {
	i := scan.Space(text, 0)
	for i+1 < len(text) && text[i] == '\\' && (text[i+1] == 'n' || text[i+1] == 'r' || text[i+1] == 't') {
		i = scan.Space(text, i+2)
	}
	if i == len(text) || text[i] != '{' {
		return false
	}
	object := text[i:min(len(text), i+maxObject)]
	if bytes.IndexByte(object, '\\') >= 0 {
		a.texts[depth] = appendUnescaped(a.texts[depth][:0], object, maxObject)
		object = a.texts[depth]
	}
	before := *l
	if a.readObject(l, object, depth) || len(text)-i > maxObject {
		return true
	}
	*l = before // it only began like one
	return false
}

// readPath reads the member that a dotted path names, such as ctx.requestId, if it
// is this one or within it. A name may have dots itself.
func (l *line) readPath(path string, name, value []byte) {
	switch rest, ok := cut(path, name); {
	case !ok || len(value) == 0:
	case rest == "":
		l.candidate(rankKey, idOf(value))
	case value[0] == '{':
		for m := (members{b: value}); ; {
			name, value, ok := m.next()
			if !ok {
				return
			}
			l.readPath(rest, name, value)
		}
	case value[0] == '[':
		for e := (elements{b: value, i: 1}); ; {
			value, ok := e.next()
			if !ok {
				return
			}
			if value[0] == '{' {
				l.readPath(path, name, value)
			}
		}
	}
}

// cut returns what is behind a name in a path.
func cut(path string, name []byte) (rest string, ok bool) {
	n := len(name)
	switch {
	case len(path) < n || path[:n] != string(name):
		return "", false
	case len(path) == n:
		return "", true
	}
	return path[n+1:], path[n] == '.' && len(path) > n+1
}

// readNested reads the ids in an object within a line's, or in each of an array of
// them.
func (l *line) readNested(value []byte) {
	if len(value) == 0 {
		return
	}
	switch value[0] {
	case '{':
		for m := (members{b: value}); ; {
			name, value, ok := m.next()
			if !ok {
				return
			}
			if rank := idRank(name); rank > 0 {
				l.candidate(rankNested, idOf(value))
			}
		}
	case '[':
		for e := (elements{b: value, i: 1}); ; {
			value, ok := e.next()
			if !ok {
				return
			}
			if value[0] == '{' {
				l.readNested(value)
			}
		}
	}
}

// elements goes through the elements of a JSON array, from b[1] on.
type elements struct {
	b []byte
	i int
}

func (e *elements) next() (value []byte, ok bool) {
	i := scan.Space(e.b, e.i)
	if i < len(e.b) && e.b[i] == ',' {
		i = scan.Space(e.b, i+1)
	}
	end, err := scan.Value(e.b, i)
	if err != nil {
		return nil, false
	}
	e.i = end
	return e.b[i:end], true
}

// member returns the value of an object's member; nil if there is none.
func member(object []byte, name string) (found []byte) {
	for m := (members{b: object}); ; {
		is, value, ok := m.next()
		if !ok {
			return found
		}
		if string(is) == name {
			found = value
		}
	}
}

// idOf returns the text of a value that may be a request's id.
func idOf(value []byte) []byte {
	if len(value) < 2 || value[0] != '"' {
		return nil
	}
	return value[1 : len(value)-1] // with a backslash in it, it is none that is known
}

// The order in which ids count if a line has several that are known.
const (
	rankKey    = 1  // KINETEL_REQUEST_ID_KEYS
	rankPrefix = 2  // of Lambda's own formats
	rankNested = 20 // in an object within the line's
	rankText   = 30 // in a text
)

// idRank returns how much a member's name says that it is Lambda's request id, the
// least number the most; 0 if it is none. They are those of Lambda's runtimes,
// Powertools, OpenTelemetry and loggers.
func idRank(name []byte) uint8 {
	switch string(name) {
	case "AWSRequestId":
		return 3
	case "awsRequestId", "AwsRequestId":
		return 4
	case "requestId":
		return 5
	case "request_id":
		return 6
	case "aws_request_id":
		return 7
	case "function_request_id", "functionRequestId", "FunctionRequestId":
		return 8
	case "lambdaRequestId", "lambda_request_id", "LambdaRequestId":
		return 9
	case "faas.invocation_id", "faas.execution", "invocation_id", "invocationId":
		return 10
	case "RequestId", "requestID", "RequestID", "awsRequestID", "AWSRequestID":
		return 11
	}
	return 0
}

// severityOf reads what a logger wrote as a level: a word, perhaps in a terminal's
// colours.
func severityOf(value []byte) event.Severity {
	if len(value) < 2 || value[0] != '"' {
		return event.SeverityUnknown
	}
	word := value[1 : len(value)-1]
	if bytes.IndexByte(word, '\\') >= 0 {
		var buf [64]byte
		word = withoutColours(appendUnescaped(buf[:0], word, len(buf)))
	}
	return level(bytes.TrimSpace(word))
}

// statusOf reads a member that may be a level, or how something ended.
func statusOf(value []byte) event.Severity {
	switch s := severityOf(value); string(value) {
	case `"success"`, `"Success"`, `"SUCCESS"`, `"fail"`, `"FAIL"`, `"default"`, `"http"`, `"log"`, `"fine"`, `"verbose"`, `"config"`:
		return event.SeverityUnknown
	default:
		return s
	}
}

// number reads a whole number of up to three digits; -1 if a value is none.
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
