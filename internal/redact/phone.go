package redact

// The digits of a telephone number (E.164).
const (
	minPhone = 8
	maxPhone = 15
)

// international matches a telephone number with its country's code. Its plus is at i.
func (r *Redactor) international(i int) {
	if r.is(i-1, isAlnum) || r.at(i-1) == '+' || !r.is(i+1, isDigit) || r.at(i+1) == '0' {
		return
	}
	end, n := 0, 0
	for j := i + 1; ; {
		group := j
		for r.is(j, isDigit) {
			j++
		}
		n += j - group
		if n > maxPhone || r.is(j, isLetter) {
			break
		}
		if n >= minPhone {
			end = j
		}
		if n >= 11 || group == i+1 && n >= minPhone {
			break // the next digits are something else
		}
		next := j
		for next-j < 3 && isPhoneSeparator(r.at(next)) {
			next++
		}
		if next == j || !r.is(next, isDigit) {
			break
		}
		j = next
	}
	if end > 0 {
		r.found(i, end, phone)
	}
}

func isPhoneSeparator(c byte) bool {
	return c == ' ' || c == '-' || c == '.' || c == '/' || c == '(' || c == ')'
}

// national matches a telephone number without its country's code: (030) 123456,
// 020 7946 0958, 415-555-2671. Its first digits begin at i.
func (r *Redactor) national(i int) {
	start := i
	paren := r.at(i-1) == '('
	if paren {
		start--
	}
	before := r.at(start - 1)
	if r.is(start-1, isAlnum|isWord) || (before == '.' || before == '/' || before == ')') && r.is(start-2, isAlnum) {
		return
	}
	zero := r.at(i) == '0' && r.is(i+1, isDigit)
	most := 11
	if paren {
		most = 12
	} else if r.at(i+1) == '0' {
		most = maxPhone
	}
	end, total, groups := 0, 0, 0
	shape := 0           // a decimal digit for the length of each group
	separator := byte(0) // behind the second group, and then behind all
	for j := i; groups < 8; {
		group := j
		for r.is(j, isDigit) {
			j++
		}
		n := j - group
		if n == 0 || n > 8 || r.is(j, isLetter) {
			break
		}
		total, shape = total+n, 10*shape+n
		groups++
		after := r.at(j)
		isNumber := (paren || zero) && total >= 9 && total <= most
		if shape == 334 || shape == 1334 && r.at(i) == '1' {
			// The North American plan: the area and the exchange begin with 2 to 9.
			area := j - len("415 555 2671")
			isNumber = isNumber || r.at(area) > '1' && r.at(area+4) > '1' && (after == ' ' || !isPhoneSeparator(after) || !r.is(j+1, isDigit))
		}
		if isNumber && groups > 1 && !(after == '-' && r.is(j+1, isLetter)) && !(after == ':' && r.is(j+1, isDigit)) {
			end = j
		}
		j++
		if paren && groups == 1 {
			if n < 2 || after != ')' {
				return
			}
			if r.at(j) == ' ' || r.at(j) == '-' {
				j++
			}
			continue
		}
		if after == '(' || after == ')' || !isPhoneSeparator(after) || groups > 2 && after != separator || n == 1 && groups > 1 {
			break
		}
		separator = after
	}
	if end > 0 {
		r.found(start, end, phone)
	}
}
