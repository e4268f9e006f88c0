package record_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/format/cloudwatch"
	"github.com/kinetel/kinetel/internal/format/kpl"
	"github.com/kinetel/kinetel/internal/format/otlp"
	"github.com/kinetel/kinetel/record"
)

// fullRecords are records of 500 events, as a busy function fills them, by format and
// compression.
func fullRecords(t fataler) map[string][]byte {
	var text []string
	for i := range 500 {
		text = append(text, fmt.Sprintf(`{"schema":"kinetel/1","seq":%d,"time":"2026-11-22T20:15:00.%03dZ","type":"function","severity":"INFO","requestId":"8476a536-e9f4-11e8-9739-2dfe598c%04x",`+
			`"body":"2026-11-22T20:15:00.123Z\t8476a536-e9f4-11e8-9739-2dfe598c3fcd\tINFO\tuser %d signed in\n","resource":%s}`+"\n", i+1, i, i/10, 7919*i, aResource))
	}
	lines := strings.Join(text, "")
	parsed := read(fatalfer{t}, text...)
	return map[string][]byte{
		"ndjson":       []byte(lines),
		"ndjson, gzip": []byte(zip(t, lines)),
		"ndjson, zstd": []byte(zst(t, lines)),
		"otlp, gzip":   []byte(zip(t, string(otlp.AppendLogs(nil, aSource(aResource), parsed)))),
		"cloudwatch":   []byte(zip(t, string(cloudwatch.Append(nil, aCloudWatchSource(aResource, false), "", parsed)))),
		"kpl":          kpl.Append(nil, nil, "e1", parsed),
		"one line":     []byte(zip(t, text[0])),
	}
}

type fatalfer struct{ fataler }

func (f fatalfer) Fatalf(format string, args ...any) { f.Fatal(fmt.Sprintf(format, args...)) }

func BenchmarkDecode(b *testing.B) {
	for name, data := range fullRecords(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if events, err := record.Decode(data); err != nil || len(events) == 0 {
					b.Fatal(len(events), err)
				}
			}
		})
	}
}
