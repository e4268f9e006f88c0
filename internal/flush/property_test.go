package flush_test

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kinetel/kinetel/internal/flush"
)

// invocationsOf draws any history, even one that is impossible.
func invocationsOf(t *rapid.T) []flush.Invocation {
	moment := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.IntRange(0, 4).Draw(t, "unknown") == 0 {
			return time.Time{}
		}
		return noon.Add(time.Duration(rapid.Int64Range(-int64(time.Hour), int64(time.Hour)).Draw(t, "at")))
	})
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) flush.Invocation {
		return flush.Invocation{Arrived: moment.Draw(t, "arrived"), Done: moment.Draw(t, "done"), Freed: moment.Draw(t, "freed")}
	}), 0, 2*flush.Remember).Draw(t, "invocations")
}

// typical draws a history as the extension stores it.
func typical(t *rapid.T, least int) []flush.Invocation {
	n := rapid.IntRange(least, flush.Remember).Draw(t, "invocations")
	at := noon
	invocations := make([]flush.Invocation, n)
	span := rapid.Int64Range(0, int64(3*time.Second))
	for i := range invocations {
		v := &invocations[i]
		v.Arrived = at
		done := at.Add(time.Duration(span.Draw(t, "takes")))
		v.Freed = at
		if rapid.Bool().Draw(t, "held") {
			v.Freed = done.Add(time.Duration(span.Draw(t, "hold")))
		}
		if rapid.Bool().Draw(t, "known") {
			v.Done = done
		}
		at = done.Add(time.Duration(span.Draw(t, "gap")))
		if at.Before(v.Freed) {
			at = v.Freed
		}
	}
	return invocations
}

func situationOf(t *rapid.T) flush.Situation {
	return flush.Situation{
		Invocations:      invocationsOf(t),
		Left:             time.Duration(rapid.Int64Range(-int64(time.Second), int64(time.Hour)).Draw(t, "left")),
		Unavailable:      rapid.Bool().Draw(t, "unavailable"),
		TelemetryStalled: rapid.Bool().Draw(t, "no-telemetry"),
		Behind:           time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "behind")),
	}
}

func policyOf(t *rapid.T) flush.Policy {
	return flush.Policy{
		Mode:     rapid.SampledFrom([]flush.Mode{flush.ModeAdaptive, flush.ModeEnd, flush.ModeInterval}).Draw(t, "mode"),
		Interval: time.Duration(rapid.Int64Range(int64(100*ms), int64(15*time.Minute)).Draw(t, "interval")),
		MaxHold:  time.Duration(rapid.SampledFrom([]int64{0, 1, int64(flush.MinHold) - 1, int64(flush.MinHold), int64(time.Second)}).Draw(t, "max hold")),
	}
}

func TestLateIsAProbability(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		invocations := invocationsOf(t)
		soon := time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "soon"))
		if late := flush.Late(invocations, soon); !(late >= 0 && late <= 1) {
			t.Errorf("late: %g", late)
		}
	})
}

// A longer gap never decreases the estimate that the next one is late, and a longer
// soon never increases it.
func TestLateIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		invocations := typical(t, 2)
		soon := time.Duration(rapid.Int64Range(0, int64(2*time.Second)).Draw(t, "soon"))
		before := flush.Late(invocations, soon)

		if late := flush.Late(invocations, soon+time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "more"))); late > before {
			t.Errorf("with a longer soon %g, before %g", late, before)
		}

		longer := slices.Clone(invocations)
		by := time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "by"))
		for i := rapid.IntRange(1, len(invocations)-1).Draw(t, "gap before"); i < len(invocations); i++ {
			v := &longer[i]
			v.Arrived, v.Freed = v.Arrived.Add(by), v.Freed.Add(by)
			if !v.Done.IsZero() {
				v.Done = v.Done.Add(by)
			}
		}
		if late := flush.Late(longer, soon); late < before {
			t.Errorf("with a gap that is %s longer %g, before %g", by, late, before)
		}
	})
}

// Without the oldest invocations, an invocation is never released that would be held
// with them.
func TestForgettingNeverReleasesAnInvocation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		invocations := typical(t, flush.Remember)
		for i := range invocations { // otherwise the first one's duration is estimated from the forgotten ones
			if invocations[i].Done.IsZero() {
				invocations[i].Done = invocations[i].Arrived
			}
		}
		n := rapid.IntRange(1, len(invocations)-1).Draw(t, "forgotten")
		if all, last := flush.Late(invocations, flush.Soon), flush.Late(invocations[n:], flush.Soon); last < all {
			t.Errorf("%g, and without the first %d %g", all, n, last)
		}
	})
}

func TestInvocationsAreHeldOnlyForAReason(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, s := policyOf(t), situationOf(t)
		why := p.Decide(s)
		switch {
		case p.Mode == flush.ModeInterval, p.MaxHold < flush.MinHold, s.Unavailable, s.TelemetryStalled, s.Left <= 0:
			if why.Hold() {
				t.Errorf("held: %s", why)
			}
		case p.Mode == flush.ModeEnd, s.Behind > flush.OverdueAfter*p.Interval:
			if !why.Hold() {
				t.Errorf("not held: %s", why)
			}
		default:
			if late := flush.Late(s.Invocations, min(flush.Soon, p.Interval)); why.Hold() != (late > flush.MostLate) {
				t.Errorf("%s, with a chance of %g of being late", why, late)
			}
		}
	})
}

// A decision depends only on its arguments, does not change them, and does not depend
// on the absolute times.
func TestDecideIsAFunction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, s := policyOf(t), situationOf(t)
		if rapid.Bool().Draw(t, "typical") {
			s.Invocations = typical(t, 0)
		}
		given := slices.Clone(s.Invocations)
		first := p.Decide(s)
		if !reflect.DeepEqual(given, s.Invocations) {
			t.Error("it has changed what it was given")
		}
		p.Decide(situationOf(t))
		if again := p.Decide(s); again != first {
			t.Errorf("%s, and again %s", first, again)
		}

		by := time.Duration(rapid.Int64Range(-int64(time.Hour), int64(time.Hour)).Draw(t, "later"))
		moved := slices.Clone(s.Invocations)
		for i := range moved {
			for _, at := range []*time.Time{&moved[i].Arrived, &moved[i].Done, &moved[i].Freed} {
				if !at.IsZero() {
					*at = at.Add(by)
				}
			}
			if moved[i].Arrived.IsZero() || moved[i].Freed.IsZero() {
				return // the extension always knows these
			}
		}
		s.Invocations = moved
		if later := p.Decide(s); later != first {
			t.Errorf("%s, and %s later %s", first, by, later)
		}
	})
}
