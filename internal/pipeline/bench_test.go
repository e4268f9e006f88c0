package pipeline

import (
	"fmt"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/ndjson"
	"github.com/kinetel/kinetel/internal/lifecycle"
)

// BenchmarkIngest ingests the platform events of an invocation, as Lambda posts them.
func BenchmarkIngest(b *testing.B) {
	cfg := config.Config{Format: ndjson.Name, Compression: format.Uncompressed, PartitionKey: config.PartitionByEnvironment, Spool: config.SpoolOff, BufferBytes: 1 << 20, Report: config.Report{Events: true}}
	log := slog.New(slog.DiscardHandler)
	p := New(function, cfg, nil, &stream{}, io.Discard, log)
	in := p.NewIngester(lifecycle.New(nil, p, cfg, log))
	at := time.Date(2026, 11, 22, 20, 15, 0, 0, time.UTC)
	const trace = `"tracing":{"spanId":"54565fb41ac79632","type":"X-Amzn-Trace-Id","value":"Root=1-68d0aaaa-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=1"}`
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		id := fmt.Sprintf("8476a536-e9f4-11e8-9739-2dfe%08d", i)
		for _, one := range []struct{ kind, record string }{
			{event.TypePlatformStart, `{"requestId":"` + id + `","version":"$LATEST",` + trace + `}`},
			{event.TypePlatformRuntimeDone, `{"requestId":"` + id + `","status":"success",` + trace + `,"spans":[{"name":"responseLatency","start":"2026-11-22T20:15:00.490Z","durationMs":12.1},{"name":"responseDuration","start":"2026-11-22T20:15:00.610Z","durationMs":0.2}],"metrics":{"durationMs":140.9,"producedBytes":42}}`},
			{event.TypePlatformReport, `{"requestId":"` + id + `","status":"success","metrics":{"durationMs":140.90,"billedDurationMs":141,"memorySizeMB":256,"maxMemoryUsedMB":88},"spans":[{"name":"extensionOverhead","start":"2026-11-22T20:15:00.620Z","durationMs":11.5}],` + trace + `}`},
		} {
			in.Ingest(&event.Event{Time: at.AppendFormat(nil, event.TimeFormat), Received: at, Type: []byte(one.kind), Record: []byte(one.record)})
			at = at.Add(5 * time.Millisecond)
		}
		in.Commit(nil)
		in.Acknowledged()
	}
}
