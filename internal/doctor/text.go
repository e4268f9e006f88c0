package doctor

import (
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/charmbracelet/lipgloss"
)

// WriteText writes the report for people.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	bold := lipgloss.NewStyle().Bold(true)
	// ANSI colors: green, yellow, red, cyan.
	colors := map[Level]string{OK: "2", Warning: "3", Error: "1", NotChecked: "6"}
	for _, line := range []struct{ name, value string }{{"function", r.Function}, {"stream", r.Stream}} {
		if line.value != "" {
			fmt.Fprintf(&b, "%-8s  %s\n", line.name, bold.Render(printable(line.value)))
		}
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	for _, f := range r.Findings {
		level := string(f.Level)
		if f.Level == NotChecked {
			level = "not checked"
		}
		level = lipgloss.NewStyle().Bold(f.Level == Error).Foreground(lipgloss.Color(colors[f.Level])).Render(fmt.Sprintf("%-11s", level))
		fmt.Fprintf(&b, "%s  %-11s  %s\n", level, f.Check, printable(f.What))
		for _, line := range []struct{ name, value string }{{"why", f.Why}, {"fix", f.Fix}} {
			if line.value != "" {
				fmt.Fprintf(&b, "%26s%s  %s\n", "", line.name, printable(line.value))
			}
		}
	}
	fmt.Fprintf(&b, "\nerrors: %d, warnings: %d, not checked: %d, ok: %d\n", r.Count(Error), r.Count(Warning), r.Count(NotChecked), r.Count(OK))
	_, err := io.WriteString(w, b.String())
	return err
}

// printable replaces what could control a terminal, because texts come from servers
// and streams, too.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}
