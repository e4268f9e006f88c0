package schematest

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/ndjson"
	"github.com/kinetel/kinetel/internal/invocation"
	"github.com/kinetel/kinetel/internal/jsontext/jsontexttest"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/resource"
	"github.com/kinetel/kinetel/internal/selection"
	"github.com/kinetel/kinetel/internal/telemetry"
)

const (
	request = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
	trace   = "1-5759e988-bd862e3fe1be46a994272793"
)

func identity() *resource.Resource {
	return &resource.Resource{
		Config:    config.Config{Lambda: config.Lambda{Region: "eu-west-1"}, Attributes: []config.Attribute{{Name: "env", Value: "prod"}}},
		AccountID: "123456789012", FunctionName: "orders", FunctionVersion: "$LATEST", Handler: "index.handler",
		EnvironmentID: "4f1e0c9ad3b24e58a7f60b1c2d3e4f50",
	}
}

func line(seq uint64, kind, body string, more ...func(*event.Event)) string {
	ev := event.Event{Time: []byte("2026-11-22T20:15:00.123Z"), Type: []byte(kind), Record: []byte(body)}
	for _, change := range more {
		change(&ev)
	}
	return string(format.AppendLine(nil, seq, &ev, format.Part{}, identity().Details().Resource))
}

func ofRequest(ev *event.Event) { ev.RequestID, ev.TraceID = request, trace }

const (
	start  = `{"requestId":"` + request + `","version":"$LATEST","tracing":{"spanId":"54565fb41ac79632","type":"X-Amzn-Trace-Id","value":"Root=` + trace + `;Parent=0123456789abcdef;Sampled=1"}}`
	report = `{"requestId":"` + request + `","status":"timeout","errorType":"Sandbox.Timedout","metrics":{"durationMs":3000.00,"billedDurationMs":3381,` +
		`"memorySizeMB":256,"maxMemoryUsedMB":88,"initDurationMs":380.51,"restoreDurationMs":1.5}}`
	done = `{"requestId":"` + request + `","status":"timeout","metrics":{"durationMs":3000,"producedBytes":42}}`
)

// invocationBody is what the code reports of an invocation.
func invocationBody(t testing.TB, reported bool) string {
	t.Helper()
	var all invocation.Tracker
	leftOut := ledger.LeftOut{Level: 1, SampledOut: 2}
	all.SetSelected(func(string) ledger.Selected {
		return ledger.Selected{SampleRate: "0.05", Sampled: ledger.SampledNot, LeftOut: &leftOut}
	})
	all.Invoked(request, "arn:aws:lambda:eu-west-1:123456789012:function:orders:live")
	all.Started(&event.Event{Time: []byte("2026-11-22T20:15:00.100Z"), Record: []byte(start), RequestID: request, TraceID: trace})
	all.Counted(request, 4096, 3, 9)
	all.RuntimeDone(&event.Event{RequestID: request, Record: []byte(done)})
	all.Released(request, 26200*time.Microsecond, flush.Rare)
	if !reported {
		return string(all.Ended()[0].Body)
	}
	one, ok := all.Reported(&event.Event{Record: []byte(report)})
	if !ok {
		t.Fatal("no invocation is reported")
	}
	return string(one.Body)
}

// initBody is the body of the span of a failed init.
func initBody() string {
	var all invocation.Tracker
	all.Initialized(&event.Event{Time: []byte("2026-11-22T20:15:00.100Z"), Type: []byte(event.TypePlatformInitStart), Record: []byte(`{"initializationType":"on-demand"}`)})
	return string(all.ColdStart(&event.Event{Time: []byte("2026-11-22T20:15:00.480Z"), Record: []byte(`{"phase":"init","status":"error","errorType":"Runtime.ExitError"}`)}))
}

func environmentBody() string {
	env := identity()
	env.Config = config.Config{
		Format: ndjson.Name, Compression: format.Gzip, PartitionKey: config.PartitionByEnvironment,
		Flush: flush.ModeAdaptive, FlushInterval: 10 * time.Second, MaxHold: 500 * time.Millisecond,
		BufferBytes: 16 << 20, Spool: config.SpoolOverflow, SpoolBytes: 64 << 20,
		Types: []string{"platform", "function"}, Report: config.Report{Events: true, EMF: true},
		Lambda: config.Lambda{Region: "eu-west-1", MemoryMB: 256},
		Selection: config.Selection{
			Level: event.Warn, Include: regexp.MustCompile("order"), Exclude: regexp.MustCompile("ping"), PlatformEvents: []string{"platform.logsDropped", "platform.report"},
			Sample: &config.Sample{Share: 0.05, ByTrace: true, Error: true, Slow: time.Second}, MaxLines: 1000, MaxBytes: 1 << 20,
		},
		Redaction: config.Redaction{Names: []string{"email"}, Pattern: regexp.MustCompile("cust"), Keys: []string{"password"}, Unusable: true},
	}
	start := event.Event{Record: []byte(`{"initializationType":"on-demand","instanceId":"2026/11/22/orders[$LATEST]0f1e","runtimeVersion":"nodejs:22.v101","runtimeVersionArn":"arn:aws:lambda:eu-west-1::runtime:aaaa"}`)}
	env.Started(start.Platform())
	return string(env.JSON())
}

func figures() string {
	return string(ledger.Report{
		Final: true, UptimeMs: 61_000, Received: ledger.Count{Events: 10, Bytes: 2048}, Own: 2,
		Shipped: ledger.Volume{Events: 8, Records: 2, Bytes: 900}, Lost: map[ledger.Reason]int64{ledger.BufferFull: 3, ledger.Oversize: 1},
		PutLatency: ledger.Quantiles{P50: 9.5, P99: 20, Max: 21.25}, Held: ledger.Held{Invocations: 2, Held: 1},
		LeftOut:  ledger.LeftOut{OwnLog: 1, Redaction: 2, PlatformEvents: 3, Level: 4, Exclude: 5, Include: 6, MaxLines: 7, MaxBytes: 8, SampledOut: 9},
		Redacted: map[string]int64{"email": 3, "ipv4": 0},
	}.JSON())
}

// limits is a selection.Sink that keeps the body of a kinetel.limit.
type limits struct{ body string }

func (l *limits) Add(*event.Event)                                               {}
func (l *limits) AddLines(string, int64, []byte, []format.Details, func(uint64)) {}
func (l *limits) AddOwn(_ string, body []byte, _ *event.Event)                   { l.body = string(body) }

// limitBody is what the code reports of an invocation that exceeds its limits.
func limitBody() string {
	var sink limits
	s := selection.New(selection.Options{
		Config: config.Selection{MaxLines: 1, MaxBytes: 1 << 20}, Sink: &sink, MaxBytes: 1 << 20, Environment: environment.New("e", environment.Details{Resource: []byte("{}")}),
	})
	for range 102 {
		s.Add(&event.Event{Type: []byte(event.TypeFunction), Record: []byte(`"beyond"`), RequestID: request})
	}
	s.Add(&event.Event{Type: []byte(event.TypePlatformRuntimeDone), Record: []byte(done), RequestID: request})
	return sink.body
}

// samples are lines that the code writes, one of each kind.
func samples(t testing.TB) map[string]string {
	t.Helper()
	var unparsed string
	telemetry.Unparsed([]byte("no \"event\"\xff"), time.Now(), func(ev *event.Event) { unparsed = string(ev.Record) })
	part := event.Event{Time: []byte("2026-11-22T20:15:00.123Z"), Type: []byte("function"), Extra: []byte(`"b":[1, 2]`), Severity: event.Info, RequestID: request}
	severe := func(ev *event.Event) { ev.Severity = event.Error }
	return map[string]string{
		"text":                line(7, "function", `"user signed in"`, ofRequest, severe),
		"object":              line(8, "function", `{"level":"error","a":[1,{"b":null}]}`, ofRequest, severe),
		"broken UTF-8":        line(8, "function", "\"a\xff\xc3 \\ud83d\""),
		"no record":           line(9, "function", ``),
		"extension":           line(10, "extension", `"flushed"`, severe),
		"platform.start":      line(11, "platform.start", start, ofRequest),
		"traced init":         line(11, "platform.initReport", `{"phase":"init"}`, func(ev *event.Event) { ev.TraceID = trace }),
		"of a later time":     line(12, "platform.of.a.later.time", `[1]`),
		"a later stream":      line(12, "later", `1`),
		"a later own":         line(12, "kinetel.later", `{"a":1}`),
		"odd type":            line(12, `a\u0062`, `1`),
		"extra":               line(13, "function", `""`, func(ev *event.Event) { ev.Extra = []byte(`"time":"noon"`) }),
		"part":                string(format.AppendLine(nil, 14, &part, format.Part{Part: 1, Parts: 2, Body: []byte(`{"a":`)}, identity().Details().Resource)),
		"last part":           string(format.AppendLine(nil, 15, &part, format.Part{Part: 2, Parts: 2, Body: []byte("1}\xff")}, identity().Details().Resource)),
		"kinetel.environment": line(16, event.TypeEnvironment, environmentBody()),
		"kinetel.loss":        line(17, event.TypeLoss, string(ledger.Loss{First: 3, Last: 9, Count: 5, Bytes: 700, Reason: ledger.BufferFull}.AppendJSON(nil))),
		"kinetel.invocation":  line(18, event.TypeInvocation, invocationBody(t, true), ofRequest),
		"unreported":          line(18, event.TypeInvocation, invocationBody(t, false), ofRequest),
		"kinetel.span":        line(19, event.TypeSpan, invocationBody(t, true), ofRequest),
		"kinetel.init":        line(19, event.TypeInit, initBody()),
		"kinetel.limit":       line(19, event.TypeLimit, limitBody(), ofRequest),
		"kinetel.report":      line(20, event.TypeReport, figures()),
		"kinetel.unparsed":    line(21, event.TypeUnparsed, unparsed),
	}
}

// both returns the schema as it is published, and as Check has it.
func both(t testing.TB) (published, closed *validator) {
	t.Helper()
	published, err := asPublished()
	if err != nil {
		t.Fatal(err)
	}
	closed, err = strict()
	if err != nil {
		t.Fatal(err)
	}
	return published, closed
}

func TestWhatTheCodeWritesFulfilsTheSchema(t *testing.T) {
	published, _ := both(t)
	for name, line := range samples(t) {
		t.Run(name, func(t *testing.T) {
			Check(t, []byte(line))
			if err := published.record([]byte(line)); err != nil {
				t.Error(err)
			}
		})
	}
}

// at is a member within a member, by the names on the way.
type at []string

// changed returns a line with a member set to a JSON value; empty: without it.
func changed(t testing.TB, line string, where at, value string) string {
	t.Helper()
	if len(where) == 0 {
		return value
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(line), &object); err != nil {
		t.Fatalf("%v in %s", err, line)
	}
	if len(where) > 1 {
		value = changed(t, string(object[where[0]]), where[1:], value)
	}
	object[where[0]] = json.RawMessage(value)
	if value == "" {
		delete(object, where[0])
	}
	text, err := json.Marshal(object)
	if err != nil {
		t.Fatalf("%v: %s", err, value)
	}
	return string(text)
}

// optional are members of Kinetel's own bodies that need not be there.
func optional() map[string][]string {
	invocation := []string{
		"invokedArn", "status", "errorType", "coldStart", "start", "tracing", "unreported", "metrics.durationMs", "metrics.billedDurationMs",
		"metrics.initDurationMs", "metrics.restoreDurationMs", "metrics.billedRestoreDurationMs", "metrics.memorySizeMB", "metrics.maxMemoryUsedMB",
		"tenantId", "initType", "extensionOverheadMs", "leftOut", "leftOut.level", "leftOut.sampledOut",
	}
	report := []string{"lost.buffer-full", "lost.oversize", "redacted", "redacted.email", "redacted.ipv4"}
	for _, reason := range []string{"ownLog", "redaction", "platformEvents", "level", "exclude", "include", "maxLines", "maxBytes", "sampledOut"} {
		report = append(report, "leftOut."+reason)
	}
	return map[string][]string{
		"kinetel.environment": {
			"initializationType", "functionVersion", "handler", "runtimeVersion", "runtimeVersionArn",
			"kinetel.level", "kinetel.include", "kinetel.exclude", "kinetel.platformEvents", "kinetel.sample", "kinetel.sampleBy", "kinetel.sampleKeep",
			"kinetel.maxLines", "kinetel.maxBytes", "kinetel.redact", "kinetel.redactionUnusable",
			"attributes.cloud.resource_id", "attributes.faas.max_memory", "attributes.aws.log.group.names", "attributes.aws.log.stream.names",
		},
		"kinetel.invocation": invocation,
		"unreported":         invocation,
		"kinetel.span":       invocation,
		"kinetel.init":       {"status", "errorType", "initType", "start"},
		"kinetel.limit":      {"maxLines", "maxBytes"},
		"kinetel.report":     report,
	}
}

// others are values of other kinds than the one that is given.
func others(value any) []string {
	all := map[string]string{"null": `null`, "bool": `true`, "number": `1`, "string": `"x"`, "array": `[[]]`, "object": `{"x":{}}`}
	kind := "null"
	switch value.(type) {
	case bool:
		kind = "bool"
	case float64:
		kind = "number"
	case string:
		kind = "string"
	case []any:
		kind = "array"
	case map[string]any:
		kind = "object"
	}
	delete(all, kind)
	return slices.Sorted(maps.Values(all))
}

// Each member of each own body: it has to be there or not, it has its kind, and
// another one beside it is for later versions.
func TestEachMemberOfOwnBodies(t *testing.T) {
	published, closed := both(t)
	for _, name := range []string{"kinetel.environment", "kinetel.loss", "kinetel.invocation", "unreported", "kinetel.span", "kinetel.init", "kinetel.limit", "kinetel.report"} {
		text := samples(t)[name]
		var whole struct{ Body map[string]any }
		if err := json.Unmarshal([]byte(text), &whole); err != nil {
			t.Fatal(err)
		}
		for _, other := range others(whole.Body) {
			if published.event([]byte(changed(t, text, at{"body"}, other))) == nil {
				t.Errorf("%s: the body %s is accepted", name, other)
			}
		}
		members := 0
		var visit func(where at, object map[string]any)
		visit = func(where at, object map[string]any) {
			more := changed(t, text, append(slices.Clone(where), "later"), `7`)
			if open := len(where) == 2 && (where[1] == "lost" || where[1] == "redacted"); !open {
				if err := published.event([]byte(more)); err != nil {
					t.Errorf("%s: a member more in %v is refused: %v", name, where, err)
				}
				if closed.event([]byte(more)) == nil {
					t.Errorf("%s: Check does not see a member more in %v", name, where)
				}
			}
			for member, value := range object {
				members++
				here := append(slices.Clone(where), member)
				path := strings.Join(here[1:], ".")
				err := published.event([]byte(changed(t, text, here, ``)))
				// heldMs, events and the like hang on each other.
				together := slices.Contains([]string{"heldMs", "hold", "events", "bytes", "firstSeq", "lastSeq", "sampleRate", "sampled"}, path) && name != "kinetel.loss" && name != "kinetel.limit"
				if may := slices.Contains(optional()[name], path); !together && may != (err == nil) {
					t.Errorf("%s: without %s: %v", name, path, err)
				}
				if path == "tracing" {
					continue // Lambda's
				}
				for _, other := range others(value) {
					if published.event([]byte(changed(t, text, here, other))) == nil {
						t.Errorf("%s: %s may be %s", name, path, other)
					}
				}
				if object, ok := value.(map[string]any); ok {
					visit(here, object)
				}
			}
		}
		visit(at{"body"}, whole.Body)
		if members < 5 {
			t.Errorf("%s has only %d members", name, members)
		}
	}
}

// What may be added without a new version does not fail the schema, and is seen
// by Check.
func TestValuesOfLaterVersionsAreAccepted(t *testing.T) {
	published, closed := both(t)
	all := samples(t)
	for _, tt := range []struct {
		of    string
		where at
		value string
	}{
		{"kinetel.loss", at{"body", "reason"}, `"cosmic-rays"`},
		{"kinetel.report", at{"body", "lost", "cosmic-rays"}, `1`},
		{"kinetel.invocation", at{"body", "hold"}, `"cosmic-rays"`},
		{"kinetel.environment", at{"body", "kinetel", "format"}, `"morse"`},
		{"kinetel.environment", at{"body", "kinetel", "types"}, `["dreams"]`},
	} {
		text := changed(t, all[tt.of], tt.where, tt.value)
		if err := published.event([]byte(text)); err != nil {
			t.Errorf("%v in %s is refused: %v", tt.where, tt.of, err)
		}
		if closed.event([]byte(text)) == nil {
			t.Errorf("Check does not see %v in %s", tt.where, tt.of)
		}
	}
	for name, text := range map[string]string{
		"a type of a later Lambda":  line(1, "platform.later", `{"requestId":7}`, ofRequest),
		"a type of a later Kinetel": line(1, "kinetel.later", `"text"`, ofRequest),
		"a stream of a later time":  line(1, "later", `null`, func(ev *event.Event) { ev.Severity = event.Fatal }),
		"more in Lambda's bodies":   line(1, "platform.report", `{"metrics":"many"}`),
	} {
		if err := published.event([]byte(text)); err != nil {
			t.Errorf("%s is refused: %v", name, err)
		}
	}
}

func TestTheOrderOfMembersIsFixed(t *testing.T) {
	good := line(7, "function", `{"a": 1}`, ofRequest, func(ev *event.Event) { ev.Severity, ev.Extra = event.Info, []byte(`"b":1`) })
	if err := inOrder([]byte(good)); err != nil {
		t.Fatalf("%v: %s", err, good)
	}
	for name, text := range map[string]string{
		"white space before a name":  strings.Replace(good, `,"seq"`, `, "seq"`, 1),
		"white space before a value": strings.Replace(good, `"seq":`, `"seq": `, 1),
		"white space before a colon": strings.Replace(good, `"seq":`, `"seq" :`, 1),
		"white space at the end":     strings.Replace(good, "}\n", " }\n", 1),
		"no line feed":               strings.TrimSuffix(good, "\n"),
		"two line feeds":             good + "\n",
		"a member twice":             strings.Replace(good, `,"type"`, `,"seq":7,"type"`, 1),
		"a member beside the others": strings.Replace(good, `,"type"`, `,"more":7,"type"`, 1),
		"the trace before the request": strings.NewReplacer(`"requestId":"`+request+`"`, `"traceId":"`+trace+`"`,
			`"traceId":"`+trace+`"`, `"requestId":"`+request+`"`).Replace(good),
		"the resource before the body": changed(t, good, at{"seq"}, `7`) + "\n", // sorted by name
		"half of it":                   good[:len(good)/2],
		"nothing":                      "",
	} {
		if text == good || inOrder([]byte(text)) == nil {
			t.Errorf("%s is accepted: %s", name, text)
		}
	}
}

// recorder is a test that may fail.
type recorder struct {
	testing.TB
	failed string
}

func (r *recorder) Helper()           {}
func (r *recorder) Error(args ...any) { r.failed += fmt.Sprint(args...) }
func (r *recorder) Fatal(args ...any) { r.failed += fmt.Sprint(args...) }

func TestCheckFailsTheTest(t *testing.T) {
	good := line(7, "function", `"a"`)
	for name, data := range map[string]string{
		"nothing":                   "",
		"text":                      "text\n",
		"a member of no version":    strings.Replace(good, `,"resource"`, `,"more":{},"resource"`, 1),
		"a bad second line":         good + strings.Replace(good, `"seq":7`, `"seq":0`, 1),
		"members in another order":  changed(t, good, at{"seq"}, `8`) + "\n",
		"an empty body":             line(7, event.TypeLoss, `{}`),
		"a body with a member more": line(7, event.TypeLoss, `{"firstSeq":1,"lastSeq":1,"count":1,"bytes":1,"reason":"oversize","later":1}`),
	} {
		r := &recorder{TB: t}
		Check(r, []byte(data))
		if r.failed == "" {
			t.Errorf("%s is accepted", name)
		}
	}
	r := &recorder{TB: t}
	Check(r, []byte(good+good))
	if r.failed != "" {
		t.Errorf("good lines: %s", r.failed)
	}
}

// Whatever Lambda sends, the line that is made of it fulfils the schema.
func TestAnyLineFulfilsTheSchema(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ev := event.Event{
			Received: time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "received")),
			Type:     []byte(rapid.SampledFrom([]string{"function", "extension", "platform.start", "platform.later", "later"}).Draw(t, "type")),
			Record:   []byte(jsontexttest.Value(4).Draw(t, "record")),
		}
		if rapid.Bool().Draw(t, "timed") {
			ev.Time = []byte(ev.Received.Format(time.RFC3339Nano))
		}
		if !strings.HasPrefix(string(ev.Type), "platform.") {
			ev.Severity = event.Severity(rapid.IntRange(0, 6).Draw(t, "severity"))
		}
		if string(ev.Type) != "extension" && rapid.Bool().Draw(t, "of a request") {
			ofRequest(&ev)
		}
		if rapid.Bool().Draw(t, "extra") {
			ev.Extra = append([]byte(`"a":`), jsontexttest.Value(2).Draw(t, "more")...)
		}
		v, err := strict()
		if err != nil {
			t.Fatal(err)
		}
		lines := format.AppendLine(nil, rapid.Uint64Min(1).Draw(t, "seq"), &ev, format.Part{}, identity().Details().Resource)
		cut := rapid.IntRange(1, len(ev.Record)).Draw(t, "cut")
		for i, piece := range [][]byte{ev.Record[:cut], ev.Record[cut:]} {
			if len(piece) > 0 {
				lines = format.AppendLine(lines, uint64(i+1), &ev, format.Part{Part: i + 1, Parts: 2, Body: piece}, identity().Details().Resource)
			}
		}
		if err := v.record(lines); err != nil {
			t.Fatal(err)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	var lines []byte
	for i := range 500 {
		lines = append(lines, line(uint64(i+1), "function", `"2026-11-22T20:15:00.123Z\t`+request+`\tINFO\tuser signed in\n"`, ofRequest, func(ev *event.Event) { ev.Severity = event.Info })...)
	}
	for b.Loop() {
		Check(b, lines)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/500, "µs/event")
}
