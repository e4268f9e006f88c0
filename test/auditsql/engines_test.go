// Package auditsql_test runs the statements of kinetel audit --sql on real engines, with the
// telemetry that package audit is tested with, and requires the verdicts of that package.
package auditsql_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/internal/audit/audittest"
	"github.com/kinetel/kinetel/internal/auditsql"
	"github.com/kinetel/kinetel/record"
)

// row is a row of a statement's result.
type row struct {
	Environment  string
	Name         string
	Missing      uint64
	MissingFrom  *uint64 `json:"missing_from"`
	MissingTo    *uint64 `json:"missing_to"`
	Spooled      uint64
	Overreported uint64
	FirstSeq     uint64 `json:"first_seq"`
	LastSeq      uint64 `json:"last_seq"`
	Ended        int
}

func (r row) finding() audittest.Finding {
	f := audittest.Finding{Missing: r.Missing, Spooled: r.Spooled, Overreported: r.Overreported, First: r.FirstSeq, Last: r.LastSeq, Ended: r.Ended == 1}
	if r.MissingFrom != nil && r.MissingTo != nil {
		f.From, f.To = *r.MissingFrom, *r.MissingTo
	}
	return f
}

// engine is a database that runs the statements of a dialect.
type engine struct {
	name, dialect, table string
}

func engines() []engine {
	return []engine{
		{"duckdb", "duckdb", "kinetel"},
		{"duckdb", "duckdb", "kinetel_text"},
		{"athena", "athena", "kinetel"},
		{"clickhouse", "clickhouse", "kinetel"},
		{"spark", "spark", "kinetel"},
	}
}

// result is the result of a statement.
type result struct {
	Seconds float64
	Rows    []row
}

// run runs statements on the files of a folder.
func (e engine) run(t *testing.T, folder, memory string, queries ...auditsql.Query) []result {
	t.Helper()
	python := os.Getenv("KINETEL_SQL_PYTHON")
	if python == "" {
		t.Skip("KINETEL_SQL_PYTHON is not set: `make test-sql` runs this test")
	}
	statements := make([]string, len(queries))
	for i, q := range queries {
		q.Table = e.table
		var err error
		if statements[i], err = auditsql.Statement(e.dialect, q); err != nil {
			t.Fatal(err)
		}
	}
	input, err := json.Marshal(statements)
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	process := exec.CommandContext(t.Context(), filepath.Join(python, "python"), "run.py", e.name, folder, memory)
	process.Stdin, process.Stdout, process.Stderr = bytes.NewReader(input), &stdout, &stderr
	process.Env = append(os.Environ(), "TMPDIR="+t.TempDir(), "PYTHONDONTWRITEBYTECODE=1")
	if err := process.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	results := make([]result, len(queries))
	for i, out := 0, json.NewDecoder(&stdout); i < len(queries); i++ {
		if err := out.Decode(&results[i]); err != nil {
			t.Fatalf("result %d: %v\n%s", i, err, stderr.String())
		}
	}
	return results
}

// writeFiles writes records as Firehose leaves them: each is a gzip member, and a file has
// many.
func writeFiles(t *testing.T, folder string, files int, records func(yield func([]record.Event) bool)) {
	t.Helper()
	writers := make([]*os.File, files)
	for i := range writers {
		file, err := os.Create(filepath.Join(folder, fmt.Sprintf("%d.gz", i)))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		writers[i] = file
	}
	zip, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for events := range records {
		zip.Reset(writers[n%files])
		n++
		for _, e := range events {
			line, err := e.MarshalJSON()
			if err == nil {
				_, err = zip.Write(append(line, '\n'))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := zip.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// environments returns the cases, and random environments.
func environments() []audittest.Environment {
	all := audittest.Cases()
	r := rand.New(rand.NewPCG(2026, 11))
	for i := range 500 {
		all = append(all, audittest.Random(r, fmt.Sprintf("%032x", i)))
	}
	return all
}

// shuffled returns the events of all environments and of none, in records in which they are
// mixed.
func shuffled(all []audittest.Environment) [][]record.Event {
	events := audittest.Strangers()
	for _, e := range all {
		events = append(events, e.Events...)
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	return slices.Collect(slices.Chunk(events, 100))
}

// Package audit finds in the telemetry what the statements must find.
func TestTheAuditFindsWhatTheStatementsMustFind(t *testing.T) {
	for _, whole := range []bool{false, true} {
		all := environments()
		auditor := audit.New(audit.Options{Whole: whole})
		for _, events := range shuffled(all) {
			for _, e := range events {
				if err := auditor.Add(e); err != nil {
					t.Fatal(err)
				}
			}
		}
		report := auditor.Report()
		if len(report.Environments) != len(all) {
			t.Fatalf("the report has %d environments, want %d", len(report.Environments), len(all))
		}
		found := map[string]audit.Environment{}
		for _, e := range report.Environments {
			found[e.ID] = e
		}
		for _, e := range all {
			want, r := wantOf(e, whole), found[e.ID]
			got := audittest.Finding{Missing: r.Unexplained, Spooled: r.Spooled, Overreported: r.Overreported, First: r.FirstSeq, Last: r.LastSeq, Ended: r.Ended}
			if r.Unexplained == 0 || slices.ContainsFunc(r.Holes, func(h audit.Hole) bool { return h.Reported > 0 }) {
				got.From, got.To = want.From, want.To // a hole names the range of the losses
			} else {
				got.From, got.To = r.Holes[0].FirstSeq, r.Holes[len(r.Holes)-1].LastSeq
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("%s, whole %t: finding (-want +got):\n%s", e.Name, whole, diff)
			}
		}
	}
}

func wantOf(e audittest.Environment, whole bool) audittest.Finding {
	if !whole || e.Want.First == 1 {
		return e.Want
	}
	return audittest.Judge(e.Events, true)
}

// A query of each kind, with what it must find of an environment.
func queries() []auditsql.Query {
	return []auditsql.Query{{}, {Whole: true}, {Where: "seq >= 8 AND seq < 30"}}
}

func TestEnginesFindWhatTheAuditFinds(t *testing.T) {
	folder := t.TempDir()
	all := environments()
	writeFiles(t, folder, 3, slices.Values(shuffled(all)))
	for _, e := range engines() {
		t.Run(e.name+"/"+e.table, func(t *testing.T) {
			results := e.run(t, folder, "2g", queries()...)
			for i, q := range queries() {
				t.Run(fmt.Sprintf("%+v", q), func(t *testing.T) { compareRows(t, incomplete(all, q), results[i].Rows) })
			}
		})
	}
}

// incomplete returns the environments of which a query returns rows.
func incomplete(all []audittest.Environment, q auditsql.Query) (found []audittest.Environment) {
	for _, e := range all {
		if e.Want = wantOf(e, q.Whole); q.Where != "" { // it cuts the environment, as a window of days does
			e.Want = audittest.Judge(slices.DeleteFunc(slices.Clone(e.Events), func(one record.Event) bool { return one.Seq < 8 || one.Seq >= 30 }), false)
		}
		if !e.Want.Complete() {
			found = append(found, e)
		}
	}
	return found
}

func compareRows(t *testing.T, want []audittest.Environment, rows []row) {
	t.Helper()
	slices.SortFunc(want, func(a, b audittest.Environment) int { return cmp.Compare(a.ID, b.ID) })
	got := map[string]row{}
	for i, r := range rows {
		if got[r.Environment] = r; i > 0 && r.Environment <= rows[i-1].Environment {
			t.Errorf("row %d is of %s, after %s", i, r.Environment, rows[i-1].Environment)
		}
	}
	for _, e := range want {
		r, ok := got[e.ID]
		delete(got, e.ID)
		if !ok {
			t.Errorf("%s has no row: want %+v", e.Name, e.Want)
		} else if diff := gocmp.Diff(e.Want, r.finding()); diff != "" {
			t.Errorf("%s: row (-want +got):\n%s", e.Name, diff)
		} else if name := e.Events[0].Resource["faas.name"]; r.Name != name {
			t.Errorf("%s has the name %q, want %q", e.Name, r.Name, name)
		}
	}
	for _, r := range got {
		t.Errorf("a complete environment has a row: %+v", r)
	}
	if len(want) < 3 {
		t.Errorf("only %d environments are not complete", len(want))
	}
}

var measured = flag.Int("events", 0, "how many events TestMeasure gives to each engine")

// TestMeasure prints how long each engine takes, three times.
func TestMeasure(t *testing.T) {
	if *measured == 0 {
		t.Skip("-events is not set")
	}
	const lines, each = 100, 10
	fleet := audittest.Fleet{Environments: max(100, *measured/lines/each), Each: each, Lines: lines}
	folder := t.TempDir()
	writeFiles(t, folder, 64, fleet.Records())
	var want []audittest.Environment
	for i := range fleet.Environments {
		if f := fleet.Want(i); !f.Complete() {
			want = append(want, audittest.Environment{
				Name: fmt.Sprint("environment ", i), ID: fleet.ID(i), Want: f,
				Events: []record.Event{{Resource: map[string]string{"faas.name": fleet.Function(i)}}},
			})
		}
	}
	for _, e := range engines() {
		t.Run(e.name+"/"+e.table, func(t *testing.T) {
			for _, r := range e.run(t, folder, "4g", make([]auditsql.Query, 3)...) {
				compareRows(t, want, r.Rows)
				t.Logf("%d events, %d rows: %.1f s", fleet.Events(), len(r.Rows), r.Seconds)
			}
		})
	}
}
