package jsontext_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/jsontext/jsontexttest"
)

// members has a member of each type.
type members struct {
	Text    string            `json:"text"`
	Int     int64             `json:"int"`
	Uint    uint64            `json:"uint"`
	Bool    bool              `json:"bool"`
	Texts   []string          `json:"texts"`
	Raw     json.RawMessage   `json:"raw"`
	Objects []json.RawMessage `json:"objects"`
}

// optional is members without those that are empty.
type optional struct {
	Text    string            `json:"text,omitempty"`
	Int     int64             `json:"int,omitempty"`
	Uint    uint64            `json:"uint,omitempty"`
	Bool    bool              `json:"bool,omitempty"`
	Texts   []string          `json:"texts,omitempty"`
	Raw     json.RawMessage   `json:"raw,omitempty"`
	Objects []json.RawMessage `json:"objects,omitempty"`
}

func (m *members) write(o *jsontext.Object) {
	o.String("text", m.Text)
	o.Int("int", m.Int)
	o.Uint("uint", m.Uint)
	o.Bool("bool", m.Bool)
	o.Strings("texts", m.Texts)
	o.Raw("raw", m.Raw)
	objects := make([][]byte, len(m.Objects))
	for i, object := range m.Objects {
		objects[i] = object
	}
	o.Array("objects", objects)
}

// encode is what encoding/json writes, with U+FFFD itself in place of its escape.
func encode(t interface{ Fatal(...any) }, v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), `\ufffd`, "\ufffd")
}

func TestAnObjectIsWhatEncodingJSONWrites(t *testing.T) {
	text := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.SampledFrom([]string{"\"\\/\b\f\n\r\t\x00\x1f\x7f", "\u2028\u2029<&>", "a\xff\xfeb\xc3", "世界😀"}))
	rapid.Check(t, func(t *rapid.T) {
		m := members{
			Text: text.Draw(t, "text"), Bool: rapid.Bool().Draw(t, "bool"), Texts: append([]string{}, rapid.SliceOfN(text, 0, 3).Draw(t, "texts")...),
			Int:  rapid.OneOf(rapid.Just(int64(0)), rapid.Int64()).Draw(t, "int"),
			Uint: rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64()).Draw(t, "uint"),
			Raw:  rapid.SampledFrom([]json.RawMessage{nil, json.RawMessage(`{"a":1}`), json.RawMessage(`[2]`)}).Draw(t, "raw"),
			Objects: append([]json.RawMessage{},
				rapid.SliceOfN(rapid.SampledFrom([]json.RawMessage{json.RawMessage(`{}`), json.RawMessage(`{"b":"c"}`)}), 0, 3).Draw(t, "objects")...),
		}
		want := struct {
			members
			Omitted optional `json:"omitted"`
			Last    string   `json:"last"`
		}{m, optional(m), m.Text}
		var o jsontext.Object
		m.write(&o)
		o.Begin("omitted")
		o.OmitEmpty = true
		m.write(&o)
		o.End()
		o.OmitEmpty = false
		o.String("last", m.Text)
		if got := string(o.JSON()); got != encode(t, want) {
			t.Fatalf("the object is\n%s, want\n%s", got, encode(t, want))
		}
	})
}

func TestAnObjectWithoutMembers(t *testing.T) {
	var o, nested jsontext.Object
	nested.Begin("a")
	nested.Begin("b")
	nested.End()
	nested.End()
	if got, inside := string(o.JSON()), string(nested.JSON()); got != "{}" || inside != `{"a":{"b":{}}}` {
		t.Errorf("%s and %s", got, inside)
	}
}

func TestFloatsHaveNoExponent(t *testing.T) {
	for value, want := range map[float64]string{0: `{"n":0}`, 26.2: `{"n":26.2}`, 1e-7: `{"n":0.0000001}`, 1e22: `{"n":10000000000000000000000}`} {
		var o jsontext.Object
		o.Float("n", value)
		if got := string(o.JSON()); got != want {
			t.Errorf("%g is written as %s", value, got)
		}
	}
}

func TestReadString(t *testing.T) {
	for _, tt := range []struct {
		value, want string
		ok          bool
	}{
		{`"a\u00e9\n"`, "aé\n", true},
		{"\"a\xff\\ud800\"", "a\ufffd\ufffd", true},
		{`""`, "", true},
		{`null`, "before", true},
		{`7`, "", false},
		{`{"a":"b"}`, "", false},
		{``, "", false},
	} {
		got := "before"
		if ok := jsontext.ReadString([]byte(tt.value), &got); ok != tt.ok || got != tt.want {
			t.Errorf("ReadString(%s) is %t and sets %q", tt.value, ok, got)
		}
	}
}

// The numbers are those that encoding/json reads as well.
func TestReadNumbers(t *testing.T) {
	for _, value := range []string{
		"0", "-0", "7", "-7", "null", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
		"18446744073709551615", "18446744073709551616", "1.0", "1e3", `"7"`, "true", "{}",
	} {
		signed, unsigned, wantSigned, wantUnsigned := int64(3), uint64(3), int64(3), uint64(3)
		err := json.Unmarshal([]byte(value), &wantSigned)
		if ok := jsontext.ReadInt([]byte(value), &signed); ok != (err == nil) || ok && signed != wantSigned {
			t.Errorf("ReadInt(%s) is %t and sets %d, want %d, %v", value, ok, signed, wantSigned, err)
		}
		err = json.Unmarshal([]byte(value), &wantUnsigned)
		if ok := jsontext.ReadUint([]byte(value), &unsigned); ok != (err == nil) || ok && unsigned != wantUnsigned {
			t.Errorf("ReadUint(%s) is %t and sets %d, want %d, %v", value, ok, unsigned, wantUnsigned, err)
		}
	}
}

func TestIsObject(t *testing.T) {
	deep := strings.Repeat("[", jsontext.MaxDepth) + strings.Repeat("]", jsontext.MaxDepth)
	for text, want := range map[string]bool{
		`{}`: true, " {\n\"a\" : 1 }\t": true, `{"a":` + deep + `}`: true, `{"a":[` + deep + `]}`: false,
		``: false, `null`: false, `[]`: false, `"{}"`: false, `{} {}`: false, `{"a":1`: false, `{"a":1,}`: false, "{\"a\":\"\n\"}": false, `{"a\x":1}`: false, `{"a":"\u12"}`: false,
	} {
		if jsontext.IsObject([]byte(text)) != want {
			t.Errorf("IsObject(%.40q) is not %t", text, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := jsontexttest.Value(3).Draw(t, "value")
		if at := rapid.IntRange(0, len(text)).Draw(t, "removed byte"); at < len(text) {
			text = text[:at] + text[at+1:]
		}
		var object map[string]json.RawMessage
		want := json.Unmarshal([]byte(text), &object) == nil && object != nil
		if got := jsontext.IsObject([]byte(text)); got != want {
			t.Fatalf("IsObject(%s) is %t", text, got)
		}
	})
}
