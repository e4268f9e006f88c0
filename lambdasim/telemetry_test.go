package lambdasim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/lambdasim"
)

// both subscribes to platform and function events, and stays for the last ones.
func both(more script) script {
	s := script{"subscribe": subscribeTo("2025-01-29", `["platform","function"]`), "shutdownDelayMs": 250}
	for key, value := range more {
		s[key] = value
	}
	return s
}

func TestManyLines(t *testing.T) {
	t.Parallel()
	ext, dump := scripted(t, "ext", both(nil))
	cfg, rec := baseConfig(ext)
	cfg.ShutdownTimeout = 10 * time.Second
	s := start(t, cfg)
	lines := 100_000
	if testing.Short() {
		lines = 20_000
	}
	began := time.Now()
	result := invoke(t, s, fmt.Sprintf(`{"id":"many","lines":%d,"bytes":120}`, lines))
	t.Logf("%d lines took %v", lines, time.Since(began))
	if result.FunctionLines != lines || result.FunctionBytes != int64(lines)*120 {
		t.Errorf("result: %+v", result)
	}
	shutdown(t, s)
	wantDelivered(t, dump, rec.all())
	number := 0
	done := false
	for _, e := range rec.all() {
		switch e.Type {
		case "platform.runtimeDone":
			done = true
		case "function":
			number++
			if want := fmt.Sprintf(`"many line %d `, number); done || !bytes.HasPrefix(e.Record, []byte(want)) {
				t.Fatalf("line %d, after runtimeDone: %v: %s", number, done, e.Record)
			}
		}
	}
}

func TestRedelivery(t *testing.T) {
	t.Parallel()
	ext, dump := scripted(t, "ext", both(script{"refuse": 3}))
	cfg, rec := baseConfig(ext)
	s := start(t, cfg)
	invoke(t, s, `{"lines":5,"sleep":"400ms"}`)
	invoke(t, s, `{"lines":5}`)
	report := shutdown(t, s)
	wantDelivered(t, dump, rec.all())
	posts := entries(t, dump, "post")
	for i := range 3 {
		if posts[i].Status != http.StatusInternalServerError || !bytes.Equal(posts[i].Body, posts[i+1].Body) {
			t.Errorf("post %d was not refused and sent again", i)
		}
	}
	if p, _ := report.Extension("ext"); p.FailedPosts != 3 || !rec.has(lambdasim.NoticeDeliveryError, "500") {
		t.Errorf("report: %+v", p)
	}
}

func TestLogsDropped(t *testing.T) {
	t.Parallel()
	ext, dump := scripted(t, "slow", both(script{"postDelayMs": 20}))
	cfg, rec := baseConfig(ext)
	cfg.TelemetryBacklogBytes = 512 << 10
	s := start(t, cfg)
	result := invoke(t, s, `{"lines":20000,"bytes":200,"sleep":"300ms"}`)
	invoke(t, s, `{"lines":1}`)
	shutdown(t, s)
	var kept []lambdasim.Event
	dropped := 0
	for _, e := range rec.all() {
		if len(e.DroppedFor) > 0 {
			dropped++
			if e.Type != "function" || e.DroppedFor[0] != "slow" {
				t.Errorf("dropped: %+v", e)
			}
			continue
		}
		kept = append(kept, e)
	}
	wantDelivered(t, dump, kept)
	reported := 0
	for _, record := range records(t, rec.all(), "platform.logsDropped") {
		reported += int(record["droppedRecords"].(float64))
		if record["droppedBytes"].(float64) < 200*record["droppedRecords"].(float64) || record["reason"] == "" {
			t.Errorf("logsDropped: %v", record)
		}
	}
	if dropped == 0 || reported != dropped || result.FunctionLines != 20000 {
		t.Errorf("%d were dropped, %d were reported", dropped, reported)
	}
}

// stitch joins what was cut, as a consumer of AWS Lambda's telemetry must.
func stitch(t *testing.T, bodies [][]byte) (events []json.RawMessage, cuts int) {
	t.Helper()
	var open []byte // the first body of a cut record, without its forged end
	for _, body := range bodies {
		if open != nil {
			at := bytes.LastIndex(open, []byte(`{"time":`))
			envelope := open[at : at+bytes.Index(open[at:], []byte(`"record":`))+len(`"record":`)]
			if !bytes.HasPrefix(body, append([]byte("["), envelope...)) {
				t.Fatalf("a body does not continue with %s: %.200s", envelope, body)
			}
			body = append(open, body[1+len(envelope):]...)
			open = nil
		}
		var batch []json.RawMessage
		if err := json.Unmarshal(body, &batch); err != nil {
			cuts++
			if !bytes.HasSuffix(body, []byte("}]")) {
				t.Fatalf("a cut body does not end with }]: %v", err)
			}
			open = bytes.Clone(bytes.TrimSuffix(body, []byte("}]")))
			continue
		}
		events = append(events, batch...)
	}
	if open != nil {
		t.Fatal("the last body is cut")
	}
	return events, cuts
}

func TestCutRecords(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		bytes, cuts int
	}{
		"a record that fits":    {200_000, 0},
		"two posts":             {300_000, 1},
		"three posts":           {600_000, 2},
		"a line of 3 MB":        {3_000_000, 11},
		"a line of 40,000 long": {40_000, 0},
	} {
		t.Run(name, func(t *testing.T) {
			ext, dump := scripted(t, "ext", both(nil))
			cfg, rec := baseConfig(ext)
			s := start(t, cfg)
			invoke(t, s, fmt.Sprintf(`{"id":"big \" \\ ü","lines":1,"bytes":%d,"multiline":true}`, test.bytes))
			shutdown(t, s)
			var bodies [][]byte
			for _, post := range entries(t, dump, "post") {
				bodies = append(bodies, post.Body)
				if len(post.Body) > 262144 {
					t.Errorf("a body of %d bytes", len(post.Body))
				}
			}
			events, cuts := stitch(t, bodies)
			if cuts != test.cuts {
				t.Errorf("%d cuts, want %d", cuts, test.cuts)
			}
			for i, e := range rec.all() {
				if !bytes.Equal(events[i], e.Raw) {
					t.Fatalf("event %d differs: %.200s", i, events[i])
				}
			}
		})
	}
}

func TestLogFormatAndSchemas(t *testing.T) {
	t.Parallel()
	payload := `{"id":"<x>","lines":2,"format":"mixed"}`
	text, object := `"<x> line 1 hello "`, `{"level":"INFO","id":"<x>","line":2,"message":"hello "}`
	quoted := `"{\"level\":\"INFO\",\"id\":\"<x>\",\"line\":2,\"message\":\"hello \"}"`
	wrapped := `{"timestamp":"TIME","level":"INFO","requestId":"ID","message":"<x> line 1 hello "}`
	for _, test := range []struct {
		format lambdasim.LogFormat
		schema string
		want   []string
		named  bool // initStart names the function
		status bool // initReport has a status
	}{
		{lambdasim.LogText, "2025-01-29", []string{text, quoted}, true, true},
		{lambdasim.LogJSON, "2025-01-29", []string{wrapped, object}, true, true},
		{lambdasim.LogJSON, "2022-12-13", []string{wrapped, object}, true, false},
		{lambdasim.LogJSON, "2022-07-01", []string{text, quoted}, false, false},
	} {
		t.Run(string(test.format)+" "+test.schema, func(t *testing.T) {
			ext, dump := scripted(t, "ext", both(script{"subscribe": subscribeTo(test.schema, `["platform","function"]`)}))
			cfg, _ := baseConfig(ext)
			cfg.LogFormat = test.format
			s := start(t, cfg)
			result := invoke(t, s, payload)
			shutdown(t, s)
			var got []string
			for _, raw := range accepted(t, dump) {
				var e struct {
					Time, Type string
					Record     json.RawMessage
				}
				if err := json.Unmarshal(raw, &e); err != nil {
					t.Fatal(err)
				}
				record := string(e.Record)
				switch e.Type {
				case "function":
					record = strings.ReplaceAll(strings.ReplaceAll(record, e.Time, "TIME"), result.RequestID, "ID")
					got = append(got, record)
				case "platform.initStart":
					if strings.Contains(record, "functionName") != test.named {
						t.Error(record)
					}
				case "platform.initReport":
					if strings.Contains(record, "status") != test.status {
						t.Error(record)
					}
				}
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUnusualLines(t *testing.T) {
	t.Parallel()
	for _, replace := range []bool{false, true} {
		cfg, rec := baseConfig(lambdasim.Process{Path: program("bare-extension")})
		cfg.ReplaceInvalidUTF8 = replace
		s := start(t, cfg)
		first := invoke(t, s, `{"id":"x","multiline":true,"invalidUTF8":true,"noNewline":true,"stderr":true}`)
		second := invoke(t, s, `{"id":"y","lines":1,"stderr":true}`)
		shutdown(t, s)
		var got []string
		for _, e := range rec.all() {
			if e.Type == "function" {
				got = append(got, string(e.Record))
			}
		}
		invalid := "\"x invalid \xff\xfe\xc3( end\""
		if replace {
			invalid = "\"x invalid \ufffd\ufffd\ufffd( end\""
		}
		want := []string{
			`"x trace: something failed"`, `"\tat first (main.go:1)"`, `"\tat second (main.go:2)"`, invalid,
			`"x no newliney line 1 hello "`, // it waits for a newline
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if first.FunctionLines != 4 || second.FunctionLines != 1 {
			t.Errorf("%d and %d lines", first.FunctionLines, second.FunctionLines)
		}
	}
}

func TestLateLines(t *testing.T) {
	t.Parallel()
	cfg, rec := baseConfig(lambdasim.Process{Path: program("bare-extension")})
	cfg.LateLines = 2
	s := start(t, cfg)
	invoke(t, s, `{"lines":5}`)
	if diff := cmp.Diff([]string{"platform.start", "function", "platform.runtimeDone", "function", "platform.report"}, types(rec.all()[5:])); diff != "" {
		t.Error(diff)
	}

	cfg, rec = baseConfig(lambdasim.Process{Path: program("bare-extension")})
	cfg.LateLines, cfg.LateBy = 2, time.Hour
	s = start(t, cfg)
	first := invoke(t, s, `{"lines":5}`)
	invoke(t, s, `{"lines":0}`)
	if diff := cmp.Diff([]string{
		"platform.start", "function", "platform.runtimeDone", "platform.report", "function",
		"platform.start", "platform.runtimeDone", "platform.report",
	}, types(rec.all()[5:])); diff != "" {
		t.Error(diff)
	}
	for _, e := range rec.all() {
		if e.Type == "function" && e.RequestID != first.RequestID {
			t.Errorf("a late line has the wrong request: %+v", e)
		}
	}
}

func TestExtensionStream(t *testing.T) {
	t.Parallel()
	ext, dump := scripted(t, "ext", both(script{"subscribe": subscribeTo("2022-12-13", `["extension"]`), "print": "hello from the extension"}))
	var out bytes.Buffer
	cfg, _ := baseConfig(ext)
	cfg.Stdout = &out
	s := start(t, cfg)
	invoke(t, s, `{"lines":1,"id":"x","sleep":"20ms"}`)
	shutdown(t, s)
	events := accepted(t, dump)
	if len(events) != 1 || !strings.Contains(string(events[0]), `"type":"extension","record":"hello from the extension"`) {
		t.Errorf("events: %s", events)
	}
	if lines := out.String(); !strings.Contains(lines, "hello from the extension\n") || !strings.Contains(lines, "x line 1 hello \n") {
		t.Errorf("stdout: %s", lines)
	}
}

func TestTCP(t *testing.T) {
	t.Parallel()
	ext, dump := scripted(t, "ext", both(script{
		"tcp":       true,
		"subscribe": `{"schemaVersion":"2025-01-29","types":["platform","function"],"buffering":{"timeoutMs":25},"destination":{"protocol":"TCP","port":$PORT}}`,
	}))
	cfg, rec := baseConfig(ext)
	s := start(t, cfg)
	invoke(t, s, `{"lines":100}`)
	shutdown(t, s)
	var got, want []string
	for _, e := range entries(t, dump, "tcp") {
		got = append(got, strings.TrimSuffix(string(e.Body), "\n"))
	}
	for _, e := range rec.all() {
		want = append(want, string(e.Raw))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDeliverHook(t *testing.T) {
	t.Parallel()
	ext, dump := scripted(t, "ext", both(nil))
	cfg, rec := baseConfig(ext)
	cfg.RewritePost = func(name string, body []byte) [][]byte {
		return [][]byte{[]byte("not JSON for " + name), bytes.Clone(body), body}
	}
	s := start(t, cfg)
	invoke(t, s, `{}`)
	shutdown(t, s)
	posts := entries(t, dump, "post")
	events := 0
	for i := 0; i+2 < len(posts); i += 3 {
		if string(posts[i].Body) != "not JSON for ext" || !bytes.Equal(posts[i+1].Body, posts[i+2].Body) {
			t.Errorf("posts: %s", posts[i].Body)
		}
		var batch []json.RawMessage
		if err := json.Unmarshal(posts[i+1].Body, &batch); err != nil {
			t.Error(err)
		}
		events += len(batch)
	}
	if len(posts)%3 != 0 || events != len(rec.all()) {
		t.Errorf("%d posts, %d events", len(posts), events)
	}
}

func TestTelemetryUnsupported(t *testing.T) {
	t.Parallel()
	for support, want := range map[lambdasim.TelemetrySupport]struct {
		status int
		body   string
	}{
		lambdasim.TelemetryNotSupported202: {202, "Telemetry.NotSupported"},
		lambdasim.TelemetryNotFound404:     {404, "404"},
	} {
		ext, dump := scripted(t, "ext", both(nil))
		cfg, rec := baseConfig(ext)
		cfg.Telemetry = support
		s := start(t, cfg)
		if r := invoke(t, s, `{"lines":1}`); r.Status != lambdasim.StatusSuccess {
			t.Errorf("%+v", r)
		}
		shutdown(t, s)
		if put := entries(t, dump, "call")[1]; put.Status != want.status || !strings.Contains(string(put.Body), want.body) {
			t.Errorf("answer: %d %s", put.Status, put.Body)
		}
		if posts := entries(t, dump, "post"); len(posts) > 0 || slices.Contains(types(rec.all()), "platform.telemetrySubscription") {
			t.Errorf("%d posts", len(posts))
		}
	}
}

// failure is an answer of an API that a test wants.
type failure struct {
	name      string
	request   request
	status    int
	errorType string
}

func checkFailures(t *testing.T, calls []entry, want []failure) {
	t.Helper()
	if len(calls) != len(want) {
		t.Fatalf("%d calls, want %d", len(calls), len(want))
	}
	for i, w := range want {
		var body struct{ ErrorType, ErrorMessage string }
		if calls[i].Status >= 400 && calls[i].Status != 404 {
			if err := json.Unmarshal(calls[i].Body, &body); err != nil || body.ErrorMessage == "" {
				t.Errorf("%s: the body is %s", w.name, calls[i].Body)
			}
		}
		if calls[i].Status != w.status || body.ErrorType != w.errorType {
			t.Errorf("%s: answered %d %s", w.name, calls[i].Status, calls[i].Body)
		}
	}
}

func requests(list []failure) []request {
	var all []request
	for _, f := range list {
		all = append(all, f.request)
	}
	return all
}

func TestExtensionsAPIErrors(t *testing.T) {
	t.Parallel()
	post := func(path, name, body string) request {
		return request{Method: "POST", Path: "/2020-01-01/extension/" + path, Body: body, Header: map[string]string{"Lambda-Extension-Name": name}}
	}
	identified := func(method, path, id string, more ...string) request {
		header := map[string]string{"Lambda-Extension-Identifier": id}
		for i := 0; i < len(more); i += 2 {
			header[more[i]] = more[i+1]
		}
		return request{Method: method, Path: path, Header: header}
	}
	const next, exit, initPath = "/2020-01-01/extension/event/next", "/2020-01-01/extension/exit/error", "/2020-01-01/extension/init/error"
	before := []failure{
		{"no name", post("register", "", `{}`), 403, "Extension.InvalidExtensionName"},
		{"an unknown event", post("register", "ext", `{"events":["SLEEP"]}`), 403, "Extension.InvalidEventType"},
		{"SHUTDOWN for another name", post("register", "extt", `{"events":["SHUTDOWN"]}`), 403, "Extension.InvalidEventType"},
		{"no JSON", post("register", "ext", `events`), 403, "InvalidRequestFormat"},
		{"old keys", post("register", "ext", `{"configurationKeys":["a"]}`), 403, "InvalidRequestFormat"},
		{"a trailing slash", post("register/", "ext", `{}`), 404, ""},
		{"another method", request{Method: "GET", Path: "/2020-01-01/extension/register"}, 404, ""},
		{"no id", request{Method: "GET", Path: next}, 403, "Extension.MissingExtensionIdentifier"},
		{"a malformed id", identified("GET", next, "me"), 403, "Extension.InvalidExtensionIdentifier"},
		{"an unknown id", identified("GET", next, "00000000-0000-4000-8000-000000000000"), 403, "Extension.UnknownExtensionIdentifier"},
	}
	after := []failure{
		{"a second register", post("register", "ext", `{"events":[]}`), 403, "Extension.InvalidExtensionState"},
		{"init/error without a type", identified("POST", initPath, "$ID"), 403, "Extension.MissingHeader"},
	}
	invoked := []failure{
		{"registration is closed", post("register", "late", `{"events":["INVOKE"]}`), 403, "Extension.RegistrationClosed"},
		{"init/error after next", identified("POST", initPath, "$ID", "Lambda-Extension-Function-Error-Type", "Extension.X"), 403, "Extension.InvalidExtensionState"},
		{"subscription is closed", request{
			Method: "PUT", Path: "/2022-07-01/telemetry", Body: subscribeTo("2022-12-13", `["platform"]`),
			Header: map[string]string{"Lambda-Extension-Identifier": "$ID"},
		}, 403, "Telemetry.SubscriptionClosed"},
		{"exit/error", identified("POST", exit, "$ID", "Lambda-Extension-Function-Error-Type", "Extension.X"), 202, ""},
		{"next after exit/error", identified("GET", next, "$ID"), 403, "Extension.InvalidExtensionState"},
	}
	ext, dump := scripted(t, "ext", script{
		"beforeRegister": requests(before), "afterRegister": requests(after), "onInvoke": requests(invoked),
	})
	cfg, _ := baseConfig(ext)
	cfg.ShutdownTimeout = 200 * time.Millisecond
	s := start(t, cfg)
	if r := invoke(t, s, `{"hang":true}`); r.ErrorType != "Extension.ExitError" {
		t.Errorf("result: %+v", r)
	}
	shutdown(t, s)
	calls := entries(t, dump, "call")
	checkFailures(t, calls[:len(before)], before)
	if register := calls[len(before)]; register.Status != 200 || strings.Contains(string(register.Body), "accountId") {
		t.Errorf("register is answered with %s", register.Body)
	}
	// In between: register, next.
	checkFailures(t, calls[len(before)+1:len(before)+1+len(after)], after)
	rest := calls[len(before)+len(after)+2:]
	// The reset may end the process before its last call was noted.
	checkFailures(t, rest[:min(len(rest), len(invoked))], invoked[:min(len(rest), len(invoked))])
	if len(rest) < 4 {
		t.Errorf("only %d calls in the invocation", len(rest))
	}
}

func TestInternalExtension(t *testing.T) {
	t.Parallel()
	// The runtime registers an internal extension, which never calls next:
	// Init waits for it.
	register := request{Method: "POST", Path: "/2020-01-01/extension/register", Body: `{"events":["INVOKE"]}`, Header: map[string]string{"Lambda-Extension-Name": "inside"}}
	function, _ := scripted(t, "runtime", script{"runtime": true, "afterRegister": []request{register}})
	cfg, rec := baseConfig()
	cfg.Function = function
	cfg.InitTimeout = time.Second
	if _, err := lambdasim.Start(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "timed out") {
		t.Errorf("error: %v", err)
	}
	if state := records(t, rec.all(), "platform.extension")[0]; state["name"] != "inside" || state["state"] != "Registered" {
		t.Errorf("extension: %v", state)
	}
}

func TestRuntimeAPIErrors(t *testing.T) {
	t.Parallel()
	const base = "/2018-06-01/runtime/invocation/"
	onInvoke := []failure{
		{"next before the response", request{Method: "GET", Path: base + "next"}, 403, "InvalidStateTransition"},
		{"another request's response", request{Method: "POST", Path: base + "nonsense/response"}, 400, "InvalidRequestID"},
		{"init/error after Init", request{Method: "POST", Path: "/2018-06-01/runtime/init/error"}, 403, "InvalidStateTransition"},
		{"the response", request{Method: "POST", Path: base + "$REQUEST/response", Body: "first"}, 202, ""},
		{"a second response", request{Method: "POST", Path: base + "$REQUEST/error"}, 403, "InvalidStateTransition"},
	}
	function, dump := scripted(t, "runtime", script{"runtime": true, "onInvoke": requests(onInvoke)})
	cfg, _ := baseConfig()
	cfg.Function = function
	s := start(t, cfg)
	if r := invoke(t, s, `{}`); r.Status != lambdasim.StatusSuccess || string(r.Payload) != "first" || r.Held != 0 {
		t.Errorf("result: %+v", r)
	}
	if report := shutdown(t, s); report.Took > time.Second || report.Processes[0].Signal == nil {
		t.Errorf("without extensions the runtime is killed at once: %+v", report)
	}
	calls := entries(t, dump, "call")
	checkFailures(t, calls[1:1+len(onInvoke)], onInvoke)
}

func TestSubscriptionErrors(t *testing.T) {
	t.Parallel()
	put := func(body string) request {
		return request{Method: "PUT", Path: "/2022-07-01/telemetry", Body: body, Header: map[string]string{"Lambda-Extension-Identifier": "$ID"}}
	}
	valid := subscribeTo("2022-12-13", `["platform"]`)
	with := func(old, new string) request {
		if !strings.Contains(valid, old) {
			t.Fatalf("%s is not in %s", old, valid)
		}
		return put(strings.Replace(valid, old, new, 1))
	}
	const invalid = "ValidationError"
	list := []failure{
		{"no JSON", put(`{`), 400, invalid},
		{"an unknown schema", with("2022-12-13", "2023-01-01"), 400, invalid},
		{"a schema that is not accepted", with("2022-12-13", "2025-01-29"), 400, invalid},
		{"no types", with(`["platform"]`, `[]`), 400, invalid},
		{"an unknown type", with(`["platform"]`, `["logs"]`), 400, invalid},
		{"few items", with(`"maxItems":1000`, `"maxItems":999`), 400, invalid},
		{"many items", with(`"maxItems":1000`, `"maxItems":10001`), 400, invalid},
		{"few bytes", with(`262144`, `262143`), 400, invalid},
		{"many bytes", with(`262144`, `1048577`), 400, invalid},
		{"a short time", with(`"timeoutMs":25`, `"timeoutMs":24`), 400, invalid},
		{"a long time", with(`"timeoutMs":25`, `"timeoutMs":30001`), 400, invalid},
		{"a protocol in lower case", with(`"HTTP"`, `"http"`), 400, invalid},
		{"localhost", with(`sandbox.localdomain`, `localhost`), 400, invalid},
		{"no port", with(`:$PORT`, ``), 400, invalid},
		{"https", with(`http:`, `https:`), 400, invalid},
		{"TCP without a port", with(`"protocol":"HTTP"`, `"protocol":"TCP"`), 400, invalid},
		{"no id", request{Method: "PUT", Path: "/2022-07-01/telemetry", Body: valid}, 403, "Extension.MissingExtensionIdentifier"},
		{"a trailing slash", request{Method: "PUT", Path: "/2022-07-01/telemetry/"}, 404, ""},
		{"the short host", with("sandbox.localdomain", "sandbox"), 200, ""},
		{"a second subscription", put(valid), 500, "Telemetry.AlreadySubscribed"},
	}
	ext, dump := scripted(t, "ext", script{"afterRegister": requests(list)})
	cfg, _ := baseConfig(ext)
	cfg.AcceptSchemas = []string{lambdasim.Schema20221213}
	s := start(t, cfg)
	shutdown(t, s)
	calls := entries(t, dump, "call")
	checkFailures(t, calls[1:1+len(list)], list)
	if ok := calls[len(list)-1]; string(ok.Body) != `"OK"` {
		t.Errorf("a subscription is answered with %s", ok.Body)
	}
}

func TestNothingIsDeliveredWhileFrozen(t *testing.T) {
	t.Parallel()
	ext, _ := scripted(t, "ext", both(nil))
	cfg, rec := baseConfig(ext)
	s := start(t, cfg)
	for range 20 {
		invoke(t, s, `{"lines":3}`)
	}
	shutdown(t, s)
	frozen := false
	for _, n := range rec.notices {
		switch n.Kind {
		case lambdasim.NoticeFreeze:
			frozen = true
		case lambdasim.NoticeThaw:
			frozen = false
		case lambdasim.NoticeDelivered:
			if frozen {
				t.Errorf("delivered while frozen: %v", n)
			}
		}
	}
}

func TestDeliveryTimeout(t *testing.T) {
	t.Parallel()
	ext, dump := scripted(t, "ext", script{
		"subscribe": subscribeTo("2025-01-29", `["platform"]`), "postDelayMs": 300,
	})
	cfg, rec := baseConfig(ext)
	cfg.DeliveryTimeout, cfg.ShutdownTimeout = 100*time.Millisecond, 300*time.Millisecond
	s := start(t, cfg)
	invoke(t, s, `{"sleep":"900ms"}`)
	shutdown(t, s)
	posts := entries(t, dump, "post")
	if len(posts) < 2 || !bytes.Equal(posts[0].Body, posts[1].Body) || !rec.has(lambdasim.NoticeDeliveryError, "ext") {
		t.Errorf("%d posts; the first was not sent again", len(posts))
	}
}
