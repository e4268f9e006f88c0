package kinesissim_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
	"go.uber.org/goleak"

	"github.com/kinetel/kinetel/kinesissim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fakeClock is a clock that the test advances.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *fakeClock {
	return &fakeClock{now: time.Date(2026, 11, 22, 20, 15, 0, 0, time.UTC)}
}

func (c *fakeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func start(t testing.TB, cfg kinesissim.Config) *kinesissim.Server {
	t.Helper()
	sim, err := kinesissim.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return sim
}

// oneStream starts a server with the stream "s" with the given number of shards.
func oneStream(t testing.TB, shards int) *kinesissim.Server {
	t.Helper()
	return start(t, kinesissim.Config{Streams: []kinesissim.Stream{{Name: "s", Shards: shards}}})
}

// httpClient has connections of its own, which end with the test.
func httpClient(t testing.TB, tlsConfig *tls.Config) *http.Client {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: tlsConfig}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: ownBody{transport}}
}

// client is the real client of the SDK, without retries.
func client(t testing.TB, sim *kinesissim.Server, options ...func(*kinesis.Options)) *kinesis.Client {
	t.Helper()
	return kinesis.New(kinesis.Options{
		BaseEndpoint: aws.String(sim.URL()),
		Region:       "eu-west-1",
		Credentials:  credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		HTTPClient:   httpClient(t, nil),
		Retryer:      aws.NopRetryer{},
	}, options...)
}

// post sends a body that the SDK does not send.
func post(t testing.TB, sim *kinesissim.Server, operation, body string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sim.URL()+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "Kinesis_20131202."+operation)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 anything")
	resp, err := httpClient(t, nil).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// raw posts a body and returns the answer's status and members.
func raw(t testing.TB, sim *kinesissim.Server, operation, body string) (int, map[string]any) {
	t.Helper()
	resp := post(t, sim, operation, body)
	defer resp.Body.Close()
	if resp.Header.Get("X-Amzn-Requestid") == "" {
		t.Error("an answer without x-amzn-RequestId")
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	members := map[string]any{}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &members); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
	}
	return resp.StatusCode, members
}

// put stores one record under a key.
func put(ctx context.Context, c *kinesis.Client, stream, key string, data []byte) (*kinesis.PutRecordOutput, error) {
	return c.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: &stream, PartitionKey: &key, Data: data})
}

// putAll stores records by PutRecords.
func putAll(ctx context.Context, c *kinesis.Client, stream string, entries ...types.PutRecordsRequestEntry) (*kinesis.PutRecordsOutput, error) {
	return c.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: &stream, Records: entries})
}

func entry(key, data string) types.PutRecordsRequestEntry {
	return types.PutRecordsRequestEntry{PartitionKey: &key, Data: []byte(data)}
}

// wantError checks that the SDK has decoded an error into its type T.
func wantError[T error](t testing.TB, err error) (got T) {
	t.Helper()
	if !errors.As(err, &got) {
		t.Fatalf("error is %v, want a %T", err, got)
	}
	return got
}

// wantCode checks an API error for which the SDK has no type.
func wantCode(t testing.TB, err error, code string) smithy.APIError {
	t.Helper()
	var got smithy.APIError
	if !errors.As(err, &got) || got.ErrorCode() != code {
		t.Fatalf("error is %v, want %s", err, code)
	}
	return got
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func contains(t testing.TB, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%q does not contain %q", text, part)
	}
}

// exampleClient keeps no connection open after an example.
func exampleClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

// ownBody sends a copy of each request's body. smithy-go 1.28.8 puts the original back into
// its pool when the answer begins. net/http may look for the body's end after that, find
// another request's bytes, and close the connection.
type ownBody struct{ http.RoundTripper }

func (o ownBody) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	_ = req.Body.Close()
	req = req.Clone(req.Context())
	req.Body = io.NopCloser(bytes.NewReader(body))
	return o.RoundTripper.RoundTrip(req)
}
