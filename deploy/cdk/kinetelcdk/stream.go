package kinetelcdk

import (
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskinesis"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsssm"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// StreamMode is how a stream is scaled.
type StreamMode string

const (
	// OnDemand: Kinesis does. It starts at 4 MB/s and bills by what is written.
	OnDemand StreamMode = "on-demand"
	// Provisioned: ShardCount does, 1 MB/s and 1,000 records/s a shard.
	Provisioned StreamMode = "provisioned"
)

// Encryption is the kind of key that a stream is encrypted with.
type Encryption string

const (
	// EncryptionAWS is AWS's own key for Kinesis, alias/aws/kinesis. It costs
	// nothing, and functions of other accounts cannot write.
	EncryptionAWS Encryption = "aws"
	// EncryptionCustomer is a key of the account's own.
	EncryptionCustomer Encryption = "customer"
)

// Bounds of a stream's retention in hours (Kinesis API reference,
// IncreaseStreamRetentionPeriod).
const (
	minRetention = 24
	maxRetention = 8760
)

// maxShards is far beyond any account's quota; more is a mistake.
const maxShards = 10_000

// TelemetryStreamProps configures the stream that telemetry goes to.
type TelemetryStreamProps struct {
	// Mode is OnDemand (default) or Provisioned.
	Mode StreamMode
	// ShardCount is how many shards a provisioned stream has, at least 1. It
	// is required there, and refused on demand.
	ShardCount int
	// RetentionHours is how long records stay, 24 (default) to 8760.
	RetentionHours int
	// Encryption is EncryptionAWS (default) or EncryptionCustomer.
	Encryption Encryption
	// Key encrypts the stream, and makes Encryption EncryptionCustomer. Without
	// it that makes a key of its own, with rotation. The policy of an imported
	// key cannot be changed from here: with WriterAccounts it must be yours.
	Key awskms.IKey
	// WriterAccounts are ids of other accounts whose functions may write, by
	// the stream's policy and the key's. They need EncryptionCustomer, because
	// the policy of AWS's own key cannot be changed. Each function still needs
	// the policy of a TelemetryExtension in its own account.
	WriterAccounts []string
	// ParameterPrefix begins the name of the SSM parameter that has the
	// stream's ARN, PREFIX/stream/arn; /telemetry/kinesis by default.
	ParameterPrefix string
	// Tags go on everything in the construct.
	Tags map[string]string
	// RemovalPolicy is what becomes of the stream and its own key when they
	// leave the stack; by default they stay (RETAIN).
	RemovalPolicy awscdk.RemovalPolicy
}

// TelemetryStream is a Kinesis data stream for telemetry.
type TelemetryStream struct {
	// Construct is the parent of all that follows.
	Construct constructs.Construct
	// Stream is the stream itself.
	Stream awskinesis.Stream
	// Key encrypts it; nil where that is AWS's own.
	Key awskms.IKey

	prefix string // of its parameter
}

// NewTelemetryStream makes a stream and the SSM parameter with its ARN.
func NewTelemetryStream(scope constructs.Construct, id string, props *TelemetryStreamProps) *TelemetryStream {
	var p TelemetryStreamProps
	if props != nil {
		p = *props
	}
	c := checkNew(scope, id)
	p.complete(c)
	c.done()

	s := &TelemetryStream{Construct: constructs.NewConstruct(scope, &id), Key: p.Key, prefix: p.ParameterPrefix}
	if p.Encryption == EncryptionCustomer && s.Key == nil {
		s.Key = awskms.NewKey(s.Construct, jsii.String("Key"), &awskms.KeyProps{
			Description:       jsii.String("Encrypts Kinetel's telemetry in Kinesis"),
			EnableKeyRotation: jsii.Bool(true),
			RemovalPolicy:     p.RemovalPolicy,
		})
	}
	stream := &awskinesis.StreamProps{
		StreamMode:      awskinesis.StreamMode_ON_DEMAND,
		RetentionPeriod: awscdk.Duration_Hours(jsii.Number(p.RetentionHours)),
		Encryption:      awskinesis.StreamEncryption_MANAGED,
		RemovalPolicy:   p.RemovalPolicy,
	}
	if p.Mode == Provisioned {
		stream.StreamMode, stream.ShardCount = awskinesis.StreamMode_PROVISIONED, jsii.Number(p.ShardCount)
	}
	if s.Key != nil {
		stream.Encryption, stream.EncryptionKey = awskinesis.StreamEncryption_KMS, s.Key
	}
	s.Stream = awskinesis.NewStream(s.Construct, jsii.String("Stream"), stream)
	if len(p.WriterAccounts) > 0 {
		s.admit(p.WriterAccounts)
	}
	parameter(s.Construct, "StreamArn", s.prefix+streamParameter, "The stream of Kinetel's telemetry", s.Stream.StreamArn())
	tag(s.Construct, p.Tags)
	return s
}

// complete checks props and fills in defaults.
func (p *TelemetryStreamProps) complete(c *check) {
	switch p.Mode {
	case "", OnDemand:
		if p.ShardCount != 0 {
			c.problem("ShardCount is %d, but an on-demand stream scales itself; leave it out or set Mode to %q", p.ShardCount, Provisioned)
		}
	case Provisioned:
		if p.ShardCount < 1 || p.ShardCount > maxShards {
			c.problem("ShardCount is %d; a provisioned stream needs at least 1 shard (and at most %d); the dashboard suggests how many", p.ShardCount, maxShards)
		}
	default:
		c.problem("Mode is %q; it must be %q or %q", p.Mode, OnDemand, Provisioned)
	}

	if p.RetentionHours == 0 {
		p.RetentionHours = minRetention
	}
	if p.RetentionHours < minRetention || p.RetentionHours > maxRetention {
		c.problem("RetentionHours is %d; Kinesis keeps records for %d to %d hours", p.RetentionHours, minRetention, maxRetention)
	}

	switch p.Encryption {
	case "":
		p.Encryption = EncryptionAWS
		if p.Key != nil {
			p.Encryption = EncryptionCustomer
		}
	case EncryptionAWS:
		if p.Key != nil {
			c.problem("Encryption is %q, but a Key is given; set it to %q or leave the Key out", EncryptionAWS, EncryptionCustomer)
		}
	case EncryptionCustomer:
	default:
		c.problem("Encryption is %q; it must be %q or %q", p.Encryption, EncryptionAWS, EncryptionCustomer)
	}

	if len(p.WriterAccounts) > 0 && p.Encryption == EncryptionAWS {
		c.problem("WriterAccounts are given, but nobody of another account can use AWS's own key, whose policy cannot be changed; set Encryption to %q", EncryptionCustomer)
	}
	for i, account := range p.WriterAccounts {
		if literal(account) && (len(account) != 12 || strings.Trim(account, "0123456789") != "") {
			c.problem("WriterAccounts has %q; an account's id is 12 digits, such as 123456789012", account)
		}
		if slices.Contains(p.WriterAccounts[:i], account) {
			c.problem("WriterAccounts has %q twice; name each account once", account)
		}
	}
	p.ParameterPrefix = c.prefix(p.ParameterPrefix)
	if p.RemovalPolicy == "" {
		p.RemovalPolicy = awscdk.RemovalPolicy_RETAIN
	}
}

// admit lets other accounts write: Kinesis asks the stream's policy, and KMS
// the key's, on behalf of who writes.
func (s *TelemetryStream) admit(accounts []string) {
	principals := make([]awsiam.IPrincipal, len(accounts))
	for i, account := range accounts {
		principals[i] = awsiam.NewAccountPrincipal(&account)
	}
	s.Stream.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("WriteFromOtherAccounts"),
		Principals: &principals,
		Actions:    jsii.Strings("kinesis:PutRecord", "kinesis:PutRecords"),
		Resources:  &[]*string{s.Stream.StreamArn()},
	}))
	added := s.Key.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("WriteFromOtherAccounts"),
		Principals: &principals,
		Actions:    jsii.Strings("kms:GenerateDataKey"),
		Resources:  jsii.Strings("*"), // in a key's policy, the key
		// The stream names its key, and so the key cannot name the stream.
		Conditions: viaKinesis(awscdk.Stack_Of(s.Construct).Region(), nil),
	}), jsii.Bool(true))
	if !*added.StatementAdded {
		awscdk.Annotations_Of(s.Construct).AddWarningV2(jsii.String("kinetel:imported-key"), jsii.String(
			"the policy of an imported key cannot be changed from here; let it allow kms:GenerateDataKey to "+strings.Join(accounts, ", ")+", or their functions cannot write"))
	}
}

// Names of SSM parameters, behind the prefix; they hold ARNs.
const (
	streamParameter    = "/stream/arn"
	policyParameter    = "/runtime/policy/arn"
	extensionParameter = "/extension/arn" // the layer of the default architecture
)

func layerParameter(a Architecture) string { return "/extension/" + string(a) + "/arn" }

func parameter(scope constructs.Construct, id, name, description string, value *string) awsssm.StringParameter {
	return awsssm.NewStringParameter(scope, &id, &awsssm.StringParameterProps{
		ParameterName: &name,
		Description:   &description,
		StringValue:   value,
	})
}

func tag(scope constructs.Construct, tags map[string]string) {
	for _, name := range slices.Sorted(maps.Keys(tags)) {
		awscdk.Tags_Of(scope).Add(&name, jsii.String(tags[name]), nil)
	}
}
