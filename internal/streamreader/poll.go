package streamreader

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// What a shard allows to all its pollers together in a second (developer guide, quotas),
// and how often a shard without new records is read.
const (
	readInterval   = time.Second / 5
	readBytes      = 2 << 20
	idleInterval   = time.Second
	pageBytes      = 1 << 20 // of a page, about
	firstPageLimit = 4       // records, when their size is not known
	maxPageLimit   = 10_000
)

// poll reads a shard with GetRecords to its end.
func (r *Reader) poll(ctx context.Context, s *shard) error {
	var iterator *string
	limit := firstPageLimit
	for failures, throttles := 0, 0; ; {
		if iterator == nil {
			var err error
			if iterator, err = r.iterator(ctx, s); err != nil {
				return err
			}
		}
		next, err := r.page(ctx, s, iterator, limit)
		wait := readInterval
		switch expired := (*types.ExpiredIteratorException)(nil); {
		case errors.As(err, &expired): // passing records on took more than five minutes
			iterator = nil
		case err != nil:
			if throttled := (*types.ProvisionedThroughputExceededException)(nil); errors.As(err, &throttled) {
				throttles++ // other consumers may use up what the shard allows, for any time
			} else {
				failures++
			}
			if ctx.Err() != nil || !r.retryer.IsErrorRetryable(err) || failures == maxAttempts {
				return r.explain(ctx, "GetRecords", s.id, err)
			}
			if wait, err = r.retryer.RetryDelay(min(failures+throttles, maxAttempts), err); err != nil {
				return err
			}
			wait = readInterval + rand.N(wait+1) // the longest delay of the SDK has no jitter
		case next.iterator == nil || next.upToStart && !r.cfg.Follow:
			return nil
		default:
			failures, throttles, iterator, wait = 0, 0, next.iterator, next.wait
			if next.limit > 0 {
				limit = next.limit
			}
		}
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
}

func (r *Reader) iterator(ctx context.Context, s *shard) (*string, error) {
	from := s.position()
	out, err := r.client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamName: r.name, StreamARN: r.arn, ShardId: &s.id,
		ShardIteratorType: from.Type, StartingSequenceNumber: from.SequenceNumber, Timestamp: from.Timestamp,
	})
	if err != nil {
		return nil, r.explain(ctx, "GetShardIterator", s.id, err)
	}
	r.fixLatest(s)
	return out.ShardIterator, nil
}

// fixLatest makes the latest position one of time. Another request with it must not leave
// out what arrived since the first one.
func (r *Reader) fixLatest(s *shard) {
	if s.from.Type == types.ShardIteratorTypeLatest {
		s.from = Position{At: r.start.Add(-time.Second)}.startAt(r.start)
	}
}

// nextPage is how to go on after a page.
type nextPage struct {
	iterator  *string // nil: the shard has ended
	upToStart bool
	limit     int // records; 0: as before
	wait      time.Duration
}

// page reads a page and passes it on. Only a few pages are in memory at a time.
func (r *Reader) page(ctx context.Context, s *shard, iterator *string, limit int) (next nextPage, err error) {
	select {
	case r.slots <- struct{}{}:
	case <-ctx.Done():
		return next, context.Cause(ctx)
	}
	defer func() { <-r.slots }()
	began := time.Now()
	out, err := r.client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator, Limit: aws.Int32(int32(limit))},
		func(o *kinesis.Options) { o.Retryer = aws.NopRetryer{} }) // poll retries, without the slot
	if err != nil {
		return next, err
	}
	records, bytes := s.records(out.Records)
	next.iterator = out.NextShardIterator
	behind := aws.ToInt64(out.MillisBehindLatest)
	afterStart, err := r.deliver(ctx, s, records, time.Duration(behind)*time.Millisecond)
	// Servers for tests are 0 ms behind if the next record is of the same millisecond.
	idle := behind == 0 && len(out.Records) == 0
	next.upToStart = afterStart || idle
	if bytes > 0 {
		next.limit = min(max(1, pageBytes*len(out.Records)/bytes), maxPageLimit)
	}
	interval := max(readInterval, time.Second*time.Duration(bytes)/readBytes)
	if idle {
		interval = idleInterval
	}
	next.wait = interval - time.Since(began)
	return next, err
}

// records returns the records of an answer.
func (s *shard) records(from []types.Record) (all []Record, bytes int) {
	all = make([]Record, len(from))
	for i, one := range from {
		all[i] = Record{
			Data: one.Data, Shard: s.id, SequenceNumber: aws.ToString(one.SequenceNumber),
			PartitionKey: aws.ToString(one.PartitionKey), Arrival: aws.ToTime(one.ApproximateArrivalTimestamp),
		}
		bytes += len(one.Data)
	}
	return all, bytes
}
