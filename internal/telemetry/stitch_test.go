package telemetry

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/jsontext/jsontexttest"

	"github.com/kinetel/kinetel/internal/event"
)

// envelope is what Lambda repeats before each part of a record that it splits.
const envelope = `{"time":"` + at + `","type":"function","record":`

// splitRecords are records to split anywhere.
var splitRecords = []struct{ name, record string }{
	{"plain text", `"hello, world\n"`},
	{"text with every escape", `"a\"b\\c\/d\be\ff\ng\rh\ti\u00e9j\ud83d\ude00k\\\"l\\\\"`},
	{"text of several bytes a character", `"é世😀é"`},
	{"broken UTF-8", "\"a\xff\xc3\x28\xf0\x9f\""},
	{"JSON as text", `"{\"a\":\"b\",\"n\":12,\"l\":[1,\"x\"]}"`},
	{"text of a quotation", `"\"all of it\""`},
	{"text of braces", `"}]}]{[,]},"`},
	{"text of an event", `"[{\"time\":\"` + at + `\",\"type\":\"function\",\"record\":\"x\"}]"`},
	{"an object", `{"level":"INFO","message":"say \"hi\"","n":-1.5e3,"ok":true,"nil":null,"list":[1,[],{}],"o":{"p":{"q":"é"}}}`},
	{"an object of braces in text", `{"a":"}]","b":"{[\"","c":{"d":"}}]]"}}`},
	{"an object with events in it", `{"a":` + doneEvent + `,"b":[` + helloEvent + `,` + doneEvent + `],"c":1}`},
	{"an array with events in it", `[` + helloEvent + `,` + doneEvent + `]`},
	{"arrays in arrays", `[[[1],"[["],[2]]`},
	{"objects of one name in each other", `{"a":{"a":{"a":1}}}`},
	{"an object with white space", "{ \"a\" : [ 1 , 2 ] ,\n\t\"b\" : { } }"},
}

// pieces cuts a record at the given places into the elements that Lambda
// posts: all but the last one with a forged end.
func pieces(record string, places ...int) []string {
	var bodies []string
	from := 0
	for _, place := range places {
		bodies = append(bodies, "["+envelope+record[from:place]+"}]")
		from = place
	}
	return append(bodies, "["+envelope+record[from:]+"}]")
}

// before puts an event before a body's first one, and after one after its
// last.
func before(ev, body string) string { return "[" + ev + "," + body[1:] }
func after(body, ev string) string  { return body[:len(body)-1] + "," + ev + "]" }

func TestARecordInTwoBodiesIsJoined(t *testing.T) {
	for _, c := range splitRecords {
		t.Run(c.name, func(t *testing.T) {
			for place := range len(c.record) {
				bodies := pieces(c.record, place)
				s := decode(before(helloEvent, bodies[0]), after(after(bodies[1], doneEvent), helloEvent))
				if diff := cmp.Diff([]string{helloLine, functionLine(c.record), doneLine, helloLine}, s.show()); diff != "" {
					t.Errorf("cut at byte %d, before %q (- want, + got):\n%s", place, c.record[place:], diff)
				}
			}
		})
	}
}

func TestARecordInTwoBodiesIsJoinedAtTheEndOfABody(t *testing.T) {
	for _, c := range splitRecords {
		t.Run(c.name, func(t *testing.T) {
			for place := range len(c.record) {
				s := decode(pieces(c.record, place)...)
				if diff := cmp.Diff([]string{functionLine(c.record)}, s.show()); diff != "" {
					t.Errorf("cut at byte %d, before %q (- want, + got):\n%s", place, c.record[place:], diff)
				}
			}
		})
	}
}

// ambiguous reports whether a piece from the middle of a record could also be
// something else: an event in itself, as "b" is, or
// 1,"c":2; or all that came before it, sent again. Lambda's pieces are hundreds
// of kilobytes, of which hardly any is such a one by chance.
func ambiguous(record string, places []int) bool {
	for i := 1; i < len(places); i++ {
		piece := record[places[i-1]:places[i]]
		if piece == record[:places[i-1]] {
			return true
		}
		var ev json.RawMessage
		if json.NewDecoder(strings.NewReader(function(piece)+"]")).Decode(&ev) == nil {
			return true
		}
	}
	return false
}

// stride is the distance between the places at which records are split: with -short
// only every third one.
func stride() int {
	if testing.Short() {
		return 3
	}
	return 1
}

func TestARecordInThreeBodiesIsJoined(t *testing.T) {
	for _, c := range splitRecords {
		t.Run(c.name, func(t *testing.T) {
			tried := 0
			// All pairs of places in short records, some in long ones.
			step := 1 + len(c.record)/25
			for first := 1; first < len(c.record); first += stride() {
				for second := first + 1; second < len(c.record); second += step {
					places := []int{first, second}
					if ambiguous(c.record, places) {
						continue
					}
					tried++
					bodies := pieces(c.record, places...)
					s := decode(before(helloEvent, bodies[0]), bodies[1], after(bodies[2], doneEvent))
					if diff := cmp.Diff([]string{helloLine, functionLine(c.record), doneLine}, s.show()); diff != "" {
						t.Fatalf("cut into %q (- want, + got):\n%s", bodies, diff)
					}
				}
			}
			if tried == 0 {
				t.Error("nothing was tried")
			}
		})
	}
}

func TestARecordInFourBodiesIsJoined(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		record := rapid.SampledFrom(splitRecords).Draw(t, "record").record
		places := rapid.SliceOfNDistinct(rapid.IntRange(1, len(record)-1), 3, 3, rapid.ID[int]).Draw(t, "places")
		slices.Sort(places)
		if ambiguous(record, places) {
			t.Skip("a piece is an event in itself")
		}
		bodies := pieces(record, places...)
		s := decode(before(helloEvent, bodies[0]), bodies[1], bodies[2], after(bodies[3], doneEvent))
		if diff := cmp.Diff([]string{helloLine, functionLine(record), doneLine}, s.show()); diff != "" {
			t.Fatalf("cut into %q (- want, + got):\n%s", bodies, diff)
		}
	})
}

func TestAnyRecordThatIsSplitAnywhereIsJoined(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		record := jsontexttest.Value(3).Filter(func(s string) bool { return strings.ContainsRune(`{["`, rune(s[0])) }).Draw(t, "record")
		bodies := pieces(record, rapid.IntRange(0, len(record)-1).Draw(t, "place"))
		s := decode(before(helloEvent, bodies[0]), after(bodies[1], doneEvent))
		if diff := cmp.Diff([]string{helloLine, functionLine(record), doneLine}, s.show()); diff != "" {
			t.Fatalf("cut into %q (- want, + got):\n%s", bodies, diff)
		}
	})
}

func TestTwoSplitRecordsInARowAreJoined(t *testing.T) {
	// The second body continues the first record and ends in another one.
	first, second := pieces(`"one, cut"`, 4), pieces(`{"two":"cut"}`, 8)
	s := decode(first[0], after(first[1], doneEvent)[:len(after(first[1], doneEvent))-1]+","+second[0][1:], after(second[1], helloEvent))
	wantEvents(t, s, functionLine(`"one, cut"`), doneLine, functionLine(`{"two":"cut"}`), helloLine)
}

func TestASplitRecordKeepsUnknownMembersOfItsEnvelope(t *testing.T) {
	const more = `{"time":"` + at + `","tenant":"a","type":"function","record":`
	s := decode("["+more+`"hel}]`, "["+more+`lo"},`+doneEvent+"]")
	wantEvents(t, s, functionLine(`"hello"`)+` +"tenant":"a"`, doneLine)
}

func TestWhiteSpaceMayFollowASplitRecord(t *testing.T) {
	s := decode("["+envelope+"\"hel}]\r\n \t", "["+envelope+"lo\"} , "+doneEvent+" ]\n")
	wantEvents(t, s, functionLine(`"hello"`), doneLine)
}

func TestTheRestOfASplitRecordMayComeLate(t *testing.T) {
	bodies := pieces(`"hello, world"`, 6)
	for other := 0; other <= maxWaited; other++ {
		sent := []string{bodies[0]}
		want := []string{}
		for range other {
			sent = append(sent, "["+doneEvent+"]")
			want = append(want, doneLine)
		}
		wantEvents(t, decode(append(sent, after(bodies[1], helloEvent))...), append(want, functionLine(`"hello, world"`), helloLine)...)
	}
}

func TestEverySplitRecordWaitsForTheSameNumberOfBodies(t *testing.T) {
	var sent, want []string
	for range 3 {
		bodies := pieces(`"hello, world"`, 6)
		sent = append(sent, bodies[0], "["+doneEvent+"]", "["+doneEvent+"]", bodies[1])
		want = append(want, doneLine, doneLine, functionLine(`"hello, world"`))
	}
	wantEvents(t, decode(sent...), want...)
}

func TestAFragmentWithoutItsRestBecomesText(t *testing.T) {
	fragment := envelope + `"hello, wor`
	cut := "[" + helloEvent + "," + fragment + "}]"

	t.Run("at Close", func(t *testing.T) {
		s, d := open()
		send(d, cut)
		if got := string(d.Fragment()); got != fragment {
			t.Errorf("what is waited for goes on with %q, want %q", got, fragment)
		}
		wantEvents(t, s, helloLine)
		d.Close(received)
		wantEvents(t, s, helloLine, "unparsed: "+fragment)
		if len(d.Fragment()) > 0 {
			t.Error("something is waited for after Close")
		}
		d.Close(received)
		wantEvents(t, s, helloLine, "unparsed: "+fragment)
	})
	t.Run("after two other bodies", func(t *testing.T) {
		s, d := open()
		send(d, cut)
		send(d, "["+doneEvent+"]")
		send(d, "[]")
		wantEvents(t, s, helloLine, doneLine)
		send(d, "["+doneEvent+"]")
		wantEvents(t, s, helloLine, doneLine, "unparsed: "+fragment, doneLine)
		if len(d.Fragment()) > 0 {
			t.Error("it is still waited for")
		}
	})
	t.Run("if another record is split", func(t *testing.T) {
		other := strings.Replace(fragment, "hello", "other", 1)
		s, d := open()
		send(d, cut)
		send(d, "["+other+"}]")
		wantEvents(t, s, helloLine, "unparsed: "+fragment)
		send(d, "["+envelope+`ld"},`+doneEvent+"]")
		wantEvents(t, s, helloLine, "unparsed: "+fragment, functionLine(`"other, world"`), doneLine)
	})
}

func TestARestWithoutItsBeginningIsText(t *testing.T) {
	// The extension was started between the two, or gave the first one up.
	s := decode("[" + envelope + `lo, world"},` + doneEvent + "]")
	wantEvents(t, s, "unparsed: "+envelope+`lo, world"}`, doneLine)
}

// endsInBackslash reports whether a text ends inside an escape, just after
// the backslash.
func endsInBackslash(s string) bool {
	return (len(s)-len(strings.TrimRight(s, `\`)))%2 == 1
}

func TestAnEventWithTheSameTimeAndTypeIsNotTheRest(t *testing.T) {
	others := []string{`"other"`, `"an \"other\""`, `""`, `{"level":"INFO"}`, `{}`, `{"a":{"b":[{}]}}`}
	for _, c := range splitRecords {
		t.Run(c.name, func(t *testing.T) {
			for place := 1; place < len(c.record); place += stride() {
				for _, other := range others {
					if endsInBackslash(c.record[:place]) && other[0] == '"' {
						// \ and " make an escape: the decoder cannot see the
						// difference, and the rest is expected.
						continue
					}
					bodies := pieces(c.record, place)
					s := decode(bodies[0], "["+function(other)+","+doneEvent+"]")
					want := []string{functionLine(other), doneLine, "unparsed: " + envelope + c.record[:place]}
					if diff := cmp.Diff(want, s.show()); diff != "" {
						t.Fatalf("cut at byte %d, before %q, followed by %s (- want, + got):\n%s", place, c.record[place:], other, diff)
					}
					// And the rest may still come.
					s = decode(bodies[0], "["+function(other)+","+doneEvent+"]", after(bodies[1], helloEvent))
					want = []string{functionLine(other), doneLine, functionLine(c.record), helloLine}
					if diff := cmp.Diff(want, s.show()); diff != "" {
						t.Fatalf("cut at byte %d, before %q, with %s between (- want, + got):\n%s", place, c.record[place:], other, diff)
					}
				}
			}
		})
	}
}

func TestAFragmentThatIsPostedTwiceCountsOnce(t *testing.T) {
	for _, c := range splitRecords {
		t.Run(c.name, func(t *testing.T) {
			for place := 1; place < len(c.record); place += stride() {
				bodies := pieces(c.record, place)
				s := decode(bodies[0], bodies[0], bodies[0], after(bodies[1], doneEvent))
				if diff := cmp.Diff([]string{functionLine(c.record), doneLine}, s.show()); diff != "" {
					t.Errorf("cut at byte %d, before %q (- want, + got):\n%s", place, c.record[place:], diff)
				}
			}
		})
	}
	// The events before it come twice, as any that is sent again.
	bodies := pieces(`"hello, world"`, 6)
	s := decode(before(helloEvent, bodies[0]), before(helloEvent, bodies[0]), after(bodies[1], doneEvent))
	wantEvents(t, s, helloLine, helloLine, functionLine(`"hello, world"`), doneLine)
}

func TestFragmentIsBounded(t *testing.T) {
	// Each piece is as large as a body may be, or a bit smaller.
	piece := strings.Repeat("0123456789abcde\t", maxFragment/16)
	piece = strings.ReplaceAll(piece, "\t", "f")
	text := func(s *sink) string {
		var whole strings.Builder
		for _, ev := range s.events {
			if ev.Type == event.TypeUnparsed {
				whole.Write(unquote(ev.Record))
			}
		}
		return whole.String()
	}

	t.Run("one that is too large at once", func(t *testing.T) {
		s, d := open()
		send(d, "["+envelope+`"`+piece+"}]")
		if len(d.Fragment()) > 0 {
			t.Error("it is kept")
		}
		if want := envelope + `"` + piece; text(s) != want {
			t.Errorf("%d bytes are emitted, want %d", len(text(s)), len(want))
		}
	})
	t.Run("one that grows too large", func(t *testing.T) {
		half := piece[:len(piece)/2]
		s, d := open()
		send(d, "["+envelope+`"`+half+"}]")
		if len(d.Fragment()) == 0 || len(s.events) > 0 {
			t.Fatalf("%d events, waiting %v", len(s.events), len(d.Fragment()) > 0)
		}
		send(d, "["+envelope+half+"}]")
		if len(d.Fragment()) > 0 {
			t.Error("it is kept")
		}
		if want := envelope + `"` + half + half; text(s) != want {
			t.Errorf("%d bytes are emitted, want %d", len(text(s)), len(want))
		}
		// Its last piece is of no use any more, but is not lost.
		send(d, "["+envelope+`end"},`+doneEvent+"]")
		if got := s.show(); !slices.Equal(got[len(got)-2:], []string{"unparsed: " + envelope + `end"}`, doneLine}) {
			t.Errorf("the last events are %.200q", got[len(got)-2:])
		}
	})
}

func TestARecordOfMegabytesIsJoined(t *testing.T) {
	record := `"` + strings.Repeat(`{\"time\":\"now\"},`, 150_000) + `"`
	places := []int{1<<20 - 1, 2<<20 + 3}
	bodies := pieces(record, places...)
	s := decode(bodies[0], bodies[1], after(bodies[2], doneEvent))
	if len(s.events) != 2 || s.events[0].Record != record || s.events[1].Type != event.TypePlatformRuntimeDone {
		t.Errorf("%d events, the first of %d bytes, want 2 and %d", len(s.events), len(s.events[0].Record), len(record))
	}
}

// Events that look like split records must not be kept back, and not break anything.
func TestTextThatOnlyLooksSplit(t *testing.T) {
	for _, body := range []string{
		`"record":}]`, `"record":1}]`, `{"record":}]`, `{}]`, `}]`, `]}]`, `{"time":"record":}]`, `{"a":{"record":"x}]`, `x"record":}]`,
		`{"record":"x}]`, `[{"record":"x\}]`, `[{"time":"` + at + `","type":"function","record":"x\u12}]`, `{"record":"x}]}]`, `"record":[}]`, `[[{"record":[[}]`,
	} {
		t.Run(body, func(t *testing.T) {
			defer func() {
				if p := recover(); p != nil {
					t.Errorf("panic: %v", p)
				}
			}()
			s, d := open()
			send(d, body)
			send(d, "["+doneEvent+"]")
			if got := fmt.Sprint(s.show()); !strings.Contains(got, doneLine) {
				t.Errorf("the event of the next body is missing: %s", got)
			}
			d.Close(received)
			checkNothingLost(t, []byte(body), decode(body))
		})
	}
}

func TestFragmentReturnsWhatIsAcknowledgedAndNotYetAnEvent(t *testing.T) {
	bodies := pieces(`"hello, wide world"`, 6, 12)
	_, d := open()
	var before, copied []byte
	for i, step := range []struct{ body, want string }{
		{"[" + helloEvent + "]", ""},
		{"[" + helloEvent + "," + bodies[0][1:], envelope + `"hello`},
		{"[" + doneEvent + "]", envelope + `"hello`}, // something else comes in between
		{bodies[1], envelope + `"hello, wide`},
		{after(bodies[2], doneEvent), ""},
		{"[]", ""},
	} {
		send(d, step.body)
		if got := string(d.Fragment()); got != step.want {
			t.Errorf("after body %d it is %q, want %q", i, got, step.want)
		}
		if string(before) != string(copied) {
			t.Errorf("body %d changed what the fragment was before: %q, it was %q", i, before, copied)
		}
		before, copied = d.Fragment(), slices.Clone(d.Fragment())
	}
}

func TestUnparsedTextIsEmittedInPieces(t *testing.T) {
	bytesOf := func(n int) string {
		text := make([]byte, n)
		for i := range text {
			text[i] = byte(i * 31)
		}
		return string(text)
	}
	for _, tt := range []struct {
		name, text string
		pieces     int
		valid      bool // each piece is UTF-8
	}{
		{"nothing", "", 0, true},
		{"one byte", "x", 1, true},
		{"as much as one has", strings.Repeat("x", maxUnparsed-2), 1, true},
		{"one byte more", strings.Repeat("x", maxUnparsed-1), 2, true},
		{"all bytes there are", bytesOf(2*maxUnparsed + 7), 4, false},
		{"escapes", strings.Repeat("\x00", maxUnparsed), 6 + 1, true},
		{"quotes", strings.Repeat(`"`, maxUnparsed), 2 + 1, true},
		{"characters", "x" + strings.Repeat("世", maxUnparsed), 3 + 1, true},
		{"long characters", "xy" + strings.Repeat("🎈", maxUnparsed), 4 + 1, true},
		{"broken characters", strings.Repeat("\x80", 2*maxUnparsed), 2 + 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &sink{}
			Unparsed([]byte(tt.text), received, s.ingest)
			var whole []byte
			for _, ev := range s.events {
				piece := unquote(ev.Record)
				whole = append(whole, piece...)
				if ev.Type != event.TypeUnparsed || ev.Time != "" || ev.Extra != "" || !ev.Received.Equal(received) {
					t.Errorf("a %s at %q, received %s", ev.Type, ev.Time, ev.Received)
				}
				if len(ev.Record) > maxUnparsed+len(`u0000`) {
					t.Errorf("a record of %d bytes", len(ev.Record))
				}
				if tt.valid && !utf8.Valid(piece) {
					t.Error("a piece begins or ends inside of a character")
				}
			}
			if len(s.events) != tt.pieces || string(whole) != tt.text {
				t.Errorf("%d pieces, want %d; the same text: %t", len(s.events), tt.pieces, string(whole) == tt.text)
			}
		})
	}
}

// A record of up to maxFragment is joined. A larger one becomes text, of which nothing is
// missing.
func TestARecordThatIsTooLargeToBeJoinedIsText(t *testing.T) {
	const piece = maxBytes - 200
	for _, tt := range []struct {
		pieces int
		whole  bool
	}{{5, true}, {6, false}, {2, true}, {9, false}} {
		if testing.Short() && tt.pieces != 5 && tt.pieces != 6 {
			continue
		}
		var bodies []string
		for i := range tt.pieces {
			text := strings.Repeat(string(rune('a'+i)), piece)
			switch i {
			case 0:
				bodies = append(bodies, "["+envelope+`"`+text+"}]")
			case tt.pieces - 1:
				bodies = append(bodies, "["+envelope+text+`"},`+doneEvent+"]")
			default:
				bodies = append(bodies, "["+envelope+text+"}]")
			}
		}
		s := decode(bodies...)
		functions, dones, size := 0, 0, 0
		for _, ev := range s.events {
			switch ev.Type {
			case event.TypeFunction:
				functions++
			case event.TypePlatformRuntimeDone:
				dones++
			}
			for i := range tt.pieces {
				size += strings.Count(ev.Record, string(rune('a'+i))+string(rune('a'+i))+string(rune('a'+i))+string(rune('a'+i)))
			}
		}
		if (functions == 1) != tt.whole || dones != 1 || size < tt.pieces*(piece/4-64) {
			t.Errorf("%d pieces give %d function events, %d of what follows, and %d letters", tt.pieces, functions, dones, 4*size)
		}
	}
}
