package redact

// ipv6 matches an IPv6 address whose first colon is at i.
func (r *Redactor) ipv6(i int) {
	start := i
	for r.is(start-1, isDigit|isHex) && i-start < 5 {
		start--
	}
	if i-start > 4 || start == i && r.at(i+1) != ':' || !r.beforeIPv6(start) {
		return
	}
	end := r.ipv6End(start)
	if end == 0 {
		return
	}
	if r.at(end) == '%' { // the zone
		zone := end + 1
		for zone-end < 16 && r.is(zone, isAlnum) {
			zone++
		}
		if zone > end+1 {
			end = zone
		}
	}
	r.found(start, end, ipv6)
}

// beforeIPv6 reports whether an address may begin at i.
func (r *Redactor) beforeIPv6(i int) bool {
	switch before := r.at(i - 1); {
	case before == '_' || r.class[before]&isAlnum != 0:
		return false
	case before == ':': // the end of a name, but not the middle of what is no address
		if r.at(i) == ':' { // host:::1, but not arn:aws:s3:::1
			return r.is(i-2, isLetter) && !r.is(i-2, isHex)
		}
		return r.isName(i - 1)
	case before == '[': // not items[::2]
		return !r.is(i-2, isAlnum|isWord) && r.at(i-2) != ']' && r.at(i-2) != ')'
	}
	return true
}

// isName reports whether the word before i is no group of an address.
func (r *Redactor) isName(i int) bool {
	letter, end := false, i
	for r.is(i-1, isAlnum|isWord) && end-i <= 4 {
		i--
		letter = letter || !r.is(i, isDigit|isHex)
	}
	return letter || end-i > 4
}

// ipv6End returns where the IPv6 address ends that begins at i; 0 if there is none.
func (r *Redactor) ipv6End(i int) int {
	groups, twos := 0, 0 // twos: groups of two digits, as in a MAC address
	short, digit := false, false
	for {
		if r.at(i) == ':' && r.at(i+1) == ':' {
			if short {
				return 0
			}
			short = true
			if i += 2; !r.is(i, isDigit|isHex) {
				break
			}
		} else if groups > 0 {
			if r.at(i) != ':' || !r.is(i+1, isDigit|isHex) {
				break
			}
			i++
		}
		group, decimal := i, true
		for ; r.is(i, isDigit|isHex); i++ {
			if r.at(i) > '9' {
				decimal = false
			} else {
				digit = true
			}
		}
		if decimal && r.at(i) == '.' {
			if end := r.ipv4End(group); end > 0 {
				groups, i = groups+2, end
				break
			}
		}
		if i == group || i-group > 4 {
			return 0
		}
		if i-group == 2 {
			twos++
		}
		if groups++; groups > 8 {
			return 0
		}
	}
	switch {
	case !digit, short && groups > 7, !short && (groups != 8 || twos == 8):
		return 0 // std::vector, 12:30:45, 02:00:5e:10:00:00:00:01
	case r.is(i, isAlnum) || r.at(i) == '_' || r.at(i) == ':' && (r.at(i-1) == ':' || r.at(i+1) == ':') || r.at(i) == '.' && r.is(i+1, isDigit):
		return 0
	}
	return i
}
