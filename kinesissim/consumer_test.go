package kinesissim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/kinesissim"
)

func register(t testing.TB, sim *kinesissim.Server, c *kinesis.Client, name string) *types.Consumer {
	t.Helper()
	out := must[*kinesis.RegisterStreamConsumerOutput](t)(c.RegisterStreamConsumer(t.Context(), &kinesis.RegisterStreamConsumerInput{
		StreamARN: aws.String(sim.StreamARN("s")), ConsumerName: &name,
	}))
	return out.Consumer
}

func TestConsumers(t *testing.T) {
	t.Parallel()
	clock := newClock()
	sim := start(t, kinesissim.Config{Now: clock.Now, Streams: []kinesissim.Stream{{Name: "s"}}})
	c, ctx, arn := client(t, sim), t.Context(), aws.String(sim.StreamARN("s"))
	b := register(t, sim, c, "b")
	register(t, sim, c, "a")
	if want := sim.StreamARN("s") + fmt.Sprintf("/consumer/b:%d", clock.Now().Unix()); *b.ConsumerARN != want || b.ConsumerStatus != types.ConsumerStatusActive {
		t.Errorf("%s is %s, want %s", *b.ConsumerARN, b.ConsumerStatus, want)
	}
	_, err := c.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: arn, ConsumerName: aws.String("a")})
	wantError[*types.ResourceInUseException](t, err)

	for name, in := range map[string]*kinesis.DescribeStreamConsumerInput{
		"by its ARN":                       {ConsumerARN: b.ConsumerARN},
		"by its name and the stream's ARN": {StreamARN: arn, ConsumerName: aws.String("b")},
	} {
		d := must[*kinesis.DescribeStreamConsumerOutput](t)(c.DescribeStreamConsumer(ctx, in)).ConsumerDescription
		if *d.ConsumerName != "b" || *d.StreamARN != *arn || !d.ConsumerCreationTimestamp.Equal(clock.Now()) {
			t.Errorf("%s: %s of %s, created %s", name, *d.ConsumerName, *d.StreamARN, d.ConsumerCreationTimestamp)
		}
	}
	_, err = c.DescribeStreamConsumer(ctx, &kinesis.DescribeStreamConsumerInput{ConsumerName: aws.String("b")})
	wantError[*types.InvalidArgumentException](t, err)

	var listed []string
	pages := kinesis.NewListStreamConsumersPaginator(c, &kinesis.ListStreamConsumersInput{StreamARN: arn, MaxResults: aws.Int32(1)})
	for pages.HasMorePages() {
		for _, consumer := range must[*kinesis.ListStreamConsumersOutput](t)(pages.NextPage(ctx)).Consumers {
			listed = append(listed, *consumer.ConsumerName)
		}
	}
	if diff := cmp.Diff([]string{"a", "b"}, listed); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	if _, err := c.DeregisterStreamConsumer(ctx, &kinesis.DeregisterStreamConsumerInput{ConsumerARN: b.ConsumerARN}); err != nil {
		t.Fatal(err)
	}
	_, err = c.DescribeStreamConsumer(ctx, &kinesis.DescribeStreamConsumerInput{ConsumerARN: b.ConsumerARN})
	wantError[*types.ResourceNotFoundException](t, err)
	for i := range 19 {
		register(t, sim, c, fmt.Sprintf("c-%d", i))
	}
	_, err = c.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: arn, ConsumerName: aws.String("z")})
	wantError[*types.LimitExceededException](t, err)
	summary := must[*kinesis.DescribeStreamSummaryOutput](t)(c.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamARN: arn}))
	if n := *summary.StreamDescriptionSummary.ConsumerCount; n != 20 {
		t.Errorf("%d consumers", n)
	}
}

// subscribe opens a subscription with the SDK. It ends with the test. Each subscription has a
// client of its own: those of one client race for a buffer in smithy-go 1.28.8.
func subscribe(t testing.TB, sim *kinesissim.Server, consumer *types.Consumer, shard string, at *types.StartingPosition) *kinesis.SubscribeToShardEventStream {
	t.Helper()
	out := must[*kinesis.SubscribeToShardOutput](t)(client(t, sim).SubscribeToShard(t.Context(), &kinesis.SubscribeToShardInput{
		ConsumerARN: consumer.ConsumerARN, ShardId: &shard, StartingPosition: at,
	}))
	t.Cleanup(func() { _ = out.GetStream().Close() })
	return out.GetStream()
}

// next returns the next event of a subscription, or nil at its end.
func next(s *kinesis.SubscribeToShardEventStream) *types.SubscribeToShardEvent {
	e, ok := (<-s.Events()).(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent)
	if !ok {
		return nil
	}
	return &e.Value
}

func data(e *types.SubscribeToShardEvent) (all []string) {
	for _, r := range e.Records {
		all = append(all, string(r.Data))
	}
	return all
}

func horizon() *types.StartingPosition {
	return &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}
}

func TestSubscription(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	c, ctx := client(t, sim), t.Context()
	consumer := register(t, sim, c, "tail")
	first := must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", []byte("1")))
	events := subscribe(t, sim, consumer, shardID(0), horizon())
	e := next(events)
	if diff := cmp.Diff([]string{"1"}, data(e)); diff != "" || *e.ContinuationSequenceNumber != *first.SequenceNumber || *e.MillisBehindLatest != 0 {
		t.Errorf("continue at %s, %d ms behind; (-want +got)\n%s", *e.ContinuationSequenceNumber, *e.MillisBehindLatest, diff)
	}
	// Records come as they are stored.
	for _, text := range []string{"2", "3"} {
		must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", []byte(text)))
		if diff := cmp.Diff([]string{text}, data(next(events))); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
	if err := split(ctx, c, "s", shardID(0), middle); err != nil {
		t.Fatal(err)
	}
	e = next(events)
	if len(e.ChildShards) != 2 || *e.ChildShards[1].ShardId != shardID(2) || e.ContinuationSequenceNumber != nil {
		t.Errorf("at the end of the shard: %d children, continue at %v", len(e.ChildShards), e.ContinuationSequenceNumber)
	}
	if e := next(events); e != nil || events.Err() != nil {
		t.Errorf("after the end: %v, %v", e, events.Err())
	}
}

func TestSubscriptionFromAPosition(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	c, ctx := client(t, sim), t.Context()
	var numbers []*string
	for _, text := range []string{"1", "2", "3"} {
		numbers = append(numbers, must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", []byte(text))).SequenceNumber)
	}
	for i, tc := range []struct {
		at   types.StartingPosition
		want []string
	}{
		{types.StartingPosition{Type: types.ShardIteratorTypeLatest}, nil},
		{types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: numbers[1]}, []string{"3"}},
		{types.StartingPosition{Type: types.ShardIteratorTypeAtSequenceNumber, SequenceNumber: numbers[1]}, []string{"2", "3"}},
		{types.StartingPosition{Type: types.ShardIteratorTypeAtTimestamp, Timestamp: aws.Time(time.Unix(0, 0))}, []string{"1", "2", "3"}},
	} {
		consumer := register(t, sim, c, fmt.Sprint("c", i))
		if diff := cmp.Diff(tc.want, data(next(subscribe(t, sim, consumer, shardID(0), &tc.at)))); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", tc.at.Type, diff)
		}
	}
}

// A subscription is replaced by another one of the same consumer, but not within five
// seconds. After five minutes it ends.
func TestSubscriptionEnds(t *testing.T) {
	t.Parallel()
	clock := newClock()
	sim := start(t, kinesissim.Config{Now: clock.Now, Streams: []kinesissim.Stream{{Name: "s"}}})
	c, ctx := client(t, sim), t.Context()
	consumer := register(t, sim, c, "tail")
	again := func() error {
		_, err := c.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{
			ConsumerARN: consumer.ConsumerARN, ShardId: aws.String(shardID(0)), StartingPosition: horizon(),
		})
		return err
	}
	first := subscribe(t, sim, consumer, shardID(0), horizon())
	next(first)
	clock.Advance(5*time.Second - 1)
	wantError[*types.ResourceInUseException](t, again())
	clock.Advance(1)
	second := subscribe(t, sim, consumer, shardID(0), horizon())
	if e := next(first); e != nil {
		t.Errorf("the replaced subscription has an event: %v", e)
	}
	wantError[*types.ResourceInUseException](t, first.Err())

	next(second)
	clock.Advance(5 * time.Minute)
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", []byte("late")))
	if e := next(second); e != nil || second.Err() != nil {
		t.Errorf("after five minutes: %v, %v", e, second.Err())
	}

	third := subscribe(t, sim, consumer, shardID(0), horizon())
	next(third)
	must[*kinesis.DeregisterStreamConsumerOutput](t)(c.DeregisterStreamConsumer(ctx, &kinesis.DeregisterStreamConsumerInput{ConsumerARN: consumer.ConsumerARN}))
	if e := next(third); e != nil {
		t.Errorf("after the consumer was removed: %v", e)
	}
	wantError[*types.ResourceNotFoundException](t, third.Err())
	wantError[*types.ResourceNotFoundException](t, again())
}

func TestSubscriptionEndsWithTheServerAndWithItsClient(t *testing.T) {
	t.Parallel()
	sim := must[*kinesissim.Server](t)(kinesissim.Start(t.Context(), kinesissim.Config{Streams: []kinesissim.Stream{{Name: "s", Shards: 2}}}))
	c := client(t, sim)
	consumer := register(t, sim, c, "tail")
	ctx, cancel := context.WithCancel(t.Context())
	out := must[*kinesis.SubscribeToShardOutput](t)(c.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{
		ConsumerARN: consumer.ConsumerARN, ShardId: aws.String(shardID(0)), StartingPosition: horizon(),
	}))
	next(out.GetStream())
	cancel()
	other := subscribe(t, sim, consumer, shardID(1), horizon())
	next(other)
	if err := sim.Close(); err != nil { // it waits for both
		t.Fatal(err)
	}
	if e := next(other); e != nil {
		t.Errorf("after Close: %v", e)
	}
	_ = out.GetStream().Close()
}

func TestSubscriptionErrors(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	c, ctx := client(t, sim), t.Context()
	consumer := register(t, sim, c, "tail")
	for name, tc := range map[string]struct {
		in   kinesis.SubscribeToShardInput
		code string
	}{
		"another consumer": {kinesis.SubscribeToShardInput{ConsumerARN: aws.String(*consumer.ConsumerARN + "0"), ShardId: aws.String(shardID(0)), StartingPosition: horizon()}, "ResourceNotFoundException"},
		"another shard":    {kinesis.SubscribeToShardInput{ConsumerARN: consumer.ConsumerARN, ShardId: aws.String(shardID(1)), StartingPosition: horizon()}, "ResourceNotFoundException"},
		"no ARN":           {kinesis.SubscribeToShardInput{ConsumerARN: aws.String("tail"), ShardId: aws.String(shardID(0)), StartingPosition: horizon()}, "ValidationException"},
		"a type that does not exist": {kinesis.SubscribeToShardInput{
			ConsumerARN: consumer.ConsumerARN, ShardId: aws.String(shardID(0)), StartingPosition: &types.StartingPosition{Type: "NOW"},
		}, "ValidationException"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.SubscribeToShard(ctx, &tc.in)
			wantCode(t, err, tc.code)
		})
	}
	sim.SetIntercept(kinesissim.ForOperation("SubscribeToShard", kinesissim.AnswerInOrder(kinesissim.Throttle(), kinesissim.DropAnswer())))
	in := kinesis.SubscribeToShardInput{ConsumerARN: consumer.ConsumerARN, ShardId: aws.String(shardID(0)), StartingPosition: horizon()}
	_, err := c.SubscribeToShard(ctx, &in)
	wantCode(t, err, throughputExceeded)
	if _, err := c.SubscribeToShard(ctx, &in); !errors.Is(err, io.EOF) {
		t.Errorf("DropAnswer: %v", err)
	}
}
