package format_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"

	"kinetel/internal/event"
	"kinetel/internal/format"
)

// strict reports whether the strictest readers accept text as one JSON value:
// UTF-8, and each escaped surrogate with its other half behind it.
func strict(text []byte) bool {
	if !json.Valid(text) || !utf8.Valid(text) {
		return false
	}
	escapes := regexp.MustCompile(`\\(?:u[0-9a-fA-F]{4}|.)`).FindAllIndex(text, -1)
	rune16 := func(at []int) rune {
		if at[1]-at[0] != 6 {
			return 0
		}
		n, _ := strconv.ParseUint(string(text[at[0]+2:at[1]]), 16, 16)
		return rune(n)
	}
	for i := 0; i < len(escapes); i++ {
		if r := rune16(escapes[i]); utf16.IsSurrogate(r) {
			if i++; i == len(escapes) || escapes[i][0] != escapes[i-1][1] || utf16.DecodeRune(r, rune16(escapes[i])) == utf8.RuneError {
				return false
			}
		}
	}
	return true
}

// What DuckDB 1.x reads as NULL is replaced; what it reads is left as it is.
func TestValid(t *testing.T) {
	for _, tt := range []struct{ name, text, valid string }{
		{"text", `"abc"`, `"abc"`},
		{"nothing", ``, ``},
		{"an escaped pair", `"\ud83d\ude00"`, `"\ud83d\ude00"`},
		{"an escaped pair in capitals", `"\uD83D\uDE00"`, `"\uD83D\uDE00"`},
		{"an escaped NUL", `"a\u0000b"`, `"a\u0000b"`},
		{"DEL", "\"\x7f\"", "\"\x7f\""},
		{"a byte order mark", "\"\uFEFF\"", "\"\uFEFF\""},
		{"no character", "\"\uFFFF\"", "\"\uFFFF\""},
		{"U+FFFD itself", "\"\uFFFD\"", "\"\uFFFD\""},
		{"line separators", "\"\u2028\u2029\"", "\"\u2028\u2029\""},
		{"a backslash before a u", `"\\ud800"`, `"\\ud800"`},
		{"a backslash and a u, eight bytes on", `"123456\\ud800"`, `"123456\\ud800"`},
		{"a lone surrogate, eight bytes on", `"123456\ud800"`, "\"123456\uFFFD\""},
		{"a lone surrogate between eight bytes", `"1234567\ud800"`, "\"1234567\uFFFD\""},
		{"a lone surrogate behind eight bytes", `"12345\\\ud800"`, `"12345\\` + "\uFFFD\""},
		{"a name twice", `{"a":1,"a":2}`, `{"a":1,"a":2}`},
		{"a number that is large", `1e999`, `1e999`},

		{"a byte that is never UTF-8", "\"a\xffb\"", "\"a\uFFFDb\""},
		{"each byte", "\"\xff\xfe\"", "\"\uFFFD\uFFFD\""},
		{"a character that is cut", "\"\xe4\xb8\"", "\"\uFFFD\uFFFD\""},
		{"a character of Latin-1", "\"gr\xfc\xdfe\"", "\"gr\uFFFD\uFFFDe\""},
		{"an overlong slash", "\"\xc0\xaf\"", "\"\uFFFD\uFFFD\""},
		{"an overlong NUL", "\"\xc0\x80\"", "\"\uFFFD\uFFFD\""},
		{"a surrogate in UTF-8", "\"\xed\xa0\x80\"", "\"\uFFFD\uFFFD\uFFFD\""},
		{"CESU-8", "\"\xed\xa0\xbd\xed\xb8\x80\"", "\"" + strings.Repeat("\uFFFD", 6) + "\""},
		{"beyond Unicode", "\"\xf4\x90\x80\x80\"", "\"\uFFFD\uFFFD\uFFFD\uFFFD\""},
		{"a lone high surrogate", `"a\ud800b"`, "\"a\uFFFDb\""},
		{"a lone low surrogate", `"\uDC00"`, "\"\uFFFD\""},
		{"a pair the wrong way round", `"\ude00\ud83d"`, "\"\uFFFD\uFFFD\""},
		{"a high surrogate before a pair", `"\ud83d\ud83d\ude00"`, "\"\uFFFD" + `\ud83d\ude00"`},
		{"a high surrogate before another escape", `"\ud83d\n"`, "\"\uFFFD" + `\n"`},
		{"a high surrogate before a backslash", `"\ud83d\\ude00"`, "\"\uFFFD" + `\\ude00"`},
		{"a lone surrogate behind backslashes", `"\\\ud800"`, `"\\` + "\uFFFD\""},
		{"a member's name", "{\"a\xff\":{\"\\udfff\":1}}", "{\"a\uFFFD\":{\"\uFFFD\":1}}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := format.AppendValid([]byte("before"), []byte(tt.text)); string(got) != "before"+tt.valid {
				t.Errorf("AppendValid: %q, want %q", got[6:], tt.valid)
			}
			if got := format.Valid([]byte(tt.text)); got != (tt.text == tt.valid) {
				t.Errorf("Valid: %t", got)
			}
			if !format.Valid([]byte(tt.valid)) || tt.text != "" && !strict([]byte(tt.valid)) {
				t.Errorf("%q is not valid", tt.valid)
			}
			want := 0
			if tt.text != tt.valid {
				want = len(tt.valid) + base64.StdEncoding.EncodedLen(len(tt.text))
			}
			if got := format.ReplacedSize([]byte(tt.text)); got != want {
				t.Errorf("ReplacedSize: %d, want %d", got, want)
			}
		})
	}
}

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

// Any bytes become valid, also those that are no JSON, such as a piece that begins
// inside of an escape.
func TestAnyBytesBecomeValid(t *testing.T) {
	bit := rapid.OneOf(rapid.Map(rapid.Byte(), func(b byte) string { return string([]byte{b}) }), rapid.SampledFrom([]string{`\`, `\u`, "d8", "00", "3d", "é", "😀", "de"}))
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(strings.Join(rapid.SliceOfN(bit, 0, 20).Draw(t, "text"), ""))
		valid := format.AppendValid(nil, text)
		if !utf8.Valid(valid) || !format.Valid(valid) || format.Valid(text) != bytes.Equal(text, valid) {
			t.Fatalf("%q becomes %q", text, valid)
		}
		if size := format.ReplacedSize(text); size > 0 && size != len(valid)+base64.StdEncoding.EncodedLen(len(text)) {
			t.Fatalf("%q has the size %d", text, size)
		}
		ev := event.Event{Type: []byte("function")}
		if line := format.AppendLine(nil, 1, &ev, format.Part{Part: 1, Parts: 2, Body: text}, []byte("{}")); !strict(line) {
			t.Fatalf("a part of %q is %q", text, line)
		}
	})
}

// For any bytes in any place of an event, the strictest reader accepts each line and
// each payload, and the original of the body is present.
func TestEveryPayloadIsValid(t *testing.T) {
	resource := []byte(`{"faas.instance":"` + cloudWatchEnvironment + `","faas.name":"orders"}`)
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
			if !strict(line) || bytes.IndexByte(line, '\n') != len(line)-1 {
				t.Fatalf("not valid: %q", line)
			}
			l := lineOf(t, string(line))
			if got, err := base64.StdEncoding.DecodeString(string(l.BodyBase64)); err != nil || len(got) > 0 != !format.Valid(original) || len(got) > 0 && !bytes.Equal(got, original) {
				t.Fatalf("the original of %q is %q, %v", original, got, err)
			}
			lines = append(lines, l)
		}
		src := cloudWatchSource()
		src.Resource = resource
		for name, payload := range map[string][]byte{
			"logs": format.AppendOTLPLogs(nil, src, lines), "spans": format.AppendOTLPSpans(nil, src, lines), "cloudwatch": format.AppendCloudWatch(nil, src, lines),
		} {
			if !strict(payload) {
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

// A valid event costs nothing but the look.
func TestAValidLineIsNotCopied(t *testing.T) {
	resource, dst := []byte(`{"a":"b"}`), make([]byte, 0, 4096)
	ev := event.Event{Time: []byte("2026-11-22T20:15:00.123Z"), Type: []byte("function"), RequestID: "r", TraceID: "t", Record: []byte(`"gr\u00fc\tße \ud83d\ude00"`), Extra: []byte(`"a":1`)}
	if n := testing.AllocsPerRun(100, func() { dst = format.AppendLine(dst[:0], 1, &ev, format.Part{}, resource) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
