// Package decode reads aggregates that Kinetel wrote.
package decode

import (
	"fmt"

	"github.com/kinetel/kinetel/internal/format/decoding"
	"github.com/kinetel/kinetel/internal/format/kpl"
	lines "github.com/kinetel/kinetel/internal/format/ndjson/decode"
)

// Start is how each aggregate begins.
const Start = kpl.Magic

// Decode reads an aggregate, whose user records are lines without their line feeds.
func Decode(data []byte, out *decoding.Output) error {
	d := lines.Decoder{Output: out}
	_, err := kpl.Read(data, func(line []byte) error {
		if err := d.Line(line); err != nil {
			return fmt.Errorf("user record %d: %w", out.Events+1, err)
		}
		return nil
	})
	if err == nil && out.Events == 0 {
		err = decoding.ErrAbsent
	}
	return err
}
