package ship

import (
	"time"

	"kinetel/internal/kinesis"
	"kinetel/internal/pack"
)

const (
	// baseDelay and maxDelay bound the waits between attempts: a random
	// share (full jitter) of a time that doubles.
	baseDelay = 50 * time.Millisecond
	maxDelay  = 5 * time.Second
	// openAfter is how many attempts in a row fail until the breaker opens, or
	// openAfterTime how long they do: one that is never answered takes as long
	// as five that are refused at once.
	openAfter     = 5
	openAfterTime = 3 * time.Second
	// probeDelay and maxProbeDelay bound the waits between probes while the
	// breaker is open. What somebody has to mend, such as a missing
	// permission, waits for the longest at once.
	probeDelay    = time.Second
	maxProbeDelay = 30 * time.Second
	// firstWindow is what the first request after a probe may carry. It
	// doubles with each one that goes through, up to maxWindow: four of those
	// are what a shard takes in a second.
	firstWindow = 64 << 10
	maxWindow   = 256 << 10
	// shardRate is what a shard takes a second (Kinesis quotas). A backlog is
	// sent no faster, or a recovering stream would throttle what everybody
	// has kept for it.
	shardRate = 1 << 20
	// tellPartlyAfter is how many attempts in a row leave records behind before
	// it is told: a throttled shard is no news for a while.
	tellPartlyAfter = 20
	// maxPartlyDoubled bounds the waits where some records go through each time.
	maxPartlyDoubled = 3
	// maxPatience bounds them where somebody waits.
	maxPatience = 500 * time.Millisecond
	// maxStrikes is how many holds in a row end before their records have left.
	// Then nobody is held until a request has gone through within the time that
	// they waited, or at all after forgiveAfter: they may have had less time than
	// others.
	maxStrikes   = 2
	forgiveAfter = time.Minute
)

// state is what the breaker thinks of Kinesis.
type state int

const (
	closed     state = iota // it takes records, or a failure is young
	open                    // it does not: probes only
	recovering              // it does again, and there is a backlog
)

// breaker decides how fast to send, and whether anybody should wait for it. It
// is not safe for concurrent use.
type breaker struct {
	state    state
	class    kinesis.Class // of the last failure; meaningful with failures only
	failures int           // attempts in a row that did not go through as a whole
	since    time.Time     // when the first of them did not
	doubled  int           // how often the wait between attempts has doubled
	window   int           // bytes that a request may carry; not while closed
	backlog  int64         // bytes that are left of what waited; recovering only
}

// refused reports whether somebody has to mend what is wrong.
func (b *breaker) refused() bool {
	return b.failures > 0 && (b.class == kinesis.Denied || b.class == kinesis.Credentials)
}

// throttled reports whether Kinesis works, and has too much to do.
func (b *breaker) throttled() bool { return b.failures > 0 && b.class == kinesis.Throttled }

// failed notes an attempt that took so long and failed as a whole. It reports
// whether that has opened the breaker.
func (b *breaker) failed(now time.Time, took time.Duration, class kinesis.Class) (opened bool) {
	if b.failures++; b.since.IsZero() {
		b.since = now.Add(-took)
	}
	b.class = class
	b.doubled++
	// Round strips the monotonic reading: a frozen environment gets older.
	if b.state == closed && !b.refused() && b.failures < openAfter && now.Round(0).Sub(b.since.Round(0)) < openAfterTime {
		return false
	}
	if opened = b.state == closed; opened {
		b.window = maxBytes
	}
	if b.state != open {
		b.doubled = 0
	}
	b.state, b.window = open, max(b.window/2, firstWindow)
	return opened
}

// partly notes an attempt that went through for some records; so many bytes are
// left.
func (b *breaker) partly(now time.Time, left int64) {
	if b.failures++; b.since.IsZero() {
		b.since = now
	}
	b.class = kinesis.Throttled
	// It goes on, if slowly: the waits stay short.
	b.doubled = min(b.doubled+1, maxPartlyDoubled)
	switch b.state {
	case open:
		b.state, b.window, b.backlog = recovering, firstWindow, left
	case recovering:
		b.window = max(b.window/2, firstWindow)
	case closed:
	}
}

// succeeded notes an attempt that went through as a whole: so many bytes are
// gone, and so many are left. It reports whether the trouble is over.
func (b *breaker) succeeded(gone, left int64) (over bool) {
	b.doubled = 0
	switch b.state {
	case open:
		b.state, b.window, b.backlog = recovering, firstWindow, left
	case recovering:
		// No further than the backlog: what came since is not its fault.
		b.window, b.backlog = min(2*b.window, maxWindow), b.backlog-gone
	case closed:
	}
	if b.state == recovering && b.backlog > 0 && left > 0 {
		return false
	}
	b.state, b.failures, b.since = closed, 0, time.Time{}
	return true
}

// limits returns how many records and bytes the next request may carry.
func (b *breaker) limits() (records, bytes int) {
	switch {
	case b.state == closed:
		return kinesis.MaxRecords, maxBytes
	case b.state == open && !b.throttled():
		return 1, maxBytes // a probe
	}
	return kinesis.MaxRecords, b.window
}

// delay returns how long to wait after a failure. left is the time that
// somebody has who waits for the records; 0: nobody does.
func (b *breaker) delay(left time.Duration) time.Duration {
	var delay time.Duration
	switch {
	case b.state == open && b.refused():
		// Spread, because all environments of a function meet the same refusal.
		return maxProbeDelay/2 + jitter(maxProbeDelay/2)
	case b.state == open && !b.throttled():
		most := min(probeDelay<<min(b.doubled, 5), maxProbeDelay)
		delay = most/2 + jitter(most/2)
	default:
		most := min(baseDelay<<min(max(b.doubled-1, 0), 7), maxDelay)
		if b.state == open {
			most = maxDelay // it is throttled for long
		}
		delay = jitter(most) + time.Millisecond
	}
	if left > 0 {
		// Who has only so much time needs several attempts in it, the more
		// often the less is left.
		delay = min(delay, jitter(min(left/4, maxPatience)+time.Millisecond))
	}
	return delay
}

// pace returns how long to wait after a batch that went through, so that a
// backlog is not a burst.
func (b *breaker) pace(batch []*pack.Record) time.Duration {
	if b.state != recovering {
		return 0
	}
	bytes := 0
	for _, r := range batch {
		bytes += r.Size()
	}
	least := time.Duration(bytes) * time.Second / shardRate
	return least + jitter(least/2+1)
}
