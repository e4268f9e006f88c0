package pack

import (
	"bytes"
	"compress/gzip"
	"io"

	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/formats"
	"github.com/kinetel/kinetel/internal/ledger"
)

// LogDropper removes the droppable events from records when space runs out. Only
// one goroutine may use it at a time.
type LogDropper struct{ zip compressor }

// NewLogDropper returns a LogDropper that compresses the remaining events with c.
func NewLogDropper(c format.Compression) *LogDropper { return &LogDropper{compressor{kind: c}} }

// DropLogs drops the record's droppable events for the reason and returns a record
// of the others. It returns nil if there are no others, or if the record cannot be
// read, as with zstd. Then it drops the whole record.
func (d *LogDropper) DropLogs(r *Record, reason ledger.Reason) *Record {
	if r.Droppable == 0 {
		return r
	}
	f := logFilter{from: r, reason: reason, rest: Record{PartitionKey: r.PartitionKey, Environment: r.Environment, Losses: r.Losses}}
	if r.Droppable == r.Events || !d.apply(&f) {
		r.Drop(reason)
		return nil
	}
	for _, loss := range f.losses {
		r.Environment.Ledger.Lost(loss)
	}
	if f.rest.Events == 0 {
		return nil
	}
	rest := f.rest // a pointer into f would keep the whole record in memory
	return &rest
}

// logFilter divides a record's events into those that are kept and those that are lost.
type logFilter struct {
	from    *Record
	reason  ledger.Reason
	rest    Record        // of the events that are kept
	losses  []ledger.Loss // of the others
	events  int           // all
	foreign bool          // one of them does not belong into the record
}

// keep reports whether an event is kept. size is that of its line.
func (f *logFilter) keep(seq uint64, droppable bool, size int) bool {
	f.events++
	f.foreign = f.foreign || seq < f.from.First || seq > f.from.Last
	if droppable {
		f.losses = ledger.Append(f.losses, ledger.Loss{First: seq, Last: seq, Count: 1, Bytes: int64(size), Reason: f.reason})
		return false
	}
	if f.rest.Events++; f.rest.First == 0 {
		f.rest.First = seq
	}
	f.rest.Last = seq
	f.rest.Lines += int64(size)
	return true
}

// apply filters the record. It returns false if the data cannot be read, or does not
// contain the lines that the record's fields describe.
func (d *LogDropper) apply(f *logFilter) bool {
	payload, ok := decompress(f.from)
	if !ok || bytes.HasPrefix(payload, []byte(`{"schema"`)) && int64(len(payload)) != f.from.Lines {
		return false
	}
	kept, err := formats.Filter(payload, f.keep)
	if err != nil || f.foreign || f.events != f.from.Events {
		return false
	}
	// An earlier process may have used another compression. Aggregates are never
	// compressed.
	if f.rest.Data = kept; f.rest.Events > 0 && !f.rest.Bound() {
		f.rest.Data, err = d.zip.compress(kept)
	}
	return err == nil
}

// maxPayload is larger than any record of several events before compression.
const maxPayload = 4 * MaxRecord

// decompress returns a record's payload. It recognizes compressions by their first
// bytes (RFC 1952, RFC 8878). The binary has the standard library's gzip already,
// because net/http imports it. A zstd decoder would add 170 kB to the binary, for a
// case that may never occur.
func decompress(r *Record) (payload []byte, ok bool) {
	switch {
	case bytes.HasPrefix(r.Data, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(bytes.NewReader(r.Data))
		if err != nil {
			return nil, false
		}
		// Lines take r.Lines bytes, and not much more in other formats.
		var payload bytes.Buffer
		payload.Grow(int(min(max(r.Lines, 0), MaxRecord)) + bytes.MinRead) // r.Lines comes from disk and can have any value
		_, err = payload.ReadFrom(io.LimitReader(z, maxPayload+1))
		return payload.Bytes(), err == nil && payload.Len() <= maxPayload
	case bytes.HasPrefix(r.Data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return nil, false // zstd
	}
	return r.Data, true
}
