package pipeline

import (
	"bytes"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/guard"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/internal/selflog"
	"github.com/kinetel/kinetel/internal/telemetry"
)

const (
	// maxAhead is how many events of a body are read at most before the first of
	// them gets its sequence number.
	maxAhead = telemetry.MaxItems
	// minAhead is for how many events memory is always kept.
	minAhead = 256
	// maxAheadText is the size in bytes above which the events are ingested early.
	// It counts text that could not be parsed, which has memory of its own instead
	// of pointing into the body.
	maxAheadText = 256 << 10
	// maxAheadParsed is how many events of a body keep what was read of their record.
	// Of those behind them it is read again. It has memory of its own, too.
	maxAheadParsed = 256
)

// Observer observes what was ingested; *lifecycle.Loop is one.
type Observer interface {
	// Observe receives an event that is in the open record. It must not keep it.
	Observe(*event.Event)
	// Acknowledged is called when Lambda has the answer to the body of these events.
	Acknowledged()
}

// Ingester is the listener's telemetry.Sink. When a body is complete, its events go
// through the annotator into the open record. One goroutine at a time uses it.
type Ingester struct {
	p        *Pipeline
	observer Observer

	ahead     []event.Event // of the body that is being read, not yet ingested
	aheadText int           // bytes of the kinetel.unparsed events in ahead

	times           restoreTimes
	restoreIngested bool // the first platform.restoreStart
}

// NewIngester returns an Ingester into the pipeline.
func (p *Pipeline) NewIngester(observer Observer) *Ingester {
	return &Ingester{p: p, observer: observer}
}

// Ingest reads an event of a body. All events of a body are ingested together,
// because the events about invocations may follow the lines that belong to them.
func (i *Ingester) Ingest(ev *event.Event) {
	if len(i.ahead) == maxAhead || i.aheadText > maxAheadText {
		i.ingestAll()
	}
	if string(ev.Type) == event.TypeUnparsed {
		i.aheadText += len(ev.Record)
	}
	// Lambda sends one restoreStart, and only with SnapStart; others change nothing.
	if string(ev.Type) != event.TypePlatformRestoreStart || i.snapStart() && i.times.restored.IsZero() {
		i.times.learn(ev)
		i.p.annotator.Learn(ev)
	}
	i.ahead = append(i.ahead, *ev)
	if n := len(i.ahead) - 1; n >= maxAheadParsed {
		i.ahead[n].ForgetPlatform()
	}
}

// snapStart reports whether the process comes from a snapshot.
func (i *Ingester) snapStart() bool { return i.p.cfg.Lambda.Initialization == config.SnapStart }

// Commit ingests the events of a body, and makes them outlive the process if the
// configuration asks for that. fragment is the incomplete event at the body's end.
func (i *Ingester) Commit(fragment []byte) {
	i.ingestAll()
	i.p.queue.Check() // the function may have emptied /tmp
	i.p.ingesting.Lock()
	defer i.p.ingesting.Unlock()
	i.p.current.commit(fragment)
	if i.p.snapshot != nil {
		i.p.snapshot.commit(nil) // the fragment belongs to the new environment now
	}
}

// Unparsed returns what may leave the sandbox of text that is no event.
func (i *Ingester) Unparsed(text []byte) []byte {
	if i.p.redactor == nil {
		return text
	}
	return bytes.Clone(i.p.redactor.Unparsed(text)) // it is emitted in pieces, and the redactor used between them
}

// Acknowledged is called when Lambda has the answer to the body.
func (i *Ingester) Acknowledged() { i.observer.Acknowledged() }

// ingestAll ingests the events that were read ahead.
func (i *Ingester) ingestAll() {
	for n := 0; n < len(i.ahead); {
		// An event that causes a panic is added as text; the others are not affected.
		if !guard.Run(i.p.log, "ingest an event", func() {
			for ; n < len(i.ahead); n++ {
				i.ingest(&i.ahead[n])
			}
		}) {
			ev := &i.ahead[n]
			guard.Run(i.p.log, "keep an event as text", func() { i.addAsText(ev) })
			n++
		}
	}
	clear(i.ahead) // they point into the body
	if cap(i.ahead) > minAhead && len(i.ahead) < cap(i.ahead)/8 {
		i.ahead = nil // it was for a larger body
	}
	i.ahead, i.aheadText = i.ahead[:0], 0
}

// addAsText adds an event that could not be ingested, without reading it.
func (i *Ingester) addAsText(ev *event.Event) {
	p := i.p
	p.ingesting.Lock()
	defer p.ingesting.Unlock()
	from := p.current
	if p.cfg.Redaction.Unusable {
		if from.pending { // otherwise it is counted already
			from.pending = false
			from.selection.LeaveOut(ledger.Redaction)
		}
		return
	}
	if from.pending { // the text is counted instead
		from.pending = false
		from.received.Events--
	}
	text := ev.Record
	if p.redactor != nil { // it may be what failed
		text = p.redactor.Unparsed(append([]byte(`"record":`), text...))
	}
	telemetry.Unparsed(text, ev.Received, func(ev *event.Event) {
		from.receive(ev)
		from.packer.Add(ev)
		from.pending = false
	})
}

// ingest annotates an event, adds it to the open record, and updates what depends on
// it.
func (i *Ingester) ingest(ev *event.Event) {
	p := i.p
	begins := string(ev.Type) == event.TypePlatformInitStart // an environment
	switch string(ev.Type) {
	case event.TypePlatformLogsDropped:
		p.mu.Lock()
		p.dropped.Add(ev.Platform())
		p.mu.Unlock()
	case event.TypePlatformRestoreStart:
		if begins = i.snapStart() && !i.restoreIngested; begins {
			i.restoreIngested = true
			p.Restored() // before the event gets a sequence number
		}
	}
	p.annotator.Annotate(ev)
	p.ingesting.Lock()
	defer p.ingesting.Unlock()
	from := p.current
	if p.snapshot != nil && i.times.beforeSnapshot(ev) {
		from = p.snapshot
	}
	from.receive(ev)
	if string(ev.Type) == event.TypeExtension && selflog.Own(ev.Record) {
		from.pending = false
		from.ownLog++ // to ship it would cause more of it
		return
	}
	if bytes.HasPrefix(ev.Type, []byte("platform.")) {
		from.selection.Redact(ev) // before anybody keeps a value of it
	}
	if begins {
		from.resource.Started(ev.Platform())
		from.packer.Environment().Describe(from.resource.Details())
	}
	switch string(ev.Type) {
	case event.TypePlatformInitReport, event.TypePlatformRestoreReport:
		p.invocations.Initialized(ev)
	case event.TypePlatformStart:
		from.describe(ev) // if no init event came before
		p.invocations.Started(ev)
	case event.TypePlatformRuntimeDone:
		p.invocations.RuntimeDone(ev)
	}
	from.add(ev)
	i.observer.Observe(ev)
	if begins {
		p.invocations.Initialized(ev)
		from.describe(ev)
	}
	switch string(ev.Type) {
	case event.TypePlatformReport:
		if summary, ok := p.invocations.Reported(ev); ok {
			p.addInvocation(from.packer, summary.Body, ev)
		}
	case event.TypePlatformInitRuntimeDone:
		if body := p.invocations.ColdStart(ev); body != nil {
			// Without a trace that Lambda names: the init has one of its own.
			p.addSpan(from.packer, event.TypeInit, body, &event.Event{Time: ev.Time, Received: ev.Received})
		}
	}
}

// addInvocation adds a kinetel.invocation unless the configuration turns reports off,
// and a span. at is the event that ends the invocation. p.ingesting is held.
func (p *Pipeline) addInvocation(packer *pack.Packer, body []byte, at *event.Event) {
	if p.cfg.Report.Events {
		packer.AddOwn(ownEvent(event.TypeInvocation, body, at))
	}
	p.addSpan(packer, event.TypeSpan, body, at)
}

// addSpan adds a kinetel.span or kinetel.init if the configuration asks for spans. at is
// the event that ends it. p.ingesting is held.
func (p *Pipeline) addSpan(packer *pack.Packer, kind string, body []byte, at *event.Event) {
	if p.cfg.OTLPSpans {
		packer.AddOwn(ownEvent(kind, body, at))
	}
}

// ownEvent returns an event of Kinetel about what another event is about.
func ownEvent(kind string, body []byte, at *event.Event) *event.Event {
	return &event.Event{
		Time: at.Time, Received: at.Received, RequestID: at.RequestID, TraceID: at.TraceID,
		OTLP: event.OTLP{Span: at.OTLP.Span}, Type: []byte(kind), Record: body,
	}
}
