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

	"kinetel/internal/environment"
	"kinetel/internal/ledger"
	"kinetel/internal/order"
)

const (
	// maxAdopted bounds the folders that Recover adopts, and so the cost of a
	// start if something has gone wrong again and again.
	maxAdopted = 64
	// maxFolders and maxFiles bound the directory entries that are read.
	maxFolders = 4096
	maxFiles   = 4096
	// maxMeta bounds meta: the resource is some names and tags.
	maxMeta     = 64 << 10
	maxResource = 16 << 10
	// maxCount and maxBytes bound the numbers of a loss, so that sums do not
	// overflow.
	maxCount = 1 << 31
	maxBytes = 1 << 50
	// maxRecords bounds the records that are adopted, and so the memory for
	// their Refs.
	maxRecords = 64 << 10
	// maxFindings bounds, for one environment, the places that cannot be read
	// and are reported one by one.
	maxFindings = 1024
	// maxLines bounds the bytes of a journal's lines that are in no record: an
	// open record has fewer.
	maxLines = 4 << 20
	// maxFile bounds what is read of a segment: a full one, its last record, and
	// the frames that mark its records as done.
	maxFile = 2 * maxSegment
	segExt  = ".seg"
)

// Recovered is what Recover found of an environment whose process has ended. It
// belongs to this process until Close.
type Recovered struct {
	Environment *environment.Environment // the caller sets its Ledger
	Next        uint64                   // the first number that was never assigned
	Records     []*Ref                   // not done; sorted by First
	Lines       []Run                    // of the journal, in no record; sorted by First
	Fragment    []byte                   // text that is not an event yet; nil: none
	Losses      []ledger.Loss            // not reported yet, corrupt places included; sorted by First
}

// Run is the lines of the events from First to Last.
type Run struct {
	First, Last uint64
	Lines       []byte
}

// Recover adopts the folders of ended processes. Call it once. It may run beside
// the other methods, which do not wait for it while it reads. It does not touch
// a folder whose process lives. Max and the limits above bound what it reads,
// because other processes may have written it.
func (s *Spool) Recover() []Recovered {
	var all []Recovered
	budget := budget{bytes: s.opt.Max, records: maxRecords}
	for _, e := range s.claim() {
		recovered := s.restore(e, &budget)
		if !s.admit(e, recovered) {
			continue
		}
		all = append(all, *recovered)
	}
	return all
}

// budget is what Recover may still read.
type budget struct {
	bytes   int64
	records int
}

// claim locks the folders of ended processes and lists their files, the oldest
// folder first.
func (s *Spool) claim() (claimed []*folder) {
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
		// A symbolic link is not a folder.
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

// adopt locks one folder and lists its files. It returns nil if the folder cannot
// be adopted.
func (s *Spool) adopt(name string) *folder {
	// An environment of this process is in envs before its folder is created.
	s.mu.Lock()
	known := s.closed || s.envs[name] != nil
	s.mu.Unlock()
	if known {
		return nil
	}
	e := newFolder(name, filepath.Join(s.opt.Dir, name))
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
			t.size = 0 // opening it returns the error
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

// lockMeta opens meta, or creates it, and locks the environment with it.
func (s *Spool) lockMeta(e *folder) error {
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

// segmentNumber parses the number in a segment's name.
func segmentNumber(name string) (int, bool) {
	digits, ok := strings.CutSuffix(name, segExt)
	number, err := strconv.Atoi(digits)
	// The name must be exactly the one of the number, and not the last possible one.
	return number, ok && err == nil && number > 0 && number < 1<<40 && name == fmt.Sprintf("%08d.seg", number)
}

// size returns the bytes of all files of an environment.
func (e *folder) size() int64 {
	n := e.meta.size + e.journal.size
	for _, seg := range e.segments {
		n += seg.size
	}
	return n
}

// admit adds an adopted environment to the Spool's. It reports whether the
// environment has anything to send. If it has nothing, admit removes its folder.
func (s *Spool) admit(e *folder, recovered *Recovered) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		e.journal.close()
		e.meta.close()
		return false
	}
	if len(recovered.Records)+len(recovered.Lines)+len(recovered.Losses) == 0 && recovered.Fragment == nil {
		e.journalFirst = 0 // all lines are in records, and these are done
		s.closeFolder(e)
		return false
	}
	if e.journalFirst > 0 && len(recovered.Lines) == 0 {
		// All its lines are in records. They must not be recovered again after
		// the records are gone.
		if err := s.forget(e); err == nil {
			e.journalFirst = 0
		}
	}
	for _, seg := range e.segments {
		s.live += int64(seg.records + seg.losses + seg.corrupt)
	}
	s.envs[e.id] = e
	return true
}

// restore reads the files of an environment that no other goroutine uses yet.
func (s *Spool) restore(e *folder, budget *budget) *Recovered {
	before := e.size()
	e.readMeta()
	recovered := &Recovered{Environment: &environment.Environment{ID: e.id, Resource: e.resource}}
	recovered.Environment.Describe(e.details)
	r := &restorer{spool: s, env: e, recovered: recovered, budget: budget}
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
	return recovered
}

// readMeta reads from meta what the environment's lines have in common. If meta
// cannot be read, they still have the environment's ID.
func (e *folder) readMeta() {
	text, _ := io.ReadAll(io.NewSectionReader(e.meta.file, 0, maxMeta)) // on an error, the text is not valid JSON
	var meta struct {
		EnvironmentID string              `json:"environmentId"`
		Resource      json.RawMessage     `json:"resource"`
		Details       environment.Details `json:"details"`
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

// restorer combines what the files of one environment contain.
type restorer struct {
	spool     *Spool
	env       *folder
	recovered *Recovered
	budget    *budget

	manifest  *manifest // nil: the process did not shut down cleanly
	inRecords spans     // numbers of records, readable or done
	corrupt   []corruptFrame
	runs      []Run
	lines     int    // bytes of runs
	done      []*Ref // although no frame says so

	// Of the file that is being read.
	before uint64 // the highest number so far
	gaps   []int  // indexes in corrupt of gaps whose end is not known yet
}

// corruptFrame is a place in a file that cannot be read, and the events that were
// in it.
type corruptFrame struct {
	loss     ledger.Loss   // First is 0: no events
	reported []ledger.Loss // that its record reported
	seg      *segment      // nil: the journal
	at       int64
	size     int64
	record   bool // it is a record's frame
	gap      bool // the loss has the numbers that are missing there
	open     bool // a gap that no later frame of the file ends
}

// number notes a number that was assigned.
func (r *restorer) number(n uint64) {
	if n <= maxNumber {
		r.env.last = max(r.env.last, n)
	}
}

// scan reads a file up to a limit, calls emit with its items and truncates an
// incomplete last frame. It returns false if the file cannot be read now and
// stays for the next process.
func (r *restorer) scan(t *tail, limit int64, emit func(item)) bool {
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
		end, err := scan(t.file, size, emit)
		if t.size > size && err == nil {
			emit(item{state: unknown, offset: size, size: t.size - size})
		}
		if err != nil {
			// What follows cannot be read: it is lost, like corrupt bytes.
			log.Warn("a file of the spool cannot be read to its end", "path", t.path, "offset", end, "error", err.Error())
			emit(item{state: unknown, offset: end, size: t.size - end})
			return nil
		}
		if end < t.size {
			t.size, t.dirty = end, true
			_ = t.clean() // if it fails, the next write does it
		}
		return nil
	}
	err := t.with(r.spool.disk, toWrite, read)
	if err != nil {
		err = t.with(r.spool.disk, toRead, read) // a disk that cannot be written may still be readable
	}
	if err != nil {
		log.Warn("a file of the spool cannot be opened; what is in it stays there", "path", t.path, "error", err.Error())
		if !permanent(err) {
			r.env.unread = true
			return false
		}
		// Something else is in its place. Remove that.
		_ = clearPath(r.spool.disk, t.path)
		if t == &r.env.journal {
			r.before = r.env.last
			*t = tail{}
		}
		if r.env.known {
			emit(item{state: unknown, size: 2 * headerSize})
		}
	}
	return true
}

// parseLoss parses a loss and checks that a process can have written it.
func parseLoss(h header, payload []byte) (loss ledger.Loss, ok bool) {
	err := json.Unmarshal(payload, &loss)
	return loss, err == nil && loss.First == h.first && loss.Last == h.last && valid(loss)
}

// valid reports whether the fields of a loss make sense.
func valid(l ledger.Loss) bool {
	return l.Reason.Known() && l.First > 0 && l.First <= l.Last && l.Last <= maxNumber && l.Bytes >= 0 && l.Bytes <= maxBytes &&
		l.Count > 0 && l.Count <= maxCount && uint64(l.Count) <= l.Last-l.First+1
}

// segment reads a segment, and reports whether it could.
func (r *restorer) segment(seg *segment) bool {
	done := map[int64]bool{}
	var refs []*Ref
	var losses []*kept
	from := len(r.corrupt)
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
					r.endSegmentGaps(seg, h.last)
				}
				return
			}
		case kindRecord:
			meta, data, err := parseRecord(it.payload)
			if err != nil {
				it.state = damaged
			}
			r.endGaps(h)
			if it.state == intact {
				r.before = max(r.before, h.last)
				refs = append(refs, &Ref{
					Environment: r.recovered.Environment, First: h.first, Last: h.last, Losses: meta.Losses, Lines: meta.Lines,
					Events: int(h.count), Droppable: meta.Droppable, DataSize: len(data) + len(meta.PartitionKey),
					seg: seg, offset: it.offset, size: int32(it.size), adopted: true,
				})
				return
			}
			// The meta has its own checksum: the losses that a corrupt record
			// reported are known.
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
			r.recovered.Records = append(r.recovered.Records, ref)
		}
	}
	for _, k := range losses {
		r.number(k.loss.Last)
		if !done[k.offset] && len(r.env.kept) < maxKept {
			r.env.kept = append(r.env.kept, k)
			seg.losses++
			r.recovered.Losses = append(r.recovered.Losses, k.loss)
		}
	}
	r.finishFile(from, seg.path, func(b corruptFrame) bool {
		if done[b.at] && b.record { // it was sent before its frame became corrupt
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
	pending, corrupt := false, false // a fragment is there; the last item was corrupt
	from, path := len(r.corrupt), r.env.journal.path
	r.scan(&r.env.journal, r.env.journal.size, func(it item) {
		if corrupt = it.state != intact; it.state == unknown {
			r.gap(it, nil)
			return
		}
		h := it.header
		switch {
		case h.kind == kindMark && !corrupt:
			r.number(h.last)
			r.before = max(r.before, h.last)
			r.env.journalFirst = 0
			r.runs, r.lines = nil, 0
			r.corrupt, r.gaps = r.corrupt[:from], r.gaps[:0]
		case h.kind == kindLines:
			r.endGaps(h)
			lines, text, ok := parseLines(it.payload)
			pending = false
			if corrupt = corrupt || !ok || !r.keepLines(h, lines); corrupt {
				// The frame may have had a fragment. The fragment before it is
				// most likely in an event by now.
				r.damaged(it, nil, int64(h.length), nil)
				return
			}
			r.before = max(r.before, h.last)
			r.number(h.last)
			fragment = append(fragment[:0], text...)
			pending, r.env.fragmentAt = len(text) > 0, it.offset
		case corrupt:
			r.damaged(it, nil, 0, nil)
		}
	})
	if pending && !corrupt {
		r.recovered.Fragment = fragment
	}
	r.env.fragment = r.recovered.Fragment != nil
	r.finishFile(from, path, func(corruptFrame) bool { return false })
}

// keepLines keeps those lines of a journal's frame that are in no record. It
// returns false if they are not the lines of these events, are out of order, or
// are too many.
func (r *restorer) keepLines(h header, lines []byte) bool {
	if h.count == 0 {
		return true
	}
	if check := r.spool.opt.Check; check != nil {
		rest, seq := lines, h.first
		for ; len(rest) > 0; seq++ {
			end := bytes.IndexByte(rest, '\n') + 1 // 0: not a line
			if seq > h.last || !check.Line(r.recovered.Environment, seq, rest[:end]) {
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

// add adds a corrupt place. If there are too many of them, it widens the last
// one.
func (r *restorer) add(b corruptFrame) {
	n := len(r.corrupt)
	if n < maxFindings || r.corrupt[n-1].seg != b.seg {
		r.corrupt = append(r.corrupt, b)
		return
	}
	last := &r.corrupt[n-1]
	last.gap, last.open, last.record, last.size = true, b.open, false, last.size+b.size
	if l := &last.loss; l.First == 0 {
		*l = b.loss
	} else if b.loss.First > 0 {
		l.First, l.Last, l.Bytes = min(l.First, b.loss.First), max(l.Last, b.loss.Last), l.Bytes+b.loss.Bytes
		l.Count = atMost(l.Last - l.First + 1)
	}
}

// damaged adds a frame of which only the header can be read.
func (r *restorer) damaged(it item, seg *segment, size int64, reported []ledger.Loss) {
	h := it.header
	b := corruptFrame{seg: seg, at: it.offset, size: it.size, record: h.kind == kindRecord, reported: reported}
	known := h.kind == kindRecord || h.kind == kindLoss || h.kind == kindLines
	if known && h.first > 0 && h.first <= h.last && h.last <= maxNumber {
		h.count = uint32(min(uint64(max(h.count, 1)), h.last-h.first+1))
		b.loss = h.loss(size)
	} else {
		b.record = false
	}
	r.add(b)
}

// gap adds bytes that belong to no frame. Only the numbers before and after them
// are known.
func (r *restorer) gap(it item, seg *segment) {
	b := corruptFrame{seg: seg, at: it.offset, size: it.size}
	if it.size >= 2*headerSize && r.before < maxNumber { // else no events fit
		// No frame follows yet: one event at least.
		b.loss = ledger.Loss{First: r.before + 1, Last: r.before + 1, Count: 1, Bytes: it.size, Reason: ledger.SpoolCorrupt}
		b.gap, b.open = true, true
	}
	r.add(b)
	if n := len(r.corrupt) - 1; b.open && (len(r.gaps) == 0 || r.gaps[len(r.gaps)-1] != n) {
		r.gaps = append(r.gaps, n)
	}
}

// endGaps ends the gaps before a frame of events.
func (r *restorer) endGaps(h header) {
	for _, i := range r.gaps {
		b := &r.corrupt[i]
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

// finishFile ends the reading of a file. Of the corrupt places in it, those from
// the index from on, it removes those that are done and those without events. It
// logs once how many are not done.
func (r *restorer) finishFile(from int, path string, isDone func(corruptFrame) bool) {
	var bytes int64
	kept := r.corrupt[:from]
	places := 0
	for _, b := range r.corrupt[from:] {
		if isDone(b) {
			continue
		}
		places++
		bytes += b.size
		if b.loss.First == 0 {
			continue
		}
		r.number(b.loss.Last)
		// The losses that the record reported must be reported again.
		if len(r.recovered.Losses)+len(b.reported) <= maxKept {
			r.recovered.Losses = append(r.recovered.Losses, b.reported...)
		}
		b.reported = nil
		kept = append(kept, b)
	}
	if places > 0 {
		r.spool.opt.Log.Warn("a file of the spool is not what was written; what it lost is reported in the stream",
			"path", path, "places", places, "bytes", bytes)
	}
	r.corrupt = kept
}

// atMost returns n as a count of events, at most maxCount.
func atMost(n uint64) int { return int(min(n, maxCount)) }

// endSegmentGaps ends the gaps at the end of earlier segments. The mark of seg,
// the next one, is the highest number that can be in them.
func (r *restorer) endSegmentGaps(seg *segment, mark uint64) {
	for i := range r.corrupt {
		if b := &r.corrupt[i]; b.open && b.seg != nil && b.seg != seg && mark > b.loss.Last {
			b.loss.Last, b.loss.Count, b.open = mark, atMost(mark-b.loss.First+1), false
		}
	}
}

// reconcile combines what the segments, the journal and the manifest contain.
func (r *restorer) reconcile() {
	recovered, e := r.recovered, r.env
	recovered.Lines = r.runs
	if len(recovered.Lines) == 0 && slices.ContainsFunc(r.corrupt, func(b corruptFrame) bool { return b.seg == nil }) {
		e.journalFirst = 0 // do not empty it: what it lost is not reported yet
	}
	order.By(recovered.Records, func(a, b *Ref) int { return cmp.Compare(a.First, b.First) })

	// What is corrupt in one file may be intact in another: the lines of a record
	// were journalled before, and journalled lines may be in a record. A line may
	// also be corrupt in both: it is then lost once.
	var inJournal, inCorrupt, inCorruptSegments spans
	for _, run := range recovered.Lines {
		inJournal.add(run.First, run.Last)
	}
	for _, b := range r.corrupt {
		if b.gap {
			continue
		}
		inCorrupt.add(b.loss.First, b.loss.Last)
		if b.seg != nil {
			inCorruptSegments.add(b.loss.First, b.loss.Last)
		}
	}
	if r.manifest != nil {
		recovered.Losses = append(recovered.Losses, r.manifest.missing(union(inJournal, r.inRecords, inCorrupt))...)
		recovered.Records = slices.DeleteFunc(recovered.Records, func(ref *Ref) bool {
			if r.manifest.has(ref) {
				return false
			}
			r.done = append(r.done, ref) // and the frame that said so is lost
			return true
		})
	}
	forGap, forLines, forRecord := union(inJournal, r.inRecords, inCorrupt), union(inJournal, r.inRecords, inCorruptSegments), union(inJournal)
	for _, b := range r.corrupt {
		if b.gap && r.manifest != nil {
			continue // the manifest lists what was in it
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
		recovered.Losses = append(recovered.Losses, loss)
		if b.seg != nil {
			e.kept = append(e.kept, &kept{loss: loss, seg: b.seg, offset: b.at, corrupt: true})
			b.seg.corrupt++
		}
	}
	order.By(recovered.Losses, func(a, b ledger.Loss) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last), cmp.Compare(a.Reason, b.Reason))
	})
	// A loss that was being moved to another segment is in both.
	recovered.Losses = slices.Compact(recovered.Losses)
	recovered.Next = e.last + 1
}

// spans are ranges of numbers.
type spans []struct{ first, last uint64 }

func (s *spans) add(first, last uint64) {
	*s = append(*s, struct{ first, last uint64 }{first, last})
}

// merge sorts the spans and joins those that overlap or are adjacent.
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

// overlaps reports whether merged spans have a number from first to last.
func (s spans) overlaps(first, last uint64) bool {
	i := s.from(first)
	return i < len(s) && s[i].first <= last
}

// known is the numbers that are accounted for.
type known struct {
	spans           // merged
	before []uint64 // how many numbers are in the spans before each
}

func union(of ...spans) (k known) {
	k.spans = slices.Concat(of...)
	k.merge()
	total := uint64(0)
	for _, s := range k.spans {
		k.before = append(k.before, total)
		total += s.last - s.first + 1
	}
	return k
}

// until counts the known numbers up to n.
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

// without returns the part of a loss that is not known. It removes known numbers
// at both ends, and limits the count to the numbers that remain.
func (k known) without(loss ledger.Loss) (ledger.Loss, bool) {
	remaining := loss.Last - loss.First + 1 - (k.until(loss.Last) - k.until(loss.First-1))
	if remaining == 0 {
		return ledger.Loss{}, false
	}
	if i := k.from(loss.First); i < len(k.spans) && k.spans[i].first <= loss.First {
		loss.First = k.spans[i].last + 1
	}
	if i := k.from(loss.Last); i < len(k.spans) && k.spans[i].first <= loss.Last {
		loss.Last = k.spans[i].first - 1
	}
	loss.Count = int(min(uint64(loss.Count), remaining))
	return loss, true
}

// without returns the lines whose numbers are in none of the merged spans. If the
// lines do not match the numbers one to one, it returns all of them, unless one
// span has all the numbers: sending lines twice is better than losing them.
func (run Run) without(in spans) []Run {
	if !in.overlaps(run.First, run.Last) {
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
	var remaining []Run
	for i, line := range lines {
		if n := run.First + uint64(i); !in.overlaps(n, n) {
			remaining = append(remaining, Run{n, n, line})
		}
	}
	return joinRuns(remaining)
}

// joinRuns joins runs that follow each other.
func joinRuns(runs []Run) (joined []Run) {
	for _, run := range runs {
		if n := len(joined); n > 0 && joined[n-1].Last+1 == run.First {
			joined[n-1].Last = run.Last
			joined[n-1].Lines = append(joined[n-1].Lines, run.Lines...)
			continue
		}
		run.Lines = slices.Clip(run.Lines) // so that append copies them
		joined = append(joined, run)
	}
	return joined
}
