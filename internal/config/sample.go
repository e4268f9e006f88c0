package config

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Sample is sampling by invocation.
type Sample struct {
	Share   float64 // of ordinary invocations, at least 0 and less than 1
	ByTrace bool    // all functions of a trace decide alike
	// Which invocations are always kept.
	Error, Timeout, Cold bool
	Slow                 time.Duration // invocations that take at least this long; 0: not
	Mark                 string        // invocations of which a line contains it; empty: not
}

// Keep returns which invocations are always kept, as KINETEL_SAMPLE_KEEP has them.
func (s *Sample) Keep() string {
	var list []string
	for _, one := range []struct {
		kept bool
		name string
	}{
		{s.Error, "error"},
		{s.Timeout, "timeout"},
		{s.Cold, "cold"},
		{s.Slow > 0, "slow:" + s.Slow.String()},
		{s.Mark != "", "marked"},
	} {
		if one.kept {
			list = append(list, one.name)
		}
	}
	if list == nil {
		return "none"
	}
	return strings.Join(list, ",")
}

// sample returns nil if all invocations are kept.
func (l *loader) sample() *Sample {
	s := &Sample{
		Share:   l.share(),
		ByTrace: oneOf(l, "KINETEL_SAMPLE_BY", "request", "trace") == "trace",
		Mark:    l.mark(),
	}
	l.keep(s)
	if s.Share == 1 {
		return nil
	}
	return s
}

// share returns the share of ordinary invocations to keep.
func (l *loader) share() float64 {
	const name = "KINETEL_SAMPLE"
	v := l.text(name)
	if v == "" {
		return 1
	}
	number, percent := strings.CutSuffix(v, "%")
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		n /= 100
	}
	used := min(max(n, 0), 1)
	if err != nil || n != n { // not a number
		used = 1
	}
	if used != n {
		l.replaced(name, used, "must be the share of ordinary invocations to keep, from 0 to 1, such as 0.05 or 5%%")
	}
	return used
}

// maxMark bounds the mark in bytes: each line is searched for it.
const maxMark = 256

func (l *loader) mark() string {
	const name = "KINETEL_SAMPLE_MARK"
	v := l.text(name)
	if len(v) > maxMark {
		end := maxMark
		for end > 0 && !utf8.RuneStart(v[end]) {
			end--
		}
		v = v[:end] // a line that contains the mark contains this, too
		l.replaced(name, "its beginning", "may have at most %d bytes", maxMark)
	}
	return v
}

// keep sets which invocations are always kept. If there is a word that cannot be used,
// the default ones are kept as well: too much is better than too little.
func (l *loader) keep(s *Sample) {
	const name = "KINETEL_SAMPLE_KEEP"
	words := splitNames(strings.ToLower(l.text(name)))
	wrong, marked := false, false
	for _, word := range words {
		least, slow := strings.CutPrefix(word, "slow:")
		d, ok := parseDuration(least)
		switch {
		case slow && ok && d > 0 && d <= maxDuration:
			s.Slow = d
		case word == "error" || word == "errors":
			s.Error = true
		case word == "timeout" || word == "timeouts":
			s.Timeout = true
		case word == "cold":
			s.Cold = true
		case word == "marked":
			marked = true
		default:
			wrong = wrong || !isOff(word)
		}
	}
	if wrong || len(words) == 0 {
		s.Error, s.Timeout, s.Cold = true, true, true
	}
	if wrong {
		l.replaced(name, s.Keep(), "must be a comma-separated list of error, timeout, cold, slow:DURATION such as slow:500ms, and marked, or none alone")
	}
	if marked && s.Mark == "" {
		l.warning(name, "marked has no effect without KINETEL_SAMPLE_MARK; set that to a text that your lines contain")
	}
}
