package format

import (
	"bytes"
	"errors"
	"strconv"
	"unicode/utf8"

	"kinetel/internal/event"
	"kinetel/internal/jsontext"
)

// A subscription filter of CloudWatch Logs writes one JSON object per record to a
// stream (AWS documentation, CloudWatch Logs subscription filters), in one gzip
// member. SubscriptionFilter is the name of the filter in Kinetel's records.
const (
	SubscriptionFilter = "kinetel"

	cloudWatchStart = `{"messageType":"DATA_MESSAGE","owner":`
	cloudWatchList  = `],"logEvents":[`
	cloudWatchEnd   = `]}`
	logEventStart   = `{"id":"`
)

// AppendCloudWatch appends lines as a record that a subscription filter would send.
// The lines come from ReadLine and have the source's resource. The record ends
// without a line feed, as CloudWatch Logs writes none.
func AppendCloudWatch(dst []byte, src *Source, lines []Line) []byte {
	dst = append(dst, cloudWatchStart...)
	dst = appendValidText(dst, []byte(src.Details.AccountID))
	dst = append(dst, `,"logGroup":`...)
	dst = appendValidText(dst, []byte(src.Details.LogGroup))
	dst = append(dst, `,"logStream":`...)
	stream := src.Details.LogStream
	if stream == "" {
		stream = src.EnvironmentID // the log stream is unknown; the id is unique, too
	}
	dst = appendValidText(dst, []byte(stream))
	dst = append(dst, `,"subscriptionFilters":["`+SubscriptionFilter+`"`...)
	dst = append(dst, cloudWatchList...)
	for i := range lines {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendLogEvent(dst, src, &lines[i])
	}
	return append(dst, cloudWatchEnd...)
}

// appendLogEvent appends a line as an event of CloudWatch Logs.
func appendLogEvent(dst []byte, src *Source, l *Line) []byte {
	var ms int64
	if at, ok := timeOf(l.Time); ok {
		ms = int64(at / 1_000_000)
	}
	dst = append(dst, logEventStart...)
	id := len(dst)
	dst = append(dst, make([]byte, EventIDDigits)...)
	dst = append(dst, `","timestamp":`...)
	dst = strconv.AppendInt(dst, ms, 10)
	dst = append(dst, `,"message":`...)
	dst, kind := appendMessage(dst, src, l)
	putEventID(dst[id:], ms, l.Seq, kind, src.EnvironmentID)
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
func appendMessage(dst []byte, src *Source, l *Line) ([]byte, Message) {
	kind := FunctionText
	switch string(l.Type) {
	case event.TypeExtension:
		kind = ExtensionText
		fallthrough
	case event.TypeFunction:
		if l.Parts > 0 {
			break // plain text cannot say that it is a part
		}
		if l.Body[0] == '"' {
			return appendValidString(dst, l.Body[1:len(l.Body)-1]), kind
		}
		return appendValidText(dst, l.Body), kind + 1
	default:
		if src.Details.JSONLogs || l.Parts > 0 {
			break
		}
		if text, kind := platformLine(nil, l); kind != SystemJSON {
			return appendValidText(dst, text), kind
		}
	}
	kind = SystemJSON
	if event.Droppable(l.Type) {
		kind = OtherJSON
	}
	return appendValidText(dst, appendSystem(nil, l)), kind
}

// appendSystem appends an event as CloudWatch Logs has it for a function whose log
// format is JSON: time, type and record (AWS documentation, Lambda's system logs).
func appendSystem(dst []byte, l *Line) []byte {
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

// errNotCloudWatch means that AppendCloudWatch did not write the payload.
var errNotCloudWatch = errors.New("not a subscription's record that can be read back")

// filterCloudWatch is Filter for a payload that AppendCloudWatch wrote.
func filterCloudWatch(payload []byte, keep func(seq uint64, droppable bool, size int) bool) (rest []byte, err error) {
	// Quotes inside strings are escaped, so no text can contain this.
	i := bytes.Index(payload, []byte(cloudWatchList))
	if i < 0 {
		return nil, errNotCloudWatch
	}
	i += len(cloudWatchList)
	kept := 0
	rest = append(rest, payload[:i]...)
	for {
		end, err := jsontext.SkipValue(payload, i)
		if err != nil {
			return nil, errNotCloudWatch
		}
		logEvent := payload[i:end]
		digits, _, _ := bytes.Cut(bytes.TrimPrefix(logEvent, []byte(logEventStart)), []byte{'"'})
		id, ok := ParseEventID(digits)
		if !ok {
			return nil, errNotCloudWatch
		}
		if keep(id.Seq, id.Message.droppable(), len(logEvent)) {
			if kept++; kept > 1 {
				rest = append(rest, ',')
			}
			rest = append(rest, logEvent...)
		}
		if end < len(payload) && payload[end] == ',' {
			i = end + 1
			continue
		}
		if string(payload[end:]) != cloudWatchEnd {
			return nil, errNotCloudWatch
		}
		if kept == 0 {
			return nil, nil
		}
		return append(rest, cloudWatchEnd...), nil
	}
}
