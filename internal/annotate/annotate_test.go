package annotate_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/annotate"
	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/telemetry"
)

// epoch is 0 ms of all tests.
var epoch = time.Date(2026, 11, 22, 20, 15, 0, 0, time.UTC)

func at(ms int) time.Time { return epoch.Add(time.Duration(ms) * time.Millisecond) }

// uuid is the request id that a letter stands for.
func uuid(letter string) string {
	if letter == "" {
		return ""
	}
	return fmt.Sprintf("8476a536-e9f4-11e8-9739-2dfe598c%04x", letter[0])
}

// trace is the trace of the letter's request.
func trace(letter string) string {
	if letter == "" {
		return ""
	}
	return fmt.Sprintf("1-68d0aaaa-0123456789abcdef0123%04x", letter[0])
}

// header is that trace in X-Ray's header.
func header(letter string) string {
	return "Root=" + trace(letter) + ";Parent=0123456789abcdef;Sampled=1"
}

// item is an event of a body, or an INVOKE between events.
type item struct {
	kind   string
	at     int
	id     string // a letter
	record string
	want   string // of a line: the letter
}

func start(ms int, id string) item {
	return item{kind: event.TypePlatformStart, at: ms, id: id, record: fmt.Sprintf(`{"requestId":%q,"version":"$LATEST","tracing":{"spanId":"54565fb41ac79632","type":"X-Amzn-Trace-Id","value":%q}}`, uuid(id), header(id))}
}

func done(ms int, id string) item { return doneAs(ms, id, "success") }

func doneAs(ms int, id, status string) item {
	return item{kind: event.TypePlatformRuntimeDone, at: ms, id: id, record: fmt.Sprintf(`{"requestId":%q,"status":%q,"metrics":{"durationMs":1.5}}`, uuid(id), status)}
}

func report(ms int, id string) item {
	return item{kind: event.TypePlatformReport, at: ms, id: id, record: fmt.Sprintf(`{"requestId":%q,"status":"success","metrics":{"durationMs":1.5}}`, uuid(id))}
}

func initStart(ms int, phase string) item {
	return item{kind: event.TypePlatformInitStart, at: ms, record: fmt.Sprintf(`{"initializationType":"on-demand","phase":%q}`, phase)}
}

func restoreStart(ms int) item {
	return item{kind: event.TypePlatformRestoreStart, at: ms, record: `{}`}
}

// invoke is an INVOKE of the Extensions API.
func invoke(ms int, id string) item { return item{kind: "INVOKE", at: ms, id: id} }

// text is a line without a request id.
func text(ms int, want string) item { return line(ms, `"user signed in\n"`, want) }

func line(ms int, record, want string) item {
	return item{kind: event.TypeFunction, at: ms, record: record, want: want}
}

func (i item) event() *event.Event {
	return &event.Event{Time: at(i.at).AppendFormat(nil, event.TimeFormat), Received: at(1_000_000), Type: []byte(i.kind), Record: []byte(i.record)}
}

// play shows bodies to an Annotator as the intake does.
func play(t *testing.T, a *annotate.Annotator, bodies [][]item) {
	t.Helper()
	for n, body := range bodies {
		var events []*event.Event
		for _, i := range body {
			if i.kind == "INVOKE" {
				a.Invoked(uuid(i.id), header(i.id), at(i.at))
				continue
			}
			ev := i.event()
			a.Learn(ev)
			events = append(events, ev)
		}
		for _, i := range body {
			if i.kind == "INVOKE" {
				continue
			}
			ev := events[0]
			events = events[1:]
			a.Annotate(ev)
			want := i.want
			if i.kind != event.TypeFunction {
				want = i.id
			}
			wantTrace := trace(want)
			if ev.RequestID != uuid(want) || ev.TraceID != wantTrace {
				t.Errorf("body %d: %s at %d ms, %.80s: request %q, trace %q; want those of %q", n+1, i.kind, i.at, i.record, ev.RequestID, ev.TraceID, want)
			}
		}
	}
}

// structured is a line of a JSON logger with one more member.
func structured(name, value string) string {
	return fmt.Sprintf(`{"timestamp":"2026-11-22T20:15:00.123Z","level":"INFO","message":"m",%q:%q}`, name, value)
}

// asText is a text as a record.
func asText(text string) string { return string(jsontext.AppendQuote(nil, text)) }

func TestLinesBelongToTheInvocationThatWasOpen(t *testing.T) {
	for _, tt := range []struct {
		name   string
		kind   config.Initialization
		bodies [][]item
	}{
		{"a line before the first start belongs to none", "", [][]item{
			{initStart(0, "init"), text(10, ""), start(100, "A"), text(101, "A")},
		}},
		{"a line between start and runtimeDone belongs to the invocation", "", [][]item{
			{start(100, "A"), text(100, "A"), text(150, "A"), text(200, "A"), done(200, "A")},
		}},
		{"a line that is read just after runtimeDone still belongs to it, and then none does", "", [][]item{
			{start(100, "A"), done(200, "A"), text(205, "A"), text(206, "")},
		}},
		{"a function logs after its response but before runtimeDone", "", [][]item{
			{start(100, "A"), text(150, "A")},
			{text(180, "A")},
			{done(200, "A"), text(199, "A")},
		}},
		{"between two invocations there is none", "", [][]item{
			{start(100, "A"), done(200, "A")},
			{text(300, "")},
			{start(400, "B"), text(399, ""), text(400, "B")},
		}},
		{"the order inside a body does not matter", "", [][]item{
			{text(150, "A"), text(350, "B"), text(250, ""), done(400, "B"), start(300, "B"), done(200, "A"), start(100, "A"), text(150, "A"), text(350, "B"), text(250, ""), text(99, "")},
		}},
		{"lines come bodies later, after the next start and the report", "", [][]item{
			{start(100, "A"), done(200, "A")},
			{report(290, "A"), start(300, "B")},
			{text(150, "A"), text(350, "B"), text(203, "A"), text(250, "")},
			{done(400, "B"), report(500, "B"), start(600, "C")},
			{text(150, "A"), text(350, "B"), text(650, "C"), text(450, "")},
		}},
		{"what runs on across invocations is cut at the next start", "", [][]item{
			{start(100, "A"), done(200, "A"), start(203, "B"), text(203, "B"), text(204, "B"), text(202, "A")},
		}},
		{"in the millisecond of a start, who comes before it belongs to the one before", "", [][]item{
			{start(100, "A"), done(200, "A"), text(203, "A"), start(203, "B"), text(203, "B")},
			{text(203, "B"), text(202, "A")},
		}},
		{"in the millisecond of a start, who comes before it belongs to one that is open", "", [][]item{
			{start(100, "A")},
			{text(200, "A"), start(200, "B"), text(200, "B")},
		}},
		{"in the millisecond of a start, the one before has ended: the new one", "", [][]item{
			{start(100, "A"), done(200, "A"), text(300, "B"), start(300, "B")},
		}},
		{"without runtimeDone an invocation is open until the next start", "", [][]item{
			{start(100, "A")},
			{text(5000, "A")},
			{start(6000, "B"), text(5999, "A"), text(6000, "B")},
			{text(5999, "A")},
		}},
		{"without runtimeDone an invocation is open until its report", "", [][]item{
			{start(100, "A"), report(500, "A"), text(500, "A"), text(501, "")},
		}},
		{"runtimeDone counts more than the report, whichever comes first", "", [][]item{
			{start(100, "A"), report(500, "A")},
			{text(400, "A")},
			{done(200, "A"), text(400, ""), text(200, "A")},
		}},
		{"without runtimeDone an invocation is open until another process begins", "", [][]item{
			{start(100, "A")},
			{text(5000, "A")},
			{initStart(6000, "init"), text(5999, "A"), text(6001, "")},
		}},
		{"another process begins, in one body with the start before", "", [][]item{
			{initStart(6000, "init"), start(100, "A"), text(5999, "A"), text(6001, "")},
		}},
		{"after a time-out there is none", "", [][]item{
			{start(100, "A"), text(3000, "A"), doneAs(3100, "A", "timeout"), text(3100, "A"), text(3106, "")},
			{initStart(3500, "invoke"), text(3600, "")},
		}},
		{"the init of an environment that was reset runs inside the next invocation", "", [][]item{
			{start(100, "A"), text(150, "A"), doneAs(200, "A", "failure"), report(210, "A")},
			{initStart(5101, "invoke"), text(5100, "B"), text(5300, "B"), start(5090, "B"), text(5600, "B")},
			{text(7000, "B"), doneAs(8090, "B", "timeout"), text(8090, "B"), text(8200, "")},
		}},
		{"a process in one body does not count for the next body", "", [][]item{
			{initStart(6000, "init"), text(5500, "")},
			{start(5000, "A"), text(7000, "A")},
		}},
		{"of two processes and of two ends the first one counts", "", [][]item{
			{start(100, "A")},
			{initStart(300, "init"), initStart(600, "init"), text(500, "")},
			{start(1000, "B"), done(1100, "B")},
			{done(1300, "B"), text(1200, ""), text(1050, "B")},
			{start(2000, "C"), report(2100, "C")},
			{report(2300, "C"), text(2200, ""), text(2050, "C")},
		}},
		{"the same, where the start comes before the init", "", [][]item{
			{start(5090, "B"), initStart(5101, "invoke")},
			{text(5300, "B")},
		}},
		{"the same, where the one before never ended", "", [][]item{
			{start(100, "A")},
			{initStart(5101, "invoke"), text(5100, "A"), text(5102, "")},
			{start(5090, "B"), text(5102, "B"), text(5089, "A")},
		}},
		{"SnapStart: init is another day, and the restore belongs to none", config.SnapStart, [][]item{
			{initStart(-90_000_000, "init"), text(-89_000_000, "")},
			{restoreStart(0), text(50, ""), start(310, "A"), text(355, "A"), done(420, "A")},
			{text(300, ""), text(422, "A"), text(500, "")},
		}},
		{"a restore ends what the snapshot had open", config.SnapStart, [][]item{
			{start(100, "A")},
			{restoreStart(1000), text(999, "A"), text(1001, "")},
		}},
		{"the same request again is another interval", "", [][]item{
			{start(100, "A"), done(200, "A"), report(300, "A"), text(150, "A"), text(400, "")},
			{start(60_000, "A"), text(60_100, "A"), text(59_000, ""), text(150, "A")},
			{done(60_200, "A"), text(60_201, "A"), text(60_300, ""), text(201, "A"), text(300, "")},
		}},
		{"the same request again, in reverse order", "", [][]item{
			{start(100, "A"), done(200, "A")},
			{report(60_300, "A"), done(60_200, "A"), start(60_000, "A"), text(60_100, "A"), text(60_300, ""), text(150, "A"), text(300, "")},
		}},
		{"the same request again, the first attempt without a runtimeDone", "", [][]item{
			{start(100, "A")},
			{done(60_200, "A"), start(60_000, "A"), text(60_100, "A"), text(60_300, "")},
		}},
		{"a body that comes twice changes nothing", "", [][]item{
			{start(100, "A"), done(200, "A")},
			{start(300, "B")},
			{start(100, "A"), done(200, "A"), text(150, "A")},
			{text(400, "B"), text(250, "")},
		}},
		{"the clock goes backwards: the newest that fits", "", [][]item{
			{start(1000, "A"), done(1100, "A")},
			{start(500, "B"), done(600, "B"), text(550, "B"), text(1050, "A"), text(650, "")},
			{start(700, "C")},
			{text(1050, "C"), text(550, "B"), text(2000, "C")},
			{done(800, "C"), text(1050, "A"), text(750, "C"), text(900, "")},
		}},
		{"the clock goes backwards, and no line is between", "", [][]item{
			{start(1000, "A")},
			{start(500, "B")},
			{text(1050, "B")},
		}},
		{"the clock goes backwards in an invocation: it is over all the same", "", [][]item{
			{start(1000, "A")},
			{done(900, "A"), text(1000, "A"), text(1006, "")},
		}},
		{"the clock goes backwards in an invocation, in reverse order", "", [][]item{
			{done(900, "A"), start(1000, "A"), text(1000, "A"), text(1006, "")},
		}},
		{"starts that overlap: the later one has it", "", [][]item{
			{start(1000, "A"), start(1500, "B"), done(1600, "B"), done(2000, "A"), text(1400, "A"), text(1550, "B"), text(1800, "")},
		}},
		{"two starts in one millisecond: the later one, and before it in the stream the earlier one", "", [][]item{
			{text(100, "A"), start(100, "A"), text(100, "A"), start(100, "B"), text(100, "B"), text(101, "B")},
		}},
		{"INVOKE is received before platform.start", "", [][]item{
			{start(100, "A"), done(200, "A")},
			{invoke(1000, "B"), text(1001, "B"), text(975, "B"), text(974, ""), text(203, "A")},
			{text(1200, "B")},
			{start(990, "B"), text(989, ""), text(990, "B"), text(1001, "B")},
			{done(1300, "B"), text(1310, "")},
		}},
		{"INVOKE ends the invocation before it", "", [][]item{
			{start(100, "A")},
			{invoke(1000, "B"), text(999, "A"), text(1000, "B")},
			{done(200, "A"), text(974, ""), text(999, "B")},
			{start(1010, "B"), text(999, ""), text(1010, "B")},
		}},
		{"INVOKE is received after platform.start", "", [][]item{
			{start(1000, "A"), invoke(1040, "A"), done(1020, "A"), text(1041, "")},
			{text(1041, ""), text(1010, "A")},
		}},
		{"INVOKE of another try", "", [][]item{
			{start(100, "A"), done(200, "A")},
			{invoke(60_000, "A"), text(60_010, "A"), text(30_000, "")},
			{start(60_005, "A"), text(60_001, ""), text(60_010, "A")},
		}},
		{"one INVOKE after another, without any start", "", [][]item{
			{invoke(1000, "A"), text(1500, "A")},
			{done(1600, "A"), text(1500, "A"), text(1700, "")},
			{invoke(2000, "B"), text(2100, "B"), text(1500, "A"), text(1700, "")},
			{invoke(3000, "C"), text(3100, "C"), text(2974, "B"), text(2975, "C")},
		}},
		{"an INVOKE without a start is over when another begins", "", [][]item{
			{invoke(1000, "A")},
			{start(2000, "B"), done(2100, "B"), text(1500, "A"), text(2050, "B"), text(2200, "")},
		}},
		{"an INVOKE without a start is over when another process begins", "", [][]item{
			{invoke(1000, "A"), initStart(3000, "init"), text(3001, ""), text(2999, "A")},
		}},
		{"an INVOKE that ended does not give way to the one before", "", [][]item{
			{invoke(1000, "A"), invoke(1500, "B"), done(1600, "B")},
			{text(1700, ""), text(1550, "B"), text(1400, "A")},
		}},
		{"an INVOKE of another try stays what it was", "", [][]item{
			{invoke(1000, "A"), done(1100, "A")},
			{start(60_000, "A"), text(1050, "A"), text(1200, ""), text(60_001, "A")},
		}},
		{"the end after an INVOKE counts for its start", "", [][]item{
			{invoke(1000, "A"), done(1100, "A")},
			{start(998, "A"), text(999, "A"), text(1200, "")},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) { play(t, annotate.New(tt.kind), tt.bodies) })
	}
}

func TestALineWithARequestIDBelongsToThatInvocation(t *testing.T) {
	// A is open at 150 ms; at 350 ms no invocation is open.
	node := func(id string) string { return asText("2026-11-22T20:15:00.123Z\t" + id + "\tINFO\thello\n") }
	python := func(id string) string {
		return asText("[INFO]\t2026-11-22T20:15:00.123Z\t" + id + "\thello\n")
	}
	other := uuid("X")
	for _, tt := range []struct {
		name, record string
		open         string // whose it is while A is open
		between      string // whose it is while none is
	}{
		{"Node's text of B", node(uuid("B")), "B", "B"},
		{"Python's text of B", python(uuid("B")), "B", "B"},
		{".NET's text of B", asText("2026-11-22T20:15:00.123Z\t" + uuid("B") + "\tinfo\thello\n"), "B", "B"},
		{"Python's text with a level of its own", asText("[SUCCESS]\t2026-11-22T20:15:00.123Z\t" + uuid("B") + "\thello\n"), "B", "B"},
		{"Node's text without a level", asText("2026-11-22T20:15:00.123Z\t" + uuid("B") + "\thello\n"), "B", "B"},
		{"Lambda's own word on a time-out", asText("2026-11-22T20:15:00.123Z " + uuid("B") + " Task timed out after 3.00 seconds\n\n"), "B", "B"},
		{"log4j's text of B", asText("2026-11-22 20:15:00 " + uuid("B") + " ERROR Class - hello"), "B", "B"},
		{"Node's text outside of a request", node("undefined"), "A", ""},
		{".NET's text outside of a request", asText("2026-11-22T20:15:00.123Z\t\tinfo\thello\n"), "A", ""},
		{"Node's text of an unknown request", node(other), "A", ""},
		{"Python's text of an unknown request", python(other), "A", ""},
		{"a UUID where log4j has one, of an unknown request", asText("2026-11-22 20:15:00 " + other + " ERROR Class - hello"), "A", ""},
		{"a UUID in the midst of a text", asText("order " + uuid("B") + " accepted"), "A", ""},
		{"a UUID in a row of tabs", asText("order\t" + uuid("B") + "\tINFO\taccepted"), "A", ""},
		{"AWSRequestId", structured("AWSRequestId", uuid("B")), "B", "B"},
		{"awsRequestId", structured("awsRequestId", uuid("B")), "B", "B"},
		{"requestId", structured("requestId", uuid("B")), "B", "B"},
		{"request_id", structured("request_id", uuid("B")), "B", "B"},
		{"aws_request_id", structured("aws_request_id", uuid("B")), "B", "B"},
		{"function_request_id", structured("function_request_id", uuid("B")), "B", "B"},
		{"lambdaRequestId", structured("lambdaRequestId", uuid("B")), "B", "B"},
		{"faas.invocation_id", structured("faas.invocation_id", uuid("B")), "B", "B"},
		{"JSON that is printed as text", asText(structured("requestId", uuid("B")) + "\n"), "B", "B"},
		{"JSON over several lines that is printed as text", asText("{\n  \"requestId\": \"" + uuid("B") + "\"\n}\n"), "B", "B"},
		{"an id deeper down does not count", `{"request":{"requestId":"` + uuid("B") + `"}}`, "A", ""},
		{"another name does not count", structured("correlationId", uuid("B")), "A", ""},
		{"a request of the web does not mislead", structured("requestId", "req-4711"), "A", ""},
		{"a request of the web that is a UUID does not mislead", structured("requestId", other), "A", ""},
		{"the known one of several", `{"requestId":"` + other + `","aws_request_id":"` + uuid("B") + `"}`, "B", "B"},
		{"of several unknown ones none", `{"requestId":"req-1","aws_request_id":"` + other + `"}`, "A", ""},
		{"Lambda's own name counts more than others", `{"requestId":"` + uuid("A") + `","AWSRequestId":"` + uuid("B") + `"}`, "B", "B"},
		{"an id that is no string does not count", `{"requestId":17}`, "A", ""},
		{"an array has no id", `["` + uuid("B") + `"]`, "A", ""},
		{"null has no id", `null`, "A", ""},
		{"no record has no id", ``, "A", ""},
		{"text that begins as JSON does", asText(`{"requestId":"` + uuid("B") + `"`), "A", ""},
		{"text that goes on after JSON", asText(`{"requestId":"` + uuid("B") + `"} and more`), "A", ""},
		{"a name behind 64 KiB is not looked for", `{"pad":"` + strings.Repeat("x", 64<<10) + `","requestId":"` + uuid("B") + `"}`, "A", ""},
		{"a name in the midst of 64 KiB is found", `{"pad":"` + strings.Repeat("x", 60<<10) + `","requestId":"` + uuid("B") + `"}`, "B", "B"},
		{"a name before 64 KiB is found", `{"requestId":"` + uuid("B") + `","pad":"` + strings.Repeat("x", 64<<10) + `"}`, "B", "B"},
		{"a name before 64 KiB of a text is found", asText(`{"requestId":"` + uuid("B") + `","pad":"` + strings.Repeat("x", 64<<10) + `"}`), "B", "B"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			open, between := line(150, tt.record, tt.open), line(350, tt.record, tt.between)
			play(t, annotate.New(""), [][]item{
				{start(0, "B"), done(10, "B"), start(100, "A"), done(200, "A"), open, between},
			})
		})
		t.Run("on Managed Instances: "+tt.name, func(t *testing.T) {
			open, between := line(150, tt.record, tt.between), line(350, tt.record, tt.between)
			play(t, annotate.New(config.ManagedInstances), [][]item{
				{start(0, "B"), report(10, "B"), start(100, "A"), open, report(200, "A"), between},
			})
		})
	}
}

func TestInvocationsOfManagedInstancesInterleave(t *testing.T) {
	of := func(letter string) string { return structured("requestId", uuid(letter)) }
	play(t, annotate.New(config.ManagedInstances), [][]item{
		{start(0, "A"), start(1, "B"), line(2, of("B"), "B"), line(3, of("A"), "A"), start(4, "C"), text(5, "")},
		{report(6, "B"), line(7, of("A"), "A"), line(8, of("B"), "B"), text(9, "")},
		{report(10, "A"), line(11, of("C"), "C"), text(12, ""), line(13, of("D"), "")},
		{invoke(20, "E"), line(21, of("E"), "E"), text(22, "")},
	})
}

func TestHundredsOfManagedInvocationsAreKnown(t *testing.T) {
	a := annotate.New(config.ManagedInstances)
	id := func(n int) string { return fmt.Sprintf("request-%d", n) } // not a UUID
	begin := func(n int) {
		a.Learn(&event.Event{Type: []byte(event.TypePlatformStart), Record: fmt.Appendf(nil, `{"requestId":%q}`, id(n))})
	}
	of := func(n int) string {
		ev := event.Event{Type: []byte(event.TypeFunction), Record: []byte(structured("requestId", id(n)))}
		a.Annotate(&ev)
		return ev.RequestID
	}
	more := 10_000
	if testing.Short() {
		more = 1000
	}
	for n := range 4096 {
		begin(n)
	}
	for n := range 4096 {
		if of(n) != id(n) {
			t.Fatalf("request %d of 4,096 is not known", n)
		}
	}
	for n := range more {
		begin(4096 + n)
	}
	for n := range more {
		if of(n) != "" {
			t.Fatalf("request %d is still known after 4,096 others", n)
		}
	}
	for n := range 4096 {
		if of(more+n) != id(more+n) {
			t.Fatalf("request %d of the last 4,096 is not known", n)
		}
	}
}

func TestTheLast64InvocationsAreRemembered(t *testing.T) {
	a := annotate.New("")
	invocations := 1000
	if testing.Short() {
		invocations = 300
	}
	id := func(n int) string { return fmt.Sprintf("request-%d", n) }
	show := func(kind string, ms, n int) {
		ev := item{kind: kind, at: ms, record: fmt.Sprintf(`{"requestId":%q}`, id(n))}.event()
		a.Learn(ev)
		a.Annotate(ev)
	}
	for n := range invocations {
		show(event.TypePlatformStart, n*100, n)
		show(event.TypePlatformRuntimeDone, n*100+50, n)
		for back := range min(n, 64) {
			ev := text((n-back)*100+25, "").event()
			a.Annotate(ev)
			if ev.RequestID != id(n-back) {
				t.Fatalf("after %d invocations, a line of the one %d before is %q's", n+1, back, ev.RequestID)
			}
		}
	}
	for back := range 64 { // by name, at a time when there was none
		ev := line(-1000, structured("requestId", id(invocations-1-back)), "").event()
		a.Annotate(ev)
		if ev.RequestID != id(invocations-1-back) {
			t.Fatalf("a line that names the invocation %d before is %q's", back, ev.RequestID)
		}
	}
	ev := text((invocations-200)*100+25, "").event()
	a.Annotate(ev)
	if ev.RequestID != "" {
		t.Errorf("the invocation 200 before is remembered: %q", ev.RequestID)
	}
}

func TestABodyMayHaveTheEventsOfManyInvocationsInAnyOrder(t *testing.T) {
	var ends, starts, lines []item
	for n := range 30 {
		letter := string(rune('A' + n))
		ends = append(ends, done(n*100+50, letter), report(n*100+60, letter))
		starts = append(starts, start(n*100, letter))
		lines = append(lines, text(n*100+25, letter), text(n*100+75, ""))
	}
	play(t, annotate.New(""), [][]item{append(append(lines, ends...), starts...)})
}

func TestMemoryForRuntimeDonesWithoutAStartIsBounded(t *testing.T) {
	a := annotate.New("")
	for n := range 10_000 {
		ev := item{kind: event.TypePlatformRuntimeDone, at: n * 100, record: fmt.Sprintf(`{"requestId":"request-%d"}`, n)}.event()
		a.Learn(ev)
	}
	if n := a.Held(); n > 256+256 {
		t.Errorf("%d requests and invocations are held", n)
	}
	for n := range 10_000 {
		a.Invoked(fmt.Sprintf("other-%d", n), "", at(n*100))
	}
	if n := a.Held(); n > 256+256+128 {
		t.Errorf("%d requests and invocations are held", n)
	}
}

func TestAnEventWithoutAValidTimeHasTheTimeItWasReceived(t *testing.T) {
	for _, tt := range []struct {
		name, time string
		received   time.Time
		want       string
	}{
		{"Lambda's form", "2026-11-22T20:15:00.150Z", at(999), uuid("A")},
		{"another fraction", "2026-11-22T20:15:00.1501Z", at(999), uuid("A")},
		{"no fraction", "2026-11-22T20:15:00Z", at(150), ""},
		{"another zone", "2026-11-22T21:15:00.150+01:00", at(999), uuid("A")},
		{"none", "", at(150), uuid("A")},
		{"one that cannot be read", "2026-11-22T20:15:00.15xZ", at(150), uuid("A")},
		{"one of Lambda's form that no calendar has", "2026-11-31T20:15:00.150Z", at(150), uuid("A")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := annotate.New("")
			play(t, a, [][]item{{start(100, "A"), done(200, "A")}})
			ev := event.Event{Time: []byte(tt.time), Received: tt.received, Type: []byte(event.TypeFunction), Record: []byte(`"x"`)}
			a.Annotate(&ev)
			if ev.RequestID != tt.want {
				t.Errorf("a line of %q, received %s, is %q's", tt.time, tt.received, ev.RequestID)
			}
		})
	}
}

func TestPlatformEventsNameTheirRequest(t *testing.T) {
	const other = "1-68d0bbbb-0123456789abcdef01234567"
	for _, tt := range []struct {
		name, kind, record string
		request, trace     string
	}{
		{"its own trace", event.TypePlatformReport, `{"requestId":"` + uuid("A") + `","tracing":{"type":"X-Amzn-Trace-Id","value":"Root=` + other + `;Parent=0123456789abcdef;Sampled=1"}}`, uuid("A"), other},
		{"the root need not be first", event.TypePlatformReport, `{"requestId":"` + uuid("A") + `","tracing":{"value":"Self=1-2-3; Root=` + other + `"}}`, uuid("A"), other},
		{"the trace of the invocation", event.TypePlatformReport, `{"requestId":"` + uuid("A") + `"}`, uuid("A"), trace("A")},
		{"a trace that is none", event.TypePlatformReport, `{"requestId":"` + uuid("A") + `","tracing":{"value":"Root=1-68d0bbbb-0123456789abcdef0123456g"}}`, uuid("A"), trace("A")},
		{"a trace of another version", event.TypePlatformReport, `{"requestId":"` + uuid("A") + `","tracing":{"value":"Root=2` + other[1:] + `"}}`, uuid("A"), trace("A")},
		{"a trace that is too short", event.TypePlatformReport, `{"requestId":"` + uuid("A") + `","tracing":{"value":"Root=1-68d0bbbb"}}`, uuid("A"), trace("A")},
		{"tracing that is no object", event.TypePlatformReport, `{"requestId":"` + uuid("A") + `","tracing":"Root=` + other + `"}`, uuid("A"), trace("A")},
		{"an unknown request", event.TypePlatformReport, `{"requestId":"` + uuid("X") + `"}`, uuid("X"), ""},
		{"a request in escapes", event.TypePlatformReport, `{"requestId":"\u0038` + uuid("A")[1:] + `"}`, uuid("A"), trace("A")},
		{"init has a trace only", event.TypePlatformInitStart, `{"phase":"init","tracing":{"value":"Root=` + other + `"}}`, "", other},
		{"an event of a later time", "platform.later", `{"requestId":"` + uuid("A") + `"}`, uuid("A"), trace("A")},
		{"a request of any form", "platform.start", `{"requestId":"17"}`, "17", ""},
		{"the longest request", "platform.start", `{"requestId":"` + strings.Repeat("x", 128) + `"}`, strings.Repeat("x", 128), ""},
		{"a longer one is none", "platform.start", `{"requestId":"` + strings.Repeat("x", 129) + `"}`, "", ""},
		{"an empty one is none", "platform.start", `{"requestId":""}`, "", ""},
		{"a quote in it: none", "platform.start", `{"requestId":"a\"b"}`, "", ""},
		{"a backslash in it: none", "platform.start", `{"requestId":"a\\b"}`, "", ""},
		{"a control character in it: none", "platform.start", `{"requestId":"a\u0001b"}`, "", ""},
		{"a letter beyond ASCII in it: none", "platform.start", `{"requestId":"aéb"}`, "", ""},
		{"a number is none", "platform.start", `{"requestId":17}`, "", ""},
		{"a request deeper down is none", "platform.report", `{"metrics":{"requestId":"` + uuid("A") + `"}}`, "", ""},
		{"text is none", "platform.fault", `"RequestId: ` + uuid("A") + ` Error: Runtime exited"`, "", ""},
		{"null is none", "platform.start", `null`, "", ""},
		{"no record is none", "platform.start", ``, "", ""},
		{"Kinetel's own stay as they are", event.TypeInvocation, `{"requestId":"` + uuid("A") + `","level":"ERROR"}`, "", ""},
		{"unknown streams stay as they are", "later", `{"requestId":"` + uuid("A") + `","level":"ERROR"}`, "", ""},
		{"lines of extensions belong to none", event.TypeExtension, `{"requestId":"` + uuid("A") + `"}`, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := annotate.New("")
			play(t, a, [][]item{{start(100, "A")}})
			ev := item{kind: tt.kind, at: 150, record: tt.record}.event()
			a.Learn(ev)
			a.Annotate(ev)
			if ev.RequestID != tt.request || ev.TraceID != tt.trace || ev.Severity != event.SeverityUnknown {
				t.Errorf("request %q, trace %q, severity %q", ev.RequestID, ev.TraceID, ev.Severity)
			}
		})
	}
}

func TestAnAttemptKeepsItsOwnTrace(t *testing.T) {
	a := annotate.New("")
	second := start(60_000, "A")
	second.record = strings.ReplaceAll(second.record, trace("A"), trace("B"))
	late := report(300, "A")
	late.record = start(100, "A").record
	for _, i := range []item{start(100, "A"), done(200, "A"), second, late} {
		a.Learn(i.event())
	}
	named := line(150_000, structured("requestId", uuid("A")), "").event()
	a.Annotate(named)
	if named.RequestID != uuid("A") || named.TraceID != trace("B") {
		t.Errorf("a line that names the request has trace %q, want that of the last try", named.TraceID)
	}
	for ms, want := range map[int]string{150: trace("A"), 60_100: trace("B")} {
		ev := text(ms, "").event()
		a.Annotate(ev)
		if ev.RequestID != uuid("A") || ev.TraceID != want {
			t.Errorf("a line at %d ms is %s's, with trace %q, want %q", ms, ev.RequestID, ev.TraceID, want)
		}
	}
}

func TestAnyPlatformEventMayHaveTheTrace(t *testing.T) {
	a := annotate.New("")
	untraced := start(100, "A")
	untraced.record = `{"requestId":"` + uuid("A") + `"}`
	end := done(200, "A")
	end.record = start(0, "A").record
	a.Learn(untraced.event())
	a.Learn(end.event())
	ev := text(150, "A").event()
	a.Annotate(ev)
	if ev.TraceID != trace("A") {
		t.Errorf("the trace is %q", ev.TraceID)
	}
}

func TestInvokedIgnoresInvalidRequestIDs(t *testing.T) {
	a := annotate.New("")
	for _, id := range []string{"", `a"b`, "a\nb", strings.Repeat("x", 129)} {
		a.Invoked(id, header("A"), at(100))
		ev := text(150, "").event()
		if a.Annotate(ev); ev.RequestID != "" || ev.TraceID != "" {
			t.Errorf("a line belongs to request %q", ev.RequestID)
		}
	}
	a.Invoked("a", "Root=1-2-3", at(100))
	ev := text(150, "").event()
	if a.Annotate(ev); ev.RequestID != "a" || ev.TraceID != "" {
		t.Errorf("a line belongs to request %q, trace %q", ev.RequestID, ev.TraceID)
	}
}

func TestTheZeroAnnotatorIsOnDemand(t *testing.T) {
	play(t, &annotate.Annotator{}, [][]item{{start(100, "A"), text(150, "A")}, {invoke(1000, "B"), text(1001, "B")}})
}

func TestInvokedIsCalledByAnotherGoroutine(t *testing.T) {
	a := annotate.New("")
	var both sync.WaitGroup
	both.Go(func() {
		for n := range 1000 {
			a.Invoked(fmt.Sprint("request-", n), header("A"), at(n*100))
		}
	})
	both.Go(func() {
		for n := range 1000 {
			i := start(n*100, "A")
			i.record = strings.ReplaceAll(i.record, uuid("A"), fmt.Sprint("request-", n))
			a.Learn(i.event())
			a.Annotate(i.event())
			ev := text(n*100+50, "").event()
			a.Annotate(ev)
			if ev.RequestID != fmt.Sprint("request-", n) {
				t.Errorf("a line of request %d is %q's", n, ev.RequestID)
				return
			}
		}
	})
	both.Wait()
}

// TestLambdasSamples annotates what Lambda sends in its various modes, and looks
// at the lines, at their requests' second group, and their severity.
func TestLambdasSamples(t *testing.T) {
	for file, want := range map[string][]string{
		"durable-function":        {"1111 INFO", "1111 INFO", "2222 INFO", "3333 INFO"},
		"managed-instances":       {"2222 INFO", "1111 INFO", "1111 ERROR", " INFO", "3333 INFO"},
		"provisioned-concurrency": {" ", "1111 INFO", "2222 INFO"},
		"reset":                   {"1111 INFO"},
		"response-streaming":      {"1111 INFO"},
		"snapstart":               {" ", "1111 INFO"},
		"snapstart-bare":          nil,
		"tenant-isolation":        {"1111 INFO"},
	} {
		t.Run(file, func(t *testing.T) {
			bodies, err := os.ReadFile("../telemetry/testdata/" + file + ".json")
			if err != nil {
				t.Fatal(err)
			}
			kind := config.OnDemand
			if file == "managed-instances" {
				kind = config.ManagedInstances
			}
			a := annotate.New(kind)
			var got []string
			var ahead []event.Event
			d := telemetry.NewDecoder(func(ev *event.Event) {
				a.Learn(ev)
				ahead = append(ahead, *ev)
			}, nil)
			for body := range bytes.Lines(bodies) {
				d.Decode(body, epoch)
				for _, ev := range ahead {
					a.Annotate(&ev)
					short := ""
					if ev.RequestID != "" {
						short = strings.Split(ev.RequestID, "-")[1]
					}
					if string(ev.Type) == event.TypeFunction {
						got = append(got, short+" "+ev.Severity.String())
					} else if named := ev.Platform().RequestID; ev.RequestID != named || ev.Severity != event.SeverityUnknown {
						t.Errorf("%s of request %q is %q's, %q", ev.Type, named, ev.RequestID, ev.Severity)
					}
				}
				ahead = ahead[:0]
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAnnotatingALineDoesNotAllocate(t *testing.T) {
	a := annotate.New("", "ctx.requestId", "trail.id")
	play(t, a, [][]item{{start(100, "A"), done(200, "A")}})
	for name, record := range map[string]string{
		"Node's text":    asText("2026-11-22T20:15:00.123Z\t" + uuid("A") + "\tINFO\thello\n"),
		"coloured text":  asText("\x1b[32mINFO\x1b[0m hello"),
		"plain text":     `"hello"`,
		"a JSON object":  structured("requestId", uuid("A")),
		"JSON as text":   asText(structured("requestId", uuid("A"))),
		"unknown own id": structured("requestId", uuid("X")),

		"JSON behind Node's prefix":         asText("2026-11-22T20:15:00.123Z\t" + uuid("A") + "\tINFO\t" + structured("requestId", uuid("A"))),
		"text behind Node's prefix":         asText("2026-11-22T20:15:00.123Z\t" + uuid("A") + "\tINFO\t[Nest] 8  - 11/26/2026, 5:21:29 PM   ERROR [X] boom"),
		"an object behind Node's prefix":    asText("2026-11-22T20:15:00.123Z\t" + uuid("A") + "\tINFO\t{ a: 1, level: 50 }"),
		"JSON within Lambda's JSON":         `{"timestamp":"t","level":"INFO","requestId":"` + uuid("A") + `","message":` + asText(structured("requestId", uuid("A"))) + `}`,
		"JSON within Lambda's JSON as text": asText(`{"timestamp":"t","level":"INFO","requestId":"` + uuid("A") + `","message":` + asText(structured("requestId", uuid("A"))) + `}`),
		"coloured level":                    `{"level":"\u001b[32minfo\u001b[39m","message":"m"}`,
		"Rust's spans":                      `{"level":"INFO","span":{"requestId":"` + uuid("A") + `"},"spans":[{"requestId":"` + uuid("A") + `"}]}`,
		"Rust's text":                       asText(` INFO Lambda runtime invoke{requestId="` + uuid("A") + `"}: app: m`),
		"Monolog's text":                    asText("[26-Nov-2026 17:21:29] app.ERROR: m"),
	} {
		for _, ms := range []int{150, 1000} { // A's, and no invocation's
			ev := line(ms, record, "").event()
			if n := testing.AllocsPerRun(100, func() { a.Annotate(ev) }); n != 0 {
				t.Errorf("%s at %d ms: %v allocations", name, ms, n)
			}
		}
	}
}
