// Package formattest has lines and environments for the tests of the formats.
package formattest

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/jsontext/jsontexttest"
)

// The resource of lines, and the id of an environment.
const (
	Resource = `{"cloud.provider":"aws","faas.name":"orders","service.instance.id":"e1"}`
	ID       = "4f1e0c9ad3b24e58a7f60b1c2d3e4f50"
)

// Environment returns an environment with an account and a log group. With jsonLogs,
// the function's log format is JSON.
func Environment(jsonLogs bool) *environment.Environment {
	return Of(ID, Resource, environment.Details{
		AccountID: "123456789012", LogGroup: "/aws/lambda/orders", LogStream: "2026/09/21/orders[$LATEST]0f1e2d3c4b5a69788796a5b4c3d2e1f0",
		JSONLogs: jsonLogs, Attributes: []byte(`{"cloud.platform":"aws_lambda"}`),
	})
}

// Of returns an environment.
func Of(id, resource string, details environment.Details) *environment.Environment {
	details.Resource = []byte(resource)
	return environment.New(id, details)
}

// T is a test, benchmark, fuzz test or property test.
type T interface{ Fatalf(string, ...any) }

// Line returns a line with the given members between its time and resource.
func Line(t T, seq int, members string) format.Line {
	text := fmt.Sprintf(`{"schema":"kinetel/1","seq":%d,"time":"2026-11-22T20:15:00.123Z",%s,"resource":%s}`+"\n", seq, members, Resource)
	return Parse(t, text)
}

// Parse parses a line.
func Parse(t T, text string) format.Line {
	l, ok := format.ReadLine([]byte(text))
	if !ok {
		t.Fatalf("no line: %s", text)
	}
	return l
}

// BrokenValue draws a JSON value, whose text may not be UTF-8.
func BrokenValue() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		value := jsontexttest.Value(3).Draw(t, "value")
		if rapid.Bool().Draw(t, "broken") {
			value = strings.ReplaceAll(value, "é", "\xff")
		}
		return value
	})
}

// OddLine draws a line that becomes as large as possible in OTLP.
func OddLine() *rapid.Generator[string] {
	filler := rapid.Custom(func(t *rapid.T) string {
		return strings.Repeat(rapid.SampledFrom([]string{`"`, `\`, "\t", "\x01", "\xff", "世", "a"}).Draw(t, "of"), rapid.IntRange(0, 300).Draw(t, "times"))
	})
	return rapid.Custom(func(t *rapid.T) string {
		long := strings.Repeat(rapid.SampledFrom([]string{`1,`, `"",`, `{},`, `{"":0},`, `"\ud800",`, "\"\xff\",", `"\"",`, "\r\r1,", `null,`, `[],`, `"\u000d",`}).Draw(t, "of"), rapid.IntRange(0, 300).Draw(t, "times"))
		body := rapid.OneOf(
			BrokenValue(),
			rapid.Just(`[`+long+`0]`),
			rapid.Just(`{"errorType":"`+strings.Repeat(`\"`, 64)+`","coldStart":false,"status":"`+strings.Repeat(`\\`, 64)+`","a":[`+long+`0]}`),
			rapid.Just(`{"invokedArn":"`+strings.Repeat(`\"`, 128)+`","tracing":{"value":"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"},"a":[`+long+`0]}`),
			rapid.Just(`{"trace_flags":"ff","span_id":"00f067aa0ba902b7","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","a":[`+long+`0]}`),
			rapid.Map(filler, func(s string) string { return string(jsontext.AppendQuote(nil, s)) }),
		).Draw(t, "body")
		ev := event.Event{
			Time:      []byte(rapid.SampledFrom([]string{"2026-11-22T20:15:00Z", "2026-11-22T20:15:00.123Z", "x"}).Draw(t, "time")),
			Type:      []byte(rapid.SampledFrom([]string{"a", "function", "platform.report", "kinetel.invocation", "kinetel.span", "\xff", `\ud800`, `\ud800` + strings.Repeat(`\b\f\r\u0001`, 200), strings.Repeat("x", 500), strings.Repeat("\xff", 500)}).Draw(t, "type")),
			RequestID: filler.Draw(t, "request"), TraceID: rapid.OneOf(filler, rapid.Just("1-5759e988-bd862e3fe1be46a994272793")).Draw(t, "trace"),
			Severity: event.Severity(rapid.IntRange(0, 6).Draw(t, "severity")), Record: []byte(body),
		}
		if rapid.Bool().Draw(t, "extra") {
			ev.Extra = []byte(`"":` + BrokenValue().Draw(t, "more"))
		}
		var part format.Part
		if rapid.IntRange(0, 3).Draw(t, "part") == 0 {
			part = format.Part{Part: 1, Parts: 2, Body: []byte(filler.Draw(t, "piece"))}
		}
		return string(format.AppendLine(nil, rapid.Uint64Range(1, 1<<63-1).Draw(t, "seq"), &ev, part, []byte(`{}`)))
	})
}

// PlatformBody draws the record of a platform event that may make no sense.
func PlatformBody() *rapid.Generator[string] {
	odd := rapid.OneOf(
		rapid.SampledFrom([]string{`"a\nb"`, `"a b"`, `"\ud83d\ude00\udead"`, "\"\xff\"", `"\\"`, `""`, `"Root=;=;;"`, `["a\\,b","c"]`, `[]`, `-0`, `1e999`, `null`}),
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
		number := rapid.StringMatching(`[1-9][0-9]{0,5}(\.[0-9]{1,4})?`)
		metrics := map[string]string{}
		for _, name := range []string{"durationMs", "billedDurationMs", "memorySizeMB", "maxMemoryUsedMB", "initDurationMs", "restoreDurationMs", "billedRestoreDurationMs"} {
			metrics[name] = number.Draw(t, name)
		}
		return object(t, map[string]string{
			"requestId": `"6f0c0c5e-1111-4222-8333-444455556666"`, "version": `"$LATEST"`, "runtimeVersion": `"nodejs:22.v101"`, "runtimeVersionArn": `"arn:aws:lambda"`, "name": `"a"`, "state": `"Ready"`,
			"phase": `"init"`, "status": rapid.SampledFrom([]string{`"success"`, `"error"`, `"timeout"`}).Draw(t, "status"), "errorType": `"X"`, "events": `["INVOKE","SHUTDOWN"]`, "types": `["platform"]`,
			"metrics": object(t, metrics), "tracing": object(t, map[string]string{"value": `"Root=1-a;Sampled=1"`, "spanId": `"b"`}),
		})
	})
}

// AnyLine draws any line.
func AnyLine() *rapid.Generator[string] {
	platform := []string{
		"platform.start", "platform.runtimeDone", "platform.report", "platform.initStart", "platform.initReport", "platform.restoreStart", "platform.restoreReport",
		"platform.extension", "platform.telemetrySubscription",
	}
	of := func(kinds []string, body *rapid.Generator[string]) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			ev := event.Event{Time: []byte("2026-11-22T20:15:00.123Z"), Type: []byte(rapid.SampledFrom(kinds).Draw(t, "type")), Record: []byte(body.Draw(t, "body"))}
			return string(format.AppendLine(nil, rapid.Uint64Range(1, 1<<48-1).Draw(t, "seq"), &ev, format.Part{}, []byte(Resource)))
		})
	}
	return rapid.OneOf(of(platform, PlatformBody()), of(platform, rapid.OneOf(PlatformBody(), BrokenValue())), of([]string{"function", "extension"}, BrokenValue()), OddLine())
}

// EventID returns the id of an event in CloudWatch Logs, computed as the documentation
// of cloudwatch.EventID says.
func EventID[M ~uint8](ms int64, seq uint64, message M, environment [11]byte) string {
	n := big.NewInt(ms)
	n.Lsh(n, 48).Or(n, new(big.Int).SetUint64(seq))
	n.Lsh(n, 8).Or(n, big.NewInt(int64(message)))
	n.Lsh(n, 88).Or(n, new(big.Int).SetBytes(environment[:]))
	return fmt.Sprintf("%056d", n)
}
