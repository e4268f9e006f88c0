package telemetry

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/internal/jsontext/jsontexttest"

	"github.com/kinetel/kinetel/internal/event"
)

// testing.TB cannot be had from rapid.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// checkSound checks that each event can be written as a line of JSON.
func checkSound(t fataler, body []byte, s *sink) {
	t.Helper()
	for _, ev := range s.events {
		switch {
		case !json.Valid([]byte(`"`+ev.Type+`"`)) || ev.Type == "":
			t.Fatalf("%q gives the type %q", body, ev.Type)
		case ev.Record != "" && !json.Valid([]byte(ev.Record)):
			t.Fatalf("%q gives the record %q", body, ev.Record)
		case ev.Extra != "" && !json.Valid([]byte("{"+ev.Extra+"}")):
			t.Fatalf("%q gives the extra %q", body, ev.Extra)
		}
		if _, err := time.Parse(time.RFC3339, ev.Time); ev.Time != "" && err != nil {
			t.Fatalf("%q gives the time %q", body, ev.Time)
		}
	}
}

// isPunctuation is what may stand between events and in none.
func isPunctuation(c byte) bool { return strings.IndexByte(" \r\n\t[],", c) >= 0 }

// checkNothingLost walks through a body and finds every byte again, in order,
// in the events that a fresh decoder made of this one body until Close. Objects
// are read by encoding/json.
func checkNothingLost(t fataler, body []byte, s *sink) {
	t.Helper()
	checkSound(t, body, s)
	rest := body
	for i, ev := range s.events {
		if ev.Type == event.TypeUnparsed && ev.Time == "" && ev.Extra == "" && ev.Record != "" && ev.Record[0] == '"' {
			text := unquote(ev.Record)
			// A long text continues that of the event before it.
			if after, ok := bytes.CutPrefix(rest, text); ok && len(text) > 0 {
				rest = after
				continue
			}
			if after, ok := bytes.CutPrefix(skipPunctuation(rest), text); ok && len(text) > 0 {
				rest = after
				continue
			}
			// Or the body had an event of just that type.
		}
		rest = skipPunctuation(rest)
		n, ok := sameEvent(rest, ev)
		if !ok {
			t.Fatalf("%q: event %d, %+v, does not stand at %.100q; events: %q", body, i, ev, rest, s.show())
		}
		rest = rest[n:]
	}
	// The end that Lambda forges is no part of a record.
	if tail := skipPunctuation(rest); len(tail) > 0 && strings.TrimRight(string(tail), " \r\n\t") != "}]" {
		t.Fatalf("%q: %q is lost; events: %q", body, rest, s.show())
	}
}

func skipPunctuation(b []byte) []byte {
	for len(b) > 0 && isPunctuation(b[0]) {
		b = b[1:]
	}
	return b
}

// sameEvent reports whether b begins with an object with the values of ev, no
// more and no less, and how long it is.
func sameEvent(b []byte, ev ingested) (n int, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(b))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return 0, false
	}
	var again ingested
	for dec.More() {
		from := int(dec.InputOffset())
		from += bytes.IndexByte(b[from:], '"')
		if _, err := dec.Token(); err != nil {
			return 0, false
		}
		name := string(b[from:dec.InputOffset()])
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return 0, false
		}
		to := int(dec.InputOffset())
		switch text := string(value); {
		case name == `"type"` && len(text) > 2:
			again.Type = text[1 : len(text)-1]
		case name == `"record"`:
			again.Record = text
		case name == `"time"` && ev.Time != "":
			again.Time = strings.Trim(text, `"`)
		default:
			if again.Extra != "" {
				again.Extra += ","
			}
			again.Extra += string(b[from:to])
		}
	}
	if _, err := dec.Token(); err != nil {
		return 0, false
	}
	again.Received = ev.Received
	return int(dec.InputOffset()), again == ev
}

// letters counts the letters, digits and bytes above ASCII of a text: what
// cannot be mistaken for punctuation.
func letters(counts *[256]int, text string, sign int) {
	for i := range len(text) {
		if c := text[i]; c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			counts[c] += sign
		}
	}
}

// checkNoLetterLost checks a sequence of bodies roughly: no letter came in more
// often than it came out. Only the envelope of a record that was put together
// comes in twice.
func checkNoLetterLost(t fataler, s *sink, repeated int, bodies ...string) {
	t.Helper()
	var missing [256]int
	for _, body := range bodies {
		letters(&missing, body, 1)
	}
	for _, ev := range s.events {
		if ev.Type == event.TypeUnparsed && ev.Time == "" && ev.Extra == "" && ev.Record != "" && ev.Record[0] == '"' {
			letters(&missing, string(unquote(ev.Record)), -1)
			if _, ok := sameEvent([]byte(`{"type":"kinetel.unparsed","record":`+ev.Record+"}"), ev); !ok {
				continue
			}
		}
		letters(&missing, `"time":"type":"record":`+ev.Time+ev.Type+ev.Record+ev.Extra, -1)
	}
	lost := 0
	for _, n := range missing {
		lost += max(n, 0)
	}
	if lost > repeated {
		t.Fatalf("%d letters of %q are lost; events: %q", lost, bodies, s.show())
	}
}

// batch draws a valid body and the lines of its events.
func batch(t *rapid.T) (body string, lines []string) {
	var b strings.Builder
	space := func() string { return rapid.SampledFrom([]string{"", "", "", " ", "\n"}).Draw(t, "space") }
	b.WriteString(space() + "[" + space())
	for i := range rapid.IntRange(0, 6).Draw(t, "events") {
		if i > 0 {
			b.WriteString("," + space())
		}
		kind := rapid.SampledFrom([]string{"function", "extension", "platform.start", "platform.runtimeDone", "platform.new"}).Draw(t, "type")
		record := jsontexttest.Value(2).Draw(t, "record")
		line := at + " " + kind + " " + record
		b.WriteString("{" + space() + `"time":` + space() + `"` + at + `",` + space() + `"type":"` + kind + `",`)
		if rapid.Bool().Draw(t, "more") {
			extra := `"more":` + jsontexttest.Value(1).Draw(t, "extra")
			b.WriteString(extra + "," + space())
			line += " +" + extra
		}
		b.WriteString(`"record":` + space() + record + space() + "}" + space())
		lines = append(lines, line)
	}
	b.WriteString("]" + space())
	return b.String(), lines
}

func TestValidBatchesAreDecodedEventByEvent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		body, want := batch(t)
		s := decode(body)
		if diff := cmp.Diff(want, s.show()); diff != "" {
			t.Fatalf("%q (- want, + got):\n%s", body, diff)
		}
		checkNothingLost(t, []byte(body), s)
	})
}

func TestNothingOfABrokenBatchIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text, _ := batch(t)
		b := []byte(text)
		for range rapid.IntRange(1, 3).Draw(t, "changes") {
			i, j := rapid.IntRange(0, len(b)).Draw(t, "from"), rapid.IntRange(0, len(b)).Draw(t, "to")
			i, j = min(i, j), max(i, j)
			switch rapid.SampledFrom([]string{"insert", "remove", "cut", "repeat", "forge"}).Draw(t, "change") {
			case "insert":
				piece := rapid.SampledFrom([]string{`"`, `\`, "{", "}", "[", "]", ",", ":", "}]", "garbage", "\xff", "\x00", "\n", helloEvent, `"record":`, envelope, ","}).Draw(t, "piece")
				b = slices.Concat(b[:i], []byte(piece), b[i:])
			case "remove":
				b = slices.Concat(b[:i], b[min(j, i+3):])
			case "cut":
				b = b[:i]
			case "repeat":
				b = slices.Concat(b[:j], b[i:])
			case "forge":
				b = slices.Concat(b[:i], []byte("}]"))
			}
		}
		checkNothingLost(t, b, decode(string(b)))
	})
}

func TestNothingOfSeveralBrokenBatchesIsLost(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var bodies []string
		for range rapid.IntRange(2, 5).Draw(t, "bodies") {
			text, _ := batch(t)
			if rapid.Bool().Draw(t, "broken") {
				text = text[:rapid.IntRange(0, len(text)).Draw(t, "cut")] + rapid.SampledFrom([]string{"", "}]"}).Draw(t, "end")
			}
			bodies = append(bodies, text)
		}
		s, repeated := decodeCounting(bodies...)
		checkSound(t, []byte(strings.Join(bodies, "")), s)
		checkNoLetterLost(t, s, repeated, bodies...)
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("["+helloEvent+","+doneEvent+"]"), []byte("[]"))
	f.Add([]byte(helloEvent+"\n"+doneEvent), []byte(""))
	f.Add([]byte("[{\"time\":\"x\",\"type\":\"y\",\"record\":{\"a\":[1,null,{}]},\"more\":1},garbage,"+doneEvent+"]"), []byte("\xff\x00"))
	f.Add([]byte(`"record":}]`), []byte(`{"record":}]`))
	for _, p := range platformRecords {
		f.Add([]byte(`[{"time":"`+at+`","type":"`+p.kind+`","record":`+p.record+`}]`), []byte("["+helloEvent+"]"))
	}
	for _, c := range splitRecords {
		for _, place := range []int{1, len(c.record) / 2, len(c.record) - 1} {
			bodies := pieces(c.record, place)
			f.Add([]byte(before(helloEvent, bodies[0])), []byte(after(bodies[1], doneEvent)))
			f.Add([]byte(bodies[0]), []byte(bodies[0]))
		}
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		alone := decode(string(first))
		checkNothingLost(t, first, alone)
		checkNothingLost(t, second, decode(string(second)))

		s, repeated := decodeCounting(string(first), string(second))
		checkSound(t, first, s)
		checkNoLetterLost(t, s, repeated, string(first), string(second))
	})
}

// decodeCounting decodes as decode does, and gives at most how many bytes of
// the bodies are there only because Lambda repeats them: the envelope of a
// record that continues, and a first part that comes twice.
func decodeCounting(bodies ...string) (s *sink, repeated int) {
	s, d := open()
	for _, body := range bodies {
		if len(d.Fragment()) > 0 {
			repeated += d.envelope
			if strings.Contains(body, string(d.fragment)) {
				repeated += len(d.fragment)
			}
		}
		send(d, body)
	}
	d.Close(received)
	return s, repeated
}

func FuzzStitch(f *testing.F) {
	for i, c := range splitRecords {
		f.Add([]byte(c.record), uint(len(c.record)/2), i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, text []byte, place uint, object bool) {
		// Any bytes make a text, and a text makes an object.
		record := string(jsontext.AppendQuote(nil, text))
		if object {
			record = `{"a":[{"time":` + record + `}]}`
		}
		bodies := pieces(record, int(place%uint(len(record))))
		s := decode(before(helloEvent, bodies[0]), after(bodies[1], doneEvent))
		if diff := cmp.Diff([]string{helloLine, functionLine(record), doneLine}, s.show()); diff != "" {
			t.Fatalf("cut into %q (- want, + got):\n%s", bodies, diff)
		}
	})
}
