package audit

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/kinetel/kinetel/internal/seqrange"
	"github.com/kinetel/kinetel/record"
)

// Options are how an [Auditor] judges. The zero value judges what the package comment says.
type Options struct {
	// Whole means that the input has everything of its environments, from their start.
	Whole bool
	// From is the time at which the input begins. Numbers before the first one with a
	// later time are not judged: others of the same time may have arrived before. Zero
	// judges all.
	From time.Time
	// Settled is a time by which everything has arrived. In environments that have not
	// ended, numbers after the last one with an earlier time are not judged: those that
	// are missing may be on their way. Zero judges all.
	Settled time.Time
}

// The limits of an Auditor. Everybody who can write to a stream can make environments up.
const (
	maxEnvironments = 100_000
	maxRanges       = 2_000_000 // and losses, of all environments
	maxName         = 256       // bytes of an id and of a function's name
	maxReasons      = 32
)

type limits struct{ environments, ranges int }

// ErrTooMuch means that the input has more environments or holes than memory is for.
var ErrTooMuch = errors.New("audit a shorter time, or let a database do it: kinetel audit --sql")

// Auditor judges events as they come, in any order, in memory that grows with the
// environments and their holes. It is for one goroutine at a time.
type Auditor struct {
	options      Options
	limits       limits
	environments map[string]*environment
	recent       *environment
	functions    map[string]string // one copy of each name
	reasons      map[string]string
	ranges       int // and losses, of all environments
	unnumbered   uint64
	unreadable   uint64
	examples     []string
}

// New returns an Auditor without events.
func New(o Options) *Auditor {
	return &Auditor{options: o, limits: limits{maxEnvironments, maxRanges}, environments: map[string]*environment{}, functions: map[string]string{}, reasons: map[string]string{}}
}

// Add adds an event that arrived. An error is an [ErrTooMuch].
func (a *Auditor) Add(of record.Event) error {
	id := of.InstanceID()
	if id == "" || len(id) > maxName || of.Seq == 0 {
		a.unnumbered++
		return nil
	}
	e := a.recent
	if e == nil || e.id != id {
		if e = a.environments[id]; e == nil {
			if most := a.limits.environments; len(a.environments) >= most {
				return fmt.Errorf("the input has more than %d environments: %w", most, ErrTooMuch)
			}
			e = &environment{id: strings.Clone(id), judged: seqrange.Range{First: math.MaxUint64}}
			e.function = intern(a.functions, maxEnvironments, of.Resource["faas.name"])
			a.environments[e.id] = e
		}
		a.recent = e
	}
	e.addNumber(of.Seq)
	if of.Parts > 0 {
		e.addPart(of.Seq, of.Part, of.Parts)
	}
	if !of.Time.IsZero() {
		e.addTime(moment{of.Seq, of.Time})
	}
	if !of.Time.Before(a.options.From) {
		e.judged.First = min(e.judged.First, of.Seq)
	}
	if a.options.Settled.IsZero() || of.Time.Before(a.options.Settled) {
		e.judged.Last = max(e.judged.Last, of.Seq)
	}
	if of.Type == record.TypeLoss || of.Type == record.TypePlatformLogsDropped {
		a.ranges++
	}
	e.addFacts(of, func(reason string) string { return intern(a.reasons, maxReasons, reason) })
	a.ranges += e.newRanges
	e.newRanges = 0
	if most := a.limits.ranges; a.ranges > most {
		return fmt.Errorf("the input has more than %d holes and losses: %w", most, ErrTooMuch)
	}
	return nil
}

// AddUnreadable adds data that is not a record of Kinetel's. err says why.
func (a *Auditor) AddUnreadable(err error) {
	a.unreadable++
	if len(a.examples) < maxExamples {
		a.examples = append(a.examples, printable(err.Error(), 4*maxName))
	}
}

// intern returns the one copy of a name, or "other" if there are too many or it is too
// long. A copy does not keep the line of the event in memory.
func intern(names map[string]string, most int, name string) string {
	if known, ok := names[name]; ok {
		return known
	}
	if len(names) >= most || len(name) > maxName {
		return "other"
	}
	name = strings.Clone(name)
	names[name] = name
	return name
}
