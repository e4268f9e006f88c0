package kinetelcdk_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The public packages can be imported by a module that is not in the repository.
func TestAnotherModuleImportsThePublicPackages(t *testing.T) {
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	const path = "github.com/kinetel/kinetel"
	dir := t.TempDir()
	var sums strings.Builder
	for _, name := range []string{"go.sum", "deploy/cdk/go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		sums.Write(text)
	}
	for name, text := range map[string]string{
		"go.sum": sums.String(),
		"go.mod": "module example.com/outside\n\ngo 1.26\n\n" +
			"require (\n\t" + path + " v0.0.0\n\t" + path + "/deploy/cdk v0.0.0\n)\n\n" +
			"replace " + path + " => " + root + "\n\nreplace " + path + "/deploy/cdk => " + root + "/deploy/cdk\n",
		"main.go": `package main

import (
	"` + path + `/deploy/cdk/kinetelcdk"
	"` + path + `/kinesissim"
	"` + path + `/lambdasim"
	"` + path + `/record"
)

func main() {
	_, _ = record.Decode(nil)
	_, _ = lambdasim.Config{}, kinesissim.Config{}
	_ = kinetelcdk.NewTelemetryStream
}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// -mod=mod adds the modules that these depend on to go.mod.
	build := exec.CommandContext(t.Context(), "go", "build", "-mod=mod", "-o", os.DevNull, ".")
	build.Dir = dir
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
}
