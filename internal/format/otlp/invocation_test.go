package otlp_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/formattest"
	"github.com/kinetel/kinetel/internal/format/otlp"
)

// links returns the links of a span.
func links(s ptrace.Span) (all []string) {
	for _, l := range s.Links().All() {
		all = append(all, l.TraceID().String()+"/"+l.SpanID().String())
	}
	return all
}

// with returns the environment of orders with another value of KINETEL_OTLP_PARENT.
func with(parent otlp.Parent) *environment.Environment {
	env := orders()
	details := env.Details()
	details.SpanParent = string(parent)
	env.Describe(details)
	return env
}

func TestTheParentInTheHeaderOfXRay(t *testing.T) {
	const trace = "5759e988bd862e3fe1be46a994272793"
	for _, tt := range []struct {
		parent  otlp.Parent
		sampled string
		want    string // the parent
		links   []string
	}{
		{"", "1", "53995c3f42cd8ad8", nil},
		{otlp.ParentAuto, "1", "53995c3f42cd8ad8", nil},
		{otlp.ParentAuto, "0", "", nil},
		{otlp.ParentAuto, "?", "", nil},
		{otlp.ParentLink, "1", "", []string{trace + "/53995c3f42cd8ad8"}},
		{otlp.ParentLink, "0", "", []string{trace + "/53995c3f42cd8ad8"}},
		{otlp.ParentNone, "1", "", nil},
		{otlp.ParentNone, "0", "", nil},
	} {
		t.Run(string(tt.parent)+", Sampled="+tt.sampled, func(t *testing.T) {
			l := formattest.Line(t, 17, `"type":"kinetel.span","requestId":"r","body":{"tracing":{"spanId":"54565fb41ac79632","value":"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=`+tt.sampled+`"}}`)
			s := oneSpan(t, with(tt.parent), &l)
			if s.TraceID().String() != trace || s.SpanID().String() != "54565fb41ac79632" || s.ParentSpanID().String() != tt.want {
				t.Errorf("trace %s, span %s, parent %q, want the parent %q", s.TraceID(), s.SpanID(), s.ParentSpanID(), tt.want)
			}
			if diff := cmp.Diff(tt.links, links(s)); diff != "" {
				t.Errorf("links (-want +got):\n%s", diff)
			}
		})
	}
}

// A header without a parent gives no link to nothing.
func TestASpanWithoutAParentHasNoLink(t *testing.T) {
	l := formattest.Line(t, 17, `"type":"kinetel.span","requestId":"r","body":{"tracing":{"value":"Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"}}`)
	if s := oneSpan(t, with(otlp.ParentLink), &l); s.Links().Len() != 0 || !s.ParentSpanID().IsEmpty() {
		t.Errorf("links %v, parent %q", links(s), s.ParentSpanID())
	}
}

// A log record has the ids that the span of its invocation has, whatever Lambda says of
// the trace.
func TestLogRecordsHaveTheContextOfTheirInvocationsSpan(t *testing.T) {
	spans := rapid.OneOf(rapid.StringMatching(`[0-9a-fA-F]{16}`), rapid.SampledFrom([]string{"", "x", "0000000000000000", "53995c3f42cd8ad8"}))
	rapid.Check(t, func(t *rapid.T) {
		root := rapid.SampledFrom([]string{"", "Root=1-5759e988-bd862e3fe1be46a994272793;", "Root=1-2-3;"}).Draw(t, "root")
		header := root + rapid.SampledFrom([]string{"", "Parent=53995c3f42cd8ad8;", "Parent=x;"}).Draw(t, "parent") + rapid.SampledFrom([]string{"", "Sampled=1", "Sampled=0"}).Draw(t, "sampled")
		span := spans.Draw(t, "span")
		request := rapid.SampledFrom([]string{"8476a536-e9f4-11e8-9739-2dfe598c3fcd", "r", strings.Repeat("x", 36)}).Draw(t, "request")
		line := rapid.SampledFrom([]string{"", "1-5759e988-bd862e3fe1be46a994272799"}).Draw(t, "trace of the lines")
		members := `"requestId":"` + request + `",`
		if line != "" {
			members += `"traceId":"` + line + `",`
		}
		of := formattest.Line(t, 2, `"type":"kinetel.span",`+members+`"body":{"tracing":{"spanId":"`+span+`","value":"`+header+`"}}`)
		log := formattest.Line(t, 1, `"type":"function",`+members+`"body":"hello"`)
		log.Span = &event.Span{Header: []byte(header), ID: []byte(span)}

		want, got := oneSpan(t, orders(), &of), oneLog(t, orders(), &log)
		if got.TraceID() != want.TraceID() || got.SpanID() != want.SpanID() || uint32(got.Flags()) != want.Flags() || got.TraceID().IsEmpty() || got.SpanID().IsEmpty() {
			t.Fatalf("the log record has %s %s %d, the span %s %s %d", got.TraceID(), got.SpanID(), got.Flags(), want.TraceID(), want.SpanID(), want.Flags())
		}
	})
	log := formattest.Line(t, 1, `"type":"function","requestId":"r","body":"hello"`)
	log.Span = &event.Span{Header: []byte("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"), ID: []byte("53995c3f42cd8ad8")}
	if got := oneLog(t, orders(), &log); got.TraceID().String() != "5759e988bd862e3fe1be46a994272793" || got.SpanID().String() != "53995c3f42cd8ad8" || got.Flags() != 1 {
		t.Errorf("a log record of a sampled trace has %s %s %d", got.TraceID(), got.SpanID(), got.Flags())
	}
}

func TestALineThatNamesASpanKeepsIt(t *testing.T) {
	l := formattest.Line(t, 1, `"type":"function","requestId":"r","body":{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7"}`)
	l.Span = &event.Span{Header: []byte("Root=1-5759e988-bd862e3fe1be46a994272793"), ID: []byte("54565fb41ac79632")}
	if r := oneLog(t, orders(), &l); r.TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" || r.SpanID().String() != "00f067aa0ba902b7" {
		t.Errorf("trace %s, span %s", r.TraceID(), r.SpanID())
	}
}

func TestTheARNByWhichTheFunctionIsCalled(t *testing.T) {
	const arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders:live"
	l := formattest.Line(t, 17, `"type":"kinetel.span","requestId":"r","body":{"requestId":"r","invokedArn":"`+arn+`"}`)
	if got := oneSpan(t, orders(), &l).Attributes().AsRaw()["aws.lambda.invoked_arn"]; got != arn {
		t.Errorf("aws.lambda.invoked_arn is %q", got)
	}
}

// A parent is a span of the header's trace: without that trace it is nobody's.
func TestAHeaderWithoutATraceHasNoParent(t *testing.T) {
	for _, parent := range []otlp.Parent{otlp.ParentAuto, otlp.ParentLink} {
		l := formattest.Line(t, 17, `"type":"kinetel.span","requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd","body":{"tracing":{"value":"Root=unknown;Parent=53995c3f42cd8ad8;Sampled=1"}}`)
		s := oneSpan(t, with(parent), &l)
		if s.TraceID().String() != "8476a536e9f411e897392dfe598c3fcd" || !s.ParentSpanID().IsEmpty() || len(links(s)) > 0 || s.Flags() != 0 {
			t.Errorf("%s: trace %s, parent %s, links %v, flags %d", parent, s.TraceID(), s.ParentSpanID(), links(s), s.Flags())
		}
	}
}

func TestTheSpanOfAnInit(t *testing.T) {
	line := func(start, rest string) format.Line {
		return formattest.Line(t, 17, `"type":"kinetel.init","body":{"phase":"init"`+rest+`,"metrics":{"durationMs":380},"coldStart":true,"start":"`+start+`"}`)
	}
	l := line("2026-11-22T20:14:57.100Z", `,"status":"success"`)
	s := oneSpan(t, orders(), &l)
	start := time.Date(2026, 11, 22, 20, 14, 57, 100e6, time.UTC)
	if s.Name() != "init orders" || s.Kind() != ptrace.SpanKindInternal || !s.StartTimestamp().AsTime().Equal(start) || !s.EndTimestamp().AsTime().Equal(start.Add(380*time.Millisecond)) {
		t.Errorf("%s of kind %s from %s to %s", s.Name(), s.Kind(), s.StartTimestamp(), s.EndTimestamp())
	}
	if s.TraceID().IsEmpty() || s.SpanID().IsEmpty() || !s.ParentSpanID().IsEmpty() || s.Status().Code() != ptrace.StatusCodeUnset {
		t.Errorf("trace %s, span %s, parent %q, status %s", s.TraceID(), s.SpanID(), s.ParentSpanID(), s.Status().Code())
	}
	if s.Attributes().AsRaw()["faas.coldstart"] != true {
		t.Error("it is no cold start")
	}
	later := line("2026-11-22T20:14:58.100Z", "")
	later.Time = []byte("2026-11-22T20:15:01.123Z")
	if other := oneSpan(t, orders(), &later); other.TraceID() == s.TraceID() || other.SpanID() == s.SpanID() {
		t.Errorf("another init has the ids %s %s, too", other.TraceID(), other.SpanID())
	}

	for _, tt := range []struct{ rest, want string }{
		{`,"status":"error","errorType":"Runtime.ExitError"`, "Runtime.ExitError"},
		{`,"status":"timeout"`, "timeout"},
		{`,"status":"failure"`, "failure"},
	} {
		l := line("2026-11-22T20:14:57.100Z", tt.rest)
		s := oneSpan(t, orders(), &l)
		if got := s.Attributes().AsRaw()["error.type"]; got != tt.want || s.Status().Code() != ptrace.StatusCodeError || s.Status().Message() != "" {
			t.Errorf("%s: error.type %q, status %s %q, want %q", tt.rest, got, s.Status().Code(), s.Status().Message(), tt.want)
		}
	}
}

func TestTheSeverityOfALogRecord(t *testing.T) {
	for _, tt := range []struct {
		name, line string // the severity of the line
		otlp       event.OTLP
		number     plog.SeverityNumber
		text, own  string // own is kinetel.severity
	}{
		{"the logger's own word", "WARN", event.OTLP{SeverityText: "Warning", SeverityNumber: 13}, 13, "Warning", ""},
		{"a word that is finer than the line's", "INFO", event.OTLP{SeverityText: "notice", SeverityNumber: 10}, 10, "notice", ""},
		{"a word of another class", "FATAL", event.OTLP{SeverityText: "crit", SeverityNumber: 18}, 18, "crit", "FATAL"},
		{"no word", "ERROR", event.OTLP{SeverityNumber: 18}, 18, "ERROR", ""},
		{"a word with quotes", "INFO", event.OTLP{SeverityText: `a"b`, SeverityNumber: 9}, 9, `a"b`, ""},
		{"a line from a journal", "ERROR", event.OTLP{}, 17, "ERROR", ""},
		{"an odd line from a journal", "LOUD", event.OTLP{}, 0, "LOUD", "LOUD"},
		{"none", "", event.OTLP{}, 0, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			members := `"type":"function","body":"hello"`
			if tt.line != "" {
				members = `"type":"function","severity":"` + tt.line + `","body":"hello"`
			}
			l := formattest.Line(t, 17, members)
			l.OTLP = tt.otlp
			r := oneLog(t, orders(), &l)
			own, _ := r.Attributes().AsRaw()["kinetel.severity"].(string)
			if r.SeverityNumber() != tt.number || r.SeverityText() != tt.text || own != tt.own {
				t.Errorf("%d %q, kinetel.severity %q, want %d %q %q", r.SeverityNumber(), r.SeverityText(), own, tt.number, tt.text, tt.own)
			}
		})
	}
}

func TestTheNamesOfEvents(t *testing.T) {
	for kind, want := range map[string]string{
		"function": "", "extension": "",
		"platform.start": "aws.lambda.platform.start", "platform.later": "aws.lambda.platform.later",
		"kinetel.report": "kinetel.report", "kinetel.later": "kinetel.later",
		"later": "aws.lambda.later", "\xff": "",
	} {
		l := formattest.Line(t, 17, `"type":"`+kind+`","body":{}`)
		if got := oneLog(t, orders(), &l).EventName(); got != want {
			t.Errorf("the event name of %q is %q, want %q", kind, got, want)
		}
	}
}
