package pipeline

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/telemetry"
	"github.com/kinetel/kinetel/record"
)

// id returns the id of the environment whose events the process numbers.
func (p *process) id() string { return p.own().Environment().ID }

func snapStart(cfg *config.Config) { cfg.Lambda.Initialization = config.SnapStart }

// ingest ingests an event of a type with a record.
func (p *process) ingest(kind, record string) {
	p.intake.Ingest(&event.Event{Received: time.Now(), Type: []byte(kind), Record: []byte(record)})
	p.intake.Commit(nil)
}

// sent returns the events of an environment, except reports, in the order of their
// numbers, each once.
func (s *stream) sent(environment string) (events []record.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	byNumber := map[uint64]record.Event{}
	last := uint64(0)
	for _, a := range s.arrivals {
		if a.InstanceID() == environment {
			byNumber[a.Seq] = a.Event
			last = max(last, a.Seq)
		}
	}
	for seq := uint64(1); seq <= last; seq++ {
		if e, ok := byNumber[seq]; ok && e.Type != event.TypeReport {
			events = append(events, e)
		}
	}
	return events
}

// lines returns events as text, with their numbers, and without the body of a
// kinetel.environment.
func lines(events []record.Event) (all []string) {
	for _, e := range events {
		if e.Type == event.TypeEnvironment {
			e.Body = nil
		}
		all = append(all, fmt.Sprintf("%d %s %s", e.Seq, e.Type, e.Body))
	}
	return all
}

// A restore begins one new environment, however it is reported, and however often.
func TestARestoreBeginsOneNewEnvironment(t *testing.T) {
	for _, tt := range []struct {
		name   string
		events func(p *process) // after the restore, with the two signs of it
	}{
		{"restoreStart comes first", func(p *process) {
			p.ingest(event.TypePlatformRestoreStart, `{"functionName":"orders"}`)
			p.ingest("function", `"one"`)
			p.Restored() // as the loop does with INVOKE
		}},
		{"INVOKE comes first", func(p *process) {
			p.Restored()
			p.ingest(event.TypePlatformRestoreStart, `{"functionName":"orders"}`)
			p.ingest("function", `"one"`)
		}},
		{"reported several times", func(p *process) {
			for range 3 {
				p.Restored()
			}
			p.ingest(event.TypePlatformRestoreStart, `{"functionName":"orders"}`)
			p.Restored()
			p.ingest("function", `"one"`)
			p.Restored()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inSandbox(t, func(t *testing.T, box *sandbox) {
				p := box.process
				before := p.id()
				p.ingest("platform.initRuntimeDone", `{}`)
				p.ingest("function", `"loaded"`)
				synctest.Wait()
				tt.events(p)
				after := p.id()
				p.Seal()
				time.Sleep(time.Second)
				if n := len(box.stream.environments()); n != 2 || before == after || len(after) != len(before) {
					t.Errorf("%d environments; before %s, after %s", n, before, after)
				}
				if diff := cmp.Diff([]string{"1 platform.initRuntimeDone {}", `2 function "loaded"`}, lines(box.stream.sent(before))); diff != "" {
					t.Errorf("before (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff([]string{`1 platform.restoreStart {"functionName":"orders"}`, "2 kinetel.environment ", `3 function "one"`}, lines(box.stream.sent(after))); diff != "" {
					t.Errorf("after (-want +got):\n%s", diff)
				}
			}, snapStart)
		})
	}
}

func TestAProcessThatIsNotRestoredHasOneEnvironment(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		p := box.process
		for range 5 {
			p.ingest("platform.restoreRuntimeDone", `{"status":"success"}`)
			p.ingest("platform.restoreReport", `{"status":"success"}`)
			p.Thawed(0)
			time.Sleep(time.Minute)
		}
		if n := len(box.stream.environments()); n != 1 {
			t.Errorf("%d environments", n)
		}
	}, snapStart)
}

// Connections and credentials from a snapshot are invalid.
func TestAfterARestoreConnectionsAndCredentialsAreNew(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		counts := func() [2]int {
			box.stream.mu.Lock()
			defer box.stream.mu.Unlock()
			return [2]int{box.stream.closed, box.stream.invalidated}
		}
		for range 3 {
			box.process.ingest("function", `"before"`)
			box.process.Seal()
			time.Sleep(time.Second)
		}
		if got := counts(); got != [2]int{} {
			t.Errorf("before, connections and credentials were made anew %v times", got)
		}
		box.process.ingest(event.TypePlatformRestoreStart, `{}`)
		for range 3 {
			box.process.Seal()
			box.process.Restored()
			time.Sleep(time.Second)
			box.process.ingest("function", `"after"`)
		}
		if got := counts(); got != [2]int{1, 1} {
			t.Errorf("after, connections and credentials were made anew %v times, want once each", got)
		}
	}, snapStart)
}

// The figures of a report are those of its own environment.
func TestAReportAfterARestoreIsOfTheNewEnvironment(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		p := box.process
		for range 100 {
			p.ingest("function", `"init"`)
		}
		time.Sleep(10 * time.Minute)
		p.Seal() // with a report
		time.Sleep(3 * time.Hour)
		p.ingest(event.TypePlatformRestoreStart, `{}`)
		p.ingest("function", `"one"`)
		p.Seal()
		time.Sleep(30 * time.Second)
		if n := len(box.stream.reports(t)); n != 1 {
			t.Errorf("%d reports, want the first one only", n)
		}
		time.Sleep(30 * time.Second)
		p.Seal()
		time.Sleep(time.Second)
		reports := box.stream.reports(t)
		if len(reports) != 2 {
			t.Fatalf("%d reports a minute after the restore, want 2", len(reports))
		}
		last := reports[1]
		if last.UptimeMs != 60_000 || last.Received.Events != 2 || last.Recovered != 100 {
			t.Errorf("the report: %+v", last)
		}
		mine := box.stream.sent(p.id())
		if len(mine) != 3 { // with what it is
			t.Errorf("of the new environment there are %v", lines(mine))
		}
	}, snapStart)
}

// Telemetry that comes while the restore is noticed is numbered in one environment or
// the other. Telemetry that comes later is numbered only in the new one.
func TestTelemetryThatComesDuringARestoreIsNumberedOnce(t *testing.T) {
	times := 30
	if testing.Short() {
		times = 10
	}
	for range times {
		inSandbox(t, func(t *testing.T, box *sandbox) {
			p := box.process
			before := p.id()
			const n = 200
			atRestore := make(chan int, 1) // how many were ingested when the restore was noticed
			var ingested atomic.Int64
			go func() {
				for ingested.Load() < n/4 {
					runtime.Gosched()
				}
				p.Restored()
				atRestore <- int(ingested.Load())
			}()
			for i := range n {
				p.ingest("function", fmt.Sprint(i))
				ingested.Store(int64(i + 1))
				if i%8 == 0 {
					runtime.Gosched()
				}
			}
			latest := <-atRestore
			p.Seal()
			time.Sleep(time.Second)
			old, young := box.stream.sent(before), box.stream.sent(p.id())
			if len(old)+len(young) != n || len(old) < n/4 || len(old) > latest+1 {
				t.Errorf("%d events before and %d after, of %d; %d were ingested at the restore", len(old), len(young), n, latest)
			}
			for i, e := range append(old, young...) {
				if string(e.Body) != fmt.Sprint(i) {
					t.Fatalf("event %d is %s", i, e.Body)
				}
			}
		}, withSpool(config.SpoolAlways), snapStart)
	}
}

// Events that were ingested before a restore have the same numbers in all environments
// of the snapshot, whenever each of them sends them: so a consumer knows that they are
// the same events.
func TestEventsFromBeforeARestoreKeepTheirNumbers(t *testing.T) {
	type outcome struct{ before, after []string }
	for _, spool := range []config.Spool{config.SpoolOff, config.SpoolOverflow, config.SpoolAlways} {
		t.Run(string(spool), func(t *testing.T) {
			var outcomes []outcome
			for _, tt := range []struct {
				name string
				send func(box *sandbox) // before the restore
			}{
				{"all was sent", func(box *sandbox) { box.process.Seal(); time.Sleep(time.Second) }},
				{"some was sent", func(box *sandbox) {
					box.stream.become(throttlesHotKey) // of which there may be none
					box.process.Seal()
					time.Sleep(time.Second)
				}},
				{"a request is in flight", func(box *sandbox) {
					box.stream.become(acceptsSlowly)
					box.process.Seal()
					time.Sleep(100 * time.Millisecond)
				}},
				{"Kinesis accepts nothing", func(box *sandbox) { box.stream.become(denies); box.process.Seal(); time.Sleep(time.Second) }},
				{"nothing was cut", func(*sandbox) {}},
			} {
				inSandbox(t, func(t *testing.T, box *sandbox) {
					p := box.process
					before := p.id()
					for i := range 4 {
						p.ingest("function", fmt.Sprintf(`"before %d"`, i))
						if i == 1 {
							p.Seal()
						}
					}
					p.ingest(event.TypePlatformReport, `{"requestId":"init"}`)
					tt.send(box)
					p.ingest(event.TypePlatformRestoreStart, `{}`)
					after := p.id()
					for i := range 3 {
						p.ingest("function", fmt.Sprintf(`"after %d"`, i))
					}
					box.stream.become(accepts)
					p.Restored()
					p.Seal()
					time.Sleep(time.Minute)
					outcomes = append(outcomes, outcome{lines(box.stream.sent(before)), lines(box.stream.sent(after))})
					if n := len(box.stream.environments()); n != 2 {
						t.Errorf("%s: %d environments", tt.name, n)
					}
				}, withSpool(spool), snapStart)
			}
			want := outcome{
				before: []string{
					`1 function "before 0"`, `2 function "before 1"`, `3 function "before 2"`, `4 function "before 3"`, `5 platform.report {"requestId":"init"}`,
					`6 kinetel.invocation {"requestId":"init","metrics":{},"coldStart":false,"initType":"snap-start"}`,
				},
				after: []string{`1 platform.restoreStart {}`, `2 kinetel.environment `, `3 function "after 0"`, `4 function "after 1"`, `5 function "after 2"`},
			}
			for i, got := range outcomes {
				if diff := cmp.Diff(want, got, cmp.AllowUnexported(outcome{})); diff != "" {
					t.Errorf("outcome %d (-want +got):\n%s", i+1, diff)
				}
			}
		})
	}
}

// timed returns an event with a time.
func timed(at, kind, record string) *event.Event {
	return &event.Event{Time: []byte(at), Received: time.Now(), Type: []byte(kind), Record: []byte(record)}
}

// post ingests a body of events.
func (p *process) post(events ...*event.Event) {
	for _, ev := range events {
		p.intake.Ingest(ev)
	}
	p.intake.Commit(nil)
	p.intake.Acknowledged()
}

// Lambda may send events from before the snapshot only when a clone runs, in any order.
// All clones get them, so they have the same environment and numbers in all clones.
func TestTelemetryOfTheSnapshotThatComesAfterTheRestore(t *testing.T) {
	snapshot := map[string]*event.Event{
		"initStart":   timed("2026-09-21T06:00:00.101Z", event.TypePlatformInitStart, `{"initializationType":"snap-start","phase":"init","instanceId":"SNAPSHOT"}`),
		"line":        timed("2026-09-21T06:00:02.000Z", event.TypeFunction, `"classes loaded"`),
		"runtimeDone": timed("2026-09-21T06:00:07.480Z", event.TypePlatformInitRuntimeDone, `{"initializationType":"snap-start","phase":"init","status":"success"}`),
		"ready":       timed("2026-09-21T06:00:07.480Z", event.TypePlatformExtension, `{"name":"kinetel","state":"Ready"}`),
		"initReport":  timed("2026-09-21T06:00:07.481Z", event.TypePlatformInitReport, `{"initializationType":"snap-start","phase":"init","status":"success"}`),
	}
	init := []*event.Event{snapshot["initStart"], snapshot["line"], snapshot["runtimeDone"], snapshot["ready"], snapshot["initReport"]}
	restoreStart := timed("2026-09-21T10:00:00.100Z", event.TypePlatformRestoreStart, `{"functionName":"orders","instanceId":"RESTORED"}`)
	hook := timed("2026-09-21T10:00:00.200Z", event.TypeFunction, `"hook"`)
	restored := timed("2026-09-21T10:00:00.301Z", event.TypePlatformRestoreReport, `{"status":"success"}`)
	start := timed("2026-09-21T10:00:00.310Z", event.TypePlatformStart, `{"requestId":"r1"}`)
	line := timed("2026-09-21T10:00:00.320Z", event.TypeFunction, `"hello"`)
	untimed := &event.Event{Received: time.Now(), Type: []byte(event.TypeFunction), Record: []byte(`"of no time"`)}

	before := []string{
		"1 platform.initStart", "2 kinetel.environment SNAPSHOT", `3 function "classes loaded"`, "4 platform.initRuntimeDone", "5 platform.extension", "6 platform.initReport",
	}
	after := []string{"1 platform.restoreStart", "2 kinetel.environment RESTORED", `3 function "hook"`, "4 platform.restoreReport", "5 platform.start", `6 function "hello"`, `7 function "of no time"`}
	for _, tt := range []struct {
		name          string
		post          func(p *process)
		before, after []string
	}{
		{"before INVOKE, in one body", func(p *process) {
			p.post(slices.Concat(init, []*event.Event{restoreStart, hook, restored, start, line, untimed})...)
			p.Restored()
		}, before, after},
		{"after INVOKE, in one body", func(p *process) {
			p.Restored()
			p.post(slices.Concat(init, []*event.Event{restoreStart, hook, restored, start, line, untimed})...)
		}, before, after},
		{"after INVOKE, each in a body", func(p *process) {
			p.Restored()
			for _, ev := range slices.Concat([]*event.Event{restoreStart}, init, []*event.Event{hook, restored, start, line, untimed}) {
				p.post(ev)
			}
		}, before, after},
		{"behind the restore, in one body", func(p *process) {
			p.post(slices.Concat([]*event.Event{restoreStart, hook, restored}, init, []*event.Event{start, line, untimed})...)
		}, before, after},
		{"at the end of the invocation", func(p *process) {
			p.post(restoreStart, hook, restored, start, line, untimed)
			p.post(init...)
		}, before, after},
		{"without a restoreStart", func(p *process) {
			p.Restored()
			p.post(slices.Concat(init, []*event.Event{hook, restored, start, line})...)
		}, before, []string{`1 function "hook"`, "2 platform.restoreReport", "3 kinetel.environment ", "4 platform.start", `5 function "hello"`}},
		{"without a restoreStart, and after the start", func(p *process) {
			p.Restored()
			p.post(start, line)
			p.post(init...)
		}, before, []string{"1 kinetel.environment ", "2 platform.start", `3 function "hello"`}},
		{"without an init type", func(p *process) {
			p.post(restoreStart, hook, restored, start)
			p.post(timed("2026-09-21T10:00:00.305Z", event.TypePlatformInitReport, `{"metrics":{"durationMs":7380.5}}`)) // sent with the invocation
			p.post(line, untimed)
		}, []string{"1 platform.initReport"}, after},
		{"a restore in the future", func(p *process) {
			p.Restored()
			p.post(timed("2096-09-21T10:00:00.100Z", event.TypePlatformRestoreStart, `{"instanceId":"RESTORED"}`), start)
			p.post(&event.Event{Time: []byte(time.Now().Add(time.Second).UTC().Format(event.TimeFormat)), Received: time.Now(), Type: []byte(event.TypeFunction), Record: []byte(`"hello"`)})
		}, nil, []string{"1 platform.restoreStart", "2 kinetel.environment RESTORED", "3 platform.start", `4 function "hello"`}},
		{"of an init in this very environment", func(p *process) {
			p.Restored()
			p.post(timed("2026-09-21T10:00:00.320Z", event.TypePlatformInitStart, `{"initializationType":"on-demand","phase":"invoke","instanceId":"RESET"}`), start)
		}, nil, []string{"1 platform.initStart", "2 kinetel.environment RESET", "3 platform.start"}},
	} {
		for _, spool := range []config.Spool{config.SpoolOff, config.SpoolAlways} {
			t.Run(fmt.Sprintf("%s, spool %s", tt.name, spool), func(t *testing.T) {
				inSandbox(t, func(t *testing.T, box *sandbox) {
					p := box.process
					id := p.id()
					tt.post(p)
					p.Seal()
					time.Sleep(time.Second)
					short := func(events []record.Event) (all []string) {
						for _, e := range events {
							var body struct {
								Attributes struct {
									Streams []string `json:"aws.log.stream.names"`
								}
							}
							text := ""
							switch e.Type {
							case event.TypeFunction:
								text = " " + string(e.Body)
							case event.TypeEnvironment:
								if err := json.Unmarshal(e.Body, &body); err != nil {
									t.Error(err)
								}
								text = " " + strings.Join(body.Attributes.Streams, ",")
							}
							all = append(all, fmt.Sprintf("%d %s%s", e.Seq, e.Type, text))
						}
						return all
					}
					if diff := cmp.Diff([][]string{tt.before, tt.after}, [][]string{short(box.stream.sent(id)), short(box.stream.sent(p.id()))}); diff != "" {
						t.Errorf("events before and after the restore (-want +got):\n%s", diff)
					}
				}, withSpool(spool), snapStart)
			})
		}
	}
}

// The losses of the environment before a restore are reported under its id.
func TestLossesFromBeforeARestoreKeepTheirEnvironment(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		p := box.process
		p.ingest("function", `"fine"`)
		p.Seal()
		time.Sleep(time.Second)
		box.stream.become(refusesPoison)
		box.poisoned = true
		p.ingest("function", `"`+poison+`"`)
		before := p.id()
		p.ingest(event.TypePlatformRestoreStart, `{}`)
		time.Sleep(time.Second)
		p.Seal()
		time.Sleep(time.Second)
		got := lines(box.stream.sent(before))
		if len(got) != 2 || !strings.HasPrefix(got[1], `3 kinetel.loss {"firstSeq":2,"lastSeq":2,"count":1,`) {
			t.Errorf("of before there are %q", got)
		}
		if got := lines(box.stream.sent(p.id())); len(got) != 2 { // with what it is
			t.Errorf("of after there are %q", got)
		}
	}, snapStart)
}

// A record that Lambda cut may begin before a restore and end after it. It is one event
// of the new environment.
func TestAFragmentAcrossARestoreIsSentOnce(t *testing.T) {
	for _, kill := range []bool{false, true} {
		for _, rest := range []bool{false, true} {
			t.Run(fmt.Sprintf("killed %t, with its rest %t", kill, rest), func(t *testing.T) {
				inSandbox(t, func(t *testing.T, box *sandbox) {
					box.add(2, 10, true)
					id := box.process.fragment[strings.Index(box.process.fragment, "id-"):]
					box.restore()
					if rest {
						box.add(1, 10, false)
					}
					if kill {
						box.kill()
					} else {
						box.finish(time.Second)
					}
					for range 2 {
						box.begin()
						synctest.Wait()
						box.process.Seal()
						box.finish(time.Second)
					}
					n := 0
					for _, kind := range []string{"function", event.TypeUnparsed} {
						for _, body := range box.stream.bodies(kind) {
							n += strings.Count(body, id)
						}
					}
					if n != 1 {
						t.Errorf("the record arrived %d times", n)
					}
					if files, _ := filepath.Glob(filepath.Join(box.cfg.SpoolDir, "*", "*")); len(files) > 0 {
						t.Errorf("on disk there is left %v", files)
					}
					box.begin()
				}, withSpool(config.SpoolAlways), snapStart)
			})
		}
	}
}

// The process after one that was killed after a restore recovers two environments.
func TestBothEnvironmentsOfAKilledProcessAreSent(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		p := box.process
		box.stream.become(hangs)
		before := p.id()
		p.ingest("function", `"b"`)
		p.ingest(event.TypePlatformRestoreStart, `{}`)
		after := p.id()
		p.ingest("function", `"a"`)
		box.kill()
		box.stream.become(accepts)
		box.begin()
		synctest.Wait()
		time.Sleep(10 * time.Second)
		box.process.Seal()
		time.Sleep(time.Second)
		got := [][]string{lines(box.stream.sent(before)), lines(box.stream.sent(after))}
		if diff := cmp.Diff([][]string{{`1 function "b"`}, {"1 platform.restoreStart {}", "2 kinetel.environment ", `3 function "a"`}}, got); diff != "" {
			t.Errorf("arrived (-want +got):\n%s", diff)
		}
	}, withSpool(config.SpoolAlways), snapStart)
}

// The telemetry of a SnapStart function, as Lambda posts it.
func TestTheTelemetryOfASnapStartFunction(t *testing.T) {
	text, err := os.ReadFile("../../internal/telemetry/testdata/snapstart.json")
	if err != nil {
		t.Fatal(err)
	}
	var said, after []string
	for body := range bytes.Lines(text) {
		var events []struct{ Type string }
		if err := json.Unmarshal(body, &events); err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if len(after) > 0 || e.Type == event.TypePlatformRestoreStart {
				after = append(after, e.Type)
				switch e.Type {
				case event.TypePlatformReport:
					after = append(after, event.TypeInvocation)
				case event.TypePlatformRestoreStart:
					after = append(after, event.TypeEnvironment)
				}
				continue
			}
			said = append(said, e.Type)
			if e.Type == event.TypePlatformInitStart {
				said = append(said, event.TypeEnvironment)
			}
		}
	}
	types := func(events []record.Event) (all []string) {
		for i, e := range events {
			if e.Seq != uint64(i+1) {
				t.Errorf("event %d has the number %d", i+1, e.Seq)
			}
			all = append(all, e.Type)
		}
		return all
	}
	inSandbox(t, func(t *testing.T, box *sandbox) {
		p := box.process
		before := p.id()
		decoder := telemetry.NewDecoder(p.intake.Ingest, p.intake.Unparsed)
		for body := range bytes.Lines(text) {
			decoder.Decode(bytes.TrimSpace(body), time.Now())
			p.intake.Commit(decoder.Fragment())
			p.intake.Acknowledged()
			time.Sleep(time.Second)
		}
		p.Seal()
		time.Sleep(time.Second)
		if diff := cmp.Diff([][]string{said, after}, [][]string{types(box.stream.sent(before)), types(box.stream.sent(p.id()))}); diff != "" || len(said) < 5 {
			t.Errorf("events before and after the restore (-want +got):\n%s", diff)
		}
		summaries := box.stream.bodies(event.TypeInvocation)
		if len(summaries) != 2 || !strings.Contains(summaries[0], `"restoreDurationMs":201.7`) || !strings.Contains(summaries[0], `"coldStart":true`) || !strings.Contains(summaries[1], `"coldStart":false`) {
			t.Errorf("invocations: %v", summaries)
		}
	}, snapStart)
}

// Only SnapStart has restores, one each. Otherwise the event has no effect, whatever
// process sent it.
func TestARestoreStartWithoutSnapStartChangesNothing(t *testing.T) {
	for _, kind := range []config.Initialization{"", config.OnDemand, config.ProvisionedConcurrency, config.ManagedInstances, "something new"} {
		t.Run(string(kind), func(t *testing.T) {
			inSandbox(t, func(t *testing.T, box *sandbox) {
				p := box.process
				before := p.id()
				p.ingest(event.TypePlatformInitStart, `{"initializationType":"on-demand","phase":"init","instanceId":"mine"}`)
				p.ingest(event.TypePlatformStart, `{"requestId":"r1"}`)
				p.ingest(event.TypePlatformRestoreStart, `{"instanceId":"forged","functionVersion":"7"}`)
				p.ingest("function", `"one"`)
				p.Seal()
				time.Sleep(time.Second)
				if p.id() != before || len(box.stream.environments()) != 1 || box.stream.invalidated != 0 {
					t.Errorf("%d environments", len(box.stream.environments()))
				}
				want := []string{
					`1 platform.initStart {"initializationType":"on-demand","phase":"init","instanceId":"mine"}`, "2 kinetel.environment ",
					`3 platform.start {"requestId":"r1"}`, `4 platform.restoreStart {"instanceId":"forged","functionVersion":"7"}`, `5 function "one"`,
				}
				if diff := cmp.Diff(want, lines(box.stream.sent(before))); diff != "" {
					t.Errorf("arrived (-want +got):\n%s", diff)
				}
				if text := string(p.current.resource.JSON()); strings.Contains(text, "forged") {
					t.Errorf("the environment is %s", text)
				}
			}, func(cfg *config.Config) { cfg.Lambda.Initialization = kind })
		})
	}
}

func TestASecondRestoreStartChangesNothing(t *testing.T) {
	inSandbox(t, func(t *testing.T, box *sandbox) {
		p := box.process
		p.Restored() // known by the first INVOKE
		p.ingest(event.TypePlatformRestoreStart, `{"instanceId":"mine"}`)
		after := p.id()
		p.ingest(event.TypePlatformRestoreStart, `{"instanceId":"forged"}`)
		p.ingest("function", `"one"`)
		p.Seal()
		time.Sleep(time.Second)
		want := []string{`1 platform.restoreStart {"instanceId":"mine"}`, "2 kinetel.environment ", `3 platform.restoreStart {"instanceId":"forged"}`, `4 function "one"`}
		if diff := cmp.Diff(want, lines(box.stream.sent(after))); diff != "" || p.id() != after {
			t.Errorf("arrived (-want +got):\n%s", diff)
		}
		if text := string(p.current.resource.JSON()); strings.Contains(text, "forged") || !strings.Contains(text, "mine") {
			t.Errorf("the environment is %s", text)
		}
	}, snapStart)
}
