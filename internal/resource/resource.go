// Package resource says who telemetry comes from, in the words of OpenTelemetry's
// semantic conventions for cloud and FaaS resources: on each line as little as
// tells environments apart, and once an environment all that is known.
package resource

import (
	"slices"
	"strings"

	"kinetel/internal/config"
	"kinetel/internal/event"
)

// Identity is who the events of an environment come from.
type Identity struct {
	Region          string // where the function runs
	AccountID       string // empty where Lambda does not tell it
	FunctionName    string
	FunctionVersion string
	EnvironmentID   string             // of this execution environment, drawn at its start
	Attributes      []config.Attribute // of the user's; a name stands once
}

// JSON returns the resource of every line: a JSON object of strings. What it says
// of itself the user's attributes cannot replace, but for service.name.
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
		// The environment may hold any bytes; a line must be UTF-8.
		dst = event.AppendQuoted(dst, strings.ToValidUTF8(m.Name, "\uFFFD"))
		dst = append(dst, ':')
		dst = event.AppendQuoted(dst, strings.ToValidUTF8(m.Value, "\uFFFD"))
	}
	return append(dst, '}')
}
