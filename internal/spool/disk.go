package spool

import (
	"io"
	"io/fs"
	"os"
	"syscall"
)

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
	open(path string, flag int) (file, error)
	mkdirAll(path string) error // only the user may look into what it makes
	mkdir(path string) error
	remove(path string) error
	rename(from, to string) error
}

type osDisk struct{}

func (osDisk) open(path string, flag int) (file, error) {
	// A link that somebody else put there leads nowhere.
	f, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err // not f: a nil pointer in an interface is no nil
	}
	return f, nil
}

func (osDisk) mkdirAll(path string) error   { return os.MkdirAll(path, 0o700) }
func (osDisk) mkdir(path string) error      { return os.Mkdir(path, 0o700) }
func (osDisk) remove(path string) error     { return os.Remove(path) }
func (osDisk) rename(from, to string) error { return os.Rename(from, to) }

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
	file file  // nil while it is closed
	size int64 // of what was written as a whole
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
	f, err := d.open(t.path, flag)
	if err != nil {
		return err
	}
	t.file = f
	defer t.close()
	return do()
}
