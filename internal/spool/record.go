package spool

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io/fs"
	"slices"
	"unicode/utf8"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/seqrange"
)

// Ref is the place of a record on disk, and all of the record but its data and
// its key.
type Ref struct {
	Environment *environment.Environment
	First, Last uint64
	Losses      []ledger.Loss // that its lines report
	Lines       int64         // bytes before compression
	Events      int
	Droppable   int
	DataSize    int // bytes of data and partition key

	seg    *segment
	offset int64
	size   int32 // of the frame
	// adopted means that another process wrote it: Checker must validate it.
	adopted bool
	done    bool // guarded by the Spool's mu
}

// numbers returns the numbers from the first to the last of the record.
func (ref *Ref) numbers() seqrange.Range { return seqrange.Range{First: ref.First, Last: ref.Last} }

// Size returns the bytes that the record takes on disk.
func (ref *Ref) Size() int64 { return int64(ref.size) }

// Record returns the record without its data and its key, so that the caller can
// drop it.
func (ref *Ref) Record() *pack.Record {
	return &pack.Record{
		Environment: ref.Environment, First: ref.First, Last: ref.Last, Events: ref.Events,
		Droppable: ref.Droppable, Lines: ref.Lines, Losses: ref.Losses,
	}
}

// recordMeta is what a record's frame has besides its header and its data. The
// payload of the frame is the length of the recordMeta as a uvarint, the
// recordMeta as JSON, the checksum of these two, and the data.
type recordMeta struct {
	// The key is base64: JSON text cannot represent every key.
	PartitionKey []byte
	Droppable    int64
	Lines        int64
	Losses       []ledger.Loss
	// Reported is the serial number up to which the losses in the losses file
	// are reported by this record and earlier ones.
	Reported uint64
}

// json returns the recordMeta as JSON.
func (m *recordMeta) json() []byte {
	var losses [][]byte
	for _, l := range m.Losses {
		losses = append(losses, l.AppendJSON(nil))
	}
	o := jsontext.Object{OmitEmpty: true}
	o.String("partitionKey", base64.StdEncoding.EncodeToString(m.PartitionKey))
	o.Int("droppable", m.Droppable)
	o.Int("lines", m.Lines)
	o.Array("losses", losses)
	o.Uint("reported", m.Reported)
	return o.JSON()
}

// read reads what json has written.
func (m *recordMeta) read(text []byte) (ok bool) {
	ok = jsontext.IsObject(text)
	for member := jsontext.Members(text); ok && member.Next(); {
		switch string(member.Name) {
		case "partitionKey":
			var err error
			m.PartitionKey, err = base64.StdEncoding.AppendDecode(nil, jsontext.Unquoted(member.Value))
			ok = err == nil
		case "droppable":
			ok = jsontext.ReadInt(member.Value, &m.Droppable)
		case "lines":
			ok = jsontext.ReadInt(member.Value, &m.Lines)
		case "losses":
			m.Losses = nil
			e := jsontext.Elements(member.Value)
			for ok && e.Next() {
				var l ledger.Loss
				ok = readLoss(e.Value, &l)
				m.Losses = append(m.Losses, l)
			}
			ok = ok && e.Err == nil
		case "reported":
			ok = jsontext.ReadUint(member.Value, &m.Reported)
		}
	}
	return ok
}

// valid reports whether the fields make sense.
func (m *recordMeta) valid() bool {
	key := utf8.RuneCount(m.PartitionKey)
	return key > 0 && key <= 256 && utf8.Valid(m.PartitionKey) && m.Droppable >= 0 && m.Droppable <= pack.MaxEvents && m.Lines >= 0 && m.Lines <= maxBytes && m.Reported <= maxNumber &&
		len(m.Losses) <= pack.MaxEvents && !slices.ContainsFunc(m.Losses, func(l ledger.Loss) bool { return !valid(l) })
}

// recordFrame returns the frame of a record. reported is the serial number for
// its recordMeta.
func recordFrame(r *pack.Record, reported uint64) (frame, error) {
	all := recordMeta{PartitionKey: []byte(r.PartitionKey), Droppable: int64(r.Droppable), Lines: r.Lines, Losses: r.Losses, Reported: reported}
	meta := all.json()
	start := binary.AppendUvarint(nil, uint64(len(meta)))
	start = append(start, meta...)
	start = binary.LittleEndian.AppendUint32(start, checksum(start))
	f, ok := newFrame(header{kind: kindRecord, count: uint32(r.Events), first: r.First, last: r.Last}, start, r.Data)
	if !ok {
		return nil, fmt.Errorf("a record of %d bytes, with %d events from %d to %d, does not fit into a frame", len(r.Data), r.Events, r.First, r.Last)
	}
	return f, nil
}

// parseRecord splits a record's payload. The meta has its own checksum, which
// parseRecord verifies. The data is right only if the payload's checksum was.
func parseRecord(payload []byte) (meta recordMeta, data []byte, err error) {
	n, used := binary.Uvarint(payload)
	if used <= 0 || n > uint64(len(payload)-used) || uint64(len(payload)-used)-n < 4 {
		return recordMeta{}, nil, ErrCorrupt
	}
	end := used + int(n)
	data = payload[end+4:]
	if binary.LittleEndian.Uint32(payload[end:]) != checksum(payload[:end]) || !meta.read(payload[used:end]) ||
		!meta.valid() || len(data)+len(meta.PartitionKey) > pack.MaxRecord {
		return recordMeta{}, nil, ErrCorrupt
	}
	return meta, data, nil
}

// read reads a record, and checks that it is the one of the Ref.
func (s *Spool) read(ref *Ref) (*pack.Record, error) {
	if ref.seg.gone && ref.seg.file == nil {
		return nil, fs.ErrNotExist
	}
	text := make([]byte, ref.size)
	err := ref.seg.with(s.disk, toRead, func() error {
		_, err := ref.seg.file.ReadAt(text, ref.offset)
		return err
	})
	if err != nil {
		return nil, err
	}
	h, behind, ok := parseHeader(text[:headerSize])
	if !ok || behind || h.kind != kindRecord || h.size() != int64(ref.size) || h.first != ref.First || h.last != ref.Last {
		return nil, ErrCorrupt
	}
	payload := text[headerSize:][:h.length]
	meta, data, err := parseRecord(payload)
	if err != nil || checksum(payload) != h.crc {
		return nil, ErrCorrupt
	}
	r := ref.Record()
	r.Data, r.PartitionKey = data[:len(data):len(data)], string(meta.PartitionKey)
	if ref.adopted && s.opt.Check != nil && !s.opt.Check.Record(r) {
		return nil, ErrCorrupt
	}
	return r, nil
}
