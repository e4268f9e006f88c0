package config

import (
	"slices"
	"strings"
)

const prefix = "KINETEL_"

// unknown warns about variables with Kinetel's prefix that Load has not read. It fails
// safe: if a variable seems to be a misspelled one of redaction, what it would have
// redacted must not leave.
func (l *loader) unknown(r *Redaction) {
	var names []string
	for name := range l.env {
		if (strings.HasPrefix(name, prefix) || forRedaction(name)) && !slices.Contains(l.known, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	slices.Sort(l.known)
	for _, name := range names {
		// Do not log the value: it may be a secret.
		problem := Problem{Severity: Warning, Variable: name, Message: "is not a variable of this version and is ignored"}
		near := ""
		if strings.HasPrefix(name, prefix) {
			near = nearest(name, l.known)
		}
		if near != "" {
			problem.Message += "; did you mean " + near + "?"
		}
		if l.env[name] != "" && (strings.HasPrefix(near, "KINETEL_REDACT") || forRedaction(name)) {
			r.Unusable = true
			problem.Severity, problem.Used = Replaced, platformOnly
			problem.Message += unshipped
		}
		l.problems = append(l.problems, problem)
	}
}

// forRedaction reports whether a variable may be a misspelled one of redaction, in any
// case.
func forRedaction(name string) bool {
	name = strings.ToUpper(name)
	const company = "KINETEL"
	return strings.Contains(name, "REDAC") && len(name) > len(company) && Distance(name[:len(company)], company) <= 2
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
