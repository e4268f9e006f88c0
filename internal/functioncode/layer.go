package functioncode

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/kinetel/kinetel/lambdasim"
)

// Layers are the contents of layer archives: what Lambda has in /opt.
type Layers struct {
	Extensions []lambdasim.Process
	dir        string   // with the contents; empty: there are no layers
	mount      []string // the command that runs another one with dir as /opt; nil: there is none
	scripts    string   // a folder for the scripts that do so
}

const (
	opt        = "/opt"
	extensions = "extensions"
)

// OpenLayers unpacks archives in their order into a folder. note says what will not work;
// it is empty if everything does.
//
// Files outside of extensions/ have to be in /opt. That needs a mount namespace of each
// process, in which the folder is mounted there.
func OpenLayers(ctx context.Context, archives []string, dir string) (l Layers, note string, err error) {
	if len(archives) == 0 {
		return l, "", nil
	}
	l.dir, l.scripts = filepath.Join(dir, "opt"), filepath.Join(dir, "mounted")
	for _, archive := range archives {
		if !isZip(archive) {
			return l, "", fmt.Errorf("--layer %s: it is no zip archive", archive)
		}
		if err := unzip(archive, l.dir); err != nil {
			return l, "", fmt.Errorf("--layer %w", err)
		}
	}
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return l, "", err
	}
	for _, e := range entries {
		if e.Name() != extensions && l.mount == nil && note == "" {
			if l.mount, err = mountCommand(ctx, l.dir); err != nil {
				note = fmt.Sprintf("the layers' files are in %s, and not in %s: %v", l.dir, opt, err)
			}
		}
	}
	files, err := os.ReadDir(filepath.Join(l.dir, extensions))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return l, note, err
	}
	for _, f := range files {
		if f.IsDir() {
			continue // Lambda starts the files only
		}
		p := lambdasim.Process{Path: filepath.Join(l.dir, extensions, f.Name())}
		if p, err = l.mounted(p, filepath.Join(opt, extensions, f.Name())); err != nil {
			return l, note, err
		}
		l.Extensions = append(l.Extensions, p)
	}
	return l, note, nil
}

// Mount returns the process with the layers in its /opt. It keeps its name and its number.
func (l Layers) Mount(p lambdasim.Process) (lambdasim.Process, error) {
	path, err := filepath.Abs(p.Path)
	if err != nil {
		return p, err
	}
	return l.mounted(p, path)
}

// mounted lets a script with the name of the process mount the layers, and then execute
// the path.
func (l Layers) mounted(p lambdasim.Process, path string) (lambdasim.Process, error) {
	if l.mount == nil {
		return p, nil
	}
	if err := os.MkdirAll(l.scripts, 0o755); err != nil {
		return p, err
	}
	script := "#!/bin/sh\nexec"
	for _, word := range append(l.mount, path) {
		script += " " + shellQuote(word)
	}
	file := filepath.Join(l.scripts, filepath.Base(p.Path))
	p.Path = file
	return p, os.WriteFile(file, []byte(script+` "$@"`+"\n"), 0o755)
}

// mountCommand returns the command that executes another one with dir in /opt, if that is
// permitted.
func mountCommand(ctx context.Context, dir string) ([]string, error) {
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		return nil, errors.New("that needs unshare (Debian: apt-get install util-linux)")
	}
	if !exists(opt) {
		return nil, fmt.Errorf("that needs an empty folder %s on this machine", opt)
	}
	command := []string{unshare, "--mount"}
	if os.Geteuid() != 0 {
		command = append(command, "--map-root-user")
	}
	command = append(command, "/bin/sh", "-c", `mount --bind "$1" `+opt+` && shift && exec "$@"`, "sh", dir)
	if _, err := probe(ctx, command[0], append(command[1:], "/bin/true")...); err != nil {
		return nil, err
	}
	return command, nil
}

func shellQuote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
