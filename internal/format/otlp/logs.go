package otlp

import (
	"bytes"
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
		dst = appendLogRecord(dst, env, &lines[i])
	}
	return append(dst, payloadEnd...)
}

// appendLogRecord appends a line as a LogRecord.
func appendLogRecord(dst []byte, env *environment.Environment, l *format.Line) []byte {
	// The attributes come first, and depend on how the body is written. So the body
	// is first written at the place of the record, and removed from there at the end.
	from := len(dst)
	dst, end, text := appendBody(dst, l.Body)
	record := len(dst)

	ctx := contextOf(env, l)
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
	number := severityNumber(l)
	if string(l.Severity) != event.SeverityOf(number).String() {
		dst = appendText(dst, "kinetel.severity", l.Severity)
	}
	dst = append(dst, ']')
	if known {
		dst = appendNano(dst, `,"timeUnixNano":"`, at)
	}
	if l.Received > 0 {
		dst = appendNano(dst, `,"observedTimeUnixNano":"`, uint64(l.Received))
	}
	dst = appendSeverity(dst, l, number)
	dst = appendEventName(dst, l.Type)
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

func appendNano(dst []byte, start string, at uint64) []byte {
	return append(strconv.AppendUint(append(dst, start...), at, 10), '"')
}

// severityNumber returns OpenTelemetry's number for a line's severity. Without the
// line's details it is the first of the severity's four numbers.
func severityNumber(l *format.Line) int {
	if l.SeverityNumber > 0 {
		return int(l.SeverityNumber)
	}
	for s := event.Trace; s <= event.Fatal; s++ {
		if s.String() == string(l.Severity) {
			return s.Number()
		}
	}
	return 0
}

// appendSeverity appends a severity in the words of the line's logger. If it has none, or
// if they are not known, the text is the severity's name.
func appendSeverity(dst []byte, l *format.Line, number int) []byte {
	if number > 0 {
		dst = append(dst, `,"severityNumber":`...)
		dst = strconv.AppendInt(dst, int64(number), 10)
	}
	switch {
	case l.SeverityText != "":
		dst = append(dst, `,"severityText":`...)
		return jsontext.AppendQuote(dst, l.SeverityText)
	case len(l.Severity) > 0:
		dst = append(dst, `,"severityText":"`...)
		return append(jsontext.AppendValidUnicode(dst, l.Severity), '"')
	}
	return dst
}

// appendEventName appends the name of an event. A line that a function or an extension
// printed is not an event in OpenTelemetry's sense.
func appendEventName(dst, kind []byte) []byte {
	if string(kind) == event.TypeFunction || string(kind) == event.TypeExtension || !jsontext.ValidUnicode(kind) {
		return dst
	}
	dst = append(dst, `,"eventName":"`...)
	if !bytes.HasPrefix(kind, []byte("kinetel.")) {
		dst = append(dst, "aws.lambda."...)
	}
	return append(append(dst, kind...), '"')
}
