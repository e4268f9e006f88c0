package docs

import (
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every list of dependencies gets updates.
func TestDependabotKnowsEveryModuleAndEveryListOfPackages(t *testing.T) {
	listed := map[string]bool{}
	entry := regexp.MustCompile(`package-ecosystem: (\S+)\n +directories: \[(.*)\]`)
	for _, m := range entry.FindAllStringSubmatch(read(t, ".github/dependabot.yml"), -1) {
		for folder := range strings.SplitSeq(m[2], ",") {
			listed[m[1]+" "+strings.Trim(folder, ` "`)] = true
		}
	}
	delete(listed, "github-actions /")

	ecosystems := map[string]string{"go.mod": "gomod", "package.json": "npm", "pom.xml": "maven", "requirements.txt": "pip"}
	found := 0
	err := filepath.WalkDir(root, func(file string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && slices.Contains([]string{".git", ".tools", "node_modules", ".venv", "cdk.out", "bin", "dist"}, e.Name()) {
			return fs.SkipDir
		}
		ecosystem, isList := ecosystems[e.Name()]
		if !isList {
			return nil
		}
		found++
		folder, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		key := ecosystem + " " + path.Join("/", filepath.ToSlash(folder))
		if !listed[key] {
			t.Errorf("%s: .github/dependabot.yml has no %s", file, key)
		}
		delete(listed, key)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for key := range listed {
		t.Errorf(".github/dependabot.yml has %s, but there is no such file", key)
	}
	if found < 8 {
		t.Errorf("only %d lists were found", found)
	}
}

// A tag can be moved to other code; a commit cannot.
func TestEveryActionIsPinnedToACommit(t *testing.T) {
	workflows, err := filepath.Glob(filepath.Join(root, ".github/workflows/*.yml"))
	if err != nil || len(workflows) < 3 {
		t.Fatalf("%d workflows, %v", len(workflows), err)
	}
	uses, pinned := regexp.MustCompile(`uses: *(.*)`), regexp.MustCompile(`^[\w./-]+@[0-9a-f]{40} # v[\d.]+$`)
	versions := map[string]string{}
	for _, file := range workflows {
		for _, m := range uses.FindAllStringSubmatch(read(t, path.Join(".github/workflows", filepath.Base(file))), -1) {
			action, version, _ := strings.Cut(m[1], "@")
			if !pinned.MatchString(m[1]) {
				t.Errorf("%s uses %s: name a commit, and its version in a comment", file, m[1])
			}
			if other := versions[action]; other != "" && other != version {
				t.Errorf("%s uses %s at %s, and another workflow at %s", file, action, version, other)
			}
			versions[action] = version
		}
	}
}
