package redact

// The digits of a telephone number (E.164).
const (
	minPhone = 8
	maxPhone = 15
)

// international matches a telephone number with its country's code. Its plus is b[i].
func (r *Redactor) international(b []byte, i int) {
	if r.is(b, i-1, isAlnum) || at(b, i-1) == '+' || !r.is(b, i+1, isDigit) || b[i+1] == '0' {
		return
	}
	end, n := 0, 0
	for j := i + 1; ; {
		group := j
		for r.is(b, j, isDigit) {
			j++
		}
		n += j - group
		if n > maxPhone || r.is(b, j, isLetter) {
			break
		}
		if n >= minPhone {
			end = j
		}
		if n >= 11 || group == i+1 && n >= minPhone {
			break // the next digits are something else
		}
		next := j
		for next-j < 3 && isPhoneSeparator(at(b, next)) {
			next++
		}
		if next == j || !r.is(b, next, isDigit) {
			break
		}
		j = next
	}
	if end > 0 {
		r.found(b, i, end, phone)
	}
}

func isPhoneSeparator(c byte) bool {
	return c == ' ' || c == '-' || c == '.' || c == '/' || c == '(' || c == ')'
}

// national matches a telephone number without its country's code: (030) 123456,
// 020 7946 0958, 415-555-2671. Its first digits begin at b[i].
func (r *Redactor) national(b []byte, i int) {
	start := i
	paren := at(b, i-1) == '('
	if paren {
		start--
	}
	before := at(b, start-1)
	if r.is(b, start-1, isAlnum|isWord) || (before == '.' || before == '/' || before == ')') && r.is(b, start-2, isAlnum) {
		return
	}
	zero := b[i] == '0' && r.is(b, i+1, isDigit)
	end, total, groups := 0, 0, 0
	var lengths [4]int
	separator := byte(0) // behind the second group, and then behind all
	for j := i; groups < 8; {
		group := j
		for r.is(b, j, isDigit) && j-group <= 8 {
			j++
		}
		n := j - group
		if n == 0 || n > 8 || r.is(b, j, isLetter) || at(b, j) == '_' {
			break
		}
		total += n
		if groups < len(lengths) {
			lengths[groups] = n
		}
		groups++
		after := at(b, j)
		switch {
		case after == '-' && r.is(b, j+1, isLetter), after == ':' && r.is(b, j+1, isDigit):
		case groups == 1:
		case paren && total >= 9 && total <= 12,
			zero && lengths[0] >= 2 && total >= 9 && total <= 11,
			zero && b[i+1] == '0' && total >= 10 && total <= maxPhone,
			isNorthAmerican(b[i:j], lengths, groups) && !(after != ' ' && isPhoneSeparator(after) && r.is(b, j+1, isDigit)):
			end = j
		}
		if paren && groups == 1 {
			if n < 2 || after != ')' {
				return
			}
			if j++; at(b, j) == ' ' || at(b, j) == '-' {
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
		r.found(b, start, end, phone)
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
