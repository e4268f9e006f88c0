package e2e

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinetel/kinetel/kinesissim"
	"github.com/kinetel/kinetel/lambdasim"
	"github.com/kinetel/kinetel/test/sandbox"
)

// After an outage every environment has a backlog. If one sends it all at once,
// Kinesis throttles it, and the others too.
func TestABacklogIsSentNoFasterThanAShardAcceptsIt(t *testing.T) {
	var up atomic.Bool
	var failed, put atomic.Int64
	answered := make(chan struct{}, 1)
	r := start(t, sandbox.Options{
		Env: map[string]string{
			"KINETEL_COMPRESSION":    "none",
			"KINETEL_FLUSH":          "interval",
			"KINETEL_FLUSH_INTERVAL": "100ms",
		},
		Lambda: func(c *lambdasim.Config) { c.DisableFreeze = true },
	}, func(c *kinesissim.Config) {
		c.Streams = []kinesissim.Stream{{Name: sandbox.Stream, Shards: 1}}
		c.EnforceRate = true
		c.Intercept = func(*kinesissim.Request) *kinesissim.Answer {
			if up.Load() {
				return nil
			}
			return kinesissim.Refuse(503, "ServiceUnavailable", "down")
		}
		c.OnRequest = func(o kinesissim.Observation) {
			if up.Load() && o.Status == 200 {
				failed.Add(int64(o.Failed))
				put.Add(int64(o.Records))
			}
			select {
			case answered <- struct{}{}:
			default:
			}
		}
	})
	for i := range 6 {
		r.Invoke(fmt.Sprintf(`{"id":"outage-%d","lines":1000,"bytes":400}`, i)) // some 4 MB with what is around the lines
	}
	deadline := time.After(30 * time.Second)
	until := func(what string, done func() bool) {
		t.Helper()
		for !done() {
			select {
			case <-answered:
			case <-deadline:
				t.Fatalf("%s: not within 30 s\n%s", what, r.Log())
			}
		}
	}
	until("the breaker opens", func() bool { return strings.Contains(r.Log(), "does not accept telemetry") })
	began := time.Now()
	up.Store(true)
	until("the backlog arrives", func() bool { return r.Verdict(r.arrived()).Lost == 0 })
	took := time.Since(began)
	r.Ended(r.Shutdown())
	if v := r.Verdict(r.arrived()); !v.OK() {
		t.Errorf("%v\n%s", v, strings.Join(v.Examples, "\n"))
	}
	if failed.Load() > 0 || took < 2*time.Second {
		t.Errorf("%d of %d records were throttled, in %v: a burst", failed.Load(), put.Load(), took)
	}
	if log := r.LogLines(); len(log) != 2 || !strings.Contains(log[1], "accepts telemetry again") || !strings.Contains(log[1], `"lost_events":0`) {
		t.Errorf("the log:\n%s", r.Log())
	}
}

// A function that times out has its environment reset: the extension, too, is
// another process then, and goes on with what the one before could not send.
func TestAResetInAnOutageGoesOnFromTheSpool(t *testing.T) {
	for _, spool := range []string{"overflow", "always"} {
		for name, fail := range map[string]string{"a time-out": `{"id":"fail","lines":5,"hang":true}`, "a crash": `{"id":"fail","lines":5,"exit":3}`} {
			t.Run(name+", "+spool, func(t *testing.T) {
				t.Parallel()
				var up atomic.Bool
				r := start(t, sandbox.Options{
					Env:    map[string]string{"KINETEL_SPOOL": spool},
					Lambda: func(c *lambdasim.Config) { c.Timeout = time.Second },
				}, func(c *kinesissim.Config) {
					c.Intercept = func(*kinesissim.Request) *kinesissim.Answer {
						if up.Load() {
							return nil
						}
						return kinesissim.Refuse(503, "ServiceUnavailable", "down")
					}
				})
				for i := range 3 {
					r.Invoke(fmt.Sprintf(`{"id":"before-%d","lines":50}`, i))
				}
				if result := r.Invoke(fail); result.Status == lambdasim.StatusSuccess {
					t.Fatal("the function did not fail; the test proves nothing")
				}
				if n := r.kinesis.Stats().Records; n != 0 {
					t.Fatalf("%d records were stored in the outage", n)
				}
				up.Store(true)
				if result := r.Invoke(`{"id":"after","lines":5}`); !result.SuppressedInit {
					t.Fatal("there was no init in the invocation; the test proves nothing")
				}
				r.Ended(r.Shutdown())
				endedWithZero(r)
				if v := r.Verdict(r.arrived()); !v.OK() {
					t.Errorf("%v\n%s\n%s", v, strings.Join(v.Examples, "\n"), r.Log())
				}
				ids := map[any]bool{}
				for _, e := range r.arrived() {
					ids[e.Resource["service.instance.id"]] = true
				}
				if len(ids) != 2 {
					t.Errorf("%d environment ids, want that of each process", len(ids))
				}
			})
		}
	}
}
