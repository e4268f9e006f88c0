package selflog

import (
	"bytes"
	"encoding/json"
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
	record = trim(record)
	if len(record) == 0 {
		return false
	}
	if record[0] == '"' {
		return ownText(record, true)
	}
	return ownObject(record, true)
}

// ownText is Own for a JSON string. If the string contains several lines, all of
// them must be this extension's: no other line may get lost.
func ownText(quoted []byte, mayWrap bool) bool {
	var text string
	if json.Unmarshal(quoted, &text) != nil {
		return false
	}
	own := false
	for line := range bytes.Lines([]byte(text)) {
		if line = trim(line); len(line) == 0 {
			continue
		}
		if own = ownObject(line, mayWrap); !own {
			return false
		}
	}
	return own
}

// ownObject is Own for the text of one object. The end of the text may be missing,
// because Lambda may truncate a line.
func ownObject(text []byte, mayWrap bool) bool {
	if text[0] != '{' {
		return false
	}
	var logger, stamp, message []byte // the members' values; nil: no such member
	for rest := trim(text[1:]); len(rest) > 0; rest = trim(rest[1:]) {
		if rest[0] != '"' {
			return false
		}
		end := stringEnd(rest)
		name := rest[:end]
		if rest = trim(rest[end:]); len(rest) == 0 {
			break
		}
		if rest[0] != ':' {
			return false
		}
		rest = rest[1:]
		end = valueEnd(rest)
		value := trim(rest[:end])
		switch string(name) {
		case `"logger"`:
			if logger == nil {
				logger = value
			}
		case `"timestamp"`:
			stamp = value
		case `"message"`:
			message = value
		case `"level"`, `"requestId"`:
		default:
			mayWrap = false // Lambda adds nothing else to a line
		}
		if rest = rest[end:]; len(rest) == 0 {
			break
		}
		if rest[0] == ',' {
			continue
		}
		if rest[0] != '}' || len(trim(rest[1:])) > 0 {
			return false
		}
		break
	}
	if logger != nil {
		return string(logger) == `"`+nameValue+`"`
	}
	return mayWrap && len(stamp) > 0 && len(message) > 0 && message[0] == '"' && ownText(message, false)
}

// valueEnd returns the index of the end of a member's value: that of the comma or
// bracket that follows it, or of the end of the text.
func valueEnd(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			i += stringEnd(text[i:]) - 1
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	return len(text)
}

// stringEnd returns the length of the JSON string that the text begins with, or the
// length of the text if the string has no end.
func stringEnd(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

func trim(b []byte) []byte { return bytes.Trim(b, " \t\r\n") }
