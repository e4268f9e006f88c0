// Package report sums up what happened in a local run: how long extensions prolonged
// invocations, what they missed, and what they cost. It checks limits, for CI.
package report

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kinetel/kinetel/lambdasim"
)

// Summary is what happened in a run. Its JSON is documented by kinetel run --help.
type Summary struct {
	Environments int            `json:"environments"`
	Invocations  int            `json:"invocations"`
	Statuses     map[string]int `json:"statuses"` // of invocations, as in platform.report
	Throttled    int            `json:"throttled"`
	ColdStarts   int            `json:"coldStarts"`
	DurationMs   Distribution   `json:"durationMs"`
	InitMs       Distribution   `json:"initMs"`
	BilledMs     int64          `json:"billedMs"`
	Function     Usage          `json:"function"`
	Extensions   []*Extension   `json:"extensions"`
	Kinesis      *Kinesis       `json:"kinesis,omitempty"` // the embedded one
	Problems     []string       `json:"problems"`          // of processes and environments
}

// Usage is what the processes of a program took.
type Usage struct {
	Processes      int   `json:"processes"`
	MaxMemoryBytes int64 `json:"maxMemoryBytes"` // of one process and its children, resident
	CPUMs          int64 `json:"cpuMs"`          // of all
}

// Extension is what happened to an extension, in all environments.
type Extension struct {
	Name string `json:"name"`
	Usage
	// OverheadMs is how long it prolonged invocations, and InitMs the time from its start
	// to its first next.
	OverheadMs Distribution `json:"overheadMs"`
	InitMs     Distribution `json:"initMs"`
	Subscribed bool         `json:"subscribed"` // to telemetry
	// AcceptedEvents counts what it answered with 2xx. Missed counts the others that it
	// subscribed to, by type: those that waited when it ended, or were dropped.
	AcceptedEvents int            `json:"acceptedEvents"`
	Missed         map[string]int `json:"missed"`
	FailedPosts    int            `json:"failedPosts"`
}

// Kinesis is what the embedded Kinesis has.
type Kinesis struct {
	Records  int   `json:"records"`
	Bytes    int64 `json:"bytes"`
	Rejected int   `json:"rejected"` // records, because of faults
	Events   int   `json:"events"`   // in the records of Kinetel
	// Audit is the verdict of kinetel audit, and Complete whether nothing is missing.
	Audit    string `json:"audit"`
	Complete bool   `json:"complete"`
}

// Collector observes a run. It is safe for concurrent use.
type Collector struct {
	mu           sync.Mutex // guards all below
	environments map[int]*telemetry
	summary      Summary
	durations    sample
	inits        sample
	extensions   map[string]*extension
	problems     map[string]int // how often
}

// extension is an Extension with what its distributions are of.
type extension struct {
	Extension
	overheads, inits sample
}

// NewCollector returns a Collector.
func NewCollector() *Collector {
	return &Collector{
		environments: map[int]*telemetry{}, extensions: map[string]*extension{}, problems: map[string]int{},
		summary: Summary{Statuses: map[string]int{}},
	}
}

func (c *Collector) environment(index int) *telemetry {
	t := c.environments[index]
	if t == nil {
		t = &telemetry{}
		c.environments[index] = t
	}
	return t
}

func (c *Collector) extension(name string) *extension {
	e := c.extensions[name]
	if e == nil {
		e = &extension{Extension: Extension{Name: name}}
		c.extensions[name] = e
	}
	return e
}

// Event is for lambdasim.Config.OnEvent of an environment.
func (c *Collector) Event(environment int, e lambdasim.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.environment(environment).event(e)
}

// Delivered is for lambdasim.Config.OnDelivered of an environment.
func (c *Collector) Delivered(environment int, d lambdasim.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.environment(environment).delivered(d)
}

// Throttled counts an invocation that found no environment.
func (c *Collector) Throttled() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.summary.Throttled++
}

// Invocation counts one that has ended.
func (c *Collector) Invocation(r lambdasim.Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.summary.Invocations++
	c.summary.Statuses[string(r.Status)]++
	c.summary.BilledMs += r.Billed.Milliseconds()
	c.durations = append(c.durations, r.Duration)
	if r.ColdStart {
		c.summary.ColdStarts++
		c.inits = append(c.inits, r.InitDuration)
	}
	for name, held := range r.HeldBy {
		e := c.extension(name)
		e.overheads = append(e.overheads, held)
	}
}

// Environment counts the processes of an environment that has ended. err is why it could
// not be started or shut down.
func (c *Collector) Environment(processes []lambdasim.ProcessReport, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.summary.Environments++
	if err != nil {
		c.problems[err.Error()]++
	}
	for _, p := range processes {
		usage := &c.summary.Function
		if p.Kind == lambdasim.KindExtension {
			e := c.extension(p.Name)
			usage = &e.Usage
			e.FailedPosts += p.FailedPosts
			if p.FirstNext > 0 {
				e.inits = append(e.inits, p.FirstNext)
			}
			if problem := ending(p); problem != "" {
				c.problems[problem]++
			}
		}
		usage.Processes++
		usage.MaxMemoryBytes = max(usage.MaxMemoryBytes, p.MaxRSSKiB<<10)
		usage.CPUMs += p.CPU.Milliseconds()
	}
}

// ending describes the end of an extension that is not as it should be.
func ending(p lambdasim.ProcessReport) string {
	switch {
	case p.KilledAtDeadline:
		return "extension " + p.Name + " was killed at the deadline of the shutdown"
	case p.Killed: // as one that has not registered for SHUTDOWN
		return ""
	case p.Signal != nil:
		return "extension " + p.Name + " was ended by a signal: " + p.Signal.String()
	case p.Exited && p.ExitCode != 0:
		return "extension " + p.Name + " ended with status " + strconv.Itoa(p.ExitCode)
	}
	return ""
}

// Summary returns what was collected so far.
func (c *Collector) Summary() Summary {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.summary
	s.DurationMs, s.InitMs = c.durations.distribution(), c.inits.distribution()
	s.Statuses, s.Problems = maps.Clone(s.Statuses), []string{}
	for _, problem := range slices.Sorted(maps.Keys(c.problems)) {
		if n := c.problems[problem]; n > 1 {
			problem += fmt.Sprintf(" (%d times)", n)
		}
		s.Problems = append(s.Problems, problem)
	}
	found := map[string]*Extension{}
	for name, e := range c.extensions {
		copied := e.Extension
		copied.OverheadMs, copied.InitMs, copied.Missed = e.overheads.distribution(), e.inits.distribution(), map[string]int{}
		found[name] = &copied
	}
	for _, t := range c.environments {
		t.summarize(func(name string) *Extension {
			if found[name] == nil {
				found[name] = &Extension{Name: name, Missed: map[string]int{}}
			}
			return found[name]
		})
	}
	s.Extensions = slices.AppendSeq([]*Extension{}, maps.Values(found))
	slices.SortFunc(s.Extensions, func(a, b *Extension) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// sample are durations.
type sample []time.Duration

// Distribution describes durations, in milliseconds. It is zero if there are none.
type Distribution struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

func (s sample) distribution() Distribution {
	if len(s) == 0 {
		return Distribution{}
	}
	sorted := slices.Sorted(slices.Values(s))
	at := func(share float64) float64 {
		return Milliseconds(sorted[max(int(math.Ceil(share*float64(len(sorted))))-1, 0)])
	}
	return Distribution{Count: len(s), P50: at(0.5), P99: at(0.99), Max: at(1)}
}

// Milliseconds returns a duration in milliseconds with three decimals.
func Milliseconds(d time.Duration) float64 { return math.Round(float64(d)/1e3) / 1e3 }
