package ship_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/ship"
	"github.com/kinetel/kinetel/internal/spool"
	"github.com/kinetel/kinetel/internal/testkit"
)

// broken panics.
func broken(context.Context, []*pack.Record) ([]kinesis.Result, error) { panic("a test of panics") }

// brokenAfter panics after Kinesis has stored the records.
func (r *fixture) brokenAfter(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
	r.kinesis.mu.Lock()
	defer r.kinesis.mu.Unlock()
	for _, one := range records {
		r.kinesis.stored = append(r.kinesis.stored, one.First)
	}
	panic("a test of panics")
}

// faults returns the entries of the log that report a panic.
func (r *fixture) faults() []testkit.Entry {
	return r.log.Find(slog.LevelWarn, "a fault in Kinetel; the function runs on")
}

// running fails the test if Run has ended.
func (r *fixture) running(t *testing.T) {
	t.Helper()
	select {
	case <-r.ended:
		t.Error("Run has ended before its context")
	default:
	}
}

func TestAPutterThatPanicsLosesNothing(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, broken, accept)
		r.push(1, 2, 3)
		if err := r.flush(t, forever); err != nil {
			t.Fatal(err)
		}
		wantRequests(t, r, []uint64{1, 2, 3}, []uint64{1, 2, 3})
		if diff := cmp.Diff([]uint64{1, 2, 3}, r.kinesis.accepted()); diff != "" || r.account.Total() != 0 || r.waiting() != 0 {
			t.Errorf("%d dropped, %d wait; stored (-want +got):\n%s", r.account.Total(), r.waiting(), diff)
		}
		// One failure is none of Kinesis'.
		if took := time.Since(r.began); took > 75*time.Millisecond || r.Unavailable() || r.Behind() != 0 {
			t.Errorf("it took %s; unavailable: %t, behind: %s", took, r.Unavailable(), r.Behind())
		}
		faults := r.faults()
		if len(faults) != 1 || len(r.warnings()) != 1 || faults[0].Level != slog.LevelError {
			t.Fatalf("log: %v", r.warnings())
		}
		attrs := faults[0].Attrs
		if stack, _ := attrs["stack"].(string); attrs["problem"] != "send records" || attrs["panic"] != "a test of panics" || !strings.Contains(stack, "ship_test.broken") {
			t.Errorf("the log entry of the fault has %v", attrs)
		}
		// The outcome of the request is unknown.
		if stats := r.Stats(); stats.Unknown != 1 || stats.Requests != 2 || stats.Retried != 3 || stats.Records != 3 {
			t.Errorf("stats: %+v", stats)
		}
		r.running(t)
	})
}

func TestAPutterThatAlwaysPanicsIsAnOutage(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, broken)
		r.push(1, 2, 3)
		if err := r.flush(t, forever); !errors.Is(err, ship.ErrUnavailable) || !r.Unavailable() {
			t.Errorf("Flush returned %v; unavailable: %t", err, r.Unavailable())
		}
		if text := r.LastError(); text != "a fault in Kinetel" {
			t.Errorf("LastError is %q", text)
		}
		if err := r.PermanentError(); err != nil {
			t.Errorf("PermanentError is %v, but no operator can fix it", err)
		}
		time.Sleep(forever)
		r.running(t)
		// Each time it costs a stack and a line, so it must not be often.
		if n := len(r.kinesis.times()); n < 60 || n > 300 || r.waiting() != 3 || r.account.Total() != 0 {
			t.Errorf("%d requests in an hour; %d records wait, %d events were dropped", n, r.waiting(), r.account.Total())
		}
		before := len(r.kinesis.times())
		r.kinesis.setAnswer(accept)
		time.Sleep(35 * time.Second)
		if diff := cmp.Diff([]uint64{1, 2, 3}, r.kinesis.accepted()); diff != "" || r.Unavailable() {
			t.Errorf("after %d more requests, unavailable: %t; stored (-want +got):\n%s", len(r.kinesis.times())-before, r.Unavailable(), diff)
		}
		began := time.Now()
		r.stop()
		if took := time.Since(began); took != 0 {
			t.Errorf("Run ended after %s", took)
		}
	})
}

func TestAPutterThatPanicsAfterwardsSendsNoOtherRecordTwice(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var r *fixture
		r = start(t, accept, func(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
			return r.brokenAfter(ctx, records)
		}, accept)
		for seq := range uint64(3) {
			r.push(10*seq, 10*seq+1)
			time.Sleep(time.Second)
		}
		if diff := cmp.Diff([]uint64{0, 1, 10, 11, 10, 11, 20, 21}, r.kinesis.accepted()); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}
	})
}

func TestAPutterThatPanicsInADrainDoesNotEndIt(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, broken, broken, accept)
		r.add(newRecord(1))
		if err := r.drain(t, 2*time.Second); err != nil || r.waiting() != 0 {
			t.Errorf("Drain returned %v, and %d records wait", err, r.waiting())
		}
	})
	t.Run("nor its last request", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, broken)
			r.stop()
			one := newRecord(1)
			one.Environment = r.env
			if failed := r.Last(t.Context(), []*pack.Record{one}); len(failed) != 1 {
				t.Errorf("%d records are left, want the one", len(failed))
			}
		})
	})
}

// panickingPutter is a Putter that panics in other methods, as often as its fields demand.
type panickingPutter struct {
	*fakeKinesis
	idle, invalidate int // panics to come
}

func (b *panickingPutter) CloseIdle() {
	if b.idle > 0 {
		b.idle--
		panic("CloseIdle")
	}
	b.fakeKinesis.CloseIdle()
}

func (b *panickingPutter) InvalidateCredentials() {
	if b.invalidate > 0 {
		b.invalidate--
		panic("InvalidateCredentials")
	}
	b.fakeKinesis.InvalidateCredentials()
}

func TestAPutterMayPanicAnywhere(t *testing.T) {
	for _, tt := range []struct {
		name   string
		putter panickingPutter
		script []answer
		tried  bool // before it panics
	}{
		{"before a request, with connections", panickingPutter{idle: 1}, []answer{accept}, false},
		{"before a request, with the credentials", panickingPutter{invalidate: 1}, []answer{accept}, false},
		{"between two tries, with connections", panickingPutter{idle: 1}, []answer{breakConnection(true), accept}, true},
		{"between two tries, with the credentials", panickingPutter{invalidate: 1}, []answer{expired, accept}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				putter := &tt.putter
				putter.fakeKinesis = &fakeKinesis{script: tt.script}
				r := startWith(t, options{putter: putter})
				if !tt.tried {
					r.Restored()
				}
				r.push(1, 2, 3)
				time.Sleep(time.Minute)
				r.running(t)
				if n := len(r.faults()); n != 1 {
					t.Errorf("%d faults", n)
				}
				if diff := cmp.Diff([]uint64{1, 2, 3}, putter.accepted()); diff != "" || putter.idle+putter.invalidate > 0 || r.Unavailable() {
					t.Errorf("%d panics are to come, unavailable: %t; stored (-want +got):\n%s", putter.idle+putter.invalidate, r.Unavailable(), diff)
				}
				for _, e := range r.faults() {
					if stack, _ := e.Attrs["stack"].(string); e.Attrs["problem"] != "ship" || !strings.Contains(stack, "panickingPutter") {
						t.Errorf("log: %v", e)
					}
				}
			})
		})
	}
}

// After a fault in the shipper there is no hold until a request succeeds.
func TestAFaultOfTheShipperEndsTheHolds(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		putter := &panickingPutter{fakeKinesis: &fakeKinesis{script: []answer{accept}}, idle: 1}
		r := startWith(t, options{putter: putter})
		r.Restored()
		r.push(1)
		synctest.Wait()
		if !r.Unavailable() || r.waiting() != 1 {
			t.Errorf("unavailable: %t; %d records wait", r.Unavailable(), r.waiting())
		}
		time.Sleep(time.Second - 1)
		if n := len(putter.times()); n > 0 {
			t.Errorf("%d requests within a second", n)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if r.Unavailable() || r.waiting() != 0 {
			t.Errorf("a second later, unavailable: %t; %d records wait", r.Unavailable(), r.waiting())
		}
	})
	t.Run("which does not keep Run from ending", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := startWith(t, options{putter: &panickingPutter{fakeKinesis: &fakeKinesis{script: []answer{accept}}, idle: 1}})
			r.Restored()
			r.push(1)
			synctest.Wait()
			began := time.Now()
			r.stop()
			if took := time.Since(began); took != 0 {
				t.Errorf("Run ended after %s", took)
			}
		})
	})
}

// Panics come between failures of every kind, and still each record is stored: once,
// except for requests whose outcome is unknown.
func TestEveryRecordIsSentWhateverPanics(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		names := []string{"accept", "accept", "panic", "panic", "panic after", "throttle some", "throttle", "fail", "deny", "expired", "break", "invalid"}
		script := rapid.SliceOfN(rapid.SampledFrom(names), 0, 15).Draw(rt, "script")
		bursts := rapid.SliceOfN(rapid.IntRange(0, 4), 1, 6).Draw(rt, "bursts")
		pauses := rapid.SliceOfN(rapid.IntRange(0, 3000), len(bursts), len(bursts)).Draw(rt, "milliseconds between")
		idle := rapid.IntRange(0, 2).Draw(rt, "panics in CloseIdle")

		var want, rejected []uint64
		twice := map[uint64]int{} // how often more than once a record may be stored
		var stored []uint64
		var lost int64
		var waiting int
		var ended bool
		inFakeTime(t, func(t *testing.T) {
			var r *fixture
			var mu sync.Mutex
			answers := []answer{}
			for _, name := range script {
				answers = append(answers, map[string]answer{
					"accept": accept, "panic": broken, "throttle some": throttleOnly(1, 3, 5), "throttle": throttle, "fail": fail,
					"deny": deny, "expired": expired, "break": breakConnection(true), "invalid": refuseInvalid(2),
					"panic after": func(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
						mu.Lock()
						for _, one := range records {
							twice[one.First]++
						}
						mu.Unlock()
						return r.brokenAfter(ctx, records)
					},
				}[name])
			}
			answers = append(answers, accept)
			k := &fakeKinesis{script: answers}
			r = startWith(t, options{putter: &panickingPutter{fakeKinesis: k, idle: idle}})
			r.kinesis = k
			for i, n := range bursts {
				for range n {
					want = append(want, uint64(len(want)+1))
					r.push(want[len(want)-1])
				}
				if i%2 == 0 {
					_ = r.flush(t, 100*time.Millisecond)
				}
				time.Sleep(time.Duration(pauses[i]) * time.Millisecond)
			}
			time.Sleep(forever)
			synctest.Wait()
			select {
			case <-r.ended:
				ended = true
			default:
			}
			stored, lost, waiting = k.accepted(), r.account.Total(), r.waiting()
			for _, loss := range r.env.Ledger.TakePending() {
				rejected = append(rejected, loss.First)
			}
		})
		if ended || waiting > 0 || int(lost) != len(rejected) {
			rt.Fatalf("Run has ended: %t; %d records wait, %d events were dropped: %v", ended, waiting, lost, rejected)
		}
		for _, seq := range want {
			n := 0
			for _, one := range stored {
				if one == seq {
					n++
				}
			}
			least := 1
			if slices.Contains(rejected, seq) && seq == 2 { // the invalid record
				least = 0
			}
			if n < least || n > 1+twice[seq] {
				rt.Fatalf("record %d was stored %d times; %d of them without an answer", seq, n, twice[seq])
			}
		}
	})
}

// memoryStore is a Store in memory that panics when its method is called for the n-th
// time.
type memoryStore struct {
	method  string
	n       int
	kept    map[*spool.Ref]*pack.Record
	pending int // refs that are not done
}

func (s *memoryStore) call(method string) {
	if method != s.method {
		return
	}
	if s.n--; s.n == 0 {
		panic(fmt.Sprint("in ", method))
	}
}

func (s *memoryStore) Append(r *pack.Record) (*spool.Ref, error) {
	ref := &spool.Ref{Environment: r.Environment, First: r.First, Last: r.Last, Events: r.Events, DataSize: r.Size()}
	s.kept[ref] = r
	s.pending++
	return ref, nil
}

func (s *memoryStore) Read(ref *spool.Ref) (*pack.Record, error) {
	s.call("Read")
	return s.kept[ref], nil
}

func (s *memoryStore) Done(*spool.Ref) {
	s.call("Done")
	s.pending--
}

func (s *memoryStore) SameSegment(a, b *spool.Ref) bool { return a == b }
func (s *memoryStore) Seal(*spool.Ref)                  {}
func (s *memoryStore) Check() bool                      { return true }
func (s *memoryStore) Gone(*spool.Ref) bool             { return false }
func (s *memoryStore) Sent(*pack.Record)                {}

func TestAStoreThatPanicsLosesNothing(t *testing.T) {
	all := []uint64{1, 2, 3, 4, 5, 6}
	for _, method := range []string{"Read", "Done"} {
		for n := 1; n <= 5; n++ {
			t.Run(fmt.Sprint(method, " ", n), func(t *testing.T) {
				inFakeTime(t, func(t *testing.T) {
					store := &memoryStore{method: method, n: n, kept: map[*spool.Ref]*pack.Record{}}
					r := startWith(t, options{store: store}, throttleOnly(2, 4), accept)
					for _, seq := range all {
						r.add(newRecord(seq))
					}
					r.Wake()
					time.Sleep(time.Minute)
					r.running(t)
					requests := r.kinesis.requests()
					stored := r.kinesis.accepted()
					slices.Sort(stored)
					if diff := cmp.Diff(all, slices.Compact(slices.Clone(stored))); diff != "" || r.account.Total() != 0 || len(r.faults()) != 1 {
						t.Errorf("%d dropped; log: %v; stored (-want +got):\n%s", r.account.Total(), r.warnings(), diff)
					}
					// A record that was read but not sent is not sent twice. A record that
					// was sent but not acknowledged may be, in the next request.
					if method == "Read" && len(stored) != len(all) {
						t.Errorf("requests: %v", requests)
					}
					for i, seqs := range requests {
						if sorted := slices.Compact(slices.Sorted(slices.Values(seqs))); len(sorted) != len(seqs) || len(seqs) > len(all) {
							t.Errorf("request %d has a record twice: %v", i+1, seqs)
						}
					}
					if got := r.queue.Waiting(); got.Records != 0 || got.Bytes != 0 {
						t.Errorf("waiting in the end: %+v", got)
					}
				})
			})
		}
	}
}

func TestTheMethodsThatTheLoopCallsWaitForNoLock(t *testing.T) {
	// In real time: a goroutine that waits for a lock would stop the fake clock.
	inside, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var blocking bool
	r := startWith(t, options{lost: func() int64 {
		if blocking {
			once.Do(func() { close(inside) })
			<-release
		}
		return 0
	}}, deny, func(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
		blocking = true // from the same goroutine
		return accept(ctx, records)
	})
	r.push(1)
	drained := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for { // if the refusal comes first, it ends a Drain
			if err := r.Drain(ctx); !errors.Is(err, ship.ErrUnavailable) {
				drained <- err
				return
			}
		}
	}()
	<-inside // the end of the outage is logged with the lock held
	asked := make(chan struct{})
	go func() {
		defer close(asked)
		r.Unavailable()
		r.Behind()
		r.Wake()
	}()
	select {
	case <-asked:
	case <-time.After(5 * time.Second): // stands for never
		t.Error("Unavailable or Behind waits for the shipper's lock")
	}
	close(release)
	<-asked
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

func TestARefusedRecordIsReportedAfterAFaultOfTheLedger(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, accept, refuseInvalid(2))
		r.push(1)
		time.Sleep(time.Second)
		faults := 1
		r.env.Ledger = ledger.New(r.account, func(ledger.Loss) {
			if faults--; faults == 0 {
				panic("the disk")
			}
		})
		r.push(2)
		time.Sleep(time.Minute)
		if losses := r.env.Ledger.TakePending(); len(losses) != 1 || losses[0].First != 2 || r.waiting() != 0 {
			t.Errorf("pending losses %v, and %d records wait", losses, r.waiting())
		}
	})
}
