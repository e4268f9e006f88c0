package redact

const (
	maxLocal  = 128 // RFC 5321 allows 64; bounces may have more
	maxDomain = 255
)

// email matches an e-mail address. The @, or %40, is b[i:next].
func (r *Redactor) email(b []byte, i, next int) {
	start := i
	for start > 0 && i-start < maxLocal {
		c := b[start-1]
		switch {
		case r.class[c]&isLocal != 0:
			start--
			continue
		case c == '\'' && start < i && r.is(b, start-2, isLetter): // o'neill
			start--
			continue
		case start > 1 && c&0xc0 == 0x80 && b[start-2] >= 0xc3 && b[start-2] <= 0xc9: // ü
			start -= 2
			continue
		}
		break
	}
	for start < i && (b[start] == '.' || b[start] == '-' || b[start] == '%') {
		start++
	}
	if start == i || b[i-1] == '.' || i == r.at || string(b[start:i]) == "git" {
		return
	}
	if end := r.domain(b, next); end > 0 {
		r.found(b, start, end, email)
	}
}

// domain returns where the domain ends that begins at b[i]; 0 if there is none. Its last
// label has letters only.
func (r *Redactor) domain(b []byte, i int) (end int) {
	from, labels := i, 0
	for ; i < len(b) && i-from < maxDomain; i++ {
		label := i
		letters := true
		for i < len(b) && i-from < maxDomain {
			c := b[i]
			if c == '-' || c-'0' < 10 {
				letters = false
			} else if r.class[c]&isLetter == 0 && c < 0xc3 && !(c >= 0x80 && i > label && b[i-1] >= 0xc3) {
				break
			}
			i++
		}
		n := i - label
		if n == 0 {
			break
		}
		labels++
		isVersion := labels == 2 && b[from]-'0' < 10 && b[label]-'0' < 10 // name@1.2.3-rc.beta
		isScale := labels == 2 && label-from == 3 && b[from+1] == 'x'     // name@2x.png
		if isVersion || isScale {
			return 0
		}
		if labels > 1 && (letters && n >= 2 || n > 4 && hasFold(b, label, "xn--")) {
			end = i
		}
		if at(b, i) != '.' {
			break
		}
	}
	return end
}
