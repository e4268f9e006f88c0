package record_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"kinetel/internal/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const aLine = `{"schema":"kinetel/1","seq":17,"time":"2026-11-22T20:15:00.123Z","type":"function","body":"user signed in",` +
	`"extra":{"b":[1, 2]},"resource":{"faas.instance":"e1","faas.name":"orders"}}` + "\n"

func anEvent() record.Event {
	return record.Event{
		Schema: "kinetel/1", Seq: 17, Time: "2026-11-22T20:15:00.123Z", Type: "function", Body: json.RawMessage(`"user signed in"`),
		Extra:    map[string]json.RawMessage{"b": json.RawMessage(`[1, 2]`)},
		Resource: map[string]string{"faas.instance": "e1", "faas.name": "orders"},
	}
}

type fataler interface {
	Helper()
	Fatal(...any)
}

func zip(t fataler, lines string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
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
func TestDecodeReadsRecordsThatWerePutTogether(t *testing.T) {
	for name, compress := range compressions {
		t.Run(name, func(t *testing.T) {
			got, err := record.Decode([]byte(compress(t, aLine) + compress(t, aLine)))
			if err != nil || len(got) != 2 {
				t.Errorf("%d events and %v, want 2", len(got), err)
			}
		})
	}
}

func TestDecodeTouchesNoBody(t *testing.T) {
	for _, body := range []string{
		`"text"`, `""`, `null`, `true`, `-1.50e+3`, `[ 1,  2 ]`, `{ "z":1, "a" :{"b":[]}, "z":2}`, `"<&>\u003c\/"`, "\"broken \xff UTF-8\"",
	} {
		got, err := record.Decode(fmt.Appendf(nil, `{"schema":"kinetel/1","seq":1,"time":"","type":"t","body":%s,"resource":{}}`+"\n", body))
		if err != nil || len(got) != 1 || string(got[0].Body) != body {
			t.Errorf("the body %s is read as %+v, %v", body, got, err)
		}
	}
}

func TestEnvironment(t *testing.T) {
	if got := anEvent().Environment(); got != "e1" {
		t.Errorf("the environment is %q", got)
	}
	if got := (record.Event{}).Environment(); got != "" {
		t.Errorf("without a resource the environment is %q", got)
	}
}

func TestDecodeRefusesWhatIsNoRecord(t *testing.T) {
	cut := func(s string) string { return s[:len(s)-9] }
	for _, tt := range []struct {
		name, data string
		events     int // that were read before
	}{
		{"nothing", "", 0},
		{"a line that does not end", strings.TrimSuffix(aLine, "\n"), 0},
		{"a second line that does not end", aLine + `{"schema"`, 0},
		{"text", "hello\n", 0},
		{"an empty line", "\n", 0},
		{"an empty line after a good one", aLine + "\n", 1},
		{"another schema", strings.Replace(aLine, "kinetel/1", "kinetel/2", 1), 0},
		{"no schema", "{}\n", 0},
		{"no object", "[]\n", 0},
		{"two values in a line", strings.TrimSuffix(aLine, "\n") + aLine, 0},
		{"a number that is none", strings.Replace(aLine, "17", "-17", 1), 0},
		{"gzip of nothing", zip(t, ""), 0},
		{"gzip of text", zip(t, "hello\n"), 0},
		{"gzip that is cut", cut(zip(t, aLine)), 0},
		{"only the beginning of gzip", "\x1f\x8b", 0},
		{"gzip with something behind it", zip(t, aLine) + "x", 0},
		{"zstd of nothing", zst(t, ""), 0},
		{"zstd that is cut", cut(zst(t, aLine)), 0},
		{"only the beginning of zstd", "\x28\xb5\x2f\xfd", 0},
		{"zstd with something behind it", zst(t, aLine) + "x", 0},
		{"a KPL record", "\xf3\x89\x9a\xc2something\n", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events, err := record.Decode([]byte(tt.data))
			if !errors.Is(err, record.ErrNoRecord) {
				t.Errorf("Decode returned %v, want ErrNoRecord", err)
			}
			if len(events) != tt.events {
				t.Errorf("%d events, want %d", len(events), tt.events)
			}
		})
	}
}

// A record may be a megabyte, and a megabyte may hold gigabytes.
func TestDecodeRefusesABomb(t *testing.T) {
	const mebibyte = 1 << 20
	lines := strings.Repeat(" ", mebibyte)
	for _, name := range []string{"gzip", "zstd"} {
		t.Run(name, func(t *testing.T) {
			one := compressions[name](t, lines)
			data := []byte(strings.Repeat(one, mebibyte/len(one)))
			if _, err := record.Decode(data); !errors.Is(err, record.ErrNoRecord) || !strings.Contains(err.Error(), "bytes of lines") {
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
	if !errors.Is(err, record.ErrNoRecord) {
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
			Schema: record.Schema, Seq: rapid.Uint64().Draw(t, "seq"), Time: text.Draw(t, "time"), Type: text.Draw(t, "type"),
			Body: raw.Draw(t, "body"), Resource: rapid.MapOf(text, text).Draw(t, "resource"),
		}
		if rapid.Bool().Draw(t, "more") {
			e.Extra = rapid.MapOfN(text, raw, 1, 3).Draw(t, "extra")
		}
		return e
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

func FuzzDecode(f *testing.F) {
	for _, lines := range []string{"", "\n", aLine, aLine + aLine, "{}\n", `{"schema":"kinetel/1","resource":{"a":1}}` + "\n", strings.Repeat("[", 20_000) + "\n"} {
		for _, compress := range compressions {
			f.Add([]byte(compress(f, lines)))
		}
	}
	f.Add([]byte("\x1f\x8b\x08"))
	f.Add([]byte("\x28\xb5\x2f\xfd\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		events, err := record.Decode(data)
		if err != nil && !errors.Is(err, record.ErrNoRecord) {
			t.Errorf("the error %v is no ErrNoRecord", err)
		}
		if err == nil && len(events) == 0 {
			t.Error("neither an event nor an error")
		}
		for _, e := range events {
			if e.Schema != record.Schema {
				t.Errorf("an event of the schema %q", e.Schema)
			}
			if len(e.Body) > 0 && !json.Valid(e.Body) {
				t.Errorf("the body %q is not JSON", e.Body)
			}
		}
	})
}
