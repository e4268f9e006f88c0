package spool

import (
	"fmt"
	"path/filepath"

	"kinetel/internal/environment"
)

const (
	journalName = "journal"
	// journalNew is a journal that is about to replace the other one.
	journalNew = "journal.new"
)

// Journal writes lines that are about to be acknowledged: whole lines of the
// events from first to last. The fragment is text that is acknowledged but no
// event yet. It replaces the previous fragment; nil means that there is none.
// Without lines, first is the next number and last the one before it. Journal
// reports whether all of it is on disk.
func (s *Spool) Journal(o *environment.Environment, first, last uint64, lines, fragment []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.ready(o)
	if err != nil || first == 0 {
		return false
	}
	e.last = max(e.last, last)
	if len(lines) == 0 && len(fragment) == 0 && !e.fragment {
		return true // nothing to write, and no old fragment to replace
	}
	before, behind, h := linesFrame(first, last, lines, fragment)
	if h.length > maxPayload || !h.valid() {
		s.opt.Log.Debug("lines do not fit into the journal", "firstSeq", first, "lastSeq", last, "bytes", len(lines)+len(fragment))
		return false
	}
	price := h.size()
	if e.meta.file == nil {
		price += int64(len(e.metaJSON()))
	}
	if !s.room(price, s.slack()) {
		if !s.full {
			s.opt.Log.Error("the spool is full; telemetry waits in memory only, and is lost if this process is killed",
				"dir", s.opt.Dir, "bytes", s.bytes, "limit_bytes", s.opt.Max)
		}
		s.full = true
		return false
	}
	if err := s.openJournal(e); err != nil {
		_ = s.failed(err) // logged
		return false
	}
	at := e.journal.size
	if h.size() <= maxAtOnce {
		frame := append(append(append(append(s.buf[:0], before...), fragment...), lines...), behind...)
		defer s.scratch(frame)
		err = s.write(&e.journal, frame)
	} else {
		err = s.write(&e.journal, before, fragment, lines, behind)
	}
	if err != nil {
		_ = s.failed(err)
		return false
	}
	s.worked()
	if s.full {
		s.opt.Log.Warn("the spool has room again", "dir", s.opt.Dir, "bytes", s.bytes, "limit_bytes", s.opt.Max)
	}
	s.full = false
	if e.journalFirst == 0 && h.count > 0 {
		e.journalFirst = first
	}
	e.fragment, e.fragmentAt = len(fragment) > 0, at
	return true
}

// openJournal opens the journal, or creates it.
func (s *Spool) openJournal(e *folder) (err error) {
	switch {
	case e.journal.file != nil:
		return nil
	case e.journal.path != "": // an ended process created it
		return e.journal.open(s.disk, toWrite)
	}
	t, err := s.create(e, journalName)
	if err == nil {
		e.journal = t
	}
	return err
}

// JournalLost reports, once, whether the lines or the fragment in the journal
// were lost with its file, so that the caller has to journal them again.
func (s *Spool) JournalLost(o *environment.Environment) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.envs[o.ID]
	if e == nil || !e.journalLost {
		return false
	}
	e.journalLost = false
	return true
}

// ForgetJournal empties the journal: its lines are in records that were
// appended. A fragment stays.
func (s *Spool) ForgetJournal(o *environment.Environment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.envs[o.ID]
	if s.closed || e == nil || e.journal.path == "" {
		return
	}
	if e.journalFirst == 0 && (e.fragment || e.journal.size <= headerSize) && !e.journal.dirty {
		return // nothing in it but the fragment, or a mark
	}
	if err := s.forget(e); err != nil {
		s.opt.Log.Debug("the journal could not be emptied; lines may be sent again after a restart", "path", e.journal.path, "error", err.Error())
		return
	}
	if e.journalFirst > 0 {
		e.journalFirst = 0
		s.tidy(e)
	}
}

// forget empties the journal of an environment, except for its fragment.
func (s *Spool) forget(e *folder) error {
	if err := s.openJournal(e); err != nil {
		return err
	}
	mark := appendHeader(nil, header{kind: kindMark, last: e.last}, 0)
	if e.fragment {
		if e.journal.size >= minSegment+2*(e.journal.size-e.fragmentAt) {
			return s.rewrite(e, mark)
		}
		return s.write(&e.journal, mark)
	}
	if e.onDisk >= e.last {
		mark = nil // the segments have the highest number
	}
	before := e.journal.size
	err := e.journal.restart(mark)
	s.bytes += e.journal.size - before
	return err
}

// rewrite replaces a journal that has grown with one that has only the fragment.
func (s *Spool) rewrite(e *folder, mark []byte) error {
	frame, err := s.fragmentFrame(e)
	if err != nil {
		return err
	}
	path := filepath.Join(e.dir, journalNew)
	f, err := makeFile(s.disk, path)
	if err != nil {
		return err
	}
	next := tail{path: path, file: f}
	if next.info, err = f.Stat(); err == nil {
		err = next.write(mark, frame)
	}
	if err == nil {
		err = s.disk.rename(path, e.journal.path)
	}
	if err != nil {
		next.close()
		_ = s.disk.remove(path) // or it would block the next attempt
		return err
	}
	next.path = e.journal.path
	s.bytes += next.size - e.journal.size
	e.journal.close()
	e.journal, e.fragmentAt = next, headerSize
	return nil
}

// fragmentFrame returns a frame that has only the fragment.
func (s *Spool) fragmentFrame(e *folder) ([]byte, error) {
	head := make([]byte, headerSize)
	if _, err := e.journal.file.ReadAt(head, e.fragmentAt); err != nil {
		return nil, err
	}
	h, behind, ok := parseHeader(head)
	if !ok || behind || h.kind != kindLines {
		return nil, fmt.Errorf("%s at %d: %w", e.journal.path, e.fragmentAt, ErrCorrupt)
	}
	payload := make([]byte, h.length)
	if _, err := e.journal.file.ReadAt(payload, e.fragmentAt+headerSize); err != nil {
		return nil, err
	}
	_, fragment, ok := parseLines(payload)
	if !ok || checksum(payload) != h.crc {
		return nil, fmt.Errorf("%s at %d: %w", e.journal.path, e.fragmentAt, ErrCorrupt)
	}
	before, end, _ := linesFrame(e.last+1, e.last, nil, fragment)
	return append(append(before, fragment...), end...), nil
}
