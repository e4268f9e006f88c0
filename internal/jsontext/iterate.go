package jsontext

// Iterator iterates over the members of an object or the elements of an array, in the
// order of the text. It allocates nothing.
//
//	for m := jsontext.Members(object); m.Next(); {
//		use(m.Name, m.Value)
//	}
type Iterator struct {
	Name  []byte // of a member: the text between its quotes, with its escapes
	Value []byte

	// Start and End are where the member or element begins and ends in the text.
	// After the last one, End is where reading stopped: after the closing bracket if
	// Err is nil.
	Start, End int
	// Err is why Next returned false: nil if all was read, else ErrCut or ErrBad.
	Err error

	// CheckStrings makes Next check the text of strings. Without it, Next finds the
	// end of a string faster, but accepts control characters and invalid escapes in
	// it. Set it if the text has not been through SkipValue.
	CheckStrings bool

	text    []byte
	opening byte
	begun   bool
}

// Members iterates over the members of an object, which white space may precede.
// Text that is not an object has none.
func Members(text []byte) Iterator { return Iterator{text: text, opening: '{'} }

// Elements iterates over the elements of an array. Text that is not an array has none.
func Elements(text []byte) Iterator { return Iterator{text: text, opening: '['} }

// Next advances to the next member or element. After it has returned false, do not
// call it again.
func (it *Iterator) Next() bool {
	b := it.text
	i := SkipSpace(b, it.End)
	if i >= len(b) {
		return it.stop(i, ErrCut)
	}
	closing := it.opening + 2 // '}' is '{'+2, and ']' is '['+2
	switch {
	case it.begun && b[i] == closing:
		return it.stop(i+1, nil)
	case it.begun && b[i] != ',', !it.begun && b[i] != it.opening:
		return it.stop(i, ErrBad)
	}
	i = SkipSpace(b, i+1)
	if !it.begun && i < len(b) && b[i] == closing {
		return it.stop(i+1, nil)
	}
	it.begun = true
	it.Start = i
	var err error
	if it.opening == '{' {
		if it.Name, i, err = skipName(b, i, it.CheckStrings); err != nil {
			return it.stop(i, err)
		}
	}
	value := i
	if i < len(b) && b[i] == '"' {
		i, err = skipString(b, i, it.CheckStrings)
	} else {
		i, err = SkipValue(b, i)
	}
	if err != nil {
		return it.stop(i, err)
	}
	it.Value, it.End = b[value:i], i
	return true
}

func (it *Iterator) stop(at int, err error) bool {
	it.End, it.Err = at, err
	return false
}

// IsObject reports whether text is one JSON object, which white space may surround.
// Objects and arrays in it may be nested one level deeper than SkipValue allows, so that
// each line of Kinetel is an object.
func IsObject(text []byte) bool {
	m := Members(text)
	m.CheckStrings = true
	for m.Next() {
	}
	return m.Err == nil && SkipSpace(text, m.End) == len(text)
}

// Member returns the value of an object's member, or nil if there is none. If a name
// occurs twice, the last one counts.
func Member(object []byte, name string) (value []byte) {
	for m := Members(object); m.Next(); {
		if string(m.Name) == name {
			value = m.Value
		}
	}
	return value
}
