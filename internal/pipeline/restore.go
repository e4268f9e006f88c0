package pipeline

import (
	"bytes"
	"slices"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
)

// Restored begins a new environment: the process was restored from a snapshot, and
// so may others be. Events that were ingested before keep their environment id and
// their sequence numbers. These are the same in all restored processes, so that a
// consumer sees that they are the same events.
func (p *Pipeline) Restored() {
	p.restored.Do(func() {
		restored := p.newSource()
		now := time.Now()
		p.ingesting.Lock()
		snapshot := p.current
		if snapshot.selection != nil {
			snapshot.selection.End()
		}
		p.current, p.snapshot = restored, snapshot
		p.mu.Lock()
		p.packers = slices.Insert(p.packers, 0, restored.packer)
		p.began, p.reported, p.since = now, now, 0
		p.mu.Unlock()
		p.ingesting.Unlock()
		snapshot.packer.Seal()
		p.shipper.Restored()
	})
}

// restoreTimes is when a restore happened, by platform events. A time is zero if it is not
// known.
type restoreTimes struct {
	restored time.Time // of the first platform.restoreStart
	initDone time.Time // when the init of the snapshot was over
}

// learn reads an event of the body that is being ingested.
func (t *restoreTimes) learn(ev *event.Event) {
	switch string(ev.Type) {
	case event.TypePlatformRestoreStart:
		t.restored = ev.At()
		if ev.Received.Before(t.restored) {
			t.restored = ev.Received
		}
	case event.TypePlatformInitRuntimeDone:
		if maybeSnapshotInit(ev) {
			t.initDone = ev.At()
		}
	}
}

// beforeSnapshot reports whether an event that arrives after the restore is from before
// the snapshot was taken. Lambda may send such events late. All clones of the snapshot
// get the same ones, so the events keep the snapshot's environment.
func (t *restoreTimes) beforeSnapshot(ev *event.Event) bool {
	switch {
	case ev.RequestID != "": // no invocation runs in a snapshot
		return false
	case bytes.HasPrefix(ev.Type, []byte("platform.init")):
		return maybeSnapshotInit(ev)
	case len(ev.Time) == 0:
		return false
	case !t.restored.IsZero():
		return ev.At().Before(t.restored)
	}
	return !ev.At().After(t.initDone)
}

// maybeSnapshotInit reports whether an init event may be from a snapshot.
func maybeSnapshotInit(ev *event.Event) bool {
	kind := ev.Platform().InitializationType
	return kind == "" || kind == string(config.SnapStart)
}
