package annotate

import (
	"bytes"
	"strings"

	"kinetel/internal/event"
	"kinetel/internal/jsontext"
)

const (
	// maxObject bounds how much of a JSON object is read. Loggers write their own
	// members first; what a function adds may be megabytes.
	maxObject = 64 << 10
	// maxRequest is the maximum length of a request id. Lambda's have 36
	// characters.
	maxRequest = 128
)

// members iterates over the members of a JSON object.
type members struct {
	b     []byte
	i     int
	begun bool
	whole bool // the end of the object was reached
}

// next returns a member's name, without quotes and not unescaped, and its value. ok
// is false if there are no more members: at the end of the object or of the text, or
// if the text is not JSON.
func (m *members) next() (name, value []byte, ok bool) {
	i := jsontext.SkipSpace(m.b, m.i)
	if i >= len(m.b) {
		return nil, nil, false
	}
	switch c := m.b[i]; {
	case !m.begun && c == '{':
		m.begun = true
		if i = jsontext.SkipSpace(m.b, i+1); i < len(m.b) && m.b[i] == '}' {
			m.i, m.whole = i+1, true
			return nil, nil, false
		}
	case m.begun && c == ',':
		i = jsontext.SkipSpace(m.b, i+1)
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
	if i = jsontext.SkipSpace(m.b, end); i >= len(m.b) || m.b[i] != ':' {
		return nil, nil, false
	}
	if i = jsontext.SkipSpace(m.b, i+1); i >= len(m.b) {
		return nil, nil, false
	}
	if m.b[i] == '"' {
		m.i, ok = pastString(m.b, i)
	} else {
		var err error
		m.i, err = jsontext.SkipValue(m.b, i)
		ok = err == nil
	}
	if !ok {
		return nil, nil, false
	}
	return name, m.b[i:m.i], true
}

// pastString returns the index just after the string that begins at b[i]. It is
// faster than jsontext.SkipString, because it does not validate the string.
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

// isRequest reports whether text may be written to a line as a request id. There it
// is not escaped again.
func isRequest(id string) bool {
	for i := range len(id) {
		if c := id[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return len(id) > 0 && len(id) <= maxRequest
}

// root returns the trace id in the value of an X-Ray header:
// Root=1-5759e988-bd862e3fe1be46a994272793;Parent=…;Sampled=1 (AWS documentation,
// X-Ray concepts, tracing header).
func root(header string) string {
	for header != "" {
		var field string
		field, header, _ = strings.Cut(header, ";")
		if id, ok := strings.CutPrefix(strings.TrimSpace(field), "Root="); ok {
			if len(id) == len("1-5759e988-bd862e3fe1be46a994272793") && id[:2] == "1-" && id[10] == '-' && isHex([]byte(id[2:10])) && isHex([]byte(id[11:])) {
				return id
			}
			return ""
		}
	}
	return ""
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

// maxNested is how many levels of JSON texts inside JSON are read.
const maxNested = 2

// The members that contain a severity, in the order of their priority: a logger's
// level, then numbers, then names that also have other meanings.
const (
	byLevel = iota
	bySeverity
	byLogLevel // log.level, of ECS
	byLevelName
	byLvl
	byCapitalLevel
	bySeverityText
	byOther
	byAzure  // Application Insights' severityLevel
	byNested // log.level in two objects, record.level.name of loguru, _meta of tslog
	byNumber // level, as a number
	byOTel
	byPython
	ranks

	// Members with another meaning.
	isStatus = iota
	isMessage
	isID       // request id of Lambda's own JSON format
	isLambdas  // other members of Lambda's own JSON format
	isStamp    // timestamp
	isLogger   // Python, in Lambda's own format
	isLog      // an object with a level
	isMeta     // an object with logLevelName
	isRecord   // loguru's
	isNested   // an object that may have an id
	isTime     // of pino and bunyan
	isMsg      // the same
	isShort    // GELF's short_message
	isCompact  // @t of Serilog's compact format, which omits the level of information
	isTemplate // @m or @mt of the same
	isUnknown  // may be an id
)

// memberOf returns the kind of a member by its name.
func memberOf(name []byte) int {
	switch string(name) {
	case "level":
		return byLevel
	case "severity":
		return bySeverity
	case "log.level":
		return byLogLevel
	case "levelname", "level_name", "levelName":
		return byLevelName
	case "lvl":
		return byLvl
	case "Level":
		return byCapitalLevel
	case "severity_text", "SeverityText", "severityText":
		return bySeverityText
	case "@level", "@l", "LogLevel", "logLevel", "log_level", "loglevel", "_logLevel", "L", "Severity", "priorityName":
		return byOther
	case "severityLevel":
		return byAzure
	case "severityNumber", "SeverityNumber", "severity_number":
		return byOTel
	case "levelno", "level_number":
		return byPython
	case "status":
		return isStatus
	case "message":
		return isMessage
	case "requestId", "AWSRequestId":
		return isID
	case "traceId", "tenantId", "executionArn", "errorType", "errorMessage", "stackTrace", "location":
		return isLambdas
	case "timestamp":
		return isStamp
	case "logger", "loggerName":
		return isLogger
	case "log":
		return isLog
	case "_meta":
		return isMeta
	case "record":
		return isRecord
	case "span", "spans", "context", "ctx", "lambda_context", "lambdaContext", "lambda", "extra", "fields", "mdc", "contextMap", "Properties", "State", "Scopes", "labels", "attributes", "faas", "aws":
		return isNested
	case "time":
		return isTime
	case "msg":
		return isMsg
	case "short_message":
		return isShort
	case "@t":
		return isCompact
	case "@m", "@mt":
		return isTemplate
	}
	return isUnknown
}

// object is what is parsed from the members of a line's JSON object.
type object struct {
	levels  [ranks]event.Severity
	level   []byte // the value of level: the meaning of a number depends on the logger
	message []byte // the value of message
	status  event.Severity
	has     uint64 // the members that are present, one bit each
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
	var o object
	m := members{b: text}
	for {
		name, value, ok := m.next()
		if !ok {
			break
		}
		for _, key := range a.keys {
			l.readPath(key, name, value)
		}
		l.readMember(&o, name, value)
	}
	l.severity = o.severity()
	if a.readMessage(l, &o, depth); l.severity == event.SeverityUnknown {
		switch {
		case o.all(isCompact, isTemplate):
			l.severity = event.Info
		case o.has&(1<<isMessage|1<<isMsg) != 0: // otherwise it is the status of something else
			l.severity = o.status
		}
	}
	return m.whole && jsontext.SkipSpace(text, m.i) == len(text)
}

// readMember parses a member of the outermost object.
func (l *line) readMember(o *object, name, value []byte) {
	what := memberOf(name)
	o.has |= 1 << what
	to := what // index in levels
	switch what {
	case isMessage:
		o.message = value
		return
	case isID, isUnknown:
		if rank := idRank(name); rank > 0 {
			l.candidate(rank, idOf(value))
		}
		return
	case isNested:
		l.readNested(value)
		return
	case isRecord:
		l.readNested(member(value, "extra"))
		to, value = byNested, member(member(value, "level"), "name")
	case isLog:
		to, value = byNested, member(value, "level")
	case isMeta:
		to, value = byNested, member(value, "logLevelName")
	case isStatus:
		o.status = statusOf(value)
		return
	case byLevel:
		o.level = value
	}
	if to >= ranks {
		return
	}
	if s := severityOf(value); s != event.SeverityUnknown {
		o.levels[to] = s
	} else if n := number(value); n >= 0 && to != byLevel {
		o.levels[to] = scaled(to, n)
	}
}

// scaled returns the severity for a number in the scale of a member.
func scaled(of, n int) event.Severity {
	switch {
	case of == byOTel && n >= 1 && n <= 24: // OpenTelemetry, logs data model
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
func (o *object) severity() event.Severity {
	if n := number(o.level); n >= 0 {
		switch {
		case n <= 7 && o.has>>isShort&1 == 1:
			o.levels[byNumber] = ofSyslog(n)
		case n >= 10 && n <= 60 && n%10 == 0, // bunyan's and pino's
			n > 10 && n < 100 && o.all(isTime, isMsg): // and custom levels
			o.levels[byNumber] = event.Severity(min(n/10, 6))
		case n >= 100 && n <= 600 && n%100 == 0, n == 250, n == 550: // Monolog's
			o.levels[byNumber] = event.Severity(min(n/100+1, 6))
		}
	}
	for _, severity := range o.levels {
		if severity != event.SeverityUnknown {
			return severity
		}
	}
	return event.SeverityUnknown
}

// readMessage parses the message of Lambda's own JSON format. There level is the
// level of the called method of the console, and the logger's own level is in the
// message. With Python's logger both are the same, and only a message that is JSON
// may contain another level.
func (a *Annotator) readMessage(l *line, o *object, depth int) {
	if o.has&foreign != 0 || len(o.message) == 0 || depth == maxNested || o.has>>isStamp&1 == 0 && l.n == 0 {
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
		if o.has>>isLogger&1 == 1 || len(o.level) < 2 || !isCapital(o.level[1]) {
			return
		}
		l.severity = event.SeverityUnknown
		l.readText(beginning(text, &a.message), true)
	}
	if l.severity == event.SeverityUnknown {
		l.severity = outer
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
		a.texts[depth] = appendUnescaped(a.texts[depth][:0], object, maxObject)
		object = a.texts[depth]
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

// readNested parses the ids in an object inside a line's object, or in each object
// of an array.
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

// elements iterates over the elements of a JSON array, from b[1] on.
type elements struct {
	b []byte
	i int
}

func (e *elements) next() (value []byte, ok bool) {
	i := jsontext.SkipSpace(e.b, e.i)
	if i < len(e.b) && e.b[i] == ',' {
		i = jsontext.SkipSpace(e.b, i+1)
	}
	end, err := jsontext.SkipValue(e.b, i)
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
	return value[1 : len(value)-1] // not unescaped: known ids have no backslash
}

// Ranks of ids: if a line has several known ids, the lowest rank counts.
const (
	rankKey    = 1  // KINETEL_REQUEST_ID_KEYS
	rankPrefix = 2  // in the prefix of Lambda's own formats
	rankNested = 20 // in an object inside the line's object
	rankText   = 30 // in a text
)

// idRank returns how certainly a member's name is that of Lambda's request id: 0 if
// it is not, else a lower number is more certain. The names are those of Lambda's
// runtimes, Powertools, OpenTelemetry and loggers.
//
//go:noinline
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

// severityOf returns the severity for a logger's level: a word, perhaps in terminal
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

// statusOf returns the severity in a member that may be a level, or the result of
// something.
func statusOf(value []byte) event.Severity {
	if len(value) > 5 && value[1]|0x20 == 's' && value[2]|0x20 == 'u' { // success
		return event.SeverityUnknown
	}
	return unambiguous(idOf(value))
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
