package functioncode

import (
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/lambdasim"
)

func TestLayersWithExtensionsOnly(t *testing.T) {
	dir := t.TempDir()
	l, note, err := OpenLayers(t.Context(), []string{
		archive(t, entry{"extensions/one", "1", 0o755}, entry{"extensions/one.d/file", "", 0o644}),
		archive(t, entry{"extensions/two", "2", 0o755}, entry{"extensions/one", "newer", 0o755}),
	}, dir, false)
	if err != nil || note != "" {
		t.Fatal(note, err)
	}
	var names []string
	for _, p := range l.Extensions {
		names = append(names, p.Path)
	}
	if got, want := strings.Join(names, " "), filepath.Join(dir, "opt/extensions/one")+" "+filepath.Join(dir, "opt/extensions/two"); got != want {
		t.Errorf("extensions: %s, want %s", got, want)
	}
	if got := tree(t, dir)["opt/extensions/one"]; got != "-rwxr-xr-x newer" {
		t.Errorf("the later layer is not on top: %s", got)
	}
	function := lambdasim.Process{Path: "/bin/true", Args: []string{"x"}}
	if p, err := l.Mount(function); err != nil || p.Path != function.Path {
		t.Errorf("the function runs in a script: %+v, %v", p, err)
	}
}

// A layer's other files are in /opt for its extensions and for the function.
func TestLayersAreMounted(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "it's")
	l, note, err := OpenLayers(t.Context(), []string{archive(t,
		entry{"extensions/ext", "#!/bin/sh\necho $0 $# && cat /opt/data/file\n", 0o755}, entry{"data/file", "found", 0o644},
	)}, dir, false)
	if err != nil {
		t.Fatal(err)
	}
	if note != "" {
		t.Skip("this machine permits no mounts: ", note)
	}
	run := func(p lambdasim.Process) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), p.Path, p.Args...).CombinedOutput()
		if err != nil {
			t.Errorf("%v: %v", p, err)
		}
		return string(out)
	}
	if p := l.Extensions[0]; filepath.Base(p.Path) != "ext" || run(p) != "/opt/extensions/ext 0\nfound" {
		t.Errorf("%v printed %q", p, run(p))
	}
	// The function has the name of the extension.
	named := filepath.Join(t.TempDir(), "ext")
	write(t, named, "#!/bin/sh\ncat /opt/data/file; echo $1\n", 0o755)
	function, err := l.Mount(lambdasim.Process{Path: named, Args: []string{"a b"}})
	if out := run(function); err != nil || out != "founda b\n" {
		t.Errorf("the function printed %q, %v", out, err)
	}
	if p := l.Extensions[0]; run(p) != "/opt/extensions/ext 0\nfound" {
		t.Errorf("afterwards %v printed %q", p, run(p))
	}
}

func TestLayersThatCannotBeMounted(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	l, note, err := OpenLayers(context.Background(), []string{archive(t, entry{"extensions/ext", "", 0o755}, entry{"data", "", 0o644})}, t.TempDir(), false)
	if err != nil || !strings.Contains(note, "needs unshare") || !strings.HasSuffix(l.Extensions[0].Path, "/opt/extensions/ext") {
		t.Errorf("%+v, %q, %v", l, note, err)
	}
}

func TestLayersAreArchives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "layer")
	write(t, path, "hello", 0o644)
	_, _, err := OpenLayers(t.Context(), []string{path}, t.TempDir(), false)
	if err == nil || !strings.Contains(err.Error(), "it is no zip archive") {
		t.Errorf("error: %v", err)
	}
}

func TestHostNames(t *testing.T) {
	l, note, err := OpenLayers(t.Context(), nil, t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	if note != "" {
		t.Skip("this machine permits no mounts: ", note)
	}
	p, err := l.Mount(lambdasim.Process{Path: "/usr/bin/env"})
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), p.Path, "cat", "/etc/hosts").CombinedOutput()
	if err != nil || !strings.HasSuffix(string(out), "127.0.0.1 sandbox sandbox.localdomain\n") {
		t.Errorf("/etc/hosts: %s, %v", out, err)
	}
}
