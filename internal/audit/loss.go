package audit

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"

	"kinetel/internal/event"
	"kinetel/internal/seqrange"
	"kinetel/record"
)

// loss is what a kinetel.loss event reports.
type loss struct {
	seqrange.Range
	count int // of events that were lost in the range
}

// lossOf reads a kinetel.loss event.
func lossOf(e record.Event) (loss, bool) {
	if e.Type != event.TypeLoss {
		return loss{}, false
	}
	var body struct {
		FirstSeq, LastSeq uint64
		Count             int
	}
	if err := json.Unmarshal(e.Body, &body); err != nil || body.FirstSeq > body.LastSeq {
		return loss{}, false
	}
	return loss{seqrange.Range{First: body.FirstSeq, Last: body.LastSeq}, body.Count}, true
}

// merge joins losses whose ranges overlap, and adds their counts. Ranges that
// only touch stay apart: each has a count of its own.
func merge(losses []loss) (merged []loss) {
	losses = slices.Clone(losses)
	slices.SortFunc(losses, func(a, b loss) int { return cmp.Compare(a.First, b.First) })
	for _, l := range losses {
		if n := len(merged); n > 0 && l.First <= merged[n-1].Last {
			merged[n-1].Last = max(merged[n-1].Last, l.Last)
			merged[n-1].count = plus(merged[n-1].count, l.count)
			continue
		}
		merged = append(merged, l)
	}
	return merged
}

// size returns how many numbers a range has, at most math.MaxInt32. An event that
// Kinetel did not write can have any number.
func size(r seqrange.Range) int { return int(min(r.Len(), math.MaxInt32)) }

// plus returns a+b. If that is more than an int can have, it returns the greatest
// int.
func plus(a, b int) int {
	if sum := a + b; b < 0 || sum >= a {
		return sum
	}
	return math.MaxInt
}
