package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/kinetel/kinetel/deploy/layer"
)

// zipped is a layer's zip.
type zipped struct {
	arch layer.Architecture
	file string
	data []byte
}

// cloud has the calls that publishing makes in a region.
type cloud interface {
	// publish returns the ARN of the layer version with this zip, and whether publish
	// made it.
	publish(ctx context.Context, z zipped) (arn string, published bool, err error)
	// share lets the functions of an account use a version. With an organization the
	// account is "*".
	share(ctx context.Context, arch layer.Architecture, arn, account, organization string) error
	// writeParameter writes an ARN into an SSM parameter.
	writeParameter(ctx context.Context, name, arn string, arch layer.Architecture) error
}

// inAWS is a region of AWS.
type inAWS struct {
	lambda *lambda.Client
	ssm    *ssm.Client
}

func newAWS(cfg aws.Config) inAWS {
	return inAWS{lambda.NewFromConfig(cfg), ssm.NewFromConfig(cfg)}
}

func (c inAWS) publish(ctx context.Context, z zipped) (string, bool, error) {
	name := aws.String(z.arch.Name())
	// Lambda lists the newest version first.
	list, err := c.lambda.ListLayerVersions(ctx, &lambda.ListLayerVersionsInput{LayerName: name, MaxItems: aws.Int32(1)})
	if notFound := (*lambdatypes.ResourceNotFoundException)(nil); err != nil && !errors.As(err, &notFound) {
		return "", false, fmt.Errorf("list the versions of %s: %w", *name, err)
	}
	if list != nil && len(list.LayerVersions) > 0 {
		newest := list.LayerVersions[0]
		version, err := c.lambda.GetLayerVersion(ctx, &lambda.GetLayerVersionInput{LayerName: name, VersionNumber: aws.Int64(newest.Version)})
		if err != nil {
			return "", false, fmt.Errorf("look at version %d of %s: %w", newest.Version, *name, err)
		}
		sum := sha256.Sum256(z.data)
		if version.Content != nil && aws.ToString(version.Content.CodeSha256) == base64.StdEncoding.EncodeToString(sum[:]) {
			return aws.ToString(version.LayerVersionArn), false, nil
		}
	}
	made, err := c.lambda.PublishLayerVersion(ctx, &lambda.PublishLayerVersionInput{
		LayerName:               name,
		Description:             aws.String(layer.Description()),
		LicenseInfo:             aws.String(layer.License),
		CompatibleArchitectures: []lambdatypes.Architecture{lambdatypes.Architecture(z.arch.Lambda)},
		Content:                 &lambdatypes.LayerVersionContentInput{ZipFile: z.data},
	})
	if err != nil {
		return "", false, fmt.Errorf("publish %s: %w", *name, err)
	}
	return aws.ToString(made.LayerVersionArn), true, nil
}

func (c inAWS) share(ctx context.Context, arch layer.Architecture, arn, account, organization string) error {
	version, err := versionOf(arn)
	if err != nil {
		return err
	}
	in := &lambda.AddLayerVersionPermissionInput{
		LayerName:     aws.String(arch.Name()),
		VersionNumber: aws.Int64(version),
		StatementId:   aws.String(statement(account, organization)),
		Action:        aws.String("lambda:GetLayerVersion"),
		Principal:     aws.String(account),
	}
	if organization != "" {
		in.OrganizationId = aws.String(organization)
	}
	_, err = c.lambda.AddLayerVersionPermission(ctx, in)
	if there := (*lambdatypes.ResourceConflictException)(nil); errors.As(err, &there) {
		return nil // from an earlier run
	} else if err != nil {
		return fmt.Errorf("share %s with %s: %w", arn, account+organization, err)
	}
	return nil
}

func (c inAWS) writeParameter(ctx context.Context, name, arn string, arch layer.Architecture) error {
	_, err := c.ssm.PutParameter(ctx, &ssm.PutParameterInput{
		Name: aws.String(name), Value: aws.String(arn), Type: ssmtypes.ParameterTypeString,
		Overwrite: aws.Bool(true), Description: aws.String(parameterDescription(arch)),
	})
	if err != nil {
		return fmt.Errorf("write the parameter %s: %w", name, err)
	}
	return nil
}

func parameterDescription(arch layer.Architecture) string {
	return "The newest layer of Kinetel for " + arch.Lambda
}

// statement names a permission after who has it.
func statement(account, organization string) string {
	if organization != "" {
		return "organization-" + organization
	}
	return "account-" + account
}

// versionOf is the last member of a layer version's ARN.
func versionOf(arn string) (int64, error) {
	version, err := strconv.ParseInt(arn[strings.LastIndexByte(arn, ':')+1:], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not the ARN of a layer's version", arn)
	}
	return version, nil
}
