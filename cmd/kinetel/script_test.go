package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kinetel": main})
}

// TestScripts runs the command lines in testdata/script.
func TestScripts(t *testing.T) {
	bin := t.TempDir()
	for name, pkg := range map[string]string{
		"kinesis-telemetry-extension": "kinetel/cmd/kinesis-telemetry-extension",
		"sample-function":             "kinetel/examples/function",
		"bare-extension":              "kinetel/examples/bare-extension",
	} {
		cmd := exec.Command("go", "build", "-tags", "nethttpomithttp2", "-o", filepath.Join(bin, name), pkg)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", pkg, err, out)
		}
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("BIN", bin)
			// The command's own folder is one without the other programs.
			env.Setenv("HOME", os.TempDir())
			return nil
		},
	})
}
