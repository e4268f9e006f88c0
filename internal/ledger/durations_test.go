package ledger_test

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/ledger"
)

const ms = time.Millisecond

// noted is Durations of some.
func noted(all ...time.Duration) *ledger.Durations {
	var d ledger.Durations
	for _, one := range all {
		d.Note(one)
	}
	return &d
}

// upTo is 1 ms, 2 ms, … n ms.
func upTo(n int) (all []time.Duration) {
	for i := range n {
		all = append(all, time.Duration(i+1)*ms)
	}
	return all
}

func TestQuantiles(t *testing.T) {
	for _, tt := range []struct {
		name string
		all  []time.Duration
		want ledger.Quantiles
	}{
		{"of none", nil, ledger.Quantiles{}},
		{"of one", []time.Duration{7 * ms}, ledger.Quantiles{P50: 7, P99: 7, Max: 7}},
		{"of two: the lower one is the middle", []time.Duration{9 * ms, 7 * ms}, ledger.Quantiles{P50: 7, P99: 7, Max: 9}},
		{"of three", []time.Duration{9 * ms, 7 * ms, 8 * ms}, ledger.Quantiles{P50: 8, P99: 8, Max: 9}},
		{"of zeros and one more", []time.Duration{0, 0, 0, 500 * ms}, ledger.Quantiles{P50: 0, P99: 0, Max: 500}},
		{"of 100", upTo(100), ledger.Quantiles{P50: 50, P99: 99, Max: 100}},
		{"of 101", upTo(101), ledger.Quantiles{P50: 51, P99: 100, Max: 101}},
		{"of 128: all that are remembered", upTo(128), ledger.Quantiles{P50: 64, P99: 126, Max: 128}},
		{"of 129: the first one is forgotten", upTo(129), ledger.Quantiles{P50: 65, P99: 127, Max: 129}},
		{"of 1,000", upTo(1000), ledger.Quantiles{P50: 936, P99: 998, Max: 1000}},
		{"the longest ever is remembered", append([]time.Duration{time.Hour}, upTo(300)...), ledger.Quantiles{P50: 236, P99: 298, Max: 3.6e6}},
		{"to the hundredth of a millisecond", []time.Duration{1234567 * time.Nanosecond}, ledger.Quantiles{P50: 1.23, P99: 1.23, Max: 1.23}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := noted(tt.all...)
			for range 2 { // to ask changes nothing
				if diff := cmp.Diff(tt.want, d.Quantiles()); diff != "" {
					t.Errorf("quantiles (-want +got):\n%s", diff)
				}
			}
			// Nor does it change the order of the stored durations.
			if n := len(tt.all); n > 0 && d.Last() != tt.all[n-1] {
				t.Errorf("the last one is %s", d.Last())
			}
		})
	}
}

func TestLastReturnsTheLatestDuration(t *testing.T) {
	var d ledger.Durations
	if d.Last() != 0 {
		t.Errorf("the last of none is %s", d.Last())
	}
	for i, one := range upTo(300) {
		if i%2 == 0 {
			one = -one // by a clock that was set back
		}
		d.Note(one)
		if d.Last() != one {
			t.Fatalf("the last one is %s, want %s", d.Last(), one)
		}
	}
}

// The quantiles are durations that were among the last 128, in order, and as many
// of these, as named, are below.
func TestQuantilesAreThoseOfTheLast128(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Map(rapid.IntRange(0, 100_000), func(n int) time.Duration { return time.Duration(n) * 10 * time.Microsecond }), 1, 300).Draw(t, "all")
		q := noted(all...).Quantiles()
		last := slices.Sorted(slices.Values(all[max(0, len(all)-128):]))
		if q.Max != ledger.Milliseconds(slices.Max(all)) {
			t.Fatalf("max is %g", q.Max)
		}
		for _, one := range []struct {
			value float64
			share float64
		}{{q.P50, 0.5}, {q.P99, 0.99}} {
			i := slices.IndexFunc(last, func(d time.Duration) bool { return ledger.Milliseconds(d) == one.value })
			if i < 0 {
				t.Fatalf("%g was not among the last", one.value)
			}
			below := 0
			atMost := 0
			for _, d := range last {
				if ledger.Milliseconds(d) < one.value {
					below++
				}
				if ledger.Milliseconds(d) <= one.value {
					atMost++
				}
			}
			if n := float64(len(last)); float64(below) > one.share*n || float64(atMost) < one.share*(n-1) {
				t.Fatalf("%g is %g of %d: %d are below it, and %d at most that", one.value, one.share, len(last), below, atMost)
			}
		}
		if q.P50 > q.P99 || q.P99 > q.Max {
			t.Fatalf("quantiles are not in order: %+v", q)
		}
	})
}

func TestPeriodReturnsTheDurationsSinceItsLastCall(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		duration := rapid.Map(rapid.IntRange(-10, 5000), func(n int) time.Duration { return time.Duration(n) * ms })
		var d ledger.Durations
		var longest time.Duration
		for _, all := range rapid.SliceOfN(rapid.SliceOfN(duration, 0, 200), 1, 5).Draw(t, "periods") {
			for _, one := range all {
				d.Note(one)
				longest = max(longest, one)
			}
			before := d.Quantiles()
			got := d.Period()
			slices.Sort(got)
			slices.Sort(all)
			if !slices.Equal(got, all) {
				t.Fatalf("period %v, want %v", got, all)
			}
			if after := d.Quantiles(); after != before || after.Max != ledger.Milliseconds(longest) {
				t.Fatalf("the quantiles were %+v and are %+v, longest %s", before, after, longest)
			}
		}
	})
}

// A period of many durations has the longest one and a selection of the others in
// which the first and the last have the same chance.
func TestAPeriodOfManyDurationsIsAUniformSelection(t *testing.T) {
	const all, kept, periods = 4000, 1000, 50
	var d ledger.Durations
	var early, late float64
	for period := range periods {
		for i := range all {
			d.Note(time.Duration((i+period*79)%all) * ms) // the longest one at another place each time
		}
		got := d.Period()
		if len(got) != kept || !slices.Contains(got, (all-1)*ms) {
			t.Fatalf("period %d has %d durations and longest %s", period, len(got), slices.Max(got))
		}
		slices.Sort(got)
		if len(slices.Compact(got)) != kept {
			t.Fatalf("period %d has a duration twice", period)
		}
		for _, one := range got {
			if i := (int(one/ms) - period*79%all + all) % all; i < all/2 {
				early++
			} else {
				late++
			}
		}
	}
	// 50,000 draws: 0.5 has a standard deviation of 0.0019 here (without replacement).
	if share := early / (early + late); math.Abs(share-0.5) > 0.015 {
		t.Errorf("%.3f of the selection are of the first half", share)
	}
	if rest := d.Period(); len(rest) > 0 {
		t.Errorf("a period without durations has %d", len(rest))
	}
}

func TestNoteDoesNotAllocate(t *testing.T) {
	var d ledger.Durations
	if n := testing.AllocsPerRun(3000, func() { d.Note(3 * ms) }); n > 0 {
		t.Errorf("%g allocations", n)
	}
}

func TestDurationsAreSafeForConcurrentUse(t *testing.T) {
	var d ledger.Durations
	var all sync.WaitGroup
	var counted atomic.Int64
	for range 8 {
		all.Go(func() {
			for range 200 {
				d.Note(3 * ms)
				if last, q := d.Last(), d.Quantiles(); last != 3*ms || q != (ledger.Quantiles{P50: 3, P99: 3, Max: 3}) {
					t.Errorf("the last one is %s, the quantiles are %+v", last, q)
				}
				counted.Add(int64(len(d.Period())))
			}
		})
	}
	all.Wait()
	if n := counted.Load(); n != 1600 {
		t.Errorf("the periods have %d of 1600", n)
	}
}

func TestMillisecondsAreRoundedToTheHundredth(t *testing.T) {
	for _, tt := range []struct {
		d    time.Duration
		want float64
	}{
		{0, 0},
		{time.Nanosecond, 0},
		{4999 * time.Nanosecond, 0},
		{5 * time.Microsecond, 0.01},
		{1234567 * time.Nanosecond, 1.23},
		{1236 * time.Microsecond, 1.24},
		{25 * time.Millisecond, 25},
		{time.Hour, 3.6e6},
		{-1500 * time.Microsecond, -1.5},
	} {
		if got := ledger.Milliseconds(tt.d); math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%s is %g, want %g", tt.d, got, tt.want)
		}
	}
}
