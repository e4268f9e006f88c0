package formats

import (
	"bytes"
	"cmp"
	"log/slog"
	"slices"
	"testing"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
)

// The same events give the same records, byte for byte, whatever the format: a
// record that is made again has the same checksum, and a test that compares files
// means something.
func TestTheSameDayGivesTheSameRecords(t *testing.T) {
	day := readRecording(t)
	rows := table()
	for i := range rows {
		rows[i].key = "request" // by which a record is made of the most pieces
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.String(), b.String()) })
	for _, r := range slices.Compact(rows) {
		t.Run(r.String(), func(t *testing.T) {
			t.Parallel()
			first, again := packed(day, r), packed(day, r)
			if len(first) == 0 || !slices.EqualFunc(first, again, func(a, b *pack.Record) bool {
				return bytes.Equal(a.Data, b.Data) && a.PartitionKey == b.PartitionKey
			}) {
				t.Errorf("%d records, and then %d others", len(first), len(again))
			}
		})
	}
}

// packed packs the day's first process.
func packed(day *recording, r row) (records []*pack.Record) {
	env := environment.New("4f1e0c9ad3b24e58a7f60b1c2d3e4f50", environment.Details{
		Resource:  []byte(`{"cloud.provider":"aws","faas.name":"orders","service.instance.id":"4f1e0c9ad3b24e58a7f60b1c2d3e4f50"}`),
		AccountID: accountID, LogGroup: "/aws/lambda/orders", LogStream: logStream, Attributes: []byte(`{"cloud.platform":"aws_lambda"}`),
	})
	env.Ledger = ledger.New(&ledger.Account{}, nil)
	p := pack.New(pack.Options{
		Environment: env, FunctionName: functionName,
		Format: format.Name(r.format), Compression: format.Compression(r.compression), PartitionKey: config.PartitionKey(r.key),
		Push: func(r *pack.Record) { records = append(records, r) },
		Log:  slog.New(slog.DiscardHandler),
	})
	for _, e := range day.events[0] {
		if len(e.body) > 100_000 { // which takes long, and is nothing else
			continue
		}
		p.Add(&event.Event{Time: []byte(e.time), Type: []byte(e.kind), Record: e.body, RequestID: e.requestID, TraceID: e.traceID})
	}
	p.Seal()
	return records
}
