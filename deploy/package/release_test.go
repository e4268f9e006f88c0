package main

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/version"
)

// The tag, the code and the changelog name one version, or there is no release.
func TestAReleaseWithAnotherTagIsRefused(t *testing.T) {
	for _, tag := range []string{"", "v0.0.0", version.Version} {
		out, err := exec.Command("make", "-s", "-C", root, "release", "TAG="+tag).CombinedOutput()
		if want := "internal/version has " + version.Version + ": make them one (TAG=v" + version.Version + ")"; err == nil || !strings.Contains(string(out), want) {
			t.Errorf("TAG=%s: %v\n%swant %q", tag, err, out, want)
		}
	}
}
