package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/lambdasim"
)

const ms = time.Millisecond

// collected is a run with two extensions, of which "slow" misses events.
func collected() *Collector {
	c := NewCollector()
	number := uint64(0)
	emit := func(kind, record string) uint64 {
		number++
		c.Event(0, lambdasim.Event{Number: number, Type: kind, Record: json.RawMessage(record)})
		return number
	}
	deliver := func(extension string, generation int, numbers ...uint64) {
		c.Delivered(0, lambdasim.Delivery{Extension: extension, Generation: generation, Events: numbers})
	}
	subscribe := func(name, types string) uint64 {
		return emit("platform.telemetrySubscription", `{"name":"`+name+`","state":"Subscribed","types":[`+types+`]}`)
	}
	start := emit("platform.initStart", `{}`)
	a, b := subscribe("fast", `"platform","function"`), subscribe("slow", `"function"`)
	line1, line2, line3 := emit("function", `"1"`), emit("function", `"2"`), emit("extension", `"nobody subscribed to it"`)
	_ = line3
	deliver("fast", 1, start, a, b, line1, line2)
	deliver("slow", 1, line1)
	// A reset: both begin anew, and slow does not subscribe.
	start = emit("platform.initStart", `{}`)
	a = subscribe("fast", `"platform"`)
	emit("function", `"3"`)
	c.Event(0, lambdasim.Event{Number: number + 1, Type: "platform.logsDropped", Record: json.RawMessage(`{}`), Only: "fast"})
	deliver("fast", 2, start, a)
	deliver("fast", 9, 1)         // nothing that was
	deliver("fast", 2, 1_000_000) // nothing that was

	c.Invocation(lambdasim.Result{Status: "success", ColdStart: true, InitDuration: 100 * ms, Duration: 10 * ms, Billed: 120 * ms, HeldBy: map[string]time.Duration{"fast": ms, "slow": 9 * ms}})
	c.Invocation(lambdasim.Result{Status: "timeout", Duration: 20 * ms, Billed: 20 * ms, HeldBy: map[string]time.Duration{"fast": 3 * ms, "slow": 0}})
	c.Throttled()
	c.Environment([]lambdasim.ProcessReport{
		{Kind: lambdasim.KindExtension, Name: "fast", FirstNext: 5 * ms, MaxRSSKiB: 1024, CPU: 7 * ms, Exited: true, FailedPosts: 2},
		{Kind: lambdasim.KindExtension, Name: "slow", FirstNext: 50 * ms, MaxRSSKiB: 4096, CPU: 70 * ms, Exited: true, ExitCode: -1, Signal: syscall.SIGKILL, Killed: true, KilledAtDeadline: true},
		{Kind: lambdasim.KindFunction, Name: "bootstrap", MaxRSSKiB: 2048, CPU: 2 * ms, Exited: true},
	}, nil)
	c.Environment([]lambdasim.ProcessReport{
		{Kind: lambdasim.KindExtension, Name: "slow", Exited: true, ExitCode: 3},
		{Kind: lambdasim.KindExtension, Name: "slow", Exited: true, ExitCode: 3},
		{Kind: lambdasim.KindExtension, Name: "fast", Exited: true, ExitCode: -1, Signal: syscall.SIGSEGV},
		{Kind: lambdasim.KindExtension, Name: "quiet", Exited: true, ExitCode: -1, Signal: syscall.SIGKILL, Killed: true},
	}, errors.New("no room"))
	return c
}

func TestSummary(t *testing.T) {
	one := func(v float64) Distribution { return Distribution{1, v, v, v} }
	want := Summary{
		Environments: 2, Invocations: 2, Statuses: map[string]int{"success": 1, "timeout": 1}, Throttled: 1, ColdStarts: 1,
		DurationMs: Distribution{2, 10, 20, 20}, InitMs: one(100), BilledMs: 140, Function: Usage{1, 2 << 20, 2},
		Extensions: []*Extension{
			{
				Name: "fast", Usage: Usage{2, 1 << 20, 7}, OverheadMs: Distribution{2, 1, 3, 3}, InitMs: one(5), Subscribed: true,
				AcceptedEvents: 7, Missed: map[string]int{"platform.logsDropped": 1}, FailedPosts: 2,
			},
			{Name: "quiet", Usage: Usage{Processes: 1}, Missed: map[string]int{}},
			{
				Name: "slow", Usage: Usage{3, 4 << 20, 70}, OverheadMs: Distribution{2, 0, 9, 9}, InitMs: one(50), Subscribed: true,
				AcceptedEvents: 1, Missed: map[string]int{"function": 1},
			},
		},
		Problems: []string{
			"extension fast was ended by a signal: segmentation fault", "extension slow ended with status 3 (2 times)",
			"extension slow was killed at the deadline of the shutdown", "no room",
		},
	}
	c := collected()
	for range 2 { // it can be asked again
		if diff := cmp.Diff(want, c.Summary()); diff != "" {
			t.Error(diff)
		}
	}
	empty := NewCollector().Summary()
	if text, err := json.Marshal(empty); err != nil || !strings.Contains(string(text), `"extensions":[],"problems":[]`) {
		t.Errorf("%s, %v", text, err)
	}
}

func TestDistribution(t *testing.T) {
	var s sample
	for i := range 200 {
		s = append(s, time.Duration(200-i)*ms)
	}
	if got := s.distribution(); got != (Distribution{200, 100, 198, 200}) {
		t.Errorf("%+v", got)
	}
}

// outcome lists the checks that fail, and counts those that do not.
func outcome(checks []Check) (failed []string, ok int) {
	for _, c := range checks {
		if c.OK {
			ok++
		} else {
			failed = append(failed, c.Subject+": "+c.Name+": "+c.Detail)
		}
	}
	return failed, ok
}

func TestChecks(t *testing.T) {
	s := collected().Summary()
	quiet := Summary{Invocations: 1, Statuses: map[string]int{"success": 1}}
	shutdownOnly := quiet
	shutdownOnly.Extensions = []*Extension{{Name: "e", InitMs: Distribution{1, 5, 5, 5}}}
	with := func(k *Kinesis) Summary {
		one := quiet
		one.Extensions, one.Kinesis = []*Extension{{Name: "e", Subscribed: true, AcceptedEvents: 2}}, k
		return one
	}
	for name, test := range map[string]struct {
		limits  Limits
		summary Summary
		failed  []string
		ok      int
	}{
		"none":               {Limits{}, s, nil, 0},
		"overhead":           {Limits{MaxOverhead: 3 * ms}, s, []string{"quiet: overhead of at most 3ms: no invocation was measured", "slow: overhead of at most 3ms: at most 9 ms in 2 invocations"}, 1},
		"enough overhead":    {Limits{MaxOverhead: 9 * ms}, s, []string{"quiet: overhead of at most 9ms: no invocation was measured"}, 2},
		"only SHUTDOWN":      {Limits{MaxOverhead: ms}, shutdownOnly, nil, 1},
		"init":               {Limits{MaxInit: 5 * ms}, s, []string{"quiet: init of at most 5ms: it never called next", "slow: init of at most 5ms: at most 50 ms in 1 start"}, 1},
		"memory":             {Limits{MaxMemory: 1 << 20}, s, []string{"quiet: memory of at most 1.0 MiB: not measured", "slow: memory of at most 1.0 MiB: 4.0 MiB resident"}, 1},
		"delivered":          {Limits{ExpectDelivered: true}, s, []string{"fast: all telemetry is accepted: 7 events accepted, missed: 1 platform.logsDropped", "slow: all telemetry is accepted: 1 event accepted, missed: 1 function"}, 1},
		"in the stream":      {Limits{ExpectDelivered: true}, with(&Kinesis{Audit: "complete", Complete: true}), nil, 2},
		"not in the stream":  {Limits{ExpectDelivered: true}, with(&Kinesis{Audit: "1 missing"}), []string{"kinesis: all events are in the stream: 1 missing"}, 1},
		"a stream of others": {Limits{ExpectDelivered: true}, with(&Kinesis{Records: 5}), nil, 1},
		"success":            {Limits{ExpectSuccess: true}, quiet, nil, 1},
		"no invocation":      {Limits{ExpectSuccess: true}, Summary{}, []string{"function: all invocations succeed: 0 invocations"}, 0},
		"throttled":          {Limits{ExpectSuccess: true}, Summary{Invocations: 1, Statuses: map[string]int{"success": 1}, Throttled: 2}, []string{"function: all invocations succeed: 1 invocation: 1 success, and 2 throttled"}, 0},
		"a problem":          {Limits{ExpectSuccess: true}, Summary{Invocations: 1, Statuses: map[string]int{"success": 1}, Problems: []string{"p"}}, []string{"function: all invocations succeed: 1 invocation: 1 success; p"}, 0},
		"a time-out":         {Limits{ExpectSuccess: true}, Summary{Invocations: 2, Statuses: map[string]int{"success": 1, "timeout": 1}}, []string{"function: all invocations succeed: 2 invocations: 1 success, 1 timeout"}, 0},
		"without extensions": {Limits{MaxOverhead: ms}, quiet, []string{"extensions: overhead of at most 1ms: there is no extension"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			failed, ok := outcome(test.limits.Checks(test.summary))
			if diff := cmp.Diff(test.failed, failed); diff != "" || ok != test.ok {
				t.Errorf("%d ok, want %d; %s", ok, test.ok, diff)
			}
		})
	}
}

func TestJUnit(t *testing.T) {
	var b bytes.Buffer
	err := WriteJUnit(&b, []Check{{"memory of at most 1 MiB", "a<b", false, "2 MiB \x1b[31m & more"}, {"init", "b", true, "fine"}}, 1500*ms)
	want := `<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="kinetel run" tests="2" failures="1" time="1.500">
  <testcase classname="a&lt;b" name="memory of at most 1 MiB">
    <failure message="2 MiB ` + "\ufffd" + `[31m &amp; more"></failure>
  </testcase>
  <testcase classname="b" name="init">
    <system-out>fine</system-out>
  </testcase>
</testsuite>
`
	if diff := cmp.Diff(want, b.String()); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestText(t *testing.T) {
	s := collected().Summary()
	s.Kinesis = &Kinesis{Records: 3, Bytes: 400, Rejected: 2, Audit: "complete"}
	s.Extensions[1].Name = "qui\x1bet"
	var b strings.Builder
	if err := s.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	want := `2 invocations: 1 success, 1 timeout, and 1 throttled; 2 environments, 1 cold start
                          p50       p99       max       init       memory   CPU
duration of the function  10.00 ms  20.00 ms  20.00 ms  100.00 ms  2.0 MiB  2 ms
overhead of fast          1.00 ms   3.00 ms   3.00 ms   5.00 ms    1.0 MiB  7 ms
overhead of qui?et        -         -         -         -          -        0 ms
overhead of slow          0.00 ms   9.00 ms   9.00 ms   50.00 ms   4.0 MiB  70 ms
billed: 140 ms
fast: 7 events accepted, missed: 1 platform.logsDropped; 2 POSTs failed
slow: 1 event accepted, missed: 1 function
Kinesis: 3 records of 400 bytes, 2 rejected; audit: complete
problem: extension fast was ended by a signal: segmentation fault
problem: extension slow ended with status 3 (2 times)
problem: extension slow was killed at the deadline of the shutdown
problem: no room
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
}

func TestLine(t *testing.T) {
	const begin = "REPORT RequestId: r\tDuration: 12.50 ms\tBilled Duration: 20 ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB"
	for name, test := range map[string]struct {
		result lambdasim.Result
		want   string
	}{
		"warm":      {lambdasim.Result{Status: "success"}, ""},
		"cold":      {lambdasim.Result{Status: "success", ColdStart: true, InitDuration: 7 * ms}, "\tInit Duration: 7.00 ms"},
		"a reset":   {lambdasim.Result{Status: "success", ColdStart: true, SuppressedInit: true, InitDuration: 7 * ms}, ""},
		"restored":  {lambdasim.Result{Status: "success", ColdStart: true, InitDuration: 7 * ms, RestoreDuration: ms}, "\tRestore Duration: 1.00 ms"},
		"a failure": {lambdasim.Result{Status: "timeout", ErrorType: "Sandbox.Timedout"}, "\tStatus: timeout\tError Type: Sandbox.Timedout"},
		"extensions": {
			lambdasim.Result{Status: "success", HeldBy: map[string]time.Duration{"b": 0, "a": 1500 * time.Microsecond}}, "\tExtension Overhead: a 1.50 ms, b 0.00 ms",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := test.result
			r.RequestID, r.Duration, r.Held, r.Billed, r.MaxMemoryMB = "r", 10*ms, 2500*time.Microsecond, 20*ms, 30
			if got := Line(r, 128); got != begin+test.want {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestInvocation(t *testing.T) {
	r := lambdasim.Result{
		RequestID: "r", Status: "success", ColdStart: true, InitDuration: 7 * ms, Duration: 2 * ms, ResponseLatency: ms, Billed: 9 * ms,
		MaxMemoryMB: 30, FunctionLines: 4, HeldBy: map[string]time.Duration{"e": ms}, Payload: []byte(`{"a":1}`),
	}
	const want = `{"requestId":"r","environment":2,"status":"success","coldStart":true,"initMs":7,"durationMs":2,"billedMs":9,"responseMs":1,` +
		`"overheadMs":{"e":1},"maxMemoryMB":30,"lines":4,"payload":{"a":1}}`
	if text, err := json.Marshal(NewInvocation(2, r)); err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
	for payload, want := range map[string]string{"": `""`, "not JSON": `"not JSON"`} {
		r.Payload = []byte(payload)
		if got := NewInvocation(0, r).Payload; string(got) != want {
			t.Errorf("%s: %s", payload, got)
		}
	}
	r.Payload = bytes.Repeat([]byte("x"), 2*maxPayload)
	if got := len(NewInvocation(0, r).Payload); got != maxPayload+2 {
		t.Errorf("a payload of %d bytes", got)
	}
}
