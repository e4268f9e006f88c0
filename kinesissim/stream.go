package kinesissim

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// Stream describes a new stream.
type Stream struct {
	// Name is 1 to 128 of a-z, A-Z, 0-9, '_', '.' and '-'.
	Name string
	// Shards is how many shards share the hash keys evenly: one by default.
	Shards int
	// MaxRecordSizeKiB is how large one record's data and partition key may be, in
	// KiB: 1024 to 10240, 1024 by default.
	MaxRecordSizeKiB int
	// RetentionHours is how long records can be read: 24 to 8760, 24 by default.
	RetentionHours int

	onDemand bool // the capacity mode that CreateStream asked for
}

// Record is a record that was stored.
type Record struct {
	ShardID         string
	SequenceNumber  string // 56 decimal digits
	PartitionKey    string
	ExplicitHashKey string // decimal; empty if the partition key chose the shard
	Data            []byte // shared with the server: do not change it
	Arrival         time.Time
}

func (r *Record) size() int { return len(r.Data) + len(r.PartitionKey) }

// stream is one stream's state; the server's mutex guards it.
type stream struct {
	Stream
	id      uint64 // distinguishes a stream from an earlier one of its name
	created time.Time
	shards  []*shard  // all that ever were, by index
	open    []*shard  // those that accept records, by hash key
	arrived []*Record // of all shards, in order of arrival
	latest  time.Time // of anything that happened in the stream

	resource
	encryptionKey string   // empty without encryption
	metrics       []string // of shards, enabled

	consumers map[string]*consumer // by name
}

// hashKey is an unsigned number of 128 bits, the most significant byte first,
// so that bytes.Compare orders it.
type hashKey [16]byte

func (h hashKey) String() string { return new(big.Int).SetBytes(h[:]).String() }

// plus returns the hash key n further on, modulo 2^128.
func (h hashKey) plus(n int64) (sum hashKey) {
	wide := new(big.Int).Add(new(big.Int).SetBytes(h[:]), big.NewInt(n))
	wide.And(wide, new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 8*uint(len(h))), big.NewInt(1)))
	wide.FillBytes(sum[:])
	return sum
}

// hash returns a partition key's hash key: its MD5, read as a number.
func hash(partitionKey string) hashKey { return md5.Sum([]byte(partitionKey)) }

// parseHashKey reads an explicit hash key; false when it is over 2^128-1.
func parseHashKey(decimal string) (h hashKey, ok bool) {
	n, ok := new(big.Int).SetString(decimal, 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 8*len(h) {
		return h, false
	}
	n.FillBytes(h[:])
	return h, true
}

func newStream(spec Stream, id uint64, now time.Time) *stream {
	st := &stream{Stream: spec, id: id, created: now, consumers: map[string]*consumer{}}
	starts := uniform(spec.Shards)
	for i, start := range starts {
		// The key before the next start; after the last one, the largest key.
		st.addShard(start, starts[(i+1)%len(starts)].plus(-1), now)
	}
	return st
}

// uniform returns where each of n shards begins that share the hash keys evenly. The last
// one has the remainder of the division.
func uniform(n int) []hashKey {
	width := new(big.Int).Lsh(big.NewInt(1), 128)
	width.Div(width, big.NewInt(int64(n)))
	starts := make([]hashKey, n)
	for i := range starts {
		new(big.Int).Mul(width, big.NewInt(int64(i))).FillBytes(starts[i][:])
	}
	return starts
}

// shardOf finds the shard whose range holds a hash key.
func (st *stream) shardOf(h hashKey) *shard {
	after := sort.Search(len(st.open), func(i int) bool {
		return bytes.Compare(st.open[i].start[:], h[:]) > 0
	})
	return st.open[after-1] // the first range starts at zero
}

func (st *stream) maxRecord() int { return st.MaxRecordSizeKiB << 10 }

// advance returns the time, or the latest one if the clock has gone backwards: so there is
// one position in a shard for each time, and a shard's numbers are above its parent's.
func (st *stream) advance(now time.Time) time.Time {
	if now.Before(st.latest) {
		return st.latest
	}
	st.latest = now
	return now
}

// store appends a record.
func (st *stream) store(sh *shard, e PutEntry, now time.Time) *Record {
	now = st.advance(now)
	r := &Record{
		ShardID:         shardName(sh.index),
		SequenceNumber:  sh.sequence(uint64(len(sh.records))+1, now.Unix()),
		PartitionKey:    e.PartitionKey,
		ExplicitHashKey: e.ExplicitHashKey,
		Data:            e.Data,
		Arrival:         now,
	}
	sh.records = append(sh.records, r)
	st.arrived = append(st.arrived, r)
	return r
}

func (st *stream) retention() time.Duration {
	return time.Duration(st.RetentionHours) * time.Hour
}

// target is how a request names its stream.
type target struct {
	name, arn *string
}

func (t *target) field(name string, v value) error {
	switch name {
	case "StreamName":
		return v.into(&t.name)
	case "StreamARN":
		return v.into(&t.arn)
	}
	return nil
}

func (t *target) streamName() string {
	if t.name != nil {
		return *t.name
	}
	_, name, _ := strings.Cut(aws.ToString(t.arn), ":stream/")
	return name
}

func (t *target) validate(v *violations) {
	if t.name == nil && t.arn == nil {
		v.missing("streamName")
	}
	if t.name != nil {
		v.name(*t.name, "streamName")
	}
	if t.arn != nil {
		v.arn(*t.arn)
	}
}

const arnPattern = `arn:aws.*:kinesis:.*:\d{12}:stream/\S+`

func (v *violations) arn(s string) {
	if ok, _ := regexp.MatchString("^(?:"+arnPattern+")$", s); !ok {
		v.add(s, "streamARN", fmt.Sprintf(pattern, arnPattern))
	}
	v.length(s, "streamARN", 1, 2048)
}

// findLocked returns the stream that a request names.
func (s *Server) findLocked(t *target) (*stream, *apiError) {
	name, account := t.streamName(), s.cfg.AccountID
	if t.arn != nil {
		parts := strings.SplitN(*t.arn, ":", 6) // arn:aws:kinesis:region:account:stream/name
		own := strings.TrimPrefix(parts[5], "stream/")
		if t.name != nil && *t.name != own {
			return nil, invalidArgument("StreamARN %s and StreamName %s do not name the same stream.", *t.arn, *t.name)
		}
		if name = own; *t.arn != s.StreamARN(name) {
			return nil, s.streamNotFound(name, parts[4])
		}
	}
	st := s.streams[name]
	if st == nil {
		return nil, s.streamNotFound(name, account)
	}
	return st, nil
}

// StreamARN returns the ARN of a stream, whether the stream exists or not.
func (s *Server) StreamARN(name string) string {
	return "arn:aws:kinesis:" + s.cfg.Region + ":" + s.cfg.AccountID + ":stream/" + name
}

// Streams returns the streams by name, with their open shards.
func (s *Server) Streams() []Stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []Stream{}
	for _, name := range slices.Sorted(maps.Keys(s.streams)) {
		st := s.streams[name].Stream
		st.Shards = len(s.streams[name].open)
		all = append(all, st)
	}
	return all
}

// Records returns all records of a stream in order of arrival, or nil if there is no
// such stream. Within a shard that is also the order of sequence numbers.
func (s *Server) Records(stream string) []Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.streams[stream]
	if st == nil {
		return nil
	}
	all := make([]Record, len(st.arrived))
	for i, r := range st.arrived {
		all[i] = *r
	}
	return all
}
