package cloudwatch_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/cloudwatch"
	"github.com/kinetel/kinetel/internal/format/formattest"
)

func TestAppendCloudWatchText(t *testing.T) {
	const start = `{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"/aws/lambda/orders","logStream":"2026/09/21/orders[$LATEST]0f1e2d3c4b5a69788796a5b4c3d2e1f0",` +
		`"subscriptionFilters":["kinetel"],"logEvents":[`
	for _, tt := range []struct {
		name  string
		lines []string // members
		want  string   // log events
	}{
		{"no line", nil, ``},
		{
			"a line of text",
			[]string{`"type":"function","severity":"INFO","requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd","traceId":"1-5759e988-bd862e3fe1be46a994272793","body":"user \"signed\" in\n","extra":{"b":[1, 2]}`},
			`{"id":"40038278466163104039334953562153309441355775293103011339","timestamp":1795378500123,"message":"user \"signed\" in\n"}`,
		},
		{
			"lines after each other",
			[]string{`"type":"function","body":{"level":"INFO", "n":1.50}`, `"type":"platform.start","body":{"requestId":"r","version":"$LATEST"}`, `"type":"kinetel.loss","body":{"count":1}`},
			`{"id":"40038278466163104039334953562462794451177120361827792395","timestamp":1795378500123,"message":"{\"level\":\"INFO\", \"n\":1.50}"},` +
				`{"id":"40038278466163104039334953643238382014548183298995648011","timestamp":1795378500123,"message":"START RequestId: r Version: $LATEST\n"},` +
				`{"id":"40038278466163104039334953721847574509169830755090036235","timestamp":1795378500123,"message":"{\"time\":\"2026-11-22T20:15:00.123Z\",\"type\":\"kinetel.loss\",\"record\":{\"count\":1}}"}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var lines []format.Line
			for i, members := range tt.lines {
				lines = append(lines, formattest.Line(t, 17+i, members))
			}
			want := "before" + start + tt.want + `]}`
			if diff := cmp.Diff(want, string(cloudwatch.Append([]byte("before"), formattest.Environment(false), "", lines))); diff != "" {
				t.Errorf("text (-want +got):\n%s", diff)
			}
		})
	}
}

// logEvent is an event of CloudWatch Logs as its consumers read it.
type logEvent struct {
	ID        string `json:"id"`
	Timestamp int64  `json:"timestamp"`
	Message   string `json:"message"`

	ExtractedFields map[string]string `json:"extractedFields"`
}

type logEvents struct {
	MessageType         string     `json:"messageType"`
	Owner               string     `json:"owner"`
	LogGroup            string     `json:"logGroup"`
	LogStream           string     `json:"logStream"`
	SubscriptionFilters []string   `json:"subscriptionFilters"`
	LogEvents           []logEvent `json:"logEvents"`
}

func readCloudWatch(t interface {
	Helper()
	Fatalf(string, ...any)
}, payload []byte,
) (all logEvents) {
	t.Helper()
	if !utf8.Valid(payload) {
		t.Fatalf("no UTF-8: %q", payload)
	}
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&all); err != nil || dec.InputOffset() != int64(len(payload)) {
		t.Fatalf("%v at %d of %d bytes of %q", err, dec.InputOffset(), len(payload), payload)
	}
	return all
}

// oneEvent encodes a line, and reads it back.
func oneEvent(t interface {
	Helper()
	Fatalf(string, ...any)
}, env *environment.Environment, l *format.Line,
) (one logEvent, id cloudwatch.EventID) {
	t.Helper()
	all := readCloudWatch(t, cloudwatch.Append(nil, env, "", []format.Line{*l}))
	if len(all.LogEvents) != 1 {
		t.Fatalf("%d events", len(all.LogEvents))
	}
	one = all.LogEvents[0]
	id, ok := cloudwatch.ParseEventID([]byte(one.ID))
	if !ok || id.Seq != l.Seq || id.Environment != formattest.ID[:22] {
		t.Fatalf("the id %q means %+v", one.ID, id)
	}
	return one, id
}

func TestCloudWatchNamesTheLogStream(t *testing.T) {
	for _, tt := range []struct {
		name    string
		details environment.Details
		want    logEvents
	}{
		{"nothing is known", environment.Details{}, logEvents{LogStream: formattest.ID}},
		{"only the group", environment.Details{LogGroup: "/aws/lambda/orders"}, logEvents{LogGroup: "/aws/lambda/orders", LogStream: formattest.ID}},
		{"quotes", environment.Details{AccountID: `1"2`, LogGroup: `a"b\c`, LogStream: "d\ne"}, logEvents{Owner: `1"2`, LogGroup: `a"b\c`, LogStream: "d\ne"}},
		{"broken text", environment.Details{AccountID: "\xff1", LogGroup: "a\xff\xfe", LogStream: "\xc3"}, logEvents{Owner: "\ufffd1", LogGroup: "a\ufffd\ufffd", LogStream: "\ufffd"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.MessageType, tt.want.SubscriptionFilters, tt.want.LogEvents = "DATA_MESSAGE", []string{"kinetel"}, []logEvent{}
			env := formattest.Of(formattest.ID, "", tt.details)
			if diff := cmp.Diff(tt.want, readCloudWatch(t, cloudwatch.Append(nil, env, "", nil))); diff != "" {
				t.Errorf("record (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCloudWatchMessages(t *testing.T) {
	const system = `{"time":"2026-11-22T20:15:00.123Z",`
	for _, tt := range []struct {
		name, members, want string
		what                cloudwatch.Message
	}{
		{"text", `"type":"function","body":"user signed in\n"`, "user signed in\n", cloudwatch.FunctionText},
		{"no text", `"type":"function","body":""`, "", cloudwatch.FunctionText},
		{"escapes", `"type":"function","body":"\u0041\/\u00e9\b\f\r\t\"\\\ud83d\ude00"`, "A/é\b\f\r\t\"\\😀", cloudwatch.FunctionText},
		{"broken text", "\"type\":\"function\",\"body\":\"a\xff\\n\\\"\xc3\"", "a\ufffd\n\"\ufffd", cloudwatch.FunctionText},
		{"a lone surrogate", `"type":"function","body":"a\udead"`, "a\ufffd", cloudwatch.FunctionText},
		{"text of an extension", `"type":"extension","body":"warming up"`, "warming up", cloudwatch.ExtensionText},
		{"an object", `"type":"function","body":{ "z":1,"a":"é\u00e9","z":[1.50e+3]}`, `{ "z":1,"a":"é\u00e9","z":[1.50e+3]}`, cloudwatch.FunctionJSON},
		{"an object with broken text", "\"type\":\"function\",\"body\":{\"a\":\"\xff\xfe\"}", "{\"a\":\"\ufffd\ufffd\"}", cloudwatch.FunctionJSON},
		{"a number", `"type":"function","body":-0.0`, `-0.0`, cloudwatch.FunctionJSON},
		{"null", `"type":"function","body":null`, `null`, cloudwatch.FunctionJSON},
		{"an array of an extension", `"type":"extension","body":["a"]`, `["a"]`, cloudwatch.ExtensionJSON},
		{"a part", `"type":"function","part":2,"parts":3,"body":"{\"a"`, system + `"type":"function","record":"{\"a","part":2,"parts":3}`, cloudwatch.OtherJSON},
		{"a part of an extension's", `"type":"extension","part":1,"parts":3,"body":"{\"a"`, system + `"type":"extension","record":"{\"a","part":1,"parts":3}`, cloudwatch.OtherJSON},
		{"a part of a platform event", `"type":"platform.report","part":3,"parts":3,"body":"1}"`, system + `"type":"platform.report","record":"1}","part":3,"parts":3}`, cloudwatch.SystemJSON},
		{"a part that is no text", `"type":"platform.start","part":1,"parts":2,"body":{"requestId":"r"}`, system + `"type":"platform.start","record":{"requestId":"r"},"part":1,"parts":2}`, cloudwatch.SystemJSON},
		{"an unknown type", `"type":"a \"b\"","body":"text"`, system + `"type":"a \"b\"","record":"text"}`, cloudwatch.OtherJSON},
		{"broken text of an unknown type", "\"type\":\"a\xff\",\"body\":\"\xfe\"", system + "\"type\":\"a\ufffd\",\"record\":\"\ufffd\"}", cloudwatch.OtherJSON},
		{"an unparsed event", `"type":"kinetel.unparsed","body":"{\"a"`, system + `"type":"kinetel.unparsed","record":"{\"a"}`, cloudwatch.OtherJSON},
		{"an invocation", `"type":"kinetel.invocation","requestId":"r","body":{"requestId":"r", "events":5}`, system + `"type":"kinetel.invocation","record":{"requestId":"r", "events":5}}`, cloudwatch.SystemJSON},
		{"an environment", `"type":"kinetel.environment","body":{}`, system + `"type":"kinetel.environment","record":{}}`, cloudwatch.SystemJSON},
		{"a platform event of another time", `"type":"platform.other","body":{"requestId":"r"}`, system + `"type":"platform.other","record":{"requestId":"r"}}`, cloudwatch.SystemJSON},
		{"an init that is done", `"type":"platform.initRuntimeDone","body":{"status":"success"}`, system + `"type":"platform.initRuntimeDone","record":{"status":"success"}}`, cloudwatch.SystemJSON},
		{"a restore that is done", `"type":"platform.restoreRuntimeDone","body":{"status":"success"}`, system + `"type":"platform.restoreRuntimeDone","record":{"status":"success"}}`, cloudwatch.SystemJSON},
		{"lines that were dropped", `"type":"platform.logsDropped","body":{"droppedBytes":1}`, system + `"type":"platform.logsDropped","record":{"droppedBytes":1}}`, cloudwatch.SystemJSON},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := formattest.Line(t, 17, tt.members)
			for _, jsonLogs := range []bool{false, true} {
				env := formattest.Environment(jsonLogs) // of what is no platform line it changes nothing
				one, id := oneEvent(t, env, &l)
				if one.Message != tt.want || id.Message != tt.what || one.Timestamp != 1795378500123 || id.Ms != one.Timestamp {
					t.Errorf("JSON %t: message %d at %d, %q\nwant %d, %q", jsonLogs, id.Message, one.Timestamp, one.Message, tt.what, tt.want)
				}
			}
		})
	}
}

// platformLines are what CloudWatch Logs shows of platform events in Lambda's text
// format.
var platformLines = []struct {
	name, kind, body, want string
	what                   cloudwatch.Message
}{
	{
		"a start", "platform.start",
		`{"requestId":"6f0c0c5e-1111-4222-8333-444455556666","version":"$LATEST","tracing":{"spanId":"54565fb41ac79632","type":"X-Amzn-Trace-Id","value":"Root=1-68d0aaaa-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=1"}}`,
		"START RequestId: 6f0c0c5e-1111-4222-8333-444455556666 Version: $LATEST\n", cloudwatch.Start,
	},
	{"a start without a version", "platform.start", `{"requestId":"r"}`, "START RequestId: r\n", cloudwatch.Start},
	{"a start whose version is a number", "platform.start", `{"requestId":"r","version":7}`, "START RequestId: r\n", cloudwatch.Start},
	{"a start with escapes", "platform.start", `{"version":"\u0024LATEST \"7\"","requestId":"\u0072"}`, "START RequestId: r Version: $LATEST \"7\"\n", cloudwatch.Start},
	{"a start with broken text", "platform.start", "{\"version\":\"\xff\",\"requestId\":\"r\xfe\"}", "START RequestId: r\ufffd Version: \ufffd\n", cloudwatch.Start},
	{"a start with a line feed in its version", "platform.start", `{"requestId":"r","version":"1\n2"}`, "START RequestId: r\n", cloudwatch.Start},
	{"a start with white space", "platform.start", `{ "requestId" : "r" , "version" : "7" }`, "START RequestId: r Version: 7\n", cloudwatch.Start},
	{"a start with two request ids: the last", "platform.start", `{"requestId":"a","requestId":"b"}`, "START RequestId: b\n", cloudwatch.Start},
	{
		"an end", "platform.runtimeDone",
		`{"requestId":"6f0c0c5e-1111-4222-8333-444455556666","status":"success","metrics":{"durationMs":128.4,"producedBytes":42}}`,
		"END RequestId: 6f0c0c5e-1111-4222-8333-444455556666\n", cloudwatch.End,
	},
	{"an end of a time-out", "platform.runtimeDone", `{"requestId":"r","status":"timeout"}`, "END RequestId: r\n", cloudwatch.End},
	{
		"a report of a cold start", "platform.report",
		`{"requestId":"6f0c0c5e-1111-4222-8333-444455556666","status":"success","metrics":{"durationMs":140.9,"billedDurationMs":522,"memorySizeMB":256,"maxMemoryUsedMB":88,"initDurationMs":380.512},"spans":[]}`,
		"REPORT RequestId: 6f0c0c5e-1111-4222-8333-444455556666\tDuration: 140.90 ms\tBilled Duration: 522 ms\tMemory Size: 256 MB\tMax Memory Used: 88 MB\tInit Duration: 380.51 ms\t\n", cloudwatch.Report,
	},
	{
		"a report after a restore", "platform.report",
		`{"requestId":"r","status":"success","metrics":{"billedRestoreDurationMs":202,"restoreDurationMs":201.7,"maxMemoryUsedMB":88,"memorySizeMB":256,"billedDurationMs":2,"durationMs":1.845}}`,
		"REPORT RequestId: r\tDuration: 1.84 ms\tBilled Duration: 2 ms\tMemory Size: 256 MB\tMax Memory Used: 88 MB\tRestore Duration: 201.70 ms\tBilled Restore Duration: 202 ms\t\n", cloudwatch.Report,
	},
	{
		"a report of all there is", "platform.report", `{"requestId":"r","metrics":{"durationMs":1,"billedDurationMs":2,"memorySizeMB":3,"maxMemoryUsedMB":4,"initDurationMs":5,"restoreDurationMs":6,"billedRestoreDurationMs":7}}`,
		"REPORT RequestId: r\tDuration: 1.00 ms\tBilled Duration: 2 ms\tMemory Size: 3 MB\tMax Memory Used: 4 MB\tInit Duration: 5.00 ms\tRestore Duration: 6.00 ms\tBilled Restore Duration: 7 ms\t\n", cloudwatch.Report,
	},
	{
		"a report of a time-out", "platform.report",
		`{"requestId":"r","status":"timeout","metrics":{"durationMs":3000,"billedDurationMs":3000,"memorySizeMB":128,"maxMemoryUsedMB":30,"initDurationMs":92.625}}`,
		"REPORT RequestId: r\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB\tInit Duration: 92.62 ms\tStatus: timeout\n", cloudwatch.Report,
	},
	{
		"a report of an error", "platform.report",
		`{"requestId":"r","status":"error","errorType":"Runtime.ExitError","metrics":{"durationMs":2,"billedDurationMs":3,"memorySizeMB":128,"maxMemoryUsedMB":30}}`,
		"REPORT RequestId: r\tDuration: 2.00 ms\tBilled Duration: 3 ms\tMemory Size: 128 MB\tMax Memory Used: 30 MB\tStatus: error\tError Type: Runtime.ExitError\n", cloudwatch.Report,
	},
	{
		"a report of an error with a trace", "platform.report",
		`{"requestId":"r","status":"error","errorType":"X","metrics":{"durationMs":2},"tracing":{"spanId":"54565fb41ac79632","value":"Root=1-68d0aaaa-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=1"}}`,
		"REPORT RequestId: r\tDuration: 2.00 ms\tStatus: error\tError Type: X\nXRAY TraceId: 1-68d0aaaa-0123456789abcdef01234567\tSegmentId: 54565fb41ac79632\tSampled: true\t\n", cloudwatch.Report,
	},
	{"a report of a success with an error's type", "platform.report", `{"requestId":"r","status":"success","errorType":"X","metrics":{"durationMs":2}}`, "REPORT RequestId: r\tDuration: 2.00 ms\t\n", cloudwatch.Report},
	{"a report without a status", "platform.report", `{"requestId":"r","errorType":"X","metrics":{"durationMs":2}}`, "REPORT RequestId: r\tDuration: 2.00 ms\t\n", cloudwatch.Report},
	{"a report of a Managed Instance", "platform.report", `{"requestId":"r","metrics":{"durationMs":0.004},"status":"failure"}`, "REPORT RequestId: r\tDuration: 0.00 ms\tStatus: failure\n", cloudwatch.Report},
	{
		"a report with a trace that is not sampled", "platform.report", `{"requestId":"r","metrics":{"durationMs":2},"tracing":{"type":"X-Amzn-Trace-Id","value":"Sampled=0; Root=1-a; Lineage=b"}}`,
		"REPORT RequestId: r\tDuration: 2.00 ms\t\nXRAY TraceId: 1-a\tSampled: false\t\n", cloudwatch.Report,
	},
	{
		"a report with a trace that is not sampled or unsampled", "platform.report", `{"requestId":"r","metrics":{"durationMs":2},"tracing":{"spanId":"s","value":"Root=1-a;Sampled=?"}}`,
		"REPORT RequestId: r\tDuration: 2.00 ms\t\nXRAY TraceId: 1-a\tSegmentId: s\t\n", cloudwatch.Report,
	},
	{"a report with a trace of no root", "platform.report", `{"requestId":"r","metrics":{"durationMs":2},"tracing":{"spanId":"s","value":"Root=;Sampled=1"}}`, "REPORT RequestId: r\tDuration: 2.00 ms\t\n", cloudwatch.Report},
	{"a report with a trace that is a number", "platform.report", `{"requestId":"r","metrics":{"durationMs":2},"tracing":{"spanId":"s","value":1}}`, "REPORT RequestId: r\tDuration: 2.00 ms\t\n", cloudwatch.Report},
	{
		"a report with odd numbers", "platform.report", `{"requestId":"r","metrics":{"durationMs":-1e3,"billedDurationMs":1.50e+3,"memorySizeMB":"256","maxMemoryUsedMB":null,"initDurationMs":[1],"restoreDurationMs":1e999,"other":1}}`,
		"REPORT RequestId: r\tDuration: -1000.00 ms\tBilled Duration: 1.50e+3 ms\tRestore Duration: 1e999 ms\t\n", cloudwatch.Report,
	},
	{
		"an init", "platform.initStart",
		`{"initializationType":"on-demand","phase":"init","functionName":"orders","functionVersion":"$LATEST","runtimeVersion":"nodejs:22.v101","runtimeVersionArn":"arn:aws:lambda:eu-west-1::runtime:aaaa"}`,
		"INIT_START Runtime Version: nodejs:22.v101\tRuntime Version ARN: arn:aws:lambda:eu-west-1::runtime:aaaa\n", cloudwatch.InitStart,
	},
	{"an init without an ARN", "platform.initStart", `{"runtimeVersion":"nodejs:22.v101","runtimeVersionArn":""}`, "INIT_START Runtime Version: nodejs:22.v101\n", cloudwatch.InitStart},
	{
		"a restore", "platform.restoreStart", `{"functionName":"orders","runtimeVersion":"java:21.v1","runtimeVersionArn":"arn:aws:lambda:eu-west-1::runtime:bbbb"}`,
		"RESTORE_START Runtime Version: java:21.v1\tRuntime Version ARN: arn:aws:lambda:eu-west-1::runtime:bbbb\n", cloudwatch.RestoreStart,
	},
	{
		"an init that failed", "platform.initReport", `{"initializationType":"on-demand","phase":"init","status":"error","errorType":"Runtime.ImportModuleError","metrics":{"durationMs":1882.554}}`,
		"INIT_REPORT Init Duration: 1882.55 ms\tPhase: init\tStatus: error\tError Type: Runtime.ImportModuleError\n", cloudwatch.InitReport,
	},
	{"an init that took too long", "platform.initReport", `{"phase":"invoke","status":"timeout","metrics":{"durationMs":9999}}`, "INIT_REPORT Init Duration: 9999.00 ms\tPhase: invoke\tStatus: timeout\n", cloudwatch.InitReport},
	{"an init that failed in no phase", "platform.initReport", `{"status":"timeout","metrics":{"durationMs":9999}}`, "INIT_REPORT Init Duration: 9999.00 ms\tStatus: timeout\n", cloudwatch.InitReport},
	{"a restore that went well", "platform.restoreReport", `{"status":"success","metrics":{"durationMs":201.7}}`, "RESTORE_REPORT Restore Duration: 201.70 ms\n", cloudwatch.RestoreReport},
	{"a restore that failed", "platform.restoreReport", `{"status":"error","errorType":"X","metrics":{"durationMs":201.7}}`, "RESTORE_REPORT Restore Duration: 201.70 ms\tStatus: error\tError Type: X\n", cloudwatch.RestoreReport},
	{
		"an extension", "platform.extension", `{"name":"kinesis-telemetry-extension","state":"Ready","events":["INVOKE","SHUTDOWN"]}`,
		"EXTENSION\tName: kinesis-telemetry-extension\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n", cloudwatch.Extension,
	},
	{"an extension without events", "platform.extension", `{"name":"a b","state":"Started"}`, "EXTENSION\tName: a b\tState: Started\tEvents: []\n", cloudwatch.Extension},
	{"an extension of no events", "platform.extension", `{"name":"a","state":"Started","events":[ ]}`, "EXTENSION\tName: a\tState: Started\tEvents: []\n", cloudwatch.Extension},
	{"an extension whose events are null", "platform.extension", `{"name":"a","state":"Started","events":null}`, "EXTENSION\tName: a\tState: Started\tEvents: []\n", cloudwatch.Extension},
	{
		"an extension that failed", "platform.extension", `{"errorType":"Extension.Crash","events":[ "INVOKE" ,` + "\t" + `"a-b_c.9Z" ],"name":"a","state":"ExitError"}`,
		"EXTENSION\tName: a\tState: ExitError\tEvents: [INVOKE, a-b_c.9Z]\tError Type: Extension.Crash\n", cloudwatch.Extension,
	},
	{
		"a subscription", "platform.telemetrySubscription", `{"name":"kinesis-telemetry-extension","state":"Subscribed","types":["platform","function"]}`,
		"TELEMETRY\tName: kinesis-telemetry-extension\tState: Subscribed\tTypes: [Platform, Function]\n", cloudwatch.Subscription,
	},
	{"a subscription to nothing", "platform.telemetrySubscription", `{"name":"a","state":"Subscribed"}`, "TELEMETRY\tName: a\tState: Subscribed\tTypes: []\n", cloudwatch.Subscription},
	{"a subscription with odd capitals", "platform.telemetrySubscription", `{"name":"a","state":"Subscribed","types":["z","aB"]}`, "TELEMETRY\tName: a\tState: Subscribed\tTypes: [Z, AB]\n", cloudwatch.Subscription},
}

func TestPlatformEventsAreTheLinesOfCloudWatchLogs(t *testing.T) {
	for _, tt := range platformLines {
		t.Run(tt.name, func(t *testing.T) {
			l := formattest.Line(t, 17, `"type":"`+tt.kind+`","body":`+tt.body)
			one, id := oneEvent(t, formattest.Environment(false), &l)
			if one.Message != tt.want || id.Message != tt.what {
				t.Errorf("message %d is %q\nwant %d, %q", id.Message, one.Message, tt.what, tt.want)
			}
		})
	}
}

// wholeJSON checks that the message of a platform event is JSON.
func wholeJSON(t *testing.T, env *environment.Environment, kind, body string) {
	t.Helper()
	l := formattest.Line(t, 17, `"type":"`+kind+`","body":`+body)
	one, id := oneEvent(t, env, &l)
	want := `{"time":"2026-11-22T20:15:00.123Z","type":"` + kind + `","record":` + string([]rune(body)) + `}`
	if one.Message != want || id.Message != cloudwatch.SystemJSON {
		t.Errorf("message %d is %q\nwant %q", id.Message, one.Message, want)
	}
}

func TestPlatformEventsAreJSONWhereTheLogFormatIs(t *testing.T) {
	env := formattest.Environment(true)
	for _, tt := range platformLines {
		t.Run(tt.name, func(t *testing.T) { wholeJSON(t, env, tt.kind, tt.body) })
	}
}

// If an event lacks a field that its line must have, or if a reader could not read
// the field in the line, the message is JSON.
func TestUnusualPlatformEventsAreJSON(t *testing.T) {
	const metrics = `"metrics":{"durationMs":1}`
	for _, tt := range []struct{ name, kind, body string }{
		{"a start of no request", "platform.start", `{"version":"$LATEST"}`},
		{"a start of an empty request", "platform.start", `{"requestId":"","version":"$LATEST"}`},
		{"a request that is a number", "platform.start", `{"requestId":17}`},
		{"a request that is null in the end", "platform.start", `{"requestId":"r","requestId":null}`},
		{"a request with a line feed", "platform.start", `{"requestId":"a\nb"}`},
		{"a request with a tab", "platform.start", `{"requestId":"a\tb"}`},
		{"a request with NUL", "platform.start", `{"requestId":"a\u0000b"}`},
		{"a request with a space", "platform.start", `{"requestId":"a Version: b"}`},
		{"a request further down", "platform.start", `{"a":{"requestId":"r"}}`},
		{"no object", "platform.start", `["requestId","r"]`},
		{"null", "platform.start", `null`},
		{"text", "platform.start", `"{\"requestId\":\"r\"}"`},
		{"an end of no request", "platform.runtimeDone", `{"status":"success"}`},
		{"an end whose request is a list", "platform.runtimeDone", `{"requestId":["r"]}`},
		{"a report of no request", "platform.report", `{` + metrics + `}`},
		{"a report without a duration", "platform.report", `{"requestId":"r","metrics":{"billedDurationMs":1}}`},
		{"a report without metrics", "platform.report", `{"requestId":"r","durationMs":1}`},
		{"a report whose duration is text", "platform.report", `{"requestId":"r","metrics":{"durationMs":"1"}}`},
		{"a report whose metrics are a list", "platform.report", `{"requestId":"r","metrics":[{"durationMs":1}]}`},
		{"an init without a version", "platform.initStart", `{"runtimeVersionArn":"arn:aws:lambda:eu-west-1::runtime:aaaa"}`},
		{"an init whose version is a number", "platform.initStart", `{"runtimeVersion":22}`},
		{"a restore without a version", "platform.restoreStart", `{"functionName":"orders","functionVersion":"7"}`},
		{"an init that went well", "platform.initReport", `{"phase":"init","status":"success",` + metrics + `}`},
		{"an init without a status", "platform.initReport", `{"phase":"init",` + metrics + `}`},
		{"an init that failed in no time", "platform.initReport", `{"phase":"init","status":"error"}`},
		{"a restore without a duration", "platform.restoreReport", `{"status":"success","metrics":{}}`},
		{"an extension without a name", "platform.extension", `{"state":"Ready","events":[]}`},
		{"an extension without a state", "platform.extension", `{"name":"a","events":[]}`},
		{"events that are no list", "platform.extension", `{"name":"a","state":"Ready","events":{"a":"b"}}`},
		{"events that are text", "platform.extension", `{"name":"a","state":"Ready","events":"INVOKE"}`},
		{"an event that is a number", "platform.extension", `{"name":"a","state":"Ready","events":["INVOKE",1]}`},
		{"an event without a name", "platform.extension", `{"name":"a","state":"Ready","events":[""]}`},
		{"an event with a comma", "platform.extension", `{"name":"a","state":"Ready","events":["a,b"]}`},
		{"an event with a backslash before a comma", "platform.extension", `{"name":"a","state":"Ready","events":["a\\,b"]}`},
		{"an event with half an escape before a comma", "platform.extension", `{"name":"a","state":"Ready","events":["\u0041,b"]}`},
		{"an event with a bracket", "platform.extension", `{"name":"a","state":"Ready","events":["[a]"]}`},
		{"an event with broken text", "platform.extension", "{\"name\":\"a\",\"state\":\"Ready\",\"events\":[\"\xff\"]}"},
		{"a list of events in a list", "platform.extension", `{"name":"a","state":"Ready","events":[["a","b"]]}`},
		{"a subscription without a name", "platform.telemetrySubscription", `{"state":"Subscribed","types":["platform"]}`},
		{"a subscription without a state", "platform.telemetrySubscription", `{"name":"a","types":["platform"]}`},
		{"types that have a capital already", "platform.telemetrySubscription", `{"name":"a","state":"Subscribed","types":["Platform"]}`},
		{"types that are no list", "platform.telemetrySubscription", `{"name":"a","state":"Subscribed","types":1}`},
	} {
		t.Run(tt.name, func(t *testing.T) { wholeJSON(t, formattest.Environment(false), tt.kind, tt.body) })
	}
}

func TestCloudWatchTimes(t *testing.T) {
	for _, tt := range []struct {
		time string
		ms   int64
		inID int64
	}{
		{"2026-11-22T20:15:00.123Z", 1795378500123, 1795378500123},
		{"2026-11-22T20:15:00.123999Z", 1795378500123, 1795378500123},
		{"2026-11-22T22:15:00.123+02:00", 1795378500123, 1795378500123},
		{"1970-01-01T00:00:00.001Z", 1, 1},
		{"1969-12-31T23:59:59.999Z", 0, 0},
		{"2109-05-15T07:35:11.103Z", 1<<42 - 1, 1<<42 - 1},
		{"2109-05-15T07:35:11.104Z", 1 << 42, 1<<42 - 1},
		{"yesterday", 0, 0},
	} {
		l := formattest.Line(t, 17, `"type":"function","body":"a"`)
		l.Time = []byte(tt.time)
		if one, id := oneEvent(t, formattest.Environment(false), &l); one.Timestamp != tt.ms || id.Ms != tt.inID {
			t.Errorf("%s is %d, and in the id %d", tt.time, one.Timestamp, id.Ms)
		}
	}
}

// For any line, a reader of the payload reads the same as encoding/json reads in the
// line.
func TestCloudWatchIsReadAsTheLinesAre(t *testing.T) {
	whats := map[cloudwatch.Message]int{}
	rapid.Check(t, func(t *rapid.T) {
		env := formattest.Environment(rapid.IntRange(0, 3).Draw(t, "JSON") == 0)
		var lines []format.Line
		for _, text := range rapid.SliceOfN(formattest.AnyLine(), 1, 3).Draw(t, "lines") {
			lines = append(lines, formattest.Parse(t, text))
		}
		payload := cloudwatch.Append(nil, env, "", lines)
		all := readCloudWatch(t, payload)
		if len(all.LogEvents) != len(lines) {
			t.Fatalf("%d events of %d", len(all.LogEvents), len(lines))
		}
		before := rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "before")
		room := append(make([]byte, 0, rapid.IntRange(0, 9999).Draw(t, "room")), before...)
		if again, ok := bytes.CutPrefix(cloudwatch.Append(room, env, "", lines), before); !ok || !bytes.Equal(again, payload) {
			t.Fatalf("once it is\n%s\nand then\n%s", payload, again)
		}
		for i, one := range all.LogEvents {
			l := &lines[i]
			id, ok := cloudwatch.ParseEventID([]byte(one.ID))
			if !ok || id.Seq != min(l.Seq, 1<<48-1) || id.Ms != one.Timestamp || id.Environment != formattest.ID[:22] {
				t.Fatalf("the id %q of event %d means %+v", one.ID, l.Seq, id)
			}
			whats[id.Message]++
			body := string([]rune(string(l.Body)))
			line := l.Parts == 0 && (string(l.Type) == "function" || string(l.Type) == "extension")
			var want string
			switch {
			case line && l.Body[0] == '"' && json.Unmarshal(l.Body, &want) == nil:
				if one.Message != want {
					t.Fatalf("%s is %q", l.Body, one.Message)
				}
			case line:
				if one.Message != body {
					t.Fatalf("%s is %q", l.Body, one.Message)
				}
			case id.Message == cloudwatch.SystemJSON || id.Message == cloudwatch.OtherJSON:
				want = `{"time":"` + string(l.Time) + `","type":"` + string(l.Type) + `","record":` + string(l.Body)
				if l.Parts > 0 {
					want += fmt.Sprintf(`,"part":%d,"parts":%d`, l.Part, l.Parts)
				}
				if want = string([]rune(want + "}")); one.Message != want || !json.Valid([]byte(one.Message)) {
					t.Fatalf("%s is %q", want, one.Message)
				}
				if (id.Message == cloudwatch.OtherJSON) != event.Droppable(l.Type) {
					t.Fatalf("an event of the type %s is message %d", l.Type, id.Message)
				}
			default:
				if env.Details().JSONLogs || l.Parts > 0 || !strings.HasSuffix(one.Message, "\n") || strings.ContainsFunc(one.Message, func(r rune) bool { return r < ' ' && r != '\t' && r != '\n' }) {
					t.Fatalf("%s is %q", l.Text, one.Message)
				}
			}
		}
	})
	t.Log("messages, by what they are:", whats)
}

func putID(ms int64, seq uint64, what cloudwatch.Message, environment string) string {
	id := bytes.Repeat([]byte{'x'}, cloudwatch.EventIDDigits+1)
	cloudwatch.PutEventID(id, ms, seq, what, environment)
	return strings.TrimSuffix(string(id), "x")
}

func TestEventIDs(t *testing.T) {
	var none, all [11]byte
	for i := range all {
		all[i] = 0xff
	}
	// Of "e1", by sha256sum.
	hashed := [11]byte{0x8b, 0x5c, 0xc4, 0xdf, 0x7e, 0xec, 0x7d, 0x32, 0xa7, 0x81, 0x4e}
	ours := [11]byte{0x4f, 0x1e, 0x0c, 0x9a, 0xd3, 0xb2, 0x4e, 0x58, 0xa7, 0xf6, 0x0b}
	for _, tt := range []struct {
		name        string
		ms          int64
		seq         uint64
		what        cloudwatch.Message
		environment string
		want        string
	}{
		{"the first", 0, 1, cloudwatch.FunctionText, strings.Repeat("0", 32), formattest.EventID(0, 1, cloudwatch.FunctionText, none)},
		{"the last", 1<<42 - 1, 1<<48 - 1, cloudwatch.Subscription, strings.Repeat("f", 32), formattest.EventID(1<<42-1, 1<<48-1, cloudwatch.Subscription, all)},
		{"one of today", 1795378500123, 17, cloudwatch.FunctionText, formattest.ID, "40038278466163104039334953562153309441355775293103011339"},
		{"an environment in capitals", 1795378500123, 17, cloudwatch.Report, strings.ToUpper(formattest.ID), formattest.EventID(1795378500123, 17, cloudwatch.Report, ours)},
		{"no longer than it is in the id", 1795378500123, 17, cloudwatch.End, formattest.ID[:22], formattest.EventID(1795378500123, 17, cloudwatch.End, ours)},
		{"an environment of another kind", 1, 17, cloudwatch.FunctionText, "e1", formattest.EventID(1, 17, cloudwatch.FunctionText, hashed)},
		{"a time before all", -1, 17, cloudwatch.FunctionText, formattest.ID, formattest.EventID(0, 17, cloudwatch.FunctionText, ours)},
		{"a time after all", math.MaxInt64, 17, cloudwatch.FunctionText, formattest.ID, formattest.EventID(1<<42-1, 17, cloudwatch.FunctionText, ours)},
		{"a number that has no room", 1, 1 << 48, cloudwatch.FunctionText, formattest.ID, formattest.EventID(1, 1<<48-1, cloudwatch.FunctionText, ours)},
		{"the largest number", 1, math.MaxUint64, cloudwatch.FunctionText, formattest.ID, formattest.EventID(1, 1<<48-1, cloudwatch.FunctionText, ours)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := putID(tt.ms, tt.seq, tt.what, tt.environment); got != tt.want {
				t.Errorf("the id is %s\nwant      %s", got, tt.want)
			}
		})
	}
	// They are in every id that was ever written.
	for i, what := range []cloudwatch.Message{
		cloudwatch.FunctionText, cloudwatch.FunctionJSON, cloudwatch.ExtensionText, cloudwatch.ExtensionJSON, cloudwatch.SystemJSON, cloudwatch.OtherJSON, cloudwatch.Start, cloudwatch.End, cloudwatch.Report,
		cloudwatch.InitStart, cloudwatch.InitReport, cloudwatch.RestoreStart, cloudwatch.RestoreReport, cloudwatch.Extension, cloudwatch.Subscription,
	} {
		if int(what) != i {
			t.Errorf("message %d is %d", i, what)
		}
	}
}

func TestOtherEnvironmentIDsHaveBitsOfTheirOwn(t *testing.T) {
	ids := map[string]string{}
	for _, environment := range []string{"", "e1", "e2", formattest.ID, formattest.ID[:21], "x" + formattest.ID[1:], formattest.ID[:21] + "g", strings.Repeat("orders-", 9)} {
		id := putID(1, 17, cloudwatch.FunctionText, environment)
		if other, ok := ids[id]; ok {
			t.Errorf("%q and %q are the same", environment, other)
		}
		ids[id] = environment
	}
}

type idParts struct {
	ms   int64
	seq  uint64
	what cloudwatch.Message
	env  [11]byte
}

func drawID() *rapid.Generator[idParts] {
	return rapid.Custom(func(t *rapid.T) (p idParts) {
		p.ms = rapid.OneOf(rapid.Int64(), rapid.Int64Range(0, 1<<42-1), rapid.SampledFrom([]int64{0, 1<<42 - 1, 1 << 42})).Draw(t, "ms")
		p.seq = rapid.OneOf(rapid.Uint64Min(1), rapid.Uint64Range(1, 1<<48-1), rapid.SampledFrom([]uint64{1, 1<<32 - 1, 1 << 32, 1<<48 - 1, 1 << 48})).Draw(t, "seq")
		p.what = cloudwatch.Message(rapid.IntRange(0, int(cloudwatch.Subscription)).Draw(t, "what"))
		copy(p.env[:], rapid.SliceOfN(rapid.Byte(), 11, 11).Draw(t, "environment"))
		return p
	})
}

func (p idParts) id() string { return putID(p.ms, p.seq, p.what, fmt.Sprintf("%x", p.env)) }

func TestEventIDsAreReadAsTheyWereWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawID().Draw(t, "id")
		id := p.id()
		ms, seq := min(max(p.ms, 0), 1<<42-1), min(p.seq, 1<<48-1)
		if want := formattest.EventID(ms, seq, p.what, p.env); id != want || len(id) != cloudwatch.EventIDDigits {
			t.Fatalf("the id is %s, not %s", id, want)
		}
		got, ok := cloudwatch.ParseEventID([]byte(id))
		if want := (cloudwatch.EventID{Ms: ms, Seq: seq, Message: p.what, Environment: fmt.Sprintf("%x", p.env)}); !ok || got != want {
			t.Fatalf("%s is read as %+v, %t, not as %+v", id, got, ok, want)
		}
	})
}

func TestEventIDsSortByTimeAndNumber(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawID().Draw(t, "a"), drawID().Draw(t, "b")
		if rapid.Bool().Draw(t, "same time") {
			b.ms = a.ms
		}
		order := func(ms int64, seq uint64) [2]uint64 {
			return [2]uint64{uint64(min(max(ms, 0), 1<<42-1)), min(seq, 1<<48-1)}
		}
		x, y := order(a.ms, a.seq), order(b.ms, b.seq)
		if x == y {
			return
		}
		if before := x[0] < y[0] || x[0] == y[0] && x[1] < y[1]; before != (a.id() < b.id()) {
			t.Fatalf("%s and %s are in another order than %v and %v", a.id(), b.id(), x, y)
		}
	})
}

func TestParseEventIDRefusesOtherIDs(t *testing.T) {
	good := putID(1795378500123, 17, cloudwatch.Report, formattest.ID)
	ours := [11]byte{0x4f}
	first, _ := new(big.Int).SetString(formattest.EventID(0, 17, cloudwatch.Report, ours), 10)
	beyond := new(big.Int).Lsh(big.NewInt(1), 186)
	for _, tt := range []struct{ name, id string }{
		{"nothing", ""},
		{"too short", formattest.EventID(1, 17, cloudwatch.Report, ours)[1:]},
		{"too long", "0" + good},
		{"a sign", "-" + good[1:]},
		{"a letter", good[:30] + "a" + good[31:]},
		{"a slash, before the digits", good[:55] + "/"},
		{"a colon, behind the digits", good[:55] + ":"},
		{"no number", formattest.EventID(1795378500123, 0, cloudwatch.Report, ours)},
		{"a message that there is not", formattest.EventID(1795378500123, 17, cloudwatch.Subscription+1, ours)},
		{"a message that there never was", formattest.EventID(1795378500123, 17, cloudwatch.Message(255), ours)},
		{"a bit that none has", beyond.Add(beyond, first).String()},
		{"the largest", strings.Repeat("9", 56)},
		{"one of CloudWatch Logs", "31953106606966983378809025079804211143289615424298221568"},
	} {
		if id, ok := cloudwatch.ParseEventID([]byte(tt.id)); ok {
			t.Errorf("%s: %q is read as %+v", tt.name, tt.id, id)
		}
	}
	if _, ok := cloudwatch.ParseEventID([]byte(good)); !ok {
		t.Errorf("%s is refused", good)
	}
}
