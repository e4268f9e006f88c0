package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// errForeign means that a path leads to something that this package did not
// make: the sandbox's other processes write to the same /tmp.
var errForeign = errors.New("not a file or folder of the spool")

// file is what the spool needs of an open file.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Stat() (fs.FileInfo, error)
	Fd() uintptr
}

// disk is where files are. Tests have one that fails.
type disk interface {
	// open opens a regular file of this user; it waits for nothing else.
	open(path string, flag int) (file, error)
	lstat(path string) (fs.FileInfo, error)
	// readDir returns at most so many of a folder's entries.
	readDir(path string, limit int) ([]fs.DirEntry, error)
	mkdir(path string) error // only the user may look into it
	remove(path string) error
	rename(from, to string) error
}

type osDisk struct{}

func (osDisk) open(path string, flag int) (file, error) {
	// Links are not followed, and a FIFO or a device does not block.
	f, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err // not f: a nil pointer in an interface is no nil
	}
	info, err := f.Stat()
	if err == nil {
		err = regular(path, info)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// regular returns why a file is not used: it is a FIFO, a device or a folder,
// another user's, or has a second name, so that a write would change a file
// that is not the spool's.
func regular(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.Mode().IsRegular() || ok && (stat.Nlink > 1 || int(stat.Uid) != os.Geteuid()) {
		return fmt.Errorf("%s has mode %v: %w", path, info.Mode(), errForeign)
	}
	return nil
}

func (osDisk) readDir(path string, limit int) ([]fs.DirEntry, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(limit)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return entries, err
}

func (osDisk) lstat(path string) (fs.FileInfo, error) { return os.Lstat(path) }
func (osDisk) mkdir(path string) error                { return os.Mkdir(path, 0o700) }
func (osDisk) remove(path string) error               { return os.Remove(path) }
func (osDisk) rename(from, to string) error           { return os.Rename(from, to) }

// secure returns why the spool's folder, or one on the way to it, must not be
// used; with create, it makes those that are missing. Each has to be a folder,
// not a link, that no other user can replace. The folders of the system above
// are trusted as they are: / and what is directly in it.
func secure(d disk, dir string, create bool) error {
	path := "/"
	for depth, name := range strings.Split(dir, "/")[1:] {
		path = filepath.Join(path, name)
		info, err := d.lstat(path)
		if errors.Is(err, fs.ErrNotExist) && create {
			if err = d.mkdir(path); err == nil || errors.Is(err, fs.ErrExist) {
				info, err = d.lstat(path)
			}
		}
		if err != nil {
			return err
		}
		last := path == dir
		if depth == 0 && !last {
			continue
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		sticky, mine := info.Mode()&fs.ModeSticky != 0, !ok || int(stat.Uid) == os.Geteuid()
		why := ""
		switch {
		case !info.IsDir():
			why = "is no folder"
		case info.Mode().Perm()&0o002 != 0 && !sticky:
			why = "can be changed by every user"
		case !mine && (last || !sticky && stat.Uid != 0):
			why = "is another user's"
		default:
			continue
		}
		return fmt.Errorf("%s %s, mode %v: %w", path, why, info.Mode(), errForeign)
	}
	return nil
}

// makeFile makes a file. What is in its place and not the spool's has to go.
func makeFile(d disk, path string) (file, error) {
	f, err := d.open(path, toMake)
	if errors.Is(err, fs.ErrExist) && makeWay(d, path) == nil {
		f, err = d.open(path, toMake)
	}
	return f, err
}

// makeWay removes whatever is at a path: a folder that has something in it is
// moved aside.
func makeWay(d disk, path string) error {
	err := d.remove(path)
	for n := 0; n < 100 && err != nil && !errors.Is(err, fs.ErrNotExist); n++ {
		err = d.rename(path, fmt.Sprintf("%s.foreign%d", path, n))
	}
	return err
}

const (
	toMake  = os.O_RDWR | os.O_CREATE | os.O_EXCL
	toWrite = os.O_RDWR
	toRead  = os.O_RDONLY
)

// lock takes f for this process, or fails at once. The lock ends with f.
func lock(f file) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

// tail is a file that is written at its end. Nothing is synced: what is
// guarded against is the death of the process, after which the kernel still
// has every byte; the machine's death takes /tmp with it.
type tail struct {
	path string
	file file        // nil while it is closed
	info fs.FileInfo // which file it is; nil: not known
	size int64       // of what was written as a whole
	// dirty means that bytes of a failed write may lie past size. They have
	// to go before the next write.
	dirty bool
}

// write puts parts behind each other at the end: all of them or, as far as the
// disk allows, none.
func (t *tail) write(parts ...[]byte) error {
	if err := t.clean(); err != nil {
		return err
	}
	at := t.size
	for _, p := range parts {
		n, err := t.file.WriteAt(p, at)
		at += int64(n)
		if err != nil {
			t.dirty = true
			_ = t.clean() // or before the next write
			return err
		}
	}
	t.size = at
	return nil
}

// clean cuts off what a failed write left.
func (t *tail) clean() error {
	if !t.dirty {
		return nil
	}
	if err := t.file.Truncate(t.size); err != nil {
		return err
	}
	t.dirty = false
	return nil
}

// restart leaves nothing in the file but first, a short frame, or nothing. The
// frame is written over the beginning before the rest is cut off, so that it
// is there at any moment.
func (t *tail) restart(first []byte) error {
	if len(first) > 0 {
		if _, err := t.file.WriteAt(first, 0); err != nil {
			return err
		}
	}
	if err := t.file.Truncate(int64(len(first))); err != nil {
		return err
	}
	t.size, t.dirty = int64(len(first)), false
	return nil
}

func (t *tail) close() {
	if t.file != nil {
		_ = t.file.Close() // nothing is buffered
		t.file = nil
	}
}

// with runs do on the file, which is opened for it where it is closed.
func (t *tail) with(d disk, flag int, do func() error) error {
	if t.file != nil {
		return do()
	}
	if err := t.open(d, flag); err != nil {
		return err
	}
	defer t.close()
	return do()
}

// open opens the file, if it is the one that was known by its path before.
func (t *tail) open(d disk, flag int) error {
	f, err := d.open(t.path, flag)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && t.info != nil && !os.SameFile(t.info, info) {
		err = fmt.Errorf("%s is another file than before: %w", t.path, errForeign)
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	t.file, t.info = f, info
	return nil
}

// lost reports whether the file at the path is not the one that was written, or
// is shorter. Where that cannot be found out, it is not.
func (t *tail) lost(d disk) bool {
	info, err := d.lstat(t.path)
	if err != nil {
		return permanent(err)
	}
	if t.info != nil && !os.SameFile(t.info, info) || info.Size() < t.size {
		return true
	}
	t.dirty = t.dirty || info.Size() > t.size
	return false
}

// permanent reports whether an error comes again however often a file is opened
// or read: it is not there, not a file, or too short.
func permanent(err error) bool {
	for _, target := range []error{
		fs.ErrNotExist, io.EOF, io.ErrUnexpectedEOF, errForeign, ErrCorrupt,
		syscall.ELOOP, syscall.ENOTDIR, syscall.EISDIR, syscall.ENXIO, syscall.ENODEV,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
