package format

import (
	"bytes"
	"encoding/base64"
	"errors"

	"kinetel/internal/event"
	"kinetel/internal/jsontext"
)

// errNotOTLP means that no function of this package wrote the payload.
var errNotOTLP = errors.New("not OTLP that can be read back")

// filterOTLP is Filter for a payload that AppendOTLPLogs or AppendOTLPSpans wrote.
func filterOTLP(payload []byte, keep func(seq uint64, droppable bool, size int) bool) (rest []byte, err error) {
	list := logList
	if bytes.HasPrefix(payload, []byte(`{"resourceSpans":`)) {
		list = spanList
	}
	// Quotes inside strings are escaped, so no text can contain this.
	i := bytes.Index(payload, []byte(list))
	if i < 0 {
		return nil, errNotOTLP
	}
	i += len(list)
	kept := 0
	rest = append(rest, payload[:i]...)
	for {
		end, err := jsontext.SkipValue(payload, i)
		if err != nil {
			return nil, errNotOTLP
		}
		element := payload[i:end]
		seq, kind, ok := elementOf(element)
		if !ok {
			return nil, errNotOTLP
		}
		if keep(seq, event.Droppable(kind), len(element)) {
			if kept++; kept > 1 {
				rest = append(rest, ',')
			}
			rest = append(rest, element...)
		}
		if end < len(payload) && payload[end] == ',' {
			i = end + 1
			continue
		}
		if string(payload[end:]) != otlpEnd {
			return nil, errNotOTLP
		}
		if kept == 0 {
			return nil, nil
		}
		return append(rest, otlpEnd...), nil
	}
}

// elementOf reads number and type from the beginning of a log record or span.
func elementOf(element []byte) (seq uint64, kind []byte, ok bool) {
	rest, ok := bytes.CutPrefix(element, []byte(elementStart))
	if !ok {
		return 0, nil, false
	}
	for len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9' {
		seq = 10*seq + uint64(rest[0]-'0')
		rest = rest[1:]
	}
	rest, ok = bytes.CutPrefix(rest, []byte(`"}},{"key":"kinetel.type","value":{"`))
	if !ok || seq == 0 {
		return 0, nil, false
	}
	// The element is well-formed, so every string has a closing quote.
	if text, ok := bytes.CutPrefix(rest, []byte(`stringValue":"`)); ok {
		return seq, text[:stringEnd(text, -1)-1], true
	}
	if text, ok := bytes.CutPrefix(rest, []byte(`bytesValue":"`)); ok {
		kind, err := base64.StdEncoding.AppendDecode(nil, text[:stringEnd(text, -1)-1])
		return seq, kind, err == nil
	}
	return 0, nil, false
}
