package functioncode

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakePrograms puts programs first on the PATH: node, npm whose global packages are in
// global, and a python3 without packages.
func fakePrograms(t *testing.T, global string) string {
	t.Helper()
	bin := t.TempDir()
	write(t, filepath.Join(bin, "node"), "#!/bin/sh\nprintf '/real/node\\n20\\n'\n", 0o755)
	write(t, filepath.Join(bin, "npm"), "#!/bin/sh\necho "+global+"\n", 0o755)
	write(t, filepath.Join(bin, "python3"), "#!/bin/sh\necho 'this Python has no awslambdaric' >&2; exit 1\n", 0o755)
	write(t, filepath.Join(bin, "python"), "#!/bin/sh\nexit 1\n", 0o755)
	t.Setenv("PATH", bin+":/usr/bin:/bin")
	return bin
}

const nodePackage = `{"name":"aws-lambda-ric","bin":{"aws-lambda-ric":"bin/index.mjs"}}`

func TestNodeClient(t *testing.T) {
	for name, test := range map[string]struct {
		at     string // where the client is, below the test's folder
		client string // --ric, below it
	}{
		"in the folder":              {at: "code/node_modules/aws-lambda-ric"},
		"in a folder above":          {at: "node_modules/aws-lambda-ric"},
		"global":                     {at: "global/aws-lambda-ric"},
		"--ric with the package":     {at: "elsewhere/ric", client: "elsewhere/ric"},
		"--ric with node_modules":    {at: "elsewhere/node_modules/aws-lambda-ric", client: "elsewhere"},
		"--ric that is node_modules": {at: "elsewhere/node_modules/aws-lambda-ric", client: "elsewhere/node_modules"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			fakePrograms(t, filepath.Join(dir, "global"))
			code := filepath.Join(dir, "code")
			write(t, filepath.Join(code, "app.mjs"), "", 0o644)
			write(t, filepath.Join(dir, test.at, "package.json"), nodePackage, 0o644)
			s := Source{Command: []string{code}, Runtime: NodeJS, Handler: "app.handler"}
			if test.client != "" {
				s.Client = filepath.Join(dir, test.client)
			}
			p, err := Find(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			want := []string{filepath.Join(dir, test.at, "bin/index.mjs"), "app.handler"}
			if p.Path != "/real/node" || p.Dir != code || cmp.Diff(want, p.Args) != "" || p.Env["AWS_EXECUTION_ENV"] != "AWS_Lambda_nodejs20.x" {
				t.Errorf("%+v", p)
			}
		})
	}
}

func TestPythonClient(t *testing.T) {
	has := "#!/bin/sh\nprintf '%s\\n3.11\\n' \"$0\"\n"
	for name, test := range map[string]struct {
		at      string // an interpreter that has the client
		client  string
		handler string
		path    string // the end of PYTHONPATH
	}{
		"a virtual environment in the folder": {at: "code/.venv/bin/python", handler: "app.handler"},
		"another name of it":                  {at: "code/venv/bin/python", handler: "app.handler"},
		"global":                              {at: "bin/python3", handler: "app.handler"},
		"--ric with an interpreter":           {at: "elsewhere/py", client: "elsewhere/py", handler: "app.handler"},
		"--ric with a virtual environment":    {at: "elsewhere/bin/python", client: "elsewhere", handler: "app.handler"},
		"--ric with packages":                 {at: "bin/python3", client: "packages", handler: "app.handler", path: "packages"},
		"a module of a package":               {at: "bin/python3", handler: "shop.orders.handler"},
		"a module in a folder":                {at: "bin/python3", handler: "shop/orders.handler"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			bin := fakePrograms(t, "")
			at := filepath.Join(dir, test.at)
			if rest, ok := strings.CutPrefix(test.at, "bin/"); ok {
				at = filepath.Join(bin, rest)
			}
			write(t, at, has, 0o755)
			code := filepath.Join(dir, "code")
			write(t, filepath.Join(code, "app.py"), "", 0o644)
			write(t, filepath.Join(code, "shop/orders.py"), "", 0o644)
			s := Source{Command: []string{code}, Runtime: Python, Handler: test.handler}
			path := code
			if test.client != "" {
				s.Client = filepath.Join(dir, test.client)
			}
			if test.path != "" {
				path += ":" + filepath.Join(dir, test.path)
			}
			p, err := Find(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			want := []string{"-m", "awslambdaric", test.handler}
			if p.Path != at || p.Dir != code || cmp.Diff(want, p.Args) != "" || p.Env["PYTHONPATH"] != path+":/opt/python" || p.Env["AWS_EXECUTION_ENV"] != "AWS_Lambda_python3.11" {
				t.Errorf("%+v", p)
			}
		})
	}
}

func TestMissingClient(t *testing.T) {
	dir := t.TempDir()
	fakePrograms(t, filepath.Join(dir, "global"))
	write(t, filepath.Join(dir, "app.js"), "", 0o644)
	write(t, filepath.Join(dir, "app.py"), "", 0o644)
	write(t, filepath.Join(dir, "other/package.json"), `{"name":"left-pad"}`, 0o644)
	for name, test := range map[string]struct {
		source Source
		want   string
	}{
		"of Node.js":                    {Source{Runtime: NodeJS}, "aws-lambda-ric is not in " + dir + " and not global. Install it: npm install --prefix " + dir + " aws-lambda-ric"},
		"of Python":                     {Source{Runtime: Python}, "Install it: python3 -m venv " + dir + "/.venv && " + dir + "/.venv/bin/pip install awslambdaric"},
		"of Node.js where --ric says":   {Source{Runtime: NodeJS, Client: filepath.Join(dir, "other")}, "--ric " + dir + "/other: aws-lambda-ric is not there"},
		"of Python where --ric says":    {Source{Runtime: Python, Client: filepath.Join(dir, "other")}, "--ric " + dir + "/other: "},
		"of an interpreter that is not": {Source{Runtime: Python, Client: filepath.Join(dir, "app.py")}, "permission denied"},
	} {
		t.Run(name, func(t *testing.T) {
			test.source.Command, test.source.Handler = []string{dir}, "app.handler"
			_, err := Find(t.Context(), test.source)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error: %v, want %q", err, test.want)
			}
		})
	}
}
