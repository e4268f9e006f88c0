package kinetelcdk

import (
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskinesis"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// ITelemetryStream is a stream for telemetry: a TelemetryStream of this app, or one that
// a TelemetryStream_From function imports.
type ITelemetryStream interface {
	constructs.IConstruct
	// Stream returns the Kinesis data stream, for constructs that read it.
	Stream() awskinesis.IStream
	// GrantWrite allows a role or a function to write to the stream, and to use the
	// stream's customer-managed key for that; nothing else.
	GrantWrite(grantee awsiam.IGrantable) awsiam.Grant
	// Metric returns a metric that Kinesis has for the stream.
	Metric(metricName *string, props *awscloudwatch.MetricOptions) awscloudwatch.Metric
	// MetricWriteProvisionedThroughputExceeded has the records that Kinesis refused because
	// a shard was full. Kinetel sends them again.
	MetricWriteProvisionedThroughputExceeded(props *awscloudwatch.MetricOptions) awscloudwatch.Metric
	// MetricGetRecordsIteratorAgeMilliseconds is how far the slowest consumer is behind.
	MetricGetRecordsIteratorAgeMilliseconds(props *awscloudwatch.MetricOptions) awscloudwatch.Metric
}

// StreamMode is the capacity mode of a stream.
type StreamMode string

const (
	// OnDemand scales by itself. It starts at 4 MB/s, and AWS bills what is written.
	OnDemand StreamMode = "on-demand"
	// Provisioned has ShardCount shards, each for 1 MB/s and 1,000 records/s.
	Provisioned StreamMode = "provisioned"
)

// Encryption is the kind of key that encrypts a stream.
type Encryption string

const (
	// EncryptionAWS is AWS's key for Kinesis, alias/aws/kinesis. It costs nothing.
	// Functions of other accounts cannot use it.
	EncryptionAWS Encryption = "aws"
	// EncryptionCustomer is a customer-managed key.
	EncryptionCustomer Encryption = "customer"
)

// Limits of Kinesis: the retention in hours (API reference,
// IncreaseStreamRetentionPeriod), and the largest shard quota of an account.
const (
	minRetention = 24
	maxRetention = 8760
	maxShards    = 20_000
)

// TelemetryStreamProps configures a stream for telemetry.
type TelemetryStreamProps struct {
	// StreamMode is OnDemand (default) or Provisioned.
	StreamMode StreamMode
	// ShardCount is the number of shards of a provisioned stream, 1 to 20,000. It is
	// required there, and an error on demand.
	ShardCount int
	// RetentionHours is how long the stream keeps records, 24 (default) to 8760.
	RetentionHours int
	// Encryption is EncryptionAWS (default) or EncryptionCustomer.
	Encryption Encryption
	// EncryptionKey encrypts the stream; Encryption is then EncryptionCustomer. By default
	// EncryptionCustomer creates a key with rotation. The CDK cannot change the policy of
	// an imported key: if you set WriterAccounts, you must change it.
	EncryptionKey awskms.IKey
	// WriterAccounts are the ids of other accounts whose functions may write, by the
	// policies of the stream and the key. They need EncryptionCustomer, because nobody
	// can change the policy of AWS's key. Each function also needs the policy of a
	// TelemetryExtension in its own account.
	WriterAccounts []string
	// ParameterPrefix begins the name of the SSM parameter with the stream's ARN,
	// PREFIX/stream/arn; /telemetry/kinesis by default.
	ParameterPrefix string
	// Tags are added to all resources of the construct.
	Tags map[string]string
	// RemovalPolicy says whether the stream and its key are deleted with the stack;
	// RETAIN by default.
	RemovalPolicy awscdk.RemovalPolicy
}

// TelemetryStream is a Kinesis data stream for telemetry.
type TelemetryStream struct {
	constructs.Construct
	stream awskinesis.IStream
	prefix string // of its SSM parameter; empty if it is imported
}

// NewTelemetryStream makes a stream, and the SSM parameter with its ARN.
func NewTelemetryStream(scope constructs.Construct, id string, props *TelemetryStreamProps) *TelemetryStream {
	var p TelemetryStreamProps
	if props != nil {
		p = *props
	}
	c := checkNew(scope, id)
	p.complete(c)
	c.done()

	s := &TelemetryStream{prefix: p.ParameterPrefix}
	constructs.NewConstruct_Override(s, scope, &id)
	if p.Encryption == EncryptionCustomer && p.EncryptionKey == nil {
		p.EncryptionKey = awskms.NewKey(s, jsii.String("Key"), &awskms.KeyProps{
			Description:       jsii.String("Encrypts Kinetel's stream"),
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
	if p.StreamMode == Provisioned {
		stream.StreamMode, stream.ShardCount = awskinesis.StreamMode_PROVISIONED, jsii.Number(p.ShardCount)
	}
	if p.EncryptionKey != nil {
		stream.Encryption, stream.EncryptionKey = awskinesis.StreamEncryption_KMS, p.EncryptionKey
	}
	s.stream = awskinesis.NewStream(s, jsii.String("Stream"), stream)
	if len(p.WriterAccounts) > 0 {
		s.admit(p.WriterAccounts)
	}
	parameter(s, "StreamArn", s.prefix+streamParameter, streamDescription, s.stream.StreamArn())
	tag(s, p.Tags)
	return s
}

// Stream implements ITelemetryStream.
func (s *TelemetryStream) Stream() awskinesis.IStream { return s.stream }

// Metric implements ITelemetryStream.
func (s *TelemetryStream) Metric(metricName *string, props *awscloudwatch.MetricOptions) awscloudwatch.Metric {
	return s.stream.Metric(metricName, props)
}

// MetricWriteProvisionedThroughputExceeded implements ITelemetryStream.
func (s *TelemetryStream) MetricWriteProvisionedThroughputExceeded(props *awscloudwatch.MetricOptions) awscloudwatch.Metric {
	return s.stream.MetricWriteProvisionedThroughputExceeded(props)
}

// MetricGetRecordsIteratorAgeMilliseconds implements ITelemetryStream.
func (s *TelemetryStream) MetricGetRecordsIteratorAgeMilliseconds(props *awscloudwatch.MetricOptions) awscloudwatch.Metric {
	return s.stream.MetricGetRecordsIteratorAgeMilliseconds(props)
}

// complete checks props and fills in defaults.
func (p *TelemetryStreamProps) complete(c *check) {
	switch p.StreamMode {
	case "", OnDemand:
		if p.ShardCount != 0 {
			c.problem("ShardCount is %d, but an on-demand stream scales itself; leave it out or set StreamMode to %q", p.ShardCount, Provisioned)
		}
	case Provisioned:
		if p.ShardCount < 1 || p.ShardCount > maxShards {
			c.problem("ShardCount is %d; a provisioned stream needs 1 to %d shards; the dashboard suggests how many", p.ShardCount, maxShards)
		}
	default:
		c.problem("StreamMode is %q; it must be %q or %q", p.StreamMode, OnDemand, Provisioned)
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
		if p.EncryptionKey != nil {
			p.Encryption = EncryptionCustomer
		}
	case EncryptionAWS:
		if p.EncryptionKey != nil {
			c.problem("Encryption is %q, but there is an EncryptionKey; set Encryption to %q or leave the EncryptionKey out", EncryptionAWS, EncryptionCustomer)
		}
	case EncryptionCustomer:
	default:
		c.problem("Encryption is %q; it must be %q or %q", p.Encryption, EncryptionAWS, EncryptionCustomer)
	}

	if len(p.WriterAccounts) > 0 && p.Encryption == EncryptionAWS {
		c.problem("WriterAccounts is set, but other accounts cannot use AWS's key, whose policy nobody can change; set Encryption to %q", EncryptionCustomer)
	}
	for i, account := range p.WriterAccounts {
		if literal(account) && (len(account) != 12 || strings.Trim(account, "0123456789") != "") {
			c.problem("WriterAccounts has %q; the id of an account is 12 digits, such as 123456789012", account)
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

// admit lets other accounts write. Kinesis checks the policy of the stream, and KMS that
// of the key.
func (s *TelemetryStream) admit(accounts []string) {
	principals := make([]awsiam.IPrincipal, len(accounts))
	for i, account := range accounts {
		principals[i] = awsiam.NewAccountPrincipal(&account)
	}
	s.stream.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("WritersOfOtherAccounts"),
		Principals: &principals,
		Actions:    putActions(),
		Resources:  &[]*string{s.stream.StreamArn()},
	}))
	added := s.stream.EncryptionKey().AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("WritersOfOtherAccounts"),
		Principals: &principals,
		Actions:    jsii.Strings(keyAction),
		Resources:  jsii.Strings("*"), // in the policy of a key, the key
		// The stream refers to its key, so the key cannot refer to the stream.
		Conditions: &map[string]any{"StringEquals": viaKinesis(s.stream.Env().Region, nil)},
	}), jsii.Bool(true))
	if !*added.StatementAdded {
		awscdk.Annotations_Of(s).AddWarningV2(jsii.String("kinetel:imported-key"), jsii.String(
			"the CDK cannot change the policy of an imported key; let it allow "+keyAction+" to "+strings.Join(accounts, ", ")+", or their functions cannot write"))
	}
}
