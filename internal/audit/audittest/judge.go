package audittest

import (
	"slices"

	"github.com/kinetel/kinetel/record"
)

// Judge applies the rules of package audit to the events of one environment, number by
// number: slow, and so plain that a reader can check it. Numbers must be small. With whole
// the judged numbers begin at 1.
func Judge(events []record.Event, whole bool) (f Finding) {
	arrived := map[uint64]bool{}
	var losses []record.Loss
	var final, spooled, highest uint64
	for _, e := range events {
		if arrived[e.Seq] {
			continue
		}
		arrived[e.Seq] = true
		if f.First == 0 || e.Seq < f.First {
			f.First = e.Seq
		}
		f.Last = max(f.Last, e.Seq)
		highest = max(highest, e.Seq)
		if loss, err := e.Loss(); err == nil {
			losses = append(losses, loss)
			highest = max(highest, loss.LastSeq)
		}
		if report, err := e.Report(); err == nil && report.Final && e.Seq > final {
			f.Ended, final, spooled = true, e.Seq, uint64(report.Spooled.Events)
		}
	}
	judged := f.First
	if whole {
		judged = 1
	}
	for n := uint64(1); n <= highest; {
		// One number that no loss has, or all the numbers of losses that share some.
		end := n
		for ; slices.ContainsFunc(losses, func(l record.Loss) bool { return l.FirstSeq <= end && end < l.LastSeq }); end++ {
		}
		f.count(n, end, judged, arrived, losses)
		n = end + 1
	}
	f.Spooled = min(spooled, f.Missing)
	f.Missing -= f.Spooled
	return f
}

// count judges the numbers from first to last. They are one, or those of losses.
func (f *Finding) count(first, last, judged uint64, arrived map[uint64]bool, losses []record.Loss) {
	var missing, unjudged, reported, from, to uint64
	for n := first; n <= last; n++ {
		switch {
		case n < judged || n > f.Last:
			unjudged++
		case !arrived[n]:
			missing++
			if from == 0 {
				from = n
			}
			to = n
		}
	}
	for _, l := range losses {
		if first <= l.FirstSeq && l.FirstSeq <= last {
			reported += uint64(l.Count)
		}
	}
	if missing > reported {
		f.Missing += missing - reported
		if f.From == 0 {
			f.From = from
		}
		f.To = to
	}
	if reported > missing+unjudged {
		f.Overreported += reported - missing - unjudged
	}
}
