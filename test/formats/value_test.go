package formats

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// valueOf reads JSON, with numbers as they are written. Bytes that are no UTF-8
// become U+FFFD, and of members of the same name the last one counts.
func valueOf(t testing.TB, text []byte) (v any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%v in %s", err, clip(text))
	}
	return v
}

// differ describes where a value that other software has read is another one; empty:
// nowhere. Readers have numbers as 64-bit floats, and make one U+FFFD or several
// of bytes that are no UTF-8.
func differ(want, got any) string {
	ok := false
	switch want := want.(type) {
	case json.Number:
		ok = sameNumber(want.String(), got)
	case string:
		switch got := got.(type) {
		case string:
			ok = validUTF8(got) == validUTF8(want)
		case []byte: // only what is no text
			ok = !utf8.Valid(got) && validUTF8(string(got)) == validUTF8(want)
		}
	case map[string]any:
		got, is := got.(map[string]any)
		if !is || !slices.Equal(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))) {
			break
		}
		for name := range want {
			if diff := differ(want[name], got[name]); diff != "" {
				return name + ": " + diff
			}
		}
		return ""
	case []any:
		got, is := got.([]any)
		if !is || len(got) != len(want) {
			break
		}
		for i := range want {
			if diff := differ(want[i], got[i]); diff != "" {
				return strconv.Itoa(i) + ": " + diff
			}
		}
		return ""
	default: // true, false, null
		ok = want == got
	}
	if ok {
		return ""
	}
	return fmt.Sprintf("%s, want %s", clip(fmt.Appendf(nil, "%T %v", got, got)), clip(fmt.Appendf(nil, "%T %v", want, want)))
}

func sameNumber(want string, got any) bool {
	switch got := got.(type) {
	case int64:
		n, err := strconv.ParseInt(want, 10, 64)
		return err == nil && n == got
	case json.Number:
		f, err := got.Float64()
		return err == nil && sameNumber(want, f)
	case float64:
		f, err := strconv.ParseFloat(want, 64)
		return err == nil && f == got
	}
	return false
}

// validUTF8 has one U+FFFD for each piece of text that is not UTF-8.
func validUTF8(text string) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	for strings.Contains(text, "\ufffd\ufffd") {
		text = strings.ReplaceAll(text, "\ufffd\ufffd", "\ufffd")
	}
	return text
}
