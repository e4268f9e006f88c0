package otlp

import (
	"bytes"
	"encoding/base64"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
)

func filter(payload []byte, keep format.Keep) ([]byte, error) {
	list := logList
	if bytes.HasPrefix(payload, []byte(spansStart)) {
		list = spanList
	}
	// Quotes inside strings are escaped, so no text can contain the list's name.
	return format.FilterList(payload, list, payloadEnd, keep, elementOf)
}

// elementOf reads number and type from the beginning of a log record or span.
func elementOf(element []byte) (seq uint64, droppable, ok bool) {
	rest, ok := bytes.CutPrefix(element, []byte(elementStart))
	if !ok {
		return 0, false, false
	}
	for len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9' {
		seq = 10*seq + uint64(rest[0]-'0')
		rest = rest[1:]
	}
	rest, ok = bytes.CutPrefix(rest, []byte(`"}},{"key":"kinetel.type","value":{"`))
	if !ok || seq == 0 {
		return 0, false, false
	}
	// The element is well-formed, so every string has a closing quote.
	name, value, _ := bytes.Cut(rest, []byte(`":`))
	if len(value) == 0 || value[0] != '"' {
		return 0, false, false
	}
	end, _ := jsontext.SkipString(value, 0)
	switch kind := value[1 : end-1]; string(name) {
	case "stringValue":
		return seq, event.Droppable(kind), true
	case "bytesValue":
		kind, err := base64.StdEncoding.AppendDecode(nil, kind)
		return seq, event.Droppable(kind), err == nil
	}
	return 0, false, false
}
