package kinesissim_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"

	ks "github.com/kinetel/kinetel/kinesissim"
)

// Every answer with an error of Kinesis, as the SDK reads it.
func TestAnswersWithErrors(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	c, ctx := client(t, sim), t.Context()
	try := func(a *ks.Answer) error {
		sim.SetIntercept(ks.AnswerAll(a))
		_, err := putAll(ctx, c, "s", entry("k", "x"))
		return err
	}
	status := func(err error) int {
		var answered interface{ HTTPStatusCode() int }
		if !errors.As(err, &answered) {
			return 0
		}
		return answered.HTTPStatusCode()
	}

	err := try(ks.Throttle())
	contains(t, wantError[*types.ProvisionedThroughputExceededException](t, err).ErrorMessage(), "Rate exceeded for stream s under account 123456789012.")
	if got := status(err); got != 400 {
		t.Errorf("Throttle has status %d", got)
	}
	err = try(ks.DenyAccess())
	contains(t, wantError[*types.AccessDeniedException](t, err).ErrorMessage(), "kinesis:PutRecords on resource: arn:aws:kinesis:eu-west-1:123456789012:stream/s because")
	wantCode(t, try(ks.RefuseExpiredToken()), "ExpiredTokenException")
	err = try(ks.Refuse(500, "InternalFailureException", "down"))
	if got := wantError[*types.InternalFailureException](t, err); got.ErrorMessage() != "down" || status(err) != 500 {
		t.Errorf("%d %v", status(err), err)
	}
	if err := try(ks.Refuse(503, "ServiceUnavailable", "")); status(err) != 503 {
		t.Errorf("%d %v", status(err), err)
	}
	wantError[*types.KMSThrottlingException](t, try(ks.Refuse(400, "KMSThrottlingException", "slow")))
	wantError[*types.LimitExceededException](t, try(ks.Refuse(400, "LimitExceededException", "enough")))
	if n := len(sim.Records("s")); n != 0 {
		t.Errorf("%d records were stored", n)
	}
	if stats := sim.Stats(); stats.Rejected != 7 || stats.Errors["AccessDeniedException"] != 1 {
		t.Errorf("%+v", stats)
	}
}

func TestFailRecords(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	c, ctx := client(t, sim), t.Context()
	codes := map[string]string{"b": throughputExceeded, "c": "InternalFailure", "d": "SomethingElse"}
	sim.SetIntercept(ks.AnswerAll(ks.FailRecords(func(i int, r ks.PutEntry) string {
		if want := string(rune('a' + i%5)); r.PartitionKey != want || string(r.Data) != strings.ToUpper(want) {
			t.Errorf("record %d is %q: %q", i, r.PartitionKey, r.Data)
		}
		return codes[r.PartitionKey]
	})))
	out := must[*kinesis.PutRecordsOutput](t)(putAll(ctx, c, "s",
		entry("a", "A"), entry("b", "B"), entry("c", "C"), entry("d", "D"), entry("e", "E")))
	if *out.FailedRecordCount != 3 {
		t.Errorf("%d failed", *out.FailedRecordCount)
	}
	var got []string
	for _, r := range out.Records {
		if (r.SequenceNumber == nil) != (r.ErrorCode != nil) || (r.ShardId == nil) != (r.ErrorCode != nil) {
			t.Errorf("%+v", r)
		}
		got = append(got, aws.ToString(r.ErrorCode)+": "+aws.ToString(r.ErrorMessage))
	}
	want := []string{
		": ",
		"ProvisionedThroughputExceededException: Rate exceeded for shard shardId-000000000000 in stream s under account 123456789012.",
		"InternalFailure: Internal service failure.",
		"SomethingElse: SomethingElse",
		": ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if records := sim.Records("s"); len(records) != 2 || records[0].PartitionKey != "a" || records[1].PartitionKey != "e" {
		t.Errorf("%+v", records)
	}

	// PutRecord has one record, so its failure is the request's.
	sim.SetIntercept(ks.AnswerAll(ks.FailRecords(func(_ int, r ks.PutEntry) string { return codes[r.PartitionKey] })))
	_, err := put(ctx, c, "s", "b", []byte("x"))
	wantError[*types.ProvisionedThroughputExceededException](t, err)
	_, err = put(ctx, c, "s", "c", []byte("x"))
	wantCode(t, err, "InternalFailure")
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "a", []byte("x")))
	// Other operations have no records.
	must[*kinesis.ListStreamsOutput](t)(c.ListStreams(ctx, &kinesis.ListStreamsInput{}))
}

// Every ending of a connection: what the client sees, and what was stored.
func TestEndingsOfConnections(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		answer *ks.Answer
		stored int
		is     error // one that the client's error wraps, or nil
	}{
		{"ResetConnection", ks.ResetConnection(), 0, syscall.ECONNRESET},
		{"DropAnswerAndReset", ks.DropAnswerAndReset(), 1, syscall.ECONNRESET},
		{"DropAnswer", ks.DropAnswer(), 1, io.EOF},
		{"TruncateAnswer", ks.TruncateAnswer(10), 1, io.ErrUnexpectedEOF},
		{"TruncateAnswer to nothing", ks.TruncateAnswer(0), 1, io.ErrUnexpectedEOF},
		{"ReplaceAnswer", ks.ReplaceAnswer("<html>not Kinesis</html>"), 1, nil},
		{"Throttle and drop", ks.Combine(ks.Throttle(), ks.DropAnswer()), 0, io.EOF},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			sim := oneStream(t, 1)
			c, ctx := client(t, sim), t.Context()
			sim.SetIntercept(ks.AnswerInOrder(tc.answer))
			_, err := putAll(ctx, c, "s", entry("k", "x"))
			if err == nil {
				t.Fatal("no error")
			}
			if tc.is != nil && !errors.Is(err, tc.is) {
				t.Errorf("%v, want %v", err, tc.is)
			}
			if n := len(sim.Records("s")); n != tc.stored {
				t.Errorf("%d records were stored, want %d", n, tc.stored)
			}
			must[*kinesis.PutRecordsOutput](t)(putAll(ctx, c, "s", entry("k", "y")))
			if n := len(sim.Records("s")); n != tc.stored+1 {
				t.Errorf("%d records were stored after the test", n)
			}
		})
	}
}

func TestTruncateAnswerBeyondTheEnd(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	sim.SetIntercept(ks.AnswerAll(ks.TruncateAnswer(1 << 20)))
	must[*kinesis.PutRecordsOutput](t)(putAll(t.Context(), client(t, sim), "s", entry("k", "x")))
}

func TestOmitResults(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	c, ctx := client(t, sim), t.Context()
	for cut, want := range []int{3, 2, 1, 0, 0} {
		sim.SetIntercept(ks.AnswerAll(ks.OmitResults(cut)))
		out := must[*kinesis.PutRecordsOutput](t)(putAll(ctx, c, "s", entry("a", "1"), entry("b", "2"), entry("c", "3")))
		if len(out.Records) != want || out.Records == nil {
			t.Errorf("%d results less one by %d", len(out.Records), cut)
		}
	}
	if n := len(sim.Records("s")); n != 15 {
		t.Errorf("%d records were stored", n)
	}
	must[*kinesis.ListStreamsOutput](t)(c.ListStreams(ctx, &kinesis.ListStreamsInput{}))
}

func TestHangEndsWhenTheClientDisconnects(t *testing.T) {
	t.Parallel()
	ended := make(chan ks.Observation, 1)
	sim := start(t, ks.Config{
		Streams:   []ks.Stream{{Name: "s"}},
		Intercept: ks.AnswerAll(ks.Hang()),
		OnRequest: func(o ks.Observation) { ended <- o },
	})
	ctx, cancel := context.WithCancel(t.Context())
	sim.SetIntercept(func(*ks.Request) *ks.Answer {
		cancel() // the client cancels as soon as its request is here
		return ks.Hang()
	})
	_, err := put(ctx, client(t, sim), "s", "k", []byte("x"))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if o := <-ended; o.Status != 0 || o.Failed != 1 {
		t.Errorf("%+v", o)
	}
	if n := len(sim.Records("s")); n != 0 {
		t.Errorf("%d records were stored", n)
	}
}

// The records of a client that cancels during a delay are stored.
func TestDelay(t *testing.T) {
	t.Parallel()
	ended := make(chan ks.Observation, 1)
	sim := start(t, ks.Config{
		Streams:   []ks.Stream{{Name: "s"}},
		OnRequest: func(o ks.Observation) { ended <- o },
	})
	const d = 30 * time.Millisecond
	ctx, cancel := context.WithCancel(t.Context())
	sim.SetIntercept(func(*ks.Request) *ks.Answer {
		cancel()
		return ks.Combine(ks.Delay(d/2), ks.Delay(d/2))
	})
	_, err := put(ctx, client(t, sim), "s", "k", []byte("x"))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if o := <-ended; o.Duration < d || o.Status != 200 {
		t.Errorf("%+v", o)
	}
	if n := len(sim.Records("s")); n != 1 {
		t.Errorf("%d records were stored", n)
	}
	sim.SetIntercept(ks.AnswerAll(ks.Combine(ks.Delay(time.Millisecond), ks.Throttle())))
	_, err = put(t.Context(), client(t, sim), "s", "k", []byte("x"))
	wantError[*types.ProvisionedThroughputExceededException](t, err)
	<-ended
}

// After CloseAfterAnswer the client's pool may contain the closed connection. The next
// successful request is on a new one.
func TestCloseAfterAnswer(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	c, ctx := client(t, sim), t.Context()
	sim.SetIntercept(ks.AnswerAll(ks.Combine(ks.CloseAfterAnswer(), ks.FailRecords(func(int, ks.PutEntry) string { return "InternalFailure" }))))
	for range 3 {
		out, err := putAll(ctx, c, "s", entry("k", "x"))
		if err != nil { // it was the dead connection
			out = must[*kinesis.PutRecordsOutput](t)(putAll(ctx, c, "s", entry("k", "x")))
		}
		if *out.FailedRecordCount != 1 {
			t.Error("Combine has lost an answer")
		}
	}
	if n := sim.Stats().Connections; n < 3 {
		t.Errorf("%d connections for 3 requests", n)
	}
}

func TestCombine(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	c, ctx := client(t, sim), t.Context()
	fail := func(key, code string) *ks.Answer {
		return ks.FailRecords(func(_ int, r ks.PutEntry) string {
			if r.PartitionKey == key {
				return code
			}
			return ""
		})
	}
	sim.SetIntercept(ks.AnswerAll(ks.Combine(nil, fail("a", "InternalFailure"), fail("a", "Other"), fail("b", "Other"), ks.OmitResults(0))))
	out := must[*kinesis.PutRecordsOutput](t)(putAll(ctx, c, "s", entry("a", "1"), entry("b", "2"), entry("c", "3")))
	got := []string{aws.ToString(out.Records[0].ErrorCode), aws.ToString(out.Records[1].ErrorCode), aws.ToString(out.Records[2].ErrorCode)}
	if diff := cmp.Diff([]string{"InternalFailure", "Other", ""}, got); diff != "" {
		t.Error(diff)
	}
	sim.SetIntercept(ks.AnswerAll(ks.Combine(ks.DenyAccess(), ks.Throttle())))
	_, err := put(ctx, c, "s", "k", []byte("x"))
	wantError[*types.AccessDeniedException](t, err)
	sim.SetIntercept(ks.AnswerAll(ks.Combine()))
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", []byte("x")))
}

func TestRequestOfAnInterceptor(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []ks.Request
	sim := start(t, ks.Config{
		Streams: []ks.Stream{{Name: "s"}},
		Intercept: func(r *ks.Request) *ks.Answer {
			mu.Lock()
			defer mu.Unlock()
			if r.Header.Get("Authorization") == "" || len(r.Body) == 0 {
				t.Error("no header or no body")
			}
			copied := *r
			copied.Header, copied.Body, copied.Conn, copied.ConnRequests = nil, nil, 0, 0
			seen = append(seen, copied)
			return nil
		},
	})
	c, ctx := client(t, sim), t.Context()
	e := entry("a", "1")
	e.ExplicitHashKey = aws.String("17")
	must[*kinesis.PutRecordsOutput](t)(c.PutRecords(ctx, &kinesis.PutRecordsInput{
		StreamARN: aws.String(sim.StreamARN("s")), Records: []types.PutRecordsRequestEntry{e, entry("b", "2")},
	}))
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "c", []byte("3")))
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "c", []byte("4")))
	it := iterator(t, ctx, c, kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeLatest})
	must[*kinesis.GetRecordsOutput](t)(c.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: it}))
	raw(t, sim, "PutRecord", `{"StreamName":"s","Data":"!"}`)

	mu.Lock()
	defer mu.Unlock()
	want := []ks.Request{
		{Operation: "PutRecords", Number: 1, Stream: "s", Entries: []ks.PutEntry{
			{PartitionKey: "a", ExplicitHashKey: "17", Data: []byte("1")}, {PartitionKey: "b", Data: []byte("2")},
		}},
		{Operation: "PutRecord", Number: 1, Stream: "s", Entries: []ks.PutEntry{{PartitionKey: "c", Data: []byte("3")}}},
		{Operation: "PutRecord", Number: 2, Stream: "s", Entries: []ks.PutEntry{{PartitionKey: "c", Data: []byte("4")}}},
		{Operation: "GetShardIterator", Number: 1, Stream: "s"},
		{Operation: "GetRecords", Number: 1, Stream: "s"},
		{Operation: "PutRecord", Number: 3, Stream: "s"},
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// A hook may use the server, and a panic in a hook is reported.
func TestInterceptorsMayUseTheServer(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	c, ctx := client(t, sim), t.Context()
	sim.SetIntercept(func(*ks.Request) *ks.Answer {
		sim.SetIntercept(nil)
		return ks.FailRecords(func(int, ks.PutEntry) string {
			return fmt.Sprint(len(sim.Records("s")), sim.Stats().Records)
		})
	})
	out := must[*kinesis.PutRecordsOutput](t)(putAll(ctx, c, "s", entry("k", "x")))
	if got := aws.ToString(out.Records[0].ErrorCode); got != "0 0" {
		t.Errorf("%q", got)
	}
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", []byte("x")))

	sim.SetIntercept(func(*ks.Request) *ks.Answer { panic("at the disco") })
	_, err := put(ctx, c, "s", "k", []byte("x"))
	contains(t, wantCode(t, err, "InternalFailure").ErrorMessage(), "at the disco")
}

func TestInterceptors(t *testing.T) {
	t.Parallel()
	pattern := func(hook func(*ks.Request) *ks.Answer, operation string) string {
		var b strings.Builder
		for range 400 {
			if hook(&ks.Request{Operation: operation}) == nil {
				b.WriteByte('.')
			} else {
				b.WriteByte('x')
			}
		}
		return b.String()
	}
	first := pattern(ks.AnswerAtRandom(7, 0.25, ks.Throttle()), "PutRecords")
	if again := pattern(ks.AnswerAtRandom(7, 0.25, ks.Throttle()), "PutRecords"); again != first {
		t.Error("the same seed has another schedule")
	}
	if other := pattern(ks.AnswerAtRandom(8, 0.25, ks.Throttle()), "PutRecords"); other == first {
		t.Error("another seed has the same schedule")
	}
	if n := strings.Count(first, "x"); n < 70 || n > 130 {
		t.Errorf("%d of 400 for a quarter", n)
	}
	if n := strings.Count(pattern(ks.AnswerAtRandom(7, 0, ks.Throttle()), ""), "x"); n != 0 {
		t.Errorf("%d of 400 for none", n)
	}
	if n := strings.Count(pattern(ks.AnswerAtRandom(7, 1, ks.Throttle()), ""), "x"); n != 400 {
		t.Errorf("%d of 400 for all", n)
	}
	only := ks.ForOperation("PutRecords", ks.AnswerAll(ks.Throttle()))
	if only(&ks.Request{Operation: "PutRecord"}) != nil || only(&ks.Request{Operation: "PutRecords"}) == nil {
		t.Error("On")
	}
	if got := pattern(ks.AnswerInOrder(ks.Throttle(), nil, ks.ResetConnection()), "")[:5]; got != "x.x.." {
		t.Errorf("Sequence: %s", got)
	}

	sim := oneStream(t, 1)
	c := client(t, sim)
	sim.SetIntercept(ks.FailRecordsAtRandom(1, 0.5, "InternalFailure"))
	out := must[*kinesis.PutRecordsOutput](t)(putAll(t.Context(), c, "s", batch(500, "k", "0", "x")...))
	if n := *out.FailedRecordCount; n < 200 || n > 300 {
		t.Errorf("%d of 500 for a half", n)
	}
}

func TestAClientThatDisconnectsInItsBodyDoesNoHarm(t *testing.T) {
	t.Parallel()
	ended := make(chan ks.Observation, 1)
	sim := start(t, ks.Config{OnRequest: func(o ks.Observation) { ended <- o }})
	conn, err := net.Dial("tcp", strings.TrimPrefix(sim.URL(), "http://"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nX-Amz-Target: Kinesis_20131202.PutRecords\r\nContent-Length: 10\r\n\r\n{"); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if o := <-ended; o.Status != 0 || o.Operation != "PutRecords" {
		t.Errorf("%+v", o)
	}
}
