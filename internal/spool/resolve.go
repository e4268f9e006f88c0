package spool

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/seqrange"
)

// resolver finds out what has become of the lines in a file of undecided lines.
type resolver struct {
	*restorer
	lines     []undecidedLine  // in the order of the file
	places    map[uint64]int   // in lines, by the line's id
	decided   []Run            // lines that have a number, one by one
	assigned  []seqrange.Range // numbers of decided lines
	elsewhere []seqrange.Range // numbers that the file does not have to keep
	leftOut   []seqrange.Range // invocations
	size      int64            // of the frames that lines came from
	decisions uint64           // how many lines were decided
	doubtful  int              // how many of lines a corrupt frame may have decided
}

// undecidedLine is a line and its id: its invocation in the upper half, its index in
// the lower one.
type undecidedLine struct {
	id   uint64
	text []byte // nil: decided
}

func lineID(invocation, index uint64) uint64 { return invocation<<32 | index }

// readUndecided reads the file of undecided lines, and reports whether it could.
func (r *restorer) readUndecided() bool {
	if r.env.undecided.path == "" {
		return true
	}
	u := resolver{restorer: r, places: map[uint64]int{}}
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
	numbers := seqrange.Range{First: h.first, Last: h.last}
	switch {
	case it.state == intact && h.kind == kindMark:
		u.number(h.last)
		if it.offset > 0 {
			u.elsewhere = append(u.elsewhere, numbers)
		}
		return
	case it.state == intact && h.kind == kindLeftOut:
		u.leftOut = append(u.leftOut, seqrange.Range{First: h.first, Last: h.first})
		return
	case it.state != unknown && h.kind == kindUndecided && h.valid():
		if u.addUndecided(it) {
			return
		}
		u.undecidedLost += int64(h.count)
	case it.state != unknown && h.kind == kindDecided && h.valid():
		u.number(h.last)
		u.assigned = append(u.assigned, numbers)
		if u.decide(it) {
			return
		}
		// Its lines are among those before it. Their numbers are lost, or in records.
		u.doubtful = len(u.lines)
		u.undecidedLost -= int64(h.count)
	case it.size >= 2*headerSize: // else neither lines nor a decision fit
		u.doubtful = len(u.lines)
		u.undecidedLost++ // at least one
	}
	u.place(nil, it)
}

// addUndecided adds the lines of a frame. It returns false if they cannot be read, or
// if they are more than the file may have.
func (u *resolver) addUndecided(it item) bool {
	h, check, before := it.header, u.spool.opt.Check, len(u.lines)
	if u.size += it.size; it.state != intact || u.size > maxUndecided {
		return false
	}
	rest := bytes.Clone(it.payload)
	for id := lineID(h.first, h.last); len(rest) > 0; id++ {
		end := bytes.IndexByte(rest, '\n') + 1
		if end == 0 || !bytes.HasPrefix(rest, []byte(undecidedStart)) || check != nil && !check.Line(u.recovered.Environment, 0, rest[:end]) {
			break
		}
		u.places[id] = len(u.lines)
		u.lines = append(u.lines, undecidedLine{id, rest[:end:end]})
		rest = rest[end:]
	}
	ok := len(rest) == 0 && len(u.lines)-before == int(h.count)
	if !ok {
		u.lines = u.lines[:before]
	}
	return ok
}

// decide gives lines the numbers of a frame. It returns false if the frame cannot be
// read.
func (u *resolver) decide(it item) bool {
	invocation, n := binary.Uvarint(it.payload)
	index, m := binary.Uvarint(it.payload[max(n, 0):])
	h := it.header
	u.decisions += uint64(h.count)
	if it.state != intact || n <= 0 || m <= 0 || invocation >= maxIndex || index >= maxIndex || u.decisions > maxDecided {
		return false
	}
	for seq := h.first; seq <= h.last; seq++ {
		id := lineID(invocation, index+seq-h.first)
		place, ok := u.places[id]
		if !ok || place >= len(u.lines) || u.lines[place].id != id || u.lines[place].text == nil {
			u.undecidedLost-- // it could not be read: its number is lost
			continue
		}
		text := strconv.AppendUint([]byte(format.Start), seq, 10)
		u.decided = append(u.decided, Run{seq, seq, append(text, u.lines[place].text[len(undecidedStart)-1:]...)})
		u.lines[place].text = nil
	}
	return true
}

// resolve adds to what is recovered the undecided lines, and the decided ones that are
// neither in a record nor in the journal.
func (u *resolver) resolve() {
	e := u.env
	elsewhere := seqrange.New(u.elsewhere...)
	for _, run := range u.decided {
		if !elsewhere.Contains(seqrange.Range{First: run.First, Last: run.Last}) {
			u.addLine(run.First, run.Lines) // if it returns false, the line is in the journal or lost
		}
	}
	for _, numbers := range seqrange.New(u.assigned...).Subtract(elsewhere) {
		e.addDecided(numbers)
		u.lost.lines = addRange(u.lost.lines, numbers) // those that are not found
	}
	leftOut := seqrange.New(u.leftOut...)
	for i, line := range u.lines {
		invocation, index := line.id>>32, line.id%maxIndex
		switch list := u.recovered.Undecided; {
		case line.text == nil || leftOut.Contains(seqrange.Range{First: invocation, Last: invocation}):
		case i < u.doubtful:
			u.undecidedLost++
			u.undecidedBytes += int64(len(line.text))
		case i > 0 && u.lines[i-1].text != nil && u.lines[i-1].id+1 == line.id && len(list) > 0:
			last := &list[len(list)-1]
			last.Count++
			last.Lines = append(last.Lines, line.text...)
		default:
			u.recovered.Undecided = append(list, Undecided{invocation, index, 1, line.text})
		}
	}
	e.waiting = len(u.recovered.Undecided) > 0
}
