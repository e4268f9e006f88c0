package cloudwatch

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math/bits"
)

// Message is the kind of a log event's message: what it was made of. A reader needs
// it to read the message back.
type Message uint8

// The kinds of messages. Their numbers are part of each id and must not change.
const (
	FunctionText  Message = iota // a function's log line that was text
	FunctionJSON                 // a function's log line that was any other JSON value
	ExtensionText                // the same for extensions
	ExtensionJSON
	SystemJSON // time, type and record of any other event
	OtherJSON  // the same, of a droppable event
	Start      // the line that CloudWatch Logs has for platform.start
	End        // … platform.runtimeDone
	Report     // … platform.report
	InitStart  // … platform.initStart
	InitReport // … platform.initReport, of an init that failed
	RestoreStart
	RestoreReport
	Extension    // … platform.extension
	Subscription // … platform.telemetrySubscription
	messages
)

// droppable returns event.Droppable of the type of the event.
func (m Message) droppable() bool { return m <= ExtensionJSON || m == OtherJSON }

// EventIDDigits is the length of an event's id.
const EventIDDigits = 56

// EventID is the content of a log event's id. Ids are numbers of 56 decimal digits,
// like those of CloudWatch Logs. From the highest bit on they have 42 bits of time, 48
// of seq, 8 of the kind of message, and 88 of the environment. So they sort by time,
// and then by seq, as text and as numbers. 56 digits have room for 186 bits.
type EventID struct {
	Ms          int64 // since 1970, to 2109
	Seq         uint64
	Message     Message
	Environment string // 22 hexadecimal digits: the first of service.instance.id
}

const (
	msBits, seqBits = 42, 48

	tenTo19 = 10_000_000_000_000_000_000
)

// putEventID writes an id over the first bytes of dst. It limits time and seq to
// what the id has room for.
func putEventID(dst []byte, ms int64, seq uint64, kind Message, environment string) {
	at := uint64(min(max(ms, 0), 1<<msBits-1))
	seq = min(seq, 1<<seqBits-1)
	of := environmentBits(environment)
	var n [3]uint64 // the number, its highest bits first
	n[0] = at<<16 | seq>>32
	n[1] = seq<<32 | uint64(kind)<<24 | uint64(of[0])<<16 | uint64(of[1])<<8 | uint64(of[2])
	n[2] = binary.BigEndian.Uint64(of[3:])
	for end := EventIDDigits; end > 0; end -= 19 {
		var rest uint64
		for i := range n {
			n[i], rest = bits.Div64(rest, n[i], tenTo19)
		}
		for i := end - 1; i >= max(end-19, 0); i-- {
			dst[i] = '0' + byte(rest%10)
			rest /= 10
		}
	}
}

// environmentBits returns the first 88 bits of an environment's id, which has
// hexadecimal digits if Kinetel generated it. For any other id it returns 88 bits of
// its hash.
func environmentBits(id string) (of [11]byte) {
	if digits := hex.EncodedLen(len(of)); len(id) >= digits {
		if _, err := hex.Decode(of[:], []byte(id[:digits])); err == nil {
			return of
		}
	}
	sum := sha256.Sum256([]byte(id))
	return [11]byte(sum[:])
}

// ParseEventID reads an id. It reports whether this package can have written the id.
func ParseEventID(digits []byte) (id EventID, ok bool) {
	if len(digits) != EventIDDigits {
		return id, false
	}
	var n [3]uint64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return id, false
		}
		carry := uint64(c - '0')
		for i := len(n) - 1; i >= 0; i-- {
			high, low := bits.Mul64(n[i], 10)
			var more uint64
			n[i], more = bits.Add64(low, carry, 0)
			carry = high + more
		}
	}
	id.Ms = int64(n[0] >> 16)
	id.Seq = n[0]&(1<<16-1)<<32 | n[1]>>32
	id.Message = Message(n[1] >> 24)
	var of [11]byte
	of[0], of[1], of[2] = byte(n[1]>>16), byte(n[1]>>8), byte(n[1])
	binary.BigEndian.PutUint64(of[3:], n[2])
	id.Environment = hex.EncodeToString(of[:])
	return id, n[0]>>(16+msBits) == 0 && id.Seq > 0 && id.Message < messages
}
