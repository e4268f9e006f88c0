package main

import (
	"fmt"
	"strconv"
)

// goal is a limit of a figure. The zero value is none.
type goal struct {
	limit float64
	of    quantity
	least bool // the limit is the least, not the most
}

// quantity is what a goal limits.
type quantity int

const (
	none  quantity = iota
	value          // the median of Kinetel's values
	ratio          // to the floor
)

func atMost(limit float64) goal      { return goal{limit: limit, of: value} }
func atLeast(limit float64) goal     { return goal{limit: limit, of: value, least: true} }
func atMostRatio(limit float64) goal { return goal{limit: limit, of: ratio} }

// String is what a table says about the goal.
func (g goal) text(unit string) string {
	sign := "≤ "
	switch {
	case g.of == none:
		return ""
	case g.least:
		sign = "≥ "
	case g.limit == 0:
		sign = ""
	}
	if g.of == ratio {
		return sign + strconv.FormatFloat(g.limit, 'g', 3, 64) + " x"
	}
	return sign + strconv.FormatFloat(g.limit, 'g', 3, 64) + " " + unit
}

// verdict says whether a value meets the goal, and if not, by how much not.
func (g goal) verdict(s *series) string {
	is := s.value(own)
	if g.of == ratio {
		var paired bool
		if is, paired = s.ratio(); !paired {
			return "not measured"
		}
	}
	switch off := is/g.limit - 1; {
	case g.of == none:
		return ""
	case is == g.limit || g.least == (is > g.limit):
		return "yes"
	case g.limit == 0:
		return "no"
	case g.least:
		return fmt.Sprintf("no, %.0f %% less", -100*off)
	default:
		return fmt.Sprintf("no, %.0f %% more", 100*off)
	}
}
