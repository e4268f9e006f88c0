package event

import (
	"bytes"
	"encoding/json"

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
	DurationMs, BilledDurationMs               json.Number
	InitDurationMs                             json.Number
	RestoreDurationMs, BilledRestoreDurationMs json.Number
	MemorySizeMB, MaxMemoryUsedMB              json.Number
}

// member returns the field of the member with that name; nil: there is none.
func (m *Metrics) member(name string) *json.Number {
	switch name {
	case "durationMs":
		return &m.DurationMs
	case "billedDurationMs":
		return &m.BilledDurationMs
	case "initDurationMs":
		return &m.InitDurationMs
	case "restoreDurationMs":
		return &m.RestoreDurationMs
	case "billedRestoreDurationMs":
		return &m.BilledRestoreDurationMs
	case "memorySizeMB":
		return &m.MemorySizeMB
	case "maxMemoryUsedMB":
		return &m.MaxMemoryUsedMB
	}
	return nil
}

// JSON returns the metrics as a JSON object.
func (m *Metrics) JSON() []byte {
	o := jsontext.Object{OmitEmpty: true}
	for _, name := range [...]string{"durationMs", "billedDurationMs", "initDurationMs", "restoreDurationMs", "billedRestoreDurationMs", "memorySizeMB", "maxMemoryUsedMB"} {
		o.Raw(name, []byte(*m.member(name)))
	}
	return o.JSON()
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
			p.Tracing, p.Trace = bytes.Clone(m.Value), jsontext.Text(jsontext.Member(m.Value, "value"))
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
			*to = jsontext.Text(m.Value)
		}
	}
	if m.Err != nil || jsontext.SkipSpace(record, m.End) < len(record) {
		return &Platform{} // not a JSON object
	}
	return p
}

func readMetrics(object []byte) (metrics Metrics) {
	for m := jsontext.Members(object); m.Next(); {
		if to := metrics.member(string(m.Name)); to != nil {
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

// number returns a JSON number; empty for any other value, and for a number below zero,
// which is no duration, count or size.
func number(value []byte) json.Number {
	if len(value) > 0 && value[0] >= '0' && value[0] <= '9' {
		return json.Number(value)
	}
	return ""
}
