package pack

import (
	"bytes"
	"unicode/utf8"

	"github.com/kinetel/kinetel/internal/environment"
	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// Checker validates records and lines that another process wrote to disk. Every
// process in the sandbox can write there. Kinetel ships only well-formed data.
type Checker struct{}

// Record reports whether a Packer can have made the record's data. Of compressed
// data and aggregates it checks only the first bytes: there is no time to decompress
// an hour of telemetry.
func (Checker) Record(r *Record) bool {
	rest := r.Data
	if r.Bound() || bytes.HasPrefix(rest, []byte("\x1f\x8b\x08")) || bytes.HasPrefix(rest, []byte("\x28\xb5\x2f\xfd")) {
		return true
	}
	for len(rest) > 0 {
		line := rest
		if end := bytes.IndexByte(rest, '\n'); end >= 0 {
			line = rest[:end]
		}
		if !isObject(line) {
			return false
		}
		rest = rest[min(len(line)+1, len(rest)):]
	}
	return len(r.Data) > 0
}

// Line reports whether text is the line of the environment's event with the number
// seq.
func (Checker) Line(o *environment.Environment, seq uint64, text []byte) bool {
	l, ok := format.ReadLine(text)
	return ok && l.Seq == seq && bytes.HasSuffix(text, []byte("}\n")) && isObject(text) &&
		bytes.Contains(l.Resource, []byte(`"service.instance.id":"`+o.ID+`"`))
}

// isObject reports whether text is a JSON object.
func isObject(text []byte) bool {
	return len(text) > 0 && text[0] == '{' && utf8.Valid(text) && jsontext.IsObject(text)
}
