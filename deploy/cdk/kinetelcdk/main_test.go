package kinetelcdk_test

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/jsii-runtime-go"

	"github.com/kinetel/kinetel/deploy/cdk/kinetelcdk"
)

// TestMain ends the one jsii kernel, a Node process, that all tests talk to. It
// takes one call at a time, so no test here is parallel. The race detector is of
// no use: it finds jsii's Close, which waits twice for the process.
func TestMain(m *testing.M) {
	code := m.Run()
	jsii.Close()
	os.Exit(code)
}

// newApp makes an app with the feature flags of cdk.json and more context.
func newApp(t *testing.T, context map[string]any) awscdk.App {
	t.Helper()
	text, err := os.ReadFile("../cdk.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Context map[string]any }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for name, value := range context {
		file.Context[name] = value
	}
	return awscdk.NewApp(&awscdk.AppProps{
		Context: &file.Context, Outdir: jsii.String(t.TempDir()), AnalyticsReporting: jsii.Bool(false),
	})
}

func newStack(t *testing.T) awscdk.Stack {
	t.Helper()
	return awscdk.NewStack(newApp(t, nil), jsii.String("Stack"), nil)
}

// packages makes a folder with stand-ins for the layers' packages.
func packages(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, a := range []string{"amd64", "arm64"} {
		pack(t, filepath.Join(dir, "kinesis-telemetry-extension-"+a+".zip"), "extensions/kinesis-telemetry-extension", 0o755, "stand-in for "+a)
	}
	return dir
}

func pack(t *testing.T, archive, name string, mode fs.FileMode, text string) {
	t.Helper()
	f, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(f)
	header := &zip.FileHeader{Name: name}
	header.SetMode(mode)
	one, err := w.CreateHeader(header)
	if err == nil {
		_, err = one.Write([]byte(text))
	}
	if err := errors.Join(err, w.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func newExtension(t *testing.T, stack awscdk.Stack, architectures ...kinetelcdk.Architecture) *kinetelcdk.TelemetryExtension {
	t.Helper()
	return kinetelcdk.NewTelemetryExtension(stack, "Extension", &kinetelcdk.TelemetryExtensionProps{
		Stream: kinetelcdk.NewTelemetryStream(stack, "Stream", nil), Packages: packages(t), Architectures: architectures,
	})
}

func newFunction(stack awscdk.Stack, id string, change ...func(*awslambda.FunctionProps)) awslambda.Function {
	props := &awslambda.FunctionProps{
		Runtime: awslambda.Runtime_PYTHON_3_13(), Handler: jsii.String("index.handler"), Code: awslambda.Code_FromInline(jsii.String("pass")),
	}
	for _, one := range change {
		one(props)
	}
	return awslambda.NewFunction(stack, &id, props)
}

// template is the template of a stack.
type template struct {
	t *testing.T
	assertions.Template
	text      string
	resources map[string]resource
}

type resource struct {
	Type                string
	Properties          map[string]any
	DeletionPolicy      string
	UpdateReplacePolicy string
}

func synth(t *testing.T, stack awscdk.Stack) *template {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			report, _ := os.ReadFile(filepath.Join(*awscdk.Stage_Of(stack).Outdir(), "validation-report.json"))
			panic(fmt.Sprintf("%v\n%s", r, report))
		}
	}()
	made := &template{t: t, Template: assertions.Template_FromStack(stack, nil)}
	text, err := json.MarshalIndent(made.ToJSON(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	made.text = string(text)
	var parts struct{ Resources map[string]resource }
	if err := json.Unmarshal(text, &parts); err != nil {
		t.Fatal(err)
	}
	made.resources = parts.Resources
	return made
}

// only returns the one resource of a type whose logical id has a part.
func (m *template) only(kind, part string) resource {
	m.t.Helper()
	var found []resource
	for id, one := range m.resources {
		if one.Type == kind && strings.Contains(id, part) {
			found = append(found, one)
		}
	}
	if len(found) != 1 {
		m.t.Fatalf("%d resources of type %s with %q in their ids, want 1", len(found), kind, part)
	}
	return found[0]
}

// has fails the test if no resource has these properties, among others.
func (m *template) has(kind string, properties map[string]any) {
	m.t.Helper()
	defer func() {
		if r := recover(); r != nil {
			m.t.Error(r)
		}
	}()
	m.HasResourceProperties(&kind, properties)
}

// warned fails the test unless a construct has a warning with this text in it.
func warned(t *testing.T, stack awscdk.Stack, path, text string) {
	t.Helper()
	defer func() {
		if r := recover(); r != nil {
			t.Error(r)
		}
	}()
	assertions.Annotations_FromStack(stack).HasWarning(&path, assertions.Match_StringLikeRegexp(jsii.String(".*"+text+".*")))
}

// parameters returns the SSM parameters by name, with what they hold as JSON.
func (m *template) parameters() map[string]string {
	m.t.Helper()
	found := make(map[string]string)
	for _, one := range m.resources {
		if one.Type == "AWS::SSM::Parameter" {
			found[fmt.Sprint(one.Properties["Name"])] = jsonOf(m.t, one.Properties["Value"])
			if one.Properties["Type"] != "String" {
				m.t.Errorf("parameter %v is of type %v", one.Properties["Name"], one.Properties["Type"])
			}
		}
	}
	return found
}

// statements returns those of a policy document.
func statements(t *testing.T, document any) []any {
	t.Helper()
	d, _ := document.(map[string]any)
	list, ok := d["Statement"].([]any)
	if !ok {
		t.Fatalf("no policy document: %v", document)
	}
	return list
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// same fails the test unless a value equals the JSON text.
func same(t *testing.T, what string, got any, want string) {
	t.Helper()
	var wanted any
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatalf("%s: %v", want, err)
	}
	var plain any
	if err := json.Unmarshal([]byte(jsonOf(t, got)), &plain); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(plain, wanted) {
		t.Errorf("%s:\n got %s\nwant %s", what, jsonOf(t, plain), jsonOf(t, wanted))
	}
}

// refused fails the test unless the construct panics with exactly these problems.
func refused(t *testing.T, path string, make func(), problems ...string) {
	t.Helper()
	defer func() {
		t.Helper()
		r := recover()
		refusal, ok := r.(*kinetelcdk.Error)
		if !ok {
			t.Fatalf("it ended with %v, want a refusal: %q", r, problems)
		}
		if refusal.Path != path {
			t.Errorf("the refusal is about %s, want %s", refusal.Path, path)
		}
		if !reflect.DeepEqual(refusal.Problems, problems) {
			t.Errorf("problems:\n got %s\nwant %s", strings.Join(refusal.Problems, "\n     "), strings.Join(problems, "\n     "))
		}
		for _, one := range problems {
			if !strings.Contains(refusal.Error(), one) || !strings.HasPrefix(refusal.Error(), "kinetel: "+path+":") {
				t.Errorf("the error's text is %q", refusal.Error())
			}
		}
	}()
	make()
}
