package kinesissim

import "time"

// What one shard accepts and returns in a second (developer guide, quotas). The guide's
// megabyte is a mebibyte here.
const (
	shardRecords   = 1000
	shardBytes     = 1 << 20
	shardReads     = 5 // GetRecords requests
	shardReadBytes = 2 << 20
)

// bucket is a token bucket. It starts full and holds one second's worth.
type bucket struct {
	size, tokens float64 // size is also how many tokens a second adds
	last         time.Time
}

func newBucket(size float64) bucket { return bucket{size: size, tokens: size} }

func (b *bucket) refill(now time.Time) {
	if b.last.IsZero() {
		b.last = now
		return
	}
	// A clock that goes backwards adds and removes nothing.
	if past := now.Sub(b.last); past > 0 {
		b.tokens = min(b.size, b.tokens+past.Seconds()*b.size)
		b.last = now
	}
}

// allows reports whether n tokens can be taken. More than the size can be taken out
// of a full bucket only, which leaves it below zero: so a record of ten megabytes
// passes, and its shard accepts nothing for ten seconds.
func (b *bucket) allows(n float64) bool {
	return b.tokens >= min(n, b.size)
}

// limiter limits the rate of one shard.
type limiter struct {
	records, bytes   bucket
	reads, readBytes bucket
}

func newLimiter() limiter {
	return limiter{
		records: newBucket(shardRecords), bytes: newBucket(shardBytes),
		reads: newBucket(shardReads), readBytes: newBucket(shardReadBytes),
	}
}

// mayRead takes the token of one GetRecords, or reports false.
func (l *limiter) mayRead(now time.Time) bool {
	l.reads.refill(now)
	l.readBytes.refill(now)
	if !l.reads.allows(1) || l.readBytes.tokens <= 0 {
		return false
	}
	l.reads.tokens--
	return true
}

// haveRead takes the tokens of what a GetRecords returned. If it returned more than it
// could, the shard cannot be read for the time that all of it takes: five seconds after
// 10 MiB, as the API reference says.
func (l *limiter) haveRead(bytes int) {
	if l.readBytes.tokens -= float64(bytes); l.readBytes.tokens < 0 {
		l.readBytes.tokens = -float64(bytes)
	}
}

// take takes the tokens of one record, or none and reports false.
func (l *limiter) take(now time.Time, bytes int) bool {
	l.records.refill(now)
	l.bytes.refill(now)
	if !l.records.allows(1) || !l.bytes.allows(float64(bytes)) {
		return false
	}
	l.records.tokens--
	l.bytes.tokens -= float64(bytes)
	return true
}
