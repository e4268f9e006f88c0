package sandbox

import (
	"slices"
	"testing"

	"kinetel/kinesissim"
	"kinetel/record"
	schematest "kinetel/test/schema"
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
		if inSchemaCheck(first+i, data) {
			schematest.Check(t, data)
		}
		decoded, err := record.Decode(data)
		if err != nil {
			t.Fatalf("record %d: %v", first+i, err)
		}
		events = append(events, decoded...)
	}
	return events
}

// inSchemaCheck reports whether record i is checked against the schema. With -short
// these are the small records, which have Kinetel's own events, and an eighth of the
// large ones, which have hundreds of similar lines.
func inSchemaCheck(i int, data []byte) bool {
	return !testing.Short() || len(data) < 2<<10 || i%8 == 0
}
