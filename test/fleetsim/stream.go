package main

import (
	"math/rand/v2"
	"time"
)

const (
	// What a shard takes in a second (Kinesis quotas). What it has not taken for a
	// second is lost.
	shardBytes   = 1 << 20
	shardRecords = 1000
)

// stream is the Kinesis stream: shards that throttle. The hash of a partition key
// is even, so a key is a shard by chance.
type stream struct {
	shards []shard
	random *rand.Rand
}

type shard struct {
	bytes, records float64 // that it takes now
	filled         time.Duration
}

func newStream(shards int, random *rand.Rand) *stream {
	s := &stream{make([]shard, shards), random}
	for i := range s.shards {
		s.shards[i] = shard{bytes: shardBytes, records: shardRecords}
	}
	return s
}

// key draws a partition key.
func (s *stream) key() uint16 { return uint16(s.random.IntN(len(s.shards))) }

// take reports whether a shard takes a record of so many bytes. Times do not go
// back.
func (s *stream) take(now time.Duration, key uint16, size uint32) bool {
	one := &s.shards[key]
	since := (now - one.filled).Seconds()
	one.filled = now
	one.bytes = min(one.bytes+since*shardBytes, shardBytes)
	one.records = min(one.records+since*shardRecords, shardRecords)
	if one.bytes < float64(size) || one.records < 1 {
		return false
	}
	one.bytes -= float64(size)
	one.records--
	return true
}
