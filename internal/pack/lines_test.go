package pack_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	registry "github.com/kinetel/kinetel/internal/format/formats"
	"github.com/kinetel/kinetel/internal/pack"
)

// Lines that were written before they had a number give the same records as their events.
func TestAddLinesPacksAsAdd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.SampledFrom(registry.Names()).Draw(t, "format")
		key := rapid.SampledFrom([]config.PartitionKey{config.PartitionByEnvironment, config.PartitionByRequest}).Draw(t, "key")
		next := rapid.SampledFrom([]uint64{1, 9, 1 << 40}).Draw(t, "next")
		set := func(s *setup) {
			s.Format, s.Compression, s.PartitionKey, s.Next = name, registry.Named(name).Compressions[0], key, next
		}
		byEvent, byLine := newPacker(set), newPacker(set)
		resource := byEvent.env.Details().Resource
		for range rapid.IntRange(1, 4).Draw(t, "calls") {
			var lines []byte
			var details []format.Details
			n := rapid.SampledFrom([]int{1, 3, 200, 700}).Draw(t, "lines")
			first := byEvent.Last() + 1
			for i := range n {
				ev := line(fmt.Sprintf("line %d %s", i, text(rapid.SampledFrom([]int{0, 10, 3000}).Draw(t, "size"), false, 1)))
				ev.RequestID, ev.Severity = "r1", event.Info
				ev.OTLP.SeverityNumber = 10
				lines = format.AppendLine(lines, 0, ev, format.Part{}, resource)
				details = append(details, format.DetailsOf(ev))
				byEvent.Add(ev)
			}
			asked := uint64(0)
			got, last := byLine.AddLines(lines, details, func(first uint64) { asked = first })
			if got != first || asked != first || last != byEvent.Last() {
				t.Fatalf("%d lines have the numbers %d (%d) to %d, want %d to %d", n, got, asked, last, first, byEvent.Last())
			}
			if rapid.Bool().Draw(t, "seal") {
				byEvent.Seal()
				byLine.Seal()
			}
		}
		byEvent.Seal()
		byLine.Seal()
		if diff := cmp.Diff(byEvent.Added(), byLine.Added()); diff != "" {
			t.Fatalf("added (-events +lines):\n%s", diff)
		}
		if len(byEvent.pushed) != len(byLine.pushed) {
			t.Fatalf("%d records of events, and %d of lines", len(byEvent.pushed), len(byLine.pushed))
		}
		for i, want := range byEvent.pushed {
			got := byLine.pushed[i]
			if !bytes.Equal(want.Data, got.Data) || want.First != got.First || want.Last != got.Last || want.Droppable != got.Droppable || want.Lines != got.Lines {
				t.Fatalf("record %d of %s: of events %s, of lines %s", i, name, describe(want), describe(got))
			}
		}
	})
}

// Recovered lines have no details. Formats that need them get the time of now.
func TestAddLinesWithoutDetails(t *testing.T) {
	r := newPacker(func(s *setup) { s.Format, s.Compression = "otlp", format.Uncompressed })
	lines := format.AppendLine(nil, 0, line("a"), format.Part{}, r.env.Details().Resource)
	r.AddLines(lines, nil, nil)
	r.Seal()
	if len(r.records) != 1 || !bytes.Contains(r.records[0].Data, []byte(`"observedTimeUnixNano":"1`)) {
		t.Errorf("records: %q", r.records[0].Data)
	}
}

// A line of the largest size fits into a record of every format, whatever it contains.
func TestAShortLineFitsIntoEveryFormat(t *testing.T) {
	for _, name := range registry.Names() {
		for _, c := range []string{"\"", "\\", "<", "\x00", "\xff", "世"} {
			r := newPacker(func(s *setup) { s.Format, s.Compression = name, registry.Named(name).Compressions[0] })
			ev := line("")
			ev.Record = append(bytes.Repeat([]byte(c), (format.ShortLine-1000)/len(c)), '"')
			ev.Record = append([]byte{'"'}, ev.Record...)
			if c == "\"" || c == "\\" || c == "\x00" {
				ev = line(string(bytes.Repeat([]byte(c), (format.ShortLine-1000)/6)))
			}
			text := format.AppendLine(nil, 0, ev, format.Part{}, r.env.Details().Resource)
			if len(text) > format.ShortLine && c != "\xff" {
				t.Fatalf("%q: a line of %d bytes", c, len(text))
			}
			if len(text) <= format.ShortLine {
				r.AddLines(text, nil, nil)
				r.Seal()
				if len(r.records) != 1 || r.records[0].Size() > pack.MaxRecord {
					t.Errorf("%s, %q: %d records", name, c, len(r.records))
				}
			}
		}
	}
}
