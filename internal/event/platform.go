package event

import (
	"bytes"
	"encoding/json"
)

// Platform is what Kinetel reads of a platform event's record (AWS documentation,
// Telemetry API event schema reference). A member that is missing, or has another
// type, is empty.
type Platform struct {
	RequestID string  `json:"requestId"`
	TenantID  string  `json:"tenantId"`
	Status    string  `json:"status"`
	ErrorType string  `json:"errorType"`
	Metrics   Metrics `json:"metrics"`
	Spans     []Span  `json:"spans"`
	Tracing   Tracing `json:"tracing"`

	// Of the init and the restore.
	InitializationType string `json:"initializationType"`
	Phase              string `json:"phase"`
	InstanceID         string `json:"instanceId"` // the log stream's name
	RuntimeVersion     string `json:"runtimeVersion"`
	RuntimeVersionARN  string `json:"runtimeVersionArn"`
	FunctionARN        string `json:"functionArn"`

	// Of platform.logsDropped.
	DroppedRecords float64 `json:"droppedRecords"`
	DroppedBytes   float64 `json:"droppedBytes"`
}

// Metrics are the metrics of a platform.report, as Lambda wrote them.
type Metrics struct {
	DurationMs              json.Number `json:"durationMs,omitempty"`
	BilledDurationMs        json.Number `json:"billedDurationMs,omitempty"`
	InitDurationMs          json.Number `json:"initDurationMs,omitempty"`
	RestoreDurationMs       json.Number `json:"restoreDurationMs,omitempty"`
	BilledRestoreDurationMs json.Number `json:"billedRestoreDurationMs,omitempty"`
	MemorySizeMB            json.Number `json:"memorySizeMB,omitempty"`
	MaxMemoryUsedMB         json.Number `json:"maxMemoryUsedMB,omitempty"`
}

// Span is a part of an invocation.
type Span struct {
	Name       string      `json:"name"`
	DurationMs json.Number `json:"durationMs"`
}

// Tracing is a trace as Lambda wrote it, and the X-Ray header in it.
type Tracing struct {
	JSON   json.RawMessage
	Header string
}

// UnmarshalJSON returns no error: a trace of another shape has no header.
func (t *Tracing) UnmarshalJSON(text []byte) error {
	var tracing struct {
		Value string `json:"value"`
	}
	_ = json.Unmarshal(text, &tracing)
	*t = Tracing{bytes.Clone(text), tracing.Value}
	return nil
}

// Platform returns what the record of a platform event says. It reads the record at the
// first call only. The result does not point into the record.
func (e *Event) Platform() *Platform {
	if e.platform == nil {
		e.platform = &Platform{}
		_ = json.Unmarshal(e.Record, e.platform) // after a member of another type it reads the rest
	}
	return e.platform
}
