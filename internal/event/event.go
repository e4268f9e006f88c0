// Package event defines the Event that flows down the pipeline.
package event

import (
	"bytes"
	"time"
)

// Types of events that something hangs on, as Lambda spells them
// (AWS documentation, Telemetry API event schema reference).
const (
	TypePlatformStart       = "platform.start"
	TypePlatformRuntimeDone = "platform.runtimeDone"
	TypePlatformReport      = "platform.report"
	TypePlatformLogsDropped = "platform.logsDropped"
	TypePlatformInitStart   = "platform.initStart"
	TypePlatformInitReport  = "platform.initReport"
	// SnapStart: the environment has been brought up from its snapshot.
	TypePlatformRestoreStart  = "platform.restoreStart"
	TypePlatformRestoreReport = "platform.restoreReport"
	// The init is over; with SnapStart, in the snapshot.
	TypePlatformInitRuntimeDone = "platform.initRuntimeDone"
	// What extensions do.
	TypePlatformExtension    = "platform.extension"
	TypePlatformSubscription = "platform.telemetrySubscription"
	// What the function writes, and what extensions write.
	TypeFunction  = "function"
	TypeExtension = "extension"
)

// Types of events that Kinetel itself puts into the stream.
const (
	TypeEnvironment = "kinetel.environment" // what an environment's events have in common
	TypeLoss        = "kinetel.loss"        // what was given up after it was numbered
	TypeInvocation  = "kinetel.invocation"  // an invocation as a whole
	TypeSpan        = "kinetel.span"        // the same, as the span that OTLP has for it
	TypeReport      = "kinetel.report"      // Kinetel's own figures
	TypeUnparsed    = "kinetel.unparsed"    // text that Lambda sent and that is no event
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

	// What annotate finds out. Empty, or 0, means that it is not known.

	// RequestID is the invocation that the event belongs to.
	RequestID string
	// TraceID is that invocation's X-Ray trace: 1-, 8 hexadecimal digits, -,
	// and 24 more (AWS documentation, X-Ray tracing header).
	TraceID string
	// Severity is what a line itself says of its severity.
	Severity Severity
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
func Droppable(kind []byte) bool {
	own, ok := bytes.CutPrefix(kind, []byte("kinetel."))
	return ok && string(own) == "unparsed" || !ok && !bytes.HasPrefix(kind, []byte("platform."))
}
