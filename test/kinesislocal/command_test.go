package kinesislocal

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/test/sandbox"
)

// The commands, as a user calls them, on a stream in each format.
func TestTheCommandTailsAuditsAndPricesEachFormat(t *testing.T) {
	kinetel := filepath.Join(t.TempDir(), "kinetel")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", kinetel, "github.com/kinetel/kinetel/cmd/kinetel").CombinedOutput(); err != nil {
		t.Fatalf("build kinetel: %v\n%s", err, out)
	}
	formats := []string{"ndjson", "json", "otlp", "cloudwatch", "kpl"}
	if testing.Short() {
		formats = []string{"ndjson", "kpl"} // records of lines, and of another shape
	}
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			_, url := startKinesis(t, 2)
			r := sandbox.Start(t, binaries, sandbox.Options{Endpoint: url, Env: map[string]string{"KINETEL_FORMAT": format}})
			for range 3 {
				r.Invoke(`{"id":"order-17","lines":10}`)
			}
			r.Shutdown()
			run := func(args ...string) string {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), kinetel, append(args, "--endpoint-url", url)...)
				cmd.Env = append(cmd.Environ(), "AWS_REGION="+region, "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=not-a-secret")
				var stderr strings.Builder
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				if err != nil {
					t.Fatalf("kinetel %v: %v\n%s%s", args, err, out, stderr.String())
				}
				return string(out)
			}
			if n := strings.Count(run("tail", sandbox.Stream, "--from", "horizon", "--no-follow", "--type", "function"), "order-17"); n != 30 {
				t.Errorf("tail prints %d lines of the function, want 30", n)
			}
			if out := run("audit", sandbox.Stream, "--whole"); !strings.HasPrefix(out, "complete: ") {
				t.Errorf("audit: %s", out)
			}
			var priced struct {
				Measured struct{ Invocations, Events int }
			}
			if out := run("cost", "--from", sandbox.Stream, "-o", "json"); json.Unmarshal([]byte(out), &priced) != nil || priced.Measured.Invocations != 3 || priced.Measured.Events < 36 {
				t.Errorf("cost: %s", out)
			}
		})
	}
}
