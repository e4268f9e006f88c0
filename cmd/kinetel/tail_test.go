package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/kinetel/kinetel/kinesissim"
)

func TestAContextEndsAReadThatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reason := errors.New("interrupted")
		ctx, cancel := context.WithCancelCause(t.Context())
		in, write := io.Pipe()
		ended := make(chan error, 1)
		r := &contextReader{ctx: ctx, in: in, read: &atomic.Int64{}}
		go func() {
			_, err := r.Read(make([]byte, 10))
			ended <- err
		}()
		synctest.Wait() // it reads
		cancel(reason)
		if err := <-ended; !errors.Is(err, reason) {
			t.Error(err)
		}
		if _, err := r.Read(make([]byte, 10)); !errors.Is(err, reason) {
			t.Errorf("a second read: %v", err)
		}
		_ = write.Close()
	})
}

func TestAContextReaderReadsAll(t *testing.T) {
	var read atomic.Int64
	text := strings.Repeat("0123456789", 1000)
	got, err := io.ReadAll(&contextReader{ctx: t.Context(), in: strings.NewReader(text), read: &read})
	if err != nil || string(got) != text || read.Load() != 10_000 {
		t.Errorf("%d bytes, %d counted, %v", len(got), read.Load(), err)
	}
}

// A consumer that stays is billed, so that its removal must not fail in silence.
func TestAConsumerThatCannotBeRemovedIsReported(t *testing.T) {
	sim, err := kinesissim.Start(t.Context(), kinesissim.Config{Streams: []kinesissim.Stream{{Name: "telemetry", Shards: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	sim.SetIntercept(kinesissim.ForOperation("DeregisterStreamConsumer", kinesissim.AnswerAll(kinesissim.DenyAccess())))
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-west-1",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		t.Setenv(name, value)
	}
	client := kinesis.New(kinesis.Options{BaseEndpoint: aws.String(sim.URL()), Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")})
	if _, err := client.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: aws.String("telemetry"), PartitionKey: aws.String("a"), Data: telemetry(1, 3)}); err != nil {
		t.Fatal(err)
	}
	root := newCommand()
	var out strings.Builder
	root.SetOut(&out)
	root.SetErr(io.Discard)
	root.SetArgs([]string{"tail", "telemetry", "--endpoint-url", sim.URL(), "--from", "horizon", "--max-events", "2", "--consumer", "mine"})
	err = root.ExecuteContext(t.Context())
	if err == nil || !strings.Contains(err.Error(), `the consumer "mine" is billed until you remove it`) || strings.Count(out.String(), "line") != 2 {
		t.Errorf("%v\n%s", err, out.String())
	}
}
