package main

import (
	"slices"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{{[]float64{7}, 7}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		before := slices.Clone(test.values)
		if got := median(test.values); got != test.want {
			t.Errorf("the median of %v is %v, want %v", test.values, got, test.want)
		}
		if !slices.Equal(test.values, before) {
			t.Errorf("median changed the order of the pairs: %v", test.values)
		}
	}
}

// The machine became ten times slower after the first pair: the medians of both programs
// are from different times, and only the pairs say what is true.
func TestRatioIsOfPairs(t *testing.T) {
	var r results
	r.add(floor, "f", "ms", 1, 10, 10)
	r.add(own, "f", "ms", 2, 1.00004, 20)
	s := r.find("f")
	if got, paired := s.ratio(); got != 2 || !paired {
		t.Errorf("ratio %v, %v", got, paired)
	}
	if s.Values[own][1] != 1 {
		t.Errorf("%v has more than four digits after the point", s.Values[own][1])
	}
	r.add(own, "own", "ms", 1)
	r.add(own, "zero", "ms", 1)
	r.add(floor, "zero", "ms", 0)
	for _, figure := range []string{"own", "zero"} {
		if got, paired := r.find(figure).ratio(); paired {
			t.Errorf("%s has the ratio %v", figure, got)
		}
	}
	if r.find("other") != nil {
		t.Error("there is a figure that was not added")
	}
}

func TestOneRunThatLosesEventsIsEnough(t *testing.T) {
	var r results
	r.add(own, "lost", events, 0, 7, 0)
	s := r.find("lost")
	if got := s.value(own); got != 7 {
		t.Errorf("%v events are lost, want 7", got)
	}
	if got := atMost(0).verdict(s); got != "no" {
		t.Errorf("the goal to lose none is met: %q", got)
	}
	r.add(own, "time", "s", 0, 7, 0)
	if got := r.find("time").value(own); got != 0 {
		t.Errorf("the time is %v, want the median, 0", got)
	}
}

func TestGoals(t *testing.T) {
	for _, test := range []struct {
		goal       goal
		floor, own float64
		text, want string
	}{
		{goal{}, 1, 2, "", ""},
		{atMost(5), 1, 5, "≤ 5 s", "yes"},
		{atMost(5), 1, 4.9, "≤ 5 s", "yes"},
		{atMost(5), 1, 6, "≤ 5 s", "no, 20 % more"},
		{atMost(0), 1, 0, "0 s", "yes"},
		{atMost(0), 1, 3, "0 s", "no"},
		{atLeast(80), 1, 80, "≥ 80 s", "yes"},
		{atLeast(80), 1, 90, "≥ 80 s", "yes"},
		{atLeast(80), 1, 60, "≥ 80 s", "no, 25 % less"},
		{atMostRatio(1.25), 2, 2.4, "≤ 1.25 x", "yes"},
		{atMostRatio(1.25), 2, 3, "≤ 1.25 x", "no, 20 % more"},
		{atMostRatio(1.25), 0, 3, "≤ 1.25 x", "not measured"},
		{atMost(outageBound / 1e6), 1, 32, "≤ 32.8 s", "yes"},
	} {
		s := &series{Unit: "s", Values: [2][]float64{{test.floor}, {test.own}}}
		if got := test.goal.text(s.Unit); got != test.text {
			t.Errorf("the goal %+v is written %q, want %q", test.goal, got, test.text)
		}
		if got := test.goal.verdict(s); got != test.want {
			t.Errorf("%v and %v with the goal %s: %q, want %q", test.floor, test.own, test.text, got, test.want)
		}
	}
}

func TestNumbersAreWrittenShort(t *testing.T) {
	for v, want := range map[float64]string{0: "0.00", 0.456: "0.46", -1.5: "-1.50", 9.994: "9.99", 9.996: "10.0", 99.94: "99.9", 99.96: "100", 1234.5: "1234"} {
		if got := number(v); got != want {
			t.Errorf("%v is written %q, want %q", v, got, want)
		}
	}
	if got := amount(74000, "events"); got != "74000" {
		t.Errorf("events are written %q", got)
	}
	if got := amount(1.5, "MB"); got != "1.50 MB" {
		t.Errorf("an amount is written %q", got)
	}
}

func TestTableLeavesOutWhatWasNotMeasured(t *testing.T) {
	p := part{name: "p", title: "A part", rows: []row{{"one", "one", atMost(1)}, {"two", "two", goal{}}, {"three", "three", atMost(1)}}}
	r := results{Programs: [2]string{"bare", "Kinetel"}}
	r.add(own, "one", "s", 2)
	r.add(own, "two", "s", 3)
	want := func(wanted string) {
		t.Helper()
		var got []string
		for _, line := range p.table(&r) {
			got = append(got, strings.Join(line, ","))
		}
		if strings.Join(got, "\n") != wanted {
			t.Errorf("table:\n%s\nwant:\n%s", strings.Join(got, "\n"), wanted)
		}
	}
	want("figure,Kinetel,goal,met\none,2.00 s,≤ 1 s,no, 100 % more\ntwo,3.00 s,,")
	r.add(floor, "two", "s", 2)
	want("figure,bare,Kinetel,ratio,goal,met\none,,2.00 s,,≤ 1 s,no, 100 % more\ntwo,2.00 s,3.00 s,1.50,,")
	r.Revision, r.Programs = "main", [2]string{"main", "new"} // goals are against the floor
	want("figure,main,new,ratio\none,,2.00 s,\ntwo,2.00 s,3.00 s,1.50")
	var text strings.Builder
	if err := p.print(&text, &r); err != nil || !strings.HasPrefix(text.String(), "\nA part\n\n") || !strings.Contains(text.String(), "3.00 s   1.50") {
		t.Errorf("printed:\n%s%v", text.String(), err)
	}
}
