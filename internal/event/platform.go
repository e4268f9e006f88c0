package event

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/kinetel/kinetel/internal/jsontext"
)

// Platform is what Kinetel reads of a platform event's record (AWS documentation,
// Telemetry API event schema reference). A member that is missing, or has another
// type, is empty. Numbers are as Lambda wrote them.
type Platform struct {
	RequestID, TenantID string
	Status, ErrorType   string
	Metrics             Metrics
	ExtensionOverheadMs json.Number     // how long extensions ran after the runtime was done
	Tracing             json.RawMessage // the whole member
	Trace               string          // the X-Ray header in it

	// Of the init and the restore.
	InitializationType, Phase         string
	InstanceID                        string // the log stream's name
	RuntimeVersion, RuntimeVersionARN string
	FunctionARN                       string

	DroppedRecords, DroppedBytes json.Number // of platform.logsDropped
}

// Metrics are the metrics of an invocation.
type Metrics struct {
	DurationMs              json.Number `json:"durationMs,omitempty"`
	BilledDurationMs        json.Number `json:"billedDurationMs,omitempty"`
	InitDurationMs          json.Number `json:"initDurationMs,omitempty"`
	RestoreDurationMs       json.Number `json:"restoreDurationMs,omitempty"`
	BilledRestoreDurationMs json.Number `json:"billedRestoreDurationMs,omitempty"`
	MemorySizeMB            json.Number `json:"memorySizeMB,omitempty"`
	MaxMemoryUsedMB         json.Number `json:"maxMemoryUsedMB,omitempty"`
}

// AfterInit reports whether the metrics have the duration of an init or a restore.
func (m *Metrics) AfterInit() bool {
	return m.InitDurationMs != "" || m.RestoreDurationMs != "" || m.BilledRestoreDurationMs != ""
}

// Platform returns the values of a platform event's record. It reads the record at the
// first call only, so one goroutine at a time may call it. The result does not point
// into the record.
func (e *Event) Platform() *Platform {
	if e.platform == nil {
		e.platform = readPlatform(e.Record)
	}
	return e.platform
}

// ForgetPlatform releases the memory of what Platform has returned. The next call reads
// the record again.
func (e *Event) ForgetPlatform() { e.platform = nil }

func readPlatform(record []byte) *Platform {
	p := &Platform{}
	m := jsontext.Members(record)
	for m.Next() {
		var to *string // where a text goes
		switch string(m.Name) {
		case "requestId":
			to = &p.RequestID
		case "tenantId":
			to = &p.TenantID
		case "status":
			to = &p.Status
		case "errorType":
			to = &p.ErrorType
		case "metrics":
			p.Metrics = readMetrics(m.Value)
		case "spans":
			p.ExtensionOverheadMs = readOverhead(m.Value)
		case "tracing":
			p.Tracing, p.Trace = bytes.Clone(m.Value), text(jsontext.Member(m.Value, "value"))
		case "initializationType":
			to = &p.InitializationType
		case "phase":
			to = &p.Phase
		case "instanceId":
			to = &p.InstanceID
		case "runtimeVersion":
			to = &p.RuntimeVersion
		case "runtimeVersionArn":
			to = &p.RuntimeVersionARN
		case "functionArn":
			to = &p.FunctionARN
		case "droppedRecords":
			p.DroppedRecords = number(m.Value)
		case "droppedBytes":
			p.DroppedBytes = number(m.Value)
		}
		if to != nil {
			*to = text(m.Value)
		}
	}
	if m.Err != nil || jsontext.SkipSpace(record, m.End) < len(record) {
		return &Platform{} // not a JSON object
	}
	return p
}

func readMetrics(object []byte) (metrics Metrics) {
	for m := jsontext.Members(object); m.Next(); {
		var to *json.Number
		switch string(m.Name) {
		case "durationMs":
			to = &metrics.DurationMs
		case "billedDurationMs":
			to = &metrics.BilledDurationMs
		case "initDurationMs":
			to = &metrics.InitDurationMs
		case "restoreDurationMs":
			to = &metrics.RestoreDurationMs
		case "billedRestoreDurationMs":
			to = &metrics.BilledRestoreDurationMs
		case "memorySizeMB":
			to = &metrics.MemorySizeMB
		case "maxMemoryUsedMB":
			to = &metrics.MaxMemoryUsedMB
		}
		if to != nil {
			*to = number(m.Value)
		}
	}
	return metrics
}

// readOverhead returns the duration of the span extensionOverhead; empty: there is none.
func readOverhead(spans []byte) (ms json.Number) {
	for span := jsontext.Elements(spans); span.Next(); {
		if string(jsontext.Unquoted(jsontext.Member(span.Value, "name"))) == "extensionOverhead" {
			ms = number(jsontext.Member(span.Value, "durationMs"))
		}
	}
	return ms
}

// text returns the text of a JSON string, with U+FFFD for what is not Unicode; empty for
// any other value.
func text(value []byte) string {
	quoted := jsontext.Unquoted(value)
	if utf8.Valid(quoted) && bytes.IndexByte(quoted, '\\') < 0 {
		return string(quoted)
	}
	return string(jsontext.AppendUnescape(nil, jsontext.AppendValidUnicode(nil, quoted), -1))
}

// number returns a JSON number; empty for any other value, and for a number below zero,
// which is no duration, count or size.
func number(value []byte) json.Number {
	if len(value) > 0 && value[0] >= '0' && value[0] <= '9' {
		return json.Number(value)
	}
	return ""
}
