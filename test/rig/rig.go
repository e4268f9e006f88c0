// Package rig is what the tests with real processes share: it builds the
// extension and the sample function, runs them in the local Lambda, and holds
// what the Lambda emitted against what lies in a stream.
package rig

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kinetel/internal/audit"
	"kinetel/internal/recorder"
	"kinetel/lambdasim"
	"kinetel/record"
	schematest "kinetel/test/schema"
)

// Extension is the name of the extension's file, and of the extension.
const Extension = "kinesis-telemetry-extension"

// Stream is the name of the stream that runs ship to.
const Stream = "telemetry"

// Binaries is a folder with the programs under test.
type Binaries string

// Main builds the programs, sets *b, and runs a package's tests. It returns the
// exit status.
func Main(m *testing.M, b *Binaries) int {
	dir, err := os.MkdirTemp("", "kinetel-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	for name, pkg := range map[string]string{
		Extension:  "kinetel/cmd/kinesis-telemetry-extension",
		"function": "kinetel/examples/function",
	} {
		cmd := exec.Command("go", "build", "-tags", "nethttpomithttp2", "-o", filepath.Join(dir, name), pkg)
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", pkg, err, out)
			return 1
		}
	}
	*b = Binaries(dir)
	return m.Run()
}

// Path returns the path of a program.
func (b Binaries) Path(name string) string { return filepath.Join(string(b), name) }

// Run is one run of a sandbox, and what came out of it.
type Run struct {
	t       *testing.T
	Sandbox *lambdasim.Sandbox
	*recorder.Recorder
}

// Options say what a run is like.
type Options struct {
	Endpoint string            // of Kinesis
	Env      map[string]string // of the function, over the ordinary
	Lambda   func(*lambdasim.Config)
	Types    []string // of telemetry that are expected; nil: platform and function
}

// Start brings a sandbox up to the end of its init.
func Start(t *testing.T, b Binaries, opt Options) *Run {
	t.Helper()
	env := map[string]string{
		"KINETEL_STREAM_NAME":      Stream,
		"AWS_ENDPOINT_URL_KINESIS": opt.Endpoint,
		"KINETEL_SPOOL_DIR":        t.TempDir(), // the sandbox's /tmp is the machine's
	}
	for name, value := range opt.Env {
		env[name] = value
	}
	types := opt.Types
	if types == nil {
		types = []string{"platform", "function"}
	}
	r := &Run{t: t, Recorder: recorder.New(Extension, types...)}
	cfg := lambdasim.Config{
		Function:   lambdasim.Process{Path: b.Path("function")},
		Extensions: []lambdasim.Process{{Path: b.Path(Extension)}},
		Env:        env,
		Timeout:    20 * time.Second,
		OnEvent:    r.OnEvent,
		Stderr:     r,
		// What was acknowledged, for those whose extension is killed.
		OnDelivered: r.OnDelivered,
		OnDropped:   r.OnDropped,
	}
	if opt.Lambda != nil {
		opt.Lambda(&cfg)
	}
	sandbox, err := lambdasim.Start(t.Context(), cfg)
	if err != nil {
		t.Fatalf("%v\n%s", err, r.Log())
	}
	r.Sandbox = sandbox
	t.Cleanup(func() { _, _ = sandbox.Shutdown(context.Background()) })
	return r
}

// LogLines returns the lines of the extension's own log.
func (r *Run) LogLines() []string {
	return strings.FieldsFunc(r.Log(), func(c rune) bool { return c == '\n' })
}

// Invoke invokes the function.
func (r *Run) Invoke(payload string) lambdasim.Result {
	r.t.Helper()
	result, err := r.Sandbox.Invoke(r.t.Context(), []byte(payload))
	if err != nil {
		r.t.Fatalf("invoke: %v\n%s", err, r.Log())
	}
	return result
}

// Shutdown ends the sandbox and returns what the extension's process did.
func (r *Run) Shutdown() lambdasim.ProcessReport {
	r.t.Helper()
	report, err := r.Sandbox.Shutdown(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, p := range report.Processes {
		if p.Name == Extension {
			return p
		}
	}
	r.t.Fatalf("the extension was not alive at the shutdown\n%s", r.Log())
	return lambdasim.ProcessReport{}
}

// Verdict holds what was emitted against the data of the stream's records.
func (r *Run) Verdict(records [][]byte) audit.Verdict {
	r.t.Helper()
	return audit.Check(r.Emitted(), Decode(r.t, records))
}

// Decode decodes the data of records, and fails the test unless they fulfil the
// schema.
func Decode(t *testing.T, records [][]byte) []record.Event {
	t.Helper()
	var events []record.Event
	for i, data := range records {
		schematest.Check(t, data)
		decoded, err := record.Decode(data)
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		events = append(events, decoded...)
	}
	return events
}

// Ended fails the test unless the extension ended in order.
func (r *Run) Ended(p lambdasim.ProcessReport) {
	r.t.Helper()
	if !p.Exited || p.ExitCode != 0 || p.Killed {
		r.t.Errorf("the extension ended with status %d, signal %v, killed %v\n%s", p.ExitCode, p.Signal, p.Killed, r.Log())
	}
}

// Complete shuts down, and fails the test unless everything is among the
// records once and the extension ended in order, with nothing to complain of.
func (r *Run) Complete(records func() [][]byte) {
	r.t.Helper()
	r.Ended(r.Shutdown())
	if v := r.Verdict(records()); !v.OK() {
		r.t.Errorf("%v\n%s", v, strings.Join(v.Examples, "\n"))
	} else {
		r.t.Log(v)
	}
	if log := r.Log(); log != "" {
		r.t.Errorf("the extension logged:\n%s", log)
	}
}
