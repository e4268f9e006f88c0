package ledger

import (
	"slices"
	"sync"
	"time"
)

// Durations remembers the last 128 durations of something. It is safe for
// concurrent use; its zero value is empty.
type Durations struct {
	mu    sync.Mutex
	ring  [128]time.Duration
	count int
	max   time.Duration

	periodCount int // since the last Period
	periodMax   time.Duration
}

// Note adds one.
func (d *Durations) Note(one time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ring[d.count%len(d.ring)] = one
	d.count++
	d.max = max(d.max, one)
	d.periodCount++
	d.periodMax = max(d.periodMax, one)
}

// Last returns the last one, or 0.
func (d *Durations) Last() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.count == 0 {
		return 0
	}
	return d.ring[(d.count-1)%len(d.ring)]
}

// Quantiles returns those of the last 128, and the longest ever.
func (d *Durations) Quantiles() Quantiles {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.quantiles(d.count, d.max)
}

// Period returns how many there were since it was called last, and their
// quantiles: those of the last 128, and the longest.
func (d *Durations) Period() (count int, q Quantiles) {
	d.mu.Lock()
	defer d.mu.Unlock()
	count, q = d.periodCount, d.quantiles(d.periodCount, d.periodMax)
	d.periodCount, d.periodMax = 0, 0
	return count, q
}

// quantiles returns those of the last n. Called with mu.
func (d *Durations) quantiles(n int, longest time.Duration) Quantiles {
	n = min(n, len(d.ring))
	if n == 0 {
		return Quantiles{}
	}
	sorted := make([]time.Duration, n)
	for i := range sorted {
		sorted[i] = d.ring[(d.count-1-i)%len(d.ring)]
	}
	slices.Sort(sorted)
	return Quantiles{P50: Milliseconds(sorted[(n-1)/2]), P99: Milliseconds(sorted[(n-1)*99/100]), Max: Milliseconds(longest)}
}

// Quantiles are in milliseconds: two of the last 128 durations, and the longest
// ever.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Milliseconds returns a duration as a report tells it.
func Milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond).Microseconds()) / 1000
}
