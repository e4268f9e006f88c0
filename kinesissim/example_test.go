package kinesissim_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/kinetel/kinetel/kinesissim"
)

// exampleKinesis returns the SDK's client of a server.
func exampleKinesis(sim *kinesissim.Server) *kinesis.Client {
	return kinesis.New(kinesis.Options{
		BaseEndpoint: aws.String(sim.URL()),
		Region:       "eu-west-1",
		Credentials:  credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		HTTPClient:   exampleClient(),
	})
}

// Store a record with the AWS SDK, and look at it in the test.
func Example() {
	ctx := context.Background()
	sim, err := kinesissim.Start(ctx, kinesissim.Config{
		Streams: []kinesissim.Stream{{Name: "telemetry", Shards: 2}},
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
	if _, err := client.PutRecord(ctx, &kinesis.PutRecordInput{
		StreamName: aws.String("telemetry"), PartitionKey: aws.String("one"), Data: []byte("hello"),
	}); err != nil {
		log.Fatal(err)
	}
	for _, r := range sim.Records("telemetry") {
		fmt.Printf("%s %s %s\n", r.ShardID, r.PartitionKey, r.Data)
	}
	fmt.Println(sim.Stats().Requests)
	// Output:
	// shardId-000000000001 one hello
	// map[PutRecord:1]
}

// The second of three records is throttled, once.
func ExampleFailRecords() {
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
	client := exampleKinesis(sim)
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

// The first request is throttled. The second is stored, but its answer is lost. The third is
// carried out. The SDK sends the record again until it has an answer, so it is stored twice.
func ExampleAnswerInOrder() {
	ctx := context.Background()
	sim, err := kinesissim.Start(ctx, kinesissim.Config{Streams: []kinesissim.Stream{{Name: "telemetry"}}})
	if err != nil {
		log.Fatal(err)
	}
	defer sim.Close()
	sim.SetIntercept(kinesissim.AnswerInOrder(kinesissim.Throttle(), kinesissim.DropAnswer()))
	if _, err := exampleKinesis(sim).PutRecord(ctx, &kinesis.PutRecordInput{
		StreamName: aws.String("telemetry"), PartitionKey: aws.String("one"), Data: []byte("hello"),
	}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(sim.Stats().Requests["PutRecord"], "requests,", len(sim.Records("telemetry")), "records")
	// Output:
	// 3 requests, 2 records
}

// Kinesis denies access to one operation only.
func ExampleForOperation() {
	ctx := context.Background()
	sim, err := kinesissim.Start(ctx, kinesissim.Config{
		Streams:   []kinesissim.Stream{{Name: "telemetry"}},
		Intercept: kinesissim.ForOperation("PutRecords", kinesissim.AnswerAll(kinesissim.DenyAccess())),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer sim.Close()
	client, name := exampleKinesis(sim), aws.String("telemetry")
	_, err = client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: name})
	fmt.Println("DescribeStreamSummary fails:", err != nil)
	_, err = client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: name, Records: []types.PutRecordsRequestEntry{
		{PartitionKey: aws.String("one"), Data: []byte("hello")},
	}})
	fmt.Println("PutRecords fails:", err != nil)
	fmt.Println(sim.Stats().Errors)
	// Output:
	// DescribeStreamSummary fails: false
	// PutRecords fails: true
	// map[AccessDeniedException:1]
}

// A custom interceptor: the first request of each connection is slow.
func ExampleInterceptor() {
	slowStart := func(r *kinesissim.Request) *kinesissim.Answer {
		if r.ConnRequests == 1 {
			return kinesissim.Delay(10 * time.Millisecond)
		}
		return nil
	}
	sim, err := kinesissim.Start(context.Background(), kinesissim.Config{Intercept: slowStart})
	if err != nil {
		log.Fatal(err)
	}
	defer sim.Close()
}
