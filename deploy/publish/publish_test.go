package main

import (
	"crypto/sha256"
	"encoding/base64"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"github.com/kinetel/kinetel/deploy/internal/moto"
	"github.com/kinetel/kinetel/deploy/layer"
)

// The command, with the AWS SDK's own configuration, against moto.
func TestPublish(t *testing.T) {
	cfg := moto.Start(t)
	t.Setenv("AWS_ENDPOINT_URL", *cfg.BaseEndpoint)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	t.Setenv("AWS_PROFILE", "")
	regions := []string{"eu-west-1", "us-east-1"}
	dist := filepath.Join(t.TempDir(), "dist")
	publish := func(content string, flags ...string) []string {
		t.Helper()
		if err := makeDist(dist, content); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		cmd := newCommand()
		cmd.SetOut(&out)
		cmd.SetArgs(append([]string{"--dist", dist, "--regions", strings.Join(regions, ",")}, flags...))
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(out.String()), "\n")
	}
	// check holds what a region has against what was published there last.
	check := func(content string, version int64) {
		t.Helper()
		for _, region := range regions {
			in := cfg.Copy()
			in.Region = region
			lambdas, parameters := lambda.NewFromConfig(in), ssm.NewFromConfig(in)
			for _, a := range layer.Architectures {
				got, err := lambdas.GetLayerVersion(t.Context(), &lambda.GetLayerVersionInput{LayerName: aws.String(a.Name()), VersionNumber: aws.Int64(version)})
				if err != nil {
					t.Fatal(err)
				}
				sum := sha256.Sum256([]byte(content + " for " + a.Go))
				if *got.Content.CodeSha256 != base64.StdEncoding.EncodeToString(sum[:]) || *got.Description != layer.Description() ||
					*got.LicenseInfo != "Apache-2.0" || !slices.Equal(got.CompatibleArchitectures, []lambdatypes.Architecture{lambdatypes.Architecture(a.Lambda)}) {
					t.Errorf("%s %s:%d is %s, %q, %s, %v", region, a.Name(), version, *got.Content.CodeSha256, *got.Description, *got.LicenseInfo, got.CompatibleArchitectures)
				}
				names := []string{"/telemetry/kinesis/extension/" + a.Lambda + "/arn"}
				if a.Lambda == "x86_64" {
					names = append(names, "/telemetry/kinesis/extension/arn")
				}
				for _, name := range names {
					p, err := parameters.GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String(name)})
					if err != nil {
						t.Fatalf("%s: %v", name, err)
					}
					if *p.Parameter.Value != *got.LayerVersionArn {
						t.Errorf("%s %s is %s, want %s", region, name, *p.Parameter.Value, *got.LayerVersionArn)
					}
				}
				list, err := lambdas.ListLayerVersions(t.Context(), &lambda.ListLayerVersionsInput{LayerName: aws.String(a.Name())})
				if err != nil {
					t.Fatal(err)
				}
				if int64(len(list.LayerVersions)) != version {
					t.Errorf("%s %s has %d versions, want %d", region, a.Name(), len(list.LayerVersions), version)
				}
			}
		}
	}

	if out := publish("one"); len(out) != 10 || !strings.HasPrefix(out[0], "eu-west-1  published  arn:aws:lambda:eu-west-1:") {
		t.Errorf("output %q", out)
	}
	check("one", 1)
	// Again: nothing new.
	if out := publish("one"); !strings.HasPrefix(out[0], "eu-west-1  unchanged  arn:aws:lambda:eu-west-1:") {
		t.Errorf("output %q", out)
	}
	check("one", 1)
	// Another zip is another version, and the parameters follow.
	publish("two")
	check("two", 2)
	// A dry run leaves all as it is.
	publish("three", "--dry-run")
	check("two", 2)
}

// The error names each region that failed, and publish does the others.
func TestOneRegionFails(t *testing.T) {
	cfg := moto.Start(t)
	t.Setenv("AWS_ENDPOINT_URL_LAMBDA", *cfg.BaseEndpoint)
	t.Setenv("AWS_ENDPOINT_URL_SSM", "http://127.0.0.1:1") // where nothing listens
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	dist := filepath.Join(t.TempDir(), "dist")
	if err := makeDist(dist, "one"); err != nil {
		t.Fatal(err)
	}
	cmd := newCommand()
	cmd.SetOut(&strings.Builder{})
	cmd.SetArgs([]string{"--dist", dist, "--regions", "eu-west-1,us-east-1"})
	err := cmd.ExecuteContext(t.Context())
	if err == nil {
		t.Fatal("no error")
	}
	for _, region := range []string{"eu-west-1", "us-east-1"} {
		if want := region + ": write the parameter /telemetry/kinesis/extension/x86_64/arn: "; !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nsays nothing of %q", err, want)
		}
	}
}
