// Package localrun tries kinetel run with programs of others: the runtime clients of AWS
// for Node.js and Python, and an extension of Sentry. lambdasim's own test extension is
// here, too.
package localrun

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// bin is a folder with the programs under test. TestMain writes it.
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
	const module = "github.com/kinetel/kinetel/"
	cmd := exec.Command("go", "build", "-o", dir, module+"cmd/kinetel", module+"cmd/kinesis-telemetry-extension",
		module+"examples/function", module+"lambdasim/internal/testextension")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// outcome is what a run printed.
type outcome struct {
	status      int
	log         string // all of it
	lines       []string
	invocations []invocation
	summary     summary
	checks      map[string]bool // by subject and name
}

type invocation struct {
	Status, ErrorType string
	ColdStart         bool
	OverheadMs        map[string]float64
	Payload           json.RawMessage
}

type summary struct {
	Environments, Invocations int
	Extensions                []struct {
		Name           string
		OverheadMs     struct{ Count int }
		InitMs         struct{ Max float64 }
		MaxMemoryBytes int64
		Missed         map[string]int
	}
	Kinesis  *struct{ Complete bool }
	Problems []string
}

// run runs kinetel run with JSON output.
func run(t *testing.T, args ...string) (o outcome) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "kinetel"), append([]string{"run", "-o", "json"}, args...)...)
	cmd.Dir = t.TempDir()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if _, failed := errors.AsType[*exec.ExitError](err); err != nil && !failed {
		t.Fatal(err)
	}
	o.status, o.log, o.checks = cmd.ProcessState.ExitCode(), string(out)+stderr.String(), map[string]bool{}
	for line := range bytes.Lines(out) {
		var all struct {
			Event *struct {
				Type string
				Body any
			}
			Invocation *invocation
			Summary    *summary
			Check      *struct {
				Name, Subject string
				OK            bool
			}
		}
		if err := json.Unmarshal(line, &all); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		switch {
		case all.Invocation != nil:
			o.invocations = append(o.invocations, *all.Invocation)
		case all.Summary != nil:
			o.summary = *all.Summary
		case all.Check != nil:
			o.checks[all.Check.Subject+": "+all.Check.Name] = all.Check.OK
		case all.Event != nil && all.Event.Type == "function":
			o.lines = append(o.lines, fmt.Sprint(all.Event.Body))
		}
	}
	return o
}

// given returns the path in a variable that the Makefile sets.
func given(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Skipf("%s is not set: `make integration` sets it", variable)
	}
	return path
}

// example returns the path of an example.
func example(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../examples", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// zipped writes an archive. Its files are executable.
func zipped(t *testing.T, files map[string]string) string {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "archive.zip")
	out, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(out)
	for name, from := range files {
		header := &zip.FileHeader{Name: name, Method: zip.Deflate}
		header.SetMode(0o755)
		part, err := w.CreateHeader(header)
		if err != nil {
			t.Fatal(err)
		}
		in, err := os.Open(from)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(part, in)
		if err := errors.Join(err, in.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), out.Close()); err != nil {
		t.Fatal(err)
	}
	return archive
}

// TestHandlers runs the examples with the runtime clients, as folders and as deployment
// packages, in text and in JSON.
func TestHandlers(t *testing.T) {
	for _, test := range []struct{ runtime, variable, file string }{
		{"nodejs", "KINETEL_RUNTIME_NODEJS", "app.mjs"}, {"python", "KINETEL_RUNTIME_PYTHON", "app.py"},
	} {
		folder := example(t, test.runtime)
		for name, function := range map[string]string{"folder": folder, "archive": zipped(t, map[string]string{test.file: filepath.Join(folder, test.file)})} {
			for _, format := range []string{"text", "json"} {
				t.Run(test.runtime+", "+name+", "+format, func(t *testing.T) {
					t.Parallel()
					client := given(t, test.variable)
					o := run(t, "--runtime", test.runtime, "--handler", "app.handler", "--ric", client, "--log-format", format, "--timeout", "30s",
						"--expect-delivered", "--event", `{"name":"you"}`, "--count", "2", "--", function)
					if o.status != 0 || len(o.invocations) != 2 || o.summary.Kinesis == nil || !o.summary.Kinesis.Complete {
						t.Fatalf("status %d: %s", o.status, o.log)
					}
					for _, i := range o.invocations {
						var answer struct{ Hello string }
						if err := json.Unmarshal(i.Payload, &answer); err != nil || answer.Hello != "you" {
							t.Errorf("the answer: %s, %v", i.Payload, err)
						}
					}
					if got := strings.Count(strings.Join(o.lines, "\n"), "an event"); got != 2 {
						t.Errorf("%d lines of the function: %q", got, o.lines)
					}
				})
			}
		}
	}
}

// An error of a handler is the function's.
func TestHandlerFails(t *testing.T) {
	for runtime, variable := range map[string]string{"nodejs": "KINETEL_RUNTIME_NODEJS", "python": "KINETEL_RUNTIME_PYTHON"} {
		t.Run(runtime, func(t *testing.T) {
			t.Parallel()
			o := run(t, "--runtime", runtime, "--handler", "app.nobody", "--ric", given(t, variable), "--no-kinetel", "--timeout", "30s",
				"--event", "{}", "--", example(t, runtime))
			if o.status != 1 || len(o.invocations) != 1 || o.invocations[0].Status == "success" || !strings.Contains(o.log, "nobody") {
				t.Errorf("status %d: %s", o.status, o.log)
			}
		})
	}
}

// TestExtensionOfOthers runs Sentry's extension out of a layer, whose files have to be in
// /opt, beside Kinetel's.
func TestExtensionOfOthers(t *testing.T) {
	t.Parallel()
	files := filepath.Join(given(t, "KINETEL_SENTRY"), "build/lambda-extension")
	layer := zipped(t, map[string]string{
		"extensions/sentry-extension": filepath.Join(files, "sentry-extension"), "sentry-extension/index.mjs": filepath.Join(files, "index.mjs"),
	})
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatal(err)
	}
	o := run(t, "--layer", layer, "--env", "PATH="+filepath.Dir(node)+":/usr/bin:/bin", "--event", `{"id":"x","lines":1}`, "--count", "3",
		"--timeout", "30s", "--expect-success=false", "--expect-delivered", "--", filepath.Join(bin, "function"))
	if strings.Contains(o.log, "the layers' files are in") {
		t.Skip("this machine permits no mounts: ", o.log)
	}
	if o.status != 0 || len(o.invocations) != 3 || len(o.summary.Extensions) != 2 {
		t.Fatalf("status %d: %s", o.status, o.log)
	}
	for _, i := range o.invocations {
		if _, measured := i.OverheadMs["sentry-extension"]; !measured || i.Status != "success" {
			t.Errorf("invocation: %+v", i)
		}
	}
	if e := o.summary.Extensions[1]; e.Name != "sentry-extension" || e.InitMs.Max == 0 || e.MaxMemoryBytes < 10<<20 || e.OverheadMs.Count != 3 {
		t.Errorf("extension: %+v", e)
	}
}

// testExtension returns a copy of lambdasim's test extension with a name and a script.
func testExtension(t *testing.T, name, script string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	wrapper := "#!/bin/sh\nTESTEXTENSION='" + script + "' exec " + filepath.Join(t.TempDir(), name) + "\n"
	real := strings.TrimSuffix(wrapper[strings.Index(wrapper, "exec ")+5:], "\n")
	if err := errors.Join(os.WriteFile(path, []byte(wrapper), 0o755), os.Link(filepath.Join(bin, "testextension"), real)); err != nil {
		t.Fatal(err)
	}
	return path
}

const subscription = `"subscribe":"{\"schemaVersion\":\"2025-01-29\",\"types\":[\"platform\",\"function\"],\"buffering\":{\"maxItems\":1000,\"maxBytes\":262144,\"timeoutMs\":25},` +
	`\"destination\":{\"protocol\":\"HTTP\",\"URI\":\"http://sandbox.localdomain:$PORT/here\"}}"`

// TestSeveralExtensions runs three extensions: Kinetel's, one that is slow, and one that
// misses the last events because it leaves at once.
func TestSeveralExtensions(t *testing.T) {
	t.Parallel()
	slow := testExtension(t, "slow", `{"holdMs":1500,"shutdownDelayMs":300,`+subscription+`}`)
	hasty := testExtension(t, "hasty", `{"postDelayMs":200,`+subscription+`}`)
	o := run(t, "--extension", slow, "--extension", hasty, "--event", `{"id":"x","lines":5}`, "--count", "2", "--expect-delivered", "--max-overhead", "1s", "--timeout", "10s",
		"--", filepath.Join(bin, "function"))
	want := map[string]bool{
		"function: all invocations succeed":                   true,
		"kinesis-telemetry-extension: overhead of at most 1s": true, "slow: overhead of at most 1s": false, "hasty: overhead of at most 1s": true,
		"kinesis-telemetry-extension: all telemetry is accepted": true, "slow: all telemetry is accepted": true, "hasty: all telemetry is accepted": false,
		"kinesis: all events are in the stream": true,
	}
	for name, ok := range want {
		if got, checked := o.checks[name]; got != ok || !checked {
			t.Errorf("%s: %v (checked %v)", name, got, checked)
		}
	}
	if o.status != 1 || len(o.summary.Extensions) != 3 || o.summary.Extensions[0].Missed["platform.report"] == 0 {
		t.Errorf("status %d: %+v", o.status, o.summary)
	}
	for _, i := range o.invocations {
		if i.OverheadMs["slow"] <= 1000 {
			t.Errorf("overhead: %v", i.OverheadMs)
		}
	}
	if t.Failed() {
		t.Log(o.log)
	}
}

// A layer with nothing but extensions needs no mounts.
func TestExtensionsOfLayers(t *testing.T) {
	t.Parallel()
	layer := zipped(t, map[string]string{"extensions/one": testExtension(t, "one", "{}"), "extensions/two": testExtension(t, "two", "{}")})
	// The layer has the scripts, whose programs register under their own names.
	o := run(t, "--no-kinetel", "--layer", layer, "--event", "{}", "--", filepath.Join(bin, "function"))
	if o.status != 0 || len(o.summary.Extensions) != 2 || o.summary.Extensions[1].Name != "two" {
		t.Errorf("status %d: %s", o.status, o.log)
	}
}

// Kinetel's own layer takes the place of the extension beside the command.
func TestKinetelAsALayer(t *testing.T) {
	t.Parallel()
	const name = "kinesis-telemetry-extension"
	layer := zipped(t, map[string]string{"extensions/" + name: filepath.Join(bin, name)})
	o := run(t, "--layer", layer, "--event", `{"lines":1}`, "--expect-delivered", "--", filepath.Join(bin, "function"))
	if o.status != 0 || len(o.summary.Extensions) != 1 || o.summary.Extensions[0].Name != name || o.summary.Kinesis == nil || !o.summary.Kinesis.Complete {
		t.Errorf("status %d: %s", o.status, o.log)
	}
}
