package docs

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// build builds programs of the repository and returns their folder.
func build(t *testing.T, packages ...string) string {
	t.Helper()
	bin := t.TempDir()
	cmd := exec.Command("go", append([]string{"build", "-tags", "nethttpomithttp2", "-o", bin + string(filepath.Separator)}, packages...)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// changing matches what differs between runs of the demo: ids, times, how the events of a
// busy function are spread over records, and how many events Kinetel adds. Each becomes a
// sign.
var changing = []struct {
	pattern *regexp.Regexp
	sign    string
}{
	{regexp.MustCompile(`\b[0-9a-f]{8}\b`), "ID"},
	{regexp.MustCompile(`\b[0-9.]+(ms|µs|s)\b`), "TIME"},
	{regexp.MustCompile(`^audit: complete: [0-9]+ events`), "audit: EVENTS"},
	{regexp.MustCompile(`(TIME) +\d+ +\d+ +\d+$`), "$1 EVENTS"},
}

func withoutChanging(line string) string {
	for _, c := range changing {
		line = c.pattern.ReplaceAllString(line, c.sign)
	}
	return strings.Join(strings.Fields(line), " ")
}

func TestTheSampleOfTheREADMEIsWhatTheDemoPrints(t *testing.T) {
	var samples []string
	for _, b := range blocks(read(t, "README.md")) {
		if b.comment == "demo" {
			samples = append(samples, b.text)
		}
	}
	if len(samples) != 1 {
		t.Fatalf("README.md has %d samples of the demo", len(samples))
	}
	bin := build(t, "./cmd/kinetel", "./cmd/kinesis-telemetry-extension", "./examples/function")
	out, err := exec.Command(filepath.Join(bin, "kinetel"), "demo", "--function", filepath.Join(bin, "function")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	printed := strings.Split(string(out), "\n")
	signs := make([]string, len(printed))
	for i, line := range printed {
		signs[i] = withoutChanging(line)
	}
	from := 0
	for line := range strings.Lines(samples[0]) {
		line = strings.TrimSuffix(line, "\n")
		if line == "…" { // left out
			continue
		}
		at := slices.Index(signs[from:], withoutChanging(line))
		if at < 0 {
			t.Errorf("the demo does not print this line of README.md, or not in this place:\n%s\nIt prints\n%s", line, out)
			continue
		}
		from += at + 1
		if utf8.RuneCountInString(line) != utf8.RuneCountInString(printed[from-1]) {
			t.Errorf("the columns of README.md differ from the demo's:\n%s\n%s", line, printed[from-1])
		}
	}
}

// target matches a target of the Makefile and its text.
var target = regexp.MustCompile(`(?m)^([a-z][a-z-]*):(?:[^=\n#][^\n#]*)?(?:## (.*))?$`)

func TestMakeHelpListsEachTargetForUsers(t *testing.T) {
	internal := []string{"node", "programs", "python", "java", "compilers", "lint-deploy", "node_modules", "FORCE"} // of other targets
	out, err := exec.Command("make", "-s", "-C", root, "help").Output()
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range target.FindAllStringSubmatch(read(t, "Makefile"), -1) {
		name, text := m[1], m[2]
		if text == "" {
			if !slices.Contains(internal, name) {
				t.Errorf("the target %s has no text (##)", name)
			}
			continue
		}
		listed = append(listed, name)
		if !regexp.MustCompile(`(?m)^` + name + ` +` + regexp.QuoteMeta(text) + `$`).Match(out) {
			t.Errorf("make help does not list %s:\n%s", name, out)
		}
	}
	var named []string
	for _, path := range pages(t) {
		for _, m := range regexp.MustCompile("(?m)(?:`|^ *|&& )make((?: [a-z][a-z-]+)+)(?:[^a-z/-]|$)").FindAllStringSubmatch(read(t, path), -1) {
			if names, _, message := strings.Cut(m[1], " needs"); !message {
				named = append(named, strings.Fields(names)...)
			}
		}
	}
	if len(named) < 20 {
		t.Errorf("only %d targets were found in the pages", len(named))
	}
	for _, name := range named {
		if !slices.Contains(listed, name) {
			t.Errorf("a page names `make %s`, which make help does not list", name)
		}
	}
	for _, name := range listed {
		if !slices.Contains(named, name) {
			t.Errorf("no page names `make %s`", name)
		}
	}
}
