package resource

import (
	"cmp"
	"encoding/json"
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
	text, _ := json.Marshal(body{ // never fails: strings and numbers only
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
	})
	return text
}
