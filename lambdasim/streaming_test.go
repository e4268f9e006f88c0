package lambdasim_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/kinetel/kinetel/lambdasim"
)

// spans returns a record's spans by their names, in milliseconds.
func spans(record map[string]any) map[string]float64 {
	byName := map[string]float64{}
	list, _ := record["spans"].([]any)
	for _, item := range list {
		span := item.(map[string]any)
		byName[span["name"].(string)] = span["durationMs"].(float64)
	}
	return byName
}

func TestStreamedResponse(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		function lambdasim.Process
		payload  string
		want     string
		first    time.Duration // the least that the first byte takes
	}{
		"by the sample function": {
			lambdasim.Process{Path: program("function")}, `{"id":"x","chunks":4,"chunkEvery":"100ms"}`, "x chunk 1\nx chunk 2\nx chunk 3\nx chunk 4\n", 0,
		},
		"by a runtime that announces it": {
			func() lambdasim.Process {
				p, _ := scripted(t, "runtime", script{"runtime": true, "mode": "streaming", "chunks": 4, "chunkEveryMs": 300})
				return p
			}(), `"part"`, `"part""part""part""part"`, 290 * time.Millisecond, // the headers come after 200 ms
		},
	} {
		for _, initialization := range []lambdasim.InitializationType{lambdasim.InitOnDemand, lambdasim.InitManagedInstances} {
			t.Run(name+", "+string(initialization), func(t *testing.T) {
				t.Parallel()
				cfg, rec := baseConfig()
				cfg.Function, cfg.InitializationType = test.function, initialization
				s := start(t, cfg)
				r := invoke(t, s, test.payload)
				if r.Status != lambdasim.StatusSuccess || string(r.Payload) != test.want {
					t.Errorf("result: %+v: %s", r, r.Payload)
				}
				if r.FirstByte <= test.first || r.ResponseLatency-r.FirstByte < 250*time.Millisecond {
					t.Errorf("the first byte came after %v, the last after %v", r.FirstByte, r.ResponseLatency)
				}
				which := "platform.runtimeDone"
				if initialization == lambdasim.InitManagedInstances {
					which = "platform.report"
				}
				done := records(t, rec.all(), which)[0]
				took := spans(done)
				metrics := done["metrics"].(map[string]any)
				if took["responseDuration"] < 250 || took["responseLatency"] >= took["responseDuration"] || metrics["durationMs"].(float64) < took["responseDuration"] {
					t.Errorf("%s: %v", which, done)
				}
				if bytes, ok := metrics["producedBytes"]; initialization == lambdasim.InitOnDemand && bytes != float64(len(test.want)) || initialization != lambdasim.InitOnDemand && ok {
					t.Errorf("metrics: %v", metrics)
				}
			})
		}
	}
}

// A stream may be longer than a buffered response, which the second part of the
// test sees refused.
func TestSizeOfResponses(t *testing.T) {
	t.Parallel()
	megabyte := `"` + strings.Repeat("x", 1<<20-2) + `"`
	function, _ := scripted(t, "runtime", script{"runtime": true, "mode": "streaming", "chunks": 8})
	cfg, _ := baseConfig()
	cfg.Function = function
	s := start(t, cfg)
	if r := invoke(t, s, megabyte); r.Status != lambdasim.StatusSuccess || len(r.Payload) != 8<<20 {
		t.Errorf("a stream of 8 MiB: %s %s, %d bytes", r.Status, r.ErrorType, len(r.Payload))
	}
	function, dump := scripted(t, "runtime", script{"runtime": true})
	cfg, _ = baseConfig()
	cfg.Function = function
	s = start(t, cfg)
	if r := invoke(t, s, strings.Repeat(megabyte, 8)); r.Status != lambdasim.StatusError || r.ErrorType != "Function.ResponseSizeTooLarge" || len(r.Payload) > 1000 {
		t.Errorf("a response of 8 MiB: %s %s, %d bytes", r.Status, r.ErrorType, len(r.Payload))
	}
	if calls := entries(t, dump, "call"); calls[1].Status != 413 || !bytes.Contains(calls[1].Body, []byte("6291556")) {
		t.Errorf("it was answered with %d %s", calls[1].Status, calls[1].Body)
	}
}

func TestStreamsThatFail(t *testing.T) {
	t.Parallel()
	own := func(s script) (lambdasim.Process, string) {
		s["runtime"], s["chunks"] = true, 2
		return scripted(t, "runtime", s)
	}
	for name, test := range map[string]struct {
		script    script
		payload   string
		errorType string
		answer    string
		status    int // of the API
	}{
		"an error in the trailer": {script{"mode": "streaming", "trailer": "Function.Beans"}, `"part"`, "Function.Beans", `"part""part"`, 202},
		"a mode that is none":     {script{"mode": "flowing"}, `"part"`, "Runtime.InvalidResponseModeHeader", "response mode", 400},
		"the sample function's":   {nil, `{"id":"x","chunks":2,"error":"out of beans"}`, "Function.Unknown", "x chunk 1\nx chunk 2\n", 0},
		"it takes too long":       {script{"mode": "streaming", "chunkEveryMs": 60000}, `"part"`, "Sandbox.Timedout", "Task timed out", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg, rec := baseConfig()
			dump := ""
			if test.script != nil {
				cfg.Function, dump = own(test.script)
			}
			want := lambdasim.StatusError
			if test.errorType == "Sandbox.Timedout" {
				cfg.Timeout, want = 300*time.Millisecond, lambdasim.StatusTimeout
			}
			s := start(t, cfg)
			r := invoke(t, s, test.payload)
			if r.Status != want || r.ErrorType != test.errorType || r.FunctionError != "Unhandled" || !strings.Contains(string(r.Payload), test.answer) {
				t.Errorf("result: %+v: %s", r, r.Payload)
			}
			if done := records(t, rec.all(), "platform.runtimeDone")[0]; done["status"] != string(want) || done["errorType"] != test.errorType {
				t.Errorf("runtimeDone: %v", done)
			}
			if test.status == 0 {
				return
			}
			if calls := entries(t, dump, "call"); calls[1].Status != test.status {
				t.Errorf("the API answered %d %s", calls[1].Status, calls[1].Body)
			}
		})
	}
}
