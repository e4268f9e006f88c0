package jsontext_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/jsontext"
)

// read returns the names and values of an object, or the values of an array, as one
// text, and how the iteration ended.
func read(it jsontext.Iterator) (all string, end int, err error) {
	var b strings.Builder
	for it.Next() {
		if it.Name != nil {
			b.WriteString(string(it.Name) + "=")
		}
		b.WriteString(string(it.Value) + ";")
	}
	return b.String(), it.End, it.Err
}

func TestIteratorReadsObjectsAndArrays(t *testing.T) {
	for _, tt := range []struct {
		name, text, want string
		err              error
		rest             string // the text after the end
	}{
		{"an empty object", `{}`, ``, nil, ``},
		{"an empty object with white space", " {\n} ,", ``, nil, ` ,`},
		{"an empty array", `[ ]`, ``, nil, ``},
		{"members", `{"a":1,"b":"x","c":[{}]}`, `a=1;b="x";c=[{}];`, nil, ``},
		{"elements", `[1,"x",{"a":[]}]`, `1;"x";{"a":[]};`, nil, ``},
		{"white space everywhere", " { \"a\" :\t1 ,\r\n\"b\" : [ 2 ] } ", `a=1;b=[ 2 ];`, nil, ` `},
		{"an escape in a name", `{"a\"b":1}`, `a\"b=1;`, nil, ``},
		{"backslashes before a quote", `{"a":"\\","b":"\\\"","c":"\\\\"}`, `a="\\";b="\\\"";c="\\\\";`, nil, ``},
		{"an empty name", `{"":""}`, `="";`, nil, ``},
		{"text after the end", `{"a":1} {"b":2}`, `a=1;`, nil, ` {"b":2}`},

		{"nothing", ``, ``, jsontext.ErrCut, ``},
		{"cut after the opening brace", `{ `, ``, jsontext.ErrCut, ``},
		{"cut in a name", `{"a":1,"b`, `a=1;`, jsontext.ErrCut, ``},
		{"cut after a name", `{"a":1,"b" `, `a=1;`, jsontext.ErrCut, ``},
		{"cut before a value", `{"a":1,"b":`, `a=1;`, jsontext.ErrCut, ``},
		{"cut in a string", `{"a":1,"b":"x`, `a=1;`, jsontext.ErrCut, ``},
		{"cut in a nested value", `{"a":1,"b":[{"c":2}`, `a=1;`, jsontext.ErrCut, ``},
		{"cut after a value", `{"a":1`, `a=1;`, jsontext.ErrCut, ``},
		{"cut after a comma", `[1,`, `1;`, jsontext.ErrCut, ``},

		{"a string", `"a"`, ``, jsontext.ErrBad, `"a"`},
		{"a comma after the last member", `{"a":1,}`, `a=1;`, jsontext.ErrBad, `}`},
		{"a comma after the last element", `[1,]`, `1;`, jsontext.ErrBad, `]`},
		{"no comma between members", `{"a":1 "b":2}`, `a=1;`, jsontext.ErrBad, `"b":2}`},
		{"no colon", `{"a" 1}`, ``, jsontext.ErrBad, `1}`},
		{"no name", `{1:2}`, ``, jsontext.ErrBad, `1:2}`},
		{"the other bracket", `{"a":1]`, `a=1;`, jsontext.ErrBad, `]`},
		{"a comma first", `[,1]`, ``, jsontext.ErrBad, `,1]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			iterate := jsontext.Members
			if strings.HasPrefix(tt.text, "[") {
				iterate = jsontext.Elements
			}
			for _, check := range []bool{false, true} {
				it := iterate([]byte(tt.text))
				it.CheckStrings = check
				got, end, err := read(it)
				if got != tt.want || !errors.Is(err, tt.err) || tt.text[end:] != tt.rest {
					t.Errorf("with CheckStrings %t: %s, %v, then %q", check, got, err, tt.text[end:])
				}
			}
		})
	}
	if _, _, err := read(jsontext.Members([]byte(`[1]`))); !errors.Is(err, jsontext.ErrBad) {
		t.Errorf("Members of an array: %v", err)
	}
	if _, _, err := read(jsontext.Elements([]byte(`{"a":1}`))); !errors.Is(err, jsontext.ErrBad) {
		t.Errorf("Elements of an object: %v", err)
	}
}

func TestIteratorChecksStringsOnlyIfAsked(t *testing.T) {
	for _, text := range []string{"{\"a\":\"x\ny\",\"b\":1}", `{"a\x":"\z","b":1}`, `{"a":"\u12","b":1}`} {
		it := jsontext.Members([]byte(text))
		if got, _, err := read(it); err != nil || !strings.HasSuffix(got, ";b=1;") {
			t.Errorf("%q without CheckStrings: %s, %v", text, got, err)
		}
		it.CheckStrings = true
		if got, _, err := read(it); got != "" || !errors.Is(err, jsontext.ErrBad) {
			t.Errorf("%q with CheckStrings: %s, %v", text, got, err)
		}
	}
}

func TestIteratorReturnsWhereAMemberIs(t *testing.T) {
	text := []byte(`{ "a" : 1 , "b":[ 2 ]}`)
	var got []string
	for m := jsontext.Members(text); m.Next(); {
		got = append(got, string(text[m.Start:m.End]))
	}
	if all := strings.Join(got, ";"); all != `"a" : 1;"b":[ 2 ]` {
		t.Errorf("members are at %s", all)
	}
}

func TestIteratorDoesNotAllocate(t *testing.T) {
	text := []byte(`{"a":"x","b":{"c":[1,2]},"d":[{"e":null},"f"]}`)
	n := testing.AllocsPerRun(100, func() {
		for m := jsontext.Members(text); m.Next(); {
			for e := jsontext.Elements(m.Value); e.Next(); {
				_ = e.Value
			}
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestMember(t *testing.T) {
	for _, tt := range []struct{ object, want string }{
		{`{"a":1,"b":2}`, `2`},
		{`{"b":1,"b":{"b":3}}`, `{"b":3}`},
		{`{"a":{"b":1}}`, ``},
		{`["b"]`, ``},
		{``, ``},
	} {
		if got := jsontext.Member([]byte(tt.object), "b"); string(got) != tt.want {
			t.Errorf("b of %s is %s", tt.object, got)
		}
	}
}

// FuzzIterator compares what Iterator and AppendUnquote read with what encoding/json
// reads.
func FuzzIterator(f *testing.F) {
	for _, seed := range []string{
		`{"a":1}`, ` { "a\u00e9" : "\ud83d\ude00" , "b\"":[1,{"c":null}],"":-1.5e3} `, `{"a":"x","a":"\ud800"}`, `{"a":1,}`,
		`[1,"a\tb",[],{}]`, `[ ]`, `[1,2`, "[\"\xff\"]", `["\/\b\f\n\r\t\\\""]`, `[1]]`, `{"a":tru`, `"a"`, `{}`, `[,]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		it := jsontext.Members(text)
		if trimmed := bytes.TrimLeft(text, " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
			it = jsontext.Elements(text)
		}
		unchecked := it
		it.CheckStrings = true
		got, end, err := read(it)
		whole := err == nil && jsontext.SkipSpace(text, end) == len(text)

		want, isOne := readByEncodingJSON(text)
		if isOne && bytes.Count(text, []byte("{"))+bytes.Count(text, []byte("[")) > jsontext.MaxDepth {
			t.Skip("may be nested too deeply")
		}
		if whole != isOne || isOne && got != want {
			t.Fatalf("%q is read as %s, %v, and by encoding/json as %s, %t", text, got, err, want, isOne)
		}
		if again, _, err := read(unchecked); whole && (again != got || err != nil) {
			t.Fatalf("%q without CheckStrings is read as %s, %v", text, again, err)
		}
		for it.Next() {
			checkUnquote(t, it.Value)
		}
	})
}

// readByEncodingJSON is read by means of encoding/json. It reports whether text is one
// object or array.
func readByEncodingJSON(text []byte) (all string, ok bool) {
	if !json.Valid(text) {
		return "", false
	}
	d := json.NewDecoder(bytes.NewReader(text))
	opening, err := d.Token()
	if delim, isDelim := opening.(json.Delim); err != nil || !isDelim || delim == '}' || delim == ']' {
		return "", false
	}
	var b strings.Builder
	for d.More() {
		if opening == json.Delim('{') {
			from := d.InputOffset()
			if _, err := d.Token(); err != nil {
				return "", false
			}
			name := bytes.Trim(text[from:d.InputOffset()], ", \t\r\n") // with its quotes
			b.WriteString(string(name[1:len(name)-1]) + "=")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return "", false
		}
		b.WriteString(string(value) + ";")
	}
	return b.String(), true
}

// checkUnquote compares AppendUnquote with encoding/json.
func checkUnquote(t *testing.T, value []byte) {
	t.Helper()
	got, ok := jsontext.AppendUnquote([]byte("before"), value)
	if ok != (value[0] == '"') || !bytes.HasPrefix(got, []byte("before")) {
		t.Fatalf("%q is unquoted as %q, %t", value, got, ok)
	}
	if !ok {
		return
	}
	var want string
	if err := json.Unmarshal(value, &want); err != nil {
		t.Fatalf("encoding/json cannot read %q: %v", value, err)
	}
	// encoding/json replaces bytes that are not UTF-8.
	if text := string([]rune(string(got[len("before"):]))); text != want {
		t.Fatalf("%q is unquoted as %q, by encoding/json as %q", value, text, want)
	}
}
