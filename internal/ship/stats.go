package ship

import (
	"sync/atomic"

	"kinetel/internal/ledger"
)

type stats struct {
	requests, records, events, bytes, retried, rejected, unknown atomic.Int64

	latency ledger.Durations // of requests
}

// Stats are counts since the start.
type Stats struct {
	Requests int64            // PutRecords requests sent
	Records  int64            // that Kinesis has stored
	Events   int64            // in those records
	Bytes    int64            // of those records
	Retried  int64            // records that had to be sent again
	Rejected int64            // events of records that Kinesis refuses as invalid
	Unknown  int64            // requests without a definite answer: Kinesis may have stored their records
	Latency  ledger.Quantiles // of requests, from their start to the answer
}

// Stats returns the counts.
func (s *Shipper) Stats() Stats {
	return Stats{
		Requests: s.stats.requests.Load(),
		Records:  s.stats.records.Load(),
		Events:   s.stats.events.Load(),
		Bytes:    s.stats.bytes.Load(),
		Retried:  s.stats.retried.Load(),
		Rejected: s.stats.rejected.Load(),
		Unknown:  s.stats.unknown.Load(),
		Latency:  s.stats.latency.Quantiles(),
	}
}

// Period returns how many requests there were since its last call, and how long
// they took.
func (s *Shipper) Period() (requests int, latency ledger.Quantiles) {
	return s.stats.latency.Period()
}
