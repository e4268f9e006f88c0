package lambdasim_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

// bin is where TestMain builds the programs that the tests start. It is the
// package's only state, written before any test runs.
var bin string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "lambdasim")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	build := exec.Command("go", "build", "-tags", "nethttpomithttp2", "-o", dir,
		"github.com/kinetel/kinetel/examples/function", "github.com/kinetel/kinetel/examples/bare-extension", "github.com/kinetel/kinetel/lambdasim/internal/testextension")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// program returns the path of a program that TestMain built.
func program(name string) string { return filepath.Join(bin, name) }

// programAs returns a program under another name, which is an extension's
// identity.
func programAs(t *testing.T, name, as string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), as)
	if err := os.Link(program(name), path); err != nil {
		t.Fatal(err)
	}
	return path
}
