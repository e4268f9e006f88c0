package config

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
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
		return string(FormatNDJSON)
	case "gz":
		return string(CompressionGzip)
	case "zst", "zstandard":
		return string(CompressionZstd)
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
// and a number with another common name of a unit. If a value does not fit into a
// Duration, only its sign is right.
func parseDuration(s string) (time.Duration, bool) {
	s = strings.ToLower(strings.Join(strings.Fields(s), ""))
	if d, err := time.ParseDuration(s); err == nil {
		return d, true
	}
	end := strings.IndexFunc(s, unicode.IsLetter)
	if end < 0 {
		return 0, false // the unit is not known
	}
	n, err := strconv.ParseFloat(s[:end], 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	for _, one := range [...]struct {
		names string
		unit  time.Duration
	}{
		{" ns us µs μs ", time.Nanosecond}, // only reached if the value does not fit into a Duration
		{" ms msec msecs millis millisecond milliseconds ", time.Millisecond},
		{" s sec secs second seconds ", time.Second},
		{" m min mins minute minutes ", time.Minute},
		{" h hr hrs hour hours ", time.Hour},
		{" d day days ", 24 * time.Hour},
	} {
		if strings.Contains(one.names, " "+s[end:]+" ") {
			return time.Duration(min(max(n*float64(one.unit), -largest), largest)), true
		}
	}
	return 0, false
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
// K or KB and so on: AWS uses powers of two under these names as well. If a value does
// not fit into an int64, only its sign is right.
func parseSize(s string) (int64, bool) {
	s = strings.ToLower(s)
	number := s
	if i := strings.IndexAny(s, "kmgb "); i >= 0 {
		number = s[:i]
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || strings.ContainsAny(number, notDecimal) {
		return 0, false
	}
	switch strings.TrimSpace(s[len(number):]) {
	case "", "b":
	case "k", "ki", "kb", "kib":
		n *= 1 << 10
	case "m", "mi", "mb", "mib":
		n *= 1 << 20
	case "g", "gi", "gb", "gib":
		n *= 1 << 30
	default:
		return 0, false
	}
	return int64(min(max(n, -largest), largest)), true
}

// notDecimal are the characters that ParseFloat accepts in other numbers.
const notDecimal = lower + "_"

// largest is greater than all bounds and fits into an int64.
const largest = float64(1 << 62)

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

func (l *loader) level() slog.Level {
	const name = "KINETEL_LOG_LEVEL"
	level := slog.LevelWarn
	switch strings.ToLower(l.text(name)) {
	case "", "warn", "warning":
		return slog.LevelWarn
	case "debug":
		return slog.LevelDebug
	case "info", "information", "informational":
		return slog.LevelInfo
	case "error", "err":
		return slog.LevelError
	case "trace", "verbose", "all": // use the nearest level
		level = slog.LevelDebug
	case "fatal", "critical", "panic", "off", "none", "silent":
		level = slog.LevelError
	}
	l.replaced(name, strings.ToLower(level.String()), "must be debug, info, warn or error")
	return level
}
