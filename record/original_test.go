package record_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/cloudwatch"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/record"
)

// brokenJSON draws a JSON value that need not be UTF-8, and may have half a
// surrogate pair.
func brokenJSON() *rapid.Generator[string] {
	bits := rapid.SliceOfN(rapid.OneOf(
		rapid.Map(rapid.SliceOfN(rapid.ByteRange(0x80, 0xff), 1, 3), func(b []byte) string { return string(b) }),
		rapid.SampledFrom([]string{"a", "é", "😀", "\uFFFD", `\ud800`, `\udead`, `\ud83d\ude00`, `\\`, `\"`, `\n`, `\u0000`}),
	), 0, 9)
	text := rapid.Map(bits, func(b []string) string { return `"` + strings.Join(b, "") + `"` })
	return rapid.OneOf(text, rapid.Map(rapid.SliceOfN(text, 2, 2), func(s []string) string { return `{` + s[0] + `:[` + s[1] + `]}` }))
}

// In every format, Decode gives the bytes that Lambda sent, in parts and whole.
func TestDecodeGivesTheOriginal(t *testing.T) {
	encoders := map[string]func([]format.Line) []byte{
		"cloudwatch": func(lines []format.Line) []byte {
			return cloudwatch.Append(nil, aCloudWatchSource(aResource, true), "", lines)
		},
	}
	for name, encode := range encodings {
		encoders[name] = encode
	}
	for name, encode := range encoders {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				body := brokenJSON().Draw(t, "body")
				ev := event.Event{Time: []byte("2026-11-22T20:15:00.123Z"), Type: []byte("function"), Record: []byte(body)}
				if rapid.Bool().Draw(t, "platform") || name == "spans" {
					ev.Type = []byte("kinetel.span")
				}
				var text []string
				at := rapid.IntRange(0, len(body)).Draw(t, "cut")
				if at == 0 || at == len(body) {
					text = append(text, string(format.AppendLine(nil, 17, &ev, format.Part{}, []byte(aResource))))
				} else {
					for i, piece := range []string{body[:at], body[at:]} {
						text = append(text, string(format.AppendLine(nil, uint64(17+i), &ev, format.Part{Part: i + 1, Parts: 2, Body: []byte(piece)}, []byte(aResource))))
					}
				}
				events, err := record.Decode(encode(read(t, text...)))
				if err != nil {
					t.Fatalf("%v in %q", err, text)
				}
				// As JSON, an event is as valid as its line, and nothing is lost.
				for i := range events {
					again, err := json.Marshal(events[i])
					if err != nil || !utf8.Valid(again) || !jsontext.ValidUnicode(again) {
						t.Fatalf("%v: %q", err, again)
					}
					was := events[i]
					events[i] = record.Event{}
					if err := json.Unmarshal(again, &events[i]); err != nil {
						t.Fatalf("%v in %s", err, again)
					}
					if diff := cmp.Diff(was, events[i]); diff != "" {
						t.Fatalf("as JSON it is %s (-want +got):\n%s", again, diff)
					}
				}
				if joined := record.Join(events); len(joined) != 1 || string(joined[0].Body) != body {
					t.Fatalf("%+v, want the body %q", joined, body)
				}
			})
		})
	}
}

func TestDecodeRefusesAnInvalidOriginal(t *testing.T) {
	for _, original := range []string{`"!"`, `"Ig"`, `"` + base64.StdEncoding.EncodeToString([]byte(`"a`)) + `"`, `"` + base64.StdEncoding.EncodeToString([]byte(`1 2`)) + `"`, `1`, `{}`} {
		line := strings.Replace(aLine, `,"extra"`, `,"bodyBase64":`+original+`,"extra"`, 1)
		events, err := record.Decode([]byte(aLine + line))
		if !errors.Is(err, record.ErrNotRecord) || len(events) != 1 {
			t.Errorf("%s: %d events, %v", original, len(events), err)
		}
	}
}

// The caller's encoder decides whether < is escaped.
func TestEventsAreWrittenAsTheEncoderDoes(t *testing.T) {
	e := anEvent()
	e.Body = json.RawMessage("\"<\xff>\"")
	for escape, want := range map[bool]string{false: "\"<\uFFFD>\"", true: "\"\\u003c\uFFFD\\u003e\""} {
		var out bytes.Buffer
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(escape)
		if err := enc.Encode(e); err != nil {
			t.Fatal(err)
		}
		if member := fmt.Sprintf(`"body":%s,"bodyBase64":"Ijz/PiI=","extra":{`, want); !strings.Contains(out.String(), member) {
			t.Errorf("without %s: %s", member, &out)
		}
	}
}
