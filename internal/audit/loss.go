package audit

import (
	"encoding/json"

	"kinetel/internal/event"
	"kinetel/internal/record"
)

// span is a run of sequence numbers.
type span struct {
	first, last uint64
	count       int // of events, where they were told as lost
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
	if err := json.Unmarshal(e.Body, &body); err != nil || body.FirstSeq > body.LastSeq {
		return span{}, false
	}
	return span{body.FirstSeq, body.LastSeq, body.Count}, true
}
