package cost

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/formats"
	"github.com/kinetel/kinetel/internal/pack"
)

var gzipped = Encoding{"ndjson", format.Gzip}

func TestInventedLinesHaveTheSizeThatWasAskedFor(t *testing.T) {
	s := NewSample(1, 0, nil)
	for size := 1; size < 2000; size += 7 {
		if line := invented(s.rand, size); len(line) != size {
			t.Fatalf("got %d bytes, want %d: %s", len(line), size, line)
		}
	}
}

func TestInvocationsThatAreNotBusyHaveRecordsOfTheirOwn(t *testing.T) {
	m := Pack(NewSample(10, 300, nil), gzipped, false)
	const id = "8f507cfc-example-of-an-id-with-36-by"
	lambdas := len("START RequestId: "+id+" Version: $LATEST\n") + len("END RequestId: "+id+"\n") +
		len("REPORT RequestId: "+id+"\tDuration: 41.27 ms\tBilled Duration: 42 ms\tMemory Size: 128 MB\tMax Memory Used: 66 MB\t\n")
	if m.Invocations != 1 || m.Events != 14 || m.LogBytes != float64(10*301+lambdas) {
		t.Errorf("an invocation has %v events and %v bytes for CloudWatch Logs", m.Events, m.LogBytes)
	}
	if n := m.RecordCount(); n < 0.999 || n > 1.001 {
		t.Errorf("it has %v records", n)
	}
	json := Pack(NewSample(10, 300, nil), Encoding{"json", format.Uncompressed}, false)
	if n := json.RecordCount(); n < 13.999 || n > 14.001 {
		t.Errorf("in JSON it has %v records", n)
	}
	if again := Pack(NewSample(10, 300, nil), gzipped, false); !reflect.DeepEqual(m, again) {
		t.Error("the same sample gives another result")
	}
}

func TestBusyInvocationsShareFullRecords(t *testing.T) {
	m := Pack(NewSample(10, 300, nil), gzipped, true)
	if n, want := m.RecordCount(), 14./pack.MaxEvents; n < want*0.999 || n > want*1.001 {
		t.Errorf("an invocation has %v records, want %v", n, want)
	}
	if rare := Pack(NewSample(10, 300, nil), gzipped, false); m.Bytes() >= rare.Bytes() || rare.Events != m.Events {
		t.Errorf("it has %v bytes, and %v with records of its own", m.Bytes(), rare.Bytes())
	}
}

func TestEveryEncodingPacksAnySample(t *testing.T) {
	quotes := []string{strings.Repeat(`"`, 200)} // each is an escape in JSON
	for _, f := range formats.All() {
		compressions := f.Compressions
		if testing.Short() {
			compressions = compressions[:1]
		}
		for _, c := range compressions {
			for _, busy := range []bool{false, true} {
				for _, s := range []*Sample{NewSample(0, 1, nil), NewSample(3, 1, nil), NewSample(1, 0, quotes)} {
					m := Pack(s, Encoding{f.Name, c}, busy)
					if m.Bytes() <= 0 || m.RecordCount() <= 0 || m.RecordCount() > 3*m.Events {
						t.Errorf("%s %s, busy %v, %d lines: %v bytes in %v records", f.Name, c, busy, s.lines, m.Bytes(), m.RecordCount())
					}
				}
			}
		}
	}
}

// What is not compressed is as long in full records as in records of their own, also if
// the last record is half full, and if a line goes in parts.
func TestNoBytesAreLostBetweenRecords(t *testing.T) {
	quotes := []string{strings.Repeat(`"`, MaxLine-2)}
	for _, test := range []struct {
		format format.Name
		sample func() *Sample
	}{
		{"ndjson", func() *Sample { return NewSample(1, 200_000, nil) }},
		{"kpl", func() *Sample { return NewSample(1, 200_000, nil) }},
		{"otlp", func() *Sample { return NewSample(1, 0, quotes) }}, // more than a record of OTLP
	} {
		e := Encoding{test.format, format.Uncompressed}
		rare, busy := Pack(test.sample(), e, false), Pack(test.sample(), e, true)
		if ratio := busy.Bytes() / rare.Bytes(); ratio < 0.98 || ratio > 1.001 {
			t.Errorf("%s: an invocation has %.0f bytes if it is busy, and %.0f if not", test.format, busy.Bytes(), rare.Bytes())
		}
	}
}

func TestYourLinesArePacked(t *testing.T) {
	lines, err := ReadLines(strings.NewReader("one\r\n\ntwo\n"))
	if err != nil || !reflect.DeepEqual(lines, []string{"one", "two"}) {
		t.Fatalf("got %q, %v", lines, err)
	}
	events, logBytes := NewSample(3, 0, lines).invocation()
	var got []string
	for _, ev := range events {
		if string(ev.Type) == "function" {
			got = append(got, string(ev.Record))
		}
	}
	if want := []string{`"one\n"`, `"two\n"`, `"one\n"`}; !reflect.DeepEqual(got, want) || logBytes < 12 {
		t.Errorf("got %q, %d bytes", got, logBytes)
	}
	for text, want := range map[string]string{
		"":                                     "it has no lines",
		"\n\r\n":                               "it has no lines",
		"a\n" + strings.Repeat("x", MaxLine+1): "line 2 is longer than 262144 bytes",
	} {
		if _, err := ReadLines(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.9q: got %v, want %q", text, err, want)
		}
	}
}

func TestAMixIsBetweenItsParts(t *testing.T) {
	rare := Measured{Invocations: 1, HeldSeconds: 0.05, Records: map[int]float64{1000: 1}}
	busy := Measured{Invocations: 1, Records: map[int]float64{40_000: 0.01}}
	m := Mix(rare, busy, 0.5).Times(100)
	want := Measured{Invocations: 100, HeldSeconds: 2.5, Records: map[int]float64{1000: 50, 40_000: 0.5}}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("got %+v, want %+v", m, want)
	}
	var counted Measured
	counted.AddRecord(7)
	counted.AddRecord(7)
	if counted.RecordCount() != 2 || counted.Bytes() != 14 {
		t.Errorf("got %+v", counted)
	}
}

func TestTheReportNamesEveryEncoding(t *testing.T) {
	packed := 0
	r := Compute(Workload{Invocations: 1e6, Lines: 1, LineBytes: 100}, terms(t), func(Encoding) { packed++ })
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, f := range formats.All() {
		packed -= len(f.Compressions)
		if !strings.Contains(b.String(), "\n"+string(f.Name)+" ") {
			t.Errorf("%s is missing:\n%s", f.Name, b.String())
		}
	}
	if packed != 0 || r.Rows[0].Format != formats.All()[0].Name {
		t.Errorf("%d encodings too many, the first is %s", packed, r.Rows[0].Format)
	}
}

func TestAmountsAreReadable(t *testing.T) {
	for amount, want := range map[float64]string{0: "0.00", 9.996: "10.00", 99.5: "99.50", 100: "100", 1234.5: "1,234", 1234567.8: "1,234,568"} {
		if got := dollars(amount); got != want {
			t.Errorf("%v: got %s, want %s", amount, got, want)
		}
	}
}
