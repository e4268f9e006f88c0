package lifecycle_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/extensionapi"
	"github.com/kinetel/kinetel/internal/lifecycle"
)

func TestShutdownGoesInOrder(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.pipeline.finish = 20 * ms
		s.shutdown(time.Second, 2*time.Second)
		if err := s.run(); err != nil {
			t.Errorf("Run returned %v", err)
		}
		// It is the first event of all: there is no report to wait for.
		s.want([]string{""}, "0s next", "1s Ending", "1.04s Finish", "1.06s end")
		if s.pipeline.deadline != 2900*ms {
			t.Errorf("the deadline that was announced is %s, want 2.9s", s.pipeline.deadline)
		}
	})
}

func TestShutdownWaitsForTheLastTelemetry(t *testing.T) {
	// The invocation of request a ends at 1.1 s; Lambda shuts down at 2 s.
	scenarios := []struct {
		name    string
		left    time.Duration // until the deadline
		reports []time.Duration
		others  []time.Duration
		want    string // when the intake is closed
	}{
		{name: "the report came long ago", left: 2 * time.Second, reports: []time.Duration{1900 * ms}, want: "2.04s Finish"},
		{name: "the report comes", left: 2 * time.Second, reports: []time.Duration{2005 * ms}, want: "2.045s Finish"},
		{name: "the report never comes", left: 2 * time.Second, want: "2.3s Finish"},
		{name: "the report never comes, but others do", left: 2 * time.Second, others: []time.Duration{2100 * ms, 2200 * ms}, want: "2.3s Finish"},
		{name: "the report comes in the last moment", left: 2 * time.Second, reports: []time.Duration{2290 * ms}, want: "2.3s Finish"},
		{name: "the report is followed by others", left: 2 * time.Second, reports: []time.Duration{2010 * ms}, others: []time.Duration{2030 * ms, 2069 * ms, 2200 * ms}, want: "2.109s Finish"},
		{name: "others come for ever", left: 2 * time.Second, reports: []time.Duration{2010 * ms}, others: []time.Duration{2040 * ms, 2070 * ms, 2100 * ms, 2130 * ms, 2160 * ms, 2190 * ms, 2220 * ms, 2250 * ms, 2280 * ms, 2310 * ms}, want: "2.3s Finish"},
		{name: "there is little time: a quarter of it", left: 800 * ms, want: "2.2s Finish"},
		{name: "there is hardly any time", left: 100 * ms, want: "2s Finish"},
		{name: "there is no time", left: 0, want: "2s Finish"},
		{name: "the time is over", left: -time.Hour, want: "2s Finish"},
	}
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.invoke(time.Second, "a", 10*time.Second)
				s.telemetry(1100*ms, s.runtimeDone(1100*ms, "a"))
				s.shutdown(2*time.Second, scenario.left)
				for _, at := range scenario.reports {
					s.telemetry(at, s.report(at, "a"))
				}
				for _, at := range scenario.others {
					s.telemetry(at, &event.Event{Type: []byte("function"), Record: []byte(`"x"`)})
				}
				if err := s.run(); err != nil {
					t.Errorf("Run returned %v", err)
				}
				if got := s.only("Finish"); len(got) == 0 || got[0] != scenario.want {
					t.Errorf("%q, want %q; all: %q", got, scenario.want, s.all())
				}
			})
		})
	}
}

func TestShutdownDoesNotTakeAnotherRequestsReport(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.invoke(time.Second, "a", 10*time.Second)
		s.telemetry(1100*ms, s.runtimeDone(1100*ms, "a"))
		s.invoke(2*time.Second, "b", 10*time.Second)
		s.telemetry(2100*ms, s.report(2050*ms, "a"), s.runtimeDone(2100*ms, "b"))
		s.shutdown(3*time.Second, 2*time.Second)
		if err := s.run(); err != nil {
			t.Errorf("Run returned %v", err)
		}
		s.want([]string{"Finish"}, "3.3s Finish")
	})
}

// A request that Lambda retries has a report of its own.
func TestShutdownWaitsForTheReportOfTheLastTry(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.invoke(time.Second, "a", 10*time.Second)
		s.telemetry(1100*ms, s.runtimeDone(1100*ms, "a"))
		s.invoke(61*time.Second, "a", 10*time.Second)
		s.telemetry(61100*ms, s.report(1100*ms, "a"), s.runtimeDone(61100*ms, "a"))
		s.shutdown(62*time.Second, 2*time.Second)
		s.telemetry(62200*ms, s.report(61101*ms, "a"))
		if err := s.run(); err != nil {
			t.Errorf("Run returned %v", err)
		}
		s.want([]string{"Finish"}, "1m2.24s Finish")
	})
}

func TestShutdownEndsBeforeTheDeadline(t *testing.T) {
	scenarios := []struct {
		name   string
		left   time.Duration
		finish time.Duration
		want   []string
	}{
		{"in time", 2 * time.Second, 0, []string{"1s next", "1.04s Finish", "1.04s end"}},
		{"nothing can be sent", 2 * time.Second, forever, []string{"1s next", "1.04s Finish", "2.9s Finish timed out", "2.9s end"}},
		{"there is little time", 200 * ms, forever, []string{"1s next", "1.04s Finish", "1.1s Finish timed out", "1.1s end"}},
		{"there is no time left", 0, forever, []string{"1s Finish", "1s Finish timed out", "1s next", "1s end"}},
	}
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.pipeline.finish = scenario.finish
				time.Sleep(time.Second) // fake time
				s.shutdown(time.Second, scenario.left)
				if err := s.run(); err != nil {
					t.Errorf("Run returned %v", err)
				}
				s.want([]string{"next", "Finish", "end"}, scenario.want...)
			})
		})
	}
}

func TestNextIsNotCalledAfterShutdown(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.shutdown(time.Second, 2*time.Second)
		s.invoke(time.Second, "a", time.Second)
		if err := s.run(); err != nil {
			t.Error(err)
		}
		s.want([]string{"next"}, "0s next")
	})
}

func TestSignalDuringNext(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.pipeline.finish = forever
		s.at(5*time.Second, s.stop)
		if err := s.run(); err != nil {
			t.Errorf("Run returned %v", err)
		}
		// It may take as long as a shutdown by Lambda.
		s.want([]string{""}, "0s next", "5s Ending", "5.04s Finish", "6.9s Finish timed out", "6.9s end")
	})
}

func TestBrokenConnectionIsTriedAgain(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		for range 4 {
			s.fail(0, errNetwork)
		}
		s.shutdown(time.Second, 2*time.Second)
		if err := s.run(); err != nil {
			t.Errorf("Run returned %v", err)
		}
		s.want([]string{"next"}, "0s next", "50ms next", "150ms next", "350ms next", "750ms next")
	})
}

func TestTriesAreCountedForEachEvent(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		for i := range 3 {
			at := time.Duration(i+1) * time.Minute
			for range 4 {
				s.fail(at, errNetwork)
			}
			s.invoke(at, "a", 0)
		}
		s.finish()
		if n := len(s.only("next")); n != 16 {
			t.Errorf("%d calls of next: %q", n, s.only("next"))
		}
	})
}

func TestRunFailsIfLambdaDoesNotAnswer(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		for range 9 {
			s.fail(0, errNetwork)
		}
		err := s.run()
		if !errors.Is(err, errNetwork) {
			t.Errorf("Run returned %v", err)
		}
		// The telemetry is sent all the same.
		s.want([]string{""}, "0s next", "50ms next", "150ms next", "350ms next",
			"750ms Ending", "750ms next", "790ms Finish", "790ms end")
	})
}

func TestAnErrorOfLambdaIsNotTriedAgain(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.fail(time.Second, errRefused)
		err := s.run()
		if answered := (*extensionapi.Error)(nil); !errors.As(err, &answered) || answered.Status != 403 {
			t.Errorf("Run returned %v", err)
		}
		s.want([]string{"next", "Finish"}, "0s next", "1.04s Finish")
	})
}

func TestSignalWhileNextIsTriedAgain(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		for range 5 {
			s.fail(0, errNetwork)
		}
		s.at(100*ms, s.stop)
		if err := s.run(); err != nil {
			t.Errorf("Run returned %v", err)
		}
		s.want([]string{"next", "Finish"}, "0s next", "50ms next", "140ms Finish")
	})
}

func TestUnknownEventsOfLambdaAreIgnored(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.api.steps = append(s.api.steps, step{at: time.Second, event: extensionapi.Event{Type: "THAW", RequestID: "x"}})
		s.invoke(2*time.Second, "a", 10*time.Second)
		s.telemetry(2100*ms, s.runtimeDone(2100*ms, "a"))
		s.finish()
		s.want([]string{"next", "Thawed", "Flush"}, "0s next", "1s next", "2s Thawed 1h0m0s", "2.1s Flush", "2.1s next")
		if !strings.Contains(s.log.String(), "THAW") {
			t.Errorf("that is not in the log: %s", s.log)
		}
	})
}

func TestIdle(t *testing.T) {
	idle := func(s *fixture) error {
		err := lifecycle.Idle(s.stopping, s.api, func() {})
		s.note("end")
		return err
	}
	t.Run("follows Lambda until it shuts down", func(t *testing.T) {
		inFakeTime(t, func(s *fixture) {
			s.invoke(time.Second, "a", time.Hour)
			s.api.steps = append(s.api.steps, step{at: 2 * time.Second, event: extensionapi.Event{Type: "THAW"}})
			s.invoke(3*time.Second, "b", time.Hour)
			s.shutdown(4*time.Second, 2*time.Second)
			if err := idle(s); err != nil {
				t.Error(err)
			}
			s.want([]string{""}, "0s next", "1s next", "2s next", "3s next", "4s end")
		})
	})
	t.Run("ends by a signal", func(t *testing.T) {
		inFakeTime(t, func(s *fixture) {
			s.at(time.Second, s.stop)
			if err := idle(s); err != nil {
				t.Error(err)
			}
			s.want([]string{""}, "0s next", "1s end")
		})
	})
	t.Run("tries a broken connection again", func(t *testing.T) {
		inFakeTime(t, func(s *fixture) {
			s.fail(0, errNetwork)
			s.shutdown(time.Second, 0)
			if err := idle(s); err != nil {
				t.Error(err)
			}
			s.want([]string{""}, "0s next", "50ms next", "1s end")
		})
	})
	t.Run("stops trying after nine failures", func(t *testing.T) {
		inFakeTime(t, func(s *fixture) {
			for range 9 {
				s.fail(0, errNetwork)
			}
			if err := idle(s); !errors.Is(err, errNetwork) {
				t.Error(err)
			}
			s.want([]string{""}, "0s next", "50ms next", "150ms next", "350ms next", "750ms next", "750ms end")
		})
	})
	t.Run("does not try a refusal again", func(t *testing.T) {
		inFakeTime(t, func(s *fixture) {
			s.fail(0, errRefused)
			if answered := (*extensionapi.Error)(nil); !errors.As(idle(s), &answered) {
				t.Error("no refusal")
			}
			s.want([]string{""}, "0s next", "0s end")
		})
	})
}

// If a call of next had no waiting caller, its event would be lost. So the loop calls
// next only when it is done with the previous event.
func TestOnlyTheLoopCallsNext(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.invoke(time.Second, "a", time.Minute)
		ended := make(chan error)
		go func() { ended <- s.run() }()
		time.Sleep(30 * time.Second) // fake time
		synctest.Wait()
		s.want([]string{"next"}, "0s next")
		s.stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
