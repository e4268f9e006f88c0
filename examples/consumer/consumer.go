package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/aws/aws-lambda-go/events"

	"kinetel/record"
)

// consumer writes events to out, and what is to be said about them to log.
type consumer struct{ out, log io.Writer }

// handle takes a batch. It returns the first record that could not be taken: the
// lowest number is where Lambda goes on, with that one and all behind it (AWS
// documentation, partial batch response with Kinesis Data Streams), so nothing
// behind it is taken in this call.
func (c consumer) handle(_ context.Context, batch events.KinesisEvent) (events.KinesisEventResponse, error) {
	response := events.KinesisEventResponse{BatchItemFailures: []events.KinesisBatchItemFailure{}}
	var all []record.Event
	taken := 0
	for _, r := range batch.Records {
		decoded, err := record.Decode(r.Kinesis.Data)
		if err != nil {
			// Some of it may have been read; it comes again with the rest.
			fmt.Fprintf(c.log, "record %s (partition key %q, %d bytes): %v\n", r.EventID, r.Kinesis.PartitionKey, len(r.Kinesis.Data), err)
			response.BatchItemFailures = append(response.BatchItemFailures, events.KinesisBatchItemFailure{ItemIdentifier: r.Kinesis.SequenceNumber})
			break
		}
		all = append(all, decoded...)
		taken++
	}
	once, duplicates := unique(all)
	if err := c.write(record.Join(once)); err != nil {
		return response, err // none of it counts: the whole batch comes again
	}
	holes := holesIn(once)
	for _, h := range holes {
		fmt.Fprintf(c.log, "seq %d to %d of the environment %s are not in this batch, and not reported lost\n", h.first, h.last, h.environment)
	}
	fmt.Fprintf(c.log, "%d of %d records taken: %d events, %d duplicates, %d holes\n", taken, len(batch.Records), len(once), duplicates, len(holes))
	return response, nil
}

// write writes events as lines of JSON. Here yours would go into your own store.
func (c consumer) write(all []record.Event) error {
	enc := json.NewEncoder(c.out)
	enc.SetEscapeHTML(false)
	for _, e := range all {
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("write seq %d of the environment %s: %w", e.Seq, e.Environment(), err)
		}
	}
	return nil
}

// unique drops events that were there before.
func unique(all []record.Event) (once []record.Event, duplicates int) {
	type number struct {
		environment string
		seq         uint64
	}
	seen := map[number]bool{}
	for _, e := range all {
		n := number{e.Environment(), e.Seq}
		if seen[n] {
			duplicates++
			continue
		}
		seen[n] = true
		once = append(once, e)
	}
	return once, duplicates
}

// hole is a run of numbers of an environment that are missing.
type hole struct {
	environment string
	first, last uint64
}

// holesIn returns what is missing between the first and the last number of each
// environment, and in no range of a kinetel.loss.
func holesIn(once []record.Event) (holes []hole) {
	accounted := map[string][][2]uint64{} // ranges, by environment
	for _, e := range once {
		id := e.Environment()
		accounted[id] = append(accounted[id], [2]uint64{e.Seq, e.Seq})
		if e.Type != "kinetel.loss" {
			continue
		}
		var loss struct{ FirstSeq, LastSeq uint64 }
		if err := json.Unmarshal(e.Body, &loss); err == nil && loss.FirstSeq <= loss.LastSeq {
			accounted[id] = append(accounted[id], [2]uint64{loss.FirstSeq, loss.LastSeq})
		}
	}
	for _, id := range slices.Sorted(maps.Keys(accounted)) {
		ranges := accounted[id]
		slices.SortFunc(ranges, func(a, b [2]uint64) int { return slices.Compare(a[:], b[:]) })
		done := ranges[0][1]
		for _, r := range ranges[1:] {
			if r[0] > done && r[0]-done > 1 {
				holes = append(holes, hole{id, done + 1, r[0] - 1})
			}
			done = max(done, r[1])
		}
	}
	return holes
}
