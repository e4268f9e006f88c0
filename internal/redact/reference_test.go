package redact_test

import (
	"math/big"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/redact"
)

// A reference says what a pattern has to match and what it may match, slowly.
type reference struct {
	name string
	// must matches what has to be found if blanks are around it, and accepts says yes.
	must    *regexp.Regexp
	accepts func(string) bool
	// may reports whether a text may be replaced.
	may func(string) bool
	// fragments are what texts are made of, beside blanks.
	fragments []string
}

func matches(pattern string) func(string) bool {
	return regexp.MustCompile(`^(?:` + pattern + `)$`).MatchString
}
func anything(string) bool { return true }

func digitsOf(text string) string {
	return strings.Join(regexp.MustCompile(`[0-9]+`).FindAllString(text, -1), "")
}

// luhn reports whether the last digit is right.
func luhn(text string) bool {
	double := [10]int{0, 2, 4, 6, 8, 1, 3, 5, 7, 9}
	sum := 0
	number := digitsOf(text)
	for i := range len(number) {
		if n := int(number[i] - '0'); (len(number)-i)%2 == 0 {
			sum += double[n]
		} else {
			sum += n
		}
	}
	return sum%10 == 0
}

// mod97 reports whether an IBAN is right.
func mod97(text string) bool {
	text = strings.ReplaceAll(text, " ", "")
	var digits strings.Builder
	for _, c := range text[4:] + text[:4] {
		if c >= 'A' {
			digits.WriteString(big.NewInt(int64(c - 'A' + 10)).String())
		} else {
			digits.WriteRune(c)
		}
	}
	n, _ := new(big.Int).SetString(digits.String(), 10)
	return n.Mod(n, big.NewInt(97)).Int64() == 1
}

func isAddress(bits int) func(string) bool {
	return func(text string) bool {
		a, err := netip.ParseAddr(text)
		return err == nil && a.BitLen() == bits
	}
}

var references = []reference{
	{
		"email", regexp.MustCompile(`[a-z0-9]+(?:[._+-][a-z0-9]+)*@(?:[a-z][a-z0-9]+\.)+[a-z]{2,10}`), func(s string) bool { return !strings.HasPrefix(s, "git@") },
		matches(`(?:[^\s@"<>(),:;]+(?:@|%40)[^\s@"]+\.(?:[^\s@.]{2,}|[^\x00-\x7f]))+`),
		[]string{"jane", "joe", "@", "@", ".", "example", "com", "de", "-", "+", "_", "%40", "git", "2x", "1", "é", "ü", "'", "xn--a", ":", "/", "jane@example.com", "\xff"},
	}, {
		"credit-card", regexp.MustCompile(`4[0-9]{12}(?:[0-9]{3}){0,2}|5[1-5][0-9]{14}|3[47][0-9]{13}|6011[0-9]{12}|3[68][0-9]{12}|(?:4[0-9]{3}|5[1-5][0-9]{2})([ -])[0-9]{4} ?-?[0-9]{4} ?-?[0-9]{4}`),
		func(s string) bool {
			return luhn(s) && (!strings.Contains(s, "-") || !strings.Contains(s, " ")) && len(s) < 20 && !(strings.ContainsAny(s, " -") && len(s) != 19)
		},
		func(s string) bool {
			return luhn(s) && matches(`[2-68][0-9]{3,}(?:[ -]?[0-9]{3,})*(?:[ -][0-9]+)?`)(s) && len(digitsOf(s)) >= 13 && len(digitsOf(s)) <= 19
		},
		[]string{"4111", "1111", "1111", "-", " ", "4111111111111111", "378282246310005", "5555555555554444", "6011", "3530111333300000", "30569309025904", "0", "1", "42", ".", "a", "_", "4012888888881881"},
	}, {
		"aws-key", regexp.MustCompile(`(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}`), anything,
		matches(`(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}`),
		[]string{"AKIA", "ASIA", "AROA", "A", "K", "IOSFODNN7EXAMPLE", "IOSFODNN", "7EXAMPLE", "7", "a", "_", "-", "=", "AKIAIOSFODNN7EXAMPLE"},
	}, {
		"jwt", regexp.MustCompile(`eyJ[A-Za-z0-9_-]{9,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*`), anything,
		matches(`eyJ[A-Za-z0-9_-]{9,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_.-]*`),
		[]string{"eyJ", "eyJ", "hbGciOiJIUzI1NiJ9", ".", ".", ".", "c2ln", "a", "-", "_", "=", "/", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "e", "y", "J"},
	}, {
		"ipv4", regexp.MustCompile(`[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+`), isAddress(32), isAddress(32),
		[]string{"1", "10", "0", "255", "256", "01", ".", ".", ".", "10.0.0.1", "a", "-", "_", "/", ":", "192.168.1.7", "x/9.0.0.0"},
	}, {
		"ipv6", regexp.MustCompile(`[0-9a-f:]*:[0-9a-f:]*`), func(s string) bool {
			return isAddress(128)(s) && strings.ContainsAny(s, "0123456789") && !matches(`(?:[0-9a-f]{2}:){7}[0-9a-f]{2}`)(s)
		},
		func(s string) bool { // an embedded IPv4 address may have a port, which is joined with it if it looks like an address
			for end := len(s); end > 0; end-- {
				if isAddress(128)(s[:end]) && (end == len(s) || strings.Contains(s[:end], ".")) {
					return true
				}
			}
			return false
		},
		[]string{"1", "10", "fe80", "::", "::", ":", ":", ":", "db8", "2001:db8::1", "a", "g", "02", "10.0.0.1", ".", "%eth0", "[", "]", "_", "12345", "1:2:3:4:5:6:7:8"},
	}, {
		"phone", regexp.MustCompile(`\+[1-9][0-9]{7,14}|[2-9][0-9]{2}([.-])[2-9][0-9]{2}[.-][0-9]{4}`), func(s string) bool { return !strings.Contains(s, ".") || !strings.Contains(s, "-") },
		func(s string) bool {
			n := len(digitsOf(s))
			return matches(`[+(]?[0-9][0-9 ()./-]*[0-9]`)(s) && n >= 8 && n <= 60
		},
		[]string{"+", "+1", "+49", "415", "555", "2671", "030", "(030)", "(415)", "123456", "-", "-", ".", " ", "/", "0049", "0171", "06", "12", "a", ":", "+14155552671", "_", "1"},
	}, {
		"iban", regexp.MustCompile(`[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}`), func(s string) bool {
			length := map[string]int{"DE": 22, "GB": 22, "NO": 15, "FR": 27, "MT": 31}[s[:2]]
			return length == len(s) && mod97(s)
		},
		func(s string) bool { return matches(`[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}`)(s) && mod97(s) },
		[]string{"DE", "GB", "NO", "89", "3704", "0044", "0532", "0130", "00", " ", "DE89370400440532013000", "GB29NWBK60161331926819", "DE89 3704 0044 0532 0130 00", "NO9386011117947", "A", "a", "-", "1"},
	}, {
		"bearer", regexp.MustCompile(`(?i:bearer) (?P<v>[A-Za-z0-9._~+/=-]{23,}[A-Za-z0-9])`), anything,
		matches(`[A-Za-z0-9._~+/=-]+`),
		[]string{"Bearer", "bearer", " ", " ", "Basic", "BASIC", "dXNlcjpwYXNz", "abcdefgh", "12345678", "a", "=", ".", "authorization", "Authorization:", ":", "token", "abcdefghijklmnopqrstuvwxyz"},
	}, {
		"password-in-url", regexp.MustCompile(`[a-z]+://[a-z0-9]*:(?P<v>[a-z]+[a-z0-9]*)@[a-z]+`), anything,
		matches(`[^\s"'<>]+`),
		[]string{"http", "a", "://", "://", ":", "@", "@", "user", "secret1", "host", "8080", "/", "?", "#", "[", "http://user:secret1@host", "'"},
	},
}

// check compares what a pattern finds in a text with its reference.
func (ref *reference) check(t interface{ Fatalf(string, ...any) }, text string) {
	found := redact.New(redact.Options{Names: []string{ref.name}}).Found([]byte(text))
	value := max(ref.must.SubexpIndex("v"), 0)
	for _, word := range wordsOf(ref.must, text) {
		start, end := word[2*value], word[2*value+1]
		if !ref.accepts(text[word[0]:word[1]]) {
			continue
		}
		ok := false
		for _, f := range found {
			ok = ok || f[0] <= start && f[1] >= end
		}
		if !ok {
			t.Fatalf("%s: %q in %q is not found, only %v", ref.name, text[start:end], text, found)
		}
	}
	if strings.Contains(text, `\`) || !utf8.ValidString(text) {
		return // what was found may be behind an escape, or longer so that no character is cut
	}
	for _, f := range found {
		if part := text[f[0]:f[1]]; !ref.may(part) {
			t.Fatalf("%s: %q in %q is found", ref.name, part, text)
		}
	}
}

// wordsOf returns the matches that have blanks around them, or an end of the text. A
// match may have blanks in it.
func wordsOf(pattern *regexp.Regexp, text string) (words [][]int) {
	whole := regexp.MustCompile(`^(?:` + pattern.String() + `)(?: |$)`)
	for start := range text {
		if start > 0 && text[start-1] != ' ' {
			continue
		}
		if m := whole.FindStringSubmatchIndex(text[start:]); m != nil {
			for i := range m {
				m[i] += start
			}
			m[1] = start + len(strings.TrimSuffix(text[start:m[1]], " "))
			words = append(words, m)
		}
	}
	return words
}

func TestPatternsMatchTheirReferences(t *testing.T) {
	for i := range references {
		ref := &references[i]
		t.Run(ref.name, func(t *testing.T) {
			fragment := rapid.SampledFrom(append([]string{" ", " "}, ref.fragments...))
			rapid.Check(t, func(t *rapid.T) {
				ref.check(t, strings.Join(rapid.SliceOfN(fragment, 0, 14).Draw(t, "fragments"), ""))
			})
		})
	}
}

func FuzzPatterns(f *testing.F) {
	for i := range references {
		f.Add(strings.Join(references[i].fragments, ""))
		f.Add(strings.Join(references[i].fragments, " "))
	}
	f.Fuzz(func(t *testing.T, text string) {
		for i := range references {
			references[i].check(t, text)
		}
	})
}
