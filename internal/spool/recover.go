package spool

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/order"
	"github.com/kinetel/kinetel/internal/seqrange"
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
	Lines       []Run                    // journalled or decided, in no record; sorted by First
	Undecided   []Undecided              // neither decided nor left out; in the order of the file
	Fragment    []byte                   // text that is not an event yet; nil: none
	Losses      []ledger.Loss            // not reported yet, corrupt places included; sorted by First
}

// Run is the lines of the events from First to Last.
type Run struct {
	First, Last uint64
	Lines       []byte
}

// Undecided is lines of an invocation that have no number yet.
type Undecided struct {
	Invocation uint64
	Index      uint64 // of the first line in the invocation
	Count      uint64 // of lines
	Lines      []byte
}

// Recover adopts the folders of ended processes. Call it once. It may run beside
// the other methods, which do not wait for it while it reads. It does not touch
// a folder whose process lives. Max and the limits bound what it reads, because
// other processes may have written it.
func (s *Spool) Recover() (all []Recovered) {
	budget := budget{bytes: s.opt.Max, records: maxRecords}
	for _, e := range s.claim() {
		size := e.size()
		if r := s.restore(e, &budget); s.admit(e, r, size) {
			all = append(all, *r.recovered)
		}
	}
	return all
}

// admit adds an adopted environment to the Spool's. It reports whether the
// environment has anything to send. If it has nothing, admit removes its folder.
// size is that of the folder when it was claimed.
func (s *Spool) admit(e *folder, r *restorer, size int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.claimed -= size
	if s.closed || r == nil {
		for _, t := range e.files() {
			t.close()
		}
		return false
	}
	recovered := r.recovered
	if len(recovered.Records)+len(recovered.Lines)+len(recovered.Undecided)+len(recovered.Losses) == 0 && recovered.Fragment == nil {
		e.journalFirst, e.decided = 0, seqrange.Range{} // all lines are in records, and these are done
		s.closeFolder(e)
		return false
	}
	s.envs[e.id] = e
	if s.keepFound(e, r) && len(recovered.Lines) == 0 {
		// All lines that have a number are in records. They must not be recovered
		// again after the records are gone.
		if e.journalFirst > 0 {
			s.forget(e)
		}
		if len(recovered.Undecided) == 0 {
			_ = s.emptyUndecided(e) // the caller does it again
		}
	}
	for _, ref := range r.done {
		s.markDone(ref)
	}
	return true
}

// keepFound writes the losses that were found into the losses file, and the places
// in which they were. It reports whether all of them are on disk.
func (s *Spool) keepFound(e *folder, r *restorer) bool {
	if !r.stale && len(r.found) == 0 {
		return true
	}
	n := min(len(r.found), maxLosses-len(e.losses))
	for _, loss := range r.found[:n] {
		e.serial++
		e.losses = append(e.losses, pendingLoss{loss, e.serial})
	}
	if n == len(r.found) {
		for _, p := range r.checked {
			e.addChecked(p)
		}
	}
	kept := n == len(r.found) && s.room(e.lossFrames().size()+s.price(e)-e.lossFile.size, 0) && s.writeLosses(e) == nil
	e.lossesUnwritten = !kept
	e.lossFile.close()
	return kept
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
	made := map[string]int64{} // ns, by name
	var names []string
	for _, entry := range entries {
		// A symbolic link is not a folder.
		if info, err := entry.Info(); err == nil && entry.IsDir() && isID(entry.Name()) {
			names = append(names, entry.Name())
			made[entry.Name()] = info.ModTime().UnixNano()
		}
	}
	order.By(names, func(a, b string) int { return cmp.Or(cmp.Compare(made[a], made[b]), strings.Compare(a, b)) })
	for len(names) > 0 && len(claimed) < maxAdopted {
		if e := s.adopt(names[0]); e != nil {
			claimed = append(claimed, e)
		}
		names = names[1:]
	}
	if len(names) > 0 || len(entries) == maxFolders {
		s.opt.Log.Warn("earlier processes left more than is adopted at once; the rest stays for the next start",
			"dir", s.opt.Dir, "folders", len(names), "limit", maxAdopted)
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
		case name == undecidedName:
			e.undecided = t
		case strings.HasSuffix(name, newExt):
			_ = s.disk.remove(path) // it has replaced nothing
		default:
			if number, ok := segmentNumber(name); ok {
				e.segments = append(e.segments, &segment{env: e, number: number, tail: t})
				e.number = max(e.number, number)
			}
		}
	}
	order.By(e.segments, func(a, b *segment) int {
		return cmp.Or(cmp.Compare(len(a.path), len(b.path)), strings.Compare(a.path, b.path))
	})
	s.mu.Lock()
	s.claimed += e.size()
	s.mu.Unlock()
	return e
}

// lockMeta opens meta, or creates it, and locks the environment with it.
func (s *Spool) lockMeta(e *folder) error {
	path := filepath.Join(e.dir, "meta")
	f, err := s.disk.open(path, toWrite)
	if permanent(err) {
		f, err = makeFile(s.disk, path)
	}
	if err == nil {
		err = e.lock(path, f)
	}
	return err
}

// segmentNumber parses the number in a segment's name.
func segmentNumber(name string) (number int, ok bool) {
	digits, _, _ := strings.Cut(name, ".")
	number, err := strconv.Atoi(digits)
	// It must not be the last possible number.
	return number, err == nil && number > 0 && number < 1<<40 && name == segmentName(number)
}

// readMeta reads from meta what the environment's lines have in common. If meta
// cannot be read, they still have the environment's ID.
func (e *folder) readMeta() {
	text, _ := io.ReadAll(io.NewSectionReader(e.meta.file, 0, maxMeta)) // on an error, the text is not valid JSON
	resource := jsontext.Member(text, "resource")
	var details environment.Details
	if jsontext.IsObject(text) && jsontext.Text(jsontext.Member(text, "environmentId")) == e.id && // and the resource is one line of JSON:
		jsontext.IsObject(resource) && !bytes.ContainsAny(resource, "\r\n") && utf8.Valid(resource) &&
		len(resource) <= maxResource && jsontext.Text(jsontext.Member(resource, "service.instance.id")) == e.id &&
		readDetails(jsontext.Member(text, "details"), &details) {
		e.details, e.known = details, true
		e.details.Resource = resource
	} else {
		e.details.Resource = fmt.Appendf(nil, `{"service.instance.id":%q}`, e.id)
	}
}

// readDetails reads the details in meta. ok is false if a member has the wrong type.
func readDetails(object []byte, d *environment.Details) (ok bool) {
	ok = true
	m := jsontext.Members(object)
	for ok && m.Next() {
		switch string(m.Name) {
		case "accountId":
			ok = jsontext.ReadString(m.Value, &d.AccountID)
		case "logGroup":
			ok = jsontext.ReadString(m.Value, &d.LogGroup)
		case "logStream":
			ok = jsontext.ReadString(m.Value, &d.LogStream)
		case "jsonLogs":
			d.JSONLogs = string(m.Value) == "true"
			ok = d.JSONLogs || string(m.Value) == "false"
		case "spanParent":
			ok = jsontext.ReadString(m.Value, &d.SpanParent)
		case "attributes":
			var err error
			d.Attributes, err = base64.StdEncoding.AppendDecode(nil, jsontext.Unquoted(m.Value))
			ok = err == nil
		}
	}
	if len(d.Attributes) > maxResource || !jsontext.IsObject(d.Attributes) {
		d.Attributes = nil
	}
	return ok && m.Err == nil
}
