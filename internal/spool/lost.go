package spool

import (
	"cmp"
	"slices"

	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/order"
	"github.com/kinetel/kinetel/internal/seqrange"
)

// scan reads a file up to a limit, calls emit with its items and truncates an
// incomplete last frame. It returns false if the file cannot be read now and
// stays for the next process.
func (r *restorer) scan(t *tail, limit int64, emit func(item)) bool {
	if t.path == "" {
		return true
	}
	log := r.spool.opt.Log
	r.places, r.bytes = 0, 0
	size := min(t.size, limit)
	isSegment := t != &r.env.journal && t != &r.env.undecided && t != &r.env.lossFile
	if isSegment && (size > r.budget.bytes || r.budget.records <= 0) {
		log.Warn("earlier processes left more than is adopted at once; the rest stays for the next start",
			"path", t.path, "limit_bytes", r.spool.opt.Max, "limit_records", maxRecords)
		r.env.unread = true
		return false
	}
	r.budget.bytes -= size
	read := func() error {
		end, err := scan(t.file, size, emit)
		if err != nil {
			log.Warn("a file of the spool cannot be read to its end", "path", t.path, "offset", end, "error", err.Error())
		} else if t.size > size {
			end = size
		} else if end < t.size {
			t.size, t.dirty = end, true
			_ = t.clean() // if it fails, the next write does it
		}
		if end < t.size { // what follows cannot be read: it is lost, like corrupt bytes
			emit(item{state: unknown, offset: end, size: t.size - end})
		}
		return nil
	}
	err := t.with(r.spool.disk, toWrite, read)
	if err != nil {
		err = t.with(r.spool.disk, toRead, read) // a disk that cannot be written may still be readable
	}
	if err == nil {
		return true
	}
	log.Warn("a file of the spool cannot be opened; what is in it stays there", "path", t.path, "error", err.Error())
	if !permanent(err) {
		r.env.unread = true
		return false
	}
	// Something else is in its place. Remove that.
	_ = clearPath(r.spool.disk, t.path)
	if !isSegment {
		*t = tail{}
	}
	if r.env.known {
		emit(item{state: unknown, size: 2 * headerSize})
	}
	return true
}

// lost is what cannot be read, except for records whose header can be read.
type lost struct {
	lines []seqrange.Range // of frames of lines of which only the header can be read
	gaps  []seqrange.Range // that are missing where bytes belong to no frame
	bytes int64            // of lines and gaps
	from  uint64           // the first number of a gap that no frame ends yet; 0: none
}

// endGap ends the gap before the frame whose events begin with a number.
func (l *lost) endGap(first uint64) {
	if l.from > 0 && first > l.from {
		l.gaps = addRange(l.gaps, seqrange.Range{First: l.from, Last: min(first-1, maxNumber)})
	}
	l.from = 0
}

// addRange adds a range. If there are too many of them, it widens the last one.
func addRange(ranges []seqrange.Range, r seqrange.Range) []seqrange.Range {
	if n := len(ranges); n == maxDamages {
		last := ranges[n-1]
		r = seqrange.Range{First: min(r.First, last.First), Last: max(r.Last, last.Last)}
		ranges = ranges[:n-1]
	}
	return append(ranges, r)
}

// place is bytes of a segment that cannot be read, and whose loss is in the losses
// file or reported.
type place struct {
	number       int // of the segment
	offset, size int64
}

// addChecked adds a place. If there are too many of them, its loss is reported
// again after the next start.
func (e *folder) addChecked(p place) {
	if e.checked == nil {
		e.checked = map[place]bool{}
	}
	if len(e.checked) < maxChecked {
		e.checked[p] = true
	}
}

// wasChecked reports whether an earlier process has found the item.
func (seg *segment) wasChecked(it item) bool {
	return seg.env.checked[place{seg.number, it.offset, it.size}]
}

// place notes a place that cannot be read. seg is nil if it is in no segment.
func (r *restorer) place(seg *segment, it item) {
	r.places++
	r.bytes += it.size
	if seg != nil && len(r.checked) < maxChecked {
		r.checked = append(r.checked, place{seg.number, it.offset, it.size})
		r.stale = true
	}
}

// unreadable notes the events in a place of which nothing is known but the numbers
// before and after it.
func (r *restorer) unreadable(it item) {
	if it.state == unknown && it.size >= 2*headerSize && r.env.last < maxNumber { // else no events fit
		first := r.env.last + 1 // at least one event
		r.lost.gaps = addRange(r.lost.gaps, seqrange.Range{First: first, Last: first})
		r.lost.from = cmp.Or(r.lost.from, first)
		r.lost.bytes += it.size
	}
}

// endFile ends the reading of a file. It logs once how much cannot be read.
func (r *restorer) endFile(t *tail) {
	if t.path != "" && r.places > 0 {
		r.spool.opt.Log.Warn("a file of the spool is not what was written; what it lost is reported in the stream",
			"path", t.path, "places", r.places, "bytes", r.bytes)
	}
}

// atMost returns n as a count of events, at most maxCount.
func atMost(n uint64) int { return int(min(n, maxCount)) }

// reconcile finds what is lost: the records that the manifest lists, or else the
// numbers in what cannot be read, minus what can be read. What is corrupt in one
// file may be intact in another: the lines of a record were journalled before, and
// journalled lines may be in a record.
func (r *restorer) reconcile(m *manifest) {
	recovered, e := r.recovered, r.env
	order.By(recovered.Records, func(a, b *Ref) int { return cmp.Compare(a.First, b.First) })
	var journalled seqrange.Set
	for _, run := range recovered.Lines {
		journalled = journalled.Add(seqrange.Range{First: run.First, Last: run.Last})
	}
	known := r.numbers.Merge(journalled)
	if m != nil {
		r.number(m.Last)
		r.compare(m, journalled)
		known = known.Merge(m.Numbers)
	}
	for _, ref := range r.corrupt {
		r.addFound(ref.Losses)
		// The numbers of records may interleave, so that other records prove nothing
		// about this one.
		if gaps := journalled.Gaps(ref.numbers()); len(gaps) > 0 {
			r.found = append(r.found, ledger.Loss{
				First: gaps[0].First, Last: gaps[len(gaps)-1].Last, Count: min(ref.Events, atMost(gaps.Len())), Bytes: ref.Lines, Reason: ledger.SpoolCorrupt,
			})
			known = append(known, ref.numbers())
		}
	}
	for _, gap := range seqrange.New(append(r.lost.lines, r.lost.gaps...)...).Subtract(seqrange.New(known...)) {
		r.number(gap.Last)
		r.found = append(r.found, ledger.Loss{First: gap.First, Last: gap.Last, Count: atMost(gap.Len()), Bytes: r.lost.bytes, Reason: ledger.SpoolCorrupt})
		r.lost.bytes = 0 // which of them belong to which range is not known
	}
	r.addUnnumbered(min(r.lossesLost, 1), r.lossesLost) // at least one
	r.addUnnumbered(min(r.undecidedLost, maxCount), r.undecidedBytes)
	n := len(e.losses)
	e.losses = slices.DeleteFunc(e.losses, func(l pendingLoss) bool { return l.serial <= r.reported })
	if len(e.losses) < n {
		r.stale = true // or they would be pending again when the record that reported them is gone
	}
	e.serial = max(e.serial, r.reported)
	for _, l := range e.losses {
		recovered.Losses = append(recovered.Losses, l.Loss)
	}
	// If a process was killed while it wrote what it found, that is there already.
	r.found = slices.DeleteFunc(r.found, func(l ledger.Loss) bool { return slices.Contains(recovered.Losses, l) })
	recovered.Losses = append(recovered.Losses, r.found...)
	order.By(recovered.Losses, func(a, b ledger.Loss) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last), cmp.Compare(a.Reason, b.Reason))
	})
	recovered.Losses = slices.Compact(recovered.Losses)
	recovered.Next = e.last + 1
}

// addUnnumbered adds a loss of events that have no number: they get the next ones.
func (r *restorer) addUnnumbered(count, bytes int64) {
	if last := r.env.last + uint64(count); count > 0 && last <= maxNumber {
		r.found = append(r.found, ledger.Loss{First: r.env.last + 1, Last: last, Count: int(count), Bytes: bytes, Reason: ledger.SpoolCorrupt})
		r.env.last = last
	}
}

func (r *restorer) addFound(l []ledger.Loss) {
	if len(r.found)+len(l) <= maxLosses {
		r.found = append(r.found, l...)
	}
}

// compare compares the records with those that the manifest lists: what it does
// not list is done, although its done frame is lost.
func (r *restorer) compare(m *manifest, journalled seqrange.Set) {
	r.recovered.Records = slices.DeleteFunc(r.recovered.Records, func(ref *Ref) bool {
		if m.Numbers.Contains(ref.numbers()) {
			return false
		}
		r.done = append(r.done, ref)
		ref.seg.records--
		return true
	})
	for _, ref := range r.corrupt {
		if m.Numbers.Contains(ref.numbers()) {
			r.addFound(ref.Losses)
		}
	}
	r.corrupt, r.lost.gaps = nil, nil
	if loss, ok := m.missing(r.recovered.Records, journalled); ok {
		r.found = append(r.found, loss)
	}
}
