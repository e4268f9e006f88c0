package invocation

import (
	"cmp"
	"encoding/json"
	"strconv"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
)

const (
	// maxWait is the longest time between the end of an init or a restore and the
	// platform.start of the invocation that waited for it. It is milliseconds in
	// practice, and the order of the two events is not certain.
	maxWait = time.Second
	// maxInit is Lambda's time limit for an init on demand, and for the hooks of a
	// restore.
	maxInit = 10 * time.Second
)

// initialization is the environment's init, or, with SnapStart, its restore, as far
// as it is known.
type initialization struct {
	kind       string // Lambda's initializationType; empty: not known
	inInvoke   bool   // it ran inside an invocation, after a failed one
	started    string // the time of platform.initStart, as Lambda wrote it
	begun, end time.Time
}

// SetInitType sets how the environment was initialised, if that is known before
// Lambda's events come; empty: not known.
func (t *Tracker) SetInitType(kind string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.init.kind = kind
}

// Initialized records an event of the environment's init or restore.
func (t *Tracker) Initialized(ev *event.Event) {
	record := ev.Platform()
	t.mu.Lock()
	defer t.mu.Unlock()
	i := &t.init
	if record.InitializationType != "" {
		i.kind = record.InitializationType
	}
	// No invocation waits for the init of a snapshot, which may be weeks old and
	// whose events may arrive after those of the restore.
	snapshot := i.kind == string(config.SnapStart)
	switch kind := string(ev.Type); {
	case kind == event.TypePlatformInitStart && !snapshot:
		i.started, i.begun, i.end, i.inInvoke = string(ev.Time), ev.At(), time.Time{}, record.Phase == "invoke"
	case kind == event.TypePlatformInitReport && !snapshot:
		i.end, i.inInvoke = ev.At(), record.Phase == "invoke"
	case kind == event.TypePlatformRestoreStart:
		i.begun, i.end = ev.At(), time.Time{}
	case kind == event.TypePlatformRestoreReport:
		i.end = ev.At()
	}
}

// ColdStart returns the body of the kinetel.init of the init that a
// platform.initRuntimeDone ends. It is nil if no cold start is known: no invocation
// waits for the init of a snapshot, and provisioned concurrency begins before any.
func (t *Tracker) ColdStart(ev *event.Event) []byte {
	record := ev.Platform()
	t.mu.Lock()
	defer t.mu.Unlock()
	i := &t.init
	if i.begun.IsZero() || cmp.Or(i.kind, string(config.OnDemand)) != string(config.OnDemand) {
		return nil
	}
	cold := true
	b := &body{
		phase: cmp.Or(record.Phase, "init"), status: record.Status, errorType: record.ErrorType, coldStart: &cold, initType: i.kind, start: i.started,
		metrics: event.Metrics{DurationMs: json.Number(strconv.FormatInt(max(ev.At().Sub(i.begun).Milliseconds(), 0), 10))},
	}
	return b.json()
}

// awaited reports whether an invocation waited for the init or the restore. in is
// nil if the invocation began in an earlier process. reported is whether its
// platform.report has the duration of the init or the restore. That alone is not
// enough: Lambda's report of the first invocation has it even if the init was over
// long before, and the report of a failed invocation may lack it.
func (i *initialization) awaited(in *invocation, reported bool) bool {
	first := in != nil && in.order == 1
	switch config.Initialization(i.kind) {
	case config.ProvisionedConcurrency, config.ManagedInstances:
		return first && i.inInvoke
	}
	switch {
	case !first || i.begun.IsZero() && i.end.IsZero():
		return reported
	case i.inInvoke:
		return true
	case !i.end.IsZero() && in.begun.Sub(i.end) > maxWait:
		return false
	}
	return i.begun.IsZero() || in.begun.Sub(i.begun) <= maxInit+maxWait
}
