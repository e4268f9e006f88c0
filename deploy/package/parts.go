package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"

	"github.com/kinetel/kinetel/internal/version"
)

// part is a module of which something is in the extension, or Go itself.
type part struct {
	path, version string // as Go has them; of Go itself "std" and "1.26.8"
	sum           string // of go.sum: "h1:…"; of Go itself none
	licenses      []license
}

// license is a file that says on which terms a part may be passed on.
type license struct {
	file string // relative to the part's root
	text string
	spdx []string // what it is, as SPDX identifiers
}

// licenseFiles are the names by which such files go; named are those of them that
// hold the licence itself.
var (
	licenseFiles = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([-.].*)?$`)
	named        = regexp.MustCompile(`(?i)^(licen[cs]e|copying)([-.].*)?$`)
)

// partsOf finds what a binary was made of: Kinetel itself first, then Go, then
// the modules by their paths. The licences are those of the packages that are in
// it: each one's folder, and those above it up to the module's root.
func partsOf(source string, b binary) ([]part, error) {
	packages, err := list(source, b)
	if err != nil {
		return nil, err
	}
	linked := map[string]string{} // module path to version
	sums := map[string]string{}
	for _, dep := range b.info.Deps {
		if dep.Replace != nil {
			return nil, fmt.Errorf("module %s is replaced by %s: a release has no such thing", dep.Path, dep.Replace.Path)
		}
		linked[dep.Path], sums[dep.Path] = dep.Version, dep.Sum
	}

	roots := map[string]string{} // module path to folder; Go's is ""
	folders := map[string]map[string]bool{}
	for _, p := range packages {
		module, root := "std", p.Root
		if !p.Standard {
			if p.Module == nil {
				return nil, fmt.Errorf("package %s is of no module", p.ImportPath)
			}
			module, root = p.Module.Path, p.Module.Dir
			if !p.Module.Main && p.Module.Version != linked[module] {
				return nil, fmt.Errorf("module %s: the binary has %q of it, and %s would take %q; build it anew", module, linked[module], source, p.Module.Version)
			}
		}
		roots[module] = root
		if folders[module] == nil {
			folders[module] = map[string]bool{}
		}
		for dir := p.Dir; ; dir = filepath.Dir(dir) {
			folders[module][dir] = true
			if len(dir) <= len(root) {
				break
			}
		}
	}

	var parts []part
	for module, root := range roots {
		p := part{path: module, version: linked[module], sum: sums[module]}
		switch module {
		case b.info.Main.Path:
			p.version = version.Version
		case "std":
			p.version, _, _ = strings.Cut(strings.TrimPrefix(b.info.GoVersion, "go"), "-X:") // without experiments
		default:
			if p.version == "" {
				return nil, fmt.Errorf("module %s: the binary says nothing of it", module)
			}
		}
		if p.licenses, err = licensesIn(root, folders[module]); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(p.licenses, func(l license) bool { return len(l.spdx) > 0 }) {
			return nil, fmt.Errorf("module %s: no licence that is known in %s; look at it before it is passed on", module, root)
		}
		parts = append(parts, p)
	}
	for module := range linked {
		if roots[module] == "" {
			return nil, fmt.Errorf("module %s is in the binary, and no package of it was found", module)
		}
	}
	order := func(p part) int { return slices.Index([]string{b.info.Main.Path, "std"}, p.path) }
	slices.SortFunc(parts, func(p, q part) int {
		if x, y := order(p), order(q); x >= 0 || y >= 0 {
			if x >= 0 && y >= 0 {
				return x - y
			}
			return y - x
		}
		return strings.Compare(p.path, q.path)
	})
	return parts, nil
}

// licensesIn reads the licences in folders, the outermost first.
func licensesIn(root string, folders map[string]bool) ([]license, error) {
	var found []license
	for dir := range folders {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			if entry.IsDir() || !licenseFiles.MatchString(entry.Name()) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, entry.Name()))
			if err != nil {
				return nil, err
			}
			file, err := filepath.Rel(root, filepath.Join(dir, entry.Name()))
			if err != nil {
				return nil, err
			}
			l := license{file: filepath.ToSlash(file), text: string(text)}
			for _, match := range licensecheck.Scan(text).Match {
				// What goes with a licence, as a grant of patents, has no
				// identifier of SPDX.
				if named.MatchString(entry.Name()) && !match.IsURL && !slices.Contains(l.spdx, match.ID) {
					l.spdx = append(l.spdx, match.ID)
				}
			}
			found = append(found, l)
		}
	}
	slices.SortFunc(found, func(l, m license) int {
		if n := strings.Count(l.file, "/") - strings.Count(m.file, "/"); n != 0 {
			return n
		}
		return strings.Compare(l.file, m.file)
	})
	return found, nil
}

// goPackage is what `go list` says of a package.
type goPackage struct {
	ImportPath, Dir, Root string
	Standard              bool
	Module                *struct {
		Path, Version, Dir string
		Main               bool
	}
}

// list asks Go for the packages of which a binary is made.
func list(source string, b binary) ([]goPackage, error) {
	args := []string{"list", "-deps", "-json=ImportPath,Dir,Root,Standard,Module"}
	env := os.Environ()
	for _, s := range b.info.Settings {
		switch s.Key {
		case "-tags":
			args = append(args, "-tags", s.Value)
		case "GOOS", "GOARCH", "CGO_ENABLED":
			env = append(env, s.Key+"="+s.Value)
		}
	}
	cmd := exec.Command("go", append(args, b.info.Path)...)
	cmd.Dir, cmd.Env = source, env
	out, err := cmd.Output()
	if err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("go list %s: %w", b.info.Path, err)
	}
	var packages []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages, nil
		} else if err != nil {
			return nil, fmt.Errorf("go list %s: %w", b.info.Path, err)
		}
		packages = append(packages, p)
	}
}

// writeNotices writes the licences of all parts as one text.
func writeNotices(parts []part) []byte {
	var out bytes.Buffer
	fmt.Fprint(&out, "The executable kinesis-telemetry-extension is made of the following parts.\nEach is followed by its licence and notices.\n")
	for _, p := range parts {
		name := p.path
		if p.path == "std" {
			name = "Go, its standard library and runtime,"
		}
		fmt.Fprintf(&out, "\n%s\n\n%s\n", strings.Repeat("=", 78), strings.TrimSpace(name+" "+p.version))
		for _, l := range p.licenses {
			fmt.Fprintf(&out, "\n%s\n%s\n\n%s\n", l.file, strings.Repeat("-", len(l.file)), strings.TrimSpace(strings.ReplaceAll(l.text, "\r\n", "\n")))
		}
	}
	return out.Bytes()
}
