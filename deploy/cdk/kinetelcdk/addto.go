package kinetelcdk

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsssm"
	"github.com/aws/jsii-runtime-go"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/format"
)

// Types of Kinetel's settings; the values of each are in the table of Kinetel's
// README, and another one is refused: Flush: "end".
type (
	Flush        = flush.Mode
	Format       = format.Name
	Compression  = format.Compression
	PartitionKey = config.PartitionKey
	Spool        = config.Spool
)

// AddToProps configures how Kinetel works in a function. What is not set is Kinetel's
// own default.
type AddToProps struct {
	Flush         Flush
	FlushInterval time.Duration // 100ms to 15m
	Format        Format
	Compression   Compression
	PartitionKey  PartitionKey
	Spool         Spool
	Report        string            // "events", "emf", "events,emf" or "off"
	Tags          map[string]string // on every event
	Strict        bool
	// Environment has further settings by their variables' names, such as
	// KINETEL_MAX_HOLD or OTEL_SERVICE_NAME.
	Environment map[string]string

	// DenyLogs denies the function's role all of CloudWatch Logs, so that it
	// costs nothing any more: Lambda then writes neither what the function
	// says nor its own lines, and all of it is in Kinesis alone. The function
	// cannot use CloudWatch Logs itself either. It excludes the report "emf",
	// which reaches CloudWatch by the logs.
	DenyLogs bool
	// WithoutPolicy leaves the function's role as it is, for one that takes no
	// policies from here; attach the managed policy to it where it is made.
	WithoutPolicy bool
}

const (
	streamVariable = "KINETEL_STREAM_ARN"
	nameVariable   = "KINETEL_STREAM_NAME"
)

// AddTo puts Kinetel on a function: the layer of its architecture, its
// settings, and the managed policy on its role. It may be of another stack of
// the app, in the same account and region. It panics with an *Error where the
// function has no use for it: a container image, an architecture without a
// layer, a role that takes no policies, or settings that Kinetel would refuse or
// ignore, including those that the function's own environment has. Settings that
// are added to the function later are judged when the app is synthesised.
func (e *TelemetryExtension) AddTo(function awslambda.Function, props *AddToProps) {
	var p AddToProps
	if props != nil {
		p = *props
	}
	c := &check{path: *function.Node().Path()}
	if here, there := *awscdk.Stack_Of(e.Construct).Environment(), *function.Stack().Environment(); here != there {
		c.problem("the function is deployed to %s, and the extension to %s; layers and policies are of one place: make a TelemetryExtension there too, with StreamARN", there, here)
	}
	architecture := e.architecture(function, c)
	settings := p.settings(c)
	present := variables(function)
	for _, name := range slices.Sorted(maps.Keys(present)) {
		switch _, twice := settings[name]; {
		case name == streamVariable || name == nameVariable:
			c.problem("the function has %s already, which AddTo sets to its own stream's; call AddTo once, and take the variable out of the function's environment", name)
		case twice:
			c.problem("the function's environment has %s already; set it in one place", name)
		}
	}
	maps.Copy(present, settings)
	judge(c, function, present, p.DenyLogs)
	c.done()

	if !p.WithoutPolicy {
		e.allow(function.Role(), c)
	}
	if p.DenyLogs {
		deny := awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
			Sid:       jsii.String("TelemetryGoesToKinesis"),
			Effect:    awsiam.Effect_DENY,
			Actions:   jsii.Strings("logs:*"),
			Resources: jsii.Strings("*"),
		})
		refuseLogs(function.Role(), deny, c)
	}
	c.done()
	settings[streamVariable] = *e.StreamARN
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		function.AddEnvironment(&name, jsii.String(settings[name]), nil)
	}
	e.addLayer(function, architecture)
	function.Node().AddValidation(&late{function, p.DenyLogs})
}

// architecture returns whose layer a function can run.
func (e *TelemetryExtension) architecture(function awslambda.Function, c *check) Architecture {
	if *function.Runtime().Name() == *awslambda.Runtime_FROM_IMAGE().Name() {
		c.problem("the function is a container image, which takes no layers; put the extension into the image, as docs/deploy.md shows")
		return ""
	}
	a := Architecture(*function.Architecture().Name())
	if _, ok := e.Layers[a]; !ok {
		c.problem("the function runs on %s, and there is a layer for %s only; add %q to the extension's Architectures, or change the function's",
			a, slices.Collect(maps.Keys(e.Layers)), a)
	}
	return a
}

// addLayer adds the layer of an architecture.
func (e *TelemetryExtension) addLayer(function awslambda.Function, a Architecture) {
	home, stack := awscdk.Stack_Of(e.Construct), function.Stack()
	if *stack.Node().Path() == *home.Node().Path() {
		function.AddLayers(e.Layers[a])
		return
	}
	// Another stack must not import the layer's ARN: a new version is a new
	// ARN, and CloudFormation does not change an export that is used. It reads
	// the parameter at each deployment instead.
	stack.AddStackDependency(home, jsii.String("its parameters name Kinetel's layers"))
	arn := awsssm.StringParameter_ValueForStringParameter(stack, jsii.String(e.prefix+layerParameter(a)), nil)
	function.AddLayers(awslambda.LayerVersion_FromLayerVersionArn(function, jsii.String("KinetelLayer"), arn))
}

// settings returns the variables that props ask for.
func (p *AddToProps) settings(c *check) map[string]string {
	settings := make(map[string]string)
	set := func(name, value string) {
		if value != "" {
			settings["KINETEL_"+name] = value
		}
	}
	set("FLUSH", string(p.Flush))
	if p.FlushInterval != 0 {
		set("FLUSH_INTERVAL", p.FlushInterval.String())
	}
	set("FORMAT", string(p.Format))
	set("COMPRESSION", string(p.Compression))
	set("PARTITION_KEY", string(p.PartitionKey))
	set("SPOOL", string(p.Spool))
	set("REPORT", p.Report)
	if p.Strict {
		set("STRICT", "true")
	}
	tags := make([]string, 0, len(p.Tags))
	for _, name := range slices.Sorted(maps.Keys(p.Tags)) {
		if strings.ContainsAny(name+p.Tags[name], ",=") {
			c.problem("Tags has %q; neither a name nor its value may contain a comma or an equals sign", name)
		}
		tags = append(tags, name+"="+p.Tags[name])
	}
	set("TAGS", strings.Join(tags, ","))

	for _, name := range slices.Sorted(maps.Keys(p.Environment)) {
		switch _, twice := settings[name]; {
		case name == streamVariable || name == nameVariable:
			c.problem("Environment has %s, which AddTo sets to its own stream's; take it out", name)
		case twice:
			c.problem("Environment has %s, which another field of AddToProps sets; set it in one place", name)
		default:
			settings[name] = p.Environment[name]
		}
	}
	return settings
}

// variables returns a function's environment as it is by now. A value that is
// not known before the deployment is empty.
func variables(function awslambda.Function) map[string]string {
	found := make(map[string]string)
	resource, ok := function.Node().DefaultChild().(awslambda.CfnFunction)
	if !ok {
		return found
	}
	environment, _ := function.Stack().Resolve(resource.Environment()).(map[string]any)
	given, _ := environment["variables"].(map[string]any)
	for name, value := range given {
		found[name], _ = value.(string)
	}
	return found
}

// judge has the extension's own code read the environment that the function
// will have. What it would replace or only warn of is refused as well where it is
// about Kinetel's own variables: they were set for a purpose.
func judge(c *check, function awslambda.Function, variables map[string]string, denyLogs bool) {
	environ := []string{ // what Lambda and AddTo give
		streamVariable + "=arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry",
		"AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=-", "AWS_SECRET_ACCESS_KEY=-",
	}
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		if value := variables[name]; name != streamVariable && name != nameVariable {
			if !literal(value) {
				value = ""
			}
			environ = append(environ, name+"="+value)
		}
	}
	settings, found := config.Load(environ)
	for _, one := range found {
		text := one.String()
		if one.Severity == config.Warning && !strings.HasPrefix(one.Variable, "KINETEL_") || strings.HasPrefix(one.Variable, "OTEL_") { // others read it too
			awscdk.Annotations_Of(function).AddWarningV2(jsii.String("kinetel:"+one.Variable), &text)
			continue
		}
		c.problem("%s", text)
	}
	if denyLogs && settings.Report.EMF {
		c.problem("DenyLogs and the report %q exclude each other: it reaches CloudWatch by the function's logs; set KINETEL_REPORT to \"events\", or leave DenyLogs out", "emf")
	}
}

// An imported role that accepts no policies ignores them without an error. So allow
// and refuseLogs check whether their policy is attached.

// allow attaches the policy to a function's role.
func (e *TelemetryExtension) allow(role awsiam.IRole, c *check) {
	if _, own := role.(awsiam.Role); own {
		role.AddManagedPolicy(e.Policy)
		return
	}
	stack := awscdk.Stack_Of(e.Construct)
	policy := e.Policy.Node().DefaultChild().(awsiam.CfnManagedPolicy) // which names imported roles
	name := stack.Resolve(role.RoleName())
	attached := func() bool {
		names, _ := stack.Resolve(policy.Roles()).([]any)
		return slices.ContainsFunc(names, func(one any) bool { return reflect.DeepEqual(one, name) })
	}
	if attached() { // imported twice, it must not be named twice
		return
	}
	role.AddManagedPolicy(e.Policy)
	if !attached() {
		c.problem("the function's role %v is imported and takes no policies; attach the policy that the SSM parameter %s names to it where it is made, and set WithoutPolicy", name, e.prefix+policyParameter)
	}
}

// refuseLogs adds the statement that denies logs.
func refuseLogs(role awsiam.IRole, deny awsiam.PolicyStatement, c *check) {
	role.AddToPrincipalPolicy(deny)
	if _, own := role.(awsiam.Role); own {
		return
	}
	if len(*role.Node().Children()) == 0 { // an inline policy would be its child
		c.problem("DenyLogs needs a role that takes policies, and the function's role %s is imported and takes none; deny it logs:* where it is made", *role.RoleName())
	}
}

// late judges a function's environment when the app is synthesised: it may have
// got more of it since AddTo.
type late struct {
	function awslambda.Function
	denyLogs bool
}

// Validate implements constructs.IValidation.
func (l *late) Validate() *[]*string {
	var c check
	judge(&c, l.function, variables(l.function), l.denyLogs)
	all := make([]*string, len(c.problems))
	for i, one := range c.problems {
		all[i] = jsii.String(fmt.Sprintf("kinetel: %s", one))
	}
	return &all
}
