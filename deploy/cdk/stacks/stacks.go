// Package stacks has the two stacks of Kinetel's CDK app: all that telemetry
// needs, and a sample function that sends some. The comment of package
// main, the app, lists the context values that configure them.
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
// *kinetelcdk.Error where something is wrong with that, or with what the stacks
// are made of.
func Add(app awscdk.App) {
	s := read(app)
	telemetry := awscdk.NewStack(app, jsii.String(Telemetry), &awscdk.StackProps{
		Description: jsii.String("Kinetel: where the telemetry of Lambda functions goes, and what functions need to send it"),
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

// addSample adds the stack of the sample function.
func (s *settings) addSample(app awscdk.App, extension *kinetelcdk.TelemetryExtension) {
	stack := awscdk.NewStack(app, jsii.String(Sample), &awscdk.StackProps{
		Description: jsii.String("Kinetel: a sample function whose telemetry goes to Kinesis"),
	})
	s.tag(stack)
	logs := awslogs.NewLogGroup(stack, jsii.String("Logs"), &awslogs.LogGroupProps{
		Retention:     awslogs.RetentionDays_ONE_DAY,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	// The role that the CDK would make may write every log group.
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
	props := &kinetelcdk.AddToProps{Report: "events,emf"} // which the dashboard shows
	if s.delivery == deliveryPartitioned {
		props.Compression = "none" // Firehose reads the lines
	}
	extension.AddTo(function, props)
	awscdk.NewCfnOutput(stack, jsii.String("FunctionName"), &awscdk.CfnOutputProps{
		Value: function.FunctionName(), Description: jsii.String("aws lambda invoke --function-name …"),
	})
}

// tag tags all of a stack, and the stack itself.
func (s *settings) tag(stack awscdk.Stack) {
	for _, t := range s.tags {
		awscdk.Tags_Of(stack).Add(&t.name, &t.value, nil)
	}
}

// hasBootstrap reports whether a folder or zip file can be the sample's code.
func hasBootstrap(code string) bool {
	if filepath.Ext(code) == ".zip" {
		_, err := os.Stat(code)
		return err == nil
	}
	_, err := os.Stat(filepath.Join(code, "bootstrap"))
	return err == nil
}
