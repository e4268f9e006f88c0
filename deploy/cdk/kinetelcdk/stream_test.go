package kinetelcdk_test

import (
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/jsii-runtime-go"

	"github.com/kinetel/kinetel/deploy/cdk/kinetelcdk"
)

const (
	viaKinesis  = `{"StringEquals":{"kms:ViaService":{"Fn::Join":["",["kinesis.",{"Ref":"AWS::Region"},".",{"Ref":"AWS::URLSuffix"}]]}}}`
	ofTheStream = `{"StringEquals":{"kms:ViaService":{"Fn::Join":["",["kinesis.",{"Ref":"AWS::Region"},".",{"Ref":"AWS::URLSuffix"}]]},
		"kms:EncryptionContext:aws:kinesis:arn":{"Fn::GetAtt":["Stream862536A4","Arn"]}}}`
)

func TestStreamDefaults(t *testing.T) {
	stack := newStack(t)
	s := kinetelcdk.NewTelemetryStream(stack, "Stream", nil)
	if s.Stream().EncryptionKey() != nil {
		t.Error("there is a key")
	}
	got := synth(t, stack)
	stream := got.only("AWS::Kinesis::Stream", "")
	same(t, "stream", stream.Properties, `{
		"StreamModeDetails":{"StreamMode":"ON_DEMAND"},
		"RetentionPeriodHours":24,
		"StreamEncryption":{"EncryptionType":"KMS","KeyId":"alias/aws/kinesis"}}`)
	if stream.DeletionPolicy != "Retain" || stream.UpdateReplacePolicy != "Retain" {
		t.Errorf("the stream does not stay: %+v", stream)
	}
	same(t, "parameters", got.parameters(), `{"/telemetry/kinesis/stream/arn":"{\"Fn::GetAtt\":[\"Stream862536A4\",\"Arn\"]}"}`)
	if len(got.resources) != 2 {
		t.Errorf("%d resources, want the stream and its parameter", len(got.resources))
	}
}

func TestStreamProvisioned(t *testing.T) {
	stack := newStack(t)
	kinetelcdk.NewTelemetryStream(stack, "Stream", &kinetelcdk.TelemetryStreamProps{
		StreamMode: kinetelcdk.Provisioned, ShardCount: 3, RetentionHours: 8760,
		ParameterPrefix: "/obs/logs", Tags: map[string]string{"team": "payments", "env": "prod"},
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY,
	})
	got := synth(t, stack)
	stream := got.only("AWS::Kinesis::Stream", "")
	same(t, "stream", stream.Properties, `{
		"StreamModeDetails":{"StreamMode":"PROVISIONED"}, "ShardCount":3,
		"RetentionPeriodHours":8760,
		"StreamEncryption":{"EncryptionType":"KMS","KeyId":"alias/aws/kinesis"},
		"Tags":[{"Key":"env","Value":"prod"},{"Key":"team","Value":"payments"}]}`)
	if stream.DeletionPolicy != "Delete" {
		t.Errorf("the stream stays: %+v", stream)
	}
	got.has("AWS::SSM::Parameter", map[string]any{
		"Name": "/obs/logs/stream/arn", "Type": "String", "Tags": map[string]any{"env": "prod", "team": "payments"},
	})
}

func TestStreamWithItsOwnKey(t *testing.T) {
	stack := newStack(t)
	s := kinetelcdk.NewTelemetryStream(stack, "Stream", &kinetelcdk.TelemetryStreamProps{
		Encryption: kinetelcdk.EncryptionCustomer, WriterAccounts: []string{"111122223333", "444455556666"},
	})
	if s.Stream().EncryptionKey() == nil {
		t.Error("there is no key")
	}
	got := synth(t, stack)
	key := got.only("AWS::KMS::Key", "")
	if key.Properties["EnableKeyRotation"] != true || key.DeletionPolicy != "Retain" {
		t.Errorf("key: %+v", key)
	}
	same(t, "encryption", got.only("AWS::Kinesis::Stream", "").Properties["StreamEncryption"],
		`{"EncryptionType":"KMS","KeyId":{"Fn::GetAtt":["StreamKey238BEC37","Arn"]}}`)

	writers := `{"AWS":[
		{"Fn::Join":["",["arn:",{"Ref":"AWS::Partition"},":iam::111122223333:root"]]},
		{"Fn::Join":["",["arn:",{"Ref":"AWS::Partition"},":iam::444455556666:root"]]}]}`
	policy := statements(t, key.Properties["KeyPolicy"])
	if len(policy) != 2 {
		t.Fatalf("the key's policy has %d statements, want its administration and the writers", len(policy))
	}
	same(t, "the key's policy", policy[1], `{"Sid":"WritersOfOtherAccounts","Effect":"Allow","Principal":`+writers+`,
		"Action":"kms:GenerateDataKey","Resource":"*","Condition":`+viaKinesis+`}`)
	resourcePolicy := got.only("AWS::Kinesis::ResourcePolicy", "").Properties
	same(t, "the stream's policy", resourcePolicy, `{
		"ResourceArn":{"Fn::GetAtt":["Stream862536A4","Arn"]},
		"ResourcePolicy":{"Version":"2012-10-17","Statement":[{"Sid":"WritersOfOtherAccounts","Effect":"Allow","Principal":`+writers+`,
			"Action":["kinesis:PutRecord","kinesis:PutRecords"],"Resource":{"Fn::GetAtt":["Stream862536A4","Arn"]}}]}}`)
}

func TestStreamWithAGivenKey(t *testing.T) {
	stack := newStack(t)
	arn := "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	given := awskms.Key_FromKeyArn(stack, jsii.String("Given"), &arn)
	kinetelcdk.NewTelemetryStream(stack, "Stream", &kinetelcdk.TelemetryStreamProps{EncryptionKey: given, WriterAccounts: []string{"111122223333"}})
	got := synth(t, stack)
	got.has("AWS::Kinesis::Stream", map[string]any{"StreamEncryption": map[string]any{"EncryptionType": "KMS", "KeyId": arn}})
	got.ResourceCountIs(jsii.String("AWS::KMS::Key"), jsii.Number(0))
	warned(t, stack, "/Stack/Stream", "let it allow kms:GenerateDataKey to 111122223333")
}

func TestStreamRefusals(t *testing.T) {
	stack := newStack(t)
	key := awskms.NewKey(stack, jsii.String("Key"), nil)
	for _, one := range []struct {
		props    kinetelcdk.TelemetryStreamProps
		problems []string
	}{
		{kinetelcdk.TelemetryStreamProps{ShardCount: 2}, []string{
			`ShardCount is 2, but an on-demand stream scales itself; leave it out or set StreamMode to "provisioned"`,
		}},
		{kinetelcdk.TelemetryStreamProps{StreamMode: kinetelcdk.OnDemand, ShardCount: -1}, []string{
			`ShardCount is -1, but an on-demand stream scales itself; leave it out or set StreamMode to "provisioned"`,
		}},
		{kinetelcdk.TelemetryStreamProps{StreamMode: kinetelcdk.Provisioned}, []string{
			`ShardCount is 0; a provisioned stream needs 1 to 20000 shards; the dashboard suggests how many`,
		}},
		{kinetelcdk.TelemetryStreamProps{StreamMode: kinetelcdk.Provisioned, ShardCount: 20_001}, []string{
			`ShardCount is 20001; a provisioned stream needs 1 to 20000 shards; the dashboard suggests how many`,
		}},
		{kinetelcdk.TelemetryStreamProps{StreamMode: "manual"}, []string{`StreamMode is "manual"; it must be "on-demand" or "provisioned"`}},
		{kinetelcdk.TelemetryStreamProps{RetentionHours: 23}, []string{`RetentionHours is 23; Kinesis keeps records for 24 to 8760 hours`}},
		{kinetelcdk.TelemetryStreamProps{RetentionHours: 8761}, []string{`RetentionHours is 8761; Kinesis keeps records for 24 to 8760 hours`}},
		{kinetelcdk.TelemetryStreamProps{Encryption: "none"}, []string{`Encryption is "none"; it must be "aws" or "customer"`}},
		{kinetelcdk.TelemetryStreamProps{Encryption: kinetelcdk.EncryptionAWS, EncryptionKey: key}, []string{
			`Encryption is "aws", but there is an EncryptionKey; set Encryption to "customer" or leave the EncryptionKey out`,
		}},
		{kinetelcdk.TelemetryStreamProps{WriterAccounts: []string{"111122223333"}}, []string{
			`WriterAccounts is set, but other accounts cannot use AWS's key, whose policy nobody can change; set Encryption to "customer"`,
		}},
		{kinetelcdk.TelemetryStreamProps{Encryption: kinetelcdk.EncryptionCustomer, WriterAccounts: []string{"12345678901", "12345678901x", "111122223333", "111122223333"}}, []string{
			`WriterAccounts has "12345678901"; the id of an account is 12 digits, such as 123456789012`,
			`WriterAccounts has "12345678901x"; the id of an account is 12 digits, such as 123456789012`,
			`WriterAccounts has "111122223333" twice; name each account once`,
		}},
		{kinetelcdk.TelemetryStreamProps{ParameterPrefix: "telemetry"}, []string{
			`ParameterPrefix is "telemetry"; it must begin with / and not end with it, and have only a-z, A-Z, 0-9, /, _, . and -, such as /telemetry/kinesis`,
		}},
		{kinetelcdk.TelemetryStreamProps{ParameterPrefix: "/telemetry/"}, []string{
			`ParameterPrefix is "/telemetry/"; it must begin with / and not end with it, and have only a-z, A-Z, 0-9, /, _, . and -, such as /telemetry/kinesis`,
		}},
		{kinetelcdk.TelemetryStreamProps{ParameterPrefix: "/a b"}, []string{
			`ParameterPrefix is "/a b"; it must begin with / and not end with it, and have only a-z, A-Z, 0-9, /, _, . and -, such as /telemetry/kinesis`,
		}},
		{kinetelcdk.TelemetryStreamProps{ParameterPrefix: "/aws/x"}, []string{
			`ParameterPrefix is "/aws/x"; AWS reserves names that begin with /aws or /ssm; use one such as /telemetry/kinesis`,
		}},
		// All problems are reported at once.
		{kinetelcdk.TelemetryStreamProps{ShardCount: 1, RetentionHours: 1}, []string{
			`ShardCount is 1, but an on-demand stream scales itself; leave it out or set StreamMode to "provisioned"`,
			`RetentionHours is 1; Kinesis keeps records for 24 to 8760 hours`,
		}},
	} {
		refused(t, "Stack/Stream", func() { kinetelcdk.NewTelemetryStream(stack, "Stream", &one.props) }, one.problems...)
	}
}
