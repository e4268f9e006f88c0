package tail

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/kinetel/kinetel/record"
)

// Filter selects events. An event must match each field that is set; of a list, one
// element.
type Filter struct {
	Requests  []string // beginnings of request ids
	Traces    []string // beginnings of trace ids
	Functions []string // names, or patterns of package path
	Instances []string // beginnings of service.instance.id
	Types     []string // types, or patterns of package path
	Severity  string   // this one or a worse one
	Grep      *regexp.Regexp
	// Routine leaves out the types that a person seldom wants to see, unless Types is set.
	Routine bool
}

// Severities are the values of Filter.Severity, from the least.
var Severities = []string{"trace", "debug", "info", "warn", "error", "fatal"}

// Check returns an error that names the value that cannot be used.
func (f *Filter) Check() error {
	if f.Severity != "" && severityIndex(f.Severity) < 0 {
		return fmt.Errorf("--severity %q: it must be one of %s", f.Severity, strings.Join(Severities, ", "))
	}
	for flag, patterns := range map[string][]string{"function": f.Functions, "type": f.Types} {
		for _, p := range patterns {
			if _, err := path.Match(p, ""); err != nil {
				return fmt.Errorf("--%s %q: the pattern is not complete: escape [ with \\", flag, p)
			}
		}
	}
	return nil
}

// routine are the types that Filter.Routine leaves out: kinetel.invocation has what they
// say.
var routine = []string{
	record.TypePlatformInitStart, record.TypePlatformInitRuntimeDone, record.TypePlatformInitReport,
	record.TypePlatformRestoreStart, record.TypePlatformRestoreRuntimeDone, record.TypePlatformRestoreReport,
	record.TypePlatformStart, record.TypePlatformRuntimeDone, record.TypePlatformReport,
	record.TypePlatformExtension, record.TypePlatformTelemetrySubscription,
	record.TypeSpan, record.TypeInit, record.TypeEnvironment, record.TypeReport,
}

func (f *Filter) match(e *record.Event) bool {
	if len(f.Types) == 0 && f.Routine && slices.Contains(routine, e.Type) {
		return false
	}
	return (len(f.Types) == 0 || anyPattern(f.Types, e.Type)) &&
		(f.Severity == "" || severityIndex(severity(e)) >= severityIndex(f.Severity)) &&
		anyPrefix(f.Requests, e.RequestID) && anyPrefix(f.Traces, e.TraceID) && anyPrefix(f.Instances, e.InstanceID()) &&
		(len(f.Functions) == 0 || anyPattern(f.Functions, e.Resource["faas.name"])) &&
		(f.Grep == nil || f.Grep.Match(bodyText(e.Body)))
}

func severityIndex(name string) int { return slices.Index(Severities, strings.ToLower(name)) }

func anyPattern(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		ok, _ := path.Match(p, name)
		return ok
	})
}

func anyPrefix(prefixes []string, id string) bool {
	return len(prefixes) == 0 || slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(id, p) })
}

// severity returns an event's severity. A failed invocation and a loss have one, too.
func severity(e *record.Event) string {
	switch {
	case e.Severity != "":
		return e.Severity
	case e.Type == record.TypeInvocation:
		if inv, err := e.Invocation(); err == nil && inv.Status != "" && inv.Status != "success" {
			return record.SeverityError
		}
	case e.Type == record.TypeLoss, e.Type == record.TypePlatformLogsDropped, e.Type == record.TypeUnparsed:
		return record.SeverityWarn
	}
	return ""
}
