package cpulimit

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// fake makes a folder as the kernel's, with the group /own.
func fake(t *testing.T, self, controllers string) (mount, selfFile string) {
	t.Helper()
	mount = t.TempDir()
	own := filepath.Join(mount, "own")
	if err := os.Mkdir(own, 0o755); err != nil {
		t.Fatal(err)
	}
	selfFile = filepath.Join(mount, "self")
	for file, text := range map[string]string{selfFile: self, filepath.Join(own, "cgroup.controllers"): controllers, filepath.Join(own, "cgroup.subtree_control"): "memory\n"} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return mount, selfFile
}

func want(t *testing.T, file, text string) {
	t.Helper()
	if got, err := os.ReadFile(file); err != nil || string(got) != text {
		t.Errorf("%s has %q (%v), want %q", file, got, err, text)
	}
}

func TestLimiter(t *testing.T) {
	for _, test := range []struct {
		share float64
		limit string
	}{{0.5, "10000 20000"}, {2, "40000 20000"}, {0.0001, "1000 20000"}} {
		mount, self := fake(t, "1:name=systemd:/x\n0::/own\n", "cpu memory\n")
		l, err := New(mount, self, test.share)
		if err != nil {
			t.Fatal(err)
		}
		own := filepath.Join(mount, "own")
		dir := filepath.Join(own, "kinetel-run-"+strconv.Itoa(os.Getpid()))
		want(t, filepath.Join(own, "cgroup.subtree_control"), "+cpu")
		want(t, filepath.Join(dir, "cgroup.subtree_control"), "+cpu")
		g, err := l.Group("environment-0")
		if err != nil {
			t.Fatal(err)
		}
		want(t, filepath.Join(dir, "environment-0", "cpu.max"), test.limit)
		if err := g.Add(4711); err != nil {
			t.Fatal(err)
		}
		want(t, filepath.Join(dir, "environment-0", "cgroup.procs"), "4711")
	}
}

// A group with processes may not divide itself: they move into a group below.
func TestLimiterMovesItself(t *testing.T) {
	mount, self := fake(t, "0::/own\n", "cpu\n")
	own := filepath.Join(mount, "own")
	control := filepath.Join(own, "cgroup.subtree_control")
	if err := os.Remove(control); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(control, 0o755); err != nil { // every write fails
		t.Fatal(err)
	}
	if _, err := New(mount, self, 1); err == nil || !strings.Contains(err.Error(), "try systemd-run --user --scope -p Delegate=yes kinetel run") {
		t.Errorf("error: %v", err)
	}
	want(t, filepath.Join(own, "kinetel", "cgroup.procs"), strconv.Itoa(os.Getpid()))
	if left, _ := filepath.Glob(filepath.Join(own, "kinetel-run-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestLimiterIsRefused(t *testing.T) {
	for self, test := range map[string]struct{ controllers, want string }{
		"0::/own\n":       {"memory io\n", "has no cpu controller"},
		"0::/elsewhere\n": {"cpu\n", "it needs cgroup v2"},
		"1:cpu:/\n":       {"cpu\n", "this system has version 1"},
	} {
		mount, file := fake(t, self, test.controllers)
		if _, err := New(mount, file, 1); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q", self, err, test.want)
		}
	}
	if _, err := New(t.TempDir(), "/nowhere", 1); err == nil {
		t.Error("it works without Linux")
	}
}
