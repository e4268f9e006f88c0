package pipeline

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/otlp"
	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/lifecycle"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/testkit"
)

// payloads is a stream that keeps the data of the records.
type payloads struct {
	*stream
	all [][]byte
}

func (p *payloads) PutRecords(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
	for _, r := range records {
		p.all = append(p.all, bytes.Clone(r.Data))
	}
	return p.stream.PutRecords(ctx, records)
}

// read returns the log records and spans of the payloads, by their types and bodies'
// requests.
func (p *payloads) read(t *testing.T) (logs []plog.LogRecord, spans []ptrace.Span) {
	t.Helper()
	for _, payload := range p.all {
		if bytes.HasPrefix(payload, []byte(`{"resourceSpans"`)) {
			traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(payload)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range traces.ResourceSpans().At(0).ScopeSpans().At(0).Spans().All() {
				spans = append(spans, s)
			}
			continue
		}
		all, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(payload)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range all.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().All() {
			logs = append(logs, l)
		}
	}
	return logs, spans
}

func attribute(of pcommon.Map, name string) string {
	v, _ := of.AsRaw()[name].(string)
	return v
}

const (
	untraced   = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
	unreported = "9587b647-e9f4-11e8-9739-2dfe598c3fcd"
)

// playSpans runs an environment with a cold start, an untraced invocation, and one
// without a report.
func playSpans(t *testing.T, spans bool, report config.Report) (logs []plog.LogRecord, all []ptrace.Span) {
	t.Helper()
	cfg := config.Config{
		StreamName: "telemetry", Types: []string{"platform", "function"}, Format: otlp.Name, OTLPSpans: spans, Flush: flush.ModeEnd, FlushInterval: 10 * time.Second,
		Compression: format.Uncompressed, PartitionKey: config.PartitionByEnvironment, Spool: config.SpoolOff,
		BufferBytes: 16 << 20, Report: report, Lambda: config.Lambda{Region: "eu-west-1"},
	}
	synctest.Test(t, func(t *testing.T) {
		s := &payloads{stream: &stream{rng: rand.New(rand.NewPCG(1, 1))}}
		p := &process{log: &testkit.Entries{}}
		p.Pipeline = New(function, cfg, nil, s, io.Discard, slog.New(p.log))
		p.intake = p.NewIngester(lifecycle.New(nil, p.Pipeline, cfg, nil, slog.New(p.log)))
		p.Start(p)
		p.ingest(event.TypePlatformInitStart, `{"initializationType":"on-demand","phase":"init"}`)
		time.Sleep(380 * time.Millisecond)
		p.ingest(event.TypePlatformInitRuntimeDone, `{"initializationType":"on-demand","phase":"init","status":"success"}`)
		p.Invoked(untraced, "arn:live", "", time.Now())
		p.ingest(event.TypePlatformStart, `{"requestId":"`+untraced+`"}`)
		p.ingest(event.TypeFunction, `{"requestId":"`+untraced+`","level":"WARNING","message":"m"}`)
		p.ingest(event.TypePlatformReport, `{"requestId":"`+untraced+`","status":"timeout","metrics":{"durationMs":1}}`)
		p.ingest(event.TypePlatformStart, `{"requestId":"`+unreported+`"}`)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		p.Finish(ctx)
		logs, all = s.read(t)
		for _, problem := range s.problems {
			t.Error(problem)
		}
	})
	return logs, all
}

func TestEventsOfAnInvocationHaveTheContextOfItsSpan(t *testing.T) {
	logs, spans := playSpans(t, true, config.Report{Events: true})
	of := map[string]ptrace.Span{}
	for _, s := range spans {
		of[attribute(s.Attributes(), "faas.invocation_id")] = s
	}
	if len(spans) != 3 || len(of) != 3 {
		t.Fatalf("%d spans of %d invocations and inits, want 3 of 3", len(spans), len(of))
	}
	if s := of[""]; s.Name() != "init orders" || s.EndTimestamp()-s.StartTimestamp() != pcommon.Timestamp(380*time.Millisecond) {
		t.Errorf("the init is %s from %s to %s", s.Name(), s.StartTimestamp(), s.EndTimestamp())
	}
	s := of[untraced]
	if attribute(s.Attributes(), "aws.lambda.invoked_arn") != "arn:live" || attribute(s.Attributes(), "error.type") != "timeout" {
		t.Errorf("the span of the invocation has %v", s.Attributes().AsRaw())
	}
	seen := map[string]int{}
	for _, l := range logs {
		request := attribute(l.Attributes(), "faas.invocation_id")
		seen[request]++
		if request == "" {
			if !l.TraceID().IsEmpty() {
				t.Errorf("%s of no invocation has a trace", attribute(l.Attributes(), "kinetel.type"))
			}
			continue
		}
		if l.TraceID() != of[request].TraceID() || l.SpanID() != of[request].SpanID() || l.SpanID().IsEmpty() {
			t.Errorf("%s of %s is in the span %s of the trace %s, want %s of %s", attribute(l.Attributes(), "kinetel.type"), request, l.SpanID(), l.TraceID(), of[request].SpanID(), of[request].TraceID())
		}
	}
	if seen[untraced] != 4 || seen[unreported] != 2 { // kinetel.invocation among them
		t.Errorf("log records by invocation: %v", seen)
	}
}

// Lambda may name the trace of an invocation in events of the init.
func TestAnInitHasATraceOfItsOwn(t *testing.T) {
	cfg := config.Config{
		StreamName: "telemetry", Types: []string{"platform"}, Format: otlp.Name, OTLPSpans: true, Flush: flush.ModeEnd, FlushInterval: 10 * time.Second,
		Compression: format.Uncompressed, PartitionKey: config.PartitionByEnvironment, Spool: config.SpoolOff, BufferBytes: 16 << 20,
	}
	synctest.Test(t, func(t *testing.T) {
		s := &payloads{stream: &stream{rng: rand.New(rand.NewPCG(1, 1))}}
		p := &process{log: &testkit.Entries{}}
		p.Pipeline = New(function, cfg, nil, s, io.Discard, slog.New(p.log))
		p.intake = p.NewIngester(lifecycle.New(nil, p.Pipeline, cfg, nil, slog.New(p.log)))
		p.Start(p)
		p.ingest(event.TypePlatformInitStart, `{"initializationType":"on-demand","phase":"init"}`)
		p.ingest(event.TypePlatformInitRuntimeDone, `{"initializationType":"on-demand","phase":"init","status":"success","tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"}}`)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		p.Finish(ctx)
		_, spans := s.read(t)
		if len(spans) != 1 || spans[0].TraceID().IsEmpty() || spans[0].TraceID().String() == "5759e988bd862e3fe1be46a994272793" || attribute(spans[0].Attributes(), "kinetel.xray.trace_id") != "" {
			t.Errorf("the spans %v, want one in another trace", spans)
		}
	})
}

func TestWithoutSpansAnUntracedInvocationHasNoIDs(t *testing.T) {
	logs, spans := playSpans(t, false, config.Report{Events: true})
	if len(spans) != 0 || len(logs) == 0 {
		t.Errorf("%d spans, %d log records", len(spans), len(logs))
	}
	for _, l := range logs {
		if !l.TraceID().IsEmpty() || !l.SpanID().IsEmpty() {
			t.Errorf("%s has the trace %s and the span %s", attribute(l.Attributes(), "kinetel.type"), l.TraceID(), l.SpanID())
		}
	}
}

// KINETEL_REPORT is about Kinetel's own figures.
func TestSpansDoNotDependOnReports(t *testing.T) {
	logs, spans := playSpans(t, true, config.Report{})
	if len(spans) != 3 {
		t.Errorf("%d spans, want 3", len(spans))
	}
	for _, l := range logs {
		if l.EventName() == event.TypeInvocation {
			t.Error("there is a kinetel.invocation")
		}
	}
}
