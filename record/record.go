// Package record reads what Kinetel writes: it turns Kinesis records, and files of
// them, back into events.
//
//   - [Decode] reads one Kinesis record. [Events] reads a file of many, such as an
//     object that Firehose wrote to S3, in little memory.
//   - [Event.Key] is the name of an event. Kinesis can deliver a record twice, so drop
//     events whose key you have seen.
//   - [Join] and [Joiner] join large events that come in parts.
//   - [Event.Invocation], [Event.Loss], [Event.Report] and [Event.Environment] return
//     the bodies of Kinetel's own events.
//
// docs/format.md in the repository explains every member of an event, and which of them
// a later version of Kinetel may add.
package record

import (
	"bytes"
	"fmt"
	"io"
	"iter"

	kpl "github.com/kinetel/kinetel/internal/format/kpl/decode"
)

// The default limits of a [Decoder]. Every record that Kinetel writes is within them: it
// has at most 500 events, or one event whose POST had at most 16 MiB, which some formats
// double.
const (
	DefaultMaxBytes  = 40 << 20
	DefaultMaxEvents = 100_000
)

// Decoder reads records within limits, so that a small record cannot take a lot of
// memory. The zero value has the default limits.
//
// For any data, decoding a record allocates at most about five times MaxBytes, and 1,000
// bytes for each event and member that is allowed.
type Decoder struct {
	// MaxBytes is how many bytes a record may have after decompression; 0 means
	// DefaultMaxBytes. For Events it is how many bytes a line may have.
	MaxBytes int
	// MaxEvents is how many events a record may have. All their extras and
	// resources together may have as many members and 10,000 more. A resource that
	// is the same as that of the previous event does not count again. 0 means
	// DefaultMaxEvents. For Events these are the limits of a line: a line of OTLP, or
	// a record of the format cloudwatch or kpl, has many events.
	MaxEvents int
}

// Decode is [Decoder.Decode] with the default limits.
func Decode(data []byte) ([]Event, error) { return Decoder{}.Decode(data) }

// Events is [Decoder.Events] with the default limits.
func Events(r io.Reader) iter.Seq2[Event, error] { return Decoder{}.Events(r) }

// Decode reads the data of one Kinesis record in any of Kinetel's formats and
// compressions. It also accepts several concatenated records, and a single user record of
// an aggregate (kpl). Data without an event is an error. An error is an [*Error], and the
// events before it are returned with it.
//
// The format cloudwatch cannot represent all of an event; docs/format.md says what is
// missing.
func (d Decoder) Decode(data []byte) (events []Event, err error) {
	s := newStream(d, bytes.NewReader(data), func(e Event, failed error) bool {
		if failed != nil {
			err = failed
			return false
		}
		events = append(events, e)
		return true
	})
	s.whole = true
	if start := startOf(data); start == kpl.Start || nextStart(data) < 0 {
		s.start, s.text = start, data // it is not compressed: there is no need to copy it
		if s.split(true) == nil {
			_ = s.end()
		}
	} else {
		s.run()
	}
	if err == nil && len(events) == 0 {
		err = s.errorOf(errUnended)
	}
	return events, err
}

// Events reads concatenated records as they come from r, such as an object that
// Firehose wrote to S3. Formats and compressions may be mixed: each gzip member, each
// frame of zstd and each piece of plain text may have another format. The exception is an
// aggregate (kpl), whose end cannot be found: it has to be the last record. Of the data,
// Events has no more in memory than one line, or one record of the formats cloudwatch
// and kpl.
//
// An error comes with an empty Event, after all events before it, and you may continue
// after it. It is an [*Error] if data cannot be read:
//
//   - After a bad line, Events continues with the next line, or the next compressed
//     record if there is no line feed.
//   - After damage of compressed data, Events continues with what begins like the next
//     compressed record. Lines before the damage are events already.
//   - A last line or compressed record that is cut is an error that wraps
//     [io.ErrUnexpectedEOF].
//
// An error of r itself is passed on, and is the last. An empty r has no events and no
// error. You may stop at any time; Events starts no goroutines and does not close r.
func (d Decoder) Events(r io.Reader) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) { newStream(d, r, yield).run() }
}

func (d Decoder) tooLong() error {
	return fmt.Errorf("%w: more than %d bytes of lines", ErrLimit, d.MaxBytes)
}
