package schematest

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// value is a value that validators of all languages judge alike.
type value struct {
	name   string
	schema int // of eventSchema, rowSchema
	text   string
	valid  bool
}

// goodAndBad returns the samples of the code, the page and a demo, the rows of all of
// them, and what must be rejected.
func goodAndBad(t *testing.T) (all []value) {
	t.Helper()
	lines := samples(t)
	good := slices.Concat(slices.Sorted(maps.Values(lines)), samplesOf(read(t, formatPage)), demoLines(t))
	for _, line := range good {
		name := line[:min(len(line), 120)]
		all = append(all, value{name, 0, line, true}, value{"the row of " + name, 1, rowOf(t, line), true})
	}
	for _, bad := range badEvents() {
		all = append(all, value{bad.of + ": " + bad.what, 0, changed(t, lines[bad.of], bad.where, bad.value), false})
	}
	for _, bad := range badComparisons() {
		all = append(all, value{bad.of + ": " + bad.what, 0, changed(t, lines[bad.of], bad.where, bad.value), true})
	}
	for _, bad := range badRows() {
		all = append(all, value{"row: " + bad.what, 1, changed(t, rowOf(t, lines[bad.of]), bad.where, bad.value), false})
	}
	return all
}

// demoLines returns the events that a run of the demo prints, for make test-docs, which
// has built it.
func demoLines(t *testing.T) (lines []string) {
	t.Helper()
	if os.Getenv("KINETEL_DOCS_PYTHON") == "" {
		return nil
	}
	demo := exec.Command("../../bin/kinetel", "demo", "--raw")
	demo.Env = slices.DeleteFunc(os.Environ(), func(one string) bool { return strings.HasPrefix(one, "KINETEL_") })
	out, err := demo.CombinedOutput()
	if err != nil {
		t.Fatalf("the demo: %v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, `{"schema"`) {
			lines = append(lines, line)
		}
	}
	if len(lines) < 10 {
		t.Errorf("the demo prints only %d events", len(lines))
	}
	return lines
}

// Go's jsonschema, Ajv in its strict mode and Python's jsonschema give the same verdicts.
func TestValidatorsAcceptAndReject(t *testing.T) {
	values := goodAndBad(t)
	verdicts := func(t *testing.T, problems []string) {
		if len(problems) != len(values) {
			t.Fatalf("%d values were validated, want %d", len(problems), len(values))
		}
		for i, v := range values {
			if valid := problems[i] == ""; valid != v.valid {
				t.Errorf("%s: valid is %t, want %t: %s\n%s", v.name, valid, v.valid, problems[i], v.text)
			}
		}
	}
	t.Run("jsonschema of Go", func(t *testing.T) { verdicts(t, validateInGo(t, values)) })
	for name, command := range map[string][]string{
		"Ajv":                  {"KINETEL_AJV", "node", "ajv.js", os.Getenv("KINETEL_AJV")},
		"jsonschema of Python": {"KINETEL_DOCS_PYTHON", filepath.Join(os.Getenv("KINETEL_DOCS_PYTHON"), "python"), "validate.py"},
	} {
		t.Run(name, func(t *testing.T) {
			if os.Getenv(command[0]) == "" {
				t.Skipf("%s is not set: `make test` runs Ajv, `make test-docs` runs both", command[0])
			}
			verdicts(t, validateWith(t, values, command[1:]))
		})
	}
}

// validateInGo returns a problem for each value; empty: it is valid.
func validateInGo(t *testing.T, values []value) (problems []string) {
	t.Helper()
	var validators []*validator
	for _, path := range []string{eventSchema, rowSchema} {
		doc, err := unmarshal([]byte(read(t, path)))
		if err != nil {
			t.Fatal(err)
		}
		v, err := compile(doc)
		if err != nil {
			t.Fatal(err)
		}
		validators = append(validators, v)
	}
	for _, v := range values {
		instance, err := unmarshal([]byte(v.text))
		if err != nil {
			t.Fatalf("%s: %v", v.name, err)
		}
		problem := ""
		if err := validators[v.schema].schema.Validate(instance); err != nil {
			problem = err.Error()
		}
		problems = append(problems, problem)
	}
	return problems
}

// validateWith does the same with another program.
func validateWith(t *testing.T, values []value, command []string) (problems []string) {
	t.Helper()
	var input, stderr bytes.Buffer
	for _, v := range values {
		line, err := json.Marshal(map[string]any{"schema": v.schema, "value": json.RawMessage(v.text)})
		if err != nil {
			t.Fatalf("%s: %v", v.name, err)
		}
		input.Write(append(line, '\n'))
	}
	run := exec.Command(command[0], slices.Concat(command[1:], []string{eventSchema, rowSchema})...)
	run.Stdin, run.Stderr = &input, &stderr
	out, err := run.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	for line := range bytes.Lines(out) {
		var problem string
		if err := json.Unmarshal(line, &problem); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		problems = append(problems, problem)
	}
	return problems
}
