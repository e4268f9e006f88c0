package main

import (
	"os"
	"os/exec"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kinetel": main})
}

// TestScripts runs the command lines in testdata/script.
func TestScripts(t *testing.T) {
	bin := t.TempDir()
	build := exec.Command("go", "build", "-tags", "nethttpomithttp2", "-o", bin,
		"github.com/kinetel/kinetel/cmd/kinesis-telemetry-extension", "github.com/kinetel/kinetel/examples/function", "github.com/kinetel/kinetel/examples/bare-extension")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"fakeaws": startFakeAWS},
		Setup: func(env *testscript.Env) error {
			env.Setenv("BIN", bin)
			// The other programs are not in the folder of the command.
			env.Setenv("HOME", os.TempDir())
			// With the race detector a process sleeps for a second before it exits.
			env.Setenv("GORACE", "atexit_sleep_ms=20")
			return nil
		},
	})
}
