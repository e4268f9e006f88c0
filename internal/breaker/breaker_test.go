package breaker_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/breaker"
	"github.com/kinetel/kinetel/internal/kinesis"
)

const (
	ms  = time.Millisecond
	kib = 1 << 10
)

var began = time.Date(2026, time.November, 26, 0, 0, 0, 0, time.UTC)

// least and most are the extreme jitters: nothing, and all but the bound itself.
func least(time.Duration) time.Duration      { return 0 }
func most(below time.Duration) time.Duration { return below - 1 }

// waits returns the shortest and the longest delay after each of n failures.
func waits(n int, class kinesis.Class, timeLeft time.Duration) (short, long []time.Duration) {
	for _, run := range []struct {
		jitter func(time.Duration) time.Duration
		into   *[]time.Duration
	}{{least, &short}, {most, &long}} {
		b := breaker.New(run.jitter)
		for range n {
			b.Failed(began, 0, class)
			*run.into = append(*run.into, b.Delay(timeLeft))
		}
	}
	return short, long
}

func wantDurations(t *testing.T, what string, want, got []time.Duration) {
	t.Helper()
	for i := range got {
		got[i] = got[i].Round(ms)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func TestWaitsDoubleAboveAFloorAndThenAreThoseBetweenProbes(t *testing.T) {
	short, long := waits(12, kinesis.Transient, 0)
	wantDurations(t, "shortest", []time.Duration{50 * ms, 100 * ms, 200 * ms, 400 * ms, 500 * ms, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second, 15 * time.Second, 15 * time.Second}, short)
	wantDurations(t, "longest", []time.Duration{75 * ms, 150 * ms, 300 * ms, 600 * ms, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, 30 * time.Second, 30 * time.Second, 30 * time.Second}, long)
}

func TestThrottledRequestsWaitUpToFiveSeconds(t *testing.T) {
	short, long := waits(8, kinesis.Throttled, 0)
	wantDurations(t, "shortest", slices.Repeat([]time.Duration{ms}, 8), short)
	wantDurations(t, "longest", []time.Duration{51 * ms, 101 * ms, 201 * ms, 401 * ms, 5001 * ms, 5001 * ms, 5001 * ms, 5001 * ms}, long)
}

func TestARefusalHasTheLongestWaitFromTheStart(t *testing.T) {
	for _, class := range []kinesis.Class{kinesis.Denied, kinesis.Credentials} {
		// A caller that waits changes nothing.
		short, long := waits(2, class, 100*ms)
		wantDurations(t, "shortest", []time.Duration{15 * time.Second, 15 * time.Second}, short)
		wantDurations(t, "longest", []time.Duration{30 * time.Second, 30 * time.Second}, long)
		b := breaker.New(least)
		if b.Refused() {
			t.Error("refused before anything was sent")
		}
		if !b.Failed(began, 0, class) || !b.Open() || !b.Refused() {
			t.Error("a refusal does not open the breaker")
		}
		b.Failed(began, 0, kinesis.Transient)
		if b.Refused() {
			t.Error("still refused after another failure")
		}
	}
}

func TestACallerThatWaitsGetsSeveralAttempts(t *testing.T) {
	for _, tt := range []struct{ timeLeft, want time.Duration }{{100 * ms, 26 * ms}, {time.Second, 251 * ms}, {time.Hour, 501 * ms}} {
		_, long := waits(6, kinesis.Throttled, tt.timeLeft)
		if got := long[5].Round(ms); got != tt.want {
			t.Errorf("with %s left the longest delay is %s, want %s", tt.timeLeft, got, tt.want)
		}
	}
	if _, long := waits(1, kinesis.Throttled, time.Hour); long[0].Round(ms) != 51*ms {
		t.Errorf("a caller that waits makes a pause longer: %s", long[0])
	}
}

// A request without an answer may have stored its records.
func TestACallerThatWaitsDoesNotCauseManyCopies(t *testing.T) {
	for _, timeLeft := range []time.Duration{ms, 100 * ms, time.Second, time.Hour} {
		short, long := waits(7, kinesis.Transient, timeLeft)
		wantDurations(t, "shortest", []time.Duration{50 * ms, 100 * ms, 200 * ms, 400 * ms, 400 * ms, 400 * ms, 400 * ms}, short)
		wantDurations(t, "longest", []time.Duration{75 * ms, 150 * ms, 300 * ms, 600 * ms, 600 * ms, 600 * ms, 600 * ms}, long)
	}
}

func TestFiveFailuresOrThreeSecondsOpenTheBreaker(t *testing.T) {
	for _, tt := range []struct {
		takes time.Duration
		by    int // which failure
	}{{0, 5}, {740 * ms, 5}, {760 * ms, 4}, {time.Second, 3}, {1499 * ms, 3}, {1500 * ms, 2}, {2999 * ms, 2}, {3 * time.Second, 1}} {
		b := breaker.New(least)
		now := began
		for n := 1; n <= 7; n++ {
			now = now.Add(tt.takes)
			opened := b.Failed(now, tt.takes, kinesis.Transient)
			if opened != (n == tt.by) || b.Open() != (n >= tt.by) || b.Closed() == b.Open() {
				t.Errorf("failures of %s: the %d. opens it: %t; open: %t", tt.takes, n, opened, b.Open())
			}
			if got, since := b.Failures(); got != n || !since.Equal(began) {
				t.Errorf("%d failures since %s, want %d since %s", got, since, n, began)
			}
		}
	}
}

func TestAThrottledWindowHalvesAndAProbeIsOneRecord(t *testing.T) {
	b := breaker.New(least)
	probe := breaker.New(least)
	var windows []int
	for n := range 12 {
		b.Failed(began, 0, kinesis.Throttled)
		probe.Failed(began, 0, kinesis.Transient)
		records, bytes := b.Limits()
		if records != kinesis.MaxRecords {
			t.Errorf("%d records though throttled", records)
		}
		windows = append(windows, bytes/kib)
		if records, bytes := probe.Limits(); (records == 1) != (n >= 4) || bytes != breaker.MaxBytes {
			t.Errorf("after %d failures: %d records, %d bytes", n+1, records, bytes)
		}
	}
	if diff := cmp.Diff([]int{2048, 2048, 2048, 2048, 1024, 512, 256, 128, 64, 64, 64, 64}, windows); diff != "" {
		t.Errorf("KiB a request (-want +got):\n%s", diff)
	}
}

// opened returns a breaker that an outage has opened.
func opened(jitter func(time.Duration) time.Duration) breaker.Breaker {
	b := breaker.New(jitter)
	for range 5 {
		b.Failed(began, 0, kinesis.Transient)
	}
	return b
}

func wantWindow(t *testing.T, b *breaker.Breaker, want int) {
	t.Helper()
	if records, bytes := b.Limits(); records != kinesis.MaxRecords || bytes != want {
		t.Errorf("a request may carry %d records and %d KiB, want %d KiB", records, bytes/kib, want/kib)
	}
}

func TestARecoveryGrowsAndIsPaced(t *testing.T) {
	b := opened(least)
	if b.Pace(1<<20) != 0 {
		t.Error("a probe that failed is paced")
	}
	const backlog = 2 << 20
	remaining := int64(backlog)
	if b.Succeeded(32*kib, remaining) || b.Closed() || b.Open() {
		t.Fatal("a successful probe closes the breaker at once")
	}
	for _, window := range []int{64, 128, 256, 256} {
		wantWindow(t, &b, window*kib)
		if got := b.Pace(int64(window) * kib); got != time.Duration(window)*time.Second/1024 {
			t.Errorf("%d KiB are paced by %s", window, got)
		}
		remaining -= int64(window) * kib
		if b.Succeeded(int64(window)*kib, remaining) {
			t.Error("over with a backlog")
		}
	}
	b.Partly(began, remaining)
	wantWindow(t, &b, 128*kib)
	b.Partly(began, remaining)
	b.Partly(began, remaining)
	wantWindow(t, &b, 64*kib)
	if !b.Succeeded(remaining, remaining) || !b.Closed() {
		t.Error("not closed though as much as the backlog was sent") // newer records do not keep the breaker from closing
	}
	wantWindow(t, &b, breaker.MaxBytes)
	if n, since := b.Failures(); n != 0 || !since.IsZero() || b.Pace(1<<20) != 0 {
		t.Errorf("%d failures since %s when it is over", n, since)
	}

	b = opened(most)
	b.Succeeded(1, backlog)
	if got := b.Pace(1 << 20); got != 1500*ms {
		t.Errorf("the longest pace of 1 MiB is %s", got)
	}
	if !b.Succeeded(1, 0) {
		t.Error("not over though nothing waits")
	}
}

func TestASuccessResetsTheWaits(t *testing.T) {
	b := breaker.New(most)
	for range 4 {
		b.Failed(began, 0, kinesis.Throttled)
	}
	if b.Succeeded(1, 1<<20); !b.Closed() {
		t.Error("not closed, though it never was open")
	}
	b.Failed(began, 0, kinesis.Throttled)
	wantDurations(t, "longest", []time.Duration{51 * ms}, []time.Duration{b.Delay(0)})
}

func TestARecoveryThatFailsIsAnOutageAgain(t *testing.T) {
	b := opened(most)
	b.Succeeded(1, 1<<20)
	if b.Failed(began, 0, kinesis.Transient) || !b.Open() {
		t.Error("it opens twice, or is not open")
	}
	if records, _ := b.Limits(); records != 1 || b.Delay(0).Round(ms) != time.Second {
		t.Errorf("%d records after %s", records, b.Delay(0))
	}
}

func TestWaitsStayShortWhileSomeRecordsAreStored(t *testing.T) {
	b := breaker.New(most)
	var got []time.Duration
	for n := range 30 {
		b.Partly(began.Add(time.Duration(n)*time.Second), 1)
		got = append(got, b.Delay(0))
		if !b.Closed() {
			t.Fatal("a hot shard opens the breaker")
		}
	}
	wantDurations(t, "longest", append([]time.Duration{51 * ms, 101 * ms}, slices.Repeat([]time.Duration{201 * ms}, 28)...), got)
	if n, since := b.Failures(); n != 30 || !since.Equal(began) {
		t.Errorf("%d failures since %s", n, since)
	}
	wantWindow(t, &b, breaker.MaxBytes)
	b = opened(most)
	b.Partly(began, 1<<20)
	wantWindow(t, &b, 64*kib)
	if b.Open() || b.Closed() || b.Succeeded(1<<20-1, 1) || !b.Succeeded(1, 1) {
		t.Error("a partial success does not begin a recovery of the remaining bytes")
	}
}

// In any sequence of events a window is within its bounds, no wait is negative or
// longer than half a minute, and a success with nothing remaining ends the outage.
func TestAnySequenceOfResultsKeepsTheLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := breaker.New(func(below time.Duration) time.Duration {
			if below <= 0 {
				t.Fatalf("a jitter below %s", below)
			}
			return time.Duration(rapid.Int64Range(0, int64(below)-1).Draw(t, "jitter"))
		})
		now := began
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "later")) * ms)
			remaining := rapid.Int64Range(0, 8<<20).Draw(t, "left")
			bytes := rapid.Int64Range(1, 2<<20).Draw(t, "bytes")
			var wait time.Duration
			switch rapid.IntRange(0, 2).Draw(t, "what") {
			case 0:
				class := rapid.SampledFrom([]kinesis.Class{kinesis.Transient, kinesis.Throttled, kinesis.Denied}).Draw(t, "class")
				was := b.Closed()
				if opened := b.Failed(now, 0, class); opened != (was && b.Open()) {
					t.Fatalf("opened: %t", opened)
				}
				wait = b.Delay(time.Duration(rapid.IntRange(0, 3000).Draw(t, "patience")) * ms)
			case 1:
				b.Partly(now, remaining)
				if wait = b.Delay(0); wait > 5*time.Second+ms {
					t.Fatalf("waits %s while some records are stored", wait)
				}
			case 2:
				over := b.Succeeded(bytes, remaining)
				if over != b.Closed() || remaining == 0 && !over {
					t.Fatalf("over: %t, closed: %t, %d left", over, b.Closed(), remaining)
				}
				if wait = b.Pace(bytes); (wait > 0) == b.Closed() && bytes > 1 {
					t.Fatalf("paced by %s; closed: %t", wait, b.Closed())
				}
			}
			if wait < 0 || wait > 30*time.Second {
				t.Fatalf("waits %s", wait)
			}
			if records, bytes := b.Limits(); records < 1 || records > kinesis.MaxRecords || bytes < 64*kib || bytes > breaker.MaxBytes {
				t.Fatalf("a request of %d records and %d bytes", records, bytes)
			}
		}
	})
}

func TestTwoUnproductiveHoldsExhaustTheHolds(t *testing.T) {
	for _, tt := range []struct {
		name string
		took time.Duration
		at   time.Duration // after the last hold
		want bool          // exhausted
	}{
		{"an answer within the longest hold", 500 * ms, 0, false},
		{"a slow answer", 500*ms + 1, 0, true},
		{"a slow answer after a minute", time.Hour, time.Minute, true},
		{"a slow answer after more", time.Hour, time.Minute + 1, false},
	} {
		var h breaker.Holds
		if h.Unproductive(began, 500*ms); h.Exhausted() {
			t.Errorf("%s: exhausted after one", tt.name)
		}
		last := began.Add(10 * time.Second)
		if h.Unproductive(last, 100*ms); !h.Exhausted() {
			t.Errorf("%s: not exhausted after two", tt.name)
		}
		if h.Answered(last.Add(tt.at), tt.took); h.Exhausted() != tt.want {
			t.Errorf("%s: exhausted: %t", tt.name, h.Exhausted())
		}
		if !tt.want { // the count begins again
			h.Unproductive(last, ms)
			if h.Exhausted() {
				t.Errorf("%s: exhausted after one more", tt.name)
			}
			h.Unproductive(last, ms)
			if h.Answered(last, 2*ms); !h.Exhausted() {
				t.Errorf("%s: the hold before is remembered", tt.name)
			}
		}
	}
}
