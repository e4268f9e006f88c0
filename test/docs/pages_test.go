// Package docs has tests of the documents: links, settings, prices, samples of output, and
// the commands.
//
// A comment before a block of code says what a test does with it. It is not shown to
// readers:
//
//	<!-- run REGEXP -->    the block is run, and its output must match (commands_test.go)
//	<!-- file NAME -->     the block becomes this file, which the page's script uses
//	<!-- demo -->          the block is output of the demo (readme_test.go)
package docs

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// root is the folder of the repository.
const root = "../.."

// read returns a file of the repository.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// pages returns the Markdown files of the repository.
func pages(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("git", "-C", root, "ls-files", "--cached", "--others", "--exclude-standard", "*.md").Output()
	if err == nil {
		return slices.DeleteFunc(strings.Fields(string(out)), func(path string) bool {
			_, err := os.Stat(filepath.Join(root, path))
			return err != nil // deleted, and not committed yet
		})
	}
	var all []string // no git: the source without its history
	err = filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (entry.Name() == "node_modules" || strings.HasPrefix(entry.Name(), ".") && path != root) {
			return filepath.SkipDir
		}
		if err == nil && strings.HasSuffix(path, ".md") {
			path, err = filepath.Rel(root, path)
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// forUsers reports whether a page is one that a user reads to use Kinetel.
func forUsers(path string) bool {
	return path == "README.md" ||
		filepath.Dir(path) == "docs" && path != "docs/DESIGN.md" && path != "docs/spool.md"
}

// block is a block of code.
type block struct {
	language string
	comment  string // the text of the comment before it, such as "file a.py"
	text     string
}

var fence = regexp.MustCompile("(?ms)(?:^ *<!-- ([^\n]*) -->\n)?^( *)```([a-z]*)\n(.*?)^ *```$")

// blocks returns the blocks of a page, without the white space by which a list indents them.
func blocks(page string) (all []block) {
	for _, m := range fence.FindAllStringSubmatch(page, -1) {
		all = append(all, block{m[3], m[1], regexp.MustCompile("(?m)^"+m[2]).ReplaceAllString(m[4], "")})
	}
	return all
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// anchors returns the anchors of a page, as GitHub makes them.
func anchors(page string) (all []string) {
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(page, ""), -1) {
		text := regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(m[1], "$1")
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			case r == ' ':
				return '-'
			}
			return -1
		}, strings.TrimSpace(text)))
	}
	return all
}

func TestEveryLinkOfThePagesResolves(t *testing.T) {
	checked := 0
	for _, path := range pages(t) {
		page := fence.ReplaceAllString(read(t, path), "")
		for _, m := range link.FindAllStringSubmatch(page, -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, ":") {
				continue // of the internet
			}
			checked++
			file := path
			if target != "" {
				file = filepath.Join(filepath.Dir(path), target)
			}
			if _, err := os.Stat(filepath.Join(root, file)); err != nil {
				t.Errorf("%s links to %s: %v", path, m[1], err)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(read(t, file)), anchor) {
				t.Errorf("%s links to %s: %s has no such heading", path, m[1], file)
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d links were found", checked)
	}
}

// Pages also name files without a link. Names with a placeholder do not count.
func TestEveryFileThatAPageNamesExists(t *testing.T) {
	named := regexp.MustCompile("(?:^|[\\s(`])((?:docs|cmd|internal|deploy|examples|test|record|kinesissim|lambdasim)/[\\w./-]*\\w)(?:[\\s`),:;]|\\.\\s|$)")
	ours := regexp.MustCompile(`^(README|CONTRIBUTING|SECURITY)\.md$|^docs/(evidence/)?[a-z-]+\.md$|^deploy/cdk/README\.md$`)
	checked := 0
	for _, path := range pages(t) {
		if !ours.MatchString(path) {
			continue // of others, or history
		}
		for _, m := range named.FindAllStringSubmatch(fence.ReplaceAllString(read(t, path), ""), -1) {
			checked++
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s names %s, which does not exist", path, m[1])
			}
		}
	}
	if checked < 10 {
		t.Errorf("only %d names were found", checked)
	}
}

// A new command or feature needs a page of its own. Raise the limit for that, and for nothing else:
// whatever describes what is there already has to become shorter elsewhere.
func TestThePagesForUsersHaveAtMost24500Words(t *testing.T) {
	const most = 24_500
	words := 0
	for _, path := range pages(t) {
		// docs/tool.md repeats the help of the commands, and docs/performance.md has tables
		// of make bench-document: they are looked up, not read.
		if forUsers(path) && path != "docs/tool.md" && path != "docs/performance.md" {
			// Signs of tables are no words, comments are not shown.
			page := regexp.MustCompile(`(?s)<!--.*?-->`).ReplaceAllString(read(t, path), "")
			for _, word := range strings.Fields(page) {
				if strings.ContainsFunc(word, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
					words++
				}
			}
		}
	}
	t.Logf("%d words", words)
	if words > most {
		t.Errorf("the pages have %d words; at most %d: shorten what you added", words, most)
	}
}
