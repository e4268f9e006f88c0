package record

import (
	"errors"

	"github.com/kinetel/kinetel/internal/format/decoding"
)

var (
	// ErrNotRecord means that the data is damaged, or that Kinetel did not write it.
	ErrNotRecord = errors.New("not a record of Kinetel's")
	// ErrLimit means that the data exceeds the limits of a [Decoder].
	ErrLimit = decoding.ErrLimit
	// ErrType means that an event is of another type than the body that you asked for.
	ErrType = errors.New("another type of event")
	// ErrBody means that the body of one of Kinetel's own events is not as Kinetel
	// writes it, or that it is only a part.
	ErrBody = errors.New("not a body of Kinetel's")
)

// Error is what [Decode] and [Events] return for data that they cannot read. It wraps
// [ErrNotRecord] or [ErrLimit].
//
// If the data ends in the middle of a record, it wraps [io.ErrUnexpectedEOF] as well.
type Error struct {
	// Offset is the position of the line that cannot be read, in bytes after
	// decompression. If the compressed data is damaged, it is where the text before
	// the damage ends.
	Offset int64
	// Events is how many events were read before.
	Events int
	// Err is ErrNotRecord or ErrLimit, with the place and what is wrong.
	Err error
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }
