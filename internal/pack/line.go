package pack

import (
	"bytes"
	"strconv"

	"kinetel/internal/config"
	"kinetel/internal/event"
)

// schema is the name and version of a line's shape.
const schema = "kinetel/1"

// Identity is who the events come from.
type Identity struct {
	Region          string // where the function runs
	AccountID       string // empty where Lambda does not tell it
	FunctionName    string
	FunctionVersion string
	EnvironmentID   string // of this execution environment, drawn at its start
	Tags            []config.Tag
}

// resource returns the resource of every line, as JSON. The names are
// OpenTelemetry's semantic conventions for cloud and FaaS resources; tags
// cannot take their place.
func (id Identity) resource() []byte {
	members := []config.Tag{
		{Name: "cloud.provider", Value: "aws"},
		{Name: "cloud.region", Value: id.Region},
		{Name: "cloud.account.id", Value: id.AccountID},
		{Name: "faas.name", Value: id.FunctionName},
		{Name: "faas.version", Value: id.FunctionVersion},
		{Name: "faas.instance", Value: id.EnvironmentID},
	}
	taken := map[string]bool{}
	for _, m := range members {
		taken[m.Name] = true
	}
	service := config.Tag{Name: "service.name", Value: id.FunctionName}
	var tags []config.Tag
	for _, tag := range id.Tags {
		switch {
		case tag.Name == service.Name:
			service = tag
		case !taken[tag.Name]:
			tags = append(tags, tag)
		}
	}
	members = append(append(members, service), tags...)

	dst := []byte{'{'}
	for _, m := range members {
		if m.Value == "" {
			continue
		}
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		dst = event.AppendQuoted(dst, m.Name)
		dst = append(dst, ':')
		dst = event.AppendQuoted(dst, m.Value)
	}
	return append(dst, '}')
}

// appendLine appends an event as one line of kinetel/1.
func appendLine(dst []byte, seq uint64, ev *event.Event, resource []byte) []byte {
	dst = append(dst, `{"schema":"`+schema+`","seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, `,"time":"`...)
	if len(ev.Time) > 0 {
		dst = append(dst, ev.Time...)
	} else {
		dst = ev.Received.UTC().AppendFormat(dst, event.TimeFormat)
	}
	dst = append(dst, `","type":"`...)
	dst = append(dst, ev.Type...)
	dst = append(dst, `","body":`...)
	dst = appendOneLine(dst, ev.Record)
	if len(ev.Extra) > 0 {
		dst = append(dst, `,"extra":{`...)
		dst = appendOneLine(dst, ev.Extra)
		dst = append(dst, '}')
	}
	dst = append(dst, `,"resource":`...)
	dst = append(dst, resource...)
	return append(dst, '}', '\n')
}

// appendOneLine appends JSON text without the line feeds that may stand between
// its tokens; inside a string there can be none. Nothing else is changed.
func appendOneLine(dst, json []byte) []byte {
	if len(json) == 0 {
		return append(dst, "null"...)
	}
	for {
		i := bytes.IndexByte(json, '\n')
		if i < 0 {
			return append(dst, json...)
		}
		dst = append(dst, json[:i]...)
		json = json[i+1:]
	}
}
