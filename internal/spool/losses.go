package spool

import (
	"encoding/binary"
	"slices"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/ledger"
)

const lossesName = "losses"

// maxCount and maxBytes bound the numbers of a loss, so that sums do not overflow.
const (
	maxCount = 1 << 31
	maxBytes = 1 << 50
)

// pendingLoss is a loss that is not reported yet. Its Number is 0 until a ledger
// of this process has numbered it.
type pendingLoss struct {
	ledger.Loss
	serial uint64 // ascending within the environment
}

// frame returns the loss's frame. The payload is its serial number as a uvarint,
// and the loss as JSON.
func (l pendingLoss) frame() (frame, bool) {
	h := header{kind: kindLoss, count: uint32(l.Count), first: l.First, last: l.Last}
	return newFrame(h, l.AppendJSON(binary.AppendUvarint(nil, l.serial)))
}

// parseLoss parses a frame's loss and checks that a process can have written it.
func parseLoss(h header, payload []byte) (l pendingLoss, ok bool) {
	serial, n := binary.Uvarint(payload)
	if h.kind != kindLoss || n <= 0 || serial == 0 || serial > maxNumber || !readLoss(payload[n:], &l.Loss) {
		return l, false
	}
	l.serial = serial
	return l, l.First == h.first && l.Last == h.last && valid(l.Loss)
}

// readLoss reads the JSON of a loss. ok is false if it is not an object, or if a member
// has the wrong type.
func readLoss(text []byte, l *ledger.Loss) (ok bool) {
	ok = jsontext.IsObject(text)
	count := int64(l.Count)
	for m := jsontext.Members(text); ok && m.Next(); {
		switch string(m.Name) {
		case "firstSeq":
			ok = jsontext.ReadUint(m.Value, &l.First)
		case "lastSeq":
			ok = jsontext.ReadUint(m.Value, &l.Last)
		case "count":
			ok = jsontext.ReadInt(m.Value, &count)
		case "bytes":
			ok = jsontext.ReadInt(m.Value, &l.Bytes)
		case "reason":
			ok = jsontext.ReadString(m.Value, (*string)(&l.Reason))
		}
	}
	l.Count = int(count)
	return ok
}

// valid reports whether the fields of a loss make sense.
func valid(l ledger.Loss) bool {
	return l.Reason.Known() && l.First > 0 && l.First <= l.Last && l.Last <= maxNumber && l.Bytes >= 0 && l.Bytes <= maxBytes &&
		l.Count > 0 && l.Count <= maxCount && uint64(l.Count) <= l.Last-l.First+1
}

// same reports whether two losses are equal, apart from their Number.
func same(a, b ledger.Loss) bool {
	a.Number, b.Number = 0, 0
	return a == b
}

// Lost stores a loss until a record with that Number or a higher one is appended
// or sent. A loss that Recover has returned is only given its Number. If the disk
// fails, only the caller has the loss.
func (s *Spool) Lost(o *environment.Environment, loss ledger.Loss) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.ready(o)
	if err != nil {
		return
	}
	for i := range e.losses {
		if l := &e.losses[i]; l.Number == 0 && same(l.Loss, loss) {
			l.Number = loss.Number
			return
		}
	}
	l := pendingLoss{loss, e.serial + 1}
	f, ok := l.frame()
	if !ok || len(e.losses) >= maxLosses {
		return
	}
	if _, err := s.add(e, &e.lossFile, lossesName, f, s.reserve()); err != nil {
		return // if it is the disk, that is logged
	}
	e.serial = l.serial
	e.losses = append(e.losses, l)
	e.last = max(e.last, loss.Last)
}

// reportedBy returns the serial number up to which all losses are reported by a
// record with these losses and the records before it. A ledger sets the Number of
// the last one of them.
func (e *folder) reportedBy(losses []ledger.Loss) (serial uint64) {
	var number uint64
	for _, loss := range losses {
		number = max(number, loss.Number)
	}
	if number == 0 {
		return 0
	}
	serial = e.serial
	for _, l := range e.losses {
		if l.Number > number {
			serial = min(serial, l.serial-1)
		}
	}
	return serial
}

// removeLosses removes the losses up to a serial number.
func (s *Spool) removeLosses(e *folder, reported uint64) {
	n := len(e.losses)
	e.losses = slices.DeleteFunc(e.losses, func(l pendingLoss) bool { return l.serial <= reported })
	if len(e.losses) == n {
		return
	}
	if err := s.writeLosses(e); err != nil {
		s.opt.Log.Debug("losses that are reported could not be removed; they may be reported again after a restart",
			"path", e.lossFile.path, "error", err.Error())
	}
}

// writeLosses writes the losses file anew.
func (s *Spool) writeLosses(e *folder) (err error) {
	defer func() { e.lossesUnwritten = err != nil }()
	f := e.lossFrames()
	switch {
	case len(f) > 1:
		return s.replace(e, &e.lossFile, lossesName, f)
	case e.lossFile.path == "":
		return nil
	}
	return e.lossFile.with(s.disk, toWrite, func() error { return e.lossFile.restart(f) })
}

// lossFrames returns the content of the losses file.
func (e *folder) lossFrames() frame {
	content := e.mark()
	for p := range e.checked {
		content = append(content, bare(header{kind: kindChecked, count: uint32(p.offset), first: uint64(p.number), last: uint64(p.size)})...)
	}
	for _, l := range e.losses {
		f, _ := l.frame() // it was valid when it was added
		content = append(content, f...)
	}
	return content
}
