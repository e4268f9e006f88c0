package redact

const (
	maxLocal  = 128 // RFC 5321 allows 64; bounces may have more
	maxDomain = 255
)

// email matches an e-mail address. The @, or %40, is r.b[i:next].
func (r *Redactor) email(i, next int) {
	start := i
	for start > 0 && i-start < maxLocal {
		c := r.at(start - 1)
		switch {
		case r.class[c]&isLocal != 0:
			start--
			continue
		case c == '\'' && start < i && r.is(start-2, isLetter): // o'neill
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
	from, labels := i, 0
	for ; i < len(r.b) && i-from < maxDomain; i++ {
		label := i
		letters := true
		for i < len(r.b) && i-from < maxDomain {
			c := r.at(i)
			if c == '-' || c-'0' < 10 {
				letters = false
			} else if r.class[c]&isLetter == 0 && (c < 0xc3 || c > 0xf4) && !(c >= 0x80 && c < 0xc0 && i > label && r.at(i-1) >= 0x80) {
				break
			}
			i++
		}
		n := i - label
		if n == 0 {
			break
		}
		labels++
		isVersion := labels == 2 && r.at(from)-'0' < 10 && r.at(label)-'0' < 10                 // name@1.2.3-rc.beta
		isScale := labels == 2 && label-from == 3 && r.is(from, isDigit) && r.at(from+1) == 'x' // name@2x.png
		if isVersion || isScale {
			return 0
		}
		if labels > 1 && (letters && n >= 2 || n > 4 && hasFold(r.b, label, "xn--")) {
			end = i
		}
		if r.at(i) != '.' {
			break
		}
	}
	return end
}
