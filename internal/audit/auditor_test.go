package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/audit"
	"github.com/kinetel/kinetel/record"
)

// reportOf returns the report of events that arrived.
func reportOf(t interface {
	Helper()
	Fatal(...any)
}, o audit.Options, arrived ...record.Event,
) audit.Report {
	t.Helper()
	a := audit.New(o)
	for _, e := range arrived {
		if err := a.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	return a.Report()
}

// lines are function lines with the given numbers.
func lines(environment string, numbers ...uint64) (events []record.Event) {
	for _, n := range numbers {
		events = append(events, line(environment, n, "text"))
	}
	return events
}

// finalReport is a complete kinetel.report.
func finalReport(environment string, seq uint64, final bool, spooled int) record.Event {
	body, err := json.Marshal(record.Report{
		Final: final, Lost: map[string]int64{}, Waiting: int64(spooled), Spooled: record.Volume{Events: int64(spooled)},
	})
	if err != nil {
		panic(err)
	}
	return own(environment, seq, "report", string(body))
}

func TestAnAuditorJudgesWhatArrived(t *testing.T) {
	type counts = audit.Counts
	with := func(events []record.Event, more ...record.Event) []record.Event { return append(events, more...) }
	lost := func(n uint64) map[string]uint64 { return map[string]uint64{"buffer-full": n} }
	for _, tt := range []struct {
		name     string
		options  audit.Options
		arrived  []record.Event
		want     counts
		life     string
		complete bool
	}{
		{"everything arrived", audit.Options{}, lines("e", 1, 2, 3), counts{Events: 3}, "no end", true},
		{"everything arrived, to the end", audit.Options{}, with(lines("e", 1, 2), finalReport("e", 3, true, 0)), counts{Events: 3}, "ended", true},
		{"a report that is not final is no end", audit.Options{}, with(lines("e", 1, 2), finalReport("e", 3, false, 0)), counts{Events: 3}, "no end", true},
		{"in any order, and twice", audit.Options{}, lines("e", 3, 1, 2, 3, 1, 3), counts{Events: 3, Duplicates: 3}, "no end", true},
		{"a hole", audit.Options{}, lines("e", 1, 2, 5), counts{Events: 3, Missing: 2, Unexplained: 2}, "no end", false},
		{"the first numbers are not there", audit.Options{}, lines("e", 3, 4), counts{Events: 2}, "starts before, no end", true},
		{"the first numbers are not there, of a whole input", audit.Options{Whole: true}, lines("e", 3, 4), counts{Events: 2, Missing: 2, Unexplained: 2}, "no end", false},
		{
			"a hole that is reported",
			audit.Options{},
			with(lines("e", 1, 4), loss("e", 5, 2, 3)),
			counts{Events: 3, Missing: 2, Explained: 2, Lost: lost(2)},
			"no end", true,
		},
		{
			"a loss that comes twice is one loss",
			audit.Options{},
			with(lines("e", 1, 4), some("e", 5, 2, 3, 1), some("e", 5, 2, 3, 1)),
			counts{Events: 3, Duplicates: 1, Missing: 2, Explained: 1, Unexplained: 1, Lost: lost(1)},
			"no end", false,
		},
		{
			"the first numbers are reported lost",
			audit.Options{},
			with(lines("e", 3), loss("e", 4, 1, 2)),
			counts{Events: 2, Lost: lost(2)},
			"no end", true,
		},
		{
			"a loss of numbers before the input says nothing about holes",
			audit.Options{},
			with(lines("e", 8, 10), some("e", 11, 1, 7, 3)),
			counts{Events: 3, Missing: 1, Unexplained: 1, Lost: lost(3)},
			"no end", false,
		},
		{
			"a loss that begins before the input",
			audit.Options{},
			with(lines("e", 8, 10), some("e", 11, 5, 9, 2)),
			counts{Events: 3, Missing: 1, Explained: 1, Lost: lost(2)},
			"starts before, no end", true,
		},
		{
			"fewer are reported than are missing",
			audit.Options{},
			with(lines("e", 1, 5), some("e", 6, 2, 4, 2)),
			counts{Events: 3, Missing: 3, Explained: 2, Unexplained: 1, Lost: lost(2)},
			"no end", false,
		},
		{
			"ranges that overlap are counted together",
			audit.Options{},
			with(lines("e", 1, 5), some("e", 6, 2, 4, 1), some("e", 7, 3, 4, 2)),
			counts{Events: 4, Missing: 3, Explained: 3, Lost: lost(3)},
			"no end", true,
		},
		{
			"ranges that only touch are not",
			audit.Options{},
			with(lines("e", 1, 5), some("e", 6, 2, 2, 1), some("e", 7, 3, 4, 1)),
			counts{Events: 4, Missing: 3, Explained: 2, Unexplained: 1, Lost: lost(2)},
			"no end", false,
		},
		{
			"what was reported lost arrived",
			audit.Options{},
			with(lines("e", 1, 2, 3), some("e", 4, 2, 3, 2)),
			counts{Events: 4, Overreported: 2, Lost: lost(2)},
			"no end", true,
		},
		{
			"one hole is reported twice, and another not at all",
			audit.Options{},
			with(lines("e", 1, 3, 5), loss("e", 6, 2, 2), loss("e", 7, 2, 2)),
			counts{Events: 5, Missing: 2, Explained: 1, Unexplained: 1, Overreported: 1, Lost: lost(2)},
			"no end", false,
		},
		{
			"a loss that cannot be read explains nothing",
			audit.Options{},
			with(lines("e", 1, 3), own("e", 4, "loss", `{"firstSeq":2}`)),
			counts{Events: 3, Missing: 1, Unexplained: 1, InvalidLosses: 1},
			"no end", false,
		},
		{
			"the final report has the missing ones on disk",
			audit.Options{},
			with(lines("e", 1, 4), finalReport("e", 5, true, 2)),
			counts{Events: 3, Missing: 2, Spooled: 2},
			"ended", true,
		},
		{
			"more are missing than the final report has on disk",
			audit.Options{},
			with(lines("e", 1, 5), finalReport("e", 6, true, 2)),
			counts{Events: 3, Missing: 3, Spooled: 2, Unexplained: 1},
			"ended", false,
		},
		{
			"of two final reports, the later one counts",
			audit.Options{},
			with(lines("e", 1, 4), finalReport("e", 6, true, 1), finalReport("e", 5, true, 2)),
			counts{Events: 4, Missing: 2, Spooled: 1, Unexplained: 1},
			"ended", false,
		},
		{
			"what was on disk arrived later",
			audit.Options{},
			with(lines("e", 1, 4), finalReport("e", 5, true, 2), line("e", 2, ""), line("e", 3, "")),
			counts{Events: 5},
			"ended", true,
		},
		{
			"an event lacks a part",
			audit.Options{},
			with(lines("e", 1), part("e", 2, 1, 3, "a"), part("e", 4, 3, 3, "c")),
			counts{Events: 3, Missing: 1, Unexplained: 1, IncompleteEvents: 1},
			"no end", false,
		},
		{
			"an event in parts, and parts that cannot be",
			audit.Options{},
			[]record.Event{part("e", 3, 2, 2, "b"), part("e", 1, 2, 2, "b"), part("e", 2, 1, 2, "a"), part("e", 2, 1, 2, "a"), part("e", 4, 0, 9, "")},
			counts{Events: 4, Duplicates: 1},
			"no end", true,
		},
		{
			"Lambda dropped logs",
			audit.Options{},
			with(lines("e", 1), dropped("e", 2, 5, 1000), dropped("e", 3, 6, 1), dropped("e", 2, 5, 1000)),
			counts{Events: 3, Duplicates: 1, LambdaDropped: audit.Dropped{Times: 2, Records: 11, Bytes: 1001}},
			"no end", true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := reportOf(t, tt.options, tt.arrived...)
			if tt.want.Lost == nil {
				tt.want.Lost = map[string]uint64{}
			}
			if diff := cmp.Diff(tt.want, got.Environments[0].Counts); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(got.Totals.Counts, got.Environments[0].Counts); diff != "" {
				t.Errorf("the totals of one environment are not its counts:\n%s", diff)
			}
			if got.Complete != tt.complete {
				t.Errorf("complete is %t, want %t", got.Complete, tt.complete)
			}
			if life := got.Environments[0].Life(); life != tt.life {
				t.Errorf("life is %q, want %q", life, tt.life)
			}
		})
	}
}

func dropped(environment string, seq uint64, records, bytes int) record.Event {
	e := line(environment, seq, "")
	e.Type = record.TypePlatformLogsDropped
	e.Body = fmt.Appendf(nil, `{"reason":"slow","droppedRecords":%d,"droppedBytes":%d}`, records, bytes)
	return e
}

// at gives an event a time, in seconds.
func at(second int, e record.Event) record.Event {
	e.Time = time.Date(2026, 11, 22, 20, 15, second, 0, time.UTC)
	return e
}

func TestTheEdgesOfAStreamAreNotJudged(t *testing.T) {
	straggler := []record.Event{at(1, line("e", 5, "")), at(10, line("e", 9, "")), at(20, line("e", 12, "")), at(50, line("e", 15, ""))}
	time := func(second int) time.Time { return at(second, record.Event{}).Time }
	for _, tt := range []struct {
		name    string
		options audit.Options
		more    []record.Event
		missing uint64
	}{
		{"without times everything is judged", audit.Options{}, nil, 3 + 2 + 2},
		{"others of the time of number 5 came before the input", audit.Options{From: time(5)}, nil, 2 + 2},
		{"numbers 13 and 14 may be on their way", audit.Options{From: time(5), Settled: time(40)}, nil, 2},
		{"the environment has ended", audit.Options{From: time(5), Settled: time(40)}, []record.Event{at(50, finalReport("e", 16, true, 0))}, 2 + 2},
		{"all is too young", audit.Options{Settled: time(0)}, nil, 0},
		{"all is too old", audit.Options{From: time(59)}, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := reportOf(t, tt.options, slices.Concat(straggler, tt.more)...)
			if got.Totals.Missing != tt.missing || got.Totals.Unexplained != tt.missing {
				t.Errorf("%s; want %d missing", got.Verdict(), tt.missing)
			}
		})
	}
}

func TestAReportOfAnInputThatGoesOnLeavesOutWhatMayBeOnItsWay(t *testing.T) {
	a := audit.New(audit.Options{})
	add := func(events ...record.Event) {
		t.Helper()
		for _, e := range events {
			if err := a.Add(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(at(1, line("e", 5, "")), at(10, line("e", 9, "")), at(20, line("e", 12, "")), at(50, line("e", 15, "")))
	for second, missing := range map[int]uint64{0: 0, 5: 0, 11: 3, 40: 3 + 2, 51: 3 + 2 + 2} {
		if got := a.ReportSettled(at(second, record.Event{}).Time); got.Totals.Unexplained != missing {
			t.Errorf("settled at %d s: %s; want %d missing", second, got.Verdict(), missing)
		}
	}
	add(at(50, finalReport("e", 16, true, 0)))
	for second, missing := range map[int]uint64{0: 0, 50: 3 + 2, 51: 3 + 2 + 2, 999: 3 + 2 + 2} {
		if got := a.ReportSettled(at(second, record.Event{}).Time); got.Totals.Unexplained != missing {
			t.Errorf("the environment has ended, settled at %d s: %s; want %d missing", second, got.Verdict(), missing)
		}
	}
}

func TestHolesAreListedWithTheirTime(t *testing.T) {
	got := reportOf(t, audit.Options{}, at(0, line("e", 1, "")), at(10, line("e", 11, "")), some("e", 12, 3, 7, 2)).Environments[0]
	want := []audit.Hole{
		{FirstSeq: 2, LastSeq: 2, Missing: 1, Time: at(1, record.Event{}).Time},
		{FirstSeq: 3, LastSeq: 7, Missing: 5, Reported: 2, Time: at(2, record.Event{}).Time},
		{FirstSeq: 8, LastSeq: 10, Missing: 3, Time: at(7, record.Event{}).Time},
	}
	if diff := cmp.Diff(want, got.Holes); diff != "" {
		t.Errorf("holes (-want +got):\n%s", diff)
	}
	many := audit.New(audit.Options{})
	for n := range uint64(1000) {
		if err := many.Add(line("e", 2*n+1, "")); err != nil {
			t.Fatal(err)
		}
	}
	if e := many.Report().Environments[0]; len(e.Holes) != 100 || e.HolesOmitted != 899 || e.Unexplained != 999 {
		t.Errorf("%d holes and %d omitted, of %d", len(e.Holes), e.HolesOmitted, e.Unexplained)
	}
}

// Whatever the order, an Auditor does about the same work for each event: four times the
// events allocate less than eight times the memory.
func TestWorkGrowsWithTheEventsInAnyOrder(t *testing.T) {
	shuffled := func(n int) uint64 {
		numbers := rand.New(rand.NewPCG(1, 2)).Perm(n)
		events := lines("e", 1)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		a := audit.New(audit.Options{Whole: true})
		for _, number := range numbers {
			events[0].Seq = uint64(number) + 1
			if err := a.Add(events[0]); err != nil {
				t.Fatal(err)
			}
		}
		r := a.Report()
		runtime.ReadMemStats(&after)
		if !r.Complete || r.Totals.Events != uint64(n) || r.Totals.Duplicates != 0 {
			t.Errorf("%d shuffled numbers: %s", n, r.Verdict())
		}
		return after.TotalAlloc - before.TotalAlloc
	}
	few, many := shuffled(25_000), shuffled(100_000)
	if many > 8*few {
		t.Errorf("%d bytes for 25,000 events, %d for 100,000", few, many)
	}
}

func TestAnAuditorRefusesMoreThanItsMemoryIsFor(t *testing.T) {
	const most = 10_000
	for name, event := range map[string]func(n int) record.Event{
		"environments": func(n int) record.Event { return line(fmt.Sprint(n), 1, "") },
		"holes":        func(n int) record.Event { return line("e", uint64(2*n+1), "") },
		"parts":        func(n int) record.Event { return part("e", uint64(5*n+1), 1, 5, "") },
		"losses":       func(n int) record.Event { return loss("e", uint64(n+1), 1, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			a := audit.New(audit.Options{})
			a.SetLimits(most, most)
			var err error
			n := 0
			for ; err == nil && n < 3*most; n++ {
				err = a.Add(event(n))
			}
			if !errors.Is(err, audit.ErrTooMuch) || n < most/4 {
				t.Errorf("after %d: %v", n, err)
			}
		})
	}
}

func TestEventsThatNoRuleCanJudgeAreCounted(t *testing.T) {
	a := audit.New(audit.Options{})
	for _, e := range []record.Event{line("e", 0, ""), line("", 1, ""), line(strings.Repeat("e", 1000), 1, ""), line("e", math.MaxUint64, ""), {}} {
		if err := a.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	a.AddUnreadable(errors.New("at byte 7: \x1b[31mnot JSON"))
	r := a.Report()
	if r.Unnumbered != 4 || r.Unreadable != 1 || r.Totals.Environments != 1 {
		t.Errorf("unnumbered %d, unreadable %d, environments %d", r.Unnumbered, r.Unreadable, r.Totals.Environments)
	}
	if verdict := r.Verdict(); !strings.HasSuffix(verdict, "; 1 unreadable record") {
		t.Errorf("the verdict is %q", verdict)
	}
	if want := []string{`at byte 7: \x1b[31mnot JSON`}; !slices.Equal(r.UnreadableExamples, want) {
		t.Errorf("examples %q, want %q", r.UnreadableExamples, want)
	}
}

func TestTheGreatestNumbersDoNotOverflow(t *testing.T) {
	r := reportOf(t, audit.Options{Whole: true},
		line("e", math.MaxUint64, ""), some("e", 5, 1, math.MaxUint64, math.MaxInt64), some("e", 6, math.MaxUint64, math.MaxUint64, math.MaxInt64),
		line("f", math.MaxUint64, ""), line("f", 1, ""))
	if r.Complete || r.Totals.Missing != math.MaxUint64 {
		t.Errorf("%s", r.Verdict())
	}
}

func TestTheTextEscapesNames(t *testing.T) {
	hostile := line("\x1b]0;title\a", 1, "")
	hostile.Resource["faas.name"] = "a\nb\u202e"
	hostile2 := hostile
	hostile2.Seq = 3
	var b strings.Builder
	r := reportOf(t, audit.Options{}, hostile, hostile2, own(hostile.InstanceID(), 4, "loss", `{"firstSeq":9,"lastSeq":9,"count":1,"bytes":1,"reason":"\u001b[31m"}`))
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"\x1b", "\a", "a\nb", "\u202e"} {
		if strings.Contains(b.String(), bad) {
			t.Errorf("the text contains %q:\n%s", bad, b.String())
		}
	}
	for _, want := range []string{`\x1b]0;title\a`, `a\nb`, "seq 2 missing"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, b.String())
		}
	}
}
