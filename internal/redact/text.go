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
	const digits = "0123456789"
	set(digits, isDigit|isLocal)
	set("abcdefABCDEF", isHex)
	set("._%+-", isLocal)
	set("+/=-_", isBase64)
	set("._~+/=-", isToken)
	set("+-.eE", isNumber)
	set(" \t\r\n", isSpace)
	set("_-", isWord)
	trigger := func(chars string, of ...kind) {
		for _, k := range of {
			if r.on[k] {
				set(chars, isTrigger)
			}
		}
	}
	trigger("@%", email)
	trigger(digits, creditCard, ipv4, phone, iban)
	trigger("+", phone)
	trigger(":", ipv6, passwordInURL)
	trigger("A", awsKey)
	trigger("J", jwt)
	trigger("Bb", bearer)
	if len(r.keys) > 0 {
		set(":=", isTrigger)
	}
}

// text searches a text, and then the text that it encodes if its backslashes are escapes.
func (r *Redactor) text(b []byte, level int) {
	r.match(b)
	if level < maxLevels && bytes.IndexByte(b, '\\') >= 0 {
		r.decoded(b, level)
	}
}

// decoded searches the text that b encodes.
func (r *Redactor) decoded(b []byte, level int) {
	first := len(r.spans)
	plain := jsontext.AppendUnescape(r.plain[level][:0], b, -1)
	r.plain[level] = plain
	r.text(plain, level+1)
	if len(r.spans) > first {
		r.translate(first, b)
	}
}

// match adds what is found in b as it is.
func (r *Redactor) match(b []byte) {
	r.until, r.jwt, r.at = 0, 0, 0
	for i := 0; i < len(b); i++ {
		c := b[i]
		if r.class[c]&isTrigger == 0 {
			continue
		}
		switch c {
		case ':':
			r.colon(b, i)
		case '=':
			r.member(b, i)
		case '@':
			r.email(b, i, i+1)
		case '%': // of %40, an @ in a URL
			if i+2 < len(b) && b[i+1] == '4' && b[i+2] == '0' {
				r.email(b, i, i+3)
			}
		case '+':
			r.international(b, i)
		case 'A':
			r.accessKey(b, i)
		case 'J':
			r.token(b, i)
		case 'B', 'b':
			r.authorization(b, i)
		default:
			i = r.digits(b, i) - 1
		}
	}
	if r.pattern == nil {
		return
	}
	for _, m := range r.pattern.FindAllIndex(b, -1) {
		if m[1] > m[0] {
			r.found(b, m[0], m[1], byPattern)
		}
	}
}

// colon searches around the colon at b[i].
func (r *Redactor) colon(b []byte, i int) {
	if len(r.keys) > 0 {
		r.member(b, i)
	}
	if i+2 >= len(b) {
		return
	}
	if r.on[passwordInURL] && b[i+1] == '/' && b[i+2] == '/' {
		r.url(b, i)
	}
	if next := b[i+1]; r.on[ipv6] && (next == ':' || r.class[next]&(isDigit|isHex) != 0) {
		r.ipv6(b, i)
	}
}

// digits searches around the digits that begin at b[i]. It returns where they end.
func (r *Redactor) digits(b []byte, i int) (end int) {
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
		if r.class[before]&isUpper != 0 && r.on[iban] {
			r.iban(b, i)
		}
		return end
	}
	if r.class[after]&isLetter != 0 || before == '.' && i > 1 && r.class[b[i-2]]&isDigit != 0 {
		return end
	}
	n := end - i
	if n <= 3 && after == '.' && r.on[ipv4] {
		r.ipv4(b, i)
	}
	if r.on[creditCard] && (n >= 13 && n <= 19 || n >= 4 && (after == ' ' || after == '-')) {
		r.card(b, i)
	}
	if r.on[phone] && n <= 5 && end+1 < len(b) {
		r.national(b, i)
	}
	return end
}

// is reports whether b[i] exists and is one of these.
func (r *Redactor) is(b []byte, i int, what uint16) bool {
	return i >= 0 && i < len(b) && r.class[b[i]]&what != 0
}

// at returns b[i], or 0 if it does not exist.
func at(b []byte, i int) byte {
	if i < 0 || i >= len(b) {
		return 0
	}
	return b[i]
}
