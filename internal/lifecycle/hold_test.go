package lifecycle_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/flush"
)

const ms = time.Millisecond

func TestHoldsUntilTheTelemetryIsSent(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.pipeline.flush = 30 * ms
		s.invoke(time.Second, "a", 10*time.Second)
		s.telemetry(1200*ms, s.runtimeDone(1180*ms, "a"))
		s.finish()
		s.want([]string{"next", "Flush", "Seal", "Thawed"},
			"0s next", "1s Thawed 1h0m0s", "1.2s Flush", "1.23s next")
	})
}

func TestHoldsForTheRuntimeDoneOfThisRequest(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.invoke(time.Second, "a", 10*time.Second)
		s.telemetry(1100*ms, s.runtimeDone(1100*ms, "a"))
		s.invoke(2*time.Second, "b", 10*time.Second)
		// Late events of the previous invocation release nothing.
		s.telemetry(2100*ms, s.runtimeDone(2100*ms, "a"), s.report(2100*ms, "a"))
		s.telemetry(2200*ms, s.report(2200*ms, "b"))
		s.telemetry(2300*ms, &event.Event{Type: []byte("function"), Record: []byte(`{"requestId":"b"}`)})
		s.telemetry(2400*ms, s.event(2400*ms, "platform.start", "b"))
		s.telemetry(2500*ms, s.runtimeDone(2500*ms, "b"))
		s.finish()
		s.want([]string{"next"}, "0s next", "1.1s next", "2.5s next")
	})
}

func TestDoesNotWaitForARuntimeDoneThatIsKnown(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.pipeline.flush = 7 * ms
		// The invocation is so short that its telemetry overtakes it.
		s.telemetry(990*ms, s.runtimeDone(980*ms, "a"))
		s.invoke(time.Second, "a", 10*time.Second)
		s.finish()
		s.want([]string{"next", "Flush"}, "0s next", "1s Flush", "1.007s next")
	})
}

func TestRuntimeDoneThatIsKnownIsHeldForAsLongAsAnyOther(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.pipeline.flush = forever
		s.telemetry(990*ms, s.runtimeDone(300*ms, "a"))
		s.invoke(time.Second, "a", 10*time.Second)
		s.finish()
		s.want([]string{"next", "Flush"}, "0s next", "1s Flush", "1.5s Flush timed out", "1.5s next")
	})
}

func TestRuntimeDoneIsRemembered(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		// Others come in between.
		s.telemetry(500*ms, s.runtimeDone(500*ms, "z"), s.runtimeDone(500*ms, "a"), s.runtimeDone(500*ms, "b"))
		s.telemetry(600*ms, s.report(600*ms, "a"), s.report(600*ms, "z"))
		s.invoke(time.Second, "a", 10*time.Second)
		s.invoke(1200*ms, "b", 10*time.Second)
		s.finish()
		s.want([]string{"next"}, "0s next", "1s next", "1.2s next")
	})
}

func TestHoldIsCountedFromWhenTheRuntimeWasDone(t *testing.T) {
	scenarios := []struct {
		name           string
		done, received time.Duration // since the start; the invocation begins at 1 s
		wantReleased   string
	}{
		{"known at once", 1200 * ms, 1200 * ms, "1.7s next"},
		{"known later", 1200 * ms, 1225 * ms, "1.7s next"},
		{"known a millisecond before the hold is over", 1200 * ms, 1699 * ms, "1.7s next"},
		{"known when the hold is over", 1200 * ms, 2 * time.Second, "2s next"},
		{"done before the INVOKE", 900 * ms, 1300 * ms, "1.5s next"},
		{"done long before, and known when the hold is over", 900 * ms, 1600 * ms, "1.6s next"},
		{"done in the future, by another clock", 4 * time.Second, 1300 * ms, "1.8s next"},
	}
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.pipeline.flush = forever
				s.invoke(time.Second, "a", 10*time.Second)
				s.telemetry(scenario.received, s.runtimeDone(scenario.done, "a"))
				s.finish()
				s.want([]string{"next"}, "0s next", scenario.wantReleased)
			})
		})
	}
}

func TestRuntimeDoneWithoutATimeCountsFromItsArrival(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.pipeline.flush = forever
		s.invoke(time.Second, "a", 10*time.Second)
		done := s.runtimeDone(1400*ms, "a")
		done.Time = nil
		s.telemetry(1400*ms, done)
		s.finish()
		s.want([]string{"next"}, "0s next", "1.9s next")
	})
}

func TestNeverHoldsIntoTheEndOfTheDeadline(t *testing.T) {
	scenarios := []struct {
		name         string
		timeout      time.Duration // of the invocation, which begins at 1 s
		done         time.Duration // 0: never
		wantReleased string
	}{
		{"the deadline comes before the end of the hold", 500 * ms, 1200 * ms, "1.4s next"},
		{"the runtime is done a millisecond before the margin", 500 * ms, 1399 * ms, "1.4s next"},
		{"the runtime is never done", 500 * ms, 0, "1.4s next"},
		{"the runtime of a long invocation is never done", 15 * time.Minute, 0, "15m0.9s next"},
		{"the deadline is nearer than the margin", 50 * ms, 0, "1s next"},
		{"the deadline is over", -time.Second, 0, "1s next"},
	}
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.pipeline.flush = forever
				s.invoke(time.Second, "a", scenario.timeout)
				if scenario.done != 0 {
					s.telemetry(scenario.done, s.runtimeDone(scenario.done, "a"))
				}
				s.finish()
				s.want([]string{"next"}, "0s next", scenario.wantReleased)
			})
		})
	}
}

func TestNothingReleasesBeforeItIsAcknowledged(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.invoke(time.Second, "a", 10*time.Second)
		s.at(1200*ms, func() { s.loop.Observe(s.runtimeDone(1200*ms, "a")) })
		s.at(1300*ms, func() {
			if n := len(s.only("next")); n != 1 {
				t.Errorf("%d calls of next before the body was acknowledged", n)
			}
			s.loop.Acknowledged()
		})
		s.finish()
		s.want([]string{"next"}, "0s next", "1.3s next")
	})
}

func TestPlatformEventsThatCannotBeReadReleaseNothing(t *testing.T) {
	for _, record := range []string{"", "null", `"a"`, "{}", `{"requestId":null}`, `{"requestId":7}`, `{"requestId":""}`, `{"request":"a"}`, `{"requestId":"a"`} {
		t.Run(record, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.invoke(time.Second, "a", time.Second)
				malformed := s.runtimeDone(1200*ms, "a")
				malformed.Record = []byte(record)
				s.telemetry(1200*ms, malformed)
				s.finish()
				s.want([]string{"next"}, "0s next", "1.9s next")
			})
		})
	}
}

// No invocation is held if nothing can be sent, not even until the runtime is done.
func TestNoInvocationIsHeldWhileKinesisIsUnavailable(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.pipeline.flush = forever
		s.pipeline.unavailable = func() bool { return time.Since(s.start) < 3*time.Second }
		s.invoke(time.Second, "a", 10*time.Second)
		s.telemetry(1200*ms, s.runtimeDone(1200*ms, "a"))
		s.invoke(2*time.Second, "b", 10*time.Second)
		s.telemetry(2200*ms, s.runtimeDone(2200*ms, "b"))
		s.invoke(3*time.Second, "c", 10*time.Second)
		s.telemetry(3200*ms, s.runtimeDone(3200*ms, "c"))
		s.finish()
		s.want([]string{"next", "Flush", "Seal", "Thawed"}, "0s next",
			"1s Thawed 1h0m0s", "1s next",
			"2s Thawed 1h0m0s", "2s next",
			"3s Thawed 1h0m0s", "3.2s Flush", "3.7s Flush timed out", "3.7s next")
	})
}

func TestIntervalModeNeverHolds(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.pipeline.flush = forever
		s.invoke(time.Second, "a", 10*time.Second)
		s.invoke(2*time.Second, "b", 10*time.Second)
		s.telemetry(2100*ms, s.runtimeDone(2100*ms, "b"))
		s.finish()
		s.want([]string{"next", "Flush", "Seal", "Thawed"}, "0s next",
			"1s Thawed 1h0m0s", "1s next", "2s Thawed 1h0m0s", "2s next")
	}, func(cfg *config.Config) { cfg.Flush = flush.ModeInterval })
}

// A hold that is shorter than Lambda's buffering is useless. What would have been sent
// at the end of the invocation is sent in the background when its
// platform.runtimeDone comes.
func TestNoInvocationIsHeldIfMaxHoldIsTooShort(t *testing.T) {
	scenarios := []struct {
		name  string
		mode  flush.Mode
		hold  time.Duration
		seals []string // if a platform.runtimeDone comes at 1.3 s, 1.5 s, 2.2 s, 2.4 s and 2.5 s
	}{
		{"end", flush.ModeEnd, 0, []string{"1.3s Seal", "1.5s Seal", "2.2s Seal", "2.4s Seal", "2.5s Seal"}},
		{"end, a millisecond too short", flush.ModeEnd, 29 * ms, []string{"1.3s Seal", "1.5s Seal", "2.2s Seal", "2.4s Seal", "2.5s Seal"}},
		{"adaptive: once a second", flush.ModeAdaptive, 0, []string{"1.3s Seal", "2.4s Seal"}},
		{"adaptive, a millisecond too short", flush.ModeAdaptive, 29 * ms, []string{"1.3s Seal", "2.4s Seal"}},
		{"interval: at the interval only", flush.ModeInterval, 0, nil},
	}
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.pipeline.flush = forever
				s.invoke(time.Second, "a", 10*time.Second)
				// Lines and reports have nothing sent; nor has an event before its acknowledgement.
				s.telemetry(1100*ms, &event.Event{Type: []byte("function"), Record: []byte(`"x"`)}, s.report(1100*ms, "z"))
				s.at(1200*ms, func() { s.loop.Observe(s.runtimeDone(1200*ms, "a")) })
				s.at(1300*ms, s.loop.Acknowledged)
				s.at(1400*ms, s.loop.Acknowledged)
				for i, at := range []time.Duration{1500 * ms, 2200 * ms, 2400 * ms, 2500 * ms} {
					s.telemetry(at, s.runtimeDone(at, string(rune('b'+i))))
				}
				s.finish()
				s.want([]string{"Flush", "Seal", "Thawed", "next"}, slices.Concat(
					[]string{"0s next", "1s Thawed " + age(scenario.mode), "1s next"}, scenario.seals)...)
				why := "no-hold"
				if scenario.mode == flush.ModeInterval {
					why = "interval"
				}
				s.want([]string{"Released"}, "1s Released a 0s "+why)
			}, func(cfg *config.Config) { cfg.Flush, cfg.MaxHold = scenario.mode, scenario.hold })
		})
	}
}

func TestTheShortestHold(t *testing.T) {
	for _, mode := range []flush.Mode{flush.ModeEnd, flush.ModeAdaptive} {
		inFakeTime(t, func(s *fixture) {
			s.pipeline.flush = forever
			s.invoke(time.Second, "a", 10*time.Second)
			s.telemetry(1225*ms, s.runtimeDone(1200*ms, "a"))
			s.finish()
			s.want([]string{"next", "Flush", "Seal", "Thawed"}, "0s next", "1s Thawed "+age(mode), "1.225s Flush", "1.23s Flush timed out", "1.23s next")
		}, func(cfg *config.Config) { cfg.Flush, cfg.MaxHold = mode, flush.MinHold })
	}
}

func TestIntervalModeSendsAtTheIntervalOnly(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.telemetry(time.Second, s.runtimeDone(time.Second, "a"))
		s.finish()
		s.want([]string{"Seal", "Flush"})
	}, func(cfg *config.Config) { cfg.Flush, cfg.MaxHold = flush.ModeInterval, 0 })
}

func TestHoldingSendsNothingByItselfWhenTelemetryComes(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		// The telemetry of an invocation that is no longer held.
		s.telemetry(time.Second, s.runtimeDone(time.Second, "a"), s.report(time.Second, "a"))
		s.finish()
		s.want([]string{"Seal", "Flush"})
	})
}

func TestIntervalPassesDuringALongInvocation(t *testing.T) {
	for _, flush := range []flush.Mode{flush.ModeEnd, flush.ModeInterval} {
		t.Run(string(flush), func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.invoke(time.Second, "a", 15*time.Minute)
				s.telemetry(25*time.Second, s.runtimeDone(25*time.Second, "a"))
				s.shutdown(26*time.Second, 2*time.Second)
				if err := s.run(); err != nil {
					t.Error(err)
				}
				got := s.only("Seal", "Thawed")
				want := []string{"1s Thawed 10s", "10s Seal", "20s Seal"}
				for i, line := range want {
					if i >= len(got) || got[i] != line {
						t.Fatalf("%q, want first %q", got, want)
					}
				}
			}, func(cfg *config.Config) { cfg.Flush, cfg.FlushInterval = flush, 10*time.Second })
		})
	}
}

// Environments that begin together must not send together: their first two intervals are
// shorter by chance, and no interval is longer.
func TestEnvironmentsThatBeginTogetherSendAtDifferentTimes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		jitter func(below time.Duration) time.Duration
		want   []string
	}{
		{"the shortest", func(below time.Duration) time.Duration { return below - time.Millisecond }, []string{"5.001s", "5.002s", "15.002s", "25.002s"}},
		{"between", func(below time.Duration) time.Duration { return below / 5 }, []string{"9s", "17s", "27s"}},
		{"the longest", func(time.Duration) time.Duration { return 0 }, []string{"10s", "20s"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.jitter = tt.jitter
				s.shutdown(29*time.Second, 2*time.Second)
				if err := s.run(); err != nil {
					t.Error(err)
				}
				var want []string
				for _, at := range tt.want {
					want = append(want, at+" Seal")
				}
				s.want([]string{"Seal"}, want...)
			}, func(cfg *config.Config) { cfg.FlushInterval = 10 * time.Second })
		})
	}
}

// All environments of a snapshot have the intervals that were drawn before it.
func TestTheIntervalsBeginAnewAfterARestore(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		draws := 0
		s.jitter = func(below time.Duration) time.Duration {
			if draws++; draws > 2 {
				return below / 5
			}
			return 0
		}
		s.invoke(8*time.Second, "a", time.Minute)
		s.telemetry(8100*ms, s.runtimeDone(8100*ms, "a"))
		s.shutdown(36*time.Second, 2*time.Second)
		if err := s.run(); err != nil {
			t.Error(err)
		}
		s.want([]string{"Restored", "Seal"}, "8s Restored", "17s Seal", "25s Seal", "35s Seal")
	}, snapStart, func(cfg *config.Config) { cfg.FlushInterval = 10 * time.Second })
}

// After a freeze the ticker may be far behind; each invocation checks the age of the
// waiting telemetry itself.
func TestEachInvocationHasOldTelemetrySent(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.invoke(time.Second, "a", time.Second)
		s.invoke(40*time.Minute, "b", time.Second)
		s.telemetry(40*time.Minute+200*ms, s.runtimeDone(40*time.Minute+200*ms, "b"))
		s.finish()
		s.want([]string{"Thawed"}, "1s Thawed 1h0m0s", "40m0s Thawed 1h0m0s")
	})
}

func TestSignalEndsAHold(t *testing.T) {
	scenarios := []struct {
		name string
		done bool // the runtime is done, and the telemetry is being sent
		want []string
	}{
		{"while the function runs", false, []string{"2s Ending", "2s Released a 0s end", "2.3s Finish", "2.3s end"}},
		// The report is known: 40 ms of quiet are enough.
		{"while sending", true, []string{"1.5s Flush", "2s Flush timed out", "2s Ending", "2s Released a 500ms end", "2.04s Finish", "2.04s end"}},
	}
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.pipeline.flush = forever
				s.invoke(0, "a", 15*time.Minute)
				if scenario.done {
					s.telemetry(1500*ms, s.runtimeDone(1500*ms, "a"), s.report(1500*ms, "a"))
				}
				s.at(2*time.Second, s.stop)
				if err := s.run(); err != nil {
					t.Errorf("Run returned %v", err)
				}
				s.want([]string{""}, append([]string{"0s Thawed 1h0m0s", "0s next"}, scenario.want...)...)
			}, func(cfg *config.Config) { cfg.MaxHold = time.Minute })
		})
	}
}

func TestObservingAndAcknowledgingFromSeveralGoroutines(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.invoke(time.Second, "a", 10*time.Second)
		for i := range 12 { // fewer than are remembered
			request := string(rune('b' + i%4))
			s.telemetry(1100*ms, s.runtimeDone(1100*ms, request), s.report(1100*ms, request))
		}
		s.telemetry(1100*ms, s.runtimeDone(1100*ms, "a"))
		s.finish()
		s.want([]string{"next"}, "0s next", "1.1s next")
	})
}

// Run's own goroutines end with it, also when the pipeline is slow: the bubble
// of fake time fails otherwise.
func TestRunEndsItsGoroutines(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.stop()
		if err := s.run(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if context.Cause(s.stopping) == nil {
			t.Error("not stopped")
		}
	})
}
