package audit

import (
	"cmp"
	"math"
	"slices"

	"github.com/kinetel/kinetel/internal/seqrange"
)

// loss is what a kinetel.loss event reports.
type loss struct {
	seqrange.Range
	count uint64 // of events that were lost in the range
}

// shortage is a range of which more is missing than losses report.
type shortage struct {
	seqrange.Range
	missing  uint64
	reported uint64
}

// judgement is what the numbers of an environment prove.
type judgement struct {
	missing      uint64 // judged numbers that did not arrive
	holes        seqrange.Set
	shortages    []shortage
	overreported uint64
}

// judge applies the rules 3 to 5 of the package comment.
func judge(arrived seqrange.Set, losses []loss, judged seqrange.Range) (j judgement) {
	losses = merge(losses)
	known := slices.Clone(arrived)
	for _, l := range losses {
		known = append(known, l.Range)
	}
	if judged.First > judged.Last {
		return j
	}
	j.holes = seqrange.New(known...).Gaps(judged)
	j.missing = j.holes.Len()
	for _, l := range losses {
		if n := arrived.Gaps(l.Range).Len(); l.count > n {
			j.overreported = sum(j.overreported, l.count-n)
		}
		within := missingOf(arrived, seqrange.Range{First: max(l.First, judged.First), Last: min(l.Last, judged.Last)})
		j.missing = sum(j.missing, within)
		if within > l.count {
			j.shortages = append(j.shortages, shortage{l.Range, within, l.count})
		}
	}
	return j
}

// missingOf returns how many numbers of r did not arrive.
func missingOf(arrived seqrange.Set, r seqrange.Range) uint64 {
	if r.First > r.Last {
		return 0
	}
	return arrived.Gaps(r).Len()
}

// unexplained returns how many numbers are missing and not reported lost.
func (j judgement) unexplained() uint64 {
	n := j.holes.Len()
	for _, s := range j.shortages {
		n = sum(n, s.missing-s.reported)
	}
	return n
}

// merge joins losses whose ranges overlap, and adds their counts. Ranges that
// only touch stay apart: each has a count of its own.
func merge(losses []loss) (merged []loss) {
	losses = slices.SortedFunc(slices.Values(losses), func(a, b loss) int { return cmp.Compare(a.First, b.First) })
	for _, l := range losses {
		if n := len(merged); n > 0 && l.First <= merged[n-1].Last {
			merged[n-1].Last = max(merged[n-1].Last, l.Last)
			merged[n-1].count = sum(merged[n-1].count, l.count)
			continue
		}
		merged = append(merged, l)
	}
	return merged
}

// sum adds, and returns the greatest number if the sum is larger: an event that Kinetel
// did not write can have any number.
func sum(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}
