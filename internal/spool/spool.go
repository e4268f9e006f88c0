// Package spool keeps telemetry in files that outlive the process: packed
// records for which memory has no room, and a journal of lines that are in no
// record yet. What an ended process left is adopted by the next one.
//
// Each execution environment has a folder of its own, which its process locks:
//
//	<dir>/<environment>/meta          who it was; the lock
//	<dir>/<environment>/00000001.seg  records, untold losses, what is done
//	<dir>/<environment>/journal       lines that are in no record, a fragment
//
// The death of the process is survived at any instruction, that of the machine
// is not: nothing is synced.
package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"kinetel/internal/ledger"
	"kinetel/internal/pack"
)

var (
	// ErrFull means that the byte cap leaves no room for the record.
	ErrFull = errors.New("the spool is full")
	// ErrCorrupt means that what is on disk is not what was written.
	ErrCorrupt = errors.New("what is on disk is not what was written")

	errClosed = errors.New("the spool is closed")
)

const (
	minSegment = 256 << 10 // bytes; a current segment below it is not begun anew
	maxSegment = 4 << 20   // bytes
	// maxSlack bounds the bytes that only losses may use: they come when all
	// else is full.
	maxSlack = 64 << 10
	// maxAtOnce bounds what is copied to be written by one call.
	maxAtOnce = 64 << 10
	// maxKept bounds the untold losses of an environment.
	maxKept = 4096
	// defaultRetry is how long a failing disk is left alone.
	defaultRetry = 30 * time.Second
)

// Checker looks at what another process left: anything in the sandbox may have
// written it.
type Checker interface {
	// Record reports whether a record can be one of Kinetel's.
	Record(r *pack.Record) bool
	// Line reports whether text is the line of that number.
	Line(o *pack.Origin, seq uint64, text []byte) bool
}

// Options are what a Spool needs to know. Retry and Check may be zero.
type Options struct {
	Dir string // absolute; has a folder for each environment
	Max int64  // bytes of all files, those of ended processes included
	// Reserve is what of Max records leave to the journal: its lines are on disk
	// until the record of them is.
	Reserve int64
	Log     *slog.Logger
	Retry   time.Duration // how long a failing disk is left alone; 0: 30 s
	Check   Checker       // nil: records and lines are taken as they are
}

// Spool is a bounded store on disk. It is safe for concurrent use.
type Spool struct {
	opt  Options
	disk disk

	mu     sync.Mutex // guards all below; held while files are read and written
	closed bool
	envs   map[string]*environment // by ID
	bytes  int64                   // of all files
	live   int64                   // frames that a done frame may have to follow
	buf    []byte                  // scratch for a frame
	full   bool                    // told that the journal has no room
	gone   bool                    // records went with their files, and Check has not said so
	broken error                   // why the disk is left alone; nil: it works
	since  time.Time               // when it was last tried
}

// New returns a Spool. It touches no file: most processes never need one.
func New(opt Options) *Spool {
	if opt.Retry == 0 {
		opt.Retry = defaultRetry
	}
	return &Spool{opt: opt, disk: osDisk{}, envs: map[string]*environment{}}
}

// Ref says where a record lies, and what it is besides its data.
type Ref struct {
	Origin      *pack.Origin
	First, Last uint64
	Losses      []ledger.Loss // that its lines tell of
	Lines       int64         // bytes before compression
	Events      int
	Droppable    int
	DataSize    int // bytes of data and partition key

	seg    *segment
	offset int64
	size   int32
	// adopted means that another process wrote it, whatever that was.
	adopted bool
	done    bool // guarded by the Spool's mu
}

// Size is the bytes that the record takes on disk.
func (ref *Ref) Size() int64 { return int64(ref.size) }

// Record returns the record without its data and its key, as what can be given
// up.
func (ref *Ref) Record() *pack.Record {
	return &pack.Record{
		Origin: ref.Origin, First: ref.First, Last: ref.Last, Events: ref.Events,
		Droppable: ref.Droppable, Lines: ref.Lines, Losses: ref.Losses,
	}
}

// Append writes a record to the files of its environment. It returns ErrFull,
// or the disk's error. Kept losses that the record tells of are settled by it.
func (s *Spool) Append(r *pack.Record) (*Ref, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.ready(r.Origin)
	if err != nil {
		return nil, err
	}
	s.check(e)
	head, h, err := appendRecord(s.buf[:0], r)
	if err != nil {
		return nil, err
	}
	defer func() { s.scratch(head) }()
	if !s.room(h.size()+headerSize+s.price(e), s.slack()+s.reserve()) {
		return nil, fmt.Errorf("%w: %d bytes of %d are taken, and the record needs %d", ErrFull, s.bytes, s.opt.Max, h.size())
	}
	seg, err := s.writable(e)
	if err != nil {
		return nil, s.failed(err)
	}
	ref := &Ref{
		Origin: r.Origin, First: r.First, Last: r.Last, Losses: r.Losses, Lines: r.Lines,
		Events: r.Events, Droppable: r.Droppable, DataSize: r.Size(),
		seg: seg, offset: seg.size, size: int32(h.size()),
	}
	// What the record tells of is settled by the same write: no moment has it
	// told of twice.
	told := e.reportedBy(r.Losses)
	end := appendHeader(nil, h, again)
	for _, k := range told {
		if k.seg == seg {
			end = appendHeader(end, header{kind: kindDone, first: uint64(k.offset)}, 0)
		}
	}
	if h.size() <= maxAtOnce {
		head = append(append(head, r.Data...), end...)
		err = s.write(&seg.tail, head)
	} else {
		err = s.write(&seg.tail, head, r.Data, end)
	}
	if err != nil {
		if seg.dirty {
			e.seal() // the next record goes where nothing is in its way
		}
		return nil, s.failed(err)
	}
	s.worked()
	seg.records++
	s.live++
	seg.top = max(seg.top, r.Last)
	e.last = max(e.last, r.Last)
	e.onDisk = max(e.onDisk, r.Last)
	for _, k := range told {
		s.drop(e, k)
		if k.seg != seg {
			s.markDone(k.seg, k.offset)
		}
	}
	return ref, nil
}

// scratch keeps buf for the next frame, unless it is large.
func (s *Spool) scratch(buf []byte) {
	if cap(buf) <= 2*maxAtOnce {
		s.buf = buf[:0]
	}
}

// Read returns the record again. It fails with ErrCorrupt where that is the
// same at each attempt, and with the disk's error otherwise.
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

func (s *Spool) read(ref *Ref) (*pack.Record, error) {
	if ref.seg.gone && ref.seg.file == nil {
		return nil, fs.ErrNotExist
	}
	frame := make([]byte, ref.size)
	err := ref.seg.with(s.disk, toRead, func() error {
		_, err := ref.seg.file.ReadAt(frame, ref.offset)
		return err
	})
	if err != nil {
		return nil, err
	}
	h, behind, ok := parseHeader(frame[:headerSize])
	same := ok && !behind && h.kind == kindRecord && h.size() == int64(ref.size) && h.first == ref.First && h.last == ref.Last
	if !same || checksum(frame[headerSize:headerSize+int(h.length)]) != h.sum {
		return nil, ErrCorrupt
	}
	meta, data, err := parseRecord(frame[headerSize : headerSize+int(h.length)])
	if err != nil {
		return nil, ErrCorrupt
	}
	r := ref.Record()
	r.Data, r.PartitionKey = data[:len(data):len(data)], string(meta.PartitionKey)
	if ref.adopted && s.opt.Check != nil && !s.opt.Check.Record(r) {
		return nil, ErrCorrupt
	}
	return r, nil
}

// Check looks whether the files are still there: everything in /tmp is the
// function's to delete. It reports whether no record went with its file since
// the last call.
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

// Gone reports whether a record's file is not there any more. The record may
// still be read.
func (s *Spool) Gone(ref *Ref) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ref.seg.gone
}

// Done says that a record is in Kinesis, or told as lost: it is never to be
// shipped again.
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
	if !ref.seg.gone {
		s.live--
	}
	s.markDone(ref.seg, ref.offset)
}

// Sent says that a record that is not on disk is in Kinesis. The losses that it
// reports are settled, and its numbers are not given again, as if it had been
// appended: the spool may have been too full for that.
func (s *Spool) Sent(r *pack.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.envs[r.Origin.EnvironmentID]
	if s.closed || e == nil {
		return
	}
	e.last = max(e.last, r.Last)
	for _, k := range e.reportedBy(r.Losses) {
		s.drop(e, k)
		s.markDone(k.seg, k.offset)
	}
	if e.onDisk >= e.last || !slices.ContainsFunc(e.segments, func(seg *segment) bool { return seg.records+seg.losses+seg.spoiled > 0 }) {
		return // the folder goes with this process, or the next record notes it
	}
	seg := e.segments[len(e.segments)-1]
	if s.room(headerSize, 0) && seg.with(s.disk, toWrite, func() error {
		return s.write(&seg.tail, appendHeader(nil, header{kind: kindMark, last: e.last}, 0))
	}) == nil {
		e.onDisk = e.last
	}
}

// Together reports whether two records lie in one file: disk space is free
// when all of a file is done.
func (s *Spool) SameSegment(a, b *Ref) bool { return a.seg == b.seg }

// Seal has the next record begin a new file, if this one's is the one that is
// written.
func (s *Spool) Seal(ref *Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := ref.seg.env; e.current == ref.seg {
		e.seal()
	}
}

// Lost keeps a loss that has to be told, until a record of that origin that
// tells of it is appended. Where the disk fails it is in memory only.
func (s *Spool) Lost(o *pack.Origin, loss ledger.Loss) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.ready(o)
	if err != nil || loss.First == 0 || loss.First > loss.Last {
		return
	}
	old := e.madeOf(loss)
	switch {
	case loss.Number > 0:
		// A ledger keeps each of its losses. What is spoiled is kept as a frame
		// from here on.
		old = slices.DeleteFunc(old, func(k *kept) bool { return !k.spoiled })
	case len(old) == 1 && !old[0].spoiled && same(old[0].loss, loss):
		return // it is kept already
	}
	if len(e.kept)-len(old) >= maxKept {
		return
	}
	s.keepLoss(e, loss, old)
}

// keepLoss writes a loss, which takes the place of old ones.
func (s *Spool) keepLoss(e *environment, loss ledger.Loss, old []*kept) {
	frame := appendLoss(nil, loss)
	if !s.room(int64(len(frame))+headerSize+s.price(e), s.reserve()) {
		return
	}
	seg, err := s.writable(e)
	if err != nil {
		_ = s.failed(err) // told
		return
	}
	k := &kept{loss: loss, seg: seg, offset: seg.size}
	for _, o := range old {
		if o.seg == seg {
			frame = appendHeader(frame, header{kind: kindDone, first: uint64(o.offset)}, 0)
		}
	}
	if err := s.write(&seg.tail, frame); err != nil {
		_ = s.failed(err)
		return
	}
	s.worked()
	s.keep(e, k)
	e.last = max(e.last, loss.Last)
	e.onDisk = max(e.onDisk, loss.Last)
	for _, o := range old {
		s.drop(e, o)
		if o.seg != seg {
			s.markDone(o.seg, o.offset)
		}
	}
}

// Bytes returns how many bytes are on disk now.
func (s *Spool) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// Close gives up the locks and the files. It removes the folders of those
// environments of which nothing is left to ship; the others stay for the next
// process.
func (s *Spool) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	for _, e := range s.envs {
		s.leave(e)
	}
}

// ready returns the environment of an origin, or why nothing can be written:
// a failing disk is left alone for a while.
func (s *Spool) ready(o *pack.Origin) (*environment, error) {
	if s.closed {
		return nil, errClosed
	}
	if s.broken != nil {
		// Round strips the monotonic reading, which stands still while the
		// environment is frozen. A clock that was set back ends the wait.
		if rested := time.Now().Round(0).Sub(s.since); rested >= 0 && rested < s.opt.Retry {
			return nil, s.broken
		}
	}
	if e := s.envs[o.EnvironmentID]; e != nil {
		return e, nil
	}
	if !isID(o.EnvironmentID) {
		return nil, fmt.Errorf("the environment's ID %q cannot name a folder; it takes 1 to %d letters, digits and hyphens", o.EnvironmentID, maxID)
	}
	e := newEnvironment(o.EnvironmentID, filepath.Join(s.opt.Dir, o.EnvironmentID))
	e.resource, e.details = o.Resource, o.Details()
	s.envs[e.id] = e
	return e, nil
}

// RetryNow has a failing disk tried with the next call: there is no later.
func (s *Spool) RetryNow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = time.Time{}
}

// failed has the disk left alone for a while, and tells it once.
func (s *Spool) failed(err error) error {
	if s.broken == nil {
		s.opt.Log.Error("the spool cannot be written; telemetry waits in memory only, and is lost if this process is killed",
			"error", err.Error(), "dir", s.opt.Dir, "tried_again_after", s.opt.Retry.String())
	}
	s.broken, s.since = fmt.Errorf("write to the spool: %w", err), time.Now().Round(0)
	return s.broken
}

// worked tells once that the disk works again.
func (s *Spool) worked() {
	if s.broken != nil {
		s.opt.Log.Warn("the spool can be written again", "dir", s.opt.Dir)
	}
	s.broken = nil
}

// room reports whether n more bytes are within the cap when slack bytes are
// left alone. A done frame for everything always has its room.
func (s *Spool) room(n, slack int64) bool {
	return s.bytes+s.live*headerSize+n+slack <= s.opt.Max
}

// reserve is what the journals have not used of theirs.
func (s *Spool) reserve() int64 {
	left := s.opt.Reserve
	for _, e := range s.envs {
		left -= e.journal.size
	}
	return max(left, 0)
}

func (s *Spool) slack() int64 { return min(maxSlack, s.opt.Max/16) }

// write appends parts to a file.
func (s *Spool) write(t *tail, parts ...[]byte) error {
	before := t.size
	err := t.write(parts...)
	s.bytes += t.size - before
	return err
}

// segmentSize is the bytes at which a new segment begins.
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
