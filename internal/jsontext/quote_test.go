package jsontext_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/jsontext"
)

func TestAppendQuoteEscapesOnlyWhatJSONDemands(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", `""`},
		{"plain text", "user signed in", `"user signed in"`},
		{"quotes and backslashes", `a "b" \c`, `"a \"b\" \\c"`},
		{"line feeds and tabs", "a\nb\tc", `"a\nb\tc"`},
		{"other control characters", "\x00\r\x1f", `"\u0000\u000d\u001f"`},
		{"what HTML would escape stays", "<a&b>\x7f/", "\"<a&b>\x7f/\""},
		{"letters beyond ASCII stay", "grüß \u2028 世界 🎈", "\"grüß \u2028 世界 🎈\""},
		{"broken UTF-8 stays", "a\xffb\xc3", "\"a\xffb\xc3\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(jsontext.AppendQuote(nil, tt.text)); got != tt.want {
				t.Errorf("AppendQuote(%q) is %s, want %s", tt.text, got, tt.want)
			}
		})
	}
}

func TestAQuotedTextIsReadAsTheSameText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOf(rapid.Byte()).Draw(t, "text")
		before := rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "before")
		quoted, ok := bytes.CutPrefix(jsontext.AppendQuote(bytes.Clone(before), text), before)
		if !ok {
			t.Fatal("the text before was changed")
		}
		if bytes.ContainsFunc(quoted, func(r rune) bool { return r < ' ' }) {
			t.Fatalf("a control character is left in %q", quoted)
		}
		if asString := jsontext.AppendQuote(nil, string(text)); !bytes.Equal(asString, quoted) {
			t.Fatalf("a string is quoted as %q, bytes as %q", asString, quoted)
		}
		var got string
		if err := json.Unmarshal(quoted, &got); err != nil {
			t.Fatalf("%v in %q", err, quoted)
		}
		want := string(text)
		if !utf8.Valid(text) { // the standard library replaces invalid bytes
			want = string([]rune(want))
		}
		if got != want {
			t.Fatalf("%q is read as %q", want, got)
		}
	})
}
