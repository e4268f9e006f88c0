package doctor

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
)

// The calls that the checks make, apart from those of streamreader. They are the
// permissions that a user needs.
type (
	lambdaAPI interface {
		GetFunctionConfiguration(context.Context, *lambda.GetFunctionConfigurationInput, ...func(*lambda.Options)) (*lambda.GetFunctionConfigurationOutput, error)
		GetLayerVersionByArn(context.Context, *lambda.GetLayerVersionByArnInput, ...func(*lambda.Options)) (*lambda.GetLayerVersionByArnOutput, error)
	}
	stsAPI interface {
		GetCallerIdentity(context.Context, *sts.GetCallerIdentityInput, ...func(*sts.Options)) (*sts.GetCallerIdentityOutput, error)
	}
	iamAPI interface {
		SimulatePrincipalPolicy(context.Context, *iam.SimulatePrincipalPolicyInput, ...func(*iam.Options)) (*iam.SimulatePrincipalPolicyOutput, error)
	}
	kmsAPI interface {
		DescribeKey(context.Context, *kms.DescribeKeyInput, ...func(*kms.Options)) (*kms.DescribeKeyOutput, error)
		GetKeyPolicy(context.Context, *kms.GetKeyPolicyInput, ...func(*kms.Options)) (*kms.GetKeyPolicyOutput, error)
	}
	kinesisAPI interface {
		DescribeStreamSummary(context.Context, *kinesis.DescribeStreamSummaryInput, ...func(*kinesis.Options)) (*kinesis.DescribeStreamSummaryOutput, error)
		GetResourcePolicy(context.Context, *kinesis.GetResourcePolicyInput, ...func(*kinesis.Options)) (*kinesis.GetResourcePolicyOutput, error)
		PutRecords(context.Context, *kinesis.PutRecordsInput, ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error)
	}
)

// Clients are the AWS services that the checks ask.
type Clients struct {
	lambda lambdaAPI
	sts    stsAPI
	iam    iamAPI
	// The stream may be in another region than the function.
	kinesis func(region string) kinesisAPI
	kms     func(region string) kmsAPI

	config   aws.Config
	endpoint string // replaces AWS's endpoint of Kinesis; empty: it does not
}

// NewClients returns clients with a configuration. It sends nothing.
func NewClients(cfg aws.Config) *Clients {
	cfg = cfg.Copy()
	cfg.RetryMaxAttempts = 2 // each check has a time limit
	return &Clients{
		lambda: lambda.NewFromConfig(cfg),
		sts:    sts.NewFromConfig(cfg),
		iam:    iam.NewFromConfig(cfg),
		kinesis: func(region string) kinesisAPI {
			return kinesis.NewFromConfig(cfg, func(o *kinesis.Options) { o.Region = region })
		},
		kms:      func(region string) kmsAPI { return kms.NewFromConfig(cfg, func(o *kms.Options) { o.Region = region }) },
		config:   cfg,
		endpoint: value(kinesis.NewFromConfig(cfg).Options().BaseEndpoint),
	}
}

// kinesis returns a client for the stream's region.
func (d *diagnosis) kinesis() kinesisAPI { return d.Clients.kinesis(d.config.AWS.Region) }

// hostOf returns the host of an endpoint, without a user and password that it may have.
func hostOf(endpoint string) string {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "the endpoint"
	}
	return u.Host
}

// ofAWS reports whether an endpoint's host is AWS's own, also in a VPC. An empty one is.
func ofAWS(host string) bool {
	return host == "" || slices.ContainsFunc([]string{".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws"},
		func(suffix string) bool { return strings.HasSuffix(host, suffix) })
}

// httpClient returns the client for requests that are not signed.
func (d *diagnosis) httpClient() aws.HTTPClient {
	if d.Clients != nil && d.Clients.config.HTTPClient != nil {
		return d.Clients.config.HTTPClient
	}
	return http.DefaultClient
}

// explain returns an error's text for a terminal, without what the SDK puts around it.
func explain(err error) string {
	text := err.Error()
	if operation, ok := errors.AsType[*smithy.OperationError](err); ok {
		text = operation.Err.Error()
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		text = api.ErrorCode() + ": " + api.ErrorMessage()
	}
	if errors.Is(err, context.DeadlineExceeded) {
		text = "no answer within the time limit"
	}
	return printable(text)
}

// hasCode reports whether an error is one of AWS's, with a code that contains part.
func hasCode(err error, part string) bool {
	api, ok := errors.AsType[smithy.APIError](err)
	return ok && strings.Contains(api.ErrorCode(), part)
}
