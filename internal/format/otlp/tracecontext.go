package otlp

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// traceContext is the trace of a log record or span. An id of only zeros is
// none.
type traceContext struct {
	trace [16]byte
	span  [8]byte
	flags byte // as W3C defines them; 1: sampled
}

func (c *traceContext) hasTrace() bool { return c.trace != [16]byte{} }
func (c *traceContext) hasSpan() bool  { return c.span != [8]byte{} }

// append appends the context as members of a log record.
func (c *traceContext) append(dst []byte) []byte {
	if c.hasTrace() {
		dst = appendHex(dst, `,"traceId":"`, c.trace[:])
	}
	if c.hasSpan() {
		dst = appendHex(dst, `,"spanId":"`, c.span[:])
	}
	if c.flags != 0 {
		dst = append(dst, `,"flags":`...)
		dst = strconv.AppendUint(dst, uint64(c.flags), 10)
	}
	return dst
}

func appendHex(dst []byte, start string, id []byte) []byte {
	return append(hex.AppendEncode(append(dst, start...), id), '"')
}

// contextOf returns the trace context of a line. It reads traceparent (W3C, Trace
// Context, version 00), or trace_id, span_id and trace_flags (OpenTelemetry, trace
// context in non-OTLP log formats), at the top level of an object. The object is the
// body, or the text of the body. Without any of these it returns the context of the
// invocation's span, or, if that is not known, the line's X-Ray trace.
func contextOf(env *environment.Environment, l *format.Line) (c traceContext) {
	if l.Parts == 0 && (bytes.Contains(l.Body, []byte("traceparent")) || bytes.Contains(l.Body, []byte("trace_id"))) {
		body := l.Body
		if body[0] == '"' {
			body, _ = jsontext.AppendUnquote(nil, body)
			// Text that only begins like JSON does not count.
			if end, err := jsontext.SkipValue(body, jsontext.SkipSpace(body, 0)); err != nil || jsontext.SkipSpace(body, end) != len(body) {
				body = nil
			}
		}
		var w3c, own traceContext
		for m := jsontext.Members(body); m.Next(); {
			text := jsontext.Unquoted(m.Value)
			switch string(m.Name) {
			case "traceparent":
				w3c = traceparent(text)
			case "trace_id":
				decodeHex(own.trace[:], text)
			case "span_id":
				decodeHex(own.span[:], text)
			case "trace_flags":
				var flags [1]byte
				decodeHex(flags[:], text)
				own.flags = flags[0]
			}
		}
		if w3c.hasTrace() {
			return w3c
		}
		if own.hasTrace() {
			if !own.hasSpan() {
				own.flags = 0
			}
			return own
		}
	}
	if l.Span != nil {
		c, _ = spanContext(env, l, l.RequestID, l.Span)
	} else {
		c.xray(l.TraceID)
	}
	return c
}

// spanContext returns the context of an invocation's span, and the parent in X-Ray's
// header: only zeros if it has none. The context is the same for the span, which has
// the identity of the invocation in its body, and for each log record.
func spanContext(env *environment.Environment, l *format.Line, id []byte, of *event.Span) (c traceContext, parent [8]byte) {
	root, from, sampled := format.TraceHeader(of.Header)
	if c.xray(root); c.hasTrace() {
		decodeHex(parent[:], from)
		if string(sampled) == "1" {
			c.flags = 1
		}
	} else {
		c.xray(l.TraceID)
	}
	if !c.hasTrace() && len(id) == 36 { // a UUID is a trace id
		var digits [32]byte
		decodeHex(c.trace[:], append(append(append(append(append(digits[:0], id[:8]...), id[9:13]...), id[14:18]...), id[19:23]...), id[24:]...))
	}
	if decodeHex(c.span[:], of.ID); !c.hasTrace() || !c.hasSpan() {
		// The hash stands for ids that the invocation does not have. They must be the
		// same in each of its lines, and each time a line is encoded.
		hash := sha256.Sum256(append(append([]byte(env.ID), '/'), id...))
		if !c.hasTrace() {
			copy(c.trace[:], hash[8:])
		}
		if !c.hasSpan() {
			copy(c.span[:], hash[:])
		}
	}
	if parent == c.span {
		parent = [8]byte{}
	}
	return c, parent
}

// traceparent reads 00-, 32 digits, -, 16 digits, -, and 2 digits.
func traceparent(text []byte) (c traceContext) {
	var flags [1]byte
	if len(text) != 55 || string(text[:3]) != "00-" || text[35] != '-' || text[52] != '-' || !decodeHex(flags[:], text[53:]) {
		return c
	}
	decodeHex(c.trace[:], text[3:35])
	decodeHex(c.span[:], text[36:52])
	if !c.hasTrace() || !c.hasSpan() {
		return traceContext{}
	}
	c.flags = flags[0]
	return c
}

// xray sets the trace from an X-Ray trace id: 1-, 8 digits, -, 24 digits, which
// together are the W3C trace id (AWS documentation, X-Ray trace ids).
func (c *traceContext) xray(id []byte) {
	if len(id) == 35 && string(id[:2]) == "1-" && id[10] == '-' {
		if !decodeHex(c.trace[:4], id[2:10]) || !decodeHex(c.trace[4:], id[11:]) {
			c.trace = [16]byte{}
		}
	}
}

// decodeHex decodes hexadecimal digits, which are as many as dst has room for. It
// reports whether text has these; if not, dst is all zeros.
func decodeHex(dst, text []byte) bool {
	if len(text) == hex.EncodedLen(len(dst)) {
		if _, err := hex.Decode(dst, text); err == nil {
			return true
		}
	}
	clear(dst)
	return false
}
