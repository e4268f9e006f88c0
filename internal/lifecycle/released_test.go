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

func TestReleasedReportsHowLongAndWhy(t *testing.T) {
	const second = time.Second
	unavailable := func(s *fixture) { s.pipeline.unavailable = func() bool { return true } }
	for _, tt := range []struct {
		name           string
		change         func(*config.Config)
		set            func(*fixture) // nil: nothing
		done, received time.Duration  // of the invocation's runtime, which begins at 1 s; received 0: never
		flush          time.Duration
		timeout        time.Duration // of the invocation
		want           string
	}{
		{"held for the flush", nil, nil, 1200 * ms, 1225 * ms, 30 * ms, 10 * second, "1.255s Released a 55ms end"},
		{"held for as long as may be", nil, nil, 1200 * ms, 1225 * ms, forever, 10 * second, "1.7s Released a 500ms end"},
		{"nothing to send: only Lambda's buffering", nil, nil, 1200 * ms, 1225 * ms, 0, 10 * second, "1.225s Released a 25ms end"},
		{"known when the hold is over", nil, nil, 1200 * ms, 3 * second, forever, 10 * second, "3s Released a 1.8s end"},
		{"known before the INVOKE", nil, nil, 900 * ms, 950 * ms, 30 * ms, 10 * second, "1.03s Released a 30ms end"},
		{"done before the INVOKE, known later", nil, nil, 900 * ms, 1100 * ms, 30 * ms, 10 * second, "1.13s Released a 130ms end"},
		{"done in the future, by another clock", nil, nil, 5 * second, 1225 * ms, 30 * ms, 10 * second, "1.255s Released a 30ms end"},
		{"cut off by the deadline", nil, nil, 1200 * ms, 1225 * ms, forever, 500 * ms, "1.4s Released a 200ms end"},
		{"never done", nil, nil, 0, 0, forever, 500 * ms, "1.4s Released a 0s end"},
		{"the first invocation is rare", adaptive, nil, 1200 * ms, 1225 * ms, 30 * ms, 10 * second, "1.255s Released a 55ms rare"},
		{"interval", func(cfg *config.Config) { cfg.Flush = flush.ModeInterval }, nil, 1200 * ms, 1225 * ms, 0, 10 * second, "1s Released a 0s interval"},
		{"no hold", func(cfg *config.Config) { cfg.MaxHold = 0 }, nil, 1200 * ms, 1225 * ms, 0, 10 * second, "1s Released a 0s no-hold"},
		{"unavailable", nil, unavailable, 1200 * ms, 1225 * ms, 0, 10 * second, "1s Released a 0s unavailable"},
		{"unavailable, adaptive", adaptive, unavailable, 1200 * ms, 1225 * ms, 0, 10 * second, "1s Released a 0s unavailable"},
		{"no time", nil, nil, 0, 0, 0, 100 * ms, "1s Released a 0s no-time"},
		{"hardly any time", nil, nil, 0, 0, 0, 101 * ms, "1.001s Released a 0s end"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.change == nil {
				tt.change = func(*config.Config) {}
			}
			inFakeTime(t, func(s *fixture) {
				s.pipeline.flush = tt.flush
				if tt.set != nil {
					tt.set(s)
				}
				s.invoke(time.Second, "a", tt.timeout)
				if tt.received != 0 {
					s.telemetry(tt.received, s.runtimeDone(tt.done, "a"))
				}
				s.finish()
				s.want([]string{"Released"}, tt.want)
			}, tt.change)
		})
	}
}

// Released is called before next, in the part of the invocation that is certainly not
// frozen.
func TestReleasedComesBeforeNext(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.invoke(time.Second, "a", 10*time.Second)
		s.telemetry(1200*ms, s.runtimeDone(1200*ms, "a"))
		s.invoke(2*time.Second, "b", 10*time.Second)
		s.telemetry(2200*ms, s.runtimeDone(2200*ms, "b"))
		s.finish()
		s.want([]string{"next", "Released"}, "0s next", "1.2s Released a 0s end", "1.2s next", "2.2s Released b 0s end", "2.2s next")
	})
}

// If Lambda stops sending platform.runtimeDone, one invocation waits for it until its
// deadline, and no other one waits.
func TestOnlyOneInvocationWaitsIfTelemetryStalls(t *testing.T) {
	for _, mode := range []flush.Mode{flush.ModeEnd, flush.ModeAdaptive} {
		why := "end"
		if mode == flush.ModeAdaptive {
			why = "rare"
		}
		t.Run(string(mode), func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.pipeline.flush = 10 * ms
				received := func(at time.Duration, request string) { s.telemetry(at+25*ms, s.runtimeDone(at, request)) }
				s.invoke(10*time.Second, "a", 3*time.Second)
				received(11*time.Second, "a")
				// Lines and reports do not show that a runtime is done.
				s.invoke(20*time.Second, "b", 3*time.Second)
				s.telemetry(21*time.Second, s.report(21*time.Second, "a"), s.event(21*time.Second, "platform.start", "b"))
				s.invoke(30*time.Second, "c", 3*time.Second)
				s.telemetry(31*time.Second, s.report(31*time.Second, "b"))
				s.invoke(40*time.Second, "d", 3*time.Second)
				// Here platform.runtimeDone comes again: the next one is held.
				received(41*time.Second, "d")
				s.invoke(50*time.Second, "e", 3*time.Second)
				received(51*time.Second, "e")
				// It can happen again.
				s.invoke(60*time.Second, "f", 3*time.Second)
				s.invoke(70*time.Second, "g", 3*time.Second)
				s.finish()
				s.want([]string{"Released"},
					"11.035s Released a 35ms "+why,
					"22.9s Released b 0s "+why,
					"30s Released c 0s no-telemetry",
					"40s Released d 0s no-telemetry",
					"51.035s Released e 35ms "+why,
					"1m2.9s Released f 0s "+why,
					"1m10s Released g 0s no-telemetry")
			}, func(cfg *config.Config) { cfg.Flush = mode })
		})
	}
}

// Telemetry is stalled only if no platform.runtimeDone comes: one that comes too late
// for its own invocation shows that Lambda still sends them.
func TestARuntimeThatIsDoneTooLateDoesNotStallTelemetry(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.invoke(10*time.Second, "a", 3*time.Second)
		s.telemetry(12950*ms, s.runtimeDone(12950*ms, "a"))
		s.invoke(20*time.Second, "b", 3*time.Second)
		s.telemetry(21*time.Second, s.runtimeDone(21*time.Second, "b"))
		// Events of an earlier and of an unknown invocation do not count for this one.
		s.invoke(30*time.Second, "c", 3*time.Second)
		s.telemetry(31*time.Second, s.runtimeDone(31*time.Second, "z"), s.runtimeDone(31*time.Second, "b"))
		s.invoke(40*time.Second, "d", 3*time.Second)
		s.telemetry(41*time.Second, s.runtimeDone(41*time.Second, "d"))
		s.finish()
		s.want([]string{"Released"}, "12.9s Released a 0s end", "21s Released b 0s end", "32.9s Released c 0s end", "40s Released d 0s no-telemetry")
	})
}

// Without any telemetry no invocation waits longer than a hold could last.
func TestNoInvocationWaitsLongWithoutTelemetry(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.pipeline.flush = 10 * ms
		s.invoke(10*time.Second, "a", time.Minute)
		s.telemetry(15*time.Second, s.runtimeDone(15*time.Second, "a"))
		s.invokeSilently(20*time.Second, "b", time.Minute)
		s.invokeSilently(30*time.Second, "c", time.Minute)
		s.invokeSilently(40*time.Second, "d", 500*ms)
		// Lambda sends telemetry again.
		s.invoke(50*time.Second, "e", time.Minute)
		s.telemetry(55*time.Second, s.runtimeDone(55*time.Second, "e"))
		s.invoke(60*time.Second, "f", time.Minute)
		s.telemetry(65*time.Second, s.runtimeDone(65*time.Second, "f"))
		s.finish()
		s.want([]string{"Released"},
			"15.01s Released a 10ms end",
			"20.5s Released b 0s end",
			"30s Released c 0s no-telemetry",
			"40s Released d 0s no-telemetry",
			"50s Released e 0s no-telemetry",
			"1m5.01s Released f 10ms end")
	})
}

// lineOf is a line that was annotated with a request; its text may name one.
func lineOf(request, text string) *event.Event {
	return &event.Event{Type: []byte("function"), RequestID: request, Record: []byte(text)}
}

// Events of the request show that its platform.runtimeDone is worth waiting for.
// Events of others do not: the previous one's platform.report always comes late.
func TestOnlyEventsOfTheRequestKeepItHeld(t *testing.T) {
	const (
		begin    = 10 * time.Second // when "a-request" begins
		held     = "40.01s Released a-request 10ms end"
		released = "10.5s Released a-request 0s end"
		repeat   = 100 * ms
	)
	for _, tt := range []struct {
		name  string
		after time.Duration // since begin
		event func(s *fixture, at time.Duration) *event.Event
		every time.Duration // 0: once
		want  string
	}{
		{"its start, at once", ms, func(s *fixture, at time.Duration) *event.Event {
			return s.event(at, event.TypePlatformStart, "a-request")
		}, 0, held},
		{"its start, at the last moment", 499 * ms, func(s *fixture, at time.Duration) *event.Event {
			return s.event(at, event.TypePlatformStart, "a-request")
		}, 0, held},
		{"its start, too late", 501 * ms, func(s *fixture, at time.Duration) *event.Event {
			return s.event(at, event.TypePlatformStart, "a-request")
		}, 0, released},
		// INVOKE and telemetry come by two connections.
		{"its start, before INVOKE", -ms, func(s *fixture, at time.Duration) *event.Event {
			return s.event(at, event.TypePlatformStart, "a-request")
		}, 0, held},
		{"a JSON line that names it", 100 * ms, func(*fixture, time.Duration) *event.Event {
			return lineOf("a-request", `{"requestId":"a-request","message":"x"}`)
		}, 0, held},
		{"a text line that names it", 100 * ms, func(*fixture, time.Duration) *event.Event {
			return lineOf("a-request", `"2026-11-24T10:00:00.000Z\ta-request\tINFO\tx"`)
		}, 0, held},
		{"nothing", 0, func(*fixture, time.Duration) *event.Event { return line() }, 0, released},
		{"text lines without a request", 0, func(*fixture, time.Duration) *event.Event { return lineOf("a-request", `"x"`) }, repeat, released},
		{"lines of the previous one", 0, func(*fixture, time.Duration) *event.Event {
			return lineOf("previous", `{"requestId":"previous","message":"not a-request"}`)
		}, repeat, released},
		{"the previous one's report, before INVOKE", -ms, func(s *fixture, at time.Duration) *event.Event { return s.report(at, "previous") }, 0, released},
		{"the previous one's report", 10 * ms, func(s *fixture, at time.Duration) *event.Event { return s.report(at, "previous") }, 0, released},
		{"the previous one's report, again and again", -50 * ms, func(s *fixture, at time.Duration) *event.Event { return s.report(at, "previous") }, repeat, released},
		{"the previous one's start", 10 * ms, func(s *fixture, at time.Duration) *event.Event {
			return s.event(at, event.TypePlatformStart, "previous")
		}, repeat, released},
		{"the previous one's runtime, again and again", -50 * ms, func(s *fixture, at time.Duration) *event.Event { return s.runtimeDone(at, "previous") }, repeat, released},
		// Lambda tries a failed request again under its id.
		{"an earlier attempt's report", 10 * ms, func(s *fixture, _ time.Duration) *event.Event { return s.report(8*time.Second, "a-request") }, repeat, released},
		{"an earlier attempt's runtime", 10 * ms, func(s *fixture, _ time.Duration) *event.Event { return s.runtimeDone(8*time.Second, "a-request") }, repeat, released},
		{"platform events of the environment", 0, func(s *fixture, at time.Duration) *event.Event {
			return s.event(at, event.TypePlatformExtension, "a-request")
		}, repeat, released},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.pipeline.flush = 10 * ms
				s.invoke(5*time.Second, "previous", time.Minute)
				s.telemetry(6*time.Second, s.runtimeDone(6*time.Second, "previous"))
				s.invokeSilently(begin, "a-request", time.Minute)
				for at := begin + tt.after; at < 39*time.Second; at += tt.every {
					ev := tt.event(s, at)
					ev.Received = s.start.Add(at)
					s.telemetry(at, ev)
					if tt.every == 0 {
						break
					}
				}
				s.telemetry(40*time.Second, s.runtimeDone(40*time.Second, "a-request"))
				s.finish()
				s.want([]string{"Released a"}, tt.want)
			})
		})
	}
}

// How long an invocation without telemetry is held depends on the longest hold.
func TestWithoutTelemetryTheHoldHasABound(t *testing.T) {
	for maxHold, want := range map[time.Duration]string{
		flush.MinHold:          "10.1s Released a 0s end",
		200 * ms:               "10.2s Released a 0s end",
		time.Second:            "11s Released a 0s end",
		30 * time.Second:       "11s Released a 0s end",
		flush.MinHold - ms:     "10s Released a 0s no-hold",
		500 * time.Millisecond: "10.5s Released a 0s end",
	} {
		inFakeTime(t, func(s *fixture) {
			s.invokeSilently(10*time.Second, "a", time.Minute)
			s.finish()
			s.want([]string{"Released"}, want)
		}, func(cfg *config.Config) { cfg.MaxHold = maxHold })
	}
}

// If telemetry arrives, but always too late, few invocations wait for it: after each
// unproductive hold, fewer invocations are held.
func TestTelemetryThatIsAlwaysLateHoldsFewerAndFewer(t *testing.T) {
	for _, tt := range []struct {
		name    string
		started bool // platform.start is in time
		late    time.Duration
		want    []int // of 60 invocations, 10 s apart
	}{
		{"all of it comes in the next invocation", false, 10 * time.Second, []int{0, 3, 7, 13, 23, 33, 43, 53}},
		{"all of it comes before the next invocation", false, 9 * time.Second, []int{0, 2, 5, 10, 19, 28, 37, 46, 55}},
		{"only the start is in time", true, 9 * time.Second, []int{0, 2, 5, 10, 19, 28, 37, 46, 55}},
		{"none of it comes", false, 24 * time.Hour, []int{0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				for i := range 60 {
					at, request := time.Duration(10*i+10)*time.Second, fmt.Sprint("r", i)
					if tt.started {
						s.invoke(at, request, 5*time.Second)
					} else {
						s.invokeSilently(at, request, 5*time.Second)
					}
					if tt.late < time.Hour {
						s.telemetry(at+tt.late+ms, s.event(at, event.TypePlatformStart, request), s.runtimeDone(at+ms, request), s.report(at+ms, request))
					}
				}
				s.finish()
				var held []int
				for i, line := range s.only("Released") {
					if !strings.HasSuffix(line, "no-telemetry") {
						held = append(held, i)
					}
				}
				if !slices.Equal(held, tt.want) {
					t.Errorf("held %v, want %v", held, tt.want)
				}
			})
		})
	}
}

// No invocation waits within the deadline's margin, even if Lambda sends no telemetry.
func TestNoTelemetryAndANearDeadline(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.invokeSilently(10*time.Second, "a", 600*ms)
		s.invokeSilently(20*time.Second, "b", 600*ms)
		s.finish()
		s.want([]string{"Released"}, "10.5s Released a 0s end", "20s Released b 0s no-telemetry")
	})
}

// Lambda retries an asynchronous invocation that failed under the same id, and often in
// the same environment: the events of the first attempt do not count for the second.
func TestARequestThatIsTriedAgainIsHeldForItsOwnRuntimeDone(t *testing.T) {
	for _, between := range []int{0, 1, 5} {
		inFakeTime(t, func(s *fixture) {
			s.pipeline.flush = 10 * ms
			try := func(at time.Duration, request string) {
				s.invoke(at, request, 10*time.Second)
				s.telemetry(at+225*ms, s.runtimeDone(at+200*ms, request))
			}
			try(time.Second, "a")
			for i := range between {
				try(time.Duration(i+2)*time.Second, string(rune('b'+i)))
			}
			try(61*time.Second, "a")
			try(181*time.Second, "a")
			s.finish()
			got := s.only("Released a")
			want := []string{"1.235s Released a 35ms end", "1m1.235s Released a 35ms end", "3m1.235s Released a 35ms end"}
			if !slices.Equal(got, want) {
				t.Errorf("%d between: %q, want %q", between, got, want)
			}
		})
	}
}

// Nor does it displace what is stored of others.
func TestAnEventThatIsSentAgainIsStoredOnce(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.telemetry(500*ms, s.runtimeDone(500*ms, "a"))
		for i := range 40 { // more than are remembered
			s.telemetry(time.Duration(501+i)*ms, s.runtimeDone(501*ms, "z"))
		}
		s.invoke(time.Second, "a", 10*time.Second)
		s.finish()
		s.want([]string{"Released"}, "1s Released a 0s end")
	})
}

// If telemetry comes again, because Lambda has not received the answer, that has no
// effect.
func TestARuntimeDoneThatIsSentAgainChangesNothing(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.pipeline.flush = 10 * ms
		for i := range 3 {
			at, request := time.Duration(i+1)*time.Second, string(rune('a'+i))
			s.invoke(at, request, 10*time.Second)
			again := s.runtimeDone(at+200*ms, request)
			for late := range 40 { // more than are remembered
				s.telemetry(at+225*ms+time.Duration(late)*ms, again)
			}
		}
		s.finish()
		s.want([]string{"Released"}, "1.235s Released a 35ms end", "2.235s Released b 35ms end", "3.235s Released c 35ms end")
	})
}

// Invoked is called when the INVOKE comes, before any telemetry of the invocation.
func TestThePipelineReceivesEachInvocationWithItsARNAndTrace(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.invoke(time.Second, "a", 10*time.Second)
		s.telemetry(1225*ms, s.runtimeDone(1200*ms, "a"))
		s.invoke(2*time.Second, "b", 10*time.Second)
		s.telemetry(2225*ms, s.runtimeDone(2200*ms, "b"))
		s.finish()
		if want := []string{"a arn:a Root=1-a", "b arn:b Root=1-b"}; !slices.Equal(s.pipeline.invoked, want) {
			t.Errorf("invocations: %q, want %q", s.pipeline.invoked, want)
		}
	})
}
