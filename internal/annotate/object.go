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
			for m := (members{b: value}); ; {
				name, value, ok := m.next()
				if !ok {
					break
				}
				if string(name) == "value" {
					p.trace = root(stringOf(value))
				}
			}
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

// readObject reads the members of a JSON object that loggers write. It returns
// whether the text is an object and nothing else, as far as it goes.
func (l *line) readObject(text []byte) (whole bool) {
	var said [9]event.Severity
	m := members{b: text}
	for {
		name, value, ok := m.next()
		if !ok {
			break
		}
		// By whom a member is written, in the order in which they count. Of
		// AWS: the runtimes, Powertools.
		switch string(name) {
		case "AWSRequestId":
			l.ids[0] = idOf(value)
		case "awsRequestId":
			l.ids[1] = idOf(value)
		case "requestId":
			l.ids[2] = idOf(value)
		case "request_id":
			l.ids[3] = idOf(value)
		case "aws_request_id":
			l.ids[4] = idOf(value)
		case "function_request_id":
			l.ids[5] = idOf(value)
		case "lambdaRequestId":
			l.ids[6] = idOf(value)
		case "faas.invocation_id":
			l.ids[7] = idOf(value)

		case "level":
			said[0] = severityOf(value)
		case "severity":
			said[1] = severityOf(value)
		case "log.level":
			said[2] = severityOf(value)
		case "levelname":
			said[3] = severityOf(value)
		case "lvl":
			said[4] = severityOf(value)
		case "Level":
			said[5] = severityOf(value)
		case "severity_text":
			said[6] = severityOf(value)
		case "SeverityText":
			said[7] = severityOf(value)
		case "log":
			for m := (members{b: value}); ; {
				name, value, ok := m.next()
				if !ok {
					break
				}
				if string(name) == "level" {
					said[8] = severityOf(value)
				}
			}
		}
	}
	for _, severity := range said {
		if severity != event.SeverityUnknown {
			l.severity = severity
			break
		}
	}
	return m.whole && scan.Space(text, m.i) == len(text)
}

// idOf returns the text of a value that may be a request's id.
func idOf(value []byte) []byte {
	if len(value) < 2 || value[0] != '"' || len(value) > maxRequest+2 {
		return nil
	}
	return value[1 : len(value)-1] // with a backslash in it, it is none that is known
}

// severityOf reads what a logger wrote as a level: a word, or one of the numbers
// of bunyan and pino.
func severityOf(value []byte) event.Severity {
	if value[0] == '"' {
		return severity(value[1 : len(value)-1])
	}
	if len(value) == 2 && value[1] == '0' && value[0] >= '1' && value[0] <= '6' {
		return event.Severity(value[0] - '0')
	}
	return event.SeverityUnknown
}
