package redact

import (
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
	r.push(s)
}

func (r *Redactor) push(s span) { r.spans = append(r.spans, s) }

// isReplacement reports whether text is what a match became.
func isReplacement(text []byte) bool {
	n := len(text)
	return n < 48 && n > len(start) && string(text[:len(start)]) == start && text[n-1] == ']'
}

// found adds a match of a built-in pattern.
func (r *Redactor) found(start, end int, what kind) {
	s := span{start: start, end: end, what: what}
	if after := r.at(end); r.at(start-1) == ':' && r.at(start-2) == '"' && r.at(start-3) != '\\' && (after == ',' || after == '}') {
		s.quotes = 1 // a number in JSON
	}
	r.add(s)
}

// before reports whether a begins before b, or is longer.
func (a *span) before(b *span) bool {
	switch {
	case a.start != b.start:
		return a.start < b.start
	case a.end != b.end:
		return a.end > b.end
	case a.what != b.what:
		return a.what < b.what
	}
	return a.quotes-1 < b.quotes-1 // those of the first level that has any; 0 comes last
}

// order sorts spans by where they begin, the longest first. They are nearly sorted
// mostly. This is Shell's sort: the sorts of the standard library have several times
// its code.
func order(spans []span) {
	for gap := len(spans); gap > 1; {
		gap = gap*4/9 | 1
		for i := gap; i < len(spans); i++ {
			for k := i; k >= gap && spans[k].before(&spans[k-gap]); k -= gap {
				spans[k], spans[k-gap] = spans[k-gap], spans[k]
			}
		}
	}
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
	if len(r.spans) > 0 {
		r.join(0)
		r.render(b)
		b = r.out
	}
	return r.finish(b)
}

// render appends b to out, with the spans replaced, which are sorted.
func (r *Redactor) render(b []byte) {
	i := 0
	for k := range r.spans {
		s := &r.spans[k]
		r.write(b[i:s.start])
		r.quote(s.quotes)
		r.writeString(start)
		r.writeString(names()[s.what])
		if s.isName {
			// The names of one object stay different.
			if r.names++; r.names > 1 {
				r.writeString("-")
				r.out = strconv.AppendInt(r.out, int64(r.names), 10)
			}
		}
		r.writeString("]")
		r.quote(s.quotes)
		r.counts[s.what].Add(1)
		i = s.end
	}
	r.write(b[i:])
}

func (r *Redactor) write(b []byte)       { r.out = append(r.out, b...) }
func (r *Redactor) writeString(s string) { r.out = append(r.out, s...) }

// quote appends a quote with the backslashes that it needs; see span.quotes.
func (r *Redactor) quote(quotes uint8) {
	if quotes == 0 {
		return
	}
	for range 1<<(quotes-1) - 1 {
		r.writeString("\\")
	}
	r.writeString(`"`)
}

// finish keeps the buffers for the next call, unless they are large. It returns result.
func (r *Redactor) finish(result []byte) []byte {
	r.spans = r.spans[:0]
	if cap(r.spans) > maxBuffer/64 {
		r.spans = nil
	}
	r.out = r.out[:0]
	if cap(r.out) > maxBuffer {
		r.out = nil
	}
	if cap(r.values) > maxBuffer/64 {
		r.values = nil
	}
	for i := range r.plain {
		if cap(r.plain[i]) > maxBuffer {
			r.plain[i] = nil
		}
	}
	r.names = 0
	return result
}
