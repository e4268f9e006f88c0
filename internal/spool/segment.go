package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// segment is a file of records. Its first frame is a mark.
type segment struct {
	tail
	env     *folder
	number  int
	records int    // that are not done
	top     uint64 // the highest number of its records
	gone    bool   // another process deleted, replaced or truncated its file
}

// segmentName returns the name of the segment with a number.
func segmentName(number int) string { return fmt.Sprintf("%08d.seg", number) }

// writable returns the segment to append to: a new one if the current one is
// full.
func (s *Spool) writable(e *folder) (*segment, error) {
	if e.current != nil && e.current.size < s.segmentSize() {
		return e.current, nil
	}
	seg := &segment{env: e, number: e.number + 1}
	// The mark keeps Next right when all other frames are gone.
	if err := s.openFile(e, &seg.tail, segmentName(seg.number)); err != nil {
		return nil, err
	}
	e.seal()
	e.number++
	e.segments = append(e.segments, seg)
	e.current = seg
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

// idle reports whether the file is not needed. The frames of records that are
// done are needed as long as they say which lines of the journal, and which decided
// lines, are in records.
func (seg *segment) idle() bool {
	first := seg.env.journalFirst
	if d := seg.env.decided.First; d > 0 && (first == 0 || d < first) {
		first = d
	}
	return seg.records == 0 && !seg.env.lossesUnwritten && (first == 0 || first > seg.top)
}

// markDone records on disk that a record is done, in the cheapest way: it removes
// or empties the file if it is not needed, and appends a frame otherwise.
func (s *Spool) markDone(ref *Ref) {
	seg, e := ref.seg, ref.seg.env
	if seg.gone {
		if seg.records == 0 {
			seg.close()
		}
		return
	}
	s.tidy(e)
	if !slices.Contains(e.segments, seg) {
		return
	}
	err := seg.with(s.disk, toWrite, func() error {
		if seg.idle() && (seg != e.current || seg.size >= minSegment) { // the newest one
			return seg.restart(e.mark())
		}
		return s.write(&seg.tail, bare(header{kind: kindDone, first: uint64(ref.offset)}))
	})
	if err != nil {
		s.opt.Log.Debug("what is done could not be noted; it may be sent again after a restart", "path", seg.path, "offset", ref.offset, "error", err.Error())
	}
}

// tidy removes the segments that are not needed. It leaves the newest one, whose
// mark has the highest number that was assigned.
func (s *Spool) tidy(e *folder) {
	for i := len(e.segments) - 2; i >= 0; i-- {
		if e.segments[i].idle() && s.remove(&e.segments[i].tail) {
			e.segments = slices.Delete(e.segments, i, i+1)
		}
	}
}

// remove removes a file.
func (s *Spool) remove(t *tail) bool {
	if err := s.disk.remove(t.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	t.close()
	t.size = 0
	return true
}
