package otlp_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/formattest"
	"github.com/kinetel/kinetel/internal/format/otlp"
	"github.com/kinetel/kinetel/internal/version"
)

func orders() *environment.Environment {
	return formattest.Of("e1", formattest.Resource, environment.Details{Attributes: []byte(`{"cloud.platform":"aws_lambda","faas.name":"another","faas.max_memory":268435456,"aws.log.group.names":["/aws/lambda/orders"]}`)})
}

const (
	otlpResourceText = `"resource":{"attributes":[{"key":"cloud.provider","value":{"stringValue":"aws"}},{"key":"faas.name","value":{"stringValue":"orders"}},` +
		`{"key":"service.instance.id","value":{"stringValue":"e1"}},{"key":"cloud.platform","value":{"stringValue":"aws_lambda"}},{"key":"faas.max_memory","value":{"intValue":"268435456"}},` +
		`{"key":"aws.log.group.names","value":{"arrayValue":{"values":[{"stringValue":"/aws/lambda/orders"}]}}}]}`
	otlpScopeText = `{"scope":{"name":"kinetel","version":"` + version.Version + `","attributes":[{"key":"kinetel.resource.members","value":{"intValue":"3"}}]},`
	otlpEndText   = `"schemaUrl":"https://opentelemetry.io/schemas/1.44.0"}],"schemaUrl":"https://opentelemetry.io/schemas/1.44.0"}]}` + "\n"
)

func TestAppendOTLPLogsText(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []string // members
		want  string   // log records
	}{
		{"no line", nil, ``},
		{
			"a line of text",
			[]string{`"type":"function","severity":"INFO","requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd","traceId":"1-5759e988-bd862e3fe1be46a994272793","body":"user signed in"`},
			`{"attributes":[{"key":"kinetel.seq","value":{"intValue":"17"}},{"key":"kinetel.type","value":{"stringValue":"function"}},` +
				`{"key":"faas.invocation_id","value":{"stringValue":"8476a536-e9f4-11e8-9739-2dfe598c3fcd"}},{"key":"kinetel.xray.trace_id","value":{"stringValue":"1-5759e988-bd862e3fe1be46a994272793"}}],` +
				`"timeUnixNano":"1795378500123000000","observedTimeUnixNano":"1795378500148000000","severityNumber":9,"severityText":"INFO",` +
				`"body":{"stringValue":"user signed in"},"traceId":"5759e988bd862e3fe1be46a994272793"}`,
		},
		{
			"a platform event",
			[]string{`"type":"platform.report","requestId":"r","body":{"requestId":"r","metrics":{"durationMs":2.50,"billedDurationMs":3},"status":"error","errorType":"Runtime.ExitError","spans":[],"more":null}`},
			`{"attributes":[{"key":"kinetel.seq","value":{"intValue":"17"}},{"key":"kinetel.type","value":{"stringValue":"platform.report"}},` +
				`{"key":"faas.invocation_id","value":{"stringValue":"r"}},{"key":"error.type","value":{"stringValue":"Runtime.ExitError"}}],` +
				`"timeUnixNano":"1795378500123000000","observedTimeUnixNano":"1795378500148000000","eventName":"aws.lambda.platform.report",` +
				`"body":{"kvlistValue":{"values":[{"key":"requestId","value":{"stringValue":"r"}},` +
				`{"key":"metrics","value":{"kvlistValue":{"values":[{"key":"durationMs","value":{"doubleValue":2.50}},{"key":"billedDurationMs","value":{"intValue":"3"}}]}}},` +
				`{"key":"status","value":{"stringValue":"error"}},{"key":"errorType","value":{"stringValue":"Runtime.ExitError"}},{"key":"spans","value":{"arrayValue":{"values":[]}}},{"key":"more","value":{}}]}}}`,
		},
		{
			"lines after each other, a part with more members among them",
			[]string{`"type":"extension","body":true`, `"type":"function","part":1,"parts":2,"body":"\"a","extra":{"b":[1, 2]}`},
			`{"attributes":[{"key":"kinetel.seq","value":{"intValue":"17"}},{"key":"kinetel.type","value":{"stringValue":"extension"}}],` +
				`"timeUnixNano":"1795378500123000000","observedTimeUnixNano":"1795378500148000000","body":{"boolValue":true}},` +
				`{"attributes":[{"key":"kinetel.seq","value":{"intValue":"18"}},{"key":"kinetel.type","value":{"stringValue":"function"}},` +
				`{"key":"kinetel.part","value":{"intValue":"1"}},{"key":"kinetel.parts","value":{"intValue":"2"}},{"key":"kinetel.extra","value":{"stringValue":"{\"b\":[1, 2]}"}}],` +
				`"timeUnixNano":"1795378500123000000","observedTimeUnixNano":"1795378500148000000","body":{"stringValue":"\"a"}}`,
		},
		{
			"a body that cannot be restored, and one that needs too much space",
			[]string{`"type":"function","body":[ false]`, `"type":"function","body":[[[[[[[[[[[[["\\"]]]]]]]]]]]]]`},
			`{"attributes":[{"key":"kinetel.seq","value":{"intValue":"17"}},{"key":"kinetel.type","value":{"stringValue":"function"}},{"key":"kinetel.body","value":{"stringValue":"[ false]"}}],` +
				`"timeUnixNano":"1795378500123000000","observedTimeUnixNano":"1795378500148000000","body":{"arrayValue":{"values":[{"boolValue":false}]}}},` +
				`{"attributes":[{"key":"kinetel.seq","value":{"intValue":"18"}},{"key":"kinetel.type","value":{"stringValue":"function"}},{"key":"kinetel.body.json","value":{"boolValue":true}}],` +
				`"timeUnixNano":"1795378500123000000","observedTimeUnixNano":"1795378500148000000","body":{"stringValue":"[[[[[[[[[[[[[\"\\\\\"]]]]]]]]]]]]]"}}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var lines []format.Line
			for i, members := range tt.lines {
				lines = append(lines, formattest.Line(t, 17+i, members))
				lines[i].Received = 1795378500148000000
			}
			want := `before{"resourceLogs":[{` + otlpResourceText + `,"scopeLogs":[` + otlpScopeText + `"logRecords":[` + tt.want + `],` + otlpEndText
			if diff := cmp.Diff(want, string(otlp.AppendLogs([]byte("before"), orders(), lines))); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
		})
	}
}

const spanBody = `{"requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd","status":"timeout","start":"2026-11-22T20:14:57.100Z","metrics":{"durationMs":3000.25,"billedDurationMs":3001},` +
	`"coldStart":true,"tracing":{"spanId":"54565FB41AC79632","type":"X-Amzn-Trace-Id","value":"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"}}`

func TestAppendOTLPSpansText(t *testing.T) {
	l := formattest.Line(t, 17, `"type":"kinetel.span","requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd","traceId":"1-5759e988-bd862e3fe1be46a994272793","body":`+spanBody)
	want := `{"resourceSpans":[{` + otlpResourceText + `,"scopeSpans":[` + otlpScopeText + `"spans":[` +
		`{"attributes":[{"key":"kinetel.seq","value":{"intValue":"17"}},{"key":"kinetel.type","value":{"stringValue":"kinetel.span"}},` +
		`{"key":"faas.invocation_id","value":{"stringValue":"8476a536-e9f4-11e8-9739-2dfe598c3fcd"}},{"key":"kinetel.xray.trace_id","value":{"stringValue":"1-5759e988-bd862e3fe1be46a994272793"}},` +
		`{"key":"error.type","value":{"stringValue":"timeout"}},{"key":"faas.coldstart","value":{"boolValue":true}},{"key":"kinetel.time","value":{"stringValue":"2026-11-22T20:15:00.123Z"}},` +
		`{"key":"kinetel.body","value":{"stringValue":"` + strings.ReplaceAll(spanBody, `"`, `\"`) + `"}}],` +
		`"traceId":"5759e988bd862e3fe1be46a994272793","spanId":"54565fb41ac79632","flags":1,"parentSpanId":"53995c3f42cd8ad8","name":"orders","kind":2,` +
		`"startTimeUnixNano":"1795378497100000000","endTimeUnixNano":"1795378500100250000","status":{"code":2}}],` + otlpEndText
	if diff := cmp.Diff(want, string(otlp.AppendSpans(nil, orders(), []format.Line{l}))); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
}

// oneLog encodes a line, and reads it as OpenTelemetry's collector does.
func oneLog(t interface {
	Helper()
	Fatalf(string, ...any)
}, env *environment.Environment, l *format.Line,
) plog.LogRecord {
	t.Helper()
	payload := otlp.AppendLogs(nil, env, []format.Line{*l})
	logs, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(payload)
	if err != nil || logs.LogRecordCount() != 1 {
		t.Fatalf("%d log records, and %v, in\n%s", logs.LogRecordCount(), err, payload)
	}
	return logs.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
}

func oneSpan(t interface {
	Helper()
	Fatalf(string, ...any)
}, env *environment.Environment, l *format.Line,
) ptrace.Span {
	t.Helper()
	payload := otlp.AppendSpans(nil, env, []format.Line{*l})
	traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(payload)
	if err != nil || traces.SpanCount() != 1 {
		t.Fatalf("%d spans, and %v, in\n%s", traces.SpanCount(), err, payload)
	}
	return traces.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
}

// logFields are all that a log record has.
type logFields struct {
	Time, Observed time.Time
	Number         plog.SeverityNumber
	Text, Name     string
	Trace, Span    string
	Flags          plog.LogRecordFlags
	Attributes     []any // name, value, name, value …
	Body           any
}

func fieldsOf(r plog.LogRecord) logFields {
	return logFields{
		r.Timestamp().AsTime(), r.ObservedTimestamp().AsTime(), r.SeverityNumber(), r.SeverityText(), r.EventName(), r.TraceID().String(), r.SpanID().String(), r.Flags(), pairs(r.Attributes()), r.Body().AsRaw(),
	}
}

func pairs(m pcommon.Map) (all []any) {
	for name, value := range m.All() {
		all = append(all, name, value.AsRaw())
	}
	return all
}

func TestOpenTelemetryReadsLogs(t *testing.T) {
	at := time.Date(2026, 11, 22, 20, 15, 0, 123e6, time.UTC)
	for _, tt := range []struct {
		name, members string
		want          logFields
	}{
		{
			"a line of text", `"type":"function","severity":"WARN","requestId":"r","traceId":"1-5759E988-bd862e3fe1be46a994272793","body":"\u00fcber"`,
			logFields{Number: plog.SeverityNumberWarn, Text: "WARN", Trace: "5759e988bd862e3fe1be46a994272793", Attributes: []any{"kinetel.type", "function", "faas.invocation_id", "r", "kinetel.xray.trace_id", "1-5759E988-bd862e3fe1be46a994272793"}, Body: "über"},
		},
		{
			"an extension's line, without more", `"type":"extension","severity":"FATAL","body":null`,
			logFields{Number: plog.SeverityNumberFatal, Text: "FATAL", Attributes: []any{"kinetel.type", "extension"}},
		},
		{
			"the lowest severity", `"type":"function","severity":"TRACE","body":false`,
			logFields{Number: plog.SeverityNumberTrace, Text: "TRACE", Attributes: []any{"kinetel.type", "function"}, Body: false},
		},
		{
			"an unknown severity", `"type":"function","severity":"LOUD","body":1`,
			logFields{Text: "LOUD", Attributes: []any{"kinetel.type", "function", "kinetel.severity", "LOUD"}, Body: int64(1)},
		},
		{
			"an invocation", `"type":"kinetel.invocation","requestId":"r","body":{"status":"error","errorType":"Runtime.Unknown","coldStart":false}`,
			logFields{
				Name: "kinetel.invocation", Attributes: []any{"kinetel.type", "kinetel.invocation", "faas.invocation_id", "r", "error.type", "Runtime.Unknown", "faas.coldstart", false},
				Body: map[string]any{"status": "error", "errorType": "Runtime.Unknown", "coldStart": false},
			},
		},
		{
			"what looks like a result, and is a function's", `"type":"function","body":{"errorType":"X","coldStart":true}`,
			logFields{Attributes: []any{"kinetel.type", "function"}, Body: map[string]any{"errorType": "X", "coldStart": true}},
		},
		{
			"a platform event has no cold start", `"type":"platform.report","body":{"errorType":"X","coldStart":true}`,
			logFields{Name: "aws.lambda.platform.report", Attributes: []any{"kinetel.type", "platform.report", "error.type", "X"}, Body: map[string]any{"errorType": "X", "coldStart": true}},
		},
		{
			"an error type that is a story, and a cold start that is none", `"type":"kinetel.invocation","body":{"errorType":"` + strings.Repeat("x", 129) + `","coldStart":1}`,
			logFields{Name: "kinetel.invocation", Attributes: []any{"kinetel.type", "kinetel.invocation"}, Body: map[string]any{"errorType": strings.Repeat("x", 129), "coldStart": int64(1)}},
		},
		{
			"another of Kinetel's own", `"type":"kinetel.loss","body":{"errorType":"X","n":[1.5]}`,
			logFields{Name: "kinetel.loss", Attributes: []any{"kinetel.type", "kinetel.loss"}, Body: map[string]any{"errorType": "X", "n": []any{1.5}}},
		},
		{
			"a part", `"type":"platform.report","part":2,"parts":3,"body":"{\"errorType\":\"X\",\"traceparent\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\"}"`,
			logFields{
				Name: "aws.lambda.platform.report", Attributes: []any{"kinetel.type", "platform.report", "kinetel.part", int64(2), "kinetel.parts", int64(3)},
				Body: `{"errorType":"X","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}`,
			},
		},
		{
			"broken text", "\"type\":\"function\",\"body\":\"\xff\\n\",\"extra\":{\"a\":\"\xfe\"}",
			logFields{Attributes: []any{"kinetel.type", "function", "kinetel.extra", []byte("{\"a\":\"\xfe\"}")}, Body: []byte("\xff\n")},
		},
		{
			"a lone surrogate", `"type":"function","body":"a\udead"`,
			logFields{Attributes: []any{"kinetel.type", "function", "kinetel.body", `"a\udead"`}, Body: "a\ufffd"},
		},
		{
			"an odd type that is made valid", `"type":"\udead\b\f\n\r\t\"\\\u0001\u001F\u0041\u00e9","body":0`,
			logFields{Attributes: []any{"kinetel.type", "\ufffd\b\f\n\r\t\"\\\x01\x1fAé"}, Body: int64(0)},
		},
		{
			"an odd type", "\"type\":\"platform.\xff\",\"requestId\":\"\\udead\",\"body\":0",
			logFields{Attributes: []any{"kinetel.type", []byte("platform.\xff"), "faas.invocation_id", "\ufffd"}, Body: int64(0)},
		},
		{
			"a number that is none", `"type":"function","body":[1e999]`,
			logFields{Attributes: []any{"kinetel.type", "function", "kinetel.body.json", true}, Body: "[1e999]"},
		},
		{
			"broken text that is nested too deep", "\"type\":\"function\",\"body\":[[[[[[[[[[[[[\"\xff\"]]]]]]]]]]]]]",
			logFields{Attributes: []any{"kinetel.type", "function", "kinetel.body.json", true}, Body: []byte("[[[[[[[[[[[[[\"\xff\"]]]]]]]]]]]]]")},
		},
		{
			"an object that is a dozen levels deep", `"type":"function","body":{"a":{"a":{"a":{"a":{"a":{"a":[[[[[["b"]]]]]]}}}}}}`,
			logFields{Attributes: []any{"kinetel.type", "function"}, Body: map[string]any{
				"a": map[string]any{"a": map[string]any{"a": map[string]any{"a": map[string]any{"a": map[string]any{"a": []any{[]any{[]any{[]any{[]any{[]any{"b"}}}}}}}}}}},
			}},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := formattest.Line(t, 17, tt.members)
			tt.want.Time, tt.want.Observed = at, at.Add(25*time.Millisecond)
			l.Received = tt.want.Observed.UnixNano()
			tt.want.Attributes = append([]any{"kinetel.seq", int64(17)}, tt.want.Attributes...)
			if diff := cmp.Diff(tt.want, fieldsOf(oneLog(t, orders(), &l))); diff != "" {
				t.Errorf("log record (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOpenTelemetryReadsTheResource(t *testing.T) {
	l := formattest.Line(t, 17, `"type":"kinetel.span","body":{}`)
	for _, tt := range []struct {
		name     string
		resource string
		details  string
		want     []any
		members  int64
	}{
		{
			"lines say some, details more", formattest.Resource, string(orders().Details().Attributes),
			[]any{"cloud.provider", "aws", "faas.name", "orders", "service.instance.id", "e1", "cloud.platform", "aws_lambda", "faas.max_memory", int64(268435456), "aws.log.group.names", []any{"/aws/lambda/orders"}},
			3,
		},
		{"no details", formattest.Resource, "", []any{"cloud.provider", "aws", "faas.name", "orders", "service.instance.id", "e1"}, 3},
		{"details only", `{}`, `{"a":[1,"b"]}`, []any{"a", []any{int64(1), "b"}}, 0},
		{"nothing", ``, `null`, nil, 0},
		{"what is no JSON", `{"a":"b",`, `{"c":1,"d"`, []any{"a", "b", "c", int64(1)}, 1},
		{"broken text", "{\"a\xff\":\"b\xff\",\"c\":\"\\udead\"}", "", []any{"a\ufffd", []byte("b\xff"), "c", "\ufffd"}, 2},
		{"a number that is none", `{"a":"b"}`, `{"c":1e999,"d":1}`, []any{"a", "b", "d", int64(1)}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := formattest.Of("", tt.resource, environment.Details{Attributes: []byte(tt.details)})
			logs, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(otlp.AppendLogs(nil, env, []format.Line{l}))
			if err != nil {
				t.Fatal(err)
			}
			traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(otlp.AppendSpans(nil, env, []format.Line{l}))
			if err != nil {
				t.Fatal(err)
			}
			if logs.ResourceLogs().Len() != 1 || traces.ResourceSpans().Len() != 1 {
				t.Fatal("not one resource")
			}
			rl, rs := logs.ResourceLogs().At(0), traces.ResourceSpans().At(0)
			sl, ss := rl.ScopeLogs().At(0), rs.ScopeSpans().At(0)
			const schema = "https://opentelemetry.io/schemas/1.44.0"
			for _, url := range []string{rl.SchemaUrl(), rs.SchemaUrl(), sl.SchemaUrl(), ss.SchemaUrl()} {
				if url != schema {
					t.Errorf("the schema is %q", url)
				}
			}
			for _, r := range []pcommon.Resource{rl.Resource(), rs.Resource()} {
				if diff := cmp.Diff(tt.want, pairs(r.Attributes())); diff != "" {
					t.Errorf("resource (-want +got):\n%s", diff)
				}
			}
			for _, s := range []pcommon.InstrumentationScope{sl.Scope(), ss.Scope()} {
				if s.Name() != "kinetel" || s.Version() != version.Version {
					t.Errorf("the scope is %q %q", s.Name(), s.Version())
				}
				if diff := cmp.Diff([]any{"kinetel.resource.members", tt.members}, pairs(s.Attributes())); diff != "" {
					t.Errorf("scope (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestOTLPTimes(t *testing.T) {
	for _, tt := range []struct {
		time string
		want time.Time // zero: not said
		kept bool      // as kinetel.time
	}{
		{"2026-11-22T20:15:00.123Z", time.Date(2026, 11, 22, 20, 15, 0, 123e6, time.UTC), false},
		{"1970-01-01T00:00:00.001Z", time.Unix(0, 1e6), false},
		{"2554-07-21T23:34:32.999Z", time.Unix(18446744072, 999e6), false},
		{"2554-07-21T23:34:34.000Z", time.Time{}, true},
		{"1969-12-31T23:59:59.999Z", time.Time{}, true},
		{"2026-11-22T20:15:00Z", time.Date(2026, 11, 22, 20, 15, 0, 0, time.UTC), true},
		{"2026-11-22T20:15:00,123Z", time.Date(2026, 11, 22, 20, 15, 0, 123e6, time.UTC), true},
		{"2026-11-22T20:15:00.123456789Z", time.Date(2026, 11, 22, 20, 15, 0, 123456789, time.UTC), true},
		{"2026-11-22T22:15:00.123+02:00", time.Date(2026, 11, 22, 20, 15, 0, 123e6, time.UTC), true},
		{"2026-02-30T00:00:00.000Z", time.Time{}, true},
		{"yesterday", time.Time{}, true},
	} {
		t.Run(tt.time, func(t *testing.T) {
			l := formattest.Line(t, 1, `"type":"function","body":1`)
			l.Time = []byte(tt.time)
			r := oneLog(t, orders(), &l)
			if got := r.Timestamp(); tt.want.IsZero() && got != 0 || !tt.want.IsZero() && got != pcommon.Timestamp(uint64(tt.want.Unix())*1e9+uint64(tt.want.Nanosecond())) {
				t.Errorf("the time is %d", got)
			}
			if got := r.ObservedTimestamp(); got != 0 {
				t.Errorf("a line that was received at an unknown time was observed at %d", got)
			}
			kept, ok := r.Attributes().Get("kinetel.time")
			if ok != tt.kept || ok && kept.Str() != tt.time {
				t.Errorf("kinetel.time is there: %t", ok)
			}
		})
	}
}

func TestOTLPContexts(t *testing.T) {
	const (
		xray  = "1-5759e988-bd862e3fe1be46a994272793"
		trace = "5759e988bd862e3fe1be46a994272793"
		w3c   = "4bf92f3577b34da6a3ce929d0e0e4736"
		span  = "00f067aa0ba902b7"
	)
	for _, tt := range []struct {
		name, body, id string
		trace, span    string
		flags          plog.LogRecordFlags
	}{
		{"none", `"a"`, "", "", "", 0},
		{"X-Ray's", `"a"`, xray, trace, "", 0},
		{"X-Ray's, of zeros", `"a"`, "1-00000000-000000000000000000000000", "", "", 0},
		{"X-Ray's, too short", `"a"`, xray[:34], "", "", 0},
		{"X-Ray's, with a letter that is none", `"a"`, "1-5759e98g-bd862e3fe1be46a994272793", "", "", 0},
		{"X-Ray's, of another version", `"a"`, "2" + xray[1:], "", "", 0},
		{"a traceparent", `{"a":1,"traceparent":"00-` + w3c + `-` + span + `-01"}`, xray, w3c, span, 1},
		{"a traceparent that is not sampled", `{"traceparent":"00-` + w3c + `-` + span + `-00"}`, xray, w3c, span, 0},
		{"a traceparent with more flags", `{"traceparent":"00-` + w3c + `-` + span + `-03"}`, "", w3c, span, 3},
		{"a traceparent in capitals", `{"traceparent":"00-` + strings.ToUpper(w3c+`-`+span) + `-01"}`, xray, w3c, span, 1},
		{"a traceparent in text", `" {\"a\":\"b\\\"\",\"traceparent\":\"00-` + w3c + `-` + span + `-01\"}\n"`, xray, w3c, span, 1},
		{"a traceparent in text that goes on", `"{\"traceparent\":\"00-` + w3c + `-` + span + `-01\"} more"`, xray, trace, "", 0},
		{"a traceparent in text that is cut", `"{\"traceparent\":\"00-` + w3c + `-` + span + `-01\","`, xray, trace, "", 0},
		{"a traceparent further down", `{"a":{"traceparent":"00-` + w3c + `-` + span + `-01"}}`, xray, trace, "", 0},
		{"a traceparent in an array", `["traceparent","00-` + w3c + `-` + span + `-01"]`, xray, trace, "", 0},
		{"a traceparent of another version", `{"traceparent":"01-` + w3c + `-` + span + `-01"}`, xray, trace, "", 0},
		{"a traceparent of no trace", `{"traceparent":"00-` + strings.Repeat("0", 32) + `-` + span + `-01"}`, xray, trace, "", 0},
		{"a traceparent of no span", `{"traceparent":"00-` + w3c + `-` + strings.Repeat("0", 16) + `-01"}`, xray, trace, "", 0},
		{"a traceparent that is longer", `{"traceparent":"00-` + w3c + `-` + span + `-01-"}`, xray, trace, "", 0},
		{"a traceparent with odd flags", `{"traceparent":"00-` + w3c + `-` + span + `-0g"}`, xray, trace, "", 0},
		{"a traceparent that is a number", `{"traceparent":1}`, xray, trace, "", 0},
		{"trace and span", `{"trace_id":"` + w3c + `","span_id":"` + strings.ToUpper(span) + `","trace_flags":"01"}`, xray, w3c, span, 1},
		{"trace and span in text", `"{\"span_id\":\"` + span + `\",\"trace_id\":\"` + w3c + `\"}"`, xray, w3c, span, 0},
		{"a trace without a span", `{"trace_id":"` + w3c + `","trace_flags":"01"}`, xray, w3c, "", 0},
		{"a span without a trace", `{"trace_id":1,"span_id":"` + span + `"}`, xray, trace, "", 0},
		{"a trace of another system", `{"trace_id":"4471828345678901234","span_id":"` + span + `"}`, "", "", "", 0},
		{"both: W3C's own", `{"trace_id":"` + strings.Repeat("1", 32) + `","traceparent":"00-` + w3c + `-` + span + `-01","span_id":"` + strings.Repeat("2", 16) + `"}`, xray, w3c, span, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := formattest.Line(t, 1, `"type":"function","body":`+tt.body)
			l.TraceID = []byte(tt.id)
			r := oneLog(t, orders(), &l)
			if r.TraceID().String() != tt.trace || r.SpanID().String() != tt.span || r.Flags() != tt.flags {
				t.Errorf("trace %q, span %q, flags %d", r.TraceID(), r.SpanID(), r.Flags())
			}
		})
	}
}

// spanFields are all that a span has.
type spanFields struct {
	Trace, Span, Parent string
	Name                string
	Kind                ptrace.SpanKind
	Start, End          time.Time
	Attributes          []any
	Status              ptrace.StatusCode
	Message             string
	Flags               uint32
	Links               []string
}

func TestOpenTelemetryReadsSpans(t *testing.T) {
	const (
		request = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
		header  = "Root=1-5759e988-bd862e3fe1be46a994272793"
		trace   = "5759e988bd862e3fe1be46a994272793"
		// Of "e1/8476a536-e9f4-11e8-9739-2dfe598c3fcd", by sha256sum; and of "e1/r".
		hashed, hashedR, hashedTrace = "ebb1fa7af63a9dc0", "cae4951265ceb83b", "30df6003ca8397f809b453e45a44c078"
	)
	at := func(ms int) time.Time { return time.Date(2026, 11, 22, 20, 14, 57, ms*1e6, time.UTC) }
	line := time.Date(2026, 11, 22, 20, 15, 0, 123e6, time.UTC)
	body := func(tracing string) string {
		return `{"start":"2026-11-22T20:14:57.100Z","metrics":{"durationMs":10},"tracing":` + tracing + `}`
	}
	for _, tt := range []struct {
		name, request, trace, body string
		want                       spanFields
	}{
		{
			"all there is", request, "1-5759e988-bd862e3fe1be46a994272793", spanBody,
			spanFields{
				Trace: trace, Span: "54565fb41ac79632", Parent: "53995c3f42cd8ad8", Start: at(100), End: at(3100).Add(250_000), Status: ptrace.StatusCodeError, Flags: 1,
				Attributes: []any{"error.type", "timeout", "faas.coldstart", true},
			},
		},
		{"a success", request, "", `{"status":"success","start":"2026-11-22T20:14:57.100Z","metrics":{"durationMs":0.0015},"coldStart":false}`, spanFields{
			Trace: "8476a536e9f411e897392dfe598c3fcd", Span: hashed, Start: at(100), End: at(100).Add(1500), Attributes: []any{"faas.coldstart", false},
		}},
		{"an error of a type", request, "", `{"status":"error","errorType":"Runtime.ExitError","start":"2026-11-22T20:14:57.100Z"}`, spanFields{
			Trace: "8476a536e9f411e897392dfe598c3fcd", Span: hashed, Start: at(100), End: at(100), Attributes: []any{"error.type", "Runtime.ExitError"}, Status: ptrace.StatusCodeError,
		}},
		{"no start", request, "", `{"metrics":{"durationMs":23}}`, spanFields{Trace: "8476a536e9f411e897392dfe598c3fcd", Span: hashed, Start: line.Add(-23 * time.Millisecond), End: line}},
		{"a start that is none, and odd durations", request, "", `{"start":"2026-11-22T20:14:57:100Z","metrics":{"durationMs":-5}}`, spanFields{Trace: "8476a536e9f411e897392dfe598c3fcd", Span: hashed, Start: line, End: line}},
		{"a duration of years", request, "", `{"metrics":{"durationMs":1e300}}`, spanFields{Trace: "8476a536e9f411e897392dfe598c3fcd", Span: hashed, Start: line, End: line}},
		{"a duration that is none", request, "", `{"metrics":{"durationMs":"x"}}`, spanFields{Trace: "8476a536e9f411e897392dfe598c3fcd", Span: hashed, Start: line, End: line}},
		{"a trace of the line's", request, "1-5759e988-bd862e3fe1be46a994272793", body(`null`), spanFields{Trace: trace, Span: hashed, Start: at(100), End: at(110)}},
		{"a request that is no UUID", "r", "", body(`{}`), spanFields{Trace: hashedTrace, Span: hashedR, Start: at(100), End: at(110)}},
		{"not sampled, no parent", request, "", body(`{"value":"` + header + `;Sampled=0"}`), spanFields{Trace: trace, Span: hashed, Start: at(100), End: at(110)}},
		{"another order, spaces, more", request, "", body(`{"value":"Sampled=1; Parent=53995C3F42CD8AD8;Lineage=a:0; ` + header + `"}`), spanFields{Trace: trace, Span: hashed, Parent: "53995c3f42cd8ad8", Start: at(100), End: at(110), Flags: 1}},
		{"its own parent is none", request, "", body(`{"spanId":"53995c3f42cd8ad8","value":"` + header + `;Parent=53995c3f42cd8ad8;Sampled=1"}`), spanFields{Trace: trace, Span: "53995c3f42cd8ad8", Start: at(100), End: at(110), Flags: 1}},
		{"ids of another length", request, "", body(`{"spanId":"53995c3f42cd8ad","value":"` + header + `;Parent=53995c3f42cd8ad"}`), spanFields{Trace: trace, Span: hashed, Start: at(100), End: at(110)}},
		{"a body that is none", request, "", `[]`, spanFields{Trace: "8476a536e9f411e897392dfe598c3fcd", Span: hashed, Start: line, End: line}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := formattest.Line(t, 17, `"type":"kinetel.span","requestId":"`+tt.request+`","body":`+tt.body)
			attributes := []any{"kinetel.seq", int64(17), "kinetel.type", "kinetel.span", "faas.invocation_id", tt.request}
			if tt.trace != "" {
				l.TraceID = []byte(tt.trace)
				attributes = append(attributes, "kinetel.xray.trace_id", tt.trace)
			}
			tt.want.Attributes = append(append(attributes, tt.want.Attributes...), "kinetel.time", "2026-11-22T20:15:00.123Z", "kinetel.body", tt.body)
			tt.want.Name, tt.want.Kind = "orders", ptrace.SpanKindServer
			s := oneSpan(t, orders(), &l)
			got := spanFields{
				s.TraceID().String(), s.SpanID().String(), s.ParentSpanID().String(), s.Name(), s.Kind(), s.StartTimestamp().AsTime(), s.EndTimestamp().AsTime(), pairs(s.Attributes()), s.Status().Code(), s.Status().Message(), s.Flags(), links(s),
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("span (-want +got):\n%s", diff)
			}
		})
	}
}

// A part of a span has no more content than its line.
func TestAPartOfASpanIsASpan(t *testing.T) {
	l := formattest.Line(t, 17, `"type":"kinetel.span","requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd","part":1,"parts":2,"body":"{\"status\":\"error\"}"`)
	s := oneSpan(t, orders(), &l)
	if s.Status().Code() != ptrace.StatusCodeUnset || s.StartTimestamp() != s.EndTimestamp() || s.SpanID().IsEmpty() || s.TraceID().IsEmpty() {
		t.Errorf("the span of a part: %v", s)
	}
	if body, _ := s.Attributes().Get("kinetel.body"); body.Str() != `"{\"status\":\"error\"}"` {
		t.Errorf("kinetel.body is %s", body.Str())
	}
	if n, _ := s.Attributes().Get("kinetel.parts"); n.Int() != 2 {
		t.Errorf("kinetel.parts is %d", n.Int())
	}
}

func TestASpanWithoutAFunctionHasAName(t *testing.T) {
	l := formattest.Line(t, 17, `"type":"kinetel.span","body":{}`)
	if got := oneSpan(t, formattest.Of("", `{"faas.name":""}`, environment.Details{}), &l).Name(); got != "invocation" {
		t.Errorf("the span is called %q", got)
	}
	if got := oneSpan(t, formattest.Of("", "{\"faas.name\":\"a\xff\"}", environment.Details{}), &l).Name(); got != "invocation" {
		t.Errorf("the span is called %q", got)
	}
}

// same compares what OpenTelemetry reads with what encoding/json does, token by
// token, so that order and names that stand twice count.
func same(dec *json.Decoder, v pcommon.Value) error {
	token, err := dec.Token()
	if err != nil {
		return err
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '[' {
			if v.Type() != pcommon.ValueTypeSlice {
				return fmt.Errorf("an array is a %s", v.Type())
			}
			for i := range v.Slice().Len() {
				if err := same(dec, v.Slice().At(i)); err != nil {
					return err
				}
			}
		} else {
			if v.Type() != pcommon.ValueTypeMap {
				return fmt.Errorf("an object is a %s", v.Type())
			}
			for name, value := range v.Map().All() {
				if key, err := dec.Token(); err != nil || key != name {
					return fmt.Errorf("the name %q is %q, %w", key, name, err)
				}
				if err := same(dec, value); err != nil {
					return err
				}
			}
		}
		if end, err := dec.Token(); err != nil || end != token+2 {
			return fmt.Errorf("%v instead of the end, %w", end, err)
		}
	case string:
		switch v.Type() {
		case pcommon.ValueTypeStr:
			if v.Str() != token {
				return fmt.Errorf("%q is %q", token, v.Str())
			}
		case pcommon.ValueTypeBytes:
			raw := v.Bytes().AsRaw()
			if bytes.Equal(raw, bytes.ToValidUTF8(raw, nil)) || string([]rune(string(raw))) != token {
				return fmt.Errorf("%q is %q", token, raw)
			}
		default:
			return fmt.Errorf("a string is a %s", v.Type())
		}
	case json.Number:
		if n, err := strconv.ParseInt(string(token), 10, 64); err == nil && token != "-0" {
			if v.Type() != pcommon.ValueTypeInt || v.Int() != n {
				return fmt.Errorf("%s is %v", token, v.AsRaw())
			}
			break
		}
		if f, err := strconv.ParseFloat(string(token), 64); err != nil || v.Type() != pcommon.ValueTypeDouble || v.Double() != f {
			return fmt.Errorf("%s is %v", token, v.AsRaw())
		}
	case bool:
		if v.Type() != pcommon.ValueTypeBool || v.Bool() != token {
			return fmt.Errorf("%t is %v", token, v.AsRaw())
		}
	case nil:
		if v.Type() != pcommon.ValueTypeEmpty {
			return fmt.Errorf("null is %v", v.AsRaw())
		}
	}
	return nil
}

func TestOpenTelemetryReadsBodiesAsEncodingJSONDoes(t *testing.T) {
	drawn, structured := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		drawn++
		l := formattest.Line(t, 1, `"type":"function","body":`+string(format.AppendOneLine(nil, []byte(formattest.BrokenValue().Draw(t, "body")))))
		r := oneLog(t, orders(), &l)
		if asText, ok := r.Attributes().Get("kinetel.body.json"); ok {
			text := r.Body().Str()
			if r.Body().Type() == pcommon.ValueTypeBytes {
				text = string(r.Body().Bytes().AsRaw())
			}
			if !asText.Bool() || text != string(l.Body) {
				t.Fatalf("%s is %s", l.Body, text)
			}
			return
		}
		structured++
		dec := json.NewDecoder(bytes.NewReader(l.Body))
		dec.UseNumber()
		if err := same(dec, r.Body()); err != nil {
			t.Fatalf("%v in %s", err, l.Body)
		}
		if _, err := dec.Token(); !errors.Is(err, io.EOF) {
			t.Fatalf("%s is not read to its end", l.Body)
		}
	})
	if structured < drawn/5 {
		t.Errorf("%d of %d bodies were written as values", structured, drawn)
	}
}

// A body is written as values if that takes no more than twice its text and
// 512 bytes: 37 ones take 653 of 662.
func TestOTLPBodiesThatTakeTooMuchSpaceAreText(t *testing.T) {
	for _, tt := range []struct {
		body string
		text bool
	}{
		{"[" + strings.Repeat("1,", 36) + "1]", false},
		{"[" + strings.Repeat("1,", 37) + "1]", true},
		{"[" + strings.Repeat(" ", 200) + "1]", false},
		{"[" + strings.Repeat("\t", 9999) + "1]", false},
		{"[" + strings.Repeat("\t", 500) + strings.Repeat("1,", 36) + "1]", true},
		{strings.Repeat("[", 12) + strings.Repeat("]", 12), false},
		{strings.Repeat("[", 13) + strings.Repeat("]", 13), true},
		{`"` + strings.Repeat("a", 1<<20) + `"`, false},
		{"1e308", false},
		{"1e309", true},
		{strings.Repeat("9", 309), true},
		{"-" + strings.Repeat("9", 308), false},
	} {
		l := formattest.Line(t, 1, `"type":"function","body":`+tt.body)
		if _, got := oneLog(t, orders(), &l).Attributes().Get("kinetel.body.json"); got != tt.text {
			t.Errorf("a body of %d bytes, %.20s, is text: %t", len(tt.body), tt.body, got)
		}
	}
}

func TestOTLPTakesNoMoreSpaceThanDocumented(t *testing.T) {
	env := with(otlp.ParentLink)
	worst := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		var lines []format.Line
		most := 0
		for range rapid.IntRange(1, 3).Draw(t, "lines") {
			text := formattest.OddLine().Draw(t, "line")
			l, ok := format.ReadLine([]byte(text))
			if !ok {
				t.Fatalf("no line: %s", text)
			}
			l.Details = oddDetails().Draw(t, "details")
			lines = append(lines, l)
			most += 2*len(text) + 1024
		}
		for name, encode := range map[string]func([]byte, *environment.Environment, []format.Line) []byte{"logs": otlp.AppendLogs, "spans": otlp.AppendSpans} {
			size := len(encode(nil, env, lines)) - len(encode(nil, env, nil))
			if size > most {
				t.Fatalf("%s take %d bytes, of %d:\n%s", name, size, most, encode(nil, env, lines))
			}
			if len(lines) == 1 {
				worst[name] = max(worst[name], size-2*len(lines[0].Text))
			}
		}
	})
	t.Log("bytes beside twice the text, at most:", worst)
}

func TestOTLPIsTheSameEachTime(t *testing.T) {
	env := orders()
	rapid.Check(t, func(t *rapid.T) {
		var lines []format.Line
		for _, text := range rapid.SliceOfN(formattest.OddLine(), 0, 3).Draw(t, "lines") {
			l, _ := format.ReadLine([]byte(text))
			l.Details = oddDetails().Draw(t, "details")
			lines = append(lines, l)
		}
		before := rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "before")
		for _, encode := range []func([]byte, *environment.Environment, []format.Line) []byte{otlp.AppendLogs, otlp.AppendSpans} {
			first := encode(nil, env, lines)
			room := append(make([]byte, 0, rapid.IntRange(0, 9999).Draw(t, "room")), before...)
			second, ok := bytes.CutPrefix(encode(room, env, lines), before)
			if !ok || !bytes.Equal(first, second) {
				t.Fatalf("once it is\n%s\nand then\n%s", first, second)
			}
		}
	})
}

// oddDetails draws details of a line that take as much space as possible, or none.
func oddDetails() *rapid.Generator[format.Details] {
	return rapid.SampledFrom([]format.Details{{}, {
		Received: math.MaxInt64,
		OTLP: event.OTLP{
			SeverityText: "informational+999", SeverityNumber: 18,
			Span: &event.Span{Header: []byte("Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"), ID: []byte("54565fb41ac79632")},
		},
	}})
}

// benchLines are what a function prints, and platform events between.
func benchLines(b interface{ Fatalf(string, ...any) }) (text [][]byte, lines []format.Line, size int64) {
	const request, trace = "8476a536-e9f4-11e8-9739-2dfe598c3fcd", "1-5759e988-bd862e3fe1be46a994272793"
	resource := []byte(`{"cloud.provider":"aws","cloud.region":"eu-west-1","cloud.account.id":"123456789012","faas.name":"orders","faas.version":"$LATEST","service.name":"orders","service.instance.id":"0123456789abcdef0123456789abcdef"}`)
	for i, ev := range slices.Repeat(benchEvents(), 10) {
		ev.RequestID, ev.TraceID = request, trace
		line := format.AppendLine(nil, uint64(i+1), &ev, format.Part{}, resource)
		l, ok := format.ReadLine(line)
		if !ok {
			b.Fatalf("no line: %s", line)
		}
		text, lines, size = append(text, line), append(lines, l), size+int64(len(line))
	}
	return text, lines, size
}

func benchEvents() []event.Event {
	at := []byte("2026-11-22T20:15:00.123Z")
	return []event.Event{
		{Time: at, Type: []byte("function"), Severity: event.Info, Record: []byte(`"[INFO]\t2026-11-22T20:15:00.123Z\t8476a536-e9f4-11e8-9739-2dfe598c3fcd\tuser 4711 signed in from 192.0.2.17 after 2 attempts\n"`)},
		{Time: at, Type: []byte("function"), Severity: event.Info, Record: []byte(`"{\"level\":\"info\",\"msg\":\"order placed\",\"orderId\":\"o-4711\",\"items\":3,\"total\":59.97,\"user\":{\"id\":4711,\"plan\":\"pro\"}}\n"`)},
		{Time: at, Type: []byte("function"), Severity: event.Error, Record: []byte(`{"timestamp":"2026-11-22T20:15:00.123Z","level":"ERROR","message":"payment declined","orderId":"o-4711","amount":59.97,"attempt":2,"retry":true,"requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd"}`)},
		{Time: at, Type: []byte("platform.report"), Record: []byte(`{"requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd","metrics":{"durationMs":128.402,"billedDurationMs":129,"memorySizeMB":256,"maxMemoryUsedMB":71},"status":"success","tracing":{"spanId":"54565fb41ac79632","type":"X-Amzn-Trace-Id","value":"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"}}`)},
	}
}

func BenchmarkOTLP(b *testing.B) {
	text, lines, size := benchLines(b)
	resource := lines[0].Resource
	env := formattest.Of("e1", string(resource), orders().Details())
	events := slices.Repeat(benchEvents(), 10)
	for i := range events {
		events[i].RequestID, events[i].TraceID = "8476a536-e9f4-11e8-9739-2dfe598c3fcd", "1-5759e988-bd862e3fe1be46a994272793"
	}
	var dst []byte
	for _, bb := range []struct {
		name string
		run  func()
	}{
		{"AppendLine", func() {
			dst = dst[:0]
			for i := range events {
				dst = format.AppendLine(dst, uint64(i+1), &events[i], format.Part{}, resource)
			}
		}},
		{"ReadLine", func() {
			for _, line := range text {
				if _, ok := format.ReadLine(line); !ok {
					b.Fatal("no line")
				}
			}
		}},
		{"AppendOTLPLogs", func() { dst = otlp.AppendLogs(dst[:0], env, lines) }},
		{"AppendOTLPSpans", func() { dst = otlp.AppendSpans(dst[:0], env, lines) }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				bb.run()
			}
			b.ReportMetric(float64(len(dst))/float64(size), "written/line")
		})
	}
}
