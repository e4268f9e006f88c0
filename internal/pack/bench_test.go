package pack_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
)

// BenchmarkAdd measures what packing costs per byte of telemetry as Lambda sends it
// (events of about 270 B), and the size after it.
func BenchmarkAdd(b *testing.B) {
	for _, compression := range []format.Compression{format.Gzip, format.Zstd, format.Uncompressed} {
		b.Run(string(compression), func(b *testing.B) {
			var packed, lines int64
			env := environmentOf(identity())
			env.Ledger = ledger.New(&ledger.Account{}, nil)
			p := pack.New(pack.Options{
				Environment:  env,
				Compression:  compression,
				PartitionKey: config.PartitionByEnvironment,
				Push:         func(r *pack.Record) { packed += int64(r.Size()); lines += r.Lines },
				Log:          slog.New(slog.DiscardHandler),
			})
			events := make([]event.Event, 1000)
			var received int64
			for i := range events {
				at := fmt.Sprintf("2026-11-22T20:15:%02d.%03dZ", i/500, i%1000)
				record := fmt.Sprintf(`"%s\t8476a536-e9f4-11e8-9739-2dfe598c3fcd\tINFO\torder %d accepted for customer %x: %d items, total %d.%02d EUR, reserved in warehouse %d until midnight, payment pending"`,
					at, i*7919, i*104729, i%9, i*31, i%100, i%13)
				events[i] = event.Event{Time: []byte(at), Received: time.Unix(0, 0), Type: []byte("function"), Record: []byte(record)}
				received += int64(len(`{"time":"","type":"","record":},`) + len(at) + len("function") + len(record))
			}
			b.SetBytes(received)
			b.ReportAllocs()
			for b.Loop() {
				for i := range events {
					p.Add(&events[i])
				}
			}
			p.Seal()
			b.ReportMetric(float64(packed)/float64(lines), "packed/lines")
			b.ReportMetric(float64(received)/1000, "B/event")
		})
	}
}
