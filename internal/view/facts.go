package view

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/kinetel/kinetel/record"
)

// Invocation is what is known of an invocation. Times are milliseconds since 1970, and 0 if
// they are not known.
type Invocation struct {
	Number      uint64 `json:"number"`
	Environment uint64 `json:"environment"` // its number
	RequestID   string `json:"requestId"`
	TraceID     string `json:"traceId,omitempty"`

	Status    string `json:"status,omitempty"` // Lambda's; empty while it runs
	ErrorType string `json:"errorType,omitempty"`
	ColdStart bool   `json:"coldStart,omitempty"`

	FirstMs    float64 `json:"firstMs"`           // of its first event
	LastMs     float64 `json:"lastMs"`            // of its last event
	StartMs    float64 `json:"startMs,omitempty"` // of platform.start
	DoneMs     float64 `json:"doneMs,omitempty"`  // of platform.runtimeDone
	RuntimeMs  float64 `json:"runtimeMs,omitempty"`
	DurationMs float64 `json:"durationMs,omitempty"` // of platform.report
	BilledMs   float64 `json:"billedMs,omitempty"`
	InitMs     float64 `json:"initMs,omitempty"` // or of the restore
	OverheadMs float64 `json:"overheadMs,omitempty"`
	HeldMs     float64 `json:"heldMs,omitempty"`
	Hold       string  `json:"hold,omitempty"`
	// Sampled is why sampling kept the lines or left them out; empty if it is off.
	Sampled    string         `json:"sampled,omitempty"`
	SampleRate float64        `json:"sampleRate,omitempty"`
	LeftOut    record.LeftOut `json:"leftOut,omitzero"`
	// StoredMs is when the lines and the end of the runtime were in Kinesis.
	StoredMs    float64 `json:"storedMs,omitempty"`
	MemoryMB    float64 `json:"memoryMB,omitempty"`
	MaxMemoryMB float64 `json:"maxMemoryMB,omitempty"`

	Events  uint64 `json:"events"`
	Dropped uint64 `json:"dropped,omitempty"` // of these, no longer in memory
	Lines   uint64 `json:"lines"`
	Warns   uint64 `json:"warns,omitempty"`
	Errors  uint64 `json:"errors,omitempty"`
	Worst   int    `json:"worst"` // the worst severity of a line, from 1 (TRACE) to 6 (FATAL)
}

// Environment is what is known of an execution environment.
type Environment struct {
	Number   uint64 `json:"number"`
	ID       string `json:"id"`
	Function string `json:"function"`
	Version  string `json:"version,omitempty"`

	FirstMs     float64 `json:"firstMs"`
	LastMs      float64 `json:"lastMs"`
	InitMs      float64 `json:"initMs,omitempty"` // when the init or the restore began
	InitTook    float64 `json:"initTookMs,omitempty"`
	InitStatus  string  `json:"initStatus,omitempty"`
	InitType    string  `json:"initType,omitempty"`
	Ended       bool    `json:"ended,omitempty"`
	Lost        int64   `json:"lost,omitempty"` // events that its kinetel.loss events report
	Events      uint64  `json:"events"`
	Invocations uint64  `json:"invocations"`
}

// latestReport is what is kept of the latest kinetel.report.
type latestReport struct{ UptimeMs, Requests, Retried, Unknown, Waiting int64 }

// severities are those of lines, from the least.
var severities = []string{record.SeverityTrace, record.SeverityDebug, record.SeverityInfo, record.SeverityWarn, record.SeverityError, record.SeverityFatal}

// severityRank returns 1 for TRACE to 6 for FATAL, and 0 for none.
func severityRank(name string) int { return slices.Index(severities, name) + 1 }

// Events that Kinetel did not write can have any time and duration. Those that cannot be are
// not known: one of them would make the timeline useless.
const (
	firstYear, lastYear = 2000, 2100
	maxDurationMs       = 24 * 3_600_000 // Lambda's limit is 15 minutes
)

func millis(t time.Time) float64 {
	if y := t.Year(); y < firstYear || y >= lastYear {
		return 0
	}
	return float64(t.UnixMicro()) / 1000
}

// duration returns a number of milliseconds, or 0 if it cannot be.
func duration(ms float64) float64 {
	if ms < 0 || ms > maxDurationMs {
		return 0
	}
	return ms
}

// platform is what is read of the body of a platform event.
type platform struct {
	Status             string
	ErrorType          string
	InitializationType string
	Metrics            struct {
		DurationMs, BilledDurationMs, InitDurationMs, RestoreDurationMs, MemorySizeMB, MaxMemoryUsedMB float64
	}
}

func (e *event) platform() (p platform) {
	_ = json.Unmarshal(e.Body, &p) // members that cannot be read are not known
	m := &p.Metrics
	for _, ms := range []*float64{&m.DurationMs, &m.BilledDurationMs, &m.InitDurationMs, &m.RestoreDurationMs} {
		*ms = duration(*ms)
	}
	return p
}

// earlier returns the earlier one of two times, of which 0 is not known.
func earlier(a, b float64) float64 {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// update adds what an event says about its invocation.
func (i *invocation) update(e *event, arrival time.Time) {
	at := millis(e.Time)
	i.Events++
	i.FirstMs, i.LastMs = earlier(i.FirstMs, at), max(i.LastMs, at)
	if i.TraceID == "" {
		i.TraceID = e.TraceID
	}
	if e.Type == record.TypeFunction || e.Type == record.TypePlatformRuntimeDone {
		i.StoredMs = max(i.StoredMs, millis(arrival))
	}
	switch e.Type {
	case record.TypeFunction, record.TypeExtension:
		i.addLine(severityRank(e.Severity))
	case record.TypePlatformStart:
		i.StartMs = at
	case record.TypePlatformRuntimeDone:
		p := e.platform()
		i.DoneMs, i.RuntimeMs = at, p.Metrics.DurationMs
		i.end(p.Status, p.ErrorType)
	case record.TypePlatformReport:
		p := e.platform()
		i.end(p.Status, p.ErrorType)
		i.measure(p)
	case record.TypeInvocation:
		i.updateOwn(e)
	}
}

func (i *invocation) addLine(rank int) {
	i.Lines++
	i.Worst = max(i.Worst, rank)
	switch {
	case rank >= 5:
		i.Errors++
	case rank == 4:
		i.Warns++
	}
}

// end notes how the invocation ended. A platform.report knows better than runtimeDone, but
// neither replaces a failure by a success.
func (i *invocation) end(status, errorType string) {
	if status != "" && (i.Status == "" || i.Status == "success") {
		i.Status = name(status)
	}
	if errorType != "" {
		i.ErrorType = name(errorType)
	}
}

func (i *invocation) measure(p platform) {
	m := p.Metrics
	i.DurationMs, i.BilledMs = m.DurationMs, m.BilledDurationMs
	i.MemoryMB, i.MaxMemoryMB = m.MemorySizeMB, m.MaxMemoryUsedMB
	i.InitMs = max(i.InitMs, m.InitDurationMs, m.RestoreDurationMs)
	// Without a kinetel.invocation, the durations are the only sign. Lambda also reports them
	// if the init was over long before.
	i.ColdStart = i.ColdStart || !i.hasOwn && i.InitMs > 0
}

// updateOwn adds what kinetel.invocation says.
func (i *invocation) updateOwn(e *event) {
	own, err := e.Invocation()
	if err != nil {
		return
	}
	i.hasOwn = true
	i.end(own.Status, own.ErrorType)
	if i.DurationMs == 0 {
		i.measure(e.platform())
	}
	if i.StartMs == 0 {
		i.StartMs = millis(own.Start)
	}
	if own.ColdStart != nil {
		i.ColdStart = *own.ColdStart
	}
	i.OverheadMs, i.HeldMs, i.Hold = duration(own.ExtensionOverheadMs), duration(own.HeldMs), name(own.Hold)
	i.Sampled, i.LeftOut = name(own.Sampled), own.LeftOut
	if own.SampleRate != nil {
		i.SampleRate = *own.SampleRate
	}
}

// update adds what an event says about its environment.
func (env *environment) update(e *event) {
	at := millis(e.Time)
	env.Events++
	env.FirstMs, env.LastMs = earlier(env.FirstMs, at), max(env.LastMs, at)
	switch e.Type {
	case record.TypePlatformInitStart, record.TypePlatformRestoreStart:
		env.InitMs = at
		env.InitType = name(e.platform().InitializationType)
	case record.TypePlatformInitRuntimeDone, record.TypePlatformInitReport, record.TypePlatformRestoreReport:
		p := e.platform()
		env.InitTook = max(env.InitTook, p.Metrics.DurationMs)
		if p.Status != "" {
			env.InitStatus = name(p.Status)
		}
	case record.TypePlatformStart:
		env.Invocations++
	case record.TypeLoss:
		if l, err := e.Loss(); err == nil {
			env.Lost += l.Count
		}
	case record.TypeReport:
		if r, err := e.Report(); err == nil && r.UptimeMs >= env.report.UptimeMs {
			env.report = latestReport{r.UptimeMs, r.Requests, r.Retried, r.Unknown, r.Waiting}
			env.Ended = env.Ended || r.Final
		}
	}
}
