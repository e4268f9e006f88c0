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
// a folder whose process lives. Max and the limits bound what it reads, because
// other processes may have written it.
func (s *Spool) Recover() (all []Recovered) {
	budget := budget{bytes: s.opt.Max, records: maxRecords}
	for _, e := range s.claim() {
		if r := s.restore(e, &budget); s.admit(e, r) {
			all = append(all, *r.recovered)
		}
	}
	return all
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
	e := &folder{id: name, dir: filepath.Join(s.opt.Dir, name)}
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
		switch name := entry.Name(); {
		case name == journalName:
			e.journal = t
		case name == lossesName:
			e.lossFile = t
		case strings.HasSuffix(name, newExt):
			_ = s.disk.remove(path) // it has replaced nothing
		default:
			if number, ok := segmentNumber(name); ok {
				e.segments = append(e.segments, &segment{env: e, tail: t})
				e.number = max(e.number, number)
			}
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
func segmentNumber(name string) (number int, ok bool) {
	digits, _, _ := strings.Cut(name, ".")
	number, err := strconv.Atoi(digits)
	// It must not be the last possible number.
	return number, err == nil && number > 0 && number < 1<<40 && name == segmentName(number)
}

// size returns the bytes of all files of an environment.
func (e *folder) size() int64 {
	n := e.meta.size + e.journal.size + e.lossFile.size
	for _, seg := range e.segments {
		n += seg.size
	}
	return n
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
