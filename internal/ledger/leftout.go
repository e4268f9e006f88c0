package ledger

import (
	"encoding/json"

	"github.com/kinetel/kinetel/internal/jsontext"
)

// Exclusion is why an event from Lambda is not shipped, although nothing failed.
type Exclusion uint8

// The exclusions. An event has at most one: the first that applies, in this order.
const (
	OwnLog         Exclusion = iota // Kinetel's own log: shipping it would add more of it
	Redaction                       // a setting of redaction cannot be used, so no line may leave
	PlatformEvents                  // not in KINETEL_PLATFORM_EVENTS
	Level                           // below KINETEL_LEVEL
	Exclude                         // matches KINETEL_EXCLUDE
	Include                         // does not match KINETEL_INCLUDE
	MaxLines                        // beyond KINETEL_MAX_LINES of its invocation
	MaxBytes                        // beyond KINETEL_MAX_BYTES of its invocation
	SampledOut                      // KINETEL_SAMPLE left its invocation out
	exclusions
)

// LeftOut counts events that were left out, by exclusion. They have no sequence number.
type LeftOut struct {
	OwnLog         int64 `json:"ownLog,omitempty"`
	Redaction      int64 `json:"redaction,omitempty"`
	PlatformEvents int64 `json:"platformEvents,omitempty"`
	Level          int64 `json:"level,omitempty"`
	Exclude        int64 `json:"exclude,omitempty"`
	Include        int64 `json:"include,omitempty"`
	MaxLines       int64 `json:"maxLines,omitempty"`
	MaxBytes       int64 `json:"maxBytes,omitempty"`
	SampledOut     int64 `json:"sampledOut,omitempty"`
}

// counts returns the counts in the order of the exclusions.
func (l *LeftOut) counts() [exclusions]*int64 {
	return [...]*int64{&l.OwnLog, &l.Redaction, &l.PlatformEvents, &l.Level, &l.Exclude, &l.Include, &l.MaxLines, &l.MaxBytes, &l.SampledOut}
}

// Add counts events.
func (l *LeftOut) Add(x Exclusion, n int64) { *l.counts()[x] += n }

// AddAll adds the counts of other.
func (l *LeftOut) AddAll(other *LeftOut) {
	counts := l.counts()
	for x, n := range other.counts() {
		*counts[x] += *n
	}
}

// Total returns the sum of all counts.
func (l *LeftOut) Total() (sum int64) {
	for _, n := range l.counts() {
		sum += *n
	}
	return sum
}

// write adds the counts that are not 0 to a body, as the member leftOut.
func (l *LeftOut) write(o *jsontext.Object) {
	before := o.OmitEmpty
	o.OmitEmpty = true
	o.Begin("leftOut")
	for x, name := range [exclusions]string{"ownLog", "redaction", "platformEvents", "level", "exclude", "include", "maxLines", "maxBytes", "sampledOut"} {
		o.Int(name, *l.counts()[x])
	}
	o.End()
	o.OmitEmpty = before
}

// Selected is what selection decided for an invocation.
type Selected struct {
	// SampleRate is the share of ordinary invocations that sampling keeps; 0 if it is
	// off.
	SampleRate json.Number
	// Sampled is why the lines of the invocation were kept, or SampledNot.
	Sampled Sampled
	LeftOut *LeftOut // of its events; nil: none
}

// Write adds what is known to the body of a kinetel.invocation.
func (s *Selected) Write(o *jsontext.Object) {
	o.Raw("sampleRate", []byte(s.SampleRate))
	o.String("sampled", string(s.Sampled))
	if s.LeftOut != nil {
		s.LeftOut.write(o)
	}
}

// Sampled is the decision of sampling for an invocation.
type Sampled string

// The decisions. All but the last keep the lines.
const (
	SampledShare   Sampled = "share"   // the invocation is in the share
	SampledError   Sampled = "error"   // the function failed, or logged an error
	SampledTimeout Sampled = "timeout" // it timed out
	SampledCold    Sampled = "cold"    // it waited for an init or a restore
	SampledSlow    Sampled = "slow"    // it took long
	SampledMarked  Sampled = "marked"  // a line has the mark
	SampledBuffer  Sampled = "buffer"  // there was no memory to wait for a decision
	SampledEnd     Sampled = "end"     // the environment ended before a decision
	SampledNot     Sampled = "out"     // the lines are left out
)
