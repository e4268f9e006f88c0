package emulator

import (
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/kinetel/kinetel/internal/version"
)

func TestVariablesHaveTheDefaultsOfTheParameters(t *testing.T) {
	tf, err := module(t, os.DirFS(moduleFolder)).evaluate(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	variables := tf.scope["var"]
	defaults := with(t, nil).names
	for parameter := range load(t).section("Parameters") {
		if isSample(parameter) {
			continue
		}
		name := variableOf(parameter)
		want := variablesOf(map[string]any{parameter: defaults[parameter]})[name]
		if variables[name] == cty.NilVal || !cmp.Equal(plainValue(want), plainValue(variables[name])) {
			t.Errorf("%s is %v by default, and %s %v", parameter, defaults[parameter], name, variables[name])
		}
		delete(variables, name)
	}
	if diff := cmp.Diff([]string{"layer_folder", "name"}, sorted(variables)); diff != "" {
		t.Errorf("variables that are no parameters:\n%s", diff)
	}
}

// A value is tried for every parameter, and for its variable.
func TestVariablesRefuseWhatTheParametersRefuse(t *testing.T) {
	texts := []string{
		"", "x", "X-1", "kinetel", "kinetel/", "/kinetel/", "/kinetel", "a/b/", "a b", "*", "a_b", "A", "-a", "s3://zips", "zips", "zi",
		"111122223333", "11112222333", "arn:aws:iam::111122223333:root", "arn:aws:sns:eu-west-1:123456789012:alarms",
		"arn:aws:sqs:eu-west-1:123456789012:alarms", "0.1.0", "v0.1.0", "1.0", "1.0.0-rc.1", "2026/11/01", "2026/13/01", "2026-11-01",
		"aws", "customer", "none", "s3", "s3-partitioned", "ON_DEMAND", "on_demand", "PROVISIONED", "x86_64", "arm64", "amd64",
	}
	m := module(t, os.DirFS(moduleFolder))
	for logical, p := range load(t).section("Parameters") {
		if isSample(logical) {
			continue
		}
		p := p.(map[string]any)
		name := variableOf(logical)
		values := texts
		if p["Type"] == "Number" {
			values = nil
			for _, n := range []int{p["MinValue"].(int), p["MaxValue"].(int)} {
				values = append(values, fmt.Sprint(n-1), fmt.Sprint(n), fmt.Sprint(n+1))
			}
		}
		for _, v := range values {
			_, want := parameter(p, v)
			given := map[string]cty.Value{name: cty.StringVal(v)}
			if name == "writer_accounts" {
				given = variablesOf(map[string]any{logical: []any{v}, "Encryption": "customer"})
			}
			_, err := m.evaluate(given, nil)
			if (want == nil) != (err == nil) {
				t.Errorf("%s=%q: the template: %v; Terraform: %v", logical, v, want, err)
			}
			if err != nil && !strings.HasPrefix(err.Error(), name+" ") {
				t.Errorf("the error does not begin with %s: %v", name, err)
			}
		}
	}
}

func TestVariablesThatDoNotGoTogether(t *testing.T) {
	for message, given := range map[string]map[string]cty.Value{
		`needs encryption = "customer"`: {"writer_accounts": cty.TupleVal([]cty.Value{cty.StringVal("111122223333")})},
		"are both set":                  {"layer_folder": cty.StringVal("dist"), "layer_bucket": cty.StringVal("zips")},
		"begin with a letter":           {"name": cty.StringVal("Kinetel")},
		"a whole number":                {"shard_count": cty.NumberFloatVal(1.5)},
	} {
		if _, err := module(t, os.DirFS(moduleFolder)).evaluate(given, nil); err == nil || !strings.Contains(err.Error(), message) {
			t.Errorf("%v: %v, want %s", given, err, message)
		}
	}
}

func TestLayersFromAFolder(t *testing.T) {
	tf, err := module(t, os.DirFS(moduleFolder)).evaluate(map[string]cty.Value{"layer_folder": cty.StringVal("dist")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	layer := tf.asTemplate()["LayerX86"]
	same(t, "file", layer["Filename"], "dist/kinesis-telemetry-extension-amd64.zip")
	same(t, "content", layer["Content"], "")
}

// A file that "terraform fmt" would change.
func TestTerraformIsFormatted(t *testing.T) {
	for _, folder := range []string{moduleFolder, exampleFolder} {
		names, err := fs.Glob(os.DirFS(folder), "*.tf")
		if err != nil || len(names) == 0 {
			t.Fatal(folder, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(folder + "/" + name)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(hclwrite.Format(text)), string(text)); diff != "" {
				t.Errorf("%s/%s is not formatted: run terraform fmt\n%s", folder, name, diff)
			}
		}
	}
}

// The README has each variable with its default, and each output.
func TestReadmeOfTheModule(t *testing.T) {
	text, err := os.ReadFile(moduleFolder + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	tf, err := module(t, os.DirFS(moduleFolder)).evaluate(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if ref := "?ref=v" + version.Version + `"`; !strings.Contains(string(text), ref) {
		t.Errorf("README.md has no source with %s", ref)
	}
	documented := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (.*?) \\|").FindAllStringSubmatch(string(text), -1) {
		documented[m[1]] = strings.Trim(m[2], "`")
	}
	want := map[string]string{}
	for name := range tf.outputs {
		want[name] = documented[name] // has no default
		if want[name] == "" {
			t.Errorf("README.md has no output %s", name)
		}
	}
	for name, v := range tf.scope["var"] {
		if want[name] = fmt.Sprint(plainValue(v)); want[name] == "" {
			want[name] = "none"
		}
	}
	if diff := cmp.Diff(want, documented); diff != "" {
		t.Errorf("README.md (-module +README):\n%s", diff)
	}
}
