package kinesislocal

import (
	"bytes"
	"io"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/kinetel/kinetel/internal/streamreader"
	"github.com/kinetel/kinetel/internal/tail"
	"github.com/kinetel/kinetel/record"
	"github.com/kinetel/kinetel/test/sandbox"
)

// What kinetel tail prints with -o raw is everything, in each format, from the shards
// before and after a split.
func TestTailPrintsEverythingOnce(t *testing.T) {
	formats := []string{"ndjson", "json", "otlp", "kpl"}
	if testing.Short() {
		formats = []string{"ndjson"}
	}
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			client, url := startKinesis(t, 2)
			r := sandbox.Start(t, binaries, sandbox.Options{Endpoint: url, Env: map[string]string{"KINETEL_FORMAT": format, "KINETEL_PARTITION_KEY": "random"}})
			r.Invoke(`{"id":"before","lines":50,"format":"mixed"}`)
			if _, err := client.SplitShard(t.Context(), &kinesis.SplitShardInput{
				StreamName: aws.String(sandbox.Stream), ShardToSplit: aws.String("shardId-000000000000"), NewStartingHashKey: aws.String("1000000000000000000000000000000000000"),
			}); err != nil {
				t.Fatal(err)
			}
			r.Invoke(`{"id":"long","lines":3,"bytes":60000}`)
			r.Invoke(`{"id":"after","lines":500}`)
			var progress streamreader.Progress
			r.Complete(func() []record.Event {
				reader := streamreader.New(streamreader.Config{Stream: sandbox.Stream, AWS: aws.Config{
					Region: region, BaseEndpoint: aws.String(url), Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "not-a-secret", ""),
				}})
				var out bytes.Buffer
				printer := tail.New(&out, io.Discard, tail.Options{Output: tail.Raw})
				for one, err := range reader.Records(t.Context()) {
					if err != nil {
						t.Fatal(err)
					}
					if err := printer.Record(one); err != nil {
						t.Fatal(err)
					}
				}
				progress = reader.Progress()
				if n := printer.Counts(); n.Unreadable > 0 || n.Duplicates > 0 {
					t.Errorf("%+v", n)
				}
				events, err := record.Decode(out.Bytes())
				if err != nil {
					t.Fatal(err)
				}
				return events
			})
			if progress.Shards != 4 {
				t.Errorf("%+v, want 4 shards", progress)
			}
		})
	}
}
