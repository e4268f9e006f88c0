package spool

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"strconv"

	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/order"
	"github.com/kinetel/kinetel/internal/seqrange"
)

// resolver finds out what has become of the lines in a file of undecided lines.
type resolver struct {
	*restorer
	pieces    []piece          // in the order of the file
	size      int64            // of their frames
	decisions []decision       // that can be read
	assigned  []seqrange.Range // numbers of all decisions
	elsewhere []seqrange.Range // numbers of lines that the file does not have to keep
	leftOut   []seqrange.Range // of invocations
	// doubtful is how many of the pieces are before a place that cannot be read, and
	// that may have decided them. They must not be sent twice.
	doubtful int
	// known is how many lines a corrupt frame has decided: their numbers are lost, or
	// in records.
	known   uint64
	decided []Run // lines that have a number, one by one
}

// piece is the content of a frame of undecided lines.
type piece struct {
	place             int // in the file, among the pieces
	invocation, index uint64
	count             uint64
	lines             []byte // nil: they cannot be read
}

// decision gives numbers to undecided lines.
type decision struct {
	invocation, index uint64
	seqrange.Range
}

// end returns the index after the last line of a decision.
func (d decision) end() uint64 { return d.index + d.Len() }

// readUndecided reads the file of undecided lines, and reports whether it could.
func (r *restorer) readUndecided() bool {
	if r.env.undecided.path == "" {
		return true
	}
	u := resolver{restorer: r}
	if !r.scan(&r.env.undecided, 2*maxUndecided, u.item) {
		return false
	}
	u.resolve()
	r.endFile(&r.env.undecided)
	return true
}

// item reads an item of the file.
func (u *resolver) item(it item) {
	h := it.header
	switch {
	case it.state == intact && h.kind == kindMark:
		u.number(h.last)
		if it.offset > 0 {
			u.elsewhere = append(u.elsewhere, seqrange.Range{First: h.first, Last: h.last})
		}
	case it.state == intact && h.kind == kindLeftOut:
		u.leftOut = append(u.leftOut, seqrange.Range{First: h.first, Last: h.first})
	case it.state != unknown && h.kind == kindUndecided:
		u.addPiece(it)
	case it.state != unknown && h.kind == kindDecided && h.valid():
		u.number(h.last)
		numbers := seqrange.Range{First: h.first, Last: h.last}
		u.assigned = append(u.assigned, numbers)
		invocation, n := binary.Uvarint(it.payload)
		index, m := binary.Uvarint(it.payload[max(n, 0):])
		if it.state == intact && n > 0 && m > 0 && index <= maxNumber {
			u.decisions = append(u.decisions, decision{invocation, index, numbers})
			return
		}
		u.place(nil, it)
		u.doubtful, u.known = len(u.pieces), u.known+uint64(h.count)
	default:
		u.place(nil, it)
		if it.state == unknown && it.size >= 2*headerSize { // else neither lines nor a decision fit
			u.doubtful = len(u.pieces)
			u.undecidedLost++ // at least one
			u.undecidedBytes += it.size
		}
	}
}

// addPiece adds the lines of a frame. It limits the memory that they take.
func (u *resolver) addPiece(it item) {
	h := it.header
	p := piece{place: len(u.pieces), invocation: h.first, index: h.last, count: min(uint64(h.count), uint64(int64(h.length)/minLine))}
	u.size += it.size
	if it.state == intact && u.size <= maxUndecided && u.valid(h, it.payload) {
		p.lines = bytes.Clone(it.payload)
	} else {
		u.place(nil, it)
		u.undecidedBytes += int64(h.length)
	}
	if u.size <= maxUndecided {
		u.pieces = append(u.pieces, p)
	} else {
		u.undecidedLost += p.count
	}
}

// valid reports whether text is as many undecided lines as the header says.
func (u *resolver) valid(h header, text []byte) bool {
	check := u.spool.opt.Check
	for range h.count {
		end := bytes.IndexByte(text, '\n') + 1
		if end == 0 || !bytes.HasPrefix(text, []byte(undecidedStart)) || check != nil && !check.Line(u.recovered.Environment, 0, text[:end]) {
			return false
		}
		text = text[end:]
	}
	return len(text) == 0
}

// resolve adds the undecided lines to what is recovered, and the decided ones that are
// neither in a record nor in the journal. It finds those that are lost.
func (u *resolver) resolve() {
	e, recovered := u.env, u.recovered
	assigned := seqrange.New(u.assigned...).Subtract(seqrange.New(u.elsewhere...))
	for _, numbers := range assigned {
		e.addDecided(numbers)
	}
	missing := assigned.Subtract(u.numbers).Subtract(recovered.lineNumbers())
	leftOut := seqrange.New(u.leftOut...)
	order.By(u.pieces, func(a, b piece) int {
		return cmp.Or(cmp.Compare(a.invocation, b.invocation), cmp.Compare(a.index, b.index))
	})
	order.By(u.decisions, func(a, b decision) int {
		return cmp.Or(cmp.Compare(a.invocation, b.invocation), cmp.Compare(a.index, b.index))
	})
	from := uint64(0) // forged frames may overlap: each line is used once
	for i, p := range u.pieces {
		if i > 0 && u.pieces[i-1].invocation != p.invocation {
			from = 0
		}
		u.resolvePiece(p, from, missing, leftOut.Contains(seqrange.Range{First: p.invocation, Last: p.invocation}))
		from = max(from, p.index+p.count)
	}
	u.undecidedLost -= min(u.undecidedLost, u.known)
	u.mergeLines()
	for _, gap := range missing.Subtract(recovered.lineNumbers()) {
		u.lost.lines = addRange(u.lost.lines, gap)
	}
	e.waiting = len(recovered.Undecided) > 0
}

// resolvePiece finds out what has become of the lines of a piece from an index on.
// missing is the numbers that were decided and are nowhere else.
func (u *resolver) resolvePiece(p piece, from uint64, missing seqrange.Set, leftOut bool) {
	rest := p.lines
	for index := p.index; index < p.index+p.count; index++ {
		end := bytes.IndexByte(rest, '\n') + 1
		line := rest[:end]
		rest = rest[end:]
		for len(u.decisions) > 0 && (u.decisions[0].invocation < p.invocation ||
			u.decisions[0].invocation == p.invocation && u.decisions[0].end() <= index) {
			u.decisions = u.decisions[1:]
		}
		switch {
		case index < from:
		case len(u.decisions) > 0 && u.decisions[0].invocation == p.invocation && u.decisions[0].index <= index:
			seq := u.decisions[0].First + index - u.decisions[0].index
			if end > 0 && missing.Contains(seqrange.Range{First: seq, Last: seq}) {
				text := strconv.AppendUint([]byte(format.Start), seq, 10)
				u.decided = append(u.decided, Run{seq, seq, append(text, line[minLine-1:]...)})
			}
		case leftOut:
		case end == 0 || p.place < u.doubtful:
			u.undecidedLost++
			u.undecidedBytes += int64(end)
		default:
			u.addUndecided(p.invocation, index, line)
		}
	}
}

// addUndecided adds a line that is still undecided.
func (u *resolver) addUndecided(invocation, index uint64, line []byte) {
	list := u.recovered.Undecided
	if n := len(list) - 1; n >= 0 && list[n].Invocation == invocation && list[n].Index+list[n].Count == index {
		list[n].Count++
		list[n].Lines = append(list[n].Lines, line...)
		return
	}
	u.recovered.Undecided = append(list, Undecided{invocation, index, 1, bytes.Clone(line)})
}

// mergeLines adds the decided lines to those of the journal.
func (u *resolver) mergeLines() {
	runs := append(u.recovered.Lines, u.decided...)
	order.By(runs, func(a, b Run) int { return cmp.Compare(a.First, b.First) })
	merged := runs[:0]
	for _, run := range runs {
		switch n := len(merged) - 1; {
		case n >= 0 && run.First <= merged[n].Last: // two lines have a number: the file is forged
		case n >= 0 && run.First == merged[n].Last+1:
			merged[n].Last, merged[n].Lines = run.Last, append(merged[n].Lines, run.Lines...)
		case n+1 < maxDamages: // else they are reported lost
			merged = append(merged, run)
		}
	}
	u.recovered.Lines = merged
}
