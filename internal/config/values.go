package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/logging"
)

// loader reads variables and collects their problems.
type loader struct {
	env      map[string]string
	known    []string // Kinetel's own variables that were read
	problems []Problem
}

// text returns a variable's value without the white space and quotes around it,
// which are often pasted by mistake.
func (l *loader) text(name string) string {
	if strings.HasPrefix(name, prefix) {
		l.known = append(l.known, name)
	}
	return clean(l.env[name])
}

func clean(v string) string {
	v = strings.TrimSpace(v)
	for _, quotes := range [...][2]string{{`"`, `"`}, {"'", "'"}, {"“", "”"}} {
		inner, begins := strings.CutPrefix(v, quotes[0])
		inner, ends := strings.CutSuffix(inner, quotes[1])
		if begins && ends && !strings.ContainsAny(inner, quotes[0]) {
			return strings.TrimSpace(inner)
		}
	}
	return v
}

func (l *loader) boolean(name string, otherwise bool) bool {
	v := l.text(name)
	if b, ok := parseBool(v); ok {
		return b
	}
	if v != "" {
		l.replaced(name, otherwise, "must be true or false")
	}
	return otherwise
}

func parseBool(s string) (value, ok bool) {
	switch strings.ToLower(s) {
	case "true", "1", "t", "yes", "y", "on", "enabled", "enable":
		return true, true
	case "false", "0", "f", "no", "n", "off", "disabled", "disable", "none":
		return false, true
	}
	return false, false
}

// isOff reports whether a value turns a feature off.
func isOff(s string) bool {
	value, ok := parseBool(s)
	return ok && !value
}

// canonical returns the value for a synonym.
func canonical(v string) string {
	switch v {
	case "jsonl", "jsonlines", "json-lines", "nd-json":
		return "ndjson"
	case "gz":
		return "gzip"
	case "zst", "zstandard":
		return "zstd"
	}
	return v
}

// oneOf returns a variable's value if it is valid, else the default, which is the
// first of the valid values.
func oneOf[T ~string](l *loader, name string, valid ...T) T {
	v := T(canonical(strings.ToLower(l.text(name))))
	if v == "" {
		return valid[0]
	}
	if slices.Contains(valid, v) {
		return v
	}
	names := make([]string, len(valid))
	for i, one := range valid {
		if (one == "off" || one == "none") && isOff(string(v)) {
			return one
		}
		names[i] = string(one)
	}
	l.replaced(name, valid[0], "must be %s", or(names))
	return valid[0]
}

// or joins at least two names for a message.
func or(names []string) string {
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

func (l *loader) duration(name string, otherwise, least time.Duration) time.Duration {
	v := l.text(name)
	if v == "" {
		return otherwise
	}
	if least == 0 && (isOff(v) || strings.EqualFold(v, "never")) {
		return 0
	}
	d, ok := parseDuration(v)
	used := min(max(d, least), maxDuration)
	if !ok {
		used = otherwise
	}
	if !ok || used != d {
		l.replaced(name, used, "must be a duration with its unit, from %s to %s, such as %s or 250ms", least, maxDuration, otherwise)
	}
	return used
}

// parseDuration parses durations in Go's format, also in capitals and with blanks,
// and a number with another common name of a unit.
func parseDuration(s string) (time.Duration, bool) {
	s = strings.ToLower(strings.Join(strings.Fields(s), ""))
	if d, err := time.ParseDuration(s); err == nil {
		return d, true
	}
	n, ok := parseQuantity(s, []unit{
		{"ns us µs μs", float64(time.Nanosecond)}, // only reached if the value does not fit into a Duration
		{"ms msec msecs millis millisecond milliseconds", float64(time.Millisecond)},
		{"s sec secs second seconds", float64(time.Second)},
		{"m min mins minute minutes", float64(time.Minute)},
		{"h hr hrs hour hours", float64(time.Hour)},
		{"d day days", float64(24 * time.Hour)},
	})
	return time.Duration(n), ok
}

func (l *loader) size(name string, otherwise, least, most int64) int64 {
	v := l.text(name)
	if v == "" {
		return otherwise
	}
	n, ok := parseSize(v)
	used := min(max(n, least), most)
	if !ok {
		used = otherwise
	}
	if !ok || used != n {
		l.replaced(name, fmt.Sprintf("%dMiB", used>>20), "must be a size from %dMiB to %dMiB in B, KiB or MiB, such as %dMiB", least>>20, most>>20, otherwise>>20)
	}
	return used
}

// parseSize parses a number of bytes, KiB, MiB or GiB. The units may also be written
// K or KB and so on: AWS uses powers of two under these names as well.
func parseSize(s string) (int64, bool) {
	s = strings.ToLower(s)
	if !strings.ContainsFunc(s, unicode.IsLetter) {
		s += "b"
	}
	return parseQuantity(s, []unit{{"b", 1}, {"k ki kb kib", 1 << 10}, {"m mi mb mib", 1 << 20}, {"g gi gb gib", 1 << 30}})
}

// unit is a unit of a quantity: its names, separated by blanks, and its size.
type unit struct {
	names string
	size  float64
}

// parseQuantity parses a decimal number and its unit. If the value does not fit into
// an int64, only its sign is right.
func parseQuantity(s string, units []unit) (int64, bool) {
	end := max(strings.IndexFunc(s, unicode.IsLetter), 0)
	n, err := strconv.ParseFloat(strings.TrimRight(s[:end], " "), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	for _, one := range units {
		if slices.Contains(strings.Fields(one.names), s[end:]) {
			const largest = 1 << 62 // greater than all bounds, and fits into an int64
			return int64(min(max(n*one.size, -largest), largest)), true
		}
	}
	return 0, false
}

func (l *loader) dir(name, otherwise string) string {
	v := l.text(name)
	if v == "" {
		return otherwise
	}
	if !filepath.IsAbs(v) || strings.ContainsRune(v, 0) {
		l.replaced(name, otherwise, "must be the absolute path of a folder, such as %s", otherwise)
		return otherwise
	}
	return filepath.Clean(v)
}

func (l *loader) level() logging.Level {
	const name = "KINETEL_LOG_LEVEL"
	v := strings.ToLower(l.text(name))
	if v == "" {
		return logging.LevelWarn
	}
	level := logging.LevelWarn
	switch s := parseSeverity(v); {
	case s >= event.Debug && s <= event.Error:
		return logging.LevelDebug + logging.Level(s-event.Debug)
	case s == event.Trace || v == "all": // use the nearest level
		level = logging.LevelDebug
	case s == event.Fatal || v == "off" || v == "none" || v == "silent":
		level = logging.LevelError
	}
	l.replaced(name, strings.ToLower(level.String()), "must be debug, info, warn or error")
	return level
}
