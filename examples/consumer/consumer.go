package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/aws/aws-lambda-go/events"

	"github.com/kinetel/kinetel/internal/seqrange"
	"github.com/kinetel/kinetel/record"
)

// consumer writes events to out, and problems and figures to log.
type consumer struct{ out, log io.Writer }

// handle reads a batch. It returns the first record that cannot be read. Lambda sends
// that record and all records after it again (AWS documentation, partial batch response
// with Kinesis Data Streams), so handle reads none of these in this call.
func (c consumer) handle(_ context.Context, batch events.KinesisEvent) (events.KinesisEventResponse, error) {
	response := events.KinesisEventResponse{BatchItemFailures: []events.KinesisBatchItemFailure{}}
	var all []record.Event
	read := 0
	for _, r := range batch.Records {
		decoded, err := record.Decode(r.Kinesis.Data)
		if err != nil {
			// Decode may have read a part of it; the whole record comes again.
			fmt.Fprintf(c.log, "record %s (partition key %q, %d bytes): %v\n", r.EventID, r.Kinesis.PartitionKey, len(r.Kinesis.Data), err)
			response.BatchItemFailures = append(response.BatchItemFailures, events.KinesisBatchItemFailure{ItemIdentifier: r.Kinesis.SequenceNumber})
			break
		}
		all = append(all, decoded...)
		read++
	}
	once, duplicates := unique(all)
	if err := c.write(record.Join(once)); err != nil {
		return response, err // Lambda sends the whole batch again
	}
	holes := holesIn(once)
	for _, h := range holes {
		fmt.Fprintf(c.log, "seq %d to %d of the environment %s are not in this batch, and not reported lost\n", h.First, h.Last, h.environment)
	}
	fmt.Fprintf(c.log, "%d of %d records read: %d events, %d duplicates, %d holes\n", read, len(batch.Records), len(once), duplicates, len(holes))
	return response, nil
}

// write writes events as lines of JSON. Write them to your own store here.
func (c consumer) write(all []record.Event) error {
	enc := json.NewEncoder(c.out)
	enc.SetEscapeHTML(false)
	for _, e := range all {
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("write %v: %w", e.Key(), err)
		}
	}
	return nil
}

// unique returns the first of all events with the same number.
func unique(all []record.Event) (once []record.Event, duplicates int) {
	seen := map[record.Key]bool{}
	for _, e := range all {
		if seen[e.Key()] {
			duplicates++
			continue
		}
		seen[e.Key()] = true
		once = append(once, e)
	}
	return once, duplicates
}

// hole is a range of an environment's sequence numbers that are missing.
type hole struct {
	environment string
	seqrange.Range
}

// holesIn returns what is missing between the first and the last number of each
// environment, and in no range of a kinetel.loss.
func holesIn(once []record.Event) (holes []hole) {
	known := map[string][]seqrange.Range{} // by environment: arrived, or reported lost
	for _, e := range once {
		id := e.InstanceID()
		known[id] = append(known[id], seqrange.Range{First: e.Seq, Last: e.Seq})
		if loss, err := e.Loss(); err == nil {
			known[id] = append(known[id], seqrange.Range{First: loss.FirstSeq, Last: loss.LastSeq})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(known)) {
		set := seqrange.New(known[id]...)
		for _, gap := range set.Gaps(seqrange.Range{First: set[0].First, Last: set[len(set)-1].Last}) {
			holes = append(holes, hole{id, gap})
		}
	}
	return holes
}
