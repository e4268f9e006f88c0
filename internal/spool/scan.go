package spool

import (
	"bytes"
	"cmp"
	"io"
)

// state says how much of a frame can be used.
type state int

const (
	intact  state = iota
	damaged       // the header is known, the payload must not be used
	unknown       // bytes that belong to no frame
)

// item is a piece of a file.
type item struct {
	state   state
	header  header // not if the state is unknown
	offset  int64
	size    int64
	payload []byte // valid until the next item; of a damaged frame, all that is there
}

// scan reads a file of size bytes and calls emit with its items, in order. It
// returns the offset at which the file ends without the frame that was being
// written when a process died. Such a frame is incomplete, and was never
// acknowledged. Everything else that cannot be read is corrupt, and is an item.
func scan(f io.ReaderAt, size int64, emit func(item)) (end int64, err error) {
	w := &window{file: f, size: size}
	at, skipped := int64(0), int64(0) // where to read, and how many bytes before it are in no frame
	emitSkipped := func(end int64) {
		if start := at - skipped; start < end {
			emit(item{state: unknown, offset: start, size: end - start})
		}
		skipped = 0
	}
	for size-at >= headerSize {
		buf, err := w.rest(at)
		if err != nil {
			emitSkipped(at)
			return at, err
		}
		h, behind, ok := parseHeader(buf[:headerSize])
		start := at
		if behind {
			start += headerSize - h.size()
		}
		switch {
		case !ok || start < at-skipped: // the header of a frame that was read is not of interest
			n := nextMagic(buf)
			at, skipped = at+n, skipped+n
		case behind: // the first header of this frame is corrupt
			emitSkipped(start)
			emit(item{state: damaged, header: h, offset: start, size: h.size()})
			at += headerSize
		case at+h.size() > size:
			emitSkipped(at)
			return at, nil
		default:
			emitSkipped(at)
			payload, err := w.bytes(at+headerSize, int(h.length))
			if err != nil {
				return at, err
			}
			it := item{header: h, offset: at, size: h.size(), payload: payload}
			if checksum(payload) != h.crc || !h.valid() {
				it.state = damaged
			}
			emit(it)
			at += h.size()
		}
	}
	if skipped == 0 {
		return at, nil
	}
	emitSkipped(size)
	return size, nil
}

// nextMagic returns the index in buf of the next header after the first byte, or
// as many bytes as can be skipped if there is none.
func nextMagic(buf []byte) int64 {
	searched := len(buf) - headerSize + 1 // a header may cross the end of buf
	if i := bytes.Index(buf[1:searched-1+len(magic)], []byte(magic)); i >= 0 {
		return int64(i + 1)
	}
	return int64(searched)
}

// windowSize is how much of a file is read at once.
const windowSize = 64 << 10

// window is the part of a file that is in memory. It only moves forward, so that
// reading takes time in proportion to the file, whatever is in it.
type window struct {
	file io.ReaderAt
	size int64  // of the file
	buf  []byte // the bytes in memory
	at   int64  // offset of buf in the file
}

// bytes returns n bytes of the file. They are valid until the next call.
func (w *window) bytes(from int64, n int) ([]byte, error) {
	if skip := from - w.at; skip < 0 || skip+int64(n) > int64(len(w.buf)) {
		size := int(min(int64(max(n, windowSize)), w.size-from))
		if size < n {
			return nil, io.ErrUnexpectedEOF
		}
		if cap(w.buf) < size {
			w.buf = make([]byte, size)
		}
		w.at, w.buf = from, w.buf[:size]
		if n, err := w.file.ReadAt(w.buf, from); n < size {
			w.buf = nil
			return nil, cmp.Or(err, io.ErrUnexpectedEOF)
		}
	}
	return w.buf[from-w.at:][:n], nil
}

// rest returns the bytes in memory from an offset on: at least a header.
func (w *window) rest(from int64) ([]byte, error) {
	if _, err := w.bytes(from, headerSize); err != nil {
		return nil, err
	}
	return w.buf[from-w.at:], nil
}
