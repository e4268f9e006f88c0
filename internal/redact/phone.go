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
	end, total, groups := 0, 0, 0
	var lengths [4]int
	separator := byte(0) // behind the second group, and then behind all
	for j := i; groups < 8; {
		group := j
		for r.is(j, isDigit) && j-group <= 8 {
			j++
		}
		n := j - group
		if n == 0 || n > 8 || r.is(j, isLetter) || r.at(j) == '_' {
			break
		}
		total += n
		if groups < len(lengths) {
			lengths[groups] = n
		}
		groups++
		after := r.at(j)
		switch {
		case after == '-' && r.is(j+1, isLetter), after == ':' && r.is(j+1, isDigit):
		case groups == 1:
		case paren && total >= 9 && total <= 12,
			zero && lengths[0] >= 2 && total >= 9 && total <= 11,
			zero && r.at(i+1) == '0' && total >= 10 && total <= maxPhone,
			isNorthAmerican(r.b[i:j], lengths, groups) && !(after != ' ' && isPhoneSeparator(after) && r.is(j+1, isDigit)):
			end = j
		}
		if paren && groups == 1 {
			if n < 2 || after != ')' {
				return
			}
			if j++; r.at(j) == ' ' || r.at(j) == '-' {
				j++
			}
			continue
		}
		if after == '(' || after == ')' || !isPhoneSeparator(after) || groups > 2 && after != separator || n == 1 && groups > 1 {
			break
		}
		separator = after
		j++
	}
	if end > 0 {
		r.found(start, end, phone)
	}
}

// isNorthAmerican reports whether groups of digits are a number of the North American
// plan: an area and an exchange, which begin with 2 to 9, and four digits. A 1 may
// precede them.
func isNorthAmerican(number []byte, lengths [4]int, groups int) bool {
	first := 0
	if groups == 4 && lengths[0] == 1 && number[0] == '1' {
		first, number = 1, number[2:]
	} else if groups != 3 {
		return false
	}
	return lengths[first] == 3 && lengths[first+1] == 3 && lengths[first+2] == 4 && number[0] >= '2' && number[4] >= '2'
}
