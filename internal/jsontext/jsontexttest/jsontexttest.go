// Package jsontexttest draws JSON for property tests.
package jsontexttest

import (
	"strings"

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
