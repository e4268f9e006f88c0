package emulator

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/emf"
	"github.com/kinetel/kinetel/internal/version"
	"github.com/kinetel/kinetel/schema"

	"github.com/kinetel/kinetel/deploy/internal/moto"
)

// sets are what the template is deployed with: as it stands, with nearly everything,
// and without what can be left out.
func sets() map[string]map[string]string {
	return map[string]map[string]string{
		"defaults with layers": {"LayerBucket": "layers"},
		"everything": {
			"StreamMode": "PROVISIONED", "ShardCount": "3", "RetentionHours": "48",
			"Encryption": "customer", "WriterAccounts": "111122223333,444455556666",
			"LayerBucket": "layers", "LayerPrefix": "kinetel/", "DefaultArchitecture": "arm64", "ParameterPrefix": "/telemetry/kinesis",
			"AlarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:alarms", "IteratorAgeMinutes": "30",
			"Delivery": "s3", "Sample": "true",
		},
		"minimal": nil,
	}
}

func load(t *testing.T) template {
	t.Helper()
	tmpl, _, err := readTemplate()
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

func with(t *testing.T, given map[string]string) *evaluation {
	t.Helper()
	w, err := evaluate(load(t), moto.Region, given)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// everySet calls f for each combination of what switches something on or off.
func everySet(t *testing.T, f func(t *testing.T, w *evaluation)) {
	tmpl := load(t)
	all := []map[string]string{{}}
	for name, values := range map[string][]string{
		"StreamMode":          {"ON_DEMAND", "PROVISIONED"},
		"Encryption":          {"aws", "customer"},
		"WriterAccounts":      {"", "111122223333"},
		"LayerBucket":         {"", "layers"},
		"DefaultArchitecture": {"x86_64", "arm64"},
		"AlarmTopicArn":       {"", "arn:aws:sns:eu-west-1:123456789012:alarms"},
		"Delivery":            {"none", "s3", "s3-partitioned"},
		"Sample":              {"true", "false"},
	} {
		var more []map[string]string
		for _, set := range all {
			for _, v := range values {
				set := maps.Clone(set)
				set[name] = v
				more = append(more, set)
			}
		}
		all = more
	}
	ran := 0
	for _, set := range all {
		w, err := evaluate(tmpl, moto.Region, set)
		if err != nil {
			continue // TestWhatIsRefused has these
		}
		ran++
		if t.Run(fmt.Sprint(set), func(t *testing.T) { f(t, w) }); t.Failed() {
			return // the others would fail in the same way
		}
	}
	if want := len(all) * 3 / 4 * 3 / 4; ran != want {
		t.Errorf("%d of %d combinations may be deployed, want %d", ran, len(all), want)
	}
}

// same compares with what is expected, written as YAML.
func same(t *testing.T, what string, got any, want string) {
	t.Helper()
	expected, err := parse([]byte("v:\n" + indented(want)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(expected["v"], got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func indented(text string) string {
	lines := strings.Split(strings.TrimLeft(strings.TrimRight(text, "\n\t"), "\n"), "\n")
	tabs := len(lines[0]) - len(strings.TrimLeft(lines[0], "\t"))
	for i, l := range lines {
		lines[i] = "  " + strings.TrimPrefix(l, strings.Repeat("\t", tabs))
	}
	return strings.Join(lines, "\n")
}

func TestDefaultVersionIsKinetels(t *testing.T) {
	if got := load(t).section("Parameters")["Version"].(map[string]any)["Default"]; got != version.Version {
		t.Errorf("Version is %v by default, and Kinetel %s", got, version.Version)
	}
}

func TestWhatIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		given   map[string]string
		message string
	}{
		"writers with AWS's key":     {map[string]string{"WriterAccounts": "111122223333"}, "WriterAccounts needs Encryption=customer"},
		"a sample without layers":    {map[string]string{"Sample": "true"}, "Sample=true needs a LayerBucket"},
		"an account of 11 digits":    {map[string]string{"Encryption": "customer", "WriterAccounts": "111122223333,44445555666"}, "account ids of 12 digits"},
		"an account that is none":    {map[string]string{"Encryption": "customer", "WriterAccounts": "arn:aws:iam::111122223333:root"}, "account ids of 12 digits"},
		"everybody":                  {map[string]string{"Encryption": "customer", "WriterAccounts": "*"}, "account ids of 12 digits"},
		"a day less an hour":         {map[string]string{"RetentionHours": "23"}, "24 to 8760"},
		"a year and an hour":         {map[string]string{"RetentionHours": "8761"}, "24 to 8760"},
		"no shard":                   {map[string]string{"StreamMode": "PROVISIONED", "ShardCount": "0"}, "from 1 to 20000"},
		"too many shards":            {map[string]string{"StreamMode": "PROVISIONED", "ShardCount": "20001"}, "from 1 to 20000"},
		"a mode in small letters":    {map[string]string{"StreamMode": "on_demand"}, "none of"},
		"no encryption":              {map[string]string{"Encryption": "none"}, "none of"},
		"a version with a v":         {map[string]string{"Version": "v0.1.0"}, "without a leading v"},
		"a prefix without its slash": {map[string]string{"LayerPrefix": "kinetel"}, "ends with a slash"},
		"a prefix with a slash more": {map[string]string{"LayerPrefix": "/kinetel/"}, "does not begin with one"},
		"parameters without a slash": {map[string]string{"ParameterPrefix": "telemetry"}, "begins with a slash"},
		"parameters with a slash":    {map[string]string{"ParameterPrefix": "/telemetry/"}, "does not end with one"},
		"a topic's name":             {map[string]string{"AlarmTopicArn": "alarms"}, "ARN of an SNS topic"},
		"an architecture of Go's":    {map[string]string{"DefaultArchitecture": "amd64"}, "none of"},
		"a delivery that is none":    {map[string]string{"Delivery": "parquet"}, "none of"},
		"a database for quotes":      {map[string]string{"DatabaseName": "my-telemetry"}, "small letters"},
		"a buffer of seconds":        {map[string]string{"BufferSeconds": "59"}, "from 60 to 900"},
		"a buffer of an hour":        {map[string]string{"BufferSeconds": "3600"}, "from 60 to 900"},
		"a day with hyphens":         {map[string]string{"FirstDay": "2026-11-01"}, "FirstDay is a day such as 2026/11/01"},
		"a month that is none":       {map[string]string{"FirstDay": "2026/13/01"}, "FirstDay is a day such as 2026/11/01"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := evaluate(load(t), moto.Region, test.given)
			if err == nil || !strings.Contains(err.Error(), test.message) {
				t.Errorf("%v: %v, want %q", test.given, err, test.message)
			}
		})
	}
}

func TestParametersHaveADescriptionAGroupAndALabel(t *testing.T) {
	tmpl := load(t)
	var grouped []string
	face := tmpl.section("Metadata")["AWS::CloudFormation::Interface"].(map[string]any)
	for _, g := range face["ParameterGroups"].([]any) {
		for _, p := range g.(map[string]any)["Parameters"].([]any) {
			grouped = append(grouped, p.(string))
		}
	}
	slices.Sort(grouped)
	if diff := cmp.Diff(sorted(tmpl.section("Parameters")), grouped); diff != "" {
		t.Errorf("groups have other parameters (-parameters +groups):\n%s", diff)
	}
	labels := face["ParameterLabels"].(map[string]any)
	if diff := cmp.Diff(sorted(tmpl.section("Parameters")), sorted(labels)); diff != "" {
		t.Errorf("other parameters have labels (-parameters +labels):\n%s", diff)
	}
	for name, p := range tmpl.section("Parameters") {
		p := p.(map[string]any)
		if p["Description"] == nil {
			t.Errorf("%s has no description", name)
		}
		if text, _ := labels[name].(map[string]any)["default"].(string); text == "" {
			t.Errorf("%s has no label", name)
		}
		if p["AllowedPattern"] != nil && p["ConstraintDescription"] == nil {
			t.Errorf("%s has a pattern and no ConstraintDescription", name)
		}
	}
}

// untagged are types that CloudFormation gives no tags.
var untagged = []string{
	"AWS::Glue::Database", "AWS::Glue::Table", "AWS::IAM::ManagedPolicy",
	"AWS::Kinesis::ResourcePolicy", "AWS::Lambda::LayerVersion", "AWS::Logs::LogStream", "AWS::S3::BucketPolicy",
}

func TestWhatCanBeTaggedIs(t *testing.T) {
	everySet(t, func(t *testing.T, w *evaluation) {
		for logical, r := range w.resources() {
			var tagged bool
			switch tags := r.properties["Tags"].(type) {
			case []any:
				tagged = slices.ContainsFunc(tags, func(tag any) bool {
					return cmp.Equal(tag, any(map[string]any{"Key": "application", "Value": "kinetel"}))
				})
			case map[string]any:
				tagged = tags["application"] == "kinetel"
			}
			if tagged == slices.Contains(untagged, r.kind) {
				t.Errorf("%s, %s: tagged is %v", logical, r.kind, tagged)
			}
		}
	})
}

// statements returns all of a resource's policies, wherever they stand.
func statements(v any) (all []map[string]any) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			all = append(all, statements(e)...)
		}
	case map[string]any:
		if s, ok := v["Statement"].([]any); ok {
			for _, s := range s {
				all = append(all, s.(map[string]any))
			}
			return all
		}
		for _, e := range v {
			all = append(all, statements(e)...)
		}
	}
	return all
}

func list(v any) []any {
	if l, ok := v.([]any); ok {
		return l
	}
	return []any{v}
}

func TestNothingIsAllowedByWildcard(t *testing.T) {
	everySet(t, func(t *testing.T, w *evaluation) {
		seen := 0
		for logical, r := range w.resources() {
			for _, s := range statements(r.properties) {
				if s["Effect"] != "Allow" {
					continue
				}
				seen++
				if s["NotAction"] != nil || s["NotResource"] != nil || s["NotPrincipal"] != nil {
					t.Errorf("%s allows all but something: %v", logical, s)
				}
				key := r.kind == "AWS::KMS::Key" // the resource of its policy is always the key
				for _, a := range list(s["Action"]) {
					// An account without all rights to its own key could lose it.
					if strings.Contains(a.(string), "*") && (!key || !cmp.Equal(s["Principal"], any(map[string]any{"AWS": "arn:aws:iam::123456789012:root"}))) {
						t.Errorf("%s allows %v", logical, a)
					}
				}
				for _, on := range list(s["Resource"]) {
					objects := on == "<DeliveryBucket.Arn>/*"
					if on, ok := on.(string); ok && strings.Contains(on, "*") && !key && !objects {
						t.Errorf("%s allows it on %v", logical, on)
					}
				}
				if p, ok := s["Principal"].(map[string]any); s["Principal"] != nil && (!ok || slices.Contains(list(p["AWS"]), any("*"))) {
					t.Errorf("%s allows it to %v", logical, s["Principal"])
				}
			}
		}
		if seen == 0 {
			t.Error("there are no policies")
		}
	})
}

func TestOutputsAndDashboardsAreEvaluated(t *testing.T) {
	everySet(t, func(t *testing.T, w *evaluation) {
		out := w.outputs()
		for name, there := range map[string]bool{
			"StreamName": true, "StreamArn": true, "PolicyArn": true,
			"KeyArn": w.names["Encryption"] == "customer", "LayerX86Arn": w.names["LayerBucket"] != "", "LayerArmArn": w.names["LayerBucket"] != "",
			"DeliveryBucketName": w.names["Delivery"] != "none", "SampleFunctionName": w.names["Sample"] == "true",
		} {
			if (out[name] != nil) != there {
				t.Errorf("output %s is %v", name, out[name])
			}
			delete(out, name)
		}
		if len(out) != 0 {
			t.Errorf("outputs that are not expected: %v", out)
		}
	})
}

func TestDeletionPolicies(t *testing.T) {
	var stays []string
	for logical, r := range load(t).section("Resources") {
		r := r.(map[string]any)
		if r["DeletionPolicy"] != r["UpdateReplacePolicy"] {
			t.Errorf("%s: %v when the stack goes, %v when another takes its place", logical, r["DeletionPolicy"], r["UpdateReplacePolicy"])
		}
		if r["DeletionPolicy"] == "Retain" {
			stays = append(stays, logical)
		}
	}
	slices.Sort(stays)
	// Data, what is needed to read it, and layers that functions may still have.
	if diff := cmp.Diff([]string{"DeliveryBucket", "Key", "LayerArm", "LayerX86", "Stream"}, stays); diff != "" {
		t.Error(diff)
	}
}

func TestStream(t *testing.T) {
	same(t, "by default", with(t, nil).resource("Stream").properties, `
		StreamModeDetails: {StreamMode: ON_DEMAND}
		RetentionPeriodHours: 24
		StreamEncryption: {EncryptionType: KMS, KeyId: alias/aws/kinesis}
		Tags: [{Key: application, Value: kinetel}]
	`)
	same(t, "everything", with(t, sets()["everything"]).resource("Stream").properties, `
		StreamModeDetails: {StreamMode: PROVISIONED}
		ShardCount: 3
		RetentionPeriodHours: 48
		StreamEncryption: {EncryptionType: KMS, KeyId: <Key.Arn>}
		Tags: [{Key: application, Value: kinetel}]
	`)
}

func TestPolicyOfFunctions(t *testing.T) {
	same(t, "AWS's key", with(t, nil).resource("Policy").properties["PolicyDocument"], `
		Version: "2012-10-17"
		Statement:
		- {Effect: Allow, Action: ["kinesis:PutRecord", "kinesis:PutRecords"], Resource: <Stream.Arn>}
	`)
	same(t, "own key", with(t, map[string]string{"Encryption": "customer"}).resource("Policy").properties["PolicyDocument"], `
		Version: "2012-10-17"
		Statement:
		- {Effect: Allow, Action: ["kinesis:PutRecord", "kinesis:PutRecords"], Resource: <Stream.Arn>}
		- Effect: Allow
		  Action: kms:GenerateDataKey
		  Resource: <Key.Arn>
		  Condition: {StringEquals: {"kms:ViaService": kinesis.eu-west-1.amazonaws.com, "kms:EncryptionContext:aws:kinesis:arn": <Stream.Arn>}}
	`)
}

func TestNamesOfTheChinaPartition(t *testing.T) {
	w := with(t, map[string]string{"Encryption": "customer", "WriterAccounts": "111122223333", "Delivery": "s3"})
	w.names["AWS::Partition"], w.names["AWS::Region"], w.names["AWS::URLSuffix"] = "aws-cn", "cn-north-1", "amazonaws.com.cn"
	for logical, r := range w.resources() {
		text, err := json.Marshal(r.properties)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"arn:aws:", "amazonaws.com\"", "eu-west-1"} {
			// Services are principals by this name in China, too.
			if strings.Contains(strings.ReplaceAll(string(text), `"firehose.amazonaws.com"`, ""), bad) {
				t.Errorf("%s has %s: %s", logical, bad, text)
			}
		}
	}
}

func TestOtherAccounts(t *testing.T) {
	w := with(t, sets()["everything"])
	same(t, "stream", w.resource("StreamPolicy").properties, `
		ResourceArn: <Stream.Arn>
		ResourcePolicy:
		  Version: "2012-10-17"
		  Statement:
		  - Sid: WritersOfOtherAccounts
		    Effect: Allow
		    Principal: {AWS: ["111122223333", "444455556666"]}
		    Action: ["kinesis:PutRecord", "kinesis:PutRecords"]
		    Resource: <Stream.Arn>
	`)
	key := w.resource("Key").properties
	same(t, "key", key["KeyPolicy"], `
		Version: "2012-10-17"
		Statement:
		- {Effect: Allow, Principal: {AWS: "arn:aws:iam::123456789012:root"}, Action: "kms:*", Resource: "*"}
		- Sid: WritersOfOtherAccounts
		  Effect: Allow
		  Principal: {AWS: ["111122223333", "444455556666"]}
		  Action: kms:GenerateDataKey
		  Resource: "*"
		  Condition: {StringEquals: {"kms:ViaService": kinesis.eu-west-1.amazonaws.com}}
	`)
	if key["EnableKeyRotation"] != true {
		t.Error("the key is not rotated")
	}
	alone := with(t, map[string]string{"Encryption": "customer"}).resources()
	if n := len(statements(alone["Key"].properties)); n != 1 {
		t.Errorf("without other accounts the key has %d statements", n)
	}
	if _, ok := alone["StreamPolicy"]; ok {
		t.Error("without other accounts the stream has a policy")
	}
}

func TestLayers(t *testing.T) {
	w := with(t, map[string]string{"LayerBucket": "zips", "LayerPrefix": "a/b/", "Version": "1.2.3-rc.1"})
	same(t, "x86_64", w.resource("LayerX86").properties, `
		LayerName: kinesis-telemetry-extension-x86_64
		Description: "Kinetel 1.2.3-rc.1: sends Lambda telemetry to Kinesis"
		LicenseInfo: Apache-2.0
		CompatibleArchitectures: [x86_64]
		Content: {S3Bucket: zips, S3Key: a/b/1.2.3-rc.1/kinesis-telemetry-extension-amd64.zip}
	`)
	same(t, "arm64", w.resource("LayerArm").properties, `
		LayerName: kinesis-telemetry-extension-arm64
		Description: "Kinetel 1.2.3-rc.1: sends Lambda telemetry to Kinesis"
		LicenseInfo: Apache-2.0
		CompatibleArchitectures: [arm64]
		Content: {S3Bucket: zips, S3Key: a/b/1.2.3-rc.1/kinesis-telemetry-extension-arm64.zip}
	`)
}

func TestSSMParameters(t *testing.T) {
	for name, test := range map[string]struct {
		given map[string]string
		want  string
	}{
		"no layers": {nil, `
			/telemetry/kinesis/stream/arn: <Stream.Arn>
			/telemetry/kinesis/runtime/policy/arn: <Policy>
		`},
		"layers": {map[string]string{"LayerBucket": "zips"}, `
			/telemetry/kinesis/stream/arn: <Stream.Arn>
			/telemetry/kinesis/runtime/policy/arn: <Policy>
			/telemetry/kinesis/extension/x86_64/arn: <LayerX86>
			/telemetry/kinesis/extension/arm64/arn: <LayerArm>
			/telemetry/kinesis/extension/arn: <LayerX86>
		`},
		"arm64": {map[string]string{"LayerBucket": "zips", "DefaultArchitecture": "arm64", "ParameterPrefix": "/t"}, `
			/t/stream/arn: <Stream.Arn>
			/t/runtime/policy/arn: <Policy>
			/t/extension/x86_64/arn: <LayerX86>
			/t/extension/arm64/arn: <LayerArm>
			/t/extension/arn: <LayerArm>
		`},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[string]any{}
			for logical, r := range with(t, test.given).resources() {
				if r.kind != "AWS::SSM::Parameter" {
					continue
				}
				got[r.properties["Name"].(string)] = r.properties["Value"]
				if r.properties["Type"] != "String" {
					t.Errorf("%s is a %v", logical, r.properties["Type"])
				}
			}
			same(t, "parameters", got, test.want)
		})
	}
}

// The iterator age is the only alarm whose text depends on a parameter.
func TestTheAlarmsExplainThemselvesInTheSameWordsAsTheCDKs(t *testing.T) {
	golden, err := os.ReadFile("../cdk/kinetelcdk/testdata/default-KinetelTelemetry.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ThrottledAlarm", "LossAlarm", "SettingsAlarm"} {
		text, _ := with(t, nil).resource(name).properties["AlarmDescription"].(string)
		if !strings.Contains(string(golden), fmt.Sprintf("\"AlarmDescription\": %q", text)) {
			t.Errorf("the CDK has no alarm with %s's description: %s", name, text)
		}
	}
}

func TestAlarms(t *testing.T) {
	w := with(t, sets()["everything"])
	alarm := func(logical string) map[string]any {
		p := w.resource(logical).properties
		for _, name := range []string{"AlarmActions", "OKActions"} {
			if !cmp.Equal(p[name], any([]any{"arn:aws:sns:eu-west-1:123456789012:alarms"})) {
				t.Errorf("%s: %s is %v", logical, name, p[name])
			}
			if of := with(t, nil).resource(logical).properties[name]; of != nil {
				t.Errorf("%s without a topic: %s is %v", logical, name, of)
			}
			delete(p, name)
		}
		if p["AlarmDescription"] == "" {
			t.Errorf("%s is not explained", logical)
		}
		delete(p, "AlarmDescription")
		delete(p, "Tags")
		return p
	}
	same(t, "throttled", alarm("ThrottledAlarm"), `
		Namespace: AWS/Kinesis
		MetricName: WriteProvisionedThroughputExceeded
		Dimensions: [{Name: StreamName, Value: <Stream>}]
		Statistic: Sum
		Period: 300
		EvaluationPeriods: 1
		ComparisonOperator: GreaterThanThreshold
		Threshold: 0
		TreatMissingData: notBreaching
	`)
	same(t, "age", alarm("IteratorAgeAlarm"), `
		Metrics:
		- Id: age
		  ReturnData: false
		  MetricStat:
		    Metric:
		      Namespace: AWS/Kinesis
		      MetricName: GetRecords.IteratorAgeMilliseconds
		      Dimensions: [{Name: StreamName, Value: <Stream>}]
		    Stat: Maximum
		    Period: 300
		- {Id: minutes, Label: Minutes behind, Expression: age / 60000, ReturnData: true}
		EvaluationPeriods: 3
		ComparisonOperator: GreaterThanThreshold
		Threshold: 30
		TreatMissingData: notBreaching
	`)
	same(t, "lost", alarm("LossAlarm"), `
		Metrics:
		- Id: lost
		  Label: Events lost
		  Expression: SELECT SUM(EventsLost) FROM SCHEMA(Kinetel, FunctionName)
		  Period: 300
		  ReturnData: true
		EvaluationPeriods: 1
		ComparisonOperator: GreaterThanThreshold
		Threshold: 0
		TreatMissingData: notBreaching
	`)
	same(t, "settings", alarm("SettingsAlarm"), `
		Metrics:
		- Id: replaced
		  Label: Settings replaced
		  Expression: SELECT MAX(SettingsReplaced) FROM SCHEMA(Kinetel, FunctionName)
		  Period: 300
		  ReturnData: true
		EvaluationPeriods: 1
		ComparisonOperator: GreaterThanThreshold
		Threshold: 0
		TreatMissingData: notBreaching
	`)
}

// The dashboard is JSON in a string, which no linter looks into.
func TestDashboardAsksForMetricsThatThereAre(t *testing.T) {
	var body struct {
		Widgets []struct {
			X, Y, Width, Height int
			Properties          struct {
				Title, Region string
				Metrics       [][]any
			}
		}
	}
	text := with(t, nil).resource("Dashboard").properties["DashboardBody"].(string)
	if err := json.Unmarshal([]byte(text), &body); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	// What the extension really writes, by a line of it.
	var line struct {
		AWS struct {
			CloudWatchMetrics []struct {
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		} `json:"_aws"`
	}
	figures := emf.Append(nil, time.Time{}, "f", emf.Figures{Held: []time.Duration{0}, PutLatency: []time.Duration{0}, SettingsReplaced: 1})
	if err := json.Unmarshal(figures, &line); err != nil {
		t.Fatal(err)
	}
	own := map[string]bool{}
	for _, m := range line.AWS.CloudWatchMetrics[0].Metrics {
		own[m.Name] = true
	}
	shown := map[string]bool{} // metrics and statistics
	schema := emf.Namespace + "," + line.AWS.CloudWatchMetrics[0].Dimensions[0][0]
	for alarm, want := range map[string]string{"LossAlarm": "SUM(EventsLost)", "SettingsAlarm": "MAX(SettingsReplaced)"} {
		if got := with(t, nil).resource(alarm).properties["Metrics"].([]any)[0].(map[string]any)["Expression"]; got !=
			"SELECT "+want+" FROM SCHEMA("+strings.ReplaceAll(schema, ",", ", ")+")" {
			t.Errorf("%s reads %v, and the extension writes %s", alarm, got, schema)
		}
	}

	streams := map[string]bool{}
	places := map[[2]int]string{}
	for _, w := range body.Widgets {
		p := w.Properties
		if other, taken := places[[2]int{w.X, w.Y}]; taken || w.X%12 != 0 || w.Y%6 != 0 || w.Width != 12 || w.Height != 6 {
			t.Errorf("%s lies over %s, or askew", p.Title, other)
		}
		places[[2]int{w.X, w.Y}] = p.Title
		if p.Region != moto.Region {
			t.Errorf("%s is of the region %q", p.Title, p.Region)
		}
		for _, m := range p.Metrics {
			if expression, ok := m[0].(map[string]any); ok {
				of, _ := expression["expression"].(string)
				name, statistic, search := strings.Cut(strings.TrimPrefix(of, `SEARCH('{`+schema+`} MetricName="`), `"', '`)
				if search && own[name] {
					shown[name+" "+strings.TrimSuffix(statistic, "', 300)")] = true
				} else if expression["id"] != "shards" {
					t.Errorf("%s reads %q, which the extension does not write", p.Title, of)
				}
				continue
			}
			if m[0] != "AWS/Kinesis" || m[2] != "StreamName" || m[3] != "<Stream>" {
				t.Errorf("%s reads %v", p.Title, m)
			}
			streams[m[1].(string)] = true
		}
	}
	want := []string{
		"GetRecords.IteratorAgeMilliseconds", "IncomingBytes", "IncomingRecords", "PutRecords.Latency", "WriteProvisionedThroughputExceeded",
	}
	if diff := cmp.Diff(want, sorted(streams)); diff != "" {
		t.Error(diff)
	}
	want = []string{
		"BufferUse Maximum", "EventsLost Sum", "EventsShipped Sum", "Held Maximum", "Held p50", "Held p99",
		"PutLatency Maximum", "PutLatency p50", "PutLatency p99", "RecordsRetried Sum", "SettingsReplaced Maximum", "SpooledBytes Maximum",
	}
	if diff := cmp.Diff(want, sorted(shown)); diff != "" {
		t.Error(diff)
	}
}

func TestDeliveryPutsGzipMembersBehindEachOther(t *testing.T) {
	w := with(t, map[string]string{"Delivery": "s3"})
	same(t, "destination", w.resource("Firehose").properties["ExtendedS3DestinationConfiguration"], `
		BucketARN: <DeliveryBucket.Arn>
		RoleARN: <DeliveryRole.Arn>
		Prefix: kinetel/!{timestamp:yyyy/MM/dd}/
		ErrorOutputPrefix: kinetel-errors/!{firehose:error-output-type}/!{timestamp:yyyy/MM/dd}/
		BufferingHints: {IntervalInSeconds: 300, SizeInMBs: 64}
		CompressionFormat: UNCOMPRESSED
		FileExtension: .gz
		CloudWatchLoggingOptions: {Enabled: true, LogGroupName: <DeliveryLogs>, LogStreamName: <DeliveryLogStream>}
	`)
	same(t, "source", w.resource("Firehose").properties["KinesisStreamSourceConfiguration"], `
		KinesisStreamARN: <Stream.Arn>
		RoleARN: <DeliveryRole.Arn>
	`)
}

func TestDeliveryByFunction(t *testing.T) {
	w := with(t, map[string]string{"Delivery": "s3-partitioned", "LayerBucket": "zips", "Sample": "true"})
	same(t, "destination", w.resource("Firehose").properties["ExtendedS3DestinationConfiguration"], `
		BucketARN: <DeliveryBucket.Arn>
		RoleARN: <DeliveryRole.Arn>
		Prefix: kinetel/!{timestamp:yyyy/MM/dd}/faas_name=!{partitionKeyFromQuery:faas_name}/
		ErrorOutputPrefix: kinetel-errors/!{firehose:error-output-type}/!{timestamp:yyyy/MM/dd}/
		BufferingHints: {IntervalInSeconds: 300, SizeInMBs: 64}
		CompressionFormat: GZIP
		DynamicPartitioningConfiguration: {Enabled: true, RetryOptions: {DurationInSeconds: 300}}
		ProcessingConfiguration:
		  Enabled: true
		  Processors:
		  - Type: RecordDeAggregation
		    Parameters: [{ParameterName: SubRecordType, ParameterValue: JSON}]
		  - Type: MetadataExtraction
		    Parameters:
		    - {ParameterName: MetadataExtractionQuery, ParameterValue: '{faas_name: .resource."faas.name"}'}
		    - {ParameterName: JsonParsingEngine, ParameterValue: JQ-1.6}
		  - Type: AppendDelimiterToRecord
		CloudWatchLoggingOptions: {Enabled: true, LogGroupName: <DeliveryLogs>, LogStreamName: <DeliveryLogStream>}
	`)
	env := w.resource("SampleFunction").properties["Environment"].(map[string]any)["Variables"].(map[string]any)
	if env["KINETEL_COMPRESSION"] != "none" {
		t.Errorf("Firehose cannot read what the sample writes: %v", env)
	}
}

func TestDeliveryMayDoNoMore(t *testing.T) {
	role := with(t, map[string]string{"Delivery": "s3", "Encryption": "customer"}).resource("DeliveryRole").properties
	same(t, "assumed by", role["AssumeRolePolicyDocument"], `
		Version: "2012-10-17"
		Statement:
		- Effect: Allow
		  Principal: {Service: firehose.amazonaws.com}
		  Action: sts:AssumeRole
		  Condition: {StringEquals: {"aws:SourceAccount": "123456789012"}}
	`)
	own := `
		- {Sid: Read, Effect: Allow, Action: ["kinesis:DescribeStream", "kinesis:GetShardIterator", "kinesis:GetRecords", "kinesis:ListShards"], Resource: <Stream.Arn>}
		- {Sid: Bucket, Effect: Allow, Action: ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"], Resource: <DeliveryBucket.Arn>}
		- {Sid: Objects, Effect: Allow, Action: ["s3:PutObject", "s3:GetObject", "s3:AbortMultipartUpload"], Resource: <DeliveryBucket.Arn>/*}
		- {Sid: Log, Effect: Allow, Action: "logs:PutLogEvents", Resource: "arn:aws:logs:eu-west-1:123456789012:log-group:<DeliveryLogs>:log-stream:<DeliveryLogStream>"}`
	same(t, "own key", role["Policies"].([]any)[0].(map[string]any)["PolicyDocument"].(map[string]any)["Statement"], own+`
		- Sid: Decrypt
		  Effect: Allow
		  Action: kms:Decrypt
		  Resource: <Key.Arn>
		  Condition: {StringEquals: {"kms:ViaService": kinesis.eu-west-1.amazonaws.com, "kms:EncryptionContext:aws:kinesis:arn": <Stream.Arn>}}
	`)
	role = with(t, map[string]string{"Delivery": "s3"}).resource("DeliveryRole").properties
	same(t, "AWS's key", role["Policies"].([]any)[0].(map[string]any)["PolicyDocument"].(map[string]any)["Statement"], own)
}

func TestBucketIsPrivate(t *testing.T) {
	w := with(t, map[string]string{"Delivery": "s3"})
	same(t, "bucket", w.resource("DeliveryBucket").properties, `
		BucketEncryption: {ServerSideEncryptionConfiguration: [{ServerSideEncryptionByDefault: {SSEAlgorithm: AES256}}]}
		PublicAccessBlockConfiguration: {BlockPublicAcls: true, BlockPublicPolicy: true, IgnorePublicAcls: true, RestrictPublicBuckets: true}
		OwnershipControls: {Rules: [{ObjectOwnership: BucketOwnerEnforced}]}
		LifecycleConfiguration: {Rules: [{Status: Enabled, AbortIncompleteMultipartUpload: {DaysAfterInitiation: 7}}]}
		Tags: [{Key: application, Value: kinetel}]
	`)
	same(t, "policy", w.resource("DeliveryBucketPolicy").properties, `
		Bucket: <DeliveryBucket>
		PolicyDocument:
		  Version: "2012-10-17"
		  Statement:
		  - Effect: Deny
		    Principal: {AWS: "*"}
		    Action: s3:*
		    Resource: [<DeliveryBucket.Arn>, <DeliveryBucket.Arn>/*]
		    Condition: {Bool: {"aws:SecureTransport": "false"}}
		  - Effect: Deny
		    Principal: {AWS: "*"}
		    Action: s3:*
		    Resource: [<DeliveryBucket.Arn>, <DeliveryBucket.Arn>/*]
		    Condition: {NumericLessThan: {"s3:TlsVersion": 1.2}}
	`)
}

// The tables are those of docs/consumers.md.
func TestTables(t *testing.T) {
	given := map[string]string{"Delivery": "s3", "DatabaseName": "logs", "FirstDay": "2027/02/28"}
	if there := with(t, given).exists(load(t).section("Resources")["TableByFunction"]); there {
		t.Error("there is a table by function without partitions")
	}
	given["Delivery"] = "s3-partitioned"
	w := with(t, given)
	if name := w.resource("Database").properties["DatabaseInput"].(map[string]any)["Name"]; name != "logs" {
		t.Errorf("the database is %v", name)
	}
	const byDay = `
		EXTERNAL: "TRUE"
		projection.enabled: "true"
		projection.day.type: date
		projection.day.format: yyyy/MM/dd
		projection.day.range: 2027/02/28,NOW
		projection.day.interval: "1"
		projection.day.interval.unit: DAYS`
	columns, mappings := []string{}, []string{`case.insensitive: "false"`}
	for _, c := range schema.Columns() {
		columns = append(columns, fmt.Sprintf("{Name: %s, Type: %q}", c.Name, c.Type))
		if c.Name != c.Member {
			mappings = append(mappings, "mapping."+c.Name+": "+c.Member)
		}
	}
	for logical, want := range map[string]struct{ name, keys, parameters string }{
		"Table": {"kinetel", `[{Name: day, Type: string}]`, byDay + `
		storage.location.template: s3://<DeliveryBucket>/kinetel/${day}/`},
		"TableByFunction": {"kinetel_by_function", `[{Name: day, Type: string}, {Name: faas_name, Type: string}]`, byDay + `
		projection.faas_name.type: injected
		storage.location.template: s3://<DeliveryBucket>/kinetel/${day}/faas_name=${faas_name}/`},
	} {
		table := w.resource(logical).properties
		input := table["TableInput"].(map[string]any)
		if input["Name"] != want.name || table["DatabaseName"] != "<Database>" {
			t.Errorf("%s is %v in %v", logical, input["Name"], table["DatabaseName"])
		}
		same(t, logical, input["PartitionKeys"], want.keys)
		same(t, logical, input["Parameters"], want.parameters)
		same(t, logical, input["StorageDescriptor"], `
		Location: s3://<DeliveryBucket>/kinetel/
		InputFormat: org.apache.hadoop.mapred.TextInputFormat
		OutputFormat: org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat
		Columns: [`+strings.Join(columns, ", ")+`]
		SerdeInfo:
		  SerializationLibrary: org.openx.data.jsonserde.JsonSerDe
		  Parameters: {`+strings.Join(mappings, ", ")+`}
		`)
	}
}

// Firehose writes to where the tables look: without partitions kinetel reads exactly its
// folders, and with them what lies in folders below.
func TestTablesLookWhereFirehoseWrites(t *testing.T) {
	for delivery, table := range map[string]string{"s3": "Table", "s3-partitioned": "TableByFunction"} {
		w := with(t, map[string]string{"Delivery": delivery})
		prefix := w.resource("Firehose").properties["ExtendedS3DestinationConfiguration"].(map[string]any)["Prefix"].(string)
		folder := func(table string) string {
			return w.resource(table).properties["TableInput"].(map[string]any)["Parameters"].(map[string]any)["storage.location.template"].(string)
		}
		at := "s3://<DeliveryBucket>/" + strings.NewReplacer("!{timestamp:yyyy/MM/dd}", "${day}", "!{partitionKeyFromQuery:", "${").Replace(prefix)
		if at != folder(table) || !strings.HasPrefix(at, folder("Table")) {
			t.Errorf("%s: Firehose writes to %s, %s looks in %s, and kinetel in %s", delivery, at, table, folder(table), folder("Table"))
		}
	}
}

func TestDeliverySettings(t *testing.T) {
	w := with(t, map[string]string{"Delivery": "s3", "BufferSeconds": "60", "ExpirationDays": "90"})
	same(t, "buffer", w.resource("Firehose").properties["ExtendedS3DestinationConfiguration"].(map[string]any)["BufferingHints"], `{IntervalInSeconds: 60, SizeInMBs: 64}`)
	same(t, "lifecycle", w.resource("DeliveryBucket").properties["LifecycleConfiguration"],
		`{Rules: [{Status: Enabled, AbortIncompleteMultipartUpload: {DaysAfterInitiation: 7}, ExpirationInDays: 90}]}`)
}

func TestSample(t *testing.T) {
	w := with(t, sets()["everything"])
	function := w.resource("SampleFunction").properties
	code := function["Code"].(map[string]any)["ZipFile"].(string)
	if len(code) > 4096 || !strings.Contains(code, "def handler(event, context):") {
		t.Errorf("the code of index.handler is\n%s", code)
	}
	delete(function, "Code")
	same(t, "function", function, `
		Description: Says hello, and Kinetel sends it to the stream
		Runtime: python3.13
		Architectures: [arm64]
		Handler: index.handler
		MemorySize: 128
		Timeout: 10
		Role: <SampleRole.Arn>
		Layers: [<LayerArm>]
		Environment: {Variables: {KINETEL_STREAM_ARN: <Stream.Arn>, KINETEL_REPORT: "events,emf", KINETEL_COMPRESSION: gzip}}
		LoggingConfig: {LogFormat: JSON, LogGroup: <SampleLogs>}
		Tags: [{Key: application, Value: kinetel}]
	`)
	same(t, "role", w.resource("SampleRole").properties["ManagedPolicyArns"], `[<Policy>]`)
	same(t, "logs", w.resource("SampleRole").properties["Policies"].([]any)[0].(map[string]any)["PolicyDocument"].(map[string]any)["Statement"], `
		- {Effect: Allow, Action: ["logs:CreateLogStream", "logs:PutLogEvents"], Resource: <SampleLogs.Arn>}
	`)
	if days := w.resource("SampleLogs").properties["RetentionInDays"]; days != 1 {
		t.Errorf("logs are kept for %v days", days)
	}
}
