package spool_test

import (
	"bytes"
	"slices"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/spool"
)

// undecided adds lines of a new invocation, or of one that has lines.
func (w *model) undecided() {
	e := w.env()
	invocation := rapid.Uint64Range(e.ended+1, e.invocations+1).Draw(w.t, "invocation")
	index := uint64(len(e.undecided[invocation]))
	if invocation <= e.invocations && index == 0 {
		return // it was left out
	}
	count := rapid.Uint64Range(1, 5).Draw(w.t, "lines")
	e.invocations = max(e.invocations, invocation)
	if w.spool.Undecided(e.env, invocation, index, undecided(invocation, index, count)) {
		e.undecided[invocation] = append(e.undecided[invocation], slices.Repeat([]bool{true}, int(count))...)
	} else if w.dead {
		for i := range count {
			e.maybe[[2]uint64{invocation, index + i}] = true
		}
	}
}

// waiting draws an invocation with undecided lines; 0: there is none.
func (w *model) waiting(e *expected) uint64 {
	var list []uint64
	for invocation, lines := range e.undecided {
		if slices.Contains(lines, true) {
			list = append(list, invocation)
		}
	}
	if list == nil {
		return 0
	}
	slices.Sort(list)
	return rapid.SampledFrom(list).Draw(w.t, "invocation")
}

// decide gives numbers to some lines of an invocation that are next to each other.
func (w *model) decide() {
	e := w.env()
	invocation := w.waiting(e)
	if invocation == 0 || e.forgets {
		return
	}
	lines := e.undecided[invocation]
	from := slices.Index(lines, true)
	for n := rapid.IntRange(0, 3).Draw(w.t, "left"); n > 0 && from+1 < len(lines) && lines[from+1]; n-- {
		from++
	}
	d := &decision{invocation, uint64(from), 1, e.last + 1}
	for from+int(d.count) < len(lines) && lines[from+int(d.count)] && rapid.IntRange(0, 9).Draw(w.t, "more") > 0 {
		d.count++
	}
	if !w.spool.Decide(e.env, d.invocation, d.index, d.count, d.first) {
		if w.dead {
			e.deciding = d
		}
		return
	}
	for i := range d.count {
		lines[d.index+i] = false
		text := lineOf(d.first+i, invocation, d.index+i)
		e.journal[d.first+i] = text
		e.unjournaled = append(e.unjournaled, text...)
	}
	e.last += d.count
}

func (w *model) leaveOut() {
	e := w.env()
	invocation := w.waiting(e)
	if invocation == 0 {
		return
	}
	if !w.spool.LeaveOut(e.env, invocation) {
		if !w.dead {
			return
		}
		for i, in := range e.undecided[invocation] {
			if in {
				e.maybe[[2]uint64{invocation, uint64(i)}] = true
			}
		}
	}
	delete(e.undecided, invocation)
}

// rewrite writes the lines that are still undecided, if all others are in the journal
// or in records.
func (w *model) rewrite() {
	e := w.env()
	if len(e.unjournaled) > 0 || e.resuming {
		return
	}
	w.spool.RewriteUndecided(e.env, func(yield func(invocation, index uint64, lines []byte) bool) {
		for invocation := range e.invocations {
			for i, in := range e.undecided[invocation+1] {
				if in && !yield(invocation+1, uint64(i), undecided(invocation+1, uint64(i), 1)) {
					return
				}
			}
		}
	})
}

// checkUndecided compares the recovered lines that have no number with the model.
func (w *model) checkUndecided(e *expected, l spool.Recovered) {
	t := w.t
	decided := map[uint64]bool{} // recovered numbers
	for _, run := range l.Lines {
		for seq := run.First; seq <= run.Last; seq++ {
			decided[seq] = true
		}
	}
	found := map[uint64][]bool{}
	for _, u := range l.Undecided {
		if !bytes.Equal(u.Lines, undecided(u.Invocation, u.Index, u.Count)) {
			t.Fatalf("%d lines of invocation %d from %d on are %q", u.Count, u.Invocation, u.Index, u.Lines)
		}
		for index := u.Index; index < u.Index+u.Count; index++ {
			lines := e.undecided[u.Invocation]
			if !(index < uint64(len(lines)) && lines[index]) && !e.maybe[[2]uint64{u.Invocation, index}] {
				t.Fatalf("line %d of invocation %d came back", index, u.Invocation)
			}
			have := found[u.Invocation]
			for uint64(len(have)) <= index {
				have = append(have, false)
			}
			if have[index] {
				t.Fatalf("line %d of invocation %d is there twice", index, u.Invocation)
			}
			have[index] = true
			found[u.Invocation] = have
		}
	}
	for invocation, lines := range e.undecided {
		for i, in := range lines {
			index := uint64(i)
			there := index < uint64(len(found[invocation])) && found[invocation][index]
			if d := e.deciding; d != nil && d.invocation == invocation && index >= d.index && index < d.index+d.count {
				if there == decided[d.first+index-d.index] {
					t.Fatalf("line %d of invocation %d was being decided, and is there twice, or not at all", index, invocation)
				}
				continue
			}
			if in && !there {
				t.Fatalf("line %d of invocation %d is gone", index, invocation)
			}
		}
	}
	if d := e.deciding; d != nil && decided[d.first] {
		e.last = max(e.last, d.first+d.count-1)
	}
	e.undecided, e.maybe, e.ended = found, map[[2]uint64]bool{}, e.invocations
}
