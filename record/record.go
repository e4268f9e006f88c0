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

// What a [Decoder] reads of one record unless it is set to something else. Every
// record that Kinetel writes is within: at most 500 events, or one whose POST had
// at most 16 MiB, which some formats double.
const (
	DefaultMaxBytes  = 40 << 20
	DefaultMaxEvents = 100_000
)

// moreMembers is how many members extras and resources may have besides MaxEvents.
const moreMembers = 10_000

// maxWindow is how large a window of zstd may be. Kinetel's have 1 MiB; 8 MiB are
// what every decoder should take (RFC 8878, section 3.1.1.1.2).
const maxWindow = 8 << 20

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
	// Body is Lambda's record, untouched: not UTF-8 where Lambda's was not (the
	// line has the original in bodyBase64). In a part, a JSON string with a piece
	// of its text.
	Body json.RawMessage `json:"body"`
	// Extra holds members of Lambda's event that Kinetel does not know.
	Extra map[string]json.RawMessage `json:"extra,omitempty"`
	// Resource may be shared with other events of the record.
	Resource map[string]string `json:"resource"`
}

// Environment returns the id of the execution environment, within which Seq
// counts.
func (e Event) Environment() string { return e.Resource["faas.instance"] }

// ErrNoRecord means data that Kinetel did not write.
var ErrNoRecord = errors.New("not a record of Kinetel's")

// ErrLimit means data that holds more than a [Decoder] may read.
var ErrLimit = errors.New("more than the limits of the decoder allow")

// Decoder reads records within limits, so that a small record cannot take a lot of
// memory. The zero value has the defaults. Raise them for files in which many
// records stand behind each other, as Firehose writes them.
//
// Whatever the data is, decoding allocates at most about five times MaxBytes, and
// 1,000 bytes for each event and member that is allowed.
type Decoder struct {
	// MaxBytes is how many bytes a record may have after decompression; 0 means
	// DefaultMaxBytes.
	MaxBytes int
	// MaxEvents is how many events a record may have. All their extras and
	// resources together may have as many members and 10,000 more, where a
	// resource that is the same as that of the event before counts once. 0 means
	// DefaultMaxEvents.
	MaxEvents int
}

// Decode is the Decode of a Decoder with the default limits.
func Decode(data []byte) ([]Event, error) { return Decoder{}.Decode(data) }

// Decode reads the data of one Kinesis record, of any of Kinetel's formats and
// compressions, or several behind each other, as Firehose writes them; of
// aggregates also a single user record. Events that were read before an error come
// with it; it is an ErrNoRecord or an ErrLimit. Of the format cloudwatch, which
// has no place for all of an event, docs/records.md says what is not there.
func (d Decoder) Decode(data []byte) ([]Event, error) {
	if d.MaxBytes <= 0 {
		d.MaxBytes = DefaultMaxBytes
	}
	if d.MaxEvents <= 0 {
		d.MaxEvents = DefaultMaxEvents
	}
	r := decoding{Decoder: d}
	err := r.record(data)
	if err != nil && !errors.Is(err, ErrLimit) {
		err = fmt.Errorf("%w: %w", ErrNoRecord, err)
	}
	return r.events, err
}

// decoding is what was read of a record so far.
type decoding struct {
	Decoder
	events  []Event
	members int  // of extras and resources
	wire    wire // that is used again for each line

	// The resource that was read last, as text and as it was read.
	resourceText []byte
	resource     map[string]string
}

func (d *decoding) record(data []byte) error {
	if format.IsKPL(data) {
		if len(data) > d.MaxBytes {
			return d.tooLong()
		}
		return d.kpl(data)
	}
	text, err := d.decompress(data)
	if readErr := d.text(text, err != nil); err == nil {
		err = readErr
	}
	return err
}

// text reads what a record is before compression, or the beginning of it.
func (d *decoding) text(text []byte, cut bool) error {
	if bytes.HasPrefix(text, []byte(`{"messageType"`)) {
		return d.cloudWatch(text)
	}
	if cut {
		text = text[:bytes.LastIndexByte(text, '\n')+1] // whole lines
	}
	if bytes.HasPrefix(text, []byte(`{"resourceLogs"`)) || bytes.HasPrefix(text, []byte(`{"resourceSpans"`)) {
		return d.otlp(text)
	}
	return d.lines(text)
}

// append takes an event.
func (d *decoding) append(e Event) error {
	if len(d.events) == d.MaxEvents {
		return fmt.Errorf("%w: more than %d events", ErrLimit, d.MaxEvents)
	}
	d.events = append(d.events, e)
	return nil
}

func (d *decoding) tooLong() error {
	return fmt.Errorf("%w: more than %d bytes of lines", ErrLimit, d.MaxBytes)
}

// count counts the members of an object, before they take memory. The text is
// well-formed JSON.
func (d *decoding) count(object []byte) error {
	if len(object) == 0 || object[0] != '{' {
		return nil
	}
	return members(object, func(_, _ []byte) error { return d.countOne() })
}

// countOne counts a member.
func (d *decoding) countOne() error {
	if most := d.MaxEvents + moreMembers; d.members >= most {
		return fmt.Errorf("%w: more than %d members of extras and resources", ErrLimit, most)
	}
	d.members++
	return nil
}

// lines reads lines of kinetel/1.
func (d *decoding) lines(lines []byte) error {
	// A line without an end is a user record of an aggregate, if it is alone.
	if n := len(lines); n == 0 || lines[n-1] != '\n' && (lines[0] != '{' || bytes.IndexByte(lines, '\n') >= 0) {
		return errors.New("the last line does not end")
	}
	const shortest = len(`{"schema":"` + Schema + `"}`) // anything else is an error
	d.events = make([]Event, 0, min(d.MaxEvents, bytes.Count(lines, []byte{'\n'}), len(lines)/shortest))
	for line := range bytes.Lines(lines) {
		if err := d.line(line); err != nil {
			return fmt.Errorf("line %d: %w", len(d.events)+1, err)
		}
	}
	return nil
}

// line reads a line.
func (d *decoding) line(text []byte) error {
	w := &d.wire
	*w = wire{}
	if err := json.Unmarshal(text, w); err != nil {
		return err
	}
	if w.Schema != Schema {
		return fmt.Errorf("schema %q is not %s", w.Schema, Schema)
	}
	e, err := w.event(d)
	if err != nil {
		return err
	}
	return d.append(e)
}

// decompress tells compressions apart by their first bytes (RFC 1952, RFC 8878).
// With an error comes what was read before it.
func (d *decoding) decompress(data []byte) ([]byte, error) {
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
	// One byte more than the limit tells what is too long.
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
