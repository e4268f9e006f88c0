package locallambda

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/lambdasim"
)

func event(eventType, record string) lambdasim.Event {
	return lambdasim.Event{Type: eventType, Record: []byte(record), Raw: []byte(`{"type":"` + eventType + `","record":` + record + `}`)}
}

func TestLogLines(t *testing.T) {
	const start = `{"requestId":"r-1","version":"$LATEST"}`
	for name, test := range map[string]struct {
		event  lambdasim.Event
		format lambdasim.LogFormat
		want   string
	}{
		"a line":             {event("function", `"a \"b\" \u0001"`), lambdasim.LogText, "a \"b\" \x01\n"},
		"an extension's":     {event("extension", `"x"`), lambdasim.LogText, "x\n"},
		"an object":          {event("function", `{"level":"INFO"}`), lambdasim.LogJSON, "{\"level\":\"INFO\"}\n"},
		"INIT_START":         {event("platform.initStart", `{"runtimeVersion":"provided:al2023.v1","runtimeVersionArn":"arn:x"}`), "", "INIT_START Runtime Version: provided:al2023.v1\tRuntime Version ARN: arn:x\n"},
		"START":              {event("platform.start", start), "", "START RequestId: r-1 Version: $LATEST\n"},
		"START, JSON":        {event("platform.start", start), lambdasim.LogJSON, `{"type":"platform.start","record":` + start + "}\n"},
		"nothing":            {event("platform.runtimeDone", `{"requestId":"r-1"}`), lambdasim.LogText, ""},
		"nothing, JSON":      {event("platform.runtimeDone", `{"requestId":"r-1"}`), lambdasim.LogJSON, ""},
		"a record of others": {event("platform.start", `[]`), lambdasim.LogText, ""},
		"REPORT of a cold start": {
			event("platform.report", `{"requestId":"r-1","status":"success","metrics":{"durationMs":2.5,"billedDurationMs":113,"memorySizeMB":128,"maxMemoryUsedMB":36,"initDurationMs":110.104},`+
				`"tracing":{"value":"Root=1-a-b;Parent=c;Sampled=1"}}`), lambdasim.LogText,
			"END RequestId: r-1\nREPORT RequestId: r-1\tDuration: 2.50 ms\tBilled Duration: 113 ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\tInit Duration: 110.10 ms\t\n" +
				"XRAY TraceId: 1-a-b\tSampled: true\t\n",
		},
		"REPORT of a time-out": {
			event("platform.report", `{"requestId":"r-1","status":"timeout","errorType":"Sandbox.Timedout","metrics":{"durationMs":3000,"billedDurationMs":3000,"memorySizeMB":128,"maxMemoryUsedMB":9},`+
				`"tracing":{"value":"Root=1-a-b;Parent=c;Sampled=0"}}`), "",
			"END RequestId: r-1\nREPORT RequestId: r-1\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 128 MB\tMax Memory Used: 9 MB\tStatus: timeout\t\n",
		},
		"REPORT of a crash after a restore": {
			event("platform.report", `{"requestId":"r-1","status":"error","errorType":"Runtime.ExitError","metrics":{"durationMs":1,"billedDurationMs":1,"memorySizeMB":128,"maxMemoryUsedMB":9,"restoreDurationMs":12}}`), "",
			"END RequestId: r-1\nREPORT RequestId: r-1\tDuration: 1.00 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\tMax Memory Used: 9 MB\tRestore Duration: 12.00 ms\tStatus: error\tError Type: Runtime.ExitError\t\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(AppendLog([]byte(">"), test.event, test.format)); got != ">"+test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
		})
	}
}

func TestTails(t *testing.T) {
	var logs tails
	add := func(requestID, line string) {
		e := event("function", `"`+line+`"`)
		e.RequestID = requestID
		logs.add(e)
	}
	add("a", "before")
	logs.begin("a")
	logs.begin("b")
	add("a", "1")
	add("b", "2")
	add("c", "of another invocation")
	add("", `a line of managed instances with b in it`)
	add("a", "3")
	if got := string(logs.end("a")); got != "1\na line of managed instances with b in it\n3\n" {
		t.Errorf("log of a: %q", got)
	}
	add("a", "after")
	if got := string(logs.end("b")); got != "2\na line of managed instances with b in it\n" {
		t.Errorf("log of b: %q", got)
	}
	if len(logs.open) > 0 {
		t.Errorf("still open: %v", logs.open)
	}

	var all strings.Builder
	logs.begin("a")
	for i := range 10_000 {
		line := fmt.Sprintf("line %d", i)
		add("a", line)
		all.WriteString(line + "\n")
		if n := len(logs.open["a"]); n > 65<<10 {
			t.Fatalf("%d bytes are kept", n)
		}
	}
	if got := string(logs.end("a")); len(got) != 4096 || !strings.HasSuffix(all.String(), got) {
		t.Errorf("%d bytes, which end with %q", len(got), got[len(got)-20:])
	}
}
