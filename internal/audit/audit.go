// Package audit proves completeness: it compares the events that were emitted with
// those that arrived.
package audit

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"kinetel/internal/seqrange"
	"kinetel/record"
)

// Emitted is an event as its source knows it.
type Emitted struct {
	Time, Type string
	Record     string // JSON, byte for byte
}

// Verdict is the outcome of an audit.
type Verdict struct {
	Emitted      int // events that the source emitted and that must arrive
	Delivered    int // of these, how many arrived at least once
	Lost         int // of these, how many did not arrive
	Duplicated   int // arrivals beyond the first of an event
	Unknown      int // arrivals of events that were never emitted
	Own          int // arrivals of Kinetel's own events
	ReportedLost int // events that kinetel.loss events report lost
	Holes        int // sequence numbers missing, and in no range that is reported lost
	// LostSilently counts the events that were lost and that no kinetel.loss event
	// reports: the Holes; the numbers missing in the ranges of kinetel.loss events,
	// beyond the counts of these; and events that were lost although no number is
	// missing.
	LostSilently int
	// Examples name a few of the events behind the numbers that should be 0.
	Examples []string
}

// OK reports whether everything arrived once.
func (v Verdict) OK() bool {
	return v.Lost == 0 && v.Duplicated == 0 && v.Unknown == 0 && v.ReportedLost == 0 && v.Holes == 0 && v.LostSilently == 0
}

func (v Verdict) String() string {
	return fmt.Sprintf("emitted %d, delivered %d, lost %d, duplicated %d, unknown %d, reported lost %d, holes %d, lost silently %d",
		v.Emitted, v.Delivered, v.Lost, v.Duplicated, v.Unknown, v.ReportedLost, v.Holes, v.LostSilently)
}

const maxExamples = 20

func (v *Verdict) example(format string, args ...any) {
	if len(v.Examples) < maxExamples {
		v.Examples = append(v.Examples, fmt.Sprintf(format, args...))
	}
}

// number identifies an arrival. Arrivals with the same number are the same event.
type number struct {
	environment string
	seq         uint64
}

// account is the sequence numbers of one environment.
type account struct {
	arrived  []seqrange.Range
	reported []loss
}

// Check compares the events that arrived with those that were emitted. Events are
// the same if their time, type and record are the same, byte for byte. Arrivals are
// the same if their environment and sequence number are the same. Check joins the
// parts of an event.
func Check(emitted []Emitted, arrived []record.Event) Verdict {
	return CheckAcknowledged(emitted, nil, arrived)
}

// CheckAcknowledged is Check for a process that was killed. The events that it
// acknowledged must arrive. The possible ones may arrive or not: they were on their
// way to the process, which never acknowledged them.
func CheckAcknowledged(acknowledged, possible []Emitted, arrived []record.Event) Verdict {
	v := Verdict{Emitted: len(acknowledged)}
	expected := map[Emitted]int{}
	for _, e := range acknowledged {
		expected[e]++
	}
	known := maps.Clone(expected)
	optional := map[Emitted]int{}
	for _, e := range possible {
		optional[e]++
		known[e]++
	}

	// By number: find duplicates and missing events.
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
			v.duplicate(a)
			continue
		}
		seen[n] = true
		once = append(once, a)
		acc := accounts[n.environment]
		if acc == nil {
			acc = &account{}
			accounts[n.environment] = acc
		}
		acc.arrived = append(acc.arrived, seqrange.Range{First: a.Seq, Last: a.Seq})
		if l, ok := lossOf(a); ok {
			v.ReportedLost += l.count
			acc.reported = append(acc.reported, l)
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
			// Other parts are missing: the event did not arrive.
			v.example("a part without the others: seq %d of %s: part %d of %d", a.Seq, a.Environment(), a.Part, a.Parts)
		case expected[key] > 0:
			expected[key]--
			v.Delivered++
		case optional[key] > 0:
			optional[key]--
		case known[key] > 0:
			v.duplicate(a)
		default:
			v.Unknown++
			v.example("arrived, but was never emitted: seq %d of %s: %s %s %.120s", a.Seq, a.Environment(), a.Time, a.Type, a.Body)
		}
	}
	for _, e := range acknowledged {
		if expected[e] > 0 {
			expected[e]--
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

func (v *Verdict) duplicate(a record.Event) {
	v.Duplicated++
	v.example("arrived again: seq %d of %s: %s %s %.120s", a.Seq, a.Environment(), a.Time, a.Type, a.Body)
}

// missing counts the sequence numbers of an environment that did not arrive. It
// adds those that no kinetel.loss event reports to Holes and LostSilently.
func (v *Verdict) missing(environment string, acc *account) (all int) {
	arrived := seqrange.New(append(acc.arrived, seqrange.Range{})...) // numbers begin at 1: 0 is never missing
	losses := merge(acc.reported)
	var reported seqrange.Set
	for _, l := range losses {
		reported = reported.Add(l.Range)
	}
	known := arrived.Merge(reported)
	for _, hole := range known.Gaps(seqrange.Range{Last: known[len(known)-1].Last}) {
		n := size(hole)
		all = plus(all, n)
		v.Holes, v.LostSilently = plus(v.Holes, n), plus(v.LostSilently, n)
		v.example("missing and not reported lost: seq %d to %d of %s", hole.First, hole.Last, environment)
	}
	// Ranges that overlap count as one, because nothing says which of them reports
	// which number.
	for _, l := range losses {
		within := 0
		for _, gap := range arrived.Gaps(l.Range) {
			within = plus(within, size(gap))
		}
		all = plus(all, within)
		if beyond := within - l.count; beyond > 0 {
			v.LostSilently = plus(v.LostSilently, beyond)
			v.example("%d missing, but only %d reported lost: seq %d to %d of %s", within, l.count, l.First, l.Last, environment)
		}
	}
	return all
}
