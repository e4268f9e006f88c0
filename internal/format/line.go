package format

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// Schema is the name and version of the format of lines.
const Schema = "kinetel/1"

// Part is which part of an event a line holds. The zero value means the whole event.
type Part struct {
	Part, Parts int // from 1
	Body        []byte
}

// Start comes before the sequence number of each line.
const Start = `{"schema":"` + Schema + `","seq":`

// AppendLine appends an event, or a part of one, as one line of kinetel/1. The body
// of a part is a string with a piece of the JSON text of the event's record. The line
// is always valid (jsontext.ValidUnicode). If the body is not, bodyBase64 has the
// original.
func AppendLine(dst []byte, seq uint64, ev *event.Event, part Part, resource []byte) []byte {
	dst = append(dst, Start...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, `,"time":"`...)
	if len(ev.Time) > 0 {
		dst = append(dst, ev.Time...)
	} else {
		dst = ev.Received.UTC().AppendFormat(dst, event.TimeFormat)
	}
	dst = append(dst, `","type":"`...)
	dst = jsontext.AppendValidUnicode(dst, ev.Type)
	dst = append(dst, '"')
	if severity := ev.Severity.String(); severity != "" {
		dst = append(dst, `,"severity":"`...)
		dst = append(dst, severity...)
		dst = append(dst, '"')
	}
	if ev.RequestID != "" {
		dst = append(dst, `,"requestId":`...)
		dst = appendID(dst, ev.RequestID)
	}
	if ev.TraceID != "" {
		dst = append(dst, `,"traceId":`...)
		dst = appendID(dst, ev.TraceID)
	}
	if part.Parts > 0 {
		dst = append(dst, `,"part":`...)
		dst = strconv.AppendInt(dst, int64(part.Part), 10)
		dst = append(dst, `,"parts":`...)
		dst = strconv.AppendInt(dst, int64(part.Parts), 10)
	}
	dst = appendBodyMembers(dst, ev.Record, part)
	if len(ev.Extra) > 0 && part.Part <= 1 {
		dst = append(dst, `,"extra":{`...)
		dst = AppendOneLine(dst, valid(ev.Extra))
		dst = append(dst, '}')
	}
	dst = append(dst, `,"resource":`...)
	dst = append(dst, resource...)
	return append(dst, '}', '\n')
}

// appendID appends an id as a JSON string.
func appendID(dst []byte, id string) []byte {
	if !utf8.ValidString(id) {
		id = strings.ToValidUTF8(id, jsontext.Replacement)
	}
	return jsontext.AppendQuote(dst, id)
}

// ReplacedSize returns how many bytes AppendLine writes for a record that is not
// valid: for its text with replacements, and for its original. It returns 0 for a valid
// record.
func ReplacedSize(record []byte) (size int) {
	if jsontext.ValidUnicode(record) {
		return 0
	}
	for rest := record; len(rest) > 0; {
		n, ok := jsontext.FirstChar(rest)
		if ok {
			size += n
		} else {
			size += len(jsontext.Replacement)
		}
		rest = rest[n:]
	}
	return size + base64.StdEncoding.EncodedLen(len(record))
}

// appendBodyMembers appends the member body and, if the body is not valid, the member
// bodyBase64. The body of a part is a string with a piece of JSON text.
func appendBodyMembers(dst, record []byte, part Part) []byte {
	dst = append(dst, `,"body":`...)
	original := record
	if part.Parts > 0 {
		original = part.Body
	}
	text := valid(original)
	if part.Parts > 0 {
		dst = jsontext.AppendQuote(dst, text)
	} else {
		dst = AppendOneLine(dst, text)
	}
	if !bytes.Equal(text, original) {
		dst = append(dst, `,"bodyBase64":"`...)
		dst = base64.StdEncoding.AppendEncode(dst, original)
		dst = append(dst, '"')
	}
	return dst
}

// valid returns JSON text with replacements of what is not valid.
func valid(text []byte) []byte {
	if jsontext.ValidUnicode(text) {
		return text
	}
	return jsontext.AppendValidUnicode(nil, text)
}

// AppendOneLine appends JSON text without the line feeds between its tokens. Strings
// cannot contain line feeds. It changes nothing else. It appends null for empty text.
func AppendOneLine(dst, json []byte) []byte {
	if len(json) == 0 {
		return append(dst, "null"...)
	}
	for {
		i := bytes.IndexByte(json, '\n')
		if i < 0 {
			return append(dst, json...)
		}
		dst = append(dst, json[:i]...)
		json = json[i+1:]
	}
}

// Line is a parsed line of kinetel/1. Its byte slices point into the line.
type Line struct {
	Text []byte // all of it, with its line feed
	Seq  uint64
	Time []byte // RFC 3339, between the quotes
	Type []byte // between the quotes, with its escapes
	// Severity is the name of an event.Severity; empty: none.
	Severity []byte
	// RequestID and TraceID are the text between the quotes, with any escapes; ids
	// of Lambda have none. Empty: none.
	RequestID, TraceID []byte
	Part, Parts        int    // 0: the line holds the whole event
	Body               []byte // JSON
	BodyBase64         []byte // of the original body; empty: Body is the original
	Extra              []byte // JSON, an object; empty: none
	Resource           []byte // JSON, an object

	Details // of formats that need them, else empty
}

// Details are what an event has and its line does not.
type Details struct {
	Received int64 // in nanoseconds since 1970; 0: not known
	event.OTLP
}

// DetailsOf returns the details of an event.
func DetailsOf(ev *event.Event) Details {
	return Details{Received: max(ev.Received.UnixNano(), 0), OTLP: ev.OTLP}
}

// ReadLine parses a line. It reports whether the line looks like one that AppendLine
// wrote.
func ReadLine(text []byte) (l Line, ok bool) {
	if !bytes.HasPrefix(text, []byte(Start)) {
		return l, false
	}
	l.Text = text
	var err error
	m := jsontext.Members(text)
	for err == nil && m.Next() {
		switch string(m.Name) {
		case "seq":
			l.Seq, err = strconv.ParseUint(string(m.Value), 10, 64)
		case "time":
			l.Time = jsontext.Unquoted(m.Value)
		case "type":
			l.Type = jsontext.Unquoted(m.Value)
		case "severity":
			l.Severity = jsontext.Unquoted(m.Value)
		case "requestId":
			l.RequestID = jsontext.Unquoted(m.Value)
		case "traceId":
			l.TraceID = jsontext.Unquoted(m.Value)
		case "part":
			l.Part, err = strconv.Atoi(string(m.Value))
		case "parts":
			l.Parts, err = strconv.Atoi(string(m.Value))
		case "body":
			l.Body = m.Value
		case "bodyBase64":
			l.BodyBase64 = jsontext.Unquoted(m.Value)
		case "extra":
			l.Extra = m.Value
		case "resource":
			l.Resource = m.Value
		}
	}
	return l, err == nil && m.Err == nil && len(l.Time) > 0 && len(l.Type) > 0 && len(l.Body) > 0 && len(l.Resource) > 0
}

// TypeOf returns the type of a line that AppendLine wrote. It searches for the name
// of the member, which nothing before it can contain.
func TypeOf(line []byte) []byte {
	_, after, _ := bytes.Cut(line, []byte(`","type":"`))
	kind, _, _ := bytes.Cut(after, []byte{'"'})
	return kind
}

// UnixNano returns a line's time in nanoseconds since 1970. It reports whether the time
// has such a value: an event's time comes from Lambda, and may be any that time.Parse
// reads.
func UnixNano(text []byte) (ns uint64, ok bool) {
	var t time.Time
	if t.UnmarshalText(text) != nil { // allocates nothing for a valid time
		var err error
		if t, err = time.Parse(time.RFC3339, string(text)); err != nil {
			return 0, false
		}
	}
	const last = int64(1<<64/1_000_000_000) - 1 // the last whole second that fits, in 2554
	seconds := t.Unix()
	if seconds < 0 || seconds > last {
		return 0, false
	}
	return uint64(seconds)*1_000_000_000 + uint64(t.Nanosecond()), true
}

// TraceHeader returns the fields of X-Ray's tracing header:
// Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1
func TraceHeader(header []byte) (root, parent, sampled []byte) {
	for len(header) > 0 {
		var field []byte
		field, header, _ = bytes.Cut(header, []byte{';'})
		key, value, _ := bytes.Cut(bytes.TrimSpace(field), []byte{'='})
		switch string(key) {
		case "Root":
			root = value
		case "Parent":
			parent = value
		case "Sampled":
			sampled = value
		}
	}
	return root, parent, sampled
}
