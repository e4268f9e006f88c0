package faults

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kinetel/internal/audit"
	"kinetel/internal/event"
	"kinetel/kinesissim"
	"kinetel/lambdasim"
	"kinetel/record"
	"kinetel/test/sandbox"
)

// Credentials that the embedded Kinesis knows: it verifies every signature.
const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "not-a-secret"
)

// mode is how the extension is configured.
type mode struct{ flush, spool string }

func (m mode) String() string { return m.flush + "," + m.spool }

// Flush policies and spool modes.
const (
	flushAdaptive = "adaptive"
	flushEnd      = "end"
	flushInterval = "interval"

	spoolOff      = "off"
	spoolOverflow = "overflow"
	spoolAlways   = "always"
)

// world is one run of the matrix: a Kinesis, and the sandboxes that run into it
// one after the other, with the same /tmp.
type world struct {
	*testing.T
	mode
	fault
	kinesis *kinesissim.Server
	records *sandbox.Records
	folder  string // of the spool; the extension makes it
	env     map[string]string
	runs    []*sandbox.Run
	// acknowledged means that a process ended at a time of its own, so that
	// only what it had acknowledged is owed.
	acknowledged bool
	// killed means that processes of the extension were killed by the test.
	killed bool
}

func newWorld(t *testing.T, f fault, m mode) *world {
	t.Helper()
	w := &world{T: t, mode: m, fault: f, folder: filepath.Join(t.TempDir(), "spool")}
	cfg := kinesissim.Config{
		Streams:     []kinesissim.Stream{{Name: sandbox.Stream, Shards: 2}},
		Credentials: map[string]string{accessKey: secretKey},
	}
	if f.kinesis != nil {
		f.kinesis(&cfg)
	}
	kinesis, err := kinesissim.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kinesis.Close() })
	w.kinesis, w.records = kinesis, sandbox.NewRecords(t, kinesis)
	w.env = map[string]string{
		"AWS_ACCESS_KEY_ID":     accessKey,
		"AWS_SECRET_ACCESS_KEY": secretKey,
		"KINETEL_FLUSH":         m.flush,
		"KINETEL_SPOOL":         m.spool,
		"KINETEL_SPOOL_DIR":     w.folder,
	}
	if m.flush != flushEnd {
		w.env["KINETEL_FLUSH_INTERVAL"] = "100ms"
	}
	return w
}

// patience is how long a shutdown may take where a test does not say otherwise:
// Lambda's two seconds are for one environment on a machine, and not for many.
const patience = 20 * time.Second

// start brings up a sandbox.
func (w *world) start(change ...func(*lambdasim.Config)) *sandbox.Run {
	w.Helper()
	r := sandbox.Start(w.T, binaries, sandbox.Options{Endpoint: w.kinesis.URL(), Env: maps.Clone(w.env), Lambda: func(c *lambdasim.Config) {
		c.ShutdownTimeout = patience
		for _, one := range change {
			one(c)
		}
	}})
	w.runs = append(w.runs, r)
	return r
}

// hasty gives the shutdown Lambda's own time.
func hasty(c *lambdasim.Config) { c.ShutdownTimeout = 2 * time.Second }

// invoke invokes the function, which has to succeed.
func (w *world) invoke(r *sandbox.Run, payload string, args ...any) lambdasim.Result {
	w.Helper()
	result := r.Invoke(fmt.Sprintf(payload, args...))
	if result.Status != lambdasim.StatusSuccess {
		w.Fatalf("%s ended with %s %s\n%s", payload, result.Status, result.ErrorType, r.Log())
	}
	return result
}

// failing invokes the function, which has to fail.
func (w *world) failing(r *sandbox.Run, errorType, payload string) {
	w.Helper()
	if result := r.Invoke(payload); result.ErrorType != errorType {
		w.Errorf("%s ended with %s %q, want %s", payload, result.Status, result.ErrorType, errorType)
	}
}

// background invokes the function while the test goes on. What it returns waits
// for the end.
func (w *world) background(r *sandbox.Run, payload string) func() lambdasim.Result {
	type ended struct {
		result lambdasim.Result
		err    error
	}
	end := make(chan ended, 1)
	go func() {
		result, err := r.Sandbox.Invoke(w.Context(), []byte(payload))
		end <- ended{result, err}
	}()
	return func() lambdasim.Result {
		w.Helper()
		e := <-end
		if e.err != nil {
			w.Fatalf("invoke: %v\n%s", e.err, r.Log())
		}
		return e.result
	}
}

// traffic is what most faults are met with. The function takes its time where it
// is the interval that sends: nothing is sent from a frozen environment.
func (w *world) traffic(r *sandbox.Run) {
	w.Helper()
	for i := range 5 {
		w.invoke(r, `{"id":"run-%d","lines":40,"format":"mixed","sleep":"%s"}`, i, w.interval())
	}
}

// interval is how long an invocation has to take for what it says to be sent in
// it.
func (w *world) interval() string {
	if w.flush != flushEnd {
		return "120ms"
	}
	return "0s"
}

// goOn invokes the function until something can be seen.
func (w *world) goOn(r *sandbox.Run, what string, holds func() bool) {
	w.Helper()
	for began := time.Now(); !holds(); {
		if time.Since(began) > patience {
			w.Fatalf("invoked in vain for %s\n%s", what, w.log())
		}
		w.invoke(r, `{"id":"on","lines":10,"sleep":"%s"}`, w.interval())
	}
}

// after is a second sandbox, with Kinesis as it should be: what the first one
// left in the spool has to arrive through it.
func (w *world) after() {
	w.Helper()
	// A request that the first one broke off may be read only now. It must not be
	// stored after all.
	connections := uint64(w.kinesis.Stats().Connections)
	w.kinesis.SetIntercept(func(r *kinesissim.Request) *kinesissim.Answer {
		if r.Conn <= connections {
			return unavailable()
		}
		return nil
	})
	r := w.start()
	w.invoke(r, `{"id":"after","lines":10}`)
	w.shutdown(r)
}

// shutdown ends a sandbox in order. What is left to Lambda's own backlog then may
// never come, so there is to be little.
func (w *world) shutdown(r *sandbox.Run) {
	w.Helper()
	if !w.acknowledged {
		w.taken(r)
	}
	if _, err := r.Sandbox.Shutdown(w.Context()); err != nil {
		w.Fatal(err)
	}
}

// taken goes on until most of what Lambda has emitted is with the extension.
func (w *world) taken(r *sandbox.Run) {
	w.Helper()
	w.goOn(r, "telemetry to be taken", func() bool {
		_, others := r.Acknowledged()
		return len(others) <= 100
	})
}

// await waits until something can be seen.
func (w *world) await(what string, holds func() bool) {
	w.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			w.Fatalf("waited in vain for %s\n%s", what, w.log())
		}
	}
}

// struck fails the test where the fault did not happen, because then the run
// proves nothing.
func (w *world) struck(happened bool) {
	w.Helper()
	if !happened {
		w.Errorf("the fault did not strike: %+v", w.kinesis.Stats())
	}
}

// arrived returns the events of the stream.
func (w *world) arrived() []record.Event {
	w.Helper()
	return w.records.Events()
}

// log returns what all processes of the extension logged.
func (w *world) log() string {
	var b strings.Builder
	for _, r := range w.runs {
		b.WriteString(r.Log())
	}
	return b.String()
}

// toldInLog returns how many events errors in the log tell as lost.
func (w *world) toldInLog() int {
	sum := 0
	for line := range strings.Lines(w.log()) {
		var l struct {
			Level string `json:"level"`
			Lost  int    `json:"lost_events"`
		}
		if json.Unmarshal([]byte(line), &l) == nil && l.Level == "ERROR" {
			sum += l.Lost
		}
	}
	return sum
}

// losses returns how many events kinetel.loss tells of, by reason.
func (w *world) losses() map[string]int {
	w.Helper()
	told := map[string]int{}
	for _, e := range w.arrived() {
		var body struct {
			Count  int
			Reason string
		}
		if e.Type == event.TypeLoss && json.Unmarshal(e.Body, &body) == nil {
			told[body.Reason] += body.Count
		}
	}
	return told
}

// report is what this suite reads of kinetel.report.
type report struct {
	Final                          bool
	Received, Shipped              struct{ Events int }
	Own, Parts, Recovered, Waiting int
	Lost                           map[string]int
	LogsDropped                    struct{ Records, Bytes, Times int }
}

// reports returns the last words of every process. Every report has to add up.
func (w *world) reports() (final []report) {
	w.Helper()
	for _, e := range w.arrived() {
		if e.Type != "kinetel.report" {
			continue
		}
		var r report
		if err := json.Unmarshal(e.Body, &r); err != nil {
			w.Errorf("kinetel.report %s: %v", e.Body, err)
			continue
		}
		in, out := r.Received.Events+r.Own+r.Parts+r.Recovered, r.Shipped.Events+r.Waiting
		for _, n := range r.Lost {
			out += n
		}
		if in != out || r.Waiting < 0 {
			w.Errorf("kinetel.report does not add up: %s", e.Body)
		}
		if r.Final {
			final = append(final, r)
		}
	}
	return final
}

// figures are the outcome of runs.
type figures struct {
	runs, owed, delivered, duplicated, told, toldInLog, silent int
}

// audit holds what is owed against what arrived, and fails the test where the
// fault does not excuse the difference.
func (w *world) audit() figures {
	w.Helper()
	var owed, possible []audit.Emitted
	again := 0
	for _, r := range w.runs {
		taken, others := r.Acknowledged()
		owed, again = append(owed, taken...), again+r.FailedPosts()
		possible = append(possible, r.Dropped()...) // a POST that failed may have been taken
		if w.acknowledged {
			possible = append(possible, others...)
			continue
		}
		owed = append(owed, others...)
		for i, e := range others {
			if i == 0 {
				w.Errorf("the extension did not take %d events, of which the first is %s %.120s", len(others), e.Type, e.Record)
			}
		}
	}
	v := audit.CheckAcknowledged(owed, possible, w.arrived())
	f := figures{1, v.Emitted, v.Delivered, v.Duplicated, v.ReportedLost, w.toldInLog(), v.LostSilently}
	// What a shutdown could not send shows as no number missing. The log tells of
	// it, also of what a last request could still tell in the stream.
	onlyInLog := max(f.toldInLog-w.losses()["shutdown"], 0)
	f.silent = max(v.LostSilently-onlyInLog, 0)
	if f.silent > 0 {
		w.Errorf("%d events were lost silently", f.silent)
	}
	if excess := f.toldInLog - v.Lost; excess > w.ownLines(owed) {
		w.Errorf("the log tells %d events as lost, but only %d are missing", f.toldInLog, v.Lost)
	}
	w.reports()
	if v.Unknown > 0 {
		w.Errorf("%d events arrived that nobody emitted", v.Unknown)
	}
	if v.Duplicated > 0 && !w.duplicates && again == 0 {
		w.Errorf("%d events arrived twice, though every request's fate was known", v.Duplicated)
	}
	if told := f.told + f.toldInLog; told > 0 && (w.told == nil || !w.told(w.mode)) {
		w.Errorf("%d events were reported lost (%v), %d of these in the log: nothing needed to be", told, w.losses(), f.toldInLog)
	}
	for i, r := range w.runs {
		for _, p := range r.Sandbox.Processes() {
			byUs := w.killed && p.Signal != 0 && !p.Killed
			// Who is killed while exiting with 0, at the deadline on a busy machine,
			// did end in order: a signal that ends it makes the status -1.
			if p.Name == sandbox.Extension && !byUs && (!p.Exited || p.ExitCode != 0) {
				w.Errorf("sandbox %d: the extension of init %d ended with status %d, signal %v, killed %v, at the deadline %v",
					i+1, p.Generation, p.ExitCode, p.Signal, p.Killed, p.KilledAtDeadline)
			}
		}
	}
	if w.Failed() {
		for _, e := range w.arrived() {
			if e.Type == event.TypeLoss {
				w.Logf("seq %d of %s: %s", e.Seq, e.Environment(), e.Body)
			}
		}
		w.Logf("%v\n%s\nlog:\n%s", v, strings.Join(v.Examples[:min(5, len(v.Examples))], "\n"), w.log())
	}
	return f
}

// ownLines bounds how many lines of its own the extension may have among what it
// tells as lost in the log: one for each invocation that ended, a loss and a
// report for each sandbox, and what a long outage adds.
func (w *world) ownLines(owed []audit.Emitted) int {
	n := 10 * len(w.runs)
	for _, e := range owed {
		if e.Type == event.TypePlatformReport {
			n++
		}
	}
	return n
}
