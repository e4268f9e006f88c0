package kinetelcdk

import (
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsglue"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskinesis"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskinesisfirehose"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// Where objects lie in the bucket. What could not be delivered must not lie
// below the table.
const (
	delivered   = "kinetel/"
	undelivered = "kinetel-errors/"
)

// byFunction is the partition key of a partitioned delivery, a column of the
// table. (A plain "function" would be a reserved word in Athena's DDL.)
const byFunction = "faas_name"

// Firehose's bounds for what is put into one object (Firehose API reference,
// BufferingHints); with dynamic partitioning it takes at least 64 MiB.
const (
	bufferMiB     = 64
	bufferSeconds = 300
	maxBuffer     = 15 * time.Minute
)

// TelemetryDeliveryProps configures how telemetry is delivered to S3.
type TelemetryDeliveryProps struct {
	// Stream is required, and of the same account.
	Stream awskinesis.IStream
	// Partitioned puts each function's telemetry into a folder of its own, by
	// Firehose's dynamic partitioning, which has its price. Functions must
	// then have KINETEL_FORMAT=ndjson with KINETEL_COMPRESSION=none, because
	// Firehose reads what they send; and queries must name functions. Without
	// it they must have ndjson with gzip, as by default, of which Firehose
	// makes gzip files as it is.
	Partitioned bool
	// BufferTime is how long Firehose collects for an object, 5 minutes by
	// default, at most 15; whole seconds. With Partitioned at least a minute.
	BufferTime time.Duration
	// ExpirationDays is when objects are removed; 0, the default, keeps them.
	ExpirationDays int
	// Database is the name of the Glue database, a-z, 0-9 and _; made of the
	// construct's path by default.
	Database string
	// Table is the name of the table; kinetel by default.
	Table string
	// FirstDay is the first that queries look at, as 2006/01/02; 2026/11/01
	// by default.
	FirstDay string
	// Tags go on everything in the construct that takes them.
	Tags map[string]string
	// RemovalPolicy is what becomes of the bucket when it leaves the stack; by
	// default it stays (RETAIN).
	RemovalPolicy awscdk.RemovalPolicy
}

// TelemetryDelivery is a Firehose from the stream to a bucket, and a table over
// the bucket for Athena.
type TelemetryDelivery struct {
	// Construct is the parent of all that follows.
	Construct constructs.Construct
	Bucket    awss3.Bucket
	LogGroup  awslogs.LogGroup // what Firehose logs about failures
	Role      awsiam.Role
	Firehose  awskinesisfirehose.CfnDeliveryStream
	Database  awsglue.CfnDatabase
	Table     awsglue.CfnTable
}

// isGlueName: lower case is what Hive folds names to.
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
	d.store(&p)
	d.deliver(&p)
	d.table(&p)
	tag(d.Construct, p.Tags)
	return d
}

// complete checks props and fills in defaults.
func (p *TelemetryDeliveryProps) complete(c *check) {
	if p.Stream == nil {
		c.problem("Stream is not set; there is nothing to deliver from")
	}
	if p.BufferTime == 0 {
		p.BufferTime = bufferSeconds * time.Second
	}
	if p.BufferTime < 0 || p.BufferTime > maxBuffer || p.BufferTime%time.Second != 0 {
		c.problem("BufferTime is %s; Firehose takes whole seconds, at most %s", p.BufferTime, maxBuffer)
	} else if p.Partitioned && p.BufferTime < time.Minute {
		c.problem("BufferTime is %s; with Partitioned Firehose takes at least 1m", p.BufferTime)
	}
	if p.ExpirationDays < 0 {
		c.problem("ExpirationDays is %d; it must be at least 1, or 0 to keep objects", p.ExpirationDays)
	}
	if p.Table == "" {
		p.Table = "kinetel"
	}
	for _, one := range []struct{ prop, name string }{{"Database", p.Database}, {"Table", p.Table}} {
		if one.name != "" && !isGlueName(one.name) {
			c.problem("%s is %q; a name in Glue is 1 to 255 of a-z, 0-9 and _", one.prop, one.name)
		}
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

// store makes the bucket. Objects are written once and never again, so there
// are no versions to keep.
func (d *TelemetryDelivery) store(p *TelemetryDeliveryProps) {
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

// deliver makes the Firehose of docs/consumers.md.
func (d *TelemetryDelivery) deliver(p *TelemetryDeliveryProps) {
	stack := awscdk.Stack_Of(d.Construct)
	d.LogGroup = awslogs.NewLogGroup(d.Construct, jsii.String("Logs"), &awslogs.LogGroupProps{
		Retention:     awslogs.RetentionDays_ONE_MONTH,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	logs := awslogs.NewLogStream(d.Construct, jsii.String("LogStream"), &awslogs.LogStreamProps{
		LogGroup:      d.LogGroup,
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY, // with its group
	})

	statement := func(sid string, actions []string, resource *string, conditions *map[string]any) awsiam.PolicyStatement {
		return awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Sid: &sid, Actions: jsii.Strings(actions...), Resources: &[]*string{resource}, Conditions: conditions,
		})
	}
	statements := []awsiam.PolicyStatement{
		statement("ReadTelemetry", []string{"kinesis:DescribeStream", "kinesis:GetShardIterator", "kinesis:GetRecords", "kinesis:ListShards"}, p.Stream.StreamArn(), nil),
		statement("LookIntoBucket", []string{"s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"}, d.Bucket.BucketArn(), nil),
		statement("WriteObjects", []string{"s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"}, d.Bucket.ArnForObjects(jsii.String("*")), nil),
		statement("LogFailures", []string{"logs:PutLogEvents"}, stack.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("logs"), Resource: jsii.String("log-group"), ArnFormat: awscdk.ArnFormat_COLON_RESOURCE_NAME,
			ResourceName: jsii.String(*d.LogGroup.LogGroupName() + ":log-stream:" + *logs.LogStreamName()),
		}), nil),
	}
	if key := p.Stream.EncryptionKey(); key != nil {
		statements = append(statements, statement("DecryptTelemetry", []string{"kms:Decrypt"}, key.KeyArn(), viaKinesis(awscdk.Stack_Of(p.Stream).Region(), p.Stream.StreamArn())))
	}
	// Inline, so that Firehose, which tries the role when it is made, does not
	// come before its policy.
	d.Role = awsiam.NewRole(d.Construct, jsii.String("Role"), &awsiam.RoleProps{
		Description: jsii.String("Lets Firehose bring Kinetel's telemetry to S3"),
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("firehose.amazonaws.com"), &awsiam.ServicePrincipalOpts{
			Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": stack.Account()}},
		}),
		InlinePolicies: &map[string]awsiam.PolicyDocument{
			"Deliver": awsiam.NewPolicyDocument(&awsiam.PolicyDocumentProps{Statements: &statements}),
		},
	})

	s3 := &awskinesisfirehose.CfnDeliveryStream_ExtendedS3DestinationConfigurationProperty{
		BucketArn: d.Bucket.BucketArn(),
		RoleArn:   d.Role.RoleArn(),
		BufferingHints: &awskinesisfirehose.CfnDeliveryStream_BufferingHintsProperty{
			SizeInMBs: jsii.Number(bufferMiB), IntervalInSeconds: jsii.Number(p.BufferTime.Seconds()),
		},
		CloudWatchLoggingOptions: &awskinesisfirehose.CfnDeliveryStream_CloudWatchLoggingOptionsProperty{
			Enabled: jsii.Bool(true), LogGroupName: d.LogGroup.LogGroupName(), LogStreamName: logs.LogStreamName(),
		},
		// Records are gzip members, and members behind each other are a gzip
		// file: nothing may come between them.
		CompressionFormat: jsii.String("UNCOMPRESSED"),
		FileExtension:     jsii.String(".gz"),
		Prefix:            jsii.String(delivered + "!{timestamp:yyyy/MM/dd}/"),
		ErrorOutputPrefix: jsii.String(undelivered + "!{firehose:error-output-type}/!{timestamp:yyyy/MM/dd}/"),
	}
	if p.Partitioned {
		partition(s3)
	}
	d.Firehose = awskinesisfirehose.NewCfnDeliveryStream(d.Construct, jsii.String("Firehose"), &awskinesisfirehose.CfnDeliveryStreamProps{
		DeliveryStreamType: jsii.String("KinesisStreamAsSource"),
		KinesisStreamSourceConfiguration: &awskinesisfirehose.CfnDeliveryStream_KinesisStreamSourceConfigurationProperty{
			KinesisStreamArn: p.Stream.StreamArn(), RoleArn: d.Role.RoleArn(),
		},
		ExtendedS3DestinationConfiguration: s3,
	})
}

// partition has Firehose read the lines, sort them by function and compress
// them again.
func partition(s3 *awskinesisfirehose.CfnDeliveryStream_ExtendedS3DestinationConfigurationProperty) {
	s3.CompressionFormat, s3.FileExtension = jsii.String("GZIP"), nil // Firehose names them .gz itself
	s3.Prefix = jsii.String(delivered + byFunction + "=!{partitionKeyFromQuery:" + byFunction + "}/!{timestamp:yyyy/MM/dd}/")
	s3.DynamicPartitioningConfiguration = &awskinesisfirehose.CfnDeliveryStream_DynamicPartitioningConfigurationProperty{
		Enabled:      jsii.Bool(true),
		RetryOptions: &awskinesisfirehose.CfnDeliveryStream_RetryOptionsProperty{DurationInSeconds: jsii.Number(bufferSeconds)},
	}
	processor := func(kind string, parameters ...string) *awskinesisfirehose.CfnDeliveryStream_ProcessorProperty {
		var list []any
		for i := 0; i < len(parameters); i += 2 {
			list = append(list, &awskinesisfirehose.CfnDeliveryStream_ProcessorParameterProperty{
				ParameterName: &parameters[i], ParameterValue: &parameters[i+1],
			})
		}
		return &awskinesisfirehose.CfnDeliveryStream_ProcessorProperty{Type: &kind, Parameters: list}
	}
	s3.ProcessingConfiguration = &awskinesisfirehose.CfnDeliveryStream_ProcessingConfigurationProperty{
		Enabled: jsii.Bool(true),
		Processors: []any{
			processor("RecordDeAggregation", "SubRecordType", "JSON"),
			processor("MetadataExtraction", "MetadataExtractionQuery", `{`+byFunction+`: .resource."faas.name"}`, "JsonParsingEngine", "JQ-1.6"),
			// The line feeds go when a record is taken apart.
			processor("AppendDelimiterToRecord", "Delimiter", `\n`),
		},
	}
}

// table makes the table over the bucket, as in docs/consumers.md.
func (d *TelemetryDelivery) table(p *TelemetryDeliveryProps) {
	if p.Database == "" {
		p.Database = strings.ToLower(*awscdk.Names_UniqueResourceName(d.Construct, &awscdk.UniqueResourceNameOptions{
			AllowedSpecialCharacters: jsii.String("_"), Separator: jsii.String("_"), MaxLength: jsii.Number(255),
		}))
	}
	catalog := awscdk.Stack_Of(d.Construct).Account()
	d.Database = awsglue.NewCfnDatabase(d.Construct, jsii.String("Database"), &awsglue.CfnDatabaseProps{
		CatalogId: catalog,
		DatabaseInput: &awsglue.CfnDatabase_DatabaseInputProperty{
			Name: &p.Database, Description: jsii.String("Kinetel's telemetry in S3"),
		},
	})
	location := "s3://" + *d.Bucket.BucketName() + "/" + delivered
	columns := func(pairs ...string) []any {
		var list []any
		for i := 0; i < len(pairs); i += 2 {
			list = append(list, &awsglue.CfnTable_ColumnProperty{Name: &pairs[i], Type: &pairs[i+1]})
		}
		return list
	}
	parameters := map[string]string{
		"EXTERNAL":                     "TRUE",
		"projection.enabled":           "true",
		"projection.day.type":          "date",
		"projection.day.format":        "yyyy/MM/dd",
		"projection.day.range":         p.FirstDay + ",NOW",
		"projection.day.interval":      "1",
		"projection.day.interval.unit": "DAYS",
		"storage.location.template":    location + "${day}/",
	}
	partitions := columns("day", "string")
	if p.Partitioned {
		partitions = columns(byFunction, "string", "day", "string")
		parameters["projection."+byFunction+".type"] = "injected" // a query names it
		parameters["storage.location.template"] = location + byFunction + "=${" + byFunction + "}/${day}/"
	}
	d.Table = awsglue.NewCfnTable(d.Construct, jsii.String("Table"), &awsglue.CfnTableProps{
		CatalogId:    catalog,
		DatabaseName: d.Database.Ref(),
		TableInput: &awsglue.CfnTable_TableInputProperty{
			Name:          &p.Table,
			Description:   jsii.String("Kinetel's telemetry, one event a row"),
			TableType:     jsii.String("EXTERNAL_TABLE"),
			Parameters:    parameters,
			PartitionKeys: partitions,
			StorageDescriptor: &awsglue.CfnTable_StorageDescriptorProperty{
				Columns: columns(
					"seq", "bigint", "time", "string", "type", "string", "severity", "string",
					"requestid", "string", "traceid", "string", "part", "int", "parts", "int",
					"body", "string", "extra", "string", "resource", "map<string,string>",
				),
				Location:     &location,
				InputFormat:  jsii.String("org.apache.hadoop.mapred.TextInputFormat"),
				OutputFormat: jsii.String("org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"),
				SerdeInfo: &awsglue.CfnTable_SerdeInfoProperty{
					SerializationLibrary: jsii.String("org.openx.data.jsonserde.JsonSerDe"),
					Parameters: map[string]string{
						"case.insensitive":  "false",
						"mapping.requestid": "requestId",
						"mapping.traceid":   "traceId",
					},
				},
			},
		},
	})
}
