package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// heading says where and of what the figures are.
func (r *results) heading() string {
	text := fmt.Sprintf("%s at %s, %d cores of %s, %s, %s", r.Date.Format("2006-01-02"), r.Commit, r.Machine.Cores, r.Machine.Processor, r.Machine.System, r.Machine.Go)
	if r.Machine.Load != "" {
		text += ", a load of " + r.Machine.Load + " by others"
	}
	if r.Flags != "" {
		text += ", with" + r.Flags
	}
	return text
}

// table returns the cells of a part's table, the header first. Figures without values are
// left out, and so are columns without cells.
func (p part) table(r *results) (cells [][]string) {
	cells = [][]string{{"figure", r.Programs[floor], r.Programs[own], "ratio", "goal", "met"}}
	used := []bool{true, false, true, false, false, false}
	for _, row := range p.rows {
		s := r.find(row.figure)
		if s == nil || len(s.Values[own]) == 0 {
			continue
		}
		line := []string{row.title, "", amount(s.value(own), s.Unit), "", "", ""}
		if r.Revision == "" {
			line[4], line[5] = row.goal.text(s.Unit), row.goal.verdict(s)
		}
		if len(s.Values[floor]) > 0 {
			line[1] = amount(s.value(floor), s.Unit)
		}
		if of, paired := s.ratio(); paired {
			line[3] = number(of)
		}
		for i := range line {
			used[i] = used[i] || line[i] != ""
		}
		cells = append(cells, line)
	}
	for i, line := range cells {
		kept := line[:0:0]
		for column, cell := range line {
			if used[column] {
				kept = append(kept, cell)
			}
		}
		cells[i] = kept
	}
	return cells
}

// note says how the figures came about, if that depends on the machine.
func (p part) note(r *results) string {
	if p.name != "share" {
		return ""
	}
	return "The share was limited " + r.Share + ".\n\n"
}

// print prints the table.
func (p part) print(to io.Writer, r *results) error {
	fmt.Fprintf(to, "\n%s\n\n%s", p.title, p.note(r))
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, line := range p.table(r) {
		fmt.Fprintln(w, strings.Join(line, "\t")+"\t")
	}
	return w.Flush()
}

// amount writes a value with its unit.
func amount(v float64, unit string) string {
	if v == math.Trunc(v) && unit == events {
		return fmt.Sprintf("%.0f", v)
	}
	return number(v) + " " + unit
}

// number writes a number with three digits, or all those before the point.
func number(v float64) string {
	switch size := math.Abs(v); {
	case size >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case size >= 9.995:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
