package ship_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/ship"
)

// until waits until so many requests were made, and for their effects.
func (r *fixture) until(requests int) {
	for len(r.kinesis.times()) < requests {
		time.Sleep(time.Millisecond)
	}
	synctest.Wait()
}

// after answers so many requests in one way, and the next ones in another.
func after(n int, first answer, then ...answer) []answer {
	return append(slices.Repeat([]answer{first}, n), then...)
}

// large pushes records of 32 KiB.
func (r *fixture) large(from, n uint64) {
	for seq := from; seq < from+n; seq++ {
		one := newRecord(seq)
		one.Data = make([]byte, 32<<10-len(one.PartitionKey))
		r.add(one)
	}
	r.Wake()
}

func TestFiveFailuresInARowEndTheHolds(t *testing.T) {
	for _, tt := range []struct {
		name    string
		failure answer
	}{{"throttled", throttle}, {"throttled record by record", throttleEach}, {"an internal failure", fail}, {"no connection", unreachable}} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, tt.failure)
				r.push(1)
				for n := 1; n <= 10; n++ {
					r.until(n)
					if got, want := r.Unavailable(), n >= 5; got != want {
						t.Errorf("after %d failures, Unavailable is %t", n, got)
					}
				}
				requests := len(r.kinesis.times())
				if err := r.flush(t, forever); !errors.Is(err, ship.ErrUnavailable) {
					t.Errorf("Flush returned %v", err)
				}
				synctest.Wait()
				if n := len(r.kinesis.times()); n != requests {
					t.Errorf("Flush made %d requests", n-requests)
				}
			})
		})
	}
}

func TestThreeSecondsOfFailureEndTheHolds(t *testing.T) {
	for _, tt := range []struct {
		takes  time.Duration
		opened int // by which failure
	}{{time.Second, 3}, {1400 * time.Millisecond, 3}, {1500 * time.Millisecond, 2}, {2990 * time.Millisecond, 2}, {3 * time.Second, 1}, {10 * time.Millisecond, 5}} {
		t.Run(tt.takes.String(), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, delayed(tt.takes, fail))
				r.push(1)
				synctest.Wait()
				for n := 1; n <= tt.opened; n++ {
					r.until(n)
					began := r.kinesis.times()[n-1]
					time.Sleep(time.Until(began.Add(tt.takes - time.Microsecond)))
					if r.Unavailable() {
						t.Fatalf("unavailable before the %d. failure", n)
					}
					time.Sleep(2 * time.Microsecond)
					synctest.Wait()
				}
				if !r.Unavailable() {
					t.Errorf("available after %d failures and %s", tt.opened, time.Since(r.began))
				}
			})
		})
	}
}

func TestARefusalEndsTheHoldsAtOnce(t *testing.T) {
	for _, refusal := range []answer{deny, expired} {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, refusal)
			r.push(1)
			synctest.Wait()
			if !r.Unavailable() {
				t.Error("available")
			}
		})
	}
}

func TestFailuresWithASuccessBetweenThemAreNotInARow(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, append(after(4, fail, accept), after(4, fail, accept)...)...)
		for seq := range uint64(2) {
			r.push(seq + 1)
			for range 2000 {
				if time.Sleep(time.Millisecond); r.Unavailable() {
					t.Fatal("unavailable")
				}
			}
		}
		if n := len(r.kinesis.times()); n != 10 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestFlushReturnsWhenTheBreakerOpens(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, fail)
		r.push(1)
		if err := r.flush(t, forever); !errors.Is(err, ship.ErrUnavailable) {
			t.Errorf("Flush returned %v", err)
		}
		if n := len(r.kinesis.times()); n != 5 || time.Since(r.began) != r.kinesis.times()[4].Sub(r.began) {
			t.Errorf("Flush returned after %d requests and %s", n, time.Since(r.began))
		}
	})
}

func TestAProbeIsOneRecord(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, fail)
		r.push(1, 2, 3)
		r.until(8)
		for i, seqs := range r.kinesis.requests() {
			want := []uint64{1, 2, 3}
			if i >= 5 {
				want = []uint64{1}
			}
			if diff := cmp.Diff(want, seqs); diff != "" {
				t.Errorf("request %d (-want +got):\n%s", i+1, diff)
			}
		}
	})
}

// A throttled record is accepted the sooner the smaller its request is.
func TestRecordsThatAreThrottledForLongAreSentInSmallerRequests(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, throttle)
		r.large(1, 100)
		r.until(14)
		var sizes []int
		for _, c := range r.kinesis.all() {
			sizes = append(sizes, c.bytes>>10)
		}
		want := []int{2048, 2048, 2048, 2048, 2048, 1024, 512, 256, 128, 64, 64, 64, 64, 64}
		if diff := cmp.Diff(want, sizes); diff != "" {
			t.Errorf("KiB of the requests (-want +got):\n%s", diff)
		}
	})
}

func TestABacklogIsSentNoFasterThanAShardAcceptsIt(t *testing.T) {
	const records = 320 // of 32 KiB: 10 MiB
	var shortest, longest time.Duration
	for range 20 {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, after(5, fail, accept)...)
			r.large(1, records)
			r.until(6) // a probe
			recovered := r.kinesis.times()[5]
			for r.waiting() > 0 {
				if !r.Unavailable() {
					t.Fatalf("available while a backlog of %d records is sent", r.waiting())
				}
				time.Sleep(10 * time.Millisecond)
				synctest.Wait()
			}
			var sizes []int
			for _, c := range r.kinesis.all()[5:] {
				sizes = append(sizes, c.bytes>>10)
			}
			sum := 32 + 64 + 128
			want := []int{32, 64, 128}
			for ; sum+256 <= records*32; sum += 256 {
				want = append(want, 256)
			}
			if diff := cmp.Diff(append(want, records*32-sum), sizes); diff != "" {
				t.Errorf("KiB of the requests (-want +got):\n%s", diff)
			}
			for i, pause := range r.kinesis.pauses()[5:] {
				full := time.Duration(sizes[i]) * time.Second / 1024
				if pause < full || pause > full*3/2+time.Nanosecond {
					t.Errorf("pause %d after %d KiB is %s", i+1, sizes[i], pause)
				}
			}
			times := r.kinesis.times()
			took := times[len(times)-1].Sub(recovered)
			if shortest == 0 || took < shortest {
				shortest = took
			}
			longest = max(longest, took)
			if r.Unavailable() {
				t.Error("unavailable though the backlog is gone")
			}
			// What comes now is no backlog.
			began := time.Now()
			r.large(1000, 64)
			if err := r.flush(t, forever); err != nil || time.Since(began) > 0 {
				t.Errorf("Flush returned %v after %s", err, time.Since(began))
			}
		})
	}
	if shortest < 10*time.Second || longest > 15*time.Second || longest-shortest < 100*time.Millisecond {
		t.Errorf("10 MiB took %s to %s", shortest, longest)
	}
}

// A backlog is what waited when Kinesis began to accept records again. What
// comes after that does not keep the breaker from closing.
func TestNewRecordsDoNotProlongARecovery(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, after(5, fail, accept)...)
		r.large(1, 32)
		r.until(6)
		over := false
		for n := uint64(0); !over && n < 3000; n++ {
			r.large(1000+8*n, 8) // more than a shard takes
			time.Sleep(100 * time.Millisecond)
			over = !r.Unavailable()
		}
		if !over {
			t.Errorf("unavailable after %s of success", time.Since(r.began))
		}
	})
}

func TestTheBreakerClosesAtOnceIfNoOtherRecordWaits(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, after(5, fail, accept)...)
		r.push(1)
		r.until(6)
		if r.Unavailable() {
			t.Error("unavailable")
		}
	})
}

func TestARecoveryThatFailsIsAnOutageAgain(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, append(after(5, fail), accept, accept, fail, fail, accept)...)
		r.large(1, 100)
		r.until(8)
		if !r.Unavailable() {
			t.Error("available")
		}
		r.until(9)
		r.until(10)
		all := r.kinesis.all()
		if diff := cmp.Diff([]int{32, 64, 128, 32, 32}, []int{all[5].bytes >> 10, all[6].bytes >> 10, all[7].bytes >> 10, all[8].bytes >> 10, all[9].bytes >> 10}); diff != "" {
			t.Errorf("KiB from the first probe on (-want +got):\n%s", diff)
		}
		if pause := r.kinesis.pauses()[7]; pause < 500*time.Millisecond || pause > time.Second {
			t.Errorf("the next probe came after %s", pause)
		}
		if pause := r.kinesis.pauses()[8]; pause < time.Second || pause > 2*time.Second {
			t.Errorf("the one after that came after %s", pause)
		}
		time.Sleep(forever)
		if diff := cmp.Diff([]string{"ERROR transient", "WARN"}, summaries(r.warnings())); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}

func TestAThrottledRecoveryGoesOnWithSmallerRequests(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		some := func(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
			return throttleOnly(records[0].First)(ctx, records)
		}
		r := start(t, append(after(5, fail), accept, accept, accept, accept, some, accept)...)
		r.large(1, 100)
		r.until(11)
		var sizes []int
		for _, c := range r.kinesis.all()[5:] {
			sizes = append(sizes, c.bytes>>10)
		}
		if diff := cmp.Diff([]int{32, 64, 128, 256, 256, 128}, sizes); diff != "" {
			t.Errorf("KiB from the first probe on (-want +got):\n%s", diff)
		}
		if !r.Unavailable() {
			t.Error("available")
		}
	})
}

// At the end of the environment there is only so much time.
func TestDrainDoesNotPaceABacklog(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, after(5, fail, accept)...)
		r.large(1, 640)
		r.until(6)
		began := time.Now()
		if err := r.drain(t, 2*time.Second); err != nil || time.Since(began) > shortPause {
			t.Errorf("Drain returned %v after %s, and %d records wait", err, time.Since(began), r.waiting())
		}
	})
}

// hold flushes one more record and checks the error and the exact time that it takes.
func (r *fixture) hold(t *testing.T, seq uint64, atMost time.Duration, want error, takes time.Duration) {
	t.Helper()
	r.push(seq)
	began := time.Now()
	if err := r.flush(t, atMost); !errors.Is(err, want) || time.Since(began) != takes {
		t.Errorf("hold %d: Flush returned %v after %s, want %v after %s", seq, err, time.Since(began), want, takes)
	}
}

func TestTwoUnproductiveHoldsEndTheHolds(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		const most = 500 * time.Millisecond
		r := start(t, delayed(4*time.Second, accept), accept)
		r.hold(t, 1, most, context.DeadlineExceeded, most)
		if r.Unavailable() {
			t.Error("unavailable after one unproductive hold")
		}
		r.hold(t, 2, most, context.DeadlineExceeded, most)
		if !r.Unavailable() {
			t.Error("available after two unproductive holds")
		}
		r.hold(t, 3, most, ship.ErrUnavailable, 0)
		time.Sleep(3 * time.Second) // the first request is answered, and then the others, at once
		synctest.Wait()
		if r.Unavailable() {
			t.Error("unavailable though the last answer came at once")
		}
		r.kinesis.setAnswer(delayed(4*time.Second, accept))
		r.hold(t, 4, most, context.DeadlineExceeded, most)
		r.hold(t, 5, most, context.DeadlineExceeded, most)
		r.hold(t, 6, most, ship.ErrUnavailable, 0)
	})
}

// If Kinesis answers, but later than a hold may last, there are only two holds a
// minute.
func TestAKinesisThatIsSlowerThanAHoldIsNotWaitedFor(t *testing.T) {
	const most, slow = 200 * time.Millisecond, 1500 * time.Millisecond
	for _, tt := range []struct {
		name  string
		every time.Duration // an invocation
	}{{"of a busy function", 300 * time.Millisecond}, {"of a rare one", 5 * time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, delayed(slow, accept))
				var held []time.Duration // when an unproductive hold began
				seq := uint64(0)
				for ; time.Since(r.began) < 10*time.Minute; seq++ {
					r.push(seq)
					began := time.Now()
					switch err := r.flush(t, most); {
					case errors.Is(err, context.DeadlineExceeded) && time.Since(began) == most:
						held = append(held, began.Sub(r.began))
					case !errors.Is(err, ship.ErrUnavailable) || time.Since(began) > 0:
						t.Errorf("hold %d: Flush returned %v after %s", seq, err, time.Since(began))
					}
					time.Sleep(tt.every - time.Since(began))
				}
				if len(held) < 2 || held[0] != 0 || held[1] != tt.every || len(held) > 20 {
					t.Errorf("unproductive holds at %v", held)
				}
				for i := range max(len(held)-2, 0) {
					if pause := held[i+2] - held[i]; pause < time.Minute {
						t.Errorf("three unproductive holds within %s: at %v", pause, held[i:i+3])
					}
				}
				if stored := len(r.kinesis.accepted()); uint64(stored) < seq-10 || len(r.warnings()) > 0 {
					t.Errorf("%d records of %d were stored meanwhile; log: %v", stored, seq, r.warnings())
				}
				r.exhaustHolds(t, most)
				time.Sleep(2 * slow) // nothing is in flight any more
				r.kinesis.setAnswer(delayed(most, accept))
				r.push(seq)
				time.Sleep(most)
				synctest.Wait()
				if r.Unavailable() {
					t.Error("unavailable though the last answer was fast enough")
				}
				r.kinesis.setAnswer(delayed(most/2, accept))
				r.hold(t, seq+1, most, nil, most/2)
			})
		})
	}
}

// exhaustHolds makes unproductive holds for a slow Kinesis until there are no more
// holds.
func (r *fixture) exhaustHolds(t *testing.T, most time.Duration) {
	t.Helper()
	for n := uint64(0); n < 2 && !r.Unavailable(); n++ {
		r.push(1_000_000 + n)
		_ = r.flush(t, most)
	}
	if !r.Unavailable() {
		t.Error("available after two unproductive holds")
	}
}

// Holds may have different times: an answer within the longest of the unproductive
// holds is worth waiting for.
func TestAShortUnproductiveHoldDoesNotEndTheHoldsForever(t *testing.T) {
	const most = 500 * time.Millisecond
	for _, tt := range []struct {
		name         string
		unproductive func(t *testing.T, r *fixture)
		over         time.Duration // the latest time at which it is known that answers are fast again
	}{
		{"two that are long", func(t *testing.T, r *fixture) {
			r.hold(t, 1, most, context.DeadlineExceeded, most)
			r.hold(t, 2, most, context.DeadlineExceeded, most)
		}, 5 * time.Second},
		{"one that has no time left", func(t *testing.T, r *fixture) {
			r.hold(t, 1, most, context.DeadlineExceeded, most)
			r.hold(t, 2, 0, context.DeadlineExceeded, 0)
		}, 5 * time.Second},
		{"one that has next to none", func(t *testing.T, r *fixture) {
			r.hold(t, 1, most, context.DeadlineExceeded, most)
			r.hold(t, 2, time.Millisecond, context.DeadlineExceeded, time.Millisecond)
		}, 5 * time.Second},
		{"both have next to none", func(t *testing.T, r *fixture) {
			r.hold(t, 1, time.Millisecond, context.DeadlineExceeded, time.Millisecond)
			r.hold(t, 2, time.Millisecond, context.DeadlineExceeded, time.Millisecond)
		}, 61 * time.Second}, // other holds may have more time
		{"one that a refusal ends", func(t *testing.T, r *fixture) {
			r.kinesis.setAnswer(delayed(2*time.Second, deny))
			r.hold(t, 1, most, context.DeadlineExceeded, most)
			time.Sleep(2*time.Second - most - time.Millisecond)
			r.hold(t, 2, most, ship.ErrUnavailable, time.Millisecond)
		}, 33 * time.Second},
		{"two that a refusal ends", func(t *testing.T, r *fixture) {
			for seq := range uint64(2) {
				r.kinesis.setAnswer(deny)
				r.hold(t, seq, most, ship.ErrUnavailable, 0)
				r.kinesis.setAnswer(delayed(30*time.Millisecond, accept))
				time.Sleep(31 * time.Second) // a probe succeeds
			}
		}, 62 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, delayed(4*time.Second, accept))
				tt.unproductive(t, r)
				r.kinesis.setAnswer(delayed(30*time.Millisecond, accept))
				for seq := uint64(10); time.Since(r.began) < tt.over; seq++ {
					r.push(seq)
					time.Sleep(500 * time.Millisecond)
				}
				if r.Unavailable() {
					t.Error("unavailable, though answers take 30ms")
				}
			})
		})
	}
}

func TestAHoldIsProductiveIfARequestSucceeds(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		// Each hold ends in the second of its requests.
		r := start(t, delayed(300*time.Millisecond, accept))
		for seq := range uint64(10) {
			r.push(2 * seq)
			time.Sleep(time.Millisecond) // it is in flight
			r.push(2*seq + 1)
			if err := r.flush(t, 500*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Flush returned %v", err)
			}
			if r.Unavailable() {
				t.Fatalf("unavailable after hold %d", seq+1)
			}
			time.Sleep(time.Second)
		}
	})
}

// A record of a shard that is too hot may make each hold last until its end.
func TestAHoldIsProductiveIfSomeRecordsAreSent(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, slowly(throttleOnly(1)))
		r.push(1)
		feeding, stop := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(feeding)
			for seq := uint64(2); ; seq++ {
				r.push(seq) // so that one is stored each time
				select {
				case <-stop:
					return
				case <-time.After(100 * time.Microsecond): // shorter than any pause
				}
			}
		}()
		for hold := range 6 {
			if err := r.flush(t, 500*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) || r.Unavailable() {
				t.Errorf("hold %d: Flush returned %v; unavailable: %t", hold+1, err, r.Unavailable())
			}
		}
		close(stop)
		<-feeding
	})
}

func TestAThawCancelsAStaleRequest(t *testing.T) {
	for _, tt := range []struct {
		name    string
		age     time.Duration
		answer  answer
		second  time.Duration // when the request is made again; 0: it is not
		unknown int64
	}{
		{"that was 2 s old", 2 * time.Second, noAnswer, 2200 * time.Millisecond, 1},
		{"that was older", 4 * time.Second, noAnswer, 4200 * time.Millisecond, 1},
		{"but none that is young", 2*time.Second - 1, noAnswer, 0, 0},
		{"but none whose answer is about to come", 2 * time.Second, delayed(2199*time.Millisecond, accept), 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, tt.answer, delayed(time.Second, accept))
				r.push(1)
				time.Sleep(tt.age)
				r.Thawed()
				time.Sleep(time.Until(r.began.Add(4900 * time.Millisecond)))
				times := r.kinesis.times()
				if tt.second == 0 {
					if len(times) != 1 || len(r.kinesis.dropped()) > 0 {
						t.Errorf("%d requests; connections dropped: %v", len(times), r.kinesis.dropped())
					}
					return
				}
				if len(times) != 2 || times[1].Sub(r.began) != tt.second {
					t.Fatalf("requests at %v", times)
				}
				if diff := cmp.Diff([]int{1}, r.kinesis.dropped()); diff != "" {
					t.Errorf("connections dropped after requests (-want +got):\n%s", diff)
				}
				time.Sleep(2 * time.Second)
				stats := r.Stats()
				if r.waiting() > 0 || stats.Unknown != tt.unknown || stats.Retried != 1 || stats.Requests != 2 || len(r.warnings()) > 0 {
					t.Errorf("stats: %+v; log: %v", stats, r.warnings())
				}
			})
		})
	}
}

// A second thaw cancels the second request only if that is as old.
func TestAThawDoesNotCancelLaterRequests(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, delayed(2100*time.Millisecond, accept), delayed(time.Second, accept))
		r.push(1)
		time.Sleep(2 * time.Second)
		r.Thawed()
		r.push(2)
		time.Sleep(1200 * time.Millisecond) // the second request is in flight from 2.1 s to 3.1 s
		wantRequests(t, r, []uint64{1}, []uint64{2})
		if r.waiting() > 0 || r.Stats().Unknown > 0 {
			t.Errorf("%d records wait; stats: %+v", r.waiting(), r.Stats())
		}
	})
}

func TestAThawSendsTheWaitingRecords(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, accept)
		r.add(newRecord(1))
		synctest.Wait()
		wantRequests(t, r)
		r.Thawed()
		synctest.Wait()
		wantRequests(t, r, []uint64{1})
	})
}

// A caller that waits has no time for a request that may be dead.
func TestACallerThatWaitsCancelsAStaleRequest(t *testing.T) {
	const grace = 50 * time.Millisecond
	for _, tt := range []struct {
		name    string
		age     time.Duration
		answer  answer
		broken  bool
		unknown int64
	}{
		{"that was 2 s old", 2 * time.Second, noAnswer, true, 1},
		{"that was older", 3 * time.Second, noAnswer, true, 1},
		{"but none that is young", 2*time.Second - 1, noAnswer, false, 0},
		{"but none whose answer is about to come", 2 * time.Second, delayed(2*time.Second+grace-1, accept), false, 0},
	} {
		for name, wait := range map[string]func(*fixture, testing.TB, time.Duration) error{"Flush": (*fixture).flush, "Drain": (*fixture).drain} {
			t.Run(name+" "+tt.name, func(t *testing.T) {
				inFakeTime(t, func(t *testing.T) {
					r := start(t, tt.answer, accept)
					r.push(1)
					time.Sleep(tt.age)
					began := time.Now()
					err := wait(r, t, 2*time.Second)
					took := time.Since(began)
					requests, unknown := len(r.kinesis.times()), r.Stats().Unknown
					switch {
					case tt.broken:
						if err != nil || took != grace || requests != 2 || unknown != tt.unknown || len(r.kinesis.dropped()) == 0 {
							t.Errorf("it returned %v after %s and %d requests, %d of them without an answer", err, took, requests, unknown)
						}
					case requests != 1 || unknown != tt.unknown:
						t.Errorf("it returned %v after %s and %d requests, %d of them without an answer", err, took, requests, unknown)
					}
				})
			})
		}
	}
	t.Run("sooner than a thaw does", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, noAnswer, accept)
			r.push(1)
			time.Sleep(3 * time.Second)
			r.Thawed()
			began := time.Now()
			if err := r.flush(t, 2*time.Second); err != nil || time.Since(began) != grace {
				t.Errorf("Flush returned %v after %s", err, time.Since(began))
			}
			wantRequests(t, r, []uint64{1}, []uint64{1})
			time.Sleep(time.Minute) // the thaw's is for the request that is over
			r.push(2)
			synctest.Wait()
			wantRequests(t, r, []uint64{1}, []uint64{1}, []uint64{2})
		})
	})
}

// Kinesis may have stored the records of a cancelled request, and the next process
// would send them again.
func TestDrainBeginsNoRequestWhoseAnswerWouldComeTooLate(t *testing.T) {
	for range 20 {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, slowly(throttle))
			r.push(1)
			if err := r.drain(t, 2*time.Second); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("Drain returned %v", err)
			}
			times := r.kinesis.times()
			if rest := r.began.Add(2 * time.Second).Sub(times[len(times)-1]); rest < 220*time.Millisecond || len(times) < 5 {
				t.Errorf("the last of %d requests was begun %s before the end", len(times), rest)
			}
		})
	}
}

func TestConnectionsThatWereIdleForLongAreNotUsed(t *testing.T) {
	for _, tt := range []struct {
		idle time.Duration
		want []int
	}{{49 * time.Second, nil}, {50 * time.Second, nil}, {50*time.Second + 1, []int{1}}, {time.Hour, []int{1}}} {
		t.Run(tt.idle.String(), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, accept)
				r.push(1)
				time.Sleep(tt.idle)
				r.push(2)
				synctest.Wait()
				r.push(3)
				synctest.Wait()
				wantRequests(t, r, []uint64{1}, []uint64{2}, []uint64{3})
				if diff := cmp.Diff(tt.want, r.kinesis.dropped()); diff != "" {
					t.Errorf("connections dropped after requests (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// At the end there is no time for a connection that is dead.
func TestDrainUsesNoConnectionThatWasIdleForSeconds(t *testing.T) {
	for _, tt := range []struct {
		idle time.Duration
		want []int
	}{{2 * time.Second, nil}, {2*time.Second + 1, []int{1}}} {
		t.Run(tt.idle.String(), func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, accept)
				r.push(1)
				time.Sleep(tt.idle)
				r.add(newRecord(2))
				if err := r.drain(t, time.Second); err != nil {
					t.Error(err)
				}
				r.add(newRecord(3))
				if err := r.drain(t, time.Second); err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(tt.want, r.kinesis.dropped()); diff != "" {
					t.Errorf("connections dropped after requests (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestAThrottledRecordGetsAnotherPartitionKey(t *testing.T) {
	for _, tt := range []struct {
		name      string
		colocated bool
		every     int // so many times that it is throttled
	}{
		{"each time", false, 1},
		{"every eight times, if readers rely on the shard", true, 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := startWith(t, options{colocated: tt.colocated}, throttleEach)
				r.push(1)
				reading := make(chan struct{})
				go func() { // as a report does
					defer close(reading)
					for len(r.kinesis.times()) < 20 {
						r.queue.Waiting()
						time.Sleep(time.Millisecond)
					}
				}()
				<-reading
				synctest.Wait()
				keys := r.kinesis.keys()
				for i, key := range keys[:20] {
					changes := i > 0 && key != keys[i-1]
					if want := i > 0 && i%tt.every == 0; changes != want {
						t.Errorf("request %d has the key %q after %q", i+1, key, keys[max(i-1, 0)])
					}
					if len(key) < 1 || len(key) > 256 {
						t.Errorf("the key %q is none", key)
					}
				}
				r.kinesis.setAnswer(accept)
				time.Sleep(forever)
				if got := r.queue.Waiting(); got.Bytes != 0 || got.Records != 0 {
					t.Errorf("waiting in the end: %+v", got)
				}
			})
		})
	}
}

// Readers drop an aggregate whose key is not that of its user records.
func TestAnAggregateKeepsItsPartitionKey(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, throttleEach)
		one := newRecord(1)
		one.Data = append([]byte("\xf3\x89\x9a\xc2"), one.Data...)
		r.add(one)
		r.Wake()
		time.Sleep(forever)
		keys := r.kinesis.keys()
		if len(keys) < 20 {
			t.Fatalf("%d requests", len(keys))
		}
		for i, key := range keys {
			if key != keys[0] {
				t.Fatalf("request %d has the key %q after %q", i+1, key, keys[0])
			}
		}
	})
}

func TestOnlyTheThrottledRecordGetsAnotherPartitionKey(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		r := start(t, throttleOnly(1))
		r.push(1)
		for seq := range uint64(200) {
			r.push(seq + 2)
			time.Sleep(10 * time.Millisecond)
		}
		for i, c := range r.kinesis.all() {
			for j, key := range c.keys {
				if changed := key != usualKey; changed != (c.seqs[j] == 1 && i >= 1) {
					t.Fatalf("record %d has the key %q in request %d", c.seqs[j], key, i+1)
				}
			}
		}
	})
}

func TestRequestsWithoutAnAnswerAreCounted(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer answer
		want   int64
	}{
		{"no answer", noAnswer, 1},
		{"a connection that breaks", breakConnection(false), 1},
		{"a failure", fail, 1},
		{"throttled", throttle, 0},
		{"denied", deny, 0},
		{"a record that is throttled", throttleEach, 0},
		{"accepted", accept, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, tt.answer, accept)
				r.push(1)
				time.Sleep(forever)
				if got := r.Stats().Unknown; got != tt.want || r.waiting() > 0 {
					t.Errorf("%d requests without an answer, want %d", got, tt.want)
				}
			})
		})
	}
}

func TestLatencyIsThatOfTheLastRequests(t *testing.T) {
	inFakeTime(t, func(t *testing.T) {
		var n time.Duration
		r := start(t, func(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
			n++
			time.Sleep(n * time.Millisecond)
			return accept(ctx, records)
		})
		if got := r.Stats().Latency; got != (ledger.Quantiles{}) {
			t.Errorf("before any request: %+v", got)
		}
		send := func(requests uint64, want ledger.Quantiles) {
			t.Helper()
			for seq := range requests {
				r.push(seq)
				time.Sleep(time.Second)
			}
			if got := r.Stats().Latency; got != want {
				t.Errorf("after %d requests: %+v, want %+v", n, got, want)
			}
		}
		// In milliseconds.
		send(1, ledger.Quantiles{P50: 1, P99: 1, Max: 1})
		send(1, ledger.Quantiles{P50: 1, P99: 1, Max: 2})
		send(99, ledger.Quantiles{P50: 51, P99: 100, Max: 101})
		send(155, ledger.Quantiles{P50: 192, P99: 254, Max: 256}) // of 129 to 256
		n = 0
		send(128, ledger.Quantiles{P50: 64, P99: 126, Max: 256})
	})
}

func TestTheLastRequestOvertakesTheWaitingRecords(t *testing.T) {
	records := func(r *fixture) []*pack.Record {
		one, other := newRecord(8), newRecord(9)
		one.Environment, other.Environment = r.env, r.env
		return []*pack.Record{one, other}
	}
	for _, tt := range []struct {
		name    string
		answer  answer
		stored  int64
		failure bool
	}{
		{"and is accepted", accept, 2, false},
		{"and is refused", deny, 0, true},
		{"and one of it is throttled", throttleOnly(9), 1, true},
		{"and has no answer", noAnswer, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, deny)
				r.push(1)
				synctest.Wait()
				r.stop()
				r.kinesis.setAnswer(tt.answer)
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				began := time.Now()
				if err := r.Last(ctx, records(r)); (err != nil) != tt.failure || time.Since(began) > 200*time.Millisecond {
					t.Errorf("Last returned %v after %s", err, time.Since(began))
				}
				wantRequests(t, r, []uint64{1}, []uint64{8, 9})
				if got := r.Stats(); got.Records != tt.stored || got.Events != tt.stored || r.waiting() != 1 {
					t.Errorf("%d records wait; stats: %+v", r.waiting(), got)
				}
			})
		})
	}
}

func TestLastErrorIsWhyRecordsWait(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer answer
		want   string
	}{
		{"nothing was tried", nil, "there was no time for more"},
		{"denied", deny, "AccessDeniedException (HTTP 400): because"},
		{"throttled", throttleEach, "ProvisionedThroughputExceededException (HTTP 200): slow down"},
		{"some are throttled", throttleOnly(1), "ProvisionedThroughputExceededException (HTTP 200): slow down"},
		{"no connection", unreachable, "connection reset by peer"},
		{"no answer", noAnswer, "a request got no answer within 300ms"},
		{"no answer to a part", refuseLargeOnly, "a request got no answer within 300ms"},
		{"all is well again", accept, "there was no time for more"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, tt.answer)
				if tt.answer != nil {
					r.push(1, 2, 3, 4)
				}
				time.Sleep(300 * time.Millisecond)
				r.stop()
				if got := r.LastError(); got != tt.want {
					t.Errorf("LastError is %q, want %q", got, tt.want)
				}
			})
		})
	}
	t.Run("a success ends it", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, deny, accept)
			r.push(1)
			time.Sleep(forever)
			if got := r.LastError(); got != "there was no time for more" {
				t.Errorf("LastError is %q", got)
			}
		})
	})
}

// Whatever Kinesis does, the shipper sends a probe at least every 30 s. So it
// notices the end of an outage, and there is no hold before.
func TestTheShipperNoticesTheEndOfAnOutageWithinHalfAMinute(t *testing.T) {
	for name, failure := range map[string]answer{
		"throttled": throttle, "each throttled": throttleEach, "fails": fail, "denied": deny, "expired": expired,
		"unreachable": unreachable, "breaks": breakConnection(true), "silent": noAnswer,
	} {
		for _, lasts := range []time.Duration{time.Second, 20 * time.Second, 10 * time.Minute} {
			t.Run(fmt.Sprint(name, " for ", lasts), func(t *testing.T) {
				inFakeTime(t, func(t *testing.T) {
					r := start(t, failure)
					r.push(1, 2, 3)
					time.Sleep(lasts)
					r.kinesis.setAnswer(accept)
					time.Sleep(36 * time.Second) // a request may be in flight
					synctest.Wait()
					if r.waiting() > 0 || r.Unavailable() {
						t.Errorf("%d records wait; unavailable: %t", r.waiting(), r.Unavailable())
					}
				})
			})
		}
	}
}
