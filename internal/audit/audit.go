// Package audit proves completeness: it holds what was emitted against what
// arrived.
package audit

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"kinetel/record"
)

// Emitted is an event as its source knows it.
type Emitted struct {
	Time, Type string
	Record     string // JSON, byte for byte
}

// Verdict is the outcome of an audit.
type Verdict struct {
	Emitted    int // events that the source emitted and that are owed
	Delivered  int // of these, how many arrived at least once
	Lost       int // of these, how many did not arrive
	Duplicated int // arrivals beyond the first of an event
	Unknown    int // arrivals of events that nobody emitted
	Own        int // arrivals of Kinetel's own events
	ReportedLost       int // events told as lost by kinetel.loss
	Holes      int // sequence numbers missing and in no range told as lost
	// Silent is what was lost without a word: the Holes, what is missing inside
	// the ranges of kinetel.loss beyond the counts that they tell, and events
	// lost of which not even a number is missing.
	LostSilently int
	// Examples name a few of the events behind the numbers that should be 0.
	Examples []string
}

// OK reports whether everything arrived once.
func (v Verdict) OK() bool {
	return v.Lost == 0 && v.Duplicated == 0 && v.Unknown == 0 && v.ReportedLost == 0 && v.Holes == 0 && v.LostSilently == 0
}

func (v Verdict) String() string {
	return fmt.Sprintf("emitted %d, delivered %d, lost %d, duplicated %d, unknown %d, told as lost %d, holes %d, lost without a word %d",
		v.Emitted, v.Delivered, v.Lost, v.Duplicated, v.Unknown, v.ReportedLost, v.Holes, v.LostSilently)
}

const maxExamples = 20

func (v *Verdict) example(format string, args ...any) {
	if len(v.Examples) < maxExamples {
		v.Examples = append(v.Examples, fmt.Sprintf(format, args...))
	}
}

// number is what makes arrivals the same.
type number struct {
	environment string
	seq         uint64
}

// account is what the numbers of an environment say.
type account struct {
	arrived []span
	told    []span
}

// Check holds what arrived against what was emitted. Events are the same if
// time, type and record are, byte for byte; arrivals are the same if environment
// and sequence number are. Parts of an event are put together.
func Check(emitted []Emitted, arrived []record.Event) Verdict {
	return CheckAcknowledged(emitted, nil, arrived)
}

// CheckOwed is Check where some events may arrive or not: those that were on
// their way to a process when it was killed, and that it never acknowledged.
func CheckAcknowledged(owed, possible []Emitted, arrived []record.Event) Verdict {
	v := Verdict{Emitted: len(owed)}
	due := map[Emitted]int{}
	for _, e := range owed {
		due[e]++
	}
	known := maps.Clone(due)
	may := map[Emitted]int{}
	for _, e := range possible {
		may[e]++
		known[e]++
	}

	// By number: duplicates, and what is missing.
	seen := map[number]bool{}
	accounts := map[string]*account{}
	once := make([]record.Event, 0, len(arrived))
	for _, a := range arrived {
		n := number{a.Environment(), a.Seq}
		own := isOwn(a)
		if own {
			v.Own++
		}
		if seen[n] {
			v.again(a)
			continue
		}
		seen[n] = true
		once = append(once, a)
		acc := accounts[n.environment]
		if acc == nil {
			acc = &account{}
			accounts[n.environment] = acc
		}
		acc.arrived = append(acc.arrived, span{first: a.Seq, last: a.Seq})
		if s, ok := lossOf(a); ok {
			v.ReportedLost += s.count
			acc.told = append(acc.told, s)
		}
	}

	// By content.
	for _, a := range record.Join(once) {
		if isOwn(a) {
			continue
		}
		key := Emitted{a.Time, a.Type, string(a.Body)}
		switch {
		case a.Parts > 0:
			// The rest of it is missing: the event did not arrive.
			v.example("a part without the others: seq %d of %s: part %d of %d", a.Seq, a.Environment(), a.Part, a.Parts)
		case due[key] > 0:
			due[key]--
			v.Delivered++
		case may[key] > 0:
			may[key]--
		case known[key] > 0:
			v.again(a)
		default:
			v.Unknown++
			v.example("arrived, but was never emitted: seq %d of %s: %s %s %.120s", a.Seq, a.Environment(), a.Time, a.Type, a.Body)
		}
	}
	for _, e := range owed {
		if due[e] > 0 {
			due[e]--
			v.Lost++
			v.example("did not arrive: %s %s %.120s", e.Time, e.Type, e.Record)
		}
	}

	missing := 0
	for _, environment := range slices.Sorted(maps.Keys(accounts)) {
		missing = plus(missing, v.missing(environment, accounts[environment]))
	}
	v.LostSilently = plus(v.LostSilently, max(v.Lost-missing, 0))
	return v
}

func isOwn(e record.Event) bool { return strings.HasPrefix(e.Type, "kinetel.") }

func (v *Verdict) again(a record.Event) {
	v.Duplicated++
	v.example("arrived again: seq %d of %s: %s %s %.120s", a.Seq, a.Environment(), a.Time, a.Type, a.Body)
}

// missing counts the sequence numbers of an environment that did not arrive, and
// adds those of which nothing was told to Holes and Silent.
func (v *Verdict) missing(environment string, acc *account) (all int) {
	for _, hole := range gaps(append(slices.Clone(acc.told), acc.arrived...)) {
		n := size(hole)
		all = plus(all, n)
		v.Holes, v.LostSilently = plus(v.Holes, n), plus(v.LostSilently, n)
		v.example("missing and not told as lost: seq %d to %d of %s", hole.first, hole.last, environment)
	}
	// Ranges that overlap are one: which of them tells of which number cannot
	// be known.
	for _, told := range merge(acc.told) {
		within := 0
		for _, gap := range gaps(acc.arrived, told) {
			within = plus(within, size(gap))
		}
		all = plus(all, within)
		if beyond := within - told.count; beyond > 0 {
			v.LostSilently = plus(v.LostSilently, beyond)
			v.example("%d missing, but only %d told as lost: seq %d to %d of %s", within, told.count, told.first, told.last, environment)
		}
	}
	return all
}
