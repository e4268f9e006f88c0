package formats_test

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/cloudwatch"
	"github.com/kinetel/kinetel/internal/format/formats"
	"github.com/kinetel/kinetel/internal/format/formattest"
	"github.com/kinetel/kinetel/internal/format/kpl"
	"github.com/kinetel/kinetel/internal/format/otlp"
)

// encodings are the payloads that Filter reads.
var encodings = []struct {
	name   string
	encode func(env *environment.Environment, lines []format.Line) []byte
}{
	{"lines", func(_ *environment.Environment, lines []format.Line) (text []byte) {
		for i := range lines {
			text = append(text, lines[i].Text...)
		}
		return text
	}},
	{"logs", func(env *environment.Environment, lines []format.Line) []byte {
		return otlp.AppendLogs(nil, env, lines)
	}},
	{"spans", func(env *environment.Environment, lines []format.Line) []byte {
		return otlp.AppendSpans(nil, env, lines)
	}},
	{"cloudwatch", func(env *environment.Environment, lines []format.Line) []byte {
		return cloudwatch.Append(nil, env, "", lines)
	}},
	{"kpl", func(env *environment.Environment, lines []format.Line) []byte {
		return kpl.Append(nil, env, env.ID, lines)
	}},
}

func TestFilterRemovesTheOtherEvents(t *testing.T) {
	for _, e := range encodings {
		t.Run(e.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				env := formattest.Environment(rapid.Bool().Draw(t, "JSON"))
				var all, kept []format.Line
				keep := map[uint64]bool{}
				seqOf := func(text string) uint64 {
					seq := formattest.Parse(t, text).Seq
					if e.name == "cloudwatch" {
						seq = min(seq, 1<<48-1) // what an id has room for
					}
					return seq
				}
				for _, text := range rapid.SliceOfNDistinct(formattest.AnyLine(), 1, 5, seqOf).Draw(t, "lines") {
					l := formattest.Parse(t, text)
					all = append(all, l)
					if keep[seqOf(text)] = rapid.Bool().Draw(t, "keep"); keep[seqOf(text)] {
						kept = append(kept, l)
					}
				}
				payload := e.encode(env, all)
				was := bytes.Clone(payload)
				size, i := 0, 0
				rest, err := formats.Filter(payload, func(seq uint64, droppable bool, n int) bool {
					text := string(all[i].Text)
					if seq != seqOf(text) || droppable != event.Droppable(all[i].Type) {
						t.Fatalf("%s was asked for as %d, droppable: %t", text, seq, droppable)
					}
					if (e.name == "lines" || e.name == "kpl") && n != len(text) {
						t.Fatalf("%s takes %d bytes", text, n)
					}
					size += n
					i++
					return keep[seq]
				})
				if err != nil || i != len(all) {
					t.Fatalf("%v; %d of %d were asked for", err, i, len(all))
				}
				if around := len(e.encode(env, nil)) + len(all) - 1; e.name != "lines" && e.name != "kpl" && size+around != len(payload) {
					t.Fatalf("%d of %d bytes were asked for, with %d around", size, len(payload), around)
				}
				want := e.encode(env, kept)
				if len(kept) == 0 {
					want = nil
				}
				if !bytes.Equal(rest, want) || (rest == nil) != (want == nil) {
					t.Fatalf("what is left is\n%q\nnot\n%q", rest, want)
				}
				if !bytes.Equal(payload, was) {
					t.Fatal("the payload was changed")
				}
			})
		})
	}
}

// filterLines has lines of each kind that a filter distinguishes.
func filterLines(t interface{ Fatalf(string, ...any) }) []format.Line {
	return []format.Line{
		formattest.Line(t, 17, `"type":"function","body":"a"`),
		formattest.Line(t, 18, `"type":"platform.start","body":{"requestId":"r"}`),
		formattest.Line(t, 19, "\"type\":\"\xff\",\"body\":[\"b\"]"),
		formattest.Line(t, 20, `"type":"kinetel.loss","body":{"count":1}`),
	}
}

func keepAll(uint64, bool, int) bool { return true }

func TestFilterRefusesTruncatedPayloads(t *testing.T) {
	for _, e := range encodings {
		t.Run(e.name, func(t *testing.T) {
			payload := e.encode(formattest.Environment(false), filterLines(t))
			if rest, err := formats.Filter(payload, keepAll); err != nil || !bytes.Equal(rest, payload) {
				t.Fatalf("%v; %q is left of %q", err, rest, payload)
			}
			for i := range len(payload) {
				if e.name == "lines" && i > 0 && payload[i-1] == '\n' {
					continue // these are whole lines
				}
				if rest, err := formats.Filter(payload[:i], keepAll); err == nil || rest != nil {
					t.Fatalf("the first %d bytes are accepted as a payload, %q, %v", i, rest, err)
				}
			}
		})
	}
}

func TestFilterRefusesOtherPayloads(t *testing.T) {
	of := func(name string) string {
		i := slices.IndexFunc(encodings, func(e struct {
			name   string
			encode func(env *environment.Environment, lines []format.Line) []byte
		},
		) bool {
			return e.name == name
		})
		return string(encodings[i].encode(formattest.Environment(false), filterLines(t)))
	}
	lines, logs, logEvents := of("lines"), of("logs"), of("cloudwatch")
	id := formattest.EventID(1795378500123, 17, cloudwatch.FunctionText, [11]byte{0x4f, 0x1e, 0x0c, 0x9a, 0xd3, 0xb2, 0x4e, 0x58, 0xa7, 0xf6, 0x0b})
	first, last := strings.Index(logs, `{"attributes":[{"key":"kinetel.seq`), strings.LastIndex(logs, `],"schemaUrl":"https://opentelemetry.io/schemas/1.44.0"}],`)
	least := logs[:first] + `{"attributes":[{"key":"kinetel.seq","value":{"intValue":"1"}},{"key":"kinetel.type","value":{"stringValue":"a"}}]}` + logs[last:]
	if _, err := formats.Filter([]byte(least), keepAll); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, payload, old, with string }{
		{"a line of another schema", lines, "kinetel/1", "kinetel/2"},
		{"a line of no number", lines, `"seq":18`, `"seq":""`},
		{"a line without a type", lines, `"type":"kinetel.loss",`, ``},
		{"a line in which JSON ends", lines, `"count":1}`, `"count":1`},
		{"an empty line between", lines, "\n", "\n\n"},
		{"text behind lines", lines + "x", "", ""},
		{"text", "hello\n", "", ""},

		{"no log records", logs, logs[first:last], ""},
		{"no list of log records", logs, `"logRecords":[`, `"logRecord":[`},
		{"log records in a list of spans", logs, `{"resourceLogs"`, `{"resourceSpans"`},
		{"a log record without a number", logs, "kinetel.seq", "kinetel.sea"},
		{"the number 0", logs, `"17"`, `"0"`},
		{"a number that is none", logs, `"17"`, `"a"`},
		{"no type", logs, "kinetel.type", "kinetel.tape"},
		{"a type that is a number", logs, `{"stringValue":"function"}`, `{"intValue":"1"}`},
		{"a type that is no string", logs, `{"stringValue":"function"}`, `{"stringValue":1}`},
		{"a type that is no base64", logs, `{"bytesValue":"/w=="}`, `{"bytesValue":1}`},
		{"a type that is no string, and nothing behind it", least, `{"stringValue":"a"}`, `{"stringValue":1}`},
		{"a type that is no base64, and nothing behind it", least, `{"stringValue":"a"}`, `{"bytesValue":1}`},
		{"bytes that are none", logs, `{"bytesValue":"/w=="}`, `{"bytesValue":"/w="}`},
		{"another end of logs", logs, "schemas/1.44.0\"}]}", "schemas/1.45.0\"}]}"},
		{"more behind logs", logs, "schemas/1.44.0\"}]}\n", "schemas/1.44.0\"}]}\n\n"},
		{"something between log records", logs, `},{"attributes":[{"key":"kinetel.seq`, `}, {"attributes":[{"key":"kinetel.seq`},

		{"no log events", logEvents, logEvents[strings.Index(logEvents, `{"id":`):strings.LastIndex(logEvents, `]}`)], ""},
		{"no list of log events", logEvents, `"logEvents":[`, `"logEvent":[`},
		{"a control message", logEvents, `"DATA_MESSAGE"`, `"CONTROL_MESSAGE"`},
		{"an event without an id", logEvents, `{"id":`, `{"di":`},
		{"an id that is too short", logEvents, id, id[1:]},
		{"an id that is too long", logEvents, id, "0" + id},
		{"an event that ends within the id", logEvents, `{"id":"` + id + `","timestamp"`, `{"id":"1"},{"timestamp"`},
		{"an id of no number", logEvents, id, formattest.EventID(1795378500123, 0, cloudwatch.FunctionText, [11]byte{})},
		{"an id of no message", logEvents, id, formattest.EventID(1795378500123, 17, cloudwatch.Subscription+1, [11]byte{})},
		{"an event that is none", logEvents, `{"id":`, `1,{"id":`},
		{"an event that does not end", logEvents, `"message":"a"}`, `"message":"a"`},
		{"something between events", logEvents, `},{"id":`, `}, {"id":`},
		{"another end", strings.TrimSuffix(logEvents, `]}`) + `]]}`, "", ""},
		{"more behind the end", logEvents + "\n", "", ""},

		{"a user record that is no line", string(kpl.Append(nil, nil, "k", []format.Line{{Text: []byte("hello\n")}})), "", ""},
		{"an aggregate that is damaged", of("kpl"), `"a"`, `"b"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(tt.payload, tt.old) {
				t.Fatalf("%q is not there", tt.old)
			}
			if rest, err := formats.Filter([]byte(strings.Replace(tt.payload, tt.old, tt.with, 1)), keepAll); err == nil || rest != nil {
				t.Errorf("it is accepted, %q", rest)
			}
		})
	}
}

func FuzzFilter(f *testing.F) {
	for _, e := range encodings {
		payload := e.encode(formattest.Environment(false), filterLines(f))
		f.Add(payload)
		f.Add(payload[:len(payload)/2])
		f.Add(e.encode(formattest.Environment(false), nil))
		f.Add(bytes.Replace(payload, []byte(`{"stringValue":"function"}`), []byte(`{"stringValue":1}`), 1))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if end := len(payload) - md5.Size; bytes.HasPrefix(payload, []byte(kpl.Magic)) && end >= 4 {
			sum := md5.Sum(payload[4:end]) // nothing else gets past it
			payload = append(payload[:end:end], sum[:]...)
		}
		was := bytes.Clone(payload)
		var asked, kept []string
		rest, err := formats.Filter(payload, func(seq uint64, droppable bool, size int) bool {
			one := fmt.Sprint(seq, droppable, size)
			if asked = append(asked, one); seq%2 == 0 && droppable {
				return false
			}
			kept = append(kept, one)
			return true
		})
		if !bytes.Equal(payload, was) {
			t.Fatal("the payload was changed")
		}
		if err != nil || len(kept) == 0 {
			if rest != nil {
				t.Fatalf("%v, and %q is left", err, rest)
			}
			return
		}
		if len(kept) == len(asked) && !bytes.HasPrefix(payload, []byte(kpl.Magic)) && !bytes.Equal(rest, payload) {
			t.Fatalf("all is kept, and %q is left", rest)
		}
		var again []string
		same, err := formats.Filter(rest, func(seq uint64, droppable bool, size int) bool {
			again = append(again, fmt.Sprint(seq, droppable, size))
			return true
		})
		if err != nil || !bytes.Equal(same, rest) || !slices.Equal(again, kept) {
			t.Fatalf("%v; what is left has %v, not %v:\n%q", err, again, kept, rest)
		}
	})
}
