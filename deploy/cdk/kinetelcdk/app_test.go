package kinetelcdk_test

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/kinetel/kinetel/deploy/cdk/kinetelcdk"
	"github.com/kinetel/kinetel/deploy/cdk/stacks"
	"github.com/kinetel/kinetel/internal/version"
)

var update = flag.Bool("update", false, "write the templates in testdata anew")

// The app's tests are here, with the library's, so that they share its kernel.

// apps are those whose templates are looked at: the default, and everything in
// another way.
var apps = map[string]map[string]any{
	"default": {},
	"all": {
		"kinetel:mode": "provisioned", "kinetel:shards": 2, "kinetel:retentionHours": "168",
		"kinetel:encryption": "customer", "kinetel:writerAccounts": "111122223333, 444455556666",
		"kinetel:delivery":      "s3-partitioned",
		"kinetel:alarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:alarms", "kinetel:tags": "team=payments,env=prod",
	},
	"delivery": {"kinetel:delivery": "s3", "kinetel:sampleArchitecture": "x86_64", "kinetel:defaultArchitecture": "arm64"},
}

// newKinetelApp makes the app with stand-ins for what is built.
func newKinetelApp(t *testing.T, context map[string]any) awscdk.App {
	t.Helper()
	code := t.TempDir()
	if err := os.WriteFile(filepath.Join(code, "bootstrap"), []byte("stand-in"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := map[string]any{"kinetel:packages": packages(t), "kinetel:sampleCode": code}
	for name, value := range context {
		all[name] = value
	}
	app := newApp(t, all)
	stacks.Add(app)
	return app
}

func stackOf(t *testing.T, app awscdk.App, name string) awscdk.Stack {
	t.Helper()
	stack, ok := app.Node().FindChild(&name).(awscdk.Stack)
	if !ok {
		t.Fatalf("no stack %s", name)
	}
	return stack
}

var assetHash = regexp.MustCompile(`[0-9a-f]{64}`)

// TestTemplates holds the templates against those in testdata. A change of them
// is to be looked at, then written with -update.
func TestTemplates(t *testing.T) {
	for name, context := range apps {
		app := newKinetelApp(t, context)
		for _, stack := range []string{stacks.Telemetry, stacks.Sample} {
			text := assetHash.ReplaceAllString(synth(t, stackOf(t, app, stack)).text, "ASSET") + "\n"
			text = strings.ReplaceAll(text, "Kinetel "+version.Version, "Kinetel VERSION")
			golden := filepath.Join("testdata", name+"-"+stack+".json")
			if *update {
				if err := errors.Join(os.MkdirAll("testdata", 0o755), os.WriteFile(golden, []byte(text), 0o644)); err != nil {
					t.Fatal(err)
				}
				continue
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if text != string(want) {
				t.Errorf("%s: %s\nif that is right, run go test ./kinetelcdk -run TestTemplates -update", golden, firstDifference(text, string(want)))
			}
		}
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d is\n%s\nwant\n%s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// atRest has for each type of resource what shows that it is encrypted, or that
// there is nothing to encrypt. A type that is not here fails the test, so that
// somebody thinks of it.
var atRest = map[string]func(properties map[string]any) bool{
	"AWS::Kinesis::Stream": func(p map[string]any) bool { return at(p, "StreamEncryption", "EncryptionType") == "KMS" },
	"AWS::KMS::Key":        func(p map[string]any) bool { return p["EnableKeyRotation"] == true },
	"AWS::S3::Bucket": func(p map[string]any) bool {
		rules, _ := at(p, "BucketEncryption", "ServerSideEncryptionConfiguration").([]any)
		return len(rules) == 1 && at(rules[0], "ServerSideEncryptionByDefault", "SSEAlgorithm") == "AES256"
	},
	// Keeps nothing: it is the stream and the bucket that do.
	"AWS::KinesisFirehose::DeliveryStream": func(p map[string]any) bool { return p["DeliveryStreamType"] == "KinesisStreamAsSource" },
	// CloudWatch Logs and Lambda encrypt what they keep without being asked.
	"AWS::Logs::LogGroup":       nil,
	"AWS::Logs::LogStream":      nil,
	"AWS::Lambda::Function":     nil,
	"AWS::Lambda::LayerVersion": nil,
	// Names and ARNs, no telemetry.
	"AWS::SSM::Parameter":          nil,
	"AWS::IAM::Role":               nil,
	"AWS::IAM::Policy":             nil,
	"AWS::IAM::ManagedPolicy":      nil,
	"AWS::Kinesis::ResourcePolicy": nil,
	"AWS::S3::BucketPolicy":        nil,
	"AWS::CloudWatch::Alarm":       nil,
	"AWS::CloudWatch::Dashboard":   nil,
	"AWS::Glue::Database":          nil,
	"AWS::Glue::Table":             nil,
}

// at returns what lies under the names, or nil.
func at(v any, path ...string) any {
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

// policyOf is the property in which each type of resource has a policy.
var policyOf = map[string][]string{
	"AWS::IAM::Policy":             {"PolicyDocument"},
	"AWS::IAM::ManagedPolicy":      {"PolicyDocument"},
	"AWS::KMS::Key":                {"KeyPolicy"},
	"AWS::Kinesis::ResourcePolicy": {"ResourcePolicy"},
	"AWS::S3::BucketPolicy":        {"PolicyDocument"},
}

// allows returns the statements of a resource that allow something.
func allows(t *testing.T, r resource) (list []map[string]any) {
	t.Helper()
	var all []any
	if path, ok := policyOf[r.Type]; ok {
		all = append(all, statements(t, at(r.Properties, path...))...)
	}
	if r.Type == "AWS::IAM::Role" {
		all = append(all, statements(t, r.Properties["AssumeRolePolicyDocument"])...)
		inline, _ := r.Properties["Policies"].([]any)
		for _, one := range inline {
			all = append(all, statements(t, at(one, "PolicyDocument"))...)
		}
	}
	for _, one := range all {
		if s := one.(map[string]any); s["Effect"] == "Allow" {
			list = append(list, s)
		}
	}
	return list
}

// TestSecurity looks at every template of the app as a reviewer would.
func TestSecurity(t *testing.T) {
	seen := make(map[string]int)
	for name, context := range apps {
		app := newKinetelApp(t, context)
		for _, stack := range []string{stacks.Telemetry, stacks.Sample} {
			got := synth(t, stackOf(t, app, stack))
			for id, r := range got.resources {
				where := name + "/" + stack + "/" + id
				seen[r.Type]++
				check, known := atRest[r.Type]
				if !known {
					t.Errorf("%s is a %s, and atRest has no entry for it", where, r.Type)
				} else if check != nil && !check(r.Properties) {
					t.Errorf("%s is not encrypted: %v", where, r.Properties)
				}
				checkStatements(t, where, r)
				switch r.Type {
				case "AWS::S3::Bucket":
					checkBucket(t, where, id, r, got)
				case "AWS::Logs::LogGroup":
					if days, _ := r.Properties["RetentionInDays"].(float64); days < 1 {
						t.Errorf("%s keeps logs for ever", where)
					}
				case "AWS::Lambda::Function":
					if at(r.Properties, "LoggingConfig", "LogGroup") == nil || at(r.Properties, "LoggingConfig", "LogFormat") != "JSON" {
						t.Errorf("%s logs elsewhere or as text: %v", where, r.Properties["LoggingConfig"])
					}
				case "AWS::IAM::Role":
					if arns := jsonOf(t, r.Properties["ManagedPolicyArns"]); strings.Contains(arns, ":iam::aws:") {
						t.Errorf("%s has policies of AWS's, which allow more than is needed: %s", where, arns)
					}
				}
			}
		}
	}
	for kind := range atRest {
		if seen[kind] == 0 {
			t.Errorf("no app here has a %s", kind)
		}
	}
}

func checkStatements(t *testing.T, where string, r resource) {
	t.Helper()
	for _, s := range allows(t, r) {
		// The account manages its own key. Without this statement, which is
		// AWS's default, nobody could, and no IAM policy would count.
		administration := r.Type == "AWS::KMS::Key" && s["Action"] == "kms:*" &&
			reflect.DeepEqual(at(s, "Principal", "AWS", "Fn::Join"), []any{"", []any{"arn:", map[string]any{"Ref": "AWS::Partition"}, ":iam::", map[string]any{"Ref": "AWS::AccountId"}, ":root"}})
		if !administration && strings.Contains(jsonOf(t, s["Action"]), "*") {
			t.Errorf("%s allows any action: %v", where, s)
		}
		if principal := jsonOf(t, s["Principal"]); strings.Contains(principal, "*") {
			t.Errorf("%s allows anybody: %v", where, s)
		}
		if s["NotAction"] != nil || s["NotResource"] != nil || s["NotPrincipal"] != nil {
			t.Errorf("%s allows all but something: %v", where, s)
		}
		resources, isList := s["Resource"].([]any)
		if !isList {
			resources = []any{s["Resource"]}
		}
		for _, one := range resources {
			text := jsonOf(t, one)
			switch {
			case !strings.Contains(text, "*"):
			case r.Type == "AWS::KMS::Key" && text == `"*"`: // in a key's policy, that key
			case strings.HasSuffix(text, `"Arn"]},"/*"]]}`) && strings.Contains(jsonOf(t, s["Action"]), "s3:PutObject"): // the objects of one bucket
			default:
				t.Errorf("%s allows something on any resource: %v", where, s)
			}
		}
	}
}

func checkBucket(t *testing.T, where, id string, r resource, in *template) {
	t.Helper()
	same(t, where+" is not public", r.Properties["PublicAccessBlockConfiguration"],
		`{"BlockPublicAcls":true,"BlockPublicPolicy":true,"IgnorePublicAcls":true,"RestrictPublicBuckets":true}`)
	encrypted, modern := false, false
	for _, policy := range in.resources {
		if policy.Type != "AWS::S3::BucketPolicy" || at(policy.Properties, "Bucket", "Ref") != id {
			continue
		}
		for _, one := range statements(t, policy.Properties["PolicyDocument"]) {
			s := one.(map[string]any)
			if s["Effect"] == "Deny" && s["Action"] == "s3:*" && at(s, "Principal", "AWS") == "*" && len(s["Resource"].([]any)) == 2 {
				encrypted = encrypted || at(s, "Condition", "Bool", "aws:SecureTransport") == "false"
				modern = modern || at(s, "Condition", "NumericLessThan", "s3:TlsVersion") == 1.2
			}
		}
	}
	if !encrypted || !modern {
		t.Errorf("%s can be read without TLS 1.2", where)
	}
}

// Everything that can have tags has those of the app.
func TestTags(t *testing.T) {
	for name, context := range apps {
		app := newKinetelApp(t, context)
		want := `{"application":"kinetel"}`
		if name == "all" {
			want = `{"application":"kinetel","env":"prod","team":"payments"}`
		}
		for _, stackName := range []string{stacks.Telemetry, stacks.Sample} {
			stack, taggable := stackOf(t, app, stackName), 0
			got := synth(t, stack)
			same(t, stackName, stack.Tags().TagValues(), want)
			for _, one := range *stack.Node().FindAll(constructs.ConstructOrder_PREORDER) {
				resource, ok := one.(awscdk.CfnResource)
				if !ok || !*awscdk.TagManager_IsTaggable(resource) && !*awscdk.TagManager_IsTaggableV2(resource) {
					continue
				}
				taggable++
				id := fmt.Sprint(stack.Resolve(resource.LogicalId()))
				same(t, id, tagsOf(got.resources[id].Properties["Tags"]), want)
			}
			if taggable < 3 {
				t.Errorf("%s has %d resources that take tags, which are too few to be right", stackName, taggable)
			}
		}
	}
}

// The last value of a tag counts, also of application.
func TestTagsAreOverridden(t *testing.T) {
	app := newKinetelApp(t, map[string]any{"kinetel:tags": "team=payments,application=shop,team=orders"})
	stream := synth(t, stackOf(t, app, stacks.Telemetry)).only("AWS::Kinesis::Stream", "")
	same(t, "tags", tagsOf(stream.Properties["Tags"]), `{"application":"shop","team":"orders"}`)
}

// tagsOf returns tags by name; some types have them as a map, others as a list.
func tagsOf(tags any) any {
	list, ok := tags.([]any)
	if !ok {
		return tags
	}
	named := make(map[string]any)
	for _, one := range list {
		named[fmt.Sprint(at(one, "Key"))] = at(one, "Value")
	}
	return named
}

func TestSample(t *testing.T) {
	for name, want := range map[string]string{
		"default":  `["arm64",{"KINETEL_REPORT":"events,emf"}]`,
		"all":      `["arm64",{"KINETEL_REPORT":"events,emf","KINETEL_COMPRESSION":"none"}]`,
		"delivery": `["x86_64",{"KINETEL_REPORT":"events,emf"}]`,
	} {
		app := newKinetelApp(t, apps[name])
		got := synth(t, stackOf(t, app, stacks.Sample))
		function := got.only("AWS::Lambda::Function", "").Properties
		variables := at(function, "Environment", "Variables").(map[string]any)
		if at(variables["KINETEL_STREAM_ARN"], "Fn::ImportValue") == nil {
			t.Errorf("%s: the sample writes to %v", name, variables["KINETEL_STREAM_ARN"])
		}
		delete(variables, "KINETEL_STREAM_ARN")
		same(t, name, []any{function["Architectures"].([]any)[0], variables}, want)
		same(t, name, []any{function["Runtime"], function["Handler"], at(function, "LoggingConfig", "LogFormat"), got.only("AWS::Logs::LogGroup", "").Properties["RetentionInDays"]},
			`["provided.al2023","bootstrap","JSON",1]`)
	}
}

func TestAppWithoutSample(t *testing.T) {
	app := newKinetelApp(t, map[string]any{"kinetel:sample": "false", "kinetel:sampleCode": "nowhere"})
	if app.Node().TryFindChild(jsii.String(stacks.Sample)) != nil {
		t.Error("there is a sample")
	}
}

// Values in the context reach the constructs.
func TestContext(t *testing.T) {
	got := synth(t, stackOf(t, newKinetelApp(t, apps["all"]), stacks.Telemetry))
	got.has("AWS::Kinesis::Stream", map[string]any{"ShardCount": 2, "RetentionPeriodHours": 168, "StreamModeDetails": map[string]any{"StreamMode": "PROVISIONED"}})
	if policy := jsonOf(t, got.only("AWS::Kinesis::ResourcePolicy", "").Properties); !strings.Contains(policy, "111122223333") || !strings.Contains(policy, "444455556666") {
		t.Errorf("the policy is %s", policy)
	}
	got.has("AWS::CloudWatch::Alarm", map[string]any{"AlarmActions": []any{"arn:aws:sns:eu-west-1:123456789012:alarms"}})
	got.has("AWS::KinesisFirehose::DeliveryStream", map[string]any{"ExtendedS3DestinationConfiguration": map[string]any{"CompressionFormat": "GZIP"}})

	got = synth(t, stackOf(t, newKinetelApp(t, map[string]any{"kinetel:architectures": "x86_64"}), stacks.Telemetry))
	got.ResourceCountIs(jsii.String("AWS::Lambda::LayerVersion"), jsii.Number(1))
	got = synth(t, stackOf(t, newKinetelApp(t, apps["delivery"]), stacks.Telemetry))
	got.has("AWS::KinesisFirehose::DeliveryStream", map[string]any{"ExtendedS3DestinationConfiguration": map[string]any{"CompressionFormat": "UNCOMPRESSED"}})
	if p := got.parameters(); p["/telemetry/kinesis/extension/arn"] != p["/telemetry/kinesis/extension/arm64/arn"] {
		t.Errorf("the default layer: %v", p)
	}
}

const contextValues = "alarmTopicArn, architectures, defaultArchitecture, delivery, encryption, mode, packages, retentionHours, sample, sampleArchitecture, sampleCode, shards, tags, writerAccounts"

func TestContextRefusals(t *testing.T) {
	for _, one := range []struct {
		context  map[string]any
		problems []string
	}{
		{map[string]any{"kinetel:delivry": "s3"}, []string{`kinetel:delivry="s3" is not a value of this app; it has ` + contextValues}},
		{map[string]any{"kinetel:shards": "two", "kinetel:retentionHours": "-1"}, []string{
			`kinetel:shards="two" must be a whole number, at least 1`, `kinetel:retentionHours="-1" must be a whole number, at least 1`,
		}},
		{map[string]any{"kinetel:delivery": "ftp"}, []string{`kinetel:delivery="ftp" must be one of none, s3, s3-partitioned`}},
		{map[string]any{"kinetel:sample": "yes"}, []string{`kinetel:sample="yes" must be one of true, false`}},
		{map[string]any{"kinetel:sampleArchitecture": "mips"}, []string{`kinetel:sampleArchitecture="mips" must be one of arm64, x86_64`}},
		{map[string]any{"kinetel:tags": "team"}, []string{`kinetel:tags="team" has "team"; it must be a list such as team=payments,env=prod`}},
		{map[string]any{"kinetel:alarmTopicArn": "alarms"}, []string{`kinetel:alarmTopicArn="alarms" is not a topic's ARN, such as arn:aws:sns:eu-west-1:123456789012:alarms`}},
		{map[string]any{"kinetel:sampleCode": "nowhere"}, []string{
			"kinetel:sampleCode=\"nowhere\" is neither a zip file nor a folder with bootstrap in it; run `make sample` in Kinetel's repository first, or set kinetel:sample=false",
		}},
	} {
		refused(t, "context", func() { newKinetelApp(t, one.context) }, one.problems...)
	}
	// The constructs report what they check.
	refused(t, stacks.Telemetry+"/Stream", func() { newKinetelApp(t, map[string]any{"kinetel:shards": 2}) },
		`ShardCount is 2, but an on-demand stream scales itself; leave it out or set StreamMode to "provisioned"`)
	refused(t, stacks.Sample+"/Function", func() {
		newKinetelApp(t, map[string]any{"kinetel:architectures": "x86_64", "kinetel:sampleArchitecture": "arm64"})
	}, `the function runs on arm64, and there is a layer for [x86_64] only; add "arm64" to the architectures of the extension, or change the function's`)
}

// The app's documentation, and the README, have every value.
func TestContextIsDocumented(t *testing.T) {
	for _, file := range []string{"../main.go", "../README.md"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		documented := make(map[string]bool)
		for _, one := range regexp.MustCompile(`(?m)^(?://\t|\| .)kinetel:(\w+)`).FindAllStringSubmatch(string(text), -1) {
			documented[one[1]] = true
		}
		for _, name := range strings.Split(contextValues, ", ") {
			if !documented[name] {
				t.Errorf("%s does not say what kinetel:%s is", file, name)
			}
			delete(documented, name)
		}
		if len(documented) > 0 {
			t.Errorf("%s has values that the app has not: %v", file, documented)
		}
	}
}

// The README names every field of the props.
func TestPropsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, props := range []any{
		kinetelcdk.TelemetryStreamProps{},
		kinetelcdk.TelemetryExtensionProps{},
		kinetelcdk.AddToProps{},
		kinetelcdk.TelemetryDashboardProps{},
		kinetelcdk.TelemetryAlarmsProps{},
		kinetelcdk.TelemetryDeliveryProps{},
	} {
		of := reflect.TypeOf(props)
		_, section, _ := strings.Cut(string(text), "\n### "+strings.TrimSuffix(of.Name(), "Props"))
		section, _, _ = strings.Cut(section, "\n### ")
		var names, fields []string
		for _, cell := range regexp.MustCompile("(?m)^\\| (`[^|]*)").FindAllStringSubmatch(section, -1) {
			for _, name := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(cell[1], -1) {
				names = append(names, name[1])
			}
		}
		for i := range of.NumField() {
			fields = append(fields, of.Field(i).Name)
		}
		slices.Sort(names)
		slices.Sort(fields)
		if !slices.Equal(names, fields) {
			t.Errorf("the README's table of %s has\n%v, want\n%v", of.Name(), names, fields)
		}
	}
}
