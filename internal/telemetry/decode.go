package telemetry

import (
	"bytes"
	"errors"
	"time"
	"unicode/utf8"

	"kinetel/internal/event"
	"kinetel/internal/scan"
)

// Decoder cuts the bodies of telemetry POSTs into events. Every byte of a body
// that is more than punctuation between events comes out again: in an event,
// or, where it cannot be read as one, as text in a kinetel.unparsed event.
//
// Lambda cuts a record that is larger than the subscription's maxBytes over
// several POSTs, as nobody documents but the field has seen (the Datadog
// extension's stitch.rs): the first body ends inside the record with a forged
// "}]", and the next begins with "[" and the same envelope, and goes on where
// the first stopped. Decoder keeps such a fragment and puts the halves
// together; what follows them, a platform.runtimeDone above all, is read as if
// nothing had happened.
//
// A Decoder is not safe for concurrent use.
type Decoder struct {
	emit  func(*event.Event)
	event event.Event // that is handed to emit, used again and again

	// fragment is a record that Lambda cut, from its "{" to the cut, without
	// the forged end; empty when there is none. envelope is how many bytes of
	// it stand before the record's value. waited counts the bodies that came
	// since and did not go on with it.
	fragment []byte
	envelope int
	waited   int
}

const (
	// maxFragment bounds a record that is being put together, and with it what an
	// event may be. Packing takes several times its size.
	maxFragment = 4 << 20
	// maxWaited is how many other bodies may come between the halves of a
	// record. Lambda posts one body at a time, so the next one should go on
	// with it; more than one is kindness.
	maxWaited = 2
	// maxUnparsed is how long the text of one kinetel.unparsed event is, as JSON.
	// It keeps such an event far below Kinesis' limit for a record.
	maxUnparsed = 128 << 10
	// maxSalvage bounds what is tried with broken events in a body: to see
	// them as cut, and to find events behind them.
	maxSalvage = 256
)

// NewDecoder returns a Decoder that hands each event to emit, which must not
// keep it.
func NewDecoder(emit func(*event.Event)) *Decoder {
	return &Decoder{emit: emit}
}

// Decode takes one body, received at the given time. It keeps nothing of body.
func (d *Decoder) Decode(body []byte, received time.Time) {
	if len(d.fragment) > 0 {
		if d.join(body) {
			joined := d.fragment
			d.fragment = nil
			d.elements(joined, received, true)
			return
		}
		d.waited++
		if d.waited > maxWaited {
			d.Close(received)
		}
	}
	d.elements(body, received, false)
}

// Close gives up waiting for the rest of a record that was cut, and hands on
// what there is of it as text.
func (d *Decoder) Close(received time.Time) {
	fragment := d.fragment
	d.fragment = nil
	d.unparsed(fragment, received)
}

// Fragment returns what there is of a record that was cut and whose rest is still
// to come. Nobody changes it.
func (d *Decoder) Fragment() []byte { return d.fragment }

// join appends the body that goes on with the fragment to it; not ok means that
// the body is something else, and the fragment is what it was. The text of a
// fragment is never changed, and so need not be copied.
func (d *Decoder) join(body []byte) (ok bool) {
	rest, ok := bytes.CutPrefix(body, []byte{'['})
	if !ok {
		return false
	}
	if !bytes.HasPrefix(rest, d.fragment[:d.envelope]) {
		return false
	}
	if again, _, ok := cutRecord(rest); ok && bytes.Equal(again, d.fragment) {
		return false // the same half once more
	}
	fragment := d.fragment
	size := len(fragment) + len(rest) - d.envelope
	if size > maxFragment+maxBytes { // other events may stand behind it
		d.waited = maxWaited
		return false
	}
	if cap(fragment) < size {
		fragment = append(make([]byte, 0, size), fragment...)
	}
	joined := append(fragment, rest[d.envelope:]...)
	if _, end, err := parseEvent(joined, 0); err == nil && followed(joined, end) {
		d.fragment = joined
		return true
	}
	// Another event may well have the same time and type. What goes on with a
	// record is no event, unless the cut was at a quote with a backslash; and
	// then it would have fitted.
	if _, end, err := parseEvent(rest, 0); err == nil && followed(rest, end) {
		return false
	}
	// Not whole yet: it may have been cut once more.
	if _, _, ok = cutRecord(joined); ok {
		d.fragment = joined
	}
	return ok
}

// elements hands on the events of b, which is a JSON array, or what is left
// of one. own says that b is nobody else's.
func (d *Decoder) elements(b []byte, received time.Time, own bool) {
	salvage, cuts := maxSalvage, maxSalvage
	for i := 0; ; {
		i = scan.Space(b, i)
		if i >= len(b) {
			return
		}
		if c := b[i]; c == '[' || c == ',' || c == ']' {
			i++
			continue
		}
		ev, end, err := parseEvent(b, i)
		if err == nil { // whatever follows, this one is whole
			d.event = ev
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
		// It is broken. Either Lambda cut it, and then all that follows belongs
		// to it, or something is wrong, and what follows need not be.
		if cuts > 0 {
			if fragment, envelope, ok := cutRecord(b[i:]); ok {
				if !own {
					fragment = bytes.Clone(fragment)
				}
				d.keep(fragment, envelope, received)
				return
			}
			cuts--
		}
		next := nextEvent(b, i, &salvage)
		d.unparsed(trimPunctuation(b[i:next]), received)
		i = next
	}
}

// keep holds a record that was cut until its rest comes. It keeps fragment.
func (d *Decoder) keep(fragment []byte, envelope int, received time.Time) {
	// Two cut records at once can only be the same one twice, or the rest of
	// the older one is never coming.
	if !bytes.Equal(d.fragment, fragment) {
		d.Close(received)
	}
	if len(fragment) > maxFragment {
		d.unparsed(fragment, received)
		return
	}
	d.fragment = fragment
	d.envelope = envelope
	d.waited = 0
}

func (d *Decoder) unparsed(text []byte, received time.Time) { Unparsed(text, received, d.emit) }

// Unparsed hands on text that is no event, in kinetel.unparsed events. It cuts no
// character in two.
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
			for back := n; back > n-utf8.UTFMax; back-- { // not inside of a character
				if utf8.RuneStart(text[back]) {
					n = back
					break
				}
			}
		}
		emit(&event.Event{
			Received: received,
			Type:     []byte(event.TypeUnparsed),
			Record:   event.AppendQuoted(make([]byte, 0, size), text[:n]),
		})
		text = text[n:]
	}
}

// errNoEvent means a JSON value that is no telemetry event.
var errNoEvent = errors.New("not a telemetry event")

// parseEvent reads the event that begins at b[i], and returns the index just
// after it, or after the value that is no event.
func parseEvent(b []byte, i int) (ev event.Event, end int, err error) {
	if b[i] != '{' {
		if end, err = scan.Value(b, i); err == nil {
			err = errNoEvent
		}
		return ev, end, err
	}
	var seen struct{ time, kind, record, twice, shape bool }
	i = scan.Space(b, i+1)
	for i < len(b) && b[i] != '}' {
		name := i
		value, err := scan.Name(b, i)
		if err != nil {
			return ev, value, err
		}
		if i, err = scan.Value(b, value); err != nil {
			return ev, i, err
		}
		raw := b[value:i]
		switch text := raw[1:max(1, len(raw)-1)]; string(memberName(b, name)) {
		case "time":
			seen.twice = seen.twice || seen.time
			seen.time = true
			if raw[0] == '"' && isTime(text) {
				ev.Time = text
			} else {
				ev.Extra = appendMember(ev.Extra, b[name:i])
			}
		case "type":
			seen.twice = seen.twice || seen.kind
			seen.kind = true
			seen.shape = raw[0] == '"' && len(text) > 0
			ev.Type = text
		case "record":
			seen.twice = seen.twice || seen.record
			seen.record = true
			ev.Record = raw
		default:
			ev.Extra = appendMember(ev.Extra, b[name:i])
		}
		i = scan.Space(b, i)
		if i < len(b) && b[i] == ',' {
			i = scan.Space(b, i+1)
			if i < len(b) && b[i] == '}' {
				return ev, i, scan.ErrBad
			}
		} else if i < len(b) && b[i] != '}' {
			return ev, i, scan.ErrBad
		}
	}
	if i >= len(b) {
		return ev, i, scan.ErrCut
	}
	if !seen.shape || seen.twice || !isType(ev.Type) {
		return ev, i + 1, errNoEvent
	}
	return ev, i + 1, nil
}

// isType reports whether text can be the type of an event of Lambda's: a name
// without white space or escapes, and none of Kinetel's own. What has another
// type is kept as text, in kinetel.unparsed: a consumer that unescapes the type,
// trims it or ignores its case must not take it for a word of Kinetel's.
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

// memberName returns the text of the member's name whose quote is b[i].
func memberName(b []byte, i int) []byte {
	end, _ := scan.String(b, i)
	return b[i+1 : end-1]
}

// appendMember collects members that have no place of their own.
func appendMember(dst, member []byte) []byte {
	if len(dst) > 0 {
		dst = append(dst, ',')
	}
	return append(dst, member...)
}

// isTime reports whether text is a time that a consumer can read.
func isTime(text []byte) bool {
	// time.Parse takes hours of one digit and a comma before the fraction,
	// which RFC 3339 does not.
	if len(text) < len("2006-01-02T15:04:05Z") || text[len("2006-01-02T15")] != ':' || bytes.IndexByte(text, ',') >= 0 {
		return false
	}
	_, err := time.Parse(time.RFC3339, string(text))
	return err == nil
}

// followed reports whether a value that ends at b[i] ends as one in an array
// does, or with the text.
func followed(b []byte, i int) bool {
	i = scan.Space(b, i)
	return i >= len(b) || b[i] == ',' || b[i] == ']' || b[i] == '{'
}

// nextEvent returns the index of the first whole event after the broken one
// at b[i], or len(b). Lambda begins every event with its time; inside a string
// the quotes would have backslashes.
func nextEvent(b []byte, i int, budget *int) int {
	begin := []byte(`{"time":`)
	for *budget > 0 {
		at := bytes.Index(b[i+1:], begin)
		if at < 0 {
			break
		}
		i += 1 + at
		if before := bytes.TrimRight(b[:i], " \r\n\t"); len(before) == 0 || before[len(before)-1] != ',' && before[len(before)-1] != '[' {
			continue
		}
		if ev, end, err := parseEvent(b, i); err == nil && len(ev.Time) > 0 && followed(b, end) {
			return i
		}
		*budget--
	}
	return len(b)
}

// cutRecord reports whether b is an event that Lambda cut inside its record:
// whole up to the record's value, with the forged end, and without that end
// the beginning of an event. It returns the text before the forged end, and
// how much of it is the envelope.
func cutRecord(b []byte) (fragment []byte, envelope int, ok bool) {
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
	_, _, err := parseEvent(fragment, 0)
	return fragment, envelope, errors.Is(err, scan.ErrCut)
}

// trimPunctuation takes off what stood between two events of an array.
func trimPunctuation(b []byte) []byte {
	return bytes.TrimRight(b, ", \r\n\t")
}
