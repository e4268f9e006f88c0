package cost

import (
	"encoding/json"
	"math"
	"strings"
	"time"

	"github.com/kinetel/kinetel/record"
)

// Meter measures telemetry that arrived. Records cost what they cost even if their events
// came before; everything else counts an event once.
type Meter struct {
	IsNew      func(*record.Event) bool // reports whether an event did not come before
	Unreadable int64                    // records that are not Kinetel's, or damaged
	// NoRecords means that the input does not show where records end.
	NoRecords bool

	records     Measured // of the records only
	functions   map[string]*reported
	first, last time.Time // of events
	events      int64
	duplicates  int64
	lines       int64 // of functions and extensions
	logBytes    int64
	text        []string // lines of functions to pack again
	textBytes   int
}

// reported is what the events of a function report of its invocations.
type reported struct {
	own, lambda figures // kinetel.invocation, platform.report
}

type figures struct {
	invocations, held int64
	heldMs            float64
	memories          int64   // how many of the invocations have a memory
	memoryMB          float64 // of these, together
	weightMs, mbMs    float64 // of these, held time, and memory × held time
}

const (
	maxFunctions = 10_000
	maxMemoryMB  = 10_240
	maxHeldMs    = 15 * 60 * 1000
	// heldFromMs is from when on an invocation is one that was held.
	heldFromMs = 1
)

// lambdaLines is what CloudWatch Logs has of an invocation besides the function's lines, in
// Lambda's text format.
const lambdaLines = len("START RequestId:  Version: $LATEST\nEND RequestId: \n") + 3*len("8476a536-e9f4-11e8-9739-2dfe598c3fcd") +
	len("REPORT RequestId: \tDuration: 41.27 ms\tBilled Duration: 42 ms\tMemory Size: 128 MB\tMax Memory Used: 66 MB\t\n")

// AddRecord counts a record of so many bytes: data and partition key.
func (m *Meter) AddRecord(size int) { m.records.AddRecord(size) }

// Add counts an event.
func (m *Meter) Add(e record.Event) {
	if !m.IsNew(&e) {
		m.duplicates++
		return
	}
	m.events++
	if !e.Time.IsZero() {
		if m.first.IsZero() || e.Time.Before(m.first) {
			m.first = e.Time
		}
		if e.Time.After(m.last) {
			m.last = e.Time
		}
	}
	switch e.Type {
	case record.TypeFunction, record.TypeExtension:
		m.addLine(&e)
	case record.TypeInvocation:
		m.of(&e).own.add(e.Body)
	case record.TypePlatformReport:
		m.of(&e).lambda.add(e.Body)
	}
}

// addLine counts a line, or a part of one: the pieces together are a little more than the
// line, because they are its JSON text.
func (m *Meter) addLine(e *record.Event) {
	var line string
	if json.Unmarshal(e.Body, &line) != nil {
		line = string(e.Body) + "\n" // an object, which CloudWatch Logs has as a line
	}
	m.logBytes += int64(len(line))
	if e.Part <= 1 {
		m.lines++
	}
	line = strings.TrimSuffix(line, "\n")
	if e.Type == record.TypeFunction && e.Parts == 0 && line != "" && len(line) <= MaxLine && m.textBytes+len(line) <= MaxInvocation {
		m.text = append(m.text, line)
		m.textBytes += len(line)
	}
}

func (m *Meter) of(e *record.Event) *reported {
	if m.functions == nil {
		m.functions = map[string]*reported{}
	}
	name := e.Resource["faas.name"]
	if m.functions[name] == nil {
		if len(m.functions) >= maxFunctions {
			name = "" // anybody who can write to a stream can make names up
		}
		if m.functions[name] == nil {
			m.functions[strings.Clone(name)] = &reported{}
		}
	}
	return m.functions[name]
}

// add counts the body of an event. Figures that cannot be are left out.
func (f *figures) add(body []byte) {
	f.invocations++
	var b struct {
		Metrics record.Metrics
		HeldMs  float64
	}
	if json.Unmarshal(body, &b) != nil {
		return
	}
	mb := b.Metrics.MemorySizeMB
	if mb > 0 && mb <= maxMemoryMB {
		f.memoryMB += mb
		f.memories++
	} else {
		mb = 0
	}
	if held := b.HeldMs; held > 0 && held <= maxHeldMs {
		f.heldMs += held
		f.mbMs += held * mb
		if mb > 0 {
			f.weightMs += held
		}
		if held >= heldFromMs {
			f.held++
		}
	}
}

// Span returns the time from the first event to the last.
func (m *Meter) Span() time.Duration { return m.last.Sub(m.first) }

// Telemetry returns what was measured in a time.
func (m *Meter) Telemetry(window time.Duration) *Telemetry {
	var all figures
	for _, f := range m.functions {
		more := f.own
		if f.lambda.invocations > more.invocations { // KINETEL_REPORT may leave out the others
			more.invocations = f.lambda.invocations
		}
		if more.memories == 0 {
			more.memories, more.memoryMB = f.lambda.memories, f.lambda.memoryMB
		}
		all.invocations += more.invocations
		all.held += more.held
		all.heldMs += more.heldMs
		all.weightMs += more.weightMs
		all.mbMs += more.mbMs
		all.memories += more.memories
		all.memoryMB += more.memoryMB
	}
	t := &Telemetry{
		WindowSeconds: window.Seconds(), Invocations: all.invocations, Events: m.events, Duplicates: m.duplicates, Unreadable: m.Unreadable,
		Lines: m.lines, LogBytes: m.logBytes, Held: all.held, HeldMs: all.heldMs, text: m.text,
		month: Measured{
			Invocations: float64(all.invocations), Events: float64(m.events), HeldSeconds: all.heldMs / 1000,
			LogBytes: float64(m.logBytes + all.invocations*int64(lambdaLines)),
		},
	}
	switch {
	case all.weightMs > 0: // holds cost their memory
		t.MemoryMB = all.mbMs / all.weightMs
	case all.memories > 0:
		t.MemoryMB = all.memoryMB / float64(all.memories)
	}
	t.MemoryMB = math.Round(t.MemoryMB)
	if !m.NoRecords {
		t.month.Records = m.records.Records
		t.Records, t.RecordBytes, t.BilledBytes = int64(m.records.RecordCount()), int64(m.records.Bytes()), int64(m.records.roundedUp(onDemandUnit))
	}
	return t
}
