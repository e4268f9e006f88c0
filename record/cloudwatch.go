package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"kinetel/internal/event"
	"kinetel/internal/format"
	"kinetel/internal/jsontext"
)

// subscription is a record that a subscription filter of CloudWatch Logs sends.
type subscription struct {
	messageType, owner, logGroup, logStream string
	filters, events                         []byte // JSON
}

// lastMilli is the last millisecond since 1970 that RFC 3339 can represent.
const lastMilli = 253402300799999

// cloudWatch reads one or more concatenated records that Kinetel wrote in the format
// of a subscription filter. The format cannot represent all of an event;
// docs/format.md says what is missing.
//
// As with OTLP, text that is not an event takes no memory.
func (d *decoding) cloudWatch(data []byte) error {
	for i := jsontext.SkipSpace(data, 0); i < len(data); i = jsontext.SkipSpace(data, i) {
		end, err := jsontext.SkipValue(data, i)
		if err == nil {
			err = d.logEvents(data[i:end])
		}
		if err != nil {
			return fmt.Errorf("log event %d: %w", len(d.events)+1, err)
		}
		i = end
	}
	return nil
}

// logEvents reads the events of a record.
func (d *decoding) logEvents(record []byte) error {
	s, err := readSubscription(record)
	if err != nil {
		return err
	}
	if s.messageType != "DATA_MESSAGE" || string(s.filters) != `["`+format.SubscriptionFilter+`"]` {
		return fmt.Errorf("a %.40s of subscription filters %.200s, which is CloudWatch's own", s.messageType, s.filters)
	}
	if len(s.events) == 0 {
		return errAbsent
	}
	before, environment := len(d.events), ""
	var resource map[string]string // of all events
	err = items(s.events, func(one []byte) error {
		e, id, err := decodeLogEvent(one)
		if err != nil {
			return err
		}
		if resource == nil {
			environment, resource = id.Environment, s.resource(id.Environment)
		}
		if id.Environment != environment {
			return errShape
		}
		e.Resource = resource
		return d.append(e)
	})
	if err == nil && len(d.events) == before {
		err = errAbsent
	}
	return err
}

func readSubscription(record []byte) (s subscription, err error) {
	err = members(record, func(name, value []byte) (err error) {
		switch string(name) {
		case "messageType":
			s.messageType, err = plainString(value)
		case "owner":
			s.owner, err = plainString(value)
		case "logGroup":
			s.logGroup, err = plainString(value)
		case "logStream":
			s.logStream, err = plainString(value)
		case "subscriptionFilters":
			s.filters = value
		case "logEvents":
			s.events = value
		}
		return err
	})
	return s, err
}

// resource returns the resource of the record's events.
func (s *subscription) resource(environment string) map[string]string {
	resource := map[string]string{"cloud.provider": "aws", "faas.instance": environment}
	for name, value := range map[string]string{"cloud.account.id": s.owner, "aws.log.group.names": s.logGroup, "aws.log.stream.names": s.logStream} {
		if value != "" {
			resource[name] = value
		}
	}
	return resource
}

// decodeLogEvent reads an event of CloudWatch Logs.
func decodeLogEvent(one []byte) (e Event, id format.EventID, err error) {
	var name, message, fields []byte
	at := int64(-1)
	err = members(one, func(member, value []byte) (err error) {
		switch string(member) {
		case "id":
			name = value
		case "timestamp": // milliseconds since 1970
			if at, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return errShape
			}
		case "message":
			message = value
		case "extractedFields":
			fields = value
		}
		return nil
	})
	if err != nil {
		return e, id, err
	}
	digits, _ := appendUnquoted(nil, name)
	id, ok := format.ParseEventID(digits)
	if !ok {
		return e, id, fmt.Errorf("the id %.80s is not Kinetel's", name)
	}
	if at < 0 || at > lastMilli {
		return e, id, errShape
	}
	e = Event{Schema: Schema, Seq: id.Seq, Time: time.UnixMilli(at).UTC().Format(timeFormat)}
	if err = e.fromMessage(id.Message, message); err == nil && fields != nil {
		err = members(fields, func(name, value []byte) error {
			if string(name) != "bodyBase64" {
				return nil
			}
			original, err := decoded(value)
			if err == nil {
				err = e.setOriginal(original)
			}
			return err
		})
	}
	return e, id, err
}

// fromMessage reads the message of a log event; raw is a JSON string.
func (e *Event) fromMessage(kind format.Message, raw []byte) (err error) {
	text, ok := appendUnquoted(nil, raw)
	if !ok {
		return errShape
	}
	e.Type = event.TypeFunction
	switch kind {
	case format.ExtensionText:
		e.Type = event.TypeExtension
		fallthrough
	case format.FunctionText:
		e.Body = bytes.Clone(raw)
		return nil
	case format.ExtensionJSON:
		e.Type = event.TypeExtension
		fallthrough
	case format.FunctionJSON:
		if e.Body = text; !json.Valid(text) {
			return errShape
		}
		return nil
	case format.SystemJSON, format.OtherJSON:
		err = e.fromSystem(text)
	case format.Start, format.End, format.Report, format.InitStart, format.InitReport,
		format.RestoreStart, format.RestoreReport, format.Extension, format.Subscription:
		err = e.fromLine(kind, string(text))
	default:
		return errShape
	}
	if id := event.RequestID(e.Body); isRequest(id) && (strings.HasPrefix(e.Type, "platform.") || e.Type == event.TypeInvocation || e.Type == event.TypeSpan) {
		e.RequestID = id
	}
	return err
}

// isRequest reports whether an event may have the request id.
func isRequest(id string) bool {
	return !strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' })
}

// fromSystem reads an event whose message is JSON with time, type and record.
func (e *Event) fromSystem(text []byte) error {
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
		return errAbsent
	}
	e.Time, e.Type, e.Body, e.Part, e.Parts = system.Time, system.Type, system.Record, system.Part, system.Parts
	return nil
}

// platformBody has the fields of platform events that lines of CloudWatch Logs
// contain, with the names of Lambda's records.
type platformBody struct {
	RequestID  string           `json:"requestId,omitempty"`
	Version    string           `json:"version,omitempty"`
	Runtime    string           `json:"runtimeVersion,omitempty"`
	RuntimeARN string           `json:"runtimeVersionArn,omitempty"`
	Name       string           `json:"name,omitempty"`
	State      string           `json:"state,omitempty"`
	Events     json.RawMessage  `json:"events,omitempty"`
	Types      json.RawMessage  `json:"types,omitempty"`
	Phase      string           `json:"phase,omitempty"`
	Status     string           `json:"status,omitempty"`
	ErrorType  string           `json:"errorType,omitempty"`
	Metrics    *platformMetrics `json:"metrics,omitempty"`
	Tracing    *tracing         `json:"tracing,omitempty"`
}

type platformMetrics struct {
	Duration      json.Number `json:"durationMs,omitempty"`
	Billed        json.Number `json:"billedDurationMs,omitempty"`
	Memory        json.Number `json:"memorySizeMB,omitempty"`
	Used          json.Number `json:"maxMemoryUsedMB,omitempty"`
	Init          json.Number `json:"initDurationMs,omitempty"`
	Restore       json.Number `json:"restoreDurationMs,omitempty"`
	BilledRestore json.Number `json:"billedRestoreDurationMs,omitempty"`
}

type tracing struct {
	SpanID string `json:"spanId,omitempty"`
	Type   string `json:"type"`
	Value  string `json:"value"`
}

// fromLine reads a line that CloudWatch Logs has for a platform event.
func (e *Event) fromLine(kind format.Message, line string) (err error) {
	var start string
	switch kind {
	case format.Start:
		e.Type, start = event.TypePlatformStart, "START "
	case format.End:
		e.Type, start = event.TypePlatformRuntimeDone, "END "
	case format.Report:
		e.Type, start = event.TypePlatformReport, "REPORT "
	case format.InitStart:
		e.Type, start = event.TypePlatformInitStart, "INIT_START "
	case format.InitReport:
		e.Type, start = event.TypePlatformInitReport, "INIT_REPORT "
	case format.RestoreStart:
		e.Type, start = event.TypePlatformRestoreStart, "RESTORE_START "
	case format.RestoreReport:
		e.Type, start = event.TypePlatformRestoreReport, "RESTORE_REPORT "
	case format.Extension:
		e.Type, start = event.TypePlatformExtension, "EXTENSION\t"
	case format.Subscription:
		e.Type, start = event.TypePlatformSubscription, "TELEMETRY\t"
	}
	rest, ok := strings.CutPrefix(line, start)
	if !ok {
		return errShape
	}
	var b platformBody
	if kind == format.Start {
		rest = strings.Replace(rest, " Version: ", "\tVersion: ", 1)
	}
	for field := range strings.FieldsFuncSeq(rest, func(r rune) bool { return r == '\t' || r == '\n' }) {
		name, value, ok := strings.Cut(field, ": ")
		if !ok || !b.set(kind, strings.TrimPrefix(name, "XRAY "), value) {
			return errShape
		}
	}
	e.Body, err = json.Marshal(b)
	return err
}

// set sets a field from a line. It reports whether there is such a field.
func (b *platformBody) set(kind format.Message, name, value string) bool {
	switch name {
	case "RequestId":
		b.RequestID = value
	case "Version":
		b.Version = value
	case "Runtime Version":
		b.Runtime = value
	case "Runtime Version ARN":
		b.RuntimeARN = value
	case "Name":
		b.Name = value
	case "State":
		b.State = value
	case "Events":
		b.Events = list(value, false)
	case "Types":
		b.Types = list(value, true)
	case "Phase":
		b.Phase = value
	case "Status":
		b.Status = value
	case "Error Type":
		b.ErrorType = value
	case "TraceId":
		b.Tracing = &tracing{Type: "X-Amzn-Trace-Id", Value: "Root=" + value}
	case "SegmentId":
		if b.Tracing == nil {
			return false
		}
		b.Tracing.SpanID = value
	case "Sampled":
		sampled := map[string]string{"true": ";Sampled=1", "false": ";Sampled=0"}[value]
		if b.Tracing == nil || sampled == "" || strings.Contains(b.Tracing.Value, ";") {
			return false
		}
		b.Tracing.Value += sampled
	default:
		return b.setMetric(kind, name, value)
	}
	return true
}

// setMetric sets a field that is a number and its unit. It reports whether there is
// such a field.
func (b *platformBody) setMetric(kind format.Message, name, value string) bool {
	number, _, ok := strings.Cut(value, " ")
	if !ok || !json.Valid([]byte(number)) {
		return false
	}
	if b.Metrics == nil {
		b.Metrics = &platformMetrics{}
	}
	m, n := b.Metrics, json.Number(number)
	switch {
	case name == "Duration", name == "Init Duration" && kind == format.InitReport, name == "Restore Duration" && kind == format.RestoreReport:
		m.Duration = n
	case name == "Billed Duration":
		m.Billed = n
	case name == "Memory Size":
		m.Memory = n
	case name == "Max Memory Used":
		m.Used = n
	case name == "Init Duration":
		m.Init = n
	case name == "Restore Duration":
		m.Restore = n
	case name == "Billed Restore Duration":
		m.BilledRestore = n
	default:
		return false
	}
	return true
}

// list reads [a, b] and returns it as a JSON array of strings. With capital, it
// changes the capital letter at the beginning of each name to lower case.
func list(text string, capital bool) json.RawMessage {
	text = strings.Trim(text, "[]")
	if text == "" {
		return nil
	}
	names := append(make([]byte, 0, 2*len(text)), '[')
	for name := range strings.SplitSeq(text, ", ") {
		if len(names) > 1 {
			names = append(names, ',')
		}
		first := len(names) + 1
		names = jsontext.AppendQuote(names, name)
		if c := names[first]; capital && c >= 'A' && c <= 'Z' {
			names[first] += 'a' - 'A'
		}
	}
	return append(names, ']')
}
