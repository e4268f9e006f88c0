package layer_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/deploy/layer"
	"github.com/kinetel/kinetel/internal/version"
)

// What templates, documents and functions rely on.
func TestNames(t *testing.T) {
	if len(layer.Architectures) != 2 || layer.Architectures[0].Lambda != "x86_64" {
		t.Fatalf("architectures are %v, and the first must be Lambda's default", layer.Architectures)
	}
	arm, err := layer.ArchitectureOf("arm64")
	if err != nil {
		t.Fatal(err)
	}
	intel, err := layer.ArchitectureOf("amd64")
	if err != nil {
		t.Fatal(err)
	}
	for got, want := range map[string]string{
		intel.Zip():                    "kinesis-telemetry-extension-amd64.zip",
		arm.Zip():                      "kinesis-telemetry-extension-arm64.zip",
		intel.Name():                   "kinesis-telemetry-extension-x86_64",
		arm.Name():                     "kinesis-telemetry-extension-arm64",
		intel.Parameter(layer.Prefix):  "/telemetry/kinesis/extension/x86_64/arn",
		arm.Parameter("/mine"):         "/mine/extension/arm64/arn",
		layer.DefaultParameter("/a/b"): "/a/b/extension/arn",
		layer.Executable:               "extensions/kinesis-telemetry-extension",
		layer.Description():            "Kinetel " + version.Version + ": sends Lambda telemetry to Kinesis",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if a, err := layer.ArchitectureOf("x86_64"); err != nil || a != intel {
		t.Errorf("x86_64 is %v, %v", a, err)
	}
	if _, err := layer.ArchitectureOf("riscv64"); err == nil || !strings.Contains(err.Error(), `"riscv64"`) {
		t.Errorf("riscv64: %v", err)
	}
}

// The format is the one that people check downloads with.
func TestChecksumsAreThoseOfSha256sum(t *testing.T) {
	dist := t.TempDir()
	write(t, dist, "b.zip", "two")
	write(t, dist, "a.zip", "one")
	if err := layer.WriteChecksums(dist, []string{"b.zip", "a.zip"}); err != nil {
		t.Fatal(err)
	}
	check := exec.Command("sha256sum", "--check", "--strict", layer.Checksums)
	check.Dir = dist
	out, err := check.CombinedOutput()
	if err != nil || string(out) != "a.zip: OK\nb.zip: OK\n" {
		t.Errorf("sha256sum: %v\n%s", err, out)
	}
}

func TestReadRefusesWhatIsNotOfTheBuild(t *testing.T) {
	dist := t.TempDir()
	refused := func(why string) {
		t.Helper()
		if data, err := layer.Read(dist, "a.zip"); err == nil || !strings.Contains(err.Error(), why) || !strings.Contains(err.Error(), "make package") {
			t.Errorf("read %q, %v; want an error with %q and the fix", data, err, why)
		}
	}
	refused("a.zip: no such file")
	write(t, dist, "a.zip", "one")
	refused("SHA256SUMS: no such file")
	write(t, dist, "b.zip", "two")
	if err := layer.WriteChecksums(dist, []string{"b.zip"}); err != nil {
		t.Fatal(err)
	}
	refused("does not list it")
	if err := layer.WriteChecksums(dist, []string{"a.zip", "b.zip"}); err != nil {
		t.Fatal(err)
	}
	if data, err := layer.Read(dist, "a.zip"); err != nil || string(data) != "one" {
		t.Errorf("read %q, %v", data, err)
	}
	write(t, dist, "a.zip", "another")
	refused("its SHA-256 is")
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The Dockerfile copies what package makes to where Lambda looks.
func TestTheDockerfileCopiesTheLayer(t *testing.T) {
	text, err := os.ReadFile("../../examples/container/extension.Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	a := layer.Architecture{Go: "${TARGETARCH}"}
	for _, want := range []string{
		" bin/layer/${TARGETARCH} /opt/" + layer.Executable + "\n",
		" dist/" + a.NoticesFile() + " /opt/" + layer.Notices + "\n",
		"kinetel:" + version.Version + " ",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("it has no %q", want)
		}
	}
}
