package cost

import (
	"log/slog"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
)

// Encoding is a format with a compression.
type Encoding struct {
	Format      format.Name
	Compression format.Compression
}

// How much is packed: so many invocations or bytes of lines, whichever comes first, and as
// many as busy ones need for some full records.
const (
	sampledInvocations = 50
	sampledBytes       = 256 << 10
	fullRecords        = 8
)

// Pack packs invocations of a sample as Kinetel does, and returns one of them on average.
// If they are busy, they share records, which are closed when they are full. Otherwise
// the records of each are closed at its end.
func Pack(s *Sample, e Encoding, busy bool) Measured {
	m := Measured{}
	var full, open int64 // bytes of lines in full records, and in the last one
	env := environment.New("4f1e3b0c9a7d4e55a0c2b1d3e4f50617", environment.Details{
		Resource: []byte(`{"cloud.provider":"aws","cloud.region":"us-east-1","cloud.account.id":"123456789012","faas.name":"orders","faas.version":"$LATEST",` +
			`"faas.instance":"2026/11/27/[$LATEST]0f1e2d3c4b5a69788796a5b4c3d2e1f0","service.name":"orders","service.instance.id":"4f1e3b0c9a7d4e55a0c2b1d3e4f50617"}`),
		AccountID: "123456789012", LogGroup: "/aws/lambda/orders", LogStream: "2026/11/27/[$LATEST]0f1e2d3c4b5a69788796a5b4c3d2e1f0",
	})
	env.Ledger = ledger.New(&ledger.Account{}, nil)
	packer := pack.New(pack.Options{
		Environment: env, FunctionName: "orders", Format: e.Format, Compression: e.Compression, PartitionKey: config.PartitionByEnvironment,
		Push: func(r *pack.Record) { m.AddRecord(r.Size()); full += r.Lines }, Log: slog.New(slog.DiscardHandler),
	})
	// Busy invocations fill records; the last one is counted as the full ones, for its
	// share of the lines.
	for m.Invocations < sampledInvocations && m.LogBytes < sampledBytes || busy && m.RecordCount() < fullRecords {
		events, logBytes := s.invocation()
		for i := range events {
			packer.Add(&events[i])
		}
		m.Invocations++
		m.Events += float64(len(events))
		m.LogBytes += float64(logBytes)
		if !busy {
			packer.Seal()
		}
	}
	packer.SealTo(func(r *pack.Record) { open += r.Lines })
	records := Measured{Records: m.Records}.Times(float64(full+open) / float64(full))
	m.Records = nil
	return m.plus(records, 1).Times(1 / m.Invocations)
}

func (e Encoding) String() string {
	if e.Compression == "" {
		return string(e.Format)
	}
	return string(e.Format) + ", " + string(e.Compression)
}
