package ship

import (
	"fmt"
	"time"

	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/wallclock"
)

// Unavailable reports whether Kinesis does not accept records, or not fast enough,
// so that the environment should not be held for it.
func (s *Shipper) Unavailable() bool { return s.unavailable.Load() }

// updateUnavailable sets what Unavailable returns. The caller holds mu.
func (s *Shipper) updateUnavailable() {
	s.unavailable.Store(!s.breaker.Closed() || s.holds.Exhausted())
}

// Behind returns for how long, by the wall clock, attempts have not sent a single
// record; 0 if no attempt was made since the last success.
func (s *Shipper) Behind() time.Duration {
	since := s.behind.Load()
	if since == 0 {
		return 0
	}
	return wallclock.Since(time.Unix(0, since))
}

// NeedsAnother reports whether Kinesis refused the only record that waits as
// invalid, and has accepted nothing yet: a second record would show whether the
// reason is in the record or in what all requests have in common.
func (s *Shipper) NeedsAnother() bool { return s.needsAnother.Load() }

// PermanentError returns the error with which Kinesis refuses records until an
// operator fixes it; nil if no such error is known.
func (s *Shipper) PermanentError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.breaker.Refused() {
		return nil
	}
	return s.lastError
}

// LastError returns why records wait, as far as it is known.
func (s *Shipper) LastError() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastError == nil {
		return "there was no time for more"
	}
	return s.lastError.Error()
}

// unanswered records that the last request was cancelled because there was no
// time to wait for its answer.
func (s *Shipper) unanswered() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lastError == nil {
		s.lastError = fmt.Errorf("a request got no answer within %s", s.latency.Last().Round(time.Millisecond))
	}
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
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Latency = s.latency.Quantiles()
	return stats
}

// count counts a record that Kinesis has stored.
func (s *Shipper) count(r *pack.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Records++
	s.stats.Events += int64(r.Events)
	s.stats.Bytes += int64(r.Size())
	s.burst += int64(r.Size())
}

// Period returns how long the requests since its last call took (Durations.Period).
func (s *Shipper) Period() []time.Duration { return s.latency.Period() }
