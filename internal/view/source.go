package view

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/kinetel/kinetel/record"
)

// AddRecord adds the events of a record of a stream. name says which one it is.
func (v *View) AddRecord(data []byte, arrival time.Time, name string) {
	events, err := record.Decode(data)
	for _, e := range events {
		v.Add(e, arrival)
	}
	if err != nil {
		v.AddUnreadable(fmt.Errorf("%s: %w", name, err))
	}
}

// AddFile adds the events of a file. The error is that of in.
func (v *View) AddFile(name string, in io.Reader) error {
	for e, err := range record.Events(in) {
		if _, damaged := errors.AsType[*record.Error](err); damaged {
			v.AddUnreadable(fmt.Errorf("%s: %w", name, err))
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		v.Add(e, time.Time{})
	}
	return nil
}
