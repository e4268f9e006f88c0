// Package kinesislocal runs the extension into kinesis-local, a Kinesis of
// another project, and reads the stream with the AWS SDK's client. It finds what the
// embedded Kinesis of the other tests gets wrong.
//
// It needs Node and the npm package; `make integration` installs it and names
// its folder in KINETEL_KINESIS_LOCAL.
package kinesislocal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/kinetel/kinetel/record"
	"github.com/kinetel/kinetel/test/sandbox"
)

var binaries sandbox.Binaries // set once by TestMain

const folderVariable = "KINETEL_KINESIS_LOCAL"

func TestMain(m *testing.M) {
	if os.Getenv(folderVariable) == "" {
		// Plain `go test ./...` must work without Node. `make test` sets the
		// variable.
		fmt.Println("not run: " + folderVariable + " is not set; `make integration` runs these tests")
		return
	}
	os.Exit(sandbox.Main(m, &binaries))
}

const region = "eu-west-1"

// startKinesis starts kinesis-local with one stream and returns a client of it
// and its URL.
func startKinesis(t *testing.T, shards int) (*kinesis.Client, string) {
	t.Helper()
	plain, secure := freePort(t), freePort(t)
	node := exec.Command("node", "main.js")
	node.Dir = os.Getenv(folderVariable) // it reads its certificate from there
	node.Env = append(os.Environ(),
		"KINESIS_MOCK_PLAIN_PORT="+strconv.Itoa(plain),
		"KINESIS_MOCK_TLS_PORT="+strconv.Itoa(secure),
		"INITIALIZE_STREAMS="+sandbox.Stream+":"+strconv.Itoa(shards),
		"AWS_REGION="+region,
		"LOG_LEVEL=WARN",
	)
	var output bytes.Buffer
	node.Stdout, node.Stderr = &output, &output
	node.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := node.Start(); err != nil {
		t.Fatalf("start kinesis-local: %v", err)
	}
	exited := make(chan struct{})
	go func() { defer close(exited); _ = node.Wait() }()
	t.Cleanup(func() { _ = node.Process.Kill(); <-exited })

	url := "http://127.0.0.1:" + strconv.Itoa(plain)
	client := kinesis.New(kinesis.Options{
		Region:       region,
		BaseEndpoint: aws.String(url),
		Credentials:  credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "not-a-secret", ""),
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		out, err := client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(sandbox.Stream)})
		if err == nil && out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive {
			return client, url
		}
		select {
		case <-ticker.C:
		case <-exited:
			t.Fatalf("kinesis-local ended:\n%s", output.String())
		case <-ctx.Done():
			t.Fatalf("kinesis-local has no stream: %v", err)
		}
	}
}

// freePort returns a port that was free a moment ago: kinesis-local cannot
// choose one itself.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// read returns the data of all records of all shards, and how many are in each
// shard.
func read(t *testing.T, client *kinesis.Client) (records [][]byte, perShard map[string]int) {
	t.Helper()
	ctx := t.Context()
	perShard = map[string]int{}
	shards, err := client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: aws.String(sandbox.Stream)})
	if err != nil {
		t.Fatal(err)
	}
	for _, shard := range shards.Shards {
		it, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
			StreamName: aws.String(sandbox.Stream), ShardId: shard.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon,
		})
		if err != nil {
			t.Fatal(err)
		}
		for iterator := it.ShardIterator; iterator != nil; {
			out, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: iterator})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range out.Records {
				records = append(records, r.Data)
				perShard[*shard.ShardId]++
			}
			if len(out.Records) == 0 && aws.ToInt64(out.MillisBehindLatest) == 0 {
				break
			}
			iterator = out.NextShardIterator
		}
	}
	return records, perShard
}

func TestEverythingArrivesOnce(t *testing.T) {
	client, url := startKinesis(t, 4)
	r := sandbox.Start(t, binaries, sandbox.Options{Endpoint: url, Env: map[string]string{"KINETEL_PARTITION_KEY": "random"}})
	for i := range 20 {
		r.Invoke(fmt.Sprintf(`{"id":"run-%d","lines":10,"format":"mixed"}`, i))
	}
	r.Invoke(`{"id":"long","lines":3,"bytes":60000}`)
	r.Invoke(`{"id":"burst","lines":20000}`)
	var perShard map[string]int
	r.Complete(func() []record.Event {
		var records [][]byte
		records, perShard = read(t, client)
		return sandbox.Decode(t, records)
	})
	if len(perShard) < 2 {
		t.Errorf("random partition keys filled only %v", perShard)
	}
}

func TestAMissingStreamIsNamedInTheLog(t *testing.T) {
	client, url := startKinesis(t, 1)
	r := sandbox.Start(t, binaries, sandbox.Options{Endpoint: url, Env: map[string]string{"KINETEL_STREAM_NAME": "another"}})
	r.Invoke(`{"id":"nowhere","lines":3}`)
	r.Ended(r.Shutdown())
	if log := r.Log(); !bytes.Contains([]byte(log), []byte("ResourceNotFoundException")) || !bytes.Contains([]byte(log), []byte("check KINETEL_STREAM_NAME")) {
		t.Errorf("the log does not name the problem:\n%s", log)
	}
	// The client agrees with the extension about what is wrong.
	_, err := client.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("another")})
	if missing := (*types.ResourceNotFoundException)(nil); !errors.As(err, &missing) {
		t.Errorf("the error of the SDK is %v", err)
	}
}
