package spool

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"unicode/utf8"

	"kinetel/internal/ledger"
	"kinetel/internal/pack"
)

// A file is a sequence of frames. Numbers are little-endian, checksums are
// CRC-32C:
//
//	 0  magic, 4 bytes
//	 4  kind, 1 byte, and 3 zeros
//	 8  length of the payload, 4 bytes
//	12  count of events, 4 bytes
//	16  first, 8 bytes
//	24  last, 8 bytes
//	32  checksum of the payload, 4 bytes
//	36  checksum of all above, 4 bytes
//	40  payload
//	    the header again, with the kind's highest bit set; absent if the
//	    payload is empty
//
// If the first header is corrupt, the second one says which events the frame
// had, and so which are lost.
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
	// In a journal, it means that the lines before it are in records.
	kindMark kind = 1 + iota
	// kindRecord has the length of its recordMeta as a uvarint, the
	// recordMeta as JSON, the checksum of these two, and the record's data.
	kindRecord
	// kindLoss has a loss as JSON.
	kindLoss
	// kindDone means that the frame at the offset first, in the same file, is
	// done: its record or loss must not be sent again.
	kindDone
	// kindLines has the fragment's length as a uvarint, the fragment, and
	// whole lines.
	kindLines
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
	case kindMark, kindDone:
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
	if h.last > maxNumber && h.kind != kindDone {
		return false
	}
	switch h.kind {
	case kindRecord:
		return h.first > 0 && h.first <= h.last && h.count > 0 && uint64(h.count-1) <= h.last-h.first
	case kindLoss:
		return h.first > 0 && h.first <= h.last // its count is the payload's
	case kindLines:
		return h.first > 0 && h.last+1-h.first == uint64(h.count)
	case kindMark, kindDone:
	}
	return true
}

// loss returns the frame's events as a loss.
func (h header) loss(lines int64) ledger.Loss {
	return ledger.Loss{First: h.first, Last: h.last, Count: int(h.count), Bytes: lines, Reason: ledger.SpoolCorrupt}
}

// crcTable allocates nothing: the standard library keeps this one table.
func crcTable() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// checksum returns the CRC-32C of the parts, one after the other.
func checksum(parts ...[]byte) (crc uint32) {
	for _, p := range parts {
		crc = crc32.Update(crc, crcTable(), p)
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
	known := h.kind >= kindMark && h.kind <= kindLines && h.length <= h.kind.maxLength()
	return h, b[4]&again != 0, known
}

// recordMeta is what a record's frame has besides its header and its data.
type recordMeta struct {
	// The key is base64: JSON text cannot represent every key.
	PartitionKey []byte        `json:"partitionKey,omitempty"`
	Droppable    int           `json:"ordinary,omitempty"`
	Lines        int64         `json:"lines,omitempty"`
	Losses       []ledger.Loss `json:"losses,omitempty"`
}

// valid reports whether the fields make sense.
func (m *recordMeta) valid() bool {
	key := utf8.RuneCount(m.PartitionKey)
	return key > 0 && key <= 256 && utf8.Valid(m.PartitionKey) && m.Droppable >= 0 && m.Droppable <= pack.MaxEvents && m.Lines >= 0 && m.Lines <= maxBytes &&
		len(m.Losses) <= pack.MaxEvents && !slices.ContainsFunc(m.Losses, func(l ledger.Loss) bool { return !valid(l) })
}

// appendRecord appends the frame of a record up to its data. The caller appends
// the data and then the returned header, with the flag again.
func appendRecord(dst []byte, r *pack.Record) ([]byte, header, error) {
	meta, err := json.Marshal(recordMeta{
		PartitionKey: []byte(r.PartitionKey), Droppable: r.Droppable, Lines: r.Lines, Losses: r.Losses,
	})
	if err != nil {
		return dst, header{}, fmt.Errorf("write what is known of a record as JSON: %w", err)
	}
	start := binary.AppendUvarint(nil, uint64(len(meta)))
	start = append(start, meta...)
	start = binary.LittleEndian.AppendUint32(start, checksum(start))
	if limit := kindRecord.maxLength(); len(start)+len(r.Data) > int(limit) {
		return dst, header{}, fmt.Errorf("a record of %d bytes does not fit into a frame of %d bytes", len(r.Data), limit)
	}
	h := header{
		kind: kindRecord, length: uint32(len(start) + len(r.Data)), count: uint32(r.Events),
		first: r.First, last: r.Last, crc: checksum(start, r.Data),
	}
	if !h.valid() {
		return dst, header{}, fmt.Errorf("a record of %d events from %d to %d is none", r.Events, r.First, r.Last)
	}
	return append(appendHeader(dst, h, 0), start...), h, nil
}

var errMeta = errors.New("what is known of the record is spoiled")

// parseRecord splits a record's payload. The meta has its own checksum, which
// parseRecord verifies. The data is right only if the payload's checksum was.
func parseRecord(payload []byte) (meta recordMeta, data []byte, err error) {
	n, used := binary.Uvarint(payload)
	if used <= 0 || n > uint64(len(payload)-used) || uint64(len(payload)-used)-n < 4 {
		return recordMeta{}, nil, errMeta
	}
	end := used + int(n)
	if binary.LittleEndian.Uint32(payload[end:]) != checksum(payload[:end]) {
		return recordMeta{}, nil, errMeta
	}
	if err := json.Unmarshal(payload[used:end], &meta); err != nil || !meta.valid() {
		return recordMeta{}, nil, errMeta
	}
	data = payload[end+4:]
	if len(data)+len(meta.PartitionKey) > pack.MaxRecord {
		return recordMeta{}, nil, errMeta
	}
	return meta, data, nil
}

// appendLoss appends the frame of a loss.
func appendLoss(dst []byte, loss ledger.Loss) []byte {
	body := loss.AppendJSON(nil)
	h := header{
		kind: kindLoss, length: uint32(len(body)), count: uint32(loss.Count),
		first: loss.First, last: loss.Last, crc: checksum(body),
	}
	dst = append(appendHeader(dst, h, 0), body...)
	return appendHeader(dst, h, again)
}

// linesFrame returns the bytes before and after a journal frame's fragment and
// lines, which follow each other in the frame, and the frame's header.
func linesFrame(first, last uint64, lines, fragment []byte) (before, behind []byte, h header) {
	start := binary.AppendUvarint(nil, uint64(len(fragment)))
	h = header{
		kind: kindLines, length: uint32(len(start) + len(fragment) + len(lines)), count: uint32(last + 1 - first),
		first: first, last: last, crc: checksum(start, fragment, lines),
	}
	return append(appendHeader(nil, h, 0), start...), appendHeader(nil, h, again), h
}

// parseLines splits a journal frame's payload.
func parseLines(payload []byte) (lines, fragment []byte, ok bool) {
	n, used := binary.Uvarint(payload)
	if used <= 0 || n > uint64(len(payload)-used) {
		return nil, nil, false
	}
	return payload[used+int(n):], payload[used : used+int(n)], true
}

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

// scan reads a file of size bytes and calls emit with its items, in order. It
// returns the offset at which the file ends without the frame that was being
// written when a process died. Such a frame is incomplete, and was never
// acknowledged. Everything else that cannot be read is corrupt, and is an item.
func scan(f io.ReaderAt, size int64, emit func(item)) (end int64, err error) {
	w := &window{file: f, size: size}
	for at := int64(0); at < size; {
		if size-at < headerSize {
			return at, nil
		}
		head, err := w.bytes(at, headerSize)
		if err != nil {
			return at, err
		}
		h, behind, ok := parseHeader(head)
		if !ok || behind {
			if at, err = skipCorrupt(w, at, emit); err != nil {
				return at, err
			}
			continue
		}
		if at+h.size() > size {
			return at, nil
		}
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
	return size, nil
}

// skipCorrupt calls emit with the bytes from at, where no frame begins, to the
// next header. It returns the offset at which scan continues.
func skipCorrupt(w *window, at int64, emit func(item)) (int64, error) {
	for from := at; w.size-from >= headerSize; {
		buf, err := w.rest(from)
		if err != nil {
			return from, err
		}
		for i := 0; i+headerSize <= len(buf); {
			found := bytes.Index(buf[i:len(buf)-headerSize+len(magic)], []byte(magic))
			if found < 0 {
				break
			}
			i += found
			h, behind, ok := parseHeader(buf[i : i+headerSize])
			start, next := from+int64(i), from+int64(i)
			if behind {
				start, next = start+headerSize-h.size(), next+headerSize
			}
			if !ok || start < at || !behind && start == at {
				i++
				continue
			}
			if start > at {
				emit(item{state: unknown, offset: at, size: start - at})
			}
			if behind {
				emit(item{state: damaged, header: h, offset: start, size: h.size()})
			}
			return next, nil
		}
		from += int64(len(buf)) - headerSize + 1 // a header may cross the end of buf
	}
	emit(item{state: unknown, offset: at, size: w.size - at})
	return w.size, nil
}
