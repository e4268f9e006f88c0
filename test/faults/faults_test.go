package faults

import (
	"fmt"
	"testing"
)

// TestFaults runs the matrix and prints its table.
func TestFaults(t *testing.T) {
	results := &table{}
	t.Run("matrix", func(t *testing.T) {
		for order, f := range matrix() {
			for _, m := range f.modesOf(order) {
				seeds := f.seeds
				if seeds == nil {
					seeds = func(mode) []uint64 { return []uint64{0} }
				}
				for _, seed := range seeds(m) {
					name := fmt.Sprintf("%s/%v", f.name, m)
					if f.seeds != nil {
						name += fmt.Sprint("/", seed)
					}
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						s := newScenario(t, f, m)
						out := row{order: order, fault: f.title(m), mode: m}
						ran := false
						defer func() {
							if ran || t.Failed() {
								out.failed = t.Failed()
								results.add(out)
							}
						}()
						f.run(s, seed)
						ran = true
						out.figures = s.audit()
					})
				}
			}
		}
	})
	markdown := results.markdown()
	fmt.Print("\n", markdown, "\n")
	if *tableFile != "" {
		if err := writeTable(*tableFile, markdown); err != nil {
			t.Error(err)
		}
	}
}

// modesOf returns the modes to run a fault with. Without the whole matrix it is
// one, or those that the fault insists on; another one for the next fault.
func (f fault) modesOf(order int) (modes []mode) {
	for _, flush := range []string{flushAdaptive, flushEnd, flushInterval} {
		for _, spool := range []string{spoolOff, spoolOverflow, spoolAlways} {
			if m := (mode{flush, spool, false}); f.makesSense == nil || f.makesSense(m) {
				modes = append(modes, m)
			}
		}
	}
	switch {
	case *wholeMatrix:
		return append(modes, f.selectedModes(modes, order)...)
	case f.short != nil:
		return f.short
	}
	// 5 and the number of modes, 9, 6 or 3, share no divisor: every mode has its turn.
	return modes[5*order%len(modes):][:1]
}

// selectedModes returns the modes to run a fault with when sampling and redaction are
// on: one for each way to spool. If events may be lost, what was left out may not be
// reported, and the run proves nothing.
func (f fault) selectedModes(modes []mode, order int) (selected []mode) {
	flushes := []string{flushAdaptive, flushEnd, flushInterval}
	for i, m := range modes {
		if m.flush == flushes[(order+i)%len(flushes)] && (f.mayLose == nil || !f.mayLose(m)) {
			m.selected = true
			selected = append(selected, m)
		}
	}
	return selected
}

// title returns the name of the fault in the table.
func (f fault) title(m mode) string {
	if m.selected {
		return f.name + ", with sampling and redaction"
	}
	return f.name
}
