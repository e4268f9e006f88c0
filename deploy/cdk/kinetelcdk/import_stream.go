package kinetelcdk

import (
	"github.com/aws/aws-cdk-go/awscdk/v2/awskinesis"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/kinetel/kinetel/internal/config"
)

// TelemetryStreamAttributes are what an imported stream is known by.
type TelemetryStreamAttributes struct {
	// StreamArn is required. The stream may be in another account (its WriterAccounts
	// must have this one) or region.
	StreamArn string
	// EncryptionKey is the stream's customer-managed key, if it has one.
	EncryptionKey awskms.IKey
}

// TelemetryStream_FromTelemetryStreamArn imports a stream without a customer-managed key.
func TelemetryStream_FromTelemetryStreamArn(scope constructs.Construct, id, streamArn string) ITelemetryStream {
	return TelemetryStream_FromTelemetryStreamAttributes(scope, id, &TelemetryStreamAttributes{StreamArn: streamArn})
}

// TelemetryStream_FromTelemetryStreamAttributes imports a stream.
func TelemetryStream_FromTelemetryStreamAttributes(scope constructs.Construct, id string, attrs *TelemetryStreamAttributes) ITelemetryStream {
	var a TelemetryStreamAttributes
	if attrs != nil {
		a = *attrs
	}
	if c := checkNew(scope, id); literal(a.StreamArn) {
		// The extension's own check of its variable decides.
		if settings, _ := config.Load([]string{streamVariable + "=" + a.StreamArn}); a.StreamArn == "" || settings.StreamARN != a.StreamArn {
			c.problem("StreamArn is %q; it must be the ARN of a stream, such as arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry", a.StreamArn)
		}
		c.done()
	}
	s := &TelemetryStream{}
	constructs.NewConstruct_Override(s, scope, &id)
	s.stream = awskinesis.Stream_FromStreamAttributes(s, jsii.String("Stream"), &awskinesis.StreamAttributes{
		StreamArn: &a.StreamArn, EncryptionKey: a.EncryptionKey,
	})
	return s
}
