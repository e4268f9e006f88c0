package audit_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/record"
)

// model is the rules once more, number by number.
type model struct {
	arrived map[uint64]int
	losses  map[uint64]record.Loss // by the number of their event
	spooled uint64
}

func (m model) counts(whole bool) (missing, unexplained, spooled, over uint64) {
	first, last := uint64(math.MaxUint64), uint64(0)
	for n := range m.arrived {
		first, last = min(first, n), max(last, n)
	}
	if whole {
		first = 1
	}
	group := map[uint64]uint64{} // a number's group: the least number of the ranges that overlap
	for changed := true; changed; {
		changed = false
		for _, l := range m.losses {
			least := l.FirstSeq
			for n := l.FirstSeq; n <= l.LastSeq; n++ {
				if g, ok := group[n]; ok {
					least = min(least, g)
				}
			}
			for n := l.FirstSeq; n <= l.LastSeq; n++ {
				if g, ok := group[n]; !ok || g != least {
					group[n], changed = least, true
				}
			}
		}
	}
	inGroup, allInGroup, count := map[uint64]uint64{}, map[uint64]uint64{}, map[uint64]uint64{}
	for n := uint64(1); n <= 200; n++ {
		g, reported := group[n]
		if m.arrived[n] > 0 {
			continue
		}
		allInGroup[g]++
		if n < first || n > last {
			continue
		}
		missing++
		if reported {
			inGroup[g]++
		} else {
			unexplained++
		}
	}
	for _, l := range m.losses {
		count[group[l.FirstSeq]] += uint64(l.Count)
	}
	for g, n := range count {
		unexplained += inGroup[g] - min(inGroup[g], n)
		over += n - min(allInGroup[g], n)
	}
	spooled = min(m.spooled, unexplained)
	return missing, unexplained - spooled, spooled, over
}

func TestAnAuditorAgreesWithTheRulesNumberByNumber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		whole := rapid.Bool().Draw(t, "whole")
		number := rapid.Uint64Range(1, 120)
		m := model{arrived: map[uint64]int{}, losses: map[uint64]record.Loss{}}
		var arrived []record.Event
		for _, n := range rapid.SliceOfN(number, 1, 150).Draw(t, "numbers") {
			arrived = append(arrived, line("e", n, ""))
		}
		for i := range uint64(rapid.IntRange(0, 5).Draw(t, "losses")) {
			l := record.Loss{FirstSeq: number.Draw(t, "first"), Count: rapid.Int64Range(1, 9).Draw(t, "count")}
			l.LastSeq = l.FirstSeq + rapid.Uint64Range(0, 9).Draw(t, "length")
			m.losses[130+i] = l
			for range rapid.IntRange(1, 2).Draw(t, "copies") {
				arrived = append(arrived, some("e", 130+i, l.FirstSeq, l.LastSeq, uint64(l.Count)))
			}
		}
		if rapid.Bool().Draw(t, "ended") {
			m.spooled = rapid.Uint64Range(0, 9).Draw(t, "spooled")
			arrived = append(arrived, finalReport("e", 140, true, int(m.spooled)))
		}
		for _, e := range arrived {
			m.arrived[e.Seq]++
		}
		missing, unexplained, spooled, over := m.counts(whole)
		got := reportOf(t, audit.Options{Whole: whole}, rapid.Permutation(arrived).Draw(t, "order")...).Environments[0]
		want := got
		want.Events, want.Duplicates = uint64(len(m.arrived)), uint64(len(arrived)-len(m.arrived))
		want.Missing, want.Unexplained, want.Spooled, want.Overreported = missing, unexplained, spooled, over
		want.Explained = missing - unexplained - spooled
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("environment (-want +got):\n%s", diff)
		}
	})
}
