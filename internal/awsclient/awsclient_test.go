package awsclient_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/kinetel/kinetel/internal/awsclient"
)

func TestOptionsGoBeforeTheEnvironment(t *testing.T) {
	const arn = "arn:aws:kinesis:eu-central-1:123456789012:stream/telemetry"
	keys := map[string]string{"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret"}
	for _, c := range []struct {
		name     string
		env      map[string]string
		options  awsclient.Options
		resource string
		region   string
		err      error
		message  string
	}{
		{"AWS_REGION", map[string]string{"AWS_REGION": "eu-west-1"}, awsclient.Options{}, "telemetry", "eu-west-1", nil, ""},
		{"--region", map[string]string{"AWS_REGION": "eu-west-1"}, awsclient.Options{Region: "eu-north-1"}, "telemetry", "eu-north-1", nil, ""},
		{"an ARN", map[string]string{"AWS_REGION": "eu-west-1"}, awsclient.Options{}, arn, "eu-central-1", nil, ""},
		{"an ARN that --region contradicts", nil, awsclient.Options{Region: "eu-west-1"}, arn, "", nil, "--region eu-west-1 contradicts " + arn},
		{"a profile", nil, awsclient.Options{Profile: "dev"}, "telemetry", "eu-south-1", nil, ""},
		{"an unknown profile", nil, awsclient.Options{Profile: "nobody"}, "telemetry", "", nil, "nobody"},
		{"no region", nil, awsclient.Options{}, "telemetry", "", awsclient.ErrNoRegion, ""},
		{"no credentials", map[string]string{"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": ""}, awsclient.Options{}, "telemetry", "", awsclient.ErrNoCredentials, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "config")
			if err := os.WriteFile(file, []byte("[profile dev]\nregion = eu-south-1\naws_access_key_id = a\naws_secret_access_key = b\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ENDPOINT_URL"} {
				t.Setenv(name, "")
			}
			t.Setenv("AWS_CONFIG_FILE", file)
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file+"-none")
			t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
			for _, env := range []map[string]string{keys, c.env} {
				for name, value := range env {
					t.Setenv(name, value)
				}
			}
			cfg, err := c.options.Load(t.Context(), c.resource)
			switch {
			case c.err != nil && !errors.Is(err, c.err), c.message != "" && (err == nil || !strings.Contains(err.Error(), c.message)):
				t.Errorf("error %v, want %v %s", err, c.err, c.message)
			case c.err == nil && c.message == "" && (err != nil || cfg.Region != c.region):
				t.Errorf("region %q, error %v, want %q", cfg.Region, err, c.region)
			}
		})
	}
}

func TestTheEndpointOfTheCommandLineGoesBeforeVariables(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-west-1", "AWS_PROFILE": "",
		"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ENDPOINT_URL_KINESIS": "http://127.0.0.1:2", "AWS_USE_FIPS_ENDPOINT": "true",
	} {
		t.Setenv(name, value)
	}
	for given, want := range map[string]string{"": "http://127.0.0.1:2", "http://127.0.0.1:3": "http://127.0.0.1:3"} {
		cfg, err := awsclient.Options{EndpointURL: given}.Load(t.Context(), "telemetry")
		if err != nil {
			t.Fatal(err)
		}
		if got := aws.ToString(kinesis.NewFromConfig(cfg).Options().BaseEndpoint); got != want {
			t.Errorf("--endpoint-url %q: requests go to %s, want %s", given, got, want)
		}
	}
}
