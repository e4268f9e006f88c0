package lambdasim_test

import (
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/kinetel/kinetel/lambdasim"
)

// deliveries keeps what an extension accepted.
type deliveries struct {
	mu   sync.Mutex
	list []lambdasim.Delivery
}

func (d *deliveries) add(one lambdasim.Delivery) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, one)
}

func (d *deliveries) all() []lambdasim.Delivery {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.list)
}

func TestEventsAreNumberedInTheirOrder(t *testing.T) {
	t.Parallel()
	cfg, rec := baseConfig()
	s := start(t, cfg)
	invoke(t, s, `{"lines":5}`)
	shutdown(t, s)
	for i, e := range rec.all() {
		if e.Number != uint64(i+1) {
			t.Errorf("event %d has the number %d: %s", i+1, e.Number, e.Raw)
		}
	}
}

func TestAcceptedEventsAreReported(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		more    script
		payload string
		failed  int
	}{
		"at once":                     {nil, `{"lines":50}`, 0},
		"after refusals":              {script{"refuse": 3}, `{"lines":50,"sleep":"400ms"}`, 3},
		"a record cut over six POSTs": {nil, `{"lines":2,"bytes":1200000}`, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ext, dump := scripted(t, "ext", both(test.more))
			cfg, rec := baseConfig(ext)
			var got deliveries
			cfg.OnDelivered = got.add
			s := start(t, cfg)
			invoke(t, s, test.payload)
			shutdown(t, s)
			var numbers []uint64
			failed := 0
			for _, d := range got.all() {
				numbers = append(numbers, d.Events...)
				failed += d.FailedPosts
				if d.Extension != "ext" || d.Generation != 1 {
					t.Errorf("delivery to %q of generation %d", d.Extension, d.Generation)
				}
			}
			var want []uint64
			for _, e := range rec.all() {
				want = append(want, e.Number)
			}
			if !slices.Equal(numbers, want) {
				t.Errorf("accepted %v, emitted %v", numbers, want)
			}
			if failed != test.failed {
				t.Errorf("%d failed POSTs, want %d", failed, test.failed)
			}
			if len(entries(t, dump, "post")) < len(got.all())+failed {
				t.Error("more deliveries than POSTs")
			}
		})
	}
}

// An extension that is killed before it has answered has accepted nothing.
func TestEventsThatWereNotAcceptedAreNotReported(t *testing.T) {
	t.Parallel()
	ext, dump := scripted(t, "ext", both(script{"postDelayMs": 200}))
	cfg, rec := baseConfig(ext)
	var got deliveries
	cfg.OnDelivered = got.add
	s := start(t, cfg)
	ended := make(chan lambdasim.Result, 1)
	go func() { ended <- invoke(t, s, `{"id":"killed","lines":50,"sleep":"10s"}`) }()
	rec.await(t, "a line", func() bool {
		return slices.ContainsFunc(rec.events, func(e lambdasim.Event) bool { return e.Type == "function" })
	})
	if err := s.SignalExtension("ext", os.Kill); err != nil {
		t.Fatal(err)
	}
	<-ended
	invoke(t, s, `{"id":"after","lines":3,"sleep":"500ms"}`)
	shutdown(t, s)

	delivered := map[uint64]int{} // generation by event
	for _, d := range got.all() {
		for _, number := range d.Events {
			if delivered[number] > 0 {
				t.Errorf("event %d was accepted twice", number)
			}
			delivered[number] = d.Generation
		}
	}
	accepted := len(accepted(t, dump))
	var before, after int
	for _, e := range rec.all() {
		if e.Type != "function" {
			continue
		}
		switch delivered[e.Number] {
		case 1:
			before++
		case 2:
			after++
		}
	}
	if before > 0 || after != 3 || len(delivered) < after || accepted < len(delivered) {
		t.Errorf("%d lines of the killed process and %d of the next were delivered, %d events in all, %d were accepted", before, after, len(delivered), accepted)
	}
}

// What Config.RewritePost makes of a batch does not matter: the events are those
// that were to be sent, once.
func TestTheHookDoesNotChangeTheReportedEvents(t *testing.T) {
	t.Parallel()
	ext, _ := scripted(t, "ext", both(nil))
	cfg, rec := baseConfig(ext)
	var got deliveries
	cfg.OnDelivered = got.add
	cfg.RewritePost = func(_ string, body []byte) [][]byte { return [][]byte{[]byte("[]"), body, body} }
	s := start(t, cfg)
	invoke(t, s, `{"lines":5}`)
	shutdown(t, s)
	events := 0
	for _, d := range got.all() {
		events += len(d.Events)
	}
	if want := len(rec.all()); events != want {
		t.Errorf("%d events were accepted, want %d", events, want)
	}
}
