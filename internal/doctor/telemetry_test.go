package doctor_test

import (
	"testing"

	"github.com/kinetel/kinetel/internal/doctor/fakeaws"
	"github.com/kinetel/kinetel/internal/ledger"
)

func TestCheckTelemetry(t *testing.T) {
	runCases(t, []checkCase{
		{"an empty stream", func(s *situation) { s.records = nil }, "telemetry", []string{"warning: nothing arrived of the function orders in the last 1h0m0s; read records: 0*call the function*"}},
		{"only another function's telemetry", func(s *situation) { s.records = []string{line(1, "other", "function", `"x"`)} }, "telemetry", []string{"warning: nothing arrived of the function orders*read records: 1*"}},
		{"foreign records", func(s *situation) { s.records = append(s.records, "hello") }, "telemetry", []string{"warning: 1 of 2 records are not Kinetel's*", "ok: 1 events*"}},
		{"losses", func(s *situation) {
			loss := line(7, "orders", "kinetel.loss", `{"firstSeq":3,"lastSeq":6,"count":4,"bytes":400,"reason":"buffer-full"}`)
			s.records = []string{
				loss, loss, // a duplicate
				line(8, "orders", "kinetel.loss", `{"firstSeq":9,"lastSeq":9,"count":1,"bytes":1,"reason":"shutdown"}`),
				line(9, "other", "kinetel.loss", `{"firstSeq":9,"lastSeq":9,"count":1,"bytes":1,"reason":"oversize"}`),
			}
		}, "telemetry", []string{
			"error: 4 events of the function orders were lost in the last 1h0m0s: buffer-full*KINETEL_BUFFER_BYTES*",
			"error: 1 events of the function orders were lost*: shutdown*",
		}},
		{"the last report", func(s *situation) {
			s.records = []string{
				reported(1, ledger.Report{Shipped: ledger.Volume{Events: 7}, Lost: map[ledger.Reason]int64{ledger.BufferFull: 4}}),
				reported(2, ledger.Report{Shipped: ledger.Volume{Events: 8}, Waiting: 2, PutLatency: ledger.Quantiles{P50: 12.5}, LogsDropped: ledger.Dropped{Records: 3}}),
			}
		}, "telemetry", []string{"warning: Lambda dropped 3 log lines*(e-1)*", "ok: 2 events*", "ok: the last kinetel.report, * ago: 8 events shipped, 2 waiting; half of the requests took 12.5 ms or less; none lost*"}},
		{"a report with earlier losses", func(s *situation) {
			s.records = []string{reported(1, ledger.Report{Shipped: ledger.Volume{Events: 7}, Lost: map[ledger.Reason]int64{ledger.BufferFull: 4}})}
		}, "telemetry", []string{"ok: 1 events*", "warning: the last kinetel.report*lost 4 (buffer-full)*e-1*"}},
		{"an unreadable shard", func(s *situation) { s.answers["GetShardIterator"] = refusal }, "telemetry", []string{"notChecked: the telemetry in the stream: AccessDeniedException*kinesis:ListShards*"}},
		{"too much to read", func(s *situation) {
			s.MaxBytes = 5
			s.answers["GetRecords"] = fakeaws.Answer{Body: `{"Records":[{"Data":"AAAA","PartitionKey":"k","SequenceNumber":"1"},{"Data":"AAAA","PartitionKey":"k","SequenceNumber":"2"}],"NextShardIterator":"i","MillisBehindLatest":60000}`}
		}, "telemetry", []string{"notChecked: the last 1m0s of the stream: there is too much to read*--since", "warning: 2 of 2 records are not Kinetel's*", "warning: nothing arrived*"}},
		{"nothing to read", func(s *situation) { s.Since = 0 }, "telemetry", nil},
	})
}
