package breaker

import "time"

const (
	// maxVain is how many holds in a row end before their records have left.
	// Then nobody is held until a request has gone through within the time that
	// they waited, or at all after forgiveAfter: they may have had less time than
	// others.
	maxVain      = 2
	forgiveAfter = time.Minute
)

// Holds decides whether Kinesis is fast enough to hold anybody for it. The zero
// value has held nobody in vain. It is not safe for concurrent use.
type Holds struct {
	unproductive   int           // holds in a row that ended before anything went through
	waited time.Duration // the longest of them
	last   time.Time     // when the last of them ended
}

// Vain notes a hold that ended now, after so long, before anything went through.
func (h *Holds) Unproductive(now time.Time, waited time.Duration) {
	h.unproductive++
	h.last = now
	h.waited = max(h.waited, waited)
}

// Answered notes a request that went through now, and took so long.
func (h *Holds) Answered(now time.Time, took time.Duration) {
	// Round strips the monotonic reading: a frozen environment gets older.
	if h.unproductive > 0 && (took <= h.waited || now.Round(0).Sub(h.last.Round(0)) > forgiveAfter) {
		h.unproductive, h.waited = 0, 0 // it would be worth waiting for
	}
}

// Hopeless reports whether nobody should be held.
func (h *Holds) Exhausted() bool { return h.unproductive >= maxVain }
