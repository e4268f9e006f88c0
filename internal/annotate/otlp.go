package annotate

import (
	"bytes"
	"strings"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// found is a severity and how the line says it. It is small enough to be passed in
// registers.
type found struct {
	severity event.Severity
	number   uint8 // OpenTelemetry's own, if the line has that; 0: it does not
	scale    uint8
	text     []byte // the logger's word or number
}

// Values of scale. 0 means that only the word is known.
const (
	syslogScale = 1 // and up to 7 more: the number of syslog, from 0
	topScale    = 9 // critical is the highest severity, as in Python and .NET
)

// OTLP makes Annotate set ev.OTLP. With spans, an event of an invocation gets its
// span.
func (a *Annotator) OTLP(spans bool) {
	a.texts, a.spans = map[string]string{}, spans
}

// maxTexts is how many texts of severities are remembered, so that not every line
// needs memory for its own.
const maxTexts = 64

// setSeverity sets the event's severity to that of its line.
func (a *Annotator) setSeverity(ev *event.Event, f *found) {
	if ev.Severity = f.severity; a.texts == nil || f.severity == event.SeverityUnknown {
		return
	}
	text, ok := a.texts[string(f.text)]
	if !ok {
		if len(a.texts) == maxTexts {
			a.texts = map[string]string{}
		}
		text = string(f.text)
		a.texts[text] = text
	}
	if f.scale >= syslogScale && f.scale < topScale { // their keywords (RFC 5424, and the syslog parser of OpenTelemetry's collector)
		text = [...]string{"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"}[f.scale-syslogScale]
	}
	ev.OTLP.SeverityText, ev.OTLP.SeverityNumber = text, f.number
	if f.number == 0 {
		ev.OTLP.SeverityNumber = uint8(numberOf(text, f))
	}
}

// numberOf returns OpenTelemetry's number for a severity and its text (logs data model,
// appendix B, whose columns differ in critical, and slog's and OpenTelemetry's own words
// with a step).
func numberOf(text string, f *found) int {
	n := letters(f.text)
	if n > 0 && n < len(f.text) && f.text[n] != ' ' {
		step := f.text[n:]
		by := number(bytes.TrimLeft(step, "+-"))
		switch step[0] {
		case '-':
			by = -by
		case '+':
		default:
			by--
		}
		base, _ := lookUp(f.text[:n])
		return min(max(base.Number()+by, 1), 24)
	}
	is := func(word string) bool { return strings.EqualFold(text, word) }
	switch {
	case is("fine"):
		return 6
	case is("config"):
		return 7
	case is("notice"):
		return 10
	case (is("critical") || is("crit")) && f.scale != topScale && text != "Critical", is("dpanic"): // Critical is .NET's
		return 18
	case is("alert"), is("panic"):
		return 19
	}
	return f.severity.Number()
}

// spanOf returns what the events of an invocation need to know of its span. ev is its
// platform.start.
func spanOf(ev *event.Event) *event.Span {
	p := ev.Platform()
	return &event.Span{Header: []byte(p.Trace), ID: jsontext.Unquoted(jsontext.Member(p.Tracing, "spanId"))}
}
