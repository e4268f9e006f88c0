package faults

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
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
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.mode.flush, b.mode.flush), cmp.Compare(spoolOrder(a), spoolOrder(b)))
	})
	if !found {
		t.rows = slices.Insert(t.rows, i, r)
		return
	}
	sum := &t.rows[i]
	sum.failed = sum.failed || r.failed
	sum.runs += r.runs
	sum.owed += r.owed
	sum.delivered += r.delivered
	sum.duplicated += r.duplicated
	sum.told += r.told
	sum.toldInLog += r.toldInLog
	sum.silent += r.silent
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
	b.WriteString("| fault | flush | spool | runs | owed | delivered | duplicated | told in the stream | told in the log | lost without a word |\n")
	b.WriteString("|---|---|---|--:|--:|--:|--:|--:|--:|--:|\n")
	for _, r := range t.rows {
		name := r.fault
		if r.failed {
			name += " **(failed)**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %d | %d | %d | %d | %d | %d |\n",
			name, r.mode.flush, r.mode.spool, r.runs, r.owed, r.delivered, r.duplicated, r.told, r.toldInLog, r.silent)
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
