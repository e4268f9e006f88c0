package format

import (
	"bytes"
	"errors"

	"kinetel/internal/event"
)

// errNotLines means a payload of lines that AppendLine did not write.
var errNotLines = errors.New("not lines that can be read back")

// Filter returns a payload, which a function of this package has written, of any
// format, without the events that keep does not want; nil where it wants none.
// keep is called with each event's number, whether it is one of those that go
// first, and about how many bytes of the payload it takes; with lines, exactly.
// What the payload says of all of its events stays.
func Filter(payload []byte, keep func(seq uint64, ordinary bool, size int) bool) ([]byte, error) {
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

func filterLines(payload []byte, keep func(seq uint64, ordinary bool, size int) bool) (rest []byte, err error) {
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
