// Package record decodes the Kinesis records that Kinetel writes: it turns the data
// of a record back into events.
package record

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	cloudwatch "github.com/kinetel/kinetel/internal/format/cloudwatch/decode"
	"github.com/kinetel/kinetel/internal/format/decoding"
	kpl "github.com/kinetel/kinetel/internal/format/kpl/decode"
	ndjson "github.com/kinetel/kinetel/internal/format/ndjson/decode"
	otlp "github.com/kinetel/kinetel/internal/format/otlp/decode"
)

// Schema is the schema of the lines that this package reads.
const Schema = "kinetel/1"

// The default limits of a [Decoder] for one record. Every record that Kinetel writes
// is within them: it has at most 500 events, or one event whose POST had at most
// 16 MiB, which some formats double.
const (
	DefaultMaxBytes  = 40 << 20
	DefaultMaxEvents = 100_000
)

// moreMembers is how many members extras and resources may have in addition to
// MaxEvents.
const moreMembers = 10_000

// maxWindow is the largest window of zstd that is accepted. Kinetel uses 1 MiB. Every
// decoder should support 8 MiB (RFC 8878, section 3.1.1.1.2).
const maxWindow = 8 << 20

// Event is one line of a record.
type Event struct {
	Schema string `json:"schema"`
	Seq    uint64 `json:"seq"`  // counts the environment's events from 1
	Time   string `json:"time"` // RFC 3339, UTC
	Type   string `json:"type"` // Lambda's type, or kinetel.…
	// Severity is the severity that a log line itself states: TRACE, DEBUG, INFO,
	// WARN, ERROR or FATAL. It is empty if the line states none.
	Severity string `json:"severity,omitempty"`
	// RequestID is the request id of the invocation that the event belongs to.
	// TraceID is the invocation's X-Ray trace (1-5759e988-bd862e3fe1be46a994272793).
	RequestID string `json:"requestId,omitempty"`
	TraceID   string `json:"traceId,omitempty"`
	// An event that is too large for one record comes in Parts parts. Part is the
	// number of this one, from 1. Both are 0 in a whole event. See [Join].
	Part  int `json:"part,omitempty"`
	Parts int `json:"parts,omitempty"`
	// Body is Lambda's record, unchanged. It is not UTF-8 if Lambda's record was not
	// (the line has the original in bodyBase64). In a part, Body is a JSON string with
	// a piece of the record's text.
	Body json.RawMessage `json:"body"`
	// Extra holds members of Lambda's event that Kinetel does not know.
	Extra map[string]json.RawMessage `json:"extra,omitempty"`
	// Resource may be shared with other events of the record.
	Resource map[string]string `json:"resource"`
}

// Environment returns the id of the execution environment, whose events Seq counts.
func (e Event) Environment() string { return e.Resource["service.instance.id"] }

// MarshalJSON encodes an event as a line, in valid UTF-8. If the body is not valid, the
// line has bodyBase64.
func (e Event) MarshalJSON() ([]byte, error) { return ndjson.Marshal(decoding.Event(e)) }

// UnmarshalJSON decodes the output of MarshalJSON, and lines.
func (e *Event) UnmarshalJSON(text []byte) error {
	read, err := ndjson.Unmarshal(text)
	if err == nil {
		*e = Event(read)
	}
	return err
}

// ErrNoRecord means that Kinetel did not write the data.
var ErrNoRecord = errors.New("not a record of Kinetel's")

// ErrLimit means that the data exceeds the limits of a [Decoder].
var ErrLimit = decoding.ErrLimit

// Decoder decodes records within limits, so that a small record cannot take a lot of
// memory. The zero value has the default limits. Raise them for files of many
// concatenated records, as Firehose writes them.
//
// For any data, decoding allocates at most about five times MaxBytes, and 1,000 bytes
// for each event and member that is allowed.
type Decoder struct {
	// MaxBytes is how many bytes a record may have after decompression; 0 means
	// DefaultMaxBytes.
	MaxBytes int
	// MaxEvents is how many events a record may have. All their extras and
	// resources together may have as many members and 10,000 more. A resource that
	// is the same as that of the previous event does not count again. 0 means
	// DefaultMaxEvents.
	MaxEvents int
}

// Decode is [Decoder.Decode] with the default limits.
func Decode(data []byte) ([]Event, error) { return Decoder{}.Decode(data) }

// Decode decodes the data of one Kinesis record in any of Kinetel's formats and
// compressions. It also accepts several concatenated records, as Firehose writes them,
// and a single user record of an aggregate. An error is an [ErrNoRecord] or an
// [ErrLimit]; Decode returns the events before the error with it. The format
// cloudwatch cannot represent all of an event; docs/format.md says what is missing.
func (d Decoder) Decode(data []byte) ([]Event, error) {
	if d.MaxBytes <= 0 {
		d.MaxBytes = DefaultMaxBytes
	}
	if d.MaxEvents <= 0 {
		d.MaxEvents = DefaultMaxEvents
	}
	var events []Event
	err := d.decode(data, &decoding.Output{
		MaxEvents: d.MaxEvents, MaxMembers: d.MaxEvents + moreMembers,
		Add: func(e decoding.Event) { events = append(events, Event(e)) },
	})
	if err != nil && !errors.Is(err, ErrLimit) {
		err = fmt.Errorf("%w: %w", ErrNoRecord, err)
	}
	return events, err
}

// decoders returns the decoders by how the text of a record begins, after
// decompression. The last one reads everything else.
func decoders() []decoder {
	return []decoder{
		{`{"messageType"`, cloudwatch.Decode, false},
		{`{"resourceLogs"`, otlp.Decode, true},
		{`{"resourceSpans"`, otlp.Decode, true},
		{``, ndjson.Decode, true},
	}
}

type decoder struct {
	start  string
	decode func(text []byte, out *decoding.Output) error
	lines  bool // of text that is cut, only whole lines can be read
}

func (d Decoder) decode(data []byte, out *decoding.Output) error {
	if bytes.HasPrefix(data, []byte(kpl.Start)) { // aggregates are never compressed
		if len(data) > d.MaxBytes {
			return d.tooLong()
		}
		return kpl.Decode(data, out)
	}
	text, err := d.decompress(data)
	for _, f := range decoders() {
		if !bytes.HasPrefix(text, []byte(f.start)) {
			continue
		}
		if err != nil && f.lines {
			text = text[:bytes.LastIndexByte(text, '\n')+1]
		}
		if readErr := f.decode(text, out); err == nil {
			err = readErr
		}
		break
	}
	return err
}

func (d Decoder) tooLong() error {
	return fmt.Errorf("%w: more than %d bytes of lines", ErrLimit, d.MaxBytes)
}

// decompress decompresses a record. It recognizes compressions by their first bytes
// (RFC 1952, RFC 8878). With an error it returns the data before the error.
func (d Decoder) decompress(data []byte) ([]byte, error) {
	var r io.Reader = bytes.NewReader(data)
	switch {
	case bytes.HasPrefix(data, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		r = z
	case bytes.HasPrefix(data, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		r = z
	default:
		if len(data) > d.MaxBytes {
			return data[:d.MaxBytes], d.tooLong()
		}
		return data, nil
	}
	// Read one byte more than the limit, to detect data that is too long.
	text := make([]byte, 0, min(8*len(data), d.MaxBytes+1))
	for len(text) <= d.MaxBytes {
		if len(text) == cap(text) {
			more := min(max(cap(text), bytes.MinRead), d.MaxBytes+1-len(text))
			text = append(make([]byte, 0, len(text)+more), text...)
		}
		n, err := r.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		if err != nil && len(text) <= d.MaxBytes {
			if err == io.EOF {
				err = nil
			}
			return text, err
		}
	}
	return text[:d.MaxBytes], d.tooLong()
}
