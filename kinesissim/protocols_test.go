package kinesissim_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/kinesissim"
)

// h2c is a client that speaks HTTP/2 without TLS and without asking first.
func h2c(t testing.TB) *http.Client {
	t.Helper()
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func overHTTP2(t testing.TB, sim *kinesissim.Server) *kinesis.Client {
	return client(t, sim, func(o *kinesis.Options) { o.HTTPClient = h2c(t) })
}

func TestHTTP2WithoutTLS(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	c, ctx := overHTTP2(t, sim), t.Context()
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", []byte("1")))
	consumer := register(t, sim, c, "tail")
	out := must[*kinesis.SubscribeToShardOutput](t)(c.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{
		ConsumerARN: consumer.ConsumerARN, ShardId: aws.String(shardID(0)), StartingPosition: horizon(),
	}))
	events := out.GetStream()
	defer events.Close()
	if diff := cmp.Diff([]string{"1"}, data(next(events))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// The subscription and this request share a connection.
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", []byte("2")))
	if diff := cmp.Diff([]string{"2"}, data(next(events))); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if n := sim.Stats().Connections; n != 1 {
		t.Errorf("%d connections, want one", n)
	}
}

// Each way to end a connection also ends one with HTTP/2.
func TestEndingsOverHTTP2(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer *kinesissim.Answer
		ok     bool
		stored int
	}{
		"reset":              {kinesissim.ResetConnection(), false, 0},
		"no answer":          {kinesissim.DropAnswer(), false, 1},
		"half an answer":     {kinesissim.TruncateAnswer(10), false, 1},
		"close after answer": {kinesissim.CloseAfterAnswer(), true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			sim := oneStream(t, 1)
			sim.SetIntercept(kinesissim.AnswerInOrder(tc.answer))
			hc := h2c(t)
			post := func() error {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sim.URL(), io.NopCloser(strings.NewReader(`{"StreamName":"s","PartitionKey":"k","Data":""}`)))
				if err != nil {
					t.Fatal(err)
				}
				req.Header = http.Header{
					"Content-Type": {"application/x-amz-json-1.1"}, "X-Amz-Target": {"Kinesis_20131202.PutRecord"}, "Authorization": {"x"},
				}
				resp, err := hc.Do(req)
				if err != nil {
					return err
				}
				defer resp.Body.Close()
				_, err = io.ReadAll(resp.Body)
				return err
			}
			if err := post(); (err == nil) != tc.ok {
				t.Errorf("error %v", err)
			}
			if n := len(sim.Records("s")); n != tc.stored {
				t.Errorf("%d records, want %d", n, tc.stored)
			}
			if err := post(); err != nil {
				t.Errorf("the next request: %v", err)
			}
		})
	}
}

// Clients over HTTP/2 sign :authority instead of host. The signature is one of Python's hmac.
func TestSignatureOfAnAuthority(t *testing.T) {
	t.Parallel()
	sim, _ := signing(t)
	hc := h2c(t)
	for host, status := range map[string]int{"kinesis.test": 200, "kinesis.other": 400} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sim.URL()+"/", strings.NewReader(`{"StreamName":"s","PartitionKey":"k","Data":"QQ=="}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", "Kinesis_20131202.PutRecord")
		req.Header.Set("X-Amz-Date", "20261122T201500Z")
		req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/eu-west-1/kinesis/aws4_request, "+
			"SignedHeaders=:authority;content-type;x-amz-date;x-amz-target, Signature=4f4a939f525d73f2fe4537cf0d6b5797e0a40af3b5b53bc1b2e68501216549c5")
		resp, err := hc.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text := must[[]byte](t)(io.ReadAll(resp.Body))
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("%s: status %d, want %d: %s", host, resp.StatusCode, status, text)
		}
	}
}

// postCBOR sends a request as the SDK for Java does.
func postCBOR(t *testing.T, sim *kinesissim.Server, operation string, body any) (int, map[string]any) {
	t.Helper()
	text, raw := body.([]byte)
	if !raw {
		text = must[[]byte](t)(cbor.Marshal(body))
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, sim.URL(), bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-amz-cbor-1.1")
	req.Header.Set("X-Amz-Target", "Kinesis_20131202."+operation)
	req.Header.Set("Authorization", "x")
	resp, err := httpClient(t, nil).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "application/x-amz-cbor-1.1" {
		t.Errorf("the answer's type is %q", got)
	}
	members := map[string]any{}
	if text = must[[]byte](t)(io.ReadAll(resp.Body)); len(text) > 0 {
		if err := cbor.Unmarshal(text, &members); err != nil {
			t.Fatal(err)
		}
	}
	return resp.StatusCode, members
}

func TestCBOR(t *testing.T) {
	t.Parallel()
	clock := newClock()
	sim := start(t, kinesissim.Config{Now: clock.Now, Streams: []kinesissim.Stream{{Name: "s"}}})
	blob := []byte{0, 0xff, '"', '<'}
	status, got := postCBOR(t, sim, "PutRecords", map[string]any{
		"StreamName": "s", "Records": []any{map[string]any{"PartitionKey": "é", "Data": blob, "ExplicitHashKey": nil}},
	})
	if status != 200 || got["FailedRecordCount"] != uint64(0) {
		t.Fatalf("%d %v", status, got)
	}
	if r := sim.Records("s")[0]; !bytes.Equal(r.Data, blob) || r.PartitionKey != "é" {
		t.Errorf("stored %q under %q", r.Data, r.PartitionKey)
	}
	clock.Advance(1500 * time.Millisecond)
	must[*kinesis.PutRecordOutput](t)(put(t.Context(), client(t, sim), "s", "k", []byte("later")))
	// A timestamp is in milliseconds, in both directions.
	_, got = postCBOR(t, sim, "GetShardIterator", map[string]any{
		"StreamName": "s", "ShardId": shardID(0), "ShardIteratorType": "AT_TIMESTAMP",
		"Timestamp": cbor.Tag{Number: 1, Content: clock.Now().UnixMilli() - 500},
	})
	_, got = postCBOR(t, sim, "GetRecords", map[string]any{"ShardIterator": got["ShardIterator"]})
	records, _ := got["Records"].([]any)
	if len(records) != 1 {
		t.Fatalf("%d records, want the later one: %v", len(records), got)
	}
	record := records[0].(map[any]any)
	at, _ := record["ApproximateArrivalTimestamp"].(time.Time) // the decoder takes milliseconds for seconds
	if string(record["Data"].([]byte)) != "later" || at.Unix() != clock.Now().UnixMilli() {
		t.Errorf("%v, want milliseconds %d", record, clock.Now().UnixMilli())
	}

	for name, tc := range map[string]struct {
		operation string
		body      any
		kind      string
	}{
		"an error":              {"DescribeStream", map[string]any{"StreamName": "missing"}, "ResourceNotFoundException"},
		"a member of a type":    {"DescribeStream", map[string]any{"StreamName": 1}, "SerializationException"},
		"not a map":             {"ListStreams", []any{}, "SerializationException"},
		"keys that are numbers": {"ListStreams", map[int]int{1: 1}, "SerializationException"},
		"not a number":          {"ListStreams", []byte{0xa1, 0x61, 'x', 0xf9, 0x7e, 0x00}, "SerializationException"},
		"no CBOR":               {"ListStreams", []byte{0xbf}, "SerializationException"},
	} {
		if status, got := postCBOR(t, sim, tc.operation, tc.body); status != 400 || got["__type"] != tc.kind {
			t.Errorf("%s: %d %v, want %s", name, status, got, tc.kind)
		}
	}
}

// Interceptors see JSON, whatever the client sent.
func TestInterceptorsSeeCBORAsJSON(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	var body string
	sim.SetIntercept(func(r *kinesissim.Request) *kinesissim.Answer {
		body = string(r.Body)
		return kinesissim.Throttle()
	})
	if status, got := postCBOR(t, sim, "DescribeStream", map[string]any{"StreamName": "s"}); status != 400 || got["__type"] != "ProvisionedThroughputExceededException" {
		t.Errorf("%d %v", status, got)
	}
	if body != `{"StreamName":"s"}` {
		t.Errorf("body %s", body)
	}
}
