package functioncode

import (
	"archive/zip"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// entry is one of an archive.
type entry struct {
	name, content string
	mode          fs.FileMode
}

func archive(t *testing.T, entries ...entry) string {
	t.Helper()
	file, err := os.Create(filepath.Join(t.TempDir(), "package.zip"))
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(file)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		h.SetMode(e.mode)
		part, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return file.Name()
}

func write(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// tree describes the files in a folder.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if d.Type() == fs.ModeSymlink {
			found[name], err = os.Readlink(path)
			return err
		}
		content, err := os.ReadFile(path)
		found[name] = info.Mode().String() + " " + string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestUnzip(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	err := unzip(archive(t,
		entry{"bootstrap", "#!", 0o755}, entry{"lib/", "", fs.ModeDir | 0o755}, entry{"lib/a.js", "1", 0o644},
		entry{"lib/b.js", "a.js", fs.ModeSymlink | 0o777}, entry{"top.js", "./lib/./a.js", fs.ModeSymlink | 0o777},
		entry{"setuid", "x", fs.ModeSetuid | 0o755}, entry{"windows", "y", 0}, entry{"dangling", "nowhere", fs.ModeSymlink | 0o777},
		entry{"lib/a.js", "2", 0o600},
	), dir, 100)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"bootstrap": "-rwxr-xr-x #!", "lib/a.js": "-rw------- 2", "lib/b.js": "a.js", "top.js": "./lib/./a.js",
		"setuid": "-rwxr-xr-x x", "windows": "-rw------- y", "dangling": "nowhere",
	}
	if diff := cmp.Diff(want, tree(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestUnzipRefuses(t *testing.T) {
	link := fs.ModeSymlink | 0o777
	big := strings.Repeat("\x00", 51)
	many := make([]entry, maxEntries+1)
	for i := range many {
		many[i] = entry{"f", "", 0o644}
	}
	for name, test := range map[string]struct {
		entries []entry
		want    string
	}{
		"a name with ..":              {[]entry{{"../out", "x", 0o644}}, "leads out"},
		"a name with .. inside":       {[]entry{{"a/../../out", "x", 0o644}}, "leads out"},
		"an absolute name":            {[]entry{{"/tmp/out", "x", 0o644}}, "leads out"},
		"a name of Windows":           {[]entry{{`..\out`, "x", 0o644}}, "leads out"},
		"a link with ..":              {[]entry{{"l", "../out", link}}, "leads out"},
		"an absolute link":            {[]entry{{"l", "/etc", link}}, "leads out"},
		"a file through a link":       {[]entry{{"l", "..", link}, {"l/out", "x", 0o644}}, "escapes"},
		"a link through a link":       {[]entry{{"z/", "", fs.ModeDir | 0o755}, {"a/b/c", "../../z", link}, {"a/b/c/l", "../../../out", link}}, "leads out"},
		"a link that a later one has": {[]entry{{"q/l", "x/../../out", link}, {"q/x", "..", link}}, "leads out"},
		"a named pipe":                {[]entry{{"p", "", fs.ModeNamedPipe | 0o644}}, "no file, folder or link"},
		"too much together":           {[]entry{{"a", big, 0o644}, {"b", big, 0o644}}, "more than 100 bytes"},
		"too many":                    {many, "at most 50000"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			write(t, filepath.Join(parent, "marker"), "", 0o644)
			err := unzip(archive(t, test.entries...), filepath.Join(parent, "out"), 100)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error: %v, want %q", err, test.want)
			}
			entries, err := os.ReadDir(parent)
			if err != nil || len(entries) > 2 { // marker and out
				t.Errorf("files outside: %v, %v", entries, err)
			}
		})
	}
}

func TestFind(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, filepath.Join(dir, "custom", bootstrap), "#!/bin/sh\n", 0o755)
	write(t, filepath.Join(dir, "plain", bootstrap), "#!/bin/sh\n", 0o644)
	write(t, filepath.Join(dir, "none", "app.js"), "", 0o644)
	write(t, filepath.Join(dir, "here"), "#!/bin/sh\n", 0o755)
	write(t, filepath.Join(dir, "damaged.zip"), "PK\x03\x04", 0o644)
	write(t, filepath.Join(dir, "empty.zip"), "", 0o644)
	zipped := archive(t, entry{bootstrap, "#!/bin/sh\n", 0o755})
	for name, test := range map[string]struct {
		source                Source
		path, dir, args, fail string
	}{
		"an executable":                  {source: Source{Command: []string{filepath.Join(dir, "custom", bootstrap), "-v", "x"}}, path: filepath.Join(dir, "custom", bootstrap), dir: dir, args: "-v x"},
		"a command of the PATH":          {source: Source{Command: []string{"sh"}}, path: "/sh", dir: dir},
		"a folder with a bootstrap":      {source: Source{Command: []string{filepath.Join(dir, "custom")}}, path: filepath.Join(dir, "custom", bootstrap), dir: filepath.Join(dir, "custom")},
		"an archive with a bootstrap":    {source: Source{Command: []string{zipped}, Unpack: filepath.Join(dir, "unpacked")}, path: filepath.Join(dir, "unpacked", bootstrap), dir: filepath.Join(dir, "unpacked")},
		"nothing":                        {fail: "there is no function"},
		"a missing file":                 {source: Source{Command: []string{filepath.Join(dir, "nowhere")}}, fail: "there is no such executable, folder or zip archive"},
		"a file that is not executable":  {source: Source{Command: []string{filepath.Join(dir, "none", "app.js")}}, fail: "is not executable: chmod +x it, or give --runtime"},
		"a file that is not on the PATH": {source: Source{Command: []string{"here"}}, fail: "here is not on the PATH: for the file in this folder, write ./here"},
		"an archive without entries":     {source: Source{Command: []string{archive(t)}, Unpack: filepath.Join(dir, "unpacked-empty")}, fail: "has no executable named bootstrap"},
		"a damaged archive":              {source: Source{Command: []string{"damaged.zip"}, Unpack: filepath.Join(dir, "unpacked")}, fail: "damaged.zip is a damaged zip archive (zip: not a valid zip file): make it again"},
		"an empty file named zip":        {source: Source{Command: []string{"empty.zip"}, Runtime: NodeJS, Handler: "a.b"}, fail: "empty.zip is no zip archive: it is empty or damaged; make it again"},
		"a handler in an object":         {source: Source{Command: []string{"none"}, Runtime: NodeJS, Handler: "src.d/lib.a.b"}, fail: "there is no src.d/lib.js or src.d/lib.mjs"},
		"a handler that is only a dot":   {source: Source{Command: []string{"none"}, Runtime: NodeJS, Handler: "a.b/handler"}, fail: "it must be FILE.FUNCTION"},
		"a bootstrap without x":          {source: Source{Command: []string{filepath.Join(dir, "plain")}}, fail: "bootstrap is not executable, and Lambda would refuse it"},
		"a folder without a bootstrap":   {source: Source{Command: []string{filepath.Join(dir, "none")}}, fail: "has no executable named bootstrap: for a handler, give --runtime nodejs|python and --handler"},
		"arguments to a folder":          {source: Source{Command: []string{filepath.Join(dir, "custom"), "-v"}}, fail: "takes no arguments: -v"},
		"a runtime with an executable":   {source: Source{Command: []string{filepath.Join(dir, "custom", bootstrap)}, Runtime: NodeJS}, fail: "is no folder and no zip archive"},
		"an unknown runtime":             {source: Source{Command: []string{dir}, Runtime: "java"}, fail: `--runtime is "java": it must be nodejs or python`},
		"no handler":                     {source: Source{Command: []string{dir}, Runtime: NodeJS}, fail: `--handler is "": it must be FILE.FUNCTION, such as app.handler`},
		"a handler without a file":       {source: Source{Command: []string{filepath.Join(dir, "none")}, Runtime: Python, Handler: "app.handler"}, fail: "--handler app.handler: there is no app.py in"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Find(t.Context(), test.source)
			if test.fail != "" {
				if err == nil || !strings.Contains(err.Error(), test.fail) {
					t.Errorf("error: %v, want %q", err, test.fail)
				}
				return
			}
			if err != nil || !strings.HasSuffix(p.Path, test.path) || p.Dir != test.dir || strings.Join(p.Args, " ") != test.args {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
}
