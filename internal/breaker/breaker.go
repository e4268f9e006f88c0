// Package breaker decides how fast to send records to Kinesis, how long to wait
// after a failure, and whether to hold the environment for a request. It has no
// clock, lock or random source of its own, so the shipper and the simulations in
// test/ run the same decisions.
package breaker

import (
	"time"

	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/wallclock"
)

const (
	// MaxBytes bounds a request below Kinesis' own limit. A shard takes 1 MiB a
	// second, so more would only be throttled, and the body is in memory
	// besides the buffer.
	MaxBytes = 2 << 20
	// AttemptTimeout bounds one request. A busy 128 MB function has only a
	// fraction of a core for its TLS handshake.
	AttemptTimeout = 5 * time.Second
	// NewKeyAfter is how often a record is throttled before it gets another
	// partition key, and with it perhaps another shard, if readers rely on the shard.
	// Other records get another one each time: that drains the backlogs of a fleet
	// sooner (docs/evidence/fleet.md).
	NewKeyAfter = 8
)

const (
	// baseDelay and maxDelay bound the waits between attempts: a random
	// share (full jitter) of a time that doubles.
	baseDelay = 50 * time.Millisecond
	maxDelay  = 5 * time.Second
	// The breaker opens after openAfter failed attempts in a row, or when
	// attempts have failed for openAfterTime: one attempt without an answer
	// counts as much as five that are refused at once.
	openAfter     = 5
	openAfterTime = 3 * time.Second
	// probeDelay and maxProbeDelay bound the waits between probes while the
	// breaker is open. After an error that an operator has to fix, such as a
	// missing permission, the wait is the longest from the start.
	probeDelay    = time.Second
	maxProbeDelay = 30 * time.Second
	// firstWindow is how many bytes the first request after a probe may carry.
	// The window doubles with each successful request, up to maxWindow. A
	// shard takes four requests of maxWindow a second.
	firstWindow = 64 << 10
	maxWindow   = 256 << 10
	// shardRate is how many bytes a shard takes a second (Kinesis quotas). A
	// backlog is sent no faster: otherwise a recovering stream would throttle
	// the backlogs of all environments.
	shardRate = 1 << 20
	// maxPartlyDoubled bounds how often the wait doubles while each attempt
	// succeeds for some records.
	maxPartlyDoubled = 3
	// maxUrgentDelay bounds the waits while a caller waits for the records.
	maxUrgentDelay = 500 * time.Millisecond
	// maxFloor bounds the shortest wait after a request that may have stored
	// its records: each further attempt may store another copy. The shortest
	// wait begins with baseDelay and doubles.
	maxFloor = 400 * time.Millisecond
)

// state is the state of a Breaker.
type state int

const (
	closed     state = iota // Kinesis accepts records, or has failed only recently
	open                    // Kinesis does not accept records: send probes only
	recovering              // Kinesis accepts records again, and there is a backlog
)

// Breaker is the circuit breaker of one environment for one stream. It is not
// safe for concurrent use.
type Breaker struct {
	// jitter returns a random duration below its argument, which is positive.
	jitter func(time.Duration) time.Duration

	state    state
	class    kinesis.Class // of the last failure; valid only if failures > 0
	failures int           // attempts in a row that failed in whole or in part
	since    time.Time     // when the first of them failed
	doubled  int           // how often the wait between attempts has doubled
	window   int           // bytes that a request may carry; unused while closed
	backlog  int64         // bytes of the backlog still to send; only while recovering
}

// New returns a closed Breaker. jitter returns a random duration below
// its argument, which is positive.
func New(jitter func(time.Duration) time.Duration) Breaker { return Breaker{jitter: jitter} }

// Closed reports whether Kinesis accepts records, or has failed only recently.
func (b *Breaker) Closed() bool { return b.state == closed }

// Open reports whether Kinesis does not accept records.
func (b *Breaker) Open() bool { return b.state == open }

// Refused reports whether the last failure needs an operator to fix it.
func (b *Breaker) Refused() bool {
	return b.failures > 0 && (b.class == kinesis.Denied || b.class == kinesis.Credentials)
}

// Failures returns how many attempts in a row failed in whole or in part, and
// when the first of them failed.
func (b *Breaker) Failures() (n int, since time.Time) { return b.failures, b.since }

// throttled reports whether Kinesis throttles.
func (b *Breaker) throttled() bool { return b.failures > 0 && b.class == kinesis.Throttled }

// Failed records an attempt that failed as a whole after took. It reports
// whether this opened the breaker.
func (b *Breaker) Failed(now time.Time, took time.Duration, class kinesis.Class) (opened bool) {
	if b.failures++; b.since.IsZero() {
		b.since = now.Add(-took)
	}
	b.class = class
	b.doubled++
	// By the wall clock: time passes in a frozen environment, too.
	if b.state == closed && !b.Refused() && b.failures < openAfter && wallclock.Sub(now, b.since) < openAfterTime {
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

// Partly records an attempt that succeeded for some records only. remaining is
// how many bytes are still to send.
func (b *Breaker) Partly(now time.Time, remaining int64) {
	if b.failures++; b.since.IsZero() {
		b.since = now
	}
	b.class = kinesis.Throttled
	// Kinesis stores some records, so the waits stay short.
	b.doubled = min(b.doubled+1, maxPartlyDoubled)
	switch b.state {
	case open:
		b.state, b.window, b.backlog = recovering, firstWindow, remaining
	case recovering:
		b.window = max(b.window/2, firstWindow)
	case closed:
	}
}

// Succeeded records an attempt that succeeded as a whole. sent is how many bytes
// it carried, and remaining how many are still to send. It reports whether the
// breaker is closed now.
func (b *Breaker) Succeeded(sent, remaining int64) (over bool) {
	b.doubled = 0
	switch b.state {
	case open:
		b.state, b.window, b.backlog = recovering, firstWindow, remaining
	case recovering:
		// Only the backlog counts: newer records do not keep the breaker from closing.
		b.window, b.backlog = min(2*b.window, maxWindow), b.backlog-sent
	case closed:
	}
	if b.state == recovering && b.backlog > 0 && remaining > 0 {
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

// Delay returns how long to wait after a failure. timeLeft is how much time a
// caller that waits for the records has; 0: no caller waits.
func (b *Breaker) Delay(timeLeft time.Duration) time.Duration {
	var delay time.Duration
	switch {
	case b.state == open && b.Refused():
		// Random, because all environments of a function get the same refusal.
		return maxProbeDelay/2 + b.jitter(maxProbeDelay/2)
	case b.state == open && !b.throttled():
		most := min(probeDelay<<min(b.doubled, 5), maxProbeDelay)
		delay = most/2 + b.jitter(most/2)
	default:
		most := min(baseDelay<<min(max(b.doubled-1, 0), 7), maxDelay)
		if b.state == open {
			most = maxDelay // Kinesis has throttled for long
		}
		delay = b.jitter(most) + time.Millisecond
	}
	if timeLeft > 0 {
		// Several attempts must fit in the time left. The less time is left,
		// the shorter the waits.
		delay = min(delay, b.jitter(min(timeLeft/4, maxUrgentDelay)+time.Millisecond))
	}
	if b.failures > 0 && b.class == kinesis.Transient {
		floor := min(baseDelay<<min(b.failures-1, 7), maxFloor)
		delay = max(delay, floor+b.jitter(floor/2))
	}
	return delay
}

// Pace returns how long to wait after a successful batch of so many bytes, so
// that a backlog is not sent as a burst.
func (b *Breaker) Pace(bytes int64) time.Duration {
	if b.state != recovering {
		return 0
	}
	least := time.Duration(bytes) * time.Second / shardRate
	return least + b.jitter(least/2+1)
}
