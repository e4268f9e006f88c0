package kinesissim_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/kinetel/kinetel/kinesissim"
)

func TestStartRefuses(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]kinesissim.Config{
		"every address":       {Addr: ":0"},
		"any IPv4 address":    {Addr: "0.0.0.0:0"},
		"any IPv6 address":    {Addr: "[::]:0"},
		"a foreign address":   {Addr: "192.0.2.1:0"},
		"a name":              {Addr: "example.com:80"},
		"no port":             {Addr: "127.0.0.1"},
		"a bad stream":        {Streams: []kinesissim.Stream{{Name: "no spaces"}}},
		"a stream twice":      {Streams: []kinesissim.Stream{{Name: "a"}, {Name: "a"}}},
		"a negative number":   {Streams: []kinesissim.Stream{{Name: "a", Shards: -1}}},
		"records too large":   {Streams: []kinesissim.Stream{{Name: "a", MaxRecordSizeKiB: 10241}}},
		"records too small":   {Streams: []kinesissim.Stream{{Name: "a", MaxRecordSizeKiB: 1023}}},
		"retention too short": {Streams: []kinesissim.Stream{{Name: "a", RetentionHours: 23}}},
	} {
		t.Run(name, func(t *testing.T) {
			sim, err := kinesissim.Start(t.Context(), cfg)
			if err == nil {
				sim.Close()
				t.Fatal("started")
			}
		})
	}
	sim := start(t, kinesissim.Config{Addr: "localhost:0"})
	contains(t, sim.URL(), "http://127.0.0.1:")
}

func TestStreamsByAPI(t *testing.T) {
	t.Parallel()
	clock := newClock()
	sim := start(t, kinesissim.Config{Now: clock.Now, ShardLimit: 20})
	c, ctx := client(t, sim), t.Context()

	must[*kinesis.CreateStreamOutput](t)(c.CreateStream(ctx, &kinesis.CreateStreamInput{
		StreamName: aws.String("orders"), ShardCount: aws.Int32(3), MaxRecordSizeInKiB: aws.Int32(2048),
	}))
	must[*kinesis.CreateStreamOutput](t)(c.CreateStream(ctx, &kinesis.CreateStreamInput{
		StreamName: aws.String("free"), StreamModeDetails: &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand},
	}))

	for name, in := range map[string]*kinesis.DescribeStreamSummaryInput{
		"by name": {StreamName: aws.String("orders")},
		"by ARN":  {StreamARN: aws.String(sim.StreamARN("orders"))},
		"by both": {StreamName: aws.String("orders"), StreamARN: aws.String(sim.StreamARN("orders"))},
	} {
		out, err := c.DescribeStreamSummary(ctx, in)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		d := out.StreamDescriptionSummary
		got := []any{
			*d.StreamName, *d.StreamARN, d.StreamStatus, *d.OpenShardCount, *d.MaxRecordSizeInKiB,
			*d.RetentionPeriodHours, d.StreamModeDetails.StreamMode, d.EncryptionType, d.StreamCreationTimestamp.UTC(),
		}
		want := []any{
			"orders", "arn:aws:kinesis:eu-west-1:123456789012:stream/orders", types.StreamStatusActive, int32(3), int32(2048),
			int32(24), types.StreamModeProvisioned, types.EncryptionTypeNone, clock.Now(),
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: (-want +got)\n%s", name, diff)
		}
	}
	described := must[*kinesis.DescribeStreamOutput](t)(c.DescribeStream(ctx, &kinesis.DescribeStreamInput{
		StreamName: aws.String("orders"), Limit: aws.Int32(2),
	}))
	if d := described.StreamDescription; len(d.Shards) != 2 || !*d.HasMoreShards {
		t.Errorf("DescribeStream returned %d shards, more: %v", len(d.Shards), *d.HasMoreShards)
	}

	listed := must[*kinesis.ListStreamsOutput](t)(c.ListStreams(ctx, &kinesis.ListStreamsInput{Limit: aws.Int32(1)}))
	if diff := cmp.Diff([]string{"free"}, listed.StreamNames); diff != "" || !*listed.HasMoreStreams {
		t.Errorf("first page: %v, more: %v", listed.StreamNames, *listed.HasMoreStreams)
	}
	if mode := listed.StreamSummaries[0].StreamModeDetails.StreamMode; mode != types.StreamModeOnDemand {
		t.Errorf("mode %s", mode)
	}
	second := must[*kinesis.ListStreamsOutput](t)(c.ListStreams(ctx, &kinesis.ListStreamsInput{NextToken: listed.NextToken}))
	third := must[*kinesis.ListStreamsOutput](t)(c.ListStreams(ctx, &kinesis.ListStreamsInput{ExclusiveStartStreamName: aws.String("free")}))
	for _, page := range []*kinesis.ListStreamsOutput{second, third} {
		if diff := cmp.Diff([]string{"orders"}, page.StreamNames); diff != "" || *page.HasMoreStreams {
			t.Errorf("last page: %v, more: %v", page.StreamNames, *page.HasMoreStreams)
		}
	}

	_, err := c.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("orders"), ShardCount: aws.Int32(1)})
	wantError[*types.ResourceInUseException](t, err)
	_, err = c.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("more"), ShardCount: aws.Int32(14)})
	wantError[*types.LimitExceededException](t, err)
	_, err = c.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("more"), ShardCount: aws.Int32(13)})
	if err != nil {
		t.Errorf("at the limit of shards: %v", err)
	}
	for _, in := range []*kinesis.CreateStreamInput{
		{StreamName: aws.String("none")},
		{StreamName: aws.String("zero"), ShardCount: aws.Int32(0)},
		{StreamName: aws.String("no spaces"), ShardCount: aws.Int32(1)},
		{StreamName: aws.String(strings.Repeat("n", 129)), ShardCount: aws.Int32(1)},
		{StreamName: aws.String("large"), ShardCount: aws.Int32(1), MaxRecordSizeInKiB: aws.Int32(10241)},
		{StreamName: aws.String("mode"), StreamModeDetails: &types.StreamModeDetails{StreamMode: "OTHER"}},
		{StreamName: aws.String("both"), ShardCount: aws.Int32(1), StreamModeDetails: &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}},
	} {
		_, err := c.CreateStream(ctx, in)
		wantError[*types.ValidationException](t, err)
	}

	must[*kinesis.DeleteStreamOutput](t)(c.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamARN: aws.String(sim.StreamARN("orders"))}))
	_, err = c.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: aws.String("orders")})
	wantError[*types.ResourceNotFoundException](t, err)
	_, err = c.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("orders")})
	wantError[*types.ResourceNotFoundException](t, err)
	_, err = c.DescribeStream(ctx, &kinesis.DescribeStreamInput{StreamName: aws.String("orders")})
	wantError[*types.ResourceNotFoundException](t, err)
	_, err = c.ListShards(ctx, &kinesis.ListShardsInput{StreamName: aws.String("orders")})
	wantError[*types.ResourceNotFoundException](t, err)
}

func TestStreamsByMethods(t *testing.T) {
	t.Parallel()
	sim := start(t, kinesissim.Config{Region: "us-gov-west-1", AccountID: "999999999999"})
	if err := sim.CreateStream(kinesissim.Stream{Name: "a"}); err != nil {
		t.Fatal(err)
	}
	if err := sim.CreateStream(kinesissim.Stream{Name: "a"}); err == nil {
		t.Error("made twice")
	}
	if got := sim.Records("a"); got == nil || len(got) != 0 {
		t.Errorf("records of an empty stream: %v", got)
	}
	if err := sim.DeleteStream("a"); err != nil {
		t.Fatal(err)
	}
	if err := sim.DeleteStream("a"); err == nil {
		t.Error("deleted twice")
	}
	if got := sim.Records("a"); got != nil {
		t.Errorf("records of no stream: %v", got)
	}
	if got, want := sim.StreamARN("a"), "arn:aws:kinesis:us-gov-west-1:999999999999:stream/a"; got != want {
		t.Errorf("ARN %s, want %s", got, want)
	}
}

func TestStreamNaming(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	c, ctx := client(t, sim), t.Context()
	describe := func(name, arn *string) error {
		_, err := c.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: name, StreamARN: arn})
		return err
	}
	wantError[*types.ResourceNotFoundException](t, describe(nil, aws.String("arn:aws:kinesis:eu-west-1:111111111111:stream/s")))
	wantError[*types.ResourceNotFoundException](t, describe(nil, aws.String("arn:aws:kinesis:eu-west-2:123456789012:stream/s")))
	wantError[*types.InvalidArgumentException](t, describe(aws.String("t"), aws.String(sim.StreamARN("s"))))
	wantError[*types.ValidationException](t, describe(nil, nil))
	wantError[*types.ValidationException](t, describe(aws.String(""), nil))
	if status, got := raw(t, sim, "DescribeStreamSummary", `{"StreamARN":"arn:aws:s3:::bucket"}`); status != 400 || got["__type"] != "ValidationException" {
		t.Errorf("%d %v", status, got)
	}
}

// Answers to requests that no SDK sends.
func TestProtocolErrors(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	for _, tc := range []struct {
		name, operation, body, kind, message string
	}{
		{"unknown operation", "SplitShards", `{}`, "UnknownOperationException", `The embedded Kinesis has no operation "SplitShards". It has AddTagsToStream, CreateStream, `},
		{"no body", "ListStreams", ``, "SerializationException", ""},
		{"not JSON", "ListStreams", `{`, "SerializationException", ""},
		{"not an object", "ListStreams", ` [1] `, "SerializationException", "list"},
		{"a number for a string", "PutRecord", `{"StreamName":1}`, "SerializationException", "NUMBER_VALUE"},
		{"true for a string", "PutRecord", `{"StreamName":true}`, "SerializationException", "TRUE_VALUE"},
		{"false for a string", "PutRecord", `{"StreamName":false}`, "SerializationException", "FALSE_VALUE"},
		{"a string for a number", "ListStreams", `{"Limit":"1"}`, "SerializationException", "STRING_VALUE"},
		{"a string for a flag", "PutRecord", `{"DryRun":"yes"}`, "SerializationException", "STRING_VALUE"},
		{"a string for a time", "GetShardIterator", `{"Timestamp":"now"}`, "SerializationException", "STRING_VALUE"},
		{"a string for a list", "PutRecords", `{"Records":"x"}`, "SerializationException", "STRING_VALUE"},
		{"a string for a record", "PutRecords", `{"Records":["x"]}`, "SerializationException", "STRING_VALUE"},
		{"null for a record", "PutRecords", `{"Records":[null]}`, "SerializationException", "NULL_VALUE"},
		{"an object for data", "PutRecord", `{"Data":{}}`, "SerializationException", "structure"},
		{"base64 without padding", "PutRecord", `{"Data":"QQ"}`, "SerializationException", "multiple of 4 bytes but found: 2"},
		{"base64 for URLs", "PutRecord", `{"Data":"_-__"}`, "SerializationException", "Base64"},
		{"base64 with line breaks", "PutRecord", `{"Data":"QUJD\n\n\n\n"}`, "SerializationException", "line break"},
		{"base64 with trailing bits", "PutRecord", `{"Data":"QR=="}`, "SerializationException", "Base64"},
		{"bytes that are not UTF-8", "PutRecord", "{\"StreamName\":\"\xff\"}", "SerializationException", "UTF-8"},
		{"the same after an escape", "PutRecord", "{\"StreamName\":\"\\n\xff\"}", "SerializationException", "UTF-8"},
		{"names in the wrong case", "PutRecord", `{"streamName":"s","data":"","partitionKey":"k"}`, "ValidationException", "3 validation errors detected: Value null at 'partitionKey'"},
		{"a limit out of range", "ListStreams", `{"Limit":0}`, "ValidationException", "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1"},
		{"a limit beyond integers", "ListStreams", `{"Limit":1e300}`, "ValidationException", "less than or equal to 10000"},
		{"a next token that is none of the server's", "ListStreams", `{"NextToken":"x"}`, "InvalidArgumentException", "NextToken"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			status, got := raw(t, sim, tc.operation, tc.body)
			if status != 400 || got["__type"] != tc.kind {
				t.Fatalf("%d %v, want 400 %s", status, got, tc.kind)
			}
			message, _ := got["message"].(string)
			contains(t, message, tc.message)
		})
	}
	if got := len(sim.Records("s")); got != 0 {
		t.Errorf("%d records were stored", got)
	}
	if got := sim.Stats().Errors["SerializationException"]; got == 0 {
		t.Error("no such error in the figures")
	}
}

func TestAnyValidJSONIsAccepted(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	status, got := raw(t, sim, "PutRecords", " {\t\"Records\" : [ {\"Data\":\"\\u0051UJD\" ,\"PartitionKey\":\"a\\\"\\\\\",\"ExplicitHashKey\":null,\"Other\":{\"x\":[1,{}]}}\n,{\"PartitionKey\":\"\\u00e9\",\"Data\":\"\"} ],\"Unknown\":-1.5e3,\"StreamName\":\"s\",\"DryRun\":false}\r\n")
	if status != 200 || got["FailedRecordCount"] != 0.0 {
		t.Fatalf("%d %v", status, got)
	}
	records := sim.Records("s")
	if len(records) != 2 || string(records[0].Data) != "ABC" || records[0].PartitionKey != `a"\` || records[1].PartitionKey != "é" {
		t.Errorf("%+v", records)
	}
}

func TestChecksBeforeTheOperation(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	hc := httpClient(t, nil)
	for _, tc := range []struct {
		name, method, path, target, media, auth, body string
		status                                        int
		text                                          string
	}{
		{"GET", "GET", "/", "", "", "x", "", 403, "<AccessDeniedException>"},
		{"another type", "POST", "/", "Kinesis_20131202.ListStreams", "application/x-amz-json-1.0", "x", "{}", 403, "<AccessDeniedException>"},
		{"another service", "POST", "/", "DynamoDB_20120810.ListTables", "application/x-amz-json-1.1", "x", "{}", 400, "UnknownOperationException"},
		{"no target", "POST", "/", "", "application/x-amz-json-1.1", "x", "{}", 400, "UnknownOperationException"},
		{"another path", "POST", "/x", "Kinesis_20131202.ListStreams", "application/x-amz-json-1.1", "x", "{}", 400, "answers requests for /, not for /x"},
		{"no signature", "POST", "/", "Kinesis_20131202.ListStreams", "application/x-amz-json-1.1", "", "{}", 400, `"MissingAuthenticationTokenException","message":"Missing Authentication Token"`},
		{"a valid request", "POST", "/", "Kinesis_20131202.ListStreams", "application/x-amz-json-1.1; charset=utf-8", "x", "{}", 200, `"StreamNames":["s"]`},
		{"body too large", "POST", "/", "Kinesis_20131202.ListStreams", "application/x-amz-json-1.1", "x", strings.Repeat(" ", 16<<20+1), 413, "RequestEntityTooLargeException"},
		{"body of the largest size", "POST", "/", "Kinesis_20131202.ListStreams", "application/x-amz-json-1.1", "x", strings.Repeat("x", 16<<20), 400, "SerializationException"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), tc.method, sim.URL()+tc.path, strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}
			for name, v := range map[string]string{"X-Amz-Target": tc.target, "Content-Type": tc.media, "Authorization": tc.auth} {
				if v != "" {
					req.Header.Set(name, v)
				}
			}
			resp, err := hc.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			text, err := io.ReadAll(resp.Body)
			if err != nil || resp.StatusCode != tc.status {
				t.Fatalf("status %d, want %d (%v): %s", resp.StatusCode, tc.status, err, text)
			}
			contains(t, string(text), tc.text)
		})
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	sim := start(t, kinesissim.Config{TLS: true, Streams: []kinesissim.Stream{{Name: "s"}}})
	contains(t, sim.URL(), "https://127.0.0.1:")
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(sim.CertificatePEM()) {
		t.Fatal("no certificate")
	}
	c := client(t, sim, func(o *kinesis.Options) { o.HTTPClient = httpClient(t, &tls.Config{RootCAs: pool}) })
	must[*kinesis.PutRecordOutput](t)(put(t.Context(), c, "s", "k", []byte("x")))

	sim.SetIntercept(kinesissim.AnswerAll(kinesissim.ResetConnection()))
	if _, err := put(t.Context(), c, "s", "k", []byte("x")); err == nil {
		t.Error("no error after a reset")
	}
	sim.SetIntercept(nil)
	if _, err := put(t.Context(), client(t, sim), "s", "k", []byte("x")); err == nil {
		t.Error("a client that does not trust the authority got an answer")
	}
	if sim := oneStream(t, 1); sim.CertificatePEM() != nil {
		t.Error("a certificate without TLS")
	}
}

func TestObservations(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []kinesissim.Observation
	sim := start(t, kinesissim.Config{
		Streams:   []kinesissim.Stream{{Name: "s"}},
		OnRequest: func(o kinesissim.Observation) { mu.Lock(); seen = append(seen, o); mu.Unlock() },
	})
	c, ctx := client(t, sim), t.Context()
	sim.SetIntercept(kinesissim.AnswerInOrder(nil, kinesissim.FailRecords(func(i int, _ kinesissim.PutEntry) string {
		return []string{"InternalFailure", ""}[i%2]
	}), kinesissim.Throttle(), kinesissim.DropAnswer()))
	for range 4 {
		_, _ = putAll(ctx, c, "s", entry("k", "abc"), entry("kk", "abcd"))
	}

	mu.Lock()
	defer mu.Unlock()
	for i := range seen {
		if seen[i].Duration <= 0 || seen[i].RequestID == "" {
			t.Errorf("%+v", seen[i])
		}
		seen[i].Duration, seen[i].RequestID, seen[i].Conn, seen[i].ConnRequests = 0, "", 0, 0
	}
	base := kinesissim.Observation{Operation: "PutRecords", Stream: "s", Records: 2, Bytes: 10, Status: 200}
	want := []kinesissim.Observation{base, base, base, base}
	want[1].Failed = 1
	want[2].Failed, want[2].Status, want[2].Error = 2, 400, "ProvisionedThroughputExceededException"
	want[3].Status = 0
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	stats := kinesissim.Stats{
		Requests:   map[string]int{"PutRecords": 4},
		Errors:     map[string]int{"ProvisionedThroughputExceededException": 1},
		Unanswered: 1, Records: 5, Bytes: 26, Rejected: 3,
	}
	got := sim.Stats()
	got.Connections = 0 // depends on the client's pool
	if diff := cmp.Diff(stats, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Observations show whether a connection is reused.
func TestConnectionsAreCounted(t *testing.T) {
	t.Parallel()
	type use struct {
		Conn         uint64
		ConnRequests int
	}
	var mu sync.Mutex
	var hooked, observed []use
	sim := start(t, kinesissim.Config{
		Intercept: func(r *kinesissim.Request) *kinesissim.Answer {
			mu.Lock()
			defer mu.Unlock()
			hooked = append(hooked, use{r.Conn, r.ConnRequests})
			return nil
		},
		OnRequest: func(o kinesissim.Observation) {
			mu.Lock()
			defer mu.Unlock()
			observed = append(observed, use{o.Conn, o.ConnRequests})
		},
	})
	dial := func() (request func()) {
		conn, err := net.Dial("tcp", strings.TrimPrefix(sim.URL(), "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		answers := bufio.NewReader(conn)
		return func() {
			const text = "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: x\r\nContent-Type: application/x-amz-json-1.1\r\n" +
				"X-Amz-Target: Kinesis_20131202.ListStreams\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
			if _, err := io.WriteString(conn, text); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(answers, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
				t.Fatal(resp.Status, err)
			}
		}
	}
	one := dial()
	one()
	one()
	dial()()
	one()
	mu.Lock()
	defer mu.Unlock()
	want := []use{{1, 1}, {1, 2}, {2, 1}, {1, 3}}
	if diff := cmp.Diff([][]use{want, want}, [][]use{hooked, observed}); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if n := sim.Stats().Connections; n != 2 {
		t.Errorf("%d connections", n)
	}
}

// The connections are idle, hang, are delayed, or have sent a part of a request.
func TestCloseEndsEverything(t *testing.T) {
	before := goleak.IgnoreCurrent()
	entered := make(chan struct{}, 2)
	answers := make(chan *kinesissim.Answer, 2)
	answers <- kinesissim.Hang()
	answers <- kinesissim.Delay(time.Hour)
	sim, err := kinesissim.Start(t.Context(), kinesissim.Config{
		Streams: []kinesissim.Stream{{Name: "s"}},
		Intercept: func(*kinesissim.Request) *kinesissim.Answer {
			entered <- struct{}{}
			return <-answers
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	c := client(t, sim, func(o *kinesis.Options) { o.HTTPClient = &http.Client{Transport: transport} })
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			if _, err := put(context.Background(), c, "s", "k", []byte("x")); err == nil {
				t.Error("an answer from a closed server")
			}
		})
		<-entered
	}
	silent, err := net.Dial("tcp", strings.TrimPrefix(sim.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	half, err := net.Dial("tcp", strings.TrimPrefix(sim.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	if _, err := io.WriteString(half, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}

	if err := sim.Close(); err != nil {
		t.Error(err)
	}
	if err := sim.Close(); err != nil {
		t.Error("closed twice:", err)
	}
	wg.Wait()
	if n := len(sim.Records("s")); n != 0 {
		t.Errorf("%d records were stored by requests that Close has ended", n)
	}
	if _, err := put(context.Background(), c, "s", "k", nil); err == nil {
		t.Error("served after Close")
	}
	transport.CloseIdleConnections()
	goleak.VerifyNone(t, before)
}

func TestResetConnections(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	c, ctx := client(t, sim), t.Context()
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", []byte("1")))
	sim.ResetConnections()
	// The pool may contain the closed connection; the second attempt is on a new one.
	if _, err := put(ctx, c, "s", "k", []byte("2")); err != nil {
		must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", []byte("2")))
	}
	if n := sim.Stats().Connections; n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

func TestConcurrentRequests(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 4)
	c, ctx := client(t, sim), t.Context()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 20 {
				if _, err := putAll(ctx, c, "s", entry("a", "1"), entry("b", "2"), entry("c", "3")); err != nil {
					t.Error(err)
				}
				_ = sim.Stats()
				_ = sim.Records("s")
			}
		})
	}
	wg.Wait()
	records := sim.Records("s")
	if len(records) != 16*20*3 {
		t.Errorf("%d records", len(records))
	}
	last := map[string]string{}
	for _, r := range records {
		if len(r.SequenceNumber) != 56 || r.SequenceNumber <= last[r.ShardID] {
			t.Fatalf("sequence number %s after %s", r.SequenceNumber, last[r.ShardID])
		}
		last[r.ShardID] = r.SequenceNumber
	}
}

func TestRecordsAreCopies(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	must[*kinesis.PutRecordOutput](t)(put(t.Context(), client(t, sim), "s", "k", bytes.Repeat([]byte{7}, 9)))
	sim.Records("s")[0].PartitionKey = "changed"
	if got := sim.Records("s")[0].PartitionKey; got != "k" {
		t.Errorf("key %q", got)
	}
}
