package otlp

import (
	"math"
	"strconv"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// AppendSpans appends lines of kinetel.span and kinetel.init as traces of OTLP/JSON, with a line feed
// at the end. The lines come from ReadLine and have the environment's resource.
func AppendSpans(dst []byte, env *environment.Environment, lines []format.Line) []byte {
	dst = append(dst, spansStart...)
	dst = appendResource(dst, env, `"scopeSpans":[`)
	dst = append(dst, spanList...)
	function := shortText(jsontext.Member(env.Details().Resource, "faas.name"), maxName)
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

// invoked has the fields of a body that a span needs. Its slices point into the body.
type invoked struct {
	start, status []byte
	arn           []byte // by which the function was invoked
	durationMs    float64
	span          event.Span
}

func readInvoked(body []byte) (in invoked) {
	for o := jsontext.Members(body); o.Next(); {
		switch string(o.Name) {
		case "start":
			in.start = jsontext.Unquoted(o.Value)
		case "status":
			in.status = shortText(o.Value, maxName)
		case "invokedArn":
			in.arn = shortText(o.Value, 256) // Lambda's are shorter
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
					in.span.Header = jsontext.Unquoted(m.Value)
				case "spanId":
					in.span.ID = jsontext.Unquoted(m.Value)
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

// appendSpan appends a line as a Span: of kind server for an invocation, of kind internal
// for the init, as the receiver for Lambda's Telemetry API of OpenTelemetry's collector
// has it.
func appendSpan(dst []byte, env *environment.Environment, function []byte, l *format.Line) []byte {
	var in invoked
	if l.Parts == 0 {
		in = readInvoked(l.Body)
	}
	id, prefix, kind := l.RequestID, "", byte('2')
	if string(l.Type) == event.TypeInit {
		// An environment may have one more init, after a reset.
		id, prefix, kind = l.Time, "init ", '1'
	}
	ctx, parent := spanContext(env, l, id, &in.span)
	begin, end := in.times(l.Time)

	dst = appendAttributes(dst, l)
	dst = appendResult(dst, l)
	if len(in.arn) > 0 {
		dst = appendText(dst, "aws.lambda.invoked_arn", in.arn)
	}
	dst = appendRest(dst, l)
	dst = appendText(dst, "kinetel.time", l.Time)
	dst = appendJSON(dst, "kinetel.body", l.Body)
	if len(l.BodyBase64) > 0 {
		dst = appendOriginal(dst, l)
	}
	dst = append(dst, ']')
	dst = ctx.append(dst)
	dst = ctx.appendParent(dst, parent, Parent(env.Details().SpanParent))
	dst = append(dst, `,"name":"`...)
	dst = append(append(dst, prefix...), function...)
	dst = append(append(dst, `","kind":`...), kind)
	dst = appendNano(dst, `,"startTimeUnixNano":"`, begin)
	dst = appendNano(dst, `,"endTimeUnixNano":"`, end)
	if failed(in.status) {
		dst = append(dst, `,"status":{"code":2}`...) // error.type says the rest
	}
	return append(dst, '}')
}

// appendParent appends the parent in X-Ray's header as what the configuration makes of
// it.
func (c *traceContext) appendParent(dst []byte, parent [8]byte, as Parent) []byte {
	switch {
	case parent == [8]byte{}, as == ParentNone:
	case as == ParentLink:
		dst = appendHex(dst, `,"links":[{"traceId":"`, c.trace[:])
		dst = append(appendHex(dst, `,"spanId":"`, parent[:]), `}]`...)
	case c.flags&1 == 1: // else nobody has the parent: X-Ray stores only sampled traces
		dst = appendHex(dst, `,"parentSpanId":"`, parent[:])
	}
	return dst
}
