package kinesissim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/kinetel/kinetel/internal/jsontext"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// walk reads a value with the functions under test, and its leaves with encoding/json. It
// omits members that are null: to Kinesis they are absent.
func walk(v value) (any, error) {
	switch v[0] {
	case '{':
		all := map[string]any{}
		return all, v.fields(func(name string, v value) (err error) {
			all[name], err = walk(v)
			return err
		})
	case '[':
		all := []any{}
		return all, v.elements(func(v value) error {
			one, err := walk(v)
			all = append(all, one)
			return err
		})
	default:
		if !json.Valid(v) {
			return nil, fmt.Errorf("%q is not one value", []byte(v))
		}
		var leaf any
		if err := json.Unmarshal(v, &leaf); err != nil {
			return json.Number(v), nil // too large for a float64
		}
		return leaf, nil
	}
}

func withoutNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, one := range v {
			if one == nil {
				delete(v, k)
				continue
			}
			v[k] = withoutNulls(one)
		}
	case []any:
		for i := range v {
			v[i] = withoutNulls(v[i])
		}
	}
	return v
}

func anyJSON(depth int) *rapid.Generator[any] {
	leaves := []*rapid.Generator[any]{
		rapid.Just[any](nil), rapid.Bool().AsAny(), rapid.Float64Range(-1e9, 1e9).AsAny(), rapid.String().AsAny(),
		rapid.SampledFrom([]string{`\`, `"`, `\\"`, `{"`, `]`, "\u2028", ","}).AsAny(),
	}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	return rapid.OneOf(append(leaves,
		rapid.SliceOfN(anyJSON(depth-1), 0, 4).AsAny(),
		rapid.MapOfN(rapid.String(), anyJSON(depth-1), 0, 4).AsAny())...)
}

func TestPropertyWalkerReadsJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text, err := json.Marshal(anyJSON(4).Draw(t, "value"))
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "with space") {
			var b bytes.Buffer
			if err := json.Indent(&b, text, "\r\n", "\t "); err != nil {
				t.Fatal(err)
			}
			text = b.Bytes()
		}
		var want any
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		got, err := walk(text)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(withoutNulls(want), withoutNulls(got)); diff != "" {
			t.Fatalf("%s: (-want +got)\n%s", text, diff)
		}
	})
}

// FuzzWalker searches for JSON whose end the functions do not find.
func FuzzWalker(f *testing.F) {
	for _, seed := range []string{`{}`, `[]`, `{"a":[{"b":"\\\""},1,null]}`, ` { "x" : "y" , "z":[ ] } `, `"\\"`, `-1.5e3`, `1E700`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !valid(text) {
			t.Skip("not JSON")
		}
		start := jsontext.SkipSpace(text, 0)
		end := endOfValue(text, start)
		if rest := jsontext.SkipSpace(text, end); rest != len(text) {
			t.Fatalf("the value ends at %d of %d", end, len(text))
		}
		if _, err := walk(text[start:end]); err != nil {
			if failure, ok := err.(*apiError); !ok || failure.kind != "SerializationException" {
				t.Fatal(err)
			}
		}
	})
}
