// Package awsclient configures the AWS clients of the command kinetel as the AWS CLI
// does.
package awsclient

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/spf13/pflag"
)

// Options are the AWS options of a command line. Empty ones leave the choice to the
// SDK's default chain: variables, profiles (also with SSO), containers, instances.
type Options struct {
	Profile, Region, EndpointURL string
}

// AddFlags adds the options to a command's flags, with the names that they have in the
// AWS CLI.
func (o *Options) AddFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.Profile, "profile", "", "the AWS `profile` (default: AWS_PROFILE)")
	flags.StringVar(&o.Region, "region", "", "the AWS `region` (default: that of an ARN, of AWS_REGION or of the profile)")
	flags.StringVar(&o.EndpointURL, "endpoint-url", "", "the `URL` of the service (default: AWS's)")
}

var (
	// ErrNoRegion means that no option, ARN, variable or profile names a region.
	ErrNoRegion = errors.New("no AWS region: set --region, AWS_REGION or a profile's region, or give an ARN")
	// ErrNoCredentials means that the default chain finds no credentials.
	ErrNoCredentials = errors.New("no AWS credentials: `aws sts get-caller-identity` must answer first (try `aws sso login`, --profile, or AWS_ACCESS_KEY_ID)")
)

// Load returns the configuration for clients. resource may be the ARN or the name of
// what the command works with: the region of an ARN replaces the default one, and
// contradicts another --region. The errors wrap ErrNoRegion and ErrNoCredentials.
func (o Options) Load(ctx context.Context, resource string) (aws.Config, error) {
	region := o.Region
	if a, err := arn.Parse(resource); err == nil && a.Region != "" {
		if region != "" && region != a.Region {
			return aws.Config{}, fmt.Errorf("--region %s contradicts %s: leave --region out", region, resource)
		}
		region = a.Region
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithSharedConfigProfile(o.Profile), config.WithRegion(region), config.WithBaseEndpoint(o.EndpointURL))
	if err != nil {
		return aws.Config{}, err
	}
	if cfg.Region == "" {
		return aws.Config{}, ErrNoRegion
	}
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return aws.Config{}, fmt.Errorf("%w: %w", ErrNoCredentials, err)
	}
	return cfg, nil
}
