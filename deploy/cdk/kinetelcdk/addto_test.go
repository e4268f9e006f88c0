package kinetelcdk_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecr"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"

	"github.com/kinetel/kinetel/deploy/cdk/kinetelcdk"
)

func arm(p *awslambda.FunctionProps) { p.Architecture = awslambda.Architecture_ARM_64() }

func withEnvironment(environment map[string]string) func(*awslambda.FunctionProps) {
	return func(p *awslambda.FunctionProps) {
		given := make(map[string]*string)
		for name, value := range environment {
			given[name] = &value
		}
		p.Environment = &given
	}
}

func TestAddTo(t *testing.T) {
	stack := newStack(t)
	e := newExtension(t, stack)
	e.AddTo(newFunction(stack, "Intel"), nil)
	e.AddTo(newFunction(stack, "Arm", arm, withEnvironment(map[string]string{"TABLE": "orders"})), nil)
	got := synth(t, stack)
	for id, layer := range map[string]string{"Intel": "ExtensionLayerx8664531CC65C", "Arm": "ExtensionLayerarm64F09B733F"} {
		function := got.only("AWS::Lambda::Function", id).Properties
		same(t, id, function["Layers"], `[{"Ref":"`+layer+`"}]`)
		want := `{"Variables":{"KINETEL_STREAM_ARN":{"Fn::GetAtt":["Stream862536A4","Arn"]}}}`
		if id == "Arm" {
			want = strings.Replace(want, "{\"KIN", `{"TABLE":"orders","KIN`, 1)
		}
		same(t, id, function["Environment"], want)
		policies := got.only("AWS::IAM::Role", id).Properties["ManagedPolicyArns"].([]any)
		same(t, id, policies[len(policies)-1], `{"Ref":"ExtensionPolicyCBF07F50"}`)
	}
	if strings.Contains(got.text, "Deny") {
		t.Error("something is denied")
	}
}

func TestAddToSettings(t *testing.T) {
	stack := newStack(t)
	e := newExtension(t, stack)
	e.AddTo(newFunction(stack, "Function"), &kinetelcdk.AddToProps{
		Flush: "interval", FlushInterval: 1500 * time.Millisecond, Format: "ndjson", Compression: "zstd", PartitionKey: "request",
		Spool: "always", Report: "events,emf", Strict: true,
		Tags:        map[string]string{"team": "payments", "env": "prod"},
		Environment: map[string]string{"KINETEL_MAX_HOLD": "250ms", "OTEL_SERVICE_NAME": "orders"},
	})
	same(t, "environment", synth(t, stack).only("AWS::Lambda::Function", "").Properties["Environment"], `{"Variables":{
		"KINETEL_STREAM_ARN":{"Fn::GetAtt":["Stream862536A4","Arn"]},
		"KINETEL_FLUSH":"interval","KINETEL_FLUSH_INTERVAL":"1.5s","KINETEL_FORMAT":"ndjson","KINETEL_COMPRESSION":"zstd",
		"KINETEL_PARTITION_KEY":"request","KINETEL_SPOOL":"always","KINETEL_REPORT":"events,emf","KINETEL_STRICT":"true",
		"KINETEL_TAGS":"env=prod,team=payments","KINETEL_MAX_HOLD":"250ms","OTEL_SERVICE_NAME":"orders"}}`)
}

func TestAddToSelectionAndRedaction(t *testing.T) {
	stack := newStack(t)
	newExtension(t, stack).AddTo(newFunction(stack, "Function"), &kinetelcdk.AddToProps{
		Level: "warn", Include: "order", Exclude: `GET /(ping|health)`, PlatformEvents: []string{"report", "start"},
		Sample: "5%", SampleKeep: []string{"error", "slow:500ms"}, SampleBy: "trace", SampleMark: "[keep]", MaxLines: 1000, MaxBytes: 1 << 20,
		Redact: []string{"email", "jwt"}, RedactPattern: `cust-\d+`, RedactKeys: []string{"password", "pin"},
	})
	same(t, "environment", synth(t, stack).only("AWS::Lambda::Function", "").Properties["Environment"], `{"Variables":{
		"KINETEL_STREAM_ARN":{"Fn::GetAtt":["Stream862536A4","Arn"]},
		"KINETEL_LEVEL":"warn","KINETEL_INCLUDE":"order","KINETEL_EXCLUDE":"GET /(ping|health)","KINETEL_PLATFORM_EVENTS":"report,start",
		"KINETEL_SAMPLE":"5%","KINETEL_SAMPLE_KEEP":"error,slow:500ms","KINETEL_SAMPLE_BY":"trace","KINETEL_SAMPLE_MARK":"[keep]",
		"KINETEL_MAX_LINES":"1000","KINETEL_MAX_BYTES":"1048576",
		"KINETEL_REDACT":"email,jwt","KINETEL_REDACT_PATTERN":"cust-\\d+","KINETEL_REDACT_KEYS":"password,pin"}}`)
}

func TestDenyLogs(t *testing.T) {
	stack := newStack(t)
	newExtension(t, stack).AddTo(newFunction(stack, "Function"), &kinetelcdk.AddToProps{DenyLogs: true, Report: "events"})
	same(t, "policy", statements(t, synth(t, stack).only("AWS::IAM::Policy", "Function").Properties["PolicyDocument"]),
		`[{"Sid":"TelemetryGoesToKinesis","Effect":"Deny","Action":"logs:*","Resource":"*"}]`)
}

// A function of another stack finds its layer by the parameter, because an
// export that is imported could never change.
func TestAddToAcrossStacks(t *testing.T) {
	stack := newStack(t)
	e := newExtension(t, stack)
	other := awscdk.NewStack(awscdk.App_Of(stack), jsii.String("Other"), nil)
	for _, id := range []string{"One", "Two"} {
		e.AddTo(newFunction(other, id, arm), nil)
	}
	got := synth(t, other)
	same(t, "layers", got.only("AWS::Lambda::Function", "One").Properties["Layers"], `[{"Ref":"SsmParameterValuetelemetrykinesisextensionarm64arnC96584B6F00A464EAD1953AFF4B05118Parameter"}]`)
	same(t, "layers", got.only("AWS::Lambda::Function", "Two").Properties["Layers"], `[{"Ref":"SsmParameterValuetelemetrykinesisextensionarm64arnC96584B6F00A464EAD1953AFF4B05118Parameter"}]`)
	got.HasParameter(jsii.String("SsmParameterValuetelemetrykinesisextensionarm64arnC96584B6F00A464EAD1953AFF4B05118Parameter"),
		map[string]any{"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/telemetry/kinesis/extension/arm64/arn"})
	exports := jsonOf(t, synth(t, stack).FindOutputs(jsii.String("*"), nil))
	if strings.Contains(exports, "ExtensionLayer") || !strings.Contains(exports, "ExtensionPolicy") {
		t.Errorf("exports: %s", exports)
	}
}

// The parameter must be there first, also where nothing else joins the stacks.
func TestStacksAreDeployedInOrder(t *testing.T) {
	app := newApp(t, nil)
	stack, other := awscdk.NewStack(app, jsii.String("Stack"), nil), awscdk.NewStack(app, jsii.String("Other"), nil)
	e := kinetelcdk.NewTelemetryExtension(stack, "Extension", &kinetelcdk.TelemetryExtensionProps{
		Stream: kinetelcdk.TelemetryStream_FromTelemetryStreamArn(stack, "Stream", "arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry"), Packages: packages(t),
	})
	e.AddTo(newFunction(other, "Function"), &kinetelcdk.AddToProps{WithoutPolicy: true})
	if d := *other.Dependencies(); len(d) != 1 || *d[0].StackName() != "Stack" {
		t.Errorf("the other stack depends on %d stacks, want that with the parameters", len(d))
	}
}

func TestAddToAnImportedRole(t *testing.T) {
	stack := newStack(t)
	e := newExtension(t, stack)
	imported := func(name string, mutable bool) func(*awslambda.FunctionProps) {
		return func(p *awslambda.FunctionProps) {
			p.Role = awsiam.Role_FromRoleArn(stack, &name, jsii.String("arn:aws:iam::123456789012:role/"+name), &awsiam.FromRoleArnOptions{Mutable: &mutable})
		}
	}
	e.AddTo(newFunction(stack, "One", imported("open", true)), nil)
	e.AddTo(newFunction(stack, "Two", func(p *awslambda.FunctionProps) {
		p.Role = awsiam.Role_FromRoleName(stack, jsii.String("again"), jsii.String("open"), nil)
	}), nil)
	refused(t, "Stack/Three", func() { e.AddTo(newFunction(stack, "Three", imported("closed", false)), nil) },
		"the function's role closed is imported and accepts no policies; attach the policy that the SSM parameter /telemetry/kinesis/runtime/policy/arn has where you make the role, and set WithoutPolicy")
	e.AddTo(newFunction(stack, "Four", imported("elsewhere", false)), &kinetelcdk.AddToProps{WithoutPolicy: true})
	refused(t, "Stack/Five", func() {
		e.AddTo(newFunction(stack, "Five", imported("shut", false)), &kinetelcdk.AddToProps{WithoutPolicy: true, DenyLogs: true})
	}, "DenyLogs needs a role that accepts policies, and the function's role shut is imported and accepts none; deny it logs:* where you make the role")

	got := synth(t, stack)
	for _, id := range []string{"open", "again"} { // one role, imported twice
		policy := got.only("AWS::IAM::Policy", id+"Policy").Properties
		same(t, id, []any{policy["Roles"], statements(t, policy["PolicyDocument"])}, `[["open"],
			[{"Effect":"Allow","Action":["kinesis:PutRecord","kinesis:PutRecords"],"Resource":{"Fn::GetAtt":["Stream862536A4","Arn"]}}]]`)
	}
	got.ResourceCountIs(jsii.String("AWS::IAM::Policy"), jsii.Number(2))
	if got.only("AWS::Lambda::Function", "Four").Properties["Layers"] == nil {
		t.Error("the function without the policy has no layer")
	}
}

func TestAddToRefusals(t *testing.T) {
	stack := newStack(t)
	e := newExtension(t, stack, kinetelcdk.ARM64)
	image := awslambda.NewDockerImageFunction(stack, jsii.String("Image"), &awslambda.DockerImageFunctionProps{
		Code:         awslambda.DockerImageCode_FromEcr(awsecr.Repository_FromRepositoryName(stack, jsii.String("Repository"), jsii.String("app")), nil),
		Architecture: awslambda.Architecture_ARM_64(),
	})
	refused(t, "Stack/Image", func() { e.AddTo(image, nil) },
		"the function is a container image, which has no layers; put the extension into the image, as docs/deploy.md shows")
	refused(t, "Stack/Intel", func() { e.AddTo(newFunction(stack, "Intel"), nil) },
		`the function runs on x86_64, and there is a layer for [arm64] only; add "x86_64" to the architectures of the extension, or change the function's`)
	twice := newFunction(stack, "Twice", arm)
	e.AddTo(twice, nil)
	refused(t, "Stack/Twice", func() { e.AddTo(twice, nil) },
		"the function already has KINETEL_STREAM_ARN, which AddTo sets; call AddTo once, and remove the variable from the function's environment")

	const unshipped = "; until you correct it, no function or extension line is shipped"
	for i, one := range []struct {
		given    map[string]string // the function's own environment
		props    kinetelcdk.AddToProps
		problems []string
	}{
		{nil, kinetelcdk.AddToProps{Environment: map[string]string{"KINETEL_FLUHS": "end"}}, []string{
			"KINETEL_FLUHS: is not a variable of this version and is ignored; did you mean KINETEL_FLUSH?",
		}},
		{map[string]string{"KINETEL_FLUHS": "end"}, kinetelcdk.AddToProps{}, []string{
			"KINETEL_FLUHS: is not a variable of this version and is ignored; did you mean KINETEL_FLUSH?",
		}},
		{nil, kinetelcdk.AddToProps{Flush: "often", Format: "xml", Compression: "br", PartitionKey: "shard", Spool: "yes", Report: "mail", FlushInterval: time.Hour}, []string{
			`KINETEL_FORMAT="xml": must be ndjson, json, otlp, cloudwatch or kpl`,
			`KINETEL_COMPRESSION="br": must be gzip, zstd or none`,
			`KINETEL_PARTITION_KEY="shard": must be environment, request, function or random`,
			`KINETEL_FLUSH="often": must be adaptive, end or interval`,
			`KINETEL_FLUSH_INTERVAL="1h0m0s": must be a duration with its unit, from 100ms to 15m0s, such as 10s or 250ms`,
			`KINETEL_SPOOL="yes": must be overflow, off or always`,
			`KINETEL_REPORT="mail": must be a comma-separated list of events and emf, or off alone`,
		}},
		{nil, kinetelcdk.AddToProps{Level: "loud", Include: "(", Sample: "2", SampleBy: "user", MaxLines: -1, PlatformEvents: []string{"end"}}, []string{
			`KINETEL_LEVEL="loud": must be trace, debug, info, warn, error, fatal or none`,
			`KINETEL_INCLUDE="(": must be a regular expression of Go (RE2), without lookaround and backreferences: missing closing ): "("`,
			`KINETEL_PLATFORM_EVENTS="end": "end" is not a type that Kinetel knows; it is selected nevertheless, because Lambda adds types; known are all, none, logsDropped, initStart, initRuntimeDone, initReport, restoreStart, restoreRuntimeDone, restoreReport, start, runtimeDone, report, fault, extension, telemetrySubscription`,
			`KINETEL_SAMPLE="2": must be the share of ordinary invocations to keep, from 0 to 1, such as 0.05 or 5%`,
			`KINETEL_SAMPLE_BY="user": must be request or trace`,
			`KINETEL_MAX_LINES="-1": must be a whole number of lines, such as 1000, or none; the last 100 lines of an invocation are shipped besides`,
			`KINETEL_SAMPLE_BY="user": has no effect without a KINETEL_SAMPLE below 1`,
		}},
		{nil, kinetelcdk.AddToProps{Redact: []string{"ssn"}, RedactPattern: "a(?=b)", RedactKeys: []string{"pin,puk", "first name"}}, []string{
			`RedactKeys has "pin,puk"; an element of it may not contain a comma`,
			`KINETEL_REDACT="ssn": "ssn" is not a built-in pattern; must be a comma-separated list of email, credit-card, aws-key, jwt, ipv4, ipv6, phone, iban, bearer or password-in-url` + unshipped,
			`KINETEL_REDACT_PATTERN="a(?=b)": must be a regular expression of Go (RE2), without lookaround and backreferences: invalid or unsupported Perl syntax: "(?="` + unshipped,
			`KINETEL_REDACT_KEYS="pin,puk,first name": element 3 cannot be used; must be a comma-separated list of at most 64 names of JSON members, each of at most 128 bytes and without blanks, quotes, brackets and :=&+/*?` + unshipped,
		}},
		{nil, kinetelcdk.AddToProps{Format: "cloudwatch", Compression: "zstd"}, []string{
			`KINETEL_COMPRESSION="zstd": has no effect with KINETEL_FORMAT=cloudwatch, which is always gzip: consumers of subscription filters read gzip`,
		}},
		{nil, kinetelcdk.AddToProps{Tags: map[string]string{"a": "b,c=d"}}, []string{
			`Tags has "a"; neither a name nor its value may contain a comma or an equals sign`,
		}},
		{nil, kinetelcdk.AddToProps{Flush: "end", Environment: map[string]string{"KINETEL_FLUSH": "end"}}, []string{
			"Environment has KINETEL_FLUSH, which another field of AddToProps sets; set it in one place",
		}},
		{map[string]string{"KINETEL_FLUSH": "end"}, kinetelcdk.AddToProps{Flush: "end"}, []string{
			"the function's environment already has KINETEL_FLUSH; set it in one place",
		}},
		{nil, kinetelcdk.AddToProps{Environment: map[string]string{"KINETEL_STREAM_NAME": "x"}}, []string{
			"Environment has KINETEL_STREAM_NAME, which AddTo sets; remove it",
		}},
		{map[string]string{"KINETEL_STREAM_NAME": "x"}, kinetelcdk.AddToProps{}, []string{
			"the function already has KINETEL_STREAM_NAME, which AddTo sets; call AddTo once, and remove the variable from the function's environment",
		}},
		{nil, kinetelcdk.AddToProps{DenyLogs: true, Report: "events,emf"}, []string{
			`DenyLogs and the report "emf" exclude each other: it reaches CloudWatch through the function's logs; set KINETEL_REPORT to "events", or leave DenyLogs out`,
		}},
		{map[string]string{"KINETEL_REPORT": "emf"}, kinetelcdk.AddToProps{DenyLogs: true}, []string{
			`DenyLogs and the report "emf" exclude each other: it reaches CloudWatch through the function's logs; set KINETEL_REPORT to "events", or leave DenyLogs out`,
		}},
	} {
		id := fmt.Sprintf("Function%d", i)
		function := newFunction(stack, id, arm, withEnvironment(one.given))
		refused(t, "Stack/"+id, func() { e.AddTo(function, &one.props) }, one.problems...)
	}
}

func TestAddToInAnotherRegion(t *testing.T) {
	app := newApp(t, nil)
	in := func(id, region string) awscdk.Stack {
		return awscdk.NewStack(app, &id, &awscdk.StackProps{Env: &awscdk.Environment{Account: jsii.String("111122223333"), Region: &region}})
	}
	e, function := newExtension(t, in("Stack", "eu-west-1")), newFunction(in("Other", "us-east-1"), "Function")
	refused(t, "Other/Function", func() { e.AddTo(function, nil) },
		"the function is deployed to aws://111122223333/us-east-1, and the extension to aws://111122223333/eu-west-1; a function needs a layer and a policy of its own account and region: make a TelemetryExtension there too, with an imported stream")
}

// What other programs read as well is not Kinetel's to refuse.
func TestVariablesOfOtherToolsOnlyCauseWarnings(t *testing.T) {
	stack := newStack(t)
	newExtension(t, stack).AddTo(newFunction(stack, "Function", withEnvironment(map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "nothing"})), nil)
	warned(t, stack, "/Stack/Function", "OTEL_RESOURCE_ATTRIBUTES")
}

// A value that is known only at the deployment is taken as it is.
func TestAddToWithTokens(t *testing.T) {
	stack := newStack(t)
	region := *stack.Region()
	newExtension(t, stack).AddTo(newFunction(stack, "Function", withEnvironment(map[string]string{"HOME_REGION": region})), &kinetelcdk.AddToProps{
		Environment: map[string]string{"KINETEL_FLUSH": region},
	})
	synth(t, stack).has("AWS::Lambda::Function", map[string]any{"Environment": map[string]any{"Variables": map[string]any{
		"HOME_REGION": map[string]any{"Ref": "AWS::Region"}, "KINETEL_FLUSH": map[string]any{"Ref": "AWS::Region"},
	}}})
}

// Settings that come after AddTo are judged when the app is synthesised.
func TestLateSettings(t *testing.T) {
	for name, one := range map[string]struct {
		late kinetelcdk.AddToProps
		want string
	}{
		"unknown": {kinetelcdk.AddToProps{Environment: map[string]string{"KINETEL_FLUHS": "end"}}, "KINETEL_FLUHS: is not a variable"},
		"emf":     {kinetelcdk.AddToProps{DenyLogs: true, Environment: map[string]string{"KINETEL_REPORT": "emf"}}, `DenyLogs and the report "emf" exclude each other`},
		"none":    {kinetelcdk.AddToProps{DenyLogs: true, Environment: map[string]string{"KINETEL_REPORT": "events"}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			stack := newStack(t)
			function := newFunction(stack, "Function")
			newExtension(t, stack).AddTo(function, &kinetelcdk.AddToProps{DenyLogs: one.late.DenyLogs})
			for name, value := range one.late.Environment {
				function.AddEnvironment(&name, &value, nil)
			}
			defer func() {
				said := fmt.Sprint(recover())
				if one.want == "" && said != "<nil>" || !strings.Contains(said, one.want) {
					t.Errorf("the synthesis said %s, want %q", said, one.want)
				}
			}()
			synth(t, stack)
		})
	}
}
