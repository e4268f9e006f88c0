package redact

// maxLocal bounds the local part of an address. RFC 5321 allows 64 bytes.
const maxLocal = 128

// email matches an e-mail address. The @, or %40, is r.b[i:next]. Text in other scripts may
// have no blanks around an address, so their characters belong to it only if one of them
// is beside the @, or begins the part of the domain.
func (r *Redactor) email(i, next int) {
	start, ascii := i, r.at(i-1) < 0x80
	for start > 0 && i-start < maxLocal {
		c := r.at(start - 1)
		switch {
		case r.class[c]&isLocal != 0, c >= 0x80 && !ascii:
			start--
			continue
		case (c == '\'' || c == '&' || c == '#' || c == '!') && start < i && r.is(start-2, isAlnum): // o'neill
			start--
			continue
		case start > 1 && c&0xc0 == 0x80 && r.at(start-2) >= 0xc3 && r.at(start-2) <= 0xc9: // ü
			start -= 2
			continue
		}
		break
	}
	for start < i && (r.at(start) == '.' || r.at(start) == '-' || r.at(start) == '%') {
		start++
	}
	if start == i || r.at(i-1) == '.' || i == r.atSign || string(r.b[start:i]) == "git" {
		return
	}
	if end := r.domain(next); end > 0 {
		r.found(start, end, email)
	}
}

// domain returns where the domain ends that begins at i; 0 if there is none. Its last
// label has letters only.
func (r *Redactor) domain(i int) (end int) {
	from, label, labels, letters := i, i, 1, true
	for ; ; i++ {
		c := r.at(i)
		if r.class[c]&isLetter != 0 {
			continue
		}
		if c >= 0xc3 && c <= 0xc9 && r.at(i+1)&0xc0 == 0x80 { // ü
			i++
			continue
		}
		if c >= 0x80 && r.at(label) >= 0x80 {
			continue
		}
		if c == '-' || c == '_' || r.class[c]&isDigit != 0 {
			letters = false
			continue
		}
		n := i - label
		// name@1.2.3-rc.beta is a version, and name@2x.png an image.
		if n == 0 || labels == 2 && r.is(from, isDigit) && (r.is(label, isDigit) || label-from == 3 && r.at(from+1) == 'x') {
			return end
		}
		if labels > 1 && (letters && n > 1 || hasFold(r.b, label, "xn--")) {
			end = i
		}
		if c != '.' {
			return end
		}
		label, labels, letters = i+1, labels+1, true
	}
}
