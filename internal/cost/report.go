package cost

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/formats"
)

// Workload is what functions do in a month.
type Workload struct {
	Invocations float64       `json:"invocations"`
	Lines       int           `json:"lines"`     // of an invocation
	LineBytes   int           `json:"lineBytes"` // of a line
	Text        []string      `json:"-"`         // lines to pack; empty: invented ones
	Busy        float64       `json:"busy"`      // the share of invocations that share records
	Held        time.Duration `json:"-"`         // of each other invocation
	Functions   int           `json:"functions"` // with KINETEL_REPORT=emf
	Telemetry   *Telemetry    `json:"-"`         // from which it was measured, if it was
}

// Report is what a workload costs in a month.
type Report struct {
	Region   string   `json:"region"`
	Workload Workload `json:"workload"`
	// Measured is the telemetry from which the workload was measured, if it was.
	Measured *Telemetry `json:"measured,omitempty"`
	Rows     []Row      `json:"encodings"` // the default first
	// Of CloudWatch Logs, for the same lines.
	Standard         float64 `json:"cloudWatchLogsUsd"`
	InfrequentAccess float64 `json:"cloudWatchLogsInfrequentAccessUsd"`
	// CheaperBelow is below how many invocations CloudWatch Logs costs less than the first
	// row on demand; 0: at any number.
	CheaperBelow float64 `json:"cloudWatchLogsCheaperBelowInvocations,omitempty"`
	Metrics      float64 `json:"emfMetricsUsd"`
}

// Row is what a workload costs with one encoding.
type Row struct {
	Format      format.Name        `json:"format"`
	Compression format.Compression `json:"compression"`
	Events      float64            `json:"eventsPerInvocation"`
	Records     float64            `json:"recordsPerInvocation"`
	Bytes       float64            `json:"bytesPerInvocation"`
	OnDemand    Bill               `json:"onDemand"`
	Advantage   Bill               `json:"advantage"`
	Provisioned Bill               `json:"provisioned"`
	Firehose    float64            `json:"firehoseUsd"`
}

// Compute packs the workload in every format and compression, and prices it. It calls
// begin before each of them.
func Compute(w Workload, t Terms, begin func(Encoding)) Report {
	r := Report{Region: t.Prices.Region, Workload: w, Measured: w.Telemetry, Metrics: t.Metrics(w.Functions)}
	for _, f := range formats.All() {
		for _, compression := range f.Compressions {
			e := Encoding{f.Name, compression}
			begin(e)
			m := w.measure(e)
			r.Rows = append(r.Rows, t.row(e, m))
			if len(r.Rows) == 1 {
				r.Standard, r.InfrequentAccess = t.Logs(m)
				r.CheaperBelow, _ = t.BreakEven(m)
			}
		}
	}
	if w.Telemetry != nil {
		month := w.Telemetry.project(w, t)
		r.Standard, r.InfrequentAccess = t.Logs(month)
		if w.Telemetry.Month != nil {
			r.CheaperBelow, _ = t.BreakEven(month)
		}
	}
	return r
}

// measure returns a month of the workload.
func (w Workload) measure(e Encoding) Measured {
	rare := Pack(NewSample(w.Lines, w.LineBytes, w.Text), e, false)
	rare.HeldSeconds = w.Held.Seconds()
	busy := Pack(NewSample(w.Lines, w.LineBytes, w.Text), e, true)
	return Mix(rare, busy, w.Busy).Times(w.Invocations)
}

func (t Terms) row(e Encoding, m Measured) Row {
	each := func(all float64) float64 { return math.Round(all/m.Invocations*1e6) / 1e6 }
	return Row{
		Format: e.Format, Compression: e.Compression,
		Events: each(m.Events), Records: each(m.RecordCount()), Bytes: each(m.Bytes()),
		OnDemand: t.OnDemand(m), Advantage: t.Advantage(m), Provisioned: t.Provisioned(m), Firehose: t.Firehose(m),
	}
}

// WriteText writes the report as tables.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	load, rows := r.Workload, r.Rows
	if r.Measured != nil {
		r.Measured.writeText(&b)
		if r.Measured.Month != nil {
			rows = slices.Insert(slices.Clone(rows), 0, *r.Measured.Month)
		}
	}
	fmt.Fprintf(&b, "%s invocations of %d lines of %d B a month, %.4g %% of them busy. List prices of %s, $ a month.\n\n",
		grouped(load.Invocations, 0), load.Lines, load.LineBytes, load.Busy*100, r.Region)
	fmt.Fprintf(&b, "%-18s %9s %11s %11s %11s %7s %11s\n", "Kinetel", "bytes", "on demand", "on demand", "provisioned", "shards", "Firehose")
	fmt.Fprintf(&b, "%-18s %9s %11s %11s %11s %7s %11s\n", "", "an event", "", "Advantage", "", "", "adds")
	for _, row := range rows {
		fmt.Fprintf(&b, "%-10s %-7s %9.0f %11s %11s %11s %7d %11s\n", row.Format, row.Compression, row.Bytes/row.Events,
			dollars(row.OnDemand.Total), dollars(row.Advantage.Total), dollars(row.Provisioned.Total), row.Provisioned.Shards, dollars(row.Firehose))
	}
	first := rows[0]
	first.writeParts(&b)
	name := string(first.Format)
	if name == measured {
		name = "what was measured"
	}
	fmt.Fprintf(&b, "\n%-52s %11s\n", "CloudWatch Logs, the same lines", dollars(r.Standard))
	fmt.Fprintf(&b, "%-52s %11s\n", "CloudWatch Logs, infrequent access", dollars(r.InfrequentAccess))
	fmt.Fprintf(&b, "%-52s %11s\n", "both, until you deny CloudWatch Logs: on demand", dollars(first.OnDemand.Total+r.Standard))
	fmt.Fprintf(&b, "%-52s %11s\n\n", fmt.Sprintf("KINETEL_REPORT=emf adds, functions: %d", load.Functions), dollars(r.Metrics))
	if r.CheaperBelow > 0 {
		fmt.Fprintf(&b, "CloudWatch Logs costs less than %s on demand below %s million such invocations a month.\n", name, grouped(r.CheaperBelow/1e6, 1))
	} else {
		fmt.Fprintf(&b, "CloudWatch Logs costs less than %s on demand at any number of such invocations.\n", name)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeParts writes what the totals are made of.
func (r Row) writeParts(w io.Writer) {
	fmt.Fprintf(w, "\n%-28s %11s %11s %11s\n", Encoding{r.Format, r.Compression}, "on demand", "Advantage", "provisioned")
	for _, part := range []struct {
		name string
		of   func(Bill) float64
	}{
		{"hours of stream or shards", func(b Bill) float64 { return b.Capacity }},
		{"data in", func(b Bill) float64 { return b.In }},
		{"data out", func(b Bill) float64 { return b.Out }},
		{"retention beyond a day", func(b Bill) float64 { return b.Retention }},
		{"holds, billed by Lambda", func(b Bill) float64 { return b.Holds }},
		{"total", func(b Bill) float64 { return b.Total }},
	} {
		fmt.Fprintf(w, "%-28s %11s %11s %11s\n", part.name, dollars(part.of(r.OnDemand)), dollars(part.of(r.Advantage)), dollars(part.of(r.Provisioned)))
	}
}

// dollars formats an amount: with cents if it is small.
func dollars(amount float64) string {
	if amount >= 100 {
		return grouped(amount, 0)
	}
	return grouped(amount, 2)
}

// grouped formats a number with a comma after each thousand.
func grouped(n float64, decimals int) string {
	text := strconv.FormatFloat(n, 'f', decimals, 64)
	whole, rest, found := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if found {
		rest = "." + rest
	}
	return whole + rest
}
