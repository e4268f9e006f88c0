package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// chosen returns the valid names in a list, in its order, and the first word that is
// not valid. A plural is the same as its singular.
func chosen(list string, valid ...string) (names []string, unknown string) {
	for _, word := range splitNames(strings.ToLower(list)) {
		i := slices.IndexFunc(valid, func(one string) bool {
			return strings.TrimSuffix(one, "s") == strings.TrimSuffix(word, "s")
		})
		switch {
		case i < 0 && unknown == "":
			unknown = word
		case i >= 0 && !slices.Contains(names, valid[i]):
			names = append(names, valid[i])
		}
	}
	return names, unknown
}

// splitNames splits a list of names. It accepts many separators.
func splitNames(v string) []string {
	return strings.FieldsFunc(v, func(c rune) bool { return strings.ContainsRune(" ,;|+[]\"'\t\n", c) })
}

func (l *loader) types() []string {
	const name = "KINETEL_TYPES"
	valid := []string{"platform", "function", "extension"}
	types, unknown := chosen(l.text(name), valid...)
	if len(types) == 0 {
		types = valid[:2]
	}
	platform := slices.Contains(types, "platform")
	if !platform {
		// Without platform.runtimeDone the extension cannot know when an
		// invocation ended, and would hold each one until its time-out.
		types = append([]string{"platform"}, types...)
	}
	switch used := strings.Join(types, ","); {
	case unknown != "":
		l.replaced(name, used, "%s is not a telemetry stream; must be a comma-separated list of %s", l.quote(name, unknown), or(valid))
	case !platform:
		l.replaced(name, used, "must contain platform, whose events report the ends of invocations")
	}
	return types
}

func (l *loader) report() Report {
	const name = "KINETEL_REPORT"
	v := l.text(name)
	if isOff(v) {
		return Report{}
	}
	list, unknown := chosen(v, "events", "emf")
	if len(list) == 0 {
		list = []string{"events"}
	}
	if unknown != "" {
		l.replaced(name, strings.Join(list, ","), "must be a comma-separated list of events and emf, or off alone")
	}
	return Report{Events: slices.Contains(list, "events"), EMF: slices.Contains(list, "emf")}
}

// Each path is looked up in each JSON line.
const (
	maxRequestIDKeys  = 8
	maxRequestIDKey   = 128 // bytes
	maxRequestIDDepth = 8   // members
)

// requestIDKeys parses paths such as ctx.requestId, also in the notation of jq and
// JSONPath: .ctx.requestId and $.ctx.requestId.
func (l *loader) requestIDKeys() []string {
	const name = "KINETEL_REQUEST_ID_KEYS"
	keys, wrong := valid(elements(l.text(name)), maxRequestIDKeys, func(one string) (string, bool) {
		key := strings.TrimPrefix(strings.TrimPrefix(one, "$"), ".")
		members := strings.Split(key, ".")
		return key, len(key) <= maxRequestIDKey && len(members) <= maxRequestIDDepth && !slices.Contains(members, "") && utf8.ValidString(key) && !strings.ContainsFunc(key, unicode.IsControl)
	})
	if wrong > 0 {
		l.replaced(name, fmt.Sprintf("what can be read of it, %d paths,", len(keys)),
			"must be a list of at most %d paths of members, such as ctx.requestId, each of at most %d names and %d bytes", maxRequestIDKeys, maxRequestIDDepth, maxRequestIDKey)
	}
	return keys
}

// valid returns the values of those elements that can be parsed, each once, and the
// number of the first element that cannot be used, counted from 1.
func valid(list []string, most int, parse func(string) (string, bool)) (values []string, wrong int) {
	for i, one := range list {
		value, ok := parse(one)
		switch {
		case slices.Contains(values, value):
		case ok && len(values) < most:
			values = append(values, value)
		case wrong == 0:
			wrong = i + 1
		}
	}
	return values, wrong
}
