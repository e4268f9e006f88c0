package kinesissim_test

import (
	"context"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/kinetel/kinetel/kinesissim"
)

// A producer's test: the second of three records is throttled, once.
func Example() {
	ctx := context.Background()
	sim, err := kinesissim.Start(ctx, kinesissim.Config{
		Streams: []kinesissim.Stream{{Name: "telemetry", Shards: 2}},
		Intercept: kinesissim.AnswerInOrder(kinesissim.FailRecords(func(i int, _ kinesissim.PutEntry) string {
			if i == 1 {
				return "ProvisionedThroughputExceededException"
			}
			return ""
		})),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer sim.Close()

	client := kinesis.New(kinesis.Options{
		BaseEndpoint: aws.String(sim.URL()),
		Region:       "eu-west-1",
		Credentials:  credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		HTTPClient:   exampleClient(),
	})
	var entries []types.PutRecordsRequestEntry
	for _, text := range []string{"one", "two", "three"} {
		entries = append(entries, types.PutRecordsRequestEntry{PartitionKey: &text, Data: []byte(text)})
	}
	for len(entries) > 0 {
		out, err := client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: aws.String("telemetry"), Records: entries})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%d sent, %d failed\n", len(entries), *out.FailedRecordCount)
		var again []types.PutRecordsRequestEntry
		for i, r := range out.Records {
			if r.SequenceNumber == nil {
				again = append(again, entries[i])
			}
		}
		entries = again
	}
	for _, r := range sim.Records("telemetry") {
		fmt.Printf("%s %s\n", r.ShardID, r.Data)
	}
	// Output:
	// 3 sent, 1 failed
	// 1 sent, 0 failed
	// shardId-000000000001 one
	// shardId-000000000000 three
	// shardId-000000000001 two
}
