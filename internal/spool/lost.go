package spool

import (
	"cmp"
	"slices"

	"kinetel/internal/ledger"
	"kinetel/internal/order"
	"kinetel/internal/seqrange"
)

// scan reads a file up to a limit, calls emit with its items and truncates an
// incomplete last frame. It returns false if the file cannot be read now and
// stays for the next process.
func (r *restorer) scan(t *tail, limit int64, emit func(item)) bool {
	if t.path == "" {
		return true
	}
	log := r.spool.opt.Log
	r.before, r.places, r.bytes = r.lost, 0, 0
	size := min(t.size, limit)
	if size > r.budget.bytes || r.budget.records <= 0 {
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
	if t == &r.env.journal || t == &r.env.lossFile {
		r.lost.highest = r.env.last
		*t = tail{}
	}
	if r.env.known {
		emit(item{state: unknown, size: 2 * headerSize})
	}
	return true
}

// place counts a place that cannot be read.
func (r *restorer) place(it item) {
	r.places++
	r.bytes += it.size
}

// unreadable notes a place of which nothing is known but the numbers before and
// after it.
func (r *restorer) unreadable(it item) {
	r.place(it)
	if it.state == unknown && it.size >= 2*headerSize && r.lost.highest < maxNumber { // else no events fit
		r.lost.bytes += it.size
		if r.lost.from == 0 {
			r.lost.from = r.lost.highest + 1
		}
	}
}

// damaged notes a frame of which only the header can be read. It returns the loss
// of its events, and false if the header has no valid numbers.
func (r *restorer) damaged(it item) (ledger.Loss, bool) {
	r.place(it)
	h := it.header
	if h.first == 0 || h.first > h.last || h.last > maxNumber || h.kind == kindDone {
		return ledger.Loss{}, false
	}
	r.number(h.last)
	count := atMost(min(uint64(max(h.count, 1)), h.last-h.first+1))
	return ledger.Loss{First: h.first, Last: h.last, Count: count, Reason: ledger.SpoolCorrupt}, true
}

// addDamage adds the damaged frame of a record. If there are too many of them, it
// widens the last one.
func (r *restorer) addDamage(d damage) {
	n := len(r.lost.records)
	if n < maxDamages {
		r.lost.records = append(r.lost.records, d)
		return
	}
	l := &r.lost.records[n-1].loss
	l.First, l.Last, l.Bytes = min(l.First, d.loss.First), max(l.Last, d.loss.Last), min(l.Bytes+d.loss.Bytes, maxBytes)
	l.Count = atMost(l.Last - l.First + 1)
}

// addRange adds a range. If there are too many of them, it widens the last one.
func addRange(ranges []seqrange.Range, first, last uint64) []seqrange.Range {
	if n := len(ranges); n == maxDamages {
		first, last = min(first, ranges[n-1].First), max(last, ranges[n-1].Last)
		ranges = ranges[:n-1]
	}
	return append(ranges, seqrange.Range{First: first, Last: last})
}

// endGap ends the gap before the frame whose events begin with a number.
func (l *lost) endGap(first uint64) {
	if l.from > 0 && first > l.from {
		l.gaps = addRange(l.gaps, l.from, min(first-1, maxNumber))
	}
	l.from = 0
}

// forget forgets what cannot be read in this file up to here.
func (r *restorer) forget() {
	highest := r.lost.highest
	r.lost, r.places, r.bytes = r.before, 0, 0
	r.lost.highest = highest
}

// endFile ends the reading of a file. It logs once how much cannot be read.
func (r *restorer) endFile(t *tail) {
	if t.path == "" || r.places == 0 {
		return
	}
	r.corrupt = append(r.corrupt, t)
	r.spool.opt.Log.Warn("a file of the spool is not what was written; what it lost is reported in the stream",
		"path", t.path, "places", r.places, "bytes", r.bytes)
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
	if m != nil {
		r.number(m.Last)
		r.compare(m)
	}
	// The numbers of records may interleave, so that other records say nothing
	// about one that is corrupt.
	known := r.records.Merge(journalled)
	for _, d := range r.lost.records {
		r.found = append(r.found, d.reported...)
		gaps := journalled.Gaps(seqrange.Range{First: d.loss.First, Last: d.loss.Last})
		if len(gaps) == 0 {
			continue
		}
		known = append(known, seqrange.Range{First: d.loss.First, Last: d.loss.Last})
		d.loss.Count = min(d.loss.Count, atMost(gaps.Len()))
		r.found = append(r.found, trim(d.loss, journalled))
	}
	for _, gap := range seqrange.New(append(r.lost.lines, r.lost.gaps...)...).Subtract(seqrange.New(known...)) {
		r.number(gap.Last)
		r.found = append(r.found, ledger.Loss{First: gap.First, Last: gap.Last, Count: atMost(gap.Len()), Bytes: r.lost.bytes, Reason: ledger.SpoolCorrupt})
		r.lost.bytes = 0 // how many of them belong to which range is not known
	}
	for _, l := range e.losses {
		recovered.Losses = append(recovered.Losses, l.Loss)
	}
	// If a process was killed while it wrote what it found, that is there already.
	r.found = slices.DeleteFunc(r.found, func(l ledger.Loss) bool { return slices.Contains(recovered.Losses, l) })
	recovered.Losses = append(recovered.Losses, r.found...)
	order.By(recovered.Losses, func(a, b ledger.Loss) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last), cmp.Compare(a.Reason, b.Reason))
	})
	recovered.Next = e.last + 1
}

// compare compares the records with those that the manifest lists: what it does
// not list is done, although the frame that said so is lost.
func (r *restorer) compare(m *manifest) {
	listed := m.numbers()
	r.recovered.Records = slices.DeleteFunc(r.recovered.Records, func(ref *Ref) bool {
		done := !listed.Contains(seqrange.Range{First: ref.First, Last: ref.Last})
		if done {
			r.done = append(r.done, ref)
		}
		return done
	})
	var lost []damage
	for _, d := range r.lost.records {
		if listed.Contains(seqrange.Range{First: d.loss.First, Last: d.loss.Last}) {
			r.found = append(r.found, d.reported...)
		}
	}
	for _, loss := range m.missing(r.recovered.Records) {
		lost = append(lost, damage{loss: loss})
	}
	r.lost.records, r.lost.gaps = lost, nil
}

// admit adds an adopted environment to the Spool's. It reports whether the
// environment has anything to send. If it has nothing, admit removes its folder.
func (s *Spool) admit(e *folder, r *restorer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		e.journal.close()
		e.meta.close()
		return false
	}
	for _, ref := range r.done {
		ref.seg.records--
		s.markDone(ref)
	}
	recovered := r.recovered
	if len(recovered.Records)+len(recovered.Lines)+len(recovered.Losses) == 0 && recovered.Fragment == nil {
		e.journalFirst = 0 // all lines are in records, and these are done
		s.closeFolder(e)
		return false
	}
	for _, seg := range e.segments {
		s.live += int64(seg.records)
	}
	s.envs[e.id] = e
	if s.keepFound(e, r) && e.journalFirst > 0 && len(recovered.Lines) == 0 {
		// All its lines are in records. They must not be recovered again after
		// the records are gone.
		s.forget(e)
	}
	return true
}

// keepFound writes the losses that were found into the losses file, and then to
// the corrupt files that they need not be checked again. It reports whether all of
// them are on disk.
func (s *Spool) keepFound(e *folder, r *restorer) bool {
	if len(r.corrupt) == 0 && len(r.found) == 0 {
		return true
	}
	n := min(len(r.found), maxLosses-len(e.losses))
	size := s.price(e)
	for _, loss := range r.found[:n] {
		e.serial++
		e.losses = append(e.losses, pendingLoss{loss, e.serial})
	}
	for _, l := range e.losses {
		f, _ := l.frame()
		size += f.size()
	}
	if n < len(r.found) || !s.room(size-e.lossFile.size, 0) || s.writeLosses(e) != nil {
		return false
	}
	e.lossFile.close()
	for _, t := range r.corrupt {
		if t != &e.lossFile && s.room(headerSize, 0) {
			_ = t.with(s.disk, toWrite, func() error { return s.write(t, bare(header{kind: kindChecked})) })
		}
	}
	return true
}
