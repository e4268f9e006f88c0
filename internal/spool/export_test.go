package spool

import (
	"bytes"
	"encoding/binary"
	"io"
	"io/fs"
)

// Reseal corrects the checksums of everything in b that looks like a frame, the
// last one first, so that the spool reads what a fuzzer changes.
func Reseal(b []byte) []byte {
	for i := len(b); ; {
		if i = bytes.LastIndex(b[:i], []byte(magic)); i < 0 {
			return b
		}
		if len(b)-i < headerSize {
			continue
		}
		h := b[i : i+headerSize]
		if n := uint64(binary.LittleEndian.Uint32(h[8:])); h[4]&again == 0 && n <= uint64(len(b)-i-headerSize) {
			payload := b[i+headerSize:][:n]
			if meta, used := binary.Uvarint(payload); kind(h[4]) == kindRecord && used > 0 && meta <= n && uint64(used)+meta+4 <= n {
				binary.LittleEndian.PutUint32(payload[uint64(used)+meta:], checksum(payload[:uint64(used)+meta]))
			}
			binary.LittleEndian.PutUint32(h[32:], checksum(payload))
		}
		binary.LittleEndian.PutUint32(h[36:], checksum(h[:36]))
	}
}

// Fault is called before each change on disk; n is the bytes of a write. It
// returns how many of them are written, and the error of the call.
type Fault func(op, path string, n int) (int, error)

// Break calls f before each change on disk.
func (s *Spool) Break(f Fault) { s.disk = faultyDisk{s.disk, f} }

// Kill leaves everything as a killed process does.
func (s *Spool) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for _, e := range s.envs {
		for _, t := range e.files() {
			t.close()
		}
	}
}

// SegmentSize returns the bytes at which a new file begins.
func (s *Spool) SegmentSize() int64 { return s.segmentSize() }

type faultyDisk struct {
	disk
	fault Fault
}

func (d faultyDisk) open(path string, flag int) (file, error) {
	if _, err := d.fault("open", path, 0); err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	f, err := d.disk.open(path, flag)
	if err != nil {
		return nil, err
	}
	return faultyFile{f, path, d.fault}, nil
}

func (d faultyDisk) mkdir(path string) error {
	if _, err := d.fault("mkdir", path, 0); err != nil {
		return &fs.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return d.disk.mkdir(path)
}

func (d faultyDisk) remove(path string) error {
	if _, err := d.fault("remove", path, 0); err != nil {
		return &fs.PathError{Op: "remove", Path: path, Err: err}
	}
	return d.disk.remove(path)
}

func (d faultyDisk) rename(from, to string) error {
	if _, err := d.fault("rename", from, 0); err != nil {
		return &fs.PathError{Op: "rename", Path: from, Err: err}
	}
	return d.disk.rename(from, to)
}

type faultyFile struct {
	file
	path  string
	fault Fault
}

func (f faultyFile) WriteAt(b []byte, at int64) (int, error) {
	n, err := f.fault("write", f.path, len(b))
	if n > 0 {
		if n, err := f.file.WriteAt(b[:n], at); err != nil {
			return n, err
		}
	}
	if err != nil {
		return n, &fs.PathError{Op: "write", Path: f.path, Err: err}
	}
	return n, nil
}

func (f faultyFile) Truncate(size int64) error {
	if _, err := f.fault("truncate", f.path, 0); err != nil {
		return &fs.PathError{Op: "truncate", Path: f.path, Err: err}
	}
	return f.file.Truncate(size)
}

// Frame returns a frame of any kind and content.
func Frame(kind_ byte, payload []byte, count uint32, first, last uint64) []byte {
	h := header{kind: kind(kind_), length: uint32(len(payload)), count: count, first: first, last: last, crc: checksum(payload)}
	b := append(appendHeader(nil, h, 0), payload...)
	if len(payload) > 0 {
		b = appendHeader(b, h, again)
	}
	return b
}

// Scan reads a file, and returns the number of its items.
func Scan(f io.ReaderAt, size int64) (items int, err error) {
	_, err = scan(f, size, func(item) { items++ })
	return items, err
}
