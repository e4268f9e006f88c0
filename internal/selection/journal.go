package selection

import "github.com/kinetel/kinetel/internal/environment"

// Journal stores undecided lines so that they survive a kill of the process; *spool.Spool
// is one. Each line has an index in its invocation, from 0 without holes. The methods
// report whether the disk has it.
type Journal interface {
	// Undecided appends lines of an invocation.
	Undecided(o *environment.Environment, invocation, index uint64, lines []byte) bool
	// Decide records that count lines from an index on get the numbers from first on.
	Decide(o *environment.Environment, invocation, index, count, first uint64) bool
	// LeaveOut records that the other lines of an invocation are left out.
	LeaveOut(o *environment.Environment, invocation uint64) bool
	// RewriteUndecided replaces all lines by those that each yields; nil: by none.
	RewriteUndecided(o *environment.Environment, each func(yield func(invocation, index uint64, lines []byte) bool)) bool
	// UndecidedSize returns the bytes on disk.
	UndecidedSize(o *environment.Environment) int64
	// UndecidedLost reports, once, that another process deleted what was stored.
	UndecidedLost(o *environment.Environment) bool
}

// journal is what of the undecided lines is in the Journal.
type journal struct {
	changed []*invocation // that may have lines that are not in it
	size    int64         // on disk when it was rewritten
	used    bool          // it has lines
	failed  bool          // it does not have all lines
	lost    bool          // its content was deleted, and is not written again yet
}

// maxGrowth is how many bytes of lines that are decided may stay in the Journal.
const maxGrowth = 256 << 10

// note notes that an invocation gets a line.
func (s *Selector) note(in *invocation) {
	if j := &s.journal; s.opt.Journal != nil && (len(j.changed) == 0 || j.changed[len(j.changed)-1] != in) {
		j.changed = append(j.changed, in)
	}
}

// room reports whether there is room for a line without a number.
func (s *Selector) room(size int64) bool {
	return s.memory+size <= s.opt.MaxBytes && (s.opt.Journal == nil || s.raw+size <= s.opt.MaxJournal)
}

// Commit stores the undecided lines that were added since its last call in the Journal.
func (s *Selector) Commit() {
	if s == nil || s.opt.Journal == nil {
		return
	}
	if s.opt.Journal.UndecidedLost(s.opt.Environment) || s.journal.lost {
		s.journal.lost = !s.rewriteJournal()
	}
	for _, in := range s.journal.changed {
		s.journalWaiting(in)
		s.journalTail(in)
	}
	clear(s.journal.changed)
	s.journal.changed = s.journal.changed[:0]
}

// Committed removes decided lines from the Journal, if they are many or all, and adds those
// that could not be stored. All decided lines must be stored elsewhere.
func (s *Selector) Committed() {
	if s == nil || s.opt.Journal == nil || !s.journal.used && !s.journal.failed {
		return
	}
	if s.undecided == 0 || s.journal.failed || s.opt.Journal.UndecidedSize(s.opt.Environment) > 2*s.journal.size+maxGrowth {
		_ = s.rewriteJournal() // otherwise with the next body
	}
}

// append appends lines to the Journal. If that fails, the lines of the invocation are not
// appended any more: their indexes would have a hole.
func (s *Selector) append(in *invocation, text []byte, n uint64) (index uint64, ok bool) {
	if s.opt.Journal == nil || s.journal.lost || in.unstored || n == 0 {
		return 0, false
	}
	index = in.stored
	if !s.opt.Journal.Undecided(s.opt.Environment, in.number, index, text) {
		in.unstored, s.journal.failed = true, true
		return 0, false
	}
	s.journal.used = true
	in.stored += n
	return index, true
}

// journalWaiting appends the waiting lines that are not yet in the Journal. They are not
// compressed yet.
func (s *Selector) journalWaiting(in *invocation) {
	w := &in.waiting
	if _, ok := s.append(in, w.open[w.written:], uint64(w.n)-w.stored); ok {
		w.stored, w.written = uint64(w.n), len(w.open)
	}
}

// journalTail appends the last lines that are not yet in the Journal.
func (s *Selector) journalTail(in *invocation) {
	first := len(in.tail)
	for first > 0 && in.tail[first-1].index == 0 {
		first--
	}
	s.line = s.line[:0]
	for _, one := range in.tail[first:] {
		s.line = append(s.line, one.text...)
	}
	if index, ok := s.append(in, s.line, uint64(len(in.tail)-first)); ok {
		for i := range in.tail[first:] {
			in.tail[first+i].index = index + uint64(i) + 1
		}
	}
}

// decided returns a function that records the numbers of lines before they have them: of
// count lines from an index on. It is nil if the Journal has none of them.
func (s *Selector) decided(in *invocation, index, count uint64) func(first uint64) {
	if count == 0 || s.journal.lost {
		return nil
	}
	return func(first uint64) { s.opt.Journal.Decide(s.opt.Environment, in.number, index, count, first) }
}

// journalLeftOut records that the lines of an invocation are left out.
func (s *Selector) journalLeftOut(in *invocation) {
	if in.stored > 0 {
		s.opt.Journal.LeaveOut(s.opt.Environment, in.number)
	}
}

// rewriteJournal replaces the content of the Journal with the undecided lines. It reports
// whether that was possible.
func (s *Selector) rewriteJournal() bool {
	each := s.all
	if s.undecided == 0 {
		each = nil
	}
	if !s.opt.Journal.RewriteUndecided(s.opt.Environment, each) {
		return false
	}
	s.journal.used, s.journal.failed = s.undecided > 0, false
	s.journal.size = s.opt.Journal.UndecidedSize(s.opt.Environment)
	for _, in := range s.invocations {
		w := &in.waiting
		w.stored, w.written, in.unstored = uint64(w.n), len(w.open), false
		in.stored = w.stored + uint64(len(in.tail))
		for i := range in.tail {
			in.tail[i].index = w.stored + uint64(i) + 1
		}
	}
	return true
}

// all iterates over the lines of all invocations that have lines without a number.
func (s *Selector) all(yield func(invocation, index uint64, lines []byte) bool) {
	for _, in := range s.byAge() {
		var text []byte
		for _, c := range in.waiting.chunks {
			text = append(text, s.zip.decompress(c.data)...)
		}
		text = append(text, in.waiting.open...)
		for _, one := range in.tail {
			text = append(text, one.text...)
		}
		if len(text) > 0 && !yield(in.number, 0, text) {
			return
		}
	}
}
