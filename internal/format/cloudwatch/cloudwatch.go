// Package cloudwatch encodes lines as the records that a subscription filter of
// CloudWatch Logs sends.
package cloudwatch

import (
	"bytes"
	"cmp"
	"strconv"
	"unicode/utf8"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// Name is the name of the format.
const Name format.Name = "cloudwatch"

// Format returns the format.
func Format() format.Format {
	return format.Format{
		Name:         Name,
		Compressions: []format.Compression{format.Gzip},
		Why:          "consumers of subscription filters read gzip",
		MaxLines:     format.MaxRecord/2 - 16<<10, // a line takes up to twice its size, and some more
		Append:       Append,
		Start:        recordStart,
		Filter:       filter,
	}
}

// A subscription filter of CloudWatch Logs writes one JSON object per record to a
// stream (AWS documentation, CloudWatch Logs subscription filters), in one gzip
// member. SubscriptionFilter is the name of the filter in Kinetel's records.
const (
	SubscriptionFilter = "kinetel"

	recordStart   = `{"messageType":"DATA_MESSAGE","owner":`
	listStart     = `],"logEvents":[`
	recordEnd     = `]}`
	logEventStart = `{"id":"`
)

// Append appends lines as a record that a subscription filter would send.
// The lines come from ReadLine and have the environment's resource. The record ends
// without a line feed, as CloudWatch Logs writes none.
func Append(dst []byte, env *environment.Environment, _ string, lines []format.Line) []byte {
	of := env.Details()
	dst = append(dst, recordStart...)
	dst = appendValidText(dst, []byte(of.AccountID))
	dst = append(dst, `,"logGroup":`...)
	dst = appendValidText(dst, []byte(of.LogGroup))
	dst = append(dst, `,"logStream":`...)
	// If the log stream is unknown, the environment's id is unique, too.
	dst = appendValidText(dst, []byte(cmp.Or(of.LogStream, env.ID)))
	dst = append(dst, `,"subscriptionFilters":["`+SubscriptionFilter+`"`...)
	dst = append(dst, listStart...)
	var patterns []Pattern
	if !of.JSONLogs { // else CloudWatch Logs has platform events as JSON
		patterns = Patterns()
	}
	for i := range lines {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendLogEvent(dst, env.ID, patterns, &lines[i])
	}
	return append(dst, recordEnd...)
}

// appendLogEvent appends a line as an event of CloudWatch Logs.
func appendLogEvent(dst []byte, environment string, patterns []Pattern, l *format.Line) []byte {
	var ms int64
	if at, ok := format.UnixNano(l.Time); ok {
		ms = int64(at / 1_000_000)
	}
	dst = append(dst, logEventStart...)
	id := len(dst)
	dst = append(dst, make([]byte, EventIDDigits)...)
	dst = append(dst, `","timestamp":`...)
	dst = strconv.AppendInt(dst, ms, 10)
	dst = append(dst, `,"message":`...)
	dst, kind := appendMessage(dst, patterns, l)
	putEventID(dst[id:], ms, l.Seq, kind, environment)
	if len(l.BodyBase64) > 0 {
		// The only place for anything but the message: an optional map of strings
		// (AWS documentation, CloudWatch Logs subscription filters).
		dst = append(dst, `,"extractedFields":{"bodyBase64":"`...)
		dst = append(dst, l.BodyBase64...)
		dst = append(dst, `"}`...)
	}
	return append(dst, '}')
}

// appendMessage appends a line's message as a JSON string, and returns the kind of
// the message.
func appendMessage(dst []byte, patterns []Pattern, l *format.Line) ([]byte, Message) {
	if l.Parts == 0 { // neither a log line nor a pattern can say that it is a part
		switch string(l.Type) {
		case event.TypeFunction:
			return appendLog(dst, l.Body, FunctionText, FunctionJSON)
		case event.TypeExtension:
			return appendLog(dst, l.Body, ExtensionText, ExtensionJSON)
		}
		for i := range patterns {
			if p := &patterns[i]; p.Type == string(l.Type) {
				if text, ok := p.line(l.Body); ok {
					return appendValidText(dst, text), p.Message
				}
			}
		}
	}
	kind := SystemJSON
	if event.Droppable(l.Type) {
		kind = OtherJSON
	}
	return appendValidText(dst, appendSystem(nil, l)), kind
}

// appendLog appends a log line, which is text or any other JSON value.
func appendLog(dst, body []byte, text, json Message) ([]byte, Message) {
	if body[0] == '"' {
		return jsontext.AppendValidUnicode(dst, body), text
	}
	return appendValidText(dst, body), json
}

// appendSystem appends an event as CloudWatch Logs has it for a function whose log
// format is JSON: time, type and record (AWS documentation, Lambda's system logs).
func appendSystem(dst []byte, l *format.Line) []byte {
	dst = append(dst, `{"time":"`...)
	dst = append(dst, l.Time...)
	dst = append(dst, `","type":"`...)
	dst = append(dst, l.Type...)
	dst = append(dst, `","record":`...)
	dst = append(dst, l.Body...)
	if l.Parts > 0 {
		dst = append(dst, `,"part":`...)
		dst = strconv.AppendInt(dst, int64(l.Part), 10)
		dst = append(dst, `,"parts":`...)
		dst = strconv.AppendInt(dst, int64(l.Parts), 10)
	}
	return append(dst, '}')
}

// appendValidText appends text as a JSON string, with U+FFFD for each byte that is
// not UTF-8.
func appendValidText(dst, text []byte) []byte {
	if utf8.Valid(text) {
		return jsontext.AppendQuote(dst, text)
	}
	return jsontext.AppendQuote(dst, string([]rune(string(text))))
}

func filter(payload []byte, keep format.Keep) ([]byte, error) {
	// Quotes inside strings are escaped, so no text can contain the list's name.
	return format.FilterList(payload, listStart, recordEnd, keep, func(logEvent []byte) (seq uint64, droppable, ok bool) {
		digits, _, _ := bytes.Cut(bytes.TrimPrefix(logEvent, []byte(logEventStart)), []byte{'"'})
		id, ok := ParseEventID(digits)
		return id.Seq, id.Message.droppable(), ok
	})
}
