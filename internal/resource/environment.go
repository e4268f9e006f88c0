package resource

import (
	"encoding/json"
	"runtime"
	"strings"
	"time"

	"kinetel/internal/config"
	"kinetel/internal/environment"
	"kinetel/internal/version"
)

// Resource collects what is known about an execution environment. It is not
// safe for concurrent use.
type Resource struct {
	cfg     config.Config
	id      Identity
	handler string
	init    initStart
}

// New returns the Resource of an identity. handler is the function's handler from
// Lambda's answer to register; empty: not known.
func New(cfg config.Config, id Identity, handler string) *Resource {
	return &Resource{cfg: cfg, id: id, handler: handler}
}

// initStart has the members of a platform.initStart's or platform.restoreStart's
// record that Kinetel reports (AWS documentation, Telemetry API event schema
// reference).
type initStart struct {
	InitializationType string `json:"initializationType"`
	InstanceID         string `json:"instanceId"` // the log stream's name
	RuntimeVersion     string `json:"runtimeVersion"`
	RuntimeVersionARN  string `json:"runtimeVersionArn"`
	FunctionARN        string `json:"functionArn"`
}

// Started records what the record of a platform.initStart or platform.restoreStart
// says.
func (e *Resource) Started(record []byte) {
	next := e.init
	// If a member has the wrong type, the others are still read.
	_ = json.Unmarshal(record, &next)
	e.init = next
}

// attributes are the attributes of the OpenTelemetry resource that lines do not
// have.
type attributes struct {
	Platform   string   `json:"cloud.platform"`
	ResourceID string   `json:"cloud.resource_id,omitempty"`
	MaxMemory  int64    `json:"faas.max_memory,omitempty"` // bytes
	Arch       string   `json:"host.arch"`
	LogGroups  []string `json:"aws.log.group.names,omitempty"`
	LogStreams []string `json:"aws.log.stream.names,omitempty"`
}

func (e *Resource) attributes() attributes {
	a := attributes{
		Platform:   "aws_lambda",
		ResourceID: e.arn(),
		MaxMemory:  e.cfg.Lambda.MemoryMB << 20,
		Arch:       runtime.GOARCH,
	}
	a.LogGroups = e.logGroups()
	if e.init.InstanceID != "" {
		a.LogStreams = []string{e.init.InstanceID}
	}
	return a
}

// logGroups returns the log groups with the function's lines in CloudWatch Logs.
// Lambda does not tell extensions whether the function uses another log group than
// the default.
func (e *Resource) logGroups() []string {
	if len(e.cfg.LogGroups) == 0 && e.id.FunctionName != "" {
		return []string{"/aws/lambda/" + e.id.FunctionName}
	}
	return e.cfg.LogGroups
}

// arn returns the function's ARN, without a qualifier.
func (e *Resource) arn() string {
	if arn := e.init.FunctionARN; arn != "" {
		if parts := strings.Split(arn, ":"); len(parts) > 7 { // arn:aws:lambda:region:account:function:name:qualifier
			arn = strings.Join(parts[:7], ":")
		}
		return arn
	}
	if e.id.Region == "" || e.id.AccountID == "" || e.id.FunctionName == "" {
		return ""
	}
	return "arn:" + partition(e.id.Region) + ":lambda:" + e.id.Region + ":" + e.id.AccountID + ":function:" + e.id.FunctionName
}

// partition returns the AWS partition of a region (AWS documentation, ARNs).
func partition(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	}
	return "aws"
}

// Details returns what formats write about the environment once in each record.
func (e *Resource) Details() environment.Details {
	a := e.attributes()
	text, _ := json.Marshal(a) // never fails: strings and numbers only
	details := environment.Details{
		AccountID:  e.id.AccountID,
		LogStream:  e.init.InstanceID,
		JSONLogs:   e.cfg.Lambda.JSONLogs,
		Attributes: text,
	}
	if len(a.LogGroups) > 0 {
		details.LogGroup = a.LogGroups[0] // the format has only one
	}
	return details
}

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

func (e *Resource) problems() (list []problem) {
	for _, p := range e.cfg.Problems {
		severity := "ERROR"
		if p.Severity == config.Warning {
			severity = "WARN"
		}
		list = append(list, problem{severity, p.Variable, p.Value, p.Used, p.Message})
	}
	return list
}

// JSON returns the body of the environment's kinetel.environment event.
func (e *Resource) JSON() []byte {
	cfg := &e.cfg
	report := []string{}
	if cfg.Report.Events {
		report = append(report, "events")
	}
	if cfg.Report.EMF {
		report = append(report, "emf")
	}
	kind := e.init.InitializationType
	if kind == "" {
		kind = string(cfg.Lambda.Initialization)
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
		Problems:           e.problems(),
		InitializationType: kind,
		FunctionVersion:    e.id.FunctionVersion,
		Handler:            e.handler,
		RuntimeVersion:     e.init.RuntimeVersion,
		RuntimeVersionARN:  e.init.RuntimeVersionARN,
		Attributes:         e.attributes(),
	})
	return text
}
