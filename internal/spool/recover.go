package spool

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"kinetel/internal/format"
	"kinetel/internal/ledger"
	"kinetel/internal/order"
	"kinetel/internal/pack"
)

const (
	// maxAdopted bounds the folders that Recover takes, and so what it may
	// cost to start where something has gone wrong again and again.
	maxAdopted = 64
	// maxMeta bounds meta: the resource is some names and tags.
	maxMeta = 256 << 10
	segExt  = ".seg"
)

// Leftover is what an ended process left of an environment. It belongs to this
// process until Close.
type Leftover struct {
	Origin   *pack.Origin  // its Ledger is the caller's to set
	Next     uint64        // the first number that was never given
	Records  []*Ref        // that are not done, by First
	Lines    []Run         // of the journal that are in no record, by First
	Fragment []byte        // text that is no event yet; nil: none
	Losses   []ledger.Loss // that nobody was told of, by First, with what is corrupt
}

// Run is lines of the events from First to Last.
type Run struct {
	First, Last uint64
	Lines       []byte
}

// Recover adopts what ended processes left. It is called once, and may run
// beside the other methods. A folder whose process lives is left alone.
func (s *Spool) Recover() []Leftover {
	var leftovers []Leftover
	for _, e := range s.claim() {
		left := s.restore(e)
		if !s.admit(e, left) {
			continue
		}
		leftovers = append(leftovers, *left)
	}
	return leftovers
}

// claim locks the folders of ended processes and lists their files, the oldest
// first.
func (s *Spool) claim() (claimed []*environment) {
	entries, err := os.ReadDir(s.opt.Dir)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.opt.Log.Warn("the spool's folder cannot be read; what an earlier process left stays there", "dir", s.opt.Dir, "error", err.Error())
		}
		return nil
	}
	type folder struct {
		name string
		made int64 // ns
	}
	var folders []folder
	for _, entry := range entries {
		// A link is no folder.
		if !entry.IsDir() || !isID(entry.Name()) {
			continue
		}
		if info, err := entry.Info(); err == nil {
			folders = append(folders, folder{entry.Name(), info.ModTime().UnixNano()})
		}
	}
	order.By(folders, func(a, b folder) int {
		return cmp.Or(cmp.Compare(a.made, b.made), strings.Compare(a.name, b.name))
	})
	for i, f := range folders {
		if len(claimed) == maxAdopted {
			s.opt.Log.Warn("earlier processes left more than is adopted at once; the rest stays for the next start",
				"dir", s.opt.Dir, "folders", len(folders)-i, "limit", maxAdopted)
			break
		}
		if e := s.take(f.name); e != nil {
			claimed = append(claimed, e)
		}
	}
	return claimed
}

// take locks one folder and lists its files. It returns nil where the folder
// is not to be had.
func (s *Spool) take(name string) *environment {
	// Under mu, so that a folder that this process is making is not taken
	// between its birth and its lock.
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.envs[name] != nil {
		return nil
	}
	e := newEnvironment(name, filepath.Join(s.opt.Dir, name))
	path := filepath.Join(e.dir, "meta")
	f, err := s.disk.open(path, toWrite)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = s.disk.open(path, toMake)
	}
	if err != nil {
		s.opt.Log.Warn("what an earlier process left cannot be adopted; it stays there", "path", path, "error", err.Error())
		return nil
	}
	if err := lock(f); err != nil {
		_ = f.Close() // its process lives
		return nil
	}
	e.meta = f
	if info, err := f.Stat(); err == nil {
		e.metaSize = info.Size()
	}
	entries, err := os.ReadDir(e.dir)
	if err != nil {
		s.opt.Log.Warn("what an earlier process left cannot be adopted; it stays there", "path", e.dir, "error", err.Error())
		_ = f.Close()
		return nil
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		path := filepath.Join(e.dir, entry.Name())
		switch number, isSegment := segmentNumber(entry.Name()); {
		case isSegment:
			e.segments = append(e.segments, &segment{env: e, tail: tail{path: path, size: info.Size()}})
			e.number = max(e.number, number)
		case entry.Name() == journalName:
			e.journal = tail{path: path, size: info.Size()}
		case entry.Name() == journalNew:
			_ = s.disk.remove(path) // it never became the journal
		}
	}
	order.By(e.segments, func(a, b *segment) int {
		return cmp.Or(cmp.Compare(len(a.path), len(b.path)), strings.Compare(a.path, b.path))
	})
	s.bytes += e.size()
	return e
}

// segmentNumber reads the number from a segment's name.
func segmentNumber(name string) (int, bool) {
	digits, ok := strings.CutSuffix(name, segExt)
	number, err := strconv.Atoi(digits)
	// The name has to be the very one that the number gives.
	return number, ok && err == nil && number > 0 && name == fmt.Sprintf("%08d.seg", number)
}

// size is the bytes of all files of an environment.
func (e *environment) size() int64 {
	n := e.metaSize + e.journal.size
	for _, seg := range e.segments {
		n += seg.size
	}
	return n
}

// admit makes an adopted environment one of the Spool's. It reports whether
// anything is left of it; its folder is removed otherwise.
func (s *Spool) admit(e *environment, left *Leftover) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		e.journal.close()
		_ = e.meta.Close()
		return false
	}
	if len(left.Records)+len(left.Lines)+len(left.Losses) == 0 && left.Fragment == nil {
		e.journalFirst = 0 // all in records, and they are done
		s.leave(e)
		return false
	}
	if e.journalFirst > 0 && len(left.Lines) == 0 {
		// All its lines are in records. They must not come back when these
		// are gone.
		if err := s.forget(e); err == nil {
			e.journalFirst = 0
		}
	}
	for _, seg := range e.segments {
		s.live += int64(seg.records + seg.losses + seg.spoiled)
	}
	s.envs[e.id] = e
	return true
}

// find is an item of a file, taken apart.
type find struct {
	item
	meta     recordMeta
	dataSize int // of a record
	loss     ledger.Loss
	lines    []byte
	fragment []byte
}

// restore reads the files of an environment that nobody else knows yet.
func (s *Spool) restore(e *environment) *Leftover {
	before := e.size()
	e.readMeta()
	left := &Leftover{Origin: &pack.Origin{EnvironmentID: e.id, Resource: e.resource}}
	left.Origin.Describe(e.details)
	r := &restorer{spool: s, env: e, left: left}
	e.segments = slices.DeleteFunc(e.segments, func(seg *segment) bool { return !r.segment(seg) })
	if e.journal.path != "" {
		r.journal()
	}
	if r.promise = s.readPromise(e); r.promise != nil {
		r.number(r.promise.Last)
	}
	r.sum()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += e.size() - before
	for _, ref := range r.done {
		ref.seg.records--
		s.settle(ref.seg, ref.offset)
	}
	return left
}

// readMeta reads what is common to the environment's lines from meta. Where it
// cannot be read, they still have the environment's name.
func (e *environment) readMeta() {
	text, _ := io.ReadAll(io.NewSectionReader(e.meta, 0, maxMeta)) // what is not there is no JSON
	var meta struct {
		Resource json.RawMessage `json:"resource"`
		Details  format.Details  `json:"details"`
	}
	if json.Unmarshal(text, &meta) == nil && bytes.HasPrefix(meta.Resource, []byte("{")) {
		e.resource, e.details = meta.Resource, meta.Details
	} else {
		e.resource = fmt.Appendf(nil, `{"faas.instance":%q}`, e.id)
	}
}

// restorer puts together what the files of one environment hold.
type restorer struct {
	spool *Spool
	env   *environment
	left  *Leftover

	promise   *promise // nil: the process did not end in order
	inRecords spans    // numbers of records, readable or done
	spoiled   []bad
	runs      []Run
	done      []*Ref // though no frame says so
}

// bad is events that the files have lost.
type bad struct {
	loss ledger.Loss
	seg  *segment // nil: the journal
	at   int64
	gap  bool // the numbers are those that are missing
	open bool // a gap that nothing in the file ends
}

// number notes a number that was given.
func (r *restorer) number(n uint64) {
	if n != 0 && n+1 != 0 {
		r.env.last = max(r.env.last, n)
	}
}

// scan reads a file and cuts off its torn end. It returns what it holds, and
// false where it cannot be opened.
func (r *restorer) scan(t *tail) (finds []find, ok bool) {
	log := r.spool.opt.Log
	read := func() error {
		end, err := scan(t.file, t.size, func(it item) { finds = append(finds, take(it)) })
		if err != nil {
			// What lies behind cannot be read: it is lost like what is spoiled.
			log.Warn("a file of the spool cannot be read to its end", "path", t.path, "offset", end, "error", err.Error())
			finds = append(finds, find{item: item{state: unknown, offset: end, size: t.size - end}})
			return nil
		}
		if end < t.size {
			t.size, t.dirty = end, true
			_ = t.clean() // or before the next write
		}
		return nil
	}
	err := t.with(r.spool.disk, toWrite, read)
	if err != nil {
		err = t.with(r.spool.disk, toRead, read) // a disk that takes nothing may still give
	}
	if err != nil {
		log.Warn("a file of the spool cannot be opened; what is in it stays there", "path", t.path, "error", err.Error())
		r.env.unread = true
	}
	return finds, err == nil
}

// take keeps of an item what is needed after the next one was read.
func take(it item) find {
	f := find{item: it}
	payload := it.payload
	f.payload = nil
	switch it.header.kind {
	case kindRecord:
		meta, data, err := parseRecord(payload)
		if err != nil && it.state == intact {
			f.state = damaged
		}
		// The meta has its own sum: what a spoiled record told of is known.
		f.meta, f.dataSize = meta, len(data)
	case kindLoss:
		if it.state == intact && json.Unmarshal(payload, &f.loss) != nil {
			f.state = damaged
		}
		if f.state == intact && (f.loss.First != it.header.first || f.loss.Last != it.header.last || f.loss.Count < 0) {
			f.state = damaged
		}
	case kindLines:
		if it.state != intact {
			break
		}
		lines, fragment, ok := parseLines(payload)
		if !ok {
			f.state = damaged
			break
		}
		f.lines, f.fragment = bytes.Clone(lines), bytes.Clone(fragment)
	case kindMark, kindDone:
	}
	return f
}

// segment reads a segment, and reports whether it could.
func (r *restorer) segment(seg *segment) bool {
	finds, ok := r.scan(&seg.tail)
	if !ok {
		return false
	}
	done := map[int64]bool{}
	for _, f := range finds {
		if f.state == intact && f.header.kind == kindDone {
			done[int64(f.header.first)] = true
		}
	}
	for i, f := range finds {
		settled := done[f.offset]
		if f.state != intact {
			r.bad(finds, i, seg, settled)
			continue
		}
		switch f.header.kind {
		case kindMark:
			r.number(f.header.last)
			r.close(seg, f.header.last)
		case kindRecord:
			r.number(f.header.last)
			r.inRecords.add(f.header.first, f.header.last)
			seg.top = max(seg.top, f.header.last)
			if settled {
				continue
			}
			seg.records++
			r.left.Records = append(r.left.Records, &Ref{
				Origin: r.left.Origin, First: f.header.first, Last: f.header.last, Losses: f.meta.Losses, Lines: f.meta.Lines,
				Events: int(f.header.count), Ordinary: f.meta.Ordinary, DataSize: f.dataSize + len(f.meta.PartitionKey),
				seg: seg, offset: f.offset, size: int32(f.size),
			})
		case kindLoss:
			r.number(f.header.last)
			if settled {
				continue
			}
			r.env.kept = append(r.env.kept, &kept{loss: f.loss, seg: seg, offset: f.offset})
			seg.losses++
			r.left.Losses = append(r.left.Losses, f.loss)
		case kindDone, kindLines:
		}
	}
	r.env.onDisk = r.env.last
	return true
}

// journal reads the journal.
func (r *restorer) journal() {
	finds, _ := r.scan(&r.env.journal)
	for i, f := range finds {
		if f.state != intact {
			r.bad(finds, i, nil, false)
			if i == len(finds)-1 || f.state == damaged && f.header.kind == kindLines {
				// What was pending may have been in it; what was pending
				// before is most likely in an event by now.
				r.left.Fragment = nil
			}
			continue
		}
		switch f.header.kind {
		case kindMark:
			r.number(f.header.last)
			r.runs = nil
			r.spoiled = slices.DeleteFunc(r.spoiled, func(b bad) bool { return b.seg == nil })
		case kindLines:
			r.number(f.header.last)
			r.left.Fragment, r.env.fragmentAt = nil, f.offset
			if len(f.fragment) > 0 {
				r.left.Fragment = f.fragment
			}
			if f.header.count > 0 {
				r.runs = append(r.runs, Run{f.header.first, f.header.last, f.lines})
			}
		case kindRecord, kindLoss, kindDone:
		}
	}
	r.env.fragment = r.left.Fragment != nil
}

// bad notes that the i-th of the finds cannot be read.
func (r *restorer) bad(finds []find, i int, seg *segment, settled bool) {
	f := finds[i]
	path := r.env.journal.path
	if seg != nil {
		path = seg.path
	}
	if settled {
		// It was shipped, or told, before it was spoiled.
		if f.state == damaged && f.header.kind == kindRecord {
			r.number(f.header.last)
			r.inRecords.add(f.header.first, f.header.last)
			seg.top = max(seg.top, f.header.last)
		}
		return
	}
	r.spool.opt.Log.Warn("a file of the spool is not what was written; what it lost is told in the stream",
		"path", path, "offset", f.offset, "bytes", f.size)
	if f.state == damaged {
		h := f.header
		if h.kind == kindMark {
			r.number(h.last)
		}
		if h.kind != kindRecord && h.kind != kindLoss && h.kind != kindLines || h.first == 0 || h.first > h.last {
			return
		}
		r.number(h.last)
		h.count = uint32(min(uint64(h.count), h.last-h.first+1))
		loss := h.loss(f.meta.Lines)
		if h.kind == kindLines {
			loss.Bytes = int64(h.length)
		}
		r.spoiled = append(r.spoiled, bad{loss: loss, seg: seg, at: f.offset})
		// The losses that the record told of are untold again.
		r.left.Losses = append(r.left.Losses, f.meta.Losses...)
		return
	}
	if f.size < 2*headerSize {
		return // no events fit
	}
	// All that is known are the numbers before and behind it.
	var before, behind uint64
	for _, g := range finds[:i] {
		if g.state == intact && (g.header.kind == kindRecord || g.header.kind == kindLines || g.header.kind == kindMark) {
			before = max(before, g.header.last)
		}
	}
	for _, g := range finds[i+1:] {
		if g.state != unknown && (g.header.kind == kindRecord || g.header.kind == kindLines) {
			behind = g.header.first
			break
		}
	}
	open := behind == 0
	if open && before+2 > before {
		behind = before + 2 // nothing behind it: one event at least
	}
	if behind <= before+1 {
		return
	}
	r.number(behind - 1)
	r.spoiled = append(r.spoiled, bad{
		loss: ledger.Loss{First: before + 1, Last: behind - 1, Count: atMost(behind - 1 - before), Bytes: f.size, Reason: ledger.SpoolCorrupt},
		seg:  seg, at: f.offset, gap: true, open: open,
	})
}

// atMost is n as a count of events.
func atMost(n uint64) int { return int(min(n, 1<<31)) }

// close ends the gaps at the end of segments: the next one's mark has the
// highest number that could be in them.
func (r *restorer) close(seg *segment, mark uint64) {
	for i := range r.spoiled {
		if b := &r.spoiled[i]; b.open && b.seg != nil && b.seg != seg && mark > b.loss.Last {
			b.loss.Last, b.loss.Count, b.open = mark, atMost(mark-b.loss.First+1), false
		}
	}
}

// sum brings together what segments and journal said.
func (r *restorer) sum() {
	left, e := r.left, r.env
	r.inRecords.merge()
	for _, run := range r.runs {
		if e.journalFirst == 0 {
			e.journalFirst = run.First
		}
		e.journalFirst = min(e.journalFirst, run.First)
		left.Lines = append(left.Lines, run.without(r.inRecords)...)
	}
	order.By(left.Lines, func(a, b Run) int { return cmp.Compare(a.First, b.First) })
	left.Lines = joinRuns(left.Lines)
	if len(left.Lines) == 0 && slices.ContainsFunc(r.spoiled, func(b bad) bool { return b.seg == nil }) {
		e.journalFirst = 0 // not emptied: nobody is told yet of what it lost
	}
	order.By(left.Records, func(a, b *Ref) int { return cmp.Compare(a.First, b.First) })

	// What is spoiled in one place may be whole in another: a record was
	// journalled before, and what was journalled is in a record.
	var inJournal, told spans
	for _, run := range left.Lines {
		inJournal.add(run.First, run.Last)
	}
	inJournal.merge()
	for _, b := range r.spoiled {
		if !b.gap {
			told.add(b.loss.First, b.loss.Last)
		}
	}
	told.merge()
	var seen spans // of the journal's spoiled lines, whose records may be spoiled as well
	for _, b := range r.spoiled {
		if !b.gap && b.seg != nil {
			seen.add(b.loss.First, b.loss.Last)
		}
	}
	seen.merge()
	if r.promise != nil {
		left.Losses = append(left.Losses, r.promise.broken(inJournal, r.inRecords, told)...)
		left.Records = slices.DeleteFunc(left.Records, func(ref *Ref) bool {
			if r.promise.has(ref) {
				return false
			}
			r.done = append(r.done, ref) // and the frame that said so is lost
			return true
		})
	}
	for _, b := range r.spoiled {
		if b.gap && r.promise != nil {
			continue // it is known what was in it
		}
		known := []spans{inJournal}
		if b.gap || b.seg == nil {
			known = append(known, r.inRecords)
		}
		switch {
		case b.gap:
			known = append(known, told)
		case b.seg == nil:
			known = append(known, seen)
		}
		loss, ok := without(b.loss, known)
		if !ok {
			continue
		}
		left.Losses = append(left.Losses, loss)
		if b.seg != nil {
			e.kept = append(e.kept, &kept{loss: loss, seg: b.seg, offset: b.at, spoiled: true})
			b.seg.spoiled++
		}
	}
	order.By(left.Losses, func(a, b ledger.Loss) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last), cmp.Compare(a.Reason, b.Reason))
	})
	// A loss that was being moved to another segment is in both.
	left.Losses = slices.Compact(left.Losses)
	left.Next = e.last + 1
}

// spans are ranges of numbers.
type spans []struct{ first, last uint64 }

func (s *spans) add(first, last uint64) {
	*s = append(*s, struct{ first, last uint64 }{first, last})
}

// merge puts them in order, apart from each other.
func (s *spans) merge() {
	order.By(*s, func(a, b struct{ first, last uint64 }) int { return cmp.Compare(a.first, b.first) })
	merged := (*s)[:0]
	for _, span := range *s {
		if n := len(merged); n > 0 && span.first <= merged[n-1].last+1 && merged[n-1].last+1 != 0 {
			merged[n-1].last = max(merged[n-1].last, span.last)
			continue
		}
		merged = append(merged, span)
	}
	*s = merged
}

// has reports whether n is within merged spans.
func (s spans) has(n uint64) bool {
	i, found := slices.BinarySearchFunc(s, n, func(span struct{ first, last uint64 }, n uint64) int {
		switch {
		case span.last < n:
			return -1
		case span.first > n:
			return 1
		}
		return 0
	})
	return found && i < len(s)
}

// without returns what of a loss lies in none of the merged spans: its ends
// are cut, and its count is at most the numbers that are left.
func without(loss ledger.Loss, known []spans) (ledger.Loss, bool) {
	var all spans
	for _, s := range known {
		all = append(all, s...)
	}
	all = slices.Clone(all)
	all.merge()
	left := loss.Last - loss.First + 1
	for _, s := range all {
		first, last := max(s.first, loss.First), min(s.last, loss.Last)
		if first <= last {
			left -= last - first + 1
		}
	}
	if left == 0 {
		return ledger.Loss{}, false
	}
	for _, s := range all { // in order
		if s.first <= loss.First && s.last >= loss.First {
			loss.First = s.last + 1
		}
	}
	for _, s := range slices.Backward(all) {
		if s.first <= loss.Last && s.last >= loss.Last {
			loss.Last = s.first - 1
		}
	}
	loss.Count = int(min(uint64(loss.Count), left))
	return loss, true
}

// without returns the lines whose numbers are in none of the spans. Lines that
// cannot be told from each other are all kept: better twice than not at all.
func (run Run) without(known spans) []Run {
	whole := true
	for _, s := range known {
		whole = whole && (s.last < run.First || s.first > run.Last)
	}
	if whole {
		return []Run{run}
	}
	lines := bytes.SplitAfter(run.Lines, []byte("\n"))
	if n := len(lines); n > 0 && len(lines[n-1]) == 0 {
		lines = lines[:n-1]
	}
	if uint64(len(lines)) != run.Last-run.First+1 {
		for _, s := range known {
			if s.first <= run.First && run.Last <= s.last {
				return nil
			}
		}
		return []Run{run}
	}
	var left []Run
	for i, line := range lines {
		if n := run.First + uint64(i); !known.has(n) {
			left = append(left, Run{n, n, line})
		}
	}
	return joinRuns(left)
}

// joinRuns puts runs together that follow each other.
func joinRuns(runs []Run) (joined []Run) {
	for _, run := range runs {
		if n := len(joined); n > 0 && joined[n-1].Last+1 == run.First {
			joined[n-1].Last = run.Last
			joined[n-1].Lines = append(joined[n-1].Lines, run.Lines...)
			continue
		}
		run.Lines = slices.Clip(run.Lines) // what is appended goes elsewhere
		joined = append(joined, run)
	}
	return joined
}
