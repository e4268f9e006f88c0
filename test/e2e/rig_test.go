// Package e2e runs the real extension process beside a real function process in
// the local Lambda, into the embedded Kinesis, and holds what the Lambda emitted
// against what lies in the stream.
package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kinetel/internal/audit"
	"kinetel/internal/event"
	"kinetel/internal/record"
	"kinetel/kinesissim"
	"kinetel/lambdasim"
)

const (
	extensionName = "kinesis-telemetry-extension"
	streamName    = "telemetry"
)

// binaries is the folder that the programs under test are built in.
var binaries string //nolint:gochecknoglobals // set once by TestMain

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "kinetel-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binaries = dir
		for name, pkg := range map[string]string{
			extensionName: "kinetel/cmd/kinesis-telemetry-extension",
			"function":    "kinetel/examples/function",
		} {
			cmd := exec.Command("go", "build", "-tags", "nethttpomithttp2", "-o", filepath.Join(dir, name), pkg)
			if out, err := cmd.CombinedOutput(); err != nil {
				fmt.Fprintf(os.Stderr, "build %s: %v\n%s", pkg, err, out)
				return 1
			}
		}
		return m.Run()
	}())
}

// rig is one run: a sandbox, and what came out of it.
type rig struct {
	t       *testing.T
	sandbox *lambdasim.Sandbox
	kinesis *kinesissim.Server

	mu      sync.Mutex
	emitted []audit.Emitted
	log     bytes.Buffer // the extension's own
}

// options change a run from the ordinary.
type options struct {
	env     map[string]string
	lambda  func(*lambdasim.Config)
	kinesis func(*kinesissim.Config)
	types   []string // of telemetry that are expected; platform and function
}

// start brings a sandbox up to the end of its init.
func start(t *testing.T, opt options) *rig {
	t.Helper()
	r := &rig{t: t}

	kcfg := kinesissim.Config{
		Streams: []kinesissim.Stream{{Name: streamName, Shards: 2}},
		// Real credentials: the signature of every request is verified.
		Credentials: map[string]string{"AKIDEXAMPLE": "not-a-secret"},
	}
	if opt.kinesis != nil {
		opt.kinesis(&kcfg)
	}
	kinesis, err := kinesissim.Start(kcfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kinesis.Close() })
	r.kinesis = kinesis

	env := map[string]string{
		"KINETEL_STREAM_NAME":      streamName,
		"AWS_ENDPOINT_URL_KINESIS": kinesis.URL(),
		"AWS_ACCESS_KEY_ID":        "AKIDEXAMPLE",
		"AWS_SECRET_ACCESS_KEY":    "not-a-secret",
	}
	for name, value := range opt.env {
		env[name] = value
	}
	types := opt.types
	if types == nil {
		types = []string{"platform", "function"}
	}
	cfg := lambdasim.Config{
		Function:   lambdasim.Process{Path: filepath.Join(binaries, "function")},
		Extensions: []lambdasim.Process{{Path: filepath.Join(binaries, extensionName)}},
		Env:        env,
		Timeout:    20 * time.Second,
		OnEvent: func(e lambdasim.Event) {
			stream, _, _ := strings.Cut(e.Type, ".")
			if !slices.Contains(types, stream) || slices.Contains(e.DroppedFor, extensionName) || e.Only != "" && e.Only != extensionName {
				return
			}
			r.mu.Lock()
			defer r.mu.Unlock()
			r.emitted = append(r.emitted, audit.Emitted{Time: e.Time.UTC().Format(event.TimeFormat), Type: e.Type, Record: string(e.Record)})
		},
		Stderr: (*lockedWriter)(r),
	}
	if opt.lambda != nil {
		opt.lambda(&cfg)
	}
	sandbox, err := lambdasim.Start(t.Context(), cfg)
	if err != nil {
		t.Fatalf("%v\n%s", err, r.ownLog())
	}
	r.sandbox = sandbox
	t.Cleanup(func() { _, _ = sandbox.Shutdown(context.Background()) })
	return r
}

// lockedWriter collects the lines of the extension's own log.
type lockedWriter rig

func (w *lockedWriter) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for line := range bytes.Lines(b) {
		if bytes.Contains(line, []byte(`"logger":"kinetel"`)) {
			w.log.Write(line)
		}
	}
	return len(b), nil
}

func (r *rig) ownLog() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

// logLines returns the lines of the extension's own log.
func (r *rig) logLines() []string {
	return strings.FieldsFunc(r.ownLog(), func(c rune) bool { return c == '\n' })
}

func (r *rig) invoke(payload string) lambdasim.Result {
	r.t.Helper()
	result, err := r.sandbox.Invoke(r.t.Context(), []byte(payload))
	if err != nil {
		r.t.Fatalf("invoke: %v\n%s", err, r.ownLog())
	}
	return result
}

// shutdown ends the sandbox and returns what the extension's process did.
func (r *rig) shutdown() lambdasim.ProcessReport {
	r.t.Helper()
	report, err := r.sandbox.Shutdown(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, p := range report.Processes {
		if p.Name == extensionName {
			return p
		}
	}
	r.t.Fatalf("the extension was not alive at the shutdown\n%s", r.ownLog())
	return lambdasim.ProcessReport{}
}

// arrived decodes what lies in the stream.
func (r *rig) arrived() []record.Event {
	r.t.Helper()
	var events []record.Event
	for _, rec := range r.kinesis.Records(streamName) {
		decoded, err := record.Decode(rec.Data)
		if err != nil {
			r.t.Fatalf("record %s: %v", rec.SequenceNumber, err)
		}
		events = append(events, decoded...)
	}
	return events
}

// verdict audits the run.
func (r *rig) verdict() audit.Verdict {
	r.t.Helper()
	arrived := r.arrived()
	r.mu.Lock()
	defer r.mu.Unlock()
	return audit.Check(r.emitted, arrived)
}

// complete fails the test unless everything arrived once, the extension ended
// in order and had nothing to complain of.
func (r *rig) complete() {
	r.t.Helper()
	p := r.shutdown()
	if p.ExitCode != 0 || p.Killed {
		r.t.Errorf("the extension ended with status %d, signal %v, killed %v", p.ExitCode, p.Signal, p.Killed)
	}
	if v := r.verdict(); !v.OK() {
		r.t.Errorf("%v\n%s", v, strings.Join(v.Examples, "\n"))
	} else {
		r.t.Log(v)
	}
	if log := r.ownLog(); log != "" {
		r.t.Errorf("the extension logged:\n%s", log)
	}
}
