package schematest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/annotate"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/record"
)

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const (
	formatPage    = "../../docs/format.md"
	logLinesPage  = "../../docs/log-lines.md"
	consumersPage = "../../docs/consumers.md"
)

// blocks returns the blocks of code of a language.
func blocks(page, language string) (all []string) {
	for _, m := range regexp.MustCompile("(?s)\n```"+language+"\n(.*?)```\n").FindAllStringSubmatch(page, -1) {
		all = append(all, m[1])
	}
	return all
}

// samplesOf returns the lines that the page shows, each without the white space
// that it is wrapped by.
func samplesOf(page string) (lines []string) {
	for _, block := range blocks(page, "json") {
		if !strings.HasPrefix(block, `{"schema"`) {
			continue // of another program
		}
		for text := range strings.Lines(block) {
			switch text = strings.TrimSuffix(text, "\n"); {
			case strings.HasPrefix(text, `{"schema"`):
				lines = append(lines, text)
			default:
				lines[len(lines)-1] += strings.TrimLeft(text, " ")
			}
		}
	}
	return lines
}

// kinds are all types of events that there are (AWS documentation, Telemetry API
// event schema reference), and Kinetel's own.
func kinds() []string {
	return []string{
		event.TypeFunction, event.TypeExtension,
		"platform.initStart", "platform.initRuntimeDone", "platform.initReport",
		"platform.restoreStart", "platform.restoreRuntimeDone", "platform.restoreReport",
		"platform.start", "platform.runtimeDone", "platform.report",
		"platform.extension", "platform.telemetrySubscription", "platform.logsDropped",
		event.TypeEnvironment, event.TypeInvocation, event.TypeSpan, event.TypeInit, event.TypeLoss, event.TypeReport, event.TypeUnparsed,
	}
}

func TestThePageHasASampleOfEachEvent(t *testing.T) {
	published, closed := both(t)
	var shown []string
	var events []record.Event
	for _, line := range samplesOf(read(t, formatPage)) {
		for _, v := range []*validator{published, closed} {
			if err := v.record([]byte(line + "\n")); err != nil {
				t.Error(err)
			}
		}
		one, err := record.Decode([]byte(line + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		shown = append(shown, one[0].Type)
		events = append(events, one...)
	}
	for _, kind := range kinds() {
		if !slices.Contains(shown, kind) {
			t.Errorf("no sample of a %s", kind)
		}
	}
	joined := record.Join(events)
	i := slices.IndexFunc(joined, func(e record.Event) bool { return string(e.Body) == `{"cart":[1,2,3]}` })
	if len(events)-len(joined) != 1 || i < 0 || joined[i].Extra == nil {
		t.Errorf("the parts make %d events of %d", len(joined), len(events))
	}
}

// The tables of members on the page have what is required and what is not.
func TestThePageNamesEachMember(t *testing.T) {
	page := read(t, formatPage)
	for _, member := range envelope() {
		if !strings.Contains(page, "`"+member+"`") {
			t.Errorf("the page does not name %s", member)
		}
	}
	var words func(node any)
	words = func(node any) {
		switch node := node.(type) {
		case []any:
			for _, one := range node {
				words(one)
			}
		case map[string]any:
			if members, ok := node["properties"].(map[string]any); ok && node["type"] == "object" {
				for member := range members {
					if !strings.Contains(page, "`"+member+"`") && !strings.Contains(page, `"`+member+`":`) {
						t.Errorf("the page does not name %s", member)
					}
				}
			}
			for _, one := range node {
				words(one)
			}
		}
	}
	published, err := schemaDocument()
	if err != nil {
		t.Fatal(err)
	}
	words(published)
}

// The code on the page is compiled, and run, as the example of package record.
func TestThePageShowsTheExample(t *testing.T) {
	const path = "../../record/example_test.go"
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var code []string
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && (f.Name.Name == "printOnce" || f.Name.Name == "printFile") {
			source := read(t, path)
			code = append(code, source[files.Position(f.Doc.Pos()).Offset:files.Position(f.End()).Offset]+"\n")
		}
	}
	shown := blocks(read(t, consumersPage), "go")
	if !slices.Equal(shown, code) || len(code) != 2 {
		t.Errorf("the page shows:\n%s\nthe examples are:\n%s", strings.Join(shown, "\n"), strings.Join(code, "\n"))
	}
	all := []byte(strings.Join(code, "\n"))
	if pretty, err := format.Source(all); err != nil || !bytes.Equal(pretty, all) {
		t.Errorf("the examples are not formatted: %v", err)
	}
}

// The page's table of severities is the annotator's.
func TestThePageHasTheSeverities(t *testing.T) {
	_, table, ok := strings.Cut(read(t, logLinesPage), "<!-- severities")
	table, _, end := strings.Cut(table, "<!-- /severities -->")
	if !ok || !end {
		t.Fatal("the page has no table of severities")
	}
	rows := regexp.MustCompile("(?m)^\\| `([A-Z]+)` \\| (.*) \\| (\\d+) \\|$").FindAllStringSubmatch(table, -1)
	if len(rows) != 6 {
		t.Fatalf("the table has %d severities", len(rows))
	}
	for _, row := range rows {
		words := strings.Split(row[2], ", ")
		levels := []string{row[3]}
		for _, word := range words {
			levels = append(levels, fmt.Sprintf("%q", word), fmt.Sprintf("%q", strings.ToUpper(word)))
		}
		for _, level := range levels {
			var a annotate.Annotator
			ev := event.Event{Type: []byte(event.TypeFunction), Record: []byte(`{"level":` + level + `}`)}
			a.Annotate(&ev)
			if got := ev.Severity.String(); got != row[1] {
				t.Errorf("the level %s is %q, and on the page %s", level, got, row[1])
			}
		}
	}
}

// Links within the pages lead somewhere.
func TestThePagesLinks(t *testing.T) {
	for _, path := range []string{formatPage, logLinesPage, consumersPage} {
		page := read(t, path)
		for _, m := range regexp.MustCompile(`\]\(([^)#]*)(#[^)]*)?\)`).FindAllStringSubmatch(page, -1) {
			target, anchor := m[1], strings.TrimPrefix(m[2], "#")
			if strings.HasPrefix(target, "https://") {
				continue
			}
			to := path
			if target != "" {
				to = "../../docs/" + target
			}
			info, err := os.Stat(to)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			if anchor == "" || info.IsDir() {
				continue
			}
			if !slices.Contains(anchors(read(t, to)), anchor) {
				t.Errorf("%s: %s has no #%s", path, to, anchor)
			}
		}
	}
}

// anchors returns those that a page's headings get.
func anchors(page string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		name := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all = append(all, strings.ReplaceAll(name, " ", "-"))
	}
	return all
}
