package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kinesis-telemetry-extension": mainOrFaulty})
}

// TestScripts runs the command lines in testdata/script. What the extension does
// inside Lambda is tested with real processes in test/e2e.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true})
}
