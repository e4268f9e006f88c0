package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/record"
	schematest "github.com/kinetel/kinetel/test/schema"
)

// mode is what the stream does with a request.
type mode int

const (
	accepts         mode = iota
	acceptsSlowly        // after 300 ms
	throttlesSome        // of the records
	throttles            // each record
	fails                // 500, nothing stored
	breaks               // the connection, nothing stored
	breaksAfter          // stored, but the answer is lost
	hangs                // no answer, nothing stored
	hangsAfter           // stored, but no answer
	denies               // no permission
	refusesPoison        // permanently, if a record contains poison
	throttlesHotKey      // the records of some partition keys
	modes
)

func (m mode) String() string {
	return [...]string{
		"accepts", "accepts slowly", "throttles some", "throttles", "fails", "breaks", "breaks after", "hangs", "hangs after",
		"denies", "refuses poison", "throttles hot key",
	}[m]
}

const poison = "arsenic"

// number names an event of the stream.
type number struct {
	environment string
	seq         uint64
}

// arrival is an event that was stored.
type arrival struct {
	record.Event
	answered bool // the extension got the answer
	searched bool // while it may have searched for the rejected record
}

// stream is a fake Kinesis stream with a mode.
type stream struct {
	mu          sync.Mutex
	mode        mode
	rng         *rand.Rand
	arrivals    []*arrival
	search      time.Time // when the last request of a search for poison was over
	problems    []string
	stored      int // records
	closed      int // how often CloseIdle was called
	invalidated int // how often InvalidateCredentials was called
}

func (s *stream) become(m mode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mode = m
}

func (s *stream) CloseIdle() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
}

func (s *stream) InvalidateCredentials() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.invalidated++
}

// store stores the records that want selects. The caller calls answered when the
// extension gets the answer.
func (s *stream) store(records []*pack.Record, want func(*pack.Record) bool) (answered func(searched bool), results []kinesis.Result) {
	var kept []*arrival
	for _, r := range records {
		if !want(r) {
			results = append(results, kinesis.Result{ErrorCode: "ProvisionedThroughputExceededException", ErrorMessage: "slow down"})
			continue
		}
		results = append(results, kinesis.Result{SequenceNumber: "1"})
		events, err := record.Decode(r.Data)
		if err != nil {
			s.problems = append(s.problems, fmt.Sprintf("a record cannot be read: %v", err))
		}
		// Validation takes half of the time of these tests: in short runs, only a
		// sample of the records.
		if s.stored++; !testing.Short() || s.stored%8 == 1 {
			if err := schematest.Validate(r.Data); err != nil {
				s.problems = append(s.problems, err.Error())
			}
		}
		for _, e := range events {
			kept = append(kept, &arrival{Event: e})
		}
	}
	s.arrivals = append(s.arrivals, kept...)
	return func(searched bool) {
		for _, a := range kept {
			a.answered, a.searched = true, searched
		}
	}, results
}

func (s *stream) PutRecords(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
	s.mu.Lock()
	mode := s.mode
	searching := time.Since(s.search) == 0 // a search makes no pauses
	size := 0
	for _, r := range records {
		if size += r.Size(); r.Size() > pack.MaxRecord || len(r.PartitionKey) < 1 || len(r.PartitionKey) > 256 {
			s.problems = append(s.problems, fmt.Sprintf("a record of %d bytes with the key %q", r.Size(), r.PartitionKey))
		}
	}
	if len(records) == 0 || len(records) > kinesis.MaxRecords || size > kinesis.MaxBytes {
		s.problems = append(s.problems, fmt.Sprintf("a request of %d records and %d bytes", len(records), size))
	}
	s.mu.Unlock()
	takes := 5 * time.Millisecond
	if mode == acceptsSlowly {
		takes = 300 * time.Millisecond
	}
	select {
	case <-ctx.Done():
		return nil, &kinesis.Error{Class: kinesis.Transient, Err: ctx.Err()}
	case <-time.After(takes):
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		if searching {
			s.search = time.Now()
		}
	}()
	all := func(*pack.Record) bool { return true }
	silence := func() ([]kinesis.Result, error) {
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return nil, &kinesis.Error{Class: kinesis.Transient, Err: ctx.Err()}
	}
	want := all
	switch mode {
	case throttlesSome:
		want = func(*pack.Record) bool { return s.rng.IntN(3) > 0 }
	case throttlesHotKey:
		want = func(r *pack.Record) bool { return r.PartitionKey[0]%2 == 0 }
	case throttles:
		want = func(*pack.Record) bool { return false }
	case fails:
		return nil, &kinesis.Error{Class: kinesis.Transient, Status: 500, Code: "InternalFailure"}
	case breaks:
		return nil, &kinesis.Error{Class: kinesis.Transient, Reused: s.rng.IntN(2) == 0, Err: errors.New("connection reset by peer")}
	case breaksAfter:
		s.store(records, all)
		return nil, &kinesis.Error{Class: kinesis.Transient, Reused: s.rng.IntN(2) == 0, Err: errors.New("connection reset by peer")}
	case hangs:
		return silence()
	case hangsAfter:
		s.store(records, all)
		return silence()
	case denies:
		return nil, &kinesis.Error{Class: kinesis.Denied, Status: 400, Code: "AccessDeniedException"}
	case refusesPoison:
		for _, r := range records {
			events, _ := record.Decode(r.Data)
			if slices.ContainsFunc(events, func(e record.Event) bool { return strings.Contains(string(e.Body), poison) }) {
				searching = true
				return nil, &kinesis.Error{Class: kinesis.Invalid, Status: 400, Code: "InvalidArgumentException"}
			}
		}
	}
	if ctx.Err() != nil {
		return nil, &kinesis.Error{Class: kinesis.Transient, Err: ctx.Err()}
	}
	answered, results := s.store(records, want)
	answered(searching)
	return results, nil
}

// bodies returns the bodies of the events of a type, each number once, in order.
func (s *stream) bodies(kind string) (bodies []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[number]bool{}
	for _, a := range s.arrivals {
		if n := (number{a.InstanceID(), a.Seq}); a.Type == kind && !seen[n] {
			seen[n] = true
			bodies = append(bodies, string(a.Body))
		}
	}
	return bodies
}

// environments returns how many events arrived, by environment.
func (s *stream) environments() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := map[string]int{}
	for _, a := range s.arrivals {
		counts[a.InstanceID()]++
	}
	return counts
}

// reports returns the kinetel.report events that arrived.
func (s *stream) reports(t *testing.T) (reports []ledger.Report) {
	t.Helper()
	for _, body := range s.bodies(event.TypeReport) {
		var r ledger.Report
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			t.Fatal(err)
		}
		reports = append(reports, r)
	}
	return reports
}
