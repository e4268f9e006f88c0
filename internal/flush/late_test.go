package flush_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/flush"
)

const ms = time.Millisecond

var noon = time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC)

// series returns a history of invocations that took so long each and were released at
// once, with gaps between them, the oldest first. The end of the last one is not known
// yet.
func series(takes time.Duration, gaps ...time.Duration) []flush.Invocation {
	at := noon
	var invocations []flush.Invocation
	for _, gap := range gaps {
		invocations = append(invocations, flush.Invocation{Arrived: at, Done: at.Add(takes), Freed: at})
		at = at.Add(takes + gap)
	}
	return append(invocations, flush.Invocation{Arrived: at})
}

func repeat(gap time.Duration, n int) []time.Duration {
	return slices.Repeat([]time.Duration{gap}, n)
}

// weight returns what remains of an estimate after so many gaps.
func weight(gaps int) float64 { return math.Pow(1-flush.Forget, float64(gaps)) }

func wantLate(t *testing.T, invocations []flush.Invocation, want float64) {
	t.Helper()
	if got := flush.Late(invocations, time.Second); math.Abs(got-want) > 1e-9 {
		t.Errorf("late: %.6f, want %.6f", got, want)
	}
}

func TestLate(t *testing.T) {
	const soon, late = 10 * ms, time.Minute
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	tests := []struct {
		name        string
		invocations []flush.Invocation
		want        float64
	}{
		{"nothing known", nil, 1},
		{"one invocation", series(0), 1},
		{"one that is done has no gap yet", []flush.Invocation{{Arrived: noon, Done: noon, Freed: noon}}, 1},
		{"the second comes soon", series(0, soon), weight(1)},
		{"the second comes late", series(0, late), 1},
		{"the third comes late", series(0, soon, late), weight(2) + flush.Forget},
		{"the third comes soon again", series(0, late, soon), weight(1)},
		{"exactly in time", series(0, time.Second), weight(1)},
		{"just too late", series(0, time.Second+1), 1},
		{"it took long, and the next one came at once", series(time.Hour, soon), weight(1)},
		{
			"the duration of the first one is unknown: it took no time",
			[]flush.Invocation{{Arrived: noon, Freed: noon}, {Arrived: at(2 * time.Second)}},
			1,
		},
		{
			"the duration of the second one is unknown: as long as the first",
			[]flush.Invocation{
				{Arrived: noon, Done: at(5 * time.Second), Freed: noon},
				{Arrived: at(6 * time.Second), Freed: at(6 * time.Second)},
				{Arrived: at(11500 * ms)},
			},
			weight(2),
		},
		{
			"and the third: as the one that was known last",
			[]flush.Invocation{
				{Arrived: noon, Done: at(time.Hour), Freed: noon},
				{Arrived: at(time.Hour), Done: at(time.Hour + 10*ms), Freed: at(time.Hour)},
				{Arrived: at(time.Hour + 20*ms), Freed: at(time.Hour + 20*ms)},
				{Arrived: at(time.Hour + 5*time.Second)},
			},
			weight(3) + flush.Forget,
		},
		{
			"a hold is not idle",
			[]flush.Invocation{{Arrived: noon, Done: at(10 * ms), Freed: at(510 * ms)}, {Arrived: at(1500 * ms)}},
			weight(1),
		},
		{
			"without the hold it would have been",
			[]flush.Invocation{{Arrived: noon, Done: at(10 * ms), Freed: noon}, {Arrived: at(1500 * ms)}},
			1,
		},
		{
			"it was released before its runtime was done",
			[]flush.Invocation{{Arrived: noon, Done: at(900 * ms), Freed: at(600 * ms)}, {Arrived: at(1800 * ms)}},
			weight(1),
		},
		{
			"the clock was set back in a gap",
			[]flush.Invocation{{Arrived: noon, Done: at(10 * ms), Freed: noon}, {Arrived: at(-time.Hour)}},
			weight(1),
		},
		{
			"the clock was set forward in a gap",
			[]flush.Invocation{{Arrived: noon, Done: at(10 * ms), Freed: noon}, {Arrived: at(time.Hour)}},
			1,
		},
		{
			"the clock was set back while an invocation ran",
			[]flush.Invocation{{Arrived: noon, Done: at(-time.Hour), Freed: noon}, {Arrived: at(-time.Hour + soon)}},
			weight(1),
		},
		{
			"and the one after it did not take less than no time",
			[]flush.Invocation{
				{Arrived: noon, Done: at(-time.Hour), Freed: noon},
				{Arrived: at(-time.Hour + soon)},
				{Arrived: at(-time.Hour + 2*soon)},
			},
			weight(2),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { wantLate(t, tt.invocations, tt.want) })
	}
}

func TestLastGap(t *testing.T) {
	at := func(d time.Duration) time.Time { return noon.Add(d) }
	tests := []struct {
		name        string
		invocations []flush.Invocation
		want        time.Duration
		none        bool
	}{
		{name: "nothing known", none: true},
		{name: "one invocation", invocations: series(0), none: true},
		{name: "two", invocations: series(time.Second, 10*ms), want: 10 * ms},
		{name: "three", invocations: series(time.Second, 10*ms, time.Hour), want: time.Hour},
		{
			name: "a hold is not idle",
			invocations: []flush.Invocation{
				{Arrived: noon, Done: at(10 * ms), Freed: at(500 * ms)},
				{Arrived: at(800 * ms)},
			},
			want: 300 * ms,
		},
		{
			name: "the duration of the last one is unknown: as long as the one before",
			invocations: []flush.Invocation{
				{Arrived: noon, Done: at(5 * time.Second), Freed: noon},
				{Arrived: at(6 * time.Second), Freed: at(6 * time.Second)},
				{Arrived: at(11500 * ms)},
			},
			want: 500 * ms,
		},
		{
			name:        "the clock was set back",
			invocations: []flush.Invocation{{Arrived: noon, Done: at(10 * ms), Freed: noon}, {Arrived: at(-time.Hour)}},
			want:        -time.Hour - 10*ms,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, ok := flush.LastGap(tt.invocations); got != tt.want || ok == tt.none {
				t.Errorf("%s, known: %t; want %s, %t", got, ok, tt.want, !tt.none)
			}
		})
	}
}

// The end of the last invocation is not known when it begins, nor is the gap after it:
// its Done and Freed are ignored.
func TestTheLastInvocationHasNoGap(t *testing.T) {
	invocations := series(0, 10*ms, 10*ms)
	want := flush.Late(invocations, time.Second)
	invocations[2].Done, invocations[2].Freed = noon.Add(time.Hour), noon.Add(2*time.Hour)
	wantLate(t, invocations, want)
}

// The monotonic clock may stand still while the environment is frozen, so times come
// without its reading. A gap is the same if the times are of different zones, as
// Lambda's are.
func TestGapsAreByTheWallClock(t *testing.T) {
	now := time.Now()
	invocations := []flush.Invocation{
		{Arrived: now, Done: now.Round(0).UTC(), Freed: now},
		{Arrived: now.Round(0).In(time.FixedZone("", 3600)).Add(1500 * ms)},
	}
	wantLate(t, invocations, 1)
	invocations[1].Arrived = now.Round(0).Add(900 * ms)
	wantLate(t, invocations, weight(1))
}

// holds returns which invocations of a history are held, if the extension knows only
// the last flush.Remember ones.
func holds(invocations []flush.Invocation) []int {
	var held []int
	for i := range invocations {
		known := slices.Clone(invocations[max(0, i+1-flush.Remember) : i+1])
		if usual().Decide(free(known)).Hold() {
			held = append(held, i)
		}
	}
	return held
}

func upTo(n int) (all []int) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

// shift returns a list of invocation numbers, each increased by so many.
func shift(list []int, by int) (shifted []int) {
	for _, n := range list {
		shifted = append(shifted, n+by)
	}
	return shifted
}

func TestWhichInvocationsAreHeld(t *testing.T) {
	const soon = 20 * ms
	gaps := slices.Concat[[]time.Duration]
	tests := []struct {
		name  string
		takes time.Duration
		gaps  []time.Duration
		want  []int
	}{
		{"a cold start that becomes busy", 10 * ms, repeat(soon, 40), upTo(6)},
		{"rare", 10 * ms, repeat(time.Hour, 40), upTo(41)},
		{"seconds of work, and hardly a gap", 5 * time.Second, repeat(2*ms, 40), upTo(6)},
		{"seconds of work, and seconds between", 5 * time.Second, repeat(2*time.Second, 40), upTo(41)},
		{
			"one late gap in a busy stream", 10 * ms,
			gaps(repeat(soon, 29), repeat(2*time.Second, 1), repeat(soon, 20)),
			append(upTo(6), 30, 31, 32),
		},
		{
			"an idle hour is one late gap", 10 * ms,
			gaps(repeat(soon, 29), repeat(time.Hour, 1), repeat(soon, 20)),
			append(upTo(6), 30, 31, 32),
		},
		{
			"two late gaps in a row", 10 * ms,
			gaps(repeat(soon, 29), repeat(time.Minute, 2), repeat(soon, 20)),
			append(upTo(6), 30, 31, 32, 33, 34, 35),
		},
		{
			"rare for long, and then a burst", 10 * ms,
			gaps(repeat(time.Hour, 30), repeat(soon, 20)),
			upTo(30 + 6),
		},
		{
			"busy for long, and then rare", 10 * ms,
			gaps(repeat(soon, 29), repeat(time.Hour, 20)),
			append(upTo(6), shift(upTo(20), 30)...),
		},
		{
			"every tenth gap is late", 10 * ms,
			gaps(repeat(soon, 9), repeat(time.Minute, 1), repeat(soon, 9), repeat(time.Minute, 1), repeat(soon, 9)),
			append(upTo(6), 10, 11, 12, 20, 21, 22),
		},
		{
			"every fourth gap is late", 10 * ms,
			gaps(repeat(soon, 3), repeat(time.Minute, 1), repeat(soon, 3), repeat(time.Minute, 1), repeat(soon, 3)),
			upTo(12),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := holds(series(tt.takes, tt.gaps...)); !slices.Equal(got, tt.want) {
				t.Errorf("held %v, want %v", got, tt.want)
			}
		})
	}
}

// A provisioned environment may wait for hours until it is called: there is no
// gap before the first invocation, and so it is the same as a cold start.
func TestTimeBeforeTheFirstInvocationDoesNotCount(t *testing.T) {
	early, late := series(10*ms, repeat(20*ms, 9)...), series(10*ms, repeat(20*ms, 9)...)
	for i := range late {
		v := &late[i]
		v.Arrived, v.Freed = v.Arrived.Add(8*time.Hour), v.Freed.Add(8*time.Hour)
		if !v.Done.IsZero() {
			v.Done = v.Done.Add(8 * time.Hour)
		}
	}
	if got, want := holds(late), holds(early); !slices.Equal(got, want) || !slices.Equal(got, upTo(6)) {
		t.Errorf("held %v, and early %v; want %v", got, want, upTo(6))
	}
}

// Without the earlier invocations the estimate is larger, by no more than Remember's
// comment says, and changes the decision as rarely as it says. The test tries all
// patterns of gaps; before them there are only late gaps in one case, and only timely
// ones in the other.
func TestForgottenInvocationsRarelyChangeTheDecision(t *testing.T) {
	const gaps = flush.Remember - 1
	rest := weight(gaps)
	if rest > 0.0016 {
		t.Errorf("%.5f is left of what was forgotten", rest)
	}
	before := series(0, repeat(10*ms, 100)...)
	differ, leastLate := 0, gaps
	for pattern := range 1 << gaps {
		known := make([]time.Duration, gaps)
		late := 0
		for i := range known {
			known[i] = 10 * ms
			if pattern>>i&1 == 1 {
				known[i] = time.Minute
				late++
			}
		}
		short := series(0, known...)
		move := before[len(before)-1].Arrived.Sub(noon)
		long := slices.Clone(before[:len(before)-1])
		for _, v := range short {
			v.Arrived = v.Arrived.Add(move)
			if !v.Done.IsZero() {
				v.Done, v.Freed = v.Done.Add(move), v.Freed.Add(move)
			}
			long = append(long, v)
		}
		estimate, full := flush.Late(short, time.Second), flush.Late(long, time.Second)
		if estimate < full || estimate > full+rest+1e-9 {
			t.Fatalf("pattern %b: %.6f, and with everything that was before %.6f", pattern, estimate, full)
		}
		if (estimate > flush.MostLate) != (full > flush.MostLate) {
			differ++
			leastLate = min(leastLate, late)
		}
	}
	if differ != 26 || leastLate != 2 {
		t.Errorf("%d of %d patterns are decided by what was forgotten, with %d late gaps or more; Remember's comment has 26 and 2", differ, 1<<gaps, leastLate)
	}
}
