// Package selection decides which of the events from Lambda are shipped: filters, limits
// and sampling by invocation. What is shipped is redacted here, too.
//
// An event goes through these steps, in this order. The first one that excludes it counts
// it (ledger.Exclusion):
//
//  1. platform events: KINETEL_PLATFORM_EVENTS
//  2. lines of the function: KINETEL_LEVEL, KINETEL_EXCLUDE, KINETEL_INCLUDE
//  3. redaction, of all events
//  4. lines of an invocation: KINETEL_MAX_LINES and KINETEL_MAX_BYTES, KINETEL_SAMPLE
//
// Lines that no invocation is known for go through the first three.
package selection

import (
	"bytes"
	"cmp"
	"maps"
	"slices"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/order"
	"github.com/kinetel/kinetel/internal/pattern"
	"github.com/kinetel/kinetel/internal/redact"
)

// Sink is where selected events go, in order.
type Sink interface {
	Add(ev *event.Event)
	// AddOwn adds an event of Kinetel itself about what another event is about.
	AddOwn(kind string, body []byte, about *event.Event)
	// AddLines adds lines of a request, as pack.Packer.AddLines does. records is the
	// size of their records.
	AddLines(request string, records int64, lines []byte, details []format.Details, before func(first uint64))
}

// Options configure a Selector.
type Options struct {
	Config      config.Selection
	Withhold    bool             // no line of the function or of an extension may leave
	Redact      *redact.Redactor // nil: nothing is redacted
	Environment *environment.Environment
	Details     bool // the format needs format.Details
	Sink        Sink
	// Cold reports whether the invocation that a platform event is about waited for an
	// init or a restore.
	Cold func(*event.Event) bool
	// MaxBytes bounds the memory of undecided lines.
	MaxBytes int64
	Managed  bool // many invocations run at once
	// Journal has the undecided lines too, at most MaxJournal bytes of them; nil: they
	// are only in memory.
	Journal    Journal
	MaxJournal int64
}

// Selector selects the events of one environment. One goroutine at a time uses it.
type Selector struct {
	opt              Options
	cfg              *config.Selection
	exclude, include pattern.Matcher

	tracks  bool // there is something to decide or to count for each invocation
	samples bool

	leftOut     ledger.LeftOut
	invocations map[string]*invocation // by request
	begun       uint64                 // invocations so far
	reported    []string               // requests of invocations that are over, the oldest first
	undecided   int64                  // lines without a number
	raw         int64                  // their bytes before compression
	memory      int64                  // and in memory

	zip     compressor
	line    []byte    // buffer of a line
	texts   [3][]byte // buffers of text without escapes
	journal journal
}

// New returns a Selector, or nil if every event is shipped as it is.
func New(opt Options) *Selector {
	c := &opt.Config
	s := &Selector{opt: opt, invocations: map[string]*invocation{}}
	s.samples = c.Sample != nil
	s.tracks = c.Waits() || c.Level > 0 || c.Include != nil || c.Exclude != nil || c.PlatformEvents != nil || opt.Withhold
	if !s.tracks && opt.Redact == nil {
		return nil
	}
	s.cfg, s.exclude, s.include = &s.opt.Config, pattern.New(c.Exclude), pattern.New(c.Include)
	return s
}

const (
	// maxInvocations bounds the invocations that are tracked. On demand there are two
	// or three; on Managed Instances as many as the environment runs at once.
	maxInvocations = 4096
	// maxReported is how many invocations are remembered after their platform.report,
	// for lines that arrive late. On Managed Instances it is half of maxInvocations,
	// because many may end at once.
	maxReported = 256
)

// invocation is what is known of one invocation.
type invocation struct {
	number  uint64 // from 1, unique in the environment
	request string
	start   string // the time of its platform.start; empty: that has not come
	done    bool   // its platform.runtimeDone has come
	over    bool   // its platform.report has come

	undecided bool           // whether its lines are kept
	judged    bool           // it is not in the share
	sampled   ledger.Sampled // the decision; empty: there is no sampling
	waiting   lines          // undecided lines

	lines, bytes int64            // of lines within the limits
	beyond       ledger.Exclusion // the limit that it has exceeded; 0: none
	cut          cut              // what is left out because of it
	tail         []tailLine       // its last lines
	tailBytes    int64            // of the texts of tail
	tailAdded    bool             // to the sink, because the invocation has ended
	late         int              // lines beyond the limits after that

	stored   uint64 // lines of it that are in the Journal
	unstored bool   // a line could not be stored

	leftOut ledger.LeftOut
}

// Redact redacts a platform event. Add redacts the lines.
func (s *Selector) Redact(ev *event.Event) {
	switch {
	case s == nil:
	case s.opt.Withhold && string(ev.Type) == event.TypePlatformFault:
		ev.Record, ev.Extra = []byte(`"[redacted]"`), nil // the function's text
	case s.opt.Redact != nil:
		before := ev.Record
		s.redactExtra(ev)
		if ev.Record = s.opt.Redact.Platform(before); len(before) > 0 && &before[0] != &ev.Record[0] {
			ev.ForgetPlatform()
		}
	}
}

// redactExtra redacts an event's further members. They get memory of their own: what the
// Redactor returns is valid until its next call.
func (s *Selector) redactExtra(ev *event.Event) {
	if len(ev.Extra) > 0 {
		ev.Extra = bytes.Clone(s.opt.Redact.Members(ev.Extra))
	}
}

// LeaveOut counts an event that Add was not called for.
func (s *Selector) LeaveOut(x ledger.Exclusion) { s.leaveOut(nil, x, 1) }

// Add adds an event, unless it is left out. An undecided line is added later.
func (s *Selector) Add(ev *event.Event) {
	if bytes.HasPrefix(ev.Type, []byte("platform.")) {
		s.addPlatform(ev)
	} else {
		s.addLine(ev)
	}
}

func (s *Selector) addPlatform(ev *event.Event) {
	in := s.find(ev)
	if in != nil {
		switch string(ev.Type) {
		case event.TypePlatformStart:
			in = s.begin(in, ev)
		case event.TypePlatformRuntimeDone:
			s.end(in, ev)
			in.done = true
		case event.TypePlatformReport:
			in.done = true
			s.end(in, ev)
			s.decideLast(in)
			s.addTail(in, ev)
			s.remember(in)
		}
	}
	if s.cfg.PlatformEvents != nil && !slices.Contains(s.cfg.PlatformEvents, string(ev.Type)) {
		s.leaveOut(in, ledger.PlatformEvents, 1)
		return
	}
	s.opt.Sink.Add(ev)
}

func (s *Selector) addLine(ev *event.Event) {
	defer s.release()
	in := s.find(ev)
	if x, out := s.exclusion(ev); out {
		s.leaveOut(in, x, 1)
		return
	}
	if in != nil && in.judging() {
		s.judgeLine(in, ev)
	}
	if r := s.opt.Redact; r != nil && string(ev.Type) != event.TypeUnparsed { // the decoder redacts that
		s.redactExtra(ev)
		ev.Record = r.Record(ev.Record)
	}
	switch {
	case in == nil:
		s.opt.Sink.Add(ev)
	case in.sampled == ledger.SampledNot:
		s.leaveOut(in, ledger.SampledOut, 1)
	case s.isBeyond(in, ev):
		s.addBeyond(in, ev)
	case in.undecided:
		s.wait(in, ev)
	default:
		s.opt.Sink.Add(ev)
	}
}

// release releases the memory of buffers that a very long line has made large.
func (s *Selector) release() {
	if cap(s.line) > 2*format.ShortLine {
		s.line = nil
	}
	for i := range s.texts {
		if cap(s.texts[i]) > 2*format.ShortLine {
			s.texts[i] = nil
		}
	}
}

// leaveOut counts events that are not shipped. in may be nil.
func (s *Selector) leaveOut(in *invocation, x ledger.Exclusion, n int64) {
	s.leftOut.Add(x, n)
	if in != nil {
		in.leftOut.Add(x, n)
	}
}

// find returns the invocation that an event belongs to, or nil if there is none.
func (s *Selector) find(ev *event.Event) *invocation {
	if ev.RequestID == "" || !s.tracks {
		return nil
	}
	in := s.invocations[ev.RequestID]
	if in == nil {
		in = s.track(ev.RequestID)
	}
	if in.undecided && !in.judged {
		s.judgeShare(in, ev)
	}
	return in
}

// track begins to track an invocation.
func (s *Selector) track(request string) *invocation {
	if len(s.invocations) == maxInvocations {
		s.forget(s.oldest())
	}
	s.begun++
	in := &invocation{number: s.begun, request: request, undecided: s.samples}
	s.invocations[request] = in
	return in
}

// forget ends the tracking of an invocation, whose lines are kept if that is undecided.
func (s *Selector) forget(in *invocation) {
	if in.done {
		s.decideLast(in)
	}
	s.decide(in, ledger.SampledBuffer)
	s.addTail(in, nil)
	delete(s.invocations, in.request)
}

// begin handles an invocation's platform.start.
func (s *Selector) begin(in *invocation, ev *event.Event) *invocation {
	// Lambda retries a request under its id. With the same time it is the same attempt: a
	// body that Lambda sends again.
	if in.start != "" && in.start != string(ev.Time) {
		s.decide(in, ledger.SampledEnd)
		s.addTail(in, ev)
		delete(s.invocations, in.request)
		in = s.find(ev)
	}
	in.start = string(ev.Time)
	return in
}

// end handles an invocation's platform.runtimeDone or platform.report.
func (s *Selector) end(in *invocation, ev *event.Event) {
	if in.judging() {
		if why := s.judgeEnd(ev); why != "" {
			s.keep(in, why)
		}
	}
	if !in.undecided {
		s.addTail(in, ev)
	}
}

// remember remembers an invocation after its report.
func (s *Selector) remember(in *invocation) {
	if in.over {
		return
	}
	in.over = true
	s.reported = append(s.reported, in.request)
	most := maxReported
	if s.opt.Managed {
		most = maxInvocations / 2 // others run
	}
	if len(s.reported) > most {
		if oldest := s.invocations[s.reported[0]]; oldest != nil && oldest.over {
			delete(s.invocations, oldest.request)
		}
		s.reported = s.reported[1:]
	}
}

// End decides for all invocations, because the environment ends: the lines of those
// that have ended as any other ordinary one are left out, and the lines of others kept.
func (s *Selector) End() {
	for _, in := range s.byAge() {
		if in.done {
			s.decideLast(in)
		}
		s.decide(in, ledger.SampledEnd)
		s.addTail(in, nil)
	}
}

// oldest returns the oldest invocation.
func (s *Selector) oldest() (oldest *invocation) {
	for _, in := range s.invocations {
		if oldest == nil || in.number < oldest.number {
			oldest = in
		}
	}
	return oldest
}

// byAge returns the invocations, the oldest first.
func (s *Selector) byAge() []*invocation {
	all := slices.Collect(maps.Values(s.invocations))
	order.By(all, func(a, b *invocation) int { return cmp.Compare(a.number, b.number) })
	return all
}

// Selected returns what was decided for an invocation.
func (s *Selector) Selected(request string) (selected ledger.Selected) {
	in := s.invocations[request]
	if in == nil {
		return selected
	}
	if s.samples {
		selected.SampleRate, selected.Sampled = s.rate(), in.sampled
	}
	if in.leftOut.Total() > 0 {
		selected.LeftOut = &in.leftOut
	}
	return selected
}

// LeftOut returns how many events were left out so far.
func (s *Selector) LeftOut() ledger.LeftOut { return s.leftOut }
