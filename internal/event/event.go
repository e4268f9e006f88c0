// Package event defines the Event that flows down the pipeline.
package event

import (
	"bytes"
	"time"
)

// Types of events that lifecycle decisions hang on, as Lambda spells them
// (AWS documentation, Telemetry API event schema reference).
const (
	TypePlatformStart       = "platform.start"
	TypePlatformRuntimeDone = "platform.runtimeDone"
	TypePlatformReport      = "platform.report"
	TypePlatformLogsDropped = "platform.logsDropped"
	// SnapStart: the environment has been brought up from its snapshot.
	TypePlatformRestoreStart = "platform.restoreStart"
	// What extensions write.
	TypeExtension = "extension"
)

// Types of events that Kinetel itself puts into the stream.
const (
	TypeLoss       = "kinetel.loss"       // what was given up after it was numbered
	TypeInvocation = "kinetel.invocation" // an invocation as a whole
	TypeReport     = "kinetel.report"     // Kinetel's own figures
	TypeUnparsed   = "kinetel.unparsed"   // text that Lambda sent and that is no event
)

// TimeFormat is the shape of an event's time: UTC with milliseconds, as
// Lambda writes it.
const TimeFormat = "2006-01-02T15:04:05.000Z"

// Event is one event of the Telemetry API, cut out of the body that it came
// in. Its byte slices point into that body: they are valid only until the
// function that was handed the Event returns, and whoever needs them longer
// copies them.
type Event struct {
	// Time is the event's time as Lambda wrote it (RFC 3339, UTC), or empty
	// where Lambda gave none that can be read; then Received stands in.
	Time []byte
	// Received is when the body arrived.
	Received time.Time
	// Type is Lambda's own name of the event, the text between the quotes.
	Type []byte
	// Record is Lambda's record: one JSON value, untouched. Empty means that
	// there was none.
	Record []byte
	// Extra holds members of the envelope that Kinetel does not know, as
	// JSON members without braces (`"a":1,"b":2`), so that they are not lost.
	Extra []byte
}

// At returns the event's time: Lambda's own, or else when it was received.
func (e *Event) At() time.Time {
	if t, err := time.Parse(time.RFC3339, string(e.Time)); err == nil {
		return t
	}
	return e.Received
}

// Ordinary reports whether events of a type are the first to go where there is
// no room for all: lines that functions and extensions write. Platform events
// say what happened, and Kinetel's own say what is missing.
func Ordinary(kind []byte) bool {
	own, ok := bytes.CutPrefix(kind, []byte("kinetel."))
	return ok && string(own) == "unparsed" || !ok && !bytes.HasPrefix(kind, []byte("platform."))
}
