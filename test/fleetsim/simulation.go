package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// failure is what the stream does in an outage.
type failure int

const (
	refuses failure = iota // answers 503 at once
	silent                 // does not answer
)

// scenario is the parameters of a run.
type scenario struct {
	name         string
	environments int
	seed         uint64

	// The fleet: how much an environment writes, compressed, is log-normal, and
	// some are chatty.
	median, sigma             float64 // bytes a second; the deviation of its logarithm
	chatty                    float64 // how many of all
	chattyMedian, chattySigma float64
	event                     float64       // bytes of an event in a record
	interval                  time.Duration // KINETEL_FLUSH_INTERVAL
	started                   time.Duration // in how long they all were
	buffer, spool             int64
	randomKeys                bool  // KINETEL_PARTITION_KEY=random
	keyAfter                  uint8 // how often a record is throttled before it gets another key; 0: it keeps its key

	// The stream.
	headroom float64       // its shards' bytes a second, of what the fleet writes
	put      time.Duration // what a request takes, the median
	spread   float64       // the standard deviation of its logarithm
	from     time.Duration // the outage
	outage   time.Duration
	failure  failure
	landed   float64 // how many of the requests that are not answered land all the same
	horizon  time.Duration

	// What the extension would be without.
	even    bool // no jitter: always the longest wait
	unpaced bool // no pace and no windows in a recovery
	inStep  bool // the first intervals are as long as the others

	// Lambda's freezes: an environment is awake for so long of every cycle; 0:
	// always. byWall has pauses go on while it is frozen.
	awake, cycle time.Duration
	byWall       bool
}

const (
	mib = 1 << 20
	ms  = time.Millisecond
)

// usual is the fleet and the outage of docs/evidence/fleet.md.
func usual() scenario {
	return scenario{
		name: "as it is", environments: 50_000, seed: 1,
		median: 800, sigma: 1.2, chatty: 0.01, chattyMedian: 32_000, chattySigma: 0.7,
		event: 64, interval: 10 * time.Second, started: 10 * time.Second,
		buffer: 16 * mib, spool: 64 * mib, keyAfter: 1,
		headroom: 1.5, put: 12 * ms, spread: 0.35,
		from: time.Minute, outage: 10 * time.Minute, horizon: 41 * time.Minute,
	}
}

// epoch is where the runs begin; the breaker wants times of day.
var epoch = time.Date(2026, time.November, 26, 0, 0, 0, 0, time.UTC)

// simulation is a fleet and its stream.
type simulation struct {
	scenario
	clock
	random *rand.Rand
	stream *stream
	fleet  []sandbox
	result *result
	gone   []bool // memory of ack
}

// rates is what each environment writes a second, the chatty ones first: the
// distribution's quantiles, so that a small fleet is the picture of a large one.
func (s scenario) rates() (rates []float64, sum float64) {
	rates = make([]float64, s.environments)
	loud := int(s.chatty * float64(s.environments))
	for i := range rates {
		median, sigma, at, of := s.chattyMedian, s.chattySigma, i, loud
		if i >= loud {
			median, sigma, at, of = s.median, s.sigma, i-loud, s.environments-loud
		}
		normal := math.Sqrt2 * math.Erfinv(2*(float64(at)+0.5)/float64(of)-1)
		rates[i] = median * math.Exp(sigma*normal)
		sum += rates[i]
	}
	return rates, sum
}

// simulate runs a scenario, until the backlog of the outage is gone.
func simulate(s scenario) *result {
	rates, sum := s.rates()
	shards := int(math.Ceil(s.headroom * sum / shardBytes))
	w := &simulation{
		scenario: s,
		random:   rand.New(rand.NewPCG(s.seed, 2)),
		stream:   newStream(shards, rand.New(rand.NewPCG(s.seed, 3))),
		fleet:    make([]sandbox, s.environments),
		result:   &result{scenario: s, shards: shards, rate: sum},
	}
	load := make([]float64, shards)
	for i := range w.fleet {
		w.fleet[i].start(w, rates[i])
		load[w.fleet[i].key] += rates[i] / shardBytes
		w.plan(moment{w.fleet[i].wall(w.fleet[i].due), int32(i)})
	}
	w.result.hottest = slices.Max(load)
	for {
		m := w.next()
		if w.result.second(m.at) {
			break
		}
		e := &w.fleet[m.of]
		w.again(moment{e.wall(e.turn(m.at)), m.of})
	}
	w.result.end(w.fleet)
	return w.result
}

// down reports whether it is in the outage.
func (s scenario) down(at time.Duration) bool { return at >= s.from && at < s.from+s.outage }

// jitter is the chance that the breaker is given.
func (w *simulation) jitter(below time.Duration) time.Duration {
	if w.even {
		return below - 1
	}
	return time.Duration(w.random.Int64N(int64(below)))
}

// takes is how long a request takes that is answered.
func (w *simulation) takes() time.Duration {
	return time.Duration(float64(w.put) * math.Exp(w.spread*w.random.NormFloat64()))
}
