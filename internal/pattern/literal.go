// Package pattern makes the patterns of the user fast: most of them contain a word, and
// most lines do not.
package pattern

import (
	"bytes"
	"regexp"
	"regexp/syntax"
	"slices"
	"unicode/utf8"
)

// Matcher is a regular expression with a text that all its matches contain. The zero value
// has no regular expression, and nothing may match it.
type Matcher struct {
	*regexp.Regexp
	literal []byte
}

// New returns a Matcher. re may be nil.
func New(re *regexp.Regexp) Matcher {
	if re == nil {
		return Matcher{}
	}
	m := Matcher{Regexp: re}
	if tree, err := syntax.Parse(re.String(), syntax.Perl); err == nil { // as regexp.Compile
		m.literal = literal(tree)
	}
	return m
}

// Match reports whether the text contains a match.
func (m *Matcher) Match(text []byte) bool { return m.MayMatch(text) && m.Regexp.Match(text) }

// MayMatch reports whether the text may contain a match.
func (m *Matcher) MayMatch(text []byte) bool {
	return m.Regexp != nil && bytes.Contains(text, m.literal)
}

// literal returns the longest text that is in each match; empty: none is known.
func literal(tree *syntax.Regexp) (longest []byte) {
	switch tree.Op {
	case syntax.OpLiteral:
		// U+FFFD also matches bytes that are not UTF-8.
		if tree.Flags&syntax.FoldCase == 0 && !slices.Contains(tree.Rune, utf8.RuneError) {
			longest = []byte(string(tree.Rune))
		}
	case syntax.OpConcat:
		for _, sub := range tree.Sub {
			if one := literal(sub); len(one) > len(longest) {
				longest = one
			}
		}
	case syntax.OpCapture, syntax.OpPlus:
		longest = literal(tree.Sub[0])
	case syntax.OpRepeat:
		if tree.Min > 0 {
			longest = literal(tree.Sub[0])
		}
	}
	return longest
}
