package kinetelcdk

import (
	"archive/zip"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/version"
)

// Architecture is an instruction set of Lambda's, by its name there.
type Architecture string

// Lambda's architectures.
const (
	X86_64 Architecture = "x86_64"
	ARM64  Architecture = "arm64"
)

// zipped is the part of a package's name that names what it was built for.
func (a Architecture) zipped() string {
	if a == X86_64 {
		return "amd64"
	}
	return string(a)
}

func (a Architecture) lambda() awslambda.Architecture {
	if a == X86_64 {
		return awslambda.Architecture_X86_64()
	}
	return awslambda.Architecture_ARM_64()
}

// executable is where Lambda looks for the extension in a layer.
const executable = "extensions/kinesis-telemetry-extension"

const defaultPackages = "../../dist"

// TelemetryExtensionProps configures which extension functions get, and where to it
// writes. One of Stream and StreamARN is required.
type TelemetryExtensionProps struct {
	// Stream is a stream of the same app.
	Stream *TelemetryStream
	// StreamARN is any other stream, which may be of another account (it must
	// admit this one: TelemetryStreamProps.WriterAccounts) or region.
	StreamARN string
	// KeyARN is the customer-managed key of the stream of StreamARN, if it has
	// one: arn:aws:kms:REGION:ACCOUNT:key/ID, not an alias.
	KeyARN string
	// Packages is the folder that `make package` put the layers' zip files in;
	// ../../dist by default, as seen from where the app runs.
	Packages string
	// Architectures are those to make a layer for; both by default.
	Architectures []Architecture
	// DefaultArchitecture is whose layer the parameter PREFIX/extension/arn
	// names: X86_64 by default, as is Lambda's own, or the only one there is.
	DefaultArchitecture Architecture
	// ParameterPrefix begins the names of all SSM parameters;
	// /telemetry/kinesis by default, or that of Stream.
	ParameterPrefix string
	// Tags go on everything in the construct that takes them.
	Tags map[string]string
}

// TelemetryExtension is what functions need to send their telemetry.
type TelemetryExtension struct {
	// Construct is the parent of all that follows.
	Construct constructs.Construct
	// Layers has the layer of each architecture.
	Layers map[Architecture]awslambda.LayerVersion
	// Policy allows to write to the stream, and nothing else.
	Policy awsiam.ManagedPolicy
	// StreamARN is the stream that functions write to.
	StreamARN *string

	prefix string
}

// NewTelemetryExtension makes the layers, the managed policy and the SSM
// parameters that name them. Earlier versions of the layers stay when a new one
// is deployed, so that it can be rolled back.
func NewTelemetryExtension(scope constructs.Construct, id string, props *TelemetryExtensionProps) *TelemetryExtension {
	var p TelemetryExtensionProps
	if props != nil {
		p = *props
	}
	c := checkNew(scope, id)
	p.complete(c)
	c.done()

	e := &TelemetryExtension{
		Construct: constructs.NewConstruct(scope, &id),
		Layers:    make(map[Architecture]awslambda.LayerVersion, len(p.Architectures)),
		prefix:    p.ParameterPrefix,
	}
	for _, a := range p.Architectures {
		layer := awslambda.NewLayerVersion(e.Construct, jsii.String("Layer-"+string(a)), &awslambda.LayerVersionProps{
			LayerVersionName:        jsii.String("kinesis-telemetry-extension-" + string(a)),
			Description:             jsii.String("Kinetel " + version.Version + ": sends Lambda telemetry to Kinesis"),
			License:                 jsii.String("Apache-2.0"),
			Code:                    awslambda.Code_FromAsset(jsii.String(p.zip(a)), nil),
			CompatibleArchitectures: &[]awslambda.Architecture{a.lambda()},
			RemovalPolicy:           awscdk.RemovalPolicy_RETAIN,
		})
		e.Layers[a] = layer
		parameter(e.Construct, "LayerArn-"+string(a), e.prefix+layerParameter(a), "The layer of Kinetel for "+string(a), layer.LayerVersionArn())
	}
	parameter(e.Construct, "LayerArn", e.prefix+extensionParameter, "The layer of Kinetel for "+string(p.DefaultArchitecture)+", the default", e.Layers[p.DefaultArchitecture].LayerVersionArn())

	var key, region *string
	if p.Stream != nil {
		e.StreamARN, region = p.Stream.Stream.StreamArn(), awscdk.Stack_Of(p.Stream.Construct).Region()
		if p.Stream.Key != nil {
			key = p.Stream.Key.KeyArn()
		}
	} else {
		e.StreamARN = &p.StreamARN
		region = awscdk.Stack_Of(e.Construct).SplitArn(e.StreamARN, awscdk.ArnFormat_SLASH_RESOURCE_NAME).Region
		if p.KeyARN != "" {
			key = &p.KeyARN
		}
	}
	e.Policy = awsiam.NewManagedPolicy(e.Construct, jsii.String("Policy"), &awsiam.ManagedPolicyProps{
		// Another description would be another policy to CloudFormation.
		Description: jsii.String("Lets Kinetel write telemetry to its Kinesis data stream"),
		Statements:  writing(e.StreamARN, key, region),
	})
	parameter(e.Construct, "PolicyArn", e.prefix+policyParameter, "The policy that lets a function's role write Kinetel's telemetry", e.Policy.ManagedPolicyArn())
	if p.Stream == nil || p.Stream.prefix != e.prefix {
		parameter(e.Construct, "StreamArn", e.prefix+streamParameter, "The stream of Kinetel's telemetry", e.StreamARN)
	}
	tag(e.Construct, p.Tags)
	return e
}

// writing is what a function must be allowed to.
func writing(stream, key, region *string) *[]awsiam.PolicyStatement {
	statements := []awsiam.PolicyStatement{awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:       jsii.String("WriteTelemetry"),
		Actions:   jsii.Strings("kinesis:PutRecord", "kinesis:PutRecords"),
		Resources: &[]*string{stream},
	})}
	if key != nil {
		statements = append(statements, awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Sid:        jsii.String("EncryptTelemetry"),
			Actions:    jsii.Strings("kms:GenerateDataKey"),
			Resources:  &[]*string{key},
			Conditions: viaKinesis(region, stream),
		}))
	}
	return &statements
}

// complete checks props and fills in defaults.
func (p *TelemetryExtensionProps) complete(c *check) {
	switch {
	case p.Stream == nil && p.StreamARN == "":
		c.problem("there is no stream to write to; set Stream, or StreamARN for one that is not of this app")
	case p.Stream != nil && p.StreamARN != "":
		c.problem("both Stream and StreamARN=%q are given; set only one of them", p.StreamARN)
	case p.StreamARN != "" && literal(p.StreamARN):
		// The extension itself judges it; it could do with a name, and a policy could not.
		if settings, _ := config.Load([]string{streamVariable + "=" + p.StreamARN}); settings.StreamARN != p.StreamARN {
			c.problem("StreamARN=%q is not a stream's ARN, such as arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry", p.StreamARN)
		}
	}
	if p.KeyARN != "" {
		switch parts := strings.Split(p.KeyARN, ":"); {
		case p.Stream != nil:
			c.problem("KeyARN=%q is given, but the key of Stream is known; leave it out", p.KeyARN)
		case literal(p.KeyARN) && (len(parts) != 6 || parts[0] != "arn" || parts[2] != "kms" || !strings.HasPrefix(parts[5], "key/")):
			c.problem("KeyARN=%q is not a key's ARN (a policy cannot name an alias), such as arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab", p.KeyARN)
		}
	}

	if p.Packages == "" {
		p.Packages = filepath.FromSlash(defaultPackages)
	}
	if len(p.Architectures) == 0 {
		p.Architectures = []Architecture{X86_64, ARM64}
	}
	for i, a := range p.Architectures {
		switch {
		case a != X86_64 && a != ARM64:
			c.problem("Architectures has %q; Lambda has %q and %q", a, X86_64, ARM64)
		case slices.Contains(p.Architectures[:i], a):
			c.problem("Architectures has %q twice; name each once", a)
		default:
			p.look(c, p.zip(a))
		}
	}
	switch {
	case p.DefaultArchitecture == "" && !slices.Contains(p.Architectures, X86_64):
		p.DefaultArchitecture = p.Architectures[0]
	case p.DefaultArchitecture == "":
		p.DefaultArchitecture = X86_64
	case !slices.Contains(p.Architectures, p.DefaultArchitecture):
		c.problem("DefaultArchitecture is %q, of which no layer is made; add it to Architectures, or take one of those", p.DefaultArchitecture)
	}

	if p.ParameterPrefix == "" && p.Stream != nil {
		p.ParameterPrefix = p.Stream.prefix
	}
	p.ParameterPrefix = c.prefix(p.ParameterPrefix)
}

func (p *TelemetryExtensionProps) zip(a Architecture) string {
	return filepath.Join(p.Packages, "kinesis-telemetry-extension-"+a.zipped()+".zip")
}

// look makes sure that a package is a layer with the extension in it: Lambda
// takes any zip file, and then runs nothing.
func (p *TelemetryExtensionProps) look(c *check, name string) {
	archive, err := zip.OpenReader(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.problem("there is no layer's package %s; run `make package` in Kinetel's repository first, or set Packages to where it is", name)
		return
	case err != nil:
		c.problem("the layer's package %s cannot be read: %v; run `make package` again", name, err)
		return
	}
	defer archive.Close()
	for _, f := range archive.File {
		if f.Name == executable && f.Mode().IsRegular() && f.Mode()&0o111 == 0o111 {
			return
		}
	}
	c.problem("the layer's package %s has no executable file %s, and Lambda would run nothing; run `make package` again", name, executable)
}
