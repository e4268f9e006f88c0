package config

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kinetel/kinetel/internal/redact"
)

// Redaction is what must not leave the sandbox.
type Redaction struct {
	Names    []string       // of built-in patterns
	Pattern  *regexp.Regexp // nil: none
	Keys     []string       // names of JSON members
	Unusable bool           // a setting of redaction cannot be used: no function or extension line may leave
}

const (
	platformOnly = "KINETEL_TYPES=platform"
	unshipped    = "; until you correct it, no function or extension line is shipped"
)

// Each name is compared with each member of a JSON line.
const (
	maxRedactKeys = 64
	maxRedactKey  = 128 // bytes
)

func (l *loader) redaction(r *Redaction) {
	const names, pattern, keys = "KINETEL_REDACT", "KINETEL_REDACT_PATTERN", "KINETEL_REDACT_KEYS"
	before := len(l.problems)
	if v := l.text(names); !isOff(v) {
		var unknown string
		if r.Names, unknown = chosen(strings.ReplaceAll(v, "_", "-"), redact.Names()...); unknown != "" || v != "" && len(r.Names) == 0 {
			l.unusable(names, "%s is not a built-in pattern; must be a comma-separated list of %s", l.quote(names, unknown), or(redact.Names()))
		}
	}
	var problem string
	if r.Pattern, problem = l.pattern(pattern); r.Pattern != nil && !matchesText(r.Pattern) {
		problem = "matches only the empty text; must match what is to be redacted"
	}
	if problem != "" {
		l.unusable(pattern, "%s", problem)
	} else if r.Pattern != nil {
		r.Pattern.Longest() // of |secret, the first alternative would always match
	}
	var wrong int
	if r.Keys, wrong = valid(elements(l.text(keys)), maxRedactKeys, parseMember); wrong > 0 || l.text(keys) != "" && len(r.Keys) == 0 {
		l.unusable(keys, "element %d cannot be used; must be a comma-separated list of at most %d names of JSON members, each of at most %d bytes and without blanks, quotes, brackets and :=&+/*?", max(wrong, 1), maxRedactKeys, maxRedactKey)
	}
	r.Unusable = len(l.problems) > before
}

// unusable adds a problem with a setting of redaction. It fails safe: what the setting
// would have redacted must not leave.
func (l *loader) unusable(name, format string, args ...any) {
	l.replaced(name, platformOnly, format+unshipped, args...)
}

// matchesText reports whether a pattern matches characters, and not only the empty text.
func matchesText(pattern *regexp.Regexp) bool {
	tree, err := syntax.Parse(pattern.String(), syntax.Perl)
	if err != nil {
		return false
	}
	program, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return false
	}
	for i := range program.Inst {
		if program.Inst[i].Op >= syntax.InstRune { // which reads a character
			return true
		}
	}
	return false
}

// parseMember parses the name of a JSON member. A text with the separators of another
// notation of lists is more likely such a list: as a name it would match nothing, and
// the values would leave.
func parseMember(key string) (string, bool) {
	return key, len(key) <= maxRedactKey && utf8.ValidString(key) && !strings.HasPrefix(key, "$") && !strings.HasPrefix(key, ".") && !strings.ContainsFunc(key, func(c rune) bool {
		return strings.ContainsRune(";|[]{}()<>\"'`“”‘’:=&+/*?\\，", c) || unicode.IsControl(c) || unicode.IsSpace(c)
	})
}
