package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/kinetel/kinetel/internal/recorder"
	"github.com/kinetel/kinetel/lambdasim"
)

func TestABarGrowsWithTheTime(t *testing.T) {
	for took, cells := range map[time.Duration]int{0: 1, time.Millisecond: 1, 10 * time.Millisecond: 4, 100 * time.Millisecond: 10, time.Second: 16, time.Hour: 16} {
		if got := len(bar(took, "#")); got != cells {
			t.Errorf("%v has %d cells, want %d", took, got, cells)
		}
	}
}

func TestOnlyATerminalGetsBars(t *testing.T) {
	result := lambdasim.Result{Duration: 10 * time.Millisecond, Held: 90 * time.Millisecond}
	if got := (&progress{}).bars(result); got != "" {
		t.Errorf("without a terminal: %q", got)
	}
	if got := (&progress{terminal: t.Output()}).bars(result); got != "  ████░░░░░░" {
		t.Errorf("on a terminal: %q", got)
	}
}

func TestTheBreakerIsOpenFromAnOutageToItsEnd(t *testing.T) {
	d := demo{recorder: recorder.New("e")}
	write := func(message string) { fmt.Fprintf(d.recorder, `{"logger":"kinetel","message":%q}`+"\n", message) }
	if d.breaker() != "closed" {
		t.Error("the breaker is open at first")
	}
	write("Kinesis does not accept telemetry; records wait")
	if d.breaker() != "open" {
		t.Error("the breaker is closed in an outage")
	}
	write("Kinesis accepts telemetry again")
	if d.breaker() != "closed" {
		t.Error("the breaker is open after the outage")
	}
}
