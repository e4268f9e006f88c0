package pipeline

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/ndjson"
	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/lifecycle"
	"github.com/kinetel/kinetel/internal/queue"
	"github.com/kinetel/kinetel/internal/redact"
	"github.com/kinetel/kinetel/internal/telemetry"
)

// BenchmarkIngest ingests the platform events of an invocation, as Lambda posts them.
func BenchmarkIngest(b *testing.B) {
	cfg := config.Config{Format: ndjson.Name, Compression: format.Uncompressed, PartitionKey: config.PartitionByEnvironment, Spool: config.SpoolOff, BufferBytes: 1 << 20, Report: config.Report{Events: true}}
	log := slog.New(slog.DiscardHandler)
	p := New(function, cfg, nil, &stream{}, io.Discard, log)
	in := p.NewIngester(lifecycle.New(nil, p, cfg, nil, log))
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

// BenchmarkTelemetry decodes, ingests and packs bodies of lines of 270 B, of invocations of
// 50 lines: texts as Node.js prints them, uncompressed and compressed, and objects, without
// and with all of selection and redaction.
func BenchmarkTelemetry(b *testing.B) {
	for _, name := range []string{"text-none", "text", "off", "on"} {
		b.Run(name, func(b *testing.B) {
			on, text := name == "on", strings.HasPrefix(name, "text")
			compression := format.Gzip
			if name == "text-none" {
				compression = format.Uncompressed
			}
			cfg := config.Config{Format: ndjson.Name, Compression: compression, PartitionKey: config.PartitionByEnvironment, Spool: config.SpoolOff, BufferBytes: 16 << 20}
			var redactor *redact.Redactor
			if on {
				cfg.Selection = config.Selection{
					Level: event.Debug, Exclude: regexp.MustCompile(`^GET /(health|ready)`), Include: regexp.MustCompile(`(?i)order|payment`), MaxLines: 1000,
					Sample: &config.Sample{Share: 0.5, Error: true, Timeout: true, Cold: true, Slow: time.Second, Mark: "acme"},
				}
				redactor = redact.New(redact.Options{Names: redact.Names(), Pattern: regexp.MustCompile(`\bACME-[0-9]{6}\b`), Keys: []string{"password", "authorization"}})
			}
			ingest := ingestAndSend(cfg, redactor)
			texts := rand.New(rand.NewPCG(1, 2))
			var bodies [][]byte
			events := 0
			for range 16 {
				body := []byte{'['}
				for i := 0; len(body) < 1<<20; i++ {
					id := fmt.Sprintf("8476a536-e9f4-11e8-9739-%012x", texts.Uint64()&(1<<48-1))
					body = fmt.Appendf(body, `{"time":"2026-11-22T20:15:00.123Z","type":"platform.start","record":{"requestId":"%s"}},`, id)
					for range 50 {
						if text {
							body = fmt.Appendf(body, `{"time":"2026-11-22T20:15:00.123Z","type":"function","record":"2026-11-22T20:15:00.123Z\t%s\tINFO\torder %d accepted for customer %x: %d items, reserved in warehouse %d until midnight, payment pending\n"},`,
								id, texts.Uint32(), texts.Uint64(), texts.IntN(10), texts.IntN(20))
							continue
						}
						body = fmt.Appendf(body, `{"time":"2026-11-22T20:15:00.123Z","type":"function","record":{"timestamp":"2026-11-22T20:15:00.123Z","level":"INFO","requestId":"%s","message":"order %d of customer %x was accepted after %d ms, and goes to the warehouse"}},`,
							id, texts.Uint32(), texts.Uint64(), texts.IntN(1000))
					}
					body = fmt.Appendf(body, `{"time":"2026-11-22T20:15:00.123Z","type":"platform.report","record":{"requestId":"%s","status":"success","metrics":{"durationMs":5}}},`, id)
				}
				body[len(body)-1] = ']'
				events += bytes.Count(body, []byte(`"type"`))
				bodies = append(bodies, body)
			}
			b.SetBytes(int64(len(bodies[0])))
			for i := 0; b.Loop(); i++ {
				ingest(bodies[i%len(bodies)])
			}
			b.ReportMetric(float64(events)/float64(len(bodies)), "events/op")
		})
	}
}

// ingestAndSend returns a function that ingests a body, and takes the records that it makes.
func ingestAndSend(cfg config.Config, redactor *redact.Redactor) func(body []byte) {
	log := slog.New(slog.DiscardHandler)
	p := New(function, cfg, redactor, &stream{}, io.Discard, log)
	in := p.NewIngester(lifecycle.New(nil, p, cfg, nil, log))
	decoder := telemetry.NewDecoder(in.Ingest, in.Unparsed)
	return func(body []byte) {
		decoder.Decode(body, time.Now())
		in.Commit(nil)
		in.Acknowledged()
		batch := p.queue.Batch(kinesis.MaxRecords, kinesis.MaxBytes)
		sent := make([]queue.Outcome, len(batch))
		for i := range sent {
			sent[i].Done = true
		}
		p.queue.Ack(batch, sent)
	}
}

// From a body to records, a line has no memory of its own. What is allocated is for the
// records: two, of 500 lines each.
func TestALineAllocatesNothing(t *testing.T) {
	const id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
	for name, record := range map[string]string{
		"a text": `"2026-11-22T20:15:00.123Z\t` + id + `\tINFO\torder %d accepted\n"`,
		"object": `{"timestamp":"2026-11-22T20:15:00.123Z","level":"INFO","requestId":"` + id + `","message":"order %d accepted"}`,
	} {
		for _, compression := range []format.Compression{format.Gzip, format.Zstd, format.Uncompressed} {
			t.Run(name+", "+string(compression), func(t *testing.T) {
				ingest := ingestAndSend(config.Config{Format: ndjson.Name, Compression: compression, PartitionKey: config.PartitionByEnvironment, Spool: config.SpoolOff, BufferBytes: 16 << 20}, nil)
				ingest([]byte(`[{"time":"2026-11-22T20:15:00.000Z","type":"platform.start","record":{"requestId":"` + id + `"}}]`))
				body := []byte{'['}
				for i := range 1000 {
					body = fmt.Appendf(body, `{"time":"2026-11-22T20:15:00.123Z","type":"function","record":`+record+`},`, i)
				}
				body[len(body)-1] = ']'
				if n := testing.AllocsPerRun(20, func() { ingest(body) }); n > 50 {
					t.Errorf("%v allocations for 1,000 lines", n)
				}
			})
		}
	}
}
