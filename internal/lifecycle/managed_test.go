package lifecycle_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/flush"
)

func managed(mode flush.Mode) func(*config.Config) {
	return func(cfg *config.Config) {
		cfg.Flush, cfg.FlushInterval, cfg.Lambda.Initialization = mode, 10*time.Second, config.ManagedInstances
	}
}

// On Managed Instances nothing is frozen and no invocation is held. The only event of
// next is SHUTDOWN, and the only event of an invocation is its platform.report.
func TestReportsHaveTelemetrySentOnManagedInstances(t *testing.T) {
	reports := []time.Duration{1000, 1001, 1500, 2000, 2001, 2999, 3001, 9999, 10001, 10002} // ms
	for _, tt := range []struct {
		mode flush.Mode
		want []string // the last one is at the interval
	}{
		{flush.ModeEnd, []string{"1s", "1.001s", "1.5s", "2s", "2.001s", "2.999s", "3.001s", "9.999s", "10s", "10.001s", "10.002s"}},
		// Once a second at most.
		{flush.ModeAdaptive, []string{"1s", "2s", "3.001s", "9.999s", "10s"}},
		{flush.ModeInterval, []string{"10s"}},
	} {
		for _, hold := range []time.Duration{500 * ms, 0} { // it means nothing here
			t.Run(fmt.Sprintf("%s, hold %s", tt.mode, hold), func(t *testing.T) {
				inFakeTime(t, func(s *fixture) {
					for i, at := range reports {
						s.telemetry(at*ms, s.report(at*ms, fmt.Sprint(i)))
					}
					// An event that is no report has nothing sent.
					s.telemetry(5*time.Second, line(), s.event(5*time.Second, event.TypePlatformStart, "x"), s.event(5*time.Second, "platform.reportX", "x"))
					// Nor has a report before its acknowledgement.
					s.at(6*time.Second, func() { s.loop.Observe(s.report(6*time.Second, "y")) })
					s.shutdown(12*time.Second, 2*time.Second)
					if err := s.run(); err != nil {
						t.Errorf("Run returned %v", err)
					}
					var want []string
					for _, at := range tt.want {
						want = append(want, at+" Seal")
					}
					s.want([]string{"Seal"}, want...)
					s.want([]string{"Flush", "Thawed", "Restored", "Released", "next", "end"}, "0s next", "12.14s end")
				}, managed(tt.mode), func(cfg *config.Config) { cfg.MaxHold = hold })
			})
		}
	}
}

// Many reports at once are one reason to send.
func TestABodyOfReportsIsSentOnce(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		var reports []*event.Event
		for i := range 50 {
			reports = append(reports, s.report(time.Second, fmt.Sprint(i)))
		}
		s.telemetry(time.Second, reports...)
		s.shutdown(2*time.Second, 2*time.Second)
		if err := s.run(); err != nil {
			t.Errorf("Run returned %v", err)
		}
		s.want([]string{"Seal"}, "1s Seal")
	}, managed(flush.ModeEnd))
}

// Lambda does not send platform.runtimeDone there. If it did, that would have no
// effect: the report comes at once.
func TestRuntimeDoneSendsNothingOnManagedInstances(t *testing.T) {
	for _, mode := range []flush.Mode{flush.ModeEnd, flush.ModeAdaptive, flush.ModeInterval} {
		for _, hold := range []time.Duration{500 * ms, 0} {
			inFakeTime(t, func(s *fixture) {
				s.telemetry(time.Second, s.runtimeDone(time.Second, "a"))
				s.shutdown(2*time.Second, 2*time.Second)
				if err := s.run(); err != nil {
					t.Errorf("Run returned %v", err)
				}
				s.want([]string{"Seal"})
			}, managed(mode), func(cfg *config.Config) { cfg.MaxHold = hold })
		}
	}
}

// Elsewhere a report has nothing sent: the invocation's runtimeDone came before it.
func TestReportsHaveNothingSentElsewhere(t *testing.T) {
	for _, kind := range []config.Initialization{"", config.OnDemand, config.ProvisionedConcurrency, "something new"} {
		for _, hold := range []time.Duration{500 * ms, 0} {
			inFakeTime(t, func(s *fixture) {
				s.telemetry(100*ms, s.initDone(100*ms))
				s.telemetry(time.Second, s.report(time.Second, "a"))
				s.finish()
				s.want([]string{"Seal"})
			}, func(cfg *config.Config) { cfg.Lambda.Initialization, cfg.MaxHold = kind, hold })
		}
	}
}

func TestAPipelineThatHangsOrPanicsOnManagedInstances(t *testing.T) {
	for _, method := range []string{"Seal", "Ending", "Finish"} {
		t.Run(method+" hangs", func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				release := s.blocked(0, method)
				defer release()
				for i := range 5 {
					at := time.Duration(i+1) * time.Second
					s.telemetry(at, s.report(at, fmt.Sprint(i)))
				}
				s.shutdown(12*time.Second, 2*time.Second)
				if err := s.run(); err != nil {
					t.Errorf("Run returned %v", err)
				}
				if end := s.only("end"); len(end) != 1 || s.instant(end[0]) >= 14*time.Second {
					t.Errorf("it ends at %q", end)
				}
				release()
			}, managed(flush.ModeEnd))
		})
		t.Run(method+" panics", func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.pipeline.fault = func(called string) {
					if called == method {
						panic("out of " + method)
					}
				}
				for i := range 5 {
					at := time.Duration(i+1) * time.Second
					s.telemetry(at, s.report(at, fmt.Sprint(i)))
				}
				s.shutdown(12*time.Second, 2*time.Second)
				if err := s.run(); err != nil {
					t.Errorf("Run returned %v", err)
				}
				s.want([]string{"Seal", "Finish", "end"}, "1s Seal", "2s Seal", "3s Seal", "4s Seal", "5s Seal", "10s Seal", "12.14s Finish", "12.14s end")
				if !strings.Contains(s.log.String(), "out of "+method) {
					t.Errorf("the panic is not in the log: %s", s.log)
				}
			}, managed(flush.ModeEnd))
		})
	}
}

// However many invocations there were, the shutdown waits for the telemetry that comes.
func TestShutdownOfManagedInstancesWaitsForQuietOnly(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		for i := range 40 { // more than are remembered
			s.telemetry(time.Second, s.report(time.Second, fmt.Sprint(i)))
		}
		s.shutdown(2*time.Second, 2*time.Second)
		s.telemetry(2030*ms, s.report(2030*ms, "last"))
		if err := s.run(); err != nil {
			t.Errorf("Run returned %v", err)
		}
		s.want([]string{"Finish"}, "2.17s Finish")
	}, managed(flush.ModeAdaptive))
}

// An environment that Lambda ends before there was anything.
func TestManagedInstancesThatAreShutDownAtOnce(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.shutdown(0, 2*time.Second)
		if err := s.run(); err != nil {
			t.Errorf("Run returned %v", err)
		}
		if got := s.only("next", "Finish", "end"); !slices.Equal(got, []string{"0s next", "140ms Finish", "140ms end"}) {
			t.Errorf("%q", got)
		}
	}, managed(flush.ModeAdaptive))
}
