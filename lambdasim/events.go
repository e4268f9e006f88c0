package lambdasim

import (
	"bytes"
	"encoding/json"
	"math"
	"time"
	"unicode/utf8"
)

// Event is a telemetry event, as the sandbox sends it to extensions.
type Event struct {
	// Number counts the sandbox's events from 1, in the order in which they are
	// emitted. A Delivery names events by it. It is not sent.
	Number uint64
	// Time is the time in the event, where it has milliseconds.
	Time time.Time
	// Type is "function", "extension", or one of the platform types.
	Type string
	// Record is the event's record; it shares memory with Raw.
	Record json.RawMessage
	// RequestID names the invocation to which the event belongs. A line that is
	// written between two invocations belongs to the earlier one. RequestID is
	// empty during Init (unless Init runs inside an invocation), a restore and the
	// shutdown. With Managed Instances only platform.start and platform.report
	// have it.
	RequestID string
	// Raw is the JSON object that is sent, byte by byte. If extensions use
	// different schema versions, it is that of 2025-01-29. You may keep it, but
	// not change it. If the function wrote bytes that are not UTF-8, Raw and
	// Record are not valid JSON.
	Raw []byte
	// Only is the name of the one extension that gets the event. It is set for
	// platform.logsDropped alone. Any other event is for all extensions that
	// subscribed to its type.
	Only string
	// DroppedFor names the extensions that do not get this event, because of
	// Config.TelemetryBacklogBytes.
	DroppedFor []string
}

// Types of platform events, as the AWS documentation's schema reference names
// them.
const (
	typeInitStart             = "platform.initStart"
	typeInitRuntimeDone       = "platform.initRuntimeDone"
	typeInitReport            = "platform.initReport"
	typeRestoreStart          = "platform.restoreStart"
	typeRestoreRuntimeDone    = "platform.restoreRuntimeDone"
	typeRestoreReport         = "platform.restoreReport"
	typeStart                 = "platform.start"
	typeRuntimeDone           = "platform.runtimeDone"
	typeReport                = "platform.report"
	typeExtension             = "platform.extension"
	typeTelemetrySubscription = "platform.telemetrySubscription"
	typeLogsDropped           = "platform.logsDropped"
	typeFunctionLine          = "function"
	typeExtensionLine         = "extension"
)

// stream is what a subscription asks for: a set of event types.
type stream uint8

const (
	streamPlatform stream = 1 << iota
	streamFunction
	streamExtension
)

// The schema versions, oldest first, index the encodings of an event.
const (
	schema20220701 = iota
	schema20221213
	schema20250129
	schemas
)

func schemaIndex(version string) (int, bool) {
	switch version {
	case Schema20220701:
		return schema20220701, true
	case Schema20221213:
		return schema20221213, true
	case Schema20250129:
		return schema20250129, true
	}
	return 0, false
}

// tracing is an event's trace context.
type tracing struct {
	SpanID string `json:"spanId,omitempty"`
	Type   string `json:"type"`
	Value  string `json:"value"`
}

type span struct {
	Name       string `json:"name"`
	Start      string `json:"start"`
	DurationMs millis `json:"durationMs"`
}

func newSpan(name string, start, end time.Time) span {
	return span{Name: name, Start: isoTime(start), DurationMs: toMillis(end.Sub(start))}
}

type initStartRecord struct {
	InitializationType InitializationType `json:"initializationType"`
	Phase              string             `json:"phase"`
	instanceRecord
}

// instanceRecord describes what was started, or restored.
type instanceRecord struct {
	FunctionName      string `json:"functionName,omitempty"`
	FunctionVersion   string `json:"functionVersion,omitempty"`
	InstanceID        string `json:"instanceId,omitempty"`
	InstanceMaxMemory int64  `json:"instanceMaxMemory,omitempty"` // bytes
	RuntimeVersion    string `json:"runtimeVersion,omitempty"`
	RuntimeVersionARN string `json:"runtimeVersionArn,omitempty"`
}

type initDoneRecord struct {
	InitializationType InitializationType `json:"initializationType"`
	Phase              string             `json:"phase"`
	Status             Status             `json:"status,omitempty"`
	ErrorType          string             `json:"errorType,omitempty"`
	Metrics            *durationMetrics   `json:"metrics,omitempty"`
}

type durationMetrics struct {
	DurationMs millis `json:"durationMs"`
}

// restoreDoneRecord is that of restoreRuntimeDone, and with metrics that of
// restoreReport.
type restoreDoneRecord struct {
	Status    Status           `json:"status"`
	ErrorType string           `json:"errorType,omitempty"`
	Metrics   *durationMetrics `json:"metrics,omitempty"`
}

type startRecord struct {
	RequestID   string   `json:"requestId"`
	Version     string   `json:"version"`
	FunctionARN string   `json:"functionArn,omitempty"` // Managed Instances
	TenantID    string   `json:"tenantId,omitempty"`
	Tracing     *tracing `json:"tracing,omitempty"`
}

type runtimeDoneRecord struct {
	RequestID string              `json:"requestId"`
	Status    Status              `json:"status"`
	ErrorType string              `json:"errorType,omitempty"`
	Metrics   *runtimeDoneMetrics `json:"metrics,omitempty"`
	Spans     []span              `json:"spans,omitempty"`
	TenantID  string              `json:"tenantId,omitempty"`
	Tracing   *tracing            `json:"tracing,omitempty"`
}

type runtimeDoneMetrics struct {
	DurationMs    millis `json:"durationMs"`
	ProducedBytes *int   `json:"producedBytes,omitempty"`
}

type reportRecord struct {
	RequestID string        `json:"requestId"`
	Status    Status        `json:"status"`
	ErrorType string        `json:"errorType,omitempty"`
	Metrics   reportMetrics `json:"metrics"`
	Spans     []span        `json:"spans,omitempty"`
	TenantID  string        `json:"tenantId,omitempty"`
	Tracing   *tracing      `json:"tracing,omitempty"`
}

type reportMetrics struct {
	DurationMs        millis  `json:"durationMs"`
	BilledDurationMs  int64   `json:"billedDurationMs"`
	MemorySizeMB      int     `json:"memorySizeMB"`
	MaxMemoryUsedMB   int     `json:"maxMemoryUsedMB"`
	InitDurationMs    *millis `json:"initDurationMs,omitempty"`
	RestoreDurationMs *millis `json:"restoreDurationMs,omitempty"` // SnapStart
}

// managedReportRecord is platform.report of Managed Instances.
type managedReportRecord struct {
	RequestID string          `json:"requestId"`
	Status    Status          `json:"status"`
	ErrorType string          `json:"errorType,omitempty"`
	Metrics   durationMetrics `json:"metrics"`
	Spans     []span          `json:"spans,omitempty"`
	TenantID  string          `json:"tenantId,omitempty"`
	Tracing   *tracing        `json:"tracing,omitempty"`
}

type extensionRecord struct {
	Name      string   `json:"name"`
	State     string   `json:"state"`
	Events    []string `json:"events"`
	ErrorType string   `json:"errorType,omitempty"`
}

type subscriptionRecord struct {
	Name  string   `json:"name"`
	State string   `json:"state"`
	Types []string `json:"types"`
}

type droppedRecord struct {
	DroppedBytes   int64  `json:"droppedBytes"`
	DroppedRecords int64  `json:"droppedRecords"`
	Reason         string `json:"reason"`
}

// encodeRecord encodes a platform record as the given schema version has it.
// The schema editions do not say which field came when; the AWS documentation
// of 2022-07-01 lacks the function's identity on initStart, and the status on
// initReport came with 2025-01-29.
func encodeRecord(record any, schema int) []byte {
	switch r := record.(type) {
	case initStartRecord:
		if schema == schema20220701 {
			r.FunctionName, r.FunctionVersion, r.InstanceID, r.InstanceMaxMemory = "", "", "", 0
		}
		record = r
	case initDoneRecord:
		if r.Metrics != nil && schema != schema20250129 {
			r.Status, r.ErrorType = "", ""
		}
		record = r
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(record); err != nil {
		// The records are this package's own plain structs: they encode.
		panic("lambdasim: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// millis is a duration in milliseconds with at most three decimals.
type millis float64

func toMillis(d time.Duration) millis {
	return millis(math.Round(float64(d)/float64(time.Microsecond)) / 1000)
}

// timeLayout is ISO 8601 in UTC with milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

func isoTime(t time.Time) string { return t.UTC().Format(timeLayout) }

// appendEnvelope appends an event up to and including `"record":`.
func appendEnvelope(dst []byte, stamp, eventType string) []byte {
	dst = append(dst, `{"time":"`...)
	dst = append(dst, stamp...)
	dst = append(dst, `","type":"`...)
	dst = append(dst, eventType...)
	return append(dst, `","record":`...)
}

const hexDigits = "0123456789abcdef"

// appendString appends text as a JSON string. Only what JSON requires is
// escaped: HTML is left alone. Bytes that are no UTF-8 stay as they are, or
// become U+FFFD each.
func appendString(dst, text []byte, replaceInvalid bool) []byte {
	replaceInvalid = replaceInvalid && !utf8.Valid(text)
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(text); {
		c := text[i]
		if c >= utf8.RuneSelf {
			if !replaceInvalid {
				i++
				continue
			}
			r, size := utf8.DecodeRune(text[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(dst, text[start:i]...)
				dst = append(dst, "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= ' ' && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = append(dst, text[start:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, `\u00`...)
			dst = append(dst, hexDigits[c>>4], hexDigits[c&15])
		}
		i++
		start = i
	}
	dst = append(dst, text[start:]...)
	return append(dst, '"')
}

// appendLogRecord appends the record of a line of output. Object records exist
// with the JSON log format, from schema 2022-12-13 on.
func appendLogRecord(dst, line []byte, stamp, requestID string, object, replaceInvalid bool) []byte {
	if !object {
		return appendString(dst, line, replaceInvalid)
	}
	if trimmed := bytes.TrimSpace(line); len(trimmed) > 0 && trimmed[0] == '{' && json.Valid(trimmed) {
		if replaceInvalid && !utf8.Valid(trimmed) {
			trimmed = bytes.ToValidUTF8(trimmed, []byte("\ufffd"))
		}
		return append(dst, trimmed...)
	}
	dst = append(dst, `{"timestamp":"`...)
	dst = append(dst, stamp...)
	dst = append(dst, `","level":"INFO"`...)
	if requestID != "" {
		dst = append(dst, `,"requestId":"`...)
		dst = append(dst, requestID...)
		dst = append(dst, '"')
	}
	dst = append(dst, `,"message":`...)
	dst = appendString(dst, line, replaceInvalid)
	return append(dst, '}')
}
