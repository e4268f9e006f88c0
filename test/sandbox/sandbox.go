// Package sandbox runs the extension and the sample function as real processes in the
// local Lambda, for tests. It builds both, and compares what the Lambda emitted with the
// records of a stream.
package sandbox

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/internal/recorder"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/record"
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
	runMoreInParallel()
	dir, err := os.MkdirTemp("", "kinetel-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	for name, pkg := range map[string]string{
		Extension:  "github.com/kinetel/kinetel/cmd/kinesis-telemetry-extension",
		"function": "github.com/kinetel/kinetel/examples/function",
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

// runMoreInParallel doubles -parallel if the command line has none: the tests wait
// for processes most of the time.
func runMoreInParallel() {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", strconv.Itoa(2*runtime.GOMAXPROCS(0))); err != nil {
			panic(err)
		}
	}
}

// Path returns the path of a program.
func (b Binaries) Path(name string) string { return filepath.Join(string(b), name) }

// Run is one run of a sandbox, with the recorder that observes it.
type Run struct {
	t       *testing.T
	Sandbox *lambdasim.Sandbox
	*recorder.Recorder
}

// Options configure a run.
type Options struct {
	Endpoint string            // of Kinesis
	Env      map[string]string // of the function, beside the defaults
	Lambda   func(*lambdasim.Config)
	Types    []string // of the expected telemetry; nil: platform and function
}

// Start starts a sandbox and waits for the end of its init.
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
		// For tests that kill the extension: only acknowledged events must arrive.
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

// Shutdown ends the sandbox and returns how the extension's process ended.
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

// Verdict compares the emitted events with those of the stream.
func (r *Run) Verdict(events []record.Event) audit.Verdict {
	return audit.Check(r.Emitted(), events)
}

// Ended fails the test if the extension was killed, or its exit status is not 0.
func (r *Run) Ended(p lambdasim.ProcessReport) {
	r.t.Helper()
	if !p.Exited || p.ExitCode != 0 || p.Killed {
		r.t.Errorf("the extension ended with status %d, signal %v, killed %v\n%s", p.ExitCode, p.Signal, p.Killed, r.Log())
	}
}

// Complete shuts down. It fails the test unless each event is in the stream once,
// and the extension ended in order and logged nothing.
func (r *Run) Complete(arrived func() []record.Event) {
	r.t.Helper()
	r.Ended(r.Shutdown())
	if v := r.Verdict(arrived()); !v.OK() {
		r.t.Errorf("%v\n%s", v, strings.Join(v.Examples, "\n"))
	} else {
		r.t.Log(v)
	}
	if log := r.Log(); log != "" {
		r.t.Errorf("the extension logged:\n%s", log)
	}
}
