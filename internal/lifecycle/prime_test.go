package lifecycle_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/flush"
	"github.com/kinetel/kinetel/internal/lifecycle"
)

func strict(cfg *config.Config) { cfg.Strict = true }

// line is a line of the function's.
func line() *event.Event {
	return &event.Event{Type: []byte("function"), Record: []byte(`"x"`)}
}

// With SnapStart, every environment of the snapshot would send the init's telemetry.
// Its end cannot be known: the loop waits for a while.
func TestTheTelemetryOfTheInitIsSentBeforeTheSnapshot(t *testing.T) {
	const second = time.Second
	var forEver []time.Duration
	for at := 50 * ms; at < 20*second; at += 100 * ms {
		forEver = append(forEver, at)
	}
	for _, tt := range []struct {
		name   string
		bodies []time.Duration // when they come
		flush  time.Duration
		want   []string
	}{
		{"one word", []time.Duration{100 * ms}, 30 * ms, []string{"300ms Flush", "330ms next"}},
		{"several", []time.Duration{100 * ms, 299 * ms, 498 * ms}, 30 * ms, []string{"698ms Flush", "728ms next"}},
		{"a pause that is too long", []time.Duration{100 * ms, 301 * ms}, 30 * ms, []string{"300ms Flush", "330ms next"}},
		{"late ones", []time.Duration{999 * ms}, 30 * ms, []string{"1.199s Flush", "1.229s next"}},
		{"none", nil, 30 * ms, []string{"1.2s Flush", "1.23s next"}},
		{"no end of them", forEver, 30 * ms, []string{"5.05s Flush", "5.08s next"}},
		{"Kinesis that does not answer", []time.Duration{100 * ms}, forever, []string{"300ms Flush", "5.3s Flush timed out", "5.3s next"}},
	} {
		for _, mode := range []flush.Mode{flush.ModeAdaptive, flush.ModeEnd, flush.ModeInterval} {
			t.Run(tt.name+", "+string(mode), func(t *testing.T) {
				inFakeTime(t, func(s *fixture) {
					s.pipeline.flush = tt.flush
					for _, at := range tt.bodies {
						s.telemetry(at, line(), s.initDone(at))
					}
					s.finish()
					s.want([]string{"Flush", "next", "Restored", "Thawed"}, tt.want...)
				}, snapStart, func(cfg *config.Config) { cfg.Flush = mode })
			})
		}
	}
}

// Until the restore, telemetry is sent at once: it is not known when the snapshot is
// taken.
func TestWhatComesBeforeTheRestoreIsSentAtOnce(t *testing.T) {
	for _, tt := range []struct {
		mode flush.Mode
		hold time.Duration
	}{
		{flush.ModeAdaptive, 500 * ms},
		{flush.ModeEnd, 500 * ms},
		{flush.ModeInterval, 500 * ms},
		{flush.ModeAdaptive, 0},
		{flush.ModeInterval, 0},
	} {
		inFakeTime(t, func(s *fixture) {
			s.telemetry(100*ms, line())
			s.telemetry(150*ms, line())
			s.at(10*time.Second, func() { s.loop.Observe(s.initDone(10 * time.Second)) }) // is not yet acknowledged
			s.telemetry(20*time.Second, line())
			s.telemetry(20100*ms, s.runtimeDone(20100*ms, "z"), s.report(20100*ms, "z"))
			s.invoke(30*time.Second, "a", 10*time.Second)
			s.telemetry(30100*ms, line())
			s.finish()
			s.want([]string{"Seal", "Thawed"}, "100ms Seal", "150ms Seal", "20s Seal", "20.1s Seal", "30s Thawed "+age(tt.mode))
		}, snapStart, func(cfg *config.Config) { cfg.Flush, cfg.MaxHold = tt.mode, tt.hold })
	}
}

// age is how old unsent telemetry may be when the first invocation begins.
func age(mode flush.Mode) string {
	if mode == flush.ModeAdaptive {
		return "1s"
	}
	return "1h0m0s"
}

// A deployment that cannot send anything fails at once.
func TestStrictSendsTheFirstTelemetryBeforeNext(t *testing.T) {
	for _, tt := range []struct {
		name  string
		came  time.Duration // the first telemetry; 0: none
		flush time.Duration
		want  []string
	}{
		{"at once", 30 * ms, 20 * ms, []string{"30ms Flush", "50ms next"}},
		{"no telemetry", 0, 20 * ms, []string{"1s Flush", "1.02s next"}},
		{"late telemetry", 999 * ms, 20 * ms, []string{"999ms Flush", "1.019s next"}},
		{"Kinesis that does not answer", 30 * ms, forever, []string{"30ms Flush", "5.03s Flush timed out", "5.03s next"}},
	} {
		for _, kind := range []config.Initialization{"", config.OnDemand, config.ProvisionedConcurrency, config.ManagedInstances, "something new"} {
			t.Run(tt.name+", "+string(kind), func(t *testing.T) {
				inFakeTime(t, func(s *fixture) {
					s.pipeline.flush = tt.flush
					if tt.came != 0 {
						s.telemetry(tt.came, line())
					}
					s.finish()
					s.want([]string{"Flush", "next", "Restored"}, tt.want...)
					if s.log.Len() > 0 {
						t.Errorf("the log has %s", s.log)
					}
				}, strict, func(cfg *config.Config) { cfg.Lambda.Initialization = kind })
			})
		}
	}
}

func TestOnlySnapStartAndStrictWaitForTheInit(t *testing.T) {
	for _, kind := range []config.Initialization{"", config.OnDemand, config.ProvisionedConcurrency, config.ManagedInstances, "something new"} {
		t.Run(string(kind), func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.pipeline.permanent = func() error { return errors.New("denied") } // which has no effect without strict
				s.telemetry(30*ms, line(), s.initDone(30*ms))
				s.finish()
				s.want([]string{"Flush", "next"}, "0s next")
			}, func(cfg *config.Config) { cfg.Lambda.Initialization = kind })
		})
	}
}

func TestTheInitFailsOnlyIfStrict(t *testing.T) {
	denied := errors.New("AccessDeniedException: no kinesis:PutRecords")
	for _, tt := range []struct {
		name      string
		change    func(*config.Config)
		permanent error
		refused   bool
		want      []string // if the init fails
	}{
		{"strict, and refused", strict, denied, true, []string{"30ms Flush", "30ms end"}},
		{"strict, of a snapshot, and refused", func(cfg *config.Config) { strict(cfg); snapStart(cfg) }, denied, true, []string{"30ms Seal", "230ms Flush", "230ms end"}},
		{"strict, and not refused", strict, nil, false, nil},
		{"not strict, of a snapshot, and refused", snapStart, denied, false, nil},
		{"not strict, and refused", func(*config.Config) {}, denied, false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.pipeline.permanent = func() error { return tt.permanent }
				s.telemetry(30*ms, s.initDone(30*ms))
				s.shutdown(time.Hour, 2*time.Second)
				err := s.run()
				var refused *lifecycle.Refused
				if errors.As(err, &refused) != tt.refused || err != nil && !tt.refused {
					t.Fatalf("Run returned %v", err)
				}
				if !tt.refused {
					s.want([]string{"end"}, "1h0m0.04s end")
					return
				}
				if !errors.Is(err, denied) || !strings.Contains(err.Error(), denied.Error()) {
					t.Errorf("%q is without the reason", err)
				}
				// The init fails: there is no next, and nothing to shut down.
				s.want([]string{""}, tt.want...)
			}, tt.change)
		})
	}
}

// The permanent error is the result of the sending, even if that took all its time.
func TestThePermanentErrorIsReadAfterTheSending(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.pipeline.flush = forever
		denied := errors.New("denied")
		s.pipeline.permanent = func() error {
			if time.Since(s.start) < 4*time.Second {
				return nil // no answer, so far
			}
			return denied
		}
		if err := s.run(); !errors.Is(err, denied) {
			t.Errorf("Run returned %v", err)
		}
		s.want([]string{"Flush", "next", "end"}, "1s Flush", "6s Flush timed out", "6s end")
	}, strict)
}

func TestAFailedInitEndsIfThePipelineHangs(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		release := s.blocked(0, "Flush")
		defer release()
		denied := errors.New("denied")
		s.pipeline.permanent = func() error { return denied }
		if err := s.run(); !errors.Is(err, denied) {
			t.Errorf("Run returned %v", err)
		}
		if end := s.only("end"); len(end) != 1 || s.instant(end[0]) > 7*time.Second {
			t.Errorf("it ends at %q", end)
		}
		release()
	}, strict)
}

// A fault before the first next does not affect the loop.
func TestAFaultBeforeTheFirstNext(t *testing.T) {
	for _, method := range []string{"Flush", "PermanentError"} {
		t.Run(method, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.pipeline.flush = 10 * ms
				s.pipeline.fault = func(called string) {
					if called == method && time.Since(s.start) < 500*ms {
						panic("out of " + method)
					}
				}
				s.telemetry(30*ms, s.initDone(30*ms))
				s.invoke(time.Second, "a", 10*time.Second)
				s.telemetry(1200*ms, s.runtimeDone(1200*ms, "a"))
				s.finish()
				if next := s.only("next"); len(next) != 2 || s.instant(next[0]) > 50*ms || next[1] != "1.21s next" {
					t.Errorf("next is called at %q", next)
				}
				if !strings.Contains(s.log.String(), "out of "+method) {
					t.Errorf("that is not in the log: %s", s.log)
				}
			}, strict)
		})
	}
}

func TestStopEndsTheWaitForTheInit(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*config.Config)
		came   bool // the telemetry, so that it is being sent
		stop   time.Duration
		want   []string
	}{
		{"strict", strict, false, 500 * ms, []string{"500ms Ending", "540ms Finish", "540ms end"}},
		{"SnapStart", snapStart, false, 500 * ms, []string{"500ms Ending", "540ms Finish", "540ms end"}},
		{"SnapStart, while there may be more", snapStart, true, 200 * ms, []string{"100ms Seal", "200ms Ending", "240ms Finish", "240ms end"}},
		{"while sending", snapStart, true, 2 * time.Second, []string{"100ms Seal", "2s Ending", "2.04s Finish", "2.04s end"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.pipeline.flush = forever
				if tt.came {
					s.telemetry(100*ms, s.initDone(100*ms))
				}
				s.at(tt.stop, s.stop)
				if err := s.run(); err != nil {
					t.Errorf("Run returned %v", err)
				}
				s.want([]string{"next", "Thawed", "Seal", "Ending", "Finish", "end"}, tt.want...)
			}, tt.change)
		})
	}
}

// The environment begins with the first invocation after the restore. Restored must
// be the pipeline's first call.
func TestRestoredComesWithTheFirstInvocationOfASnapshot(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.telemetry(100*ms, s.initDone(100*ms))
		s.invoke(time.Hour/2, "a", 10*time.Second)
		s.telemetry(time.Hour/2+200*ms, s.runtimeDone(time.Hour/2+200*ms, "a"))
		s.finish()
		got := s.only("Restored", "Thawed", "Flush")
		want := []string{"300ms Flush", "30m0s Restored", "30m0s Thawed 1h0m0s", "30m0.2s Flush"}
		if !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}, snapStart)
}

func TestRestoredIsForSnapshotsOnly(t *testing.T) {
	for _, kind := range []config.Initialization{"", config.OnDemand, config.ProvisionedConcurrency, config.ManagedInstances, "something new"} {
		t.Run(string(kind), func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.telemetry(100*ms, s.initDone(100*ms))
				s.threeInvocations()
				if err := s.run(); err != nil {
					t.Errorf("Run returned %v", err)
				}
				s.want([]string{"Restored"})
			}, func(cfg *config.Config) { cfg.Lambda.Initialization = kind })
		})
	}
}

// A snapshot that is never restored, or one that Lambda shuts down before it was
// called, has no new environment.
func TestNoInvocationIsNoRestore(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.telemetry(100*ms, s.initDone(100*ms))
		s.finish()
		s.want([]string{"Restored"})
	}, snapStart)
}
