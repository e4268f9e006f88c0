package emulator

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	cfntypes "github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/firehose"
	"github.com/aws/aws-sdk-go-v2/service/glue"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/kinetel/kinetel/deploy/internal/moto"
)

// stack is the template, deployed. What moto's CloudFormation can make, it makes;
// the rest is made here by the services' own APIs, which know it, from the
// evaluated properties.
type stack struct {
	*evaluation
	t        *testing.T
	cfg      aws.Config
	name     string
	physical map[string]string         // by logical name; "" for what has no name of its own
	given    map[string]map[string]any // properties of what is made here
}

// leftOut are the types that moto 5.2.5's CloudFormation does not know, and those
// that it gets wrong: it gives a layer another name and no architecture, puts an
// object's address where a layer's ARN is referred to, and takes no new version of
// it; a function gets no layers and no architecture.
var leftOut = map[string]bool{
	"AWS::CloudWatch::Alarm":               true,
	"AWS::Glue::Database":                  true,
	"AWS::Glue::Table":                     true,
	"AWS::Kinesis::ResourcePolicy":         true,
	"AWS::KinesisFirehose::DeliveryStream": true,
	"AWS::Lambda::Function":                true,
	"AWS::Lambda::LayerVersion":            true,
	"AWS::S3::BucketPolicy":                true,
}

// motosHalf is the template as moto takes it. It also ignores, without an error,
// the stream's mode and encryption, a role's ManagedPolicyArns, rules, and all
// constraints of parameters; these are tested where the template is evaluated.
func motosHalf(t template) (string, error) {
	half := template{}
	for _, section := range []string{"Parameters", "Conditions"} {
		half[section] = t[section]
	}
	resources := map[string]any{}
	for logical, r := range t.section("Resources") {
		r := r.(map[string]any)
		if leftOut[r["Type"].(string)] || refersTo(t, r, "AWS::Lambda::LayerVersion") {
			continue
		}
		copied := alternatives(r).(map[string]any)
		properties := copied["Properties"].(map[string]any)
		switch r["Type"] {
		case "AWS::SSM::Parameter": // moto wants a list where AWS wants a map
			var tags []any
			for k, v := range properties["Tags"].(map[string]any) {
				tags = append(tags, map[string]any{"Key": k, "Value": v})
			}
			properties["Tags"] = tags
		case "AWS::KMS::Key": // and what the service's own API wants
			properties["KeyPolicy"] = map[string]any{"Fn::ToJsonString": properties["KeyPolicy"]}
			var tags []any
			for _, tag := range properties["Tags"].([]any) {
				tag := tag.(map[string]any)
				tags = append(tags, map[string]any{"TagKey": tag["Key"], "TagValue": tag["Value"]})
			}
			properties["Tags"] = tags
		case "AWS::IAM::Role": // moto would keep what Python prints
			policies, _ := properties["Policies"].([]any)
			for _, p := range policies {
				p := p.(map[string]any)
				p["PolicyDocument"] = map[string]any{"Fn::ToJsonString": p["PolicyDocument"]}
			}
		}
		resources[logical] = copied
	}
	half["Resources"] = resources
	outputs := map[string]any{}
	for name, o := range t.section("Outputs") {
		if value := o.(map[string]any)["Value"]; !refersTo(t, value, "AWS::Lambda::LayerVersion") && !refersTo(t, value, "AWS::Lambda::Function") {
			outputs[name] = o
		}
	}
	half["Outputs"] = outputs
	text, err := json.Marshal(half)
	return string(text), err
}

// refersTo reports whether something has a Ref to a resource of a type.
func refersTo(t template, v any, kind string) bool {
	switch v := v.(type) {
	case []any:
		return slices.ContainsFunc(v, func(e any) bool { return refersTo(t, e, kind) })
	case map[string]any:
		if logical, ok := v["Ref"].(string); ok && len(v) == 1 {
			r, ok := t.section("Resources")[logical].(map[string]any)
			return ok && r["Type"] == kind
		}
		for _, e := range v {
			if refersTo(t, e, kind) {
				return true
			}
		}
	}
	return false
}

// alternatives copies, and takes AWS::NoValue out of lists, where moto leaves a
// null: [a, if c then b else nothing] becomes if c then [a, b] else [a].
func alternatives(v any) any {
	switch v := v.(type) {
	case []any:
		var with, without []any
		condition := any(nil)
		for _, e := range v {
			if m, ok := e.(map[string]any); ok && len(m) == 1 {
				if branches, ok := m["Fn::If"].([]any); ok {
					if nothing, ok := branches[2].(map[string]any); ok && nothing["Ref"] == "AWS::NoValue" {
						condition = branches[0]
						with = append(with, alternatives(branches[1]))
						continue
					}
				}
			}
			with, without = append(with, alternatives(e)), append(without, alternatives(e))
		}
		if condition == nil {
			return with
		}
		return map[string]any{"Fn::If": []any{condition, with, without}}
	case map[string]any:
		m := map[string]any{}
		for name, e := range v {
			if branches, ok := e.([]any); ok && name == "Fn::If" {
				m[name] = []any{branches[0], alternatives(branches[1]), alternatives(branches[2])}
			} else {
				m[name] = alternatives(e)
			}
		}
		return m
	}
	return v
}

const patience = 2 * time.Minute // of waiting for a stack

func create(t *testing.T, cfg aws.Config, name string, given map[string]string) *stack {
	t.Helper()
	tmpl, text, err := readTemplate()
	if err != nil {
		t.Fatal(err)
	}
	client := cloudformation.NewFromConfig(cfg)
	if _, err := client.ValidateTemplate(t.Context(), &cloudformation.ValidateTemplateInput{TemplateBody: &text}); err != nil {
		t.Fatal(err)
	}
	half, err := motosHalf(tmpl)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateStack(t.Context(), &cloudformation.CreateStackInput{
		StackName: &name, TemplateBody: &half, Parameters: parameters(given),
		Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityIam},
	}); err != nil {
		t.Fatalf("CreateStack: %v", err)
	}
	s := &stack{t: t, cfg: cfg, name: name, physical: map[string]string{}, given: map[string]map[string]any{}}
	done := cloudformation.NewStackCreateCompleteWaiter(client, func(o *cloudformation.StackCreateCompleteWaiterOptions) { o.MinDelay = 100 * time.Millisecond })
	if err := done.Wait(t.Context(), &cloudformation.DescribeStacksInput{StackName: &name}, patience); err != nil {
		t.Fatal(err)
	}
	s.sync(tmpl, given)
	return s
}

func parameters(given map[string]string) (all []cfntypes.Parameter) {
	for name, value := range given {
		all = append(all, cfntypes.Parameter{ParameterKey: &name, ParameterValue: &value})
	}
	return all
}

func (s *stack) update(given map[string]string) {
	s.t.Helper()
	client := cloudformation.NewFromConfig(s.cfg)
	if _, err := client.UpdateStack(s.t.Context(), &cloudformation.UpdateStackInput{
		StackName: &s.name, UsePreviousTemplate: aws.Bool(true), Parameters: parameters(given),
		Capabilities: []cfntypes.Capability{cfntypes.CapabilityCapabilityIam},
	}); err != nil {
		s.t.Fatalf("UpdateStack: %v", err)
	}
	done := cloudformation.NewStackUpdateCompleteWaiter(client, func(o *cloudformation.StackUpdateCompleteWaiterOptions) { o.MinDelay = 100 * time.Millisecond })
	if err := done.Wait(s.t.Context(), &cloudformation.DescribeStacksInput{StackName: &s.name}, patience); err != nil {
		s.t.Fatal(err)
	}
	s.sync(s.template, given)
}

// sync reads what moto made, and makes or changes the rest.
func (s *stack) sync(tmpl template, given map[string]string) {
	s.t.Helper()
	w, err := evaluate(tmpl, s.cfg.Region, given)
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := cloudformation.NewFromConfig(s.cfg).DescribeStackResources(s.t.Context(), &cloudformation.DescribeStackResourcesInput{StackName: &s.name})
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range out.StackResources {
		if r.PhysicalResourceId != nil {
			s.physical[*r.LogicalResourceId] = *r.PhysicalResourceId
		}
	}
	s.evaluation, w.attribute = w, s.attribute
	fresh := map[string]bool{}
	for _, logical := range sorted(tmpl.section("Resources")) {
		if r := tmpl.section("Resources")[logical]; w.exists(r) {
			s.syncResource(logical, fresh)
		}
	}
}

func (s *stack) kind(logical string) string {
	return s.section("Resources")[logical].(map[string]any)["Type"].(string)
}

// mine reports whether a resource is made here.
func (s *stack) mine(logical string) bool {
	return leftOut[s.kind(logical)] || refersTo(s.template, s.section("Resources")[logical], "AWS::Lambda::LayerVersion")
}

func (s *stack) syncResource(logical string, fresh map[string]bool) {
	if !s.mine(logical) || fresh[logical] {
		return
	}
	fresh[logical] = true
	// What it refers to comes first.
	s.evaluation.attribute = func(other, name string) (string, error) {
		s.syncResource(other, fresh)
		return s.attribute(other, name)
	}
	r := s.resource(logical)
	before, there := s.given[logical]
	was, is := mustJSON(before), mustJSON(r.properties)
	if there && was == is {
		return
	}
	old := s.physical[logical]
	id, err := s.put(r, there)
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", logical, err, is)
	}
	s.physical[logical], s.given[logical] = id, r.properties
	if there && id != old && r.raw["UpdateReplacePolicy"] != "Retain" {
		s.remove(r.kind, old)
	}
}

func mustJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func (s *stack) attribute(logical, name string) (string, error) {
	id, ok := s.physical[logical]
	if s.kind(logical) == "AWS::Logs::LogStream" {
		return "delivery", nil // moto passes over it, and nothing but Firehose's log needs it
	}
	if !ok {
		return "", fmt.Errorf("%s was not made", logical)
	}
	if name == "Ref" {
		return id, nil
	}
	at := s.cfg.Region + ":" + account
	if arn, ok := map[string]string{
		"AWS::IAM::Role":        "arn:aws:iam::" + account + ":role/" + id,
		"AWS::KMS::Key":         "arn:aws:kms:" + at + ":key/" + id,
		"AWS::Kinesis::Stream":  "arn:aws:kinesis:" + at + ":stream/" + id,
		"AWS::Logs::LogGroup":   "arn:aws:logs:" + at + ":log-group:" + id + ":*",
		"AWS::S3::Bucket":       "arn:aws:s3:::" + id,
		"AWS::Lambda::Function": "arn:aws:lambda:" + at + ":function:" + id,
	}[s.kind(logical)]; ok && name == "Arn" {
		return arn, nil
	}
	return "", fmt.Errorf("%s of %s is not known here", name, logical)
}

// into fills an input of the SDK from properties. Where CloudFormation's names are
// not those of the service, or a property is none of the service's, it fails.
func into(properties map[string]any, input any) error {
	d := json.NewDecoder(strings.NewReader(mustJSON(properties)))
	d.DisallowUnknownFields()
	return d.Decode(input)
}

// put makes a resource, or another one in its place, or changes it, and returns what
// Ref is.
func (s *stack) put(r resource, there bool) (string, error) {
	ctx, name := s.t.Context(), s.name+"-"+r.logical
	p := map[string]any{}
	for k, v := range r.properties {
		p[k] = v
	}
	switch r.kind {
	case "AWS::Lambda::LayerVersion":
		var in lambda.PublishLayerVersionInput
		if err := into(p, &in); err != nil {
			return "", err
		}
		out, err := lambda.NewFromConfig(s.cfg).PublishLayerVersion(ctx, &in)
		if err != nil {
			return "", err
		}
		return *out.LayerVersionArn, nil
	case "AWS::SSM::Parameter":
		tags := p["Tags"].(map[string]any)
		delete(p, "Tags")
		in := ssm.PutParameterInput{Overwrite: aws.Bool(there)}
		if err := into(p, &in); err != nil {
			return "", err
		}
		for k, v := range tags {
			if !there {
				in.Tags = append(in.Tags, ssmtypes.Tag{Key: &k, Value: aws.String(v.(string))})
			}
		}
		_, err := ssm.NewFromConfig(s.cfg).PutParameter(ctx, &in)
		return *in.Name, err
	case "AWS::Lambda::Function":
		client := lambda.NewFromConfig(s.cfg)
		if there {
			in := lambda.UpdateFunctionConfigurationInput{FunctionName: &name}
			delete(p, "Code")
			delete(p, "Architectures") // which goes with the code
			delete(p, "Tags")
			if err := into(p, &in); err != nil {
				return "", err
			}
			_, err := client.UpdateFunctionConfiguration(ctx, &in)
			return name, err
		}
		code, err := zipped("index.py", p["Code"].(map[string]any)["ZipFile"].(string))
		if err != nil {
			return "", err
		}
		tags := map[string]any{}
		for _, tag := range p["Tags"].([]any) {
			tags[tag.(map[string]any)["Key"].(string)] = tag.(map[string]any)["Value"]
		}
		p["Code"], p["Tags"] = map[string]any{"ZipFile": code}, tags
		in := lambda.CreateFunctionInput{FunctionName: &name}
		if err := into(p, &in); err != nil {
			return "", err
		}
		_, err = client.CreateFunction(ctx, &in)
		return name, err
	case "AWS::CloudWatch::Alarm":
		// Not made: moto does not speak the protocol that the SDK has for CloudWatch.
		return name, into(p, &cloudwatch.PutMetricAlarmInput{})
	case "AWS::Kinesis::ResourcePolicy":
		_, err := kinesis.NewFromConfig(s.cfg).PutResourcePolicy(ctx, &kinesis.PutResourcePolicyInput{
			ResourceARN: aws.String(p["ResourceArn"].(string)), Policy: aws.String(mustJSON(p["ResourcePolicy"])),
		})
		return p["ResourceArn"].(string), err
	case "AWS::S3::BucketPolicy":
		_, err := s3.NewFromConfig(s.cfg).PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{
			Bucket: aws.String(p["Bucket"].(string)), Policy: aws.String(mustJSON(p["PolicyDocument"])),
		})
		return p["Bucket"].(string), err
	case "AWS::KinesisFirehose::DeliveryStream":
		in := firehose.CreateDeliveryStreamInput{DeliveryStreamName: &name}
		if err := into(p, &in); err != nil {
			return "", err
		}
		_, err := firehose.NewFromConfig(s.cfg).CreateDeliveryStream(ctx, &in)
		return name, err
	case "AWS::Glue::Database":
		var in glue.CreateDatabaseInput
		if err := into(p, &in); err != nil {
			return "", err
		}
		_, err := glue.NewFromConfig(s.cfg).CreateDatabase(ctx, &in)
		return aws.ToString(in.DatabaseInput.Name), err
	case "AWS::Glue::Table":
		var in glue.CreateTableInput
		if err := into(p, &in); err != nil {
			return "", err
		}
		_, err := glue.NewFromConfig(s.cfg).CreateTable(ctx, &in)
		return aws.ToString(in.TableInput.Name), err
	}
	return "", fmt.Errorf("%s is made nowhere", r.kind)
}

// remove takes away what was made here and would show in a test.
func (s *stack) remove(kind, id string) {
	s.t.Helper()
	var err error
	ctx := context.WithoutCancel(s.t.Context())
	switch kind {
	case "AWS::Lambda::LayerVersion":
		name, number, _ := cutLast(id, ":")
		var version int64
		if _, err := fmt.Sscan(number, &version); err != nil {
			s.t.Fatal(err)
		}
		_, err = lambda.NewFromConfig(s.cfg).DeleteLayerVersion(ctx, &lambda.DeleteLayerVersionInput{LayerName: &name, VersionNumber: &version})
	case "AWS::SSM::Parameter":
		_, err = ssm.NewFromConfig(s.cfg).DeleteParameter(ctx, &ssm.DeleteParameterInput{Name: &id})
	case "AWS::Lambda::Function":
		_, err = lambda.NewFromConfig(s.cfg).DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: &id})
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

func cutLast(text, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(text, sep); i >= 0 {
		return text[:i], text[i+len(sep):], true
	}
	return text, "", false
}

// delete deletes the stack, and what is made here, by the template.
func (s *stack) delete() {
	s.t.Helper()
	for logical, id := range s.physical {
		if r := s.section("Resources")[logical].(map[string]any); s.mine(logical) && r["DeletionPolicy"] != "Retain" {
			s.remove(s.kind(logical), id)
		}
	}
	client := cloudformation.NewFromConfig(s.cfg)
	stack, err := client.DescribeStacks(s.t.Context(), &cloudformation.DescribeStacksInput{StackName: &s.name})
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := client.DeleteStack(s.t.Context(), &cloudformation.DeleteStackInput{StackName: &s.name}); err != nil {
		s.t.Fatal(err)
	}
	done := cloudformation.NewStackDeleteCompleteWaiter(client, func(o *cloudformation.StackDeleteCompleteWaiterOptions) { o.MinDelay = 100 * time.Millisecond })
	if err := done.Wait(s.t.Context(), &cloudformation.DescribeStacksInput{StackName: stack.Stacks[0].StackId}, patience); err != nil {
		s.t.Fatal(err)
	}
}

// zipped is a zip with one small file.
func zipped(name, text string) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	f, err := z.Create(name)
	if err != nil {
		return nil, err
	}
	if _, err := f.Write([]byte(text)); err != nil {
		return nil, err
	}
	err = z.Close()
	return b.Bytes(), err
}

// withZips starts moto with a bucket that has stand-ins for the layers' zips.
func withZips(t *testing.T, versions ...string) aws.Config {
	t.Helper()
	cfg := moto.Start(t)
	client := s3.NewFromConfig(cfg)
	in := &s3.CreateBucketInput{Bucket: aws.String("layers")}
	if err := into(map[string]any{"CreateBucketConfiguration": map[string]any{"LocationConstraint": cfg.Region}}, in); err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateBucket(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	for _, v := range versions {
		for _, arch := range []string{"amd64", "arm64"} {
			body, err := zipped("extensions/kinesis-telemetry-extension", v+" "+arch)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{
				Bucket: in.Bucket, Key: aws.String("kinetel/" + v + "/kinesis-telemetry-extension-" + arch + ".zip"), Body: bytes.NewReader(body),
			}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return cfg
}
