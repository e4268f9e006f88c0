package main

import (
	"kinetel/internal/event"
	"kinetel/internal/guard"
	"kinetel/internal/lifecycle"
	"kinetel/internal/pack"
	"kinetel/internal/selflog"
	"kinetel/internal/telemetry"
)

// maxAhead bounds the events of a body that are looked at before the first of
// them gets its number: Lambda posts a thousand at most (package telemetry).
const maxAhead = 1024

// intake is where the listener's events go: when a body is complete, by the
// annotator into the open record, and by the loop's eyes. It is used by one
// goroutine at a time.
type intake struct {
	*pipeline
	*lifecycle.Loop
	ahead []event.Event // of the body that is being read
}

// Take looks at an event of a body. It is taken in with the others, because what
// is said of invocations may stand behind the lines that belong to them.
func (i *intake) Take(ev *event.Event) {
	if len(i.ahead) == maxAhead {
		i.takeAll()
	}
	i.annotator.Learn(ev)
	i.ahead = append(i.ahead, *ev)
}

// Commit takes the events of a body in, and makes them outlive the process where
// that is asked for.
func (i *intake) Commit(fragment []byte) {
	i.takeAll()
	i.queue.Check() // the function may have emptied /tmp
	i.taking.Lock()
	defer i.taking.Unlock()
	i.own().Commit(fragment)
	if i.before != nil {
		i.before.Commit(nil) // what of it was no event yet is the other's now
	}
}

// takeAll takes in the events that were looked at.
func (i *intake) takeAll() {
	for n := 0; n < len(i.ahead); {
		// One that makes something panic is there as text, and the others as ever.
		if !guard.Run(i.log, "take an event in", func() {
			for ; n < len(i.ahead); n++ {
				i.take(&i.ahead[n])
			}
		}) {
			ev := &i.ahead[n]
			guard.Run(i.log, "keep an event as text", func() { telemetry.Unparsed(ev.Record, ev.Received, i.keep) })
			n++
		}
	}
	clear(i.ahead) // they point into the body
	i.ahead = i.ahead[:0]
}

// keep takes an event in that nobody looks at.
func (i *intake) keep(ev *event.Event) {
	i.taking.Lock()
	defer i.taking.Unlock()
	i.own().Add(ev)
}

// take takes an event in.
func (i *intake) take(ev *event.Event) {
	switch string(ev.Type) {
	case event.TypePlatformLogsDropped:
		i.mu.Lock()
		i.dropped.Add(ev.Record)
		i.mu.Unlock()
	case event.TypePlatformRestoreStart:
		i.Restored() // before anything is numbered
	case event.TypeExtension:
		if selflog.Own(ev.Record) {
			i.ownLog.Add(1) // shipping it would make more of it
			return
		}
	}
	i.annotator.Annotate(ev)
	i.taking.Lock()
	defer i.taking.Unlock()
	packer := i.own()
	switch string(ev.Type) {
	case event.TypePlatformInitStart, event.TypePlatformRestoreStart:
		i.environment.Started(ev.Record)
		packer.Origin().Describe(i.environment.Details())
	case event.TypePlatformStart:
		i.describe(packer, ev) // where no init was told of
		i.invocations.Started(ev.RequestID, ev)
	case event.TypePlatformRuntimeDone:
		i.invocations.RuntimeDone(ev.RequestID, ev.Record)
	}
	first, last := packer.Add(ev)
	i.Observe(ev)
	i.invocations.Counted(ev.RequestID, first, last, len(ev.Record))
	switch string(ev.Type) {
	case event.TypePlatformInitStart, event.TypePlatformRestoreStart:
		i.describe(packer, ev)
	case event.TypePlatformReport:
		if told, ok := i.invocations.Reported(ev.Record); ok {
			i.tellInvocation(packer, told.Body, ev)
		}
	}
}

// describe tells, once an environment, what its lines do not say. taking is held.
func (p *pipeline) describe(packer *pack.Packer, at *event.Event) {
	if p.described == packer {
		return
	}
	p.described = packer
	packer.AddOwn(&event.Event{Time: at.Time, Received: at.Received, Type: []byte(event.TypeEnvironment), Record: p.environment.JSON()})
}

// tellInvocation tells of an invocation that is over, at is the event that says
// so. taking is held.
func (p *pipeline) tellInvocation(packer *pack.Packer, told []byte, at *event.Event) {
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
