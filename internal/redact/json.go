package redact

import (
	"bytes"

	"github.com/kinetel/kinetel/internal/jsontext"
)

// isJSON reports whether a text is JSON: objects and arrays with white space between them,
// or a string, which may contain JSON again.
func isJSON(b []byte) bool {
	i := jsontext.SkipSpace(b, 0)
	begin := i
	for i < len(b) && (b[i] == '{' || b[i] == '[' || b[i] == '"' && i == begin) {
		end, err := jsontext.SkipValue(b, i)
		if err != nil {
			return false
		}
		i = jsontext.SkipSpace(b, end)
	}
	return i > begin && i == len(b)
}

// json searches b[i:end], which is JSON text: a value, or members without braces. It
// does not depend on the text being valid. Level is how often it was decoded.
func (r *Redactor) json(b []byte, i, end, level int) {
	// Without escapes, JSON as a text has everything that its strings and numbers have.
	// To search it as a whole takes half the time, and mostly there is nothing to find.
	if !r.pattern.MayMatch(b[i:end]) && bytes.IndexByte(b[i:end], '\\') < 0 {
		first := len(r.spans)
		r.match(b[i:end])
		if len(r.spans) == first {
			return
		}
		r.spans = r.spans[:first]
	}
	for i < end {
		switch c := b[i]; {
		case c == '"':
			i = r.str(b, i, end, level)
		case c == '-' || c-'0' < 10:
			i = r.num(b, i, end)
		default:
			i++
		}
	}
}

// str searches the string that begins at b[i]; if it is the name of a member with a key,
// it redacts the member's value. It returns where the search continues.
func (r *Redactor) str(b []byte, i, end, level int) (next int) {
	quote := stringEnd(b, i+1, end)
	content := b[i+1 : quote]
	next = min(quote+1, end)
	value := next
	for value < end && r.class[b[value]]&isSpace != 0 {
		value++
	}
	isName := value < end && b[value] == ':'
	first := len(r.spans)
	long := len(content) > 2 || r.on&(1<<byPattern) != 0 // ::1 is the shortest match of the others
	if long && len(content) > 0 && !(isName && r.keepNames && level == 0) {
		r.b, r.authorized = b, false
		r.authorized = content[0]|0x20 == 'b' && r.afterAuthorization(i+1)
		var quotes uint8
		if level < maxLevels && bytes.IndexByte(content, '\\') >= 0 {
			r.decoded(content, level, first)
		} else {
			r.text(content, level)
			quotes = 1 // those of JSON in it have one more backslash
		}
		for k := first; k < len(r.spans); k++ {
			s := &r.spans[k]
			s.start += i + 1
			s.end += i + 1
			s.isName = s.isName || isName
			if s.quotes > 0 {
				s.quotes += quotes
			}
		}
	}
	if !isName || len(r.keys) == 0 {
		return next
	}
	k := r.keyOf(content)
	if k == nil {
		return next
	}
	value = jsontext.SkipSpace(b[:end], value+1)
	if value == end || k.what != byKey && b[value] != '"' {
		return value
	}
	valueEnd, err := jsontext.SkipValue(b[:end], value)
	if err != nil {
		valueEnd = end // not JSON, or cut
	}
	if k.what != byKey {
		if err == nil {
			r.name = jsontext.AppendUnescape(r.name[:0], b[value+1:valueEnd-1], -1)
			if n := k.secretEnd(r.name, 0); n > 0 && n == len(r.name) {
				r.push(span{start: value + 1, end: valueEnd - 1, what: awsKey})
			}
		}
		return value
	}
	if string(b[value:valueEnd]) == `""` {
		return valueEnd // nothing to redact, as in a text
	}
	r.push(span{start: value, end: valueEnd, what: byKey, quotes: 1})
	return valueEnd
}

// stringEnd returns the index of the quote that ends a string, whose text begins at
// b[i]; end if there is none.
func stringEnd(b []byte, i, end int) int {
	for i < end {
		n := bytes.IndexByte(b[i:end], '"')
		if n < 0 {
			return end
		}
		quote := i + n
		first := quote // of the backslashes before the quote
		for first > i && b[first-1] == '\\' {
			first--
		}
		if (quote-first)%2 == 0 {
			return quote
		}
		i = quote + 1
	}
	return end
}

// num searches the number that begins at b[i]. A number with a match becomes a string.
func (r *Redactor) num(b []byte, i, end int) (next int) {
	next = i + 1
	for next < end && r.class[b[next]]&(isDigit|isNumber) != 0 {
		next++
	}
	if next-i < 13 && r.on&(1<<byPattern) == 0 { // the shortest card
		return next
	}
	first := len(r.spans)
	r.text(b[i:next], 0)
	if len(r.spans) > first {
		r.join(first)
		what := r.spans[first].what
		r.spans = r.spans[:first]
		r.push(span{start: i, end: next, what: what, quotes: 1})
	}
	return next
}

// platform searches the record of a platform event. The names of its members are Lambda's.
func (r *Redactor) platform(value []byte) {
	r.keepNames = true
	m := jsontext.Members(value)
	end := 0
	for m.Next() {
		if !isOneOf(lambdas, m.Name) {
			r.json(value, m.Start, m.End, 0)
		}
		end = m.End
	}
	r.keepNames = false
	r.json(value, end, len(value), 0) // what is not an object
}

// lambdas are the members of a platform event's record that only Lambda writes, and
// Kinetel or consumers depend on: ids by which events belong together, and measurements.
// The name of a tenant and the type of an error are the user's own.
const lambdas = "requestId tracing instanceId status metrics spans initializationType phase functionName functionVersion " +
	"functionArn version runtimeVersion runtimeVersionArn droppedRecords droppedBytes "
