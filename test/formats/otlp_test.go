package formats

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/kinetel/kinetel/record"
)

const arn = "arn:aws:lambda:eu-west-1:" + accountID + ":function:" + functionName

// traceContext is the trace context of a log record or a span.
type traceContext struct {
	trace, span string
	flags       uint32
}

// contexts are those of the events of invocations.
type contexts struct {
	spans map[string]traceContext // by request
	logs  map[string][]traceContext
}

// same checks that the log records of each invocation have the context of its span.
func (c *contexts) same(t *testing.T) {
	t.Helper()
	for request, of := range c.logs {
		for _, got := range of {
			if got != c.spans[request] {
				t.Errorf("a log record of %s has the context %v, its span has %v", request, got, c.spans[request])
			}
		}
	}
	if len(c.logs) != len(c.spans) {
		t.Errorf("%d invocations have log records, %d have spans", len(c.logs), len(c.spans))
	}
}

// openTelemetry has OpenTelemetry's own library read payloads.
func (c *check) openTelemetry(payloads []byte) {
	c.Helper()
	rest := c.reading()
	all := contexts{map[string]traceContext{}, map[string][]traceContext{}}
	for payload := range bytes.Lines(payloads) {
		if bytes.HasPrefix(payload, []byte(`{"resourceSpans"`)) {
			traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(payload)
			if err != nil {
				c.Fatalf("%v in %s", err, clip(payload))
			}
			c.protobufTraces(payload, traces)
			for _, of := range traces.ResourceSpans().All() {
				environment := c.env(of.Resource())
				for _, scope := range of.ScopeSpans().All() {
					for _, span := range scope.Spans().All() {
						if p, ok := rest.take(environment, seqOf(span.Attributes())); ok {
							c.span(&all, p, span)
						}
					}
				}
			}
			continue
		}
		logs, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(payload)
		if err != nil {
			c.Fatalf("%v in %s", err, clip(payload))
		}
		c.protobufLogs(payload, logs)
		for _, of := range logs.ResourceLogs().All() {
			environment := c.env(of.Resource())
			for _, scope := range of.ScopeLogs().All() {
				for _, log := range scope.LogRecords().All() {
					if p, ok := rest.take(environment, seqOf(log.Attributes())); ok {
						c.log(&all, rest, p, log)
					}
				}
			}
		}
	}
	rest.done()
	all.same(c.T)
}

// origin checks a resource, and returns the environment's id.
func (c *check) env(resource pcommon.Resource) string {
	c.Helper()
	of := resource.Attributes()
	for name, want := range map[string]string{
		"cloud.provider": "aws", "cloud.platform": "aws_lambda", "cloud.region": "eu-west-1", "cloud.account.id": accountID,
		"cloud.resource_id": arn + ":$LATEST",
		"faas.name":         functionName, "faas.version": "$LATEST", "faas.max_memory": strconv.Itoa(256 << 20),
		"service.name": functionName, "env": "prod", "team": "payments",
		"aws.log.group.names": `["/aws/lambda/` + functionName + `"]`, "aws.log.stream.names": `["` + logStream + `"]`,
	} {
		if got := text(of, name); got != want {
			c.Errorf("the resource's %s is %q, want %q", name, got, want)
		}
	}
	return text(of, "service.instance.id")
}

// text is an attribute as text; empty: there is none.
func text(of pcommon.Map, name string) string {
	v, ok := of.Get(name)
	if !ok {
		return ""
	}
	return v.AsString()
}

func seqOf(of pcommon.Map) uint64 {
	v, _ := of.Get("kinetel.seq")
	return uint64(v.Int())
}

// log checks a log record.
func (c *check) log(all *contexts, rest *reading, p place, got plog.LogRecord) {
	c.Helper()
	seq, attributes := seqOf(got.Attributes()), got.Attributes()
	var want emitted // that, or Kinetel's own
	if p.emitted != nil {
		want = *p.emitted
	} else {
		want = emitted{time: p.own.TimeText, kind: p.own.Type, body: p.own.Body, value: valueOf(c, p.own.Body)}
		want.requestID, want.traceID = requestOf(p.own), p.own.TraceID
	}
	line := want.kind == "function" || want.kind == "extension"
	name := want.kind
	if line {
		name = ""
	} else if p.emitted != nil {
		name = "aws.lambda." + want.kind
	}
	if text(attributes, "kinetel.type") != want.kind || got.EventName() != name {
		c.Errorf("seq %d: %s, event %q, want %s", seq, text(attributes, "kinetel.type"), got.EventName(), want.kind)
	}
	if at := time.Unix(0, int64(got.Timestamp())).UTC().Format("2006-01-02T15:04:05.000Z"); at != want.time {
		c.Errorf("seq %d: at %s, want %s", seq, at, want.time)
	}
	if ago := time.Since(got.ObservedTimestamp().AsTime()); ago < 0 || ago > time.Hour { // it was played by this test
		c.Errorf("seq %d: observed at %s", seq, got.ObservedTimestamp())
	}
	if diff := c.found(&want, text(attributes, "faas.invocation_id"), text(attributes, "kinetel.xray.trace_id"), want.severity); diff != "" {
		c.Errorf("seq %d: %s", seq, diff)
	}
	if got.SeverityText() != want.word {
		c.Errorf("seq %d: the severity is %q, want %q", seq, got.SeverityText(), want.word)
	}
	numbers := map[string]plog.SeverityNumber{"": 0, "TRACE": 1, "DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21}
	if got.SeverityNumber() != numbers[want.severity] {
		c.Errorf("seq %d: the severity of %s is %d", seq, want.severity, got.SeverityNumber())
	}
	of := traceContext{got.TraceID().String(), got.SpanID().String(), uint32(got.Flags())}
	switch own := (traceContext{want.trace, want.span, 1}); {
	case want.trace == "" && want.requestID != "":
		all.logs[want.requestID] = append(all.logs[want.requestID], of)
	case want.trace == "" && of != traceContext{}, want.trace != "" && of != own:
		c.Errorf("seq %d: the context is %v, the line has %v", seq, of, own)
	}
	extra := text(attributes, "kinetel.extra")
	if extra == "" {
		extra = "{}"
	}
	if diff := differ(valueOf(c, object(want.extra)), valueOf(c, []byte(extra))); diff != "" {
		c.Errorf("seq %d: extra: %s", seq, diff)
	}

	body := raw(got.Body())
	if p.parts > 0 {
		if text(attributes, "kinetel.part") != strconv.Itoa(p.part) || text(attributes, "kinetel.parts") != strconv.Itoa(p.parts) {
			c.Errorf("seq %d: part %s of %s, want %d of %d", seq, text(attributes, "kinetel.part"), text(attributes, "kinetel.parts"), p.part, p.parts)
		}
		whole := rest.join(p, got.Body().Str())
		if whole == nil {
			return
		}
		body = valueOf(c, whole)
	} else if asText, ok := attributes.Get("kinetel.body.json"); ok && asText.Bool() {
		body = valueOf(c, []byte(got.Body().Str()))
	}
	if diff := differ(want.value, body); diff != "" {
		c.Errorf("seq %d: the body: %s", seq, diff)
	}
	var original []byte
	if v, ok := attributes.Get("kinetel.body.bytes"); ok {
		original = v.Bytes().AsRaw()
	}
	if p.parts == 0 && !bytes.Equal(original, want.original()) {
		c.Errorf("seq %d: the original of %s is %q", seq, clip(want.body), original)
	}
}

// raw is a value, with bytes where it has any.
func raw(v pcommon.Value) any {
	switch v.Type() {
	case pcommon.ValueTypeMap:
		all := map[string]any{}
		for name, value := range v.Map().All() {
			all[name] = raw(value)
		}
		return all
	case pcommon.ValueTypeSlice:
		all := []any{}
		for _, value := range v.Slice().All() {
			all = append(all, raw(value))
		}
		return all
	default:
		return v.AsRaw()
	}
}

// span checks an invocation's span against its start and its report.
func (c *check) span(all *contexts, p place, got ptrace.Span) {
	c.Helper()
	seq := seqOf(got.Attributes())
	if p.emitted == nil && p.own.Type == "kinetel.init" {
		c.initSpan(p.own, got)
		return
	}
	if p.emitted != nil || p.own.Type != "kinetel.span" {
		c.Errorf("seq %d: a span", seq)
		return
	}
	all.spans[requestOf(p.own)] = traceContext{got.TraceID().String(), got.SpanID().String(), got.Flags()}
	type tracing struct{ SpanID, Value string }
	began, ended := c.day.starts[requestOf(p.own)], c.day.reports[requestOf(p.own)]
	if began == nil || ended == nil {
		c.Errorf("seq %d: the span of %s", seq, requestOf(p.own))
		return
	}
	var start struct{ Tracing tracing }
	var report struct {
		Status, ErrorType string
		Metrics           struct{ DurationMs float64 }
	}
	var own struct{ ColdStart bool } // which check.invocation has checked
	if json.Unmarshal(began.body, &start) != nil || json.Unmarshal(ended.body, &report) != nil || json.Unmarshal(p.own.Body, &own) != nil {
		c.Fatal("the recording cannot be read")
	}
	at, err := time.Parse(time.RFC3339, began.time)
	if err != nil {
		c.Fatal(err)
	}
	end := at.Add(time.Duration(report.Metrics.DurationMs * float64(time.Millisecond)))
	if got.Name() != functionName || got.Kind() != ptrace.SpanKindServer || !got.StartTimestamp().AsTime().Equal(at) || !got.EndTimestamp().AsTime().Equal(end) {
		c.Errorf("seq %d: the span %s of kind %s from %s to %s, want %s to %s", seq, got.Name(), got.Kind(), got.StartTimestamp(), got.EndTimestamp(), at, end)
	}
	header := map[string]string{}
	for field := range strings.SplitSeq(start.Tracing.Value, ";") {
		name, value, _ := strings.Cut(field, "=")
		header[name] = value
	}
	trace := strings.ReplaceAll(strings.TrimPrefix(header["Root"], "1-"), "-", "")
	if trace == "" { // a trace of its own
		if got.TraceID().IsEmpty() || got.SpanID().IsEmpty() || !got.ParentSpanID().IsEmpty() {
			c.Errorf("seq %d: an untraced invocation has the trace %s, the span %s and the parent %q", seq, got.TraceID(), got.SpanID(), got.ParentSpanID())
		}
	} else if parent, link := c.parent(header); got.TraceID().String() != trace || got.SpanID().String() != start.Tracing.SpanID || got.ParentSpanID().String() != parent || linkOf(got) != link {
		c.Errorf("seq %d: trace %s, span %s, parent %s; want %s %s", seq, got.TraceID(), got.SpanID(), got.ParentSpanID(), start.Tracing.SpanID, start.Tracing.Value)
	}
	if (got.Flags()&1 == 1) != (header["Sampled"] == "1") {
		c.Errorf("seq %d: flags %d, Sampled=%s", seq, got.Flags(), header["Sampled"])
	}
	failed := report.Status != "success"
	if failed && report.ErrorType == "" {
		report.ErrorType = report.Status
	}
	if (got.Status().Code() == ptrace.StatusCodeError) != failed || got.Status().Message() != "" || text(got.Attributes(), "error.type") != report.ErrorType {
		c.Errorf("seq %d: status %s %q, error %q, want %s %s", seq, got.Status().Code(), got.Status().Message(), text(got.Attributes(), "error.type"), report.Status, report.ErrorType)
	}
	if text(got.Attributes(), "aws.lambda.invoked_arn") != arn {
		c.Errorf("seq %d: called by %q", seq, text(got.Attributes(), "aws.lambda.invoked_arn"))
	}
	if text(got.Attributes(), "faas.invocation_id") != began.requestID || text(got.Attributes(), "faas.coldstart") != strconv.FormatBool(own.ColdStart) {
		c.Errorf("seq %d: request %s, cold start %s", seq, text(got.Attributes(), "faas.invocation_id"), text(got.Attributes(), "faas.coldstart"))
	}
}

// parent returns the ids of the parent and of the link of a span, by X-Ray's header.
func (c *check) parent(header map[string]string) (parent, link string) {
	switch {
	case c.linked():
		return "", header["Parent"]
	case header["Sampled"] == "1":
		return header["Parent"], ""
	}
	return "", ""
}

// linkOf returns the id of the span that a span links to, in the same trace; empty: it
// links to none.
func linkOf(span ptrace.Span) string {
	if span.Links().Len() != 1 || span.Links().At(0).TraceID() != span.TraceID() {
		return ""
	}
	return span.Links().At(0).SpanID().String()
}

// initSpan checks the span of an init against the times that its body has.
func (c *check) initSpan(own record.Event, got ptrace.Span) {
	c.Helper()
	var body struct {
		Phase, Status, Start string
		Metrics              struct{ DurationMs float64 }
	}
	if err := json.Unmarshal(own.Body, &body); err != nil {
		c.Fatal(err)
	}
	start, err := time.Parse(time.RFC3339, body.Start)
	if err != nil {
		c.Fatal(err)
	}
	if got.Name() != "init "+functionName || got.Kind() != ptrace.SpanKindInternal || !got.StartTimestamp().AsTime().Equal(start) || !got.EndTimestamp().AsTime().Equal(own.Time) || own.Time.Sub(start).Milliseconds() != int64(body.Metrics.DurationMs) {
		c.Errorf("seq %d: the span %s of kind %s from %s to %s of %s", own.Seq, got.Name(), got.Kind(), got.StartTimestamp(), got.EndTimestamp(), own.Body)
	}
	if body.Phase == "" || body.Status != "success" || !got.ParentSpanID().IsEmpty() || text(got.Attributes(), "faas.coldstart") != "true" {
		c.Errorf("seq %d: parent %q, cold start %s, of %s", own.Seq, got.ParentSpanID(), text(got.Attributes(), "faas.coldstart"), own.Body)
	}
}
