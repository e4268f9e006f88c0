package lifecycle_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/flush"
)

func adaptive(cfg *config.Config) { cfg.Flush = flush.ModeAdaptive }

// few is how many invocations it may take to see that a function has become
// busy. Package flush has tests of the exact figures.
const few = 8

// wantReasons checks that the reasons begin with first, a few times, and that all
// others are then.
func wantReasons(t *testing.T, reasons []flush.Reason, first, then flush.Reason) {
	t.Helper()
	n := 0
	for n < len(reasons) && reasons[n] == first {
		n++
	}
	if n == 0 || n > few {
		t.Errorf("%d of the first are %s: %q", n, first, reasons)
	}
	if others := slices.DeleteFunc(slices.Clone(reasons[n:]), func(r flush.Reason) bool { return r == then }); len(others) > 0 || n == len(reasons) {
		t.Errorf("not all others are %s: %q", then, reasons)
	}
}

func TestAdaptiveReleasesABusyFunctionWithinAFewInvocations(t *testing.T) {
	for name, v := range map[string]invocation{
		"no gaps":                         {gap: time.Microsecond, takes: 20 * ms},
		"gaps of 100 ms":                  {gap: 100 * ms, takes: 20 * ms},
		"gaps of almost a second":         {gap: 990 * ms, takes: 2 * ms},
		"seconds each, gaps of ms":        {gap: 5 * ms, takes: 5 * time.Second},
		"minutes each, gaps of half a s":  {gap: 500 * ms, takes: 10 * time.Minute},
		"shorter than Lambda's buffering": {gap: ms, takes: ms},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.pipeline.flush = 10 * ms
				wantReasons(t, s.invokeAll(times(40, v)...), flush.Rare, flush.Busy)
			}, adaptive)
		})
	}
}

func TestAdaptiveHoldsAFunctionThatIsRarelyCalled(t *testing.T) {
	for name, v := range map[string]invocation{
		"gaps of more than a second": {gap: 1100 * ms, takes: 20 * ms},
		"once a minute":              {gap: time.Minute, takes: 20 * ms},
		"once an hour":               {gap: time.Hour, takes: 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.pipeline.flush = 10 * ms
				for i, why := range s.invokeAll(times(30, v)...) {
					if why != flush.Rare {
						t.Errorf("invocation %d: %s", i, why)
					}
				}
				if n := len(s.only("Flush")); n != 30 {
					t.Errorf("%d flushes", n)
				}
			}, adaptive)
		})
	}
}

// An unexpected gap causes one late delivery at most: the next invocation is held
// again.
func TestAdaptiveHoldsAgainAfterALateGap(t *testing.T) {
	for name, gap := range map[string]time.Duration{"of two seconds": 2 * time.Second, "of an hour": time.Hour} {
		t.Run(name, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.pipeline.flush = 10 * ms
				busy := invocation{gap: 20 * ms, takes: 20 * ms}
				reasons := s.invokeAll(slices.Concat(times(30, busy), []invocation{{gap, 20 * ms}}, times(30, busy))...)
				wantReasons(t, reasons[:30], flush.Rare, flush.Busy)
				wantReasons(t, reasons[30:], flush.Rare, flush.Busy)
				// The function counts as busy again after a few invocations of the new burst.
				if again := slices.Index(reasons[30:], flush.Busy); again > 4 {
					t.Errorf("it takes %d invocations after one late gap: %q", again, reasons[30:])
				}
			}, adaptive)
		})
	}
}

// While the extension itself holds the environment, that is no idle time.
func TestTimeInAHoldIsNotPartOfAGap(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.pipeline.flush = 2 * time.Second
		wantReasons(t, s.invokeAll(times(30, invocation{gap: 5 * ms, takes: 5 * ms})...), flush.Rare, flush.Busy)
	}, adaptive, func(cfg *config.Config) { cfg.MaxHold = 10 * time.Second })
}

// Lambda's telemetry of an invocation that is not held comes after the next one has
// begun. What is not known when that one arrives is known later.
func TestRuntimeDoneThatComesLaterCounts(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		reasons := s.invokeAll(slices.Concat(
			times(20, invocation{gap: 10 * ms, takes: 10 * ms}),
			// The duration of the first of these is estimated from the one before
			// it: for that one invocation the gap looks late, and then no more.
			times(20, invocation{gap: 10 * ms, takes: 3 * time.Second}),
		)...)
		wantReasons(t, reasons[:20], flush.Rare, flush.Busy)
		if n := len(slices.DeleteFunc(slices.Clone(reasons[20:]), func(r flush.Reason) bool { return r == flush.Busy })); n > 4 {
			t.Errorf("%d of 20 are held: %q", n, reasons[20:])
		}
		if tail := reasons[30:]; slices.Contains(tail, flush.Rare) {
			t.Errorf("they never become busy: %q", reasons)
		}
	}, adaptive)
}

func TestGapsCountByTheIntervalIfThatIsShorter(t *testing.T) {
	for gap, want := range map[time.Duration]flush.Reason{200 * ms: flush.Busy, 300 * ms: flush.Rare} {
		inFakeTime(t, func(s *fixture) {
			reasons := s.invokeAll(times(20, invocation{gap: gap, takes: 10 * ms})...)
			if last := reasons[len(reasons)-1]; last != want {
				t.Errorf("gaps of %s: %q", gap, reasons)
			}
		}, adaptive, func(cfg *config.Config) { cfg.FlushInterval = 250 * ms })
	}
}

func TestOverdueTelemetryHoldsOneInvocation(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.pipeline.flush = 10 * ms
		// What is held for gets through, and then it builds up again.
		s.pipeline.behind = func() time.Duration {
			if n := len(s.only("Released")); n == 20 || n == 30 {
				return 20*time.Second + time.Millisecond // two intervals, and more
			}
			return 20 * time.Second
		}
		reasons := s.invokeAll(times(40, invocation{gap: 100 * ms, takes: 2 * ms})...)
		wantReasons(t, slices.Concat(reasons[:20], reasons[21:30], reasons[31:]), flush.Rare, flush.Busy)
		if reasons[20] != flush.Overdue || reasons[30] != flush.Overdue {
			t.Errorf("the overdue ones are %s and %s", reasons[20], reasons[30])
		}
		held := slices.DeleteFunc(slices.Clone(reasons), func(r flush.Reason) bool { return !r.Hold() })
		if n := len(s.only("Flush")); n != len(held) {
			t.Errorf("%d flushes for %d that were held", n, len(held))
		}
	}, adaptive, func(cfg *config.Config) { cfg.FlushInterval = 10 * time.Second })
}

// The telemetry of a burst is sent soon, because the burst may be over before the
// interval is. The telemetry of a steady stream is sent at the interval.
func TestABurstIsSentSooner(t *testing.T) {
	for _, tt := range []struct {
		mode        flush.Mode
		sooner      time.Duration // in the first interval
		invocations []invocation
		because     string
	}{
		{flush.ModeAdaptive, time.Second, slices.Concat(times(150, invocation{gap: 80 * ms, takes: 20 * ms}), times(1, invocation{gap: time.Hour, takes: 20 * ms}), times(150, invocation{gap: 80 * ms, takes: 20 * ms})), "bursts"},
		{flush.ModeAdaptive, time.Second, times(20, invocation{gap: time.Minute, takes: 20 * ms}), "rare"},
		{flush.ModeEnd, 10 * time.Second, times(20, invocation{gap: 100 * ms, takes: 20 * ms}), "end"},
		{flush.ModeInterval, 10 * time.Second, times(20, invocation{gap: 100 * ms, takes: 20 * ms}), "interval"},
	} {
		t.Run(tt.because, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.invokeAll(tt.invocations...)
				got := s.only("Thawed")
				var began, before time.Duration
				for i, line := range got {
					at := s.instant(line)
					if i == 0 || at-before > 2*time.Second {
						began = at // a burst
					}
					before = at
					want := tt.sooner
					if at-began >= 10*time.Second {
						want = 10 * time.Second
					}
					if !strings.HasSuffix(line, " Thawed "+want.String()) {
						t.Fatalf("%q, in a burst since %s, want %s", line, began, want)
					}
				}
				if len(got) != len(tt.invocations) {
					t.Errorf("%d of %d have looked for old telemetry", len(got), len(tt.invocations))
				}
			}, func(cfg *config.Config) { cfg.Flush, cfg.FlushInterval = tt.mode, 10*time.Second })
		})
	}
}

// An invocation that is not held is released in the instant that it begins.
func TestBusyInvocationsAreReleasedAtOnce(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.pipeline.flush = forever // and MaxHold is 500 ms
		reasons := s.invokeAll(times(20, invocation{gap: 100 * ms, takes: 400 * ms})...)
		next := s.only("next")
		var began time.Duration
		for i, why := range reasons {
			began = max(s.instant(next[i]), began) + 100*ms
			released := s.instant(next[i+1])
			want := began + 400*ms + 500*ms
			if !why.Hold() {
				want = began
			}
			if released != want {
				t.Errorf("invocation %d, %s, begins at %s and is released at %s, want %s", i, why, began, released, want)
			}
			began += 400 * ms // until its runtime is done
		}
		if !slices.Contains(reasons, flush.Busy) || !slices.Contains(reasons, flush.Rare) {
			t.Errorf("%q", reasons)
		}
	}, adaptive)
}
