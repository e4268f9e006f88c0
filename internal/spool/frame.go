package spool

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/kinetel/kinetel/internal/pack"
)

// A file is a sequence of frames: a header, a payload, and the header again with
// the flag again; docs/spool.md has the layout. If the first header is corrupt, the
// second one says which events the frame had, and so which are lost.
const (
	headerSize = 40
	// magic has bytes that no line of JSON has, so that what a function logs
	// cannot look like a frame.
	magic = "\x00kt\x1b"
	// maxPayload bounds a frame, and so the memory for reading a corrupt file.
	maxPayload = 16 << 20
	// maxRecordMeta bounds what a record's frame has besides the record's data.
	maxRecordMeta = 256 << 10
	// maxNumber bounds sequence numbers: every JSON reader can represent it.
	maxNumber = 1<<53 - 1
	// again is the flag of the header after a payload.
	again = 0x80
)

// kind is the type of a frame.
type kind byte

const (
	// kindMark has the highest number ever seen of the environment as last.
	// In a journal, it means that the lines before it are in records. After
	// undecided lines, it means that those with the numbers from first to last are
	// in the journal or in records.
	kindMark kind = 1 + iota
	// kindRecord has a record (record.go).
	kindRecord
	// kindLoss has a loss that is not reported yet (losses.go).
	kindLoss
	// kindDone means that the record at the offset first, in the same file, is
	// done: it must not be sent again.
	kindDone
	// kindLines has the fragment's length as a uvarint, the fragment, and
	// whole lines.
	kindLines
	// kindChecked has the number of a segment as first, and the offset and size of
	// a place in it that cannot be read as count and last. The loss that it caused
	// is in the losses file or reported.
	kindChecked
	// kindUndecided has lines without a number: first is their invocation, last the
	// index of the first of them in the invocation (undecided.go).
	kindUndecided
	// kindDecided has the numbers that undecided lines get. The payload is their
	// invocation and the index of the first of them, as uvarints.
	kindDecided
	// kindLeftOut means that the undecided lines of the invocation first are not
	// sent.
	kindLeftOut
)

// header is a frame's header.
type header struct {
	kind        kind
	length      uint32 // of the payload
	count       uint32 // of events
	first, last uint64
	crc         uint32 // of the payload
}

// maxLength bounds the payload of a kind of frame.
func (k kind) maxLength() uint32 {
	switch k {
	case kindRecord:
		return pack.MaxRecord + maxRecordMeta
	case kindLoss:
		return 4 << 10
	case kindLines:
		return maxPayload
	case kindUndecided:
		return maxUndecided
	case kindDecided:
		return 2 * binary.MaxVarintLen64
	}
	return 0
}

// size returns the size of the whole frame in bytes.
func (h header) size() int64 {
	if h.length == 0 {
		return headerSize
	}
	return 2*headerSize + int64(h.length)
}

// valid reports whether the numbers in the header make sense.
func (h header) valid() bool {
	switch h.kind {
	case kindRecord, kindLoss:
		return h.numbered() && h.count > 0 && uint64(h.count-1) <= h.last-h.first
	case kindLines:
		return h.first > 0 && h.last <= maxNumber && h.last+1-h.first == uint64(h.count)
	case kindUndecided:
		return h.first < maxIndex && h.last < maxIndex && h.count > 0 && h.count <= h.length/minLine
	case kindDecided:
		return h.numbered() && h.last-h.first+1 == uint64(h.count) && h.count <= maxDecided
	}
	return h.last <= maxNumber
}

// numbered reports whether the numbers of a header can be used although its payload
// cannot.
func (h header) numbered() bool {
	switch h.kind {
	case kindRecord, kindLoss, kindLines, kindDecided:
		return h.first > 0 && h.first <= h.last && h.last <= maxNumber
	}
	return false
}

// events returns the count of events, which is at most that of the numbers.
func (h header) events() int {
	return atMost(min(uint64(max(h.count, 1)), h.last-h.first+1))
}

// checksum returns the CRC-32C of the parts, one after the other.
func checksum(parts ...[]byte) (crc uint32) {
	// MakeTable allocates nothing: the standard library keeps this one table.
	table := crc32.MakeTable(crc32.Castagnoli)
	for _, p := range parts {
		crc = crc32.Update(crc, table, p)
	}
	return crc
}

// appendHeader appends h, with flag set in its kind: 0 or again.
func appendHeader(dst []byte, h header, flag byte) []byte {
	start := len(dst)
	dst = append(dst, magic...)
	dst = append(dst, byte(h.kind)|flag, 0, 0, 0)
	dst = binary.LittleEndian.AppendUint32(dst, h.length)
	dst = binary.LittleEndian.AppendUint32(dst, h.count)
	dst = binary.LittleEndian.AppendUint64(dst, h.first)
	dst = binary.LittleEndian.AppendUint64(dst, h.last)
	dst = binary.LittleEndian.AppendUint32(dst, h.crc)
	return binary.LittleEndian.AppendUint32(dst, checksum(dst[start:]))
}

// parseHeader parses a header of headerSize bytes. It returns behind if that is
// the header after a payload, and ok if the header is valid.
func parseHeader(b []byte) (h header, behind, ok bool) {
	if string(b[:len(magic)]) != magic || binary.LittleEndian.Uint32(b[36:]) != checksum(b[:36]) {
		return header{}, false, false
	}
	h = header{
		kind:   kind(b[4] &^ again),
		length: binary.LittleEndian.Uint32(b[8:]),
		count:  binary.LittleEndian.Uint32(b[12:]),
		first:  binary.LittleEndian.Uint64(b[16:]),
		last:   binary.LittleEndian.Uint64(b[24:]),
		crc:    binary.LittleEndian.Uint32(b[32:]),
	}
	known := h.kind >= kindMark && h.kind <= kindLeftOut && h.length <= h.kind.maxLength()
	return h, b[4]&again != 0, known
}

// frame is the parts of a frame, in order: they are written without being copied
// together if they are large.
type frame [][]byte

// newFrame returns a frame with h's kind and numbers. It returns false if the
// payload is too long, or the numbers are wrong.
func newFrame(h header, payload ...[]byte) (frame, bool) {
	length := frame(payload).size()
	h.length = uint32(length)
	if length > int64(h.kind.maxLength()) || !h.valid() {
		return nil, false
	}
	h.crc = checksum(payload...)
	headers := appendHeader(appendHeader(make([]byte, 0, 2*headerSize), h, 0), h, again)
	f := append(frame{headers[:headerSize]}, payload...)
	return append(f, headers[headerSize:]), true
}

// size returns the bytes of all parts.
func (f frame) size() (n int64) {
	for _, part := range f {
		n += int64(len(part))
	}
	return n
}

// bare returns a frame without a payload.
func bare(h header) frame { return frame{appendHeader(nil, h, 0)} }
