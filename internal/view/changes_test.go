package view_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/kinetel/kinetel/internal/view"
)

// Memory was full for long when the client comes, and it loads several pages.
func TestAClientLoadsWhateverWasForgottenBefore(t *testing.T) {
	v := view.New(view.Options{Bytes: 20 << 20})
	seq := uint64(0)
	more := func(n int) {
		for range n {
			seq++
			add(v, line(seq, fmt.Sprintf("r%d", seq), "a"))
		}
	}
	more(45_000)
	load := func(limit int) (loaded map[uint64]bool, at view.Position) {
		loaded = map[uint64]bool{}
		for pages := 0; ; pages++ {
			c := v.Changes(at, limit)
			if c.Reset || pages > 1000 {
				t.Fatalf("page %d: reset is %v", pages, c.Reset)
			}
			for _, inv := range c.Invocations {
				loaded[inv.Number] = true
			}
			for _, number := range c.Removed {
				delete(loaded, number)
			}
			if at = c.Position; !c.More {
				return loaded, at
			}
			if pages == 3 {
				more(1000) // removals during the load
			}
		}
	}
	loaded, at := load(2000)
	if h := v.Health(); uint64(len(loaded)) != seq-h.DroppedWhole || h.DroppedWhole < 20_000 || len(loaded) < 4000 {
		t.Errorf("%d invocations loaded of %d, %d of them dropped", len(loaded), seq, h.DroppedWhole)
	}
	more(12_000)
	if !v.Changes(at, 2000).Reset {
		t.Error("removals that the client needs were forgotten, and it does not start anew")
	}
}

func TestAClientLearnsWhatIsGone(t *testing.T) {
	v := view.New(view.Options{Bytes: 5000})
	add(v, line(1, "r0", "a"))
	before := v.Changes(view.Position{}, 100)
	for seq := uint64(2); seq < 100; seq++ {
		add(v, line(seq, fmt.Sprintf("r%d", seq), "a"))
	}
	after := v.Changes(before.Position, 1000)
	if after.Reset || !slices.Contains(after.Removed, before.Invocations[0].Number) {
		t.Errorf("r0 is not among the removed: %+v", after.Removed)
	}
	for seq := uint64(100); seq < 11_000; seq++ {
		add(v, line(seq, fmt.Sprintf("r%d", seq), "a"))
	}
	if after := v.Changes(before.Position, 1000); !after.Reset {
		t.Error("more is gone than the view remembers, and the client does not start anew")
	}
}
