package emulator

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/version"

	"github.com/kinetel/kinetel/deploy/internal/moto"
)

// The stack KinetelTelemetry of the CDK's app has the resources of the template, with the
// same properties. byName and uniform list what may differ. deploy/cdk writes the stack's
// templates to its testdata.
func TestTheCDKHasTheSameResources(t *testing.T) {
	for golden, given := range map[string]map[string]string{
		"default":  {},
		"delivery": {"Delivery": "s3", "DefaultArchitecture": "arm64"},
		"all": {
			"StreamMode": "PROVISIONED", "ShardCount": "2", "RetentionHours": "168",
			"Encryption": "customer", "WriterAccounts": "111122223333,444455556666",
			"Delivery": "s3-partitioned", "AlarmTopicArn": "arn:aws:sns:eu-west-1:123456789012:alarms",
		},
	} {
		t.Run(golden, func(t *testing.T) {
			text, err := os.ReadFile("../cdk/kinetelcdk/testdata/" + golden + "-KinetelTelemetry.json")
			if err != nil {
				t.Fatal(err)
			}
			var cdk template
			if err := json.Unmarshal(bytes.ReplaceAll(text, []byte("Kinetel VERSION"), []byte("Kinetel "+version.Version)), &cdk); err != nil {
				t.Fatal(err)
			}
			delete(cdk, "Parameters") // BootstrapVersion, which only a rule reads
			delete(cdk, "Rules")
			w, err := evaluate(cdk, moto.Region, nil)
			if err != nil {
				t.Fatal(err)
			}
			given["LayerBucket"] = "layers" // the CDK always makes layers
			given["Sample"] = "false"       // its sample is a stack of its own
			if diff := cmp.Diff(byName(t, with(t, given)), byName(t, w)); diff != "" {
				t.Errorf("-template +CDK:\n%s", diff)
			}
		})
	}
}

// byName returns the resources by names that do not depend on their logical ids,
// without what may differ.
func byName(t *testing.T, w *evaluation) map[string]any {
	t.Helper()
	names := make(map[string]string)
	for logical, r := range w.resources() {
		names[logical] = strings.TrimSpace(r.kind + " " + nameOf(r.properties))
	}
	w.attribute = func(logical, attribute string) (string, error) {
		return placeholder(names[logical], attribute)
	}
	all := make(map[string]any)
	for logical, r := range w.resources() {
		if all[names[logical]] != nil {
			t.Fatalf("two resources are called %s", names[logical])
		}
		p := r.properties
		switch r.kind {
		case "AWS::Lambda::LayerVersion":
			delete(p, "Content") // the CDK uploads the zip files as assets
		case "AWS::CloudWatch::Dashboard":
			p["DashboardBody"] = graphed(t, p["DashboardBody"].(string))
		case "AWS::CloudWatch::Alarm":
			alarmMetrics(p)
		}
		var plain map[string]any
		if err := json.Unmarshal([]byte(mustJSON(uniform(p))), &plain); err != nil {
			t.Fatal(err)
		}
		for _, policy := range []string{"DeletionPolicy", "UpdateReplacePolicy"} {
			plain["("+policy+")"] = "Delete" // the default
			if r.raw[policy] != nil {
				plain["("+policy+")"] = r.raw[policy]
			}
		}
		all[names[logical]] = plain
	}
	return all
}

// nameOf returns what tells a resource from others of its type.
func nameOf(p map[string]any) string {
	if table, ok := p["TableInput"].(map[string]any); ok {
		p = table
	}
	for _, name := range []string{"Name", "LayerName", "AlarmDescription"} {
		if text, ok := p[name].(string); ok {
			return text
		}
	}
	return ""
}

// alarmMetrics writes an alarm with one metric as one with a list of metrics, as the CDK
// does, and takes away the labels and ids.
func alarmMetrics(p map[string]any) {
	if p["Metrics"] == nil {
		metric, stat := map[string]any{}, map[string]any{"Metric": nil, "Stat": p["Statistic"], "Period": p["Period"]}
		for _, name := range []string{"Namespace", "MetricName", "Dimensions"} {
			metric[name] = p[name]
			delete(p, name)
		}
		stat["Metric"] = metric
		delete(p, "Statistic")
		delete(p, "Period")
		p["Metrics"] = []any{map[string]any{"MetricStat": stat, "ReturnData": true}}
	}
	metrics := p["Metrics"].([]any)
	for _, m := range metrics {
		m := m.(map[string]any)
		delete(m, "Label")
		if m["ReturnData"] == true { // an expression names the others by their ids
			delete(m, "Id")
		}
	}
	slices.SortFunc(metrics, func(a, b any) int { return strings.Compare(mustJSON(a), mustJSON(b)) })
}

// graphed returns the metrics of a dashboard, with their statistics. The CDK arranges and
// names the graphs in its own way, and has one value a minute.
func graphed(t *testing.T, body string) []any {
	t.Helper()
	var dashboard struct {
		Widgets []struct {
			Properties struct {
				Stat    string
				Metrics [][]any
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &dashboard); err != nil {
		t.Fatalf("%v:\n%s", err, body)
	}
	seen := make(map[string]bool)
	for _, w := range dashboard.Widgets {
		for _, m := range w.Properties.Metrics {
			options, _ := m[len(m)-1].(map[string]any)
			if text, isSearch := options["expression"].(string); isSearch {
				if found := searched.FindStringSubmatch(text); found != nil {
					seen[found[1]+" "+found[2]] = true
				} else if !strings.HasPrefix(text, "CEIL(") {
					t.Errorf("the dashboard has %s", text)
				}
				continue
			}
			stat := w.Properties.Stat
			if own, ok := options["stat"].(string); ok {
				stat = own
			}
			if stat == "" {
				stat = "Average" // CloudWatch's default
			}
			seen[m[1].(string)+" "+stat] = true
		}
	}
	var all []any
	for _, one := range sorted(seen) {
		all = append(all, one)
	}
	return all
}

var searched = regexp.MustCompile(`^SEARCH\('\{Kinetel,FunctionName\} MetricName="(\w+)"', '(\w+)', `)

var rootOfAccount = regexp.MustCompile(`^arn:aws:iam::(\d{12}):root$`)

// uniform writes policies in one way: the CDK sorts statements and actions, and names an
// account by the ARN of its root, which a template cannot make from a list. The app's tags
// are a setting of the CDK only, except for application.
func uniform(v any) any {
	switch v := v.(type) {
	case string:
		return rootOfAccount.ReplaceAllString(v, "$1")
	case []any:
		list := []any{}
		for _, one := range v {
			list = append(list, uniform(one))
		}
		return list
	case map[string]any:
		all := make(map[string]any)
		for name, one := range v {
			one = uniform(one)
			l, isList := one.([]any)
			switch {
			case name == "Tags":
				one = map[string]any{"application": tags(one)["application"]}
			case isList && (name == "Action" || name == "Statement"):
				slices.SortFunc(l, func(a, b any) int { return strings.Compare(mustJSON(a), mustJSON(b)) })
			}
			all[name] = one
		}
		return all
	}
	return v
}

// tags returns tags by name; some types have a map of them, others a list.
func tags(v any) map[string]any {
	if all, ok := v.(map[string]any); ok {
		return all
	}
	all := make(map[string]any)
	for _, one := range v.([]any) {
		one := one.(map[string]any)
		all[one["Key"].(string)] = one["Value"]
	}
	return all
}
