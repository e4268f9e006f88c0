package telemetry

import (
	"bytes"
	"errors"
	"time"
	"unicode/utf8"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// Decoder splits the bodies of telemetry POSTs into events. It emits every byte of
// a body except the punctuation between events: in an event, or, if it cannot be
// parsed as one, as text in a kinetel.unparsed event.
//
// Lambda splits a record that is larger than the subscription's maxBytes over
// several POSTs. AWS does not document this; it was observed in the field (the
// Datadog extension's stitch.rs). The first body ends inside the record with a
// forged "}]". The next body begins with "[" and the same envelope, and continues
// where the first one stopped. Decoder keeps such a fragment and joins it with the
// rest. It parses the events that follow, above all a platform.runtimeDone, as
// usual.
//
// A Decoder is not safe for concurrent use.
type Decoder struct {
	emit   func(*event.Event)
	redact func(text []byte) []byte // what may leave of text that is no event; nil: all
	event  event.Event              // the argument of emit, reused for each call

	// fragment is the first part of an event that Lambda split, from its "{" to
	// the split, without the forged end; empty if there is none. envelope is how
	// many bytes of it precede the record's value. waited counts the later bodies
	// that did not continue it.
	fragment []byte
	envelope int
	waited   int
	// givenUp is the envelope of the last fragment whose rest did not come in time. If
	// it comes after all, what it begins with may be the end of a value, or a value
	// without its name. So it is not emitted as an event if events are redacted.
	givenUp []byte
}

const (
	// maxFragment bounds a record that is being joined, and so the size of an
	// event. Packing needs several times its size.
	maxFragment = 4 << 20
	// maxWaited is how many other bodies may come between the parts of a record.
	// Lambda posts one body at a time, so the next body should continue it;
	// the bound allows for more.
	maxWaited = 2
	// maxUnparsed bounds the text of one kinetel.unparsed event, as JSON, in
	// bytes. It keeps such an event far below Kinesis' limit for a record.
	maxUnparsed = 128 << 10
	// maxSalvage bounds the attempts with broken events in a body: to recognize
	// split events, and to find events after them.
	maxSalvage = 256
)

// NewDecoder returns a Decoder that calls emit with each event. emit must not keep
// the event. redact returns what may be emitted of text that is no event; nil: all of it.
func NewDecoder(emit func(*event.Event), redact func(text []byte) []byte) *Decoder {
	return &Decoder{emit: emit, redact: redact}
}

// Decode decodes one body, received at the given time. It does not retain body.
func (d *Decoder) Decode(body []byte, received time.Time) {
	if len(d.fragment) > 0 {
		if d.join(body) {
			joined := d.fragment
			d.fragment = nil
			d.decodeEvents(joined, received, true)
			return
		}
		d.waited++
		if d.waited > maxWaited {
			d.Close(received)
		}
	}
	d.decodeEvents(body, received, false)
}

// Close stops waiting for the rest of a split record and emits the fragment as
// text.
func (d *Decoder) Close(received time.Time) {
	fragment := d.fragment
	d.fragment = nil
	if d.redact != nil && len(fragment) > 0 {
		d.givenUp = fragment[:d.envelope]
	}
	d.unparsed(fragment, received)
}

// unparsed emits text that is no event. It is redacted as a whole: a piece might end in a
// value that has to be.
func (d *Decoder) unparsed(text []byte, received time.Time) {
	if d.redact != nil {
		text = d.redact(text)
	}
	Unparsed(text, received, d.emit)
}

// Fragment returns the first part of a split record whose rest is still to come. It
// must not be changed.
func (d *Decoder) Fragment() []byte { return d.fragment }

// join appends body to the fragment if it continues it. If ok is false, the body is
// something else, and the fragment is unchanged. The bytes of a fragment never
// change, so callers of Fragment need no copy.
func (d *Decoder) join(body []byte) (ok bool) {
	rest, ok := bytes.CutPrefix(body, []byte{'['})
	if !ok || !bytes.HasPrefix(rest, d.fragment[:d.envelope]) {
		return false
	}
	if again, _, ok := splitRecord(rest); ok && bytes.Equal(again, d.fragment) {
		return false // the same part again
	}
	fragment := d.fragment
	size := len(fragment) + len(rest) - d.envelope
	if size > maxFragment+maxBytes { // maxBytes: other events may follow the record
		d.waited = maxWaited
		return false
	}
	if cap(fragment) < size {
		fragment = append(make([]byte, 0, size), fragment...)
	}
	joined := append(fragment, rest[d.envelope:]...)
	var ev event.Event
	if end, err := parseEvent(joined, 0, &ev); err == nil && followed(joined, end) {
		d.fragment = joined
		return true
	}
	// Another event may have the same time and type. The continuation of a record
	// is not an event itself, unless the split was at a quote with a backslash; but
	// then joined would have been a whole event above.
	if end, err := parseEvent(rest, 0, &ev); err == nil && followed(rest, end) {
		return false
	}
	// Not whole yet: Lambda may have split it again.
	if _, _, ok = splitRecord(joined); ok {
		d.fragment = joined
	}
	return ok
}

// decodeEvents emits the events of b, which is a JSON array or the rest of one. If
// own is true, the decoder may keep b.
func (d *Decoder) decodeEvents(b []byte, received time.Time, own bool) {
	salvage, cuts := maxSalvage, maxSalvage
	for i := 0; ; {
		i = jsontext.SkipSpace(b, i)
		if i >= len(b) {
			return
		}
		if c := b[i]; c == '[' || c == ',' || c == ']' {
			i++
			continue
		}
		end, err := parseEvent(b, i, &d.event)
		if err == nil && len(d.givenUp) > 0 && bytes.HasPrefix(b[i:], d.givenUp) {
			d.unparsed(b[i:end], received)
			i = end
			continue
		}
		if err == nil { // this event is whole, whatever follows
			d.event.Received = received
			d.emit(&d.event)
			i = end
			continue
		}
		if errors.Is(err, errNoEvent) && followed(b, end) {
			d.unparsed(b[i:end], received)
			i = end
			continue
		}
		// It is broken. If Lambda split it, all that follows belongs to it.
		// Otherwise the events that follow may be valid.
		if cuts > 0 {
			if fragment, envelope, ok := splitRecord(b[i:]); ok {
				if !own {
					fragment = bytes.Clone(fragment)
				}
				d.keepFragment(fragment, envelope, received)
				return
			}
			cuts--
		}
		next := nextEvent(b, i, &salvage)
		d.unparsed(bytes.TrimRight(b[i:next], ", \r\n\t"), received) // without the punctuation between events
		i = next
	}
}

// keepFragment stores the first part of a split record until its rest comes. It
// retains fragment.
func (d *Decoder) keepFragment(fragment []byte, envelope int, received time.Time) {
	// Only one record can be pending. A second fragment is either the same one
	// again, or the rest of the older one will never come.
	if !bytes.Equal(d.fragment, fragment) {
		d.Close(received)
	}
	if len(fragment) > maxFragment {
		d.fragment, d.envelope = fragment, envelope
		d.Close(received)
		return
	}
	d.fragment = fragment
	d.envelope = envelope
	d.waited = 0
}

// Unparsed emits text that is not an event, in kinetel.unparsed events. It does not
// split characters.
func Unparsed(text []byte, received time.Time, emit func(*event.Event)) {
	for len(text) > 0 {
		n, size := 0, len(`""`)
		for n < len(text) && size < maxUnparsed {
			size++
			switch c := text[n]; {
			case c == '"' || c == '\\':
				size++
			case c < ' ':
				size += len(`u0000`)
			}
			n++
		}
		if n < len(text) {
			for back := n; back > n-utf8.UTFMax; back-- { // to the start of a character
				if utf8.RuneStart(text[back]) {
					n = back
					break
				}
			}
		}
		emit(&event.Event{
			Received: received,
			Type:     []byte(event.TypeUnparsed),
			Record:   jsontext.AppendQuote(make([]byte, 0, size), text[:n]),
		})
		text = text[n:]
	}
}

// errNoEvent means that a JSON value is not a telemetry event.
var errNoEvent = errors.New("not a telemetry event")

// parseEvent parses the event that begins at b[i] into ev. It returns the index just
// after the event, or after the value that is not an event.
func parseEvent(b []byte, i int, ev *event.Event) (end int, err error) {
	*ev = event.Event{}
	if b[i] != '{' {
		if end, err = jsontext.SkipValue(b, i); err == nil {
			err = errNoEvent
		}
		return end, err
	}
	times, types, records := 0, 0, 0
	m := jsontext.Members(b[i:])
	m.CheckStrings = true
	for m.Next() {
		known := true // a member that Event has a field for
		switch text := jsontext.Unquoted(m.Value); string(m.Name) {
		case "time":
			times++
			if known = isTime(text); known {
				ev.Time = text
			}
		case "type":
			types++
			ev.Type = text
		case "record":
			records++
			ev.Record = m.Value
		default:
			known = false
		}
		if !known {
			if len(ev.Extra) > 0 {
				ev.Extra = append(ev.Extra, ',')
			}
			ev.Extra = append(ev.Extra, b[i+m.Start:i+m.End]...)
		}
	}
	if err = m.Err; err == nil && (times > 1 || types != 1 || records > 1 || len(ev.Type) == 0 || !isType(ev.Type)) {
		err = errNoEvent
	}
	return i + m.End, err
}

// isType reports whether text can be the type of one of Lambda's events: a name
// without white space or escapes, and not one of Kinetel's own types. An event with
// another type becomes text in kinetel.unparsed: a consumer that unescapes the type,
// trims it or ignores its case must not mistake it for one of Kinetel's events.
func isType(text []byte) bool {
	if string(text) == event.TypeFunction {
		return true
	}
	for _, c := range text {
		if c <= ' ' || c >= 0x7f || c == '\\' {
			return false
		}
	}
	const own = "kinetel"
	for i := range own {
		if i >= len(text) || text[i]|0x20 != own[i] { // in either case
			return true
		}
	}
	return false
}

// isTime reports whether text is a time that a consumer can read.
func isTime(text []byte) bool {
	if _, ok := event.LambdaTime(text); ok {
		return true
	}
	// time.Parse accepts hours of one digit and a comma before the fraction.
	// RFC 3339 does not.
	if len(text) < len("2006-01-02T15:04:05Z") || text[len("2006-01-02T15")] != ':' || bytes.IndexByte(text, ',') >= 0 {
		return false
	}
	_, err := time.Parse(time.RFC3339, string(text))
	return err == nil
}

// followed reports whether what follows a value that ends at b[i] may follow an
// element of an array, or is the end of the text.
func followed(b []byte, i int) bool {
	i = jsontext.SkipSpace(b, i)
	return i >= len(b) || b[i] == ',' || b[i] == ']' || b[i] == '{'
}

// nextEvent returns the index of the first whole event after the broken one
// at b[i], or len(b). Every event of Lambda's begins with its time. Inside a string
// the quotes would have backslashes.
func nextEvent(b []byte, i int, budget *int) int {
	begin := []byte(`{"time":`)
	var ev event.Event
	for *budget > 0 {
		at := bytes.Index(b[i+1:], begin)
		if at < 0 {
			break
		}
		i += 1 + at
		if before := bytes.TrimRight(b[:i], " \r\n\t"); len(before) == 0 || before[len(before)-1] != ',' && before[len(before)-1] != '[' {
			continue
		}
		if end, err := parseEvent(b, i, &ev); err == nil && len(ev.Time) > 0 && followed(b, end) {
			return i
		}
		*budget--
	}
	return len(b)
}

// splitRecord reports whether b is an event that Lambda split inside its record: it
// is whole up to the record's value, has the forged end, and without that end is
// the beginning of an event. It returns the text before the forged end, and the
// length of the envelope in it.
func splitRecord(b []byte) (fragment []byte, envelope int, ok bool) {
	fragment, ok = bytes.CutSuffix(bytes.TrimRight(b, " \r\n\t"), []byte("}]"))
	if !ok {
		return nil, 0, false
	}
	const record = `"record":`
	envelope = bytes.Index(fragment, []byte(record))
	if envelope < 1 || fragment[0] != '{' || bytes.ContainsAny(fragment[1:envelope], "{}[]\\") {
		return nil, 0, false
	}
	envelope += len(record)
	_, err := parseEvent(fragment, 0, &event.Event{})
	return fragment, envelope, errors.Is(err, jsontext.ErrCut)
}
