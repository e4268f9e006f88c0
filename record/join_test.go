package record_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/record"
)

// part is one of an event's parts, with a body as it is in the line.
func part(environment string, seq uint64, number, of int, body string) record.Event {
	return timed(record.Event{
		Schema: record.Schema, Seq: seq, TimeText: "2026-11-22T20:15:00.123Z", Type: "function", Part: number, Parts: of,
		Body: json.RawMessage(body), Resource: map[string]string{"service.instance.id": environment},
	})
}

func whole(environment string, seq uint64, body string) record.Event {
	return part(environment, seq, 0, 0, body)
}

func TestDecodeReadsParts(t *testing.T) {
	line := strings.Replace(aLine, `"type":`, `"part":2,"parts":3,"type":`, 1)
	got, err := record.Decode([]byte(line))
	if err != nil || len(got) != 1 || got[0].Part != 2 || got[0].Parts != 3 {
		t.Errorf("read %+v, %v", got, err)
	}
}

func TestJoin(t *testing.T) {
	type events = []record.Event
	for _, tt := range []struct {
		name     string
		in, want events
	}{
		{"nothing", nil, nil},
		{"whole ones", events{whole("e", 1, `"a"`), whole("e", 2, `"b"`)}, events{whole("e", 1, `"a"`), whole("e", 2, `"b"`)}},
		{
			"three parts",
			events{part("e", 4, 1, 3, `"\"on"`), part("e", 5, 2, 3, `"e t"`), part("e", 6, 3, 3, `"wo\""`)},
			events{whole("e", 4, `"one two"`)},
		},
		{
			"one part, which is odd but whole",
			events{part("e", 4, 1, 1, `"{}"`)},
			events{whole("e", 4, `{}`)},
		},
		{
			"in any order, with others between",
			events{
				part("e", 6, 3, 3, `"3\""`), whole("e", 7, `"x"`), part("e", 4, 1, 3, `"\"1"`), whole("f", 4, `"y"`), part("e", 5, 2, 3, `"2"`),
			},
			events{whole("e", 4, `"123"`), whole("e", 7, `"x"`), whole("f", 4, `"y"`)},
		},
		{
			"some twice",
			events{part("e", 4, 1, 2, `"\"1"`), part("e", 4, 1, 2, `"\"1"`), part("e", 5, 2, 2, `"2\""`), part("e", 5, 2, 2, `"2\""`)},
			events{whole("e", 4, `"12"`)},
		},
		{
			"two events one after the other",
			events{
				part("e", 1, 1, 2, `"\"a"`), part("e", 2, 2, 2, `"b\""`), part("e", 3, 1, 2, `"\"c"`), part("e", 4, 2, 2, `"d\""`),
			},
			events{whole("e", 1, `"ab"`), whole("e", 3, `"cd"`)},
		},
		{
			"the same numbers of two environments",
			events{
				part("e", 1, 1, 2, `"\"a"`), part("f", 1, 1, 2, `"\"c"`), part("f", 2, 2, 2, `"d\""`), part("e", 2, 2, 2, `"b\""`),
			},
			events{whole("e", 1, `"ab"`), whole("f", 1, `"cd"`)},
		},
		{
			"one is missing",
			events{part("e", 4, 1, 3, `"\"1"`), whole("e", 7, `"x"`), part("e", 6, 3, 3, `"3\""`)},
			events{part("e", 4, 1, 3, `"\"1"`), whole("e", 7, `"x"`), part("e", 6, 3, 3, `"3\""`)},
		},
		{
			"bodies that are no strings",
			events{part("e", 4, 1, 2, `{}`), part("e", 5, 2, 2, `"2"`)},
			events{part("e", 4, 1, 2, `{}`), part("e", 5, 2, 2, `"2"`)},
		},
		{
			"numbers that cannot be",
			events{part("e", 1, 2, 2, `"2"`), part("e", 9, 3, 2, `"2"`), part("e", 9, -1, 2, `"2"`), part("e", 9, 1, math.MaxInt, `"2"`)},
			events{part("e", 1, 2, 2, `"2"`), part("e", 9, 3, 2, `"2"`), part("e", 9, -1, 2, `"2"`), part("e", 9, 1, math.MaxInt, `"2"`)},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, record.Join(tt.in)); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

// Another JSON encoder may have written the line again.
func TestJoinReadsEveryEscape(t *testing.T) {
	for quoted, want := range map[string]string{
		`"\"\\\/\b\f\n\r\t"`:         "\"\\/\b\f\n\r\t",
		`"\u0000\u001f\u00e4\u20ac"`: "\x00\x1fä€",
		`"\ud83d\ude00"`:             "😀",
		`"\ud83d"`:                   "\ufffd",
		`"\ud83dx"`:                  "\ufffdx",
		`"\ud83d\u0041"`:             "\ufffdA",
		"\"\xff\xc3\"":               "\xff\xc3",
	} {
		got := record.Join([]record.Event{part("e", 1, 1, 1, quoted)})
		if string(got[0].Body) != want || got[0].Parts != 0 {
			t.Errorf("%s is read as %+q", quoted, got[0].Body)
		}
	}
	for _, quoted := range []string{``, `"`, `""x`, `"\`, `"\"`, `"\x"`, `"\u12"`, `"\u12g4"`, `"a"b"`, "\"\n\"", `null`} {
		if got := record.Join([]record.Event{part("e", 1, 1, 1, quoted)}); got[0].Parts != 1 {
			t.Errorf("%s is read as %+q", quoted, got[0].Body)
		}
	}
}

// Any bytes, cut anywhere, are joined again.
func TestJoinIsTheInverseOfCutting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want, lines []record.Event
		seq := uint64(1)
		for n := range rapid.IntRange(1, 5).Draw(t, "events") {
			body := rapid.OneOf(rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 40), func(b []byte) string { return string(b) }), rapid.StringN(1, 40, -1)).Draw(t, "body")
			environment := fmt.Sprint("e", n%2)
			want = append(want, whole(environment, seq, body))
			var pieces []string
			for rest := body; rest != ""; {
				cut := rapid.IntRange(1, len(rest)).Draw(t, "cut")
				pieces = append(pieces, rest[:cut])
				rest = rest[cut:]
			}
			for i, piece := range pieces {
				p := part(environment, seq, i+1, len(pieces), string(jsontext.AppendQuote(nil, piece)))
				seq++
				lines = append(lines, p)
				if rapid.IntRange(0, 4).Draw(t, "again") == 0 {
					lines = append(lines, p)
				}
			}
		}
		got := map[uint64]record.Event{}
		for _, e := range record.Join(rapid.Permutation(lines).Draw(t, "order")) {
			if _, again := got[e.Seq]; again {
				t.Fatalf("seq %d twice", e.Seq)
			}
			got[e.Seq] = e
		}
		if len(got) != len(want) {
			t.Fatalf("%d events, want %d", len(got), len(want))
		}
		for _, e := range want {
			if diff := cmp.Diff(e, got[e.Seq]); diff != "" {
				t.Fatalf("event (-want +got):\n%s", diff)
			}
		}
	})
}
