package kinetelcdk

import (
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsssm"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// TelemetryExtension_FromParameterPrefix imports what a stack of the same account and
// region wrote to SSM parameters: the stack of deploy/cloudformation, of deploy/cdk, or a
// TelemetryExtension of your own. CloudFormation reads the parameters at each deployment.
// An empty prefix means /telemetry/kinesis. Import it in the stack of the functions.
func TelemetryExtension_FromParameterPrefix(scope constructs.Construct, id, prefix string) ITelemetryExtension {
	c := checkNew(scope, id)
	e := &TelemetryExtension{prefix: c.prefix(prefix)}
	c.done()
	constructs.NewConstruct_Override(e, scope, &id)
	arn := func(name string) *string {
		return awsssm.StringParameter_ValueForStringParameter(e, jsii.String(e.prefix+name), nil)
	}
	e.stream = TelemetryStream_FromTelemetryStreamArn(e, "Stream", *arn(streamParameter))
	e.policy = awsiam.ManagedPolicy_FromManagedPolicyArn(e, jsii.String("Policy"), arn(policyParameter))
	return e
}

// TelemetryExtensionAttributes are what an imported extension is known by.
type TelemetryExtensionAttributes struct {
	// LayerVersionArns has the layer of each architecture, at least one. `make publish`
	// prints them.
	LayerVersionArns map[Architecture]string
	// Stream is required.
	Stream ITelemetryStream
	// ManagedPolicy lets a role write to the stream. By default AddTo grants it to the
	// role of each function.
	ManagedPolicy awsiam.IManagedPolicy
}

// TelemetryExtension_FromTelemetryExtensionAttributes imports layers that exist, of this
// account or another one that shares them.
func TelemetryExtension_FromTelemetryExtensionAttributes(scope constructs.Construct, id string, attrs *TelemetryExtensionAttributes) ITelemetryExtension {
	var a TelemetryExtensionAttributes
	if attrs != nil {
		a = *attrs
	}
	c := checkNew(scope, id)
	if a.Stream == nil {
		c.problem("Stream is not set; make a TelemetryStream, or import one with TelemetryStream_FromTelemetryStreamArn")
	}
	if len(a.LayerVersionArns) == 0 {
		c.problem("LayerVersionArns is empty; it must have the ARN of a layer version for each architecture of your functions")
	}
	architectures := slices.Sorted(maps.Keys(a.LayerVersionArns))
	for _, one := range architectures {
		if one != X86_64 && one != ARM64 {
			c.problem("LayerVersionArns has %q; Lambda has %q and %q", one, X86_64, ARM64)
		}
		if arn := a.LayerVersionArns[one]; literal(arn) && !isLayerVersion(arn) {
			c.problem("LayerVersionArns has %q for %s; it must be the ARN of a layer version, such as arn:aws:lambda:eu-west-1:123456789012:layer:kinesis-telemetry-extension-%s:3", arn, one, one)
		}
	}
	c.done()

	e := &TelemetryExtension{Layers: make(map[Architecture]awslambda.ILayerVersion), stream: a.Stream, policy: a.ManagedPolicy}
	constructs.NewConstruct_Override(e, scope, &id)
	for _, one := range architectures {
		e.Layers[one] = awslambda.LayerVersion_FromLayerVersionAttributes(e, jsii.String("Layer-"+string(one)), &awslambda.LayerVersionAttributes{
			LayerVersionArn: jsii.String(a.LayerVersionArns[one]),
		})
	}
	return e
}

func isLayerVersion(arn string) bool {
	parts := strings.Split(arn, ":")
	return len(parts) == 8 && parts[0] == "arn" && parts[2] == "lambda" && parts[5] == "layer" &&
		parts[7] != "" && strings.Trim(parts[7], "0123456789") == ""
}
