package config

import (
	"strconv"
	"strings"
	"time"
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
	list := ""
	if s.Error {
		list = ",error"
	}
	if s.Timeout {
		list += ",timeout"
	}
	if s.Cold {
		list += ",cold"
	}
	if s.Slow > 0 {
		list += ",slow:" + s.Slow.String()
	}
	if s.Mark != "" {
		list += ",marked"
	}
	if list == "" {
		return "none"
	}
	return list[1:]
}

// maxMark bounds the mark in bytes: each line is searched for it.
const maxMark = 256

// sample returns nil if all invocations are kept.
func (l *loader) sample() *Sample {
	s := &Sample{
		Share:   l.share(),
		ByTrace: oneOf(l, "KINETEL_SAMPLE_BY", "request", "trace") == "trace",
		Mark:    l.text("KINETEL_SAMPLE_MARK"),
	}
	if len(s.Mark) > maxMark {
		s.Mark = s.Mark[:maxMark] // a line that contains the mark contains this, too
		l.replaced("KINETEL_SAMPLE_MARK", "its beginning", "may have at most %d bytes", maxMark)
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
	if err == nil && n >= 0 && n <= 1 {
		return n
	}
	used := 1.0
	if n < 0 {
		used = 0
	}
	l.replaced(name, used, "must be the share of ordinary invocations to keep, from 0 to 1, such as 0.05 or 5%%")
	return used
}

// keep sets which invocations are always kept. If there is a word that cannot be used,
// the default ones are kept as well: too much is better than too little.
func (l *loader) keep(s *Sample) {
	const name = "KINETEL_SAMPLE_KEEP"
	words := splitNames(strings.ToLower(l.text(name)))
	wrong := false
	for _, word := range words {
		switch word {
		case "error", "errors":
			s.Error = true
		case "timeout", "timeouts":
			s.Timeout = true
		case "cold":
			s.Cold = true
		case "marked":
			if s.Mark == "" {
				l.warning(name, "marked has no effect without KINETEL_SAMPLE_MARK; set that to a text that your lines contain")
			}
		default:
			least, slow := strings.CutPrefix(word, "slow:")
			if d, ok := parseDuration(least); slow && ok && d > 0 && d <= maxDuration {
				s.Slow = d
			} else if !isOff(word) {
				wrong = true
			}
		}
	}
	if wrong || len(words) == 0 {
		s.Error, s.Timeout, s.Cold = true, true, true
	}
	if wrong {
		l.replaced(name, s.Keep(), "must be a comma-separated list of error, timeout, cold, marked and a duration such as slow:500ms, or none alone")
	}
}
