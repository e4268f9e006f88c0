package kinesislocal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/test/sandbox"
)

// The embedded Kinesis and kinesis-local answer the same requests alike: about shards that
// are split and merged, about reading them, and about consumers. Texts differ, and so do
// numbers that contain the time.
func TestTheEmbeddedKinesisAnswersAlike(t *testing.T) {
	local, _ := startKinesis(t, 1)
	sim, err := kinesissim.Start(t.Context(), kinesissim.Config{
		Region: region, AccountID: "000000000000", Streams: []kinesissim.Stream{{Name: sandbox.Stream, Shards: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	embedded := kinesis.New(kinesis.Options{
		Region: region, BaseEndpoint: aws.String(sim.URL()), Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "not-a-secret", ""),
	})
	want, got := answers(t, local), answers(t, embedded)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-kinesis-local +kinesissim)\n%s", diff)
	}
}

// player sends requests to a Kinesis and writes down its answers.
type player struct {
	t   *testing.T
	ctx context.Context
	c   *kinesis.Client
	log []string
}

func (p *player) note(format string, args ...any) {
	p.log = append(p.log, fmt.Sprintf(format, args...))
}

// outcome notes the error of a request, and waits until the stream is active.
func (p *player) outcome(what string, err error) {
	p.t.Helper()
	code := "ok"
	if api := smithy.APIError(nil); errors.As(err, &api) {
		code = api.ErrorCode()
	} else if err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
	switch what {
	case "split 0 at 2000", "merge 1 and 3 again", "scale to 9", "scale to 1":
		// Emulators disagree about the type of these errors, and AWS does not
		// document it.
		if err != nil {
			code = "refused"
		}
	}
	p.note("%s: %s", what, code)
	err = kinesis.NewStreamExistsWaiter(p.c, func(o *kinesis.StreamExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 20*time.Millisecond, 100*time.Millisecond
	}).Wait(p.ctx, &kinesis.DescribeStreamInput{StreamName: aws.String(sandbox.Stream)}, time.Minute)
	if err != nil {
		p.t.Fatal(err)
	}
}

func answers(t *testing.T, c *kinesis.Client) []string {
	t.Helper()
	p := &player{t: t, ctx: t.Context(), c: c}
	p.put("before")
	p.reshard()
	p.put("after")
	for _, kind := range []types.ShardFilterType{types.ShardFilterTypeAtLatest, types.ShardFilterTypeFromTrimHorizon} {
		p.list(&types.ShardFilter{Type: kind})
	}
	p.readAll()
	p.scale()
	p.consumers()
	return p.log
}

func (p *player) put(data string) {
	for _, hashKey := range []string{"0", "5000", "340282366920938463463374607431768211455"} {
		out, err := p.c.PutRecord(p.ctx, &kinesis.PutRecordInput{
			StreamName: aws.String(sandbox.Stream), PartitionKey: aws.String("k"), ExplicitHashKey: &hashKey, Data: []byte(data + " " + hashKey),
		})
		if err != nil {
			p.t.Fatal(err)
		}
		p.note("put %s %s into %s", data, hashKey, *out.ShardId)
	}
}

func (p *player) reshard() {
	id := func(n int) *string { return aws.String(fmt.Sprintf("shardId-%012d", n)) }
	split := func(shard int, at string) {
		_, err := p.c.SplitShard(p.ctx, &kinesis.SplitShardInput{StreamName: aws.String(sandbox.Stream), ShardToSplit: id(shard), NewStartingHashKey: &at})
		p.outcome(fmt.Sprintf("split %d at %s", shard, at), err)
	}
	merge := func(what string, shard, adjacent int) {
		_, err := p.c.MergeShards(p.ctx, &kinesis.MergeShardsInput{StreamName: aws.String(sandbox.Stream), ShardToMerge: id(shard), AdjacentShardToMerge: id(adjacent)})
		p.outcome(what, err)
	}
	split(0, "1000")
	split(0, "2000")
	split(2, "100000")
	split(9, "2000")
	merge("merge 1 and 4", 1, 4)
	merge("merge 1 and 3", 1, 3)
	merge("merge 1 and 3 again", 1, 3)
}

func (p *player) list(filter *types.ShardFilter) {
	out, err := p.c.ListShards(p.ctx, &kinesis.ListShardsInput{StreamName: aws.String(sandbox.Stream), ShardFilter: filter})
	if err != nil {
		p.t.Fatal(err)
	}
	slices.SortFunc(out.Shards, func(a, b types.Shard) int { return strings.Compare(*a.ShardId, *b.ShardId) })
	for _, s := range out.Shards {
		p.note("%s: %s of [%s %s], %s to %s, open %t", filter.Type, *s.ShardId, aws.ToString(s.ParentShardId), aws.ToString(s.AdjacentParentShardId),
			*s.HashKeyRange.StartingHashKey, *s.HashKeyRange.EndingHashKey, s.SequenceNumberRange.EndingSequenceNumber == nil)
	}
}

// readAll reads each shard to its end.
func (p *player) readAll() {
	out, err := p.c.ListShards(p.ctx, &kinesis.ListShardsInput{StreamName: aws.String(sandbox.Stream)})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, s := range out.Shards {
		it, err := p.c.GetShardIterator(p.ctx, &kinesis.GetShardIteratorInput{
			StreamName: aws.String(sandbox.Stream), ShardId: s.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			p.t.Fatal(err)
		}
		var records []string
		for next := it.ShardIterator; ; {
			page, err := p.c.GetRecords(p.ctx, &kinesis.GetRecordsInput{ShardIterator: next, Limit: aws.Int32(1)})
			if err != nil {
				p.t.Fatal(err)
			}
			for _, r := range page.Records {
				records = append(records, string(r.Data))
			}
			next = page.NextShardIterator
			if next == nil || len(page.Records) == 0 {
				var children []string
				for _, child := range page.ChildShards {
					children = append(children, fmt.Sprint(*child.ShardId, child.ParentShards))
				}
				slices.Sort(children)
				p.note("%s has %q, ended %t, children %q", *s.ShardId, records, next == nil, children)
				break
			}
		}
	}
}

func (p *player) scale() {
	for _, count := range []int32{4, 9, 1, 2} {
		_, err := p.c.UpdateShardCount(p.ctx, &kinesis.UpdateShardCountInput{
			StreamName: aws.String(sandbox.Stream), TargetShardCount: &count, ScalingType: types.ScalingTypeUniformScaling,
		})
		p.outcome(fmt.Sprintf("scale to %d", count), err)
		summary, err := p.c.DescribeStreamSummary(p.ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(sandbox.Stream)})
		if err != nil {
			p.t.Fatal(err)
		}
		p.note("%d open shards", *summary.StreamDescriptionSummary.OpenShardCount)
	}
	for _, hours := range []int32{48, 24, 9000} {
		_, err := p.c.IncreaseStreamRetentionPeriod(p.ctx, &kinesis.IncreaseStreamRetentionPeriodInput{
			StreamName: aws.String(sandbox.Stream), RetentionPeriodHours: &hours,
		})
		p.outcome(fmt.Sprintf("increase the retention to %d", hours), err)
	}
}

func (p *player) consumers() {
	arn := aws.String("arn:aws:kinesis:" + region + ":000000000000:stream/" + sandbox.Stream)
	register := func(name string) {
		_, err := p.c.RegisterStreamConsumer(p.ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: arn, ConsumerName: &name})
		p.outcome("register "+name, err)
	}
	register("a")
	register("b")
	register("a")
	out, err := p.c.ListStreamConsumers(p.ctx, &kinesis.ListStreamConsumersInput{StreamARN: arn})
	if err != nil {
		p.t.Fatal(err)
	}
	for _, c := range out.Consumers {
		p.note("consumer %s", *c.ConsumerName)
	}
	_, err = p.c.DescribeStreamConsumer(p.ctx, &kinesis.DescribeStreamConsumerInput{StreamARN: arn, ConsumerName: aws.String("z")})
	p.outcome("describe z", err)
}
