// Package emf writes figures as a line of CloudWatch's embedded metric format:
// Lambda takes what the extension prints to CloudWatch Logs, which makes metrics
// of such lines (AWS documentation, Specification: Embedded metric format).
package emf

import (
	"math"
	"strconv"
	"strings"
	"time"

	"kinetel/internal/event"
)

// Namespace is where the metrics are, with the one dimension FunctionName.
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

// Figures are those of one period, from one line to the next.
type Figures struct {
	Shipped      int64 // events that Kinesis took
	Lost         int64 // events that were given up
	Retried      int64 // records that had to be sent again
	BytesShipped int64 // as Kinesis counts them

	HeldMs       Distribution // how long each invocation was held, in milliseconds
	PutLatencyMs Distribution // how long each request took, in milliseconds

	BufferBytes  int64   // that wait in memory at the end of the period
	BufferUse    float64 // of the memory that may be used for it, in per cent
	SpooledBytes int64   // on disk at the end of the period

	SettingsReplaced int64 // values of variables that could not be used; 0 makes no metric
}

// Distribution is what is told of many numbers. The format knows single numbers
// and lists of up to a hundred, and there may be more than that.
type Distribution struct {
	Count         int64 // of numbers; with none, no metric is made of it
	P50, P99, Max float64
}

// Append appends figures as one line with its end. Each is a metric but
// BufferBytes, which BufferUse tells in another way and which only stands in the
// line: every metric of a function has its price. A number that is none is left
// out, because CloudWatch would take nothing of the line.
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
		if tellable(m.value) {
			dst = append(dst, separator...)
			dst = append(dst, `{"Name":"`...)
			dst = append(dst, m.name...)
			dst = append(dst, `","Unit":"`...)
			dst = append(dst, m.unit...)
			dst = append(dst, `"}`...)
			separator = ","
		}
	}
	// By the name the extension knows its own lines again.
	dst = append(dst, `]}]},"logger":"kinetel"`...)
	if name != "" {
		dst = append(dst, `,"`+dimension+`":`...)
		dst = event.AppendQuoted(dst, name)
	}
	for _, m := range metrics {
		if tellable(m.value) {
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

// of returns a number of the distribution, or one that is not told.
func (d Distribution) of(n float64) float64 {
	if d.Count == 0 {
		return math.NaN()
	}
	return n
}

// unlessZero returns a number, or one that is left out: a metric has its price, and
// an alarm takes a missing one for zero.
func unlessZero(n int64) float64 {
	if n == 0 {
		return math.NaN()
	}
	return float64(n)
}

// tellable reports whether CloudWatch takes a number: it takes none beyond 2^360
// (CloudWatch API reference, MetricDatum), and nothing here comes near that but
// by mistake.
func tellable(n float64) bool { return math.Abs(n) < 1<<63 }

// dimensionValue is a function's name as CloudWatch takes it. Lambda's own names
// are so already; on another machine they can be anything.
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
// because the monotonic one may stand still while the environment is frozen. A
// clock that was put back by as much does not silence it.
func Due(last, now time.Time) bool { return now.Round(0).Sub(last.Round(0)).Abs() >= period }
