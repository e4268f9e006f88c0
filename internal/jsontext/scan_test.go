package jsontext

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/jsontext/jsontexttest"
)

// isValue reports by the scanner what json.Valid reports: that b is one JSON value
// with nothing but white space around it.
func isValue(b []byte) bool {
	end, err := SkipValue(b, SkipSpace(b, 0))
	return err == nil && SkipSpace(b, end) == len(b)
}

// depth gives how deep objects and arrays are nested in a text, counting each
// brace and bracket outside strings, whether the text is JSON or not.
func depth(b []byte) int {
	most, now, inString := 0, 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			now++
			most = max(most, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return most
}

var valuesByHand = []string{
	"null", "true", "false", "0", "-0", "1", "-1", "10", "1.5", "-0.25", "1e5", "1E5", "1e+5", "1e-5", "1.25e10", "123456789012345678901234567890",
	`""`, `"a"`, `"\""`, `"\\"`, `"\/\b\f\n\r\t"`, `"\u0000"`, `"\uD83D\ude00"`, `"\ud83d"`, "\"\x7f\"", `"é世😀"`, `"{[,]}:"`, `"\\\""`,
	"[]", "[ ]", "[1]", "[1,2]", "[ 1 , 2 ]", "[[],[]]", `["a",{},[],null]`, "[\t\r\n]", "[[[[]]]]", "[-1,-2]",
	"{}", "{ }", `{"a":1}`, `{"a":1,"a":2}`, `{"":""}`, `{ "a" : [ { } ] , "b" : null }`, `{"a":{"b":{"c":[1,{"d":[]}]}}}`, `{"a\"b":"c\\"}`,
	" 1 ", "\n{}\r\n", "\t[]\t",
}

var noValuesByHand = []string{
	"", " ", "nul", "nulll", "Null", "tru", "truE", "fals", "falsey", "undefined", "NaN", "Infinity",
	"01", "-", "-a", "+1", ".5", "1.", "1.e5", "1e", "1e+", "1e+a", "00", "-01", "0x10", "1_000", "--1", "1 2", "1.5.5", "1e5e5",
	`"`, `"a`, `a"`, `"\`, `"\"`, `"\x"`, `"\u"`, `"\u12"`, `"\u12g4"`, `"\u 123"`, "\"\n\"", "\"\x00\"", "\"\x1f\"", "'a'", `"a""b"`, `"\U0041"`,
	"[", "]", "[,", "[,]", "[1,]", "[1", "[1 2]", "[1}", "[1:2]", "[[]", "[]]", "[1,,2]", "[\"a\":1]", "[}",
	"{", "}", "{,}", `{"a"`, `{"a"}`, `{"a":`, `{"a":}`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{"a":1]`, `{1:2}`, `{a:1}`, `{"a" 1}`, `{"a":1 "b":2}`, `{"a":1,,"b":2}`, `{"a":1;"b":2}`, `{]`, `{"a":1}}`, `{"a"::1}`,
	"\ufeff1", "/* */1", "1//", "\v1", "\u00a01", "1\x00",
}

func TestScannerAgreesWithEncodingJSON(t *testing.T) {
	for _, text := range valuesByHand {
		if !json.Valid([]byte(text)) {
			t.Fatalf("%q is listed as a value and is none", text)
		}
		if !isValue([]byte(text)) {
			t.Errorf("the scanner refuses %q", text)
		}
	}
	for _, text := range noValuesByHand {
		if json.Valid([]byte(text)) {
			t.Fatalf("%q is listed as no value and is one", text)
		}
		if isValue([]byte(text)) {
			t.Errorf("the scanner accepts %q", text)
		}
	}
}

func TestScannerStopsWhereTheValueEnds(t *testing.T) {
	for _, value := range valuesByHand {
		value = strings.TrimSpace(value)
		for _, behind := range []string{" ", ",", "]", "}", "\n", ",{", " garbage"} {
			const before = "before "
			end, err := SkipValue([]byte(before+value+behind), len(before))
			if err != nil || end != len(before)+len(value) {
				t.Errorf("%q followed by %q: ends at %d with %v, want %d", value, behind, end, err, len(before)+len(value))
			}
		}
	}
}

func TestScannerDistinguishesCutFromBadText(t *testing.T) {
	cut := []string{
		"", "[", "[ ", "[1", "[1,", "[1, ", "{", `{"`, `{"a`, `{"a"`, `{"a" `, `{"a":`, `{"a": `, `{"a":1`, `{"a":1,`, `{"a":1, `, `{"a":[{`,
		`"`, `"a`, `"\`, `"\u`, `"\u1`, `"\u12`, `"\u123`, `"\u1234`, "\"\xf0\x9f", "-", "1.", "1e", "1e-", "t", "tru", "fals", "n", "[nul", `{"a":-`,
	}
	for _, text := range cut {
		if end, err := SkipValue([]byte(text), 0); !errors.Is(err, ErrCut) || end != len(text) {
			t.Errorf("%q: ends at %d with %v, want ErrCut at %d", text, end, err, len(text))
		}
	}
	invalid := []string{
		"]", "}", ",", ":", "a", "+1", "[,", "[1,]", "[1 2", "[1}", `{"a":1]`, `{"a":1,}`, `{"a":1 "`, "{1", "{,", `{"a",`, `{"a"}`, `{"a":}`,
		"\"\n", `"\x`, `"\u12g`, `"\uz`, "-a", "1.a", "1ea", "1e+a", "01", "trua", "falsE", "nil", "\x00", "\x80", "\"\x1f",
	}
	for _, text := range invalid {
		if _, err := SkipValue([]byte(text), 0); !errors.Is(err, ErrBad) {
			t.Errorf("%q: %v, want ErrBad", text, err)
		}
		// Invalid text stays invalid, whatever follows it.
		for _, behind := range []string{`"`, `"}]`, "}", "]", "1", " "} {
			if text == "01" {
				break // invalid as a number of two digits, not because of what follows
			}
			if _, err := SkipValue([]byte(text+behind), 0); !errors.Is(err, ErrBad) {
				t.Errorf("%q: %v, want ErrBad", text+behind, err)
			}
		}
	}
}

func TestScannerAcceptsEveryByteAboveASCIIInAString(t *testing.T) {
	for c := 0x80; c <= 0xff; c++ {
		text := []byte{'"', byte(c), '"'}
		if end, err := SkipValue(text, 0); err != nil || end != 3 {
			t.Errorf("%q: ends at %d with %v", text, end, err)
		}
		if _, err := SkipValue([]byte{byte(c)}, 0); !errors.Is(err, ErrBad) {
			t.Errorf("byte %#x outside a string: %v, want ErrBad", c, err)
		}
	}
}

func TestScannerLimitsDepth(t *testing.T) {
	nested := func(n int, open, middle, closing string) []byte {
		return []byte(strings.Repeat(open, n) + middle + strings.Repeat(closing, n))
	}
	for _, shape := range []struct{ name, open, middle, closing string }{
		{"arrays", "[", "1", "]"},
		{"objects", `{"a":`, "1", "}"},
		{"empty arrays", "[", "", "]"},
	} {
		t.Run(shape.name, func(t *testing.T) {
			if b := nested(MaxDepth, shape.open, shape.middle, shape.closing); !isValue(b) {
				t.Errorf("%d deep is refused", MaxDepth)
			}
			if _, err := SkipValue(nested(MaxDepth+1, shape.open, shape.middle, shape.closing), 0); !errors.Is(err, ErrBad) {
				t.Errorf("%d deep: %v, want ErrBad", MaxDepth+1, err)
			}
		})
	}
	// What is closed again does not count, and no level forgets its kind.
	wide := []byte("[" + strings.Repeat(`[{"a":[{}]}],`, 3000) + "1]")
	if !isValue(wide) {
		t.Error("a wide value is refused")
	}
	// Objects and arrays in turn, over every element of the bit set.
	turns := []byte(strings.Repeat(`{"a":[`, MaxDepth/2) + strings.Repeat("]}", MaxDepth/2))
	if !isValue(turns) {
		t.Error("objects and arrays by turns are refused")
	}
	for i := range MaxDepth / 2 {
		crossed := []byte(strings.Repeat(`{"a":[`, MaxDepth/2) + strings.Repeat("]}", i) + "}]" + strings.Repeat("]}", MaxDepth/2-i-1))
		if isValue(crossed) {
			t.Fatalf("brackets crossed at level %d are accepted", i)
		}
	}
}

func TestScannerFindsTheEndOfAnyValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := jsontexttest.Value(3).Draw(t, "value")
		if !json.Valid([]byte(value)) {
			t.Fatalf("the generator drew %q", value)
		}
		if end, err := SkipValue([]byte(value+",1"), 0); err != nil || end != len(value) {
			t.Fatalf("%q ends at %d with %v", value, end, err)
		}
	})
}

func TestEveryPrefixOfAValueIsCut(t *testing.T) {
	check := func(value string) error {
		for n := range len(value) {
			if end, err := SkipValue([]byte(value[:n]), 0); !errors.Is(err, ErrCut) || end != n {
				return fmt.Errorf("%q, which is %q cut, ends at %d with %v, want ErrCut at %d", value[:n], value, end, err, n)
			}
		}
		return nil
	}
	for _, value := range valuesByHand {
		if value = strings.TrimSpace(value); strings.ContainsRune(`{["`, rune(value[0])) {
			if err := check(value); err != nil {
				t.Error(err)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		value := jsontexttest.Value(3).Filter(func(s string) bool { return strings.ContainsRune(`{["`, rune(s[0])) }).Draw(t, "value")
		if err := check(value); err != nil {
			t.Fatal(err)
		}
	})
}

// checkScan compares the scanner with encoding/json for one text.
func checkScan(t interface{ Fatalf(string, ...any) }, b []byte) {
	end, err := SkipValue(b, 0)
	switch {
	case end < 0 || end > len(b):
		t.Fatalf("%q: index %d is outside", b, end)
	case err == nil && depth(b[:end]) <= MaxDepth && !json.Valid(b[:end]):
		t.Fatalf("%q is accepted as a value", b[:end])
	case errors.Is(err, ErrCut) && json.Valid(b):
		t.Fatalf("%q is called cut", b)
	case err != nil && !errors.Is(err, ErrCut) && !errors.Is(err, ErrBad):
		t.Fatalf("%q: error %v", b, err)
	}
	if !utf8.Valid(b) || depth(b) > MaxDepth {
		return // the two differences that are meant
	}
	if got, want := isValue(b), json.Valid(b); got != want {
		t.Fatalf("%q: the scanner returns %v, encoding/json %v", b, got, want)
	}
}

func TestScannerAgreesWithEncodingJSONOnBrokenValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := []byte(jsontexttest.Value(3).Draw(t, "value"))
		for range rapid.IntRange(1, 4).Draw(t, "changes") {
			at := rapid.IntRange(0, len(b)).Draw(t, "at")
			switch piece := rapid.SampledFrom([]string{"", `"`, `\`, "{", "}", "[", "]", ",", ":", "0", "-", "e", ".", " ", "\n", "\x00", "u", "t", "null"}).Draw(t, "piece"); {
			case piece == "" && at < len(b):
				b = append(b[:at:at], b[at+1:]...)
			default:
				b = append(append(b[:at:at], piece...), b[at:]...)
			}
		}
		checkScan(t, b)
	})
}

func FuzzScanValue(f *testing.F) {
	for _, texts := range [][]string{valuesByHand, noValuesByHand} {
		for _, text := range texts {
			f.Add([]byte(text))
		}
	}
	f.Add([]byte("\"\xff\xfe\""))
	f.Add([]byte(strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1)))
	f.Fuzz(func(t *testing.T, b []byte) { checkScan(t, b) })
}

// With the line around it, no value is deeper than Jackson reads by default.
func TestTheLimitIsWithinThatOfJackson(t *testing.T) {
	const jackson, around = 1000, 1
	if MaxDepth+around > jackson {
		t.Errorf("values of %d levels are accepted", MaxDepth)
	}
}
