package kinesissim_test

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/kinesissim"
)

const middle = "170141183460469231731687303715884105728" // 2^127

func split(ctx context.Context, c *kinesis.Client, stream, shard, at string) error {
	_, err := c.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &stream, ShardToSplit: &shard, NewStartingHashKey: &at})
	return err
}

func merge(ctx context.Context, c *kinesis.Client, stream, shard, adjacent string) error {
	_, err := c.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: &stream, ShardToMerge: &shard, AdjacentShardToMerge: &adjacent})
	return err
}

func shardID(n int) string { return fmt.Sprintf("shardId-%012d", n) }

// describe writes a shard as "ID parents start-end open".
func describe(s types.Shard) string {
	return fmt.Sprintf("%s (%s %s) %s-%s open=%t", (*s.ShardId)[19:], aws.ToString(s.ParentShardId), aws.ToString(s.AdjacentParentShardId),
		*s.HashKeyRange.StartingHashKey, *s.HashKeyRange.EndingHashKey, s.SequenceNumberRange.EndingSequenceNumber == nil)
}

func TestSplitAndMerge(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	c, ctx := client(t, sim), t.Context()
	for _, step := range []error{
		split(ctx, c, "s", shardID(0), middle),
		split(ctx, c, "s", shardID(1), "1000"),
		merge(ctx, c, "s", shardID(2), shardID(4)), // the upper one first
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	var got []string
	for _, s := range shards(t, ctx, c, "s") {
		got = append(got, describe(s))
	}
	want := []string{
		"0 ( ) 0-340282366920938463463374607431768211455 open=false",
		"1 (shardId-000000000000 ) 0-170141183460469231731687303715884105727 open=false",
		"2 (shardId-000000000000 ) 170141183460469231731687303715884105728-340282366920938463463374607431768211455 open=false",
		"3 (shardId-000000000001 ) 0-999 open=true",
		"4 (shardId-000000000001 ) 1000-170141183460469231731687303715884105727 open=false",
		"5 (shardId-000000000002 shardId-000000000004) 1000-340282366920938463463374607431768211455 open=true",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	summary := must[*kinesis.DescribeStreamSummaryOutput](t)(c.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("s")}))
	if n := *summary.StreamDescriptionSummary.OpenShardCount; n != 2 {
		t.Errorf("%d open shards", n)
	}
}

func TestReshardingErrors(t *testing.T) {
	t.Parallel()
	sim := start(t, kinesissim.Config{ShardLimit: 9, Streams: []kinesissim.Stream{{Name: "s", Shards: 3}, {Name: "one", Shards: 1}}})
	c, ctx := client(t, sim), t.Context()
	first := shards(t, ctx, c, "s")[0]
	end := *first.HashKeyRange.EndingHashKey
	for _, at := range []string{"0", "1", end, "340282366920938463463374607431768211456"} {
		err := wantError[*types.InvalidArgumentException](t, split(ctx, c, "s", shardID(0), at))
		contains(t, err.ErrorMessage(), "is not both greater than one plus the shard's StartingHashKey 0 and less than the shard's EndingHashKey "+end)
	}
	wantCode(t, split(ctx, c, "s", shardID(0), "01"), "ValidationException")
	wantError[*types.ResourceNotFoundException](t, split(ctx, c, "s", shardID(9), "5"))
	wantError[*types.ResourceNotFoundException](t, split(ctx, c, "other", shardID(0), "5"))
	contains(t, wantError[*types.InvalidArgumentException](t, merge(ctx, c, "s", shardID(0), shardID(2))).ErrorMessage(), "not an adjacent pair")
	wantError[*types.InvalidArgumentException](t, merge(ctx, c, "s", shardID(0), shardID(0)))
	wantError[*types.InvalidArgumentException](t, merge(ctx, c, "one", shardID(0), shardID(0)))

	if err := split(ctx, c, "s", shardID(0), "2"); err != nil {
		t.Fatal(err)
	}
	contains(t, wantError[*types.InvalidArgumentException](t, split(ctx, c, "s", shardID(0), "5")).ErrorMessage(), "already been merged or split")
	wantError[*types.InvalidArgumentException](t, merge(ctx, c, "s", shardID(1), shardID(0)))

	if err := sim.CreateStream(kinesissim.Stream{Name: "rest", Shards: 4}); err != nil {
		t.Fatal(err) // 3 shards became 4
	}
	wantError[*types.LimitExceededException](t, split(ctx, c, "s", shardID(1), middle))

	mode := &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}
	other := start(t, kinesissim.Config{})
	if _, err := client(t, other).CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("d"), StreamModeDetails: mode}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, split(ctx, client(t, other), "d", shardID(0), "5"), "ValidationException")
}

// A consumer that follows GetRecords from the first shards to their children, as the KCL
// does, reads every record once, and the records of a key in order.
func TestPropertyAConsumerThatFollowsChildShardsReadsEverythingInOrder(t *testing.T) {
	t.Parallel()
	sim := start(t, kinesissim.Config{})
	c, ctx, run := client(t, sim), t.Context(), 0
	rapid.Check(t, func(t *rapid.T) {
		run++
		name := fmt.Sprintf("run-%d", run)
		roots := rapid.IntRange(1, 3).Draw(t, "shards")
		if err := sim.CreateStream(kinesissim.Stream{Name: name, Shards: roots}); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sim.DeleteStream(name) }()

		want := map[string][]string{}
		for step := range rapid.IntRange(1, 12).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "put") {
				key, data := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(t, "key"), fmt.Sprint(step)
				if _, err := put(ctx, c, name, key, []byte(data)); err != nil {
					t.Fatal(err)
				}
				want[key] = append(want[key], data)
				continue
			}
			reshard(ctx, t, c, name)
		}

		got := map[string][]string{}
		todo, seen := make([]string, roots), map[string]bool{}
		for i := range todo {
			todo[i] = shardID(i)
		}
		for len(todo) > 0 {
			id := todo[0]
			todo = todo[1:]
			seen[id] = true
			children := readShard(ctx, t, c, name, id, func(r types.Record) {
				got[*r.PartitionKey] = append(got[*r.PartitionKey], string(r.Data))
			})
			for _, child := range children {
				// A merged shard has two parents; read it after both.
				if !slices.ContainsFunc(child.ParentShards, func(p string) bool { return !seen[p] }) {
					todo = append(todo, *child.ShardId)
				}
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("(-want +got)\n%s", diff)
		}
	})
}

// reshard splits a shard in the middle, or merges two, and checks that the open shards cover
// the space of hash keys.
func reshard(ctx context.Context, t *rapid.T, c *kinesis.Client, stream string) {
	open := openShards(t, ctx, c, stream)
	at := rapid.IntRange(0, len(open)-1).Draw(t, "shard")
	var err error
	if at+1 < len(open) && rapid.Bool().Draw(t, "merge") {
		err = merge(ctx, c, stream, *open[at].ShardId, *open[at+1].ShardId)
	} else {
		low, high := number(t, open[at].HashKeyRange.StartingHashKey), number(t, open[at].HashKeyRange.EndingHashKey)
		err = split(ctx, c, stream, *open[at].ShardId, low.Add(low, high).Rsh(low, 1).String())
	}
	if err != nil {
		t.Fatal(err)
	}
	next := big.NewInt(0)
	for _, s := range openShards(t, ctx, c, stream) {
		if number(t, s.HashKeyRange.StartingHashKey).Cmp(next) != 0 {
			t.Fatalf("a gap or an overlap at %s", next)
		}
		next.Add(number(t, s.HashKeyRange.EndingHashKey), big.NewInt(1))
	}
	if next.BitLen() != 129 {
		t.Fatalf("the shards end at %s", next)
	}
}

// openShards returns the open shards by hash key.
func openShards(t failer, ctx context.Context, c *kinesis.Client, stream string) []types.Shard {
	t.Helper()
	out, err := c.ListShards(ctx, &kinesis.ListShardsInput{
		StreamName: &stream, ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest},
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(out.Shards, func(a, b types.Shard) int {
		return number(t, a.HashKeyRange.StartingHashKey).Cmp(number(t, b.HashKeyRange.StartingHashKey))
	})
	return out.Shards
}

// readShard reads a shard to its end, one record at a time, and returns its children.
func readShard(ctx context.Context, t failer, c *kinesis.Client, stream, shard string, f func(types.Record)) []types.ChildShard {
	t.Helper()
	it := iterator(t, ctx, c, kinesis.GetShardIteratorInput{
		StreamName: &stream, ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	for {
		out, err := c.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: it, Limit: aws.Int32(1)})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range out.Records {
			f(r)
		}
		if (out.NextShardIterator == nil) != (out.ChildShards != nil) {
			t.Fatalf("iterator %v, children %v", out.NextShardIterator, out.ChildShards)
		}
		if it = out.NextShardIterator; it == nil || len(out.Records) == 0 && *out.MillisBehindLatest == 0 {
			return out.ChildShards
		}
	}
}

func TestEndOfAClosedShard(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	c, ctx := client(t, sim), t.Context()
	if _, err := put(ctx, c, "s", "k", []byte("x")); err != nil {
		t.Fatal(err)
	}
	latest := iterator(t, ctx, c, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest})
	if err := split(ctx, c, "s", shardID(0), middle); err != nil {
		t.Fatal(err)
	}
	out := must[*kinesis.GetRecordsOutput](t)(c.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: latest}))
	var got []string
	for _, child := range out.ChildShards {
		got = append(got, fmt.Sprint(*child.ShardId, child.ParentShards, *child.HashKeyRange.StartingHashKey))
	}
	want := []string{"shardId-000000000001[shardId-000000000000]0", "shardId-000000000002[shardId-000000000000]" + middle}
	if diff := cmp.Diff(want, got); diff != "" || out.NextShardIterator != nil {
		t.Errorf("next %v; children (-want +got)\n%s", out.NextShardIterator, diff)
	}
	ending := shards(t, ctx, c, "s")[0].SequenceNumberRange.EndingSequenceNumber
	last := sim.Records("s")[0].SequenceNumber
	if number(t, ending).Cmp(number(t, &last)) <= 0 {
		t.Errorf("the shard ends at %s, before its record %s", *ending, last)
	}
	at := iterator(t, ctx, c, kinesis.GetShardIteratorInput{
		ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: ending,
	})
	if out := must[*kinesis.GetRecordsOutput](t)(c.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: at})); len(out.Records) != 0 || len(out.ChildShards) != 2 {
		t.Errorf("at the ending number: %d records, %d children", len(out.Records), len(out.ChildShards))
	}
	// A record goes to a child, with a larger number.
	r := must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", []byte("y")))
	if *r.ShardId == shardID(0) || number(t, r.SequenceNumber).Cmp(number(t, ending)) <= 0 {
		t.Errorf("stored in %s as %s", *r.ShardId, *r.SequenceNumber)
	}
}

func TestShardFilters(t *testing.T) {
	t.Parallel()
	clock := newClock()
	sim := start(t, kinesissim.Config{Now: clock.Now, Streams: []kinesissim.Stream{{Name: "s", RetentionHours: 24}}})
	c, ctx := client(t, sim), t.Context()
	begin := clock.Now()
	for i := range 2 { // 0 becomes 1 and 2 after an hour; 1 becomes 3 and 4 after two
		clock.Advance(time.Hour)
		if err := split(ctx, c, "s", shardID(i), []string{middle, "1000"}[i]); err != nil {
			t.Fatal(err)
		}
	}
	ids := func(filter *types.ShardFilter) (got string) {
		t.Helper()
		in := &kinesis.ListShardsInput{StreamName: aws.String("s"), ShardFilter: filter, MaxResults: aws.Int32(1)}
		for {
			out := must[*kinesis.ListShardsOutput](t)(c.ListShards(ctx, in))
			for _, s := range out.Shards {
				got += (*s.ShardId)[19:]
			}
			if out.NextToken == nil {
				return got
			}
			in = &kinesis.ListShardsInput{NextToken: out.NextToken, MaxResults: aws.Int32(1)}
		}
	}
	check := func(want string, kind types.ShardFilterType, at time.Duration) {
		t.Helper()
		filter := &types.ShardFilter{Type: kind, Timestamp: aws.Time(begin.Add(at))}
		if got := ids(filter); got != want {
			t.Errorf("%s %s: %q, want %q", kind, at, got, want)
		}
	}
	if got := ids(nil); got != "01234" {
		t.Errorf("without a filter: %s", got)
	}
	check("234", types.ShardFilterTypeAtLatest, 0)
	check("0", types.ShardFilterTypeAtTrimHorizon, 0)
	check("01234", types.ShardFilterTypeFromTrimHorizon, 0)
	check("0", types.ShardFilterTypeAtTimestamp, 30*time.Minute)
	check("12", types.ShardFilterTypeAtTimestamp, 90*time.Minute)
	check("1234", types.ShardFilterTypeFromTimestamp, 90*time.Minute)
	if _, err := c.ListShards(ctx, &kinesis.ListShardsInput{
		StreamName: aws.String("s"), ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtTimestamp},
	}); err == nil {
		t.Error("AT_TIMESTAMP without a Timestamp")
	}
	clock.Advance(23*time.Hour + 30*time.Minute) // shard 0 ended 24.5 hours ago
	check("12", types.ShardFilterTypeAtTrimHorizon, 0)
	check("1234", types.ShardFilterTypeFromTrimHorizon, 0)
	if got := ids(nil); got != "1234" {
		t.Errorf("without a filter, after the retention of shard 0: %s", got)
	}
}

func TestUpdateShardCount(t *testing.T) {
	t.Parallel()
	sim := start(t, kinesissim.Config{ShardLimit: 9, Streams: []kinesissim.Stream{{Name: "s", Shards: 2}}})
	fresh := start(t, kinesissim.Config{})
	c, ctx := client(t, sim), t.Context()
	ranges := func(c *kinesis.Client, stream string) (all []types.HashKeyRange) {
		for _, s := range openShards(t, ctx, c, stream) {
			all = append(all, *s.HashKeyRange)
		}
		return all
	}
	update := func(count int32) (*kinesis.UpdateShardCountOutput, error) {
		return c.UpdateShardCount(ctx, &kinesis.UpdateShardCountInput{
			StreamName: aws.String("s"), TargetShardCount: &count, ScalingType: types.ScalingTypeUniformScaling,
		})
	}
	for i, count := range []int32{4, 3, 5, 7, 4, 2, 1, 1} {
		before := int32(len(openShards(t, ctx, c, "s")))
		out := must[*kinesis.UpdateShardCountOutput](t)(update(count))
		if *out.CurrentShardCount != before || *out.TargetShardCount != count || *out.StreamName != "s" {
			t.Errorf("from %d to %d: %d to %d", before, count, *out.CurrentShardCount, *out.TargetShardCount)
		}
		// The open shards are those of a new stream.
		if err := fresh.CreateStream(kinesissim.Stream{Name: fmt.Sprint(i), Shards: int(count)}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(ranges(client(t, fresh), fmt.Sprint(i)), ranges(c, "s"), cmp.AllowUnexported(types.HashKeyRange{})); diff != "" {
			t.Errorf("%d shards: (-want +got)\n%s", count, diff)
		}
	}
	_, err := update(3)
	contains(t, wantError[*types.LimitExceededException](t, err).ErrorMessage(), "cannot scale up over double your current open shard count. Current open shard count: 1, Target shard count: 3")
	for _, count := range []int32{2, 4, 8} {
		must[*kinesis.UpdateShardCountOutput](t)(update(count))
	}
	_, err = update(3)
	contains(t, wantError[*types.LimitExceededException](t, err).ErrorMessage(), "cannot scale down below half")
	_, err = update(10)
	contains(t, wantError[*types.LimitExceededException](t, err).ErrorMessage(), "exceed the shard limit")
}

func TestRetentionChanges(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	c, ctx, name := client(t, sim), t.Context(), aws.String("s")
	increase := func(hours int32) error {
		_, err := c.IncreaseStreamRetentionPeriod(ctx, &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: name, RetentionPeriodHours: &hours})
		return err
	}
	decrease := func(hours int32) error {
		_, err := c.DecreaseStreamRetentionPeriod(ctx, &kinesis.DecreaseStreamRetentionPeriodInput{StreamName: name, RetentionPeriodHours: &hours})
		return err
	}
	check := func(want int32) {
		t.Helper()
		out := must[*kinesis.DescribeStreamSummaryOutput](t)(c.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: name}))
		if got := *out.StreamDescriptionSummary.RetentionPeriodHours; got != want {
			t.Errorf("%d hours, want %d", got, want)
		}
	}
	if err := increase(48); err != nil {
		t.Fatal(err)
	}
	check(48)
	wantError[*types.InvalidArgumentException](t, increase(47))
	wantError[*types.InvalidArgumentException](t, decrease(49))
	contains(t, wantError[*types.InvalidArgumentException](t, increase(8761)).ErrorMessage(), "Maximum allowed retention period is 8760 hours.")
	if err := decrease(24); err != nil {
		t.Fatal(err)
	}
	check(24)
	contains(t, wantError[*types.InvalidArgumentException](t, decrease(23)).ErrorMessage(), "Minimum allowed retention period is 24 hours.")
}
