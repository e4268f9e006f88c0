package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/ledger"
)

func TestUnsentEventsAreOnDiskForTheNextProcess(t *testing.T) {
	for _, mode := range []mode{denies, hangs, fails, throttles, breaks} {
		t.Run(mode.String(), func(t *testing.T) {
			inSandbox(t, func(t *testing.T, box *sandbox) {
				box.stream.become(mode)
				box.add(10, 100, false)
				box.finish(2 * time.Second)
				logged := box.process.log.Find(slog.LevelDebug, "the environment ends before everything was in Kinesis")
				if len(logged) != 1 || logged[0].Level != slog.LevelError || logged[0].Attrs["spooled_events"].(int64) < 10 || logged[0].Attrs["lost_events"] != int64(0) {
					t.Errorf("log: %v", logged)
				}
				box.stream.become(accepts)
				box.begin()
				synctest.Wait()
				box.process.Seal()
				time.Sleep(time.Second)
				environments := box.stream.environments()
				// Recovered events are sent under the earlier environment's id.
				if n := environments[box.process.own().Environment().ID]; len(environments) != 1 || n > 0 {
					t.Errorf("events by environment: %v", environments)
				}
				for _, r := range box.stream.reports(t) {
					if r.Final && r.Received.Events != 10 {
						t.Errorf("the earlier process' report: %+v", r)
					}
				}
			})
		})
	}
}

func TestUnsentEventsAreReportedLostWithoutASpool(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		box.stream.become(hangs)
		box.add(10, 100, false)
		go func() {
			time.Sleep(1700 * time.Millisecond) // the final batch gets an answer
			box.stream.become(accepts)
		}()
		box.finish(2 * time.Second)
		n := box.process.account.Total() // the lines, the report, and Kinetel's other events
		if n < 11 {
			t.Errorf("%d events are lost", n)
		}
		losses := box.stream.bodies(event.TypeLoss)
		if len(losses) != 1 || !strings.Contains(losses[0], fmt.Sprintf(`"firstSeq":1,"lastSeq":%d,"count":%d,`, n, n)) || !strings.Contains(losses[0], `"reason":"shutdown"`) {
			t.Errorf("losses: %v", losses)
		}
		reports := box.stream.reports(t)
		if len(reports) != 1 || !reports[0].Final || reports[0].Lost[ledger.Shutdown] != n || reports[0].Waiting != 0 {
			t.Errorf("reports: %+v", reports)
		}
		logged := box.process.log.Find(slog.LevelDebug, "the environment ends before everything was in Kinesis")
		if len(logged) != 1 || logged[0].Attrs["reported_in_stream"] != true || logged[0].Attrs["lost_events"] != n {
			t.Errorf("log: %v", logged)
		}
		box.begin()
	}, withSpool(config.SpoolOff))
}

// A last request is useless if Kinesis takes longer to answer than the time for it. That
// time is used to send the records.
func TestASlowKinesisGetsMoreOfTheShutdownTime(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		box.stream.become(acceptsSlowly)
		box.add(10, 100, false)
		box.process.Seal()
		time.Sleep(time.Second)
		box.add(10, 100, false)
		box.finish(430 * time.Millisecond)
		if logged := box.process.log.Find(slog.LevelDebug, "the environment ends before everything was in Kinesis"); len(logged) > 0 {
			t.Errorf("log: %v", logged)
		}
		box.begin()
	}, withSpool(config.SpoolOff))
}

// Records of the final batch that Kinesis has accepted are not sent again.
func TestAFinalBatchThatArrivedIsNotSentAgain(t *testing.T) {
	for _, spool := range []config.Spool{config.SpoolOff, config.SpoolOverflow, config.SpoolAlways} {
		t.Run(string(spool), func(t *testing.T) {
			inSandbox(t, func(t *testing.T, box *sandbox) {
				box.stream.become(denies)
				for range 6 {
					box.add(1, 100, false)
					box.finish(200 * time.Millisecond) // each has a final batch of its own
					box.begin()
				}
				box.add(10, 100, false)
				go func() {
					time.Sleep(1700 * time.Millisecond)
					box.stream.become(throttlesSome)
				}()
				box.stream.become(hangs)
				box.finish(2 * time.Second)
				box.begin()
			}, withSpool(spool))
		})
	}
}

// The process itself reports what it drops in the last moment.
func TestLossesAtTheEndAreReportedInTheStream(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		box.add(1, 10, false)
		box.process.Seal()
		time.Sleep(time.Second)
		box.stream.become(refusesPoison)
		box.poisoned = true
		box.process.intake.Ingest(&event.Event{Received: time.Now(), Type: []byte("function"), Record: []byte(`"` + poison + `"`)})
		box.finish(2 * time.Second)
		if got := box.stream.bodies(event.TypeLoss); len(got) != 1 || !strings.Contains(got[0], "rejected") {
			t.Errorf("losses: %v", got)
		}
		box.begin()
	}, func(cfg *config.Config) { cfg.Report = config.Report{} })
}

// However the intake ends, what was ingested is sent.
func TestFinishSendsEverythingIfTheIntakeDoesNotClose(t *testing.T) {
	for _, tt := range []struct {
		name  string
		close func(ctx context.Context)
	}{
		{"it waits for bodies", func(ctx context.Context) { <-ctx.Done() }},
		{"it panics", func(context.Context) { panic("close") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inSandbox(t, func(t *testing.T, box *sandbox) {
				box.add(10, 100, false)
				box.process.intakeClose = tt.close
				began := time.Now()
				box.finish(2 * time.Second)
				if took := time.Since(began); took > 200*time.Millisecond {
					t.Errorf("the end took %s", took)
				}
				if n := box.process.queue.Waiting().Events; n > 0 {
					t.Errorf("%d events were not sent", n)
				}
				box.begin()
			})
		})
	}
}
