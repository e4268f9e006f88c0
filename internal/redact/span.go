package redact

import (
	"sort"
	"strconv"
	"unicode/utf8"

	"github.com/kinetel/kinetel/internal/jsontext"
)

// span is a part of a text that is to be replaced.
type span struct {
	start, end int
	what       kind
	isName     bool // it is in the name of a member
	// quotes is 0 if the replacement has none. Otherwise it has the quotes of a JSON
	// string, and quotes-1 is how many levels of JSON strings the text is in, each of
	// which escapes them.
	quotes uint8
}

// add adds a match in b. It extends the match if it would cut a character or an escape:
// b may be text whose escapes were not decoded yet.
func (r *Redactor) add(b []byte, s span) {
	for n := 0; n < 3 && s.start > 0 && s.start < len(b) && b[s.start]&0xc0 == 0x80; n++ {
		s.start--
	}
	for n := 0; n < 3 && s.end < len(b) && b[s.end]&0xc0 == 0x80; n++ {
		s.end++
	}
	const long = len(`\u0040`)
	for back := 2; back < long; back++ {
		if at := s.start - back; at >= 0 && b[at] == '\\' && b[at+1] == 'u' {
			if s.end < at+long {
				return // it is only a part of an escape
			}
			s.start = at
			break
		}
	}
	for back := 2; back < long; back++ {
		if at := s.end - back; at >= s.start && b[at] == '\\' && b[at+1] == 'u' {
			s.end = min(at+long, len(b))
			break
		}
	}
	for s.start > 0 && b[s.start-1] == '\\' {
		s.start--
	}
	if s.end > s.start && s.end < len(b) && b[s.end-1] == '\\' {
		s.end++
	}
	r.spans = append(r.spans, s)
}

// found adds a match of a built-in pattern.
func (r *Redactor) found(b []byte, start, end int, what kind) {
	r.add(b, span{start: start, end: end, what: what})
}

// spansOf sorts spans by where they begin, the longest first.
type spansOf struct{ all []span }

func (s *spansOf) Len() int      { return len(s.all) }
func (s *spansOf) Swap(i, j int) { s.all[i], s.all[j] = s.all[j], s.all[i] }
func (s *spansOf) Less(i, j int) bool {
	a, b := &s.all[i], &s.all[j]
	switch {
	case a.start != b.start:
		return a.start < b.start
	case a.end != b.end:
		return a.end > b.end
	}
	return a.what < b.what
}

// sort sorts the spans from first on, and joins those that overlap.
func (r *Redactor) sort(first int) {
	r.sorting.all = r.spans[first:]
	all := &r.sorting
	if !sort.IsSorted(all) {
		sort.Sort(all)
	}
	n := first
	for _, s := range all.all {
		if n > first && s.start < r.spans[n-1].end {
			r.spans[n-1].end = max(r.spans[n-1].end, s.end)
			continue
		}
		r.spans[n] = s
		n++
	}
	r.spans = r.spans[:n]
	r.sorting.all = nil
}

// translate changes the spans from first on, which are in the text that escaped
// encodes, into spans in escaped.
func (r *Redactor) translate(first int, escaped []byte) {
	r.sort(first)
	i, decoded := 0, 0
	advance := func(to int) int {
		for decoded < to && i < len(escaped) {
			c, n := rune(escaped[i]), 1
			if c == '\\' {
				if c, n = jsontext.Unescape(escaped[i:]); n == 0 {
					c, n = '\\', 1
				}
				if decoded += utf8.RuneLen(c); c >= 0xd800 && c < 0xe000 {
					decoded += 1 + len(jsontext.Replacement) // RuneLen gives -1 for a surrogate
				}
			} else {
				decoded++
			}
			i += n
		}
		return i
	}
	for k := first; k < len(r.spans); k++ {
		s := &r.spans[k]
		s.start = advance(s.start)
		s.end = advance(s.end)
		if s.quotes > 0 {
			s.quotes++
		}
	}
}

// replace returns b with the spans replaced, and forgets them.
func (r *Redactor) replace(b []byte) []byte {
	if len(r.spans) == 0 {
		return r.release(b)
	}
	r.sort(0)
	return r.finish(r.render(r.out[:0], b))
}

// render appends b with the spans replaced, which are sorted.
func (r *Redactor) render(dst, b []byte) []byte {
	i := 0
	for k := range r.spans {
		s := &r.spans[k]
		dst = append(dst, b[i:s.start]...)
		dst = appendQuote(dst, s.quotes)
		dst = append(dst, "[redacted:"...)
		dst = append(dst, words[s.what]...)
		if s.isName {
			// The names of one object stay different.
			if r.names++; r.names > 1 {
				dst = append(dst, '-')
				dst = strconv.AppendInt(dst, int64(r.names), 10)
			}
		}
		dst = append(dst, ']')
		dst = appendQuote(dst, s.quotes)
		r.counts[s.what].Add(1)
		i = s.end
	}
	return append(dst, b[i:]...)
}

// appendQuote appends a quote with the backslashes that it needs; see span.quotes.
func appendQuote(dst []byte, quotes uint8) []byte {
	if quotes == 0 {
		return dst
	}
	for range 1<<(quotes-1) - 1 {
		dst = append(dst, '\\')
	}
	return append(dst, '"')
}

// finish keeps the buffer of a result for the next call, unless it is large.
func (r *Redactor) finish(out []byte) []byte {
	r.spans = r.spans[:0]
	r.names = 0
	r.out = out[:0]
	if cap(out) > maxBuffer {
		r.out = nil
	}
	return r.release(out)
}

// release releases the other buffers that are large.
func (r *Redactor) release(result []byte) []byte {
	if cap(r.spans) > maxBuffer/64 {
		r.spans = nil
	}
	for i := range r.plain {
		if cap(r.plain[i]) > maxBuffer {
			r.plain[i] = nil
		}
	}
	return result
}
