// Package record reads what Kinetel writes: it turns the data of a Kinesis
// record back into events.
package record

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Schema is the shape of lines that this package reads.
const Schema = "kinetel/1"

// maxLines bounds what a record may expand to. Kinetel packs at most 1 MiB of
// lines, or one longer line that compresses to less than that.
const maxLines = 64 << 20

// maxEvents is how many events Kinetel puts into a record. Others may have more,
// but get no memory in advance.
const maxEvents = 500

// Event is one line of a record.
type Event struct {
	Schema string `json:"schema"`
	Seq    uint64 `json:"seq"`  // counts the environment's events from 1
	Time   string `json:"time"` // RFC 3339, UTC
	Type   string `json:"type"` // Lambda's own, or kinetel.…
	// Part counts, from 1, the Parts that an event too large for one record
	// comes in; both are 0 in an event that is whole. See [Join].
	Part  int `json:"part,omitempty"`
	Parts int `json:"parts,omitempty"`
	// Body is Lambda's record, untouched; in a part, a JSON string with a piece
	// of its text.
	Body json.RawMessage `json:"body"`
	// Extra holds members of Lambda's event that Kinetel does not know.
	Extra    map[string]json.RawMessage `json:"extra,omitempty"`
	Resource map[string]string          `json:"resource"`
}

// Environment returns the id of the execution environment, within which Seq
// counts.
func (e Event) Environment() string { return e.Resource["faas.instance"] }

// ErrNoRecord means data that Kinetel did not write.
var ErrNoRecord = errors.New("not a record of Kinetel's")

// Decode reads the data of one Kinesis record: lines of kinetel/1, compressed
// or not.
func Decode(data []byte) ([]Event, error) {
	lines, err := decompress(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoRecord, err)
	}
	if len(lines) == 0 || lines[len(lines)-1] != '\n' {
		return nil, fmt.Errorf("%w: the last line does not end", ErrNoRecord)
	}
	events := make([]Event, 0, min(maxEvents, bytes.Count(lines, []byte{'\n'})))
	for line := range bytes.Lines(lines) {
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			return events, fmt.Errorf("%w: line %d: %w", ErrNoRecord, len(events)+1, err)
		}
		if e.Schema != Schema {
			return events, fmt.Errorf("%w: line %d: schema %q is not %s", ErrNoRecord, len(events)+1, e.Schema, Schema)
		}
		events = append(events, e)
	}
	return events, nil
}

// decompress tells compressions apart by their first bytes (RFC 1952, RFC 8878).
func decompress(data []byte) ([]byte, error) {
	var r io.Reader = bytes.NewReader(data)
	switch {
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		r = z
	case bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxLines))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		r = z
	}
	lines, err := io.ReadAll(io.LimitReader(r, maxLines+1))
	if err != nil {
		return nil, err
	}
	if len(lines) > maxLines {
		return nil, fmt.Errorf("more than %d bytes of lines", maxLines)
	}
	return lines, nil
}
