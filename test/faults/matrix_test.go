package faults

import (
	"bytes"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"kinetel/internal/event"
	"kinetel/kinesissim"
	"kinetel/lambdasim"
	"kinetel/test/sandbox"
)

// fault is a row of the matrix.
type fault struct {
	name string
	run  func(w *world, seed uint64)
	// kinesis changes how the embedded Kinesis starts.
	kinesis func(*kinesissim.Config)
	// makesSense says with which modes; nil: with all.
	makesSense func(mode) bool
	// short are the modes without -faults.all; nil: one in turn.
	short []mode
	// seeds are those to run a mode with; nil: once.
	seeds func(mode) []uint64
	// duplicates excuses events that arrive twice: some request's fate was
	// unknown.
	duplicates bool
	// told says with which modes losses are excused, if they are told; nil:
	// with none.
	told func(mode) bool
}

// aFew are the seeds for damage at random places.
func aFew(mode) []uint64 { return seeds(6, 1) }

func always(mode) bool      { return true }
func withSpool(m mode) bool { return m.spool != spoolOff }
func noSpool(m mode) bool   { return m.spool == spoolOff }

// everySpool are three modes that have each way to spool.
func everySpool() []mode {
	return []mode{{flushEnd, spoolOff}, {flushInterval, spoolOverflow}, {flushAdaptive, spoolAlways}}
}

func matrix() []fault {
	return []fault{
		{name: "none", run: none, short: everySpool()},
		{name: "1 % of the records fail", run: some(everyHundredth, 25_000)},
		{name: "30 % of the records fail", run: some(records(0.3, "ProvisionedThroughputExceededException"), 5000)},
		{name: "90 % of the records fail", run: most, told: noSpool, duplicates: true},
		{name: "50 % of the requests are throttled", run: some(half(kinesissim.Throttle), 1000)},
		{name: "50 % of the requests end with 5xx", run: some(half(unavailable), 1000)},
		{name: "50 % of the connections are reset before the request is stored", run: some(half(kinesissim.Reset), 1000)},
		{
			name: "50 % of the connections are reset after the request was stored", duplicates: true,
			run: some(half(kinesissim.ResetAfter), 1000),
		},
		{name: "no answer for 1.5 s, then the connection breaks", run: some(silent, 1000)},
		{name: "no answer until the end", run: outageToTheEnd(kinesissim.Hang), told: noSpool, short: everySpool()},
		{name: "every answer takes 1.5 s", run: slow},
		{name: "every answer takes 1.5 s, and the shutdown has two seconds", run: slowToTheEnd, short: everySpool()},
		{
			name: "every answer is lost at the end, and the shutdown has two seconds", run: lostToTheEnd, duplicates: true,
			makesSense: withSpool, short: []mode{{flushEnd, spoolOverflow}, {flushInterval, spoolAlways}},
		},
		{name: "an outage of 3 s", run: outage},
		{name: "an outage to the end", run: outageToTheEnd(unavailable), told: noSpool, short: everySpool()},
		{name: "a firewall that drops large ClientHellos", run: largeHello, kinesis: overTLS},
		{name: "GODEBUG=fips140=only, with KINETEL_FORMAT=kpl", run: fipsOnly, kinesis: overTLS},
		{name: "access denied, then granted", run: refused(kinesissim.AccessDenied)},
		{name: "no stream, then created", run: missing, kinesis: func(c *kinesissim.Config) { c.Streams = nil }},
		{name: "expired token, then a fresh one", run: refused(kinesissim.ExpiredToken)},
		{name: "a wrong signature, whose answer repeats the session token", run: wrongSignature},
		{name: "a clock that is wrong, then right", run: refused(skewed)},
		{name: "frozen in the middle of a request that is answered meanwhile", run: frozen(func() *kinesissim.Answer { return nil })},
		{name: "frozen in the middle of a request whose connection breaks meanwhile", run: frozen(kinesissim.Reset)},
		{name: "frozen in the middle of a request that is stored, and its connection breaks", run: frozen(kinesissim.ResetAfter), duplicates: true},
		{
			name: "SIGKILL of the extension at random instants", run: kill, seeds: killSeeds, duplicates: true,
			makesSense: func(m mode) bool { return m.spool == spoolAlways },
			short:      []mode{{flushAdaptive, spoolAlways}, {flushEnd, spoolAlways}, {flushInterval, spoolAlways}},
		},
		{name: "SIGTERM to the extension", run: terminate},
		{name: "the function panics, and exits", run: crash},
		{name: "the function times out", run: timeOut},
		{name: "the function is out of memory", run: outOfMemory},
		{name: "the spool cannot be made, in an outage", run: noFolder, told: always, makesSense: withSpool, short: []mode{{flushEnd, spoolOverflow}, {flushInterval, spoolAlways}}},
		{name: "the disk is full, in an outage", run: fullDisk, told: always, makesSense: withSpool, short: []mode{{flushInterval, spoolOverflow}, {flushEnd, spoolAlways}}},
		{name: "more than buffer and spool hold, in an outage", run: flood, told: always, short: everySpool()},
		{name: "a spool with flipped bytes", run: damaged(flip), seeds: aFew, told: always, makesSense: withSpool, short: []mode{{flushEnd, spoolOverflow}, {flushInterval, spoolAlways}}},
		{name: "a spool that is cut short", run: damaged(truncate), seeds: aFew, told: always, makesSense: withSpool, short: []mode{{flushInterval, spoolOverflow}, {flushEnd, spoolAlways}}},
		{
			name: "SIGKILL of the extension, and a journal with flipped bytes", run: damagedJournal, seeds: aFew, told: always, duplicates: true,
			makesSense: func(m mode) bool { return m.spool == spoolAlways }, short: []mode{{flushInterval, spoolAlways}},
		},
		{name: "the function empties /tmp at each invocation", run: tidied, short: everySpool()},
		{name: "the function empties /tmp at each invocation, in an outage", run: tidiedOutage, told: always, short: everySpool()},
		{name: "the function empties /tmp to the end, in an outage", run: tidiedToTheEnd, told: noSpool, short: everySpool()},
		{
			name: "the function empties /tmp, and a SIGKILL of the extension", run: tidiedKill, seeds: func(mode) []uint64 { return []uint64{0, 1} }, duplicates: true,
			makesSense: func(m mode) bool { return m.spool == spoolAlways }, short: []mode{{flushInterval, spoolAlways}},
		},
		{name: "a hostile spool folder", run: hostileSpool, told: always, makesSense: withSpool, short: []mode{{flushEnd, spoolOverflow}, {flushInterval, spoolAlways}}},
		{name: "a subscriber that is too slow for Lambda", run: tooSlow},
		{name: "the telemetry of invocations arrives after they end", run: withoutTelemetry, short: []mode{{flushEnd, spoolOff}, {flushAdaptive, spoolOverflow}}},
		{name: "40 invocations at once, and a relay without a backlog", run: crowded},
		{name: "a neighbour that forges telemetry and opens slow connections", run: neighbour},
		{name: "5,000 lines at once", run: burst},
		{name: "telemetry that is none", run: unparseable},
		{name: "a line of 3 MB, uncompressed", run: oversize},
		{name: "a record that Kinesis refuses", run: poison, told: always},
		{name: "a first record that Kinesis refuses", run: poisonFirst, told: always, short: everySpool()},
	}
}

func unavailable() *kinesissim.Answer {
	return kinesissim.Error(503, "ServiceUnavailable", "down")
}

// skewed is how AWS answers a signature of another time. The machine's clock
// cannot be moved for one process; what is tested is the answer.
func skewed() *kinesissim.Answer {
	return kinesissim.Error(400, "InvalidSignatureException", "Signature expired: 20260101T000000Z is now earlier than 20261123T235500Z")
}

// none is the baseline: nobody has anything to complain of.
func none(w *world, _ uint64) {
	r := w.start()
	w.traffic(r)
	w.shutdown(r)
	if log := w.log(); log != "" {
		w.Errorf("the extension logged:\n%s", log)
	}
	w.reported()
}

// reported checks the last words of a sandbox in which nothing was lost.
func (w *world) reported() {
	w.Helper()
	final := w.reports()
	if len(final) != 1 || final[0].Received.Events != len(w.runs[0].Emitted()) || len(final[0].Lost) > 0 {
		w.Errorf("final reports %+v, want one of %d events received", final, len(w.runs[0].Emitted()))
	}
}

// hook decides the fates of a run's requests.
type hook = func(*kinesissim.Request) *kinesissim.Answer

func everyHundredth() hook {
	var n atomic.Int64
	fail := kinesissim.FailRecords(func(int, kinesissim.PutEntry) string {
		if n.Add(1)%100 == 7 {
			return "ProvisionedThroughputExceededException"
		}
		return ""
	})
	return kinesissim.Always(fail)
}

func records(share float64, code string) func() hook {
	return func() hook { return kinesissim.SeededRecords(1, share, code) }
}

func half(answer func() *kinesissim.Answer) func() hook {
	return func() hook { return kinesissim.Seeded(7, 0.5, answer) }
}

func silent() hook {
	return kinesissim.Sequence(kinesissim.Delay(1500*time.Millisecond, kinesissim.Reset()))
}

// some meets ordinary traffic and a burst with a Kinesis that fails sometimes.
func some(fates func() hook, lines int) func(*world, uint64) {
	return func(w *world, _ uint64) {
		w.kinesis.SetIntercept(fates())
		r := w.start()
		w.traffic(r)
		w.invoke(r, `{"id":"burst","lines":%d}`, lines)
		w.goOn(r, "the fault", func() bool {
			stats := w.kinesis.Stats()
			return stats.Rejected+stats.Unanswered > 0
		})
		w.shutdown(r)
	}
}

// most is so bad that Lambda's two seconds for the shutdown may not do. What is
// left is for the spool then, and for the next environment on it. The request
// that is broken off at the end may have stored some.
func most(w *world, _ uint64) {
	w.kinesis.SetIntercept(records(0.9, "InternalFailure")())
	r := w.start(hasty)
	w.traffic(r)
	w.invoke(r, `{"id":"burst","lines":2000}`)
	w.goOn(r, "the fault", func() bool { return w.kinesis.Stats().Rejected > 0 })
	w.shutdown(r)
	w.after()
}

// slow is a Kinesis on the other side of the world.
func slow(w *world, _ uint64) {
	w.kinesis.SetIntercept(kinesissim.Always(kinesissim.Delay(1500*time.Millisecond, nil)))
	r := w.start()
	w.invoke(r, `{"id":"one","lines":40}`)
	w.invoke(r, `{"id":"two","lines":40}`)
	w.shutdown(r)
}

func outage(w *world, _ uint64) {
	var down, requests atomic.Bool
	down.Store(true)
	w.kinesis.SetIntercept(func(*kinesissim.Request) *kinesissim.Answer {
		requests.Store(true)
		if down.Load() {
			return kinesissim.Reset()
		}
		return nil
	})
	r := w.start()
	over := time.AfterFunc(3*time.Second, func() { down.Store(false) })
	defer over.Stop()
	for i := 0; down.Load(); i++ {
		w.invoke(r, `{"id":"down-%d","lines":20,"sleep":"100ms"}`, i)
	}
	w.struck(requests.Load())
	w.invoke(r, `{"id":"up","lines":20}`)
	w.shutdown(r)
}

// outageToTheEnd ends the environment before Kinesis is back.
func outageToTheEnd(answer func() *kinesissim.Answer) func(*world, uint64) {
	return func(w *world, _ uint64) {
		w.kinesis.SetIntercept(kinesissim.Always(answer()))
		r := w.start(hasty)
		w.traffic(r)
		w.shutdown(r)
		w.struck(w.kinesis.Stats().Records == 0)
		if w.spool == spoolOff && w.toldInLog() == 0 {
			w.Errorf("nothing is reported lost in the log:\n%s", w.log())
		}
		w.after()
	}
}

// refused is a refusal that somebody mends while the environment lives.
func refused(answer func() *kinesissim.Answer) func(*world, uint64) {
	return func(w *world, _ uint64) {
		w.kinesis.SetIntercept(kinesissim.Always(answer()))
		r := w.start()
		w.traffic(r)
		w.goOn(r, "a refusal", func() bool { return len(w.kinesis.Stats().Errors) > 0 })
		w.kinesis.SetIntercept(nil)
		w.invoke(r, `{"id":"mended","lines":40}`)
		w.shutdown(r)
	}
}

func missing(w *world, _ uint64) {
	r := w.start()
	w.traffic(r)
	w.goOn(r, "a refusal", func() bool { return w.kinesis.Stats().Errors["ResourceNotFoundException"] > 0 })
	if err := w.kinesis.CreateStream(kinesissim.Stream{Name: sandbox.Stream, Shards: 1}); err != nil {
		w.Fatal(err)
	}
	w.invoke(r, `{"id":"mended","lines":40}`)
	w.shutdown(r)
}

// frozen freezes the environment while Kinesis has a request, whose fate it then
// settles, and thaws it afterwards.
func frozen(answer func() *kinesissim.Answer) func(*world, uint64) {
	return func(w *world, _ uint64) {
		w.env["KINETEL_MAX_HOLD"] = "50ms" // less than Kinesis takes
		var asked atomic.Bool
		freeze := make(chan struct{})
		frozen := sync.OnceFunc(func() { close(freeze) })
		w.kinesis.SetIntercept(func(*kinesissim.Request) *kinesissim.Answer {
			if asked.Swap(true) {
				return nil
			}
			<-freeze
			return answer()
		})
		defer frozen() // whatever happens, the server's goroutine must end
		r := w.start(func(c *lambdasim.Config) {
			c.OnNotice = func(n lambdasim.Notice) {
				if n.Kind == lambdasim.NoticeFreeze && asked.Load() {
					frozen()
				}
			}
		})
		// Long enough for the interval's request to begin before the end.
		w.invoke(r, `{"id":"before","lines":40,"sleep":"300ms"}`)
		w.goOn(r, "a request", asked.Load)
		// The answer is on its way while everything stands still.
		w.await("the request's fate", func() bool {
			stats := w.kinesis.Stats()
			return stats.Records > 0 || stats.Unanswered > 0
		})
		w.traffic(r)
		w.shutdown(r)
	}
}

// terminate ends the extension in the middle of an invocation, as a container
// would. Lambda then resets the environment.
func terminate(w *world, _ uint64) {
	w.acknowledged = true
	r := w.start()
	w.invoke(r, `{"id":"before","lines":40}`)
	ended := w.background(r, `{"id":"during","lines":500,"sleep":"10s"}`)
	before, _ := r.Acknowledged()
	w.await("the lines", func() bool {
		taken, _ := r.Acknowledged()
		return len(taken) > len(before)+500
	})
	if err := r.Sandbox.TerminateExtension(sandbox.Extension); err != nil {
		w.Fatal(err)
	}
	if result := ended(); result.ErrorType != "Extension.Crash" {
		w.Errorf("the invocation ended with %s %s", result.Status, result.ErrorType)
	}
	w.traffic(r)
	w.shutdown(r)
}

func crash(w *world, _ uint64) {
	r := w.start()
	w.invoke(r, `{"id":"before","lines":40}`)
	w.failing(r, "Runtime.ExitError", `{"id":"panic","lines":40,"panic":true}`)
	w.invoke(r, `{"id":"between","lines":40}`)
	w.failing(r, "Runtime.ExitError", `{"id":"exit","lines":40,"exit":3}`)
	w.invoke(r, `{"id":"after","lines":40}`)
	w.shutdown(r)
}

func timeOut(w *world, _ uint64) {
	r := w.start(func(c *lambdasim.Config) { c.Timeout = 2 * time.Second })
	w.invoke(r, `{"id":"before","lines":40}`)
	w.failing(r, "Sandbox.Timedout", `{"id":"hang","lines":40,"hang":true}`)
	w.invoke(r, `{"id":"after","lines":40}`)
	w.shutdown(r)
}

func outOfMemory(w *world, _ uint64) {
	r := w.start()
	w.invoke(r, `{"id":"before","lines":40}`)
	ended := w.background(r, `{"id":"during","lines":40,"sleep":"10s"}`)
	w.await("a line", func() bool { return strings.Contains(lastLine(r), "during") })
	if err := r.Sandbox.KillFunction(syscall.SIGKILL); err != nil {
		w.Fatal(err)
	}
	if result := ended(); result.ErrorType != "Runtime.OutOfMemory" {
		w.Errorf("the invocation ended with %s %s", result.Status, result.ErrorType)
	}
	w.invoke(r, `{"id":"after","lines":40}`)
	w.shutdown(r)
}

func lastLine(r *sandbox.Run) string {
	emitted := r.Emitted()
	return emitted[len(emitted)-1].Record
}

func burst(w *world, _ uint64) {
	r := w.start()
	w.invoke(r, `{"id":"burst","lines":5000}`)
	w.shutdown(r)
	w.reported()
}

// tooSlow makes Lambda drop lines. It tells so in an event of its own, and the
// extension in its report. What was dropped is not owed.
func tooSlow(w *world, _ uint64) {
	r := w.start(func(c *lambdasim.Config) {
		c.TelemetryBacklogBytes = 256 << 10
		c.Deliver = func(_ string, body []byte) [][]byte {
			<-time.After(20 * time.Millisecond) // so slow is the subscriber
			return [][]byte{body}
		}
	})
	w.invoke(r, `{"id":"flood","lines":20000,"bytes":200,"sleep":"200ms"}`)
	w.invoke(r, `{"id":"after","lines":1}`)
	w.shutdown(r)
	var want, got int
	for _, e := range w.arrived() {
		if e.Type == "platform.logsDropped" {
			want += number(w, e.Body, "droppedRecords")
		}
	}
	w.struck(want > 0)
	for _, r := range w.reports() {
		got += r.LogsDropped.Records
	}
	if got != want {
		w.Errorf("kinetel.report says that Lambda dropped %d lines, platform.logsDropped %d", got, want)
	}
}

func unparseable(w *world, _ uint64) {
	var posts atomic.Int64
	r := w.start(func(c *lambdasim.Config) {
		c.Deliver = func(_ string, body []byte) [][]byte {
			if posts.Add(1) == 2 {
				return [][]byte{[]byte("<html>\x00 no \"telemetry\" \xff"), body, []byte(`[{"time":`)}
			}
			return [][]byte{body}
		}
	})
	w.traffic(r)
	w.shutdown(r)
	texts := 0
	for _, e := range w.arrived() {
		if e.Type == event.TypeUnparsed {
			texts++
		}
	}
	if texts != 2 {
		w.Errorf("%d texts are in the stream, want 2", texts)
	}
}

func oversize(w *world, _ uint64) {
	w.env["KINETEL_COMPRESSION"] = "none"
	r := w.start()
	w.invoke(r, `{"id":"before","lines":10}`)
	w.invoke(r, `{"id":"huge","lines":1,"bytes":3000000,"sleep":"150ms"}`)
	w.invoke(r, `{"id":"after","lines":10}`)
	w.shutdown(r)
	parts := 0
	for _, e := range w.arrived() {
		if e.Parts > 0 {
			parts++
		}
	}
	if parts < 3 {
		w.Errorf("%d parts are in the stream, want 3 at least", parts)
	}
}

// poison is a record that Kinesis refuses for what it is, and with it every
// request that has it.
func poison(w *world, _ uint64) {
	w.env["KINETEL_COMPRESSION"] = "none"
	refused := kinesissim.Error(400, "InvalidArgumentException", "a record is not to be had")
	healthy := func(r *kinesissim.Request) *kinesissim.Answer {
		for _, e := range r.Entries {
			if bytes.Contains(e.Data, []byte("poison")) {
				return refused
			}
		}
		return nil
	}
	w.kinesis.SetIntercept(healthy)
	r := w.start()
	w.invoke(r, `{"id":"before","lines":40}`)
	w.goOn(r, "a record", func() bool { return w.kinesis.Stats().Records > 0 })
	// Its neighbours are to be in the same request.
	w.kinesis.SetIntercept(kinesissim.Always(unavailable()))
	for _, id := range []string{"left", "poison", "right"} {
		w.invoke(r, `{"id":"%s","lines":600,"sleep":"150ms"}`, id)
	}
	w.kinesis.SetIntercept(healthy)
	w.invoke(r, `{"id":"after","lines":40}`)
	w.shutdown(r)
	told := w.losses()
	if told["rejected"] == 0 {
		w.Errorf("reported lost: %v", told)
	}
	arrived := map[string]int{}
	for _, e := range w.arrived() {
		if e.Type == "function" {
			id, _, _ := bytes.Cut(e.Body, []byte(" "))
			arrived[string(id)]++
		}
	}
	// A record has 500 lines, so at most that many neighbours are in one with
	// the poison, on each side.
	if arrived[`"before`] != 40 || arrived[`"after`] != 40 || arrived[`"left`] < 100 || arrived[`"right`] < 100 || arrived[`"poison`] > 0 {
		w.Errorf("arrived: %v", arrived)
	}
}

// number reads a member of a JSON object.
func number(w *world, body []byte, member string) int {
	_, rest, _ := bytes.Cut(body, []byte(`"`+member+`":`))
	var n int
	if _, err := fmt.Sscan(string(rest), &n); err != nil {
		w.Errorf("%s: %s: %v", body, member, err)
	}
	return n
}

// settings changes variables, for a fault that needs little room.
func (w *world) settings(env map[string]string) { maps.Copy(w.env, env) }
