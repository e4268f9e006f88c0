package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/kinetel/kinetel/internal/jsontext"
)

// The structs of this file have the members of docs/format.md and of the JSON Schema.
// Those with omitempty are optional. A test compares them with the schema.

// Invocation is the body of kinetel.invocation and kinetel.span. Optional members that
// are absent are empty or 0. Members that a later version of Kinetel adds are only in the
// event's Body.
type Invocation struct {
	RequestID string  `json:"requestId"`
	ARN       string  `json:"invokedArn,omitempty"` // by which the function was invoked
	TenantID  string  `json:"tenantId,omitempty"`
	Status    string  `json:"status,omitempty"` // Lambda's: success, error, failure or timeout
	ErrorType string  `json:"errorType,omitempty"`
	Metrics   Metrics `json:"metrics"`
	// ColdStart reports whether the invocation waited for an init or a restore. It is
	// nil if no platform.report came.
	ColdStart           *bool           `json:"coldStart,omitempty"`
	InitType            string          `json:"initType,omitempty"` // such as on-demand
	Start               time.Time       `json:"start,omitzero"`     // of its platform.start
	Tracing             json.RawMessage `json:"tracing,omitempty"`  // of its platform.start
	ExtensionOverheadMs float64         `json:"extensionOverheadMs,omitempty"`
	// Events is how many events with numbers from FirstSeq to LastSeq belong to the
	// invocation. Bytes are those of their records, after redaction.
	Events   int64  `json:"events,omitempty"`
	Bytes    int64  `json:"bytes,omitempty"`
	FirstSeq uint64 `json:"firstSeq,omitempty"`
	LastSeq  uint64 `json:"lastSeq,omitempty"`
	// HeldMs is how long Kinetel held the environment, and Hold why or why not, such as
	// rare or busy.
	HeldMs     float64 `json:"heldMs,omitempty"`
	Hold       string  `json:"hold,omitempty"`
	Unreported bool    `json:"unreported,omitempty"` // no platform.report came

	// SampleRate is the share of ordinary invocations that sampling keeps, and Sampled
	// why it kept this one, such as SampledShare. They are nil and empty if it is off.
	SampleRate *float64 `json:"sampleRate,omitempty"`
	Sampled    string   `json:"sampled,omitempty"`
	LeftOut    LeftOut  `json:"leftOut,omitzero"`
}

// Limit is the body of kinetel.limit: lines of an invocation that its limits left out. They
// were between the lines before and after this event.
type Limit struct {
	RequestID string `json:"requestId"`
	Events    int64  `json:"events"`
	Bytes     int64  `json:"bytes"`              // of their records
	MaxLines  int64  `json:"maxLines,omitempty"` // KINETEL_MAX_LINES; 0: not set
	MaxBytes  int64  `json:"maxBytes,omitempty"` // KINETEL_MAX_BYTES; 0: not set
}

// Init is the body of kinetel.init: the init of a cold start.
type Init struct {
	Phase     string      `json:"phase"`               // init, or invoke after a reset
	Status    string      `json:"status,omitempty"`    // Lambda's: success, error, failure or timeout
	ErrorType string      `json:"errorType,omitempty"` // Lambda's
	Metrics   InitMetrics `json:"metrics"`
	ColdStart bool        `json:"coldStart"` // always true
	InitType  string      `json:"initType,omitempty"`
	Start     time.Time   `json:"start,omitzero"` // of platform.initStart
}

// InitMetrics are the metrics of an init.
type InitMetrics struct {
	DurationMs float64 `json:"durationMs"` // from platform.initStart to platform.initRuntimeDone
}

// Metrics are Lambda's metrics of an invocation, in milliseconds and MB. Those that
// Lambda does not report are 0.
type Metrics struct {
	DurationMs              float64 `json:"durationMs,omitempty"`
	BilledDurationMs        float64 `json:"billedDurationMs,omitempty"`
	InitDurationMs          float64 `json:"initDurationMs,omitempty"`
	RestoreDurationMs       float64 `json:"restoreDurationMs,omitempty"`
	BilledRestoreDurationMs float64 `json:"billedRestoreDurationMs,omitempty"`
	MemorySizeMB            float64 `json:"memorySizeMB,omitempty"`
	MaxMemoryUsedMB         float64 `json:"maxMemoryUsedMB,omitempty"`
}

// Loss is the body of kinetel.loss: of the events FirstSeq to LastSeq, Count were dropped.
// The others arrived, or another Loss reports them.
type Loss struct {
	FirstSeq uint64 `json:"firstSeq"`
	LastSeq  uint64 `json:"lastSeq"`
	Count    int64  `json:"count"`
	Bytes    int64  `json:"bytes"`  // of their lines, before compression
	Reason   string `json:"reason"` // such as LossBufferFull
}

// Report is the body of kinetel.report: what became of all events that a process of
// Kinetel received. In events, Received + Own + Parts + Recovered = Shipped + Waiting + all
// of Lost + all of LeftOut.
type Report struct {
	Final     bool  `json:"final"`     // the process ends with it
	UptimeMs  int64 `json:"uptimeMs"`  // of the process
	Received  Count `json:"received"`  // from Lambda
	Own       int64 `json:"own"`       // events of Kinetel itself
	Parts     int64 `json:"parts"`     // how many more numbers events in parts took than events
	Recovered int64 `json:"recovered"` // events that earlier processes of the environment left

	Shipped Volume           `json:"shipped"` // Kinesis has it; bytes as Kinesis counts them
	Lost    map[string]int64 `json:"lost"`    // events by reason, such as LossBufferFull
	Waiting int64            `json:"waiting"` // events in memory or on disk
	Spooled Volume           `json:"spooled"` // of these, on disk; bytes of all files

	Requests     int64     `json:"requests"`     // calls of PutRecords
	Retried      int64     `json:"retried"`      // records that were sent again
	Unknown      int64     `json:"unknown"`      // requests without an answer
	PutLatencyMs Quantiles `json:"putLatencyMs"` // of requests
	Held         Held      `json:"held"`

	LeftOut LeftOut `json:"leftOut"`
	// Redacted counts the values that were replaced, by the name of the pattern.
	Redacted    map[string]int64 `json:"redacted,omitempty"`
	LogsDropped Dropped          `json:"logsDropped"`
}

// Count counts events and the bytes of their records as Lambda sent them.
type Count struct {
	Events int64 `json:"events"`
	Bytes  int64 `json:"bytes"`
}

// Volume is an amount of events in records.
type Volume struct {
	Events  int64 `json:"events"`
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
}

// Quantiles are in milliseconds: two of the last 128 values, and the largest of all.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Held is how long invocations were held after their runtime was done.
type Held struct {
	Invocations int64     `json:"invocations"` // all
	Held        int64     `json:"held"`        // of these, those that were held
	Ms          Quantiles `json:"ms"`          // of all
}

// LeftOut counts events that Lambda sent and that are not shipped although nothing failed,
// by reason. They have no number.
type LeftOut struct {
	OwnLog         int64 `json:"ownLog,omitempty"`         // lines of Kinetel's own log
	Redaction      int64 `json:"redaction,omitempty"`      // lines that could not be redacted
	PlatformEvents int64 `json:"platformEvents,omitempty"` // not in KINETEL_PLATFORM_EVENTS
	Level          int64 `json:"level,omitempty"`          // below KINETEL_LEVEL
	Exclude        int64 `json:"exclude,omitempty"`        // match KINETEL_EXCLUDE
	Include        int64 `json:"include,omitempty"`        // do not match KINETEL_INCLUDE
	MaxLines       int64 `json:"maxLines,omitempty"`       // beyond KINETEL_MAX_LINES
	MaxBytes       int64 `json:"maxBytes,omitempty"`       // beyond KINETEL_MAX_BYTES
	SampledOut     int64 `json:"sampledOut,omitempty"`     // of invocations that KINETEL_SAMPLE left out
}

// Total returns the sum of all reasons.
func (l LeftOut) Total() int64 {
	return l.OwnLog + l.Redaction + l.PlatformEvents + l.Level + l.Exclude + l.Include + l.MaxLines + l.MaxBytes + l.SampledOut
}

// Dropped is the sum of Lambda's platform.logsDropped events. It is a minimum.
type Dropped struct {
	Times   int64 `json:"times"` // how many of these events came
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
}

// Environment is the body of kinetel.environment: what the resource of each event does not
// say about an execution environment. Optional members that are absent are empty. Members
// that a later version of Kinetel adds are only in the event's Body.
type Environment struct {
	Kinetel  Settings  `json:"kinetel"`
	Problems []Problem `json:"problems,omitempty"`

	InitializationType string `json:"initializationType,omitempty"` // such as on-demand
	FunctionVersion    string `json:"functionVersion,omitempty"`
	Handler            string `json:"handler,omitempty"`
	RuntimeVersion     string `json:"runtimeVersion,omitempty"`
	RuntimeVersionARN  string `json:"runtimeVersionArn,omitempty"`

	Attributes Attributes `json:"attributes"`
}

// Settings are Kinetel's version and its settings, as docs/configuration.md explains
// them.
type Settings struct {
	Version         string   `json:"version"`
	Format          string   `json:"format"`
	Compression     string   `json:"compression"`
	PartitionKey    string   `json:"partitionKey"`
	Flush           string   `json:"flush"`
	FlushIntervalMs int64    `json:"flushIntervalMs"`
	MaxHoldMs       int64    `json:"maxHoldMs"`
	BufferBytes     int64    `json:"bufferBytes"`
	Spool           string   `json:"spool"`
	SpoolBytes      int64    `json:"spoolBytes"`
	Types           []string `json:"types"` // of telemetry: platform, function, extension
	Report          []string `json:"report"`

	// Settings of selection and redaction are absent at their defaults.
	Level             string   `json:"level,omitempty"`   // of function lines, such as SeverityWarn
	Include           string   `json:"include,omitempty"` // a regular expression, as is Exclude
	Exclude           string   `json:"exclude,omitempty"`
	PlatformEvents    []string `json:"platformEvents,omitempty"`
	Sample            *float64 `json:"sample,omitempty"`     // the share of ordinary invocations that are kept
	SampleBy          string   `json:"sampleBy,omitempty"`   // trace, if all functions of a trace decide alike
	SampleKeep        string   `json:"sampleKeep,omitempty"` // invocations that are always kept, such as error,slow:500ms
	MaxLines          int64    `json:"maxLines,omitempty"`   // of an invocation
	MaxBytes          int64    `json:"maxBytes,omitempty"`
	Redact            []string `json:"redact,omitempty"`            // built-in patterns, such as email, and pattern or keys for the user's own
	RedactionUnusable bool     `json:"redactionUnusable,omitempty"` // no function or extension line is shipped
}

// Problem is a variable of Kinetel that cannot be used.
type Problem struct {
	Severity string `json:"severity"` // SeverityError, or SeverityWarn if it has no effect
	Variable string `json:"variable"`
	Value    string `json:"value,omitempty"` // empty if it may be a secret
	Used     string `json:"used,omitempty"`  // the value that is used in its place
	Message  string `json:"message"`
}

// Attributes are more attributes of OpenTelemetry's resource.
type Attributes struct {
	CloudPlatform   string   `json:"cloud.platform"`
	CloudResourceID string   `json:"cloud.resource_id,omitempty"` // the ARN of the function's version
	MaxMemory       int64    `json:"faas.max_memory,omitempty"`   // in bytes
	HostArch        string   `json:"host.arch"`                   // amd64 or arm64
	LogGroupNames   []string `json:"aws.log.group.names,omitempty"`
	LogStreamNames  []string `json:"aws.log.stream.names,omitempty"`
}

// Invocation returns the body of a kinetel.invocation or kinetel.span. The error is an
// [ErrType] or an [ErrBody].
func (e Event) Invocation() (Invocation, error) {
	return bodyOf[Invocation](e, nil, TypeInvocation, TypeSpan)
}

// Init returns the body of a kinetel.init. The error is an [ErrType] or an [ErrBody].
func (e Event) Init() (Init, error) { return bodyOf[Init](e, nil, TypeInit) }

// Limit returns the body of a kinetel.limit. The error is an [ErrType] or an [ErrBody].
func (e Event) Limit() (Limit, error) { return bodyOf[Limit](e, nil, TypeLimit) }

// Loss returns the body of a kinetel.loss. The error is an [ErrType] or an [ErrBody].
func (e Event) Loss() (Loss, error) { return bodyOf(e, Loss.check, TypeLoss) }

// Report returns the body of a kinetel.report. The error is an [ErrType] or an [ErrBody].
func (e Event) Report() (Report, error) { return bodyOf[Report](e, nil, TypeReport) }

// Environment returns the body of a kinetel.environment. The error is an [ErrType] or an
// [ErrBody].
func (e Event) Environment() (Environment, error) {
	return bodyOf[Environment](e, nil, TypeEnvironment)
}

func (l Loss) check() error {
	switch {
	case l.FirstSeq == 0 || l.LastSeq < l.FirstSeq:
		return fmt.Errorf("firstSeq is %d and lastSeq %d; they must be 1 or more, in this order", l.FirstSeq, l.LastSeq)
	case l.Count < 1:
		return fmt.Errorf("count is %d; it must be 1 or more", l.Count)
	}
	return nil
}

// bodyOf returns the body of an event that has one of the types. check may be nil.
func bodyOf[T any](e Event, check func(T) error, types ...string) (body T, err error) {
	if !slices.Contains(types, e.Type) {
		return body, fmt.Errorf("%w: %v is a %s, not a %s", ErrType, e.Key(), e.Type, strings.Join(types, " or a "))
	}
	if e.Parts > 0 {
		err = fmt.Errorf("it is only part %d of %d; join them first", e.Part, e.Parts)
	}
	if err == nil {
		err = json.Unmarshal(e.Body, &body)
	}
	if err == nil {
		err = missing(e.Body, reflect.TypeFor[T]())
	}
	if err == nil && check != nil {
		err = check(body)
	}
	if err != nil {
		return *new(T), fmt.Errorf("%w: %s, %v: %w", ErrBody, e.Type, e.Key(), err)
	}
	return body, nil
}

// missing returns an error if an object does not have all members that are required.
func missing(object []byte, t reflect.Type) error {
	if t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct {
		for each := jsontext.Elements(object); each.Next(); {
			if err := missing(each.Value, t.Elem()); err != nil {
				return err
			}
		}
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[time.Time]() {
		return nil
	}
	for i := range t.NumField() {
		name, optional, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		value := jsontext.Member(object, name)
		switch {
		case len(value) > 0 && string(value) != "null":
			if err := missing(value, t.Field(i).Type); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		case optional == "":
			return errors.New(name + " is missing")
		}
	}
	return nil
}
