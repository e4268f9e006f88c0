// Package audit proves completeness: it holds what was emitted against what
// arrived.
package audit

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"kinetel/internal/record"
)

// Emitted is an event as its source knows it.
type Emitted struct {
	Time, Type string
	Record     string // JSON, byte for byte
}

// Verdict is the outcome of an audit.
type Verdict struct {
	Emitted    int // events that the source emitted
	Delivered  int // of these, how many arrived at least once
	Lost       int // of these, how many did not arrive
	Duplicated int // arrivals beyond the first of an event
	Unknown    int // arrivals of events that nobody emitted
	Own        int // arrivals of Kinetel's own events
	Told       int // events told as lost by kinetel.loss
	Holes      int // sequence numbers missing and not told as lost
	// Examples name a few of the events behind the numbers that should be 0.
	Examples []string
}

// OK reports whether everything arrived once.
func (v Verdict) OK() bool {
	return v.Lost == 0 && v.Duplicated == 0 && v.Unknown == 0 && v.Told == 0 && v.Holes == 0
}

func (v Verdict) String() string {
	return fmt.Sprintf("emitted %d, delivered %d, lost %d, duplicated %d, unknown %d, told as lost %d, holes %d",
		v.Emitted, v.Delivered, v.Lost, v.Duplicated, v.Unknown, v.Told, v.Holes)
}

const maxExamples = 20

func (v *Verdict) example(format string, args ...any) {
	if len(v.Examples) < maxExamples {
		v.Examples = append(v.Examples, fmt.Sprintf(format, args...))
	}
}

// Check holds what arrived against what was emitted. Events are the same if
// time, type and record are, byte for byte; arrivals are the same if environment
// and sequence number are.
func Check(emitted []Emitted, arrived []record.Event) Verdict {
	v := Verdict{Emitted: len(emitted)}
	due := map[Emitted]int{}
	for _, e := range emitted {
		due[e]++
	}
	known := maps.Clone(due)
	type number struct {
		environment string
		seq         uint64
	}
	seen := map[number]bool{}
	accounted := map[string][]span{} // by environment: arrived, or told as lost
	for _, a := range arrived {
		n := number{a.Environment(), a.Seq}
		own := strings.HasPrefix(a.Type, "kinetel.")
		if own {
			v.Own++
		}
		if seen[n] {
			v.Duplicated++
			v.example("arrived again: seq %d of %s: %s %s %.120s", a.Seq, n.environment, a.Time, a.Type, a.Body)
			continue
		}
		seen[n] = true
		accounted[n.environment] = append(accounted[n.environment], span{first: a.Seq, last: a.Seq})
		if own {
			if s, ok := lossOf(a); ok {
				v.Told += s.count
				accounted[n.environment] = append(accounted[n.environment], s)
			}
			continue
		}
		key := Emitted{a.Time, a.Type, string(a.Body)}
		switch {
		case due[key] > 0:
			due[key]--
			v.Delivered++
		case known[key] > 0:
			v.Duplicated++
			v.example("arrived again: seq %d of %s: %s %s %.120s", a.Seq, n.environment, a.Time, a.Type, a.Body)
		default:
			v.Unknown++
			v.example("arrived, but was never emitted: seq %d of %s: %s %s %.120s", a.Seq, n.environment, a.Time, a.Type, a.Body)
		}
	}
	for _, environment := range slices.Sorted(maps.Keys(accounted)) {
		v.holes(environment, accounted[environment])
	}
	for _, e := range emitted {
		if due[e] > 0 {
			due[e]--
			v.Lost++
			v.example("did not arrive: %s %s %.120s", e.Time, e.Type, e.Record)
		}
	}
	return v
}

// holes counts the sequence numbers of an environment that no span accounts for.
func (v *Verdict) holes(environment string, spans []span) {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	done := uint64(0) // all numbers up to this one are accounted for
	for _, s := range spans {
		if s.first > done && s.first-done > 1 {
			// What was not written by Kinetel may have any number.
			v.Holes += int(min(s.first-done-1, math.MaxInt32))
			v.example("missing and not told as lost: seq %d to %d of %s", done+1, s.first-1, environment)
		}
		done = max(done, s.last)
	}
}
