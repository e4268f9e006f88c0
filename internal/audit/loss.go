package audit

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"

	"kinetel/internal/event"
	"kinetel/record"
)

// span is a run of sequence numbers.
type span struct {
	first, last uint64
	count       int // of events, where they were told as lost
}

// lossOf reads a kinetel.loss event.
func lossOf(e record.Event) (span, bool) {
	if e.Type != event.TypeLoss {
		return span{}, false
	}
	var body struct {
		FirstSeq, LastSeq uint64
		Count             int
	}
	if err := json.Unmarshal(e.Body, &body); err != nil || body.FirstSeq > body.LastSeq {
		return span{}, false
	}
	return span{body.FirstSeq, body.LastSeq, body.Count}, true
}

// gaps returns what lies between the spans, from number 1 on, or within the one
// that is given.
func gaps(spans []span, within ...span) (between []span) {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	done := uint64(0) // all numbers up to this one are accounted for
	end := uint64(math.MaxUint64)
	if len(within) > 0 {
		done, end = max(within[0].first, 1)-1, within[0].last
	}
	for _, s := range spans {
		if s.first > done && s.first-done > 1 && done < end {
			between = append(between, span{first: done + 1, last: min(s.first-1, end)})
		}
		done = max(done, s.last)
	}
	if len(within) > 0 && done < end {
		between = append(between, span{first: done + 1, last: end})
	}
	return between
}

// merge puts spans together that overlap, and adds their counts.
func merge(spans []span) (merged []span) {
	spans = slices.Clone(spans)
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	for _, s := range spans {
		if n := len(merged); n > 0 && s.first <= merged[n-1].last {
			merged[n-1].last = max(merged[n-1].last, s.last)
			merged[n-1].count = plus(merged[n-1].count, s.count)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// size is how many numbers a span has. What was not written by Kinetel may have
// any number, so there is a limit.
func size(s span) int { return int(min(s.last-s.first, math.MaxInt32-1)) + 1 }

// plus adds counts that cannot be, too.
func plus(a, b int) int {
	if sum := a + b; b < 0 || sum >= a {
		return sum
	}
	return math.MaxInt
}
