package emulator

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
)

const (
	moduleFolder  = "../terraform"
	exampleFolder = moduleFolder + "/examples/complete"
)

// terraforms has the address of each resource of the template, by its logical name.
// The template's sample is the function of the example.
var terraforms = map[string]string{
	"Stream":               "aws_kinesis_stream.stream",
	"Key":                  "aws_kms_key.key",
	"StreamPolicy":         "aws_kinesis_resource_policy.stream",
	"StreamParameter":      "aws_ssm_parameter.stream",
	"LayerX86":             `aws_lambda_layer_version.layer["x86_64"]`,
	"LayerArm":             `aws_lambda_layer_version.layer["arm64"]`,
	"LayerX86Parameter":    `aws_ssm_parameter.layer["x86_64"]`,
	"LayerArmParameter":    `aws_ssm_parameter.layer["arm64"]`,
	"LayerParameter":       "aws_ssm_parameter.default_layer",
	"Policy":               "aws_iam_policy.write",
	"PolicyParameter":      "aws_ssm_parameter.policy",
	"ThrottledAlarm":       "aws_cloudwatch_metric_alarm.throttled",
	"IteratorAgeAlarm":     "aws_cloudwatch_metric_alarm.iterator_age",
	"LossAlarm":            "aws_cloudwatch_metric_alarm.loss",
	"SettingsAlarm":        "aws_cloudwatch_metric_alarm.settings",
	"Dashboard":            "aws_cloudwatch_dashboard.dashboard",
	"DeliveryBucket":       "aws_s3_bucket.delivery",
	"DeliveryBucketPolicy": "aws_s3_bucket_policy.delivery",
	"DeliveryLogs":         "aws_cloudwatch_log_group.delivery",
	"DeliveryLogStream":    "aws_cloudwatch_log_stream.delivery",
	"DeliveryRole":         "aws_iam_role.delivery",
	"Firehose":             "aws_kinesis_firehose_delivery_stream.delivery",
	"Database":             "aws_glue_catalog_database.delivery",
	"Table":                `aws_glue_catalog_table.delivery["kinetel"]`,
	"TableByFunction":      `aws_glue_catalog_table.delivery["kinetel_by_function"]`,
	"SampleLogs":           "aws_cloudwatch_log_group.sample",
	"SampleRole":           "aws_iam_role.sample",
	"SampleFunction":       "aws_lambda_function.sample",
}

// parts are resources of Terraform that are properties of another one in the template.
var parts = map[string]string{
	"aws_s3_bucket_server_side_encryption_configuration.delivery": "DeliveryBucket",
	"aws_s3_bucket_public_access_block.delivery":                  "DeliveryBucket",
	"aws_s3_bucket_ownership_controls.delivery":                   "DeliveryBucket",
	"aws_s3_bucket_lifecycle_configuration.delivery":              "DeliveryBucket",
	"aws_iam_role_policy.delivery":                                "DeliveryRole",
	"aws_iam_role_policy.log":                                     "SampleRole",
	"aws_iam_role_policy_attachment.sample":                       "SampleRole",
}

// variableOf returns the variable that is a parameter of the template.
func variableOf(parameter string) string {
	if parameter == "Version" {
		return "kinetel_version" // Terraform reserves "version"
	}
	return strings.TrimPrefix(strings.ToLower(regexp.MustCompile(`[A-Z]`).ReplaceAllString(parameter, "_$0")), "_")
}

func module(t *testing.T, fsys fs.FS) *tfModule {
	t.Helper()
	m, err := readModule(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// variablesOf are a stack's parameters as variables of the module.
func variablesOf(parameters map[string]any) map[string]cty.Value {
	given := map[string]cty.Value{}
	for name, v := range parameters {
		switch v := v.(type) {
		case string:
			given[variableOf(name)] = cty.StringVal(v)
		case int:
			given[variableOf(name)] = cty.NumberIntVal(int64(v))
		case []any:
			list := []cty.Value{}
			for _, e := range v {
				if e != "" {
					list = append(list, cty.StringVal(e.(string)))
				}
			}
			given[variableOf(name)] = cty.TupleVal(list)
		}
	}
	delete(given, "sample")
	return given
}

// differences returns how a module differs from a stack in resources, without those
// that skip reports.
func differences(w *evaluation, tf *tfEvaluation, skip func(logical string) bool) []string {
	var found []string
	got := tf.asTemplate()
	for _, logical := range sorted(w.section("Resources")) {
		raw := w.section("Resources")[logical].(map[string]any)
		if skip(logical) {
			continue
		}
		address, ok := terraforms[logical]
		_, made := tf.resources[address]
		if !ok || made != w.exists(raw) {
			found = append(found, fmt.Sprintf("%s: the template makes it: %v, Terraform: %v (%s)", logical, w.exists(raw), made, address))
		}
		if !made || !w.exists(raw) {
			continue
		}
		want := jsonOf(w.resource(logical).properties).(map[string]any)
		delete(want, "CatalogId") // in Terraform the account's own without it
		if diff := cmp.Diff(want, got[logical]); diff != "" {
			found = append(found, fmt.Sprintf("%s (-template +Terraform):\n%s", logical, diff))
		}
		if retain := raw["DeletionPolicy"] == "Retain"; retain != tf.retains(address) {
			found = append(found, fmt.Sprintf("%s: the template retains it: %v, Terraform: %v", logical, retain, !retain))
		}
	}
	for _, address := range sorted(tf.resources) {
		logical, ok := parts[address]
		if ok && tf.resources[terraforms[logical]].value == cty.NilVal {
			found = append(found, address+" is there without "+terraforms[logical])
		}
		if !ok && !slices.Contains(slices.Collect(maps.Values(terraforms)), address) {
			found = append(found, address+" is not in the template")
		}
	}
	return found
}

func (w *tfEvaluation) retains(address string) bool {
	r := w.resources[address]
	skip := r.value.Type().HasAttribute("skip_destroy") && r.value.GetAttr("skip_destroy").RawEquals(cty.True)
	return r.protect || skip
}

func jsonOf(v any) any {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	var of any
	if err := json.Unmarshal(text, &of); err != nil {
		panic(err)
	}
	return inner(of)
}

// inner replaces strings that are JSON objects, such as a policy or a dashboard, by
// what they contain.
func inner(v any) any {
	switch v := v.(type) {
	case string:
		var object map[string]any
		if json.Unmarshal([]byte(v), &object) == nil {
			return inner(object)
		}
	case []any:
		for i := range v {
			v[i] = inner(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = inner(v[name])
		}
	}
	return v
}

func isSample(logical string) bool { return strings.HasPrefix(logical, "Sample") }

func TestModuleIsTheTemplate(t *testing.T) {
	m := module(t, os.DirFS(moduleFolder))
	everySet(t, func(t *testing.T, w *evaluation) {
		parameters := maps.Clone(w.names)
		maps.DeleteFunc(parameters, func(name string, _ any) bool { return strings.Contains(name, "::") })
		tf, err := m.evaluate(variablesOf(parameters), nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range differences(w, tf, isSample) {
			t.Error(d)
		}
		outputs := map[string]any{}
		for name, v := range tf.outputs {
			if !v.IsNull() {
				outputs[name] = tf.plain(v)
			}
		}
		want := map[string]any{}
		for name, v := range w.outputs() {
			if !isSample(name) {
				want[variableOf(name)] = v
			}
		}
		if diff := cmp.Diff(want, outputs); diff != "" {
			t.Errorf("outputs (-template +Terraform):\n%s", diff)
		}
	})
}

func TestExampleIsTheSample(t *testing.T) {
	w := with(t, map[string]string{"LayerBucket": "layers", "Sample": "true"})
	outputs := map[string]cty.Value{}
	for name, v := range w.outputs() {
		outputs[variableOf(name)] = cty.StringVal(v.(string))
	}
	tf, err := module(t, os.DirFS(exampleFolder)).evaluate(nil, map[string]cty.Value{"kinetel": cty.ObjectVal(outputs)})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences(w, tf, func(logical string) bool { return !isSample(logical) }) {
		t.Error(d)
	}
}

// Variables have the defaults of the parameters and refuse what these refuse.
func TestVariablesAreTheParameters(t *testing.T) {
	m := module(t, os.DirFS(moduleFolder))
	tf, err := m.evaluate(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	variables := tf.scope["var"].AsValueMap()
	defaults := with(t, nil).names
	texts := []string{
		"", "x", "X-1", "kinetel", "kinetel/", "/kinetel/", "/kinetel", "a/b/", "a b", "*", "a_b", "A", "-a", "s3://zips", "zips", "zi",
		"111122223333", "11112222333", "arn:aws:iam::111122223333:root", "arn:aws:sns:eu-west-1:123456789012:alarms",
		"arn:aws:sqs:eu-west-1:123456789012:alarms", "0.1.0", "v0.1.0", "1.0", "1.0.0-rc.1", "2026/11/01", "2026/13/01", "2026-11-01",
		"aws", "customer", "none", "s3", "s3-partitioned", "ON_DEMAND", "on_demand", "PROVISIONED", "x86_64", "arm64", "amd64",
	}
	for logical, p := range load(t).section("Parameters") {
		p := p.(map[string]any)
		name := variableOf(logical)
		if isSample(logical) {
			continue
		}
		if want := variablesOf(map[string]any{logical: defaults[logical]})[name]; variables[name] == cty.NilVal || !cmp.Equal(tf.plain(want), tf.plain(variables[name])) {
			t.Errorf("%s is %v by default, and %s %v", logical, defaults[logical], name, variables[name])
		}
		delete(variables, name)
		values := texts
		if p["Type"] == "Number" {
			values = nil
			for _, n := range []int{p["MinValue"].(int), p["MaxValue"].(int)} {
				values = append(values, fmt.Sprint(n-1), fmt.Sprint(n), fmt.Sprint(n+1))
			}
		}
		for _, v := range values {
			_, err := parameter(p, v)
			given := map[string]cty.Value{name: cty.StringVal(v)}
			if p["Type"] == "CommaDelimitedList" && v != "" {
				given[name] = cty.TupleVal([]cty.Value{given[name]})
			} else if p["Type"] == "CommaDelimitedList" {
				given[name] = cty.EmptyTupleVal
			}
			if name == "writer_accounts" {
				given["encryption"] = cty.StringVal("customer")
			}
			_, tfErr := m.evaluate(given, nil)
			if (err == nil) != (tfErr == nil) {
				t.Errorf("%s=%q: the template: %v; Terraform: %v", logical, v, err, tfErr)
			}
			if tfErr != nil && !strings.HasPrefix(tfErr.Error(), name+" ") {
				t.Errorf("the error does not begin with %s: %v", name, tfErr)
			}
		}
	}
	if diff := cmp.Diff([]string{"layer_folder", "name"}, sorted(variables)); diff != "" {
		t.Errorf("variables that are no parameters:\n%s", diff)
	}
	for message, given := range map[string]map[string]cty.Value{
		`needs encryption = "customer"`: {"writer_accounts": cty.TupleVal([]cty.Value{cty.StringVal("111122223333")})},
		"are both set":                  {"layer_folder": cty.StringVal("dist"), "layer_bucket": cty.StringVal("zips")},
		"begin with a letter":           {"name": cty.StringVal("Kinetel")},
	} {
		if _, err := m.evaluate(given, nil); err == nil || !strings.Contains(err.Error(), message) {
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

// The table of the README has each variable and output.
func TestReadmeOfTheModule(t *testing.T) {
	text, err := os.ReadFile(moduleFolder + "/README.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := []string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(\\w+)`").FindAllStringSubmatch(string(text), -1) {
		documented = append(documented, m[1])
	}
	tf, err := module(t, os.DirFS(moduleFolder)).evaluate(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := append(sorted(tf.scope["var"].AsValueMap()), sorted(tf.outputs)...)
	slices.Sort(want)
	slices.Sort(documented)
	if diff := cmp.Diff(want, documented); diff != "" {
		t.Errorf("README.md (-module +README):\n%s", diff)
	}
}
