package main

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/test/render"
)

// result is what came of a run.
type result struct {
	held  []time.Duration // of each invocation, after its runtime was done; 0: not
	stale []time.Duration // of each event, until it was in Kinesis; without platform.report
	puts  int             // requests
	why   map[flush.Reason]int
	made  int // events, all
	came  int
}

func (r *result) over(in *invocation) {
	if r.why == nil {
		r.why = map[flush.Reason]int{}
	}
	r.why[in.why]++
	var held time.Duration
	if in.why.Hold() {
		held = in.Freed.Sub(in.Done)
	}
	r.held = append(r.held, held)
}

func (r *result) arrived(t telemetry, now time.Duration) {
	r.came++
	if !t.late {
		r.stale = append(r.stale, now-t.made)
	}
}

// figures sum a run up.
type figures struct {
	pattern string
	mode    flush.Mode

	share                    float64 // of the invocations that were held
	heldP50, heldP99         time.Duration
	heldMean                 time.Duration
	staleP50, staleP99, most time.Duration
	puts                     float64 // for 1,000 invocations
}

func (r *result) figures() figures {
	var f figures
	var sum time.Duration
	n := 0
	for _, held := range r.held {
		sum += held
		if held > 0 {
			n++
		}
	}
	f.share = float64(n) / float64(len(r.held))
	f.heldMean = sum / time.Duration(len(r.held))
	f.heldP50, f.heldP99, _ = quantiles(r.held)
	f.staleP50, f.staleP99, f.most = quantiles(r.stale)
	f.puts = 1000 * float64(r.puts) / float64(len(r.held))
	return f
}

func quantiles(of []time.Duration) (p50, p99, most time.Duration) {
	sorted := slices.Sorted(slices.Values(of))
	last := len(sorted) - 1
	return sorted[last/2], sorted[last*99/100], sorted[last]
}

var modes = []flush.Mode{flush.ModeAdaptive, flush.ModeEnd, flush.ModeInterval}

// compare runs every pattern in every mode.
func compare(a assumptions, patterns []pattern, seed uint64) (all []figures) {
	for _, p := range patterns {
		for _, mode := range modes {
			f := simulate(a, mode, p, seed).figures()
			f.pattern, f.mode = p.name, mode
			all = append(all, f)
		}
	}
	return all
}

// writeTable writes them as docs/evidence/flush.md has them.
func writeTable(w io.Writer, all []figures) {
	fmt.Fprintln(w, "| called | mode | held | held p50, ms | p99 | mean | staleness p50 | p99 | most | requests for 1,000 invocations |")
	fmt.Fprintln(w, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	before := ""
	for _, f := range all {
		name := f.pattern
		if name == before {
			name = ""
		}
		before = f.pattern
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", name, f.mode, percent(f.share),
			milliseconds(f.heldP50), milliseconds(f.heldP99), milliseconds(f.heldMean),
			span(f.staleP50), span(f.staleP99), span(f.most), render.Significant(f.puts))
	}
}

func percent(share float64) string {
	return render.Significant(100*share) + " %"
}

func milliseconds(d time.Duration) string {
	return render.Significant(float64(d) / float64(time.Millisecond))
}

// span writes a duration in the unit that suits it.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return milliseconds(d) + " ms"
	case d < 2*time.Minute:
		return render.Significant(d.Seconds()) + " s"
	case d < 2*time.Hour:
		return render.Significant(d.Minutes()) + " min"
	}
	return render.Significant(d.Hours()) + " h"
}
