package moto_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/kinetel/kinetel/deploy/internal/moto"
)

func TestStartGivesAnEmptyAWSOfItsOwn(t *testing.T) {
	one, other := moto.Start(t), moto.Start(t)
	_, err := s3.NewFromConfig(one).CreateBucket(t.Context(), &s3.CreateBucketInput{
		Bucket:                    aws.String("layers"),
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: moto.Region},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"one": 1, "other": 0} {
		cfg := map[string]aws.Config{"one": one, "other": other}[name]
		out, err := s3.NewFromConfig(cfg).ListBuckets(t.Context(), &s3.ListBucketsInput{})
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Buckets) != want {
			t.Errorf("%s has %d buckets, want %d", name, len(out.Buckets), want)
		}
	}
}

func TestOtherEndpointsAreRefused(t *testing.T) {
	cfg := moto.Start(t)
	_, err := sts.NewFromConfig(cfg, func(o *sts.Options) {
		o.BaseEndpoint, o.RetryMaxAttempts = aws.String("http://127.0.0.1:9"), 1
	}).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err == nil || !strings.Contains(err.Error(), "may only ask") {
		t.Errorf("another endpoint: %v", err)
	}
}
