package seqrange_test

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/seqrange"
)

// The model: a number is in the set or not. Numbers lie at the beginning or at the
// end of what there is, where counting could overflow.
const width = 40

type model [2 * width]bool

func number(i int) uint64 {
	if i < width {
		return uint64(i)
	}
	return math.MaxUint64 - uint64(2*width-1-i)
}

func ranges(t *rapid.T, label string) []seqrange.Range {
	n := rapid.IntRange(0, 8).Draw(t, label)
	list := make([]seqrange.Range, n)
	for i := range list {
		list[i] = anyRange(t, label)
	}
	return list
}

func anyRange(t *rapid.T, label string) seqrange.Range {
	from := rapid.IntRange(0, 2*width-1).Draw(t, label)
	to := rapid.IntRange(from, 2*width-1).Draw(t, label)
	if from < width && to >= width { // nothing but the ends is modelled
		to = width - 1
	}
	return seqrange.Range{First: number(from), Last: number(to)}
}

func of(list []seqrange.Range) (m model) {
	for i := range m {
		m[i] = slices.ContainsFunc(list, func(r seqrange.Range) bool { return r.First <= number(i) && number(i) <= r.Last })
	}
	return m
}

// check fails the test unless the set is in its one form and has what want has.
func check(t *rapid.T, what string, set seqrange.Set, want model) {
	t.Helper()
	for i, r := range set {
		if r.First > r.Last || i > 0 && (r.First <= set[i-1].Last || r.First-1 == set[i-1].Last) {
			t.Fatalf("%s is not in order, or its ranges touch: %v", what, set)
		}
	}
	if got := of(set); got != want {
		t.Fatalf("%s is %v, want the numbers %v", what, set, want)
	}
	count := uint64(0)
	for _, in := range want {
		if in {
			count++
		}
	}
	if set.Len() != count {
		t.Fatalf("%s: Len is %d, want %d", what, set.Len(), count)
	}
}

func TestSetsAreLikeSetsOfSingleNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, r := ranges(t, "a"), ranges(t, "b"), anyRange(t, "r")
		inA, inB, inR := of(a), of(b), of([]seqrange.Range{r})
		var merged, left, added, gaps model
		contained := true
		for i := range inA {
			merged[i] = inA[i] || inB[i]
			left[i] = inA[i] && !inB[i]
			added[i] = inA[i] || inR[i]
			gaps[i] = inR[i] && !inA[i]
			contained = contained && (!inR[i] || inA[i])
		}
		setA, setB := seqrange.New(a...), seqrange.New(b...)
		before := slices.Clone(setA)
		check(t, "New", setA, inA)
		check(t, "Merge", setA.Merge(setB), merged)
		check(t, "Subtract", setA.Subtract(setB), left)
		check(t, "Gaps", setA.Gaps(r), gaps)
		if got := setA.Contains(r); got != contained {
			t.Fatalf("%v contains %v: %v, want %v", setA, r, got, contained)
		}
		if diff := cmp.Diff(before, setA, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("the set has changed (-before +after):\n%s", diff)
		}
		check(t, "Insert", slices.Clone(setA).Insert(r), added)
		check(t, "Add", setA.Add(r), added)
	})
}

func TestInvalidRangesAreIgnored(t *testing.T) {
	if set := seqrange.New(seqrange.Range{First: 2, Last: 1}); len(set) != 0 {
		t.Errorf("New of a range that ends before it begins is %v", set)
	}
	if set := seqrange.New(seqrange.Range{First: 5, Last: 9}).Add(seqrange.Range{First: 7, Last: 6}); len(set) != 1 || set.Len() != 5 {
		t.Errorf("Add of a range that ends before it begins gives %v", set)
	}
}

func TestTheWholeRangeHasTheGreatestLength(t *testing.T) {
	all := seqrange.New(seqrange.Range{First: 0, Last: math.MaxUint64})
	if got := all.Len(); got != math.MaxUint64 {
		t.Errorf("Len is %d", got)
	}
}
