// Package audittest makes the telemetry of environments, complete and not, with what an
// audit must find in it. Package audit and the statements of package auditsql are tested
// with the same telemetry.
package audittest

import (
	"encoding/json"
	"fmt"

	"github.com/kinetel/kinetel/record"
)

// Environment is the telemetry of one environment as it arrived.
type Environment struct {
	Name   string // of the case
	ID     string // service.instance.id
	Events []record.Event
	Want   Finding
}

// Finding is what an audit of an environment must find, by the rules of package audit.
type Finding struct {
	Missing      uint64 // unexplained numbers
	From, To     uint64 // they lie between these; 0 if Missing and Spooled are 0
	Spooled      uint64
	Overreported uint64
	First, Last  uint64 // numbers that arrived
	Ended        bool
}

// Complete reports whether nothing is unexplained.
func (f Finding) Complete() bool { return f.Missing == 0 }

// Line is a line of the function.
func Line(environment string, seq uint64) record.Event {
	body := fmt.Sprintf(`"line %d \"quoted\"\n"`, seq)
	if seq%3 == 0 {
		body = fmt.Sprintf(`{"level":"INFO","message":"line","count":%d,"firstSeq":1}`, seq)
	}
	return event(environment, seq, record.TypeFunction, body)
}

// Loss is a kinetel.loss: it reports that count events of a range are lost.
func Loss(environment string, seq, first, last uint64, count int64) record.Event {
	body, _ := json.Marshal(record.Loss{FirstSeq: first, LastSeq: last, Count: count, Bytes: 100 * count, Reason: record.LossBufferFull}) // numbers and text
	return event(environment, seq, record.TypeLoss, string(body))
}

// Report is a kinetel.report.
func Report(environment string, seq uint64, final bool, spooled int64) record.Event {
	body, _ := json.Marshal(record.Report{Final: final, Lost: map[string]int64{}, Spooled: record.Volume{Events: spooled}}) // numbers
	return event(environment, seq, record.TypeReport, string(body))
}

// Part is a part of an event.
func Part(environment string, seq uint64, part, parts int) record.Event {
	e := event(environment, seq, record.TypeFunction, `"{\"firstSeq\":"`)
	e.Part, e.Parts = part, parts
	return e
}

func event(environment string, seq uint64, kind, body string) record.Event {
	return record.Event{
		Schema: record.Schema, Seq: seq, TimeText: "2026-11-26T20:15:00.123Z", Type: kind, Body: json.RawMessage(body),
		Resource: map[string]string{"faas.name": "orders", "service.instance.id": environment},
	}
}
