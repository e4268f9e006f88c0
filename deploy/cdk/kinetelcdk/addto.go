package kinetelcdk

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
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

// Types of Kinetel's settings. docs/configuration.md has their values: Flush: "end".
type (
	Flush        = flush.Mode
	Format       = format.Name
	Compression  = format.Compression
	PartitionKey = config.PartitionKey
	Spool        = config.Spool
)

// AddToProps configures how Kinetel works in a function. A zero value means Kinetel's
// default.
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

	Level          string   // the least severe function lines to ship, such as "warn"
	Include        string   // ship only function lines that this RE2 pattern matches
	Exclude        string   // do not ship function lines that this RE2 pattern matches
	PlatformEvents []string // to ship, such as "report"; nil: all
	Sample         string   // the share of ordinary invocations whose lines are shipped: "0.05" or "5%"
	SampleKeep     []string // invocations that are always shipped: "error", "timeout", "cold", "slow:500ms", "marked", "none"
	SampleBy       string   // "trace": all functions of a trace decide alike
	SampleMark     string   // an invocation with this text in a line is always shipped
	MaxLines       int64    // of an invocation; its last 100 are shipped besides
	MaxBytes       int64    // of an invocation's lines; its last 100 are shipped besides
	Redact         []string // built-in patterns, such as "email"
	RedactPattern  string   // an RE2 pattern of your own
	RedactKeys     []string // names of JSON members whose values are redacted
	// Environment has further settings by the names of their variables, such as
	// KINETEL_MAX_HOLD or OTEL_SERVICE_NAME.
	Environment map[string]string

	// DenyLogs denies the function's role all of CloudWatch Logs, so that it costs nothing:
	// Lambda then writes neither the function's lines nor its own, and only Kinesis has
	// them. The function cannot use CloudWatch Logs either. It excludes the report "emf",
	// which reaches CloudWatch through the logs.
	DenyLogs bool
	// WithoutPolicy does not change the function's role, for a role that accepts no
	// policies in this app. Attach the managed policy to it yourself.
	WithoutPolicy bool
}

const (
	streamVariable = "KINETEL_STREAM_ARN"
	nameVariable   = "KINETEL_STREAM_NAME"
)

// AddTo implements ITelemetryExtension. The function may be in another stack of the app,
// in the same account and region. AddTo panics with an *Error if Kinetel would not work in
// the function: if it is a container image, if its architecture has no layer, if its role
// accepts no policies, or if Kinetel would refuse or ignore a setting, including settings
// of the function's own environment. Settings that you add to the function later are
// checked when the app is synthesised.
func (e *TelemetryExtension) AddTo(function awslambda.Function, props *AddToProps) {
	var p AddToProps
	if props != nil {
		p = *props
	}
	c := &check{path: *function.Node().Path()}
	if here, there := *awscdk.Stack_Of(e).Environment(), *function.Stack().Environment(); here != there {
		c.problem("the function is deployed to %s, and the extension to %s; a function needs a layer and a policy of its own account and region: make a TelemetryExtension there too, with an imported stream", there, here)
	}
	architecture := e.architecture(function, c)
	settings := p.settings(c)
	present := variables(function)
	for _, name := range slices.Sorted(maps.Keys(present)) {
		switch _, twice := settings[name]; {
		case name == streamVariable || name == nameVariable:
			c.problem("the function already has %s, which AddTo sets; call AddTo once, and remove the variable from the function's environment", name)
		case twice:
			c.problem("the function's environment already has %s; set it in one place", name)
		}
	}
	maps.Copy(present, settings)
	checkVariables(c, function, present, p.DenyLogs)
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
		if role := function.Role(); !acceptsPolicies(role, func() { role.AddToPrincipalPolicy(deny) }) {
			c.problem("DenyLogs needs a role that accepts policies, and the function's role %s is imported and accepts none; deny it logs:* where you make the role", *role.RoleName())
		}
	}
	c.done()
	settings[streamVariable] = *e.stream.Stream().StreamArn()
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		function.AddEnvironment(&name, jsii.String(settings[name]), nil)
	}
	function.AddLayers(e.layer(function, architecture))
	function.Node().AddValidation(&late{function, p.DenyLogs})
}

// architecture returns the architecture of a function, if there is a layer for it.
func (e *TelemetryExtension) architecture(function awslambda.Function, c *check) Architecture {
	if *function.Runtime().Name() == *awslambda.Runtime_FROM_IMAGE().Name() {
		c.problem("the function is a container image, which has no layers; put the extension into the image, as docs/deploy.md shows")
		return ""
	}
	a := Architecture(*function.Architecture().Name())
	if _, ok := e.Layers[a]; !ok && e.Layers != nil {
		c.problem("the function runs on %s, and there is a layer for %s only; add %q to the architectures of the extension, or change the function's",
			a, slices.Collect(maps.Keys(e.Layers)), a)
	}
	return a
}

// layer returns the layer for a function.
func (e *TelemetryExtension) layer(function awslambda.Function, a Architecture) awslambda.ILayerVersion {
	home, stack := awscdk.Stack_Of(e), function.Stack()
	layer, known := e.Layers[a]
	if known && (e.prefix == "" || *stack.Node().Path() == *home.Node().Path()) {
		return layer
	}
	// Another stack must not import the ARN of a layer of this app: a new version has a new
	// ARN, and CloudFormation does not change an export that is in use. It reads the SSM
	// parameter at each deployment instead.
	if known {
		stack.AddStackDependency(home, jsii.String("its parameters have the ARNs of Kinetel's layers"))
	}
	arn := awsssm.StringParameter_ValueForStringParameter(stack, jsii.String(e.prefix+layerParameter(a)), nil)
	return awslambda.LayerVersion_FromLayerVersionArn(function, jsii.String("KinetelLayer"), arn)
}

// settings returns the variables that props set.
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
	p.selection(set, c)

	for _, name := range slices.Sorted(maps.Keys(p.Environment)) {
		switch _, twice := settings[name]; {
		case name == streamVariable || name == nameVariable:
			c.problem("Environment has %s, which AddTo sets; remove it", name)
		case twice:
			c.problem("Environment has %s, which another field of AddToProps sets; set it in one place", name)
		default:
			settings[name] = p.Environment[name]
		}
	}
	return settings
}

// selection sets the variables of selection and redaction.
func (p *AddToProps) selection(set func(name, value string), c *check) {
	list := func(field, name string, values []string) {
		for _, one := range values {
			if strings.Contains(one, ",") {
				c.problem("%s has %q; an element of it may not contain a comma", field, one)
			}
		}
		set(name, strings.Join(values, ","))
	}
	number := func(name string, n int64) {
		if n != 0 {
			set(name, strconv.FormatInt(n, 10))
		}
	}
	set("LEVEL", p.Level)
	set("INCLUDE", p.Include)
	set("EXCLUDE", p.Exclude)
	list("PlatformEvents", "PLATFORM_EVENTS", p.PlatformEvents)
	set("SAMPLE", p.Sample)
	list("SampleKeep", "SAMPLE_KEEP", p.SampleKeep)
	set("SAMPLE_BY", p.SampleBy)
	set("SAMPLE_MARK", p.SampleMark)
	number("MAX_LINES", p.MaxLines)
	number("MAX_BYTES", p.MaxBytes)
	list("Redact", "REDACT", p.Redact)
	set("REDACT_PATTERN", p.RedactPattern)
	list("RedactKeys", "REDACT_KEYS", p.RedactKeys)
}

// variables returns a function's environment at this moment. A value that is not known
// before the deployment is empty.
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

// checkVariables lets the extension's own code read the environment that the function
// will have. A warning about a variable of Kinetel is a problem, too: somebody set it for
// a purpose.
func checkVariables(c *check, function awslambda.Function, variables map[string]string, denyLogs bool) {
	environ := []string{ // from Lambda and AddTo
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
		c.problem("DenyLogs and the report %q exclude each other: it reaches CloudWatch through the function's logs; set KINETEL_REPORT to \"events\", or leave DenyLogs out", "emf")
	}
}

// allow lets a function's role write to the stream.
func (e *TelemetryExtension) allow(role awsiam.IRole, c *check) {
	policy := "a policy that allows writing to the stream"
	if e.prefix != "" {
		policy = "the policy that the SSM parameter " + e.prefix + policyParameter + " has"
	}
	_, owned := role.(awsiam.Role)
	switch {
	case owned && e.policy != nil:
		role.AddManagedPolicy(e.policy)
	case e.Layers == nil: // the key of the stream is not known, so a grant would not be complete
		c.problem("the function's role %s is imported, and so is the extension; attach %s where you make the role, and set WithoutPolicy", *role.RoleName(), policy)
	case !acceptsPolicies(role, func() { e.stream.GrantWrite(role) }):
		c.problem("the function's role %s is imported and accepts no policies; attach %s where you make the role, and set WithoutPolicy", *role.RoleName(), policy)
	}
}

// acceptsPolicies adds a statement to a role, and reports whether the role has it. An
// imported role may ignore it without an error.
func acceptsPolicies(role awsiam.IRole, add func()) bool {
	add()
	_, owned := role.(awsiam.Role)
	return owned || len(*role.Node().Children()) > 0 // its inline policy
}

// late checks a function's environment when the app is synthesised: it may have got more
// variables since AddTo.
type late struct {
	function awslambda.Function
	denyLogs bool
}

// Validate implements constructs.IValidation.
func (l *late) Validate() *[]*string {
	var c check
	checkVariables(&c, l.function, variables(l.function), l.denyLogs)
	all := make([]*string, len(c.problems))
	for i, one := range c.problems {
		all[i] = jsii.String(fmt.Sprintf("kinetel: %s", one))
	}
	return &all
}
