package spool

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/seqrange"
)

// folder holds the files of one execution environment. The Spool's mu
// guards it.
type folder struct {
	id, dir string
	details environment.Details // for meta
	known   bool                // meta of an ended process could be read
	meta    tail                // its file is nil until the folder is created; has the lock

	segments []*segment // oldest first
	current  *segment   // the last of segments, while it is written; or nil
	number   int        // of the newest segment
	last     uint64     // the highest number ever seen

	losses   []pendingLoss // in the order of their serial numbers
	lossFile tail          // path is empty until it is created
	serial   uint64        // the highest one of a loss
	checked  map[place]bool
	// lossesUnwritten means that the losses file does not have all losses. The
	// segments stay: the next process finds the corrupt places there again.
	lossesUnwritten bool

	journal      tail // path is empty until it is created
	journalFirst uint64
	fragment     bool  // the journal has a pending fragment
	fragmentAt   int64 // offset of the frame that has the fragment

	undecided tail           // path is empty until it is created
	waiting   bool           // the file has undecided lines
	decided   seqrange.Range // numbers of its lines that may be nowhere else; First is 0: none
	// undecidedLost means that undecided lines were lost with their file, and that
	// UndecidedLost has not reported it yet.
	undecidedLost bool

	unread bool // a file could not be opened: it stays for the next process
	// journalLost means that lines or a fragment were lost with the journal's
	// file, and that JournalLost has not reported it yet.
	journalLost bool
}

// mark returns a frame with the highest number ever seen.
func (e *folder) mark() frame { return bare(header{kind: kindMark, last: e.last}) }

// pending reports whether the folder has anything for the next process.
func (e *folder) pending() bool {
	return e.journalFirst > 0 || e.fragment || e.waiting || e.decided.First > 0 || e.unread || len(e.losses) > 0 ||
		slices.ContainsFunc(e.segments, func(seg *segment) bool { return seg.records > 0 })
}

// metaJSON returns the text of meta. The resource is unchanged, or null if it is
// not a JSON object.
func (e *folder) metaJSON() []byte {
	d := &e.details
	var o jsontext.Object
	o.Int("version", 1)
	o.String("environmentId", e.id)
	if jsontext.IsObject(d.Resource) {
		o.Raw("resource", d.Resource)
	} else {
		o.Raw("resource", nil)
	}
	o.Begin("details")
	o.OmitEmpty = true
	o.String("accountId", d.AccountID)
	o.String("logGroup", d.LogGroup)
	o.String("logStream", d.LogStream)
	o.Bool("jsonLogs", d.JSONLogs)
	o.String("spanParent", d.SpanParent)
	o.String("attributes", base64.StdEncoding.EncodeToString(d.Attributes))
	o.End()
	return append(o.JSON(), '\n')
}

// price returns the bytes that writing the next frame may need besides the frame:
// for meta and for the mark of a new file.
func (s *Spool) price(e *folder) (n int64) {
	if e.meta.file == nil {
		n = int64(len(e.metaJSON()))
	}
	return n + headerSize
}

// open creates and locks the folder, once.
func (s *Spool) open(e *folder) error {
	if e.meta.file != nil {
		return nil
	}
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
	if err = e.lock(path, f); err == nil {
		err = s.write(&e.meta, frame{e.metaJSON()})
	}
	if err != nil {
		e.meta.close()
		e.meta = tail{}
		_ = s.disk.remove(path) // or it would block the next attempt
		_ = s.disk.remove(e.dir)
	}
	return err
}

// lock locks the folder with its open meta, or closes that.
func (e *folder) lock(path string, f file) error {
	info, err := f.Stat()
	if err == nil {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	e.meta = tail{path: path, file: f, info: info, size: info.Size()}
	return nil
}

// openFile opens a file of the folder for writing. If the file has no path yet,
// openFile creates it, with a mark as its first frame, and the folder if need be.
func (s *Spool) openFile(e *folder, t *tail, name string) (err error) {
	for range attempts {
		switch {
		case t.file != nil:
			return nil
		case t.path != "":
			err = t.open(s.disk, toWrite)
		default:
			if err = s.open(e); err == nil {
				next := tail{path: filepath.Join(e.dir, name)}
				if err = s.makeTail(&next, e.mark()); err == nil {
					*t = next
				}
			}
		}
		if !permanent(err) {
			return err
		}
		s.check(e)
	}
	return err
}

// add appends a frame to a file of the folder, which it creates if need be. It
// returns the offset of the frame. slack is how many bytes have to stay free.
func (s *Spool) add(e *folder, t *tail, name string, f frame, slack int64) (offset int64, err error) {
	if !s.room(f.size()+s.price(e), slack) {
		return 0, fmt.Errorf("%w: %d bytes of %d are taken, and %d more are needed", ErrFull, s.used(), s.opt.Max, f.size())
	}
	if err = s.openFile(e, t, name); err == nil {
		offset = t.size
		err = s.write(t, f)
	}
	if err != nil {
		return 0, s.failed(err)
	}
	s.worked()
	return offset, nil
}

// attempts is how often the spool creates a file that is deleted again before
// it is written: a function that empties /tmp may do so between any two calls.
const attempts = 3

// makeTail creates a file with the content f.
func (s *Spool) makeTail(t *tail, f frame) (err error) {
	if t.file, err = makeFile(s.disk, t.path); err != nil {
		return err
	}
	if t.info, err = t.file.Stat(); err == nil {
		err = s.write(t, f)
	}
	if err != nil {
		t.close()
		_ = s.disk.remove(t.path) // or it would block the next attempt
	}
	return err
}

// replace replaces a file of the folder with one that has only content. At any
// moment one of the two is there.
func (s *Spool) replace(e *folder, t *tail, name string, content frame) error {
	next, err := s.begin(e, name, content)
	if err != nil {
		return err
	}
	return s.finish(t, &next, nil)
}

// begin makes a file with content, which is to replace the one with that name.
func (s *Spool) begin(e *folder, name string, content frame) (next tail, err error) {
	if err = s.open(e); err == nil {
		next.path = filepath.Join(e.dir, name+newExt)
		err = s.makeTail(&next, content)
	}
	return next, err
}

// finish replaces t with next, or removes next if it could not be written.
func (s *Spool) finish(t, next *tail, err error) error {
	path := strings.TrimSuffix(next.path, newExt)
	if err == nil {
		err = s.disk.rename(next.path, path)
	}
	if err != nil {
		next.close()
		_ = s.disk.remove(next.path)
		return err
	}
	next.path = path
	t.close()
	*t = *next
	return nil
}

// newExt ends the name of a file that is about to replace the one without it.
const newExt = ".new"

// check finds the files of an environment that another process has deleted,
// replaced or truncated: /tmp belongs to the function. It creates the folder
// again, with the losses that are not reported yet. The caller has the records
// and the lines.
func (s *Spool) check(e *folder) {
	if e.meta.path == "" && len(e.segments) == 0 && e.journal.path == "" && e.lossFile.path == "" && e.undecided.path == "" {
		return // most processes never need a file
	}
	err := secure(s.disk, e.dir, false)
	if err != nil && !permanent(err) {
		return // all files may still be there
	}
	lost := func(t *tail) bool {
		if t.path == "" || err == nil && !t.lost(s.disk) {
			return false
		}
		if err == nil {
			_ = clearPath(s.disk, t.path)
		}
		return true
	}
	drop := func(t *tail) bool {
		if !lost(t) {
			return false
		}
		t.close()
		*t = tail{}
		return true
	}
	metaLost := drop(&e.meta)
	drop(&e.lossFile)
	if drop(&e.journal) {
		e.journalLost = e.journalLost || e.journalFirst > 0 || e.fragment
		e.journalFirst, e.fragment = 0, false
	}
	if drop(&e.undecided) {
		e.undecidedLost = e.undecidedLost || e.waiting
		e.waiting, e.decided = false, seqrange.Range{} // the caller has the decided lines
	}
	e.segments = slices.DeleteFunc(e.segments, func(seg *segment) bool {
		if !lost(&seg.tail) {
			return false
		}
		seg.gone = true // records can be read as long as its file is open
		s.gone = s.gone || seg.records > 0
		if seg == e.current {
			e.current = nil
		}
		return true
	})
	err = nil
	if metaLost {
		err = s.open(e)
	}
	again := e.lossesUnwritten && s.broken == nil && s.room(e.lossFrames().size()+s.price(e), 0)
	if (e.lossFile.path == "" || again) && len(e.losses) > 0 && err == nil {
		err = s.writeLosses(e)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // else the folder is gone again: the next check finds that
		_ = s.failed(err) // logged
	}
}

// files returns the files of the folder, meta last.
func (e *folder) files() (files []*tail) {
	for _, seg := range e.segments {
		files = append(files, &seg.tail)
	}
	return append(files, &e.journal, &e.undecided, &e.lossFile, &e.meta)
}

// size returns the bytes of all files of an environment.
func (e *folder) size() int64 {
	n := e.meta.size + e.journal.size + e.undecided.size + e.lossFile.size
	for _, seg := range e.segments {
		n += seg.size
	}
	return n
}

// closeFolder closes the files of an environment, and removes them if they have
// nothing to send.
func (s *Spool) closeFolder(e *folder) {
	e.seal()
	if e.meta.file != nil && secure(s.disk, e.dir, false) == nil { // else there is no folder, or it was replaced
		if e.pending() {
			s.tidy(e)
		} else {
			for _, t := range e.files() {
				if t.path != "" {
					s.remove(t)
				}
			}
			_ = s.disk.remove(e.dir) // stays if there is something else in it
		}
	}
	for _, t := range e.files() {
		t.close()
	}
}
