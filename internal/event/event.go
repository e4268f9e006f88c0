// Package event defines Event: an event of Lambda's Telemetry API, or one of Kinetel's
// own.
package event

import (
	"bytes"
	"time"
)

// Types of events that Kinetel handles specially, as Lambda spells them (AWS
// documentation, Telemetry API event schema reference).
const (
	TypePlatformStart       = "platform.start"
	TypePlatformRuntimeDone = "platform.runtimeDone"
	TypePlatformReport      = "platform.report"
	TypePlatformFault       = "platform.fault"
	TypePlatformLogsDropped = "platform.logsDropped"
	TypePlatformInitStart   = "platform.initStart"
	TypePlatformInitReport  = "platform.initReport"
	// SnapStart: the environment was restored from its snapshot.
	TypePlatformRestoreStart  = "platform.restoreStart"
	TypePlatformRestoreReport = "platform.restoreReport"
	// The init has ended; with SnapStart, before the snapshot.
	TypePlatformInitRuntimeDone = "platform.initRuntimeDone"
	// Events about extensions.
	TypePlatformExtension    = "platform.extension"
	TypePlatformSubscription = "platform.telemetrySubscription"
	// Lines of the function and of extensions.
	TypeFunction  = "function"
	TypeExtension = "extension"
)

// Types of events that Kinetel itself emits.
const (
	TypeEnvironment = "kinetel.environment" // what an environment's events have in common
	TypeLoss        = "kinetel.loss"        // events that were dropped after they had a number
	TypeInvocation  = "kinetel.invocation"  // an invocation as a whole
	TypeSpan        = "kinetel.span"        // the same, as an OTLP span
	TypeInit        = "kinetel.init"        // the init of a cold start, as an OTLP span
	TypeLimit       = "kinetel.limit"       // lines of an invocation beyond its limits, which were left out
	TypeReport      = "kinetel.report"      // Kinetel's own figures
	TypeUnparsed    = "kinetel.unparsed"    // text that Lambda sent and that is not an event
)

// TimeFormat is the shape of an event's time: UTC with milliseconds, as
// Lambda writes it.
const TimeFormat = "2006-01-02T15:04:05.000Z"

// Event is one event of the Telemetry API. Its byte slices point into the body
// that it came in: they are valid only until the function that received the Event
// returns. Copy them if you need them longer.
type Event struct {
	// Time is the event's time as Lambda wrote it (RFC 3339, UTC). It is empty if
	// Lambda gave none that can be parsed; then Received is used.
	Time []byte
	// Received is when the body arrived.
	Received time.Time
	// Type is Lambda's name of the event, the text between the quotes.
	Type []byte
	// Record is Lambda's record: one JSON value, unchanged. It is empty if there
	// was none.
	Record []byte
	// Extra has the members of the envelope that Kinetel does not know, as JSON
	// members without braces (`"a":1,"b":2`), so that they are not lost.
	Extra []byte

	platform *Platform // see Platform; nil: not read yet

	// Package annotate sets these. Empty, or 0, means not known.

	// RequestID is the invocation that the event belongs to.
	RequestID string
	// TraceID is that invocation's X-Ray trace: 1-, 8 hexadecimal digits, -,
	// and 24 more (AWS documentation, X-Ray tracing header).
	TraceID string
	// Severity is the severity in the line itself.
	Severity Severity
	// OTLP is only set for the format otlp.
	OTLP OTLP
}

// OTLP is what only the format otlp has a place for. Lines of kinetel/1 do not have it.
type OTLP struct {
	SeverityText   string // of the line's own logger; empty: the line has no severity, or none of a logger
	SeverityNumber uint8  // OpenTelemetry's, 1 to 24; 0: the line has no severity
	Span           *Span  // of the invocation; nil: not known, or there are no spans
}

// Span identifies the span of an invocation, by its platform.start.
type Span struct {
	Header []byte // X-Ray's; empty: there is none
	ID     []byte // 16 hexadecimal digits; empty: there is none
}

// At returns Lambda's time of the event, or, without one, when it was received.
func (e *Event) At() time.Time {
	if ms, ok := LambdaTime(e.Time); ok {
		return time.UnixMilli(ms).UTC()
	}
	var t time.Time
	if t.UnmarshalText(e.Time) != nil { // it allocates nothing for a valid time
		return e.Received
	}
	return t
}

// LambdaTime parses a time in TimeFormat, in a small part of the time that UnmarshalText
// takes. It returns milliseconds since 1970. ok is false for other times, and for the last
// days of months: UnmarshalText knows how long months are.
func LambdaTime(b []byte) (ms int64, ok bool) {
	if len(b) != len(TimeFormat) || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' || b[16] != ':' || b[19] != '.' || b[23] != 'Z' {
		return 0, false
	}
	var other byte // 10 or more if a byte is not a digit
	digit := func(i int) int64 {
		d := b[i] - '0'
		other = max(other, d)
		return int64(d)
	}
	two := func(i int) int64 { return 10*digit(i) + digit(i+1) }
	year, month, day := 100*two(0)+two(2), two(5), two(8)
	hour, minute, second, milli := two(11), two(14), two(17), 10*two(20)+digit(22)
	if other > 9 || month == 0 || month > 12 || day == 0 || day > 28 || hour > 23 || minute > 59 || second > 59 {
		return 0, false
	}
	return 86_400_000*daysSince1970(year, month, day) + 3_600_000*hour + 60_000*minute + 1000*second + milli, true
}

// daysSince1970 returns the number of a day of the Gregorian calendar. Its years begin in
// March, so that a leap day is the last day of a year.
func daysSince1970(year, month, day int64) int64 {
	if month < 3 {
		year, month = year-1, month+12
	}
	year += 400 // not negative; 146,097 days
	return 365*year + year/4 - year/100 + year/400 + (153*(month-3)+2)/5 + day - 1 - 146_097 - 719_468
}

// Droppable reports whether events of a type are dropped first if there is no room
// for all: lines of functions and extensions, and unparsed text. Platform events
// report what happened, and Kinetel's own events what is missing.
func Droppable(kind []byte) bool {
	own, ok := bytes.CutPrefix(kind, []byte("kinetel."))
	return ok && string(own) == "unparsed" || !ok && !bytes.HasPrefix(kind, []byte("platform."))
}
