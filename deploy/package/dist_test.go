package main

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kinetel/kinetel/deploy/layer"
)

// dist is what `make package` made, or the test is passed over.
func dist(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("KINETEL_DIST")
	if dir == "" {
		t.Skip("not run: KINETEL_DIST is not set; `make deploy-test` runs this test on what it packages")
	}
	return dir
}

// The same source in another place, built anew from nothing, is the same bytes.
func TestAnotherBuildIsTheSame(t *testing.T) {
	packaged := dist(t)
	copied, again := filepath.Join(t.TempDir(), "elsewhere"), t.TempDir()
	copyTree(t, root, copied)
	// One architecture is enough: both are built in the same way. This one is
	// neither Lambda's default nor, as a rule, that of who builds.
	a := arch(t, "arm64")
	binary := filepath.Join("bin", "layer", a.Go)
	build := exec.Command("make", "-C", copied, binary)
	build.Env = append(os.Environ(), "GOCACHE="+t.TempDir(), "TZ=Asia/Kathmandu", "LC_ALL=C", "MAKEFLAGS=", "GOFLAGS=-p=2")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	made, err := pack(again, copied, a, filepath.Join(copied, binary), createdOf(t, packaged, a))
	if err != nil {
		t.Fatal(err)
	}
	schemas, err := copySchemas(again, copied)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(made, schemas...) {
		want, err := layer.Read(packaged, file)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(again, file)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is another one, of %d bytes instead of %d (%v)", file, len(got), len(want), err)
		}
	}
}

// createdOf returns the time of a packaged SBOM, which may be that of any commit.
func createdOf(t *testing.T, packaged string, a layer.Architecture) time.Time {
	t.Helper()
	var sbom struct{ Metadata struct{ Timestamp time.Time } }
	data, err := layer.Read(packaged, a.SBOM())
	if err == nil {
		err = json.Unmarshal(data, &sbom)
	}
	if err != nil {
		t.Fatal(err)
	}
	return sbom.Metadata.Timestamp
}

// The extension of the zip is put where Lambda would put it, and does its work.
func TestThePackagedExtensionWorks(t *testing.T) {
	packaged, opt := dist(t), t.TempDir()
	a := arch(t, runtime.GOARCH)
	data, err := layer.Read(packaged, a.Zip())
	if err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(opt, r); err != nil {
		t.Fatal(err)
	}
	extension := filepath.Join(opt, layer.Executable)
	// os.CopyFS keeps no mode but that of execution, which is what is looked at.
	if info, err := os.Stat(extension); err != nil || info.Mode()&0o111 != 0o111 {
		t.Fatalf("the extension is %v, %v: want it executable", info, err)
	}
	demo := exec.Command("../../bin/kinetel", "demo", "--extension", extension, "--function", "../../bin/sample-function")
	out, err := demo.CombinedOutput()
	if err != nil || !strings.Contains(string(out), " 0 lost, 0 duplicated") {
		t.Errorf("the demo: %v\n%s", err, out)
	}
}

// copyTree copies the module as a clone would have it, more or less.
func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			switch entry.Name() {
			case ".git", ".tools", "bin", "dist", "deploy", "node_modules":
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		if !entry.Type().IsRegular() {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}
