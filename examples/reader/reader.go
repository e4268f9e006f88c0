package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/kinetel/kinetel/record"
)

// reader reads one stream, shard by shard, on one goroutine.
type reader struct {
	client *kinesis.Client
	stream string // its name or its ARN
	latest bool
	follow bool
	every  time.Duration
	out    io.Writer
	log    io.Writer

	invalid int // records that are not Kinetel's, or not complete
}

// shard is how far a shard is read.
type shard struct {
	id       string
	iterator *string // where to continue; nil: the shard has ended
	last     string  // sequence number of the last record; empty: none yet
}

func (r *reader) read(ctx context.Context) error {
	shards, err := r.shards(ctx)
	if err != nil {
		return err
	}
	for len(shards) > 0 {
		idle := true
		var open []*shard
		for _, s := range shards {
			more, children, err := r.next(ctx, s)
			if err != nil {
				return fmt.Errorf("shard %s: %w", s.id, err)
			}
			idle = idle && !more
			if s.iterator != nil && (more || r.follow) {
				open = append(open, s)
			}
			if r.follow {
				// A shard that was split or merged has children.
				for _, child := range children {
					if !slices.ContainsFunc(append(shards, open...), func(s *shard) bool { return s.id == child }) {
						next := &shard{id: child}
						if err := r.begin(ctx, next, types.ShardIteratorTypeTrimHorizon); err != nil {
							return err
						}
						open = append(open, next)
					}
				}
			}
		}
		if shards = open; idle && len(shards) > 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(r.every):
			}
		}
	}
	if r.invalid > 0 {
		return fmt.Errorf("%d records are not Kinetel's, or not complete", r.invalid)
	}
	return nil
}

// shards returns the stream's shards, each with an iterator.
func (r *reader) shards(ctx context.Context) (all []*shard, err error) {
	from := types.ShardIteratorTypeTrimHorizon
	if r.latest {
		from = types.ShardIteratorTypeLatest
	}
	in := &kinesis.ListShardsInput{}
	in.StreamName, in.StreamARN = r.identifier()
	for {
		out, err := r.client.ListShards(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list the shards of %q: %w", r.stream, err)
		}
		for _, s := range out.Shards {
			one := &shard{id: aws.ToString(s.ShardId)}
			if err := r.begin(ctx, one, from); err != nil {
				return nil, err
			}
			all = append(all, one)
		}
		if out.NextToken == nil {
			return all, nil
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken} // the token includes the stream
	}
}

// identifier returns the stream as a name or as an ARN.
func (r *reader) identifier() (name, arn *string) {
	if strings.HasPrefix(r.stream, "arn:") {
		return nil, &r.stream
	}
	return &r.stream, nil
}

// begin gets an iterator: after the last record that was read, or else from the given
// position.
func (r *reader) begin(ctx context.Context, s *shard, from types.ShardIteratorType) error {
	in := &kinesis.GetShardIteratorInput{ShardId: aws.String(s.id), ShardIteratorType: from}
	in.StreamName, in.StreamARN = r.identifier()
	if s.last != "" {
		in.ShardIteratorType, in.StartingSequenceNumber = types.ShardIteratorTypeAfterSequenceNumber, aws.String(s.last)
	}
	out, err := r.client.GetShardIterator(ctx, in)
	if err != nil {
		return fmt.Errorf("get an iterator of the shard %s: %w", s.id, err)
	}
	s.iterator = out.ShardIterator
	return nil
}

// next reads the next records of a shard. It reports whether there may be more at once,
// and returns the children of a shard that has ended.
func (r *reader) next(ctx context.Context, s *shard) (more bool, children []string, err error) {
	out, err := r.client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: s.iterator})
	if expired := (*types.ExpiredIteratorException)(nil); errors.As(err, &expired) {
		// Printing took longer than five minutes.
		return true, nil, r.begin(ctx, s, types.ShardIteratorTypeTrimHorizon)
	}
	if err != nil {
		return false, nil, err
	}
	for _, one := range out.Records {
		if err := r.print(s.id, one); err != nil {
			return false, nil, err
		}
		s.last = aws.ToString(one.SequenceNumber)
	}
	for _, child := range out.ChildShards {
		children = append(children, aws.ToString(child.ShardId))
	}
	s.iterator = out.NextShardIterator
	return s.iterator != nil && aws.ToInt64(out.MillisBehindLatest) > 0, children, nil
}

// print prints the events of a record. If the record cannot be read, print logs that
// and returns no error, so that the next records are read.
func (r *reader) print(id string, one types.Record) error {
	events, err := record.Decode(one.Data)
	if err != nil {
		r.invalid++
		fmt.Fprintf(r.log, "reader: %s, record %s (partition key %q, %d bytes): %v\n", id, aws.ToString(one.SequenceNumber), aws.ToString(one.PartitionKey), len(one.Data), err)
	}
	enc := json.NewEncoder(r.out)
	enc.SetEscapeHTML(false)
	for _, e := range events {
		if err := enc.Encode(e); err != nil {
			return err
		}
	}
	return nil
}
