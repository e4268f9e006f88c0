package faults

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/test/sandbox"
)

// inLog returns how many lost events the errors in the log report.
func (s *scenario) inLog() int {
	sum := 0
	for line := range strings.Lines(s.log()) {
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

// losses returns how many lost events kinetel.loss reports, by reason.
func (s *scenario) losses() map[string]int {
	s.Helper()
	reported := map[string]int{}
	for _, e := range s.arrived() {
		var body struct {
			Count  int
			Reason string
		}
		if e.Type == event.TypeLoss && json.Unmarshal(e.Body, &body) == nil {
			reported[body.Reason] += body.Count
		}
	}
	return reported
}

// report is what this suite reads of kinetel.report.
type report struct {
	Final                          bool
	Received, Shipped              struct{ Events int }
	Own, Parts, Recovered, Waiting int
	Lost, LeftOut                  map[string]int
	LogsDropped                    struct{ Records, Bytes, Times int }
}

// reports returns the final report of each process. The figures of every report must
// add up.
func (s *scenario) reports() (final []report) {
	s.Helper()
	for _, e := range s.arrived() {
		if e.Type != "kinetel.report" {
			continue
		}
		var r report
		if err := json.Unmarshal(e.Body, &r); err != nil {
			s.Errorf("kinetel.report %s: %v", e.Body, err)
			continue
		}
		in, out := r.Received.Events+r.Own+r.Parts+r.Recovered, r.Shipped.Events+r.Waiting
		for _, counts := range []map[string]int{r.Lost, r.LeftOut} {
			for _, n := range counts {
				out += n
			}
		}
		if in != out || r.Waiting < 0 {
			s.Errorf("kinetel.report does not add up: %s", e.Body)
		}
		if r.Final {
			final = append(final, r)
		}
	}
	return final
}

// figures are the outcome of runs.
type figures struct {
	runs, expected, delivered, duplicated, reported, inLog, lostSilently int
}

// audit compares the expected events with those of the stream. It fails the test if
// they differ more than the fault excuses.
func (s *scenario) audit() figures {
	s.Helper()
	var expected, possible []audit.Emitted
	again := 0
	for _, r := range s.runs {
		taken, others := r.Acknowledged()
		expected, again = append(expected, taken...), again+r.FailedPosts()
		possible = append(possible, r.Dropped()...) // a POST that failed may have been read
		if s.acknowledged {
			possible = append(possible, others...)
			continue
		}
		expected = append(expected, others...)
		for i, e := range others {
			if i == 0 {
				s.Errorf("the extension did not acknowledge %d events, of which the first is %s %.120s", len(others), e.Type, e.Record)
			}
		}
	}
	if s.selected {
		expected, possible = redactedLines(expected), redactedLines(possible)
	}
	v := audit.CheckAcknowledged(expected, possible, s.arrived())
	if s.selected && v.LeftOut+v.ArrivedAlthoughLeftOut == 0 && len(s.runs) > 1 {
		s.Logf("sampling left nothing out: %v", v)
	}
	if v.ArrivedAlthoughLeftOut > 0 {
		s.Errorf("%d events arrived and are reported as left out", v.ArrivedAlthoughLeftOut)
	}
	f := figures{1, v.Emitted, v.Delivered, v.Duplicated, v.ReportedLost, s.inLog(), v.LostSilently}
	// Events that a shutdown could not send leave no gap in the numbers. The log
	// reports them, and also those that a last request reports in the stream.
	onlyInLog := max(f.inLog-s.losses()["shutdown"], 0)
	f.lostSilently = max(v.LostSilently-onlyInLog, 0)
	if f.lostSilently > 0 {
		s.Errorf("%d events were lost silently", f.lostSilently)
	}
	if excess := f.inLog - v.Lost; excess > s.ownLines(expected) {
		s.Errorf("the log reports %d lost events, but only %d are missing", f.inLog, v.Lost)
	}
	s.reports()
	if v.Unknown > 0 {
		s.Errorf("%d events arrived that Lambda did not emit", v.Unknown)
	}
	if v.Duplicated > 0 && !s.duplicates && again == 0 {
		s.Errorf("%d events arrived twice, though every request's fate was known", v.Duplicated)
	}
	if reported := f.reported + f.inLog; reported > 0 && (s.mayLose == nil || !s.mayLose(s.mode)) {
		s.Errorf("%d events were reported lost (%v), %d of these in the log: nothing needed to be", reported, s.losses(), f.inLog)
	}
	for i, r := range s.runs {
		for _, p := range r.Sandbox.Processes() {
			byUs := s.killed && p.Signal != nil && !p.Killed
			// A process that Lambda kills while it exits with 0, at the deadline on a
			// busy machine, has ended in order: a signal that ends it makes the
			// status -1.
			if p.Name == sandbox.Extension && !byUs && (!p.Exited || p.ExitCode != 0) {
				s.Errorf("sandbox %d: the extension of init %d ended with status %d, signal %v, killed %v, at the deadline %v",
					i+1, p.Generation, p.ExitCode, p.Signal, p.Killed, p.KilledAtDeadline)
			}
		}
	}
	if s.Failed() {
		for _, e := range s.arrived() {
			if e.Type == event.TypeLoss {
				s.Logf("seq %d of %s: %s", e.Seq, e.InstanceID(), e.Body)
			}
		}
		s.Logf("%v\n%s\nlog:\n%s", v, strings.Join(v.Examples[:min(5, len(v.Examples))], "\n"), s.log())
	}
	return f
}

// redactedLines returns events as they have to arrive in a selected run.
func redactedLines(emitted []audit.Emitted) []audit.Emitted {
	emitted = slices.Clone(emitted)
	for i := range emitted {
		if e := &emitted[i]; e.Type == event.TypeFunction {
			e.Record = redacted.ReplaceAllString(e.Record, "[redacted:pattern]")
		}
	}
	return emitted
}

// ownLines bounds how many of the lost events in the log may be the extension's own: one for each invocation that ended, a loss and a
// report for each sandbox, and what a long outage adds.
func (s *scenario) ownLines(expected []audit.Emitted) int {
	n := 10 * len(s.runs)
	for _, e := range expected {
		if e.Type == event.TypePlatformReport {
			n++
		}
	}
	return n
}
