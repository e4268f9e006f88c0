package resource

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/version"
)

// body is the body of a kinetel.environment event.
type body struct {
	Kinetel            settings   `json:"kinetel"`
	Problems           []problem  `json:"problems,omitempty"`
	InitializationType string     `json:"initializationType,omitempty"`
	FunctionVersion    string     `json:"functionVersion,omitempty"`
	Handler            string     `json:"handler,omitempty"`
	RuntimeVersion     string     `json:"runtimeVersion,omitempty"`
	RuntimeVersionARN  string     `json:"runtimeVersionArn,omitempty"`
	Attributes         attributes `json:"attributes"`
}

// settings are Kinetel's version and settings.
type settings struct {
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
	Types           []string `json:"types"`
	Report          []string `json:"report"`

	// Absent at their defaults.
	Level             string   `json:"level,omitempty"`
	Include           string   `json:"include,omitempty"`
	Exclude           string   `json:"exclude,omitempty"`
	PlatformEvents    []string `json:"platformEvents,omitempty"`
	Sample            *float64 `json:"sample,omitempty"`
	SampleBy          string   `json:"sampleBy,omitempty"`
	SampleKeep        string   `json:"sampleKeep,omitempty"` // as KINETEL_SAMPLE_KEEP has it
	MaxLines          int64    `json:"maxLines,omitempty"`
	MaxBytes          int64    `json:"maxBytes,omitempty"`
	Redact            []string `json:"redact,omitempty"`
	RedactionUnusable bool     `json:"redactionUnusable,omitempty"`
}

// problem is a problem with an environment variable.
type problem struct {
	Severity string `json:"severity"` // the severity of the line in Kinetel's log
	Variable string `json:"variable"`
	Value    string `json:"value,omitempty"`
	Used     string `json:"used,omitempty"`
	Message  string `json:"message"`
}

// JSON returns the body of the environment's kinetel.environment event.
func (r *Resource) JSON() []byte {
	cfg := &r.Config
	report := []string{}
	if cfg.Report.Events {
		report = append(report, "events")
	}
	if cfg.Report.EMF {
		report = append(report, "emf")
	}
	var problems []problem
	for _, p := range cfg.Problems {
		severity := "ERROR"
		if p.Severity == config.Warning {
			severity = "WARN"
		}
		problems = append(problems, problem{severity, p.Variable, p.Value, p.Used, p.Message})
	}
	b := &body{
		Kinetel: settings{
			Version:         version.Version,
			Format:          string(cfg.Format),
			Compression:     string(cfg.Compression),
			PartitionKey:    string(cfg.PartitionKey),
			Flush:           string(cfg.Flush),
			FlushIntervalMs: int64(cfg.FlushInterval / time.Millisecond),
			MaxHoldMs:       int64(cfg.MaxHold / time.Millisecond),
			BufferBytes:     cfg.BufferBytes,
			Spool:           string(cfg.Spool),
			SpoolBytes:      cfg.SpoolBytes,
			Types:           cfg.Types,
			Report:          report,
		},
		Problems:           problems,
		InitializationType: cmp.Or(r.initializationType, string(cfg.Lambda.Initialization)),
		FunctionVersion:    r.FunctionVersion,
		Handler:            r.Handler,
		RuntimeVersion:     r.runtimeVersion,
		RuntimeVersionARN:  r.runtimeVersionARN,
		Attributes:         r.attributes(),
	}
	b.Kinetel.selection(&cfg.Selection)
	b.Kinetel.redaction(&cfg.Redaction)
	text, _ := json.Marshal(b) // never fails: strings, numbers and true only
	return text
}

func (s *settings) selection(from *config.Selection) {
	s.Level = from.Level.String()
	if from.Include != nil {
		s.Include = from.Include.String()
	}
	if from.Exclude != nil {
		s.Exclude = from.Exclude.String()
	}
	s.PlatformEvents = from.PlatformEvents
	if sample := from.Sample; sample != nil {
		s.Sample, s.SampleKeep = &sample.Share, sample.Keep()
		if sample.ByTrace {
			s.SampleBy = "trace"
		}
	}
	s.MaxLines, s.MaxBytes = from.MaxLines, from.MaxBytes
}

func (s *settings) redaction(from *config.Redaction) {
	s.Redact = slices.Clip(from.Names)
	if from.Pattern != nil {
		s.Redact = append(s.Redact, "pattern")
	}
	if from.Keys != nil {
		s.Redact = append(s.Redact, "keys")
	}
	s.RedactionUnusable = from.Unusable
}
