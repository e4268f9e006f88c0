package kinetelcdk_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"

	"github.com/kinetel/kinetel/deploy/cdk/kinetelcdk"
)

func TestDelivery(t *testing.T) {
	stack := newStack(t)
	s := kinetelcdk.NewTelemetryStream(stack, "Stream", nil)
	kinetelcdk.NewTelemetryDelivery(stack, "Delivery", &kinetelcdk.TelemetryDeliveryProps{Stream: s, Tags: map[string]string{"team": "payments"}})
	got := synth(t, stack)

	// docs/consumers.md, S3 and Athena: records are gzip members, and
	// nothing may come between them.
	firehose := got.only("AWS::KinesisFirehose::DeliveryStream", "").Properties
	same(t, "firehose", firehose, `{
		"DeliveryStreamType":"KinesisStreamAsSource",
		"KinesisStreamSourceConfiguration":{"KinesisStreamARN":{"Fn::GetAtt":["Stream862536A4","Arn"]},"RoleARN":{"Fn::GetAtt":["DeliveryRole959799AB","Arn"]}},
		"ExtendedS3DestinationConfiguration":{
			"BucketARN":{"Fn::GetAtt":["DeliveryBucket818C8F75","Arn"]},"RoleARN":{"Fn::GetAtt":["DeliveryRole959799AB","Arn"]},
			"CompressionFormat":"UNCOMPRESSED","FileExtension":".gz",
			"BufferingHints":{"SizeInMBs":64,"IntervalInSeconds":300},
			"CloudWatchLoggingOptions":{"Enabled":true,"LogGroupName":{"Ref":"DeliveryLogsE7964E8F"},"LogStreamName":{"Ref":"DeliveryLogStream59340406"}},
			"Prefix":"kinetel/!{timestamp:yyyy/MM/dd}/",
			"ErrorOutputPrefix":"kinetel-errors/!{firehose:error-output-type}/!{timestamp:yyyy/MM/dd}/"},
		"Tags":[{"Key":"team","Value":"payments"}]}`)

	role := got.only("AWS::IAM::Role", "DeliveryRole").Properties
	same(t, "who may be the role", statements(t, role["AssumeRolePolicyDocument"]), `[{"Effect":"Allow","Action":"sts:AssumeRole",
		"Principal":{"Service":"firehose.amazonaws.com"},"Condition":{"StringEquals":{"aws:SourceAccount":{"Ref":"AWS::AccountId"}}}}]`)
	policies := role["Policies"].([]any)
	if len(policies) != 1 || role["ManagedPolicyArns"] != nil {
		t.Fatalf("the role has more than its one policy: %v", role)
	}
	same(t, "what the role may", statements(t, policies[0].(map[string]any)["PolicyDocument"]), `[
		{"Sid":"Read","Effect":"Allow","Action":["kinesis:DescribeStream","kinesis:GetRecords","kinesis:GetShardIterator","kinesis:ListShards"],"Resource":{"Fn::GetAtt":["Stream862536A4","Arn"]}},
		{"Sid":"Bucket","Effect":"Allow","Action":["s3:GetBucketLocation","s3:ListBucket","s3:ListBucketMultipartUploads"],"Resource":{"Fn::GetAtt":["DeliveryBucket818C8F75","Arn"]}},
		{"Sid":"Objects","Effect":"Allow","Action":["s3:AbortMultipartUpload","s3:GetObject","s3:PutObject"],"Resource":{"Fn::Join":["",[{"Fn::GetAtt":["DeliveryBucket818C8F75","Arn"]},"/*"]]}},
		{"Sid":"Log","Effect":"Allow","Action":"logs:PutLogEvents","Resource":{"Fn::Join":["",["arn:",{"Ref":"AWS::Partition"},":logs:",{"Ref":"AWS::Region"},":",{"Ref":"AWS::AccountId"},
			":log-group:",{"Ref":"DeliveryLogsE7964E8F"},":log-stream:",{"Ref":"DeliveryLogStream59340406"}]]}}]`)

	bucket := got.only("AWS::S3::Bucket", "")
	same(t, "bucket", bucket.Properties, `{
		"BucketEncryption":{"ServerSideEncryptionConfiguration":[{"ServerSideEncryptionByDefault":{"SSEAlgorithm":"AES256"}}]},
		"LifecycleConfiguration":{"Rules":[{"AbortIncompleteMultipartUpload":{"DaysAfterInitiation":7},"Status":"Enabled"}]},
		"OwnershipControls":{"Rules":[{"ObjectOwnership":"BucketOwnerEnforced"}]},
		"PublicAccessBlockConfiguration":{"BlockPublicAcls":true,"BlockPublicPolicy":true,"IgnorePublicAcls":true,"RestrictPublicBuckets":true},
		"Tags":[{"Key":"team","Value":"payments"}]}`)
	if bucket.DeletionPolicy != "Retain" {
		t.Error("the bucket does not stay")
	}
	if retention := got.only("AWS::Logs::LogGroup", "").Properties["RetentionInDays"]; retention != 30. {
		t.Errorf("Firehose's log is kept for %v days", retention)
	}

	// The table is that of docs/consumers.md.
	table := got.only("AWS::Glue::Table", "").Properties
	same(t, "table", table["TableInput"], `{
		"Name":"kinetel","Description":"Events of all functions, by the day on which Firehose received them","TableType":"EXTERNAL_TABLE",
		"PartitionKeys":[{"Name":"day","Type":"string"}],
		"Parameters":{"EXTERNAL":"TRUE","projection.enabled":"true","projection.day.type":"date","projection.day.format":"yyyy/MM/dd",
			"projection.day.range":"2026/11/01,NOW","projection.day.interval":"1","projection.day.interval.unit":"DAYS",
			"storage.location.template":{"Fn::Join":["",["s3://",{"Ref":"DeliveryBucket818C8F75"},"/kinetel/${day}/"]]}},
		"StorageDescriptor":{
			"Columns":[{"Name":"seq","Type":"bigint"},{"Name":"time","Type":"string"},{"Name":"type","Type":"string"},{"Name":"severity","Type":"string"},
				{"Name":"requestid","Type":"string"},{"Name":"traceid","Type":"string"},{"Name":"part","Type":"int"},{"Name":"parts","Type":"int"},
				{"Name":"body","Type":"string"},{"Name":"extra","Type":"string"},{"Name":"resource","Type":"map<string,string>"}],
			"Location":{"Fn::Join":["",["s3://",{"Ref":"DeliveryBucket818C8F75"},"/kinetel/"]]},
			"InputFormat":"org.apache.hadoop.mapred.TextInputFormat","OutputFormat":"org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
			"SerdeInfo":{"SerializationLibrary":"org.openx.data.jsonserde.JsonSerDe",
				"Parameters":{"case.insensitive":"false","mapping.requestid":"requestId","mapping.traceid":"traceId"}}}}`)
	same(t, "database", table["DatabaseName"], `{"Ref":"DeliveryDatabase9AE22EE0"}`)
	same(t, "database", got.only("AWS::Glue::Database", "").Properties["DatabaseInput"],
		`{"Name":"kinetel","Description":"Telemetry of Lambda functions"}`)
}

func TestDeliveryPartitioned(t *testing.T) {
	stack := newStack(t)
	s := kinetelcdk.NewTelemetryStream(stack, "Stream", &kinetelcdk.TelemetryStreamProps{Encryption: kinetelcdk.EncryptionCustomer})
	kinetelcdk.NewTelemetryDelivery(stack, "Delivery", &kinetelcdk.TelemetryDeliveryProps{
		Stream: s, Partitioned: true, BufferingInterval: time.Minute, ExpirationDays: 90,
		DatabaseName: "obs", FirstDay: "2027/02/28", RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	got := synth(t, stack)
	s3 := got.only("AWS::KinesisFirehose::DeliveryStream", "").Properties["ExtendedS3DestinationConfiguration"].(map[string]any)
	same(t, "firehose", []any{s3["CompressionFormat"], s3["FileExtension"], s3["Prefix"], s3["ErrorOutputPrefix"], s3["BufferingHints"], s3["DynamicPartitioningConfiguration"], s3["ProcessingConfiguration"]}, `["GZIP",null,
		"kinetel/!{timestamp:yyyy/MM/dd}/faas_name=!{partitionKeyFromQuery:faas_name}/",
		"kinetel-errors/!{firehose:error-output-type}/!{timestamp:yyyy/MM/dd}/",
		{"SizeInMBs":64,"IntervalInSeconds":60},
		{"Enabled":true,"RetryOptions":{"DurationInSeconds":300}},
		{"Enabled":true,"Processors":[
			{"Type":"RecordDeAggregation","Parameters":[{"ParameterName":"SubRecordType","ParameterValue":"JSON"}]},
			{"Type":"MetadataExtraction","Parameters":[{"ParameterName":"MetadataExtractionQuery","ParameterValue":"{faas_name: .resource.\"faas.name\"}"},{"ParameterName":"JsonParsingEngine","ParameterValue":"JQ-1.6"}]},
			{"Type":"AppendDelimiterToRecord"}]}]`)
	policies := got.only("AWS::IAM::Role", "DeliveryRole").Properties["Policies"].([]any)
	list := statements(t, policies[0].(map[string]any)["PolicyDocument"])
	same(t, "decrypting", list[len(list)-1], `{"Sid":"Decrypt","Effect":"Allow","Action":"kms:Decrypt","Resource":{"Fn::GetAtt":["StreamKey238BEC37","Arn"]},"Condition":`+ofTheStream+`}`)

	for name, want := range map[string]string{
		"TableC2E075E3": `["kinetel",[{"Name":"day","Type":"string"}],null,"2027/02/28,NOW",{"Fn::Join":["",["s3://",{"Ref":"DeliveryBucket818C8F75"},"/kinetel/${day}/"]]}]`,
		"TableByFunction": `["kinetel_by_function",[{"Name":"day","Type":"string"},{"Name":"faas_name","Type":"string"}],"injected","2027/02/28,NOW",
			{"Fn::Join":["",["s3://",{"Ref":"DeliveryBucket818C8F75"},"/kinetel/${day}/faas_name=${faas_name}/"]]}]`,
	} {
		table := got.only("AWS::Glue::Table", name).Properties["TableInput"].(map[string]any)
		parameters := table["Parameters"].(map[string]any)
		same(t, name, []any{table["Name"], table["PartitionKeys"], parameters["projection.faas_name.type"], parameters["projection.day.range"], parameters["storage.location.template"]}, want)
	}
	got.has("AWS::Glue::Database", map[string]any{"DatabaseInput": map[string]any{"Name": "obs"}})
	bucket := got.only("AWS::S3::Bucket", "")
	if bucket.DeletionPolicy != "Delete" || !strings.Contains(jsonOf(t, bucket.Properties["LifecycleConfiguration"]), `"ExpirationInDays":90`) {
		t.Errorf("bucket: %+v", bucket)
	}
}

func TestDeliveryRefusals(t *testing.T) {
	stack := newStack(t)
	s := kinetelcdk.NewTelemetryStream(stack, "Stream", nil)
	for _, one := range []struct {
		props    kinetelcdk.TelemetryDeliveryProps
		problems []string
	}{
		{kinetelcdk.TelemetryDeliveryProps{}, []string{"Stream is not set; there is nothing to deliver from"}},
		{kinetelcdk.TelemetryDeliveryProps{Stream: s, BufferingInterval: 901 * time.Second}, []string{"BufferingInterval is 15m1s; it must be whole seconds, from 1m0s to 15m0s"}},
		{kinetelcdk.TelemetryDeliveryProps{Stream: s, BufferingInterval: 59 * time.Second}, []string{"BufferingInterval is 59s; it must be whole seconds, from 1m0s to 15m0s"}},
		{kinetelcdk.TelemetryDeliveryProps{Stream: s, BufferingInterval: 61500 * time.Millisecond}, []string{"BufferingInterval is 1m1.5s; it must be whole seconds, from 1m0s to 15m0s"}},
		{kinetelcdk.TelemetryDeliveryProps{Stream: s, ExpirationDays: -1}, []string{"ExpirationDays is -1; it must be at least 1, or 0 to keep objects"}},
		{kinetelcdk.TelemetryDeliveryProps{Stream: s, DatabaseName: "My-Data"}, []string{`DatabaseName is "My-Data"; it must have 1 to 255 characters of a-z, 0-9 and _`}},
		{kinetelcdk.TelemetryDeliveryProps{Stream: s, FirstDay: "2026-11-01"}, []string{`FirstDay is "2026-11-01"; it must be a day such as 2026/11/01`}},
	} {
		refused(t, "Stack/Delivery", func() { kinetelcdk.NewTelemetryDelivery(stack, "Delivery", &one.props) }, one.problems...)
	}
}
