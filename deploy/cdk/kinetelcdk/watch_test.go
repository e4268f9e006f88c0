package kinetelcdk_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/jsii-runtime-go"

	"github.com/kinetel/kinetel/deploy/cdk/kinetelcdk"
	"github.com/kinetel/kinetel/internal/emf"
)

func TestAlarms(t *testing.T) {
	stack := newStack(t)
	s := kinetelcdk.NewTelemetryStream(stack, "Stream", nil)
	kinetelcdk.NewTelemetryAlarms(stack, "Alarms", &kinetelcdk.TelemetryAlarmsProps{Stream: s, Tags: map[string]string{"team": "payments"}})
	got := synth(t, stack)
	got.ResourceCountIs(jsii.String("AWS::CloudWatch::Alarm"), jsii.Number(4))
	for id, want := range map[string]string{
		"Throttled": `{"Threshold":0,"EvaluationPeriods":1,"Metrics":[{"Id":"m1","Label":"throttled records","ReturnData":true,"MetricStat":{"Period":300,"Stat":"Sum",
			"Metric":{"Namespace":"AWS/Kinesis","MetricName":"WriteProvisionedThroughputExceeded","Dimensions":[{"Name":"StreamName","Value":{"Ref":"Stream862536A4"}}]}}}]}`,
		"Behind": `{"Threshold":10,"EvaluationPeriods":3,"Metrics":[{"Id":"expr_1","Label":"minutes behind","ReturnData":true,"Expression":"age / 60000"},
			{"Id":"age","Label":"iterator age","ReturnData":false,"MetricStat":{"Period":300,"Stat":"Maximum",
			"Metric":{"Namespace":"AWS/Kinesis","MetricName":"GetRecords.IteratorAgeMilliseconds","Dimensions":[{"Name":"StreamName","Value":{"Ref":"Stream862536A4"}}]}}}]}`,
		"Lost": `{"Threshold":0,"EvaluationPeriods":1,"Metrics":[{"Id":"expr_1","Label":"events lost","ReturnData":true,"Period":300,
			"Expression":"SELECT SUM(EventsLost) FROM SCHEMA(Kinetel, FunctionName)"}]}`,
		"SettingsReplaced": `{"Threshold":0,"EvaluationPeriods":1,"Metrics":[{"Id":"expr_1","Label":"settings replaced","ReturnData":true,"Period":300,
			"Expression":"SELECT MAX(SettingsReplaced) FROM SCHEMA(Kinetel, FunctionName)"}]}`,
	} {
		alarm := got.only("AWS::CloudWatch::Alarm", id).Properties
		same(t, id, map[string]any{"Threshold": alarm["Threshold"], "EvaluationPeriods": alarm["EvaluationPeriods"], "Metrics": alarm["Metrics"]}, want)
		same(t, id, []any{alarm["ComparisonOperator"], alarm["TreatMissingData"], alarm["AlarmActions"], alarm["Tags"]},
			`["GreaterThanThreshold","notBreaching",null,[{"Key":"team","Value":"payments"}]]`)
	}
}

func TestAlarmsNotifyTheTopic(t *testing.T) {
	stack := newStack(t)
	s := kinetelcdk.NewTelemetryStream(stack, "Stream", nil)
	topic := "arn:aws:sns:eu-west-1:123456789012:alarms"
	kinetelcdk.NewTelemetryAlarms(stack, "Alarms", &kinetelcdk.TelemetryAlarmsProps{
		Stream: s, IteratorAge: 90 * time.Second, Topic: awssns.Topic_FromTopicArn(stack, jsii.String("Topic"), &topic),
	})
	got := synth(t, stack)
	for _, id := range []string{"Throttled", "Behind", "Lost", "SettingsReplaced"} {
		alarm := got.only("AWS::CloudWatch::Alarm", id).Properties
		same(t, id, []any{alarm["AlarmActions"], alarm["OKActions"]}, `[["`+topic+`"],["`+topic+`"]]`)
	}
	if threshold := got.only("AWS::CloudWatch::Alarm", "Behind").Properties["Threshold"]; threshold != 1.5 {
		t.Errorf("consumers may be %v minutes behind", threshold)
	}
}

func TestAlarmRefusals(t *testing.T) {
	stack := newStack(t)
	s := kinetelcdk.NewTelemetryStream(stack, "Stream", nil)
	refused(t, "Stack/Alarms", func() { kinetelcdk.NewTelemetryAlarms(stack, "Alarms", nil) }, "Stream is not set; the alarms need one")
	for age, text := range map[time.Duration]string{-time.Second: "-1s", 1500 * time.Millisecond: "1.5s", 8760 * time.Hour: "8760h0m0s"} {
		refused(t, "Stack/Alarms", func() {
			kinetelcdk.NewTelemetryAlarms(stack, "Alarms", &kinetelcdk.TelemetryAlarmsProps{Stream: s, IteratorAge: age})
		}, "IteratorAge is "+text+"; it must be whole seconds, from 1s to less than the stream keeps records")
	}
}

// dashboard returns the dashboard's widgets: title to what it shows, as JSON.
func dashboard(t *testing.T, got *template) map[string]string {
	t.Helper()
	join, _ := got.only("AWS::CloudWatch::Dashboard", "").Properties["DashboardBody"].(map[string]any)
	parts, ok := join["Fn::Join"].([]any)
	if !ok {
		t.Fatalf("the dashboard is %v", join)
	}
	var text strings.Builder
	for _, part := range parts[1].([]any) {
		if s, ok := part.(string); ok {
			text.WriteString(s)
			continue
		}
		text.WriteString(fmt.Sprint(part.(map[string]any)["Ref"]))
	}
	var body struct {
		Widgets []struct {
			Properties struct {
				Title   string
				Metrics []any
			}
		}
	}
	if err := json.Unmarshal([]byte(text.String()), &body); err != nil {
		t.Fatal(err)
	}
	widgets := make(map[string]string)
	for _, w := range body.Widgets {
		widgets[w.Properties.Title] = jsonOf(t, w.Properties.Metrics)
	}
	return widgets
}

func TestDashboard(t *testing.T) {
	stack := newStack(t)
	s := kinetelcdk.NewTelemetryStream(stack, "Stream", nil)
	kinetelcdk.NewTelemetryDashboard(stack, "Dashboard", &kinetelcdk.TelemetryDashboardProps{Stream: s, Tags: map[string]string{"team": "payments"}})
	got := synth(t, stack)
	same(t, "tags", got.only("AWS::CloudWatch::Dashboard", "").Properties["Tags"], `[{"Key":"team","Value":"payments"}]`)
	widgets := dashboard(t, got)
	for title, want := range map[string]string{
		"Written":                             `[["AWS/Kinesis","IncomingBytes","StreamName","Stream862536A4",{"label":"bytes","period":60,"stat":"Sum"}],["AWS/Kinesis","IncomingRecords","StreamName","Stream862536A4",{"label":"records","period":60,"stat":"Sum","yAxis":"right"}]]`,
		"Throttled writes":                    `[["AWS/Kinesis","WriteProvisionedThroughputExceeded","StreamName","Stream862536A4",{"label":"throttled records","period":60,"stat":"Sum"}]]`,
		"Consumers behind (iterator age, ms)": `[["AWS/Kinesis","GetRecords.IteratorAgeMilliseconds","StreamName","Stream862536A4",{"label":"slowest","period":60,"stat":"Maximum"}]]`,
		"PutRecords in Kinesis (ms)":          `[["AWS/Kinesis","PutRecords.Latency","StreamName","Stream862536A4",{"label":"average","period":60}],["AWS/Kinesis","PutRecords.Latency","StreamName","Stream862536A4",{"label":"slowest","period":60,"stat":"Maximum"}]]`,
		"PutRecords as functions see it (ms)": percentiles("PutLatency"),
		"Events lost, by function":            `[[{"expression":"SEARCH('{Kinetel,FunctionName} MetricName=\"EventsLost\"', 'Sum', 60)","period":60}]]`,
		"Events shipped, by function":         `[[{"expression":"SEARCH('{Kinetel,FunctionName} MetricName=\"EventsShipped\"', 'Sum', 60)","period":60}]]`,
		"Records sent again, by function":     `[[{"expression":"SEARCH('{Kinetel,FunctionName} MetricName=\"RecordsRetried\"', 'Sum', 60)","period":60}]]`,
		"Invocations held (ms)":               percentiles("Held"),
		"Buffer in use (%)":                   `[[{"expression":"SEARCH('{Kinetel,FunctionName} MetricName=\"BufferUse\"', 'Maximum', 60)","period":60}]]`,
		"On disk (bytes)":                     `[[{"expression":"SEARCH('{Kinetel,FunctionName} MetricName=\"SpooledBytes\"', 'Maximum', 60)","period":60}]]`,
		"Settings replaced, by function":      `[[{"expression":"SEARCH('{Kinetel,FunctionName} MetricName=\"SettingsReplaced\"', 'Maximum', 60)","period":60}]]`,
		"Shards for provisioned mode": `[[{"expression":"CEIL(MAX([bytes/PERIOD(bytes)/1048576, records/PERIOD(records)/1000]) * 2)","label":"shards, with 100% headroom","period":60}],
			["AWS/Kinesis","IncomingBytes","StreamName","Stream862536A4",{"id":"bytes","label":"bytes","period":60,"stat":"Sum","visible":false}],
			["AWS/Kinesis","IncomingRecords","StreamName","Stream862536A4",{"id":"records","label":"records","period":60,"stat":"Sum","visible":false}]]`,
	} {
		same(t, title, json.RawMessage(widgets[title]), want)
		delete(widgets, title)
	}
	if len(widgets) > 0 {
		t.Errorf("more widgets than are looked at: %v", widgets)
	}
}

// percentiles returns what a graph of a metric with many values shows.
func percentiles(metric string) string {
	search := func(label, statistic string) string {
		return fmt.Sprintf(`[{"expression":"SEARCH('{Kinetel,FunctionName} MetricName=\"%s\"', '%s', 60)","label":"%s","period":60}]`, metric, statistic, label)
	}
	return "[" + search("p50", "p50") + "," + search("p99", "p99") + "," + search("max", "Maximum") + "]"
}

// The dashboard and the alarms ask for metrics that the extension has.
func TestMetricsExist(t *testing.T) {
	stack := newStack(t)
	s := kinetelcdk.NewTelemetryStream(stack, "Stream", nil)
	kinetelcdk.NewTelemetryDashboard(stack, "Dashboard", &kinetelcdk.TelemetryDashboardProps{Stream: s})
	kinetelcdk.NewTelemetryAlarms(stack, "Alarms", &kinetelcdk.TelemetryAlarmsProps{Stream: s})
	got := synth(t, stack)
	line := emfLine()
	asked := regexp.MustCompile(`MetricName=\\*"(\w+)|SELECT (?:SUM|MAX)\((\w+)\)`).FindAllStringSubmatch(got.text, -1)
	if len(asked) != 14 {
		t.Errorf("%d metrics of Kinetel's are asked for, want 14", len(asked))
	}
	for _, one := range asked {
		if name := one[1] + one[2]; !strings.Contains(line, `{"Name":"`+name+`"`) {
			t.Errorf("the extension has no metric %s: %s", name, line)
		}
	}
	if !strings.Contains(line, `"Namespace":"Kinetel","Dimensions":[["FunctionName"]]`) {
		t.Errorf("the extension's metrics are elsewhere: %s", line)
	}
}

func TestDashboardHeadroom(t *testing.T) {
	for percent, want := range map[int]string{-1: "* 1)", 25: "* 1.25)", 400: "* 5)"} {
		stack := newStack(t)
		s := kinetelcdk.NewTelemetryStream(stack, "Stream", nil)
		kinetelcdk.NewTelemetryDashboard(stack, "Dashboard", &kinetelcdk.TelemetryDashboardProps{Stream: s, HeadroomPercent: percent})
		if got := dashboard(t, synth(t, stack))["Shards for provisioned mode"]; !strings.Contains(got, want) {
			t.Errorf("headroom of %d%%: %s", percent, got)
		}
	}
}

func TestDashboardRefusals(t *testing.T) {
	stack := newStack(t)
	refused(t, "Stack/Dashboard", func() {
		kinetelcdk.NewTelemetryDashboard(stack, "Dashboard", &kinetelcdk.TelemetryDashboardProps{HeadroomPercent: 401})
	}, "Stream is not set; the dashboard needs one", "HeadroomPercent is 401; it must be at most 400")
}

func emfLine() string {
	one := []time.Duration{0}
	return string(emf.Append(nil, time.Unix(0, 0), "f", emf.Figures{Held: one, PutLatency: one, SettingsReplaced: 1}))
}
