package selection

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/ledger"
)

// rate returns the share of ordinary invocations that are kept.
func (s *Selector) rate() json.Number {
	return json.Number(strconv.FormatFloat(s.cfg.Sample.Share, 'f', -1, 64))
}

// judgeShare keeps an invocation that is in the share. If the share is one of traces, the
// trace must be known for that.
func (s *Selector) judgeShare(in *invocation, ev *event.Event) {
	id := ev.RequestID
	if s.cfg.Sample.ByTrace {
		if id = ev.TraceID; id == "" {
			return
		}
	}
	in.judged = true
	if InShare(id, s.cfg.Sample.Share) {
		s.decide(in, ledger.SampledShare)
	}
}

// InShare reports whether an id is in a share of all ids, from 0 to 1. What is in a share
// is in each larger share, too. The hash is FNV-1a of 64 bits, and then the last step of
// MurmurHash3, which makes each bit depend on all bits.
func InShare(id string, share float64) bool {
	h := uint64(14695981039346656037)
	for i := range len(id) {
		h = (h ^ uint64(id[i])) * 1099511628211
	}
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	return float64(h>>11) < share*(1<<53)
}

// judgeLine keeps an invocation that a line makes interesting.
func (s *Selector) judgeLine(in *invocation, ev *event.Event) {
	c := s.cfg.Sample
	switch {
	case c.Error && ev.Severity >= event.Error:
		s.keep(in, ledger.SampledError)
	case c.Mark != "" && s.marked(ev.Record):
		s.keep(in, ledger.SampledMarked)
	}
}

// marked reports whether a line contains the mark, as it is or in the text of a string.
func (s *Selector) marked(record []byte) bool {
	mark := []byte(s.cfg.Sample.Mark)
	if bytes.Contains(record, mark) {
		return true
	}
	if bytes.IndexByte(record, '\\') < 0 {
		return false
	}
	s.texts[0] = jsontext.AppendUnescape(s.texts[0][:0], record, -1)
	return bytes.Contains(s.texts[0], mark)
}

// judgeEnd returns why an invocation is kept, by its platform.runtimeDone or
// platform.report; empty: it is an ordinary one so far.
func (s *Selector) judgeEnd(ev *event.Event) ledger.Sampled {
	c, p := s.cfg.Sample, ev.Platform()
	switch {
	case c.Timeout && p.Status == "timeout":
		return ledger.SampledTimeout
	case c.Error && (p.Status == "error" || p.Status == "failure"):
		return ledger.SampledError
	case c.Cold && s.opt.Cold(ev):
		return ledger.SampledCold
	}
	if ms, err := p.Metrics.DurationMs.Float64(); c.Slow > 0 && err == nil && ms >= float64(c.Slow)/float64(time.Millisecond) {
		return ledger.SampledSlow
	}
	return ""
}

// judging reports whether there may be a reason to keep an invocation. One of the share is
// judged too: consumers multiply only those that nothing else keeps.
func (in *invocation) judging() bool {
	return in.undecided || in.sampled == ledger.SampledShare
}

// keep keeps the lines of an invocation for a reason of its own.
func (s *Selector) keep(in *invocation, why ledger.Sampled) {
	if in.sampled == ledger.SampledShare {
		in.sampled = why
	}
	s.decide(in, why)
}

// decide keeps the lines of an invocation, unless that is decided.
func (s *Selector) decide(in *invocation, why ledger.Sampled) {
	if !in.undecided {
		return
	}
	in.undecided, in.sampled = false, why
	s.shipWaiting(in)
}

// decideLast decides for an invocation that nothing has made interesting.
func (s *Selector) decideLast(in *invocation) {
	if !in.undecided {
		return
	}
	switch {
	case in.start == "": // an earlier process had its first lines, and kept them when it was killed
		s.decide(in, ledger.SampledEnd)
		return
	case !in.judged && InShare(in.request, s.cfg.Sample.Share): // no trace has come
		s.decide(in, ledger.SampledShare)
		return
	}
	in.undecided, in.sampled = false, ledger.SampledNot
	s.journalLeftOut(in)
	s.leaveOut(in, ledger.SampledOut, in.waiting.n+int64(len(in.tail)))
	s.dropWaiting(in)
	s.dropTail(in, len(in.tail))
	in.cut = cut{} // kinetel.invocation counts these lines
}

// wait stores a line until it is decided whether it is kept. If there is no memory for
// it, the invocation is kept.
func (s *Selector) wait(in *invocation, ev *event.Event) {
	s.line = s.appendLine(s.line[:0], ev)
	if len(s.line) > format.ShortLine || !s.room(int64(len(s.line))) {
		s.decide(in, ledger.SampledBuffer)
		s.opt.Sink.Add(ev)
		return
	}
	s.addWaiting(in, ev)
}
