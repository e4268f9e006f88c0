package kinesissim_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/kinesissim"
)

// failer is the common part of testing.T and rapid.T.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func shards(t failer, ctx context.Context, c *kinesis.Client, stream string) []types.Shard {
	t.Helper()
	out, err := c.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &stream})
	if err != nil {
		t.Fatal(err)
	}
	return out.Shards
}

func iterator(t failer, ctx context.Context, c *kinesis.Client, in kinesis.GetShardIteratorInput) *string {
	t.Helper()
	if in.StreamName == nil && in.StreamARN == nil {
		in.StreamName = aws.String("s")
	}
	if in.ShardId == nil {
		in.ShardId = aws.String("shardId-000000000000")
	}
	out, err := c.GetShardIterator(ctx, &in)
	if err != nil {
		t.Fatal(err)
	}
	return out.ShardIterator
}

// drain reads from an iterator to the end of the shard.
func drain(t failer, ctx context.Context, c *kinesis.Client, it *string, limit *int32) (all []types.Record) {
	t.Helper()
	for {
		out, err := c.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: it, Limit: limit})
		if err != nil {
			t.Fatal(err)
		}
		if limit != nil && len(out.Records) > int(*limit) {
			t.Fatalf("%d records, limit %d", len(out.Records), *limit)
		}
		all = append(all, out.Records...)
		if *out.MillisBehindLatest == 0 {
			return all
		}
		if len(out.Records) == 0 {
			t.Fatal("MillisBehindLatest is not 0, but there are no records")
		}
		it = out.NextShardIterator
	}
}

func hashOf(key string) *big.Int {
	sum := md5.Sum([]byte(key))
	return new(big.Int).SetBytes(sum[:])
}

func number(t failer, decimal *string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(*decimal, 10)
	if !ok {
		t.Fatalf("%q is not a number", *decimal)
	}
	return n
}

func inRange(t failer, s types.Shard, h *big.Int) bool {
	t.Helper()
	return number(t, s.HashKeyRange.StartingHashKey).Cmp(h) <= 0 && h.Cmp(number(t, s.HashKeyRange.EndingHashKey)) <= 0
}

// Every record can be read back once, in the shard of its key, in order of arrival.
func TestPropertyEveryRecordIsReadBack(t *testing.T) {
	t.Parallel()
	sim := start(t, kinesissim.Config{})
	c, ctx, run := client(t, sim), t.Context(), 0
	top := new(big.Int).Lsh(big.NewInt(1), 128)
	rapid.Check(t, func(t *rapid.T) {
		run++
		name := fmt.Sprintf("run-%d", run)
		if err := sim.CreateStream(kinesissim.Stream{Name: name, Shards: rapid.IntRange(1, 5).Draw(t, "shards")}); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sim.DeleteStream(name) }()
		list := shards(t, ctx, c, name)

		type sent struct{ key, explicit, data string }
		want := map[string][]sent{}
		last := map[string]*big.Int{}
		for range rapid.IntRange(1, 4).Draw(t, "puts") {
			var entries []types.PutRecordsRequestEntry
			for range rapid.IntRange(1, 8).Draw(t, "records") {
				key := rapid.StringN(1, 256, -1).Draw(t, "key")
				e := types.PutRecordsRequestEntry{
					PartitionKey: &key,
					Data:         rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "data"),
				}
				if e.Data == nil {
					e.Data = []byte{}
				}
				if rapid.Bool().Draw(t, "explicit") {
					raw := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "hash key")
					e.ExplicitHashKey = aws.String(new(big.Int).SetBytes(raw).String())
				}
				entries = append(entries, e)
			}
			out, err := putAll(ctx, c, name, entries...)
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range out.Records {
				e := entries[i]
				h := hashOf(*e.PartitionKey)
				if e.ExplicitHashKey != nil {
					h = number(t, e.ExplicitHashKey)
				}
				at := slices.IndexFunc(list, func(s types.Shard) bool { return inRange(t, s, h) })
				if at < 0 || h.Cmp(top) >= 0 || *list[at].ShardId != *r.ShardId {
					t.Fatalf("hash %s is in %s, want shard %d", h, *r.ShardId, at)
				}
				seq := number(t, r.SequenceNumber)
				if before := last[*r.ShardId]; before != nil && before.Cmp(seq) >= 0 {
					t.Fatalf("sequence number %s after %s", seq, before)
				}
				last[*r.ShardId] = seq
				want[*r.ShardId] = append(want[*r.ShardId], sent{*e.PartitionKey, *r.SequenceNumber, string(e.Data)})
			}
		}

		limit := rapid.SampledFrom([]*int32{nil, aws.Int32(1), aws.Int32(3)}).Draw(t, "limit")
		for _, s := range list {
			it := iterator(t, ctx, c, kinesis.GetShardIteratorInput{
				StreamName: &name, ShardId: s.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
			})
			var got []sent
			for _, r := range drain(t, ctx, c, it, limit) {
				got = append(got, sent{*r.PartitionKey, *r.SequenceNumber, string(r.Data)})
			}
			if !slices.Equal(got, want[*s.ShardId]) {
				t.Fatalf("%s has %v, want %v", *s.ShardId, got, want[*s.ShardId])
			}
			// From the middle, by number: the record itself, and the one after.
			if n := len(got); n > 0 {
				i := rapid.IntRange(0, n-1).Draw(t, "middle")
				for kind, from := range map[types.ShardIteratorType]int{
					types.ShardIteratorTypeAtSequenceNumber: i, types.ShardIteratorTypeAfterSequenceNumber: i + 1,
				} {
					it := iterator(t, ctx, c, kinesis.GetShardIteratorInput{
						StreamName: &name, ShardId: s.ShardId, ShardIteratorType: kind, StartingSequenceNumber: &got[i].explicit,
					})
					if rest := drain(t, ctx, c, it, nil); len(rest) != n-from {
						t.Fatalf("%s read %d records, want %d", kind, len(rest), n-from)
					}
				}
			}
		}
	})
}

// The ranges of any number of shards cover all hash keys evenly, without gaps and
// overlaps.
func TestPropertyRangesCoverTheSpace(t *testing.T) {
	t.Parallel()
	sim := start(t, kinesissim.Config{})
	// Among a hundred requests over pooled connections, one may meet a connection that
	// is being closed. The SDK's retries handle that.
	retrying := func(o *kinesis.Options) { o.Retryer = retry.NewStandard() }
	c, ctx, run := client(t, sim, retrying), t.Context(), 0
	one := big.NewInt(1)
	rapid.Check(t, func(t *rapid.T) {
		run++
		name, n := fmt.Sprintf("run-%d", run), rapid.IntRange(1, 300).Draw(t, "shards")
		if err := sim.CreateStream(kinesissim.Stream{Name: name, Shards: n}); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sim.DeleteStream(name) }()
		list := shards(t, ctx, c, name)
		if len(list) != n {
			t.Fatalf("%d shards, want %d", len(list), n)
		}
		next, width := new(big.Int), new(big.Int)
		for i, s := range list {
			from, to := number(t, s.HashKeyRange.StartingHashKey), number(t, s.HashKeyRange.EndingHashKey)
			if from.Cmp(next) != 0 || to.Cmp(from) < 0 {
				t.Fatalf("shard %d is %s to %s, after %s", i, from, to, next)
			}
			next.Add(to, one)
			w := new(big.Int).Sub(next, from)
			if i == 0 {
				width = w
			} else if over := w.Sub(w, width); over.Sign() < 0 || over.Cmp(big.NewInt(int64(n))) >= 0 {
				t.Fatalf("shard %d is wider than the first by %s", i, over)
			}
		}
		if next.Cmp(new(big.Int).Lsh(one, 128)) != 0 {
			t.Fatalf("the last shard ends before %s", next)
		}
	})
}

func TestListShards(t *testing.T) {
	t.Parallel()
	clock := newClock()
	sim := start(t, kinesissim.Config{Now: clock.Now, Streams: []kinesissim.Stream{{Name: "s", Shards: 5}}})
	c, ctx := client(t, sim), t.Context()
	ids := func(out *kinesis.ListShardsOutput) (all []string) {
		for _, s := range out.Shards {
			all = append(all, strings.TrimLeft(strings.TrimPrefix(*s.ShardId, "shardId-"), "0"))
		}
		return all
	}
	list := func(in kinesis.ListShardsInput) *kinesis.ListShardsOutput {
		return must[*kinesis.ListShardsOutput](t)(c.ListShards(ctx, &in))
	}
	first := list(kinesis.ListShardsInput{StreamName: aws.String("s"), MaxResults: aws.Int32(2)})
	second := list(kinesis.ListShardsInput{NextToken: first.NextToken, MaxResults: aws.Int32(2)})
	third := list(kinesis.ListShardsInput{NextToken: second.NextToken, MaxResults: aws.Int32(2)})
	if got := fmt.Sprint(ids(first), ids(second), ids(third), third.NextToken); got != "[ 1] [2 3] [4] <nil>" {
		t.Error(got)
	}
	after := list(kinesis.ListShardsInput{StreamARN: aws.String(sim.StreamARN("s")), ExclusiveStartShardId: aws.String("shardId-000000000002")})
	filtered := list(kinesis.ListShardsInput{StreamName: aws.String("s"), ShardFilter: &types.ShardFilter{
		Type: types.ShardFilterTypeAfterShardId, ShardId: aws.String("shardId-000000000003"),
	}})
	latest := list(kinesis.ListShardsInput{StreamName: aws.String("s"), ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest}})
	if got := fmt.Sprint(ids(after), ids(filtered), len(ids(latest))); got != "[3 4] [4] 5" {
		t.Error(got)
	}
	if got := *first.Shards[1].SequenceNumberRange.StartingSequenceNumber; len(got) != 56 {
		t.Errorf("starting sequence number %s", got)
	}

	_, err := c.ListShards(ctx, &kinesis.ListShardsInput{StreamName: aws.String("s"), NextToken: first.NextToken})
	wantError[*types.InvalidArgumentException](t, err)
	_, err = c.ListShards(ctx, &kinesis.ListShardsInput{NextToken: aws.String("dust")})
	wantError[*types.InvalidArgumentException](t, err)
	_, err = c.ListShards(ctx, &kinesis.ListShardsInput{StreamName: aws.String("s"), ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAfterShardId}})
	wantError[*types.InvalidArgumentException](t, err)
	_, err = c.ListShards(ctx, &kinesis.ListShardsInput{StreamName: aws.String("s"), ShardFilter: &types.ShardFilter{Type: "OTHER"}})
	wantError[*types.ValidationException](t, err)
	_, err = c.ListShards(ctx, &kinesis.ListShardsInput{StreamName: aws.String("s"), MaxResults: aws.Int32(10001)})
	wantError[*types.ValidationException](t, err)
	clock.Advance(5*time.Minute + time.Millisecond)
	_, err = c.ListShards(ctx, &kinesis.ListShardsInput{NextToken: first.NextToken})
	wantError[*types.ExpiredNextTokenException](t, err)
}

func TestIterators(t *testing.T) {
	t.Parallel()
	clock := newClock()
	sim := start(t, kinesissim.Config{Now: clock.Now, Streams: []kinesissim.Stream{{Name: "s", Shards: 2}}})
	c, ctx := client(t, sim), t.Context()
	store := func(data string) *string {
		e := entry("k", data)
		e.ExplicitHashKey = aws.String("0")
		return must[*kinesis.PutRecordsOutput](t)(putAll(ctx, c, "s", e)).Records[0].SequenceNumber
	}
	read := func(it *string) (all []string) {
		for _, r := range drain(t, ctx, c, it, nil) {
			all = append(all, string(r.Data))
		}
		return all
	}
	begin := clock.Now()
	store("1")
	clock.Advance(time.Second)
	two := store("2")
	early := iterator(t, ctx, c, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest})
	clock.Advance(1500 * time.Millisecond)
	store("3")

	for name, tc := range map[string]struct {
		in   kinesis.GetShardIteratorInput
		want string
	}{
		"from the oldest":     {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon}, "[1 2 3]"},
		"from the newest":     {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest}, "[]"},
		"at a number":         {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: two}, "[2 3]"},
		"after a number":      {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAfterSequenceNumber, StartingSequenceNumber: two}, "[3]"},
		"at the shard's own":  {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAfterSequenceNumber, StartingSequenceNumber: shards(t, ctx, c, "s")[0].SequenceNumberRange.StartingSequenceNumber}, "[1 2 3]"},
		"at a time before":    {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: aws.Time(begin.Add(-time.Hour))}, "[1 2 3]"},
		"at a time exactly":   {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: aws.Time(begin.Add(time.Second))}, "[2 3]"},
		"at a time between":   {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: aws.Time(begin.Add(1001 * time.Millisecond))}, "[3]"},
		"by ARN":              {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon, StreamARN: aws.String(sim.StreamARN("s"))}, "[1 2 3]"},
		"a shard loosely":     {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon, ShardId: aws.String("0")}, "[1 2 3]"},
		"another shard":       {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon, ShardId: aws.String("shardId-000000000001")}, "[]"},
		"at a time right now": {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: aws.Time(clock.Now())}, "[3]"},
	} {
		if got := fmt.Sprint(read(iterator(t, ctx, c, tc.in))); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
	if got := fmt.Sprint(read(early)); got != "[3]" {
		t.Errorf("an earlier LATEST: %s", got)
	}

	out := must[*kinesis.GetRecordsOutput](t)(c.GetRecords(ctx, &kinesis.GetRecordsInput{
		ShardIterator: iterator(t, ctx, c, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon}),
		Limit:         aws.Int32(1), StreamARN: aws.String(sim.StreamARN("s")),
	}))
	r := out.Records[0]
	got := []any{len(out.Records), *out.MillisBehindLatest, r.ApproximateArrivalTimestamp.UTC(), r.EncryptionType, *r.PartitionKey}
	want := []any{1, int64(2500), begin, types.EncryptionTypeNone, "k"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}

	for name, tc := range map[string]struct {
		in   kinesis.GetShardIteratorInput
		code string
	}{
		"no such stream":     {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest, StreamName: aws.String("t")}, "ResourceNotFoundException"},
		"no such shard":      {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest, ShardId: aws.String("shardId-000000000002")}, "ResourceNotFoundException"},
		"no shard at all":    {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest, ShardId: aws.String("shard")}, "ResourceNotFoundException"},
		"no number":          {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber}, "InvalidArgumentException"},
		"a number too much":  {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest, StartingSequenceNumber: two}, "InvalidArgumentException"},
		"no time":            {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp}, "InvalidArgumentException"},
		"a time to come":     {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: aws.Time(clock.Now().Add(time.Second))}, "InvalidArgumentException"},
		"a foreign number":   {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: aws.String("7")}, "InvalidArgumentException"},
		"another's number":   {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: two, ShardId: aws.String("shardId-000000000001")}, "InvalidArgumentException"},
		"no number, by form": {kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: aws.String("x")}, "ValidationException"},
		"an unknown type":    {kinesis.GetShardIteratorInput{ShardIteratorType: "OTHER"}, "ValidationException"},
	} {
		in := tc.in
		if in.StreamName == nil {
			in.StreamName = aws.String("s")
		}
		if in.ShardId == nil {
			in.ShardId = aws.String("shardId-000000000000")
		}
		_, err := c.GetShardIterator(ctx, &in)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		wantCode(t, err, tc.code)
	}
	_, err := c.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
		StreamName: aws.String("s"), ShardId: aws.String("0"), ShardIteratorType: types.ShardIteratorTypeLatest, DryRun: aws.Bool(true),
	})
	wantError[*types.DryRunOperationException](t, err)
}

func TestGetRecordsErrors(t *testing.T) {
	t.Parallel()
	clock := newClock()
	sim := start(t, kinesissim.Config{Now: clock.Now, Streams: []kinesissim.Stream{{Name: "s"}, {Name: "other"}}})
	c, ctx := client(t, sim), t.Context()
	it := iterator(t, ctx, c, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest})
	get := func(in kinesis.GetRecordsInput) error {
		if in.ShardIterator == nil {
			in.ShardIterator = it
		}
		_, err := c.GetRecords(ctx, &in)
		return err
	}
	wantError[*types.InvalidArgumentException](t, get(kinesis.GetRecordsInput{ShardIterator: aws.String("dust")}))
	wantError[*types.InvalidArgumentException](t, get(kinesis.GetRecordsInput{ShardIterator: aws.String("AAAA")}))
	wantError[*types.ValidationException](t, get(kinesis.GetRecordsInput{ShardIterator: aws.String("")}))
	wantError[*types.ValidationException](t, get(kinesis.GetRecordsInput{ShardIterator: aws.String(strings.Repeat("A", 513))}))
	wantError[*types.ValidationException](t, get(kinesis.GetRecordsInput{Limit: aws.Int32(0)}))
	wantError[*types.ValidationException](t, get(kinesis.GetRecordsInput{Limit: aws.Int32(10001)}))
	wantError[*types.InvalidArgumentException](t, get(kinesis.GetRecordsInput{StreamARN: aws.String(sim.StreamARN("other"))}))
	wantError[*types.DryRunOperationException](t, get(kinesis.GetRecordsInput{DryRun: aws.Bool(true)}))
	if err := get(kinesis.GetRecordsInput{Limit: aws.Int32(10000)}); err != nil {
		t.Error(err)
	}

	clock.Advance(5 * time.Minute)
	if err := get(kinesis.GetRecordsInput{}); err != nil {
		t.Errorf("after exactly five minutes: %v", err)
	}
	clock.Advance(time.Millisecond)
	expired := wantError[*types.ExpiredIteratorException](t, get(kinesis.GetRecordsInput{}))
	contains(t, expired.ErrorMessage(), "Iterator expired. The iterator was created at time Sun Nov 22 20:15:00 UTC 2026 while right now it is Sun Nov 22 20:20:00 UTC 2026")

	it = iterator(t, ctx, c, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest})
	if err := sim.DeleteStream("s"); err != nil {
		t.Fatal(err)
	}
	wantError[*types.ResourceNotFoundException](t, get(kinesis.GetRecordsInput{}))
	// A new stream of the same name has newer records only.
	if err := sim.CreateStream(kinesissim.Stream{Name: "s"}); err != nil {
		t.Fatal(err)
	}
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", []byte("new")))
	if got := drain(t, ctx, c, it, nil); len(got) != 1 {
		t.Errorf("%d records", len(got))
	}
}

func TestRetention(t *testing.T) {
	t.Parallel()
	clock := newClock()
	sim := start(t, kinesissim.Config{Now: clock.Now, Streams: []kinesissim.Stream{{Name: "s", RetentionHours: 25}}})
	c, ctx := client(t, sim), t.Context()
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", []byte("old")))
	clock.Advance(25 * time.Hour)
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", []byte("new")))
	for i, want := range []int{2, 1} {
		it := iterator(t, ctx, c, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		got := drain(t, ctx, c, it, nil)
		if len(got) != want || !bytes.Equal(got[want-1].Data, []byte("new")) {
			t.Errorf("read %d: %d records", i, len(got))
		}
		clock.Advance(time.Second)
	}
	if n := len(sim.Records("s")); n != 2 {
		t.Errorf("%d records are kept", n)
	}
}
