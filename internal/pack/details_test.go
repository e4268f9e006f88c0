package pack_test

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/otlp"
	"github.com/kinetel/kinetel/internal/pack"
)

// logRecords returns the log records of OTLP records, by their numbers.
func logRecords(t interface{ Fatalf(string, ...any) }, records []*pack.Record) map[int64]plog.LogRecord {
	all := map[int64]plog.LogRecord{}
	for _, rec := range records {
		logs, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(rec.Data)
		if err != nil {
			t.Fatalf("%s: %v", describe(rec), err)
		}
		for _, l := range logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
			seq, _ := l.Attributes().Get("kinetel.seq")
			all[seq.Int()] = l
		}
	}
	return all
}

func plainOTLP(set *setup) { set.Format, set.Compression = otlp.Name, format.Uncompressed }

// detailsStay adds events of the sizes, and checks the details in the records. It returns
// how many lines went into the next record, and how many events went in parts.
func detailsStay(t interface{ Fatalf(string, ...any) }, key config.PartitionKey, sizes []int, requests []string) (moved, parts int) {
	r := newPacker(plainOTLP, keyBy(key))
	want := map[int64]int{}
	for i, size := range sizes {
		ev := line(string(bytes.Repeat([]byte{'x'}, size)))
		ev.RequestID = requests[i%len(requests)]
		ev.Received, ev.Severity = received.Add(time.Duration(i)*time.Second), event.Info
		ev.OTLP = event.OTLP{SeverityText: "INFO+" + strconv.Itoa(i), SeverityNumber: uint8(9 + i%4)}
		before := len(r.pushed)
		first, last := r.Add(ev)
		for seq := first; seq <= last; seq++ {
			want[int64(seq)] = i
		}
		if first != last {
			parts++
		} else if len(r.pushed) > before {
			moved++
		}
	}
	r.Seal()
	got := logRecords(t, r.records)
	if len(got) != len(want) {
		t.Fatalf("%d log records, want %d", len(got), len(want))
	}
	for seq, i := range want {
		l := got[seq]
		if !l.ObservedTimestamp().AsTime().Equal(received.Add(time.Duration(i)*time.Second)) || l.SeverityText() != fmt.Sprintf("INFO+%d", i) || int(l.SeverityNumber()) != 9+i%4 {
			t.Fatalf("seq %d of event %d was observed at %s and has %q, %d", seq, i, l.ObservedTimestamp(), l.SeverityText(), l.SeverityNumber())
		}
	}
	return moved, parts
}

// The details of an event stay with its line: if lines go into several records by their
// keys, if a line does not fit and goes into the next record, and if an event goes in
// parts.
func TestDetailsStayWithTheirLines(t *testing.T) {
	moved, parts := detailsStay(t, config.PartitionByRequest, []int{1, 200_000, 200_000, 200_000, 1, 1_100_000, 1}, []string{"", "r1", "r2"})
	if moved != 1 || parts != 1 {
		t.Errorf("%d lines went into the next record, %d events went in parts", moved, parts)
	}
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SampledFrom([]config.PartitionKey{config.PartitionByEnvironment, config.PartitionByRequest}).Draw(t, "key")
		sizes := rapid.SliceOfN(rapid.SampledFrom([]int{1, 1, 1, 1, 1, 1, 1, 1, 200_000, 200_000, 200_000, 1_100_000}), 1, 12).Draw(t, "sizes")
		detailsStay(t, key, sizes, rapid.SliceOfN(rapid.SampledFrom([]string{"", "r1", "r2"}), 1, 3).Draw(t, "requests"))
	})
}

// A journal has only the lines.
func TestLinesFromAJournalAreObservedWhenTheyArePacked(t *testing.T) {
	r := newPacker(plainOTLP, func(set *setup) { set.Next = 20 })
	before := time.Now()
	r.Restore(3, linesOf(t, 3, 3, 10))
	after := time.Now()
	got := logRecords(t, r.records)
	if len(got) != 3 {
		t.Fatalf("%d log records", len(got))
	}
	for seq, l := range got {
		if at := l.ObservedTimestamp().AsTime(); at.Before(before) || at.After(after) {
			t.Errorf("seq %d was observed at %s, want %s to %s", seq, at, before, after)
		}
	}
}

// Other formats keep nothing beside the lines.
func TestOnlyOTLPHasDetails(t *testing.T) {
	for _, f := range formats() {
		r := newPacker(formatted(f))
		ev := line("hello")
		r.Add(ev)
		want := 0
		if f == otlp.Name {
			want = 1
		}
		if got := r.Details(); got != want {
			t.Errorf("%s: details of %d lines, want %d", f, got, want)
		}
	}
}
