package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/record"
	"github.com/kinetel/kinetel/test/sandbox"
)

// of returns the events of a type.
func of(events []record.Event, kind string) (found []record.Event) {
	for _, e := range events {
		if e.Type == kind {
			found = append(found, e)
		}
	}
	return found
}

func managed(c *lambdasim.Config) {
	c.InitializationType = lambdasim.InitManagedInstances
	c.MemoryMB = 2048
}

// Managed Instances: many requests at once, no platform.runtimeDone, nothing is
// frozen or held.
func TestManagedInstances(t *testing.T) {
	for _, flush := range []string{"adaptive", "end", "interval"} {
		t.Run(flush, func(t *testing.T) {
			t.Parallel()
			r := start(t, sandbox.Options{Env: map[string]string{"KINETEL_FLUSH": flush, "KINETEL_FLUSH_INTERVAL": "200ms"}, Lambda: managed})
			var invoking sync.WaitGroup
			for i := range 40 {
				invoking.Go(func() {
					result, err := r.Sandbox.Invoke(t.Context(), fmt.Appendf(nil, `{"id":"at-once-%d","lines":20,"sleep":"20ms"}`, i))
					if err != nil || result.Status != lambdasim.StatusSuccess {
						t.Errorf("invocation %d: %s %s, %v", i, result.Status, result.ErrorType, err)
					}
				})
			}
			invoking.Wait()
			r.complete()
			invocations := of(r.arrived(), event.TypeInvocation)
			if len(invocations) != 40 {
				t.Fatalf("%d kinetel.invocation for 40 invocations", len(invocations))
			}
			for _, e := range invocations {
				var body struct {
					RequestID string
					HeldMs    *float64
					ColdStart bool
				}
				if err := json.Unmarshal(e.Body, &body); err != nil || body.RequestID == "" || body.HeldMs != nil || body.ColdStart {
					t.Errorf("kinetel.invocation %s: %v", e.Body, err)
				}
			}
		})
	}
}

// What was logged is in Kinesis while the environment runs, not at its end.
func TestManagedInstancesShipAllTheTime(t *testing.T) {
	arrived := make(chan struct{}, 1)
	r := start(t, sandbox.Options{Lambda: managed}, func(c *kinesissim.Config) {
		c.OnRequest = func(o kinesissim.Observation) {
			if o.Records > 0 && o.Failed == 0 {
				select {
				case arrived <- struct{}{}:
				default:
				}
			}
		}
	})
	r.Invoke(`{"id":"alone","lines":10}`)
	for reported := false; !reported; {
		select {
		case <-arrived:
			reported = len(of(r.arrived(), event.TypePlatformReport)) > 0
		case <-time.After(20 * time.Second): // twice the interval
			t.Fatal("the invocation's report is not in the stream though the environment still runs")
		}
	}
	r.complete()
}

// Where Lambda refuses to register extensions for INVOKE, the function runs all the
// same, no invocation is held, and telemetry is sent while the environment lives.
func TestLambdaThatRefusesINVOKE(t *testing.T) {
	for name, change := range map[string]func(*lambdasim.Config){
		"on demand": func(c *lambdasim.Config) { c.RefuseInvoke, c.DisableFreeze = true, true },
		"provisioned concurrency": func(c *lambdasim.Config) {
			c.RefuseInvoke, c.DisableFreeze, c.InitializationType = true, true, lambdasim.InitProvisionedConcurrency
		},
		"SnapStart": func(c *lambdasim.Config) {
			c.RefuseInvoke, c.DisableFreeze, c.InitializationType = true, true, lambdasim.InitSnapStart
		},
		"Managed Instances that are not known as such": func(c *lambdasim.Config) {
			managed(c)
			c.Extensions[0].Env = map[string]string{"AWS_LAMBDA_INITIALIZATION_TYPE": "something new"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			arrived := make(chan struct{}, 1)
			r := start(t, sandbox.Options{Env: map[string]string{"KINETEL_FLUSH_INTERVAL": "100ms"}, Lambda: change}, func(c *kinesissim.Config) {
				c.OnRequest = func(o kinesissim.Observation) {
					select {
					case arrived <- struct{}{}:
					default:
					}
				}
			})
			r.Invoke(`{"id":"hello","lines":10}`)
			timeout := time.After(20 * time.Second)
			for len(of(r.arrived(), event.TypeFunction)) < 10 {
				select {
				case <-arrived:
				case <-timeout:
					t.Fatal("the lines are not in the stream though the environment still runs")
				}
			}
			r.Ended(r.Shutdown())
			if v := r.Verdict(r.arrived()); !v.OK() {
				t.Errorf("%v\n%s", v, strings.Join(v.Examples, "\n"))
			}
			ids := map[string]bool{}
			for _, e := range r.arrived() {
				ids[e.InstanceID()] = true
			}
			if want := map[bool]int{false: 1, true: 2}[name == "SnapStart"]; len(ids) != want {
				t.Errorf("%d environments, want %d", len(ids), want)
			}
			if log := r.LogLines(); len(log) != 1 || !strings.Contains(log[0], "INVOKE") {
				t.Errorf("the log does not have it once: %q", log)
			}
		})
	}
	t.Run("disabled", func(t *testing.T) {
		r := start(t, sandbox.Options{Env: map[string]string{"KINETEL_ENABLED": "false"}, Lambda: func(c *lambdasim.Config) { c.RefuseInvoke = true }})
		if result := r.Invoke(`{"id":"hello","lines":10}`); result.Status != lambdasim.StatusSuccess {
			t.Errorf("the invocation ended with %s", result.Status)
		}
		r.Ended(r.Shutdown())
		if log := r.Log(); log != "" {
			t.Errorf("the log has %s", log)
		}
	})
}

// SnapStart: what the init logged is sent once, before the snapshot; what comes of
// it has an id of its own, and fresh credentials and connections.
func TestSnapStart(t *testing.T) {
	for _, spool := range []string{"overflow", "always"} {
		t.Run(spool, func(t *testing.T) {
			t.Parallel()
			r := start(t, sandbox.Options{
				Env:    map[string]string{"KINETEL_FLUSH": "end", "KINETEL_SPOOL": spool},
				Lambda: func(c *lambdasim.Config) { c.InitializationType = lambdasim.InitSnapStart },
			})
			before := r.arrived()
			if len(of(before, "platform.initStart"))+len(of(before, "platform.telemetrySubscription")) != 2 {
				t.Errorf("what the init logged is not in the stream before the snapshot: %d events", len(before))
			}
			for i := range 5 {
				r.Invoke(fmt.Sprintf(`{"id":"run-%d","lines":10}`, i))
			}
			r.complete()

			// Each environment counts from 1 without a hole, and what belongs to
			// the restore and after it is the second one's.
			last := map[string]uint64{}
			var ids []string
			for _, e := range r.arrived() {
				id := fmt.Sprint(e.Resource["service.instance.id"])
				if last[id] == 0 {
					ids = append(ids, id)
				}
				if e.Seq != last[id]+1 {
					t.Errorf("%s has %d after %d", id, e.Seq, last[id])
				}
				last[id] = e.Seq
				restored := strings.HasPrefix(e.Type, "platform.restore") || e.Type == event.TypePlatformStart || e.Type == "function"
				if restored && len(ids) != 2 {
					t.Errorf("%s has the id of before the restore", e.Type)
				}
			}
			if len(ids) != 2 {
				t.Errorf("%d environment ids, want 2: %v", len(ids), ids)
			}
			if got, want := coldStarts(t, r.arrived(), "snap-start"), []bool{true, false, false, false, false}; !slices.Equal(got, want) {
				t.Errorf("cold starts %v, want %v", got, want)
			}
		})
	}
}

func TestSnapStartCredentialsAreRenewed(t *testing.T) {
	var given atomic.Int64
	r := start(t, sandbox.Options{
		Env: map[string]string{"KINETEL_FLUSH": "end"},
		Lambda: func(c *lambdasim.Config) {
			c.InitializationType = lambdasim.InitSnapStart
			c.Credentials = func() lambdasim.Credentials {
				// Each is refused once the next is given.
				n := given.Add(1)
				return lambdasim.Credentials{
					AccessKeyID: fmt.Sprintf("AKID%d", n), SecretAccessKey: secretKey, Expires: time.Now().Add(time.Hour),
				}
			}
		},
	}, func(c *kinesissim.Config) {
		c.Credentials = map[string]string{}
		for i := range 20 {
			c.Credentials[fmt.Sprintf("AKID%d", i+1)] = secretKey
		}
	})
	if n := given.Load(); n == 0 {
		t.Fatal("the credentials were not read before the snapshot")
	}
	atInit := given.Load()
	r.Invoke(`{"id":"restored","lines":10}`)
	afterRestore := given.Load()
	if afterRestore == atInit {
		t.Error("the credentials of the snapshot are used after the restore")
	}
	r.Invoke(`{"id":"again","lines":10}`)
	if given.Load() != afterRestore {
		t.Error("credentials that are good for an hour are fetched for each request")
	}
	// They are taken back before their time.
	r.kinesis.SetCredentials(map[string]string{fmt.Sprintf("AKID%d", afterRestore+1): secretKey})
	r.Invoke(`{"id":"refused","lines":10}`)
	if given.Load() == afterRestore {
		t.Error("credentials that Kinesis refuses are kept")
	}
	r.complete()
}

func TestProvisionedConcurrency(t *testing.T) {
	r := start(t, sandbox.Options{Lambda: func(c *lambdasim.Config) { c.InitializationType = lambdasim.InitProvisionedConcurrency }})
	for i := range 8 {
		r.Invoke(fmt.Sprintf(`{"id":"run-%d","lines":10}`, i))
	}
	r.complete()
	// The init was paid for before, though the first report has its duration.
	if got, want := coldStarts(t, r.arrived(), "provisioned-concurrency"), make([]bool, 8); !slices.Equal(got, want) {
		t.Errorf("cold starts %v, want %v", got, want)
	}
}

func TestOnDemandTheFirstInvocationIsAColdStart(t *testing.T) {
	r := start(t, sandbox.Options{})
	for i := range 3 {
		r.Invoke(fmt.Sprintf(`{"id":"run-%d","lines":10}`, i))
	}
	r.complete()
	if got, want := coldStarts(t, r.arrived(), "on-demand"), []bool{true, false, false}; !slices.Equal(got, want) {
		t.Errorf("cold starts %v, want %v", got, want)
	}
}

// coldStarts returns which invocations were cold starts. All must have the init
// type and the extensions' overhead.
func coldStarts(t *testing.T, events []record.Event, initType string) (cold []bool) {
	t.Helper()
	for _, e := range of(events, event.TypeInvocation) {
		var body struct {
			ColdStart           *bool
			InitType            string
			ExtensionOverheadMs *float64
		}
		if err := json.Unmarshal(e.Body, &body); err != nil || body.ColdStart == nil || body.InitType != initType || body.ExtensionOverheadMs == nil {
			t.Fatalf("kinetel.invocation %s: %v", e.Body, err)
		}
		cold = append(cold, *body.ColdStart)
	}
	return cold
}

func TestAStreamedResponse(t *testing.T) {
	for _, flush := range []string{"adaptive", "end"} {
		t.Run(flush, func(t *testing.T) {
			t.Parallel()
			r := start(t, sandbox.Options{Env: map[string]string{"KINETEL_FLUSH": flush}})
			for range 3 {
				if result := r.Invoke(`{"id":"stream","lines":5,"chunks":5,"chunkEvery":"20ms"}`); result.Held > 5*time.Second {
					t.Errorf("held %v", result.Held)
				}
			}
			r.complete()
			for _, e := range of(r.arrived(), event.TypePlatformRuntimeDone) {
				if !bytes.Contains(e.Body, []byte("responseDuration")) || !bytes.Contains(e.Body, []byte("producedBytes")) {
					t.Errorf("platform.runtimeDone: %s", e.Body)
				}
			}
		})
	}
}

// With the extensions' lines subscribed, Kinetel receives its own log lines. It
// must not ship them.
func TestItsOwnLogIsNotFedBack(t *testing.T) {
	r := start(t, sandbox.Options{
		Env:   map[string]string{"KINETEL_TYPES": "platform,function,extension", "KINETEL_LOG_LEVEL": "debug", "KINETEL_REPORT": "events,emf", "KINETEL_FLUSH": "end"},
		Types: []string{"platform", "function"},
	})
	for i := range 5 {
		r.Invoke(fmt.Sprintf(`{"id":"run-%d","lines":10}`, i))
	}
	r.Ended(r.Shutdown())
	events := r.arrived()
	if own := of(events, event.TypeExtension); len(own) > 0 {
		t.Errorf("%d of its own lines are in the stream, such as %s", len(own), own[0].Body)
	}
	lines := len(r.LogLines())
	if lines < 5 || lines > 60 {
		t.Errorf("%d lines of log for 5 invocations:\n%s", lines, r.Log())
	}
	reports := of(events, event.TypeReport)
	if len(reports) == 0 || !bytes.Contains(reports[len(reports)-1].Body, []byte(`"ownLog":`)) || bytes.Contains(reports[len(reports)-1].Body, []byte(`"ownLog":0`)) {
		t.Errorf("the report has no count of the lines that were left out: %+v", reports)
	}
	if v := r.Verdict(r.arrived()); v.Lost+v.Duplicated+v.Holes > 0 {
		t.Errorf("%v\n%s", v, strings.Join(v.Examples, "\n"))
	}
}

func TestFiguresAsMetrics(t *testing.T) {
	var stdout bytes.Buffer // one writer at a time, and read at the end
	r := start(t, sandbox.Options{
		Env:    map[string]string{"KINETEL_REPORT": "emf"},
		Lambda: func(c *lambdasim.Config) { c.Stdout = &stdout },
	})
	for i := range 5 {
		r.Invoke(fmt.Sprintf(`{"id":"run-%d","lines":10}`, i))
	}
	r.complete()
	var lines []string
	for line := range strings.Lines(stdout.String()) {
		if strings.Contains(line, `"_aws"`) {
			lines = append(lines, line)
		}
	}
	if len(lines) != 1 {
		t.Fatalf("%d lines of metrics in a second, want 1:\n%s", len(lines), stdout.String())
	}
	var figures struct {
		FunctionName              string
		EventsShipped, EventsLost *int64
		Held                      []float64
		PutLatency                json.RawMessage
	}
	if err := json.Unmarshal([]byte(lines[0]), &figures); err != nil {
		t.Fatal(err)
	}
	if figures.FunctionName != "function" || figures.EventsShipped == nil || int(*figures.EventsShipped) != len(r.arrived()) || *figures.EventsLost != 0 || len(figures.Held) != 5 || figures.PutLatency == nil {
		t.Errorf("metrics %s for %d events", lines[0], len(r.arrived()))
	}
	for _, kind := range []string{event.TypeReport, event.TypeInvocation} {
		if len(of(r.arrived(), kind)) > 0 {
			t.Errorf("%s in the stream, though only metrics were asked for", kind)
		}
	}
}
