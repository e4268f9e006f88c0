package emulator

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/kinetel/kinetel/deploy/internal/moto"
)

// A change of the template alone is a difference.
func TestModuleIsNotAChangedTemplate(t *testing.T) {
	template := string(must[[]byte](t)(os.ReadFile(templateFile)))
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
		text := strings.ReplaceAll(template, old, changed)
		if text == template {
			t.Fatalf("the template has no %s", old)
		}
		w, err := evaluate(must[map[string]any](t)(parse([]byte(text))), moto.Region, allSet)
		if err != nil {
			t.Fatal(err)
		}
		if len(compare(w, m)) == 0 {
			t.Errorf("no difference if %s becomes %s", old, changed)
		}
	}
}

// A change of the module alone is a difference.
func TestChangedModuleIsNotTheTemplate(t *testing.T) {
	w := with(t, allSet)
	for change, changed := range map[[2]string]string{
		{"main.tf", `"kinesis:PutRecord", `}:                      ``,
		{"main.tf", `"Encrypts Kinetel's stream"`}:                `"A key"`,
		{"main.tf", `prevent_destroy = true`}:                     `prevent_destroy = false`,
		{"layers.tf", `skip_destroy             = true`}:          `skip_destroy = false`,
		{"layers.tf", `extension-${each.key}"`}:                   `extension"`,
		{"alarms.tf", `evaluation_periods  = 3`}:                  `evaluation_periods = 2`,
		{"alarms.tf", `"age / 60000"`}:                            `"age / 1000"`,
		{"alarms.tf", `ok_actions          = local.topic`}:        ``,
		{"dashboard.tf", `= 6 * i`}:                               `= 5 * i`,
		{"delivery.tf", `"s3:AbortMultipartUpload"`}:              `"s3:*"`,
		{"delivery.tf", `restrict_public_buckets = true`}:         `restrict_public_buckets = false`,
		{"delivery.tf", `"AppendDelimiterToRecord"`}:              `"Decompression"`,
		{"tables.tf", `requestid = "requestId", `}:                ``,
		{"tables.tf", `"injected"`}:                               `"enum"`,
		{"outputs.tf", `aws_kinesis_stream.stream.arn`}:           `aws_kinesis_stream.stream.id`,
		{"delivery.tf", `resource "aws_s3_bucket_policy" "deliv`}: `resource "aws_s3_bucket_policy" "other`,
		{"delivery.tf", `retention_in_days = 30`}:                 `retention_days = 30`,
	} {
		if len(compare(w, changedModule(t, change[0], change[1], changed))) == 0 {
			t.Errorf("no difference if %s in %s becomes %s", change[1], change[0], changed)
		}
	}
	// Only without writers.
	m := changedModule(t, "main.tf", `own_key && local.writers`, `own_key`)
	if len(compare(with(t, map[string]string{"Encryption": "customer"}), m)) == 0 {
		t.Error("no difference if the stream always has a policy")
	}
}

// changedModule returns the module with another text in a file.
func changedModule(t *testing.T, file, old, changed string) *tfModule {
	t.Helper()
	files := fstest.MapFS{}
	for _, name := range must[[]string](t)(fs.Glob(os.DirFS(moduleFolder), "*.tf")) {
		text := string(must[[]byte](t)(os.ReadFile(moduleFolder + "/" + name)))
		if name == file && !strings.Contains(text, old) {
			t.Fatalf("%s has no %s", file, old)
		}
		if name == file {
			text = strings.ReplaceAll(text, old, changed)
		}
		files[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return module(t, files)
}
