package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/logging"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/recorder"
	"github.com/kinetel/kinetel/internal/ship"
	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/record"
)

// faultVariable, in the environment of the test binary that runs as the
// extension, names the fault in it.
const faultVariable = "KINETELTEST_FAULT"

// mainOrFaulty is main, or an extension in which something panics.
func mainOrFaulty() {
	fault, ok := os.LookupEnv(faultVariable)
	if !ok {
		main()
		return
	}
	environ := os.Environ()
	var stdout io.Writer = os.Stdout
	connect := func(cfg config.Config, log logging.Logger) ship.Putter {
		return &faultyPutter{Putter: newClient(cfg, log), fault: fault}
	}
	switch fault {
	case "connect":
		connect = func(config.Config, logging.Logger) ship.Putter { panic("connect") }
	case "no putter":
		connect = func(config.Config, logging.Logger) ship.Putter { return nil }
	case "stdout":
		stdout = brokenWriter{}
	}
	if err := run(os.Args[0], environ, stdout, os.Stderr, connect); err != nil {
		os.Exit(1)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { panic("stdout") }

// faultyPutter is a Putter that panics according to its fault.
type faultyPutter struct {
	ship.Putter
	fault string
	calls atomic.Int64
}

func (p *faultyPutter) PutRecords(ctx context.Context, records []*pack.Record) ([]kinesis.Result, error) {
	n := p.calls.Add(1)
	switch {
	case p.fault == "always", p.fault == "once" && n == 1, p.fault == "sometimes" && n%2 == 0:
		panic("before")
	}
	results, err := p.Putter.PutRecords(ctx, records)
	if p.fault == "after" && n == 2 {
		panic("after")
	}
	return results, err
}

// logLine is a line of the extension's log.
type logLine struct {
	Level, Msg, Problem, Panic, Stack string
}

// No fault in Kinetel affects the function: its invocations succeed, and the extension
// runs in each of them and ends in order.
func TestAFaultInKinetelDoesNotAffectTheFunction(t *testing.T) {
	dir := t.TempDir()
	function := filepath.Join(dir, "function")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", function, "github.com/kinetel/kinetel/examples/function").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const name = "kinesis-telemetry-extension"
	extension := filepath.Join(dir, name)
	if err := os.Symlink(self, extension); err != nil {
		t.Fatal(err)
	}
	const invocations, each = 8, 3
	for _, tt := range []struct {
		fault    string
		problem  string // in the one log line of the fault
		logged   int    // lines of the log, at most
		complete bool   // all telemetry arrives
		once     bool   // and none of it twice
		env      map[string]string
	}{
		{fault: "none", complete: true, once: true},
		{fault: "once", problem: "send records", logged: 1, complete: true, once: true},
		{fault: "sometimes", problem: "send records", logged: 2, complete: true, once: true}, // and how often, at the end
		{fault: "after", problem: "send records", logged: 1, complete: true},
		{fault: "always", problem: "send records", logged: 4}, // and of the outage, and of what was not sent
		{fault: "connect", problem: "work", logged: 1},
		{fault: "no putter", problem: "send records", logged: 4},
		{fault: "stdout", problem: "write metrics", logged: 1, complete: true, once: true, env: map[string]string{"KINETEL_REPORT": "events,emf"}},
	} {
		modes := []string{"adaptive", "end"}
		if testing.Short() {
			modes = modes[:1]
		}
		for _, mode := range modes {
			t.Run(tt.fault+" "+mode, func(t *testing.T) {
				t.Parallel()
				sim, err := kinesissim.Start(t.Context(), kinesissim.Config{Streams: []kinesissim.Stream{{Name: "telemetry", Shards: 1}}})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = sim.Close() })
				env := map[string]string{
					"KINETEL_STREAM_NAME": "telemetry", "AWS_ENDPOINT_URL_KINESIS": sim.URL(), "KINETEL_SPOOL_DIR": t.TempDir(),
					"KINETEL_FLUSH": mode, faultVariable: tt.fault,
					"GORACE": "atexit_sleep_ms=0", // else the race detector takes a second of the shutdown
				}
				for k, v := range tt.env {
					env[k] = v
				}
				seen := recorder.New(name, "platform", "function")
				sandbox, err := lambdasim.Start(t.Context(), lambdasim.Config{
					Function:   lambdasim.Process{Path: function},
					Extensions: []lambdasim.Process{{Path: extension}},
					Env:        env,
					Timeout:    20 * time.Second,
					OnEvent:    seen.OnEvent, OnDelivered: seen.OnDelivered, Stderr: seen,
				})
				if err != nil {
					t.Fatalf("%v\n%s", err, seen.Log())
				}
				t.Cleanup(func() { _, _ = sandbox.Shutdown(context.WithoutCancel(t.Context())) })
				for i := range invocations {
					result, err := sandbox.Invoke(t.Context(), fmt.Appendf(nil, `{"id":"run-%d","lines":%d}`, i, each))
					if err != nil {
						t.Fatalf("invocation %d: %v\n%s", i, err, seen.Log())
					}
					if result.Status != lambdasim.StatusSuccess {
						t.Errorf("invocation %d: %s %s", i, result.Status, result.ErrorType)
					}
				}
				ended, err := sandbox.Shutdown(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				n := 0
				for _, p := range ended.Processes {
					if p.Name != name {
						continue
					}
					n++
					if !p.Exited || p.ExitCode != 0 || p.Killed {
						t.Errorf("the extension ended with status %d, signal %v, killed %v", p.ExitCode, p.Signal, p.Killed)
					}
				}
				if n != 1 {
					t.Errorf("%d processes of the extension were alive at the shutdown", n)
				}

				var logged []logLine
				faults := 0
				for line := range strings.Lines(seen.Log()) {
					var one logLine
					if err := json.Unmarshal([]byte(line), &one); err != nil {
						t.Errorf("%v: %s", err, line)
					}
					logged = append(logged, one)
					if strings.HasPrefix(one.Msg, "a fault in Kinetel") {
						faults++
						if tt.problem != "" && one.Problem != tt.problem || one.Panic == "" || one.Stack == "" {
							t.Errorf("the fault is logged as %+v", one)
						}
					}
				}
				if want := min(tt.logged, 1); faults != want || len(logged) > tt.logged {
					t.Errorf("%d faults are logged, want %d, in %d lines, want %d at most:\n%s", faults, want, len(logged), tt.logged, seen.Log())
				}
				var arrived []record.Event
				for _, r := range sim.Records("telemetry") {
					events, err := record.Decode(r.Data)
					if err != nil {
						t.Fatal(err)
					}
					arrived = append(arrived, events...)
				}
				if v := audit.Check(seen.Emitted(), arrived); tt.complete && !v.OK() && (tt.once || v.Lost+v.Unknown+v.Holes+v.LostSilently > 0) {
					t.Errorf("%v\n%s", v, strings.Join(v.Examples, "\n"))
				}
			})
		}
	}
}
