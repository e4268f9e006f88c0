package cost

import (
	"fmt"
	"io"
	"math"
	"time"
)

// measured is the format of the row with records as they are.
const measured = "measured"

// Telemetry is what a Meter measured in a time.
type Telemetry struct {
	From          []string `json:"from"` // the stream or the files
	WindowSeconds float64  `json:"windowSeconds"`
	Invocations   int64    `json:"invocations"`
	Events        int64    `json:"events"`     // each once
	Duplicates    int64    `json:"duplicates"` // left out
	Unreadable    int64    `json:"unreadableRecords"`
	// Records and RecordBytes are 0 if the input does not show where records end.
	Records     int64   `json:"records,omitempty"`
	RecordBytes int64   `json:"recordBytes,omitempty"`
	BilledBytes int64   `json:"billedBytes,omitempty"` // on demand: each record rounded up
	Lines       int64   `json:"lines"`
	LogBytes    int64   `json:"logBytes"` // of the lines
	Held        int64   `json:"heldInvocations"`
	HeldMs      float64 `json:"heldMs"` // of all invocations together
	MemoryMB    float64 `json:"memoryMB"`
	// Month is the month to which the time is projected, with records as they are. It is
	// nil if they are not known.
	Month *Row `json:"month,omitempty"`

	month Measured
	text  []string
}

// Workload returns a month of the telemetry as a Workload.
func (t *Telemetry) Workload() Workload {
	w := Workload{Functions: 1, Text: t.text, Telemetry: t}
	n := float64(t.Invocations)
	if t.WindowSeconds > 0 {
		w.Invocations = math.Round(n * hours * secondsOfHour / t.WindowSeconds)
	}
	w.Lines = int(math.Round(float64(t.Lines) / n))
	if t.Lines > 0 {
		w.LineBytes = min(max(1, int(t.LogBytes/t.Lines)), MaxLine)
	}
	w.Busy = 1 - min(1, float64(t.Held)/n)
	if t.Held > 0 {
		w.Held = time.Duration(t.HeldMs / float64(t.Held) * float64(time.Millisecond))
	}
	return w
}

// project sets Month: so many invocations, held as the workload says.
func (t *Telemetry) project(w Workload, terms Terms) Measured {
	month := t.month.Times(w.Invocations / t.month.Invocations)
	month.HeldSeconds = w.Invocations * (1 - w.Busy) * w.Held.Seconds()
	if len(t.month.Records) > 0 {
		row := terms.row(Encoding{measured, ""}, month)
		t.Month = &row
	}
	return month
}

// writeText writes what was measured.
func (t *Telemetry) writeText(w io.Writer) {
	window := time.Duration(t.WindowSeconds * float64(time.Second)).Round(time.Millisecond)
	count := func(n int64) string { return grouped(float64(n), 0) }
	fmt.Fprintf(w, "Measured in %v: %s invocations, %s of them held %.3g s together, %s events, %s lines of %s B.\n",
		window, count(t.Invocations), count(t.Held), t.HeldMs/1000, count(t.Events), count(t.Lines), count(t.LogBytes))
	if t.Records > 0 {
		fmt.Fprintf(w, "%s records of %s B; on demand bills %s B.\n", count(t.Records), count(t.RecordBytes), count(t.BilledBytes))
	} else {
		fmt.Fprintln(w, "The input does not show where records end: the rows are what such lines take when they are packed again.")
	}
	for _, more := range []struct {
		n    int64
		what string
	}{{t.Duplicates, "duplicates left out"}, {t.Unreadable, "records that cannot be read"}} {
		if more.n > 0 {
			fmt.Fprintf(w, "%s %s.\n", count(more.n), more.what)
		}
	}
	fmt.Fprintln(w)
}
