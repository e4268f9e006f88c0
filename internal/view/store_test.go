package view_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/kinetel/kinetel/internal/view"
	"github.com/kinetel/kinetel/record"
)

// Everybody who can write to a stream can write such events.
func TestMemoryIsBounded(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	for kind, change := range map[string]func(e *record.Event, i int){
		"resources":    func(e *record.Event, i int) { e.Resource["x"] = fmt.Sprint(i) + long },
		"types":        func(e *record.Event, i int) { e.Type = fmt.Sprint(i) + long },
		"request ids":  func(e *record.Event, i int) { e.RequestID = fmt.Sprint(i) + long },
		"trace ids":    func(e *record.Event, i int) { e.TraceID = fmt.Sprint(i) + long },
		"environments": func(e *record.Event, i int) { e.Resource["service.instance.id"] = fmt.Sprint(i) + long[:100] },
		"members": func(e *record.Event, i int) {
			e.Extra = map[string]json.RawMessage{}
			for j := range 100 {
				e.Extra[fmt.Sprint(j)] = json.RawMessage("1")
			}
		},
		"reports": func(e *record.Event, i int) {
			e.Resource["service.instance.id"] = fmt.Sprint(i)
			e.Type, e.Body = record.TypeReport, json.RawMessage(`{"lost":{"`+long[:5000]+`":1}}`)
		},
		"error types": func(e *record.Event, i int) {
			e.Type, e.Body = record.TypePlatformReport, json.RawMessage(`{"status":"error","errorType":"`+long[:5000]+`"}`)
			e.RequestID = fmt.Sprint(i)
		},
	} {
		t.Run(kind, func(t *testing.T) {
			const most = 8 << 20
			before := heapBytes()
			v := view.New(view.Options{Bytes: most})
			for i := range 3000 {
				e := line(1, "r", "a")
				e.Seq = 0 // neither audited nor looked for among the events before
				change(&e, i)
				add(v, e)
			}
			if took, h := heapBytes()-before, v.Health(); took > 2*most || h.Bytes > most || h.Events != 3000 {
				t.Errorf("%d events take %.1f MB; %.1f MB are counted, of at most %d", h.Events, float64(took)/1e6, float64(h.Bytes)/1e6, most)
			} else {
				t.Logf("%.1f MB, counted %.1f MB, %d dropped", float64(took)/1e6, float64(h.Bytes)/1e6, h.Dropped)
			}
			runtime.KeepAlive(v)
		})
	}
}

func heapBytes() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// The events come with the record from which they were read. Neither may stay in memory.
func TestTheOldestEventsAreDroppedAndCounted(t *testing.T) {
	const most = 100_000
	v := view.New(view.Options{Bytes: most})
	for seq := uint64(1); seq <= 1000; seq++ {
		add(v, line(seq, fmt.Sprintf("r%d", (seq-1)/10), strings.Repeat("x", 500)))
	}
	h := v.Health()
	if h.Events != 1000 || h.Dropped == 0 || h.Bytes > most || h.Bytes < most/2 || h.DroppedWhole == 0 {
		t.Errorf("events %d, dropped %d, bytes %d, whole invocations %d", h.Events, h.Dropped, h.Bytes, h.DroppedWhole)
	}
	c := v.Changes(view.Position{}, 1000)
	if n := uint64(len(c.Invocations)); n != 100-h.DroppedWhole {
		t.Errorf("%d invocations, and %d dropped", n, h.DroppedWhole)
	}
	if !h.Audit.Complete || h.Audit.Totals.Events != 1000 {
		t.Errorf("the audit has %d events, and says %q: it is about all of them", h.Audit.Totals.Events, h.Audit.Verdict)
	}
	first := slices.MinFunc(c.Invocations, func(a, b view.Invocation) int { return int(a.Number) - int(b.Number) })
	page, ok := v.Page(first.Number, 0, 100)
	if !ok || uint64(len(page.Lines))+first.Dropped != 10 || first.Dropped == 10 {
		t.Errorf("the oldest invocation has %d lines and %d dropped", len(page.Lines), first.Dropped)
	}
	if found := v.Search("xxx", 0, 0); len(found.Matches) != len(c.Invocations) {
		t.Errorf("the search finds %d invocations of %d", len(found.Matches), len(c.Invocations))
	}
}
