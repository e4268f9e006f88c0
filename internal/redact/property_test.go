package redact_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/jsontext/jsontexttest"
	"github.com/kinetel/kinetel/internal/redact"
	"github.com/kinetel/kinetel/internal/testkit"
)

// secrets are values of each pattern, and what must not be left of them.
var secrets = []struct{ value, original string }{
	{"jane.doe@example.com", "jane.doe"},
	{"4111111111111111", "4111111111111111"},
	{"5555 5555 5555 4444", "5555 4444"},
	{"AKIAIOSFODNN7EXAMPLE", "IOSFODNN7"},
	{"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "c2lnbmF0dXJl"},
	{"203.0.113.77", "203.0.113.77"},
	{"2001:db8::7a11", "2001:db8"},
	{"+14155552671", "4155552671"},
	{"DE89370400440532013000", "3704004405"},
	{"Bearer 0pensesame1", "0pensesame1"},
	{"postgres://app:xyzzy1@db/x", "xyzzy1"},
	{"ACME-123456", "123456"},
	{"password=swordfish;", "swordfish"},
	{"{ secret: 'swordfish', a: 1 }", "swordfish"},
}

// number is a secret that may be a JSON number, too.
const number = "4111111111111111"

func everything() *redact.Redactor {
	return redact.New(redact.Options{Names: redact.Names(), Keys: []string{"password", "Secret"}, Pattern: regexp.MustCompile(`ACME-[0-9]{6}`)})
}

// quote returns text as a JSON string, with characters escaped at random.
func quote(t *rapid.T, text string) string {
	escape := rapid.IntRange(0, 3).Draw(t, "escape")
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range text {
		switch {
		case c < ' ' || c == '"' || c == '\\' || escape == 3 || escape == 2 && rapid.Bool().Draw(t, "this"):
			if c == '"' && rapid.Bool().Draw(t, "short") {
				b.WriteString(`\"`)
			} else if c > 0xffff {
				b.WriteRune(c)
			} else {
				fmt.Fprintf(&b, `\u%04x`, c)
			}
		case c == '/' && escape == 1:
			b.WriteString(`\/`)
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// text draws a text with secrets between words, or JSON with secrets.
func text(t *rapid.T, levels int) string {
	if levels > 0 && rapid.IntRange(0, 2).Draw(t, "nested") == 0 {
		return rapid.SampledFrom([]string{"", "INFO\t", "2026-11-27 got: "}).Draw(t, "before") + value(t, levels-1, levels-1)
	}
	var b strings.Builder
	for range rapid.IntRange(0, 4).Draw(t, "words") {
		if rapid.Bool().Draw(t, "secret") {
			b.WriteString(rapid.SampledFrom(secrets).Draw(t, "value").value)
		} else {
			b.WriteString(rapid.SampledFrom([]string{"order", "17", "at 12:30:45", "\"é\"", "😀", "8476a536-e9f4-11e8-9739-2dfe598c3fcd", `C:\temp`, "x=1"}).Draw(t, "word"))
		}
		b.WriteString(rapid.SampledFrom([]string{" ", "\n", "\t", "\ufffd "}).Draw(t, "between"))
	}
	return b.String()
}

// value draws a JSON value with secrets in its strings, names and numbers. Strings may
// have JSON in them.
func value(t *rapid.T, depth, levels int) string {
	switch what := rapid.IntRange(0, 6).Draw(t, "what"); {
	case what == 0:
		return rapid.SampledFrom([]string{"1", "null", number, "-2.5e3"}).Draw(t, "literal")
	case what < 4 || depth == 0:
		return quote(t, text(t, levels))
	case what == 4:
		var all []string
		for range rapid.IntRange(0, 3).Draw(t, "elements") {
			all = append(all, value(t, depth-1, levels))
		}
		return "[" + strings.Join(all, ", ") + "]"
	}
	var all []string
	for range rapid.IntRange(0, 3).Draw(t, "members") {
		if rapid.IntRange(0, 3).Draw(t, "key") == 0 {
			name := quote(t, rapid.SampledFrom([]string{"password", "SECRET", "Password"}).Draw(t, "name"))
			secret := rapid.SampledFrom([]string{`"swordfish"`, `{"a":"swordfish\\\" x"}`, `["swordfish",{"b":"swordfish"}]`, `"a \" swordfish"`}).Draw(t, "secret")
			all = append(all, name+rapid.SampledFrom([]string{":", " : "}).Draw(t, "colon")+secret)
			continue
		}
		all = append(all, quote(t, text(t, 0))+":"+value(t, depth-1, levels))
	}
	return "{" + strings.Join(all, ",") + "}"
}

// checkClean checks that a text has no original, as it is and with its escapes decoded.
func checkClean(t *rapid.T, before, after []byte) {
	for range 8 {
		for _, s := range secrets {
			if bytes.Contains(after, []byte(s.original)) {
				t.Fatalf("%q is left of\n%s\nin\n%s", s.original, before, after)
			}
		}
		after = jsontext.AppendUnescape(nil, after, -1)
	}
}

func TestNothingIsLeftOfASecret(t *testing.T) {
	r := everything()
	testkit.Checks(t, 100)
	rapid.Check(t, func(t *rapid.T) {
		before := []byte(value(t, 3, rapid.IntRange(0, 3).Draw(t, "levels")))
		if !json.Valid(before) {
			t.Fatalf("%s is no JSON", before)
		}
		after := bytes.Clone(r.Record(before))
		if !json.Valid(after) {
			t.Fatalf("%s\nbecomes\n%s", before, after)
		}
		checkClean(t, before, after)
		if again := r.Record(after); !bytes.Equal(again, after) {
			t.Fatalf("%s\nbecomes\n%s\nand then\n%s", before, after, again)
		}
		// The same as text: the last level may be beyond the bound.
		line := []byte("got " + value(t, 2, 2))
		plain := bytes.Clone(r.Text(line))
		checkClean(t, line, plain)
		if again := r.Text(plain); !bytes.Equal(again, plain) {
			t.Fatalf("%s\nbecomes\n%s\nand then\n%s", line, plain, again)
		}
	})
}

// JSON in a string stays JSON, up to maxLevels.
func TestJSONInAStringStaysJSON(t *testing.T) {
	r := redact.New(redact.Options{Names: redact.Names(), Keys: []string{"password", "a"}, Pattern: regexp.MustCompile(`[0-9]{9,}`)})
	word := rapid.SampledFrom([]string{"password: ", "password=", "password='", `password="`, `password={`, "password=[", `password=\`, "a:", "https://u:", "p@h.com", "Bearer ", "+4930", "jane@example.com", "\n", " ", "]", "}", "'", `"`, `\`, "é", "b", "12", number, "::1", "(b'"})
	str := rapid.Custom(func(t *rapid.T) string {
		return quote(t, strings.Join(rapid.SliceOfN(word, 0, 4).Draw(t, "words"), " "))
	})
	literal := rapid.SampledFrom([]string{number, "123456789", "-" + number, "1", "true", "null", `""`, "[]", "{}"})
	space := rapid.SampledFrom([]string{"", " ", "\n"})
	// nest draws an object or an array. A string in it may contain another one.
	var nest func(t *rapid.T, levels int) string
	nest = func(t *rapid.T, levels int) string {
		var all []string
		isObject := rapid.Bool().Draw(t, "object")
		for range rapid.IntRange(1, 4).Draw(t, "members") {
			v := rapid.OneOf(str, literal).Draw(t, "value")
			if levels > 0 && rapid.Bool().Draw(t, "nested") {
				v = quote(t, nest(t, levels-1))
			}
			if isObject {
				name := rapid.OneOf(str, rapid.SampledFrom([]string{`"password"`, `"x"`, `"a"`})).Draw(t, "name")
				v = name + ":" + space.Draw(t, "space") + v
			}
			all = append(all, v)
		}
		brackets := "[]"
		if isObject {
			brackets = "{}"
		}
		return brackets[:1] + strings.Join(all, ","+space.Draw(t, "space")) + brackets[1:] + space.Draw(t, "space")
	}
	testkit.Checks(t, 200)
	rapid.Check(t, func(t *rapid.T) {
		depth := rapid.IntRange(0, 4).Draw(t, "depth")
		before := nest(t, min(2, 4-depth))
		for range depth {
			before = quote(t, before)
		}
		after := bytes.Clone(r.Record([]byte(before)))
		if again := r.Record(after); !bytes.Equal(again, after) {
			t.Fatalf("%s\nbecomes\n%s\nand then\n%s", before, after, again)
		}
		checkNested(t, []byte(before), after)
	})
}

// checkNested checks that after is JSON if before is, and so are the strings in them.
// Strings that are not at the same place in both are not compared.
func checkNested(t *rapid.T, before, after []byte) {
	var was, is any
	if json.Unmarshal(before, &was) != nil {
		return
	}
	if err := json.Unmarshal(after, &is); err != nil {
		t.Fatalf("%s\nbecomes\n%s\n%v", before, after, err)
	}
	switch was := was.(type) {
	case string:
		is, ok := is.(string)
		if ok && strings.ContainsAny(was[:min(1, len(was))], "{[\"") {
			checkNested(t, []byte(was), []byte(is))
		}
	case []any:
		is, ok := is.([]any)
		for i := range was {
			if !ok || len(is) != len(was) {
				t.Fatalf("%s\nbecomes\n%s", before, after)
			}
			checkParts(t, was[i], is[i])
		}
	case map[string]any:
		is, _ := is.(map[string]any)
		for name := range was {
			if v, ok := is[name]; ok {
				checkParts(t, was[name], v)
			}
		}
	}
}

// checkParts is checkNested for values that are decoded.
func checkParts(t *rapid.T, before, after any) {
	if after == "[redacted:key]" {
		return
	}
	was, _ := json.Marshal(before)
	is, _ := json.Marshal(after)
	checkNested(t, was, is)
}

// A record without escapes is searched as a whole first; with a pattern of the user's own
// it never is.
func TestTheFirstLookMissesNothing(t *testing.T) {
	keys := []string{"password", "a"}
	fast := redact.New(redact.Options{Names: redact.Names(), Keys: keys})
	slow := redact.New(redact.Options{Names: redact.Names(), Keys: keys, Pattern: regexp.MustCompile(`never \x00 found`)})
	var fragments []string
	for i := range references {
		fragments = append(fragments, references[i].fragments...)
	}
	fragment := rapid.SampledFrom(fragments)
	piece := rapid.OneOf(rapid.SampledFrom([]string{`":"`, `":"`, `","`, `"`, `{"`, `"}`, `":[`, `],"`, `":`, `,"`, "\n:", `"a"`, "password", "secretAccessKey", " ", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}), fragment, rapid.Map(rapid.SampledFrom(secrets[:11]), func(s struct{ value, original string }) string { return s.value }))
	testkit.Checks(t, 500)
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(piece, 0, 12).Draw(t, "pieces"), "")
		if rapid.Bool().Draw(t, "whole") {
			text = value(t, 3, 0)
		} else if object := `{"` + text + `"}`; json.Valid([]byte(object)) {
			text = object
		}
		got, want := fast.Record([]byte(text)), slow.Record([]byte(text))
		if json.Valid([]byte(text)) && !bytes.Equal(got, want) {
			t.Fatalf("%s\nbecomes\n%s\nand, string by string,\n%s", text, got, want)
		}
	})
}

func TestATextThatIsCutIsClean(t *testing.T) {
	r := redact.New(redact.Options{Keys: []string{"password", "secret"}})
	rapid.Check(t, func(t *rapid.T) {
		line := `{"password":` + rapid.SampledFrom([]string{`"opensesame and more"`, `{"a":["opensesame",{"b":"opensesame"}]}`, `["opensesame"]`}).Draw(t, "value") + "}"
		for range rapid.IntRange(0, 2).Draw(t, "levels") {
			line = quote(t, line)
		}
		cut := rapid.IntRange(0, len(line)).Draw(t, "cut")
		after := r.Text([]byte(line[:cut]))
		for range 4 {
			if bytes.Contains(after, []byte("open")) {
				t.Fatalf("%q becomes %q", line[:cut], after)
			}
			after = jsontext.AppendUnescape(nil, after, -1)
		}
	})
}

func TestWithoutASecretTheArgumentIsReturned(t *testing.T) {
	r := everything()
	testkit.Checks(t, 100)
	rapid.Check(t, func(t *rapid.T) {
		before := []byte(jsontexttest.Value(3).Draw(t, "value"))
		for _, do := range []func([]byte) []byte{r.Record, r.Platform, r.Text, r.Unparsed} {
			if after := do(before); !bytes.Equal(after, before) || &after[0] != &before[0] {
				t.Fatalf("%s becomes %s", before, after)
			}
		}
	})
	if len(r.Counts()) > 0 {
		t.Errorf("counts are %v", r.Counts())
	}
}

func TestNamesOfAnObjectStayDifferent(t *testing.T) {
	r := everything()
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,3}@example\.(com|de)|[a-z]{1,3}|to [a-c]@b\.cc`), 1, 8, rapid.ID[string]).Draw(t, "names")
		object := map[string]int{}
		for i, name := range names {
			object[name] = i
		}
		before, _ := json.Marshal(object)
		var after map[string]int
		if err := json.Unmarshal(r.Record(before), &after); err != nil || len(after) != len(object) {
			t.Fatalf("%s becomes %v, %v", before, after, err)
		}
	})
}

func FuzzRedact(f *testing.F) {
	for _, s := range secrets {
		f.Add([]byte(s.value))
		f.Add(jsontext.AppendQuote(nil, jsontext.AppendQuote(nil, s.value)))
		f.Add([]byte(`{"password":"` + s.value + `","a":[` + number + `,"\ud800` + s.value + "\xff\"]}"))
	}
	f.Add([]byte(`"time":"x","record":{"password":`))
	f.Add([]byte(`"\ud800jane@example.com\udc00" "\\\\u0040" password="\" C:\users\jane@example.com`))
	r := everything()
	f.Fuzz(func(t *testing.T, b []byte) {
		original := bytes.Clone(b)
		after := bytes.Clone(r.Record(b))
		if json.Valid(b) && !json.Valid(after) {
			t.Fatalf("%s\nbecomes\n%s", b, after)
		}
		if members := append(append([]byte("{"), b...), '}'); json.Valid(members) {
			if after := append(append([]byte("{"), r.Members(b)...), '}'); !json.Valid(after) {
				t.Fatalf("the members %s become %s", b, after)
			}
		}
		if platform := r.Platform(b); json.Valid(b) && !json.Valid(platform) {
			t.Fatalf("%s\nbecomes, of a platform event,\n%s", b, platform)
		}
		r.Text(b)
		if unparsed := r.Unparsed(b); bytes.Contains(b, []byte(`"record":`)) && len(unparsed) > bytes.Index(b, []byte(`"record":`))*8+64 {
			t.Fatalf("%q becomes %q", b, unparsed)
		}
		if !bytes.Equal(b, original) {
			t.Fatalf("%q was changed to %q", original, b)
		}
	})
}
