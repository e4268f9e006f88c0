package annotate_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/kinetel/kinetel/internal/annotate"
	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/jsontext/jsontexttest"
)

// check annotates an event, and checks that the result can be written to a line.
func check(t interface{ Fatalf(string, ...any) }, a *annotate.Annotator, kind, record []byte) event.Event {
	ev := event.Event{Time: []byte("2026-11-22T20:15:00.150Z"), Type: kind, Record: bytes.Clone(record)}
	a.Learn(&ev)
	a.Annotate(&ev)
	if !bytes.Equal(ev.Record, record) {
		t.Fatalf("the record was changed to %q", ev.Record)
	}
	if len(ev.RequestID) > 128 {
		t.Fatalf("a request of %d bytes", len(ev.RequestID))
	}
	for _, c := range []byte(ev.RequestID) {
		if c < ' ' || c > '~' || c == '"' || c == '\\' {
			t.Fatalf("the request is %q", ev.RequestID)
		}
	}
	if ev.TraceID != "" && (len(ev.TraceID) != 35 || bytes.ContainsAny([]byte(ev.TraceID), "\"\\ ;=")) {
		t.Fatalf("the trace is %q", ev.TraceID)
	}
	if ev.Severity > event.Fatal {
		t.Fatalf("the severity is %d", ev.Severity)
	}
	line := string(kind) == event.TypeFunction || string(kind) == event.TypeExtension
	if !line && ev.Severity != 0 || string(kind) == event.TypeExtension && ev.RequestID != "" || bytes.HasPrefix(kind, []byte("kinetel.")) && (ev.RequestID != "" || ev.TraceID != "") {
		t.Fatalf("%s has request %q, severity %q", kind, ev.RequestID, ev.Severity)
	}
	return ev
}

// FuzzAnnotate annotates what may be no JSON at all, on demand and on Managed
// Instances, before and after it was learned.
func FuzzAnnotate(f *testing.F) {
	for _, seed := range []struct{ kind, record string }{
		{event.TypeFunction, `"2026-11-22T20:15:00.123Z\t8476a536-e9f4-11e8-9739-2dfe598c3fcd\tINFO\thello\n"`},
		{event.TypeFunction, `"[INFO]\t2026-11-22T20:15:00.123Z\t8476a536-e9f4-11e8-9739-2dfe598c3fcd\thello\n"`},
		{event.TypeFunction, `"{\"level\":\"info\",\"requestId\":\"8476a536-e9f4-11e8-9739-2dfe598c3fcd\"}"`},
		{event.TypeFunction, `"\u001b[2m2026-11-22T20:15:00Z\u001b[0m [a b] - x - ERROR level=\"info\""`},
		{event.TypeFunction, `"E, [2026-11-22T20:15:00.123456 #8] ERROR -- : hello"`},
		{event.TypeFunction, `"E1122 20:15:00.123456 8 main.go:17] level=info"`},
		{event.TypeFunction, `{"log":{"level":"info"},"level":30,"AWSRequestId":"a\"b"}`},
		{event.TypeFunction, `"2026-11-22T20:15:00.123Z\t8476a536-e9f4-11e8-9739-2dfe598c3fcd\tINFO\t{\"level\":\"error\",\"message\":\"{\\\"level\\\":10}\"}\n"`},
		{event.TypeFunction, `"2026-11-22T20:15:00.123Z\tundefined\tINFO\t{ level: 'error', user: { level: 10 } }"`},
		{event.TypeFunction, `{"timestamp":"t","level":"INFO","message":" INFO x{requestId=\"8476a536-e9f4-11e8-9739-2dfe598c3fcd\"}: y"}`},
		{event.TypeFunction, `{"span":{"requestId":"a"},"spans":[{"requestId":"b"}],"severityNumber":17,"level":300,"record":{"level":{"name":"x"}}}`},
		{event.TypeFunction, `"[Nest] 8  - 11/26/2026, 5:21:29 PM   ERROR [X] boom"`},
		{event.TypeFunction, `"[26/Nov/2026 17:21:29] app.ERROR: [a] PHP Warning:  x"`},
		{event.TypeFunction, `"Nov 26, 2026 5:21:29 PM x\nSEVERE: boom"`},
		{event.TypeFunction, `"<11>a - ERROR - b | WARN | c.INFO: fail: x[1]"`},
		{event.TypeExtension, `"WARN[0000] hello"`},
		{event.TypePlatformStart, `{"requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd","tracing":{"value":"Root=1-68d0aaaa-0123456789abcdef01234567"}}`},
		{event.TypePlatformInitStart, `{"phase":"invoke"}`},
		{event.TypeInvocation, `{"requestId":"x"}`},
		{event.TypeFunction, `"`},
		{event.TypeFunction, `"\`},
		{event.TypeFunction, `"\u00`},
		{event.TypeFunction, `{`},
		{event.TypeFunction, `{"`},
		{event.TypeFunction, ``},
		{"platform.start", `{"requestId":`},
		{"platform.start", `{"requestId":"`},
		{"", ``},
	} {
		f.Add(seed.kind, []byte(seed.record))
	}
	f.Fuzz(func(t *testing.T, kind string, record []byte) {
		for _, lambda := range []config.Initialization{config.OnDemand, config.ManagedInstances} {
			a := annotate.New(lambda)
			first := check(t, a, []byte(kind), record)
			i := start(100, "A").event()
			a.Learn(i)
			a.Annotate(i)
			second := check(t, a, []byte(kind), record)
			if first.Severity != second.Severity {
				t.Fatalf("the severity is %q first, and %q then", first.Severity, second.Severity)
			}
			// The text of a line is read the same way twice.
			if lambda == config.OnDemand && kind == event.TypeFunction && second.RequestID == "" {
				t.Fatalf("a line in an invocation belongs to none")
			}
		}
	})
}

func TestAnyJSONIsAnnotated(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := annotate.New("")
		for range rapid.IntRange(1, 5).Draw(t, "events") {
			kind := rapid.SampledFrom([]string{event.TypeFunction, event.TypeExtension, event.TypePlatformStart, event.TypePlatformRuntimeDone, event.TypePlatformReport, event.TypePlatformInitStart, "platform.later", event.TypeLoss, "later"}).Draw(t, "type")
			value := jsontexttest.Value(3).Draw(t, "record")
			check(t, a, []byte(kind), []byte(value))
			// The result for an object is that for the same text.
			object := check(t, a, []byte(event.TypeExtension), []byte(value))
			text := check(t, a, []byte(event.TypeExtension), jsontext.AppendQuote(nil, value))
			if value[0] == '{' && object.Severity != text.Severity {
				t.Fatalf("%s is %q, and as a text %q", value, object.Severity, text.Severity)
			}
		}
	})
}

// TestALevelIsFoundAmongAnyMembers wraps what is looked for in other JSON: the severity that is
// found is that of the member, wherever it stands.
func TestALevelIsFoundAmongAnyMembers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		before := jsontexttest.Value(3).Draw(t, "before")
		behind := jsontexttest.Value(3).Draw(t, "behind")
		word := rapid.SampledFrom([]string{"trace", "Debug", "INFO", "warning", "Error", "FATAL"}).Draw(t, "word")
		want := map[string]event.Severity{"trace": event.Trace, "Debug": event.Debug, "INFO": event.Info, "warning": event.Warn, "Error": event.Error, "FATAL": event.Fatal}[word]
		id := uuid("X")
		value := `{"x":` + before + `,"level":"` + word + `" , "requestId" : "` + id + `","y":` + behind + `}`
		for _, record := range []string{value, asText(value)} {
			a := annotate.New(config.ManagedInstances)
			a.Learn(start(0, "X").event())
			ev := check(t, a, []byte(event.TypeFunction), []byte(record))
			if ev.Severity != want || ev.RequestID != id {
				t.Fatalf("%s is %q, of request %q", record, ev.Severity, ev.RequestID)
			}
		}
	})
}

// TestThePrefixOfNodeIsReadAsAnyOther compares what is read of lines with the prefix that
// has a function of its own to what is read if a tab of it is spelled in another way.
func TestThePrefixOfNodeIsReadAsAnyOther(t *testing.T) {
	word := rapid.SampledFrom([]string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL", "LOG", "info", "ERROR:", ""})
	piece := rapid.SampledFrom([]string{
		" ", "\n", "\t", "\x1b[31m", "order 7 accepted", "requestId=" + uuid("B"), `{"level":"error","requestId":"` + uuid("B") + `"}`, `{"level":"warn`, `{"requestId":"` + uuid("B") + `", "text`, "level=error ", "ERROR", "WARN: text", "[error] ",
		"{ level: 'error' }", "Error: failed", "2026-11-22 20:15:00 ERROR", strings.Repeat("long ", 45), "é", `"`, `\`, "<11>", "fail: Orders[0]", uuid("B"),
	})
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.SampledFrom([]string{"2026-11-22T20:15:00.123Z", "2026-02-30T20:15:00.123Z", "2026-11-22T20:15:00.12Z", "2026-11-22 20:15:00.123Z"}).Draw(t, "time")
		id := rapid.SampledFrom([]string{uuid("A"), uuid("C"), "undefined", "", uuid("A")[:35] + "x"}).Draw(t, "id")
		text := string(jsontext.AppendQuote(nil, at+"\t"+id+"\t"+word.Draw(t, "level")+"\t"+strings.Repeat("x ", rapid.SampledFrom([]int{0, 0, 80, 85, 90}).Draw(t, "before"))+strings.Join(rapid.SliceOfN(piece, 0, 4).Draw(t, "message"), "")))
		other := strings.Replace(text, `\t`, `\u0009`, 1)
		var got [2]event.Event
		for i, record := range []string{text, other} {
			a := annotate.New(config.ManagedInstances)
			a.OTLP(false)
			a.Learn(start(0, "A").event())
			a.Learn(start(0, "B").event())
			got[i] = event.Event{Type: []byte(event.TypeFunction), Record: []byte(record)}
			a.Annotate(&got[i])
			got[i].Record = nil
		}
		if diff := cmp.Diff(got[1], got[0], cmpopts.IgnoreUnexported(event.Event{})); diff != "" {
			t.Fatalf("%s (-want +got)\n%s", text, diff)
		}
	})
}
