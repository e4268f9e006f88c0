package redact

import (
	"bytes"
	"strings"

	"github.com/kinetel/kinetel/internal/jsontext"
)

// What the value of a key has to be. With byKey, it may be anything.
const (
	secret = kinds + iota // an AWS secret access key
	token                 // an AWS session token
)

// key is the name of a member whose value is redacted.
type key struct {
	name []byte
	what kind
}

// minToken is how long an AWS session token is at least. They have some hundred bytes.
const minToken = 64

func (r *rules) addKey(name string, what kind) {
	if name == "" {
		return
	}
	if what == byKey {
		r.on |= 1 << byKey
	}
	r.keys = append(r.keys, key{[]byte(name), what})
	r.longest = max(r.longest, len(name))
	last := name[len(name)-1]
	r.class[last] |= isKeyEnd
	if c := last | 0x20; c >= 'a' && c <= 'z' {
		r.class[c] |= isKeyEnd
		r.class[c-0x20] |= isKeyEnd
	}
}

// addKeys adds keys, each of which a blank follows.
func (r *rules) addKeys(names string, what kind) {
	for len(names) > 0 {
		n := strings.IndexByte(names, ' ')
		r.addKey(names[:n], what)
		names = names[n+1:]
	}
}

// secretEnd returns where the secret ends that begins at b[i] and is what the key's name
// says; 0 if there is none.
func (k *key) secretEnd(b []byte, i int) int {
	begin := i
	for i < len(b) {
		c := b[i]
		if !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '+' || c == '/' || k.what == token && (c == '%' || c == '-' || c == '_')) {
			break
		}
		i++
	}
	for i < len(b) && b[i] == '=' {
		i++
	}
	if n := i - begin; k.what == secret && n != 40 || k.what == token && n < minToken {
		return 0
	}
	return i
}

// keyOf returns the key with a name, which may have escapes; nil if there is none.
func (r *Redactor) keyOf(name []byte) *key {
	if bytes.IndexByte(name, '\\') >= 0 {
		r.name = jsontext.AppendUnescape(r.name[:0], name[:min(len(name), 6*r.longest)], -1)
		name = r.name
	}
	for i := range r.keys {
		if k := &r.keys[i]; len(k.name) == len(name) && bytes.EqualFold(k.name, name) {
			return k
		}
	}
	return nil
}

// member redacts the value of a key in a text: name: value, name=value, "name": value,
// name => value. The colon or the equals sign is b[i].
func (r *Redactor) member(i int) {
	b := r.b
	if i < r.until {
		return // inside another value
	}
	k, quote := r.keyBefore(i)
	if k == nil {
		return
	}
	i++
	for i < len(b) && (b[i] == '=' || b[i] == '>') {
		i++
	}
	spaces := i
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || quote > 0 && r.class[b[i]]&isSpace != 0) {
		i++
	}
	if i == len(b) {
		return
	}
	for r.value < len(r.values) && r.values[r.value].end <= i {
		r.value++
	}
	if r.value < len(r.values) && r.values[r.value].start <= i+1 {
		return // found before, with its escapes
	}
	if k.what != byKey {
		if r.is(i, isQuote) {
			i++
		}
		if end := k.secretEnd(b, i); end > 0 {
			r.found(i, end, awsKey)
		}
		return
	}
	s := span{start: i, what: byKey}
	constructor := r.constructorEnd(i)
	switch c := b[i]; {
	case r.class[c]&isQuote != 0:
		s.start++
		s.end = quoteEnd(b, s.start, c)
	case constructor > i:
		s.end = constructor
	case quote > 0:
		s.end = r.literalEnd(i)
	default:
		s.end = r.wordEnd(i, i > spaces && b[spaces-1] == ':')
	}
	if quote == '"' && s.start == i {
		s.quotes = 1
	}
	if s.end <= s.start {
		return
	}
	r.add(s)
	r.until = s.end
}

// keyBefore returns the key whose name ends before the colon or the equals sign at i, and
// the quote around the name; 0 if there is none.
func (r *Redactor) keyBefore(i int) (k *key, quote byte) {
	for r.is(i-1, isSpace) {
		i--
	}
	if r.at(i-1) == ']' { // user[password]=x
		i--
	}
	if i == 0 {
		return nil, 0
	}
	if r.is(i-1, isQuote) {
		quote = r.at(i - 1)
		return r.quotedName(i-1, quote), quote
	}
	return r.bareName(i), 0
}

// quotedName returns the key whose name ends before the quote b[end].
func (r *Redactor) quotedName(end int, quote byte) *key {
	b := r.b
	if !r.is(end-1, isKeyEnd) && !(end >= 6 && b[end-6] == '\\' && b[end-5] == 'u') {
		return nil
	}
	start := end
	for start > 0 && end-start <= 6*r.longest && b[start-1] != quote {
		start--
	}
	if r.at(start-1) != quote {
		return nil
	}
	return r.keyOf(b[start:end])
}

// bareName returns the key whose name ends before b[end], and is a whole word.
func (r *Redactor) bareName(end int) *key {
	b := r.b
	if r.class[b[end-1]]&isKeyEnd == 0 {
		return nil
	}
	for i := range r.keys {
		k := &r.keys[i]
		start := end - len(k.name)
		if start < 0 || !bytes.EqualFold(b[start:end], k.name) {
			continue
		}
		for r.at(start-1) == '-' { // of an option on a command line
			start--
		}
		if !r.is(start-1, isAlnum|isWord) {
			return k
		}
	}
	return nil
}

// constructorEnd returns where a value ends that begins with a bracket, or with a word and
// a bracket, such as Some("x"), or with a prefix and a quote, such as b'x'; i if it is none.
func (r *Redactor) constructorEnd(i int) int {
	word := i
	for r.is(word, isAlnum) || r.at(word) == '_' || word > i && r.at(word) == '.' {
		word++
	}
	switch c := r.at(word); {
	case c == '{' || c == '[' || c == '(':
		return bracketEnd(r.b, word)
	case r.class[c]&isQuote != 0 && isOneOf("b u r f br rb L N ", r.b[i:word]):
		return min(quoteEnd(r.b, word+1, c)+1, len(r.b))
	}
	return i
}

// quoteEnd returns the index of the quote that ends a text that begins at b[i], or
// len(b). Two quotes in the text stand for one, except at its beginning: it may be empty.
func quoteEnd(b []byte, i int, quote byte) int {
	for begin := i; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case quote:
			if i == begin || i+1 == len(b) || b[i+1] != quote {
				return i
			}
			i++
		}
	}
	return len(b)
}

// bracketEnd returns the index after the bracket that matches b[i], or len(b).
func bracketEnd(b []byte, i int) int {
	for depth := 0; i < len(b); i++ {
		switch c := b[i]; c {
		case '{', '[', '(':
			depth++
		case '}', ']', ')':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"', '\'', '`':
			i = quoteEnd(b, i+1, c)
		}
	}
	return len(b)
}

// literalEnd returns where a number or a word such as true ends that is the value of a
// quoted name.
func (r *Redactor) literalEnd(i int) int {
	b := r.b
	for i < len(b) && r.class[b[i]]&(isSpace|isEnd) == 0 && !r.isEscapedQuote(i) {
		i++
	}
	return i
}

// isEscapedQuote reports whether backslashes and a quote begin at b[i], such as \" or \u0022.
func (r *Redactor) isEscapedQuote(i int) bool {
	begin := i
	for r.at(i) == '\\' {
		i++
	}
	return i > begin && (r.is(i, isQuote) || hasFold(r.b, i, "u0022") || hasFold(r.b, i, "u0027"))
}

// wordEnd returns where a value ends that has neither quotes nor brackets. Behind a
// colon and white space, that is the end of the line, as in a header; otherwise white
// space ends it, unless it follows the scheme of an Authorization header.
func (r *Redactor) wordEnd(i int, header bool) int {
	b := r.b
	start, scheme := i, false
	for ; i < len(b); i++ {
		switch c := b[i]; {
		case c == '\n' || c == '\r':
			return i
		case c == ' ' || c == '\t':
			scheme = scheme || isOneOf(schemes, b[start:i])
			if !header && !scheme {
				return i
			}
		case c == '\\':
			if r.isEscapedQuote(i) {
				return i
			}
			for r.at(i+1) == '\\' {
				i++
			}
		case c == '&':
			if !header {
				return i
			}
		case r.class[c]&isEnd != 0:
			if !scheme && !(c == ';' && header) && !r.is(i+1, isAlnum) {
				return i
			}
		}
	}
	return i
}

// schemes are those of HTTP authentication: after one, the rest of the line is the value.
const schemes = "Bearer Basic Digest Negotiate Token ApiKey AWS4-HMAC-SHA256 "

// isOneOf reports whether a word is one of words, each of which a blank follows. The case
// does not matter.
func isOneOf(words string, word []byte) bool {
	for len(words) > 0 {
		n := strings.IndexByte(words, ' ')
		if n == len(word) && hasFold(word, 0, words[:n]) {
			return true
		}
		words = words[n+1:]
	}
	return false
}

// hasFold reports whether b[i:] begins with an ASCII word, in any case.
func hasFold(b []byte, i int, word string) bool {
	return i >= 0 && i+len(word) <= len(b) && bytes.EqualFold(b[i:i+len(word)], []byte(word))
}
