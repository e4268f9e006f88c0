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

// Origin returns the Origin of an environment's records, without a Ledger.
func (id Identity) Origin() *Origin {
	return &Origin{EnvironmentID: id.EnvironmentID, Resource: id.resource()}
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

// part says which part of an event a line holds; the zero value is all of it.
type part struct {
	part, parts int // from 1
	body        []byte
}

// before stands before a line's sequence number.
const before = `{"schema":"` + schema + `","seq":`

// appendLine appends an event, or a part of one, as one line of kinetel/1. The
// body of a part is a string, which holds a piece of the JSON text of the
// event's record.
func appendLine(dst []byte, seq uint64, ev *event.Event, part part, resource []byte) []byte {
	dst = append(dst, before...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, `,"time":"`...)
	if len(ev.Time) > 0 {
		dst = append(dst, ev.Time...)
	} else {
		dst = ev.Received.UTC().AppendFormat(dst, event.TimeFormat)
	}
	dst = append(dst, `","type":"`...)
	dst = append(dst, ev.Type...)
	if part.parts > 0 {
		dst = append(dst, `","part":`...)
		dst = strconv.AppendInt(dst, int64(part.part), 10)
		dst = append(dst, `,"parts":`...)
		dst = strconv.AppendInt(dst, int64(part.parts), 10)
		dst = append(dst, `,"body":`...)
		dst = event.AppendQuoted(dst, part.body)
	} else {
		dst = append(dst, `","body":`...)
		dst = appendOneLine(dst, ev.Record)
	}
	if len(ev.Extra) > 0 && part.part <= 1 {
		dst = append(dst, `,"extra":{`...)
		dst = appendOneLine(dst, ev.Extra)
		dst = append(dst, '}')
	}
	dst = append(dst, `,"resource":`...)
	dst = append(dst, resource...)
	return append(dst, '}', '\n')
}

// seqOf returns the sequence number of a line that appendLine made; 0 where it
// did not.
func seqOf(line []byte) (seq uint64) {
	digits, _ := bytes.CutPrefix(line, []byte(before))
	for _, c := range digits {
		if c < '0' || c > '9' {
			break
		}
		seq = 10*seq + uint64(c-'0')
	}
	return seq
}

// typeOf returns the type of a line that appendLine made: nothing before it can
// hold the text that it is found by.
func typeOf(line []byte) []byte {
	_, after, _ := bytes.Cut(line, []byte(`","type":"`))
	kind, _, _ := bytes.Cut(after, []byte{'"'})
	return kind
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
