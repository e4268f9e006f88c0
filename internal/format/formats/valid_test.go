package formats_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/cloudwatch"
	"github.com/kinetel/kinetel/internal/format/formattest"
	"github.com/kinetel/kinetel/internal/format/otlp"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/jsontext/jsontexttest"
)

// anyJSON draws JSON whose strings have any bytes in them that a JSON string can
// have if UTF-8 is not required.
func anyJSON() *rapid.Generator[[]byte] {
	bit := rapid.OneOf(
		rapid.Map(rapid.SliceOfN(rapid.ByteRange(0x80, 0xff), 1, 4), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{
			"a", " ", "é", "世", "😀", "\x7f", "\uFFFD", "\xed\xa0\x80", "\xc0\x80", `\ud800`, `\uDFFF`, `\ud83d`, `\ude00`, `\u0041`, `\u0000`, `\\`, `\"`, `\n`, `\/`, "ud800", "dc00",
		}),
	)
	text := rapid.Map(rapid.SliceOfN(bit, 0, 12), func(bits []string) string { return `"` + strings.Join(bits, "") + `"` })
	return rapid.Map(rapid.OneOf(
		text,
		rapid.Map(rapid.SliceOfN(text, 2, 2), func(s []string) string { return "{" + s[0] + ":\n[" + s[1] + ", 1.0]}" }),
		rapid.Map(text, func(s string) string { return `{"errorType":` + s + `,"status":` + s + `,"requestId":` + s + `}` }),
	), func(s string) []byte { return []byte(s) })
}

// For any bytes in any place of an event, the strictest reader accepts each line and
// each payload, and the original of the body is present.
func TestEveryPayloadIsValid(t *testing.T) {
	resource := []byte(`{"service.instance.id":"` + formattest.ID + `","faas.name":"orders"}`)
	rapid.Check(t, func(t *rapid.T) {
		var lines []format.Line
		for i := range rapid.IntRange(1, 3).Draw(t, "lines") {
			inner := func(b []byte) []byte { return b[1 : len(b)-1] }
			quoted := anyJSON().Filter(func(b []byte) bool { return b[0] == '"' && len(b) > 2 })
			ev := event.Event{
				Time:   []byte("2026-11-22T20:15:00.123Z"),
				Type:   rapid.OneOf(rapid.Map(quoted, inner), rapid.SampledFrom([][]byte{[]byte("function"), []byte("platform.report"), []byte("kinetel.invocation")})).Draw(t, "type"),
				Record: anyJSON().Draw(t, "record"), RequestID: string(inner(quoted.Draw(t, "request"))), TraceID: string(inner(quoted.Draw(t, "trace"))),
			}
			if rapid.Bool().Draw(t, "extra") {
				ev.Extra = append(append(quoted.Draw(t, "name"), ':'), anyJSON().Draw(t, "extra")...)
			}
			part, original := format.Part{}, ev.Record
			if rapid.Bool().Draw(t, "part") {
				part = format.Part{Part: 1, Parts: 2, Body: ev.Record}
			}
			line := format.AppendLine(nil, uint64(i+1), &ev, part, resource)
			if !jsontexttest.Strict(line) || bytes.IndexByte(line, '\n') != len(line)-1 {
				t.Fatalf("not valid: %q", line)
			}
			l := formattest.Parse(t, string(line))
			if got, err := base64.StdEncoding.DecodeString(string(l.BodyBase64)); err != nil || len(got) > 0 != !jsontext.ValidUnicode(original) || len(got) > 0 && !bytes.Equal(got, original) {
				t.Fatalf("the original of %q is %q, %v", original, got, err)
			}
			lines = append(lines, l)
		}
		env := formattest.Of(formattest.ID, string(resource), environment.Details{})
		for name, payload := range map[string][]byte{
			"logs": otlp.AppendLogs(nil, env, lines), "spans": otlp.AppendSpans(nil, env, lines), "cloudwatch": cloudwatch.Append(nil, env, "", lines),
		} {
			if !jsontexttest.Strict(payload) {
				t.Fatalf("%s: not valid: %q", name, payload)
			}
			for _, l := range lines {
				if n := bytes.Count(payload, l.BodyBase64); len(l.BodyBase64) > 0 && n == 0 {
					t.Fatalf("%s: without the original %s: %s", name, l.BodyBase64, payload)
				}
			}
		}
	})
}
