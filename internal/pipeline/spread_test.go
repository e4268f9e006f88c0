package pipeline

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/credentials"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/extensionapi"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/ndjson"
	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/kinesissim"
)

// A throttled record gets another key at once, unless readers rely on its shard.
func TestAThrottledRecordKeepsTheKeyOfItsRequestOrFunction(t *testing.T) {
	for key, want := range map[config.PartitionKey]bool{
		config.PartitionByEnvironment: false, config.PartitionByRequest: true, config.PartitionByFunction: true, config.PartitionRandom: false,
	} {
		t.Run(string(key), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &throttledOnce{}
				p := New(function, config.Config{Format: ndjson.Name, Compression: format.Gzip, PartitionKey: key, BufferBytes: 16 << 20}, nil, s, io.Discard, slog.New(slog.DiscardHandler))
				p.own().Add(&event.Event{Received: time.Now(), Type: []byte("function"), Record: []byte(`"hello"`), RequestID: "6f0c0c5e-1111-4222-8333-000000000001"})
				p.own().Seal()
				ctx, stop := context.WithTimeout(t.Context(), time.Minute)
				defer stop()
				p.shipper.Run(ctx)
				if len(s.keys) != 2 || s.keys[0] == s.keys[1] != want {
					t.Errorf("the keys of the requests: %q", s.keys)
				}
			})
		})
	}
}

// throttledOnce is a stream that throttles the first record. It notes the keys.
type throttledOnce struct {
	stream
	keys []string
}

func (s *throttledOnce) PutRecords(_ context.Context, records []*pack.Record) ([]kinesis.Result, error) {
	if s.keys = append(s.keys, records[0].PartitionKey); len(s.keys) == 1 {
		return []kinesis.Result{{ErrorCode: "ProvisionedThroughputExceededException", ErrorMessage: "slow down"}}, nil
	}
	return []kinesis.Result{{SequenceNumber: "1"}}, nil
}

// The records of a thousand environments spread over 64 shards as random choice would,
// with a Kinesis that maps keys to shards itself. docs/evidence/measurements.md quotes the
// figures that -v shows.
func TestEnvironmentsSpreadEvenlyOverShards(t *testing.T) {
	const environments, shards = 1000, 64
	for _, tt := range []struct {
		key  config.PartitionKey
		even bool
	}{
		{config.PartitionByEnvironment, true},
		{config.PartitionByRequest, true},
		{config.PartitionRandom, true},
		{config.PartitionByFunction, false}, // which is what it is for
	} {
		t.Run(string(tt.key), func(t *testing.T) {
			t.Parallel()
			sim, err := kinesissim.Start(t.Context(), kinesissim.Config{Streams: []kinesissim.Stream{{Name: "telemetry", Shards: shards}}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = sim.Close() })
			cfg := config.Config{
				StreamName: "telemetry", Format: ndjson.Name, Compression: format.Gzip, PartitionKey: tt.key, BufferBytes: 16 << 20,
			}
			client := kinesis.New(kinesis.Config{
				StreamName: cfg.StreamName, Region: "eu-west-1", Endpoint: sim.URL(), Credentials: credentials.Static("AKIDEXAMPLE", "secret", ""),
			})
			var records []*pack.Record
			for i := range environments {
				p := New(extensionapi.Function{Name: "orders", Version: "7"}, cfg, nil, client, io.Discard, slog.New(slog.DiscardHandler))
				packer := p.own()
				packer.Add(&event.Event{
					Received: time.Now(), Type: []byte("function"), Record: []byte(`"hello"`),
					RequestID: fmt.Sprintf("6f0c0c5e-1111-4222-8333-%012d", i),
				})
				packer.Seal()
				records = append(records, p.queue.Batch(2, pack.MaxRecord)...)
			}
			for len(records) > 0 {
				n := min(len(records), 500)
				results, err := client.PutRecords(t.Context(), records[:n])
				if err != nil || len(results) != n {
					t.Fatalf("%d results: %v", len(results), err)
				}
				records = records[n:]
			}
			load := map[string]int{}
			for _, r := range sim.Records("telemetry") {
				load[r.ShardID]++
			}
			least, most, sum, chi := environments, 0, 0, 0.0
			const mean = float64(environments) / shards
			for i := range shards {
				n := load[fmt.Sprintf("shardId-%012d", i)]
				least, most, sum = min(least, n), max(most, n), sum+n
				chi += (float64(n) - mean) * (float64(n) - mean) / mean
			}
			t.Logf("of %d records on %d shards, a shard has %d to %d; chi-square %.1f (63 degrees of freedom)", environments, shards, least, most, chi)
			if sum != environments {
				t.Fatalf("%d records lie in the shards, want %d", sum, environments)
			}
			// A random choice exceeds 140 once in ten million runs.
			if even := chi < 140; even != tt.even {
				t.Errorf("chi-square is %.1f, evenly spread: %t, want %t", chi, even, tt.even)
			}
		})
	}
}
