package spool_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/spool"
)

// stored is a record as the model knows it.
type stored struct {
	record *pack.Record
	ref    *spool.Ref
	maybe  bool // the process died while it was written, or while it became done
}

// expected is an environment as the model knows it.
type expected struct {
	env       *environment.Environment
	last      uint64            // the highest number assigned
	appended  uint64            // the highest number in a record
	journal   map[uint64][]byte // lines that were acknowledged and are in no record
	fragment  []byte
	either    [][]byte // fragments that may be there instead
	records   []*stored
	losses    []ledger.Loss
	numbered  uint64        // losses that were numbered, as a ledger does
	maybeLost []ledger.Loss // losses that may be reported
	inFlight  [2]uint64     // lines that may be in the journal
	forgets   bool          // the journal's lines are in records; it may be forgotten

	invocations uint64            // that have lines
	ended       uint64            // those up to it are an earlier process's: they get no more lines
	undecided   map[uint64][]bool // by invocation, whether the line at an index is undecided
	maybe       map[[2]uint64]bool
	unjournaled []byte    // decided lines that are neither in the journal nor in a record
	deciding    *decision // that may be on disk
	resuming    bool      // recovered lines have to be in a record before anything else
}

// decision is a call of Decide.
type decision struct{ invocation, index, count, first uint64 }

func (e *expected) String() string { return e.env.ID }

// model is a spool, its expected content, and a process that can die at any
// change on disk.
type model struct {
	t     *rapid.T
	dir   string
	max   int64
	spool *spool.Spool
	envs  []*expected
	made  int
	fuse  int // changes until the process dies; -1: it lives on
	short int // in thousandths, of the write in which it dies
	dead  bool
}

func (w *model) start() {
	w.spool = spool.New(spool.Options{Dir: w.dir, Max: w.max, Log: slog.New(slog.DiscardHandler)})
	w.dead, w.fuse = false, -1
	w.spool.Break(func(_, _ string, n int) (int, error) {
		if w.dead {
			return 0, syscall.EIO
		}
		if w.fuse < 0 {
			return n, nil
		}
		if w.fuse--; w.fuse >= 0 {
			return n, nil
		}
		w.dead = true
		return n * w.short / 1000, syscall.EIO
	})
	w.made++
	w.envs = append(w.envs, &expected{env: env(fmt.Sprintf("%032x", w.made)), journal: map[uint64][]byte{}, undecided: map[uint64][]bool{}, maybe: map[[2]uint64]bool{}})
}

func (w *model) env() *expected { return rapid.SampledFrom(w.envs).Draw(w.t, "environment") }

func (w *model) journal() {
	e := w.env()
	if e.forgets || e.resuming {
		// The caller forgets the journal before it continues.
		return
	}
	n := rapid.IntRange(0, 4).Draw(w.t, "lines")
	first, last := e.last+1, e.last+uint64(n)
	lines := bytes.Clone(e.unjournaled)
	byNumber := map[uint64][]byte{}
	for seq := first; seq <= last; seq++ {
		line := fmt.Appendf(nil, `{"seq":%d,"x":%q}`+"\n", seq, bytes.Repeat([]byte("x"), rapid.IntRange(0, 300).Draw(w.t, "length")))
		byNumber[seq] = line
		lines = append(lines, line...)
	}
	var fragment []byte
	if rapid.Bool().Draw(w.t, "has fragment") {
		size := rapid.SampledFrom([]int{1, 50, 90_000}).Draw(w.t, "fragment")
		fragment = bytes.Repeat([]byte(fmt.Sprint(w.made, last%10)), size)
	}
	if w.spool.Journal(e.env, first-uint64(bytes.Count(e.unjournaled, []byte("\n"))), last, lines, fragment) {
		e.unjournaled = nil
		for seq, line := range byNumber {
			e.journal[seq] = line
		}
		e.last, e.fragment, e.either = last, fragment, nil
	} else if w.dead {
		e.inFlight = [2]uint64{first, last}
		e.either = append(e.either, fragment)
	}
}

func (w *model) append() {
	e := w.env()
	if e.forgets {
		return
	}
	first := e.appended + 1
	last := max(first, e.last) // the record of a line that was not journalled, if need be
	r := record(e.env, first, last, rapid.SampledFrom([]int{0, 10, 2000, 70_000}).Draw(w.t, "bytes"))
	r.PartitionKey = rapid.StringN(1, 20, -1).Draw(w.t, "key")
	r.Droppable, r.Lines = rapid.IntRange(0, 9).Draw(w.t, "ordinary"), int64(rapid.IntRange(0, 1<<40).Draw(w.t, "bytes of lines"))
	reports := rapid.Bool().Draw(w.t, "reports")
	if reports {
		r.Losses = slices.Clone(e.losses)
		if n := len(r.Losses); n > 0 {
			r.Losses[n-1].Number = e.numbered
		}
	}
	ref, err := w.spool.Append(r)
	for i := range r.Losses {
		r.Losses[i].Number = 0 // it is not stored
	}
	switch {
	case err == nil:
		e.records = append(e.records, &stored{record: r, ref: ref})
	case w.dead:
		e.records = append(e.records, &stored{record: r, maybe: true})
	default:
		return
	}
	if reports {
		if w.dead {
			e.maybeLost = append(e.maybeLost, e.losses...)
		}
		e.losses = nil
	}
	if err == nil {
		e.appended, e.last = last, last
		e.forgets = len(e.journal) > 0
		e.journal, e.unjournaled, e.resuming = map[uint64][]byte{}, nil, false
	}
}

func (w *model) forget() {
	e := w.env()
	if len(e.journal) == 0 {
		w.spool.ForgetJournal(e.env)
		e.forgets = false
	}
}

func (w *model) done() {
	e := w.env()
	if len(e.records) == 0 {
		return
	}
	i := rapid.IntRange(0, len(e.records)-1).Draw(w.t, "which")
	w.spool.Done(e.records[i].ref)
	if w.dead {
		e.records[i].maybe = true
		return
	}
	e.records = slices.Delete(e.records, i, i+1)
}

func (w *model) lost() {
	e := w.env()
	if e.last == 0 {
		return
	}
	first := rapid.Uint64Range(1, e.last).Draw(w.t, "first")
	loss := ledger.Loss{First: first, Last: rapid.Uint64Range(first, e.last).Draw(w.t, "last"), Count: 1, Bytes: int64(w.made*1000 + len(e.losses)), Reason: ledger.BufferFull}
	loss.Count = int(loss.Last - loss.First + 1)
	for _, l := range e.losses {
		if l.First <= loss.Last && loss.First <= l.Last {
			return // an event is lost once
		}
	}
	w.persist(e, loss)
	if w.dead {
		e.maybeLost = append(e.maybeLost, loss)
		return
	}
	e.losses = append(e.losses, loss)
}

// persist stores a loss with the next number.
func (w *model) persist(e *expected, loss ledger.Loss) {
	e.numbered++
	loss.Number = e.numbered
	w.spool.Lost(e.env, loss)
}

func (w *model) seal() {
	if e := w.env(); len(e.records) > 0 {
		w.spool.Seal(e.records[len(e.records)-1].ref)
	}
}

// check compares what is recovered with the model, which then continues from it.
func (w *model) check(all []spool.Recovered) {
	t := w.t
	byID := map[string]spool.Recovered{}
	for _, l := range all {
		byID[l.Environment.ID] = l
	}
	var still []*expected
	for _, e := range w.envs[:len(w.envs)-1] {
		l, found := byID[e.env.ID]
		delete(byID, e.env.ID)
		w.checkRecords(e, l)
		w.checkUndecided(e, l)
		w.checkLines(e, l)
		may := append(slices.Clone(e.either), e.fragment)
		if !slices.ContainsFunc(may, func(f []byte) bool { return bytes.Equal(f, l.Fragment) }) {
			t.Fatalf("the fragment has %d bytes; there could be %d kinds of others", len(l.Fragment), len(may))
		}
		e.fragment, e.either = l.Fragment, nil
		for _, loss := range l.Losses {
			if !slices.Contains(e.losses, loss) && !slices.Contains(e.maybeLost, loss) {
				t.Fatalf("the loss %+v was reported", loss)
			}
		}
		for _, loss := range e.losses {
			if !slices.Contains(l.Losses, loss) {
				t.Fatalf("the loss %+v is gone", loss)
			}
		}
		e.losses, e.maybeLost = slices.Clone(l.Losses), nil
		if !found {
			continue
		}
		if l.Next <= e.last {
			t.Fatalf("the next number is %d, and %d was given", l.Next, e.last)
		}
		if diff := cmp.Diff(string(e.env.Details().Resource), string(l.Environment.Details().Resource)); diff != "" {
			t.Fatal(diff)
		}
		e.last, e.env, e.numbered = l.Next-1, l.Environment, 0
		for _, loss := range e.losses {
			w.persist(e, loss)
		}
		e.forgets = false
		if len(e.journal) == 0 {
			e.appended = e.last
		}
		still = append(still, e)
	}
	if len(byID) > 0 {
		t.Fatalf("%d environments were recovered that should have been empty", len(byID))
	}
	w.envs = append(still, w.envs[len(w.envs)-1])
}

func (w *model) checkRecords(e *expected, l spool.Recovered) {
	t := w.t
	var remaining []*stored
	for i, ref := range l.Records {
		if i > 0 && l.Records[i-1].First > ref.First {
			t.Fatal("the records are not in order")
		}
		j := slices.IndexFunc(e.records, func(s *stored) bool { return s.record.First == ref.First })
		if j < 0 {
			t.Fatalf("the record from %d to %d came back", ref.First, ref.Last)
		}
		s := e.records[j]
		e.records = slices.Delete(e.records, j, j+1)
		r, err := w.spool.Read(ref)
		if err != nil {
			t.Fatal(err)
		}
		s.record.Environment = l.Environment
		if diff := cmp.Diff(bare(s.record), bare(r), sameRecord()); diff != "" {
			t.Fatal(diff)
		}
		if ref.DataSize != r.Size() {
			t.Fatalf("%d bytes are counted as %d", r.Size(), ref.DataSize)
		}
		if s.maybe {
			// It was being written, and is complete.
			for seq := s.record.First; seq <= s.record.Last; seq++ {
				delete(e.journal, seq)
			}
			e.last = max(e.last, s.record.Last)
		}
		e.appended = max(e.appended, s.record.Last)
		remaining = append(remaining, &stored{record: r, ref: ref})
	}
	for _, s := range e.records {
		if !s.maybe {
			t.Fatalf("the record from %d to %d is gone", s.record.First, s.record.Last)
		}
	}
	e.records = remaining
}

func (w *model) checkLines(e *expected, l spool.Recovered) {
	t := w.t
	for _, run := range l.Lines {
		for i, line := range bytes.SplitAfter(run.Lines, []byte("\n")) {
			if len(line) == 0 {
				continue
			}
			seq := run.First + uint64(i)
			want, ok := e.journal[seq]
			if d := e.deciding; !ok && d != nil && seq >= d.first && seq < d.first+d.count {
				want, ok = lineOf(seq, d.invocation, d.index+seq-d.first), true
			}
			switch {
			case !ok && (seq < e.inFlight[0] || seq > e.inFlight[1]):
				t.Fatalf("line %d came back", seq)
			case ok && !bytes.Equal(want, line):
				t.Fatalf("line %d was %q and is %q", seq, want, line)
			case seq > run.Last:
				t.Fatalf("line %d is not from %d to %d", seq, run.First, run.Last)
			}
			delete(e.journal, seq)
		}
	}
	if len(e.journal) > 0 {
		t.Fatalf("%d acknowledged lines are gone", len(e.journal))
	}
	for _, run := range l.Lines {
		for i, line := range bytes.SplitAfter(run.Lines, []byte("\n")) {
			if len(line) > 0 {
				e.journal[run.First+uint64(i)] = line
			}
		}
	}
	e.inFlight, e.deciding, e.unjournaled = [2]uint64{}, nil, nil
	e.resuming = e.invocations > 0 && len(l.Lines) > 0
}

func TestKillAtAnyMomentNeitherLosesNorDuplicates(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "spool")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		w := &model{t: t, dir: dir, max: rapid.SampledFrom([]int64{1 << 20, 64 << 20}).Draw(t, "max")}
		w.start()
		defer func() { w.spool.Close() }()
		actions := map[string]func(){
			"journal": w.journal, "append": w.append, "forget": w.forget, "done": w.done, "lost": w.lost, "seal": w.seal,
			"undecided": w.undecided, "decide": w.decide, "leave out": w.leaveOut, "rewrite": w.rewrite,
		}
		names := []string{"journal", "journal", "append", "append", "append", "forget", "forget", "done", "done", "lost", "seal"}
		if rapid.Bool().Draw(t, "undecided lines") {
			names = append(names, "undecided", "undecided", "undecided", "decide", "decide", "decide", "leave out", "rewrite")
		}
		for range rapid.IntRange(1, 4).Draw(t, "lives") {
			if rapid.Bool().Draw(t, "dies at work") {
				w.fuse = rapid.IntRange(0, 60).Draw(t, "fuse")
				w.short = rapid.SampledFrom([]int{0, 1, 500, 999, 1000}).Draw(t, "short")
			}
			for range rapid.IntRange(0, 60).Draw(t, "actions") {
				actions[rapid.SampledFrom(names).Draw(t, "action")]()
				if w.dead {
					break
				}
				if b := w.spool.Bytes(); b > w.max {
					t.Fatalf("%d bytes of %d", b, w.max)
				}
			}
			if onDisk := diskBytes(t, dir); !w.dead && onDisk != w.spool.Bytes() {
				t.Fatalf("%d bytes are counted as %d", onDisk, w.spool.Bytes())
			}
			if !w.dead && rapid.Bool().Draw(t, "ends in order") {
				w.spool.Close()
			} else {
				w.spool.Kill()
			}
			w.start()
			w.check(w.spool.Recover())
			if onDisk := diskBytes(t, dir); onDisk != w.spool.Bytes() {
				t.Fatalf("after a recovery %d bytes are counted as %d", onDisk, w.spool.Bytes())
			}
			if folders, err := os.ReadDir(dir); err == nil && len(folders) != len(w.envs)-1 {
				t.Fatalf("%d folders for %d environments", len(folders), len(w.envs)-1)
			}
		}
	})
}
