package record_test

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/record"
)

func own(kind, body string) record.Event {
	e := whole("e1", 41, body)
	e.Type = kind
	return e
}

func TestLoss(t *testing.T) {
	got, err := own("kinetel.loss", `{"firstSeq":17,"lastSeq":40,"count":20,"bytes":5312,"reason":"buffer-full","later":1}`).Loss()
	want := record.Loss{FirstSeq: 17, LastSeq: 40, Count: 20, Bytes: 5312, Reason: record.LossBufferFull}
	if got != want || err != nil {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestInvocation(t *testing.T) {
	cold := true
	want := record.Invocation{
		RequestID: "r", Status: "success", Metrics: record.Metrics{DurationMs: 140.9, MemorySizeMB: 256}, ColdStart: &cold,
		Start: time.Date(2026, 9, 21, 10, 0, 0, 490e6, time.UTC), Tracing: json.RawMessage(`{ "a":1}`), Events: 5, FirstSeq: 7, LastSeq: 12, HeldMs: 26.2, Hold: "rare",
	}
	body := `{"requestId":"r","status":"success","metrics":{"durationMs":140.9,"memorySizeMB":256,"later":{}},"coldStart":true,` +
		`"start":"2026-09-21T10:00:00.490Z","tracing":{ "a":1},"events":5,"firstSeq":7,"lastSeq":12,"heldMs":26.2,"hold":"rare","later":[]}`
	for _, kind := range []string{record.TypeInvocation, record.TypeSpan} {
		got, err := own(kind, body).Invocation()
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v, body (-want +got):\n%s", kind, err, diff)
		}
	}
	got, err := own(record.TypeInvocation, `{"requestId":"r","metrics":{},"coldStart":false,"unreported":true}`).Invocation()
	if err != nil || got.ColdStart == nil || *got.ColdStart || !got.Unreported || !got.Start.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
}

// The samples of the documentation are bodies of their types.
func TestBodiesOfTheDocumentedSamples(t *testing.T) {
	page, err := os.ReadFile("../docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for _, block := range strings.Split(string(page), "```json\n")[1:] {
		block, _, _ = strings.Cut(block, "```")
		in := json.NewDecoder(strings.NewReader(block))
		for in.More() {
			var e record.Event
			if err := in.Decode(&e); err != nil {
				t.Fatal(err)
			}
			var body any
			switch e.Type {
			case record.TypeInvocation, record.TypeSpan:
				body, err = e.Invocation()
			case record.TypeInit:
				body, err = e.Init()
			case record.TypeLoss:
				body, err = e.Loss()
			case record.TypeReport:
				body, err = e.Report()
			case record.TypeEnvironment:
				body, err = e.Environment()
			default:
				continue
			}
			if err != nil {
				t.Error(err)
			}
			// Nothing is lost on the way.
			written, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			var got, want any
			original := strings.ReplaceAll(string(e.Body), ".490Z", ".49Z") // as time.Time writes it
			if err := errors.Join(json.Unmarshal(written, &got), json.Unmarshal([]byte(original), &want)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", e.Type, diff)
			}
			found[e.Type]++
		}
	}
	for _, kind := range []string{record.TypeInvocation, record.TypeSpan, record.TypeInit, record.TypeLoss, record.TypeReport, record.TypeEnvironment} {
		if found[kind] == 0 {
			t.Errorf("there is no sample of a %s", kind)
		}
	}
}

func TestABodyThatCannotBeReadHasAnErrorThatNamesIt(t *testing.T) {
	loss := func(e record.Event) error { _, err := e.Loss(); return err }
	invocation := func(e record.Event) error { _, err := e.Invocation(); return err }
	report := func(e record.Event) error { _, err := e.Report(); return err }
	environment := func(e record.Event) error { _, err := e.Environment(); return err }
	aPart := own(record.TypeLoss, `"{"`)
	aPart.Part, aPart.Parts = 1, 2
	for _, tt := range []struct {
		name  string
		event record.Event
		body  func(record.Event) error
		is    error
		want  string
	}{
		{"another type", own("function", `{}`), loss, record.ErrType, "seq 41 of e1 is a function, not a kinetel.loss"},
		{"another of Kinetel's", own(record.TypeLoss, `{}`), invocation, record.ErrType, "is a kinetel.loss, not a kinetel.invocation or a kinetel.span"},
		{"a part", aPart, loss, record.ErrBody, "kinetel.loss, seq 41 of e1: it is only part 1 of 2; join them first"},
		{"no object", own(record.TypeLoss, `[]`), loss, record.ErrBody, "array"},
		{"no body", own(record.TypeLoss, ``), loss, record.ErrBody, "kinetel.loss"},
		{"null", own(record.TypeReport, `null`), report, record.ErrBody, "final is missing"},
		{"a member of another type", own(record.TypeLoss, `{"firstSeq":"1","lastSeq":2,"count":1,"bytes":1,"reason":"a"}`), loss, record.ErrBody, "firstSeq"},
		{"a member is missing", own(record.TypeLoss, `{"firstSeq":1,"lastSeq":2,"count":1,"reason":"a"}`), loss, record.ErrBody, "bytes is missing"},
		{"a member is null", own(record.TypeLoss, `{"firstSeq":1,"lastSeq":2,"count":1,"bytes":1,"reason":null}`), loss, record.ErrBody, "reason is missing"},
		{"a member of a member is missing", own(record.TypeReport, `{"final":true,"uptimeMs":1,"received":{"events":1}}`), report, record.ErrBody, "received: bytes is missing"},
		{"a member of an element is missing", own(record.TypeEnvironment, `{"kinetel":{"version":"","format":"","compression":"","partitionKey":"","flush":"","flushIntervalMs":0,"maxHoldMs":0,"bufferBytes":0,`+
			`"spool":"","spoolBytes":0,"types":[],"report":[]},"problems":[{"severity":"WARN","message":"a"}],"attributes":{}}`), environment, record.ErrBody, "problems: variable is missing"},
		{"the numbers of a loss are in the wrong order", own(record.TypeLoss, `{"firstSeq":3,"lastSeq":2,"count":1,"bytes":1,"reason":"a"}`), loss, record.ErrBody, "firstSeq is 3 and lastSeq 2"},
		{"a loss from 0", own(record.TypeLoss, `{"firstSeq":0,"lastSeq":2,"count":1,"bytes":1,"reason":"a"}`), loss, record.ErrBody, "firstSeq is 0"},
		{"a loss of nothing", own(record.TypeLoss, `{"firstSeq":1,"lastSeq":2,"count":0,"bytes":1,"reason":"a"}`), loss, record.ErrBody, "count is 0; it must be 1 or more"},
		{"a start that is no time", own(record.TypeInvocation, `{"requestId":"r","metrics":{},"start":"noon"}`), invocation, record.ErrBody, "noon"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.body(tt.event); !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("the error is %v, want %q", err, tt.want)
			}
		})
	}
}

// schemaNode is what the test reads of the JSON Schema.
type schemaNode struct {
	Ref        string                `json:"$ref"`
	Type       string                `json:"type"`
	Const      any                   `json:"const"`
	Properties map[string]schemaNode `json:"properties"`
	Required   []string              `json:"required"`
	Items      *schemaNode           `json:"items"`
	Additional any                   `json:"additionalProperties"`
	Defs       map[string]schemaNode `json:"$defs"`
}

// The structs have the members of the schema, and no others.
func TestBodiesHaveTheMembersOfTheSchema(t *testing.T) {
	text, err := os.ReadFile("../schema/kinetel-1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var schema schemaNode
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	for name, of := range map[string]reflect.Type{
		"invocation": reflect.TypeFor[record.Invocation](), "loss": reflect.TypeFor[record.Loss](), "init": reflect.TypeFor[record.Init](),
		"report": reflect.TypeFor[record.Report](), "environment": reflect.TypeFor[record.Environment](),
	} {
		compare(t, name, schema.Defs, schemaNode{Ref: "#/$defs/" + name}, of)
	}
}

func compare(t *testing.T, at string, defs map[string]schemaNode, node schemaNode, of reflect.Type) {
	t.Helper()
	if node.Ref != "" {
		node = defs[strings.TrimPrefix(node.Ref, "#/$defs/")]
	}
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	_, isText := node.Const.(string)
	_, isBool := node.Const.(bool)
	kind := of.Kind()
	switch {
	case node.Type == "object" && kind == reflect.Struct:
		members := map[string]bool{}
		for i := range of.NumField() {
			name, optional, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			members[name] = true
			property, ok := node.Properties[name]
			if !ok {
				t.Errorf("%s: the schema has no %s", at, name)
				continue
			}
			if required := slices.Contains(node.Required, name); required == (optional != "") {
				t.Errorf("%s.%s: required in the schema is %t, in the struct %t", at, name, required, optional == "")
			}
			compare(t, at+"."+name, defs, property, of.Field(i).Type)
		}
		for name := range node.Properties {
			if !members[name] {
				t.Errorf("%s: the struct has no %s", at, name)
			}
		}
	case node.Type == "array" && kind == reflect.Slice && node.Items != nil:
		compare(t, at+"[]", defs, *node.Items, of.Elem())
	case node.Type == "object" && kind == reflect.Map && of.Elem().Kind() == reflect.Int64 && node.Additional != nil:
	case node.Type == "string" && (kind == reflect.String || of == reflect.TypeFor[time.Time]()):
	case isText && kind == reflect.String:
	case (node.Type == "boolean" || isBool) && kind == reflect.Bool:
	case node.Type == "integer" && (kind == reflect.Int64 || kind == reflect.Uint64):
	case node.Type == "number" && kind == reflect.Float64:
	case node.Type == "" && node.Const == nil && of == reflect.TypeFor[json.RawMessage]():
	default:
		t.Errorf("%s: %s is not of the type %q", at, of, node.Type)
	}
}
