package otlp

import (
	"strconv"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// AppendLogs appends lines as logs of OTLP/JSON, with a line feed at the end. The lines
// come from ReadLine and have the environment's resource.
func AppendLogs(dst []byte, env *environment.Environment, lines []format.Line) []byte {
	dst = append(dst, `{"resourceLogs":[`...)
	dst = appendResource(dst, env, `"scopeLogs":[`)
	dst = append(dst, logList...)
	for i := range lines {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendLogRecord(dst, &lines[i])
	}
	return append(dst, payloadEnd...)
}

// appendLogRecord appends a line as a LogRecord.
func appendLogRecord(dst []byte, l *format.Line) []byte {
	// The attributes come first, and depend on how the body is written. So the body
	// is first written at the place of the record, and removed from there at the end.
	from := len(dst)
	dst, end, text := appendBody(dst, l.Body)
	record := len(dst)

	ctx := contextOf(l)
	at, known := format.UnixNano(l.Time)
	dst = appendAttributes(dst, l)
	dst = appendResult(dst, l)
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
		dst = append(dst, `,"severityText":"`...)
		dst = jsontext.AppendValidUnicode(dst, l.Severity)
		dst = append(dst, '"')
	}
	if string(l.Type) != event.TypeFunction && string(l.Type) != event.TypeExtension && jsontext.ValidUnicode(l.Type) {
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

// hasTimeFormat reports whether a time that UnixNano can read has the form of
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
