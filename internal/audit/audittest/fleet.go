package audittest

import (
	"encoding/json"
	"fmt"
	"iter"

	"github.com/kinetel/kinetel/record"
)

// Fleet is environments that run side by side, with many lines.
type Fleet struct {
	Environments int
	Each         int // records of each environment, 4 or more
	Lines        int // of each record, 2 or more
}

// Records returns the records in the order of their arrival, one of each environment after
// the other. Of a hundred environments the first three are corrupted: one lacks a record,
// one lacks a record and reports it, and of one a record arrives twice.
func (f Fleet) Records() iter.Seq[[]record.Event] {
	return func(yield func([]record.Event) bool) {
		for n := range f.Each {
			for i := range f.Environments {
				if n == 1 && i%100 < 2 {
					continue
				}
				if !yield(f.record(i, n)) || n == 2 && i%100 == 2 && !yield(f.record(i, n)) {
					return
				}
			}
		}
	}
}

// Events returns how many events Records has.
func (f Fleet) Events() int {
	n := f.Environments * f.Each
	for i := range f.Environments {
		switch i % 100 {
		case 0, 1:
			n--
		case 2:
			n++
		}
	}
	return n * f.Lines
}

// ID returns the id of an environment.
func (f Fleet) ID(i int) string { return fmt.Sprintf("%016x%016x", i*0x9E3779B9, i) }

// Want returns what an audit must find about an environment.
func (f Fleet) Want(i int) Finding {
	lines := uint64(f.Lines)
	want := Finding{First: 1, Last: uint64(f.Each) * lines, Ended: true}
	if i%100 == 0 {
		want.Missing, want.From, want.To = lines, lines+1, 2*lines
	}
	return want
}

// Function returns the name of the function of an environment.
func (f Fleet) Function(i int) string { return fmt.Sprintf("function-%d", i%20) }

func (f Fleet) record(environment, n int) []record.Event {
	id := f.ID(environment)
	function := f.Function(environment)
	resource := map[string]string{
		"cloud.provider": "aws", "cloud.region": "eu-west-1", "faas.name": function, "faas.version": "$LATEST",
		"faas.instance": "2026/11/26/" + function + "[$LATEST]" + id, "service.name": function, "service.instance.id": id,
	}
	events := make([]record.Event, f.Lines)
	for line := range events {
		seq := uint64(n*f.Lines + line + 1)
		body := fmt.Sprintf(`{"level":"INFO","message":"order %d is paid","amount":%d,"customer":"%x"}`, seq, seq*7919%10_000, uint64(environment)*seq*0x9E3779B97F4A7C15)
		if line%2 == 1 {
			body = fmt.Sprintf(`"2026-11-26T20:15:00.123Z\t6f0c0c5e-1111-4222-8333-%012x\tINFO\torder %d is paid\n"`, seq/10, seq)
		}
		events[line] = record.Event{
			Schema: record.Schema, Seq: seq, TimeText: "2026-11-26T20:15:00.123Z", Type: record.TypeFunction, Severity: record.SeverityInfo,
			RequestID: fmt.Sprintf("6f0c0c5e-1111-4222-8333-%012x", seq/10), Body: json.RawMessage(body), Resource: resource,
		}
	}
	if n == f.Each-1 {
		last := len(events) - 1
		if environment%100 == 1 {
			replace(&events[last-1], Loss(id, 0, uint64(f.Lines)+1, 2*uint64(f.Lines), int64(f.Lines)))
		}
		replace(&events[last], Report(id, 0, true, 0))
	}
	return events
}

// replace gives a line the type and the body of another event.
func replace(line *record.Event, by record.Event) {
	line.Type, line.Body, line.Severity, line.RequestID = by.Type, by.Body, "", ""
}
