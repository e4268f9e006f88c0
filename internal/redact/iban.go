package redact

// iban matches an IBAN whose first digits begin at i.
func (r *Redactor) iban(i int) {
	start := i - 2
	if !r.is(start, isUpper) || r.is(start-1, isAlnum) {
		return
	}
	n := ibanLength(r.at(start), r.at(start+1))
	var chars [34]byte
	k, j := 0, start
	for ; k < n; j++ {
		if j > start && r.at(j) == ' ' && k%4 == 0 {
			continue
		}
		if !r.is(j, isDigit|isUpper) {
			return
		}
		chars[k] = r.at(j)
		k++
	}
	if n == 0 || r.is(j, isAlnum) || chars[3]-'0' > 9 {
		return
	}
	rest := 0
	for k := range n {
		c := int(chars[(k+4)%n])
		if c >= 'A' {
			rest = (100*rest + c - 'A' + 10) % 97
		} else {
			rest = (10*rest + c - '0') % 97
		}
	}
	if rest == 1 {
		r.found(start, j, iban)
	}
}

// ibanLength returns how long a country's IBANs are; 0 if it has none.
func ibanLength(first, second byte) int {
	// The registry of SWIFT: the lengths, each with the countries that have it.
	const countries = "15NO16BE18DKFIFOFKGLNLSD19MKSI20ATBAEEKZLTLUMNXK21CHHRLILV22BGBHCRDEGBGEIEMERSVA" +
		"23AEGIILIQOMSOTL24ADCZESMDPKROSASESKTNVG25LYPTST26DZISTR27BIDJFRGRITMCMRSM" +
		"28ALAZBYCYDOGTHNHULBNIPLSV29BREGPSQAUA30JOKWMUYE31MTSC32LC33RU"
	length := 0
	for i := 0; i < len(countries); i += 2 {
		one, two := countries[i], countries[i+1]
		if one < 'A' {
			length = 10*int(one-'0') + int(two-'0')
		} else if one == first && two == second {
			return length
		}
	}
	return 0
}
