package format

import (
	"strconv"
	"time"

	"kinetel/internal/event"
	"kinetel/internal/jsontext"
	"kinetel/internal/version"
)

// AppendOTLPLogs and AppendOTLPSpans write at most OTLPFactor times the bytes of a
// line's text, plus OTLPOverhead bytes. Each payload adds once about 450 bytes, and for
// each attribute of the resource its text and 45 bytes.
const (
	OTLPFactor   = 2
	OTLPOverhead = 1024
)

// Each line of text is one payload of OTLP/JSON (OpenTelemetry, protocol
// specification and protocol buffers; file exporter). Attributes have the names of the
// semantic conventions of this version, if these have one.
//
// No content of a line may be lost, but OTLP has no fields for most of it. So:
//
//   - A log record, or span, begins with its attributes, and the attributes begin
//     with kinetel.seq and kinetel.type, which Filter reads.
//   - Strings and numbers are written as in the line, with their escapes. A reader
//     of the payload's text can restore them byte for byte.
//   - If a body cannot be restored from "body" in this way, kinetel.body also has
//     it as JSON text. If a body would take too much space (see appendBody), "body"
//     is its JSON text, and kinetel.body.json says so.
//   - If a body has replacements in the line, kinetel.body.bytes has the original.
//     Text that is not UTF-8 is a bytesValue.
//   - The first attributes of the resource are those of the lines. The scope's
//     attribute kinetel.resource.members says how many they are.
const otelSchema = "https://opentelemetry.io/schemas/1.37.0"

// AppendOTLPLogs appends lines as logs of OTLP/JSON, with a line feed at the end.
// The lines come from ReadLine and have the source's resource.
func AppendOTLPLogs(dst []byte, src *Source, lines []Line) []byte {
	dst = append(dst, `{"resourceLogs":[`...)
	dst = appendResource(dst, src, `"scopeLogs":[`)
	dst = append(dst, logList...)
	for i := range lines {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendLogRecord(dst, &lines[i])
	}
	return append(dst, otlpEnd...)
}

const (
	logList  = `"logRecords":[`
	spanList = `"spans":[`
	otlpEnd  = `],"schemaUrl":"` + otelSchema + `"}],"schemaUrl":"` + otelSchema + `"}]}` + "\n"
)

// appendResource appends the beginning of a payload, with resource and scope.
func appendResource(dst []byte, src *Source, scopes string) []byte {
	dst = append(dst, `{"resource":{"attributes":[`...)
	dst, lines := appendMembers(dst, src.Resource, nil)
	dst, more := appendMembers(dst, src.Details.Attributes, src.Resource)
	if lines+more > 0 {
		dst = dst[:len(dst)-1] // the last comma
	}
	dst = append(dst, `]},`...)
	dst = append(dst, scopes...)
	dst = append(dst, `{"scope":{"name":"kinetel","version":"`+version.Version+`","attributes":[{"key":"kinetel.resource.members","value":{"intValue":"`...)
	dst = strconv.AppendInt(dst, int64(lines), 10)
	return append(dst, `"}}]},`...)
}

// appendMembers appends the members of a JSON object as attributes, each with a
// comma, and returns how many it has appended. It leaves out members that the object
// without has, too, and stops at text that is not JSON.
func appendMembers(dst, from, without []byte) ([]byte, int) {
	n := 0
	for o := membersOf(from); o.next(); {
		if hasMember(without, o.name) {
			continue
		}
		w := anyWriter{dst: append(dst, `{"key":`...), most: int(^uint(0) >> 1)}
		w.key(o.name)
		w.dst = append(w.dst, `,"value":`...)
		w.value(o.value, 0, maxLevels)
		if w.failed {
			continue
		}
		dst = append(w.dst, `},`...)
		n++
	}
	return dst, n
}

func hasMember(in, name []byte) bool {
	for o := membersOf(in); o.next(); {
		if string(o.name) == string(name) {
			return true
		}
	}
	return false
}

// appendLogRecord appends a line as a LogRecord.
func appendLogRecord(dst []byte, l *Line) []byte {
	// The attributes come first, and depend on how the body is written. So the body
	// is first written at the place of the record, and removed from there at the end.
	from := len(dst)
	dst, end, text := appendBody(dst, l.Body)
	record := len(dst)

	ctx := contextOf(l)
	at, known := timeOf(l.Time)
	dst = appendAttributes(dst, l)
	if string(l.Type) != event.TypeFunction && string(l.Type) != event.TypeExtension {
		dst = appendResult(dst, l)
	}
	dst = appendRest(dst, l)
	if !known || !hasTimeFormat(l.Time) {
		dst = appendText(dst, "kinetel.time", l.Time)
	}
	if len(l.BodyBase64) > 0 {
		dst = appendOriginal(dst, l)
	} else {
		dst = append(dst, dst[end:record]...) // kinetel.body
	}
	if text {
		dst = append(dst, `,{"key":"kinetel.body.json","value":{"boolValue":true}}`...)
	}
	dst = append(dst, ']')
	if known {
		dst = append(dst, `,"timeUnixNano":"`...)
		dst = strconv.AppendUint(dst, at, 10)
		dst = append(dst, `","observedTimeUnixNano":"`...)
		dst = strconv.AppendUint(dst, at, 10)
		dst = append(dst, '"')
	}
	if len(l.Severity) > 0 {
		if n := severityNumber(l.Severity); n > 0 {
			dst = append(dst, `,"severityNumber":`...)
			dst = strconv.AppendInt(dst, int64(n), 10)
		}
		dst = append(dst, `,"severityText":`...)
		dst = appendValidString(dst, l.Severity)
	}
	if string(l.Type) != event.TypeFunction && string(l.Type) != event.TypeExtension && Valid(l.Type) {
		dst = append(dst, `,"eventName":"`...)
		dst = append(dst, l.Type...)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"body":`...)
	dst = append(dst, dst[from:end]...)
	dst = ctx.append(dst)
	dst = append(dst, '}')
	return dst[:from+copy(dst[from:], dst[record:])]
}

// appendAttributes begins a log record or span with the attributes that every
// line may have.
func appendAttributes(dst []byte, l *Line) []byte {
	dst = append(dst, elementStart...)
	dst = strconv.AppendUint(dst, l.Seq, 10)
	dst = append(dst, `"}}`...)
	dst = appendText(dst, "kinetel.type", l.Type)
	if len(l.RequestID) > 0 {
		dst = appendText(dst, "faas.invocation_id", l.RequestID)
	}
	if len(l.TraceID) > 0 {
		dst = appendText(dst, "aws.xray.trace_id", l.TraceID)
	}
	return dst
}

// elementStart comes before the sequence number of a log record or span.
const elementStart = `{"attributes":[{"key":"kinetel.seq","value":{"intValue":"`

// appendResult appends the error type and the cold start that the body of a platform
// event, kinetel.invocation or kinetel.span has.
func appendResult(dst []byte, l *Line) []byte {
	if l.Parts > 0 {
		return dst
	}
	own := string(l.Type) == event.TypeInvocation || string(l.Type) == event.TypeSpan
	if !own && !isPlatform(l.Type) {
		return dst
	}
	var errorType, cold []byte
	for o := membersOf(l.Body); o.next(); {
		switch string(o.name) {
		case "errorType":
			errorType = shortName(o.value)
		case "coldStart":
			cold = o.value
		}
	}
	if len(errorType) > 0 {
		dst = appendText(dst, "error.type", errorType)
	}
	if own && (string(cold) == "true" || string(cold) == "false") {
		dst = append(dst, `,{"key":"faas.coldstart","value":{"boolValue":`...)
		dst = append(dst, cold...)
		dst = append(dst, `}}`...)
	}
	return dst
}

func isPlatform(kind []byte) bool {
	const prefix = "platform."
	return len(kind) > len(prefix) && string(kind[:len(prefix)]) == prefix
}

// shortName returns the text between the quotes of a string if it is short, as names
// of errors are. A long one is only in the body.
func shortName(value []byte) []byte {
	if text := unquoted(value); len(text) <= 128 && Valid(text) {
		return text
	}
	return nil
}

// appendRest appends the attributes that few lines have.
func appendRest(dst []byte, l *Line) []byte {
	if l.Part > 0 {
		dst = append(dst, `,{"key":"kinetel.part","value":{"intValue":"`...)
		dst = strconv.AppendInt(dst, int64(l.Part), 10)
		dst = append(dst, `"}}`...)
	}
	if l.Parts > 0 {
		dst = append(dst, `,{"key":"kinetel.parts","value":{"intValue":"`...)
		dst = strconv.AppendInt(dst, int64(l.Parts), 10)
		dst = append(dst, `"}}`...)
	}
	if len(l.Extra) > 0 {
		dst = appendJSON(dst, "kinetel.extra", l.Extra)
	}
	return dst
}

// appendText appends an attribute with the string of a line; raw is the text between
// its quotes. A lone surrogate becomes U+FFFD, as readers of the line decode it.
func appendText(dst []byte, key string, raw []byte) []byte {
	dst = appendKey(dst, key)
	dst, _ = appendString(dst, raw)
	return append(dst, '}')
}

// appendJSON appends an attribute that holds JSON text.
func appendJSON(dst []byte, key string, text []byte) []byte {
	dst = appendKey(dst, key)
	dst = appendJSONText(dst, text)
	return append(dst, '}')
}

// appendOriginal appends the original of a body that is not Valid, as bytes, which
// OTLP/JSON encodes as base64.
func appendOriginal(dst []byte, l *Line) []byte {
	dst = appendKey(dst, "kinetel.body.bytes")
	dst = append(dst, `{"bytesValue":"`...)
	dst = append(dst, l.BodyBase64...)
	return append(dst, `"}}`...)
}

func appendKey(dst []byte, key string) []byte {
	dst = append(dst, `,{"key":"`...)
	dst = append(dst, key...)
	return append(dst, `","value":`...)
}

// timeOf returns a line's time in nanoseconds since 1970, as OTLP has it. It reports
// whether the time has such a value: an event's time comes from Lambda, and may be any
// that time.Parse reads.
func timeOf(text []byte) (ns uint64, ok bool) {
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

// hasTimeFormat reports whether a time that timeOf has read has the form of
// event.TimeFormat, so that formatting the time gives the text again.
func hasTimeFormat(text []byte) bool {
	return len(text) == len(event.TimeFormat) && text[10] == 'T' && text[13] == ':' && text[19] == '.' && text[23] == 'Z'
}

func severityNumber(name []byte) int {
	for s := event.Trace; s <= event.Fatal; s++ {
		if s.String() == string(name) {
			return s.Number()
		}
	}
	return 0
}

// object iterates over the members of a JSON object.
type object struct {
	text        []byte
	at          int
	name, value []byte // name is the text between the quotes
}

// membersOf returns an iterator over the members of a JSON object. If the text is not
// an object, it has none.
func membersOf(text []byte) object {
	at := jsontext.SkipSpace(text, 0)
	if at == len(text) || text[at] != '{' {
		return object{}
	}
	return object{text: text, at: jsontext.SkipSpace(text, at+1)}
}

// next advances to the next member. It returns false at the end, and if the text is
// not JSON.
func (o *object) next() bool {
	from := o.at
	value, err := jsontext.SkipName(o.text, from)
	if err != nil {
		return false
	}
	end, err := jsontext.SkipValue(o.text, value)
	if err != nil {
		return false
	}
	quote := value - 1
	for o.text[quote] != '"' {
		quote-- // skip the colon and white space
	}
	o.name, o.value = o.text[from+1:quote], o.text[value:end]
	if o.at = jsontext.SkipSpace(o.text, end); o.at < len(o.text) && o.text[o.at] == ',' {
		o.at = jsontext.SkipSpace(o.text, o.at+1)
	} else {
		o.at = len(o.text)
	}
	return true
}
