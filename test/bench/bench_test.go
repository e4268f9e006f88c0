package main

import (
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A short run has all figures, and nothing is lost. What the figures are is not tested.
func TestShortRunHasAllFigures(t *testing.T) {
	dir := t.TempDir()
	const module = "github.com/kinetel/kinetel/"
	out, err := exec.Command("go", "build", "-tags", "nethttpomithttp2", "-o", dir, module+"cmd/kinesis-telemetry-extension", module+"cmd/kinetel", module+"examples/function", module+"examples/bare-extension").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b := bench{
		function: filepath.Join(dir, "function"), kinetel: filepath.Join(dir, "kinetel"),
		paths:         [2]string{filepath.Join(dir, "bare-extension"), filepath.Join(dir, "kinesis-telemetry-extension")},
		readMegabytes: 1, starts: 2, runs: 1, shareStarts: 1, shares: 2, busy: 3, busyRuns: 1,
		volumeMegabytes: 1, volumeRuns: 1, burstLines: 3 * bodyEvents, burstRuns: 1, burstTime: 50 * time.Millisecond,
		outageMegabytes: 1, outageReal: true, // all modes at once
	}
	wanted := []string{"read", "start", "share", "busy", "volume", "core", "burst", "outage", "size"}
	if testing.Short() {
		wanted = slices.DeleteFunc(wanted, func(name string) bool { return name == "outage" }) // shutdowns of 2 s
	}
	if len(processors()) < 2 {
		wanted = slices.DeleteFunc(wanted, func(name string) bool { return name == "share" || name == "core" })
	}
	b.only, b.keep = strings.Join(wanted, ","), filepath.Join(dir, "kept")
	if err := b.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range parts() {
		if !slices.Contains(wanted, p.name) {
			continue
		}
		for _, row := range p.rows {
			s := b.find(row.figure)
			switch {
			case strings.HasPrefix(row.figure, "size.layer"): // there may be no layers
			case s == nil || len(s.Values[own]) == 0:
				t.Errorf("%s has no value", row.figure)
			case row.goal.of == ratio && len(s.Values[floor]) != len(s.Values[own]):
				t.Errorf("%s has no pairs: %v", row.figure, s.Values)
			}
		}
	}
	for _, figure := range []string{"core.lost", "burst.lost", "burst.silent"} {
		if s := b.find(figure); s != nil && s.value(own) != 0 {
			t.Errorf("%s: %v", figure, s.Values)
		}
	}
	kept, err := filepath.Glob(filepath.Join(b.keep, "*.json"))
	if err != nil || len(kept) != 1 {
		t.Fatalf("kept: %v, %v", kept, err)
	}
	var again bench
	if err := again.load(kept[0]); err != nil || len(again.Series) != len(b.Series) || again.Date != b.Date {
		t.Errorf("%v: %+v", err, again)
	}
}

func TestUnknownPartIsAnError(t *testing.T) {
	b := bench{only: "volume,bursts"}
	if err := b.measure(t.Context()); err == nil || !strings.HasPrefix(err.Error(), `-only "bursts": there is no such part, use some of read, start,`) {
		t.Error(err)
	}
}

func TestProgramsAreMeasuredInTurns(t *testing.T) {
	var order []int
	note := func(program int) error {
		order = append(order, program)
		return nil
	}
	if err := inTurns(3, 2, note); err != nil || !slices.Equal(order, []int{0, 1, 1, 0, 0, 1}) {
		t.Errorf("%v, %v", order, err)
	}
	broken := errors.New("broken")
	if err := inTurns(3, 2, func(int) error { return broken }); err != broken {
		t.Error(err)
	}
}
