package audit

import (
	"cmp"
	"math"
	"slices"

	"github.com/kinetel/kinetel/internal/seqrange"
)

// numbers is the sequence numbers of one environment.
type numbers struct {
	arrived  []seqrange.Range
	reported []loss
}

// loss is what a kinetel.loss event reports.
type loss struct {
	seqrange.Range
	count int // of events that were lost in the range
}

// missing counts the sequence numbers of an environment that did not arrive. It
// adds those that no kinetel.loss event reports to Holes and LostSilently.
func (v *Verdict) missing(environment string, of *numbers) (all int) {
	arrived := seqrange.New(append(of.arrived, seqrange.Range{})...) // numbers begin at 1: 0 is never missing
	losses := merge(of.reported)
	var reported seqrange.Set
	for _, l := range losses {
		reported = reported.Add(l.Range)
	}
	known := arrived.Merge(reported)
	for _, hole := range known.Gaps(seqrange.Range{Last: known[len(known)-1].Last}) {
		n := size(hole)
		all, v.Holes, v.LostSilently = all+n, v.Holes+n, v.LostSilently+n
		v.example("missing and not reported lost: seq %d to %d of %s", hole.First, hole.Last, environment)
	}
	// Ranges that overlap count as one, because nothing says which of them reports
	// which number.
	for _, l := range losses {
		within := 0
		for _, gap := range arrived.Gaps(l.Range) {
			within += size(gap)
		}
		all += within
		if beyond := within - l.count; beyond > 0 {
			v.LostSilently += beyond
			v.example("%d missing, but only %d reported lost: seq %d to %d of %s", within, l.count, l.First, l.Last, environment)
		}
	}
	return all
}

// merge joins losses whose ranges overlap, and adds their counts. Ranges that
// only touch stay apart: each has a count of its own.
func merge(losses []loss) (merged []loss) {
	slices.SortFunc(losses, func(a, b loss) int { return cmp.Compare(a.First, b.First) })
	for _, l := range losses {
		if n := len(merged); n > 0 && l.First <= merged[n-1].Last {
			merged[n-1].Last = max(merged[n-1].Last, l.Last)
			merged[n-1].count += l.count
			continue
		}
		merged = append(merged, l)
	}
	return merged
}

// size returns how many numbers a range has, at most math.MaxInt32, so that sums fit
// into an int: an event that Kinetel did not write can have any number.
func size(r seqrange.Range) int { return int(min(r.Len(), math.MaxInt32)) }
