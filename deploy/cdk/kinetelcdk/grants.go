package kinetelcdk

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/jsii-runtime-go"
)

// putActions are what a writer of a stream needs, and keyAction what it needs on the key.
func putActions() *[]*string { return jsii.Strings("kinesis:PutRecord", "kinesis:PutRecords") }

const keyAction = "kms:GenerateDataKey"

// GrantWrite implements ITelemetryStream. The CDK's own grant would also allow ListShards,
// and all encryption with the key.
func (s *TelemetryStream) GrantWrite(grantee awsiam.IGrantable) awsiam.Grant {
	grant := awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Grantee: grantee, Actions: putActions(), ResourceArns: &[]*string{s.stream.StreamArn()},
	})
	key := s.stream.EncryptionKey()
	if key == nil {
		return grant
	}
	condition := viaKinesis(s.stream.Env().Region, s.stream.StreamArn())
	return grant.Combine(awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Grantee: grantee, Actions: jsii.Strings(keyAction), ResourceArns: &[]*string{key.KeyArn()},
		Conditions: &map[string]*map[string]any{"StringEquals": &condition},
	}))
}

// viaKinesis is a condition of the kind StringEquals: only Kinesis uses a key, in this
// region and for this stream. A nil stream means any stream.
func viaKinesis(region, stream *string) map[string]any {
	equals := map[string]any{"kms:ViaService": "kinesis." + *region + "." + *awscdk.Aws_URL_SUFFIX()}
	if stream != nil {
		equals["kms:EncryptionContext:aws:kinesis:arn"] = *stream
	}
	return equals
}
