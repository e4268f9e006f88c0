package format_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/jsontext/jsontexttest"
)

// Any bytes become valid, also those that are no JSON, such as a piece that begins
// inside of an escape.
func TestAnyBytesBecomeValid(t *testing.T) {
	bit := rapid.OneOf(rapid.Map(rapid.Byte(), func(b byte) string { return string([]byte{b}) }), rapid.SampledFrom([]string{`\`, `\u`, "d8", "00", "3d", "é", "😀", "de"}))
	rapid.Check(t, func(t *rapid.T) {
		text := []byte(strings.Join(rapid.SliceOfN(bit, 0, 20).Draw(t, "text"), ""))
		want := 0
		if valid := jsontext.AppendValidUnicode(nil, text); !bytes.Equal(valid, text) {
			want = len(valid) + base64.StdEncoding.EncodedLen(len(text))
		}
		if size := format.ReplacedSize(text); size != want {
			t.Fatalf("%q has the size %d, not %d", text, size, want)
		}
		ev := event.Event{Type: []byte("function")}
		if line := format.AppendLine(nil, 1, &ev, format.Part{Part: 1, Parts: 2, Body: text}, []byte("{}")); !jsontexttest.Strict(line) {
			t.Fatalf("a part of %q is %q", text, line)
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
