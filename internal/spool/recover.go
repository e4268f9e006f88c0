package spool

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"kinetel/internal/format"
	"kinetel/internal/ledger"
	"kinetel/internal/order"
	"kinetel/internal/pack"
)

const (
	// maxAdopted bounds the folders that Recover takes, and so what it may
	// cost to start where something has gone wrong again and again.
	maxAdopted = 64
	// maxFolders and maxFiles bound the names that are looked at.
	maxFolders = 4096
	maxFiles   = 4096
	// maxMeta bounds meta: the resource is some names and tags.
	maxMeta     = 64 << 10
	maxResource = 16 << 10
	// maxCount and maxBytes bound what a loss says, so that sums stay numbers.
	maxCount = 1 << 31
	maxBytes = 1 << 50
	// maxRecords bounds the records that are adopted, and with it the memory
	// for what is known of them.
	maxRecords = 64 << 10
	// maxFindings bounds, of one environment, the places that cannot be read and
	// are reported each for itself.
	maxFindings = 1024
	// maxLines bounds the bytes of a journal's lines that are in no record: an
	// open record has fewer.
	maxLines = 4 << 20
	// maxFile bounds what is read of a segment: a full one, its last record, and
	// what notes that its records are done.
	maxFile = 2 * maxSegment
	segExt  = ".seg"
)

// Leftover is what an ended process left of an environment. It belongs to this
// process until Close.
type Recovered struct {
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
// beside the other methods, which do not wait for it while it reads. A folder
// whose process lives is left alone. What it reads is bounded by Max and by the
// limits above, because other processes may have written it.
func (s *Spool) Recover() []Recovered {
	var leftovers []Recovered
	budget := budget{bytes: s.opt.Max, records: maxRecords}
	for _, e := range s.claim() {
		left := s.restore(e, &budget)
		if !s.admit(e, left) {
			continue
		}
		leftovers = append(leftovers, *left)
	}
	return leftovers
}

// budget is what Recover may still take.
type budget struct {
	bytes   int64
	records int
}

// claim locks the folders of ended processes and lists their files, the oldest
// first.
func (s *Spool) claim() (claimed []*environment) {
	err := secure(s.disk, s.opt.Dir, false)
	var entries []fs.DirEntry
	if err == nil {
		entries, err = s.disk.readDir(s.opt.Dir, maxFolders)
	}
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.opt.Log.Warn("the spool's folder is not used; what an earlier process left stays there", "dir", s.opt.Dir, "error", err.Error())
		}
		return nil
	}
	rest := 0
	if len(entries) == maxFolders {
		rest = 1 // at least
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
			rest += len(folders) - i
			break
		}
		e := s.adopt(f.name)
		if e == nil {
			continue
		}
		s.mu.Lock()
		s.bytes += e.size()
		s.mu.Unlock()
		claimed = append(claimed, e)
	}
	if rest > 0 {
		s.opt.Log.Warn("earlier processes left more than is adopted at once; the rest stays for the next start",
			"dir", s.opt.Dir, "folders", rest, "limit", maxAdopted)
	}
	return claimed
}

// take locks one folder and lists its files. It returns nil where the folder
// is not to be had.
func (s *Spool) adopt(name string) *environment {
	// An environment of this process is known before its folder is made.
	s.mu.Lock()
	known := s.closed || s.envs[name] != nil
	s.mu.Unlock()
	if known {
		return nil
	}
	e := newEnvironment(name, filepath.Join(s.opt.Dir, name))
	var entries []fs.DirEntry
	err := secure(s.disk, e.dir, false)
	if err == nil {
		entries, err = s.disk.readDir(e.dir, maxFiles)
	}
	if err == nil {
		err = s.lockMeta(e)
	}
	if err != nil {
		if !errors.Is(err, syscall.EWOULDBLOCK) { // else its process lives
			s.opt.Log.Warn("what an earlier process left cannot be adopted; it stays there", "path", e.dir, "error", err.Error())
		}
		return nil
	}
	e.unread = len(entries) == maxFiles
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			continue
		}
		path := filepath.Join(e.dir, entry.Name())
		t := tail{path: path, info: info, size: info.Size()}
		if regular(path, info) != nil {
			t.size = 0 // opening it says why
		}
		switch number, isSegment := segmentNumber(entry.Name()); {
		case isSegment:
			e.segments = append(e.segments, &segment{env: e, tail: t})
			e.number = max(e.number, number)
		case entry.Name() == journalName:
			e.journal = t
		case entry.Name() == journalNew:
			_ = s.disk.remove(path) // it never became the journal
		}
	}
	order.By(e.segments, func(a, b *segment) int {
		return cmp.Or(cmp.Compare(len(a.path), len(b.path)), strings.Compare(a.path, b.path))
	})
	return e
}

// lockMeta opens meta, or makes it, and locks the environment with it.
func (s *Spool) lockMeta(e *environment) error {
	path := filepath.Join(e.dir, "meta")
	f, err := s.disk.open(path, toWrite)
	if permanent(err) {
		f, err = makeFile(s.disk, path)
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		err = lock(f)
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	e.meta = tail{path: path, file: f, info: info, size: info.Size()}
	return nil
}

// segmentNumber reads the number from a segment's name.
func segmentNumber(name string) (int, bool) {
	digits, ok := strings.CutSuffix(name, segExt)
	number, err := strconv.Atoi(digits)
	// The name has to be the very one that the number gives, and not the last one.
	return number, ok && err == nil && number > 0 && number < 1<<40 && name == fmt.Sprintf("%08d.seg", number)
}

// size is the bytes of all files of an environment.
func (e *environment) size() int64 {
	n := e.meta.size + e.journal.size
	for _, seg := range e.segments {
		n += seg.size
	}
	return n
}

// admit makes an adopted environment one of the Spool's. It reports whether
// anything is left of it; its folder is removed otherwise.
func (s *Spool) admit(e *environment, left *Recovered) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		e.journal.close()
		e.meta.close()
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

// restore reads the files of an environment that nobody else knows yet.
func (s *Spool) restore(e *environment, budget *budget) *Recovered {
	before := e.size()
	e.readMeta()
	left := &Recovered{Origin: &pack.Origin{EnvironmentID: e.id, Resource: e.resource}}
	left.Origin.Describe(e.details)
	r := &restorer{spool: s, env: e, left: left, budget: budget}
	e.segments = slices.DeleteFunc(e.segments, func(seg *segment) bool { return !r.segment(seg) })
	r.inRecords.merge()
	if e.journal.path != "" {
		r.journal()
	}
	if r.manifest = s.readManifest(e); r.manifest != nil {
		r.number(r.manifest.Last)
	}
	r.reconcile()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes += e.size() - before
	for _, ref := range r.done {
		ref.seg.records--
		s.markDone(ref.seg, ref.offset)
	}
	return left
}

// readMeta reads what is common to the environment's lines from meta. Where it
// cannot be read, they still have the environment's name.
func (e *environment) readMeta() {
	text, _ := io.ReadAll(io.NewSectionReader(e.meta.file, 0, maxMeta)) // what is not there is no JSON
	var meta struct {
		EnvironmentID string          `json:"environmentId"`
		Resource      json.RawMessage `json:"resource"`
		Details       format.Details  `json:"details"`
	}
	var resource struct {
		Instance string `json:"faas.instance"`
	}
	if json.Unmarshal(text, &meta) == nil && meta.EnvironmentID == e.id && // and the resource is one line of JSON:
		bytes.HasPrefix(meta.Resource, []byte("{")) && !bytes.ContainsAny(meta.Resource, "\r\n") && utf8.Valid(meta.Resource) &&
		len(meta.Resource) <= maxResource && json.Unmarshal(meta.Resource, &resource) == nil && resource.Instance == e.id {
		e.resource, e.details, e.known = meta.Resource, meta.Details, true
		if more := meta.Details.Attributes; len(more) > maxResource || !json.Valid(more) {
			e.details.Attributes = nil
		}
	} else {
		e.resource = fmt.Appendf(nil, `{"faas.instance":%q}`, e.id)
	}
}

// restorer puts together what the files of one environment hold.
type restorer struct {
	spool  *Spool
	env    *environment
	left   *Recovered
	budget *budget

	manifest   *manifest // nil: the process did not end in order
	inRecords spans    // numbers of records, readable or done
	spoiled   []corruptFrame
	runs      []Run
	lines     int    // bytes of these
	done      []*Ref // though no frame says so

	// Of the file that is being read.
	before uint64 // the highest number so far
	gaps   []int  // those in spoiled that no number ends yet
}

// bad is events that the files have lost.
type corruptFrame struct {
	loss   ledger.Loss // without a number: none
	told   []ledger.Loss
	seg    *segment // nil: the journal
	at     int64
	size   int64
	record bool // it is a record's frame
	gap    bool // the numbers are those that are missing
	open   bool // a gap that nothing in the file ends
}

// number notes a number that was given.
func (r *restorer) number(n uint64) {
	if n <= maxNumber {
		r.env.last = max(r.env.last, n)
	}
}

// scan reads a file up to a limit, hands its items to visit and cuts off its torn
// end. It returns false where it cannot be opened.
func (r *restorer) scan(t *tail, limit int64, visit func(item)) bool {
	log := r.spool.opt.Log
	r.before, r.gaps = 0, r.gaps[:0]
	size := min(t.size, limit)
	if size > r.budget.bytes || r.budget.records <= 0 {
		log.Warn("earlier processes left more than is adopted at once; the rest stays for the next start",
			"path", t.path, "limit_bytes", r.spool.opt.Max, "limit_records", maxRecords)
		r.env.unread = true
		return false
	}
	r.budget.bytes -= size
	read := func() error {
		end, err := scan(t.file, size, visit)
		if t.size > size && err == nil {
			visit(item{state: unknown, offset: size, size: t.size - size})
		}
		if err != nil {
			// What lies behind cannot be read: it is lost like what is spoiled.
			log.Warn("a file of the spool cannot be read to its end", "path", t.path, "offset", end, "error", err.Error())
			visit(item{state: unknown, offset: end, size: t.size - end})
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
		if !permanent(err) {
			r.env.unread = true
			return false
		}
		// Something else is in its place, which goes.
		_ = makeWay(r.spool.disk, t.path)
		if t == &r.env.journal {
			r.before = r.env.last
			*t = tail{}
		}
		if r.env.known {
			visit(item{state: unknown, size: 2 * headerSize})
		}
	}
	return true
}

// parseLoss reads a loss, which has to be one that a process wrote.
func parseLoss(h header, payload []byte) (loss ledger.Loss, ok bool) {
	err := json.Unmarshal(payload, &loss)
	return loss, err == nil && loss.First == h.first && loss.Last == h.last && valid(loss)
}

// valid reports whether the members of a loss make sense.
func valid(l ledger.Loss) bool {
	return l.Reason.Known() && l.First > 0 && l.First <= l.Last && l.Last <= maxNumber && l.Bytes >= 0 && l.Bytes <= maxBytes &&
		l.Count > 0 && l.Count <= maxCount && uint64(l.Count) <= l.Last-l.First+1
}

// segment reads a segment, and reports whether it could.
func (r *restorer) segment(seg *segment) bool {
	done := map[int64]bool{}
	var refs []*Ref
	var losses []*kept
	from := len(r.spoiled)
	ok := r.scan(&seg.tail, maxFile, func(it item) {
		if it.state == unknown {
			r.gap(it, seg)
			return
		}
		h := it.header
		switch h.kind {
		case kindMark:
			if it.state == intact {
				r.number(h.last)
				r.before = max(r.before, h.last)
				if it.offset == 0 {
					r.close(seg, h.last)
				}
				return
			}
		case kindRecord:
			meta, data, err := parseRecord(it.payload)
			if err != nil {
				it.state = damaged
			}
			r.end(h)
			if it.state == intact {
				r.before = max(r.before, h.last)
				refs = append(refs, &Ref{
					Origin: r.left.Origin, First: h.first, Last: h.last, Losses: meta.Losses, Lines: meta.Lines,
					Events: int(h.count), Droppable: meta.Droppable, DataSize: len(data) + len(meta.PartitionKey),
					seg: seg, offset: it.offset, size: int32(it.size), adopted: true,
				})
				return
			}
			// The meta has its own sum: what a spoiled record reported is known.
			r.damaged(it, seg, meta.Lines, meta.Losses)
			return
		case kindLoss:
			loss, ok := parseLoss(h, it.payload)
			if it.state == intact && ok {
				losses = append(losses, &kept{loss: loss, seg: seg, offset: it.offset})
				return
			}
		case kindDone:
			if it.state == intact {
				done[int64(h.first)] = true
				return
			}
		case kindLines:
			if it.state == intact {
				return
			}
		}
		r.damaged(it, seg, 0, nil)
	})
	if !ok {
		return false
	}
	for _, ref := range refs {
		r.number(ref.Last)
		r.inRecords.add(ref.First, ref.Last)
		seg.top = max(seg.top, ref.Last)
		if !done[ref.offset] {
			seg.records++
			r.budget.records--
			r.left.Records = append(r.left.Records, ref)
		}
	}
	for _, k := range losses {
		r.number(k.loss.Last)
		if !done[k.offset] && len(r.env.kept) < maxKept {
			r.env.kept = append(r.env.kept, k)
			seg.losses++
			r.left.Losses = append(r.left.Losses, k.loss)
		}
	}
	r.settle(from, seg.path, func(b corruptFrame) bool {
		if done[b.at] && b.record { // it was shipped before it was spoiled
			r.number(b.loss.Last)
			r.inRecords.add(b.loss.First, b.loss.Last)
			seg.top = max(seg.top, b.loss.Last)
		}
		return done[b.at]
	})
	r.env.onDisk = r.env.last
	return true
}

// journal reads the journal.
func (r *restorer) journal() {
	var fragment []byte
	pending, spoiled := false, false // a fragment is there; what was read last is spoiled
	from, path := len(r.spoiled), r.env.journal.path
	r.scan(&r.env.journal, r.env.journal.size, func(it item) {
		if spoiled = it.state != intact; it.state == unknown {
			r.gap(it, nil)
			return
		}
		h := it.header
		switch {
		case h.kind == kindMark && !spoiled:
			r.number(h.last)
			r.before = max(r.before, h.last)
			r.env.journalFirst = 0
			r.runs, r.lines = nil, 0
			r.spoiled, r.gaps = r.spoiled[:from], r.gaps[:0]
		case h.kind == kindLines:
			r.end(h)
			lines, text, ok := parseLines(it.payload)
			pending = false
			if spoiled = spoiled || !ok || !r.keepLines(h, lines); spoiled {
				// What was pending may have been in it; what was pending before
				// is most likely in an event by now.
				r.damaged(it, nil, int64(h.length), nil)
				return
			}
			r.before = max(r.before, h.last)
			r.number(h.last)
			fragment = append(fragment[:0], text...)
			pending, r.env.fragmentAt = len(text) > 0, it.offset
		case spoiled:
			r.damaged(it, nil, 0, nil)
		}
	})
	if pending && !spoiled {
		r.left.Fragment = fragment
	}
	r.env.fragment = r.left.Fragment != nil
	r.settle(from, path, func(corruptFrame) bool { return false })
}

// keepLines keeps those lines of a journal's frame that are in no record. It
// reports whether they are lines.
func (r *restorer) keepLines(h header, lines []byte) bool {
	if h.count == 0 {
		return true
	}
	if check := r.spool.opt.Check; check != nil {
		rest, seq := lines, h.first
		for ; len(rest) > 0; seq++ {
			end := bytes.IndexByte(rest, '\n') + 1 // 0: that is no line
			if seq > h.last || !check.Line(r.left.Origin, seq, rest[:end]) {
				return false
			}
			rest = rest[end:]
		}
		if seq != h.last+1 {
			return false
		}
	}
	for _, run := range (Run{h.first, h.last, lines}).without(r.inRecords) {
		n := len(r.runs)
		if r.lines += len(run.Lines); r.lines > maxLines || n == maxFindings || n > 0 && run.First <= r.runs[n-1].Last {
			return false
		}
		if n > 0 && r.runs[n-1].Last+1 == run.First {
			last := &r.runs[n-1]
			last.Last, last.Lines = run.Last, append(last.Lines, run.Lines...)
			continue
		}
		run.Lines = bytes.Clone(run.Lines)
		r.runs = append(r.runs, run)
	}
	if e := r.env; e.journalFirst == 0 || h.first < e.journalFirst {
		e.journalFirst = h.first
	}
	return true
}

// add notes events that cannot be read. Where there are too many such places,
// it widens the last one.
func (r *restorer) add(b corruptFrame) {
	n := len(r.spoiled)
	if n < maxFindings || r.spoiled[n-1].seg != b.seg {
		r.spoiled = append(r.spoiled, b)
		return
	}
	last := &r.spoiled[n-1]
	last.gap, last.open, last.record, last.size = true, b.open, false, last.size+b.size
	if l := &last.loss; l.First == 0 {
		*l = b.loss
	} else if b.loss.First > 0 {
		l.First, l.Last, l.Bytes = min(l.First, b.loss.First), max(l.Last, b.loss.Last), l.Bytes+b.loss.Bytes
		l.Count = atMost(l.Last - l.First + 1)
	}
}

// damaged notes a frame of which only the header can be read.
func (r *restorer) damaged(it item, seg *segment, size int64, told []ledger.Loss) {
	h := it.header
	b := corruptFrame{seg: seg, at: it.offset, size: it.size, record: h.kind == kindRecord, told: told}
	known := h.kind == kindRecord || h.kind == kindLoss || h.kind == kindLines
	if known && h.first > 0 && h.first <= h.last && h.last <= maxNumber {
		h.count = uint32(min(uint64(max(h.count, 1)), h.last-h.first+1))
		b.loss = h.loss(size)
	} else {
		b.record = false
	}
	r.add(b)
}

// gap notes bytes of no frame. All that is known of them are the numbers before
// and behind.
func (r *restorer) gap(it item, seg *segment) {
	b := corruptFrame{seg: seg, at: it.offset, size: it.size}
	if it.size >= 2*headerSize && r.before < maxNumber { // else no events fit
		// Nothing is behind it yet: one event at least.
		b.loss = ledger.Loss{First: r.before + 1, Last: r.before + 1, Count: 1, Bytes: it.size, Reason: ledger.SpoolCorrupt}
		b.gap, b.open = true, true
	}
	r.add(b)
	if n := len(r.spoiled) - 1; b.open && (len(r.gaps) == 0 || r.gaps[len(r.gaps)-1] != n) {
		r.gaps = append(r.gaps, n)
	}
}

// end ends the gaps before a frame of events.
func (r *restorer) end(h header) {
	for _, i := range r.gaps {
		b := &r.spoiled[i]
		b.open = false
		if h.first <= b.loss.First {
			b.loss = ledger.Loss{}
			continue
		}
		b.loss.Last = min(h.first-1, maxNumber)
		b.loss.Count = atMost(b.loss.Last - b.loss.First + 1)
	}
	r.gaps = r.gaps[:0]
}

// settle drops, of what is spoiled in the file that was read, what is settled
// and what has no events, and logs it once.
func (r *restorer) settle(from int, path string, settled func(corruptFrame) bool) {
	var bytes int64
	kept := r.spoiled[:from]
	places := 0
	for _, b := range r.spoiled[from:] {
		if settled(b) {
			continue
		}
		places++
		bytes += b.size
		if b.loss.First == 0 {
			continue
		}
		r.number(b.loss.Last)
		// The losses that the record reported have to be reported again.
		if len(r.left.Losses)+len(b.told) <= maxKept {
			r.left.Losses = append(r.left.Losses, b.told...)
		}
		b.told = nil
		kept = append(kept, b)
	}
	if places > 0 {
		r.spool.opt.Log.Warn("a file of the spool is not what was written; what it lost is reported in the stream",
			"path", path, "places", places, "bytes", bytes)
	}
	r.spoiled = kept
}

// atMost is n as a count of events.
func atMost(n uint64) int { return int(min(n, maxCount)) }

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
func (r *restorer) reconcile() {
	left, e := r.left, r.env
	left.Lines = r.runs
	if len(left.Lines) == 0 && slices.ContainsFunc(r.spoiled, func(b corruptFrame) bool { return b.seg == nil }) {
		e.journalFirst = 0 // not emptied: nobody is told yet of what it lost
	}
	order.By(left.Records, func(a, b *Ref) int { return cmp.Compare(a.First, b.First) })

	// What is spoiled in one place may be whole in another: a record was
	// journalled before, and what was journalled is in a record.
	var inJournal, told, seen spans // seen: of the journal's spoiled lines, whose records may be spoiled as well
	for _, run := range left.Lines {
		inJournal.add(run.First, run.Last)
	}
	for _, b := range r.spoiled {
		if b.gap {
			continue
		}
		told.add(b.loss.First, b.loss.Last)
		if b.seg != nil {
			seen.add(b.loss.First, b.loss.Last)
		}
	}
	if r.manifest != nil {
		left.Losses = append(left.Losses, r.manifest.missing(union(inJournal, r.inRecords, told))...)
		left.Records = slices.DeleteFunc(left.Records, func(ref *Ref) bool {
			if r.manifest.has(ref) {
				return false
			}
			r.done = append(r.done, ref) // and the frame that said so is lost
			return true
		})
	}
	forGap, forLines, forRecord := union(inJournal, r.inRecords, told), union(inJournal, r.inRecords, seen), union(inJournal)
	for _, b := range r.spoiled {
		if b.gap && r.manifest != nil {
			continue // it is known what was in it
		}
		known := forRecord
		switch {
		case b.gap:
			known = forGap
		case b.seg == nil:
			known = forLines
		}
		loss, ok := known.without(b.loss)
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

// from returns the index of the first of merged spans that ends at n or later.
func (s spans) from(n uint64) int {
	i, _ := slices.BinarySearchFunc(s, n, func(span struct{ first, last uint64 }, n uint64) int { return cmp.Compare(span.last, n) })
	return i
}

// meets reports whether merged spans have a number from first to last.
func (s spans) meets(first, last uint64) bool {
	i := s.from(first)
	return i < len(s) && s[i].first <= last
}

// known is numbers that are accounted for.
type known struct {
	spans           // merged
	before []uint64 // how many numbers are in the spans before each
}

func union(of ...spans) (k known) {
	k.spans = slices.Concat(of...)
	k.merge()
	sum := uint64(0)
	for _, s := range k.spans {
		k.before = append(k.before, sum)
		sum += s.last - s.first + 1
	}
	return k
}

// until counts the numbers up to n.
func (k known) until(n uint64) uint64 {
	i := k.from(n)
	switch {
	case i < len(k.spans) && k.spans[i].first <= n:
		return k.before[i] + n - k.spans[i].first + 1
	case i < len(k.spans):
		return k.before[i]
	case i > 0:
		return k.before[i-1] + k.spans[i-1].last - k.spans[i-1].first + 1
	}
	return 0
}

// without returns what of a loss is not known: its ends are cut, and its count
// is at most the numbers that are left.
func (k known) without(loss ledger.Loss) (ledger.Loss, bool) {
	left := loss.Last - loss.First + 1 - (k.until(loss.Last) - k.until(loss.First-1))
	if left == 0 {
		return ledger.Loss{}, false
	}
	if i := k.from(loss.First); i < len(k.spans) && k.spans[i].first <= loss.First {
		loss.First = k.spans[i].last + 1
	}
	if i := k.from(loss.Last); i < len(k.spans) && k.spans[i].first <= loss.Last {
		loss.Last = k.spans[i].first - 1
	}
	loss.Count = int(min(uint64(loss.Count), left))
	return loss, true
}

// without returns the lines whose numbers are in none of the merged spans. Lines
// that cannot be told from each other are all kept: better twice than not at all.
func (run Run) without(in spans) []Run {
	if !in.meets(run.First, run.Last) {
		return []Run{run}
	}
	lines := bytes.SplitAfter(run.Lines, []byte("\n"))
	if n := len(lines); n > 0 && len(lines[n-1]) == 0 {
		lines = lines[:n-1]
	}
	if uint64(len(lines)) != run.Last-run.First+1 {
		if i := in.from(run.First); in[i].first <= run.First && run.Last <= in[i].last {
			return nil
		}
		return []Run{run}
	}
	var left []Run
	for i, line := range lines {
		if n := run.First + uint64(i); !in.meets(n, n) {
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
