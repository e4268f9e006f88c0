// Package stacks has the two stacks of Kinetel's CDK app: everything that telemetry needs,
// and a sample function that sends some. The first has the resources of
// deploy/cloudformation/kinetel.yaml. The comment of package main lists the context values
// that configure them.
package stacks

import (
	"os"
	"path/filepath"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/jsii-runtime-go"

	"github.com/kinetel/kinetel/deploy/cdk/kinetelcdk"
)

// Names of the stacks.
const (
	Telemetry = "KinetelTelemetry"
	Sample    = "KinetelSample"
)

// Add adds the stacks to an app, as its context configures them. It panics with a
// *kinetelcdk.Error if the context or the props of a construct are wrong.
func Add(app awscdk.App) {
	s := read(app)
	telemetry := awscdk.NewStack(app, jsii.String(Telemetry), &awscdk.StackProps{
		Description: jsii.String("Kinetel: the stream for the telemetry of Lambda functions, and what functions need to send it"),
	})
	s.tag(telemetry)
	stream := kinetelcdk.NewTelemetryStream(telemetry, "Stream", &kinetelcdk.TelemetryStreamProps{
		StreamMode:     s.mode,
		ShardCount:     s.shards,
		RetentionHours: s.retentionHours,
		Encryption:     s.encryption,
		WriterAccounts: s.writerAccounts,
	})
	extension := kinetelcdk.NewTelemetryExtension(telemetry, "Extension", &kinetelcdk.TelemetryExtensionProps{
		Stream:              stream,
		Packages:            s.packages,
		Architectures:       s.architectures,
		DefaultArchitecture: s.defaultArchitecture,
	})
	kinetelcdk.NewTelemetryDashboard(telemetry, "Dashboard", &kinetelcdk.TelemetryDashboardProps{Stream: stream})
	alarms := &kinetelcdk.TelemetryAlarmsProps{Stream: stream}
	if s.alarmTopicARN != "" {
		alarms.Topic = awssns.Topic_FromTopicArn(telemetry, jsii.String("AlarmTopic"), &s.alarmTopicARN)
	}
	kinetelcdk.NewTelemetryAlarms(telemetry, "Alarms", alarms)
	if s.delivery != deliveryNone {
		kinetelcdk.NewTelemetryDelivery(telemetry, "Delivery", &kinetelcdk.TelemetryDeliveryProps{
			Stream:      stream,
			Partitioned: s.delivery == deliveryPartitioned,
		})
	}
	if s.sample {
		s.addSample(app, extension)
	}
}

// addSample adds the stack of the sample function. The template's sample is Python in the
// template: it cannot bring a program.
func (s *settings) addSample(app awscdk.App, extension *kinetelcdk.TelemetryExtension) {
	stack := awscdk.NewStack(app, jsii.String(Sample), &awscdk.StackProps{
		Description: jsii.String("Kinetel: a sample function whose telemetry goes to Kinesis"),
	})
	s.tag(stack)
	logs := awslogs.NewLogGroup(stack, jsii.String("Logs"), &awslogs.LogGroupProps{
		Retention:     awslogs.RetentionDays_ONE_DAY,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	// The CDK's own role could write to every log group.
	role := awsiam.NewRole(stack, jsii.String("Role"), &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("lambda.amazonaws.com"), nil),
	})
	logs.GrantWrite(role)
	architecture := awslambda.Architecture_ARM_64()
	if s.sampleArchitecture == kinetelcdk.X86_64 {
		architecture = awslambda.Architecture_X86_64()
	}
	function := awslambda.NewFunction(stack, jsii.String("Function"), &awslambda.FunctionProps{
		Description:           jsii.String("Writes as many lines as its payload asks for: {\"lines\":10}"),
		Runtime:               awslambda.Runtime_PROVIDED_AL2023(),
		Architecture:          architecture,
		Handler:               jsii.String("bootstrap"),
		Code:                  awslambda.Code_FromAsset(&s.sampleCode, nil),
		MemorySize:            jsii.Number(128),
		Timeout:               awscdk.Duration_Seconds(jsii.Number(30)),
		LoggingFormat:         awslambda.LoggingFormat_JSON,
		SystemLogLevelV2:      awslambda.SystemLogLevel_INFO,
		ApplicationLogLevelV2: awslambda.ApplicationLogLevel_INFO,
		LogGroup:              logs,
		Role:                  role,
	})
	props := &kinetelcdk.AddToProps{Report: "events,emf"} // for the dashboard
	if s.delivery == deliveryPartitioned {
		props.Compression = "none" // Firehose reads the lines
	}
	extension.AddTo(function, props)
	awscdk.NewCfnOutput(stack, jsii.String("FunctionName"), &awscdk.CfnOutputProps{
		Value: function.FunctionName(), Description: jsii.String("aws lambda invoke --function-name …"),
	})
}

// tag tags a stack and all its resources.
func (s *settings) tag(stack awscdk.Stack) {
	for _, t := range s.tags {
		awscdk.Tags_Of(stack).Add(&t.name, &t.value, nil)
	}
}

// hasBootstrap reports whether a folder or a zip file can be the code of the sample.
func hasBootstrap(code string) bool {
	if filepath.Ext(code) == ".zip" {
		_, err := os.Stat(code)
		return err == nil
	}
	_, err := os.Stat(filepath.Join(code, "bootstrap"))
	return err == nil
}
