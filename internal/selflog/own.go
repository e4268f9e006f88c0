package selflog

import (
	"bytes"
	"errors"

	"github.com/kinetel/kinetel/internal/jsontext"
)

// Own reports whether the record of an extension event is a line that this
// extension wrote: a JSON object with the member "logger":"kinetel", as the lines of
// a Log and of internal/emf have. The record is one JSON value, in any of the forms
// in which Lambda may return a line:
//   - the object itself, with any white space;
//   - a string that contains it;
//   - the object that Lambda makes of a text line if the log format is JSON,
//     {"timestamp":…,"level":…,"message":"…"}.
//
// Own does not accept another extension's line that has all this in a message or in
// a nested value. It allocates nothing for lines without the word kinetel.
func Own(record []byte) bool {
	if !bytes.Contains(record, []byte(nameValue)) {
		return false
	}
	return ownValue(record, true)
}

// ownValue is Own for a value: an object, or a string of lines. If there are several
// lines, all of them must be this extension's: no other line may get lost.
func ownValue(value []byte, mayWrap bool) (own bool) {
	value = value[jsontext.SkipSpace(value, 0):]
	text, isString := jsontext.AppendUnquote(nil, bytes.TrimRight(value, space))
	if !isString {
		return ownObject(value, mayWrap)
	}
	for line := range bytes.Lines(text) {
		if line = bytes.Trim(line, space); len(line) == 0 {
			continue
		}
		if own = ownObject(line, mayWrap); !own {
			return false
		}
	}
	return own
}

const space = " \t\r\n"

// ownObject is Own for the text of one object. The end of the text may be missing,
// because Lambda may truncate a line.
func ownObject(text []byte, mayWrap bool) bool {
	var logger, stamp, message []byte // the members' values; nil: no such member
	m := jsontext.Members(text)
	for m.Next() {
		switch string(m.Name) {
		case "logger":
			if logger == nil {
				logger = m.Value
			}
		case "timestamp":
			stamp = m.Value
		case "message":
			message = m.Value
		case "level", "requestId":
		default:
			mayWrap = false // Lambda adds nothing else to a line
		}
	}
	if errors.Is(m.Err, jsontext.ErrBad) || jsontext.SkipSpace(text, m.End) < len(text) {
		return false
	}
	if logger != nil {
		return string(logger) == `"`+nameValue+`"`
	}
	// If the text is cut after the message, other members may be missing.
	return mayWrap && m.Err == nil && len(stamp) > 0 && len(message) > 0 && message[0] == '"' && ownValue(message, false)
}
