package main

import (
	"bytes"
	"encoding/json"
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
	// maxAhead bounds the events of a body that are looked at before the first of
	// them gets its number.
	maxAhead = telemetry.MaxItems
	// maxAheadText bounds, of these, the texts that are not in the body's memory:
	// of what cannot be parsed.
	maxAheadText = 256 << 10
)

// intake is where the listener's events go: when a body is complete, by the
// annotator into the open record, and by the loop's eyes. It is used by one
// goroutine at a time.
type ingester struct {
	*pipeline
	*lifecycle.Loop
	ahead     []event.Event // of the body that is being read
	aheadText int           // bytes of the texts of kinetel.unparsed in it
	// restored is when the environment was restored, by its first
	// platform.restoreStart, and initDone when the init of the snapshot was over.
	// They are zero if that is not known.
	restored, initDone time.Time
	restoreTaken       bool // that platform.restoreStart was taken in
}

// Take looks at an event of a body. It is taken in with the others, because what
// is said of invocations may stand behind the lines that belong to them.
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
		if snapStartInit(ev.Record) {
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

// snapStartInit reports whether the record of an init's event may be of a snapshot.
func snapStartInit(record []byte) bool {
	var init struct {
		InitializationType string `json:"initializationType"`
	}
	_ = json.Unmarshal(record, &init) // what cannot be read has none
	return init.InitializationType == "" || init.InitializationType == string(config.SnapStart)
}

// ofSnapshot reports whether an event that arrives after the restore is of the
// time before the snapshot was taken. Lambda may send those late. All clones of the
// snapshot get the same ones, so they keep its environment.
func (i *ingester) ofSnapshot(ev *event.Event) bool {
	switch {
	case i.before == nil || ev.RequestID != "": // no invocation runs in a snapshot
		return false
	case bytes.HasPrefix(ev.Type, []byte("platform.init")):
		return snapStartInit(ev.Record)
	case len(ev.Time) == 0:
		return false
	case !i.restored.IsZero():
		return ev.At().Before(i.restored)
	}
	return !ev.At().After(i.initDone)
}

// Commit takes the events of a body in, and makes them outlive the process where
// that is asked for.
func (i *ingester) Commit(fragment []byte) {
	i.ingestAll()
	i.queue.Check() // the function may have emptied /tmp
	i.ingesting.Lock()
	defer i.ingesting.Unlock()
	i.own().Commit(fragment)
	if i.before != nil {
		i.before.Commit(nil) // what of it was no event yet is the other's now
	}
}

// takeAll takes in the events that were looked at.
func (i *ingester) ingestAll() {
	for n := 0; n < len(i.ahead); {
		// One that makes something panic is there as text, and the others as ever.
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

// keep takes an event in that nobody looks at.
func (i *ingester) keep(ev *event.Event) {
	i.ingesting.Lock()
	defer i.ingesting.Unlock()
	i.own().Add(ev)
}

// take takes an event in.
func (i *ingester) ingest(ev *event.Event) {
	begins := string(ev.Type) == event.TypePlatformInitStart
	switch string(ev.Type) {
	case event.TypePlatformLogsDropped:
		i.mu.Lock()
		i.dropped.Add(ev.Record)
		i.mu.Unlock()
	case event.TypePlatformRestoreStart:
		if begins = i.snapStart() && !i.restoreTaken; begins {
			i.restoreTaken = true
			i.Restored() // before anything is numbered
		}
	case event.TypeExtension:
		if selflog.Own(ev.Record) {
			i.ownLog.Add(1) // shipping it would make more of it
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
		environment.Started(ev.Record)
		packer.Origin().Describe(environment.Details())
	}
	switch string(ev.Type) {
	case event.TypePlatformInitReport, event.TypePlatformRestoreReport:
		i.invocations.Initialized(ev)
	case event.TypePlatformStart:
		i.describe(packer, environment, ev) // where no init was told of
		i.invocations.Started(ev.RequestID, ev)
	case event.TypePlatformRuntimeDone:
		i.invocations.RuntimeDone(ev.RequestID, ev.Record)
	}
	first, last := packer.Add(ev)
	i.Observe(ev)
	i.invocations.Counted(ev.RequestID, first, last, len(ev.Record))
	if begins {
		i.describe(packer, environment, ev)
	}
	if string(ev.Type) == event.TypePlatformReport {
		if told, ok := i.invocations.Reported(ev.Record); ok {
			i.addInvocation(packer, told.Body, ev)
		}
	}
}

// describe tells, once an environment, what its lines do not say. taking is held.
func (p *pipeline) describe(packer *pack.Packer, environment *resource.Environment, at *event.Event) {
	if slices.Contains(p.described, packer) {
		return
	}
	p.described = append(p.described, packer)
	packer.AddOwn(&event.Event{Time: at.Time, Received: at.Received, Type: []byte(event.TypeEnvironment), Record: environment.JSON()})
}

// tellInvocation tells of an invocation that is over, at is the event that says
// so. taking is held.
func (p *pipeline) addInvocation(packer *pack.Packer, told []byte, at *event.Event) {
	if !p.cfg.Report.Events {
		return
	}
	ev := event.Event{Time: at.Time, Received: at.Received, RequestID: at.RequestID, TraceID: at.TraceID, Type: []byte(event.TypeInvocation), Record: told}
	packer.AddOwn(&ev)
	if p.cfg.OTLPSpans {
		ev.Type = []byte(event.TypeSpan)
		packer.AddOwn(&ev)
	}
}
