package functioncode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/kinetel/kinetel/lambdasim"
)

// The runtime clients: packages that speak the Runtime API and call the handler.
const (
	nodeClient   = "aws-lambda-ric"
	pythonClient = "awslambdaric"
)

// probeTimeout is for a program that only prints what it is.
const probeTimeout = 20 * time.Second

// nodeProcess runs a handler with node and aws-lambda-ric.
func nodeProcess(ctx context.Context, dir string, s Source) (p lambdasim.Process, err error) {
	if err := checkHandler(dir, s.Handler, ".js", ".mjs", ".cjs"); err != nil {
		return p, err
	}
	// The program on the PATH may be the script of a version manager, which needs more than
	// the sandbox's environment.
	out, err := probe(ctx, "node", "-p", `process.execPath + "\n" + process.versions.node.split(".")[0]`)
	if err != nil {
		return p, fmt.Errorf("--runtime %s needs Node.js: %w", NodeJS, err)
	}
	executable, version, _ := strings.Cut(out, "\n")
	entry, err := findNodeClient(ctx, dir, s.Client)
	if err != nil {
		return p, err
	}
	return lambdasim.Process{Path: executable, Args: []string{entry, s.Handler}, Env: map[string]string{
		"AWS_EXECUTION_ENV": "AWS_Lambda_nodejs" + version + ".x",
		"NODE_PATH":         "/opt/nodejs/node" + version + "/node_modules:/opt/nodejs/node_modules:" + dir,
	}}, nil
}

// findNodeClient returns the file of aws-lambda-ric that node runs.
func findNodeClient(ctx context.Context, dir, given string) (string, error) {
	if given != "" {
		for _, folder := range []string{given, filepath.Join(given, nodeClient), filepath.Join(given, "node_modules", nodeClient)} {
			if entry := nodeEntry(folder); entry != "" {
				return entry, nil
			}
		}
		return "", fmt.Errorf("--ric %s: %s is not there", given, nodeClient)
	}
	for up := dir; ; up = filepath.Dir(up) { // as node resolves packages
		if entry := nodeEntry(filepath.Join(up, "node_modules", nodeClient)); entry != "" {
			return entry, nil
		}
		if up == filepath.Dir(up) {
			break
		}
	}
	if root, err := probe(ctx, "npm", "root", "-g"); err == nil {
		if entry := nodeEntry(filepath.Join(root, nodeClient)); entry != "" {
			return entry, nil
		}
	}
	return "", fmt.Errorf("%s is not in %s and not global. Install it: npm install --prefix %s %s (it is compiled: that needs cmake, autoconf, automake, libtool, make, g++ and Python), or point --ric to it",
		nodeClient, dir, dir, nodeClient)
}

// nodeEntry returns the file that a package of aws-lambda-ric is started by, or "".
func nodeEntry(folder string) string {
	text, err := os.ReadFile(filepath.Join(folder, "package.json"))
	if err != nil {
		return ""
	}
	var pkg struct {
		Name string            `json:"name"`
		Bin  map[string]string `json:"bin"`
	}
	if json.Unmarshal(text, &pkg) != nil || pkg.Name != nodeClient || pkg.Bin[nodeClient] == "" {
		return ""
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return ""
	}
	return filepath.Join(folder, pkg.Bin[nodeClient])
}

// pythonProcess runs a handler with python and awslambdaric.
func pythonProcess(ctx context.Context, dir string, s Source) (p lambdasim.Process, err error) {
	module, function := s.Handler, ""
	if dot := strings.LastIndexByte(s.Handler, '.'); dot > 0 {
		module, function = strings.ReplaceAll(s.Handler[:dot], ".", "/"), s.Handler[dot:] // a package's module
	}
	if err := checkHandler(dir, module+function, ".py"); err != nil {
		return p, err
	}
	interpreters, path := pythonCandidates(dir, s.Client)
	var last error
	for _, interpreter := range interpreters {
		out, err := probePython(ctx, interpreter, path)
		if err != nil {
			last = err
			continue
		}
		executable, version, _ := strings.Cut(out, "\n")
		return lambdasim.Process{Path: executable, Args: []string{"-m", pythonClient, s.Handler}, Env: map[string]string{
			"AWS_EXECUTION_ENV": "AWS_Lambda_python" + version,
			"PYTHONPATH":        path + ":/opt/python",
			"PYTHONUNBUFFERED":  "1", // as Lambda's own runtime, which writes each line at once
			// On Lambda the folder is read-only.
			"PYTHONDONTWRITEBYTECODE": "1",
		}}, nil
	}
	if s.Client != "" {
		return p, fmt.Errorf("--ric %s: %w", s.Client, last)
	}
	return p, fmt.Errorf("%s is not in %s, in a virtual environment or global (%w). Install it: python3 -m venv %s/.venv && %s/.venv/bin/pip install %s, or point --ric to it",
		pythonClient, dir, last, dir, dir, pythonClient)
}

// pythonCandidates returns the interpreters that may have awslambdaric, and PYTHONPATH.
func pythonCandidates(dir, given string) (interpreters []string, path string) {
	venv := func(folder string) string { return filepath.Join(folder, "bin", "python") }
	if given == "" {
		// Python prefers the working directory to all others.
		return []string{venv(filepath.Join(dir, ".venv")), venv(filepath.Join(dir, "venv")), "python3", "python"}, dir
	}
	info, err := os.Stat(given)
	switch {
	case err == nil && !info.IsDir():
		return []string{given}, dir
	case exists(venv(given)):
		return []string{venv(given)}, dir
	}
	if abs, err := filepath.Abs(given); err == nil {
		given = abs
	}
	return []string{"python3", "python"}, dir + ":" + given
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// probePython returns an interpreter's own path and version, if it has awslambdaric.
func probePython(ctx context.Context, interpreter, path string) (string, error) {
	const script = `import sys, importlib.util
sys.path[:0] = sys.argv[1].split(":")
if importlib.util.find_spec("awslambdaric") is None: sys.exit("this Python has no awslambdaric")
print(sys.executable)
print("%d.%d" % sys.version_info[:2])`
	return probe(ctx, interpreter, "-c", script, path)
}

// probe returns what a program prints, or what it complains about.
func probe(ctx context.Context, name string, args ...string) (string, error) {
	ctx, stop := context.WithTimeout(ctx, probeTimeout)
	defer stop()
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		if text := strings.TrimSpace(string(failed.Stderr)); text != "" {
			return "", fmt.Errorf("%s: %s", name, text)
		}
	}
	return strings.TrimSpace(string(out)), err
}
