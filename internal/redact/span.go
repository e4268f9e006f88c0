package redact

import (
	"cmp"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/kinetel/kinetel/internal/jsontext"
)

// start is how each replacement begins.
const start = "[redacted:"

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

// add adds a match. It extends the match if it would cut a character or an escape:
// the escapes of the text may not be decoded yet.
func (r *Redactor) add(s span) {
	b := r.b
	if isReplacement(b[s.start:s.end]) {
		return // of an earlier call
	}
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

// isReplacement reports whether text is what a match became.
func isReplacement(text []byte) bool {
	n := len(text)
	return n < 48 && n > len(start) && string(text[:len(start)]) == start && text[n-1] == ']'
}

// found adds a match of a built-in pattern.
func (r *Redactor) found(start, end int, what kind) {
	r.add(span{start: start, end: end, what: what})
}

// bySpan sorts spans by where they begin, the longest first.
func bySpan(a, b span) int {
	return cmp.Or(a.start-b.start, b.end-a.end, int(a.what)-int(b.what))
}

// join sorts the spans from first on, and joins those that overlap.
func (r *Redactor) join(first int) {
	order(r.spans[first:])
	n := first
	for _, s := range r.spans[first:] {
		if n > first && s.start < r.spans[n-1].end {
			r.spans[n-1].end = max(r.spans[n-1].end, s.end)
			continue
		}
		r.spans[n] = s
		n++
	}
	r.spans = r.spans[:n]
}

func order(spans []span) {
	if !slices.IsSortedFunc(spans, bySpan) {
		slices.SortFunc(spans, bySpan)
	}
}

// translate changes spans in the text that escaped encodes into spans in escaped, or
// the other way if plain is true.
func translate(spans []span, escaped []byte, plain bool) {
	order(spans)
	e, p := 0, 0 // indexes in escaped and in the text that it encodes
	for k := range spans {
		s := &spans[k]
		if plain {
			n, m := advance(escaped[e:], s.start-e, len(escaped))
			e, p = e+n, p+m
			_, m = advance(escaped[e:], s.end-s.start, len(escaped))
			s.start, s.end = p, p+m
			continue
		}
		n, m := advance(escaped[e:], len(escaped), s.start-p)
		e, p = e+n, p+m
		n, _ = advance(escaped[e:], len(escaped), s.end-s.start)
		s.start, s.end = e, e+n
		if s.quotes > 0 {
			s.quotes++
		}
	}
}

// advance reads characters of escaped until it has read n bytes of it, or m bytes of the
// text that it encodes. It returns how many of each it has read.
func advance(escaped []byte, n, m int) (i, plain int) {
	for i < n && plain < m && i < len(escaped) {
		if escaped[i] != '\\' {
			i, plain = i+1, plain+1
			continue
		}
		c, size := jsontext.Unescape(escaped[i:])
		switch i += max(size, 1); {
		case size == 0:
			plain++
		case utf8.ValidRune(c):
			plain += utf8.RuneLen(c)
		default: // a lone surrogate
			plain += len(jsontext.Replacement)
		}
	}
	return i, plain
}

// replace returns b with the spans replaced, and forgets them.
func (r *Redactor) replace(b []byte) []byte {
	if len(r.spans) == 0 {
		return r.release(b)
	}
	r.join(0)
	return r.finish(r.render(r.out[:0], b))
}

// render appends b with the spans replaced, which are sorted.
func (r *Redactor) render(dst, b []byte) []byte {
	i := 0
	for k := range r.spans {
		s := &r.spans[k]
		dst = append(dst, b[i:s.start]...)
		dst = appendQuote(dst, s.quotes)
		dst = append(dst, start...)
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
