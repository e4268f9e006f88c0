package kinesissim

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"slices"
	"sort"
	"strings"
	"time"
)

// shard holds the records of one range of hash keys, ends included.
type shard struct {
	index      uint32
	start, end hashKey
	created    time.Time
	closed     time.Time // when it was split or merged; zero while it is open
	parents    []*shard  // one after a split, two after a merge
	children   []*shard
	records    []*Record
	limit      limiter
}

func shardName(index uint32) string { return fmt.Sprintf("shardId-%012d", index) }

// addShard opens a shard. It becomes the child of its parents, which are closed.
func (st *stream) addShard(start, end hashKey, now time.Time, parents ...*shard) *shard {
	now = st.advance(now)
	sh := &shard{
		index: uint32(len(st.shards)), start: start, end: end, created: now, parents: parents, limit: newLimiter(),
	}
	st.shards = append(st.shards, sh)
	for _, p := range parents {
		p.closed = now
		p.children = append(p.children, sh)
	}
	if parents != nil {
		st.open = slices.DeleteFunc(st.open, func(sh *shard) bool { return !sh.closed.IsZero() })
	}
	at := sort.Search(len(st.open), func(i int) bool { return bytes.Compare(st.open[i].start[:], start[:]) > 0 })
	st.open = slices.Insert(st.open, at, sh)
	return sh
}

// A sequence number is opaque to clients, but its structure shows in messages and
// in its length. So it is as in Kinesis, 47 hexadecimal digits written in decimal:
//
//	2 | creation, seconds * 16 + shard: 10 | count in the shard: 16 | 000 |
//	time of arrival, seconds: 8 | shard: 8 | 2
//
// The count makes it strictly increasing; the arrival is only informative.
func (sh *shard) sequence(count uint64, at int64) string {
	text := fmt.Sprintf("2%010x%016x000%08x%08x2", sh.created.Unix()<<4+int64(sh.index), count, uint32(at), sh.index)
	n, _ := new(big.Int).SetString(text, 16)
	return n.String()
}

// starting is the sequence number before the first record.
func (sh *shard) starting() string { return sh.sequence(0, sh.created.Unix()) }

// ending is the sequence number after the last record; empty while the shard is open.
func (sh *shard) ending() string {
	if sh.closed.IsZero() {
		return ""
	}
	return sh.sequence(math.MaxInt64, sh.closed.Unix())
}

// position finds a sequence number in the shard: the index of the first record
// at or after it. ok is false if the number is not of this shard.
func (sh *shard) position(decimal string) (index int, exact, ok bool) {
	switch decimal {
	case sh.starting():
		return 0, false, true
	case sh.ending():
		return len(sh.records), false, true
	}
	i, found := slices.BinarySearchFunc(sh.records, decimal, func(r *Record, want string) int {
		return compareDecimal(r.SequenceNumber, want)
	})
	return i, found, found
}

func compareDecimal(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// horizon is the index of the oldest record that is still within retention.
func (sh *shard) horizon(now time.Time, retention time.Duration) int {
	oldest := now.Add(-retention)
	return sort.Search(len(sh.records), func(i int) bool {
		return !sh.records[i].Arrival.Before(oldest)
	})
}
