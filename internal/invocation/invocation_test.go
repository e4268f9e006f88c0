package invocation_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/invocation"
	"github.com/kinetel/kinetel/internal/ledger"
)

const ms = time.Millisecond

// request is the request of the records below.
const request = "6f0c0c5e-1111-4222-8333-444455556666"

// platform returns a platform event with this record.
func platform(record string) *event.Event { return &event.Event{Record: []byte(record)} }

func platformf(format string, args ...any) *event.Event {
	return platform(fmt.Sprintf(format, args...))
}

// done returns the platform.runtimeDone of a request.
func done(request, record string) *event.Event {
	return &event.Event{RequestID: request, Record: []byte(record)}
}

// released returns a Tracker in which request was released.
func released(held time.Duration, why flush.Reason) *invocation.Tracker {
	var t invocation.Tracker
	t.Released(request, held, why)
	return &t
}

// The records have the shapes that Lambda sends, for any function.
func TestTheBodyOfAnInvocation(t *testing.T) {
	for _, tt := range []struct {
		name    string
		tracker *invocation.Tracker
		record  string
		want    string
	}{
		{
			"on demand, cold", released(26340*time.Microsecond, flush.Rare),
			`{"requestId":"` + request + `","status":"success",` +
				`"metrics":{"durationMs":140.9,"billedDurationMs":522,"memorySizeMB":256,"maxMemoryUsedMB":88,"initDurationMs":380.51},` +
				`"spans":[{"name":"extensionOverhead","start":"2026-09-21T10:00:00.620Z","durationMs":11.5}],` +
				`"tracing":{"spanId":"54565fb41ac79632","type":"X-Amzn-Trace-Id","value":"Root=1-68d0aaaa-0123456789abcdef01234567"}}`,
			`{"requestId":"` + request + `","status":"success",` +
				`"metrics":{"durationMs":140.9,"billedDurationMs":522,"initDurationMs":380.51,"memorySizeMB":256,"maxMemoryUsedMB":88},` +
				`"coldStart":true,"extensionOverheadMs":11.5,"heldMs":26.34,"hold":"rare"}`,
		},
		{
			"on demand, warm, not held", released(0, flush.Busy),
			`{"requestId":"` + request + `","status":"success","metrics":{"durationMs":2.25,"billedDurationMs":3,"memorySizeMB":256,"maxMemoryUsedMB":88}}`,
			`{"requestId":"` + request + `","status":"success","metrics":{"durationMs":2.25,"billedDurationMs":3,"memorySizeMB":256,"maxMemoryUsedMB":88},` +
				`"coldStart":false,"heldMs":0,"hold":"busy"}`,
		},
		{
			"numbers as Lambda writes them", released(0, flush.Busy),
			`{"requestId":"` + request + `","status":"success","metrics":{"durationMs":1e3,"billedDurationMs":1000.0,"memorySizeMB":10240,"maxMemoryUsedMB":12345678901234567890}}`,
			`{"requestId":"` + request + `","status":"success","metrics":{"durationMs":1e3,"billedDurationMs":1000.0,"memorySizeMB":10240,"maxMemoryUsedMB":12345678901234567890},` +
				`"coldStart":false,"heldMs":0,"hold":"busy"}`,
		},
		{
			"SnapStart, restored", released(30*ms, flush.End),
			`{"requestId":"` + request + `","status":"success",` +
				`"metrics":{"durationMs":60.5,"billedDurationMs":262,"memorySizeMB":512,"maxMemoryUsedMB":120,"restoreDurationMs":201.7,"billedRestoreDurationMs":201},"tenantId":"blue"}`,
			`{"requestId":"` + request + `","tenantId":"blue","status":"success",` +
				`"metrics":{"durationMs":60.5,"billedDurationMs":262,"restoreDurationMs":201.7,"billedRestoreDurationMs":201,"memorySizeMB":512,"maxMemoryUsedMB":120},` +
				`"coldStart":true,"heldMs":30,"hold":"end"}`,
		},
		{
			"Managed Instances: it is not held", &invocation.Tracker{},
			`{"requestId":"` + request + `","status":"success","metrics":{"durationMs":12.345},` +
				`"spans":[{"name":"responseLatency","start":"2026-09-21T10:00:00.490Z","durationMs":12.1},{"name":"responseDuration","start":"2026-09-21T10:00:00.610Z","durationMs":0.2}]}`,
			`{"requestId":"` + request + `","status":"success","metrics":{"durationMs":12.345},"coldStart":false}`,
		},
		{
			"Managed Instances, timed out", &invocation.Tracker{},
			`{"requestId":"` + request + `","status":"timeout","errorType":"Sandbox.Timedout","metrics":{"durationMs":3000}}`,
			`{"requestId":"` + request + `","status":"timeout","errorType":"Sandbox.Timedout","metrics":{"durationMs":3000},"coldStart":false}`,
		},
		{
			"timed out, and never done", released(0, flush.Rare),
			`{"requestId":"` + request + `","status":"timeout","metrics":{"durationMs":3000.0,"billedDurationMs":3000,"memorySizeMB":128,"maxMemoryUsedMB":40}}`,
			`{"requestId":"` + request + `","status":"timeout","metrics":{"durationMs":3000.0,"billedDurationMs":3000,"memorySizeMB":128,"maxMemoryUsedMB":40},` +
				`"coldStart":false,"heldMs":0,"hold":"rare"}`,
		},
		{
			"the runtime exited", released(0, flush.Unavailable),
			`{"requestId":"` + request + `","status":"failure","errorType":"Runtime.ExitError","metrics":{"durationMs":1,"billedDurationMs":1,"memorySizeMB":128,"maxMemoryUsedMB":40,"initDurationMs":0}}`,
			`{"requestId":"` + request + `","status":"failure","errorType":"Runtime.ExitError","metrics":{"durationMs":1,"billedDurationMs":1,"initDurationMs":0,"memorySizeMB":128,"maxMemoryUsedMB":40},` +
				`"coldStart":true,"heldMs":0,"hold":"unavailable"}`,
		},
		{
			"an earlier process let it go", released(10*ms, flush.Rare),
			`{"requestId":"another","status":"success","metrics":{"durationMs":1,"billedDurationMs":1,"memorySizeMB":128,"maxMemoryUsedMB":40}}`,
			`{"requestId":"another","status":"success","metrics":{"durationMs":1,"billedDurationMs":1,"memorySizeMB":128,"maxMemoryUsedMB":40},"coldStart":false}`,
		},
		{
			"next to nothing", &invocation.Tracker{},
			`{"requestId":"r"}`,
			`{"requestId":"r","metrics":{},"coldStart":false}`,
		},
		{
			"metrics that are null", &invocation.Tracker{},
			`{"requestId":"r","status":"success","metrics":{"durationMs":null,"initDurationMs":null}}`,
			`{"requestId":"r","status":"success","metrics":{},"coldStart":false}`,
		},
		{
			"text that has to be quoted", &invocation.Tracker{},
			`{"requestId":"a\"b\\c\u2028\ud800","status":"x\n"}`,
			`{"requestId":"a\"b\\c\u2028` + "\ufffd" + `","status":"x\n","metrics":{},"coldStart":false}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := tt.tracker.Reported(platform(tt.record))
			if !ok {
				t.Fatal("there is no summary")
			}
			if diff := cmp.Diff(tt.want, string(got.Body)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
			again, ok := tt.tracker.Reported(platform(tt.record))
			if diff := cmp.Diff(string(got.Body), string(again.Body)); !ok || diff != "" {
				t.Errorf("a report that is sent again has another summary (-first +second):\n%s", diff)
			}
		})
	}
}

func TestReportsWithoutARequestHaveNoSummary(t *testing.T) {
	tracker := released(10*ms, flush.Rare)
	for _, record := range []string{
		"", " ", "null", "7", `"text"`, "[]", "{}", `{"status":"success"}`, `{"requestId":""}`, `{"requestId":null}`, `{"requestId":7}`,
		`{"requestId":"` + request + `"`, `{"requestId":"` + request + `"}}`,
	} {
		if summary, ok := tracker.Reported(platform(record)); ok || summary.Body != nil {
			t.Errorf("%q makes %s", record, summary.Body)
		}
	}
}

// If Lambda changes the type of a member, the others are still read.
func TestMembersOfOtherTypesLeaveTheOthers(t *testing.T) {
	for _, tt := range []struct{ name, record, want string }{
		{
			"a status that is a number",
			`{"requestId":"` + request + `","status":7,"metrics":{"durationMs":1}}`,
			`{"requestId":"` + request + `","metrics":{"durationMs":1},"coldStart":false,"heldMs":10,"hold":"rare"}`,
		},
		{
			"a metric that is an object",
			`{"requestId":"` + request + `","status":"success","metrics":{"durationMs":{"value":1},"memorySizeMB":128}}`,
			`{"requestId":"` + request + `","status":"success","metrics":{"memorySizeMB":128},"coldStart":false,"heldMs":10,"hold":"rare"}`,
		},
		{
			"metrics that are a list",
			`{"requestId":"` + request + `","metrics":[1],"status":"success"}`,
			`{"requestId":"` + request + `","status":"success","metrics":{},"coldStart":false,"heldMs":10,"hold":"rare"}`,
		},
		{
			"unknown spans and members",
			`{"requestId":"` + request + `","status":"success","spans":7,"metrics":{"durationMs":1,"carbon":[{}]},"more":{"requestId":"no"}}`,
			`{"requestId":"` + request + `","status":"success","metrics":{"durationMs":1},"coldStart":false,"heldMs":10,"hold":"rare"}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := released(10*ms, flush.Rare).Reported(platform(tt.record))
			if diff := cmp.Diff(tt.want, string(got.Body)); !ok || diff != "" {
				t.Errorf("ok: %t; body (-want +got):\n%s", ok, diff)
			}
		})
	}
}

// held returns heldMs and hold of a request's body, "" if it has none.
func held(t *testing.T, tracker *invocation.Tracker, request string) string {
	t.Helper()
	summary, ok := tracker.Reported(platformf(`{"requestId":%q,"status":"success"}`, request))
	var b struct {
		HeldMs *float64 `json:"heldMs"`
		Hold   *string  `json:"hold"`
	}
	if err := json.Unmarshal(summary.Body, &b); !ok || err != nil {
		t.Fatalf("%s: %v", summary.Body, err)
	}
	if (b.HeldMs == nil) != (b.Hold == nil) {
		t.Fatalf("only one of heldMs and hold: %s", summary.Body)
	}
	if b.HeldMs == nil {
		return ""
	}
	return fmt.Sprintf("%g %s", *b.HeldMs, *b.Hold)
}

func TestTheLast16AreRemembered(t *testing.T) {
	var tracker invocation.Tracker
	for i := range 40 {
		tracker.Released(strconv.Itoa(i), time.Duration(i)*ms, flush.End)
		for j := range i + 1 {
			want := ""
			if j > i-16 {
				want = fmt.Sprintf("%d end", j)
			}
			if got := held(t, &tracker, strconv.Itoa(j)); got != want {
				t.Fatalf("after %d, %d has %q, want %q", i, j, got, want)
			}
		}
	}
}

// Lambda retries an asynchronous invocation that failed under the same id.
func TestTheLastAttemptOfARequestCounts(t *testing.T) {
	for _, between := range []int{0, 1, 5, 14, 15, 16, 30} {
		for _, before := range []int{0, 7, 15} {
			var tracker invocation.Tracker
			for i := range before {
				tracker.Released("before "+strconv.Itoa(i), 0, flush.Busy)
			}
			tracker.Released(request, 10*ms, flush.Rare)
			if got := held(t, &tracker, request); got != "10 rare" {
				t.Errorf("the first try: %q", got)
			}
			for i := range between {
				tracker.Released("between "+strconv.Itoa(i), 0, flush.Busy)
			}
			tracker.Released(request, 20*ms, flush.End)
			if got := held(t, &tracker, request); got != "20 end" {
				t.Errorf("%d before, %d between: the second try: %q", before, between, got)
			}
		}
	}
}

func TestHeldCountsAllAndThoseThatWereHeld(t *testing.T) {
	var tracker invocation.Tracker
	if diff := cmp.Diff(ledger.Held{}, tracker.Held()); diff != "" {
		t.Errorf("of nothing (-want +got):\n%s", diff)
	}
	for i, one := range []struct {
		held time.Duration
		why  flush.Reason
	}{
		{40 * ms, flush.Rare},
		{0, flush.Busy},
		{30 * ms, flush.End},
		{50 * ms, flush.Overdue},
		{0, flush.Rare}, // whose runtime was never done
		{0, flush.Interval},
		{0, flush.NoHold},
		{0, flush.NoTime},
		{0, flush.Unavailable},
		{0, flush.TelemetryStalled},
	} {
		tracker.Released(strconv.Itoa(i), one.held, one.why)
	}
	// Of 0 seven times, 30, 40 and 50: the fifth, and the ninth.
	want := ledger.Held{Invocations: 10, Held: 4, Ms: ledger.Quantiles{P50: 0, P99: 40, Max: 50}}
	if diff := cmp.Diff(want, tracker.Held()); diff != "" {
		t.Errorf("held (-want +got):\n%s", diff)
	}
	for i := range 200 {
		tracker.Released("r"+strconv.Itoa(i), 7*ms, flush.End)
	}
	want = ledger.Held{Invocations: 210, Held: 204, Ms: ledger.Quantiles{P50: 7, P99: 7, Max: 50}}
	if diff := cmp.Diff(want, tracker.Held()); diff != "" {
		t.Errorf("held, after 200 more (-want +got):\n%s", diff)
	}
}

func TestPeriodIsOfAllInvocationsSinceTheLastOne(t *testing.T) {
	var tracker invocation.Tracker
	check := func(want ...time.Duration) {
		t.Helper()
		if diff := cmp.Diff(want, slices.Sorted(slices.Values(tracker.Period()))); diff != "" {
			t.Errorf("period (-want +got):\n%s", diff)
		}
	}
	check()
	tracker.Released("a", 40*ms, flush.Rare)
	tracker.Released("b", 0, flush.Busy)
	check(0, 40*ms)
	tracker.Released("c", 0, flush.Busy)
	check(0)
	// Period does not reset the totals.
	if got := tracker.Held(); got.Invocations != 3 || got.Held != 1 || got.Ms.Max != 40 {
		t.Errorf("held: %+v", got)
	}
}

func TestTrackerIsSafeForManyGoroutines(t *testing.T) {
	var tracker invocation.Tracker
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 200 {
				request := fmt.Sprintf("%d-%d", g, i)
				tracker.Released(request, time.Duration(g)*ms, flush.End)
				// Others may have displaced the release, but the values are never another's.
				summary, ok := tracker.Reported(platformf(`{"requestId":%q}`, request))
				if has := fmt.Sprintf(`"heldMs":%d,"hold":"end"}`, g); !ok || strings.Contains(string(summary.Body), "heldMs") && !strings.HasSuffix(string(summary.Body), has) {
					t.Errorf("%s makes %s", request, summary.Body)
				}
				tracker.Held()
			}
		})
	}
	all.Wait()
	if got := tracker.Held(); got.Invocations != 1600 || got.Held != 1600 || got.Ms.Max != 7 {
		t.Errorf("held: %+v", got)
	}
}

// For any record, the body is one JSON object on one line, with the members that a
// consumer relies on.
func TestAnyRecordMakesAValidSummaryOrNone(t *testing.T) {
	member := rapid.OneOf(
		rapid.SampledFrom([]string{
			`"requestId":"r"`, `"requestId":""`, `"requestId":7`, `"status":"success"`, `"status":null`, `"errorType":"A.B"`, `"metrics":{}`,
			`"metrics":{"durationMs":1.5,"initDurationMs":2}`, `"metrics":{"durationMs":"3"}`, `"metrics":null`, `"spans":[]`, `"requestid":"s"`, `"a":{"b":[1,{}]}`,
		}),
		rapid.StringN(0, 10, -1),
	)
	rapid.Check(t, func(t *rapid.T) {
		record := "{" + strings.Join(rapid.SliceOfN(member, 0, 6).Draw(t, "members"), ",") + "}"
		tracker := released(ms, flush.End)
		summary, ok := tracker.Reported(platform(record))
		if !ok {
			if json.Valid([]byte(record)) && strings.HasPrefix(record, `{"requestId":"r"`) && strings.Count(strings.ToLower(record), "requestid") == 1 {
				t.Fatalf("there is no summary of %s", record)
			}
			return
		}
		var b struct {
			RequestID *string         `json:"requestId"`
			Status    *string         `json:"status"`
			ColdStart *bool           `json:"coldStart"`
			Metrics   json.RawMessage `json:"metrics"`
		}
		if err := json.Unmarshal(summary.Body, &b); err != nil || b.RequestID == nil || *b.RequestID == "" || b.ColdStart == nil || b.Metrics[0] != '{' {
			t.Fatalf("%s makes %s: %v", record, summary.Body, err)
		}
		if strings.ContainsAny(string(summary.Body), "\n\r") {
			t.Fatalf("%q is more than one line", summary.Body)
		}
	})
}

// startOf returns a platform.start.
func startOf(request, at, trace string) *event.Event {
	return &event.Event{
		Time: []byte(at), Type: []byte(event.TypePlatformStart), RequestID: request, TraceID: trace,
		Record: fmt.Appendf(nil, `{"requestId":%q,"version":"7","tracing":{"type":"X-Amzn-Trace-Id","value":"Root=%s;Sampled=1"}}`, request, trace),
	}
}

// reportOf returns a platform.report.
func reportOf(request string) *event.Event {
	return platformf(`{"requestId":%q,"status":"success","metrics":{"durationMs":5}}`, request)
}

func TestAnInvocationCountsItsEvents(t *testing.T) {
	var tracker invocation.Tracker
	tracker.Counted("a", 1000, 1, 1) // before it began: from an earlier attempt
	tracker.Started(startOf("a", "2026-11-22T20:15:00.000Z", "1-5759e988-bd862e3fe1be46a994272793"))
	tracker.Counted("a", 100, 3, 3)
	tracker.Counted("", 10, 4, 4) // of no request
	tracker.Started(startOf("b", "2026-11-22T20:15:01.000Z", ""))
	tracker.Counted("b", 7, 5, 5)
	tracker.Counted("a", 3_000_000, 6, 8) // in parts
	tracker.Counted("c", 5, 9, 9)         // of which nothing is known

	summary, ok := tracker.Reported(reportOf("a"))
	const want = `{"requestId":"a","status":"success","metrics":{"durationMs":5},"coldStart":false,"start":"2026-11-22T20:15:00.000Z",` +
		`"tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"},"events":4,"bytes":3000100,"firstSeq":3,"lastSeq":8}`
	if diff := cmp.Diff(want, string(summary.Body)); !ok || diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	if summary.Request != "a" || summary.Trace != "1-5759e988-bd862e3fe1be46a994272793" {
		t.Errorf("the summary is of %q, trace %q", summary.Request, summary.Trace)
	}

	// If the report is sent again, the invocation counts as one of an earlier process.
	again, ok := tracker.Reported(reportOf("a"))
	if diff := cmp.Diff(`{"requestId":"a","status":"success","metrics":{"durationMs":5},"coldStart":false}`, string(again.Body)); !ok || diff != "" {
		t.Errorf("body of a report that is sent again (-want +got):\n%s", diff)
	}
}

func TestInvocationsWithoutAReportAreSummarizedAtTheEnd(t *testing.T) {
	var tracker invocation.Tracker
	for _, request := range []string{"reported", "timed-out", "cut"} {
		tracker.Started(startOf(request, "2026-11-22T20:15:00.000Z", "1-a-"+request))
		tracker.Counted(request, 10, 1, 1)
	}
	tracker.RuntimeDone(done("timed-out", `{"requestId":"timed-out","status":"timeout","metrics":{"durationMs":3000}}`))
	tracker.RuntimeDone(done("unheard-of", `{"requestId":"unheard-of","status":"success"}`))
	tracker.Reported(reportOf("reported"))
	tracker.Released("cut", 5*ms, flush.End)

	var got []string
	for _, summary := range tracker.Ended() {
		got = append(got, summary.Request+" "+summary.Trace+" "+string(summary.Body))
	}
	const of = `"start":"2026-11-22T20:15:00.000Z","tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1-a-%s;Sampled=1"},"events":1,"bytes":10,"firstSeq":1,"lastSeq":1,`
	want := []string{
		`timed-out 1-a-timed-out {"requestId":"timed-out","status":"timeout","metrics":{"durationMs":3000},` + fmt.Sprintf(of, "timed-out") + `"unreported":true}`,
		`cut 1-a-cut {"requestId":"cut","metrics":{},` + fmt.Sprintf(of, "cut") + `"heldMs":5,"hold":"end","unreported":true}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("at the end (-want +got):\n%s", diff)
	}
	if again := tracker.Ended(); again != nil {
		t.Errorf("at the second end: %v", again)
	}
}

// If Lambda never sends reports, the memory is bounded all the same.
func TestTheOldestInvocationIsRemovedFirst(t *testing.T) {
	var tracker invocation.Tracker
	const most = 4096
	for i := range most + 3 {
		request := strconv.Itoa(i)
		tracker.Started(startOf(request, "2026-11-22T20:15:00.000Z", ""))
	}
	ended := tracker.Ended()
	if len(ended) != most || ended[0].Request != "3" || ended[most-1].Request != strconv.Itoa(most+2) {
		t.Errorf("%d summaries, from %q to %q; want the last %d", len(ended), ended[0].Request, ended[len(ended)-1].Request, most)
	}
}

// Lambda retries an asynchronous invocation that failed, under its id.
func TestASecondAttemptCountsAnew(t *testing.T) {
	var tracker invocation.Tracker
	for attempt := range uint64(2) {
		tracker.Started(startOf("a", "2026-11-22T20:15:00.000Z", ""))
		tracker.Counted("a", 1, 10*attempt+1, 10*attempt+2)
		summary, _ := tracker.Reported(reportOf("a"))
		if want := fmt.Sprintf(`"events":2,"bytes":1,"firstSeq":%d,"lastSeq":%d}`, 10*attempt+1, 10*attempt+2); !strings.HasSuffix(string(summary.Body), want) {
			t.Errorf("attempt %d: the summary is %s, want … %s", attempt+1, summary.Body, want)
		}
	}
}

// Events that were numbered before a restore have numbers of another environment.
func TestCountsBeginAnewIfTheNumbersDo(t *testing.T) {
	var tracker invocation.Tracker
	tracker.Started(&event.Event{RequestID: "r", Record: []byte(`{"requestId":"r"}`)})
	tracker.Counted("r", 100, 7, 8)
	tracker.Counted("r", 10, 2, 2)
	tracker.Counted("r", 10, 4, 5)
	summary, ok := tracker.Reported(platform(`{"requestId":"r"}`))
	if want := `"events":3,"bytes":20,"firstSeq":2,"lastSeq":5`; !ok || !strings.Contains(string(summary.Body), want) {
		t.Errorf("%s has not %s", summary.Body, want)
	}
}

// The wall clock may be set back during a hold.
func TestNoHoldIsShorterThanNothing(t *testing.T) {
	var tracker invocation.Tracker
	tracker.Released("a", -time.Second, flush.End)
	summary, _ := tracker.Reported(reportOf("a"))
	if want := `"heldMs":0,`; !strings.Contains(string(summary.Body), want) || tracker.Held().Ms.P50 != 0 {
		t.Errorf("the body is %s, want %s; held for %v ms", summary.Body, want, tracker.Held().Ms)
	}
}

// INVOKE comes before or after the platform.start.
func TestAnInvocationHasTheARNByWhichItCallsTheFunction(t *testing.T) {
	const arn = "arn:aws:lambda:eu-west-1:123456789012:function:orders:live"
	start := func(t *invocation.Tracker) { t.Started(startOf("a", "2026-11-22T20:15:00.000Z", "")) }
	for _, tt := range []struct {
		name string
		run  func(*invocation.Tracker)
		want string
	}{
		{"before the start", func(t *invocation.Tracker) { t.Invoked("a", arn); start(t) }, `"invokedArn":"` + arn + `",`},
		{"after the start", func(t *invocation.Tracker) { start(t); t.Invoked("a", arn) }, `"invokedArn":"` + arn + `",`},
		{"before the start, which arrives after the next INVOKE", func(t *invocation.Tracker) { t.Invoked("a", arn); t.Invoked("b", "arn:other"); start(t) }, `"invokedArn":"` + arn + `",`},
		{"of another attempt, by another alias", func(t *invocation.Tracker) { t.Invoked("a", "arn:old"); t.Invoked("a", arn); start(t) }, `"invokedArn":"` + arn + `",`},
		{"of another invocation", func(t *invocation.Tracker) { t.Invoked("b", arn); start(t) }, ""},
		{"unknown", start, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tracker invocation.Tracker
			tt.run(&tracker)
			summary, _ := tracker.Reported(reportOf("a"))
			if want := `{"requestId":"a",` + tt.want + `"status":`; !strings.HasPrefix(string(summary.Body), want) {
				t.Errorf("the body is %s, want %s", summary.Body, want)
			}
		})
	}
}

func TestAnInvocationKeepsItsSpan(t *testing.T) {
	span := &event.Span{ID: []byte("54565fb41ac79632")}
	start := startOf("a", "2026-11-22T20:15:00.000Z", "")
	start.OTLP.Span = span
	var tracker invocation.Tracker
	tracker.Started(start)
	if summary, _ := tracker.Reported(reportOf("a")); summary.Span != span {
		t.Errorf("the reported invocation has the span %v", summary.Span)
	}
	tracker.Started(start)
	if ended := tracker.Ended(); len(ended) != 1 || ended[0].Span != span {
		t.Errorf("the invocations without a report are %v", ended)
	}
}
