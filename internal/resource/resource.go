// Package resource describes the source of the telemetry, in the terms of
// OpenTelemetry's semantic conventions for cloud and FaaS resources. Each line has
// only what distinguishes environments. One event of each environment has all that
// is known.
package resource

import (
	"cmp"
	"runtime"
	"slices"
	"strings"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// maxLogStream is CloudWatch Logs' limit for the name of a log stream.
const maxLogStream = 512

// Resource is what is known of the function and of one of its execution
// environments; a text that is not known is empty. It is not safe for concurrent use.
type Resource struct {
	Config          config.Config
	AccountID       string
	FunctionName    string
	FunctionVersion string
	Handler         string
	EnvironmentID   string // random, made at the start of the environment

	// From platform.initStart or platform.restoreStart. Lambda's instanceId is the name
	// of the log stream, which the conventions want as faas.instance.
	initializationType, logStream, runtimeVersion, runtimeVersionARN, functionARN string
}

// lineAttributes returns the resource of every line: a JSON object of strings. The
// user's attributes cannot replace Kinetel's own, except for service.name.
func (r *Resource) lineAttributes() []byte {
	members := []config.Attribute{
		{Name: "cloud.provider", Value: "aws"},
		{Name: "cloud.region", Value: r.Config.Lambda.Region},
		{Name: "cloud.account.id", Value: r.AccountID},
		{Name: "faas.name", Value: r.FunctionName},
		{Name: "faas.version", Value: r.FunctionVersion},
		{Name: "faas.instance", Value: r.logStream},
		{Name: config.ServiceName, Value: r.FunctionName},
		{Name: "service.instance.id", Value: r.EnvironmentID},
	}
	service := len(members) - 2
	for _, a := range r.Config.Attributes {
		switch {
		case a.Name == config.ServiceName:
			members[service].Value = a.Value
		case !slices.Contains(config.OwnAttributes(), a.Name):
			members = append(members, a)
		}
	}

	dst := []byte{'{'}
	for _, m := range members {
		if m.Value == "" {
			continue
		}
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		// Environment variables may contain any bytes; a line must be UTF-8.
		dst = jsontext.AppendQuote(dst, strings.ToValidUTF8(m.Name, "\uFFFD"))
		dst = append(dst, ':')
		dst = jsontext.AppendQuote(dst, strings.ToValidUTF8(m.Value, "\uFFFD"))
	}
	return append(dst, '}')
}

// Started records the values of a platform.initStart or platform.restoreStart.
func (r *Resource) Started(ev *event.Platform) {
	r.initializationType = cmp.Or(ev.InitializationType, r.initializationType)
	if len(ev.InstanceID) <= maxLogStream { // every line has it
		r.logStream = cmp.Or(ev.InstanceID, r.logStream)
	}
	r.runtimeVersion = cmp.Or(ev.RuntimeVersion, r.runtimeVersion)
	r.runtimeVersionARN = cmp.Or(ev.RuntimeVersionARN, r.runtimeVersionARN)
	r.functionARN = cmp.Or(ev.FunctionARN, r.functionARN)
}

// Details returns what formats write about the environment.
func (r *Resource) Details() environment.Details {
	details := environment.Details{
		Resource:   r.lineAttributes(),
		AccountID:  r.AccountID,
		LogStream:  r.logStream,
		JSONLogs:   r.Config.Lambda.JSONLogs,
		SpanParent: string(r.Config.OTLPParent),
		Attributes: r.attributes(),
	}
	if groups := r.logGroups(); len(groups) > 0 {
		details.LogGroup = groups[0] // the format has only one
	}
	return details
}

// attributes returns the attributes of the OpenTelemetry resource that lines do not
// have, as JSON.
func (r *Resource) attributes() []byte {
	o := jsontext.Object{OmitEmpty: true}
	o.String("cloud.platform", "aws_lambda")
	o.String("cloud.resource_id", r.arn())
	o.Int("faas.max_memory", r.Config.Lambda.MemoryMB<<20) // bytes
	o.String("host.arch", runtime.GOARCH)
	o.Strings("aws.log.group.names", r.logGroups())
	if r.logStream != "" {
		o.Strings("aws.log.stream.names", []string{r.logStream})
	}
	return o.JSON()
}

func (r *Resource) logGroups() []string {
	if len(r.Config.LogGroups) == 0 && r.FunctionName != "" {
		// The default. Lambda does not report another log group to extensions.
		return []string{"/aws/lambda/" + r.FunctionName}
	}
	return r.Config.LogGroups
}

// arn returns the ARN of the function's version. An environment runs one version, but
// may be invoked by several aliases.
func (r *Resource) arn() string {
	arn := r.unqualifiedARN()
	if arn == "" || r.FunctionVersion == "" {
		return arn
	}
	return arn + ":" + r.FunctionVersion
}

func (r *Resource) unqualifiedARN() string {
	region := r.Config.Lambda.Region
	if r.functionARN != "" {
		parts := strings.Split(r.functionARN, ":") // arn:aws:lambda:region:account:function:name:qualifier
		return strings.Join(parts[:min(len(parts), 7)], ":")
	}
	if region == "" || r.AccountID == "" || r.FunctionName == "" {
		return ""
	}
	partition := "aws" // AWS documentation, ARNs
	switch {
	case strings.HasPrefix(region, "cn-"):
		partition = "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		partition = "aws-us-gov"
	}
	return "arn:" + partition + ":lambda:" + region + ":" + r.AccountID + ":function:" + r.FunctionName
}
