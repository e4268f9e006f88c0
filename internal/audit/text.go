package audit

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// The lengths of lists in the text of a report. The JSON has all.
const (
	maxLines     = 40 // environments
	maxLineHoles = 5  // of an environment
)

// Verdict returns the report in one line.
func (r Report) Verdict() string {
	t := r.Totals
	if t.Environments == 0 {
		return "NOTHING ARRIVED"
	}
	word := "complete"
	if !r.Complete {
		word = "NOT COMPLETE"
	}
	line := fmt.Sprintf("%s: %s of %s, %s; %d missing", word,
		plural(t.Events, "event"), plural(uint64(t.Environments), "environment"), plural(t.Duplicates, "duplicate"), t.Missing)
	if t.Missing > 0 {
		line += fmt.Sprintf(" (%d reported lost, %d on disk, %d unexplained)", t.Explained, t.Spooled, t.Unexplained)
	}
	if r.Unreadable > 0 {
		line += "; " + plural(r.Unreadable, "unreadable record")
	}
	if t.Overreported > 0 {
		line += fmt.Sprintf("; %d reported lost that are not missing", t.Overreported)
	}
	return line
}

// WriteText writes the report for a person, except the Verdict.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	r.writeTotals(&b)
	if len(r.Environments) > 0 {
		b.WriteString("\n")
		r.writeEnvironments(&b)
	}
	if r.Totals.StartsBefore > 0 {
		fmt.Fprintf(&b, "\n%s before the input: nothing before their first number was judged.\n", verb(r.Totals.StartsBefore, "environment starts", "environments start"))
	}
	if open := r.Totals.Environments - r.Totals.Ended; open > 0 {
		fmt.Fprintf(&b, "%s no final report: each still runs, was killed, or goes on after the input.\n", verb(open, "environment has", "environments have"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (r Report) writeTotals(b *strings.Builder) {
	t := r.Totals
	for _, reason := range slices.Sorted(maps.Keys(t.Lost)) {
		fmt.Fprintf(b, "  kinetel.loss reports %d lost: %s\n", t.Lost[reason], printable(reason, maxName))
	}
	if t.LambdaDropped.Times > 0 {
		fmt.Fprintf(b, "  Lambda itself dropped at least %s of %d bytes\n", plural(t.LambdaDropped.Records, "record"), t.LambdaDropped.Bytes)
	}
	if t.IncompleteEvents > 0 {
		fmt.Fprintf(b, "  %s a part\n", verb(int(min(t.IncompleteEvents, 1<<30)), "event lacks", "events lack"))
	}
	if t.InvalidLosses > 0 {
		fmt.Fprintf(b, "  %s, which explain nothing\n", plural(t.InvalidLosses, "invalid kinetel.loss event"))
	}
	if r.Unnumbered > 0 {
		fmt.Fprintf(b, "  %s without seq or service.instance.id, which cannot be judged\n", plural(r.Unnumbered, "event"))
	}
	if r.Unreadable > 0 {
		fmt.Fprintf(b, "  %d times data that is not a record of Kinetel's; the first: %s\n", r.Unreadable, r.UnreadableExamples[0])
	}
}

func (r Report) writeEnvironments(b *strings.Builder) {
	shown := r.Environments[:min(len(r.Environments), maxLines)]
	var aligned strings.Builder
	table := tabwriter.NewWriter(&aligned, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "environment\tfunction\tseq\tevents\tduplicates\tmissing\tunexplained\tlife")
	for _, e := range shown {
		fmt.Fprintf(table, "%s\t%s\t%d-%d\t%d\t%d\t%d\t%d\t%s\n", printable(e.ID, 40), printable(e.Function, 40),
			e.FirstSeq, e.LastSeq, e.Events, e.Duplicates, e.Missing, e.Unexplained, e.Life())
	}
	_ = table.Flush() // a strings.Builder has no errors
	for i, line := range slices.Collect(strings.Lines(aligned.String())) {
		b.WriteString(line)
		if i > 0 {
			shown[i-1].writeFindings(b)
		}
	}
	if more := len(r.Environments) - maxLines; more > 0 {
		fmt.Fprintf(b, "and %d more (-o json has all)\n", more)
	}
}

func (e Environment) writeFindings(b *strings.Builder) {
	for _, h := range e.Holes[:min(len(e.Holes), maxLineHoles)] {
		fmt.Fprintf(b, "  %s\n", h)
	}
	if more := len(e.Holes) + e.HolesOmitted - maxLineHoles; more > 0 {
		fmt.Fprintf(b, "  and %d more holes (-o json has up to %d)\n", more, maxHoles)
	}
	if e.Overreported > 0 {
		fmt.Fprintf(b, "  %d reported lost that are not missing: their request had no answer but arrived, or two losses report them\n", e.Overreported)
	}
}

// Life says which ends of the environment's life the input has.
func (e Environment) Life() string {
	end := "no end"
	if e.Ended {
		end = "ended"
	}
	if e.StartsBefore {
		return "starts before, " + end
	}
	return end
}

// String returns the hole in words.
func (h Hole) String() string {
	text := fmt.Sprintf("seq %d-%d: %d missing", h.FirstSeq, h.LastSeq, h.Missing)
	if h.FirstSeq == h.LastSeq {
		text = fmt.Sprintf("seq %d missing", h.FirstSeq)
	}
	if h.Reported > 0 {
		text += fmt.Sprintf(", %d reported lost", h.Reported)
	}
	if !h.Time.IsZero() {
		text += ", at about " + h.Time.UTC().Format(time.RFC3339)
	}
	return text
}

func plural(n uint64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func verb(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// printable returns text without control characters, and at most so many bytes of it.
func printable(text string, most int) string {
	if len(text) > most {
		text = text[:most]
	}
	quoted := strconv.QuoteToGraphic(text)
	return quoted[1 : len(quoted)-1]
}
