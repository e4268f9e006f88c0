package audit_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/record"
)

// emitted returns function lines with the given texts.
func emitted(texts ...string) (events []audit.Emitted) {
	for _, text := range texts {
		events = append(events, audit.Emitted{Time: "2026-11-22T20:15:00.000Z", Type: "function", Record: `"` + text + `"`})
	}
	return events
}

// line is a function line that arrived.
func line(environment string, seq uint64, text string) record.Event {
	return record.Event{
		Schema: record.Schema, Seq: seq, TimeText: "2026-11-22T20:15:00.000Z", Type: "function",
		Body: json.RawMessage(`"` + text + `"`), Resource: map[string]string{"service.instance.id": environment},
	}
}

// own is one of Kinetel's own events that arrived.
func own(environment string, seq uint64, kind, body string) record.Event {
	e := line(environment, seq, "")
	e.Type, e.Body = "kinetel."+kind, json.RawMessage(body)
	return e
}

// loss reports that events were lost.
func loss(environment string, seq, first, last uint64) record.Event {
	return some(environment, seq, first, last, last-first+1)
}

// some reports that count of the events of a range were lost.
func some(environment string, seq, first, last, count uint64) record.Event {
	return own(environment, seq, "loss", fmt.Sprintf(`{"firstSeq":%d,"lastSeq":%d,"count":%d,"bytes":10,"reason":"buffer-full"}`, first, last, count))
}

// part is one of the parts of an event that arrived.
func part(environment string, seq uint64, number, of int, piece string) record.Event {
	e := line(environment, seq, "")
	e.Part, e.Parts, e.Body = number, of, jsontext.AppendQuote(nil, piece)
	return e
}

func TestCheckComparesWhatArrivedWithWhatWasEmitted(t *testing.T) {
	type events = []record.Event
	another := func(change func(*record.Event)) record.Event {
		e := line("e", 1, "a")
		change(&e)
		return e
	}
	for _, tt := range []struct {
		name    string
		emitted []audit.Emitted
		arrived events
		want    audit.Verdict
		ok      bool
	}{
		{"nothing was emitted and nothing arrived", nil, nil, audit.Verdict{}, true},
		{
			"everything arrived", emitted("a", "b", "c"),
			events{line("e", 1, "a"), line("e", 2, "b"), line("e", 3, "c")},
			audit.Verdict{Emitted: 3, Delivered: 3},
			true,
		},
		{
			"in any order", emitted("a", "b", "c"),
			events{line("e", 3, "c"), line("e", 1, "a"), line("e", 2, "b")},
			audit.Verdict{Emitted: 3, Delivered: 3},
			true,
		},
		{
			"nothing arrived", emitted("a", "b"), nil,
			audit.Verdict{Emitted: 2, Lost: 2, LostSilently: 2},
			false,
		},
		{
			"one was lost in the middle, and its number is missing", emitted("a", "b", "c"),
			events{line("e", 1, "a"), line("e", 3, "c")},
			audit.Verdict{Emitted: 3, Delivered: 2, Lost: 1, Holes: 1, LostSilently: 1},
			false,
		},
		{
			"one was lost at the end, where no number shows it", emitted("a", "b"),
			events{line("e", 1, "a")},
			audit.Verdict{Emitted: 2, Delivered: 1, Lost: 1, LostSilently: 1},
			false,
		},
		{
			"the first numbers are missing", emitted("c"),
			events{line("e", 3, "c")},
			audit.Verdict{Emitted: 1, Delivered: 1, Holes: 2, LostSilently: 2},
			false,
		},
		{
			"one arrived three times", emitted("a", "b"),
			events{line("e", 1, "a"), line("e", 2, "b"), line("e", 1, "a"), line("e", 1, "a")},
			audit.Verdict{Emitted: 2, Delivered: 2, Duplicated: 2},
			false,
		},
		{
			"one was numbered twice", emitted("a"),
			events{line("e", 1, "a"), line("e", 2, "a")},
			audit.Verdict{Emitted: 1, Delivered: 1, Duplicated: 1},
			false,
		},
		{
			"something else arrived too", emitted("a"),
			events{line("e", 1, "a"), line("e", 2, "x")},
			audit.Verdict{Emitted: 1, Delivered: 1, Unknown: 1},
			false,
		},
		{
			"another body is another event", emitted("a"),
			events{another(func(e *record.Event) { e.Body = json.RawMessage(` "a"`) })},
			audit.Verdict{Emitted: 1, Lost: 1, Unknown: 1, LostSilently: 1},
			false,
		},
		{
			"another time is another event", emitted("a"),
			events{another(func(e *record.Event) { e.TimeText = "2026-11-22T20:15:00Z" })},
			audit.Verdict{Emitted: 1, Lost: 1, Unknown: 1, LostSilently: 1},
			false,
		},
		{
			"another type is another event", emitted("a"),
			events{another(func(e *record.Event) { e.Type = "extension" })},
			audit.Verdict{Emitted: 1, Lost: 1, Unknown: 1, LostSilently: 1},
			false,
		},
		{
			"lines with the same text are counted", emitted("a", "a", "a"),
			events{line("e", 1, "a"), line("e", 2, "a"), line("e", 3, "a")},
			audit.Verdict{Emitted: 3, Delivered: 3},
			true,
		},
		{
			"one of the lines with the same text was lost", emitted("a", "a", "a"),
			events{line("e", 1, "a"), line("e", 3, "a")},
			audit.Verdict{Emitted: 3, Delivered: 2, Lost: 1, Holes: 1, LostSilently: 1},
			false,
		},
		{
			"one of the lines with the same text came once more", emitted("a", "a"),
			events{line("e", 1, "a"), line("e", 2, "a"), line("e", 3, "a")},
			audit.Verdict{Emitted: 2, Delivered: 2, Duplicated: 1},
			false,
		},
		{
			// A consumer that removes duplicates by number is left with one.
			"one of the lines with the same text was lost and the other one came twice", emitted("a", "a"),
			events{line("e", 1, "a"), line("e", 1, "a")},
			audit.Verdict{Emitted: 2, Delivered: 1, Lost: 1, Duplicated: 1, LostSilently: 1},
			false,
		},
		{
			"what was lost was reported", emitted("a", "b", "c", "d"),
			events{line("e", 1, "a"), line("e", 4, "d"), loss("e", 5, 2, 3)},
			audit.Verdict{Emitted: 4, Delivered: 2, Lost: 2, Own: 1, ReportedLost: 2},
			false,
		},
		{
			"more was lost than was reported", emitted("a", "b", "c", "d"),
			events{line("e", 1, "a"), line("e", 4, "d"), loss("e", 5, 2, 2)},
			audit.Verdict{Emitted: 4, Delivered: 2, Lost: 2, Own: 1, ReportedLost: 1, Holes: 1, LostSilently: 1},
			false,
		},
		{
			"a loss that is reported again is not another loss", emitted("a", "b"),
			events{line("e", 1, "a"), loss("e", 3, 2, 2), loss("e", 3, 2, 2)},
			audit.Verdict{Emitted: 2, Delivered: 1, Lost: 1, Duplicated: 1, Own: 2, ReportedLost: 1},
			false,
		},
		{
			"a loss without numbers explains nothing", emitted("a", "b"),
			events{line("e", 1, "a"), own("e", 3, "loss", `"what?"`)},
			audit.Verdict{Emitted: 2, Delivered: 1, Lost: 1, Own: 1, Holes: 1, LostSilently: 1},
			false,
		},
		{
			"a loss that runs backwards explains nothing", emitted("a", "b"),
			events{line("e", 1, "a"), own("e", 3, "loss", `{"firstSeq":2,"lastSeq":1,"count":1}`)},
			audit.Verdict{Emitted: 2, Delivered: 1, Lost: 1, Own: 1, Holes: 1, LostSilently: 1},
			false,
		},
		{
			"some of a range were lost, and as many reported", emitted("a", "b", "c", "d"),
			events{line("e", 1, "a"), line("e", 3, "c"), some("e", 5, 1, 4, 2)},
			audit.Verdict{Emitted: 4, Delivered: 2, Lost: 2, Own: 1, ReportedLost: 2},
			false,
		},
		{
			"some of a range were lost, and fewer reported", emitted("a", "b", "c", "d"),
			events{line("e", 1, "a"), line("e", 3, "c"), some("e", 5, 1, 4, 1)},
			audit.Verdict{Emitted: 4, Delivered: 2, Lost: 2, Own: 1, ReportedLost: 1, LostSilently: 1},
			false,
		},
		{
			"some of a range were lost, and more reported, as if a report itself was lost", emitted("a", "b", "c"),
			events{line("e", 1, "a"), line("e", 3, "c"), some("e", 5, 2, 4, 2)},
			audit.Verdict{Emitted: 3, Delivered: 2, Lost: 1, Own: 1, ReportedLost: 2},
			false,
		},
		{
			"ranges that overlap are counted together", emitted("a", "b", "c", "d"),
			events{line("e", 1, "a"), some("e", 5, 2, 4, 1), some("e", 6, 3, 4, 2)},
			audit.Verdict{Emitted: 4, Delivered: 1, Lost: 3, Own: 2, ReportedLost: 3},
			false,
		},
		{
			"ranges that only touch are not", emitted("a", "b", "c", "d"),
			events{line("e", 1, "a"), some("e", 5, 2, 2, 1), some("e", 6, 3, 4, 1)},
			audit.Verdict{Emitted: 4, Delivered: 1, Lost: 3, Own: 2, ReportedLost: 2, LostSilently: 1},
			false,
		},
		{
			"one was lost at the end, and elsewhere more is reported than is missing", emitted("a", "b"),
			events{line("e", 1, "a"), some("e", 2, 1, 1, 5)},
			audit.Verdict{Emitted: 2, Delivered: 1, Lost: 1, Own: 1, ReportedLost: 5, LostSilently: 1},
			false,
		},
		{
			"an event came in parts", emitted("a", "bcd", "e"),
			events{line("e", 1, "a"), part("e", 2, 1, 3, `"b`), line("e", 5, "e"), part("e", 4, 3, 3, `d"`), part("e", 3, 2, 3, "c")},
			audit.Verdict{Emitted: 3, Delivered: 3},
			true,
		},
		{
			"a part came twice", emitted("ab"),
			events{part("e", 1, 1, 2, `"a`), part("e", 2, 2, 2, `b"`), part("e", 1, 1, 2, `"a`)},
			audit.Verdict{Emitted: 1, Delivered: 1, Duplicated: 1},
			false,
		},
		{
			"a part is missing", emitted("abc", "d"),
			events{part("e", 1, 1, 3, `"a`), part("e", 3, 3, 3, `c"`), line("e", 4, "d")},
			audit.Verdict{Emitted: 2, Delivered: 1, Lost: 1, Holes: 1, LostSilently: 1},
			false,
		},
		{
			"a part is missing, and reported", emitted("abc", "d"),
			events{part("e", 1, 1, 3, `"a`), part("e", 3, 3, 3, `c"`), line("e", 4, "d"), loss("e", 5, 2, 2)},
			audit.Verdict{Emitted: 2, Delivered: 1, Lost: 1, Own: 1, ReportedLost: 1},
			false,
		},
		{
			"Kinetel's own events are not expected", emitted("a"),
			events{line("e", 1, "a"), own("e", 2, "report", `{}`), own("e", 3, "unparsed", `"x"`)},
			audit.Verdict{Emitted: 1, Delivered: 1, Own: 2},
			true,
		},
		{
			"environments have numbers of their own", emitted("a", "b", "c"),
			events{line("e", 1, "a"), line("f", 1, "b"), line("e", 2, "c")},
			audit.Verdict{Emitted: 3, Delivered: 3},
			true,
		},
		{
			"a hole in one of two environments", emitted("a", "b", "c"),
			events{line("e", 1, "a"), line("f", 1, "b"), line("f", 3, "c")},
			audit.Verdict{Emitted: 3, Delivered: 3, Holes: 1, LostSilently: 1},
			false,
		},
		{
			"a loss explains nothing in another environment", emitted("a", "b", "c"),
			events{line("e", 1, "a"), line("f", 1, "b"), line("f", 3, "c"), loss("e", 3, 2, 2)},
			audit.Verdict{Emitted: 3, Delivered: 3, Own: 1, ReportedLost: 1, Holes: 1, LostSilently: 1},
			false,
		},
		{
			"a line without a number fills no hole", emitted("a", "b", "c"),
			events{line("e", 1, "a"), line("e", 3, "c"), line("e", 0, "b")},
			audit.Verdict{Emitted: 3, Delivered: 3, Holes: 1, LostSilently: 1},
			false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := audit.Check(tt.emitted, tt.arrived)
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(audit.Verdict{}, "Examples")); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
			if got.OK() != tt.ok {
				t.Errorf("OK() is %t, want %t", got.OK(), tt.ok)
			}
			// If something is wrong, there must be an example of it.
			wrong := got.Lost + got.Duplicated + got.Unknown + got.Holes
			if (len(got.Examples) > 0) != (wrong > 0) {
				t.Errorf("examples: %q", got.Examples)
			}
		})
	}
}

// The events that a killed process acknowledged must arrive. Others may arrive, too.
func TestCheckAcknowledgedExpectsOnlyAcknowledgedEvents(t *testing.T) {
	acknowledged, possible := emitted("a", "b", "b"), emitted("c", "b")
	for _, tt := range []struct {
		name    string
		arrived []record.Event
		want    audit.Verdict
	}{
		{
			"what was acknowledged arrived",
			[]record.Event{line("e", 1, "a"), line("e", 2, "b"), line("e", 3, "b")},
			audit.Verdict{Emitted: 3, Delivered: 3},
		},
		{
			"what is possible arrived as well",
			[]record.Event{line("e", 1, "a"), line("e", 2, "b"), line("e", 3, "b"), line("e", 4, "b"), line("e", 5, "c")},
			audit.Verdict{Emitted: 3, Delivered: 3},
		},
		{
			"what is possible is no substitute",
			[]record.Event{line("e", 1, "b"), line("e", 2, "b"), line("e", 3, "c")},
			audit.Verdict{Emitted: 3, Delivered: 2, Lost: 1, LostSilently: 1},
		},
		{
			"what is possible arrived twice",
			[]record.Event{line("e", 1, "a"), line("e", 2, "b"), line("e", 3, "b"), line("e", 4, "c"), line("e", 4, "c"), line("e", 5, "c")},
			audit.Verdict{Emitted: 3, Delivered: 3, Duplicated: 2},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := audit.CheckAcknowledged(acknowledged, possible, tt.arrived)
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(audit.Verdict{}, "Examples")); diff != "" {
				t.Errorf("verdict (-want +got):\n%s", diff)
			}
		})
	}
}

// A stream can contain data that Kinetel did not write. It must not stop an audit.
func TestCheckAcceptsImpossibleNumbers(t *testing.T) {
	t.Run("the last number of all", func(t *testing.T) {
		v := audit.Check(emitted("a"), []record.Event{line("e", math.MaxUint64, "a")})
		if v.OK() || v.Holes <= 0 {
			t.Errorf("verdict: %s", v)
		}
	})
	t.Run("a number beyond what an int holds", func(t *testing.T) {
		v := audit.Check(emitted("a"), []record.Event{line("e", 1<<63, "a")})
		if v.OK() || v.Holes <= 0 {
			t.Errorf("verdict: %s", v)
		}
	})
}

func TestCheckAcceptsImpossibleLosses(t *testing.T) {
	for _, one := range []record.Event{
		loss("e", 1, math.MaxUint64, math.MaxUint64),
		loss("e", 1, 2, math.MaxInt64),
		loss("e", 1, 2, 1<<40),
	} {
		if v := audit.Check(nil, []record.Event{one}); v.OK() || v.Own != 1 {
			t.Errorf("%s: verdict: %s", one.Body, v)
		}
	}
	// A loss with a number beyond all others does not explain the missing ones.
	v := audit.Check(nil, []record.Event{loss("e", 1, math.MaxUint64, math.MaxUint64)})
	if v.Holes <= 0 {
		t.Errorf("verdict: %s", v)
	}
}

func TestExamplesAreFewAndShort(t *testing.T) {
	texts := []string{strings.Repeat("long", 10_000)}
	for i := range 100 {
		texts = append(texts, fmt.Sprint("text ", i))
	}
	v := audit.Check(emitted(texts...), nil)
	if len(v.Examples) == 0 || len(v.Examples) > 20 || v.Lost != 101 {
		t.Errorf("%d examples of %d events", len(v.Examples), v.Lost)
	}
	for _, one := range v.Examples {
		if len(one) > 300 {
			t.Errorf("an example of %d bytes", len(one))
		}
	}
	if !strings.Contains(v.Examples[1], "text 0") {
		t.Errorf("the second example is %q", v.Examples[1])
	}
}

func TestTheTextOfAVerdictHasItsNumbers(t *testing.T) {
	v := audit.Verdict{Emitted: 11, Delivered: 12, Lost: 13, Duplicated: 14, Unknown: 15, Own: 16, ReportedLost: 17, Holes: 18, LostSilently: 19}
	for _, part := range []string{"emitted 11", "delivered 12", "lost 13", "duplicated 14", "unknown 15", "reported lost 17", "holes 18", "lost silently 19"} {
		if !strings.Contains(v.String(), part) {
			t.Errorf("%q does not contain %q", v, part)
		}
	}
}

// The events of any stream are lost, reported or not, or arrive, once or more often.
// The audit counts each kind.
func TestCheckCountsEveryOutcome(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want audit.Verdict
		var source []audit.Emitted
		var arrived []record.Event
		for _, environment := range []string{"e", "f"} {
			seq := uint64(0)
			holes := 0 // since the last event that arrived
			for range rapid.IntRange(0, 15).Draw(t, "events") {
				text := fmt.Sprint(environment, rapid.IntRange(0, 3).Draw(t, "text")) // many are the same
				seq++
				switch rapid.IntRange(0, 5).Draw(t, "outcome") {
				case 0: // lost silently; visible when a later one arrives
					source = append(source, emitted(text)...)
					want.Lost++
					want.LostSilently++
					holes++
				case 1: // lost, and reported
					source = append(source, emitted(text)...)
					want.Lost++
					want.ReportedLost++
					seq++
					want.Own++
					arrived = append(arrived, loss(environment, seq, seq-1, seq-1))
					want.Holes, holes = want.Holes+holes, 0
				case 2: // arrived twice
					source = append(source, emitted(text)...)
					arrived = append(arrived, line(environment, seq, text), line(environment, seq, text))
					want.Delivered++
					want.Duplicated++
					want.Holes, holes = want.Holes+holes, 0
				case 3: // was never emitted
					arrived = append(arrived, line(environment, seq, "never emitted"))
					want.Unknown++
					want.Holes, holes = want.Holes+holes, 0
				default:
					source = append(source, emitted(text)...)
					arrived = append(arrived, line(environment, seq, text))
					want.Delivered++
					want.Holes, holes = want.Holes+holes, 0
				}
			}
		}
		want.Emitted = len(source)
		if len(arrived) > 0 {
			arrived = rapid.Permutation(arrived).Draw(t, "order")
		}
		got := audit.Check(source, arrived)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(audit.Verdict{}, "Examples")); diff != "" {
			t.Fatalf("verdict (-want +got):\n%s", diff)
		}
	})
}
