package localrun

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/localrun/fault"
	"github.com/kinetel/kinetel/internal/tail"
	"github.com/kinetel/kinetel/lambdasim"
)

// bin is a folder with the programs that the tests run. TestMain writes it.
var bin string

func TestMain(m *testing.M) { os.Exit(build(m)) }

func build(m *testing.M) int {
	dir, err := os.MkdirTemp("", "localrun")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	cmd := exec.Command("go", "build", "-tags", "nethttpomithttp2", "-o", dir,
		"github.com/kinetel/kinetel/examples/function", "github.com/kinetel/kinetel/examples/bare-extension")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// sampleRun runs the sample function with the smallest extension, and prints JSON to out.
func sampleRun(t *testing.T, out *bytes.Buffer) Config {
	return Config{
		Lambda: lambdasim.Config{
			Function: lambdasim.Process{Path: filepath.Join(bin, "function")}, Extensions: []lambdasim.Process{{Path: filepath.Join(bin, "bare-extension")}},
			FunctionName: "f", Region: "eu-west-1", MemoryMB: 128, Timeout: 10 * time.Second, Env: map[string]string{},
		},
		Concurrency: 1, Started: time.Now(), Dir: t.TempDir(), Tail: tail.Options{Output: tail.JSON}, Out: out, Notes: out,
		Invocations: &Invocations{Payload: []byte(`{"id":"x","lines":2}`), Count: 3},
	}
}

// objects returns the objects with a member.
func objects(t *testing.T, out, member string) (found []map[string]any) {
	t.Helper()
	for line := range strings.Lines(out) {
		var o map[string]map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if o[member] != nil {
			found = append(found, o[member])
		}
	}
	return found
}

func TestRun(t *testing.T) {
	var out bytes.Buffer
	s, err := Run(t.Context(), sampleRun(t, &out))
	if err != nil || s.Invocations != 3 || s.Environments != 1 || s.ColdStarts != 1 || len(s.Problems) > 0 || len(s.Extensions) != 1 || s.Extensions[0].OverheadMs.Count != 3 {
		t.Errorf("%+v, %v", s, err)
	}
	// Each event once, in order, and each invocation after its events.
	lines, last, instance := 0, 0.0, ""
	events := objects(t, out.String(), "event")
	for _, e := range events {
		resource := e["resource"].(map[string]any)
		if id := resource["service.instance.id"].(string); id == "" || instance != "" && id != instance || resource["faas.name"] != "f" {
			t.Errorf("resource: %v", resource)
		} else {
			instance = id
		}
		if seq := e["seq"].(float64); seq != last+1 {
			t.Errorf("event %v after %v", seq, last)
		}
		last = e["seq"].(float64)
		if e["type"] == "function" {
			lines++
			if e["requestId"] == nil || e["traceId"] == nil {
				t.Errorf("a line without an invocation: %v", e)
			}
		}
	}
	// The extension exits at SHUTDOWN without waiting for the last batch, so it may miss events.
	missed := 0
	for _, n := range s.Extensions[0].Missed {
		missed += n
	}
	if e := s.Extensions[0]; !e.Subscribed || e.AcceptedEvents+missed != len(events) {
		t.Errorf("%d events: %d accepted, %d missed, subscribed: %t", len(events), e.AcceptedEvents, missed, e.Subscribed)
	}
	if lines != 6 || len(objects(t, out.String(), "invocation")) != 3 {
		t.Errorf("%d lines: %s", lines, out.String())
	}
	if i := strings.Index(out.String(), `"type":"platform.report"`); i < 0 || i > strings.Index(out.String(), `{"invocation":`) {
		t.Error("an invocation before its report")
	}
}

// The invocations begin at the rate, in as many environments as there may be.
func TestRunConcurrently(t *testing.T) {
	var out bytes.Buffer
	cfg := sampleRun(t, &out)
	cfg.Concurrency = 2
	cfg.Invocations = &Invocations{Payload: []byte(`{"sleep":"300ms"}`), Count: 4, Rate: 1000}
	began := time.Now()
	s, err := Run(t.Context(), cfg)
	if err != nil || s.Environments != 2 || s.Invocations != 4 || s.Statuses["success"] != 4 {
		t.Errorf("%+v, %v", s, err)
	}
	if took := time.Since(began); took < 600*time.Millisecond {
		t.Errorf("4 invocations of 300 ms in 2 environments took %v", took)
	}
	out.Reset()
	cfg.Started, cfg.Dir = time.Now(), t.TempDir()
	cfg.Invocations = &Invocations{Payload: []byte(`{}`), Count: 4, Rate: 20}
	began = time.Now()
	if _, err := Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < 150*time.Millisecond {
		t.Errorf("4 invocations, 20 a second, took %v", took)
	}
}

func TestProvisionedEnvironments(t *testing.T) {
	var out bytes.Buffer
	cfg := sampleRun(t, &out)
	cfg.Lambda.InitializationType, cfg.Provisioned, cfg.Concurrency = lambdasim.InitProvisionedConcurrency, 1, 2
	cfg.Invocations = &Invocations{Payload: []byte(`{"sleep":"200ms"}`), Count: 2}
	if _, err := Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	kinds := map[any]int{}
	for _, e := range objects(t, out.String(), "event") {
		if e["type"] == "platform.initStart" {
			kinds[e["body"].(map[string]any)["initializationType"]]++
		}
	}
	if kinds["provisioned-concurrency"] != 1 || kinds["on-demand"] != 1 {
		t.Errorf("environments: %v", kinds)
	}
}

// Each kill fails one invocation, and the next one gets a new process.
func TestKill(t *testing.T) {
	for text, want := range map[string]string{
		"function:kill@700ms":                 "Runtime.OutOfMemory",
		"extension:kill@700ms":                "Extension.Crash",
		"extension:kill=bare-extension@700ms": "Extension.Crash",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			cfg := sampleRun(t, &out)
			f, err := fault.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			cfg.Faults, cfg.Tail.Filter.Types = []fault.Fault{f}, []string{"none"}
			cfg.Invocations = &Invocations{Payload: []byte(`{"sleep":"1s"}`), Count: 2}
			cfg.Notes = &bytes.Buffer{}
			s, err := Run(t.Context(), cfg)
			if err != nil || s.Statuses["failure"] != 1 || s.Statuses["success"] != 1 {
				t.Errorf("%+v, %v", s, err)
			}
			if first := objects(t, out.String(), "invocation")[0]; first["errorType"] != want {
				t.Errorf("%v, want %s", first, want)
			}
		})
	}
}

func TestKillWithoutEnvironments(t *testing.T) {
	var out, notes bytes.Buffer
	cfg := sampleRun(t, &out)
	f, err := fault.Parse("function:kill@0s")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Notes, cfg.Faults = &notes, []fault.Fault{f}
	cfg.Started = time.Now().Add(-time.Hour)
	// The first environment takes longer than the fault.
	cfg.Lambda.Function.Path = filepath.Join(t.TempDir(), "slow")
	if err := os.WriteFile(cfg.Lambda.Function.Path, []byte("#!/bin/sh\nsleep 0.2; exec "+filepath.Join(bin, "function")+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if s, err := Run(t.Context(), cfg); err != nil || s.Statuses["success"] != 3 {
		t.Errorf("%+v, %v", s, err)
	}
	if !strings.Contains(notes.String(), "there is no function to kill") {
		t.Errorf("notes: %s", notes.String())
	}
}

func TestCheckFaults(t *testing.T) {
	f, err := fault.Parse("extension:kill=other@1s")
	if err != nil {
		t.Fatal(err)
	}
	cfg := sampleRun(t, nil)
	cfg.Faults = []fault.Fault{f}
	if err := cfg.CheckFaults(); err == nil || !strings.Contains(err.Error(), "there is no extension other to kill") {
		t.Errorf("error: %v", err)
	}
}

// An output that fails ends the run, and the environments are shut down.
func TestOutputFails(t *testing.T) {
	broken := errors.New("nobody reads")
	cfg := sampleRun(t, nil)
	cfg.Out = writer(func([]byte) (int, error) { return 0, broken })
	cfg.Invocations.Count = 1_000_000
	s, err := Run(t.Context(), cfg)
	if !errors.Is(err, broken) || s.Environments != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

// A terminal that blocks does not block the function: here until all is invoked.
func TestOutputBlocks(t *testing.T) {
	const lines = 6 // of three invocations
	written, all := 0, make(chan struct{})
	cfg := sampleRun(t, nil)
	cfg.Lambda.Stdout = writer(func(b []byte) (int, error) {
		before := written
		if written += bytes.Count(b, []byte("\n")); before < lines && written >= lines {
			close(all)
		}
		return len(b), nil
	})
	cfg.Out = writer(func(b []byte) (int, error) {
		select {
		case <-all:
			return len(b), nil
		case <-time.After(20 * time.Second):
			return 0, errors.New("the function waits for the output")
		}
	})
	if s, err := Run(t.Context(), cfg); err != nil || s.Invocations != 3 {
		t.Errorf("%+v, %v", s, err)
	}
}
