package kinetelcdk

import (
	"archive/zip"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/kinetel/kinetel/internal/emf"
	"github.com/kinetel/kinetel/internal/version"
)

// Architecture is an instruction set, by Lambda's name.
type Architecture string

// The architectures of Lambda.
const (
	X86_64 Architecture = "x86_64"
	ARM64  Architecture = "arm64"
)

// zipped is the architecture in the name of a package.
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

// ITelemetryExtension is what functions need to send their telemetry: a TelemetryExtension
// of this app, or one that a TelemetryExtension_From function imports.
type ITelemetryExtension interface {
	constructs.IConstruct
	// Stream returns the stream that functions write to.
	Stream() ITelemetryStream
	// ManagedPolicy returns the policy that lets a role write to the stream; nil if the
	// extension is imported without one.
	ManagedPolicy() awsiam.IManagedPolicy
	// AddTo puts Kinetel on a function: the layer of its architecture, its settings, and
	// the permission of its role to write.
	AddTo(function awslambda.Function, props *AddToProps)
	// Metric returns a metric that Kinetel reports of a function with "emf" in
	// KINETEL_REPORT.
	Metric(function awslambda.IFunction, metricName *string, props *awscloudwatch.MetricOptions) awscloudwatch.Metric
	// MetricEventsLost counts the events of a function that were lost.
	MetricEventsLost(function awslambda.IFunction, props *awscloudwatch.MetricOptions) awscloudwatch.Metric
}

// TelemetryExtensionProps configures which extension functions get, and where it writes.
type TelemetryExtensionProps struct {
	// Stream is required. It may be of another account or region, if you import it.
	Stream ITelemetryStream
	// Packages is the folder with the layers' zip files, which `make package` writes;
	// ../../dist by default, relative to where the app runs.
	Packages string
	// Architectures are those that get a layer; both by default.
	Architectures []Architecture
	// DefaultArchitecture is that of the layer in the parameter PREFIX/extension/arn:
	// X86_64 by default, like Lambda, or the only one of Architectures.
	DefaultArchitecture Architecture
	// ParameterPrefix begins the names of all SSM parameters; by default that of Stream,
	// or /telemetry/kinesis.
	ParameterPrefix string
	// Tags are added to all resources of the construct that can have tags.
	Tags map[string]string
}

// TelemetryExtension is what functions need to send their telemetry.
type TelemetryExtension struct {
	constructs.Construct
	// Layers has the layer of each architecture; nil if the layers' ARNs are in SSM
	// parameters, because the extension is imported with FromParameterPrefix.
	Layers map[Architecture]awslambda.ILayerVersion

	stream ITelemetryStream
	policy awsiam.IManagedPolicy
	prefix string // of the SSM parameters; empty if there are none
}

// NewTelemetryExtension makes the layers, the managed policy and the SSM parameters with
// their ARNs. A new version of Kinetel makes new layers, and the earlier ones stay, so
// that you can roll back.
func NewTelemetryExtension(scope constructs.Construct, id string, props *TelemetryExtensionProps) *TelemetryExtension {
	var p TelemetryExtensionProps
	if props != nil {
		p = *props
	}
	c := checkNew(scope, id)
	p.complete(c)
	c.done()

	e := &TelemetryExtension{
		Layers: make(map[Architecture]awslambda.ILayerVersion, len(p.Architectures)),
		stream: p.Stream,
		prefix: p.ParameterPrefix,
	}
	constructs.NewConstruct_Override(e, scope, &id)
	for _, a := range p.Architectures {
		layer := awslambda.NewLayerVersion(e, jsii.String("Layer-"+string(a)), &awslambda.LayerVersionProps{
			LayerVersionName:        jsii.String("kinesis-telemetry-extension-" + string(a)),
			Description:             jsii.String("Kinetel " + version.Version + ": sends Lambda telemetry to Kinesis"),
			License:                 jsii.String("Apache-2.0"),
			Code:                    awslambda.Code_FromAsset(jsii.String(p.zip(a)), nil),
			CompatibleArchitectures: &[]awslambda.Architecture{a.lambda()},
			RemovalPolicy:           awscdk.RemovalPolicy_RETAIN,
		})
		e.Layers[a] = layer
		parameter(e, "LayerArn-"+string(a), e.prefix+layerParameter(a), layerDescription(a), layer.LayerVersionArn())
	}
	parameter(e, "LayerArn", e.prefix+extensionParameter, layerDescription(p.DefaultArchitecture), e.Layers[p.DefaultArchitecture].LayerVersionArn())
	policy := awsiam.NewManagedPolicy(e, jsii.String("Policy"), &awsiam.ManagedPolicyProps{
		// CloudFormation replaces the policy if its description changes.
		Description: jsii.String("Lets a function send its telemetry to Kinetel's stream"),
	})
	e.stream.GrantWrite(policy)
	e.policy = policy
	parameter(e, "PolicyArn", e.prefix+policyParameter, "The managed policy for the role of a function with Kinetel", policy.ManagedPolicyArn())
	if prefixOf(e.stream) != e.prefix {
		parameter(e, "StreamArn", e.prefix+streamParameter, streamDescription, e.stream.Stream().StreamArn())
	}
	tag(e, p.Tags)
	return e
}

func layerDescription(a Architecture) string {
	return "Kinetel's layer for functions on " + string(a)
}

// prefixOf returns the prefix of the SSM parameter that has a stream's ARN, or nothing.
func prefixOf(stream ITelemetryStream) string {
	if s, ours := stream.(*TelemetryStream); ours {
		return s.prefix
	}
	return ""
}

// Stream implements ITelemetryExtension.
func (e *TelemetryExtension) Stream() ITelemetryStream { return e.stream }

// ManagedPolicy implements ITelemetryExtension.
func (e *TelemetryExtension) ManagedPolicy() awsiam.IManagedPolicy { return e.policy }

// Metric implements ITelemetryExtension.
func (e *TelemetryExtension) Metric(function awslambda.IFunction, metricName *string, props *awscloudwatch.MetricOptions) awscloudwatch.Metric {
	metric := awscloudwatch.NewMetric(&awscloudwatch.MetricProps{
		Namespace:     jsii.String(emf.Namespace),
		MetricName:    metricName,
		DimensionsMap: &map[string]*string{dimension: function.FunctionName()},
	})
	if props == nil {
		return metric
	}
	return metric.With(props)
}

// MetricEventsLost implements ITelemetryExtension.
func (e *TelemetryExtension) MetricEventsLost(function awslambda.IFunction, props *awscloudwatch.MetricOptions) awscloudwatch.Metric {
	p := awscloudwatch.MetricOptions{}
	if props != nil {
		p = *props
	}
	if p.Statistic == nil {
		p.Statistic = jsii.String(sum)
	}
	return e.Metric(function, jsii.String("EventsLost"), &p)
}

// complete checks props and fills in defaults.
func (p *TelemetryExtensionProps) complete(c *check) {
	if p.Stream == nil {
		c.problem("Stream is not set; make a TelemetryStream, or import one with TelemetryStream_FromTelemetryStreamArn")
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
			p.checkZip(c, p.zip(a))
		}
	}
	switch {
	case p.DefaultArchitecture == "" && !slices.Contains(p.Architectures, X86_64):
		p.DefaultArchitecture = p.Architectures[0]
	case p.DefaultArchitecture == "":
		p.DefaultArchitecture = X86_64
	case !slices.Contains(p.Architectures, p.DefaultArchitecture):
		c.problem("DefaultArchitecture is %q, which has no layer; add it to Architectures, or use one of those", p.DefaultArchitecture)
	}

	if p.ParameterPrefix == "" {
		p.ParameterPrefix = prefixOf(p.Stream)
	}
	p.ParameterPrefix = c.prefix(p.ParameterPrefix)
}

func (p *TelemetryExtensionProps) zip(a Architecture) string {
	return filepath.Join(p.Packages, "kinesis-telemetry-extension-"+a.zipped()+".zip")
}

// checkZip checks that a package is a layer with the extension in it: Lambda accepts any
// zip file, and then runs nothing.
func (p *TelemetryExtensionProps) checkZip(c *check, name string) {
	archive, err := zip.OpenReader(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		c.problem("there is no layer's package %s; run `make package` in Kinetel's repository first, or set Packages to its folder", name)
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
