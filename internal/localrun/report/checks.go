package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kinetel/kinetel/lambdasim"
)

// Limits are what a run is checked for. The zero value checks nothing.
type Limits struct {
	// Of each extension: how long it may prolong any invocation, how long it may take
	// from its start to its first next, and how much resident memory it may have.
	MaxOverhead, MaxInit time.Duration
	MaxMemory            int64 // bytes
	// ExpectDelivered: each extension accepted all telemetry that it subscribed to, and
	// what Kinetel accepted is in the embedded Kinesis.
	ExpectDelivered bool
	// ExpectSuccess: each invocation succeeded, and nothing was wrong with a process.
	ExpectSuccess bool
}

// Check is the outcome of a limit.
type Check struct {
	Name    string `json:"name"`
	Subject string `json:"subject"` // an extension, function or kinesis
	OK      bool   `json:"ok"`
	Detail  string `json:"detail"` // what was found
}

// Checks compares a run with the limits.
func (l Limits) Checks(s Summary) (checks []Check) {
	if l.ExpectSuccess {
		checks = append(checks, success(s))
	}
	of := func(name string, limited bool, check func(*Extension) (ok bool, detail string)) {
		if !limited {
			return
		}
		if len(s.Extensions) == 0 {
			checks = append(checks, Check{name, "extensions", false, "there is no extension"})
		}
		for _, e := range s.Extensions {
			ok, detail := check(e)
			checks = append(checks, Check{name, e.Name, ok, detail})
		}
	}
	of(fmt.Sprintf("overhead of at most %v", l.MaxOverhead), l.MaxOverhead > 0, func(e *Extension) (bool, string) {
		switch {
		case e.OverheadMs.Count > 0:
		case e.InitMs.Count > 0 && s.Statuses[string(lambdasim.StatusSuccess)] > 0:
			return true, "it has not registered for INVOKE"
		default:
			return false, "no invocation was measured"
		}
		return e.OverheadMs.Max <= Milliseconds(l.MaxOverhead), fmt.Sprintf("at most %v ms in %s", e.OverheadMs.Max, count(e.OverheadMs.Count, "invocation"))
	})
	of(fmt.Sprintf("init of at most %v", l.MaxInit), l.MaxInit > 0, func(e *Extension) (bool, string) {
		if e.InitMs.Count == 0 {
			return false, "it never called next"
		}
		return e.InitMs.Max <= Milliseconds(l.MaxInit), fmt.Sprintf("at most %v ms in %s", e.InitMs.Max, count(e.InitMs.Count, "start"))
	})
	of("memory of at most "+mebibytes(l.MaxMemory), l.MaxMemory > 0, func(e *Extension) (bool, string) {
		if e.MaxMemoryBytes == 0 {
			return false, "not measured"
		}
		return e.MaxMemoryBytes <= l.MaxMemory, mebibytes(e.MaxMemoryBytes) + " resident"
	})
	of("all telemetry is accepted", l.ExpectDelivered, func(e *Extension) (bool, string) {
		if !e.Subscribed {
			return true, "it has not subscribed to telemetry"
		}
		return len(e.Missed) == 0, accepted(e)
	})
	if k := s.Kinesis; l.ExpectDelivered && k != nil && k.Audit != "" {
		checks = append(checks, Check{"all events are in the stream", "kinesis", k.Complete, k.Audit})
	}
	return checks
}

func success(s Summary) Check {
	c := Check{Name: "all invocations succeed", Subject: "function", Detail: invocations(s)}
	c.OK = s.Invocations > 0 && s.Statuses[string(lambdasim.StatusSuccess)] == s.Invocations && s.Throttled == 0 && len(s.Problems) == 0
	if len(s.Problems) > 0 {
		c.Detail += "; " + strings.Join(s.Problems, "; ")
	}
	return c
}

// invocations describes how many invocations ended how.
func invocations(s Summary) string {
	text := count(s.Invocations, "invocation")
	separator := ": "
	for _, status := range slices.Sorted(maps.Keys(s.Statuses)) {
		text += fmt.Sprintf("%s%d %s", separator, s.Statuses[status], status)
		separator = ", "
	}
	if s.Throttled > 0 {
		text += fmt.Sprintf(", and %d throttled", s.Throttled)
	}
	return text
}

// accepted describes what an extension got of its telemetry.
func accepted(e *Extension) string {
	return count(e.AcceptedEvents, "event") + " accepted, " + missed(e)
}

// missed describes what an extension missed.
func missed(e *Extension) string {
	if len(e.Missed) == 0 {
		return "none missed"
	}
	var kinds []string
	for _, kind := range slices.Sorted(maps.Keys(e.Missed)) {
		kinds = append(kinds, fmt.Sprintf("%d %s", e.Missed[kind], kind))
	}
	return "missed: " + strings.Join(kinds, ", ")
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func mebibytes(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// The elements of a JUnit report.
type (
	junitSuite struct {
		XMLName  xml.Name    `xml:"testsuite"`
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Time     string      `xml:"time,attr"` // seconds
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Failure *junitFailure `xml:"failure"`
		Output  string        `xml:"system-out,omitempty"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
	}
)

// WriteJUnit writes checks as a JUnit report, which CI systems show.
func WriteJUnit(w io.Writer, checks []Check, took time.Duration) error {
	suite := junitSuite{Name: "kinetel run", Tests: len(checks), Time: fmt.Sprintf("%.3f", took.Seconds())}
	for _, c := range checks {
		one := junitCase{Class: c.Subject, Name: c.Name, Output: c.Detail}
		if !c.OK {
			suite.Failures++
			one.Failure, one.Output = &junitFailure{c.Detail}, ""
		}
		suite.Cases = append(suite.Cases, one)
	}
	text, err := xml.MarshalIndent(suite, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, text)
	return err
}
