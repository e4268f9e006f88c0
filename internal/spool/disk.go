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

// disk is the file system. Tests use one that fails.
type disk interface {
	// open opens a regular file of this user. It does not block on anything else.
	open(path string, flag int) (file, error)
	lstat(path string) (fs.FileInfo, error)
	// readDir returns at most limit entries of a folder.
	readDir(path string, limit int) ([]fs.DirEntry, error)
	mkdir(path string) error // only this user has access
	remove(path string) error
	rename(from, to string) error
}

type osDisk struct{}

func (osDisk) open(path string, flag int) (file, error) {
	// Links are not followed, and a FIFO or a device does not block.
	f, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err // not f: an interface that holds a nil pointer is not nil
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

// regular returns an error if the spool must not use a file: it is a FIFO, a
// device or a folder, it belongs to another user, or it has a second hard link,
// so that a write would change a file that is not the spool's.
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

// secure returns an error if the spool must not use its folder or one of the
// folders above it. With create, it creates those that are missing. Each must be
// a folder, not a link, that no other user can replace. secure trusts the
// system's folders above as they are: / and what is directly in it.
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

// makeFile creates a file. If something else has its path, makeFile removes or
// renames that first.
func makeFile(d disk, path string) (file, error) {
	f, err := d.open(path, toMake)
	if errors.Is(err, fs.ErrExist) && clearPath(d, path) == nil {
		f, err = d.open(path, toMake)
	}
	return f, err
}

// clearPath removes whatever is at a path. It renames what it cannot remove, such
// as a folder that is not empty.
func clearPath(d disk, path string) error {
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

// permanent reports whether an error comes again however often a file is opened
// or read: the file is missing, not a regular file, too short or corrupt.
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
