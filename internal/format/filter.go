package format

import (
	"bytes"
	"errors"

	"kinetel/internal/event"
)

// errNotLines means that AppendLine did not write the lines of the payload.
var errNotLines = errors.New("not lines that can be read back")

// Filter returns a payload without the events for which keep returns false, or nil if
// no event remains. A function of this package wrote the payload, in any format.
// Filter calls keep with each event's number, whether the event is droppable, and how
// many bytes of the payload it takes: approximately, with lines exactly. The parts of
// the payload that all of its events share stay.
func Filter(payload []byte, keep func(seq uint64, droppable bool, size int) bool) ([]byte, error) {
	switch {
	case IsKPL(payload):
		return filterKPL(payload, keep)
	case bytes.HasPrefix(payload, []byte(cloudWatchStart)):
		return filterCloudWatch(payload, keep)
	case bytes.HasPrefix(payload, []byte(`{"resource`)):
		return filterOTLP(payload, keep)
	}
	return filterLines(payload, keep)
}

func filterLines(payload []byte, keep func(seq uint64, droppable bool, size int) bool) (rest []byte, err error) {
	if len(payload) == 0 {
		return nil, errNotLines
	}
	for line := range bytes.Lines(payload) {
		l, ok := ReadLine(line)
		if !ok || line[len(line)-1] != '\n' {
			return nil, errNotLines
		}
		if keep(l.Seq, event.Droppable(l.Type), len(line)) {
			rest = append(rest, line...)
		}
	}
	return rest, nil
}
