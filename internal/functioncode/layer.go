package functioncode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/kinetel/kinetel/lambdasim"
)

// Layers are the contents of layer archives: what Lambda has in /opt.
type Layers struct {
	Extensions []lambdasim.Process
	mount      []string // the command that runs another one with these mounts; nil: there is none
	scripts    string   // a folder for the scripts that do so
}

const (
	opt        = "/opt"
	hosts      = "/etc/hosts"
	extensions = "extensions"
)

// OpenLayers unpacks archives in their order into a folder. note says what will not work;
// it is empty if everything does.
//
// Files outside of extensions/ have to be in /opt. That needs a mount namespace of each
// process, in which the folder is mounted there. In the same way named gives processes the
// host names sandbox and sandbox.localdomain, to listen on; it is for those that have no
// layer with such files, too.
func OpenLayers(ctx context.Context, archives []string, dir string, named bool) (l Layers, note string, err error) {
	contents := filepath.Join(dir, "opt")
	l.scripts = filepath.Join(dir, "mounted")
	if err := errors.Join(os.MkdirAll(filepath.Join(contents, extensions), 0o755), os.MkdirAll(l.scripts, 0o755)); err != nil {
		return l, "", err
	}
	for _, archive := range archives {
		if !isZip(archive) {
			return l, "", fmt.Errorf("--layer %s: it is no zip archive", archive)
		}
		if err := unzip(archive, contents, maxUnpacked); err != nil {
			return l, "", fmt.Errorf("--layer %w", err)
		}
	}
	entries, err := os.ReadDir(contents)
	if err != nil {
		return l, "", err
	}
	if layered := len(entries) > 1; layered || named {
		if l.mount, err = mountCommand(ctx, dir, contents, layered); err != nil {
			note = fmt.Sprintf("the layers' files are in %s and not in %s, and there is no host name sandbox.localdomain: %v", contents, opt, err)
		}
	}
	files, err := os.ReadDir(filepath.Join(contents, extensions))
	if err != nil {
		return l, note, err
	}
	for _, f := range files {
		if f.IsDir() {
			continue // Lambda starts the files only
		}
		p := lambdasim.Process{Path: filepath.Join(contents, extensions, f.Name())}
		path := p.Path
		if len(entries) > 1 {
			path = filepath.Join(opt, extensions, f.Name())
		}
		if p, err = l.mounted(p, path); err != nil {
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
	folder, err := os.MkdirTemp(l.scripts, "") // a function can have the name of an extension
	if err != nil {
		return p, err
	}
	script := "#!/bin/sh\nexec"
	for _, word := range append(l.mount, path) {
		script += " " + shellQuote(word)
	}
	p.Path = filepath.Join(folder, filepath.Base(p.Path))
	return p, os.WriteFile(p.Path, []byte(script+` "$@"`+"\n"), 0o755)
}

// mountCommand returns the command that executes another one with the host names, and the
// layers in /opt, if that is permitted.
func mountCommand(ctx context.Context, dir, layers string, layered bool) ([]string, error) {
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		return nil, errors.New("that needs unshare (Debian: apt-get install util-linux)")
	}
	names, err := os.ReadFile(hosts)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "hosts")
	if err := os.WriteFile(file, append(names, "\n127.0.0.1 sandbox sandbox.localdomain\n"...), 0o644); err != nil {
		return nil, err
	}
	mounts := `mount --bind "$1" ` + hosts
	if layered {
		mounts += ` && mount --bind "$2" ` + opt
	}
	command := []string{unshare, "--mount"}
	if os.Geteuid() != 0 {
		command = append(command, "--map-root-user")
	}
	command = append(command, "/bin/sh", "-c", mounts+` && shift 2 && exec "$@"`, "sh", file, layers)
	if _, err := probe(ctx, command[0], append(command[1:], "/bin/true")...); err != nil {
		return nil, err
	}
	return command, nil
}

func shellQuote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
