package audit

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/kinetel/kinetel/internal/seqrange"
	"github.com/kinetel/kinetel/record"
)

// minPending is how many ranges, losses or parts wait at least before they are compacted.
const minPending = 64

// environment is what arrived of one execution environment.
type environment struct {
	id, function string
	arrivals     uint64

	// arrived has the numbers that arrived, without those of latest and pending. Most
	// events continue latest. Others wait in pending until these are a quarter of what
	// arrived has, so that the cost of an event grows with the logarithm of their number,
	// in any order.
	arrived seqrange.Set
	latest  seqrange.Range
	pending []seqrange.Range

	losses  log[reportedLoss]
	dropped log[droppedLogs]
	parts   []seqrange.Range // the numbers of events in parts, except those that are complete
	checked int              // so many parts remained when they were compacted

	final   uint64    // the number of the latest final report; 0: none
	finalAt time.Time // its time
	spooled uint64    // what it says

	judged    seqrange.Range // the numbers that Options.From and Settled allow to judge
	first     moment
	last      moment
	moments   []moment // some, so that the time of a number can be estimated
	step      uint64   // of so many arrivals, one is in moments
	newRanges int      // ranges and parts that were added since the last call of Auditor.Add
}

// moment is the time of an event.
type moment struct {
	seq  uint64
	time time.Time
}

// reportedLoss is a kinetel.loss event. Its count is 0 if its body is invalid.
type reportedLoss struct {
	loss
	seq    uint64
	reason string
}

func (l reportedLoss) number() uint64 { return l.seq }

// droppedLogs is a platform.logsDropped event.
type droppedLogs struct {
	seq            uint64
	records, bytes int64
}

func (d droppedLogs) number() uint64 { return d.seq }

// log is a list of events, which drops duplicates before it grows.
type log[E interface{ number() uint64 }] struct {
	events []E
	unique int // so many events remained when duplicates were dropped
}

func (l *log[E]) add(e E) {
	if len(l.events) >= max(2*l.unique, minPending) {
		l.compact()
	}
	l.events = append(l.events, e)
}

// compact drops duplicates, and sorts the events by their numbers.
func (l *log[E]) compact() {
	slices.SortFunc(l.events, func(a, b E) int { return cmp.Compare(a.number(), b.number()) })
	l.events = slices.CompactFunc(l.events, func(a, b E) bool { return a.number() == b.number() })
	l.unique = len(l.events)
}

// addNumber adds the arrival of a number.
func (e *environment) addNumber(n uint64) {
	e.arrivals++
	if e.arrivals > 1 && e.latest.First <= n && n <= e.latest.Last {
		return
	}
	if e.arrivals > 1 && n == e.latest.Last+1 {
		e.latest.Last = n
		return
	}
	if e.arrivals > 1 {
		e.pending = append(e.pending, e.latest)
	}
	e.latest = seqrange.Range{First: n, Last: n}
	if len(e.pending) >= max(len(e.arrived)/4, minPending) {
		e.compact()
	}
}

// compact moves all ranges to arrived, in as few as possible, and drops the parts of
// events that are complete.
func (e *environment) compact() {
	before := len(e.arrived)
	e.arrived = mergeSorted(e.arrived, sorted(append(e.pending, e.latest)))
	e.pending = e.pending[:0]
	e.newRanges += len(e.arrived) - before
	parts := len(e.parts)
	e.parts = slices.DeleteFunc(e.parts, e.arrived.Contains)
	e.parts = slices.Compact(sorted(e.parts))
	e.checked = len(e.parts)
	e.newRanges += e.checked - parts
}

func sorted(ranges []seqrange.Range) []seqrange.Range {
	slices.SortFunc(ranges, func(a, b seqrange.Range) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	})
	return ranges
}

// mergeSorted does what seqrange.Set.Merge does, without another sort and its memory.
func mergeSorted(set, more []seqrange.Range) seqrange.Set {
	merged := make(seqrange.Set, 0, len(set)+len(more))
	for len(set) > 0 || len(more) > 0 {
		next := &set
		if len(set) == 0 || len(more) > 0 && more[0].First < set[0].First {
			next = &more
		}
		merged = merged.Add((*next)[0])
		*next = (*next)[1:]
	}
	return merged
}

// addPart adds a part of an event.
func (e *environment) addPart(seq uint64, part, parts int) {
	if part < 1 || part > parts || seq < uint64(part) {
		return // Kinetel did not write it
	}
	first := seq - uint64(part) + 1
	all := seqrange.Range{First: first, Last: sum(first, uint64(parts)-1)}
	if n := len(e.parts); n > 0 && e.parts[n-1] == all {
		return
	}
	if len(e.parts) >= max(2*e.checked, minPending) {
		e.compact()
	}
	e.parts = append(e.parts, all)
	e.newRanges++
}

// maxMoments is how many times of an environment's events are kept.
const maxMoments = 32

// addTime adds the time of an event.
func (e *environment) addTime(m moment) {
	if e.first.seq == 0 || m.seq < e.first.seq {
		e.first = m
	}
	if m.seq > e.last.seq {
		e.last = m
	}
	if e.arrivals%max(e.step, 1) != 0 {
		return
	}
	if len(e.moments) == maxMoments {
		e.step = 2 * max(e.step, 1)
		for i := range maxMoments / 2 {
			e.moments[i] = e.moments[2*i+1]
		}
		e.moments = e.moments[:maxMoments/2]
	}
	e.moments = append(e.moments, m)
}

// addFacts adds what Kinetel's own events and Lambda's report about lost events.
func (e *environment) addFacts(of record.Event, reason func(string) string) {
	switch of.Type {
	case record.TypeLoss:
		lost := reportedLoss{seq: of.Seq}
		if l, err := of.Loss(); err == nil {
			lost.loss = loss{seqrange.Range{First: l.FirstSeq, Last: l.LastSeq}, uint64(l.Count)}
			lost.reason = reason(l.Reason)
		}
		e.losses.add(lost)
	case record.TypePlatformLogsDropped:
		var body struct{ DroppedRecords, DroppedBytes int64 }
		_ = json.Unmarshal(of.Body, &body) // without numbers it is still a sign
		e.dropped.add(droppedLogs{of.Seq, max(body.DroppedRecords, 0), max(body.DroppedBytes, 0)})
	case record.TypeReport:
		if r, err := of.Report(); err == nil && r.Final && of.Seq >= e.final {
			e.final, e.finalAt, e.spooled = of.Seq, of.Time, uint64(max(r.Spooled.Events, 0))
		}
	}
}
