package spool

import (
	"bytes"
	"slices"

	"kinetel/internal/environment"
	"kinetel/internal/ledger"
	"kinetel/internal/seqrange"
)

const (
	// maxRecords bounds the records that are adopted, and so the memory for
	// their Refs.
	maxRecords = 64 << 10
	// maxDamages bounds, for one environment, the frames and the gaps that are
	// reported one by one.
	maxDamages = 1024
	// maxLines bounds the bytes of a journal's lines that are in no record: an
	// open record has fewer.
	maxLines = 4 << 20
	// maxFile bounds what is read of a segment: a full one, its last record, and
	// the frames that mark its records as done.
	maxFile = 2 * maxSegment
)

// budget is what Recover may still read.
type budget struct {
	bytes   int64
	records int
}

// restorer reads the files of one environment. What an earlier process stored,
// minus what can be read, is lost.
type restorer struct {
	spool     *Spool
	env       *folder
	budget    *budget
	recovered *Recovered

	records  seqrange.Set // numbers of records, readable or done
	done     []*Ref       // although no frame says so
	lines    int          // bytes of the recovered lines
	reported uint64       // the serial number up to which losses are in records
	lost     lost
	found    []ledger.Loss // that are not in the losses file
	corrupt  []*tail       // files in which something cannot be read

	// Of the file that is being read.
	before lost  // what was lost in the files before it
	places int   // that cannot be read
	bytes  int64 // of these places
}

// lost is what cannot be read.
type lost struct {
	records []damage         // frames of records of which only the header can be read
	lines   []seqrange.Range // of frames of lines, likewise
	gaps    []seqrange.Range // that are missing where bytes belong to no frame
	bytes   int64            // of lines and gaps
	from    uint64           // the first number of a gap that no frame ends yet; 0: none
	highest uint64           // the highest number so far
}

// damage is a frame of which only the header can be read.
type damage struct {
	loss     ledger.Loss
	reported []ledger.Loss // the losses that the record reported: they must be reported again
	offset   int64
}

// restore reads the files of an environment that no other goroutine uses yet.
func (s *Spool) restore(e *folder, budget *budget) *restorer {
	e.readMeta()
	r := &restorer{spool: s, env: e, budget: budget, recovered: &Recovered{Environment: &environment.Environment{ID: e.id, Resource: e.resource}}}
	r.recovered.Environment.Describe(e.details)
	before := e.size()
	e.segments = slices.DeleteFunc(e.segments, func(seg *segment) bool { return !r.readSegment(seg) })
	r.lost.endGap(r.lost.from + 1) // at least one event
	e.marked = e.last
	r.records = seqrange.New(r.records...)
	r.readJournal()
	r.lost.endGap(r.lost.from + 1)
	r.readLosses()
	r.reconcile(s.readManifest(e))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += e.size() - before
	return r
}

// number notes a number that was assigned.
func (r *restorer) number(n uint64) {
	if n <= maxNumber {
		r.env.last = max(r.env.last, n)
	}
}

// readSegment reads a segment, and reports whether it could.
func (r *restorer) readSegment(seg *segment) bool {
	done := map[int64]bool{}
	var refs []*Ref
	ok := r.scan(&seg.tail, maxFile, func(it item) {
		h := it.header
		if h.kind == kindRecord && it.state != unknown {
			meta, data, err := parseRecord(it.payload)
			r.lost.endGap(h.first)
			r.reported = max(r.reported, meta.Reported)
			if err != nil || it.state == damaged {
				// The meta has its own checksum, and may be readable.
				if loss, ok := r.damaged(it); ok {
					loss.Bytes = meta.Lines
					r.addDamage(damage{loss, meta.Losses, it.offset})
				}
				return
			}
			r.lost.highest = max(r.lost.highest, h.last)
			refs = append(refs, &Ref{
				Environment: r.recovered.Environment, First: h.first, Last: h.last, Losses: meta.Losses, Lines: meta.Lines,
				Events: int(h.count), Droppable: meta.Droppable, DataSize: len(data) + len(meta.PartitionKey),
				seg: seg, offset: it.offset, size: int32(it.size), adopted: true,
			})
			return
		}
		switch {
		case it.state != intact:
			r.unreadable(it)
		case h.kind == kindMark:
			if it.offset == 0 { // all records of the files before have lower numbers
				r.lost.endGap(h.last + 1)
				r.before = r.lost
			}
			r.number(h.last)
			r.lost.highest = max(r.lost.highest, h.last)
		case h.kind == kindChecked:
			r.forget()
		case h.kind == kindDone:
			done[int64(h.first)] = true
		}
	})
	if !ok {
		return false
	}
	for _, ref := range refs {
		r.claim(seg, ref.First, ref.Last)
		if !done[ref.offset] {
			seg.records++
			r.budget.records--
			r.recovered.Records = append(r.recovered.Records, ref)
		}
	}
	n := len(r.before.records)
	kept := slices.DeleteFunc(r.lost.records[n:], func(d damage) bool {
		if done[d.offset] { // it was sent before its frame became corrupt
			r.claim(seg, d.loss.First, d.loss.Last)
			r.places--
		}
		return done[d.offset]
	})
	r.lost.records = r.lost.records[:n+len(kept)]
	r.endFile(&seg.tail)
	return true
}

// claim notes the numbers of a record in a segment.
func (r *restorer) claim(seg *segment, first, last uint64) {
	r.number(last)
	r.records = append(r.records, seqrange.Range{First: first, Last: last})
	seg.top = max(seg.top, last)
}

// readLosses reads the losses file. For bytes that belong to no frame, it adds the
// loss of one event, with a number that was never assigned.
func (r *restorer) readLosses() {
	e := r.env
	r.scan(&e.lossFile, maxFile, func(it item) {
		l, ok := parseLoss(it.header, it.payload)
		switch {
		case it.state == unknown:
			r.place(it)
			if it.size >= 2*headerSize && e.last < maxNumber {
				e.last++
				r.found = append(r.found, ledger.Loss{First: e.last, Last: e.last, Count: 1, Bytes: it.size, Reason: ledger.SpoolCorrupt})
			}
		case it.state == intact && it.header.kind == kindMark:
			r.number(it.header.last)
		case it.state == damaged || !ok:
			if loss, ok := r.damaged(it); ok {
				r.found = append(r.found, loss)
			}
		default:
			r.number(l.Last)
			e.serial = max(e.serial, l.serial)
			if l.serial > r.reported && len(e.losses) < maxLosses {
				e.losses = append(e.losses, l)
			}
		}
	})
	e.serial = max(e.serial, r.reported)
	r.endFile(&e.lossFile)
}

// readJournal reads the journal.
func (r *restorer) readJournal() {
	e := r.env
	var fragment []byte // of the last frame of lines; nil: none, or not certain
	r.scan(&e.journal, e.journal.size, func(it item) {
		h := it.header
		switch {
		case it.state == intact && h.kind == kindChecked:
			r.forget()
		case it.state == intact && h.kind == kindMark:
			r.number(h.last)
			r.lost.highest = max(r.lost.highest, h.last)
			r.forget() // it was in records
			e.journalFirst = 0
			r.recovered.Lines, r.lines = nil, 0
		case it.state != unknown && h.kind == kindLines:
			r.lost.endGap(h.first)
			lines, text, ok := parseLines(it.payload)
			if ok = ok && it.state == intact && r.addLines(h, lines); !ok {
				// The frame may have had a fragment. The fragment before it is
				// most likely in an event by now.
				if loss, ok := r.damaged(it); ok {
					r.lost.lines = addRange(r.lost.lines, loss.First, loss.Last)
					r.lost.bytes += int64(h.length)
				}
				fragment = nil
				return
			}
			r.number(h.last)
			r.lost.highest = max(r.lost.highest, h.last)
			fragment, e.fragmentAt = nil, it.offset
			if len(text) > 0 {
				fragment = bytes.Clone(text)
			}
		case it.state != intact:
			r.unreadable(it)
			fragment = nil
		}
	})
	r.recovered.Fragment, e.fragment = fragment, fragment != nil
	r.endFile(&e.journal)
}

// addLines adds the lines of a journal's frame that are in no record. It returns
// false if they are not the lines of these events, are out of order, or are too
// many.
func (r *restorer) addLines(h header, text []byte) bool {
	check, rest := r.spool.opt.Check, text
	for seq := h.first; seq <= h.last; seq++ {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 || check != nil && !check.Line(r.recovered.Environment, seq, rest[:end]) {
			return false
		}
		rest = rest[end:]
	}
	if len(rest) > 0 {
		return false
	}
	for _, missing := range r.records.Gaps(seqrange.Range{First: h.first, Last: h.last}) {
		if h.count == 0 {
			break
		}
		from := lineAt(text, missing.First-h.first)
		lines := from[:len(from)-len(lineAt(from, missing.Len()))]
		runs := r.recovered.Lines
		n := len(runs) - 1
		if r.lines += len(lines); r.lines > maxLines || len(runs) == maxDamages || n >= 0 && missing.First <= runs[n].Last {
			return false
		}
		if n >= 0 && runs[n].Last+1 == missing.First {
			runs[n].Last, runs[n].Lines = missing.Last, append(runs[n].Lines, lines...)
		} else {
			r.recovered.Lines = append(runs, Run{missing.First, missing.Last, bytes.Clone(lines)})
		}
	}
	if h.count > 0 && r.env.journalFirst == 0 {
		r.env.journalFirst = h.first
	}
	return true
}

// lineAt returns text without its first n lines.
func lineAt(text []byte, n uint64) []byte {
	for ; n > 0; n-- {
		text = text[bytes.IndexByte(text, '\n')+1:]
	}
	return text
}
