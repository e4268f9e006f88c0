package kinesis_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"go.uber.org/goleak"

	"github.com/kinetel/kinetel/internal/kinesis"
	"github.com/kinetel/kinetel/internal/pack"
	"github.com/kinetel/kinetel/kinesissim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	accessKey = "AKIDEXAMPLE"
	secretKey = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	token     = "a//session+token=="
	region    = "eu-west-1"
	stream    = "telemetry"
)

var goodCredentials = aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey, SessionToken: token}

// keys is a CredentialSource that counts calls.
type keys struct {
	now           aws.Credentials
	err           error
	gets          int
	invalidations int
}

func (k *keys) Get(context.Context) (aws.Credentials, error) {
	k.gets++
	return k.now, k.err
}

func (k *keys) Invalidate() { k.invalidations++ }

func always(creds aws.Credentials) *keys { return &keys{now: creds} }

// start starts a Kinesis that verifies signatures.
func start(t *testing.T, cfg kinesissim.Config) *kinesissim.Server {
	t.Helper()
	cfg.Region = region
	cfg.Credentials = map[string]string{accessKey: secretKey}
	cfg.Streams = []kinesissim.Stream{{Name: stream, Shards: 2}}
	sim, err := kinesissim.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	return sim
}

// client returns a client of a Kinesis. Its connections end with the test.
func client(t *testing.T, sim *kinesissim.Server, change ...func(*kinesis.Config)) *kinesis.Client {
	t.Helper()
	return open(t, kinesis.Config{StreamName: stream, Region: region, Endpoint: sim.URL(), Credentials: always(goodCredentials)}, change...)
}

func open(t *testing.T, cfg kinesis.Config, change ...func(*kinesis.Config)) *kinesis.Client {
	t.Helper()
	for _, f := range change {
		f(&cfg)
	}
	c := kinesis.New(cfg)
	t.Cleanup(c.CloseIdle)
	return c
}

// records makes records with one key of the given data.
func records(data ...string) []*pack.Record {
	var rs []*pack.Record
	for _, d := range data {
		rs = append(rs, &pack.Record{Data: []byte(d), PartitionKey: "key"})
	}
	return rs
}

// stored returns the data of the stream's records.
func stored(sim *kinesissim.Server) string {
	var all []string
	for _, r := range sim.Records(stream) {
		all = append(all, string(r.Data))
	}
	return strings.Join(all, " ")
}

// refused checks that err is an *Error of a class, and returns it.
func refused(t *testing.T, err error, class kinesis.Class) *kinesis.Error {
	t.Helper()
	e := (*kinesis.Error)(nil)
	if !errors.As(err, &e) {
		t.Fatalf("error %v, want an *Error", err)
	}
	if e.Class != class || kinesis.ClassOf(err) != class {
		t.Errorf("error %q is %s, want %s", err, e.Class, class)
	}
	return e
}

// accepted checks that Kinesis has stored every record.
func accepted(t *testing.T, results []kinesis.Result, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if !r.OK() {
			t.Errorf("record %d: %+v", i, r)
		}
	}
}

// page is a server that gives every request the same answer and counts requests.
type page struct {
	url string

	mu    sync.Mutex
	count int
}

func (p *page) requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

func answerWith(t *testing.T, status int, header http.Header, body string) *page {
	t.Helper()
	p := &page{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.count++
		p.mu.Unlock()
		_, _ = io.Copy(io.Discard, r.Body)
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(server.Close)
	p.url = server.URL
	return p
}

// at is the configuration of a client of a page.
func at(p *page) kinesis.Config {
	return kinesis.Config{StreamName: stream, Region: region, Endpoint: p.url, Credentials: always(goodCredentials)}
}

// proxyOf is the proxy at a server, with a user and a password before its host.
func proxyOf(user, server string) func(*http.Request) (*url.URL, error) {
	u, err := url.Parse(user + strings.TrimPrefix(server, "http://"))
	return func(*http.Request) (*url.URL, error) { return u, err }
}
