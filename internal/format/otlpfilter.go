package format

import (
	"bytes"
	"encoding/base64"
	"errors"

	"kinetel/internal/event"
	"kinetel/internal/scan"
)

// errNotOTLP means a payload that no encoder here wrote.
var errNotOTLP = errors.New("not OTLP that can be read back")

// filterOTLP takes log records or spans out of a payload that AppendOTLPLogs or
// AppendOTLPSpans wrote; Filter says how.
func filterOTLP(payload []byte, keep func(seq uint64, ordinary bool, size int) bool) (rest []byte, err error) {
	list := logList
	if bytes.HasPrefix(payload, []byte(`{"resourceSpans":`)) {
		list = spanList
	}
	// A quote inside a string is escaped, so that no text can look like this.
	i := bytes.Index(payload, []byte(list))
	if i < 0 {
		return nil, errNotOTLP
	}
	i += len(list)
	kept := 0
	rest = append(rest, payload[:i]...)
	for {
		end, err := scan.Value(payload, i)
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

// elementOf returns number and type of a log record or span, from its beginning.
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
	// The element is well-formed: what a quote opens ends.
	if text, ok := bytes.CutPrefix(rest, []byte(`stringValue":"`)); ok {
		return seq, text[:stringEnd(text, -1)-1], true
	}
	if text, ok := bytes.CutPrefix(rest, []byte(`bytesValue":"`)); ok {
		kind, err := base64.StdEncoding.AppendDecode(nil, text[:stringEnd(text, -1)-1])
		return seq, kind, err == nil
	}
	return 0, nil, false
}
