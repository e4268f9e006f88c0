package redact

import (
	"bytes"

	"github.com/kinetel/kinetel/internal/jsontext"
)

// What a byte may be in a text.
const (
	isDigit   uint16 = 1 << iota
	isUpper          // a capital letter
	isLower          // a small letter
	isHex            // a letter that is a hexadecimal digit
	isLocal          // in the local part of an address
	isBase64         // + / = - _ beside letters and digits: both alphabets
	isToken          // in a bearer token, beside letters and digits: . _ ~ + / = -
	isSpace          // white space
	isNumber         // in a JSON number, beside digits
	isWord           // in a name, beside letters and digits: _ - and what is not ASCII
	isQuote          // " ' `
	isEnd            // it may end a value
	isKeyEnd         // the last letter of a key
	isTrigger        // a pattern may begin here, or have begun
	isLetter  = isUpper | isLower
	isAlnum   = isLetter | isDigit
)

// classify fills in class.
func (r *rules) classify() {
	set := func(chars string, what uint16) {
		for i := range len(chars) {
			r.class[chars[i]] |= what
		}
	}
	for c := range 26 {
		r.class['A'+c] |= isUpper | isLocal
		r.class['a'+c] |= isLower | isLocal
	}
	for c := 0x80; c < 0x100; c++ {
		r.class[c] |= isWord
	}
	set("0123456789", isDigit|isLocal)
	set("abcdefABCDEF", isHex)
	set("._%+-", isLocal)
	set("+/=-_", isBase64)
	set("._~+/=-", isToken)
	set("+-.eE", isNumber)
	set(" \t\r\n", isSpace)
	set("_-", isWord)
	set("\"'`", isQuote)
	set(";,)}]\"'><", isEnd)
	for i := range triggers {
		if t := &triggers[i]; r.on&t.of != 0 {
			set(t.chars, isTrigger)
		}
	}
	if len(r.keys) > 0 {
		set(":=", isTrigger)
	}
}

// triggers are the bytes at which match looks for a pattern.
var triggers = [...]struct {
	of    uint16 // patterns
	chars string
}{
	{1 << email, "@%"},
	{1<<creditCard | 1<<ipv4 | 1<<phone | 1<<iban, "0123456789"},
	{1 << phone, "+"},
	{1<<ipv6 | 1<<passwordInURL, ":"},
	{1 << awsKey, "A"},
	{1 << jwt, "J"},
	{1 << bearer, "Bb"},
}

// text searches a text, and then the text that it encodes if its backslashes are escapes.
// JSON is searched as such, so that it stays JSON.
func (r *Redactor) text(b []byte, level int) {
	if isJSON(b) {
		outer := r.outer
		r.outer = len(r.values) // JSON says itself where a value ends
		r.json(b, 0, len(b), level)
		r.outer = outer
		return
	}
	first := len(r.spans)
	r.match(b)
	if level < maxLevels && bytes.IndexByte(b, '\\') >= 0 {
		r.decoded(b, level, first)
	}
}

// decoded searches the text that b encodes. The spans from first on are in b.
func (r *Redactor) decoded(b []byte, level, first int) {
	plain := jsontext.AppendUnescape(r.plain[level][:0], b, -1)
	r.plain[level] = plain
	// A key's value ends where its own level says: without their escapes, the quotes in
	// it look like its end.
	outer, n := r.outer, len(r.values)
	for k := outer; k < n; k++ {
		r.pushValue(&r.values[k])
	}
	for k := first; k < len(r.spans); k++ {
		if s := &r.spans[k]; s.what == byKey {
			r.pushValue(s)
		}
	}
	translate(r.values[n:], b, true)
	r.outer = n
	first = len(r.spans)
	r.text(plain, level+1)
	r.outer, r.values = outer, r.values[:n]
	translate(r.spans[first:], b, false)
}

func (r *Redactor) pushValue(s *span) { r.values = append(r.values, *s) }

// match adds what is found in b as it is.
func (r *Redactor) match(b []byte) {
	r.b, r.until, r.jwt, r.atSign, r.noURL, r.value = b, 0, 0, 0, 0, r.outer
	for i := 0; i < len(b); i++ {
		c := b[i]
		if r.class[c]&isTrigger == 0 {
			continue
		}
		switch c {
		case ':':
			r.colon(i)
		case '=':
			r.member(i)
		case '@':
			r.email(i, i+1)
		case '%': // of %40, an @ in a URL
			if i+2 < len(b) && b[i+1] == '4' && b[i+2] == '0' {
				r.email(i, i+3)
			}
		case '+':
			r.international(i)
		case 'A':
			r.accessKey(i)
		case 'J':
			r.token(i)
		case 'B', 'b':
			r.authorization(i)
		default:
			i = r.digits(i) - 1
		}
	}
	if !r.pattern.MayMatch(b) {
		return
	}
	for _, m := range r.pattern.FindAllIndex(b, -1) {
		if m[1] > m[0] {
			r.found(m[0], m[1], byPattern)
		}
	}
}

// colon searches around the colon at b[i].
func (r *Redactor) colon(i int) {
	if len(r.keys) > 0 {
		r.member(i)
	}
	next := r.at(i + 1)
	if next == '/' && r.on&(1<<passwordInURL) != 0 && r.at(i+2) == '/' {
		r.url(i)
	}
	if r.on&(1<<ipv6) != 0 && (next == ':' || r.class[next]&(isDigit|isHex) != 0) {
		r.ipv6(i)
	}
}

// digits searches around the digits that begin at b[i]. It returns where they end.
func (r *Redactor) digits(i int) (end int) {
	b := r.b
	for end = i + 1; end < len(b) && r.class[b[end]]&isDigit != 0; {
		end++
	}
	var before, after byte
	if i > 0 {
		before = b[i-1]
	}
	if end < len(b) {
		after = b[end]
	}
	if r.class[before]&isAlnum != 0 {
		if r.class[before]&isUpper != 0 && r.on&(1<<iban) != 0 {
			r.iban(i)
		}
		return end
	}
	if r.class[after]&isLetter != 0 || before == '.' && i > 1 && r.class[b[i-2]]&isDigit != 0 {
		return end
	}
	n := end - i
	if n <= 3 && after == '.' && r.on&(1<<ipv4) != 0 {
		r.ipv4(i)
	}
	if r.on&(1<<creditCard) != 0 && (n >= 13 && n <= 19 || n >= 4 && (after == ' ' || after == '-')) {
		r.card(i)
	}
	if r.on&(1<<phone) != 0 && n <= 5 && isPhoneSeparator(after) && (before == '(' || b[i] == '0' || n == 3 || n == 1) {
		r.national(i)
	}
	return end
}

// is reports whether the byte at i exists and is one of these.
func (r *Redactor) is(i int, what uint16) bool { return r.class[r.at(i)]&what != 0 }

// at returns the byte at i, or 0 if it does not exist.
func (r *Redactor) at(i int) byte {
	if uint(i) >= uint(len(r.b)) {
		return 0
	}
	return r.b[i]
}
