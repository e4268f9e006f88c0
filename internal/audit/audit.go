// Package audit proves completeness: it holds what was emitted against what
// arrived.
package audit

import (
	"fmt"
	"maps"
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

const maxExamples = 10

func (v *Verdict) example(format string, args ...any) {
	if len(v.Examples) < maxExamples {
		v.Examples = append(v.Examples, fmt.Sprintf(format, args...))
	}
}

// Check holds what arrived against what was emitted. Events are the same if
// time, type and record are, byte for byte.
func Check(emitted []Emitted, arrived []record.Event) Verdict {
	v := Verdict{Emitted: len(emitted)}
	due := map[Emitted]int{}
	for _, e := range emitted {
		due[e]++
	}
	known := maps.Clone(due)
	seen := map[string]map[uint64]bool{} // by environment
	var told []span
	for _, a := range arrived {
		environment := a.Environment()
		if seen[environment] == nil {
			seen[environment] = map[uint64]bool{}
		}
		again := seen[environment][a.Seq]
		seen[environment][a.Seq] = true
		if strings.HasPrefix(a.Type, "kinetel.") {
			v.Own++
			if again {
				v.Duplicated++
				v.example("arrived again: seq %d of %s", a.Seq, environment)
			} else if s, ok := lossOf(a); ok {
				v.Told += s.count
				told = append(told, s)
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
			v.example("arrived again: seq %d of %s: %s %s %.120s", a.Seq, environment, a.Time, a.Type, a.Body)
		default:
			v.Unknown++
			v.example("arrived, but was never emitted: seq %d of %s: %s %s %.120s", a.Seq, environment, a.Time, a.Type, a.Body)
		}
	}
	for _, e := range emitted {
		if due[e] > 0 {
			due[e]--
			v.Lost++
			v.example("did not arrive: %s %s %.120s", e.Time, e.Type, e.Record)
		}
	}
	for _, s := range told {
		for seq := s.first; seq <= s.last; seq++ {
			seen[s.environment][seq] = true
		}
	}
	for environment, seqs := range seen {
		last := slices.Max(slices.Collect(maps.Keys(seqs)))
		if holes := int(last) - len(seqs); holes > 0 {
			v.Holes += holes
			v.example("environment %s: %d sequence numbers up to %d are missing and not told as lost", environment, holes, last)
		}
	}
	return v
}
