package audittest

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/kinetel/kinetel/record"
)

// arrival makes what arrived of an environment with this id.
type arrival func(id string) []record.Event

// Cases returns an environment for each thing that can be right or wrong. The findings are
// written by hand.
func Cases() (all []Environment) {
	for _, c := range slices.Concat(complete(), incomplete(), cut(), odd()) {
		id := fmt.Sprintf("%032x", 0xca5e0001+len(all))
		all = append(all, Environment{c.name, id, c.events(id), c.want})
	}
	return all
}

type testCase struct {
	name   string
	events arrival
	want   Finding
}

// of returns what several arrivals return.
func of(all ...arrival) arrival {
	return func(id string) (events []record.Event) {
		for _, a := range all {
			events = append(events, a(id)...)
		}
		return events
	}
}

func lines(first, last uint64) arrival {
	return func(id string) (events []record.Event) {
		for seq := first; seq <= last; seq++ {
			events = append(events, Line(id, seq))
		}
		return events
	}
}

func loss(seq, first, last uint64, count int64) arrival {
	return func(id string) []record.Event { return []record.Event{Loss(id, seq, first, last, count)} }
}

func report(seq uint64, final bool, spooled int64) arrival {
	return func(id string) []record.Event { return []record.Event{Report(id, seq, final, spooled)} }
}

func own(seq uint64, kind, body string) arrival {
	return func(id string) []record.Event { return []record.Event{event(id, seq, kind, body)} }
}

func parts(first uint64, numbers ...int) arrival {
	return func(id string) (events []record.Event) {
		for _, n := range numbers {
			events = append(events, Part(id, first+uint64(n)-1, n, 4))
		}
		return events
	}
}

func complete() []testCase {
	return []testCase{
		{"one event", lines(1, 1), Finding{First: 1, Last: 1}},
		{"everything arrived, and the environment ended", of(lines(1, 19), report(20, true, 0)), Finding{First: 1, Last: 20, Ended: true}},
		{"a report that is not final", of(lines(1, 19), report(20, false, 7)), Finding{First: 1, Last: 20}},
		{"in the wrong order", of(report(20, true, 0), lines(11, 19), lines(1, 10)), Finding{First: 1, Last: 20, Ended: true}},
		{"everything arrived twice", of(lines(1, 19), report(20, true, 0), lines(1, 19), report(20, true, 0)), Finding{First: 1, Last: 20, Ended: true}},
		{"one event arrived four times", of(lines(1, 5), lines(5, 5), lines(5, 5), lines(5, 9)), Finding{First: 1, Last: 9}},
		{"a loss reports the hole", of(lines(1, 4), lines(8, 10), loss(11, 5, 7, 3)), Finding{First: 1, Last: 11}},
		{"a loss reports some of a range", of(lines(1, 4), lines(6, 6), lines(8, 10), loss(11, 3, 9, 2)), Finding{First: 1, Last: 11}},
		{"a loss arrived twice", of(lines(1, 4), loss(11, 5, 7, 3), lines(8, 10), loss(11, 5, 7, 3)), Finding{First: 1, Last: 11}},
		{"two losses report two holes", of(lines(1, 2), lines(5, 6), lines(8, 9), loss(10, 3, 4, 2), loss(11, 7, 7, 1)), Finding{First: 1, Last: 11}},
		{"losses that overlap", of(lines(1, 4), lines(9, 10), loss(11, 5, 7, 2), loss(12, 6, 8, 2)), Finding{First: 1, Last: 12}},
		{"a loss within a loss", of(lines(1, 4), lines(10, 10), loss(11, 5, 9, 3), loss(12, 6, 7, 2)), Finding{First: 1, Last: 12}},
		{"losses that share one number", of(lines(1, 4), lines(9, 10), loss(11, 5, 7, 1), loss(12, 7, 8, 3)), Finding{First: 1, Last: 12}},
		{"losses with the same range", of(lines(1, 4), lines(8, 10), loss(11, 5, 7, 1), loss(12, 5, 7, 2)), Finding{First: 1, Last: 12}},
		{"losses that touch", of(lines(1, 4), lines(9, 10), loss(11, 5, 6, 2), loss(12, 7, 8, 2)), Finding{First: 1, Last: 12}},
		{"a chain of losses that overlap", of(lines(1, 1), lines(14, 14), loss(15, 2, 5, 1), loss(16, 4, 9, 4), loss(17, 8, 13, 7)), Finding{First: 1, Last: 17}},
		{"a loss is lost, and reported with the others", of(lines(1, 4), lines(9, 10), lines(12, 12), loss(13, 5, 8, 4), loss(14, 11, 11, 1)), Finding{First: 1, Last: 14}},
		{"the parts of an event", of(lines(1, 2), parts(3, 4, 1, 3, 2), lines(7, 8)), Finding{First: 1, Last: 8}},
		{"what is missing is on disk", of(lines(1, 4), lines(8, 10), report(11, true, 3)), Finding{Spooled: 3, From: 5, To: 7, First: 1, Last: 11, Ended: true}},
		{"the last of two final reports counts", of(lines(1, 4), lines(8, 10), report(11, true, 0), report(12, true, 3)), Finding{Spooled: 3, From: 5, To: 7, First: 1, Last: 12, Ended: true}},
		{"what was on disk arrived", of(lines(1, 4), lines(8, 10), report(11, true, 3), lines(5, 7), lines(12, 12)), Finding{First: 1, Last: 12, Ended: true}},
	}
}

func incomplete() []testCase {
	return []testCase{
		{"a hole", of(lines(1, 4), lines(8, 10)), Finding{Missing: 3, From: 5, To: 7, First: 1, Last: 10}},
		{"a hole of one", of(lines(1, 4), lines(6, 10), report(11, true, 0)), Finding{Missing: 1, From: 5, To: 5, First: 1, Last: 11, Ended: true}},
		{"a hole after number 1", of(lines(1, 1), lines(3, 4)), Finding{Missing: 1, From: 2, To: 2, First: 1, Last: 4}},
		{"holes", of(lines(1, 4), lines(8, 10), lines(12, 12), lines(20, 21)), Finding{Missing: 11, From: 5, To: 19, First: 1, Last: 21}},
		{"a hole, with duplicates on both sides", of(lines(1, 4), lines(4, 4), lines(8, 8), lines(8, 10)), Finding{Missing: 3, From: 5, To: 7, First: 1, Last: 10}},
		{"the loss reports less than the hole", of(lines(1, 4), lines(8, 10), loss(11, 5, 7, 2)), Finding{Missing: 1, From: 5, To: 7, First: 1, Last: 11}},
		{"the loss reports another hole", of(lines(1, 4), lines(8, 10), lines(12, 12), loss(13, 11, 11, 1)), Finding{Missing: 3, From: 5, To: 7, First: 1, Last: 13}},
		{"the hole is longer than the loss", of(lines(1, 4), lines(9, 10), loss(11, 6, 7, 2)), Finding{Missing: 2, From: 5, To: 8, First: 1, Last: 11}},
		{"losses that overlap report too little", of(lines(1, 4), lines(9, 10), loss(11, 5, 7, 1), loss(12, 6, 8, 2)), Finding{Missing: 1, From: 5, To: 8, First: 1, Last: 12}},
		{"a loss that touches is no help", of(lines(1, 4), lines(9, 9), loss(10, 5, 6, 1), loss(11, 7, 8, 2)), Finding{Missing: 1, From: 5, To: 6, First: 1, Last: 11}},
		{"a loss that touches and reports too much is no help", of(lines(1, 4), lines(9, 9), loss(10, 5, 6, 1), loss(11, 7, 8, 3)), Finding{Missing: 1, From: 5, To: 6, Overreported: 1, First: 1, Last: 11}},
		{"the loss is lost", of(lines(1, 4), lines(8, 10), lines(12, 12)), Finding{Missing: 4, From: 5, To: 11, First: 1, Last: 12}},
		{"a part is missing", of(lines(1, 2), parts(3, 1, 2, 4), lines(7, 8)), Finding{Missing: 1, From: 5, To: 5, First: 1, Last: 8}},
		{"a loss reports what arrived", of(lines(1, 10), loss(11, 5, 7, 3)), Finding{Overreported: 3, First: 1, Last: 11}},
		{"a loss reports more than its range has", of(lines(1, 4), lines(8, 10), loss(11, 5, 7, 5)), Finding{Overreported: 2, First: 1, Last: 11}},
		{"two losses report the same", of(lines(1, 4), lines(8, 10), loss(11, 5, 7, 3), loss(12, 5, 7, 3)), Finding{Overreported: 3, First: 1, Last: 12}},
		{"a hole, and elsewhere a loss of what arrived", of(lines(1, 4), lines(8, 10), loss(11, 9, 10, 2)), Finding{Missing: 3, From: 5, To: 7, Overreported: 2, First: 1, Last: 11}},
		{"more is missing than is on disk", of(lines(1, 4), lines(9, 10), report(11, true, 3)), Finding{Missing: 1, Spooled: 3, From: 5, To: 8, First: 1, Last: 11, Ended: true}},
		{"the last of two final reports has nothing on disk", of(lines(1, 4), lines(8, 10), report(12, true, 0), report(11, true, 3)), Finding{Missing: 3, From: 5, To: 7, First: 1, Last: 12, Ended: true}},
		{"more came after the final report", of(lines(1, 4), lines(9, 10), report(11, true, 3), lines(12, 14)), Finding{Missing: 1, Spooled: 3, From: 5, To: 8, First: 1, Last: 14, Ended: true}},
		{"a report that is not final has it on disk", of(lines(1, 4), lines(8, 10), report(11, false, 3)), Finding{Missing: 3, From: 5, To: 7, First: 1, Last: 11}},
		{"what is on disk does not explain a loss of what arrived", of(lines(1, 10), loss(11, 5, 7, 3), report(12, true, 9)), Finding{Overreported: 3, First: 1, Last: 12, Ended: true}},
	}
}

// cut returns environments of which a window of time has only a part.
func cut() []testCase {
	return []testCase{
		{"the start is before the window", of(lines(50, 60), report(61, true, 0)), Finding{First: 50, Last: 61, Ended: true}},
		{"the start and the end are outside", lines(50, 60), Finding{First: 50, Last: 60}},
		{"one event is inside", lines(50, 50), Finding{First: 50, Last: 50}},
		{"a hole in the window", of(lines(50, 54), lines(57, 60)), Finding{Missing: 2, From: 55, To: 56, First: 50, Last: 60}},
		{"a loss of what was before the window", of(lines(50, 60), loss(61, 20, 30, 11)), Finding{First: 50, Last: 61}},
		{"a loss that reaches into the window", of(lines(50, 51), lines(54, 60), loss(61, 40, 53, 9)), Finding{First: 50, Last: 61}},
		{"a loss up to the first event", of(lines(50, 60), loss(61, 1, 49, 49)), Finding{First: 50, Last: 61}},
		{"a loss that reaches into the window reports too little", of(lines(50, 51), lines(54, 60), loss(61, 40, 53, 1)), Finding{Missing: 1, From: 52, To: 53, First: 50, Last: 61}},
		{"a loss that reaches into the window reports too much", of(lines(50, 51), lines(54, 60), loss(61, 40, 53, 13)), Finding{Overreported: 1, First: 50, Last: 61}},
		{"a loss of what was before the window reports too much", of(lines(50, 60), loss(61, 20, 30, 12)), Finding{Overreported: 1, First: 50, Last: 61}},
		{"losses overlap across the start", of(lines(50, 51), lines(54, 60), loss(61, 40, 49, 3), loss(62, 45, 53, 7)), Finding{First: 50, Last: 62}},
		{"the first event is a loss", of(loss(50, 44, 46, 3), lines(51, 60)), Finding{First: 50, Last: 60}},
		{"a loss that is not possible: of later numbers", of(lines(1, 5), loss(6, 8, 9, 2)), Finding{First: 1, Last: 6}},
		{"a loss that is not possible: too many later numbers", of(lines(1, 5), loss(6, 5, 9, 9)), Finding{Overreported: 6, First: 1, Last: 6}},
	}
}

// odd returns events that Kinetel does not write.
func odd() []testCase {
	invalid := func(body string) testCase {
		return testCase{"a loss that is " + body, of(lines(1, 4), lines(8, 10), own(11, record.TypeLoss, body)), Finding{Missing: 3, From: 5, To: 7, First: 1, Last: 11}}
	}
	return []testCase{
		invalid(`null`),
		invalid(`"what?"`),
		invalid(`"{\"firstSeq\":"`),
		invalid(`{}`),
		invalid(`[5,7,3]`),
		invalid(`{"firstSeq":7,"lastSeq":5,"count":3}`),
		invalid(`{"firstSeq":0,"lastSeq":7,"count":3}`),
		invalid(`{"firstSeq":-5,"lastSeq":7,"count":3}`),
		invalid(`{"firstSeq":5,"lastSeq":7,"count":0}`),
		invalid(`{"firstSeq":5,"lastSeq":7,"count":-3}`),
		invalid(`{"firstSeq":5,"lastSeq":7}`),
		invalid(`{"firstSeq":"five","lastSeq":7,"count":3}`),
		invalid(`{"firstSeq":{"firstSeq":5},"lastSeq":7,"count":3}`),
		{"a line that looks like a loss", of(lines(1, 4), lines(8, 10), own(11, record.TypeFunction, `{"firstSeq":5,"lastSeq":7,"count":3}`)), Finding{Missing: 3, From: 5, To: 7, First: 1, Last: 11}},
		{"a line that looks like a final report", of(lines(1, 10), own(11, record.TypeFunction, `{"final":true}`)), Finding{First: 1, Last: 11}},
		{"a line that looks like a final report, and a hole", of(lines(1, 4), lines(8, 10), own(11, record.TypeFunction, `{"final":true,"spooled":{"events":9}}`)), Finding{Missing: 3, From: 5, To: 7, First: 1, Last: 11}},
		{"a report that is text", of(lines(1, 10), own(11, record.TypeReport, `"final"`)), Finding{First: 1, Last: 11}},
		{"a line without a number", of(lines(0, 4), lines(6, 6)), Finding{Missing: 1, From: 5, To: 5, First: 1, Last: 6}},
		{"a number that no environment reaches", of(lines(1, 4), lines(1<<62, 1<<62)), Finding{Missing: 1<<62 - 5, From: 5, To: 1<<62 - 1, First: 1, Last: 1 << 62}},
		{"a loss of all numbers", of(lines(1, 4), lines(6, 6), loss(7, 1, 1<<63-1, 1)), Finding{First: 1, Last: 7}},
	}
}

// Strangers returns events of no environment. They must change no finding.
func Strangers() []record.Event {
	unnamed := event("", 1, record.TypeLoss, `{"firstSeq":1,"lastSeq":9,"count":9}`)
	bare := Line("", 7)
	bare.Resource = map[string]string{"cloud.region": "eu-west-1"}
	return []record.Event{unnamed, bare, {Schema: record.Schema, Seq: 9, TimeText: "2026-11-26T20:15:00Z", Type: "function", Body: json.RawMessage("null")}}
}
