package main

import (
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/kinetel/kinetel/internal/breaker"
	"github.com/kinetel/kinetel/test/render"
)

// second is what happened in one.
type second struct {
	requests, records, throttled int
	backlog                      int64 // bytes that wait, at its end
}

// result is what came of a run.
type result struct {
	scenario
	shards  int
	rate    float64 // bytes a second that the fleet writes
	hottest float64 // what is written to the hottest shard, of what it takes
	seconds []second

	now   second
	waits int64
	bound int64 // of what waits, below which the backlog counts as gone
	quiet int   // seconds since when it has been below that

	// In bytes, of the whole run.
	made, arrived, lost, twice, left int64
	losers                           []float64 // what environments write that lost something
}

// second ends the seconds before a moment. It reports whether the run is over.
func (r *result) second(at time.Duration) (over bool) {
	for time.Duration(len(r.seconds)+1)*time.Second <= at {
		r.now.backlog = r.waits
		r.seconds = append(r.seconds, r.now)
		r.now = second{}
		if len(r.seconds) == int((r.from+r.outage)/time.Second) {
			r.bound = r.waits / 100
		}
		if r.quiet++; r.waits > r.bound {
			r.quiet = 0
		}
	}
	return r.bound > 0 && r.quiet > lull || at >= r.horizon
}

// lull is how many seconds a run goes on without a backlog.
const lull = 60

func (r *result) request() { r.now.requests++ }

func (r *result) answer(records, throttled int) {
	r.now.records += records - throttled
	r.now.throttled += throttled
}

// change notes that more waits, or less.
func (r *result) change(by int64) { r.waits += by }

func (r *result) end(fleet []sandbox) {
	for i := range fleet {
		e := &fleet[i]
		r.made += e.made
		r.arrived += e.arrived
		r.twice += e.twice
		r.lost += e.backlog.lost
		r.left += e.backlog.size
		if e.backlog.lost > 0 {
			r.losers = append(r.losers, e.rate)
		}
	}
	slices.Sort(r.losers)
}

// figures sum a run up.
type figures struct {
	before, during, after float64 // requests a second: before the outage, in it, in the ten minutes after it
	usual, onset, peak    int     // the largest second before the outage, in it, and after it
	again                 float64 // records that were throttled, for each that was taken, in the ten minutes after it
	half, most, all       time.Duration
	lost, twice           float64 // of what was written in the outage
	losers                float64 // of the environments
	quietest              float64 // bytes a second of the quietest that lost something; 0: none did
}

// warmUp is how long a run goes until it counts.
const warmUp = 30 * time.Second

func (r *result) figures() figures {
	var f figures
	at := func(d time.Duration) int { return min(int(d/time.Second), len(r.seconds)) }
	end := r.from + r.outage
	f.before, _ = requests(r.seconds[at(warmUp):at(r.from)])
	_, f.usual = requests(r.seconds[:at(r.from)])
	f.during, f.onset = requests(r.seconds[at(r.from):at(end)])
	recovery := r.seconds[at(end):at(end+10*time.Minute)]
	f.after, _ = requests(recovery)
	_, f.peak = requests(r.seconds[at(end):])
	taken, throttled := 0, 0
	for _, s := range recovery {
		taken += s.records
		throttled += s.throttled
	}
	f.again = float64(throttled) / float64(max(taken, 1))
	f.half, f.most, f.all = r.drained(0.5), r.drained(0.1), r.drained(0.01)
	written := r.rate * r.outage.Seconds()
	f.lost, f.twice = float64(r.lost)/written, float64(r.twice)/written
	f.losers = float64(len(r.losers)) / float64(r.environments)
	if len(r.losers) > 0 {
		f.quietest = r.losers[0]
	}
	return f
}

// requests returns how many there were a second, and in the largest.
func requests(seconds []second) (mean float64, most int) {
	sum := 0
	for _, s := range seconds {
		sum += s.requests
		most = max(most, s.requests)
	}
	return float64(sum) / float64(max(len(seconds), 1)), most
}

// drained returns how long after the outage no more than a share of the backlog
// is left; 0: it is at the end.
func (r *result) drained(share float64) time.Duration {
	end := int((r.from + r.outage) / time.Second)
	if end >= len(r.seconds) {
		return 0
	}
	bound := int64(share * float64(r.seconds[end-1].backlog))
	for i := len(r.seconds); ; i-- {
		if i == end || r.seconds[i-1].backlog > bound {
			if i == len(r.seconds) {
				return 0
			}
			return time.Duration(i-end+1) * time.Second
		}
	}
}

// run is a scenario with what came of it.
type run struct {
	*result
	figures
}

// simulateAll runs scenarios beside each other.
func simulateAll(all []scenario, beside int) []run {
	runs := make([]run, len(all))
	slots := make(chan struct{}, beside)
	var wait sync.WaitGroup
	for i, s := range all {
		wait.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			r := simulate(s)
			runs[i] = run{r, r.figures()}
		})
	}
	wait.Wait()
	return runs
}

// study is what docs/evidence/fleet.md shows.
type study struct{ requests, headrooms, buffers, frozen []run }

// sample is the part of the fleet that is enough for all runs but the first: a
// small fleet on as much less of a stream behaves as a large one does.
const sample = 5

// late is the name of the runs in which records change their keys as those do whose
// readers rely on the shard.
const late = "a new key after eight throttles"

// scenarios are those of a study with so many environments.
func scenarios(base scenario) (requests, headrooms, buffers, frozen []scenario) {
	with := func(name string, change func(*scenario)) scenario {
		s := base
		s.name = name
		change(&s)
		return s
	}
	requests = []scenario{with("as it is", func(*scenario) {})}
	base.environments /= sample
	requests = append(requests,
		with("as it is", func(*scenario) {}),
		with("as it is; no answers, 1 in 10 lands", func(s *scenario) { s.failure, s.landed = silent, 0.1 }),
		with("no jitter", func(s *scenario) { s.even = true }),
		with("no pace", func(s *scenario) { s.unpaced = true }),
		with(late, func(s *scenario) { s.keyAfter = breaker.NewKeyAfter }),
		with("as it is; all started in one second", func(s *scenario) { s.started = time.Second }),
		with("intervals in step; all started in one second", func(s *scenario) { s.inStep, s.started = true, time.Second }),
		with("no jitter; all started in one second", func(s *scenario) { s.even, s.started = true, time.Second }))
	for _, headroom := range []float64{1.2, 1.5, 2, 3} {
		headrooms = append(headrooms, with(fmt.Sprintf("%g", headroom), func(s *scenario) { s.headroom = headroom }))
	}
	headrooms = append(headrooms,
		with("1.5, "+late, func(s *scenario) { s.keyAfter = breaker.NewKeyAfter }),
		with("2, "+late, func(s *scenario) { s.headroom, s.keyAfter = 2, breaker.NewKeyAfter }),
		with("1.5, never a new key", func(s *scenario) { s.keyAfter = 0 }),
		with("1.5, `random` keys", func(s *scenario) { s.randomKeys = true }))
	for _, spool := range []int64{0, 64} {
		for _, buffer := range []int64{2, 4, 8, 16, 32} {
			name := fmt.Sprintf("%d MiB", buffer)
			buffers = append(buffers, with(name, func(s *scenario) { s.buffer, s.spool = buffer*mib, spool*mib }))
		}
	}
	// Rare functions, on a stream that is not what they wait for.
	base.chatty, base.median, base.headroom, base.horizon = 0, base.median/8, 3, 3*time.Hour
	frozen = []scenario{with("are never frozen", func(*scenario) {})}
	base.cycle = time.Minute
	for _, awake := range []time.Duration{2 * time.Second, 200 * ms} {
		base.awake = awake
		frozen = append(frozen,
			with(fmt.Sprintf("work %s a minute; pauses go on meanwhile", awake), func(s *scenario) { s.byWall = true }),
			with(fmt.Sprintf("work %s a minute; pauses stand still meanwhile", awake), func(*scenario) {}))
	}
	return requests, headrooms, buffers, frozen
}

// investigate runs a study.
func investigate(base scenario, beside int) study {
	a, b, c, d := scenarios(base)
	runs := simulateAll(slices.Concat(a, b, c, d), beside)
	cut := func(n int) (of []run) {
		of, runs = runs[:n], runs[n:]
		return of
	}
	return study{cut(len(a)), cut(len(b)), cut(len(c)), cut(len(d))}
}

// writeTables writes them as docs/evidence/fleet.md has them.
func (s study) writeTables(w io.Writer) {
	first := s.requests[0]
	fmt.Fprintf(w, "What is written is %s MB/s, on %d shards; requests of the smaller fleet are multiplied:\n\n", render.Significant(first.rate/1e6), first.shards)
	fmt.Fprintln(w, "| environments | policy | requests/s before | largest second before | in the outage | its largest second | 10 min after it | largest second after it | throttled for each record taken | half gone | 90 % | lost | twice |")
	fmt.Fprintln(w, "|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range s.requests {
		times := float64(first.environments) / float64(r.environments)
		fmt.Fprintf(w, "| %d | %s | %.0f | %.0f | %.0f | %.0f | %.0f | %.0f | %s | %s | %s | %s | %s |\n", r.environments, r.name,
			times*r.before, times*float64(r.usual), times*r.during, times*float64(r.onset), times*r.after, times*float64(r.peak),
			render.Significant(r.again), minutes(r.half), minutes(r.most), percent(r.figures.lost), percent(r.figures.twice))
	}
	first = s.headrooms[0]
	fmt.Fprintf(w, "\nBy headroom, %d environments, which write %s MB/s:\n\n", first.environments, render.Significant(first.rate/1e6))
	fmt.Fprintln(w, "| the shards take, of what is written | shards | the hottest is written | half gone | 90 % | 99 % | throttled for each record taken | lost |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range s.headrooms {
		hottest := percent(r.hottest)
		if r.randomKeys {
			hottest = percent(r.rate / shardBytes / float64(r.shards))
		}
		fmt.Fprintf(w, "| %s | %d | %s | %s | %s | %s | %s | %s |\n", r.name, r.shards, hottest,
			minutes(r.half), minutes(r.most), minutes(r.all), render.Significant(r.again), percent(r.figures.lost))
	}
	s.writeBuffers(w)
	s.writeFrozen(w)
}

func (s study) writeBuffers(w io.Writer) {
	fmt.Fprintf(w, "\nBy buffer, the same fleet on %d shards:\n\n", s.buffers[0].shards)
	fmt.Fprintln(w, "| `KINETEL_BUFFER_BYTES` | spool | lost | environments that lose | the quietest of them writes | 90 % gone |")
	fmt.Fprintln(w, "|---|---|--:|--:|--:|--:|")
	for _, r := range s.buffers {
		spool := "off"
		if r.spool > 0 {
			spool = mebibytes(r.spool)
		}
		quietest := "–"
		if r.quietest > 0 {
			quietest = render.Significant(r.quietest/1e3) + " kB/s"
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s |\n", r.name, spool, percent(r.figures.lost), percent(r.figures.losers), quietest, minutes(r.most))
	}
}

func (s study) writeFrozen(w io.Writer) {
	first := s.frozen[0]
	fmt.Fprintf(w, "\nFrozen environments, %d of them, which write %s MB/s, on %d shards:\n\n", first.environments, render.Significant(first.rate/1e6), first.shards)
	fmt.Fprintln(w, "| they | half gone | 90 % | 99 % | lost |")
	fmt.Fprintln(w, "|---|--:|--:|--:|--:|")
	for _, r := range s.frozen {
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", r.name, minutes(r.half), minutes(r.most), minutes(r.all), percent(r.figures.lost))
	}
}

func mebibytes(n int64) string { return fmt.Sprintf("%d MiB", n/mib) }

func percent(share float64) string { return render.Significant(100*share) + " %" }

// minutes writes how long something took, where it was over at all.
func minutes(d time.Duration) string {
	if d == 0 {
		return "later"
	}
	return render.Significant(d.Minutes()) + " min"
}
