package pack_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/pack"
)

// frame has the arguments of one call of Journal.
type frame struct {
	first, last uint64
	lines       string
	fragment    string
}

// journal is a Journal in memory. It checks each call against the documentation of
// Journal, and stores its content as a disk would.
type journal struct {
	t       fataler
	refuse  func() bool // nil: never
	lost    bool        // its file was deleted
	leaky   bool        // ForgetJournal also deletes the fragment
	changed func()      // what is on disk has changed; may be nil
	env     *environment.Environment

	mu       sync.Mutex
	frames   []frame
	forgets  int // calls of ForgetJournal
	refused  int // calls of Journal that were refused
	numbers  map[uint64][]byte
	last     uint64 // of numbers
	fragment []byte
}

func (j *journal) Journal(o *environment.Environment, first, last uint64, lines, fragment []byte) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.env != nil && o != j.env {
		j.t.Fatalf("lines %d to %d are of another env: %v", first, last, o)
	}
	if len(j.numbers) > 0 && first != j.last+1 {
		j.t.Fatalf("lines %d to %d follow line %d", first, last, j.last)
	}
	n := first
	for text := range bytes.Lines(lines) {
		if !bytes.HasPrefix(text, fmt.Appendf(nil, `{"schema":"kinetel/1","seq":%d,`, n)) || text[len(text)-1] != '\n' {
			j.t.Fatalf("lines %d to %d: %.60q is given as line %d", first, last, text, n)
		}
		n++
	}
	if n != last+1 {
		j.t.Fatalf("lines %d to %d are %d lines", first, last, n-first)
	}
	if j.refuse != nil && j.refuse() {
		j.refused++
		return false
	}
	n = first
	for text := range bytes.Lines(lines) {
		j.numbers[n] = bytes.Clone(text)
		n++
	}
	if len(lines) > 0 {
		j.last = last
	}
	j.fragment = bytes.Clone(fragment)
	j.frames = append(j.frames, frame{first, last, string(lines), string(fragment)})
	if j.changed != nil {
		j.changed()
	}
	return true
}

func (j *journal) JournalLost(*environment.Environment) bool {
	lost := j.lost
	j.lost = false
	return lost
}

func (j *journal) ForgetJournal(o *environment.Environment) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.env != nil && o != j.env {
		j.t.Fatalf("the lines of another env are forgotten: %v", o)
	}
	clear(j.numbers)
	if j.leaky {
		j.fragment = nil
	}
	j.forgets++
	if j.changed != nil {
		j.changed()
	}
}

// journalling returns a packer with a journal that stores everything.
func journalling(t fataler, change ...func(*setup)) (*packer, *journal) {
	j := &journal{t: t, numbers: map[uint64][]byte{}}
	r := newPacker(append([]func(*setup){plain, func(set *setup) { set.Journal = j }}, change...)...)
	j.env = r.env
	return r, j
}

// wantFrames checks what was journalled since the last time.
func (j *journal) wantFrames(t *testing.T, want ...frame) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if diff := cmp.Diff(want, j.frames, cmp.AllowUnexported(frame{})); diff != "" {
		t.Errorf("journalled (-want +got):\n%s", diff)
	}
	j.frames = nil
}

// lineOf returns the line of an event.
func lineOf(t *testing.T, seq uint64, ev *event.Event) string {
	t.Helper()
	r := newPacker(plain, func(set *setup) { set.Next = seq })
	r.Add(ev)
	r.Seal()
	return string(r.records[0].Data)
}

func TestCommitJournalsWhatWasAddedSince(t *testing.T) {
	r, j := journalling(t)
	one, two, three := lineOf(t, 1, line("one")), lineOf(t, 2, line("two")), lineOf(t, 3, line("three"))
	r.Commit(nil)
	j.wantFrames(t)
	r.Add(line("one"))
	j.wantFrames(t) // not before it is asked for
	r.Commit(nil)
	j.wantFrames(t, frame{first: 1, last: 1, lines: one})
	r.Commit(nil)
	j.wantFrames(t)
	r.Add(line("two"))
	r.Add(line("three"))
	r.Commit(nil)
	j.wantFrames(t, frame{first: 2, last: 3, lines: two + three})
	if j.forgets != 0 {
		t.Error("lines were forgotten that are in no record")
	}
	r.Seal()
	if j.forgets != 1 || len(r.records) != 1 || r.records[0].Events != 3 {
		t.Errorf("forgotten %d times by Seal", j.forgets)
	}
	r.Commit(nil)
	j.wantFrames(t)
	r.AddOwn(own(event.TypeReport, "{}"))
	r.Commit(nil)
	j.wantFrames(t, frame{first: 4, last: 4, lines: lineOf(t, 4, own(event.TypeReport, "{}"))})
}

// The function has deleted the journal: all of the open record is journalled
// again, even if nothing is new.
func TestCommitJournalsAgainWhatWasDeleted(t *testing.T) {
	r, j := journalling(t)
	one, two := lineOf(t, 1, line("one")), lineOf(t, 2, line("two"))
	gone := func() { j.lost, j.numbers, j.last, j.fragment = true, map[uint64][]byte{}, 0, nil }
	r.Add(line("one"))
	r.Commit([]byte("half"))
	j.wantFrames(t, frame{first: 1, last: 1, lines: one, fragment: "half"})
	gone()
	r.Commit([]byte("half"))
	j.wantFrames(t, frame{first: 1, last: 1, lines: one, fragment: "half"})
	gone()
	r.Add(line("two"))
	r.Commit(nil)
	j.wantFrames(t, frame{first: 1, last: 2, lines: one + two})
	r.Seal()
	gone()
	r.Commit(nil)
	if len(j.numbers) > 0 {
		t.Errorf("lines of a closed record are journalled: %v", j.numbers)
	}
}

func TestCommitJournalsTheFragment(t *testing.T) {
	r, j := journalling(t)
	r.Commit([]byte("half"))
	j.wantFrames(t, frame{first: 1, last: 0, fragment: "half"})
	r.Commit([]byte("half")) // the same text is no news
	j.wantFrames(t)
	r.Add(line("one"))
	r.Commit([]byte("half"))
	j.wantFrames(t, frame{first: 1, last: 1, lines: lineOf(t, 1, line("one")), fragment: "half"})
	r.Commit([]byte("other"))
	j.wantFrames(t, frame{first: 2, last: 1, fragment: "other"})
	r.Commit(nil)
	j.wantFrames(t, frame{first: 2, last: 1})
	r.Commit(nil)
	j.wantFrames(t)
}

func TestTheFragmentSurvivesASealBetweenCommits(t *testing.T) {
	r, j := journalling(t)
	j.leaky = true
	r.Add(line("one"))
	r.Commit([]byte("half"))
	r.Seal()
	if string(j.fragment) != "half" {
		t.Errorf("after Seal the journal has %q", j.fragment)
	}
	for range pack.MaxEvents + 1 {
		r.Add(line("x"))
	}
	if string(j.fragment) != "half" || len(r.records) != 2 {
		t.Errorf("after a record got full the journal has %q", j.fragment)
	}
	r.Add(line(string(text(3<<20, true, 1))))
	if string(j.fragment) != "half" {
		t.Errorf("after an event in parts the journal has %q", j.fragment)
	}
	r.Commit(nil)
	r.Seal()
	if j.fragment != nil {
		t.Errorf("a fragment that was dropped is journalled again: %q", j.fragment)
	}
}

func TestARecordIsPushedBeforeItsLinesAreForgotten(t *testing.T) {
	var forgotten []int // calls of ForgetJournal before each Push
	var j *journal
	r, j := journalling(t, func(set *setup) {
		push := set.Push
		set.Push = func(rec *pack.Record) { forgotten = append(forgotten, j.forgets); push(rec) }
	})
	for range 3 {
		r.Add(line("x"))
		r.Commit(nil)
		r.Seal()
	}
	if diff := cmp.Diff([]int{0, 1, 2}, forgotten); diff != "" || j.forgets != 3 {
		t.Errorf("forgotten before each push (-want +got):\n%s", diff)
	}
}

func TestALineThatDoesNotFitIsNotForgottenWithTheOthers(t *testing.T) {
	r, j := journalling(t)
	half := strings.Repeat("x", 600<<10)
	r.Add(line(half))
	r.Commit(nil)
	r.Add(line(half)) // the first one goes
	r.Commit(nil)
	if len(r.records) != 1 || len(j.numbers) != 1 || j.numbers[2] == nil {
		t.Errorf("%d records, %d lines in the journal", len(r.records), len(j.numbers))
	}
	r.Seal()
	if len(j.numbers) != 0 {
		t.Errorf("%d lines in the journal after Seal", len(j.numbers))
	}
}

func TestOversizeIsNotJournalled(t *testing.T) {
	r, j := journalling(t)
	ev := line("x")
	ev.Extra = fmt.Appendf(nil, `"x":%s`, jsontext.AppendQuote(nil, text(2<<20, true, 3)))
	r.Add(ev)
	r.Commit([]byte("half"))
	j.wantFrames(t, frame{first: 2, last: 1, fragment: "half"})
	r.Add(line("after"))
	r.Commit([]byte("half"))
	j.wantFrames(t, frame{first: 2, last: 2, lines: lineOf(t, 2, line("after")), fragment: "half"})
}

func TestWithoutAJournalCommitDoesNothing(t *testing.T) {
	r := newPacker(plain)
	r.Add(line("one"))
	r.Commit([]byte("half"))
	r.Seal()
	r.Commit(nil)
	if got := decode(t, r.records...); len(got) != 1 {
		t.Errorf("%d events", len(got))
	}
}

func TestCommitStoresWhatTheJournalRefusedBefore(t *testing.T) {
	refusing := true
	r, j := journalling(t)
	j.refuse = func() bool { return refusing }
	one, two := lineOf(t, 1, line("one")), lineOf(t, 2, line("two"))
	r.Add(line("one"))
	r.Commit(nil)
	r.Add(line("two"))
	r.Commit([]byte("half"))
	if j.refused != 2 {
		t.Fatalf("refused %d times", j.refused)
	}
	refusing = false
	r.Commit([]byte("half"))
	j.wantFrames(t, frame{first: 1, last: 2, lines: one + two, fragment: "half"})

	// Also if there is nothing but a fragment, or the end of one.
	refusing = true
	r.Commit([]byte("other"))
	refusing = false
	r.Commit([]byte("other"))
	j.wantFrames(t, frame{first: 3, last: 2, fragment: "other"})
	refusing = true
	r.Commit(nil)
	refusing = false
	r.Commit(nil)
	j.wantFrames(t, frame{first: 3, last: 2})

	// And lines that could not be stored when a record was sealed.
	r.Commit([]byte("third"))
	j.leaky, refusing = true, true
	r.Seal()
	refusing = false
	j.frames = nil
	r.Commit([]byte("third"))
	j.wantFrames(t, frame{first: 3, last: 2, fragment: "third"})
}

// Whenever the process is killed, all acknowledged events are in the journal or in a
// record that was pushed.
func TestCommittedEventsSurviveAKill(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		j := &journal{t: t, numbers: map[uint64][]byte{}}
		j.leaky = rapid.Bool().Draw(t, "forgetting forgets the fragment")
		refusals := rapid.Bool().Draw(t, "refuses at times")
		j.refuse = func() bool { return refusals && rapid.IntRange(0, 2).Draw(t, "refused") == 0 }

		// What remains after a kill: the journal, and the records that were pushed.
		pushed := map[uint64][]byte{}
		journalled := map[uint64][]byte{}
		var due []uint64 // numbers whose Commit was not refused
		kill := func() {
			for n, text := range j.numbers {
				if other := journalled[n]; other != nil && !bytes.Equal(other, text) {
					t.Fatalf("line %d is journalled as another one", n)
				}
				journalled[n] = text
			}
			for _, n := range due {
				if j.numbers[n] == nil && pushed[n] == nil {
					t.Fatalf("line %d was committed, and is neither in the journal nor in a record", n)
				}
			}
		}
		j.changed = kill

		r := newPacker(func(set *setup) {
			set.Journal = j
			set.Compression = rapid.SampledFrom(compressions()).Draw(t, "compression")
			set.PartitionKey = rapid.SampledFrom([]config.PartitionKey{config.PartitionByEnvironment, config.PartitionByRequest}).Draw(t, "partition key")
			push := set.Push
			set.Push = func(rec *pack.Record) {
				push(rec)
				for _, one := range decode(t, rec) {
					if pushed[one.Seq] != nil {
						t.Fatalf("line %d is in two records", one.Seq)
					}
					pushed[one.Seq] = one.text
				}
				kill()
			}
		})
		j.env = r.env

		var fragment []byte // as it was committed last
		committed := true   // and not refused since
		count := func() int64 {
			got := r.Added()
			return got.Events + got.Own + got.Parts
		}
		for range rapid.IntRange(1, 25).Draw(t, "steps") {
			switch rapid.IntRange(0, 8).Draw(t, "step") {
			case 0:
				r.Seal()
			case 1:
				r.AddOwn(own(event.TypeReport, "{}"))
			case 2:
				for range rapid.IntRange(1, 700).Draw(t, "burst") {
					r.Add(line("one of many"))
				}
			case 3, 4:
				r.Add(anyEvent().Draw(t, "event"))
			default:
				if rapid.Bool().Draw(t, "another fragment") {
					fragment = []byte(rapid.SampledFrom([]string{"", "half", "another half", strings.Repeat("x", 1000)}).Draw(t, "fragment"))
				}
				before := j.refused
				r.Commit(fragment)
				if committed = j.refused == before; committed {
					due = due[:0]
					for n := range uint64(count()) {
						due = append(due, n+1)
					}
				}
			}
			kill()
			if j.refused == 0 || committed && !j.leaky {
				if !bytes.Equal(j.fragment, fragment) {
					t.Fatalf("the journal has the fragment %.50q, committed was %.50q", j.fragment, fragment)
				}
			}
		}
		// Once nothing is refused any more, a Commit makes up for it all.
		refusals = false
		r.Commit(fragment)
		due = due[:0]
		for n := range uint64(count()) {
			due = append(due, n+1)
		}
		kill()
		if !bytes.Equal(j.fragment, fragment) {
			t.Fatalf("in the end the journal has the fragment %.50q, committed was %.50q", j.fragment, fragment)
		}
		r.Seal()
		for n, text := range journalled {
			if !bytes.Equal(text, pushed[n]) {
				t.Fatalf("line %d was journalled as %.200q and pushed as %.200q", n, text, pushed[n])
			}
		}
		if len(j.numbers) != 0 {
			t.Fatalf("%d lines are in the journal after the last Seal", len(j.numbers))
		}
	})
}

// linesOf returns lines with numbers: platform events and droppable events, in
// turn.
func linesOf(t fataler, first uint64, count int, size int) []byte {
	t.Helper()
	var lines []byte
	r := newPacker(plain, func(set *setup) { set.Next = first })
	for i := range count {
		if i%2 == 0 {
			r.Add(start(fmt.Sprintf("request-%d", i)))
		} else {
			r.Add(line(strings.Repeat("x", size)))
		}
	}
	r.Seal()
	for _, rec := range r.records {
		lines = append(lines, rec.Data...)
	}
	return lines
}

func TestRestorePacksLinesUnderTheirOldNumbers(t *testing.T) {
	for _, tt := range []struct{ count, size, records int }{{1, 10, 1}, {500, 10, 1}, {501, 10, 2}, {1200, 10, 3}, {5, 600 << 10, 2}, {7, 600 << 10, 3}} {
		if testing.Short() && tt.count == 7 {
			continue
		}
		lines := linesOf(t, 17, tt.count, tt.size)
		for _, compression := range compressions() {
			if testing.Short() && compression != format.Gzip {
				continue
			}
			r := newPacker(func(set *setup) {
				set.Compression, set.Next = compression, 5000
			})
			r.Add(line("already here"))
			r.Restore(17, lines)
			r.Add(line("and more"))
			r.Seal()
			for _, rec := range r.records {
				checkLimits(t, rec)
				if rec.Environment != r.env {
					t.Errorf("a record of another env: %v", rec.Environment)
				}
			}
			wantKeys(t, r, slices.Repeat([]string{"0123456789abcdef"}, tt.records+2)...)
			n := len(r.records)
			var got []byte
			for _, rec := range r.records[1 : n-1] {
				got = append(got, inflate(t, rec.Data)...)
			}
			if !bytes.Equal(got, lines) {
				t.Errorf("%d lines of %d bytes are restored as other ones", tt.count, tt.size)
			}
			if a, z := r.records[0], r.records[n-1]; a.First != 5000 || a.Events != 1 || z.First != 5001 || z.Events != 1 {
				t.Errorf("around what was restored are %d and %d, want 5000 and 5001", a.First, z.First)
			}
			if diff := cmp.Diff(pack.Added{Events: 2}, r.Added()); diff != "" {
				t.Errorf("restored events were not ingested now (-want +got):\n%s", diff)
			}
		}
	}
}

func TestRestoreAcceptsSeveralRuns(t *testing.T) {
	r := newPacker(func(set *setup) { set.Next = 100 })
	r.Restore(3, linesOf(t, 3, 3, 10))
	r.Restore(9, linesOf(t, 9, 4, 10))
	r.Add(line("and more"))
	r.Seal()
	var got [][2]uint64
	for _, rec := range r.records {
		checkLimits(t, rec)
		got = append(got, [2]uint64{rec.First, rec.Last})
	}
	if diff := cmp.Diff([][2]uint64{{3, 5}, {9, 12}, {100, 100}}, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}
