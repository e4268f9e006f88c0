package doctor

import (
	"fmt"
	"strings"

	"github.com/kinetel/kinetel/internal/config"
)

// selection adds what the settings leave out and redact: it explains lines that are
// missing or changed.
func (d *diagnosis) selection() {
	if list := leftOut(&d.config.Selection); list != nil {
		d.ok("not shipped by the settings: %s", strings.Join(list, "; "))
	}
	switch r := &d.config.Redaction; {
	case r.Unusable:
		d.add(Error, "redaction cannot be used", "no line of the function and of extensions is shipped, because none may leave unredacted", "correct the variables of redaction; docs/configuration.md has all values")
	case len(redacted(r)) > 0:
		d.ok("redacted: %s", strings.Join(redacted(r), ", "))
	}
}

// leftOut returns what the settings leave out.
func leftOut(s *config.Selection) (list []string) {
	add := func(used bool, format string, args ...any) {
		if used {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	add(s.Level > 0, "function lines below %s", s.Level)
	add(s.Include != nil, "function lines without a match of %q", s.Include)
	add(s.Exclude != nil, "function lines with a match of %q", s.Exclude)
	add(s.PlatformEvents != nil, "platform events but %s", strings.Join(s.PlatformEvents, ", "))
	if sample := s.Sample; sample != nil {
		by := "request"
		if sample.ByTrace {
			by = "trace"
		}
		add(true, "lines of all but %.4g %% of the invocations, by %s (always kept: %s)", 100*sample.Share, by, sample.Keep())
	}
	add(s.MaxLines > 0, "lines of an invocation after %d, but its last 100", s.MaxLines)
	add(s.MaxBytes > 0, "lines of an invocation after %d bytes, but its last 100", s.MaxBytes)
	return list
}

// redacted returns what the settings redact.
func redacted(r *config.Redaction) []string {
	list := r.Names
	if r.Pattern != nil {
		list = append(list, "matches of KINETEL_REDACT_PATTERN") // whose value may be what must not be shown
	}
	if r.Keys != nil {
		list = append(list, "members named "+strings.Join(r.Keys, ", "))
	}
	return list
}
