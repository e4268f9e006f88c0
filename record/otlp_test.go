package record_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/formattest"
	"github.com/kinetel/kinetel/internal/format/otlp"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/jsontext/jsontexttest"
	"github.com/kinetel/kinetel/record"
)

const aResource = `{"cloud.provider":"aws","faas.name":"orders","service.instance.id":"e1"}`

// aSource is where the lines of these tests come from. Its further attributes
// must not get into any event, whatever they are.
func aSource(resource string) *environment.Environment {
	return formattest.Of("e1", resource, environment.Details{Attributes: []byte(`{"cloud.platform":"aws_lambda","faas.name":"another","faas.max_memory":268435456,"aws.log.group.names":["/aws/lambda/orders"]}`)})
}

// bodies draws bodies as Lambda, or another process, might send them.
func bodies() *rapid.Generator[string] {
	number := rapid.SampledFrom([]string{
		"0", "-0", "-0.0", "0.1", "1E5", "1e+21", "1.50e-7", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
		"18446744073709551615", "12345678901234567890123456789", "1e308", "1e309", "-1e999", "1e-999", strings.Repeat("9", 308), strings.Repeat("9", 309), strings.Repeat("9", 400),
		"0." + strings.Repeat("0", 400) + "1", strings.Repeat("1", 400) + "e-300",
	})
	return rapid.Custom(func(t *rapid.T) string {
		body := rapid.OneOf(jsontexttest.Value(0), jsontexttest.Value(1), jsontexttest.Value(3), jsontexttest.Value(5), number).Draw(t, "value")
		if rapid.IntRange(0, 3).Draw(t, "broken") == 0 {
			body = strings.ReplaceAll(body, "é", rapid.SampledFrom([]string{"\xff", "\xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe4\xb8"}).Draw(t, "bytes"))
		}
		if rapid.IntRange(0, 3).Draw(t, "compact") == 0 {
			body = strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "").Replace(body)
		}
		switch rapid.IntRange(0, 12).Draw(t, "frame") {
		case 0:
			body = "[" + strings.Repeat(number.Draw(t, "number")+", ", rapid.IntRange(0, 80).Draw(t, "numbers")) + body + "]"
		case 1:
			body = `{"n":` + number.Draw(t, "number") + `,"n":` + body + `}`
		case 2:
			levels := rapid.OneOf(rapid.IntRange(0, 20), rapid.Just(jsontext.MaxDepth-8)).Draw(t, "levels")
			body = strings.Repeat("[", levels) + body + strings.Repeat("]", levels)
		case 3:
			levels := rapid.IntRange(0, 20).Draw(t, "levels")
			body = strings.Repeat(`{"":`, levels) + body + strings.Repeat("}", levels)
		case 4: // long text
			body = `"` + strings.Repeat(rapid.SampledFrom([]string{`\"`, `\\`, "a", `\n`, "\xff", `\udead`, `\u000d`, "世"}).Draw(t, "text"), rapid.IntRange(0, 700).Draw(t, "times")) + `"`
		case 5: // long white space
			body = strings.Repeat("[\r", 5) + body + strings.Repeat(rapid.SampledFrom([]string{"\r", "\t", " "}).Draw(t, "space"), rapid.IntRange(0, 700).Draw(t, "times")) + strings.Repeat("]", 5)
		}
		return body
	})
}

// aLineOf draws a line of any type as AppendLine writes it, odd ones included.
func aLineOf(resource string, spans bool) *rapid.Generator[string] {
	oddText := rapid.OneOf(rapid.SampledFrom([]string{"", "a", "8476a536-e9f4-11e8-9739-2dfe598c3fcd", "1-5759e988-bd862e3fe1be46a994272793", "a\"b\\c\nd\xff", "\xff", "世"}), rapid.StringN(0, 50, -1))
	times := rapid.OneOf(
		rapid.Map(rapid.Int64Range(-1e12, 2e13), func(ms int64) string { return time.UnixMilli(ms).UTC().Format(event.TimeFormat) }),
		rapid.SampledFrom([]string{
			"2026-11-22T20:15:00.123Z", "2026-11-22T20:15:00Z", "2026-11-22T20:15:00.123456789Z", "2026-11-22T22:15:00.123+02:00", "2026-11-22T20:15:00,123Z",
			"1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00.000Z", "2554-07-21T23:34:32.999Z", "2554-07-21T23:34:33.999Z", "2554-07-21T23:34:34.000Z", "9999-12-31T23:59:59.999Z", "0000-01-01T00:00:00.000Z",
			"2026-02-30T00:00:00.000Z", "2026-11-22T20:15:60.000Z", "2026-11-22T24:00:00.000Z", "2026-11-22t20:15:00.123z", "yesterday", "\xff", `2026-11-22T20:15:00.123\u005a`, `\udead`,
		}))
	types := rapid.SampledFrom([]string{
		"function", "extension", "platform.start", "platform.report", "kinetel.invocation", "kinetel.loss", "kinetel.unparsed", "platform.", "", "a b", "kinetel.type", `platform.\u0061`, "platform.\xff", `\udead`, `f\"`,
	})
	if spans {
		types = rapid.SampledFrom([]string{"kinetel.span", "kinetel.span", "function", "platform.\xff"})
	}
	return rapid.Custom(func(t *rapid.T) string {
		ev := event.Event{
			Time: []byte(times.Draw(t, "time")), Type: []byte(types.Draw(t, "type")), Record: []byte(bodies().Draw(t, "body")),
			RequestID: oddText.Draw(t, "request"), TraceID: oddText.Draw(t, "trace"),
		}
		if len(ev.Type) == 0 {
			ev.Type = []byte("x")
		}
		if !spans {
			ev.Severity = event.Severity(rapid.IntRange(0, 6).Draw(t, "severity"))
		}
		if rapid.IntRange(0, 3).Draw(t, "result") == 0 {
			ev.Record = fmt.Appendf(nil, `{"errorType":%s,"coldStart":%s,"status":%s,"start":%s,"metrics":{"durationMs":%s},"tracing":{"value":%s,"spanId":%s}}`,
				rapid.OneOf(rapid.Just(`"Runtime.ExitError"`), rapid.Just(`"`+strings.Repeat(`\"`, 64)+`"`), jsontexttest.Value(0)).Draw(t, "error"),
				rapid.OneOf(rapid.Just("true"), jsontexttest.Value(0)).Draw(t, "cold"), rapid.OneOf(rapid.Just(`"timeout"`), jsontexttest.Value(0)).Draw(t, "status"),
				rapid.SampledFrom([]string{`"2026-11-22T20:15:00.123Z"`, `"no"`, "1"}).Draw(t, "start"), rapid.SampledFrom([]string{"12.345", "1e99", "-1", "1e999", `"x"`}).Draw(t, "ms"),
				rapid.OneOf(rapid.Just(`"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"`), rapid.Just(`"Parent=;Root;;=;Sampled="`), jsontexttest.Value(1)).Draw(t, "tracing"),
				rapid.OneOf(rapid.Just(`"54565fb41ac79632"`), jsontexttest.Value(0)).Draw(t, "span"))
		}
		if rapid.IntRange(0, 3).Draw(t, "trace") == 0 {
			ev.Record = fmt.Appendf(nil, `{"traceparent":%s,"trace_id":%s,"span_id":%s,"trace_flags":%s}`,
				rapid.SampledFrom([]string{`"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"`, `"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0"`, "1", `"\udead"`}).Draw(t, "w3c"),
				rapid.SampledFrom([]string{`"4bf92f3577b34da6a3ce929d0e0e4736"`, `"x"`, "1"}).Draw(t, "trace_id"),
				rapid.SampledFrom([]string{`"00f067aa0ba902b7"`, `"x"`, "[]"}).Draw(t, "span_id"), rapid.SampledFrom([]string{`"01"`, `"ff"`, `"0g"`}).Draw(t, "trace_flags"))
			if rapid.Bool().Draw(t, "quoted") {
				ev.Record = jsontext.AppendQuote(nil, ev.Record)
			}
		}
		var part format.Part
		if rapid.IntRange(0, 5).Draw(t, "parts") == 0 {
			part.Parts = rapid.IntRange(1, 9).Draw(t, "of")
			part.Part = rapid.IntRange(1, part.Parts).Draw(t, "part")
			// A piece may begin and end inside a character.
			from := rapid.IntRange(0, len(ev.Record)).Draw(t, "from")
			part.Body = format.AppendOneLine(nil, ev.Record)
			part.Body = part.Body[min(from, len(part.Body)):]
		}
		if rapid.IntRange(0, 3).Draw(t, "extra") == 0 {
			ev.Extra = fmt.Appendf(nil, `"a":%s, "b\u0063":%s,"a":1`, bodies().Draw(t, "extra 1"), bodies().Draw(t, "extra 2"))
		}
		seq := rapid.Uint64Range(1, 1<<63-1).Draw(t, "seq")
		line := format.AppendLine(nil, seq, &ev, part, []byte(resource))
		if _, ok := format.ReadLine(line); !ok {
			t.Fatalf("what was drawn is no line: %s", line)
		}
		return string(line)
	})
}

// read parses lines.
func read(t interface{ Fatalf(string, ...any) }, text ...string) (lines []format.Line) {
	for _, one := range text {
		l, ok := format.ReadLine([]byte(one))
		if !ok {
			t.Fatalf("no line: %s", one)
		}
		lines = append(lines, l)
	}
	return lines
}

// detailsOf returns details of a line with a severity.
func detailsOf(severity string) format.Details {
	d := format.Details{Received: 1795378500148000000}
	d.Span = &event.Span{Header: []byte("Root=1-5759e988-bd862e3fe1be46a994272793"), ID: []byte("54565fb41ac79632")}
	switch severity {
	case "FATAL":
		d.SeverityText, d.SeverityNumber = "crit", 18
	case "INFO":
		d.SeverityText, d.SeverityNumber = "notice", 10
	}
	return d
}

// check encodes lines, reads the result with another decoder, decodes it, and compares
// it with the decoded lines.
func check(t interface {
	Helper()
	Fatalf(string, ...any)
}, spans bool, resource string, text ...string,
) {
	t.Helper()
	want, err := record.Decode([]byte(strings.Join(text, "")))
	if err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	lines := read(t, text...)
	for i := range lines {
		if len(text[i])%2 == 0 { // what a line does not have must not get into its event
			lines[i].Details = detailsOf(string(lines[i].Severity))
		}
	}
	var payload []byte
	if spans {
		payload = otlp.AppendSpans(nil, aSource(resource), lines)
		traces, err := (&ptrace.JSONUnmarshaler{}).UnmarshalTraces(payload)
		if err != nil || traces.SpanCount() != len(lines) {
			t.Fatalf("OpenTelemetry reads %d spans, and %v, in\n%s", traces.SpanCount(), err, payload)
		}
	} else {
		payload = otlp.AppendLogs(nil, aSource(resource), lines)
		logs, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(payload)
		if err != nil || logs.LogRecordCount() != len(lines) {
			t.Fatalf("OpenTelemetry reads %d log records, and %v, in\n%s", logs.LogRecordCount(), err, payload)
		}
	}
	if !json.Valid(payload) || bytes.Count(payload, []byte{'\n'}) != 1 {
		t.Fatalf("no line of JSON:\n%s", payload)
	}
	if !bytes.Equal(payload, bytes.ToValidUTF8(payload, nil)) {
		t.Fatalf("no UTF-8: %q", payload)
	}
	got, err := record.Decode(payload)
	if err != nil {
		t.Fatalf("%v in\n%s", err, payload)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("events (-want +got):\n%s\nin %s", diff, payload)
	}
}

func TestDecodeOTLPReturnsTheLinesUnchanged(t *testing.T) {
	resources := []string{
		aResource, `{}`, `{"faas.name":"a\"\u00e9\ud83d\ude00"}`, "{\"faas.name\":\"\xff\",\"a\xff\":\"\\udead\"}", `{"\ud800":"1","b":""}`,
	}
	for _, spans := range []bool{false, true} {
		t.Run(map[bool]string{false: "logs", true: "spans"}[spans], func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				resource := rapid.SampledFrom(resources).Draw(t, "resource")
				check(t, spans, resource, rapid.SliceOfN(aLineOf(resource, spans), 1, 4).Draw(t, "lines")...)
			})
		})
	}
}

// Bytes that stay what they were without kinetel.body being needed.
func TestOTLPKeepsBodiesAsTheyStand(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		copied     bool
	}{
		{"plain text", `"user signed in"`, false},
		{"escapes that need not be", `"\u0041\/\u00e9\b\f\r\u000d\ud83d\ude00"`, false},
		{"numbers as they are written", `[1.0,1.50e+3,1E5,-0,-0.0,18446744073709551615,0.1]`, false},
		{"names that stand twice, in their order", `{"z":1,"a":{"b":[]},"z":{}}`, false},
		{"an escaped name", `{"\u0041":null}`, false},
		{"broken UTF-8 as Kinetel escapes it", "[\"a\xff\\n\\\"\"]", false},
		{"nothing", `null`, false},
		{"white space", `[1, 2]`, true},
		{"a lone surrogate", `["\udead"]`, true},
		{"a lone surrogate in a name", `{"\udead":1}`, true},
		{"broken UTF-8 in a name", "{\"\xff\":1}", true},
		{"broken UTF-8 as others escape it", "\"\xff\\/\"", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			line := `{"schema":"kinetel/1","seq":1,"time":"2026-11-22T20:15:00.123Z","type":"function","body":` + tt.body + `,"resource":` + aResource + "}\n"
			check(t, false, aResource, line)
			payload := otlp.AppendLogs(nil, aSource(aResource), read(t, line))
			if bytes.Contains(payload, []byte("kinetel.body")) != tt.copied {
				t.Errorf("kinetel.body wanted: %t, in %s", tt.copied, payload)
			}
		})
	}
}

const anOTLP = `{"resourceLogs":[{"resource":{"attributes":[{"key":"service.instance.id","value":{"stringValue":"e1"}},{"key":"faas.name","value":{"stringValue":"orders"}},` +
	`{"key":"host.arch","value":{"stringValue":"arm64"}}]},"scopeLogs":[{"scope":{"name":"kinetel","version":"0.1.0","attributes":[{"key":"kinetel.resource.members","value":{"intValue":"2"}}]},` +
	`"logRecords":[{"attributes":[{"key":"kinetel.seq","value":{"intValue":"17"}},{"key":"kinetel.type","value":{"stringValue":"function"}},` +
	`{"key":"kinetel.extra","value":{"stringValue":"{\"b\":[1, 2]}"}}],"timeUnixNano":"1795378500123000000","body":{"stringValue":"user signed in"}}],"schemaUrl":""}],"schemaUrl":""}]}` + "\n"

func TestDecodeReadsOTLP(t *testing.T) {
	got, err := record.Decode([]byte(anOTLP + anOTLP))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]record.Event{anEvent(), anEvent()}, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestDecodeOTLPRefusesOtherPayloads(t *testing.T) {
	replaced := func(old, with string) string {
		if !strings.Contains(anOTLP, old) {
			t.Fatalf("%q is not there", old)
		}
		return strings.Replace(anOTLP, old, with, 1)
	}
	body := func(value string) string { return replaced(`{"stringValue":"user signed in"}`, value) }
	for _, tt := range []struct {
		name, text string
		events     int // that were read before
	}{
		{"nothing", "", 0},
		{"an empty line", "\n", 0},
		{"a payload that does not end", strings.TrimSuffix(anOTLP, "\n"), 0},
		{"a second payload that does not end", anOTLP + anOTLP[:200], 1},
		{"a second payload that is cut", anOTLP + anOTLP[:200] + "\n", 1},
		{"text", "hello\n", 0},
		{"an empty object", "{}\n", 0},
		{"an array", "[]\n", 0},
		{"no log records", `{"resourceLogs":[]}` + "\n", 0},
		{"metrics", `{"resourceMetrics":[]}` + "\n", 0},
		{"something beside the logs", replaced(`{"resourceLogs":`, `{"a":1,"resourceLogs":`), 0},
		{"two values", strings.TrimSuffix(anOTLP, "\n") + anOTLP, 0},
		{"another scope", replaced(`"name":"kinetel"`, `"name":"other"`), 0},
		{"no scope", replaced(`"scope":{`, `"other":{`), 0},
		{"no resource", replaced(`"resource":{`, `"other":{`), 0},
		{"a scope that is null", replaced(`"scope":{"name":"kinetel",`, `"scope":null,"a":{`), 0},
		{"a scope without the number of members", replaced("kinetel.resource.members", "other"), 0},
		{"more members than there are", replaced(`{"intValue":"2"}`, `{"intValue":"4"}`), 0},
		{"fewer members than none", replaced(`{"intValue":"2"}`, `{"intValue":"-1"}`), 0},
		{"a huge number of members", replaced(`{"intValue":"2"}`, `{"intValue":"9223372036854775807"}`), 0},
		{"a member that is no text", replaced(`{"stringValue":"orders"}`, `{"intValue":"1"}`), 0},
		{"no number", replaced("kinetel.seq", "kinetel.other"), 0},
		{"a number that is a string", replaced(`{"intValue":"17"}`, `{"stringValue":"17"}`), 0},
		{"a number without quotes", replaced(`{"intValue":"17"}`, `{"intValue":17}`), 0},
		{"the number 0", replaced(`{"intValue":"17"}`, `{"intValue":"0"}`), 0},
		{"a negative number", replaced(`{"intValue":"17"}`, `{"intValue":"-17"}`), 0},
		{"a number too large", replaced(`{"intValue":"17"}`, `{"intValue":"9223372036854775808"}`), 0},
		{"a number with a plus", replaced(`{"intValue":"17"}`, `{"intValue":"+17"}`), 0},
		{"a number with a zero", replaced(`{"intValue":"17"}`, `{"intValue":"017"}`), 0},
		{"no type", replaced("kinetel.type", "kinetel.other"), 0},
		{"no time", replaced("timeUnixNano", "other"), 0},
		{"a time that is none", replaced(`"1795378500123000000"`, `"now"`), 0},
		{"no body", replaced(`"body"`, `"other"`), 0},
		{"a body that is no AnyValue", body(`"user signed in"`), 0},
		{"a body of two values", body(`{"stringValue":"","intValue":"1"}`), 0},
		{"a body of another kind", body(`{"otherValue":""}`), 0},
		{"a string that is none", body(`{"stringValue":1}`), 0},
		{"an integer that is none", body(`{"intValue":"1.5"}`), 0},
		{"an integer that is a word", body(`{"intValue":"null"}`), 0},
		{"a double that is a string", body(`{"doubleValue":"NaN"}`), 0},
		{"a bool that is none", body(`{"boolValue":null}`), 0},
		{"bytes that are none", body(`{"bytesValue":"a"}`), 0},
		{"an array that is none", body(`{"arrayValue":[]}`), 0},
		{"an object without keys", body(`{"kvlistValue":{"values":[{"value":{}}]}}`), 0},
		{"an object without values", body(`{"kvlistValue":{"values":[{"key":"a"}]}}`), 0},
		{"a key that is a number", body(`{"kvlistValue":{"values":[{"key":1,"value":{}}]}}`), 0},
		{"a body nested too deep", body(strings.Repeat(`{"arrayValue":{"values":[`, 14) + strings.Repeat(`]}}`, 14)), 0},
		{"JSON that is none", replaced(`"{\"b\":[1, 2]}"`, `"{\"b\":[1, 2]"`), 0},
		{"extra that is no object", replaced(`"{\"b\":[1, 2]}"`, `"[1]"`), 0},
		{"an attribute without a value", replaced(`{"key":"kinetel.extra","value":{"stringValue":"{\"b\":[1, 2]}"}}`, `{"key":"a"}`), 0},
		{"an attribute that is none", replaced(`{"key":"kinetel.extra","value":{"stringValue":"{\"b\":[1, 2]}"}}`, `7`), 0},
		{"log records that are none", replaced(`"logRecords":[{`, `"logRecords":[7,{`), 0},
		{"a good one before a bad one", replaced(`"logRecords":[`, `"logRecords":[`+anOTLP[strings.Index(anOTLP, `{"attributes":[{"key":"kinetel.seq`):strings.Index(anOTLP, `],"schemaUrl"`)]+`,{},`), 1},
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
}

// A small record can hold many elements that are not events, and many unknown
// attributes.
func TestDecodeOTLPTakesNoMoreMemoryThanItNeeds(t *testing.T) {
	n := many()
	for _, text := range []string{
		strings.Replace(anOTLP, `"logRecords":[`, `"logRecords":[`+strings.Repeat("{},", n), 1),
		strings.Replace(anOTLP, `{"key":"kinetel.seq"`, strings.Repeat(`{"key":"","value":{}},`, n/8)+`{"key":"kinetel.seq"`, 1),
		strings.Replace(anOTLP, `"body":{`, strings.Repeat(`"":0,`, n)+`"body":{`, 1),
		strings.Replace(anOTLP, `"stringValue":"user`, strings.Repeat(`"":0,`, n)+`"stringValue":"user`, 1),
	} {
		data := []byte(text)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := record.Decode(data)
		runtime.ReadMemStats(&after)
		if err != nil && !errors.Is(err, record.ErrNotRecord) {
			t.Errorf("it returned %v", err)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
			t.Errorf("%d bytes were allocated for %d bytes of one event", took, len(text))
		}
	}
}

// FuzzOTLP encodes any line that can be.
func FuzzOTLP(f *testing.F) {
	f.Add(uint64(1), "2026-11-22T20:15:00.123Z", "function", "r", "t", byte(3), `"text"`, ``, byte(0))
	f.Add(uint64(2), "2026-11-22T20:15:00.123Z", "platform.report", "r", "1-5759e988-bd862e3fe1be46a994272793", byte(0), `{"status":"error","errorType":"X","metrics":{"durationMs":1.5}}`, `"a":1`, byte(0))
	f.Add(uint64(3), "x", "kinetel.span", "8476a536-e9f4-11e8-9739-2dfe598c3fcd", "", byte(0), `{"status":"timeout","start":"2026-11-22T20:15:00.123Z","tracing":{"value":"Root=;Parent="},"a":[null,-0,1e999,"\udead"]}`, ``, byte(0))
	f.Add(uint64(4), "2026-11-22T20:15:00.123Z", "function", "", "", byte(0), `{"traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","trace_id":""}`, ``, byte(3))
	f.Add(uint64(5), "2026-11-22T20:15:00.123Z", "function", "", "", byte(0), `"{\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"span_id\":1}"`, ``, byte(0))
	f.Fuzz(func(t *testing.T, seq uint64, at, kind, request, trace string, severity byte, body, extra string, part byte) {
		ev := event.Event{
			Time: []byte(at), Type: []byte(kind), RequestID: request, TraceID: trace, Severity: event.Severity(severity % 7), Record: []byte(body), Extra: []byte(extra),
		}
		var of format.Part
		if part > 0 {
			of = format.Part{Part: int(part), Parts: int(part) + 1, Body: ev.Record}
		}
		line := format.AppendLine(nil, seq&(1<<63-1)|1, &ev, of, []byte(aResource))
		if l, ok := format.ReadLine(line); !ok || !bytes.Equal(l.Resource, []byte(aResource)) {
			t.Skip("no line") // what was drawn is no JSON
		}
		if bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Skip("two lines")
		}
		if _, err := record.Decode(line); err != nil {
			t.Skip("no event") // such as a severity that stands twice
		}
		check(t, false, aResource, string(line))
		if ev.Severity == event.SeverityUnknown {
			check(t, true, aResource, string(line))
		}
	})
}
