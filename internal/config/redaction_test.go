package config_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/config"
)

func sixtyFourMembers() (names []string) {
	for i := range 64 {
		names = append(names, fmt.Sprint("member", i))
	}
	return names
}

func TestRedaction(t *testing.T) {
	names := func(list ...string) func(*config.Config) { return func(c *config.Config) { c.Redaction.Names = list } }
	keys := func(list ...string) func(*config.Config) { return func(c *config.Config) { c.Redaction.Keys = list } }
	sixtyFour := sixtyFourMembers()
	check(t, []row{
		{name: "none", set: vars{"KINETEL_REDACT": "none", "KINETEL_REDACT_PATTERN": "", "KINETEL_REDACT_KEYS": " "}, want: names()},
		{name: "off", set: vars{"KINETEL_REDACT": "Off"}, want: names()},
		{name: "one", set: vars{"KINETEL_REDACT": "email"}, want: names("email")},
		{name: "some, twice, in other spellings", set: vars{"KINETEL_REDACT": " Emails; credit_card,AWS-keys, email"}, want: names("email", "credit-card", "aws-key")},
		{name: "all", set: vars{"KINETEL_REDACT": "email,credit-card,aws-key,jwt,ipv4,ipv6,phone,iban,bearer,password-in-url"}, want: names(
			"email", "credit-card", "aws-key", "jwt", "ipv4", "ipv6", "phone", "iban", "bearer", "password-in-url")},
		{name: "a pattern", set: vars{"KINETEL_REDACT_PATTERN": `(?i)cust-\d+`}, want: func(c *config.Config) { c.Redaction.Pattern = regexp.MustCompile(`(?i)cust-\d+`) }},
		{name: "a pattern that also matches the empty text", set: vars{"KINETEL_REDACT_PATTERN": `\d*`}, want: func(c *config.Config) { c.Redaction.Pattern = regexp.MustCompile(`\d*`) }},
		{name: "a pattern for any character", set: vars{"KINETEL_REDACT_PATTERN": `.`}, want: func(c *config.Config) { c.Redaction.Pattern = regexp.MustCompile(`.`) }},
		{name: "keys", set: vars{"KINETEL_REDACT_KEYS": "password, Authorization,,password,x-api.key,größe,"}, want: keys("password", "Authorization", "x-api.key", "größe")},
		{name: "as many keys as there may be", set: vars{"KINETEL_REDACT_KEYS": strings.Join(sixtyFour, ",") + ",member0"}, want: keys(sixtyFour...)},
		{name: "the longest key", set: vars{"KINETEL_REDACT_KEYS": strings.Repeat("k", 128)}, want: keys(strings.Repeat("k", 128))},
	})
}

func TestRedactionThatCannotBeUsedFailsSafe(t *testing.T) {
	const pattern = "must be a regular expression of Go (RE2), without lookaround and backreferences: "
	for _, tt := range []struct{ name, variable, value, text string }{
		{"an unknown name", "KINETEL_REDACT", "emial", `"emial" is not a built-in pattern; must be a comma-separated list of email, credit-card, aws-key`},
		{"an unknown name beside a known one", "KINETEL_REDACT", "email,ssn", `"ssn" is not`},
		{"none and a name", "KINETEL_REDACT", "none,email", `"none" is not`},
		{"switched on", "KINETEL_REDACT", "true", `"true" is not`},
		{"a pattern that is cut off", "KINETEL_REDACT_PATTERN", "(cust", pattern + `missing closing ): "(cust"`},
		{"a lookbehind", "KINETEL_REDACT_PATTERN", "(?<=id )[0-9]+", pattern},
		{"a pattern that is too large", "KINETEL_REDACT_PATTERN", "a{1001}", pattern + `invalid repeat count: "{1001}"`},
		{"a pattern of the empty text", "KINETEL_REDACT_PATTERN", "^$", "matches only the empty text; must match what is to be redacted"},
		{"no repetition", "KINETEL_REDACT_PATTERN", "a{0}", "matches only the empty text"},
		{"a boundary", "KINETEL_REDACT_PATTERN", `\b(|$)`, "matches only the empty text"},
		{"a key that is too long", "KINETEL_REDACT_KEYS", "a," + strings.Repeat("k", 129), "element 2 cannot be used; must be a comma-separated list of at most 64 names of JSON members, each of at most 128 bytes"},
		{"too many keys", "KINETEL_REDACT_KEYS", strings.Join(sixtyFourMembers(), ",") + ",last", "element 65 cannot be used; must be a comma-separated list of at most 64"},
		{"a key that is not UTF-8", "KINETEL_REDACT_KEYS", "a\xff", "element 1 cannot be used"},
		{"a control character", "KINETEL_REDACT_KEYS", "ab,c\x01d", "element 2 cannot be used"},
		{"a JSON array", "KINETEL_REDACT_KEYS", `["password","pin"]`, "element 1 cannot be used"},
		{"another separator", "KINETEL_REDACT_KEYS", "pin;puk", "element 1 cannot be used"},
		{"blanks", "KINETEL_REDACT_KEYS", "pin puk", "without blanks"},
		{"lines", "KINETEL_REDACT_KEYS", "pin\npuk", "without blanks"},
		{"no name", "KINETEL_REDACT", ",", "is not a built-in pattern"},
		{"no key", "KINETEL_REDACT_KEYS", " , ", "element 1 cannot be used"},
		{"a path in JSONPath", "KINETEL_REDACT_KEYS", "$.password", "element 1 cannot be used"},
		{"a path in jq", "KINETEL_REDACT_KEYS", ".password", "element 1 cannot be used"},
		{"a wildcard", "KINETEL_REDACT_KEYS", "pin,pass*", "element 2 cannot be used"},
		{"a pattern for keys", "KINETEL_REDACT_KEYS", "/password/i", "element 1 cannot be used"},
		{"a key with a colon", "KINETEL_REDACT_KEYS", "password:authorization", "element 1 cannot be used"},
		{"a key with an equals sign", "KINETEL_REDACT_KEYS", "password=", "element 1 cannot be used"},
		{"typographic quotes", "KINETEL_REDACT_KEYS", "“password”,pin", "element 1 cannot be used"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, strict := range []string{"true", "false"} {
				c, problems := load(lambda().with(vars{tt.variable: tt.value, "KINETEL_STRICT": strict}).environ())
				if !c.Redaction.Unusable {
					t.Error("redaction is usable")
				}
				if len(problems) != 1 || problems[0].Severity != config.Replaced {
					t.Fatalf("problems are %v, want one value that is replaced", problems)
				}
				const unshipped = "; until you correct it, no function or extension line is shipped"
				p := problems[0]
				if p.Variable != tt.variable || p.Used != "KINETEL_TYPES=platform" || !strings.Contains(p.Message, tt.text) || !strings.HasSuffix(p.Message, unshipped) {
					t.Errorf("problem is %+v, want one of %s with the text %q", p, tt.variable, tt.text)
				}
			}
		})
	}
}

// What can be used of it still applies to what is shipped.
func TestRedactionThatCannotBeUsedInPart(t *testing.T) {
	c, problems := load(lambda().with(vars{"KINETEL_REDACT": "email,ssn", "KINETEL_REDACT_PATTERN": "(", "KINETEL_REDACT_KEYS": "pin,{"}).environ())
	want := config.Redaction{Names: []string{"email"}, Keys: []string{"pin"}, Unusable: true}
	if diff := cmp.Diff(want, c.Redaction, byText()); diff != "" || len(problems) != 3 {
		t.Errorf("problems are %v, and Redaction (-want +got):\n%s", problems, diff)
	}
}

// The user wanted to redact something, and it is not known what.
func TestAMisspelledVariableOfRedactionFailsSafe(t *testing.T) {
	for variable, meant := range map[string]string{
		"KINETEL_REDACT_KEY":       "KINETEL_REDACT_KEYS",
		"KINETEL_REDACT_PATERN":    "KINETEL_REDACT_PATTERN",
		"KINETEL_REDACTS":          "KINETEL_REDACT",
		"KINETEL_REDCAT":           "KINETEL_REDACT",
		"KINETEL_REDACTION":        "",
		"KINETEL_REDACT_REQUESTS":  "KINETEL_REDACT",
		"KINETEL_REDACT_SOMETHING": "KINETEL_REDACT",
		"KINETEL_PATTERN_REDACT":   "",
		"KINETEL_Redact":           "",
		"kinetel_redact_keys":      "",
		"KINTEL_REDACT":            "",
		"KINETELREDACT":            "",
	} {
		c, problems := load(lambda().with(vars{variable: "value-of-it"}).environ())
		if !c.Redaction.Unusable || len(problems) != 1 || problems[0].Severity != config.Replaced || problems[0].Used != "KINETEL_TYPES=platform" || problems[0].Variable != variable {
			t.Errorf("%s: Redaction is %+v with problems %+v", variable, c.Redaction, problems)
			continue
		}
		text := problems[0].String()
		if !strings.Contains(text, "no function or extension line is shipped") || strings.Contains(text, "value-of-it") || meant != "" && !strings.Contains(text, "did you mean "+meant+"?") {
			t.Errorf("problem %q, want one that means %s", text, meant)
		}
		c, problems = load(lambda().with(vars{variable: ""}).environ())
		if c.Redaction.Unusable || len(problems) != 1 || problems[0].Severity != config.Warning {
			t.Errorf("%s is empty: Redaction is %+v with problems %+v", variable, c.Redaction, problems)
		}
	}
	for _, variable := range []string{"KINETEL_REPRT", "KINETEL_RETRY", "KINETEL_REGION"} {
		if c, problems := load(lambda().with(vars{variable: "x"}).environ()); c.Redaction.Unusable || len(problems) != 1 {
			t.Errorf("%s: Redaction is %+v with problems %+v", variable, c.Redaction, problems)
		}
	}
}

// The first alternative must not hide the others.
func TestAPatternMatchesAsMuchAsItCan(t *testing.T) {
	for _, pattern := range []string{"|secret", "(secret)??", `\b|secret`} {
		c, problems := load(lambda().with(vars{"KINETEL_REDACT_PATTERN": pattern}).environ())
		if c.Redaction.Pattern == nil || len(problems) > 0 {
			t.Errorf("%s: problems are %v", pattern, problems)
			continue
		}
		found := false
		for _, m := range c.Redaction.Pattern.FindAllString("a secret", -1) {
			found = found || m == "secret"
		}
		if !found {
			t.Errorf("%s does not find the secret", pattern)
		}
	}
}

// A variable of something else that redacts is not Kinetel's.
func TestVariablesOfOthersAreNotOurs(t *testing.T) {
	for _, variable := range []string{"DD_REDACT_KEYS", "REDACT", "KINESIS_REDACT", "MY_REDACTION", "OTEL_REDACT"} {
		if c, problems := load(lambda().with(vars{variable: "x"}).environ()); c.Redaction.Unusable || len(problems) > 0 {
			t.Errorf("%s: %+v, problems %v", variable, c.Redaction, problems)
		}
	}
}
