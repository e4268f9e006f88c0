package redact

import "encoding/base64"

// accessKey matches the id of an AWS access key. Its A is at i.
func (r *Redactor) accessKey(i int) {
	const length = 20
	if i+length > len(r.b) || r.is(i-1, isAlnum) || r.is(i+length, isAlnum) {
		return
	}
	if !isOneOf("AKIA ASIA ABIA ACCA ", r.b[i:i+4]) {
		return
	}
	for _, c := range r.b[i : i+length] {
		if r.class[c]&(isUpper|isDigit) == 0 {
			return
		}
	}
	r.found(i, i+length, awsKey)
}

// token matches a JSON web token: three or five parts in base64 with dots between them.
// It begins with eyJ, and its J is at i.
func (r *Redactor) token(i int) {
	const minHeader, minRest = 12, 4
	start := i - 2
	if start < r.jwt || i+1 == len(r.b) || string(r.b[start:i]) != "ey" || r.is(start-1, isAlnum) {
		return
	}
	end, dots, first := i, 0, 0
	for ; end < len(r.b); end++ {
		if c := r.at(end); c == '.' && dots < 4 {
			if dots++; dots == 1 {
				first = end
			}
		} else if r.class[c]&isAlnum == 0 && c != '-' && c != '_' {
			break
		}
	}
	if dots < 2 {
		r.jwt = end // another eyJ in it is no beginning either
	}
	for dots > 2 && r.at(end-1) == '.' { // of the sentence
		end--
		dots--
	}
	if dots < 2 || first-start < minHeader || end-first < minRest {
		return
	}
	r.found(start, end, jwt)
	r.jwt = end // nor in a token that was found
}

// authorization matches the token after Bearer, and the name and password after Basic.
// The B is at i.
func (r *Redactor) authorization(i int) {
	isBearer := hasFold(r.b, i, "Bearer")
	if !isBearer && !hasFold(r.b, i, "Basic") || r.is(i-1, isAlnum) {
		return
	}
	start := i + len("Basic")
	if isBearer {
		start++
	}
	word := start
	for start-word < 4 && (r.at(start) == ' ' || r.at(start) == '\t') {
		start++
	}
	if start == word {
		return
	}
	if r.is(start, isQuote) {
		start++
	}
	end, digit := start, false
	for r.is(end, isAlnum|isToken) {
		digit = digit || r.is(end, isDigit)
		end++
	}
	for end > start && r.at(end-1) == '.' {
		end--
	}
	if end == start {
		return
	}
	n := end - start
	if r.afterAuthorization(i) || isBearer && (n >= 24 || n >= 8 && digit) || !isBearer && hasColon(r.b[start:end]) {
		r.found(start, end, bearer)
	}
}

// afterAuthorization reports whether i is the beginning of an Authorization header's
// value. In JSON, the name may be that of the member.
func (r *Redactor) afterAuthorization(i int) bool {
	const name = "authorization"
	if i == 0 && r.authorized {
		return true
	}
	from := i
	for i > 0 && from-i < 8 && !r.is(i-1, isAlnum) {
		i--
	}
	return i < from && hasFold(r.b, i-len(name), name)
}

// hasColon reports whether text is base64 of a text with a colon, such as a name and a
// password.
func hasColon(text []byte) bool {
	const most = 96
	var plain [most / 4 * 3]byte
	n, _ := base64.StdEncoding.Decode(plain[:], text[:min(len(text), most)])
	colon := false
	for _, c := range plain[:n] {
		if c < ' ' {
			return false
		}
		colon = colon || c == ':'
	}
	return colon
}

// url matches the password in a URL: scheme://user:password@host. The colon of :// is
// at i. Passwords have no bound: those of some AWS services are tokens of 2 KiB and more.
// The time stays linear: what is searched without a result is not searched again, and
// what ends at a slash has no other :// in it.
func (r *Redactor) url(i int) {
	if i < r.noURL || i < r.atSign || !r.is(i-1, isAlnum) || r.at(i+3) == '[' {
		return
	}
	start, end := 0, 0
	port := true // so far, the password has digits only
	slash := false
	j := i + 3
search:
	for ; j < len(r.b); j++ {
		switch c := r.at(j); c {
		case ':':
			if start == 0 {
				start = j + 1
				continue
			}
		case '@':
			end = j
			continue
		case ' ', '\t', '\r', '\n', '"', '\'', '`', '<', '>', '\\':
			break search
		case '/', '?', '#':
			if start == 0 || port || end > 0 {
				slash = true
				break search
			}
		}
		if start > 0 && j >= start && r.at(j)-'0' > 9 {
			port = false
		}
	}
	switch {
	case start > 0 && end > start:
		r.found(start, end, passwordInURL)
		r.atSign = end
	case end == 0 && !slash:
		r.noURL = j
	}
}
