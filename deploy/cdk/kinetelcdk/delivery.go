package kinetelcdk

import (
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsglue"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskinesisfirehose"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// The folders of the bucket. Athena reads everything in the first one, so records that
// Firehose could not deliver are in another.
const (
	delivered   = "kinetel/"
	undelivered = "kinetel-errors/"
	day         = "!{timestamp:yyyy/MM/dd}/"
)

// Firehose's buffer. With dynamic partitioning its size is at least 64 MiB (Firehose API
// reference, BufferingHints).
const (
	bufferMiB            = 64
	minBufferingInterval = time.Minute
	maxBufferingInterval = 15 * time.Minute
)

// TelemetryDeliveryProps configures the delivery of telemetry to S3.
type TelemetryDeliveryProps struct {
	// Stream is required. It must be in the same account.
	Stream ITelemetryStream
	// Partitioned writes the objects of each function into a folder, with Firehose's
	// dynamic partitioning, and adds the table kinetel_by_function. Firehose bills it.
	// Functions then need KINETEL_COMPRESSION=none, because Firehose must read the
	// events; otherwise they need gzip, the default. Both need KINETEL_FORMAT=ndjson.
	// Firehose cannot change one to the other.
	Partitioned bool
	// BufferingInterval is how long Firehose collects records for an object: 1 to 15
	// minutes in whole seconds, 5 minutes by default.
	BufferingInterval time.Duration
	// ExpirationDays is after how many days S3 deletes objects; 0, the default, keeps
	// them.
	ExpirationDays int
	// DatabaseName is the name of the Glue database, of a-z, 0-9 and _; kinetel by
	// default.
	DatabaseName string
	// FirstDay is the first day that queries read, as 2006/01/02; 2026/11/01 by default.
	FirstDay string
	// Tags are added to all resources of the construct that can have tags.
	Tags map[string]string
	// RemovalPolicy says whether the bucket is deleted with the stack; RETAIN by default.
	RemovalPolicy awscdk.RemovalPolicy
}

// TelemetryDelivery is a Firehose from the stream to a bucket, with tables for Athena.
type TelemetryDelivery struct {
	// Construct is the parent of all other constructs here.
	Construct constructs.Construct
	Bucket    awss3.Bucket
	LogGroup  awslogs.LogGroup // Firehose logs failures to it
	Role      awsiam.Role
	Firehose  awskinesisfirehose.CfnDeliveryStream
	Database  awsglue.CfnDatabase
	// Table has the events of all functions, by day.
	Table awsglue.CfnTable
	// TableByFunction has them by day and function; nil without Partitioned.
	TableByFunction awsglue.CfnTable
}

// isGlueName: Hive changes names to lower case.
func isGlueName(s string) bool {
	return s != "" && len(s) <= 255 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// NewTelemetryDelivery makes the delivery.
func NewTelemetryDelivery(scope constructs.Construct, id string, props *TelemetryDeliveryProps) *TelemetryDelivery {
	var p TelemetryDeliveryProps
	if props != nil {
		p = *props
	}
	c := checkNew(scope, id)
	p.complete(c)
	c.done()

	d := &TelemetryDelivery{Construct: constructs.NewConstruct(scope, &id)}
	d.addBucket(&p)
	d.addFirehose(&p)
	d.addTables(&p)
	tag(d.Construct, p.Tags)
	return d
}

// complete checks props and fills in defaults.
func (p *TelemetryDeliveryProps) complete(c *check) {
	if p.Stream == nil {
		c.problem("Stream is not set; there is nothing to deliver from")
	}
	if p.BufferingInterval == 0 {
		p.BufferingInterval = 5 * time.Minute
	}
	if p.BufferingInterval < minBufferingInterval || p.BufferingInterval > maxBufferingInterval || p.BufferingInterval%time.Second != 0 {
		c.problem("BufferingInterval is %s; it must be whole seconds, from %s to %s", p.BufferingInterval, minBufferingInterval, maxBufferingInterval)
	}
	if p.ExpirationDays < 0 {
		c.problem("ExpirationDays is %d; it must be at least 1, or 0 to keep objects", p.ExpirationDays)
	}
	if p.DatabaseName == "" {
		p.DatabaseName = "kinetel"
	}
	if !isGlueName(p.DatabaseName) {
		c.problem("DatabaseName is %q; it must have 1 to 255 characters of a-z, 0-9 and _", p.DatabaseName)
	}
	if p.FirstDay == "" {
		p.FirstDay = "2026/11/01"
	}
	if _, err := time.Parse("2006/01/02", p.FirstDay); err != nil {
		c.problem("FirstDay is %q; it must be a day such as 2026/11/01", p.FirstDay)
	}
	if p.RemovalPolicy == "" {
		p.RemovalPolicy = awscdk.RemovalPolicy_RETAIN
	}
}

// addBucket adds the bucket, without versions: Firehose never overwrites an object.
func (d *TelemetryDelivery) addBucket(p *TelemetryDeliveryProps) {
	rule := &awss3.LifecycleRule{AbortIncompleteMultipartUploadAfter: awscdk.Duration_Days(jsii.Number(7))}
	if p.ExpirationDays > 0 {
		rule.Expiration = awscdk.Duration_Days(jsii.Number(p.ExpirationDays))
	}
	d.Bucket = awss3.NewBucket(d.Construct, jsii.String("Bucket"), &awss3.BucketProps{
		BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
		Encryption:        awss3.BucketEncryption_S3_MANAGED,
		EnforceSSL:        jsii.Bool(true),
		MinimumTLSVersion: jsii.Number(1.2),
		ObjectOwnership:   awss3.ObjectOwnership_BUCKET_OWNER_ENFORCED,
		LifecycleRules:    &[]*awss3.LifecycleRule{rule},
		RemovalPolicy:     p.RemovalPolicy,
	})
}

// addFirehose adds the Firehose of docs/consumers.md, with its log and its role.
func (d *TelemetryDelivery) addFirehose(p *TelemetryDeliveryProps) {
	d.LogGroup = awslogs.NewLogGroup(d.Construct, jsii.String("Logs"), &awslogs.LogGroupProps{
		Retention:     awslogs.RetentionDays_ONE_MONTH,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	logs := awslogs.NewLogStream(d.Construct, jsii.String("LogStream"), &awslogs.LogStreamProps{
		LogGroup:      d.LogGroup,
		LogStreamName: jsii.String("delivery"),
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY, // with its group
	})
	d.addRole(p, logs)
	source := p.Stream.Stream().StreamArn()
	s3 := &awskinesisfirehose.CfnDeliveryStream_ExtendedS3DestinationConfigurationProperty{
		BucketArn: d.Bucket.BucketArn(),
		RoleArn:   d.Role.RoleArn(),
		BufferingHints: &awskinesisfirehose.CfnDeliveryStream_BufferingHintsProperty{
			SizeInMBs: jsii.Number(bufferMiB), IntervalInSeconds: jsii.Number(p.BufferingInterval.Seconds()),
		},
		CloudWatchLoggingOptions: &awskinesisfirehose.CfnDeliveryStream_CloudWatchLoggingOptionsProperty{
			Enabled: jsii.Bool(true), LogGroupName: d.LogGroup.LogGroupName(), LogStreamName: logs.LogStreamName(),
		},
		// Each record is a gzip member, and members one after the other are a gzip file:
		// Firehose must add nothing between them.
		CompressionFormat: jsii.String("UNCOMPRESSED"),
		FileExtension:     jsii.String(".gz"),
		Prefix:            jsii.String(delivered + day),
		ErrorOutputPrefix: jsii.String(undelivered + "!{firehose:error-output-type}/" + day),
	}
	if p.Partitioned {
		partition(s3)
	}
	d.Firehose = awskinesisfirehose.NewCfnDeliveryStream(d.Construct, jsii.String("Firehose"), &awskinesisfirehose.CfnDeliveryStreamProps{
		DeliveryStreamType: jsii.String("KinesisStreamAsSource"),
		KinesisStreamSourceConfiguration: &awskinesisfirehose.CfnDeliveryStream_KinesisStreamSourceConfigurationProperty{
			KinesisStreamArn: source, RoleArn: d.Role.RoleArn(),
		},
		ExtendedS3DestinationConfiguration: s3,
	})
}

// addRole adds the role of Firehose. Its policy is inline, so that it exists before
// Firehose, which tries the role. The grants of the CDK would allow more, and make a
// policy that may come later.
func (d *TelemetryDelivery) addRole(p *TelemetryDeliveryProps, logs awslogs.LogStream) {
	stack, stream := awscdk.Stack_Of(d.Construct), p.Stream.Stream()
	statement := func(sid string, actions []string, resource *string, conditions *map[string]any) awsiam.PolicyStatement {
		return awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Sid: &sid, Actions: jsii.Strings(actions...), Resources: &[]*string{resource}, Conditions: conditions,
		})
	}
	statements := []awsiam.PolicyStatement{
		statement("Read", []string{"kinesis:DescribeStream", "kinesis:GetShardIterator", "kinesis:GetRecords", "kinesis:ListShards"}, stream.StreamArn(), nil),
		statement("Bucket", []string{"s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"}, d.Bucket.BucketArn(), nil),
		statement("Objects", []string{"s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"}, d.Bucket.ArnForObjects(jsii.String("*")), nil),
		statement("Log", []string{"logs:PutLogEvents"}, stack.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("logs"), Resource: jsii.String("log-group"), ArnFormat: awscdk.ArnFormat_COLON_RESOURCE_NAME,
			ResourceName: jsii.String(*d.LogGroup.LogGroupName() + ":log-stream:" + *logs.LogStreamName()),
		}), nil),
	}
	if key := stream.EncryptionKey(); key != nil {
		statements = append(statements, statement("Decrypt", []string{"kms:Decrypt"}, key.KeyArn(), &map[string]any{"StringEquals": viaKinesis(stream.Env().Region, stream.StreamArn())}))
	}
	d.Role = awsiam.NewRole(d.Construct, jsii.String("Role"), &awsiam.RoleProps{
		Description: jsii.String("Firehose reads Kinetel's stream and writes to the bucket"),
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("firehose.amazonaws.com"), &awsiam.ServicePrincipalOpts{
			Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": stack.Account()}},
		}),
		InlinePolicies: &map[string]awsiam.PolicyDocument{
			"delivery": awsiam.NewPolicyDocument(&awsiam.PolicyDocumentProps{Statements: &statements}),
		},
	})
}

// partition makes Firehose read the events, write those of each function into a folder,
// and compress them.
func partition(s3 *awskinesisfirehose.CfnDeliveryStream_ExtendedS3DestinationConfigurationProperty) {
	s3.CompressionFormat, s3.FileExtension = jsii.String("GZIP"), nil // Firehose adds .gz itself
	s3.Prefix = jsii.String(delivered + day + partitionName + "=!{partitionKeyFromQuery:" + partitionName + "}/")
	s3.DynamicPartitioningConfiguration = &awskinesisfirehose.CfnDeliveryStream_DynamicPartitioningConfigurationProperty{
		Enabled:      jsii.Bool(true),
		RetryOptions: &awskinesisfirehose.CfnDeliveryStream_RetryOptionsProperty{DurationInSeconds: jsii.Number(300)},
	}
	processor := func(kind string, parameters ...string) *awskinesisfirehose.CfnDeliveryStream_ProcessorProperty {
		p := &awskinesisfirehose.CfnDeliveryStream_ProcessorProperty{Type: &kind}
		var list []any
		for i := 0; i < len(parameters); i += 2 {
			list = append(list, &awskinesisfirehose.CfnDeliveryStream_ProcessorParameterProperty{
				ParameterName: &parameters[i], ParameterValue: &parameters[i+1],
			})
		}
		if list != nil {
			p.Parameters = list
		}
		return p
	}
	s3.ProcessingConfiguration = &awskinesisfirehose.CfnDeliveryStream_ProcessingConfigurationProperty{
		Enabled: jsii.Bool(true),
		Processors: []any{
			processor("RecordDeAggregation", "SubRecordType", "JSON"),
			processor("MetadataExtraction", "MetadataExtractionQuery", `{`+partitionName+`: .resource."faas.name"}`, "JsonParsingEngine", "JQ-1.6"),
			// Deaggregation removes the line feeds between lines.
			processor("AppendDelimiterToRecord"),
		},
	}
}
