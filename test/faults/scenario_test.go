package faults

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/redact"
	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/record"
	"github.com/kinetel/kinetel/test/sandbox"
)

// Credentials that the embedded Kinesis knows: it verifies every signature.
const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "not-a-secret"
)

// mode is how the extension is configured.
type mode struct {
	flush, spool string
	selected     bool // sampling and redaction are on
}

func (m mode) String() string {
	if m.selected {
		return m.flush + "," + m.spool + ",selected"
	}
	return m.flush + "," + m.spool
}

// redacted is what KINETEL_REDACT_PATTERN replaces in selected runs: the beginnings of
// the function's lines.
var redacted = regexp.MustCompile(`run-\d+`)

// Flush policies and spool modes.
const (
	flushAdaptive = "adaptive"
	flushEnd      = "end"
	flushInterval = "interval"

	spoolOff      = "off"
	spoolOverflow = "overflow"
	spoolAlways   = "always"
)

// scenario is one run of the matrix: a Kinesis, and one or two sandboxes that send to
// it one after the other, with the same /tmp.
type scenario struct {
	*testing.T
	mode
	fault
	kinesis *kinesissim.Server
	records *sandbox.Records
	folder  string // of the spool; the extension makes it
	env     map[string]string
	runs    []*sandbox.Run
	// acknowledged means that a process ended before its sandbox, so that only
	// what it had acknowledged is expected.
	acknowledged bool
	// killed means that processes of the extension were killed by the test.
	killed bool
}

func newScenario(t *testing.T, f fault, m mode) *scenario {
	t.Helper()
	s := &scenario{T: t, mode: m, fault: f, folder: filepath.Join(t.TempDir(), "spool")}
	cfg := kinesissim.Config{
		Streams:     []kinesissim.Stream{{Name: sandbox.Stream, Shards: 2}},
		Credentials: map[string]string{accessKey: secretKey},
	}
	if f.kinesis != nil {
		f.kinesis(&cfg)
	}
	kinesis, err := kinesissim.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kinesis.Close() })
	s.kinesis, s.records = kinesis, sandbox.NewRecords(t, kinesis)
	s.env = map[string]string{
		"AWS_ACCESS_KEY_ID":     accessKey,
		"AWS_SECRET_ACCESS_KEY": secretKey,
		"KINETEL_FLUSH":         m.flush,
		"KINETEL_SPOOL":         m.spool,
		"KINETEL_SPOOL_DIR":     s.folder,
	}
	if m.selected {
		s.env["KINETEL_SAMPLE"] = "0.5"
		s.env["KINETEL_REDACT"] = strings.Join(redact.Names(), ",")
		s.env["KINETEL_REDACT_PATTERN"] = redacted.String()
	}
	if m.flush != flushEnd {
		s.env["KINETEL_FLUSH_INTERVAL"] = "100ms"
	}
	return s
}

// maxWait bounds a shutdown and every wait. Lambda's two seconds are too short for
// many environments on one machine.
const maxWait = 20 * time.Second

// start starts a sandbox.
func (s *scenario) start(change ...func(*lambdasim.Config)) *sandbox.Run {
	s.Helper()
	r := sandbox.Start(s.T, binaries, sandbox.Options{Endpoint: s.kinesis.URL(), Env: maps.Clone(s.env), Lambda: func(c *lambdasim.Config) {
		c.ShutdownTimeout = maxWait
		for _, one := range change {
			one(c)
		}
	}})
	s.runs = append(s.runs, r)
	return r
}

// lambdaShutdownTimeout limits the shutdown as Lambda does.
func lambdaShutdownTimeout(c *lambdasim.Config) { c.ShutdownTimeout = 2 * time.Second }

// invoke invokes the function, which has to succeed.
func (s *scenario) invoke(r *sandbox.Run, payload string, args ...any) lambdasim.Result {
	s.Helper()
	result := r.Invoke(fmt.Sprintf(payload, args...))
	if result.Status != lambdasim.StatusSuccess {
		s.Fatalf("%s ended with %s %s\n%s", payload, result.Status, result.ErrorType, r.Log())
	}
	return result
}

// failing invokes the function, which has to fail.
func (s *scenario) failing(r *sandbox.Run, errorType, payload string) {
	s.Helper()
	if result := r.Invoke(payload); result.ErrorType != errorType {
		s.Errorf("%s ended with %s %q, want %s", payload, result.Status, result.ErrorType, errorType)
	}
}

// background invokes the function without waiting. Call what it returns to wait.
func (s *scenario) background(r *sandbox.Run, payload string) func() lambdasim.Result {
	type ended struct {
		result lambdasim.Result
		err    error
	}
	end := make(chan ended, 1)
	go func() {
		result, err := r.Sandbox.Invoke(s.Context(), []byte(payload))
		end <- ended{result, err}
	}()
	return func() lambdasim.Result {
		s.Helper()
		e := <-end
		if e.err != nil {
			s.Fatalf("invoke: %v\n%s", e.err, r.Log())
		}
		return e.result
	}
}

// traffic invokes the function five times. With an interval, an invocation lasts
// long enough to send: a frozen environment sends nothing.
func (s *scenario) traffic(r *sandbox.Run) {
	s.Helper()
	for i := range 5 {
		s.invoke(r, `{"id":"run-%d","lines":40,"format":"mixed","sleep":"%s"}`, i, s.interval())
	}
}

// interval is how long an invocation must last so that its lines are sent before its
// end.
func (s *scenario) interval() string {
	if s.flush != flushEnd {
		return "120ms"
	}
	return "0s"
}

// invokeUntil invokes the function until the condition holds.
func (s *scenario) invokeUntil(r *sandbox.Run, what string, holds func() bool) {
	s.Helper()
	for began := time.Now(); !holds(); {
		if time.Since(began) > maxWait {
			s.Fatalf("invoked the function for %v without %s\n%s", maxWait, what, s.log())
		}
		s.invoke(r, `{"id":"on","lines":10,"sleep":"%s"}`, s.interval())
	}
}

// runAgain runs a second sandbox, with a working Kinesis. It has to send what the
// first one left in the spool.
func (s *scenario) runAgain() {
	s.Helper()
	// Kinesis may read a request that the first one cancelled only now. It must not
	// store it.
	connections := uint64(s.kinesis.Stats().Connections)
	s.kinesis.SetIntercept(func(r *kinesissim.Request) *kinesissim.Answer {
		if r.Conn <= connections {
			return unavailable()
		}
		return nil
	})
	r := s.start()
	s.invoke(r, `{"id":"after","lines":10}`)
	s.shutdown(r)
}

// shutdown ends a sandbox in order. Lambda may drop its own backlog then, so that
// most of it has to be acknowledged before.
func (s *scenario) shutdown(r *sandbox.Run) {
	s.Helper()
	if !s.acknowledged {
		s.invokeUntilAcknowledged(r)
	}
	if _, err := r.Sandbox.Shutdown(s.Context()); err != nil {
		s.Fatal(err)
	}
}

// invokeUntilAcknowledged invokes the function until the extension has acknowledged
// most of what Lambda emitted.
func (s *scenario) invokeUntilAcknowledged(r *sandbox.Run) {
	s.Helper()
	s.invokeUntil(r, "an acknowledgement of most telemetry", func() bool {
		_, others := r.Acknowledged()
		return len(others) <= 100
	})
}

// waitFor waits until the condition holds.
func (s *scenario) waitFor(what string, holds func() bool) {
	s.Helper()
	deadline := time.NewTimer(maxWait)
	defer deadline.Stop()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for !holds() {
		select {
		case <-ticker.C:
		case <-deadline.C:
			s.Fatalf("waited %v without %s\n%s", maxWait, what, s.log())
		}
	}
}

// requireFault fails the test if the fault did not happen.
func (s *scenario) requireFault(happened bool) {
	s.Helper()
	if !happened {
		s.Errorf("the fault did not happen: %+v", s.kinesis.Stats())
	}
}

// arrived returns the events of the stream.
func (s *scenario) arrived() []record.Event {
	s.Helper()
	return s.records.Events()
}

// log returns what all processes of the extension logged.
func (s *scenario) log() string {
	var b strings.Builder
	for _, r := range s.runs {
		b.WriteString(r.Log())
	}
	return b.String()
}
