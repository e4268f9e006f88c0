// Package emf writes figures as a line in CloudWatch's embedded metric format.
// Lambda sends what the extension prints to CloudWatch Logs, which makes metrics
// from such lines (AWS documentation, Specification: Embedded metric format).
package emf

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/wallclock"
)

// Namespace is the namespace of the metrics. Their only dimension is FunctionName.
const Namespace = "Kinetel"

const (
	dimension    = "FunctionName"
	maxValue     = 1024 // characters of a dimension's value (CloudWatch API reference, Dimension)
	period       = time.Minute
	percent      = "Percent"
	bytes        = "Bytes"
	count        = "Count"
	milliseconds = "Milliseconds"
)

// Figures are the figures of one period, from one line to the next.
type Figures struct {
	Shipped      int64 // events that Kinesis took
	Lost         int64 // events that were dropped
	Retried      int64 // records that had to be sent again
	BytesShipped int64 // as Kinesis counts them

	HeldMs       Distribution // how long each invocation was held, in milliseconds
	PutLatencyMs Distribution // how long each request took, in milliseconds

	BufferBytes  int64   // bytes that wait in memory at the end of the period
	BufferUse    float64 // the same, in per cent of the memory that the buffer may use
	SpooledBytes int64   // bytes on disk at the end of the period

	SettingsReplaced int64 // values of variables that could not be used; 0: no metric
}

// Distribution summarizes many numbers. The format has single numbers and lists of up
// to a hundred numbers, and there may be more than that.
type Distribution struct {
	Count         int64 // of numbers; 0: no metric
	P50, P99, Max float64
}

// Append appends figures as one line with a line break. Each figure is a metric
// except BufferBytes, which is only a member of the line: BufferUse has the same
// information, and every metric of a function costs money. A number that is NaN,
// infinite or too large is left out, because CloudWatch would reject the whole line.
func Append(dst []byte, at time.Time, functionName string, f Figures) []byte {
	metrics := [...]struct {
		name, unit string
		value      float64
	}{
		{"EventsShipped", count, float64(f.Shipped)},
		{"EventsLost", count, float64(f.Lost)},
		{"RecordsRetried", count, float64(f.Retried)},
		{"BytesShipped", bytes, float64(f.BytesShipped)},
		{"HeldP50", milliseconds, f.HeldMs.of(f.HeldMs.P50)},
		{"HeldP99", milliseconds, f.HeldMs.of(f.HeldMs.P99)},
		{"HeldMax", milliseconds, f.HeldMs.of(f.HeldMs.Max)},
		{"PutLatencyP50", milliseconds, f.PutLatencyMs.of(f.PutLatencyMs.P50)},
		{"PutLatencyP99", milliseconds, f.PutLatencyMs.of(f.PutLatencyMs.P99)},
		{"PutLatencyMax", milliseconds, f.PutLatencyMs.of(f.PutLatencyMs.Max)},
		{"BufferUse", percent, f.BufferUse},
		{"SpooledBytes", bytes, float64(f.SpooledBytes)},
		{"SettingsReplaced", count, unlessZero(f.SettingsReplaced)},
	}

	dst = append(dst, `{"_aws":{"Timestamp":`...)
	dst = strconv.AppendInt(dst, at.UnixMilli(), 10)
	dst = append(dst, `,"CloudWatchMetrics":[{"Namespace":"`+Namespace+`","Dimensions":[[`...)
	name := dimensionValue(functionName)
	if name != "" { // a dimension must have a value
		dst = append(dst, `"`+dimension+`"`...)
	}
	dst = append(dst, `]],"Metrics":[`...)
	separator := ""
	for _, m := range metrics {
		if valid(m.value) {
			dst = append(dst, separator...)
			dst = append(dst, `{"Name":"`...)
			dst = append(dst, m.name...)
			dst = append(dst, `","Unit":"`...)
			dst = append(dst, m.unit...)
			dst = append(dst, `"}`...)
			separator = ","
		}
	}
	// The extension recognizes its own lines by this member (selflog.Own).
	dst = append(dst, `]}]},"logger":"kinetel"`...)
	if name != "" {
		dst = append(dst, `,"`+dimension+`":`...)
		dst = jsontext.AppendQuote(dst, name)
	}
	for _, m := range metrics {
		if valid(m.value) {
			dst = append(dst, `,"`...)
			dst = append(dst, m.name...)
			dst = append(dst, `":`...)
			dst = strconv.AppendFloat(dst, m.value, 'f', -1, 64)
		}
	}
	dst = append(dst, `,"BufferBytes":`...)
	dst = strconv.AppendInt(dst, f.BufferBytes, 10)
	return append(dst, "}\n"...)
}

// of returns n, or NaN if the distribution is empty: NaN is left out of the line.
func (d Distribution) of(n float64) float64 {
	if d.Count == 0 {
		return math.NaN()
	}
	return n
}

// unlessZero returns n, or NaN if n is 0, so that it is left out of the line: a
// metric costs money, and an alarm treats a missing one as zero.
func unlessZero(n int64) float64 {
	if n == 0 {
		return math.NaN()
	}
	return float64(n)
}

// valid reports whether to write a number. CloudWatch accepts no number beyond 2^360
// (CloudWatch API reference, MetricDatum). The bound here is lower: only a mistake
// can make a larger number.
func valid(n float64) bool { return math.Abs(n) < 1<<63 }

// dimensionValue returns a function's name as CloudWatch accepts it. Lambda's names
// need no change; outside of Lambda a name can be any text.
func dimensionValue(s string) string {
	s = strings.TrimSpace(strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s))
	return s[:min(len(s), maxValue)]
}

// Due reports whether the next line is due: once a minute, by the wall clock,
// because the monotonic clock may stand still while the environment is frozen. If
// the wall clock was set back by a minute or more, the line is due too.
func Due(last, now time.Time) bool { return wallclock.Sub(now, last).Abs() >= period }
