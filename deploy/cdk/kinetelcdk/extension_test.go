package kinetelcdk_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/jsii-runtime-go"

	"github.com/kinetel/kinetel/deploy/cdk/kinetelcdk"
	"github.com/kinetel/kinetel/internal/version"
)

func TestExtensionDefaults(t *testing.T) {
	stack := newStack(t)
	newExtension(t, stack)
	got := synth(t, stack)
	for _, a := range []string{"x86_64", "arm64"} {
		got.has("AWS::Lambda::LayerVersion", map[string]any{
			"LayerName":               "kinesis-telemetry-extension-" + a,
			"CompatibleArchitectures": []any{a},
			"LicenseInfo":             "Apache-2.0",
			"Description":             "Kinetel " + version.Version + ": sends Lambda telemetry to Kinesis",
		})
	}
	got.ResourceCountIs(jsii.String("AWS::Lambda::LayerVersion"), jsii.Number(2))
	for id, one := range got.resources {
		if one.Type == "AWS::Lambda::LayerVersion" && (one.DeletionPolicy != "Retain" || one.UpdateReplacePolicy != "Retain") {
			t.Errorf("the layer %s does not stay when there is a new one: %+v", id, one)
		}
	}
	same(t, "parameters", got.parameters(), `{
		"/telemetry/kinesis/stream/arn":"{\"Fn::GetAtt\":[\"Stream862536A4\",\"Arn\"]}",
		"/telemetry/kinesis/extension/x86_64/arn":"{\"Ref\":\"ExtensionLayerx8664531CC65C\"}",
		"/telemetry/kinesis/extension/arm64/arn":"{\"Ref\":\"ExtensionLayerarm64F09B733F\"}",
		"/telemetry/kinesis/extension/arn":"{\"Ref\":\"ExtensionLayerx8664531CC65C\"}",
		"/telemetry/kinesis/runtime/policy/arn":"{\"Ref\":\"ExtensionPolicyCBF07F50\"}"}`)
	same(t, "policy", statements(t, got.only("AWS::IAM::ManagedPolicy", "").Properties["PolicyDocument"]), `[
		{"Effect":"Allow","Action":["kinesis:PutRecord","kinesis:PutRecords"],"Resource":{"Fn::GetAtt":["Stream862536A4","Arn"]}}]`)
}

// The zip of each architecture is in the layer of that architecture.
func TestLayersHaveTheirOwnPackages(t *testing.T) {
	only := make(map[string]any)
	for _, a := range []kinetelcdk.Architecture{kinetelcdk.X86_64, kinetelcdk.ARM64} {
		dir, file := t.TempDir(), map[kinetelcdk.Architecture]string{kinetelcdk.X86_64: "amd64", kinetelcdk.ARM64: "arm64"}[a]
		pack(t, filepath.Join(dir, "kinesis-telemetry-extension-"+file+".zip"), "extensions/kinesis-telemetry-extension", 0o755, "stand-in for "+file)
		stack := newStack(t)
		kinetelcdk.NewTelemetryExtension(stack, "Extension", &kinetelcdk.TelemetryExtensionProps{
			Stream: kinetelcdk.NewTelemetryStream(stack, "Stream", nil), Packages: dir, Architectures: []kinetelcdk.Architecture{a},
		})
		only[string(a)] = synth(t, stack).only("AWS::Lambda::LayerVersion", "").Properties["Content"]
	}
	stack := newStack(t)
	newExtension(t, stack)
	for _, one := range synth(t, stack).resources {
		if one.Type == "AWS::Lambda::LayerVersion" {
			a := one.Properties["CompatibleArchitectures"].([]any)[0].(string)
			same(t, a, one.Properties["Content"], jsonOf(t, only[a]))
		}
	}
}

func TestExtensionOfOneArchitecture(t *testing.T) {
	stack := newStack(t)
	newExtension(t, stack, kinetelcdk.ARM64)
	same(t, "parameters", synth(t, stack).parameters(), `{
		"/telemetry/kinesis/stream/arn":"{\"Fn::GetAtt\":[\"Stream862536A4\",\"Arn\"]}",
		"/telemetry/kinesis/extension/arm64/arn":"{\"Ref\":\"ExtensionLayerarm64F09B733F\"}",
		"/telemetry/kinesis/extension/arn":"{\"Ref\":\"ExtensionLayerarm64F09B733F\"}",
		"/telemetry/kinesis/runtime/policy/arn":"{\"Ref\":\"ExtensionPolicyCBF07F50\"}"}`)
}

func TestDefaultArchitecture(t *testing.T) {
	stack := newStack(t)
	kinetelcdk.NewTelemetryExtension(stack, "Extension", &kinetelcdk.TelemetryExtensionProps{
		Stream: kinetelcdk.NewTelemetryStream(stack, "Stream", nil), Packages: packages(t), DefaultArchitecture: kinetelcdk.ARM64,
	})
	if got := synth(t, stack).parameters()["/telemetry/kinesis/extension/arn"]; got != `{"Ref":"ExtensionLayerarm64F09B733F"}` {
		t.Errorf("the default layer is %s", got)
	}
}

func TestExtensionWithACustomersKey(t *testing.T) {
	stack := newStack(t)
	kinetelcdk.NewTelemetryExtension(stack, "Extension", &kinetelcdk.TelemetryExtensionProps{
		Stream: kinetelcdk.NewTelemetryStream(stack, "Stream", &kinetelcdk.TelemetryStreamProps{
			Encryption: kinetelcdk.EncryptionCustomer, ParameterPrefix: "/obs",
		}),
		Packages: packages(t), Tags: map[string]string{"team": "payments"},
	})
	got := synth(t, stack)
	same(t, "policy", statements(t, got.only("AWS::IAM::ManagedPolicy", "").Properties["PolicyDocument"]), `[
		{"Effect":"Allow","Action":["kinesis:PutRecord","kinesis:PutRecords"],"Resource":{"Fn::GetAtt":["Stream862536A4","Arn"]}},
		{"Effect":"Allow","Action":"kms:GenerateDataKey","Resource":{"Fn::GetAtt":["StreamKey238BEC37","Arn"]},"Condition":`+ofTheStream+`}]`)
	for name := range got.parameters() {
		if name[:5] != "/obs/" {
			t.Errorf("parameter %s does not begin as the stream's", name)
		}
	}
	got.has("AWS::SSM::Parameter", map[string]any{"Name": "/obs/runtime/policy/arn", "Tags": map[string]any{"team": "payments"}})
}

// importedStream imports a stream with a customer-managed key.
func importedStream(stack awscdk.Stack, arn, key string) kinetelcdk.ITelemetryStream {
	return kinetelcdk.TelemetryStream_FromTelemetryStreamAttributes(stack, "Imported", &kinetelcdk.TelemetryStreamAttributes{
		StreamArn: arn, EncryptionKey: awskms.Key_FromKeyArn(stack, jsii.String("ImportedKey"), &key),
	})
}

// A stream of another account, in another region.
func TestExtensionForAnImportedStream(t *testing.T) {
	stack := newStack(t)
	const (
		stream = "arn:aws:kinesis:eu-central-1:111122223333:stream/telemetry"
		key    = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	)
	e := kinetelcdk.NewTelemetryExtension(stack, "Extension", &kinetelcdk.TelemetryExtensionProps{
		Stream: importedStream(stack, stream, key), Packages: packages(t), ParameterPrefix: "/obs",
	})
	e.AddTo(newFunction(stack, "Function"), nil)
	got := synth(t, stack)
	same(t, "policy", statements(t, got.only("AWS::IAM::ManagedPolicy", "").Properties["PolicyDocument"]), `[
		{"Effect":"Allow","Action":["kinesis:PutRecord","kinesis:PutRecords"],"Resource":"`+stream+`"},
		{"Effect":"Allow","Action":"kms:GenerateDataKey","Resource":"`+key+`","Condition":
			{"StringEquals":{"kms:ViaService":{"Fn::Join":["",["kinesis.eu-central-1.",{"Ref":"AWS::URLSuffix"}]]},"kms:EncryptionContext:aws:kinesis:arn":"`+stream+`"}}}]`)
	if got := got.parameters()["/obs/stream/arn"]; got != `"`+stream+`"` {
		t.Errorf("the stream's parameter holds %s", got)
	}
	got.has("AWS::Lambda::Function", map[string]any{"Environment": map[string]any{"Variables": map[string]any{"KINETEL_STREAM_ARN": stream}}})
}

// ARNs that are known only at the deployment, such as those of parameters.
func TestExtensionWithTokens(t *testing.T) {
	stack := newStack(t)
	arn := func(name string) string { return *awscdk.Fn_ImportValue(&name) }
	kinetelcdk.NewTelemetryExtension(stack, "Extension", &kinetelcdk.TelemetryExtensionProps{
		Stream: importedStream(stack, arn("stream"), arn("key")), Packages: packages(t),
	})
	same(t, "policy", statements(t, synth(t, stack).only("AWS::IAM::ManagedPolicy", "").Properties["PolicyDocument"]), `[
		{"Effect":"Allow","Action":["kinesis:PutRecord","kinesis:PutRecords"],"Resource":{"Fn::ImportValue":"stream"}},
		{"Effect":"Allow","Action":"kms:GenerateDataKey","Resource":{"Fn::ImportValue":"key"},"Condition":{"StringEquals":{"kms:ViaService":
			{"Fn::Join":["",["kinesis.",{"Fn::Select":[3,{"Fn::Split":[":",{"Fn::ImportValue":"stream"}]}]},".",{"Ref":"AWS::URLSuffix"}]]},"kms:EncryptionContext:aws:kinesis:arn":{"Fn::ImportValue":"stream"}}}}]`)
}

func TestExtensionRefusals(t *testing.T) {
	stack := newStack(t)
	stream := kinetelcdk.NewTelemetryStream(stack, "Stream", nil)
	good, bad := packages(t), t.TempDir()
	for _, one := range []struct {
		props    kinetelcdk.TelemetryExtensionProps
		problems []string
	}{
		{kinetelcdk.TelemetryExtensionProps{Packages: good}, []string{
			"Stream is not set; make a TelemetryStream, or import one with TelemetryStream_FromTelemetryStreamArn",
		}},
		{kinetelcdk.TelemetryExtensionProps{Packages: good, Stream: stream, Architectures: []kinetelcdk.Architecture{"amd64", "arm64", "arm64"}}, []string{
			`Architectures has "amd64"; Lambda has "x86_64" and "arm64"`, `Architectures has "arm64" twice; name each once`,
		}},
		{kinetelcdk.TelemetryExtensionProps{Packages: good, Stream: stream, Architectures: []kinetelcdk.Architecture{"arm64"}, DefaultArchitecture: "x86_64"}, []string{
			`DefaultArchitecture is "x86_64", which has no layer; add it to Architectures, or use one of those`,
		}},
		{kinetelcdk.TelemetryExtensionProps{Packages: good, Stream: stream, ParameterPrefix: "/ssm/x"}, []string{
			`ParameterPrefix is "/ssm/x"; AWS reserves names that begin with /aws or /ssm; use one such as /telemetry/kinesis`,
		}},
		{kinetelcdk.TelemetryExtensionProps{Packages: bad, Stream: stream}, []string{
			"there is no layer's package " + filepath.Join(bad, "kinesis-telemetry-extension-amd64.zip") + "; run `make package` in Kinetel's repository first, or set Packages to its folder",
			"there is no layer's package " + filepath.Join(bad, "kinesis-telemetry-extension-arm64.zip") + "; run `make package` in Kinetel's repository first, or set Packages to its folder",
		}},
	} {
		refused(t, "Stack/Extension", func() { kinetelcdk.NewTelemetryExtension(stack, "Extension", &one.props) }, one.problems...)
	}

	// Nothing is made of packages in which Lambda would find no extension.
	archive := filepath.Join(bad, "kinesis-telemetry-extension-arm64.zip")
	props := &kinetelcdk.TelemetryExtensionProps{Packages: bad, Stream: stream, Architectures: []kinetelcdk.Architecture{kinetelcdk.ARM64}}
	broken := func() { kinetelcdk.NewTelemetryExtension(stack, "Extension", props) }
	useless := "the layer's package " + archive + " has no executable file extensions/kinesis-telemetry-extension, and Lambda would run nothing; run `make package` again"
	pack(t, archive, "extensions/kinesis-telemetry-extension", 0o644, "x")
	refused(t, "Stack/Extension", broken, useless)
	pack(t, archive, "kinesis-telemetry-extension", 0o755, "x")
	refused(t, "Stack/Extension", broken, useless)
	if err := os.WriteFile(archive, []byte("no zip"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, "Stack/Extension", broken, "the layer's package "+archive+" cannot be read: zip: not a valid zip file; run `make package` again")
}

// The default folder is where `make package` puts them, seen from deploy/cdk.
func TestPackagesDefault(t *testing.T) {
	stack := newStack(t)
	stream := kinetelcdk.NewTelemetryStream(stack, "Stream", nil)
	t.Chdir(t.TempDir())
	refused(t, "Stack/Extension", func() {
		kinetelcdk.NewTelemetryExtension(stack, "Extension", &kinetelcdk.TelemetryExtensionProps{Stream: stream, Architectures: []kinetelcdk.Architecture{kinetelcdk.ARM64}})
	}, "there is no layer's package ../../dist/kinesis-telemetry-extension-arm64.zip; run `make package` in Kinetel's repository first, or set Packages to its folder")
}
