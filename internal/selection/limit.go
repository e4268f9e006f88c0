package selection

import (
	"bytes"
	"time"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/ledger"
)

const (
	// maxTail is how many lines beyond a limit are kept: the last ones, where the cause
	// of a failure is.
	maxTail = 100
	// maxTailBytes bounds the memory of these lines, for each invocation.
	maxTailBytes = 256 << 10
)

// tailLine is one of an invocation's last lines.
type tailLine struct {
	text    []byte // of kinetel/1, without its number
	record  int    // bytes of its record
	details format.Details
	index   uint64 // in the journal, from 1; 0: it is not there
}

// cut counts what the limits left out between the first and the last lines of an
// invocation.
type cut struct{ events, bytes int64 } // bytes of their records

// isBeyond reports whether a line exceeds a limit of its invocation. From the first such
// line on, all do.
func (s *Selector) isBeyond(in *invocation, ev *event.Event) bool {
	size := int64(len(ev.Record))
	switch c := s.cfg; {
	case in.beyond != 0:
	case c.MaxLines > 0 && in.lines == c.MaxLines:
		in.beyond = ledger.MaxLines
	case c.MaxBytes > 0 && in.bytes+size > c.MaxBytes:
		in.beyond = ledger.MaxBytes
	default:
		in.lines++
		in.bytes += size
	}
	return in.beyond != 0
}

// addBeyond adds a line beyond a limit to the last lines. If the invocation has ended,
// lines come late: some are still shipped.
func (s *Selector) addBeyond(in *invocation, ev *event.Event) {
	if in.tailAdded {
		if in.late++; in.late > maxTail {
			s.cut(in, len(ev.Record))
		} else {
			s.opt.Sink.Add(ev)
		}
		return
	}
	s.line = s.appendLine(s.line[:0], ev)
	size := int64(len(s.line))
	full := func() bool { return len(in.tail) == maxTail || in.tailBytes+size > maxTailBytes || !s.room(size) }
	for size <= format.ShortLine && len(in.tail) > 0 && full() {
		s.cut(in, in.tail[0].record)
		s.dropTail(in, 1)
	}
	if size > format.ShortLine || full() {
		s.cut(in, len(ev.Record))
		return
	}
	s.note(in)
	one := tailLine{text: bytes.Clone(s.line), record: len(ev.Record)}
	if s.opt.Details {
		one.details = format.DetailsOf(ev)
	}
	in.tail = append(in.tail, one)
	in.tailBytes += size
	s.count(1, size, size)
}

// cut counts a line that a limit leaves out.
func (s *Selector) cut(in *invocation, record int) {
	in.cut.events++
	in.cut.bytes += int64(record)
	s.leaveOut(in, in.beyond, 1)
}

// dropTail forgets the first n of the last lines.
func (s *Selector) dropTail(in *invocation, n int) {
	for i := range in.tail[:n] {
		size := int64(len(in.tail[i].text))
		in.tail[i].text = nil
		s.count(-1, -size, -size)
		in.tailBytes -= size
	}
	in.tail = in.tail[n:]
}

// addTail adds the last lines of an invocation that is kept, once it has ended, and before
// them an event that counts the lines between the first and these. about is the event that
// ends the invocation; nil: none has come.
func (s *Selector) addTail(in *invocation, about *event.Event) {
	if in.tailAdded {
		return
	}
	in.tailAdded = true
	if in.cut.events > 0 {
		if about == nil {
			about = &event.Event{Received: time.Now(), RequestID: in.request}
		}
		var body jsontext.Object
		body.String("requestId", in.request)
		body.Int("events", in.cut.events)
		body.Int("bytes", in.cut.bytes)
		body.OmitEmpty = true
		body.Int("maxLines", s.cfg.MaxLines)
		body.Int("maxBytes", s.cfg.MaxBytes)
		s.opt.Sink.AddOwn(event.TypeLimit, body.JSON(), about)
	}
	// Those in the Journal come first: their indexes follow each other.
	stored := 0
	for stored < len(in.tail) && in.tail[stored].index > 0 {
		stored++
	}
	tail := in.tail
	if stored > 0 {
		s.addTailLines(in, tail[:stored], s.decided(in, tail[0].index-1, uint64(stored)))
	}
	s.addTailLines(in, tail[stored:], nil)
	s.dropTail(in, len(tail))
	in.tail = nil
}

func (s *Selector) addTailLines(in *invocation, tail []tailLine, before func(first uint64)) {
	if len(tail) == 0 {
		return
	}
	var text []byte
	var details []format.Details
	records := int64(0)
	for i := range tail {
		text = append(text, tail[i].text...)
		records += int64(tail[i].record)
		if s.opt.Details {
			details = append(details, tail[i].details)
		}
	}
	s.opt.Sink.AddLines(in.request, records, text, details, before)
}
