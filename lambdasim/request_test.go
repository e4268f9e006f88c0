package lambdasim_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinetel/kinetel/lambdasim"
)

func invokeRequest(t *testing.T, s *lambdasim.Sandbox, req lambdasim.Request) lambdasim.Result {
	t.Helper()
	result, err := s.InvokeRequest(context.Background(), req)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

var modes = []lambdasim.InitializationType{lambdasim.InitOnDemand, lambdasim.InitManagedInstances}

// The runtime gets in headers what the client has sent, and events have the tenant.
func TestRequestReachesTheRuntime(t *testing.T) {
	t.Parallel()
	for _, initialization := range modes {
		t.Run(string(initialization), func(t *testing.T) {
			t.Parallel()
			function, dump := scripted(t, "runtime", script{"runtime": true})
			cfg, rec := baseConfig()
			cfg.Function, cfg.InitializationType, cfg.DisableTracing = function, initialization, true
			s := start(t, cfg)
			const id = "0a1b2c3d-0000-4000-8000-00000000000f"
			const trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
			r := invokeRequest(t, s, lambdasim.Request{
				Payload: []byte(`"x"`), RequestID: id, Qualifier: "live", ClientContext: `{"custom":{"a":"ü"}}`, TenantID: "blue", Trace: trace,
			})
			if r.RequestID != id || string(r.Payload) != `"x"` {
				t.Errorf("result: %+v: %s", r, r.Payload)
			}
			invoke(t, s, `"y"`)
			var nexts []entry
			for _, call := range entries(t, dump, "call") {
				if strings.HasSuffix(call.Path, "/next") {
					nexts = append(nexts, call)
				}
			}
			for name, want := range map[string]string{
				"Aws-Request-Id": id, "Client-Context": `{"custom":{"a":"ü"}}`, "Aws-Tenant-Id": "blue", "Trace-Id": trace,
				"Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:123456789012:function:function:live",
			} {
				if got := nexts[0].Header.Get("Lambda-Runtime-" + name); got != want {
					t.Errorf("%s of the first invocation is %q, want %q", name, got, want)
				}
				if got := nexts[1].Header.Get("Lambda-Runtime-" + name); name != "Aws-Request-Id" && name != "Invoked-Function-Arn" && got != "" || strings.HasSuffix(got, ":live") {
					t.Errorf("%s of the second invocation is %q", name, got)
				}
			}
			events := rec.all()
			for _, eventType := range []string{"platform.start", "platform.runtimeDone", "platform.report"} {
				list := records(t, events, eventType)
				if eventType == "platform.runtimeDone" && initialization == lambdasim.InitManagedInstances {
					continue
				}
				if list[0]["tenantId"] != "blue" || list[1]["tenantId"] != nil {
					t.Errorf("%s: tenantId is %v and %v", eventType, list[0]["tenantId"], list[1]["tenantId"])
				}
				if tracing, _ := list[0]["tracing"].(map[string]any); tracing["value"] != trace {
					t.Errorf("%s: tracing is %v", eventType, tracing)
				}
			}
		})
	}
}

func TestRequestsThatCannotBePassedOn(t *testing.T) {
	t.Parallel()
	cfg, _ := baseConfig()
	s := start(t, cfg)
	for _, test := range []struct {
		req  lambdasim.Request
		want string
	}{
		{lambdasim.Request{RequestID: "1"}, `RequestID is "1", want a UUID`},
		{lambdasim.Request{ClientContext: "{\n}"}, "ClientContext has a control character"},
		{lambdasim.Request{TenantID: "a\r\nb: c"}, "TenantID has a control character"},
		{lambdasim.Request{Trace: "\x00"}, "Trace has a control character"},
		{lambdasim.Request{Qualifier: "\x7f"}, "Qualifier has a control character"},
	} {
		test.req.OnResponse = func(lambdasim.Response) { t.Error("a response to a request that is refused") }
		if _, err := s.InvokeRequest(context.Background(), test.req); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%+v: error %v, want %q", test.req, err, test.want)
		}
	}
}

// client records what a client gets, in order.
type client struct {
	mu     sync.Mutex
	chunks []string
	got    []lambdasim.Response
	at     time.Time // of the first response
	late   bool      // a chunk came after the response
}

func (c *client) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.chunks = append(c.chunks, string(p))
	c.late = c.late || len(c.got) > 0
	return 0, fmt.Errorf("errors do not matter")
}

func (c *client) respond(r lambdasim.Response) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, r)
	c.at = time.Now()
}

// all returns the chunks and the only response.
func (c *client) all(t *testing.T) ([]string, lambdasim.Response) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.got) != 1 {
		t.Fatalf("%d responses: %+v", len(c.got), c.got)
	}
	if c.late {
		t.Error("a chunk came after the response")
	}
	return c.chunks, c.got[0]
}

// The client does not wait for extensions.
func TestResponseComesBeforeTheEnd(t *testing.T) {
	t.Parallel()
	extension, _ := scripted(t, "slow", script{"holdMs": 400})
	cfg, _ := baseConfig(extension)
	s := start(t, cfg)
	var c client
	r := invokeRequest(t, s, lambdasim.Request{Payload: []byte(`{"id":"x"}`), OnResponse: c.respond})
	_, response := c.all(t)
	if string(response.Payload) != string(r.Payload) || response.FunctionError != "" {
		t.Errorf("response: %s, result: %s", response.Payload, r.Payload)
	}
	if early := r.ExtensionsDone.Sub(c.at); early < 300*time.Millisecond {
		t.Errorf("the response came %v before the extension was done, want 300ms at least", early)
	}
}

func TestStreamReachesTheClient(t *testing.T) {
	t.Parallel()
	message := base64.StdEncoding.EncodeToString([]byte(`{"errorType":"Beans","errorMessage":"out of them"}`))
	runtime := func(s script) lambdasim.Process {
		s["runtime"] = true
		p, _ := scripted(t, "runtime", s)
		return p
	}
	sample := lambdasim.Process{Path: program("function")}
	for name, test := range map[string]struct {
		function  lambdasim.Process
		payload   string
		chunks    string
		parts     int // at least
		errorType string
		details   string
	}{
		"a stream":                    {sample, `{"id":"x","chunks":3,"chunkEvery":"200ms"}`, "x chunk 1\nx chunk 2\nx chunk 3\n", 2, "", ""},
		"a response in one part":      {runtime(script{}), `"x"`, `"x"`, 1, "", ""},
		"an error before a response":  {sample, `{"error":"out of beans"}`, "", 0, "Function.Unknown", "out of beans"},
		"an error in the trailer":     {runtime(script{"mode": "streaming", "chunks": 2, "trailer": "Function.Beans", "trailerBody": message}), `"x"`, `"x""x"`, 1, "Function.Beans", "out of them"},
		"a trailer without a message": {runtime(script{"mode": "streaming", "chunks": 2, "trailer": "Function.Beans"}), `"x"`, `"x""x"`, 1, "Function.Beans", "failed while it streamed"},
		"the end of the process":      {sample, `{"exit":3}`, "", 0, "Runtime.ExitError", "exit status 3"},
		"a time-out in the middle":    {runtime(script{"mode": "streaming", "chunks": 10000, "chunkEveryMs": 20}), `"x"`, `"x""x"`, 1, "Sandbox.Timedout", "timed out after 1.00 seconds"},
	} {
		for _, initialization := range modes {
			t.Run(name+", "+string(initialization), func(t *testing.T) {
				t.Parallel()
				cfg, _ := baseConfig()
				cfg.Function, cfg.InitializationType = test.function, initialization
				if test.errorType == "Sandbox.Timedout" {
					cfg.Timeout = time.Second
				}
				s := start(t, cfg)
				var c client
				r := invokeRequest(t, s, lambdasim.Request{Payload: []byte(test.payload), Stream: &c, OnResponse: c.respond})
				chunks, response := c.all(t)
				got := strings.Join(chunks, "")
				if test.errorType == "Sandbox.Timedout" {
					got = got[:min(len(got), len(test.chunks))]
				}
				if got != test.chunks || len(chunks) < test.parts {
					t.Errorf("chunks %q, want %q in %d parts or more", chunks, test.chunks, test.parts)
				}
				if response.ErrorType != test.errorType || (response.FunctionError != "") != (test.errorType != "") || !strings.Contains(string(response.Payload), test.details) {
					t.Errorf("response: %+v: %s", response, response.Payload)
				}
				if string(r.Payload) != string(response.Payload) || test.errorType == "" && len(r.Payload) > 0 {
					t.Errorf("the result's payload is %s", r.Payload)
				}
			})
		}
	}
}

// producedBytes counts a streamed response, too, and it may be larger than a buffered one,
// although this runtime does not announce that it streams.
func TestLongStream(t *testing.T) {
	t.Parallel()
	payload := `{"id":"` + strings.Repeat("x", 1<<20-9) + `","chunks":8}` // and " chunk 1\n"
	cfg, rec := baseConfig()
	s := start(t, cfg)
	var c client
	invokeRequest(t, s, lambdasim.Request{Payload: []byte(payload), Stream: &c, OnResponse: c.respond})
	chunks, response := c.all(t)
	if n := len(strings.Join(chunks, "")); n != 8<<20 || response.FunctionError != "" {
		t.Errorf("%d bytes, response %+v", n, response)
	}
	metrics := records(t, rec.all(), "platform.runtimeDone")[0]["metrics"].(map[string]any)
	if metrics["producedBytes"] != float64(8<<20) {
		t.Errorf("metrics: %v", metrics)
	}
}
