package faults

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/kinetel/kinetel/lambdasim"
)

// delayed keeps telemetry back while it is on, except platform.report: that of the
// previous invocation arrives at the beginning of each invocation.
type delayed struct {
	mu      sync.Mutex // guards all below
	on      bool
	waiting [][]byte // bodies
	reports int      // bodies that arrived while it was on
}

func (d *delayed) set(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.on = on
}

// struck reports whether there was something to keep back, and a report to let
// through.
func (d *delayed) requireFault() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.waiting) > 0 && d.reports > 0
}

// deliver is lambdasim.Config.RewritePost.
func (d *delayed) deliver(_ string, body []byte) [][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	var events []json.RawMessage
	if err := json.Unmarshal(body, &events); err != nil || !d.on {
		posts := append(d.waiting, bytes.Clone(body))
		d.waiting = nil
		return posts
	}
	var now, later [][]byte
	for _, e := range events {
		if bytes.Contains(e, []byte(`"platform.report"`)) {
			now = append(now, e)
		} else {
			later = append(later, e)
		}
	}
	post := func(events [][]byte) []byte {
		return slices.Concat([]byte("["), bytes.Join(events, []byte(",")), []byte("]"))
	}
	if len(later) > 0 {
		d.waiting = append(d.waiting, post(later))
	}
	if len(now) == 0 {
		return nil
	}
	d.reports++
	return [][]byte{post(now)}
}

// withoutTelemetry has nothing arrive of invocations while they run. They must end
// long before their deadline all the same.
func withoutTelemetry(s *scenario, _ uint64) {
	const timeout = 15 * time.Second
	var telemetry delayed
	r := s.start(func(c *lambdasim.Config) { c.Timeout, c.RewritePost = timeout, telemetry.deliver })
	s.invoke(r, `{"id":"before","lines":10}`)
	telemetry.set(true)
	var held []time.Duration
	for range 3 {
		held = append(held, s.invoke(r, `{"id":"silent","lines":10,"sleep":"120ms"}`).Held)
	}
	s.requireFault(telemetry.requireFault())
	telemetry.set(false)
	s.traffic(r)
	s.shutdown(r)
	if longest := slices.Max(held); longest > timeout/2 {
		s.Errorf("without telemetry, invocations were held for %v; their deadline is after %v", held, timeout)
	}
	s.Log("held without telemetry: ", held)
}
