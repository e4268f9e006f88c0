package kinetelcdk_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/kinetel/kinetel/deploy/cdk/kinetelcdk"
)

const someStream = "arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry"

// Constructs of this package are constructs of the CDK: the tree has them, and aspects
// and tags reach what is in them.
func TestStreamsAndExtensionsAreConstructs(t *testing.T) {
	stack := newStack(t)
	var e kinetelcdk.ITelemetryExtension = newExtension(t, stack)
	var imported kinetelcdk.ITelemetryStream = kinetelcdk.TelemetryStream_FromTelemetryStreamArn(stack, "Imported", someStream)
	for path, one := range map[string]constructs.IConstruct{
		"Stack/Stream": e.Stream(), "Stack/Extension": e, "Stack/Imported": imported,
	} {
		if got := *one.Node().Path(); got != path {
			t.Errorf("a construct is %s, want %s", got, path)
		}
	}
	awscdk.Tags_Of(e.Stream()).Add(jsii.String("team"), jsii.String("payments"), nil)
	got := synth(t, stack)
	same(t, "tags", got.only("AWS::Kinesis::Stream", "").Properties["Tags"], `[{"Key":"team","Value":"payments"}]`)
	same(t, "tags", got.only("AWS::SSM::Parameter", "StreamStreamArn").Properties["Tags"], `{"team":"payments"}`)
}

func TestGrantWrite(t *testing.T) {
	stack := newStack(t)
	s := kinetelcdk.NewTelemetryStream(stack, "Stream", &kinetelcdk.TelemetryStreamProps{Encryption: kinetelcdk.EncryptionCustomer})
	grant := s.GrantWrite(newFunction(stack, "Function"))
	if !*grant.Success() {
		t.Error("nothing was granted")
	}
	same(t, "policy", statements(t, synth(t, stack).only("AWS::IAM::Policy", "").Properties["PolicyDocument"]), `[
		{"Effect":"Allow","Action":["kinesis:PutRecord","kinesis:PutRecords"],"Resource":{"Fn::GetAtt":["Stream862536A4","Arn"]}},
		{"Effect":"Allow","Action":"kms:GenerateDataKey","Resource":{"Fn::GetAtt":["StreamKey238BEC37","Arn"]},"Condition":`+ofTheStream+`}]`)
}

func TestMetrics(t *testing.T) {
	stack := newStack(t)
	e := newExtension(t, stack)
	function := newFunction(stack, "Function")
	maximal := &awscloudwatch.MetricOptions{Statistic: jsii.String("Maximum"), Period: awscdk.Duration_Minutes(jsii.Number(1))}
	for want, metric := range map[string]awscloudwatch.Metric{
		`["AWS/Kinesis","IncomingBytes","Average",300]`:                     e.Stream().Metric(jsii.String("IncomingBytes"), nil),
		`["AWS/Kinesis","WriteProvisionedThroughputExceeded","Maximum",60]`: e.Stream().MetricWriteProvisionedThroughputExceeded(maximal),
		`["AWS/Kinesis","GetRecords.IteratorAgeMilliseconds","Maximum",60]`: e.Stream().MetricGetRecordsIteratorAgeMilliseconds(maximal),
		`["Kinetel","BufferUse","Average",300]`:                             e.Metric(function, jsii.String("BufferUse"), nil),
		`["Kinetel","BufferUse","Maximum",60]`:                              e.Metric(function, jsii.String("BufferUse"), maximal),
		`["Kinetel","EventsLost","Sum",300]`:                                e.MetricEventsLost(function, nil),
		`["Kinetel","EventsLost","Maximum",60]`:                             e.MetricEventsLost(function, maximal),
	} {
		same(t, want, []any{metric.Namespace(), metric.MetricName(), metric.Statistic(), metric.Period().ToSeconds(nil)}, want)
		dimension := map[string]string{"AWS/Kinesis": "StreamName", "Kinetel": "FunctionName"}[*metric.Namespace()]
		if dimensions := *metric.Dimensions(); len(dimensions) != 1 || dimensions[dimension] == nil {
			t.Errorf("%s has the dimensions %v, want %s", want, dimensions, dimension)
		}
	}
}

// A function of another app finds all it needs by the SSM parameters.
func TestExtensionFromParameterPrefix(t *testing.T) {
	stack := newStack(t)
	e := kinetelcdk.TelemetryExtension_FromParameterPrefix(stack, "Extension", "/obs")
	e.AddTo(newFunction(stack, "Function", arm), &kinetelcdk.AddToProps{Compression: "zstd"})
	role := awsiam.Role_FromRoleName(stack, jsii.String("Role"), jsii.String("open"), nil)
	refused(t, "Stack/Imported", func() {
		e.AddTo(newFunction(stack, "Imported", func(p *awslambda.FunctionProps) { p.Role = role }), nil)
	}, "the function's role open is imported, and so is the extension; attach the policy that the SSM parameter /obs/runtime/policy/arn has where you make the role, and set WithoutPolicy")
	got := synth(t, stack)
	names := make(map[string]any) // of the parameters, by their references
	for id, one := range (*got.ToJSON())["Parameters"].(map[string]any) {
		names[id] = at(one, "Default")
	}
	named := func(v any) any { return names[fmt.Sprint(at(v, "Ref"))] }
	function := got.only("AWS::Lambda::Function", "Function").Properties
	layers := function["Layers"].([]any)
	policies := got.only("AWS::IAM::Role", "Function").Properties["ManagedPolicyArns"].([]any)
	same(t, "parameters", []any{named(layers[0]), named(at(function, "Environment", "Variables", "KINETEL_STREAM_ARN")), named(policies[len(policies)-1])},
		`["/obs/extension/arm64/arn","/obs/stream/arn","/obs/runtime/policy/arn"]`)
	if text := jsonOf(t, names); strings.Contains(text, "x86_64") {
		t.Errorf("the deployment fails if there is no layer for x86_64: %s", text)
	}
}

func TestExtensionFromAttributes(t *testing.T) {
	const layer = "arn:aws:lambda:eu-west-1:111122223333:layer:kinesis-telemetry-extension-arm64:3"
	stack := newStack(t)
	e := kinetelcdk.TelemetryExtension_FromTelemetryExtensionAttributes(stack, "Extension", &kinetelcdk.TelemetryExtensionAttributes{
		LayerVersionArns: map[kinetelcdk.Architecture]string{kinetelcdk.ARM64: layer},
		Stream:           kinetelcdk.TelemetryStream_FromTelemetryStreamArn(stack, "Stream", someStream),
	})
	e.AddTo(newFunction(stack, "Function", arm), nil)
	refused(t, "Stack/Intel", func() { e.AddTo(newFunction(stack, "Intel"), nil) },
		`the function runs on x86_64, and there is a layer for [arm64] only; add "x86_64" to the architectures of the extension, or change the function's`)
	closed := awsiam.Role_FromRoleName(stack, jsii.String("Role"), jsii.String("closed"), &awsiam.FromRoleNameOptions{Mutable: jsii.Bool(false)})
	refused(t, "Stack/Closed", func() {
		e.AddTo(newFunction(stack, "Closed", arm, func(p *awslambda.FunctionProps) { p.Role = closed }), nil)
	}, "the function's role closed is imported and accepts no policies; attach a policy that allows writing to the stream where you make the role, and set WithoutPolicy")
	got := synth(t, stack)
	function := got.only("AWS::Lambda::Function", "Function").Properties
	same(t, "function", []any{function["Layers"], at(function, "Environment", "Variables")}, `[["`+layer+`"],{"KINETEL_STREAM_ARN":"`+someStream+`"}]`)
	same(t, "policy", statements(t, got.only("AWS::IAM::Policy", "Function").Properties["PolicyDocument"]),
		`[{"Effect":"Allow","Action":["kinesis:PutRecord","kinesis:PutRecords"],"Resource":"`+someStream+`"}]`)
}

func TestImportRefusals(t *testing.T) {
	stack := newStack(t)
	for _, arn := range []string{"", "telemetry", "arn:aws:kinesis:eu-west-1:123456789012:telemetry"} {
		refused(t, "Stack/Imported", func() { kinetelcdk.TelemetryStream_FromTelemetryStreamArn(stack, "Imported", arn) },
			`StreamArn is "`+arn+`"; it must be the ARN of a stream, such as arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry`)
	}
	refused(t, "Stack/Imported", func() { kinetelcdk.TelemetryExtension_FromParameterPrefix(stack, "Imported", "obs") },
		"ParameterPrefix is \"obs\"; it must begin with / and not end with it, and have only a-z, A-Z, 0-9, /, _, . and -, such as /telemetry/kinesis")
	refused(t, "Stack/Imported", func() { kinetelcdk.TelemetryExtension_FromTelemetryExtensionAttributes(stack, "Imported", nil) },
		"Stream is not set; make a TelemetryStream, or import one with TelemetryStream_FromTelemetryStreamArn",
		"LayerVersionArns is empty; it must have the ARN of a layer version for each architecture of your functions")
	refused(t, "Stack/Imported", func() {
		kinetelcdk.TelemetryExtension_FromTelemetryExtensionAttributes(stack, "Imported", &kinetelcdk.TelemetryExtensionAttributes{
			Stream:           kinetelcdk.NewTelemetryStream(stack, "Stream", nil),
			LayerVersionArns: map[kinetelcdk.Architecture]string{"amd64": "arn:aws:lambda:eu-west-1:111122223333:layer:kinetel:3", "arm64": "arn:aws:lambda:eu-west-1:111122223333:layer:kinetel"},
		})
	},
		`LayerVersionArns has "amd64"; Lambda has "x86_64" and "arm64"`,
		`LayerVersionArns has "arn:aws:lambda:eu-west-1:111122223333:layer:kinetel" for arm64; it must be the ARN of a layer version, such as arn:aws:lambda:eu-west-1:123456789012:layer:kinesis-telemetry-extension-arm64:3`)
}
