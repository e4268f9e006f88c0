package report

import (
	"encoding/json"

	"github.com/kinetel/kinetel/lambdasim"
)

// maxPayload is how much of a response that is not JSON is in the JSON output.
const maxPayload = 32 << 10

// Invocation is one that has ended, as JSON. Its members are documented by kinetel run
// --help.
type Invocation struct {
	RequestID     string             `json:"requestId"`
	Environment   int                `json:"environment"`
	Status        lambdasim.Status   `json:"status"`
	ErrorType     string             `json:"errorType,omitempty"`
	FunctionError string             `json:"functionError,omitempty"`
	ColdStart     bool               `json:"coldStart"`
	InitMs        float64            `json:"initMs,omitempty"`
	RestoreMs     float64            `json:"restoreMs,omitempty"`
	DurationMs    float64            `json:"durationMs"`
	BilledMs      int64              `json:"billedMs"`
	ResponseMs    float64            `json:"responseMs"`
	OverheadMs    map[string]float64 `json:"overheadMs"`
	MaxMemoryMB   int                `json:"maxMemoryMB"`
	Lines         int                `json:"lines"`
	Payload       json.RawMessage    `json:"payload"`
}

// NewInvocation returns the Invocation of a result.
func NewInvocation(environment int, r lambdasim.Result) Invocation {
	i := Invocation{
		RequestID: r.RequestID, Environment: environment, Status: r.Status, ErrorType: r.ErrorType, FunctionError: r.FunctionError,
		ColdStart: r.ColdStart, RestoreMs: Milliseconds(r.RestoreDuration), DurationMs: Milliseconds(r.Duration),
		BilledMs: r.Billed.Milliseconds(), ResponseMs: Milliseconds(r.ResponseLatency), OverheadMs: map[string]float64{},
		MaxMemoryMB: r.MaxMemoryMB, Lines: r.FunctionLines, Payload: r.Payload,
	}
	if r.ColdStart {
		i.InitMs = Milliseconds(r.InitDuration)
	}
	for name, held := range r.HeldBy {
		i.OverheadMs[name] = Milliseconds(held)
	}
	if !json.Valid(r.Payload) { // a streamed response, or none
		text, _ := json.Marshal(string(r.Payload[:min(len(r.Payload), maxPayload)])) // a string: it encodes
		i.Payload = text
	}
	return i
}
