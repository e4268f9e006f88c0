package spool_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/spool"
	"github.com/kinetel/kinetel/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	mine   = "0123456789abcdef0123456789abcdef"
	theirs = "fedcba9876543210fedcba9876543210"
)

// failer is what testing's and rapid's T have in common.
type failer interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func env(id string) *environment.Environment {
	return environment.New(id, environment.Details{Resource: []byte(`{"faas.name": "<f>", "service.instance.id":"` + id + `"}`)})
}

// record returns a record of size bytes, which depend on first.
func record(o *environment.Environment, first, last uint64, size int) *pack.Record {
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(uint64(i)*7 + first*31)
	}
	return &pack.Record{
		Data: data, PartitionKey: "key", Environment: o, First: first, Last: last,
		Events: int(last - first + 1), Lines: 12345,
	}
}

// bareRecord is a record without what belongs to a process.
type bareRecord struct {
	pack.Record
	environment, resource string
}

// bare is a record without its origin's ledger, which cannot be compared.
func bare(r *pack.Record) bareRecord {
	b := bareRecord{Record: *r, environment: r.Environment.ID, resource: string(r.Environment.Details().Resource)}
	b.Environment = nil
	if len(b.Data) == 0 {
		b.Data = nil
	}
	if len(b.Losses) == 0 {
		b.Losses = nil
	}
	return b
}

// sameRecord compares bare records. It compares their data as a whole, because cmp
// takes long for each byte.
func sameRecord() cmp.Option {
	return cmp.Options{cmp.AllowUnexported(bareRecord{}), cmp.Comparer(bytes.Equal)}
}

// diskBytes is the bytes of all files under dir.
func diskBytes(t failer, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// fixture is a spool in a folder of its own, and what it logs.
type fixture struct {
	*spool.Spool
	t   *testing.T
	dir string
	log *testkit.Log
}

func newFixture(t *testing.T, max int64) *fixture {
	t.Helper()
	return (&fixture{t: t, dir: filepath.Join(t.TempDir(), "a", "kinetel"), log: &testkit.Log{}}).open(max)
}

func (r *fixture) open(max int64) *fixture {
	r.t.Helper()
	r.Spool = spool.New(spool.Options{Dir: r.dir, Max: max, Log: slog.New(slog.NewTextHandler(r.log, nil))})
	r.t.Cleanup(r.Spool.Close)
	return r
}

func (r *fixture) append(rec *pack.Record) *spool.Ref {
	r.t.Helper()
	ref, err := r.Append(rec)
	if err != nil {
		r.t.Fatal(err)
	}
	return ref
}

func (r *fixture) journal(o *environment.Environment, first, last uint64, fragment string) {
	r.t.Helper()
	if !r.Journal(o, first, last, lines(first, last), []byte(fragment)) {
		r.t.Fatal("the journal stores nothing")
	}
}

// recover kills the process and has the next one recover one environment.
func (r *fixture) recover() spool.Recovered {
	r.t.Helper()
	r.Kill()
	r.open(64 << 20)
	recovered := r.Recover()
	if len(recovered) != 1 {
		r.t.Fatalf("%d environments are recovered", len(recovered))
	}
	return recovered[0]
}

func lines(first, last uint64) (b []byte) {
	for seq := first; seq <= last; seq++ {
		b = fmt.Appendf(b, `{"seq":%d}`+"\n", seq)
	}
	return b
}

// shown returns the content of a Recovered as text.
func shown(l spool.Recovered) string {
	var b strings.Builder
	for _, ref := range l.Records {
		fmt.Fprintf(&b, "record %d-%d\n", ref.First, ref.Last)
	}
	for _, run := range l.Lines {
		fmt.Fprintf(&b, "lines %d-%d %s\n", run.First, run.Last, bytes.ReplaceAll(run.Lines, []byte("\n"), nil))
	}
	for _, u := range l.Undecided {
		fmt.Fprintf(&b, "undecided %d/%d %d %s\n", u.Invocation, u.Index, u.Count, bytes.ReplaceAll(u.Lines, []byte("\n"), nil))
	}
	if l.Fragment != nil {
		fmt.Fprintf(&b, "fragment %s\n", l.Fragment)
	}
	for _, loss := range l.Losses {
		fmt.Fprintf(&b, "loss %d-%d %d %s\n", loss.First, loss.Last, loss.Count, loss.Reason)
	}
	fmt.Fprintf(&b, "next %d", l.Next)
	return strings.NewReplacer(`"schema":"kinetel/1",`, "", padding, "").Replace(b.String())
}

func want(t *testing.T, l spool.Recovered, text ...string) {
	t.Helper()
	if diff := cmp.Diff(strings.Join(text, "\n"), shown(l)); diff != "" {
		t.Error(diff)
	}
}

func (r *fixture) files() (names []string) {
	r.t.Helper()
	err := filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, filepath.Base(path))
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.t.Fatal(err)
	}
	return names
}

func TestNewTouchesNoFile(t *testing.T) {
	r := newFixture(t, 1<<20)
	if _, err := os.Stat(r.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is there: %v", err)
	}
	if r.Recover() != nil || r.Bytes() != 0 {
		t.Error("something is recovered from nothing")
	}
}

func TestRecordIsReadBackAsItWas(t *testing.T) {
	r := newFixture(t, 64<<20)
	for _, size := range []int{0, 1, 2000, 64 << 10, 1<<20 - 6} {
		rec := record(env(mine), uint64(size+1), uint64(size+7), size)
		rec.PartitionKey, rec.Droppable = "ß\x00k\"ey"[:6], 3
		rec.Losses = []ledger.Loss{{First: 1, Last: 2, Count: 2, Bytes: 9, Reason: ledger.BufferFull}}
		ref := r.append(rec)
		got, err := r.Read(ref)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(bare(rec), bare(got), sameRecord()); diff != "" {
			t.Error(diff)
		}
		without := ref.Record()
		rec.Data, rec.PartitionKey = nil, ""
		if diff := cmp.Diff(bare(rec), bare(without), sameRecord()); diff != "" {
			t.Error(diff)
		}
		if ref.DataSize != got.Size() || ref.Size() < int64(size) {
			t.Errorf("%d bytes of data in %d bytes, for %d", ref.DataSize, ref.Size(), got.Size())
		}
	}
	if n := diskBytes(t, r.dir); n != r.Bytes() {
		t.Errorf("%d bytes are counted as %d", n, r.Bytes())
	}
}

func TestOnlyTheUserHasAccess(t *testing.T) {
	r := newFixture(t, 1<<20)
	o := env(mine)
	r.append(record(o, 1, 2, 100))
	r.journal(o, 3, 4, "")
	seen := 0
	err := filepath.WalkDir(r.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o", d.Name(), info.Mode().Perm())
		}
		seen++
		return nil
	})
	if err != nil || seen != 5 {
		t.Errorf("%d files and folders: %v", seen, err)
	}
}

func TestModeOfAnExistingFolderStays(t *testing.T) {
	r := newFixture(t, 1<<20)
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.append(record(env(mine), 1, 1, 10))
	if info, err := os.Stat(r.dir); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestCapHolds(t *testing.T) {
	const cap = 1 << 20
	r := newFixture(t, cap)
	o := env(mine)
	var refs []*spool.Ref
	for _, size := range []int{10_000, 0} {
		for {
			seq := uint64(len(refs) + 1)
			ref, err := r.Append(record(o, seq, seq, size))
			if errors.Is(err, spool.ErrFull) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			refs = append(refs, ref)
		}
	}
	if len(refs) < 90 {
		t.Errorf("full after %d records", len(refs))
	}
	if r.Journal(o, 1000, 1000+9999, lines(1000, 1000+9999), nil) {
		t.Error("the journal stores more than there is room for")
	}
	r.Journal(o, 1000, 1000+9999, lines(1000, 1000+9999), nil)
	if n := strings.Count(r.log.String(), "the spool is full"); n != 1 {
		t.Errorf("logged %d times: %s", n, r.log)
	}
	// There is still room for the losses that only a full spool causes.
	r.Lost(o, ledger.Loss{First: 1, Last: 9, Count: 9, Reason: ledger.SpoolFull})
	for seq, before := uint64(5000), int64(-1); r.Bytes() > before; seq++ {
		before = r.Bytes()
		r.Lost(o, ledger.Loss{First: seq, Last: seq, Count: 1, Reason: ledger.Rejected})
		if seq > 6000 {
			t.Fatal("there is room without end")
		}
	}
	order := slices.Concat(refs[1:], refs[:1]) // the first file stays, full of done records
	for _, ref := range order {
		if ref == refs[len(refs)-1] {
			continue
		}
		r.Done(ref)
		if n := diskBytes(t, r.dir); n > cap || n != r.Bytes() {
			t.Fatalf("%d bytes of %d, counted as %d", n, cap, r.Bytes())
		}
	}
	if !r.Journal(o, 1000, 1000+9999, lines(1000, 1000+9999), nil) {
		t.Error("there is room again, and the journal stores nothing")
	}
	if !strings.Contains(r.log.String(), "the spool has room again") {
		t.Errorf("not logged: %s", r.log)
	}
	r.ForgetJournal(o)
	recovered := r.recover()
	if len(recovered.Records) != 1 || recovered.Records[0].First != uint64(len(refs)) || len(recovered.Losses) < 100 || recovered.Losses[0].Last != 9 || recovered.Next != 11000 {
		t.Error(shown(recovered))
	}
}

func TestSegmentWithAllRecordsDoneIsRemoved(t *testing.T) {
	r := newFixture(t, 1<<20)
	o := env(mine)
	a, b := r.append(record(o, 1, 1, 200<<10)), r.append(record(o, 2, 2, 100<<10))
	c := r.append(record(o, 3, 3, 10))
	if !r.SameSegment(a, b) || r.SameSegment(b, c) {
		t.Error("a new file begins at another place")
	}
	r.Done(b)
	if n := r.Bytes(); n < 300<<10 {
		t.Errorf("%d bytes", n)
	}
	r.Done(a)
	r.Done(a) // a second call has no effect
	if diff := cmp.Diff([]string{"00000002.seg", "meta"}, r.files()); diff != "" {
		t.Error(diff)
	}
	want(t, r.recover(), "record 3-3", "next 4")
}

func TestCurrentSegmentIsEmptiedWhenAllIsDone(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	for seq := uint64(1); seq <= 100; seq++ {
		r.Done(r.append(record(o, seq, seq, 10_000)))
		if r.Bytes() > 280<<10 {
			t.Fatalf("%d bytes", r.Bytes())
		}
	}
	r.append(record(o, 101, 101, 1))
	want(t, r.recover(), "record 101-101", "next 102")
}

func TestSealBeginsANewFile(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	a := r.append(record(o, 1, 1, 10))
	r.Seal(a)
	b := r.append(record(o, 2, 2, 10))
	r.Seal(a) // it is not written any more
	c := r.append(record(o, 3, 3, 10))
	if r.SameSegment(a, b) || !r.SameSegment(b, c) {
		t.Error("the files are not as they were asked for")
	}
	r.Done(a)
	r.Seal(c)
	r.Done(b)
	r.Done(c)
	if diff := cmp.Diff([]string{"00000002.seg", "meta"}, r.files()); diff != "" {
		t.Error(diff)
	}
	r.journal(o, 4, 4, "")
	want(t, r.recover(), `lines 4-4 {"seq":4}`, "next 5")
}

func TestNumbersAreNeverAssignedTwice(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(r *fixture, o *environment.Environment)
		next uint64
	}{
		{"all of the newest file is done", func(r *fixture, o *environment.Environment) {
			b := r.append(record(o, 2, 500, 10))
			r.Seal(b)
			r.Done(b)
		}, 501},
		{"all of a large file is done", func(r *fixture, o *environment.Environment) {
			r.Done(r.append(record(o, 2, 500, 300<<10)))
		}, 501},
		{"the journal's lines went to Kinesis from memory", func(r *fixture, o *environment.Environment) {
			r.journal(o, 501, 600, "")
			r.ForgetJournal(o)
		}, 601},
		{"a file began after lines that went to Kinesis from memory", func(r *fixture, o *environment.Environment) {
			r.journal(o, 2, 600, "")
			r.append(record(o, 2, 2, 10))
			r.ForgetJournal(o)
		}, 601},
		{"a record went to Kinesis from memory", func(r *fixture, o *environment.Environment) {
			r.Sent(record(o, 2, 500, 10))
		}, 501},
		{"decided lines went to Kinesis from memory", func(r *fixture, o *environment.Environment) {
			r.undecided(o, 7, 0, 100)
			r.decide(o, 7, 0, 100, 501)
			r.RewriteUndecided(o, nil)
		}, 601},
		{"a loss is of the highest numbers", func(r *fixture, o *environment.Environment) {
			r.Lost(o, ledger.Loss{First: 70, Last: 80, Count: 11, Reason: ledger.Rejected})
		}, 81},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newFixture(t, 64<<20)
			o := env(mine)
			r.Seal(r.append(record(o, 1, 1, 10))) // an older file has a record that is not done
			c.do(r, o)
			if recovered := r.recover(); recovered.Next != c.next || recovered.Records[0].First != 1 {
				t.Error(shown(recovered))
			}
		})
	}
}

func TestJournalIsRecoveredExceptForLinesInRecords(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	r.journal(o, 1, 2, "")
	r.journal(o, 3, 4, "piece")
	r.append(record(o, 1, 3, 10))
	want(t, r.recover(), "record 1-3", `lines 4-4 {"seq":4}`, "fragment piece", "next 5")

	// The lines of a done record are not recovered, although its file could have
	// been removed.
	recovered := r.recover()
	r.Done(recovered.Records[0])
	r.append(record(recovered.Environment, 100, 100, 10))
	want(t, r.recover(), "record 100-100", `lines 4-4 {"seq":4}`, "fragment piece", "next 101")
}

func TestFragmentOutlivesTheLines(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	r.journal(o, 1, 2, "first")
	r.append(record(o, 1, 2, 10))
	r.ForgetJournal(o)
	r.journal(o, 3, 2, "second")
	r.ForgetJournal(o)
	want(t, r.recover(), "record 1-2", "fragment second", "next 3")

	if !r.Journal(o, 3, 3, lines(3, 3), nil) {
		t.Fatal("the journal stores nothing")
	}
	want(t, r.recover(), "record 1-2", `lines 3-3 {"seq":3}`, "next 4")
}

func TestJournalWithAFragmentStaysSmall(t *testing.T) {
	r := newFixture(t, 64<<20)
	o := env(mine)
	for seq := uint64(1); seq < 60_000; seq += 1000 {
		r.journal(o, seq, seq+999, "piece")
		ref := r.append(record(o, seq, seq+999, 10))
		r.ForgetJournal(o)
		r.Done(ref)
		if r.Bytes() > 700<<10 {
			t.Fatalf("%d bytes", r.Bytes())
		}
	}
	r.journal(o, 60_001, 60_001, "last piece")
	want(t, r.recover(), `lines 60001-60001 {"seq":60001}`, "fragment last piece", "next 60002")
}

func TestLossIsKeptUntilARecordReportsIt(t *testing.T) {
	r := newFixture(t, 1<<20)
	o := env(mine)
	lost := func(number, first, last uint64, reason ledger.Reason) {
		r.Lost(o, ledger.Loss{First: first, Last: last, Count: int(last - first + 1), Bytes: 5, Reason: reason, Number: number})
	}
	lost(1, 1, 10, ledger.BufferFull)
	lost(2, 11, 20, ledger.BufferFull)
	b := record(o, 50, 50, 300<<10)
	b.Losses = []ledger.Loss{{First: 1, Last: 20, Count: 20, Bytes: 10, Reason: ledger.BufferFull, Number: 2}}
	lost(3, 30, 40, ledger.BufferFull)
	lost(4, 5, 6, ledger.Rejected)
	r.append(b)
	want(t, r.recover(), "record 50-50", "loss 5-6 2 rejected", "loss 30-40 11 buffer-full", "next 51")
}

// A ledger numbers the losses that it gets from Recover. They are on disk already.
func TestARecoveredLossIsNotWrittenAgain(t *testing.T) {
	r := newFixture(t, 1<<20)
	o := env(mine)
	for n, loss := range []ledger.Loss{
		{First: 1, Last: 5, Count: 5, Reason: ledger.BufferFull},
		{First: 20, Last: 20, Count: 1, Reason: ledger.BufferFull},
	} {
		loss.Number = uint64(n + 1)
		r.Lost(o, loss)
	}
	recovered := r.recover()
	before := r.Bytes()
	for n, loss := range recovered.Losses {
		loss.Number = uint64(n + 1)
		r.Lost(recovered.Environment, loss)
	}
	if r.Bytes() != before {
		t.Errorf("the files have %d bytes, want %d as before", r.Bytes(), before)
	}
	report := record(o, 30, 30, 10)
	report.Losses = []ledger.Loss{{First: 1, Last: 20, Count: 6, Reason: ledger.BufferFull, Number: 2}}
	r.append(report)
	want(t, r.recover(), "record 30-30", "next 31")
}

// The spool may have been too full for the record that reports a loss.
func TestRecordSentFromMemoryRemovesTheLossesItReports(t *testing.T) {
	r := newFixture(t, 1<<20)
	o := env(mine)
	r.append(record(o, 1, 1, 10))
	for n, first := range []uint64{10, 20, 30} {
		r.Lost(o, ledger.Loss{First: first, Last: first + 1, Count: 2, Bytes: 5, Reason: ledger.SpoolFull, Number: uint64(n + 1)})
	}
	report := record(o, 40, 41, 10)
	report.Losses = []ledger.Loss{
		{First: 10, Last: 11, Count: 2, Bytes: 5, Reason: ledger.SpoolFull},
		{First: 20, Last: 21, Count: 2, Bytes: 5, Reason: ledger.SpoolFull, Number: 2},
	}
	r.Sent(report)
	want(t, r.recover(), "record 1-1", "loss 30-31 2 spool-full", "next 42")
}

// The process is killed after the record was written and before the losses that it
// reports were removed.
func TestLossOfAStoredRecordIsReportedOnce(t *testing.T) {
	r := newFixture(t, 1<<20)
	o := env(mine)
	r.Lost(o, ledger.Loss{First: 1, Last: 2, Count: 2, Reason: ledger.Rejected, Number: 1})
	r.Lost(o, ledger.Loss{First: 3, Last: 3, Count: 1, Reason: ledger.Rejected, Number: 2})
	r.Break((&failing{fail: func(op string, n int) (int, error) {
		if op == "truncate" || op == "rename" {
			return 0, syscall.EIO
		}
		return n, nil
	}}).fault)
	report := record(o, 4, 4, 10)
	report.Losses = []ledger.Loss{{First: 1, Last: 2, Count: 2, Reason: ledger.Rejected, Number: 1}}
	r.append(report)
	want(t, r.recover(), "record 4-4", "loss 3-3 1 rejected", "next 5")
}

func TestLossAroundAnotherIsKeptToo(t *testing.T) {
	r := newFixture(t, 1<<20)
	o := env(mine)
	r.Lost(o, ledger.Loss{First: 3, Last: 5, Count: 3, Reason: ledger.BufferFull})
	r.Lost(o, ledger.Loss{First: 1, Last: 9, Count: 4, Reason: ledger.BufferFull})
	want(t, r.recover(), "loss 1-9 4 buffer-full", "loss 3-5 3 buffer-full", "next 10")
}

func TestCloseRemovesFoldersWithNothingToSend(t *testing.T) {
	r := newFixture(t, 1<<20)
	o, p := env(mine), env(theirs)
	ref := r.append(record(o, 1, 2, 10))
	r.journal(o, 3, 3, "")
	r.ForgetJournal(o)
	r.Done(ref)
	r.append(record(p, 1, 2, 10))
	r.Spool.Close()
	entries, err := os.ReadDir(r.dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != theirs {
		t.Errorf("%v, %v", entries, err)
	}
	if _, err := r.Append(record(o, 3, 3, 1)); err == nil {
		t.Error("a closed spool stores a record")
	}
	if r.Journal(o, 9, 9, lines(9, 9), nil) {
		t.Error("a closed spool stores lines")
	}
	want(t, r.open(1 << 20).Recover()[0], "record 1-2", "next 3")
}

func TestLivingProcessKeepsItsFolder(t *testing.T) {
	r := newFixture(t, 1<<20)
	ref := r.append(record(env(mine), 1, 2, 10))
	other := (&fixture{t: t, dir: r.dir, log: &testkit.Log{}}).open(1 << 20)
	if recovered := other.Recover(); recovered != nil {
		t.Errorf("%d environments are recovered", len(recovered))
	}
	if other.log.String() != "" {
		t.Errorf("the log has %s", other.log)
	}
	if recovered := r.Recover(); recovered != nil {
		t.Errorf("%d of its own environments are recovered", len(recovered))
	}
	if _, err := r.Read(ref); err != nil {
		t.Error(err)
	}
	r.Spool.Close()
	want(t, other.Recover()[0], "record 1-2", "next 3")
}

// failing is a disk that fails on demand.
type failing struct {
	mu    sync.Mutex
	calls int
	fail  func(op string, n int) (int, error) // nil: it works
}

func (f *failing) fault(op, _ string, n int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.fail == nil {
		return n, nil
	}
	return f.fail(op, n)
}

func TestFullDiskLeavesNoPartialFrame(t *testing.T) {
	for _, c := range []struct {
		name        string
		cutsOff     bool
		size, short int
	}{
		{"it can be cut off", true, 2000, 100},
		{"it cannot be cut off", false, 2000, 100},
		{"in the data of a large record", false, 200_000, 1000},
		{"nothing was written", true, 2000, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newFixture(t, 64<<20)
				o := env(mine)
				disk := &failing{}
				r.Break(disk.fault)
				a := r.append(record(o, 1, 1, 10))
				r.journal(o, 2, 2, "")
				disk.fail = func(op string, n int) (int, error) {
					switch {
					case op == "write":
						return min(n, c.short), syscall.ENOSPC
					case op == "truncate" && !c.cutsOff:
						return 0, syscall.EIO
					}
					return n, nil
				}
				if _, err := r.Append(record(o, 2, 2, c.size)); !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("the error is %v", err)
				}
				if n := diskBytes(t, r.dir); c.cutsOff && n != r.Bytes() {
					t.Errorf("%d bytes are there, and not %d", n, r.Bytes())
				}
				calls := disk.calls
				time.Sleep(29 * time.Second) // of the bubble
				if _, err := r.Append(record(o, 2, 2, c.size)); !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("the error is %v", err)
				}
				if r.Journal(o, 3, 3, lines(3, 3), nil) {
					t.Error("the journal stores lines")
				}
				if disk.calls != calls {
					t.Error("the disk is used again")
				}
				time.Sleep(time.Second)
				if r.Journal(o, 3, 9, lines(3, 9), nil) || disk.calls == calls {
					t.Error("the disk is not tried again")
				}
				r.Done(a) // fails without further effect
				time.Sleep(30 * time.Second)
				disk.fail = nil
				r.journal(o, 3, 3, "")
				if info, err := os.Stat(journal(r)); err != nil || info.Size() != 40+2*(2*40+1+10) {
					t.Errorf("the journal has %d bytes: %v", info.Size(), err)
				}
				b := r.append(record(o, 2, 2, c.size))
				if _, err := r.Read(b); err != nil {
					t.Error(err)
				}
				log := r.log.String()
				if strings.Count(log, "telemetry waits in memory only") != 1 || strings.Count(log, "can be written again") != 1 || strings.Count(log, "\n") != 2 {
					t.Error(log)
				}
				l := r.recover()
				if len(l.Losses) > 0 || len(l.Lines) != 1 || l.Lines[0].First != 3 || l.Records[len(l.Records)-1].First != 2 {
					t.Error(shown(l))
				}
				if strings.Contains(r.log.String(), "not what was written") {
					t.Error(r.log)
				}
			})
		})
	}
}

func TestDiskThatFailsAtTheFirstFileIsTriedAgain(t *testing.T) {
	for _, op := range []string{"open", "mkdir", "write"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newFixture(t, 1<<20)
				disk := &failing{fail: func(o string, n int) (int, error) {
					if o == op {
						return 0, syscall.EROFS
					}
					return n, nil
				}}
				r.Break(disk.fault)
				if _, err := r.Append(record(env(mine), 1, 1, 10)); !errors.Is(err, syscall.EROFS) {
					t.Fatalf("the error is %v", err)
				}
				if r.Bytes() != 0 || len(r.files()) != 0 {
					t.Errorf("%d bytes in %v", r.Bytes(), r.files())
				}
				disk.fail = nil
				time.Sleep(30 * time.Second)
				r.append(record(env(mine), 1, 1, 10))
				want(t, r.recover(), "record 1-1", "next 2")
			})
		})
	}
}

// If a function empties /tmp while a file is created, the spool must not pause
// writing to the disk.
func TestFileDeletedWhileItIsCreatedIsCreatedAgain(t *testing.T) {
	for _, op := range []string{"open", "mkdir"} {
		for _, journal := range []bool{false, true} {
			t.Run(fmt.Sprint(op, " journal ", journal), func(t *testing.T) {
				r := newFixture(t, 1<<20)
				fails := 2
				r.Break((&failing{fail: func(o string, n int) (int, error) {
					if o != op || fails == 0 {
						return n, nil
					}
					fails--
					return 0, syscall.ENOENT
				}}).fault)
				if journal {
					r.journal(env(mine), 1, 1, "")
				} else {
					r.append(record(env(mine), 1, 1, 10))
				}
				if log := r.log.String(); log != "" || fails > 0 {
					t.Errorf("%d attempts were not needed; the log:\n%s", fails, log)
				}
			})
		}
	}
}

func TestRetryNowTriesAFailingDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newFixture(t, 1<<20)
		disk := &failing{fail: func(string, int) (int, error) { return 0, syscall.EROFS }}
		r.Break(disk.fault)
		_, _ = r.Append(record(env(mine), 1, 1, 10))
		disk.fail = nil
		if _, err := r.Append(record(env(mine), 1, 1, 10)); !errors.Is(err, syscall.EROFS) {
			t.Fatalf("the error is %v", err)
		}
		r.RetryNow()
		r.append(record(env(mine), 1, 1, 10))
	})
}

func TestFileInPlaceOfTheFolderIsAnError(t *testing.T) {
	r := newFixture(t, 1<<20)
	if err := os.MkdirAll(filepath.Dir(filepath.Dir(r.dir)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Dir(r.dir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Append(record(env(mine), 1, 1, 10)); err == nil || !strings.Contains(err.Error(), "is no folder") {
		t.Errorf("the error is %v", err)
	}
	if r.Journal(env(mine), 1, 1, lines(1, 1), nil) || r.Recover() != nil {
		t.Error("there is nothing to write to")
	}
}

func TestDeletedFolderIsCreatedAgain(t *testing.T) {
	r := newFixture(t, 1<<20)
	o := env(mine)
	ref := r.append(record(o, 1, 1, 10))
	r.Seal(ref)
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(ref); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the error is %v", err)
	}
	r.append(record(o, 2, 2, 10))
	r.Done(ref)
	if n := diskBytes(t, r.dir); n != r.Bytes() {
		t.Errorf("%d bytes are counted as %d", n, r.Bytes())
	}
	want(t, r.recover(), "record 2-2", "next 3")
}

func TestIDThatCannotNameAFolderIsRefused(t *testing.T) {
	r := newFixture(t, 1<<20)
	for _, id := range []string{"", ".", "..", "a/b", "../x", strings.Repeat("a", 129), "a\x00"} {
		if _, err := r.Append(record(env(id), 1, 1, 10)); err == nil {
			t.Errorf("%q is accepted", id)
		}
	}
	if len(r.files()) > 0 {
		t.Error(r.files())
	}
}

func TestConcurrentCalls(t *testing.T) {
	r := newFixture(t, 64<<20)
	r.append(record(env(theirs), 1, 1, 10))
	r.Kill()
	r.open(64 << 20)
	o := env(mine)
	var wg sync.WaitGroup
	wg.Go(func() { want(t, r.Recover()[0], "record 1-1", "next 2") })
	for i := range 4 {
		wg.Go(func() {
			for j := range 50 {
				seq := uint64(i*1000 + j + 1)
				r.Journal(o, seq, seq, lines(seq, seq), nil)
				rec := record(o, seq, seq, 1000)
				ref, err := r.Append(rec)
				if err != nil {
					t.Error(err)
					return
				}
				r.ForgetJournal(o)
				got, err := r.Read(ref)
				if err != nil || !bytes.Equal(got.Data, rec.Data) {
					t.Errorf("read: %v", err)
				}
				r.Lost(o, ledger.Loss{First: seq, Last: seq, Count: 1, Reason: ledger.Rejected})
				r.Done(ref)
				r.Bytes()
			}
		})
	}
	wg.Wait()
}

func BenchmarkInvocation(b *testing.B) {
	s := spool.New(spool.Options{Dir: b.TempDir(), Max: 64 << 20, Log: slog.New(slog.DiscardHandler)})
	defer s.Close()
	o := env(mine)
	rec := record(o, 1, 10, 2048)
	text := bytes.Repeat([]byte("x"), 2048)
	b.ReportAllocs()
	for b.Loop() {
		if !s.Journal(o, rec.First, rec.Last, text, nil) {
			b.Fatal("the journal stores nothing")
		}
		ref, err := s.Append(rec)
		if err != nil {
			b.Fatal(err)
		}
		s.ForgetJournal(o)
		s.Done(ref)
		rec.First, rec.Last = rec.First+10, rec.Last+10
	}
}
