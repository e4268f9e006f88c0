package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/credentials"
)

func TestStreamARNsOfAllPartitionsAreRead(t *testing.T) {
	for _, tt := range []struct{ partition, region string }{
		{"aws", "eu-west-1"},
		{"aws", "ap-southeast-7"},
		{"aws", "mx-central-1"},
		{"aws-cn", "cn-northwest-1"},
		{"aws-us-gov", "us-gov-east-1"},
		{"aws-iso", "us-iso-east-1"},
		{"aws-iso-b", "us-isob-east-1"},
		{"aws-iso-e", "eu-isoe-west-1"},
		{"aws-iso-f", "us-isof-south-1"},
		{"aws-eusc", "eusc-de-east-1"},
	} {
		t.Run(tt.region, func(t *testing.T) {
			arn := "arn:" + tt.partition + ":kinesis:" + tt.region + ":123456789012:stream/s"
			c, problems := load(lambda().with(vars{"KINETEL_STREAM_NAME": unset, "KINETEL_STREAM_ARN": arn}).environ())
			if len(problems) > 0 || c.StreamARN != arn || c.StreamName != "s" || c.AWS.Region != tt.region {
				t.Errorf("%s gives ARN %q, name %q, region %q and problems %v", arn, c.StreamARN, c.StreamName, c.AWS.Region, problems)
			}
		})
	}
}

// A missing destination cannot be replaced.
func TestADestinationThatCannotBeUsedIsFatal(t *testing.T) {
	const (
		endpoint = "must be a URL such as https://kinesis.eu-west-1.amazonaws.com"
		someARN  = "arn:aws:kinesis:eu-west-1:123456789012:stream/"
	)
	for _, tt := range []struct {
		name string
		set  vars // one variable, which is the one at fault
		text []string
	}{
		{"an endpoint without a scheme", vars{"AWS_ENDPOINT_URL": "localhost:4567"}, []string{endpoint}},
		{"an endpoint of another scheme", vars{"AWS_ENDPOINT_URL_KINESIS": "ftp://host"}, []string{endpoint}},
		{"an endpoint without a host", vars{"AWS_ENDPOINT_URL_KINESIS": "https:///path"}, []string{endpoint}},
		{"an endpoint that is no URL", vars{"AWS_ENDPOINT_URL_KINESIS": "http://[::1"}, []string{endpoint}},
		{"a region that does not exist", vars{"AWS_REGION": "europe"}, []string{"eu-west-1"}},
		{"a region with a path", vars{"AWS_REGION": "eu-west-1.evil.example/"}, []string{"eu-west-1"}},
		{"a region without a number", vars{"AWS_REGION": "eu-west-one"}, []string{"eu-west-1"}},
		{"a stream's name with a blank", vars{"KINETEL_STREAM_NAME": "my stream"}, []string{"1 to 128 of a-z, A-Z, 0-9, _, . and -"}},
		{"a stream's name that is too long", vars{"KINETEL_STREAM_NAME": strings.Repeat("x", 129)}, []string{"1 to 128 of"}},
		{"an ARN of no stream, as a name", vars{"KINETEL_STREAM_NAME": "arn:aws:sqs:eu-west-1:123456789012:queue"}, []string{someARN}},
		{"an ARN of another name", vars{"KINETEL_STREAM_ARN": someARN + "others"}, []string{`KINETEL_STREAM_NAME="telemetry"`, "set only one"}},
		{"another name as an ARN", vars{"KINETEL_STREAM_ARN": "others"}, []string{someARN}},
		{"an ARN of no stream", vars{"KINETEL_STREAM_ARN": "arn:aws:kinesis:eu-west-1:123456789012:telemetry"}, []string{someARN}},
		{"an ARN of another service", vars{"KINETEL_STREAM_ARN": "arn:aws:firehose:eu-west-1:123456789012:stream/telemetry"}, []string{someARN}},
		{"an ARN without a region", vars{"KINETEL_STREAM_ARN": "arn:aws:kinesis::123456789012:stream/telemetry"}, []string{someARN}},
		{"an ARN of a short account", vars{"KINETEL_STREAM_ARN": "arn:aws:kinesis:eu-west-1:12345678901:stream/telemetry"}, []string{someARN}},
		{"an ARN of an account with letters", vars{"KINETEL_STREAM_ARN": "arn:aws:kinesis:eu-west-1:12345678901x:stream/telemetry"}, []string{someARN}},
		{"an ARN of a consumer", vars{"KINETEL_STREAM_ARN": someARN + "telemetry/consumer/c:1"}, []string{someARN}},
		{"an ARN of no cloud", vars{"KINETEL_STREAM_ARN": "arn:gcp:kinesis:eu-west-1:123456789012:stream/telemetry"}, []string{someARN}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := load(lambda().with(tt.set).environ())
			if len(problems) != 1 || config.Usable(problems) || problems[0].Severity != config.Fatal {
				t.Fatalf("problems are %v, want one that stops shipping", problems)
			}
			p := problems[0]
			for variable, value := range tt.set {
				if p.Variable != variable || p.Used != "" || len(value) < 100 && p.Value != value {
					t.Errorf("the problem is %+v, want one of %s=%q", p, variable, value)
				}
			}
			for _, part := range tt.text {
				if !strings.Contains(p.String(), part) {
					t.Errorf("%q does not contain %q", p.String(), part)
				}
			}
		})
	}
}

// The credentials of a SnapStart function are fetched when they are needed.
func TestCredentialsFromTheContainerEndpoint(t *testing.T) {
	const uri = "http://127.0.0.1:9001/2021-04-23/credentials"
	noKeys := vars{"AWS_ACCESS_KEY_ID": unset, "AWS_SECRET_ACCESS_KEY": unset, "AWS_SESSION_TOKEN": unset}
	for _, tt := range []struct {
		name    string
		set     vars
		want    credentials.ContainerOptions
		missing []string // variables that are reported
	}{
		{"with a token", vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "hush"}, credentials.ContainerOptions{URI: uri, Token: "hush"}, nil},
		{"with white space", vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": " " + uri + "\n", "AWS_CONTAINER_AUTHORIZATION_TOKEN": "hush\n"}, credentials.ContainerOptions{URI: uri, Token: "hush"}, nil},
		{
			"with a token in a file",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/run/token"},
			credentials.ContainerOptions{URI: uri, TokenFile: "/var/run/token"},
			nil,
		},
		{"without a token", vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri}, credentials.ContainerOptions{URI: uri}, nil},
		{"no address", vars{"AWS_CONTAINER_AUTHORIZATION_TOKEN": "hush"}, credentials.ContainerOptions{Token: "hush"}, []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}},
		{"a blank address", vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "  "}, credentials.ContainerOptions{}, []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}},
		{
			"half of the keys",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE"},
			credentials.ContainerOptions{URI: uri},
			[]string{"AWS_SECRET_ACCESS_KEY"},
		},
		{
			"the other half",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"},
			credentials.ContainerOptions{URI: uri},
			[]string{"AWS_ACCESS_KEY_ID"},
		},
		{
			"with keys as well",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": uri, "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"},
			credentials.ContainerOptions{URI: uri},
			nil,
		},
		{
			"an address that is not a URL",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "/credentials"},
			credentials.ContainerOptions{URI: "/credentials"},
			[]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI"},
		},
		{
			"an address on the internet without TLS",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.7/credentials"},
			credentials.ContainerOptions{URI: "http://192.0.2.7/credentials"},
			[]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI"},
		},
		{
			"an address with a password",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://u:hush@127.0.0.1/"},
			credentials.ContainerOptions{URI: "http://u:hush@127.0.0.1/"},
			[]string{"AWS_CONTAINER_CREDENTIALS_FULL_URI"},
		},
		{
			"an address that is not a URL, with keys",
			vars{"AWS_CONTAINER_CREDENTIALS_FULL_URI": "/c", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI"},
			credentials.ContainerOptions{URI: "/c"},
			nil,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, problems := load(lambda().with(noKeys).with(tt.set).environ())
			if diff := cmp.Diff(tt.want, c.AWS.Container); diff != "" {
				t.Errorf("Container (-want +got):\n%s", diff)
			}
			var missing []string
			for _, p := range problems {
				missing = append(missing, p.Variable)
				if strings.Contains(fmt.Sprintf("%+v", p), "hush") {
					t.Errorf("%v repeats the token", p)
				}
			}
			if diff := cmp.Diff(tt.missing, missing); diff != "" || config.Usable(problems) != (tt.missing == nil) {
				t.Errorf("problems of (-want +got):\n%s%v", diff, problems)
			}
		})
	}
}
