package faults

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// table collects the outcome of all runs. It is safe for concurrent use.
type table struct {
	mu   sync.Mutex
	rows []row // in the order in which they are shown
}

type row struct {
	order  int
	fault  string
	mode   mode
	failed bool
	figures
}

// add adds a run to its row.
func (t *table) add(r row) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, found := slices.BinarySearchFunc(t.rows, r, func(a, b row) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.fault, b.fault), cmp.Compare(a.mode.flush, b.mode.flush), cmp.Compare(spoolOrder(a), spoolOrder(b)))
	})
	if !found {
		t.rows = slices.Insert(t.rows, i, r)
		return
	}
	sum := &t.rows[i]
	sum.failed = sum.failed || r.failed
	sum.runs += r.runs
	sum.expected += r.expected
	sum.delivered += r.delivered
	sum.duplicated += r.duplicated
	sum.reported += r.reported
	sum.inLog += r.inLog
	sum.lostSilently += r.lostSilently
}

func spoolOrder(r row) int {
	return slices.Index([]string{spoolOff, spoolOverflow, spoolAlways}, r.mode.spool)
}

// markdown returns the table.
func (t *table) markdown() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	runs := 0
	for _, r := range t.rows {
		runs += r.runs
	}
	fmt.Fprintf(&b, "%d runs on %s, %d cores, %s/%s, %s:\n\n", runs, time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
	b.WriteString("| fault | flush | spool | runs | expected | delivered | duplicated | reported in the stream | reported in the log | lost silently |\n")
	b.WriteString("|---|---|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range t.rows {
		name := r.fault
		if r.failed {
			name += " **(failed)**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %d | %d | %d | %d | %d | %d |\n",
			name, r.mode.flush, r.mode.spool, r.runs, r.expected, r.delivered, r.duplicated, r.reported, r.inLog, r.lostSilently)
	}
	return b.String()
}

// Markers around the table in a document.
const (
	beginMarker = "<!-- faults: begin -->"
	endMarker   = "<!-- faults: end -->"
)

// writeTable writes the table into a file: between its markers where it has
// them, and else as all there is.
func writeTable(file, markdown string) error {
	text, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	before, rest, begins := strings.Cut(string(text), beginMarker)
	_, after, ends := strings.Cut(rest, endMarker)
	if len(text) > 0 && (!begins || !ends) {
		return fmt.Errorf("%s has text, but not the lines %s and %s", file, beginMarker, endMarker)
	}
	if after == "" {
		after = "\n"
	}
	return os.WriteFile(file, []byte(before+beginMarker+"\n\n"+markdown+"\n"+endMarker+after), 0o644)
}

func TestTheTableIsWrittenBetweenItsMarkers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "doc.md")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := func(text string) {
		t.Helper()
		if got, err := os.ReadFile(file); err != nil || string(got) != text {
			t.Errorf("%q, %v, want %q", got, err, text)
		}
	}
	if err := writeTable(file, "| 1 |\n"); err != nil {
		t.Fatal(err)
	}
	want(beginMarker + "\n\n| 1 |\n\n" + endMarker + "\n")
	write("before\n" + beginMarker + "old" + endMarker + "\nafter\n")
	if err := writeTable(file, "| 2 |\n"); err != nil {
		t.Fatal(err)
	}
	want("before\n" + beginMarker + "\n\n| 2 |\n\n" + endMarker + "\nafter\n")
	write("no markers")
	if err := writeTable(file, "| 3 |\n"); err == nil {
		t.Error("a text without markers was written over")
	}
	want("no markers")
}

func TestRunsOfOneRowAreAddedUp(t *testing.T) {
	var results table
	for _, r := range []row{
		{order: 1, fault: "b", mode: mode{flushEnd, spoolAlways, false}, figures: figures{runs: 1, expected: 10, delivered: 10}},
		{order: 0, fault: "a", mode: mode{flushInterval, spoolOff, false}, failed: true, figures: figures{runs: 1, expected: 5, delivered: 1, lostSilently: 4}},
		{order: 1, fault: "b", mode: mode{flushEnd, spoolOff, false}, figures: figures{runs: 1}},
		{order: 1, fault: "b", mode: mode{flushEnd, spoolAlways, false}, figures: figures{runs: 1, expected: 7, delivered: 4, duplicated: 2, reported: 1, inLog: 2}},
	} {
		results.add(r)
	}
	_, got, _ := strings.Cut(results.markdown(), "--:|\n")
	want := "| a **(failed)** | interval | off | 1 | 5 | 1 | 0 | 0 | 0 | 4 |\n" +
		"| b | end | off | 1 | 0 | 0 | 0 | 0 | 0 | 0 |\n" +
		"| b | end | always | 2 | 17 | 14 | 2 | 1 | 2 | 0 |\n"
	if got != want {
		t.Errorf("rows\n%s\nwant\n%s", got, want)
	}
}

// Without the whole matrix every fault is still run, and every mode by some.
func TestEveryFaultIsRunInShort(t *testing.T) {
	if *wholeMatrix {
		t.Skip("this is the whole matrix")
	}
	modes := map[mode]int{}
	names, selected := map[string]bool{}, false
	for order, f := range matrix() {
		if names[f.name] {
			t.Errorf("two faults are named %q", f.name)
		}
		names[f.name] = true
		chosen := f.modesOf(order)
		if len(chosen) == 0 {
			t.Errorf("%q is not run", f.name)
		}
		for _, m := range chosen {
			selected = selected || m.selected
			m.selected = false
			modes[m]++
			if f.makesSense != nil && !f.makesSense(m) {
				t.Errorf("%q is run with %v, which makes no sense", f.name, m)
			}
		}
	}
	if len(modes) != 9 || !selected {
		t.Errorf("modes that are run: %v", modes)
	}
}
