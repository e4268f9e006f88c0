package ledger

import (
	"slices"
	"sync"
	"time"
)

// Durations stores the last 128 durations of something. It is safe for concurrent
// use. The zero value is empty.
type Durations struct {
	mu    sync.Mutex
	ring  [128]time.Duration
	count int
	last  time.Duration
	max   time.Duration

	periodCount int // since the last Period
	periodMax   time.Duration
}

// Note adds a duration.
func (d *Durations) Note(duration time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ring[d.count%len(d.ring)] = duration
	d.count++
	d.last = duration
	d.max = max(d.max, duration)
	d.periodCount++
	d.periodMax = max(d.periodMax, duration)
}

// Last returns the last duration, or 0 if there is none.
func (d *Durations) Last() time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// Quantiles returns the quantiles of the last 128 durations, and the longest of all.
func (d *Durations) Quantiles() Quantiles {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.quantiles(d.count, d.max)
}

// Period returns how many durations were added since the last call, and their
// quantiles: those of the last 128, and the longest.
func (d *Durations) Period() (count int, q Quantiles) {
	d.mu.Lock()
	defer d.mu.Unlock()
	count, q = d.periodCount, d.quantiles(d.periodCount, d.periodMax)
	d.periodCount, d.periodMax = 0, 0
	return count, q
}

// quantiles returns the quantiles of the last n durations. The caller holds mu.
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

// Quantiles are in milliseconds: two quantiles of the last 128 durations, and the
// longest of all.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Milliseconds returns a duration in milliseconds, rounded to 1/100, as reports have
// it.
func Milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond).Microseconds()) / 1000
}
