package jsontext_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/jsontext/jsontexttest"
)

// What DuckDB 1.x reads as NULL is replaced; what it reads is left as it is.
func TestValidUnicode(t *testing.T) {
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
			if got := jsontext.AppendValidUnicode([]byte("before"), []byte(tt.text)); string(got) != "before"+tt.valid {
				t.Errorf("AppendValidUnicode: %q, want %q", got[6:], tt.valid)
			}
			if got := jsontext.ValidUnicode([]byte(tt.text)); got != (tt.text == tt.valid) {
				t.Errorf("ValidUnicode: %t", got)
			}
			if !jsontext.ValidUnicode([]byte(tt.valid)) || tt.text != "" && !jsontexttest.Strict([]byte(tt.valid)) {
				t.Errorf("%q is not valid", tt.valid)
			}
		})
	}
}

// Any bytes become valid, also those that are no JSON, such as a piece that begins
// inside of an escape.
func TestAnyBytesBecomeValidUnicode(t *testing.T) {
	bit := rapid.OneOf(rapid.Map(rapid.Byte(), func(b byte) string { return string([]byte{b}) }), rapid.SampledFrom([]string{`\`, `\u`, "d8", "00", "3d", "é", "😀", "de"}))
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(strings.Join(rapid.SliceOfN(bit, 0, 20).Draw(t, "text"), ""))
		valid := jsontext.AppendValidUnicode(nil, text)
		if !jsontext.ValidUnicode(valid) || jsontext.ValidUnicode(text) != bytes.Equal(text, valid) {
			t.Fatalf("%q becomes %q", text, valid)
		}
		if line := jsontext.AppendQuote(nil, valid); !jsontexttest.Strict(line) {
			t.Fatalf("%q is quoted as %q", text, line)
		}
	})
}

// ValidUnicode looks at eight bytes at once. It finds what reading character by character
// finds, wherever that is.
func TestValidUnicodeAgreesWithFirstChar(t *testing.T) {
	piece := rapid.SampledFrom([]string{"a", "plain text, ", `\`, `\\`, `\n`, `\u`, `\u00e9`, `\ud83d\ude00`, `\ud800`, `\udc00`, "é", "😀", "\x80", "\xff", "\x1f", `"`})
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "text"), ""))
		want := true
		for rest := text; want && len(rest) > 0; {
			var n int
			n, want = jsontext.FirstChar(rest)
			rest = rest[n:]
		}
		if got := jsontext.ValidUnicode(text); got != want {
			t.Fatalf("%q: %t, want %t", text, got, want)
		}
	})
}
