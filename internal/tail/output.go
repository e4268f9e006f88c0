package tail

import (
	"encoding/json"
	"time"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/otlp"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/record"
)

// appendRaw appends the event's line.
func appendRaw(dst []byte, e *record.Event, _ *place) ([]byte, error) {
	line, err := e.MarshalJSON()
	return append(append(dst, line...), '\n'), err
}

// appendPlaced appends an object with the event and its place.
func appendPlaced(dst []byte, e *record.Event, from *place) ([]byte, error) {
	line, err := e.MarshalJSON()
	if err != nil {
		return dst, err
	}
	dst = append(dst, '{')
	if from.file != "" {
		name, err := json.Marshal(from.file) // it need not be UTF-8
		if err != nil {
			return dst, err
		}
		dst = append(append(append(dst, `"file":`...), name...), ',')
	}
	if from.shard != "" {
		dst = jsontext.AppendQuote(append(dst, `"shard":`...), from.shard)
		dst = jsontext.AppendQuote(append(dst, `,"sequenceNumber":`...), from.sequence)
		dst = append(dst, `,"arrivalTime":"`...)
		dst = from.arrival.UTC().AppendFormat(dst, time.RFC3339Nano)
		dst = append(dst, `",`...)
	}
	dst = append(append(dst, `"event":`...), line...)
	return append(dst, "}\n"...), nil
}

// appendOTLP appends a payload of OTLP/JSON: of logs, or of traces for kinetel.span.
func appendOTLP(dst []byte, e *record.Event, _ *place) ([]byte, error) {
	text, err := e.MarshalJSON()
	if err != nil {
		return dst, err
	}
	line, ok := format.ReadLine(append(text, '\n'))
	if !ok {
		return dst, nil // only an event without time or type: kinetel/1 has none
	}
	env := environment.New(e.InstanceID(), environment.Details{Resource: line.Resource})
	return otlp.Format().Append(dst, env, "", []format.Line{line}), nil
}
