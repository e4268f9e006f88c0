package view_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/internal/view"
	"github.com/kinetel/kinetel/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 27, 20, 15, 0, 0, time.UTC)

// event returns an event of the environment e1, so many milliseconds after the start.
func event(seq uint64, ms int, kind, request, body string) record.Event {
	return record.Event{
		Seq: seq, Time: start.Add(time.Duration(ms) * time.Millisecond), Type: kind, RequestID: request, Body: json.RawMessage(body),
		Resource: map[string]string{"faas.name": "orders", "service.instance.id": "e1"},
	}
}

// line returns a line of a function.
func line(seq uint64, request, text string) record.Event {
	body, _ := json.Marshal(text)
	return event(seq, int(seq), record.TypeFunction, request, string(body))
}

func report(seq uint64, r record.Report) record.Event {
	r.Lost = map[string]int64{}
	body, _ := json.Marshal(r)
	return event(seq, int(seq), record.TypeReport, "", string(body))
}

func add(v *view.View, events ...record.Event) {
	for _, e := range events {
		v.Add(e, time.Time{})
	}
}

// only returns the one invocation.
func only(t *testing.T, v *view.View) view.Invocation {
	t.Helper()
	c := v.Changes(view.Position{}, 100)
	if len(c.Invocations) != 1 {
		t.Fatalf("%d invocations, want 1", len(c.Invocations))
	}
	return c.Invocations[0]
}

func TestEventsSayWhatIsKnownOfAnInvocation(t *testing.T) {
	v := view.New(view.Options{})
	v.Add(event(3, 10, record.TypePlatformStart, "r1", `{"requestId":"r1"}`), start.Add(time.Second))
	if inv := only(t, v); inv.Status != "" || inv.StartMs == 0 || inv.StoredMs != 0 {
		t.Errorf("while it runs: %+v", inv)
	}
	failed := line(4, "r1", "no")
	failed.Severity, failed.TraceID = record.SeverityError, "1-2-3"
	v.Add(failed, start.Add(2*time.Second))
	v.Add(event(5, 30, record.TypePlatformRuntimeDone, "r1", `{"status":"error","errorType":"Boom","metrics":{"durationMs":20.5}}`), start.Add(time.Second))
	v.Add(event(6, 60, record.TypePlatformReport, "r1", `{"status":"error","metrics":{"durationMs":45,"billedDurationMs":46,"memorySizeMB":128,"maxMemoryUsedMB":64,"initDurationMs":100}}`), start.Add(3*time.Second))
	v.Add(event(7, 61, record.TypeInvocation, "r1", `{"requestId":"r1","status":"success","metrics":{},"coldStart":true,"extensionOverheadMs":24,"heldMs":20,"hold":"rare"}`), start.Add(3*time.Second))
	ms := func(d time.Duration) float64 { return float64(start.Add(d).UnixMilli()) }
	want := view.Invocation{
		Number: 2, Environment: 1, RequestID: "r1", TraceID: "1-2-3", Status: "error", ErrorType: "Boom", ColdStart: true,
		FirstMs: ms(4 * time.Millisecond), LastMs: ms(61 * time.Millisecond), StartMs: ms(10 * time.Millisecond), DoneMs: ms(30 * time.Millisecond),
		RuntimeMs: 20.5, DurationMs: 45, BilledMs: 46, InitMs: 100, OverheadMs: 24, HeldMs: 20, Hold: "rare",
		StoredMs: ms(2 * time.Second), MemoryMB: 128, MaxMemoryMB: 64, Events: 5, Lines: 1, Errors: 1, Worst: 5,
	}
	if got := only(t, v); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// Only kinetel.invocation knows for sure, in whichever order the events come.
func TestAColdStartIsKnownWithoutKinetelsOwnEvent(t *testing.T) {
	report := event(2, 2, record.TypePlatformReport, "r1", `{"metrics":{"durationMs":1,"initDurationMs":100}}`)
	warm := event(3, 3, record.TypeInvocation, "r1", `{"requestId":"r1","metrics":{},"coldStart":false}`)
	for name, tt := range map[string]struct {
		events []record.Event
		cold   bool
	}{
		"the report alone": {[]record.Event{report}, true},
		"report and own":   {[]record.Event{report, warm}, false},
		"own and report":   {[]record.Event{warm, report}, false},
	} {
		v := view.New(view.Options{})
		add(v, tt.events...)
		if got := only(t, v); got.ColdStart != tt.cold || got.DurationMs != 1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestEventsSayWhatIsKnownOfAnEnvironment(t *testing.T) {
	v := view.New(view.Options{})
	add(v,
		event(1, 0, record.TypePlatformInitStart, "", `{"initializationType":"on-demand"}`),
		event(2, 90, record.TypePlatformInitReport, "", `{"status":"success","metrics":{"durationMs":88}}`),
		event(3, 100, record.TypePlatformStart, "r1", `{}`),
		event(4, 200, record.TypeLoss, "", `{"firstSeq":5,"lastSeq":9,"count":3,"bytes":1,"reason":"shutdown"}`),
		report(10, record.Report{Final: true, UptimeMs: 300}))
	got := v.Changes(view.Position{}, 100).Environments
	if len(got) != 1 {
		t.Fatalf("%d environments, want 1", len(got))
	}
	e := got[0]
	if e.ID != "e1" || e.Function != "orders" || e.InitMs != float64(start.UnixMilli()) || e.InitTook != 88 || e.InitType != "on-demand" ||
		e.InitStatus != "success" || !e.Ended || e.Lost != 3 || e.Invocations != 1 || e.Events != 5 {
		t.Errorf("%+v", e)
	}
}

func TestWhatSamplingLeftOutIsKnown(t *testing.T) {
	v := view.New(view.Options{})
	add(v, event(1, 1, record.TypeInvocation, "r1", `{"requestId":"r1","metrics":{},"sampled":"out","sampleRate":0.25,"leftOut":{"sampledOut":17}}`))
	if got := only(t, v); got.Sampled != record.SampledNot || got.SampleRate != 0.25 || got.LeftOut != (record.LeftOut{SampledOut: 17}) {
		t.Errorf("%+v", got)
	}
}

func TestTimesAndDurationsThatCannotBeAreNotKnown(t *testing.T) {
	v := view.New(view.Options{Live: true})
	for i, year := range []int{1, 1969, 2100, 9999} {
		e := line(uint64(i+1), "r1", "a")
		e.Time = time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
		add(v, e)
	}
	future := line(9, "r1", "a")
	future.Time = time.Now().AddDate(1, 0, 0)
	if add(v, future); v.Health().NewestMs != 0 {
		t.Error("the newest event of a stream is of next year")
	}
	v = view.New(view.Options{})
	none := line(1, "r1", "a")
	none.Time = time.Time{}
	add(v, none, line(2, "r1", "b"),
		event(3, 5, record.TypePlatformReport, "r1", `{"metrics":{"durationMs":1e15,"billedDurationMs":-1,"initDurationMs":1e9}}`),
		event(4, 6, record.TypeInvocation, "r1", `{"requestId":"r1","metrics":{},"extensionOverheadMs":1e15,"heldMs":-5}`))
	if got := only(t, v); got.FirstMs != float64(start.UnixMilli()+2) || got.LastMs != float64(start.UnixMilli()+6) || got.DurationMs+got.BilledMs+got.InitMs+got.OverheadMs+got.HeldMs != 0 {
		t.Errorf("%+v", got)
	}
}

func TestAnEventThatIsLargerThanTheMemoryIsShownAlone(t *testing.T) {
	v := view.New(view.Options{Bytes: 1000})
	add(v, line(1, "r1", "small"), line(2, "r2", strings.Repeat("x", 5000)))
	if inv := only(t, v); inv.RequestID != "r2" {
		t.Errorf("%s is in memory, want r2", inv.RequestID)
	}
}

func TestAClientThatComesBackGetsWhatChangedSince(t *testing.T) {
	v := view.New(view.Options{})
	add(v, line(1, "r1", "a"), line(2, "r2", "b"), line(3, "r3", "c"))
	page := v.Changes(view.Position{}, 2)
	if !page.More {
		t.Error("there is no more after 2 of 4 changes")
	}
	rest := v.Changes(page.Position, 100)
	if rest.More || rest.Reset || len(page.Invocations)+len(rest.Invocations) != 3 || len(page.Environments)+len(rest.Environments) != 1 {
		t.Errorf("two pages: %+v %+v", page, rest)
	}
	if nothing := v.Changes(rest.Position, 100); nothing.Revision != rest.Revision || nothing.Invocations != nil {
		t.Errorf("nothing changed: %+v", nothing)
	}
	add(v, line(4, "r2", "d"))
	changed := v.Changes(rest.Position, 100)
	if len(changed.Invocations) != 1 || changed.Invocations[0].RequestID != "r2" || changed.Invocations[0].Lines != 2 {
		t.Errorf("r2 changed: %+v", changed)
	}
	if later := v.Changes(view.Position{Revision: changed.Revision + 1}, 100); !later.Reset {
		t.Error("a revision of another process is not refused")
	}
}

func TestADuplicateIsNotShownTwiceAndIsAudited(t *testing.T) {
	v := view.New(view.Options{})
	add(v, line(1, "r1", "a"), line(1, "r1", "a"), line(3, "r1", "c"))
	h := v.Health()
	if inv := only(t, v); inv.Lines != 2 || h.Audit.Totals.Duplicates != 1 || h.Audit.Complete || len(h.Audit.Holes) != 1 {
		t.Errorf("%d lines; %+v", inv.Lines, h.Audit)
	}
	if hole := h.Audit.Holes[0]; hole.Environment != "e1" || hole.FirstSeq != 2 || hole.Words == "" {
		t.Errorf("the hole: %+v", hole)
	}
}

func TestAStreamIsJudgedFromTheTimeOfItsBeginning(t *testing.T) {
	v := view.New(view.Options{})
	v.JudgeFrom(start.Add(10 * time.Millisecond))
	add(v, line(3, "r1", "a"), line(9, "r1", "b"), line(12, "r1", "c"), line(14, "r1", "d"))
	if a := v.Health().Audit; a.Totals.Unexplained != 1 {
		t.Errorf("%s: only 13 is missing after the beginning", a.Verdict)
	}
}

func TestAnAuditThatStoppedIsNotComplete(t *testing.T) {
	v := view.New(view.Options{})
	add(v, line(1, "r1", "a"))
	v.StopAudit(audit.ErrTooMuch)
	if a := v.Health().Audit; a.Complete || a.Stopped == "" || a.Totals.Unexplained != 0 || !strings.HasPrefix(a.Verdict, "stopped: ") {
		t.Errorf("complete is %v: %s %s", a.Complete, a.Verdict, a.Stopped)
	}
}

func TestPartsAreJoined(t *testing.T) {
	part := func(n int, text string) record.Event {
		e := line(uint64(n), "r1", text)
		e.Part, e.Parts = n, 2
		return e
	}
	v := view.New(view.Options{})
	add(v, part(1, `"be`))
	if v.Events() != 0 {
		t.Error("a part is shown before the other one came")
	}
	add(v, part(2, `ans"`))
	page, _ := v.Page(only(t, v).Number, 0, 10)
	if len(page.Lines) != 1 || page.Lines[0].Text != "beans" {
		t.Errorf("%+v", page.Lines)
	}
	add(v, part(1, `"la`)) // a duplicate
	cut := line(9, "r2", "alone")
	cut.Part, cut.Parts = 1, 2
	add(v, cut)
	v.End(nil)
	if v.Events() != 2 {
		t.Errorf("%d events, want 2: the part that stayed alone is shown at the end", v.Events())
	}
}

func TestALongLineIsCutAtACharacter(t *testing.T) {
	v := view.New(view.Options{})
	add(v, line(1, "r1", strings.Repeat("é", 500_000)), line(2, "r1", "\xff\x1b[31m<script>"))
	page, _ := v.Page(only(t, v).Number, 0, 10)
	long, bad := page.Lines[0], page.Lines[1]
	if !long.Cut || long.Bytes != 1_000_000 || len(long.Text) > 5000 || strings.Contains(long.Text, "\uFFFD") {
		t.Errorf("cut %v, %d bytes of %d", long.Cut, len(long.Text), long.Bytes)
	}
	if bad.Cut || !strings.HasSuffix(bad.Text, "\x1b[31m<script>") {
		t.Errorf("%q", bad.Text)
	}
}

func TestASearchFindsTextOfAllKinds(t *testing.T) {
	v := view.New(view.Options{})
	warn := event(2, 2, record.TypeFunction, "r2", `{"message":"Out of BEANS","n":17}`)
	warn.Severity, warn.TraceID = record.SeverityWarn, "1-5759e988-bd862e3fe1be46a994272793"
	add(v, line(1, "r1", "tea \"and\" beans"), warn, line(3, "r3", "nothing"), event(4, 4, record.TypeLoss, "", `{"reason":"shutdown"}`))
	for _, tt := range []struct {
		text     string
		severity int
		want     int
	}{
		{"beans", 0, 2},
		{"BEANS", 4, 1},
		{"beans", 5, 0},
		{`"and"`, 0, 1},
		{`"n":17`, 0, 1},
		{"5759E988", 0, 1},
		{"r3", 0, 1},
		{"kinetel.loss", 0, 1},
		{"", 0, 4},
		{"soup", 0, 0},
	} {
		found := v.Search(tt.text, tt.severity, 0)
		if len(found.Matches) != tt.want || found.More || found.Next != 4 {
			t.Errorf("%q of severity %d: %+v, want %d", tt.text, tt.severity, found, tt.want)
		}
	}
	if found := v.Search("beans", 0, 1); len(found.Matches) != 1 || found.Matches[0].Event != 2 {
		t.Errorf("after the first event: %+v", found)
	}
}

func TestASearchIsBounded(t *testing.T) {
	v := view.New(view.Options{})
	for seq := uint64(1); seq <= 2500; seq++ {
		add(v, line(seq, fmt.Sprintf("r%d", seq), "beans"))
	}
	total, after, calls := 0, uint64(0), 0
	for {
		found := v.Search("beans", 0, after)
		total, after, calls = total+len(found.Matches), found.Next, calls+1
		if !found.More {
			break
		}
	}
	if total != 2500 || calls != 3 {
		t.Errorf("%d matches in %d calls, want 2500 in 3", total, calls)
	}
}

func TestWhatIsYoungIsNotJudgedWhileItArrives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := view.New(view.Options{Live: true, Settle: 10 * time.Second})
		now := func(seq uint64) record.Event {
			e := line(seq, "r1", "a")
			e.Time = time.Now()
			return e
		}
		add(v, now(1))
		time.Sleep(time.Second)
		add(v, now(3))
		time.Sleep(5 * time.Second)
		if h := v.Health(); h.Audit.Totals.Unexplained != 0 || h.LiveCount != 1 {
			t.Errorf("after 5 s: %+v", h.Audit)
		}
		time.Sleep(6 * time.Second)
		if h := v.Health(); h.Audit.Totals.Unexplained != 1 || h.Audit.Complete {
			t.Errorf("after 11 s: %+v", h.Audit)
		}
		add(v, now(2))
		time.Sleep(time.Second)
		if h := v.Health(); !h.Audit.Complete {
			t.Errorf("number 2 came late: %+v", h.Audit)
		}
		time.Sleep(20 * time.Minute)
		if h := v.Health(); h.LiveCount != 0 || h.Ended != 0 {
			t.Errorf("after 20 minutes %d environments are live, and %d ended", h.LiveCount, h.Ended)
		}
	})
}

func TestTheRateIsThatOfTheLastSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := view.New(view.Options{})
		seq := uint64(0)
		for second := 1; second <= 3; second++ {
			for range 10 * second {
				seq++
				add(v, line(seq, "r1", "a"))
			}
			time.Sleep(time.Second)
		}
		rates := v.Health().PerSecond
		if got := rates[len(rates)-4:]; !slices.Equal(got, []int{0, 10, 20, 30}) {
			t.Errorf("the last seconds had %d events", got)
		}
		time.Sleep(time.Hour)
		if rates := v.Health().PerSecond; slices.Max(rates) != 0 {
			t.Errorf("an hour later: %d", rates)
		}
	})
}

func TestTheHealthSumsUpReportsAndHolds(t *testing.T) {
	v := view.New(view.Options{})
	add(v, report(1, record.Report{UptimeMs: 60_000, Requests: 5, Retried: 3, Unknown: 1, Waiting: 2}))
	add(v, report(2, record.Report{UptimeMs: 120_000, Requests: 9, Retried: 4, Unknown: 1}))
	for seq, held := range []float64{0, 0, 10, 11, 2000} {
		request := fmt.Sprintf("r%d", seq)
		add(v, event(uint64(3+seq), 3, record.TypeInvocation, request, fmt.Sprintf(`{"requestId":%q,"metrics":{},"heldMs":%v,"hold":"rare"}`, request, held)))
	}
	h := v.Health()
	if h.Requests != 9 || h.Retried != 4 || h.Unknown != 1 || h.Waiting != 0 {
		t.Errorf("requests %d, retried %d, unknown %d, waiting %d: the latest report counts", h.Requests, h.Retried, h.Unknown, h.Waiting)
	}
	held := h.Held
	if held.Invocations != 5 || held.Held != 3 || held.P50Ms != 10 || held.MaxMs != 2000 || !slices.Equal(held.Counts, []int{2, 1, 1, 0, 0, 0, 0, 0, 1}) {
		t.Errorf("%+v", held)
	}
}

func TestWhatCannotBeReadIsCounted(t *testing.T) {
	v := view.New(view.Options{})
	v.AddRecord([]byte("hello"), start, "shard 1, record 2")
	if err := v.AddFile("file", strings.NewReader("{\"bad\":1}\n")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the disk is broken")
	if err := v.AddFile("file", io.MultiReader(strings.NewReader("{\"schema\":\"kinetel/1\",\"seq\":1,\"time\":\"2026-11-27T20:15:00.000Z\",\"type\":\"function\",\"requestId\":\"r\",\"body\":\"x\",\"resource\":{\"service.instance.id\":\"e1\"}}\n"), failing{broken})); !errors.Is(err, broken) {
		t.Errorf("the error is %v", err)
	}
	v.End(broken)
	h := v.Health()
	if h.Audit.Unreadable != 2 || !strings.Contains(h.Audit.Examples[0], "shard 1, record 2") || h.State != "failed" || h.Failure == "" || h.Events != 1 {
		t.Errorf("%+v", h)
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }
