package ledger

import (
	"encoding/json"
	"strconv"
)

// Exclusion is why an event from Lambda is not shipped, although nothing failed.
type Exclusion uint8

// The exclusions. An event has at most one: the first that applies, in this order.
const (
	OwnLog         Exclusion = iota // Kinetel's own log: shipping it would add more of it
	Unredactable                    // a setting of redaction cannot be used, so no line may leave
	PlatformEvents                  // not in KINETEL_PLATFORM_EVENTS
	Level                           // below KINETEL_LEVEL
	Exclude                         // matches KINETEL_EXCLUDE
	Include                         // does not match KINETEL_INCLUDE
	MaxLines                        // beyond KINETEL_MAX_LINES of its invocation
	MaxBytes                        // beyond KINETEL_MAX_BYTES of its invocation
	SampledOut                      // KINETEL_SAMPLE left its invocation out
	exclusions
)

// String returns the name of the exclusion in kinetel.report and kinetel.invocation.
func (x Exclusion) String() string {
	return [exclusions]string{"ownLog", "redaction", "platformEvents", "level", "exclude", "include", "maxLines", "maxBytes", "sampledOut"}[x]
}

// LeftOut counts events that were left out. They have no sequence number.
type LeftOut [exclusions]int64

// Total returns the sum of all.
func (l *LeftOut) Total() (n int64) {
	for _, count := range l {
		n += count
	}
	return n
}

// Plus returns the sum of both.
func (l LeftOut) Plus(other LeftOut) LeftOut {
	for x := range l {
		l[x] += other[x]
	}
	return l
}

// MarshalJSON returns an object with the counts that are not 0, by name.
func (l LeftOut) MarshalJSON() ([]byte, error) {
	dst := []byte{'{'}
	for x, count := range l {
		if count > 0 {
			if len(dst) > 1 {
				dst = append(dst, ',')
			}
			dst = append(append(append(dst, '"'), Exclusion(x).String()...), `":`...)
			dst = strconv.AppendInt(dst, count, 10)
		}
	}
	return append(dst, '}'), nil
}

// Selected is what selection decided for an invocation.
type Selected struct {
	// SampleRate is the share of ordinary invocations that sampling keeps; 0 if it is
	// off.
	SampleRate json.Number `json:"sampleRate,omitempty"`
	// Sampled is why the lines of the invocation were kept, or SampledNot.
	Sampled Sampled  `json:"sampled,omitempty"`
	LeftOut *LeftOut `json:"leftOut,omitempty"` // of its events; nil: none
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
