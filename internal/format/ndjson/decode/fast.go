package decode

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/kinetel/kinetel/internal/format/decoding"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// fast reads a line as Kinetel writes it into l, several times faster than encoding/json.
// It returns false for any other text, which may be a line all the same: with other names,
// escapes in the short strings, or bodyBase64. If it returns true, encoding/json would
// have read the same. l has the previous line before, whose strings are used again.
func (d *Decoder) fast(l *line, text []byte) bool {
	last := *l
	*l = line{}
	m := jsontext.Members(text)
	m.CheckStrings = true
	for ok := true; m.Next(); {
		switch string(m.Name) {
		case "schema":
			l.Schema, ok = short(m.Value, last.Schema)
		case "seq":
			var err error
			l.Seq, err = strconv.ParseUint(string(m.Value), 10, 64)
			ok = err == nil
		case "time":
			l.TimeText, ok = short(m.Value, last.TimeText)
		case "type":
			l.Type, ok = short(m.Value, last.Type)
		case "severity":
			l.Severity, ok = short(m.Value, last.Severity)
		case "requestId":
			l.RequestID, ok = short(m.Value, last.RequestID)
		case "traceId":
			l.TraceID, ok = short(m.Value, last.TraceID)
		case "part":
			l.Part, ok = number(m.Value)
		case "parts":
			l.Parts, ok = number(m.Value)
		case "body":
			l.Body = bytes.Clone(m.Value) // the text changes with the next line
		case "extra":
			l.Extra = bytes.Clone(m.Value)
		case "resource":
			if l.Resource = d.resourceText; !bytes.Equal(m.Value, d.resourceText) {
				l.Resource = bytes.Clone(m.Value)
			}
		default:
			return false
		}
		if !ok {
			return false
		}
	}
	return m.Err == nil && jsontext.SkipSpace(text, m.End) == len(text)
}

// short returns the text of a string without escapes, or last if that is the same.
func short(value []byte, last string) (text string, ok bool) {
	raw := jsontext.Unquoted(value)
	switch {
	case string(raw) == last && raw != nil:
		return last, true
	case raw == nil || bytes.IndexByte(raw, '\\') >= 0 || !utf8.Valid(raw):
		return "", false
	}
	return string(raw), true
}

func number(value []byte) (n int, ok bool) {
	n, err := strconv.Atoi(string(value))
	return n, err == nil
}

// fastMarshal is Marshal for the events that most lines have: whole ones without extra,
// whose short strings need no escapes. ok is false for any other.
func fastMarshal(e *decoding.Event) (text []byte, ok bool) {
	if e.Parts != 0 || e.Part != 0 || len(e.Extra) > 0 || e.TimeText == "" || e.Resource == nil || !jsontext.ValidUnicode(e.Body) {
		return nil, false
	}
	const rest = 256 // bytes of names, numbers and ids
	dst := bytes.NewBuffer(make([]byte, 0, len(e.Body)+rest+64*len(e.Resource)))
	ok = true
	member := func(name, value string) {
		ok = ok && plain(name) && plain(value)
		dst.WriteString(`"` + name + `":"`)
		dst.WriteString(value)
		dst.WriteString(`",`)
	}
	dst.WriteByte('{')
	member("schema", e.Schema)
	dst.WriteString(`"seq":`)
	dst.Write(strconv.AppendUint(dst.AvailableBuffer(), e.Seq, 10))
	dst.WriteByte(',')
	member("time", e.TimeText)
	member("type", e.Type)
	for _, m := range [...]struct{ name, value string }{{"severity", e.Severity}, {"requestId", e.RequestID}, {"traceId", e.TraceID}} {
		if m.value != "" {
			member(m.name, m.value)
		}
	}
	dst.WriteString(`"body":`)
	if !ok || json.Compact(dst, e.Body) != nil {
		return nil, false
	}
	dst.WriteString(`,"resource":{`)
	for _, name := range slices.Sorted(maps.Keys(e.Resource)) {
		member(name, e.Resource[name])
	}
	if len(e.Resource) > 0 {
		dst.Truncate(dst.Len() - 1) // the last comma
	}
	dst.WriteString("}}")
	return dst.Bytes(), ok
}

// plain reports whether encoding/json writes text as it is.
func plain(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
