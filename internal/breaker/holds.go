package breaker

import (
	"time"

	"github.com/kinetel/kinetel/internal/wallclock"
)

const (
	// maxUnproductive is how many holds in a row may end before any record is
	// sent. After that there are no holds until a request succeeds within the
	// time that the longest of those holds waited. After resetAfter any
	// successful request is enough: those holds may have had less time than
	// others.
	maxUnproductive = 2
	resetAfter      = time.Minute
)

// Holds decides whether Kinesis is fast enough to hold the environment for a
// request. The zero value has had no unproductive hold. It is not safe for
// concurrent use.
type Holds struct {
	unproductive int           // holds in a row that ended before any record was sent
	waited       time.Duration // the longest of them
	last         time.Time     // when the last of them ended
}

// Unproductive records a hold that ended now, after waited, before any record
// was sent.
func (h *Holds) Unproductive(now time.Time, waited time.Duration) {
	h.unproductive++
	h.last = now
	h.waited = max(h.waited, waited)
}

// Answered records a request that succeeded now, after took.
func (h *Holds) Answered(now time.Time, took time.Duration) {
	// By the wall clock: time passes in a frozen environment, too.
	if h.unproductive > 0 && (took <= h.waited || wallclock.Sub(now, h.last) > resetAfter) {
		h.unproductive, h.waited = 0, 0 // a hold may succeed again
	}
}

// Exhausted reports whether holds are no use for now.
func (h *Holds) Exhausted() bool { return h.unproductive >= maxUnproductive }
