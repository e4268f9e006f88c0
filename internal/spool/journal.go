package spool

import (
	"encoding/binary"
	"errors"

	"github.com/kinetel/kinetel/internal/environment"
)

const journalName = "journal"

// linesFrame returns a journal's frame.
func linesFrame(first, last uint64, lines, fragment []byte) (frame, bool) {
	h := header{kind: kindLines, count: uint32(last + 1 - first), first: first, last: last}
	return newFrame(h, binary.AppendUvarint(nil, uint64(len(fragment))), fragment, lines)
}

// parseLines splits a journal frame's payload.
func parseLines(payload []byte) (lines, fragment []byte, ok bool) {
	n, used := binary.Uvarint(payload)
	if used <= 0 || n > uint64(len(payload)-used) {
		return nil, nil, false
	}
	return payload[used+int(n):], payload[used : used+int(n)], true
}

// Journal writes lines that are about to be acknowledged: whole lines of the
// events from first to last. The fragment is text that is acknowledged but no
// event yet. It replaces the previous fragment; nil means that there is none.
// Without lines, first is the next number and last the one before it. All lines up
// to last are in the journal then, or in records. Journal reports whether all of it
// is on disk.
func (s *Spool) Journal(o *environment.Environment, first, last uint64, lines, fragment []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.ready(o)
	if err != nil || first == 0 {
		return false
	}
	if len(lines) == 0 && len(fragment) == 0 && !e.fragment {
		return true // nothing to write, and no old fragment to replace
	}
	f, ok := linesFrame(first, last, lines, fragment)
	if !ok {
		s.opt.Log.Debug("lines do not fit into the journal", "firstSeq", first, "lastSeq", last, "bytes", len(lines)+len(fragment))
		return false
	}
	at, err := s.add(e, &e.journal, journalName, f, s.slack())
	if !s.stored(err) {
		return false
	}
	e.last = max(e.last, last)
	if e.journalFirst == 0 && last >= first {
		e.journalFirst = first
	}
	e.fragment, e.fragmentAt = len(fragment) > 0, at
	s.markElsewhere(e, 0, last)
	return true
}

// stored reports whether lines could be written. It logs once that there is no room
// for them, and once that there is room again.
func (s *Spool) stored(err error) bool {
	if errors.Is(err, ErrFull) && !s.full {
		s.full = true
		s.opt.Log.Error("the spool is full; telemetry waits in memory only, and is lost if this process is killed",
			"dir", s.opt.Dir, "bytes", s.used(), "limit_bytes", s.opt.Max)
	}
	if err == nil && s.full {
		s.full = false
		s.opt.Log.Warn("the spool has room again", "dir", s.opt.Dir, "bytes", s.used(), "limit_bytes", s.opt.Max)
	}
	return err == nil
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
	if e := s.envs[o.ID]; !s.closed && e != nil && e.journal.path != "" {
		s.forget(e)
	}
}

// forget empties the journal of an environment, except for its fragment.
func (s *Spool) forget(e *folder) {
	if e.journalFirst == 0 && (e.fragment || e.journal.size <= headerSize) && !e.journal.dirty {
		return // nothing in it but the fragment, or a mark
	}
	err := s.openFile(e, &e.journal, journalName)
	switch {
	case err != nil:
	case e.fragment:
		err = s.keepFragment(e)
	default:
		err = e.journal.restart(e.mark())
	}
	if err != nil {
		s.opt.Log.Debug("the journal could not be emptied; lines may be sent again after a restart", "path", e.journal.path, "error", err.Error())
		return
	}
	e.journalFirst = 0
	s.tidy(e)
}

// keepFragment replaces the journal with one that has only the last frame, which has
// the fragment, and a mark: the lines of that frame are in records.
func (s *Spool) keepFragment(e *folder) error {
	text := make([]byte, e.journal.size-e.fragmentAt)
	if _, err := e.journal.file.ReadAt(text, e.fragmentAt); err != nil {
		return err
	}
	mark := e.mark()
	err := s.replace(e, &e.journal, journalName, frame{mark[0], text, mark[0]})
	if err == nil {
		e.fragmentAt = headerSize
	}
	return err
}
