// Package spool stores telemetry in files that outlive the process: packed
// records for which memory has no room, and a journal of lines that are in no
// record yet. The next process adopts the files of an ended one.
//
// Each execution environment has a folder of its own, which its process locks:
//
//	<dir>/<environment>/meta          the environment; the lock
//	<dir>/<environment>/00000001.seg  records, and which of them are done
//	<dir>/<environment>/losses        losses that are not reported yet
//	<dir>/<environment>/journal       lines that are in no record, a fragment
//	<dir>/<environment>/undecided     lines that have no number yet
//	<dir>/<environment>/manifest      the records, after a clean shutdown
//
// docs/spool.md describes the files and the recovery.
//
// The files survive the death of the process at any instruction. They do not
// survive the death of the machine: nothing is synced.
package spool

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/logging"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/wallclock"
)

var (
	// ErrFull means that the byte cap leaves no room for the record.
	ErrFull = errors.New("the spool is full")
	// ErrCorrupt means that what is on disk is not what was written.
	ErrCorrupt = errors.New("what is on disk is not what was written")

	errClosed = errors.New("the spool is closed")
)

const (
	minSegment = 256 << 10 // bytes; a current segment below it is not emptied
	maxSegment = 4 << 20   // bytes
	// maxSlack bounds the bytes that only losses may use: losses come when
	// everything else is full.
	maxSlack = 64 << 10
	// maxAtOnce bounds what is copied so that one call can write it.
	maxAtOnce = 64 << 10
	// maxLosses bounds the losses of an environment that are not reported yet.
	maxLosses = 4096
	// retryTime is the time between two attempts to use a failing disk.
	retryTime = 30 * time.Second
)

// Checker validates what is on disk from another process: any process in the
// sandbox may have written it.
type Checker interface {
	// Record reports whether a record can be one of Kinetel's.
	Record(r *pack.Record) bool
	// Line reports whether text is the line of the event with that number.
	Line(o *environment.Environment, seq uint64, text []byte) bool
}

// Options configure a Spool. Reserve and Check may be zero.
type Options struct {
	Dir string // absolute; has a folder for each environment
	Max int64  // bytes of all files, those of ended processes included
	// Reserve is the part of Max that records leave to the journal and to undecided
	// lines: they are on disk until their record is.
	Reserve int64
	Log     logging.Logger
	Check   Checker // nil: records and lines are not validated
}

// Spool is a bounded store on disk. It is safe for concurrent use.
type Spool struct {
	opt  Options
	disk disk

	mu      sync.Mutex // guards all below; held while files are read and written
	closed  bool
	envs    map[string]*folder // by ID
	claimed int64              // bytes of the folders that Recover is reading
	buf     []byte             // scratch for a small frame
	full    bool               // logged that lines have no room
	gone    bool               // records were lost with their files, and Check has not reported it
	broken  error              // the disk's error; nil: it works
	since   time.Time          // when the disk last failed; zero: try now
}

// New returns a Spool. It touches no file: most processes never need one.
func New(opt Options) *Spool {
	return &Spool{opt: opt, disk: osDisk{}, envs: map[string]*folder{}}
}

// Append writes a record to the files of its environment. It returns ErrFull, or
// the disk's error. The losses that the record reports are not kept any longer.
func (s *Spool) Append(r *pack.Record) (*Ref, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.ready(r.Environment)
	if err != nil {
		return nil, err
	}
	s.check(e)
	reported := e.reportedBy(r.Losses)
	f, err := recordFrame(r, reported)
	if err != nil {
		return nil, err
	}
	if !s.room(f.size()+headerSize+s.price(e), s.slack()+s.reserve()) {
		return nil, fmt.Errorf("%w: %d bytes of %d are taken, and the record needs %d", ErrFull, s.used(), s.opt.Max, f.size())
	}
	seg, err := s.writable(e)
	if err != nil {
		return nil, s.failed(err)
	}
	ref := &Ref{
		Environment: r.Environment, First: r.First, Last: r.Last, Losses: r.Losses, Lines: r.Lines,
		Events: r.Events, Droppable: r.Droppable, DataSize: r.Size(),
		seg: seg, offset: seg.size, size: int32(f.size()),
	}
	if err := s.write(&seg.tail, f); err != nil {
		if seg.dirty {
			e.seal() // the next record goes into a new file
		}
		return nil, s.failed(err)
	}
	s.worked()
	seg.records++
	seg.top = max(seg.top, r.Last)
	e.last = max(e.last, r.Last)
	s.removeLosses(e, reported)
	return ref, nil
}

// Read reads a record. It returns ErrCorrupt if each attempt would fail in the
// same way, and the disk's error otherwise.
func (s *Spool) Read(ref *Ref) (*pack.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	r, err := s.read(ref)
	if permanent(err) {
		err = fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	if err != nil {
		return nil, fmt.Errorf("read a record of the spool: %s at %d: %w", ref.seg.path, ref.offset, err)
	}
	return r, nil
}

// Check checks that the files are still there: the function may delete anything
// in /tmp. It returns false if a file with records was lost since the last call.
func (s *Spool) Check() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return true
	}
	for _, e := range s.envs {
		s.check(e)
	}
	whole := !s.gone
	s.gone = false
	return whole
}

// Gone reports whether a record's file is not there any more. Read may still
// return the record.
func (s *Spool) Gone(ref *Ref) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ref.seg.gone
}

// Done marks a record as done: it is in Kinesis, or reported as lost, and must
// never be sent again.
func (s *Spool) Done(ref *Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ref.done {
		return
	}
	ref.done = true
	if s.closed {
		s.opt.Log.Debug("the spool is closed; a record that is done may be sent again", "firstSeq", ref.First, "lastSeq", ref.Last)
		return
	}
	ref.seg.records--
	s.markDone(ref)
}

// Sent notes that a record that is not on disk is in Kinesis. Its losses and its
// numbers are handled as if it had been appended: the spool may have been too full
// for that.
func (s *Spool) Sent(r *pack.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.envs[r.Environment.ID]
	if s.closed || e == nil {
		return
	}
	s.removeLosses(e, e.reportedBy(r.Losses))
	s.markElsewhere(e, r.First, r.Last)
	if r.Last <= e.last {
		return
	}
	e.last = r.Last
	if e.pending() && s.room(headerSize+s.price(e), 0) { // else Close removes the folder, or a later mark has the number
		if seg, err := s.writable(e); err == nil {
			_ = s.write(&seg.tail, e.mark()) // if it fails, so does the next one, and that is logged
		}
	}
}

// SameSegment reports whether two records are in one file: disk space is free
// when all of a file is done.
func (s *Spool) SameSegment(a, b *Ref) bool { return a.seg == b.seg }

// Seal closes the file of this record if it is the current one, so that the next
// record begins a new file.
func (s *Spool) Seal(ref *Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := ref.seg.env; e.current == ref.seg {
		e.seal()
	}
}

// Bytes returns how many bytes are on disk now.
func (s *Spool) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used()
}

// Close releases the locks and the files. It removes the folders of environments
// that have nothing to send; the others stay for the next process.
func (s *Spool) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	for _, e := range s.envs {
		s.closeFolder(e)
	}
}

// ready returns the environment of an origin, or why nothing can be written. A
// failing disk is not used for a time.
func (s *Spool) ready(o *environment.Environment) (*folder, error) {
	if s.closed {
		return nil, errClosed
	}
	if s.broken != nil {
		// A clock that was set back ends the wait.
		if rested := wallclock.Since(s.since); rested >= 0 && rested < retryTime {
			return nil, s.broken
		}
	}
	if e := s.envs[o.ID]; e != nil {
		return e, nil
	}
	if !isID(o.ID) {
		return nil, fmt.Errorf("the environment's ID %q cannot name a folder; it takes 1 to %d letters, digits and hyphens", o.ID, maxID)
	}
	e := &folder{id: o.ID, dir: filepath.Join(s.opt.Dir, o.ID), details: o.Details()}
	s.envs[e.id] = e
	return e, nil
}

// RetryNow makes the next call try a failing disk: at the end of the process
// there is no later attempt.
func (s *Spool) RetryNow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = time.Time{}
}

// failed stops the use of the disk for a time, and logs that once.
func (s *Spool) failed(err error) error {
	if s.broken == nil {
		s.opt.Log.Error("the spool cannot be written; telemetry waits in memory only, and is lost if this process is killed",
			"error", err.Error(), "dir", s.opt.Dir, "tried_again_after", retryTime.String())
	}
	s.broken, s.since = fmt.Errorf("write to the spool: %w", err), wallclock.Now()
	return s.broken
}

// worked logs, once, that the disk works again.
func (s *Spool) worked() {
	if s.broken != nil {
		s.opt.Log.Warn("the spool can be written again", "dir", s.opt.Dir)
	}
	s.broken = nil
}

// used returns the bytes of all files.
func (s *Spool) used() int64 {
	n := s.claimed
	for _, e := range s.envs {
		n += e.size()
	}
	return n
}

// room reports whether n more bytes fit under the cap with slack bytes to spare.
// There is always room for a done frame for each record.
func (s *Spool) room(n, slack int64) bool {
	for _, e := range s.envs {
		for _, seg := range e.segments {
			n += int64(seg.records) * headerSize
		}
	}
	return s.used()+n+slack <= s.opt.Max
}

// reserve returns the part of Reserve that lines have not used.
func (s *Spool) reserve() int64 {
	remaining := s.opt.Reserve
	for _, e := range s.envs {
		remaining -= e.journal.size + e.undecided.size
	}
	return max(remaining, 0)
}

func (s *Spool) slack() int64 { return min(maxSlack, s.opt.Max/16) }

// write appends a frame to a file. It copies a small frame, so that one system
// call can write it.
func (s *Spool) write(t *tail, f frame) error {
	if f.size() <= maxAtOnce {
		s.buf = s.buf[:0]
		for _, part := range f {
			s.buf = append(s.buf, part...)
		}
		f = frame{s.buf}
	}
	return t.write(f)
}

// segmentSize returns the bytes at which a new segment begins.
func (s *Spool) segmentSize() int64 { return min(max(s.opt.Max/16, minSegment), maxSegment) }

// maxID bounds an environment's ID, which names a folder.
const maxID = 128

func isID(id string) bool {
	for _, c := range []byte(id) {
		letter := c|0x20 >= 'a' && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return id != "" && len(id) <= maxID
}
