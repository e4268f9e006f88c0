package lambdasim_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/lambdasim"
)

// managed is a subscriber as Managed Instances allow it.
func managed(more script) script {
	s := both(script{"events": []string{"SHUTDOWN"}})
	for key, value := range more {
		s[key] = value
	}
	return s
}

func managedConfig(extensions ...lambdasim.Process) (lambdasim.Config, *recorder) {
	cfg, rec := baseConfig(extensions...)
	cfg.InitializationType = lambdasim.InitManagedInstances
	return cfg, rec
}

// invokeAll invokes at the same time, and returns the results in the order of
// the payloads.
func invokeAll(t *testing.T, s *lambdasim.Sandbox, payloads ...string) []lambdasim.Result {
	t.Helper()
	results := make([]lambdasim.Result, len(payloads))
	var all sync.WaitGroup
	for i, payload := range payloads {
		all.Go(func() {
			var err error
			if results[i], err = s.Invoke(context.Background(), []byte(payload)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	return results
}

func TestManagedInvocationsOverlap(t *testing.T) {
	t.Parallel()
	ext, dump := scripted(t, "ext", managed(nil))
	cfg, rec := managedConfig(ext)
	s := start(t, cfg)
	if diff := cmp.Diff(initEvents, types(rec.all())); diff != "" {
		t.Error(diff)
	}
	if got := records(t, rec.all(), "platform.initReport")[0]; got["initializationType"] != "lambda-managed-instances" || got["status"] != "success" {
		t.Errorf("initReport: %v", got)
	}
	if got := records(t, rec.all(), "platform.extension")[0]; fmt.Sprint(got["events"]) != "[SHUTDOWN]" {
		t.Errorf("extension: %v", got)
	}

	var payloads []string
	for i := range 5 {
		payloads = append(payloads, fmt.Sprintf(`{"id":"r%d","lines":50,"format":"mixed","every":"2ms","sleep":"200ms"}`, i))
	}
	before := len(rec.all())
	results := invokeAll(t, s, payloads...)
	s2 := shutdown(t, s)
	events := rec.all()
	wantDelivered(t, dump, events)

	byID := map[string]lambdasim.Result{}
	cold := 0
	for i, r := range results {
		byID[r.RequestID] = r
		if r.ColdStart {
			cold++
		}
		if want := fmt.Sprintf(`{"id":"r%d","lines":50,"bytes":`, i); r.Status != lambdasim.StatusSuccess || !strings.HasPrefix(string(r.Payload), want) {
			t.Errorf("result %d: %s %s", i, r.Status, r.Payload)
		}
		if r.Held != 0 || len(r.HeldBy) != 0 || r.Billed != 0 || r.FunctionLines != 0 || r.Duration < 200*time.Millisecond {
			t.Errorf("result %d: %+v", i, r)
		}
	}
	if cold != 1 || len(byID) != 5 {
		t.Errorf("%d cold starts among %d requests", cold, len(byID))
	}

	running, most := 0, 0
	seen := map[string]int{}
	for _, e := range events[before:] {
		var record map[string]any
		if err := json.Unmarshal(e.Record, &record); err != nil {
			t.Fatal(err)
		}
		switch e.Type {
		case "platform.start":
			running++
			most = max(most, running)
			if e.RequestID != record["requestId"] || record["functionArn"] == nil || record["tracing"] == nil {
				t.Errorf("start of %q: %v", e.RequestID, record)
			}
		case "platform.report":
			running--
			var names []string
			for _, span := range record["spans"].([]any) {
				names = append(names, span.(map[string]any)["name"].(string))
			}
			if diff := cmp.Diff([]string{"responseLatency", "responseDuration"}, names); diff != "" || e.RequestID != record["requestId"] {
				t.Errorf("report of %q: %s", e.RequestID, diff)
			}
			if diff := cmp.Diff([]string{"durationMs"}, sortedKeys(record["metrics"].(map[string]any))); diff != "" {
				t.Errorf("metrics: %s", diff)
			}
			if seen[e.RequestID] != 0 {
				t.Errorf("a second report of %s", e.RequestID)
			}
			seen[e.RequestID]++
		case "function":
			if _, ok := record["requestId"]; ok || e.RequestID != "" || record["message"] == nil {
				t.Errorf("line: %s", e.Record)
			}
			if record["line"] == nil && (record["timestamp"] == nil || record["level"] != "INFO") {
				t.Errorf("text: %s", e.Record)
			}
		default:
			t.Errorf("an event %s", e.Type)
		}
	}
	if most != 5 || running != 0 || len(seen) != 5 {
		t.Errorf("at most %d ran at once, %d are left, %d reports", most, running, len(seen))
	}
	if rec.has(lambdasim.NoticeFreeze, "") || rec.has(lambdasim.NoticeThaw, "") {
		t.Error("the environment was frozen")
	}
	if p, _ := s2.Extension("ext"); p.Exited && p.ExitCode != 0 || p.Killed {
		t.Errorf("ext: %+v", p)
	}
	// next came back once, with SHUTDOWN.
	calls := entries(t, dump, "call")
	if last := calls[len(calls)-1]; len(calls) != 3 || !strings.Contains(string(last.Body), `"eventType":"SHUTDOWN"`) || !strings.Contains(string(last.Body), `"spindown"`) {
		t.Errorf("%d calls, the last: %s", len(calls), last.Body)
	}
	if _, err := s.Invoke(context.Background(), nil); !errors.Is(err, lambdasim.ErrClosed) {
		t.Errorf("invoke after shutdown: %v", err)
	}
}

// More than MaxConcurrency wait, and so do more than the function has workers.
func TestManagedConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ max, workers int }{
		"by the configuration": {2, 5},
		"by the workers":       {5, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			function, _ := scripted(t, "runtime", script{"runtime": true, "workers": test.workers, "holdMs": 100})
			cfg, _ := managedConfig()
			cfg.Function, cfg.MaxConcurrency = function, test.max
			s := start(t, cfg)
			results := invokeAll(t, s, `"0"`, `"1"`, `"2"`, `"3"`, `"4"`, `"5"`)
			most := 0
			for i, r := range results {
				if string(r.Payload) != fmt.Sprintf(`"%d"`, i) {
					t.Errorf("invocation %d was answered with %s", i, r.Payload)
				}
				running := 0 // when this one began
				for _, other := range results {
					if !r.Start.Before(other.Start) && r.Start.Before(other.RuntimeDone) {
						running++
					}
				}
				most = max(most, running)
			}
			if most != 2 {
				t.Errorf("%d ran at once, want 2", most)
			}
		})
	}
	t.Run("a caller that stops waiting changes nothing", func(t *testing.T) {
		t.Parallel()
		cfg, rec := managedConfig()
		cfg.MaxConcurrency = 1
		s := start(t, cfg)
		done := make(chan lambdasim.Result, 1)
		go func() { done <- invoke(t, s, `{"lines":1,"sleep":"300ms"}`) }()
		rec.await(t, "the first", func() bool { return rec.count("function") > 0 })
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		if _, err := s.Invoke(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error: %v", err)
		}
		if r := <-done; r.Status != lambdasim.StatusSuccess {
			t.Errorf("the first: %+v", r)
		}
		if starts := records(t, rec.all(), "platform.start"); len(starts) != 1 {
			t.Errorf("%d were started", len(starts))
		}
		invoke(t, s, `{}`)
	})
}

func TestManagedRefusals(t *testing.T) {
	t.Parallel()
	t.Run("INVOKE", func(t *testing.T) {
		t.Parallel()
		ext, dump := scripted(t, "ext", script{})
		cfg, rec := managedConfig(ext)
		_, err := lambdasim.Start(context.Background(), cfg)
		var failed *lambdasim.InitError
		if !errors.As(err, &failed) || failed.Type != "Extension.Crash" {
			t.Fatalf("error: %v", err)
		}
		register := entries(t, dump, "call")[0]
		if register.Status != 403 || !strings.Contains(string(register.Body), "Extension.InvalidEventType") {
			t.Errorf("register: %d %s", register.Status, register.Body)
		}
		if got := records(t, rec.all(), "platform.initReport")[0]; got["status"] != "failure" {
			t.Errorf("initReport: %v", got)
		}
	})
	t.Run("INVOKE, on demand", func(t *testing.T) {
		t.Parallel()
		for events, fails := range map[string]bool{"INVOKE": true, "SHUTDOWN": false} {
			ext, dump := scripted(t, "ext", script{"events": []string{events}})
			cfg, _ := baseConfig(ext)
			cfg.RefuseInvoke = true
			s, err := lambdasim.Start(context.Background(), cfg)
			if (err != nil) != fails {
				t.Errorf("%s: %v", events, err)
			}
			if register := entries(t, dump, "call")[0]; (register.Status == 403) != fails || strings.Contains(string(register.Body), "Extension.InvalidEventType") != fails {
				t.Errorf("register for %s: %d %s", events, register.Status, register.Body)
			}
			if err == nil {
				shutdown(t, s)
			}
		}
	})
	t.Run("an Init that an extension refuses", func(t *testing.T) {
		t.Parallel()
		for own, want := range map[string]string{"Extension.ConfigInvalid": "Extension.ConfigInvalid", "my own": "Extension.InitError"} {
			ext, _ := scripted(t, "ext", managed(script{"afterRegister": []request{{
				Method: "POST", Path: "/2020-01-01/extension/init/error",
				Header: map[string]string{"Lambda-Extension-Identifier": "$ID", "Lambda-Extension-Function-Error-Type": own},
			}}}))
			cfg, _ := managedConfig(ext)
			cfg.ShutdownTimeout = 100 * time.Millisecond
			_, err := lambdasim.Start(context.Background(), cfg)
			var failed *lambdasim.InitError
			if !errors.As(err, &failed) || failed.Type != want {
				t.Errorf("%q became %v", own, err)
			}
		}
	})
	t.Run("an older schema", func(t *testing.T) {
		t.Parallel()
		ext, dump := scripted(t, "ext", managed(script{"subscribe": subscribeTo("2022-12-13", `["platform"]`)}))
		cfg, _ := managedConfig(ext)
		s := start(t, cfg)
		shutdown(t, s)
		if put := entries(t, dump, "call")[1]; put.Status != 400 || !strings.Contains(string(put.Body), "2022-12-13") {
			t.Errorf("subscription: %d %s", put.Status, put.Body)
		}
	})
	t.Run("settings", func(t *testing.T) {
		t.Parallel()
		_, err := lambdasim.Start(context.Background(), lambdasim.Config{
			InitializationType: lambdasim.InitManagedInstances, Function: lambdasim.Process{Path: program("function")},
			LogFormat: lambdasim.LogText, MemoryMB: 512, MaxConcurrency: -1, LateLines: 1, RetryFailedInit: true,
			AcceptSchemas: []string{lambdasim.Schema20221213}, CredentialsLifetime: time.Hour,
		})
		if err == nil {
			t.Fatal("no error")
		}
		for _, want := range []string{"LogFormat", "MemoryMB", "MaxConcurrency", "LateLines", "RetryFailedInit", "AcceptSchemas", "CredentialsLifetime"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not in: %v", want, err)
			}
		}
		for _, cfg := range []lambdasim.Config{{MaxConcurrency: 2}, {InitializationType: "cold"}} {
			cfg.Function = lambdasim.Process{Path: program("function")}
			if _, err := lambdasim.Start(context.Background(), cfg); err == nil {
				t.Errorf("%+v was taken", cfg)
			}
		}
	})
}

func TestManagedTimeoutDoesNotKill(t *testing.T) {
	t.Parallel()
	ext, _ := scripted(t, "ext", managed(nil))
	cfg, rec := managedConfig(ext)
	cfg.Timeout = time.Second
	cfg.MaxConcurrency = 3
	s := start(t, cfg)
	// The first hangs for ever; the second gives its answer when it is too late.
	results := invokeAll(t, s, `{"id":"hangs","lines":1,"hang":true}`, `{"id":"late","lines":400,"every":"4ms"}`, `{"id":"quick"}`)
	for i, want := range []lambdasim.Status{"timeout", "timeout", "success"} {
		if results[i].Status != want {
			t.Errorf("result %d: %+v", i, results[i])
		}
	}
	if r := results[0]; r.ErrorType != "Sandbox.Timedout" || r.FunctionError != "Unhandled" || !strings.Contains(string(r.Payload), "Task timed out after 1.00 seconds") {
		t.Errorf("result: %+v: %s", r, r.Payload)
	}
	for _, report := range records(t, rec.all(), "platform.report") {
		if report["requestId"] == results[0].RequestID && (report["status"] != "timeout" || report["errorType"] != "Sandbox.Timedout" || report["spans"] != nil) {
			t.Errorf("report: %v", report)
		}
	}
	rec.await(t, "the last late line", func() bool {
		return slices.ContainsFunc(rec.events, func(e lambdasim.Event) bool {
			return strings.Contains(string(e.Record), "late line 400 ")
		})
	})
	// The second answers right after its last line; the first never does.
	if n := s.Abandoned(); n != 1 && n != 2 {
		t.Errorf("%d abandoned invocations", n)
	}
	// Two workers are left, in the same processes.
	for i, r := range invokeAll(t, s, `{"sleep":"100ms"}`, `{"sleep":"100ms"}`, `{}`) {
		if r.Status != lambdasim.StatusSuccess || r.ColdStart {
			t.Errorf("result %d after the time-outs: %+v", i, r)
		}
	}
	for deadline := time.Now().Add(patience); s.Abandoned() != 1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d abandoned invocations after the late answer", s.Abandoned())
		}
	}
	if ps := s.Processes(); len(ps) != 2 || ps[0].Exited || ps[1].Exited {
		t.Errorf("processes: %+v", ps)
	}
}

func TestManagedCancelledInvocationGoesOn(t *testing.T) {
	t.Parallel()
	cfg, rec := managedConfig()
	s := start(t, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		_, err := s.Invoke(ctx, []byte(`{"id":"x","lines":100,"every":"3ms"}`))
		ended <- err
	}()
	rec.await(t, "a line", func() bool { return rec.count("function") > 0 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v", err)
	}
	rec.await(t, "its last line", func() bool {
		return strings.Contains(string(rec.events[len(rec.events)-1].Record), "x line 100 ")
	})
	if r := invoke(t, s, `{}`); r.Status != lambdasim.StatusSuccess {
		t.Errorf("the next: %+v", r)
	}
}

func TestManagedCrashesEndTheEnvironment(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		crash     func(*lambdasim.Sandbox) error
		payload   string
		errorType string
	}{
		"the function exits":     {nil, `{"exit":3}`, "Runtime.ExitError"},
		"the function is killed": {func(s *lambdasim.Sandbox) error { return s.SignalFunction(os.Kill) }, `{}`, "Runtime.OutOfMemory"},
		"the extension is killed": {
			func(s *lambdasim.Sandbox) error { return s.SignalExtension("ext", os.Kill) }, `{}`, "Extension.Crash",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ext, _ := scripted(t, "ext", managed(nil))
			other, dump := scripted(t, "other", managed(nil))
			cfg, rec := managedConfig(ext, other)
			cfg.Timeout = patience
			s := start(t, cfg)
			const many = 8
			inFlight := make(chan lambdasim.Result, many)
			for range many {
				go func() { inFlight <- invoke(t, s, `{"lines":1,"hang":true}`) }()
			}
			rec.await(t, "their lines", func() bool { return rec.count("function") == many })
			if test.crash != nil {
				if err := test.crash(s); err != nil {
					t.Fatal(err)
				}
			} else {
				invoke(t, s, test.payload)
			}
			for range many {
				if r := <-inFlight; r.Status != lambdasim.StatusError || r.ErrorType != test.errorType || r.FunctionError != "Unhandled" {
					t.Errorf("in flight: %+v", r)
				}
			}
			_, err := s.Invoke(context.Background(), []byte(`{}`))
			if !errors.Is(err, lambdasim.ErrEnvironmentEnded) || !strings.Contains(err.Error(), test.errorType) {
				t.Errorf("the next invocation: %v", err)
			}
			// SHUTDOWN is sent at once, not by the Shutdown below.
			rec.await(t, "the other extension's end", func() bool {
				return slices.ContainsFunc(rec.notices, func(n lambdasim.Notice) bool {
					return n.Kind == lambdasim.NoticeExit && n.Process == "other"
				})
			})
			calls := entries(t, dump, "call")
			if body := string(calls[len(calls)-1].Body); !strings.Contains(body, `"shutdownReason":"failure"`) {
				t.Errorf("SHUTDOWN: %s", body)
			}
			for _, report := range records(t, rec.all(), "platform.report") {
				if report["status"] != "error" || report["errorType"] != test.errorType || report["spans"] != nil {
					t.Errorf("report: %v", report)
				}
			}
			wantDelivered(t, dump, rec.all())
			for _, p := range s.Processes() {
				if p.Generation != 1 {
					t.Errorf("a new process: %+v", p)
				}
			}
			shutdown(t, s)
			// Invocations in flight are reported first.
			var order []lambdasim.NoticeKind
			for _, n := range rec.notices {
				if n.Kind == lambdasim.NoticeInvokeDone || n.Kind == lambdasim.NoticeEnvironmentEnded {
					order = append(order, n.Kind)
				}
			}
			if len(order) < 2 || order[len(order)-1] != lambdasim.NoticeEnvironmentEnded {
				t.Errorf("order: %v", order)
			}
			if _, err := s.Invoke(context.Background(), nil); !errors.Is(err, lambdasim.ErrClosed) {
				t.Errorf("invoke after shutdown: %v", err)
			}
		})
	}
}

// The runtime has its time even when the environment ends because of another
// process.
// AWS Lambda retries an asynchronous invocation with the same id. Managed instances may
// work on the first attempt still.
func TestManagedRetryOfAbandoned(t *testing.T) {
	t.Parallel()
	cfg, rec := managedConfig()
	cfg.Timeout = time.Second
	cfg.MaxConcurrency = 2
	s := start(t, cfg)
	const id = "0a1b2c3d-0000-4000-8000-00000000000f"
	slow := lambdasim.Request{Payload: []byte(`{"id":"slow","lines":400,"every":"4ms"}`), RequestID: id}
	if r := invokeRequest(t, s, slow); r.Status != lambdasim.StatusTimeout {
		t.Errorf("first attempt: %+v", r)
	}
	quick := lambdasim.Request{Payload: []byte(`{"id":"quick"}`), RequestID: id}
	if r := invokeRequest(t, s, quick); r.Status != lambdasim.StatusSuccess {
		t.Errorf("second attempt: %+v", r)
	}
	for deadline := time.Now().Add(patience); s.Abandoned() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d abandoned invocations", s.Abandoned())
		}
	}
	if rec.has(lambdasim.NoticeRefused, "") {
		t.Error("an answer was refused")
	}
	invoke(t, s, `{}`)
	if ps := s.Processes(); len(ps) != 1 || ps[0].Exited {
		t.Errorf("processes: %+v", ps)
	}
}

func TestManagedRuntimeHasItsTime(t *testing.T) {
	t.Parallel()
	ext, _ := scripted(t, "ext", managed(nil))
	function, _ := scripted(t, "runtime", script{"runtime": true, "ignoreTerm": true})
	cfg, rec := managedConfig(ext)
	cfg.Function = function
	s := start(t, cfg)
	if err := s.SignalExtension("ext", os.Kill); err != nil {
		t.Fatal(err)
	}
	rec.await(t, "the runtime's end", func() bool {
		return slices.ContainsFunc(rec.notices, func(n lambdasim.Notice) bool {
			return n.Kind == lambdasim.NoticeExit && n.Process == "runtime"
		})
	})
	if p := s.Processes()[1]; !p.KilledAtDeadline || p.ShutdownTook < 580*time.Millisecond {
		t.Errorf("runtime: %+v", p)
	}
}

// A shutdown waits for what runs, and admits no further invocation.
func TestManagedShutdownWaits(t *testing.T) {
	t.Parallel()
	cfg, rec := managedConfig()
	cfg.MaxConcurrency = 1
	s := start(t, cfg)
	first, second := make(chan lambdasim.Result, 1), make(chan error, 1)
	go func() { first <- invoke(t, s, `{"lines":1,"sleep":"300ms"}`) }()
	rec.await(t, "a line", func() bool { return rec.count("function") > 0 })
	go func() {
		_, err := s.Invoke(context.Background(), []byte(`{}`))
		second <- err
	}()
	shutdown(t, s)
	if r := <-first; r.Status != lambdasim.StatusSuccess {
		t.Errorf("the first: %+v", r)
	}
	if err := <-second; !errors.Is(err, lambdasim.ErrClosed) {
		t.Errorf("the second: %v", err)
	}
}

func TestManagedEnvironments(t *testing.T) {
	t.Parallel()
	ext, _ := scripted(t, "ext", managed(nil))
	cfg, _ := managedConfig(ext)
	cfg.MaxConcurrency = 7
	s := start(t, cfg)
	processes := s.Processes()
	extension, function := environment(t, processes[0]), environment(t, processes[1])
	for name, want := range map[string][2]string{
		"AWS_LAMBDA_INITIALIZATION_TYPE":  {"lambda-managed-instances", "lambda-managed-instances"},
		"AWS_LAMBDA_MAX_CONCURRENCY":      {"", "7"},
		"AWS_LAMBDA_LOG_FORMAT":           {"JSON", "JSON"},
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": {"2048", "2048"},
	} {
		if extension[name] != want[0] || function[name] != want[1] {
			t.Errorf("%s is %q for the extension and %q for the function", name, extension[name], function[name])
		}
	}
}

// A worker that went away is given nothing.
func TestManagedWorkerGoesAway(t *testing.T) {
	t.Parallel()
	function, _ := scripted(t, "runtime", script{"runtime": true, "holdMs": 150})
	cfg, _ := managedConfig()
	cfg.Function = function
	s := start(t, cfg)
	conn, err := net.Dial("tcp", s.APIAddress())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	// The first one is given to the worker that waits the longest; meanwhile the
	// other one leaves.
	conn.Close()
	for _, r := range append(invokeAll(t, s, `1`), invokeAll(t, s, `2`, `3`)...) {
		if r.Status != lambdasim.StatusSuccess {
			t.Errorf("result: %+v", r)
		}
	}
}

// What was written before the answer comes before the report.
func TestManagedLinesBeforeTheReport(t *testing.T) {
	t.Parallel()
	cfg, rec := managedConfig()
	s := start(t, cfg)
	for range 5 {
		invoke(t, s, `{"lines":20000}`)
	}
	lines, reports := 0, 0
	for _, e := range rec.all() {
		switch e.Type {
		case "function":
			lines++
		case "platform.report":
			if reports++; lines != 20000*reports {
				t.Errorf("report %d comes after %d lines", reports, lines)
			}
		}
	}
	if reports != 5 {
		t.Errorf("%d reports", reports)
	}
}
