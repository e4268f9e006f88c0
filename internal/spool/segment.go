package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"kinetel/internal/environment"
	"kinetel/internal/ledger"
)

// folder holds the files of one execution environment. The Spool's mu
// guards it.
type folder struct {
	id, dir  string
	resource []byte              // for meta
	details  environment.Details // for meta
	known    bool                // meta of an ended process could be read
	meta     tail                // its file is nil until the folder is created; has the lock

	segments []*segment // oldest first
	current  *segment   // the last of segments, while it is written; or nil
	number   int        // of the newest segment
	last     uint64     // the highest number ever seen
	onDisk   uint64     // the highest number that the segments have
	kept     []*kept    // losses that are not reported yet

	journal      tail // path is empty until it is created
	journalFirst uint64
	fragment     bool  // the journal has a pending fragment
	fragmentAt   int64 // offset of the frame that has the fragment

	unread bool // a file could not be opened: it stays for the next process
	// journalLost means that lines or a fragment were lost with the journal's
	// file, and that JournalLost has not reported it yet.
	journalLost bool
}

// segment is a file of frames. The first frame is a mark.
type segment struct {
	tail
	env     *folder
	records int    // that are not done
	losses  int    // that are not reported yet
	corrupt int    // corrupt places that are not reported yet
	top     uint64 // the highest number of its records
	gone    bool   // another process deleted, replaced or truncated its file
}

// kept is a loss on disk that is not reported yet. If it is corrupt, it has no
// frame of its own: it is a corrupt place that Recover found and returned. Such a
// loss is done once it is written as a frame, or reported by a record, or at
// Close.
type kept struct {
	loss    ledger.Loss // its Number is 0 if an earlier process wrote it
	seg     *segment
	offset  int64
	corrupt bool
}

func newFolder(id, dir string) *folder { return &folder{id: id, dir: dir} }

// metaJSON returns the text of meta. The resource is unchanged, or null if it is
// not JSON.
func (e *folder) metaJSON() []byte {
	resource := e.resource
	if !json.Valid(resource) {
		resource = []byte("null")
	}
	details, err := json.Marshal(e.details)
	if err != nil {
		details = []byte("{}") // cannot happen: these types always marshal
	}
	return fmt.Appendf(nil, `{"version":1,"environmentId":%q,"resource":%s,"details":%s}`+"\n", e.id, resource, details)
}

// price returns the bytes that writing the next frame needs besides the frame.
func (s *Spool) price(e *folder) (n int64) {
	if e.meta.file == nil {
		n += int64(len(e.metaJSON()))
	}
	if e.current == nil || e.current.size >= s.segmentSize() {
		n += headerSize
	}
	return n
}

// emptyTries is how often the spool creates a file that is deleted again before
// it is written: a function that empties /tmp may do so between any two calls.
const emptyTries = 3

// open creates and locks the folder, once.
func (s *Spool) open(e *folder) (err error) {
	for range emptyTries {
		if e.meta.file != nil {
			return nil
		}
		if err = s.makeFolder(e); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

func (s *Spool) makeFolder(e *folder) error {
	for _, dir := range []string{s.opt.Dir, e.dir} {
		// The function may have replaced a folder with something else.
		if info, err := s.disk.lstat(dir); err == nil && !info.IsDir() && secure(s.disk, filepath.Dir(dir), false) == nil {
			_ = clearPath(s.disk, dir) // if it fails, so does the next call
		}
		if err := secure(s.disk, dir, true); err != nil {
			return err
		}
	}
	path := filepath.Join(e.dir, "meta")
	f, err := makeFile(s.disk, path)
	if err != nil {
		return err
	}
	// Lock it before anything else is there, so that no other process adopts it.
	text := e.metaJSON()
	info, err := f.Stat()
	if err == nil {
		err = lock(f)
	}
	if err == nil {
		_, err = f.WriteAt(text, 0)
	}
	if err != nil {
		_ = f.Close()
		_ = s.disk.remove(path) // or it would block the next attempt
		_ = s.disk.remove(e.dir)
		return err
	}
	e.meta = tail{path: path, file: f, info: info, size: int64(len(text))}
	s.bytes += e.meta.size
	return nil
}

// create creates a file in the folder, and the folder if it is missing.
func (s *Spool) create(e *folder, name string) (t tail, err error) {
	t.path = filepath.Join(e.dir, name)
	for range emptyTries {
		if err = s.open(e); err != nil {
			return t, err
		}
		if t.file, err = makeFile(s.disk, t.path); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		s.check(e)
	}
	if err != nil {
		return t, err
	}
	t.info, err = t.file.Stat()
	return t, err
}

// check finds the files of an environment that another process has deleted,
// replaced or truncated: /tmp belongs to the function. It creates the folder
// again, with the losses that are not reported yet. The caller has the records
// and the lines.
func (s *Spool) check(e *folder) {
	had := e.meta.file != nil
	if !had && len(e.segments) == 0 && e.journal.path == "" {
		return // most processes never need a file
	}
	err := secure(s.disk, e.dir, false)
	if err != nil && !permanent(err) {
		return // all files may still be there
	}
	lost := func(t *tail) bool {
		if err == nil && t.lost(s.disk) {
			_ = clearPath(s.disk, t.path)
			return true
		}
		return err != nil
	}
	if had && lost(&e.meta) {
		e.meta.close()
		s.bytes -= e.meta.size
		e.meta = tail{}
	}
	if e.journal.path != "" && lost(&e.journal) {
		s.bytes -= e.journal.size
		e.journal.close()
		e.journalLost = e.journalLost || e.journalFirst > 0 || e.fragment
		e.journal, e.journalFirst, e.fragment = tail{}, 0, false
		e.onDisk = 0 // a mark may have been lost
	}
	var losses []*kept
	e.segments = slices.DeleteFunc(e.segments, func(seg *segment) bool {
		if !lost(&seg.tail) {
			return false
		}
		seg.gone = true // records can be read as long as its file is open
		s.gone = s.gone || seg.records > 0
		s.bytes -= seg.size
		s.live -= int64(seg.records)
		if seg == e.current {
			e.current = nil
		}
		e.onDisk = 0
		for _, k := range e.kept {
			if k.seg == seg {
				losses = append(losses, k)
			}
		}
		return true
	})
	if had && e.meta.file == nil {
		if err := s.open(e); err != nil {
			_ = s.failed(err) // logged
		}
	}
	for _, k := range losses {
		s.removeLoss(e, k)
		s.writeLoss(e, k.loss, nil)
	}
}

// writable returns the segment to append to: a new one if the current one is
// full.
func (s *Spool) writable(e *folder) (*segment, error) {
	if err := s.open(e); err != nil {
		return nil, err
	}
	if e.current != nil && e.current.size < s.segmentSize() {
		return e.current, nil
	}
	t, err := s.create(e, fmt.Sprintf("%08d.seg", e.number+1))
	if err != nil {
		return nil, err
	}
	seg := &segment{env: e, tail: t}
	// The mark keeps Next right when all other frames are gone.
	if err := s.write(&seg.tail, appendHeader(nil, header{kind: kindMark, last: e.last}, 0)); err != nil {
		seg.close()
		_ = s.disk.remove(seg.path)
		return nil, err
	}
	e.seal()
	e.number++
	e.segments = append(e.segments, seg)
	e.current = seg
	e.onDisk = e.last
	s.tidy(e)
	return seg, nil
}

// seal closes the current segment. The next frame goes into a new one.
func (e *folder) seal() {
	if e.current != nil {
		e.current.close()
		e.current = nil
	}
}

// newest reports whether seg is the last segment. That one is never removed while
// the process lives: its mark has the highest number that was assigned.
func (seg *segment) newest() bool {
	n := len(seg.env.segments)
	return n > 0 && seg == seg.env.segments[n-1]
}

// idle reports whether the segment can be emptied: nothing in it is needed.
func (seg *segment) idle() bool {
	return seg.records+seg.losses+seg.corrupt == 0 && !seg.needed()
}

// needed reports whether the frames of records that are done are still
// needed, because they say which lines of the journal are in records.
func (seg *segment) needed() bool {
	first := seg.env.journalFirst
	return first > 0 && first <= seg.top
}

// markDone records on disk that the frame at the offset is done, in the cheapest
// way: it empties or removes the file if nothing in it is needed, and appends a
// frame of a few bytes otherwise.
func (s *Spool) markDone(seg *segment, offset int64) {
	e := seg.env
	if seg.gone {
		if seg.records == 0 {
			seg.close()
		}
		return
	}
	if seg.idle() && seg.newest() && (seg != e.current || seg.size >= minSegment) {
		before := seg.size
		err := seg.with(s.disk, toWrite, func() error {
			return seg.restart(appendHeader(nil, header{kind: kindMark, last: e.last}, 0))
		})
		s.bytes += seg.size - before
		if err == nil {
			e.onDisk = e.last
			return
		}
	}
	s.tidy(e)
	if !slices.Contains(e.segments, seg) {
		return
	}
	err := seg.with(s.disk, toWrite, func() error {
		return s.write(&seg.tail, appendHeader(nil, header{kind: kindDone, first: uint64(offset)}, 0))
	})
	if err != nil {
		s.opt.Log.Debug("what is done could not be noted; it may be sent again after a restart", "path", seg.path, "offset", offset, "error", err.Error())
	}
}

// tidy removes the segments that have only losses, and moves these losses into
// the current segment.
func (s *Spool) tidy(e *folder) {
	for i := 0; i < len(e.segments)-1; {
		seg := e.segments[i]
		if seg.records+seg.corrupt > 0 || seg.needed() || !s.move(seg) || !s.remove(seg) {
			i++
			continue
		}
		e.segments = slices.Delete(e.segments, i, i+1)
	}
}

// move writes the losses of a segment to the current one.
func (s *Spool) move(seg *segment) bool {
	e := seg.env
	if seg.losses == 0 {
		return true
	}
	if e.current == nil {
		return false
	}
	for _, k := range e.kept {
		if k.seg != seg || k.corrupt {
			continue
		}
		offset := e.current.size
		if err := s.write(&e.current.tail, appendLoss(nil, k.loss)); err != nil {
			return false
		}
		seg.losses--
		e.current.losses++
		k.seg, k.offset = e.current, offset
	}
	return true
}

// remove removes a segment's file.
func (s *Spool) remove(seg *segment) bool {
	if err := s.disk.remove(seg.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	seg.close()
	s.bytes -= seg.size
	return true
}

// addLoss adds a kept loss.
func (s *Spool) addLoss(e *folder, k *kept) {
	e.kept = append(e.kept, k)
	k.seg.losses++
	s.live++
}

// removeLoss removes a kept loss.
func (s *Spool) removeLoss(e *folder, k *kept) {
	i := slices.Index(e.kept, k)
	if i < 0 {
		return
	}
	e.kept = slices.Delete(e.kept, i, i+1)
	s.live--
	if k.corrupt {
		k.seg.corrupt--
		return
	}
	k.seg.losses--
}

// reportedBy returns the kept losses that a record with these losses reports. A
// ledger numbers its losses: the record reports all up to the highest Number.
// Without a Number, they are those that the losses were merged from.
func (e *folder) reportedBy(losses []ledger.Loss) (reported []*kept) {
	var number uint64
	for _, loss := range losses {
		number = max(number, loss.Number)
	}
	if number > 0 {
		for _, k := range e.kept {
			if k.loss.Number <= number {
				reported = append(reported, k)
			}
		}
		return reported
	}
	for _, loss := range losses {
		for _, k := range e.madeOf(loss) {
			if !slices.Contains(reported, k) {
				reported = append(reported, k)
			}
		}
	}
	return reported
}

func covers(outer, inner ledger.Loss) bool {
	return outer.Reason == inner.Reason && outer.First <= inner.First && inner.Last <= outer.Last
}

// same reports whether two losses are equal, apart from their Number.
func same(a, b ledger.Loss) bool {
	a.Number, b.Number = 0, 0
	return a == b
}

// madeOf returns the kept losses that a loss was merged from: the same loss, or
// those within it, if they add up.
func (e *folder) madeOf(loss ledger.Loss) (parts []*kept) {
	count, bytes := 0, int64(0)
	for _, k := range e.kept {
		if same(loss, k.loss) {
			return []*kept{k}
		}
		if covers(loss, k.loss) {
			parts = append(parts, k)
			count += k.loss.Count
			bytes += k.loss.Bytes
		}
	}
	if count != loss.Count || bytes != loss.Bytes {
		return nil
	}
	return parts
}

// closeEnvironment closes the files of an environment, and removes them if they
// have nothing to send.
func (s *Spool) closeFolder(e *folder) {
	pending := e.journalFirst > 0 || e.fragment || e.unread
	for _, seg := range e.segments {
		pending = pending || seg.records > 0 || seg.losses > 0
	}
	e.current = nil
	safe := e.meta.file == nil || secure(s.disk, e.dir, false) == nil // else the folder was replaced
	for _, seg := range e.segments {
		seg.close()
		if !safe {
			continue
		}
		// Corrupt places were reported; the last segment has the highest number.
		if !pending || seg.records+seg.losses == 0 && !seg.needed() && !seg.newest() {
			s.remove(seg)
		}
	}
	e.journal.close()
	if e.meta.file == nil {
		return
	}
	if !pending && safe {
		if e.journal.path != "" && s.disk.remove(e.journal.path) == nil {
			s.bytes -= e.journal.size
		}
		if s.disk.remove(filepath.Join(e.dir, "meta")) == nil {
			s.bytes -= e.meta.size
		}
		_ = s.disk.remove(e.dir) // stays if there is something else in it
	}
	e.meta.close()
}
