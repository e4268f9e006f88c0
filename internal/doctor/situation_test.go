package doctor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"github.com/kinetel/kinetel/internal/doctor"
	"github.com/kinetel/kinetel/internal/doctor/fakeaws"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/kinesissim"
)

const (
	streamARN = "arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry"
	roleARN   = "arn:aws:iam::123456789012:role/service/orders-role"
	keyARN    = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd"
	endpoint  = "kinesis.eu-west-1.amazonaws.com"
)

// situation is what a check finds. A test changes one thing of a healthy situation.
type situation struct {
	doctor.Options
	function map[string]any // the configuration of the function
	stream   map[string]any // the summary of the stream
	answers  map[string]fakeaws.Answer
	records  []string // in the stream
	header   http.Header
	offline  bool // no request gets an answer
	custom   bool // the endpoint is not AWS's
}

// healthy returns a situation without errors and warnings.
func healthy() *situation {
	return &situation{
		Options: doctor.Options{
			Function: "orders", Since: time.Hour,
			LookupHost: func(context.Context, string) ([]string, error) { return []string{"192.0.2.7"}, nil },
		},
		function: map[string]any{
			"FunctionName": "orders", "FunctionArn": "arn:aws:lambda:eu-west-1:123456789012:function:orders",
			"Version": "$LATEST", "Runtime": "nodejs22.x", "Architectures": []string{"arm64"}, "Role": roleARN,
			"MemorySize": 128, "Timeout": 3, "PackageType": "Zip", "State": "Active",
			"EphemeralStorage": map[string]any{"Size": 512},
			"Layers":           []any{map[string]any{"Arn": layerARN("kinesis-telemetry-extension-arm64")}},
			"Environment":      map[string]any{"Variables": map[string]string{"KINETEL_STREAM_NAME": "telemetry", "SECRET": "hunter2"}},
		},
		stream: map[string]any{
			"StreamName": "telemetry", "StreamARN": streamARN, "StreamStatus": "ACTIVE", "OpenShardCount": 4, "RetentionPeriodHours": 24,
			"StreamModeDetails": map[string]any{"StreamMode": "ON_DEMAND"}, "EncryptionType": "KMS", "KeyId": "alias/aws/kinesis",
			"MaxRecordSizeInKiB": 1024,
		},
		answers: map[string]fakeaws.Answer{
			"GetCallerIdentity":       {Body: "<Arn>arn:aws:sts::123456789012:assumed-role/admin/me</Arn>"},
			"GetLayerVersionByArn":    {Body: `{"Description":"Kinetel 0.1.0: sends Lambda telemetry to Kinesis","CompatibleArchitectures":["arm64"]}`},
			"SimulatePrincipalPolicy": simulated("allowed", ""),
			"DescribeKey":             {Body: `{"KeyMetadata":{"KeyId":"1234abcd","Arn":"` + keyARN + `","KeyState":"Enabled","KeyManager":"CUSTOMER"}}`},
			"GetKeyPolicy":            policy(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},"Action":"kms:*","Resource":"*"}`),
		},
		records: []string{line(1, "orders", "function", `"hello"`)},
	}
}

func layerARN(name string) string {
	return "arn:aws:lambda:eu-west-1:123456789012:layer:" + name + ":7"
}

func simulated(decision, details string) fakeaws.Answer {
	return fakeaws.Answer{Body: "<EvaluationResults><member><EvalActionName>a</EvalActionName><EvalDecision>" + decision + "</EvalDecision>" + details + "</member></EvaluationResults>"}
}

func policy(statements string) fakeaws.Answer {
	return fakeaws.Answer{Body: fmt.Sprintf(`{"Policy":%q}`, `{"Version":"2012-10-17","Statement":`+statements+`}`)}
}

func line(seq int, function, kind, body string) string {
	return fmt.Sprintf(`{"schema":"kinetel/1","seq":%d,"time":"2026-11-27T02:00:00.000Z","type":%q,"body":%s,"resource":{"faas.name":%q,"service.instance.id":"e-1"}}`+"\n", seq, kind, body, function)
}

func reported(seq int, r ledger.Report) string {
	return line(seq, "orders", "kinetel.report", string(r.JSON()))
}

// toFake sends all requests to the fake server, whatever host they are for.
type toFake struct{ host string }

func (f toFake) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Scheme, r.URL.Host = "http", f.host
	if r.Body != nil {
		// smithy-go closes the body when the answer begins. On the loopback that may be
		// before net/http has seen the body's end, and it would then close the connection.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	return http.DefaultTransport.RoundTrip(r)
}

type offline struct{}

func (offline) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("connection refused")
}

// run starts the fake AWS and runs the checks.
func (s *situation) run(t *testing.T) (doctor.Report, *fakeaws.Server, error) {
	t.Helper()
	sim, err := kinesissim.Start(t.Context(), kinesissim.Config{Streams: []kinesissim.Stream{{Name: "telemetry", Shards: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	for operation, body := range map[string]any{"GetFunctionConfiguration": s.function, "DescribeStreamSummary": map[string]any{"StreamDescriptionSummary": s.stream}} {
		if _, ok := s.answers[operation]; ok {
			continue
		}
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		s.answers[operation] = fakeaws.Answer{Body: string(text)}
	}
	fake, err := fakeaws.Start(s.answers, sim.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	fake.Header = s.header
	put(t, sim.URL(), s.records)

	u, err := url.Parse(fake.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: toFake{u.Host}}
	if s.offline {
		client.Transport = offline{}
	}
	cfg := aws.Config{Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("id", "secret", ""), HTTPClient: client, Retryer: func() aws.Retryer { return aws.NopRetryer{} }}
	if s.custom {
		cfg.BaseEndpoint = aws.String("http://user:hunter2@" + u.Host)
	}
	if s.ClientsError == nil {
		s.Clients = doctor.NewClients(cfg)
	}
	report, err := doctor.Run(t.Context(), s.Options)
	return report, fake, err
}

// put puts records into the embedded Kinesis.
func put(t *testing.T, endpoint string, records []string) {
	t.Helper()
	client := kinesis.New(kinesis.Options{BaseEndpoint: &endpoint, Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")})
	for i, data := range records {
		if _, err := client.PutRecords(t.Context(), &kinesis.PutRecordsInput{
			StreamName: aws.String("telemetry"),
			Records:    []types.PutRecordsRequestEntry{{Data: []byte(data), PartitionKey: aws.String(fmt.Sprint(i))}},
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// texts returns the findings of a check; of all checks if it is empty.
func texts(report doctor.Report, check string) (all []string) {
	for _, f := range report.Findings {
		if check == "" || f.Check == check {
			all = append(all, string(f.Level)+": "+f.What+" | "+f.Why+" | "+f.Fix)
		}
	}
	return all
}

// checkCase is a situation with one change, and what a check reports then.
type checkCase struct {
	name   string
	change func(*situation)
	check  string   // empty: all checks
	want   []string // each is the finding at its place; * stands for any text
}

// runCases checks that each finding is as expected, that it has a reason and a fix, and
// that none has a secret.
func runCases(t *testing.T, cases []checkCase) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := healthy()
			c.change(s)
			report, _, err := s.run(t)
			if err != nil {
				t.Fatal(err)
			}
			got := texts(report, c.check)
			if !slices.EqualFunc(got, c.want, matches) {
				t.Errorf("findings\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
			for _, f := range report.Findings {
				if f.Level != doctor.OK && f.Level != doctor.NotChecked && (f.Why == "" || f.Fix == "") {
					t.Errorf("no reason or fix: %+v", f)
				}
			}
			if all := strings.Join(texts(report, ""), "\n"); strings.Contains(all, "hunter2") {
				t.Errorf("a secret:\n%s", all)
			}
		})
	}
}

// matches reports whether a text is like a pattern, in which * stands for any text.
func matches(text, pattern string) bool {
	parts := strings.Split(pattern, "*")
	rest, ok := strings.CutPrefix(text, parts[0])
	for i, part := range parts[1:] {
		if !ok {
			return false
		}
		if i == len(parts)-2 {
			return strings.HasSuffix(rest, part)
		}
		_, rest, ok = strings.Cut(rest, part)
	}
	return ok && rest == ""
}

// The changes that several cases share.

var refusal = fakeaws.Answer{Code: "AccessDeniedException", Message: "not authorized"}

func customerKey(s *situation) { s.stream["KeyId"] = keyARN }

func otherAccount(s *situation) {
	customerKey(s)
	s.function["Role"] = "arn:aws:iam::999999999999:role/orders-role"
	s.Stream = streamARN
}

// variables replaces those of the function.
func variables(s *situation, env map[string]string) {
	s.function["Environment"] = map[string]any{"Variables": env}
}

// environment replaces the function by the variables of the process.
func environment(s *situation, environ ...string) {
	s.Function = ""
	s.Environ = append([]string{"AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret"}, environ...)
}
