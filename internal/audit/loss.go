package audit

import (
	"encoding/json"

	"kinetel/internal/event"
	"kinetel/internal/record"
)

// span is a run of sequence numbers that were told as lost.
type span struct {
	environment string
	first, last uint64
	count       int
}

// lossOf reads a kinetel.loss event.
func lossOf(e record.Event) (span, bool) {
	if e.Type != event.TypeLoss {
		return span{}, false
	}
	var body struct {
		FirstSeq, LastSeq uint64
		Count             int
	}
	if err := json.Unmarshal(e.Body, &body); err != nil || body.FirstSeq > body.LastSeq || body.LastSeq-body.FirstSeq > 1<<32 {
		return span{}, false
	}
	return span{e.Environment(), body.FirstSeq, body.LastSeq, body.Count}, true
}
