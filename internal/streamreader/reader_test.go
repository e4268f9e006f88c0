package streamreader_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/kinetel/kinetel/internal/streamreader"
	"github.com/kinetel/kinetel/kinesissim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start starts a Kinesis with a stream.
func start(t *testing.T, shards int, cfg kinesissim.Config) (*kinesissim.Server, aws.Config, *kinesis.Client) {
	t.Helper()
	cfg.Streams = append(cfg.Streams, kinesissim.Stream{Name: "telemetry", Shards: shards})
	sim, err := kinesissim.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(func() { _ = sim.Close(); transport.CloseIdleConnections() })
	config := aws.Config{
		Region: "eu-west-1", BaseEndpoint: aws.String(sim.URL()), HTTPClient: &http.Client{Transport: transport},
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	}
	return sim, config, kinesis.NewFromConfig(config)
}

// put stores records with the data from first to last.
func put(t *testing.T, c *kinesis.Client, first, last int) (want []string) {
	t.Helper()
	for i := first; i <= last; i++ {
		data := fmt.Sprintf("%04d", i)
		want = append(want, data)
		if _, err := c.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: aws.String("telemetry"), PartitionKey: aws.String(fmt.Sprint(i)), Data: []byte(data)}); err != nil {
			t.Fatal(err)
		}
	}
	return want
}

// collect reads until there are so many records, or to the end.
func collect(t *testing.T, r *streamreader.Reader, most int) (all []string) {
	t.Helper()
	if most == 0 {
		return nil
	}
	for record, err := range r.Records(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if record.Shard == "" || record.SequenceNumber == "" || record.PartitionKey == "" || record.Arrival.IsZero() {
			t.Errorf("incomplete: %+v", record)
		}
		if all = append(all, string(record.Data)); len(all) == most {
			break
		}
	}
	return all
}

func check(t *testing.T, want, got []string) {
	t.Helper()
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func split(t *testing.T, c *kinesis.Client, shard string) {
	t.Helper()
	out, err := c.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("telemetry")})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range out.Shards {
		if *s.ShardId == shard {
			if _, err := c.SplitShard(t.Context(), &kinesis.SplitShardInput{
				StreamName: aws.String("telemetry"), ShardToSplit: &shard, NewStartingHashKey: aws.String("100000000000000000000000000000000000000"),
			}); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatalf("no shard %s", shard)
}

func merge(t *testing.T, c *kinesis.Client, a, b string) {
	t.Helper()
	if _, err := c.MergeShards(t.Context(), &kinesis.MergeShardsInput{StreamName: aws.String("telemetry"), ShardToMerge: &a, AdjacentShardToMerge: &b}); err != nil {
		t.Fatal(err)
	}
}

const shard0, shard1, shard2 = "shardId-000000000000", "shardId-000000000001", "shardId-000000000002"

func TestARecordIsReadOnceFromAllShardsThatWereSplitOrMerged(t *testing.T) {
	for _, consumer := range []string{"", "tail"} {
		t.Run("consumer "+consumer, func(t *testing.T) {
			t.Parallel()
			_, cfg, c := start(t, 1, kinesissim.Config{})
			want := put(t, c, 1, 20)
			split(t, c, shard0)
			want = append(want, put(t, c, 21, 40)...)
			merge(t, c, shard1, shard2)
			want = append(want, put(t, c, 41, 60)...)
			r := streamreader.New(streamreader.Config{AWS: cfg, Stream: "telemetry", Consumer: consumer})
			got := collect(t, r, -1)
			// Children come after their parents, so each generation is together.
			for i := range 3 {
				slices.Sort(got[20*i : 20*i+20])
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("records (-want +got):\n%s", diff)
			}
			if p := r.Progress(); p.Shards != 4 || p.Done != 4 || p.Records != 60 || p.Bytes != 240 || p.Behind != 0 {
				t.Errorf("%+v", p)
			}
		})
	}
}

func TestFollowReadsNewRecordsAlsoOfNewShards(t *testing.T) {
	for _, consumer := range []string{"", "tail"} {
		t.Run("consumer "+consumer, func(t *testing.T) {
			t.Parallel()
			sim, cfg, c := start(t, 1, kinesissim.Config{})
			want := put(t, c, 1, 5)
			r := streamreader.New(streamreader.Config{AWS: cfg, Stream: sim.StreamARN("telemetry"), Follow: true, Consumer: consumer})
			var got []string
			for record, err := range r.Records(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				switch got = append(got, string(record.Data)); len(got) {
				case 5:
					split(t, c, shard0)
					want = append(want, put(t, c, 6, 10)...)
				case 10:
					merge(t, c, shard1, shard2)
					want = append(want, put(t, c, 11, 15)...)
				}
				if len(got) == 15 {
					break
				}
			}
			check(t, want, got)
			out, err := c.ListStreamConsumers(t.Context(), &kinesis.ListStreamConsumersInput{StreamARN: aws.String(sim.StreamARN("telemetry"))})
			if err != nil || len(out.Consumers) != 0 {
				t.Errorf("consumers left: %v, %v", out, err)
			}
		})
	}
}

func TestTheReaderBeginsAtItsPosition(t *testing.T) {
	now := time.Now()
	var past atomic.Int64
	past.Store(int64(3 * time.Hour))
	_, cfg, c := start(t, 2, kinesissim.Config{Now: func() time.Time { return time.Now().Add(-time.Duration(past.Load())) }})
	past.Store(int64(2 * time.Hour))
	old := put(t, c, 1, 3)
	past.Store(int64(time.Hour))
	middle := put(t, c, 4, 6)
	past.Store(0)
	for _, tt := range []struct {
		name string
		from streamreader.Position
		want []string
	}{
		{"oldest", streamreader.Position{}, append(old, middle...)},
		{"since", streamreader.Position{Since: 90 * time.Minute}, middle},
		{"at", streamreader.Position{At: now.Add(-90 * time.Minute)}, middle},
		{"in the future", streamreader.Position{At: now.Add(time.Hour)}, nil},
		{"latest", streamreader.Position{Latest: true}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			check(t, tt.want, collect(t, streamreader.New(streamreader.Config{AWS: cfg, Stream: "telemetry", From: tt.from}), -1))
		})
	}
}

// in order gives the first GetRecords the answers.
func inOrder(answers ...*kinesissim.Answer) kinesissim.Interceptor {
	return kinesissim.ForOperation("GetRecords", func(r *kinesissim.Request) *kinesissim.Answer {
		if r.Number <= len(answers) {
			return answers[r.Number-1]
		}
		return nil
	})
}

func TestTheReaderGoesOnAfterErrorsThatPass(t *testing.T) {
	expired := kinesissim.Refuse(http.StatusBadRequest, "ExpiredIteratorException", "too old")
	for name, intercept := range map[string]kinesissim.Interceptor{
		"throttled":        inOrder(kinesissim.Throttle(), nil, kinesissim.Throttle()),
		"expired iterator": inOrder(expired, nil, expired, expired),
		"server fault":     inOrder(kinesissim.Refuse(http.StatusInternalServerError, "InternalFailure", "")),
		"reset":            inOrder(kinesissim.ResetConnection(), nil, kinesissim.DropAnswer()),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim, cfg, c := start(t, 1, kinesissim.Config{Intercept: intercept})
			want := put(t, c, 1, 10) // three pages: the first has four records
			check(t, want, collect(t, streamreader.New(streamreader.Config{AWS: cfg, Stream: "telemetry"}), -1))
			if n := sim.Stats().Requests["GetRecords"]; n < 3 {
				t.Errorf("only %d reads", n)
			}
		})
	}
}

func TestEachErrorSaysWhatToDo(t *testing.T) {
	for _, tt := range []struct {
		name, stream, consumer string
		intercept              kinesissim.Interceptor
		want                   []string
	}{
		{"no stream", "telemetri", "", nil, []string{"stream telemetri", "no such stream: in the region eu-west-1, did you mean telemetry?"}},
		{"no permission", "telemetry", "", kinesissim.ForOperation("GetRecords", kinesissim.AnswerAll(kinesissim.DenyAccess())), []string{"shard " + shard0, "allow kinesis:GetRecords"}},
		{"expired token", "telemetry", "", kinesissim.AnswerAll(kinesissim.RefuseExpiredToken()), []string{"aws sso login"}},
		{"clock", "telemetry", "", kinesissim.AnswerAll(kinesissim.Refuse(http.StatusForbidden, "InvalidSignatureException", "Signature expired")), []string{"clock of this machine: it is 2", "at AWS", "Signature expired"}},
		{"key", "telemetry", "", kinesissim.ForOperation("GetRecords", kinesissim.AnswerAll(kinesissim.Refuse(http.StatusBadRequest, "KMSAccessDeniedException", "no"))), []string{"kms:Decrypt"}},
		{"consumer in use", "telemetry", "taken", nil, []string{`has a consumer "taken" already`, "aws kinesis deregister-stream-consumer --stream-arn arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry --consumer-name taken"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sim, cfg, c := start(t, 1, kinesissim.Config{Streams: []kinesissim.Stream{{Name: "other"}}})
			if _, err := c.RegisterStreamConsumer(t.Context(), &kinesis.RegisterStreamConsumerInput{StreamARN: aws.String(sim.StreamARN("telemetry")), ConsumerName: aws.String("taken")}); err != nil {
				t.Fatal(err)
			}
			sim.SetIntercept(tt.intercept)
			var last error
			for _, last = range streamreader.New(streamreader.Config{AWS: cfg, Stream: tt.stream, Consumer: tt.consumer}).Records(t.Context()) {
			}
			if last == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(last.Error(), want) {
					t.Errorf("%q is missing in: %v", want, last)
				}
			}
		})
	}
}

func TestAnEndedContextEndsTheReaderAndRemovesTheConsumer(t *testing.T) {
	reason := errors.New("interrupted")
	for _, consumer := range []string{"", "tail"} {
		sim, cfg, c := start(t, 3, kinesissim.Config{})
		put(t, c, 1, 1)
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		var last error
		for _, last = range streamreader.New(streamreader.Config{AWS: cfg, Stream: "telemetry", Follow: true, Consumer: consumer}).Records(ctx) {
			cancel(reason)
		}
		if !errors.Is(last, reason) {
			t.Errorf("consumer %q: %v", consumer, last)
		}
		out, err := c.ListStreamConsumers(t.Context(), &kinesis.ListStreamConsumersInput{StreamARN: aws.String(sim.StreamARN("telemetry"))})
		if err != nil || len(out.Consumers) != 0 {
			t.Errorf("consumers left: %v, %v", out, err)
		}
	}
}

func TestParsePosition(t *testing.T) {
	at := time.Date(2026, 11, 27, 9, 30, 0, 0, time.UTC)
	local := time.Date(2026, 11, 27, 9, 30, 0, 0, time.Local)
	for _, tt := range []struct {
		from  string
		since time.Duration
		want  streamreader.Position
		err   string
	}{
		{"", 0, streamreader.Position{Latest: true}, ""},
		{"latest", 0, streamreader.Position{Latest: true}, ""},
		{"horizon", 0, streamreader.Position{}, ""},
		{"", time.Minute, streamreader.Position{Since: time.Minute}, ""},
		{"2026-11-27T09:30:00Z", 0, streamreader.Position{At: at}, ""},
		{"2026-11-27 09:30", 0, streamreader.Position{At: local}, ""},
		{"noon", 0, streamreader.Position{}, `--from "noon": it must be horizon, latest`},
		{"latest", time.Minute, streamreader.Position{}, "give one of them"},
		{"", -time.Minute, streamreader.Position{}, "--since -1m0s"},
	} {
		got, err := streamreader.ParsePosition(tt.from, tt.since)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%q, %v: error %v, want %s", tt.from, tt.since, err, tt.err)
			}
			continue
		}
		if err != nil || !got.At.Equal(tt.want.At) || got.Latest != tt.want.Latest || got.Since != tt.want.Since {
			t.Errorf("%q, %v: %+v, %v", tt.from, tt.since, got, err)
		}
	}
}
