package faults

import (
	"bytes"
	"fmt"
	"maps"

	"github.com/kinetel/kinetel/kinesissim"
)

// fault is a row of the matrix.
type fault struct {
	name string
	run  func(s *scenario, seed uint64)
	// kinesis changes how the embedded Kinesis starts.
	kinesis func(*kinesissim.Config)
	// makesSense returns whether to run the fault in a mode; nil: in all.
	makesSense func(mode) bool
	// short are the modes without -faults.all; nil: one in turn.
	short []mode
	// seeds are those to run a mode with; nil: once.
	seeds func(mode) []uint64
	// duplicates excuses events that arrive twice: some request's fate was
	// unknown.
	duplicates bool
	// mayLose returns whether events may be lost in a mode, if they are reported;
	// nil: in none.
	mayLose func(mode) bool
}

// aFew are the seeds for damage at random places.
func aFew(mode) []uint64 { return seeds(6, 1) }

func always(mode) bool      { return true }
func withSpool(m mode) bool { return m.spool != spoolOff }
func noSpool(m mode) bool   { return m.spool == spoolOff }

// everySpool are three modes that have each way to spool.
func everySpool() []mode {
	return []mode{{flushEnd, spoolOff, false}, {flushInterval, spoolOverflow, false}, {flushAdaptive, spoolAlways, false}}
}

func matrix() []fault {
	return []fault{
		{name: "none", run: none, short: append(everySpool(), mode{flushAdaptive, spoolOff, true}, mode{flushEnd, spoolAlways, true})},
		{name: "1 % of the records fail", run: some(everyHundredth, 25_000)},
		{name: "30 % of the records fail", run: some(records(0.3, "ProvisionedThroughputExceededException"), 5000)},
		{name: "90 % of the records fail", run: most, mayLose: noSpool, duplicates: true},
		{name: "50 % of the requests are throttled", run: some(half(kinesissim.Throttle()), 1000)},
		{name: "50 % of the requests end with 5xx", run: some(half(unavailable()), 1000)},
		{name: "50 % of the connections are reset before the request is stored", run: some(half(kinesissim.ResetConnection()), 1000)},
		{
			name: "50 % of the connections are reset after the request was stored", duplicates: true,
			run: some(half(kinesissim.DropAnswerAndReset()), 1000),
		},
		{name: "no answer for 1.5 s, then the connection breaks", run: some(silent, 1000)},
		{name: "no answer until the end", run: outageToTheEnd(kinesissim.Hang), mayLose: noSpool, short: everySpool()},
		{name: "every answer takes 1.5 s", run: slow},
		{name: "every answer takes 1.5 s, and the shutdown has two seconds", run: slowToTheEnd, short: everySpool()},
		{
			name: "every answer is lost at the end, and the shutdown has two seconds", run: lostToTheEnd, duplicates: true,
			makesSense: withSpool, short: []mode{{flushEnd, spoolOverflow, false}, {flushInterval, spoolAlways, false}},
		},
		{name: "an outage of 3 s", run: outage},
		{name: "an outage to the end", run: outageToTheEnd(unavailable), mayLose: noSpool, short: everySpool()},
		{name: "a firewall that drops large ClientHellos", run: largeHello, kinesis: overTLS},
		{name: "GODEBUG=fips140=only, with KINETEL_FORMAT=kpl", run: fipsOnly, kinesis: overTLS},
		{name: "access denied, then granted", run: refused(kinesissim.DenyAccess)},
		{name: "no stream, then created", run: missing, kinesis: func(c *kinesissim.Config) { c.Streams = nil }},
		{name: "expired token, then a fresh one", run: refused(kinesissim.RefuseExpiredToken)},
		{name: "a wrong signature, whose answer repeats the session token", run: wrongSignature},
		{name: "a clock that is wrong, then right", run: refused(skewed)},
		{name: "frozen in the middle of a request that is answered meanwhile", run: frozen(func() *kinesissim.Answer { return nil })},
		{name: "frozen in the middle of a request whose connection breaks meanwhile", run: frozen(kinesissim.ResetConnection)},
		{name: "frozen in the middle of a request that is stored, and its connection breaks", run: frozen(kinesissim.DropAnswerAndReset), duplicates: true},
		{
			name: "SIGKILL of the extension at random instants", run: kill, seeds: killSeeds, duplicates: true,
			makesSense: func(m mode) bool { return m.spool == spoolAlways },
			short:      []mode{{flushAdaptive, spoolAlways, false}, {flushEnd, spoolAlways, false}, {flushInterval, spoolAlways, false}},
		},
		{name: "SIGTERM to the extension", run: terminate},
		{name: "the function panics, and exits", run: crash},
		{name: "the function times out", run: timeOut},
		{name: "the function is out of memory", run: outOfMemory},
		{name: "the spool cannot be made, in an outage", run: noFolder, mayLose: always, makesSense: withSpool, short: []mode{{flushEnd, spoolOverflow, false}, {flushInterval, spoolAlways, false}}},
		{name: "the disk is full, in an outage", run: fullDisk, mayLose: always, makesSense: withSpool, short: []mode{{flushInterval, spoolOverflow, false}, {flushEnd, spoolAlways, false}}},
		{name: "more than buffer and spool hold, in an outage", run: flood, mayLose: always, short: everySpool()},
		{name: "a spool with flipped bytes", run: damaged(flip), seeds: aFew, mayLose: always, makesSense: withSpool, short: []mode{{flushEnd, spoolOverflow, false}, {flushInterval, spoolAlways, false}}},
		{name: "a spool that is cut short", run: damaged(truncate), seeds: aFew, mayLose: always, makesSense: withSpool, short: []mode{{flushInterval, spoolOverflow, false}, {flushEnd, spoolAlways, false}}},
		{
			name: "SIGKILL of the extension, and a journal with flipped bytes", run: damagedJournal, seeds: aFew, mayLose: always, duplicates: true,
			makesSense: func(m mode) bool { return m.spool == spoolAlways }, short: []mode{{flushInterval, spoolAlways, false}},
		},
		{name: "the function empties /tmp at each invocation", run: emptiedTmp, short: everySpool()},
		{name: "the function empties /tmp at each invocation, in an outage", run: emptiedTmpOutage, mayLose: always, short: everySpool()},
		{name: "the function empties /tmp to the end, in an outage", run: emptiedTmpToTheEnd, mayLose: noSpool, short: everySpool()},
		{
			name: "the function empties /tmp, and a SIGKILL of the extension", run: emptiedTmpKill, seeds: func(mode) []uint64 { return []uint64{0, 1} }, duplicates: true,
			makesSense: func(m mode) bool { return m.spool == spoolAlways }, short: []mode{{flushInterval, spoolAlways, false}},
		},
		{name: "a hostile spool folder", run: hostileSpool, mayLose: always, makesSense: withSpool, short: []mode{{flushEnd, spoolOverflow, false}, {flushInterval, spoolAlways, false}}},
		{name: "a subscriber that is too slow for Lambda", run: tooSlow},
		{name: "the telemetry of invocations arrives after they end", run: withoutTelemetry, short: []mode{{flushEnd, spoolOff, false}, {flushAdaptive, spoolOverflow, false}}},
		{name: "40 invocations at once, and a relay without a backlog", run: crowded},
		{name: "a neighbour that forges telemetry and opens slow connections", run: neighbour},
		{name: "5,000 lines at once", run: burst},
		{name: "telemetry that is none", run: unparseable},
		{name: "a line of 3 MB, uncompressed", run: oversize},
		{name: "a record that Kinesis refuses", run: poison, mayLose: always},
		{name: "a first record that Kinesis refuses", run: poisonFirst, mayLose: always, short: everySpool()},
	}
}

// none is the baseline: the log is empty.
func none(s *scenario, _ uint64) {
	r := s.start()
	s.traffic(r)
	s.shutdown(r)
	if log := s.log(); log != "" {
		s.Errorf("the extension logged:\n%s", log)
	}
	s.requireFullReport()
}

// requireFullReport checks the final report of a sandbox in which nothing was lost.
func (s *scenario) requireFullReport() {
	s.Helper()
	final := s.reports()
	if len(final) != 1 || final[0].Received.Events != len(s.runs[0].Emitted()) || len(final[0].Lost) > 0 {
		s.Errorf("final reports %+v, want one of %d events received", final, len(s.runs[0].Emitted()))
	}
}

// number reads a member of a JSON object.
func number(s *scenario, body []byte, member string) int {
	_, rest, _ := bytes.Cut(body, []byte(`"`+member+`":`))
	var n int
	if _, err := fmt.Sscan(string(rest), &n); err != nil {
		s.Errorf("%s: %s: %v", body, member, err)
	}
	return n
}

// settings changes variables, for a fault that needs little room.
func (s *scenario) settings(env map[string]string) { maps.Copy(s.env, env) }
