package record_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/cloudwatch"
	"github.com/kinetel/kinetel/internal/format/formattest"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/jsontext/jsontexttest"
	"github.com/kinetel/kinetel/record"
)

// eventID is an id of the environment formattest.ID.
func eventID(ms, seq int64, what cloudwatch.Message) string {
	return formattest.EventID(ms, uint64(seq), what, [11]byte{0x4f, 0x1e, 0x0c, 0x9a, 0xd3, 0xb2, 0x4e, 0x58, 0xa7, 0xf6, 0x0b})
}

// ofCloudWatch returns a record of log events.
func ofCloudWatch(events ...string) string {
	return `{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"/aws/lambda/orders","logStream":"2026/09/21/orders[$LATEST]0f1e","subscriptionFilters":["kinetel"],` +
		`"logEvents":[` + strings.Join(events, ",") + `]}`
}

// logEvent returns a log event of 2026-11-22T20:15:00.123Z, message being a JSON
// string.
func logEvent(seq int64, what cloudwatch.Message, message string) string {
	const ms = 1795378500123
	return fmt.Sprintf(`{"id":"%s","timestamp":%d,"message":%s}`, eventID(ms, seq, what), ms, message)
}

func quoted(text string) string { return string(jsontext.AppendQuote(nil, text)) }

func cloudWatchResource() map[string]string {
	return map[string]string{
		"cloud.provider": "aws", "cloud.account.id": "123456789012", "service.instance.id": "4f1e0c9ad3b24e58a7f60b",
		"aws.log.group.names": "/aws/lambda/orders", "aws.log.stream.names": "2026/09/21/orders[$LATEST]0f1e",
	}
}

func TestDecodeReadsCloudWatch(t *testing.T) {
	const request = "6f0c0c5e-1111-4222-8333-444455556666"
	for _, tt := range []struct {
		name    string
		what    cloudwatch.Message
		message string
		want    record.Event // but for what all have
	}{
		{"text", cloudwatch.FunctionText, `"user \u0041\/ signed in\n"`, record.Event{Type: "function", Body: json.RawMessage(`"user \u0041\/ signed in\n"`)}},
		{"no text", cloudwatch.FunctionText, `""`, record.Event{Type: "function", Body: json.RawMessage(`""`)}},
		{"an object", cloudwatch.FunctionJSON, quoted(`{ "z":1.50e+3,"a":"\u0041"}`), record.Event{Type: "function", Body: json.RawMessage(`{ "z":1.50e+3,"a":"\u0041"}`)}},
		{"null", cloudwatch.FunctionJSON, `"null"`, record.Event{Type: "function", Body: json.RawMessage(`null`)}},
		{"text of an extension", cloudwatch.ExtensionText, `"a"`, record.Event{Type: "extension", Body: json.RawMessage(`"a"`)}},
		{"a list of an extension", cloudwatch.ExtensionJSON, `"[1, 2]"`, record.Event{Type: "extension", Body: json.RawMessage(`[1, 2]`)}},
		{
			"an event that is whole", cloudwatch.SystemJSON, quoted(`{"time":"2026-11-22T20:15:00.123456Z","type":"kinetel.loss","record":{"count": 20}}`),
			record.Event{TimeText: "2026-11-22T20:15:00.123456Z", Type: "kinetel.loss", Body: json.RawMessage(`{"count": 20}`)},
		},
		{
			"a platform event that is whole", cloudwatch.SystemJSON, quoted(`{"time":"x","type":"platform.start","record":{"requestId":"r"}}`),
			record.Event{TimeText: "x", Type: "platform.start", RequestID: "r", Body: json.RawMessage(`{"requestId":"r"}`)},
		},
		{
			"a request that no event may have", cloudwatch.SystemJSON, quoted(`{"time":"x","type":"platform.start","record":{"requestId":"a\tb"}}`),
			record.Event{TimeText: "x", Type: "platform.start", Body: json.RawMessage(`{"requestId":"a\tb"}`)},
		},
		{
			"another one", cloudwatch.SystemJSON, quoted(`{"time":"x","type":"platform.start","record":{"requestId":"é"}}`),
			record.Event{TimeText: "x", Type: "platform.start", Body: json.RawMessage(`{"requestId":"é"}`)},
		},
		{
			"one with a quote", cloudwatch.SystemJSON, quoted(`{"time":"x","type":"platform.start","record":{"requestId":"a\""}}`),
			record.Event{TimeText: "x", Type: "platform.start", Body: json.RawMessage(`{"requestId":"a\""}`)},
		},
		{
			"one with a backslash", cloudwatch.SystemJSON, quoted(`{"time":"x","type":"platform.start","record":{"requestId":"a\\"}}`),
			record.Event{TimeText: "x", Type: "platform.start", Body: json.RawMessage(`{"requestId":"a\\"}`)},
		},
		{
			"a request of Kinetel's own", cloudwatch.SystemJSON, quoted(`{"time":"x","type":"kinetel.invocation","record":{"requestId":"r"}}`),
			record.Event{TimeText: "x", Type: "kinetel.invocation", RequestID: "r", Body: json.RawMessage(`{"requestId":"r"}`)},
		},
		{
			"an event without a record", cloudwatch.SystemJSON, quoted(`{"time":"x","type":"platform.other","record":null}`),
			record.Event{TimeText: "x", Type: "platform.other", Body: json.RawMessage(`null`)},
		},
		{
			"a part", cloudwatch.OtherJSON, quoted(`{"time":"x","type":"function","record":"\"a","part":1,"parts":2}`),
			record.Event{TimeText: "x", Type: "function", Part: 1, Parts: 2, Body: json.RawMessage(`"\"a"`)},
		},
		{
			"a start", cloudwatch.Start, quoted("START RequestId: " + request + " Version: $LATEST\n"),
			record.Event{Type: "platform.start", RequestID: request, Body: json.RawMessage(`{"requestId":"` + request + `","version":"$LATEST"}`)},
		},
		{"a start without a version", cloudwatch.Start, quoted("START RequestId: r\n"), record.Event{Type: "platform.start", RequestID: "r", Body: json.RawMessage(`{"requestId":"r"}`)}},
		{
			"a start of an odd version", cloudwatch.Start, quoted("START RequestId: r Version: a: b Version: c\n"),
			record.Event{Type: "platform.start", RequestID: "r", Body: json.RawMessage(`{"requestId":"r","version":"a: b Version: c"}`)},
		},
		{"an end", cloudwatch.End, quoted("END RequestId: " + request + "\n"), record.Event{Type: "platform.runtimeDone", RequestID: request, Body: json.RawMessage(`{"requestId":"` + request + `"}`)}},
		{
			"a report", cloudwatch.Report,
			quoted("REPORT RequestId: r\tDuration: 1.85 ms\tBilled Duration: 522 ms\tMemory Size: 256 MB\tMax Memory Used: 88 MB\tInit Duration: 380.51 ms\tRestore Duration: 201.70 ms\tBilled Restore Duration: 202 ms\t\n"),
			record.Event{Type: "platform.report", RequestID: "r", Body: json.RawMessage(`{"requestId":"r","metrics":{"durationMs":1.85,"billedDurationMs":522,"memorySizeMB":256,"maxMemoryUsedMB":88,` +
				`"initDurationMs":380.51,"restoreDurationMs":201.70,"billedRestoreDurationMs":202}}`)},
		},
		{
			"a report of an error", cloudwatch.Report, quoted("REPORT RequestId: r\tDuration: 2.00 ms\tStatus: error\tError Type: Runtime.ExitError\n"),
			record.Event{Type: "platform.report", RequestID: "r", Body: json.RawMessage(`{"requestId":"r","status":"error","errorType":"Runtime.ExitError","metrics":{"durationMs":2.00}}`)},
		},
		{
			"a report with a trace", cloudwatch.Report, quoted("REPORT RequestId: r\tDuration: 2.00 ms\tStatus: timeout\nXRAY TraceId: 1-68d0aaaa-0123456789abcdef01234567\tSegmentId: 54565fb41ac79632\tSampled: true\t\n"),
			record.Event{Type: "platform.report", RequestID: "r", Body: json.RawMessage(`{"requestId":"r","status":"timeout","metrics":{"durationMs":2.00},` +
				`"tracing":{"spanId":"54565fb41ac79632","type":"X-Amzn-Trace-Id","value":"Root=1-68d0aaaa-0123456789abcdef01234567;Sampled=1"}}`)},
		},
		{
			"a report with a trace that is not sampled", cloudwatch.Report, quoted("REPORT RequestId: r\tDuration: 2.00 ms\t\nXRAY TraceId: 1-a\tSampled: false\t\n"),
			record.Event{Type: "platform.report", RequestID: "r", Body: json.RawMessage(`{"requestId":"r","metrics":{"durationMs":2.00},"tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1-a;Sampled=0"}}`)},
		},
		{
			"an init", cloudwatch.InitStart, quoted("INIT_START Runtime Version: nodejs:22.v101\tRuntime Version ARN: arn:aws:lambda:eu-west-1::runtime:aaaa\n"),
			record.Event{Type: "platform.initStart", Body: json.RawMessage(`{"runtimeVersion":"nodejs:22.v101","runtimeVersionArn":"arn:aws:lambda:eu-west-1::runtime:aaaa"}`)},
		},
		{"a restore", cloudwatch.RestoreStart, quoted("RESTORE_START Runtime Version: java:21.v1\n"), record.Event{Type: "platform.restoreStart", Body: json.RawMessage(`{"runtimeVersion":"java:21.v1"}`)}},
		{
			"an init that failed", cloudwatch.InitReport, quoted("INIT_REPORT Init Duration: 1882.55 ms\tPhase: init\tStatus: error\tError Type: X\n"),
			record.Event{Type: "platform.initReport", Body: json.RawMessage(`{"phase":"init","status":"error","errorType":"X","metrics":{"durationMs":1882.55}}`)},
		},
		{
			"a restore that is over", cloudwatch.RestoreReport, quoted("RESTORE_REPORT Restore Duration: 201.70 ms\n"),
			record.Event{Type: "platform.restoreReport", Body: json.RawMessage(`{"metrics":{"durationMs":201.70}}`)},
		},
		{
			"an extension", cloudwatch.Extension, quoted("EXTENSION\tName: a b\tState: Ready\tEvents: [INVOKE, SHUTDOWN]\n"),
			record.Event{Type: "platform.extension", Body: json.RawMessage(`{"name":"a b","state":"Ready","events":["INVOKE","SHUTDOWN"]}`)},
		},
		{
			"an extension of no events", cloudwatch.Extension, quoted("EXTENSION\tName: a\tState: ExitError\tEvents: []\tError Type: X\n"),
			record.Event{Type: "platform.extension", Body: json.RawMessage(`{"name":"a","state":"ExitError","errorType":"X"}`)},
		},
		{
			"a subscription", cloudwatch.Subscription, quoted("TELEMETRY\tName: a\tState: Subscribed\tTypes: [Platform, AB]\n"),
			record.Event{Type: "platform.telemetrySubscription", Body: json.RawMessage(`{"name":"a","state":"Subscribed","types":["platform","aB"]}`)},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.want.Schema, tt.want.Seq, tt.want.Resource = "kinetel/1", 17, cloudWatchResource()
			if tt.want.TimeText == "" {
				tt.want.TimeText = "2026-11-22T20:15:00.123Z"
			}
			tt.want = timed(tt.want)
			second := tt.want
			second.Seq = 18
			data := zip(t, ofCloudWatch(logEvent(17, tt.what, tt.message), logEvent(18, tt.what, tt.message)))
			got, err := record.Decode([]byte(data))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]record.Event{tt.want, second}, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeReadsCloudWatchOfUnknownOrigin(t *testing.T) {
	got, err := record.Decode([]byte(`{"messageType":"DATA_MESSAGE","owner":"","logGroup":"","logStream":"e1","subscriptionFilters":["kinetel"],"logEvents":[` + logEvent(1, cloudwatch.FunctionText, `"a"`) + `]}`))
	if err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	want := map[string]string{"cloud.provider": "aws", "service.instance.id": "4f1e0c9ad3b24e58a7f60b", "aws.log.stream.names": "e1"}
	if diff := cmp.Diff(want, got[0].Resource); diff != "" {
		t.Errorf("resource (-want +got):\n%s", diff)
	}
}

func TestDecodeRefusesRecordsOfCloudWatchLogs(t *testing.T) {
	for _, tt := range []struct{ name, text, message string }{
		{
			"a control message", `{"messageType":"CONTROL_MESSAGE","owner":"CloudwatchLogs","logGroup":"","logStream":"","subscriptionFilters":[],` +
				`"logEvents":[{"id":"","timestamp":1795378500123,"message":"CWL CONTROL MESSAGE: Checking health of destination Kinesis."}]}`,
			`a CONTROL_MESSAGE of subscription filters [], which is CloudWatch's own`,
		},
		{
			"a control message of a filter of the same name", strings.Replace(ofCloudWatch(logEvent(1, cloudwatch.FunctionText, `"a"`)), "DATA", "CONTROL", 1),
			`a CONTROL_MESSAGE of subscription filters ["kinetel"], which is CloudWatch's own`,
		},
		{
			"another filter's", `{"messageType":"DATA_MESSAGE","owner":"123456789012","logGroup":"/aws/lambda/orders","logStream":"s","subscriptionFilters":["Destination"],` +
				`"logEvents":[{"id":"31953106606966983378809025079804211143289615424298221568","timestamp":1432826855000,"message":"START RequestId: r Version: $LATEST\n"}]}`,
			`a DATA_MESSAGE of subscription filters ["Destination"], which is CloudWatch's own`,
		},
		{
			"two filters", `{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","subscriptionFilters":["kinetel","other"],"logEvents":[` + logEvent(1, cloudwatch.FunctionText, `"a"`) + `]}`,
			`a DATA_MESSAGE of subscription filters ["kinetel","other"], which is CloudWatch's own`,
		},
		{
			"no word of filters", `{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","logEvents":[` + logEvent(1, cloudwatch.FunctionText, `"a"`) + `]}`,
			`a DATA_MESSAGE of subscription filters , which is CloudWatch's own`,
		},
		{
			"a filter of the same name", `{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","subscriptionFilters":["kinetel"],` +
				`"logEvents":[{"id":"31953106606966983378809025079804211143289615424298221568","timestamp":1432826855000,"message":"a"}]}`,
			`log event 1: the id "31953106606966983378809025079804211143289615424298221568" is not Kinetel's`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events, err := record.Decode([]byte(zip(t, tt.text)))
			if !errors.Is(err, record.ErrNotRecord) || len(events) > 0 || !strings.Contains(err.Error(), tt.message) {
				t.Errorf("%d events and the error %v", len(events), err)
			}
		})
	}
}

func TestDecodeCloudWatchRefusesOtherRecords(t *testing.T) {
	one := logEvent(17, cloudwatch.FunctionText, `"a"`)
	good := ofCloudWatch(one)
	replaced := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not there", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	of := func(what cloudwatch.Message, text string) string {
		return ofCloudWatch(logEvent(17, what, quoted(text)))
	}
	const trace = "REPORT RequestId: r\tDuration: 2.00 ms\t\nXRAY TraceId: 1-a\t"
	for _, tt := range []struct {
		name, text string
		events     int // that were read before
	}{
		{"a record that is cut", good[:len(good)-1], 0},
		{"something behind it", good + "x", 1},
		{"a closing brace behind it", good + "}", 1},
		{"a closing bracket behind it", good + "]", 1},
		{"text behind it", good + "hello\n", 1},
		{"a cut line behind it", good + aLine[:20], 1},
		{"a second one that is cut", good + good[:99], 1},
		{"no events", ofCloudWatch(), 0},
		{"no list of events", replaced(`"logEvents"`, `"other"`), 0},
		{"events that are none", ofCloudWatch(one, "7"), 1},
		{"events that are no list", replaced(`"logEvents":[`, `"logEvents":{},"other":[`), 0},
		{"an owner that is a number", replaced(`"123456789012"`, `123456789012`), 0},
		{"a group that is a list", replaced(`"/aws/lambda/orders"`, `[]`), 0},
		{"a stream with broken text", replaced(`[$LATEST]`, "\xff"), 0},
		{"a type of message that is null", replaced(`"DATA_MESSAGE"`, `null`), 0},
		{"no id", ofCloudWatch(one, strings.Replace(one, `"id"`, `"di"`, 1)), 1},
		{"an id that is a number", replaced(`"id":"`, `"id":`+"1,\"x\":\""), 0},
		{"no timestamp", replaced(`"timestamp"`, `"other"`), 0},
		{"a timestamp that is text", replaced(`1795378500123,`, `"1795378500123",`), 0},
		{"a timestamp that is no integer", replaced(`1795378500123,`, `1795378500123.5,`), 0},
		{"a timestamp before all", replaced(`1795378500123,`, `-1,`), 0},
		{"a timestamp beyond all years", replaced(`1795378500123,`, `253402300800000,`), 0},
		{"a timestamp without end", replaced(`1795378500123,`, strings.Repeat("9", 99)+`,`), 0},
		{"no message", replaced(`"message"`, `"other"`), 0},
		{"a message that is a number", replaced(`"message":"a"`, `"message":1`), 0},
		{"two environments", ofCloudWatch(one, `{"id":"`+strings.Repeat("0", 26)+`309485009821345068724781056","timestamp":1,"message":"a"}`), 1},
		{"JSON that is none", of(cloudwatch.FunctionJSON, `{`), 0},
		{"JSON that goes on", of(cloudwatch.ExtensionJSON, `{} {}`), 0},
		{"a system event that is none", of(cloudwatch.SystemJSON, `[]`), 0},
		{"a system event that goes on", of(cloudwatch.SystemJSON, `{"time":"x","type":"t","record":1}1`), 0},
		{"a system event without a time", of(cloudwatch.SystemJSON, `{"type":"t","record":1}`), 0},
		{"a system event without a type", of(cloudwatch.SystemJSON, `{"time":"x","record":1}`), 0},
		{"a system event without a record", of(cloudwatch.OtherJSON, `{"time":"x","type":"t"}`), 0},
		{"a system event whose part is text", of(cloudwatch.OtherJSON, `{"time":"x","type":"t","record":1,"part":"1"}`), 0},
		{"a start that is an end", of(cloudwatch.Start, "END RequestId: r\n"), 0},
		{"an end that is a start", of(cloudwatch.End, "START RequestId: r\n"), 0},
		{"a report that is none", of(cloudwatch.Report, "RequestId: r\n"), 0},
		{"an init that is none", of(cloudwatch.InitStart, "INIT_REPORT Runtime Version: a\n"), 0},
		{"an init's report that is none", of(cloudwatch.InitReport, "INIT_START Runtime Version: a\n"), 0},
		{"a restore that is none", of(cloudwatch.RestoreStart, "INIT_START Runtime Version: a\n"), 0},
		{"a restore's report that is none", of(cloudwatch.RestoreReport, "REPORT Restore Duration: 1 ms\n"), 0},
		{"an extension that is none", of(cloudwatch.Extension, "TELEMETRY\tName: a\n"), 0},
		{"a subscription that is none", of(cloudwatch.Subscription, "EXTENSION\tName: a\n"), 0},
		{"an unknown field", of(cloudwatch.End, "END Other: r\n"), 0},
		{"a field without a value", of(cloudwatch.End, "END RequestId\n"), 0},
		{"an unknown measure", of(cloudwatch.Report, "REPORT RequestId: r\tOther: 1 ms\n"), 0},
		{"a measure without a unit", of(cloudwatch.Report, "REPORT RequestId: r\tDuration: 1\n"), 0},
		{"a measure of nothing", of(cloudwatch.Report, "REPORT RequestId: r\tDuration:  ms\n"), 0},
		{"a measure that is no number", of(cloudwatch.Report, "REPORT RequestId: r\tDuration: one ms\n"), 0},
		{"a measure that is a word", of(cloudwatch.Report, "REPORT RequestId: r\tDuration: true ms\n"), 0},
		{"a segment of no trace", of(cloudwatch.Report, "REPORT RequestId: r\tSegmentId: a\n"), 0},
		{"a sample of no trace", of(cloudwatch.Report, "REPORT RequestId: r\tSampled: true\n"), 0},
		{"a sample that is neither", of(cloudwatch.Report, trace+"Sampled: maybe\t\n"), 0},
		{"two samples", of(cloudwatch.Report, trace+"Sampled: true\tSampled: true\t\n"), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events, err := record.Decode([]byte(tt.text))
			if !errors.Is(err, record.ErrNotRecord) {
				t.Errorf("it returned %v, want ErrNotRecord", err)
			}
			if len(events) != tt.events {
				t.Errorf("%d events, want %d", len(events), tt.events)
			}
		})
	}
	if _, err := record.Decode([]byte(good)); err != nil {
		t.Error(err)
	}
}

// A small record can hold much data that is not an event, and so can an error message.
func TestDecodeCloudWatchTakesNoMoreMemoryThanItNeeds(t *testing.T) {
	n := many()
	one := logEvent(17, cloudwatch.FunctionText, `"a"`)
	for _, text := range []string{
		ofCloudWatch(one, strings.Repeat("{},", n)+"{}"),
		strings.Replace(ofCloudWatch(one), `["kinetel"]`, `[`+strings.Repeat(`"",`, n)+`""]`, 1),
		strings.Replace(ofCloudWatch(one), `"owner"`, strings.Repeat(`"":0,`, n)+`"owner"`, 1),
		strings.Replace(ofCloudWatch(one), `"timestamp"`, strings.Repeat(`"":0,`, n)+`"timestamp"`, 1),
		strings.Replace(ofCloudWatch(one), `"DATA_MESSAGE"`, `[`+strings.Repeat(`0,`, n)+`0]`, 1),
	} {
		data := []byte(text)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := record.Decode(data)
		runtime.ReadMemStats(&after)
		if err != nil && (!errors.Is(err, record.ErrNotRecord) || len(err.Error()) > 1000) {
			t.Errorf("it returned an error of %d bytes, %.1000v", len(err.Error()), err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
			t.Errorf("%d bytes were allocated for %d bytes of one event", took, len(text))
		}
	}
}

// Decoding a line takes memory in proportion to its size.
func TestDecodeCloudWatchReadsLongLines(t *testing.T) {
	for _, text := range []string{
		"REPORT RequestId: r" + strings.Repeat("\tStatus: x", 1<<17),
		"REPORT RequestId: r\nXRAY TraceId: a" + strings.Repeat("\tTraceId: a\tSampled: true", 1<<17),
		strings.Repeat("REPORT ", 1<<17),
	} {
		data := []byte(ofCloudWatch(logEvent(17, cloudwatch.Report, quoted(text))))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := record.Decode(data)
		runtime.ReadMemStats(&after)
		if err != nil && !errors.Is(err, record.ErrNotRecord) {
			t.Error(err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 32<<20 {
			t.Errorf("%d bytes were allocated for a line of %d bytes", took, len(text))
		}
	}
}

const aLogStream = "2026/09/21/orders[$LATEST]0f1e"

func aCloudWatchSource(resource string, jsonLogs bool) *environment.Environment {
	return formattest.Of(formattest.ID, resource, environment.Details{AccountID: "123456789012", LogGroup: "/aws/lambda/orders", LogStream: aLogStream, JSONLogs: jsonLogs, Attributes: aSource(resource).Details().Attributes})
}

// replaced is text as read by a reader that replaces bytes that are not UTF-8.
func replaced(text []byte) string { return string([]rune(string(text))) }

// remains returns what remains of an event that is written as what, by docs/format.md.
func remains(e record.Event, l *format.Line, what cloudwatch.Message) record.Event {
	if original := e.Body; len(l.BodyBase64) > 0 {
		e.Body = json.RawMessage(l.Body)
		replaced := *l
		replaced.BodyBase64 = nil
		out := remains(e, &replaced, what)
		out.Body = original
		return out
	}
	out := record.Event{Schema: e.Schema, Seq: min(e.Seq, 1<<48-1), Type: e.Type, Resource: cloudWatchResource()}
	ms := int64(0)
	if at, err := time.Parse(time.RFC3339, string(l.Time)); err == nil && at.Unix() >= 0 && at.Unix() <= 18446744072 {
		ms = at.UnixMilli()
	}
	out.TimeText = time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")
	line := e.Part == 0 && (string(l.Type) == "function" || string(l.Type) == "extension")
	switch {
	case line:
		out.Body = json.RawMessage(replaced(e.Body))
		var text string
		if json.Unmarshal(e.Body, &text) == nil && e.Body[0] == '"' && strings.Contains(text, "\ufffd") {
			out.Body = json.RawMessage(quoted(text)) // of which the escapes may be others
		}
	case what == cloudwatch.SystemJSON || what == cloudwatch.OtherJSON:
		out.TimeText, out.Part, out.Parts, out.Body = e.TimeText, e.Part, e.Parts, json.RawMessage(replaced(e.Body))
	default:
		out.Body = lineFields(e.Body, what)
	}
	var of struct {
		RequestID string `json:"requestId"`
	}
	if strings.HasPrefix(e.Type, "platform.") && json.Unmarshal(out.Body, &of) == nil && regexp.MustCompile(`^[ !#-\[\]-~]{1,128}$`).MatchString(of.RequestID) {
		out.RequestID = of.RequestID
	}
	return timed(out)
}

// plainText is text that can stand in a line, "" of anything else.
func plainText(v any) string {
	text, _ := v.(string)
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
		return ""
	}
	return text
}

// lineFields returns the fields of a platform event's body that the line of CloudWatch
// Logs has.
func lineFields(body []byte, what cloudwatch.Message) json.RawMessage {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var in map[string]any
	if err := dec.Decode(&in); err != nil {
		return nil
	}
	out := map[string]any{}
	copyFields := func(names ...string) {
		for _, name := range names {
			if text := plainText(in[name]); text != "" {
				out[name] = text
			}
		}
	}
	outcome := func() {
		if copyFields("status", "errorType"); out["status"] == "success" {
			delete(out, "status")
		}
	}
	measure := func(precise []string, names ...string) {
		all, _ := in["metrics"].(map[string]any)
		metrics := map[string]any{}
		for _, name := range names {
			if n, ok := all[name].(json.Number); ok {
				metrics[name] = n
				if f, err := n.Float64(); err == nil && slices.Contains(precise, name) {
					metrics[name] = json.Number(fmt.Sprintf("%.2f", f))
				}
			}
		}
		if len(metrics) > 0 {
			out["metrics"] = metrics
		}
	}
	list := func(name string) {
		if all, ok := in[name].([]any); ok && len(all) > 0 {
			out[name] = all
		}
	}
	switch what {
	case cloudwatch.Start:
		copyFields("requestId", "version")
	case cloudwatch.End:
		copyFields("requestId")
	case cloudwatch.Report:
		copyFields("requestId")
		if outcome(); out["status"] == nil {
			delete(out, "errorType")
		}
		measure([]string{"durationMs", "initDurationMs", "restoreDurationMs"}, "durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB", "initDurationMs", "restoreDurationMs", "billedRestoreDurationMs")
		if tracing, ok := in["tracing"].(map[string]any); ok {
			fields := map[string]string{}
			for field := range strings.SplitSeq(plainText(tracing["value"]), ";") {
				name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
				fields[name] = value
			}
			trace := map[string]any{"type": "X-Amzn-Trace-Id", "value": "Root=" + fields["Root"]}
			if sampled := fields["Sampled"]; sampled == "0" || sampled == "1" {
				trace["value"] = "Root=" + fields["Root"] + ";Sampled=" + sampled
			}
			if id := plainText(tracing["spanId"]); id != "" {
				trace["spanId"] = id
			}
			if fields["Root"] != "" {
				out["tracing"] = trace
			}
		}
	case cloudwatch.InitStart, cloudwatch.RestoreStart:
		copyFields("runtimeVersion", "runtimeVersionArn")
	case cloudwatch.InitReport:
		copyFields("phase")
		outcome()
		measure([]string{"durationMs"}, "durationMs")
	case cloudwatch.RestoreReport:
		outcome()
		measure([]string{"durationMs"}, "durationMs")
	case cloudwatch.Extension:
		copyFields("name", "state")
		outcome()
		list("events")
	case cloudwatch.Subscription:
		copyFields("name", "state")
		list("types")
	}
	text, _ := json.Marshal(out)
	return text
}

// sameText compares JSON by its value.
func sameText(text json.RawMessage) json.RawMessage {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return text
	}
	out, _ := json.Marshal(v)
	return out
}

// checkCloudWatch encodes lines, decodes the result, and compares it with what must
// remain of the lines.
func checkCloudWatch(t interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}, compress func(fataler, string) string, jsonLogs bool, resource string, text ...string,
) (whats []cloudwatch.Message) {
	t.Helper()
	events, err := record.Decode([]byte(strings.Join(text, "")))
	if err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	lines := read(t, text...)
	payload := cloudwatch.Append(nil, aCloudWatchSource(resource, jsonLogs), "", lines)
	if !json.Valid(payload) || !utf8.Valid(payload) {
		t.Fatalf("no JSON: %q", payload)
	}
	data := []byte(compress(t, string(payload)))
	got, err := record.Decode(data)
	if err != nil || len(got) != len(events) {
		t.Fatalf("%v, %d events of %d in\n%s", err, len(got), len(events), payload)
	}
	clear(data) // events have memory of their own
	var written struct {
		LogEvents []struct {
			ID string `json:"id"`
		} `json:"logEvents"`
	}
	if err := json.Unmarshal(payload, &written); err != nil {
		t.Fatal(err)
	}
	for i, e := range events {
		id, _ := cloudwatch.ParseEventID([]byte(written.LogEvents[i].ID))
		whats = append(whats, id.Message)
		want := remains(e, &lines[i], id.Message)
		if len(lines[i].BodyBase64) == 0 && (id.Message >= cloudwatch.Start || strings.Contains(string(want.Body), "\ufffd")) {
			want.Body, got[i].Body = sameText(want.Body), sameText(got[i].Body)
		}
		if diff := cmp.Diff(want, got[i]); diff != "" {
			t.Fatalf("event %d, message %d (-want +got):\n%s\nin %s\nof %s", i, id.Message, diff, payload, text[i])
		}
	}
	return whats
}

// aPlatformLine draws platform events that make sense but for a member here and
// there.
func aPlatformLine(resource string) *rapid.Generator[string] {
	odd := rapid.OneOf(
		rapid.SampledFrom([]string{
			`"a\nb"`, `"a\tb"`, `"a b"`, `"a Version: b"`, `"a: b"`, `"a, b"`, `"[a]"`, `"\u0041\ud83d\ude00\udead"`, "\"\xff\"", `"é"`, `"<&>"`, `"\\\""`, `""`,
			`"Root=1-a;Sampled=0;Parent=c"`, `"Sampled=1; Root=1-b "`, `"Root=;=;;"`, `["a\\,b","c"]`, `["INVOKE"]`, `[]`, `-0`, `-12.345`, `1e21`, `1e999`, `0.005`, `null`,
		}),
		jsontexttest.Value(2),
	)
	object := func(t *rapid.T, members map[string]string) string {
		var all []string
		for _, name := range slices.Sorted(maps.Keys(members)) {
			switch rapid.IntRange(0, 11).Draw(t, name) {
			case 11:
			case 10:
				all = append(all, `"`+name+`": `+odd.Draw(t, "value"))
			default:
				all = append(all, `"`+name+`":`+members[name])
			}
		}
		return "{" + strings.Join(rapid.Permutation(all).Draw(t, "order"), ",") + "}"
	}
	return rapid.Custom(func(t *rapid.T) string {
		number := rapid.StringMatching(`(0|[1-9][0-9]{0,5})(\.[0-9]{1,4})?`)
		metrics := map[string]string{}
		for _, name := range []string{"durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB", "initDurationMs", "restoreDurationMs", "billedRestoreDurationMs"} {
			metrics[name] = number.Draw(t, name)
		}
		body := object(t, map[string]string{
			"requestId": `"6f0c0c5e-1111-4222-8333-444455556666"`, "version": `"$LATEST"`, "runtimeVersion": `"nodejs:22.v101"`, "runtimeVersionArn": `"arn:aws:lambda"`, "name": `"a"`, "state": `"Ready"`,
			"phase": `"init"`, "status": rapid.SampledFrom([]string{`"success"`, `"error"`, `"timeout"`}).Draw(t, "status"), "errorType": `"X"`, "events": `["INVOKE","SHUTDOWN"]`, "types": `["platform"]`,
			"metrics": object(t, metrics), "tracing": object(t, map[string]string{"value": `"Root=1-a;Parent=c;Sampled=1"`, "spanId": `"b"`}), "other": `1`,
		})
		ev := event.Event{
			Time: []byte("2026-11-22T20:15:00.123Z"), Record: []byte(body), RequestID: "r", TraceID: "1-5759e988-bd862e3fe1be46a994272793", Extra: []byte(`"a":1`),
			Type: []byte(rapid.SampledFrom([]string{
				"platform.start", "platform.runtimeDone", "platform.report", "platform.initStart", "platform.initReport", "platform.restoreStart", "platform.restoreReport",
				"platform.extension", "platform.telemetrySubscription", "platform.other",
			}).Draw(t, "type")),
		}
		return string(format.AppendLine(nil, rapid.Uint64Range(1, 1<<48-1).Draw(t, "seq"), &ev, format.Part{}, []byte(resource)))
	})
}

func TestCloudWatchKeepsWhatTheDocumentsSay(t *testing.T) {
	whats := map[cloudwatch.Message]int{}
	names := slices.Sorted(maps.Keys(compressions))
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.OneOf(aPlatformLine(aResource), aLineOf(aResource, false))
		compress := compressions[rapid.SampledFrom(names).Draw(t, "compression")]
		for _, what := range checkCloudWatch(t, compress, rapid.IntRange(0, 3).Draw(t, "JSON") == 3, aResource, rapid.SliceOfN(line, 1, 4).Draw(t, "lines")...) {
			whats[what]++
		}
	})
	t.Log("messages, by what they are:", whats)
}

// FuzzCloudWatch encodes any line that can be.
func FuzzCloudWatch(f *testing.F) {
	f.Add(uint64(1), "2026-11-22T20:15:00.123Z", "function", `"text"`, byte(0), false)
	f.Add(uint64(2), "2026-11-22T20:15:00.123Z", "extension", `{"a":[1]}`, byte(0), true)
	f.Add(uint64(3), "x", "kinetel.loss", `{"count":1}`, byte(0), false)
	f.Add(uint64(4), "2026-11-22T20:15:00.123Z", "function", `"{\"a"`, byte(3), false)
	f.Add(uint64(5), "2026-11-22T20:15:00.123Z", "platform.start", `{"requestId":"r","version":"$LATEST"}`, byte(0), false)
	f.Add(uint64(6), "2026-11-22T20:15:00.123Z", "platform.report", `{"requestId":"r","status":"error","errorType":"X","metrics":{"durationMs":1.5,"billedDurationMs":2},"tracing":{"spanId":"b","value":"Root=1-a;Sampled=1"}}`, byte(0), false)
	f.Add(uint64(7), "2026-11-22T20:15:00.123Z", "platform.initReport", `{"phase":"init","status":"error","metrics":{"durationMs":1.5}}`, byte(0), false)
	f.Add(uint64(8), "2026-11-22T20:15:00.123Z", "platform.extension", `{"name":"a","state":"Ready","events":["INVOKE","SHUTDOWN"]}`, byte(0), false)
	f.Add(uint64(9), "2026-11-22T20:15:00.123Z", "platform.telemetrySubscription", `{"name":"a","state":"Subscribed","types":["platform"]}`, byte(0), false)
	f.Fuzz(func(t *testing.T, seq uint64, at, kind, body string, part byte, jsonLogs bool) {
		ev := event.Event{Time: []byte(at), Type: []byte(kind), Record: []byte(body)}
		var of format.Part
		if part > 0 {
			of = format.Part{Part: int(part), Parts: int(part) + 1, Body: ev.Record}
		}
		line := format.AppendLine(nil, max(seq, 1), &ev, of, []byte(aResource))
		if l, ok := format.ReadLine(line); !ok || !bytes.Equal(l.Resource, []byte(aResource)) || bytes.IndexByte(line, '\n') != len(line)-1 {
			return // what was drawn is no JSON
		}
		if _, err := record.Decode(line); err != nil {
			return // such as a member that stands twice
		}
		if twice(body) {
			return // encoding/json merges objects
		}
		checkCloudWatch(t, plain, jsonLogs, aResource, string(line))
	})
}

// twice reports whether a name stands twice in an object, or in another case.
func twice(text string) bool {
	seen := map[string]bool{}
	for _, m := range regexp.MustCompile(`"(?:[^"\\]|\\.)*"\s*:`).FindAllString(text, -1) {
		name, _ := strconv.Unquote(strings.TrimRight(m, ": \t\r\n"))
		if name = strings.ToLower(name); seen[name] {
			return true
		}
		seen[name] = true
	}
	return false
}
