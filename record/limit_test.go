package record_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/cloudwatch"
	"github.com/kinetel/kinetel/internal/format/kpl"
	"github.com/kinetel/kinetel/internal/format/otlp"
	"github.com/kinetel/kinetel/record"
)

// allocated returns how many bytes are allocated while f runs.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// many is a number of elements. If each took memory, they would take more than 1 MiB.
func many() int {
	if testing.Short() {
		return 1 << 17
	}
	return 1 << 20
}

// names are so many members of an object, of as few bytes as can be.
func names(n int, value string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%x":%s,`, i, value)
	}
	return strings.TrimSuffix(b.String(), ",")
}

// bombs are what small records can hold, by what must keep them from taking memory.
func bombs(t fataler) map[string]func() string {
	const mebibyte = 1 << 20
	line := `{"schema":"kinetel/1"}` + "\n"
	scope := `{"scope":{"name":"kinetel","attributes":[{"key":"kinetel.resource.members","value":{"intValue":"0"}}]},"logRecords":[]}`
	attribute := `{"key":"a","value":{"stringValue":""}}`
	manyEvents := strings.Repeat(line, 6*mebibyte/len(line))
	otlp := func(resource, scopes string) string {
		return `{"resourceLogs":[{"resource":{"attributes":[` + resource + `]},"scopeLogs":[` + scopes + `]}]}` + "\n"
	}
	logRecord := `{"attributes":[{"key":"kinetel.seq","value":{"intValue":"1"}},{"key":"kinetel.type","value":{"stringValue":"a"}},{"key":"kinetel.time","value":{"stringValue":"a"}}],"body":{}}`
	list := strings.Repeat(", ", 1*mebibyte)
	return map[string]func() string{
		"gzip of spaces":                      func() string { return zip(t, strings.Repeat(" ", 6*mebibyte)) },
		"gzip of the smallest lines":          func() string { return zip(t, manyEvents) },
		"zstd of the smallest lines":          func() string { return zst(t, manyEvents) },
		"the smallest lines":                  func() string { return strings.Repeat(line, 5*mebibyte/len(line)) },
		"one line of many members in extra":   func() string { return zip(t, `{"schema":"kinetel/1","extra":{`+names(150_000, "0")+"}}\n") },
		"one line of many resources' members": func() string { return zip(t, `{"schema":"kinetel/1","resource":{`+names(150_000, `""`)+"}}\n") },
		"lines of some members each": func() string {
			return zip(t, strings.Repeat(`{"schema":"kinetel/1","extra":{`+names(400, "0")+"}}\n", 2_000))
		},
		"members that are unknown": func() string { return zip(t, `{`+names(150_000, "0")+"}\n") },
		"members twice": func() string {
			return zip(t, `{"schema":"kinetel/1"`+strings.Repeat(`,"extra":{"a":1}`, 300_000)+"}\n")
		},
		"bodies twice": func() string {
			return zip(t, `{"schema":"kinetel/1"`+strings.Repeat(`,"body":"`+strings.Repeat("a", 1000)+`"`, 5_000)+"}\n")
		},
		"a long original": func() string {
			return zip(t, `{"schema":"kinetel/1","bodyBase64":"`+strings.Repeat("AAAA", 2*mebibyte)+"\"}\n")
		},
		"levels":                             func() string { return zip(t, `{"schema":"kinetel/1","body":`+strings.Repeat("[", 32*mebibyte)+"\n") },
		"empty members of gzip":              func() string { return strings.Repeat(zip(t, ""), 20_000) },
		"empty frames of zstd":               func() string { return strings.Repeat(zst(t, "a")[:9], 20_000) },
		"a window of zstd":                   func() string { return "\x28\xb5\x2f\xfd\x00\xf8" + "\x01\x00\x00" },
		"an aggregate of the smallest lines": func() string { return string(aggregate(strings.TrimSuffix(line, "\n"), 5*mebibyte/32)) },
		"OTLP of the smallest log records": func() string {
			return zip(t, otlp("", strings.Replace(scope, "[]}", "["+strings.TrimSuffix(strings.Repeat(logRecord+",", 25_000), ",")+"]}", 1)))
		},
		"OTLP of many scopes": func() string {
			return zip(t, otlp(strings.TrimSuffix(strings.Repeat(attribute+",", 20_000), ","), strings.TrimSuffix(strings.Repeat(scope+",", 20_000), ",")))
		},
		"OTLP of many attributes": func() string {
			return zip(t, otlp(strings.TrimSuffix(strings.Repeat(attribute+",", 90_000), ","), strings.Replace(scope, `"0"`, `"90000"`, 1)))
		},
		"OTLP of many members in extra": func() string {
			return zip(t, otlp("", strings.Replace(scope, "[]}", "["+strings.Replace(logRecord, `}],"body"`, `},{"key":"kinetel.extra","value":{"stringValue":`+
				quoted("{"+names(150_000, "0")+"}")+`}}],"body"`, 1)+"]}", 1)))
		},
		"CloudWatch of a long list": func() string {
			return zip(t, ofCloudWatch(logEvent(17, cloudwatch.Extension, quoted("EXTENSION\tName: a\tState: Ready\tEvents: ["+list+"]\n"))))
		},
		"CloudWatch of many events": func() string {
			return zip(t, ofCloudWatch(strings.TrimSuffix(strings.Repeat(logEvent(17, cloudwatch.FunctionText, `"a"`)+",", 25_000), ",")))
		},
		"CloudWatch of many system events": func() string {
			return zip(t, ofCloudWatch(strings.TrimSuffix(strings.Repeat(logEvent(17, cloudwatch.SystemJSON, quoted(`{"time":"x","type":"t","record":1}`))+",", 25_000), ",")))
		},
	}
}

// aggregate is an aggregate of n equal user records.
func aggregate(data string, n int) []byte {
	lines := make([]format.Line, n)
	for i := range lines {
		lines[i].Text = []byte(data)
	}
	return kpl.Append(nil, nil, "k", lines)
}

// bounded fails the test if a decoder allocates more than its documentation says,
// or returns more events.
func bounded(t *testing.T, d record.Decoder, data string) {
	t.Helper()
	var events []record.Event
	var err error
	took := allocated(func() { events, err = d.Decode([]byte(data)) })
	bytes, count := d.MaxBytes, d.MaxEvents
	if bytes == 0 {
		bytes, count = record.DefaultMaxBytes, record.DefaultMaxEvents
	}
	if took > uint64(5*bytes+1000*(count+10_000)) || len(events) > count {
		t.Errorf("%d bytes are allocated for %d bytes of data with %d events; %v", took, len(data), len(events), err)
	}
	if err != nil && !errors.Is(err, record.ErrLimit) && !errors.Is(err, record.ErrNotRecord) {
		t.Errorf("the error is %v", err)
	}
}

// No record makes Decode allocate more than documented, and none makes it return more
// events.
func TestDecodeOfABombIsBounded(t *testing.T) {
	// The largest of each kind.
	short := []string{
		"gzip of the smallest lines", "a window of zstd", "an aggregate of the smallest lines", "one line of many members in extra",
		"OTLP of many attributes", "OTLP of many members in extra", "CloudWatch of many system events", "CloudWatch of a long list",
	}
	for name, data := range bombs(t) {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && !slices.Contains(short, name) {
				t.Skip("-short")
			}
			data := data()
			bounded(t, record.Decoder{MaxBytes: 4 << 20, MaxEvents: 10_000}, data)
			bounded(t, record.Decoder{MaxBytes: 1 << 20, MaxEvents: 100}, data)
		})
	}
	t.Run("by the default limits", func(t *testing.T) {
		const mebibyte = 1 << 20
		line := `{"schema":"kinetel/1"}` + "\n"
		member := zip(t, strings.Repeat(line, mebibyte/len(line)))
		bounded(t, record.Decoder{}, strings.Repeat(member, 64))
	})
}

// Decode returns the events before a limit with the error.
func TestDecodeKeepsWhatItReadBeforeALimit(t *testing.T) {
	ten := strings.Repeat(aLine, 10)
	cloudWatch := ofCloudWatch(logEvent(17, cloudwatch.FunctionText, `"a"`))
	for _, tt := range []struct {
		name, data string
		decoder    record.Decoder
		events     int
	}{
		{"as many events as are allowed", ten, record.Decoder{MaxEvents: 10}, 10},
		{"an event more", ten, record.Decoder{MaxEvents: 9}, 9},
		{"an event more, in gzip", zip(t, ten), record.Decoder{MaxEvents: 9}, 9},
		{"an event more, in an aggregate", aggregated(strings.TrimSuffix(aLine, "\n"), strings.TrimSuffix(aLine, "\n"), strings.TrimSuffix(aLine, "\n")), record.Decoder{MaxEvents: 2}, 2},
		{"an event more, in OTLP", anOTLP + anOTLP + anOTLP, record.Decoder{MaxEvents: 2}, 2},
		{"an event more, in CloudWatch's shape", cloudWatch + cloudWatch + cloudWatch, record.Decoder{MaxEvents: 2}, 2},
		{"many members of extra in each event", strings.Repeat(strings.Replace(aLine, `"b":[1, 2]`, names(1000, "0"), 1), 12), record.Decoder{MaxEvents: 50}, 10},
		{"a long resource that repeats", strings.Repeat(strings.Replace(aLine, `"service.instance.id":"e1"`, names(9000, `"0"`), 1), 3) + aLine, record.Decoder{MaxEvents: 3}, 3},
		{"as many bytes as are allowed", ten, record.Decoder{MaxBytes: len(ten)}, 10},
		{"a byte more", ten, record.Decoder{MaxBytes: len(ten) - 1}, 9},
		{"a byte more, in gzip", zip(t, ten), record.Decoder{MaxBytes: len(ten) - 1}, 9},
		{"a byte more, in zstd", zst(t, ten), record.Decoder{MaxBytes: len(ten) - 1}, 9},
		{"a byte more, in members of gzip", strings.Repeat(zip(t, aLine), 10), record.Decoder{MaxBytes: len(ten) - 1}, 9},
		{"a byte more, in OTLP", anOTLP + anOTLP, record.Decoder{MaxBytes: 2*len(anOTLP) - 1}, 1},
		{"a byte more, in CloudWatch's shape", cloudWatch + cloudWatch, record.Decoder{MaxBytes: 2*len(cloudWatch) - 1}, 1},
		{"not even one line", ten, record.Decoder{MaxBytes: 10}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events, err := tt.decoder.Decode([]byte(tt.data))
			if len(events) != tt.events {
				t.Errorf("%d events, want %d; %v", len(events), tt.events, err)
			}
			within := strings.HasPrefix(tt.name, "as many")
			if within != (err == nil) || !within && (!errors.Is(err, record.ErrLimit) || errors.Is(err, record.ErrNotRecord)) {
				t.Errorf("the error is %v", err)
			}
			for _, e := range events {
				if e.Seq != 17 {
					t.Errorf("the event %+v", e)
				}
			}
		})
	}
}

// The largest record that Kinetel writes is read: one line of the largest POST,
// which compresses well, in a format that doubles it.
func TestDecodeReadsTheLargestRecord(t *testing.T) {
	body := []byte(`{"a":"` + strings.Repeat(`\"`, 8<<20-100) + `"}`)
	ev := event.Event{Time: []byte("2026-11-22T20:15:00.123Z"), Type: []byte("function"), Record: body}
	line := string(format.AppendLine(nil, 17, &ev, format.Part{}, []byte(aResource)))
	for name, encode := range map[string]func() []byte{
		"otlp":       func() []byte { return otlp.AppendLogs(nil, aSource(aResource), read(t, line)) },
		"lines":      func() []byte { return []byte(line) },
		"cloudwatch": func() []byte { return cloudwatch.Append(nil, aCloudWatchSource(aResource, false), "", read(t, line)) },
	} {
		if testing.Short() && name != "otlp" {
			continue
		}
		events, err := record.Decode([]byte(zip(t, string(encode()))))
		if err != nil || len(events) != 1 || string(events[0].Body) != string(body) {
			t.Errorf("%s: %d events, %v", name, len(events), err)
		}
	}
}

// Parts of an event with missing parts take little memory besides their own.
func TestJoinOfPartsWithoutTheOthersIsBounded(t *testing.T) {
	parts := make([]record.Event, 100_000)
	for i := range parts {
		parts[i] = part("e", uint64(3*i+1), 1, math.MaxInt, `"a"`)
	}
	var joined []record.Event
	if took := allocated(func() { joined = record.Join(parts) }); took > 150<<20 {
		t.Errorf("%d bytes are allocated for %d parts", took, len(parts))
	}
	if len(joined) != len(parts) {
		t.Errorf("%d events", len(joined))
	}
}

// encoding/json reads deeper than the scanner that counts members.
func TestDecodeRefusesMembersBehindAValueThatIsTooDeep(t *testing.T) {
	deep := strings.Repeat("[", 970) + strings.Repeat("]", 970)
	for _, member := range []string{`"extra":{"a":` + deep + `,"b":0},"resource":{}`, `"extra":{},"resource":{"a":` + deep + `,"b":""}`} {
		line := `{"schema":"kinetel/1","seq":1,"time":"2026-11-26T12:00:00Z","type":"function","body":1,` + member + "}\n"
		if events, err := record.Decode([]byte(line)); err == nil || errors.As(err, new(*json.UnmarshalTypeError)) {
			t.Errorf("%d events and %v of a line that ends with %s", len(events), err, line[len(line)-30:])
		}
	}
}
