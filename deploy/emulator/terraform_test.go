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
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/kinetel/kinetel/deploy/internal/moto"
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

// Each change of one side alone is a difference.
func TestChangeOfOneSide(t *testing.T) {
	template, err := os.ReadFile(templateFile)
	if err != nil {
		t.Fatal(err)
	}
	m := module(t, os.DirFS(moduleFolder))
	for old, changed := range map[string]string{
		"Action: [kinesis:PutRecord, kinesis:PutRecords]": "Action: kinesis:*",
		"DeletionPolicy: Retain":                          "DeletionPolicy: Delete",
		"EnableKeyRotation: true":                         "EnableKeyRotation: false",
		"RetentionInDays: 30":                             "RetentionInDays: 31",
		"Threshold: 0":                                    "Threshold: 1",
		"MAX(SettingsReplaced)":                           "SUM(SettingsReplaced)",
		`"title": "Events lost"`:                          `"title": "Lost events"`,
		"{Name: seq, Type: bigint}":                       "{Name: seq, Type: int}",
		"faas_name=!{partition":                           "name=!{partition",
		"SizeInMBs: 64":                                   "SizeInMBs: 128",
		"/runtime/policy/arn":                             "/policy/arn",
		"Value: kinetel}":                                 "Value: telemetry}",
		"Default: ON_DEMAND":                              "Default: ON_DEMAND\n  Other:\n    Type: String\n    Default: x",
		"Value: !GetAtt Stream.Arn\n  KeyArn":             "Value: !Ref Stream\n  KeyArn",
	} {
		text := strings.ReplaceAll(string(template), old, changed)
		tmpl, err := parse([]byte(text))
		if err != nil || text == string(template) {
			t.Fatalf("%s cannot become %s: %v", old, changed, err)
		}
		w, err := evaluate(tmpl, moto.Region, allSet)
		if err != nil {
			t.Fatal(err)
		}
		if len(compare(w, m)) == 0 {
			t.Errorf("in the template, %s may become %s unseen", old, changed)
		}
	}

	w := with(t, allSet)
	for change, changed := range map[[2]string]string{
		{"main.tf", `"kinesis:PutRecord", `}:                      ``,
		{"main.tf", `"Encrypts Kinetel's stream"`}:                `"A key"`,
		{"main.tf", `prevent_destroy = true`}:                     `prevent_destroy = false`,
		{"main.tf", `own_key && local.writers`}:                   `own_key`,
		{"layers.tf", `skip_destroy             = true`}:          `skip_destroy = false`,
		{"layers.tf", `extension-${each.key}"`}:                   `extension"`,
		{"alarms.tf", `evaluation_periods  = 3`}:                  `evaluation_periods = 2`,
		{"alarms.tf", `"age / 60000"`}:                            `"age / 1000"`,
		{"alarms.tf", `ok_actions          = local.topic`}:        ``,
		{"dashboard.tf", `= 6 * i`}:                        `= 5 * i`,
		{"delivery.tf", `"s3:AbortMultipartUpload"`}:              `"s3:*"`,
		{"delivery.tf", `restrict_public_buckets = true`}:         `restrict_public_buckets = false`,
		{"delivery.tf", `"AppendDelimiterToRecord"`}:              `"Decompression"`,
		{"tables.tf", `requestid = "requestId", `}:                ``,
		{"tables.tf", `"injected"`}:                               `"enum"`,
		{"outputs.tf", `aws_kinesis_stream.stream.arn`}:           `aws_kinesis_stream.stream.id`,
		{"delivery.tf", `resource "aws_s3_bucket_policy" "deliv`}: `resource "aws_s3_bucket_policy" "other`,
		{"delivery.tf", `retention_in_days = 30`}:                 `retention_days = 30`,
	} {
		file, old := change[0], change[1]
		fsys := fstest.MapFS{}
		for _, name := range must[[]string](t)(fs.Glob(os.DirFS(moduleFolder), "*.tf")) {
			text := must[[]byte](t)(os.ReadFile(moduleFolder + "/" + name))
			if name == file {
				if !strings.Contains(string(text), old) {
					t.Fatalf("%s has no %s", file, old)
				}
				text = []byte(strings.ReplaceAll(string(text), old, changed))
			}
			fsys[name] = &fstest.MapFile{Data: text}
		}
		found := compare(w, module(t, fsys))
		if old == `own_key && local.writers` { // differs only without writers
			found = compare(with(t, map[string]string{"Encryption": "customer"}), module(t, fsys))
		}
		if len(found) == 0 {
			t.Errorf("in %s, %s may become %s unseen", file, old, changed)
		}
	}
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
		if want := variablesOf(map[string]any{logical: defaults[logical]})[name]; variables[name] == cty.NilVal || !cmp.Equal(plainValue(want), plainValue(variables[name])) {
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
