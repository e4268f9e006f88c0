package record

import (
	"fmt"

	"kinetel/internal/format"
)

// decodeKPL reads an aggregate of the Kinesis Producer Library, whose user records
// are lines without their line feeds.
func decodeKPL(data []byte) (events []Event, err error) {
	err = format.ReadKPL(data, func(line []byte) error {
		e, err := decodeLine(line)
		if err != nil {
			return fmt.Errorf("user record %d: %w", len(events)+1, err)
		}
		events = append(events, e)
		return nil
	})
	if err == nil && len(events) == 0 {
		err = errAbsent
	}
	if err != nil {
		return events, fmt.Errorf("%w: %w", ErrNoRecord, err)
	}
	return events, nil
}
