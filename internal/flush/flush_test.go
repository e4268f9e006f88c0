package flush_test

import (
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/flush"
)

// usual returns the default policy.
func usual() flush.Policy {
	return flush.Policy{Mode: flush.ModeAdaptive, Interval: 10 * time.Second, MaxHold: 500 * time.Millisecond}
}

// free returns a situation in which nothing prevents a hold.
func free(invocations []flush.Invocation) flush.Situation {
	return flush.Situation{Invocations: invocations, Left: time.Second}
}

// busy returns the history of a function that is called all the time.
func busy() []flush.Invocation { return series(50*ms, repeat(10*ms, flush.Remember-1)...) }

// rare returns the history of a function that is hardly ever called.
func rare() []flush.Invocation { return series(50*ms, repeat(time.Hour, flush.Remember-1)...) }

func TestDecideReturnsTheReason(t *testing.T) {
	tests := []struct {
		name        string
		policy      func(*flush.Policy)
		given       func(*flush.Situation)
		invocations []flush.Invocation
		want        flush.Reason
		hold        bool
	}{
		{name: "the first invocation", invocations: series(0), want: flush.Rare, hold: true},
		{name: "no invocation at all", want: flush.Rare, hold: true},
		{name: "rare", invocations: rare(), want: flush.Rare, hold: true},
		{name: "busy", invocations: busy(), want: flush.Busy},
		{
			name: "busy and overdue", invocations: busy(), want: flush.Overdue, hold: true,
			given: func(s *flush.Situation) { s.Behind = 20*time.Second + 1 },
		},
		{
			name: "busy and just not overdue", invocations: busy(), want: flush.Busy,
			given: func(s *flush.Situation) { s.Behind = 20 * time.Second },
		},
		{
			name: "overdue by an interval of its own", invocations: busy(), want: flush.Overdue, hold: true,
			policy: func(p *flush.Policy) { p.Interval = time.Second },
			given:  func(s *flush.Situation) { s.Behind = 2*time.Second + 1 },
		},
		{
			name: "end, though busy", invocations: busy(), want: flush.End, hold: true,
			policy: func(p *flush.Policy) { p.Mode = flush.ModeEnd },
		},
		{
			name: "interval, though rare and overdue", invocations: rare(), want: flush.Interval,
			policy: func(p *flush.Policy) { p.Mode = flush.ModeInterval },
			given:  func(s *flush.Situation) { s.Behind = time.Hour },
		},
		{
			name: "the shortest hold", invocations: rare(), want: flush.Rare, hold: true,
			policy: func(p *flush.Policy) { p.MaxHold = flush.MinHold },
		},
		{
			name: "too short a hold", invocations: rare(), want: flush.NoHold,
			policy: func(p *flush.Policy) { p.MaxHold = flush.MinHold - 1 },
		},
		{
			name: "no hold", invocations: rare(), want: flush.NoHold,
			policy: func(p *flush.Policy) { p.MaxHold = 0 },
		},
		{
			name: "no hold, though end", invocations: rare(), want: flush.NoHold,
			policy: func(p *flush.Policy) { p.Mode, p.MaxHold = flush.ModeEnd, 0 },
		},
		{
			name: "Kinesis is away", invocations: rare(), want: flush.Unavailable,
			given: func(s *flush.Situation) { s.Unavailable = true },
		},
		{
			name: "Kinesis is away, and so it is overdue", invocations: busy(), want: flush.Unavailable,
			given: func(s *flush.Situation) { s.Unavailable, s.Behind = true, time.Hour },
		},
		{
			name: "Kinesis is away, at the end", invocations: rare(), want: flush.Unavailable,
			policy: func(p *flush.Policy) { p.Mode = flush.ModeEnd },
			given:  func(s *flush.Situation) { s.Unavailable = true },
		},
		{
			name: "no telemetry comes", invocations: rare(), want: flush.TelemetryStalled,
			given: func(s *flush.Situation) { s.TelemetryStalled = true },
		},
		{
			name: "no telemetry comes, with KINETEL_FLUSH=end", invocations: rare(), want: flush.TelemetryStalled,
			policy: func(p *flush.Policy) { p.Mode = flush.ModeEnd },
			given:  func(s *flush.Situation) { s.TelemetryStalled = true },
		},
		{
			name: "no time", invocations: rare(), want: flush.NoTime,
			given: func(s *flush.Situation) { s.Left = 0 },
		},
		{
			name: "less than no time, at the end", invocations: rare(), want: flush.NoTime,
			policy: func(p *flush.Policy) { p.Mode = flush.ModeEnd },
			given:  func(s *flush.Situation) { s.Left = -time.Second },
		},
		{
			name: "hardly any time", invocations: rare(), want: flush.Rare, hold: true,
			given: func(s *flush.Situation) { s.Left = 1 },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, s := usual(), free(tt.invocations)
			if tt.policy != nil {
				tt.policy(&p)
			}
			if tt.given != nil {
				tt.given(&s)
			}
			got := p.Decide(s)
			if got != tt.want || got.Hold() != tt.hold {
				t.Errorf("%s, held: %t; want %s, %t", got, got.Hold(), tt.want, tt.hold)
			}
		})
	}
}

// If there is more than one reason, the reason that the user chose comes first, then
// one that has to be fixed, then one that passes.
func TestDecideReturnsTheFirstReasonThatApplies(t *testing.T) {
	p := usual()
	p.Mode, p.MaxHold = flush.ModeInterval, 0
	s := flush.Situation{Invocations: rare(), Left: -1, Unavailable: true, TelemetryStalled: true, Behind: time.Hour}
	for _, step := range []struct {
		want flush.Reason
		fix  func()
	}{
		{flush.Interval, func() { p.Mode = flush.ModeAdaptive }},
		{flush.NoHold, func() { p.MaxHold = time.Second }},
		{flush.Unavailable, func() { s.Unavailable = false }},
		{flush.TelemetryStalled, func() { s.TelemetryStalled = false }},
		{flush.NoTime, func() { s.Left = 1 }},
		{flush.Rare, func() { s.Invocations = busy() }},
		{flush.Overdue, func() { s.Behind = 0 }},
		{flush.Busy, func() { p.Mode = flush.ModeEnd }},
		{flush.End, func() {}},
	} {
		if got := p.Decide(s); got != step.want {
			t.Errorf("%s, want %s", got, step.want)
		}
		step.fix()
	}
}

func TestOnlyReasonsToHoldReportTrue(t *testing.T) {
	for reason, want := range map[flush.Reason]bool{
		flush.End: true, flush.Rare: true, flush.Overdue: true,
		flush.Interval: false, flush.Busy: false, flush.NoHold: false, flush.NoTime: false,
		flush.Unavailable: false, flush.TelemetryStalled: false, "": false,
	} {
		if got := reason.Hold(); got != want {
			t.Errorf("%q holds: %t", reason, got)
		}
	}
}

// An interval that is shorter than a second is used as the longest gap that counts as
// none.
func TestSoonIsNoLongerThanTheInterval(t *testing.T) {
	for _, tt := range []struct {
		interval, gap time.Duration
		want          flush.Reason
	}{
		{10 * time.Second, time.Second, flush.Busy},
		{10 * time.Second, time.Second + 1, flush.Rare},
		{time.Second, time.Second, flush.Busy},
		{300 * ms, 300 * ms, flush.Busy},
		{300 * ms, 300*ms + 1, flush.Rare},
	} {
		p := usual()
		p.Interval = tt.interval
		if got := p.Decide(free(series(0, repeat(tt.gap, flush.Remember-1)...))); got != tt.want {
			t.Errorf("interval %s, gaps of %s: %s, want %s", tt.interval, tt.gap, got, tt.want)
		}
	}
}

func TestAge(t *testing.T) {
	const interval = 10 * time.Second
	tests := []struct {
		name     string
		mode     flush.Mode
		interval time.Duration
		busy     time.Duration
		want     time.Duration
	}{
		{"after a late gap", flush.ModeAdaptive, interval, 0, time.Second},
		{"soon after one", flush.ModeAdaptive, interval, interval - 1, time.Second},
		{"an interval after one", flush.ModeAdaptive, interval, interval, interval},
		{"long after one", flush.ModeAdaptive, interval, time.Hour, interval},
		{"where the clock was set back", flush.ModeAdaptive, interval, -time.Hour, time.Second},
		{"a short interval", flush.ModeAdaptive, 300 * ms, 0, 300 * ms},
		{"a long one", flush.ModeAdaptive, 5 * time.Minute, 4 * time.Minute, time.Second},
		{"each is flushed", flush.ModeEnd, interval, 0, interval},
		{"none is", flush.ModeInterval, interval, 0, interval},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := usual()
			p.Mode, p.Interval = tt.mode, tt.interval
			for _, invocations := range [][]flush.Invocation{nil, busy(), rare()} {
				if got := p.Age(flush.Situation{Invocations: invocations, Busy: tt.busy}); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
			}
		})
	}
}
