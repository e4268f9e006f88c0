package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/kinetel/kinetel/lambdasim"
)

// WriteText writes a summary for a person.
func (s Summary) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s, %s\n", invocations(s), count(s.Environments, "environment"), count(s.ColdStarts, "cold start"))
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\tp50\tp99\tmax\tinit\tmemory\tCPU\n")
	row := func(name string, d, init Distribution, u Usage) {
		memory := "-"
		if u.MaxMemoryBytes > 0 {
			memory = mebibytes(u.MaxMemoryBytes)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%d ms\n", Printable(name), milliseconds(d, d.P50), milliseconds(d, d.P99), milliseconds(d, d.Max),
			milliseconds(init, init.Max), memory, u.CPUMs)
	}
	row("duration of the function", s.DurationMs, s.InitMs, s.Function)
	for _, e := range s.Extensions {
		row("overhead of "+e.Name, e.OverheadMs, e.InitMs, e.Usage)
	}
	_ = table.Flush() // to memory
	fmt.Fprintf(&b, "billed: %d ms\n", s.BilledMs)
	for _, e := range s.Extensions {
		if e.Subscribed {
			fmt.Fprintf(&b, "%s: %s", Printable(e.Name), accepted(e))
			if e.FailedPosts > 0 {
				fmt.Fprintf(&b, "; %s failed", count(e.FailedPosts, "POST"))
			}
			b.WriteByte('\n')
		}
	}
	if k := s.Kinesis; k != nil {
		fmt.Fprintf(&b, "Kinesis: %s of %d bytes", count(k.Records, "record"), k.Bytes)
		if k.Rejected > 0 {
			fmt.Fprintf(&b, ", %d rejected", k.Rejected)
		}
		if k.Audit != "" {
			fmt.Fprintf(&b, "; audit: %s", k.Audit)
		}
		b.WriteByte('\n')
	}
	for _, problem := range s.Problems {
		fmt.Fprintf(&b, "problem: %s\n", Printable(problem))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// milliseconds returns a figure of a distribution, or a dash.
func milliseconds(d Distribution, figure float64) string {
	if d.Count == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f ms", figure)
}

// Printable replaces the control characters of a text that a process chose.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, text)
}

// Line returns Lambda's REPORT line of an invocation, with the overhead of each extension.
func Line(r lambdasim.Result, memoryMB int) string {
	var b strings.Builder
	part := func(name, value string) { fmt.Fprintf(&b, "\t%s: %s", name, value) }
	fmt.Fprintf(&b, "REPORT RequestId: %s", r.RequestID)
	part("Duration", line(r.Duration+r.Held))
	part("Billed Duration", fmt.Sprintf("%d ms", r.Billed.Milliseconds()))
	part("Memory Size", fmt.Sprintf("%d MB", memoryMB))
	part("Max Memory Used", fmt.Sprintf("%d MB", r.MaxMemoryMB))
	if r.ColdStart && !r.SuppressedInit && r.RestoreDuration == 0 {
		part("Init Duration", line(r.InitDuration))
	}
	if r.RestoreDuration > 0 {
		part("Restore Duration", line(r.RestoreDuration))
	}
	if r.Status != lambdasim.StatusSuccess {
		part("Status", string(r.Status))
		part("Error Type", r.ErrorType)
	}
	if len(r.HeldBy) > 0 {
		part("Extension Overhead", overheads(r.HeldBy))
	}
	return b.String()
}

func line(d time.Duration) string { return fmt.Sprintf("%.2f ms", Milliseconds(d)) }

// overheads lists how long each extension prolonged an invocation.
func overheads(by map[string]time.Duration) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		parts = append(parts, name+" "+line(by[name]))
	}
	return strings.Join(parts, ", ")
}
