package config

import (
	"slices"
	"strings"
)

const prefix = "KINETEL_"

// unknown warns about variables with Kinetel's prefix that Load has not read.
func (l *loader) unknown() {
	var names []string
	for name := range l.env {
		if strings.HasPrefix(name, prefix) && !slices.Contains(l.known, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	slices.Sort(l.known)
	for _, name := range names {
		message := "is not a variable of this version and is ignored"
		if near := nearest(name, l.known); near != "" {
			message += "; did you mean " + near + "?"
		}
		// Do not log the value: it may be a secret.
		l.problems = append(l.problems, Problem{Severity: Warning, Variable: name, Message: message})
	}
}

// nearest returns the known variable that name begins, or the one with the fewest
// edits from name, or "" if none is near.
func nearest(name string, known []string) string {
	best, least := "", len(name)
	for _, one := range known {
		if name != prefix && strings.HasPrefix(one, name) {
			return one
		}
		d := Distance(name[len(prefix):], one[len(prefix):])
		if strings.HasPrefix(name, one+"_") {
			d = min(d, 3) // a word too many, as in KINETEL_SAMPLE_RATE
		}
		if d < least {
			best, least = one, d
		}
	}
	if least > 1+(len(name)-len(prefix))/4 {
		return ""
	}
	return best
}

// Distance returns the Levenshtein distance.
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
