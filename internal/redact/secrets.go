package redact

import "encoding/base64"

// accessKey matches the id of an AWS access key. Its A is b[i].
func (r *Redactor) accessKey(b []byte, i int) {
	const length = 20
	if i+length > len(b) || r.is(b, i-1, isAlnum) || r.is(b, i+length, isAlnum) {
		return
	}
	switch string(b[i : i+4]) {
	case "AKIA", "ASIA", "ABIA", "ACCA":
	default:
		return
	}
	for _, c := range b[i : i+length] {
		if r.class[c]&(isUpper|isDigit) == 0 {
			return
		}
	}
	r.found(b, i, i+length, awsKey)
}

// token matches a JSON web token: three or five parts in base64 with dots between them.
// It begins with eyJ, and its J is b[i].
func (r *Redactor) token(b []byte, i int) {
	const minHeader, minRest = 12, 4
	start := i - 2
	if start < r.jwt || i+1 == len(b) || string(b[start:i]) != "ey" || r.is(b, start-1, isAlnum) {
		return
	}
	end, dots, first := i, 0, 0
	for ; end < len(b); end++ {
		if c := b[end]; c == '.' && dots < 4 {
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
	for dots > 2 && b[end-1] == '.' { // of the sentence
		end--
		dots--
	}
	if dots < 2 || first-start < minHeader || end-first < minRest {
		return
	}
	r.found(b, start, end, jwt)
}

// authorization matches the token after Bearer, and the name and password after Basic.
// The B is b[i].
func (r *Redactor) authorization(b []byte, i int) {
	isBearer := hasFold(b, i, "Bearer")
	if !isBearer && !hasFold(b, i, "Basic") || r.is(b, i-1, isAlnum) {
		return
	}
	start := i + len("Basic")
	if isBearer {
		start++
	}
	word := start
	for start-word < 4 && at(b, start) == ' ' {
		start++
	}
	end, digit := start, false
	for r.is(b, end, isAlnum|isToken) {
		digit = digit || r.class[b[end]]&isDigit != 0
		end++
	}
	for end > start && b[end-1] == '.' {
		end--
	}
	if start == word || end == start {
		return
	}
	n := end - start
	if r.afterAuthorization(b, i) || isBearer && (n >= 24 || n >= 8 && digit) || !isBearer && hasColon(b[start:end]) {
		r.found(b, start, end, bearer)
	}
}

// afterAuthorization reports whether b[i] is the beginning of an Authorization header's
// value.
func (r *Redactor) afterAuthorization(b []byte, i int) bool {
	const name = "authorization"
	from := i
	for i > 0 && from-i < 8 && r.class[b[i-1]]&isAlnum == 0 {
		i--
	}
	return i < from && hasFold(b, i-len(name), name)
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
// b[i].
func (r *Redactor) url(b []byte, i int) {
	const longest = 512
	if !r.is(b, i-1, isAlnum) || at(b, i+3) == '[' {
		return
	}
	start, end := 0, 0
	port := true // so far, the password has digits only
	for j := i + 3; j < len(b) && j-i < longest; j++ {
		switch c := b[j]; c {
		case ':':
			if start == 0 {
				start = j + 1
				continue
			}
		case '@':
			end = j
			continue
		case ' ', '\t', '\r', '\n', '"', '\'', '`', '<', '>', '\\':
			j = len(b)
			continue
		case '/', '?', '#':
			if start == 0 || port || end > 0 {
				j = len(b)
				continue
			}
		}
		if start > 0 && j >= start && b[j]-'0' > 9 {
			port = false
		}
	}
	if start > 0 && end > start {
		r.found(b, start, end, passwordInURL)
		r.at = end
	}
}
