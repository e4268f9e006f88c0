package tail

import (
	"hash/fnv"
	"strconv"
	"time"

	"github.com/kinetel/kinetel/record"
)

// textPrinter prints a line for a person.
type textPrinter struct {
	location *time.Location
	color    bool
	seen     *seen
	prices   map[string]float64
}

const (
	timeLayout    = "01-02 15:04:05.000"
	requestWidth  = 8 // characters of a request id
	severityWidth = 5
	spaces        = "         " // one more than the widest column
)

// append appends the line of an event: time, request id, severity and message.
func (p *textPrinter) append(dst []byte, e *record.Event, _ *place) ([]byte, error) {
	if e.Time.IsZero() {
		dst = appendEscaped(dst, []byte(e.TimeText[:min(len(e.TimeText), len(timeLayout))]))
	} else {
		dst = e.Time.In(p.location).AppendFormat(dst, timeLayout)
	}
	dst = append(dst, ' ')
	id := e.RequestID[:min(len(e.RequestID), requestWidth)]
	dst = p.column(dst, id, requestColor(e.RequestID), requestWidth)
	name := severity(e)
	dst = p.column(dst, name, severityColor(name), severityWidth)
	switch {
	case e.Type == record.TypeInvocation:
		if inv, err := e.Invocation(); err == nil {
			dst = p.appendSummary(dst, e, &inv)
			return append(dst, '\n'), nil
		}
		fallthrough
	case e.Type != record.TypeFunction:
		dst = appendEscaped(dst, []byte(e.Type))
		dst = append(dst, ' ')
	}
	if e.Parts > 0 {
		dst = append(dst, "(part "...)
		dst = strconv.AppendInt(dst, int64(e.Part), 10)
		dst = append(dst, " of "...)
		dst = strconv.AppendInt(dst, int64(e.Parts), 10)
		dst = append(dst, ") "...)
	}
	dst = appendMessage(dst, e)
	return append(dst, '\n'), nil
}

// column appends text in a colour, and spaces up to the width and one more.
func (p *textPrinter) column(dst []byte, text, color string, width int) []byte {
	if p.color && text != "" && color != "" {
		dst = append(dst, color...)
		dst = appendEscaped(dst, []byte(text))
		dst = append(dst, colorOff...)
	} else {
		dst = appendEscaped(dst, []byte(text))
	}
	return append(dst, spaces[:max(0, width-len(text))+1]...)
}

const colorOff = "\x1b[0m"

// requestColors are colours of the palette of 256 that can be read on black and on white.
var requestColors = [...]string{
	"\x1b[38;5;32m", "\x1b[38;5;37m", "\x1b[38;5;64m", "\x1b[38;5;71m", "\x1b[38;5;97m", "\x1b[38;5;103m",
	"\x1b[38;5;131m", "\x1b[38;5;136m", "\x1b[38;5;133m", "\x1b[38;5;166m", "\x1b[38;5;68m", "\x1b[38;5;29m",
}

// requestColor returns the colour of a request: always the same.
func requestColor(id string) string {
	if id == "" {
		return ""
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // it cannot fail
	return requestColors[h.Sum32()%uint32(len(requestColors))]
}

func severityColor(name string) string {
	switch name {
	case record.SeverityError, record.SeverityFatal:
		return "\x1b[31m"
	case record.SeverityWarn:
		return "\x1b[33m"
	case record.SeverityDebug, record.SeverityTrace:
		return "\x1b[2m"
	}
	return ""
}
