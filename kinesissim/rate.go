package kinesissim

import "time"

// What one shard takes in a second, from the quotas page of the developer
// guide. The byte rate is read as a mebibyte.
const (
	shardRecords = 1000
	shardBytes   = 1 << 20
)

// bucket is a token bucket. It starts full and holds one second's worth.
type bucket struct {
	size, tokens float64 // size is also what comes back in a second
	last         time.Time
}

func newBucket(size float64) bucket { return bucket{size: size, tokens: size} }

func (b *bucket) refill(now time.Time) {
	if b.last.IsZero() {
		b.last = now
		return
	}
	// A clock that goes backwards gives nothing and takes nothing.
	if past := now.Sub(b.last); past > 0 {
		b.tokens = min(b.size, b.tokens+past.Seconds()*b.size)
		b.last = now
	}
}

// allows reports whether n tokens can be taken. More than the bucket holds can
// be taken out of a full one only, which leaves a debt: so a ten-megabyte
// record passes, and its shard is shut for ten seconds.
func (b *bucket) allows(n float64) bool {
	return b.tokens >= min(n, b.size)
}

// limiter is the intake of one shard.
type limiter struct {
	records, bytes bucket
}

func newLimiter() limiter {
	return limiter{records: newBucket(shardRecords), bytes: newBucket(shardBytes)}
}

// take lets one record of so many bytes in, or leaves both buckets as they are.
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
