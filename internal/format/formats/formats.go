// Package formats lists the formats. It is the only place that knows all of them.
package formats

import (
	"strings"

	"github.com/kinetel/kinetel/internal/format"
	"github.com/kinetel/kinetel/internal/format/cloudwatch"
	"github.com/kinetel/kinetel/internal/format/kpl"
	"github.com/kinetel/kinetel/internal/format/ndjson"
	"github.com/kinetel/kinetel/internal/format/otlp"
)

// All returns the formats. The first is the default.
func All() []format.Format {
	return []format.Format{
		ndjson.Format(),
		ndjson.JSON(),
		otlp.Format(),
		cloudwatch.Format(),
		kpl.Format(),
	}
}

// Names returns the names of the formats.
func Names() (names []format.Name) {
	for _, f := range All() {
		names = append(names, f.Name)
	}
	return names
}

// Named returns the format with a name, or the default if there is none.
func Named(name format.Name) format.Format {
	all := All()
	for _, f := range all {
		if f.Name == name {
			return f
		}
	}
	return all[0]
}

// Of returns the format of a payload. It recognizes formats by the first bytes. The
// formats of lines are all ndjson.
func Of(payload []byte) (f format.Format, ok bool) {
	for _, f := range All() {
		if strings.HasPrefix(string(payload[:min(len(payload), len(f.Start))]), f.Start) {
			return f, true
		}
	}
	return f, false
}

// Filter is Format.Filter for a payload of any format.
func Filter(payload []byte, keep format.Keep) ([]byte, error) {
	f, ok := Of(payload)
	if !ok {
		return nil, format.ErrNotReadable
	}
	return f.Filter(payload, keep)
}
