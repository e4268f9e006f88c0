package record_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/jsontext"
	"github.com/kinetel/kinetel/record"
)

func TestJoiner(t *testing.T) {
	type events = []record.Event
	for _, tt := range []struct {
		name            string
		in              events
		ready, leftOver events
	}{
		{"nothing", nil, nil, nil},
		{"whole ones", events{whole("e", 1, `"a"`), whole("f", 1, `"b"`)}, events{whole("e", 1, `"a"`), whole("f", 1, `"b"`)}, nil},
		{
			"the event comes at its last part",
			events{part("e", 6, 3, 3, `"3\""`), whole("e", 7, `"x"`), part("e", 4, 1, 3, `"\"1"`), whole("f", 4, `"y"`), part("e", 5, 2, 3, `"2"`), whole("f", 5, `"z"`)},
			events{whole("e", 7, `"x"`), whole("f", 4, `"y"`), whole("e", 4, `"123"`), whole("f", 5, `"z"`)},
			nil,
		},
		{
			"the first copy counts",
			events{part("e", 1, 1, 2, `"a"`), part("e", 1, 1, 2, `"b"`), part("e", 2, 2, 2, `"c"`)},
			events{whole("e", 1, `ac`)},
			nil,
		},
		{
			"parts are missing, of two events",
			events{part("e", 4, 1, 3, `"1"`), part("f", 9, 1, math.MaxInt, `"x"`), part("e", 6, 3, 3, `"3"`)},
			nil,
			events{part("e", 4, 1, 3, `"1"`), part("e", 6, 3, 3, `"3"`), part("f", 9, 1, math.MaxInt, `"x"`)},
		},
		{
			"bodies that are no strings come back",
			events{part("e", 4, 1, 2, `{}`), part("e", 5, 2, 2, `"2"`)},
			events{part("e", 4, 1, 2, `{}`), part("e", 5, 2, 2, `"2"`)},
			nil,
		},
		{"numbers that cannot be", events{part("e", 1, 2, 2, `"2"`), part("e", 9, 3, 2, `"2"`)}, events{part("e", 1, 2, 2, `"2"`), part("e", 9, 3, 2, `"2"`)}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var j record.Joiner
			var ready events
			for _, e := range tt.in {
				ready = append(ready, j.Add(e)...)
			}
			if diff := cmp.Diff(tt.ready, ready); diff != "" {
				t.Errorf("ready (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.leftOver, j.Flush()); diff != "" {
				t.Errorf("left over (-want +got):\n%s", diff)
			}
			if again := j.Flush(); again != nil {
				t.Errorf("left over again: %v", again)
			}
		})
	}
}

// Whatever the order, a Joiner joins what Join joins, and forgets nothing.
func TestJoinerJoinsWhatJoinJoins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var parts []record.Event
		for n := range rapid.IntRange(0, 6).Draw(t, "events") {
			of := rapid.IntRange(0, 4).Draw(t, "parts")
			if of == 0 {
				parts = append(parts, whole("e", uint64(10*n+1), `"w"`))
			}
			for i := range of {
				if rapid.IntRange(0, 5).Draw(t, "missing") > 0 {
					parts = append(parts, part("e", uint64(10*n+i+1), i+1, of, string(jsontext.AppendQuote(nil, fmt.Sprint(n, i)))))
				}
			}
		}
		parts = rapid.Permutation(parts).Draw(t, "order")
		var j record.Joiner
		var got []record.Event
		for _, e := range parts {
			got = append(got, j.Add(e)...)
		}
		got = append(got, j.Flush()...)
		byKey := func(all []record.Event) map[record.Key]record.Event {
			m := map[record.Key]record.Event{}
			for _, e := range all {
				m[e.Key()] = e
			}
			return m
		}
		want := record.Join(parts)
		if diff := cmp.Diff(byKey(want), byKey(got)); diff != "" || len(want) != len(got) {
			t.Fatalf("%d events, want %d (-want +got):\n%s", len(got), len(want), diff)
		}
	})
}

// A Joiner gives back what has waited longest, and keeps the rest.
func TestJoinerIsBounded(t *testing.T) {
	const limit = 1 << 20
	j := record.Joiner{MaxBytes: limit}
	big := `"` + strings.Repeat("a", 10_000) + `"`
	back, kept := 0, 0
	for i := range 1000 {
		ready := j.Add(part("e", uint64(2*i+1), 1, 2, big))
		for _, e := range ready {
			if e.Parts != 2 || e.Seq != uint64(2*back+1) {
				t.Fatalf("after %d parts it gives back seq %d, %d parts", i, e.Seq, e.Parts)
			}
			back++
		}
		if kept = i + 1 - back; kept*len(big) > limit {
			t.Fatalf("it keeps %d parts", kept)
		}
	}
	if kept < limit/len(big)*9/10 || back == 0 {
		t.Errorf("it keeps only %d of %d parts", kept, kept+back)
	}
	if ready := j.Add(part("e", 2000, 2, 2, big)); len(ready) != 1 || ready[0].Parts != 0 || ready[0].Seq != 1999 {
		t.Errorf("the last event gives %d", len(ready))
	}
	if rest := j.Flush(); len(rest) != kept-1 {
		t.Errorf("%d parts remain, want %d", len(rest), kept-1)
	}
	// What is not in the body counts, too.
	j = record.Joiner{MaxBytes: limit}
	for i := range 100 {
		e := part("e", uint64(2*i+1), 1, 2, `""`)
		e.Type = strings.Repeat("t", limit/10)
		back = len(j.Add(e))
	}
	if back != 1 || len(j.Flush()) > 10 {
		t.Errorf("it gives back %d", back)
	}
}
