package lambdasim_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/lambdasim"
)

var initEvents = []string{
	"platform.initStart", "platform.telemetrySubscription", "platform.initRuntimeDone", "platform.extension", "platform.initReport",
}

func TestNormalFlow(t *testing.T) {
	t.Parallel()
	ext, dump := scripted(t, "ext", script{"subscribe": subscribeTo("2025-01-29", `["platform","function"]`), "shutdownDelayMs": 250})
	cfg, rec := baseConfig(ext)
	s := start(t, cfg)
	first := invoke(t, s, `{"id":"a","lines":2}`)
	second := invoke(t, s, `{"id":"b","lines":2,"sleep":"300ms"}`)

	// The report of the first invocation exists now and is delivered in the
	// second; that of the second comes with the shutdown.
	for _, e := range accepted(t, dump) {
		if strings.Contains(string(e), `"platform.report"`) && strings.Contains(string(e), second.RequestID) {
			t.Error("a report was delivered in its own invocation")
		}
	}
	delivered := false
	for _, e := range accepted(t, dump) {
		delivered = delivered || strings.Contains(string(e), `"platform.report"`) && strings.Contains(string(e), first.RequestID)
	}
	if !delivered {
		t.Error("the first report was not delivered in the second invocation")
	}
	report := shutdown(t, s)

	want := append(slices.Clone(initEvents),
		"platform.start", "function", "platform.runtimeDone", "platform.report",
		"platform.start", "function", "platform.runtimeDone", "platform.report")
	if diff := cmp.Diff(want, types(rec.all())); diff != "" {
		t.Error(diff)
	}
	wantDelivered(t, dump, rec.all())

	if !first.ColdStart || first.InitDuration <= 0 || second.ColdStart || second.InitDuration != 0 {
		t.Errorf("cold start: %+v, %+v", first, second)
	}
	if first.Status != lambdasim.StatusSuccess || first.FunctionLines != 2 || string(first.Payload) != `{"id":"a","lines":2,"bytes":32}` {
		t.Errorf("first: %+v: %s", first, first.Payload)
	}
	if second.Duration < 300*time.Millisecond || second.Billed < 300*time.Millisecond || second.ResponseLatency > second.Duration {
		t.Errorf("second: %+v", second)
	}
	reports := records(t, rec.all(), "platform.report")
	if _, cold := reports[0]["metrics"].(map[string]any)["initDurationMs"]; !cold {
		t.Error("the first report has no initDurationMs")
	}
	if _, cold := reports[1]["metrics"].(map[string]any)["initDurationMs"]; cold {
		t.Error("the second report has an initDurationMs")
	}
	for _, e := range rec.all()[len(initEvents):] {
		if e.RequestID != first.RequestID && e.RequestID != second.RequestID {
			t.Errorf("%s has request id %q", e.Type, e.RequestID)
		}
	}
	p, ok := report.Extension("ext")
	if !ok || p.ExitCode != 0 || p.Registered <= 0 || p.Subscribed < p.Registered || p.FirstNext < p.Subscribed || p.FirstNextCPU <= 0 || p.CPU < p.FirstNextCPU || p.MaxRSSKiB == 0 || p.CPU == 0 {
		t.Errorf("report: %+v", p)
	}
	if p.DeliveredEvents != len(rec.all()) || p.UndeliveredEvents != 0 {
		t.Errorf("delivered %d and not %d of %d", p.DeliveredEvents, p.UndeliveredEvents, len(rec.all()))
	}
	for _, post := range entries(t, dump, "post") {
		if post.Path != "/here?x=1" || !strings.HasPrefix(post.Host, "sandbox.localdomain:") || post.Header.Get("Content-Type") != "application/json" {
			t.Errorf("post to %s %s: %v", post.Host, post.Path, post.Header)
		}
	}
	if _, err := s.Invoke(context.Background(), nil); !errors.Is(err, lambdasim.ErrClosed) {
		t.Errorf("invoke after shutdown: %v", err)
	}
	if again := shutdown(t, s); again.Took != report.Took {
		t.Error("a second shutdown reports something else")
	}
}

func TestInvokeEvent(t *testing.T) {
	t.Parallel()
	ext, dump := scripted(t, "ext", script{"feature": "accountId"})
	cfg, _ := baseConfig(ext)
	s := start(t, cfg)
	result := invoke(t, s, ``)
	shutdown(t, s)
	calls := entries(t, dump, "call")
	var register struct{ FunctionName, FunctionVersion, Handler, AccountID string }
	if err := json.Unmarshal(calls[0].Body, &register); err != nil {
		t.Fatal(err)
	}
	if register.FunctionName != "function" || register.FunctionVersion != "$LATEST" || register.Handler != "bootstrap" || register.AccountID != "123456789012" {
		t.Errorf("register: %s", calls[0].Body)
	}
	var event struct {
		EventType, RequestID, InvokedFunctionArn string
		DeadlineMs                               int64
		Tracing                                  struct{ Type, Value string }
	}
	if err := json.Unmarshal(calls[1].Body, &event); err != nil {
		t.Fatal(err)
	}
	if event.EventType != "INVOKE" || event.RequestID != result.RequestID || event.DeadlineMs != result.Deadline.UnixMilli() ||
		event.InvokedFunctionArn != "arn:aws:lambda:eu-west-1:123456789012:function:function" ||
		event.Tracing.Type != "X-Amzn-Trace-Id" || !strings.HasPrefix(event.Tracing.Value, "Root=1-") {
		t.Errorf("event: %s", calls[1].Body)
	}
	if body := string(calls[2].Body); !strings.Contains(body, `"shutdownReason":"spindown"`) || !strings.Contains(body, `"deadlineMs":`) {
		t.Errorf("shutdown event: %s", body)
	}
}

func TestHoldAndOverrun(t *testing.T) {
	t.Parallel()
	ext, _ := scripted(t, "ext", script{"holdMs": 400, "holdOnce": true})
	cfg, rec := baseConfig(ext)
	s := start(t, cfg)
	held := invoke(t, s, `{}`)
	if held.Held < 200*time.Millisecond || held.HeldBy["ext"] != held.Held || held.ResponseLatency > held.Duration {
		t.Errorf("held: %+v", held)
	}
	if free := invoke(t, s, `{}`); free.Held > 200*time.Millisecond {
		t.Errorf("not held: %+v", free)
	}
	spans := records(t, rec.all(), "platform.report")[0]["spans"].([]any)
	if span := spans[0].(map[string]any); span["name"] != "extensionOverhead" || span["durationMs"].(float64) < 200 {
		t.Errorf("spans: %v", spans)
	}

	slow, _ := scripted(t, "slow", script{"holdMs": 60000})
	cfg, rec = baseConfig(slow)
	cfg.Timeout, cfg.ShutdownTimeout = time.Second, 200*time.Millisecond
	s = start(t, cfg)
	over := invoke(t, s, `{"id":"x"}`)
	if over.Status != lambdasim.StatusTimeout || over.ErrorType != "Sandbox.Timedout" || over.FunctionError != "" || !strings.Contains(string(over.Payload), `"x"`) {
		t.Errorf("overrun: %+v", over)
	}
	if done := records(t, rec.all(), "platform.runtimeDone")[0]; done["status"] != "success" {
		t.Errorf("runtimeDone: %v", done)
	}
	if report := records(t, rec.all(), "platform.report")[0]; report["status"] != "timeout" {
		t.Errorf("report: %v", report)
	}
	if p := s.Processes()[0]; !p.KilledAtDeadline || p.Signal != syscall.SIGKILL {
		t.Errorf("process: %+v", p)
	}
}

func TestFunctionEndings(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		payload           string
		status, done      lambdasim.Status
		errorType, reason string
		answer            string
	}{
		"a handled error":  {`{"lines":1,"error":"out of beans"}`, "error", "error", "Function.Unknown", "", "out of beans"},
		"an unknown field": {`{"linse":1}`, "error", "error", "Function.Unknown", "", "linse"},
		"a panic":          {`{"lines":1,"panic":true}`, "failure", "failure", "Runtime.ExitError", "failure", "asked to panic"},
		"an exit":          {`{"lines":1,"exit":3}`, "failure", "failure", "Runtime.ExitError", "failure", "exit status 3"},
		"a time-out":       {`{"lines":1,"hang":true}`, "timeout", "timeout", "Sandbox.Timedout", "timeout", "Task timed out after 1.00 seconds"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			ext, dump := scripted(t, "ext", script{"subscribe": subscribeTo("2025-01-29", `["platform","function"]`), "shutdownDelayMs": 250})
			cfg, rec := baseConfig(ext)
			if test.status == lambdasim.StatusTimeout {
				cfg.Timeout = time.Second
			}
			s := start(t, cfg)
			result := invoke(t, s, test.payload)
			if result.Status != test.status || result.ErrorType != test.errorType || result.FunctionError != "Unhandled" || !strings.Contains(string(result.Payload), test.answer) {
				t.Errorf("result: %+v: %s", result, result.Payload)
			}
			events := rec.all()
			if done := records(t, events, "platform.runtimeDone")[0]; done["status"] != string(test.done) || done["errorType"] != test.errorType {
				t.Errorf("runtimeDone: %v", done)
			}
			if report := records(t, events, "platform.report")[0]; report["status"] != string(test.status) || report["errorType"] != test.errorType {
				t.Errorf("report: %v", report)
			}
			if test.reason == "" {
				return
			}
			if !rec.has(lambdasim.NoticeShutdownSent, test.reason) {
				t.Errorf("no SHUTDOWN with reason %s: %v", test.reason, rec.notices)
			}
			wantDelivered(t, dump, events)
			// The next invocation runs Init itself.
			if next := invoke(t, s, `{"lines":1}`); next.Status != lambdasim.StatusSuccess || !next.SuppressedInit || !next.ColdStart {
				t.Errorf("next: %+v", next)
			}
			second := types(rec.all()[len(events):])
			want := append(slices.Clone(initEvents), "platform.start", "function", "platform.runtimeDone", "platform.report")
			if diff := cmp.Diff(want, second); diff != "" {
				t.Error(diff)
			}
			if init := records(t, rec.all(), "platform.initStart")[1]; init["phase"] != "invoke" {
				t.Errorf("initStart: %v", init)
			}
			if ps := s.Processes(); len(ps) != 4 || ps[3].Generation != 2 || !ps[0].Exited || ps[3].Exited {
				t.Errorf("processes: %+v", ps)
			}
		})
	}
}

func TestKilledProcesses(t *testing.T) {
	t.Parallel()
	cfg, rec := baseConfig(lambdasim.Process{Path: program("bare-extension")})
	s := start(t, cfg)
	kill := func(do func() error) lambdasim.Result {
		results := make(chan lambdasim.Result)
		before := len(rec.all())
		go func() { results <- invoke(t, s, `{"lines":1,"hang":true}`) }()
		rec.await(t, "a line", func() bool {
			return len(rec.events) > before && slices.ContainsFunc(rec.events[before:], func(e lambdasim.Event) bool { return e.Type == "function" })
		})
		if err := do(); err != nil {
			t.Error(err)
		}
		return <-results
	}
	if r := kill(func() error { return s.SignalFunction(os.Kill) }); r.Status != lambdasim.StatusFailure || r.ErrorType != "Runtime.OutOfMemory" {
		t.Errorf("function killed: %+v", r)
	}
	if r := kill(func() error { return s.SignalExtension("bare-extension", os.Kill) }); r.Status != lambdasim.StatusFailure || r.ErrorType != "Extension.Crash" {
		t.Errorf("extension killed: %+v", r)
	}
	if r := kill(func() error { return s.SignalExtension("bare-extension", syscall.SIGTERM) }); r.ErrorType != "Extension.Crash" {
		t.Errorf("extension terminated: %+v", r)
	}
	// One that dies in a frozen environment fails the next invocation.
	invoke(t, s, `{}`)
	if err := s.SignalExtension("bare-extension", os.Kill); err != nil {
		t.Fatal(err)
	}
	pid := s.Processes()
	rec.await(t, "the exit", func() bool {
		return slices.ContainsFunc(rec.notices, func(n lambdasim.Notice) bool {
			return n.Kind == lambdasim.NoticeExit && n.Process == "bare-extension" && n.Time.After(pid[len(pid)-1].ExecAt)
		})
	})
	if r := invoke(t, s, `{}`); r.ErrorType != "Extension.Crash" {
		t.Errorf("extension killed while frozen: %+v", r)
	}
	if err := s.SignalExtension("unknown", os.Kill); err == nil {
		t.Error("a signal to an unknown extension was sent")
	}
}

func TestExtensionEndings(t *testing.T) {
	t.Parallel()
	exitError := []request{{Method: "POST", Path: "/2020-01-01/extension/exit/error", Header: map[string]string{
		"Lambda-Extension-Identifier": "$ID", "Lambda-Extension-Function-Error-Type": "Extension.Own",
	}}}
	for name, test := range map[string]struct {
		script    script
		errorType string
	}{
		"it exits with 0": {script{"exitOnInvoke": 0}, "Extension.Crash"},
		"it exits with 1": {script{"exitOnInvoke": 1}, "Extension.Crash"},
		"exit/error":      {script{"onInvoke": exitError}, "Extension.ExitError"},
	} {
		t.Run(name, func(t *testing.T) {
			ext, _ := scripted(t, "ext", test.script)
			cfg, rec := baseConfig(ext)
			s := start(t, cfg)
			if r := invoke(t, s, `{"hang":true}`); r.ErrorType != test.errorType || r.FunctionError != "Unhandled" {
				t.Errorf("result: %+v", r)
			}
			if !rec.has(lambdasim.NoticeReset, "failure") {
				t.Errorf("no reset")
			}
		})
	}
}

func TestInitFailures(t *testing.T) {
	t.Parallel()
	initError := []request{{Method: "POST", Path: "/2020-01-01/extension/init/error", Header: map[string]string{
		"Lambda-Extension-Identifier": "$ID", "Lambda-Extension-Function-Error-Type": "Extension.ConfigInvalid",
	}}}
	runtimeError := []request{{Method: "POST", Path: "/2018-06-01/runtime/init/error", Body: `{"errorType":"Boom"}`, Header: map[string]string{
		"Lambda-Runtime-Function-Error-Type": "Runtime.Boom",
	}}}
	notExecutable := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(notExecutable, []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	ok := lambdasim.Process{Path: program("bare-extension")}
	make := func(s script) lambdasim.Process { p, _ := scripted(t, "ext", s); return p }
	function := lambdasim.Process{Path: program("function")}
	for name, test := range map[string]struct {
		function, ext lambdasim.Process
		errorType     string
		status        string
	}{
		"the extension exits":             {function, make(script{"exitEarly": 0}), "Extension.Crash", "failure"},
		"the extension reports":           {function, make(script{"afterRegister": initError}), "Extension.InitError", "error"},
		"the extension never calls next":  {function, make(script{"nextDelayMs": 60000}), "Runtime.Unknown", "timeout"},
		"the extension is not executable": {function, lambdasim.Process{Path: notExecutable}, "Extension.LaunchError", "failure"},
		"the runtime exits":               {make(script{"runtime": true, "exitEarly": 7}), ok, "Runtime.ExitError", "failure"},
		"the runtime reports":             {make(script{"runtime": true, "afterRegister": runtimeError}), ok, "Runtime.Boom", "error"},
		"the function is not executable":  {lambdasim.Process{Path: notExecutable}, ok, "Runtime.InvalidEntrypoint", "failure"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, rec := baseConfig(test.ext)
			cfg.Function = test.function
			cfg.ShutdownTimeout = 100 * time.Millisecond
			if test.status == "timeout" {
				cfg.InitTimeout = 300 * time.Millisecond
			}
			_, err := lambdasim.Start(context.Background(), cfg)
			var failed *lambdasim.InitError
			if !errors.As(err, &failed) || failed.Type != test.errorType || failed.Timeout != (test.status == "timeout") {
				t.Fatalf("error: %#v", err)
			}
			if done := records(t, rec.all(), "platform.initRuntimeDone")[0]; done["status"] != test.status || done["errorType"] != test.errorType {
				t.Errorf("initRuntimeDone: %v", done)
			}
			for _, p := range failed.Processes {
				if !p.Exited {
					t.Errorf("still alive: %+v", p)
				}
			}
		})
	}
	t.Run("retried in the invocation", func(t *testing.T) {
		cfg, _ := baseConfig(make(script{"exitEarly": 0}))
		cfg.RetryFailedInit = true
		s := start(t, cfg)
		if r := invoke(t, s, `{}`); r.ErrorType != "Extension.Crash" || !r.SuppressedInit || r.ColdStart {
			t.Errorf("result: %+v", r)
		}
	})
}

func TestShutdownDeadline(t *testing.T) {
	t.Parallel()
	stubborn, _ := scripted(t, "stubborn", script{"ignoreShutdown": true})
	invokeOnly, _ := scripted(t, "invoke-only", script{"events": []string{"INVOKE"}})
	good, _ := scripted(t, "good", script{"exitCode": 5, "shutdownDelayMs": 30})
	cfg, _ := baseConfig(stubborn, invokeOnly, good)
	cfg.ShutdownTimeout = 600 * time.Millisecond
	s := start(t, cfg)
	report := shutdown(t, s)
	if report.Took < 600*time.Millisecond || report.Took > 5*time.Second {
		t.Errorf("took %v", report.Took)
	}
	if p, _ := report.Extension("stubborn"); !p.KilledAtDeadline || p.Signal != syscall.SIGKILL || p.ShutdownTook < 300*time.Millisecond {
		t.Errorf("stubborn: %+v", p)
	}
	if p, _ := report.Extension("invoke-only"); !p.Killed || p.KilledAtDeadline {
		t.Errorf("invoke-only: %+v", p)
	}
	if p, _ := report.Extension("good"); p.Killed || p.ExitCode != 5 || p.ShutdownTook < 30*time.Millisecond {
		t.Errorf("good: %+v", p)
	}
}

// processState is the letter in /proc/<pid>/stat.
func processState(t *testing.T, pid int) string {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return fields[0]
}

func TestFreeze(t *testing.T) {
	t.Parallel()
	for _, disabled := range []bool{false, true} {
		cfg, rec := baseConfig(lambdasim.Process{Path: program("bare-extension")})
		cfg.DisableFreeze = disabled
		s := start(t, cfg)
		check := func() {
			t.Helper()
			for _, p := range s.Processes() {
				if state := processState(t, p.PID); (state == "T") == disabled {
					t.Errorf("freeze disabled: %v, but the state of %s is %s", disabled, p.Name, state)
				}
			}
		}
		check()
		invoke(t, s, `{"id":"x","afterResponse":100000}`)
		check()
		if disabled {
			// The background goes on without an invocation.
			n := len(rec.all())
			rec.await(t, "lines between invocations", func() bool { return len(rec.events) > n })
			continue
		}
		n := len(rec.all())
		invoke(t, s, `{"sleep":"50ms"}`)
		if len(rec.all()) < n+10 {
			t.Error("after the thaw, the background did not go on")
		}
		check()
	}
}

func TestEnvironments(t *testing.T) {
	t.Setenv("LAMBDASIM_HOST_SECRET", "must not be seen")
	cfg, _ := baseConfig(lambdasim.Process{Path: program("bare-extension"), Env: map[string]string{"OWN": "1"}})
	cfg.Env = map[string]string{"STAGE": "test", "AWS_SESSION_TOKEN": "mine", "_UNDER": "x"}
	cfg.TmpDir = t.TempDir()
	s := start(t, cfg)
	common := []string{
		"AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME",
		"AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE", "AWS_LAMBDA_RUNTIME_API", "AWS_REGION",
		"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "LANG", "LD_LIBRARY_PATH", "PATH", "STAGE", "TMPDIR", "TZ",
	}
	only := []string{
		"AWS_EXECUTION_ENV", "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_XRAY_CONTEXT_MISSING",
		"AWS_XRAY_DAEMON_ADDRESS", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT", "_AWS_XRAY_DAEMON_ADDRESS",
		"_AWS_XRAY_DAEMON_PORT", "_HANDLER", "_UNDER",
	}
	processes := s.Processes()
	extension, function := environment(t, processes[0]), environment(t, processes[1])
	if diff := cmp.Diff(slices.Sorted(slices.Values(append(slices.Clone(common), "OWN"))), sortedKeys(extension)); diff != "" {
		t.Errorf("extension: %s", diff)
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(append(slices.Clone(common), only...))), sortedKeys(function)); diff != "" {
		t.Errorf("function: %s", diff)
	}
	if function["AWS_LAMBDA_LOG_STREAM_NAME"] != s.InstanceID() || function["AWS_SESSION_TOKEN"] != "mine" || function["AWS_LAMBDA_RUNTIME_API"] != s.APIAddress() {
		t.Errorf("function: %v", function)
	}
	cmdline, err := os.ReadFile("/proc/" + strconv.Itoa(processes[0].PID) + "/cmdline")
	if err != nil || string(cmdline) != program("bare-extension")+"\x00" {
		t.Errorf("arguments: %q, %v", cmdline, err)
	}
}

// environment reads a process's environment.
func environment(t *testing.T, p lambdasim.ProcessReport) map[string]string {
	t.Helper()
	data, err := os.ReadFile("/proc/" + strconv.Itoa(p.PID) + "/environ")
	if err != nil {
		t.Fatal(err)
	}
	env := make(map[string]string)
	for variable := range strings.SplitSeq(strings.TrimSuffix(string(data), "\x00"), "\x00") {
		key, value, _ := strings.Cut(variable, "=")
		env[key] = value
	}
	return env
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func TestConfigProblems(t *testing.T) {
	t.Parallel()
	_, err := lambdasim.Start(context.Background(), lambdasim.Config{
		Extensions: []lambdasim.Process{{Path: "/nowhere/ext"}, {Path: program("function"), Args: []string{"x"}}, {Path: program("function")}},
		LogFormat:  "yaml", MemoryMB: 1, Timeout: -1, AcceptSchemas: []string{"1999"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"Function: no Path", "Extensions[0]", "no arguments", "second extension", "LogFormat", "MemoryMB", "Timeout", "1999"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func TestInvokeCancelled(t *testing.T) {
	t.Parallel()
	cfg, rec := baseConfig(lambdasim.Process{Path: program("bare-extension")})
	s := start(t, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	results := make(chan error)
	go func() {
		_, err := s.Invoke(ctx, []byte(`{"lines":1,"hang":true}`))
		results <- err
	}()
	rec.await(t, "a line", func() bool {
		return slices.ContainsFunc(rec.events, func(e lambdasim.Event) bool { return e.Type == "function" })
	})
	// Another caller that stops waiting changes nothing.
	short, stop := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer stop()
	if _, err := s.Invoke(short, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("second: %v", err)
	}
	cancel()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("first: %v", err)
	}
	if r := invoke(t, s, `{}`); r.Status != lambdasim.StatusSuccess || !r.SuppressedInit {
		t.Errorf("after it: %+v", r)
	}
}

func TestTheLastOutputOfAProcessIsDelivered(t *testing.T) {
	t.Parallel()
	cfg, rec := baseConfig(lambdasim.Process{Path: program("bare-extension")})
	s := start(t, cfg)
	invoke(t, s, `{"id":"x","noNewline":true,"exit":1}`)
	if diff := cmp.Diff([]string{"platform.start", "function", "platform.runtimeDone", "platform.report"}, types(rec.all()[len(initEvents):])); diff != "" {
		t.Error(diff)
	}
}

func TestConcurrentNext(t *testing.T) {
	t.Parallel()
	ext, dump := scripted(t, "ext", script{"doubleNext": true})
	cfg, rec := baseConfig(ext)
	s := start(t, cfg)
	if !rec.has(lambdasim.NoticeRefused, "Extension.InvalidExtensionState") {
		// The second next may come when Init is over: it is received in the
		// invocation then.
		invoke(t, s, `{"sleep":"50ms"}`)
	}
	shutdown(t, s)
	if calls := entries(t, dump, "call"); calls[1].Status != 403 || !strings.Contains(string(calls[1].Body), "Extension.InvalidExtensionState") {
		t.Errorf("the second next is answered with %d %s", calls[1].Status, calls[1].Body)
	}
}

func TestRuntimeIgnoresTerm(t *testing.T) {
	t.Parallel()
	ext, dump := scripted(t, "ext", script{})
	function, _ := scripted(t, "runtime", script{"runtime": true, "ignoreTerm": true})
	cfg, _ := baseConfig(ext)
	cfg.Function = function
	cfg.ShutdownTimeout = 2 * time.Second
	s := start(t, cfg)
	before := time.Now()
	report := shutdown(t, s)
	if p := report.Processes[1]; !p.KilledAtDeadline || p.Signal != syscall.SIGKILL || p.ShutdownTook < 280*time.Millisecond {
		t.Errorf("runtime: %+v", p)
	}
	calls := entries(t, dump, "call")
	var event struct{ DeadlineMs int64 }
	if err := json.Unmarshal(calls[len(calls)-1].Body, &event); err != nil {
		t.Fatal(err)
	}
	// The deadline counts from the start of the phase: the runtime's part is
	// gone when the extension receives the event.
	if left := time.UnixMilli(event.DeadlineMs).Sub(before); left < 1900*time.Millisecond || left > 2500*time.Millisecond {
		t.Errorf("the deadline is %v after the start", left)
	}
}

// A process that was killed may have left a request behind, which is none of its
// successor's.
func TestARequestOfAnExitedProcessIsNotAssignedToTheNext(t *testing.T) {
	t.Parallel()
	ext, _ := scripted(t, "ext", script{})
	cfg, _ := baseConfig(ext)
	s := start(t, cfg)
	conn, err := net.Dial("tcp", s.APIAddress())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	register := "POST /2020-01-01/extension/register HTTP/1.1\r\nHost: sandbox\r\nLambda-Extension-Name: stranger\r\nContent-Length: 2\r\n\r\n{"
	if _, err := io.WriteString(conn, register[:20]); err != nil {
		t.Fatal(err)
	}
	invoke(t, s, `{"exit":1}`)
	invoke(t, s, `{}`)
	if _, err := io.WriteString(conn, register[20:]+"}"); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 503" {
		t.Errorf("answered %q, %v", answer, err)
	}
}
