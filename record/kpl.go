package record

import (
	"fmt"

	"kinetel/internal/format"
)

// kpl reads an aggregate of the Kinesis Producer Library. Its user records are lines
// without their line feeds.
func (d *decoding) kpl(data []byte) error {
	err := format.ReadKPL(data, func(line []byte) error {
		if err := d.line(line); err != nil {
			return fmt.Errorf("user record %d: %w", len(d.events)+1, err)
		}
		return nil
	})
	if err == nil && len(d.events) == 0 {
		err = errAbsent
	}
	return err
}
