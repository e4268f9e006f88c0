package format

import (
	"bytes"
	"strconv"

	"kinetel/internal/jsontext"
)

// traceContext is a trace id and a span id in lower-case hexadecimal digits.
type traceContext struct {
	trace    [32]byte
	span     [16]byte
	hasTrace bool
	hasSpan  bool // never without a trace
	flags    byte // as W3C defines them; 1: sampled
}

// append appends the context as members of a log record.
func (c *traceContext) append(dst []byte) []byte {
	if c.hasTrace {
		dst = append(dst, `,"traceId":"`...)
		dst = append(dst, c.trace[:]...)
		dst = append(dst, '"')
	}
	if c.hasSpan {
		dst = append(dst, `,"spanId":"`...)
		dst = append(dst, c.span[:]...)
		dst = append(dst, '"')
	}
	if c.flags != 0 {
		dst = append(dst, `,"flags":`...)
		dst = strconv.AppendUint(dst, uint64(c.flags), 10)
	}
	return dst
}

// contextOf returns the trace context of a line. It reads traceparent (W3C, Trace
// Context, version 00), or trace_id, span_id and trace_flags (OpenTelemetry, trace
// context in non-OTLP log formats), at the top level of an object. The object is the
// body, or the text of the body. Without any of these it returns the line's X-Ray
// trace.
func contextOf(l *Line) (c traceContext) {
	if l.Parts == 0 && (bytes.Contains(l.Body, []byte("traceparent")) || bytes.Contains(l.Body, []byte("trace_id"))) {
		body := l.Body
		if body[0] == '"' {
			body = appendUnescaped(nil, body[1:len(body)-1])
			// Text that only begins like JSON does not count.
			if end, err := jsontext.SkipValue(body, jsontext.SkipSpace(body, 0)); err != nil || jsontext.SkipSpace(body, end) != len(body) {
				body = nil
			}
		}
		var w3c, own traceContext
		for o := membersOf(body); o.next(); {
			text := unquoted(o.value)
			switch string(o.name) {
			case "traceparent":
				w3c = traceparent(text)
			case "trace_id":
				own.hasTrace = digits(own.trace[:], text)
			case "span_id":
				own.hasSpan = digits(own.span[:], text)
			case "trace_flags":
				own.flags = hex2(text)
			}
		}
		if w3c.hasTrace {
			return w3c
		}
		if own.hasTrace {
			if !own.hasSpan {
				own.flags = 0
			}
			return own
		}
	}
	c.xray(l.TraceID)
	return c
}

// traceparent reads 00-, 32 digits, -, 16 digits, -, and 2 digits. Trace and span ids
// of only zeros are invalid.
func traceparent(text []byte) (c traceContext) {
	if len(text) != 55 || text[0] != '0' || text[1] != '0' || text[2] != '-' || text[35] != '-' || text[52] != '-' ||
		!digits(c.trace[:], text[3:35]) || !digits(c.span[:], text[36:52]) || hexDigit(text[53]) > 15 || hexDigit(text[54]) > 15 {
		return traceContext{}
	}
	c.hasTrace, c.hasSpan, c.flags = true, true, hex2(text[53:])
	return c
}

// xray sets the trace from an X-Ray trace id: 1-, 8 digits, -, 24 digits, which
// together are the W3C trace id (AWS documentation, X-Ray trace ids).
func (c *traceContext) xray(id []byte) {
	if len(id) != 35 || id[0] != '1' || id[1] != '-' || id[10] != '-' {
		return
	}
	var both [32]byte
	copy(both[copy(both[:], id[2:10]):], id[11:])
	c.hasTrace = digits(c.trace[:], both[:])
}

// digits copies hexadecimal digits to dst in lower case. It reports whether text has
// exactly as many digits as dst has room for, and they are not all zeros.
func digits(dst, text []byte) bool {
	if len(text) != len(dst) {
		return false
	}
	var all byte
	for i, c := range text {
		d := hexDigit(c)
		if d > 15 {
			return false
		}
		all |= d
		dst[i] = "0123456789abcdef"[d]
	}
	return all != 0
}

// hex2 reads two hexadecimal digits. It returns 0 for any other text.
func hex2(text []byte) byte {
	if len(text) != 2 || hexDigit(text[0]) > 15 || hexDigit(text[1]) > 15 {
		return 0
	}
	return hexDigit(text[0])<<4 | hexDigit(text[1])
}
