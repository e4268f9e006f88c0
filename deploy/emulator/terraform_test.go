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
	"github.com/zclconf/go-cty/cty"
)

const (
	moduleFolder  = "../terraform"
	exampleFolder = moduleFolder + "/examples/complete"
)

// addresses has the Terraform address of each resource of the template, by its logical name.
// The template's sample is the function of the example.
var addresses = map[string]string{
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

var capital = regexp.MustCompile(`[A-Z]`)

// variableOf returns the variable that is a parameter of the template.
func variableOf(parameter string) string {
	if parameter == "Version" {
		return "kinetel_version" // Terraform reserves "version"
	}
	return strings.TrimPrefix(strings.ToLower(capital.ReplaceAllString(parameter, "_$0")), "_")
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
		address, ok := addresses[logical]
		_, made := tf.resources[address]
		if !ok || made != w.exists(raw) {
			found = append(found, fmt.Sprintf("%s: the template makes it: %v, Terraform: %v (%s)", logical, w.exists(raw), made, address))
		}
		if !made || !w.exists(raw) {
			continue
		}
		want := jsonOf(w.resource(logical).properties).(map[string]any)
		delete(want, "CatalogId") // Terraform takes the account's by default
		if logical == "Dashboard" {
			delete(want, "Tags") // the provider cannot tag dashboards
		}
		if diff := cmp.Diff(want, got[logical]); diff != "" {
			found = append(found, fmt.Sprintf("%s (-template +Terraform):\n%s", logical, diff))
		}
		if retain := raw["DeletionPolicy"] == "Retain"; retain != tf.retains(address) {
			found = append(found, fmt.Sprintf("%s: the template retains it: %v, Terraform: %v", logical, retain, !retain))
		}
	}
	for _, address := range sorted(tf.resources) {
		logical, ok := parts[address]
		if ok && tf.resources[addresses[logical]].value == cty.NilVal {
			found = append(found, address+" is there without "+addresses[logical])
		}
		if !ok && !slices.Contains(slices.Collect(maps.Values(addresses)), address) {
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
	return inner(of, func(s string) string { return s })
}

// inner replaces strings that are JSON objects, such as a policy or a dashboard, by
// what they contain, and other strings by what f makes of them.
func inner(v any, f func(string) string) any {
	switch v := v.(type) {
	case string:
		var object map[string]any
		if json.Unmarshal([]byte(v), &object) == nil {
			return inner(object, f)
		}
		return f(v)
	case []any:
		for i := range v {
			v[i] = inner(v[i], f)
		}
	case map[string]any:
		for name := range v {
			v[name] = inner(v[name], f)
		}
	}
	return v
}

func isSample(logical string) bool { return strings.HasPrefix(logical, "Sample") }

// compare evaluates a module with the parameters of a stack, and returns how they
// differ.
func compare(w *evaluation, m *tfModule) []string {
	parameters := maps.Clone(w.names)
	maps.DeleteFunc(parameters, func(name string, _ any) bool { return strings.Contains(name, "::") })
	tf, err := m.evaluate(variablesOf(parameters), nil)
	if err != nil {
		return []string{err.Error()}
	}
	found := differences(w, tf, isSample)
	got, want := map[string]any{}, map[string]any{}
	for name, v := range tf.outputs {
		if !v.IsNull() {
			got[name] = plainValue(v)
		}
	}
	for name, v := range w.outputs() {
		if !isSample(name) {
			want[variableOf(name)] = v
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		found = append(found, "outputs (-template +Terraform):\n"+diff)
	}
	return found
}

// allSet has another value for each parameter than the default.
var allSet = map[string]string{
	"StreamMode": "PROVISIONED", "ShardCount": "3", "RetentionHours": "48", "Encryption": "customer", "WriterAccounts": "111122223333,444455556666",
	"LayerBucket": "layers", "LayerPrefix": "zips/", "Version": "1.2.3", "DefaultArchitecture": "arm64", "ParameterPrefix": "/mine",
	"AlarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:alarms", "IteratorAgeMinutes": "30",
	"Delivery": "s3-partitioned", "BufferSeconds": "60", "ExpirationDays": "7", "DatabaseName": "logs", "FirstDay": "2026/12/01", "Sample": "true",
}

func TestModuleIsTheTemplate(t *testing.T) {
	for parameter, p := range load(t).section("Parameters") {
		if v, ok := allSet[parameter]; !ok || v == fmt.Sprint(p.(map[string]any)["Default"]) {
			t.Errorf("allSet has %q for %s, which is the default", v, parameter)
		}
	}
	m := module(t, os.DirFS(moduleFolder))
	for _, d := range compare(with(t, allSet), m) {
		t.Error(d)
	}
	everySet(t, func(t *testing.T, w *evaluation) {
		for _, d := range compare(w, m) {
			t.Error(d)
		}
	})
}

func TestExampleIsTheSample(t *testing.T) {
	w := with(t, map[string]string{"LayerBucket": "layers", "Sample": "true"})
	outputs := map[string]cty.Value{}
	for name, v := range w.outputs() {
		outputs[variableOf(name)] = cty.StringVal(v.(string))
	}
	example := module(t, os.DirFS(exampleFolder))
	tf, err := example.evaluate(nil, map[string]cty.Value{"kinetel": cty.ObjectVal(outputs)})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences(w, tf, func(logical string) bool { return !isSample(logical) }) {
		t.Error(d)
	}
	// The module accepts what the example gives it, and makes layers of it.
	given := map[string]cty.Value{}
	attributes, _ := example.blocks.OfType("module")[0].Body.JustAttributes()
	for name, a := range attributes {
		v, diags := a.Expr.Value(tf.context())
		if given[name] = v; diags.HasErrors() {
			t.Fatal(diags)
		}
	}
	delete(given, "source")
	called, err := module(t, os.DirFS(moduleFolder)).evaluate(given, nil)
	if err != nil {
		t.Fatal(err)
	}
	if called.outputs["layer_arm_arn"].IsNull() {
		t.Error("the module makes no layers for the example")
	}
}
