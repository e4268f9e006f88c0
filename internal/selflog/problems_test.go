package selflog

import (
	"testing"
	"time"
)

// A clock that was set back must not suppress a problem until it has caught up. A
// test cannot reproduce what a freeze does to the monotonic clock.
func TestTheClockIsSetBack(t *testing.T) {
	var ps problems
	p := problem{Message: "no"}
	ps.seen(p)
	ps.seen(p)
	ps.known[p].written = time.Now().Add(time.Hour)
	if write, repeated, _ := ps.seen(p); !write || repeated != 1 {
		t.Errorf("written %v, repeated %d, want it written with a count of 1", write, repeated)
	}
}
