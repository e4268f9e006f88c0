// Package doctor finds out why the telemetry of a function does not arrive: it checks
// the function's configuration, its permissions, the stream and what is in it.
package doctor

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/kinetel/kinetel/internal/config"
)

// Level is how serious a Finding is.
type Level string

// The levels.
const (
	OK         Level = "ok"
	Warning    Level = "warning"    // it works, but not as you may expect
	Error      Level = "error"      // telemetry does not arrive, or is lost
	NotChecked Level = "notChecked" // What says why
)

// Finding is the result of a check, or a part of it. It contains no secrets.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	What  string `json:"what"`
	Why   string `json:"why,omitempty"` // it matters
	Fix   string `json:"fix,omitempty"` // a command, or what to change
}

// Report has the findings of all checks, in their order.
type Report struct {
	Function string    `json:"function,omitempty"` // ARN or name
	Stream   string    `json:"stream,omitempty"`   // ARN or name
	Findings []Finding `json:"findings"`
}

// Count returns how many findings have a level.
func (r Report) Count(level Level) (n int) {
	for _, f := range r.Findings {
		if f.Level == level {
			n++
		}
	}
	return n
}

// Options are what to check.
type Options struct {
	// Function is a name or an ARN, also with a version or an alias. If it is empty,
	// Environ has the variables of the extension.
	Function string
	Environ  []string
	// Stream is a name or an ARN; empty: the one that the variables name.
	Stream string
	// Since is how much of the stream's end to read; 0: nothing.
	Since time.Duration
	// MaxBytes bounds how much of the stream is read; 0: 64 MiB.
	MaxBytes int
	// Clients are nil if there are none. ClientsError is the reason.
	Clients      *Clients
	ClientsError error
	// Timeout bounds each check; reading the stream may take three times as long.
	// 0: ten seconds.
	Timeout time.Duration
	// LookupHost replaces the resolver of the system.
	LookupHost func(ctx context.Context, host string) ([]string, error)
	// Progress is called before each check, if it is not nil.
	Progress func(check string)
}

// diagnosis is one run: the options, and what the checks find out for later ones.
type diagnosis struct {
	Options
	check  string // the current one
	report Report

	function      *lambda.GetFunctionConfigurationOutput // nil: not known, or there is none
	functionARN   arn.ARN
	functionError error
	config        config.Config
	caller        arn.ARN // whose credentials the clients have
	stream        *types.StreamDescriptionSummary
	silent        bool   // Kinesis does not answer
	keyARN        string // of a customer-managed key; empty: there is none
}

// Run makes all checks. An error means that there was nothing to check, or that the
// context ended.
func Run(ctx context.Context, o Options) (Report, error) {
	o.Timeout = cmp.Or(o.Timeout, 10*time.Second)
	o.MaxBytes = cmp.Or(o.MaxBytes, 64<<20)
	if o.LookupHost == nil {
		o.LookupHost = net.DefaultResolver.LookupHost
	}
	d := &diagnosis{Options: o, report: Report{Function: o.Function, Stream: o.Stream, Findings: []Finding{}}}
	for _, c := range []struct {
		name string
		aws  bool // it needs AWS clients
		run  func(context.Context)
	}{
		{"function", true, d.checkFunction},
		{"settings", false, d.checkSettings},
		{"layer", true, d.checkLayer},
		{"resources", false, d.checkResources},
		{"credentials", false, d.checkCredentials},
		{"network", false, d.checkNetwork},
		{"stream", true, d.checkStream},
		{"encryption", true, d.checkEncryption},
		{"role", true, d.checkRole},
		{"policy", true, d.checkStreamPolicy},
		{"write", true, d.checkWrite},
		{"telemetry", true, d.checkTelemetry},
	} {
		d.check = c.name
		if c.aws && d.Clients == nil {
			if o.Function != "" && c.name == "function" {
				return d.report, o.ClientsError
			}
			continue // the check of the credentials reports it, once
		}
		if o.Progress != nil {
			o.Progress(c.name)
		}
		limit := o.Timeout
		if c.name == "telemetry" {
			limit *= 3
		}
		limited, cancel := context.WithTimeout(ctx, limit)
		c.run(limited)
		cancel()
		if ctx.Err() != nil {
			return d.report, ctx.Err()
		}
		if d.functionError != nil && o.Stream == "" {
			return d.report, d.functionError
		}
	}
	return d.report, nil
}

func (d *diagnosis) add(level Level, what, why, fix string) {
	d.report.Findings = append(d.report.Findings, Finding{Check: d.check, Level: level, What: what, Why: why, Fix: fix})
}

func (d *diagnosis) ok(format string, args ...any) { d.add(OK, fmt.Sprintf(format, args...), "", "") }

// skip adds that something was not checked, because of an error.
func (d *diagnosis) skip(what string, err error, fix string) {
	d.add(NotChecked, what+": "+explain(err), "", fix)
}

// streamARN returns the stream's ARN, or "" if no stream or account is known.
func (d *diagnosis) streamARN() string {
	switch {
	case d.config.StreamARN != "":
		return d.config.StreamARN
	case d.config.StreamName == "":
		return ""
	case d.stream != nil:
		return value(d.stream.StreamARN)
	}
	owner := d.functionARN
	if owner.AccountID == "" {
		owner = d.caller
	}
	if owner.AccountID == "" {
		return ""
	}
	return arn.ARN{Partition: owner.Partition, Service: "kinesis", Region: d.config.AWS.Region, AccountID: owner.AccountID, Resource: "stream/" + d.config.StreamName}.String()
}

// role returns the ARN of the role, or user, that the extension writes with; "" if it
// is not known.
func (d *diagnosis) role() string {
	if d.function != nil {
		return value(d.function.Role)
	}
	if d.Function != "" || d.caller == (arn.ARN{}) {
		return ""
	}
	kind, rest, _ := strings.Cut(d.caller.Resource, "/")
	if kind != "assumed-role" {
		return d.caller.String()
	}
	// Without the path, which the ARN of a session does not have.
	name, _, _ := strings.Cut(rest, "/")
	return arn.ARN{Partition: d.caller.Partition, Service: "iam", AccountID: d.caller.AccountID, Resource: "role/" + name}.String()
}

// value returns what a pointer of the SDK points to, or the zero value.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
