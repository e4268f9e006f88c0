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

// A file is a row of frames. Numbers are little-endian, sums are CRC-32C:
//
//	 0  magic, 4 bytes
//	 4  kind, 1 byte, and 3 zeros
//	 8  length of the payload, 4 bytes
//	12  count of events, 4 bytes
//	16  first, 8 bytes
//	24  last, 8 bytes
//	32  sum of the payload, 4 bytes
//	36  sum of all above, 4 bytes
//	40  payload
//	    the header again, with the kind's highest bit set; not where the
//	    payload is empty
//
// The second header tells what a frame held when its first one is spoiled, and
// so which events are lost.
const (
	headerSize = 40
	// magic holds bytes that no line of JSON holds, so that what a function
	// logs cannot look like a frame.
	magic = "\x00kt\x1b"
	// maxPayload bounds a frame, and so what reading a spoiled file can take.
	maxPayload = 16 << 20
	// maxRecordMeta bounds what is known of a record besides its data.
	maxRecordMeta = 256 << 10
	// maxNumber bounds sequence numbers: every reader of JSON has larger ones.
	maxNumber = 1<<53 - 1
	// again marks the header behind a payload.
	again = 0x80
)

// kind says what a frame is.
type kind byte

const (
	// kindMark has the highest number ever seen of the environment as last.
	// In a journal, the lines before it are in records.
	kindMark kind = 1 + iota
	// kindRecord has the length of its recordMeta as a uvarint, the
	// recordMeta as JSON, the sum of these two, and the record's data.
	kindRecord
	// kindLoss has a loss as JSON.
	kindLoss
	// kindDone says that what begins at the offset first, in the same file,
	// is settled.
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
	sum         uint32 // of the payload
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

// size is the bytes of the whole frame.
func (h header) size() int64 {
	if h.length == 0 {
		return headerSize
	}
	return 2*headerSize + int64(h.length)
}

// sound reports whether the numbers of a frame that has events make sense.
func (h header) sound() bool {
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

// loss is the frame's events as lost.
func (h header) loss(lines int64) ledger.Loss {
	return ledger.Loss{First: h.first, Last: h.last, Count: int(h.count), Bytes: lines, Reason: ledger.SpoolCorrupt}
}

// crcTable makes nothing: the standard library keeps this one table.
func crcTable() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// checksum is the sum of parts that follow each other.
func checksum(parts ...[]byte) (sum uint32) {
	for _, p := range parts {
		sum = crc32.Update(sum, crcTable(), p)
	}
	return sum
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
	dst = binary.LittleEndian.AppendUint32(dst, h.sum)
	return binary.LittleEndian.AppendUint32(dst, checksum(dst[start:]))
}

// parseHeader reads a header of headerSize bytes, and whether it is one behind
// a payload.
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
		sum:    binary.LittleEndian.Uint32(b[32:]),
	}
	known := h.kind >= kindMark && h.kind <= kindLines && h.length <= h.kind.maxLength()
	return h, b[4]&again != 0, known
}

// recordMeta is what a record's frame tells besides its header and its data.
type recordMeta struct {
	// The key is kept as base64: JSON text could not hold every one.
	PartitionKey []byte        `json:"partitionKey,omitempty"`
	Droppable     int           `json:"ordinary,omitempty"`
	Lines        int64         `json:"lines,omitempty"`
	Losses       []ledger.Loss `json:"losses,omitempty"`
}

// valid reports whether the members make sense.
func (m *recordMeta) valid() bool {
	key := utf8.RuneCount(m.PartitionKey)
	return key > 0 && key <= 256 && utf8.Valid(m.PartitionKey) && m.Droppable >= 0 && m.Droppable <= pack.MaxEvents && m.Lines >= 0 && m.Lines <= maxBytes &&
		len(m.Losses) <= pack.MaxEvents && !slices.ContainsFunc(m.Losses, func(l ledger.Loss) bool { return !valid(l) })
}

// appendRecord appends the frame of a record up to its data, which the rest of
// the frame follows: the header again, which is returned.
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
		first: r.First, last: r.Last, sum: checksum(start, r.Data),
	}
	if !h.sound() {
		return dst, header{}, fmt.Errorf("a record of %d events from %d to %d is none", r.Events, r.First, r.Last)
	}
	return append(appendHeader(dst, h, 0), start...), h, nil
}

var errMeta = errors.New("what is known of the record is spoiled")

// parseRecord takes a record's payload apart. It vouches for the meta, by its
// own sum, and for the data only if the payload's sum was right.
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
		first: loss.First, last: loss.Last, sum: checksum(body),
	}
	dst = append(appendHeader(dst, h, 0), body...)
	return appendHeader(dst, h, again)
}

// linesFrame returns what stands before and behind a journal frame's fragment
// and lines, one after the other.
func linesFrame(first, last uint64, lines, fragment []byte) (before, behind []byte, h header) {
	start := binary.AppendUvarint(nil, uint64(len(fragment)))
	h = header{
		kind: kindLines, length: uint32(len(start) + len(fragment) + len(lines)), count: uint32(last + 1 - first),
		first: first, last: last, sum: checksum(start, fragment, lines),
	}
	return append(appendHeader(nil, h, 0), start...), appendHeader(nil, h, again), h
}

// parseLines takes a journal frame's payload apart.
func parseLines(payload []byte) (lines, fragment []byte, ok bool) {
	n, used := binary.Uvarint(payload)
	if used <= 0 || n > uint64(len(payload)-used) {
		return nil, nil, false
	}
	return payload[used+int(n):], payload[used : used+int(n)], true
}

// state says how much of a frame is left.
type state int

const (
	intact  state = iota
	damaged       // the header is known, the payload is not to be used
	unknown       // bytes of no frame
)

// item is a piece of a file.
type item struct {
	state   state
	header  header // not of what is unknown
	offset  int64
	size    int64
	payload []byte // until the next item; of what is damaged, all that is there
}

// windowSize is how much of a file is read at once.
const windowSize = 64 << 10

// window is the piece of a file that is in memory. It moves forward only, so
// that reading takes time in proportion to the file, whatever is in it.
type window struct {
	file io.ReaderAt
	size int64  // of the file
	buf  []byte // what is in memory
	at   int64  // where in the file that begins
}

// bytes returns n bytes of the file, which are valid until the next call.
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

// rest returns what is in memory from there on: at least a header.
func (w *window) rest(from int64) ([]byte, error) {
	if _, err := w.bytes(from, headerSize); err != nil {
		return nil, err
	}
	return w.buf[from-w.at:], nil
}

// scan reads a file of so many bytes and hands its items to visit, in order.
// It returns where the file ends without the frame that was being written when
// a process died: that one was never acknowledged. Such a frame is cut short.
// Everything else that cannot be read was spoiled, and is an item.
func scan(f io.ReaderAt, size int64, visit func(item)) (end int64, err error) {
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
			if at, err = spoiled(w, at, visit); err != nil {
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
		if checksum(payload) != h.sum || !h.sound() {
			it.state = damaged
		}
		visit(it)
		at += h.size()
	}
	return size, nil
}

// spoiled hands on what lies from at, where no frame begins, to the next
// header, and returns where to go on.
func spoiled(w *window, at int64, visit func(item)) (int64, error) {
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
				visit(item{state: unknown, offset: at, size: start - at})
			}
			if behind {
				visit(item{state: damaged, header: h, offset: start, size: h.size()})
			}
			return next, nil
		}
		from += int64(len(buf)) - headerSize + 1 // a header may lie over the end
	}
	visit(item{state: unknown, offset: at, size: w.size - at})
	return w.size, nil
}
