package spool

import (
	"bufio"
	"bytes"
	"io"
	"slices"
)

// state is how much of a frame can be used.
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

// windowSize is how much of a file is read at once.
const windowSize = 64 << 10

// scan reads a file of size bytes and calls emit with its items, in order. It
// returns the offset at which the file ends without the frame that was being
// written when a process died. Such a frame is incomplete, and was never
// acknowledged. Everything else that cannot be read is corrupt, and is an item.
// scan only moves forward: it takes time in proportion to the file.
func scan(f io.ReaderAt, size int64, emit func(item)) (end int64, err error) {
	in := bufio.NewReaderSize(io.NewSectionReader(f, 0, size), windowSize)
	var payload []byte
	at, skipped := int64(0), int64(0) // where to read, and how many bytes before it are in no frame
	emitSkipped := func(end int64) {
		if start := at - skipped; start < end {
			emit(item{state: unknown, offset: start, size: end - start})
		}
		skipped = 0
	}
	for size-at >= headerSize {
		head, err := in.Peek(headerSize)
		if err != nil {
			emitSkipped(at)
			return at, err
		}
		h, behind, ok := parseHeader(head)
		start := at
		if behind {
			start += headerSize - h.size()
		}
		if !ok || start < at-skipped { // no header, or that behind a frame that was read
			n := skipToMagic(in)
			at, skipped = at+n, skipped+n
			continue
		}
		emitSkipped(start)
		_, _ = in.Discard(headerSize) // it was peeked
		if behind {                   // the header before the payload is corrupt
			emit(item{state: damaged, header: h, offset: start, size: h.size()})
			at += headerSize
			continue
		}
		if at+h.size() > size {
			return at, nil
		}
		payload = slices.Grow(payload[:0], int(h.length))[:h.length]
		_, err = io.ReadFull(in, payload)
		if err == nil && h.length > 0 {
			_, err = in.Discard(headerSize)
		}
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
	if skipped == 0 {
		return at, nil
	}
	emitSkipped(size)
	return size, nil
}

// skipToMagic skips to where the next header may begin, or as far as it can see.
// It returns the number of bytes, at least one.
func skipToMagic(in *bufio.Reader) int64 {
	buf, _ := in.Peek(in.Buffered())
	n := len(buf) - headerSize + 1 // a header may cross the end of buf
	if i := bytes.Index(buf[1:n-1+len(magic)], []byte(magic)); i >= 0 {
		n = i + 1
	}
	_, _ = in.Discard(n) // it was peeked
	return int64(n)
}
