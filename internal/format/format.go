// Package format defines what an output format implements, and the line of kinetel/1,
// which all formats encode. Each format has a package of its own below this one;
// internal/format/formats lists them.
package format

import (
	"bytes"
	"errors"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// Name is the name of a format: a value of KINETEL_FORMAT.
type Name string

// Compression is how a record's payload is compressed: a value of
// KINETEL_COMPRESSION.
type Compression string

// The compressions.
const (
	Gzip         Compression = "gzip"
	Zstd         Compression = "zstd"
	Uncompressed Compression = "none"
)

// MaxRecord is the largest size of a record, data and partition key, that every
// stream accepts (Kinesis API reference, PutRecords).
const MaxRecord = 1 << 20

// ShortLine is the size of lines that fit into a record of every format, whatever they
// contain.
const ShortLine = 128 << 10

// Format is how lines become the payload of a record: its data before compression.
type Format struct {
	Name Name
	// Compressions are those that the format allows; the first is the default. If
	// there is only one, Why is the reason.
	Compressions []Compression
	Why          string
	// MaxLines bounds the bytes of a record's lines. So the record is within
	// MaxRecord even if its payload cannot be compressed, with any partition key and
	// with the overhead of the compression. A single line may be longer.
	MaxLines int
	// OneLine means that each line has a record of its own.
	OneLine bool
	// Apart reports whether lines of a type share no payload with those of which it
	// reports the contrary; nil: all may share one.
	Apart func(kind []byte) bool
	// HasKey means that the payload contains the record's partition key, which must
	// not change then.
	HasKey bool
	// Details means that Append needs what lines do not have: Line.Received and
	// Line.OTLP.
	Details bool
	// Append appends the payload of lines that come from ReadLine. Except for OneLine
	// and Apart they are any lines of the environment. Nil: the payload is the lines.
	Append func(dst []byte, env *environment.Environment, key string, lines []Line) []byte
	// Start is how each payload of the format begins.
	Start string
	// Filter returns a payload that Append wrote without the events that keep does
	// not want, or nil if no event remains. What all events of the payload share
	// stays.
	Filter func(payload []byte, keep Keep) ([]byte, error)
}

// Keep reports whether an event stays in a payload. It gets the event's number, whether
// the event is droppable, and how many bytes of the payload it takes: approximately,
// with lines exactly.
type Keep func(seq uint64, droppable bool, size int) bool

// ErrNotReadable means that no format of Kinetel's wrote the payload.
var ErrNotReadable = errors.New("not a payload that can be read back")

// FilterList is Filter for a payload with one list of events. The list begins after the
// first occurrence of start, which nothing before it can contain, and the payload ends
// with end. read returns what keep wants to know of an event.
func FilterList(payload []byte, start, end string, keep Keep, read func(event []byte) (seq uint64, droppable, ok bool)) (rest []byte, err error) {
	i := bytes.Index(payload, []byte(start))
	if i < 0 {
		return nil, ErrNotReadable
	}
	i += len(start)
	rest = append(rest, payload[:i]...)
	for kept := 0; ; i++ {
		next, err := jsontext.SkipValue(payload, i)
		if err != nil {
			return nil, ErrNotReadable
		}
		event := payload[i:next]
		seq, droppable, ok := read(event)
		if !ok {
			return nil, ErrNotReadable
		}
		if keep(seq, droppable, len(event)) {
			if kept++; kept > 1 {
				rest = append(rest, ',')
			}
			rest = append(rest, event...)
		}
		if i = next; i < len(payload) && payload[i] == ',' {
			continue
		}
		switch {
		case string(payload[i:]) != end:
			return nil, ErrNotReadable
		case kept == 0:
			return nil, nil
		}
		return append(rest, end...), nil
	}
}
