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

	"kinetel/internal/format"
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
	// Severity is what a line itself says of its severity: TRACE, DEBUG, INFO,
	// WARN, ERROR or FATAL; empty where it says nothing.
	Severity string `json:"severity,omitempty"`
	// RequestID is the invocation that the event belongs to, and TraceID that
	// one's X-Ray trace (1-5759e988-bd862e3fe1be46a994272793).
	RequestID string `json:"requestId,omitempty"`
	TraceID   string `json:"traceId,omitempty"`
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

// Decode reads the data of one Kinesis record, of any of Kinetel's formats and
// compressions, or several behind each other, as Firehose writes them; of
// aggregates also a single user record. Events that were read before an error come
// with it. Of the format cloudwatch, which has no place for all of an event,
// docs/records.md says what is not there.
func Decode(data []byte) ([]Event, error) {
	if format.IsKPL(data) {
		return decodeKPL(data)
	}
	text, err := decompress(data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoRecord, err)
	}
	switch {
	case bytes.HasPrefix(text, []byte(`{"messageType"`)):
		return decodeCloudWatch(text)
	case bytes.HasPrefix(text, []byte(`{"resourceLogs"`)), bytes.HasPrefix(text, []byte(`{"resourceSpans"`)):
		return decodeOTLP(text)
	}
	return decodeLines(text)
}

// decodeLines reads lines of kinetel/1.
func decodeLines(lines []byte) ([]Event, error) {
	// A line without an end is a user record of an aggregate, if it is alone.
	if n := len(lines); n == 0 || lines[n-1] != '\n' && (lines[0] != '{' || bytes.IndexByte(lines, '\n') >= 0) {
		return nil, fmt.Errorf("%w: the last line does not end", ErrNoRecord)
	}
	events := make([]Event, 0, min(maxEvents, bytes.Count(lines, []byte{'\n'})))
	for line := range bytes.Lines(lines) {
		e, err := decodeLine(line)
		if err != nil {
			return events, fmt.Errorf("%w: line %d: %w", ErrNoRecord, len(events)+1, err)
		}
		events = append(events, e)
	}
	return events, nil
}

func decodeLine(line []byte) (e Event, err error) {
	if err = json.Unmarshal(line, &e); err != nil {
		return e, err
	}
	if e.Schema != Schema {
		return e, fmt.Errorf("schema %q is not %s", e.Schema, Schema)
	}
	return e, nil
}

var errTooLong = fmt.Errorf("more than %d bytes of lines", maxLines)

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
	default:
		if len(data) > maxLines {
			return nil, errTooLong
		}
		return data, nil
	}
	lines, err := io.ReadAll(io.LimitReader(r, maxLines+1))
	if err != nil {
		return nil, err
	}
	if len(lines) > maxLines {
		return nil, errTooLong
	}
	return lines, nil
}
