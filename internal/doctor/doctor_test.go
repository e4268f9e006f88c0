package doctor_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	"github.com/charmbracelet/lipgloss"

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
		cfg.BaseEndpoint = &fake.URL
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

func TestNothingIsWrongWithAHealthyFunction(t *testing.T) {
	report, fake, err := healthy().run(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		if f.Level != doctor.OK || f.What == "" || f.Why != "" || f.Fix != "" {
			t.Errorf("%+v", f)
		}
	}
	var checks []string
	for _, f := range report.Findings {
		checks = append(checks, f.Check)
	}
	want := []string{"function", "settings", "layer", "resources", "credentials", "network", "stream", "encryption", "role", "write", "telemetry"}
	if got := slices.Compact(checks); !slices.Equal(got, want) {
		t.Errorf("checks %v, want %v", got, want)
	}
	if report.Stream != streamARN || report.Function != "arn:aws:lambda:eu-west-1:123456789012:function:orders" {
		t.Errorf("function %q, stream %q", report.Function, report.Stream)
	}
	if body := fake.Request("PutRecords"); !strings.Contains(body, `"DryRun":true`) {
		t.Errorf("a record was put: %s", body)
	}
	if body := fake.Request("SimulatePrincipalPolicy"); !strings.Contains(body, url.QueryEscape(roleARN)) || !strings.Contains(body, url.QueryEscape(streamARN)) {
		t.Errorf("simulated: %s", body)
	}
}

// Each check reports what is wrong, why it matters and what to do.
func TestChecks(t *testing.T) {
	denied := fakeaws.Answer{Code: "AccessDeniedException", Message: "not authorized"}
	customerKey := func(s *situation) { s.stream["KeyId"] = keyARN }
	otherAccount := func(s *situation) {
		customerKey(s)
		s.function["Role"] = "arn:aws:iam::999999999999:role/orders-role"
		s.Stream = streamARN
	}
	variables := func(s *situation, env map[string]string) {
		s.function["Environment"] = map[string]any{"Variables": env}
	}
	environment := func(s *situation, environ ...string) {
		s.Function = ""
		s.Environ = append([]string{"AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=id", "AWS_SECRET_ACCESS_KEY=secret"}, environ...)
	}
	for _, c := range []struct {
		name   string
		change func(*situation)
		check  string
		want   []string // each is in the finding at its place; * stands for any text
	}{
		{"a function that Lambda cannot run", func(s *situation) { s.function["State"], s.function["StateReason"] = "Failed", "the subnet is gone" }, "function", []string{"error: Lambda cannot run the function: the subnet is gone*"}},
		{"an unreadable function, a stream", func(s *situation) { s.Stream, s.answers["GetFunctionConfiguration"] = "telemetry", denied }, "function", []string{"notChecked: the function orders: AccessDeniedException: not authorized*lambda:GetFunctionConfiguration*"}},
		{"no variables of an unreadable function", func(s *situation) { s.Stream, s.answers["GetFunctionConfiguration"] = "telemetry", denied }, "settings", []string{"notChecked: the variables: the function's configuration cannot be read*"}},

		{"no stream", func(s *situation) { variables(s, map[string]string{"KINETEL_FORMAT": "json"}) }, "settings", []string{"error: KINETEL_STREAM_NAME: is not set; set it, or KINETEL_STREAM_ARN*without it nothing can be shipped*"}},
		{"a value that is replaced", func(s *situation) {
			variables(s, map[string]string{"KINETEL_STREAM_NAME": "telemetry", "KINETEL_MAX_HOLD": "5 parsecs"})
		}, "settings", []string{`warning: KINETEL_MAX_HOLD="5 parsecs": must be a duration*Kinetel uses "500ms"*KINETEL_MAX_HOLD*`}},
		{"a misspelt variable", func(s *situation) {
			variables(s, map[string]string{"KINETEL_STREAM_NAME": "telemetry", "KINETEL_FORMATS": "hunter2"})
		}, "settings", []string{"warning: KINETEL_FORMATS: is not a variable of this version*did you mean KINETEL_FORMAT?*"}},
		{"a problem with KINETEL_STRICT", func(s *situation) {
			variables(s, map[string]string{"KINETEL_STREAM_NAME": "telemetry", "KINETEL_STRICT": "true", "KINETEL_FORMAT": "xml"})
		}, "settings", []string{`error: KINETEL_FORMAT="xml"*Extension.ConfigInvalid*`}},
		{"turned off", func(s *situation) {
			variables(s, map[string]string{"KINETEL_STREAM_NAME": "telemetry", "KINETEL_ENABLED": "false"})
		}, "settings", []string{"warning: KINETEL_ENABLED turns Kinetel off | nothing is shipped*", "ok: stream telemetry*"}},
		{"variables that Lambda does not show", func(s *situation) {
			s.function["Environment"] = map[string]any{"Error": map[string]any{"ErrorCode": "AccessDeniedException", "Message": "kms:Decrypt"}}
		}, "settings", []string{"notChecked: the variables: they are encrypted: AccessDeniedException: kms:Decrypt*"}},
		{"the environment", func(s *situation) { environment(s, "KINETEL_STREAM_NAME=telemetry", "KINETEL_FORMAT=otlp") }, "settings", []string{"ok: stream telemetry, format otlp, gzip*"}},
		{"no variables here, a stream", func(s *situation) { environment(s); s.Stream = "telemetry" }, "settings", []string{"notChecked: the variables: there are none of Kinetel's here*--function NAME"}},

		{"no layer", func(s *situation) { s.function["Layers"] = nil }, "layer", []string{"error: Kinetel's layer is not on the function, which has 0 others*arm64/arn*"}},
		{"a layer of another name", func(s *situation) {
			s.function["Layers"] = []any{map[string]any{"Arn": layerARN("telemetry")}}
		}, "layer", []string{"ok: " + layerARN("telemetry") + ", version 0.1.0, for arm64*"}},
		{"only another layer", func(s *situation) {
			s.function["Layers"] = []any{map[string]any{"Arn": layerARN("other")}}
			s.answers["GetLayerVersionByArn"] = fakeaws.Answer{Body: `{"Description":"other things"}`}
		}, "layer", []string{"error: Kinetel's layer is not on the function, which has 1 others*"}},
		{"an unreadable layer of another name", func(s *situation) {
			s.function["Layers"] = []any{map[string]any{"Arn": layerARN("other")}}
			s.answers["GetLayerVersionByArn"] = denied
		}, "layer", []string{"notChecked: the layer: none has Kinetel's name, and one cannot be read: AccessDeniedException*"}},
		{"an unreadable layer of Kinetel's name", func(s *situation) { s.answers["GetLayerVersionByArn"] = denied }, "layer", []string{"ok: *version unknown, for arm64*"}},
		{"a layer for another architecture", func(s *situation) { s.function["Architectures"] = nil }, "layer", []string{"error: the layer * is for arm64, and the function runs on x86_64*Extension.LaunchError*x86_64/arn*"}},
		{"an old layer", func(s *situation) {
			s.answers["GetLayerVersionByArn"] = fakeaws.Answer{Body: `{"Description":"Kinetel 0.0.1: x","CompatibleArchitectures":["arm64"]}`}
		}, "layer", []string{"warning: the layer * has version 0.0.1, and this kinetel has 0.1.0*"}},
		{"a container image", func(s *situation) { s.function["PackageType"], s.function["Layers"] = "Image", nil }, "layer", []string{"notChecked: the layer: the function is a container image*"}},

		{"large buffers", func(s *situation) {
			variables(s, map[string]string{"KINETEL_STREAM_NAME": "telemetry", "KINETEL_BUFFER_BYTES": "64MiB", "KINETEL_SPOOL_BYTES": "500MiB", "KINETEL_MAX_HOLD": "3s"})
		}, "resources", []string{
			"warning: KINETEL_BUFFER_BYTES is 64 MiB, and the function has 128 MB of memory*set KINETEL_BUFFER_BYTES to 32MiB or less*",
			"warning: KINETEL_SPOOL_BYTES is 500 MiB, and /tmp has 512 MB*", "warning: KINETEL_MAX_HOLD is 3s, and the function's time-out is 3 s*",
		}},

		{"expired credentials", func(s *situation) {
			s.answers["GetCallerIdentity"] = fakeaws.Answer{Code: "ExpiredToken", Message: "the token has expired"}
		}, "credentials", []string{"error: AWS does not accept your credentials: ExpiredToken: the token has expired*aws sso login*"}},
		{"no credentials", func(s *situation) {
			environment(s, "KINETEL_STREAM_NAME=telemetry")
			s.ClientsError, s.LookupHost = errors.New("no AWS credentials"), nil
			s.Environ = append(s.Environ, "AWS_ENDPOINT_URL=http://127.0.0.1:1")
		}, "", []string{"ok: stream telemetry*", "error: no AWS credentials*", "error: 127.0.0.1:1 does not answer: *connection refused*"}},

		{"no network here", func(s *situation) { s.offline, s.Stream = true, "telemetry" }, "network", []string{"notChecked: the network: " + endpoint + " does not answer this machine: connection refused; the function may reach it*"}},
		{"no network in the function", func(s *situation) { environment(s, "KINETEL_STREAM_NAME=telemetry"); s.offline = true }, "network", []string{"error: " + endpoint + " does not answer: connection refused*VPC*"}},
		{"an unknown host", func(s *situation) {
			environment(s, "KINETEL_STREAM_NAME=telemetry")
			s.offline, s.LookupHost = true, func(context.Context, string) ([]string, error) { return nil, errors.New("no such host") }
		}, "network", []string{"error: " + endpoint + " does not answer: no such host*"}},
		{"a function in a VPC", func(s *situation) { s.function["VpcConfig"] = map[string]any{"VpcId": "vpc-1"} }, "network", []string{"ok: " + endpoint + " (192.0.2.7) answers this machine in *", "notChecked: whether the function reaches Kinesis: it is in the VPC vpc-1*", "ok: *"}},
		{"a clock that is wrong", func(s *situation) {
			s.header = http.Header{"Date": {time.Now().Add(time.Hour + 30*time.Second).UTC().Format(http.TimeFormat)}}
		}, "network", []string{"ok: *", "warning: the clock of this machine is wrong by 1h0m*"}},
		{"a clock that is wrong in the function", func(s *situation) {
			environment(s, "KINETEL_STREAM_NAME=telemetry")
			s.header = http.Header{"Date": {time.Now().Add(-6 * time.Minute).UTC().Format(http.TimeFormat)}}
		}, "network", []string{"ok: *", "error: the clock of this machine is wrong by 6m*five minutes*"}},
		{"no date", func(s *situation) { s.header = http.Header{"Date": nil} }, "network", []string{"ok: *", "notChecked: the clock: the answer has no valid header Date*"}},

		{"a missing stream", func(s *situation) {
			s.answers["DescribeStreamSummary"] = fakeaws.Answer{Code: "ResourceNotFoundException", Message: "no"}
		}, "stream", []string{"error: there is no stream " + streamARN + " in eu-west-1*aws kinesis list-streams --region eu-west-1*"}},
		{"an unreadable stream", func(s *situation) { s.answers["DescribeStreamSummary"] = denied }, "stream", []string{"notChecked: the stream " + streamARN + ": AccessDeniedException*kinesis:DescribeStreamSummary*"}},
		{"a stream that is being deleted", func(s *situation) { s.stream["StreamStatus"] = "DELETING" }, "stream", []string{"error: the stream is being deleted*"}},
		{"a stream that is being created", func(s *situation) { s.stream["StreamStatus"] = "CREATING" }, "stream", []string{"error: the stream is still being created*aws kinesis wait stream-exists*"}},
		{"a stream that ignores partition keys", func(s *situation) { s.stream["RecordDistributionStrategy"] = "AUTO" }, "stream", []string{"warning: the stream distributes records by itself*", "ok: *"}},
		{"a stream that the KCL cannot read", func(s *situation) {
			s.stream["RecordDistributionStrategy"] = "AUTO"
			variables(s, map[string]string{"KINETEL_STREAM_NAME": "telemetry", "KINETEL_FORMAT": "kpl"})
		}, "stream", []string{"error: the stream distributes records by itself*KCL drops aggregated records*", "ok: *"}},
		{"a stream in another region", func(s *situation) { s.Stream = "arn:aws:kinesis:eu-north-1:123456789012:stream/telemetry" }, "stream", []string{"warning: the function is in eu-west-1 and the stream in eu-north-1*", "ok: *"}},

		{"no encryption", func(s *situation) { s.stream["EncryptionType"] = "NONE" }, "encryption", []string{"warning: the stream is not encrypted*aws kinesis start-stream-encryption --stream-arn " + streamARN + "*"}},
		{"a key of the customer's", customerKey, "encryption", []string{"ok: the key's policy allows kms:GenerateDataKey to " + roleARN + "*"}},
		{"AWS's key by its id", func(s *situation) {
			customerKey(s)
			s.answers["DescribeKey"] = fakeaws.Answer{Body: `{"KeyMetadata":{"KeyId":"1234abcd","KeyManager":"AWS","KeyState":"Enabled"}}`}
		}, "encryption", []string{"ok: encrypted with AWS's key*"}},
		{"a disabled key", func(s *situation) {
			customerKey(s)
			s.answers["DescribeKey"] = fakeaws.Answer{Body: `{"KeyMetadata":{"KeyId":"1234abcd","Arn":"` + keyARN + `","KeyState":"Disabled"}}`}
		}, "encryption", []string{"error: the stream's key is in the state Disabled*aws kms enable-key --key-id " + keyARN + "*"}},
		{"a key that will be deleted", func(s *situation) {
			customerKey(s)
			s.answers["DescribeKey"] = fakeaws.Answer{Body: `{"KeyMetadata":{"KeyId":"1234abcd","Arn":"` + keyARN + `","KeyState":"PendingDeletion"}}`}
		}, "encryption", []string{"error: the stream's key will be deleted*aws kms cancel-key-deletion*"}},
		{"a key that is gone", func(s *situation) {
			customerKey(s)
			s.answers["DescribeKey"] = fakeaws.Answer{Code: "NotFoundException"}
		}, "encryption", []string{"error: there is no key " + keyARN + "*"}},
		{"an unreadable key", func(s *situation) { customerKey(s); s.answers["DescribeKey"] = denied }, "encryption", []string{"notChecked: the key " + keyARN + ": AccessDeniedException*"}},
		{"an unreadable key policy", func(s *situation) { customerKey(s); s.answers["GetKeyPolicy"] = denied }, "encryption", []string{"ok: encrypted with the key " + keyARN + "*", "notChecked: the key's policy: AccessDeniedException*"}},
		{"a key policy without the role", func(s *situation) {
			customerKey(s)
			s.answers["GetKeyPolicy"] = policy(`[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::123456789012:role/other"]},"Action":["kms:*"],"Resource":"*"}]`)
		}, "encryption", []string{"error: the key's policy does not allow kms:GenerateDataKey to " + roleARN + "*"}},
		{"AWS's key on the stream of another account", func(s *situation) { otherAccount(s); s.stream["KeyId"] = "alias/aws/kinesis" }, "encryption", []string{"error: the stream of another account has AWS's key*"}},

		{"a role that may not write", func(s *situation) { s.answers["SimulatePrincipalPolicy"] = simulated("implicitDeny", "") }, "role", []string{
			"error: " + roleARN + " may not kinesis:PutRecords on " + streamARN + ": no policy of the role allows it*aws iam put-role-policy --role-name orders-role *\"Action\":\"kinesis:PutRecords\",\"Resource\":\"" + streamARN + "\"*",
		}},
		{"a role with a denying statement", func(s *situation) { s.answers["SimulatePrincipalPolicy"] = simulated("explicitDeny", "") }, "role", []string{"error: *: a statement denies it*"}},
		{"a role with a boundary", func(s *situation) {
			s.answers["SimulatePrincipalPolicy"] = simulated("implicitDeny", "<PermissionsBoundaryDecisionDetail><AllowedByPermissionsBoundary>false</AllowedByPermissionsBoundary></PermissionsBoundaryDecisionDetail>")
		}, "role", []string{"error: *: its permissions boundary does not allow it*"}},
		{"an organization's policy", func(s *situation) {
			s.answers["SimulatePrincipalPolicy"] = simulated("implicitDeny", "<OrganizationsDecisionDetail><AllowedByOrganizations>false</AllowedByOrganizations></OrganizationsDecisionDetail>")
		}, "role", []string{"error: *: a policy of the organization (SCP) does not allow it*"}},
		{"no permission to simulate", func(s *situation) {
			s.answers["SimulatePrincipalPolicy"] = fakeaws.Answer{Code: "AccessDenied", Message: "no"}
		}, "role", []string{"notChecked: whether the role may write to the stream: AccessDenied: no*iam:SimulatePrincipalPolicy, or run: aws iam simulate-principal-policy*"}},
		{"a role and a key", customerKey, "role", []string{"ok: *kinesis:PutRecords on " + streamARN + "*", "ok: *kms:GenerateDataKey on " + keyARN + "*"}},
		{"the role of the environment", func(s *situation) { environment(s, "KINETEL_STREAM_NAME=telemetry") }, "role", []string{"ok: arn:aws:iam::123456789012:role/admin may kinesis:PutRecords*"}},

		{"another account's stream without a policy", func(s *situation) { otherAccount(s); s.answers["GetResourcePolicy"] = fakeaws.Answer{Body: `{}`} }, "policy", []string{"error: the stream has no policy, and the function is in another account*"}},
		{"another account's stream with a policy", func(s *situation) {
			otherAccount(s)
			s.answers["GetResourcePolicy"] = policy(`{"Effect":"Allow","Principal":{"AWS":"999999999999"},"Action":"kinesis:Put*"}`)
		}, "policy", []string{"ok: the stream's policy allows kinesis:PutRecords to arn:aws:iam::999999999999:role/orders-role*"}},
		{"another account's stream with an unreadable policy", func(s *situation) { otherAccount(s); s.answers["GetResourcePolicy"] = denied }, "policy", []string{"notChecked: the stream's policy*aws kinesis get-resource-policy*"}},

		{"your own permission", func(s *situation) { s.answers["PutRecords"] = denied }, "write", []string{"notChecked: whether Kinesis accepts a record with your credentials, not the role's: AccessDeniedException*"}},
		{"the function's permission", func(s *situation) {
			environment(s, "KINETEL_STREAM_NAME=telemetry")
			s.answers["PutRecords"] = denied
		}, "write", []string{"error: Kinesis refuses a record, with the function's credentials: AccessDeniedException*"}},
		{"a key that Kinesis cannot use", func(s *situation) {
			s.answers["PutRecords"] = fakeaws.Answer{Code: "KMSDisabledException", Message: "disabled"}
		}, "write", []string{"error: Kinesis refuses a record, *KMSDisabledException: disabled*"}},
		{"a service without DryRun", func(s *situation) {
			s.answers["PutRecords"] = fakeaws.Answer{Body: `{"FailedRecordCount":0,"Records":[{"SequenceNumber":"1","ShardId":"0"}]}`}
		}, "write", []string{"warning: Kinesis accepts records *, but it stored one in spite of DryRun*"}},
		{"an emulator", func(s *situation) { s.custom = true }, "write", []string{"notChecked: whether Kinesis accepts a record: not tried, because http://127.0.0.1:* may not know DryRun*"}},

		{"an empty stream", func(s *situation) { s.records = nil }, "telemetry", []string{"warning: nothing arrived of the function orders in the last 1h0m0s; read records: 0*call the function*"}},
		{"only another function's telemetry", func(s *situation) { s.records = []string{line(1, "other", "function", `"x"`)} }, "telemetry", []string{"warning: nothing arrived of the function orders*read records: 1*"}},
		{"foreign records", func(s *situation) { s.records = append(s.records, "hello") }, "telemetry", []string{"warning: 1 of 2 records are not Kinetel's*", "ok: 1 events*"}},
		{"losses", func(s *situation) {
			loss := line(7, "orders", "kinetel.loss", `{"firstSeq":3,"lastSeq":6,"count":4,"bytes":400,"reason":"buffer-full"}`)
			s.records = []string{
				loss, loss, // a duplicate
				line(8, "orders", "kinetel.loss", `{"firstSeq":9,"lastSeq":9,"count":1,"bytes":1,"reason":"shutdown"}`),
				line(9, "other", "kinetel.loss", `{"firstSeq":9,"lastSeq":9,"count":1,"bytes":1,"reason":"oversize"}`),
			}
		}, "telemetry", []string{
			"error: 4 events of the function orders were lost in the last 1h0m0s: buffer-full*KINETEL_BUFFER_BYTES*",
			"error: 1 events of the function orders were lost*: shutdown*",
		}},
		{"the last report", func(s *situation) {
			s.records = []string{
				reported(1, ledger.Report{Shipped: ledger.Volume{Events: 7}, Lost: map[ledger.Reason]int64{ledger.BufferFull: 4}}),
				reported(2, ledger.Report{Shipped: ledger.Volume{Events: 8}, Waiting: 2, PutLatency: ledger.Quantiles{P50: 12.5}, LogsDropped: ledger.Dropped{Records: 3}}),
			}
		}, "telemetry", []string{"warning: Lambda dropped 3 log lines*(e-1)*", "ok: 2 events*", "ok: the last kinetel.report, * ago: 8 events shipped, 2 waiting; half of the requests took 12.5 ms or less; none lost*"}},
		{"a report with earlier losses", func(s *situation) {
			s.records = []string{reported(1, ledger.Report{Shipped: ledger.Volume{Events: 7}, Lost: map[ledger.Reason]int64{ledger.BufferFull: 4}})}
		}, "telemetry", []string{"ok: 1 events*", "warning: the last kinetel.report*lost 4 (buffer-full)*e-1*"}},
		{"an unreadable shard", func(s *situation) { s.answers["GetShardIterator"] = denied }, "telemetry", []string{"notChecked: the telemetry in the stream: AccessDeniedException*kinesis:ListShards*"}},
		{"nothing to read", func(s *situation) { s.Since = 0 }, "telemetry", nil},
	} {
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

func TestNothingToCheck(t *testing.T) {
	s := healthy()
	s.answers["GetFunctionConfiguration"] = fakeaws.Answer{Code: "ResourceNotFoundException", Message: "Function not found"}
	if _, _, err := s.run(t); err == nil || !strings.Contains(err.Error(), "function orders: ResourceNotFoundException: Function not found; check the name and the region (eu-west-1)") {
		t.Errorf("no function: %v", err)
	}
	s = healthy()
	s.ClientsError = errors.New("no AWS credentials")
	if _, _, err := s.run(t); !errors.Is(err, s.ClientsError) {
		t.Errorf("no credentials: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s = healthy()
	s.Function, s.Stream, s.ClientsError = "", "telemetry", errors.New("none")
	s.Progress = func(string) { cancel() }
	if _, err := doctor.Run(ctx, s.Options); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: %v", err)
	}
}

// A service that does not answer costs its check a time limit, and the others nothing.
func TestACheckWithoutAnAnswerDoesNotPreventTheOthers(t *testing.T) {
	s := healthy()
	s.Timeout = time.Second
	s.answers["SimulatePrincipalPolicy"] = fakeaws.Answer{Hang: true}
	report, _, err := s.run(t)
	if err != nil {
		t.Fatal(err)
	}
	if got := texts(report, "role"); len(got) != 1 || !strings.HasPrefix(got[0], "notChecked: whether the role may write to the stream: no answer within the time limit") {
		t.Errorf("findings %q", got)
	}
	if got := texts(report, "telemetry"); len(got) != 1 || !strings.HasPrefix(got[0], "ok: ") {
		t.Errorf("findings %q", got)
	}
}

func TestTheTextCannotControlATerminal(t *testing.T) {
	report := doctor.Report{Stream: "a\x1b[31m", Findings: []doctor.Finding{{Check: "stream", Level: doctor.Error, What: "x\x1b]0;title\x07\r\ny\u202ez\xff", Why: "because", Fix: "aws fix"}}}
	var b bytes.Buffer
	if err := report.WriteText(&b, lipgloss.NewRenderer(&b)); err != nil {
		t.Fatal(err)
	}
	const want = `stream    a [31m

error        stream       x ]0;title   y z` + "\uFFFD" + `
                          why  because
                          fix  aws fix

errors: 1, warnings: 0, not checked: 0, ok: 0
`
	if b.String() != want {
		t.Errorf("text\n%s\nwant\n%s", b.String(), want)
	}
}
