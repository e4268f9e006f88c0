package config

import (
	"cmp"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Redaction is what must not leave the sandbox.
type Redaction struct {
	Names    []string       // of built-in patterns
	Pattern  *regexp.Regexp // nil: none
	Keys     []string       // names of JSON members
	Unusable bool           // a setting of redaction cannot be used: no function or extension line may leave
}

// redactions are the names of the built-in patterns.
func redactions() []string {
	return []string{"email", "credit-card", "aws-key", "jwt", "ipv4", "ipv6", "phone", "iban", "bearer", "password-in-url"}
}

// Each name is compared with each member of a JSON line.
const (
	maxRedactKeys = 64
	maxRedactKey  = 128 // bytes
)

func (l *loader) redaction() (r Redaction) {
	const names, pattern, keys = "KINETEL_REDACT", "KINETEL_REDACT_PATTERN", "KINETEL_REDACT_KEYS"
	// A setting that cannot be used fails safe: what it would have redacted must not leave.
	unusable := func(name, format string, args ...any) {
		r.Unusable = true
		l.replaced(name, "KINETEL_TYPES=platform", format+"; until you correct it, no function or extension line is shipped", args...)
	}

	if v := l.text(names); !isOff(v) {
		var unknown string
		r.Names, unknown = chosen(strings.ReplaceAll(v, "_", "-"), redactions()...)
		if unknown != "" {
			unusable(names, "%s is not a built-in pattern; must be a comma-separated list of %s", l.quote(names, unknown), or(redactions()))
		}
	}

	var problem string
	if r.Pattern, problem = l.pattern(pattern); problem == "" && r.Pattern != nil && !matchesText(r.Pattern) {
		problem = "matches only the empty text; must match what is to be redacted"
	}
	if problem != "" {
		unusable(pattern, "%s", problem)
	}

	wrong := 0
	for i, key := range elements(l.text(keys)) {
		switch {
		case slices.ContainsFunc(r.Keys, func(one string) bool { return strings.EqualFold(one, key) }):
		case len(r.Keys) == maxRedactKeys || len(key) > maxRedactKey || !isMember(key):
			wrong = cmp.Or(wrong, i+1)
		default:
			r.Keys = append(r.Keys, key)
		}
	}
	if wrong > 0 {
		unusable(keys, "element %d cannot be used; must be a comma-separated list of at most %d names of JSON members, each of at most %d bytes, without blanks, quotes and brackets", wrong, maxRedactKeys, maxRedactKey)
	}
	return r
}

// matchesText reports whether a pattern can match more than the empty text.
func matchesText(pattern *regexp.Regexp) bool {
	tree, err := syntax.Parse(pattern.String(), syntax.Perl)
	if err != nil {
		return false
	}
	program, err := syntax.Compile(tree.Simplify())
	return err == nil && slices.ContainsFunc(program.Inst, func(i syntax.Inst) bool {
		return i.Op >= syntax.InstRune // an instruction that reads a character
	})
}

// isMember reports whether a text can be the name of a JSON member. A text with
// separators of other notations of a list is more likely such a list: as a name it
// would match nothing, and the values would leave.
func isMember(key string) bool {
	return utf8.ValidString(key) && !strings.ContainsAny(key, ";|[]{}\"'") && !strings.ContainsFunc(key, func(c rune) bool { return unicode.IsControl(c) || unicode.IsSpace(c) })
}
