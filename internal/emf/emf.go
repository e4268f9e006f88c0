// Package emf writes figures as lines in CloudWatch's embedded metric format.
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
	maxValues    = 100  // values of a metric in one line (Specification: Embedded metric format)
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

	Held       []time.Duration // how long each invocation was held
	PutLatency []time.Duration // how long each request took

	BufferBytes  int64   // bytes that wait in memory at the end of the period
	BufferUse    float64 // the same, in per cent of the memory that the buffer may use
	SpooledBytes int64   // bytes on disk at the end of the period

	SettingsReplaced int64 // values of variables that could not be used; 0: no metric
}

// metric is a metric of the lines. Without a unit it is only a member.
type metric struct {
	name, unit string
	values     []float64
}

// Append appends figures as lines. Each figure is a metric except BufferBytes, which is
// only a member: BufferUse has the same information, and every metric of a function
// costs money. The durations are arrays of values, so that CloudWatch computes
// percentiles over all environments of a function. If there are more of them than a
// line may have, the lines after the first have the rest.
func Append(dst []byte, at time.Time, functionName string, f Figures) []byte {
	var replaced []float64
	if f.SettingsReplaced > 0 { // a metric costs money, and an alarm treats a missing one as zero
		replaced = number(float64(f.SettingsReplaced))
	}
	metrics := []metric{
		{"EventsShipped", count, number(float64(f.Shipped))},
		{"EventsLost", count, number(float64(f.Lost))},
		{"RecordsRetried", count, number(float64(f.Retried))},
		{"BytesShipped", bytes, number(float64(f.BytesShipped))},
		{"Held", milliseconds, inMilliseconds(f.Held)},
		{"PutLatency", milliseconds, inMilliseconds(f.PutLatency)},
		{"BufferUse", percent, number(f.BufferUse)},
		{"SpooledBytes", bytes, number(float64(f.SpooledBytes))},
		{"SettingsReplaced", count, replaced},
		{"BufferBytes", "", number(float64(f.BufferBytes))},
	}
	for more := true; more; {
		dst = appendLine(dst, at, dimensionValue(functionName), metrics)
		more = false
		for i := range metrics {
			m := &metrics[i]
			m.values = m.values[min(len(m.values), maxValues):]
			more = more || len(m.values) > 0
		}
	}
	return dst
}

// appendLine appends a line with the first values of each metric that has any.
func appendLine(dst []byte, at time.Time, functionName string, metrics []metric) []byte {
	dst = append(dst, `{"_aws":{"Timestamp":`...)
	dst = strconv.AppendInt(dst, at.UnixMilli(), 10)
	dst = append(dst, `,"CloudWatchMetrics":[{"Namespace":"`+Namespace+`","Dimensions":[[`...)
	if functionName != "" { // a dimension must have a value
		dst = append(dst, `"`+dimension+`"`...)
	}
	dst = append(dst, `]],"Metrics":[`...)
	separator := ""
	for _, m := range metrics {
		if len(m.values) > 0 && m.unit != "" {
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
	if functionName != "" {
		dst = append(dst, `,"`+dimension+`":`...)
		dst = jsontext.AppendQuote(dst, functionName)
	}
	for _, m := range metrics {
		if len(m.values) > 0 {
			dst = append(dst, `,"`...)
			dst = append(dst, m.name...)
			dst = append(dst, `":`...)
			dst = appendValues(dst, m.values[:min(len(m.values), maxValues)])
		}
	}
	return append(dst, "}\n"...)
}

// appendValues appends one value as a number, and several values as an array.
func appendValues(dst []byte, values []float64) []byte {
	if len(values) > 1 {
		dst = append(dst, '[')
	}
	for i, v := range values {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendFloat(dst, v, 'f', -1, 64)
	}
	if len(values) > 1 {
		dst = append(dst, ']')
	}
	return dst
}

// number returns n as the value of a metric. It returns no value if CloudWatch would
// reject the whole line because of n: if n is NaN, infinite or beyond 2^360
// (CloudWatch API reference, MetricDatum). The bound here is lower: only a mistake can
// make a larger number.
func number(n float64) []float64 {
	if math.Abs(n) < 1<<63 {
		return []float64{n}
	}
	return nil
}

// inMilliseconds returns durations in milliseconds, rounded to a tenth: each digit of
// a log line costs money. CloudWatch computes no percentiles if a value is negative.
func inMilliseconds(durations []time.Duration) []float64 {
	values := make([]float64, len(durations))
	for i, d := range durations {
		values[i] = float64(max(d, 0).Round(time.Millisecond/10).Microseconds()) / 1000
	}
	return values
}

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
