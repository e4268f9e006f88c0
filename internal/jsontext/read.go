package jsontext

import "strconv"

// ReadString sets to to the text of a JSON string, with U+FFFD for what is not Unicode.
// null changes nothing. ok is false if the value is anything else.
func ReadString(value []byte, to *string) (ok bool) {
	if string(value) == "null" {
		return true
	}
	*to = Text(value)
	return len(value) > 0 && value[0] == '"'
}

// ReadInt sets to to the value of a JSON number. null changes nothing. ok is false if the
// value is anything else, also a number with a point or an exponent.
func ReadInt(value []byte, to *int64) (ok bool) {
	if string(value) == "null" {
		return true
	}
	n, err := strconv.ParseInt(string(value), 10, 64)
	*to = n
	return err == nil
}

// ReadUint is ReadInt for numbers that are at least 0.
func ReadUint(value []byte, to *uint64) (ok bool) {
	if string(value) == "null" {
		return true
	}
	n, err := strconv.ParseUint(string(value), 10, 64)
	*to = n
	return err == nil
}
