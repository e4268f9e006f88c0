// Package seqrange computes with sets of sequence numbers: what arrived, what was
// reported lost, what the spool holds, and what of one is missing in another.
package seqrange

import (
	"cmp"
	"math"
	"slices"
	"sort"

	"github.com/kinetel/kinetel/internal/order"
)

// Range is the numbers from First to Last, both included. First is at most Last.
type Range struct{ First, Last uint64 }

// Len returns how many numbers r has, at most the greatest number there is.
func (r Range) Len() uint64 {
	if n := r.Last - r.First; n < math.MaxUint64 {
		return n + 1
	}
	return math.MaxUint64
}

// Set is a set of numbers: ranges in ascending order that neither overlap nor
// touch. The zero value is empty. New, Add and Subtract keep it that way.
type Set []Range

// New returns the numbers of all ranges, which may be in any order and overlap. A
// range whose First is greater than its Last is none.
func New(ranges ...Range) Set {
	set := make(Set, 0, len(ranges))
	for _, r := range ranges {
		if r.First <= r.Last {
			set = append(set, r)
		}
	}
	order.By(set, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	merged := set[:0]
	for _, r := range set {
		merged = merged.extend(r)
	}
	return merged
}

// extend adds a range that begins at or after the last one of s.
func (s Set) extend(r Range) Set {
	if n := len(s) - 1; n >= 0 && (r.First <= s[n].Last || r.First-1 == s[n].Last) {
		s[n].Last = max(s[n].Last, r.Last)
		return s
	}
	return append(s, r)
}

// Add returns s with the numbers of r. It reuses the memory of s, as append does,
// and takes no time to speak of if r comes after all that is in s.
func (s Set) Add(r Range) Set {
	if r.First <= r.Last && (len(s) == 0 || r.First >= s[len(s)-1].First) {
		return s.extend(r)
	}
	return New(append(s, r)...)
}

// Insert does what Add does, in place and without sorting: for numbers that come in any
// order. r must not be empty.
func (s Set) Insert(r Range) Set {
	from := s.search(max(r.First, 1) - 1) // the first range that r overlaps or touches
	to := from
	for ; to < len(s) && (s[to].First <= r.Last || s[to].First-1 == r.Last); to++ {
		r.First, r.Last = min(r.First, s[to].First), max(r.Last, s[to].Last)
	}
	return slices.Replace(s, from, to, r)
}

// Merge returns the numbers that are in s, in other, or in both.
func (s Set) Merge(other Set) Set {
	return New(append(append(make(Set, 0, len(s)+len(other)), s...), other...)...)
}

// Contains reports whether all numbers of r are in s.
func (s Set) Contains(r Range) bool {
	i := s.search(r.First)
	return i < len(s) && s[i].First <= r.First && r.Last <= s[i].Last
}

// search returns the index of the first range that ends at n or later.
func (s Set) search(n uint64) int {
	return sort.Search(len(s), func(i int) bool { return s[i].Last >= n })
}

// Subtract returns the numbers of s that are not in other.
func (s Set) Subtract(other Set) Set {
	var left Set
	for _, r := range s {
		left = append(left, other.Gaps(r)...)
	}
	return left
}

// Gaps returns the numbers of r that are not in s.
func (s Set) Gaps(r Range) Set {
	var gaps Set
	for _, have := range s[s.search(r.First):] {
		if have.First > r.Last {
			break
		}
		if r.First < have.First {
			gaps = append(gaps, Range{r.First, have.First - 1})
		}
		if have.Last >= r.Last {
			return gaps
		}
		r.First = have.Last + 1
	}
	return append(gaps, r)
}

// Len returns how many numbers s has, at most the greatest number there is.
func (s Set) Len() uint64 {
	var n uint64
	for _, r := range s {
		if n > math.MaxUint64-r.Len() {
			return math.MaxUint64
		}
		n += r.Len()
	}
	return n
}
