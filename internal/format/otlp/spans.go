package otlp

import (
	"bytes"
	"crypto/sha256"
	"math"
	"strconv"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// AppendSpans appends lines of kinetel.span as traces of OTLP/JSON, with a line feed
// at the end. The lines come from ReadLine and have the environment's resource.
func AppendSpans(dst []byte, env *environment.Environment, lines []format.Line) []byte {
	dst = append(dst, spansStart...)
	dst = appendResource(dst, env, `"scopeSpans":[`)
	dst = append(dst, spanList...)
	function := shortName(jsontext.Member(env.Details().Resource, "faas.name"))
	if len(function) == 0 {
		function = []byte("invocation")
	}
	for i := range lines {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendSpan(dst, env, function, &lines[i])
	}
	return append(dst, payloadEnd...)
}

// invoked has the fields of a kinetel.span's body that a span needs. Its slices point
// into the body.
type invoked struct {
	start, status, errorType []byte
	durationMs               float64
	tracing                  []byte // X-Ray's header, Root=…;Parent=…;Sampled=…
	span                     []byte // 16 digits
}

func readInvoked(body []byte) (in invoked) {
	for o := jsontext.Members(body); o.Next(); {
		switch string(o.Name) {
		case "start":
			in.start = jsontext.Unquoted(o.Value)
		case "status":
			in.status = shortName(o.Value)
		case "errorType":
			in.errorType = shortName(o.Value)
		case "metrics":
			for m := jsontext.Members(o.Value); m.Next(); {
				if string(m.Name) == "durationMs" {
					in.durationMs, _ = strconv.ParseFloat(string(m.Value), 64)
				}
			}
		case "tracing":
			for m := jsontext.Members(o.Value); m.Next(); {
				switch string(m.Name) {
				case "value":
					in.tracing = jsontext.Unquoted(m.Value)
				case "spanId":
					in.span = jsontext.Unquoted(m.Value)
				}
			}
		}
	}
	return in
}

// times returns the start and end of the span, in nanoseconds since 1970. If the body
// has no start, the end is the line's time.
func (in *invoked) times(line []byte) (start, end uint64) {
	const most = 1e6 // seconds; Lambda allows 900
	var took uint64
	if ms := in.durationMs; ms > 0 && ms < 1000*most {
		took = uint64(math.Round(ms * 1e6))
	}
	if start, ok := format.UnixNano(in.start); ok && start <= math.MaxUint64-took {
		return start, start + took
	}
	end, _ = format.UnixNano(line)
	return end - min(took, end), end
}

// context returns the trace context of the span, and its parent: only zeros if it has
// none.
func (in *invoked) context(env *environment.Environment, l *format.Line) (c traceContext, parent [8]byte) {
	root, from, sampled := format.TraceHeader(in.tracing)
	c.xray(root)
	decodeHex(parent[:], from)
	if string(sampled) == "1" {
		c.flags = 1
	}
	if !c.hasTrace() {
		c.xray(l.TraceID)
	}
	// A span without a trace gets a trace of its own: a UUID is one.
	if !c.hasTrace() && len(l.RequestID) == 36 {
		decodeHex(c.trace[:], bytes.ReplaceAll(l.RequestID, []byte{'-'}, nil))
	}
	if decodeHex(c.span[:], in.span); !c.hasTrace() || !c.hasSpan() {
		// The hash stands for ids that the line does not have. They must be the same
		// each time the line is encoded.
		hash := sha256.Sum256(append(append([]byte(env.ID), '/'), l.RequestID...))
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

// appendSpan appends a line as a Span of kind server: an invocation.
func appendSpan(dst []byte, env *environment.Environment, function []byte, l *format.Line) []byte {
	var in invoked
	if l.Parts == 0 {
		in = readInvoked(l.Body)
	}
	ctx, parent := in.context(env, l)
	begin, end := in.times(l.Time)

	dst = appendAttributes(dst, l)
	dst = appendResult(dst, l)
	dst = appendRest(dst, l)
	dst = appendText(dst, "kinetel.time", l.Time)
	dst = appendJSON(dst, "kinetel.body", l.Body)
	if len(l.BodyBase64) > 0 {
		dst = appendOriginal(dst, l)
	}
	dst = append(dst, ']')
	dst = ctx.append(dst)
	if parent != [8]byte{} {
		dst = appendHex(dst, `,"parentSpanId":"`, parent[:])
	}
	dst = append(dst, `,"name":"`...)
	dst = append(dst, function...)
	dst = append(dst, `","kind":2,"startTimeUnixNano":"`...)
	dst = strconv.AppendUint(dst, begin, 10)
	dst = append(dst, `","endTimeUnixNano":"`...)
	dst = strconv.AppendUint(dst, end, 10)
	dst = append(dst, '"')
	if len(in.status) > 0 && string(in.status) != "success" {
		message := in.errorType
		if len(message) == 0 {
			message = in.status
		}
		dst = append(dst, `,"status":{"message":"`...)
		dst = append(dst, message...)
		dst = append(dst, `","code":2}`...)
	}
	return append(dst, '}')
}
