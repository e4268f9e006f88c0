package ship_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/ship"
)

// shortPause is the longest rest of a pause after a caller begins to wait.
const shortPause = 100 * time.Millisecond

// forever is longer than any pause, and any number of them.
const forever = time.Hour

func wantRequests(t *testing.T, r *fixture, want ...[]uint64) {
	t.Helper()
	if diff := cmp.Diff(want, r.kinesis.requests()); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestPushedRecordsAreSent(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, accept)
		r.push(1, 2, 3)
		synctest.Wait()
		r.push(4)
		synctest.Wait()
		wantRequests(t, r, []uint64{1, 2, 3}, []uint64{4})
		if r.waiting() != 0 || !time.Now().Equal(r.began) {
			t.Errorf("%d records wait after %s", r.waiting(), time.Since(r.began))
		}
		want := ship.Stats{Requests: 2, Records: 4, Events: 4, Bytes: 4 * int64(newRecord(1).Size())}
		if diff := cmp.Diff(want, r.Stats()); diff != "" {
			t.Errorf("stats (-want +got):\n%s", diff)
		}
		if log := r.warnings(); len(log) > 0 {
			t.Errorf("log: %v", log)
		}
	})
}

func TestRequestsAreWithinKinesisLimits(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, accept)
		large := make([]byte, pack.MaxRecord-len(newRecord(1).PartitionKey))
		var want []uint64
		for seq := range uint64(1200) {
			one := newRecord(seq + 1)
			if seq%40 == 0 {
				one.Data = large
			}
			r.add(one)
			want = append(want, seq+1)
		}
		r.Wake()
		synctest.Wait()
		var got []uint64
		for _, seqs := range r.kinesis.requests() {
			bytes := 0
			for _, seq := range seqs {
				if bytes += newRecord(seq).Size(); seq%40 == 1 {
					bytes += pack.MaxRecord - newRecord(seq).Size()
				}
			}
			if len(seqs) > kinesis.MaxRecords || bytes > kinesis.MaxBytes {
				t.Errorf("a request of %d records and %d bytes", len(seqs), bytes)
			}
			got = append(got, seqs...)
		}
		slices.Sort(got) // two requests may begin in the same instant
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("records that were sent (-want +got):\n%s", diff)
		}
	})
}

func TestOnlyFailedRecordsAreSentAgain(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, throttleOnly(2, 4), throttleOnly(2), accept)
		r.push(1, 2, 3, 4, 5)
		if err := r.flush(t, forever); err != nil {
			t.Fatal(err)
		}
		wantRequests(t, r, []uint64{1, 2, 3, 4, 5}, []uint64{2, 4}, []uint64{2})
		want := ship.Stats{Requests: 3, Records: 5, Events: 5, Bytes: 5 * int64(newRecord(1).Size()), Retried: 3}
		if diff := cmp.Diff(want, r.Stats()); diff != "" {
			t.Errorf("stats (-want +got):\n%s", diff)
		}
	})
}

func TestFailedRecordsStayBeforeNewerOnes(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, throttleOnly(2, 4), accept)
		r.push(1, 2, 3, 4)
		synctest.Wait() // the first request is over, and a pause begins
		r.push(5, 6)
		time.Sleep(forever)
		wantRequests(t, r, []uint64{1, 2, 3, 4}, []uint64{2, 4, 5, 6})
	})
}

func TestAFailedRequestIsSentAgainAsAWhole(t *testing.T) {
	mismatch := func(context.Context, []*pack.Record) ([]kinesis.Result, error) {
		return nil, &kinesis.Error{Class: kinesis.Transient, Status: 200, Err: errors.New("2 results for 3 records")}
	}
	for _, tt := range []struct {
		name    string
		failure answer
	}{
		{"throttled as a whole", throttle},
		{"throttled record by record", throttleEach},
		{"an internal failure", fail},
		{"no connection", unreachable},
		{"another number of results than records", mismatch},
		{"an error of no known kind", func(context.Context, []*pack.Record) ([]kinesis.Result, error) { return nil, errors.New("what?") }},
		{"an answer that comes too late", func(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
			time.Sleep(time.Second)
			return unreachable(ctx, records)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, tt.failure, tt.failure, accept)
				r.push(1, 2, 3)
				if err := r.flush(t, forever); err != nil {
					t.Fatal(err)
				}
				all := []uint64{1, 2, 3}
				wantRequests(t, r, all, all, all)
				if r.account.Total() != 0 {
					t.Errorf("%d events were dropped", r.account.Total())
				}
			})
		})
	}
}

func TestARequestIsCancelledAfterFiveSecondsWithoutAnAnswer(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, noAnswer, accept)
		r.push(1)
		time.Sleep(5*time.Second - 1)
		if r.Stats().Unknown != 0 {
			t.Error("the request is cancelled")
		}
		time.Sleep(2 * time.Nanosecond)
		synctest.Wait()
		if stats := r.Stats(); stats.Unknown != 1 || stats.Latency.Max != 5000 || len(r.kinesis.times()) != 1 {
			t.Errorf("stats: %+v after %d requests", stats, len(r.kinesis.times()))
		}
		time.Sleep(time.Second) // that was so long that the breaker is open
		wantRequests(t, r, []uint64{1}, []uint64{1})
	})
}

// spread plays the failure again and again, and returns the shortest and the
// longest of each of the first pauses.
func spread(t *testing.T, failure answer, pauses int) (least, most []time.Duration) {
	t.Helper()
	least, most = make([]time.Duration, pauses), make([]time.Duration, pauses)
	for round := range 60 {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, failure)
			r.push(1)
			var all []time.Duration
			for len(all) < pauses {
				time.Sleep(time.Second)
				all = r.kinesis.pauses()
			}
			for i := range pauses {
				if round == 0 {
					least[i] = all[i]
				}
				least[i], most[i] = min(least[i], all[i]), max(most[i], all[i])
			}
		})
	}
	return least, most
}

// The first waits are a random share of a time that doubles (AWS, "Exponential
// backoff and jitter": full jitter). If each attempt may store another copy, they are
// that time and up to a half more. Then the breaker opens. Throttled records only
// have to wait; otherwise the waits are those between probes, and half of each is
// random.
func TestWaitsDoubleWithJitter(t *testing.T) {
	const second = time.Second
	for _, tt := range []struct {
		name    string
		failure answer
		probes  []time.Duration
		least   time.Duration // of a probe's wait; its share
	}{
		{"throttled as a whole", throttle, []time.Duration{5 * second, 5 * second, 5 * second}, 0},
		{"throttled record by record", throttleEach, []time.Duration{5 * second, 5 * second, 5 * second}, 0},
		{"an internal failure", fail, []time.Duration{second, 2 * second, 4 * second, 8 * second, 16 * second, 30 * second, 30 * second, 30 * second}, 2},
		{"no connection", unreachable, []time.Duration{second, 2 * second, 4 * second, 8 * second, 16 * second, 30 * second, 30 * second, 30 * second}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bounds := []time.Duration{50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond}
			least, most := spread(t, tt.failure, len(bounds)+len(tt.probes))
			for i, bound := range append(bounds, tt.probes...) {
				floor := time.Duration(0)
				switch {
				case i >= len(bounds) && tt.least > 0:
					floor = bound / tt.least
				case tt.least > 0:
					floor, bound = bound, bound+bound/2
				}
				bound += time.Millisecond // a wait of nothing at all is made one of a millisecond
				// The middle is missed by chance once in 2^60 times.
				middle := (floor + bound) / 2
				if least[i] < floor || most[i] > bound || most[i] < middle || least[i] > middle {
					t.Errorf("wait %d: %s to %s, want all between %s and %s", i+1, least[i], most[i], floor, bound)
				}
			}
		})
	}
}

// A shard that is too hot leaves records behind while others are stored:
// that is no outage.
func TestWaitsStayShortWhileSomeRecordsGoThrough(t *testing.T) {
	var longest time.Duration
	inFakeTime(t, func(t *testing.T) {
		r := start(t, throttleOnly(1))
		r.push(1, 2)
		for seq := range uint64(4000) {
			time.Sleep(time.Millisecond)
			r.push(seq + 3) // so that one is stored each time
		}
		if r.Unavailable() {
			t.Error("unavailable")
		}
		for i, pause := range r.kinesis.pauses() {
			bound := min(50*time.Millisecond<<min(i, 2), 200*time.Millisecond) + time.Millisecond
			if pause > bound {
				t.Errorf("pause %d is %s, want at most %s", i+1, pause, bound)
			}
			longest = max(longest, pause)
		}
	})
	if longest < 100*time.Millisecond {
		t.Errorf("the longest pause is %s", longest)
	}
}

func TestASuccessResetsTheWaits(t *testing.T) {
	for range 20 {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, append(slices.Repeat([]answer{throttle}, 10), accept, throttle, accept)...)
			r.push(1)
			time.Sleep(forever)
			r.push(2)
			time.Sleep(51 * time.Millisecond)
			if n := len(r.kinesis.times()); n != 13 {
				t.Errorf("%d attempts, want 13: the first wait after a recovery was too long", n)
			}
		})
	}
}

func TestFlushDoesNotLengthenAPause(t *testing.T) {
	for range 40 {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, throttle, accept)
			r.push(1)
			synctest.Wait() // the first attempt has failed, and a pause of at most 51 ms begins
			if err := r.flush(t, forever); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(r.began); took > 51*time.Millisecond {
				t.Errorf("the pause was %s", took)
			}
		})
	}
}

func TestNewRecordsDoNotShortenAPause(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, deny, accept)
		for seq := range uint64(14) {
			r.push(seq + 1)
			time.Sleep(time.Second)
		}
		wantRequests(t, r, []uint64{1})
		time.Sleep(17 * time.Second)
		// The first one is a probe.
		wantRequests(t, r, []uint64{1}, []uint64{1}, []uint64{2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14})
	})
}

// A hold lasts half a second, and several attempts must fit in it.
func TestPausesAreAShareOfTheTimeThatACallerHas(t *testing.T) {
	t.Run("in Flush", func(t *testing.T) {
		for range 20 {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, throttle)
				r.add(newRecord(1)) // it is sent by Flush
				began := time.Now()
				if err := r.flush(t, 80*time.Millisecond); !errors.Is(err, ship.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("it returned %v", err)
				}
				times := r.kinesis.times()
				for i, pause := range r.kinesis.pauses() {
					most := began.Add(80*time.Millisecond).Sub(times[i])/4 + time.Millisecond
					if pause > most {
						t.Errorf("pause %d while a caller waits: %s, want at most %s", i+1, pause, most)
					}
				}
			})
		}
	})
	t.Run("in Drain", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, fail)
			r.push(1)
			time.Sleep(5*time.Minute + time.Nanosecond) // the pauses are long now
			before, began := len(r.kinesis.times()), time.Now()
			if err := r.drain(t, 3*time.Second); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("it returned %v", err)
			}
			held := r.kinesis.times()[before:]
			if len(held) < 5 || len(held) > 8 {
				t.Fatalf("%d attempts in 3 s", len(held))
			}
			if pause := held[0].Sub(began); pause > shortPause {
				t.Errorf("the pause that was to be long ended after another %s", pause)
			}
			for i := range held[1:] {
				if pause := held[i+1].Sub(held[i]); pause < 400*time.Millisecond || pause > 600*time.Millisecond {
					t.Errorf("pause %d while a caller waits: %s, want 400 to 600ms", i+1, pause)
				}
			}
		})
	})
}

func TestFlushReturnsWhenTheWaitingRecordsAreSent(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		slow := func(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
			time.Sleep(80 * time.Millisecond)
			return accept(ctx, records)
		}
		r := start(t, slow)
		r.push(1)
		time.Sleep(50 * time.Millisecond)
		r.push(2)
		go func() {
			time.Sleep(40 * time.Millisecond)
			r.push(3) // no caller waits for this one
		}()
		if err := r.flush(t, forever); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(r.began); took != 160*time.Millisecond {
			t.Errorf("Flush returned after %s, want 160ms", took)
		}
	})
}

func TestFlushReturnsAtOnceIfNoRecordWaits(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, accept)
		if err := r.flush(t, forever); err != nil || !time.Now().Equal(r.began) {
			t.Errorf("Flush returned %v after %s", err, time.Since(r.began))
		}
	})
}

func TestFlushReturnsAtItsDeadline(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script answer
		hold   time.Duration
	}{
		{"while Kinesis is silent", noAnswer, 1234 * time.Millisecond},
		{"while Kinesis throttles", slowly(throttle), 450 * time.Millisecond},
		{"while Kinesis fails", slowly(fail), 450 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, tt.script)
				r.push(1)
				began := time.Now()
				if err := r.flush(t, tt.hold); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Flush returned %v", err)
				}
				if took := time.Since(began); took != tt.hold {
					t.Errorf("Flush returned after %s, want %s", took, tt.hold)
				}
				if r.waiting() != 1 {
					t.Error("the record does not wait any more")
				}
			})
		})
	}
}

// slowly answers after 100 ms.
func slowly(a answer) answer {
	return func(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
		time.Sleep(100 * time.Millisecond)
		return a(ctx, records)
	}
}

func TestRecordsThatAFlushDidNotSendAreSentLater(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, noAnswer, accept)
		r.push(1)
		_ = r.flush(t, time.Second)
		time.Sleep(forever)
		wantRequests(t, r, []uint64{1}, []uint64{1})
	})
}

func TestARefusalEndsAFlushAtOnce(t *testing.T) {
	for _, tt := range []struct {
		name     string
		refusal  answer
		attempts int
	}{
		{"access denied", deny, 1},
		{"no such stream", refuse(kinesis.Denied, "ResourceNotFoundException"), 1},
		{"credentials that do not work, tried twice", expired, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, tt.refusal)
				r.push(1)
				if err := r.flush(t, forever); !errors.Is(err, ship.ErrUnavailable) {
					t.Errorf("Flush returned %v, want ErrUnavailable", err)
				}
				// Until the pause ends there is no hold and no attempt.
				if err := r.flush(t, forever); !errors.Is(err, ship.ErrUnavailable) {
					t.Errorf("a second Flush returned %v, want ErrUnavailable", err)
				}
				if took := time.Since(r.began); took != 0 {
					t.Errorf("two Flushes took %s", took)
				}
				time.Sleep(15*time.Second - 1)
				if n := len(r.kinesis.times()); n != tt.attempts {
					t.Errorf("%d attempts within 15 s, want %d", n, tt.attempts)
				}
				time.Sleep(15*time.Second + 1)
				if n := len(r.kinesis.times()); n != 2*tt.attempts {
					t.Errorf("%d attempts within 30 s, want %d", n, 2*tt.attempts)
				}
				if r.waiting() != 1 {
					t.Error("the record was dropped")
				}
			})
		})
	}
}

func TestARefusalEndsAFlushThatWaits(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		slowly := func(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
			time.Sleep(time.Second)
			return deny(ctx, records)
		}
		r := start(t, slowly)
		r.push(1)
		time.Sleep(time.Millisecond) // the request is in flight
		if err := r.flush(t, forever); !errors.Is(err, ship.ErrUnavailable) || time.Since(r.began) != time.Second {
			t.Errorf("Flush returned %v after %s", err, time.Since(r.began))
		}
		// That is the answer: Flush does not wait for another attempt.
		time.Sleep(14 * time.Second)
		wantRequests(t, r, []uint64{1})
	})
}

func TestDrainMakesOneMoreAttempt(t *testing.T) {
	t.Run("and it works", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, deny, accept)
			r.push(1)
			time.Sleep(time.Second)
			began := time.Now()
			if err := r.drain(t, forever); err != nil {
				t.Errorf("Drain returned %v", err)
			}
			if took := time.Since(began); took > shortPause {
				t.Errorf("Drain took %s", took)
			}
			wantRequests(t, r, []uint64{1}, []uint64{1})
		})
	})
	t.Run("and it does not", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, deny)
			r.push(1)
			time.Sleep(time.Second)
			began := time.Now()
			if err := r.drain(t, forever); !errors.Is(err, ship.ErrUnavailable) {
				t.Errorf("Drain returned %v, want ErrUnavailable", err)
			}
			if took := time.Since(began); took > shortPause {
				t.Errorf("Drain took %s", took)
			}
			wantRequests(t, r, []uint64{1}, []uint64{1})
		})
	})
	t.Run("and it takes too long", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, deny, noAnswer)
			r.push(1)
			time.Sleep(time.Second)
			began := time.Now()
			if err := r.drain(t, 500*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Drain returned %v", err)
			}
			if took := time.Since(began); took != 500*time.Millisecond {
				t.Errorf("Drain took %s, want 500ms", took)
			}
		})
	})
}

func TestARefusalIsOverWhenKinesisAcceptsRecordsAgain(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, deny, accept)
		r.push(1, 2)
		synctest.Wait()
		for len(r.kinesis.times()) < 2 {
			if !r.Unavailable() {
				t.Fatal("available while Kinesis refuses")
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
		}
		time.Sleep(time.Millisecond)
		wantRequests(t, r, []uint64{1, 2}, []uint64{1}, []uint64{2})
		if r.Unavailable() {
			t.Error("unavailable though all is in Kinesis")
		}
		r.push(3)
		began := time.Now()
		if err := r.flush(t, forever); err != nil || time.Since(began) > shortPause {
			t.Errorf("Flush returned %v after %s", err, time.Since(began))
		}
	})
	t.Run("but not while it is busy", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, deny, throttleEach, accept)
			r.push(1, 2)
			for len(r.kinesis.times()) < 2 {
				time.Sleep(time.Millisecond)
				synctest.Wait()
			}
			began := time.Now()
			if err := r.flush(t, forever); !errors.Is(err, ship.ErrUnavailable) || time.Since(began) > 0 {
				t.Errorf("Flush returned %v after %s", err, time.Since(began))
			}
			// But the error may pass: the shipper soon sends all records again.
			time.Sleep(5*time.Second + time.Millisecond)
			wantRequests(t, r, []uint64{1, 2}, []uint64{1}, []uint64{1, 2})
		})
	})
	t.Run("all but one that is refused for what it is", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, deny, refuseInvalid(2))
			r.push(1, 2)
			time.Sleep(time.Minute)
			r.push(3)
			if err := r.flush(t, forever); err != nil {
				t.Errorf("Flush returned %v", err)
			}
			if diff := cmp.Diff([]uint64{1, 3}, r.kinesis.accepted()); diff != "" {
				t.Errorf("stored (-want +got):\n%s", diff)
			}
		})
	})
}

func TestExpiredCredentialsAreReadAgainAtOnce(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, expired, accept)
		r.push(1)
		if err := r.flush(t, forever); err != nil {
			t.Fatal(err)
		}
		wantRequests(t, r, []uint64{1}, []uint64{1})
		if took := time.Since(r.began); took != 0 || len(r.warnings()) > 0 {
			t.Errorf("it took %s, and the log has %v", took, r.warnings())
		}
	})
}

func TestABrokenConnectionThatWasUsedBeforeIsReplacedAtOnce(t *testing.T) {
	t.Run("and the new one works", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, breakConnection(true), accept)
			r.push(1)
			if err := r.flush(t, forever); err != nil {
				t.Fatal(err)
			}
			wantRequests(t, r, []uint64{1}, []uint64{1})
			if diff := cmp.Diff([]int{1}, r.kinesis.dropped()); diff != "" || time.Since(r.began) != 0 {
				t.Errorf("after %s; old connections dropped after requests (-want +got):\n%s", time.Since(r.began), diff)
			}
		})
	})
	t.Run("but only once", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, breakConnection(true))
			r.push(1)
			synctest.Wait()
			wantRequests(t, r, []uint64{1}, []uint64{1})
		})
	})
	t.Run("a new connection that breaks is not", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, unreachable)
			r.push(1)
			synctest.Wait()
			wantRequests(t, r, []uint64{1})
			if len(r.kinesis.dropped()) > 0 {
				t.Error("connections were dropped")
			}
		})
	})
}

func TestOnlyTheInvalidRecordIsDropped(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		losses := []ledger.Loss{{First: 90, Last: 95, Count: 6, Bytes: 60, Reason: ledger.BufferFull}}
		r := start(t, refuseInvalid(3))
		for seq := range uint64(5) {
			one := newRecord(seq + 1)
			if seq+1 == 3 {
				one.First, one.Last, one.Events, one.Lines, one.Losses = 3, 4, 2, 20, losses
			} else if seq+1 > 3 {
				one.First, one.Last = seq+2, seq+2
			}
			r.add(one)
		}
		if err := r.flush(t, forever); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]uint64{1, 2, 5, 6}, r.kinesis.accepted()); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}
		want := append([]ledger.Loss{{First: 3, Last: 4, Count: 2, Bytes: 20, Reason: ledger.Rejected}}, losses...)
		if diff := cmp.Diff(want, r.env.Ledger.TakePending()); diff != "" {
			t.Errorf("pending losses (-want +got):\n%s", diff)
		}
		if r.account.Total() != 2 || r.Stats().Rejected != 2 || r.Stats().Records != 4 {
			t.Errorf("%d events lost, stats %+v", r.account.Total(), r.Stats())
		}
		if took := time.Since(r.began); took != 0 {
			t.Errorf("it took %s", took)
		}
		log := r.warnings()
		if len(log) != 1 || log[0].Attrs["first_seq"] != uint64(3) || log[0].Attrs["last_seq"] != uint64(4) || log[0].Attrs["events"] != int64(2) {
			t.Errorf("log: %v", log)
		}
	})
}

func TestABisectionStopsWhenKinesisFails(t *testing.T) {
	for _, tt := range []struct {
		name    string
		failure answer
	}{
		{"throttled", throttle}, {"an internal failure", fail}, {"denied", deny}, {"no connection", unreachable},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, accept, refuseInvalid(3), tt.failure, refuseInvalid(3))
				r.push(9)
				synctest.Wait()
				r.push(1, 2, 3, 4)
				synctest.Wait()
				wantRequests(t, r, []uint64{9}, []uint64{1, 2, 3, 4}, []uint64{1, 2})
				time.Sleep(forever)
				if diff := cmp.Diff([]uint64{9, 1, 2, 4}, r.kinesis.accepted()); diff != "" || r.account.Total() != 1 {
					t.Errorf("%d dropped; stored (-want +got):\n%s", r.account.Total(), diff)
				}
			})
		})
	}
}

// In a bisection, as elsewhere, a record that is throttled is not sent again at
// once, and is no sign that Kinesis accepts records again.
func TestRecordsThatAreThrottledInABisectionWait(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		script := []answer{accept}
		script = append(script, slices.Repeat([]answer{throttle}, 5)...)
		script = append(script, refuseInvalid(1), refuseInvalid(1), throttleEach)
		script = append(script, slices.Repeat([]answer{throttle}, 5)...)
		script = append(script, accept)
		r := start(t, script...)
		r.push(9)
		synctest.Wait()
		r.push(1, 2, 3)
		time.Sleep(forever)
		all, rest := []uint64{1, 2, 3}, []uint64{2, 3}
		wantRequests(t, r, []uint64{9}, all, all, all, all, all, all, []uint64{1}, rest, rest, rest, rest, rest, rest, rest)
		times := r.kinesis.times()
		if wait := times[9].Sub(times[8]); wait == 0 {
			t.Error("the records that were throttled are sent again at once")
		}
		if diff := cmp.Diff([]string{"ERROR throttled", "ERROR", "WARN"}, summaries(r.warnings())); diff != "" {
			t.Errorf("log: the outage, the record that is dropped, the end of the outage (-want +got):\n%s", diff)
		}
	})
}

func TestExactlyTheInvalidRecordsAreDropped(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(rt, "records")
		isInvalid := rapid.SliceOfN(rapid.Bool(), n, n).Draw(rt, "invalid")
		if rapid.Bool().Draw(rt, "few") {
			more := rapid.SliceOfN(rapid.IntRange(0, 9), n, n).Draw(rt, "rarely")
			for i := range isInvalid {
				isInvalid[i] = isInvalid[i] && more[i] == 0
			}
		}
		// Some requests fail for another reason in between.
		faults := rapid.SliceOfN(rapid.SampledFrom([]answer{nil, nil, nil, fail, throttle, throttleEach, expired, breakConnection(true)}), 0, 30).Draw(rt, "faults")

		var invalid, fine []uint64
		var want []ledger.Loss
		for i, is := range isInvalid {
			seq := uint64(i + 1)
			switch last := len(want) - 1; {
			case !is:
				fine = append(fine, seq)
				continue
			case last >= 0 && want[last].Last == seq-1:
				want[last].Last, want[last].Count, want[last].Bytes = seq, want[last].Count+1, want[last].Bytes+10
			default:
				want = append(want, ledger.Loss{First: seq, Last: seq, Count: 1, Bytes: 10, Reason: ledger.Rejected})
			}
			invalid = append(invalid, seq)
		}
		// One record is accepted before all others, which proves that the requests
		// are right.
		const proof = 1000
		fine = append(fine, proof)
		script := []answer{accept}
		for _, fault := range faults {
			if fault == nil {
				fault = refuseInvalid(invalid...)
			}
			script = append(script, fault)
		}
		script = append(script, refuseInvalid(invalid...))

		var stored []uint64
		var losses []ledger.Loss
		var waiting int
		var stats ship.Stats
		inFakeTime(t, func(t *testing.T) {
			r := start(t, script...)
			r.push(proof)
			synctest.Wait()
			for seq := range uint64(n) {
				r.add(newRecord(seq + 1))
			}
			r.Wake()
			time.Sleep(forever)
			synctest.Wait()
			stored, losses, waiting, stats = r.kinesis.accepted(), r.env.Ledger.TakePending(), r.waiting(), r.Stats()
		})
		slices.Sort(stored)
		if diff := cmp.Diff(fine, stored); diff != "" {
			rt.Fatalf("stored (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, losses); diff != "" {
			rt.Fatalf("dropped (-want +got):\n%s", diff)
		}
		if waiting != 0 || int(stats.Records) != len(fine) || int(stats.Rejected) != len(invalid) {
			rt.Fatalf("%d records wait; stats %+v, want %d stored and %d rejected", waiting, stats, len(fine), len(invalid))
		}
	})
}

// A request may be refused for what it has in common with all others, such as
// the stream's name. That is not the records' fault.
func TestNoRecordIsDroppedBeforeKinesisHasAcceptedOne(t *testing.T) {
	refusal := refuse(kinesis.Invalid, "InvalidArgumentException")
	inFakeTime(t, func(t *testing.T) {
		r := start(t, refusal)
		r.push(1, 2, 3)
		if err := r.flush(t, forever); !errors.Is(err, ship.ErrUnavailable) {
			t.Errorf("Flush returned %v, want ErrUnavailable", err)
		}
		synctest.Wait()
		log := r.warnings()
		if len(log) != 1 {
			t.Fatalf("log: %v", log)
		}
		if text, _ := log[0].Attrs["error"].(string); !strings.Contains(text, "InvalidArgumentException") {
			t.Errorf("the log has the cause %q", text)
		}
		if fix, _ := log[0].Attrs["fix"].(string); strings.Contains(fix, "network") {
			t.Errorf("Kinesis answered, but the log has the fix %q", fix)
		}
		time.Sleep(forever)
		if r.waiting() != 3 || r.account.Total() != 0 {
			t.Errorf("%d records wait, %d events were dropped", r.waiting(), r.account.Total())
		}
		r.kinesis.setAnswer(accept)
		time.Sleep(30 * time.Second)
		if diff := cmp.Diff([]uint64{1, 2, 3}, r.kinesis.accepted()); diff != "" {
			t.Errorf("stored (-want +got):\n%s", diff)
		}
	})
}

func TestAThrottledRecordProvesThatRequestsAreAccepted(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, refuseInvalid(1), refuseInvalid(1), throttleEach, refuseInvalid(1))
		r.push(1, 2)
		if err := r.flush(t, forever); err != nil {
			t.Errorf("Flush returned %v", err)
		}
		if diff := cmp.Diff([]uint64{2}, r.kinesis.accepted()); diff != "" || r.account.Total() != 1 || time.Since(r.began) > time.Second {
			t.Errorf("after %s, %d dropped; stored (-want +got):\n%s", time.Since(r.began), r.account.Total(), diff)
		}
	})
}

// Whatever Kinesis answers for a while, every record is stored once in the end.
func TestEveryRecordIsStoredOnce(t *testing.T) {
	faults := []answer{accept, throttle, throttleEach, fail, deny, expired, unreachable, breakConnection(true), noAnswer, throttleOnly(1, 3, 5, 7), throttleOnly(2, 3, 4)}
	rapid.Check(t, func(rt *rapid.T) {
		script := append(rapid.SliceOfN(rapid.SampledFrom(faults), 0, 20).Draw(rt, "script"), accept)
		bursts := rapid.SliceOfN(rapid.IntRange(0, 4), 1, 6).Draw(rt, "bursts")
		pauses := rapid.SliceOfN(rapid.IntRange(0, 20_000), len(bursts), len(bursts)).Draw(rt, "milliseconds between")
		flushes := rapid.SliceOfN(rapid.Bool(), len(bursts), len(bursts)).Draw(rt, "flushes")

		var want, stored []uint64
		var requests [][]uint64
		var lost int64
		inFakeTime(t, func(t *testing.T) {
			r := start(t, script...)
			for i, n := range bursts {
				for range n {
					want = append(want, uint64(len(want)+1))
					r.push(want[len(want)-1])
				}
				if flushes[i] {
					_ = r.flush(t, 500*time.Millisecond)
				}
				time.Sleep(time.Duration(pauses[i]) * time.Millisecond)
			}
			time.Sleep(forever)
			synctest.Wait()
			stored, requests, lost = r.kinesis.accepted(), r.kinesis.requests(), r.account.Total()
		})
		slices.Sort(stored)
		if diff := cmp.Diff(want, stored); diff != "" || lost > 0 {
			rt.Fatalf("%d dropped; stored (-want +got):\n%s", lost, diff)
		}
		for _, seqs := range requests {
			if !slices.IsSorted(seqs) {
				rt.Fatalf("a request out of order: %v", seqs)
			}
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script answer
		push   []uint64
	}{
		{"with nothing to do", accept, nil},
		{"in a request", noAnswer, []uint64{1}},
		{"in a pause", deny, []uint64{1}},
		{"in a search", refuseLargeOnly, []uint64{1, 2, 3, 4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, tt.script)
				r.push(tt.push...)
				time.Sleep(100 * time.Millisecond)
				began := time.Now()
				r.stop()
				if took := time.Since(began); took != 0 {
					t.Errorf("Run ended after %s", took)
				}
				if r.waiting() != len(tt.push) || len(r.kinesis.accepted()) > 0 {
					t.Errorf("%d records wait, want %d", r.waiting(), len(tt.push))
				}
				// The end of Run is not a failure of Kinesis.
				for _, e := range r.warnings() {
					if tt.name != "in a pause" {
						t.Errorf("log: %v", e)
					}
				}
			})
		})
	}
}

func TestARequestThatRunCancelsIsNoFailure(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, fail, fail, fail, fail, noAnswer) // one more failure would be logged
		r.push(1)
		time.Sleep(2 * time.Second)
		wantRequests(t, r, slices.Repeat([][]uint64{{1}}, 5)...)
		r.stop()
		if log := r.warnings(); len(log) > 0 {
			t.Errorf("log: %v", log)
		}
	})
}

// refuseLargeOnly refuses requests of more than two records as invalid, and does not
// answer others.
func refuseLargeOnly(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
	if len(records) > 2 {
		return refuse(kinesis.Invalid, "ValidationException")(ctx, records)
	}
	return noAnswer(ctx, records)
}
