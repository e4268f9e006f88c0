package ship_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/kinesis"
)

func TestBehindIsTheTimeSinceTheFirstAttemptThatSentNothing(t *testing.T) {
	want := func(t *testing.T, r *fixture, want time.Duration) {
		t.Helper()
		synctest.Wait()
		if got := r.Behind(); got != want {
			t.Errorf("after %s Behind is %s, want %s", time.Since(r.began), got, want)
		}
	}
	t.Run("nothing waits", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, accept)
			want(t, r, 0)
			r.Wake()
			time.Sleep(time.Hour)
			want(t, r, 0)
			r.push(1)
			want(t, r, 0)
			time.Sleep(time.Hour)
			want(t, r, 0)
			r.Thawed()
			want(t, r, 0)
		})
	})
	for _, tt := range []struct {
		name    string
		failure answer
	}{
		{"Kinesis fails", fail},
		{"Kinesis throttles", throttle},
		{"Kinesis throttles each record", throttleEach},
		{"Kinesis refuses", deny},
		{"the credentials do not work", expired},
		{"the network is down", unreachable},
		{"a request hangs", noAnswer},
		{"each request panics", broken},
		{"every request is refused, and none was ever accepted", refuseInvalid(1, 2, 3)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, tt.failure)
				time.Sleep(7 * time.Second)
				want(t, r, 0)
				r.push(1)
				for _, d := range []time.Duration{0, time.Millisecond, 4 * time.Second, time.Minute, time.Hour} {
					time.Sleep(d - r.Behind())
					want(t, r, d)
				}
				r.push(2, 3) // waits no longer than the first one
				want(t, r, time.Hour)
				r.kinesis.setAnswer(accept)
				time.Sleep(36 * time.Second)
				want(t, r, 0)
				// The next outage counts from its own beginning.
				r.kinesis.setAnswer(fail)
				time.Sleep(time.Hour)
				want(t, r, 0)
				r.push(4)
				time.Sleep(3 * time.Second)
				want(t, r, 3*time.Second)
			})
		})
	}
	t.Run("a request takes its time", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, delayed(900*time.Millisecond, accept))
			r.push(1)
			time.Sleep(899 * time.Millisecond)
			want(t, r, 899*time.Millisecond)
			r.push(2)
			time.Sleep(time.Millisecond)
			want(t, r, 0)
			time.Sleep(300 * time.Millisecond)
			want(t, r, 300*time.Millisecond) // of the second one
		})
	})
	t.Run("some are stored each time", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, throttleOnly(1))
			r.push(1)
			for seq := uint64(2); seq < 10_000; seq++ {
				r.push(seq) // so that one is stored each time
				time.Sleep(100 * time.Microsecond)
				if got := r.Behind(); got > 0 {
					t.Fatalf("Behind is %s", got)
				}
			}
		})
	})
	t.Run("all are dropped", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, accept, refuseInvalid(2))
			r.push(1)
			synctest.Wait()
			r.push(2)
			time.Sleep(time.Second)
			want(t, r, 0)
		})
	})
}

// A process that was restored from a snapshot has dead connections and old
// credentials.
func TestAfterARestoreOldConnectionsAndCredentialsAreNotUsed(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(r *fixture)
		want   int // requests before
	}{
		{"before the first request", func(*fixture) {}, 0},
		{"after some", func(r *fixture) {
			r.push(1)
			synctest.Wait()
			r.push(2)
			synctest.Wait()
		}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, accept)
				tt.before(r)
				r.Restored()
				synctest.Wait()
				if len(r.kinesis.times()) != tt.want || len(r.kinesis.dropped()) > 0 || len(r.kinesis.invalidated()) > 0 {
					t.Errorf("%d requests, connections dropped after %v, credentials renewed after %v, before there is anything to send",
						len(r.kinesis.times()), r.kinesis.dropped(), r.kinesis.invalidated())
				}
				for seq := range uint64(3) {
					r.push(10 + seq)
					synctest.Wait()
				}
				want := []int{tt.want} // once
				if diff := cmp.Diff([][]int{want, want}, [][]int{r.kinesis.dropped(), r.kinesis.invalidated()}); diff != "" {
					t.Errorf("after requests, connections were dropped and credentials renewed (-want +got):\n%s", diff)
				}
			})
		})
	}
	t.Run("and what waits is sent", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, accept)
			r.add(newRecord(1))
			synctest.Wait()
			wantRequests(t, r)
			r.Restored()
			synctest.Wait()
			wantRequests(t, r, []uint64{1})
		})
	})
	t.Run("nor by the request after the one in flight", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, delayed(time.Second, fail), accept)
			r.push(1)
			synctest.Wait()
			r.Restored()
			time.Sleep(2 * time.Second)
			if diff := cmp.Diff([][]int{{1}, {1}}, [][]int{r.kinesis.dropped(), r.kinesis.invalidated()}); diff != "" || r.waiting() > 0 {
				t.Errorf("after requests, connections were dropped and credentials renewed (-want +got):\n%s", diff)
			}
		})
	})
}

func TestCredentialsAreInvalidatedBeforeTheSecondTry(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script []answer
		want   []int // after which requests
	}{
		{"which works", []answer{expired, accept}, []int{1}},
		{"which does not: each probe begins anew", []answer{expired, expired, expired, accept}, []int{1, 3}},
		{"but for no other failure", []answer{fail, throttle, throttleEach, unreachable, deny, breakConnection(true), accept}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, tt.script...)
				r.push(1)
				time.Sleep(forever)
				if diff := cmp.Diff(tt.want, r.kinesis.invalidated()); diff != "" || r.waiting() > 0 {
					t.Errorf("%d records wait; credentials were renewed after requests (-want +got):\n%s", r.waiting(), diff)
				}
			})
		})
	}
}

func TestPermanentErrorIsWhatAnOperatorHasToFix(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer answer
		want   string // of the error; empty: there is none
	}{
		{"nothing was tried", nil, ""},
		{"all is well", accept, ""},
		{"denied", deny, "AccessDeniedException"},
		{"no such stream", refuse(kinesis.Denied, "ResourceNotFoundException"), "ResourceNotFoundException"},
		{"credentials that do not work", expired, "ExpiredTokenException"},
		{"no request was ever accepted", refuseInvalid(1, 2), "InvalidArgumentException"},
		{"Kinesis fails", fail, ""},
		{"Kinesis throttles", throttle, ""},
		{"Kinesis throttles some", throttleOnly(1), ""},
		{"the network is down", unreachable, ""},
		{"there is no answer", noAnswer, ""},
		{"a fault in Kinetel", broken, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(t *testing.T) {
				r := start(t, tt.answer)
				if tt.answer != nil {
					r.push(1, 2)
				}
				time.Sleep(time.Minute)
				err := r.PermanentError()
				if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
					t.Errorf("PermanentError is %v, want %q", err, tt.want)
				}
				if err != nil && kinesis.ClassOf(err) != kinesis.Denied && kinesis.ClassOf(err) != kinesis.Credentials {
					t.Errorf("PermanentError is %s", kinesis.ClassOf(err))
				}
				r.kinesis.setAnswer(accept)
				time.Sleep(time.Minute)
				if err := r.PermanentError(); err != nil {
					t.Errorf("all is well again, and PermanentError is %v", err)
				}
			})
		})
	}
	t.Run("not an error before another one", func(t *testing.T) {
		inFakeTime(t, func(t *testing.T) {
			r := start(t, deny, fail)
			r.push(1)
			time.Sleep(time.Minute)
			if err := r.PermanentError(); err != nil {
				t.Errorf("PermanentError is %v", err)
			}
		})
	})
}
