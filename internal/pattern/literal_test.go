package pattern_test

import (
	"regexp"
	"testing"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/pattern"
)

func TestMayMatchLooksForTheTextOfEachMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		may           bool
	}{
		{`\bACME-[0-9]{6}\b`, "nothing of theirs", false},
		{`\bACME-[0-9]{6}\b`, "ACME-12", true},
		{`^GET /(health|ready)$`, "POST /health", false},
		{`(?i)acme`, "nothing", true},
		{`a|b`, "nothing", true},
		{`(order)+`, "a customer", false},
		{`(order){2,}x*`, "a customer", false},
		{`(order){0,2}`, "a customer", true},
		{`(order)*`, "a customer", true},
		{`(order)?`, "a customer", true},
		{"\ufffd+a", "\xffa", true},
		{``, "", true},
	} {
		m := pattern.New(regexp.MustCompile(tt.pattern))
		if got := m.MayMatch([]byte(tt.text)); got != tt.may {
			t.Errorf("%s may match %q: %t", tt.pattern, tt.text, got)
		}
	}
	if m := pattern.New(nil); m.MayMatch([]byte("a")) || m.Match(nil) {
		t.Error("no pattern matches")
	}
}

func TestMatchIsThatOfTheRegularExpression(t *testing.T) {
	texts := rapid.StringOf(rapid.SampledFrom([]rune("abAB1 \ufffd.")))
	rapid.Check(t, func(t *rapid.T) {
		text := append([]byte(texts.Draw(t, "text")), rapid.SampledFrom([]string{"", "\xff", "\xffa"}).Draw(t, "bytes")...)
		re, err := regexp.Compile(rapid.StringMatching(`(\(?[ab1\x{fffd}]{1,3}\)?[*+?|]?|\[ab\]|\(\?i\)|\^|\$|\\b|\{1,2\}){1,5}`).Draw(t, "pattern"))
		if err != nil {
			return
		}
		m := pattern.New(re)
		if got, want := m.Match(text), re.Match(text); got != want {
			t.Fatalf("%s matches %q: %t, want %t", re, text, got, want)
		}
	})
}
