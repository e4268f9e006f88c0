package redact_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/redact"
)

var update = flag.Bool("update", false, "write testdata/quality.md")

var replacement = regexp.MustCompile(`\[redacted:[a-z0-9-]+\]`)

// quotes are those of a number that became a string.
var quotes = regexp.MustCompile(`\\?"(\[redacted:credit-card\])\\?"`)

// label is a part of a line of the corpus.
type label struct{ start, end int }

// parseLine returns a line of the corpus without its marks, and what they mark.
func parseLine(line string) (text string, labels []label) {
	var b strings.Builder
	for part := range strings.SplitSeq(line, "«") {
		inside, rest, ok := strings.Cut(part, "»")
		if !ok {
			b.WriteString(part)
			continue
		}
		start := b.Len()
		b.WriteString(inside)
		labels = append(labels, label{start, b.Len()})
		b.WriteString(rest)
	}
	return b.String(), labels
}

// replaced returns which parts of a text were replaced, given the result. It finds what
// stands between two replacements in the text again, so this must not be ambiguous.
func replaced(t *testing.T, text, result string) (parts []label) {
	t.Helper()
	i := 0
	between := replacement.Split(result, -1)
	for k, keep := range between {
		at := strings.Index(text[i:], keep)
		if keep == "" && k == len(between)-1 {
			at = len(text) - i
		}
		if k == len(between)-1 && strings.HasSuffix(text, keep) {
			at = len(text) - len(keep) - i
		}
		if at < 0 || k == 0 && at > 0 {
			t.Fatalf("%q became %q", text, result)
		}
		if k > 0 {
			parts = append(parts, label{i, i + at})
		}
		i += at + len(keep)
	}
	return parts
}

// A quality counts the labels that were found, those that were not, and what was
// replaced without a label.
type quality struct {
	lines, found, missed, wrong int
	cases                       []string // that are missed or wrong
}

func (q *quality) count(text, result string, labels, parts []label) {
	q.lines++
	bad := false
	used := make([]bool, len(parts))
	for _, l := range labels {
		ok := false
		for k, p := range parts {
			if p.start < l.end && l.start < p.end {
				used[k] = true
				ok = ok || p.start <= l.start && p.end >= l.end && p.end-p.start <= l.end-l.start+4 // quotes, an escape
			}
		}
		if ok {
			q.found++
		} else {
			q.missed++
			bad = true
		}
	}
	for k := range parts {
		if !used[k] {
			q.wrong++
			bad = true
		}
	}
	if bad {
		q.cases = append(q.cases, fmt.Sprintf("`%s` becomes `%s`", text, result))
	}
}

func measure(t *testing.T, name string) (q quality) {
	t.Helper()
	all, err := os.ReadFile(filepath.Join("testdata", "corpus", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	r := redact.New(redact.Options{Names: []string{name}})
	hits, misses, _ := bytes.Cut(all, []byte("---\n"))
	for _, half := range [][]byte{hits, misses} {
		for line := range strings.Lines(string(half)) {
			text, labels := parseLine(strings.TrimSuffix(line, "\n"))
			do := r.Text
			if end, err := jsontext.SkipValue([]byte(text), 0); err == nil && end == len(text) {
				do = r.Record
			}
			result := string(do([]byte(text)))
			q.count(text, result, labels, replaced(t, text, quotes.ReplaceAllString(result, "$1")))
		}
	}
	return q
}

// TestQuality measures the patterns with the labelled lines of testdata/corpus and
// compares the result with testdata/quality.md.
func TestQuality(t *testing.T) {
	const path = "testdata/quality.md"
	var table, cases strings.Builder
	for _, name := range redact.Names() {
		q := measure(t, name)
		if q.lines < 60 {
			t.Errorf("the corpus of %s has %d lines, want 60 or more", name, q.lines)
		}
		precision, recall := float64(q.found)/float64(q.found+q.wrong), float64(q.found)/float64(q.found+q.missed)
		if precision < 0.95 || recall < 0.95 {
			t.Errorf("%s has a precision of %.3f and a recall of %.3f, want 0.95:\n%s", name, precision, recall, strings.Join(q.cases, "\n"))
		}
		fmt.Fprintf(&table, "| `%s` | %d | %d | %.3f | %.3f |\n", name, q.lines, q.found+q.missed, precision, recall)
		for _, c := range q.cases {
			fmt.Fprintf(&cases, "- %s: %s\n", name, c)
		}
	}
	got := "# Precision and recall\n\n`go test ./internal/redact -run Quality -update` writes this page: what each pattern finds in its lines of\n`corpus`, which were made for this test.\n\n" +
		"| pattern | lines | values | precision | recall |\n|---|--:|--:|--:|--:|\n" + table.String() + "\nWhat is wrong:\n\n" + cases.String()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || string(want) != got {
		t.Errorf("%s is not up to date (go test ./internal/redact -run Quality -update): %v\n%s", path, err, got)
	}
}
