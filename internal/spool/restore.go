package spool

import (
	"bytes"
	"slices"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/seqrange"
)

const (
	// maxRecords bounds the records that are adopted, and so the memory for
	// their Refs.
	maxRecords = 64 << 10
	// maxDamages bounds, for one environment, what is reported piece by piece.
	maxDamages = 1024
	// maxChecked bounds the places that are not reported again.
	maxChecked = 4096
	// maxLines bounds the bytes of lines that have numbers and are in no record: an
	// open record has fewer than 4 MiB, and more lines may just have been decided.
	maxLines = 4<<20 + maxUndecided
	// maxFile bounds what is read of a segment: a full one, its last record, and
	// the frames that mark its records as done.
	maxFile = 2 * maxSegment
)

// restorer reads the files of one environment. What an earlier process stored,
// minus what can be read, is lost.
type restorer struct {
	spool     *Spool
	env       *folder
	budget    *budget
	recovered *Recovered

	numbers  seqrange.Set  // of records, readable or done
	corrupt  []*Ref        // records of which only the header can be read
	done     []*Ref        // although they have no done frame
	lines    int           // bytes of the recovered lines
	reported uint64        // the serial number up to which losses are in records
	found    []ledger.Loss // that are not in the losses file
	checked  []place       // that cannot be read, and are not in the losses file
	stale    bool          // the losses file has to be written anew
	// lossesLost is how many bytes of the losses file belong to no frame.
	lossesLost int64
	lost       lost
	// undecidedLost is the lines that are lost and have no number.
	undecidedLost  int64
	undecidedBytes int64

	// Of the file that is being read.
	places int   // that cannot be read, and were not checked before
	bytes  int64 // of these places
}

// budget is what Recover may still read.
type budget struct {
	bytes   int64
	records int
}

// restore reads the files of an environment that no other goroutine uses yet. It
// returns nil if the folder has to stay as it is for the next process.
func (s *Spool) restore(e *folder, budget *budget) *restorer {
	e.readMeta()
	recovered := &Recovered{Environment: environment.New(e.id, e.details)}
	r := &restorer{spool: s, env: e, budget: budget, recovered: recovered}
	if !r.readLosses() {
		return nil
	}
	last := e.last // the numbers of losses do not show where segments are corrupt
	e.last = 0
	e.segments = slices.DeleteFunc(e.segments, func(seg *segment) bool { return !r.readSegment(seg) })
	r.numbers = seqrange.New(r.numbers...)
	if !r.readJournal() || !r.readUndecided() {
		return nil
	}
	r.number(last)
	r.reconcile(s.readManifest(e))
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
	var readable, corrupt []*Ref
	ok := r.scan(&seg.tail, maxFile, func(it item) {
		h := it.header
		switch {
		case it.state != intact && seg.wasChecked(it):
		case it.state != unknown && h.kind == kindRecord:
			ref, err := r.ref(seg, it)
			switch {
			case err == nil:
				readable = append(readable, ref)
			case !h.numbered():
				return
			case len(corrupt) < maxDamages-len(r.corrupt):
				corrupt = append(corrupt, ref)
			default:
				r.lost.lines = addRange(r.lost.lines, ref.numbers())
			}
			r.number(h.last)
		case it.state != intact:
			r.place(seg, it)
			r.unreadable(it)
		case h.kind == kindMark:
			if it.offset == 0 { // all records of the files before have lower numbers
				r.lost.endGap(h.last + 1)
			}
			r.number(h.last)
		case h.kind == kindDone:
			done[int64(h.first)] = true
		}
	})
	if !ok {
		return false
	}
	for _, ref := range corrupt {
		if done[ref.offset] { // it was sent before its frame became corrupt
			readable = append(readable, ref)
			r.places--
		} else {
			r.corrupt = append(r.corrupt, ref)
		}
	}
	for _, ref := range readable {
		r.numbers = append(r.numbers, ref.numbers())
		seg.top = max(seg.top, ref.Last)
		if !done[ref.offset] {
			seg.records++
			r.budget.records--
			r.recovered.Records = append(r.recovered.Records, ref)
		}
	}
	r.endFile(&seg.tail)
	return true
}

// ref returns the Ref of a record's frame. If the frame is corrupt, ref returns an
// error. The losses that the record reports may be known even then.
func (r *restorer) ref(seg *segment, it item) (*Ref, error) {
	h := it.header
	r.lost.endGap(h.first)
	meta, data, err := parseRecord(it.payload)
	r.reported = max(r.reported, meta.Reported)
	if it.state == damaged {
		err = ErrCorrupt
	}
	if err != nil {
		r.place(seg, it)
	}
	return &Ref{
		Environment: r.recovered.Environment, First: h.first, Last: h.last, Losses: meta.Losses, Lines: meta.Lines,
		Events: h.events(), Droppable: int(meta.Droppable), DataSize: len(data) + len(meta.PartitionKey),
		seg: seg, offset: it.offset, size: int32(it.size), adopted: true,
	}, err
}

// readJournal reads the journal, and reports whether it could.
func (r *restorer) readJournal() bool {
	e := r.env
	r.lost.from = 0
	before := r.lost
	var fragment []byte // of the last frame of lines; nil: none, or not certain
	ok := r.scan(&e.journal, max(maxFile, r.budget.bytes), func(it item) {
		h := it.header
		switch {
		case it.state == intact && h.kind == kindMark: // what was before it is in records
			r.number(h.last)
			r.lost, r.places, r.bytes = before, 0, 0
			e.journalFirst = 0
			r.recovered.Lines, r.lines = nil, 0
		case it.state == unknown || h.kind != kindLines:
			r.place(nil, it)
			r.unreadable(it)
			fragment = nil
		default:
			r.lost.endGap(h.first)
			// If this frame is corrupt, it may have had a fragment. The one before
			// it is most likely in an event by now.
			fragment, e.fragmentAt = nil, it.offset
			lines, text, ok := parseLines(it.payload)
			if ok && it.state == intact && r.addLines(h, lines) {
				if len(text) > 0 {
					fragment = bytes.Clone(text)
				}
			} else {
				r.place(nil, it)
				if !h.numbered() {
					return
				}
				r.lost.lines = addRange(r.lost.lines, seqrange.Range{First: h.first, Last: h.last})
				r.lost.bytes += int64(h.length)
			}
			r.number(h.last)
		}
	})
	r.recovered.Fragment, e.fragment = fragment, fragment != nil
	r.endFile(&e.journal)
	return ok
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
	for seq := h.first; seq <= h.last; seq++ {
		end := bytes.IndexByte(text, '\n') + 1
		line := text[:end]
		text = text[end:]
		if !r.addLine(seq, line) {
			return false
		}
	}
	if h.count > 0 && r.env.journalFirst == 0 {
		r.env.journalFirst = h.first
	}
	return true
}

// addLine adds a line that is in no record. It returns false if it is out of order,
// or if there are too many.
func (r *restorer) addLine(seq uint64, line []byte) bool {
	if r.numbers.Contains(seqrange.Range{First: seq, Last: seq}) {
		return true
	}
	runs := r.recovered.Lines
	n := len(runs) - 1
	if r.lines += len(line); r.lines > maxLines || len(runs) == maxDamages || n >= 0 && seq <= runs[n].Last {
		return false
	}
	if n >= 0 && runs[n].Last+1 == seq {
		runs[n].Last, runs[n].Lines = seq, append(runs[n].Lines, line...)
	} else {
		r.recovered.Lines = append(runs, Run{seq, seq, bytes.Clone(line)})
	}
	return true
}

// readLosses reads the losses file, and reports whether it could.
func (r *restorer) readLosses() bool {
	e := r.env
	ok := r.scan(&e.lossFile, maxFile, func(it item) {
		h := it.header
		l, ok := parseLoss(h, it.payload)
		switch {
		case it.state == intact && ok:
			e.serial = max(e.serial, l.serial)
			if len(e.losses) < maxLosses {
				e.losses = append(e.losses, l)
			}
		case it.state == intact && h.kind == kindMark:
		case it.state == intact && h.kind == kindChecked:
			e.addChecked(place{int(h.first), int64(h.count), int64(h.last)})
			return
		default:
			r.place(nil, it)
			r.stale = true
			if it.state == unknown && it.size >= 2*headerSize {
				r.lossesLost = it.size
			}
			if h.kind != kindLoss || !h.numbered() { // kind is 0 if the state is unknown
				return
			}
			if len(r.found) == maxDamages {
				r.lost.lines = addRange(r.lost.lines, seqrange.Range{First: h.first, Last: h.last})
			} else {
				r.found = append(r.found, ledger.Loss{First: h.first, Last: h.last, Count: h.events(), Reason: ledger.SpoolCorrupt})
			}
		}
		r.number(h.last)
	})
	r.endFile(&e.lossFile)
	return ok
}
