package spool

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"kinetel/internal/ledger"
	"kinetel/internal/pack"
)

// recordMeta is what a record's frame has besides its header and its data. The
// payload of the frame is the length of the recordMeta as a uvarint, the
// recordMeta as JSON, the checksum of these two, and the data.
type recordMeta struct {
	// The key is base64: JSON text cannot represent every key.
	PartitionKey []byte        `json:"partitionKey,omitempty"`
	Droppable    int           `json:"droppable,omitempty"`
	Lines        int64         `json:"lines,omitempty"`
	Losses       []ledger.Loss `json:"losses,omitempty"`
	// Reported is the serial number up to which the losses in the losses file
	// are reported by this record and earlier ones.
	Reported uint64 `json:"reported,omitempty"`
}

// valid reports whether the fields make sense.
func (m *recordMeta) valid() bool {
	key := utf8.RuneCount(m.PartitionKey)
	return key > 0 && key <= 256 && utf8.Valid(m.PartitionKey) && m.Droppable >= 0 && m.Droppable <= pack.MaxEvents && m.Lines >= 0 && m.Lines <= maxBytes &&
		len(m.Losses) <= pack.MaxEvents && !slices.ContainsFunc(m.Losses, func(l ledger.Loss) bool { return !valid(l) })
}

// recordFrame returns the frame of a record. reported is the serial number for
// its recordMeta.
func recordFrame(r *pack.Record, reported uint64) (frame, error) {
	meta, err := json.Marshal(recordMeta{
		PartitionKey: []byte(r.PartitionKey), Droppable: r.Droppable, Lines: r.Lines, Losses: r.Losses, Reported: reported,
	})
	if err != nil {
		return nil, fmt.Errorf("write what is known of a record as JSON: %w", err)
	}
	start := binary.AppendUvarint(nil, uint64(len(meta)))
	start = append(start, meta...)
	start = binary.LittleEndian.AppendUint32(start, checksum(start))
	f, ok := newFrame(header{kind: kindRecord, count: uint32(r.Events), first: r.First, last: r.Last}, start, r.Data)
	if !ok {
		return nil, fmt.Errorf("a record of %d bytes, with %d events from %d to %d, does not fit into a frame", len(r.Data), r.Events, r.First, r.Last)
	}
	return f, nil
}

var errMeta = errors.New("what is known of the record is corrupt")

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
