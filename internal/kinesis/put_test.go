package kinesis_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/kinesissim"
)

// kept is a record as Kinesis keeps it.
type kept struct{ Key, Data string }

func keptBy(sim *kinesissim.Server) []kept {
	var all []kept
	for _, r := range sim.Records(stream) {
		all = append(all, kept{r.PartitionKey, string(r.Data)})
	}
	return all
}

func TestRecordsArriveAsTheyAre(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	sent := []*pack.Record{
		{Data: []byte("{\"a\":1}\n"), PartitionKey: "environment"},
		{Data: every, PartitionKey: "k"},
		{Data: []byte{0}, PartitionKey: "one byte"},
		{Data: []byte{0xff, 0xfe}, PartitionKey: "two bytes"},
		{Data: []byte("x"), PartitionKey: `quotes " and \ and / and <&>`},
		{Data: []byte("x"), PartitionKey: "control \x00\x1f\n\t\r"},
		{Data: []byte("x"), PartitionKey: "é世😀\u2028\x7f"},
		{Data: []byte("x"), PartitionKey: strings.Repeat("k", 256)},
		{Data: bytes.Repeat(every, 4095), PartitionKey: "large"},
	}
	var want []kept
	for _, r := range sent {
		want = append(want, kept{r.PartitionKey, string(r.Data)})
	}
	sim := start(t, kinesissim.Config{})
	results, err := client(t, sim).PutRecords(t.Context(), sent)
	accepted(t, results, err)
	if diff := cmp.Diff(want, keptBy(sim)); diff != "" {
		t.Errorf("kept (- want, + got):\n%.2000s", diff)
	}
	var numbers []string
	for _, r := range sim.Records(stream) {
		numbers = append(numbers, r.SequenceNumber)
	}
	for i, r := range results {
		if r.SequenceNumber != numbers[i] || r.ErrorCode != "" || r.ErrorMessage != "" {
			t.Errorf("result %d is %+v, want number %s", i, r, numbers[i])
		}
	}
}

func TestAnyRecordsArriveAsTheyAre(t *testing.T) {
	sim := start(t, kinesissim.Config{})
	c := client(t, sim)
	seen := 0
	rapid.Check(t, func(rt *rapid.T) {
		var sent []*pack.Record
		var want []kept
		for range rapid.IntRange(1, 5).Draw(rt, "records") {
			r := &pack.Record{
				Data:         rapid.SliceOfN(rapid.Byte(), 1, 50).Draw(rt, "data"),
				PartitionKey: rapid.StringN(1, 40, -1).Draw(rt, "key"),
			}
			sent = append(sent, r)
			want = append(want, kept{r.PartitionKey, string(r.Data)})
		}
		results, err := c.PutRecords(t.Context(), sent)
		if err != nil || len(results) != len(sent) {
			rt.Fatalf("%d results, error %v", len(results), err)
		}
		all := keptBy(sim)
		if diff := cmp.Diff(want, all[seen:]); diff != "" {
			rt.Fatalf("kept (- want, + got):\n%s", diff)
		}
		seen = len(all)
	})
}

func TestARequestFollowsTheProtocol(t *testing.T) {
	var got *kinesissim.Request
	sim := start(t, kinesissim.Config{Intercept: func(r *kinesissim.Request) *kinesissim.Answer { got = r; return nil }})
	results, err := client(t, sim).PutRecords(t.Context(), records("a", "b"))
	accepted(t, results, err)

	if want := `{"Records":[{"Data":"YQ==","PartitionKey":"key"},{"Data":"Yg==","PartitionKey":"key"}],"StreamName":"telemetry"}`; string(got.Body) != want {
		t.Errorf("the body is  %s\nand should be %s", got.Body, want)
	}
	for name, want := range map[string]string{
		"Content-Type":         "application/x-amz-json-1.1",
		"X-Amz-Target":         "Kinesis_20131202.PutRecords",
		"X-Amz-Security-Token": token,
		"Content-Length":       fmt.Sprint(len(got.Body)),
		"Accept-Encoding":      "",
	} {
		if got.Header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Header.Get(name), want)
		}
	}
	if agent := got.Header.Get("User-Agent"); !strings.HasPrefix(agent, "kinetel/") {
		t.Errorf("User-Agent is %q", agent)
	}
	if authorization := got.Header.Get("Authorization"); !strings.HasPrefix(authorization, "AWS4-HMAC-SHA256 Credential="+accessKey+"/") ||
		!strings.Contains(authorization, "/"+region+"/kinesis/aws4_request") {
		t.Errorf("Authorization is %q", authorization)
	}
}

func TestTheARNNamesTheStreamIfItIsSet(t *testing.T) {
	var body map[string]json.RawMessage
	sim := start(t, kinesissim.Config{Intercept: func(r *kinesissim.Request) *kinesissim.Answer {
		_ = json.Unmarshal(r.Body, &body)
		return nil
	}})
	c := client(t, sim, func(cfg *kinesis.Config) { cfg.StreamARN, cfg.StreamName = sim.StreamARN(stream), "another" })
	results, err := c.PutRecords(t.Context(), records("a"))
	accepted(t, results, err)
	if _, both := body["StreamName"]; both || string(body["StreamARN"]) != `"`+sim.StreamARN(stream)+`"` {
		t.Errorf("the stream is named by %s and %s", body["StreamARN"], body["StreamName"])
	}
	if stored(sim) != "a" {
		t.Errorf("stored: %q", stored(sim))
	}
}

func TestARequestCarriesTheMaximumOfRecordsAndBytes(t *testing.T) {
	sim := start(t, kinesissim.Config{})
	var sent []*pack.Record
	for i := range kinesis.MaxRecords {
		sent = append(sent, &pack.Record{Data: fmt.Append(nil, i), PartitionKey: fmt.Sprint("key ", i)})
	}
	results, err := client(t, sim).PutRecords(t.Context(), sent)
	accepted(t, results, err)
	if len(results) != kinesis.MaxRecords || sim.Stats().Records != kinesis.MaxRecords {
		t.Errorf("%d results, %d stored", len(results), sim.Stats().Records)
	}
	// One more record, and one more byte, is refused.
	_, err = client(t, sim).PutRecords(t.Context(), append(sent, sent[0]))
	refused(t, err, kinesis.Invalid)

	large := make([]*pack.Record, 10)
	for i := range large {
		large[i] = &pack.Record{Data: make([]byte, kinesis.MaxBytes/10-1), PartitionKey: "k"}
	}
	large[0] = &pack.Record{Data: make([]byte, kinesis.MaxBytes-9*(kinesis.MaxBytes/10)-1), PartitionKey: "k"}
	results, err = client(t, sim).PutRecords(t.Context(), large)
	accepted(t, results, err)
	large[0] = &pack.Record{Data: append(large[0].Data, 0), PartitionKey: "k"}
	_, err = client(t, sim).PutRecords(t.Context(), large)
	refused(t, err, kinesis.Invalid)
}

func TestResultsAreAlignedWithTheirRecords(t *testing.T) {
	sim := start(t, kinesissim.Config{Intercept: kinesissim.AnswerAll(kinesissim.FailRecords(func(i int, _ kinesissim.PutEntry) string {
		return []string{"", "ProvisionedThroughputExceededException", "", "InternalFailure"}[i]
	}))})
	results, err := client(t, sim).PutRecords(t.Context(), records("a", "b", "c", "d"))
	if err != nil || len(results) != 4 {
		t.Fatalf("%d results, error %v", len(results), err)
	}
	for i, code := range []string{"", "ProvisionedThroughputExceededException", "", "InternalFailure"} {
		r := results[i]
		if r.OK() != (code == "") || r.ErrorCode != code || (r.ErrorMessage == "") != r.OK() {
			t.Errorf("result %d is %+v, want %q", i, r, code)
		}
	}
	if stored(sim) != "a c" {
		t.Errorf("stored: %q", stored(sim))
	}
}

func TestAResultWithoutASequenceNumberIsAFailure(t *testing.T) {
	p := answerWith(t, 200, nil, `{"FailedRecordCount":0,"Records":[{"ShardId":"shardId-000000000000"},{"SequenceNumber":null,"ErrorCode":null},{},{"SequenceNumber":"7","novelty":1}],"EncryptionType":"KMS"}`)
	results, err := open(t, at(p)).PutRecords(t.Context(), records("a", "b", "c", "d"))
	if err != nil {
		t.Fatal(err)
	}
	var oks []bool
	for _, r := range results {
		oks = append(oks, r.OK())
	}
	if !slices.Equal(oks, []bool{false, false, false, true}) {
		t.Errorf("%v", oks)
	}
}

func TestCredentialsAreReadForEveryAttempt(t *testing.T) {
	sim := start(t, kinesissim.Config{})
	source := always(goodCredentials)
	c := client(t, sim, func(cfg *kinesis.Config) { cfg.Credentials = source })
	if source.gets != 0 {
		t.Error("credentials are read before they are needed")
	}
	results, err := c.PutRecords(t.Context(), records("a"))
	accepted(t, results, err)

	// The keys change while the process runs.
	sim.SetCredentials(map[string]string{"AKIDROTATED": "new"})
	_, err = c.PutRecords(t.Context(), records("b"))
	if e := refused(t, err, kinesis.Credentials); e.Code != "UnrecognizedClientException" {
		t.Errorf("code %s", e.Code)
	}
	source.now = aws.Credentials{AccessKeyID: "AKIDROTATED", SecretAccessKey: "new"}
	results, err = c.PutRecords(t.Context(), records("c"))
	accepted(t, results, err)

	source.err = errors.New("no role")
	_, err = c.PutRecords(t.Context(), records("e"))
	if e := refused(t, err, kinesis.Credentials); !errors.Is(e, source.err) || e.Status != 0 {
		t.Errorf("error %#v", e)
	}
	if source.gets != 4 {
		t.Errorf("credentials were read %d times in 4 attempts", source.gets)
	}
	if stored(sim) != "a c" {
		t.Errorf("stored: %q", stored(sim))
	}
	// The caller decides whether to retry, not the client.
	if source.invalidations != 0 {
		t.Errorf("credentials were invalidated %d times, want 0", source.invalidations)
	}
}

func TestInvalidateCredentialsMakesTheClientReadThemAgain(t *testing.T) {
	sim := start(t, kinesissim.Config{})
	source := always(goodCredentials)
	c := client(t, sim, func(cfg *kinesis.Config) { cfg.Credentials = source })
	c.InvalidateCredentials() // before there is a connection, too
	if source.invalidations != 1 || source.gets != 0 || sim.Stats().Connections != 0 {
		t.Errorf("%d invalidations, %d reads and %d connections, want only one invalidation", source.invalidations, source.gets, sim.Stats().Connections)
	}
	results, err := c.PutRecords(t.Context(), records("a"))
	accepted(t, results, err)
	c.InvalidateCredentials()
	if source.invalidations != 2 || source.gets != 1 {
		t.Errorf("%d invalidations and %d reads, want 2 and 1", source.invalidations, source.gets)
	}
	results, err = c.PutRecords(t.Context(), records("b"))
	accepted(t, results, err)
	// The connection does not depend on the keys.
	if n := sim.Stats().Connections; n != 1 {
		t.Errorf("%d connections", n)
	}
}

// fetching is a CredentialSource that waits until its context ends.
type fetching struct{}

func (fetching) Get(ctx context.Context) (aws.Credentials, error) {
	<-ctx.Done()
	return aws.Credentials{}, context.Cause(ctx)
}

func (fetching) Invalidate() {}

func TestTheRequestsDeadlineBoundsTheReadingOfCredentials(t *testing.T) {
	sim := start(t, kinesissim.Config{})
	c := client(t, sim, func(cfg *kinesis.Config) { cfg.Credentials = fetching{} })
	enough := errors.New("that was enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(enough)
	_, err := c.PutRecords(ctx, records("a"))
	if e := refused(t, err, kinesis.Credentials); !errors.Is(e, enough) || e.Code != "NoCredentials" || e.Unknown() {
		t.Errorf("error %#v", e)
	}
	if n := sim.Stats().Connections; n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestWrongCredentialsAreRefused(t *testing.T) {
	for _, scenario := range []struct {
		name        string
		credentials aws.Credentials
		code        string
	}{
		{"another secret", aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: "wrong", SessionToken: token}, "InvalidSignatureException"},
		{"another key", aws.Credentials{AccessKeyID: "AKIDANOTHER", SecretAccessKey: secretKey}, "UnrecognizedClientException"},
		{"none", aws.Credentials{}, "UnrecognizedClientException"},
	} {
		t.Run(scenario.name, func(t *testing.T) {
			sim := start(t, kinesissim.Config{})
			_, err := client(t, sim, func(cfg *kinesis.Config) { cfg.Credentials = always(scenario.credentials) }).PutRecords(t.Context(), records("a"))
			if e := refused(t, err, kinesis.Credentials); e.Code != scenario.code {
				t.Errorf("error %q, want %s", e, scenario.code)
			}
			if stored(sim) != "" {
				t.Errorf("stored: %q", stored(sim))
			}
		})
	}
	sim := start(t, kinesissim.Config{})
	_, err := client(t, sim, func(cfg *kinesis.Config) { cfg.Region = "us-east-1" }).PutRecords(t.Context(), records("a"))
	if e := refused(t, err, kinesis.Credentials); e.Code != "InvalidSignatureException" {
		t.Errorf("a signature for another region: %q", e)
	}
}

func TestTheConnectionIsReused(t *testing.T) {
	sim := start(t, kinesissim.Config{})
	c := client(t, sim)
	for i := range 5 {
		results, err := c.PutRecords(t.Context(), records(fmt.Sprint(i)))
		accepted(t, results, err)
	}
	// Refusals do not close it.
	sim.SetIntercept(kinesissim.AnswerInOrder(kinesissim.Throttle(), kinesissim.DenyAccess(), kinesissim.ReplaceAnswer("<html>not Kinesis</html>"), kinesissim.Refuse(500, "InternalFailure", "")))
	for range 4 {
		if _, err := c.PutRecords(t.Context(), records("x")); err == nil {
			t.Error("no error")
		}
	}
	if n := sim.Stats().Connections; n != 1 {
		t.Errorf("%d connections", n)
	}
	c.CloseIdle()
	results, err := c.PutRecords(t.Context(), records("y"))
	accepted(t, results, err)
	if n := sim.Stats().Connections; n != 2 {
		t.Errorf("%d connections after CloseIdle, want 2", n)
	}
}

func TestNewOpensNoConnection(t *testing.T) {
	sim := start(t, kinesissim.Config{})
	c := client(t, sim, func(cfg *kinesis.Config) { cfg.CABundle = filepath.Join(t.TempDir(), "none.pem") })
	c.CloseIdle()
	if n := sim.Stats().Connections; n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestACABundleReplacesTheSystemsRoots(t *testing.T) {
	sim := start(t, kinesissim.Config{TLS: true})
	folder := t.TempDir()
	file := func(name string, content []byte) string {
		name = filepath.Join(folder, name)
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	other := start(t, kinesissim.Config{TLS: true}).CertificatePEM()
	with := func(bundle string) *kinesis.Client {
		return client(t, sim, func(cfg *kinesis.Config) { cfg.CABundle = bundle })
	}

	// The network is not the reason for any of these.
	wantNoNetwork := func(t *testing.T, err error) {
		t.Helper()
		if fix := kinesis.Fix(err); strings.Contains(fix, "VPC") {
			t.Errorf("Fix of %q is %q", err, fix)
		}
	}

	t.Run("the authority is in it", func(t *testing.T) {
		c := with(file("good.pem", sim.CertificatePEM()))
		for range 2 {
			results, err := c.PutRecords(t.Context(), records("a"))
			accepted(t, results, err)
		}
	})
	t.Run("the authority is in it among others", func(t *testing.T) {
		results, err := with(file("both.pem", slices.Concat(other, []byte("# a comment\n"), sim.CertificatePEM()))).PutRecords(t.Context(), records("a"))
		accepted(t, results, err)
	})
	t.Run("the authority is not in it", func(t *testing.T) {
		_, err := with(file("other.pem", other)).PutRecords(t.Context(), records("a"))
		wantNoNetwork(t, err)
		if e := refused(t, err, kinesis.Transient); !strings.Contains(e.Error(), "certificate") {
			t.Errorf("error %q", e)
		}
	})
	t.Run("there is no bundle", func(t *testing.T) {
		_, err := with("").PutRecords(t.Context(), records("a"))
		wantNoNetwork(t, err)
		refused(t, err, kinesis.Transient)
	})
	t.Run("the file is missing", func(t *testing.T) {
		c := with(filepath.Join(folder, "missing.pem"))
		_, err := c.PutRecords(t.Context(), records("a"))
		wantNoNetwork(t, err)
		if e := refused(t, err, kinesis.Denied); !errors.Is(e, os.ErrNotExist) || !strings.Contains(e.Error(), "AWS_CA_BUNDLE") || !strings.Contains(e.Error(), "missing.pem") {
			t.Errorf("error %q", e)
		}
		// The operator fixes it.
		file("missing.pem", sim.CertificatePEM())
		results, err := c.PutRecords(t.Context(), records("a"))
		accepted(t, results, err)
	})
	t.Run("the file has no certificate", func(t *testing.T) {
		_, err := with(file("text.pem", []byte("not PEM"))).PutRecords(t.Context(), records("a"))
		wantNoNetwork(t, err)
		if e := refused(t, err, kinesis.Denied); !strings.Contains(e.Error(), "AWS_CA_BUNDLE") || !strings.Contains(e.Error(), "text.pem") {
			t.Errorf("error %q", e)
		}
	})
}

func TestTheConfiguredProxyIsUsed(t *testing.T) {
	sim := start(t, kinesissim.Config{})
	proxy, err := url.Parse(sim.URL())
	if err != nil {
		t.Fatal(err)
	}
	var requested atomic.Value
	c := open(t, kinesis.Config{
		StreamName: stream, Region: region, Endpoint: "http://kinesis.invalid", Credentials: always(goodCredentials),
		Proxy: func(r *http.Request) (*url.URL, error) { requested.Store(r.URL.String()); return proxy, nil },
	})
	// A plain HTTP proxy gets the whole request; here it is Kinesis itself,
	// and verifies the signature for the endpoint's name.
	_, _ = c.PutRecords(t.Context(), records("a"))
	if requested.Load() != "http://kinesis.invalid/" || sim.Stats().Connections != 1 {
		t.Errorf("the proxy was called for %v, over %d connections", requested.Load(), sim.Stats().Connections)
	}

	// The client ignores the proxy variables of the environment.
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	results, err := client(t, sim).PutRecords(t.Context(), records("b"))
	accepted(t, results, err)
}

func TestThePathOfTheEndpointIsKept(t *testing.T) {
	for _, path := range []string{"", "/"} {
		sim := start(t, kinesissim.Config{})
		results, err := client(t, sim, func(cfg *kinesis.Config) { cfg.Endpoint += path }).PutRecords(t.Context(), records("a"))
		accepted(t, results, err)
	}
	_, err := open(t, kinesis.Config{StreamName: stream, Region: region, Endpoint: "http://a b", Credentials: always(goodCredentials)}).PutRecords(t.Context(), records("a"))
	refused(t, err, kinesis.Denied)
}
