package kinesissim_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/kinetel/kinetel/kinesissim"
)

const throughputExceeded = "ProvisionedThroughputExceededException"

// limited starts a server with rate limits and a clock that stands still.
func limited(t *testing.T, stream kinesissim.Stream) (*kinesissim.Server, *kinesis.Client, *fakeClock) {
	t.Helper()
	clock := newClock()
	sim := start(t, kinesissim.Config{EnforceRate: true, Now: clock.Now, Streams: []kinesissim.Stream{stream}})
	return sim, client(t, sim), clock
}

func batch(n int, key, hashKey, data string) []types.PutRecordsRequestEntry {
	all := make([]types.PutRecordsRequestEntry, n)
	for i := range all {
		all[i] = entry(key, data)
		all[i].ExplicitHashKey = aws.String(hashKey)
	}
	return all
}

func TestRateOfRecords(t *testing.T) {
	t.Parallel()
	sim, c, clock := limited(t, kinesissim.Stream{Name: "s", Shards: 2})
	ctx := t.Context()
	failed := func(n int, hashKey string) int {
		out := must[*kinesis.PutRecordsOutput](t)(putAll(ctx, c, "s", batch(n, "k", hashKey, "x")...))
		for i, r := range out.Records {
			// Each record is checked in order: those within the rate are stored.
			if over := i >= n-int(*out.FailedRecordCount); over != (r.ErrorCode != nil) || over == (r.SequenceNumber != nil) {
				t.Fatalf("result %d: %v", i, r)
			}
			if r.ErrorCode != nil && (*r.ErrorCode != throughputExceeded ||
				*r.ErrorMessage != "Rate exceeded for shard shardId-000000000000 in stream s under account 123456789012.") {
				t.Fatalf("%s: %s", *r.ErrorCode, *r.ErrorMessage)
			}
		}
		return int(*out.FailedRecordCount)
	}
	const low, high = "0", "340282366920938463463374607431768211455"
	if n := failed(500, low) + failed(500, low); n != 0 {
		t.Errorf("%d of 1,000 records failed", n)
	}
	if n := failed(1, low); n != 1 {
		t.Error("record 1,001 in a second was stored")
	}
	if n := failed(500, high); n != 0 {
		t.Errorf("%d failed in a shard below its rate", n)
	}
	clock.Advance(500 * time.Millisecond)
	if n := failed(500, low); n != 0 {
		t.Errorf("%d of 500 failed after half a second", n)
	}
	if n := failed(2, low); n != 2 {
		t.Errorf("%d of 2 failed in a full shard", n)
	}
	clock.Advance(-time.Hour)
	if n := failed(2, low); n != 2 {
		t.Errorf("%d of 2 failed after the clock went back", n)
	}
	clock.Advance(2 * time.Hour)
	if n := failed(500, low) + failed(500, low) + failed(10, low); n != 10 {
		t.Errorf("%d of 1,010 failed after hours: more than a second's worth was accepted at once", n)
	}
	if got := sim.Stats(); got.Rejected != 1+2+2+10 || got.Errors[throughputExceeded] != 0 {
		t.Errorf("%+v", got)
	}
}

func TestRateOfBytes(t *testing.T) {
	t.Parallel()
	_, c, clock := limited(t, kinesissim.Stream{Name: "s"})
	ctx := t.Context()
	// 1 MiB with the key, then a record of one byte.
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", make([]byte, mib-1)))
	_, err := put(ctx, c, "s", "k", []byte{})
	got := wantError[*types.ProvisionedThroughputExceededException](t, err)
	contains(t, got.ErrorMessage(), "Rate exceeded for shard shardId-000000000000 in stream s")
	clock.Advance(time.Second)
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", make([]byte, mib/2)))
	_, err = put(ctx, c, "s", "k", make([]byte, mib/2))
	wantError[*types.ProvisionedThroughputExceededException](t, err)
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", make([]byte, mib/2-2)))
}

func TestRateOfLargeRecords(t *testing.T) {
	t.Parallel()
	_, c, clock := limited(t, kinesissim.Stream{Name: "s", MaxRecordSizeKiB: 10240})
	ctx := t.Context()
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", make([]byte, 2*mib-1)))
	clock.Advance(time.Second)
	_, err := put(ctx, c, "s", "k", []byte{})
	wantError[*types.ProvisionedThroughputExceededException](t, err)
	clock.Advance(time.Second)
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", make([]byte, mib+1)))
}

func TestWithoutEnforceRateThereIsNoLimit(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	c := client(t, sim)
	for range 3 {
		out := must[*kinesis.PutRecordsOutput](t)(putAll(t.Context(), c, "s", batch(500, "k", "0", "x")...))
		if *out.FailedRecordCount != 0 {
			t.Fatalf("%d failed", *out.FailedRecordCount)
		}
	}
	it := iterator(t, t.Context(), c, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	for range 10 {
		must[*kinesis.GetRecordsOutput](t)(c.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it}))
	}
}

func TestRateOfReads(t *testing.T) {
	t.Parallel()
	_, c, clock := limited(t, kinesissim.Stream{Name: "s", Shards: 2})
	ctx := t.Context()
	read := func(shard string) error {
		it := iterator(t, ctx, c, kinesis.GetShardIteratorInput{ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		_, err := c.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: it})
		return err
	}
	for i := range 5 {
		if err := read(shardID(0)); err != nil {
			t.Fatalf("request %d: %v", i+1, err)
		}
	}
	err := wantError[*types.ProvisionedThroughputExceededException](t, read(shardID(0)))
	contains(t, err.ErrorMessage(), "Rate exceeded for shard shardId-000000000000 in stream s under account 123456789012.")
	if err := read(shardID(1)); err != nil {
		t.Errorf("another shard: %v", err)
	}
	clock.Advance(200 * time.Millisecond)
	if err := read(shardID(0)); err != nil {
		t.Errorf("a fifth of a second later: %v", err)
	}
	wantError[*types.ProvisionedThroughputExceededException](t, read(shardID(0)))
}

// A shard that has returned 10 MiB cannot be read for five seconds.
func TestRateOfReadBytes(t *testing.T) {
	t.Parallel()
	_, c, clock := limited(t, kinesissim.Stream{Name: "s", MaxRecordSizeKiB: 10240})
	ctx := t.Context()
	it := iterator(t, ctx, c, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
	read := func() (*kinesis.GetRecordsOutput, error) {
		return c.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: it})
	}
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", make([]byte, 10<<20-1)))
	if out := must[*kinesis.GetRecordsOutput](t)(read()); len(out.Records) != 1 {
		t.Fatalf("%d records", len(out.Records))
	}
	clock.Advance(4999 * time.Millisecond)
	_, err := read()
	wantError[*types.ProvisionedThroughputExceededException](t, err)
	clock.Advance(2 * time.Millisecond)
	must[*kinesis.GetRecordsOutput](t)(read())
}
