// Package wallclock measures time by the wall clock. Lambda may freeze the process
// between invocations, and then the monotonic clock, by which Go's time package
// measures, may stand still. The wall clock goes on, but it can be set.
package wallclock

import "time"

// Now returns the time without a monotonic clock reading, so that differences between
// two such times are by the wall clock (Go documentation, package time, Monotonic
// Clocks).
func Now() time.Time { return time.Now().Round(0) }

// Since returns how long ago t was.
func Since(t time.Time) time.Duration { return Sub(time.Now(), t) }

// Sub returns the time from before to after. Both may have a monotonic clock reading.
func Sub(after, before time.Time) time.Duration { return after.Round(0).Sub(before.Round(0)) }
