package cost

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/cloudwatch"
	"github.com/kinetel/kinetel/internal/format/formattest"
	"github.com/kinetel/kinetel/internal/format/otlp"
	"github.com/kinetel/kinetel/record"
)

// newMeter returns a Meter for events of one environment.
func newMeter() *Meter {
	seen := map[uint64]bool{}
	return &Meter{IsNew: func(e *record.Event) bool {
		was := seen[e.Seq]
		seen[e.Seq] = true
		return !was
	}}
}

func arrived(seq uint64, function, kind, body string) record.Event {
	return record.Event{Seq: seq, Type: kind, Body: json.RawMessage(body), Resource: map[string]string{"faas.name": function}}
}

func zipped(text []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(text) // to memory
	_ = z.Close()
	return b.Bytes()
}

// A function has as many invocations as it has events of one type, not of both.
func TestInvocationsAreCountedOnce(t *testing.T) {
	m := newMeter()
	for i, e := range []struct{ function, kind, body string }{
		{"a", record.TypePlatformReport, `{"metrics":{"memorySizeMB":128}}`},
		{"a", record.TypeInvocation, `{"metrics":{"memorySizeMB":128},"heldMs":10}`},
		{"b", record.TypePlatformReport, `{"metrics":{"memorySizeMB":128}}`}, // KINETEL_REPORT leaves out the other
		{"b", record.TypePlatformReport, `{"metrics":{"memorySizeMB":128}}`},
		{"c", record.TypeInvocation, `{"metrics":{"memorySizeMB":1024},"heldMs":30}`},
		{"c", record.TypeInvocation, `{"metrics":{"memorySizeMB":1024},"heldMs":0.2}`}, // not held
		{"c", record.TypeInvocation, `{"metrics":{"memorySizeMB":1e99},"heldMs":1e99}`},
		{"c", record.TypeInvocation, `{"metrics":{"memorySizeMB":1e99},"heldMs":0.1}`},
		{"c", record.TypeInvocation, `[]`},
	} {
		m.Add(arrived(uint64(i+1), e.function, e.kind, e.body))
	}
	got := m.Telemetry(time.Hour)
	if got.Invocations != 8 || got.Held != 2 || math.Abs(got.HeldMs-40.3) > 1e-9 || got.MemoryMB != 801 {
		t.Errorf("%d invocations, %d held %v ms, %v MB; want 8, 2 held 40.3 ms, 801 MB (by what is held)", got.Invocations, got.Held, got.HeldMs, got.MemoryMB)
	}
	if w := got.Workload(); w.Invocations != 8*730 || w.Held != 20150*time.Microsecond {
		t.Errorf("%v invocations a month, held %v; want 5840, 20.15ms", w.Invocations, w.Held)
	}
}

// A line in parts is one line, and is not packed again; a record that comes twice costs
// twice, and its events count once.
func TestLinesAndDuplicates(t *testing.T) {
	m := newMeter()
	m.Add(arrived(1, "a", record.TypePlatformReport, `{}`))
	for range 2 {
		m.AddRecord(1025)
		m.Add(arrived(2, "a", record.TypeFunction, `"caf\u00e9\n"`))
	}
	m.Add(arrived(3, "a", record.TypeFunction, `{"a":1}`))
	m.Add(arrived(4, "a", record.TypeExtension, `"x\n"`))
	for part := 1; part <= 2; part++ {
		e := arrived(uint64(4+part), "a", record.TypeFunction, `"\"12345"`)
		e.Part, e.Parts = part, 2
		m.Add(e)
	}
	got := m.Telemetry(time.Hour)
	if got.Lines != 4 || got.LogBytes != 6+8+2+12 || got.Duplicates != 1 || got.Events != 6 {
		t.Errorf("%d lines of %d B, %d duplicates, %d events; want 4 of 28, 1, 6", got.Lines, got.LogBytes, got.Duplicates, got.Events)
	}
	if got.Records != 2 || got.RecordBytes != 2050 || got.BilledBytes != 4096 {
		t.Errorf("%d records of %d B, billed %d; want 2, 2050, 4096", got.Records, got.RecordBytes, got.BilledBytes)
	}
	if text := strings.Join(got.Workload().Text, "|"); text != `café|{"a":1}` {
		t.Errorf("lines to pack: %s", text)
	}
}

// The members of a gzip file are its records, in every format.
func TestMembersOfAFileAreItsRecords(t *testing.T) {
	environment := formattest.Environment(false)
	line := func(seq int) format.Line {
		return formattest.Line(t, seq, fmt.Sprintf(`"type":"function","body":"line %d"`, seq))
	}
	for name, encode := range map[string]func([]format.Line) []byte{
		"ndjson":     func(l []format.Line) []byte { return bytes.Join([][]byte{l[0].Text, l[1].Text}, nil) },
		"otlp":       func(l []format.Line) []byte { return otlp.AppendLogs(nil, environment, l) },
		"cloudwatch": func(l []format.Line) []byte { return cloudwatch.Append(nil, environment, "", l) },
	} {
		m, file := newMeter(), []byte(nil)
		for seq := 1; seq < 7; seq += 2 {
			file = append(file, zipped(encode([]format.Line{line(seq), line(seq + 1)}))...)
		}
		if err := m.File(bytes.NewReader(file)); err != nil {
			t.Fatal(name, err)
		}
		if got := m.Telemetry(time.Hour); got.Events != 6 || got.Records != 3 || got.RecordBytes != int64(len(file)) || got.Unreadable != 0 {
			t.Errorf("%s: %d events in %d records of %d B, %d unreadable; want 6, 3, %d, 0", name, got.Events, got.Records, got.RecordBytes, got.Unreadable, len(file))
		}
	}
}

// Without records there is no row of them.
func TestFilesThatDoNotShowTheirRecords(t *testing.T) {
	line := formattest.Line(t, 1, `"type":"function","body":"one"`).Text
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	size := maxRecord * 5 / 4
	if testing.Short() {
		size = 0
	}
	large := make([]byte, size) // which cannot be compressed, in lines that are no events
	random := rand.New(rand.NewPCG(1, 2))
	for i := range large {
		large[i] = byte(random.Uint32()) | 0x80
		if i%10_000 == 0 {
			large[i] = '\n'
		}
	}
	for name, file := range map[string][]byte{
		"plain text":                   line,
		"zstd":                         z.EncodeAll(line, nil),
		"gzip and then plain text":     append(zipped(line), line...),
		"a member that is too large":   append(zipped(line), zipped(large)...),
		"plain text and gzip after it": append(bytes.Clone(line), zipped(line)...),
	} {
		if testing.Short() && name == "a member that is too large" {
			continue
		}
		m := newMeter()
		if err := m.File(bytes.NewReader(file)); err != nil {
			t.Fatal(name, err)
		}
		if got := m.Telemetry(time.Hour); got.Events != 1 || got.Records != 0 || !m.NoRecords {
			t.Errorf("%s: %d events, %d records; want 1, and no records", name, got.Events, got.Records)
		}
	}
}

// The month is the time that was measured, as often as it fits; flags change invocations
// and holds.
func TestTheMonthOfTelemetry(t *testing.T) {
	m := newMeter()
	m.AddRecord(3000)
	m.Add(arrived(1, "a", record.TypeInvocation, `{"metrics":{"memorySizeMB":1024},"heldMs":50}`))
	w := m.Telemetry(time.Hour).Workload()
	tm := terms(t)
	tm.MemoryMB = 1024
	report := Compute(w, tm, func(Encoding) {})
	equal(t, "holds", report.Measured.Month.OnDemand.Holds, 730*0.05*0.0000166667)
	equal(t, "data in", report.Measured.Month.OnDemand.In, 730*3072*0.08/gb)
	w.Invocations, w.Held, w.Busy = 1e9, time.Second, 0.75
	month := Compute(w, tm, func(Encoding) {}).Measured.Month
	equal(t, "holds of flags", month.OnDemand.Holds, 0.25e9*0.0000166667)
	equal(t, "data in of flags", month.OnDemand.In, 1e9*3072*0.08/gb)
}
