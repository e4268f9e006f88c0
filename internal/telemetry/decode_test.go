package telemetry

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/jsontext"
)

// ingested is an event as a sink keeps it.
type ingested struct {
	Received                  time.Time
	Time, Type, Record, Extra string
}

// sink is where a decoder under test emits to. It keeps copies, as the
// contract of emit demands.
type sink struct{ events []ingested }

func (s *sink) ingest(ev *event.Event) {
	s.events = append(s.events, ingested{ev.Received, string(ev.Time), string(ev.Type), string(ev.Record), string(ev.Extra)})
}

// show gives the events as lines: time, type, record and, after a plus sign,
// extra; or the text of an unparsed one.
func (s *sink) show() []string {
	var lines []string
	for _, ev := range s.events {
		if ev.Type == event.TypeUnparsed && ev.Time == "" && ev.Extra == "" {
			lines = append(lines, "unparsed: "+string(unquote(ev.Record)))
			continue
		}
		line := fmt.Sprintf("%s %s %s", or(ev.Time, "-"), ev.Type, or(ev.Record, "-"))
		if ev.Extra != "" {
			line += " +" + ev.Extra
		}
		lines = append(lines, line)
	}
	return lines
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// unquote reads a JSON string that jsontext.AppendQuote wrote, byte for byte,
// valid UTF-8 or not, which encoding/json does not do.
func unquote(s string) []byte {
	var b []byte
	for s = s[1 : len(s)-1]; s != ""; {
		n := 1
		switch {
		case s[0] != '\\':
			b = append(b, s[0])
		case s[1] == 'u':
			var c byte
			if _, err := fmt.Sscanf(s[2:6], "%04x", &c); err != nil {
				panic(err)
			}
			b = append(b, c)
			n = 6
		default:
			b = append(b, strings.NewReplacer("n", "\n", "t", "\t").Replace(s[1:2])...)
			n = 2
		}
		s = s[n:]
	}
	return b
}

// decode sends bodies through a decoder. Each body's memory is written over
// when Decode has returned, since nothing of it may be needed any more.
func decode(bodies ...string) *sink {
	s, d := open()
	for _, body := range bodies {
		send(d, body)
	}
	d.Close(received)
	return s
}

func open() (*sink, *Decoder) {
	s := &sink{}
	return s, NewDecoder(s.ingest, nil)
}

func send(d *Decoder, body string) {
	b := []byte(body)
	d.Decode(b, received)
	for i := range b {
		b[i] = '#'
	}
}

var received = time.Date(2026, 9, 21, 10, 0, 7, 0, time.UTC)

func wantEvents(t *testing.T, s *sink, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, s.show()); diff != "" {
		t.Errorf("events (- want, + got):\n%s", diff)
	}
}

// Events and lines of events that the scenarios are made of.
const (
	at  = "2026-09-21T10:00:00.555Z"
	two = "2026-09-21T10:00:00.620Z"

	helloEvent = `{"time":"2026-09-21T10:00:00.555Z","type":"function","record":"hello\n"}`
	helloLine  = `2026-09-21T10:00:00.555Z function "hello\n"`
	doneEvent  = `{"time":"2026-09-21T10:00:00.620Z","type":"platform.runtimeDone","record":{"requestId":"6f0c","status":"success"}}`
	doneLine   = `2026-09-21T10:00:00.620Z platform.runtimeDone {"requestId":"6f0c","status":"success"}`
)

// function is an event of the function's at the time of helloEvent.
func function(record string) string {
	return `{"time":"` + at + `","type":"function","record":` + record + `}`
}

func functionLine(record string) string { return at + " function " + record }

func TestDecodeScenarios(t *testing.T) {
	scenarios := []struct {
		name string
		body string
		want []string
	}{
		{"a text record", "[" + helloEvent + "]", []string{helloLine}},
		{"an object record", "[" + function(`{"level":"INFO","message":"hi","n":[1,{}]}`) + "]", []string{functionLine(`{"level":"INFO","message":"hi","n":[1,{}]}`)}},
		{"a null record", "[" + function("null") + "]", []string{functionLine("null")}},
		{"a number record", "[" + function("-1.50e3") + "]", []string{functionLine("-1.50e3")}},
		{"a boolean record", "[" + function("true") + "]", []string{functionLine("true")}},
		{"an array record", "[" + function(`[1,[],{"a":"]"}]`) + "]", []string{functionLine(`[1,[],{"a":"]"}]`)}},
		{"an empty text record", "[" + function(`""`) + "]", []string{functionLine(`""`)}},
		{"several events keep their order", "[" + helloEvent + "," + doneEvent + "," + helloEvent + "]", []string{helloLine, doneLine, helloLine}},
		{"an unknown type", `[{"time":"` + at + `","type":"platform.novelty","record":{"x":1}}]`, []string{at + ` platform.novelty {"x":1}`}},
		{"a type with an escape is none of Lambda's", `[{"time":"` + at + `","type":"a\u0062\"c","record":1},` + doneEvent + `]`, []string{`unparsed: {"time":"` + at + `","type":"a\u0062\"c","record":1}`, doneLine}},
		{"record absent", `[{"time":"` + at + `","type":"function"}]`, []string{at + " function -"}},
		{"time absent", `[{"type":"function","record":"x"}]`, []string{`- function "x"`}},
		{"time that is no time", `[{"time":"yesterday","type":"function","record":"x"}]`, []string{`- function "x" +"time":"yesterday"`}},
		{"time that is a number", `[{"time":1790000002000,"type":"function","record":"x"}]`, []string{`- function "x" +"time":1790000002000`}},
		{"time that is null", `[{"time":null,"type":"function","record":"x"}]`, []string{`- function "x" +"time":null`}},
		{"time that is empty", `[{"time":"","type":"function","record":"x"}]`, []string{`- function "x" +"time":""`}},
		{"time with an impossible day", `[{"time":"2026-02-30T10:00:00.000Z","type":"function","record":"x"}]`, []string{`- function "x" +"time":"2026-02-30T10:00:00.000Z"`}},
		{"time with a colon before the milliseconds", `[{"time":"2026-09-21T10:00:00:555Z","type":"function","record":"x"}]`, []string{`- function "x" +"time":"2026-09-21T10:00:00:555Z"`}},
		{"time with a comma before the milliseconds", `[{"time":"2026-09-21T10:00:00,555Z","type":"function","record":"x"}]`, []string{`- function "x" +"time":"2026-09-21T10:00:00,555Z"`}},
		{"time with an hour of one digit", `[{"time":"2026-09-21T1:00:00.555Z","type":"function","record":"x"}]`, []string{`- function "x" +"time":"2026-09-21T1:00:00.555Z"`}},
		{"time with microseconds", `[{"time":"2026-09-21T10:00:00.555123Z","type":"function","record":"x"}]`, []string{`2026-09-21T10:00:00.555123Z function "x"`}},
		{"time without a fraction", `[{"time":"2026-09-21T10:00:00Z","type":"function","record":"x"}]`, []string{`2026-09-21T10:00:00Z function "x"`}},
		{"unknown members are kept in their order", `[{"time":"` + at + `","b":[1, 2],"type":"function","a" : {"c":null},"record":"x"}]`, []string{functionLine(`"x"`) + ` +"b":[1, 2],"a" : {"c":null}`}},
		{"an unknown member twice", `[{"a":1,"time":"` + at + `","type":"function","record":"x","a":2}]`, []string{functionLine(`"x"`) + ` +"a":1,"a":2`}},
		{"a member's name with an escape is an unknown member", `[{"time":"` + at + `","type":"function","rec\u006frd":"x"}]`, []string{at + ` function - +"rec\u006frd":"x"`}},
		{"names are matched in their case", `[{"time":"` + at + `","type":"function","Record":"x","TYPE":1}]`, []string{at + ` function - +"Record":"x","TYPE":1`}},
		{"members in another order", `[{"record":{"a":1},"type":"function","time":"` + at + `"}]`, []string{functionLine(`{"a":1}`)}},
		{"type absent", `[{"time":"` + at + `","record":"x"},` + doneEvent + "]", []string{`unparsed: {"time":"` + at + `","record":"x"}`, doneLine}},
		{"type that is no text", `[{"type":1,"record":"x"},{"type":null},{"type":{"a":"b"}},` + doneEvent + "]", []string{`unparsed: {"type":1,"record":"x"}`, `unparsed: {"type":null}`, `unparsed: {"type":{"a":"b"}}`, doneLine}},
		{"type that is empty", `[{"type":"","record":"x"},` + doneEvent + "]", []string{`unparsed: {"type":"","record":"x"}`, doneLine}},
		{"time twice", `[{"time":"` + at + `","time":"` + two + `","type":"function","record":"x"},` + doneEvent + "]", []string{`unparsed: {"time":"` + at + `","time":"` + two + `","type":"function","record":"x"}`, doneLine}},
		{"type twice", `[{"time":"` + at + `","type":"function","type":"x","record":"x"},` + doneEvent + "]", []string{`unparsed: {"time":"` + at + `","type":"function","type":"x","record":"x"}`, doneLine}},
		{"record twice", `[{"time":"` + at + `","type":"function","record":"x","record":"y"},` + doneEvent + "]", []string{`unparsed: {"time":"` + at + `","type":"function","record":"x","record":"y"}`, doneLine}},
		{"an event in an object record is not torn out", "[" + function(`{"a":`+doneEvent+`,"b":[`+doneEvent+`,`+doneEvent+`]}`) + "," + helloEvent + "]", []string{functionLine(`{"a":` + doneEvent + `,"b":[` + doneEvent + `,` + doneEvent + `]}`), helloLine}},
		{"an event in an array record is not torn out", "[" + function("["+doneEvent+","+doneEvent+"]") + "]", []string{functionLine("[" + doneEvent + "," + doneEvent + "]")}},
		{"an event in a text record is not torn out", "[" + function(`"[{\"time\":\"`+at+`\",\"type\":\"platform.runtimeDone\",\"record\":{}}]"`) + "]", []string{functionLine(`"[{\"time\":\"` + at + `\",\"type\":\"platform.runtimeDone\",\"record\":{}}]"`)}},
		{"an event in an unknown member is not torn out", `[{"time":"` + at + `","type":"function","more":[` + doneEvent + `],"record":1}]`, []string{functionLine("1") + ` +"more":[` + doneEvent + `]`}},
		{"white space everywhere", " \r\n[\t{ \"time\" :\n\"" + at + "\" ,\r\"type\"\t: \"function\" , \"record\" : [ 1 , 2 ] \n} \r,\n " + doneEvent + " ]\r\n\t ", []string{functionLine("[ 1 , 2 ]"), doneLine}},
		{"a single object", helloEvent, []string{helloLine}},
		{"a line an event", helloEvent + "\n" + doneEvent + "\r\n\n" + helloEvent + "\n", []string{helloLine, doneLine, helloLine}},
		{"objects side by side", helloEvent + doneEvent, []string{helloLine, doneLine}},
		{"several arrays", "[" + helloEvent + "][" + doneEvent + "]\n[]\n[" + helloEvent + "]", []string{helloLine, doneLine, helloLine}},
		{"arrays in arrays", "[[" + helloEvent + "],[[" + doneEvent + "]]]", []string{helloLine, doneLine}},
		{"an empty body", "", nil},
		{"white space only", " \r\n\t", nil},
		{"an empty array", "[]", nil},
		{"commas that separate nothing", "[," + helloEvent + ",," + doneEvent + ",]", []string{helloLine, doneLine}},
		{"values that are no events", `["text",1,null,true,{},{"a":1},` + doneEvent + "]", []string{`unparsed: "text"`, "unparsed: 1", "unparsed: null", "unparsed: true", "unparsed: {}", `unparsed: {"a":1}`, doneLine}},
		{"text that is not JSON", "hello, world", []string{"unparsed: hello, world"}},
		{"a page of HTML", "<html>\n<body>no</body></html>\n", []string{"unparsed: <html>\n<body>no</body></html>"}},
		{"null bytes and control characters", "\x00\x01\x1f", []string{"unparsed: \x00\x01\x1f"}},
		{"a byte order mark", "\ufeff[" + helloEvent + "]", []string{"unparsed: \ufeff[", helloLine}},
		{"half a body, between events", "[" + helloEvent + ",", []string{helloLine}},
		{"half a body, in a name", "[" + helloEvent + `,{"ti`, []string{helloLine, `unparsed: {"ti`}},
		{"half a body, in a record", "[" + helloEvent + `,{"time":"` + at + `","type":"function","record":"hel`, []string{helloLine, `unparsed: {"time":"` + at + `","type":"function","record":"hel`}},
		{"half a body, before the last brace", "[" + helloEvent + `,{"time":"` + at + `","type":"function","record":"x"`, []string{helloLine, `unparsed: {"time":"` + at + `","type":"function","record":"x"`}},
		{"garbage between events", "[" + helloEvent + ", $%&! ," + doneEvent + "]", []string{helloLine, "unparsed: $%&!", doneLine}},
		{"a broken event between events", "[" + helloEvent + `,{"time":"` + at + `","type":function},` + doneEvent + "," + helloEvent + "]", []string{helloLine, `unparsed: {"time":"` + at + `","type":function}`, doneLine, helloLine}},
		{"broken events by turns", `[{"a":x},` + helloEvent + `,{"b" 1},` + doneEvent + `,{"c":}]`, []string{`unparsed: {"a":x}`, helloLine, `unparsed: {"b" 1}`, doneLine, `unparsed: {"c":}]`}},
		{"a comma before the closing brace", `[{"time":"` + at + `","type":"function","record":"x",},` + doneEvent + "]", []string{`unparsed: {"time":"` + at + `","type":"function","record":"x",}`, doneLine}},
		{"a line feed in a text", "[" + function("\"a\nb\"") + "," + doneEvent + "]", []string{"unparsed: " + function("\"a\nb\""), doneLine}},
		{"broken UTF-8 stays byte for byte", "[" + function("\"a\xff\xc3\x28\xed\xa0\x80\xf0\x9fz\"") + "," + function("{\"\xfe\":\"\x80\"}") + "]", []string{functionLine("\"a\xff\xc3\x28\xed\xa0\x80\xf0\x9fz\""), functionLine("{\"\xfe\":\"\x80\"}")}},
		{"broken UTF-8 in garbage stays byte for byte", "[\xff\xfe\x80," + doneEvent + "]", []string{"unparsed: \xff\xfe\x80", doneLine}},
		{"escapes of surrogates stay as they are", "[" + function(`"\ud83d\ude00 \ud83d \udead \uD83D\u0041"`) + "]", []string{functionLine(`"\ud83d\ude00 \ud83d \udead \uD83D\u0041"`)}},
		{"an event of type kinetel.unparsed from Lambda", `[{"time":"` + at + `","type":"kinetel.unparsed","record":"x"}]`, []string{`unparsed: {"time":"` + at + `","type":"kinetel.unparsed","record":"x"}`}},
		{"deeper than the limit", "[" + function(strings.Repeat("[", jsontext.MaxDepth+1)+strings.Repeat("]", jsontext.MaxDepth+1)) + "," + doneEvent + "]", []string{"unparsed: " + function(strings.Repeat("[", jsontext.MaxDepth+1)+strings.Repeat("]", jsontext.MaxDepth+1)), doneLine}},
	}
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			wantEvents(t, decode(scenario.body), scenario.want...)
		})
	}
}

// platformRecords are records of every type of platform event, in the shapes
// of AWS's schema reference.
var platformRecords = []struct{ kind, record string }{
	{"platform.initStart", `{"initializationType":"on-demand","phase":"init","functionName":"orders","functionVersion":"$LATEST","instanceId":"2026/09/21/orders[$LATEST]0f1e2d3c4b5a69788796a5b4c3d2e1f0","instanceMaxMemory":268435456,"runtimeVersion":"nodejs:22.v101","runtimeVersionArn":"arn:aws:lambda:eu-west-1::runtime:aaaa"}`},
	{"platform.initRuntimeDone", `{"initializationType":"on-demand","phase":"init","status":"success"}`},
	{"platform.initReport", `{"initializationType":"on-demand","phase":"init","status":"success","metrics":{"durationMs":380.512}}`},
	{"platform.start", `{"requestId":"6f0c0c5e-1111-4222-8333-444455556666","version":"$LATEST","tracing":{"spanId":"54565fb41ac79632","type":"X-Amzn-Trace-Id","value":"Root=1-68d0aaaa-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=1"}}`},
	{"platform.runtimeDone", `{"requestId":"6f0c0c5e-1111-4222-8333-444455556666","status":"success","metrics":{"durationMs":128.4,"producedBytes":42},"spans":[{"name":"responseLatency","start":"2026-09-21T10:00:00.490Z","durationMs":120.1}]}`},
	{"platform.report", `{"requestId":"6f0c0c5e-1111-4222-8333-444455556666","status":"success","metrics":{"durationMs":140.9,"billedDurationMs":522,"memorySizeMB":256,"maxMemoryUsedMB":88,"initDurationMs":380.51},"spans":[{"name":"extensionOverhead","start":"2026-09-21T10:00:00.620Z","durationMs":11.5}]}`},
	{"platform.restoreStart", `{"functionName":"orders","functionVersion":"7"}`},
	{"platform.restoreStart", `{}`},
	{"platform.restoreRuntimeDone", `{"status":"success"}`},
	{"platform.restoreReport", `{"status":"success","metrics":{"durationMs":201.7}}`},
	{"platform.extension", `{"name":"kinesis-telemetry-extension","state":"Ready","events":["INVOKE","SHUTDOWN"]}`},
	{"platform.telemetrySubscription", `{"name":"kinesis-telemetry-extension","state":"Subscribed","types":["platform","function"]}`},
	{"platform.logsDropped", `{"droppedBytes":12345,"droppedRecords":87,"reason":"consumer too slow"}`},
	{"platform.end", `{"requestId":"6f0c0c5e-1111-4222-8333-444455556666"}`},
	{"platform.fault", `"RequestId: 6f0c Error: Runtime exited"`},
	{"platform.logsSubscription", `{"name":"x","state":"Subscribed","types":[]}`},
	{"extension", `"[kinesis-telemetry-extension] flushed 120 records"`},
}

func TestDecodeEveryPlatformEvent(t *testing.T) {
	var events, want []string
	for _, p := range platformRecords {
		events = append(events, `{"time":"`+at+`","type":"`+p.kind+`","record":`+p.record+`}`)
		want = append(want, at+" "+p.kind+" "+p.record)
	}
	wantEvents(t, decode("["+strings.Join(events, ",")+"]"), want...)
}

func TestDecodedEventsAreStampedWithTheirArrival(t *testing.T) {
	s := decode("["+helloEvent+`,1,broken]`, `[{"time":"`+at+`","type":"function","record":"cut}]`)
	if len(s.events) != 4 {
		t.Fatalf("events: %q", s.show())
	}
	for i, ev := range s.events {
		if !ev.Received.Equal(received) {
			t.Errorf("event %d was received at %s, want %s", i, ev.Received, received)
		}
	}
}

func TestLongTextBecomesSeveralUnparsedEvents(t *testing.T) {
	text := strings.Repeat("0123456789abcdef , ", 2*maxUnparsed/19) + "end"
	s := decode(text)
	var whole []byte
	for _, ev := range s.events {
		if ev.Type != event.TypeUnparsed {
			t.Fatalf("an event of type %s", ev.Type)
		}
		piece := unquote(ev.Record)
		if len(piece) > maxUnparsed {
			t.Errorf("an unparsed event of %d bytes", len(piece))
		}
		whole = append(whole, piece...)
	}
	if len(s.events) < 2 || string(whole) != text {
		t.Errorf("%d events make %d bytes of %d", len(s.events), len(whole), len(text))
	}
}

func TestLongTextIsSplitBetweenCharacters(t *testing.T) {
	for _, character := range []string{"é", "世", "😀"} {
		for shift := range len(character) {
			text := strings.Repeat("x", shift) + strings.Repeat(character, maxUnparsed/len(character)+9)
			var all string
			for _, ev := range decode(text).events {
				piece := string(unquote(ev.Record))
				if !utf8.ValidString(piece) || len(piece) > maxUnparsed {
					t.Errorf("%s, shifted by %d: a piece of %d bytes, UTF-8: %t", character, shift, len(piece), utf8.ValidString(piece))
				}
				all += piece
			}
			if all != text {
				t.Errorf("%s, shifted by %d: the pieces are another text", character, shift)
			}
		}
	}
	broken := strings.Repeat("\xbf", maxUnparsed+9)
	if n := len(decode(broken).events); n != 2 {
		t.Errorf("text without a character makes %d events", n)
	}
}

func TestEventsAfterMuchGarbageAreFound(t *testing.T) {
	// Half as many false beginnings as the search allows.
	garbage := strings.Repeat(`,{"time":1x`, maxSalvage/2)
	s := decode("[!" + garbage + "," + doneEvent + "]")
	wantEvents(t, s, "unparsed: !"+garbage, doneLine)
}

func TestGarbageWithoutEndIsKept(t *testing.T) {
	// More false beginnings than the search allows: the event after them is
	// not found, but its text is not lost.
	body := "[!" + strings.Repeat(`,{"time":1x`, 3*maxSalvage) + "," + doneEvent + "]"
	s := decode(body)
	var whole []byte
	for _, ev := range s.events {
		whole = append(whole, unquote(ev.Record)...)
	}
	if !bytes.Equal(whole, []byte(body[1:])) {
		t.Errorf("got %d bytes of %d", len(whole), len(body)-1)
	}
}

func TestAnEventBeforeGarbageIsWhole(t *testing.T) {
	s := decode("[" + doneEvent + "garbage," + helloEvent + "]")
	wantEvents(t, s, doneLine, "unparsed: garbage", helloLine)
}

// Whatever a process of the sandbox posts, no consumer mistakes it for an event of
// Kinetel's, however it reads a type.
func TestEventsWithKinetelsOwnTypesAreText(t *testing.T) {
	const record = `{"firstSeq":1,"lastSeq":1000000,"count":1000000,"bytes":1,"reason":"buffer-full"}`
	kinetelEvent := func(kind string) string { return `{"time":"` + at + `","type":"` + kind + `","record":` + record + `}` }
	for _, kind := range []string{
		"kinetel.loss", "kinetel.report", "kinetel.invocation", "kinetel.environment", "kinetel.span", "kinetel.unparsed", "kinetel.later",
		"kinetel", "kinetel.", "kinetel/loss", "kinetel_loss", "KINETEL.LOSS", "Kinetel.loss", "kInEtEl.loss",
		`kinetel\u002eloss`, `\u006binetel.loss`, `k\u0069netel.loss`, `kinetel.\u006coss`, `kinetel.loss\u0000`, `kinetel\u200b.loss`,
		" kinetel.loss", "kinetel.loss ", `\tkinetel.loss`, `\nkinetel.loss`, "\u00a0kinetel.loss", "\ufeffkinetel.loss",
		"\u212ainetel.loss", "ｋinetel.loss", "kіnetel.loss", "kinetel\xff.loss", "kine\u00adtel.loss",
		`platform\u002ereport`, "platform.report ", `\u0070latform.logsDropped`, "platform.logsDropped\u200b", `func\u0074ion`,
	} {
		text := kinetelEvent(kind)
		wantEvents(t, decode("["+text+"]"), "unparsed: "+text)
		wantEvents(t, decode("["+helloEvent+","+text+","+doneEvent+"]"), helloLine, "unparsed: "+text, doneLine)
		wantEvents(t, decode(text+helloEvent), "unparsed: "+text, helloLine) // without an array
	}
	// The members may be written in other ways.
	for _, text := range []string{
		`{"type":"kinetel.loss"}`,
		`{ "record" : 1 , "type" : "kinetel.loss" }`,
		`{"type":"function","type":"kinetel.loss","record":1}`,
		`{"type":"kinetel.loss","type":"function","record":1}`,
	} {
		wantEvents(t, decode("["+text+","+helloEvent+"]"), "unparsed: "+text, helloLine)
	}
	// An unknown type stays apart from what it writes.
	wantEvents(t, decode(`[{"type":"function","Type":"kinetel.loss","\u0074ype":"kinetel.loss","record":1}]`), `- function 1 +"Type":"kinetel.loss","\u0074ype":"kinetel.loss"`)
	// Names that Lambda may use one day are accepted.
	for _, kind := range []string{"platform.of.a.later.time", "network", "a-b_c.D9", "x.kinetel.loss", "kinete"} {
		wantEvents(t, decode("["+kinetelEvent(kind)+"]"), at+" "+kind+" "+record)
	}
}

// A record that is split over two bodies is one event, and may have a type of Kinetel, too.
func TestASplitEventWithAKinetelTypeIsText(t *testing.T) {
	const head = `{"time":"` + at + `","type":"kinetel.loss","record":`
	events := decode(`[`+head+`{"count":1,"reason":"x}]`, `[`+head+`y"}},`+doneEvent+`]`)
	var text strings.Builder
	for _, ev := range events.events {
		if ev.Type != event.TypeUnparsed && ev.Type != event.TypePlatformRuntimeDone {
			t.Errorf("a %s", ev.Type)
		}
		if ev.Type == event.TypeUnparsed {
			text.Write(unquote(ev.Record))
		}
	}
	if got := text.String(); !strings.Contains(got, `"reason":"x`) || !strings.Contains(got, `y"}}`) {
		t.Errorf("as text there is %q", got)
	}
}
