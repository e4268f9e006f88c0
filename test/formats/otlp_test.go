package formats

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// openTelemetry has OpenTelemetry's own library read payloads.
func (c *check) openTelemetry(payloads []byte) {
	c.Helper()
	rest := c.reading()
	for payload := range bytes.Lines(payloads) {
		if bytes.HasPrefix(payload, []byte(`{"resourceSpans"`)) {
			traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(payload)
			if err != nil {
				c.Fatalf("%v in %s", err, clip(payload))
			}
			for _, of := range traces.ResourceSpans().All() {
				environment := c.env(of.Resource())
				for _, scope := range of.ScopeSpans().All() {
					for _, span := range scope.Spans().All() {
						if p, ok := rest.take(environment, seqOf(span.Attributes())); ok {
							c.span(p, span)
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
		for _, of := range logs.ResourceLogs().All() {
			environment := c.env(of.Resource())
			for _, scope := range of.ScopeLogs().All() {
				for _, log := range scope.LogRecords().All() {
					if p, ok := rest.take(environment, seqOf(log.Attributes())); ok {
						c.log(rest, p, log)
					}
				}
			}
		}
	}
	rest.done()
}

// origin checks a resource, and returns the environment's id.
func (c *check) env(resource pcommon.Resource) string {
	c.Helper()
	of := resource.Attributes()
	for name, want := range map[string]string{
		"cloud.provider": "aws", "cloud.platform": "aws_lambda", "cloud.region": "eu-west-1", "cloud.account.id": accountID,
		"cloud.resource_id": "arn:aws:lambda:eu-west-1:" + accountID + ":function:" + functionName,
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
func (c *check) log(rest *reading, p place, got plog.LogRecord) {
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
	if text(attributes, "kinetel.type") != want.kind || line && got.EventName() != "" || !line && got.EventName() != want.kind {
		c.Errorf("seq %d: %s, event %q, want %s", seq, text(attributes, "kinetel.type"), got.EventName(), want.kind)
	}
	if at := time.Unix(0, int64(got.Timestamp())).UTC().Format("2006-01-02T15:04:05.000Z"); at != want.time || got.ObservedTimestamp() != got.Timestamp() {
		c.Errorf("seq %d: at %s, observed at %d, want %s", seq, at, got.ObservedTimestamp(), want.time)
	}
	if diff := c.found(&want, text(attributes, "faas.invocation_id"), text(attributes, "aws.xray.trace_id"), got.SeverityText()); diff != "" {
		c.Errorf("seq %d: %s", seq, diff)
	}
	numbers := map[string]plog.SeverityNumber{"": 0, "TRACE": 1, "DEBUG": 5, "INFO": 9, "WARN": 13, "ERROR": 17, "FATAL": 21}
	if got.SeverityNumber() != numbers[want.severity] {
		c.Errorf("seq %d: the severity of %s is %d", seq, want.severity, got.SeverityNumber())
	}
	trace, span, flags := strings.ReplaceAll(strings.TrimPrefix(want.traceID, "1-"), "-", ""), "", plog.LogRecordFlags(0)
	if want.trace != "" {
		trace, span, flags = want.trace, want.span, 1
	}
	if got.TraceID().String() != trace || got.SpanID().String() != span || got.Flags() != flags {
		c.Errorf("seq %d: trace %s, span %s, flags %d, want %s, %s, %d", seq, got.TraceID(), got.SpanID(), got.Flags(), trace, span, flags)
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
func (c *check) span(p place, got ptrace.Span) {
	c.Helper()
	seq := seqOf(got.Attributes())
	if p.emitted != nil || p.own.Type != "kinetel.span" {
		c.Errorf("seq %d: a span", seq)
		return
	}
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
	} else if got.TraceID().String() != trace || got.SpanID().String() != start.Tracing.SpanID || got.ParentSpanID().String() != header["Parent"] {
		c.Errorf("seq %d: trace %s, span %s, parent %s; want %s %s", seq, got.TraceID(), got.SpanID(), got.ParentSpanID(), start.Tracing.SpanID, start.Tracing.Value)
	}
	if (got.Flags()&1 == 1) != (header["Sampled"] == "1") {
		c.Errorf("seq %d: flags %d, Sampled=%s", seq, got.Flags(), header["Sampled"])
	}
	failed := report.Status != "success"
	if (got.Status().Code() == ptrace.StatusCodeError) != failed || failed && got.Status().Message() != report.ErrorType || text(got.Attributes(), "error.type") != report.ErrorType {
		c.Errorf("seq %d: status %s %q, error %q, want %s %s", seq, got.Status().Code(), got.Status().Message(), text(got.Attributes(), "error.type"), report.Status, report.ErrorType)
	}
	if text(got.Attributes(), "faas.invocation_id") != began.requestID || text(got.Attributes(), "faas.coldstart") != strconv.FormatBool(own.ColdStart) {
		c.Errorf("seq %d: request %s, cold start %s", seq, text(got.Attributes(), "faas.invocation_id"), text(got.Attributes(), "faas.coldstart"))
	}
}
