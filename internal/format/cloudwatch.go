package format

import (
	"bytes"
	"errors"
	"strconv"
	"unicode/utf8"

	"kinetel/internal/event"
	"kinetel/internal/scan"
)

// What a subscription filter of CloudWatch Logs puts into a stream is one JSON
// object (AWS documentation, CloudWatch Logs subscription filters), in one member
// of gzip. SubscriptionFilter is what Kinetel calls itself in it.
const (
	SubscriptionFilter = "kinetel"

	cloudWatchStart = `{"messageType":"DATA_MESSAGE","owner":`
	cloudWatchList  = `],"logEvents":[`
	cloudWatchEnd   = `]}`
	logEventStart   = `{"id":"`
)

// AppendCloudWatch appends lines as what a subscription filter would send. The
// lines are ReadLine's, and have the source's resource. No line feed ends it:
// CloudWatch Logs writes none.
func AppendCloudWatch(dst []byte, src *Source, lines []Line) []byte {
	dst = append(dst, cloudWatchStart...)
	dst = appendMendedText(dst, []byte(src.Details.AccountID))
	dst = append(dst, `,"logGroup":`...)
	dst = appendMendedText(dst, []byte(src.Details.LogGroup))
	dst = append(dst, `,"logStream":`...)
	stream := src.Details.LogStream
	if stream == "" {
		stream = src.EnvironmentID // nobody told; no two environments share one
	}
	dst = appendMendedText(dst, []byte(stream))
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
	dst, what := appendMessage(dst, src, l)
	putEventID(dst[id:], ms, l.Seq, what, src.EnvironmentID)
	if len(l.BodyBase64) > 0 {
		// The only place for anything but the message: an optional map of strings
		// (AWS documentation, CloudWatch Logs subscription filters).
		dst = append(dst, `,"extractedFields":{"bodyBase64":"`...)
		dst = append(dst, l.BodyBase64...)
		dst = append(dst, `"}`...)
	}
	return append(dst, '}')
}

// appendMessage appends a line's message as a JSON string, and returns what the
// message is.
func appendMessage(dst []byte, src *Source, l *Line) ([]byte, Message) {
	what := FunctionText
	switch string(l.Type) {
	case event.TypeExtension:
		what = ExtensionText
		fallthrough
	case event.TypeFunction:
		if l.Parts > 0 {
			break // nobody could tell that it is a piece
		}
		if l.Body[0] == '"' {
			return appendMended(dst, l.Body[1:len(l.Body)-1]), what
		}
		return appendMendedText(dst, l.Body), what + 1
	default:
		if src.Details.JSONLogs || l.Parts > 0 {
			break
		}
		if text, what := platformLine(nil, l); what != SystemJSON {
			return appendMendedText(dst, text), what
		}
	}
	what = SystemJSON
	if event.Droppable(l.Type) {
		what = OtherJSON
	}
	return appendMendedText(dst, appendSystem(nil, l)), what
}

// appendSystem appends an event as CloudWatch Logs has it of a function whose log
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

// appendMendedText appends text as a JSON string, with U+FFFD for each byte that
// is no UTF-8.
func appendMendedText(dst, text []byte) []byte {
	if utf8.Valid(text) {
		return event.AppendQuoted(dst, text)
	}
	return event.AppendQuoted(dst, string([]rune(string(text))))
}

// errNotCloudWatch means a payload that AppendCloudWatch did not write.
var errNotCloudWatch = errors.New("not a subscription's record that can be read back")

// filterCloudWatch takes log events out of a payload; Filter says how.
func filterCloudWatch(payload []byte, keep func(seq uint64, ordinary bool, size int) bool) (rest []byte, err error) {
	// A quote inside a string is escaped, so that no text can look like this.
	i := bytes.Index(payload, []byte(cloudWatchList))
	if i < 0 {
		return nil, errNotCloudWatch
	}
	i += len(cloudWatchList)
	kept := 0
	rest = append(rest, payload[:i]...)
	for {
		end, err := scan.Value(payload, i)
		if err != nil {
			return nil, errNotCloudWatch
		}
		one := payload[i:end]
		digits, _, _ := bytes.Cut(bytes.TrimPrefix(one, []byte(logEventStart)), []byte{'"'})
		id, ok := ParseEventID(digits)
		if !ok {
			return nil, errNotCloudWatch
		}
		if keep(id.Seq, id.Message.ordinary(), len(one)) {
			if kept++; kept > 1 {
				rest = append(rest, ',')
			}
			rest = append(rest, one...)
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
