package ledger

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/kinetel/kinetel/internal/order"
)

// Durations stores durations of something: the last 128, and up to 1,000 of a period.
// It is safe for concurrent use. The zero value is empty.
type Durations struct {
	mu    sync.Mutex
	ring  [128]time.Duration
	count int
	last  time.Duration
	max   time.Duration

	period      [1000]time.Duration // since the last Period; the first one is the longest
	periodCount int
}

// Note adds a duration.
func (d *Durations) Note(duration time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ring[d.count%len(d.ring)] = duration
	d.count++
	d.last = duration
	d.max = max(d.max, duration)
	d.addToPeriod(duration)
}

// addToPeriod stores a duration for Period. If there are too many, it stores the
// longest one and a uniform selection of the others (reservoir sampling, Vitter's
// algorithm R). The caller holds mu.
func (d *Durations) addToPeriod(duration time.Duration) {
	i := d.periodCount
	d.periodCount++
	if i > 0 && duration > d.period[0] {
		duration, d.period[0] = d.period[0], duration
	}
	if i >= len(d.period) {
		i = 1 + rand.IntN(i)
	}
	if i < len(d.period) {
		d.period[i] = duration
	}
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
	n := min(d.count, len(d.ring))
	if n == 0 {
		return Quantiles{}
	}
	sorted := slices.Clone(d.ring[:n])
	order.By(sorted, cmp.Compare[time.Duration])
	return Quantiles{P50: Milliseconds(sorted[(n-1)/2]), P99: Milliseconds(sorted[(n-1)*99/100]), Max: Milliseconds(d.max)}
}

// Period returns the durations that were added since the last call, in no order. Of
// more than 1,000 it returns the longest one and a uniform selection of the others.
func (d *Durations) Period() []time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	durations := slices.Clone(d.period[:min(d.periodCount, len(d.period))])
	d.periodCount = 0
	return durations
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
