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

// issuers are the first six digits of cards, from and to, and how many digits these
// cards have: bit n stands for n digits.
var issuers = [...]struct{ from, to, lengths uint32 }{
	{220000, 220499, 0xf << 16},             // Mir
	{222100, 272099, 1 << 16},               // Mastercard
	{300000, 305999, 1<<14 | 1<<16},         // Diners Club
	{309500, 309599, 1<<14 | 1<<16},         // Diners Club
	{340000, 349999, 1 << 15},               // American Express
	{352800, 358999, 0xf << 16},             // JCB
	{360000, 369999, 1<<14 | 1<<16},         // Diners Club
	{370000, 379999, 1 << 15},               // American Express
	{380000, 399999, 1<<14 | 1<<16},         // Diners Club
	{400000, 499999, 1<<13 | 1<<16 | 1<<19}, // Visa
	{501800, 501899, 0x7f << 13},            // Maestro
	{502000, 502099, 0x7f << 13},            // Maestro
	{503800, 503899, 0x7f << 13},            // Maestro
	{508000, 508999, 1 << 16},               // RuPay
	{510000, 559999, 1 << 16},               // Mastercard
	{589300, 589399, 0x7f << 13},            // Maestro
	{600000, 609999, 0xf << 16},             // RuPay, Discover
	{620000, 629999, 0xf << 16},             // UnionPay
	{630400, 630499, 0x7f << 13},            // Maestro
	{644000, 659999, 0xf << 16},             // Discover, RuPay
	{675900, 675999, 0x7f << 13},            // Maestro
	{676100, 676399, 0x7f << 13},            // Maestro
	{810000, 829999, 1 << 16},               // RuPay
}

// isCard reports whether an issuer gives out such numbers, and the last digit is right.
func isCard(digits []byte) bool {
	prefix := uint32(0)
	for _, d := range digits[:6] {
		prefix = 10*prefix + uint32(d)
	}
	known := false
	for i := range issuers {
		known = known || prefix >= issuers[i].from && prefix <= issuers[i].to && issuers[i].lengths>>len(digits)&1 == 1
	}
	sum := 0 // Luhn
	for i, d := range digits {
		if (len(digits)-i)%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += int(d)
	}
	return known && sum%10 == 0
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
