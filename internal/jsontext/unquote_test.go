package jsontext_test

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/jsontext/jsontexttest"
)

func TestAppendUnquoteReadsEveryEscape(t *testing.T) {
	for _, tt := range []struct{ name, value, want string }{
		{"an empty string", `""`, ""},
		{"plain text", `"user signed in"`, "user signed in"},
		{"short escapes", `"\"\\\/\b\f\n\r\t"`, "\"\\/\b\f\n\r\t"},
		{"characters by number", `"\u0041\u00e9\u4E16\u0000"`, "Aé世\x00"},
		{"a pair of surrogates", `"a\ud83d\uDE00b"`, "a😀b"},
		{"a lone surrogate", `"a\ud83db"`, "a\uFFFDb"},
		{"surrogates the wrong way round", `"\ude00\ud83d"`, "\uFFFD\uFFFD"},
		{"a surrogate before another escape", `"\ud83d\u0041"`, "\uFFFDA"},
		{"bytes that are not UTF-8 stay", "\"a\xff\\n\xc3\"", "a\xff\n\xc3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := jsontext.AppendUnquote([]byte("before "), []byte(tt.value)); !ok || string(got) != "before "+tt.want {
				t.Errorf("AppendUnquote(%s): %q, %t", tt.value, got, ok)
			}
		})
	}
}

func TestAppendUnquoteRefusesAnythingElse(t *testing.T) {
	for _, value := range []string{``, `1`, `null`, `{"a":1}`, `"`, `"a`, `a"`, `"a"b`, `"a""`, "\"a\nb\"", `"\x"`, `"\u12"`, `"\u12g4"`, `"\`, `"\"`} {
		if got, ok := jsontext.AppendUnquote([]byte("before"), []byte(value)); ok || string(got) != "before" {
			t.Errorf("AppendUnquote(%s): %q, %t", value, got, ok)
		}
	}
}

func TestAppendUnquoteInvertsAppendQuote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SliceOf(rapid.Byte()).Draw(t, "text")
		if got, ok := jsontext.AppendUnquote(nil, jsontext.AppendQuote(nil, text)); !ok || !bytes.Equal(got, text) {
			t.Fatalf("%q is quoted and unquoted as %q, %t", text, got, ok)
		}
	})
}

func TestAppendUnescapeStops(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		most       int
		want       string
	}{
		{"at the bound, in plain text", "abcdef", 3, "abc"},
		{"at the bound, after an escape", `a\tb\tc`, 4, "a\tb\t"},
		{"at the bound, inside a character", `a\u00e9`, 2, "a\xc3"},
		{"at once", "abc", 0, ""},
		{"at the end", `a\nb`, -1, "a\nb"},
		{"at the end, with an invalid escape", `ab\xcd\n`, -1, "ab\\xcd\n"},
		{"at the end, with a backslash", `ab\`, -1, "ab\\"},
		{"at the end, with an escape that is cut", `ab\u12`, -1, "ab\\u12"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := jsontext.AppendUnescape(nil, []byte(tt.text), tt.most); string(got) != tt.want {
				t.Errorf("AppendUnescape(%s, %d): %q, want %q", tt.text, tt.most, got, tt.want)
			}
		})
	}
}

// With a bound, AppendUnescape gives the beginning of what it gives without one.
func TestAppendUnescapeWithABoundReturnsTheBeginning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := jsontext.Unquoted([]byte(jsontexttest.Value(0).Filter(func(s string) bool { return s[0] == '"' }).Draw(t, "value")))
		all := jsontext.AppendUnescape(nil, text, -1)
		most := rapid.IntRange(0, 12).Draw(t, "most")
		if got := jsontext.AppendUnescape(nil, text, most); !bytes.Equal(got, all[:min(most, len(all))]) {
			t.Fatalf("%q is %q, up to %d bytes %q", text, all, most, got)
		}
	})
}

func TestUnquoted(t *testing.T) {
	for _, tt := range []struct{ value, want string }{{`"a\nb"`, `a\nb`}, {`""`, ""}, {`17`, ""}, {`{"a":"b"}`, ""}, {``, ""}, {`"`, ""}} {
		if got := jsontext.Unquoted([]byte(tt.value)); string(got) != tt.want || (got == nil) != !strings.HasPrefix(tt.value, `""`) && tt.want == "" {
			t.Errorf("Unquoted(%s) is %q", tt.value, got)
		}
	}
}
