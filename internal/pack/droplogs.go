package pack

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"kinetel/internal/config"
	"kinetel/internal/format"
	"kinetel/internal/ledger"
)

// LogDropper removes the droppable events from records when space runs out. Only
// one goroutine may use it at a time.
type LogDropper struct{ zip compressor }

// NewLogDropper returns a LogDropper that compresses the remaining events with c.
func NewLogDropper(c config.Compression) *LogDropper { return &LogDropper{compressor{kind: c}} }

// DropLogs drops the record's droppable events for the reason and returns a record
// of the others. It returns nil if there are no others, or if the record cannot be
// read, as with zstd. Then it drops the whole record.
func (d *LogDropper) DropLogs(r *Record, reason ledger.Reason) *Record {
	switch r.Droppable {
	case 0:
		return r
	case r.Events:
		r.Drop(reason)
		return nil
	}
	rest, losses, err := d.dropLogs(r, reason)
	if err != nil {
		r.Drop(reason)
		return nil
	}
	for _, loss := range losses {
		r.Environment.Ledger.Lost(loss)
	}
	return rest
}

// errOtherLines means that a record's lines are not those that its fields describe.
var errOtherLines = errors.New("the record's lines are not those that it says")

// dropLogs returns the record without its droppable events, and these as losses.
func (d *LogDropper) dropLogs(r *Record, reason ledger.Reason) (*Record, []ledger.Loss, error) {
	payload, err := decompress(r)
	if err != nil {
		return nil, nil, err
	}
	rest := &Record{PartitionKey: r.PartitionKey, Environment: r.Environment, Losses: r.Losses}
	var losses []ledger.Loss
	events, mismatch := 0, bytes.HasPrefix(payload, []byte(`{"schema"`)) && int64(len(payload)) != r.Lines
	kept, err := format.Filter(payload, func(seq uint64, droppable bool, size int) bool {
		mismatch = mismatch || seq < r.First || seq > r.Last
		events++
		if !droppable {
			if rest.Events++; rest.First == 0 {
				rest.First = seq
			}
			rest.Last = seq
			rest.Lines += int64(size)
			return true
		}
		losses = ledger.Append(losses, ledger.Loss{First: seq, Last: seq, Count: 1, Bytes: int64(size), Reason: reason})
		return false
	})
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("read a record back: %w", err)
	case mismatch || events != r.Events:
		return nil, nil, errOtherLines
	case rest.Events == 0:
		return nil, losses, nil
	}
	// An earlier process may have used another compression. Aggregates are never
	// compressed.
	if rest.Data = kept; !format.IsKPL(kept) {
		if rest.Data, err = d.zip.compress(kept); err != nil {
			return nil, nil, err
		}
	}
	return rest, losses, nil
}

// errNotReadable means a compression that this package writes but cannot read.
var errNotReadable = errors.New("the record is compressed with zstd, which is not read back")

// decompress returns a record's payload. It recognizes compressions by their first
// bytes (RFC 1952, RFC 8878). The binary has the standard library's gzip already,
// because net/http imports it. A zstd decoder would add 170 kB to the binary, for a
// case that may never occur.
func decompress(r *Record) ([]byte, error) {
	switch {
	case bytes.HasPrefix(r.Data, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(bytes.NewReader(r.Data))
		if err != nil {
			return nil, fmt.Errorf("decompress a record: %w", err)
		}
		// Lines take r.Lines bytes, and not much more in other formats.
		var payload bytes.Buffer
		payload.Grow(int(min(max(r.Lines, 0), MaxRecord)) + bytes.MinRead) // r.Lines comes from disk and can have any value
		if _, err := payload.ReadFrom(io.LimitReader(z, maxPayload+1)); err != nil {
			return nil, fmt.Errorf("decompress a record: %w", err)
		}
		if payload.Len() > maxPayload {
			return nil, errOtherLines
		}
		return payload.Bytes(), nil
	case bytes.HasPrefix(r.Data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return nil, errNotReadable
	}
	return r.Data, nil
}

// maxPayload is larger than any record of several events before compression.
const maxPayload = 4 * MaxRecord
