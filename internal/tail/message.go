package tail

import (
	"bytes"

	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/record"
)

// maxMessage is how many bytes of a message a person sees.
const maxMessage = 32 << 10

// bodyText returns the text of a body that is a string, or the JSON of another one.
func bodyText(body []byte) []byte {
	if text, ok := jsontext.AppendUnquote(nil, body); ok {
		return text
	}
	return body
}

// appendMessage appends an event's body for a person, on one line and without control
// characters: of an object the message and then its other members.
func appendMessage(dst []byte, e *record.Event) []byte {
	text := bytes.TrimRight(bodyText(e.Body), "\r\n")
	if len(e.RequestID) > 0 {
		text = withoutPrefix(text, e.RequestID, e.Severity)
	}
	begin := len(dst)
	if len(text) > 0 && text[0] == '{' {
		if all, ok := appendObject(dst, text, e); ok {
			return shorten(all, begin, 0)
		}
	}
	cut := max(0, len(text)-maxMessage)
	return shorten(appendEscaped(dst, text[:len(text)-cut]), begin, cut)
}

// shorten cuts a message that is too long. cut is how many bytes are cut already.
func shorten(dst []byte, begin, cut int) []byte {
	if end := begin + maxMessage; len(dst) > end {
		for end > begin && dst[end]&0xc0 == 0x80 {
			end-- // the middle of a character
		}
		cut += len(dst) - end
		dst = dst[:end]
	}
	if cut > 0 {
		dst = append(dst, "… (cut; -o json has all)"...)
	}
	return dst
}

// withoutPrefix removes what runtimes write before a line, and what the columns show
// already: TIME <tab> REQUEST <tab> SEVERITY <tab>, or [SEVERITY] <tab> TIME <tab>
// REQUEST <tab>.
func withoutPrefix(text []byte, requestID, severity string) []byte {
	const most = 100
	head := text[:min(len(text), most)]
	i := bytes.Index(head, []byte("\t"+requestID+"\t"))
	if i < 0 || bytes.IndexByte(head[:i], ' ') >= 0 {
		return text
	}
	text = text[i+len(requestID)+2:]
	if rest, ok := bytes.CutPrefix(text, []byte(severity+"\t")); ok && severity != "" {
		return rest
	}
	return text
}

// appendObject appends the members of a JSON object as message key=value. ok is false if
// text is not an object.
func appendObject(dst, text []byte, e *record.Event) (all []byte, ok bool) {
	if end, err := jsontext.SkipValue(text, 0); err != nil || jsontext.SkipSpace(text, end) != len(text) {
		return dst, false
	}
	begin := len(dst)
	var message []byte
	for m := jsontext.Members(text); m.Next(); {
		if string(m.Name) == "message" || message == nil && string(m.Name) == "msg" {
			message = m.Value
		}
	}
	if message != nil {
		dst = appendEscaped(dst, bytes.TrimRight(bodyText(message), "\r\n"))
	}
	for m := jsontext.Members(text); m.Next(); {
		if len(message) > 0 && &m.Value[0] == &message[0] || repeats(m.Name, m.Value, e) {
			continue
		}
		if len(dst) > begin {
			dst = append(dst, ' ')
		}
		dst = appendEscaped(dst, m.Name)
		dst = append(dst, '=')
		dst = appendValue(dst, m.Value)
	}
	return dst, true
}

// repeats reports whether a member says what the columns of the line show.
func repeats(name, value []byte, e *record.Event) bool {
	switch string(name) {
	case "timestamp", "time", "@timestamp":
		return true
	case "level", "severity":
		return e.Severity != ""
	case "requestId", "AWSRequestId", "aws_request_id", "function_request_id":
		return string(jsontext.Unquoted(value)) == e.RequestID
	}
	return false
}

// appendValue appends a member's value: a string without quotes, if it is one word.
func appendValue(dst, value []byte) []byte {
	text := jsontext.Unquoted(value)
	if len(text) == 0 || bytes.ContainsAny(text, " =\\\t") {
		return appendEscaped(dst, value)
	}
	return appendEscaped(dst, text)
}
