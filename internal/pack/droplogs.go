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

// Stripper takes the ordinary events out of records, where something has to be
// given up. It is used by one goroutine at a time.
type LogDropper struct{ zip compressor }

// NewStripper returns a Stripper that compresses what is left.
func NewLogDropper(c config.Compression) *LogDropper { return &LogDropper{compressor{kind: c}} }

// Strip gives the record's ordinary events up for the reason, and returns a
// record of the others; nil where there are none, or where the record cannot be
// read, as those of zstd: then all of it is given up.
func (s *LogDropper) DropLogs(r *Record, reason ledger.Reason) *Record {
	switch r.Droppable {
	case 0:
		return r
	case r.Events:
		r.Drop(reason)
		return nil
	}
	rest, lost, err := s.strip(r, reason)
	if err != nil {
		r.Drop(reason)
		return nil
	}
	for _, loss := range lost {
		r.Origin.Ledger.Lost(loss)
	}
	return rest
}

// errOtherLines means that a record does not hold what it says.
var errOtherLines = errors.New("the record's lines are not those that it says")

// strip returns the record without its ordinary events, and those as losses.
func (s *LogDropper) strip(r *Record, reason ledger.Reason) (*Record, []ledger.Loss, error) {
	payload, err := decompress(r)
	if err != nil {
		return nil, nil, err
	}
	rest := &Record{PartitionKey: r.PartitionKey, Origin: r.Origin, Losses: r.Losses}
	var lost []ledger.Loss
	events, odd := 0, bytes.HasPrefix(payload, []byte(`{"schema"`)) && int64(len(payload)) != r.Lines
	kept, err := format.Filter(payload, func(seq uint64, ordinary bool, size int) bool {
		odd = odd || seq < r.First || seq > r.Last
		events++
		if !ordinary {
			if rest.Events++; rest.First == 0 {
				rest.First = seq
			}
			rest.Last = seq
			rest.Lines += int64(size)
			return true
		}
		loss := ledger.Loss{First: seq, Last: seq, Count: 1, Bytes: int64(size), Reason: reason}
		if n := len(lost) - 1; n >= 0 && lost[n].Last+1 == seq {
			loss.First, loss.Count, loss.Bytes = lost[n].First, lost[n].Count+1, lost[n].Bytes+loss.Bytes
			lost[n] = loss
			return false
		}
		lost = append(lost, loss)
		return false
	})
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("read a record back: %w", err)
	case odd || events != r.Events:
		return nil, nil, errOtherLines
	case rest.Events == 0:
		return nil, lost, nil
	}
	// An earlier process may have had other settings; aggregates never have any.
	if rest.Data = kept; !format.IsKPL(kept) {
		if rest.Data, err = s.zip.compress(kept); err != nil {
			return nil, nil, err
		}
	}
	return rest, lost, nil
}

// errNotReadable means a compression that can be written only.
var errNotReadable = errors.New("the record is compressed with zstd, which is not read back")

// decompress returns a record's payload. It tells compressions apart by their
// first bytes (RFC 1952, RFC 8878). net/http has the standard library's gzip in
// the binary already; a decoder of zstd would cost it another 170 kB, for a
// moment that may never come.
func decompress(r *Record) ([]byte, error) {
	switch {
	case bytes.HasPrefix(r.Data, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(bytes.NewReader(r.Data))
		if err != nil {
			return nil, fmt.Errorf("decompress a record: %w", err)
		}
		// Lines take that much as they are, and in other formats not much more.
		var payload bytes.Buffer
		payload.Grow(int(min(max(r.Lines, 0), MaxRecord)) + bytes.MinRead) // what was on disk may say anything
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

// maxPayload is more than a record of several events takes before compression.
const maxPayload = 4 * MaxRecord
