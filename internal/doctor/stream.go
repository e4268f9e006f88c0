package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/format/kpl"
)

// checkStream checks that the stream exists and accepts records.
func (d *diagnosis) checkStream(ctx context.Context) {
	if d.config.StreamName == "" {
		return // the settings have the error
	}
	in := &kinesis.DescribeStreamSummaryInput{}
	if in.StreamARN = pointer(d.streamARN()); in.StreamARN == nil {
		in.StreamName = &d.config.StreamName
	}
	name := cmp.Or(d.streamARN(), d.config.StreamName)
	region := d.config.AWS.Region
	out, err := d.kinesis().DescribeStreamSummary(ctx, in)
	switch {
	case hasCode(err, "ResourceNotFound"):
		d.add(Error, "there is no stream "+name+" in "+region, "every request to Kinesis fails, and telemetry is lost when the buffers are full",
			"correct KINETEL_STREAM_NAME or KINETEL_STREAM_ARN (`aws kinesis list-streams --region "+region+"`), or create the stream: docs/deploy.md")
		d.config.StreamARN, d.config.StreamName = "", "" // there is nothing more to check of it
		return
	case err != nil:
		_, answered := errors.AsType[smithy.APIError](err)
		d.silent = !answered
		d.skip("the stream "+name, err, "allow yourself kinesis:DescribeStreamSummary on it")
		return
	}
	s := out.StreamDescriptionSummary
	d.stream = s
	d.report.Stream = value(s.StreamARN)
	d.streamProblems(s)
	if s.StreamStatus == types.StreamStatusActive || s.StreamStatus == types.StreamStatusUpdating {
		mode := types.StreamModeProvisioned
		if s.StreamModeDetails != nil {
			mode = s.StreamModeDetails.StreamMode
		}
		d.ok("%s is %s: %s, open shards: %d, retention %d h, records up to %d KiB", name, s.StreamStatus, mode,
			value(s.OpenShardCount), value(s.RetentionPeriodHours), cmp.Or(value(s.MaxRecordSizeInKiB), 1024))
	}
}

// streamProblems adds what is wrong with a stream that exists.
func (d *diagnosis) streamProblems(s *types.StreamDescriptionSummary) {
	describe := "aws kinesis describe-stream-summary --stream-arn " + value(s.StreamARN)
	switch s.StreamStatus {
	case types.StreamStatusCreating:
		d.add(Error, "the stream is still being created", "it accepts no records yet", "aws kinesis wait stream-exists --stream-arn "+value(s.StreamARN))
	case types.StreamStatusDeleting:
		d.add(Error, "the stream is being deleted", "it accepts no records any more", "use another stream")
	}
	if s.RecordDistributionStrategy == types.RecordDistributionStrategyAuto && d.config.PartitionKey != config.PartitionRandom {
		level, why := Warning, "it ignores partition keys, so an environment's records are in several shards"
		if d.config.Format == kpl.Name {
			level, why = Error, "it ignores partition keys, and the KCL drops aggregated records (KINETEL_FORMAT=kpl) of another shard without an error"
		}
		d.add(level, "the stream distributes records by itself", why, "docs/operations.md#partition-keys; "+describe)
	}
	if here := d.config.Lambda.Region; here != "" && d.function != nil && here != d.config.AWS.Region {
		d.add(Warning, fmt.Sprintf("the function is in %s and the stream in %s", here, d.config.AWS.Region),
			"each request takes longer, and AWS bills the transfer", "use a stream in "+here)
	}
}

// checkEncryption checks the stream's key.
func (d *diagnosis) checkEncryption(ctx context.Context) {
	if d.stream == nil {
		return
	}
	arnOfStream, key := value(d.stream.StreamARN), value(d.stream.KeyId)
	if d.stream.EncryptionType != types.EncryptionTypeKms {
		d.add(Warning, "the stream is not encrypted at rest", "log lines often have personal data or secrets",
			"aws kinesis start-stream-encryption --stream-arn "+arnOfStream+" --encryption-type KMS --key-id alias/aws/kinesis")
		return
	}
	if strings.HasSuffix(key, "alias/aws/kinesis") {
		d.managedKey()
		return
	}
	client := d.Clients.kms(d.config.AWS.Region)
	described, err := client.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: &key})
	switch {
	case hasCode(err, "NotFound"):
		d.add(Error, "there is no key "+key+", which encrypts the stream", "Kinesis refuses every record", "docs/security.md#encryption-keys")
		return
	case err != nil:
		d.skip("the key "+key, err, "allow yourself kms:DescribeKey on it")
		return
	}
	k := described.KeyMetadata
	if k.KeyManager == kmstypes.KeyManagerTypeAws {
		d.managedKey()
		return
	}
	d.keyARN = value(k.Arn)
	switch k.KeyState {
	case kmstypes.KeyStateEnabled:
		d.checkKeyPolicy(ctx, client)
	case kmstypes.KeyStatePendingDeletion:
		d.add(Error, "the stream's key will be deleted", "Kinesis refuses every record, and can then no longer read the old ones",
			"aws kms cancel-key-deletion --key-id "+d.keyARN+" && aws kms enable-key --key-id "+d.keyARN)
	default:
		d.add(Error, fmt.Sprintf("the stream's key is in the state %s", k.KeyState), "Kinesis refuses every record", "aws kms enable-key --key-id "+d.keyARN)
	}
}

// managedKey adds what there is to say of AWS's own key.
func (d *diagnosis) managedKey() {
	if d.crossAccount() {
		d.add(Error, "the stream of another account has AWS's key alias/aws/kinesis", "no other account can write to it",
			"give the stream a customer-managed key: docs/deploy.md#functions-of-other-accounts")
		return
	}
	d.ok("encrypted with AWS's key alias/aws/kinesis")
}

// crossAccount reports whether the extension writes to another account's stream.
func (d *diagnosis) crossAccount() bool {
	stream, err := arn.Parse(d.streamARN())
	role, err2 := arn.Parse(d.role())
	return err == nil && err2 == nil && stream.AccountID != role.AccountID
}

// checkKeyPolicy checks that the key's policy lets the role write.
func (d *diagnosis) checkKeyPolicy(ctx context.Context, client kmsAPI) {
	name := "default" // the only one that a key can have
	out, err := client.GetKeyPolicy(ctx, &kms.GetKeyPolicyInput{KeyId: &d.keyARN, PolicyName: &name})
	if err != nil {
		d.ok("encrypted with the key %s, which is enabled", d.keyARN)
		d.skip("the key's policy", err, "allow yourself kms:GetKeyPolicy on it")
		return
	}
	d.policyResult("the key's policy", value(out.Policy), "kms:GenerateDataKey", "docs/security.md#encryption-keys")
}

// checkStreamPolicy checks the policy of another account's stream.
func (d *diagnosis) checkStreamPolicy(ctx context.Context) {
	if d.stream == nil || !d.crossAccount() {
		return
	}
	const doc = "docs/deploy.md#functions-of-other-accounts"
	out, err := d.kinesis().GetResourcePolicy(ctx, &kinesis.GetResourcePolicyInput{ResourceARN: d.stream.StreamARN})
	switch {
	case err != nil:
		d.skip("the stream's policy, which must allow another account to write", err, "in the stream's account: aws kinesis get-resource-policy --resource-arn "+value(d.stream.StreamARN))
	case value(out.Policy) == "":
		d.add(Error, "the stream has no policy, and the function is in another account", "Kinesis refuses every request", doc)
	default:
		d.policyResult("the stream's policy", value(out.Policy), "kinesis:PutRecords", doc)
	}
}

// policyResult adds what a policy says about the role.
func (d *diagnosis) policyResult(what, document, action, fix string) {
	if d.role() == "" {
		d.skip(what, errors.New("the function's role is not known"), "")
		return
	}
	decision, err := decide(document, d.role(), action)
	switch {
	case err != nil:
		d.skip(what, err, fix)
	case decision == allowed:
		d.ok("%s allows %s to %s, as far as it can be read without its conditions", what, action, d.role())
	case decision == denied:
		d.add(Warning, fmt.Sprintf("%s has a statement that denies %s to %s", what, action, d.role()),
			"unless the statement's conditions exclude the function, Kinesis refuses every request", fix)
	default:
		d.add(Error, fmt.Sprintf("%s does not allow %s to %s", what, action, d.role()), "Kinesis refuses every request", fix)
	}
}

// pointer returns a pointer to a string, or nil for "".
func pointer(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
