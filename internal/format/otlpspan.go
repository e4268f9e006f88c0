package format

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"strconv"
)

// AppendOTLPSpans appends lines of kinetel.span as traces of OTLP/JSON, with a
// line feed at the end. The lines come from ReadLine and have the source's resource.
func AppendOTLPSpans(dst []byte, src *Source, lines []Line) []byte {
	dst = append(dst, `{"resourceSpans":[`...)
	dst = appendResource(dst, src, `"scopeSpans":[`)
	dst = append(dst, spanList...)
	function := []byte("invocation")
	for o := membersOf(src.Resource); o.next(); {
		if text := shortName(o.value); string(o.name) == "faas.name" && len(text) > 0 {
			function = text
		}
	}
	for i := range lines {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendSpan(dst, src, function, &lines[i])
	}
	return append(dst, otlpEnd...)
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
	for o := membersOf(body); o.next(); {
		switch string(o.name) {
		case "start":
			in.start = unquoted(o.value)
		case "status":
			in.status = shortName(o.value)
		case "errorType":
			in.errorType = shortName(o.value)
		case "metrics":
			for m := membersOf(o.value); m.next(); {
				if string(m.name) == "durationMs" {
					in.durationMs, _ = strconv.ParseFloat(string(m.value), 64)
				}
			}
		case "tracing":
			for m := membersOf(o.value); m.next(); {
				switch string(m.name) {
				case "value":
					in.tracing = unquoted(m.value)
				case "spanId":
					in.span = unquoted(m.value)
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
	if start, ok := timeOf(in.start); ok && start <= math.MaxUint64-took {
		return start, start + took
	}
	end, _ = timeOf(line)
	return end - min(took, end), end
}

// context returns the trace context of the span, and its parent, if it has one.
func (in *invoked) context(src *Source, l *Line) (c traceContext, parent [16]byte, hasParent bool) {
	for rest := in.tracing; len(rest) > 0; {
		var part []byte
		part, rest, _ = bytes.Cut(rest, []byte{';'})
		key, value, _ := bytes.Cut(bytes.TrimSpace(part), []byte{'='})
		switch string(key) {
		case "Root":
			c.xray(value)
		case "Parent":
			hasParent = digits(parent[:], value)
		case "Sampled":
			if string(value) == "1" {
				c.flags = 1
			}
		}
	}
	if !c.hasTrace {
		c.xray(l.TraceID)
	}
	// A span without a trace gets a trace of its own.
	if !c.hasTrace {
		c.hasTrace = true
		if !uuid(&c.trace, l.RequestID) {
			hash := hashOf(src, l)
			hex.Encode(c.trace[:], hash[8:24])
		}
	}
	if !digits(c.span[:], in.span) {
		hash := hashOf(src, l)
		hex.Encode(c.span[:], hash[:8])
	}
	c.hasSpan = true
	return c, parent, hasParent && parent != c.span
}

// hashOf returns a hash for the ids that the line does not have. They must be the
// same each time the line is encoded.
func hashOf(src *Source, l *Line) [sha256.Size]byte {
	return sha256.Sum256(append(append([]byte(src.EnvironmentID), '/'), l.RequestID...))
}

// uuid copies the digits of a UUID. It reports whether id is a UUID.
func uuid(dst *[32]byte, id []byte) bool {
	if len(id) != 36 || id[8] != '-' || id[13] != '-' || id[18] != '-' || id[23] != '-' {
		return false
	}
	var all [32]byte
	n := copy(all[:], id[:8])
	n += copy(all[n:], id[9:13])
	n += copy(all[n:], id[14:18])
	n += copy(all[n:], id[19:23])
	copy(all[n:], id[24:])
	return digits(dst[:], all[:])
}

// appendSpan appends a line as a Span of kind server: an invocation.
func appendSpan(dst []byte, src *Source, function []byte, l *Line) []byte {
	var in invoked
	if l.Parts == 0 {
		in = readInvoked(l.Body)
	}
	ctx, parent, hasParent := in.context(src, l)
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
	if hasParent {
		dst = append(dst, `,"parentSpanId":"`...)
		dst = append(dst, parent[:]...)
		dst = append(dst, '"')
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
