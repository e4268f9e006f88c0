package event_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/event"
)

func TestPlatformReadsTheRecord(t *testing.T) {
	for _, tt := range []struct {
		name, record string
		want         event.Platform
	}{
		{
			"platform.start", `{"requestId":"r","version":"$LATEST","tenantId":"blue","tracing":{"type":"X-Amzn-Trace-Id","value":"Root=1"}}`,
			event.Platform{RequestID: "r", TenantID: "blue", Tracing: json.RawMessage(`{"type":"X-Amzn-Trace-Id","value":"Root=1"}`), Trace: "Root=1"},
		},
		{
			"platform.report", `{"requestId":"r","status":"timeout","errorType":"Sandbox.Timedout","metrics":{"durationMs":140.90,"billedDurationMs":1e3,"initDurationMs":0,` +
				`"restoreDurationMs":1,"billedRestoreDurationMs":2,"memorySizeMB":256,"maxMemoryUsedMB":12345678901234567890,"later":1},` +
				`"spans":[{"name":"responseLatency","durationMs":1},{"name":"extensionOverhead","durationMs":11.50}]}`,
			event.Platform{
				RequestID: "r", Status: "timeout", ErrorType: "Sandbox.Timedout", ExtensionOverheadMs: "11.50",
				Metrics: event.Metrics{
					DurationMs: "140.90", BilledDurationMs: "1e3", InitDurationMs: "0", RestoreDurationMs: "1", BilledRestoreDurationMs: "2",
					MemorySizeMB: "256", MaxMemoryUsedMB: "12345678901234567890",
				},
			},
		},
		{
			"platform.initStart", `{"initializationType":"on-demand","phase":"init","instanceId":"i","runtimeVersion":"v","runtimeVersionArn":"va","functionArn":"fa"}`,
			event.Platform{InitializationType: "on-demand", Phase: "init", InstanceID: "i", RuntimeVersion: "v", RuntimeVersionARN: "va", FunctionARN: "fa"},
		},
		{"platform.logsDropped", `{"droppedRecords":12,"droppedBytes":3.5}`, event.Platform{DroppedRecords: "12", DroppedBytes: "3.5"}},
		{"numbers below zero", `{"droppedRecords":-1,"droppedBytes":-3.5,"metrics":{"durationMs":-1,"memorySizeMB":128},"spans":[{"name":"extensionOverhead","durationMs":-2}]}`, event.Platform{Metrics: event.Metrics{MemorySizeMB: "128"}}},
		{
			"members of other types leave the others",
			`{"requestId":7,"tenantId":null,"status":[],"metrics":[1],"spans":{},"phase":true,"droppedRecords":"12","droppedBytes":{},"errorType":"A.B","tracing":7}`,
			event.Platform{ErrorType: "A.B", Tracing: json.RawMessage("7")},
		},
		{
			"members of members, too", `{"metrics":{"durationMs":{},"memorySizeMB":1},"spans":[7,{"name":7},{"name":"extensionOverhead","durationMs":"1"}],"tracing":{"value":7}}`,
			event.Platform{Metrics: event.Metrics{MemorySizeMB: "1"}, Tracing: json.RawMessage(`{"value":7}`)},
		},
		{"escapes", `{"requestId":"a\"b\\c\u0064\n\ud83d\ude00"}`, event.Platform{RequestID: "a\"b\\cd\n😀"}},
		{"text that is not Unicode", "{\"requestId\":\"a\xff\xffb\",\"tenantId\":\"\\ud800\"}", event.Platform{RequestID: "a\ufffd\ufffdb", TenantID: "\ufffd"}},
		{"no record", ``, event.Platform{}},
		{"null", `null`, event.Platform{}},
		{"text", `"requestId"`, event.Platform{}},
		{"a list", `["requestId"]`, event.Platform{}},
		{"an empty object", ` {} `, event.Platform{}},
		{"an object that is cut", `{"requestId":"r"`, event.Platform{}},
		{"an object that something follows", `{"requestId":"r"}}`, event.Platform{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			record := []byte(tt.record)
			ev := event.Event{Record: record}
			got := ev.Platform()
			clear(record) // the result does not point into it
			if diff := cmp.Diff(&tt.want, got); diff != "" {
				t.Errorf("Platform() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlatformReadsTheRecordOnce(t *testing.T) {
	ev := event.Event{Record: []byte(`{"requestId":"` + strings.Repeat("r", 36) + `","metrics":{"durationMs":1}}`)}
	first := ev.Platform()
	if n := testing.AllocsPerRun(10, func() { ev.Platform() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if copied := ev; copied.Platform() != first {
		t.Error("a copy of the event reads the record again")
	}
}
