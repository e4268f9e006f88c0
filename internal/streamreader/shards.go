package streamreader

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// The states of a shard.
const (
	waiting = iota // for its parents
	started
	ended
)

// shard is how far a shard is read. One goroutine reads it.
type shard struct {
	id      string
	parents []string
	from    types.StartingPosition
	last    string // sequence number of the last record; empty: none yet

	state  int           // guarded by Reader.mu
	behind time.Duration // guarded by Reader.mu
}

// position returns where to continue.
func (s *shard) position() types.StartingPosition {
	if s.last != "" {
		return types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: &s.last}
	}
	return s.from
}

// list adds the shards that are not known yet. Those that are found later are children of
// known ones.
func (r *Reader) list(ctx context.Context) error {
	in := &kinesis.ListShardsInput{StreamName: r.name, StreamARN: r.arn}
	first := r.start.IsZero()
	for {
		out, err := r.client.ListShards(ctx, in, func(o *kinesis.Options) {
			if first { // the error of a wrong command line must not take long
				o.Retryer = retry.AddWithMaxAttempts(r.retryer, firstAttempts)
			}
		})
		if err != nil {
			return r.explain(ctx, "ListShards", "", err)
		}
		if r.start.IsZero() {
			// The clock of this machine may be wrong. The server's has seconds only.
			r.start = time.Now()
			if at, ok := middleware.GetServerTime(out.ResultMetadata); ok {
				r.start = at.Add(time.Second)
			}
		}
		r.add(out.Shards, first)
		if out.NextToken == nil {
			return nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken} // the token includes the stream
	}
}

func (r *Reader) add(all []types.Shard, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, one := range all {
		s := &shard{id: aws.ToString(one.ShardId), from: types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}}
		if r.shards[s.id] != nil {
			continue
		}
		for _, parent := range []*string{one.ParentShardId, one.AdjacentParentShardId} {
			if parent != nil {
				s.parents = append(s.parents, *parent)
			}
		}
		closed := one.SequenceNumberRange != nil && one.SequenceNumberRange.EndingSequenceNumber != nil
		switch {
		case first:
			s.from = r.cfg.From.startAt(r.start.Add(-time.Second))
			if r.cfg.From.Latest && closed {
				s.state = ended
			}
		case !slices.ContainsFunc(s.parents, func(id string) bool { return r.shards[id] != nil }):
			continue // the reader began after it ended
		}
		r.shards[s.id] = s
	}
}

// ready returns the shards that can be started, in order, and marks them as started.
func (r *Reader) ready() (all []*shard) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.shards {
		blocked := slices.ContainsFunc(s.parents, func(id string) bool { return r.shards[id] != nil && r.shards[id].state != ended })
		if s.state == waiting && !blocked {
			s.state = started
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *shard) int { return cmp.Compare(a.id, b.id) })
	return all
}
