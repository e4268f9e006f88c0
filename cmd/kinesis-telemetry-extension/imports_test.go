package main

import (
	"flag"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden file anew")

// Every package in the binary makes every cold start slower. This test makes a new one
// visible.
func TestTheBinaryImportsOnlyWhatIsListed(t *testing.T) {
	const golden = "testdata/imports.golden"
	out, err := exec.Command("go", "list", "-deps", "-tags", "nethttpomithttp2",
		"-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(golden, out, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	lines := func(b []byte) []string { return strings.Fields(string(b)) }
	if diff := cmp.Diff(lines(want), lines(out)); diff != "" {
		t.Errorf("the extension's imports are not those of %s; if that is meant, give what they cost at start-up in docs/adr and run `go test ./cmd/kinesis-telemetry-extension -update`\n%s", golden, diff)
	}
}
