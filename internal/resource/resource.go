// Package resource describes the source of the telemetry, in the terms of
// OpenTelemetry's semantic conventions for cloud and FaaS resources. Each line has
// only what distinguishes environments. One event of each environment has all that
// is known.
package resource

import (
	"slices"
	"strings"

	"kinetel/internal/config"
	"kinetel/internal/jsontext"
)

// Identity identifies the execution environment that events come from.
type Identity struct {
	Region          string // the function's region
	AccountID       string // empty if Lambda does not report it
	FunctionName    string
	FunctionVersion string
	EnvironmentID   string             // random ID of this execution environment, made at its start
	Attributes      []config.Attribute // the user's; names are unique
}

// JSON returns the resource of every line: a JSON object of strings. The user's
// attributes cannot replace Kinetel's own, except for service.name.
func (id Identity) JSON() []byte {
	members := []config.Attribute{
		{Name: "cloud.provider", Value: "aws"},
		{Name: "cloud.region", Value: id.Region},
		{Name: "cloud.account.id", Value: id.AccountID},
		{Name: "faas.name", Value: id.FunctionName},
		{Name: "faas.version", Value: id.FunctionVersion},
		{Name: "faas.instance", Value: id.EnvironmentID},
	}
	service := config.Attribute{Name: config.ServiceName, Value: id.FunctionName}
	var others []config.Attribute
	for _, a := range id.Attributes {
		switch {
		case a.Name == config.ServiceName:
			service = a
		case !slices.Contains(config.OwnAttributes(), a.Name):
			others = append(others, a)
		}
	}
	members = append(append(members, service), others...)

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
