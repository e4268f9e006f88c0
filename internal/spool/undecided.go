package spool

import (
	"bytes"
	"encoding/binary"
	"errors"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/seqrange"
)

const undecidedName = "undecided"

// maxUndecided bounds the file of undecided lines, and so the memory that Recover
// needs for them. The frames that decide may exceed it.
const maxUndecided = 8 << 20

// MaxLiveUndecided bounds the undecided lines of an environment in bytes. The caller
// rewrites their file when it has twice as many, and a body of telemetry may come first.
const MaxLiveUndecided = maxUndecided * 7 / 32

// undecidedStart is the beginning of each undecided line: its number is 0.
const undecidedStart = format.Start + "0,"

const (
	// minLine is less than the bytes of each line: its resource alone has more.
	minLine = 100
	// maxDecided bounds the lines that are decided at once.
	maxDecided = maxUndecided / minLine
	// maxIndex bounds the numbers of invocations and the indexes of lines.
	maxIndex = 1 << 32
)

// undecidedFrame returns a frame of undecided lines.
func undecidedFrame(invocation, index uint64, lines []byte) (frame, bool) {
	count := bytes.Count(lines, []byte("\n"))
	return newFrame(header{kind: kindUndecided, count: uint32(count), first: invocation, last: index}, lines)
}

// Undecided writes lines that have the number 0 until it is decided whether they are
// sent. invocation is a number that the environment uses for no other invocation.
// index is the position of the first line among all lines of the invocation, from 0.
// Undecided reports whether the lines are on disk. If it returns false although the
// spool works, the file is full: RewriteUndecided makes room.
func (s *Spool) Undecided(o *environment.Environment, invocation, index uint64, lines []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.ready(o)
	if err != nil {
		return false
	}
	f, ok := undecidedFrame(invocation, index, lines)
	if !ok || e.undecided.size+f.size() > maxUndecided {
		s.opt.Log.Debug("undecided lines do not fit into their file", "bytes", len(lines), "file_bytes", e.undecided.size)
		return false
	}
	_, err = s.add(e, &e.undecided, undecidedName, f, s.slack())
	e.waiting = e.waiting || err == nil
	return s.stored(err)
}

// Decide gives numbers, from first on, to count lines of an invocation, from the one
// with that index on. Call it before the lines are in a record or in the journal, and
// with ascending numbers. If it returns false, the lines are still undecided on disk:
// after a kill they may be sent a second time, with other numbers.
func (s *Spool) Decide(o *environment.Environment, invocation, index, count, first uint64) bool {
	last := first + count - 1
	f, ok := newFrame(header{kind: kindDecided, count: uint32(count), first: first, last: last},
		binary.AppendUvarint(binary.AppendUvarint(nil, invocation), index))
	if !ok {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.note(o, f)
	if e != nil {
		e.last = max(e.last, last)
		e.addDecided(seqrange.Range{First: first, Last: last})
	}
	return ok
}

// LeaveOut records that the lines of an invocation that are still undecided are not
// sent.
func (s *Spool) LeaveOut(o *environment.Environment, invocation uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.note(o, bare(header{kind: kindLeftOut, first: invocation}))
	return ok
}

// note appends a frame about undecided lines. It returns the folder if it has written
// the frame. Without a file there are no such lines on disk, and nothing to write.
func (s *Spool) note(o *environment.Environment, f frame) (*folder, bool) {
	if e := s.envs[o.ID]; e == nil || e.undecided.path == "" {
		return nil, true
	}
	e, err := s.ready(o)
	if err == nil {
		_, err = s.add(e, &e.undecided, undecidedName, f, 0)
	}
	if err != nil {
		return nil, false
	}
	return e, true
}

// addDecided notes numbers whose lines may be nowhere but in the file.
func (e *folder) addDecided(r seqrange.Range) {
	if e.decided.First == 0 {
		e.decided = r
	}
	e.decided.First, e.decided.Last = min(e.decided.First, r.First), max(e.decided.Last, r.Last)
}

// markElsewhere records that decided lines with the numbers from first to last are in
// the journal, in a record or in Kinesis. The next process does not send them again,
// although the records may be gone then.
func (s *Spool) markElsewhere(e *folder, first, last uint64) {
	d := e.decided
	if d.First == 0 || first > d.Last || last < d.First {
		return
	}
	mark := bare(header{kind: kindMark, first: first, last: last})
	if _, err := s.add(e, &e.undecided, undecidedName, mark, 0); err != nil || first > d.First {
		return // the segments stay, and show which lines are in records
	}
	if e.decided.First = last + 1; last >= d.Last {
		e.decided = seqrange.Range{}
	}
	s.tidy(e)
}

// RewriteUndecided replaces the file with one that has only the lines that each
// yields. If each is nil, it empties the file. Call it when all decided lines are in
// the journal or in records. each must not call the Spool. If RewriteUndecided returns
// false, the file is as before.
func (s *Spool) RewriteUndecided(o *environment.Environment, each func(yield func(invocation, index uint64, lines []byte) bool)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.ready(o)
	if err != nil {
		return false
	}
	if each == nil {
		return s.emptyUndecided(e)
	}
	next, err := s.begin(e, undecidedName, e.mark())
	if err == nil {
		each(func(invocation, index uint64, lines []byte) bool {
			f, ok := undecidedFrame(invocation, index, lines)
			err = ErrFull
			if size := next.size + f.size(); ok && size <= maxUndecided && s.room(size-e.undecided.size, 0) {
				err = s.write(&next, f)
			}
			return err == nil
		})
		err = s.finish(&e.undecided, &next, err)
	}
	return s.rewritten(e, err)
}

// emptyUndecided empties the file, if there is one.
func (s *Spool) emptyUndecided(e *folder) bool {
	if e.undecided.path == "" || e.undecided.size <= headerSize && !e.undecided.dirty {
		return s.rewritten(e, nil)
	}
	err := s.openFile(e, &e.undecided, undecidedName)
	if err == nil {
		err = e.undecided.restart(e.mark())
	}
	return s.rewritten(e, err)
}

// rewritten notes what the file has, if it could be written anew.
func (s *Spool) rewritten(e *folder, err error) bool {
	if err != nil {
		if !errors.Is(err, ErrFull) {
			_ = s.failed(err) // logged
		}
		return false
	}
	e.waiting, e.decided, e.undecidedLost = e.undecided.size > headerSize, seqrange.Range{}, false
	s.tidy(e)
	return true
}

// UndecidedSize returns the bytes of the file of undecided lines.
func (s *Spool) UndecidedSize(o *environment.Environment) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.envs[o.ID]; e != nil {
		return e.undecided.size
	}
	return 0
}

// UndecidedLost reports, once, whether undecided lines were lost with their file, so
// that the caller has to write them again, with RewriteUndecided.
func (s *Spool) UndecidedLost(o *environment.Environment) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.envs[o.ID]
	if e == nil || !e.undecidedLost {
		return false
	}
	e.undecidedLost = false
	return true
}
