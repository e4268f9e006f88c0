package main

import (
	"bytes"
	"slices"
	"time"

	"kinetel/internal/config"
	"kinetel/internal/event"
	"kinetel/internal/guard"
	"kinetel/internal/lifecycle"
	"kinetel/internal/pack"
	"kinetel/internal/resource"
	"kinetel/internal/selflog"
	"kinetel/internal/telemetry"
)

const (
	// maxAhead is how many events of a body are read at most before the first of
	// them gets its sequence number.
	maxAhead = telemetry.MaxItems
	// maxAheadText is the size in bytes above which the events are ingested early.
	// It counts text that could not be parsed, which has memory of its own instead
	// of pointing into the body.
	maxAheadText = 256 << 10
)

// ingester receives the listener's events. When a body is complete, its events go
// through the annotator into the open record, and the loop observes them. One
// goroutine at a time uses it.
type ingester struct {
	*pipeline
	*lifecycle.Loop
	ahead     []event.Event // of the body that is being read, not yet ingested
	aheadText int           // bytes of the kinetel.unparsed events in ahead
	// restored is when the environment was restored, by its first
	// platform.restoreStart, and initDone when the init of the snapshot was over.
	// They are zero if that is not known.
	restored, initDone time.Time
	restoreIngested    bool // whether that platform.restoreStart was ingested
}

// Ingest reads an event of a body. All events of a body are ingested together,
// because the events about invocations may follow the lines that belong to them.
func (i *ingester) Ingest(ev *event.Event) {
	if len(i.ahead) == maxAhead || i.aheadText > maxAheadText {
		i.ingestAll()
	}
	switch string(ev.Type) {
	case event.TypeUnparsed:
		i.aheadText += len(ev.Record)
	case event.TypePlatformRestoreStart:
		if !i.snapStart() || !i.restored.IsZero() {
			break // Lambda sends one, and only with SnapStart; others change nothing
		}
		i.restored = ev.At()
		if ev.Received.Before(i.restored) {
			i.restored = ev.Received
		}
		i.annotator.Learn(ev)
	case event.TypePlatformInitRuntimeDone:
		if snapStartInit(ev.Platform()) {
			i.initDone = ev.At()
		}
		i.annotator.Learn(ev)
	default:
		i.annotator.Learn(ev)
	}
	i.ahead = append(i.ahead, *ev)
}

// snapStart reports whether the process comes from a snapshot.
func (i *ingester) snapStart() bool { return i.cfg.Lambda.Initialization == config.SnapStart }

// snapStartInit reports whether an init event may be from a snapshot.
func snapStartInit(init *event.Platform) bool {
	return init.InitializationType == "" || init.InitializationType == string(config.SnapStart)
}

// ofSnapshot reports whether an event that arrives after the restore is from before
// the snapshot was taken. Lambda may send such events late. All clones of the snapshot
// get the same ones, so the events keep the snapshot's environment.
func (i *ingester) ofSnapshot(ev *event.Event) bool {
	switch {
	case i.before == nil || ev.RequestID != "": // no invocation runs in a snapshot
		return false
	case bytes.HasPrefix(ev.Type, []byte("platform.init")):
		return snapStartInit(ev.Platform())
	case len(ev.Time) == 0:
		return false
	case !i.restored.IsZero():
		return ev.At().Before(i.restored)
	}
	return !ev.At().After(i.initDone)
}

// Commit ingests the events of a body, and makes them outlive the process if the
// configuration asks for that. fragment is the incomplete event at the body's end.
func (i *ingester) Commit(fragment []byte) {
	i.ingestAll()
	i.queue.Check() // the function may have emptied /tmp
	i.ingesting.Lock()
	defer i.ingesting.Unlock()
	i.own().Commit(fragment)
	if i.before != nil {
		i.before.Commit(nil) // the fragment belongs to the new environment now
	}
}

// ingestAll ingests the events that were read ahead.
func (i *ingester) ingestAll() {
	for n := 0; n < len(i.ahead); {
		// An event that causes a panic is added as text; the others are not affected.
		if !guard.Run(i.log, "take an event in", func() {
			for ; n < len(i.ahead); n++ {
				i.ingest(&i.ahead[n])
			}
		}) {
			ev := &i.ahead[n]
			guard.Run(i.log, "keep an event as text", func() { telemetry.Unparsed(ev.Record, ev.Received, i.keep) })
			n++
		}
	}
	clear(i.ahead) // they point into the body
	i.ahead, i.aheadText = i.ahead[:0], 0
}

// keep adds an event without reading it.
func (i *ingester) keep(ev *event.Event) {
	i.ingesting.Lock()
	defer i.ingesting.Unlock()
	i.own().Add(ev)
}

// ingest annotates an event, adds it to the open record, and updates what depends on
// it.
func (i *ingester) ingest(ev *event.Event) {
	begins := string(ev.Type) == event.TypePlatformInitStart // an environment
	switch string(ev.Type) {
	case event.TypePlatformLogsDropped:
		i.mu.Lock()
		i.dropped.Add(ev.Platform())
		i.mu.Unlock()
	case event.TypePlatformRestoreStart:
		if begins = i.snapStart() && !i.restoreIngested; begins {
			i.restoreIngested = true
			i.Restored() // before the event gets a sequence number
		}
	case event.TypeExtension:
		if selflog.Own(ev.Record) {
			i.ownLog.Add(1) // to ship it would cause more of it
			return
		}
	}
	i.annotator.Annotate(ev)
	i.ingesting.Lock()
	defer i.ingesting.Unlock()
	packer, environment := i.own(), i.environment
	if i.ofSnapshot(ev) {
		packer, environment = i.before, i.snapshot
	}
	if begins {
		i.invocations.Initialized(ev)
		environment.Started(ev.Platform())
		packer.Environment().Describe(environment.Details())
	}
	switch string(ev.Type) {
	case event.TypePlatformInitReport, event.TypePlatformRestoreReport:
		i.invocations.Initialized(ev)
	case event.TypePlatformStart:
		i.describe(packer, environment, ev) // if no init event came before
		i.invocations.Started(ev)
	case event.TypePlatformRuntimeDone:
		i.invocations.RuntimeDone(ev)
	}
	first, last := packer.Add(ev)
	i.Observe(ev)
	i.invocations.Counted(ev, first, last)
	if begins {
		i.describe(packer, environment, ev)
	}
	if string(ev.Type) == event.TypePlatformReport {
		if summary, ok := i.invocations.Reported(ev); ok {
			i.addInvocation(packer, summary.Body, ev)
		}
	}
}

// describe adds a kinetel.environment, once for each environment: what its lines do
// not contain. p.ingesting is held.
func (p *pipeline) describe(packer *pack.Packer, environment *resource.Resource, at *event.Event) {
	if slices.Contains(p.described, packer) {
		return
	}
	p.described = append(p.described, packer)
	packer.AddOwn(&event.Event{Time: at.Time, Received: at.Received, Type: []byte(event.TypeEnvironment), Record: environment.JSON()})
}

// addInvocation adds a kinetel.invocation unless the configuration turns reports off,
// and a span with OTLPSpans. at is the event that ends the invocation. p.ingesting is
// held.
func (p *pipeline) addInvocation(packer *pack.Packer, body []byte, at *event.Event) {
	if !p.cfg.Report.Events {
		return
	}
	ev := event.Event{Time: at.Time, Received: at.Received, RequestID: at.RequestID, TraceID: at.TraceID, Type: []byte(event.TypeInvocation), Record: body}
	packer.AddOwn(&ev)
	if p.cfg.OTLPSpans {
		ev.Type = []byte(event.TypeSpan)
		packer.AddOwn(&ev)
	}
}
