package view

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/kinetel/kinetel/internal/jsontext"
)

const (
	maxSearchBytes = 32 << 20 // of text that one search reads
	maxMatches     = 1000     // that it returns
	snippetBytes   = 120      // around what was found
)

// Match is an event in which something was found.
type Match struct {
	Invocation  uint64 `json:"invocation,omitempty"` // 0: none
	Environment uint64 `json:"environment"`
	Event       uint64 `json:"event"`
	Text        string `json:"text"` // around what was found
}

// Found is the result of a search. It has one Match for an invocation or an environment.
type Found struct {
	Matches []Match `json:"matches"`
	Next    uint64  `json:"next"` // search on after the event with this number
	More    bool    `json:"more"` // there are events after it
}

// Search looks for events after the one with a number that contain a text, in their body,
// type, request id or trace id, and have at least a severity (1 is TRACE, 6 FATAL). ASCII
// letters match in both cases. It reads a bounded amount of text: call it again with Next.
func (v *View) Search(text string, severity int, after uint64) Found {
	v.mu.Lock()
	events := v.store.events.after(after)
	events = append([]*event(nil), events[:min(len(events), maxSearchBytes/eventBytes)]...)
	last := v.store.added
	v.mu.Unlock()
	found := Found{Matches: []Match{}, Next: after}
	s := searcher{text: appendLower(nil, []byte(text))}
	seen := map[*group]bool{}
	for _, e := range events {
		if s.read > maxSearchBytes || len(found.Matches) == maxMatches {
			break
		}
		found.Next = e.number
		if severityRank(e.Severity) < severity || seen[e.group] {
			continue
		}
		if snippet, ok := s.match(e); ok {
			seen[e.group] = true
			m := Match{Environment: e.group.environment.Number, Event: e.number, Text: snippet}
			if inv := e.group.invocation; inv != nil {
				m.Invocation = inv.Number
			}
			found.Matches = append(found.Matches, m)
		}
	}
	found.More = found.Next < last && len(events) > 0
	return found
}

// searcher looks for a text, and has the memory for it.
type searcher struct {
	text            []byte // in lower case
	unquoted, lower []byte
	read            int
}

func (s *searcher) match(e *event) (snippet string, ok bool) {
	s.read += eventBytes + len(e.Body)
	text, isJSON := bodyText(s.unquoted[:0], e.Body)
	if !isJSON {
		s.unquoted = text
	}
	s.lower = appendLower(s.lower[:0], text)
	if i := bytes.Index(s.lower, s.text); i >= 0 {
		return around(text, i, len(s.text)), true
	}
	for _, name := range []string{e.Type, e.RequestID, e.TraceID} {
		if strings.Contains(string(appendLower(nil, []byte(name))), string(s.text)) {
			return around(text, 0, 0), true
		}
	}
	return "", false
}

// around returns the part of a text around n bytes at i.
func around(text []byte, i, n int) string {
	from, to := max(0, i-snippetBytes/2), min(len(text), i+n+snippetBytes/2)
	for from > 0 && !utf8.RuneStart(text[from]) {
		from--
	}
	for to < len(text) && !utf8.RuneStart(text[to]) {
		to--
	}
	return string(bytes.ToValidUTF8(text[from:to], []byte(jsontext.Replacement)))
}

func appendLower(dst, text []byte) []byte {
	begin := len(dst)
	dst = append(dst, text...)
	for i, c := range dst[begin:] {
		if c >= 'A' && c <= 'Z' {
			dst[begin+i] = c + 'a' - 'A'
		}
	}
	return dst
}
