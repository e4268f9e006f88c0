package spool

import (
	"fmt"
	"io/fs"
	"os"
)

// tail is a file that is written at its end. Nothing is synced. If the process
// dies, the kernel still has every byte. If the machine dies, /tmp is lost too.
type tail struct {
	path string
	file file        // nil while it is closed
	info fs.FileInfo // identifies the file; nil: not known
	size int64       // of the complete writes
	// dirty means that bytes of a failed write may follow size. They must be
	// truncated before the next write.
	dirty bool
}

// write appends a frame to the file: all of it or, as far as the disk allows,
// none.
func (t *tail) write(f frame) error {
	if err := t.clean(); err != nil {
		return err
	}
	at := t.size
	for _, p := range f {
		n, err := t.file.WriteAt(p, at)
		at += int64(n)
		if err != nil {
			t.dirty = true
			_ = t.clean() // if it fails, the next write does it
			return err
		}
	}
	t.size = at
	return nil
}

// clean truncates what a failed write added.
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

// restart replaces the content of the file with a mark. It overwrites the mark at
// the beginning before it truncates the rest, so that one is there at any moment.
func (t *tail) restart(first frame) error {
	if _, err := t.file.WriteAt(first[0], 0); err != nil {
		return err
	}
	if err := t.file.Truncate(headerSize); err != nil {
		return err
	}
	t.size, t.dirty = headerSize, false
	return nil
}

func (t *tail) close() {
	if t.file != nil {
		_ = t.file.Close() // nothing is buffered
		t.file = nil
	}
}

// with calls do while the file is open. If the file is closed, with opens it
// before and closes it after.
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

// open opens the file. It fails if the path now leads to another file.
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

// lost reports whether the file was deleted or replaced, or is shorter than what
// was written. If lost cannot find that out, it returns false.
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
