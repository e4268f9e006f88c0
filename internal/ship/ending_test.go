package ship_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/ship"
)

// delayed gives an answer after a time.
func delayed(d time.Duration, then answer) answer {
	return func(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
		select {
		case <-time.After(d):
			return then(ctx, records)
		case <-ctx.Done():
			return noAnswer(ctx, records)
		}
	}
}

// lost is an answer that never arrives, to a request that was stored.
func lost(k **fakeKinesis) answer {
	return func(_ context.Context, records []*pack.Record) ([]kinesis.Result, error) {
		(*k).mu.Lock()
		defer (*k).mu.Unlock()
		for _, r := range records {
			(*k).stored = append((*k).stored, r.First)
		}
		return nil, &kinesis.Error{Class: kinesis.Transient, Err: errors.New("connection reset by peer")}
	}
}

// copies returns how often the record was stored.
func copies(stored []uint64, seq uint64) (n int) {
	for _, one := range stored {
		if one == seq {
			n++
		}
	}
	return n
}

// While the environment ends, nothing waits for the answer to a request that
// carries something else, and each request carries all there is.
func TestNoRecordWaitsForAnotherRequestWhileTheEnvironmentEnds(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, delayed(1500*time.Millisecond, accept))
		r.push(1)
		time.Sleep(time.Second) // it is in flight
		for seq := range uint64(600) {
			r.push(seq + 2)
		}
		ending := time.Now()
		r.Ending(ending.Add(1700 * time.Millisecond))
		time.Sleep(100 * time.Millisecond)
		r.push(1000) // the last platform.report
		if err := r.drain(t, 1600*time.Millisecond); err != nil {
			t.Errorf("Drain returned %v, and %d records wait", err, r.waiting())
		}
		calls := r.kinesis.all()
		// Two requests begin in the same instant, in any order.
		slices.SortFunc(calls, func(a, b call) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.seqs[0], b.seqs[0])) })
		if len(calls) != 4 || len(calls[1].seqs) != kinesis.MaxRecords || len(calls[2].seqs) != 100 || len(calls[3].seqs) != 1 {
			t.Errorf("requests of %v", r.kinesis.requests())
		}
		for i, want := range []time.Duration{-time.Second, 0, 0, 100 * time.Millisecond} {
			if got := calls[i].at.Sub(ending); got != want {
				t.Errorf("request %d began %s after the end did, want %s", i+1, got, want)
			}
		}
		if stored := r.kinesis.accepted(); len(stored) != 602 {
			t.Errorf("%d records were stored, want each of 602 once", len(stored))
		}
	})
}

// inFlight counts the requests that are in flight at the same time.
type inFlight struct{ requests, bytes, mostRequests, mostBytes atomic.Int64 }

// counted counts a request, and answers after a second.
func (f *inFlight) counted(then answer) answer {
	return func(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
		n := int64(0)
		for _, one := range records {
			n += int64(one.Size())
		}
		f.mostRequests.Store(max(f.mostRequests.Load(), f.requests.Add(1)))
		f.mostBytes.Store(max(f.mostBytes.Load(), f.bytes.Add(n)))
		time.Sleep(time.Second)
		f.requests.Add(-1)
		f.bytes.Add(-n)
		return then(ctx, records)
	}
}

func TestRequestsInFlightAreBounded(t *testing.T) {
	for _, tt := range []struct {
		name          string
		records, size int
		requests      int
		bytes         int
	}{
		{"in number", 3000, 10, 4, 10 << 20},
		{"in bytes", 40, 500 << 10, 4, 9 << 20 / 2},
	} {
		for when, send := range map[string]func(*testing.T, *fixture){
			"while the environment ends": func(t *testing.T, r *fixture) {
				if err := r.drain(t, time.Hour); err != nil {
					t.Errorf("Drain returned %v", err)
				}
			},
			"in a backlog": func(_ *testing.T, r *fixture) {
				r.Wake()
				time.Sleep(time.Hour)
			},
		} {
			t.Run(tt.name+", "+when, func(t *testing.T) {
				inFakeTime(t, func(t *testing.T) {
					var f inFlight
					r := start(t, f.counted(accept))
					for seq := range uint64(tt.records) {
						one := newRecord(seq + 1)
						one.Data = make([]byte, tt.size)
						r.add(one)
					}
					send(t, r)
					if got := int(f.mostRequests.Load()); got > tt.requests || got < 2 {
						t.Errorf("%d requests at once, want %d", got, tt.requests)
					}
					if got := int(f.mostBytes.Load()); got > tt.bytes {
						t.Errorf("%d bytes at once, want at most %d", got, tt.bytes)
					}
					if stored := r.kinesis.accepted(); len(stored) != tt.records {
						t.Errorf("%d records were stored, want each of %d once", len(stored), tt.records)
					}
				})
			})
		}
	}
}

// Several requests at once would only throttle more, and without a backlog they gain
// nothing.
func TestOneRequestAtATime(t *testing.T) {
	for _, tt := range []struct {
		name    string
		records uint64 // that come at once
		then    answer
	}{
		{"without a backlog", 499, accept},
		{"while Kinesis throttles some records", 3000, throttleOnly(4000)},
		{"while Kinesis throttles", 3000, throttle},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				var f inFlight
				var later atomic.Bool
				r := start(t, f.counted(func(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
					if later.Load() {
						return tt.then(ctx, records)
					}
					return accept(ctx, records)
				}))
				add := func(first, n uint64) {
					for seq := range n {
						r.add(newRecord(first + seq))
					}
					r.Wake()
				}
				add(1, 3000) // after this backlog there are goroutines for more requests
				time.Sleep(time.Minute)
				if f.mostRequests.Load() < 2 || len(r.kinesis.accepted()) != 3000 {
					t.Fatal("the backlog was not sent by several requests")
				}
				later.Store(true)
				f.mostRequests.Store(0)
				r.push(4000)
				time.Sleep(1001 * time.Millisecond) // how Kinesis answers is known
				add(5000, tt.records)
				time.Sleep(10 * time.Second)
				for seq := range uint64(20) {
					r.push(10_000 + seq)
					time.Sleep(100 * time.Millisecond)
				}
				if got := f.mostRequests.Load(); got != 1 {
					t.Errorf("%d requests at once", got)
				}
			})
		})
	}
}

// Only what failed is sent again, whichever request it was in.
func TestOfSeveralRequestsOnlyTheFailedOnesAreSentAgain(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		fails := delayed(100*time.Millisecond, fail)
		r := start(t, fails, fails, delayed(100*time.Millisecond, accept))
		for seq := range uint64(1500) {
			r.add(newRecord(seq + 1))
		}
		if err := r.drain(t, 2*time.Second); err != nil {
			t.Errorf("Drain returned %v", err)
		}
		stored := r.kinesis.accepted()
		slices.Sort(stored)
		if len(stored) != 1500 || len(slices.Compact(stored)) != 1500 {
			t.Errorf("%d records were stored, want each of 1500 once", len(stored))
		}
		calls := r.kinesis.all()
		// Two failures at once are one: the wait is the first one's.
		if pause := calls[3].at.Sub(calls[0].at); pause < 150*time.Millisecond || pause > 176*time.Millisecond {
			t.Errorf("what failed was sent again after %s", pause)
		}
	})
}

// Each attempt without an answer may be one more copy.
func TestAShutdownSendsFewCopiesWhenAnswersAreLost(t *testing.T) {
	total := 0
	for range 20 {
		inFakeTime(t, func(t *testing.T) {
			var k *fakeKinesis
			r := start(t, lost(&k))
			k = r.kinesis
			r.add(newRecord(1))
			if err := r.drain(t, 1700*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Drain returned %v", err)
			}
			n := copies(k.accepted(), 1)
			if n < 4 {
				t.Errorf("the record was stored %d times", n)
			}
			total += n
		})
	}
	// The floors of the pauses allow seven attempts. Now and then a worker is past its
	// pause when the attempt of another one fails, and makes one more.
	if total > 20*7+10 {
		t.Errorf("20 records were stored %d times", total)
	}
}

// The same holds for repeated holds.
func TestHoldsSendFewCopiesWhenAnswersAreLost(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var k *fakeKinesis
		r := start(t, lost(&k))
		k = r.kinesis
		r.add(newRecord(1))
		for range 20 { // each begins a wait
			_ = r.flush(t, 10*time.Millisecond)
		}
		if n := copies(k.accepted(), 1); n > 5 {
			t.Errorf("the record was stored %d times in %s", n, time.Since(r.began))
		}
	})
}

// A refusal ends a Drain only when nothing is in flight that may succeed.
func TestARefusalEndsADrainOnlyIfNoRequestIsInFlight(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, delayed(time.Second, accept), deny)
		r.push(1)
		time.Sleep(100 * time.Millisecond)
		r.add(newRecord(2))
		err := r.drain(t, 5*time.Second)
		if !errors.Is(err, ship.ErrUnavailable) || r.waiting() != 1 {
			t.Errorf("Drain returned %v, and %d records wait", err, r.waiting())
		}
		if stored := r.kinesis.accepted(); !slices.Equal(stored, []uint64{1}) {
			t.Errorf("stored: %v", stored)
		}
	})
}

// A fault of one worker stops neither the others nor its own records.
func TestAFaultInOneOfSeveralRequestsLosesNothing(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		slow := delayed(200*time.Millisecond, accept)
		r := start(t, slow, broken, slow)
		for seq := range uint64(1200) {
			r.add(newRecord(seq + 1))
		}
		if err := r.drain(t, 10*time.Second); err != nil {
			t.Errorf("Drain returned %v", err)
		}
		if stored := r.kinesis.accepted(); len(stored) != 1200 || r.account.Total() != 0 {
			t.Errorf("%d records were stored and %d dropped", len(stored), r.account.Total())
		}
	})
}

// A flush that hung on the disk may call Flush when the environment ends already.
func TestALateFlushDoesNotKeepADrainFromEnding(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, delayed(100*time.Millisecond, deny))
		r.push(1)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		time.AfterFunc(50*time.Millisecond, func() { _ = r.Flush(ended) })
		began := time.Now()
		if err := r.drain(t, 1500*time.Millisecond); !errors.Is(err, ship.ErrUnavailable) {
			t.Errorf("Drain returned %v after %v, although Kinesis denies", err, time.Since(began))
		}
	})
}

func TestABurstIsOverWhenNothingIsSent(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var over atomic.Int64
		r := startWith(t, options{afterBurst: func() { over.Add(1) }}, accept)
		large := func(seq uint64) {
			one := newRecord(seq)
			one.Data = make([]byte, 1<<20)
			r.add(one)
			r.Wake()
		}
		for seq := range uint64(3) {
			large(seq + 1)
			time.Sleep(time.Minute)
		}
		if over.Load() != 0 {
			t.Fatalf("%d bursts after 3 MiB", over.Load())
		}
		for seq := range uint64(20) {
			large(seq + 10)
			time.Sleep(100 * time.Millisecond)
		}
		if over.Load() != 0 {
			t.Fatal("the burst was over while records came")
		}
		time.Sleep(time.Minute)
		r.push(100)
		time.Sleep(time.Minute)
		if over.Load() != 1 {
			t.Errorf("%d bursts, want 1", over.Load())
		}
	})
}
