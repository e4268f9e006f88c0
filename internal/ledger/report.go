package ledger

import (
	"encoding/json"
	"sort"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// Report is the body of a kinetel.report event: what became of all events that a
// process has ingested so far. The counts of events satisfy
//
//	received + own + parts + recovered = shipped + lost + waiting + leftOut
type Report struct {
	Final    bool  `json:"final"`    // the environment ends after it
	UptimeMs int64 `json:"uptimeMs"` // of the process

	Received  Count `json:"received"`  // from Lambda
	Own       int64 `json:"own"`       // events of Kinetel's own
	Parts     int64 `json:"parts"`     // parts of events beyond the first of each
	Recovered int64 `json:"recovered"` // from earlier processes in the same environment

	Shipped Volume           `json:"shipped"` // acknowledged by Kinesis, bytes as it counts them
	Lost    map[Reason]int64 `json:"lost"`    // reported by kinetel.loss
	Waiting int64            `json:"waiting"` // in memory or on disk
	Spooled Volume           `json:"spooled"` // of the waiting, on disk; bytes of all files

	Requests   int64     `json:"requests"`     // PutRecords
	Retried    int64     `json:"retried"`      // records that had to be sent again
	Unknown    int64     `json:"unknown"`      // requests without a response
	PutLatency Quantiles `json:"putLatencyMs"` // of requests
	Held       Held      `json:"held"`

	LeftOut  LeftOut          `json:"leftOut"`            // of the received and the recovered, before numbering
	Redacted map[string]int64 `json:"redacted,omitempty"` // values that were replaced, by the name of the pattern

	LogsDropped Dropped `json:"logsDropped"` // by Lambda, before delivery
}

// Count counts events, and the bytes of their records as Lambda sent them.
type Count struct {
	Events int64 `json:"events"`
	Bytes  int64 `json:"bytes"`
}

// Volume is an amount of telemetry in records.
type Volume struct {
	Events  int64 `json:"events"`
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
}

// Held is how long invocations were held after their runtime was done.
type Held struct {
	Invocations int64     `json:"invocations"` // all
	Held        int64     `json:"held"`        // of these, those that were held
	Ms          Quantiles `json:"ms"`          // of all; 0 for those that were not held
}

// Dropped adds up Lambda's platform.logsDropped events.
type Dropped struct {
	Times   int64 `json:"times"`
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
}

// Add adds a platform.logsDropped event.
func (d *Dropped) Add(ev *event.Platform) {
	d.Times++
	d.Records += whole(ev.DroppedRecords)
	d.Bytes += whole(ev.DroppedBytes)
}

// whole returns a number as a count, at least 0 and at most 1<<40. No buffer of Lambda's
// is that large, and a sum must not overflow.
func whole(number json.Number) int64 {
	n, _ := number.Float64() // 0 if there is no number
	return int64(min(max(n, 0), 1<<40))
}

// JSON returns the report as JSON.
func (r Report) JSON() []byte {
	var o jsontext.Object
	o.Bool("final", r.Final)
	o.Int("uptimeMs", r.UptimeMs)
	o.Begin("received")
	o.Int("events", r.Received.Events)
	o.Int("bytes", r.Received.Bytes)
	o.End()
	o.Int("own", r.Own)
	o.Int("parts", r.Parts)
	o.Int("recovered", r.Recovered)
	r.Shipped.write(&o, "shipped")
	o.Raw("lost", CountsJSON(r.Lost))
	o.Int("waiting", r.Waiting)
	r.Spooled.write(&o, "spooled")
	o.Int("requests", r.Requests)
	o.Int("retried", r.Retried)
	o.Int("unknown", r.Unknown)
	r.PutLatency.write(&o, "putLatencyMs")
	o.Begin("held")
	o.Int("invocations", r.Held.Invocations)
	o.Int("held", r.Held.Held)
	r.Held.Ms.write(&o, "ms")
	o.End()
	r.LeftOut.write(&o)
	if len(r.Redacted) > 0 {
		o.Raw("redacted", CountsJSON(r.Redacted))
	}
	o.Begin("logsDropped")
	o.Int("times", r.LogsDropped.Times)
	o.Int("records", r.LogsDropped.Records)
	o.Int("bytes", r.LogsDropped.Bytes)
	o.End()
	return o.JSON()
}

func (v *Volume) write(o *jsontext.Object, name string) {
	o.Begin(name)
	o.Int("events", v.Events)
	o.Int("records", v.Records)
	o.Int("bytes", v.Bytes)
	o.End()
}

func (q *Quantiles) write(o *jsontext.Object, name string) {
	o.Begin(name)
	o.Float("p50", q.P50)
	o.Float("p99", q.P99)
	o.Float("max", q.Max)
	o.End()
}

// CountsJSON returns counts as a JSON object, sorted by name.
func CountsJSON[K ~string](counts map[K]int64) []byte {
	names := make([]string, 0, len(counts))
	for name := range counts {
		names = append(names, string(name))
	}
	sort.Strings(names)
	var o jsontext.Object
	for _, name := range names {
		o.Int(name, counts[K(name)])
	}
	return o.JSON()
}
