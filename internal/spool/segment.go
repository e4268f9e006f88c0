package spool

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"kinetel/internal/format"
	"kinetel/internal/ledger"
)

// environment is the folder of one execution environment. The Spool's mu
// guards it.
type environment struct {
	id, dir  string
	resource []byte         // for meta
	details  format.Details // for meta
	known    bool           // meta of an ended process could be read
	meta     tail           // its file is nil until the folder is made; holds the lock

	segments []*segment // oldest first
	current  *segment   // the last of them, while it is written; or nil
	number   int        // of the newest segment
	last     uint64     // the highest number ever seen
	onDisk   uint64     // the highest number that the segments know
	kept     []*kept    // losses that have to be told

	journal      tail // path is empty until it is made
	journalFirst uint64
	fragment     bool  // the journal has one that is pending
	fragmentAt   int64 // offset of the frame that has it

	unread bool // a file could not be opened: it stays for the next process
	// journalLost means that lines or a fragment went with the journal's file,
	// and that the caller has not been asked for them again.
	journalLost bool
}

// segment is a file of frames. The first one is a mark.
type segment struct {
	tail
	env     *environment
	records int    // that are not done
	losses  int    // that have to be told
	spoiled int    // places that have to be told of
	top     uint64 // the highest number of its records
	gone    bool   // its file was deleted, replaced or cut short by somebody else
}

// kept is a loss that lies on disk and has to be told. One that is spoiled
// itself was found by Recover and returned: it is settled once the loss is
// kept as a frame, or told of by a record, or at Close.
type kept struct {
	loss    ledger.Loss // its Number is 0 where an earlier process kept it
	seg     *segment
	offset  int64
	spoiled bool
}

func newEnvironment(id, dir string) *environment { return &environment{id: id, dir: dir} }

// metaJSON is the text of meta. The resource is kept as it is.
func (e *environment) metaJSON() []byte {
	resource := e.resource
	if !json.Valid(resource) {
		resource = []byte("null")
	}
	details, err := json.Marshal(e.details)
	if err != nil {
		details = []byte("{}") // strings only, which always can be written
	}
	return fmt.Appendf(nil, `{"version":1,"environmentId":%q,"resource":%s,"details":%s}`+"\n", e.id, resource, details)
}

// price is the bytes that the next frame costs beside itself.
func (s *Spool) price(e *environment) (n int64) {
	if e.meta.file == nil {
		n += int64(len(e.metaJSON()))
	}
	if e.current == nil || e.current.size >= s.segmentSize() {
		n += headerSize
	}
	return n
}

// emptyTries is how often files are made that are gone again before they are
// written: a function that empties /tmp may do so between any two calls.
const emptyTries = 3

// open makes and locks the folder, once.
func (s *Spool) open(e *environment) (err error) {
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

func (s *Spool) makeFolder(e *environment) error {
	for _, dir := range []string{s.opt.Dir, e.dir} {
		// The function may have put something else in the place of a folder.
		if info, err := s.disk.lstat(dir); err == nil && !info.IsDir() && secure(s.disk, filepath.Dir(dir), false) == nil {
			_ = makeWay(s.disk, dir) // or the next call fails
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
	// Locked before anything else is there: nobody else adopts it.
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
		_ = s.disk.remove(path) // or it would be in the way of the next attempt
		_ = s.disk.remove(e.dir)
		return err
	}
	e.meta = tail{path: path, file: f, info: info, size: int64(len(text))}
	s.bytes += e.meta.size
	return nil
}

// create makes a file in the folder, and the folder where it is missing.
func (s *Spool) create(e *environment, name string) (t tail, err error) {
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

// check finds the files of an environment that somebody else has deleted,
// replaced or cut short: /tmp is the function's. It makes the folder again, with
// the losses that have to be reported. The caller has the records and the lines.
func (s *Spool) check(e *environment) {
	had := e.meta.file != nil
	if !had && len(e.segments) == 0 && e.journal.path == "" {
		return // most processes never need a file
	}
	err := secure(s.disk, e.dir, false)
	if err != nil && !permanent(err) {
		return // it may all be there
	}
	lost := func(t *tail) bool {
		if err == nil && t.lost(s.disk) {
			_ = makeWay(s.disk, t.path)
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
		s.drop(e, k)
		s.keepLoss(e, k.loss, nil)
	}
}

// writable returns the segment to append to, a new one where the current one
// is full.
func (s *Spool) writable(e *environment) (*segment, error) {
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

// seal ends the current segment.
func (e *environment) seal() {
	if e.current != nil {
		e.current.close()
		e.current = nil
	}
}

// newest reports whether seg is the last segment. That one is never removed
// while the process lives: its mark is the memory of the numbers given.
func (seg *segment) newest() bool {
	n := len(seg.env.segments)
	return n > 0 && seg == seg.env.segments[n-1]
}

// idle reports whether nothing in the segment is needed any more.
func (seg *segment) idle() bool {
	return seg.records+seg.losses+seg.spoiled == 0 && !seg.needed()
}

// needed reports whether the frames of records that are done are still
// needed, because they say which lines of the journal are in records.
func (seg *segment) needed() bool {
	first := seg.env.journalFirst
	return first > 0 && first <= seg.top
}

// settle notes on disk that what is at the offset is done, in the cheapest
// way: nothing but a frame of a few bytes, or no file at all.
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

// tidy removes the segments that have nothing left but losses, which go into
// the current one.
func (s *Spool) tidy(e *environment) {
	for i := 0; i < len(e.segments)-1; {
		seg := e.segments[i]
		if seg.records+seg.spoiled > 0 || seg.needed() || !s.move(seg) || !s.remove(seg) {
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
		if k.seg != seg || k.spoiled {
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

// keep notes a kept loss.
func (s *Spool) keep(e *environment, k *kept) {
	e.kept = append(e.kept, k)
	k.seg.losses++
	s.live++
}

// drop forgets a kept loss.
func (s *Spool) drop(e *environment, k *kept) {
	i := slices.Index(e.kept, k)
	if i < 0 {
		return
	}
	e.kept = slices.Delete(e.kept, i, i+1)
	s.live--
	if k.spoiled {
		k.seg.spoiled--
		return
	}
	k.seg.losses--
}

// toldBy returns the kept losses that a record with these losses tells of. A
// ledger says by a number; without one, they are those that a loss is made of.
func (e *environment) reportedBy(losses []ledger.Loss) (told []*kept) {
	var number uint64
	for _, loss := range losses {
		number = max(number, loss.Number)
	}
	if number > 0 {
		for _, k := range e.kept {
			if k.loss.Number <= number {
				told = append(told, k)
			}
		}
		return told
	}
	for _, loss := range losses {
		for _, k := range e.madeOf(loss) {
			if !slices.Contains(told, k) {
				told = append(told, k)
			}
		}
	}
	return told
}

func covers(outer, inner ledger.Loss) bool {
	return outer.Reason == inner.Reason && outer.First <= inner.First && inner.Last <= outer.Last
}

// same reports whether two losses are of the same events.
func same(a, b ledger.Loss) bool {
	a.Number, b.Number = 0, 0
	return a == b
}

// madeOf returns the kept losses that a loss was put together from: the very
// same one, or those within it, if they add up.
func (e *environment) madeOf(loss ledger.Loss) (parts []*kept) {
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

// leave closes the files of an environment, and removes them where nothing is
// left to ship.
func (s *Spool) leave(e *environment) {
	left := e.journalFirst > 0 || e.fragment || e.unread
	for _, seg := range e.segments {
		left = left || seg.records > 0 || seg.losses > 0
	}
	e.current = nil
	safe := e.meta.file == nil || secure(s.disk, e.dir, false) == nil // else something else is there now
	for _, seg := range e.segments {
		seg.close()
		if !safe {
			continue
		}
		// What is spoiled was told; the last segment remembers the numbers.
		if !left || seg.records+seg.losses == 0 && !seg.needed() && !seg.newest() {
			s.remove(seg)
		}
	}
	e.journal.close()
	if e.meta.file == nil {
		return
	}
	if !left && safe {
		if e.journal.path != "" && s.disk.remove(e.journal.path) == nil {
			s.bytes -= e.journal.size
		}
		if s.disk.remove(filepath.Join(e.dir, "meta")) == nil {
			s.bytes -= e.meta.size
		}
		_ = s.disk.remove(e.dir) // stays where there is something else in it
	}
	e.meta.close()
}
