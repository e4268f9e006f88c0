// Package functioncode finds out how to start a function in the local Lambda: an
// executable, a folder with a handler for Node.js or Python, or a deployment package. It
// also takes the extensions out of layers.
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

// The managed runtimes that a folder can have a handler for.
const (
	NodeJS = "nodejs"
	Python = "python"
)

// Runtimes are the values of Source.Runtime.
var Runtimes = []string{NodeJS, Python}

// Source is what a user wants to run.
type Source struct {
	// Command is an executable and its arguments, or one folder or zip archive.
	Command []string
	Runtime string // of a folder or an archive; empty: it has an executable named bootstrap
	Handler string // such as app.handler; required with Runtime
	// Client is where the runtime's client is: a folder with the package, or Python's
	// interpreter. Empty: in the folder, in a virtual environment, or global.
	Client string
	// Unpack is a folder for the contents of an archive.
	Unpack string
}

// bootstrap is the executable of a deployment package without a managed runtime.
const bootstrap = "bootstrap"

// Find returns the function's process.
func Find(ctx context.Context, s Source) (lambdasim.Process, error) {
	var p lambdasim.Process
	if len(s.Command) == 0 || s.Command[0] == "" {
		return p, errors.New("there is no function: name an executable, a folder or a zip archive after --")
	}
	name := s.Command[0]
	info, err := os.Stat(name)
	if err == nil && (info.IsDir() || isZip(name)) {
		return findInPackage(ctx, s, name, info.IsDir())
	}
	if err == nil && filepath.Ext(name) == ".zip" {
		return p, fmt.Errorf("%s is no zip archive: it is empty or damaged; make it again", name)
	}
	if s.Runtime != "" {
		return p, fmt.Errorf("--runtime %s: %s is no folder and no zip archive: name the one with the handler", s.Runtime, name)
	}
	// The sandbox's PATH is not yours.
	path, err := exec.LookPath(name)
	switch {
	case err != nil && info != nil && errors.Is(err, exec.ErrNotFound):
		return p, fmt.Errorf("%s is not on the PATH: for the file in this folder, write ./%s", name, name)
	case errors.Is(err, fs.ErrPermission):
		return p, fmt.Errorf("%s is not executable: chmod +x it, or give --runtime and its folder", name)
	case err != nil && !errors.Is(err, exec.ErrDot):
		return p, fmt.Errorf("%s: there is no such executable, folder or zip archive", name)
	}
	// On Lambda the working directory is that of the code.
	dir, err := os.Getwd()
	return lambdasim.Process{Path: path, Args: s.Command[1:], Dir: dir}, err
}

// isZip reports whether a file begins as a zip archive does.
func isZip(name string) bool {
	file, err := os.Open(name)
	if err != nil {
		return false
	}
	defer file.Close()
	begin := make([]byte, 4)
	n, _ := file.Read(begin)
	return string(begin[:n]) == "PK\x03\x04" || string(begin[:n]) == "PK\x05\x06" // without entries
}

// findInPackage returns the process of a deployment package.
func findInPackage(ctx context.Context, s Source, name string, folder bool) (p lambdasim.Process, err error) {
	if len(s.Command) > 1 {
		return p, fmt.Errorf("%s: a folder or an archive takes no arguments: %s", name, strings.Join(s.Command[1:], " "))
	}
	dir := name
	if !folder {
		dir = s.Unpack
		if err := unzip(name, dir, maxUnpacked); err != nil {
			return p, err
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return p, err
	}
	switch s.Runtime {
	case NodeJS:
		p, err = nodeProcess(ctx, dir, s)
	case Python:
		p, err = pythonProcess(ctx, dir, s)
	case "":
		p.Path = filepath.Join(dir, bootstrap)
		err = checkBootstrap(name, p.Path)
	default:
		err = fmt.Errorf("--runtime is %q: it must be %s", s.Runtime, strings.Join(Runtimes, " or "))
	}
	p.Dir = dir
	return p, err
}

func checkBootstrap(in, path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return fmt.Errorf("%s has no executable named %s: for a handler, give --runtime %s and --handler", in, bootstrap, strings.Join(Runtimes, "|"))
	case info.Mode()&0o111 == 0:
		return fmt.Errorf("%s: %s is not executable, and Lambda would refuse it: chmod +x it before you zip it", in, bootstrap)
	}
	return nil
}

// checkHandler refuses a handler whose file is not there. The function in it is after the
// first dot of the file's name: it can be in an object.
func checkHandler(dir, handler string, extensions ...string) error {
	base := strings.LastIndexByte(handler, '/') + 1
	dot := base + strings.IndexByte(handler[base:], '.')
	if dot <= base || dot == len(handler)-1 {
		return fmt.Errorf("--handler is %q: it must be FILE.FUNCTION, such as app.handler for the function handler in app%s", handler, extensions[0])
	}
	for _, ext := range extensions {
		if info, err := os.Stat(filepath.Join(dir, handler[:dot]+ext)); err == nil && !info.IsDir() {
			return nil
		}
	}
	return fmt.Errorf("--handler %s: there is no %s in %s", handler, handler[:dot]+strings.Join(extensions, " or "+handler[:dot]), dir)
}
