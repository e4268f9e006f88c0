package emulator

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	lambdatypes "github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/version"
)

// must ends the test at an error.
func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// document compares a policy that was read back.
func document(t *testing.T, what, text, want string) {
	t.Helper()
	if plain, err := url.QueryUnescape(text); err == nil && strings.HasPrefix(text, "%") {
		text = plain
	}
	var got any
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%s: %v:\n%s", what, err, text)
	}
	same(t, what, got, want)
}

// ssmParameters returns all SSM parameters.
func (s *stack) ssmParameters() map[string]any {
	s.t.Helper()
	all := map[string]any{}
	pages := ssm.NewGetParametersByPathPaginator(ssm.NewFromConfig(s.cfg), &ssm.GetParametersByPathInput{Path: aws.String("/telemetry"), Recursive: aws.Bool(true)})
	for pages.HasMorePages() {
		for _, p := range must[*ssm.GetParametersByPathOutput](s.t)(pages.NextPage(s.t.Context())).Parameters {
			all[*p.Name] = *p.Value
		}
	}
	return all
}

// layers returns the versions of a layer, the newest first.
func (s *stack) layers(name string) []lambdatypes.LayerVersionsListItem {
	s.t.Helper()
	out := must[*lambda.ListLayerVersionsOutput](s.t)(lambda.NewFromConfig(s.cfg).ListLayerVersions(s.t.Context(), &lambda.ListLayerVersionsInput{LayerName: &name}))
	slices.SortFunc(out.LayerVersions, func(a, b lambdatypes.LayerVersionsListItem) int { return int(b.Version - a.Version) })
	return out.LayerVersions
}

// holds reports where a layer version does not hold the zip with a text.
func (s *stack) holds(name string, number int64, text string) {
	s.t.Helper()
	full := must[*lambda.GetLayerVersionOutput](s.t)(lambda.NewFromConfig(s.cfg).GetLayerVersion(s.t.Context(), &lambda.GetLayerVersionInput{LayerName: &name, VersionNumber: &number}))
	body := must[[]byte](s.t)(zipped("extensions/kinesis-telemetry-extension", text))
	if sum := sha256.Sum256(body); *full.Content.CodeSha256 != base64.StdEncoding.EncodeToString(sum[:]) {
		s.t.Errorf("version %d of %s does not hold the zip of %s", number, name, text)
	}
}

func (s *stack) streamIs(shards, hours int32) {
	s.t.Helper()
	client := kinesis.NewFromConfig(s.cfg)
	name := s.physical["Stream"]
	is := must[*kinesis.DescribeStreamSummaryOutput](s.t)(client.DescribeStreamSummary(s.t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: &name})).StreamDescriptionSummary
	if is.StreamStatus != "ACTIVE" || *is.RetentionPeriodHours != hours || *is.OpenShardCount != shards {
		s.t.Errorf("the stream is %s, keeps %d hours and has %d shards; want %d and %d", is.StreamStatus, *is.RetentionPeriodHours, *is.OpenShardCount, hours, shards)
	}
	tags := must[*kinesis.ListTagsForStreamOutput](s.t)(client.ListTagsForStream(s.t.Context(), &kinesis.ListTagsForStreamInput{StreamName: &name})).Tags
	if len(tags) != 1 || *tags[0].Key != "application" || *tags[0].Value != "kinetel" {
		s.t.Errorf("the stream's tags are %v", tags)
	}
}

func (s *stack) policyOfFunctions() string {
	s.t.Helper()
	client, arn := iam.NewFromConfig(s.cfg), s.physical["Policy"]
	p := must[*iam.GetPolicyOutput](s.t)(client.GetPolicy(s.t.Context(), &iam.GetPolicyInput{PolicyArn: &arn})).Policy
	return *must[*iam.GetPolicyVersionOutput](s.t)(client.GetPolicyVersion(s.t.Context(), &iam.GetPolicyVersionInput{PolicyArn: &arn, VersionId: p.DefaultVersionId})).PolicyVersion.Document
}

func TestMinimalStack(t *testing.T) {
	t.Parallel()
	s := create(t, withZips(t), "minimal", sets()["minimal"])
	s.streamIs(1, 24)
	arn := "arn:aws:kinesis:eu-west-1:123456789012:stream/" + s.physical["Stream"]
	document(t, "policy", s.policyOfFunctions(), `
		Version: "2012-10-17"
		Statement:
		- {Effect: Allow, Action: ["kinesis:PutRecord", "kinesis:PutRecords"], Resource: "`+arn+`"}
	`)
	want := map[string]any{"/telemetry/kinesis/stream/arn": arn, "/telemetry/kinesis/runtime/policy/arn": s.physical["Policy"]}
	if diff := cmp.Diff(want, s.ssmParameters()); diff != "" {
		t.Errorf("SSM (-want +got):\n%s", diff)
	}
	if out := must[*lambda.ListLayersOutput](t)(lambda.NewFromConfig(s.cfg).ListLayers(t.Context(), &lambda.ListLayersInput{})); len(out.Layers) != 0 {
		t.Errorf("there are layers: %v", out.Layers)
	}
	if out := must[*lambda.ListFunctionsOutput](t)(lambda.NewFromConfig(s.cfg).ListFunctions(t.Context(), &lambda.ListFunctionsInput{})); len(out.Functions) != 0 {
		t.Errorf("there are functions: %v", out.Functions)
	}
	if out := must[*kms.ListKeysOutput](t)(kms.NewFromConfig(s.cfg).ListKeys(t.Context(), &kms.ListKeysInput{})); len(out.Keys) != 0 {
		t.Errorf("there are keys: %v", out.Keys)
	}
	s.outputsAgree()
}

// outputsAgree compares the outputs that moto evaluated with those that are
// evaluated here.
func (s *stack) outputsAgree() {
	s.t.Helper()
	out := must[*cloudformation.DescribeStacksOutput](s.t)(cloudformation.NewFromConfig(s.cfg).DescribeStacks(s.t.Context(), &cloudformation.DescribeStacksInput{StackName: &s.name})).Stacks[0].Outputs
	got, want := map[string]any{}, s.outputs()
	for _, o := range out {
		got[*o.OutputKey] = *o.OutputValue
	}
	for _, notMotos := range []string{"LayerX86Arn", "LayerArmArn", "SampleFunctionName"} {
		delete(want, notMotos)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		s.t.Errorf("outputs, by this evaluation and by moto (-this +moto's):\n%s", diff)
	}
}

func TestStackWithEverything(t *testing.T) {
	t.Parallel()
	s := create(t, withZips(t, version.Version), "everything", sets()["everything"])
	cfg, ctx := s.cfg, t.Context()
	s.streamIs(3, 48)
	s.outputsAgree()
	arn := "arn:aws:kinesis:eu-west-1:123456789012:stream/" + s.physical["Stream"]
	keyARN := "arn:aws:kms:eu-west-1:123456789012:key/" + s.physical["Key"]
	document(t, "policy of functions", s.policyOfFunctions(), `
		Version: "2012-10-17"
		Statement:
		- {Effect: Allow, Action: ["kinesis:PutRecord", "kinesis:PutRecords"], Resource: "`+arn+`"}
		- Effect: Allow
		  Action: kms:GenerateDataKey
		  Resource: `+keyARN+`
		  Condition: {StringEquals: {"kms:ViaService": kinesis.eu-west-1.amazonaws.com, "kms:EncryptionContext:aws:kinesis:arn": "`+arn+`"}}
	`)

	keys := kms.NewFromConfig(cfg)
	key := s.physical["Key"]
	if out := must[*kms.GetKeyRotationStatusOutput](t)(keys.GetKeyRotationStatus(ctx, &kms.GetKeyRotationStatusInput{KeyId: &key})); !out.KeyRotationEnabled {
		t.Error("the key is not rotated")
	}
	document(t, "the key's policy", *must[*kms.GetKeyPolicyOutput](t)(keys.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &key, PolicyName: aws.String("default")})).Policy, `
		Version: "2012-10-17"
		Statement:
		- {Effect: Allow, Principal: {AWS: "arn:aws:iam::123456789012:root"}, Action: "kms:*", Resource: "*"}
		- Sid: WritersOfOtherAccounts
		  Effect: Allow
		  Principal: {AWS: ["111122223333", "444455556666"]}
		  Action: kms:GenerateDataKey
		  Resource: "*"
		  Condition: {StringEquals: {"kms:ViaService": kinesis.eu-west-1.amazonaws.com}}
	`)
	document(t, "the stream's policy", *must[*kinesis.GetResourcePolicyOutput](t)(kinesis.NewFromConfig(cfg).GetResourcePolicy(ctx, &kinesis.GetResourcePolicyInput{ResourceARN: &arn})).Policy, `
		Version: "2012-10-17"
		Statement:
		- Sid: WritersOfOtherAccounts
		  Effect: Allow
		  Principal: {AWS: ["111122223333", "444455556666"]}
		  Action: ["kinesis:PutRecord", "kinesis:PutRecords"]
		  Resource: `+arn+`
	`)

	// Layers and the parameters that have their ARNs.
	want := map[string]any{
		"/telemetry/kinesis/stream/arn":         arn,
		"/telemetry/kinesis/runtime/policy/arn": s.physical["Policy"],
	}
	for arch, zip := range map[lambdatypes.Architecture]string{"x86_64": "amd64", "arm64": "arm64"} {
		name := "kinesis-telemetry-extension-" + string(arch)
		versions := s.layers(name)
		if len(versions) != 1 {
			t.Fatalf("%s has %d versions", name, len(versions))
		}
		v := versions[0]
		if !slices.Equal(v.CompatibleArchitectures, []lambdatypes.Architecture{arch}) || *v.LicenseInfo != "Apache-2.0" ||
			*v.Description != "Kinetel "+version.Version+": sends Lambda telemetry to Kinesis" {
			t.Errorf("%s is for %v, under %s: %s", name, v.CompatibleArchitectures, *v.LicenseInfo, *v.Description)
		}
		s.holds(name, v.Version, version.Version+" "+zip)
		want["/telemetry/kinesis/extension/"+string(arch)+"/arn"] = *v.LayerVersionArn
	}
	want["/telemetry/kinesis/extension/arn"] = want["/telemetry/kinesis/extension/arm64/arn"] // as asked for
	if diff := cmp.Diff(want, s.ssmParameters()); diff != "" {
		t.Errorf("SSM (-want +got):\n%s", diff)
	}

	// The sample function.
	function := must[*lambda.GetFunctionOutput](t)(lambda.NewFromConfig(cfg).GetFunction(ctx, &lambda.GetFunctionInput{FunctionName: aws.String(s.physical["SampleFunction"])})).Configuration
	if len(function.Layers) != 1 || *function.Layers[0].Arn != want["/telemetry/kinesis/extension/arm64/arn"] ||
		!slices.Equal(function.Architectures, []lambdatypes.Architecture{"arm64"}) {
		t.Errorf("the function is for %v and has the layers %v", function.Architectures, function.Layers)
	}
	if diff := cmp.Diff(map[string]string{"KINETEL_STREAM_ARN": arn, "KINETEL_REPORT": "events,emf", "KINETEL_COMPRESSION": "gzip"}, function.Environment.Variables); diff != "" {
		t.Errorf("the function's environment (-want +got):\n%s", diff)
	}
	if role := "arn:aws:iam::123456789012:role/" + s.physical["SampleRole"]; *function.Role != role {
		t.Errorf("the function's role is %s, want %s", *function.Role, role)
	}
	role := must[*iam.GetRolePolicyOutput](t)(iam.NewFromConfig(cfg).GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: aws.String(s.physical["SampleRole"]), PolicyName: aws.String("log")}))
	// AWS's attribute ends with :*, moto's does not.
	document(t, "the function's right to log", *role.PolicyDocument, `
		Version: "2012-10-17"
		Statement:
		- {Effect: Allow, Action: ["logs:CreateLogStream", "logs:PutLogEvents"], Resource: "arn:aws:logs:eu-west-1:123456789012:log-group:`+s.physical["SampleLogs"]+`"}
	`)

	// Delivery.
	delivery := must[*firehose.DescribeDeliveryStreamOutput](t)(firehose.NewFromConfig(cfg).DescribeDeliveryStream(ctx, &firehose.DescribeDeliveryStreamInput{DeliveryStreamName: aws.String(s.physical["Firehose"])})).DeliveryStreamDescription
	if *delivery.Source.KinesisStreamSourceDescription.KinesisStreamARN != arn {
		t.Errorf("Firehose reads %s", *delivery.Source.KinesisStreamSourceDescription.KinesisStreamARN)
	}
	bucket := s.physical["DeliveryBucket"]
	if to := delivery.Destinations[0].ExtendedS3DestinationDescription; *to.BucketARN != "arn:aws:s3:::"+bucket || to.CompressionFormat != "UNCOMPRESSED" || aws.ToString(to.FileExtension) != ".gz" ||
		to.ProcessingConfiguration != nil {
		t.Errorf("Firehose writes to %s, %s, %v", *to.BucketARN, to.CompressionFormat, to.ProcessingConfiguration)
	}
	store := s3.NewFromConfig(cfg)
	if e := must[*s3.GetBucketEncryptionOutput](t)(store.GetBucketEncryption(ctx, &s3.GetBucketEncryptionInput{Bucket: &bucket})).ServerSideEncryptionConfiguration; e.Rules[0].ApplyServerSideEncryptionByDefault.SSEAlgorithm != "AES256" {
		t.Errorf("the bucket is encrypted by %v", e.Rules)
	}
	document(t, "the bucket's policy", *must[*s3.GetBucketPolicyOutput](t)(store.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: &bucket})).Policy, `
		Version: "2012-10-17"
		Statement:
		- Effect: Deny
		  Principal: {AWS: "*"}
		  Action: s3:*
		  Resource: ["arn:aws:s3:::`+bucket+`", "arn:aws:s3:::`+bucket+`/*"]
		  Condition: {Bool: {"aws:SecureTransport": "false"}}
		- Effect: Deny
		  Principal: {AWS: "*"}
		  Action: s3:*
		  Resource: ["arn:aws:s3:::`+bucket+`", "arn:aws:s3:::`+bucket+`/*"]
		  Condition: {NumericLessThan: {"s3:TlsVersion": 1.2}}
	`)
	table := must[*glue.GetTableOutput](t)(glue.NewFromConfig(cfg).GetTable(ctx, &glue.GetTableInput{DatabaseName: aws.String("kinetel"), Name: aws.String("kinetel")})).Table
	if at := "s3://" + bucket + "/kinetel/"; *table.StorageDescriptor.Location != at || table.Parameters["storage.location.template"] != at+"${day}/" {
		t.Errorf("the table looks in %s and %s", *table.StorageDescriptor.Location, table.Parameters["storage.location.template"])
	}
}

func TestANewVersionIsANewLayerAndTheOldOneStays(t *testing.T) {
	t.Parallel()
	given := map[string]string{"LayerBucket": "layers", "Sample": "true", "StreamMode": "PROVISIONED", "ShardCount": "1"}
	s := create(t, withZips(t, version.Version, "99.0.0"), "updated", given)
	before := s.ssmParameters()
	if before["/telemetry/kinesis/extension/arn"] != before["/telemetry/kinesis/extension/x86_64/arn"] {
		t.Errorf("the default layer is %v", before["/telemetry/kinesis/extension/arn"])
	}
	given["Version"], given["RetentionHours"], given["ShardCount"] = "99.0.0", "72", "2"
	s.update(given)

	s.streamIs(2, 72)
	after := s.ssmParameters()
	for arch, zip := range map[string]string{"x86_64": "amd64", "arm64": "arm64"} {
		parameter := "/telemetry/kinesis/extension/" + arch + "/arn"
		versions := s.layers("kinesis-telemetry-extension-" + arch)
		if len(versions) != 2 {
			t.Fatalf("%s has %d versions, want the old one and the new", arch, len(versions))
		}
		if *versions[0].LayerVersionArn != after[parameter] || *versions[1].LayerVersionArn != before[parameter] {
			t.Errorf("%s is %v and was %v; the versions are %s and %s", parameter, after[parameter], before[parameter], *versions[0].LayerVersionArn, *versions[1].LayerVersionArn)
		}
		s.holds("kinesis-telemetry-extension-"+arch, versions[0].Version, "99.0.0 "+zip)
		s.holds("kinesis-telemetry-extension-"+arch, versions[1].Version, version.Version+" "+zip)
		if !strings.HasPrefix(*versions[0].Description, "Kinetel 99.0.0:") {
			t.Errorf("the new version is %s", *versions[0].Description)
		}
	}
	if after["/telemetry/kinesis/extension/arn"] != after["/telemetry/kinesis/extension/x86_64/arn"] {
		t.Errorf("the default layer is %v", after["/telemetry/kinesis/extension/arn"])
	}
	function := must[*lambda.GetFunctionConfigurationOutput](t)(lambda.NewFromConfig(s.cfg).GetFunctionConfiguration(t.Context(), &lambda.GetFunctionConfigurationInput{FunctionName: aws.String(s.physical["SampleFunction"])}))
	if *function.Layers[0].Arn != after["/telemetry/kinesis/extension/arm64/arn"] {
		t.Errorf("the function has %s", *function.Layers[0].Arn)
	}
	// The same once more changes nothing.
	s.update(given)
	if diff := cmp.Diff(after, s.ssmParameters()); diff != "" {
		t.Errorf("the same update again (-before +after):\n%s", diff)
	}
}

func TestDeletedStackKeepsOnlyTheDocumentedResources(t *testing.T) {
	t.Parallel()
	s := create(t, withZips(t, version.Version), "deleted", sets()["everything"])
	s.delete()
	cfg, ctx := s.cfg, t.Context()
	if _, err := kinesis.NewFromConfig(cfg).DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: aws.String(s.physical["Stream"])}); err != nil {
		t.Errorf("the stream is gone: %v", err)
	}
	if out := must[*kms.DescribeKeyOutput](t)(kms.NewFromConfig(cfg).DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String(s.physical["Key"])})); out.KeyMetadata.KeyState != "Enabled" {
		t.Errorf("the key is %s", out.KeyMetadata.KeyState)
	}
	if _, err := s3.NewFromConfig(cfg).HeadBucket(ctx, &s3.HeadBucketInput{Bucket: aws.String(s.physical["DeliveryBucket"])}); err != nil {
		t.Errorf("the bucket is gone: %v", err)
	}
	for _, arch := range []string{"x86_64", "arm64"} {
		if n := len(s.layers("kinesis-telemetry-extension-" + arch)); n != 1 {
			t.Errorf("%d layers for %s are left", n, arch)
		}
	}
	if left := s.ssmParameters(); len(left) != 0 {
		t.Errorf("SSM still has %v", left)
	}
	// moto's CloudFormation never deletes a managed policy; that the template does not
	// keep it is in TestDeletionPolicies.
	roles := must[*iam.ListRolesOutput](t)(iam.NewFromConfig(cfg).ListRoles(ctx, &iam.ListRolesInput{}))
	functions := must[*lambda.ListFunctionsOutput](t)(lambda.NewFromConfig(cfg).ListFunctions(ctx, &lambda.ListFunctionsInput{}))
	if len(roles.Roles)+len(functions.Functions) != 0 {
		t.Errorf("left are the roles %v and functions %v", roles.Roles, functions.Functions)
	}
}
