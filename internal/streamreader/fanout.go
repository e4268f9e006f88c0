package streamreader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
)

const (
	consumerInterval = time.Second
	consumerActive   = time.Minute     // a new consumer is active within it
	resubscribe      = 5 * time.Second // from one subscription of a shard to the next (API reference, SubscribeToShard)
	deregisterLimit  = 5 * time.Second
)

// register registers the consumer and waits until it is active.
func (r *Reader) register(ctx context.Context) error {
	if r.arn == nil {
		out, err := r.client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: r.name})
		if err != nil {
			return r.explain(ctx, "DescribeStreamSummary", "", err)
		}
		r.arn = out.StreamDescriptionSummary.StreamARN
	}
	out, err := r.client.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: r.arn, ConsumerName: &r.cfg.Consumer})
	if inUse := (*types.ResourceInUseException)(nil); errors.As(err, &inUse) {
		return fmt.Errorf("the stream has a consumer %q already: choose another name, or remove it if nothing uses it: %s", r.cfg.Consumer, r.removal())
	}
	if err != nil {
		return r.explain(ctx, "RegisterStreamConsumer", "", err)
	}
	r.consumer = out.Consumer.ConsumerARN
	for waited, status := time.Duration(0), out.Consumer.ConsumerStatus; status != types.ConsumerStatusActive; waited += consumerInterval {
		if waited >= consumerActive {
			err = fmt.Errorf("the consumer %q is still %s after %v: try again later", r.cfg.Consumer, status, consumerActive)
		} else if err = sleep(ctx, consumerInterval); err == nil {
			var described *kinesis.DescribeStreamConsumerOutput
			if described, err = r.client.DescribeStreamConsumer(ctx, &kinesis.DescribeStreamConsumerInput{ConsumerARN: r.consumer}); err == nil {
				status = described.ConsumerDescription.ConsumerStatus
				continue
			}
			err = r.explain(ctx, "DescribeStreamConsumer", "", err)
		}
		return errors.Join(err, r.deregister(ctx))
	}
	return nil
}

// deregister removes the consumer, also if ctx has ended: it costs money.
func (r *Reader) deregister(ctx context.Context) error {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), deregisterLimit)
	defer stop()
	_, err := r.client.DeregisterStreamConsumer(ctx, &kinesis.DeregisterStreamConsumerInput{ConsumerARN: r.consumer})
	if err != nil {
		return fmt.Errorf("%w; the consumer %q is billed until you remove it: %s",
			r.explain(ctx, "DeregisterStreamConsumer", "", err), r.cfg.Consumer, r.removal())
	}
	return nil
}

// removal is the command that removes the consumer.
func (r *Reader) removal() string {
	return fmt.Sprintf("aws kinesis deregister-stream-consumer --stream-arn %s --consumer-name %s", aws.ToString(r.arn), r.cfg.Consumer)
}

// subscribe reads a shard with subscriptions, each of which ends after five minutes.
func (r *Reader) subscribe(ctx context.Context, s *shard) error {
	client := r.newClient() // subscriptions of one client race in smithy-go 1.28.8
	for failures := 0; ; {
		from := s.position()
		began := time.Now()
		out, err := client.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{ConsumerARN: r.consumer, ShardId: &s.id, StartingPosition: &from})
		r.fixLatest(s)
		received, subscribed := false, err == nil
		if subscribed {
			var done bool
			received, done, err = r.events(ctx, s, out.GetStream())
			if done && err == nil {
				return nil
			}
		}
		if received {
			failures = 0
		}
		if err != nil {
			failures++
			inUse := (*types.ResourceInUseException)(nil)
			passes := errors.As(err, &inUse) || r.retryer.IsErrorRetryable(err) || errors.Is(err, io.ErrUnexpectedEOF) || subscribed && !isClientFault(err)
			if ctx.Err() != nil || failures == maxAttempts || !passes {
				return r.explain(ctx, "SubscribeToShard", s.id, err)
			}
		}
		if err := sleep(ctx, resubscribe-time.Since(began)); err != nil {
			return err
		}
	}
}

// isClientFault reports whether Kinesis refuses a request of which a repetition is no
// better. A subscription that ends for another reason, such as a cut connection, is made
// again.
func isClientFault(err error) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && api.ErrorFault() == smithy.FaultClient
}

// events passes on what a subscription sends. received reports whether it sent something,
// and done whether the shard need not be read on.
func (r *Reader) events(ctx context.Context, s *shard, stream *kinesis.SubscribeToShardEventStream) (received, done bool, err error) {
	defer stream.Close()
	for {
		select {
		case <-ctx.Done():
			return received, false, context.Cause(ctx)
		case event, ok := <-stream.Events():
			if !ok {
				return received, false, stream.Err()
			}
			e, ok := event.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent)
			if !ok {
				continue // a later version of the protocol
			}
			received = true
			records, _ := s.records(e.Value.Records)
			behind := aws.ToInt64(e.Value.MillisBehindLatest)
			afterStart, err := r.deliver(ctx, s, records, time.Duration(behind)*time.Millisecond)
			if err != nil {
				return received, false, err
			}
			if e.Value.ContinuationSequenceNumber == nil || !r.cfg.Follow && (afterStart || behind == 0) {
				return received, true, nil
			}
			s.last = *e.Value.ContinuationSequenceNumber
		}
	}
}
