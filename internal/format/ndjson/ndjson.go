// Package ndjson writes lines of kinetel/1 as they are: up to 500 in a record, or one.
package ndjson

import (
	"bytes"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/format"
)

// The names of the formats.
const (
	Name     format.Name = "ndjson"
	JSONName format.Name = "json"
)

// Format returns the format of records of many lines.
func Format() format.Format {
	return format.Format{
		Name:         Name,
		Compressions: []format.Compression{format.Gzip, format.Zstd, format.Uncompressed},
		MaxLines:     format.MaxRecord - 4<<10,
		Start:        format.Start,
		Filter:       filter,
	}
}

// JSON returns the format of records of one line.
func JSON() format.Format {
	f := Format()
	f.Name, f.OneLine = JSONName, true
	return f
}

func filter(payload []byte, keep format.Keep) (rest []byte, err error) {
	for line := range bytes.Lines(payload) {
		l, ok := format.ReadLine(line)
		if !ok || line[len(line)-1] != '\n' {
			return nil, format.ErrNotReadable
		}
		if keep(l.Seq, event.Droppable(l.Type), len(line)) {
			rest = append(rest, line...)
		}
	}
	return rest, nil
}
