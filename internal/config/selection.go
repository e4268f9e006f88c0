package config

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"github.com/kinetel/kinetel/internal/event"
)

// Selection selects which events are shipped.
type Selection struct {
	Level          event.Severity // function lines below it are left out; SeverityUnknown: none is
	Include        *regexp.Regexp // function lines that it does not match are left out; nil: none is
	Exclude        *regexp.Regexp // function lines that it matches are left out; nil: none is
	PlatformEvents []string       // the types to ship, such as platform.report; nil: all
	Sample         *Sample        // nil: all invocations are shipped
	MaxLines       int64          // of an invocation; 0: no limit
	MaxBytes       int64          // of the records of an invocation's lines, redacted; 0: no limit
}

// Waits reports whether lines wait until their invocation ends.
func (s *Selection) Waits() bool { return s.Sample != nil || s.MaxLines > 0 || s.MaxBytes > 0 }

func (l *loader) selection(c *Config) {
	s := &c.Selection
	s.Level = l.leastSeverity()
	s.Include = l.filter("KINETEL_INCLUDE")
	s.Exclude = l.filter("KINETEL_EXCLUDE")
	s.PlatformEvents = l.platformEvents()
	s.Sample = l.sample()
	s.MaxLines = l.limit("KINETEL_MAX_LINES", "a whole number of lines, such as 1000", parseCount)
	s.MaxBytes = l.limit("KINETEL_MAX_BYTES", "a size in B, KiB or MiB, such as 1MiB", parseSize)
	if !slices.Contains(c.Types, "function") {
		l.noEffect("function in KINETEL_TYPES", "KINETEL_LEVEL KINETEL_INCLUDE KINETEL_EXCLUDE KINETEL_SAMPLE KINETEL_MAX_LINES KINETEL_MAX_BYTES")
	}
	if s.Sample == nil {
		l.noEffect("a KINETEL_SAMPLE below 1", "KINETEL_SAMPLE_KEEP KINETEL_SAMPLE_BY KINETEL_SAMPLE_MARK")
	}
}

// noEffect warns about those of the variables that are set.
func (l *loader) noEffect(without, variables string) {
	for _, name := range strings.Fields(variables) {
		if l.text(name) != "" {
			l.warning(name, "has no effect without %s", without)
		}
	}
}

func (l *loader) leastSeverity() event.Severity {
	const name = "KINETEL_LEVEL"
	v := strings.ToLower(l.text(name))
	if v == "" || v == "all" || isOff(v) {
		return event.SeverityUnknown
	}
	s := parseSeverity(v)
	if s == event.SeverityUnknown {
		l.replaced(name, "none", "must be trace, debug, info, warn, error, fatal or none")
	}
	return s
}

// parseSeverity returns the severity for a word in small letters.
func parseSeverity(word string) event.Severity {
	for i, words := range [...]string{"trace verbose", "debug", "info information informational", "warn warning", "error err", "fatal critical panic"} {
		if slices.Contains(strings.Fields(words), word) {
			return event.Trace + event.Severity(i)
		}
	}
	return event.SeverityUnknown
}

// filter returns the pattern of a variable, or nil if there is none that can be used.
func (l *loader) filter(name string) *regexp.Regexp {
	pattern, problem := l.pattern(name)
	if problem != "" {
		l.replaced(name, "no pattern", "%s", problem)
	}
	return pattern
}

// pattern compiles a variable's value, or returns what is wrong with it.
func (l *loader) pattern(name string) (pattern *regexp.Regexp, problem string) {
	v := l.text(name)
	if v == "" {
		return nil, ""
	}
	pattern, err := regexp.Compile(v)
	if err == nil {
		return pattern, ""
	}
	problem = "must be a regular expression of Go (RE2), without lookaround and backreferences"
	if wrong := (*syntax.Error)(nil); errors.As(err, &wrong) {
		problem += ": " + wrong.Code.String() + ": " + l.quote(name, wrong.Expr)
	}
	return nil, problem
}

// platformEvents returns the types of platform events to ship, or nil for all.
// platform.logsDropped is always one of them, because it reports a loss.
func (l *loader) platformEvents() []string {
	const name = "KINETEL_PLATFORM_EVENTS"
	words := splitNames(l.text(name))
	if len(words) == 0 {
		return nil
	}
	known := strings.Fields("logsDropped initStart initRuntimeDone initReport restoreStart restoreRuntimeDone restoreReport start runtimeDone report fault extension telemetrySubscription")
	types, unknown := known[:1:1], ""
	for _, word := range words {
		if prefix, rest, ok := strings.Cut(word, "."); ok && strings.EqualFold(prefix, "platform") {
			word = rest
		}
		i := slices.IndexFunc(known, func(one string) bool { return strings.EqualFold(one, word) })
		switch {
		case i >= 0:
			word = known[i]
		case strings.EqualFold(word, "all"):
			return nil
		case isOff(word):
			continue
		default:
			unknown = word
		}
		if !slices.Contains(types, word) {
			types = append(types, word)
		}
	}
	if unknown != "" {
		l.warning(name, "%s is not a type that Kinetel knows; it is selected nevertheless, because Lambda adds types; known are all, none, %s", l.quote(name, unknown), strings.Join(known, ", "))
	}
	for i := range types {
		types[i] = "platform." + types[i]
	}
	return types
}

// limit returns a limit of an invocation, or 0 if there is none.
func (l *loader) limit(name, valid string, parse func(string) (int64, bool)) int64 {
	v := l.text(name)
	if v == "" || isOff(v) {
		return 0
	}
	n, ok := parse(v)
	if !ok || n < 1 {
		l.replaced(name, "no limit", "must be %s, or none; the last 100 lines of an invocation are shipped besides", valid)
		return 0
	}
	return n
}

func parseCount(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
