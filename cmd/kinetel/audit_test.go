package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/kinesissim"
)

// stream is an embedded Kinesis with one stream, and the environment of a command that
// reads it.
type stream struct {
	*testing.T
	client *kinesis.Client
}

const streamOfTest = "telemetry"

func newStream(t *testing.T) stream { return newStreamAt(t, 0) }

// newStreamAt starts a Kinesis with a clock that is so much ahead.
func newStreamAt(t *testing.T, ahead time.Duration) stream {
	t.Helper()
	now := func() time.Time { return time.Now().Add(ahead) }
	sim, err := kinesissim.Start(t.Context(), kinesissim.Config{Now: now, Streams: []kinesissim.Stream{{Name: streamOfTest, Shards: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	target, err := url.Parse(sim.URL())
	if err != nil {
		t.Fatal(err)
	}
	dated := httputil.NewSingleHostReverseProxy(target)
	dated.ModifyResponse = func(r *http.Response) error {
		r.Header.Set("Date", now().UTC().Format(http.TimeFormat))
		return nil
	}
	front := httptest.NewServer(dated)
	t.Cleanup(front.Close)
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": front.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		t.Setenv(name, value)
	}
	return stream{t, kinesis.New(kinesis.Options{
		BaseEndpoint: aws.String(sim.URL()), Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})}
}

// put stores a record with the lines, under a key.
func (s stream) put(key string, data ...string) {
	s.Helper()
	_, err := s.client.PutRecord(s.Context(), &kinesis.PutRecordInput{
		StreamName: aws.String(streamOfTest), PartitionKey: &key, Data: []byte(strings.Join(data, "")),
	})
	if err != nil {
		s.Fatal(err)
	}
}

// audit runs the command, and returns its report and its exit status.
func (s stream) audit(args ...string) (r audit.Report, status int) {
	s.Helper()
	var out bytes.Buffer
	root := newCommand()
	root.SetOut(&out)
	root.SetArgs(append([]string{"audit", "-o", "json"}, args...))
	err := root.ExecuteContext(s.Context())
	if out.Len() > 0 {
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			s.Fatal(err)
		}
	} else {
		s.Log(err)
	}
	return r, exitStatus(s.Context(), err, true)
}

func eventLine(environment string, seq int, at time.Time) string {
	return fmt.Sprintf(`{"schema":"kinetel/1","seq":%d,"time":%q,"type":"function","body":"text","resource":{"service.instance.id":%q}}`+"\n",
		seq, at.UTC().Format("2006-01-02T15:04:05.000Z"), environment)
}

// Records that are removed from a stream are the holes of its audit, and nothing else is.
func TestAuditFindsWhatIsMissingInAStream(t *testing.T) {
	s := newStream(t)
	hourAgo := time.Now().Add(-time.Hour)
	for i := range 30 {
		if i == 7 || i == 8 || i == 20 {
			continue
		}
		var lines []string
		for n := range 10 {
			lines = append(lines, eventLine("e", 10*i+n+1, hourAgo), eventLine("f", 10*i+n+1, hourAgo))
		}
		s.put(fmt.Sprint(i), lines...) // records of an environment in different shards, in any order
	}
	s.put("x", "not a record")
	r, status := s.audit(streamOfTest)
	if status != exitFound {
		t.Errorf("status %d, want %d", status, exitFound)
	}
	if r.Unreadable != 1 || !strings.Contains(r.UnreadableExamples[0], "shardId-") {
		t.Errorf("unreadable: %d %q", r.Unreadable, r.UnreadableExamples)
	}
	if len(r.Environments) != 2 {
		t.Fatalf("%d environments", len(r.Environments))
	}
	for _, e := range r.Environments {
		var holes []string
		for _, h := range e.Holes {
			holes = append(holes, fmt.Sprintf("%d-%d: %d", h.FirstSeq, h.LastSeq, h.Missing))
		}
		if got := strings.Join(holes, ", "); got != "71-90: 20, 201-210: 10" || e.Events != 270 || e.Duplicates != 0 {
			t.Errorf("%s: holes %s, %d events, %d duplicates", e.ID, got, e.Events, e.Duplicates)
		}
	}
}

func TestAuditDoesNotJudgeTheEdgesOfAStream(t *testing.T) {
	s := newStream(t)
	now := time.Now()
	s.put("a", eventLine("e", 1, now.Add(-3*time.Hour)), eventLine("e", 3, now.Add(-2*time.Hour)), eventLine("e", 4, now.Add(-time.Minute)), eventLine("e", 6, now))
	for _, c := range []struct {
		args    []string
		missing uint64
		status  int
	}{
		{nil, 1, exitFound},                              // 5 may be on its way
		{[]string{"--settle", "0s"}, 2, exitFound},       // it may not
		{[]string{"--since", "10m"}, 0, exitFine},        // 2 may have come before
		{[]string{"--settle", "90m"}, 1, exitFound},      // 2 is missing between 1 and 3
		{[]string{"--settle", "24h"}, 0, exitFine},       // nothing is old enough
		{[]string{"--from", "2000-01-01"}, 1, exitFound}, // a time
		{[]string{"--from", "tomorrow"}, 0, exitUsage},   // not a time
		{[]string{"--since", "-1h"}, 0, exitUsage},       // the future
	} {
		r, status := s.audit(append(c.args, streamOfTest)...)
		if r.Totals.Unexplained != c.missing || status != c.status {
			t.Errorf("%v: %d unexplained, status %d; want %d, %d", c.args, r.Totals.Unexplained, status, c.missing, c.status)
		}
	}
}

// The clock of this machine may be wrong.
func TestAuditJudgesByTheClockOfKinesis(t *testing.T) {
	for _, ahead := range []time.Duration{-10 * time.Minute, 10 * time.Minute} {
		t.Run(ahead.String(), func(t *testing.T) {
			s := newStreamAt(t, ahead)
			now := time.Now().Add(ahead)
			s.put("a", eventLine("e", 1, now.Add(-5*time.Minute)), eventLine("e", 3, now.Add(-4*time.Minute)), eventLine("e", 4, now), eventLine("e", 6, now))
			if r, status := s.audit(streamOfTest); status != exitFound || r.Totals.Unexplained != 1 { // 5 may be on its way
				t.Errorf("status %d, %+v", status, r.Totals)
			}
		})
	}
}

func TestAuditOfAStreamThatIsNotThere(t *testing.T) {
	s := newStream(t)
	if _, status := s.audit("telemetri"); status != exitFailed {
		t.Errorf("status %d, want %d", status, exitFailed)
	}
	if _, status := s.audit(streamOfTest); status != exitFailed {
		t.Errorf("an empty stream: status %d, want %d", status, exitFailed)
	}
}
