package record

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/kinetel/kinetel/internal/format/decoding"
	ndjson "github.com/kinetel/kinetel/internal/format/ndjson/decode"
)

// Schema is the schema of the events that this package reads.
const Schema = "kinetel/1"

// Event is one event: one line of a record.
type Event struct {
	Schema string
	Seq    uint64 // counts the environment's events from 1; see Key
	// Time is TimeText in UTC. It is zero if TimeText is not a time of RFC 3339.
	// TimeText is the text that Lambda wrote, byte for byte. MarshalJSON writes
	// TimeText, and Time only if TimeText is empty.
	Time     time.Time
	TimeText string
	Type     string // Lambda's type or one of Kinetel's own, such as TypeFunction
	// Severity is the severity that a log line itself states, such as SeverityError.
	// It is empty if the line states none.
	Severity string
	// RequestID is the request id of the invocation that the event belongs to.
	// TraceID is the invocation's X-Ray trace (1-5759e988-bd862e3fe1be46a994272793).
	// They are empty if they are not known.
	RequestID string
	TraceID   string
	// An event that is too large for one record comes in Parts parts. Part is the
	// number of this one, from 1. Both are 0 in a whole event. See Join.
	Part  int
	Parts int
	// Body is Lambda's record, unchanged: any JSON value. It is not UTF-8 if Lambda's
	// record was not (the line has the original in bodyBase64). In a part, Body is a
	// JSON string with a piece of the record's text.
	Body json.RawMessage
	// Extra has the members of Lambda's event that Kinetel does not know.
	Extra map[string]json.RawMessage
	// Resource has the attributes of the function and its environment, such as
	// faas.name. Do not change it: it may be shared with other events.
	Resource map[string]string
}

// Key is the name of an event. The same key twice is the same event twice. Compare keys
// of the same format only: the format cloudwatch has a part of the instance id.
type Key struct {
	InstanceID string // of the execution environment
	Seq        uint64
}

func (k Key) String() string { return fmt.Sprintf("seq %d of %s", k.Seq, k.InstanceID) }

// Key returns the event's key, to remove duplicates by.
func (e Event) Key() Key { return Key{e.InstanceID(), e.Seq} }

// InstanceID returns the id of the execution environment whose events Seq counts: the
// resource attribute service.instance.id.
func (e Event) InstanceID() string { return e.Resource["service.instance.id"] }

// MarshalJSON encodes the event as a line of kinetel/1, in valid UTF-8. If the body is
// not valid, the line has bodyBase64.
func (e Event) MarshalJSON() ([]byte, error) { return ndjson.Marshal(decoding.Event(e)) }

// UnmarshalJSON decodes the output of MarshalJSON, and lines of kinetel/1. It does not
// check the schema.
func (e *Event) UnmarshalJSON(text []byte) error {
	read, err := ndjson.Unmarshal(text)
	if err == nil {
		*e = Event(read)
	}
	return err
}
