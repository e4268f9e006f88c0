package wallclock_test

import (
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/wallclock"
)

func TestTimesHaveNoMonotonicReading(t *testing.T) {
	now := wallclock.Now()
	if now != now.Round(0) { // == compares the reading too
		t.Errorf("%s has a monotonic clock reading", now)
	}
}

func TestTheWallClockCountsWhenItIsSet(t *testing.T) {
	// Of two times that both have a monotonic reading, Go compares that one. UnixMilli
	// drops it, as a freeze leaves it behind.
	before := time.Now()
	frozen := time.UnixMilli(before.Add(time.Hour).UnixMilli())
	if got := wallclock.Sub(frozen, before).Round(time.Second); got != time.Hour {
		t.Errorf("an hour of a freeze counts as %s", got)
	}
	if got := wallclock.Since(time.Now().Add(-time.Minute)).Round(time.Second); got != time.Minute {
		t.Errorf("a minute ago is %s ago", got)
	}
}
