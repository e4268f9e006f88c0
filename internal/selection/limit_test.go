package selection_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/internal/config"
	"github.com/kinetel/kinetel/internal/event"
	"github.com/kinetel/kinetel/internal/ledger"
	"github.com/kinetel/kinetel/internal/selection"
)

func TestLimitsKeepTheFirstAndTheLastLines(t *testing.T) {
	limits := func(lines, bytes int64) func(*selection.Options) {
		return func(o *selection.Options) { o.Config.MaxLines, o.Config.MaxBytes = lines, bytes }
	}
	for _, tt := range []struct {
		name   string
		change func(*selection.Options)
		lines  int // of 5 bytes, with their quotes
		first  int // how many are shipped before the kinetel.limit
		cut    int
		left   ledger.LeftOut
	}{
		{"none", limits(10, 0), 10, 10, 0, ledger.LeftOut{}},
		{"as many as the last ones", limits(10, 0), 110, 110, 0, ledger.LeftOut{}},
		{"one too many", limits(10, 0), 111, 10, 1, ledger.LeftOut{MaxLines: 1}},
		{"a thousand", limits(10, 0), 1000, 10, 890, ledger.LeftOut{MaxLines: 890}},
		{"one line", limits(1, 0), 200, 1, 99, ledger.LeftOut{MaxLines: 99}},
		{"bytes", limits(0, 23), 1000, 4, 896, ledger.LeftOut{MaxBytes: 896}},
		{"less than one line", limits(0, 1), 1000, 0, 900, ledger.LeftOut{MaxBytes: 900}},
		{"bytes come first", limits(10, 5), 1000, 1, 899, ledger.LeftOut{MaxBytes: 899}},
		{"lines come first", limits(1, 500), 1000, 1, 899, ledger.LeftOut{MaxLines: 899}},
	} {
		for _, sampled := range []string{"", "kept", "out"} {
			t.Run(tt.name+" "+sampled, func(t *testing.T) {
				f := newFixture(func(o *selection.Options) {
					tt.change(o)
					if sampled != "" {
						o.Config.Sample = &config.Sample{Error: true}
					}
				})
				r := ordinary(t)[0]
				f.start(r)
				var want []string
				for i := range tt.lines {
					record := fmt.Sprintf(`"%03d"`, i)
					f.line(r, record)
					if i < tt.first || i >= tt.lines-100 {
						want = append(want, record)
					}
				}
				status := "success"
				if sampled == "kept" {
					status = "error"
				}
				f.done(r, status)
				if n := len(f.bodies(event.TypeFunction, r)); (n == 0) != (sampled == "out") {
					t.Errorf("%d lines are shipped when the runtime is done", n)
				}
				f.report(r, status)
				left := tt.left
				if sampled == "out" {
					left.SampledOut = int64(len(want))
					want = nil
				}
				if diff := cmp.Diff(want, f.bodies(event.TypeFunction, r)); diff != "" {
					t.Errorf("shipped (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(left, f.LeftOut()); diff != "" {
					t.Errorf("left out (-want +got):\n%s", diff)
				}
				limits := f.bodies(event.TypeLimit, r)
				if tt.cut == 0 || sampled == "out" {
					if len(limits) > 0 {
						t.Errorf("the limits report %v", limits)
					}
					return
				}
				var got struct{ Events, Bytes, MaxLines, MaxBytes int64 }
				if len(limits) != 1 || json.Unmarshal([]byte(limits[0]), &got) != nil || got.Events != int64(tt.cut) || got.Bytes != 5*got.Events {
					t.Errorf("the limits report %v, want %d lines", limits, tt.cut)
				}
				// It is where the lines are missing.
				if at := strings.Index(f.trace(), `{"requestId"`); at != tt.first*6 {
					t.Errorf("it is at %d of %.100s", at, f.trace())
				}
			})
		}
	}
}

func TestLinesAfterTheEndOfALimitedInvocation(t *testing.T) {
	f := newFixture(func(o *selection.Options) { o.Config.MaxLines = 1 })
	f.line("r", `"a"`)
	f.line("r", `"b"`)
	f.done("r", "success")
	for range 150 {
		f.line("r", `"late"`)
	}
	f.report("r", "success")
	f.line("r", `"very late"`)
	if n := len(f.bodies(event.TypeFunction, "r")); n != 102 || f.LeftOut() != (ledger.LeftOut{MaxLines: 51}) {
		t.Errorf("%d lines are shipped, left out: %+v", n, f.LeftOut())
	}
	if got := f.Selected("r"); got.LeftOut == nil || got.LeftOut.MaxLines != 51 || got.Sampled != "" || got.SampleRate != "" {
		t.Errorf("of the invocation: %+v", got)
	}
}

// Lines that belong to no invocation have no limits.
func TestLimitsAreOfInvocations(t *testing.T) {
	f := newFixture(func(o *selection.Options) { o.Config.MaxLines = 1 })
	for range 1000 {
		f.line("", `"a"`)
	}
	if len(f.shipped) != 1000 || f.LeftOut() != (ledger.LeftOut{}) {
		t.Errorf("%d lines are shipped, left out: %+v", len(f.shipped), f.LeftOut())
	}
}

func TestTheLastLinesHaveBoundedMemory(t *testing.T) {
	f := newFixture(func(o *selection.Options) { o.Config.MaxLines = 1 })
	f.line("r", `"first"`)
	for i := range 200 {
		f.line("r", fmt.Sprintf(`"%s %d"`, strings.Repeat("x", 50<<10), i))
	}
	f.line("r", `"`+strings.Repeat("x", 300<<10)+`"`) // longer than all that are kept
	f.line("r", `"last"`)
	f.End()
	bodies := f.bodies(event.TypeFunction, "r")
	if len(bodies) != 7 || bodies[len(bodies)-1] != `"last"` || f.LeftOut().MaxLines+int64(len(bodies)) != 203 {
		t.Errorf("%d lines are shipped, left out: %+v", len(bodies), f.LeftOut())
	}
}

// An error after the runtime was done keeps an invocation: its last lines are in order, and
// what is missing is reported.
func TestALateErrorBeyondALimit(t *testing.T) {
	f := newFixture(func(o *selection.Options) {
		o.Config.MaxLines, o.Config.Sample = 2, &config.Sample{Error: true}
	})
	r := ordinary(t)[0]
	f.start(r)
	for i := range 200 {
		f.line(r, fmt.Sprintf(`"%03d"`, i))
	}
	f.done(r, "success")
	f.line(r, `"200"`, event.Error)
	f.report(r, "success")
	lines := f.bodies(event.TypeFunction, r)
	if !slices.IsSorted(lines) || len(lines) != 102 || len(f.bodies(event.TypeLimit, r)) != 1 {
		t.Errorf("%d lines: %s", len(lines), f.trace())
	}
}
