package record_test

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/cloudwatch"
	"github.com/kinetel/kinetel/internal/format/kpl"
	"github.com/kinetel/kinetel/internal/format/otlp"
	"github.com/kinetel/kinetel/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const aLine = `{"schema":"kinetel/1","seq":17,"time":"2026-11-22T20:15:00.123Z","type":"function","body":"user signed in",` +
	`"extra":{"b":[1, 2]},"resource":{"service.instance.id":"e1","faas.name":"orders"}}` + "\n"

// timed sets the time of an event from its text.
func timed(e record.Event) record.Event {
	e.Time = time.Time{}
	_ = e.Time.UnmarshalText([]byte(e.TimeText)) // zero if it cannot be read
	e.Time = e.Time.UTC()
	return e
}

func anEvent() record.Event {
	return timed(record.Event{
		Schema: "kinetel/1", Seq: 17, TimeText: "2026-11-22T20:15:00.123Z", Type: "function", Body: json.RawMessage(`"user signed in"`),
		Extra:    map[string]json.RawMessage{"b": json.RawMessage(`[1, 2]`)},
		Resource: map[string]string{"service.instance.id": "e1", "faas.name": "orders"},
	})
}

type fataler interface {
	Helper()
	Fatal(...any)
}

func zip(t fataler, lines string) string {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(lines)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zst(t fataler, lines string) string {
	t.Helper()
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	return string(enc.EncodeAll([]byte(lines), nil))
}

func plain(_ fataler, lines string) string { return lines }

var compressions = map[string]func(fataler, string) string{"plain": plain, "gzip": zip, "zstd": zst}

func TestDecodeReadsEveryCompression(t *testing.T) {
	for name, compress := range compressions {
		t.Run(name, func(t *testing.T) {
			got, err := record.Decode([]byte(compress(t, aLine+aLine)))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]record.Event{anEvent(), anEvent()}, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// Firehose writes one record after the other; whole members make a whole file.
func TestDecodeReadsConcatenatedRecords(t *testing.T) {
	for format, text := range map[string]string{"ndjson": aLine, "otlp": anOTLP, "cloudwatch": ofCloudWatch(logEvent(17, 0, `"user signed in"`))} {
		for name, compress := range compressions {
			t.Run(format+", "+name, func(t *testing.T) {
				one, err := record.Decode([]byte(compress(t, text)))
				if err != nil || len(one) != 1 {
					t.Fatalf("%d events and %v, want 1", len(one), err)
				}
				got, err := record.Decode([]byte(compress(t, text) + compress(t, text+text) + compress(t, text)))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(slices.Repeat(one, 4), got); diff != "" {
					t.Errorf("events (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestDecodeKeepsEachBody(t *testing.T) {
	for _, body := range []string{
		`"text"`, `""`, `null`, `true`, `-1.50e+3`, `[ 1,  2 ]`, `{ "z":1, "a" :{"b":[]}, "z":2}`, `"<&>\u003c\/"`, "\"broken \xff UTF-8\"",
	} {
		got, err := record.Decode(fmt.Appendf(nil, `{"schema":"kinetel/1","seq":1,"time":"","type":"t","body":%s,"resource":{}}`+"\n", body))
		if err != nil || len(got) != 1 || string(got[0].Body) != body {
			t.Errorf("the body %s is read as %+v, %v", body, got, err)
		}
	}
}

func TestInstanceID(t *testing.T) {
	if got := anEvent().InstanceID(); got != "e1" {
		t.Errorf("the id is %q", got)
	}
	if got := (record.Event{}).InstanceID(); got != "" {
		t.Errorf("without a resource the id is %q", got)
	}
}

func TestDecodeRefusesOtherData(t *testing.T) {
	cut := func(s string) string { return s[:len(s)-9] }
	for _, tt := range []struct {
		name, data string
		events     int // that were read before
	}{
		{"nothing", "", 0},
		{"a second line that does not end", aLine + `{"schema"`, 1},
		{"text", "hello\n", 0},
		{"an empty line", "\n", 0},
		{"another schema", strings.Replace(aLine, "kinetel/1", "kinetel/2", 1), 0},
		{"no schema", "{}\n", 0},
		{"no object", "[]\n", 0},
		{"two values in a line", strings.TrimSuffix(aLine, "\n") + aLine, 0},
		{"a number that is none", strings.Replace(aLine, "17", "-17", 1), 0},
		{"gzip of nothing", zip(t, ""), 0},
		{"gzip of text", zip(t, "hello\n"), 0},
		{"gzip that is cut", cut(zip(t, aLine)), 1},
		{"only the beginning of gzip", "\x1f\x8b", 0},
		{"gzip with something behind it", zip(t, aLine) + "x", 1},
		{"zstd of nothing", zst(t, ""), 0},
		{"zstd that is cut", cut(zst(t, aLine)), 0},
		{"only the beginning of zstd", "\x28\xb5\x2f\xfd", 0},
		{"zstd with something behind it", zst(t, aLine) + "x", 1},
		{"a number that does not end", "17", 0},
		{"a user record that is cut", strings.TrimSuffix(aLine, "}\n"), 0},
		{"a user record behind a line", aLine + strings.TrimSuffix(aLine, "\n"), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events, err := record.Decode([]byte(tt.data))
			if !errors.Is(err, record.ErrNotRecord) {
				t.Errorf("Decode returned %v, want ErrNotRecord", err)
			}
			if len(events) != tt.events {
				t.Errorf("%d events, want %d", len(events), tt.events)
			}
		})
	}
}

func TestDecodeReportsALineWithoutAnEnd(t *testing.T) {
	for _, text := range []string{"", "hello", "17", aLine + `{"schema"`} {
		if _, err := record.Decode([]byte(text)); err == nil || !strings.Contains(err.Error(), "the last line does not end") {
			t.Errorf("the error for %q is: %v", text, err)
		}
	}
}

// A record may be a megabyte, and a megabyte may hold gigabytes.
func TestDecodeRefusesABomb(t *testing.T) {
	const mebibyte = 1 << 20
	lines := strings.Repeat(" ", mebibyte)
	for name := range compressions {
		t.Run(name, func(t *testing.T) {
			one := compressions[name](t, lines)
			data := []byte(strings.Repeat(one, max(mebibyte/len(one), 65)))
			if _, err := record.Decode(data); !errors.Is(err, record.ErrLimit) || errors.Is(err, record.ErrNotRecord) || !strings.Contains(err.Error(), "bytes of lines") {
				t.Errorf("Decode returned %v", err)
			}
		})
	}
}

// What is read needs memory for what there is to read, not for what there might
// be: a megabyte of line feeds is not a million events.
func TestDecodeTakesNoMoreMemoryThanItNeeds(t *testing.T) {
	data := bytes.Repeat([]byte{'\n'}, 1<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := record.Decode(data)
	runtime.ReadMemStats(&after)
	if !errors.Is(err, record.ErrNotRecord) {
		t.Errorf("Decode returned %v", err)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 32<<20 {
		t.Errorf("%d bytes were allocated for %d bytes of data without an event", took, len(data))
	}
}

func TestDecodeIsTheInverseOfEncoding(t *testing.T) {
	text := rapid.StringN(0, 20, -1)
	raw := rapid.Custom(func(t *rapid.T) json.RawMessage {
		b, err := json.Marshal(rapid.OneOf(rapid.Map(text, toAny), rapid.Map(rapid.Int(), toAny), rapid.Map(rapid.MapOf(text, text), toAny)).Draw(t, "value"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	})
	event := rapid.Custom(func(t *rapid.T) record.Event {
		e := record.Event{
			Schema: record.Schema, Seq: rapid.Uint64().Draw(t, "seq"), TimeText: rapid.OneOf(text, rapid.SampledFrom(someTimes())).Draw(t, "time"), Type: text.Draw(t, "type"),
			Body: raw.Draw(t, "body"), Resource: rapid.MapOf(text, text).Draw(t, "resource"),
		}
		if rapid.Bool().Draw(t, "more") {
			e.Extra = rapid.MapOfN(text, raw, 1, 3).Draw(t, "extra")
		}
		return timed(e)
	})
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(event, 1, 10).Draw(t, "events")
		var lines strings.Builder
		enc := json.NewEncoder(&lines)
		for _, e := range want {
			if err := enc.Encode(e); err != nil {
				t.Fatal(err)
			}
		}
		compress := compressions[rapid.SampledFrom([]string{"plain", "gzip", "zstd"}).Draw(t, "compression")]
		got, err := record.Decode([]byte(compress(t, lines.String())))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("events (-want +got):\n%s", diff)
		}
	})
}

func toAny[T any](v T) any { return v }

// encodings are what Kinetel writes of lines that the events are the same of
// again.
var encodings = map[string]func(lines []format.Line) []byte{
	"lines": func(lines []format.Line) (text []byte) {
		for i := range lines {
			text = append(text, lines[i].Text...)
		}
		return text
	},
	"logs":  func(lines []format.Line) []byte { return otlp.AppendLogs(nil, aSource(aResource), lines) },
	"spans": func(lines []format.Line) []byte { return otlp.AppendSpans(nil, aSource(aResource), lines) },
	"kpl":   func(lines []format.Line) []byte { return kpl.Append(nil, nil, "e1", lines) },
}

func TestDecodeReadsEveryFormat(t *testing.T) {
	names := slices.Sorted(maps.Keys(compressions))
	for name, encode := range encodings {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				text := rapid.SliceOfN(aLineOf(aResource, name == "spans"), 1, 4).Draw(t, "lines")
				want, err := record.Decode([]byte(strings.Join(text, "")))
				if err != nil {
					t.Fatalf("%v in %q", err, text)
				}
				data := encode(read(t, text...))
				if name != "kpl" {
					data = []byte(compressions[rapid.SampledFrom(names).Draw(t, "compression")](t, string(data)))
				}
				got, err := record.Decode(data)
				if err != nil {
					t.Fatalf("%v in %q", err, text)
				}
				clear(data) // events have memory of their own
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("events (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func FuzzDecode(f *testing.F) {
	texts := []string{
		"", "\n", aLine, aLine + aLine, strings.TrimSuffix(aLine, "\n"), "{}\n", `{"schema":"kinetel/1","resource":{"a":1}}` + "\n", strings.Repeat("[", 20_000) + "\n",
		anOTLP, anOTLP + anOTLP, `{"resourceSpans":[]}` + "\n", `{"messageType":"CONTROL_MESSAGE","subscriptionFilters":[],"logEvents":[]}`,
	}
	for _, body := range []string{
		`{}`, `{"bytesValue":"/w=="}`, `{"arrayValue":{"values":[{"intValue":"1"},{"doubleValue":1.5}]}}`, `{"kvlistValue":{"values":[{"key":"a","value":{"boolValue":true}}]}}`,
	} {
		texts = append(texts, strings.Replace(anOTLP, `{"stringValue":"user signed in"}`, body, 1))
	}
	for what, message := range map[cloudwatch.Message]string{
		cloudwatch.FunctionText: "a", cloudwatch.FunctionJSON: "[1]", cloudwatch.SystemJSON: `{"time":"x","type":"platform.start","record":{"requestId":"r"}}`, cloudwatch.OtherJSON: `{"time":"x","type":"t","record":"a","part":1,"parts":2}`,
		cloudwatch.Start: "START RequestId: r Version: $LATEST\n", cloudwatch.Report: "REPORT RequestId: r\tDuration: 2.00 ms\tStatus: error\nXRAY TraceId: 1-a\tSegmentId: b\tSampled: true\t\n",
		cloudwatch.Extension: "EXTENSION\tName: a\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n", cloudwatch.Subscription: "TELEMETRY\tName: a\tState: Subscribed\tTypes: [Platform]\n",
	} {
		texts = append(texts, ofCloudWatch(logEvent(17, what, quoted(message))))
	}
	texts = append(texts, strings.Replace(aLine, `,"extra"`, `,"bodyBase64":"Iv8i","extra"`, 1), strings.Replace(ofCloudWatch(logEvent(17, cloudwatch.FunctionText, `"a"`)), `"message"`, `"extractedFields":{"bodyBase64":"Iv8i"},"message"`, 1))
	odd := `{"schema":"kinetel/1","seq":1,"time":"x","type":"kinetel.span","part":1,"parts":2,"body":"\udead","extra":{"a":1},"resource":{"a":"b"}}` + "\n"
	for _, encode := range encodings {
		texts = append(texts, string(encode(read(f, aLine, odd))), string(encode(nil)))
	}
	for _, text := range texts {
		for _, compress := range compressions {
			f.Add([]byte(compress(f, text)))
		}
	}
	f.Add([]byte("\x1f\x8b\x08"))
	f.Add([]byte("\x28\xb5\x2f\xfd\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if end := len(data) - md5.Size; bytes.HasPrefix(data, []byte(kpl.Magic)) && end >= 4 {
			sum := md5.Sum(data[4:end]) // nothing else gets past it
			data = append(data[:end:end], sum[:]...)
		}
		was := bytes.Clone(data)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		events, err := record.Decode(data)
		runtime.ReadMemStats(&after)
		if err != nil && !errors.Is(err, record.ErrNotRecord) && !errors.Is(err, record.ErrLimit) {
			t.Errorf("the error %v is neither an ErrNotRecord nor an ErrLimit", err)
		}
		if err == nil && len(events) == 0 {
			t.Error("neither an event nor an error")
		}
		small := record.Decoder{MaxBytes: 4 << 10, MaxEvents: 5} // and windows of zstd beside
		var few []record.Event
		took := allocated(func() { few, _ = small.Decode(data) })
		if len(few) > min(small.MaxEvents, len(events)) || took > 20<<20+256*uint64(min(len(data), 8<<10)) {
			t.Errorf("within limits, %d bytes are allocated for %d events of %d", took, len(few), len(events))
		}
		size := 0
		for _, e := range few {
			size += len(e.Body)
		}
		if size > 8*small.MaxBytes {
			t.Errorf("within limits, bodies have %d bytes", size)
		}
		if !bytes.Equal(data, was) {
			t.Error("the data was changed")
		}
		compressed := bytes.HasPrefix(data, []byte("\x1f\x8b")) || bytes.HasPrefix(data, []byte("\x28\xb5\x2f\xfd"))
		if took := after.TotalAlloc - before.TotalAlloc; !compressed && took > 1<<20+256*uint64(len(data)) {
			t.Errorf("%d bytes were allocated for %d bytes of data", took, len(data))
		}
		line := !bytes.HasPrefix(data, []byte(`{"resource`)) && !bytes.HasPrefix(data, []byte(`{"messageType"`))
		for _, e := range events {
			if e.Schema != record.Schema {
				t.Errorf("an event of the schema %q", e.Schema)
			}
			if !json.Valid(e.Body) && (len(e.Body) > 0 || !compressed && !line) {
				t.Errorf("the body %q is not JSON", e.Body)
			}
			if !compressed && !line && (e.Seq == 0 || e.Type == "" || e.TimeText == "" || e.Resource == nil) {
				t.Errorf("an event that is none: %+v", e)
			}
		}
	})
}
