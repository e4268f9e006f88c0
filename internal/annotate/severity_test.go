package annotate_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/annotate"
	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// severityOf returns the severity in a record, in a line of a function;
// one of an extension has to be read alike.
func severityOf(t *testing.T, record string) event.Severity {
	t.Helper()
	a := annotate.New("")
	function := event.Event{Type: []byte(event.TypeFunction), Record: []byte(record)}
	extension := event.Event{Type: []byte(event.TypeExtension), Record: []byte(record)}
	a.Annotate(&function)
	a.Annotate(&extension)
	if function.Severity != extension.Severity {
		t.Errorf("%.200s: of a function %q, of an extension %q", record, function.Severity, extension.Severity)
	}
	if function.OTLP != (event.OTLP{}) {
		t.Errorf("%.200s: %+v without the format otlp", record, function.OTLP)
	}
	checkOTLP(t, record, function.Severity)
	return function.Severity
}

// checkOTLP checks that OpenTelemetry's number and the logger's text of a record agree
// with its severity.
func checkOTLP(t *testing.T, record string, severity event.Severity) {
	t.Helper()
	a := annotate.New("")
	a.OTLP(false)
	ev := event.Event{Type: []byte(event.TypeFunction), Record: []byte(record)}
	a.Annotate(&ev)
	text, number := ev.OTLP.SeverityText, int(ev.OTLP.SeverityNumber)
	if ev.Severity != severity {
		t.Errorf("%.200s: with the format otlp %q, else %q", record, ev.Severity, severity)
	}
	if event.SeverityOf(number) != severity && (severity != event.Fatal || number != 18 && number != 19) {
		t.Errorf("%.200s: %q has the number %d", record, severity, number)
	}
	plain := record // without two levels of escapes
	for range 2 {
		plain += string(jsontext.AppendUnescape(nil, []byte(plain), -1))
	}
	syslog := strings.Contains("emerg alert crit err warning notice info debug", text)
	if severity == 0 && text != "" || !syslog && !strings.Contains(plain, text) {
		t.Errorf("%.200s: the text of %q is %q", record, severity, text)
	}
}

func TestTheLoggersOwnSeverity(t *testing.T) {
	const id, at = "8476a536-e9f4-11e8-9739-2dfe598c3fcd", "2026-11-22T20:15:00.123Z"
	for _, tt := range []struct {
		name, record string
		text         string
		number       uint8
	}{
		{"Node", asText(at + "\t" + id + "\tWARN\thello"), "WARN", 13},
		{"Node, and the logger's own", asText(at + "\t" + id + "\tERROR\t{\"level\":\"notice\"}"), "notice", 10},
		{"Node, and an object without a level", asText(at + "\t" + id + "\tERROR\t{\"a\":1}"), "ERROR", 17},
		{"Python", asText("[WARNING]\t" + at + "\t" + id + "\thello"), "WARNING", 13},
		{"Python's highest", asText("[CRITICAL]\t" + at + "\t" + id + "\thello"), "CRITICAL", 21},
		{"Python's highest, as JSON", `{"timestamp":"` + at + `","level":"CRITICAL","message":"m","logger":"root","requestId":"` + id + `"}`, "CRITICAL", 21},
		{".NET's highest in Lambda's format", asText(at + "\t" + id + "\tcrit\thello"), "crit", 21},
		{".NET's highest on a console", asText("crit: Orders[0]\n      hello"), "crit", 21},
		{".NET's highest as JSON", `{"LogLevel":"Critical"}`, "Critical", 21},
		{".NET's information", asText(at + " [Information] hello"), "Information", 9},
		{"Lambda's JSON", `{"timestamp":"` + at + `","level":"ERROR","message":"hello","requestId":"` + id + `"}`, "ERROR", 17},
		{"the last of two", `{"level":"info","level":"err"}`, "err", 17},
		{"syslog's words", `{"level":"crit"}`, "crit", 18},
		{"syslog's words in capitals", `{"severity":"CRITICAL"}`, "CRITICAL", 18},
		{"Monolog's channel", asText("app.ALERT: hello"), "ALERT", 19},
		{"an emergency", `{"level":"emergency"}`, "emergency", 21},
		{"a notice", `{"level":"notice"}`, "notice", 10},
		{"a priority of syslog", asText("<10>hello"), "crit", 18},
		{"another one", asText("<13>hello"), "notice", 10},
		{"GELF", `{"short_message":"m","level":1}`, "alert", 19},
		{"java.util.logging", `{"level":"FINE"}`, "FINE", 6},
		{"java.util.logging's configuration", `{"level":"CONFIG"}`, "CONFIG", 7},
		{"java.util.logging's highest", `{"level":"SEVERE"}`, "SEVERE", 17},
		{"zap's dpanic", `{"level":"dpanic"}`, "dpanic", 18},
		{"zap's panic", `{"level":"panic"}`, "panic", 19},
		{"zap's fatal", `{"level":"fatal"}`, "fatal", 21},
		{"pino's number", `{"level":50,"time":1,"msg":"m"}`, "50", 17},
		{"OpenTelemetry's number", `{"severityNumber":18}`, "", 18},
		{"OpenTelemetry's number and text", `{"severityNumber":18,"severityText":"crit"}`, "crit", 18},
		{"a step of OpenTelemetry", `{"level":"ERROR3"}`, "ERROR3", 19},
		{"slog, up", `{"level":"INFO+2"}`, "INFO+2", 11},
		{"slog, down", asText("level=DEBUG-3 msg=m"), "DEBUG-3", 2},
		{"klog's letter", asText("E1122 20:15:00.123456       8 main.go:17] hello"), "E", 17},
		{"PHP", asText("PHP Fatal error:  Uncaught Error in /var/task/a.php"), "Fatal error", 21},
		{"a word in colours", `{"level":"\u001b[33mwarn\u001b[39m"}`, "warn", 13},
		{"JSON in a text", asText(`{"level":"Warning"}`), "Warning", 13},
		{"Serilog's, which has no word", asText(`{"@t":"` + at + `","@mt":"hello","@m":"hello","message":"m"}`), "", 9},
		{"none", asText("hello"), "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := annotate.New("")
			a.OTLP(false)
			for range 2 { // the second text is remembered
				ev := event.Event{Type: []byte(event.TypeFunction), Record: []byte(tt.record)}
				a.Annotate(&ev)
				if ev.OTLP.SeverityText != tt.text || ev.OTLP.SeverityNumber != tt.number {
					t.Errorf("%s has the text %q and the number %d, want %q and %d", tt.record, ev.OTLP.SeverityText, ev.OTLP.SeverityNumber, tt.text, tt.number)
				}
			}
		})
	}
}

func TestAnnotateForOTLPAllocatesNothingForAKnownText(t *testing.T) {
	a := annotate.New("")
	a.OTLP(true)
	record := []byte(`"[WARNING]\t2026-11-22T20:15:00.123Z\t8476a536-e9f4-11e8-9739-2dfe598c3fcd\thello\n"`)
	line := event.Event{Time: []byte("2026-11-22T20:15:00.123Z"), Type: []byte(event.TypeFunction), Record: record}
	if n := testing.AllocsPerRun(100, func() {
		ev := line
		a.Annotate(&ev)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A program that invents a severity for each line must not fill the memory.
func TestTextsOfSeveritiesAreBounded(t *testing.T) {
	a := annotate.New("")
	a.OTLP(false)
	for n := range 1000 {
		ev := event.Event{Type: []byte(event.TypeFunction), Record: fmt.Appendf(nil, `{"level":"INFO-%d"}`, n)}
		a.Annotate(&ev)
		if want := fmt.Sprintf("INFO-%d", n); ev.OTLP.SeverityText != want {
			t.Fatalf("the text is %q, want %q", ev.OTLP.SeverityText, want)
		}
	}
	if n := a.Texts(); n > 64 {
		t.Errorf("%d texts are kept", n)
	}
}

func TestEventsOfAnInvocationHaveItsSpan(t *testing.T) {
	const start = `{"requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd","tracing":{"spanId":"54565fb41ac79632","type":"X-Amzn-Trace-Id","value":"Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"}}`
	at := []byte("2026-11-22T20:15:00.123Z")
	for _, tt := range []struct {
		name  string
		kind  config.Initialization
		spans bool
		want  *event.Span
	}{
		{"with spans", config.OnDemand, true, &event.Span{Header: []byte("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"), ID: []byte("54565fb41ac79632")}},
		{"on Managed Instances", config.ManagedInstances, true, &event.Span{Header: []byte("Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1"), ID: []byte("54565fb41ac79632")}},
		{"without spans", config.OnDemand, false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := annotate.New(tt.kind)
			a.OTLP(tt.spans)
			events := []event.Event{
				{Time: at, Type: []byte(event.TypeFunction), Record: []byte(`{"requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd","level":"INFO","message":"m"}`)},
				{Time: at, Type: []byte(event.TypePlatformStart), Record: []byte(start)},
				{Time: at, Type: []byte(event.TypePlatformReport), Record: []byte(`{"requestId":"8476a536-e9f4-11e8-9739-2dfe598c3fcd"}`)},
			}
			for i := range events {
				a.Learn(&events[i])
			}
			for i := range events {
				a.Annotate(&events[i])
				if diff := cmp.Diff(tt.want, events[i].OTLP.Span); diff != "" {
					t.Errorf("the span of %s (-want +got):\n%s", events[i].Type, diff)
				}
			}
		})
	}
}

func TestSeverityOfText(t *testing.T) {
	const id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd"
	for _, tt := range []struct {
		name, text string
		want       event.Severity
	}{
		{"Node", "2026-11-22T20:15:00.123Z\t" + id + "\tINFO\thello\n", event.Info},
		{"Node's error", "2026-11-22T20:15:00.123Z\t" + id + "\tERROR\tInvoke Error \t{\"errorType\":\"Error\"}\n", event.Error},
		{"Node's other levels", "2026-11-22T20:15:00.123Z\t" + id + "\tFATAL\tx", event.Fatal},
		{"Node outside of a request", "2026-11-22T20:15:00.123Z\tundefined\tWARN\thello\n", event.Warn},
		{"Node with nothing to say", "2026-11-22T20:15:00.123Z\t" + id + "\tDEBUG\t\n", event.Debug},
		{"Node with JSON: the logger wins", "2026-11-22T20:15:00.123Z\t" + id + "\tINFO\t{\"level\":\"error\"}\n", event.Error},
		{"Node with logfmt: the logger wins", "2026-11-22T20:15:00.123Z\t" + id + "\tINFO\tlevel=error\n", event.Error},
		{".NET's trce", "2026-11-22T20:15:00.123Z\t" + id + "\ttrce\thello\n", event.Trace},
		{".NET's dbug", "2026-11-22T20:15:00.123Z\t" + id + "\tdbug\thello\n", event.Debug},
		{".NET's info", "2026-11-22T20:15:00.123Z\t" + id + "\tinfo\thello\n", event.Info},
		{".NET's warn", "2026-11-22T20:15:00.123Z\t" + id + "\twarn\thello\n", event.Warn},
		{".NET's fail", "2026-11-22T20:15:00.123Z\t" + id + "\tfail\thello\n", event.Error},
		{".NET's crit", "2026-11-22T20:15:00.123Z\t" + id + "\tcrit\thello\n", event.Fatal},
		{".NET outside of a request", "2026-11-22T20:15:00.123Z\t\tinfo\thello\n", event.Info},
		{"zap's console", "2026-11-22T20:15:00.123Z\tinfo\tmain.go:17\thello", event.Info},
		{"Python's logging", "[WARNING]\t2026-11-22T20:15:00.123Z\t" + id + "\thello\n", event.Warn},
		{"Python's exception", "[ERROR] ValueError: no such order\nTraceback (most recent call last):\n", event.Error},
		{"Python's critical", "[CRITICAL]\t2026-11-22T20:15:00.123Z\t" + id + "\thello\n", event.Fatal},
		{"Python's basicConfig", "WARNING:root:hello", event.Warn},
		{"Python's asctime - name - levelname", "2026-11-22 20:15:00,123 - orders.api - ERROR - hello", event.Error},
		{"Python's asctime levelname", "2026-11-22 20:15:00,123 INFO orders hello", event.Info},
		{"Python's asctime:levelname:name", "2026-11-22 20:15:00,123:INFO:root:hello", event.Info},
		{"a thread, then a level with a colon", "[orders] ERROR: hello", event.Error},
		{"logfmt far behind", strings.Repeat("x", 230) + " level=error x", event.Error},
		{"as many fields as are looked at", "20:15:00 1 2 3 4 5 6 7 ERROR boom", event.Error},
		{"Flask", "[2026-11-22 20:15:00,123] ERROR in app: Exception on / [GET]", event.Error},
		{"gunicorn", "[2026-11-22 20:15:00 +0000] [8] [INFO] Booting worker", event.Info},
		{"loguru", "2026-11-22 20:15:00.123 | WARNING  | app:main:3 - hello", event.Warn},
		{"log4j with a request", "2026-11-22 20:15:00 " + id + " ERROR Class - hello", event.Error},
		{"log4j, padded", "2026-11-22 20:15:00 " + id + " INFO  Class:17 - hello", event.Info},
		{"logback", "20:15:00.123 [main] WARN com.example.Orders - hello", event.Warn},
		{"logback with a thread of two words", "20:15:00.123 [pool 1 thread 2] WARN com.example.Orders - hello", event.Warn},
		{"logback with a thread of many words", "20:15:00.123 [a b c d e f g h i] ERROR com.example.Orders - hello", event.Error},
		{"SLF4J's simple", "[main] INFO com.example.Orders - hello", event.Info},
		{"Spring Boot", "2026-11-22T20:15:00.123Z ERROR 8 --- [           main] c.e.Orders : hello", event.Error},
		{"Spring Boot 2", "2026-11-22 20:15:00.123  WARN 8 --- [main] c.e.Orders : hello", event.Warn},
		{"JUL's second line", "SEVERE: hello", event.Error},
		{"JUL's warning", "WARNING: hello", event.Warn},
		{"JUL's info", "INFO: hello", event.Info},
		{"JUL's finest", "FINEST: hello", event.Trace},
		{"logfmt", `ts=2026-11-22T20:15:00Z caller=main.go:17 level=warn msg="hello there"`, event.Warn},
		{"logfmt, lvl", "lvl=high lvl=warn", event.Warn},
		{"logfmt, severity", "severity=critical msg=hello", event.Fatal},
		{"logfmt, log.level", "@timestamp=1 log.level=debug", event.Debug},
		{"logfmt, quoted", `time="2026-11-22T20:15:00Z" level="error" msg=hello`, event.Error},
		{"logfmt, capitals", "time=2026-11-22T20:15:00.123Z level=INFO msg=hello", event.Info},
		{"logfmt alone", "level=info", event.Info},
		{"logfmt at the end of the line", "msg=hello level=info\n", event.Info},
		{"logfmt after tabs", "msg=hello\tlevel=info\tn=1", event.Info},
		{"logfmt behind a message that has one", `msg="set level=error now" level=info`, event.Info},
		{"logfmt behind a message with a quote", `msg="say \" level=error now" level=info`, event.Info},
		{"slog's default", "2026/11/22 20:15:00 ERROR hello count=3", event.Error},
		{"Rust's tracing", "2026-11-22T20:15:00.123456Z  INFO orders::api: hello", event.Info},
		{"Rust's tracing, in colours", "\x1b[2m2026-11-22T20:15:00.123456Z\x1b[0m \x1b[32m INFO\x1b[0m \x1b[2morders\x1b[0m\x1b[2m:\x1b[0m hello", event.Info},
		{"Rust's tracing without a time", " WARN orders::api: hello", event.Warn},
		{"Rust's env_logger", "[2026-11-22T20:15:00Z ERROR orders] hello", event.Error},
		{"Ruby's fatal", "F, [2026-11-22T20:15:00.123456 #8] FATAL -- : hello", event.Fatal},
		{"Ruby's error", "E, [2026-11-22T20:15:00.123456 #8] ERROR -- : hello", event.Error},
		{"Ruby's warning", "W, [2026-11-22T20:15:00.123456 #8]  WARN -- : hello", event.Warn},
		{"Ruby's info", "I, [2026-11-22T20:15:00.123456 #8]  INFO -- : hello", event.Info},
		{"Ruby's debug", "D, [2026-11-22T20:15:00.123456 #8] DEBUG -- : hello", event.Debug},
		{"klog", "E1122 20:15:00.123456       8 main.go:17] hello", event.Error},
		{"klog's warning", "W1122 20:15:00.123456       8 main.go:17] hello", event.Warn},
		{"pino-pretty", "[20:15:00.123] INFO (8): hello", event.Info},
		{"pino-pretty, in colours", "[20:15:00.123] \x1b[31mERROR\x1b[39m (8): \x1b[36mhello\x1b[39m", event.Error},
		{"Serilog", "[20:15:00 ERR] hello", event.Error},
		{"Serilog's fatal", "2026-11-22 20:15:00.123 +01:00 [FTL] hello", event.Fatal},
		{"winston", "2026-11-22T20:15:00.123Z error: hello", event.Error},
		{"nginx", "2026/11/22 20:15:00 [error] 123#0: *1 hello", event.Error},
		{"logrus on a terminal", "WARN[0042] hello", event.Warn},
		{"a zone with a colon", "2026-11-22T20:15:00.123+01:00 ERROR hello", event.Error},
		{"a zone by name", "2026-11-22 20:15:00 UTC ERROR hello", event.Error},
		{"in brackets", "[DEBUG] hello", event.Debug},
		{"in brackets, small", "[info] hello", event.Info},
		{"with a colon", "ERROR: hello", event.Error},
		{"the first word", "WARN hello", event.Warn},
		{"the first word, before a line feed", "ERROR\nhello", event.Error},
		{"the only word", "INFO", event.Info},
		{"behind white space", "\n  ERROR: hello", event.Error},
		{"before a tab", "CRITICAL\thello", event.Fatal},
		{"before a stroke", "INFO|2026-11-22|hello", event.Info},

		{"nothing", "", 0},
		{"white space", " \n\t ", 0},
		{"plain text", "user signed in", 0},
		{"a sentence on errors", "Errors were 0", 0},
		{"a longer word", "INFORMATION desk", 0},
		{"a longer word with a colon", "INFORMATION: the desk is open", 0},
		{"a longer word before logfmt", "INFOS=3", 0},
		{"a name that begins alike", "ERROR_COUNT=3", 0},
		{"a name with a dash", "ERROR-free", 0},
		{"a possessive", "ERROR's cause", 0},
		{"a variable", "DEBUG=true", 0},
		{"an exclamation", "WARN! now", 0},
		{"one capital", "Error: boom", 0},
		{"small letters", "error boom", 0},
		{"the first word in small letters", "info hello", 0},
		{"an error in the midst of a sentence", "order failed with Error: boom", 0},
		{"a level in the midst of a sentence", "the ERROR was found", 0},
		{"a level in brackets in the midst", "found [ERROR] in the log", 0},
		{"a word for a time of the day", "CRITICAL path computed", 0},
		{"a level in brackets' company, a colon and a time", "[main] SEVERE: 2026-11-22 20:15:00 x", event.Error},
		{"weather", "SEVERE weather warning", 0},
		{"a bang", "PANIC in the streets", 0},
		{"a note", "NOTICE of delivery", 0},
		{"an emergency", "EMERGENCY exit open", 0},
		{"fine", "FINE: all is well", 0},
		{"config", "CONFIG: loaded", 0},
		{"fine in brackets", "[FINE] weather", 0},
		{"config in brackets", "[config] loaded", 0},
		{"one capital in brackets, of no logger", "[Severe] boom", 0},
		{"brackets that are not closed", "[ERROR boom", 0},
		{"brackets that close on the next line", "[ERROR\n] boom", 0},
		{"brackets that hold more", "[ERROR 17] boom", 0},
		{"empty brackets", "[] ERROR boom", 0},
		{"a text in brackets, then a sentence", "[orders] the ERROR was found", 0},
		{"JUL's first line", "Nov 22, 2026 8:15:00 PM com.example.Orders handle", 0},
		{"Node's text without a level", "2026-11-22T20:15:00.123Z\t" + id + "\thello ERROR\n", 0},
		{"Lambda's word on a time-out", "2026-11-22T20:15:00.123Z " + id + " Task timed out after 3.00 seconds", 0},
		{"a time, then a sentence", "2026-11-22 20:15:00 Processing ERROR queue", 0},
		{"a time, then a sentence in small letters", "2026-11-22 20:15:00 error budget is fine", 0},
		{"a time, then a longer word", "2026-11-22 20:15:00 INFORMATION desk opens", 0},
		{"a time, then a word with a dash", "2026-11-22 20:15:00 ERROR-free since then", 0},
		{"a time, then configuration", "2026-11-22 20:15:00 CONFIG loaded", 0},
		{"a time, then a test's verdict", "2026-11-22 20:15:00 FAIL orders", 0},
		{"a time, then one capital", "2026-11-22T20:15:00Z Error: boom", 0},
		{"a time and nothing", "2026-11-22T20:15:00Z", 0},
		{"a time glued to a word", "20:15:00ERROR boom", 0},
		{"a date without a time", "2026-11-22 ERROR boom", 0},
		{"a date that is none", "2026-x1-22 20:15:00 ERROR boom", 0},
		{"a number", "404 ERROR not found", 0},
		{"a clock that is none", "20:1x:00 ERROR boom", 0},
		{"dashes, then a sentence", "2026-11-22 20:15:00 - the ERROR - hello", 0},
		{"more fields than any logger has", "20:15:00 1 2 3 4 5 6 7 8 ERROR boom", 0},
		{"a time, then a test's verdict in small letters", "2026-11-22 20:15:00 fail orders", 0},
		{"a time, a tab, then a sentence", "2026-11-22T20:15:00.123Z\thello ERROR boom", 0},
		{"a time, then brackets over two lines", "20:15:00 [main\n] WARN boom", 0},
		{"a thread over two lines", "[main\n] INFO boom", 0},
		{"a thread, then a word with a dash", "[orders] ERROR-free", 0},
		{"a name in brackets behind a level", "INFO[x] boom", 0},
		{"words of a date", "Nov is on Mon 20:15:00 ERROR boom", 0},
		{"JSON that is cut", `{"level":"error","message":"he`, 0},
		{"JSON and more", `{"level":"error"} of orders`, 0},
		{"two JSON objects", `{"level":"error"}{"level":"error"}`, 0},
		{"JSON behind a word", `event {"level":"error"}`, 0},
		{"a URL", "GET /logs?level=error 200", 0},
		{"a URL with more", "GET /logs?a=b&level=error 200", 0},
		{"a name that ends alike", "loglevel=error", 0},
		{"a name that ends alike with a dash", "log-level=error", 0},
		{"a level that is none", "level=high", 0},
		{"a number for a level", "level=30", 0},
		{"a level that goes on", "level=error-ish", 0},
		{"a level with a colon", "level=error: x", 0},
		{"a quoted level that goes on", `level="error budget"`, 0},
		{"a quoted level that is not closed", `level="error`, 0},
		{"a level in a message", `msg="set level=error now"`, 0},
		{"a space before the sign", "level =error", 0},
		{"a space behind the sign", "level= error", 0},
		{"a level far behind", strings.Repeat("x", 256) + " level=error", 0},
		{"a level that is cut", strings.Repeat("x ", 122) + " level=error", 0},
		{"Ruby's unknown", "A, [2026-11-22T20:15:00.123456 #8]   ANY -- : hello", 0},
		{"a list", "E, [x] is the set", 0},
		{"a part number", "E1122 is out of stock", 0},
		{"a part number with a time", "X1122 20:15:00.123456", 0},
		{"an escape that ends nowhere", "\x1b[31", 0},
		{"an escape alone", "\x1b", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := severityOf(t, asText(tt.text)); got != tt.want {
				t.Errorf("%.200q is %q, want %q", tt.text, got, tt.want)
			}
			// What is escaped that need not be is the same text.
			var escaped strings.Builder
			for i := range len(tt.text) {
				fmt.Fprintf(&escaped, `\u%04X`, tt.text[i])
			}
			if strings.Contains(tt.text, "{") { // JSON is searched for at a brace
				return
			}
			if got := severityOf(t, `"`+escaped.String()+`"`); got != tt.want {
				t.Errorf("%.200q in escapes is %q, want %q", tt.text, got, tt.want)
			}
		})
	}
}

func TestEscapesInATextAreDecoded(t *testing.T) {
	for record, want := range map[string]event.Severity{
		`"ERROR\r\nhello"`:         event.Error,
		`"ERROR\bhello"`:           event.Error,
		`"ERROR\fhello"`:           event.Error,
		`"ERROR\thello"`:           event.Error,
		`"ERROR\/hello"`:           0,
		`"\u0045RROR\u003a hello"`: event.Error,
		`"\u0045RROR\u003A hello"`: event.Error,
		`"ERROR\u00a0hello"`:       0,
		`"ERROR\u0100hello"`:       0,
		`"ERROR\u1000hello"`:       0,
		`"ERROR\ud83c\udf88"`:      0,
	} {
		if got := severityOf(t, record); got != want {
			t.Errorf("%s is %q, want %q", record, got, want)
		}
	}
}

func TestSeverityOfJSON(t *testing.T) {
	for _, tt := range []struct {
		name, object string
		want         event.Severity
	}{
		{"level", `{"level":"ERROR","message":"m"}`, event.Error},
		{"severity", `{"message":"m","severity":"WARNING"}`, event.Warn},
		{"log.level", `{"log.level":"info"}`, event.Info},
		{"levelname", `{"levelname":"CRITICAL"}`, event.Fatal},
		{"lvl", `{"lvl":"dbg"}`, event.Debug},
		{"Level", `{"Level":"Information"}`, event.Info},
		{"severity_text", `{"severity_text":"Trace"}`, event.Trace},
		{"SeverityText", `{"SeverityText":"FATAL"}`, event.Fatal},
		{"ECS, nested", `{"log":{"logger":"x","level":"warn"},"message":"m"}`, event.Warn},
		{"white space", "{ \"a\" : 1 ,\n\t\"level\" : \"warn\" }", event.Warn},
		{"pino's trace", `{"level":10}`, event.Trace},
		{"pino's debug", `{"level":20}`, event.Debug},
		{"pino's info", `{"level":30}`, event.Info},
		{"pino's warning", `{"level":40}`, event.Warn},
		{"pino's error", `{"level":50}`, event.Error},
		{"pino's fatal", `{"level":60,"time":1}`, event.Fatal},
		{"behind other members", `{"a":{"level":"error"},"b":["level"],"c":null,"d":true,"e":-1.5e3,"level":"info"}`, event.Info},
		{"behind a text with quotes", `{"message":"say \"level\":\"error\" \\","level":"info"}`, event.Info},
		{"the surer one, before", `{"level":"error","severity":"info"}`, event.Error},
		{"the surer one, behind", `{"severity":"info","level":"error"}`, event.Error},
		{"the next one where the surer one is none", `{"level":"UNDEFINED","severity":"info"}`, event.Info},
		{"levels in order", `{"log":{"level":"trace"},"SeverityText":"debug","severity_text":"info","Level":"warn"}`, event.Warn},
		{"levelname before lvl", `{"lvl":"trace","levelname":"debug"}`, event.Debug},
		{"log.level before levelname", `{"levelname":"debug","log.level":"error"}`, event.Error},
		{"severity before log.level", `{"log.level":"debug","severity":"error"}`, event.Error},

		{"none", `{"message":"ERROR"}`, 0},
		{"empty", `{}`, 0},
		{"an unknown one", `{"level":"UNDEFINED"}`, 0},
		{"an empty one", `{"level":""}`, 0},
		{"a longer word", `{"level":"information desk"}`, 0},
		{"another longer word", `{"level":"errors"}`, 0},
		{"deeper down", `{"error":{"level":"fatal"}}`, 0},
		{"two levels down", `{"log":{"x":{"level":"fatal"}}}`, 0},
		{"log that is no object", `{"log":"level"}`, 0},
		{"a number that is none of pino's", `{"level":35}`, 0},
		{"a larger number", `{"level":70}`, 0},
		{"zero", `{"level":0}`, 0},
		{"three digits that are none of Monolog's", `{"level":350}`, 0},
		{"a fraction", `{"level":3.0}`, 0},
		{"a number as text", `{"level":"30"}`, 0},
		{"true", `{"level":true}`, 0},
		{"null", `{"level":null}`, 0},
		{"an object", `{"level":{"name":"error"}}`, 0},
		{"another case of the name", `{"LEVEL":"error"}`, 0},
		{"EMF", `{"_aws":{"Timestamp":1},"Errors":3}`, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, record := range []string{tt.object, asText(tt.object), asText(" " + tt.object + "\n")} {
				if got := severityOf(t, record); got != tt.want {
					t.Errorf("%s is %q, want %q", record, got, tt.want)
				}
			}
		})
	}
}

func TestEveryWordHasItsSeverity(t *testing.T) {
	for want, words := range map[event.Severity]string{
		event.Trace: "trace verbose finest trce",
		event.Debug: "debug finer fine config dbug",
		event.Info:  "info information informational notice",
		event.Warn:  "warn warning",
		event.Error: "error err severe fail",
		event.Fatal: "fatal critical crit panic dpanic alert emerg emergency",
	} {
		for _, word := range strings.Fields(words) {
			for _, word := range []string{word, strings.ToUpper(word), strings.ToUpper(word[:1]) + word[1:]} {
				if got := severityOf(t, `{"level":"`+word+`"}`); got != want {
					t.Errorf("%s is %q", word, got)
				}
				if got := severityOf(t, `{"level":"`+word+`s"}`); got != 0 {
					t.Errorf("%ss is %q", word, got)
				}
			}
		}
	}
}

func TestLongLinesAreReadAtTheirBeginning(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, tt := range []struct {
		name, record string
		want         event.Severity
	}{
		{"text", asText("ERROR: " + long), event.Error},
		{"an object whose level comes first", `{"level":"error","message":"` + long + `"}`, event.Error},
		{"an object whose level comes last", `{"message":"` + long + `","level":"error"}`, 0},
		{"a text of JSON whose level comes first", asText(`{"level":"error","message":"` + long + `"}`), event.Error},
		{"a text of JSON whose level comes last", asText(`{"message":"` + long + `","level":"error"}`), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := severityOf(t, tt.record); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}
