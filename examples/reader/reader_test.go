package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/record"
	schematest "github.com/kinetel/kinetel/test/schema"
)

func line(seq int) string {
	return fmt.Sprintf(`{"schema":"kinetel/1","seq":%d,"time":"2026-11-22T20:15:00.123Z","type":"function","body":"<%d>","resource":{"service.instance.id":"e"}}`+"\n", seq, seq)
}

func zip(t *testing.T, lines string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(lines)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	schematest.Check(t, b.Bytes())
	return b.Bytes()
}

// stream is a Kinesis with one stream of three shards.
func stream(t *testing.T, cfg kinesissim.Config) *kinesissim.Server {
	t.Helper()
	cfg.Streams = []kinesissim.Stream{{Name: "telemetry", Shards: 3}}
	sim, err := kinesissim.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	environment(t, sim, nil)
	return sim
}

func put(t *testing.T, sim *kinesissim.Server, key string, data []byte) {
	t.Helper()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := kinesis.New(kinesis.Options{
		BaseEndpoint: aws.String(sim.URL()), Region: "eu-west-1",
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		HTTPClient:  &http.Client{Transport: transport},
	})
	if _, err := client.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: aws.String("telemetry"), PartitionKey: aws.String(key), Data: data}); err != nil {
		t.Fatal(err)
	}
}

// environment sets what the SDK reads: first values that lead to the Kinesis, then those
// of changes. A file or a server of the machine must not count.
func environment(t *testing.T, sim *kinesissim.Server, changes map[string]string) {
	t.Helper()
	all := map[string]string{
		"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "",
		"AWS_ENDPOINT_URL_KINESIS": sim.URL(), "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
		"AWS_PROFILE": "", "AWS_DEFAULT_REGION": "", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "", "AWS_CONTAINER_CREDENTIALS_FULL_URI": "",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	}
	maps.Copy(all, changes)
	for name, value := range all {
		t.Setenv(name, value)
	}
}

// bodies are those of the events that were printed.
func bodies(t *testing.T, printed string) (all []string) {
	t.Helper()
	if printed == "" {
		return nil
	}
	events, err := record.Decode([]byte(printed))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		all = append(all, string(e.Body))
	}
	return all
}

func TestTheReaderPrintsTheEventsOfAllShards(t *testing.T) {
	sim := stream(t, kinesissim.Config{})
	var want []string
	for i := range 30 {
		put(t, sim, fmt.Sprint(i), zip(t, line(2*i+1)+line(2*i+2)))
		want = append(want, fmt.Sprintf(`"<%d>"`, 2*i+1), fmt.Sprintf(`"<%d>"`, 2*i+2))
	}
	var out, log strings.Builder
	if err := run(t.Context(), []string{"-stream", "telemetry"}, &out, &log); err != nil || log.Len() > 0 {
		t.Fatalf("%v\n%s", err, log.String())
	}
	got := bodies(t, out.String())
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(got))); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
	shards := map[string]bool{}
	for _, r := range sim.Records("telemetry") {
		shards[r.ShardID] = true
	}
	if len(shards) != 3 {
		t.Errorf("only the shards %v have records", slices.Collect(maps.Keys(shards)))
	}
}

func TestRecordsThatAreNotKinetelsAreLoggedAndTheOthersPrinted(t *testing.T) {
	sim := stream(t, kinesissim.Config{})
	put(t, sim, "a", []byte("hello"))
	put(t, sim, "a", []byte(line(1)+"{}\n"))
	put(t, sim, "a", zip(t, line(2)))
	var out, log strings.Builder
	err := run(t.Context(), []string{"-stream", "telemetry"}, &out, &log)
	if err == nil || err.Error() != "2 records are not Kinetel's, or not complete" {
		t.Errorf("the error is %v", err)
	}
	if diff := cmp.Diff([]string{`"<1>"`, `"<2>"`}, bodies(t, out.String())); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
	for _, want := range []string{`(partition key "a", 5 bytes): not a record of Kinetel's: event 1, at byte 0: the last line does not end`, `event 2, at byte 135: line: schema "" is not kinetel/1`} {
		if strings.Count(log.String(), want) != 1 || strings.Count(log.String(), "\n") != 2 {
			t.Errorf("the log does not contain %s:\n%s", want, log.String())
		}
	}
}

// If the output's reader is slow, iterators expire.
func TestTheReaderReplacesAnExpiredIteratorAndContinuesWhereItWas(t *testing.T) {
	var expire atomic.Int32 // how many requests
	sim := stream(t, kinesissim.Config{Intercept: kinesissim.ForOperation("GetRecords", func(*kinesissim.Request) *kinesissim.Answer {
		if expire.Add(-1) >= 0 {
			return kinesissim.Refuse(http.StatusBadRequest, "ExpiredIteratorException", "too old")
		}
		return nil
	})})
	put(t, sim, "a", zip(t, line(1)))
	expire.Store(2) // before anything is read: from the beginning
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, ended := make(seen, 10), make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"-stream", "telemetry", "-follow", "-every", "200ms"}, out, io.Discard)
	}()
	for i, want := range []string{`"<1>"`, `"<2>"`, `"<3>"`} {
		if got := bodies(t, <-out); len(got) != 1 || got[0] != want {
			t.Errorf("printed: %v, want %s", got, want)
		}
		expire.Store(3) // of each shard, then: from where it was
		put(t, sim, "a", zip(t, line(i+2)))
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("it ends with %v", err)
	}
}

// seen receives what is printed.
type seen chan string

func (s seen) Write(p []byte) (int, error) {
	s <- string(p)
	return len(p), nil
}

func TestFollowPrintsNewRecordsUntilItIsStopped(t *testing.T) {
	idle := make(chan struct{}, 1000)
	sim := stream(t, kinesissim.Config{OnRequest: func(o kinesissim.Observation) {
		if o.Operation == "GetRecords" {
			idle <- struct{}{}
		}
	}})
	put(t, sim, "a", zip(t, line(1)))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, ended := make(seen, 10), make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"-stream", "telemetry", "-follow", "-from", "latest", "-every", "200ms"}, out, io.Discard)
	}()
	for range 3 { // all shards are at their ends
		<-idle
	}
	put(t, sim, "b", zip(t, line(2)))
	if got := bodies(t, <-out); len(got) != 1 || got[0] != `"<2>"` {
		t.Errorf("printed: %v", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("it ends with %v", err)
	}
}

func TestEachMistakeInTheArgumentsHasAnErrorThatNamesIt(t *testing.T) {
	sim := stream(t, kinesissim.Config{})
	good := []string{"-stream", "telemetry"}
	unset := func(name string) map[string]string { return map[string]string{name: ""} }
	for _, tt := range []struct {
		name string
		args []string
		env  map[string]string
		want string
	}{
		{"no stream", nil, nil, "-stream is missing"},
		{"an argument", append(good, "more"), nil, `unexpected argument "more"`},
		{"an unknown beginning", append(good, "-from", "noon"), nil, `-from is "noon"; must be oldest or latest`},
		{"too often", append(good, "-every", "1ms"), nil, "-every is 1ms; must be 200ms or more"},
		{"an unknown flag", append(good, "-x"), nil, "flag provided but not defined: -x"},
		{"no region", good, unset("AWS_REGION"), "there is no region: set AWS_REGION"},
		{"no key", good, unset("AWS_ACCESS_KEY_ID"), "there are no AWS credentials; `aws sts get-caller-identity` must answer first"},
		{"an unknown profile", good, map[string]string{"AWS_PROFILE": "nobody"}, "nobody"},
		{"another stream", []string{"-stream", "another"}, nil, `list the shards of "another"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			environment(t, sim, tt.env)
			var out strings.Builder
			err := run(t.Context(), tt.args, &out, io.Discard)
			if err == nil || !strings.Contains(err.Error(), tt.want) || out.Len() > 0 {
				t.Errorf("the error is %v, and printed was %q", err, out.String())
			}
		})
	}
	if err := run(t.Context(), []string{"-h"}, io.Discard, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("with -h the error is %v", err)
	}
}

func TestTheReaderFindsTheStreamAndItsCredentialsAsTheAWSCLIDoes(t *testing.T) {
	const arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry"
	files := t.TempDir()
	profile := filepath.Join(files, "config")
	if err := os.WriteFile(profile, []byte("[profile mine]\nregion = eu-west-1\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, stream string
		env          map[string]string
	}{
		{"by name, with variables", "telemetry", nil},
		{"by ARN", arn, nil},
		{"the ARN has the region", arn, map[string]string{"AWS_REGION": ""}},
		{"the ARN's region has priority", arn, map[string]string{"AWS_REGION": "us-east-1"}},
		{"with a profile", "telemetry", map[string]string{"AWS_REGION": "", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_CONFIG_FILE": profile, "AWS_PROFILE": "mine"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			sim := stream(t, kinesissim.Config{Region: "eu-west-1"})
			put(t, sim, "a", zip(t, line(1)))
			environment(t, sim, tt.env)
			var out strings.Builder
			if err := run(t.Context(), []string{"-stream", tt.stream}, &out, io.Discard); err != nil || len(bodies(t, out.String())) != 1 {
				t.Errorf("%v, printed %q", err, out.String())
			}
		})
	}
}
