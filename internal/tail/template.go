package tail

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/kinetel/kinetel/record"
)

// templateEvent is what a template prints.
type templateEvent struct {
	Time      time.Time
	Type      string
	Severity  string
	RequestID string
	Request   string // the first characters of the request id
	TraceID   string
	Seq       uint64
	Function  string
	Instance  string
	Message   string            // as in the text
	Body      string            // text of a string, JSON of anything else
	Resource  map[string]string // such as "faas.version"
}

// ansiColors are the colours of the function color.
var ansiColors = map[string]string{
	"black": "30", "red": "31", "green": "32", "yellow": "33", "blue": "34", "magenta": "35", "cyan": "36", "white": "37",
	"bold": "1", "faint": "2",
}

// ParseTemplate parses a template, with colours or without.
func ParseTemplate(text string, color bool) (*template.Template, error) {
	paint := func(code, text string) string {
		if !color || code == "" {
			return text
		}
		return code + text + colorOff
	}
	parse := func(text string) (value any, err error) {
		err = json.Unmarshal([]byte(text), &value)
		return value, err
	}
	return template.New("--template").Funcs(template.FuncMap{
		"parseJSON": parse,
		"tryParseJSON": func(text string) any {
			value, _ := parse(text) // nil if it is not JSON
			return value
		},
		"json": func(value any) (string, error) {
			text, err := json.Marshal(value)
			return string(text), err
		},
		"prettyJSON": func(value any) (string, error) {
			text, err := json.MarshalIndent(value, "", "  ")
			return string(text), err
		},
		"color": func(name string, value any) (string, error) {
			code, ok := ansiColors[name]
			if !ok {
				return "", fmt.Errorf("there is no colour %q, only %s", name, strings.Join(slices.Sorted(maps.Keys(ansiColors)), ", "))
			}
			return paint("\x1b["+code+"m", fmt.Sprint(value)), nil
		},
		"requestColor":  func(id string) string { return paint(requestColor(id), id[:min(len(id), requestWidth)]) },
		"severityColor": func(name string) string { return paint(severityColor(name), name) },
	}).Parse(text)
}

// appendTemplate appends what the template prints, and a line feed if it ends without one.
func (t *Tail) appendTemplate(dst []byte, e *record.Event, _ *place) ([]byte, error) {
	var out bytes.Buffer
	err := t.o.Template.Execute(&out, templateEvent{
		Time: e.Time.In(t.o.Location), Type: e.Type, Severity: severity(e), RequestID: e.RequestID,
		Request: e.RequestID[:min(len(e.RequestID), requestWidth)], TraceID: e.TraceID, Seq: e.Seq,
		Function: e.Resource["faas.name"], Instance: e.InstanceID(), Message: string(appendMessage(nil, e)),
		Body: string(bodyText(e.Body)), Resource: e.Resource,
	})
	if err != nil {
		return dst, err
	}
	dst = appendEscapedColor(dst, out.Bytes())
	if !bytes.HasSuffix(dst, []byte("\n")) && out.Len() > 0 {
		dst = append(dst, '\n')
	}
	return dst, nil
}
