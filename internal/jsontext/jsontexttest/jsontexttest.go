// Package jsontexttest draws JSON for property tests.
package jsontexttest

import (
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// Value draws a JSON value as text, with white space and escapes in all
// places that allow them.
func Value(levels int) *rapid.Generator[string] {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n", "\t\r\n "})
	number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,6})(\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?`)
	text := rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		b.WriteByte('"')
		for range rapid.IntRange(0, 6).Draw(t, "pieces") {
			b.WriteString(rapid.SampledFrom([]string{
				"a", "é", "世", "😀", `\"`, `\\`, `\/`, `\n`, `\u00e9`, `\ud83d\ude00`, `\udead`, "{", "}", "[", "]", ",", ":", " ", "\x7f", "}]", `\"time\":`,
			}).Draw(t, "piece"))
		}
		b.WriteByte('"')
		return b.String()
	})
	scalar := rapid.OneOf(rapid.SampledFrom([]string{"null", "true", "false"}), number, text)
	if levels == 0 {
		return scalar
	}
	inner := Value(levels - 1)
	array := rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		b.WriteString("[" + space.Draw(t, "space"))
		for i := range rapid.IntRange(0, 3).Draw(t, "items") {
			if i > 0 {
				b.WriteString("," + space.Draw(t, "space"))
			}
			b.WriteString(inner.Draw(t, "item") + space.Draw(t, "space"))
		}
		return b.String() + "]"
	})
	object := rapid.Custom(func(t *rapid.T) string {
		var b strings.Builder
		b.WriteString("{" + space.Draw(t, "space"))
		for i := range rapid.IntRange(0, 3).Draw(t, "members") {
			if i > 0 {
				b.WriteString("," + space.Draw(t, "space"))
			}
			b.WriteString(text.Draw(t, "name") + space.Draw(t, "space") + ":" + space.Draw(t, "space") + inner.Draw(t, "value") + space.Draw(t, "space"))
		}
		return b.String() + "}"
	})
	return rapid.OneOf(scalar, array, object, object)
}

// Strict reports whether the strictest readers accept text as one JSON value:
// UTF-8, and each escaped surrogate with its other half behind it.
func Strict(text []byte) bool {
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
