package ship

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

type stats struct {
	requests, records, events, bytes, retried, rejected, unknown atomic.Int64

	latency latency
}

// Stats are counts since the start.
type Stats struct {
	Requests int64 // PutRecords requests sent
	Records  int64 // that Kinesis has
	Events   int64 // in those records
	Bytes    int64 // of those records
	Retried  int64 // records that had to be sent again
	Rejected int64 // events of records that Kinesis refuses for good
	Unknown  int64 // requests that no answer came to: Kinesis may have their records
	Latency  Latency
}

// Latency is how long requests took, from the first byte to the answer: the
// longest ever, and quantiles of the last 128.
type Latency struct{ P50, P99, Max time.Duration }

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
		Latency:  s.stats.latency.quantiles(),
	}
}

// latency remembers how long the last requests took.
type latency struct {
	mu    sync.Mutex
	ring  [128]time.Duration
	count int
	max   time.Duration
}

func (l *latency) note(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ring[l.count%len(l.ring)] = d
	l.count++
	l.max = max(l.max, d)
}

// last returns what the last request took.
func (l *latency) last() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count == 0 {
		return 0
	}
	return l.ring[(l.count-1)%len(l.ring)]
}

func (l *latency) quantiles() Latency {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(l.count, len(l.ring))
	if n == 0 {
		return Latency{}
	}
	sorted := slices.Clone(l.ring[:n])
	slices.Sort(sorted)
	return Latency{P50: sorted[(n-1)/2], P99: sorted[(n-1)*99/100], Max: l.max}
}
