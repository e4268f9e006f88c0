package invocation_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/invocation"
)

// timedEvent is an event of the environment's init or restore, with its time before or
// after the first platform.start.
type timedEvent struct {
	after  time.Duration
	kind   string
	record string
}

func initEvent(kind, initType, phase string) string {
	return fmt.Sprintf(`{"initializationType":%q,"phase":%q,"status":"success"}`, initType, phase)
}

// inits returns the events of an init.
func inits(initType, phase string, begun, end time.Duration) []timedEvent {
	return []timedEvent{
		{begun, event.TypePlatformInitStart, initEvent("initStart", initType, phase)},
		{end, "platform.initRuntimeDone", initEvent("initRuntimeDone", initType, phase)},
		{end, event.TypePlatformInitReport, initEvent("initReport", initType, phase)},
	}
}

func restore(begun, end time.Duration) []timedEvent {
	return []timedEvent{
		{begun, event.TypePlatformRestoreStart, `{"functionName":"orders"}`},
		{end, "platform.restoreRuntimeDone", `{"status":"success"}`},
		{end, event.TypePlatformRestoreReport, `{"status":"success","metrics":{"durationMs":20.5}}`},
	}
}

func TestColdStart(t *testing.T) {
	const (
		initMs    = `"initDurationMs":380.5`
		restoreMs = `"restoreDurationMs":201.7`
		billedMs  = `"billedRestoreDurationMs":53`
		s         = time.Second
	)
	for _, tt := range []struct {
		name    string
		kind    string       // AWS_LAMBDA_INITIALIZATION_TYPE
		before  []timedEvent // platform.start
		after   []timedEvent
		metrics string // of the first invocation
		want    bool
	}{
		{"on demand", "on-demand", inits("on-demand", "init", -400*ms, -2*ms), nil, initMs, true},
		{"on demand, a slow init", "on-demand", inits("on-demand", "init", -9900*ms, -2*ms), nil, initMs, true},
		{"on demand, and the report lacks the init", "on-demand", inits("on-demand", "init", -400*ms, -2*ms), nil, "", true},
		{"on demand, the events of the init come later", "on-demand", nil, inits("on-demand", "init", -400*ms, -2*ms), initMs, true},
		{"on demand, nothing is known of the init", "on-demand", nil, nil, initMs, true},
		{"nothing is known", "", nil, nil, "", false},
		{"nothing is known but the report", "", nil, nil, initMs, true},
		{"an init type of the future", "warm", inits("warm", "init", -400*ms, -2*ms), nil, initMs, true},

		{"initialised before it was needed", "on-demand", inits("on-demand", "init", -60*s, -59*s), nil, initMs, false},
		{"the same, shortly before", "on-demand", inits("on-demand", "init", -3*s, -2*s), nil, initMs, false},
		{"the same, its report comes with the invocation", "on-demand", []timedEvent{inits("on-demand", "init", -60*s, 0)[0], inits("on-demand", "init", -60*s, -ms)[2]}, nil, initMs, false},
		{"the same, without its report", "on-demand", inits("on-demand", "init", -60*s, -59*s)[:2], nil, initMs, false},
		{"the same, of unknown type", "", inits("", "init", -60*s, -59*s), nil, initMs, false},
		{"the same, the events come later", "on-demand", nil, inits("on-demand", "init", -60*s, -59*s), initMs, false},

		{"provisioned", "provisioned-concurrency", inits("provisioned-concurrency", "init", -600*s, -599*s), nil, initMs, false},
		{"provisioned, and needed at once", "provisioned-concurrency", inits("provisioned-concurrency", "init", -s, -ms), nil, initMs, false},
		{"provisioned, by the variable only", "provisioned-concurrency", nil, nil, initMs, false},
		{"provisioned, by events only", "", inits("provisioned-concurrency", "init", -s, -ms), nil, initMs, false},
		{"provisioned, without a word of it in the report", "provisioned-concurrency", inits("provisioned-concurrency", "init", -s, -ms), nil, "", false},
		{"provisioned, but reset: the init is part of the invocation", "provisioned-concurrency", inits("provisioned-concurrency", "invoke", 10*ms, 400*ms), nil, "", true},
		{"on demand, reset", "on-demand", inits("on-demand", "invoke", 10*ms, 400*ms), nil, "", true},
		{"on demand, reset, the init first", "on-demand", inits("on-demand", "invoke", -400*ms, -ms), nil, "", true},
		{"Managed Instances", "lambda-managed-instances", inits("lambda-managed-instances", "init", -s, -ms), nil, "", false},
		{"Managed Instances, reported as others", "lambda-managed-instances", inits("lambda-managed-instances", "init", -s, -ms), nil, initMs, false},

		{"restored", "snap-start", restore(-200*ms, -2*ms), nil, restoreMs, true},
		{"restored, billed", "snap-start", restore(-200*ms, -2*ms), nil, billedMs, true},
		{"restored, and the report lacks it", "snap-start", restore(-200*ms, -2*ms), nil, "", true},
		{"restored, the snapshot's init before", "snap-start", append(inits("snap-start", "init", -5000*s, -4990*s), restore(-200*ms, -2*ms)...), nil, restoreMs, true},
		{"restored, the snapshot's init later", "snap-start", append(restore(-200*ms, -2*ms), inits("snap-start", "init", -5000*s, -4990*s)...), nil, restoreMs, true},
		{"restored, the snapshot's init at the end", "snap-start", restore(-200*ms, -2*ms), inits("snap-start", "init", -5000*s, -4990*s), restoreMs, true},
		{"restored, of which only the snapshot's init is known", "snap-start", inits("snap-start", "snap-start", -5000*s, -4990*s), nil, restoreMs, true},
		{"restored, of which only the report knows", "", nil, nil, billedMs, true},
		{"restored before it was needed", "snap-start", restore(-60*s, -59*s), nil, restoreMs, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			start := time.Date(2026, 9, 21, 10, 0, 0, 0, time.UTC)
			var tracker invocation.Tracker
			tracker.SetInitType(tt.kind)
			track := func(all []timedEvent) {
				for _, one := range all {
					tracker.Initialized(&event.Event{Type: []byte(one.kind), Record: []byte(one.record), Received: start.Add(one.after)})
				}
			}
			report := func(request, metrics string) (b struct {
				ColdStart *bool
				InitType  string
			},
			) {
				t.Helper()
				summary, ok := tracker.Reported(platformf(`{"requestId":%q,"status":"success","metrics":{%s}}`, request, metrics))
				if err := json.Unmarshal(summary.Body, &b); err != nil || !ok || b.ColdStart == nil {
					t.Fatalf("%s, %v", summary.Body, err)
				}
				return b
			}
			track(tt.before)
			tracker.Started(startOf("one", start.Format(event.TimeFormat), ""))
			track(tt.after)
			tracker.Started(startOf("two", start.Add(20*ms).Format(event.TimeFormat), ""))
			first := report("one", tt.metrics)
			if *first.ColdStart != tt.want {
				t.Errorf("coldStart is %t, want %t", *first.ColdStart, tt.want)
			}
			kind := tt.kind
			if kind == "" && len(tt.before) > 0 && strings.Contains(tt.before[0].record, "provisioned") {
				kind = "provisioned-concurrency"
			}
			if first.InitType != kind {
				t.Errorf("initType is %q, want %q", first.InitType, kind)
			}
			if *report("two", "").ColdStart {
				t.Error("the second invocation is a cold start")
			}
			if again := report("one", tt.metrics); *again.ColdStart != tt.want {
				t.Errorf("of a report that is sent again, coldStart is %t, want %t", *again.ColdStart, tt.want)
			}
		})
	}
}

// Lambda sends the tenant with each of an invocation's platform events.
func TestTheTenantOfAnInvocation(t *testing.T) {
	start := func(t *invocation.Tracker, record string) {
		t.Started(&event.Event{RequestID: "r", Type: []byte(event.TypePlatformStart), Record: []byte(record)})
	}
	for _, tt := range []struct{ name, start, done, report, want string }{
		{"in the start", `{"requestId":"r","tenantId":"blue"}`, "", `{"requestId":"r"}`, `"tenantId":"blue"`},
		{"in the report", `{"requestId":"r"}`, "", `{"requestId":"r","tenantId":"blue"}`, `"tenantId":"blue"`},
		{"in the start, without a report", `{"requestId":"r","tenantId":"blue"}`, "", "", `"tenantId":"blue"`},
		{"in the runtimeDone, without a report", `{"requestId":"r"}`, `{"requestId":"r","tenantId":"blue"}`, "", `"tenantId":"blue"`},
		{"in text that has to be quoted", `{"requestId":"r","tenantId":"a\"b\n"}`, "", `{"requestId":"r"}`, `"tenantId":"a\"b\n"`},
		{"of another type", `{"requestId":"r","tenantId":7}`, "", `{"requestId":"r","tenantId":{}}`, ""},
		{"empty", `{"requestId":"r","tenantId":""}`, "", `{"requestId":"r","tenantId":""}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tracker invocation.Tracker
			start(&tracker, tt.start)
			if tt.done != "" {
				tracker.RuntimeDone(done("r", tt.done))
			}
			var summary invocation.Summary
			if tt.report != "" {
				summary, _ = tracker.Reported(platform(tt.report))
			} else {
				summary = tracker.Ended()[0]
			}
			if body := string(summary.Body); !strings.Contains(body, tt.want) || strings.Contains(body, "tenantId") != (tt.want != "") {
				t.Errorf("%s, want %s", body, tt.want)
			}
		})
	}
}

func TestTheExtensionsOverhead(t *testing.T) {
	for _, tt := range []struct{ spans, want string }{
		{`[{"name":"extensionOverhead","start":"2026-09-21T10:00:00.620Z","durationMs":11.50}]`, `"extensionOverheadMs":11.50`},
		{`[{"name":"responseLatency","durationMs":1},{"name":"extensionOverhead","durationMs":0},{"name":"later","durationMs":2}]`, `"extensionOverheadMs":0`},
		{`[{"name":"responseLatency","durationMs":1}]`, ""},
		{`[]`, ""},
		{`null`, ""},
		{`7`, ""},
		{`[7,{"name":"extensionOverhead","durationMs":{"ms":1}}]`, ""},
		{`[{"name":7,"durationMs":1}]`, ""},
	} {
		var tracker invocation.Tracker
		summary, ok := tracker.Reported(platform(`{"requestId":"r","spans":` + tt.spans + `,"status":"success"}`))
		body := string(summary.Body)
		if !ok || !strings.Contains(body, tt.want) || strings.Contains(body, "extensionOverheadMs") != (tt.want != "") || strings.Contains(body, "spans") || !strings.Contains(body, "success") {
			t.Errorf("%s makes %s, want %s", tt.spans, body, tt.want)
		}
	}
}

func TestTheSpanOfAColdStart(t *testing.T) {
	for _, tt := range []struct{ name, known, start, done, want string }{
		{
			"a success", "on-demand", `{"initializationType":"on-demand","phase":"init"}`, `{"initializationType":"on-demand","phase":"init","status":"success"}`,
			`{"phase":"init","status":"success","metrics":{"durationMs":380},"coldStart":true,"initType":"on-demand","start":"2026-09-21T10:00:00.101Z"}`,
		},
		{
			"a failure inside an invocation", "", `{"phase":"invoke"}`, `{"phase":"invoke","status":"error","errorType":"Runtime.ExitError"}`,
			`{"phase":"invoke","status":"error","errorType":"Runtime.ExitError","metrics":{"durationMs":380},"coldStart":true,"start":"2026-09-21T10:00:00.101Z"}`,
		},
		{"no phase", "", `{}`, `{}`, `{"phase":"init","metrics":{"durationMs":380},"coldStart":true,"start":"2026-09-21T10:00:00.101Z"}`},
		{"an init whose start is not known", "on-demand", "", `{"initializationType":"on-demand","status":"success"}`, ""},
		{"provisioned concurrency", "provisioned-concurrency", `{"initializationType":"provisioned-concurrency"}`, `{"initializationType":"provisioned-concurrency"}`, ""},
		{"a snapshot", "snap-start", `{"initializationType":"snap-start"}`, `{"initializationType":"snap-start"}`, ""},
		{"Managed Instances", "lambda-managed-instances", `{"initializationType":"lambda-managed-instances"}`, `{"initializationType":"lambda-managed-instances"}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var tracker invocation.Tracker
			tracker.SetInitType(tt.known)
			if tt.start != "" {
				tracker.Initialized(&event.Event{Time: []byte("2026-09-21T10:00:00.101Z"), Type: []byte(event.TypePlatformInitStart), Record: []byte(tt.start)})
			}
			got := tracker.ColdStart(&event.Event{Time: []byte("2026-09-21T10:00:00.481Z"), Type: []byte(event.TypePlatformInitRuntimeDone), Record: []byte(tt.done)})
			if diff := cmp.Diff(tt.want, string(got)); diff != "" {
				t.Errorf("body (-want +got):\n%s", diff)
			}
		})
	}
}
