package config

import (
	"errors"
	"fmt"
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
	MaxBytes       int64          // of an invocation's lines, as Lambda sends them; 0: no limit
}

// Waits reports whether lines wait until their invocation ends.
func (s *Selection) Waits() bool { return s.Sample != nil || s.MaxLines > 0 || s.MaxBytes > 0 }

func (l *loader) selection() Selection {
	return Selection{
		Level:          l.leastSeverity(),
		Include:        l.filter("KINETEL_INCLUDE"),
		Exclude:        l.filter("KINETEL_EXCLUDE"),
		PlatformEvents: l.platformEvents(),
		Sample:         l.sample(),
		MaxLines: l.limit("KINETEL_MAX_LINES", "a whole number of lines of an invocation, such as 1000 (its last 100 lines are shipped besides)", func(v string) (int64, bool) {
			n, err := strconv.ParseInt(v, 10, 64)
			return n, err == nil
		}),
		MaxBytes: l.limit("KINETEL_MAX_BYTES", "a size in B, KiB or MiB of an invocation's lines, such as 1MiB (its last 100 lines are shipped besides)", parseSize),
	}
}

// withoutEffect warns about settings of selection that have no effect.
func (l *loader) withoutEffect(c *Config) {
	warn := func(without bool, reason string, names ...string) {
		for _, name := range names {
			if without && l.text(name) != "" {
				l.warning(name, "has no effect without %s", reason)
			}
		}
	}
	warn(!slices.Contains(c.Types, "function"), "function in KINETEL_TYPES",
		"KINETEL_LEVEL", "KINETEL_INCLUDE", "KINETEL_EXCLUDE", "KINETEL_SAMPLE", "KINETEL_MAX_LINES", "KINETEL_MAX_BYTES")
	warn(c.Selection.Sample == nil, "a KINETEL_SAMPLE below 1",
		"KINETEL_SAMPLE_KEEP", "KINETEL_SAMPLE_BY", "KINETEL_SAMPLE_MARK")
}

func (l *loader) leastSeverity() event.Severity {
	const name = "KINETEL_LEVEL"
	v := strings.ToLower(l.text(name))
	s := parseSeverity(v)
	if s == event.SeverityUnknown && v != "" && v != "all" && !isOff(v) {
		l.replaced(name, "none", "must be trace, debug, info, warn, error, fatal or none")
	}
	return s
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
	problem = "must be a regular expression as Go has them (RE2, without lookaround and backreferences)"
	if wrong := (*syntax.Error)(nil); errors.As(err, &wrong) {
		problem += fmt.Sprintf(": %s: %s", wrong.Code, l.quote(name, wrong.Expr))
	}
	return nil, problem
}

const (
	platformPrefix = "platform."
	logsDropped    = "logsDropped"
)

// platformEvents returns the types of platform events to ship, or nil for all.
// platform.logsDropped is always one of them, because it reports a loss.
func (l *loader) platformEvents() []string {
	const name = "KINETEL_PLATFORM_EVENTS"
	known := []string{
		"initStart", "initRuntimeDone", "initReport", "restoreStart", "restoreRuntimeDone", "restoreReport",
		"start", "runtimeDone", "report", "fault", "extension", "telemetrySubscription", logsDropped,
	}
	types := []string{platformPrefix + logsDropped}
	unknown := ""
	words := splitNames(l.text(name))
	for _, word := range words {
		if strings.EqualFold(word, "all") {
			return nil
		}
		if isOff(word) {
			continue
		}
		if len(word) > len(platformPrefix) && strings.EqualFold(word[:len(platformPrefix)], platformPrefix) {
			word = word[len(platformPrefix):]
		}
		i := slices.IndexFunc(known, func(one string) bool { return strings.EqualFold(one, word) })
		if i >= 0 {
			word = known[i]
		} else if unknown == "" {
			unknown = word
		}
		if one := platformPrefix + word; !slices.Contains(types, one) {
			types = append(types, one)
		}
	}
	if len(words) == 0 {
		return nil
	}
	if unknown != "" {
		l.warning(name, "%s is not a known type of platform event; it is used as it is, because Lambda may have added it; known are all, none, %s", l.quote(name, unknown), strings.Join(known, ", "))
	}
	return types
}

// limit returns a limit, or 0 if there is none.
func (l *loader) limit(name, valid string, parse func(string) (int64, bool)) int64 {
	v := l.text(name)
	if v == "" || isOff(v) {
		return 0
	}
	n, ok := parse(v)
	if !ok || n < 1 {
		l.replaced(name, "no limit", "must be %s, or none", valid)
		return 0
	}
	return n
}

// parseSeverity returns the severity for a word in small letters.
func parseSeverity(word string) event.Severity {
	switch word {
	case "trace", "verbose":
		return event.Trace
	case "debug":
		return event.Debug
	case "info", "information", "informational":
		return event.Info
	case "warn", "warning":
		return event.Warn
	case "error", "err":
		return event.Error
	case "fatal", "critical", "panic":
		return event.Fatal
	}
	return event.SeverityUnknown
}
