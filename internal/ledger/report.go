package ledger

import "encoding/json"

// Report is the body of a kinetel.report event: what became of everything that
// a process took in, up to then. Events that it counts are
//
//	received + own + parts + recovered = shipped + lost + waiting
type Report struct {
	Final    bool  `json:"final"`    // the environment ends with it
	UptimeMs int64 `json:"uptimeMs"` // of the process

	Received  Count `json:"received"`  // from Lambda
	Own       int64 `json:"own"`       // events of Kinetel's own
	Parts     int64 `json:"parts"`     // that events in parts are more than one
	Recovered int64 `json:"recovered"` // left by earlier processes in the same environment

	Shipped Shipped          `json:"shipped"` // Kinesis has them
	Lost    map[Reason]int64 `json:"lost"`    // told by kinetel.loss
	Waiting int64            `json:"waiting"` // in memory or on disk
	Spooled Spooled          `json:"spooled"` // of these, on disk

	Requests   int64     `json:"requests"`     // PutRecords
	Retried    int64     `json:"retried"`      // records that had to be sent again
	Unknown    int64     `json:"unknown"`      // requests that no answer came to
	PutLatency Quantiles `json:"putLatencyMs"` // of requests
	Held       Held      `json:"held"`

	LeftOut LeftOut `json:"leftOut"` // of what Lambda sent, before it was numbered

	LogsDropped Dropped `json:"logsDropped"` // by Lambda, before they came
}

// LeftOut counts events that are not shipped, and not lost either.
type LeftOut struct {
	// OwnLog is Kinetel's own log, which Lambda sends it where the stream
	// extension is subscribed: shipping it would make more of it.
	OwnLog int64 `json:"ownLog"`
}

// Count counts events, and the bytes of their records as Lambda sent them.
type Count struct {
	Events int64 `json:"events"`
	Bytes  int64 `json:"bytes"`
}

// Shipped counts what Kinesis has; Bytes are as Kinesis counts them.
type Shipped struct {
	Events  int64 `json:"events"`
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
}

// Spooled counts what waits on disk; Bytes are those of all files.
type Spooled struct {
	Events  int64 `json:"events"`
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
}

// Held is how long invocations were held after their runtime was done.
type Held struct {
	Invocations int64     `json:"invocations"` // all
	Held        int64     `json:"held"`        // of these, the ones that were held
	Ms          Quantiles `json:"ms"`          // of all, 0 where they were not held
}

// Dropped adds up Lambda's platform.logsDropped events.
type Dropped struct {
	Times   int64 `json:"times"`
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
}

// Add adds the record of a platform.logsDropped event. Numbers that it does not
// have count as none.
func (d *Dropped) Add(record []byte) {
	var r struct {
		Records float64 `json:"droppedRecords"`
		Bytes   float64 `json:"droppedBytes"`
	}
	// What is no number leaves the other one; the event itself is shipped as
	// it is.
	_ = json.Unmarshal(record, &r)
	d.Times++
	d.Records += whole(r.Records)
	d.Bytes += whole(r.Bytes)
}

// whole is n as a count. What no buffer of Lambda's can have held counts as that
// much: a sum must not overflow.
func whole(n float64) int64 { return int64(min(max(n, 0), 1<<40)) }

// JSON returns the report as JSON.
func (r Report) JSON() []byte {
	if r.Lost == nil {
		r.Lost = map[Reason]int64{}
	}
	// It holds numbers and text only, which always can be written.
	b, _ := json.Marshal(r)
	return b
}
