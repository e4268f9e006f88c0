// Package breaker decides how fast records are sent to Kinesis, how long to wait
// after a failure, and whether anybody should be held for it. It has no clock, no
// lock and no randomness of its own: the shipper and the simulations of test/ run
// the same decisions.
package breaker

import (
	"time"

	"kinetel/internal/kinesis"
)

const (
	// MaxBytes bounds a request below Kinesis' own limit: a shard takes
	// 1 MiB a second, so more would only be throttled, and its body is held
	// in memory beside the buffer.
	MaxBytes = 2 << 20
	// AttemptTimeout bounds one request. A 128 MB function at work has a
	// fraction of a core for its TLS handshake.
	AttemptTimeout = 5 * time.Second
	// NewKeyAfter is how often a record is throttled until it gets another
	// partition key, and with it perhaps another shard.
	NewKeyAfter = 8
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
	// maxPartlyDoubled bounds the waits where some records go through each time.
	maxPartlyDoubled = 3
	// maxPatience bounds them where somebody waits.
	maxPatience = 500 * time.Millisecond
	// maxFloor bounds the least wait after a request that may have stored its
	// records, which begins with baseDelay and doubles: each further attempt may be
	// one more copy of them.
	maxFloor = 400 * time.Millisecond
)

// state is what the breaker thinks of Kinesis.
type state int

const (
	closed     state = iota // it takes records, or a failure is young
	open                    // it does not: probes only
	recovering              // it does again, and there is a backlog
)

// Breaker is one stream's, as one environment sees it. It is not safe for
// concurrent use.
type Breaker struct {
	// jitter returns a random duration below its argument, which is positive.
	jitter func(time.Duration) time.Duration

	state    state
	class    kinesis.Class // of the last failure; meaningful with failures only
	failures int           // attempts in a row that did not go through as a whole
	since    time.Time     // when the first of them did not
	doubled  int           // how often the wait between attempts has doubled
	window   int           // bytes that a request may carry; not while closed
	backlog  int64         // bytes that are left of what waited; recovering only
}

// New returns a Breaker that is closed. jitter returns a random duration below
// its argument, which is positive.
func New(jitter func(time.Duration) time.Duration) Breaker { return Breaker{jitter: jitter} }

// Closed reports whether Kinesis takes records, or a failure is young.
func (b *Breaker) Closed() bool { return b.state == closed }

// Open reports whether Kinesis does not take records.
func (b *Breaker) Open() bool { return b.state == open }

// Refused reports whether somebody has to mend what is wrong.
func (b *Breaker) Refused() bool {
	return b.failures > 0 && (b.class == kinesis.Denied || b.class == kinesis.Credentials)
}

// Failures returns how many attempts in a row did not go through as a whole, and
// when the first of them did not.
func (b *Breaker) Failures() (n int, since time.Time) { return b.failures, b.since }

// throttled reports whether Kinesis works, and has too much to do.
func (b *Breaker) throttled() bool { return b.failures > 0 && b.class == kinesis.Throttled }

// Failed notes an attempt that took so long and failed as a whole. It reports
// whether that has opened the breaker.
func (b *Breaker) Failed(now time.Time, took time.Duration, class kinesis.Class) (opened bool) {
	if b.failures++; b.since.IsZero() {
		b.since = now.Add(-took)
	}
	b.class = class
	b.doubled++
	// Round strips the monotonic reading: a frozen environment gets older.
	if b.state == closed && !b.Refused() && b.failures < openAfter && now.Round(0).Sub(b.since.Round(0)) < openAfterTime {
		return false
	}
	if opened = b.state == closed; opened {
		b.window = MaxBytes
	}
	if b.state != open {
		b.doubled = 0
	}
	b.state, b.window = open, max(b.window/2, firstWindow)
	return opened
}

// Partly notes an attempt that went through for some records; so many bytes are
// left.
func (b *Breaker) Partly(now time.Time, left int64) {
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

// Succeeded notes an attempt that went through as a whole: so many bytes are
// gone, and so many are left. It reports whether the trouble is over.
func (b *Breaker) Succeeded(gone, left int64) (over bool) {
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

// Limits returns how many records and bytes the next request may carry.
func (b *Breaker) Limits() (records, bytes int) {
	switch {
	case b.state == closed:
		return kinesis.MaxRecords, MaxBytes
	case b.state == open && !b.throttled():
		return 1, MaxBytes // a probe
	}
	return kinesis.MaxRecords, b.window
}

// Delay returns how long to wait after a failure. left is the time that
// somebody has who waits for the records; 0: nobody does.
func (b *Breaker) Delay(left time.Duration) time.Duration {
	var delay time.Duration
	switch {
	case b.state == open && b.Refused():
		// Spread, because all environments of a function meet the same refusal.
		return maxProbeDelay/2 + b.jitter(maxProbeDelay/2)
	case b.state == open && !b.throttled():
		most := min(probeDelay<<min(b.doubled, 5), maxProbeDelay)
		delay = most/2 + b.jitter(most/2)
	default:
		most := min(baseDelay<<min(max(b.doubled-1, 0), 7), maxDelay)
		if b.state == open {
			most = maxDelay // it is throttled for long
		}
		delay = b.jitter(most) + time.Millisecond
	}
	if left > 0 {
		// Who has only so much time needs several attempts in it, the more
		// often the less is left.
		delay = min(delay, b.jitter(min(left/4, maxPatience)+time.Millisecond))
	}
	if b.failures > 0 && b.class == kinesis.Transient {
		floor := min(baseDelay<<min(b.failures-1, 7), maxFloor)
		delay = max(delay, floor+b.jitter(floor/2))
	}
	return delay
}

// Pace returns how long to wait after a batch of so many bytes that went through,
// so that a backlog is not a burst.
func (b *Breaker) Pace(bytes int64) time.Duration {
	if b.state != recovering {
		return 0
	}
	least := time.Duration(bytes) * time.Second / shardRate
	return least + b.jitter(least/2+1)
}
