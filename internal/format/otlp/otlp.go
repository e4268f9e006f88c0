// Package otlp writes lines as OTLP/JSON: as logs, and lines of kinetel.span and
// kinetel.init as traces.
package otlp

import (
	"bytes"
	"strconv"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/version"
)

// Name is the name of the format.
const Name format.Name = "otlp"

// Parent selects what the X-Ray header of an invocation is for its span: a value of
// KINETEL_OTLP_PARENT.
type Parent string

const (
	// ParentAuto makes the header's parent that of the span if X-Ray samples the trace.
	ParentAuto Parent = "auto"
	// ParentLink makes it a link of the span.
	ParentLink Parent = "link"
	// ParentNone leaves it out.
	ParentNone Parent = "none"
)

// Format returns the format.
func Format() format.Format {
	return format.Format{
		Name:         Name,
		Compressions: []format.Compression{format.Gzip, format.Zstd, format.Uncompressed},
		// A line takes at most twice its size and 1 KiB; each payload once about 450
		// bytes, and for each attribute of the resource its text and 45 bytes.
		MaxLines: format.MaxRecord/2 - 16<<10,
		Apart:    isSpan,
		Details:  true,
		Append: func(dst []byte, env *environment.Environment, _ string, lines []format.Line) []byte {
			if isSpan(lines[0].Type) {
				return AppendSpans(dst, env, lines)
			}
			return AppendLogs(dst, env, lines)
		},
		Start:  `{"resource`,
		Filter: filter,
	}
}

// isSpan reports whether events of a type are spans.
func isSpan(kind []byte) bool {
	return string(kind) == event.TypeSpan || string(kind) == event.TypeInit
}

// Each line of text is one payload of OTLP/JSON (OpenTelemetry, protocol
// specification and protocol buffers; file exporter). Attributes have the names of the
// semantic conventions of this version, if these have one. All others begin with
// kinetel.
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
const otelSchema = "https://opentelemetry.io/schemas/1.44.0"

const (
	spansStart = `{"resourceSpans":[`
	logList    = `"logRecords":[`
	spanList   = `"spans":[`
	payloadEnd = `],"schemaUrl":"` + otelSchema + `"}],"schemaUrl":"` + otelSchema + `"}]}` + "\n"
)

// appendResource appends the beginning of a payload, with resource and scope.
func appendResource(dst []byte, env *environment.Environment, scopes string) []byte {
	dst = append(dst, `{"resource":{"attributes":[`...)
	details := env.Details()
	dst, lines := appendMembers(dst, details.Resource, nil)
	dst, more := appendMembers(dst, details.Attributes, details.Resource)
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
	for o := jsontext.Members(from); o.Next(); {
		if jsontext.Member(without, string(o.Name)) != nil {
			continue
		}
		w := anyWriter{dst: append(dst, `{"key":`...), most: int(^uint(0) >> 1)}
		w.key(o.Name)
		w.dst = append(w.dst, `,"value":`...)
		w.value(o.Value, 0, maxLevels)
		if w.failed {
			continue
		}
		dst = append(w.dst, `},`...)
		n++
	}
	return dst, n
}

// appendAttributes begins a log record or span with the attributes that every
// line may have.
func appendAttributes(dst []byte, l *format.Line) []byte {
	dst = append(dst, elementStart...)
	dst = strconv.AppendUint(dst, l.Seq, 10)
	dst = append(dst, `"}}`...)
	dst = appendText(dst, "kinetel.type", l.Type)
	if len(l.RequestID) > 0 {
		dst = appendText(dst, "faas.invocation_id", l.RequestID)
	}
	if len(l.TraceID) > 0 {
		dst = appendText(dst, "kinetel.xray.trace_id", l.TraceID)
	}
	return dst
}

// elementStart comes before the sequence number of a log record or span.
const elementStart = `{"attributes":[{"key":"kinetel.seq","value":{"intValue":"`

// appendResult appends the error type and the cold start that the body of a platform
// event, kinetel.invocation, kinetel.span or kinetel.init has. A failure without a type has its status
// as the type.
func appendResult(dst []byte, l *format.Line) []byte {
	if l.Parts > 0 {
		return dst
	}
	own := string(l.Type) == event.TypeInvocation || isSpan(l.Type)
	if !own && !bytes.HasPrefix(l.Type, []byte("platform.")) {
		return dst
	}
	var errorType, status, cold []byte
	for o := jsontext.Members(l.Body); o.Next(); {
		switch string(o.Name) {
		case "errorType":
			errorType = shortText(o.Value, maxName)
		case "status":
			status = shortText(o.Value, maxName)
		case "coldStart":
			cold = o.Value
		}
	}
	if len(errorType) == 0 && failed(status) {
		errorType = status
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

// failed reports whether a status of Lambda is that of a failure.
func failed(status []byte) bool { return len(status) > 0 && string(status) != "success" }

// maxName is the size of a long name of an error or a function.
const maxName = 128

// shortText returns the text between the quotes of a string if it has at most so many
// bytes. A longer one is only in the body.
func shortText(value []byte, most int) []byte {
	if text := jsontext.Unquoted(value); len(text) <= most && jsontext.ValidUnicode(text) {
		return text
	}
	return nil
}

// appendRest appends the attributes that few lines have.
func appendRest(dst []byte, l *format.Line) []byte {
	if l.Part > 0 {
		dst = appendInt(dst, "kinetel.part", l.Part)
	}
	if l.Parts > 0 {
		dst = appendInt(dst, "kinetel.parts", l.Parts)
	}
	if len(l.Extra) > 0 {
		dst = appendJSON(dst, "kinetel.extra", l.Extra)
	}
	return dst
}

func appendInt(dst []byte, key string, n int) []byte {
	dst = append(appendKey(dst, key), `{"intValue":"`...)
	return append(strconv.AppendInt(dst, int64(n), 10), `"}}`...)
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

// appendOriginal appends the original of a body that is not valid, as bytes, which
// OTLP/JSON encodes as base64.
func appendOriginal(dst []byte, l *format.Line) []byte {
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
