package audit

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kinetel/kinetel/internal/seqrange"
	"github.com/kinetel/kinetel/record"
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
	LeftOut      int // of these, how many did not arrive and are reported as left out on purpose
	Lost         int // of these, how many did not arrive, without LeftOut
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
	// ArrivedAlthoughLeftOut counts the events that are reported as left out and arrived.
	ArrivedAlthoughLeftOut int
	// Examples name a few of the events behind the numbers that should be 0.
	Examples []string
}

// OK reports whether everything arrived once.
func (v Verdict) OK() bool {
	return v.Lost == 0 && v.Duplicated == 0 && v.Unknown == 0 && v.ReportedLost == 0 && v.Holes == 0 && v.LostSilently == 0 && v.ArrivedAlthoughLeftOut == 0
}

func (v Verdict) String() string {
	return fmt.Sprintf("emitted %d, delivered %d, left out %d, lost %d, duplicated %d, unknown %d, reported lost %d, holes %d, lost silently %d, left out and arrived %d",
		v.Emitted, v.Delivered, v.LeftOut, v.Lost, v.Duplicated, v.Unknown, v.ReportedLost, v.Holes, v.LostSilently, v.ArrivedAlthoughLeftOut)
}

const maxExamples = 20

func (v *Verdict) example(format string, args ...any) {
	if len(v.Examples) < maxExamples {
		v.Examples = append(v.Examples, fmt.Sprintf(format, args...))
	}
}

// Check compares the events that arrived with those that were emitted. Events are
// the same if their time, type and record are the same, byte for byte. Arrivals are
// the same if their environment and sequence number are the same. Check joins the
// parts of an event.
func Check(emitted []Emitted, arrived []record.Event) Verdict {
	return CheckAcknowledged(emitted, nil, arrived)
}

// CheckAcknowledged is Check for a process that was killed. The events that it
// acknowledged must arrive. The possible ones may arrive or not: they were sent to the
// process, and it has not acknowledged them.
func CheckAcknowledged(acknowledged, possible []Emitted, arrived []record.Event) Verdict {
	v := Verdict{Emitted: len(acknowledged)}
	once, environments := v.dropDuplicates(arrived)
	v.compare(acknowledged, possible, once, leftOut(once))
	missing := 0
	for _, id := range slices.Sorted(maps.Keys(environments)) {
		missing += v.missing(id, environments[id])
	}
	v.LostSilently += max(v.Lost-missing, 0)
	return v
}

// dropDuplicates returns the first arrival of each event, and the sequence numbers of
// each environment.
func (v *Verdict) dropDuplicates(arrived []record.Event) (once []record.Event, environments map[string]*numbers) {
	seen := map[record.Key]bool{}
	environments = map[string]*numbers{}
	for _, e := range arrived {
		if isOwn(e) {
			v.Own++
		}
		key := e.Key()
		if seen[key] {
			v.duplicate(e)
			continue
		}
		seen[key] = true
		once = append(once, e)
		n := environments[key.InstanceID]
		if n == nil {
			n = &numbers{}
			environments[key.InstanceID] = n
		}
		n.arrived = append(n.arrived, seqrange.Range{First: e.Seq, Last: e.Seq})
		if l, err := e.Loss(); err == nil {
			v.ReportedLost += toInt(uint64(l.Count))
			n.reported = append(n.reported, loss{seqrange.Range{First: l.FirstSeq, Last: l.LastSeq}, uint64(l.Count)})
		}
	}
	return once, environments
}

// leftOut returns how many events are reported as left out, without the lines of
// Kinetel's own log: for each environment what its last kinetel.report has, or, if the
// process was killed after that, its kinetel.invocation events.
func leftOut(arrived []record.Event) (n int) {
	reports, invocations := map[string]record.Event{}, map[string]int64{}
	for _, e := range arrived {
		if r, err := e.Report(); err == nil && r.LeftOut.Total() > 0 && e.Seq >= reports[e.InstanceID()].Seq {
			reports[e.InstanceID()] = e
		}
		if i, err := e.Invocation(); err == nil && e.Type == record.TypeInvocation {
			invocations[e.InstanceID()] += i.LeftOut.Total()
		}
	}
	for id, e := range reports {
		r, _ := e.Report()
		invocations[id] = max(invocations[id], r.LeftOut.Total()-r.LeftOut.OwnLog)
	}
	for _, left := range invocations {
		n += int(left)
	}
	return n
}

// compare compares the events that arrived with those that were emitted, by their
// content. leftOut of those that did not arrive are left out.
func (v *Verdict) compare(acknowledged, possible []Emitted, arrived []record.Event, leftOut int) {
	expected, optional, known := map[Emitted]int{}, map[Emitted]int{}, map[Emitted]bool{}
	for _, e := range acknowledged {
		expected[e]++
		known[e] = true
	}
	for _, e := range possible {
		optional[e]++
		known[e] = true
	}
	for _, a := range record.Join(arrived) {
		if isOwn(a) {
			continue
		}
		key := Emitted{a.TimeText, a.Type, string(a.Body)}
		switch {
		case a.Parts > 0: // other parts are missing: the event did not arrive
			v.example("a part without the others: %v: part %d of %d", a.Key(), a.Part, a.Parts)
		case expected[key] > 0:
			expected[key]--
			v.Delivered++
		case optional[key] > 0:
			optional[key]--
		case known[key]:
			v.duplicate(a)
		default:
			v.Unknown++
			v.example("arrived, but was never emitted: %v: %s %s %.120s", a.Key(), a.TimeText, a.Type, a.Body)
		}
	}
	var absent []Emitted
	for _, e := range acknowledged {
		if expected[e] > 0 {
			expected[e]--
			absent = append(absent, e)
		}
	}
	v.LeftOut = min(len(absent), leftOut)
	v.Lost = len(absent) - v.LeftOut
	if v.Lost == 0 {
		v.ArrivedAlthoughLeftOut = max(0, leftOut-v.LeftOut-len(possible))
	} else {
		for _, e := range absent {
			v.example("did not arrive: %s %s %.120s", e.Time, e.Type, e.Record)
		}
	}
	v.checkSampled(arrived)
}

// checkSampled checks that no line arrived of an invocation that is reported as sampled
// out.
func (v *Verdict) checkSampled(arrived []record.Event) {
	out := map[string]bool{}
	for _, e := range arrived {
		if i, err := e.Invocation(); err == nil && e.Type == record.TypeInvocation {
			out[e.RequestID] = i.Sampled == record.SampledNot // of the last attempt
		}
	}
	for _, e := range arrived {
		if e.Type == record.TypeFunction && out[e.RequestID] {
			v.ArrivedAlthoughLeftOut++
			v.example("arrived, and its invocation is sampled out: %v: %.120s", e.Key(), e.Body)
		}
	}
}

func isOwn(e record.Event) bool { return strings.HasPrefix(e.Type, "kinetel.") }

func (v *Verdict) duplicate(a record.Event) {
	v.Duplicated++
	v.example("arrived again: %v: %s %s %.120s", a.Key(), a.TimeText, a.Type, a.Body)
}
