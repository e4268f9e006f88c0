package main

import (
	"kinetel/internal/event"
	"kinetel/internal/lifecycle"
	"kinetel/internal/selflog"
)

// intake is where the listener's events go: into the open record, and then by
// the loop's eyes.
type intake struct {
	*pipeline
	*lifecycle.Loop
}

// Take takes an event.
func (i intake) Take(ev *event.Event) {
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
	i.taking.Lock()
	defer i.taking.Unlock()
	packer := i.own()
	packer.Add(ev)
	i.Observe(ev)
	if string(ev.Type) == event.TypePlatformReport && i.cfg.Report.Events {
		if told, ok := i.invocations.Reported(ev.Record); ok {
			packer.AddOwn(&event.Event{Time: ev.Time, Received: ev.Received, Type: []byte(event.TypeInvocation), Record: told})
		}
	}
}

// Commit makes what was taken outlive the process, where that is asked for.
func (i intake) Commit(fragment []byte) {
	i.taking.Lock()
	defer i.taking.Unlock()
	i.own().Commit(fragment)
	if i.before != nil {
		i.before.Commit(nil) // what of it was no event yet is the other's now
	}
}
