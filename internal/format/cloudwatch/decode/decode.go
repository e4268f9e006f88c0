// Package decode reads the records of package cloudwatch: those that a subscription
// filter of CloudWatch Logs sends.
package decode

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/cloudwatch"
	"github.com/kinetel/kinetel/internal/format/decoding"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// lastMilli is the last millisecond since 1970 that RFC 3339 can represent.
const lastMilli = 253402300799999

// Decode reads one or more concatenated records. The format cannot represent all of an
// event; docs/format.md says what is missing. Text that is not an event takes no
// memory.
func Decode(data []byte, out *decoding.Output) error {
	for i := jsontext.SkipSpace(data, 0); i < len(data); i = jsontext.SkipSpace(data, i) {
		end, err := jsontext.SkipValue(data, i)
		if err == nil {
			err = decodeRecord(data[i:end], out)
		}
		if err != nil {
			return fmt.Errorf("log event %d: %w", out.Events+1, err)
		}
		i = end
	}
	return nil
}

func decodeRecord(record []byte, out *decoding.Output) error {
	of, err := decoding.Fields(record, "messageType", "subscriptionFilters", "logEvents", "owner", "logGroup", "logStream")
	if err != nil {
		return err
	}
	messageType, filters, logEvents := jsontext.Unquoted(of[0]), of[1], of[2]
	if string(messageType) != "DATA_MESSAGE" || string(filters) != `["`+cloudwatch.SubscriptionFilter+`"]` {
		return fmt.Errorf("a %.40s of subscription filters %.200s, which is CloudWatch's own", messageType, filters)
	}
	before := out.Events
	var resource map[string]string // of all events
	err = decoding.Elements(logEvents, func(logEvent []byte) error {
		e, id, err := decodeLogEvent(logEvent)
		if err != nil {
			return err
		}
		if resource == nil {
			resource, err = resourceOf(id.Environment, of[3], of[4], of[5])
		}
		if err != nil || id.Environment != resource["service.instance.id"] {
			return decoding.ErrShape
		}
		e.Resource = resource
		return out.Emit(e)
	})
	if err == nil && out.Events == before {
		err = decoding.ErrAbsent
	}
	return err
}

// resourceOf returns the resource of the record's events.
func resourceOf(environment string, owner, logGroup, logStream []byte) (map[string]string, error) {
	resource := map[string]string{"cloud.provider": "aws", "service.instance.id": environment}
	for name, value := range map[string][]byte{"cloud.account.id": owner, "aws.log.group.names": logGroup, "aws.log.stream.names": logStream} {
		if value == nil || string(value) == `""` {
			continue // it is unknown
		}
		text, err := decoding.String(value)
		if err != nil {
			return nil, err
		}
		resource[name] = text
	}
	return resource, nil
}

func decodeLogEvent(logEvent []byte) (e decoding.Event, id cloudwatch.EventID, err error) {
	of, err := decoding.Fields(logEvent, "id", "timestamp", "message", "extractedFields")
	if err != nil {
		return e, id, err
	}
	id, ok := cloudwatch.ParseEventID(jsontext.Unquoted(of[0]))
	if !ok {
		return e, id, fmt.Errorf("the id %.80s is not Kinetel's", of[0])
	}
	at, err := strconv.ParseInt(string(of[1]), 10, 64) // milliseconds since 1970
	if err != nil || at < 0 || at > lastMilli {
		return e, id, decoding.ErrShape
	}
	e = decoding.Event{Schema: format.Schema, Seq: id.Seq, TimeText: time.UnixMilli(at).UTC().Format(event.TimeFormat)}
	if err := setMessage(&e, id.Message, of[2]); err != nil {
		return e, id, err
	}
	if original := jsontext.Member(of[3], "bodyBase64"); original != nil {
		text, err := decoding.Base64(original)
		if err != nil {
			return e, id, err
		}
		err = e.SetOriginal(text)
		return e, id, err
	}
	return e, id, nil
}

// setMessage sets the fields from the message of a log event; message is a JSON string.
func setMessage(e *decoding.Event, kind cloudwatch.Message, message []byte) (err error) {
	text, ok := jsontext.AppendUnquote(nil, message)
	if !ok {
		return decoding.ErrShape
	}
	switch kind {
	case cloudwatch.FunctionText, cloudwatch.FunctionJSON:
		e.Type = event.TypeFunction
	case cloudwatch.ExtensionText, cloudwatch.ExtensionJSON:
		e.Type = event.TypeExtension
	}
	switch kind {
	case cloudwatch.FunctionText, cloudwatch.ExtensionText:
		e.Body = bytes.Clone(message)
		return nil
	case cloudwatch.FunctionJSON, cloudwatch.ExtensionJSON:
		if e.Body = text; !json.Valid(text) {
			return decoding.ErrShape
		}
		return nil
	case cloudwatch.SystemJSON, cloudwatch.OtherJSON:
		err = setSystem(e, text)
	default:
		err = setPlatformLine(e, kind, string(text))
	}
	isOwn := e.Type == event.TypeInvocation || e.Type == event.TypeSpan || e.Type == event.TypeLimit
	if id := requestID(e.Body); isOwn || strings.HasPrefix(e.Type, "platform.") {
		e.RequestID = id
	}
	return err
}

// requestID returns the requestId of a body, or "" if there is none that an event may
// have: at most 128 printable characters, which need no escape.
func requestID(body []byte) string {
	var r struct {
		RequestID string `json:"requestId"`
	}
	if err := json.Unmarshal(body, &r); err != nil || len(r.RequestID) > 128 {
		return ""
	}
	if strings.ContainsFunc(r.RequestID, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		return ""
	}
	return r.RequestID
}

// setSystem sets the fields from a message that is JSON with time, type and record.
func setSystem(e *decoding.Event, text []byte) error {
	var system struct {
		Time   string          `json:"time"`
		Type   string          `json:"type"`
		Record json.RawMessage `json:"record"`
		Part   int             `json:"part"`
		Parts  int             `json:"parts"`
	}
	if err := json.Unmarshal(text, &system); err != nil {
		return err
	}
	if system.Time == "" || system.Type == "" || len(system.Record) == 0 {
		return decoding.ErrAbsent
	}
	e.TimeText, e.Type, e.Body, e.Part, e.Parts = system.Time, system.Type, system.Record, system.Part, system.Parts
	return nil
}
