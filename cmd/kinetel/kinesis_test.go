package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"regexp"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// serve runs the command until the returned function ends it.
func serve(t *testing.T, k *kinesisCommand) (client *kinesis.Client, end func() (stderr string)) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	reader, writer := io.Pipe()
	var stderr bytes.Buffer
	ended := make(chan error, 1)
	k.output, k.region = "json", "eu-west-1"
	go func() {
		err := k.run(ctx, writer, &stderr)
		writer.CloseWithError(err)
		ended <- err
	}()
	var served servedKinesis
	if err := json.NewDecoder(reader).Decode(&served); err != nil {
		t.Fatal(err)
	}
	client = kinesis.New(kinesis.Options{
		BaseEndpoint: &served.URL, Region: served.Region,
		// Only connections are tried again: the SDK may close one whose server answers at
		// once, and throttled requests are what the test counts.
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.Retryables = []retry.IsErrorRetryable{retry.RetryableConnectionError{}}
		}),
		Credentials: credentials.NewStaticCredentialsProvider("local", "local", ""),
	})
	return client, func() string {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		return stderr.String()
	}
}

func TestKinesisThrottlesAShareOfRecordsAndReads(t *testing.T) {
	t.Parallel()
	k := &kinesisCommand{streams: []string{"s"}, throttle: 0.3, requests: true}
	c, end := serve(t, k)
	in := &kinesis.PutRecordsInput{StreamName: aws.String("s")}
	for range 500 {
		in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: aws.String("k"), Data: []byte("x")})
	}
	out, err := c.PutRecords(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	if n := *out.FailedRecordCount; n < 100 || n > 200 {
		t.Errorf("%d of 500 records were throttled, want about 150", n)
	}
	it, err := c.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{
		StreamName: aws.String("s"), ShardId: aws.String("shardId-000000000000"), ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
	})
	if err != nil {
		t.Fatal(err)
	}
	throttled := 0
	for range 100 {
		if _, err := c.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it.ShardIterator, Limit: aws.Int32(1)}); err != nil {
			throttled++
		}
	}
	if throttled < 10 || throttled > 60 {
		t.Errorf("%d of 100 reads were throttled, want about 30", throttled)
	}
	log := end()
	for _, want := range []string{
		`(?m)^[0-9:.]{12} "PutRecords" "s", 500 records of 1000 bytes, 1[0-9]{2} refused: 200  in `,
		`"GetRecords" "s": 400 ProvisionedThroughputExceededException in `,
		`(?m)^kinetel: the Kinesis ends: [34][0-9]{2} records of [0-9]+ bytes were stored, 1[0-9]{2} refused$`,
	} {
		if !regexp.MustCompile(want).MatchString(log) {
			t.Errorf("standard error does not match %s:\n%.2000s", want, log)
		}
	}
}

func TestKinesisQuotesNamesOfClients(t *testing.T) {
	t.Parallel()
	k := &kinesisCommand{requests: true}
	c, end := serve(t, k)
	_, _ = c.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("\x1b[31m")})
	if log := end(); !bytes.Contains([]byte(log), []byte(`"\x1b[31m": 400 ValidationException`)) {
		t.Errorf("standard error is %q", log)
	}
}
