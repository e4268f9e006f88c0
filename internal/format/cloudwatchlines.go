package format

import (
	"bytes"
	"strconv"

	"kinetel/internal/event"
	"kinetel/internal/jsontext"
)

// platformLine appends the line that CloudWatch Logs has for a platform event, if
// there is one, in Lambda's text format:
//
//	START RequestId: <id> Version: <version>
//	END RequestId: <id>
//	REPORT RequestId: <id>⇥Duration: 1.85 ms⇥Billed Duration: 2 ms⇥…
//	INIT_START Runtime Version: <version>⇥Runtime Version ARN: <ARN>
//	INIT_REPORT Init Duration: 1882.55 ms⇥Phase: init⇥Status: error⇥Error Type: <type>
//	RESTORE_START …, RESTORE_REPORT …
//	EXTENSION⇥Name: <name>⇥State: Ready⇥Events: [INVOKE, SHUTDOWN]
//	TELEMETRY⇥Name: <name>⇥State: Subscribed⇥Types: [Platform, Function]
//
// (AWS documentation, the log pages of the runtimes, and Lambda's execution
// environment; EXTENSION and TELEMETRY as seen in published logs). It returns
// SystemJSON for an event that has no such line, or that lacks a field that the line
// must have.
func platformLine(dst []byte, l *Line) ([]byte, Message) {
	p := readPlatform(l.Body)
	switch string(l.Type) {
	case event.TypePlatformStart:
		if p.request == nil {
			break
		}
		dst = append(append(dst, "START RequestId: "...), p.request...)
		if p.version != nil {
			dst = append(append(dst, " Version: "...), p.version...)
		}
		return append(dst, '\n'), Start
	case event.TypePlatformRuntimeDone:
		if p.request == nil {
			break
		}
		dst = append(append(dst, "END RequestId: "...), p.request...)
		return append(dst, '\n'), End
	case event.TypePlatformReport:
		if p.request == nil || p.duration == nil {
			break
		}
		return p.report(dst), Report
	case event.TypePlatformInitStart:
		if p.runtime == nil {
			break
		}
		return p.started(append(dst, "INIT_START "...)), InitStart
	case event.TypePlatformRestoreStart:
		if p.runtime == nil {
			break
		}
		return p.started(append(dst, "RESTORE_START "...)), RestoreStart
	case event.TypePlatformInitReport:
		if p.duration == nil || !p.failed() {
			break // REPORT has the duration of a successful init
		}
		dst = appendMs(append(dst, "INIT_REPORT Init Duration: "...), p.duration)
		if p.phase != nil {
			dst = appendField(dst, "Phase", p.phase)
		}
		return append(p.outcome(dst), '\n'), InitReport
	case event.TypePlatformRestoreReport:
		if p.duration == nil {
			break
		}
		dst = appendMs(append(dst, "RESTORE_REPORT Restore Duration: "...), p.duration)
		return append(p.outcome(dst), '\n'), RestoreReport
	case event.TypePlatformExtension:
		events, ok := namesOf(p.events, false)
		if p.name == nil || p.state == nil || !ok {
			break
		}
		dst = appendField(appendField(append(dst, "EXTENSION"...), "Name", p.name), "State", p.state)
		return append(p.outcome(appendField(dst, "Events", events)), '\n'), Extension
	case event.TypePlatformSubscription:
		types, ok := namesOf(p.types, true)
		if p.name == nil || p.state == nil || !ok {
			break
		}
		dst = appendField(appendField(append(dst, "TELEMETRY"...), "Name", p.name), "State", p.state)
		return append(appendField(dst, "Types", types), '\n'), Subscription
	}
	return dst, SystemJSON
}

// platform has the fields of a platform event's record that the lines of CloudWatch
// Logs contain; nil: the record does not have it. Text is without escapes, and numbers
// are as the record has them.
type platform struct {
	request, version                         []byte
	runtime, runtimeARN                      []byte
	name, state, phase                       []byte
	status, errorType                        []byte
	events, types                            []byte // JSON
	duration, billed, memory, used           []byte
	initDuration, restoreDuration, billedRes []byte
	tracing, segment                         []byte
}

func readPlatform(body []byte) (p platform) {
	for o := membersOf(body); o.next(); {
		switch string(o.name) {
		case "requestId":
			if p.request = textOf(o.value); bytes.IndexByte(p.request, ' ') >= 0 {
				p.request = nil // in the line, a space ends the id
			}
		case "version":
			p.version = textOf(o.value)
		case "runtimeVersion":
			p.runtime = textOf(o.value)
		case "runtimeVersionArn":
			p.runtimeARN = textOf(o.value)
		case "name":
			p.name = textOf(o.value)
		case "state":
			p.state = textOf(o.value)
		case "phase":
			p.phase = textOf(o.value)
		case "status":
			p.status = textOf(o.value)
		case "errorType":
			p.errorType = textOf(o.value)
		case "events":
			p.events = o.value
		case "types":
			p.types = o.value
		case "metrics":
			p.metrics(o.value)
		case "tracing":
			for m := membersOf(o.value); m.next(); {
				switch string(m.name) {
				case "value":
					p.tracing = textOf(m.value)
				case "spanId":
					p.segment = textOf(m.value)
				}
			}
		}
	}
	return p
}

func (p *platform) metrics(object []byte) {
	for m := membersOf(object); m.next(); {
		number := m.value
		if c := number[0]; c != '-' && (c < '0' || c > '9') {
			continue
		}
		switch string(m.name) {
		case "durationMs":
			p.duration = number
		case "billedDurationMs":
			p.billed = number
		case "memorySizeMB":
			p.memory = number
		case "maxMemoryUsedMB":
			p.used = number
		case "initDurationMs":
			p.initDuration = number
		case "restoreDurationMs":
			p.restoreDuration = number
		case "billedRestoreDurationMs":
			p.billedRes = number
		}
	}
}

// textOf returns the text of a JSON string if a field of a line can contain it. It
// returns nil for anything else, and for an empty string.
func textOf(value []byte) []byte {
	text := appendUnescaped(nil, unquoted(value))
	if bytes.ContainsFunc(text, func(r rune) bool { return r < ' ' }) {
		return nil
	}
	return text
}

// failed reports whether the status is not success. A record without a status is one
// of success.
func (p *platform) failed() bool { return p.status != nil && string(p.status) != "success" }

// report appends a REPORT line. Lambda has changed over the years what follows the
// last field; after a success it is a tab.
func (p *platform) report(dst []byte) []byte {
	dst = append(append(dst, "REPORT RequestId: "...), p.request...)
	dst = appendMs(append(dst, "\tDuration: "...), p.duration)
	for _, field := range []struct {
		name, unit string
		value      []byte
	}{
		{"Billed Duration", " ms", p.billed},
		{"Memory Size", " MB", p.memory},
		{"Max Memory Used", " MB", p.used},
	} {
		if field.value != nil {
			dst = append(appendField(dst, field.name, field.value), field.unit...)
		}
	}
	for _, field := range []struct {
		name  string
		value []byte
	}{
		{"Init Duration", p.initDuration},
		{"Restore Duration", p.restoreDuration},
	} {
		if field.value != nil {
			dst = appendMs(append(append(append(dst, '\t'), field.name...), ": "...), field.value)
		}
	}
	if p.billedRes != nil {
		dst = append(appendField(dst, "Billed Restore Duration", p.billedRes), " ms"...)
	}
	if p.failed() {
		dst = p.outcome(dst)
	} else {
		dst = append(dst, '\t')
	}
	dst = append(dst, '\n')
	return p.xray(dst)
}

// xray appends the line about the trace that follows a REPORT line, if the report
// has a trace.
func (p *platform) xray(dst []byte) []byte {
	var root, sampled []byte
	for rest := p.tracing; len(rest) > 0; {
		var part []byte
		part, rest, _ = bytes.Cut(rest, []byte{';'})
		key, value, _ := bytes.Cut(bytes.TrimSpace(part), []byte{'='})
		switch string(key) {
		case "Root":
			root = value
		case "Sampled":
			sampled = value
		}
	}
	if len(root) == 0 {
		return dst
	}
	dst = append(append(dst, "XRAY TraceId: "...), root...)
	if p.segment != nil {
		dst = appendField(dst, "SegmentId", p.segment)
	}
	switch string(sampled) {
	case "0":
		dst = append(dst, "\tSampled: false"...)
	case "1":
		dst = append(dst, "\tSampled: true"...)
	}
	return append(dst, "\t\n"...)
}

// started appends the fields of INIT_START and RESTORE_START.
func (p *platform) started(dst []byte) []byte {
	dst = append(append(dst, "Runtime Version: "...), p.runtime...)
	if p.runtimeARN != nil {
		dst = appendField(dst, "Runtime Version ARN", p.runtimeARN)
	}
	return append(dst, '\n')
}

// outcome appends the status, if it is not success, and the error type.
func (p *platform) outcome(dst []byte) []byte {
	if p.failed() {
		dst = appendField(dst, "Status", p.status)
	}
	if p.errorType != nil {
		dst = appendField(dst, "Error Type", p.errorType)
	}
	return dst
}

func appendField(dst []byte, name string, value []byte) []byte {
	dst = append(append(append(dst, '\t'), name...), ": "...)
	return append(dst, value...)
}

// appendMs appends a number of milliseconds as CloudWatch Logs has it: with two
// digits after the decimal point.
func appendMs(dst, number []byte) []byte {
	if ms, err := strconv.ParseFloat(string(number), 64); err == nil {
		return append(strconv.AppendFloat(dst, ms, 'f', 2, 64), " ms"...)
	}
	return append(append(dst, number...), " ms"...)
}

// namesOf returns the strings of a JSON array in brackets and separated by commas;
// without strings, only brackets. With capital, each name begins with a capital letter,
// as the names of streams do. namesOf reports whether a reader can separate the names
// again.
func namesOf(array []byte, capital bool) (list []byte, ok bool) {
	if array == nil || string(array) == "null" {
		return []byte("[]"), true
	}
	if array[0] != '[' {
		return nil, false
	}
	list = append(list, '[')
	for i := jsontext.SkipSpace(array, 1); array[i] != ']'; {
		if array[i] == ',' {
			list = append(list, ", "...)
			i = jsontext.SkipSpace(array, i+1)
		}
		end, err := jsontext.SkipValue(array, i)
		if err != nil {
			return nil, false
		}
		name := textOf(array[i:end])
		if name == nil || bytes.ContainsFunc(name, func(r rune) bool { return !isNameRune(r) }) {
			return nil, false
		}
		if capital {
			if name[0] < 'a' || name[0] > 'z' {
				return nil, false
			}
			name[0] -= 'a' - 'A'
		}
		list = append(list, name...)
		i = jsontext.SkipSpace(array, end)
	}
	return append(list, ']'), true
}

// isNameRune reports whether the names of events and streams can contain a character.
func isNameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '.'
}
