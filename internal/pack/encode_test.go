package pack_test

import (
	"bytes"
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/cloudwatch"
	"github.com/kinetel/kinetel/internal/format/kpl"
	"github.com/kinetel/kinetel/internal/format/ndjson"
	"github.com/kinetel/kinetel/internal/format/otlp"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/record"
)

func formatted(f format.Name) func(*setup) {
	return func(set *setup) {
		set.Format, set.Compression = f, format.Gzip
		if f == kpl.Name {
			set.Compression = format.Uncompressed
		}
	}
}

func formats() []format.Name {
	return []format.Name{ndjson.Name, ndjson.JSONName, otlp.Name, cloudwatch.Name, kpl.Name}
}

// With any events, each event is in one record with the configured key, and no record
// is larger or has more events than the limits allow.
func TestEveryFormatHasEveryEventOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom(formats()).Draw(t, "format")
		key := rapid.SampledFrom([]config.PartitionKey{config.PartitionByEnvironment, config.PartitionByRequest, config.PartitionByFunction, config.PartitionRandom}).Draw(t, "key")
		runs := rapid.Bool().Draw(t, "runs")
		r := newPacker(formatted(f), keyBy(key), func(set *setup) { set.Runs = runs })
		var bodies [][]byte
		for range rapid.IntRange(1, 40).Draw(t, "events") {
			ev := line(rapid.SampledFrom([]string{"", "a\n", "grüße 🎈", `{"a":1}`, "\x01\t\"\\"}).Draw(t, "text"))
			if rapid.IntRange(0, 9).Draw(t, "long") == 9 {
				ev = line(string(bytes.Repeat([]byte{'"', 'x', '\\'}, 50_000)))
			}
			ev.RequestID = rapid.SampledFrom([]string{"", "r1", "r2"}).Draw(t, "request")
			bodies = append(bodies, ev.Record)
			r.Add(ev)
		}
		r.Seal()
		got := map[uint64][]byte{}
		for _, rec := range r.records {
			if rec.Size() > pack.MaxRecord || rec.Events > pack.MaxEvents || f == ndjson.JSONName && rec.Events != 1 {
				t.Fatalf("%s", describe(rec))
			}
			events, err := record.Decode(rec.Data)
			if err != nil || len(events) != rec.Events || events[0].Seq != rec.First || events[len(events)-1].Seq != rec.Last {
				t.Fatalf("%s: %d events, %v", describe(rec), len(events), err)
			}
			for i, e := range events {
				if runs && e.Seq != rec.First+uint64(i) {
					t.Fatalf("%s: event %d has the number %d", describe(rec), i, e.Seq)
				}
				want := map[config.PartitionKey]string{config.PartitionByEnvironment: "0123456789abcdef", config.PartitionByFunction: "orders", config.PartitionByRequest: e.RequestID}[key]
				if key == config.PartitionByRequest && want == "" {
					want = "0123456789abcdef"
				}
				if f != cloudwatch.Name && key != config.PartitionRandom && rec.PartitionKey != want {
					t.Fatalf("seq %d of the request %q is under the key %q", e.Seq, e.RequestID, rec.PartitionKey)
				}
				if got[e.Seq] != nil {
					t.Fatalf("seq %d comes twice", e.Seq)
				}
				got[e.Seq] = e.Body
			}
		}
		for i, body := range bodies {
			if !bytes.Equal(got[uint64(i+1)], body) {
				t.Fatalf("seq %d is %.100q, not %.100q", i+1, got[uint64(i+1)], body)
			}
		}
	})
}

func TestSpansHaveRecordsOfTheirOwn(t *testing.T) {
	r := newPacker(formatted(otlp.Name))
	r.Add(line("a"))
	r.AddOwn(own(event.TypeSpan, `{"requestId":"r"}`))
	r.Add(line("b"))
	r.Seal()
	if len(r.records) != 2 {
		t.Fatalf("%d records", len(r.records))
	}
	for i, want := range [][]uint64{{1, 3}, {2}} {
		events, err := record.Decode(r.records[i].Data)
		if err != nil || len(events) != len(want) || events[0].Seq != want[0] {
			t.Errorf("record %d: %v, %v", i, events, err)
		}
	}
}

// A record that is lost makes the losses pending again that its own lines report, and
// no others.
func TestLossesGoWithTheLinesThatReportThem(t *testing.T) {
	for _, f := range formats() {
		t.Run(string(f), func(t *testing.T) {
			r := newPacker(formatted(f))
			r.Add(line("a"))
			r.ledger.Lost(ledger.Loss{First: 7, Last: 8, Count: 2, Bytes: 9, Reason: ledger.BufferFull})
			r.Seal()
			reported := 0
			for _, rec := range r.records {
				events, err := record.Decode(rec.Data)
				if err != nil {
					t.Fatal(err)
				}
				reports := 0
				for _, e := range events {
					if e.Type == event.TypeLoss {
						reports++
					}
				}
				if reports != len(rec.Losses) {
					t.Errorf("%s: %d lines report losses", describe(rec), reports)
				}
				reported += reports
			}
			if reported != 1 {
				t.Errorf("it is reported %d times", reported)
			}
		})
	}
}

func TestDropLogsReadsEveryFormat(t *testing.T) {
	for _, f := range formats() {
		t.Run(string(f), func(t *testing.T) {
			r := newPacker(formatted(f))
			r.Add(line("a"))
			r.Add(start("r1"))
			r.Add(line("b"))
			r.AddOwn(own("kinetel.unparsed", `"text"`))
			r.AddOwn(own("kinetel.report", `{"final":true}`))
			r.Seal()
			kept, lost := "", ""
			for _, rec := range r.records {
				env, _, losses := losing()
				rec.Environment = env
				if rest := pack.NewLogDropper(format.Gzip).DropLogs(rec, ledger.BufferFull); rest != nil {
					events, err := record.Decode(rest.Data)
					if err != nil || len(events) != rest.Events || rest.Droppable != 0 || rest.PartitionKey != rec.PartitionKey {
						t.Fatalf("%s: %v", describe(rest), err)
					}
					for _, e := range events {
						kept += fmt.Sprint(e.Seq, " ", e.Type, ". ")
					}
				}
				for _, loss := range *losses {
					lost += fmt.Sprint(loss.First, "-", loss.Last, " ")
				}
			}
			if kept != "2 platform.start. 5 kinetel.report. " {
				t.Errorf("kept: %s", kept)
			}
			if want := map[bool]string{true: "1-1 3-3 4-4 ", false: "1-1 3-4 "}[f == ndjson.JSONName]; lost != want {
				t.Errorf("lost: %s", lost)
			}
		})
	}
}

func TestAnAggregateIsBoundToItsKey(t *testing.T) {
	for _, f := range formats() {
		r := newPacker(formatted(f))
		r.Add(line("a"))
		r.Seal()
		if got := r.records[0].Bound(); got != (f == kpl.Name) {
			t.Errorf("%s: bound is %t", f, got)
		}
	}
}
