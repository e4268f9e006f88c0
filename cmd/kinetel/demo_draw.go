package main

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/kinetel/kinetel/lambdasim"
)

const (
	drawInterval = 50 * time.Millisecond
	barCells     = 16  // of the time-out
	barRatio     = 1.5 // of the times of a cell and of the one before
)

// drawRunning shows the invocation that runs on a line of a terminal, until the returned
// function is called.
func (d *demo) drawRunning(p *progress, n int, s step) (end func()) {
	began := time.Now()
	return p.repeat(drawInterval, func() string {
		took := time.Since(began)
		return fmt.Sprintf("%3d  %-11s  %-*s  %7v  breaker %s, %d records", n, s.what, barCells, bar(took, "█"), took.Round(10*time.Millisecond), d.breaker(), d.kinesis.Stats().Records)
	})
}

// breaker returns the state of the extension's breaker, as its log reports it.
func (d *demo) breaker() string {
	log := d.recorder.Log()
	if strings.LastIndex(log, "Kinesis does not accept telemetry") > strings.LastIndex(log, "Kinesis accepts telemetry again") {
		return colored("1", "open")
	}
	return "closed"
}

// bars returns how long an invocation ran and was held, as bars. Without a terminal there are
// none.
func (p *progress) bars(result lambdasim.Result) string {
	if p.terminal == nil {
		return ""
	}
	ran := bar(result.Duration, "█")
	all := bar(result.Duration+result.Held, "░")
	return "  " + ran + faint(strings.TrimPrefix(all, strings.Repeat("░", len([]rune(ran)))))
}

// bar draws a time on a logarithmic scale: times from 1 ms to the time-out differ too much for
// another.
func bar(d time.Duration, cell string) string {
	cells := barCells + math.Log(d.Seconds()/demoTimeout.Seconds())/math.Log(barRatio)
	return strings.Repeat(cell, int(min(max(cells, 1), barCells)))
}
