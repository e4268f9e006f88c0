package view

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/kinetel/kinetel/internal/audit"
)

const (
	healthInterval = time.Second
	// liveAge is how old the last event of an environment may be that runs.
	liveAge = 15 * time.Minute
	// liveSlack is by how much the clocks of a stream and of this machine may differ.
	liveSlack      = 24 * time.Hour
	maxHealthHoles = 20
	rateSeconds    = 60
)

// Health is how the telemetry is doing.
type Health struct {
	TimeMs   float64 `json:"timeMs"` // of this machine's clock
	Source   string  `json:"source"`
	Live     bool    `json:"live"`
	State    string  `json:"state"`
	Failure  string  `json:"failure,omitempty"`
	NewestMs float64 `json:"newestMs,omitempty"` // the time of the newest event

	PerSecond    []int  `json:"perSecond"` // events that were read in the last seconds, the latest last
	Events       uint64 `json:"events"`    // all, without duplicates
	Dropped      uint64 `json:"dropped"`   // of these, no longer in memory
	DroppedWhole uint64 `json:"droppedWhole"`
	Bytes        int64  `json:"bytes"` // of events in memory
	MaxBytes     int64  `json:"maxBytes"`

	Audit     Audit `json:"audit"`
	LiveCount int   `json:"liveEnvironments"`
	Ended     int   `json:"endedEnvironments"`
	Requests  int64 `json:"requests"` // of the latest kinetel.report of each environment
	Retried   int64 `json:"retried"`
	Unknown   int64 `json:"unknown"`
	Waiting   int64 `json:"waiting"`
	Held      Held  `json:"held"`
}

// Audit is the verdict of package audit on all events, also those that are no longer in
// memory.
type Audit struct {
	Verdict    string       `json:"verdict"`
	Complete   bool         `json:"complete"`
	Stopped    string       `json:"stopped,omitempty"` // why no more events are audited
	Totals     audit.Totals `json:"totals"`
	Unreadable uint64       `json:"unreadable"`
	Examples   []string     `json:"unreadableExamples,omitempty"`
	Unnumbered uint64       `json:"unnumbered"`
	Holes      []Hole       `json:"holes"`
	MoreHoles  int          `json:"moreHoles"`
}

// Hole is a hole in the numbers of an environment.
type Hole struct {
	audit.Hole
	Environment string  `json:"environment"`
	Function    string  `json:"function"`
	TimeMs      float64 `json:"timeMs,omitempty"`
	Words       string  `json:"words"`
}

// Held is how long the invocations in memory were held.
type Held struct {
	Invocations int       `json:"invocations"`
	Held        int       `json:"held"` // of these, longer than 0
	P50Ms       float64   `json:"p50Ms"`
	P99Ms       float64   `json:"p99Ms"`
	MaxMs       float64   `json:"maxMs"`
	UpToMs      []float64 `json:"upToMs"` // the upper bounds of Counts; the last count has none
	Counts      []int     `json:"counts"`
}

var heldBounds = [...]float64{0, 10, 20, 50, 100, 200, 500, 1000}

// Health returns how the telemetry is doing. It is computed at most once a second, and takes
// at most a twentieth of the time.
func (v *View) Health() Health {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now := time.Now(); !now.Before(v.healthy) {
		v.health = v.makeHealth(now)
		v.healthy = now.Add(max(healthInterval, 20*time.Since(now)))
	}
	return v.health
}

func (v *View) makeHealth(now time.Time) Health {
	s := &v.store
	h := Health{
		TimeMs: millis(now), Source: v.options.Source, Live: v.options.Live, State: v.state, Failure: v.failure,
		NewestMs: millis(v.newest), PerSecond: v.rate.last(now),
		Events: s.added, Dropped: s.dropped, DroppedWhole: s.droppedWhole, Bytes: s.bytes, MaxBytes: s.most,
		Audit: v.audit(now),
	}
	latest := v.newest
	if v.options.Live && v.state == stateReading && now.After(latest) {
		latest = now
	}
	var held []float64
	for _, env := range s.environments {
		switch {
		case env.Ended:
			h.Ended++
		case env.LastMs >= millis(latest.Add(-liveAge)) && env.LastMs <= millis(latest.Add(liveSlack)):
			h.LiveCount++
		}
		h.Requests += env.report.Requests
		h.Retried += env.report.Retried
		h.Unknown += env.report.Unknown
		h.Waiting += env.report.Waiting
		for _, inv := range env.invocations {
			if inv.Hold != "" {
				held = append(held, inv.HeldMs)
			}
		}
	}
	h.Held = distribution(held)
	return h
}

// audit returns the verdict so far.
func (v *View) audit(now time.Time) Audit {
	var settled time.Time
	if v.options.Live && v.state == stateReading {
		settled = now.Add(-v.options.Settle)
	}
	r := v.auditor.ReportSettled(settled)
	a := Audit{
		Verdict: r.Verdict(), Complete: r.Complete && v.stopped == nil, Totals: r.Totals, Holes: []Hole{},
		Unreadable: r.Unreadable, Examples: r.UnreadableExamples, Unnumbered: r.Unnumbered,
	}
	if v.stopped != nil {
		a.Stopped = v.stopped.Error()
		if r.Complete {
			a.Verdict = "stopped" + strings.TrimPrefix(a.Verdict, "complete")
		}
	}
	for _, env := range r.Environments { // those with holes are first
		if !env.Wrong() {
			break
		}
		a.MoreHoles += env.HolesOmitted
		for _, hole := range env.Holes {
			if len(a.Holes) == maxHealthHoles {
				a.MoreHoles++
				continue
			}
			a.Holes = append(a.Holes, Hole{hole, env.ID, env.Function, millis(hole.Time), hole.String()})
		}
	}
	return a
}

// distribution sorts the times.
func distribution(ms []float64) Held {
	h := Held{Invocations: len(ms), UpToMs: heldBounds[:], Counts: make([]int, len(heldBounds)+1)}
	if len(ms) == 0 {
		return h
	}
	slices.Sort(ms)
	for _, n := range ms {
		if n > 0 {
			h.Held++
		}
		i, _ := slices.BinarySearchFunc(h.UpToMs, n, cmp.Compare[float64])
		h.Counts[i]++
	}
	h.P50Ms, h.P99Ms, h.MaxMs = ms[(len(ms)-1)/2], ms[(len(ms)-1)*99/100], ms[len(ms)-1]
	return h
}

// rate counts what happens in each of the last seconds.
type rate struct {
	counts [rateSeconds]int
	second int64 // of the last count
}

func (r *rate) add(now time.Time) { r.counts[r.advance(now)]++ }

// advance clears the seconds without a count, and returns the place of this one.
func (r *rate) advance(now time.Time) int {
	second := max(now.Unix(), r.second)
	for range min(second-r.second, rateSeconds) {
		r.second++
		r.counts[r.second%rateSeconds] = 0
	}
	if second > r.second {
		clear(r.counts[:])
		r.second = second
	}
	return int(r.second % rateSeconds)
}

// last returns the counts of the last seconds that are complete.
func (r *rate) last(now time.Time) []int {
	at := r.advance(now)
	counts := make([]int, 0, rateSeconds-1)
	counts = append(counts, r.counts[at+1:]...)
	return append(counts, r.counts[:at]...)
}
