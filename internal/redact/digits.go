package redact

// card matches the number of a payment card whose first digits begin at i: 13 to 19
// digits, in groups with one blank or one hyphen between them, or in one.
func (r *Redactor) card(i int) {
	var digits [19]byte
	n, end := 0, 0
	separator := byte(0)
	for j := i; ; {
		group := j
		for ; r.is(j, isDigit) && n < len(digits); j++ {
			digits[n] = r.at(j) - '0'
			n++
		}
		after := r.at(j)
		if r.class[after]&isAlnum != 0 {
			break // a letter, or too many digits
		}
		number := after == '.' && r.is(j+1, isDigit) || after == '-' && r.is(j+1, isLetter)
		if !number && n >= 13 && isCard(digits[:n]) {
			end = j
		}
		if j-group < 3 || group == i && j-group < 4 || after != ' ' && after != '-' || separator != 0 && after != separator || n == len(digits) || !r.is(j+1, isDigit) {
			break
		}
		separator = after
		j++
	}
	switch {
	case end == 0,
		separator == '-' && (r.at(i-1) == '-' && r.is(i-2, isDigit) || r.at(end) == '-' && r.is(end+1, isAlnum)):
		return
	}
	r.found(i, end, creditCard)
}

// isCard reports whether an issuer gives out such numbers, and the last digit is right.
func isCard(digits []byte) bool {
	n := len(digits)
	prefix := 0
	for _, d := range digits[:6] {
		prefix = 10*prefix + int(d)
	}
	in := func(from, to int) bool { return prefix >= from && prefix < to }
	switch {
	case in(400000, 500000): // Visa
		if n != 13 && n != 16 && n != 19 {
			return false
		}
	case in(510000, 560000), in(222100, 272100), // Mastercard
		in(508000, 509000), in(600000, 601100), in(601200, 610000), in(810000, 830000): // RuPay
		if n != 16 {
			return false
		}
	case in(340000, 350000), in(370000, 380000): // American Express
		if n != 15 {
			return false
		}
	case in(300000, 306000), in(309500, 309600), in(360000, 370000), in(380000, 400000): // Diners
		if n != 14 && n != 16 {
			return false
		}
	case in(601100, 601200), in(644000, 660000), in(620000, 630000), // Discover, UnionPay
		in(352800, 359000), in(220000, 220500): // JCB, Mir
		if n < 16 {
			return false
		}
	case in(501800, 501900), in(502000, 502100), in(503800, 503900), in(589300, 589400), in(630400, 630500), in(675900, 676000), in(676100, 676400): // Maestro
	default:
		return false
	}
	sum := 0 // Luhn
	for i, d := range digits {
		if (n-i)%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += int(d)
	}
	return sum%10 == 0
}

// ipv4End returns where the IPv4 address ends that begins at i; 0 if there is none.
func (r *Redactor) ipv4End(i int) int {
	for part := range 4 {
		if part > 0 {
			if r.at(i) != '.' {
				return 0
			}
			i++
		}
		n, first := 0, i
		for ; r.is(i, isDigit); i++ {
			if n = 10*n + int(r.at(i)-'0'); n > 255 {
				return 0
			}
		}
		if i == first || r.at(first) == '0' && i > first+1 {
			return 0
		}
	}
	if r.is(i, isLetter) || r.at(i) == '_' || r.at(i) == '.' && r.is(i+1, isAlnum) {
		return 0
	}
	return i
}

// ipv4 matches an IPv4 address that begins at i. Some versions have four parts, too:
// what looks like a version is none.
func (r *Redactor) ipv4(i int) {
	end := r.ipv4End(i)
	if end == 0 {
		return
	}
	// Chrome/120.0.0.0
	if r.at(i-1) == '/' && r.is(i-2, isLetter) && string(r.b[end-6:end]) == ".0.0.0" {
		return
	}
	word := i
	for n := 0; n < 3 && word > 0 && (r.at(word-1) == ' ' || r.at(word-1) == ':' || r.at(word-1) == '='); n++ {
		word--
	}
	if word < i && hasFold(r.b, word-len("version"), "version") {
		return
	}
	r.found(i, end, ipv4)
}
