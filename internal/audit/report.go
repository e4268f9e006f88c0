package audit

import (
	"cmp"
	"slices"
	"time"

	"github.com/kinetel/kinetel/internal/seqrange"
)

// Report is what an [Auditor] found.
type Report struct {
	Complete     bool          `json:"complete"` // something arrived, and nothing is unexplained
	Totals       Totals        `json:"totals"`
	Environments []Environment `json:"environments"` // those with findings first, then by first time
	// Unreadable counts what is not a record of Kinetel's, and Unnumbered the events
	// without a number or an environment. No rule judges them.
	Unreadable         uint64   `json:"unreadable"`
	UnreadableExamples []string `json:"unreadableExamples,omitempty"`
	Unnumbered         uint64   `json:"unnumbered"`
}

// Totals are sums of all environments.
type Totals struct {
	Environments int `json:"environments"`
	Ended        int `json:"ended"`        // environments whose final report arrived
	StartsBefore int `json:"startsBefore"` // environments that start before the input
	Counts
}

// Counts are numbers of events.
type Counts struct {
	Events           uint64            `json:"events"`           // that arrived, each once
	Duplicates       uint64            `json:"duplicates"`       // arrivals beyond the first
	Missing          uint64            `json:"missing"`          // judged numbers that did not arrive
	Explained        uint64            `json:"explained"`        // of these, reported lost
	Spooled          uint64            `json:"spooled"`          // of these, on disk when the environment ended
	Unexplained      uint64            `json:"unexplained"`      // of these, neither
	Overreported     uint64            `json:"overreported"`     // reported lost, but not missing
	Lost             map[string]uint64 `json:"lost"`             // what losses report, by reason
	InvalidLosses    uint64            `json:"invalidLosses"`    // losses that explain nothing
	IncompleteEvents uint64            `json:"incompleteEvents"` // events of which a part is missing
	LambdaDropped    Dropped           `json:"lambdaDropped"`    // at least
}

// Dropped is what platform.logsDropped reports.
type Dropped struct {
	Times   uint64 `json:"times"`
	Records uint64 `json:"records"`
	Bytes   uint64 `json:"bytes"`
}

// Environment is what an [Auditor] found about one execution environment.
type Environment struct {
	ID           string    `json:"id"`
	Function     string    `json:"function"`
	FirstSeq     uint64    `json:"firstSeq"`
	LastSeq      uint64    `json:"lastSeq"`
	FirstTime    time.Time `json:"firstTime,omitzero"`
	LastTime     time.Time `json:"lastTime,omitzero"`
	StartsBefore bool      `json:"startsBefore"` // the input does not have its first numbers
	Ended        bool      `json:"ended"`        // otherwise it runs, was killed, or goes on after the input
	Counts
	Holes        []Hole `json:"holes,omitempty"`
	HolesOmitted int    `json:"holesOmitted,omitempty"`
}

// Hole is a range of numbers of which more is missing than losses report.
type Hole struct {
	FirstSeq uint64    `json:"firstSeq"`
	LastSeq  uint64    `json:"lastSeq"`
	Missing  uint64    `json:"missing"`
	Reported uint64    `json:"reported"`
	Time     time.Time `json:"time,omitzero"` // estimated from the times of other events
}

// maxHoles is how many holes of an environment a report has.
const maxHoles = 100

// Wrong reports whether the environment makes the report incomplete.
func (e Environment) Wrong() bool { return e.Unexplained > 0 }

// Report judges what arrived.
func (a *Auditor) Report() Report { return a.ReportSettled(time.Time{}) }

// ReportSettled is Report with another [Options.Settled]: an input that goes on needs a later
// one for each report. It judges a little less than the option does: not the time of
// each number is known, and what is missing may come after a final report that is younger.
func (a *Auditor) ReportSettled(settled time.Time) Report {
	r := Report{Unreadable: a.unreadable, UnreadableExamples: a.examples, Unnumbered: a.unnumbered}
	r.Totals.Lost = map[string]uint64{}
	r.Environments = make([]Environment, 0, len(a.environments))
	r.Complete = len(a.environments) > 0
	for _, of := range a.environments {
		e := of.report(a.options.Whole, settled)
		r.Environments = append(r.Environments, e)
		r.Complete = r.Complete && !e.Wrong()
		r.Totals.Environments++
		if e.Ended {
			r.Totals.Ended++
		}
		if e.StartsBefore {
			r.Totals.StartsBefore++
		}
		r.Totals.add(e.Counts)
	}
	wrong := map[bool]int{true: 0, false: 1}
	slices.SortFunc(r.Environments, func(a, b Environment) int {
		return cmp.Or(cmp.Compare(wrong[a.Wrong()], wrong[b.Wrong()]), a.FirstTime.Compare(b.FirstTime), cmp.Compare(a.ID, b.ID))
	})
	return r
}

func (c *Counts) add(d Counts) {
	for _, pair := range []struct{ to, from *uint64 }{
		{&c.Events, &d.Events},
		{&c.Duplicates, &d.Duplicates},
		{&c.Missing, &d.Missing},
		{&c.Explained, &d.Explained},
		{&c.Spooled, &d.Spooled},
		{&c.Unexplained, &d.Unexplained},
		{&c.Overreported, &d.Overreported},
		{&c.InvalidLosses, &d.InvalidLosses},
		{&c.IncompleteEvents, &d.IncompleteEvents},
		{&c.LambdaDropped.Times, &d.LambdaDropped.Times},
		{&c.LambdaDropped.Records, &d.LambdaDropped.Records},
		{&c.LambdaDropped.Bytes, &d.LambdaDropped.Bytes},
	} {
		*pair.to = sum(*pair.to, *pair.from)
	}
	for reason, n := range d.Lost {
		c.Lost[reason] = sum(c.Lost[reason], n)
	}
}

// report judges an environment.
func (e *environment) report(whole bool, settled time.Time) Environment {
	e.compact()
	e.losses.compact()
	e.dropped.compact()
	r := Environment{
		ID: e.id, Function: e.function, Ended: e.final > 0,
		FirstSeq: e.arrived[0].First, LastSeq: e.arrived[len(e.arrived)-1].Last,
		FirstTime: e.first.time, LastTime: e.last.time,
	}
	r.Events = e.arrived.Len()
	r.Duplicates = e.arrivals - r.Events
	r.IncompleteEvents = uint64(len(e.parts))
	r.Lost = map[string]uint64{}
	losses := make([]loss, 0, len(e.losses.events))
	var reported seqrange.Set
	for _, l := range e.losses.events {
		if l.count == 0 {
			r.InvalidLosses++
			continue
		}
		r.Lost[l.reason] = sum(r.Lost[l.reason], l.count)
		losses = append(losses, l.loss)
		reported = append(reported, l.Range)
	}
	for _, d := range e.dropped.events {
		r.LambdaDropped.Times++
		r.LambdaDropped.Records = sum(r.LambdaDropped.Records, uint64(d.records))
		r.LambdaDropped.Bytes = sum(r.LambdaDropped.Bytes, uint64(d.bytes))
	}
	var judged seqrange.Range
	judged, r.StartsBefore = e.judgedNumbers(seqrange.New(reported...), whole)
	if !settled.IsZero() && (e.final == 0 || !e.finalAt.Before(settled)) {
		judged.Last = min(judged.Last, e.lastBefore(settled))
	}
	j := judge(e.arrived, losses, judged)
	r.Missing, r.Overreported = j.missing, j.overreported
	unexplained := j.unexplained()
	r.Spooled = min(e.spooled, unexplained)
	r.Unexplained = unexplained - r.Spooled
	r.Explained = r.Missing - unexplained
	if r.Unexplained > 0 {
		e.addHoles(&r, j)
	}
	return r
}

// judgedNumbers returns which numbers can be judged, and whether others came before the
// input. reported has the ranges of all losses.
func (e *environment) judgedNumbers(reported seqrange.Set, whole bool) (judged seqrange.Range, startsBefore bool) {
	judged = e.judged
	if e.final > 0 {
		judged.Last = e.arrived[len(e.arrived)-1].Last
	}
	first := e.arrived[0].First
	switch {
	case first == 1:
	case whole:
		judged.First = 1
	default:
		startsBefore = !reported.Contains(seqrange.Range{First: 1, Last: first - 1})
	}
	return judged, startsBefore
}

// lastBefore returns the largest number that is known to be from before a time, or 0.
func (e *environment) lastBefore(t time.Time) (seq uint64) {
	for _, m := range append(e.moments[:len(e.moments):len(e.moments)], e.first, e.last) {
		if m.time.Before(t) {
			seq = max(seq, m.seq)
		}
	}
	return seq
}

// addHoles adds the unexplained numbers to a report.
func (e *environment) addHoles(r *Environment, j judgement) {
	slices.SortFunc(e.moments, func(a, b moment) int { return cmp.Compare(a.seq, b.seq) })
	for _, hole := range j.holes {
		r.Holes = append(r.Holes, Hole{FirstSeq: hole.First, LastSeq: hole.Last, Missing: hole.Len()})
	}
	for _, s := range j.shortages {
		r.Holes = append(r.Holes, Hole{FirstSeq: s.First, LastSeq: s.Last, Missing: s.missing, Reported: s.reported})
	}
	slices.SortFunc(r.Holes, func(a, b Hole) int { return cmp.Compare(a.FirstSeq, b.FirstSeq) })
	if n := len(r.Holes); n > maxHoles {
		r.Holes, r.HolesOmitted = slices.Clip(r.Holes[:maxHoles]), n-maxHoles
	}
	for i := range r.Holes {
		r.Holes[i].Time = e.timeOf(r.Holes[i].FirstSeq)
	}
}

// timeOf estimates when a number was given, from the times of the numbers around it.
// moments must be sorted.
func (e *environment) timeOf(seq uint64) time.Time {
	before, after := e.first, e.last
	i, _ := slices.BinarySearchFunc(e.moments, seq, func(m moment, seq uint64) int { return cmp.Compare(m.seq, seq) })
	if i > 0 {
		before = e.moments[i-1]
	}
	if i < len(e.moments) {
		after = e.moments[i]
	}
	if seq <= before.seq || after.seq <= before.seq {
		return before.time
	}
	share := float64(seq-before.seq) / float64(after.seq-before.seq)
	return before.time.Add(time.Duration(min(share, 1) * float64(after.time.Sub(before.time)))).Truncate(time.Millisecond)
}
