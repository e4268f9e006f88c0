package sandbox

import (
	"slices"
	"testing"

	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/record"
	schematest "github.com/kinetel/kinetel/test/schema"
)

// Records reads the stream of an embedded Kinesis. It decodes each record once.
type Records struct {
	t       *testing.T
	kinesis *kinesissim.Server
	decoded int // records
	events  []record.Event
}

// NewRecords returns the Records of the test's stream.
func NewRecords(t *testing.T, kinesis *kinesissim.Server) *Records {
	return &Records{t: t, kinesis: kinesis}
}

// Data returns the data of each record.
func (r *Records) Data() [][]byte {
	var data [][]byte
	for _, one := range r.kinesis.Records(Stream) {
		data = append(data, one.Data)
	}
	return data
}

// Events decodes the records.
func (r *Records) Events() []record.Event {
	r.t.Helper()
	data := r.Data()
	r.events = append(r.events, decode(r.t, data[r.decoded:], r.decoded)...)
	r.decoded = len(data)
	return slices.Clone(r.events)
}

// Decode decodes the data of records. It fails the test if a record does not fulfil
// the schema.
func Decode(t *testing.T, records [][]byte) []record.Event {
	t.Helper()
	return decode(t, records, 0)
}

func decode(t *testing.T, records [][]byte, first int) []record.Event {
	t.Helper()
	var events []record.Event
	for i, data := range records {
		schematest.Check(t, data)
		decoded, err := record.Decode(data)
		if err != nil {
			t.Fatalf("record %d: %v", first+i, err)
		}
		events = append(events, decoded...)
	}
	return events
}
