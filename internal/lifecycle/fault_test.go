package lifecycle_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/flush"
)

// blocked makes methods of the pipeline block from a time on, even if their context
// ends. They return when the test is over, so that the synctest bubble can check that
// nothing else still runs.
func (s *fixture) blocked(from time.Duration, methods ...string) (release func()) {
	over := make(chan struct{})
	s.pipeline.fault = func(method string) {
		if time.Since(s.start) >= from && slices.Contains(methods, method) {
			<-over
		}
	}
	return sync.OnceFunc(func() {
		close(over)
		synctest.Wait()
	})
}

// slow are the methods that may block.
func slow() []string {
	return []string{"Thawed", "Restored", "Seal", "Flush", "Ending", "Finish"}
}

func snapStart(cfg *config.Config) { cfg.Lambda.Initialization = config.SnapStart }

func never(cfg *config.Config) { cfg.MaxHold = 0 }

// threeInvocations are of 200 ms each, at 1 s, 2 s and 3 s, and Lambda shuts
// down at 10 s, with 2 s for it.
func (s *fixture) threeInvocations() {
	for i := range 3 {
		at, request := time.Duration(i+1)*time.Second, string(rune('a'+i))
		s.invoke(at, request, 10*time.Second)
		s.telemetry(at+200*ms, s.runtimeDone(at+200*ms, request))
	}
	s.shutdown(10*time.Second, 2*time.Second)
}

// A lock that is never released, or a disk that does not answer, costs telemetry and,
// if the invocation is held, the longest hold; never the invocation.
func TestNextIsCalledIfThePipelineHangs(t *testing.T) {
	held := []string{"0s next", "1.7s next", "2.7s next", "3.7s next"}
	atOnce := []string{"0s next", "1s next", "2s next", "3s next"}
	sent := []string{"0s next", "1.2s next", "2.2s next", "3.2s next"}
	for _, tt := range []struct {
		name   string
		change func(*config.Config)
		// latest is when next has to be called, by method; others does for those
		// that are not named.
		latest map[string][]string
		others []string
	}{
		{"end", func(*config.Config) {}, map[string][]string{"Thawed": held, "Flush": held}, sent},
		{"adaptive", adaptive, map[string][]string{"Thawed": held, "Flush": held}, sent},
		{"interval", func(cfg *config.Config) { cfg.Flush = flush.ModeInterval }, nil, atOnce},
		{"no hold", never, nil, atOnce},
		{"no hold, adaptive", func(cfg *config.Config) { adaptive(cfg); never(cfg) }, nil, atOnce},
		{"restored from a snapshot", snapStart, map[string][]string{"Thawed": held, "Restored": held, "Flush": held}, sent},
	} {
		for _, method := range slow() {
			t.Run(tt.name+", "+method, func(t *testing.T) {
				inFakeTime(t, func(s *fixture) {
					release := s.blocked(500*ms, method) // the init is over
					defer release()
					s.telemetry(100*ms, s.initDone(100*ms))
					s.threeInvocations()
					if err := s.run(); err != nil {
						t.Errorf("Run returned %v", err)
					}
					latest, ok := tt.latest[method]
					if !ok {
						latest = tt.others
					}
					if tt.name == "restored from a snapshot" {
						latest = append([]string{"300ms next"}, latest[1:]...)
					}
					got := s.only("next")
					if len(got) != len(latest) {
						t.Fatalf("next is called at %q, want %q", got, latest)
					}
					for i := range got {
						if s.instant(got[i]) > s.instant(latest[i]) {
							t.Errorf("next is called at %q, want %q at the latest", got, latest)
						}
					}
					if end := s.only("end"); len(end) != 1 || s.instant(end[0]) >= 12*time.Second {
						t.Errorf("it ends at %q, when Lambda kills it", end)
					}
					release()
				}, tt.change)
			})
		}
	}
}

// A hang must not delay the exit: it is logged, and the process ends.
func TestAShutdownThatHangsIsLogged(t *testing.T) {
	for _, method := range []string{"Ending", "Finish"} {
		for _, left := range []time.Duration{2 * time.Second, 200 * ms, 10 * ms, -time.Second} {
			t.Run(fmt.Sprintf("%s, with %s", method, left), func(t *testing.T) {
				inFakeTime(t, func(s *fixture) {
					release := s.blocked(0, method)
					defer release()
					s.shutdown(10*time.Second, left)
					if err := s.run(); err != nil {
						t.Errorf("Run returned %v", err)
					}
					// Half of the margin is for the exit, if there is one.
					want := 10*time.Second + max(left-50*ms, 50*ms)
					if end := s.only("end"); len(end) != 1 || s.instant(end[0]) > want {
						t.Errorf("it ends at %q, want %s", end, want)
					}
					if !strings.Contains(s.log.String(), "the shutdown takes too long") {
						t.Errorf("that is not in the log: %s", s.log)
					}
					release()
				})
			})
		}
	}
}

func TestAShutdownInTimeIsNotLogged(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.pipeline.finish = forever // until its context ends
		s.threeInvocations()
		if err := s.run(); err != nil {
			t.Errorf("Run returned %v", err)
		}
		if s.log.Len() > 0 {
			t.Errorf("the log has %s", s.log)
		}
		s.want([]string{"end"}, "11.9s end")
	})
}

// A signal has no deadline. The shutdown takes no longer than Lambda allows for one.
func TestSignalEndsAPipelineThatHangs(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		release := s.blocked(0, "Flush", "Finish")
		defer release()
		s.invoke(time.Second, "a", time.Hour)
		s.telemetry(1200*ms, s.runtimeDone(1200*ms, "a"))
		s.at(5*time.Second, s.stop)
		if err := s.run(); err != nil {
			t.Errorf("Run returned %v", err)
		}
		if end := s.only("end"); len(end) != 1 || s.instant(end[0]) >= 7*time.Second {
			t.Errorf("it ends at %q", end)
		}
		release()
	})
}

// A method that hung and returns works again.
func TestAPipelineThatHungIsUsedAgain(t *testing.T) {
	for _, method := range []string{"Thawed", "Flush", "Seal"} {
		t.Run(method, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				release := s.blocked(0, method)
				s.at(20*time.Second, release)
				for i := range 4 {
					at, request := time.Duration(10*i+1)*time.Second, string(rune('a'+i))
					s.invoke(at, request, 10*time.Second)
					s.telemetry(at+200*ms, s.runtimeDone(at+200*ms, request))
				}
				s.finish()
				got := s.only("next")
				if len(got) != 5 || got[4] != "31.2s next" {
					t.Errorf("next is called at %q", got)
				}
				if flushes := s.only("Flush"); len(flushes) == 0 || flushes[len(flushes)-1] != "31.2s Flush" {
					t.Errorf("flushes: %q", flushes)
				}
				if thaws := s.only("Thawed"); len(thaws) == 0 || thaws[len(thaws)-1] != "31s Thawed 3s" {
					t.Errorf("thaws: %q", thaws)
				}
			}, func(cfg *config.Config) { cfg.FlushInterval = 3 * time.Second })
		})
	}
}

// methods are all methods of the pipeline that the loop calls in an environment that
// comes from a snapshot, with KINETEL_STRICT.
func methods() []string { return append(slow(), "Unavailable", "Behind", "Released", "PermanentError") }

// A panic costs what was being done, and nothing else: Lambda treats the exit of the
// process as a crash, and fails the function.
func TestNextIsCalledIfThePipelinePanics(t *testing.T) {
	always := func(int) bool { return true }
	for _, tt := range []struct {
		name   string
		panics func(call int) bool // from 1, of the method
	}{
		{"always", always},
		{"the first time", func(call int) bool { return call == 1 }},
		{"the second time", func(call int) bool { return call == 2 }},
	} {
		for _, mode := range []flush.Mode{flush.ModeAdaptive, flush.ModeEnd, flush.ModeInterval} {
			for _, method := range methods() {
				t.Run(fmt.Sprintf("%s, %s, %s", tt.name, mode, method), func(t *testing.T) {
					inFakeTime(t, func(s *fixture) {
						var mu sync.Mutex
						calls, panics := 0, 0
						s.pipeline.fault = func(called string) {
							mu.Lock()
							defer mu.Unlock()
							if called != method {
								return
							}
							if calls++; tt.panics(calls) {
								panics++
								panic("out of " + method)
							}
						}
						s.telemetry(100*ms, s.initDone(100*ms))
						s.threeInvocations()
						if err := s.run(); err != nil {
							t.Errorf("Run returned %v", err)
						}
						s.want([]string{"end"}, "10.3s end")
						got := s.only("next")
						if len(got) != 4 {
							t.Fatalf("next is called at %q", got)
						}
						for i, line := range got[1:] {
							// No invocation waits for what will never come.
							if at := time.Duration(i+1)*time.Second + 200*ms; s.instant(line) > at {
								t.Errorf("next is called at %q", got)
							}
						}
						mu.Lock()
						defer mu.Unlock()
						if logged := strings.Count(s.log.String(), "out of "+method); logged != panics {
							t.Errorf("%d panics, and the log has %d: %s", panics, logged, s.log)
						}
						if always := tt.name == "always"; always && panics == 0 && mode == flush.ModeAdaptive {
							t.Errorf("%s is never called", method)
						}
					}, snapStart, func(cfg *config.Config) {
						cfg.Flush, cfg.Strict, cfg.FlushInterval = mode, true, 4*time.Second
					})
				})
			}
		}
	}
}

// If the decision fails, the invocation has begun all the same.
func TestAnInvocationBeginsIfTheDecisionPanics(t *testing.T) {
	for _, method := range []string{"Unavailable", "Behind"} {
		t.Run(method, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				s.pipeline.fault = func(called string) {
					if called == method {
						panic("out of " + method)
					}
				}
				s.telemetry(100*ms, line())
				s.threeInvocations()
				if err := s.run(); err != nil {
					t.Errorf("Run returned %v", err)
				}
				s.want([]string{"Restored", "Thawed"}, "1s Restored", "1s Thawed 1h0m0s", "2s Thawed 1h0m0s", "3s Thawed 1h0m0s")
				if n := len(s.only("Released")); n != 3 {
					t.Errorf("%d of three were reported", n)
				}
			}, snapStart)
		})
	}
}

// The last step of a shutdown runs even if the first panics: it writes to disk what
// cannot be sent.
func TestFinishIsCalledIfEndingPanics(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		s.pipeline.fault = func(called string) {
			if called == "Ending" {
				panic("out of Ending")
			}
		}
		s.shutdown(10*time.Second, 2*time.Second)
		if err := s.run(); err != nil {
			t.Errorf("Run returned %v", err)
		}
		s.want([]string{"Finish", "end"}, "10.04s Finish", "10.04s end")
	})
}

// A worker that hangs leaves the shutdown most of its time.
func TestFinishHasTimeIfTheWorkerHangs(t *testing.T) {
	for _, method := range []string{"Flush", "Thawed"} {
		t.Run(method, func(t *testing.T) {
			inFakeTime(t, func(s *fixture) {
				release := s.blocked(0, method)
				defer release()
				s.threeInvocations()
				if err := s.run(); err != nil {
					t.Errorf("Run returned %v", err)
				}
				if finish := s.only("Finish"); len(finish) != 1 || s.instant(finish[0]) > 11*time.Second {
					t.Errorf("finishes at %q", finish)
				}
				release()
			})
		})
	}
}

// No invocation is held for a worker that hangs, once that is known.
func TestOnlyOneInvocationWaitsForAWorkerThatHangs(t *testing.T) {
	inFakeTime(t, func(s *fixture) {
		release := s.blocked(0, "Flush")
		s.at(20*time.Second, release)
		for i := range 4 {
			at, request := time.Duration(10*i+1)*time.Second, string(rune('a'+i))
			s.invoke(at, request, 10*time.Second)
			s.telemetry(at+200*ms, s.runtimeDone(at+200*ms, request))
		}
		s.finish()
		s.want([]string{"Released"}, "1.7s Released a 500ms end", "11s Released b 0s unavailable", "21.2s Released c 0s end", "31.2s Released d 0s end")
	})
}

// Tasks that were requested while the worker was busy are done in order: connections
// from before a freeze are closed before anything is sent.
func TestThawedComesBeforeTheFlush(t *testing.T) {
	for range 20 { // a select chooses between two at random
		inFakeTime(t, func(s *fixture) {
			s.pipeline.fault = func(method string) {
				if method == "Seal" && time.Since(s.start) < 2*time.Second {
					time.Sleep(500 * ms) // fake time
				}
			}
			s.invoke(1100*ms, "a", 10*time.Second)
			s.telemetry(1200*ms, s.runtimeDone(1200*ms, "a"))
			s.shutdown(5*time.Second, 2*time.Second)
			if err := s.run(); err != nil {
				t.Errorf("Run returned %v", err)
			}
			got := s.only("Thawed", "Flush")
			want := []string{"1.5s Thawed 1s", "1.5s Flush"}
			if len(got) < 2 || !slices.Equal(got[:2], want) {
				t.Errorf("%q, want first %q", got, want)
			}
		}, func(cfg *config.Config) { cfg.FlushInterval = time.Second })
	}
}
