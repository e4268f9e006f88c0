package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/spool"
)

// padding makes a line as long as those of real events are at least. shown leaves it
// out.
var padding = `,"padding":"` + strings.Repeat("x", 60) + `"`

// lineOf is a line of an invocation with a number; 0: it is undecided.
func lineOf(seq, invocation, index uint64) []byte {
	return fmt.Appendf(nil, `{"schema":"kinetel/1","seq":%d,"line":"%d/%d"%s}`+"\n", seq, invocation, index, padding)
}

// undecided is count undecided lines of an invocation.
func undecided(invocation, index, count uint64) (b []byte) {
	for i := range count {
		b = append(b, lineOf(0, invocation, index+i)...)
	}
	return b
}

// decided is count lines of an invocation with their numbers, from first on.
func decided(first, invocation, index, count uint64) (b []byte) {
	for i := range count {
		b = append(b, lineOf(first+i, invocation, index+i)...)
	}
	return b
}

func (r *fixture) undecided(o *environment.Environment, invocation, index, count uint64) {
	r.t.Helper()
	if !r.Undecided(o, invocation, index, undecided(invocation, index, count)) {
		r.t.Fatal("undecided lines are not stored")
	}
}

func (r *fixture) decide(o *environment.Environment, invocation, index, count, first uint64) {
	r.t.Helper()
	if !r.Decide(o, invocation, index, count, first) {
		r.t.Fatal("a decision is not stored")
	}
}

func undecidedFile(r *fixture) string { return filepath.Join(r.dir, mine, "undecided") }

func TestUndecidedLinesAreRecoveredInTheirOrder(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	r.undecided(o, 7, 0, 2)
	r.undecided(o, 7, 2, 1)
	r.undecided(o, 8, 0, 1)
	r.undecided(o, 7, 3, 1)
	for range 2 {
		want(t, r.recover(),
			`undecided 7/0 3 {"seq":0,"line":"7/0"}{"seq":0,"line":"7/1"}{"seq":0,"line":"7/2"}`,
			`undecided 8/0 1 {"seq":0,"line":"8/0"}`,
			`undecided 7/3 1 {"seq":0,"line":"7/3"}`, "next 1")
	}
	if n := diskBytes(t, r.dir); n != r.Bytes() || n == 0 {
		t.Errorf("%d bytes are counted as %d", n, r.Bytes())
	}
}

// The caller decides, packs and rewrites. A kill comes after each of these steps.
func TestDecidedLinesAreRecoveredOnceAndWithTheirNumbers(t *testing.T) {
	const (
		both = `lines 11-12 {"seq":11,"line":"7/1"}{"seq":12,"line":"7/2"}`
		rest = `undecided 7/0 1 {"seq":0,"line":"7/0"}`
		last = `undecided 7/3 1 {"seq":0,"line":"7/3"}`
	)
	steps := []struct {
		name string
		do   func(r *fixture, o *environment.Environment)
		want []string
	}{
		{"they are decided", func(r *fixture, o *environment.Environment) { r.decide(o, 7, 1, 2, 11) }, []string{both, rest, last, "next 13"}},
		{"one is in a record", func(r *fixture, o *environment.Environment) {
			r.Done(r.append(record(o, 1, 11, 300<<10)))
			r.ForgetJournal(o)
			r.Done(r.append(record(o, 500, 500, 300<<10))) // what is done would be removed
		}, []string{`lines 12-12 {"seq":12,"line":"7/2"}`, rest, last, "next 501"}},
		{"one is in the journal", func(r *fixture, o *environment.Environment) {
			if !r.Journal(o, 12, 12, lineOf(12, 7, 2), nil) {
				r.t.Fatal("the journal stores nothing")
			}
		}, []string{`lines 12-12 {"seq":12,"line":"7/2"}`, rest, last, "next 501"}},
		{"all are in records that are done", func(r *fixture, o *environment.Environment) {
			ref := r.append(record(o, 12, 12, 10))
			r.ForgetJournal(o)
			r.Done(ref)
			r.Done(r.append(record(o, 501, 501, 300<<10)))
		}, []string{rest, last, "next 502"}},
		{"the file has only the others", func(r *fixture, o *environment.Environment) {
			if !r.RewriteUndecided(o, func(yield func(invocation, index uint64, lines []byte) bool) {
				_ = yield(7, 0, undecided(7, 0, 1)) && yield(7, 3, undecided(7, 3, 1))
			}) {
				r.t.Fatal("the file is not written anew")
			}
		}, []string{rest, last, "next 502"}},
		{"one more is decided", func(r *fixture, o *environment.Environment) { r.decide(o, 7, 3, 1, 502) }, []string{`lines 502-502 {"seq":502,"line":"7/3"}`, rest, "next 503"}},
		{"the rest is left out", func(r *fixture, o *environment.Environment) {
			r.append(record(o, 502, 503, 10))
			if !r.LeaveOut(o, 7) {
				r.t.Fatal("that lines are left out is not stored")
			}
		}, []string{"record 502-503", "next 504"}},
	}
	for n := range steps {
		t.Run(steps[n].name, func(t *testing.T) {
			r := newFixture(t, 64<<20)
			o := env(mine)
			r.undecided(o, 7, 0, 4)
			for _, step := range steps[:n+1] {
				step.do(r, o)
			}
			want(t, r.recover(), steps[n].want...)
			want(t, r.recover(), steps[n].want...)
		})
	}
}

// The next process numbers the lines that it recovers by the same calls.
func TestARecoveredFolderTakesDecisions(t *testing.T) {
	r := newFixture(t, 64<<20)
	r.undecided(env(mine), 7, 0, 3)
	r.decide(env(mine), 7, 0, 1, 1)
	recovered := r.recover()
	o := recovered.Environment
	r.decide(o, 7, recovered.Undecided[0].Index, 1, recovered.Next)
	recovered = r.recover()
	want(t, recovered, `lines 1-2 {"seq":1,"line":"7/0"}{"seq":2,"line":"7/1"}`, `undecided 7/2 1 {"seq":0,"line":"7/2"}`, "next 3")
	o = recovered.Environment
	r.append(record(o, 1, 2, 10))
	r.decide(o, 7, 2, 1, 3)
	recovered = r.recover()
	want(t, recovered, "record 1-2", `lines 3-3 {"seq":3,"line":"7/2"}`, "next 4")
	o = recovered.Environment
	r.append(record(o, 3, 3, 10))
	if !r.RewriteUndecided(o, nil) || r.UndecidedSize(o) != 40 {
		t.Errorf("the file has %d bytes after it was emptied", r.UndecidedSize(o))
	}
	recovered = r.recover()
	for _, ref := range recovered.Records {
		r.Done(ref)
	}
	r.Spool.Close()
	if files := r.files(); files != nil {
		t.Errorf("these files stay although nothing is to be sent: %v", files)
	}
}

func TestWithoutUndecidedLinesThereIsNoFile(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	r.Break(func(op, path string, _ int) (int, error) {
		t.Errorf("%s %s", op, path)
		return 0, syscall.EIO
	})
	if !r.Decide(o, 7, 0, 1, 1) || !r.LeaveOut(o, 7) || !r.RewriteUndecided(o, nil) || r.UndecidedLost(o) || r.UndecidedSize(o) != 0 || r.Bytes() != 0 {
		t.Error("there is something to write")
	}
}

func TestCloseLeavesUndecidedLinesToTheNextProcess(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(r *fixture, o *environment.Environment)
		want string
	}{
		"undecided": {func(*fixture, *environment.Environment) {}, `undecided 7/0 1 {"seq":0,"line":"7/0"}`},
		"decided":   {func(r *fixture, o *environment.Environment) { r.decide(o, 7, 0, 1, 1) }, `lines 1-1 {"seq":1,"line":"7/0"}`},
		"written anew": {func(r *fixture, o *environment.Environment) {
			r.RewriteUndecided(o, func(yield func(invocation, index uint64, lines []byte) bool) { yield(7, 0, undecided(7, 0, 1)) })
		}, `undecided 7/0 1 {"seq":0,"line":"7/0"}`},
		"decided, by an earlier process": {func(r *fixture, o *environment.Environment) {
			r.decide(o, 7, 0, 1, 1)
			r.recover()
		}, `lines 1-1 {"seq":1,"line":"7/0"}`},
		"emptied": {func(r *fixture, o *environment.Environment) {
			r.decide(o, 7, 0, 1, 1)
			r.RewriteUndecided(o, nil)
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newFixture(t, 64<<20)
			o := env(mine)
			r.undecided(o, 7, 0, 1)
			c.do(r, o)
			r.Spool.Close()
			if r.Undecided(o, 7, 1, undecided(7, 1, 1)) || r.LeaveOut(o, 7) || r.RewriteUndecided(o, nil) {
				t.Error("a closed spool stores something")
			}
			if files := r.files(); c.want == "" && files != nil {
				t.Errorf("nothing is to be sent, and these files stay: %v", files)
			}
			all := r.open(64 << 20).Recover()
			if (len(all) > 0) != (c.want != "") || len(all) > 0 && !strings.HasPrefix(shown(all[0]), c.want) {
				t.Errorf("recovered %+v", all)
			}
		})
	}
}

// Without this, every start would find the lines again.
func TestAFileWithNothingToSendIsEmptied(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	r.undecided(o, 7, 0, 1)
	r.undecided(o, 8, 0, 1)
	r.decide(o, 7, 0, 1, 1)
	r.append(record(o, 1, 1, 10))
	r.LeaveOut(o, 8)
	recovered := r.recover()
	want(t, recovered, "record 1-1", "next 2")
	if n := r.UndecidedSize(recovered.Environment); n != 40 {
		t.Errorf("the file has %d bytes", n)
	}
	r.Done(recovered.Records[0])
	r.Kill()
	if all := r.open(64 << 20).Recover(); all != nil || len(r.files()) > 0 {
		t.Errorf("recovered %+v; files: %v", all, r.files())
	}
}

// If the journal has no room, records may go to Kinesis from memory.
func TestADecidedLineThatWasSentFromMemoryIsNotSentAgain(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	r.undecided(o, 7, 0, 6)
	r.decide(o, 7, 0, 5, 1)
	r.Sent(record(o, 2, 2, 10))
	r.Sent(record(o, 4, 5, 10))
	want(t, r.recover(), `lines 1-1 {"seq":1,"line":"7/0"}`, `lines 3-3 {"seq":3,"line":"7/2"}`,
		`undecided 7/5 1 {"seq":0,"line":"7/5"}`, "next 6")
}

// Segments with records that are done are kept only as long as they show which decided
// lines are in records.
func TestJournalledDecisionsDoNotKeepSegments(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	r.undecided(o, 7, 0, 2)
	for seq := uint64(1); seq <= 2; seq++ {
		r.decide(o, 7, seq-1, 1, seq)
		r.Seal(r.append(record(o, seq, seq, 10)))
	}
	r.append(record(o, 3, 3, 10))
	r.Journal(o, 4, 4, lines(4, 4), nil)
	r.append(record(o, 4, 4, 10))
	r.ForgetJournal(o)
	recovered := r.recover()
	for _, ref := range recovered.Records[:2] {
		r.Done(ref)
	}
	if n := strings.Count(strings.Join(r.files(), " "), ".seg"); n != 1 {
		t.Errorf("%d segments: %v", n, r.files())
	}
}

// As above, after a kill, and if only some of the decided lines are known to be
// elsewhere.
func TestSegmentsStayWhileTheyShowWhichDecidedLinesWereSent(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	r.undecided(o, 7, 0, 5)
	r.decide(o, 7, 0, 4, 1)
	r.Sent(record(o, 4, 4, 10))
	r.Sent(record(o, 1, 1, 10))
	r.Done(r.append(record(o, 2, 2, 300<<10)))
	r.Seal(r.append(record(o, 10, 10, 300<<10)))
	recovered := r.recover()
	rest := []string{`lines 3-3 {"seq":3,"line":"7/2"}`, `undecided 7/4 1 {"seq":0,"line":"7/4"}`}
	want(t, recovered, "record 10-10", rest[0], rest[1], "next 11")
	r.append(record(recovered.Environment, 11, 11, 10))
	r.Done(recovered.Records[0]) // its segment shows that line 2 was sent
	want(t, r.recover(), "record 11-11", rest[0], rest[1], "next 12")
}

func TestRewriteKeepsTheOldFileIfItFails(t *testing.T) {
	for _, op := range []string{"open", "write", "rename"} {
		t.Run(op, func(t *testing.T) {
			r := newFixture(t, 64<<20)
			o := env(mine)
			r.undecided(o, 7, 0, 2)
			r.Break(func(what, path string, n int) (int, error) {
				if what == op && strings.HasSuffix(path, ".new") {
					return n / 2, syscall.ENOSPC
				}
				return n, nil
			})
			if r.RewriteUndecided(o, func(yield func(invocation, index uint64, lines []byte) bool) { yield(7, 1, undecided(7, 1, 1)) }) {
				t.Error("the file is written anew")
			}
			if n := diskBytes(t, r.dir); n != r.Bytes() {
				t.Errorf("%d bytes are counted as %d", n, r.Bytes())
			}
			want(t, r.recover(), `undecided 7/0 2 {"seq":0,"line":"7/0"}{"seq":0,"line":"7/1"}`, "next 1")
		})
	}
}

func TestUndecidedLinesHaveABound(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	text := undecided(7, 0, 1000)
	n := uint64(0)
	for r.Undecided(o, 7, n*1000, undecided(7, n*1000, 1000)) {
		n++
	}
	if size := r.UndecidedSize(o); size > 8<<20 || size < 8<<20-int64(len(text))-1000 {
		t.Errorf("the file has %d bytes when it is full", size)
	}
	// There is room for decisions, and to read all of it.
	r.decide(o, 7, 0, 1000, 1)
	if r.RewriteUndecided(o, func(yield func(invocation, index uint64, lines []byte) bool) {
		for i := uint64(0); yield(7, i, undecided(7, i, 1000)); i += 1000 {
		}
	}) {
		t.Error("the file has more than its limit")
	}
	recovered := r.recover()
	if got := recovered.Undecided; len(got) != 1 || got[0].Count != (n-1)*1000 || len(recovered.Losses) > 0 || len(recovered.Lines) != 1 {
		t.Errorf("%d runs of undecided lines, %d of others, losses %v", len(got), len(recovered.Lines), recovered.Losses)
	}
	r.decide(recovered.Environment, 7, 1000, 1, recovered.Next)
	if r.Undecided(recovered.Environment, 8, 0, []byte("too short\n")) {
		t.Error("something that is no line is stored")
	}
}

func TestUndecidedLinesUseTheReserve(t *testing.T) {
	const limit = 4 << 20
	r := newFixture(t, limit)
	r.Close()
	r.Spool = spool.New(spool.Options{Dir: r.dir, Max: limit, Reserve: 1 << 20, Log: slog.New(slog.NewTextHandler(r.log, nil))})
	defer r.Spool.Close()
	o := env(mine)
	fill := func() {
		for seq := uint64(1); ; seq++ {
			if _, err := r.Append(record(o, seq, seq, 50<<10)); errors.Is(err, spool.ErrFull) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	r.undecided(o, 7, 0, 4000)
	if size := r.UndecidedSize(o); size < 400<<10 {
		t.Errorf("%d bytes of undecided lines", size)
	}
	fill()
	full := r.Bytes() - r.UndecidedSize(o)
	if free := limit - full; free < 1<<20 || free > 1<<20+300<<10 {
		t.Errorf("records leave %d bytes to all others, want 1 MiB", free)
	}
	n := uint64(40)
	for r.Undecided(o, 7, n*100, undecided(7, n*100, 100)) {
		n++
	}
	if size := r.UndecidedSize(o); size < 900<<10 || r.Bytes() > limit {
		t.Errorf("%d bytes of undecided lines, %d of all", size, r.Bytes())
	}
	if !strings.Contains(r.log.String(), "the spool is full") {
		t.Errorf("the log has %q", r.log)
	}
	r.decide(o, 7, 0, 1, 5000) // there is always room to decide
	fill()
	if got := r.Bytes() - r.UndecidedSize(o); got > full {
		t.Errorf("records have %d bytes, more than %d: they have taken the reserve", got, full)
	}
}

// The function deletes files: the caller has everything in memory.
func TestDeletedUndecidedLinesAreWrittenAgain(t *testing.T) {
	for name, remove := range map[string]func(r *fixture) error{
		"deleted":   func(r *fixture) error { return os.Remove(undecidedFile(r)) },
		"truncated": func(r *fixture) error { return os.Truncate(undecidedFile(r), 100) },
		"replaced":  func(r *fixture) error { return replaced(undecidedFile(r)) },
		"a folder": func(r *fixture) error {
			return errors.Join(os.Remove(undecidedFile(r)), os.MkdirAll(filepath.Join(undecidedFile(r), "x"), 0o700))
		},
		"everything": func(r *fixture) error { return os.RemoveAll(r.dir) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newFixture(t, 64<<20)
			o := env(mine)
			r.undecided(o, 7, 0, 2)
			if r.Check(); r.UndecidedLost(o) {
				t.Error("lost before anything was deleted")
			}
			if err := remove(r); err != nil {
				t.Fatal(err)
			}
			if r.Check(); !r.UndecidedLost(o) || r.UndecidedLost(o) || r.JournalLost(o) {
				t.Error("it is not reported, or not once")
			}
			if !r.RewriteUndecided(o, func(yield func(invocation, index uint64, lines []byte) bool) { yield(7, 0, undecided(7, 0, 2)) }) {
				t.Fatal("the lines are not written again")
			}
			r.undecided(o, 7, 2, 1)
			want(t, r.recover(), `undecided 7/0 3 {"seq":0,"line":"7/0"}{"seq":0,"line":"7/1"}{"seq":0,"line":"7/2"}`, "next 1")
		})
	}
	t.Run("an empty file", func(t *testing.T) {
		r := newFixture(t, 64<<20)
		o := env(mine)
		r.undecided(o, 7, 0, 2)
		r.RewriteUndecided(o, nil)
		if err := os.Remove(undecidedFile(r)); err != nil {
			t.Fatal(err)
		}
		if r.Check(); r.UndecidedLost(o) {
			t.Error("reported although no line is lost")
		}
	})
}

// Three frames of undecided lines: two lines of invocation 7, of which the first gets
// the number 5, and three and one of invocation 8.
func TestCorruptUndecidedFilesAreReported(t *testing.T) {
	const (
		seven = `undecided 7/1 1 {"seq":0,"line":"7/1"}`
		eight = `undecided 8/0 3 {"seq":0,"line":"8/0"}{"seq":0,"line":"8/1"}{"seq":0,"line":"8/2"}`
		last  = `undecided 8/3 1 {"seq":0,"line":"8/3"}`
		five  = `lines 5-5 {"seq":5,"line":"7/0"}`
	)
	for _, c := range []struct {
		name    string
		corrupt func(at []int64, b []byte) []byte
		want    []string
	}{
		{"nothing", func(_ []int64, b []byte) []byte { return b }, []string{five, seven, `undecided 8/0 4 {"seq":0,"line":"8/0"}{"seq":0,"line":"8/1"}{"seq":0,"line":"8/2"}{"seq":0,"line":"8/3"}`, "next 6"}},
		{"lines, one of which was decided", func(at []int64, b []byte) []byte { return flip(at[0] + 60)(b) }, []string{`undecided 8/0 4 {"seq":0,"line":"8/0"}{"seq":0,"line":"8/1"}{"seq":0,"line":"8/2"}{"seq":0,"line":"8/3"}`, "loss 5-5 1 spool-corrupt", "loss 6-6 1 spool-corrupt", "next 7"}},
		{"lines that were not decided", func(at []int64, b []byte) []byte { return flip(at[1] + 60)(b) }, []string{five, seven, last, "loss 6-8 3 spool-corrupt", "next 9"}},
		{"the header of lines", func(at []int64, b []byte) []byte { return flip(at[1] + 9)(b) }, []string{five, seven, last, "loss 6-8 3 spool-corrupt", "next 9"}},
		// They may have been decided: they must not be sent twice.
		{"a decision", func(at []int64, b []byte) []byte { return flip(at[2] + 40)(b) }, []string{last, "loss 5-5 1 spool-corrupt", "loss 6-9 4 spool-corrupt", "next 10"}},
		{"the header of a decision", func(at []int64, b []byte) []byte { return flip(at[2])(b) }, []string{last, "loss 5-5 1 spool-corrupt", "loss 6-9 4 spool-corrupt", "next 10"}},
		{"all of a decision", func(at []int64, b []byte) []byte { clear(b[at[2]:at[3]]); return b }, []string{last, "loss 1-6 6 spool-corrupt", "next 7"}},
		{"a torn frame", func(at []int64, b []byte) []byte { return b[:len(b)-1] }, []string{five, seven, eight, "next 6"}},
		{"the mark", func(_ []int64, b []byte) []byte { return flip(8)(b) }, []string{five, seven, `undecided 8/0 4 {"seq":0,"line":"8/0"}{"seq":0,"line":"8/1"}{"seq":0,"line":"8/2"}{"seq":0,"line":"8/3"}`, "next 6"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newFixture(t, 64<<20)
			o := env(mine)
			var at []int64
			for _, do := range []func(){
				func() { r.undecided(o, 7, 0, 2) },
				func() { r.undecided(o, 8, 0, 3) },
				func() { r.decide(o, 7, 0, 1, 5) },
				func() { r.undecided(o, 8, 3, 1) },
			} {
				at = append(at, max(r.UndecidedSize(o), 40))
				do()
			}
			r.Kill()
			change(t, undecidedFile(r), func(b []byte) []byte { return c.corrupt(at, b) })
			recovered := r.recover()
			want(t, recovered, c.want...)
			if logged := strings.Contains(r.log.String(), "is not what was written"); logged != (c.name != "nothing" && c.name != "a torn frame") {
				t.Errorf("the log has %q", r.log)
			}
			// The caller sends what was recovered. Nothing is found or reported again.
			for _, loss := range recovered.Losses {
				r.Lost(recovered.Environment, loss)
			}
			if !r.RewriteUndecided(recovered.Environment, nil) {
				t.Error("the file cannot be emptied")
			}
			r.append(record(recovered.Environment, 50, 50, 10))
			if again := r.recover(); len(again.Losses) != len(recovered.Losses) || len(again.Lines)+len(again.Undecided) > 0 {
				t.Error(shown(again))
			}
		})
	}
}

// A damaged decision whose lines are in a record has lost nothing but those before it
// that were undecided.
func TestNumbersOfACorruptDecisionThatAreInARecordAreNotLost(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	r.undecided(o, 7, 0, 3)
	at := r.UndecidedSize(o)
	r.decide(o, 7, 0, 2, 5)
	r.append(record(o, 5, 6, 10))
	change(t, undecidedFile(r), flip(at+40))
	want(t, r.recover(), "record 5-6", "loss 7-7 1 spool-corrupt", "next 8")
}

// lineChecker accepts the lines of this file.
type lineChecker struct{ checker }

func (lineChecker) Line(_ *environment.Environment, seq uint64, text []byte) bool {
	return bytes.HasPrefix(text, fmt.Appendf(nil, `{"schema":"kinetel/1","seq":%d,"line":"7/`, seq))
}

func TestUndecidedLinesAreValidated(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	r.undecided(o, 7, 0, 1)
	for n, text := range [][]byte{
		append(undecided(7, 1, 1), undecided(8, 2, 1)...),                                 // refused by the Checker
		bytes.ReplaceAll(undecided(7, 3, 2), []byte(`"seq":0`), []byte(`"seq":1`)),        // with a number
		append(undecided(7, 5, 1), bytes.TrimSuffix(undecided(7, 6, 1), []byte("\n"))...), // without a line feed
	} {
		if !r.Undecided(o, 7, uint64(2*n+1), text) {
			t.Fatal("the lines are not stored")
		}
	}
	r.Kill()
	r.Spool = spool.New(spool.Options{Dir: r.dir, Max: 64 << 20, Log: slog.New(slog.NewTextHandler(r.log, nil)), Check: lineChecker{}})
	defer r.Spool.Close()
	want(t, r.Recover()[0], `undecided 7/0 1 {"seq":0,"line":"7/0"}`, "loss 1-5 5 spool-corrupt", "next 6")
}

// Lines that a Packer can have written pass the real Checker.
func TestTheCheckerAcceptsUndecidedLines(t *testing.T) {
	o := env(mine)
	text := []byte(`{"schema":"kinetel/1","seq":0,"time":"2026-11-27T05:00:00.000Z","type":"function","body":"x","resource":{"service.instance.id":"` + mine + `"}}` + "\n")
	if !(pack.Checker{}).Line(o, 0, text) {
		t.Error("the line is refused")
	}
	r := newFixture(t, 64<<20)
	if !r.Undecided(o, 1, 0, text) {
		t.Error("the line is too short")
	}
}

// Files that no process of Kinetel writes give no line twice, and no number twice.
func TestForgedDecisionsGiveEachLineOnce(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	r.undecided(o, 7, 0, 3)
	r.decide(o, 7, 0, 2, 10)
	r.decide(o, 7, 1, 2, 20)  // overlaps
	r.decide(o, 7, 2, 1, 15)  // not ascending
	r.decide(o, 9, 0, 5, 100) // of nothing
	recovered := r.recover()
	var texts []string
	for _, run := range recovered.Lines {
		texts = append(texts, strings.Split(strings.TrimSpace(string(run.Lines)), "\n")...)
	}
	if diff := cmp.Diff([]string{
		strings.TrimSpace(string(lineOf(10, 7, 0))), strings.TrimSpace(string(lineOf(11, 7, 1))), strings.TrimSpace(string(lineOf(21, 7, 2))),
	}, texts); diff != "" || recovered.Next != 105 {
		t.Errorf("next %d\n%s", recovered.Next, diff)
	}
	if len(recovered.Losses) == 0 || recovered.Losses[len(recovered.Losses)-1].Last != 104 {
		t.Errorf("the losses are %v", recovered.Losses)
	}
}

// Otherwise a file of 16 MiB could make the recovery search for 16 billion lines.
func TestNoMoreLinesAreDecidedThanFit(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	r.undecided(o, 7, 0, 2)
	r.decide(o, 9, 0, 80_000, 1)
	r.decide(o, 9, 0, 80_000, 80_001)
	if r.Decide(o, 9, 0, 90_000, 160_001) {
		t.Error("more lines are decided than there can be")
	}
	if recovered := r.recover(); len(recovered.Undecided) > 0 || !strings.Contains(r.log.String(), "places=1") {
		t.Errorf("the second decision is used: %s; %s", shown(recovered), r.log)
	}
}

// A neighbour can extend the file.
func TestNoMoreUndecidedLinesAreRecoveredThanFit(t *testing.T) {
	r := newFixture(t, 64<<20)
	r.undecided(env(mine), 7, 0, 1)
	change(t, undecidedFile(r), func(b []byte) []byte {
		for invocation := uint64(8); len(b) < 12<<20; invocation++ {
			b = append(b, spool.Frame(7, undecided(invocation, 0, 5000), 5000, invocation, 0)...)
		}
		return b
	})
	got, bytes := uint64(0), 0
	recovered := r.recover()
	for _, u := range recovered.Undecided {
		got, bytes = got+u.Count, bytes+len(u.Lines)
	}
	if bytes > 8<<20 || bytes < 7<<20 || len(recovered.Losses) != 1 || (got+uint64(recovered.Losses[0].Count))%5000 != 1 {
		t.Errorf("%d lines of %d bytes are recovered; losses: %v", got, bytes, recovered.Losses)
	}
}

func FuzzUndecided(f *testing.F) {
	dir := f.TempDir()
	s := spool.New(spool.Options{Dir: dir, Max: 64 << 20, Log: slog.New(slog.DiscardHandler)})
	o := env(mine)
	s.Undecided(o, 7, 0, undecided(7, 0, 3))
	s.Undecided(o, 8, 0, undecided(8, 0, 2))
	s.Decide(o, 7, 1, 2, 1)
	s.Journal(o, 1, 1, decided(1, 7, 1, 1), nil)
	s.LeaveOut(o, 8)
	s.Undecided(o, 9, 0, undecided(9, 0, 2))
	s.Decide(o, 9, 0, 1, 3)
	s.Kill()
	file, err1 := os.ReadFile(filepath.Join(dir, mine, "undecided"))
	jour, err2 := os.ReadFile(filepath.Join(dir, mine, "journal"))
	if err := errors.Join(err1, err2); err != nil {
		f.Fatal(err)
	}
	f.Add(file, jour, false)
	f.Add(file, jour, true)
	f.Add(append(bytes.Clone(file), file...), jour, true)
	f.Add(jour, file, true)
	f.Add(file[1:], jour[:len(jour)-1], false)
	f.Fuzz(func(t *testing.T, file, journal []byte, reseal bool) {
		if reseal {
			file, journal = spool.Reseal(bytes.Clone(file)), spool.Reseal(bytes.Clone(journal))
		}
		dir := t.TempDir()
		folder := filepath.Join(dir, mine)
		if err := errors.Join(
			os.Mkdir(folder, 0o700),
			os.WriteFile(filepath.Join(folder, "undecided"), file, 0o600),
			os.WriteFile(filepath.Join(folder, "journal"), journal, 0o600),
		); err != nil {
			t.Fatal(err)
		}
		s := spool.New(spool.Options{Dir: dir, Max: 64 << 20, Log: slog.New(slog.DiscardHandler)})
		defer s.Close()
		for _, l := range s.Recover() {
			text, last := 0, uint64(0)
			for _, run := range l.Lines {
				if run.First <= last || run.Last < run.First || run.Last >= l.Next || bytes.Count(run.Lines, []byte("\n")) != int(run.Last-run.First+1) {
					t.Errorf("lines from %d to %d after %d; the next number is %d", run.First, run.Last, last, l.Next)
				}
				text, last = text+len(run.Lines), run.Last
			}
			next := l.Next
			for _, u := range l.Undecided {
				text += len(u.Lines)
				if u.Count == 0 || bytes.Count(u.Lines, []byte("\n")) != int(u.Count) || bytes.Count(u.Lines, []byte(`{"schema":"kinetel/1","seq":0,`)) < int(u.Count) {
					t.Errorf("%d lines are %q", u.Count, u.Lines)
				}
				s.Decide(l.Environment, u.Invocation, u.Index, u.Count, next)
				next += u.Count
			}
			if text > len(file)+len(journal)+20*bytes.Count(file, []byte("\n")) {
				t.Errorf("%d bytes of lines in files of %d and %d bytes", text, len(file), len(journal))
			}
			for _, loss := range l.Losses {
				if loss.Last >= l.Next {
					t.Errorf("%+v is lost, and %d is the next number", loss, l.Next)
				}
				s.Lost(l.Environment, ledger.Loss{First: loss.First, Last: loss.Last, Count: loss.Count, Bytes: loss.Bytes, Reason: loss.Reason})
			}
			s.RewriteUndecided(l.Environment, nil)
			s.ForgetJournal(l.Environment)
		}
		if n := diskBytes(t, dir); n != s.Bytes() {
			t.Errorf("%d bytes are counted as %d", n, s.Bytes())
		}
	})
}
